/* The tasks of a run called directly, one after another, on a small made pair: no ranks, no threads. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/image/metric.h"
#include "collimate/image/phantom.h"
#include "collimate/image/reduce.h"
#include "collimate/image/warp.h"
#include "collimate/job/job.h"
#include "collimate/store/ome.h"
#include "collimate/store/spill.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[CLM_PATH_MAX];
static clm_phantom phantom;
static clm_work work;

/* The voxels of `zero` become 0, which no voxel is otherwise. Negative: as another modality sees it, dark
 * where this is bright, and not in proportion. */
static void write_side(clm_phantom_view view, const char *name, clm_box zero, bool negative) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const clm_phantom_side *side = &phantom.params.side[view];
    clm_level_spec level = {.path = "s0"};
    clm_array_spec spec = {.format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_U16, .codec = "zlib", .level = 1};
    clm_vol v;
    clm_array *a = NULL;
    clm_mark m = clm_arena_mark(work.keep);
    for (int d = 0; d < 3; d++) {
        level.spacing_um[d] = side->spacing[d];
        level.origin_um[d] = side->origin[d];
        spec.shape[d] = spec.chunk[d] = side->shape[d];
    }
    clm_json *attributes = clm_n5_level_attributes(&level, &level, false, &err);
    spec.attributes = attributes;
    assert_ok(clm_phantom_render(&work, &phantom, view, clm_box_of(side->shape), &v, &err), err);
    uint16_t *counts = clm_take(work.keep, uint16_t, clm_vol_count(&v), &err);
    clm_dtype_from_f32(CLM_U16, v.data, counts, clm_vol_count(&v));
    for (int64_t i = 0; i < clm_vol_count(&v); i++) {
        int64_t z = i / v.shape[1] / v.shape[2], y = i / v.shape[2] % v.shape[1], x = i % v.shape[2];
        assert_true(counts[i] > 0);
        if (negative) counts[i] = (uint16_t)(8e6 / (200.0 + counts[i]));
        if (clm_box_has(zero, z, y, x)) counts[i] = 0;
    }
    assert_ok(clm_path_join(path, folder, name, &err) && clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, counts, &err), err);
    clm_array_close(a);
    clm_json_free(attributes);
    clm_arena_rewind(work.keep, m);
}

static const clm_box hole = {{12, 24, 36}, {24, 40, 60}}, half = {{0, 0, 50}, {34, 60, 92}};

/* Not 0 outside the box, at half the moving image's resolution: each voxel stands for eight of the image */
static void write_mask(const char *name, clm_box zero) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const clm_phantom_side *side = &phantom.params.side[CLM_PHANTOM_MOVING];
    clm_level_spec level = {.path = "s0"};
    clm_array_spec spec = {.format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_U8, .codec = "none"};
    clm_array *a = NULL;
    static uint8_t in[17 * 30 * 46];
    int64_t i = 0;
    for (int d = 0; d < 3; d++) {
        level.spacing_um[d] = 2.0 * side->spacing[d];
        level.origin_um[d] = side->origin[d] + 0.5 * side->spacing[d];
        spec.shape[d] = spec.chunk[d] = side->shape[d] / 2;
    }
    for (int64_t z = 0; z < 17; z++)
        for (int64_t y = 0; y < 30; y++)
            for (int64_t x = 0; x < 46; x++, i++)
                in[i] = (uint8_t)(clm_box_has(zero, 2 * z, 2 * y, 2 * x) ? 0 : 1 + i % 255);
    clm_json *attributes = clm_n5_level_attributes(&level, &level, false, &err);
    spec.attributes = attributes;
    assert_ok(clm_path_join(path, folder, name, &err) && clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, in, &err), err);
    clm_array_close(a);
    clm_json_free(attributes);
}

