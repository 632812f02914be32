/* What a task of each kind takes from its arenas, from the geometry alone: the sum of what is held at the moment
 * most is. What depends on the data is taken at its limit (spots) or left out where it is small. */
#include "collimate/align/deform.h"
#include "collimate/align/lattice.h"
#include "collimate/image/quantile.h"
#include "collimate/image/warp.h"
#include "feature_params.h"
#include "jobs.h"
#include "measure.h"

#include <math.h>
#include <string.h>

#define CACHE_MOST 83886080.0 /* bytes of chunks that a thread keeps unless told to keep more */

static double most(double a, double b) { return a > b ? a : b; }

static double count(const int64_t n[3]) { return (double)n[0] * (double)n[1] * (double)n[2]; }

static double box_count(clm_box b) {
    double n = 1.0;
    for (int d = 0; d < 3; d++) n *= (double)(b.hi[d] - b.lo[d]);
    return n;
}

/* a block that no other of the grid is larger than */
static int64_t largest(const clm_grid *g) {
    int64_t at[3];
    for (int d = 0; d < 3; d++) at[d] = g->shape[d] > 2 ? 1 : 0;
    return clm_grid_index(g, at);
}

static bool masked(const clm_view *v) { return v->mask || v->foreground; }

/* beyond the box itself, while it is read: a tile of stored voxels and what it is reduced to; or its mask */
static double reading(const clm_view *v, clm_box box) {
    double fine = 4.0, tile = 1.0, mask = masked(v) ? box_count(box) : 0.0;
    for (int d = 0; d < 3; d++) {
        int64_t edge = clm_view_tile(v, d), n = box.hi[d] - box.lo[d];
        tile *= (double)(edge < n ? edge : n);
        fine *= (double)v->factor[d];
    }
    return fine > 4.0 ? tile * (fine + 4.0 + (masked(v) ? fine / 4.0 : 0.0)) : mask;
}

/* The moving voxels behind a box of the fixed view. Before the affine is known: as if the images lay on each
 * other with parallel axes. */
static clm_box moving_box(const clm_run *run, const clm_view *fixed, clm_box box, const clm_view *moving,
                          int64_t margin) {
    clm_vol f = clm_view_grid(fixed), m = clm_view_grid(moving);
    if (run->has_affine) {
        clm_box need = clm_warp_box(&run->affine, NULL, &f, box, &m, CLM_INTERP_CUBIC, margin);
        return clm_box_is_empty(need) ? (clm_box){{0}, {1, 1, 1}} : need;
    }
    clm_box need = {{0}, {0}};
    for (int d = 0; d < 3; d++) {
        double n = ceil((double)(box.hi[d] - box.lo[d]) * f.spacing[d] / m.spacing[d]) + 4.0;
        need.hi[d] = (int64_t)fmin(n + 2.0 * (double)margin, (double)m.shape[d]);
    }
    return need;
}

/* blobs in n voxels, then patches around `spots` of them: beside the voxels and the patches themselves */
static double finding(const clm_run *run, const clm_view *view, bool local, clm_box box) {
    clm_blob_params blob = clm_feature_blobs(run, view, local);
    int64_t halo[3], step[3];
    clm_blob_halo(&blob, view->spacing, halo, step);
    double n = box_count(box), work = 1.0;
    for (int d = 0; d < 3; d++) work *= (double)clm_div_up(box.hi[d] - box.lo[d], step[d]);
    double levels = 16.0 * work, shrinking = 4.0 * work + 4.0 * n / (double)step[0], sample = 4.0 * 65536.0;
    return most(levels + fmin(4.0 * work, sample), shrinking);
}

static double patches_of(const clm_run *run, const clm_view *view, int64_t spots) {
    clm_patch_params p = clm_feature_patches(run, view);
    return (double)spots * (double)(clm_patch_dim(&p) + 3 * 8 + 4 + 4 + 4);
}

