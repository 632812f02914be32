/* What a plan says a task takes against what it took; and blocks that do not fit, or hold nothing to align. */
#include "collimate/app/demo.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/app/report.h"
#include "collimate/job/job.h"
#include "collimate/store/ome.h"
#include "collimate/store/spill.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static char folder[CLM_PATH_MAX];

static int make_pair(void **state) {
    clm_err err = CLM_ERR_NONE;
    char demo[CLM_PATH_MAX];
    clm_phantom_params p = CLM_PHANTOM_DEFAULTS;
    static const int64_t shape[2][3] = {{72, 96, 112}, {70, 92, 108}};
    (void)state;
    clm_test_folder(folder);
    for (int side = 0; side < 2; side++) memcpy(p.side[side].shape, shape[side], sizeof shape[side]);
    p.shift_um = 6.0;
    p.warp_um[0] = 6.0;
    p.density = 2.0;
    const clm_demo_options o = {.chunk = 64, .threads = 1};
    return clm_path_join(demo, folder, "demo", &err) && clm_demo_write(demo, &p, &o, &err) ? 0 : -1;
}

static int drop_pair(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    return 0;
}

/* Of a pair of arenas with so much for both. */
static clm_work open_work(size_t bytes) {
    clm_err err = CLM_ERR_NONE;
    clm_work w = {.seed = 1};
    assert_ok(clm_arena_open_pair(bytes, &w.keep, &w.temp, &err), err);
    return w;
}

static const char *fixed_name = "demo/fixed.ome.zarr"; /* what the next run aligns to */

static clm_run *open_run(const char *out, clm_config **config) {
    /* hardly a cache: what it holds is not read, so takes nothing */
    static const char *const sets[] = {
        "memory.cache_mib=0.001", "deform.factors=[2,1]", "deform.block_vox=48", "deform.halo_vox=16",
        "global.max_spots=400",   "local.max_spots=100",  "apply.chunk_vox=64"};
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_run *run = NULL;
    assert_ok(clm_config_new(config, &err), err);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        assert_ok(clm_config_set(*config, sets[i], &err), err);
    const char *const names[3][2] = {{"fixed", fixed_name}, {"moving", "demo/moving.n5"}, {"out", out}};
    for (int i = 0; i < 3; i++) {
        assert_ok(clm_path_join(path, folder, names[i][1], &err), err);
        assert_ok(clm_config_put_text(*config, names[i][0], path, &err), err);
    }
    assert_ok(clm_run_open(*config, &run, &err) && clm_run_prepare(run, &err), err);
    run->draw = clm_report_draw;
    return run;
}

static bool run_task(const clm_run *run, const clm_work *w, int stage, int64_t index, clm_outcome *o,
                     clm_err *err) {
    *o = (clm_outcome){.task = {.stage = stage, .index = index}};
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) o->figure[i] = NAN;
    return clm_job_run(run, w, &o->task, o, err);
}

/* all tasks of a stage; the largest peak */
static double run_stage(clm_run *run, const clm_work *w, int stage) {
    clm_err err = CLM_ERR_NONE;
    clm_outcome o;
    double peak = 0.0;
    assert_ok(clm_run_stage_begin(run, stage, &err), err);
    for (int64_t i = 0; i < run->stage[stage].n; i++) {
        assert_ok(run_task(run, w, stage, i, &o, &err), err);
        peak = fmax(peak, o.peak_bytes);
    }
    return peak;
}

static void the_plan_tells_the_peak(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("out", &c);
    clm_work w = open_work((size_t)512 << 20);
    int missed = 0;
    double before[CLM_STAGE_MAX];
    for (int s = 0; s < run->plan.n_stages; s++) before[s] = clm_run_task_bytes(run, s);
    for (int s = 0; s < run->plan.n_stages; s++) {
        double peak = run_stage(run, &w, s), planned = clm_run_task_bytes(run, s);
        bool little = run->kind[s] == CLM_JOB_FINISH || run->kind[s] == CLM_JOB_METRICS;
        bool ok = fabs(planned - peak) <= 0.1 * peak || little;
        print_message("%-10s planned %9.0f, with the affine %9.0f %+5.1f %%, took %9.0f%s\n",
                      run->stage[s].name, before[s], planned, 100.0 * (planned / peak - 1.0), peak,
                      ok ? "" : "  <--");
        missed += !ok;
    }
    assert_int_equal(missed, 0);
    clm_test_work_drop(&w);
    clm_run_close(run);
    clm_config_free(c);
}

