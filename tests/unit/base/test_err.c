#include "collimate/base/err.h"
#include "support/near.h"

#include <errno.h>
#include <string.h>

static bool leaf(clm_err *err) { return clm_fail(err, CLM_E_NODATA, "%d matches, need %d", 3, 8); }

static void a_failure_tells_what_and_where(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    assert_false(leaf(&err));
    assert_int_equal(err.code, CLM_E_NODATA);
    assert_int_equal(err.sys, 0);
    assert_string_equal(err.text, "3 matches, need 8");
    assert_non_null(strstr(err.where, "test_err.c:"));
    assert_null(strchr(err.where, '/'));
}

static void context_goes_in_front_and_keeps_the_rest(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    (void)leaf(&err);
    clm_err before = err;
    assert_false(clm_err_in(&err, "block %d,%d,%d", 3, 0, 7));
    assert_false(clm_err_in(&err, "run"));
    assert_string_equal(err.text, "run: block 3,0,7: 3 matches, need 8");
    assert_int_equal(err.code, before.code);
    assert_string_equal(err.where, before.where);
}

static void the_system_s_reason_is_read_first(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    errno = ENOSPC;
    assert_false(clm_fail_os(&err, CLM_E_WRITE, "s0/c/%d", 5));
    assert_int_equal(err.sys, ENOSPC);
    assert_string_equal(err.text, "s0/c/5: No space left on device");
}

static void a_long_text_is_cut_and_marked(void **state) {
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    clm_err err = CLM_ERR_NONE;
    (void)clm_fail(&err, CLM_E_ARG, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.text[sizeof err.text - 2], '+');
    /* however often context comes in front, it stays a text, and marked */
    for (int i = 0; i < 100; i++) {
        (void)clm_err_in(&err, "level %d", i);
        assert_true(strlen(err.text) < sizeof err.text);
        assert_int_equal(err.text[sizeof err.text - 2], '+');
    }
    (void)clm_fail(&err, CLM_E_ARG, "%.*s", (int)sizeof err.text - 1, text); /* just fits: nothing is lost */
    assert_int_equal(err.text[sizeof err.text - 2], 'x');
    errno = EIO;
    (void)clm_fail_os(&err, CLM_E_IO, "%s", text);
    assert_int_equal(err.text[sizeof err.text - 2], '+');
    (void)clm_fail_os(&err, CLM_E_IO, "%.*s", (int)sizeof err.text - 4, text); /* the reason does not fit */
    assert_int_equal(err.text[sizeof err.text - 2], '+');
}

static void every_code_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < CLM_CODE_COUNT; i++) {
        const char *name = clm_code_name((clm_code)i);
        assert_non_null(name);
        assert_string_not_equal(name, "unknown");
        for (int j = 0; j < i; j++) assert_string_not_equal(name, clm_code_name((clm_code)j));
    }
    assert_string_equal(clm_code_name(CLM_CODE_COUNT), "unknown");
    assert_string_equal(clm_code_name((clm_code)-1), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_failure_tells_what_and_where),
                                       cmocka_unit_test(context_goes_in_front_and_keeps_the_rest),
                                       cmocka_unit_test(the_system_s_reason_is_read_first),
                                       cmocka_unit_test(a_long_text_is_cut_and_marked),
                                       cmocka_unit_test(every_code_has_a_name_of_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
