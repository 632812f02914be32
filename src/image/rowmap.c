#include "collimate/image/rowmap.h"
#include "collimate/base/simd.h"

#include <math.h>

static bool check_grid(const clm_vol *v, const char *what, clm_err *err) {
    for (int d = 0; d < 3; d++)
        if (v->shape[d] < 1 || v->shape[d] > INT32_MAX || !(v->spacing[d] > 0) || !isfinite(v->spacing[d]) ||
            !isfinite(v->origin[d]))
            return clm_fail(err, CLM_E_ARG, "%s grid: axis %d has %lld voxels of %g um at %g", what, d,
                            (long long)v->shape[d], v->spacing[d], v->origin[d]);
    return true;
}

/* lower node and fraction along one axis of the lattice, border-extended, as clm_field_at has it */
static int64_t lower_node(double at, int64_t n, double *part) {
    if (!(at > 0.0) || n == 1) {
        *part = 0.0;
        return 0;
    }
    if (at >= (double)(n - 1)) {
        *part = 1.0;
        return n - 2;
    }
    int64_t i = (int64_t)at;
    *part = at - (double)i;
    return i;
}

static bool make_lattice(clm_arena *a, const clm_vol *out, const clm_field *f, clm_rowmap *map,
                         clm_err *err) {
    int64_t nx = out->shape[2], nodes = f->shape[2];
    map->node = clm_take(a, int32_t, nx, err);
    map->part = clm_take(a, float, nx, err);
    float *rows = clm_take(a, float, 9 * nx, err);
    float *blend = clm_take(a, float, 3 * (nodes + 1), err);
    if (!map->node || !map->part || !rows || !blend) return false;
    for (int c = 0; c < 3; c++) {
        map->ends[0][c] = rows + c * nx;
        map->ends[1][c] = rows + (3 + c) * nx;
        map->v[c] = rows + (6 + c) * nx;
        map->blend[c] = blend + c * (nodes + 1);
    }
    for (int d = 0; d < 3; d++) {
        map->lattice_at[d] = (out->origin[d] - f->origin[d]) / f->spacing[d];
        map->lattice_step[d] = out->spacing[d] / f->spacing[d];
    }
    for (int64_t x = 0; x < nx; x++) {
        double part;
        map->node[x] =
            (int32_t)lower_node(map->lattice_at[2] + (double)x * map->lattice_step[2], nodes, &part);
        map->part[x] = (float)part;
    }
    return true;
}

bool clm_rowmap_make(clm_arena *a, const clm_vol *out, const clm_vol *moving, const clm_affine *A,
                     const clm_field *f, clm_rowmap *map, clm_err *err) {
    if (!check_grid(out, "output", err) || !check_grid(moving, "moving", err)) return false;
    *map = (clm_rowmap){.f = f, .held_z = -1, .held_j = -1, .z = -1, .y = -1};
    for (int c = 0; c < 3; c++) {
        double per_um = 1.0 / moving->spacing[c], at = A->m[c][3] - moving->origin[c];
        for (int d = 0; d < 3; d++) {
            map->l[c][d] = A->m[c][d] * per_um;
            map->m[c][d] = A->m[c][d] * out->spacing[d] * per_um;
            at += A->m[c][d] * out->origin[d];
        }
        map->m[c][3] = at * per_um;
        map->shape[c] = out->shape[c];
        map->moving[c] = moving->shape[c];
    }
    return !f || make_lattice(a, out, f, map, err);
}

