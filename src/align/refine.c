#include "collimate/align/refine.h"
#include "collimate/core/linalg.h"
#include "collimate/image/reduce.h"
#include "refine_sums.h"

#include <math.h>
#include <string.h>

#define LEVELS 12   /* more than any volume can be halved usefully */
#define LEAST 8     /* voxels an axis keeps at the coarsest level  */
#define LEAST_MI 24 /* where a joint histogram must be filled      */
#define HALVINGS 5  /* of a step that does not improve             */
#define GAIN 1e-9   /* smaller improvements are rounding           */

typedef struct pyramid {
    clm_vol fixed[LEVELS], moving[LEVELS]; /* [0] is params.finest */
    int n;
} pyramid;

/** A place on the climb: a transform with its sums and score, and what a step may not exceed. */
typedef struct climb {
    const clm_vol *fixed, *moving;
    const clm_refine_params *p;
    const clm_work *scratch;
    clm_affine start, back; /* and its inverse */
    clm_refine_units units;
    double radius;     /* of the fixed volume, micrometres */
    double unit_value; /* of the scaled intensities, for mean squares */
    double voxel_um, least_n;
    double could; /* fixed voxels that can be compared at most: the smaller image's */
    int64_t thin; /* every thin-th row is compared */
    clm_affine at;
    clm_parzen *mi;     /* NULL: another metric    */
    double range[2][2]; /* of the scaled values    */
    double curvature;   /* of n MI by a value      */
    clm_refine_sums sums;
    double score;
    int32_t tried;
} climb;

/** Halve axes of a volume until they are near the pitch of the other's level: factors are powers of two. */
static bool halve_to(const clm_work *w, const clm_vol *v, const double pitch[3], int64_t least, clm_vol *out,
                     clm_err *err) {
    int64_t factor[3];
    bool any = false;
    for (int d = 0; d < 3; d++) {
        factor[d] = 1;
        while (v->spacing[d] * (double)factor[d] * 1.4142 <= pitch[d] &&
               v->shape[d] / (2 * factor[d]) >= least)
            factor[d] *= 2;
        any |= factor[d] > 1;
    }
    *out = *v;
    return any ? clm_reduce(w, v, factor, out, err) : true;
}

/** Level k from level k - 1, all in w->keep. */
static bool build(const clm_work *w, const clm_vol *fixed, const clm_vol *moving, const clm_refine_params *p,
                  pyramid *out, clm_err *err) {
    clm_vol f = *fixed, m = *moving;
    int64_t had[3] = {1, 1, 1}, least = p->metric == CLM_REFINE_MI ? LEAST_MI : LEAST;
    out->n = 0;
    for (int level = 0; level < p->finest + p->levels && out->n < LEVELS; level++) {
        int64_t factor[3], ratio[3];
        bool more = clm_reduce_factor(fixed, level, least, factor);
        if (!more && out->n) break;
        double pitch[3];
        bool any = false;
        for (int d = 0; d < 3; d++) {
            ratio[d] = factor[d] / had[d], had[d] = factor[d];
            pitch[d] = fixed->spacing[d] * (double)factor[d];
            any |= ratio[d] > 1;
        }
        if (any && !clm_reduce(w, &f, ratio, &f, err)) return false;
        if (!halve_to(w, &m, pitch, least, &m, err)) return false;
        if (level < p->finest && more) continue;
        out->fixed[out->n] = f, out->moving[out->n] = m, out->n++;
    }
    return true;
}

/** Mean and deviation of some of the voxels: enough to scale by. */
static void spread_of(const clm_vol *v, double *mean, double *deviation) {
    double n = 0, s = 0, ss = 0, first = NAN;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = z % 3; y < v->shape[1]; y += 3) {
            const float *row = clm_vol_row(v, z, y);
            for (int64_t x = 0; x < v->shape[2]; x++) {
                if (!isfinite(row[x])) continue;
                if (n == 0) first = (double)row[x];
                double d = (double)row[x] - first;
                n += 1, s += d, ss += d * d;
            }
        }
    double var = n > 0 ? ss / n - (s / n) * (s / n) : 0;
    *mean = n > 0 ? first + s / n : 0;
    *deviation = var > 0 ? sqrt(var) : 1;
}

