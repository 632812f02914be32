#include "collimate/align/landmarks.h"
#include "landmarks_parts.h"

#include <math.h>
#include <string.h>

#define THIN 1e-6          /* of the largest extent: below it an axis tells nothing */
#define SPLINE_MOST 8192   /* pairs: 0.5 GB, and minutes */
#define LEFT_OUT_MOST 4096 /* fits again */

const char *clm_landmark_model_name(int model) {
    return model == CLM_LANDMARKS_TPS ? "tps" : clm_model_name((clm_model)model);
}

static double distance(const clm_landmark_fit *f, const double x[3], const double y[3]) {
    double p[3];
    clm_landmark_fit_apply(f, x, p);
    return hypot(hypot(p[0] - y[0], p[1] - y[1]), p[2] - y[2]);
}

void clm_landmark_fit_apply(const clm_landmark_fit *f, const double x[3], double y[3]) {
    double p[3];
    clm_affine_apply(&f->affine, x, p);
    for (int64_t j = 0; j < f->n; j++) {
        double s = 0.0;
        for (int d = f->planar; d < 3; d++) {
            double t = (x[d] - f->at[j][d]) / f->scale;
            s += t * t;
        }
        double k = clm_landmark_kernel(f->planar, s);
        for (int d = 0; d < 3; d++) p[d] += f->c[j][d] * k;
    }
    memcpy(y, p, sizeof p);
}

/* ---- what the points can tell ---- */

static void weigh(clm_landmark_pairs *x) {
    double all = 0.0, square = 0.0;
    for (int64_t i = 0; i < x->n; i++) {
        double w = x->weight ? x->weight[i] : 1.0;
        all += w;
        for (int d = 0; d < 3; d++)
            x->fixed_mean[d] += w * x->fixed[i][d], x->moving_mean[d] += w * x->moving[i][d];
    }
    for (int d = 0; d < 3; d++) x->fixed_mean[d] /= all, x->moving_mean[d] /= all;
    for (int64_t i = 0; i < x->n; i++)
        for (int d = 0; d < 3; d++) {
            double t = x->fixed[i][d] - x->fixed_mean[d];
            square += t * t;
        }
    x->scale = square > 0.0 ? sqrt(square / (double)x->n) : 1.0;
}

static bool check_plane(const clm_landmark_pairs *x, clm_err *err) {
    for (int side = 0; side < 2; side++) {
        const double(*at)[3] = side ? x->moving : x->fixed;
        double lo = INFINITY, hi = -INFINITY;
        for (int64_t i = 0; i < x->n; i++) lo = fmin(lo, at[i][0]), hi = fmax(hi, at[i][0]);
        if (hi - lo > 1e-9 * x->scale)
            return clm_fail(err, CLM_E_ARG, "--planar: z of the %s points is %g to %g um, not one value",
                            side ? "moving" : "fixed", lo, hi);
    }
    return true;
}

static bool check(const clm_landmark_fit_params *p, const clm_landmark_pairs *x, clm_landmark_fit *f,
                  clm_err *err) {
    bool full = p->model == CLM_MODEL_AFFINE || p->model == CLM_LANDMARKS_TPS;
    int need = full ? 4 : clm_model_pairs((clm_model)p->model);
    const char *name = clm_landmark_model_name(p->model);
    clm_affine none;
    if (p->planar && p->model != CLM_MODEL_TRANSLATION) need--;
    if (x->n < need)
        return clm_fail(err, CLM_E_NODATA, "%lld pairs; %s%s needs at least %d", (long long)x->n,
                        p->planar ? "planar " : "", name, need);
    if (p->model == CLM_LANDMARKS_TPS && x->n > SPLINE_MOST)
        return clm_fail(err, CLM_E_BUDGET, "%lld pairs; a spline takes at most %d", (long long)x->n,
                        SPLINE_MOST);
    if (p->planar && !check_plane(x, err)) return false;
    if (!clm_pose_fit(CLM_MODEL_TRANSLATION, x->n, x->fixed, x->moving, x->weight, &none, f->spread, err))
        return false;
    if (p->model == CLM_MODEL_TRANSLATION) return true;
    const double *s = f->spread;
    int axes = p->planar ? (full ? 2 : 1) : full ? 3 : 2;
    if (s[axes - 1] > THIN * s[0]) return true;
    const char *where = s[0] == 0.0 ? "at one place" : s[1] > THIN * s[0] ? "in a plane" : "on a line";
    return clm_fail(
        err, CLM_E_NUMERIC,
        "the fixed points lie %s (root mean square extents along their principal axes %.4g, %.4g, %.4g um): "
        "that does not determine %s; %s",
        where, s[0], s[1], s[2], name,
        axes == 3 && s[1] > THIN * s[0] ? "a simpler --model does, or --planar where z is one value"
                                        : "a simpler --model does");
}

/* ---- translation, rigid, similarity ---- */

