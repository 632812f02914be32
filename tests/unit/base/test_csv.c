#include "collimate/base/csv.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clm_cell cell_of(const char *text) { return (clm_cell){text, strlen(text)}; }

static void lines_are_cut_at_delimiters_outside_quotes(void **state) {
    (void)state;
    static const struct {
        const char *line;
        char delimiter;
        int64_t n;
        const char *last;
    } table[] = {{"a,b,c", ',', 3, "c"},      {"", ',', 1, ""},
                 {",", ',', 2, ""},           {"a;\"b;c\";d", ';', 3, "d"},
                 {"1\t2", '\t', 2, "2"},      {"x,\"say \"\"a,b\"\"\"", ',', 2, "\"say \"\"a,b\"\"\""},
                 {"x,\"open", ',', -1, NULL}, {"x,\"", ',', -1, NULL}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        clm_cell c[8];
        int64_t n = clm_csv_split(table[i].line, strlen(table[i].line), table[i].delimiter, c, 8);
        assert_int_equal(n, table[i].n);
        if (n < 1) continue;
        assert_int_equal(c[n - 1].n, strlen(table[i].last));
        assert_memory_equal(c[n - 1].text, table[i].last, c[n - 1].n);
    }
    clm_cell two[2];
    assert_int_equal(clm_csv_split("a,b,c,d", 7, ',', two, 2), 4); /* tells all, keeps two */
    assert_int_equal(two[1].text[0], 'b');
}

static void numbers_are_the_nearest_double(void **state) {
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0.5",
                                        "123456.789012",
                                        " 7 ",
                                        "\"2.25\"",
                                        "1e-3",
                                        "+4",
                                        "0.1",
                                        "-.5",
                                        "5.",
                                        "9007199254740993",
                                        "1234567890123456789",
                                        "3.141592653589793238",
                                        "1E300"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double got = -1.0;
        char plain[40];
        size_t n = 0;
        for (const char *p = texts[i]; *p; p++)
            if (*p != '"' && *p != ' ') plain[n++] = *p;
        plain[n] = 0;
        assert_true(clm_csv_number(cell_of(texts[i]), &got));
        assert_true(got == strtod(plain, NULL));
    }
    for (uint64_t k = 0; k < 20000; k++) {
        char text[64];
        double x = (clm_rng_uniform(1, 0, k) - 0.5) * 1e6, got;
        (void)snprintf(text, sizeof text, "%.*f", (int)(k % 12), x);
        assert_true(clm_csv_number(cell_of(text), &got));
        assert_true(got == strtod(text, NULL));
    }
    static const char *const junk[] = {"",    " ",   "-",     ".",   "1.2.3", "1a",
                                       "nan", "inf", "1e999", "--1", "1 2",   "\""};
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        double got;
        assert_false(clm_csv_number(cell_of(junk[i]), &got));
    }
}

