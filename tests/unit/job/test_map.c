/* Transforms as commands use them: on boxes, on lists of points, forth and back; tables of points. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/job/point_table.h"
#include "collimate/transform/transform.h"
#include "support/near.h"
#include "support/temp.h"

#include "collimate/store/node.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 3000

static clm_work work;
static char folder[CLM_PATH_MAX], scene[CLM_PATH_MAX];
static clm_field whole; /* the scene's field in memory */
static const clm_affine turn = {{{1.02, 0.05, -0.01, 3}, {-0.04, 0.97, 0.02, -5}, {0.03, -0.02, 1.01, 11}}};

/* a smooth field of a few micrometres, in chunks that do not divide the lattice */
static int open_scene(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    work = clm_test_work(64);
    clm_test_folder(folder);
    assert_ok(clm_path_join(scene, folder, "t.ome.zarr", &err), err);
    clm_transform_spec s = {.affine = turn,
                            .shape = {11, 14, 17},
                            .spacing_um = {4, 5, 6},
                            .origin_um = {-2, 3, 1},
                            .chunk = {4, 8, 5},
                            .fixed = {{40, 60, 90}, {1, 1.1, 1.2}, {-2, 3, 1}},
                            .moving = {{50, 60, 90}, {1, 1.1, 1.2}, {0, 0, 0}}};
    assert_ok(clm_ome_write_transform(scene, &s, &err), err);
    assert_ok(clm_field_new(work.keep, s.shape, s.spacing_um, s.origin_um, &whole, &err), err);
    int64_t n = 0;
    for (int64_t z = 0; z < s.shape[0]; z++)
        for (int64_t y = 0; y < s.shape[1]; y++)
            for (int64_t x = 0; x < s.shape[2]; x++, n++)
                for (int c = 0; c < 3; c++)
                    whole.u[c][n] = (float)(2.0 * sin(0.5 * (double)z + c) + 1.5 * cos(0.4 * (double)y - c) +
                                            sin(0.6 * (double)x + 2 * c));
    clm_transform t;
    assert_ok(clm_transform_open(scene, true, &t, &err), err);
    for (int64_t z = 0; z < 3; z++)
        for (int64_t y = 0; y < 2; y++)
            for (int64_t x = 0; x < 4; x++) {
                int64_t lo[4], hi[4], shape[3];
                clm_field part;
                clm_array_chunk_box(t.field, (const int64_t[]){0, z, y, x}, lo, hi);
                double origin[3];
                for (int d = 0; d < 3; d++) {
                    shape[d] = hi[d + 1] - lo[d + 1];
                    origin[d] = s.origin_um[d] + (double)lo[d + 1] * s.spacing_um[d];
                }
                assert_ok(clm_field_new(work.keep, shape, s.spacing_um, origin, &part, &err), err);
                clm_field_resample(&whole, &part);
                assert_ok(clm_transform_put(&t, (const int64_t[]){z, y, x}, &part, &err), err);
            }
    clm_transform_close(&t);
    return 0;
}
static int close_scene(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static clm_map open_map(const char *const *paths, int n) {
    clm_err err = CLM_ERR_NONE;
    clm_map map;
    assert_ok(clm_map_open(paths, n, 1 << 20, &map, &err), err);
    return map;
}

/* anywhere in and around the fixed grid */
static void random_points(uint64_t seed, double margin, int64_t n, double (*x)[3]) {
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 3; d++) {
            static const double length[3] = {40, 66, 108}, origin[3] = {-2, 3, 1};
            x[i][d] =
                origin[d] +
                (clm_rng_uniform(seed, (uint64_t)d, (uint64_t)i) * (1 + 2 * margin) - margin) * length[d];
        }
}