static int make_pair(void **state) {
    clm_err err = CLM_ERR_NONE;
    clm_phantom_params p = CLM_PHANTOM_DEFAULTS;
    static const int64_t shape[2][3] = {{36, 64, 96}, {34, 60, 92}};
    (void)state;
    for (int side = 0; side < 2; side++) memcpy(p.side[side].shape, shape[side], sizeof shape[side]);
    p.shift_um = 6.0;
    p.warp_um[0] = 6.0;
    p.density = 2.0;
    clm_test_folder(folder);
    work = clm_test_work(512);
    if (!clm_phantom_make(&p, &phantom, &err)) return -1;
    write_side(CLM_PHANTOM_FIXED, "pair.n5/fixed", (clm_box){{0}, {0}}, false);
    write_side(CLM_PHANTOM_MOVING, "pair.n5/moving", (clm_box){{0}, {0}}, false);
    write_side(CLM_PHANTOM_MOVING, "pair.n5/negative", (clm_box){{0}, {0}}, true);
    write_side(CLM_PHANTOM_MOVING, "pair.n5/holed", hole, false);
    write_side(CLM_PHANTOM_MOVING, "pair.n5/half", half, false);
    write_mask("pair.n5/hole_mask", hole);
    return 0;
}

static int drop_pair(void **state) {
    (void)state;
    clm_test_work_drop(&work);
    clm_test_folder_drop(folder);
    return 0;
}

static const char *moving_name = "pair.n5/moving"; /* what the next run aligns, */
static const char *more_set;                       /* and a setting of it, or NULL */

/* A run in FOLDER/out with small blocks and one more setting (or NULL); close with close_run. */
static clm_run *open_run_with(const char *out, const char *set, clm_config **config) {
    clm_err err = CLM_ERR_NONE;
    static const char *const sets[] = {"deform.factors=[2,1]", "deform.block_vox=32", "deform.halo_vox=12",
                                       "local.block_vox=24", "apply.chunk_vox=40"};
    char text[CLM_PATH_MAX];
    clm_run *run = NULL;
    clm_config *c = NULL;
    assert_ok(clm_config_new(&c, &err), err);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        assert_ok(clm_config_set(c, sets[i], &err), err);
    if (more_set) assert_ok(clm_config_set(c, more_set, &err), err);
    if (set) assert_ok(clm_config_set(c, set, &err), err);
    const char *const images[3][2] = {{"fixed", "pair.n5/fixed"}, {"moving", moving_name}, {"out", NULL}};
    for (int i = 0; i < 3; i++) {
        assert_ok(clm_path_join(text, folder, images[i][1] ? images[i][1] : out, &err), err);
        assert_ok(clm_config_put_text(c, images[i][0], text, &err), err);
    }
    assert_ok(clm_run_open(c, &run, &err) && clm_run_prepare(run, &err), err);
    *config = c;
    return run;
}

static clm_run *open_run(const char *out, clm_config **config) { return open_run_with(out, NULL, config); }

static void close_run(clm_run *run, clm_config *config) {
    clm_run_close(run);
    clm_config_free(config);
}

static bool run_task(const clm_run *run, int stage, int64_t index, clm_outcome *o, clm_err *err) {
    *o = (clm_outcome){.task = {.stage = stage, .index = index}};
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) o->figure[i] = NAN;
    return clm_job_run(run, &work, &o->task, o, err);
}

/* stages [first, last], the tasks of each in order or against it; all must succeed */
static void run_stages(clm_run *run, int first, int last, bool backwards) {
    for (int s = first; s <= last; s++) {
        clm_err err = CLM_ERR_NONE;
        clm_outcome o;
        assert_ok(clm_run_stage_begin(run, s, &err), err);
        int64_t n = run->stage[s].n;
        for (int64_t i = 0; i < n; i++) assert_ok(run_task(run, s, backwards ? n - 1 - i : i, &o, &err), err);
    }
}

static float *read_field(const clm_run *run, clm_arena *a, int64_t *n) {
    clm_err err = CLM_ERR_NONE;
    const clm_pass *p = &run->pass[run->n_passes - 1];
    const int64_t lo[4] = {0}, hi[4] = {3, p->lattice.shape[0], p->lattice.shape[1], p->lattice.shape[2]};
    *n = 3 * hi[1] * hi[2] * hi[3];
    float *u = clm_take(a, float, *n, &err);
    assert_ok(u && clm_array_read(p->field, lo, hi, u, &err), err);
    return u;
}