static void numbers_are_written_to_six_decimals(void **state) {
    (void)state;
    static const struct {
        double x;
        const char *text;
    } table[] = {{0, "0"},
                 {-1, "-1"},
                 {0.5, "0.5"},
                 {-0.000001, "-0.000001"},
                 {1e-7, "0"},
                 {12.3456789, "12.345679"},
                 {100.010, "100.01"},
                 {-1e-9, "0"},
                 {999999.9999999, "1000000"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char out[32];
        size_t n = clm_csv_put_number(out, table[i].x);
        assert_int_equal(n, strlen(table[i].text));
        assert_memory_equal(out, table[i].text, n);
    }
    for (uint64_t k = 0; k < 20000; k++) {
        double x = (clm_rng_uniform(2, 0, k) - 0.5) * (k % 2 ? 1e3 : 1.9e9), back;
        char out[32];
        clm_cell c = {out, clm_csv_put_number(out, x)};
        assert_true(c.n <= sizeof out && clm_csv_number(c, &back));
        assert_near(back, x, 7e-7);
    }
    char out[32];
    clm_cell c = {out, clm_csv_put_number(out, -1.2345678901234567e300)};
    double back;
    assert_true(clm_csv_number(c, &back) && back == -1.2345678901234567e300);
}

static void streams_give_every_line_whatever_the_ends(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_test_folder(folder);
    assert_ok(clm_path_join(path, folder, "t.csv", &err), err);
    clm_writer w;
    assert_ok(clm_writer_open(path, &w, &err), err);
    for (int i = 0; i < 200000; i++) { /* more than one read */
        char line[32];
        int n = snprintf(line, sizeof line, "line %d%s", i, i % 3 ? "\n" : "\r\n");
        assert_ok(clm_writer_put(&w, line, (size_t)n, &err), err);
    }
    assert_ok(clm_writer_put(&w, "last", 4, &err), err);
    assert_int_equal(clm_path_kind_of(path), CLM_PATH_NONE); /* not before it is whole */
    assert_ok(clm_writer_publish(&w, &err), err);
    clm_writer_close(&w);
    clm_lines l;
    const char *text;
    size_t n;
    assert_ok(clm_lines_open(path, &l, &err), err);
    for (int i = 0; i < 200000; i++) {
        char want[32];
        (void)snprintf(want, sizeof want, "line %d", i);
        assert_ok(clm_lines_next(&l, &text, &n, &err), err);
        assert_int_equal(n, strlen(want));
        assert_memory_equal(text, want, n);
        assert_int_equal(l.line, i + 1);
    }
    assert_ok(clm_lines_next(&l, &text, &n, &err), err);
    assert_true(text && n == 4);
    for (int again = 0; again < 2; again++) {
        assert_ok(clm_lines_next(&l, &text, &n, &err), err);
        assert_null(text);
    }
    clm_lines_close(&l);
    clm_test_folder_drop(folder);
}

static void what_is_no_table_is_refused(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_test_folder(folder);
    assert_ok(clm_path_join(path, folder, "bad", &err), err);
    clm_lines l;
    const char *text;
    size_t n;
    assert_fails(CLM_E_NOTFOUND, clm_lines_open(path, &l, &err), err);
    char *long_line = malloc(4u << 20);
    assert_non_null(long_line);
    memset(long_line, 'x', 4u << 20);
    assert_ok(clm_file_publish(path, long_line, 4u << 20, false, &err), err);
    assert_ok(clm_lines_open(path, &l, &err), err);
    assert_fails(CLM_E_FORMAT, clm_lines_next(&l, &text, &n, &err), err);
    clm_lines_close(&l);
    for (size_t more = 0; more < 2; more++) { /* CLM_LINE_MAX bytes and one more, whether it ends or not */
        for (int end = 0; end < 2; end++) {
            long_line[CLM_LINE_MAX + more] = '\n';
            assert_ok(clm_file_publish(path, long_line, CLM_LINE_MAX + more + (size_t)end, false, &err), err);
            assert_ok(clm_lines_open(path, &l, &err), err);
            assert_int_equal(clm_lines_next(&l, &text, &n, &err), more == 0);
            clm_lines_close(&l);
            long_line[CLM_LINE_MAX + more] = 'x';
        }
    }
    free(long_line);
    assert_ok(clm_file_publish(path, "ok\na\0b\n", 7, false, &err), err);
    assert_ok(clm_lines_open(path, &l, &err), err);
    assert_ok(clm_lines_next(&l, &text, &n, &err), err);
    assert_fails(CLM_E_FORMAT, clm_lines_next(&l, &text, &n, &err), err);
    assert_non_null(strstr(err.text, "bad:2"));
    clm_lines_close(&l);
    clm_test_folder_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_are_cut_at_delimiters_outside_quotes),
                                       cmocka_unit_test(numbers_are_the_nearest_double),
                                       cmocka_unit_test(numbers_are_written_to_six_decimals),
                                       cmocka_unit_test(streams_give_every_line_whatever_the_ends),
                                       cmocka_unit_test(what_is_no_table_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
