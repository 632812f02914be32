/* The affine of one block as its blobs and its voxels see it, and what the lattice needs to know of it. */
#include "collimate/align/lattice.h"
#include "collimate/align/match.h"
#include "collimate/align/ransac.h"
#include "collimate/align/refine.h"
#include "feature_params.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

#define SEARCH_VOX 12.0 /* where the configuration leaves them open, in voxels of the level */
#define ERROR_VOX 2.5
#define DISTINCT_VOX 3.0
#define REFINE_VOXELS 300000  /* compared a step: rows beyond are left out evenly */
#define REFINE_LEAST 0.3      /* similarity and share of the block below which voxels have no say */
#define REFINE_SAYS 64        /* a refined affine weighs as much as so many matches */
#define REFINE_NOISE_VOX 0.25 /* with errors of this size */

typedef struct block {
    clm_vol fixed, moving;
    clm_points f, m;
    clm_patches fp, mp;
} block;

static bool find(const clm_run *run, const clm_work *w, block *b, double *figure, clm_err *err) {
    static const double same[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    const clm_view *view = &run->local_fixed;
    clm_blob_params blob = clm_feature_blobs(run, view, true);
    clm_patch_params patch = clm_feature_patches(run, view);
    double linear[3][3];
    clm_vol f, m;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) linear[i][j] = run->affine.m[i][j];
    figure[0] = figure[1] = 0.0;
    if (!clm_job_blobs(w, &b->fixed, clm_box_of(b->fixed.shape), &blob, &f, &b->f, err))
        return clm_err_in(err, "fixed image");
    figure[0] = (double)b->f.n;
    if (!clm_job_blobs(w, &b->moving, clm_box_of(b->moving.shape), &blob, &m, &b->m, err))
        return clm_err_in(err, "moving image");
    figure[1] = (double)b->m.n;
    return clm_patch_describe(w, &f, &b->f, &patch, same, &b->fp, err) &&
           clm_patch_describe(w, &m, &b->m, &patch, (const double(*)[3])linear, &b->mp, err);
}

/* how alike the block's core is under an affine; NaN where nothing can be compared */
static bool score(const clm_run *run, const clm_work *w, const clm_task *task, const block *b,
                  const clm_affine *a, double *out, clm_err *err) {
    clm_box core = clm_grid_core(&run->local_blocks, task->index);
    clm_box box = clm_grid_padded(&run->local_blocks, task->index);
    for (int d = 0; d < 3; d++) core.lo[d] -= box.lo[d], core.hi[d] -= box.lo[d];
    clm_vol fixed = clm_vol_crop(&b->fixed, core);
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit r = {.before = NAN};
    clm_err none = CLM_ERR_NONE;
    p.metric = clm_feature_metric(run);
    p.levels = 1, p.iterations = 0, p.min_overlap = 0;
    if (!clm_refine_affine(w, &fixed, &b->moving, a, &p, &r, &none) && none.code != CLM_E_NODATA)
        return *err = none, false;
    *out = r.before;
    return true;
}

/* an affine under which the block is less alike than under the global one has nothing to say */
static bool check(const clm_run *run, const clm_work *w, const clm_task *task, const block *b,
                  const clm_affine *a, double *figure, clm_err *err) {
    if (!score(run, w, task, b, &run->affine, &figure[5], err) || !score(run, w, task, b, a, &figure[6], err))
        return false;
    if (!(figure[6] < figure[5])) return true;
    return clm_fail(err, CLM_E_NODATA, "similarity %.3f under the matches' affine, %.3f under the global one",
                    figure[6], figure[5]);
}

static bool fit(const clm_run *run, const clm_work *w, const clm_task *task, const block *b,
                clm_lattice_block *out, double *figure, clm_err *err) {
    const clm_config *c = run->config;
    double voxel = clm_view_voxel_um(&run->local_fixed);
    clm_match_params mp = CLM_MATCH_DEFAULTS;
    clm_matches matches;
    mp.max_distance_um = clm_view_um_or_voxels(&run->local_fixed, c->local_search_um, SEARCH_VOX);
    mp.min_correlation = c->local_min_correlation;
    mp.distinct_um = DISTINCT_VOX * voxel;
    if (!clm_match(w, &b->f, &b->fp, &b->m, &b->mp, &run->affine, &mp, &matches, err)) return false;
    figure[2] = (double)matches.n;
    double(*p)[3] = clm_arena_take(w->keep, matches.n, sizeof *p, err);
    double(*q)[3] = p ? clm_arena_take(w->keep, matches.n, sizeof *q, err) : NULL;
    if (!q) return false;
    for (int64_t i = 0; i < matches.n; i++) {
        memcpy(p[i], b->f.pos[matches.fixed[i]], sizeof p[i]);
        memcpy(q[i], b->m.pos[matches.moving[i]], sizeof q[i]);
    }
    clm_ransac_params rp = CLM_RANSAC_DEFAULTS;
    clm_ransac_fit fit;
    rp.max_error_um = clm_view_um_or_voxels(&run->local_fixed, c->local_max_error_um, ERROR_VOX);
    rp.min_inliers = c->local_min_inliers;
    if (!clm_ransac_affine(w, matches.n, (const double(*)[3])p, (const double(*)[3])q, &rp, &fit, err))
        return false;
    figure[3] = (double)fit.inliers;
    figure[4] = fit.rms_um;
    clm_lattice_block_make(out, matches.n, (const double(*)[3])p, (const double(*)[3])q, fit.agrees);
    return check(run, w, task, b, &fit.affine, figure, err);
}

