#include "collimate/app/demo.h"
#include "collimate/app/slices.h"

#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/file.h"
#include "collimate/transform/transform.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static clm_phantom_params small_params(void) {
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    const int64_t fixed[3] = {20, 33, 40}, moving[3] = {24, 38, 40};
    memcpy(q.side[0].shape, fixed, sizeof fixed);
    memcpy(q.side[1].shape, moving, sizeof moving);
    q.seed = 5;
    q.shift_um = 4.0;
    q.side[1].origin[0] = -2.0;
    return q;
}

typedef struct lines {
    int n;
    char last[200];
} lines;

static void count_line(void *ctx, const char *line) {
    lines *l = ctx;
    l->n++;
    (void)snprintf(l->last, sizeof l->last, "%s", line);
}

static void write_demo(const char *folder, const clm_phantom_params *q, int threads, int64_t chunk) {
    clm_err err;
    lines told = {0};
    clm_demo_options o = {.chunk = chunk, .threads = threads, .tell = count_line, .ctx = &told};
    assert_ok(clm_demo_write(folder, q, &o, &err), err);
    assert_int_equal(told.n, 2);
    assert_non_null(strstr(told.last, "moving.n5"));
}

static clm_image *open_image(const char *folder, const char *name) {
    char path[CLM_PATH_MAX];
    clm_err err;
    clm_image *im = NULL;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    return im;
}

/* what is in the files is what the phantom is, placed as it says, for any chunks and threads */
static void files_hold_the_phantom(void **state) {
    (void)state;
    static const char *const names[2] = {"fixed.ome.zarr", "moving.n5"};
    clm_phantom_params q = small_params();
    clm_phantom p;
    clm_err err;
    clm_work w = clm_test_work(64);
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_test_folder(folder);
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    for (int threads = 1; threads <= 3; threads += 2) {
        assert_ok(clm_path_format(path, &err, "%s/demo%d", folder, threads), err);
        write_demo(path, &q, threads, threads == 1 ? 64 : 16);
        for (int view = 0; view < 2; view++) {
            clm_image *im = open_image(path, names[view]);
            const clm_image_info *info = clm_image_info_of(im);
            const clm_phantom_side *s = &q.side[view];
            clm_vol want, got;
            assert_int_equal(info->dtype, CLM_U16);
            for (int d = 0; d < 3; d++) {
                assert_int_equal(info->level[0].shape[d], s->shape[d]);
                assert_near(info->level[0].spacing_um[d], s->spacing[d], 1e-12);
                assert_near(info->level[0].origin_um[d], s->origin[d], 1e-12);
            }
            clm_box box = clm_box_of(s->shape);
            assert_ok(clm_phantom_render(&w, &p, (clm_phantom_view)view, box, &want, &err), err);
            assert_ok(clm_vol_new(w.keep, s->shape, s->spacing, s->origin, &got, &err), err);
            assert_ok(clm_image_read(im, 0, box, &got, &err), err);
            assert_memory_equal(got.data, want.data, (size_t)clm_vol_count(&got) * sizeof(float));
            clm_arena_rewind(w.keep, (clm_mark){0});
            clm_image_close(im);
        }
    }
    clm_test_folder_drop(folder);
    clm_test_work_drop(&w);
}