/* lattice row j of the plane between nodes k and k+1, turned to moving voxels: [3][nodes + 1] */
static void blend_row(const clm_rowmap *map, int64_t k, float t, int64_t j) {
    const clm_field *f = map->f;
    int64_t n = f->shape[2], plane = f->shape[1] * n, at = k * plane + j * n;
    int64_t up = f->shape[0] > 1 ? plane : 0;
    float s = 1.0f - t, l[3][3];
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) l[c][d] = (float)map->l[c][d];
    const float *restrict a = f->u[0] + at, *restrict b = f->u[1] + at, *restrict e = f->u[2] + at;
    float *restrict o0 = map->blend[0], *restrict o1 = map->blend[1], *restrict o2 = map->blend[2];
    for (int64_t i = 0; i < n; i++) {
        float u0 = s * a[i] + t * a[i + up], u1 = s * b[i] + t * b[i + up], u2 = s * e[i] + t * e[i + up];
        o0[i] = l[0][0] * u0 + l[0][1] * u1 + l[0][2] * u2;
        o1[i] = l[1][0] * u0 + l[1][1] * u1 + l[1][2] * u2;
        o2[i] = l[2][0] * u0 + l[2][1] * u1 + l[2][2] * u2;
    }
    for (int c = 0; c < 3; c++) map->blend[c][n] = map->blend[c][n - 1]; /* one node: its own neighbour */
}

CLM_CLONES static void expand_row(const float *restrict r, const int32_t *restrict node,
                                  const float *restrict part, float *restrict out, int64_t n) {
    for (int64_t x = 0; x < n; x++) out[x] = (1.0f - part[x]) * r[node[x]] + part[x] * r[node[x] + 1];
}

CLM_CLONES static void mix_rows(const float *restrict a, const float *restrict b, float t,
                                float *restrict out, int64_t n) {
    float s = 1.0f - t;
    for (int64_t x = 0; x < n; x++) out[x] = s * a[x] + t * b[x];
}

static void fill_end(clm_rowmap *map, int which, int64_t k, float tz, int64_t j) {
    blend_row(map, k, tz, j);
    for (int c = 0; c < 3; c++)
        expand_row(map->blend[c], map->node, map->part, map->ends[which][c], map->shape[2]);
}

void clm_rowmap_row(clm_rowmap *map, int64_t z, int64_t y) {
    if (map->z == z && map->y == y) return;
    map->z = z, map->y = y;
    if (!map->f) return;
    double tz, ty;
    int64_t k = lower_node(map->lattice_at[0] + (double)z * map->lattice_step[0], map->f->shape[0], &tz);
    int64_t j = lower_node(map->lattice_at[1] + (double)y * map->lattice_step[1], map->f->shape[1], &ty);
    int64_t above = map->f->shape[1] > 1 ? j + 1 : j;
    if (map->held_z == z && map->held_j == j - 1) { /* the upper row becomes the lower one */
        for (int c = 0; c < 3; c++) {
            float *keep = map->ends[0][c];
            map->ends[0][c] = map->ends[1][c];
            map->ends[1][c] = keep;
        }
        fill_end(map, 1, k, (float)tz, above);
    } else if (map->held_z != z || map->held_j != j) {
        fill_end(map, 0, k, (float)tz, j);
        fill_end(map, 1, k, (float)tz, above);
    }
    map->held_z = z, map->held_j = j;
    for (int c = 0; c < 3; c++)
        mix_rows(map->ends[0][c], map->ends[1][c], (float)ty, map->v[c], map->shape[2]);
}

CLM_CLONES static void ramp(float from, float step, int n, float *restrict p) {
    for (int k = 0; k < n; k++) p[k] = from + (float)k * step;
}

CLM_CLONES static void ramp_on(float from, float step, const float *restrict v, float v0, int n,
                               float *restrict p) {
    for (int k = 0; k < n; k++) p[k] = from + (float)k * step + (v[k] - v0);
}

void clm_rowmap_lane(const clm_rowmap *map, int64_t x, int n, clm_lane *lane) {
    for (int c = 0; c < 3; c++) {
        const double *m = map->m[c];
        double at = m[0] * (double)map->z + m[1] * (double)map->y + m[2] * (double)x + m[3];
        float v0 = map->f ? map->v[c][x] : 0.0f;
        if (!isfinite(v0)) v0 = 0.0f;
        at += (double)v0;
        double base = floor(at), last = (double)(map->moving[c] - 1);
        if (!(base > 0.0)) base = 0.0;
        if (base > last) base = last;
        lane->base[c] = (int64_t)base;
        if (map->f)
            ramp_on((float)(at - base), (float)m[2], map->v[c] + x, v0, n, lane->p[c]);
        else
            ramp((float)(at - base), (float)m[2], n, lane->p[c]);
    }
}