/* In the plane: q = s R p about the means, closed form. */
static bool fit_plane(int model, int64_t n, const clm_landmark_pairs *x, int64_t without, clm_affine *out) {
    double p[3] = {0}, q[3] = {0}, all = 0.0, dot = 0.0, cross = 0.0, square = 0.0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            double w = i == without ? 0.0 : x->weight ? x->weight[i] : 1.0, a[3], b[3];
            for (int d = 0; d < 3; d++) a[d] = x->fixed[i][d] - p[d], b[d] = x->moving[i][d] - q[d];
            if (pass == 0) {
                all += w;
                continue;
            }
            dot += w * (a[1] * b[1] + a[2] * b[2]), cross += w * (a[1] * b[2] - a[2] * b[1]);
            square += w * (a[1] * a[1] + a[2] * a[2]);
        }
        if (pass || !(all > 0.0)) break;
        for (int64_t i = 0; i < n; i++) {
            double w = (i == without ? 0.0 : x->weight ? x->weight[i] : 1.0) / all;
            for (int d = 0; d < 3; d++) p[d] += w * x->fixed[i][d], q[d] += w * x->moving[i][d];
        }
    }
    double length = hypot(dot, cross);
    if (!(length > 0.0)) return false;
    double s = model == CLM_MODEL_SIMILARITY ? length / square : 1.0, c = s * dot / length,
           t = s * cross / length;
    *out = (clm_affine){{{s, 0, 0, 0}, {0, c, -t, 0}, {0, t, c, 0}}};
    for (int d = 0; d < 3; d++)
        out->m[d][3] = q[d] - out->m[d][0] * p[0] - out->m[d][1] * p[1] - out->m[d][2] * p[2];
    return true;
}

static bool fit_pose(int model, bool planar, const clm_landmark_pairs *x, int64_t without, double *weight,
                     clm_affine *out, clm_err *err) {
    if (planar && model != CLM_MODEL_TRANSLATION)
        return fit_plane(model, x->n, x, without, out) ||
               clm_fail(err, CLM_E_NUMERIC, "the points do not determine a %s motion in the plane",
                        clm_landmark_model_name(model));
    for (int64_t i = 0; i < x->n; i++) weight[i] = i == without ? 0.0 : x->weight ? x->weight[i] : 1.0;
    return clm_pose_fit((clm_model)model, x->n, x->fixed, x->moving, weight, out, NULL, err);
}

static bool solve_pose(const clm_work *w, int model, const clm_landmark_pairs *x, clm_landmark_fit *f,
                       clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    double *weight = clm_take(w->temp, double, x->n, err);
    bool ok = weight && fit_pose(model, f->planar, x, -1, weight, &f->affine, err);
    int64_t times = x->n < LEFT_OUT_MOST ? x->n : LEFT_OUT_MOST;
    int need = clm_model_pairs((clm_model)model) - (f->planar && model != CLM_MODEL_TRANSLATION);
    clm_landmark_fit without = {.n = 0};
    for (int64_t i = 0; ok && i < x->n; i++) f->left_out_um[i] = NAN;
    for (int64_t k = 0; ok && k < times && x->n > need; k++) {
        clm_err none = CLM_ERR_NONE;
        int64_t i = k * x->n / times;
        if (fit_pose(model, f->planar, x, i, weight, &without.affine, &none))
            f->left_out_um[i] = distance(&without, x->fixed[i], x->moving[i]);
    }
    f->n_left_out = times;
    clm_arena_rewind(w->temp, mark);
    return ok;
}

bool clm_landmark_fit_find(const clm_work *w, const clm_landmark_fit_params *p, int64_t n,
                           const double (*fixed)[3], const double (*moving)[3], const double *weight,
                           clm_landmark_fit *out, clm_err *err) {
    clm_landmark_pairs x = {.n = n, .fixed = fixed, .moving = moving, .weight = weight};
    clm_landmark_fit f = {.at = fixed, .planar = p->planar, .n_left_out = n};
    bool spline = p->model == CLM_LANDMARKS_TPS;
    if (n < 1) return clm_fail(err, CLM_E_NODATA, "no pairs");
    for (int64_t i = 0; weight && i < n; i++)
        if (!(weight[i] > 0.0 && weight[i] < INFINITY))
            return clm_fail(err, CLM_E_ARG, "pair %lld: weight %g; must be above 0", (long long)(i + 1),
                            weight[i]);
    weigh(&x);
    f.scale = x.scale;
    if (!check(p, &x, &f, err)) return false;
    f.residual_um = clm_take(w->keep, double, n, err);
    f.left_out_um = f.residual_um ? clm_take(w->keep, double, n, err) : NULL;
    if (f.left_out_um && spline) f.c = clm_arena_take_zero(w->keep, n, sizeof *f.c, err);
    if (!f.left_out_um || (spline && !f.c)) return false;
    if (!(spline || p->model == CLM_MODEL_AFFINE
              ? clm_landmark_solve(w, &x, spline ? p->smoothing : -1.0, &f, err)
              : solve_pose(w, p->model, &x, &f, err)))
        return false;
    f.n = spline ? n : 0;
    for (int64_t i = 0; i < n; i++) f.residual_um[i] = distance(&f, fixed[i], moving[i]);
    *out = f;
    return true;
}
