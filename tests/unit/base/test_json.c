#include "collimate/base/json.h"
#include "collimate/base/rng.h"
#include "collimate/base/text.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

static clm_json *parse(const char *text) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v = NULL;
    assert_ok(clm_json_parse(text, strlen(text), "t.json", &v, &err), err);
    return v;
}

static void assert_prints(const clm_json *v, bool pretty, const char *want) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    assert_ok(clm_json_print(v, pretty, &b, &err), err);
    assert_string_equal((const char *)b.data, want);
    assert_int_equal(b.n, strlen(want));
    clm_buf_free(&b);
}

static void a_fault_is_named_by_file_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *text, *place;
    } bad[] = {{"{\n \"a\": 1,\n \"b\": }\n", "t.json:3:"},
               {"", "t.json:1:1"},
               {"{} x", "t.json:1:4"},
               {"[1, 2", "t.json:1:"},
               {"nul", "t.json:1:1"},
               {"{\"a\" 1}", "t.json:1:"},
               {"\"open", "t.json:1:"},
               {"[1,]", "t.json:1:"},
               {"{}\n\n[]", "t.json:3:1"},
               {"NaN", "t.json:1:1"},
               {"'a'", "t.json:1:1"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_json *v = NULL;
        assert_fails(CLM_E_FORMAT, clm_json_parse(bad[i].text, strlen(bad[i].text), "t.json", &v, &err), err);
        if (!strstr(err.text, bad[i].place)) fail_msg("\"%s\": %s", bad[i].text, err.text);
    }
}

static void parsing_stays_within_its_bytes(void **state) {
    (void)state;
    static const char text[] = "{\"a\": [1, 2.5, true, null, \"x\\u00e9\"], \"b\": {}}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        /* an exact copy, so that the sanitizer sees a byte too many */
        clm_err err = CLM_ERR_NONE;
        char *part = clm_heap_new(n, 1, &err);
        memcpy(part, text, n);
        clm_json *v = NULL;
        assert_fails(CLM_E_FORMAT, clm_json_parse(part, n, "t", &v, &err), err);
        clm_heap_free(part);
    }
    clm_json_free(parse(text));
}

static void values_come_out_as_what_they_are(void **state) {
    (void)state;
    clm_json *v =
        parse("{\"n\": 2.5, \"i\": -7, \"t\": \"x\", \"b\": true, \"z\": null, \"l\": [1, 2, 3], \"o\": {}}");
    double x = -1;
    int64_t i = -1;
    bool b = false;
    assert_true(clm_json_number(clm_json_get(v, "n"), &x) && x == 2.5);
    assert_true(clm_json_int(clm_json_get(v, "i"), &i) && i == -7);
    assert_true(clm_json_is(clm_json_get(v, "b"), &b) && b);
    assert_string_equal(clm_json_text(clm_json_get(v, "t")), "x");
    static const clm_json_kind kinds[] = {CLM_JSON_NUMBER, CLM_JSON_NUMBER, CLM_JSON_TEXT,  CLM_JSON_BOOL,
                                          CLM_JSON_NULL,   CLM_JSON_LIST,   CLM_JSON_OBJECT};
    int k = 0;
    for (const clm_json *c = clm_json_first(v); c; c = clm_json_next(c), k++) {
        assert_int_equal(clm_json_kind_of(c), kinds[k]);
        assert_ptr_equal(clm_json_at(v, k), c);
        assert_ptr_equal(clm_json_get(v, clm_json_key(c)), c);
    }
    assert_int_equal(k, clm_json_size(v));
    double three[3];
    assert_true(clm_json_numbers(clm_json_get(v, "l"), 3, three) && three[2] == 3.0);
    clm_json_free(v);
}

static void another_kind_is_refused_and_leaves_out_alone(void **state) {
    (void)state;
    clm_json *v = parse("{\"n\": 2.5, \"t\": \"5\", \"l\": [1, \"2\", 3]}");
    double x = -1, l[3] = {-1, -1, -1};
    int64_t i = -1;
    bool b = true;
    assert_false(clm_json_number(clm_json_get(v, "t"), &x));
    assert_false(clm_json_int(clm_json_get(v, "n"), &i));
    assert_false(clm_json_int(NULL, &i));
    assert_false(clm_json_is(clm_json_get(v, "n"), &b));
    assert_null(clm_json_text(clm_json_get(v, "n")));
    assert_false(clm_json_numbers(clm_json_get(v, "l"), 3, l));
    assert_false(clm_json_numbers(clm_json_get(v, "l"), 2, l));
    assert_null(clm_json_get(v, "absent"));
    assert_null(clm_json_get(clm_json_get(v, "n"), "x"));
    assert_null(clm_json_get(NULL, "x"));
    assert_null(clm_json_at(v, 3));
    assert_null(clm_json_at(v, -1));
    assert_int_equal(clm_json_size(clm_json_get(v, "t")), 0);
    assert_true(x == -1 && i == -1 && b);
    clm_json_free(v);
}

static void whole_numbers_beyond_2_53_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {{"9007199254740991", true, 9007199254740991},
                 {"-9007199254740991", true, -9007199254740991},
                 {"9007199254740992", false, 0}, /* as does ...993, which reads as the same double */
                 {"9007199254740993", false, 0},
                 {"1e300", false, 0},
                 {"1e999", false, 0},
                 {"0.5", false, 0},
                 {"1e3", true, 1000},
                 {"-0", true, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        clm_json *v = parse(cases[k].text);
        int64_t i = 0;
        if (clm_json_int(v, &i) != cases[k].ok || i != cases[k].value) fail_msg("%s", cases[k].text);
        clm_json_free(v);
    }
}

