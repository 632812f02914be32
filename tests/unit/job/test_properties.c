/* What must hold of any transform, whatever its grids: one application of a composed transform is two applications,
 * an image goes where its points go, an inverse of an inverse is the transform, and only the world counts, not how
 * finely or from where a grid counts it. Spacings are unequal, origins differ, axes are swapped. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/job/apply_run.h"
#include "collimate/transform/transform.h"
#include "collimate/store/ome.h"
#include "support/composed.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define OUTSIDE (-1e6)

static clm_work work;
static char folder[CLM_PATH_MAX];

/* fixed grid -> T -> middle grid -> S -> moving grid; the later ones hold all that the earlier ones lead to */
static const clm_image_frame fixed = {{14, 20, 33}, {2, 1.5, 1}, {3, -2, 10}},
                             middle = {{50, 44, 40}, {1.2, 1.4, 1.75}, {-12, -15, -13}},
                             moving = {{70, 50, 75}, {1, 1.5, 1.3}, {-18, -25, -30}};
/* one near the identity, one that makes z of x and x of z, in a world that begins elsewhere */
static const clm_affine near_one = {{{1.02, 0.05, -0.01, 2},
                                     {-0.04, 0.97, 0.02, -1},
                                     {0.03, -0.02, 1.01, 1}}},
                        swapping = {
                            {{0.02, 0.05, 0.98, -6}, {-0.04, 1.03, 0.02, -1}, {0.95, -0.02, 0.03, 4}}};

static char *path_of(char out[CLM_PATH_MAX], const char *name) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(out, folder, name, &err), err);
    return out;
}

static void centre(const clm_image_frame *g, int64_t i, double x[3]) {
    const int64_t k[3] = {i / (g->shape[1] * g->shape[2]), i / g->shape[2] % g->shape[1], i % g->shape[2]};
    for (int d = 0; d < 3; d++) x[d] = g->origin_um[d] + (double)k[d] * g->spacing_um[d];
}

static int64_t voxels(const clm_image_frame *g) { return g->shape[0] * g->shape[1] * g->shape[2]; }

/* A scene of a smooth field of `um` micrometres over a grid and an affine. */
static void make_transform(const char *name, const clm_affine *a, double um, double phase,
                           const clm_image_frame *from, const clm_image_frame *to) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_transform t;
    clm_field u;
    clm_transform_spec s = {.affine = *a, .spacing_um = {4, 3, 5}, .fixed = *from, .moving = *to};
    for (int d = 0; d < 3; d++) {
        s.origin_um[d] = from->origin_um[d] - 2;
        double length = (double)from->shape[d] * from->spacing_um[d] + 4;
        s.shape[d] = s.chunk[d] = 2 + (int64_t)(length / s.spacing_um[d]);
    }
    assert_ok(clm_ome_write_transform(path_of(path, name), &s, &err), err);
    assert_ok(clm_field_new(work.keep, s.shape, s.spacing_um, s.origin_um, &u, &err), err);
    const clm_image_frame nodes = {
        {s.shape[0], s.shape[1], s.shape[2]}, {4, 3, 5}, {s.origin_um[0], s.origin_um[1], s.origin_um[2]}};
    for (int64_t i = 0; i < clm_field_count(&u); i++) {
        double x[3];
        centre(&nodes, i, x);
        for (int c = 0; c < 3; c++)
            u.u[c][i] = (float)(um * sin(0.11 * x[c] + 0.08 * x[(c + 1) % 3] + phase + c));
    }
    assert_ok(clm_transform_open(path, true, &t, &err), err);
    assert_ok(clm_transform_put(&t, (const int64_t[]){0, 0, 0}, &u, &err), err);
    clm_transform_close(&t);
    clm_arena_reset(work.keep, 0);
}

typedef double value_fn(const double x[3], const void *ctx);

