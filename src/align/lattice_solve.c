#include "collimate/base/simd.h"
#include "lattice_parts.h"

#include <math.h>
#include <string.h>

#define MOST_STEPS 2000
#define TOLERANCE 1e-10 /* of the preconditioned residual, against that of x = 0 */

void clm_lattice_face(const double var[3], int d, double gap, int sign_a, int sign_b, clm_quad *out) {
    /* p = (y + h e_d, 1) for a point y about the middle of the box, h = +- gap / 2 */
    double ha = 0.5 * gap * sign_a, hb = 0.5 * gap * sign_b;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 3; i++) out->v[i][i] = var[i];
    out->v[d][d] += ha * hb;
    out->v[d][3] = ha;
    out->v[3][d] = hb;
    out->v[3][3] = 1;
}

double clm_lattice_residual(const clm_moments *b, const clm_quad *x) {
    double sum = b->uu;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 4; i++) {
            double t = -2 * b->pu.v[i][c];
            for (int k = 0; k < 4; k++) t += b->pp.v[i][k] * x->v[k][c];
            sum += x->v[i][c] * t;
        }
    return sum > 0 ? sum : 0;
}

/* a -= f b, inlined into each clone */
static inline void take_off(double *restrict a, double f, const double *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) a[i] -= f * b[i];
}

CLM_CLONES bool clm_lattice_dense(int64_t n, double *a, int64_t cols, double *b, int64_t first) {
    for (int64_t k = 0; k < n; k++) { /* upper factor by rows: every inner loop is contiguous */
        double *row = a + k * n, pivot = row[k];
        if (!(pivot > 0) || !isfinite(pivot)) return false;
        double scale = 1 / sqrt(pivot);
        int64_t end = n; /* few of a row are not zero */
        while (row[end - 1] == 0) end--;
        for (int64_t j = k; j < end; j++) row[j] *= scale;
        for (int64_t c = 0; c < cols; c++) b[k * cols + c] *= scale;
        for (int64_t i = k + 1; i < end; i++) {
            if (row[i] == 0) continue;
            take_off(a + i * n + i, row[i], row + i, end - i);
            take_off(b + i * cols, row[i], b + k * cols, cols);
        }
    }
    for (int64_t k = n - 1; k >= first; k--) {
        for (int64_t j = k + 1; j < n; j++)
            if (a[k * n + j] != 0) take_off(b + k * cols, a[k * n + j], b + j * cols, cols);
        for (int64_t c = 0; c < cols; c++) b[k * cols + c] /= a[k * n + k];
    }
    return true;
}

static void add_scaled(double f, const clm_quad *a, clm_quad *to) {
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) to->v[i][k] += f * a->v[i][k];
}

/** The diagonal block: data, pull, and the part of every face that is its own. */
static void diagonal(const clm_lattice_system *s, const int64_t at[3], clm_quad *out) {
    int64_t b = clm_lattice_index(s->grid->shape, at);
    clm_quad face;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 3; i++) out->v[i][i] = s->pull * s->var[i];
    out->v[3][3] = s->pull;
    if (s->weight[b] > 0) add_scaled(s->weight[b], &s->data[b].pp, out);
    for (int d = 0; d < 3; d++) {
        const double *c = s->grid->centre[d];
        if (at[d] + 1 < s->grid->shape[d]) {
            clm_lattice_face(s->var, d, c[at[d] + 1] - c[at[d]], 1, 1, &face);
            add_scaled(s->stiff, &face, out);
        }
        if (at[d] > 0) {
            clm_lattice_face(s->var, d, c[at[d]] - c[at[d] - 1], -1, -1, &face);
            add_scaled(s->stiff, &face, out);
        }
    }
}

/** to -= stiff * (mean of p_a p_b') x, written out: clm_lattice_face has few entries. sign: +1 when b follows a. */
static void subtract_face(const clm_lattice_system *s, int d, double gap, int sign, const clm_quad *x,
                          clm_quad *to) {
    double h = 0.5 * gap * sign;
    for (int c = 0; c < 4; c++) {
        double slope = x->v[d][c], value = x->v[3][c];
        for (int i = 0; i < 3; i++) to->v[i][c] -= s->stiff * s->var[i] * x->v[i][c];
        to->v[d][c] -= s->stiff * (h * value - h * h * slope);
        to->v[3][c] -= s->stiff * (value - h * slope);
    }
}

void clm_lattice_multiply(const clm_quad *a, const clm_quad *x, clm_quad *out) {
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 4; c++)
            out->v[i][c] = (a->v[i][0] * x->v[0][c] + a->v[i][1] * x->v[1][c]) +
                           (a->v[i][2] * x->v[2][c] + a->v[i][3] * x->v[3][c]);
}

