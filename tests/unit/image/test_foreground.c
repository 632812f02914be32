#include "collimate/base/rng.h"
#include "collimate/image/foreground.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const int64_t shape[3] = {40, 48, 44};
static const double middle[3] = {20, 23, 21};

static double radius_at(int64_t i) {
    const double at[3] = {(double)(i / shape[1] / shape[2]), (double)(i / shape[2] % shape[1]),
                          (double)(i % shape[2])};
    double sum = 0;
    for (int d = 0; d < 3; d++) sum += (at[d] - middle[d]) * (at[d] - middle[d]);
    return sqrt(sum);
}

/* a shell of radius 8 to 15, ten times brighter on one side than on the other, around a dark cavity */
static clm_vol shell(clm_work *w, double gain, double offset) {
    const double one[3] = {1, 1, 1};
    clm_vol v;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(w->keep, shape, one, one, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) {
        double r = radius_at(i), side = (double)(i % shape[2]) / (double)shape[2];
        double bright = r > 8 && r < 15 ? 40 + 360 * side : 0;
        v.data[i] = (float)(offset + gain * (bright + 6 * clm_rng_normal(1, 2, (uint64_t)i)));
    }
    return v;
}

static int64_t count(const uint8_t *in, double from, double to) {
    int64_t n = 0;
    for (int64_t i = 0; i < shape[0] * shape[1] * shape[2]; i++) {
        double r = radius_at(i);
        n += in[i] && r >= from && r < to;
    }
    return n;
}

/* dim and bright tissue and what they enclose, whatever the camera's gain and offset; not the surrounding */
static void tissue_is_told_from_its_surrounding(void **state) {
    (void)state;
    static const double gains[3] = {1, 0.01, 300}, offsets[3] = {100, -5, 0};
    static uint8_t in[40 * 48 * 44], all[40 * 48 * 44];
    for (size_t i = 0; i < sizeof all; i++) all[i] = 1;
    for (int k = 0; k < 3; k++) {
        clm_work w = clm_test_work(16);
        clm_err err = CLM_ERR_NONE;
        clm_foreground f;
        clm_vol v = shell(&w, gains[k], offsets[k]);
        assert_ok(clm_foreground_find(&w, &v, 0, in, &f, &err), err);
        print_message("gain %g: threshold %g, apart %.2f, share %.3f\n", gains[k], f.threshold, f.apart,
                      f.share);
        assert_int_equal(count(in, 0, 14), count(all, 0, 14));
        assert_int_equal(count(in, 18, 100), 0);
        assert_near(f.share, (double)count(in, 0, 100) / (double)sizeof in, 1e-12);
        /* grown by three voxels along every axis, and no more */
        assert_ok(clm_foreground_find(&w, &v, 3, in, &f, &err), err);
        assert_int_equal(count(in, 0, 17), count(all, 0, 17));
        assert_int_equal(count(in, 18 + 3 * sqrt(3), 100), 0);
        assert_int_equal(clm_arena_mark(w.temp).used, 0);
        clm_test_work_drop(&w);
    }
}

/* an opening to the border lets the outside in */
static void only_what_is_enclosed_is_filled(void **state) {
    (void)state;
    static uint8_t in[40 * 48 * 44];
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_foreground f;
    clm_vol v = shell(&w, 1, 100);
    for (int64_t z = 0; z < 20; z++)
        for (int64_t y = 16; y < 31; y++)
            for (int64_t x = 14; x < 29; x++) clm_vol_row(&v, z, y)[x] = 100;
    assert_ok(clm_foreground_find(&w, &v, 0, in, &f, &err), err);
    assert_int_equal(count(in, 0, 4), 0);
    assert_true(count(in, 9, 14) > 4000);
    clm_test_work_drop(&w);
}

/* one kind of tissue all over is all foreground; what is masked has no say; nothing is an error */
static void what_has_no_surrounding(void **state) {
    (void)state;
    static uint8_t in[40 * 48 * 44];
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_foreground f;
    clm_vol v = shell(&w, 1, 100);
    for (int64_t i = 0; i < clm_vol_count(&v); i++)
        v.data[i] = (float)(300 + 20 * clm_rng_normal(3, 4, (uint64_t)i));
    assert_ok(clm_foreground_find(&w, &v, 0, in, &f, &err), err);
    print_message("noise: apart %.3f\n", f.apart);
    assert_near(f.share, 1, 0);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = i % 2 ? 7 : NAN;
    assert_fails(CLM_E_NODATA, clm_foreground_find(&w, &v, 0, in, &f, &err), err);
    assert_non_null(strstr(err.text, "constant"));
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = NAN;
    assert_fails(CLM_E_NODATA, clm_foreground_find(&w, &v, 0, in, &f, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tissue_is_told_from_its_surrounding),
                                       cmocka_unit_test(only_what_is_enclosed_is_filled),
                                       cmocka_unit_test(what_has_no_surrounding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
