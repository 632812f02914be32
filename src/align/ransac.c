#include "collimate/align/ransac.h"
#include "collimate/base/rng.h"
#include "collimate/base/simd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LANES 8
#define POLISH 6      /* refits of a record */
#define FINAL 12      /* refits of the answer */
#define MAX_TILT 0.05 /* standard error of a slope that a fit may have across its thinnest axis */

/** Matches, axis by axis for the inner loop and as rows for the fits. */
typedef struct pairs {
    int64_t n;
    const double (*p)[3], (*q)[3];
    double *s[6];   /* [n] p then q */
    double *square; /* [n] squared residuals */
    double *weight; /* [n] */
} pairs;

typedef struct rung {
    const clm_ransac_params *r;
    clm_model model;
    clm_affine best;
    double cost; /* sum of min(1, (residual / max_error)^2) */
    int64_t inliers, trials;
    int64_t refused;   /* most inliers of a model stretched beyond the bounds */
    double stretch[3]; /* its singular values */
    char lacks[112];   /* why it did not pass, empty if it did */
} rung;

CLM_CLONES static void residuals(const pairs *x, const clm_affine *a, double *restrict square) {
    const double *pz = x->s[0], *py = x->s[1], *px = x->s[2], *qz = x->s[3], *qy = x->s[4], *qx = x->s[5];
    const double(*m)[4] = a->m;
    double m00 = m[0][0], m01 = m[0][1], m02 = m[0][2], m03 = m[0][3];
    double m10 = m[1][0], m11 = m[1][1], m12 = m[1][2], m13 = m[1][3];
    double m20 = m[2][0], m21 = m[2][1], m22 = m[2][2], m23 = m[2][3];
    for (int64_t i = 0; i < x->n; i++) {
        double z = m00 * pz[i] + m01 * py[i] + m02 * px[i] + m03 - qz[i];
        double y = m10 * pz[i] + m11 * py[i] + m12 * px[i] + m13 - qy[i];
        double v = m20 * pz[i] + m21 * py[i] + m22 * px[i] + m23 - qx[i];
        square[i] = z * z + y * y + v * v;
    }
}

/** Truncated cost and count of agreeing matches; lanes keep the sum's order fixed and its chain short. */
CLM_CLONES static double judge(const double *square, int64_t n, double limit2, int64_t *inliers) {
    double sum[LANES] = {0}, per = 1.0 / limit2, total = 0;
    int64_t count = 0, i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double c = square[i + k] * per;
            sum[k] += c < 1 ? c : 1;
            count += c < 1;
        }
    for (; i < n; i++) {
        double c = square[i] * per;
        sum[0] += c < 1 ? c : 1;
        count += c < 1;
    }
    for (int k = 0; k < LANES; k++) total += sum[k];
    *inliers = count;
    return total;
}

static bool is_plausible(const clm_ransac_params *r, const clm_affine *a, double stretch[3]) {
    clm_affine_stretch(a, stretch);
    if (clm_affine_det(a) < 0) stretch[2] = -stretch[2]; /* a mirror */
    return stretch[0] <= r->max_stretch && stretch[2] >= r->min_stretch;
}

/** Distances between the sample's points must stretch within bounds: throws out most wrong samples before
 *  any fit. Both ends may be off by the error allowed. */
static bool is_possible(const rung *g, const pairs *x, const int64_t *pick, int k) {
    double slack = 2 * g->r->max_error_um;
    double most = g->model >= CLM_MODEL_SIMILARITY ? g->r->max_stretch : 1;
    double least = g->model >= CLM_MODEL_SIMILARITY ? g->r->min_stretch : 1;
    for (int i = 0; i < k; i++)
        for (int j = 0; j < i; j++) {
            double a = 0, b = 0;
            for (int d = 0; d < 3; d++) {
                double u = x->p[pick[i]][d] - x->p[pick[j]][d], v = x->q[pick[i]][d] - x->q[pick[j]][d];
                a += u * u, b += v * v;
            }
            a = sqrt(a), b = sqrt(b);
            if (a < slack || b > most * a + slack || b < least * a - slack) return false;
        }
    return true;
}

/** k different matches out of n, a function of (seed, model, trial). */
static void draw(uint64_t seed, clm_model model, int64_t trial, int k, int64_t n, int64_t *pick) {
    uint64_t count = (uint64_t)trial << 8;
    for (int i = 0; i < k; i++) {
        bool again = true;
        while (again) {
            pick[i] = clm_rng_below(seed, 0x72616e00u + (uint64_t)model, count++, n);
            again = false;
            for (int j = 0; j < i; j++) again |= pick[j] == pick[i];
        }
    }
}