static void points_equal_the_definition_in_any_order(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *paths[] = {scene};
    clm_map map = open_map(paths, 1);
    static double x[POINTS][3], y[POINTS][3], reversed[POINTS][3];
    static uint8_t flags[POINTS], flags2[POINTS];
    random_points(1, 0.3, POINTS, x);
    memcpy(y, x, sizeof x);
    for (int i = 0; i < POINTS; i++) memcpy(reversed[i], x[POINTS - 1 - i], sizeof x[0]);
    assert_ok(clm_map_points(&map, &work, POINTS, y, flags, &err), err);
    assert_ok(clm_map_points(&map, &work, POINTS, reversed, flags2, &err), err);
    int seen[4] = {0};
    for (int i = 0; i < POINTS; i++) {
        double want[3];
        bool beyond = false, outside = false;
        clm_transform_point(&turn, &whole, x[i], want);
        for (int d = 0; d < 3; d++) {
            assert_near(y[i][d], want[d], 1e-9);
            double at = (x[i][d] - whole.origin[d]) / whole.spacing[d];
            beyond |= at < 0 || at > (double)(whole.shape[d] - 1);
            double v = want[d] / map.moving.spacing_um[d];
            outside |= v < 0 || v > (double)(map.moving.shape[d] - 1);
        }
        assert_int_equal(flags[i], beyond * CLM_POINT_EXTRAPOLATED + outside * CLM_POINT_OUTSIDE);
        assert_memory_equal(y[i], reversed[POINTS - 1 - i], sizeof y[0]);
        assert_int_equal(flags[i], flags2[POINTS - 1 - i]);
        seen[flags[i]]++;
    }
    for (int k = 0; k < 4; k++) assert_true(seen[k] > 10);
    clm_map_close(&map);
}

/* is x beyond a grid of n points? -1: too near its border to say */
static int is_beyond(const double x[3], const int64_t n[3], const double spacing_um[3],
                     const double origin_um[3]) {
    int beyond = 0;
    for (int d = 0; d < 3; d++) {
        double v = x[d] - origin_um[d], last = (double)(n[d] - 1) * spacing_um[d];
        if (fabs(v) < 0.01 || fabs(v - last) < 0.01) return -1;
        beyond |= v < 0 || v > last;
    }
    return beyond;
}

/* once, twice, and stretched afterwards, which an error in the field is, too */
static void back_returns_what_forward_took(void **state) {
    (void)state;
    static const char stretch[] = "2000 0 0 0\n0 2000 0 0\n0 0 2000 0\n";
    clm_err err = CLM_ERR_NONE;
    char large[CLM_PATH_MAX];
    assert_ok(clm_path_join(large, folder, "large.txt", &err) &&
                  clm_file_publish(large, stretch, sizeof stretch - 1, false, &err),
              err);
    const char *chain[3][2] = {{scene, NULL}, {scene, scene}, {scene, large}};
    for (int k = 0; k < 3; k++) {
        clm_map map = open_map(chain[k], k ? 2 : 1);
        static double x[POINTS][3], y[POINTS][3], residual[POINTS];
        static uint8_t flags[POINTS];
        int seen[2][2] = {{0}};
        random_points(2, 0.1, POINTS, x);
        memcpy(y, x, sizeof x);
        assert_ok(clm_map_points(&map, &work, POINTS, y, flags, &err), err);
        assert_ok(clm_map_points_back(&map, &work, POINTS, 1e-4, y, residual, flags, &err), err);
        for (int i = 0; i < POINTS; i++) {
            assert_false(flags[i] & CLM_POINT_UNSOLVED);
            assert_near(residual[i], 0, 1e-4);
            for (int d = 0; d < 3; d++) assert_near(y[i][d], x[i][d], 1e-3);
            const clm_image_frame *f = &map.fixed;
            int outside = is_beyond(x[i], f->shape, f->spacing_um, f->origin_um);
            int extrapolated = is_beyond(x[i], whole.shape, whole.spacing, whole.origin);
            if (outside < 0 || extrapolated < 0) continue;
            assert_int_equal((flags[i] & CLM_POINT_OUTSIDE) != 0, outside);
            if (k != 1) assert_int_equal((flags[i] & CLM_POINT_EXTRAPOLATED) != 0, extrapolated);
            seen[0][outside]++, seen[1][extrapolated]++;
        }
        for (int j = 0; j < 4; j++) assert_true(seen[j / 2][j % 2] > 10);
        clm_map_close(&map);
    }
}

