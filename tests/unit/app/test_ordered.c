#include "collimate/app/ordered.h"
#include "collimate/base/file.h"
#include "support/fault.h"
#include "support/near.h"
#include "support/folder.h"

#include <stdio.h>
#include <string.h>

enum { LINES = 20000 };

/* line k of LINES, in an order that is a mixture of near and far; each seventh once more, later and wrong */
static bool write_lines(const char *name, size_t budget, clm_err *err) {
    char path[CLM_PATH_MAX], parts[CLM_PATH_MAX], line[64];
    clm_ordered *o = NULL;
    bool ok = clm_path_join(path, folder, name, err) && clm_path_join(parts, folder, "parts", err) &&
              clm_ordered_open(path, parts, budget, &o, err);
    for (int64_t i = 0; ok && i < LINES; i++) {
        int64_t k = i * 7919 % LINES;
        int n = snprintf(line, sizeof line, "line %lld%.*s", (long long)k, (int)(k % 9), "........");
        ok = clm_ordered_add(o, (uint64_t)k, line, (size_t)n, err);
        if (ok && i % 7 == 0) ok = clm_ordered_add(o, (uint64_t)k, "wrong", 5, err);
    }
    ok = ok && clm_ordered_publish(o, err);
    clm_ordered_close(o);
    return ok;
}

static void check(const char *name) {
    char path[CLM_PATH_MAX], want[64];
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    size_t at = 0;
    assert_ok(clm_path_join(path, folder, name, &err) && clm_file_read(path, (size_t)1 << 24, &b, &err), err);
    for (int64_t k = 0; k < LINES; k++) {
        int n = snprintf(want, sizeof want, "line %lld%.*s\n", (long long)k, (int)(k % 9), "........");
        assert_true(at + (size_t)n <= b.n);
        assert_memory_equal(b.data + at, want, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(at, b.n);
    clm_buf_free(&b);
}

static int64_t left_behind(void) {
    char parts[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_names names;
    assert_ok(clm_path_join(parts, folder, "parts", &err), err);
    if (clm_path_kind_of(parts) == CLM_PATH_NONE) return 0;
    assert_ok(clm_folder_list(parts, &names, &err), err);
    int64_t n = names.n;
    clm_names_free(&names);
    return n;
}

/* in memory, in a few parts, in hundreds */
static void any_memory_gives_the_same_lines(void **state) {
    (void)state;
    static const size_t budgets[] = {(size_t)64 << 20, 300000, 2000};
    for (int i = 0; i < 3; i++) {
        clm_err err = CLM_ERR_NONE;
        assert_ok(write_lines("list", budgets[i], &err), err);
        check("list");
        assert_int_equal(left_behind(), 0);
    }
}

static void nothing_is_an_empty_file(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_ordered *o = NULL;
    clm_buf b = {0};
    assert_ok(clm_path_join(path, folder, "empty", &err), err);
    assert_ok(clm_ordered_open(path, folder, 1000, &o, &err) && clm_ordered_publish(o, &err), err);
    clm_ordered_close(o);
    assert_ok(clm_file_read(path, 1, &b, &err), err);
    assert_int_equal(b.n, 0);
    clm_buf_free(&b);
}

#ifdef CLM_FAULTS
static bool attempt(void *ctx, clm_err *err) { return write_lines(ctx, 300000, err); }

static void after(void *ctx, bool ok) {
    (void)ctx;
    (void)ok;
    assert_int_equal(left_behind(), 0);
}

static void a_refusal_leaves_the_old_file(void **state) {
    (void)state;
    char name[] = "refused";
    clm_err err = CLM_ERR_NONE;
    assert_ok(write_lines(name, 300000, &err), err);
    assert_true(clm_test_every_fault("write", "ENOSPC", CLM_E_WRITE, attempt, after, name) > 3);
    assert_true(clm_test_every_fault("create", "EACCES", CLM_E_WRITE, attempt, after, name) > 3);
    assert_true(clm_test_every_fault("rename", "EIO", CLM_E_WRITE, attempt, after, name) > 3);
    assert_true(clm_test_every_fault("read", "EIO", CLM_E_IO, attempt, after, name) > 3);
    assert_true(clm_test_every_fault("heap", "ENOMEM", CLM_E_NOMEM, attempt, after, name) > 3);
    check(name);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_memory_gives_the_same_lines),
#ifdef CLM_FAULTS
                                       cmocka_unit_test(a_refusal_leaves_the_old_file),
#endif
                                       cmocka_unit_test(nothing_is_an_empty_file)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
