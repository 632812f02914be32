/* The global stage alone on made pairs whose affine is known: what may differ between the two images. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/image/phantom.h"
#include "collimate/job/job.h"
#include "collimate/store/ome.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static char folder[CLM_PATH_MAX];
static clm_work work;

enum look { AS_IT_IS, FLAT, TEXTURE, PADDED };

/* texture without beginning or end, in which nothing is bright by itself: waves of 7 to 14 um in all directions */
static float texture_at(const double x[3]) {
    enum { WAVES = 40 };
    static double wave[WAVES][4];
    double sum = 0;
    for (uint64_t k = 0; k < WAVES && wave[WAVES - 1][3] == 0; k++) {
        double n[3], length = 0, um = 7 + 7 * clm_rng_uniform(3, 1, k);
        for (uint64_t d = 0; d < 3; d++) n[d] = clm_rng_normal(3, 3 + d, k), length += n[d] * n[d];
        for (int d = 0; d < 3; d++) wave[k][d] = 6.2831853 / um / sqrt(length) * n[d];
        wave[k][3] = 6.2831853 * clm_rng_uniform(3, 2, k);
    }
    for (int k = 0; k < WAVES; k++)
        sum += cos(wave[k][0] * x[0] + wave[k][1] * x[1] + wave[k][2] * x[2] + wave[k][3]);
    return (float)(500 + 40 * sum);
}

/* flat: all the same; padded: zeros around */
static void change(clm_vol *v, const clm_phantom *p, clm_phantom_view view, enum look look) {
    const int64_t pad = 6, *n = v->shape;
    for (int64_t i = 0; look != AS_IT_IS && i < clm_vol_count(v); i++) {
        const int64_t at[3] = {i / n[2] / n[1], i / n[2] % n[1], i % n[2]};
        double x[3];
        for (int d = 0; d < 3; d++) x[d] = v->origin[d] + (double)at[d] * v->spacing[d];
        if (look == TEXTURE && view == CLM_PHANTOM_MOVING) clm_phantom_inverse(p, x, x);
        if (look == FLAT) v->data[i] = 120;
        if (look == TEXTURE) v->data[i] = texture_at(x);
        for (int d = 0; look == PADDED && d < 3; d++)
            if (at[d] < pad || at[d] >= n[d] - pad) v->data[i] = 0;
    }
}

/* counts and `offset` as N5; spacing written is `told` times the true one */
static void write_side(const clm_phantom *p, clm_phantom_view view, const char *name, enum look look,
                       double told, uint64_t offset) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    const clm_phantom_side *side = &p->params.side[view];
    clm_level_spec level = {.path = "s0"};
    clm_array_spec spec = {.format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_U64, .codec = "none"};
    clm_array *a = NULL;
    clm_vol v;
    clm_arena_reset(work.keep, 0);
    for (int d = 0; d < 3; d++) {
        level.spacing_um[d] = told * side->spacing[d];
        level.origin_um[d] = told * side->origin[d];
        spec.shape[d] = spec.chunk[d] = side->shape[d];
    }
    clm_json *attributes = clm_n5_level_attributes(&level, &level, false, &err);
    spec.attributes = attributes;
    assert_ok(clm_phantom_render(&work, p, view, clm_box_of(side->shape), &v, &err), err);
    change(&v, p, view, look);
    uint64_t *counts = clm_take(work.keep, uint64_t, clm_vol_count(&v), &err);
    assert_non_null(counts);
    clm_dtype_from_f32(CLM_U64, v.data, counts, clm_vol_count(&v));
    for (int64_t i = 0; i < clm_vol_count(&v); i++) counts[i] += offset;
    assert_ok(clm_path_join(path, folder, name, &err) && clm_array_create(path, &spec, &a, &err) &&
                  clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, counts, &err),
              err);
    clm_array_close(a);
    clm_json_free(attributes);
}