static void any_order_and_any_repetition_give_the_same(void **state) {
    (void)state;
    clm_config *c, *d;
    clm_run *run = open_run("forward", &c), *other = open_run("backward", &d);
    int last = run->plan.n_stages - 1;
    clm_arena *a = NULL;
    clm_err err = CLM_ERR_NONE;
    int64_t n, m;
    run_stages(run, 0, last, false);
    run_stages(other, 0, last, true);
    run_stages(other, 0, last, false); /* again over what is there */
    assert_ok(clm_arena_open((size_t)64 << 20, &a, &err), err);
    float *u = read_field(run, a, &n), *v = read_field(other, a, &m);
    assert_int_equal(n, m);
    assert_memory_equal(u, v, (size_t)n * sizeof(float));
    clm_arena_close(a);
    close_run(run, c);
    close_run(other, d);
}

/* mean distance of the run's transform from the truth, um */
static double mean_error(clm_run *run) {
    clm_err err = CLM_ERR_NONE;
    double sum = 0.0, start = 0.0;
    int64_t n = 0;
    assert_ok(clm_run_stage_begin(run, run->plan.n_stages - 1, &err), err);
    clm_arena_reset(work.keep, 0);
    clm_vol grid = clm_view_grid(&run->measure_fixed);
    clm_field u;
    const clm_pass *p = &run->pass[run->n_passes - 1];
    assert_ok(clm_field_new(work.keep, p->lattice.shape, p->lattice.spacing, p->lattice.origin, &u, &err),
              err);
    const int64_t lo[4] = {0}, hi[4] = {3, u.shape[0], u.shape[1], u.shape[2]};
    assert_ok(clm_array_read(p->field, lo, hi, u.u[0], &err), err);
    for (int64_t z = 8; z < grid.shape[0] - 8; z += 4)
        for (int64_t y = 8; y < grid.shape[1] - 8; y += 4)
            for (int64_t x = 8; x < grid.shape[2] - 8; x += 4, n++) {
                const double at[3] = {grid.origin[0] + (double)z * grid.spacing[0],
                                      grid.origin[1] + (double)y * grid.spacing[1],
                                      grid.origin[2] + (double)x * grid.spacing[2]};
                double want[3], got[3];
                clm_phantom_truth(&phantom, at, want);
                clm_transform_point(&run->affine, &u, at, got);
                sum += sqrt(pow(got[0] - want[0], 2) + pow(got[1] - want[1], 2) + pow(got[2] - want[2], 2));
                start += sqrt(pow(at[0] - want[0], 2) + pow(at[1] - want[1], 2) + pow(at[2] - want[2], 2));
            }
    assert_true(start / (double)n > 3.0); /* micrometres; a voxel is 0.8 to 1 */
    return sum / (double)n;
}

static void the_warp_is_found(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("forward", &c);
    assert_true(mean_error(run) < 0.4);
    close_run(run, c);
}

/* bright against dark: told so, found out, with correlation of either sign, with mutual information */
static void another_modality_is_aligned(void **state) {
    (void)state;
    static const char *const sets[] = {"global.contrast=inverted", "global.contrast=any",
                                       "deform.metric=local_ncc2", "deform.metric=mi", "global.metric=mi"};
    for (int k = 0; k < 5; k++) {
        clm_config *c;
        char out[24];
        (void)snprintf(out, sizeof out, "negative%d", k);
        moving_name = "pair.n5/negative";
        more_set = k < 2 ? NULL : "global.contrast=any";
        clm_run *run = open_run_with(out, sets[k], &c);
        moving_name = "pair.n5/moving", more_set = NULL;
        run_stages(run, 0, run->plan.n_stages - 1, false);
        double error = mean_error(run);
        print_message("%s: mean error %.3f um\n", sets[k], error);
        assert_true(error < 0.5);
        close_run(run, c);
    }
}

/* where no landmarks agree, the images themselves do; and where they do not, neither is an answer */
static void images_stand_in_for_blobs(void **state) {
    (void)state;
    static const char *const sets[] = {"global.method=auto", "global.method=centre"};
    for (int k = 0; k < 2; k++) {
        clm_config *c;
        clm_err err = CLM_ERR_NONE;
        char path[CLM_PATH_MAX];
        clm_json *v = NULL;
        more_set = "global.min_inliers=100000";
        clm_run *run = open_run_with(k ? "centre" : "auto", sets[k], &c);
        more_set = NULL;
        run_stages(run, 0, run->plan.n_stages - 1, false);
        double error = mean_error(run), stands_out = 0.0;
        assert_ok(clm_run_path(run, path, &err, "affine.json") && clm_json_read(path, &v, &err), err);
        assert_string_equal(clm_json_text(clm_json_get(v, "method")), "centre");
        const char *note = clm_json_text(clm_json_get(v, "note"));
        if (k == 0) assert_non_null(strstr(note, "100000")); /* what the blobs lacked */
        assert_true(clm_json_number(clm_json_get(v, "stands_out"), &stands_out));
        print_message("%s: mean error %.3f um, stands out by %.1f\n", sets[k], error, stands_out);
        assert_true(error < 0.5);
        clm_json_free(v);
        close_run(run, c);
    }
}

