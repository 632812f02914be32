#include "collimate/base/rng.h"
#include "collimate/core/affine.h"
#include "support/near.h"

#include <math.h>

static double draw(uint64_t key, uint64_t i) { return 2.0 * clm_rng_uniform(21, key, i) - 1.0; }

/* linear part from a rotation, singular values and another rotation; a shift on top */
static clm_affine rotation(uint64_t key) {
    double q[4], n = 0.0;
    for (uint64_t i = 0; i < 4; i++) q[i] = clm_rng_normal(22, key, i), n += q[i] * q[i];
    for (int i = 0; i < 4; i++) q[i] /= sqrt(n);
    double w = q[0], x = q[1], y = q[2], z = q[3];
    return (clm_affine){{{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 0},
                         {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), 0},
                         {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), 0}}};
}

static clm_affine with_stretch(uint64_t key, const double sigma[3]) {
    clm_affine u = rotation(2 * key), v = rotation(2 * key + 1),
               s = clm_affine_of_grid(sigma, (double[3]){0, 0, 0});
    clm_affine a = clm_affine_compose(&s, &v);
    a = clm_affine_compose(&u, &a);
    for (int d = 0; d < 3; d++) a.m[d][3] = 1000.0 * draw(key, 50 + (uint64_t)d);
    return a;
}

static void composed_is_one_after_the_other(void **state) {
    (void)state;
    for (uint64_t k = 0; k < 100; k++) {
        clm_affine a = with_stretch(2 * k, (double[3]){2, 1, 0.5}),
                   b = with_stretch(2 * k + 1, (double[3]){1.5, 1, 1});
        clm_affine ab = clm_affine_compose(&a, &b);
        double x[3] = {100 * draw(k, 0), 100 * draw(k, 1), 100 * draw(k, 2)}, y[3], z[3];
        clm_affine_apply(&b, x, y);
        clm_affine_apply(&a, y, y); /* in place */
        clm_affine_apply(&ab, x, z);
        for (int d = 0; d < 3; d++) assert_near(z[d], y[d], 1e-9);
    }
}

static void the_inverse_undoes(void **state) {
    (void)state;
    for (uint64_t k = 0; k < 100; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_affine a = with_stretch(k, (double[3]){3, 1, 0.2}), inverse;
        assert_ok(clm_affine_invert(&a, &inverse, &err), err);
        clm_affine one = clm_affine_compose(&inverse, &a), two = clm_affine_compose(&a, &inverse),
                   id = CLM_AFFINE_IDENTITY;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 4; j++) {
                assert_near(one.m[i][j], id.m[i][j], j < 3 ? 1e-13 : 1e-9);
                assert_near(two.m[i][j], id.m[i][j], j < 3 ? 1e-13 : 1e-9);
            }
        assert_near(clm_affine_det(&a) * clm_affine_det(&inverse), 1.0, 1e-12);
        assert_ok(clm_affine_invert(&a, &a, &err), err); /* in place */
        assert_memory_equal(&a, &inverse, sizeof a);
    }
}

static void scale_is_no_singularity(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    for (int e = -60; e <= 60; e += 20) {
        double s = pow(10.0, e);
        clm_affine a = with_stretch(3, (double[3]){s, s, 0.5 * s}), inverse;
        assert_ok(clm_affine_invert(&a, &inverse, &err), err);
        assert_near(a.m[0][0] * inverse.m[0][0] + a.m[0][1] * inverse.m[1][0] + a.m[0][2] * inverse.m[2][0],
                    1.0, 1e-12);
    }
}

static void the_singular_have_no_inverse(void **state) {
    (void)state;
    static const clm_affine singular[] = {
        {{{0}}},
        {{{1, 2, 3, 0}, {4, 5, 6, 0}, {7, 8, 9, 0}}}, /* its determinant rounds to something else than 0 */
        {{{1, 0, 0, 5}, {0, 1, 0, 5}, {0, 0, 0, 5}}},
        {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, NAN, 0}}},
        {{{1, 0, 0, 0}, {0, INFINITY, 0, 0}, {0, 0, 1, 0}}},
    };
    for (size_t i = 0; i < sizeof singular / sizeof singular[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_affine out = CLM_AFFINE_IDENTITY;
        assert_fails(CLM_E_NUMERIC, clm_affine_invert(&singular[i], &out, &err), err);
        assert_true(out.m[0][0] == 1.0);
    }
    for (uint64_t k = 0; k < 50; k++) { /* planes in any position */
        clm_err err = CLM_ERR_NONE;
        clm_affine a = with_stretch(k, (double[3]){2, 1, 0}), out;
        assert_fails(CLM_E_NUMERIC, clm_affine_invert(&a, &out, &err), err);
    }
}

static void stretch_finds_the_singular_values(void **state) {
    (void)state;
    static const double cases[][3] = {{3, 2, 1},      {1, 1, 1}, {5, 5, 1e-9},
                                      {1e6, 1, 1e-5}, {2, 0, 0}, {0, 0, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (uint64_t k = 0; k < 20; k++) {
            clm_affine a = with_stretch(k, cases[c]);
            double sigma[3];
            clm_affine_stretch(&a, sigma);
            for (int d = 0; d < 3; d++) assert_near(sigma[d], cases[c][d], 1e-14 * cases[c][0]);
        }
}

static void a_mirror_has_a_negative_determinant(void **state) {
    (void)state;
    clm_affine a = with_stretch(7, (double[3]){2, 3, 4});
    assert_near(clm_affine_det(&a), 24.0, 1e-12);
    for (int j = 0; j < 3; j++) a.m[1][j] = -a.m[1][j];
    assert_near(clm_affine_det(&a), -24.0, 1e-12);
}

static void a_grid_puts_voxels_in_the_world(void **state) {
    (void)state;
    clm_affine g = clm_affine_of_grid((double[3]){2, 0.5, 0.25}, (double[3]){10, -1, 3});
    double x[3];
    clm_affine_apply(&g, (double[3]){3, 4, 8}, x);
    assert_true(x[0] == 16.0 && x[1] == 1.0 && x[2] == 5.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(composed_is_one_after_the_other),
                                       cmocka_unit_test(the_inverse_undoes),
                                       cmocka_unit_test(scale_is_no_singularity),
                                       cmocka_unit_test(the_singular_have_no_inverse),
                                       cmocka_unit_test(stretch_finds_the_singular_values),
                                       cmocka_unit_test(a_mirror_has_a_negative_determinant),
                                       cmocka_unit_test(a_grid_puts_voxels_in_the_world)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
