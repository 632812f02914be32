#include "collimate/base/file.h"
#include "collimate/job/config.h"
#include "support/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clm_config *fresh(void) {
    clm_err err = CLM_ERR_NONE;
    clm_config *c = NULL;
    assert_ok(clm_config_new(&c, &err), err);
    return c;
}

static bool put(clm_config *c, const char *text, clm_err *err) {
    clm_json *v = NULL;
    if (!clm_json_parse(text, strlen(text), "job.json", &v, err)) return false;
    bool ok = clm_config_put(c, v, "job.json", err);
    clm_json_free(v);
    return ok;
}

static void every_default_is_in_its_range(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_config *c = fresh(), *again = fresh();
    clm_json *v = NULL;
    assert_ok(clm_config_to_json(c, &v, &err), err);
    clm_buf b = {0};
    assert_ok(clm_json_print(v, true, &b, &err), err);
    assert_ok(put(again, (const char *)b.data, &err), err); /* what is written can be read */
    uint64_t one, two;
    assert_ok(clm_config_hash(c, &one, &err), err);
    assert_ok(clm_config_hash(again, &two, &err), err);
    assert_true(one == two);
    clm_buf_free(&b);
    clm_json_free(v);
    clm_config_free(c);
    clm_config_free(again);
}

static void the_later_wins(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_config *c = fresh();
    assert_ok(
        put(c,
            "{\"deform\": {\"radius_vox\": 7, \"factors\": [8, 1]}, \"out\": \"x\", \"local.enabled\": false}",
            &err),
        err);
    assert_int_equal(c->deform_radius_vox, 7);
    assert_int_equal(c->deform_factors.n, 2);
    assert_false(c->local_enabled);
    assert_ok(clm_config_set(c, "deform.radius_vox=3", &err), err);
    assert_int_equal(c->deform_radius_vox, 3);
    assert_ok(clm_config_set(c, "out=some/where", &err), err);
    assert_string_equal(c->out, "some/where");
    int n;
    const char *const *names = clm_preset_names(&n);
    assert_true(n >= 1);
    for (int i = 0; i < n; i++)
        assert_ok(clm_config_put_preset(c, names[i], &err), err); /* all presets are valid */
    clm_config_free(c);
}

static void only_results_enter_the_hash(void **state) {
    (void)state;
    static const struct {
        const char *set;
        bool changes;
    } rows[] = {{"threads=3", false},         {"out=elsewhere", false}, {"memory.cache_mib=1", false},
                {"memory.task_mib=8", false}, {"seed=2", true},         {"fixed=a.n5", true},
                {"deform.stiffness=3", true}};
    clm_err err = CLM_ERR_NONE;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clm_config *c = fresh();
        uint64_t before, after;
        assert_ok(clm_config_hash(c, &before, &err), err);
        assert_ok(clm_config_set(c, rows[i].set, &err), err);
        assert_ok(clm_config_hash(c, &after, &err), err);
        assert_int_equal(before != after, rows[i].changes);
        clm_config_free(c);
    }
}

/* every fault names where it stands and what would be right */
static void faults_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *say[3];
    } rows[] = {
        {"{\"deform\": {\"radius\": 3}}", {"deform.radius", "deform.radius_vox", "job.json"}},
        {"{\"smoothness\": 3}", {"unknown key", "smoothness", "did you mean"}},
        {"{\"deform\": {\"radius_vox\": 0}}", {"deform.radius_vox", "1 .. 64", "job.json"}},
        {"{\"deform\": {\"radius_vox\": 2.5}}", {"deform.radius_vox", "whole number", "job.json"}},
        {"{\"deform\": {\"radius_vox\": \"3\"}}", {"deform.radius_vox", "whole number", "job.json"}},
        {"{\"deform\": {\"metric\": \"mi2\"}}", {"deform.metric", "local_ncc|ncc", "mi2"}},
        {"{\"deform\": {\"factors\": [4, \"x\"]}}", {"deform.factors", "list", "numbers"}},
        {"{\"deform\": {\"factors\": [1,1,1,1,1,1,1,1,1]}}", {"deform.factors", "at most 8", "job.json"}},
        {"{\"deform\": {\"factors\": [4, 0]}}", {"deform.factors", "1 .. 64", "job.json"}},
        {"{\"local\": {\"enabled\": 1}}", {"local.enabled", "true or false", "job.json"}},
        {"{\"preset\": \"expansoin\"}", {"expansoin", "expansion", "job.json"}},
        {"[1]", {"job.json", "object", "{"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_config *c = fresh();
        assert_fails(CLM_E_ARG, put(c, rows[i].text, &err), err);
        for (int k = 0; k < 3; k++)
            if (!strstr(err.text, rows[i].say[k])) fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].say[k]);
        clm_config_free(c);
    }
    static const char *const sets[] = {
        "seed", "=3", "sed=3", "seed=", "seed=x", "seed=-1", "deform.factors=4"};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_config *c = fresh();
        assert_fails(CLM_E_ARG, clm_config_set(c, sets[i], &err), err);
        assert_non_null(strstr(err.text, "--set"));
        clm_config_free(c);
    }
}

/* config/keys.md is the table, word for word. CLM_UPDATE=1 writes it anew. */
static void manual_is_the_table(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf want = {0}, got = {0};
    assert_ok(
        clm_buf_printf(
            &want, &err,
            "# Keys of a job\n\nEvery key of a job file, with its default. Nested objects and dotted keys mean the "
            "same: `{\"deform\": {\"radius_vox\": 4}}`\nis `--set deform.radius_vox=4`. A name ends in its unit: "
            "`um` micrometres, `vox` voxels of the level worked at,\n`mib` 2^20 bytes, `mvox` 2^20 voxels, `s` "
            "seconds. Lists of three are z, y, x. This page is checked against the\nprogram by "
            "`unit.job.config`.\n\n| key | kind | default | range | meaning |\n|---|---|---|---|---|\n"),
        err);
    for (int i = 0; i < clm_config_key_count(); i++) {
        clm_config_key k = clm_config_key_at(i);
        char range[64] = "";
        if (k.choices[0]) {
            for (size_t j = 0, at = 0; at < sizeof range - 3 && k.choices[j]; j++) {
                if (k.choices[j] == '|')
                    range[at++] = ',', range[at++] = ' ';
                else
                    range[at++] = k.choices[j];
            }
        } else if (k.most > k.least) {
            (void)snprintf(range, sizeof range, "%.15g .. %.15g", k.least, k.most);
        }
        assert_ok(clm_buf_printf(&want, &err, "| `%s` | %s | `%s` | %s | %s |\n", k.key, k.kind, k.standard,
                                 range, k.meaning),
                  err);
    }
    const char *path = CLM_SOURCE_DIR "/config/keys.md";
    if (getenv("CLM_UPDATE")) assert_ok(clm_file_publish(path, want.data, want.n, false, &err), err);
    assert_ok(clm_file_read(path, 1 << 20, &got, &err), err);
    assert_string_equal((const char *)got.data, (const char *)want.data);
    clm_buf_free(&want);
    clm_buf_free(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_in_its_range), cmocka_unit_test(the_later_wins),
        cmocka_unit_test(only_results_enter_the_hash), cmocka_unit_test(faults_are_named),
        cmocka_unit_test(manual_is_the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