/* A block that failed leaves no cliff, no identity and no silence. */
static void a_failed_block_fades_into_its_surroundings(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("failed", &c);
    clm_err err = CLM_ERR_NONE;
    clm_outcome o;
    char path[CLM_PATH_MAX];
    int deform = clm_run_stage_of(run, CLM_JOB_DEFORM, 1), stitch = clm_run_stage_of(run, CLM_JOB_STITCH, 1);
    clm_err why = CLM_ERR_NONE;
    clm_fail(&why, CLM_E_NUMERIC, "made up");
    run_stages(run, 0, deform, false);
    assert_ok(clm_job_failed(run, &(clm_task){.stage = deform, .index = 1}, &why, &err), err);
    assert_ok(clm_run_stage_begin(run, stitch, &err), err);
    assert_ok(run_task(run, stitch, 0, &o, &err), err);
    assert_near(o.figure[1], 1.0, 0.0); /* it says so */
    assert_true(o.figure[2] < 1.0);     /* and so does the coverage */
    const clm_pass *p = &run->pass[1];
    clm_arena *a = NULL;
    int64_t n;
    assert_ok(clm_arena_open((size_t)64 << 20, &a, &err), err);
    float *u = read_field(run, a, &n);
    int64_t nx = p->lattice.shape[2], count = n / 3;
    double steepest = 0.0, most = 0.0;
    for (int64_t i = 0; i < n; i++) {
        assert_true(isfinite((double)u[i]));
        most = fmax(most, fabs((double)u[i]));
        if (i % count % nx) steepest = fmax(steepest, fabs((double)u[i] - (double)u[i - 1]));
    }
    assert_true(most > 0.5);                             /* not the identity */
    assert_true(steepest < 0.7 * p->lattice.spacing[2]); /* no fold along x, hence no cliff */
    clm_arena_close(a);

    /* lost is not failed: nothing at all where a result should be is an error, worth another try */
    assert_ok(clm_run_prepare(run, &err), err); /* another launch; no journal tells it of the failure */
    assert_ok(clm_run_spill_path(run, deform, 1, path, &err) && clm_file_remove(path, &err), err);
    assert_fails(CLM_E_IO, run_task(run, stitch, 0, &o, &err), err);
    assert_non_null(strstr(err.text, "spill"));
    close_run(run, c);
}

/* jump of the field's gradient at the nodes on block faces (faces) or between them, mean over both axes */
static double jump_of(const clm_lattice_plan *l, const float *u, bool faces) {
    const int64_t *n = l->shape, step[3] = {n[1] * n[2], n[2], 1};
    double sum = 0.0, count = 0.0;
    for (int d = 0; d < 3; d++)
        for (int64_t i = 0; i < step[0] * n[0]; i++) {
            int64_t at = i / step[d] % n[d];
            bool face = at * l->pitch % l->blocks.block[d] == 0;
            if (at == 0 || at + 1 >= n[d] || face != faces || l->blocks.shape[d] < 2) continue;
            double square = 0.0;
            for (int c = 0; c < 3; c++) {
                const float *v = u + c * step[0] * n[0] + i;
                double bend = (double)v[-step[d]] - 2.0 * (double)v[0] + (double)v[step[d]];
                square += bend * bend;
            }
            sum += sqrt(square), count += 1.0;
        }
    return sum / count;
}

