#include "refine_sums.h"
#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

#define RUN 256 /* voxels of a row at a time: its buffers stay in the first cache */
#define LANES 8 /* floats summed side by side; voxel i of a run belongs to lane i mod LANES */

/** Sums of one run, x being the last coordinate of p. Per pair (i <= k) of derivatives: g_i g_k x^0, x^1, x^2. */
enum { N, F, G, FF, GG, FG, PLAIN };
typedef struct run_sums {
    float plain[PLAIN][LANES];
    float first[3][6][LANES];  /* per derivative: g_i times 1, f, g, x, x f, x g */
    float second[6][3][LANES]; /* zz zy zx yy yx xx */
} run_sums;

typedef struct run {
    _Alignas(64) float f[RUN];
    float g[RUN], d[3][RUN], x[RUN], on[RUN], t[3][RUN];
    int32_t at[RUN];
} run;

/** Corners of the cells of a run: [z low, y low], [z low, y high], [z high, ...], each the pair along x. */
typedef struct corners {
    float v[4][2 * RUN];
} corners;

/** The moving volume as the sampler sees it: voxel counts and element strides, 0 along an axis of one voxel. */
typedef struct lattice {
    const float *data;
    int64_t n[3];
    int32_t stride[3];
} lattice;

/** Cells and fractions of positions from + i * step, relative to the cell `base`, clamped to cells [lo, hi]. */
CLM_CLONES static void locate(run *restrict r, int64_t n, const float from[3], const float step[3],
                              const int32_t lo[3], const int32_t hi[3], const int32_t stride[3]) {
    for (int64_t i = 0; i < n; i++) r->at[i] = 0;
    for (int d = 0; d < 3; d++) {
        float a = from[d], s = step[d];
        int32_t l = lo[d], h = hi[d], e = stride[d];
        float *restrict t = r->t[d];
        for (int64_t i = 0; i < n; i++) {
            float c = a + s * (float)(int32_t)i;
            int32_t k = (int32_t)c;
            k = k < l ? l : k;
            k = k > h ? h : k;
            t[i] = c - (float)k;
            r->at[i] += k * e;
        }
    }
}

