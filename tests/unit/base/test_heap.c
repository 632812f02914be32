#include "collimate/base/heap.h"
#include "support/near.h"

#include <string.h>

static void new_memory_is_zero(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    unsigned char *p = clm_heap_new(1000, 3, &err);
    assert_non_null(p);
    for (int i = 0; i < 3000; i++) assert_int_equal(p[i], 0);
    clm_heap_free(p);
    p = clm_heap_new(0, 8, &err); /* nothing is something one can free */
    assert_non_null(p);
    clm_heap_free(p);
    clm_heap_free(NULL);
}

static void growth_keeps_what_is_there(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    void *p = NULL;
    for (size_t n = 1; n < 5000; n = n * 3 + 1) {
        assert_ok(clm_heap_grow(&p, n, sizeof(int), &err), err);
        int *v = p;
        for (size_t i = 0; i < n / 3; i++) assert_int_equal(v[i], (int)i);
        for (size_t i = 0; i < n; i++) v[i] = (int)i;
    }
    void *before = p;
    assert_fails(CLM_E_BUDGET, clm_heap_grow(&p, SIZE_MAX / 2, 4, &err), err);
    assert_ptr_equal(p, before);
    assert_int_equal(((int *)p)[1], 1);
    clm_heap_free(p);
}

static void texts_and_buffers(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char *t = clm_heap_text("abc", &err);
    assert_string_equal(t, "abc");
    clm_heap_free(t);
    clm_buf b = {0};
    assert_ok(clm_buf_reserve(&b, 10, &err), err);
    memset(b.data, 7, 10);
    b.n = 10;
    const unsigned char *at = b.data;
    assert_ok(clm_buf_reserve(&b, 5, &err), err); /* never shrinks */
    assert_ptr_equal(b.data, at);
    assert_ok(clm_buf_reserve(&b, 100000, &err), err);
    for (int i = 0; i < 10; i++) assert_int_equal(b.data[i], 7);
    clm_buf_free(&b);
    clm_buf_free(&b);
}

static void products_are_checked(void **state) {
    (void)state;
    static const struct {
        int64_t a, b;
        bool ok;
    } cases[] = {{0, 0, true},
                 {0, INT64_MAX, true},
                 {1, INT64_MAX, true},
                 {2, INT64_MAX / 2, true},
                 {2, INT64_MAX / 2 + 1, false},
                 {INT64_MAX, INT64_MAX, false},
                 {(int64_t)1 << 32, (int64_t)1 << 31, false},
                 {((int64_t)1 << 32) - 1, (int64_t)1 << 31, true},
                 {-1, 5, false},
                 {5, -1, false},
                 {-2, -3, false},
                 {INT64_MIN, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        int64_t out = 0;
        bool ok = clm_mul(cases[i].a, cases[i].b, &out, &err);
        if (ok != cases[i].ok) fail_msg("%lld x %lld", (long long)cases[i].a, (long long)cases[i].b);
        if (ok)
            assert_true(out == cases[i].a * cases[i].b);
        else
            assert_int_equal(err.code, CLM_E_BUDGET);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_memory_is_zero), cmocka_unit_test(growth_keeps_what_is_there),
        cmocka_unit_test(texts_and_buffers), cmocka_unit_test(products_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