/* The affine on which the block's voxels agree, from the global one on, if they agree at all. Measured on two
 * rounds of expansion microscopy, matches are the better witness where there are any: after both, correlation
 * is .006 higher but local correlation .009 lower, because bright cells outvote the rest. */
static bool ask_voxels(const clm_run *run, const clm_work *w, const clm_task *task, const block *b,
                       clm_lattice_block *out, double *figure, clm_err *err) {
    const clm_view *view = &run->local_fixed;
    double voxel = clm_view_voxel_um(view), centre[3], size_um[3];
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit r;
    p.metric = clm_feature_metric(run);
    p.levels = 2;
    p.max_move_um = clm_view_um_or_voxels(view, run->config->local_search_um, SEARCH_VOX);
    p.max_voxels = REFINE_VOXELS;
    p.min_overlap = REFINE_LEAST;
    clm_err none = CLM_ERR_NONE;
    if (!clm_refine_affine(w, &b->fixed, &b->moving, &run->affine, &p, &r, &none)) {
        if (none.code != CLM_E_NODATA) return *err = none, false;
        return true;
    }
    figure[5] = r.before;
    figure[6] = r.after;
    if (!(r.after > REFINE_LEAST)) return true;
    clm_box core = clm_grid_core(&run->local_blocks, task->index);
    for (int d = 0; d < 3; d++) {
        centre[d] = view->origin[d] + 0.5 * (double)(core.lo[d] + core.hi[d] - 1) * view->spacing[d];
        size_um[d] = (double)(core.hi[d] - core.lo[d]) * view->spacing[d];
    }
    clm_lattice_block_of_affine(out, centre, size_um, &r.affine, REFINE_SAYS, REFINE_NOISE_VOX * voxel);
    return true;
}

/* Blobs first; where they say too little, voxels are asked from the global affine on. */
static bool look(const clm_run *run, const clm_work *w, const clm_task *task, block *b,
                 clm_lattice_block *out, double *figure, clm_err *err) {
    clm_err why = CLM_ERR_NONE;
    if (find(run, w, b, figure, &why) && fit(run, w, task, b, out, figure, &why)) return true;
    if (why.code != CLM_E_NODATA) return *err = why, false;
    *out = (clm_lattice_block){0};
    if (run->config->local_refine && !ask_voxels(run, w, task, b, out, figure, err)) return false;
    return out->n > 0.0 ? true : (*err = why, false);
}

int64_t clm_job_local_margin(const clm_run *run) {
    const clm_view *view = &run->local_fixed;
    double search_um = clm_view_um_or_voxels(view, run->config->local_search_um, SEARCH_VOX);
    int64_t margin = 2 + (int64_t)(search_um / clm_view_voxel_um(view)), halo[3];
    clm_feature_halo(run, view, true, halo);
    for (int d = 0; d < 3; d++) /* a match at the block's edge needs its surroundings, too */
        if (halo[d] > margin) margin = halo[d];
    return margin;
}

bool clm_job_local(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                   clm_err *err) {
    clm_box box = clm_grid_padded(&run->local_blocks, task->index);
    const clm_view *view = &run->local_fixed;
    block b;
    bool empty;
    if (!clm_view_read(w, view, box, &b.fixed, err)) return false;
    if (!clm_job_has_data(&b.fixed, err)) return false;
    if (!clm_job_read_moving(w, view, box, &run->local_moving, &run->affine, NULL, clm_job_local_margin(run),
                             &b.moving, &empty, err))
        return false;
    if (empty) return clm_fail(err, CLM_E_NODATA, "no_overlap: the block maps outside the moving image");
    clm_lattice_block stats;
    if (!look(run, w, task, &b, &stats, figure, err)) return false;
    double packed[CLM_LATTICE_NUMBERS];
    clm_lattice_pack(&stats, packed);
    const clm_section s = {
        .name = "matches", .dtype = CLM_F64, .shape = {1, 1, 1, CLM_LATTICE_NUMBERS}, .data = packed};
    return clm_job_put(run, task, &s, 1, err);
}
