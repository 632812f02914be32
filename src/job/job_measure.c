/* How alike the images are under the transforms of a part of the measurement: one block's share of the sums. */
#include "collimate/image/jacobian.h"
#include "collimate/image/lncc.h"
#include "collimate/image/metric.h"
#include "collimate/image/warp.h"
#include "jobs.h"
#include "measure.h"

#include <math.h>

/* The transform of a stage over the box; *f is NULL when it has no field. */
static bool transform_of(const clm_run *run, const clm_work *w, clm_measured which, const clm_vol *fixed,
                         clm_affine *a, clm_field *field, const clm_field **f, clm_err *err) {
    *a = which == CLM_MEASURED_IDENTITY ? CLM_AFFINE_IDENTITY : run->affine;
    *f = NULL;
    if (which < CLM_MEASURED_LOCAL) return true;
    *f = field;
    return clm_job_field_over(run, w, which == CLM_MEASURED_FINAL ? run->n_passes : 0, fixed, field, err);
}

static bool measure(const clm_run *run, const clm_work *w, clm_measured which, const clm_vol *fixed,
                    clm_box padded, clm_box core, clm_measure *out, clm_err *err) {
    clm_affine a;
    clm_field field;
    const clm_field *f;
    clm_vol moving, warped;
    bool empty;
    if (!transform_of(run, w, which, fixed, &a, &field, &f, err) ||
        !clm_job_read_moving(w, &run->measure_fixed, padded, &run->measure_moving, &a, f, 0, &moving, &empty,
                             err))
        return false;
    if (empty) return true;
    if (!clm_vol_new(w->keep, fixed->shape, fixed->spacing, fixed->origin, &warped, err) ||
        !clm_warp(w, &moving, &a, f, CLM_INTERP_LINEAR, NAN, &warped, NULL, err))
        return false;
    clm_vol inner_fixed = clm_vol_crop(fixed, core), inner_warped = clm_vol_crop(&warped, core);
    if (!clm_ncc_add(&out->ncc, &inner_fixed, &inner_warped, err) ||
        !clm_lncc_add(w, fixed, &warped, core, CLM_MEASURE_RADIUS, &out->lncc, NULL, err))
        return false;
    if (f) out->min_jacobian = clm_jacobian_min(&a, f);
    return true;
}

bool clm_job_measure(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                     clm_err *err) {
    clm_box core = clm_grid_core(&run->measure_blocks, task->index), inner;
    const int64_t halo[3] = {CLM_MEASURE_RADIUS, CLM_MEASURE_RADIUS, CLM_MEASURE_RADIUS};
    clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(run->measure_fixed.shape));
    clm_vol fixed;
    int part = run->part[task->stage];
    clm_measured first = clm_measured_from[part], end = clm_measured_from[part + 1];
    double packed[CLM_MEASURED_COUNT][CLM_MEASURE_NUMBERS];
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
    }
    if (!clm_view_read(w, &run->measure_fixed, padded, &fixed, err)) return false;
    for (clm_measured k = first; k < end; k++) {
        clm_mark m = clm_arena_mark(w->keep);
        clm_measure sums = {.min_jacobian = INFINITY};
        if (!measure(run, w, k, &fixed, padded, inner, &sums, err)) return false;
        clm_arena_rewind(w->keep, m);
        figure[k] = clm_ncc_value(&sums.ncc);
        if (k == CLM_MEASURED_FINAL) figure[CLM_MEASURED_COUNT] = sums.min_jacobian;
        clm_measure_pack(&sums, packed[k - first]);
    }
    const clm_section s = {
        .name = "sums", .dtype = CLM_F64, .shape = {1, 1, end - first, CLM_MEASURE_NUMBERS}, .data = packed};
    return clm_job_put(run, task, &s, 1, err);
}
