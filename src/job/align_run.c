#include "collimate/job/align_run.h"
#include "collimate/base/crc.h"
#include "collimate/image/reduce.h"
#include "collimate/align/deform.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SPOTS_BLOCK 128 /* voxels of the coarse level */
#define FIELD_CHUNK 32  /* nodes */
#define COARSER 1.5     /* stored so much coarser than the other image is worked at: worked at that */
#define COARSE_FACTOR 4 /* a larger reduction is a stage of its own */
#define COARSE_EDGE 256 /* stored voxels an axis that one of its tasks reads */
#define FOREGROUND_CHUNK 128
#define FOREGROUND_VOXELS 262144 /* that the foreground is looked for on, at most */
#define FOREGROUND_LEAST 16      /* voxels that an axis of them keeps             */
#define MEASURE_BLOCK 128        /* voxels */

bool clm_run_path(const clm_run *run, char out[CLM_PATH_MAX], clm_err *err, const char *fmt, ...) {
    char name[CLM_PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= (int)sizeof name) return clm_fail(err, CLM_E_ARG, "path too long: %.60s...", name);
    return clm_path_join(out, run->folder, name, err);
}

bool clm_run_spill_path(const clm_run *run, int stage, int64_t index, char out[CLM_PATH_MAX], clm_err *err) {
    /* at most 1000 files a folder */
    return clm_run_path(run, out, err, "spill/%s/%lld/%lld.spill", run->stage[stage].name,
                        (long long)(index / 1000), (long long)(index % 1000));
}

bool clm_run_failed_path(const clm_run *run, int stage, int64_t index, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_run_path(run, out, err, CLM_RUN_FAILED "/%s/%lld/%lld", run->stage[stage].name,
                        (long long)(index / 1000), (long long)(index % 1000));
}

int clm_run_stage_of(const clm_run *run, clm_job_kind kind, int part) {
    for (int s = 0; s < run->plan.n_stages; s++)
        if (run->kind[s] == kind && run->part[s] == part) return s;
    return -1;
}

/* ---- which chunks of a field a block feeds, and the converse ---- */

static clm_span stitch_needs(const void *ctx, int stage, const int64_t at[3]) {
    const clm_run *run = ctx;
    const clm_pass *p = &run->pass[run->part[stage]];
    const int64_t around[3] = {CLM_FLOOR_REACH, CLM_FLOOR_REACH, CLM_FLOOR_REACH};
    clm_box nodes = clm_grid_core(&p->chunks, clm_grid_index(&p->chunks, at)), voxels;
    nodes = clm_box_meet(clm_box_grow(nodes, around), clm_box_of(p->lattice.shape));
    for (int d = 0; d < 3; d++) {
        voxels.lo[d] = nodes.lo[d] * p->lattice.pitch;
        voxels.hi[d] = (nodes.hi[d] - 1) * p->lattice.pitch + 1;
        /* nodes beyond the last voxel belong to the last block */
        if (voxels.lo[d] >= p->lattice.blocks.extent[d]) voxels.lo[d] = p->lattice.blocks.extent[d] - 1;
    }
    int64_t reach[3];
    clm_lattice_reach(&p->lattice, reach);
    return clm_grid_touching(&p->lattice.blocks, voxels, reach);
}

static clm_span stitch_feeds(const void *ctx, int stage, const int64_t at[3]) {
    const clm_run *run = ctx;
    const clm_pass *p = &run->pass[run->part[stage]];
    clm_box padded = clm_grid_padded(&p->lattice.blocks, clm_grid_index(&p->lattice.blocks, at));
    const int64_t around[3] = {CLM_FLOOR_REACH, CLM_FLOOR_REACH, CLM_FLOOR_REACH};
    return clm_grid_touching(&p->chunks, clm_lattice_nodes(&p->lattice, padded), around);
}

/* ---- the geometry of the stages ---- */

static double least_spacing(const clm_image *image) {
    const double *s = clm_image_info_of(image)->level[0].spacing_um;
    return fmin(s[0], fmin(s[1], s[2]));
}

