#include "support/speckle.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

clm_speckle clm_test_speckle(clm_arena *a, int64_t n, const double extent_um[3], double sigma_min_um,
                             double sigma_max_um, uint64_t seed) {
    clm_err err = CLM_ERR_NONE;
    clm_speckle s = {.n = n, .pos = clm_arena_take(a, n, sizeof *s.pos, &err)};
    assert_non_null(s.pos);
    assert_non_null(s.sigma_um = clm_take(a, double, n, &err));
    assert_non_null(s.bright = clm_take(a, double, n, &err));
    for (int64_t i = 0; i < n; i++) {
        for (int d = 0; d < 3; d++)
            s.pos[i][d] = extent_um[d] * clm_rng_uniform(seed, 1, (uint64_t)(3 * i + d));
        s.sigma_um[i] = sigma_min_um + (sigma_max_um - sigma_min_um) * clm_rng_uniform(seed, 2, (uint64_t)i);
        s.bright[i] = 1 + clm_rng_uniform(seed, 3, (uint64_t)i);
    }
    return s;
}

#define LINE_MAX_VOX 256 /* widest blob */

static void draw_blob(const clm_vol *v, const double at[3], double sigma, double bright) {
    int64_t lo[3], hi[3];
    double line[3][LINE_MAX_VOX]; /* a ball's Gaussian is a product of three lines */
    for (int d = 0; d < 3; d++) {
        lo[d] = (int64_t)ceil((at[d] - 4.5 * sigma - v->origin[d]) / v->spacing[d]);
        hi[d] = (int64_t)floor((at[d] + 4.5 * sigma - v->origin[d]) / v->spacing[d]);
        if (lo[d] < 0) lo[d] = 0;
        if (hi[d] > v->shape[d] - 1) hi[d] = v->shape[d] - 1;
        assert_true(hi[d] - lo[d] < LINE_MAX_VOX);
        for (int64_t i = lo[d]; i <= hi[d]; i++) {
            double t = (v->origin[d] + (double)i * v->spacing[d] - at[d]) / sigma;
            line[d][i - lo[d]] = exp(-0.5 * t * t);
        }
    }
    for (int64_t z = lo[0]; z <= hi[0]; z++)
        for (int64_t y = lo[1]; y <= hi[1]; y++) {
            double g = bright * line[0][z - lo[0]] * line[1][y - lo[1]];
            float *row = clm_vol_row(v, z, y);
            for (int64_t x = lo[2]; x <= hi[2]; x++) row[x] += (float)(g * line[2][x - lo[2]]);
        }
}

clm_vol clm_test_draw(clm_arena *a, const clm_speckle *s, const clm_affine *from_tissue,
                      const int64_t shape[3], const double spacing[3], const double origin[3], double noise,
                      uint64_t seed) {
    clm_err err = CLM_ERR_NONE;
    clm_vol v;
    assert_ok(clm_vol_new(a, shape, spacing, origin, &v, &err), err);
    int64_t n = clm_vol_count(&v);
    for (int64_t i = 0; i < n; i++)
        v.data[i] = noise > 0 ? (float)(noise * clm_rng_normal(seed, 4, (uint64_t)i)) : 0;
    for (int64_t i = 0; i < s->n; i++) {
        double at[3];
        clm_affine_apply(from_tissue, s->pos[i], at);
        draw_blob(&v, at, s->sigma_um[i], s->bright[i]);
    }
    return v;
}