/** Take `a` as the record if it is one. */
static bool consider(rung *g, const pairs *x, const clm_affine *a) {
    int64_t inliers;
    residuals(x, a, x->square);
    double cost = judge(x->square, x->n, g->r->max_error_um * g->r->max_error_um, &inliers);
    if (!(cost < g->cost)) return false;
    double stretch[3];
    if (!is_plausible(g->r, a, stretch)) {
        if (inliers > g->refused) memcpy(g->stretch, stretch, sizeof stretch), g->refused = inliers;
        return false;
    }
    g->cost = cost, g->inliers = inliers, g->best = *a;
    return true;
}

/** Refit to what agrees with the record, weights falling to 0 at `reach` times the error allowed. */
static bool refit(const rung *g, const pairs *x, double reach, clm_affine *out, double spread[3]) {
    clm_err err = CLM_ERR_NONE;
    double limit2 = g->r->max_error_um * g->r->max_error_um * reach * reach;
    residuals(x, &g->best, x->square);
    for (int64_t i = 0; i < x->n; i++) {
        double c = 1 - x->square[i] / limit2;
        x->weight[i] = c > 0 ? c * c : 0; /* Tukey's biweight */
    }
    return clm_pose_fit(g->model, x->n, x->p, x->q, x->weight, out, spread, &err);
}

/** Local optimisation of a record: wide at first, so that a skewed sample can turn. */
static void polish(rung *g, const pairs *x, int times) {
    for (int i = 0; i < times; i++) {
        clm_affine a;
        double reach = i < 2 ? 2.0 : i < 4 ? 1.5 : 1.2;
        if (!refit(g, x, reach, &a, NULL)) return;
        if (!consider(g, x, &a) && i >= 4) return;
    }
}

static int64_t trials_needed(const rung *g, int64_t n) {
    double all = pow((double)g->inliers / (double)n, clm_model_pairs(g->model));
    if (all >= 1) return 1;
    double need = all > 0 ? log1p(-g->r->confidence) / log1p(-all) : 1e18;
    return need < (double)g->r->max_trials ? (int64_t)ceil(need) : g->r->max_trials;
}

static void search(const clm_work *w, rung *g, const pairs *x) {
    int k = clm_model_pairs(g->model);
    int64_t limit = g->r->max_trials, pick[4];
    if (k == 1 && limit > 4 * x->n) limit = 4 * x->n; /* nearly every match has been asked by then */
    g->cost = (double)x->n, g->inliers = 0;
    for (g->trials = 0; g->trials < limit; g->trials++) {
        double p[4][3], q[4][3];
        clm_affine a;
        clm_err err = CLM_ERR_NONE;
        draw(w->seed, g->model, g->trials, k, x->n, pick);
        if (!is_possible(g, x, pick, k)) continue;
        for (int i = 0; i < k; i++) {
            memcpy(p[i], x->p[pick[i]], sizeof p[i]);
            memcpy(q[i], x->q[pick[i]], sizeof q[i]);
        }
        if (!clm_pose_fit(g->model, k, (const double(*)[3])p, (const double(*)[3])q, NULL, &a, NULL, &err))
            continue;
        if (!consider(g, x, &a)) continue;
        polish(g, x, POLISH);
        limit = trials_needed(g, x->n);
    }
}

int64_t clm_ransac_least(const clm_ransac_params *r, int64_t n) {
    double least = fmax((double)r->min_inliers, r->min_share * (double)n);
    if (r->gate_um > 0) {
        double c = (double)n * fmin(1, pow(r->max_error_um / r->gate_um, 3));
        least = fmax(least, fmin(2 * c + 4 * sqrt(c) + 12, fmax(12, 0.8 * (double)n)));
    }
    return (int64_t)ceil(fmin(least, 1e15));
}

