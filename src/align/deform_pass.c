#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <math.h>

/* The metrics of a whole block look at the voxels twice: for their figures, then for their slopes. Correlation and
 * mean squares share the sweep: derivative e and curvature h of the energy by J are linear in
 * I and J with coefficients known beforehand. */
typedef struct linear {
    double of_i, of_j, constant; /* e = of_i I + of_j J + constant */
    double curvature;
} linear;

CLM_CLONES static void apply_linear(const float *restrict I, const float *restrict J,
                                    const float *restrict bad, linear c, int64_t n, float *restrict e,
                                    float *restrict h) {
    float i = (float)c.of_i, j = (float)c.of_j, k = (float)c.constant, w = (float)c.curvature;
    for (int64_t x = 0; x < n; x++) {
        e[x] = bad[x] > 0.0f ? 0.0f : i * I[x] + j * J[x] + k;
        h[x] = bad[x] > 0.0f ? 0.0f : w;
    }
}

typedef struct moments {
    double n, i, j, ii, jj, ij;
} moments;

static void add_moments(moments *m, const float *I, const float *J, const float *bad, int64_t n) {
    double s[6] = {0};
    for (int64_t x = 0; x < n; x++) {
        double keep = bad[x] > 0.0f ? 0.0 : 1.0, i = keep * (double)I[x], j = keep * (double)J[x];
        s[0] += keep, s[1] += i, s[2] += j, s[3] += i * i, s[4] += j * j, s[5] += i * j;
    }
    m->n += s[0], m->i += s[1], m->j += s[2], m->ii += s[3], m->jj += s[4], m->ij += s[5];
}

typedef struct rows {
    float *J, *G[3], *bad, *e, *h;
} rows;

static bool make_rows(clm_arena *a, int64_t nx, rows *r, clm_err *err) {
    float *p = clm_take(a, float, 7 * nx, err);
    if (!p) return false;
    *r = (rows){p, {p + nx, p + 2 * nx, p + 3 * nx}, p + 4 * nx, p + 5 * nx, p + 6 * nx};
    return true;
}

/* fixed NaN count as bad as well */
static void sample(const level *l, sampler *s, int64_t z, int64_t y, rows *r, bool slope) {
    sampler_row(s, z, y, r->J, slope ? r->G : NULL, r->bad);
    if (l->fixed_whole) return;
    const float *raw = clm_vol_row(l->fixed, z, y);
    for (int64_t x = 0; x < l->fixed->shape[2]; x++)
        if (!isfinite(raw[x])) r->bad[x] = 1.0f;
}

static void gather_moments(const level *l, sampler *s, rows *r, moments *m) {
    const int64_t *n = l->fixed->shape;
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            sample(l, s, z, y, r, false);
            add_moments(m, l->I + (z * n[1] + y) * n[2], r->J, r->bad, n[2]);
        }
}

/* E = n d, d = sqrt(1 + NOISE - max(rho, 0)^2), as each window of the local metric has it:
 * dE/dJ = -(I^ - rho J^) t / sJ, I^ and J^ standardised, t = rho / d. No agreement yet: rho counts as LEAST. */
#define NOISE 0.05
#define LEAST 0.1

static linear ncc_linear(const moments *m, double *rho, double *energy) {
    double mi = m->i / m->n, mj = m->j / m->n, vi = m->ii / m->n - mi * mi, vj = m->jj / m->n - mj * mj;
    *rho = 0.0, *energy = 0.0;
    if (!(m->n > 1 && vi > 1e-12 && vj > 1e-12)) return (linear){0, 0, 0, 0};
    double si = sqrt(vi), sj = sqrt(vj), r = (m->ij / m->n - mi * mj) / (si * sj);
    double d = sqrt(1.0 + NOISE - fmin(1.0, fmax(r, 0.0) * fmax(r, 0.0))), t = fmax(r, LEAST) / d;
    *rho = r, *energy = d * m->n;
    return (linear){.of_i = -t / (si * sj),
                    .of_j = t * r / vj,
                    .constant = t * (mi / (si * sj) - r * mj / vj),
                    .curvature = t * fmax(r, LEAST) / vj};
}

