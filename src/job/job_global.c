/* The global affine, from the spots of all blocks: match, RANSAC, refine on the coarse volumes. */
#include "collimate/align/centre.h"
#include "collimate/align/global.h"
#include "collimate/align/refine.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"
#include "collimate/transform/transform_out.h"
#include "feature_params.h"
#include "jobs.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_VOX 4.0 /* global.max_error_um where the configuration leaves it open, in coarse voxels */
#define OVERLAP_POINTS 24
#define LEAST_OVERLAP 0.005 /* of the fixed volume: less is nothing to align */
#define ALIKE 0.5 /* the score that "auto" asks of the images alone, besides CLM_CENTRE_STANDS_OUT */
#define FIRM_SHARE (1.0 / 3) /* of all matches, and */
#define FIRM_TIMES 2.0       /* as many as asked: so many that agree need no other witness */
#define STEPS 64             /* of grey that an image must have in float32 */
#define DISTINCT_VOX 3.0     /* two moving spots nearer than this are the same place */
#define WARNINGS 800         /* bytes of text */
#define FAINT 0.5            /* spreads of the response: all but rounding */

/* All blocks of one image put together. */
typedef struct side {
    const clm_view *view;
    const clm_grid *grid;
    int64_t first; /* its first task in the spots stage */
    bool dark;     /* dark blobs, and voxels times -1   */
    bool faint;    /* blobs of any clearness            */
    clm_vol coarse;
    clm_points points;
    clm_patches patches;
} side;

static const clm_section *find_part(const clm_spill *spill, const side *s, const char *name) {
    char full[16];
    (void)snprintf(full, sizeof full, "%s%s", s->dark ? "dark_" : "", name);
    return clm_spill_find(spill, full);
}

static void place_voxels(const side *s, int64_t block, const clm_section *voxels) {
    clm_box core = clm_grid_core(s->grid, block);
    const float *from = voxels->data;
    int64_t nx = core.hi[2] - core.lo[2];
    for (int64_t z = core.lo[0]; z < core.hi[0]; z++)
        for (int64_t y = core.lo[1]; y < core.hi[1]; y++, from += nx)
            memcpy(clm_vol_row(&s->coarse, z, y) + core.lo[2], from, (size_t)nx * sizeof(float));
}

static void place_spots(side *s, int64_t at, const clm_spill *spill, int64_t n) {
    size_t dim = (size_t)s->patches.dim;
    memcpy(s->points.pos + at, find_part(spill, s, "position")->data, (size_t)n * sizeof *s->points.pos);
    memcpy(s->points.radius_um + at, find_part(spill, s, "radius")->data, (size_t)n * sizeof(float));
    memcpy(s->points.score + at, find_part(spill, s, "score")->data, (size_t)n * sizeof(float));
    memcpy(s->patches.code + (size_t)at * dim, find_part(spill, s, "code")->data, (size_t)n * dim);
    memcpy(s->patches.norm + at, find_part(spill, s, "norm")->data, (size_t)n * sizeof(float));
}

/* Whole numbers above 2^24 are no longer all float32; with the range of the values only STEPS of its steps, they are
 * stairs. */
static bool has_steps(const clm_vol *v, clm_err *err) {
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < clm_vol_count(v); i++)
        if (isfinite(v->data[i])) lo = fmin(lo, (double)v->data[i]), hi = fmax(hi, (double)v->data[i]);
    double most = fmax(fabs(lo), fabs(hi));
    if (!(lo <= hi) || most < 16777216.0 || hi - lo >= STEPS * FLT_EPSILON * most) return true;
    return clm_fail(
        err, CLM_E_UNSUPPORTED,
        "values from %.10g to %.10g: near so large a number the 32-bit floats that all is computed in are "
        "%.3g apart; store the image less that offset",
        lo, hi, FLT_EPSILON * most);
}

/* Instead of the blobs that the blocks found clear enough: those of the coarse volume itself, however faint. Where
 * everything is texture nothing stands out, yet places are told apart by their surroundings. */
