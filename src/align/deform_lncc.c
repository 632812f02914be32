#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

/* One pass of local correlation, all in one sweep over z. With W(x) the window around the cell x of m(x) voxels,
 *   rho(x) = cov(I, J) / (sI sJ) over W(x),  E = sum over x of m(x) d(x),  d = sqrt(1 + NOISE - max(rho, 0)^2)
 * (LNCC2: rho^2 of either sign):
 * d is the part of a patch that its partner does not explain, so windows that agree well, with signal far
 * above noise, steer more than windows of noise; with 1 - rho all would steer alike.
 *   dE/dJ(y) = -(I(y) A - J(y) B - C), sums over the windows x that hold y of
 *   a = m t / (N sI sJ),  b = m t rho / (N sJ sJ),  c = a mI - b mJ,  t = rho / d (LNCC: 0 for rho < 0).
 * First sums (J, JJ, IJ) trail the sampling by one reach of cells, second sums (a, b, c) by two; only 2 reach + 1
 * planes of cells of samples are kept. */
#define NOISE 0.05f

typedef struct lncc {
    const level *l;
    sampler *s;
    cells c;
    bool blind; /* to the sign of rho */
    const int64_t *n;
    window first, holes, second; /* J JJ IJ; bad bad*I bad*I*I; a b c                 */
    float *ring;                 /* [(2 reach + 1) size][n1][4][n2]: J and its slopes */
    float *bad;                  /* row of voxels                                     */
    float *sum_of[6];            /* rows of J JJ IJ bad bad*I bad*I*I over a cell's rows */
    float *pooled[3];            /* and along x                                       */
    float *a, *b, *c0;
    float *d, *rho, *ok; /* energy, correlation, 1 where the window counts: times m */
    splat *to;           /* NULL: figures only                         */
    pass_sum sum;
} lncc;

static float *ring_row(const lncc *k, int64_t z, int64_t y, int part) {
    int64_t planes = (2 * k->c.reach + 1) * k->c.size;
    return k->ring + ((z % planes * k->n[1] + y) * 4 + part) * k->n[2];
}