static void make_image(const char *name, const clm_image_frame *g, value_fn *value, const void *ctx) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX], level[CLM_PATH_MAX];
    clm_array *a;
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_F32};
    clm_level_spec l = {.path = "s0"};
    memcpy(spec.shape, g->shape, sizeof g->shape);
    memcpy(spec.chunk, g->shape, sizeof g->shape);
    memcpy(l.spacing_um, g->spacing_um, sizeof l.spacing_um);
    memcpy(l.origin_um, g->origin_um, sizeof l.origin_um);
    float *v = clm_take(work.keep, float, voxels(g), &err);
    for (int64_t i = 0; i < voxels(g); i++) {
        double x[3];
        centre(g, i, x);
        v[i] = (float)value(x, ctx);
    }
    assert_ok(clm_path_format(level, &err, "%s/s0", path_of(path, name)), err);
    assert_ok(clm_array_create(level, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, v, &err), err);
    clm_array_close(a);
    assert_ok(
        clm_ome_write_pyramid(
            path, &(clm_pyramid_spec){.format = CLM_FORMAT_ZARR3, .name = name, .levels = &l, .n = 1}, &err),
        err);
    clm_arena_reset(work.keep, 0);
}

static double coordinate(const double x[3], const void *axis) { return x[*(const int *)axis]; }

/* IN through the chain of names onto the grid, as OUT; its voxels, in work.keep */
static float *apply(const char *const *chain, int n, const char *in, const char *out,
                    const clm_image_frame *g) {
    clm_err err = CLM_ERR_NONE;
    char paths[4][CLM_PATH_MAX], input[CLM_PATH_MAX], output[CLM_PATH_MAX];
    clm_apply_spec s = CLM_APPLY_DEFAULTS;
    clm_json *v = NULL;
    clm_apply_run *run = NULL;
    clm_outcome o;
    for (int i = 0; i < n; i++) s.transforms[i] = path_of(paths[i], chain[i]);
    s.n_transforms = n;
    s.input = path_of(input, in);
    s.output = path_of(output, out);
    s.outside = OUTSIDE;
    s.pyramid = false;
    s.chunk_vox = 16;
    s.has_spacing = s.has_origin = s.has_shape = true;
    memcpy(s.spacing_um, g->spacing_um, sizeof s.spacing_um);
    memcpy(s.origin_um, g->origin_um, sizeof s.origin_um);
    memcpy(s.shape, g->shape, sizeof s.shape);
    assert_ok(clm_apply_spec_to_json(&s, &v, &err) && clm_apply_open(v, 1, &run, &err), err);
    assert_ok(clm_apply_prepare(run, &err), err);
    for (int k = 0; k < run->plan.n_stages; k++)
        for (int64_t i = 0; i < run->stage[k].n; i++) {
            const clm_task task = {.stage = k, .index = i};
            assert_ok(clm_apply_stage_begin(run, k, &err) && clm_apply_task(run, &work, &task, &o, &err),
                      err);
        }
    clm_apply_close(run);
    clm_array *a;
    char level[CLM_PATH_MAX];
    clm_image_frame told = {.shape = {0}};
    assert_ok(clm_ome_read_frame(output, &told, &err), err);
    assert_memory_equal(&told, g, sizeof told); /* the grid it is on, not that of what was resampled */
    assert_ok(clm_path_format(level, &err, "%s/s0", output) && clm_array_open(level, &a, &err), err);
    static float kept[6][14 * 20 * 33 * 3];
    static int next;
    static float large[50 * 44 * 40];
    float *to = voxels(g) > 14 * 20 * 33 * 3 ? large : kept[next++ % 6];
    assert_ok(clm_array_read(a, (const int64_t[]){0, 0, 0}, g->shape, to, &err), err);
    clm_array_close(a);
    return to;
}

/* The chain, or the inverse of its one transform, as one on a lattice: its greatest error between nodes. */
static double compose(const char *const *chain, int n, bool invert, const char *out,
                      const clm_image_frame *g) {
    clm_err err = CLM_ERR_NONE;
    char paths[4][CLM_PATH_MAX], output[CLM_PATH_MAX];
    clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
    double total[CLM_COMPOSED_COUNT];
    for (int i = 0; i < n; i++) s.transforms[i] = path_of(paths[i], chain[i]);
    s.n_transforms = n;
    s.output = path_of(output, out);
    s.invert = invert;
    s.chunk_nodes = 8;
    s.has_spacing = s.has_origin = s.has_shape = g != NULL;
    if (g) {
        memcpy(s.spacing_um, g->spacing_um, sizeof s.spacing_um);
        memcpy(s.origin_um, g->origin_um, sizeof s.origin_um);
        memcpy(s.shape, g->shape, sizeof s.shape);
    }
    assert_ok(clm_test_compose(&s, &work, total, &err), err);
    assert_near(total[CLM_COMPOSED_UNSOLVED], 0, 0);
    return total[CLM_COMPOSED_ERROR_MAX];
}

