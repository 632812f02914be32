#include "collimate/job/evaluate.h"

#include <string.h>

/* members by key, to and from: texts, and whole numbers */
typedef struct member {
    const char *key;
    size_t at;
} member;
#define MEMBER(NAME) \
    { #NAME, offsetof(clm_evaluate_spec, NAME) }
static const member texts[] = {
    MEMBER(run),       MEMBER(fixed),        MEMBER(moving),        MEMBER(aligned), MEMBER(inverse),
    MEMBER(landmarks), MEMBER(fixed_labels), MEMBER(moving_labels), MEMBER(maps),    MEMBER(folder)};
enum { TEXTS = sizeof texts / sizeof texts[0] };

static const member wholes[] = {MEMBER(fixed_channel), MEMBER(moving_channel), MEMBER(fixed_time),
                                MEMBER(moving_time),   MEMBER(radius_vox),     MEMBER(threads)};
enum { WHOLES = sizeof wholes / sizeof wholes[0] };

static int64_t *whole_at(clm_evaluate_spec *s, int i) {
    return (int64_t *)(void *)((char *)s + wholes[i].at);
}

static const char **text_at(clm_evaluate_spec *s, int i) {
    return (const char **)(void *)((char *)s + texts[i].at);
}

bool clm_evaluate_spec_to_json(const clm_evaluate_spec *spec, clm_json **out, clm_err *err) {
    clm_evaluate_spec s = *spec;
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    for (int i = 0; i < TEXTS; i++)
        if (*text_at(&s, i)) clm_json_add_text(v, texts[i].key, *text_at(&s, i));
    clm_json *list = clm_json_add_list(v, "transforms");
    for (int i = 0; i < s.n_transforms; i++) clm_json_add_text(list, NULL, s.transforms[i]);
    if (s.has_fixed_spacing) clm_json_add_numbers(v, "fixed_spacing_um", s.fixed_spacing_um, 3);
    if (s.has_moving_spacing) clm_json_add_numbers(v, "moving_spacing_um", s.moving_spacing_um, 3);
    if (s.has_block) clm_json_add_numbers(v, "block_vox", s.block_vox, 3);
    clm_json_add_number(v, "spacing_um", s.spacing_um);
    clm_json_add_number(v, "surface_reach_um", s.surface_reach_um);
    for (int i = 0; i < WHOLES; i++) clm_json_add_number(v, wholes[i].key, (double)*whole_at(&s, i));
    clm_json_add_number(v, "cache_mib", s.cache_mib);
    clm_json_add_number(v, "task_mib", s.task_mib);
    *out = v;
    return true;
}

bool clm_evaluate_spec_of_json(const clm_json *v, clm_evaluate_spec *out, clm_err *err) {
    clm_evaluate_spec s = CLM_EVALUATE_DEFAULTS;
    const clm_json *list = clm_json_get(v, "transforms");
    for (int i = 0; i < TEXTS; i++) *text_at(&s, i) = clm_json_text(clm_json_get(v, texts[i].key));
    s.n_transforms = (int)clm_json_size(list);
    bool ok = s.n_transforms <= CLM_EVALUATE_TRANSFORMS_MAX;
    for (int i = 0; ok && i < s.n_transforms; i++)
        ok = (s.transforms[i] = clm_json_text(clm_json_at(list, i))) != NULL;
    for (int i = 0; ok && i < WHOLES; i++) ok = clm_json_int(clm_json_get(v, wholes[i].key), whole_at(&s, i));
    s.has_fixed_spacing = clm_json_numbers(clm_json_get(v, "fixed_spacing_um"), 3, s.fixed_spacing_um);
    s.has_moving_spacing = clm_json_numbers(clm_json_get(v, "moving_spacing_um"), 3, s.moving_spacing_um);
    s.has_block = clm_json_numbers(clm_json_get(v, "block_vox"), 3, s.block_vox);
    ok = ok && clm_json_number(clm_json_get(v, "spacing_um"), &s.spacing_um) &&
         clm_json_number(clm_json_get(v, "surface_reach_um"), &s.surface_reach_um) &&
         clm_json_number(clm_json_get(v, "cache_mib"), &s.cache_mib) &&
         clm_json_number(clm_json_get(v, "task_mib"), &s.task_mib);
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "what to evaluate is told incompletely");
    *out = s;
    return true;
}
