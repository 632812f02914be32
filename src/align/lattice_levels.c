/* What speeds the solve up: the same system on lattices of every second block. Where blocks are empty the lattice is a
 * bending plate, and plain conjugate gradients take as many steps as such a hole is wide in blocks, squared. */
#include "lattice_parts.h"

#include <string.h>

#define DAMPING 0.9 /* of a sweep of the blocks' own inverses; below 1 the cycle is symmetric and definite */
#define SWEEPS 2
#define NEAR \
    0.75 /* of a block's correction comes from the wide block it is part of, an axis; the rest from the next */

/** Of a lattice of shape[3], the one of every second block; false when it is a single block. */
static bool halve(const int64_t shape[3], int64_t out[3]) {
    for (int d = 0; d < 3; d++) out[d] = (shape[d] + 1) / 2;
    return shape[0] > 1 || shape[1] > 1 || shape[2] > 1;
}

static int64_t count(const int64_t shape[3]) { return shape[0] * shape[1] * shape[2]; }

int64_t clm_lattice_levels_bytes(const int64_t shape[3]) {
    int64_t at[3] = {shape[0], shape[1], shape[2]}, bytes = 0;
    while (halve(at, at)) {
        bytes += count(at) * (int64_t)(5 * sizeof(clm_quad) + sizeof(clm_moments) + sizeof(double));
        bytes += (at[0] + at[1] + at[2]) * (int64_t)sizeof(double);
    }
    return bytes;
}

/** A block's moments as if about a centre `d` before its own. */
static void shift(const clm_quad *a, double weight, const double d[4], clm_quad *to) {
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++)
            to->v[i][k] +=
                weight * (a->v[i][k] + d[i] * a->v[3][k] + d[k] * a->v[i][3] + d[i] * d[k] * a->v[3][3]);
}

/** The wide blocks' data are those of their parts. Bending costs on both what it does of one smooth field: its jumps
 *  grow with the square of the size, and the faces are fewer. */
static bool widen(const clm_work *w, const clm_lattice_level *fine, clm_lattice_level *wide, clm_err *err) {
    const clm_lattice_system *s = fine->system;
    const int64_t *shape = fine->grid.shape;
    double parts = 1.0;
    (void)halve(shape, wide->grid.shape);
    wide->own = *s;
    for (int d = 0; d < 3; d++) {
        int64_t n = wide->grid.shape[d];
        double *centre = clm_take(w->temp, double, n, err);
        if (!centre) return false;
        for (int64_t k = 0; k < n; k++) {
            int64_t last = 2 * k + 1 < shape[d] ? 2 * k + 1 : 2 * k;
            centre[k] = 0.5 * (fine->grid.centre[d][2 * k] + fine->grid.centre[d][last]);
        }
        double times = shape[d] > 1 ? 2.0 : 1.0;
        parts *= times;
        wide->grid.centre[d] = centre;
        wide->grid.size_um[d] = fine->grid.size_um[d] * times;
        wide->own.var[d] = s->var[d] * times * times;
    }
    wide->own.grid = &wide->grid;
    wide->own.stiff = s->stiff * parts / 16.0;
    wide->own.pull = s->pull * parts;
    wide->system = &wide->own;
    wide->n = count(wide->grid.shape);
    clm_moments *data = clm_take_zero(w->temp, clm_moments, wide->n, err);
    double *weight = data ? clm_take_zero(w->temp, double, wide->n, err) : NULL;
    clm_quad *quads = weight ? clm_take(w->temp, clm_quad, 5 * wide->n, err) : NULL;
    if (!quads) return false;
    wide->K = quads, wide->inverse = quads + wide->n, wide->r = quads + 2 * wide->n;
    wide->x = quads + 3 * wide->n, wide->t = quads + 4 * wide->n;
    int64_t at[3], b = 0;
    for (at[0] = 0; at[0] < shape[0]; at[0]++)
        for (at[1] = 0; at[1] < shape[1]; at[1]++)
            for (at[2] = 0; at[2] < shape[2]; at[2]++, b++) {
                if (!(s->weight[b] > 0)) continue;
                const int64_t up[3] = {at[0] / 2, at[1] / 2, at[2] / 2};
                int64_t to = clm_lattice_index(wide->grid.shape, up);
                double d[4] = {0};
                for (int i = 0; i < 3; i++) d[i] = fine->grid.centre[i][at[i]] - wide->grid.centre[i][up[i]];
                shift(&s->data[b].pp, s->weight[b], d, &data[to].pp);
                weight[to] = 1;
            }
    wide->own.data = data, wide->own.weight = weight;
    return clm_lattice_factor(wide->system, wide->K, wide->inverse) ||
           clm_fail(err, CLM_E_NUMERIC, "the affines of %lld blocks are not determined", (long long)fine->n);
}

