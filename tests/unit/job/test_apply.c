/* The apply command's run, task by task in one process: voxels against points, channels and time points, label
 * ids, grids, a folder taken up again. */
#include "collimate/base/file.h"
#include "collimate/job/apply_run.h"
#include "collimate/store/ome.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static clm_work work;
static char folder[CLM_PATH_MAX], affine[CLM_PATH_MAX], moving[CLM_PATH_MAX];
enum { Z = 12, Y = 14, X = 17 };
static const double spacing[3] = {2, 1.5, 1}, origin[3] = {3, -2, 10};

static void path_of(char out[CLM_PATH_MAX], const char *name) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(out, folder, name, &err), err);
}

static double world(int d, int64_t i) { return origin[d] + spacing[d] * (double)i; }

/* two time points of three channels: the voxel's own z, y or x, and 1000 more at the second time */
static void make_ramps(void) {
    clm_err err = CLM_ERR_NONE;
    char level[CLM_PATH_MAX];
    clm_array *a;
    static float v[Z * Y * X];
    const clm_array_spec spec = {.ndim = 5,
                                 .shape = {2, 3, Z, Y, X},
                                 .chunk = {1, 2, 8, 8, 8}, /* chunks of two channels */
                                 .dtype = CLM_F32,
                                 .axes = {"t", "c", "z", "y", "x"}};
    path_of(moving, "moving.ome.zarr");
    path_of(level, "moving.ome.zarr/s0");
    assert_ok(clm_array_create(level, &spec, &a, &err), err);
    int64_t grid[CLM_DIMS_MAX];
    int64_t n = clm_array_chunk_grid(a, grid);
    for (int64_t k = 0; k < n; k++) {
        int64_t at[5], lo[5], hi[5], m = 0, r = k;
        for (int d = 4; d >= 0; d--) at[d] = r % grid[d], r /= grid[d];
        clm_array_chunk_box(a, at, lo, hi);
        for (int64_t t = lo[0]; t < hi[0]; t++)
            for (int64_t c = lo[1]; c < hi[1]; c++)
                for (int64_t z = lo[2]; z < hi[2]; z++)
                    for (int64_t y = lo[3]; y < hi[3]; y++)
                        for (int64_t x = lo[4]; x < hi[4]; x++) {
                            const int64_t i[3] = {z, y, x};
                            v[m++] = (float)(world((int)c, i[c]) + 1000.0 * (double)t);
                        }
        assert_ok(clm_array_put_chunk(a, at, v, &err), err);
    }
    clm_array_close(a);
    const clm_level_spec l = {.path = "s0", .spacing_um = {2, 1.5, 1}, .origin_um = {3, -2, 10}};
    const clm_pyramid_spec p = {.name = "ramps", .axes = "tczyx", .method = "mean", .levels = &l, .n = 1};
    assert_ok(clm_ome_write_pyramid(moving, &p, &err), err);
}