static void write_pair(const clm_phantom *p, const char *name, enum look fixed, enum look moving,
                       double told) {
    char path[CLM_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s.n5/fixed", name);
    write_side(p, CLM_PHANTOM_FIXED, path, fixed, 1.0, 0);
    (void)snprintf(path, sizeof path, "%s.n5/moving", name);
    write_side(p, CLM_PHANTOM_MOVING, path, moving, told, 0);
}

/* the stages up to the global one; false with its error */
static bool find(const char *name, const char *out, const char *set, clm_affine *a, clm_err *err) {
    char text[2 * CLM_PATH_MAX];
    clm_config *c = NULL;
    clm_run *run = NULL;
    bool ok = true;
    assert_ok(clm_config_new(&c, err) && (!set || clm_config_set(c, set, err)), *err);
    const char *const keys[3] = {"fixed", "moving", "out"};
    for (int i = 0; i < 3; i++) {
        if (i < 2)
            (void)snprintf(text, sizeof text, "%s/%s.n5/%s", folder, name, keys[i]);
        else
            (void)snprintf(text, sizeof text, "%s/%s", folder, out);
        assert_ok(clm_config_put_text(c, keys[i], text, err), *err);
    }
    assert_ok(clm_run_open(c, &run, err) && clm_run_prepare(run, err), *err);
    int last = clm_run_stage_of(run, CLM_JOB_GLOBAL, 0);
    for (int s = 0; ok && s <= last; s++) {
        assert_ok(clm_run_stage_begin(run, s, err), *err);
        for (int64_t i = 0; ok && i < run->stage[s].n; i++) {
            clm_outcome o = {.task = {.stage = s, .index = i}};
            ok = clm_job_run(run, &work, &o.task, &o, err);
        }
    }
    if (ok) {
        assert_ok(clm_run_stage_begin(run, last + 1, err), *err);
        *a = run->affine;
    }
    clm_run_close(run);
    clm_config_free(c);
    return ok;
}

/* mean distance of what was found from the truth where the fixed point lies in both images, in fixed voxels of 1 um */
static double off(const clm_phantom *p, const clm_affine *a, double told) {
    const clm_phantom_side *f = &p->params.side[0], *m = &p->params.side[1];
    double sum = 0, n = 0;
    for (int64_t z = 0; z < f->shape[0]; z += 4)
        for (int64_t y = 0; y < f->shape[1]; y += 4)
            for (int64_t x = 0; x < f->shape[2]; x += 4) {
                const int64_t at[3] = {z, y, x};
                double w[3], want[3], got[3], square = 0;
                bool in = true;
                for (int d = 0; d < 3; d++) w[d] = f->origin[d] + (double)at[d] * f->spacing[d];
                clm_phantom_truth(p, w, want);
                clm_affine_apply(a, w, got);
                for (int d = 0; d < 3; d++) {
                    double v = (want[d] - m->origin[d]) / m->spacing[d];
                    in = in && v >= 0 && v <= (double)(m->shape[d] - 1);
                    square += pow(got[d] / told - want[d], 2);
                }
                if (in) sum += sqrt(square), n += 1;
            }
    assert_true(n > 100);
    return sum / n;
}

static clm_phantom_params params(void) {
    static const int64_t shape[2][3] = {{48, 72, 96}, {46, 70, 94}};
    clm_phantom_params p = CLM_PHANTOM_DEFAULTS;
    for (int side = 0; side < 2; side++)
        for (int d = 0; d < 3; d++) p.side[side].shape[d] = shape[side][d], p.side[side].spacing[d] = 1.0;
    p.shift_um = 8;
    p.warp_um[0] = 1.5;
    p.density = 2;
    return p;
}

static void images_may_differ(void **state) {
    (void)state;
    enum {
        ALIKE,
        ANISOTROPY,
        SCALE_UP,
        SCALE_DOWN,
        GROWN,
        SHRUNK,
        HALF,
        COARSER,
        MUCH_COARSER,
        CONTRAST,
        TILE,
        TURNED,
        DENSE,
        CASES
    };
    static const char *const names[CASES] = {"alike",  "anisotropy", "larger",  "smaller",      "grown",
                                             "shrunk", "half",       "coarser", "much_coarser", "contrast",
                                             "tile",   "turned",     "dense"};
    for (int k = 0; k < CASES; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_phantom p;
        clm_affine a;
        double told = k == SCALE_UP || k == GROWN ? 1.3 : k == SCALE_DOWN || k == SHRUNK ? 1 / 1.3 : 1;
        clm_phantom_params q = params();
        clm_phantom_side *m = &q.side[CLM_PHANTOM_MOVING];
        if (k == ANISOTROPY) m->spacing[0] = 2, m->shape[0] = 24;
        if (k == HALF || k == DENSE) m->origin[2] = 48, m->shape[2] = 48;
        for (int d = 0; (k == GROWN || k == SHRUNK) && d < 3;
             d++) /* told to have the fixed image's spacing */
            m->spacing[d] = 1 / told, m->shape[d] = llround((double)m->shape[d] * told);
        for (int d = 0; k == COARSER && d < 3; d++) m->spacing[d] = 1.6, m->shape[d] = m->shape[d] * 10 / 16;
        if (k == MUCH_COARSER) /* than the fixed image is worked at: blobs must be of one size all the same */
            for (int d = 0; d < 3; d++) {
                m->spacing[d] = 2.5, m->shape[d] = m->shape[d] * 10 / 25 * 2;
                q.side[0].shape[d] *= 2, q.cell_um = 6;
            }
        for (int d = 0; k == TILE && d < 3; d++) /* of what the fixed image is the whole */
            m->origin[d] = (double)(m->shape[d] * 2 / 7), m->shape[d] = m->shape[d] * 3 / 7;
        if (k == TURNED) q.rotation_deg = 120;
        if (k == CONTRAST) m->gamma = 0.5, m->gain = 150, m->offset = 900;
        assert_ok(clm_phantom_make(&q, &p, &err), err);
        write_pair(&p, names[k], k == DENSE ? TEXTURE : AS_IT_IS, k == DENSE ? TEXTURE : AS_IT_IS, told);
        bool ok = find(names[k], names[k], k == MUCH_COARSER ? "global.method=blobs" : NULL, &a, &err);
        print_message("%s: ", names[k]);
        if (ok)
            print_message("%.3f voxel off\n", off(&p, &a, told));
        else
            print_message("%s\n", err.text);
        assert_true(ok);
        assert_true(off(&p, &a, told) < 1.0);
    }
}

static void padding_is_told(void **state) {
    (void)state;
    static const enum look fixed[3] = {AS_IT_IS, PADDED, AS_IT_IS}, moving[3] = {AS_IT_IS, AS_IT_IS, PADDED};
    static const char *const names[3] = {"bare", "fixed", "moving"};
    clm_phantom p;
    const clm_phantom_params q = params();
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    for (int k = 0; k < 3; k++) {
        char path[CLM_PATH_MAX], key[32];
        clm_affine a;
        clm_json *v = NULL;
        write_pair(&p, names[k], fixed[k], moving[k], 1);
        assert_ok(find(names[k], names[k], NULL, &a, &err), err);
        char out[32];
        (void)snprintf(out, sizeof out, "%s/affine.json", names[k]);
        assert_ok(clm_path_join(path, folder, out, &err) && clm_json_read(path, &v, &err), err);
        const char *warning = clm_json_text(clm_json_get(v, "warning"));
        (void)snprintf(key, sizeof key, "mask.%s_background=[0]", names[k]);
        print_message("%s: %s\n", names[k], warning ? warning : "no warning");
        assert_int_equal(warning != NULL, k > 0);
        if (warning) assert_non_null(strstr(warning, key));
        clm_json_free(v);
    }
}

/* the answer is one of the images, not of the dice */
static void seeds_agree(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_phantom p;
    clm_affine first, a;
    const clm_phantom_params q = params();
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    write_pair(&p, "seeds", AS_IT_IS, AS_IT_IS, 1);
    double most = 0;
    for (int k = 0; k < 5; k++) {
        char set[16], out[16];
        (void)snprintf(set, sizeof set, "seed=%d", 11 * k + 1);
        (void)snprintf(out, sizeof out, "seed%d", k);
        assert_ok(find("seeds", out, set, k ? &a : &first, &err), err);
        for (int c = 0; k && c < 8; c++) {
            const double x[3] = {c & 1 ? 47 : 0, c & 2 ? 71 : 0, c & 4 ? 95 : 0};
            double y[2][3], square = 0;
            clm_affine_apply(&first, x, y[0]), clm_affine_apply(&a, x, y[1]);
            for (int d = 0; d < 3; d++) square += pow(y[0][d] - y[1][d], 2);
            most = fmax(most, sqrt(square));
        }
    }
    print_message("five seeds: corners at most %.4f voxel apart\n", most);
    assert_true(most < 0.2);
}

/* Never the identity: an error that tells how much there was. */
static void too_little_is_an_error(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_phantom p, other;
    clm_affine a;
    clm_phantom_params q = params();
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    write_pair(&p, "flat", AS_IT_IS, FLAT, 1);
    assert_fails(CLM_E_NODATA, find("flat", "flat", NULL, &a, &err), err);
    print_message("flat: %s\n", err.text);
    assert_non_null(strpbrk(err.text, "0123456789"));
    q.seed = 99; /* two specimens */
    assert_ok(clm_phantom_make(&q, &other, &err), err);
    write_side(&p, CLM_PHANTOM_FIXED, "strangers.n5/fixed", AS_IT_IS, 1, 0);
    write_side(&other, CLM_PHANTOM_MOVING, "strangers.n5/moving", AS_IT_IS, 1, 0);
    assert_fails(CLM_E_NODATA, find("strangers", "strangers", NULL, &a, &err), err);
    print_message("strangers: %s\n", err.text);
    assert_non_null(strpbrk(err.text, "0123456789"));
}

/* float32 cannot tell the values apart: an error that names the image and the cure; where it can, nothing changes */
static void large_offsets_are_told(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_phantom p;
    clm_affine a;
    const clm_phantom_params q = params();
    assert_ok(clm_phantom_make(&q, &p, &err), err);
    for (int bits = 22; bits <= 40; bits += 9) {
        char name[16], path[32];
        (void)snprintf(name, sizeof name, "offset%d", bits);
        (void)snprintf(path, sizeof path, "%s.n5/fixed", name);
        write_side(&p, CLM_PHANTOM_FIXED, path, AS_IT_IS, 1, 0);
        (void)snprintf(path, sizeof path, "%s.n5/moving", name);
        write_side(&p, CLM_PHANTOM_MOVING, path, AS_IT_IS, 1, (uint64_t)1 << bits);
        if (bits == 22) {
            assert_ok(find(name, name, NULL, &a, &err), err);
            continue;
        }
        assert_fails(CLM_E_UNSUPPORTED, find(name, name, NULL, &a, &err), err);
        assert_non_null(strstr(err.text, "moving image: values from"));
        assert_non_null(strstr(err.text, "store the image less that offset"));
    }
}

static int begin(void **state) {
    (void)state;
    clm_test_folder(folder);
    work = clm_test_work(512);
    return 0;
}

static int end(void **state) {
    (void)state;
    clm_test_work_drop(&work);
    clm_test_folder_drop(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_may_differ), cmocka_unit_test(padding_is_told), cmocka_unit_test(seeds_agree),
        cmocka_unit_test(too_little_is_an_error), cmocka_unit_test(large_offsets_are_told)};
    return cmocka_run_group_tests(tests, begin, end);
}
