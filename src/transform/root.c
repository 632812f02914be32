#include "collimate/transform/root.h"
#include "collimate/core/affine_root.h"

#include <math.h>
#include <string.h>

typedef double point[3];

bool clm_root_begin(clm_root *root, clm_err *err) {
    const clm_affine a = clm_map_affine(root->whole);
    return clm_affine_root(&a, root->n, &root->affine, err);
}

bool clm_root_map(const clm_root *root, const clm_vectors *v, int power, clm_map *out, clm_err *err) {
    memset(out, 0, sizeof *out);
    for (int k = 0; k < power; k++)
        if (!clm_map_add_field(out, v, err) || !clm_map_add_affine(out, &root->affine, err)) return false;
    return true;
}

/* R and R^-1 */
static bool both_ways(const clm_root *root, const clm_vectors *v, clm_map *forth, clm_map *back,
                      clm_err *err) {
    if (!clm_root_map(root, v, 1, forth, err)) return false;
    *back = *forth;
    back->tolerance_um = 1e-3 * root->tolerance_um;
    return clm_map_turn(back, err);
}

static void place_nodes(const clm_vol *g, point *x) {
    for (int64_t z = 0, i = 0; z < g->shape[0]; z++)
        for (int64_t y = 0; y < g->shape[1]; y++)
            for (int64_t k = 0; k < g->shape[2]; k++, i++) {
                const double at[3] = {(double)z, (double)y, (double)k};
                for (int d = 0; d < 3; d++) x[i][d] = g->origin[d] + at[d] * g->spacing[d];
            }
}

static double distance(const point a, const point b) {
    return hypot(hypot(a[0] - b[0], a[1] - b[1]), a[2] - b[2]);
}

/* ---- a sweep ---- */

static bool first_sweep(const clm_root *root, const clm_work *w, const clm_vol *grid, clm_field *out,
                        clm_err *err) {
    const clm_work flip = clm_work_flip(w);
    point *u;
    uint8_t *flags;
    if (!clm_map_at(root->whole, &flip, grid, &u, &flags, err)) return false;
    for (int64_t i = 0; i < clm_vol_count(grid); i++)
        for (int d = 0; d < 3; d++) out->u[d][i] = (float)(u[i][d] / root->n);
    return true;
}

/* One node: where R takes it now, and where the places of T say that it should. */
typedef struct opinion {
    double now[3], sum[3], weight;
    double farthest; /* of places where T is told */
    bool lost;       /* R^-1 has no solution on the way */
} opinion;

/* Beyond its box T is only continued by its border: that counts less and less, without an edge. */
static double weight_at(const clm_root *root, const point x) {
    double beyond = 0.0;
    for (int d = 0; d < 3; d++) beyond = fmax(beyond, fmax(root->lo[d] - x[d], x[d] - root->hi[d]));
    double q = beyond / root->fade_um, w = 1.0 / (1.0 + q * q);
    return w * w;
}

/* R^-(n-1-k) o T o R^-k at all nodes, for each k */
static bool hear(const clm_root *root, const clm_map *back, const clm_work *w, int64_t n, point *before,
                 opinion *o, clm_err *err) {
    point *says = clm_arena_take(w->temp, n, sizeof *says, err);
    uint8_t *flags = says ? clm_take(w->temp, uint8_t, n, err) : NULL;
    uint8_t *step = flags ? clm_take(w->temp, uint8_t, n, err) : NULL;
    if (!step) return false;
    for (int k = 0; k < root->n; k++) {
        if (k > 0 && !clm_map_points(back, w, n, before, step, err)) return false;
        for (int64_t i = 0; k > 0 && i < n; i++) o[i].lost |= (step[i] & CLM_POINT_UNSOLVED) != 0;
        memcpy(says, before, (size_t)n * sizeof *says);
        if (!clm_map_points(root->whole, w, n, says, flags, err)) return false;
        for (int j = k + 1; j < root->n; j++) {
            if (!clm_map_points(back, w, n, says, step, err)) return false;
            for (int64_t i = 0; i < n; i++) flags[i] |= step[i] & CLM_POINT_UNSOLVED;
        }
        for (int64_t i = 0; i < n; i++) {
            if (o[i].lost || flags[i] & CLM_POINT_UNSOLVED) continue;
            double weight = weight_at(root, before[i]);
            for (int d = 0; d < 3; d++) o[i].sum[d] += weight * (says[i][d] - o[i].now[d]);
            o[i].weight += weight;
            if (!(flags[i] & CLM_POINT_EXTRAPOLATED))
                o[i].farthest = fmax(o[i].farthest, distance(says[i], o[i].now));
        }
    }
    return true;
}