static void map_points(const char *name, bool back, int64_t n, double (*x)[3]) {
    clm_err err = CLM_ERR_NONE;
    clm_map map;
    char path[CLM_PATH_MAX];
    const char *paths[] = {path_of(path, name)};
    static uint8_t flags[4096];
    static double residual[4096];
    assert_ok(clm_map_open(paths, 1, 1 << 20, &map, &err), err);
    assert_ok(back ? clm_map_points_back(&map, &work, n, 1e-4, x, residual, flags, &err)
                   : clm_map_points(&map, &work, n, x, flags, &err),
              err);
    for (int64_t i = 0; i < n; i++) assert_false(flags[i] & CLM_POINT_UNSOLVED);
    clm_map_close(&map);
}

static int begin(void **state) {
    (void)state;
    static const int axes[3] = {0, 1, 2};
    work = clm_test_work(64);
    clm_test_folder(folder);
    make_transform("T", &near_one, 1.5, 0, &fixed, &middle);
    make_transform("S", &swapping, 1.5, 1, &middle, &moving);
    make_transform("U", &near_one, 1.5, 2, &middle, &moving);
    make_image("z", &moving, coordinate, &axes[0]);
    make_image("y", &moving, coordinate, &axes[1]);
    make_image("x", &moving, coordinate, &axes[2]);
    return 0;
}
static int end(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static double farthest(const float *a, const float *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_true((double)a[i] > 0.5 * OUTSIDE && (double)b[i] > 0.5 * OUTSIDE); /* the grids hold it all */
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    }
    return most;
}

/* An image that tells a coordinate of the moving world: resampled twice it holds what resampling once through the
 * composed transform gives, but for the interpolation on the way; in the other order it does not. */
static void applied_twice_is_applied_composed(void **state) {
    (void)state;
    static const char *const images[] = {"z", "y", "x"}, *const seconds[] = {"S", "U"},
                             *const first[] = {"T"};
    for (int k = 0; k < 2; k++) {
        const char *chain[] = {"T", seconds[k]}, *turned[] = {seconds[k], "T"};
        char composed[8], name[3][32];
        const char *one[] = {composed};
        (void)snprintf(composed, sizeof composed, "T%s", seconds[k]);
        (void)compose(chain, 2, false, composed, &fixed); /* nodes on the voxels: exact there */
        for (int c = 0; c < 3; c++) {
            for (int i = 0; i < 3; i++)
                (void)snprintf(name[i], sizeof name[i], "%s%s%d", images[c], composed, i);
            char after[48], other[48];
            (void)snprintf(after, sizeof after, "%s.mid", name[0]);
            (void)snprintf(other, sizeof other, "%s.other", name[0]);
            (void)apply(chain + 1, 1, images[c], after, &middle);
            const float *twice = apply(first, 1, after, name[0], &fixed),
                        *chained = apply(chain, 2, images[c], name[1], &fixed),
                        *once = apply(one, 1, images[c], name[2], &fixed);
            assert_near(farthest(once, chained, voxels(&fixed)), 0, 2e-4);
            assert_near(farthest(twice, once, voxels(&fixed)), 0, 0.08);
            assert_true(farthest(apply(turned, 2, images[c], other, &fixed), once, voxels(&fixed)) > 0.3);
        }
    }
}

typedef struct blob {
    double at[3], sigma;
} blob;
static double bump(const double x[3], const void *ctx) {
    const blob *b = ctx;
    double r = 0;
    for (int d = 0; d < 3; d++) r += (x[d] - b->at[d]) * (x[d] - b->at[d]);
    return 1000.0 * exp(-0.5 * r / (b->sigma * b->sigma));
}

