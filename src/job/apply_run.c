#include "collimate/job/apply_run.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/job/record.h"
#include "collimate/job/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the grid of the output ---- */

static bool lay_grid(const clm_apply_spec *s, const clm_map *map, clm_image_frame *out, clm_err *err) {
    clm_image_frame f = map->fixed;
    if (s->like && !clm_view_frame_like(s->like, s->like_level, &f, err)) return false;
    bool known = f.shape[0] > 0;
    if (!known && !(s->has_spacing && s->has_origin && s->has_shape))
        return clm_fail(
            err, CLM_E_ARG,
            "the transform does not tell the fixed grid: give --like IMAGE, or --spacing, --origin and "
            "--shape");
    for (int d = 0; d < 3; d++) {
        double spacing = s->has_spacing ? s->spacing_um[d] : f.spacing_um[d];
        if (!(spacing > 0.0 && spacing < 1e9))
            return clm_fail(err, CLM_E_ARG, "--spacing: %g micrometres", spacing);
        /* another spacing or origin alone: the same box of the world, edge to edge */
        double begin = f.origin_um[d] - 0.5 * f.spacing_um[d];
        double origin = s->has_origin    ? s->origin_um[d]
                        : s->has_spacing ? begin + 0.5 * spacing
                                         : f.origin_um[d];
        double end = begin + (double)f.shape[d] * f.spacing_um[d];
        double n = s->has_shape                      ? (double)s->shape[d]
                   : s->has_spacing || s->has_origin ? fmax(ceil((end - origin) / spacing + 0.5 - 1e-9), 1.0)
                                                     : (double)f.shape[d];
        if (!(n >= 1.0 && n < 1e12))
            return clm_fail(err, CLM_E_ARG, "--shape: %g voxels along axis %d", n, d);
        out->shape[d] = (int64_t)n;
        out->spacing_um[d] = spacing;
        out->origin_um[d] = origin;
    }
    return true;
}

/* the coarsest level that is still as fine as the output on every axis */
static int level_for(const clm_image_info *info, const clm_image_frame *grid) {
    int best = 0;
    for (int k = 1; k < info->n_levels; k++) {
        bool fits = true;
        for (int d = 0; d < 3; d++)
            fits = fits && info->level[k].spacing_um[d] <=
                               1.001 * fmax(grid->spacing_um[d], info->level[0].spacing_um[d]);
        if (fits) best = k;
    }
    return best;
}

/* ---- opening ---- */

static bool open_input(clm_apply_run *run, clm_err *err) {
    const clm_apply_spec *s = &run->spec;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.option = "--input-spacing";
    o.all = true;
    o.channel = s->channel;
    o.time = s->time;
    o.has_spacing = s->has_input_spacing;
    memcpy(o.spacing_um, s->input_spacing_um, sizeof o.spacing_um);
    if (!clm_image_open(s->input, &o, &run->image, err)) return false;
    clm_image_use_cache(run->image, run->cache);
    return true;
}

static bool set_source(clm_apply_run *run, const clm_image_frame *grid, clm_err *err) {
    const clm_apply_spec *s = &run->spec;
    const clm_image_info *info = clm_image_info_of(run->image);
    bool nearest = s->labels || strcmp(s->interpolation, "nearest") == 0;
    bool cubic = strcmp(s->interpolation, "cubic") == 0;
    if (!nearest && !cubic && strcmp(s->interpolation, "linear") != 0)
        return clm_fail(err, CLM_E_ARG, "--interpolation %s: must be linear, cubic or nearest",
                        s->interpolation);
    if (s->labels && (info->scaled || !(clm_dtype_is_integer(info->dtype) || info->dtype == CLM_BOOL)))
        return clm_fail(err, CLM_E_ARG, "%s: --labels wants integers, not %s%s", s->input,
                        info->scaled ? "scaled " : "", clm_dtype_name(info->dtype));
    if (s->level >= info->n_levels)
        return clm_fail(err, CLM_E_ARG, "--level %lld: %s has levels 0 to %d", (long long)s->level, s->input,
                        info->n_levels - 1);
    run->what = (clm_resampled){.image = run->image,
                                .level = s->level >= 0 ? (int)s->level
                                         : nearest     ? 0
                                                       : level_for(info, grid),
                                .channel = -1,
                                .time = -1,
                                .interp = nearest ? CLM_INTERP_NEAREST
                                          : cubic ? CLM_INTERP_CUBIC
                                                  : CLM_INTERP_LINEAR,
                                .outside = s->outside,
                                .dtype = info->scaled              ? CLM_F32
                                         : info->dtype == CLM_BOOL ? CLM_U8
                                                                   : info->dtype};
    return true;
}