static int64_t count_finite(const clm_vol *v, int64_t thin) {
    int64_t n = 0;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) {
            if (!clm_refine_row(z, y, thin)) continue;
            const float *row = clm_vol_row(v, z, y);
            for (int64_t x = 0; x < v->shape[2]; x++) n += row[x] * 0.0f == 0.0f;
        }
    return n;
}

static double score_of(const climb *c, const clm_refine_sums *s) {
    if (!(s->n > 1)) return -INFINITY;
    if (c->p->metric == CLM_REFINE_SQUARES)
        return -(s->ff + s->gg - 2 * s->fg) / s->n * c->unit_value * c->unit_value;
    double ff = s->ff - s->f * s->f / s->n, gg = s->gg - s->g * s->g / s->n, fg = s->fg - s->f * s->g / s->n;
    return ff > 1e-12 * s->n && gg > 1e-12 * s->n ? fg / sqrt(ff * gg) : -INFINITY;
}

/** How far a change of the twelve parameters moves the farthest corner, micrometres. */
static double corner_move(const double D[12]) {
    double most = 0;
    for (int k = 0; k < 8; k++) {
        double sum = 0;
        for (int i = 0; i < 3; i++) {
            double v = D[4 * i + 3];
            for (int j = 0; j < 3; j++) v += k >> j & 1 ? D[4 * i + j] : -D[4 * i + j];
            sum += v * v;
        }
        most = fmax(most, sum);
    }
    return sqrt(most);
}

/** The change of parameters from a to b. */
static void difference(const climb *c, const clm_affine *a, const clm_affine *b, double D[12]) {
    for (int i = 0; i < 3; i++) {
        D[4 * i + 3] = b->m[i][3] - a->m[i][3];
        for (int j = 0; j < 3; j++) {
            double d = b->m[i][j] - a->m[i][j];
            D[4 * i + j] = d * c->units.reach[j];
            D[4 * i + 3] += d * c->units.centre[j];
        }
    }
}

/** Directions in which a model may move: basis[k] is a change of the twelve parameters. Returns how many.
 *  Rotations turn about where the centre of the fixed volume lies now; they and the scale are told in micrometres at
 *  the radius, so that all unknowns have like size. */
static int directions(const climb *c, clm_model model, double basis[12][12]) {
    memset(basis, 0, 144 * sizeof(double));
    if (model == CLM_MODEL_AFFINE) {
        for (int k = 0; k < 12; k++) basis[k][k] = 1;
        return 12;
    }
    for (int k = 0; k < 3; k++) basis[k][4 * k + 3] = 1;
    if (model == CLM_MODEL_TRANSLATION) return 3;
    for (int j = 0; j < 3; j++) {
        double v[3];
        for (int i = 0; i < 3; i++) v[i] = c->at.m[i][j] * c->units.reach[j] / c->radius;
        for (int k = 0; k < 3; k++) { /* unit vector k times v */
            int a = (k + 1) % 3, b = (k + 2) % 3;
            basis[3 + k][4 * a + j] = -v[b];
            basis[3 + k][4 * b + j] = v[a];
        }
        for (int i = 0; i < 3; i++) basis[6][4 * i + j] = v[i];
    }
    return model == CLM_MODEL_RIGID ? 6 : 7;
}

/** Move by q along the directions: linear for affine and translation, along the group for rotation and scale. */
static clm_affine moved(const climb *c, clm_model model, const double *q) {
    clm_affine t = c->at;
    if (model == CLM_MODEL_AFFINE) {
        for (int i = 0; i < 3; i++) {
            t.m[i][3] += q[4 * i + 3];
            for (int j = 0; j < 3; j++) {
                double d = q[4 * i + j] / c->units.reach[j];
                t.m[i][j] += d;
                t.m[i][3] -= d * c->units.centre[j];
            }
        }
        return t;
    }
    double scale = model == CLM_MODEL_SIMILARITY ? exp(q[6] / c->radius) : 1, middle[3];
    clm_affine turn = CLM_AFFINE_IDENTITY;
    if (model != CLM_MODEL_TRANSLATION) {
        const double r[3] = {q[3] / c->radius, q[4] / c->radius, q[5] / c->radius};
        double angle = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
        /* Rodrigues; the series where the quotients would be 0 / 0 */
        double a = angle > 1e-8 ? sin(angle) / angle : 1,
               b = angle > 1e-8 ? (1 - cos(angle)) / (angle * angle) : .5;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                double cross = i == j ? 0 : (j == (i + 2) % 3 ? 1 : -1) * r[3 - i - j];
                turn.m[i][j] = (i == j ? 1 - b * angle * angle : 0) + b * r[i] * r[j] + a * cross;
                turn.m[i][j] *= scale;
            }
    }
    clm_affine_apply(&c->at, c->units.centre, middle);
    for (int i = 0; i < 3; i++) {
        turn.m[i][3] = middle[i] + q[i];
        for (int j = 0; j < 3; j++) turn.m[i][3] -= turn.m[i][j] * middle[j];
    }
    return clm_affine_compose(&turn, &c->at);
}