static double spots_bytes(const clm_run *run) {
    double bytes = 0.0;
    for (int side = 0; side < 2; side++) {
        const clm_grid *g = side ? &run->spots_moving : &run->spots_fixed;
        const clm_view *v = side ? &run->coarse_moving : &run->coarse_fixed;
        int64_t halo[3];
        clm_feature_halo(run, v, false, halo);
        clm_box core = clm_grid_core(g, largest(g));
        clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(v->shape));
        double held = 4.0 * box_count(padded), copy = 4.0 * box_count(core);
        double spots = patches_of(run, v, run->config->global_max_spots / g->n);
        double bridged = masked(v) ? held : 0.0;
        bytes = most(
            bytes, held + most(reading(v, padded), copy + bridged + spots + finding(run, v, false, padded)));
    }
    return bytes;
}

static double foreground_bytes(const clm_view *v) {
    clm_box all = clm_box_of(v->shape);
    return 4.0 * box_count(all) + most(reading(v, all), 14.0 * box_count(all) + 8.0 * CLM_QUANTILE_BINS);
}

static double global_bytes(const clm_run *run) {
    const clm_config *c = run->config;
    const char *method = c->global_method;
    if (strcmp(method, "given") == 0) return 0.0;
    bool blobs = strcmp(method, "auto") == 0 || strcmp(method, "blobs") == 0;
    double f = count(run->coarse_fixed.shape), m = count(run->coarse_moving.shape);
    double spots = blobs ? patches_of(run, &run->coarse_fixed, c->global_max_spots) : 0.0;
    clm_patch_params p = clm_feature_patches(run, &run->coarse_fixed);
    double matching = (double)c->global_max_spots * (2.0 * (double)clm_patch_dim(&p) + 160.0);
    double sides = blobs && strcmp(c->global_contrast, "any") == 0 ? 2.0 : 1.0;
    double spill = 4.0 * box_count(clm_grid_core(&run->spots_moving, largest(&run->spots_moving)));
    double refining = c->global_refine || !blobs ? 4.0 * (f + m) / 7.0 : 0.0;
    if (!blobs) matching = 0.0;
    return 4.0 * f + spots + sides * (4.0 * m + spots) + most(spill, most(matching, refining));
}

static double local_bytes(const clm_run *run) {
    const clm_config *c = run->config;
    const clm_view *f = &run->local_fixed, *m = &run->local_moving;
    clm_box box = clm_grid_padded(&run->local_blocks, largest(&run->local_blocks));
    clm_box need = moving_box(run, f, box, m, clm_job_local_margin(run));
    double spots = patches_of(run, f, c->local_max_spots), bridged = 0.0;
    if (masked(f)) bridged += 4.0 * box_count(box);
    if (masked(m)) bridged += 4.0 * box_count(need);
    double held = 4.0 * (box_count(box) + box_count(need)) + bridged;
    double looking = most(spots + finding(run, f, true, box), 2.0 * spots + finding(run, f, true, need));
    return held + most(most(reading(f, box), reading(m, need)), looking);
}

static double lattice_bytes(const clm_grid *g) {
    const int64_t n = g->n;
    return (double)clm_lattice_bytes(g->shape) +
           (double)n * (double)(sizeof(clm_lattice_block) + sizeof(clm_lattice_verdict));
}

static double check_bytes(const clm_run *run) {
    const clm_view *f = &run->local_fixed, *m = &run->local_moving;
    clm_box box = clm_grid_core(&run->local_blocks, largest(&run->local_blocks));
    clm_box need = moving_box(run, f, box, m, 0);
    const clm_lattice_plan *l = &run->pass[run->n_passes - 1].lattice;
    double nodes = 1.0, held = 4.0 * box_count(box), moving = 4.0 * box_count(need);
    for (int d = 0; d < 3; d++)
        nodes *= (double)(box.hi[d] - box.lo[d]) * f->spacing[d] / l->spacing[d] + 2.0;
    return held + most(reading(f, box), 12.0 * nodes + moving + most(reading(m, need), held));
}