/* a transform opened backwards undoes it, as points and over a box, and is undone by itself */
static void inverse_of_a_path_undoes_it(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char back[CLM_PATH_MAX + 16];
    (void)snprintf(back, sizeof back, "inverse:%s", scene);
    const char *once[] = {scene}, *both[] = {scene, back};
    clm_map forth = open_map(once, 1), loop = open_map(both, 2);
    static double x[POINTS][3], y[POINTS][3], z[POINTS][3], residual[POINTS];
    static uint8_t flags[POINTS];
    random_points(6, 0.1, POINTS, x);
    memcpy(y, x, sizeof x);
    assert_ok(clm_map_points(&loop, &work, POINTS, y, flags, &err), err);
    for (int i = 0; i < POINTS; i++)
        for (int d = 0; d < 3; d++) assert_near(y[i][d], x[i][d], 1e-3);
    assert_ok(clm_map_turn(&forth, &err), err);
    memcpy(y, x, sizeof x);
    memcpy(z, x, sizeof x);
    assert_ok(clm_map_points(&forth, &work, POINTS, y, flags, &err), err);
    assert_ok(clm_map_points_back(&forth, &work, POINTS, 1e-4, y, residual, flags, &err), err);
    for (int i = 0; i < POINTS; i++)
        for (int d = 0; d < 3; d++) assert_near(y[i][d], z[i][d], 1e-3);
    clm_map_close(&forth);
    clm_map_close(&loop);
}

/* the way between two systems is the transform, or its inverse; other axes and units are turned into ours */
static void scenes_open_by_their_systems(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char named[2][CLM_PATH_MAX + 32], store[CLM_PATH_MAX];
    (void)snprintf(named[0], sizeof named[0], "%s::fixed::moving", scene);
    (void)snprintf(named[1], sizeof named[1], "%s::moving::fixed", scene);
    const char *once[] = {scene}, *forth[] = {named[0]}, *loop[] = {scene, named[1]};
    clm_map maps[3] = {open_map(once, 1), open_map(forth, 1), open_map(loop, 2)};
    static double x[POINTS][3], y[3][POINTS][3];
    static uint8_t flags[3][POINTS];
    random_points(8, 0.1, POINTS, x);
    for (int k = 0; k < 3; k++) {
        memcpy(y[k], x, sizeof x);
        assert_ok(clm_map_points(&maps[k], &work, POINTS, y[k], flags[k], &err), err);
        clm_map_close(&maps[k]);
    }
    assert_memory_equal(flags[0], flags[1], sizeof flags[0]);
    for (int i = 0; i < POINTS; i++)
        for (int d = 0; d < 3; d++) {
            assert_near(y[1][i][d], y[0][i][d], 1e-9);
            assert_near(y[2][i][d], x[i][d], 1e-3);
        }

    static const char text[] =
        "{\"ome\":{\"version\":\"0.6\",\"scene\":{\"coordinateSystems\":[{\"name\":\"a\",\"axes\":[{\"name\":\"x\","
        "\"unit\":\"millimeter\"},{\"name\":\"y\",\"unit\":\"millimeter\"},{\"name\":\"z\",\"unit\":\"millimeter\"}]},"
        "{\"name\":\"b\",\"axes\":[{\"name\":\"z\",\"unit\":\"nanometer\"},{\"name\":\"y\",\"unit\":\"nanometer\"},"
        "{\"name\":\"x\",\"unit\":\"nanometer\"}]}],\"coordinateTransformations\":[{\"type\":\"affine\",\"affine\":"
        "[[0,0,1000000,7],[0,2000000,0,0],[1000000,0,0,0]],\"input\":{\"name\":\"a\"},\"output\":{\"name\":\"b\"}}]}}}";
    clm_json *v;
    assert_ok(clm_json_parse(text, strlen(text), "scene", &v, &err), err);
    assert_ok(clm_path_join(store, folder, "units.zarr", &err), err);
    assert_ok(clm_folder_make(store, &err) && clm_node_make_group(store, CLM_FORMAT_ZARR3, v, &err), err);
    clm_json_free(v);
    const char *units[] = {store};
    clm_map map = open_map(units, 1);
    double p[1][3] = {{3, 4, 5}}; /* z y x, um: 0.003 mm of z is 3000 nm of it, and 7 more */
    assert_ok(clm_map_points(&map, &work, 1, p, flags[0], &err), err);
    assert_near(p[0][0], 3.007, 1e-9);
    assert_near(p[0][1], 8, 1e-9);
    assert_near(p[0][2], 5, 1e-9);
    clm_map_close(&map);
}

