#include "collimate/job/compose.h"

bool clm_compose_spec_to_json(const clm_compose_spec *s, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *list = clm_json_add_list(v, "transforms");
    for (int i = 0; i < s->n_transforms; i++) clm_json_add_text(list, NULL, s->transforms[i]);
    clm_json_add_text(v, "output", s->output);
    if (s->format) clm_json_add_text(v, "format", s->format);
    clm_json_add_bool(v, "invert", s->invert);
    clm_json_add_number(v, "root", (double)s->root);
    clm_json_add_number(v, "power", (double)s->power);
    clm_json_add_number(v, "sweeps", (double)s->sweeps);
    clm_json_add_number(v, "tolerance_um", s->tolerance_um);
    if (s->like) clm_json_add_text(v, "like", s->like);
    clm_json_add_number(v, "like_level", (double)s->like_level);
    if (s->has_spacing) clm_json_add_numbers(v, "spacing_um", s->spacing_um, 3);
    if (s->has_origin) clm_json_add_numbers(v, "origin_um", s->origin_um, 3);
    if (s->has_shape) clm_json_add_ints(v, "shape", s->shape, 3);
    clm_json_add_number(v, "chunk_nodes", (double)s->chunk_nodes);
    clm_json_add_number(v, "threads", (double)s->threads);
    clm_json_add_number(v, "task_mib", s->task_mib);
    clm_json_add_number(v, "cache_mib", s->cache_mib);
    *out = v;
    return true;
}

bool clm_compose_spec_of_json(const clm_json *v, clm_compose_spec *out, clm_err *err) {
    clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
    const clm_json *list = clm_json_get(v, "transforms");
    s.n_transforms = (int)clm_json_size(list);
    if (s.n_transforms < 1 || s.n_transforms > CLM_COMPOSE_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; 1 to %d are possible", s.n_transforms,
                        CLM_COMPOSE_TRANSFORMS_MAX);
    bool ok = true;
    for (int i = 0; i < s.n_transforms; i++)
        ok = (s.transforms[i] = clm_json_text(clm_json_at(list, i))) != NULL && ok;
    ok = (s.output = clm_json_text(clm_json_get(v, "output"))) != NULL && ok;
    ok = clm_json_is(clm_json_get(v, "invert"), &s.invert) && ok;
    ok = clm_json_int(clm_json_get(v, "root"), &s.root) && ok;
    ok = clm_json_int(clm_json_get(v, "power"), &s.power) && ok;
    ok = clm_json_int(clm_json_get(v, "sweeps"), &s.sweeps) && ok;
    ok = clm_json_number(clm_json_get(v, "tolerance_um"), &s.tolerance_um) && ok;
    s.format = clm_json_text(clm_json_get(v, "format"));
    s.like = clm_json_text(clm_json_get(v, "like"));
    ok = clm_json_int(clm_json_get(v, "like_level"), &s.like_level) && ok;
    s.has_spacing = clm_json_numbers(clm_json_get(v, "spacing_um"), 3, s.spacing_um);
    s.has_origin = clm_json_numbers(clm_json_get(v, "origin_um"), 3, s.origin_um);
    s.has_shape = clm_json_ints(clm_json_get(v, "shape"), 3, s.shape);
    ok = clm_json_int(clm_json_get(v, "chunk_nodes"), &s.chunk_nodes) && ok;
    ok = clm_json_int(clm_json_get(v, "threads"), &s.threads) && ok;
    ok = clm_json_number(clm_json_get(v, "task_mib"), &s.task_mib) && ok;
    ok = clm_json_number(clm_json_get(v, "cache_mib"), &s.cache_mib) && ok;
    ok = ok && s.root >= 1 && s.root <= CLM_ROOT_MAX && s.power >= 1 && s.power <= s.root && s.sweeps >= 1 &&
         s.sweeps <= CLM_SWEEPS_MAX;
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "what to compose is told incompletely");
    *out = s;
    return true;
}
