/* One chunk of the aligned volume, and one chunk of a coarser level of its pyramid. */
#include "collimate/image/reduce.h"
#include "collimate/image/warp.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

static clm_interp interp_of(const clm_config *c) {
    if (strcmp(c->apply_interpolation, "nearest") == 0) return CLM_INTERP_NEAREST;
    return strcmp(c->apply_interpolation, "cubic") == 0 ? CLM_INTERP_CUBIC : CLM_INTERP_LINEAR;
}

/* voxels of a level as bytes of its type, published as one chunk */
static bool put(const clm_run *run, const clm_work *w, int level, int64_t index, const clm_vol *v,
                clm_err *err) {
    clm_dtype type = clm_array_info_of(run->aligned[level])->dtype;
    int64_t n = clm_vol_count(v), at[3];
    void *bytes = clm_arena_take(w->keep, n, clm_dtype_size(type), err);
    if (!bytes) return false;
    clm_dtype_from_f32(type, v->data, bytes, n);
    clm_grid_at(&run->level[level], index, at);
    return clm_array_put_chunk(run->aligned[level], at, bytes, err);
}

bool clm_job_apply(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                   clm_err *err) {
    clm_view fixed = clm_view_level(run->fixed, 0), moving = clm_view_level(run->moving, 0);
    clm_box box = clm_grid_core(&run->level[0], task->index);
    clm_field u;
    clm_vol source, out;
    int64_t shape[3], inside = 0;
    double origin[3];
    bool empty;
    for (int d = 0; d < 3; d++) {
        shape[d] = box.hi[d] - box.lo[d];
        origin[d] = fixed.origin[d] + (double)box.lo[d] * fixed.spacing[d];
    }
    if (!clm_vol_new(w->keep, shape, fixed.spacing, origin, &out, err) ||
        !clm_job_field_over(run, w, run->n_passes, &out, &u, err) ||
        !clm_job_read_moving(run, w, &fixed, box, &moving, &run->affine, &u, 0, &source, &empty, err))
        return false;
    float outside = (float)run->config->apply_outside;
    if (empty) {
        for (int64_t i = 0; i < clm_vol_count(&out); i++) out.data[i] = outside;
    } else if (!clm_warp(w, &source, &run->affine, &u, interp_of(run->config), outside, &out, &inside, err)) {
        return false;
    }
    figure[0] = (double)inside / (double)clm_vol_count(&out);
    return put(run, w, 0, task->index, &out, err);
}

bool clm_job_pyramid(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                     clm_err *err) {
    (void)figure;
    int level = run->part[task->stage];
    static const double unit[3] = {1, 1, 1}, zero[3] = {0, 0, 0};
    clm_box box = clm_grid_core(&run->level[level], task->index);
    int64_t lo[3], hi[3], shape[3], factor[3], n = 1;
    for (int d = 0; d < 3; d++) {
        factor[d] = run->level_factor[level][d] / run->level_factor[level - 1][d];
        lo[d] = box.lo[d] * factor[d];
        hi[d] = box.hi[d] * factor[d];
        shape[d] = hi[d] - lo[d];
        n *= shape[d];
    }
    const clm_array *finer = run->aligned[level - 1];
    clm_dtype type = clm_array_info_of(finer)->dtype;
    clm_vol fine, out;
    void *bytes = clm_arena_take(w->keep, n, clm_dtype_size(type), err);
    if (!bytes || !clm_vol_new(w->keep, shape, unit, zero, &fine, err) ||
        !clm_array_read(finer, lo, hi, bytes, err))
        return false;
    clm_dtype_to_f32(type, bytes, fine.data, n);
    return clm_reduce(w, &fine, factor, &out, err) && put(run, w, level, task->index, &out, err);
}
