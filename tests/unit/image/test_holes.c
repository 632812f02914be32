#include "collimate/image/holes.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>

static clm_vol volume(clm_work *w) {
    const int64_t shape[3] = {4, 5, 7};
    const double one[3] = {1, 1, 1};
    clm_vol v;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(w->keep, shape, one, one, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = (float)(10 + i % 7);
    return v;
}

/* what is linear along x stays so across any gap, and no value is touched */
static void gaps_are_bridged(void **state) {
    (void)state;
    clm_work w = clm_test_work(1);
    clm_vol v = volume(&w);
    uint8_t hole[140];
    bool finite;
    assert_false(clm_holes_any(&v, &finite));
    assert_true(finite);
    const int64_t gone[] = {1, 2, 30, 31, 32, 33, 100, 138};
    for (int i = 0; i < 8; i++) v.data[gone[i]] = NAN;
    assert_true(clm_holes_any(&v, &finite) && finite);
    clm_holes_fill(&v, hole);
    int64_t holes = 0;
    for (int64_t i = 0; i < 140; i++) {
        holes += hole[i];
        assert_near((double)v.data[i], (double)(10 + i % 7), 1e-5);
    }
    assert_int_equal(holes, 8);
    for (int i = 0; i < 8; i++) assert_int_equal(hole[gone[i]], 1);
    clm_test_work_drop(&w);
}

/* rows and planes without any value take those beside them; nothing leaves the range of what is there */
static void whole_rows_and_planes_are_bridged(void **state) {
    (void)state;
    clm_work w = clm_test_work(1);
    clm_vol v = volume(&w);
    uint8_t hole[140];
    for (int64_t i = 0; i < 7; i++) v.data[14 + i] = NAN; /* row 2 of plane 0 */
    for (int64_t i = 70; i < 105; i++) v.data[i] = NAN;   /* plane 2 */
    for (int64_t i = 105; i < 108; i++) v.data[i] = NAN;  /* the beginning of a row: constant */
    clm_holes_fill(&v, hole);
    for (int64_t i = 0; i < 7; i++) {
        assert_near((double)v.data[14 + i], (double)(10 + i), 1e-5);
        assert_near((double)v.data[77 + i], (double)(10 + i), 1e-5);
    }
    for (int64_t i = 105; i < 108; i++) assert_near((double)v.data[i], 13.0, 1e-5);
    clm_test_work_drop(&w);
}

static void nothing_at_all_is_zero(void **state) {
    (void)state;
    clm_work w = clm_test_work(1);
    clm_vol v = volume(&w);
    uint8_t hole[140];
    bool finite = true;
    for (int64_t i = 0; i < 140; i++) v.data[i] = NAN;
    assert_true(clm_holes_any(&v, &finite));
    assert_false(finite);
    clm_holes_fill(&v, hole);
    for (int64_t i = 0; i < 140; i++) assert_true(v.data[i] == 0.0f && hole[i]);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gaps_are_bridged),
                                       cmocka_unit_test(whole_rows_and_planes_are_bridged),
                                       cmocka_unit_test(nothing_at_all_is_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
