#include "collimate/image/jacobian.h"

#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

#define LANE CLM_JACOBIAN_LANE
#define BINS CLM_JACOBIAN_BINS
#define PER_UNIT 512.0 /* histogram: bins a unit of det(I + grad u), from 0 to 4 */

/* slopes of x + u along one axis of the cell, at its four edges: [upper of the second other axis][upper of the
 * first][component] */
typedef float edges[2][2][3][LANE];

CLM_CLONES static void edge_slope(const float *restrict from, int64_t step, float per_um, float own, int n,
                                  float *restrict out) {
    for (int i = 0; i < n; i++) out[i] = own + per_um * (from[i + step] - from[i]);
}

/* the slopes along axis d; an axis of one node keeps its own unit slope and no other */
static void cell_edges(const clm_field *f, int64_t at, int d, int n, edges out) {
    const int64_t step[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    int p = d == 0 ? 1 : 0, q = d == 2 ? 1 : 2; /* the two other axes, p < q */
    int64_t up = f->shape[d] > 1 ? step[d] : 0;
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++)
            for (int c = 0; c < 3; c++) {
                int64_t on = at + (f->shape[p] > 1 ? a * step[p] : 0) + (f->shape[q] > 1 ? b * step[q] : 0);
                edge_slope(f->u[c] + on, up, (float)(1.0 / f->spacing[d]), c == d ? 1.0f : 0.0f, n,
                           out[a][b][c]);
            }
}

CLM_CLONES static void cross(const float a[restrict 3][LANE], const float b[restrict 3][LANE], int n,
                             float out[restrict 3][LANE]) {
    for (int i = 0; i < n; i++) {
        out[0][i] = a[1][i] * b[2][i] - a[2][i] * b[1][i];
        out[1][i] = a[2][i] * b[0][i] - a[0][i] * b[2][i];
        out[2][i] = a[0][i] * b[1][i] - a[1][i] * b[0][i];
    }
}

CLM_CLONES static void add_dot(const float a[restrict 3][LANE], const float b[restrict 3][LANE], float by,
                               int n, float *restrict out) {
    for (int i = 0; i < n; i++) out[i] += by * (a[0][i] * b[0][i] + a[1][i] * b[1][i] + a[2][i] * b[2][i]);
}

CLM_CLONES static void extremes(const float v[restrict 27][LANE], int n, float *restrict lo,
                                float *restrict hi) {
    for (int i = 0; i < n; i++) lo[i] = v[0][i], hi[i] = v[0][i];
    for (int q = 1; q < 27; q++)
        for (int i = 0; i < n; i++) {
            lo[i] = v[q][i] < lo[i] ? v[q][i] : lo[i];
            hi[i] = v[q][i] > hi[i] ? v[q][i] : hi[i];
        }
    for (int q = 0; q < 27; q++) /* comparisons lose a NaN: bring it back */
        for (int i = 0; i < n; i++) {
            lo[i] = v[q][i] == v[q][i] ? lo[i] : v[q][i];
            hi[i] = v[q][i] == v[q][i] ? hi[i] : v[q][i];
        }
}

/* Bernstein coefficients of the determinant, degree 2 an axis: [z][y][x]. The slope along z is linear in y and
 * x, and so on; a product of two linear Bernstein forms adds their indices, and the middle coefficient is
 * the mean of its two products. */
static void bernstein(const clm_field *f, int64_t at, int n, float coef[27][LANE]) {
    edges along_z, along_y, along_x; /* [y][x], [z][x], [z][y] */
    float normal[3][LANE];
    cell_edges(f, at, 0, n, along_z);
    cell_edges(f, at, 1, n, along_y);
    cell_edges(f, at, 2, n, along_x);
    memset(coef, 0, 27 * LANE * sizeof(float));
    for (int m = 0; m < 16; m++) {
        int z1 = m & 1, x1 = m >> 1 & 1, z2 = m >> 2 & 1, y2 = m >> 3 & 1, z = z1 + z2;
        cross((const float(*)[LANE])along_y[z1][x1], (const float(*)[LANE])along_x[z2][y2], n, normal);
        for (int e = 0; e < 4; e++) {
            int y1 = e & 1, x2 = e >> 1, y = y1 + y2, x = x1 + x2;
            float by = (z == 1 ? 0.5f : 1.0f) * (y == 1 ? 0.5f : 1.0f) * (x == 1 ? 0.5f : 1.0f);
            add_dot((const float(*)[LANE])along_z[y1][x2], (const float(*)[LANE])normal, by, n,
                    coef[(z * 3 + y) * 3 + x]);
        }
    }
}

void clm_jacobian_cells(const clm_field *f, int64_t k, int64_t j, int64_t i, int64_t n, float *lo,
                        float *hi) {
    float coef[27][LANE], most[LANE];
    for (int64_t done = 0; done < n; done += LANE) {
        int m = (int)(n - done < LANE ? n - done : LANE);
        bernstein(f, (k * f->shape[1] + j) * f->shape[2] + i + done, m, coef);
        extremes((const float(*)[LANE])coef, m, lo + done, most);
        if (hi) memcpy(hi + done, most, (size_t)m * sizeof(float));
    }
}

