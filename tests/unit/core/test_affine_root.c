#include "collimate/core/affine_root.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

static clm_affine product(const clm_affine *r, int n) {
    clm_affine p = CLM_AFFINE_IDENTITY;
    for (int k = 0; k < n; k++) p = clm_affine_compose(r, &p);
    return p;
}

static void same(const clm_affine *got, const clm_affine *want, double tolerance) {
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) assert_near(got->m[i][j], want->m[i][j], tolerance * (j < 3 ? 1 : 1000));
}

/* about axis 2 by an angle, then stretched, with a shift */
static clm_affine turned(double angle, double stretch) {
    double c = cos(angle), s = sin(angle);
    return (clm_affine){{{c, -s, 0, 300}, {s, c, 0, -200}, {0, 0, stretch, 50}}};
}

/* the root of a turn is the turn by a part of the angle, the short way round */
static void the_root_is_a_part_of_the_way(void **state) {
    (void)state;
    for (int n = 1; n <= 8; n++)
        for (double angle = -3.1; angle < 3.11; angle += 0.31) {
            clm_err err = CLM_ERR_NONE;
            clm_affine a = turned(angle, 1.7), r, want = turned(angle / n, pow(1.7, 1.0 / n)), p;
            assert_ok(clm_affine_root(&a, n, &r, &err), err);
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++) assert_near(r.m[i][j], want.m[i][j], 1e-12);
            p = product(&r, n);
            same(&p, &a, 1e-13);
        }
}

static void any_affine_that_neither_mirrors_nor_turns_round(void **state) {
    (void)state;
    int tried = 0;
    for (uint64_t k = 0; k < 400; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_affine a, r, p;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 4; j++)
                a.m[i][j] = (i == j) + (j < 3 ? 0.3 : 1000.0) * clm_rng_normal(k, (uint64_t)i, (uint64_t)j);
        if (clm_affine_det(&a) < 0.05) continue;
        tried++;
        int n = 2 + (int)(k % 7);
        assert_ok(clm_affine_root(&a, n, &r, &err), err);
        p = product(&r, n);
        same(&p, &a, 1e-11);
    }
    assert_true(tried > 300);
    clm_affine shear = {{{1, 5, 0, 1}, {0, 1, 3, 2}, {0, 0, 1, 3}}}, r, p; /* one eigenvalue, no basis */
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_affine_root(&shear, 2, &r, &err), err);
    p = product(&r, 2);
    same(&p, &shear, 1e-13);
}

static void what_has_no_half_is_refused(void **state) {
    (void)state;
    static const struct {
        clm_affine a;
        const char *says;
    } rows[] = {{{{{-1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}, "mirrors"},
                {{{{0, 0, 1, 0}, {0, 1, 0, 0}, {1, 0, 0, 0}}}, "mirrors"},
                {{{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}}, "180 degrees"},
                {{{{-1, 0, 0, 0}, {0, -2, 0, 0}, {0, 0, 1, 0}}}, "180 degrees"},
                {{{{1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 1, 0}}}, "singular"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_affine r;
        assert_fails(CLM_E_NUMERIC, clm_affine_root(&rows[i].a, 2, &r, &err), err);
        if (!strstr(err.text, rows[i].says)) fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].says);
    }
    /* an axis permuted to the next is a turn by 120 degrees and has a root */
    clm_err err = CLM_ERR_NONE;
    clm_affine next = {{{0, 1, 0, 4}, {0, 0, 1, 5}, {1, 0, 0, 6}}}, r, p;
    assert_ok(clm_affine_root(&next, 2, &r, &err), err);
    p = product(&r, 2);
    same(&p, &next, 1e-13);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_root_is_a_part_of_the_way),
                                       cmocka_unit_test(any_affine_that_neither_mirrors_nor_turns_round),
                                       cmocka_unit_test(what_has_no_half_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