static clm_map open_folded(void) {
    clm_err err = CLM_ERR_NONE;
    clm_map map = {.n = 0};
    const clm_array_spec spec = {.ndim = 4, .shape = {3, 6, 6, 6}, .chunk = {3, 6, 6, 6}, .dtype = CLM_F32};
    static float u[3 * 216];
    for (uint64_t i = 0; i < 648; i++) u[i] = (float)(12.0 * clm_rng_normal(3, 0, i)); /* folds everywhere */
    clm_vectors folded = {.shape = {6, 6, 6}, .spacing_um = {4, 4, 4}};
    assert_ok(clm_array_open_memory(&spec, u, &folded.array[0], &err), err);
    assert_ok(clm_map_add_field(&map, &folded, &err), err);
    return map;
}

/* where a field folds steps may not lead to the tolerance: then the residual says so, and it is the true one */
static void what_did_not_converge_is_told(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_map map = open_folded();
    static double y[500][3], x[500][3], residual[500];
    static uint8_t flags[500], other[500];
    for (uint64_t i = 0; i < 500; i++)
        for (int d = 0; d < 3; d++) y[i][d] = 20.0 * clm_rng_uniform(4, (uint64_t)d, i);
    memcpy(x, y, sizeof x);
    assert_ok(clm_map_points_back(&map, &work, 500, 1e-3, x, residual, flags, &err), err);
    assert_ok(clm_map_points(&map, &work, 500, x, other, &err), err);
    int unsolved = 0;
    for (int i = 0; i < 500; i++) {
        double r = hypot(hypot(x[i][0] - y[i][0], x[i][1] - y[i][1]), x[i][2] - y[i][2]);
        assert_near(residual[i], r, 1e-9);
        assert_int_equal((flags[i] & CLM_POINT_UNSOLVED) != 0, r > 1e-3);
        unsolved += r > 1e-3;
    }
    assert_true(unsolved > 0 && unsolved < 500);
    clm_map_close(&map);
}

/* over a box, too, it is told which voxels a field solved backwards has no position for */
static void a_box_tells_what_is_unsolved(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_map map = open_folded();
    assert_ok(clm_map_turn(&map, &err), err);
    const clm_vol grid = {.shape = {7, 7, 7}, .spacing = {3, 3, 3}};
    clm_affine a;
    clm_field found;
    bool has_field;
    const uint8_t *over;
    static double x[343][3];
    static uint8_t flags[343];
    assert_ok(clm_map_over(&map, &work, &grid, &a, &found, &has_field, &over, &err), err);
    for (int i = 0; i < 343; i++)
        for (int d = 0; d < 3; d++) x[i][d] = 3.0 * (d == 0 ? i / 49 : d == 1 ? i / 7 % 7 : i % 7);
    assert_ok(clm_map_points(&map, &work, 343, x, flags, &err), err);
    int unsolved = 0;
    for (int i = 0; i < 343; i++) {
        assert_int_equal(over[i] & CLM_POINT_UNSOLVED, flags[i] & CLM_POINT_UNSOLVED);
        unsolved += (flags[i] & CLM_POINT_UNSOLVED) != 0;
    }
    assert_true(unsolved > 0 && unsolved < 343);
    clm_map_close(&map);
}