/* of a row of parallel edges: longest[i] = max(longest[i], |slope of u|^2); odd is not finite if any of them is not */
CLM_CLONES static void lengths(const float *restrict z, const float *restrict y, const float *restrict x,
                               int64_t step, float per_um, int n, float *restrict longest,
                               float *restrict odd) {
    for (int i = 0; i < n; i++) {
        float a = per_um * (z[i + step] - z[i]), b = per_um * (y[i + step] - y[i]),
              c = per_um * (x[i + step] - x[i]);
        float square = a * a + b * b + c * c;
        longest[i] = square > longest[i] ? square : longest[i];
        odd[i] += 0.0f * square;
    }
}

bool clm_jacobian_clear(const clm_field *f, int64_t k, int64_t j, int64_t i, int64_t n, double floor) {
    /* the bounds are means of determinants with one edge's slope for each axis; 1e-3 for rounding */
    const double least = cbrt(fmax(floor, 0.0) + 1e-3), norm = 1.0 - least;
    const int64_t step[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    const int64_t at = (k * f->shape[1] + j) * f->shape[2] + i;
    float sum[LANE] = {0}, odd[LANE] = {0};
    for (int d = 0; d < 3; d++) {
        if (f->shape[d] < 2) continue;
        int p = d == 0 ? 1 : 0, q = d == 2 ? 1 : 2;
        float longest[LANE] = {0};
        for (int e = 0; e < 4; e++) {
            int64_t on =
                at + (f->shape[p] > 1 ? (e & 1) * step[p] : 0) + (f->shape[q] > 1 ? (e >> 1) * step[q] : 0);
            lengths(f->u[0] + on, f->u[1] + on, f->u[2] + on, step[d], (float)(1.0 / f->spacing[d]), (int)n,
                    longest, odd);
        }
        for (int64_t x = 0; x < n; x++) sum[x] += longest[x];
    }
    bool clear = norm > 0.0;
    for (int64_t x = 0; x < n; x++) clear &= sum[x] + odd[x] <= (float)(norm * norm);
    return clear;
}

/* the degree-2 form at the middle of its cell */
static double centre_of(const float coef[27][LANE], int i) {
    static const double middle[3] = {0.25, 0.5, 0.25};
    double v = 0.0;
    for (int q = 0; q < 27; q++) v += middle[q / 9] * middle[q / 3 % 3] * middle[q % 3] * (double)coef[q][i];
    return v;
}

static void count_lane(clm_jacobian_sums *t, const float coef[27][LANE], int n, float *centres) {
    float lo[LANE], hi[LANE];
    extremes(coef, n, lo, hi);
    for (int i = 0; i < n; i++) {
        double centre = centre_of(coef, i), worst = centre;
        for (int q = 0; q < 8; q++)
            worst = fmin(worst, (double)coef[(q >> 2) * 18 + (q >> 1 & 1) * 6 + (q & 1) * 2][i]);
        t->broken += !isfinite(lo[i]) || !isfinite(hi[i]);
        t->lo = t->cells ? fmin(t->lo, (double)lo[i]) : (double)lo[i];
        t->hi = t->cells ? fmax(t->hi, (double)hi[i]) : (double)hi[i];
        t->least = t->cells ? fmin(t->least, centre) : centre;
        t->most = t->cells ? fmax(t->most, centre) : centre;
        t->sum += centre;
        if (centres) centres[i] = (float)centre;
        t->folds += !(lo[i] > 0.0f);
        t->folded += !(worst > 0.0);
        double bin = centre * PER_UNIT;
        t->bin[bin > 0 ? bin < BINS - 1 ? (int)bin : BINS - 1 : 0]++;
        t->cells++;
    }
}

static double percentile(const clm_jacobian_sums *t, double share) {
    int64_t below = (int64_t)(share * (double)t->cells), seen = 0;
    for (int b = 0; b < BINS; b++) {
        seen += t->bin[b];
        if (seen > below) return ((double)b + 0.5) / PER_UNIT;
    }
    return (double)BINS / PER_UNIT;
}

void clm_jacobian_add(const clm_field *f, clm_jacobian_sums *s, float *centre) {
    int64_t n[3];
    float coef[27][LANE];
    for (int d = 0; d < 3; d++) n[d] = clm_jacobian_cell_count(f->shape[d]);
    for (int64_t k = 0; k < n[0]; k++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t i = 0; i < n[2]; i += LANE) {
                int m = (int)(n[2] - i < LANE ? n[2] - i : LANE);
                bernstein(f, (k * f->shape[1] + j) * f->shape[2] + i, m, coef);
                count_lane(s, (const float(*)[LANE])coef, m,
                           centre ? centre + (k * n[1] + j) * n[2] + i : NULL);
            }
}

void clm_jacobian_merge(clm_jacobian_sums *into, const clm_jacobian_sums *part) {
    if (!part->cells) return;
    into->lo = into->cells ? fmin(into->lo, part->lo) : part->lo;
    into->hi = into->cells ? fmax(into->hi, part->hi) : part->hi;
    into->least = into->cells ? fmin(into->least, part->least) : part->least;
    into->most = into->cells ? fmax(into->most, part->most) : part->most;
    into->sum += part->sum;
    into->cells += part->cells;
    into->folds += part->folds;
    into->folded += part->folded;
    into->broken += part->broken;
    for (int i = 0; i < BINS; i++) into->bin[i] += part->bin[i];
}

bool clm_jacobian_conclude(const clm_affine *A, const clm_jacobian_sums *s, clm_jacobian_stats *out,
                           clm_err *err) {
    static const double share[5] = {0.001, 0.01, 0.5, 0.99, 0.999};
    double det = clm_affine_det(A);
    *out = (clm_jacobian_stats){0};
    if (!isfinite(det)) return clm_fail(err, CLM_E_NUMERIC, "the affine's determinant is not finite");
    if (!s) {
        *out = (clm_jacobian_stats){.min = det,
                                    .max = det,
                                    .least = det,
                                    .most = det,
                                    .mean = det,
                                    .cells = 1,
                                    .folds = det <= 0,
                                    .folded = det <= 0};
        for (int i = 0; i < 5; i++) out->percentile[i] = det;
        return true;
    }
    if (!s->cells) return clm_fail(err, CLM_E_NODATA, "a field without cells");
    if (s->broken) return clm_fail(err, CLM_E_NUMERIC, "the field's determinant is not finite");
    bool flip = det < 0;
    *out = (clm_jacobian_stats){.min = det * (flip ? s->hi : s->lo),
                                .max = det * (flip ? s->lo : s->hi),
                                .least = det * (flip ? s->most : s->least),
                                .most = det * (flip ? s->least : s->most),
                                .mean = det * s->sum / (double)s->cells,
                                .cells = s->cells,
                                .folds = s->folds,
                                .folded = s->folded};
    for (int i = 0; i < 5; i++) out->percentile[flip ? 4 - i : i] = det * percentile(s, share[i]);
    return true;
}

bool clm_jacobian_measure(const clm_work *w, const clm_affine *A, const clm_field *f, clm_jacobian_stats *out,
                          clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_jacobian_sums *s = f ? clm_take_zero(w->temp, clm_jacobian_sums, 1, err) : NULL;
    if (f && !s) return false;
    if (f) clm_jacobian_add(f, s, NULL);
    bool ok = clm_jacobian_conclude(A, s, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

double clm_jacobian_min(const clm_affine *A, const clm_field *f) {
    double det = clm_affine_det(A), least = INFINITY;
    float lo[LANE], hi[LANE];
    if (!f) return det;
    int64_t n[3];
    for (int d = 0; d < 3; d++) n[d] = clm_jacobian_cell_count(f->shape[d]);
    for (int64_t k = 0; k < n[0]; k++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t i = 0; i < n[2]; i += LANE) {
                int64_t m = n[2] - i < LANE ? n[2] - i : LANE;
                clm_jacobian_cells(f, k, j, i, m, lo, hi);
                for (int64_t x = 0; x < m; x++) {
                    double v = det * (double)(det < 0 ? hi[x] : lo[x]);
                    if (!(v == v)) return NAN;
                    least = v < least ? v : least;
                }
            }
    return least;
}

double clm_jacobian_at(const clm_affine *A, const clm_field *f, const double x[3]) {
    double g[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    for (int d = 0; f && d < 3; d++) {
        /* u is linear along d inside its cell: the slope between the cell's two faces is exact */
        double at = (x[d] - f->origin[d]) / f->spacing[d], cell = floor(at);
        if (cell < 0 || cell >= (double)(f->shape[d] - 1)) continue;
        double a[3] = {x[0], x[1], x[2]}, b[3] = {x[0], x[1], x[2]}, ua[3], ub[3];
        a[d] = f->origin[d] + cell * f->spacing[d];
        b[d] = f->origin[d] + (cell + 1.0) * f->spacing[d];
        clm_field_at(f, a, ua);
        clm_field_at(f, b, ub);
        for (int c = 0; c < 3; c++) g[c][d] += (ub[c] - ua[c]) / f->spacing[d];
    }
    return clm_affine_det(A) * (g[0][0] * (g[1][1] * g[2][2] - g[1][2] * g[2][1]) -
                                g[0][1] * (g[1][0] * g[2][2] - g[1][2] * g[2][0]) +
                                g[0][2] * (g[1][0] * g[2][1] - g[1][1] * g[2][0]));
}
