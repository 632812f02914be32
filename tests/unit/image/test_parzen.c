#include "collimate/image/parzen.h"
#include "collimate/base/rng.h"
#include "collimate/image/metric.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

#define N 300000

static float f[N], m[N], skip[N], slope[N];
static clm_parzen p;

/* Gaussian values of correlation rho */
static void fill(double rho) {
    for (int64_t i = 0; i < N; i++) {
        double a = clm_rng_normal(1, 1, (uint64_t)i), b = clm_rng_normal(1, 2, (uint64_t)i);
        f[i] = (float)a, m[i] = (float)(rho * a + sqrt(1.0 - rho * rho) * b), skip[i] = 0.0f;
    }
}

static void count(void) {
    const double range[2] = {-3.3, 3.3};
    clm_parzen_begin(&p, range, range);
    clm_parzen_add(&p, f, m, skip, N);
    clm_parzen_settle(&p);
}

/* -log(1 - rho^2) / 2 and its slope's mean square rho^2 / (1 - rho^2), but for what bins hide */
static void gaussian_values_have_their_information(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        double rho = 0.3 * (double)k;
        fill(rho);
        count();
        assert_near(p.n, N, 0.0);
        assert_near(p.value, -0.5 * log(1.0 - rho * rho), 0.05);
        if (k) assert_near(p.curvature, rho * rho / (1.0 - rho * rho), 0.3 * rho * rho / (1.0 - rho * rho));
        /* any monotone or inverted values tell as much */
        double was = p.value;
        for (int i = 0; i < N; i++) m[i] = -m[i];
        count();
        assert_near(p.value, was, 1e-3);
    }
}

static void slopes_are_differences(void **state) {
    (void)state;
    fill(0.7);
    for (int i = 0; i < N; i += 3) skip[i] = 1.0f;
    count();
    clm_parzen_slope(&p, f, m, skip, N, slope);
    assert_near(p.n, (double)(N - (N + 2) / 3), 0.0);
    clm_parzen was = p;
    double most = 0.0;
    for (int i = 0; i < N; i++) most = fmax(most, fabs((double)slope[i]));
    for (int i = 0; i < N; i += 6007) {
        const float h = 1e-2f, at = m[i];
        double side[2];
        for (int k = 0; k < 2; k++) {
            m[i] = at + (k ? h : -h);
            count();
            side[k] = p.n * p.value;
        }
        m[i] = at;
        if (skip[i] > 0.0f) assert_near((double)slope[i], 0.0, 0.0);
        assert_near((side[1] - side[0]) / (2.0 * (double)h), (double)slope[i], 2e-3 * most);
    }
    count();
    assert_memory_equal(&was, &p, sizeof p); /* and the same bytes */
}

static void the_range_leaves_out_the_tails(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    const int64_t shape[3] = {1, 100, 101};
    const double one[3] = {1, 1, 1}, zero[3] = {0, 0, 0};
    clm_vol v;
    double range[2];
    assert_ok(clm_vol_new(w.keep, shape, one, zero, &v, &err), err);
    for (int64_t i = 0; i < 10100; i++) v.data[i] = (float)(i % 101);
    v.data[7] = 1e9f, v.data[8] = NAN, v.data[9] = -1e9f;
    assert_ok(clm_parzen_range(&w, &v, 50, 0.1, range, &err), err);
    assert_near(range[0], -5.0, 1e-9);
    assert_near(range[1], 5.0, 1e-9);
    for (int64_t i = 0; i < 10100; i++) v.data[i] = i == 5 ? 3.0f : 2.0f; /* one voxel alone differs */
    assert_ok(clm_parzen_range(&w, &v, 0, 1, range, &err), err);
    assert_near(range[1] - range[0], 1.0, 1e-9);
    v.data[5] = 2.0f;
    assert_fails(CLM_E_NODATA, clm_parzen_range(&w, &v, 0, 1, range, &err), err);
    assert_int_equal(clm_arena_mark(w.temp).used, 0);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gaussian_values_have_their_information),
                                       cmocka_unit_test(slopes_are_differences),
                                       cmocka_unit_test(the_range_leaves_out_the_tails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