/* the field of the whole run with blocks of so many voxels, in `a` */
static float *field_by_blocks(const char *out, const char *set, clm_arena *a, clm_lattice_plan *plan,
                              int64_t *n) {
    clm_config *c;
    clm_run *run = open_run_with(out, set, &c);
    int last = clm_run_stage_of(run, CLM_JOB_STITCH, run->n_passes - 1);
    run_stages(run, 0, last, false);
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_run_stage_begin(run, last + 1, &err), err);
    *plan = run->pass[run->n_passes - 1].lattice;
    float *u = read_field(run, a, n);
    close_run(run, c);
    return u;
}

/* Cutting into blocks must not show: neither in the field nor across the faces. */
static void blocks_equal_the_whole(void **state) {
    (void)state;
    static const char *const sets[] = {"deform.block_vox=24", "deform.block_vox=48"};
    clm_lattice_plan plan, whole_plan;
    clm_arena *a = NULL;
    clm_err err = CLM_ERR_NONE;
    int64_t n, m;
    assert_ok(clm_arena_open((size_t)64 << 20, &a, &err), err);
    float *whole = field_by_blocks("whole", "deform.block_vox=512", a, &whole_plan, &n);
    assert_int_equal(whole_plan.blocks.n, 1);
    for (int k = 0; k < 2; k++) {
        float *u = field_by_blocks(k ? "blocks48" : "blocks24", sets[k], a, &plan, &m);
        double sum = 0.0;
        assert_int_equal(n, m);
        assert_true(plan.blocks.n >= 2);
        for (int64_t i = 0; i < n; i++) {
            double d = ((double)u[i] - (double)whole[i]) * (double)plan.pitch / plan.spacing[i / (n / 3)];
            sum += d * d;
        }
        double rms = sqrt(3.0 * sum / (double)n);
        double seam = jump_of(&plan, u, true) / jump_of(&plan, u, false);
        double same_place = jump_of(&plan, whole, true) / jump_of(&plan, whole, false);
        print_message("%s: off the whole by %.3f voxels rms; seams %.3f, the whole at the same places %.3f\n",
                      sets[k], rms, seam, same_place);
        assert_true(rms > 0.0 && rms < 0.1);
        assert_true(seam <= 1.05 * fmax(1.0, same_place));
    }
    clm_arena_close(a);
}

/* how far the result is from that of the run "forward" where the moving voxel lies `away` from the box, in
 * voxels; most, 8 or more voxels within both images, or NaN when nothing was compared */
static double off_without(const clm_run *run, clm_box box, int64_t away) {
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    clm_run *other = open_run("forward", &c);
    clm_field u[2];
    const clm_run *runs[2] = {run, other};
    clm_vol grid = clm_view_grid(&run->measure_fixed);
    const clm_phantom_side *side = &phantom.params.side[CLM_PHANTOM_MOVING];
    double most = NAN;
    clm_arena_reset(work.keep, 0);
    for (int k = 0; k < 2; k++) {
        const clm_pass *p = &runs[k]->pass[runs[k]->n_passes - 1];
        assert_ok(
            clm_run_stage_begin(k ? other : (clm_run *)(uintptr_t)run, runs[k]->plan.n_stages - 1, &err),
            err);
        assert_ok(
            clm_field_new(work.keep, p->lattice.shape, p->lattice.spacing, p->lattice.origin, &u[k], &err),
            err);
        const int64_t lo[4] = {0}, hi[4] = {3, u[k].shape[0], u[k].shape[1], u[k].shape[2]};
        assert_ok(clm_array_read(p->field, lo, hi, u[k].u[0], &err), err);
    }
    for (int64_t i = 0; i < grid.shape[0] * grid.shape[1] * grid.shape[2]; i += 3) {
        const int64_t v[3] = {i / grid.shape[1] / grid.shape[2], i / grid.shape[2] % grid.shape[1],
                              i % grid.shape[2]};
        double x[3], y[2][3], square = 0.0;
        bool near = true, inside = true;
        for (int d = 0; d < 3; d++) {
            x[d] = grid.origin[d] + (double)v[d] * grid.spacing[d];
            inside = inside && v[d] >= 8 && v[d] < grid.shape[d] - 8;
        }
        for (int k = 0; k < 2; k++) clm_transform_point(&runs[k]->affine, &u[k], x, y[k]);
        for (int d = 0; d < 3; d++) {
            double at = (y[1][d] - side->origin[d]) / side->spacing[d];
            near = near && at > (double)(box.lo[d] - away) && at < (double)(box.hi[d] + away);
            inside = inside && at > 8.0 && at < (double)side->shape[d] - 9.0;
            square += (y[0][d] - y[1][d]) * (y[0][d] - y[1][d]) / side->spacing[d] / side->spacing[d];
        }
        if (inside && !near) most = fmax(most, sqrt(square));
    }
    close_run(other, c);
    return most;
}