static void truth_survives_json(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    q.noise = 0.1 + 0.2;
    clm_phantom p, back;
    clm_err err;
    clm_json *v = NULL, *again = NULL;
    clm_buf text = {0};
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    assert_ok(clm_demo_truth_to_json(&p, &v, &err), err);
    assert_ok(clm_json_print(v, true, &text, &err), err);
    assert_ok(clm_json_parse(text.data, text.n, "truth", &again, &err), err);
    assert_ok(clm_demo_truth_from_json(again, &back, &err), err);
    assert_memory_equal(&back.params.side[1].origin, &q.side[1].origin, sizeof q.side[1].origin);
    assert_true(back.params.noise == q.noise && back.params.seed == q.seed);
    /* the samples are on the map that came back */
    const clm_json *s = clm_json_get(again, "samples");
    const clm_json *fixed = clm_json_get(s, "fixed_um"), *moving = clm_json_get(s, "moving_um");
    assert_int_equal(clm_json_size(fixed), 125);
    for (int64_t i = 0; i < 125; i += 31) {
        double x[3], y[3];
        assert_true(clm_json_numbers(clm_json_at(fixed, i), 3, x));
        assert_true(clm_json_numbers(clm_json_at(moving, i), 3, y));
        clm_phantom_truth(&back, x, x);
        for (int d = 0; d < 3; d++) assert_near(x[d], y[d], 1e-9);
    }
    /* one changed number is noticed, a missing one named */
    clm_json *q2 = clm_json_copy(again, &err);
    clm_json_put((clm_json *)(uintptr_t)clm_json_get(q2, "parameters"), "shift_um",
                 clm_json_copy(clm_json_get(clm_json_get(q2, "parameters"), "seed"), &err));
    assert_fails(CLM_E_FORMAT, clm_demo_truth_from_json(q2, &back, &err), err);
    assert_non_null(strstr(err.text, "affine"));
    clm_json_put((clm_json *)(uintptr_t)clm_json_get(q2, "parameters"), "shear",
                 clm_json_copy(clm_json_get(q2, "format"), &err));
    assert_fails(CLM_E_FORMAT, clm_demo_truth_from_json(q2, &back, &err), err);
    assert_non_null(strstr(err.text, "shear"));
    clm_json_free(q2);
    clm_json_free(v);
    clm_json_free(again);
    clm_buf_free(&text);
}

/* A run folder whose transform is the truth sampled on a lattice, moved by `off` micrometres along y. */
static void write_run(const char *run, const clm_phantom *p, double pitch_um, double off) {
    const clm_phantom_side *s = &p->params.side[CLM_PHANTOM_FIXED], *m = &p->params.side[CLM_PHANTOM_MOVING];
    clm_err err;
    char path[CLM_PATH_MAX];
    clm_work w = clm_test_work(64);
    clm_transform_spec spec = {.affine = p->affine};
    clm_field f;
    for (int d = 0; d < 3; d++) {
        spec.spacing_um[d] = pitch_um;
        spec.origin_um[d] = s->origin[d];
        spec.shape[d] = (int64_t)ceil((double)s->shape[d] * s->spacing[d] / pitch_um) + 1;
        spec.chunk[d] = 8;
        spec.fixed.shape[d] = s->shape[d], spec.moving.shape[d] = m->shape[d];
        spec.fixed.spacing_um[d] = s->spacing[d], spec.moving.spacing_um[d] = m->spacing[d];
        spec.fixed.origin_um[d] = s->origin[d], spec.moving.origin_um[d] = m->origin[d];
    }
    assert_ok(clm_path_join(path, run, "transform.ome.zarr", &err), err);
    assert_ok(clm_ome_write_transform(path, &spec, &err), err);
    clm_transform t;
    assert_ok(clm_transform_open(path, true, &t, &err), err);
    for (int64_t a = 0; a * 8 < spec.shape[0]; a++)
        for (int64_t b = 0; b * 8 < spec.shape[1]; b++)
            for (int64_t c = 0; c * 8 < spec.shape[2]; c++) {
                const int64_t index[3] = {a, b, c};
                int64_t shape[3], n = 0;
                double origin[3];
                for (int d = 0; d < 3; d++) {
                    shape[d] = spec.shape[d] - index[d] * 8 < 8 ? spec.shape[d] - index[d] * 8 : 8;
                    origin[d] = spec.origin_um[d] + pitch_um * 8.0 * (double)index[d];
                }
                clm_arena_rewind(w.keep, (clm_mark){0});
                assert_ok(clm_field_new(w.keep, shape, spec.spacing_um, origin, &f, &err), err);
                for (int64_t i = 0; i < shape[0]; i++)
                    for (int64_t j = 0; j < shape[1]; j++)
                        for (int64_t k = 0; k < shape[2]; k++, n++) {
                            double x[3] = {origin[0] + pitch_um * (double)i, origin[1] + pitch_um * (double)j,
                                           origin[2] + pitch_um * (double)k},
                                   y[3];
                            clm_phantom_truth(p, x, y);
                            y[1] += off;
                            clm_affine_apply(&p->inverse, y, y);
                            for (int d = 0; d < 3; d++) f.u[d][n] = (float)(y[d] - x[d]);
                        }
                assert_ok(clm_transform_put(&t, index, &f, &err), err);
            }
    clm_transform_close(&t);
    clm_test_work_drop(&w);
}

