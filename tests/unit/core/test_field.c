#include "collimate/base/rng.h"
#include "collimate/core/field.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>

static clm_work work;
static int open_work(void **state) {
    (void)state;
    work = clm_test_work(16);
    return 0;
}
static int close_work(void **state) {
    (void)state;
    clm_test_work_drop(&work);
    return 0;
}

static const double some_spacing[3] = {4.0, 2.5, 3.0}, some_origin[3] = {-7.0, 100.0, 0.5};

static clm_field random_field(const int64_t shape[3]) {
    clm_err err = CLM_ERR_NONE;
    clm_field f;
    assert_ok(clm_field_new(work.keep, shape, some_spacing, some_origin, &f, &err), err);
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < clm_field_count(&f); i++) {
            assert_true(f.u[c][i] == 0.0f);
            f.u[c][i] = (float)clm_rng_normal(5, (uint64_t)c, (uint64_t)i);
        }
    return f;
}

/* Sum of tents over ALL nodes, at the point moved to the nearest place inside the lattice. */
static void brute_force(const clm_field *f, const double x[3], double u[3]) {
    u[0] = u[1] = u[2] = 0.0;
    int64_t n = 0;
    for (int64_t k = 0; k < f->shape[0]; k++)
        for (int64_t j = 0; j < f->shape[1]; j++)
            for (int64_t i = 0; i < f->shape[2]; i++, n++) {
                const int64_t node[3] = {k, j, i};
                double w = 1.0;
                for (int d = 0; d < 3; d++) {
                    double at = (x[d] - f->origin[d]) / f->spacing[d];
                    at = fmin(fmax(at, 0.0), (double)(f->shape[d] - 1));
                    w *= fmax(0.0, 1.0 - fabs(at - (double)node[d]));
                }
                for (int c = 0; c < 3; c++) u[c] += w * (double)f->u[c][n];
            }
}

static void sampling_equals_brute_force_inside_and_beyond(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{4, 5, 6}, {1, 5, 6}, {4, 1, 1}, {1, 1, 1}, {2, 2, 2}, {1, 7, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        clm_field f = random_field(shapes[s]);
        for (uint64_t k = 0; k < 500; k++) {
            double x[3], got[3], want[3];
            for (int d = 0; d < 3; d++) { /* from one lattice length before it to one beyond */
                double length = f.spacing[d] * (double)f.shape[d];
                x[d] = f.origin[d] + length * (3.0 * clm_rng_uniform(6, k, (uint64_t)d) - 1.0);
            }
            clm_field_at(&f, x, got);
            brute_force(&f, x, want);
            for (int c = 0; c < 3; c++) assert_near(got[c], want[c], 1e-12);
        }
    }
}

/* Inside a cell u is linear along each axis: any difference is the slope. Beyond the lattice there is none. */
static void slopes_are_differences(void **state) {
    (void)state;
    clm_field f[2] = {random_field((int64_t[3]){4, 5, 6}), random_field((int64_t[3]){4, 1, 6})};
    for (uint64_t k = 0; k < 600; k++) {
        const clm_field *v = &f[k % 2];
        double x[3], u[3], same[3], du[3][3];
        bool beyond[3];
        for (int d = 0; d < 3; d++) {
            double cell = floor((double)(v->shape[d] + 1) * clm_rng_uniform(7, k, (uint64_t)d)) - 1;
            beyond[d] = cell < 0 || cell >= (double)(v->shape[d] - 1);
            x[d] = v->origin[d] + v->spacing[d] * (cell + 0.3 + 0.4 * clm_rng_uniform(7, k, 3 + (uint64_t)d));
        }
        clm_field_slope_at(v, x, u, du);
        clm_field_at(v, x, same);
        for (int d = 0; d < 3; d++) {
            double more[3] = {x[0], x[1], x[2]}, step = 0.25 * v->spacing[d], next[3];
            more[d] += step;
            clm_field_at(v, more, next);
            assert_near(u[d], same[d], 1e-12);
            for (int c = 0; c < 3; c++)
                assert_near(du[c][d], beyond[d] ? 0 : (next[c] - same[c]) / step, 1e-9);
        }
    }
}

static void nodes_give_their_own_value(void **state) {
    (void)state;
    clm_field f = random_field((int64_t[3]){3, 4, 5});
    int64_t n = 0;
    for (int64_t k = 0; k < 3; k++)
        for (int64_t j = 0; j < 4; j++)
            for (int64_t i = 0; i < 5; i++, n++) {
                const int64_t node[3] = {k, j, i};
                double x[3], u[3];
                for (int d = 0; d < 3; d++) x[d] = f.origin[d] + f.spacing[d] * (double)node[d];
                clm_field_at(&f, x, u);
                for (int c = 0; c < 3; c++) assert_near(u[c], (double)f.u[c][n], 1e-6);
            }
}

