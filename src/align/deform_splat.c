#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

/* Voxels onto lattice nodes with trilinear weights, one axis after the other: rows are mixed along y into
 * two accumulators, those along z into two planes at full resolution in x, and only finished planes are
 * gathered along x. So the inner loop is contiguous, and the scattered part is done once a lattice cell. */
#define PARTS 9

struct splat {
    const normal *out;
    int64_t n[3], nodes[3];
    double at[3], step[3]; /* lattice coordinate of voxel 0, and per voxel                */
    int32_t *node;         /* [nx] lower node                                             */
    float *part;           /* [nx] weight of the upper                                    */
    float *row[2];         /* [PARTS][nx] lattice rows j, j+1 of this voxel plane         */
    float *plane[2];       /* [nodes1][PARTS][nx] lattice planes k, k+1                   */
    int64_t j, k, z;       /* what they hold; -1 nothing                                  */
    float tz;
};

static int64_t lower_node(double at, int64_t n, float *part) {
    if (!(at > 0.0) || n == 1) {
        *part = 0.0f;
        return 0;
    }
    if (at >= (double)(n - 1)) {
        *part = 1.0f;
        return n - 2;
    }
    int64_t i = (int64_t)at;
    *part = (float)(at - (double)i);
    return i;
}

int64_t splat_bytes(const int64_t shape[3], const int64_t nodes[3]) {
    return 4 * shape[2] * (2 + 2 * PARTS + 2 * PARTS * nodes[1]) + 2048;
}

bool splat_make(clm_arena *a, const clm_vol *fixed, const clm_field *f, const normal *out, splat **to,
                clm_err *err) {
    splat *s = clm_take_zero(a, splat, 1, err);
    if (!s) return false;
    int64_t nx = fixed->shape[2];
    s->out = out, s->j = s->k = s->z = -1;
    for (int d = 0; d < 3; d++) {
        s->n[d] = fixed->shape[d], s->nodes[d] = f->shape[d];
        s->at[d] = (fixed->origin[d] - f->origin[d]) / f->spacing[d];
        s->step[d] = fixed->spacing[d] / f->spacing[d];
    }
    s->node = clm_take(a, int32_t, nx, err);
    s->part = clm_take(a, float, nx, err);
    for (int i = 0; i < 2; i++) {
        s->row[i] = clm_take_zero(a, float, PARTS *nx, err);
        s->plane[i] = clm_take_zero(a, float, PARTS *nx * f->shape[1], err);
        if (!s->row[i] || !s->plane[i]) return false;
    }
    if (!s->node || !s->part) return false;
    for (int64_t x = 0; x < nx; x++)
        s->node[x] = (int32_t)lower_node(s->at[2] + (double)x * s->step[2], f->shape[2], &s->part[x]);
    for (int i = 0; i < 3; i++) memset(out->g[i], 0, (size_t)clm_field_count(f) * sizeof(float));
    for (int i = 0; i < 6; i++) memset(out->h[i], 0, (size_t)clm_field_count(f) * sizeof(float));
    *to = s;
    return true;
}

CLM_CLONES static void add_scaled(float *restrict to, const float *restrict from, float by, int64_t n) {
    for (int64_t x = 0; x < n; x++) to[x] += by * from[x];
}

/* the plane's rows, gathered along x into the nodes */
static void flush_plane(splat *s, int which, int64_t k) {
    int64_t nx = s->n[2];
    for (int64_t j = 0; j < s->nodes[1]; j++)
        for (int q = 0; q < PARTS; q++) {
            float *from = s->plane[which] + (j * PARTS + q) * nx;
            float *to = (q < 3 ? s->out->g[q] : s->out->h[q - 3]) + (k * s->nodes[1] + j) * s->nodes[2];
            float low = 0.0f, high = 0.0f;
            int32_t at = s->node[0];
            int32_t up = s->nodes[2] > 1;
            for (int64_t x = 0; x < nx; x++) {
                if (s->node[x] != at) {
                    to[at] += low, to[at + up] += high;
                    low = high = 0.0f, at = s->node[x];
                }
                low += (1.0f - s->part[x]) * from[x];
                high += s->part[x] * from[x];
            }
            to[at] += low, to[at + up] += high;
        }
    memset(s->plane[which], 0, (size_t)(s->nodes[1] * PARTS * nx) * sizeof(float));
}

