#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "evaluate_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define IMAGE_BLOCK 128 /* voxels */
#define FIELD_BLOCK 64  /* nodes  */
#define LABEL_BLOCK 96
#define MOST_TASKS 4096      /* a stage: their parts are read by one task */
#define MOST_RANGE_TASKS 256 /* whose parts may be large */

const char *const clm_judged_name[CLM_JUDGED_COUNT] = {"before", "affine", "after"};
const char *const clm_evaluate_map_name[CLM_EVALUATE_MAPS] = {"local_ncc_before", "local_ncc_after",
                                                              "jacobian", "displacement"};

/* ---- opening ---- */

/* a run folder tells what is not said on the command line */
static bool open_run(clm_evaluate *e, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    const char *run = e->spec.run;
    bool ok = clm_path_join(path, run, "job.json", err) && clm_json_read(path, &v, err) &&
              clm_config_new(&e->config, err) && clm_config_put(e->config, v, path, err) &&
              clm_config_put_text(e->config, "out", run, err) && clm_run_open(e->config, &e->run, err);
    clm_json_free(v);
    return ok || clm_err_in(err, "%s", run);
}

enum { FIXED, MOVING, ALIGNED, FIXED_LABELS, MOVING_LABELS };

static bool open_image(clm_evaluate *e, int which, const char *path, clm_err *err) {
    const clm_evaluate_spec *s = &e->spec;
    bool moving = which == MOVING || which == MOVING_LABELS;
    clm_image_options io = CLM_IMAGE_DEFAULTS;
    if (!path) return true;
    io.option = moving ? "--moving-spacing" : "--fixed-spacing";
    io.has_spacing = moving ? s->has_moving_spacing : s->has_fixed_spacing;
    memcpy(io.spacing_um, moving ? s->moving_spacing_um : s->fixed_spacing_um, sizeof io.spacing_um);
    if (which <= ALIGNED) {
        io.channel = which == FIXED ? s->fixed_channel : s->moving_channel;
        io.time = which == FIXED ? s->fixed_time : s->moving_time;
    }
    if (!clm_image_open(path, &io, &e->opened[which], err)) return false;
    clm_image_use_cache(e->opened[which], e->cache);
    return true;
}

static double least_of(const double v[3]) { return fmin(v[0], fmin(v[1], v[2])); }

static double least_spacing(const clm_image *im) {
    return least_of(clm_image_info_of(im)->level[0].spacing_um);
}

static bool open_images(clm_evaluate *e, clm_err *err) {
    const clm_evaluate_spec *s = &e->spec;
    const clm_run *r = e->run;
    if (!open_image(e, FIXED, s->fixed, err) || !open_image(e, MOVING, s->moving, err) ||
        !open_image(e, ALIGNED, s->aligned, err) || !open_image(e, FIXED_LABELS, s->fixed_labels, err) ||
        !open_image(e, MOVING_LABELS, s->moving_labels, err))
        return false;
    e->fixed = e->opened[FIXED] ? e->opened[FIXED] : r ? r->fixed : NULL;
    e->moving = e->opened[MOVING] ? e->opened[MOVING] : r ? r->moving : NULL;
    e->aligned = e->opened[ALIGNED];
    e->labels[0] = e->opened[FIXED_LABELS];
    e->labels[1] = e->opened[MOVING_LABELS];
    if (!e->labels[0] != !e->labels[1])
        return clm_fail(err, CLM_E_ARG, "--fixed-labels and --moving-labels go together");
    if (e->labels[0] && e->spec.surface_reach_um < 0.0)
        e->spec.surface_reach_um = 10.0 * least_spacing(e->labels[0]);
    e->has_images = e->fixed && (e->moving || e->aligned);
    if (!e->has_images) return true;
    double um = fmax(least_spacing(e->fixed), s->spacing_um);
    if (r && s->spacing_um <= 0.0) um = fmax(um, e->config->align_spacing_um);
    e->fixed_view = clm_view_make(e->fixed, um);
    if (r && !clm_run_open_foreground(e->run, err)) return false;
    if (r && e->fixed == r->fixed)
        e->fixed_view.mask = r->fixed_mask, e->fixed_view.foreground = r->coarse_fixed.foreground;
    if (e->moving) e->moving_view = clm_view_make(e->moving, um);
    if (r && e->moving == r->moving)
        e->moving_view.mask = r->moving_mask, e->moving_view.foreground = r->coarse_moving.foreground;
    if (e->aligned) e->aligned_view = clm_view_make(e->aligned, um);
    return true;
}

