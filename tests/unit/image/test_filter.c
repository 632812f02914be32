#include "collimate/image/filter.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double unit[3] = {1, 1, 1}, zero[3] = {0, 0, 0};

static clm_vol noise(clm_arena *a, int64_t nz, int64_t ny, int64_t nx) {
    clm_vol v;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(a, (int64_t[3]){nz, ny, nx}, unit, zero, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = (float)clm_rng_uniform(3, 1, (uint64_t)i);
    return v;
}

/** Straight from the definition: the sampled Gaussian out to 8 sigma, edges replicated. */
static double slow_line(const float *v, int64_t n, int64_t stride, int64_t at, double sigma) {
    int64_t r = (int64_t)ceil(8 * sigma);
    double sum = 0, weight = 0;
    for (int64_t k = -r; k <= r; k++) {
        int64_t i = at + k < 0 ? 0 : at + k >= n ? n - 1 : at + k;
        double g = exp(-0.5 * (double)(k * k) / (sigma * sigma));
        sum += g * (double)v[i * stride];
        weight += g;
    }
    return sum / weight;
}

static void near_the_definition(void **state) {
    (void)state;
    static const double sigmas[] = {0.5, 1.0, 2.3, 5.9, 6.1, 11.0, 40.0};
    static const int64_t shapes[3][3] = {{150, 2, 3}, {2, 150, 70}, {2, 67, 150}};
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    for (int axis = 0; axis < 3; axis++) {
        for (size_t s = 0; s < sizeof sigmas / sizeof *sigmas; s++) {
            const int64_t *n = shapes[axis];
            clm_vol v = noise(w.keep, n[0], n[1], n[2]), got;
            assert_ok(clm_vol_copy(w.keep, &v, &got, &err), err);
            double sigma[3] = {0, 0, 0};
            sigma[axis] = sigmas[s];
            assert_ok(clm_gauss(&w, &v, sigma, &got, &err), err);
            int64_t stride = axis == 0 ? v.stride[0] : axis == 1 ? v.stride[1] : 1;
            for (int64_t i = 0; i < n[axis]; i += 7)
                assert_near(got.data[i * stride], slow_line(v.data, n[axis], stride, i, sigma[axis]), 1e-3);
            clm_arena_reset(w.keep, 0);
        }
    }
    clm_test_work_drop(&w);
}

static void an_impulse_becomes_a_gaussian(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    for (double sigma = 3; sigma < 30; sigma *= 2) {
        clm_vol v;
        assert_ok(clm_vol_new(w.keep, (int64_t[3]){1, 1, 301}, unit, zero, &v, &err), err);
        memset(v.data, 0, 301 * sizeof(float));
        v.data[150] = 1;
        assert_ok(clm_gauss(&w, &v, (double[3]){0, 0, sigma}, &v, &err), err);
        double peak = 1 / (sigma * sqrt(6.283185307179586)), mass = 0, second = 0;
        for (int i = 0; i < 301; i++) {
            double t = (i - 150) / sigma;
            assert_near(v.data[i], peak * exp(-0.5 * t * t), (sigma <= 6 ? 2.3e-3 : 6e-4) * peak);
            assert_near(v.data[i], v.data[300 - i], 1e-6 * peak); /* zero phase */
            mass += (double)v.data[i], second += (double)v.data[i] * t * t;
        }
        assert_near(mass, 1, 1e-4);
        assert_near(second, 1, 0.012);
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

static void constants_stay(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = noise(w.keep, 9, 10, 11);
    for (double sigma = 0; sigma < 50; sigma += 4.7) {
        for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = 1234.5f;
        assert_ok(clm_gauss(&w, &v, (double[3]){sigma, sigma, sigma}, &v, &err), err);
        for (int64_t i = 0; i < clm_vol_count(&v); i++) assert_near(v.data[i], 1234.5, 2e-3);
    }
    clm_test_work_drop(&w);
}

static void a_block_with_halo_gives_the_bytes_of_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = noise(w.keep, 60, 61, 90), whole, part;
    const double sigma[3] = {1.2, 2.5, 6.0};
    assert_ok(clm_vol_copy(w.keep, &v, &whole, &err), err);
    assert_ok(clm_gauss(&w, &v, sigma, &whole, &err), err);
    clm_box core = {{20, 20, 30}, {33, 40, 57}};
    int64_t halo[3];
    for (int d = 0; d < 3; d++) halo[d] = clm_gauss_radius(sigma[d]);
    clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(v.shape));
    clm_vol view = clm_vol_crop(&v, padded); /* rows far apart: strides are honoured */
    assert_ok(clm_vol_copy(w.keep, &view, &part, &err), err);
    assert_ok(clm_gauss(&w, &view, sigma, &part, &err), err);
    for (int64_t z = core.lo[0]; z < core.hi[0]; z++)
        for (int64_t y = core.lo[1]; y < core.hi[1]; y++)
            assert_memory_equal(clm_vol_row(&whole, z, y) + core.lo[2],
                                clm_vol_row(&part, z - padded.lo[0], y - padded.lo[1]) + core.lo[2] -
                                    padded.lo[2],
                                (size_t)(core.hi[2] - core.lo[2]) * sizeof(float));
    clm_test_work_drop(&w);
}

static void shrinking_is_smoothing_then_picking(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    static const double sigmas[2][3] = {{1.1, 0, 2.2}, {7.0, 8.0, 9.0}};
    for (int s = 0; s < 2; s++) {
        clm_vol v = noise(w.keep, 31, 40, 77), all, few;
        const int64_t step[3] = {2, 1, 3};
        assert_ok(clm_vol_copy(w.keep, &v, &all, &err), err);
        assert_ok(clm_gauss(&w, &v, sigmas[s], &all, &err), err);
        assert_ok(clm_gauss_shrink(&w, &v, sigmas[s], step, &few, &err), err);
        assert_int_equal(few.shape[0], 16);
        assert_int_equal(few.shape[1], 40);
        assert_int_equal(few.shape[2], 26);
        assert_near(few.spacing[2], 3, 0);
        for (int64_t z = 0; z < few.shape[0]; z++)
            for (int64_t y = 0; y < few.shape[1]; y++)
                for (int64_t x = 0; x < few.shape[2]; x++)
                    assert_true(clm_vol_row(&few, z, y)[x] == clm_vol_row(&all, 2 * z, y)[3 * x]);
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

static void refusals(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = noise(w.keep, 4, 4, 4), u = noise(w.keep, 4, 4, 5);
    assert_fails(CLM_E_ARG, clm_gauss(&w, &v, unit, &u, &err), err);
    assert_fails(CLM_E_ARG, clm_gauss(&w, &v, (double[3]){1, -1, 1}, &v, &err), err);
    assert_fails(CLM_E_ARG, clm_gauss(&w, &v, (double[3]){1, NAN, 1}, &v, &err), err);
    assert_fails(CLM_E_ARG, clm_gauss_shrink(&w, &v, unit, (int64_t[3]){1, 0, 1}, &u, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_definition),
        cmocka_unit_test(an_impulse_becomes_a_gaussian),
        cmocka_unit_test(constants_stay),
        cmocka_unit_test(a_block_with_halo_gives_the_bytes_of_the_whole),
        cmocka_unit_test(shrinking_is_smoothing_then_picking),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