/* an accumulator row is finished: into both planes */
static void flush_row(splat *s, int which, int64_t j) {
    int64_t n = PARTS * s->n[2], at = j * n;
    add_scaled(s->plane[0] + at, s->row[which], 1.0f - s->tz, n);
    if (s->nodes[0] > 1) add_scaled(s->plane[1] + at, s->row[which], s->tz, n);
    memset(s->row[which], 0, (size_t)n * sizeof(float));
}

static void flush_rows(splat *s) {
    if (s->j < 0) return;
    flush_row(s, 0, s->j);
    if (s->nodes[1] > 1) flush_row(s, 1, s->j + 1);
    s->j = -1;
}

static void flush_planes(splat *s) {
    if (s->k < 0) return;
    flush_plane(s, 0, s->k);
    if (s->nodes[0] > 1) flush_plane(s, 1, s->k + 1);
    s->k = -1;
}

static void turn_to_plane(splat *s, int64_t z) {
    float tz;
    int64_t k = lower_node(s->at[0] + (double)z * s->step[0], s->nodes[0], &tz);
    flush_rows(s);
    if (s->k >= 0 && k == s->k + 1) {
        flush_plane(s, 0, s->k);
        float *p = s->plane[0];
        s->plane[0] = s->plane[1], s->plane[1] = p;
    } else if (k != s->k)
        flush_planes(s);
    s->k = k, s->z = z, s->tz = tz;
}

static void turn_to_row(splat *s, int64_t j) {
    if (s->j >= 0 && j == s->j + 1) {
        flush_row(s, 0, s->j);
        float *p = s->row[0];
        s->row[0] = s->row[1], s->row[1] = p;
    } else if (j != s->j)
        flush_rows(s);
    s->j = j;
}

/* both accumulator rows at once: nine products, each used twice */
CLM_CLONES static void add_products(const float *restrict e, const float *restrict h,
                                    const float *restrict g0, const float *restrict g1,
                                    const float *restrict g2, float lo, float hi, int64_t n,
                                    float *restrict a, float *restrict b) {
    for (int64_t x = 0; x < n; x++) {
        float v = e[x], w = h[x], z = g0[x], y = g1[x], t = g2[x];
        float wz = w * z, wy = w * y, wx = w * t;
        float q0 = v * z, q1 = v * y, q2 = v * t;
        float q3 = wz * z, q4 = wz * y, q5 = wz * t, q6 = wy * y, q7 = wy * t, q8 = wx * t;
        a[x] += lo * q0, b[x] += hi * q0;
        a[x + n] += lo * q1, b[x + n] += hi * q1;
        a[x + 2 * n] += lo * q2, b[x + 2 * n] += hi * q2;
        a[x + 3 * n] += lo * q3, b[x + 3 * n] += hi * q3;
        a[x + 4 * n] += lo * q4, b[x + 4 * n] += hi * q4;
        a[x + 5 * n] += lo * q5, b[x + 5 * n] += hi * q5;
        a[x + 6 * n] += lo * q6, b[x + 6 * n] += hi * q6;
        a[x + 7 * n] += lo * q7, b[x + 7 * n] += hi * q7;
        a[x + 8 * n] += lo * q8, b[x + 8 * n] += hi * q8;
    }
}

void splat_row(splat *s, int64_t z, int64_t y, const float *e, const float *h, float *const G[3]) {
    float ty;
    if (z != s->z) turn_to_plane(s, z);
    turn_to_row(s, lower_node(s->at[1] + (double)y * s->step[1], s->nodes[1], &ty));
    add_products(e, h, G[0], G[1], G[2], 1.0f - ty, ty, s->n[2], s->row[0], s->row[1]);
}

void splat_end(splat *s) {
    flush_rows(s);
    flush_planes(s);
}
