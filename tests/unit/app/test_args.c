#include "collimate/app/args.h"
#include "support/near.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    bool on, off, given;
    const char *text, *path;
    int64_t level, whole, shape[3];
    double real, three[3];
    char called[32];
} values;

static bool call(void *to, const char *name, const char *text, clm_err *err) {
    (void)snprintf(to, sizeof((values *)0)->called, "%s=%s", name, text);
    return strcmp(text, "bad") != 0 || clm_fail(err, CLM_E_ARG, "bad call");
}

static bool parse(const char *line, values *v, clm_args *args, clm_err *err) {
    static char copy[400], *argv[40];
    int argc = 0;
    (void)snprintf(copy, sizeof copy, "command %s", line);
    for (char *at = strtok(copy, " "); at; at = strtok(NULL, " ")) argv[argc++] = at;
    argv[argc] = NULL;
    const clm_arg table[] = {CLM_OPT("on", ON, &v->on),
                             CLM_OPT("no-off", OFF, &v->off),
                             CLM_OPT("text", TEXT, &v->text),
                             CLM_OPT("path", LEVEL, &v->path, .level = &v->level),
                             CLM_OPT("whole", WHOLE, &v->whole, .least = 8, .most = 64),
                             CLM_OPT("real", REAL, &v->real, .above = true, .given = &v->given),
                             CLM_OPT("three", THREE, v->three),
                             CLM_OPT("spacing", THREE, v->three, .above = true, .one = true),
                             CLM_OPT("shape", SHAPE, v->shape),
                             CLM_OPT("call", CALL, v->called, .set = call),
                             CLM_OPT_END};
    *v = (values){.off = true, .level = 7};
    return clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, args, err);
}

static void values_go_where_the_table_says(void **state) {
    (void)state;
    values v;
    clm_args a;
    clm_err err = CLM_ERR_NONE;
    assert_ok(
        parse(
            "one --on --text=b --whole 64 two --real 0.5 --three -1,2.5,0 --shape 3,2,1 -q --local 3 --call x",
            &v, &a, &err),
        err);
    assert_true(v.on && v.off && v.given && a.quiet && !a.verbose && !a.help);
    assert_string_equal(v.text, "b");
    assert_string_equal(v.called, "call=x");
    assert_int_equal(v.whole, 64);
    assert_int_equal(a.local_ranks, 3);
    assert_true(v.real == 0.5 && v.three[0] == -1.0 && v.three[1] == 2.5 && v.three[2] == 0.0);
    assert_true(v.shape[0] == 3 && v.shape[1] == 2 && v.shape[2] == 1);
    assert_int_equal(a.n_rest, 2);
    assert_string_equal(a.rest[0], "one");
    assert_string_equal(a.rest[1], "two");
    assert_ok(parse("--no-off --spacing 2 -- --on", &v, &a, &err), err);
    assert_true(!v.off && !v.on && !v.given && v.three[2] == 2.0);
    assert_string_equal(a.rest[0], "--on");
}

static void a_bad_value_is_named_with_what_it_may_be(void **state) {
    (void)state;
    static const struct {
        const char *line, *part[2];
    } all[] = {{"--whole 7", {"--whole 7", "whole number 8 .. 64"}},
               {"--whole 8.5", {"--whole 8.5", "whole number"}},
               {"--real 0", {"--real 0", "number above 0"}},
               {"--real x", {"--real x", "number"}},
               {"--three 1,2", {"--three 1,2", "three numbers Z,Y,X"}},
               {"--three 1", {"--three 1", "three numbers Z,Y,X"}},
               {"--spacing 1,0,1", {"--spacing", "above 0"}},
               {"--shape 1,2,0", {"--shape", "whole numbers"}},
               {"--shape 1,2,2.5", {"--shape", "whole numbers"}},
               {"--local 0", {"--local 0", "1 .. 1024"}},
               {"--call bad", {"bad call", ""}},
               {"--whole", {"--whole", "its value is missing"}},
               {"--on=1", {"--on", "takes no value"}},
               {"--wohle 9", {"unknown option --wohle", "nearest is --whole"}},
               {"-x", {"unknown option -x", "--help"}}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        values v;
        clm_args a;
        clm_err err = CLM_ERR_NONE;
        assert_fails(CLM_E_ARG, parse(all[i].line, &v, &a, &err), err);
        for (int k = 0; k < 2; k++)
            if (!strstr(err.text, all[i].part[k])) fail_msg("%s: %s", all[i].line, err.text);
    }
}

static void a_path_may_end_with_a_level(void **state) {
    (void)state;
    values v;
    clm_args a;
    clm_err err = CLM_ERR_NONE;
    assert_ok(parse("--path a:b/c.zarr", &v, &a, &err), err);
    assert_string_equal(v.path, "a:b/c.zarr");
    assert_int_equal(v.level, 0);
    assert_ok(parse("--path=a:b/c.zarr:2", &v, &a, &err), err);
    assert_string_equal(v.path, "a:b/c.zarr");
    assert_int_equal(v.level, 2);
    assert_ok(parse("--path c.zarr:2 --path d.zarr", &v, &a, &err), err);
    assert_string_equal(v.path, "d.zarr");
    assert_int_equal(v.level, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_go_where_the_table_says),
                                       cmocka_unit_test(a_bad_value_is_named_with_what_it_may_be),
                                       cmocka_unit_test(a_path_may_end_with_a_level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