static bool check_aligned(const clm_evaluate *e, clm_err *err) {
    for (int d = 0; e->aligned && d < 3; d++) {
        const clm_view *f = &e->fixed_view, *a = &e->aligned_view;
        double shift = fabs(f->origin[d] - a->origin[d]), step = fabs(f->spacing[d] / a->spacing[d] - 1.0);
        if (f->shape[d] != a->shape[d] || shift > 1e-3 * f->spacing[d] || step > 1e-6)
            return clm_fail(
                err, CLM_E_ARG,
                "the aligned volume is not on the fixed volume's grid: along axis %d %lld voxels of "
                "%g um from %g, not %lld of %g from %g",
                d, (long long)a->shape[d], a->spacing[d], a->origin[d], (long long)f->shape[d], f->spacing[d],
                f->origin[d]);
    }
    return true;
}

/* ---- the transform ---- */

static bool open_coverage(clm_evaluate *e, const char *path, clm_err *err) {
    char array[CLM_PATH_MAX];
    if (!clm_path_join(array, path, "coordinateTransformations/coverage", err)) return false;
    if (e->coverage || clm_path_kind_of(array) != CLM_PATH_FOLDER) return true;
    if (!clm_array_open(array, &e->coverage, err)) return false;
    const clm_array_info *i = clm_array_info_of(e->coverage);
    bool fits = e->stored && i->ndim == 3 && i->dtype == CLM_F32;
    for (int d = 0; d < 3; d++) fits = fits && i->shape[d] == e->lattice.shape[d];
    if (fits) return true;
    clm_array_close(e->coverage); /* of another lattice than what is looked at */
    e->coverage = NULL;
    return true;
}

/* The nodes at which the field is looked at: its own, or for a chain of several steps those of a lattice over the
 * fixed grid as fine as the finest field. */
static bool lay_lattice(clm_evaluate *e, clm_err *err) {
    const clm_map_step *s = e->map.step;
    clm_vol *l = &e->lattice;
    e->stored =
        s[0].kind == CLM_STEP_FIELD && (e->map.n == 1 || (e->map.n == 2 && s[1].kind == CLM_STEP_AFFINE));
    for (int d = 0; e->stored && d < 3; d++) {
        l->shape[d] = s[0].field.shape[d];
        l->spacing[d] = s[0].field.spacing_um[d];
        l->origin[d] = s[0].field.origin_um[d];
    }
    if (e->stored) return true;
    clm_image_frame f = e->map.fixed;
    if (e->fixed) f = clm_view_frame(e->fixed, 0);
    if (!f.shape[0])
        return clm_fail(err, CLM_E_ARG,
                        "a chain of transforms does not tell where it is to be judged: give --fixed");
    for (int d = 0; d < 3; d++) {
        double extent = (double)(f.shape[d] - 1) * f.spacing_um[d], um = INFINITY;
        for (int i = 0; i < e->map.n; i++)
            if (s[i].kind != CLM_STEP_AFFINE) um = fmin(um, s[i].field.spacing_um[d]);
        if (extent > 0.0) um = fmin(um, extent);
        l->shape[d] = (int64_t)floor(extent / um + 1e-9) + 1;
        l->spacing[d] = um;
        l->origin[d] = f.origin_um[d];
    }
    return true;
}

static void lay_faces(clm_evaluate *e) {
    const clm_evaluate_spec *s = &e->spec;
    const clm_run *r = e->run;
    for (int d = 0; s->has_block && e->fixed && d < 3; d++) { /* between the voxels of two blocks */
        const clm_image_level *f = &clm_image_info_of(e->fixed)->level[0];
        if (s->block_vox[d] >= (double)f->shape[d]) continue;
        e->faces.period[d] = s->block_vox[d] * f->spacing_um[d] / e->lattice.spacing[d];
        e->faces.at[d] =
            (f->origin_um[d] - 0.5 * f->spacing_um[d] - e->lattice.origin[d]) / e->lattice.spacing[d];
    }
    if (s->has_block || !r || s->n_transforms || !r->n_passes) return;
    const clm_lattice_plan *l = &r->pass[r->n_passes - 1].lattice;
    for (int d = 0; d < 3; d++)
        if (l->blocks.shape[d] > 1) e->faces.period[d] = (double)(l->blocks.block[d] / l->pitch);
}