static double deform_bytes(const clm_run *run, int stage) {
    int pass = run->part[stage];
    const clm_pass *p = &run->pass[pass];
    clm_deform_params params = clm_job_deform_params(run, pass);
    clm_box box = clm_grid_padded(&p->lattice.blocks, largest(&p->lattice.blocks));
    clm_box nodes = clm_lattice_nodes(&p->lattice, box);
    clm_box need = moving_box(run, &p->fixed, box, &p->moving, clm_job_deform_margin(run, pass));
    int64_t n[3], lattice[3];
    for (int d = 0; d < 3; d++) n[d] = box.hi[d] - box.lo[d], lattice[d] = nodes.hi[d] - nodes.lo[d];
    double held = 4.0 * box_count(box) + 12.0 * box_count(nodes), moving = 4.0 * box_count(need);
    double solving = moving + (double)clm_deform_bytes(&params, n, lattice);
    return most(4.0 * box_count(box) + reading(&p->fixed, box),
                held + most(moving + reading(&p->moving, need), solving));
}

static double stitch_bytes(const clm_run *run, int stage) {
    const clm_pass *p = &run->pass[run->part[stage]];
    int64_t chunk = largest(&p->chunks), at[3], b[3];
    double pieces = 0.0;
    clm_grid_at(&p->chunks, chunk, at);
    if (run->stage[stage].start == CLM_STAGE_FOLLOWS) {
        clm_span s = run->stage[stage].needs(run, stage, at);
        for (b[0] = s.lo[0]; b[0] < s.hi[0]; b[0]++)
            for (b[1] = s.lo[1]; b[1] < s.hi[1]; b[1]++)
                for (b[2] = s.lo[2]; b[2] < s.hi[2]; b[2]++) {
                    clm_box box = clm_grid_padded(&p->lattice.blocks, clm_grid_index(&p->lattice.blocks, b));
                    pieces += 12.0 * box_count(clm_lattice_nodes(&p->lattice, box));
                }
    }
    static const int64_t around[3] = {CLM_FLOOR_REACH, CLM_FLOOR_REACH, CLM_FLOOR_REACH};
    clm_box core = clm_grid_core(&p->chunks, chunk);
    clm_box wide = clm_box_meet(clm_box_grow(core, around), clm_box_of(p->lattice.shape));
    if (pieces == 0.0)
        return 28.0 * box_count(core) + 16.0 * box_count(core); /* no blocks: the field before */
    if (run->pass[run->part[stage]].lattice.blocks.n == 1) wide = core;
    return pieces + 16.0 * box_count(wide) +
           most(wide.hi[0] > core.hi[0] ? 13.0 * box_count(wide) : 0.0, 16.0 * box_count(core));
}

static double measure_bytes(const clm_run *run) {
    const clm_view *f = &run->measure_fixed;
    const int64_t halo[3] = {CLM_MEASURE_RADIUS, CLM_MEASURE_RADIUS, CLM_MEASURE_RADIUS};
    clm_box core = clm_grid_core(&run->measure_blocks, largest(&run->measure_blocks));
    clm_box box = clm_box_meet(clm_box_grow(core, halo), clm_box_of(f->shape));
    clm_box need = moving_box(run, f, box, &run->measure_moving, 0);
    const clm_lattice_plan *l = &run->pass[run->n_passes - 1].lattice;
    double nodes = 1.0, held = 4.0 * box_count(box), moving = 4.0 * box_count(need);
    for (int d = 0; d < 3; d++)
        nodes *= (double)(box.hi[d] - box.lo[d]) * f->spacing[d] / l->spacing[d] + 2.0;
    double scoring = held + (double)clm_lncc_bytes(box.hi[2] - box.lo[2], CLM_MEASURE_RADIUS);
    return held +
           most(reading(f, box), 12.0 * nodes + moving + most(reading(&run->measure_moving, need), scoring));
}