void clm_lattice_apply(const clm_lattice_system *s, const clm_quad *K, const clm_quad *x, clm_quad *out) {
    const int64_t *n = s->grid->shape, step[3] = {n[1] * n[2], n[2], 1};
    int64_t at[3], b = 0;
    for (at[0] = 0; at[0] < n[0]; at[0]++)
        for (at[1] = 0; at[1] < n[1]; at[1]++)
            for (at[2] = 0; at[2] < n[2]; at[2]++, b++) {
                clm_lattice_multiply(&K[b], &x[b], &out[b]);
                for (int d = 0; d < 3; d++) {
                    const double *c = s->grid->centre[d] + at[d];
                    if (at[d] > 0) subtract_face(s, d, c[0] - c[-1], -1, &x[b - step[d]], &out[b]);
                    if (at[d] + 1 < n[d]) subtract_face(s, d, c[1] - c[0], 1, &x[b + step[d]], &out[b]);
                }
            }
}

static void dots(const clm_quad *a, const clm_quad *b, int64_t n, double out[3]) {
    for (int c = 0; c < 3; c++) out[c] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            for (int c = 0; c < 3; c++) out[c] += a[i].v[k][c] * b[i].v[k][c];
}

bool clm_lattice_factor(const clm_lattice_system *s, clm_quad *K, clm_quad *inverse) {
    const int64_t *n = s->grid->shape;
    int64_t at[3], b = 0;
    for (at[0] = 0; at[0] < n[0]; at[0]++)
        for (at[1] = 0; at[1] < n[1]; at[1]++)
            for (at[2] = 0; at[2] < n[2]; at[2]++, b++) {
                clm_quad a;
                diagonal(s, at, &K[b]);
                a = K[b];
                memset(&inverse[b], 0, sizeof inverse[b]);
                for (int i = 0; i < 4; i++) inverse[b].v[i][i] = 1;
                if (!clm_lattice_dense(4, &a.v[0][0], 4, &inverse[b].v[0][0], 0)) return false;
            }
    return true;
}

/** Three right-hand sides side by side, each with its own steps; a column that has converged rests. */
static bool iterate(const clm_lattice_levels *levels, clm_quad *d, clm_quad *x, int32_t *iterations) {
    const clm_lattice_level *l = &levels->level[0];
    const clm_lattice_system *s = l->system;
    const int64_t n = l->n;
    clm_quad *r = l->r, *z = l->x, *Ad = l->t;
    double rz[3], first[3], dAd[3], next[3];
    for (int64_t b = 0; b < n; b++) {
        memset(&x[b], 0, sizeof x[b]);
        memset(&r[b], 0, sizeof r[b]);
        if (s->weight[b] > 0) add_scaled(s->weight[b], &s->data[b].pu, &r[b]);
    }
    clm_lattice_levels_solve(levels);
    memcpy(d, z, (size_t)n * sizeof *d);
    dots(r, z, n, first);
    memcpy(rz, first, sizeof rz);
    for (*iterations = 0; *iterations < MOST_STEPS; ++*iterations) {
        double alpha[4] = {0}, beta[4] = {0};
        bool done = true;
        clm_lattice_apply(s, l->K, d, Ad);
        dots(d, Ad, n, dAd);
        for (int c = 0; c < 3; c++) {
            bool on = rz[c] > TOLERANCE * TOLERANCE * first[c] && dAd[c] > 0;
            if (on) alpha[c] = rz[c] / dAd[c], done = false;
        }
        if (done) return true;
        for (int64_t b = 0; b < n; b++)
            for (int k = 0; k < 4; k++)
                for (int c = 0; c < 4; c++) {
                    x[b].v[k][c] += alpha[c] * d[b].v[k][c];
                    r[b].v[k][c] -= alpha[c] * Ad[b].v[k][c];
                }
        clm_lattice_levels_solve(levels);
        dots(r, z, n, next);
        for (int c = 0; c < 3; c++) beta[c] = alpha[c] != 0 ? next[c] / rz[c] : 0, rz[c] = next[c];
        for (int64_t b = 0; b < n; b++)
            for (int k = 0; k < 4; k++)
                for (int c = 0; c < 4; c++) d[b].v[k][c] = z[b].v[k][c] + beta[c] * d[b].v[k][c];
    }
    return false;
}