bool clm_lattice_levels_open(const clm_work *w, clm_lattice_levels *l, clm_err *err) {
    int64_t shape[3];
    for (l->n = 1; halve(l->level[l->n - 1].grid.shape, shape); l->n++)
        if (!widen(w, &l->level[l->n - 1], &l->level[l->n], err)) return false;
    return true;
}

/** The wide blocks that block k of an axis is told by, and how much by each. */
static int told_by(int64_t k, int64_t wide, int64_t from[2], double share[2]) {
    int64_t next = k % 2 ? k / 2 + 1 : k / 2 - 1;
    from[0] = k / 2, share[0] = 1;
    if (next < 0 || next >= wide) return 1;
    from[1] = next, share[0] = NEAR, share[1] = 1 - NEAR;
    return 2;
}

/** Blocks' coefficients += those of the blended wide blocks (down), or wide blocks' residual = the transpose of that. */
static void between(const clm_lattice_level *fine, const clm_lattice_level *wide, bool down) {
    const int64_t *shape = fine->grid.shape;
    int64_t at[3], up[3], from[3][2], b = 0;
    double share[3][2], d[3];
    int n[3], k[3];
    if (!down) memset(wide->r, 0, (size_t)wide->n * sizeof *wide->r);
    for (at[0] = 0; at[0] < shape[0]; at[0]++)
        for (at[1] = 0; at[1] < shape[1]; at[1]++)
            for (at[2] = 0; at[2] < shape[2]; at[2]++, b++) {
                for (int i = 0; i < 3; i++) n[i] = told_by(at[i], wide->grid.shape[i], from[i], share[i]);
                for (k[0] = 0; k[0] < n[0]; k[0]++)
                    for (k[1] = 0; k[1] < n[1]; k[1]++)
                        for (k[2] = 0; k[2] < n[2]; k[2]++) {
                            double f = 1;
                            for (int i = 0; i < 3; i++) {
                                up[i] = from[i][k[i]], f *= share[i][k[i]];
                                d[i] = fine->grid.centre[i][at[i]] - wide->grid.centre[i][up[i]];
                                if (n[i] == 2)
                                    d[i] *= 0.5; /* between two: what is quadratic comes out right */
                            }
                            int64_t other = clm_lattice_index(wide->grid.shape, up);
                            clm_quad *to = down ? &fine->x[b] : &wide->r[other];
                            const clm_quad *x = down ? &wide->x[other] : &fine->t[b];
                            for (int c = 0; c < 4; c++) {
                                to->v[3][c] += f * x->v[3][c];
                                for (int i = 0; i < 3; i++) {
                                    to->v[i][c] += f * x->v[i][c];
                                    if (down)
                                        to->v[3][c] += f * d[i] * x->v[i][c];
                                    else
                                        to->v[i][c] += f * d[i] * x->v[3][c];
                                }
                            }
                        }
            }
}

/** t = r - A x */
static void residual(const clm_lattice_level *l) {
    clm_lattice_apply(l->system, l->K, l->x, l->t);
    for (int64_t b = 0; b < l->n; b++)
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < 4; c++) l->t[b].v[i][c] = l->r[b].v[i][c] - l->t[b].v[i][c];
}

static void sweep(const clm_lattice_level *l) {
    clm_quad step;
    residual(l);
    for (int64_t b = 0; b < l->n; b++) {
        clm_lattice_multiply(&l->inverse[b], &l->t[b], &step);
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < 4; c++) l->x[b].v[i][c] += DAMPING * step.v[i][c];
    }
}

static void cycle(const clm_lattice_levels *all, int k) {
    const clm_lattice_level *l = &all->level[k];
    const double first = k + 1 < all->n ? DAMPING : 1; /* a single block is solved */
    for (int64_t b = 0; b < l->n; b++) {
        clm_lattice_multiply(&l->inverse[b], &l->r[b], &l->x[b]);
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < 4; c++) l->x[b].v[i][c] *= first;
    }
    if (k + 1 == all->n) return;
    for (int i = 1; i < SWEEPS; i++) sweep(l);
    residual(l);
    between(l, l + 1, false);
    cycle(all, k + 1);
    between(l, l + 1, true);
    for (int i = 0; i < SWEEPS; i++) sweep(l);
}

void clm_lattice_levels_solve(const clm_lattice_levels *l) { cycle(l, 0); }
