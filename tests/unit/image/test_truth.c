#include "collimate/image/truth.h"

#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const clm_frame FIXED = {{40, 50, 60}, {1.0, 0.5, 2.0}, {10.0, 0.0, -5.0}};

static void identity(const void *ctx, const double x[3], double y[3]) {
    (void)ctx;
    memmove(y, x, 3 * sizeof *y);
}
static void shifted(const void *ctx, const double x[3], double y[3]) {
    const double *by = ctx;
    for (int d = 0; d < 3; d++) y[d] = x[d] + by[d];
}
/* off along y by the point's rank along x: 0, 1, ... of n */
static void ramp(const void *ctx, const double x[3], double y[3]) {
    double n = *(const double *)ctx;
    memmove(y, x, 3 * sizeof *y);
    y[1] += floor((x[2] - FIXED.origin[2] + 0.5 * FIXED.spacing[2]) /
                  (FIXED.spacing[2] * (double)FIXED.shape[2]) * n);
}
static void lost(const void *ctx, const double x[3], double y[3]) {
    memmove(y, x, 3 * sizeof *y);
    if (x[2] > *(const double *)ctx) y[0] = NAN;
}

static clm_truth_error errors_of(const clm_work *w, const clm_truth_points *p, clm_point_map map) {
    clm_err err;
    clm_truth_error e;
    clm_mark mark = clm_arena_mark(w->keep);
    double(*found)[3] = clm_arena_take(w->keep, p->n, sizeof *found, &err);
    assert_non_null(found);
    clm_truth_map(p, map, found);
    assert_ok(clm_truth_compare(w, p, found, FIXED.spacing, &e, &err), err);
    clm_arena_rewind(w->keep, mark);
    return e;
}

static void errors_of_known_maps(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_truth_points p;
    clm_truth_error e;
    clm_frame everywhere = {{1000, 1000, 1000}, {1, 1, 1}, {-500, -500, -500}};
    assert_ok(clm_truth_sample(&w, (clm_point_map){identity, NULL}, &FIXED, &everywhere, 20, &p, &err), err);
    assert_int_equal(p.n, 20 * 20 * 20);
    assert_near(p.x[0][0], 10.0 + 0.5, 1e-12); /* the middle of the first 2 voxels */
    assert_near(p.x[p.n - 1][2], -5.0 + 2.0 * 58.0, 1e-12);
    e = errors_of(&w, &p, (clm_point_map){identity, NULL});
    assert_near(e.um.max, 0.0, 0.0);
    double by[3] = {2.0, 1.0, 2.0};
    e = errors_of(&w, &p, (clm_point_map){shifted, by});
    assert_near(e.um.median, 3.0, 1e-9);
    assert_near(e.um.max, 3.0, 1e-9);
    assert_near(e.voxels.mean, 3.0, 1e-9); /* sqrt(2^2 + 2^2 + 1^2) */
    double n = 20.0;
    e = errors_of(&w, &p, (clm_point_map){ramp, &n});
    assert_near(e.um.mean, 9.5, 1e-9);
    assert_near(e.um.median, 9.0, 1e-9);
    assert_near(e.um.p95, 18.0, 1e-9);
    assert_near(e.um.p99, 19.0, 1e-9);
    assert_near(e.voxels.max, 38.0, 1e-9);
    double from = 110.0;
    e = errors_of(&w, &p, (clm_point_map){lost, &from});
    assert_true(isinf(e.um.max) && e.um.median == 0.0);
    assert_int_equal(clm_arena_mark(w.temp).used, 0);
    clm_test_work_drop(&w);
}

static void only_points_that_map_inside(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_truth_points p;
    double by[3] = {0.0, 0.0, 1000.0};
    clm_frame half = FIXED;
    half.shape[2] = 30;
    assert_ok(clm_truth_sample(&w, (clm_point_map){identity, NULL}, &FIXED, &half, 10, &p, &err), err);
    assert_int_equal(p.n, 500);
    for (int64_t i = 0; i < p.n; i++) assert_true(p.y[i][2] <= -5.0 + 2.0 * 29.0);
    assert_fails(CLM_E_NODATA,
                 clm_truth_sample(&w, (clm_point_map){shifted, by}, &FIXED, &half, 10, &p, &err), err);
    assert_fails(CLM_E_ARG, clm_truth_sample(&w, (clm_point_map){identity, NULL}, &FIXED, &half, 0, &p, &err),
                 err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_known_maps),
        cmocka_unit_test(only_points_that_map_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