/** The eight corners of every cell, by copies of eight bytes: twice as fast as gathered floats. */
static void fetch(const float *v, const run *r, int64_t n, const int32_t e[3], corners *restrict c) {
    const float *v1 = v + e[1], *v2 = v + e[0], *v3 = v2 + e[1];
    if (e[2] == 0) { /* one voxel along x: both ends of the cell are it */
        for (int64_t i = 0; i < n; i++) {
            int32_t o = r->at[i];
            c->v[0][2 * i] = c->v[0][2 * i + 1] = v[o], c->v[1][2 * i] = c->v[1][2 * i + 1] = v1[o];
            c->v[2][2 * i] = c->v[2][2 * i + 1] = v2[o], c->v[3][2 * i] = c->v[3][2 * i + 1] = v3[o];
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int32_t o = r->at[i];
        memcpy(c->v[0] + 2 * i, v + o, 8), memcpy(c->v[1] + 2 * i, v1 + o, 8);
        memcpy(c->v[2] + 2 * i, v2 + o, 8), memcpy(c->v[3] + 2 * i, v3 + o, 8);
    }
}

/** Trilinear value and its derivatives a voxel along z, y, x. */
CLM_CLONES static void interpolate(const corners *restrict k, run *restrict r, int64_t n) {
    const float *restrict v0 = k->v[0], *restrict v1 = k->v[1], *restrict v2 = k->v[2],
                          *restrict v3 = k->v[3];
    for (int64_t i = 0; i < n; i++) {
        float tz = r->t[0][i], ty = r->t[1][i], tx = r->t[2][i];
        float a = v0[2 * i], b = v1[2 * i], c = v2[2 * i], d = v3[2 * i];
        float da = v0[2 * i + 1] - a, db = v1[2 * i + 1] - b, dc = v2[2 * i + 1] - c, dd = v3[2 * i + 1] - d;
        float pa = a + tx * da, pb = b + tx * db, pc = c + tx * dc, pd = d + tx * dd;
        float ey = pb - pa, fy = pd - pc, qa = pa + ty * ey, qb = pc + ty * fy;
        float dx0 = da + ty * (db - da), dx1 = dc + ty * (dd - dc), gz = qb - qa;
        r->g[i] = qa + tz * gz;
        r->d[0][i] = gz;
        r->d[1][i] = ey + tz * (fy - ey);
        r->d[2][i] = dx0 + tz * (dx1 - dx0);
    }
}

/** Values in units; voxels that do not count become zeros. The run is filled up to whole lanes. */
CLM_CLONES static void prepare(run *restrict r, const float *restrict f, int64_t n, const clm_refine_units *u,
                               const float per_um[3], float x0, float dx) {
    float sf = u->shift_f, kf = u->scale_f, sg = u->shift_g, kg = u->scale_g;
    float kz = per_um[0] * kg, ky = per_um[1] * kg, kx = per_um[2] * kg;
    for (int64_t i = 0; i < n; i++) {
        float a = (f[i] - sf) * kf, b = (r->g[i] - sg) * kg;
        bool on = a * 0.0f + b * 0.0f == 0.0f; /* finite; then so are the derivatives */
        r->f[i] = on ? a : 0.0f;
        r->g[i] = on ? b : 0.0f;
        r->d[0][i] = on ? r->d[0][i] * kz : 0.0f;
        r->d[1][i] = on ? r->d[1][i] * ky : 0.0f;
        r->d[2][i] = on ? r->d[2][i] * kx : 0.0f;
        r->on[i] = on ? 1.0f : 0.0f;
        r->x[i] = x0 + dx * (float)(int32_t)i;
    }
    for (int64_t i = n; i % LANES; i++)
        r->f[i] = r->g[i] = r->d[0][i] = r->d[1][i] = r->d[2][i] = r->on[i] = r->x[i] = 0;
}

/** One vector of lanes. As an array in a loop the sums would live in memory, several times slower. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
#define AT(array, i) (*(const lanes *)(const void *)((array) + (i)))

CLM_CLONES static void sum_plain(const run *r, int64_t n, float out[PLAIN][LANES]) {
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        lanes f = AT(r->f, i), g = AT(r->g, i);
        s0 += AT(r->on, i), s1 += f, s2 += g;
        s3 += f * f, s4 += g * g, s5 += f * g;
    }
    const lanes s[PLAIN] = {s0, s1, s2, s3, s4, s5};
    memcpy(out, s, sizeof s);
}

/** Sums of d, d f, d g, d x, d x f, d x g. */
CLM_CLONES static void sum_first(const run *r, const float *d, int64_t n, float out[6][LANES]) {
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        lanes f = AT(r->f, i), g = AT(r->g, i), p = AT(d, i), q = p * AT(r->x, i);
        s0 += p, s1 += p * f, s2 += p * g;
        s3 += q, s4 += q * f, s5 += q * g;
    }
    const lanes s[6] = {s0, s1, s2, s3, s4, s5};
    memcpy(out, s, sizeof s);
}

/** Sums of p, p x, p x x for three products p. */
CLM_CLONES static void sum_second(const run *r, const float *a0, const float *b0, const float *a1,
                                  const float *b1, const float *a2, const float *b2, int64_t n,
                                  float out[3][3][LANES]) {
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0}, s8 = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        lanes x = AT(r->x, i), p = AT(a0, i) * AT(b0, i), q = AT(a1, i) * AT(b1, i),
              t = AT(a2, i) * AT(b2, i);
        s0 += p, s3 += q, s6 += t;
        p *= x, q *= x, t *= x;
        s1 += p, s4 += q, s7 += t;
        s2 += p * x, s5 += q * x, s8 += t * x;
    }
    const lanes s[9] = {s0, s1, s2, s3, s4, s5, s6, s7, s8};
    memcpy(out, s, sizeof s);
}