static bool look_closer(const clm_run *run, const clm_work *w, side *s, clm_err *err) {
    static const double same[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    clm_blob_params blob = clm_feature_blobs(run, s->view, false);
    const clm_patch_params patch = clm_feature_patches(run, s->view);
    clm_vol whole;
    blob.min_signal = FAINT;
    return clm_job_blobs(w, &s->coarse, clm_box_of(s->coarse.shape), &blob, &whole, &s->points, err) &&
           clm_patch_describe(w, &whole, &s->points, &patch, same, &s->patches, err);
}

static bool gather(const clm_run *run, const clm_work *w, int stage, side *s, clm_err *err) {
    const clm_patch_params patch = clm_feature_patches(run, s->view);
    const int64_t most = s->grid->n * clm_job_spots_quota(run, s->grid);
    s->patches.samples = patch.samples;
    s->patches.dim = clm_patch_dim(&patch);
    if (!clm_vol_new(w->keep, s->view->shape, s->view->spacing, s->view->origin, &s->coarse, err) ||
        !clm_points_new(w->keep, most, &s->points, err) ||
        !(s->patches.code = clm_arena_take(w->keep, most, (size_t)s->patches.dim, err)) ||
        !(s->patches.norm = clm_take(w->keep, float, most, err)))
        return false;
    int64_t at = 0;
    for (int64_t b = 0; b < s->grid->n; b++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_spill spill;
        bool failed;
        if (!clm_job_get(run, stage, s->first + b, w->temp, &spill, &failed, err)) return false;
        const clm_section *norm = find_part(&spill, s, "norm");
        int64_t n = norm ? norm->shape[3] : 0;
        place_voxels(s, b, clm_spill_find(&spill, "voxels"));
        assert(at + n <= most);
        if (n) place_spots(s, at, &spill, n);
        at += n;
        clm_arena_rewind(w->temp, m);
    }
    s->points.n = s->patches.n = at;
    if (!has_steps(&s->coarse, err)) return false;
    for (int64_t i = 0; s->dark && i < clm_vol_count(&s->coarse); i++) s->coarse.data[i] = -s->coarse.data[i];
    return !s->faint || look_closer(run, w, s, err);
}

static clm_model model_of(const clm_config *c) {
    static const char *const names[] = {"translation", "rigid", "similarity", "affine"};
    static const clm_model models[] = {CLM_MODEL_TRANSLATION, CLM_MODEL_RIGID, CLM_MODEL_SIMILARITY,
                                       CLM_MODEL_AFFINE};
    for (int i = 0; i < 4; i++)
        if (strcmp(c->global_model, names[i]) == 0) return models[i];
    return CLM_MODEL_AFFINE;
}

/* The prior is either no transform at all (then distance counts for nothing) or, with a limit, the identity. */
static bool fit_matches(const clm_run *run, const clm_work *w, const side *f, const side *m, double *figure,
                        bool turned, clm_affine *out, clm_err *err) {
    const clm_config *c = run->config;
    const clm_affine identity = CLM_AFFINE_IDENTITY;
    double voxel = clm_view_voxel_um(f->view);
    clm_global_params p = CLM_GLOBAL_DEFAULTS;
    clm_global_fit fit;
    p.any_rotation = turned;
    p.match.min_correlation = c->global_min_correlation;
    p.match.max_distance_um = c->global_max_distance_um;
    p.match.distinct_um = DISTINCT_VOX * voxel;
    p.ransac.model = model_of(c);
    p.ransac.max_error_um = clm_view_um_or_voxels(f->view, c->global_max_error_um, ERROR_VOX);
    p.ransac.min_inliers = c->global_min_inliers;
    const clm_affine *prior = c->global_max_distance_um > 0.0 ? &identity : NULL;
    if (!clm_global_find(w, &f->points, &f->patches, &m->points, &m->patches, prior, &p, &fit, err))
        return clm_err_in(err, "global affine: %lld fixed and %lld moving blobs", (long long)f->points.n,
                          (long long)m->points.n);
    figure[2] = (double)fit.matches.n;
    figure[3] = (double)fit.fit.inliers;
    figure[4] = fit.fit.rms_um;
    *out = fit.fit.affine;
    return true;
}

/* affine.json for us, affine.txt for numpy.loadtxt: 4 x 4, z y x; `note`: why not by blobs, or ""; `warning`: what
 * to look at, or "" */
static bool publish(const clm_run *run, const clm_affine *a, const char *method, const char *note,
                    const char *warning, const double *figure, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    bool ok = v != NULL;
    clm_json_add_text(v, "method", method);
    if (note[0]) clm_json_add_text(v, "note", note);
    if (warning[0]) clm_json_add_text(v, "warning", warning);
    if (ok) clm_affine_to_json(a, v);
    for (int i = 0; i < CLM_FIGURE_RSS; i++) {
        const char *name = clm_job_figure(CLM_JOB_GLOBAL, i).name;
        if (name && !isnan(figure[i])) clm_json_add_number(v, name, figure[i]);
    }
    ok = ok && clm_json_print(v, true, &b, err) && clm_run_path(run, path, err, "affine.json") &&
         clm_file_publish(path, b.data, b.n, false, err);
    b.n = 0;
    ok = ok && clm_affine_to_text(a, &b, err) && clm_run_path(run, path, err, "affine.txt") &&
         clm_file_publish(path, b.data, b.n, false, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool refine(const clm_run *run, const clm_work *w, const side *f, const side *m, double *figure,
                   clm_affine *a, clm_err *err) {
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit fit;
    p.finest = 0;
    p.model = model_of(run->config);
    p.metric = clm_feature_metric(run);
    if (!run->config->global_refine) return true;
    if (!clm_refine_affine(w, &f->coarse, &m->coarse, a, &p, &fit, err)) return false;
    *a = fit.affine;
    figure[5] = fit.before;
    figure[6] = fit.after;
    figure[7] = fit.overlap;
    return true;
}

/* share of the fixed volume that maps inside the moving one, over a grid of points */
static double overlap_of(const clm_run *run, const clm_affine *a) {
    const clm_view *f = &run->coarse_fixed, *m = &run->coarse_moving;
    int64_t inside = 0;
    for (int i = 0; i < OVERLAP_POINTS * OVERLAP_POINTS * OVERLAP_POINTS; i++) {
        const int at[3] = {i / OVERLAP_POINTS / OVERLAP_POINTS, i / OVERLAP_POINTS % OVERLAP_POINTS,
                           i % OVERLAP_POINTS};
        double x[3], y[3];
        bool in = true;
        for (int d = 0; d < 3; d++)
            x[d] = f->origin[d] +
                   ((double)at[d] + 0.5) / OVERLAP_POINTS * (double)(f->shape[d] - 1) * f->spacing[d];
        clm_affine_apply(a, x, y);
        for (int d = 0; d < 3; d++) {
            double v = (y[d] - m->origin[d]) / m->spacing[d];
            in = in && v >= 0.0 && v <= (double)(m->shape[d] - 1);
        }
        inside += in;
    }
    return (double)inside / (OVERLAP_POINTS * OVERLAP_POINTS * OVERLAP_POINTS);
}

static void given_affine(const clm_config *c, clm_affine *out) {
    for (int i = 0; i < 12; i++) out->m[i / 4][i % 4] = c->global_affine.v[i];
}

static bool fit_side(const clm_run *run, const clm_work *w, int stage, const side *f, side *m, bool turned,
                     double *figure, clm_affine *a, clm_err *err) {
    if (!gather(run, w, stage, m, err)) return clm_err_in(err, "moving image");
    figure[0] = (double)f->points.n;
    figure[1] = (double)m->points.n;
    if (f->points.n < 4 || m->points.n < 4)
        return clm_fail(
            err, CLM_E_NODATA,
            "too little signal: %lld blobs in the fixed and %lld in the moving image; are they empty, or do "
            "global.radius_min_um and global.radius_max_um miss the structures?",
            (long long)f->points.n, (long long)m->points.n);
    return fit_matches(run, w, f, m, figure, turned, a, err);
}

/* bright with bright, bright with dark, or the one of them that more matches agree on */
static bool fit_contrast(const clm_run *run, const clm_work *w, int stage, const side *f, bool turned,
                         double *figure, clm_affine *out, clm_err *err) {
    const char *contrast = run->config->global_contrast;
    double inliers = -1.0;
    side best = {0};
    for (int dark = 0; dark < 2; dark++) {
        if (strcmp(contrast, dark ? "same" : "inverted") == 0) continue;
        side m = {.view = &run->coarse_moving,
                  .grid = &run->spots_moving,
                  .first = run->spots_fixed.n,
                  .dark = dark,
                  .faint = f->faint};
        double own[CLM_FIGURE_COUNT] = {0};
        clm_affine a;
        clm_err why = CLM_ERR_NONE;
        if (!fit_side(run, w, stage, f, &m, turned, own, &a, &why)) {
            if (why.code != CLM_E_NODATA && why.code != CLM_E_NUMERIC) return *err = why, false;
            if (inliers < 0.0) *err = why, memcpy(figure, own, 5 * sizeof *figure);
            continue;
        }
        if (own[3] <= inliers) continue;
        inliers = own[3], best = m, *out = a;
        memcpy(figure, own, 5 * sizeof *figure);
    }
    if (inliers < 0.0) return false;
    *err = CLM_ERR_NONE;
    figure[8] = best.dark;
    return refine(run, w, f, &best, figure, out, err);
}

/* whether the images are alike or each other's negative under `a` */
static bool is_negative(const clm_work *w, const side *f, const side *m, const clm_affine *a, bool *out,
                        clm_err *err) {
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit fit;
    p.levels = 1, p.iterations = 0;
    if (!clm_refine_affine(w, &f->coarse, &m->coarse, a, &p, &fit, err)) return false;
    *out = fit.after < 0.0;
    return true;
}

/* from the voxels alone; `start` (may be NULL): one place more to begin */
static bool fit_images(const clm_run *run, const clm_work *w, int stage, const side *f, bool centres,
                       bool turned, const clm_affine *start, double *figure, clm_affine *out, clm_err *err) {
    const clm_config *c = run->config;
    bool any = strcmp(c->global_contrast, "any") == 0;
    side m = {.view = &run->coarse_moving,
              .grid = &run->spots_moving,
              .first = run->spots_fixed.n,
              .dark = strcmp(c->global_contrast, "inverted") == 0};
    clm_centre_params p = {.refine = CLM_REFINE_DEFAULTS,
                           .start = start,
                           .identity = true,
                           .centres = centres,
                           .any_rotation = turned};
    clm_centre_fit fit;
    p.refine.model = model_of(c);
    p.refine.metric = any ? CLM_REFINE_MI : clm_feature_metric(run);
    if (!gather(run, w, stage, &m, err)) return clm_err_in(err, "moving image");
    if (!clm_centre_find(w, &f->coarse, &m.coarse, &p, &fit, err)) return clm_err_in(err, "global affine");
    bool negative = m.dark;
    if (any && !is_negative(w, f, &m, &fit.refined.affine, &negative, err)) return false;
    *out = fit.refined.affine;
    figure[5] = fit.refined.before, figure[6] = fit.refined.after, figure[7] = fit.refined.overlap;
    figure[8] = negative, figure[9] = fit.stands_out;
    return true;
}

/* so many blobs agree that it cannot be chance */
static bool is_firm(const clm_run *run, const double *figure) {
    return figure[3] >= FIRM_TIMES * (double)run->config->global_min_inliers &&
           figure[3] >= FIRM_SHARE * figure[2];
}

/* blobs: as asked and, where their consensus is not firm, turned by any angle. *firm false: *out is a guess, *why tells
 * what is missing. False with CLM_E_NODATA or CLM_E_NUMERIC: none agree */
static bool fit_blobs(const clm_run *run, const clm_work *w, int stage, const side *f, double *figure,
                      clm_affine *out, bool *firm, clm_err *why, clm_err *err) {
    double turned[CLM_FIGURE_COUNT];
    clm_affine a;
    clm_err none = CLM_ERR_NONE;
    clm_mark mark = clm_arena_mark(w->keep);
    bool asked = run->config->global_any_rotation, near = run->config->global_max_distance_um > 0.0;
    bool ok = fit_contrast(run, w, stage, f, asked, figure, out, err);
    *firm = ok && is_firm(run, figure);
    if (*firm || (!ok && err->code != CLM_E_NODATA && err->code != CLM_E_NUMERIC)) return ok;
    memcpy(turned, figure, sizeof turned);
    clm_arena_rewind(w->keep, mark);
    bool also = !asked && !near && fit_contrast(run, w, stage, f, true, turned, &a, &none);
    if (none.code != CLM_OK && none.code != CLM_E_NODATA && none.code != CLM_E_NUMERIC)
        return *err = none, false;
    if (also && is_firm(run, turned)) {
        memcpy(figure, turned, sizeof turned);
        *out = a, *firm = true, *err = CLM_ERR_NONE;
        return true;
    }
    if (ok)
        (void)clm_fail(why, CLM_E_NODATA, "only %.0f of %.0f matches of blobs agree", figure[3], figure[2]);
    else
        *why = *err;
    return ok;
}

/* no answer, which another witness may have; the plan of memory leaves out what few jobs need */
static bool is_nothing(const clm_err *err) {
    return err->code == CLM_E_NODATA || err->code == CLM_E_NUMERIC || err->code == CLM_E_BUDGET;
}

/* the images laid over each other, by any angle or not: *sure when what they say cannot be chance. Without an answer
 * *why tells it and the call succeeds */
static bool ask_images(const clm_run *run, const clm_work *w, int stage, const side *f, bool turned,
                       const clm_affine *start, double *figure, clm_affine *out, bool *sure, clm_err *why,
                       clm_err *err) {
    clm_err none = CLM_ERR_NONE;
    double own[CLM_FIGURE_COUNT];
    clm_affine a;
    clm_mark mark = clm_arena_mark(w->keep);
    memcpy(own, figure, sizeof own);
    bool ok = fit_images(run, w, stage, f, true, turned, start, own, &a, &none);
    clm_arena_rewind(w->keep, mark);
    *sure = ok && own[9] >= CLM_CENTRE_STANDS_OUT && own[6] >= ALIKE;
    if (*sure) *out = a, memcpy(figure, own, sizeof own);
    if (!ok && none.code != CLM_E_NODATA) return *err = none, false;
    if (ok && !*sure)
        (void)clm_fail(
            &none, CLM_E_NODATA,
            "laid over each other the images agree by %.3f (needed %.1f), %.1f standard deviations better than at "
            "random (needed %.0f)",
            own[6], ALIKE, own[9], CLM_CENTRE_STANDS_OUT);
    *why = none;
    return true;
}

/* blobs however faint, of both coarse volumes; as ask_images */
static bool ask_closer(const clm_run *run, const clm_work *w, int stage, side *f, double *figure,
                       clm_affine *out, bool *sure, clm_err *err) {
    clm_err none = CLM_ERR_NONE, why = CLM_ERR_NONE;
    double own[CLM_FIGURE_COUNT];
    clm_affine a;
    clm_mark mark = clm_arena_mark(w->keep);
    memcpy(own, figure, sizeof own);
    f->faint = true, *sure = false;
    bool ok = look_closer(run, w, f, &none) && fit_blobs(run, w, stage, f, own, &a, sure, &why, &none);
    clm_arena_rewind(w->keep, mark);
    f->faint = false;
    if (!ok && !is_nothing(&none)) return *err = none, false;
    if (*sure) *out = a, memcpy(figure, own, sizeof own);
    return true;
}

/* "auto": blobs; the images; blobs however faint; the images turned by any angle: who is sure is believed. *why: what the
 * first blobs lacked */
static bool fit_auto(const clm_run *run, const clm_work *w, int stage, side *f, double *figure,
                     const char **method, clm_affine *out, clm_err *why, clm_err *err) {
    const clm_config *c = run->config;
    clm_err images = CLM_ERR_NONE;
    clm_affine guess = CLM_AFFINE_IDENTITY;
    clm_mark mark = clm_arena_mark(w->keep);
    bool sure, any = c->global_any_rotation, near = c->global_max_distance_um > 0.0;
    bool found = fit_blobs(run, w, stage, f, figure, &guess, &sure, why, err);
    const clm_affine *start = found ? &guess : NULL;
    clm_arena_rewind(w->keep, mark);
    *out = guess, *method = "blobs";
    if (sure) return true;
    if (!found && why->code == CLM_OK) return false;
    *err = CLM_ERR_NONE, *method = "centre";
    if (!ask_images(run, w, stage, f, any, start, figure, out, &sure, &images, err)) return false;
    if (sure) return true;
    if (!ask_closer(run, w, stage, f, figure, out, &sure, err)) return false;
    if (sure) return *method = "blobs", true;
    if (!any && !near && !ask_images(run, w, stage, f, true, start, figure, out, &sure, &images, err))
        return false;
    if (sure) return true;
    return clm_fail(
        err, why->code,
        "%.260s; %.200s: does one show more than the other (mask.fixed_foreground), is it its negative "
        "(global.contrast=any)? global.method=centre takes it all the same",
        why->text, images.text);
}

__attribute__((format(printf, 2, 3))) static void warn(char warnings[WARNINGS], const char *fmt, ...) {
    char *text = warnings + strlen(warnings);
    size_t room = WARNINGS - strlen(warnings);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, room, fmt, ap);
    va_end(ap);
    clm_log(CLM_LOG_INFO, "global: %s", text + (text[0] == ';' ? 2 : 0));
}

/* how many voxels of the plane have that very value */
static int64_t count_in_plane(const clm_vol *v, clm_box box, int axis, int64_t at, float value, int64_t *of) {
    int64_t n = 0;
    box.lo[axis] = at, box.hi[axis] = at + 1;
    *of = clm_box_count(box);
    for (int64_t z = box.lo[0]; z < box.hi[0]; z++)
        for (int64_t y = box.lo[1]; y < box.hi[1]; y++) {
            const float *row = clm_vol_row(v, z, y);
            for (int64_t x = box.lo[2]; x < box.hi[2]; x++) n += row[x] == value;
        }
    return n;
}

/* Whether whole planes of `value` lie before a face of which no more than a tenth has it: padding ends at once; what
 * surrounds a specimen ends at its outline, and few voxels of the first plane that has any are its own. */
static bool is_padded(const clm_vol *v, float value) {
    clm_box box = clm_box_of(v->shape);
    bool trimmed[6] = {false}, padded = false;
    int64_t of;
    for (int face = 0; face < 6; face++) {
        int d = face / 2;
        int64_t *at = face % 2 ? &box.hi[d] : &box.lo[d];
        while (box.lo[d] < box.hi[d] && count_in_plane(v, box, d, *at - face % 2, value, &of) == of)
            *at += face % 2 ? -1 : 1, trimmed[face] = true;
        if (box.lo[d] == box.hi[d]) return false;
    }
    for (int face = 0; face < 6; face++) {
        int d = face / 2;
        int64_t first = face % 2 ? box.hi[d] - 1 : box.lo[d];
        padded = padded || (trimmed[face] && 10 * count_in_plane(v, box, d, first, value, &of) <= of);
    }
    return padded;
}

static void warn_of_padding(const clm_vol *v, bool negative, const char *name, char warnings[WARNINGS]) {
    const float corner[2] = {v->data[0], clm_vol_row(v, v->shape[0] - 1, v->shape[1] - 1)[v->shape[2] - 1]};
    for (int k = 0; k < 2; k++) {
        if (!is_padded(v, corner[k])) continue;
        double value = negative ? -(double)corner[k] : (double)corner[k];
        warn(
            warnings,
            "%sthe %s image begins or ends with planes of value %g; padding is taken for image and can draw the answer: "
            "--set 'mask.%s_background=[%g]' leaves it out",
            warnings[0] ? "; " : "", name, value, name, value);
        return;
    }
}

/* What can be wrong with an answer all the same: padding, and a mirror image of something nearly symmetric. */
static bool look_twice(const clm_run *run, const clm_work *w, int stage, const side *f, bool negative,
                       const clm_affine *a, char warnings[WARNINGS], clm_err *err) {
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_mirror found;
    clm_mark mark = clm_arena_mark(w->keep);
    side m = {.view = &run->coarse_moving,
              .grid = &run->spots_moving,
              .first = run->spots_fixed.n,
              .dark = negative};
    p.model = model_of(run->config);
    p.metric = clm_feature_metric(run);
    bool ok =
        gather(run, w, stage, &m, err) && clm_centre_mirror(w, &f->coarse, &m.coarse, &p, a, &found, err);
    if (ok) {
        warn_of_padding(&f->coarse, false, "fixed", warnings);
        warn_of_padding(&m.coarse, negative, "moving", warnings);
    }
    clm_arena_rewind(w->keep, mark);
    if (!ok && is_nothing(err)) return *err = CLM_ERR_NONE, true; /* an answer is no worse for that */
    if (ok && found.axis >= 0)
        warn(
            warnings,
            "%smirrored along its %c axis the moving image agrees better, %.3f against %.3f: is one of the two a mirror "
            "image? nothing was mirrored",
            warnings[0] ? "; " : "", "zyx"[found.axis], found.mirrored, found.score);
    return ok;
}

bool clm_job_global(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    clm_affine a;
    int stage = clm_run_stage_of(run, CLM_JOB_SPOTS, 0);
    (void)task;
    if (stage < 0) { /* method "given" */
        given_affine(run->config, &a);
        figure[8] = strcmp(run->config->global_contrast, "inverted") == 0;
        figure[7] = overlap_of(run, &a);
        if (figure[7] < LEAST_OVERLAP)
            return clm_fail(
                err, CLM_E_NODATA,
                "under global.affine only %.2g %% of the fixed image overlap the moving one; is it fixed to "
                "moving, z y x, in micrometres?",
                100.0 * figure[7]);
        return publish(run, &a, "given", "", "", figure, err);
    }
    side f = {.view = &run->coarse_fixed, .grid = &run->spots_fixed, .first = 0};
    if (!gather(run, w, stage, &f, err)) return clm_err_in(err, "fixed image");
    const char *method = run->config->global_method;
    clm_err why = CLM_ERR_NONE;
    bool ok = strcmp(method, "auto") == 0 ? fit_auto(run, w, stage, &f, figure, &method, &a, &why, err)
              : strcmp(method, "blobs") == 0
                  ? fit_contrast(run, w, stage, &f, run->config->global_any_rotation, figure, &a, err)
                  : fit_images(run, w, stage, &f, strcmp(method, "centre") == 0,
                               run->config->global_any_rotation, NULL, figure, &a, err);
    char warnings[WARNINGS] = "";
    return ok && look_twice(run, w, stage, &f, figure[8] > 0.0, &a, warnings, err) &&
           publish(run, &a, method, why.text, warnings, figure, err);
}