/** The Gauss-Newton step in a model's directions, as coefficients q and as the change D it makes. */
static bool step_of(const climb *c, clm_model model, double q[12], double D[12]) {
    const clm_refine_sums *s = &c->sums;
    double H[12][12], b[12], basis[12][12], A[144], n = s->n, top = 0;
    double mean_f = s->f / n, mean_g = s->g / n;
    double ff = s->ff - s->f * mean_f, gg = s->gg - s->g * mean_g, fg = s->fg - s->f * mean_g;
    double rho = fg / sqrt(ff * gg), gain = sqrt(gg / ff);
    for (int i = 0; i < 12; i++) {
        double gf_i = s->Gf[i] - s->G[i] * mean_f, gg_i = s->Gg[i] - s->G[i] * mean_g;
        b[i] = gf_i * gain - rho * gg_i;
        for (int k = 0; k < 12; k++)
            H[i][k] = c->mi ? c->curvature * s->GG[i][k]
                            : s->GG[i][k] - s->G[i] * s->G[k] / n - gg_i * (s->Gg[k] - s->G[k] * mean_g) / gg;
        if (c->mi) b[i] = s->Gf[i];
        if (c->p->metric == CLM_REFINE_SQUARES) {
            b[i] = s->Gf[i] - s->Gg[i];
            memcpy(H[i], s->GG[i], sizeof H[i]);
        }
    }
    int m = directions(c, model, basis);
    for (int i = 0; i < m; i++) {
        q[i] = 0;
        for (int k = 0; k < 12; k++) q[i] += basis[i][k] * b[k];
        for (int j = 0; j < m; j++) {
            double sum = 0;
            for (int k = 0; k < 12; k++)
                for (int l = 0; l < 12; l++) sum += basis[i][k] * H[k][l] * basis[j][l];
            A[i * m + j] = sum;
            if (i == j) top = fmax(top, sum);
        }
    }
    /* directions the images say nothing about (a flat volume) stay where they are */
    for (int i = 0; i < m; i++) A[i * m + i] += 1e-8 * top + A[i * m + i] * 1e-6;
    clm_err ignored = CLM_ERR_NONE;
    if (!(top > 0) || !clm_solve_spd(m, A, q, &ignored)) return false;
    /* residuals that stay at the optimum make Gauss-Newton overrate the curvature by 1 / rho */
    double length = c->p->metric == CLM_REFINE_NCC ? 1 / fmax(rho, 0.5) : 1;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < 12; k++) D[k] = 0;
        for (int i = 0; i < m; i++) {
            q[i] *= length;
            for (int k = 0; k < 12; k++) D[k] += q[i] * basis[i][k];
        }
        length = fmin(1, c->p->max_step_vox * c->voxel_um / fmax(corner_move(D), 1e-300));
    }
    return isfinite(D[0] + D[5] + D[11]);
}

/** The score under `a`; *n voxels compared. Correlation and squares have their sums by then, too. */
static double look(const climb *c, const clm_affine *a, clm_refine_sums *s, double *n) {
    if (!c->mi) {
        clm_refine_sum(c->fixed, c->moving, a, &c->units, c->thin, NULL, s);
        *n = s->n;
        return score_of(c, s);
    }
    clm_parzen_begin(c->mi, c->range[0], c->range[1]);
    clm_refine_count(c->fixed, c->moving, a, &c->units, c->thin, c->mi);
    *n = c->mi->n;
    return c->mi->n > 1 ? sqrt(1 - exp(-2 * c->mi->value)) : -INFINITY;
}