static double fold(const float v[LANES]) {
    double s[LANES];
    for (int l = 0; l < LANES; l++) s[l] = (double)v[l];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/** Put the sums of a run, at p = (pz, py, x, 1), in their places. */
static void spread(const run_sums *s, double pz, double py, clm_refine_sums *out) {
    static const int pair[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    out->n += fold(s->plain[N]), out->f += fold(s->plain[F]), out->g += fold(s->plain[G]);
    out->ff += fold(s->plain[FF]), out->gg += fold(s->plain[GG]), out->fg += fold(s->plain[FG]);
    for (int i = 0; i < 3; i++) {
        double *const to[3] = {out->G + 4 * i, out->Gf + 4 * i, out->Gg + 4 * i};
        for (int k = 0; k < 3; k++) {
            double one = fold(s->first[i][k]);
            to[k][0] += pz * one, to[k][1] += py * one;
            to[k][2] += fold(s->first[i][3 + k]), to[k][3] += one;
        }
        for (int k = i; k < 3; k++) {
            const float(*q)[LANES] = s->second[pair[i][k]];
            double one = fold(q[0]), x = fold(q[1]), xx = fold(q[2]);
            const double p[4][4] = {{pz * pz * one, pz * py * one, pz * x, pz * one},
                                    {pz * py * one, py * py * one, py * x, py * one},
                                    {pz * x, py * x, xx, x},
                                    {pz * one, py * one, x, one}};
            for (int a = 0; a < 4; a++)
                for (int b = 0; b < 4; b++) out->GG[4 * i + a][4 * k + b] += p[a][b];
        }
    }
}

/** Which voxels [lo, hi) of n in a row land inside: 0 <= from + step * i <= last on each axis; 2e-5 voxel of
 *  rounding is forgiven, an axis of one voxel reaches half a voxel either way, as in warp.h. */
static void inside(const lattice *m, const double from[3], const double step[3], int64_t n, int64_t *lo,
                   int64_t *hi) {
    double first = 0, last = (double)(n - 1);
    for (int d = 0; d < 3; d++) {
        double slack = m->n[d] == 1 ? 0.5 : 2e-5, a = -slack - from[d],
               b = (double)(m->n[d] - 1) + slack - from[d];
        if (fabs(step[d]) < 1e-12) {
            if (a > 0 || b < 0) first = 1, last = 0;
            continue;
        }
        double p = a / step[d], q = b / step[d];
        first = fmax(first, ceil(fmin(p, q)));
        last = fmin(last, floor(fmax(p, q)));
    }
    *lo = first <= last ? (int64_t)first : 0;
    *hi = first <= last ? (int64_t)last + 1 : 0;
}

/** Sample moving at positions from + i * step, i in [0, n): all of them inside. */
static void sample_run(const lattice *m, const double from[3], const double step[3], int64_t n, run *r) {
    corners c;
    float a[3], s[3];
    int32_t lo[3], hi[3];
    const float *base = m->data;
    for (int d = 0; d < 3; d++) {
        /* positions count from the lowest cell of the run: small numbers, so float keeps 1e-5 voxel */
        int64_t cell = (int64_t)floor(fmin(from[d], from[d] + step[d] * (double)(n - 1)));
        int64_t most = m->n[d] > 1 ? m->n[d] - 2 : 0;
        cell = cell < 0 ? 0 : cell > most ? most : cell;
        a[d] = (float)(from[d] - (double)cell);
        s[d] = (float)step[d];
        lo[d] = 0;
        hi[d] = (int32_t)(most - cell);
        base += cell * m->stride[d];
    }
    locate(r, n, a, s, lo, hi, m->stride);
    fetch(base, r, n, m->stride, &c);
    interpolate(&c, r, n);
}

/** What a sweep over the voxels is for: sums, with `mi` of its slopes, or the histogram `count`. */
typedef struct sweep {
    lattice moving;
    const clm_refine_units *u;
    float per_um[3];
    const clm_parzen *mi;
    clm_parzen *count;
    clm_refine_sums *out;
} sweep;

static void sum_run(const sweep *w, run *r, int64_t count, const double p[3]) {
    run_sums s;
    float skip[RUN], slope[RUN];
    for (int64_t i = 0; i < count; i++) skip[i] = 1.0f - r->on[i];
    if (w->count) {
        clm_parzen_add(w->count, r->f, r->g, skip, count);
        return;
    }
    if (w->mi) {
        clm_parzen_slope(w->mi, r->f, r->g, skip, count, slope);
        memcpy(r->f, slope, (size_t)count * sizeof *slope);
    }
    sum_plain(r, count, s.plain);
    for (int i = 0; i < 3; i++) sum_first(r, r->d[i], count, s.first[i]);
    sum_second(r, r->d[0], r->d[0], r->d[0], r->d[1], r->d[0], r->d[2], count, s.second);
    sum_second(r, r->d[1], r->d[1], r->d[1], r->d[2], r->d[2], r->d[2], count, s.second + 3);
    spread(&s, p[0], p[1], w->out);
}

static void sum_row(const sweep *w, const float *f, int64_t n, const double from[3], const double step[3],
                    const double p[3], double dx) {
    int64_t lo, hi;
    run r;
    inside(&w->moving, from, step, n, &lo, &hi);
    for (int64_t x = lo; x < hi; x += RUN) {
        int64_t count = hi - x < RUN ? hi - x : RUN;
        double at[3];
        for (int d = 0; d < 3; d++) at[d] = from[d] + step[d] * (double)x;
        sample_run(&w->moving, at, step, count, &r);
        prepare(&r, f + x, count, w->u, w->per_um, (float)(p[2] + dx * (double)x), (float)dx);
        sum_run(w, &r, count, p);
    }
}

static void sweep_rows(sweep *w, const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                       int64_t thin) {
    const clm_refine_units *u = w->u;
    double from0[3], dz[3], dy[3], dx[3], p[3];
    w->moving.data = moving->data;
    for (int d = 0; d < 3; d++) {
        w->moving.n[d] = moving->shape[d];
        w->moving.stride[d] = moving->shape[d] == 1 ? 0 : d == 2 ? 1 : (int32_t)moving->stride[d];
        w->per_um[d] = (float)(1.0 / moving->spacing[d]);
        double y = A->m[d][3];
        for (int k = 0; k < 3; k++) y += A->m[d][k] * fixed->origin[k];
        from0[d] = (y - moving->origin[d]) / moving->spacing[d];
        dz[d] = A->m[d][0] * fixed->spacing[0] / moving->spacing[d];
        dy[d] = A->m[d][1] * fixed->spacing[1] / moving->spacing[d];
        dx[d] = A->m[d][2] * fixed->spacing[2] / moving->spacing[d];
    }
    for (int64_t z = 0; z < fixed->shape[0]; z++)
        for (int64_t y = 0; y < fixed->shape[1]; y++) {
            if (!clm_refine_row(z, y, thin)) continue;
            double from[3], at[3] = {(double)z, (double)y, 0};
            for (int d = 0; d < 3; d++) {
                from[d] = from0[d] + dz[d] * at[0] + dy[d] * at[1];
                p[d] = (fixed->origin[d] + fixed->spacing[d] * at[d] - u->centre[d]) / u->reach[d];
            }
            sum_row(w, clm_vol_row(fixed, z, y), fixed->shape[2], from, dx, p,
                    fixed->spacing[2] / u->reach[2]);
        }
}

void clm_refine_sum(const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                    const clm_refine_units *u, int64_t thin, const clm_parzen *mi, clm_refine_sums *out) {
    sweep w = {.u = u, .mi = mi, .out = out};
    memset(out, 0, sizeof *out);
    sweep_rows(&w, fixed, moving, A, thin);
    for (int i = 0; i < 12; i++)
        for (int k = 0; k < i; k++) out->GG[i][k] = out->GG[k][i];
}

void clm_refine_count(const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                      const clm_refine_units *u, int64_t thin, clm_parzen *p) {
    sweep w = {.u = u, .count = p};
    sweep_rows(&w, fixed, moving, A, thin);
    clm_parzen_settle(p);
}