static double apply_bytes(const clm_run *run) {
    const clm_image_frame *base = &run->aligned.base;
    clm_view f = {.spacing = {0}}, m = clm_view_level(run->moving, 0);
    clm_box box = clm_grid_core(&run->aligned.level[0], largest(&run->aligned.level[0]));
    double nodes = 1.0, n = box_count(box), size = (double)clm_dtype_size(run->aligned.dtype);
    const clm_lattice_plan *l = &run->pass[run->n_passes - 1].lattice;
    for (int d = 0; d < 3; d++) {
        f.shape[d] = base->shape[d], f.spacing[d] = base->spacing_um[d], f.origin[d] = base->origin_um[d];
        nodes *= (double)(box.hi[d] - box.lo[d]) * f.spacing[d] / l->spacing[d] + 2.0;
    }
    double moving = box_count(moving_box(run, &f, box, &m, 0));
    const int64_t whole[3] = {base->shape[0], base->shape[1], base->shape[2]};
    const char *how = run->config->apply_interpolation;
    bool stored = strcmp(how, "nearest") == 0 ||
                  (strcmp(how, "linear") == 0 && clm_warp_takes(run->aligned.dtype, whole));
    double result = run->aligned.dtype == CLM_F32 ? 0.0 : n; /* as floats, before it is rounded */
    return n * size + 24.0 * nodes + (stored ? moving * size : 4.0 * (moving + result));
}

/* what one finer chunk becomes */
static double pyramid_bytes(const clm_run *run, int level) {
    const clm_output *o = &run->aligned;
    clm_box chunk = clm_grid_core(&o->level[level], largest(&o->level[level]));
    double cell = 1.0, n = 1.0, size = (double)clm_dtype_size(o->dtype);
    for (int d = 0; d < 3; d++) {
        int64_t times = o->factor[level][d] / o->factor[level - 1][d];
        double part = (double)(o->level[level - 1].block[d] / times);
        n *= fmin(part, (double)(chunk.hi[d] - chunk.lo[d]));
        cell *= (double)times;
    }
    return n * (cell + 1.0) * (size + 4.0);
}

/* of the final field's lengths and Jacobians, a block of evaluate's after the other */
static double histogram_bytes(const clm_run *run) {
    const int64_t edge = 64, *nodes = run->pass[run->n_passes - 1].lattice.shape;
    double own = 1.0, around = 1.0;
    for (int d = 0; d < 3; d++) {
        own *= (double)(nodes[d] < edge ? nodes[d] : edge);
        around *= (double)(nodes[d] < edge + 2 ? nodes[d] : edge + 2);
    }
    return 4.0 * 8.0 * CLM_QUANTILE_BINS + 52.0 * own + 24.0 * around;
}

/* a slice with what of the moving image lies around it, local correlation from the slab of its windows, or histograms */
static double picture_bytes(const clm_run *run) {
    const clm_affine same = CLM_AFFINE_IDENTITY;
    const clm_view fixed = clm_view_level(run->fixed, 0), moving = clm_view_level(run->moving, 0);
    const clm_vol f = clm_view_grid(&fixed), m = clm_view_grid(&moving);
    const int64_t windows = 2 * CLM_MEASURE_RADIUS + 1;
    clm_box whole = {{0}, {0}};
    double bytes = histogram_bytes(run);
    for (int d = 0; d < 3; d++)
        whole.hi[d] = f.shape[d] < CLM_RUN_PICTURE_VOX ? f.shape[d] : CLM_RUN_PICTURE_VOX;
    for (int axis = 0; axis < 3; axis++) {
        clm_box plane = whole;
        plane.lo[axis] = f.shape[axis] / 2, plane.hi[axis] = plane.lo[axis] + 1;
        clm_box around = clm_warp_box(&same, NULL, &f, plane, &m, CLM_INTERP_LINEAR, 0);
        bytes =
            most(bytes, 12.0 * box_count(plane) + (clm_box_is_empty(around) ? 0.0 : 4.0 * box_count(around)));
    }
    double row = (double)whole.hi[1] * (double)whole.hi[2];
    double planes = (double)(f.shape[0] < windows ? f.shape[0] : windows);
    return most(bytes, (8.0 * planes + 4.0) * row + (double)clm_lncc_bytes(whole.hi[2], CLM_MEASURE_RADIUS));
}

