/* Halves and other parts of transforms: of what is known to be a square or a cube they are the sides; what is left is
 * told; and worlds may lie apart. */
#include "collimate/base/rng.h"
#include "collimate/transform/transform.h"
#include "support/composed.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 2000 };
static clm_work work;
static char folder[CLM_PATH_MAX];
static const clm_image_frame grid = {{30, 40, 35}, {2, 1.5, 1.8}, {-10, 20, 5}};

static char *path_of(char out[CLM_PATH_MAX], const char *name) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(out, folder, name, &err), err);
    return out;
}

/* u of `um` micrometres, waves of `length`, over twice the grid or just the grid */
static void make(const char *name, const clm_affine *a, double um, double length, bool wide) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_transform t;
    clm_field u;
    clm_transform_spec s = {.affine = *a, .spacing_um = {4, 3, 3.6}, .fixed = grid};
    for (int d = 0; d < 3; d++) {
        int64_t n = grid.shape[d] / 2 + 1, more = wide ? n / 2 : 0;
        s.shape[d] = n + 2 * more;
        s.chunk[d] = 16;
        s.origin_um[d] = grid.origin_um[d] - (double)more * s.spacing_um[d];
    }
    assert_ok(clm_ome_write_transform(path_of(path, name), &s, &err), err);
    assert_ok(clm_field_new(work.keep, s.shape, s.spacing_um, s.origin_um, &u, &err), err);
    for (int64_t i = 0; i < clm_field_count(&u); i++) {
        const int64_t k[3] = {i / (s.shape[1] * s.shape[2]), i / s.shape[2] % s.shape[1], i % s.shape[2]};
        double x[3];
        for (int d = 0; d < 3; d++)
            x[d] = (s.origin_um[d] + (double)k[d] * s.spacing_um[d]) * 6.2831853 / length;
        for (int c = 0; c < 3; c++) u.u[c][i] = (float)(um * sin(x[c] + 0.7 * x[(c + 1) % 3] + c));
    }
    assert_ok(clm_transform_open(path, true, &t, &err), err);
    const clm_grid chunks = clm_grid_chunks(s.shape, s.chunk);
    for (int64_t i = 0; i < chunks.n; i++) {
        int64_t at[3], shape[3];
        double origin[3];
        clm_field some;
        const clm_box box = clm_grid_core(&chunks, i);
        clm_grid_at(&chunks, i, at);
        for (int d = 0; d < 3; d++) {
            shape[d] = box.hi[d] - box.lo[d];
            origin[d] = s.origin_um[d] + (double)box.lo[d] * s.spacing_um[d];
        }
        assert_ok(clm_field_new(work.keep, shape, s.spacing_um, origin, &some, &err), err);
        clm_field_resample(&u, &some);
        assert_ok(clm_transform_put(&t, at, &some, &err), err);
    }
    clm_transform_close(&t);
    clm_arena_reset(work.keep, 0);
}

/* part power/root of the chain of n times `name`, on a lattice or on T's own */
static bool part(const char *name, int n, int power, int root, const char *out, double spacing_um,
                 double total[CLM_COMPOSED_COUNT], clm_err *err) {
    char in[CLM_PATH_MAX], to[CLM_PATH_MAX];
    clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
    for (int k = 0; k < n; k++) s.transforms[s.n_transforms++] = path_of(in, name);
    s.output = path_of(to, out);
    s.root = root;
    s.power = power;
    s.chunk_nodes = 16;
    s.has_spacing = spacing_um > 0;
    for (int d = 0; d < 3; d++) s.spacing_um[d] = spacing_um;
    return clm_test_compose(&s, &work, total, err);
}