static void the_first_of_equal_keys_wins_and_case_counts(void **state) {
    (void)state;
    clm_json *v = parse("{\"a\": 1, \"a\": 2, \"A\": 3}");
    double x = 0;
    assert_true(clm_json_number(clm_json_get(v, "a"), &x) && x == 1.0);
    assert_true(clm_json_number(clm_json_get(v, "A"), &x) && x == 3.0);
    clm_json_free(v);
}

static void printed_numbers_read_back_exactly(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    double x[4000];
    int n = 0;
    static const double hard[] = {0.1 + 0.2, 1.0 / 3.0, 0.1,  5e-324,         1.7976931348623157e308,
                                  1e21,      -0.5,      1e15, 1234567890.125, 0.1f};
    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++) x[n++] = hard[i];
    while (n < 4000) {
        union {
            uint64_t bits;
            double value;
        } u = {.bits = clm_rng_bits(1, 2, (uint64_t)n)};
        x[n] = isfinite(u.value) ? u.value : 1.0;
        n++;
    }
    clm_json *v = clm_json_new_object(&err);
    clm_json_add_numbers(v, "x", x, n);
    clm_buf b = {0};
    assert_ok(clm_json_print(v, false, &b, &err), err);
    clm_json *w = NULL;
    assert_ok(clm_json_parse(b.data, b.n, "t", &w, &err), err);
    double y[4000];
    assert_true(clm_json_numbers(clm_json_get(w, "x"), n, y));
    for (int i = 0; i < n; i++)
        if (x[i] != y[i]) fail_msg("%.17g became %.17g", x[i], y[i]);
    clm_json_free(v);
    clm_json_free(w);
    clm_buf_free(&b);
}

static void what_is_built_prints_as_text(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_json *v = clm_json_new_object(&err);
    clm_json_add_text(v, "t", "q\" b\\ n\n \x01 \xc3\xa9");
    clm_json_add_number(v, "n", 0.1);
    clm_json_add_number(v, "nan", NAN);
    clm_json_add_bool(v, "b", false);
    const int64_t shape[3] = {1, 20, 300};
    clm_json_add_ints(v, "shape", shape, 3);
    clm_json *list = clm_json_add_list(v, "list");
    clm_json_add_null(clm_json_add_object(list, NULL), "z");
    clm_json_add_object(v, "empty");
    assert_prints(v, false,
                  "{\"t\":\"q\\\" b\\\\ n\\n \\u0001 \xc3\xa9\",\"n\":0.1,\"nan\":null,\"b\":false,"
                  "\"shape\":[1,20,300],\"list\":[{\"z\":null}],\"empty\":{}}\n");
    assert_prints(v, true,
                  "{\n  \"t\": \"q\\\" b\\\\ n\\n \\u0001 \xc3\xa9\",\n  \"n\": 0.1,\n  \"nan\": null,\n"
                  "  \"b\": false,\n  \"shape\": [1, 20, 300],\n  \"list\": [\n    {\n      \"z\": null\n"
                  "    }\n  ],\n  \"empty\": {}\n}\n");
    clm_json_free(v);
}

static void parse_and_print_are_inverse(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"a\":[1,[],[{}],\"\\u0007\"],\"b\":{\"c\":null,\"d\":[true,false]},\"e\":-1.5e-07}\n", "[]\n",
        "\"\"\n", "null\n", "-0.25\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_json *v = parse(texts[i]), *copy = clm_json_copy(v, &err);
        assert_prints(v, false, texts[i]);
        assert_prints(copy, false, texts[i]);
        clm_buf b = {0};
        assert_ok(clm_json_print(v, true, &b, &err), err);
        clm_json *w = parse((const char *)b.data);
        assert_prints(w, false, texts[i]);
        clm_buf_free(&b);
        clm_json_free(v);
        clm_json_free(copy);
        clm_json_free(w);
    }
}

static void put_replaces_in_place_or_adds(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_json *v = parse("{\"a\": 1, \"b\": 2}");
    assert_true(clm_json_put(v, "a", parse("[5]")));
    assert_true(clm_json_put(v, "c", parse("\"new\"")));
    assert_prints(v, false, "{\"a\":[5],\"b\":2,\"c\":\"new\"}\n");
    clm_json_free(v);
    (void)err;
}

static void a_failed_add_shows_at_print(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_json *v = clm_json_new_object(&err);
    assert_null(clm_json_add_text(clm_json_add_object(v, "o"), "t", NULL)); /* cJSON refuses NULL */
    clm_buf b = {0};
    assert_ok(clm_buf_printf(&b, &err, "kept"), err);
    assert_fails(CLM_E_NOMEM, clm_json_print(v, true, &b, &err), err);
    assert_int_equal(b.n, 4);
    clm_json_free(v);
    clm_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fault_is_named_by_file_line_and_column),
                                       cmocka_unit_test(parsing_stays_within_its_bytes),
                                       cmocka_unit_test(values_come_out_as_what_they_are),
                                       cmocka_unit_test(another_kind_is_refused_and_leaves_out_alone),
                                       cmocka_unit_test(whole_numbers_beyond_2_53_are_refused),
                                       cmocka_unit_test(the_first_of_equal_keys_wins_and_case_counts),
                                       cmocka_unit_test(printed_numbers_read_back_exactly),
                                       cmocka_unit_test(what_is_built_prints_as_text),
                                       cmocka_unit_test(parse_and_print_are_inverse),
                                       cmocka_unit_test(put_replaces_in_place_or_adds),
                                       cmocka_unit_test(a_failed_add_shows_at_print)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