static double count_at(const clm_image *image, double spacing_um) {
    clm_view v = clm_view_make(image, spacing_um);
    return (double)v.shape[0] * (double)v.shape[1] * (double)v.shape[2];
}

static clm_view view_of(const clm_run *run, bool is_fixed, double spacing_um) {
    clm_view v = clm_view_make(is_fixed ? run->fixed : run->moving, spacing_um);
    v.mask = is_fixed ? run->fixed_mask : run->moving_mask;
    if (is_fixed ? run->config->mask_fixed_foreground : run->config->mask_moving_foreground)
        v.foreground = &run->foreground_mask[is_fixed ? 0 : 1];
    return v;
}

static void lay_global(clm_run *run, double base_um) {
    double most = run->config->global_max_mvox * 1048576.0, factor = 1.0;
    while (count_at(run->fixed, base_um * factor) > most || count_at(run->moving, base_um * factor) > most) {
        factor += 1.0;
        if (factor > 1e5) break;
    }
    run->coarse_fixed = view_of(run, true, base_um * factor);
    run->coarse_moving = view_of(run, false, base_um * factor);
    const clm_view *views[2] = {&run->coarse_fixed, &run->coarse_moving};
    for (int side = 0; side < 2; side++) {
        int64_t edge[3];
        for (int d = 0; d < 3; d++) {
            int64_t f = views[side]->factor[d];
            if (f > COARSE_FACTOR) run->makes_coarse = true;
            edge[d] = f < COARSE_EDGE / 4 ? COARSE_EDGE / f : 4;
        }
        run->coarse_blocks[side] = clm_grid_chunks(views[side]->shape, edge);
    }
    run->spots_fixed = clm_grid_even(run->coarse_fixed.shape, SPOTS_BLOCK, 0, 1);
    run->spots_moving = clm_grid_even(run->coarse_moving.shape, SPOTS_BLOCK, 0, 1);
}

static void lay_passes(clm_run *run, double base_um) {
    const clm_config *c = run->config;
    /* without deformation one pass without blocks writes the field of what came before */
    run->n_passes = c->deform_enabled ? (int)c->deform_factors.n : 1;
    for (int k = 0; k < run->n_passes; k++) {
        clm_pass *p = &run->pass[k];
        double spacing_um = base_um * (c->deform_enabled ? c->deform_factors.v[k] : 1.0);
        p->fixed = view_of(run, true, spacing_um);
        p->moving = view_of(run, false, spacing_um);
        p->lattice = clm_lattice_plan_make(p->fixed.shape, p->fixed.spacing, p->fixed.origin,
                                           c->deform_block_vox, c->deform_halo_vox, c->deform_pitch_vox);
        p->chunks =
            clm_grid_chunks(p->lattice.shape, (const int64_t[3]){FIELD_CHUNK, FIELD_CHUNK, FIELD_CHUNK});
    }
}

static void lay_output(clm_run *run) {
    clm_image_frame fixed = clm_view_frame(run->fixed, 0);
    run->aligned.times = run->aligned.channels = 1;
    run->aligned.dtype = clm_image_info_of(run->moving)->dtype;
    if (run->config->apply_enabled) clm_output_lay(&run->aligned, &fixed, run->config->apply_chunk_vox, true);
}

/* tissue, not cells: on so few voxels that what lies between them does not show */
static void lay_foreground(const clm_view *v, clm_output *out, int64_t factor[3]) {
    clm_vol voxels = clm_view_grid(v);
    clm_image_frame grid;
    for (int level = 0; clm_reduce_factor(&voxels, level, FOREGROUND_LEAST, factor); level++) {
        double n = 1.0;
        for (int d = 0; d < 3; d++) n *= (double)(v->shape[d] / factor[d]);
        if (n <= FOREGROUND_VOXELS) break;
    }
    for (int d = 0; d < 3; d++) {
        grid.shape[d] = v->shape[d] / factor[d];
        grid.spacing_um[d] = v->spacing[d] * (double)factor[d];
        grid.origin_um[d] = v->origin[d] + 0.5 * (double)(factor[d] - 1) * v->spacing[d];
    }
    out->times = out->channels = 1;
    out->dtype = CLM_U8;
    clm_output_lay(out, &grid, FOREGROUND_CHUNK, false);
}