static void lay_stages(clm_apply_run *run) {
    const clm_output *o = &run->output;
    for (int k = 0; k <= o->n_levels; k++) {
        clm_stage *s = &run->stage[run->plan.n_stages++];
        *s = (clm_stage){.fatal = true, .shape = {1, 1, 1}};
        if (k < o->n_levels) clm_output_tasks(o, k, s->shape);
        s->n = s->shape[0] * s->shape[1] * s->shape[2];
        if (k == 0)
            (void)snprintf(s->name, sizeof s->name, "apply");
        else if (k < o->n_levels)
            (void)snprintf(s->name, sizeof s->name, "pyramid.%d", k);
        else
            (void)snprintf(s->name, sizeof s->name, "finish");
    }
    run->plan.stage = run->stage;
    run->plan.ctx = run;
}

/* what decides the bytes: not threads nor budgets */
static bool plan_hash(clm_apply_run *run, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    clm_apply_spec s = run->spec;
    s.threads = 0;
    s.task_mib = s.cache_mib = 0.0;
    bool ok = clm_apply_spec_to_json(&s, &v, err) && clm_json_print(v, false, &b, err);
    uint64_t h = ok ? clm_hash64(CLM_HASH_BEGIN, b.data, b.n) : 0;
    const clm_image_frame in = clm_view_frame(run->image, run->what.level), *base = &run->output.base;
    h = clm_hash64(clm_map_hash(&run->map, h), in.shape, sizeof in.shape);
    h = clm_hash64(clm_hash64(h, in.spacing_um, sizeof in.spacing_um), in.origin_um, sizeof in.origin_um);
    h = clm_hash64(h, base->shape, sizeof base->shape);
    h = clm_hash64(clm_hash64(h, base->spacing_um, sizeof base->spacing_um), base->origin_um,
                   sizeof base->origin_um);
    run->plan.hash = clm_hash64(h, CLM_VERSION, strlen(CLM_VERSION));
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

/* a name that promises another format is not given to a folder of OME-Zarr */
static bool check_name(const char *path, clm_err *err) {
    static const char *const others[] = {".n5", ".nii", ".nii.gz", ".nrrd", ".tif", ".tiff", ".h5", ".hdf5"};
    bool other = strstr(path, ".n5/") != NULL;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) other |= clm_text_ends(path, others[i]);
    return !other || clm_fail(err, CLM_E_ARG,
                              "%s: OME-Zarr is written: give a name that ends in .ome.zarr, and collimate "
                              "convert makes another format of it",
                              path);
}

static bool open_all(clm_apply_run *run, int share, clm_err *err) {
    clm_apply_spec *s = &run->spec;
    clm_image_frame grid;
    if (!clm_apply_spec_of_json(run->json, s, err) || !check_name(s->output, err)) return false;
    size_t cache = (size_t)(s->cache_mib / share * 1048576.0);
    if (!clm_path_join(run->folder, s->output, CLM_RECORD_FOLDER, err) ||
        !clm_map_open(s->transforms, s->n_transforms, cache / 4, &run->map, err) ||
        !clm_cache_open(cache - cache / 4, &run->cache, err) || !open_input(run, err) ||
        !lay_grid(s, &run->map, &grid, err) || !set_source(run, &grid, err))
        return false;
    const clm_image_info *info = clm_image_info_of(run->image);
    clm_output *o = &run->output;
    if (!clm_path_format(o->path, err, "%s", s->output)) return false;
    o->dtype = run->what.dtype;
    o->labels = s->labels;
    o->channels = s->channel >= 0 ? 1 : info->channels;
    o->times = s->time >= 0 ? 1 : info->times;
    const int64_t block = s->shard_vox ? s->shard_vox : s->chunk_vox;
    if (block % s->chunk_vox)
        return clm_fail(err, CLM_E_ARG, "--shard %lld is no multiple of --chunk %lld", (long long)block,
                        (long long)s->chunk_vox);
    for (int d = 0; s->shard_vox && d < 3; d++) o->inner[d] = s->chunk_vox;
    clm_output_lay(o, &grid, block, s->pyramid);
    lay_stages(run);
    return plan_hash(run, err);
}

