#include "collimate/image/quantile.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdlib.h>

enum { N = 20001 };

static int by_value(const void *a, const void *b) {
    float p = *(const float *)a, q = *(const float *)b;
    return (p > q) - (p < q);
}

/* against sorting, for values of both signs over many decades */
static void near_sorting(void **state) {
    (void)state;
    clm_work w = clm_test_work(32);
    clm_err err = CLM_ERR_NONE;
    static const double parts[] = {0.0, 0.001, 0.25, 0.5, 0.75, 0.999, 1.0};
    static float v[N];
    clm_quantile q, r;
    assert_ok(clm_quantile_new(w.keep, &q, &err), err);
    assert_ok(clm_quantile_new(w.keep, &r, &err), err);
    for (int i = 0; i < N; i++) {
        double x = clm_rng_normal(3, 1, (uint64_t)i);
        v[i] = (float)(x * x * x * exp(3.0 * clm_rng_normal(3, 2, (uint64_t)i)));
    }
    clm_quantile_add(&q, v, N / 3);
    clm_quantile_add(&r, v + N / 3, N - N / 3);
    const float odd[3] = {NAN, INFINITY, -INFINITY};
    clm_quantile_add(&r, odd, 3);
    clm_quantile_merge(&q, &r);
    assert_int_equal(q.n, N);
    qsort(v, N, sizeof *v, by_value);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int64_t at = (int64_t)ceil(parts[i] * N) - 1;
        double want = (double)v[at < 0 ? 0 : at];
        assert_near(clm_quantile_at(&q, parts[i]), want, fabs(want) / 1024.0);
        clm_quantile_pick p = {.low = clm_take_zero(w.keep, int64_t, CLM_QUANTILE_LOW, &err)};
        assert_non_null(p.low);
        clm_quantile_find(&q, parts[i], &p);
        clm_quantile_look(&p, 1, v, N);
        clm_quantile_look(&p, 1, odd, 3);
        assert_near(clm_quantile_picked(&p), want, 0);
    }
    clm_test_work_drop(&w);
}

static void whole_numbers_exactly(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_quantile q;
    assert_ok(clm_quantile_new(w.keep, &q, &err), err);
    assert_true(isnan(clm_quantile_at(&q, 0.5)));
    for (int i = 0; i <= 1000; i++) {
        float v = (float)i;
        clm_quantile_add(&q, &v, 1);
    }
    for (int i = 1; i <= 1000; i += 37) assert_near(clm_quantile_at(&q, (i + 1) / 1001.0), i, 0);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(near_sorting),
                                       cmocka_unit_test(whole_numbers_exactly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
