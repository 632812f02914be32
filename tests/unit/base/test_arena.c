#include "collimate/base/arena.h"
#include "support/near.h"

#include <string.h>
#include <sys/mman.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define KIB 1024

static clm_arena *open_kib(int kib) {
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = NULL;
    assert_ok(clm_arena_open((size_t)kib * KIB, &a, &err), err);
    return a;
}

static void items_are_aligned_and_apart(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(64);
    unsigned char *before = NULL;
    int64_t before_n = 0;
    for (int64_t n = 0; n < 200; n += 7) {
        unsigned char *p = clm_take(a, unsigned char, n, &err);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        if (before) assert_true(p >= before + before_n);
        memset(p, (int)n, (size_t)n);
        for (int64_t i = 0; i < before_n; i++) assert_int_equal(before[i], (before_n & 0xff));
        before = p, before_n = n;
    }
    clm_arena_close(a);
}

static void the_budget_is_an_error_and_nothing_is_lost(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(16);
    assert_non_null(clm_take(a, char, 4 * KIB, &err));
    clm_mark before = clm_arena_mark(a);
    assert_null(clm_take(a, char, 13 * KIB, &err));
    assert_int_equal(err.code, CLM_E_BUDGET);
    assert_non_null(strstr(err.text, "13312")); /* what was asked */
    assert_non_null(strstr(err.text, "16384")); /* what there is  */
    assert_int_equal(clm_arena_mark(a).used, before.used);
    assert_non_null(clm_take(a, char, 4 * KIB, &err)); /* a smaller wish still passes */
    clm_arena_close(a);
}

static void a_pair_shares_its_budget(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = NULL, *b = NULL;
    assert_ok(clm_arena_open_pair(16 * KIB, &a, &b, &err), err);
    clm_mark empty = clm_arena_mark(a);
    assert_non_null(clm_take(a, char, 9 * KIB, &err));
    assert_null(clm_take(b, char, 9 * KIB, &err)); /* each alone would have room */
    assert_int_equal(err.code, CLM_E_BUDGET);
    assert_non_null(clm_take(b, char, 4 * KIB, &err));
    clm_arena_rewind(a, empty);
    assert_non_null(clm_take(b, char, 9 * KIB, &err));
    for (int k = 0; k < 2; k++) { /* of both together, at one time */
        size_t peak = clm_arena_peak(k ? b : a);
        assert_true(peak >= 13 * KIB && peak <= 16 * KIB);
    }
    clm_arena_close(a);
    assert_non_null(b);
    clm_arena_close(b);
}

