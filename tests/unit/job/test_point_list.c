/* Point lists of elastix: read in each of its forms, written, by parts, and what is refused. */
#include "collimate/base/file.h"
#include "collimate/job/point_table.h"
#include "support/folder.h"
#include "support/near.h"

#include <stdio.h>
#include <string.h>

static const clm_affine turn = {{{1.5, 0, 0, 3}, {0, 0.5, 0, -5}, {0, 0.25, 1, 11}}};

static const char *put(const char *name, const char *text) {
    static char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
    return path;
}

static bool run(clm_point_table t, clm_buf *out, clm_point_count *n, clm_err *err) {
    char to[CLM_PATH_MAX];
    clm_map map = {.n = 0};
    clm_work w = clm_test_work(64);
    clm_err second = CLM_ERR_NONE;
    assert_ok(clm_path_join(to, folder, "out", &second), second);
    assert_ok(clm_file_remove(to, &second), second);
    assert_ok(clm_map_add_affine(&map, &turn, &second), second);
    t.out = to;
    bool ok = clm_point_table_run(&map, &t, &w, n, err);
    if (ok) assert_ok(clm_file_read(to, 1 << 20, out, &second), second);
    clm_test_work_drop(&w);
    return ok;
}

static const clm_image_frame grid = {{20, 24, 28}, {4, 3, 2}, {10, 20, 30}};

/* the same two points, z y x micrometres 18 26 34 and 14 23 32, in each form */
static void each_form_is_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        clm_list_kind kind;
    } forms[] = {
        {"point\n2\n0.034 0.026 0.018\n0.032 .023 1.4e-2\n", CLM_LIST_POINT},
        {"point \r\n2\r\n0.034  0.026\t0.018 \r\n\r\n 0.032 .023 1.4e-2", CLM_LIST_POINT},
        {"index\n2\n2 2 2\n1 1 1\n", CLM_LIST_INDEX},
        {"2\n2 2 2\n1 1 1\n", CLM_LIST_INDEX},
        {"Point\t0\t; InputIndex = [ 5 3 5 ]\t; InputPoint = [ 9 9 9 ]\t; OutputIndexFixed = [ 0 0 0 ]\t; "
         "OutputPoint = [ 0.034000 0.026000 0.018000 ]\t; Deformation = [ 0 0 0 ]\n"
         "Point\t1\t; InputIndex = [ 5 3 5 ]\t; InputPoint = [ 9 9 9 ]\t; OutputPoint = [ 0.032 0.023 0.014 ]\n",
         CLM_LIST_OUTPUT},
    };
    clm_err err = CLM_ERR_NONE;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        clm_list_kind kind;
        clm_point_count n;
        clm_buf list = {0}, table = {0};
        clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
        t.in = put("in.txt", forms[i].text);
        t.grid = grid;
        assert_ok(clm_point_list_kind(t.in, &kind, &err), err);
        assert_int_equal(kind, forms[i].kind);
        assert_ok(run(t, &table, &n, &err), err);
        assert_string_equal((char *)table.data, "z,y,x,status\n30,8,51.5,inside\n24,6.5,48.75,inside\n");
        t.list = true;
        assert_ok(run(t, &list, &n, &err), err);
        assert_string_equal((char *)list.data, "point\n2\n0.0515 0.008 0.03\n0.04875 0.0065 0.024\n");
        assert_int_equal(n.points, 2);
        clm_buf_free(&list);
        clm_buf_free(&table);
    }
}

static void a_table_becomes_a_list(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_point_count n;
    clm_buf out = {0};
    clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
    t.in = put("in.csv", "id,x,y,z\n7,34,26,18\n\n8,32,23,14\n");
    t.list = true;
    assert_ok(run(t, &out, &n, &err), err);
    assert_string_equal((char *)out.data, "point\n2\n0.0515 0.008 0.03\n0.04875 0.0065 0.024\n");
    clm_buf_free(&out);
}

/* parts of any length in bytes, one after the other, are the whole */
static void parts_of_a_list_are_the_whole(void **state) {
    (void)state;
    char text[2000] = "point\n40\n";
    clm_err err = CLM_ERR_NONE;
    clm_point_count n;
    clm_buf want = {0};
    clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
    for (int i = 0; i < 40; i++) (void)snprintf(text + strlen(text), 40, "%d.5 0.%d %d\n", i, i * i, i % 7);
    t.in = put("in.txt", text);
    t.list = true;
    assert_ok(run(t, &want, &n, &err), err);
    for (int64_t step = 1; step < 1000; step = step < 20 ? step + 1 : step * 2) {
        clm_buf got = {0};
        for (t.from = 0; t.from < (int64_t)strlen(text); t.from = t.to) {
            clm_buf part = {0};
            t.to = t.from + step;
            assert_ok(run(t, &part, &n, &err), err);
            assert_ok(clm_buf_printf(&got, &err, "%s", part.n ? (char *)part.data : ""), err);
            clm_buf_free(&part);
        }
        assert_string_equal((char *)got.data, (char *)want.data);
        clm_buf_free(&got);
    }
    clm_buf_free(&want);
}

static void what_is_no_list_is_told(void **state) {
    (void)state;
    static const struct {
        const char *text, *told;
    } bad[] = {
        {"point\n", "in.txt:2"},
        {"point\nmany\n1 2 3\n", "in.txt:2"},
        {"point\n-1\n1 2 3\n", "in.txt:2"},
        {"point\n3\n1 2 3\n4 5 6\n", "tells 3 points and has 2"},
        {"point\n1\n1 2 3\n4 5 6\n", "tells 1 points and has 2"},
        {"point\n2\n1 2 3\n4 5\n", "in.txt:4: \"4 5\""},
        {"point\n1\n1 two 3\n", "in.txt:3"},
        {"Point\t0\t; OutputPoint = [ 1 2 ]\n", "in.txt:1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_buf none = {0};
        clm_point_count n;
        clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
        t.in = put("in.txt", bad[i].text);
        assert_fails(CLM_E_FORMAT, run(t, &none, &n, &err), err);
        assert_non_null(strstr(err.text, bad[i].told));
    }
    clm_err err = CLM_ERR_NONE;
    clm_buf none = {0};
    clm_point_count n;
    clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
    t.in = put("in.txt", "index\n1\n1 2 3\n");
    assert_fails(CLM_E_ARG, run(t, &none, &n, &err), err);
    assert_non_null(strstr(err.text, "--like"));
    err = CLM_ERR_NONE;
    t = CLM_POINT_TABLE_DEFAULTS;
    t.in = put("in.txt", "point\n0\n");
    assert_ok(run(t, &none, &n, &err), err); /* none is fine */
    assert_string_equal((char *)none.data, "z,y,x,status\n");
    clm_buf_free(&none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_read),
        cmocka_unit_test(a_table_becomes_a_list),
        cmocka_unit_test(parts_of_a_list_are_the_whole),
        cmocka_unit_test(what_is_no_list_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