/** The answer of this model, or why there is none. */
static bool conclude(rung *g, const pairs *x, clm_ransac_fit *out) {
    const clm_ransac_params *r = g->r;
    clm_affine a;
    double spread[3] = {0, 0, 0}, stretch[3], sum = 0;
    if (g->inliers == 0) {
        snprintf(g->lacks, sizeof g->lacks, "none agree");
        return false;
    }
    for (int i = 0; i < FINAL && refit(g, x, 1.5, &a, spread); i++) {
        if (!is_plausible(r, &a, stretch)) break;
        g->best = a;
    }
    residuals(x, &g->best, x->square);
    g->inliers = 0;
    for (int64_t i = 0; i < x->n; i++) {
        out->agrees[i] = x->square[i] < r->max_error_um * r->max_error_um;
        if (out->agrees[i]) sum += x->square[i], g->inliers++;
    }
    double rms = g->inliers ? sqrt(sum / (double)g->inliers) : 0;
    double thin = g->model == CLM_MODEL_AFFINE ? spread[2] : spread[1];
    if (g->inliers < clm_ransac_least(r, x->n))
        snprintf(g->lacks, sizeof g->lacks, "%lld agree", (long long)g->inliers);
    else if (g->refused > 2 * g->inliers) /* the few that agree are a slice of a larger truth */
        snprintf(g->lacks, sizeof g->lacks, "%lld agree, %lld at a stretch of %.3g %.3g %.3g",
                 (long long)g->inliers, (long long)g->refused, g->stretch[0], g->stretch[1], g->stretch[2]);
    else if (g->model != CLM_MODEL_TRANSLATION &&
             !(thin > rms && thin > 1e-6 * spread[0] && rms < MAX_TILT * thin * sqrt((double)g->inliers)))
        snprintf(g->lacks, sizeof g->lacks, "%lld agree, too flat: extent %.3g %.3g %.3g um",
                 (long long)g->inliers, spread[0], spread[1], spread[2]);
    if (g->lacks[0]) return false;
    out->affine = g->best, out->model = g->model, out->inliers = g->inliers, out->rms_um = rms;
    memcpy(out->spread_um, spread, sizeof spread);
    return true;
}

static bool pairs_new(const clm_work *w, int64_t n, const double (*p)[3], const double (*q)[3], pairs *x,
                      clm_err *err) {
    *x = (pairs){.n = n, .p = p, .q = q};
    double *all = clm_arena_take(w->temp, n, 8 * sizeof *all, err);
    if (!all) return false;
    for (int d = 0; d < 6; d++) {
        x->s[d] = all + d * n;
        for (int64_t i = 0; i < n; i++) x->s[d][i] = d < 3 ? p[i][d] : q[i][d - 3];
    }
    x->square = all + 6 * n, x->weight = all + 7 * n;
    for (int64_t i = 0; i < 6 * n; i++)
        if (!isfinite(all[i]))
            return clm_fail(err, CLM_E_ARG, "match %lld is not finite", (long long)(i % n));
    return true;
}

static bool check(int64_t n, const clm_ransac_params *r, clm_err *err) {
    if (n < 0 || n > INT32_MAX || r->model < 0 || r->model >= CLM_MODEL_COUNT || r->model_min < 0 ||
        r->model_min > r->model)
        return clm_fail(err, CLM_E_ARG, "%lld matches, models %s down to %s", (long long)n,
                        clm_model_name(r->model), clm_model_name(r->model_min));
    if (!(r->max_error_um > 0) || !isfinite(r->max_error_um) || !(r->confidence > 0) ||
        !(r->confidence < 1) || r->max_trials < 1 || !(r->min_stretch > 0) || !(r->min_stretch <= 1) ||
        !(r->max_stretch >= 1) || !(r->gate_um >= 0) || !(r->min_share >= 0) || !(r->min_share <= 1))
        return clm_fail(
            err, CLM_E_ARG,
            "error %g um, confidence %g, %lld trials, stretch %g to %g (1 must lie in it), share %g",
            r->max_error_um, r->confidence, (long long)r->max_trials, r->min_stretch, r->max_stretch,
            r->min_share);
    return true;
}

bool clm_ransac_affine(const clm_work *w, int64_t n, const double (*p)[3], const double (*q)[3],
                       const clm_ransac_params *r, clm_ransac_fit *out, clm_err *err) {
    if (!check(n, r, err)) return false;
    clm_ransac_fit fit = {0};
    fit.agrees = clm_take_zero(w->keep, uint8_t, n, err);
    if (!fit.agrees) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    pairs x;
    bool ok = pairs_new(w, n, p, q, &x, err), found = false;
    char why[400] = "";
    rung g = {.r = r};
    for (int m = (int)r->model; ok && !found && m >= (int)r->model_min; m--) {
        g.model = (clm_model)m, g.lacks[0] = 0; /* what was refused for its stretch still counts */
        if (n >= clm_model_pairs(g.model)) search(w, &g, &x);
        found = conclude(&g, &x, &fit);
        fit.trials += g.trials;
        size_t used = strlen(why);
        if (!found)
            snprintf(why + used, sizeof why - used, "%s%s: %s", used ? "; " : "", clm_model_name(g.model),
                     g.lacks);
    }
    if (ok && !found)
        clm_fail(err, CLM_E_NODATA,
                 "no consensus among %lld matches within %g um, %lld asked (%s; %lld trials)", (long long)n,
                 r->max_error_um, (long long)r->min_inliers, why, (long long)fit.trials);
    clm_arena_rewind(w->temp, mark);
    if (found) *out = fit;
    return found;
}