double clm_run_task_bytes(const clm_run *run, int stage) {
    const clm_grid *coarse = &run->coarse_blocks[0];
    switch (run->kind[stage]) {
    case CLM_JOB_COARSE: {
        clm_box box = clm_grid_core(coarse, largest(coarse));
        return 4.0 * box_count(box) + reading(&run->coarse_fixed, box);
    }
    case CLM_JOB_FOREGROUND:
        return most(foreground_bytes(&run->coarse_fixed), foreground_bytes(&run->coarse_moving));
    case CLM_JOB_SPOTS: return spots_bytes(run);
    case CLM_JOB_GLOBAL: return global_bytes(run);
    case CLM_JOB_LOCAL: return local_bytes(run);
    case CLM_JOB_LATTICE: return lattice_bytes(&run->local_blocks);
    case CLM_JOB_CHECK: return check_bytes(run);
    case CLM_JOB_SETTLE: return check_bytes(run) + (double)run->local_blocks.n * 114.0;
    case CLM_JOB_DEFORM: return deform_bytes(run, stage);
    case CLM_JOB_STITCH: return stitch_bytes(run, stage);
    case CLM_JOB_STIFFNESS: {
        const clm_lattice_plan *l = &run->pass[run->part[stage]].lattice;
        return 12.0 * box_count(clm_lattice_nodes(l, clm_grid_padded(&l->blocks, largest(&l->blocks)))) +
               128.0;
    }
    case CLM_JOB_MEASURE: return measure_bytes(run);
    case CLM_JOB_APPLY: return apply_bytes(run);
    case CLM_JOB_PYRAMID: return pyramid_bytes(run, run->part[stage]);
    case CLM_JOB_PICTURE: return picture_bytes(run);
    default: return 4096.0;
    }
}

/* decoded, the chunks that a box of the view meets at most */
static double chunks_over(const clm_view *v, clm_box box) {
    const clm_array_info *a = clm_array_info_of(clm_image_array_of(v->image, v->level));
    double bytes = (double)clm_dtype_size(a->dtype);
    for (int d = 0; d < a->ndim; d++) {
        int axis = d - (a->ndim - 3); /* below 0: of channels and times */
        int64_t n = axis < 0 ? 1 : (box.hi[axis] - box.lo[axis]) * v->factor[axis];
        bytes *= fmin((double)((clm_div_up(n - 1, a->inner[d]) + 1) * a->inner[d]), (double)a->shape[d]);
    }
    return bytes;
}

double clm_run_cache_bytes(const clm_run *run) {
    const clm_pass *p = &run->pass[run->n_passes - 1];
    if (run->config->memory_cache_mib > 0.0) return run->config->memory_cache_mib * 1048576.0;
    clm_box box = clm_grid_padded(&p->lattice.blocks, largest(&p->lattice.blocks));
    clm_box need = moving_box(run, &p->fixed, box, &p->moving, clm_job_deform_margin(run, run->n_passes - 1));
    return fmin(2.0 * (chunks_over(&p->fixed, box) + chunks_over(&p->moving, need)), CACHE_MOST);
}

double clm_run_thread_bytes(const clm_run *run) {
    double most = 0.0;
    for (int k = 0; k < run->plan.n_stages; k++) most = fmax(most, clm_run_task_bytes(run, k));
    return fmin(most, run->config->memory_task_mib * 1048576.0) + clm_run_cache_bytes(run);
}