bool clm_lattice_solve(const clm_work *w, const clm_lattice_system *s, clm_quad *x, int32_t *iterations,
                       clm_err *err) {
    const int64_t *shape = s->grid->shape, n = shape[0] * shape[1] * shape[2];
    clm_mark mark = clm_arena_mark(w->temp);
    clm_quad *block = clm_take(w->temp, clm_quad, 6 * n, err);
    if (!block) return false;
    clm_lattice_levels levels = {.n = 1};
    levels.level[0] = (clm_lattice_level){.grid = *s->grid,
                                          .system = s,
                                          .n = n,
                                          .K = block,
                                          .inverse = block + n,
                                          .r = block + 2 * n,
                                          .x = block + 3 * n,
                                          .t = block + 4 * n};
    *iterations = 0;
    bool ok = clm_lattice_factor(s, block, block + n) ||
              clm_fail(err, CLM_E_NUMERIC, "the affines of %lld blocks are not determined", (long long)n);
    ok = ok && clm_lattice_levels_open(w, &levels, err);
    if (ok && !iterate(&levels, block + 5 * n, x, iterations))
        ok = clm_fail(err, CLM_E_NUMERIC, "the affines of %lld blocks did not settle in %d iterations",
                      (long long)n, (int)*iterations);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

/** The system of the blocks [lo, hi) alone, without the matches of `left_out`, dense; size 4 a block. */
static void assemble(const clm_lattice_system *s, const int64_t lo[3], const int64_t hi[3], int64_t left_out,
                     int64_t n, double *a, double *rhs) {
    const int64_t shape[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    const int64_t step[3] = {shape[1] * shape[2], shape[2], 1};
    int64_t at[3], row = 0;
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    memset(rhs, 0, (size_t)(n * 8) * sizeof *rhs);
    for (at[0] = lo[0]; at[0] < hi[0]; at[0]++)
        for (at[1] = lo[1]; at[1] < hi[1]; at[1]++)
            for (at[2] = lo[2]; at[2] < hi[2]; at[2]++, row++) {
                int64_t b = clm_lattice_index(s->grid->shape, at);
                double f = b == left_out ? 0 : s->weight[b];
                clm_quad K, face;
                memset(&K, 0, sizeof K);
                for (int i = 0; i < 3; i++) K.v[i][i] = s->pull * s->var[i];
                K.v[3][3] = s->pull;
                if (f > 0) add_scaled(f, &s->data[b].pp, &K);
                for (int d = 0; d < 3; d++)
                    for (int side = -1; side < 2; side += 2) {
                        if (at[d] + side < lo[d] || at[d] + side >= hi[d]) continue;
                        const double *c = s->grid->centre[d] + at[d];
                        double gap = side > 0 ? c[1] - c[0] : c[0] - c[-1];
                        clm_lattice_face(s->var, d, gap, side, side, &face);
                        add_scaled(s->stiff, &face, &K);
                        if (side < 0) continue;
                        clm_lattice_face(s->var, d, gap, 1, -1, &face);
                        for (int i = 0; i < 4; i++) /* the upper triangle is what the factor reads */
                            for (int k = 0; k < 4; k++)
                                a[(4 * row + i) * n + 4 * (row + step[d]) + k] = -s->stiff * face.v[i][k];
                    }
                for (int i = 0; i < 4; i++) {
                    memcpy(a + (4 * row + i) * n + 4 * row, K.v[i], sizeof K.v[i]);
                    for (int c = 0; c < 3 && f > 0; c++)
                        rhs[(4 * row + i) * 8 + c] = f * s->data[b].pu.v[i][c];
                    if (b == left_out) rhs[(4 * row + i) * 8 + 4 + i] = 1;
                }
            }
}

bool clm_lattice_predict(const clm_lattice_system *s, int64_t b, double *scratch, clm_quad *x,
                         clm_quad *covariance) {
    const int64_t *shape = s->grid->shape;
    const int64_t at[3] = {b / (shape[1] * shape[2]), b / shape[2] % shape[1], b % shape[2]};
    int64_t lo[3], hi[3];
    for (int d = 0; d < 3; d++) {
        lo[d] = at[d] > 0 ? at[d] - 1 : 0;
        hi[d] = at[d] + 2 < shape[d] ? at[d] + 2 : shape[d];
    }
    const int64_t size[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]},
                  n = 4 * size[0] * size[1] * size[2];
    const int64_t own[3] = {at[0] - lo[0], at[1] - lo[1], at[2] - lo[2]};
    double *rhs = scratch + n * n;
    assemble(s, lo, hi, b, n, scratch, rhs);
    const int64_t mine = 4 * clm_lattice_index(size, own);
    if (!clm_lattice_dense(n, scratch, 8, rhs, mine)) return false;
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 4; c++)
            x->v[i][c] = c < 3 ? rhs[(mine + i) * 8 + c] : 0,
            covariance->v[i][c] = rhs[(mine + i) * 8 + 4 + c];
    return true;
}