/* One bright place of the moving image appears in the fixed grid where points say, to a part of a voxel. */
static void images_go_where_points_go(void **state) {
    (void)state;
    static const char *const names[] = {"T", "S", "U"};
    static const clm_image_frame *const from[] = {&fixed, &middle, &middle};
    int seen = 0;
    for (int k = 0; k < 3; k++)
        for (uint64_t i = 0; i < 4; i++) {
            char in[16], out[16];
            blob b = {.sigma = 1.8};
            double want[1][3], got[1][3] = {{0, 0, 0}}, mass = 0;
            for (int d = 0; d < 3; d++) { /* well inside */
                double length = (double)(from[k]->shape[d] - 1) * from[k]->spacing_um[d];
                want[0][d] =
                    from[k]->origin_um[d] + length * (0.3 + 0.4 * clm_rng_uniform(7, (uint64_t)d, i));
            }
            memcpy(b.at, want[0], sizeof b.at);
            map_points(names[k], false, 1, &b.at);
            (void)snprintf(in, sizeof in, "in%d%d", k, (int)i);
            (void)snprintf(out, sizeof out, "out%d%d", k, (int)i);
            make_image(in, k ? &moving : &middle, bump, &b);
            const float *v = apply(&names[k], 1, in, out, from[k]);
            for (int64_t j = 0; j < voxels(from[k]); j++) {
                double x[3];
                if ((double)v[j] < 1.0) continue; /* outside, or nothing */
                centre(from[k], j, x);
                mass += (double)v[j];
                for (int d = 0; d < 3; d++) got[0][d] += (double)v[j] * x[d];
            }
            for (int d = 0; d < 3; d++) got[0][d] /= mass;
            for (int d = 0; d < 3; d++) assert_near(got[0][d], want[0][d], 0.15 * from[k]->spacing_um[d]);
            map_points(names[k], true, 1, &b.at);
            for (int d = 0; d < 3; d++) assert_near(b.at[d], want[0][d], 1e-3);
            seen++;
        }
    assert_int_equal(seen, 12);
}

/* The inverse written, and the inverse of that: T again, as far as their nodes can tell. */
static void the_inverse_of_the_inverse_is_the_transform(void **state) {
    (void)state;
    static const char *const names[] = {"T", "S"};
    static const clm_image_frame *const from[] = {&fixed, &middle};
    for (int k = 0; k < 2; k++) {
        char back[16], again[16];
        const char *one[] = {back};
        (void)snprintf(back, sizeof back, "%s.back", names[k]);
        (void)snprintf(again, sizeof again, "%s.again", names[k]);
        double e = compose(&names[k], 1, true, back, NULL) + compose(one, 1, true, again, NULL);
        static double x[2000][3], y[2000][3];
        for (uint64_t i = 0; i < 2000; i++)
            for (int d = 0; d < 3; d++)
                x[i][d] = y[i][d] = from[k]->origin_um[d] + clm_rng_uniform(5, (uint64_t)d, i) *
                                                                (double)(from[k]->shape[d] - 1) *
                                                                from[k]->spacing_um[d];
        map_points(names[k], false, 2000, x);
        map_points(again, false, 2000, y);
        assert_true(e > 1e-3 && e < 1);
        double most = 0;
        for (int i = 0; i < 2000; i++)
            most = fmax(most, hypot(hypot(x[i][0] - y[i][0], x[i][1] - y[i][1]), x[i][2] - y[i][2]));
        assert_true(most > 1e-6 && most < 1.5 * e); /* e's second part grows by the slope of T */
    }
}

/* The same scene on another grid, finer here and coarser there, begun elsewhere: the same result. */
static void only_the_world_counts(void **state) {
    (void)state;
    static const clm_image_frame other = {{36, 80, 122}, {2, 1, 0.8}, {-19, -26, -31}};
    static const int axis[3] = {0, 1, 2};
    static const char *const names[] = {"z", "y", "x"}, *const chain[] = {"T", "S"};
    for (int c = 0; c < 3; c++) {
        char again[16], a[16], b[16];
        (void)snprintf(again, sizeof again, "%s.other", names[c]);
        (void)snprintf(a, sizeof a, "%s.one", names[c]);
        (void)snprintf(b, sizeof b, "%s.two", names[c]);
        make_image(again, &other, coordinate, &axis[c]);
        const float *one = apply(chain, 2, names[c], a, &fixed), *two = apply(chain, 2, again, b, &fixed);
        assert_near(farthest(one, two, voxels(&fixed)), 0, 1e-4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(applied_twice_is_applied_composed),
                                       cmocka_unit_test(images_go_where_points_go),
                                       cmocka_unit_test(the_inverse_of_the_inverse_is_the_transform),
                                       cmocka_unit_test(only_the_world_counts)};
    return cmocka_run_group_tests(tests, begin, end);
}