static void lay_geometry(clm_run *run) {
    const clm_config *c = run->config;
    double base_um = fmax(c->align_spacing_um, least_spacing(run->fixed));
    /* blobs of a few voxels are looked for in either image: these must be of one size */
    double moving_um = least_spacing(run->moving),
           blobs_um = moving_um > COARSER * base_um ? moving_um : base_um;
    lay_global(run, blobs_um);
    run->local_fixed = view_of(run, true, blobs_um * c->local_factor);
    run->local_moving = view_of(run, false, blobs_um * c->local_factor);
    run->local_blocks = clm_grid_even(run->local_fixed.shape, c->local_block_vox, c->local_halo_vox, 1);
    lay_passes(run, base_um);
    run->measure_fixed = view_of(run, true, base_um);
    run->measure_moving = view_of(run, false, base_um);
    run->measure_blocks = clm_grid_even(run->measure_fixed.shape, MEASURE_BLOCK, 0, 1);
    lay_output(run);
    if (c->mask_fixed_foreground)
        lay_foreground(&run->coarse_fixed, &run->foreground[0], run->foreground_factor[0]);
    if (c->mask_moving_foreground)
        lay_foreground(&run->coarse_moving, &run->foreground[1], run->foreground_factor[1]);
}

/* ---- the order of the stages ---- */

static clm_stage *add_stage(clm_run *run, clm_job_kind kind, int part, const int64_t shape[3], bool fatal,
                            const char *name) {
    int s = run->plan.n_stages++;
    run->kind[s] = kind;
    run->part[s] = part;
    clm_stage *stage = &run->stage[s];
    *stage = (clm_stage){.fatal = fatal, .n = shape[0] * shape[1] * shape[2]};
    memcpy(stage->shape, shape, sizeof stage->shape);
    if (kind == CLM_JOB_DEFORM || kind == CLM_JOB_STITCH || kind == CLM_JOB_STIFFNESS ||
        kind == CLM_JOB_MEASURE || kind == CLM_JOB_PYRAMID)
        (void)snprintf(stage->name, sizeof stage->name, "%s.%d", name, part + (kind != CLM_JOB_PYRAMID));
    else
        (void)snprintf(stage->name, sizeof stage->name, "%s", name);
    return stage;
}

/* as soon as what it measures is there, where ranks have nothing better to do */
static void add_measure(clm_run *run, int part) {
    if (!run->config->measure_enabled) return;
    add_stage(run, CLM_JOB_MEASURE, part, run->measure_blocks.shape, false, "measure")->aside = true;
}