bool clm_apply_open(clm_json *v, int share, clm_apply_run **out, clm_err *err) {
    clm_apply_run *run = clm_heap_new(1, sizeof *run, err);
    if (!run) {
        clm_json_free(v);
        return false;
    }
    run->json = v;
    if (!open_all(run, share, err)) {
        clm_apply_close(run);
        return false;
    }
    *out = run;
    return true;
}

void clm_apply_close(clm_apply_run *run) {
    if (!run) return;
    clm_output_close(&run->output);
    clm_image_close(run->image);
    clm_map_close(&run->map);
    clm_cache_close(run->cache);
    clm_json_free(run->json);
    clm_heap_free(run);
}

/* ---- the output's folder ---- */

static clm_record record_of(const clm_apply_run *run) {
    return (clm_record){.out = run->output.path, .name = "apply.json", .plan = run->plan.hash};
}

/* looks at every file of the transform's fields */
static bool stamp(const clm_apply_run *run, clm_record *r, clm_err *err) {
    return clm_map_stamp(&run->map, &r->inputs, err) && clm_image_stamp(run->image, &r->inputs, err);
}

bool clm_apply_fits(const clm_apply_run *run, clm_err *err) {
    clm_record r = record_of(run);
    bool fresh;
    return (!clm_record_is_there(&r) || stamp(run, &r, err)) && clm_record_check(&r, &fresh, err);
}

bool clm_apply_prepare(clm_apply_run *run, clm_err *err) {
    clm_record r = record_of(run);
    bool fresh;
    if (!stamp(run, &r, err) || !clm_record_check(&r, &fresh, err)) return false;
    return !fresh || (clm_folder_make(run->folder, err) && clm_output_create(&run->output, err) &&
                      clm_record_write(&r, run->json, err));
}

/* ---- tasks ---- */

bool clm_apply_stage_begin(clm_apply_run *run, int stage, clm_err *err) {
    (void)stage;
    return clm_output_open(&run->output, err);
}

typedef struct applying {
    const clm_apply_run *run;
    const clm_work *w;
    clm_resampled what;
    double inside, unsolved; /* voxels that come from inside the image; that have no position */
} applying;

static bool apply_box(void *ctx, clm_box box, void *voxels, clm_err *err) {
    applying *k = ctx;
    const clm_image_frame *base = &k->run->output.base;
    clm_mark keep = clm_arena_mark(k->w->keep), temp = clm_arena_mark(k->w->temp);
    clm_vol grid = {.data = NULL};
    double n = (double)clm_box_count(box), inside = 0;
    int64_t unsolved = 0;
    for (int d = 0; d < 3; d++) {
        grid.shape[d] = box.hi[d] - box.lo[d];
        grid.spacing[d] = base->spacing_um[d];
        grid.origin[d] = base->origin_um[d] + (double)box.lo[d] * base->spacing_um[d];
    }
    bool ok = clm_resample(k->w, &k->what, &k->run->map, &grid, voxels, &inside, &unsolved, err);
    k->inside += inside * n;
    k->unsolved += (double)unsolved;
    clm_arena_rewind(k->w->keep, keep);
    clm_arena_rewind(k->w->temp, temp);
    return ok;
}

static bool apply_chunk(const clm_apply_run *run, const clm_work *w, int64_t task, double figure[2],
                        clm_err *err) {
    const clm_output *o = &run->output;
    int64_t chunk, channel, time;
    applying k = {.run = run, .w = w, .what = run->what};
    clm_output_task(o, 0, task, &chunk, &channel, &time);
    k.what.channel = run->spec.channel >= 0 ? -1 : channel;
    k.what.time = run->spec.time >= 0 ? -1 : time;
    if (!clm_output_put_from(o, 0, task, apply_box, &k, err)) return false;
    figure[1] = k.unsolved;
    figure[0] = k.inside / (double)clm_box_count(clm_grid_core(&o->level[0], chunk));
    return true;
}

bool clm_apply_task(const clm_apply_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                    clm_err *err) {
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    bool ok;
    if (task->stage == 0)
        ok = apply_chunk(run, w, task->index, out->figure, err);
    else if (task->stage < run->output.n_levels)
        ok = clm_output_coarsen(&run->output, w, task->stage, task->index, err);
    else
        ok = clm_output_finish(&run->output, clm_path_name(run->output.path), NULL, err);
    out->peak_bytes = (double)clm_arena_peak(w->keep);
    return ok;
}
