#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

/* One pass of local correlation, all in one sweep over z. With W(x) the window around x,
 *   rho(x) = cov(I, J) / (sI sJ) over W(x),    E = sum over x of d(x),  d = sqrt(1 + NOISE - max(rho, 0)^2)
 * (LNCC2: rho^2 of either sign):
 * d is the part of a patch that its partner does not explain, so windows that agree well, with signal far
 * above noise, steer more than windows of noise; with 1 - rho all would steer alike.
 *   dE/dJ(y) = -(I(y) A - J(y) B - C), sums over the windows x that hold y of
 *   a = t / (N sI sJ),  b = t rho / (N sJ sJ),  c = a mI - b mJ,  t = rho / d (LNCC: 0 for rho < 0).
 * First sums (J, JJ, IJ) trail the sampling by one radius, second sums (a, b, c) by two; only 2r+1 planes
 * of samples are kept. */
#define NOISE 0.05f

typedef struct lncc {
    const level *l;
    sampler *s;
    int r;
    bool blind; /* to the sign of rho */
    int64_t n[3];
    window first, holes, second; /* J JJ IJ; bad bad*I bad*I*I; a b c          */
    float *ring;                 /* [2r+1][n1][4][n2]: J and its three slopes  */
    float *bad, *bi, *bii;       /* rows                                       */
    float *jj, *ij;
    float *a, *b, *c;
    float *d, *rho, *ok; /* energy, correlation, 1 where the window counts */
    double *per_count;   /* [n2] 1 / voxels of the window along x      */
    splat *to;           /* NULL: figures only                         */
    pass_sum sum;
} lncc;

static float *ring_row(const lncc *k, int64_t z, int64_t y, int part) {
    return k->ring + (((z % (2 * k->r + 1)) * k->n[1] + y) * 4 + part) * k->n[2];
}

CLM_CLONES static void products(const float *restrict I, const float *restrict J, int64_t n,
                                float *restrict jj, float *restrict ij) {
    for (int64_t x = 0; x < n; x++) jj[x] = J[x] * J[x], ij[x] = I[x] * J[x];
}

/* what is NaN in the fixed block cannot be used either */
static int64_t add_fixed_holes(const float *raw, int64_t n, float *J, float *const G[3], float *bad) {
    int64_t count = 0;
    for (int64_t x = 0; x < n; x++) {
        if (!isfinite(raw[x])) {
            bad[x] = 1.0f, J[x] = 0.0f;
            for (int c = 0; G && c < 3; c++) G[c][x] = 0.0f;
        }
        count += bad[x] > 0.0f;
    }
    return count;
}

static void feed_first(lncc *k, int64_t t, int64_t y) {
    if (t >= k->n[0] || y >= k->n[1]) {
        window_feed(&k->first, t, y, NULL);
        window_feed(&k->holes, t, y, NULL);
        return;
    }
    const float *I = k->l->I + (t * k->n[1] + y) * k->n[2];
    float *J = ring_row(k, t, y, 0);
    float *G[3] = {ring_row(k, t, y, 1), ring_row(k, t, y, 2), ring_row(k, t, y, 3)};
    int64_t bad = sampler_row(k->s, t, y, J, k->to ? G : NULL, k->bad);
    if (!k->l->fixed_whole)
        bad = add_fixed_holes(clm_vol_row(k->l->fixed, t, y), k->n[2], J, k->to ? G : NULL, k->bad);
    products(I, J, k->n[2], k->jj, k->ij);
    window_feed(&k->first, t, y, (const float *const[]){J, k->jj, k->ij});
    if (bad) {
        for (int64_t x = 0; x < k->n[2]; x++) k->bi[x] = k->bad[x] * I[x], k->bii[x] = k->bi[x] * I[x];
    }
    window_feed(&k->holes, t, y, bad ? (const float *const[]){k->bad, k->bi, k->bii} : NULL);
}

/* rows of coefficients from rows of sums, where windows are whole */
CLM_CLONES static void coefficients(const double *restrict sj, const double *restrict sjj,
                                    const double *restrict sij, const float *restrict mean,
                                    const float *restrict inv, const double *restrict per_count,
                                    double per_row, double least, bool blind, int64_t n, float *restrict a,
                                    float *restrict b, float *restrict c, float *restrict energy,
                                    float *restrict rho, float *restrict ok) {
    float cut = blind ? -2.0f : 0.0f;
    for (int64_t x = 0; x < n; x++) {
        double per = per_count[x] * per_row, mj = sj[x] * per, mi = (double)mean[x];
        double var = sjj[x] * per - mj * mj, cov = sij[x] * per - mi * mj;
        bool good = (var > least) & (inv[x] > 0.0f);
        float isj = good ? 1.0f / sqrtf((float)(var > least ? var : 1.0)) : 0.0f, isi = good ? inv[x] : 0.0f;
        float r = (float)cov * isi * isj;
        r = r < 1.0f ? r : 1.0f;
        r = r > -1.0f ? r : -1.0f;
        float up = r > cut ? r : 0.0f, d = sqrtf(1.0f + NOISE - up * up), t = up / d * (float)per;
        float p = t * isi * isj, q = t * r * isj * isj;
        a[x] = p, b[x] = q;
        c[x] = (float)((double)p * mi - (double)q * mj);
        energy[x] = good ? d : 0.0f;
        rho[x] = blind ? fabsf(r) : r;
        ok[x] = good ? 1.0f : 0.0f;
    }
}

