#include "collimate/align/lattice.h"

#include <math.h>

/** Between which centres a coordinate lies, and the blend of the upper one. */
typedef struct spot {
    int64_t lower, upper;
    double share; /* of upper, 0 to 1 */
    double x;     /* the coordinate, held within a block's size of the outermost centres */
} spot;

static spot locate(const double *centre, int64_t n, double size, double x, int64_t from) {
    spot s = {.x = fmax(centre[0] - size, fmin(centre[n - 1] + size, x))};
    while (from + 1 < n && s.x >= centre[from + 1]) from++;
    while (from > 0 && s.x < centre[from]) from--;
    s.lower = s.upper = from;
    if (from + 1 < n && s.x > centre[from]) {
        double t = (s.x - centre[from]) / (centre[from + 1] - centre[from]);
        s.upper = from + 1;
        s.share = t * t * (3 - 2 * t);
    }
    return s;
}

/** A column of blocks blended over z and y: u = value + slope * (x - centre of the column). */
typedef struct column {
    double value[3], slope[3];
} column;

static column blend(const clm_lattice *l, const spot *z, const spot *y, int64_t i) {
    column c = {{0}, {0}};
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            double share = (a ? z->share : 1 - z->share) * (b ? y->share : 1 - y->share);
            if (share == 0) continue;
            int64_t k = a ? z->upper : z->lower, j = b ? y->upper : y->lower;
            const double(*m)[4] = (const double(*)[4])l->m[(k * l->shape[1] + j) * l->shape[2] + i];
            double dz = z->x - l->centre[0][k], dy = y->x - l->centre[1][j];
            for (int d = 0; d < 3; d++) {
                c.value[d] += share * (m[d][0] * dz + m[d][1] * dy + m[d][3]);
                c.slope[d] += share * m[d][2];
            }
        }
    return c;
}

static void evaluate(const clm_lattice *l, const spot *x, const column c[2], double u[3]) {
    double lower = x->x - l->centre[2][x->lower], upper = x->x - l->centre[2][x->upper];
    for (int d = 0; d < 3; d++)
        u[d] = (1 - x->share) * (c[0].value[d] + c[0].slope[d] * lower) +
               x->share * (c[1].value[d] + c[1].slope[d] * upper);
}

clm_affine clm_lattice_affine(const clm_lattice *l, const clm_affine *A, int64_t b) {
    const double(*m)[4] = (const double(*)[4])l->m[b];
    const double c[3] = {l->centre[0][b / (l->shape[1] * l->shape[2])],
                         l->centre[1][b / l->shape[2] % l->shape[1]], l->centre[2][b % l->shape[2]]};
    clm_affine shift = CLM_AFFINE_IDENTITY; /* x + u(x) */
    for (int i = 0; i < 3; i++) {
        shift.m[i][3] = m[i][3];
        for (int k = 0; k < 3; k++) {
            shift.m[i][k] += m[i][k];
            shift.m[i][3] -= m[i][k] * c[k];
        }
    }
    return clm_affine_compose(A, &shift);
}

void clm_lattice_at(const clm_lattice *l, const double x[3], double u[3]) {
    spot s[3];
    for (int d = 0; d < 3; d++) s[d] = locate(l->centre[d], l->shape[d], l->size_um[d], x[d], 0);
    const column c[2] = {blend(l, &s[0], &s[1], s[2].lower), blend(l, &s[0], &s[1], s[2].upper)};
    evaluate(l, &s[2], c, u);
}

clm_affine clm_lattice_tangent(const clm_lattice *l, const clm_affine *A, const double x[3]) {
    clm_affine shift = CLM_AFFINE_IDENTITY;
    double u[3];
    clm_lattice_at(l, x, u);
    for (int i = 0; i < 3; i++) shift.m[i][3] = u[i];
    for (int k = 0; k < 3; k++) {
        /* central differences: u is piecewise of fourth degree in each coordinate, smooth over a thousandth of a block */
        double h = 1e-3 * l->size_um[k], up[3], down[3], at[3] = {x[0], x[1], x[2]};
        at[k] = x[k] + h;
        clm_lattice_at(l, at, up);
        at[k] = x[k] - h;
        clm_lattice_at(l, at, down);
        for (int i = 0; i < 3; i++) {
            double slope = (up[i] - down[i]) / (2 * h);
            shift.m[i][k] += slope;
            shift.m[i][3] -= slope * x[k];
        }
    }
    return clm_affine_compose(A, &shift);
}

void clm_lattice_field(const clm_lattice *l, clm_field *out) {
    int64_t at = 0;
    spot z = {0}, y = {0}, x = {0};
    for (int64_t k = 0; k < out->shape[0]; k++) {
        z = locate(l->centre[0], l->shape[0], l->size_um[0], out->origin[0] + out->spacing[0] * (double)k,
                   z.lower);
        for (int64_t j = 0; j < out->shape[1]; j++) {
            y = locate(l->centre[1], l->shape[1], l->size_um[1], out->origin[1] + out->spacing[1] * (double)j,
                       y.lower);
            column c[2];
            int64_t held[2] = {-1, -1}; /* columns in c */
            for (int64_t i = 0; i < out->shape[2]; i++, at++) {
                double u[3];
                x = locate(l->centre[2], l->shape[2], l->size_um[2],
                           out->origin[2] + out->spacing[2] * (double)i, x.lower);
                if (held[0] != x.lower || held[1] != x.upper) {
                    held[0] = x.lower, held[1] = x.upper;
                    c[0] = blend(l, &z, &y, held[0]);
                    c[1] = blend(l, &z, &y, held[1]);
                }
                evaluate(l, &x, c, u);
                for (int d = 0; d < 3; d++) out->u[d][at] = (float)u[d];
            }
        }
    }
}
