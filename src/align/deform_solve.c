#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <string.h>

/* (H + W) du = -(g + W u) on the lattice. H is block diagonal (3 x 3 a node), W the stiffness: first and
 * second differences of neighbours along each axis. Conjugate gradients, preconditioned by the inverse of each node's
 * block; sums in a fixed order. */

typedef struct system {
    int64_t n[3], count;
    const normal *eq;
    const stiffness *weight;
    float *inverse[6]; /* of each node's block of H + W: zz zy zx yy yx xx */
} system;

CLM_CLONES static void add_strain(const float *restrict at, const float *restrict next, float w, int64_t n,
                                  float *restrict out_at, float *restrict out_next) {
    for (int64_t x = 0; x < n; x++) {
        float d = w * (at[x] - next[x]);
        out_at[x] += d, out_next[x] -= d;
    }
}

CLM_CLONES static void add_curvature(const float *restrict below, const float *restrict at,
                                     const float *restrict above, float w, int64_t n,
                                     float *restrict out_below, float *restrict out_at,
                                     float *restrict out_above) {
    for (int64_t x = 0; x < n; x++) {
        float d = w * ((below[x] - at[x]) + (above[x] - at[x]));
        out_below[x] += d, out_at[x] -= 2.0f * d, out_above[x] += d;
    }
}

/* along x all neighbours are in one row, so what a node gives and takes is gathered, not scattered */
CLM_CLONES static void add_along_row(const float *restrict p, float strain, float curve, int64_t n,
                                     float *restrict out) {
    for (int64_t x = 1; x + 1 < n; x++) out[x] += strain * ((p[x] - p[x - 1]) + (p[x] - p[x + 1]));
    if (n > 1) {
        out[0] += strain * (p[0] - p[1]);
        out[n - 1] += strain * (p[n - 1] - p[n - 2]);
    }
    for (int64_t x = 2; x + 2 < n; x++)
        out[x] += curve * ((p[x - 2] + p[x + 2]) - 4.0f * (p[x - 1] + p[x + 1]) + 6.0f * p[x]);
    for (int64_t x = 1; x + 1 < n; x++) { /* the four nodes at the ends */
        if (x == 3 && n > 6) x = n - 3;
        float d = curve * ((p[x - 1] - p[x]) + (p[x + 1] - p[x]));
        if (x - 1 < 2 || x - 1 > n - 3) out[x - 1] += d;
        if (x < 2 || x > n - 3) out[x] -= 2.0f * d;
        if (x + 1 < 2 || x + 1 > n - 3) out[x + 1] += d;
    }
}

/* out += W p, one component */
static void add_stiffness(const int64_t n[3], const stiffness *w, const float *p, float *out) {
    int64_t plane = n[1] * n[2], row = n[2];
    for (int64_t k = 0; k < n[0]; k++)
        for (int64_t j = 0; j < n[1]; j++) {
            const float *a = p + k * plane + j * row;
            float *o = out + k * plane + j * row;
            add_along_row(a, (float)w->strain[2], (float)w->curvature[2], row, o);
            if (j + 1 < n[1]) add_strain(a, a + row, (float)w->strain[1], row, o, o + row);
            if (k + 1 < n[0]) add_strain(a, a + plane, (float)w->strain[0], row, o, o + plane);
            if (j > 0 && j + 1 < n[1])
                add_curvature(a - row, a, a + row, (float)w->curvature[1], row, o - row, o, o + row);
            if (k > 0 && k + 1 < n[0])
                add_curvature(a - plane, a, a + plane, (float)w->curvature[0], row, o - plane, o, o + plane);
        }
}

double stiffness_energy(const clm_field *f, const stiffness *w) {
    const int64_t *n = f->shape, step[3] = {n[1] * n[2], n[2], 1};
    double total = 0.0;
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) {
            double strain = 0.0, curve = 0.0;
            for (int64_t k = 0; k < n[0] - (d == 0); k++)
                for (int64_t j = 0; j < n[1] - (d == 1); j++) {
                    const float *u = f->u[c] + k * step[0] + j * step[1];
                    double e2 = 0.0, c2 = 0.0;
                    for (int64_t i = 0; i < n[2] - (d == 2); i++) {
                        double e = (double)u[i + step[d]] - (double)u[i];
                        e2 += e * e;
                        if ((d == 0 ? k : d == 1 ? j : i) == 0) continue;
                        double b = e - ((double)u[i] - (double)u[i - step[d]]);
                        c2 += b * b;
                    }
                    strain += e2, curve += c2;
                }
            total += 0.5 * (w->strain[d] * strain + w->curvature[d] * curve);
        }
    return total;
}

CLM_CLONES static void block_times(float *const h[6], int64_t n, const float *restrict a,
                                   const float *restrict b, const float *restrict c, float *restrict o0,
                                   float *restrict o1, float *restrict o2) {
    const float *restrict zz = h[0], *restrict zy = h[1], *restrict zx = h[2], *restrict yy = h[3],
                          *restrict yx = h[4], *restrict xx = h[5];
    for (int64_t i = 0; i < n; i++) {
        o0[i] = zz[i] * a[i] + zy[i] * b[i] + zx[i] * c[i];
        o1[i] = zy[i] * a[i] + yy[i] * b[i] + yx[i] * c[i];
        o2[i] = zx[i] * a[i] + yx[i] * b[i] + xx[i] * c[i];
    }
}

