#include "collimate/base/rng.h"
#include "support/near.h"

#include <math.h>

#define DRAWS 200000

/* Chi-square of counts in `bins` equal bins: mean bins-1, deviation sqrt(2(bins-1)); six deviations allowed. */
static void assert_even(const int64_t *count, int bins, int64_t draws) {
    double expected = (double)draws / bins, chi = 0.0;
    for (int i = 0; i < bins; i++)
        chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    assert_near(chi, bins - 1, 6.0 * sqrt(2.0 * (bins - 1)));
}

static void numbers_do_not_depend_on_order(void **state) {
    (void)state;
    uint64_t forward[100];
    for (uint64_t i = 0; i < 100; i++) forward[i] = clm_rng_bits(5, 6, i);
    for (uint64_t i = 100; i-- > 0;) {
        (void)clm_rng_bits(9, 9, i); /* others draw in between */
        assert_true(clm_rng_bits(5, 6, i) == forward[i]);
    }
}

/* From a second implementation; a change of the generator, which would change every result, is seen. */
static void the_generator_is_the_one_it_was(void **state) {
    (void)state;
    assert_true(clm_rng_bits(0, 0, 0) == 0x238275bc38fcbe91u);
    assert_true(clm_rng_bits(1, 2, 3) == 0xd0734750fde362b3u);
}

static void uniform_along_each_key(void **state) {
    (void)state;
    for (int key = 0; key < 3; key++) {
        int64_t count[64] = {0}, pairs[64] = {0};
        double before = 0.5;
        for (uint64_t i = 0; i < DRAWS; i++) {
            uint64_t k[3] = {7, 7, 7};
            k[key] = i;
            double u = clm_rng_uniform(k[0], k[1], k[2]);
            assert_true(u >= 0.0 && u < 1.0);
            count[(int)(u * 64)]++;
            pairs[(int)(before * 8) * 8 + (int)(u * 8)]++; /* and neighbours are independent */
            before = u;
        }
        assert_even(count, 64, DRAWS);
        assert_even(pairs, 64, DRAWS);
    }
}

static void below_covers_its_range_evenly(void **state) {
    (void)state;
    static const int64_t ranges[] = {1, 2, 3, 7, 100};
    for (int r = 0; r < 5; r++) {
        int64_t count[100] = {0};
        for (uint64_t i = 0; i < DRAWS; i++) {
            int64_t k = clm_rng_below(3, 1, i, ranges[r]);
            assert_true(k >= 0 && k < ranges[r]);
            count[k]++;
        }
        if (ranges[r] > 1) assert_even(count, (int)ranges[r], DRAWS);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        int64_t k = clm_rng_below(3, 1, i, INT64_MAX);
        assert_true(k >= 0 && k < INT64_MAX);
    }
}

static void normal_has_the_moments_of_one(void **state) {
    (void)state;
    double sum[4] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        double x = clm_rng_normal(11, 0, i);
        assert_true(isfinite(x));
        for (int p = 0; p < 4; p++) sum[p] += pow(x, p + 1);
    }
    /* standard errors of the first four moments are sqrt(1, 2, 15, 96) / sqrt(n); five of them allowed */
    static const double want[4] = {0, 1, 0, 3}, variance[4] = {1, 2, 15, 96};
    for (int p = 0; p < 4; p++) assert_near(sum[p] / DRAWS, want[p], 5.0 * sqrt(variance[p] / DRAWS));
}

static void one_key_more_changes_half_the_bits(void **state) {
    (void)state;
    int64_t flips = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t a = clm_rng_bits(i, 1, 1);
        flips += __builtin_popcountll(a ^ clm_rng_bits(i + 1, 1, 1));
        flips += __builtin_popcountll(a ^ clm_rng_bits(i, 2, 1));
        flips += __builtin_popcountll(a ^ clm_rng_bits(i, 1, 2));
        assert_true(clm_rng_mix(i, 1) != clm_rng_mix(1, i) || i == 1); /* the keys have places */
    }
    assert_near((double)flips / 3000.0, 32.0, 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_do_not_depend_on_order),
                                       cmocka_unit_test(the_generator_is_the_one_it_was),
                                       cmocka_unit_test(uniform_along_each_key),
                                       cmocka_unit_test(below_covers_its_range_evenly),
                                       cmocka_unit_test(normal_has_the_moments_of_one),
                                       cmocka_unit_test(one_key_more_changes_half_the_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