static void lay_stages(clm_run *run) {
    static const int64_t one[3] = {1, 1, 1};
    const clm_config *c = run->config;
    const int64_t sides[3] = {1, 1, c->mask_fixed_foreground + c->mask_moving_foreground};
    const bool given = strcmp(c->global_method, "given") == 0;
    if (run->makes_coarse && (!given || sides[2])) {
        int64_t blocks[3] = {1, 1, run->coarse_blocks[0].n + run->coarse_blocks[1].n};
        add_stage(run, CLM_JOB_COARSE, 0, blocks, true, "coarse");
    }
    if (sides[2]) add_stage(run, CLM_JOB_FOREGROUND, 0, sides, true, "foreground");
    add_measure(run, 0);
    if (!given) {
        const int64_t *f = run->spots_fixed.shape, *m = run->spots_moving.shape;
        bool alike =
            f[1] == m[1] && f[2] == m[2]; /* then one grid, so that ranks share it by regions of both */
        int64_t n[3] = {f[0] + m[0], f[1], f[2]}, row[3] = {1, 1, run->spots_fixed.n + run->spots_moving.n};
        add_stage(run, CLM_JOB_SPOTS, 0, alike ? n : row, true,
                  "spots"); /* the global stage needs every block */
    }
    add_stage(run, CLM_JOB_GLOBAL, 0, one, true, "global");
    if (c->local_enabled) {
        add_stage(run, CLM_JOB_LOCAL, 0, run->local_blocks.shape, false, "local");
        add_stage(run, CLM_JOB_LATTICE, 0, one, true, "lattice");
        add_stage(run, CLM_JOB_CHECK, 0, run->local_blocks.shape, false, "check");
        add_stage(run, CLM_JOB_SETTLE, 0, one, true, "settle");
    }
    add_measure(run, 1);
    for (int k = 0; k < run->n_passes; k++) {
        if (c->deform_enabled)
            add_stage(run, CLM_JOB_DEFORM, k, run->pass[k].lattice.blocks.shape, false, "deform");
        clm_stage *s = add_stage(run, CLM_JOB_STITCH, k, run->pass[k].chunks.shape, true, "stitch");
        if (!c->deform_enabled) continue;
        s->start = CLM_STAGE_FOLLOWS;
        s->needs = stitch_needs;
        s->feeds = stitch_feeds;
        if (c->deform_stiffness == 0.0 && k + 1 < run->n_passes)
            add_stage(run, CLM_JOB_STIFFNESS, k, one, true, "stiffness");
    }
    add_measure(run, 2);
    for (int k = 0; k < run->aligned.n_levels; k++)
        add_stage(run, k ? CLM_JOB_PYRAMID : CLM_JOB_APPLY, k, run->aligned.level[k].shape, true,
                  k ? "pyramid" : "apply");
    add_stage(run, CLM_JOB_FINISH, 0, one, true, "finish");
    static const int64_t pictures[3] = {1, 1, CLM_RUN_PICTURES};
    if (c->report_enabled) add_stage(run, CLM_JOB_PICTURE, 0, pictures, false, "report");
    if (c->measure_enabled)
        add_stage(run, CLM_JOB_METRICS, 0, one, true, "metrics")->start = CLM_STAGE_GATHERS;
    run->plan.stage = run->stage;
    run->plan.ctx = run;
}

static bool plan_hash(clm_run *run, clm_err *err) {
    if (!clm_config_hash(run->config, &run->plan.hash, err)) return false;
    const clm_image *images[2] = {run->fixed, run->moving};
    for (int i = 0; i < 2; i++) {
        const clm_image_info *info = clm_image_info_of(images[i]);
        for (int k = 0; k < info->n_levels; k++) {
            const clm_image_level *l = &info->level[k];
            run->plan.hash = clm_hash64(run->plan.hash, l->shape, sizeof l->shape);
            run->plan.hash = clm_hash64(run->plan.hash, l->spacing_um, sizeof l->spacing_um);
            run->plan.hash = clm_hash64(run->plan.hash, l->origin_um, sizeof l->origin_um);
        }
    }
    for (int k = 0; k < run->plan.n_stages; k++)
        run->plan.hash = clm_hash64(run->plan.hash, run->stage[k].name, strlen(run->stage[k].name));
    run->plan.hash = clm_hash64(run->plan.hash, CLM_VERSION, strlen(CLM_VERSION));
    return true;
}

/* ---- opening ---- */

static bool open_image(const clm_config *c, bool is_fixed, clm_cache *cache, clm_image **out, clm_err *err) {
    const char *path = is_fixed ? c->fixed : c->moving, *what = is_fixed ? "fixed" : "moving";
    const clm_list *spacing = is_fixed ? &c->fixed_spacing_um : &c->moving_spacing_um;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    if (!path[0]) return clm_fail(err, CLM_E_ARG, "no %s image given: --%s PATH", what, what);
    if (spacing->n != 0 && spacing->n != 3)
        return clm_fail(err, CLM_E_ARG, "%s_spacing_um: must have 3 numbers, z y x", what);
    o.option = is_fixed ? "--fixed-spacing" : "--moving-spacing";
    o.channel = is_fixed ? c->fixed_channel : c->moving_channel;
    o.has_spacing = spacing->n == 3;
    for (int d = 0; d < 3; d++) o.spacing_um[d] = spacing->v[d];
    if (!clm_image_open(path, &o, out, err)) return clm_err_in(err, "%s image", what);
    clm_image_use_cache(*out, cache);
    return true;
}