static int files_below(const char *path) {
    clm_err err = CLM_ERR_NONE;
    clm_names names;
    int n = 0;
    if (clm_path_kind_of(path) != CLM_PATH_FOLDER) return clm_path_kind_of(path) == CLM_PATH_FILE;
    assert_ok(clm_folder_list(path, &names, &err), err);
    for (int64_t i = 0; i < names.n; i++) {
        char below[CLM_PATH_MAX];
        assert_ok(clm_path_join(below, path, names.name[i], &err), err);
        n += files_below(below);
    }
    clm_names_free(&names);
    return n;
}

/* The chunks of an array gone, each task makes one of them, whole and with all its components, and no other: nothing
 * is read, added to and written again for every block that meets it. */
static void a_chunk_is_written_by_one_task_alone(void **state) {
    (void)state;
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    clm_run *run = open_run("chunks", &c);
    clm_work w = open_work((size_t)512 << 20);
    int stages[2] = {clm_run_stage_of(run, CLM_JOB_STITCH, 1), clm_run_stage_of(run, CLM_JOB_APPLY, 0)};
    for (int s = 0; s < run->plan.n_stages; s++) (void)run_stage(run, &w, s);
    for (int k = 0; k < 2; k++) {
        char chunks[CLM_PATH_MAX];
        clm_outcome o;
        assert_ok(clm_run_stage_begin(run, stages[k], &err), err);
        const clm_array *a = k ? run->aligned.array[0] : run->pass[1].field;
        assert_ok(clm_path_format(chunks, &err, "%s/c", clm_array_path_of(a)), err);
        int all = files_below(chunks);
        assert_int_equal(all, run->stage[stages[k]].n);
        assert_ok(clm_folder_remove(chunks, &err), err);
        for (int i = all - 1, n = 1; i >= 0; i--, n++) {
            assert_ok(run_task(run, &w, stages[k], i, &o, &err), err);
            assert_int_equal(files_below(chunks), n);
        }
    }
    clm_test_work_drop(&w);
    clm_run_close(run);
    clm_config_free(c);
}

/* the field that a deform task left, in w->keep */
static const clm_section *field_of(const clm_run *run, const clm_work *w, int stage, int64_t index) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_spill *spill = clm_take(w->keep, clm_spill, 1, &err);
    assert_ok(clm_run_spill_path(run, stage, index, path, &err) &&
                  clm_spill_read(path, run->plan.hash, w->keep, spill, &err),
              err);
    return clm_spill_find(spill, "field");
}

/* It sees less, and says so; what it sees is the same for the same job; with no room at all it fails. */
static void a_block_that_does_not_fit_is_done_coarser(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("tight", &c);
    clm_work w = open_work((size_t)512 << 20), look = open_work((size_t)64 << 20);
    clm_err err = CLM_ERR_NONE;
    clm_outcome o;
    int deform = clm_run_stage_of(run, CLM_JOB_DEFORM, 1);
    for (int s = 0; s < deform; s++) (void)run_stage(run, &w, s);
    assert_ok(clm_run_stage_begin(run, deform, &err), err);
    assert_ok(run_task(run, &w, deform, 0, &o, &err), err);
    assert_true(isnan(o.figure[6]));
    const clm_section *fine = field_of(run, &look, deform, 0), *coarse[2];
    for (int k = 0; k < 2; k++) {
        clm_work small = open_work((size_t)(0.5 * clm_run_task_bytes(run, deform)));
        assert_ok(run_task(run, &small, deform, 0, &o, &err), err);
        assert_near(o.figure[6], 2.0, 0.0);
        assert_true(o.figure[1] > o.figure[0]); /* it has made the block more alike */
        coarse[k] = field_of(run, &look, deform, 0);
        clm_test_work_drop(&small);
    }
    int64_t n = clm_section_count(fine);
    assert_int_equal(clm_section_count(coarse[0]), n);
    assert_memory_equal(coarse[0]->data, coarse[1]->data, (size_t)n * sizeof(float));
    const float *u = fine->data, *v = coarse[0]->data;
    double square = 0.0;
    for (int64_t i = 0; i < n; i++) square += pow((double)u[i] - (double)v[i], 2.0);
    print_message("coarser against fine: %.3f um RMS\n", sqrt(3.0 * square / (double)n));
    assert_true(sqrt(3.0 * square / (double)n) < 0.5); /* a voxel is 0.8 to 1 */

    clm_work none = open_work(200000);
    assert_fails(CLM_E_BUDGET, run_task(run, &none, deform, 0, &o, &err), err);
    assert_non_null(strstr(err.text, "memory.task_mib"));
    clm_test_work_drop(&none);
    clm_test_work_drop(&look);
    clm_test_work_drop(&w);
    clm_run_close(run);
    clm_config_free(c);
}