/** Stand at `a`, which was the last that was looked at. */
static void stand(climb *c, const clm_affine *a, clm_refine_sums *s, double score) {
    if (c->mi) clm_refine_sum(c->fixed, c->moving, a, &c->units, c->thin, c->mi, s);
    c->at = *a, c->sums = *s, c->score = score, c->curvature = c->mi ? c->mi->curvature : 0;
}

/** No collapse into the few voxels that agree, and no mirror. */
static bool is_sane(const climb *c, const clm_affine *a) {
    clm_affine change = clm_affine_compose(a, &c->back);
    double stretch[3];
    clm_affine_stretch(&change, stretch);
    return stretch[0] <= c->p->max_stretch && stretch[2] * c->p->max_stretch >= 1 &&
           clm_affine_det(&change) > 0;
}

/** Stand there when it is better than where the climb stands. */
static bool take_if_better(climb *c, const clm_affine *a) {
    clm_refine_sums s;
    double D[12], n;
    difference(c, &c->start, a, D);
    if (c->p->max_move_um > 0 && corner_move(D) > c->p->max_move_um) return false;
    if (!is_sane(c, a)) return false;
    double score = look(c, a, &s, &n);
    if (n < c->least_n || !(score > c->score + GAIN * fabs(c->score))) return false;
    stand(c, a, &s, score);
    return true;
}

static void go_up(climb *c, clm_model model) {
    const double tolerance = c->p->tolerance_vox * c->voxel_um;
    for (int32_t used = 0; used < c->p->iterations;) {
        double q[12], D[12];
        if (!step_of(c, model, q, D)) return;
        double length = corner_move(D);
        bool better = false;
        for (int k = 0; k <= HALVINGS && !better && used < c->p->iterations && length >= tolerance; k++) {
            clm_affine next = moved(c, model, q);
            better = take_if_better(c, &next);
            used++, c->tried++;
            if (better) break;
            for (int i = 0; i < 12; i++) q[i] *= 0.5;
            length *= 0.5;
        }
        if (!better || length < tolerance) return;
    }
}

static bool check(const clm_vol *f, const clm_vol *m, const clm_refine_params *p, clm_err *err) {
    if (p->finest < 0 || p->levels < 1 || p->levels > LEVELS || p->iterations < 0 ||
        !(p->tolerance_vox > 0) || !(p->max_step_vox > 0) || p->max_voxels < 1 || !(p->max_move_um >= 0) ||
        !(p->max_stretch > 1) || !(p->min_overlap >= 0 && p->min_overlap <= 1))
        return clm_fail(
            err, CLM_E_ARG,
            "refinement of %d levels from %d, %d iterations, tolerance %g, step %g, move %g, stretch %g, overlap %g",
            (int)p->levels, (int)p->finest, (int)p->iterations, p->tolerance_vox, p->max_step_vox,
            p->max_move_um, p->max_stretch, p->min_overlap);
    if (clm_vol_count(f) < 1 || clm_vol_count(m) < 1 || m->shape[0] * m->stride[0] > INT32_MAX)
        return clm_fail(err, CLM_E_ARG, "refinement on %lld fixed and %lld moving voxels",
                        (long long)clm_vol_count(f), (long long)clm_vol_count(m));
    return true;
}

static bool find_ranges(climb *c, clm_err *err) {
    const clm_refine_units *u = &c->units;
    return clm_parzen_range(c->scratch, c->fixed, (double)u->shift_f, (double)u->scale_f, c->range[0], err) &&
           clm_parzen_range(c->scratch, c->moving, (double)u->shift_g, (double)u->scale_g, c->range[1], err);
}