static void times(const system *s, float *const p[3], float *const out[3]) {
    block_times(s->eq->h, s->count, p[0], p[1], p[2], out[0], out[1], out[2]);
    for (int c = 0; c < 3; c++) add_stiffness(s->n, s->weight, p[c], out[c]);
}

CLM_CLONES static double dot(const float *restrict a, const float *restrict b, int64_t n) {
    double part[8] = {0}, total = 0.0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) part[k] += (double)a[i + k] * (double)b[i + k];
    for (int k = 0; k < 8; k++) total += part[k];
    for (; i < n; i++) total += (double)a[i] * (double)b[i];
    return total;
}

CLM_CLONES static void add_scaled(float *restrict y, const float *restrict x, float by, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += by * x[i];
}

CLM_CLONES static void scale_add(float *restrict y, const float *restrict x, float by, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + by * y[i];
}

/* diagonal of W along axis d at node i */
static double own_stiffness(const system *s, int d, int64_t i) {
    int64_t n = s->n[d];
    double strain = (i > 0) + (i + 1 < n), curve = 0.0;
    if (i > 0 && i + 1 < n) curve += 4.0;
    if (i >= 2) curve += 1.0;
    if (i + 2 < n) curve += 1.0;
    return s->weight->strain[d] * strain + s->weight->curvature[d] * curve;
}

/* inverse of each node's 3 x 3 block; the stiffness at the node itself keeps it definite */
static void invert_blocks(system *s) {
    int64_t at = 0;
    for (int64_t k = 0; k < s->n[0]; k++)
        for (int64_t j = 0; j < s->n[1]; j++)
            for (int64_t i = 0; i < s->n[2]; i++, at++) {
                double own = own_stiffness(s, 0, k) + own_stiffness(s, 1, j) + own_stiffness(s, 2, i), h[6];
                for (int q = 0; q < 6; q++) h[q] = (double)s->eq->h[q][at];
                own += 1e-6 * (h[0] + h[3] + h[5]) + 1e-30;
                h[0] += own, h[3] += own, h[5] += own;
                double c0 = h[3] * h[5] - h[4] * h[4], c1 = h[2] * h[4] - h[1] * h[5],
                       c2 = h[1] * h[4] - h[2] * h[3];
                double per = 1.0 / (h[0] * c0 + h[1] * c1 + h[2] * c2);
                s->inverse[0][at] = (float)(c0 * per);
                s->inverse[1][at] = (float)(c1 * per);
                s->inverse[2][at] = (float)(c2 * per);
                s->inverse[3][at] = (float)((h[0] * h[5] - h[2] * h[2]) * per);
                s->inverse[4][at] = (float)((h[1] * h[2] - h[0] * h[4]) * per);
                s->inverse[5][at] = (float)((h[0] * h[3] - h[1] * h[1]) * per);
            }
}

static bool take_planes(clm_arena *a, int64_t n, int planes, float **out, clm_err *err) {
    float *p = clm_take(a, float, n *planes, err);
    for (int i = 0; p && i < planes; i++) out[i] = p + i * n;
    return p != NULL;
}

bool solve_step(const clm_work *w, const normal *eq, const clm_field *u, const stiffness *weight,
                int iterations, float *const du[3], clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t n = clm_field_count(u);
    system s = {.n = {u->shape[0], u->shape[1], u->shape[2]}, .count = n, .eq = eq, .weight = weight};
    float *r[3], *z[3], *p[3], *q[3];
    bool ok = take_planes(w->temp, n, 6, s.inverse, err) && take_planes(w->temp, n, 3, r, err) &&
              take_planes(w->temp, n, 3, z, err) && take_planes(w->temp, n, 3, p, err) &&
              take_planes(w->temp, n, 3, q, err);
    if (!ok) {
        clm_arena_rewind(w->temp, mark);
        return false;
    }
    invert_blocks(&s);
    for (int c = 0; c < 3; c++) {
        memset(du[c], 0, (size_t)n * sizeof(float));
        memcpy(r[c], eq->g[c], (size_t)n * sizeof(float));
        add_stiffness(s.n, weight, u->u[c], r[c]);
        for (int64_t i = 0; i < n; i++) r[c][i] = -r[c][i];
        memset(p[c], 0, (size_t)n * sizeof(float));
    }
    double rz = 0.0, first = 0.0;
    for (int it = 0; it < iterations; it++) {
        block_times(s.inverse, n, r[0], r[1], r[2], z[0], z[1], z[2]);
        double old = rz, pq = 0.0;
        rz = dot(r[0], z[0], n) + dot(r[1], z[1], n) + dot(r[2], z[2], n);
        if (it == 0) first = rz;
        if (!(rz > 1e-6 * first)) break; /* 1e-3 in the energy norm: far below the linearisation's error */
        for (int c = 0; c < 3; c++) scale_add(p[c], z[c], it ? (float)(rz / old) : 0.0f, n);
        times(&s, p, q);
        for (int c = 0; c < 3; c++) pq += dot(p[c], q[c], n);
        if (!(pq > 0.0)) break;
        for (int c = 0; c < 3; c++) {
            add_scaled(du[c], p[c], (float)(rz / pq), n);
            add_scaled(r[c], q[c], -(float)(rz / pq), n);
        }
    }
    clm_arena_rewind(w->temp, mark);
    return true;
}