/* the field of the last pass, in w->keep */
static float *stitched(const clm_run *run, const clm_work *w, size_t *bytes) {
    clm_err err = CLM_ERR_NONE;
    const clm_pass *p = &run->pass[run->n_passes - 1];
    const int64_t lo[4] = {0}, hi[4] = {3, p->lattice.shape[0], p->lattice.shape[1], p->lattice.shape[2]};
    int64_t n = 3 * hi[1] * hi[2] * hi[3];
    float *u = clm_take(w->keep, float, n, &err);
    assert_ok(u && clm_array_read(p->field, lo, hi, u, &err), err);
    *bytes = (size_t)n * sizeof *u;
    return u;
}

/* Two ranks may have the same task, and one of them dies or finds no memory: neither a late failure nor a late
 * success changes what the first outcome was. */
static void a_late_second_try_changes_nothing(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run("twice", &c);
    clm_work w = open_work((size_t)512 << 20), none = open_work(200000), look = open_work((size_t)64 << 20);
    clm_err err = CLM_ERR_NONE, why = CLM_ERR_NONE;
    clm_outcome o;
    size_t n;
    int deform = clm_run_stage_of(run, CLM_JOB_DEFORM, 1), stitch = clm_run_stage_of(run, CLM_JOB_STITCH, 1);
    for (int s = 0; s <= stitch; s++) (void)run_stage(run, &w, s);
    float *want = stitched(run, &look, &n);
    assert_fails(CLM_E_BUDGET, run_task(run, &none, deform, 1, &o, &err), err);
    (void)run_stage(run, &w, stitch);
    assert_memory_equal(stitched(run, &look, &n), want, n);

    clm_fail(&why, CLM_E_NUMERIC, "killed by signal 11");
    assert_ok(clm_job_failed(run, &(clm_task){.stage = deform, .index = 1}, &why, &err), err);
    (void)run_stage(run, &w, stitch);
    float *without = stitched(run, &look, &n);
    assert_memory_not_equal(without, want, n);
    assert_ok(run_task(run, &w, deform, 1, &o, &err), err);
    (void)run_stage(run, &w, stitch);
    assert_memory_equal(stitched(run, &look, &n), without, n);
    clm_test_work_drop(&look);
    clm_test_work_drop(&none);
    clm_test_work_drop(&w);
    clm_run_close(run);
    clm_config_free(c);
}

/* ---- blocks with nothing to align by ---- */

typedef enum bad { NOT_A_NUMBER, CONSTANT, NOISE } bad;

