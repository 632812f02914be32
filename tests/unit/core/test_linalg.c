#include "collimate/base/rng.h"
#include "collimate/core/linalg.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

#define MOST 60

static double draw(uint64_t key, int64_t i) { return clm_rng_normal(31, key, (uint64_t)i); }

/* A = B B' + n I, well conditioned; only the lower triangle is told, the upper holds junk. */
static void make_system(int n, uint64_t key, double *a, double *full, const double *x, double *b) {
    static double base[MOST * MOST];
    for (int i = 0; i < n * n; i++) base[i] = draw(key, i);
    for (int i = 0; i < n; i++) {
        b[i] = 0.0;
        for (int j = 0; j < n; j++) {
            double s = i == j ? n : 0.0;
            for (int k = 0; k < n; k++) s += base[i * n + k] * base[j * n + k];
            full[i * n + j] = s;
            a[i * n + j] = j <= i ? s : 1e30;
            b[i] += s * x[j];
        }
    }
}

static void a_known_solution_is_found(void **state) {
    (void)state;
    static double a[MOST * MOST], full[MOST * MOST], x[MOST], b[MOST];
    static const int sizes[] = {1, 2, 3, 4, 7, 12, 13, 60};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        int n = sizes[s];
        clm_err err = CLM_ERR_NONE;
        for (int i = 0; i < n; i++) x[i] = draw(99, i);
        make_system(n, (uint64_t)n, a, full, x, b);
        assert_ok(clm_solve_spd(n, a, b, &err), err);
        for (int i = 0; i < n; i++) assert_near(b[i], x[i], 1e-11);
    }
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_solve_spd(0, a, b, &err), err);
}

static void no_answer_is_an_error(void **state) {
    (void)state;
    static const double bad[][4] = {{0, 0, 0, 0},  {1, 0, 1, 1},   {1, 0, 2, 1},
                                    {-1, 0, 0, 1}, {NAN, 0, 0, 1}, {1, 0, 0, NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        double a[4], b[2] = {1, 1};
        memcpy(a, bad[i], sizeof a);
        assert_fails(CLM_E_NUMERIC, clm_solve_spd(2, a, b, &err), err);
    }
    clm_err err = CLM_ERR_NONE;
    double a[4] = {1, 0, 0, 1}, b[2] = {1, NAN};
    assert_fails(CLM_E_NUMERIC, clm_solve_spd(2, a, b, &err), err);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_known_solution_is_found),
                                       cmocka_unit_test(no_answer_is_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