/* the form that the resampling kernels take agrees with the points, for a plain transform and for a chain */
static void boxes_agree_with_points(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *once[] = {scene}, *chain[] = {scene, scene};
    for (int k = 0; k < 2; k++) {
        clm_map map = open_map(k ? chain : once, k + 1);
        static const double origins[][3] = {{-2, 3, 1}, {-30, 3, 1}, {20, 200, 50.5}, {5, 90, -300}};
        for (size_t o = 0; o < sizeof origins / sizeof origins[0]; o++) {
            clm_vol grid = {.shape = {6, 7, 9}, .spacing = {2.5, 1.3, 3.1}};
            memcpy(grid.origin, origins[o], sizeof grid.origin);
            clm_affine a;
            clm_field u;
            bool has;
            const uint8_t *unsolved;
            assert_ok(clm_map_over(&map, &work, &grid, &a, &u, &has, &unsolved, &err), err);
            assert_true(has);
            assert_true(clm_map_nodes(&map, &grid) == (double)clm_field_count(&u));
            for (int64_t i = 0; i < clm_vol_count(&grid); i++) {
                const int64_t at[3] = {i / 63, i / 9 % 7, i % 9};
                double x[1][3], got[3];
                uint8_t flags;
                for (int d = 0; d < 3; d++) x[0][d] = grid.origin[d] + (double)at[d] * grid.spacing[d];
                clm_transform_point(&a, &u, x[0], got);
                assert_ok(clm_map_points(&map, &work, 1, x, &flags, &err), err);
                for (int d = 0; d < 3; d++) assert_near(got[d], x[0][d], 2e-5);
            }
        }
        clm_map_close(&map);
    }
}

static const char *file_of(const char *name, const char *text) {
    static char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
    return path;
}

static void affines_are_read_from_json_and_text(void **state) {
    (void)state;
    static const struct {
        const char *name, *text;
        clm_code code;
        const char *says;
    } table[] = {{"a.txt", "1 0 0 5\n0 1 0 6\n0 0 1 7\n", CLM_OK, ""},
                 {"a.txt", "# numpy\n1e0,0,0,5\n0,1,0,6 # y\n0,0,1,7\n0,0,0,1", CLM_OK, ""},
                 {"a.json", "{\"affine\": [[1,0,0,5],[0,1,0,6],[0,0,1,7]]}", CLM_OK, ""},
                 {"a.txt", "1 0 0\n0 1 0\n0 0 1\n", CLM_E_FORMAT, "9 numbers"},
                 {"a.txt", "1 0 0 5\n0 one 0 6\n", CLM_E_FORMAT, "a.txt:2: \"one"},
                 {"a.txt", "1 0 0 5 0 1 0 6 0 0 1 7 0 0 1 1", CLM_E_FORMAT, "0 0 0 1"},
                 {"a.json", "{\"affine\": [[1,0,0,5],[0,1,0,6]]}", CLM_E_FORMAT, "3 rows"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_map map;
        const char *path = file_of(table[i].name, table[i].text);
        bool ok = clm_map_open(&path, 1, 0, &map, &err);
        assert_int_equal(err.code, table[i].code);
        assert_int_equal(ok, table[i].code == CLM_OK);
        if (!ok) assert_non_null(strstr(err.text, table[i].says));
        if (!ok) continue;
        double x[1][3] = {{1, 2, 3}};
        uint8_t flags;
        assert_ok(clm_map_points(&map, &work, 1, x, &flags, &err), err);
        for (int d = 0; d < 3; d++) assert_near(x[0][d], (d + 1) + (5 + d), 0);
        clm_map_close(&map);
    }
    clm_err err = CLM_ERR_NONE;
    clm_map map;
    const char *none = "/nowhere/at/all";
    assert_fails(CLM_E_NOTFOUND, clm_map_open(&none, 1, 0, &map, &err), err);
}

/* ---- tables ---- */

static bool run_table(const char *text, bool inverse, int64_t batch, clm_buf *out, clm_point_count *n,
                      clm_err *err) {
    char to[CLM_PATH_MAX];
    const char *paths[] = {scene};
    clm_map map = open_map(paths, 1);
    clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
    clm_mark m = clm_arena_mark(work.keep);
    clm_err second = CLM_ERR_NONE;
    assert_ok(clm_path_join(to, folder, "out.csv", &second), second);
    assert_ok(clm_file_remove(to, &second), second);
    t.in = file_of("in.csv", text);
    t.out = to;
    t.inverse = inverse;
    t.batch = batch;
    bool ok = clm_point_table_run(&map, &t, &work, n, err);
    clm_arena_rewind(work.keep, m);
    clm_map_close(&map);
    if (ok)
        assert_ok(clm_file_read(to, 1 << 20, out, &second), second);
    else
        assert_int_equal(clm_path_kind_of(to), CLM_PATH_NONE);
    return ok;
}

static void tables_carry_everything_else_through(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0}, again = {0};
    clm_point_count n;
    char want[600];
    const double p[2][3] = {{5.25, 10, 20}, {900, 1, 2}};
    double q[2][3];
    char cell[2][3][32];
    for (int i = 0; i < 2; i++) {
        clm_transform_point(&turn, &whole, p[i], q[i]);
        for (int d = 0; d < 3; d++) (void)snprintf(cell[i][d], 32, "%.6f", q[i][d]);
        for (int d = 0; d < 3; d++) /* no zeros at the end */
            for (size_t k = strlen(cell[i][d]); k > 1 && cell[i][d][k - 1] == '0'; k--) cell[i][d][k - 1] = 0;
    }
    (void)snprintf(want, sizeof want,
                   "name,x,note,z,y,status\n"
                   "a,%s,\"b, \"\"c\"\"\",%s,%s,inside\n"
                   ",%s,,%s,%s,outside\n",
                   cell[0][2], cell[0][0], cell[0][1], cell[1][2], cell[1][0], cell[1][1]);
    const char *text = "name,x,note,z,y\r\na,20,\"b, \"\"c\"\"\",5.25,10\r\n\r\n,2,,9e2,1";
    assert_ok(run_table(text, false, 1000, &out, &n, &err), err);
    assert_string_equal((char *)out.data, want);
    assert_int_equal(n.points, 2);
    assert_int_equal(n.outside, 1);
    assert_ok(run_table(text, false, 1, &again, &n, &err), err); /* batches change nothing */
    assert_string_equal((char *)again.data, want);
    clm_buf_free(&out);
    clm_buf_free(&again);
}

