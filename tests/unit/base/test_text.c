#include "collimate/base/text.h"
#include "support/near.h"

#include <string.h>
#include <wchar.h>

static void joined_paths_have_one_slash(void **state) {
    (void)state;
    static const struct {
        const char *a, *b, *want;
    } cases[] = {{"a", "b", "a/b"},   {"a/", "b", "a/b"}, {"a//", "/b", "a/b"},  {"/", "b", "/b"},
                 {"//", "//b", "/b"}, {"a/b", "", "a/b"}, {"a/b/", "", "a/b"},   {"", "b", "b"},
                 {"/", "", "/"},      {"", "", ""},       {".", "b/c", "./b/c"}, {"a", "b/", "a/b/"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        char out[CLM_PATH_MAX];
        assert_ok(clm_path_join(out, cases[i].a, cases[i].b, &err), err);
        assert_string_equal(out, cases[i].want);
    }
}

static void a_path_that_does_not_fit_is_an_error(void **state) {
    (void)state;
    char out[CLM_PATH_MAX], longest[CLM_PATH_MAX];
    memset(longest, 'p', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_format(out, &err, "%s", longest), err);
    assert_fails(CLM_E_ARG, clm_path_format(out, &err, "%sp", longest), err);
    assert_fails(CLM_E_ARG, clm_path_join(out, longest, "b", &err), err);
}

static void names_and_affixes(void **state) {
    (void)state;
    assert_string_equal(clm_path_name("a/b/c.n5"), "c.n5");
    assert_string_equal(clm_path_name("c.n5"), "c.n5");
    assert_string_equal(clm_path_name("a/"), "");
    assert_true(clm_text_ends("a.ome.zarr", ".zarr"));
    assert_true(clm_text_ends("a", ""));
    assert_false(clm_text_ends("zarr", ".zarr"));
    assert_true(clm_text_begins("file:x", "file:"));
    assert_false(clm_text_begins("fil", "file"));
}

static void a_number_is_the_whole_text_or_junk(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_int, is_real;
    } cases[] = {{"12", true, true},
                 {"-3", true, true},
                 {"+4", true, true},
                 {"0", true, true},
                 {"1.5", false, true},
                 {"1e3", false, true},
                 {"-.5", false, true},
                 {"", false, false},
                 {" 1", false, false},
                 {"1 ", false, false},
                 {"\t1", false, false},
                 {"\n1", false, false},
                 {"1x", false, false},
                 {"x", false, false},
                 {"1,5", false, false},
                 {"--1", false, false},
                 {"nan", false, false},
                 {"inf", false, false},
                 {"1e999", false, false},
                 {"-", false, false},
                 {"9223372036854775807", true, true},
                 {"9223372036854775808", false, true},
                 {"-9223372036854775808", true, true},
                 {"-9223372036854775809", false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n = 77;
        double x = 77.0;
        if (clm_text_int(cases[i].text, &n) != cases[i].is_int) fail_msg("int \"%s\"", cases[i].text);
        if (clm_text_real(cases[i].text, &x) != cases[i].is_real) fail_msg("real \"%s\"", cases[i].text);
        if (!cases[i].is_int) assert_int_equal(n, 77);
        if (!cases[i].is_real) assert_true(x == 77.0);
    }
    int64_t least = 0;
    assert_true(clm_text_int("-9223372036854775808", &least) && least == INT64_MIN);
}

static void the_nearest_name_is_offered_when_it_is_near(void **state) {
    (void)state;
    static const char *const names[] = {"local.block_um", "local.overlap", "global.seed", "threads",
                                        "output.format"};
    const int n = sizeof names / sizeof names[0];
    assert_string_equal(clm_text_nearest("local.block_um", names, n), "local.block_um");
    assert_string_equal(clm_text_nearest("local.blok_um", names, n), "local.block_um");
    assert_string_equal(clm_text_nearest("overlpa", names, n), "local.overlap");
    assert_string_equal(clm_text_nearest("thread", names, n), "threads");
    assert_null(clm_text_nearest("zzzzzzzz", names, n));
    assert_null(clm_text_nearest("threads", names, 0));
    char longest[400];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(clm_text_nearest(longest, names, n));
    const char *const one[] = {longest};
    assert_null(clm_text_nearest("aaa", one, 1));
}

static void a_buffer_grows_as_text_comes(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    size_t want = 0;
    for (int i = 0; i < 3000; i++) {
        assert_ok(clm_buf_printf(&b, &err, "%d,", i), err);
        want += (i < 10 ? 2u : i < 100 ? 3u : i < 1000 ? 4u : 5u);
        assert_int_equal(b.n, want);
        assert_int_equal(b.data[b.n], 0);
    }
    assert_ok(clm_buf_printf(&b, &err, "%s", ""), err);
    assert_int_equal(b.n, want);
    assert_memory_equal(b.data, "0,1,2,3,", 8);
    assert_fails(CLM_E_ARG, clm_buf_printf(&b, &err, "%lc", (wint_t)0x1fffff), err); /* no character */
    assert_int_equal(b.n, want);
    clm_buf_free(&b);
    assert_null(b.data);
}

static void sizes_and_times_read_well(void **state) {
    (void)state;
    assert_string_equal(clm_text_bytes(0).s, "0 B");
    assert_string_equal(clm_text_bytes(1023).s, "1023 B");
    assert_string_equal(clm_text_bytes(1536).s, "1.5 KiB");
    assert_string_equal(clm_text_bytes(3.0 * (1 << 30)).s, "3.0 GiB");
    assert_string_equal(clm_text_bytes(4e18).s, "3553 PiB");
    assert_string_equal(clm_text_seconds(0.25).s, "0.2 s");
    assert_string_equal(clm_text_seconds(42.4).s, "42 s");
    assert_string_equal(clm_text_seconds(125).s, "2 min 05 s");
    assert_string_equal(clm_text_seconds(7260).s, "2 h 01 min");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(joined_paths_have_one_slash),
                                       cmocka_unit_test(a_path_that_does_not_fit_is_an_error),
                                       cmocka_unit_test(names_and_affixes),
                                       cmocka_unit_test(a_number_is_the_whole_text_or_junk),
                                       cmocka_unit_test(the_nearest_name_is_offered_when_it_is_near),
                                       cmocka_unit_test(a_buffer_grows_as_text_comes),
                                       cmocka_unit_test(sizes_and_times_read_well)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