/* the largest distance at points of the grid between chains of n and m times the two */
static double apart(const char *a, int n, const char *b, int m, double margin_um) {
    clm_err err = CLM_ERR_NONE;
    static double x[2][POINTS][3];
    static uint8_t flags[POINTS];
    const char *names[] = {a, b};
    const int times[] = {n, m};
    double most = 0;
    for (int k = 0; k < 2; k++) {
        char path[CLM_PATH_MAX];
        const char *paths[8];
        clm_map map;
        for (int i = 0; i < times[k]; i++) paths[i] = path_of(path, names[k]);
        for (uint64_t i = 0; i < POINTS; i++)
            for (int d = 0; d < 3; d++) {
                double length = (double)(grid.shape[d] - 1) * grid.spacing_um[d] - 2 * margin_um;
                x[k][i][d] = grid.origin_um[d] + margin_um + length * clm_rng_uniform(3, (uint64_t)d, i);
            }
        assert_ok(clm_map_open(paths, times[k], 1 << 20, &map, &err), err);
        assert_ok(clm_map_points(&map, &work, POINTS, x[k], flags, &err), err);
        clm_map_close(&map);
    }
    for (int i = 0; i < POINTS; i++)
        most = fmax(most,
                    hypot(hypot(x[0][i][0] - x[1][i][0], x[0][i][1] - x[1][i][1]), x[0][i][2] - x[1][i][2]));
    return most;
}

static const clm_affine turn = {{{0.99, 0.06, -0.03, 1.5}, {-0.05, 1.01, 0.04, 2}, {0.03, -0.05, 1.02, -1}}};