/** Scales and limits of a level; the climb then stands at the start. */
static bool enter_level(climb *c, const clm_vol *fixed, const clm_vol *moving, clm_err *err) {
    double mean[2], deviation[2];
    c->fixed = fixed, c->moving = moving;
    c->thin = clm_div_up(clm_vol_count(fixed), c->p->max_voxels);
    spread_of(fixed, &mean[0], &deviation[0]);
    spread_of(moving, &mean[1], &deviation[1]);
    if (c->p->metric == CLM_REFINE_SQUARES) mean[1] = mean[0], deviation[1] = deviation[0];
    c->units.shift_f = (float)mean[0], c->units.scale_f = (float)(1 / deviation[0]);
    c->units.shift_g = (float)mean[1], c->units.scale_g = (float)(1 / deviation[1]);
    c->unit_value = 1 / (double)c->units.scale_f;
    c->voxel_um = fmin(fixed->spacing[0], fmin(fixed->spacing[1], fixed->spacing[2]));
    double cell[2] = {fabs(clm_affine_det(&c->start)), 1};
    for (int d = 0; d < 3; d++) cell[0] *= fixed->spacing[d], cell[1] *= moving->spacing[d];
    c->could = fmin((double)count_finite(fixed, c->thin),
                    (double)count_finite(moving, 1) / (double)c->thin * cell[1] / cell[0]);
    if (c->mi && !find_ranges(c, err)) return false;
    clm_refine_sums s;
    double n, score = look(c, &c->start, &s, &n);
    stand(c, &c->start, &s, score);
    if (!(c->sums.n > 0) || c->sums.n < c->p->min_overlap * c->could)
        return clm_fail(
            err, CLM_E_NODATA,
            "under the start the images share %.0f fixed voxels, %.1f %% of the smaller one; needed %.1f "
            "%%",
            c->sums.n, c->could > 0 ? 100 * c->sums.n / c->could : 0.0, 100 * c->p->min_overlap);
    if (c->score == -INFINITY)
        return clm_fail(err, CLM_E_NODATA, "fixed or moving is constant over the %.0f voxels they share",
                        c->sums.n);
    /* correlation can rise by comparing less and less: half of what the start compares must stay */
    c->least_n = fmax(0.5 * c->sums.n, c->p->min_overlap * c->could);
    return true;
}

static bool run(climb *c, const pyramid *levels, clm_refine_fit *out, clm_err *err) {
    clm_affine best = c->start;
    for (int k = levels->n - 1; k >= 0; k--) {
        if (!enter_level(c, &levels->fixed[k], &levels->moving[k], err)) return false;
        out->before = c->score;
        if (k < levels->n - 1) (void)take_if_better(c, &best);
        int32_t tried = c->tried;
        /* far off, few parameters see further than many */
        if (k == levels->n - 1 && levels->n > 1)
            for (int model = CLM_MODEL_TRANSLATION; model < (int)c->p->model; model++)
                go_up(c, (clm_model)model);
        go_up(c, c->p->model);
        best = c->at;
        out->finest_iterations = c->tried - tried;
    }
    double D[12];
    difference(c, &c->start, &c->at, D);
    out->affine = c->at, out->after = c->score, out->iterations = c->tried;
    out->moved_um = corner_move(D);
    out->shared = c->sums.n / c->could;
    out->overlap = c->sums.n / (double)count_finite(c->fixed, c->thin);
    return true;
}

bool clm_refine_affine(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                       const clm_affine *start, const clm_refine_params *p, clm_refine_fit *out,
                       clm_err *err) {
    if (!check(fixed, moving, p, err)) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    clm_work inner = clm_work_flip(w);
    pyramid levels;
    climb c = {.p = p, .start = *start, .scratch = &inner};
    for (int d = 0; d < 3; d++) {
        double half = 0.5 * (double)(fixed->shape[d] - 1) * fixed->spacing[d];
        c.units.centre[d] = fixed->origin[d] + half;
        c.units.reach[d] = fmax(half, 0.5 * fixed->spacing[d]);
        c.radius = fmax(c.radius, c.units.reach[d]);
    }
    clm_refine_fit fit;
    memset(&fit, 0, sizeof fit);
    bool ok = clm_affine_invert(start, &c.back, err);
    if (ok && p->metric == CLM_REFINE_MI) ok = (c.mi = clm_take(w->temp, clm_parzen, 1, err)) != NULL;
    ok = ok && build(&inner, fixed, moving, p, &levels, err) && run(&c, &levels, &fit, err);
    clm_arena_rewind(w->temp, mark);
    if (ok) *out = fit;
    return ok;
}