static void far_away_the_border_goes_on(void **state) {
    (void)state;
    clm_field f = random_field((int64_t[3]){3, 4, 5});
    static const double far[] = {1e3, 1e9, 1e300, INFINITY};
    for (int i = 0; i < 4; i++) {
        double u[3];
        clm_field_at(&f, (double[3]){-far[i], -far[i], -far[i]}, u);
        for (int c = 0; c < 3; c++) assert_near(u[c], (double)f.u[c][0], 1e-12);
        clm_field_at(&f, (double[3]){far[i], far[i], far[i]}, u);
        for (int c = 0; c < 3; c++) assert_near(u[c], (double)f.u[c][clm_field_count(&f) - 1], 1e-12);
    }
}

static void a_linear_field_resamples_exactly(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_field f = random_field((int64_t[3]){5, 6, 7}), g;
    int64_t n = 0;
    for (int64_t k = 0; k < 5; k++)
        for (int64_t j = 0; j < 6; j++)
            for (int64_t i = 0; i < 7; i++, n++)
                for (int c = 0; c < 3; c++)
                    f.u[c][n] =
                        (float)(c + 1) * (float)(0.5 * (double)k - 0.25 * (double)j + 2.0 * (double)i);
    double spacing[3], origin[3];
    for (int d = 0; d < 3; d++) spacing[d] = f.spacing[d] / 2, origin[d] = f.origin[d] + f.spacing[d];
    assert_ok(clm_field_new(work.keep, (int64_t[3]){4, 5, 6}, spacing, origin, &g, &err), err);
    clm_field_resample(&f, &g);
    n = 0;
    for (int64_t k = 0; k < 4; k++)
        for (int64_t j = 0; j < 5; j++)
            for (int64_t i = 0; i < 6; i++, n++)
                for (int c = 0; c < 3; c++) {
                    double at[3] = {1 + (double)k / 2, 1 + (double)j / 2, 1 + (double)i / 2};
                    assert_near((double)g.u[c][n], (c + 1) * (0.5 * at[0] - 0.25 * at[1] + 2.0 * at[2]),
                                1e-5);
                }
}

static void a_transform_adds_u_and_then_maps(void **state) {
    (void)state;
    clm_field f = random_field((int64_t[3]){3, 3, 3});
    clm_affine a = {{{0, 2, 0, 1}, {1, 0, 0, 2}, {0, 0, 3, 3}}};
    double x[3] = {-3.0, 102.0, 2.0}, u[3], y[3], want[3];
    clm_field_at(&f, x, u);
    clm_transform_point(&a, &f, x, y);
    clm_affine_apply(&a, (double[3]){x[0] + u[0], x[1] + u[1], x[2] + u[2]}, want);
    for (int d = 0; d < 3; d++) assert_near(y[d], want[d], 0.0);
    clm_transform_point(&a, NULL, x, y);
    clm_affine_apply(&a, x, want);
    for (int d = 0; d < 3; d++) assert_near(y[d], want[d], 0.0);
    clm_transform_point(&a, NULL, x, x); /* in place */
    for (int d = 0; d < 3; d++) assert_near(x[d], want[d], 0.0);
}

static void senseless_lattices_are_refused(void **state) {
    (void)state;
    static const struct {
        int64_t shape[3];
        clm_code code;
    } bad[] = {{{0, 1, 1}, CLM_E_ARG},
               {{1, -1, 1}, CLM_E_ARG},
               {{INT64_MAX / 2, 2, 1}, CLM_E_BUDGET},
               {{(int64_t)1 << 40, (int64_t)1 << 40, 1}, CLM_E_BUDGET},
               {{1000, 1000, 1000}, CLM_E_BUDGET}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_field f;
        assert_fails(bad[i].code, clm_field_new(work.keep, bad[i].shape, some_spacing, some_origin, &f, &err),
                     err);
    }
}

#define WITH_WORK(f) cmocka_unit_test_setup_teardown(f, open_work, close_work)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_WORK(sampling_equals_brute_force_inside_and_beyond),
                                       WITH_WORK(slopes_are_differences),
                                       WITH_WORK(nodes_give_their_own_value),
                                       WITH_WORK(far_away_the_border_goes_on),
                                       WITH_WORK(a_linear_field_resamples_exactly),
                                       WITH_WORK(a_transform_adds_u_and_then_maps),
                                       WITH_WORK(senseless_lattices_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
