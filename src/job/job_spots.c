/* Blobs and their surroundings in one block of the coarse fixed or moving image, and the block's coarse
 * voxels for the global task's refinement. */
#include "collimate/align/blob.h"
#include "collimate/align/patch.h"
#include "feature_params.h"
#include "jobs.h"

#include <stdio.h>
#include <string.h>

#define SET 5 /* sections that tell the blobs of one sign */

/* the block `index` of the stage: first all of the fixed image, then all of the moving one */
static const clm_view *block_of(const clm_run *run, int64_t index, clm_box *core) {
    bool fixed = index < run->spots_fixed.n;
    const clm_grid *g = fixed ? &run->spots_fixed : &run->spots_moving;
    *core = clm_grid_core(g, fixed ? index : index - run->spots_fixed.n);
    return fixed ? &run->coarse_fixed : &run->coarse_moving;
}

int64_t clm_job_spots_quota(const clm_run *run, const clm_grid *blocks) {
    int64_t share = clm_div_up(run->config->global_max_spots, blocks->n);
    return share < 100 ? 100 : share;
}

static bool find(const clm_run *run, const clm_work *w, const clm_task *task, const clm_view *view,
                 clm_box core, clm_box padded, const clm_vol *v, clm_points *points, clm_patches *patches,
                 clm_err *err) {
    static const double same[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    clm_blob_params blob = clm_feature_blobs(run, view, false);
    clm_patch_params patch = clm_feature_patches(run, view);
    clm_box inner;
    clm_vol whole;
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
    }
    blob.max_spots =
        clm_job_spots_quota(run, task->index < run->spots_fixed.n ? &run->spots_fixed : &run->spots_moving);
    return clm_job_blobs(w, v, inner, &blob, &whole, points, err) &&
           clm_patch_describe(w, &whole, points, &patch, same, patches, err);
}

/* the blobs of one sign as sections; a block without any still has voxels to give */
static bool add_set(const clm_run *run, const clm_work *w, const clm_task *task, const clm_view *view,
                    clm_box core, clm_box padded, const clm_vol *v, bool dark, clm_section s[SET],
                    double *count, clm_err *err) {
    clm_points points = {0};
    clm_patches patches = {0};
    clm_err none = CLM_ERR_NONE;
    if (!find(run, w, task, view, core, padded, v, &points, &patches, &none)) {
        if (none.code != CLM_E_NODATA) return *err = none, false;
        points = (clm_points){0};
        patches = (clm_patches){.dim = 1};
    }
    *count += (double)points.n;
    const clm_section all[SET] = {
        {.name = "position", .dtype = CLM_F64, .shape = {1, 1, points.n, 3}, .data = points.pos},
        {.name = "radius", .dtype = CLM_F32, .shape = {1, 1, 1, points.n}, .data = points.radius_um},
        {.name = "score", .dtype = CLM_F32, .shape = {1, 1, 1, points.n}, .data = points.score},
        {.name = "code", .dtype = CLM_I8, .shape = {1, 1, points.n, patches.dim}, .data = patches.code},
        {.name = "norm", .dtype = CLM_F32, .shape = {1, 1, 1, points.n}, .data = patches.norm}};
    for (int i = 0; i < SET; i++) {
        s[i] = all[i];
        (void)snprintf(s[i].name, sizeof s[i].name, "%s%.9s", dark ? "dark_" : "", all[i].name);
    }
    return true;
}

bool clm_job_spots(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                   clm_err *err) {
    clm_box core;
    const clm_view *view = block_of(run, task->index, &core);
    int64_t halo[3];
    clm_feature_halo(run, view, false, halo);
    clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(view->shape)), inner;
    clm_vol v, part, coarse;
    if (!clm_view_read(w, view, padded, &v, err)) return false;
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
    }
    part = clm_vol_crop(&v, inner);
    if (!clm_vol_copy(w->keep, &part, &coarse, err)) return false;
    const char *contrast = task->index < run->spots_fixed.n ? "same" : run->config->global_contrast;
    clm_section s[11] = {{.name = "voxels",
                          .dtype = CLM_F32,
                          .shape = {1, coarse.shape[0], coarse.shape[1], coarse.shape[2]},
                          .data = coarse.data}};
    int n = 1;
    figure[0] = 0.0;
    const char *method = run->config->global_method;
    bool blobs = strcmp(method, "auto") == 0 || strcmp(method, "blobs") == 0;
    for (int dark = 0; blobs && dark < 2; dark++) {
        if (strcmp(contrast, dark ? "same" : "inverted") == 0) continue;
        for (int64_t i = 0; dark && i < clm_vol_count(&v); i++) v.data[i] = -v.data[i];
        if (!add_set(run, w, task, view, core, padded, &v, dark, s + n, &figure[0], err)) return false;
        n += SET;
    }
    return clm_job_put(run, task, s, n, err);
}