CLM_CLONES static void add_products(const float *restrict I, const float *restrict J, int64_t n,
                                    float *restrict j, float *restrict jj, float *restrict ij) {
    for (int64_t x = 0; x < n; x++) j[x] += J[x], jj[x] += J[x] * J[x], ij[x] += I[x] * J[x];
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

/* one row of voxels into the sums over its cells' rows; returns how many of its voxels are bad */
static int64_t sample_row(lncc *k, int64_t z, int64_t y, int64_t bad_before) {
    const float *I = k->l->I + (z * k->n[1] + y) * k->n[2];
    float *J = ring_row(k, z, y, 0);
    float *G[3] = {ring_row(k, z, y, 1), ring_row(k, z, y, 2), ring_row(k, z, y, 3)};
    int64_t bad = sampler_row(k->s, z, y, J, k->to ? G : NULL, k->bad);
    if (!k->l->fixed_whole)
        bad = add_fixed_holes(clm_vol_row(k->l->fixed, z, y), k->n[2], J, k->to ? G : NULL, k->bad);
    add_products(I, J, k->n[2], k->sum_of[0], k->sum_of[1], k->sum_of[2]);
    if (bad && !bad_before) memset(k->sum_of[3], 0, (size_t)(3 * k->n[2]) * sizeof(float));
    for (int64_t x = 0; bad && x < k->n[2]; x++) {
        float bi = k->bad[x] * I[x];
        k->sum_of[3][x] += k->bad[x], k->sum_of[4][x] += bi, k->sum_of[5][x] += bi * I[x];
    }
    return bad;
}

static void pool_into(lncc *k, window *w, int64_t t, int64_t y, float *const from[3]) {
    for (int q = 0; q < 3; q++) cells_pool(&k->c, from[q], k->pooled[q]);
    window_feed(w, t, y, (const float *const[]){k->pooled[0], k->pooled[1], k->pooled[2]});
}

/* row y of plane t of cells */
static void feed_first(lncc *k, int64_t t, int64_t y) {
    if (t >= k->c.n[0] || y >= k->c.n[1]) {
        window_feed(&k->first, t, y, NULL);
        window_feed(&k->holes, t, y, NULL);
        return;
    }
    int64_t bad = 0, z0 = t * k->c.size, y0 = y * k->c.size;
    memset(k->sum_of[0], 0, (size_t)(3 * k->n[2]) * sizeof(float));
    for (int64_t z = z0; z < z0 + cells_own(&k->c, 0, t); z++)
        for (int64_t v = y0; v < y0 + cells_own(&k->c, 1, y); v++) bad += sample_row(k, z, v, bad);
    pool_into(k, &k->first, t, y, k->sum_of);
    if (bad)
        pool_into(k, &k->holes, t, y, k->sum_of + 3);
    else
        window_feed(&k->holes, t, y, NULL);
}

/* rows of coefficients from rows of sums, where windows are whole */
CLM_CLONES static void coefficients(const double *restrict sj, const double *restrict sjj,
                                    const double *restrict sij, const float *restrict mean,
                                    const float *restrict inv, const double *restrict per_count,
                                    const double *restrict own, double per_row, double own_row, double least,
                                    bool blind, int64_t n, float *restrict a, float *restrict b,
                                    float *restrict c, float *restrict energy, float *restrict rho,
                                    float *restrict ok) {
    float cut = blind ? -2.0f : 0.0f;
    for (int64_t x = 0; x < n; x++) {
        double per = per_count[x] * per_row, mj = sj[x] * per, mi = (double)mean[x];
        double var = sjj[x] * per - mj * mj, cov = sij[x] * per - mi * mj;
        bool good = (var > least) & (inv[x] > 0.0f);
        float isj = good ? 1.0f / sqrtf((float)(var > least ? var : 1.0)) : 0.0f, isi = good ? inv[x] : 0.0f;
        float r = (float)cov * isi * isj, m = (float)(own[x] * own_row);
        r = r < 1.0f ? r : 1.0f;
        r = r > -1.0f ? r : -1.0f;
        float up = r > cut ? r : 0.0f, d = sqrtf(1.0f + NOISE - up * up), t = up / d * ((float)per * m);
        float p = t * isi * isj, q = t * r * isj * isj;
        a[x] = p, b[x] = q;
        c[x] = (float)((double)p * mi - (double)q * mj);
        energy[x] = good ? m * d : 0.0f;
        rho[x] = m * (blind ? fabsf(r) : r);
        ok[x] = good ? m : 0.0f;
    }
}

/* the same for one window with holes: the fixed statistics lose what the holes hold; a window counts while half
 * of it is left */
static void coefficient_holed(lncc *k, int64_t at, int64_t y, int64_t x, double full, double m,
                              double least) {
    double left = full - window_sums(&k->holes, 0, y)[x], per = 1.0 / left, inv = (double)k->l->inv[at];
    k->a[x] = k->b[x] = k->c0[x] = k->d[x] = k->rho[x] = k->ok[x] = 0.0f;
    if (!(inv > 0.0) || left < 0.5 * full) return;
    double fixed_mean = (double)k->l->mean[at], square = 1.0 / (inv * inv) + fixed_mean * fixed_mean;
    double mi = (full * fixed_mean - window_sums(&k->holes, 1, y)[x]) * per;
    double vi = (full * square - window_sums(&k->holes, 2, y)[x]) * per - mi * mi;
    double mj = window_sums(&k->first, 0, y)[x] * per, vj = window_sums(&k->first, 1, y)[x] * per - mj * mj;
    if (!(vi > least && vj > least)) return;
    double s = sqrt(vi * vj), r = (window_sums(&k->first, 2, y)[x] * per - mi * mj) / s;
    r = r < 1.0 ? r > -1.0 ? r : -1.0 : 1.0;
    double up = r > 0.0 || k->blind ? r : 0.0, d = sqrt(1.0 + (double)NOISE - up * up);
    double p = m * up / d * per / s, q = m * up / d * r * per / vj;
    k->a[x] = (float)p, k->b[x] = (float)q, k->c0[x] = (float)(p * mi - q * mj);
    k->d[x] = (float)(m * d), k->rho[x] = (float)(m * (k->blind ? fabs(r) : r)), k->ok[x] = (float)m;
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
    const cells *c = &k->c;
    if (t >= c->n[0] || y >= c->n[1]) {
        if (k->to) window_feed(&k->second, t, y, NULL);
        return;
    }
    const window *w = &k->first;
    int64_t at = (t * c->n[1] + y) * c->n[2], n = c->n[2];
    double least = k->l->p->min_contrast * k->l->p->min_contrast;
    double per_row = 1.0 / (double)(cells_window(c, 0, t) * cells_window(c, 1, y));
    double own_row = (double)(cells_own(c, 0, t) * cells_own(c, 1, y));
    coefficients(window_sums(w, 0, y), window_sums(w, 1, y), window_sums(w, 2, y), k->l->mean + at,
                 k->l->inv + at, c->per, c->own, per_row, own_row, least, k->blind, n, k->a, k->b, k->c0,
                 k->d, k->rho, k->ok);
    if (window_is_live(&k->holes, y)) {
        const double *hole = window_sums(&k->holes, 0, y);
        for (int64_t x = 0; x < n; x++)
            if (hole[x] > 0.5)
                coefficient_holed(k, at + x, y, x, 1.0 / (c->per[x] * per_row), c->own[x] * own_row, least);
    }
    k->sum.energy += row_sum(k->d, n);
    k->sum.similarity += row_sum(k->rho, n);
    k->sum.compared += row_sum(k->ok, n);
    if (k->to) window_feed(&k->second, t, y, (const float *const[]){k->a, k->b, k->c0});
}

/* derivative of the energy by J; and its curvature, which windows that do not agree do not add to */
CLM_CLONES static void slopes(const float *restrict I, const float *restrict J, const float *restrict sa,
                              const float *restrict sb, const float *restrict sc, int64_t n,
                              float *restrict e, float *restrict h) {
    for (int64_t x = 0; x < n; x++) {
        e[x] = J[x] * sb[x] + sc[x] - I[x] * sa[x];
        h[x] = sb[x] > 0.0f ? sb[x] : 0.0f;
    }
}

/* slopes of row (z, y); its cells' sums are spread over voxels already */
static splat_in slope_row(lncc *k, int64_t z, int64_t y, float *e, float *h) {
    slopes(k->l->I + (z * k->n[1] + y) * k->n[2], ring_row(k, z, y, 0), k->sum_of[0], k->sum_of[1],
           k->sum_of[2], k->n[2], e, h);
    if (k->l->checker_vox) checker_row(k->l->checker_vox, z, y, k->n[2], e);
    return (splat_in){e, h, {ring_row(k, z, y, 1), ring_row(k, z, y, 2), ring_row(k, z, y, 3)}};
}

/* the rows of voxels of plane z, whose cells' second sums are at hand */
static void finish_plane(lncc *k, int64_t z) {
    int64_t n = k->n[2];
    for (int64_t y = 0; y < k->c.n[1]; y++) {
        for (int q = 0; q < 3; q++) cells_spread(&k->c, window_sums(&k->second, q, y), k->sum_of[q]);
        splat_in in[2];
        int64_t first = y * k->c.size, rows = cells_own(&k->c, 1, y);
        for (int64_t i = 0; i < rows; i++)
            in[i] = slope_row(k, z, first + i, k->sum_of[3] + 2 * i * n, k->sum_of[4] + 2 * i * n);
        if (rows == 2)
            splat_two(k->to, z, first, in);
        else
            splat_row(k->to, z, first, in[0]);
    }
}

static bool make(clm_arena *a, lncc *k, clm_err *err) {
    const cells *c = &k->c;
    int64_t n = k->n[2], m = c->n[2];
    float *rows = clm_take(a, float, 8 * n + 9 * m, err);
    if (!rows) return false;
    k->bad = rows + 7 * n; /* behind the fourth row of slopes */
    for (int q = 0; q < 6; q++) k->sum_of[q] = rows + q * n;
    rows += 8 * n;
    for (int q = 0; q < 3; q++) k->pooled[q] = rows + q * m;
    k->a = rows + 3 * m, k->b = rows + 4 * m, k->c0 = rows + 5 * m;
    k->d = rows + 6 * m, k->rho = rows + 7 * m, k->ok = rows + 8 * m;
    k->ring = clm_take(a, float, (int64_t)(2 * c->reach + 1) * c->size * k->n[1] * 4 * n, err);
    return k->ring && window_make(a, c->reach, 3, c->n, &k->first, err) &&
           window_make(a, c->reach, 3, c->n, &k->holes, err) &&
           (!k->to || window_make(a, c->reach, 3, c->n, &k->second, err));
}

bool pass_lncc(const clm_work *w, const level *l, sampler *s, const clm_field *f, const normal *eq,
               pass_sum *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    lncc k = {.l = l, .s = s, .c = l->cells, .n = l->fixed->shape};
    k.blind = l->p->metric == CLM_DEFORM_LNCC2;
    bool ok = (!eq || splat_make(w->temp, l->fixed, f, eq, &k.to, err)) && make(w->temp, &k, err);
    int64_t r = k.c.reach, nz = k.c.n[0], ny = k.c.n[1];
    for (int64_t t = 0; ok && t < nz + 2 * r; t++) {
        if (t < nz + r) window_begin_plane(&k.first), window_begin_plane(&k.holes);
        if (k.to && t >= r) window_begin_plane(&k.second);
        for (int64_t y = 0; y < ny + 2 * r; y++) {
            if (t < nz + r && y < ny + r) feed_first(&k, t, y);
            if (t >= r && y >= r) feed_second(&k, t - r, y - r);
        }
        if (!k.to || t < 2 * r) continue;
        int64_t z = (t - 2 * r) * k.c.size, end = z + cells_own(&k.c, 0, t - 2 * r);
        for (; z < end; z++) finish_plane(&k, z);
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

CLM_CLONES static void add_squares(const float *restrict I, int64_t n, float *restrict sum,
                                   float *restrict squares) {
    for (int64_t x = 0; x < n; x++) sum[x] += I[x], squares[x] += I[x] * I[x];
}

/* I and its squares over the cells of row y of plane t: sum and squares have room for voxels and cells */
static void pool_fixed(const level *l, int64_t t, int64_t y, float *sum[2], float *pooled[2]) {
    const cells *c = &l->cells;
    memset(sum[0], 0, (size_t)c->vox[2] * sizeof(float)),
        memset(sum[1], 0, (size_t)c->vox[2] * sizeof(float));
    for (int64_t z = t * c->size; z < t * c->size + cells_own(c, 0, t); z++)
        for (int64_t v = y * c->size; v < y * c->size + cells_own(c, 1, y); v++)
            add_squares(l->I + (z * c->vox[1] + v) * c->vox[2], c->vox[2], sum[0], sum[1]);
    for (int q = 0; q < 2; q++) cells_pool(c, sum[q], pooled[q]);
}

bool lncc_prepare(const clm_work *w, level *l, clm_err *err) {
    if (!cells_make(w->temp, l->p->radius_vox, l->fixed->shape, &l->cells, err)) return false;
    const cells *c = &l->cells;
    const int64_t *n = c->n, r = c->reach;
    l->mean = clm_take(w->temp, float, n[0] * n[1] * n[2], err);
    l->inv = clm_take(w->temp, float, n[0] * n[1] * n[2], err);
    if (!l->mean || !l->inv) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    window sums;
    double least = l->p->min_contrast * l->p->min_contrast;
    float *rows = clm_take(w->temp, float, 2 * (n[2] + c->vox[2]), err);
    if (!rows || !window_make(w->temp, (int)r, 2, n, &sums, err)) return false;
    float *sum[2] = {rows, rows + c->vox[2]},
          *pooled[2] = {rows + 2 * c->vox[2], rows + 2 * c->vox[2] + n[2]};
    for (int64_t t = 0; t < n[0] + r; t++) {
        window_begin_plane(&sums);
        for (int64_t y = 0; y < n[1] + r; y++) {
            bool real = t < n[0] && y < n[1];
            if (real) pool_fixed(l, t, y, sum, pooled);
            window_feed(&sums, t, y, real ? (const float *const[]){pooled[0], pooled[1]} : NULL);
            if (t < r || y < r) continue;
            int64_t at = ((t - r) * n[1] + y - r) * n[2];
            double per_row = 1.0 / (double)(cells_window(c, 0, t - r) * cells_window(c, 1, y - r));
            describe(window_sums(&sums, 0, y - r), window_sums(&sums, 1, y - r), c->per, per_row, least, n[2],
                     l->mean + at, l->inv + at);
        }
    }
    clm_arena_rewind(w->temp, mark);
    return true;
}