/* The fixed image as float32 with all that the first block of the last pass sees replaced. */
static void write_bad(const char *name, bad kind) {
    static const clm_box seen = {{0, 0, 0}, {56, 68, 76}};
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_image *im = NULL;
    clm_array *a = NULL;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    clm_level_spec level = {.path = "s0"};
    clm_array_spec spec = {.format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_F32, .codec = "none"};
    clm_work w = open_work((size_t)64 << 20);
    clm_vol v;
    assert_ok(clm_path_join(path, folder, "demo/fixed.ome.zarr", &err) && clm_image_open(path, &o, &im, &err),
              err);
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    for (int d = 0; d < 3; d++) {
        level.spacing_um[d] = l->spacing_um[d];
        level.origin_um[d] = l->origin_um[d];
        spec.shape[d] = spec.chunk[d] = l->shape[d];
    }
    assert_ok(clm_vol_new(w.keep, l->shape, l->spacing_um, l->origin_um, &v, &err) &&
                  clm_image_read(im, 0, clm_box_of(l->shape), &v, &err),
              err);
    for (int64_t z = seen.lo[0]; z < seen.hi[0]; z++)
        for (int64_t y = seen.lo[1]; y < seen.hi[1]; y++)
            for (int64_t x = seen.lo[2]; x < seen.hi[2]; x++)
                clm_vol_row(&v, z, y)[x] =
                    kind == NOT_A_NUMBER ? NAN
                    : kind == CONSTANT
                        ? 100.0F
                        : 200.0F * (float)clm_rng_uniform(7, 1, (uint64_t)((z * 1000 + y) * 1000 + x));
    clm_json *attributes = clm_n5_level_attributes(&level, &level, false, &err);
    spec.attributes = attributes;
    assert_ok(clm_path_join(path, folder, name, &err) && clm_array_create(path, &spec, &a, &err) &&
                  clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, v.data, &err),
              err);
    clm_json_free(attributes);
    clm_array_close(a);
    clm_image_close(im);
    clm_test_work_drop(&w);
}

/* The block says why or folds nothing; what its neighbours and the pass before know covers it. */
static void bad_blocks_are_covered(void **state) {
    (void)state;
    static const struct {
        const char *fixed, *out;
        clm_code code;
    } rows[] = {{"nan.n5", "nan.out", CLM_E_NODATA},
                {"constant.n5", "constant.out", CLM_E_NODATA},
                {"noise.n5", "noise.out", CLM_OK}};
    for (int k = 0; k < 3; k++) {
        clm_config *c;
        clm_err err = CLM_ERR_NONE;
        clm_outcome o;
        clm_work w = open_work((size_t)512 << 20);
        write_bad(rows[k].fixed, (bad)k);
        fixed_name = rows[k].fixed;
        clm_run *run = open_run(rows[k].out, &c);
        fixed_name = "demo/fixed.ome.zarr";
        int deform = clm_run_stage_of(run, CLM_JOB_DEFORM, 1), last = run->plan.n_stages - 1;
        for (int s = 0; s <= last; s++) {
            assert_ok(clm_run_stage_begin(run, s, &err), err);
            for (int64_t i = 0; i < run->stage[s].n; i++) {
                bool ok = run_task(run, &w, s, i, &o, &err);
                bool block = run->kind[s] == CLM_JOB_LOCAL || run->kind[s] == CLM_JOB_DEFORM;
                if (!ok && !(block && err.code == CLM_E_NODATA))
                    fail_msg("%s: %s %d: %s", rows[k].fixed, run->stage[s].name, (int)i, err.text);
                if (s == deform && i == 0) assert_int_equal(ok ? CLM_OK : err.code, rows[k].code);
                clm_err why = err;
                if (!ok) assert_ok(clm_job_failed(run, &o.task, &why, &err), err);
                if (s == deform && ok) assert_true(o.figure[3] > 0.25); /* 0.3 of the affine's own */
                if (s == deform && i > 3) assert_true(ok);
            }
        }
        clm_arena_reset(w.keep, 0);
        size_t bytes;
        const float *u = stitched(run, &w, &bytes);
        for (size_t i = 0; i < bytes / sizeof *u; i++) assert_true(fabs((double)u[i]) < 40.0);
        clm_test_work_drop(&w);
        clm_run_close(run);
        clm_config_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_tells_the_peak), cmocka_unit_test(a_late_second_try_changes_nothing),
        cmocka_unit_test(a_block_that_does_not_fit_is_done_coarser), cmocka_unit_test(bad_blocks_are_covered),
        cmocka_unit_test(a_chunk_is_written_by_one_task_alone)};
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