/* one after the other, parts of any length in bytes are the whole: header, blank lines and a last line without end */
static void parts_of_a_table_are_the_whole(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *paths[] = {scene};
    clm_map map = open_map(paths, 1);
    char text[6000] = "id,z,y,x\r\n", in[CLM_PATH_MAX], to[CLM_PATH_MAX];
    clm_buf want = {0};
    clm_point_count n, all = {0};
    for (int i = 0; i < 120; i++)
        (void)snprintf(text + strlen(text), 60, "%d,%d.5,%d,%d%s", i * i, i % 40, i % 60, i % 90,
                       i == 119     ? ""
                       : i % 7 == 3 ? "\r\n\r\n"
                                    : "\n");
    int64_t bytes = (int64_t)strlen(text);
    assert_ok(run_table(text, false, 50, &want, &all, &err), err);
    assert_ok(clm_path_join(in, folder, "in.csv", &err), err);
    assert_ok(clm_path_join(to, folder, "part.csv", &err), err);
    for (int64_t step = 1; step < bytes + 100; step = step < 20 ? step + 1 : step * 2) {
        clm_buf got = {0};
        int64_t points = 0;
        clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
        t.in = in, t.out = to, t.batch = 50;
        for (t.from = 0; t.from < bytes; t.from = t.to) {
            clm_buf part = {0};
            t.to = t.from + step;
            clm_mark m = clm_arena_mark(work.keep);
            assert_ok(clm_point_table_run(&map, &t, &work, &n, &err), err);
            clm_arena_rewind(work.keep, m);
            assert_ok(clm_file_read(to, 1 << 20, &part, &err), err);
            assert_ok(clm_buf_printf(&got, &err, "%s", part.n ? (char *)part.data : ""), err);
            points += n.points;
            clm_buf_free(&part);
        }
        assert_string_equal((char *)got.data, (char *)want.data);
        assert_int_equal(points, all.points);
        clm_buf_free(&got);
    }
    /* a fault is told by its line in the whole file */
    text[bytes - 1] = '?';
    clm_buf none = {0};
    assert_fails(CLM_E_FORMAT, run_table(text, false, 50, &none, &n, &err), err);
    clm_point_table t = CLM_POINT_TABLE_DEFAULTS;
    clm_err second = CLM_ERR_NONE;
    t.in = in, t.out = to, t.from = bytes - 30, t.to = bytes;
    assert_fails(CLM_E_FORMAT, clm_point_table_run(&map, &t, &work, &n, &second), second);
    assert_string_equal(second.text, err.text);
    clm_buf_free(&want);
    clm_map_close(&map);
}