static bool open_map(clm_evaluate *e, clm_err *err) {
    char scene[CLM_PATH_MAX];
    clm_evaluate_spec *s = &e->spec;
    const char *const *paths = s->n_transforms ? s->transforms : &s->run;
    int n = s->n_transforms ? s->n_transforms : s->run ? 1 : 0;
    size_t cache = (size_t)(s->cache_mib * 1048576.0 / 4.0);
    e->affine = CLM_AFFINE_IDENTITY;
    if (s->inverse && !n) return clm_fail(err, CLM_E_ARG, "--inverse needs a transform to go there first");
    if (n == 0) return true;
    if (!clm_map_open(paths, n, cache, &e->map, err)) return false;
    e->has_map = true;
    for (int i = 0; i < e->map.n; i++) {
        if (e->map.step[i].kind == CLM_STEP_AFFINE)
            e->affine = clm_affine_compose(&e->map.step[i].affine, &e->affine);
        else
            e->has_field = true;
    }
    if (e->has_field) {
        if (!lay_lattice(e, err)) return false;
        lay_faces(e);
    }
    if (n == 1 && (!clm_path_join(scene, paths[0], CLM_RUN_TRANSFORM, err) || !open_coverage(e, scene, err) ||
                   !open_coverage(e, paths[0], err)))
        return false;
    e->target = e->moving ? clm_view_frame(e->moving, 0) : e->map.moving;
    if (!s->inverse) return true;
    e->has_inverse = true;
    if (strcmp(s->inverse, "stored") == 0) {
        bool stored;
        return clm_map_open_stored_back(paths, n, cache, &e->inverse, &stored, err) &&
               (stored ||
                clm_fail(err, CLM_E_ARG,
                         "--inverse stored: the transform has none; collimate invert --store makes it"));
    }
    if (strcmp(s->inverse, "solved") != 0) return clm_map_open(&s->inverse, 1, cache, &e->inverse, err);
    return clm_map_open(paths, n, cache, &e->inverse, err) && clm_map_turn(&e->inverse, err);
}

/* ---- the plan ---- */

static void add_stage(clm_evaluate *e, clm_evaluate_kind kind, const char *name, int64_t blocks,
                      int64_t most) {
    int i = e->plan.n_stages++;
    clm_stage *s = &e->stage[i];
    e->kind[i] = kind;
    e->per_task[kind] = clm_div_up(blocks, most);
    *s = (clm_stage){.fatal = true, .n = clm_div_up(blocks, e->per_task[kind])};
    s->shape[0] = s->shape[1] = 1;
    s->shape[2] = s->n;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
}

static void lay_image_stages(clm_evaluate *e) {
    const clm_view *moving = e->moving ? &e->moving_view : &e->aligned_view;
    clm_grid fixed = clm_grid_even(e->fixed_view.shape, IMAGE_BLOCK, 0, 1);
    e->moving_blocks = clm_grid_even(moving->shape, IMAGE_BLOCK, 0, 1);
    e->blocks[CLM_EVALUATE_RANGE] = e->blocks[CLM_EVALUATE_RANGE_FINE] = e->blocks[CLM_EVALUATE_IMAGES] =
        fixed;
    add_stage(e, CLM_EVALUATE_RANGE, "ranges", fixed.n + e->moving_blocks.n, MOST_RANGE_TASKS);
    add_stage(e, CLM_EVALUATE_RANGE_PICK, "ranges.pick", 1, 1);
    add_stage(e, CLM_EVALUATE_RANGE_FINE, "ranges.fine", fixed.n + e->moving_blocks.n, MOST_RANGE_TASKS);
    add_stage(e, CLM_EVALUATE_RANGE_END, "ranges.end", 1, 1);
    add_stage(e, CLM_EVALUATE_IMAGES, "images", fixed.n, MOST_TASKS);
}

