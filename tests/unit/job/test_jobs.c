/* The tasks of a run called directly: what they find, and that neither their order nor blocks show. */
#include "collimate/base/rng.h"
#include "collimate/image/reduce.h"
#include "collimate/store/spill.h"
#include "job_pair.h"

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

/* what no follower needs any more is removed while the run goes on: no later stage misses it */
static void nothing_misses_what_is_spent(void **state) {
    (void)state;
    clm_config *c, *d;
    clm_run *run = open_run("spared", &c), *other = open_run("spent", &d);
    int last = run->plan.n_stages - 1;
    clm_arena *a = NULL;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    int64_t n, m, gone = 0, stayed = 0;
    run_stages(run, 0, last, false);
    for (int s = 0; s <= last; s++) {
        run_stages(other, s, s, false);
        for (int64_t i = 0; other->stage[s].start == CLM_STAGE_FOLLOWS && i < other->stage[s - 1].n; i++) {
            if (clm_job_spill_stays(other, s - 1, i)) {
                stayed++;
                continue;
            }
            assert_ok(clm_run_spill_path(other, s - 1, i, path, &err) && clm_file_remove(path, &err), err);
            gone++;
        }
    }
    assert_true(gone > 0 && stayed > 0);
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
    more_set = "deform.halo_vox=16"; /* a field as stiff as this one reaches farther than the usual 12 here */
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
    more_set = NULL;
    clm_arena_close(a);
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

/* A cache keeps chunks reduced: boxes that overlap, in either sign, are what the whole reduced has; with room each chunk
 * is decoded and reduced once, and what was decoded for that goes first where there is none. */
static void a_cache_keeps_what_is_reduced(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const int64_t shape[3] = {71, 50, 66}, edge = 32; /* 3 x 2 x 3 chunks */
    clm_array_spec spec = {.format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_F32, .codec = "none"};
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    clm_array *a = NULL;
    clm_vol fine, whole, part;
    o.has_spacing = true;
    clm_arena_reset(work.keep, 0);
    for (int d = 0; d < 3; d++) o.spacing_um[d] = 1.0, spec.shape[d] = shape[d], spec.chunk[d] = edge;
    assert_ok(clm_vol_new(work.keep, shape, o.spacing_um, o.origin_um, &fine, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&fine); i++)
        fine.data[i] = (float)clm_rng_uniform(6, 0, (uint64_t)i);
    assert_ok(clm_path_join(path, folder, "kept.n5/a", &err) && clm_array_create(path, &spec, &a, &err), err);
    for (int64_t k = 0; k < 18; k++) {
        const int64_t index[3] = {k / 6, k / 3 % 2, k % 3};
        clm_box box;
        clm_vol chunk;
        clm_array_chunk_box(a, index, box.lo, box.hi);
        const clm_vol view = clm_vol_crop(&fine, box);
        assert_ok(clm_vol_copy(work.keep, &view, &chunk, &err), err);
        assert_ok(clm_array_put_chunk(a, index, chunk.data, &err), err);
    }
    clm_array_close(a);
    for (int tight = 0; tight < 2; tight++) {
        clm_cache *cache = NULL;
        clm_image *image = NULL;
        /* tight: one chunk of 128 KiB, or all 18 reduced to 16 KiB at most */
        assert_ok(clm_cache_open(tight ? (size_t)310 << 10 : (size_t)16 << 20, &cache, &err), err);
        assert_ok(clm_image_open(path, &o, &image, &err), err);
        clm_image_use_cache(image, cache);
        clm_view v = clm_view_make(image, 2.0);
        assert_int_equal(clm_view_tile(&v, 0), edge / 2);
        assert_ok(clm_reduce(&work, &fine, v.factor, &whole, &err), err);
        for (int k = 0; k < 4; k++) {
            const clm_box box = {{3 * k, k, 9 * k}, {v.shape[0], v.shape[1] - 5 + k, v.shape[2]}};
            v.negative = k == 3;
            assert_ok(clm_view_read(&work, &v, box, &part, &err), err);
            clm_vol want = clm_vol_crop(&whole, box);
            for (int64_t z = 0; z < part.shape[0]; z++)
                for (int64_t y = 0; y < part.shape[1]; y++)
                    for (int64_t x = 0; x < part.shape[2]; x++) {
                        float is = clm_vol_row(&want, z, y)[x];
                        assert_true(clm_vol_row(&part, z, y)[x] == (v.negative ? -is : is));
                    }
            /* 18 tiles of 18 chunks; of the other sign 12 more, the rest lies before the box */
            if (k == 2) assert_int_equal(clm_cache_figures_of(cache).misses, 36);
            if (k == 3 && !tight) assert_int_equal(clm_cache_figures_of(cache).misses, 48);
        }
        clm_image_close(image);
        clm_cache_close(cache);
    }
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
    for (int late = 0; late < 2; late++) {
        clm_arena_reset(work.keep, 0);
        assert_ok(clm_view_read(&work, &again->coarse_fixed, clm_box_of(direct.shape), &made, &err), err);
        assert_ok(clm_view_read(&work, &direct, clm_box_of(direct.shape), &want, &err), err);
        assert_memory_equal(made.data, want.data, (size_t)clm_vol_count(&made) * sizeof(float));
        for (int d = 0; d < 3; d++) assert_near(made.origin[d], want.origin[d], 1e-9);
        /* a copy of a task that comes late, on threads that know of the next stage, still looks at the images */
        assert_ok(clm_path_join(out, clm_array_path_of(again->coarse[0]), "c", &err), err);
        assert_ok(clm_folder_remove(out, &err), err);
        run_stages(again, 0, 0, false);
    }
    close_run(again, c);
}

/* what could not be opened once, a disk's hiccup, is missed when it is tried again */
static void a_stage_can_be_begun_again(void **state) {
    (void)state;
    clm_config *c;
    clm_run *run = open_run_with("again", "local.enabled=false", &c);
    clm_err err = CLM_ERR_NONE;
    char there[CLM_PATH_MAX], away[CLM_PATH_MAX];
    int pass = run->n_passes - 1, stitch = clm_run_stage_of(run, CLM_JOB_STITCH, pass);
    static const char *const arrays[] = {"coverage", "dfield/s0"};
    run->has_affine = true;
    for (int k = 0; k < 2; k++) {
        assert_ok(
            clm_run_path(run, there, &err, "transform.ome.zarr/coordinateTransformations/%s", arrays[k]) &&
                clm_run_path(run, away, &err, "away"),
            err);
        assert_int_equal(rename(there, away), 0);
        assert_fails(CLM_E_NOTFOUND, clm_run_stage_begin(run, stitch, &err), err);
        assert_int_equal(rename(away, there), 0);
    }
    assert_ok(clm_run_stage_begin(run, stitch, &err), err);
    assert_true(run->pass[pass].field && run->pass[pass].coverage);
    close_run(run, c);
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
                                       cmocka_unit_test(nothing_misses_what_is_spent),
                                       cmocka_unit_test(the_warp_is_found),
                                       cmocka_unit_test(a_failed_block_fades_into_its_surroundings),
                                       cmocka_unit_test(another_modality_is_aligned),
                                       cmocka_unit_test(images_stand_in_for_blobs),
                                       cmocka_unit_test(blocks_equal_the_whole),
                                       cmocka_unit_test(a_view_is_the_reduced_whole),
                                       cmocka_unit_test(tiles_of_a_view_fit_together),
                                       cmocka_unit_test(a_cache_keeps_what_is_reduced),
                                       cmocka_unit_test(coarse_images_are_made),
                                       cmocka_unit_test(a_stage_can_be_begun_again),
                                       cmocka_unit_test(the_folder_of_another_plan_is_refused)};
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
