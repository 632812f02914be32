#include "collimate/cluster/deal.h"
#include "collimate/base/rng.h"
#include "collimate/plan/order.h"
#include "support/near.h"

enum { WORKERS = 7, TASKS = 6 * 11 * 13 };

static const clm_stage stage = {.n = TASKS, .shape = {6, 11, 13}};

static void begin(clm_deal *d, clm_bits *taken, const clm_stage *s, int32_t workers) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_deal_reserve(d, workers, &err), err);
    assert_ok(clm_bits_open(taken, s->n, &err), err);
    clm_deal_begin(d, s, workers);
}

static int64_t take(clm_deal *d, clm_bits *taken, int worker, int workers) {
    int64_t i = clm_deal_take(d, worker, 1, workers, taken);
    if (i < 0) return i;
    assert_false(clm_bits_has(taken, i));
    clm_bits_set(taken, i);
    return i;
}

static void end(clm_deal *d, clm_bits *taken) {
    clm_deal_close(d);
    clm_bits_close(taken);
}

/* whoever asks, in whatever order, some of them never, some tasks done before */
static void every_task_is_dealt_once(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        clm_deal d = {0};
        clm_bits taken;
        uint64_t n = 0;
        int64_t left = TASKS, asking = 1 + clm_rng_below(seed, 1, n++, WORKERS);
        begin(&d, &taken, &stage, WORKERS);
        for (int64_t i = 0; i < TASKS; i++)
            if (seed % 2 && clm_rng_below(seed, 1, n++, 2)) clm_bits_set(&taken, i), left--;
        for (int w = 0; w < WORKERS && seed % 3; w++) clm_deal_share(&d, w, 1, WORKERS - w);
        for (; left > 0; left--)
            assert_true(take(&d, &taken, (int)clm_rng_below(seed, 1, n++, asking), WORKERS) >= 0);
        for (int w = 0; w < WORKERS; w++) assert_int_equal(take(&d, &taken, w, WORKERS), -1);
        end(&d, &taken);
    }
}

/* two who are equally fast: each its half, the lower and the upper along x, whoever asks first */
static void shares_are_halves(void **state) {
    (void)state;
    const clm_stage s = {.n = 36, .shape = {2, 3, 6}};
    for (int first = 0; first < 2; first++) {
        clm_deal d = {0};
        clm_bits taken;
        begin(&d, &taken, &s, 2);
        for (int w = 0; w < 2; w++) clm_deal_share(&d, w, 1, 2 - w);
        for (int k = 0; k < 36; k++) {
            int w = (k + first) % 2;
            assert_int_equal(take(&d, &taken, w, 2) % 6 / 3, w);
        }
        end(&d, &taken);
    }
}

/* who has none left takes half of what another still has, from the end to which that one would come last */
static void halves_are_taken_over(void **state) {
    (void)state;
    const clm_stage s = {.n = 48, .shape = {1, 1, 48}};
    for (int a = 0; a < 2; a++) { /* a goes up, or down */
        clm_deal d = {0};
        clm_bits taken;
        int b = 1 - a;
        begin(&d, &taken, &s, 2);
        for (int64_t k = 0; k < 8; k++)
            assert_int_equal(take(&d, &taken, a, 1), a ? 47 - k : k); /* alone until now */
        assert_int_equal(take(&d, &taken, b, 2), a ? 0 : 47);
        assert_int_equal(take(&d, &taken, a, 2), a ? 39 : 8);
        for (int64_t k = 1; k < 20; k++) assert_int_equal(take(&d, &taken, b, 2), a ? k : 47 - k);
        assert_in_range(take(&d, &taken, b, 2), 20, 28); /* and of the 19 that are left */
        end(&d, &taken);
    }
}

/* of many tasks a worker gets no more than a box at a time, so that all work at one front */
static void runs_are_bounded(void **state) {
    (void)state;
    const clm_stage s = {.n = 1000000, .shape = {100, 100, 100}};
    clm_deal d = {0};
    clm_bits taken;
    begin(&d, &taken, &s, 1000);
    for (int w = 0; w < 1000; w++) clm_deal_share(&d, w, 1, 1000 - w);
    for (int64_t k = 0; k < 64; k++)
        assert_int_equal(take(&d, &taken, 4, 1000), clm_order_index(s.shape, 4 * 64 + k));
    assert_int_equal(take(&d, &taken, 4, 1000), clm_order_index(s.shape, 64000));
    end(&d, &taken);
}

/* a stage that tells no grid: a row */
static void no_grid_is_a_row(void **state) {
    (void)state;
    const clm_stage s = {.n = 5};
    clm_deal d = {0};
    clm_bits taken;
    begin(&d, &taken, &s, 1);
    for (int64_t k = 0; k < 5; k++) assert_int_equal(take(&d, &taken, 0, 1), k);
    assert_int_equal(take(&d, &taken, 0, 1), -1);
    end(&d, &taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_is_dealt_once), cmocka_unit_test(shares_are_halves),
        cmocka_unit_test(halves_are_taken_over),    cmocka_unit_test(runs_are_bounded),
        cmocka_unit_test(no_grid_is_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
