#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

/* Voxels onto lattice nodes with trilinear weights, one axis after the other: rows between two lattice rows are
 * added up, plain and times their weight of the upper, those along z into two planes at full resolution in x, and
 * only finished planes are gathered along x. So the inner loop is contiguous, and the scattered part is done once a
 * lattice cell. */
#define PARTS 9
#define TILE 32 /* voxels side by side whose sums lie together, at distances the compiler knows */

typedef float tile[PARTS][TILE];

struct splat {
    const normal *out;
    int64_t n[3], nodes[3];
    double at[3], step[3]; /* lattice coordinate of voxel 0, and per voxel                */
    int32_t *node;         /* [nx] lower node                                             */
    float *part;           /* [nx] weight of the upper                                    */
    int64_t tiles;
    tile *sum,
        *upper;  /* [tiles] of this voxel plane's rows between lattice rows j and j+1; their upper share */
    tile *carry; /* [tiles] what row j has from the rows below it                                        */
    float *plane[2]; /* [nodes1][PARTS][nx] lattice planes k, k+1                   */
    int64_t j, k, z; /* what they hold; -1 nothing                                  */
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

static int64_t tiles_of(int64_t n) { return (n + TILE - 1) / TILE; }

int64_t splat_bytes(const int64_t shape[3], const int64_t nodes[3]) {
    return 4 * shape[2] * (2 + 2 * PARTS * nodes[1]) + 3 * tiles_of(shape[2]) * (int64_t)sizeof(tile) + 2048;
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
    s->tiles = tiles_of(nx);
    s->sum = clm_take_zero(a, tile, 3 * s->tiles, err);
    if (!s->sum) return false;
    s->upper = s->sum + s->tiles, s->carry = s->upper + s->tiles;
    for (int i = 0; i < 2; i++)
        if (!(s->plane[i] = clm_take_zero(a, float, PARTS *nx * f->shape[1], err))) return false;
    if (!s->node || !s->part) return false;
    for (int64_t x = 0; x < nx; x++)
        s->node[x] = (int32_t)lower_node(s->at[2] + (double)x * s->step[2], f->shape[2], &s->part[x]);
    for (int i = 0; i < 3; i++) memset(out->g[i], 0, (size_t)clm_field_count(f) * sizeof(float));
    for (int i = 0; i < 6; i++) memset(out->h[i], 0, (size_t)clm_field_count(f) * sizeof(float));
    *to = s;
    return true;
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

/* a tile of a finished lattice row, part by part into both planes, whose parts are `stride` apart */
CLM_CLONES static void finish_tile(tile *restrict sum, tile *restrict upper, tile *restrict carry, float tz,
                                   int64_t n, int64_t stride, float *restrict plane0,
                                   float *restrict plane1) {
    float rz = 1.0f - tz;
    for (int p = 0; p < PARTS; p++, plane0 += stride, plane1 += stride)
        for (int64_t x = 0; x < n; x++) {
            float over = (*upper)[p][x], v = (*carry)[p][x] + ((*sum)[p][x] - over);
            plane0[x] += rz * v, plane1[x] += tz * v;
            (*carry)[p][x] = over, (*sum)[p][x] = 0.0f, (*upper)[p][x] = 0.0f;
        }
}

static int64_t tile_length(const splat *s, int64_t t) {
    int64_t left = s->n[2] - t * TILE;
    return left < TILE ? left : TILE;
}

/* lattice row j is finished */
static void flush_row(splat *s, int64_t j) {
    int64_t nx = s->n[2], at = j * PARTS * nx;
    for (int64_t t = 0; t < s->tiles; t++, at += TILE)
        finish_tile(s->sum + t, s->upper + t, s->carry + t, s->tz, tile_length(s, t), nx, s->plane[0] + at,
                    s->plane[1] + at);
}

static void flush_rows(splat *s) {
    if (s->j < 0) return;
    flush_row(s, s->j);
    if (s->nodes[1] > 1) flush_row(s, s->j + 1);
    memset(s->carry, 0, (size_t)s->tiles * sizeof(tile));
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
    if (s->j >= 0 && j == s->j + 1)
        flush_row(s, s->j);
    else if (j != s->j)
        flush_rows(s);
    s->j = j;
}

/* part p of both sums: what a voxel gives, and its share of the upper row */
#define ADD_ONE(p, q) sum[p][x] += (q), upper[p][x] += t * (q)

CLM_CLONES static void add_row(const float *restrict e, const float *restrict h, const float *restrict g0,
                               const float *restrict g1, const float *restrict g2, float t, int64_t n,
                               float (*restrict sum)[TILE], float (*restrict upper)[TILE]) {
    for (int64_t x = 0; x < n; x++) {
        float v = e[x], z = g0[x], y = g1[x], w = g2[x], hz = h[x] * z, hy = h[x] * y, hw = h[x] * w;
        ADD_ONE(0, v * z), ADD_ONE(1, v * y), ADD_ONE(2, v * w);
        ADD_ONE(3, hz * z), ADD_ONE(4, hz * y), ADD_ONE(5, hz * w);
        ADD_ONE(6, hy * y), ADD_ONE(7, hy * w), ADD_ONE(8, hw * w);
    }
}

/* the same of two rows, a and b, at once: half the traffic with the sums */
#define ADD_TWO(p, qa, qb) sum[p][x] += (qa) + (qb), upper[p][x] += ta * (qa) + tb * (qb)

CLM_CLONES static void add_two(const float *restrict ea, const float *restrict ha, const float *restrict a0,
                               const float *restrict a1, const float *restrict a2, const float *restrict eb,
                               const float *restrict hb, const float *restrict b0, const float *restrict b1,
                               const float *restrict b2, float ta, float tb, int64_t n,
                               float (*restrict sum)[TILE], float (*restrict upper)[TILE]) {
    for (int64_t x = 0; x < n; x++) {
        float az = a0[x], ay = a1[x], aw = a2[x], bz = b0[x], by = b1[x], bw = b2[x];
        float haz = ha[x] * az, hay = ha[x] * ay, hbz = hb[x] * bz, hby = hb[x] * by;
        ADD_TWO(0, ea[x] * az, eb[x] * bz), ADD_TWO(1, ea[x] * ay, eb[x] * by);
        ADD_TWO(2, ea[x] * aw, eb[x] * bw), ADD_TWO(3, haz * az, hbz * bz), ADD_TWO(4, haz * ay, hbz * by);
        ADD_TWO(5, haz * aw, hbz * bw), ADD_TWO(6, hay * ay, hby * by), ADD_TWO(7, hay * aw, hby * bw);
        ADD_TWO(8, ha[x] * aw * aw, hb[x] * bw * bw);
    }
}

void splat_row(splat *s, int64_t z, int64_t y, splat_in in) {
    float ty;
    if (z != s->z) turn_to_plane(s, z);
    turn_to_row(s, lower_node(s->at[1] + (double)y * s->step[1], s->nodes[1], &ty));
    for (int64_t t = 0, x = 0; t < s->tiles; t++, x += TILE)
        add_row(in.e + x, in.h + x, in.G[0] + x, in.G[1] + x, in.G[2] + x, ty, tile_length(s, t), s->sum[t],
                s->upper[t]);
}

void splat_two(splat *s, int64_t z, int64_t y, const splat_in in[2]) {
    float ty[2];
    int64_t j[2];
    for (int i = 0; i < 2; i++)
        j[i] = lower_node(s->at[1] + (double)(y + i) * s->step[1], s->nodes[1], &ty[i]);
    if (j[0] != j[1]) {
        for (int i = 0; i < 2; i++) splat_row(s, z, y + i, in[i]);
        return;
    }
    if (z != s->z) turn_to_plane(s, z);
    turn_to_row(s, j[0]);
    for (int64_t t = 0, x = 0; t < s->tiles; t++, x += TILE)
        add_two(in[0].e + x, in[0].h + x, in[0].G[0] + x, in[0].G[1] + x, in[0].G[2] + x, in[1].e + x,
                in[1].h + x, in[1].G[0] + x, in[1].G[1] + x, in[1].G[2] + x, ty[0], ty[1], tile_length(s, t),
                s->sum[t], s->upper[t]);
}

void splat_end(splat *s) {
    flush_rows(s);
    flush_planes(s);
}