static void senseless_counts_are_refused(void **state) {
    (void)state;
    clm_arena *a = open_kib(16);
    static const struct {
        int64_t n;
        size_t size;
    } bad[] = {{-1, 1}, {INT64_MAX, 2}, {INT64_MAX, 1}, {INT64_MAX / 8, 8}, {1, SIZE_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        assert_null(clm_arena_take(a, bad[i].n, bad[i].size, &err));
        assert_int_equal(err.code, CLM_E_BUDGET);
    }
    clm_arena_close(a);
}

static void rewind_gives_back_what_came_since_the_mark(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(64);
    int *kept = clm_take(a, int, 10, &err);
    for (int i = 0; i < 10; i++) kept[i] = i;
    clm_mark m = clm_arena_mark(a);
    void *first = clm_take(a, char, 1000, &err);
    for (int round = 0; round < 1000; round++) { /* far beyond the budget in sum */
        clm_arena_rewind(a, m);
        char *p = clm_take(a, char, 1000, &err);
        assert_ptr_equal(p, first);
        memset(p, round, 1000);
    }
    for (int i = 0; i < 10; i++) assert_int_equal(kept[i], i);
    clm_arena_close(a);
}

static void zeroed_memory_is_zero_even_where_it_was_used(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(16);
    clm_mark m = clm_arena_mark(a);
    memset(clm_take(a, char, 5000, &err), 0x5a, 5000);
    clm_arena_rewind(a, m);
    const char *p = clm_take_zero(a, char, 5000, &err);
    for (int i = 0; i < 5000; i++) assert_int_equal(p[i], 0);
    clm_arena_close(a);
}

static void the_peak_is_the_most_and_reset_forgets_it(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(256);
    clm_mark m = clm_arena_mark(a);
    assert_int_equal(clm_arena_peak(a), 0);
    memset(clm_take(a, char, 100 * KIB, &err), 1, 100 * KIB);
    clm_arena_rewind(a, m);
    assert_non_null(clm_take(a, char, 10, &err));
    size_t peak = clm_arena_peak(a);
    assert_true(peak >= 100 * KIB && peak < 101 * KIB);
    clm_arena_reset(a, 8 * KIB);
    assert_int_equal(clm_arena_peak(a), 0);
    assert_int_equal(clm_arena_mark(a).used, 0);
    char *p = clm_take_zero(a, char, 200 * KIB, &err); /* pages given back can be had again */
    assert_non_null(p);
    memset(p, 2, 200 * KIB);
    clm_arena_close(a);
}

#if defined(__SANITIZE_ADDRESS__)
static void assert_dark(const char *p, bool dark) { assert_int_equal(__asan_address_is_poisoned(p), dark); }

static void what_is_not_taken_is_poisoned(void **state) {
    (void)state;
    enum { MIB = 1024 * KIB };
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(128 * KIB);
    clm_mark empty = clm_arena_mark(a);
    const char *first = clm_take(a, char, 100, &err), *large = clm_take(a, char, 100 * MIB, &err), *last;
    assert_null(__asan_region_is_poisoned((void *)(uintptr_t)first, 100));
    assert_null(__asan_region_is_poisoned((void *)(uintptr_t)large, (size_t)100 * MIB));
    assert_dark(first + 100, true);
    for (int mib = 100; mib < 116; mib++) assert_dark(large + mib * MIB, true); /* and some way beyond */
    clm_arena_rewind(a, empty);
    assert_dark(first, true);
    assert_dark(large + 50 * MIB, true);
    last = clm_take(a, char, 10, &err);
    assert_ptr_equal(last, first);
    assert_dark(last + 9, false);
    assert_dark(last + 10, true);
    clm_arena_close(a);
    assert_dark(first, false); /* who maps it next knows nothing of us */
    assert_dark(large, false);
}
#endif

static bool in_memory(void *page) {
    unsigned char there = 0;
    assert_int_equal(mincore(page, 1, &there), 0);
    return there & 1;
}

/* a task that comes again has its pages; one of the past does not hold any */
static void reset_keeps_what_was_used_of_late(void **state) {
    (void)state;
    enum { MIB = 1024 * KIB };
    clm_err err = CLM_ERR_NONE;
    clm_arena *a = open_kib(26 * KIB);
    char *p = NULL;
    for (int round = 0; round < 2; round++) {
        p = clm_take_zero(a, char, 20 * MIB, &err);
        assert_non_null(p);
        clm_arena_reset(a, 13 * MIB);
        assert_true(in_memory(p + 10 * MIB));
        assert_false(in_memory(p + 16 * MIB)); /* above the most that is kept */
    }
    for (int task = 0; task < 8; task++) { /* smaller ones */
        assert_non_null(clm_take_zero(a, char, MIB, &err));
        clm_arena_reset(a, 13 * MIB);
        assert_true(in_memory(p));
        if (task == 0) assert_true(in_memory(p + 10 * MIB)); /* a large one may come again */
    }
    assert_false(in_memory(p + 10 * MIB));
    clm_arena_close(a);
}

static void closing_nothing_is_fine(void **state) {
    (void)state;
    clm_arena_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_aligned_and_apart),
        cmocka_unit_test(the_budget_is_an_error_and_nothing_is_lost),
        cmocka_unit_test(a_pair_shares_its_budget),
        cmocka_unit_test(senseless_counts_are_refused),
        cmocka_unit_test(rewind_gives_back_what_came_since_the_mark),
        cmocka_unit_test(zeroed_memory_is_zero_even_where_it_was_used),
        cmocka_unit_test(the_peak_is_the_most_and_reset_forgets_it),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(what_is_not_taken_is_poisoned),
#endif
        cmocka_unit_test(reset_keeps_what_was_used_of_late),
        cmocka_unit_test(closing_nothing_is_fine)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