/* the histogram of the pass */
static void gather_pairs(const level *l, sampler *s, rows *r, clm_parzen *p) {
    const int64_t *n = l->fixed->shape;
    clm_parzen_begin(p, l->range[0], l->range[1]);
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            sample(l, s, z, y, r, false);
            clm_parzen_add(p, l->I + (z * n[1] + y) * n[2], r->J, r->bad, n[2]);
        }
    clm_parzen_settle(p);
}

bool mi_prepare(const clm_work *w, level *l, clm_err *err) {
    l->mi = clm_take(w->temp, clm_parzen, 1, err);
    return l->mi && clm_parzen_range(w, l->fixed, l->fixed_mean, l->fixed_scale, l->range[0], err) &&
           clm_parzen_range(w, l->moving, l->moving_mean, l->moving_scale, l->range[1], err);
}

/* As correlation has it, with the correlation that Gaussian values of this much information would have, rho^2 =
 * 1 - exp(-2 MI): E = n d, d = sqrt(NOISE + exp(-2 MI)), dE = -share d(n MI), share = exp(-2 MI) / d. So stiffness means
 * what it means for the others. The curvature of n MI is Fisher's information: for Gaussian values exact at the
 * optimum. */
static double mi_share(const clm_parzen *p) {
    double rest = exp(-2.0 * p->value);
    return rest / sqrt(NOISE + rest);
}

static void mi_row(const level *l, rows *r, const float *I, int64_t n) {
    float share = (float)mi_share(l->mi), h = (float)l->mi->curvature * share;
    clm_parzen_slope(l->mi, I, r->J, r->bad, n, r->e);
    for (int64_t x = 0; x < n; x++) {
        r->e[x] *= -share;
        r->h[x] = r->bad[x] > 0.0f ? 0.0f : h;
    }
}

/* what is known before the voxels are looked at again: figures, and the line that gives e from I and J */
static linear look_once(const level *l, sampler *s, rows *r, pass_sum *out) {
    linear c = {.of_i = -1.0, .of_j = 1.0, .constant = 0.0, .curvature = 1.0};
    moments m = {0};
    if (l->p->metric == CLM_DEFORM_MI) {
        gather_pairs(l, s, r, l->mi);
        double n = l->mi->n, rest = exp(-2.0 * l->mi->value);
        *out = (pass_sum){n * sqrt(NOISE + rest), n * sqrt(1.0 - rest), l->mi->curvature > 0.0 ? n : 0.0};
        return c;
    }
    gather_moments(l, s, r, &m);
    if (l->p->metric == CLM_DEFORM_NCC) {
        double rho, energy;
        c = ncc_linear(&m, &rho, &energy);
        *out = (pass_sum){energy, rho * m.n, c.curvature > 0 ? m.n : 0.0};
    } else {
        double half = 0.5 * (m.ii - 2.0 * m.ij + m.jj);
        *out = (pass_sum){half, m.n - half, m.n};
    }
    return c;
}

static bool pass_global(const clm_work *w, const level *l, sampler *s, const clm_field *f, const normal *eq,
                        pass_sum *out, clm_err *err) {
    const int64_t *n = l->fixed->shape;
    rows r;
    splat *to = NULL;
    if (!make_rows(w->temp, n[2], &r, err) || (eq && !splat_make(w->temp, l->fixed, f, eq, &to, err)))
        return false;
    linear c = look_once(l, s, &r, out);
    for (int64_t z = 0; to && z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            const float *I = l->I + (z * n[1] + y) * n[2];
            sample(l, s, z, y, &r, true);
            if (l->p->metric == CLM_DEFORM_MI)
                mi_row(l, &r, I, n[2]);
            else
                apply_linear(I, r.J, r.bad, c, n[2], r.e, r.h);
            if (l->checker_vox) checker_row(l->checker_vox, z, y, n[2], r.e);
            splat_row(to, z, y, (splat_in){r.e, r.h, {r.G[0], r.G[1], r.G[2]}});
        }
    if (to) splat_end(to);
    return true;
}

bool pass_run(const clm_work *w, const level *l, const clm_field *f, const normal *eq, pass_sum *out,
              clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    sampler s = {.moving = l->moving, .mean = (float)l->moving_mean, .scale = (float)l->moving_scale};
    bool ok = clm_rowmap_make(w->temp, l->fixed, l->moving, l->A, f, &s.map, err);
    if (ok)
        ok = metric_is_local(l->p->metric) ? pass_lncc(w, l, &s, f, eq, out, err)
                                           : pass_global(w, l, &s, f, eq, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}