/* the same for one window with holes: the fixed statistics lose what the holes hold; a window counts while half
 * of it is left */
static void coefficient_holed(lncc *k, int64_t at, int64_t y, int64_t x, double full, double least) {
    double left = full - window_sums(&k->holes, 0, y)[x], per = 1.0 / left, inv = (double)k->l->inv[at];
    k->a[x] = k->b[x] = k->c[x] = k->d[x] = k->rho[x] = k->ok[x] = 0.0f;
    if (!(inv > 0.0) || left < 0.5 * full) return;
    double fixed_mean = (double)k->l->mean[at], square = 1.0 / (inv * inv) + fixed_mean * fixed_mean;
    double mi = (full * fixed_mean - window_sums(&k->holes, 1, y)[x]) * per;
    double vi = (full * square - window_sums(&k->holes, 2, y)[x]) * per - mi * mi;
    double mj = window_sums(&k->first, 0, y)[x] * per, vj = window_sums(&k->first, 1, y)[x] * per - mj * mj;
    if (!(vi > least && vj > least)) return;
    double s = sqrt(vi * vj), r = (window_sums(&k->first, 2, y)[x] * per - mi * mj) / s;
    r = r < 1.0 ? r > -1.0 ? r : -1.0 : 1.0;
    double up = r > 0.0 || k->blind ? r : 0.0, d = sqrt(1.0 + (double)NOISE - up * up);
    double p = up / d * per / s, q = up / d * r * per / vj;
    k->a[x] = (float)p, k->b[x] = (float)q, k->c[x] = (float)(p * mi - q * mj);
    k->d[x] = (float)d, k->rho[x] = (float)(k->blind ? fabs(r) : r), k->ok[x] = 1.0f;
}

/* eight sums side by side, joined in a fixed order */
CLM_CLONES static double row_sum(const float *restrict v, int64_t n) {
    double part[8] = {0}, total = 0;
    int64_t x = 0;
    for (; x + 8 <= n; x += 8)
        for (int i = 0; i < 8; i++) part[i] += (double)v[x + i];
    for (int i = 0; i < 8; i++) total += part[i];
    for (; x < n; x++) total += (double)v[x];
    return total;
}

static void feed_second(lncc *k, int64_t t, int64_t y) {
    if (t >= k->n[0] || y >= k->n[1]) {
        if (k->to) window_feed(&k->second, t, y, NULL);
        return;
    }
    const window *w = &k->first;
    int64_t at = (t * k->n[1] + y) * k->n[2], n = k->n[2];
    double least = k->l->p->min_contrast * k->l->p->min_contrast;
    double per_row = 1.0 / (window_count(t, k->n[0], k->r) * window_count(y, k->n[1], k->r));
    coefficients(window_sums(w, 0, y), window_sums(w, 1, y), window_sums(w, 2, y), k->l->mean + at,
                 k->l->inv + at, k->per_count, per_row, least, k->blind, n, k->a, k->b, k->c, k->d, k->rho,
                 k->ok);
    if (window_is_live(&k->holes, y)) {
        const double *hole = window_sums(&k->holes, 0, y);
        for (int64_t x = 0; x < n; x++)
            if (hole[x] > 0.5) coefficient_holed(k, at + x, y, x, 1.0 / (k->per_count[x] * per_row), least);
    }
    k->sum.energy += row_sum(k->d, n);
    k->sum.similarity += row_sum(k->rho, n);
    k->sum.compared += row_sum(k->ok, n);
    if (k->to) window_feed(&k->second, t, y, (const float *const[]){k->a, k->b, k->c});
}

/* derivative of the energy by J; and its curvature, which windows that do not agree do not add to */
CLM_CLONES static void slopes(const float *restrict I, const float *restrict J, const double *restrict sa,
                              const double *restrict sb, const double *restrict sc, int64_t n,
                              float *restrict e, float *restrict h) {
    for (int64_t x = 0; x < n; x++) {
        e[x] = (float)((double)J[x] * sb[x] + sc[x] - (double)I[x] * sa[x]);
        h[x] = sb[x] > 0.0 ? (float)sb[x] : 0.0f;
    }
}

static void finish_row(lncc *k, int64_t z, int64_t y) {
    int64_t n = k->n[2];
    float *const G[3] = {ring_row(k, z, y, 1), ring_row(k, z, y, 2), ring_row(k, z, y, 3)};
    slopes(k->l->I + (z * k->n[1] + y) * n, ring_row(k, z, y, 0), window_sums(&k->second, 0, y),
           window_sums(&k->second, 1, y), window_sums(&k->second, 2, y), n, k->a, k->b);
    splat_row(k->to, z, y, k->a, k->b, G);
}