/* What is missing must not drag what is there. */
static void missing_tissue_drags_nothing(void **state) {
    (void)state;
    char mask[CLM_PATH_MAX], set[CLM_PATH_MAX + 16];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(mask, folder, "pair.n5/hole_mask", &err), err);
    (void)snprintf(set, sizeof set, "moving_mask=%s", mask);
    const struct {
        const char *out, *image, *set;
        clm_box box;
        int64_t reach_vox; /* beyond which it must not be felt: further where the program is not told */
    } cases[] = {{"holed", "pair.n5/holed", "mask.moving_background=[0]", hole, 8},
                 {"masked", "pair.n5/holed", set, hole, 8},
                 {"half", "pair.n5/half", "mask.moving_background=[0]", half, 8},
                 {"found", "pair.n5/half", "mask.moving_foreground=true", half, 12},
                 {"untold_hole", "pair.n5/holed", NULL, hole, 12},
                 {"untold_half", "pair.n5/half", NULL, half, 12}};
    for (int k = 0; k < 6; k++) {
        clm_config *c;
        moving_name = cases[k].image;
        clm_run *run = open_run_with(cases[k].out, cases[k].set, &c);
        moving_name = "pair.n5/moving";
        int last = run->plan.n_stages - 1;
        for (int s = 0; s <= last; s++) { /* blocks may fail: nothing there is data */
            clm_outcome o;
            assert_ok(clm_run_stage_begin(run, s, &err), err);
            for (int64_t i = 0; i < run->stage[s].n; i++) {
                clm_err failed = CLM_ERR_NONE;
                if (run_task(run, s, i, &o, &failed)) continue;
                assert_int_equal(failed.code, CLM_E_NODATA);
                assert_ok(clm_job_failed(run, &o.task, &failed, &err), err);
            }
        }
        double off = off_without(run, cases[k].box, cases[k].reach_vox);
        print_message("%s: at most %.3f voxels off, %lld or more from it\n", cases[k].out, off,
                      (long long)cases[k].reach_vox);
        assert_true(off < 0.2);
        close_run(run, c);
    }
}

/* correlation of one block's core under a lattice, or under the global affine (NULL), from the whole volumes */
static double block_score(const clm_run *run, int64_t block, const clm_lattice *l) {
    clm_err err = CLM_ERR_NONE;
    clm_mark m = clm_arena_mark(work.keep);
    const clm_lattice_plan *plan = &run->pass[run->n_passes - 1].lattice;
    clm_vol fixed, moving, core, warped;
    clm_field u;
    clm_ncc s = {0};
    assert_ok(clm_view_read(&work, &run->local_fixed, clm_box_of(run->local_fixed.shape), &fixed, &err), err);
    assert_ok(clm_view_read(&work, &run->local_moving, clm_box_of(run->local_moving.shape), &moving, &err),
              err);
    assert_ok(clm_field_new(work.keep, plan->shape, plan->spacing, plan->origin, &u, &err), err);
    memset(u.u[0], 0, (size_t)clm_field_count(&u) * 3 * sizeof(float));
    if (l) clm_lattice_field(l, &u);
    core = clm_vol_crop(&fixed, clm_grid_core(&run->local_blocks, block));
    assert_ok(clm_vol_new(work.keep, core.shape, core.spacing, core.origin, &warped, &err), err);
    assert_ok(clm_warp(&work, &moving, &run->affine, &u, CLM_INTERP_LINEAR, NAN, &warped, NULL, &err) &&
                  clm_ncc_add(&s, &core, &warped, &err),
              err);
    clm_arena_rewind(work.keep, m);
    return clm_ncc_value(&s);
}

/* A block that is told a wrong affine, and a neighbour that gives up half of it, score lower than under the global
 * affine; after the stage none does, and what is far from them is as it was. */