static int begin(void **state) {
    (void)state;
    work = clm_test_work(64);
    clm_test_folder(folder);
    make("side", &turn, 3, 150, true);
    make("plain", &turn, 2, 60, false);
    return 0;
}
static int end(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

/* of n steps of a known way, the part k/n is k steps of it */
static void the_side_of_a_square_comes_back(void **state) {
    (void)state;
    for (int n = 2; n <= 3; n++) {
        clm_err err = CLM_ERR_NONE;
        double t[CLM_COMPOSED_COUNT];
        char out[16];
        (void)snprintf(out, sizeof out, "root%d", n);
        assert_ok(part("side", n, n - 1, n, out, 0, t, &err), err);
        assert_near(t[CLM_COMPOSED_UNSOLVED], 0, 0);
        double off = apart(out, 1, "side", n - 1, 15);
        print_message("%d of %d steps: off by %.4f um, residual %.4f um at nodes, %.4f between\n", n - 1, n,
                      off, t[CLM_COMPOSED_RESIDUAL], t[CLM_COMPOSED_BETWEEN_MAX]);
        assert_true(off < 0.06);
        assert_true(apart("side", n - 1, "side", n, 15) > 3);
    }
}

/* twice the half is the whole, and as far from it as is told; on finer nodes it is nearer */
static void twice_the_half_is_the_whole(void **state) {
    (void)state;
    static const double spacing[] = {0, 2};
    double off[2];
    for (int k = 0; k < 2; k++) {
        clm_err err = CLM_ERR_NONE;
        double t[CLM_COMPOSED_COUNT];
        assert_ok(part("plain", 1, 1, 2, k ? "half.fine" : "half", spacing[k], t, &err), err);
        off[k] = apart(k ? "half.fine" : "half", 2, "plain", 1, 0);
        print_message("twice: off by %.4f um, told %.4f at nodes, %.4f between\n", off[k],
                      t[CLM_COMPOSED_RESIDUAL], t[CLM_COMPOSED_BETWEEN_MAX]);
        assert_near(t[CLM_COMPOSED_UNSOLVED], 0, 0);
        assert_true(off[k] < 1.5 * fmax(t[CLM_COMPOSED_RESIDUAL], t[CLM_COMPOSED_BETWEEN_MAX]));
        assert_true(off[k] < 0.4);
    }
    assert_true(off[1] < 0.9 * off[0]);
}

/* an affine alone: exactly, as a file and as a field */
static void affines_are_exact(void **state) {
    (void)state;
    static const clm_image_frame none = {.shape = {0}};
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const clm_transform_spec s = {.affine = turn, .fixed = none};
    assert_ok(clm_ome_write_transform(path_of(path, "affine"), &s, &err), err);
    make("flat", &turn, 0, 60, false);
    assert_ok(part("affine", 1, 1, 3, "third.txt", 0, NULL, &err), err);
    assert_true(apart("third.txt", 3, "affine", 1, 0) < 1e-11);
    double t[CLM_COMPOSED_COUNT];
    assert_ok(part("flat", 1, 1, 2, "flat.half", 0, t, &err), err);
    assert_true(t[CLM_COMPOSED_RESIDUAL] < 1e-6 && t[CLM_COMPOSED_UNSOLVED] == 0);
    assert_true(apart("flat.half", 2, "affine", 1, 0) < 1e-6);
}

/* the moving image's world begins elsewhere: half-way is empty space between them, and found all the same */
static void worlds_may_lie_apart(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    double t[CLM_COMPOSED_COUNT];
    clm_affine far = turn;
    for (int d = 0; d < 3; d++) far.m[d][3] += d == 1 ? 250 : 30;
    make("far", &far, 4, 60, false);
    assert_ok(part("far", 1, 1, 2, "far.half", 0, t, &err), err);
    assert_near(t[CLM_COMPOSED_UNSOLVED], 0, 0);
    assert_true(apart("far.half", 2, "far", 1, 0) < 0.4);
    /* too far to fill the way with nodes */
    far.m[1][3] += 1e5;
    make("farther", &far, 4, 60, false);
    clm_err why = CLM_ERR_NONE;
    assert_fails(CLM_E_ARG, part("farther", 1, 1, 2, "no", 0, t, &why), why);
    assert_non_null(strstr(why.text, "--origin"));
}

/* where T folds there is no half: the nodes are told by their residual, their coverage and their count */
static void what_is_not_solved_is_told(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    double t[CLM_COMPOSED_COUNT];
    char path[CLM_PATH_MAX], at[CLM_PATH_MAX];
    make("folded", &turn, 9, 25, false);
    assert_ok(part("folded", 1, 1, 2, "folded.half", 0, t, &err), err);
    clm_array *coverage, *residual;
    assert_ok(clm_path_join(at, path_of(path, "folded.half"), CLM_SCENE_COVERAGE, &err), err);
    assert_ok(clm_array_open(at, &coverage, &err), err);
    assert_ok(clm_path_join(at, path, CLM_SCENE_RESIDUAL, &err) && clm_array_open(at, &residual, &err), err);
    const int64_t *n = clm_array_info_of(coverage)->shape, lo[3] = {0, 0, 0};
    int64_t count = n[0] * n[1] * n[2], bad = 0, beyond = 0;
    float *c = clm_take(work.keep, float, count, &err), *r = clm_take(work.keep, float, count, &err);
    assert_ok(clm_array_read(coverage, lo, n, c, &err) && clm_array_read(residual, lo, n, r, &err), err);
    for (int64_t i = 0; i < count; i++) {
        bool above = (double)r[i] > 0.3; /* a tenth of 3 um */
        assert_true(!above || c[i] == 0.0f);
        bad += above;
        beyond += !above && c[i] == 0.0f;
    }
    assert_near(t[CLM_COMPOSED_UNSOLVED], (double)bad, 0);
    assert_near(t[CLM_COMPOSED_EXTRAPOLATED], (double)beyond, 0);
    assert_true(bad > count / 20);
    clm_array_close(coverage);
    clm_array_close(residual);
    clm_arena_reset(work.keep, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_side_of_a_square_comes_back), cmocka_unit_test(twice_the_half_is_the_whole),
        cmocka_unit_test(affines_are_exact), cmocka_unit_test(worlds_may_lie_apart),
        cmocka_unit_test(what_is_not_solved_is_told)};
    return cmocka_run_group_tests(tests, begin, end);
}
