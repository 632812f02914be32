#include "collimate/job/apply_run.h"

bool clm_apply_spec_to_json(const clm_apply_spec *s, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *list = clm_json_add_list(v, "transforms");
    for (int i = 0; i < s->n_transforms; i++) clm_json_add_text(list, NULL, s->transforms[i]);
    clm_json_add_text(v, "input", s->input);
    clm_json_add_text(v, "output", s->output);
    if (s->like) clm_json_add_text(v, "like", s->like);
    clm_json_add_number(v, "like_level", (double)s->like_level);
    clm_json_add_text(v, "interpolation", s->interpolation);
    clm_json_add_bool(v, "labels", s->labels);
    clm_json_add_bool(v, "pyramid", s->pyramid);
    clm_json_add_number(v, "level", (double)s->level);
    clm_json_add_number(v, "channel", (double)s->channel);
    clm_json_add_number(v, "time", (double)s->time);
    clm_json_add_number(v, "outside", s->outside);
    if (s->has_spacing) clm_json_add_numbers(v, "spacing_um", s->spacing_um, 3);
    if (s->has_origin) clm_json_add_numbers(v, "origin_um", s->origin_um, 3);
    if (s->has_shape) clm_json_add_ints(v, "shape", s->shape, 3);
    if (s->has_input_spacing) clm_json_add_numbers(v, "input_spacing_um", s->input_spacing_um, 3);
    clm_json_add_number(v, "chunk_vox", (double)s->chunk_vox);
    clm_json_add_number(v, "shard_vox", (double)s->shard_vox);
    clm_json_add_number(v, "threads", (double)s->threads);
    clm_json_add_number(v, "task_mib", s->task_mib);
    clm_json_add_number(v, "cache_mib", s->cache_mib);
    *out = v;
    return true;
}

bool clm_apply_spec_of_json(const clm_json *v, clm_apply_spec *out, clm_err *err) {
    clm_apply_spec s = CLM_APPLY_DEFAULTS;
    const clm_json *list = clm_json_get(v, "transforms");
    s.n_transforms = (int)clm_json_size(list);
    if (s.n_transforms < 1 || s.n_transforms > CLM_APPLY_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; 1 to %d are possible", s.n_transforms,
                        CLM_APPLY_TRANSFORMS_MAX);
    bool ok = true;
    for (int i = 0; i < s.n_transforms; i++)
        ok = (s.transforms[i] = clm_json_text(clm_json_at(list, i))) != NULL && ok;
    ok = (s.input = clm_json_text(clm_json_get(v, "input"))) != NULL && ok;
    ok = (s.output = clm_json_text(clm_json_get(v, "output"))) != NULL && ok;
    s.like = clm_json_text(clm_json_get(v, "like"));
    ok = (s.interpolation = clm_json_text(clm_json_get(v, "interpolation"))) != NULL && ok;
    ok = clm_json_int(clm_json_get(v, "like_level"), &s.like_level) && ok;
    ok = clm_json_is(clm_json_get(v, "labels"), &s.labels) && ok;
    ok = clm_json_is(clm_json_get(v, "pyramid"), &s.pyramid) && ok;
    ok = clm_json_int(clm_json_get(v, "level"), &s.level) && ok;
    ok = clm_json_int(clm_json_get(v, "channel"), &s.channel) && ok;
    ok = clm_json_int(clm_json_get(v, "time"), &s.time) && ok;
    ok = clm_json_number(clm_json_get(v, "outside"), &s.outside) && ok;
    s.has_spacing = clm_json_numbers(clm_json_get(v, "spacing_um"), 3, s.spacing_um);
    s.has_origin = clm_json_numbers(clm_json_get(v, "origin_um"), 3, s.origin_um);
    s.has_shape = clm_json_ints(clm_json_get(v, "shape"), 3, s.shape);
    s.has_input_spacing = clm_json_numbers(clm_json_get(v, "input_spacing_um"), 3, s.input_spacing_um);
    ok = clm_json_int(clm_json_get(v, "chunk_vox"), &s.chunk_vox) && ok;
    ok = clm_json_int(clm_json_get(v, "shard_vox"), &s.shard_vox) && ok;
    ok = clm_json_int(clm_json_get(v, "threads"), &s.threads) && ok;
    ok = clm_json_number(clm_json_get(v, "task_mib"), &s.task_mib) && ok;
    ok = clm_json_number(clm_json_get(v, "cache_mib"), &s.cache_mib) && ok;
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "what to apply is told incompletely");
    *out = s;
    return true;
}
