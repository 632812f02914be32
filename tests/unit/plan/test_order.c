#include "collimate/plan/order.h"
#include "support/near.h"

#include <stdlib.h>

static const int64_t shapes[][3] = {{1, 1, 1}, {1, 1, 7}, {2, 3, 6}, {5, 1, 4}, {16, 16, 16}, {9, 31, 2}};

static void each_task_comes_once(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t n = shapes[s][0] * shapes[s][1] * shapes[s][2];
        unsigned char *seen = calloc((size_t)n, 1); /* allow: a test */
        assert_true(clm_order_fits(shapes[s], n) && !clm_order_fits(shapes[s], n + 1));
        for (int64_t k = 0; k < n; k++) {
            int64_t i = clm_order_index(shapes[s], k);
            assert_in_range(i, 0, n - 1);
            assert_int_equal(seen[i]++, 0);
        }
        free(seen); /* allow: a test */
    }
    assert_false(clm_order_fits((const int64_t[3]){INT64_C(1) << 31, INT64_C(1) << 31, 4}, 0));
    assert_false(clm_order_fits((const int64_t[3]){-1, -1, 1}, 1));
}

/* the first half is the lower half along the longest axis */
static void halves_are_boxes(void **state) {
    (void)state;
    const int64_t shape[3] = {2, 3, 6};
    for (int64_t k = 0; k < 36; k++) assert_int_equal(clm_order_index(shape, k) % 6 < 3, k < 18);
}

/* 64 in a row of a cube are a box of 4 x 4 x 4, where by ascending index they would be four rows of 16 */
static void runs_are_compact(void **state) {
    (void)state;
    const int64_t shape[3] = {16, 16, 16};
    for (int64_t k = 0; k < 4096; k++) {
        int64_t a = clm_order_index(shape, k / 64 * 64), b = clm_order_index(shape, k);
        for (int64_t step = 1; step < 4096; step *= 16)
            assert_int_equal(a / step % 16 / 4, b / step % 16 / 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_comes_once),
        cmocka_unit_test(halves_are_boxes),
        cmocka_unit_test(runs_are_compact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