/* 24 chunks of 4 x 8 x 5 nodes: a cell needs the first nodes of the next chunks, and no others */
static void points_read_only_the_chunks_around_them(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *paths[] = {scene};
    clm_map map = open_map(paths, 1);
    double last[2][3] = {{36, 60, 94}, {37, 65, 95}}, first[2][3] = {{0, 5, 3}, {9, 30, 18}}, again[2][3];
    uint8_t flags[2];
    assert_ok(clm_map_points(&map, &work, 2, last, flags, &err), err);
    assert_int_equal(clm_cache_figures_of(map.cache).misses, 1);
    memcpy(again, first, sizeof again);
    assert_ok(clm_map_points(&map, &work, 2, first, flags, &err), err);
    assert_int_equal(clm_cache_figures_of(map.cache).misses, 1 + 8);
    assert_ok(clm_map_points(&map, &work, 2, again, flags, &err), err);
    assert_int_equal(clm_cache_figures_of(map.cache).misses, 1 + 8);
    clm_map_close(&map);
}

static void tables_tell_line_and_column_of_a_fault(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } table[] = {{"", "in.csv: empty"},
                 {"x,y\n", "in.csv:1: no column \"z\""},
                 {"z,y,x,y\n", "in.csv:1: two columns \"y\""},
                 {"z,y,x,status\n", "in.csv:1: column \"status\""},
                 {"z,y,x\n1,2,3\n\n1,two,3\n", "in.csv:4: column y: \"two\" is not a number"},
                 {"z,y,x\n1,2,\n", "in.csv:2: column x: \"\""},
                 {"z,y,x\n1,2,nan\n", "in.csv:2: column x: \"nan\""},
                 {"z,y,x\n1,2\n", "in.csv:2: 2 columns, the header has 3"},
                 {"z,y,x,n\n1,2,3,\"a\n", "in.csv:2: a quote"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_buf out = {0};
        clm_point_count n;
        assert_fails(CLM_E_FORMAT, run_table(table[i].text, false, 100, &out, &n, &err), err);
        if (!strstr(err.text, table[i].says)) fail_msg("\"%s\" does not say \"%s\"", err.text, table[i].says);
    }
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0};
    clm_point_count n;
    assert_ok(run_table("x\ty\tz\n1\t2\t3\n", true, 100, &out, &n, &err), err);
    assert_non_null(strstr((char *)out.data, "x\ty\tz\tstatus\tresidual_um\n"));
    clm_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(points_equal_the_definition_in_any_order),
                                       cmocka_unit_test(back_returns_what_forward_took),
                                       cmocka_unit_test(inverse_of_a_path_undoes_it),
                                       cmocka_unit_test(scenes_open_by_their_systems),
                                       cmocka_unit_test(what_did_not_converge_is_told),
                                       cmocka_unit_test(a_box_tells_what_is_unsolved),
                                       cmocka_unit_test(boxes_agree_with_points),
                                       cmocka_unit_test(affines_are_read_from_json_and_text),
                                       cmocka_unit_test(tables_carry_everything_else_through),
                                       cmocka_unit_test(parts_of_a_table_are_the_whole),
                                       cmocka_unit_test(points_read_only_the_chunks_around_them),
                                       cmocka_unit_test(tables_tell_line_and_column_of_a_fault)};
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
