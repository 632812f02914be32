#include "collimate/core/buckets.h"

#include <math.h>
#include <string.h>

/** The cell index along axis d, clamped to the grid. */
static int64_t cell_along(const clm_buckets *c, int d, double x) {
    double t = floor((x - c->lo[d]) / c->size_um);
    if (!(t > 0)) return 0;
    return t >= (double)c->shape[d] ? c->shape[d] - 1 : (int64_t)t;
}

static int64_t cell_of(const clm_buckets *c, const double x[3]) {
    return (cell_along(c, 0, x[0]) * c->shape[1] + cell_along(c, 1, x[1])) * c->shape[2] +
           cell_along(c, 2, x[2]);
}

/** Lay the grid over the points; sides double until there are at most 4 cells a point. */
static bool lay_grid(clm_buckets *c, int64_t n, clm_err *err) {
    double hi[3];
    for (int d = 0; d < 3; d++) c->lo[d] = hi[d] = n ? c->pos[0][d] : 0;
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 3; d++) {
            if (!isfinite(c->pos[i][d]))
                return clm_fail(err, CLM_E_ARG, "point %lld is not finite", (long long)i);
            c->lo[d] = fmin(c->lo[d], c->pos[i][d]);
            hi[d] = fmax(hi[d], c->pos[i][d]);
        }
    for (int d = 0; d < 3; d++)
        if (!isfinite(hi[d] - c->lo[d]))
            return clm_fail(err, CLM_E_ARG, "points lie from %g to %g um", c->lo[d], hi[d]);
    for (;; c->size_um *= 2) {
        double cells = 1;
        for (int d = 0; d < 3; d++) cells *= floor((hi[d] - c->lo[d]) / c->size_um) + 1;
        if (cells <= 4.0 * (double)n + 64) break;
    }
    for (int d = 0; d < 3; d++) c->shape[d] = (int64_t)floor((hi[d] - c->lo[d]) / c->size_um) + 1;
    return true;
}

bool clm_buckets_new(clm_arena *a, int64_t n, const double (*pos)[3], double size_um, clm_buckets *out,
                     clm_err *err) {
    if (!(size_um > 0) || !isfinite(size_um) || n < 0 || n > INT32_MAX)
        return clm_fail(err, CLM_E_ARG, "%lld points in cells of %g um", (long long)n, size_um);
    clm_buckets c = {.pos = pos, .size_um = size_um};
    if (!lay_grid(&c, n, err)) return false;
    int64_t cells = c.shape[0] * c.shape[1] * c.shape[2];
    c.first = clm_take_zero(a, int32_t, cells + 1, err);
    if (!c.first) return false;
    c.item = clm_take(a, int32_t, n, err);
    if (!c.item) return false;
    for (int64_t i = 0; i < n; i++) c.first[cell_of(&c, pos[i])]++;
    int32_t end = 0;
    for (int64_t i = 0; i <= cells; i++) c.first[i] = end += c.first[i];
    for (int64_t i = n - 1; i >= 0; i--) c.item[--c.first[cell_of(&c, pos[i])]] = (int32_t)i;
    *out = c;
    return true;
}

int64_t clm_buckets_near(const clm_buckets *c, const double x[3], double radius_um, int64_t cap,
                         int32_t *out) {
    int64_t lo[3], hi[3], found = 0;
    for (int d = 0; d < 3; d++) {
        lo[d] = cell_along(c, d, x[d] - radius_um);
        hi[d] = cell_along(c, d, x[d] + radius_um);
    }
    for (int64_t z = lo[0]; z <= hi[0]; z++)
        for (int64_t y = lo[1]; y <= hi[1]; y++) {
            int64_t row = (z * c->shape[1] + y) * c->shape[2];
            for (int32_t k = c->first[row + lo[2]]; k < c->first[row + hi[2] + 1]; k++) {
                const double *p = c->pos[c->item[k]];
                double dz = p[0] - x[0], dy = p[1] - x[1], dx = p[2] - x[2];
                if (dz * dz + dy * dy + dx * dx > radius_um * radius_um) continue;
                if (found < cap) out[found] = c->item[k];
                found++;
            }
        }
    return found;
}