static void known_transforms_have_known_errors(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    q.warp_um[1] = 0.0; /* smooth, so that a lattice of 2 um holds it */
    clm_phantom p;
    clm_err err;
    clm_demo_errors e;
    char folder[CLM_PATH_MAX];
    clm_test_folder(folder);
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    write_demo(folder, &q, 2, 32);
    assert_fails(CLM_E_NOTFOUND, clm_demo_check(folder, folder, &e, &err), err);
    write_run(folder, &p, 2.0, 0.0);
    assert_ok(clm_demo_check(folder, folder, &e, &err), err);
    assert_true(e.field.n > 1000);
    assert_true(e.field.um.max < 0.02);
    assert_true(e.affine.um.median > 1.0 && e.before.um.median > 1.0);
    assert_true(e.affine.voxels.median > e.affine.um.median); /* 0.8 um voxels */
    assert_ok(clm_folder_remove(folder, &err), err);
    write_demo(folder, &q, 1, 32);
    write_run(folder, &p, 2.0, 0.6);
    assert_ok(clm_demo_check(folder, folder, &e, &err), err);
    assert_near(e.field.um.median, 0.6, 0.01);
    assert_near(e.field.um.max, 0.6, 0.03);
    assert_near(e.field.voxels.mean, 0.75, 0.02);
    clm_buf text = {0};
    assert_ok(clm_demo_errors_print(&e, &text, &err), err);
    assert_non_null(strstr((const char *)text.data, "after field"));
    assert_non_null(strstr((const char *)text.data, "0.75"));
    clm_json *v;
    double x;
    assert_ok(clm_demo_errors_to_json(&e, &v, &err), err);
    assert_true(clm_json_number(clm_json_get(clm_json_get(clm_json_get(v, "field"), "um"), "median"), &x));
    assert_near(x, e.field.um.median, 0.0);
    clm_json_free(v);
    clm_buf_free(&text);
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    assert_ok(clm_path_join(path, folder, "errors.png", &err), err);
    assert_ok(clm_demo_draw_errors(folder, folder, path, &err), err);
    assert_ok(clm_file_read(path, (size_t)1 << 24, &b, &err), err);
    assert_true(b.n > 2000);
    clm_buf_free(&b);
    clm_test_folder_drop(folder);
}

/* the fixed volume laid over itself is all grey; over another there is colour */
static void slices_are_drawn(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    clm_err err;
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_test_folder(folder);
    write_demo(folder, &q, 1, 32);
    clm_image *fixed = open_image(folder, "fixed.ome.zarr"), *moving = open_image(folder, "moving.n5");
    assert_ok(clm_path_join(path, folder, "pictures", &err), err);
    assert_ok(clm_slices_write(fixed, moving, fixed, path, &err), err);
    for (int i = 0; i < 3; i++) {
        clm_buf b = {0};
        assert_ok(clm_path_format(path, &err, "%s/pictures/slice_%c.png", folder, "zyx"[i]), err);
        assert_ok(clm_file_read(path, (size_t)1 << 24, &b, &err), err);
        assert_true(b.n > 2000);
        clm_buf_free(&b);
    }
    assert_fails(CLM_E_ARG, clm_slices_write(fixed, moving, moving, path, &err), err);
    clm_image_close(fixed);
    clm_image_close(moving);
    clm_test_folder_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_hold_the_phantom),
        cmocka_unit_test(truth_survives_json),
        cmocka_unit_test(known_transforms_have_known_errors),
        cmocka_unit_test(slices_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
