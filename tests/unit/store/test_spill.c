#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/file.h"
#include "collimate/store/spill.h"

#include <string.h>

static char folder[CLM_PATH_MAX];
static clm_work work;

static int set_up(void **state) {
    (void)state;
    clm_test_folder(folder);
    work = clm_test_work(4);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static void put_one(const char *path, const float *u, const uint8_t *flag) {
    clm_err err = CLM_ERR_NONE;
    clm_section s[3] = {{"flag", CLM_U8, {5, 1, 1, 1}, flag},
                        {"u", CLM_F32, {3, 4, 5, 6}, u},
                        {"none", CLM_F64, {0, 1, 1, 1}, NULL}};
    assert_ok(clm_spill_put(path, 77, 2, 123456789012, s, 3, &err), err);
}

static void round_trip(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    float u[360];
    uint8_t flag[5] = {1, 2, 3, 4, 5};
    clm_spill got;
    for (int i = 0; i < 360; i++) u[i] = (float)(i / 7) * 0.5f;
    assert_ok(clm_path_join(path, folder, "a/b/one", &err), err);
    put_one(path, u, flag);
    assert_ok(clm_spill_read(path, 77, work.keep, &got, &err), err);
    assert_int_equal(got.index, 123456789012);
    assert_int_equal(got.stage, 2);
    assert_int_equal(got.n, 3);
    const clm_section *s = clm_spill_find(&got, "u");
    assert_non_null(s);
    assert_int_equal(clm_section_count(s), 360);
    assert_int_equal((uintptr_t)s->data % 8, 0);
    assert_memory_equal(s->data, u, sizeof u);
    assert_memory_equal(clm_spill_find(&got, "flag")->data, flag, 5);
    assert_null(clm_spill_find(&got, "v"));
    assert_fails(CLM_E_FORMAT, clm_spill_read(path, 78, work.keep, &got, &err), err);
    assert_non_null(strstr(err.text, "another plan"));
    assert_ok(clm_path_join(path, folder, "nothing", &err), err);
    assert_fails(CLM_E_NOTFOUND, clm_spill_read(path, 77, work.keep, &got, &err), err);
}

/* Whatever byte changes and wherever the file is cut, it is refused. */
static void damage_is_seen(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    float u[360];
    uint8_t flag[5] = {1, 2, 3, 4, 5};
    clm_spill got;
    for (int i = 0; i < 360; i++) u[i] = (float)i;
    assert_ok(clm_path_join(path, folder, "two", &err), err);
    put_one(path, u, flag);
    assert_ok(clm_file_read(path, 1 << 20, &b, &err), err);
    for (size_t at = 0; at < b.n; at += at < 240 ? 1 : 17) {
        b.data[at] ^= 0x10;
        assert_ok(clm_file_publish(path, b.data, b.n, false, &err), err);
        assert_fails(CLM_E_FORMAT, clm_spill_read(path, 77, work.keep, &got, &err), err);
        b.data[at] ^= 0x10;
        assert_ok(clm_file_publish(path, b.data, at, false, &err), err);
        assert_fails(CLM_E_FORMAT, clm_spill_read(path, 77, work.keep, &got, &err), err);
    }
    clm_buf_free(&b);
}

static void budget_is_kept(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_arena *small = NULL;
    float u[360] = {0};
    uint8_t flag[5] = {0};
    clm_spill got;
    assert_ok(clm_path_join(path, folder, "three", &err), err);
    put_one(path, u, flag);
    assert_ok(clm_arena_open(4096, &small, &err), err);
    assert_non_null(clm_arena_take(small, 3000, 1, &err));
    assert_fails(CLM_E_BUDGET, clm_spill_read(path, 77, small, &got, &err), err);
    clm_arena_close(small);
}

/* what could not be read back is not written: told before a byte of it is looked at */
static void test_too_much(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_section s[3];
    for (int i = 0; i < 3; i++)
        s[i] = (clm_section){.name = "u", .dtype = CLM_F64, .shape = {1 << 10, 1 << 10, 1 << 10, 1}};
    assert_ok(clm_path_join(path, folder, "large", &err), err);
    assert_fails(CLM_E_ARG, clm_spill_put(path, 77, 2, 1, s, 3, &err), err);
    assert_non_null(strstr(err.text, "blocks smaller"));
    assert_int_equal(clm_path_kind_of(path), CLM_PATH_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(budget_is_kept),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