static bool next_sweep(const clm_root *root, const clm_vectors *v, const clm_work *w, const clm_vol *grid,
                       clm_field *out, double *farthest, double *squares, clm_err *err) {
    clm_map forth, back;
    clm_affine undo;
    int64_t n = clm_vol_count(grid);
    point *x = clm_arena_take(w->temp, n, sizeof *x, err);
    point *y = x ? clm_arena_take(w->temp, n, sizeof *y, err) : NULL;
    opinion *o = y ? clm_take_zero(w->temp, opinion, n, err) : NULL;
    uint8_t *flags = o ? clm_take(w->temp, uint8_t, n, err) : NULL;
    if (!flags || !both_ways(root, v, &forth, &back, err) || !clm_affine_invert(&root->affine, &undo, err))
        return false;
    place_nodes(grid, x);
    memcpy(y, x, (size_t)n * sizeof *y);
    if (!clm_map_points(&forth, w, n, y, flags, err)) return false;
    for (int64_t i = 0; i < n; i++) memcpy(o[i].now, y[i], sizeof y[i]);
    memcpy(y, x, (size_t)n * sizeof *y);
    if (!hear(root, &back, w, n, y, o, err)) return false;
    *farthest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        point to;
        double share = o[i].weight > 0.0 ? 1.0 / (root->n * o[i].weight) : 0.0;
        for (int d = 0; d < 3; d++) to[d] = o[i].now[d] + share * o[i].sum[d];
        clm_affine_apply(&undo, to, to);
        for (int d = 0; d < 3; d++) out->u[d][i] = (float)(to[d] - x[i][d]);
        *farthest = fmax(*farthest, o[i].farthest);
        *squares += fmin(rint(1e6 * pow(o[i].farthest / root->tolerance_um, 2.0)), 1e12);
    }
    return true;
}

bool clm_root_sweep(const clm_root *root, const clm_vectors *v, const clm_work *w, const clm_vol *grid,
                    clm_field *out, double *farthest, double *squares, clm_err *err) {
    if (!clm_field_new(w->keep, grid->shape, grid->spacing, grid->origin, out, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    *farthest = INFINITY;
    *squares = 0.0;
    bool ok =
        v ? next_sweep(root, v, w, grid, out, farthest, squares, err) : first_sweep(root, w, grid, out, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}

/* ---- what is left ---- */

/* x becomes R^times(x) */
static bool repeat(const clm_map *map, int times, const clm_work *w, int64_t n, point *x, uint8_t *flags,
                   clm_err *err) {
    for (int k = 0; k < times; k++)
        if (!clm_map_points(map, w, n, x, flags, err)) return false;
    return true;
}

static bool residual(const clm_root *root, const clm_vectors *v, const clm_work *w, const clm_vol *grid,
                     float *r, uint8_t *flags, clm_err *err) {
    clm_map forth, back;
    int64_t n = clm_vol_count(grid), missing = n;
    point *x = clm_arena_take(w->temp, n, sizeof *x, err);
    point *there = x ? clm_arena_take(w->temp, n, sizeof *there, err) : NULL;
    point *here = there ? clm_arena_take(w->temp, n, sizeof *here, err) : NULL;
    uint8_t *lost = here ? clm_take_zero(w->temp, uint8_t, n, err) : NULL;
    uint8_t *step = lost ? clm_take(w->temp, uint8_t, n, err) : NULL;
    if (!step || !both_ways(root, v, &forth, &back, err)) return false;
    place_nodes(grid, x);
    memset(flags, CLM_POINT_EXTRAPOLATED, (size_t)n);
    memset(r, 0, (size_t)n * sizeof *r);
    for (int k = 0; k < root->n && missing > 0; k++) {
        place_nodes(grid, here);
        if (k > 0 && !clm_map_points(&back, w, n, x, step, err)) return false;
        for (int64_t i = 0; k > 0 && i < n; i++) lost[i] |= step[i] & CLM_POINT_UNSOLVED;
        memcpy(there, x, (size_t)n * sizeof *there);
        if (!repeat(&forth, root->n - k, w, n, here, step, err) ||
            !clm_map_points(root->whole, w, n, there, step, err))
            return false;
        for (int64_t i = 0; i < n; i++) {
            if (flags[i] != CLM_POINT_EXTRAPOLATED || lost[i] || step[i] & CLM_POINT_EXTRAPOLATED) continue;
            r[i] = (float)distance(here[i], there[i]);
            flags[i] = step[i] & CLM_POINT_UNSOLVED;
            missing--;
        }
    }
    return true;
}

bool clm_root_residual(const clm_root *root, const clm_vectors *v, const clm_work *w, const clm_vol *grid,
                       float **residual_um, uint8_t **flags, clm_err *err) {
    int64_t n = clm_vol_count(grid);
    *residual_um = clm_take(w->keep, float, n, err);
    *flags = *residual_um ? clm_take(w->keep, uint8_t, n, err) : NULL;
    if (!*flags) return false;
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = residual(root, v, w, grid, *residual_um, *flags, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}