static void no_block_is_below_the_global_affine(void **state) {
    (void)state;
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_spill spill;
    clm_outcome o;
    more_set = "local.factor=1";
    clm_run *run = open_run_with("settled", "local.block_vox=16", &c);
    more_set = NULL;
    int lattice = clm_run_stage_of(run, CLM_JOB_LATTICE, 0),
        settle = clm_run_stage_of(run, CLM_JOB_SETTLE, 0);
    const int64_t liar[3] = {0, 1, 1}, reach = 2; /* its own block, and those whose cores it reaches into */
    int64_t b = clm_grid_index(&run->local_blocks, liar), n = run->local_blocks.n;
    run_stages(run, 0, lattice, false);
    assert_true(n >= 32);
    assert_ok(clm_run_spill_path(run, lattice, 0, path, &err), err);
    assert_ok(clm_spill_read(path, run->plan.hash, work.keep, &spill, &err), err);
    double(*m)[3][4] = (double(*)[3][4])(uintptr_t)clm_spill_find(&spill, "affine")->data;
    m[b][0][3] += 6.0, m[b][2][3] -= 6.0; /* micrometres */
    assert_ok(clm_spill_put(path, run->plan.hash, lattice, 0, spill.section, spill.n, &err), err);
    run_stages(run, lattice + 1, settle, false);
    assert_ok(clm_run_stage_begin(run, settle, &err) && run_task(run, settle, 0, &o, &err), err);
    assert_ok(clm_run_stage_begin(run, settle + 1, &err), err);
    print_message("%g of %lld blocks below, %g changed in %g rounds\n", o.figure[0], (long long)n,
                  o.figure[1], o.figure[2]);
    clm_arena_reset(work.keep, 0);
    double planted = block_score(run, b, &run->lattice[0]), worst = INFINITY;
    assert_true(planted < block_score(run, b, NULL) - 0.05);
    for (int64_t k = 0; k < n; k++) {
        int64_t at[3];
        bool near = true;
        double gain = block_score(run, k, &run->lattice[1]) - block_score(run, k, NULL);
        worst = fmin(worst, gain);
        clm_grid_at(&run->local_blocks, k, at);
        for (int d = 0; d < 3; d++) near = near && llabs(at[d] - liar[d]) <= reach;
        if (!near) assert_memory_equal(run->lattice[0].m[k], run->lattice[1].m[k], sizeof *run->lattice[1].m);
    }
    print_message("least gain of a block over the global affine %.4f\n", worst);
    assert_true(worst > -1e-6);
    close_run(run, c);
}

static void a_view_is_the_reduced_whole(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("view", &c);
    clm_err err = CLM_ERR_NONE;
    clm_vol fine, whole, part;
    const clm_view *v = &run->pass[0].fixed; /* factor 2 */
    clm_view level = clm_view_level(run->fixed, 0);
    clm_arena_reset(work.keep, 0);
    assert_ok(clm_view_read(&work, &level, clm_box_of(level.shape), &fine, &err), err);
    assert_ok(clm_reduce(&work, &fine, v->factor, &whole, &err), err);
    const clm_box box = {{3, 5, 7}, {v->shape[0], 20, 31}};
    assert_ok(clm_view_read(&work, v, box, &part, &err), err);
    for (int d = 0; d < 3; d++) {
        assert_int_equal(whole.shape[d], v->shape[d]);
        assert_near(part.origin[d], v->origin[d] + (double)box.lo[d] * v->spacing[d], 1e-9);
        assert_near(whole.origin[d], v->origin[d], 1e-9);
    }
    clm_vol want = clm_vol_crop(&whole, box);
    for (int64_t z = 0; z < part.shape[0]; z++)
        for (int64_t y = 0; y < part.shape[1]; y++)
            assert_memory_equal(clm_vol_row(&part, z, y), clm_vol_row(&want, z, y),
                                (size_t)part.shape[2] * sizeof(float));
    close_run(run, c);
}