static bool make(clm_arena *a, lncc *k, clm_err *err) {
    int64_t n = k->n[2];
    float *rows = clm_take(a, float, 11 * n, err);
    k->per_count = clm_take(a, double, n, err);
    if (!rows || !k->per_count) return false;
    k->bad = rows, k->bi = rows + n, k->bii = rows + 2 * n, k->jj = rows + 3 * n, k->ij = rows + 4 * n;
    k->a = rows + 5 * n, k->b = rows + 6 * n, k->c = rows + 7 * n;
    k->d = rows + 8 * n, k->rho = rows + 9 * n, k->ok = rows + 10 * n;
    for (int64_t x = 0; x < n; x++) k->per_count[x] = 1.0 / window_count(x, n, k->r);
    k->ring = clm_take(a, float, (2 * (int64_t)k->r + 1) * k->n[1] * 4 * n, err);
    return k->ring && window_make(a, k->r, 3, k->n, &k->first, err) &&
           window_make(a, k->r, 3, k->n, &k->holes, err) &&
           (!k->to || window_make(a, k->r, 3, k->n, &k->second, err));
}

bool pass_lncc(const clm_work *w, const level *l, sampler *s, const clm_field *f, const normal *eq,
               pass_sum *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    lncc k = {.l = l, .s = s, .r = l->p->radius_vox, .blind = l->p->metric == CLM_DEFORM_LNCC2};
    for (int d = 0; d < 3; d++) k.n[d] = l->fixed->shape[d];
    bool ok = (!eq || splat_make(w->temp, l->fixed, f, eq, &k.to, err)) && make(w->temp, &k, err);
    int64_t r = k.r, nz = k.n[0], ny = k.n[1];
    for (int64_t t = 0; ok && t < nz + 2 * r; t++) {
        if (t < nz + r) window_begin_plane(&k.first), window_begin_plane(&k.holes);
        if (k.to && t >= r) window_begin_plane(&k.second);
        for (int64_t y = 0; y < ny + 2 * r; y++) {
            if (t < nz + r && y < ny + r) feed_first(&k, t, y);
            if (t >= r && y >= r) feed_second(&k, t - r, y - r);
            if (k.to && t >= 2 * r && y >= 2 * r) finish_row(&k, t - 2 * r, y - 2 * r);
        }
    }
    if (ok && k.to) splat_end(k.to);
    clm_arena_rewind(w->temp, mark);
    if (ok) *out = k.sum;
    return ok;
}

/* mean and 1 / std of every window of I; 0 where flat */
CLM_CLONES static void describe(const double *restrict s, const double *restrict ss,
                                const double *restrict per_count, double per_row, double least, int64_t n,
                                float *restrict mean, float *restrict inv) {
    for (int64_t x = 0; x < n; x++) {
        double per = per_count[x] * per_row, m = s[x] * per, var = ss[x] * per - m * m;
        mean[x] = (float)m;
        inv[x] = var > least ? 1.0f / sqrtf((float)(var > least ? var : 1.0)) : 0.0f;
    }
}

bool lncc_prepare(const clm_work *w, level *l, clm_err *err) {
    const int64_t *n = l->fixed->shape, r = l->p->radius_vox;
    l->mean = clm_take(w->temp, float, clm_vol_count(l->fixed), err);
    l->inv = clm_take(w->temp, float, clm_vol_count(l->fixed), err);
    if (!l->mean || !l->inv) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    window sums;
    float *squares = clm_take(w->temp, float, n[2], err);
    double *per_count = clm_take(w->temp, double, n[2], err), least = l->p->min_contrast * l->p->min_contrast;
    if (!squares || !per_count || !window_make(w->temp, (int)r, 2, n, &sums, err)) return false;
    for (int64_t x = 0; x < n[2]; x++) per_count[x] = 1.0 / window_count(x, n[2], r);
    for (int64_t t = 0; t < n[0] + r; t++) {
        window_begin_plane(&sums);
        for (int64_t y = 0; y < n[1] + r; y++) {
            bool real = t < n[0] && y < n[1];
            const float *I = real ? l->I + (t * n[1] + y) * n[2] : NULL;
            for (int64_t x = 0; real && x < n[2]; x++) squares[x] = I[x] * I[x];
            window_feed(&sums, t, y, real ? (const float *const[]){I, squares} : NULL);
            if (t < r || y < r) continue;
            int64_t at = ((t - r) * n[1] + y - r) * n[2];
            double per_row = 1.0 / (window_count(t - r, n[0], r) * window_count(y - r, n[1], r));
            describe(window_sums(&sums, 0, y - r), window_sums(&sums, 1, y - r), per_count, per_row, least,
                     n[2], l->mean + at, l->inv + at);
        }
    }
    clm_arena_rewind(w->temp, mark);
    return true;
}