static bool check_affine(const clm_config *c, clm_err *err) {
    if (strcmp(c->global_method, "given") == 0 && strcmp(c->global_contrast, "any") == 0)
        return clm_fail(err, CLM_E_ARG,
                        "global.contrast: any is found out from blobs; with global.method given say same or "
                        "inverted");
    if (c->global_affine.n == 0 && strcmp(c->global_method, "given") != 0) return true;
    if (c->global_affine.n == 12) return true;
    return clm_fail(err, CLM_E_ARG, "global.affine: must have 12 numbers (z y x, row by row), has %lld",
                    (long long)c->global_affine.n);
}

static bool open_masks(const clm_config *c, clm_run *run, clm_err *err) {
    const clm_mask_params f = {.path = c->fixed_mask, .background = &c->mask_fixed_background};
    const clm_mask_params m = {.path = c->moving_mask, .background = &c->mask_moving_background};
    if (!clm_mask_open(run->fixed, &f, run->cache, &run->fixed_mask, err))
        return clm_err_in(err, "fixed_mask");
    return clm_mask_open(run->moving, &m, run->cache, &run->moving_mask, err) ||
           clm_err_in(err, "moving_mask");
}

bool clm_run_open(const clm_config *config, clm_run **out, clm_err *err) {
    if (!config->out[0]) return clm_fail(err, CLM_E_ARG, "no run folder given: --out DIR");
    if (!check_affine(config, err)) return false;
    if (config->deform_enabled && config->deform_factors.n == 0)
        return clm_fail(err, CLM_E_ARG, "deform.factors: needs at least one pass, e.g. [4, 2, 1]");
    clm_run *run = clm_heap_new(1, sizeof *run, err);
    if (!run) return false;
    run->config = config;
    bool ok = clm_path_format(run->folder, err, "%s", config->out) &&
              clm_path_join(run->aligned.path, run->folder, CLM_RUN_ALIGNED, err) &&
              clm_path_join(run->foreground[0].path, run->folder, CLM_RUN_FIXED_FOREGROUND, err) &&
              clm_path_join(run->foreground[1].path, run->folder, CLM_RUN_MOVING_FOREGROUND, err) &&
              clm_cache_open(0, &run->cache, err) && open_image(config, true, run->cache, &run->fixed, err) &&
              open_image(config, false, run->cache, &run->moving, err) && open_masks(config, run, err);
    if (ok) {
        lay_geometry(run);
        lay_stages(run);
        clm_cache_keep(run->cache, (size_t)clm_run_cache_bytes(run));
        ok = plan_hash(run, err);
    }
    if (!ok) {
        clm_run_close(run);
        return false;
    }
    *out = run;
    return true;
}

void clm_run_close(clm_run *run) {
    if (!run) return;
    for (int k = 0; k < run->n_passes; k++) {
        clm_array_close(run->pass[k].field);
        clm_array_close(run->pass[k].coverage);
    }
    clm_output_close(&run->aligned);
    for (int side = 0; side < 2; side++) {
        clm_array_close(run->coarse[side]);
        clm_image_close(run->coarse_image[side]);
        clm_output_close(&run->foreground[side]);
        clm_mask_close(run->foreground_mask[side]);
    }
    clm_mask_close(run->fixed_mask);
    clm_mask_close(run->moving_mask);
    clm_image_close(run->fixed);
    clm_image_close(run->moving);
    clm_cache_close(run->cache);
    clm_arena_close(run->store);
    clm_heap_free(run);
}
