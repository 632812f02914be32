/* A small made pair on disk and runs of it whose tasks are called directly, one after another: no ranks, no threads.
 * One translation unit each. */
#ifndef CLM_TEST_JOB_PAIR_H
#define CLM_TEST_JOB_PAIR_H

#include "collimate/base/file.h"
#include "collimate/image/phantom.h"
#include "collimate/job/job.h"
#include "collimate/store/ome.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
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
                                       "local.block_vox=24",   "apply.chunk_vox=40",  "report.enabled=false"};
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

#endif
