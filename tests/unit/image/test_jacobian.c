#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/rng.h"
#include "collimate/image/jacobian.h"

#include <math.h>

static clm_field lattice(clm_work *w, int64_t nz, int64_t ny, int64_t nx) {
    const int64_t shape[3] = {nz, ny, nx};
    const double spacing[3] = {4.0, 7.0, 5.0}, origin[3] = {-3.0, 2.0, 11.0};
    clm_field f;
    clm_err err;
    assert_ok(clm_field_new(w->keep, shape, spacing, origin, &f, &err), err);
    return f;
}

static void randomise(clm_field *f, double um) {
    for (int64_t i = 0; i < 3 * clm_field_count(f); i++)
        f->u[0][i] = (float)(um * (2.0 * clm_rng_uniform(7, 1, (uint64_t)i) - 1.0));
}

/* u = g (x - origin): one slope everywhere */
static void shear(clm_field *f, const double g[3][3]) {
    int64_t n = 0;
    for (int64_t k = 0; k < f->shape[0]; k++)
        for (int64_t j = 0; j < f->shape[1]; j++)
            for (int64_t i = 0; i < f->shape[2]; i++, n++)
                for (int c = 0; c < 3; c++)
                    f->u[c][n] =
                        (float)(g[c][0] * (double)k * f->spacing[0] + g[c][1] * (double)j * f->spacing[1] +
                                g[c][2] * (double)i * f->spacing[2]);
}

static void one_slope_is_exact(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_err err;
    clm_field f = lattice(&w, 4, 5, 39);
    const double g[3][3] = {{0.1, -0.2, 0.05}, {0.3, -0.1, 0.15}, {-0.05, 0.2, 0.4}};
    const clm_affine id = CLM_AFFINE_IDENTITY, scale = {{{0.5, 0, 0, 3}, {0, -2, 0, 1}, {0, 0, 1.5, 0}}};
    shear(&f, g);
    clm_affine whole = CLM_AFFINE_IDENTITY;
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 3; d++) whole.m[c][d] += g[c][d];
    double det = clm_affine_det(&whole);
    clm_jacobian_stats s;
    assert_ok(clm_jacobian_measure(&w, &id, &f, &s, &err), err);
    assert_near(s.min, det, 1e-4);
    assert_near(s.max, det, 1e-4);
    assert_near(s.mean, det, 1e-4);
    assert_near(s.percentile[2], det, 1.0 / 512);
    assert_int_equal(s.cells, 3 * 4 * 38);
    assert_int_equal(s.folds + s.folded, 0);
    assert_ok(clm_jacobian_measure(&w, &scale, &f, &s, &err), err); /* a mirror turns every sign */
    assert_near(s.min, -1.5 * det, 1e-4);
    assert_near(clm_jacobian_min(&scale, &f), -1.5 * det, 1e-4);
    assert_near(clm_jacobian_min(&scale, NULL), -1.5, 1e-12);
    const double x[3] = {3.0, 9.0, 40.0};
    assert_near(clm_jacobian_at(&id, &f, x), det, 1e-5);
    clm_test_work_drop(&w);
}

/* the bounds must hold at every point of every cell, and be reached closely somewhere */
static void bounds_hold_everywhere(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    const clm_affine id = CLM_AFFINE_IDENTITY;
    clm_field f = lattice(&w, 4, 4, 40);
    float lo[39], hi[39];
    double slack = 1e9;
    randomise(&f, 1.5);
    for (int64_t k = 0; k < 3; k++)
        for (int64_t j = 0; j < 3; j++) {
            clm_jacobian_cells(&f, k, j, 0, 39, lo, hi);
            for (int64_t i = 0; i < 39; i++) {
                double least = 1e9, most = -1e9;
                for (int p = 0; p < 125; p++) {
                    const double t[3] = {(double)k + 0.2499 * (p / 25), (double)j + 0.2499 * (p / 5 % 5),
                                         (double)i + 0.2499 * (p % 5)};
                    double x[3];
                    for (int d = 0; d < 3; d++) x[d] = f.origin[d] + t[d] * f.spacing[d];
                    double det = clm_jacobian_at(&id, &f, x);
                    least = fmin(least, det), most = fmax(most, det);
                }
                assert_true((double)lo[i] <= least + 1e-4 && (double)hi[i] >= most - 1e-4);
                slack = fmin(slack, least - (double)lo[i]);
                assert_true(least - (double)lo[i] < 0.5 * (most - least) + 0.2);
            }
        }
    assert_true(slack < 1e-2);
    clm_test_work_drop(&w);
}

static void folds_are_seen(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_err err;
    const clm_affine id = CLM_AFFINE_IDENTITY;
    clm_field f = lattice(&w, 4, 5, 6);
    clm_jacobian_stats s;
    f.u[2][(1 * 5 + 2) * 6 + 3] = 12.0f; /* past its neighbour, 5 um away */
    assert_ok(clm_jacobian_measure(&w, &id, &f, &s, &err), err);
    assert_true(s.min < 0);
    assert_int_equal(s.folded, 4); /* the four cells on its upper x side */
    assert_true(s.folds >= s.folded);
    f.u[0][7] = NAN;
    assert_true(isnan(clm_jacobian_min(&id, &f)));
    assert_fails(CLM_E_NUMERIC, clm_jacobian_measure(&w, &id, &f, &s, &err), err);
    clm_test_work_drop(&w);
}

static void flat_lattices_have_no_slope_across(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_err err;
    const clm_affine id = CLM_AFFINE_IDENTITY;
    clm_field f = lattice(&w, 1, 3, 3), dot = lattice(&w, 1, 1, 1);
    const double g[3][3] = {{9, 0, 0}, {0, 0.2, 0.1}, {0, -0.3, 0.25}};
    clm_jacobian_stats s;
    shear(&f, g);
    assert_ok(clm_jacobian_measure(&w, &id, &f, &s, &err), err);
    assert_near(s.min, 1.2 * 1.25 + 0.03, 1e-5);
    assert_int_equal(s.cells, 4);
    dot.u[1][0] = 55.0f;
    assert_near(clm_jacobian_min(&id, &dot), 1.0, 1e-6);
    clm_test_work_drop(&w);
}

/* What is told from lengths alone is never wrong, and is told of gentle fields. */
static void clear_is_sure(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_field f = lattice(&w, 6, 7, 40);
    float lo[CLM_JACOBIAN_LANE];
    int clear = 0, all = 0;
    for (int n = 0; n < 12 * 9; n++) {
        const double floor = 0.1 * (n % 9);
        randomise(&f, 0.05 * (1 + n / 9));
        for (int64_t k = 0; k < 5; k++)
            for (int64_t i = 0; i < 39; i++, all++) {
                if (!clm_jacobian_clear(&f, k, 3, i, 1, floor)) continue;
                clear++;
                clm_jacobian_cells(&f, k, 3, i, 1, lo, NULL);
                assert_true((double)lo[0] >= floor);
            }
    }
    assert_true(clear > all / 10 && clear < all);
    f.u[1][0] = NAN;
    assert_false(clm_jacobian_clear(&f, 0, 0, 0, 1, 0.0));
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slope_is_exact),
        cmocka_unit_test(bounds_hold_everywhere),
        cmocka_unit_test(folds_are_seen),
        cmocka_unit_test(clear_is_sure),
        cmocka_unit_test(flat_lattices_have_no_slope_across),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