static int open_all(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    static const char text[] = "0.9 0.1 0 2\n-0.1 0.95 0.05 1\n0 0.02 1.1 -1\n";
    work = clm_test_work(64);
    clm_test_folder(folder);
    path_of(affine, "affine.txt");
    assert_ok(clm_file_publish(affine, text, sizeof text - 1, false, &err), err);
    make_ramps();
    return 0;
}
static int close_all(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static clm_apply_spec spec_of(const char *input, const char *output) {
    clm_apply_spec s = CLM_APPLY_DEFAULTS;
    s.transforms[0] = affine;
    s.n_transforms = 1;
    s.input = input;
    s.output = output;
    s.like = moving;
    s.chunk_vox = 8;
    s.outside = -7;
    return s;
}

static bool open_run(const clm_apply_spec *s, clm_apply_run **run, clm_err *err) {
    clm_json *v = NULL;
    return clm_apply_spec_to_json(s, &v, err) && clm_apply_open(v, 1, run, err);
}

static void run_all(const clm_apply_spec *s) {
    clm_err err = CLM_ERR_NONE;
    clm_apply_run *run = NULL;
    clm_outcome o;
    assert_ok(open_run(s, &run, &err), err);
    assert_ok(clm_apply_prepare(run, &err), err);
    for (int k = 0; k < run->plan.n_stages; k++) {
        assert_ok(clm_apply_stage_begin(run, k, &err), err);
        for (int64_t i = 0; i < run->stage[k].n; i++) {
            const clm_task task = {.stage = k, .index = i};
            assert_ok(clm_apply_task(run, &work, &task, &o, &err), err);
        }
    }
    /* no chunk of the input is read twice, though the outputs' boxes in it overlap */
    if (s->input == moving)
        assert_true(clm_cache_figures_of(run->cache).misses <=
                    clm_array_chunk_grid(clm_image_array_of(run->image, 0), (int64_t[CLM_DIMS_MAX]){0}));
    clm_apply_close(run);
    clm_arena_reset(work.keep, 0);
    clm_arena_reset(work.temp, 0);
}

/* A linear image under linear interpolation is T itself: every voxel must hold what points says. */
static void voxels_hold_where_their_points_go(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char out[CLM_PATH_MAX];
    path_of(out, "out.zarr");
    clm_apply_spec s = spec_of(moving, out);
    run_all(&s);
    clm_map map;
    const char *paths[] = {affine};
    clm_image *im, *in;
    clm_image_options all = CLM_IMAGE_DEFAULTS;
    all.all = true;
    assert_ok(clm_map_open(paths, 1, 0, &map, &err), err);
    assert_ok(clm_image_open(moving, &all, &in, &err), err);
    map.moving = (clm_image_frame){{Z, Y, X}, {2, 1.5, 1}, {3, -2, 10}};
    assert_ok(clm_image_open(out, &all, &im, &err), err);
    const clm_image_info *info = clm_image_info_of(im);
    assert_int_equal(info->channels, 3);
    assert_int_equal(info->times, 2);
    int64_t inside = 0;
    for (int64_t t = 0; t < 2; t++)
        for (int64_t c = 0; c < 3; c++) {
            clm_vol v;
            const int64_t shape[3] = {Z, Y, X};
            assert_ok(clm_vol_new(work.keep, shape, spacing, origin, &v, &err), err);
            assert_ok(clm_image_read_part(im, 0, c, t, clm_box_of(shape), &v, &err), err);
            for (int64_t i = 0; i < clm_vol_count(&v); i++) {
                double x[1][3] = {{world(0, i / (Y * X)), world(1, i / X % Y), world(2, i % X)}};
                uint8_t flags;
                assert_ok(clm_map_points(&map, &work, 1, x, &flags, &err), err);
                bool is_outside = flags & CLM_POINT_OUTSIDE;
                assert_near(v.data[i], is_outside ? -7.0 : x[0][c] + 1000.0 * (double)t, 2e-4);
                inside += !is_outside;
            }
        }
    assert_true(inside > 6 * Z * Y * X / 3 && inside < 6 * Z * Y * X);
    clm_image_close(im);
    clm_image_close(in);
    clm_map_close(&map);
    clm_arena_reset(work.keep, 0);
}

static void one_channel_is_a_volume_of_three_axes(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char out[CLM_PATH_MAX], level[CLM_PATH_MAX];
    path_of(out, "one.zarr");
    path_of(level, "one.zarr/s0");
    clm_apply_spec s = spec_of(moving, out);
    s.channel = 1;
    s.time = 1;
    run_all(&s);
    clm_array *a;
    float v;
    const int64_t lo[3] = {6, 7, 8}, hi[3] = {7, 8, 9};
    assert_ok(clm_array_open(level, &a, &err), err);
    assert_int_equal(clm_array_info_of(a)->ndim, 3);
    assert_ok(clm_array_read(a, lo, hi, &v, &err), err);
    assert_near(v, -0.1 * world(0, 6) + 0.95 * world(1, 7) + 0.05 * world(2, 8) + 1 + 1000, 2e-4);
    clm_array_close(a);
}

static void grids_follow_from_what_is_given(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char out[CLM_PATH_MAX];
    path_of(out, "grid.zarr");
    clm_apply_run *run;
    clm_apply_spec s = spec_of(moving, out);
    s.has_spacing = true; /* all of the same box of the world from edge to edge: 24, 21, 17 micrometres */
    for (int d = 0; d < 3; d++) s.spacing_um[d] = 4;
    assert_ok(open_run(&s, &run, &err), err);
    static const int64_t want[3] = {6, 6, 5};
    for (int d = 0; d < 3; d++) {
        assert_int_equal(run->output.base.shape[d], want[d]);
        assert_near(run->output.base.origin_um[d] - 2.0, origin[d] - 0.5 * spacing[d], 1e-12);
    }
    clm_apply_close(run);
    s.like = NULL;
    assert_fails(CLM_E_ARG, open_run(&s, &run, &err), err);
    s.has_origin = s.has_shape = true;
    s.shape[0] = s.shape[1] = s.shape[2] = 3;
    assert_ok(open_run(&s, &run, &err), err);
    assert_int_equal(run->output.base.shape[1], 3);
    clm_apply_close(run);
}

static void a_folder_is_taken_up_by_its_own_plan_only(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char out[CLM_PATH_MAX];
    path_of(out, "resume.zarr");
    clm_apply_spec s = spec_of(moving, out);
    run_all(&s);
    run_all(&s);
    s.threads = 5; /* decides nothing */
    run_all(&s);
    clm_apply_run *run;
    s.outside = 1;
    assert_ok(open_run(&s, &run, &err), err);
    assert_fails(CLM_E_ARG, clm_apply_prepare(run, &err), err);
    clm_apply_close(run);
}

/* two neighbouring ids that float32 and double cannot tell apart; nothing else may come out, at any level */
static void labels_keep_every_bit(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char in[CLM_PATH_MAX], out[CLM_PATH_MAX], level[CLM_PATH_MAX];
    static uint64_t v[128 * 8 * 8];
    clm_array *a;
    const uint64_t big = ((uint64_t)1 << 53) + 1;
    const clm_level_spec l = {.path = "s0", .spacing_um = {1, 1, 1}};
    const clm_array_spec spec = {.ndim = 3, .shape = {8, 8, 128}, .chunk = {8, 8, 128}, .dtype = CLM_U64};
    path_of(in, "ids.ome.zarr");
    path_of(level, "ids.ome.zarr/s0");
    for (int64_t i = 0; i < 128 * 8 * 8; i++) v[i] = i % 128 < 61 ? big : big + 1;
    assert_ok(clm_array_create(level, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, v, &err), err);
    clm_array_close(a);
    assert_ok(
        clm_ome_write_pyramid(
            in, &(clm_pyramid_spec){.format = CLM_FORMAT_ZARR3, .name = "ids", .levels = &l, .n = 1}, &err),
        err);
    path_of(out, "labels.zarr");
    clm_apply_spec s = spec_of(in, out);
    s.like = in;
    s.labels = true;
    s.outside = 5;
    run_all(&s);
    for (int k = 0; k < 2; k++) {
        path_of(level, k ? "labels.zarr/s1" : "labels.zarr/s0");
        assert_ok(clm_array_open(level, &a, &err), err);
        const clm_array_info *info = clm_array_info_of(a);
        const int64_t lo[3] = {0, 0, 0};
        int64_t n = info->shape[0] * info->shape[1] * info->shape[2], seen[3] = {0};
        assert_int_equal(info->dtype, CLM_U64);
        assert_ok(clm_array_read(a, lo, info->shape, v, &err), err);
        for (int64_t i = 0; i < n; i++) {
            assert_true(v[i] == 5 || v[i] == big || v[i] == big + 1);
            seen[v[i] == 5 ? 0 : v[i] - big + 1]++;
        }
        assert_true(seen[0] && seen[1] && seen[2]);
        clm_array_close(a);
    }
    s.input = moving;
    path_of(out, "floats.zarr");
    clm_apply_run *run;
    assert_fails(CLM_E_ARG, open_run(&s, &run, &err), err);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(voxels_hold_where_their_points_go),
                                       cmocka_unit_test(one_channel_is_a_volume_of_three_axes),
                                       cmocka_unit_test(grids_follow_from_what_is_given),
                                       cmocka_unit_test(a_folder_is_taken_up_by_its_own_plan_only),
                                       cmocka_unit_test(labels_keep_every_bit)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