/* longer than what is in memory at once while it is reduced */
static void tiles_of_a_view_fit_together(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const int64_t shape[3] = {7, 9, 1001};
    clm_array_spec spec = {.format = CLM_FORMAT_N5,
                           .ndim = 3,
                           .dtype = CLM_F32,
                           .codec = "none",
                           .shape = {7, 9, 1001},
                           .chunk = {7, 9, 1001}};
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    clm_array *a = NULL;
    clm_image *image = NULL;
    clm_vol fine, whole, part;
    o.has_spacing = true;
    clm_arena_reset(work.keep, 0);
    for (int d = 0; d < 3; d++) o.spacing_um[d] = 1.0;
    assert_ok(clm_vol_new(work.keep, shape, o.spacing_um, o.origin_um, &fine, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&fine); i++)
        fine.data[i] = (float)clm_rng_uniform(5, 0, (uint64_t)i);
    assert_ok(clm_path_join(path, folder, "long.n5/a", &err) && clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, fine.data, &err), err);
    clm_array_close(a);
    assert_ok(clm_image_open(path, &o, &image, &err), err);
    clm_view v = clm_view_make(image, 3.0);
    v.factor[0] = v.factor[1] = 1;
    memcpy(v.shape, (const int64_t[3]){7, 9, 333}, sizeof v.shape);
    assert_int_equal(v.factor[2], 3);
    assert_ok(clm_reduce(&work, &fine, v.factor, &whole, &err), err);
    const clm_box box = {{1, 2, 5}, {7, 9, 331}};
    assert_ok(clm_view_read(&work, &v, box, &part, &err), err);
    clm_vol want = clm_vol_crop(&whole, box);
    for (int64_t z = 0; z < part.shape[0]; z++)
        for (int64_t y = 0; y < part.shape[1]; y++)
            assert_memory_equal(clm_vol_row(&part, z, y), clm_vol_row(&want, z, y),
                                (size_t)part.shape[2] * sizeof(float));
    clm_image_close(image);
}

/* images without a stored level near the global one: it is made first, block by block */
static void coarse_images_are_made(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("coarse", &c), *again = NULL;
    clm_err err = CLM_ERR_NONE;
    char out[CLM_PATH_MAX];
    clm_vol made, want;
    clm_run_close(run);
    assert_ok(clm_config_set(c, "global.max_mvox=0.002", &err), err);
    assert_ok(clm_path_join(out, folder, "coarse2", &err) && clm_config_put_text(c, "out", out, &err), err);
    assert_ok(clm_run_open(c, &again, &err) && clm_run_prepare(again, &err), err);
    assert_int_equal(clm_run_stage_of(again, CLM_JOB_COARSE, 0), 0);
    clm_view direct = again->coarse_fixed;
    assert_true(direct.factor[2] > 4);
    run_stages(again, 0, 0, true);
    assert_ok(clm_run_stage_begin(again, 1, &err), err);
    clm_arena_reset(work.keep, 0);
    assert_ok(clm_view_read(&work, &again->coarse_fixed, clm_box_of(direct.shape), &made, &err), err);
    assert_ok(clm_view_read(&work, &direct, clm_box_of(direct.shape), &want, &err), err);
    assert_memory_equal(made.data, want.data, (size_t)clm_vol_count(&made) * sizeof(float));
    for (int d = 0; d < 3; d++) assert_near(made.origin[d], want.origin[d], 1e-9);
    close_run(again, c);
}

static void the_folder_of_another_plan_is_refused(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("refused", &c), *again = NULL;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_run_prepare(run, &err), err); /* the same plan may come back */
    assert_ok(clm_config_set(c, "seed=2", &err), err);
    assert_ok(clm_run_open(c, &again, &err), err);
    assert_fails(CLM_E_ARG, clm_run_prepare(again, &err), err);
    assert_non_null(strstr(err.text, "another job"));
    clm_run_close(again);
    close_run(run, c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order_and_any_repetition_give_the_same),
                                       cmocka_unit_test(the_warp_is_found),
                                       cmocka_unit_test(a_failed_block_fades_into_its_surroundings),
                                       cmocka_unit_test(another_modality_is_aligned),
                                       cmocka_unit_test(images_stand_in_for_blobs),
                                       cmocka_unit_test(blocks_equal_the_whole),
                                       cmocka_unit_test(missing_tissue_drags_nothing),
                                       cmocka_unit_test(no_block_is_below_the_global_affine),
                                       cmocka_unit_test(a_view_is_the_reduced_whole),
                                       cmocka_unit_test(tiles_of_a_view_fit_together),
                                       cmocka_unit_test(coarse_images_are_made),
                                       cmocka_unit_test(the_folder_of_another_plan_is_refused)};
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