static void lay_plan(clm_evaluate *e) {
    const int64_t block[3] = {FIELD_BLOCK, FIELD_BLOCK, FIELD_BLOCK};
    if (e->has_images) lay_image_stages(e);
    if (e->has_field) {
        clm_grid g = clm_grid_chunks(e->lattice.shape, block);
        e->blocks[CLM_EVALUATE_FIELD] = e->blocks[CLM_EVALUATE_FIELD_FINE] = g;
        add_stage(e, CLM_EVALUATE_FIELD, "field", g.n, MOST_TASKS);
        add_stage(e, CLM_EVALUATE_FIELD_PICK, "field.pick", 1, 1);
        add_stage(e, CLM_EVALUATE_FIELD_FINE, "field.fine", g.n, MOST_TASKS);
    }
    if (e->labels[0]) {
        clm_grid g = clm_grid_even(clm_image_info_of(e->labels[0])->level[0].shape, LABEL_BLOCK, 0, 1);
        e->blocks[CLM_EVALUATE_LABELS] = g;
        add_stage(e, CLM_EVALUATE_LABELS, "labels", g.n, MOST_TASKS);
    }
    add_stage(e, CLM_EVALUATE_FINISH, "finish", 1, 1);
    e->plan.stage = e->stage;
    e->plan.ctx = e;
}

/* of both arenas: a block as stored, when views reduce it, and ten times as it is worked on */
static double task_mib(const clm_evaluate *e) {
    if (e->spec.task_mib > 0) return e->spec.task_mib;
    const clm_view *views[3] = {&e->fixed_view, &e->moving_view, &e->aligned_view};
    double edge = IMAGE_BLOCK * 1.5 + 2.0 * (double)e->spec.radius_vox + 8.0, most = 1.0;
    for (int k = 0; k < 3; k++)
        if (views[k]->image)
            most = fmax(most, (double)(views[k]->factor[0] * views[k]->factor[1] * views[k]->factor[2]));
    /* the affine may stretch a block on its way to the moving image */
    return fmax(2048.0, 2.0 * (4.0 * edge * edge * edge * (10.0 + 4.0 * most) / 1048576.0 + 64.0));
}

