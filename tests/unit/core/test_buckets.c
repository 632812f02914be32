#include "collimate/core/buckets.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>

static void finds_what_looking_at_all_finds(void **state) {
    (void)state;
    static const int64_t counts[] = {0, 1, 2, 50, 3000};
    static const double sizes[] = {1e-3, 3, 20, 1e6};
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    for (size_t c = 0; c < 5; c++)
        for (size_t s = 0; s < 4; s++) {
            int64_t n = counts[c];
            double(*pos)[3] = clm_arena_take(w.keep, n, sizeof *pos, &err);
            int32_t *near = clm_take(w.keep, int32_t, n, &err);
            for (int64_t i = 0; i < 3 * n; i++)
                pos[i / 3][i % 3] = 100 * clm_rng_uniform(5, 1, (uint64_t)i) - 50;
            clm_buckets cells;
            assert_ok(clm_buckets_new(w.keep, n, (const double(*)[3])pos, sizes[s], &cells, &err), err);
            for (uint64_t q = 0; q < 40; q++) {
                double x[3], radius = 30 * clm_rng_uniform(5, 3, q);
                for (uint64_t d = 0; d < 3; d++) x[d] = 140 * clm_rng_uniform(5, 2, 3 * q + d) - 70;
                int64_t want = 0, sum = 0, got = clm_buckets_near(&cells, x, radius, n, near);
                for (int64_t i = 0; i < n; i++) {
                    double z = pos[i][0] - x[0], y = pos[i][1] - x[1], v = pos[i][2] - x[2];
                    if (z * z + y * y + v * v <= radius * radius) want++, sum += i;
                }
                assert_int_equal(got, want);
                for (int64_t i = 0; i < got; i++) sum -= near[i];
                assert_int_equal(sum, 0);
                assert_int_equal(clm_buckets_near(&cells, x, radius, 0, NULL), want);
            }
            clm_arena_reset(w.keep, 0);
        }
    clm_test_work_drop(&w);
}

static void refusals(void **state) {
    (void)state;
    clm_work w = clm_test_work(1);
    clm_err err = CLM_ERR_NONE;
    clm_buckets c;
    const double pos[2][3] = {{0, 0, 0}, {0, NAN, 0}};
    assert_fails(CLM_E_ARG, clm_buckets_new(w.keep, 1, pos, 0, &c, &err), err);
    assert_fails(CLM_E_ARG, clm_buckets_new(w.keep, 2, pos, 1, &c, &err), err);
    const double far[2][3] = {{0, -1e308, 0}, {0, 1e308, 0}}; /* no number says how far apart */
    assert_fails(CLM_E_ARG, clm_buckets_new(w.keep, 2, far, 1, &c, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_looking_at_all_finds),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
