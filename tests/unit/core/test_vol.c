#include "collimate/core/points.h"
#include "collimate/core/vol.h"
#include "support/near.h"
#include "support/temp.h"

static clm_work work;
static int open_work(void **state) {
    (void)state;
    work = clm_test_work(16);
    return 0;
}
static int close_work(void **state) {
    (void)state;
    clm_test_work_drop(&work);
    return 0;
}

/* every voxel holds a number that tells where it is in the whole volume */
static clm_vol numbered(const int64_t shape[3]) {
    clm_err err = CLM_ERR_NONE;
    clm_vol v;
    assert_ok(clm_vol_new(work.keep, shape, (double[3]){2, 1, 0.5}, (double[3]){10, 20, 30}, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = (float)i;
    return v;
}

static void assert_window(const clm_vol *whole, const clm_vol *part, clm_box box) {
    for (int d = 0; d < 3; d++) {
        assert_int_equal(part->shape[d], box.hi[d] - box.lo[d]);
        assert_near(part->spacing[d], whole->spacing[d], 0.0);
        assert_near(part->origin[d], whole->origin[d] + whole->spacing[d] * (double)box.lo[d], 0.0);
    }
    for (int64_t z = 0; z < part->shape[0]; z++)
        for (int64_t y = 0; y < part->shape[1]; y++)
            assert_near_n(clm_vol_row(part, z, y),
                          clm_vol_row(whole, z + box.lo[0], y + box.lo[1]) + box.lo[2], part->shape[2], 0.0);
}

static void a_crop_is_a_view_and_a_copy_equals_it(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_vol whole = numbered((int64_t[3]){4, 5, 6});
    for (int64_t z = 0; z < 4; z++)
        for (int64_t y = 0; y < 5; y++)
            for (int64_t x = 0; x < 6; x++) {
                clm_box box = {{z, y, x}, {4, 5 - y / 2 > y ? 5 - y / 2 : 5, 6}};
                clm_vol view = clm_vol_crop(&whole, box), copy;
                assert_window(&whole, &view, box);
                clm_mark m = clm_arena_mark(work.temp);
                assert_ok(clm_vol_copy(work.temp, &view, &copy, &err), err);
                assert_window(&whole, &copy, box);
                assert_int_equal(copy.stride[1], copy.shape[2]); /* packed */
                assert_int_equal(copy.stride[0], copy.shape[1] * copy.shape[2]);
                clm_arena_rewind(work.temp, m);
            }
    clm_box inner = {{1, 1, 1}, {4, 5, 5}}, again = {{1, 2, 0}, {3, 4, 2}};
    clm_vol view = clm_vol_crop(&whole, inner), deep = clm_vol_crop(&view, again);
    assert_window(&view, &deep, again);
    deep.data[0] = -1.0f; /* the same voxel */
    assert_near((double)clm_vol_row(&whole, 2, 3)[1], -1.0, 0.0);
}

static void too_much_is_an_error(void **state) {
    (void)state;
    static const int64_t bad[][3] = {
        {1 << 20, 1 << 20, 1 << 20}, {INT64_MAX, 2, 1}, {-1, 1, 1}, {1, 1, -1}, {2000, 2000, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_vol v;
        assert_fails(CLM_E_BUDGET,
                     clm_vol_new(work.keep, bad[i], (double[3]){1, 1, 1}, (double[3]){0, 0, 0}, &v, &err),
                     err);
    }
}

static void point_sets_have_room_for_all(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_points p;
    assert_ok(clm_points_new(work.keep, 100, &p, &err), err);
    assert_int_equal(p.n, 100);
    for (int64_t i = 0; i < p.n; i++) {
        assert_true(p.radius_um[i] == 0.0f && p.score[i] == 0.0f);
        p.pos[i][2] = (double)i;
        p.radius_um[i] = 1.0f;
        p.score[i] = 2.0f;
    }
    for (int64_t i = 0; i < p.n; i++) assert_near(p.pos[i][2], (double)i, 0.0);
    assert_ok(clm_points_new(work.keep, 0, &p, &err), err);
    assert_fails(CLM_E_BUDGET, clm_points_new(work.keep, -1, &p, &err), err);
}

#define WITH_WORK(f) cmocka_unit_test_setup_teardown(f, open_work, close_work)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_WORK(a_crop_is_a_view_and_a_copy_equals_it),
                                       WITH_WORK(too_much_is_an_error),
                                       WITH_WORK(point_sets_have_room_for_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
