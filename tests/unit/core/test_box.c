#include "collimate/base/rng.h"
#include "collimate/core/box.h"
#include "support/near.h"

static clm_box random_box(uint64_t key) {
    clm_box b;
    for (uint64_t d = 0; d < 3; d++) {
        b.lo[d] = clm_rng_below(8, key, 2 * d, 7) - 2;
        b.hi[d] = b.lo[d] + clm_rng_below(8, key, 2 * d + 1, 6) - 1; /* some are empty */
    }
    return b;
}

/* Boxes as sets of voxels: what each function must mean, by looking at every voxel around. */
static void boxes_are_sets(void **state) {
    (void)state;
    for (uint64_t k = 0; k < 3000; k++) {
        clm_box a = random_box(2 * k), b = random_box(2 * k + 1), both = clm_box_meet(a, b);
        int64_t count = 0;
        bool covers = true;
        for (int64_t z = -4; z < 12; z++)
            for (int64_t y = -4; y < 12; y++)
                for (int64_t x = -4; x < 12; x++) {
                    bool in_a = clm_box_has(a, z, y, x), in_b = clm_box_has(b, z, y, x);
                    assert_true(clm_box_has(both, z, y, x) == (in_a && in_b));
                    count += in_a;
                    if (in_b && !in_a) covers = false;
                }
        assert_int_equal(clm_box_count(a), count);
        assert_true(clm_box_is_empty(a) == (count == 0));
        if (!clm_box_is_empty(b)) assert_true(clm_box_covers(a, b) == covers);
        clm_box again = clm_box_meet(b, a);
        assert_memory_equal(&both, &again, sizeof both);
    }
}

static void growing_and_shrinking(void **state) {
    (void)state;
    clm_box b = clm_box_of((int64_t[3]){4, 5, 6});
    assert_int_equal(clm_box_count(b), 120);
    clm_box big = clm_box_grow(b, (int64_t[3]){1, 2, 3});
    assert_int_equal(clm_box_count(big), 6 * 9 * 12);
    assert_true(clm_box_covers(big, b) && !clm_box_covers(b, big));
    clm_box back = clm_box_grow(big, (int64_t[3]){-1, -2, -3});
    assert_memory_equal(&back, &b, sizeof b);
    assert_true(clm_box_is_empty(clm_box_grow(b, (int64_t[3]){-2, 0, 0})));
    assert_int_equal(clm_box_count(clm_box_grow(b, (int64_t[3]){-9, -9, 0})), 0); /* not a positive product */
}

static void division_rounds_as_it_says(void **state) {
    (void)state;
    for (int64_t a = -50; a <= 50; a++)
        for (int64_t b = 1; b < 12; b++) {
            int64_t f = clm_div_floor(a, b);
            assert_true(f * b <= a && a < (f + 1) * b);
            if (a < 0) continue;
            int64_t u = clm_div_up(a, b);
            assert_true(u * b >= a && (u - 1) * b < a);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(boxes_are_sets),
                                       cmocka_unit_test(growing_and_shrinking),
                                       cmocka_unit_test(division_rounds_as_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