static bool set_hash(clm_evaluate *e, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    clm_evaluate_spec s = e->spec;
    s.threads = 0;
    s.cache_mib = s.task_mib = 0.0;
    bool ok = clm_evaluate_spec_to_json(&s, &v, err) && clm_json_print(v, false, &b, err);
    uint64_t h = ok ? clm_hash64(CLM_HASH_BEGIN, b.data, b.n) : 0;
    for (int k = 0; k < e->plan.n_stages; k++) h = clm_hash64(h, &e->stage[k].n, sizeof e->stage[k].n);
    h = clm_map_hash(&e->inverse, clm_map_hash(&e->map, h));
    e->plan.hash = clm_hash64(h, CLM_VERSION, strlen(CLM_VERSION));
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool open_all(clm_evaluate *e, clm_err *err) {
    clm_evaluate_spec *s = &e->spec;
    if (!clm_evaluate_spec_of_json(e->json, s, err) || (s->run && !open_run(e, err)) ||
        !clm_cache_open((size_t)(s->cache_mib * 1048576.0 / 2.0), &e->cache, err) || !open_images(e, err) ||
        !open_map(e, err) || !check_aligned(e, err))
        return false;
    const clm_affine identity = CLM_AFFINE_IDENTITY;
    e->judged[CLM_JUDGED_BEFORE] = true;
    e->judged[CLM_JUDGED_AFFINE] = e->has_field && memcmp(&e->affine, &identity, sizeof identity) != 0;
    e->judged[CLM_JUDGED_AFTER] = e->has_map;
    if (!e->has_images && !e->has_map && !e->labels[0] && !s->landmarks)
        return clm_fail(err, CLM_E_ARG,
                        "nothing to evaluate: a run folder, or --fixed and --moving; see --help");
    lay_plan(e);
    e->task_mib = task_mib(e);
    return set_hash(e, err);
}

bool clm_evaluate_open(clm_json *v, clm_evaluate **out, clm_err *err) {
    clm_evaluate *e = clm_heap_new(1, sizeof *e, err);
    if (!e) {
        clm_json_free(v);
        return false;
    }
    e->json = v;
    if (!open_all(e, err)) {
        clm_evaluate_close(e);
        return false;
    }
    *out = e;
    return true;
}

void clm_evaluate_close(clm_evaluate *e) {
    if (!e) return;
    for (int k = 0; k < CLM_EVALUATE_MAPS; k++) clm_array_close(e->maps[k]);
    for (int k = 0; k < 5; k++) clm_image_close(e->opened[k]);
    clm_array_close(e->coverage);
    clm_map_close(&e->map);
    clm_map_close(&e->inverse);
    clm_run_close(e->run);
    clm_config_free(e->config);
    clm_cache_close(e->cache);
    clm_json_free(e->json);
    clm_heap_free(e);
}

/* ---- tasks ---- */

bool clm_evaluate_over(const clm_evaluate *e, const clm_work *w, clm_judged which, const clm_vol *grid,
                       clm_affine *a, clm_field *room, const clm_field **field, clm_err *err) {
    bool has = false;
    const uint8_t *unsolved; /* there the nearest point that was found is judged: its misfit shows */
    *field = NULL;
    if (which == CLM_JUDGED_BEFORE) {
        *a = CLM_AFFINE_IDENTITY;
    } else if (which == CLM_JUDGED_AFFINE) {
        *a = e->affine;
    } else if (!clm_map_over(&e->map, w, grid, a, room, &has, &unsolved, err)) {
        return false;
    }
    if (has) *field = room;
    return true;
}

bool clm_evaluate_prepare(clm_evaluate *e, clm_err *err) {
    return clm_folder_make(e->spec.folder, err) && (!e->spec.maps || clm_evaluate_maps_create(e, err));
}

/* what the images take, of the stage that found it */
static bool open_ranges(clm_evaluate *e, clm_err *err) {
    double found[CLM_SETS][CLM_PARTS];
    clm_spill s;
    clm_arena *a = NULL;
    bool ok = clm_arena_open((size_t)1 << 20, &a, err) &&
              clm_evaluate_get(e, CLM_EVALUATE_RANGE_END, 0, a, &s, err) &&
              clm_bytes_of(&s, "found", found, sizeof found, err);
    for (int k = 0; ok && k < 2; k++) {
        e->range[k][0] = found[k][0];
        e->range[k][1] = found[k][1] > found[k][0] ? found[k][1] : found[k][0] + 1.0;
        if (!isfinite(found[k][0]))
            ok = clm_fail(err, CLM_E_NODATA, "the %s image has no finite values", k ? "moving" : "fixed");
    }
    clm_arena_close(a);
    return ok;
}

bool clm_evaluate_stage_begin(clm_evaluate *e, int stage, clm_err *err) {
    switch (e->kind[stage]) {
    case CLM_EVALUATE_RANGE_FINE: return clm_evaluate_picks(e, CLM_EVALUATE_RANGE_PICK, err);
    case CLM_EVALUATE_FIELD_FINE: return clm_evaluate_picks(e, CLM_EVALUATE_FIELD_PICK, err);
    case CLM_EVALUATE_IMAGES: return open_ranges(e, err) && clm_evaluate_maps_open(e, err);
    case CLM_EVALUATE_FIELD: return clm_evaluate_maps_open(e, err);
    case CLM_EVALUATE_FINISH: return !e->has_images || open_ranges(e, err); /* a launch may begin here */
    default: return true;
    }
}

bool clm_evaluate_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_outcome *out,
                       clm_err *err) {
    static clm_evaluate_fn *const run[CLM_EVALUATE_KINDS] = {
        [CLM_EVALUATE_RANGE] = clm_evaluate_count_task,
        [CLM_EVALUATE_RANGE_PICK] = clm_evaluate_pick_task,
        [CLM_EVALUATE_RANGE_FINE] = clm_evaluate_fine_task,
        [CLM_EVALUATE_RANGE_END] = clm_evaluate_range_task,
        [CLM_EVALUATE_IMAGES] = clm_evaluate_images_task,
        [CLM_EVALUATE_FIELD] = clm_evaluate_count_task,
        [CLM_EVALUATE_FIELD_PICK] = clm_evaluate_pick_task,
        [CLM_EVALUATE_FIELD_FINE] = clm_evaluate_fine_task,
        [CLM_EVALUATE_LABELS] = clm_evaluate_labels_task,
        [CLM_EVALUATE_FINISH] = clm_evaluate_finish_task};
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    bool ok = run[e->kind[task->stage]](e, w, task, err);
    out->peak_bytes = (double)clm_arena_peak(w->keep) + (double)clm_arena_peak(w->temp);
    return ok;
}
