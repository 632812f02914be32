#include "collimate/app/evaluate.h"
#include "collimate/base/file.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

/* A pair of small volumes, two blocks long, and a field between them; everything is measured again by plain
 * loops in double over the whole volumes. */
enum { NZ = 9, NY = 10, NX = 200, N = NZ * NY * NX, RADIUS = 2 };
static const int64_t shape[3] = {NZ, NY, NX};
static const double spacing[3] = {1.5, 1.0, 1.25}, fixed_origin[3] = {2, -1, 0.5},
                    moving_origin[3] = {1, -2, 0};

typedef struct fixture {
    char folder[CLM_PATH_MAX];
    clm_image *fixed, *moving;
    clm_transform transform;
    clm_field field; /* the same, in memory */
    double f[N], m[N];
    clm_work w;
} fixture;

static fixture x;

static double value(int64_t i, double phase) {
    double z = (double)(i / (NY * NX)), y = (double)(i / NX % NY), c = (double)(i % NX);
    return rint(900.0 + 500.0 * sin(0.7 * z + phase) * cos(0.4 * y) * sin(0.3 * c + 2.0 * phase) +
                300.0 * sin(0.11 * c * y + phase));
}

static void write_image(const char *name, double phase, const double origin[3], double *keep,
                        clm_image **out) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX], group[CLM_PATH_MAX];
    static uint16_t v[N];
    clm_array *a;
    clm_array_spec s = {.format = CLM_FORMAT_ZARR3, .ndim = 3, .dtype = CLM_U16};
    clm_level_spec level = {.path = "s0"};
    for (int d = 0; d < 3; d++) {
        s.shape[d] = s.chunk[d] = shape[d];
        level.spacing_um[d] = spacing[d];
        level.origin_um[d] = origin[d];
    }
    for (int64_t i = 0; i < N; i++) {
        keep[i] = value(i, phase);
        v[i] = (uint16_t)keep[i];
    }
    assert_ok(clm_path_join(group, x.folder, name, &err), err);
    assert_ok(clm_path_join(path, group, "s0", &err), err);
    assert_ok(clm_array_create(path, &s, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[3]){0, 0, 0}, v, &err), err);
    clm_array_close(a);
    assert_ok(clm_ome_write_pyramid(group, CLM_FORMAT_ZARR3, name, &level, 1, NULL, &err), err);
    assert_ok(clm_image_open(group, NULL, out, &err), err);
}

static void write_transform(void) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_transform_spec s = {
        .affine = {{{1.01, 0.02, 0, 0.3}, {-0.01, 0.99, 0.005, -0.2}, {0, 0.01, 1.0, 0.7}}},
        .shape = {5, 6, 81},
        .spacing_um = {6, 4, 3.2},
        .chunk = {5, 6, 81}};
    for (int d = 0; d < 3; d++) {
        s.origin_um[d] = fixed_origin[d];
        s.fixed.shape[d] = s.moving.shape[d] = shape[d];
        s.fixed.spacing_um[d] = s.moving.spacing_um[d] = spacing[d];
        s.fixed.origin_um[d] = fixed_origin[d];
        s.moving.origin_um[d] = moving_origin[d];
    }
    assert_ok(clm_path_join(path, x.folder, "t.ome.zarr", &err), err);
    assert_ok(clm_ome_write_transform(path, &s, &err), err);
    assert_ok(clm_field_new(x.w.keep, s.shape, s.spacing_um, s.origin_um, &x.field, &err), err);
    for (int64_t i = 0; i < clm_field_count(&x.field); i++)
        for (int c = 0; c < 3; c++)
            x.field.u[c][i] = (float)(0.9 * sin(0.5 * (double)(i % 81) + c) * cos(0.8 * (double)(i / 81)));
    assert_ok(clm_transform_open(path, true, &x.transform, &err), err);
    assert_ok(clm_transform_put(&x.transform, (const int64_t[3]){0, 0, 0}, &x.field, &err), err);
}

static int set_up(void **state) {
    (void)state;
    x.w = clm_test_work(256);
    clm_test_folder(x.folder);
    write_image("fixed.ome.zarr", 0.0, fixed_origin, x.f, &x.fixed);
    write_image("moving.ome.zarr", 0.3, moving_origin, x.m, &x.moving);
    write_transform();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    clm_image_close(x.fixed);
    clm_image_close(x.moving);
    clm_transform_close(&x.transform);
    clm_test_folder_drop(x.folder);
    clm_test_work_drop(&x.w);
    return 0;
}

/* trilinear, in double; NaN outside */
static double sample(const double *v, const double y[3]) {
    double s = 0;
    int64_t lo[3];
    double t[3];
    for (int d = 0; d < 3; d++) {
        double at = (y[d] - moving_origin[d]) / spacing[d];
        if (!(at >= 0 && at <= (double)(shape[d] - 1))) return NAN;
        lo[d] = (int64_t)fmin(floor(at), (double)(shape[d] - 2));
        t[d] = at - (double)lo[d];
    }
    for (int k = 0; k < 8; k++) {
        int z = k >> 2, r = k >> 1 & 1, c = k & 1;
        s += (z ? t[0] : 1 - t[0]) * (r ? t[1] : 1 - t[1]) * (c ? t[2] : 1 - t[2]) *
             v[((lo[0] + z) * NY + lo[1] + r) * NX + lo[2] + c];
    }
    return s;
}

static void point_of(int64_t i, double p[3]) {
    const int64_t at[3] = {i / (NY * NX), i / NX % NY, i % NX};
    for (int d = 0; d < 3; d++) p[d] = fixed_origin[d] + spacing[d] * (double)at[d];
}

static double correlation(const double *f, const double *m, const int64_t *at, int64_t n) {
    long double sf = 0, sm = 0, ff = 0, mm = 0, fm = 0;
    for (int64_t i = 0; i < n; i++) sf += f[at[i]], sm += m[at[i]];
    sf /= n, sm /= n;
    for (int64_t i = 0; i < n; i++) {
        ff += (f[at[i]] - sf) * (f[at[i]] - sf);
        mm += (m[at[i]] - sm) * (m[at[i]] - sm);
        fm += (f[at[i]] - sf) * (m[at[i]] - sm);
    }
    return (double)(fm / sqrtl(ff * mm));
}

/* NCC, mean squares, local NCC of warped values */
static void slow(const double *warped, double *ncc, double *square, double *local) {
    static int64_t at[N];
    int64_t n = 0, windows = 0;
    *square = *local = 0;
    for (int64_t i = 0; i < N; i++)
        if (!isnan(warped[i])) at[n++] = i, *square += (x.f[i] - warped[i]) * (x.f[i] - warped[i]);
    *ncc = correlation(x.f, warped, at, n);
    *square /= (double)n;
    for (int64_t z = RADIUS; z < NZ - RADIUS; z++)
        for (int64_t y = RADIUS; y < NY - RADIUS; y++)
            for (int64_t c = RADIUS; c < NX - RADIUS; c++) {
                bool whole = true;
                n = 0;
                for (int64_t k = -RADIUS; k <= RADIUS; k++)
                    for (int64_t j = -RADIUS; j <= RADIUS; j++)
                        for (int64_t i = -RADIUS; i <= RADIUS; i++) {
                            at[n] = ((z + k) * NY + y + j) * NX + c + i;
                            whole = whole && !isnan(warped[at[n++]]);
                        }
                if (whole) *local += correlation(x.f, warped, at, n), windows++;
            }
    *local /= (double)windows;
}

static clm_evaluate inputs(int threads) {
    clm_evaluate e = {.fixed = x.fixed, .moving = x.moving, .transform = &x.transform, .radius_vox = RADIUS};
    e.fixed_view = clm_view_level(x.fixed, 0);
    e.moving_view = clm_view_level(x.moving, 0);
    e.threads = threads;
    return e;
}

static void images_near_plain_loops(void **state) {
    (void)state;
    static clm_similarities got, two;
    static double warped[N];
    clm_err err = CLM_ERR_NONE;
    clm_evaluate e = inputs(1);
    assert_ok(clm_evaluate_images(&e, &got, &err), err);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        double ncc, square, local, voxels = 0;
        for (int64_t i = 0; i < N; i++) {
            double p[3], y[3];
            point_of(i, p);
            memcpy(y, p, sizeof y);
            if (k == CLM_JUDGED_AFFINE) clm_affine_apply(&x.transform.affine, p, y);
            if (k == CLM_JUDGED_AFTER) clm_transform_point(&x.transform.affine, &x.field, p, y);
            warped[i] = sample(x.m, y);
            voxels += !isnan(warped[i]);
        }
        slow(warped, &ncc, &square, &local);
        assert_true(got.has[k]);
        assert_near(got.of[k].ncc.n, voxels, 0);
        assert_near(clm_ncc_value(&got.of[k].ncc), ncc, 1e-6);
        assert_near(clm_ncc_mean_square(&got.of[k].ncc) / square, 1, 1e-6);
        assert_near(clm_lncc_value(&got.of[k].lncc), local, 1e-6);
    }
    e.threads = 3;
    assert_ok(clm_evaluate_images(&e, &two, &err), err);
    assert_memory_equal(&got.of, &two.of, sizeof got.of);
}

static void map_has_the_mean(void **state) {
    (void)state;
    static clm_similarities got;
    static float v[N];
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX], array[CLM_PATH_MAX];
    clm_evaluate e = inputs(2);
    clm_array *a;
    double sum = 0, n = 0;
    assert_ok(clm_path_join(path, x.folder, "map.ome.zarr", &err), err);
    assert_ok(clm_path_join(array, path, "s0", &err), err);
    e.map = path;
    assert_ok(clm_evaluate_images(&e, &got, &err), err);
    assert_ok(clm_array_open(array, &a, &err), err);
    assert_ok(clm_array_read(a, (const int64_t[3]){0, 0, 0}, shape, v, &err), err);
    for (int64_t i = 0; i < N; i++)
        if (!isnan(v[i])) sum += (double)v[i], n += 1;
    assert_near(n, (double)got.of[CLM_JUDGED_AFTER].lncc.n, 0);
    assert_near(sum / n, clm_lncc_value(&got.of[CLM_JUDGED_AFTER].lncc), 1e-6);
    clm_array_close(a);
}

static void field_near_the_whole(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_evaluate e = inputs(2);
    clm_field_figures got;
    clm_jacobian_stats whole;
    clm_seam seam = {0};
    double sum = 0, most = 0;
    for (int d = 0; d < 3; d++) e.face_nodes[d] = d == 2 ? 27 : 0;
    assert_ok(clm_evaluate_field(&e, &x.w, &got, &err), err);
    assert_ok(clm_jacobian_measure(&x.w, &x.transform.affine, &x.field, &whole, &err), err);
    clm_seam_add(&x.field, (const int64_t[3]){0, 0, 0}, clm_box_of(x.field.shape), e.face_nodes, &seam);
    for (int64_t i = 0; i < clm_field_count(&x.field); i++) {
        double s = 0;
        for (int c = 0; c < 3; c++) s += (double)x.field.u[c][i] * (double)x.field.u[c][i];
        sum += sqrt(s), most = fmax(most, sqrt(s));
    }
    assert_int_equal(got.jacobian.cells, whole.cells);
    assert_int_equal(got.jacobian.folds, whole.folds);
    assert_near(got.jacobian.min, whole.min, 0);
    assert_near(got.jacobian.max, whole.max, 0);
    assert_near(got.jacobian.mean, whole.mean, 1e-9);
    for (int i = 0; i < 5; i++) assert_near(got.jacobian.percentile[i], whole.percentile[i], 0);
    assert_near(clm_seam_value(&got.seam), clm_seam_value(&seam), 1e-9);
    assert_near(got.displacement_mean_um, sum / (double)clm_field_count(&x.field), 1e-9);
    assert_near(got.displacement_max_um, most, 1e-9);
}

/* there and back through the inverse of the affine: the field's own displacement is what is missed, stretched */
static void loop_near_the_definition(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_evaluate e = inputs(2);
    clm_transform back = {.writable = false};
    clm_loop_figures got;
    clm_frame frame;
    double sum = 0, squares = 0, most = 0, n = 0;
    assert_ok(clm_affine_invert(&x.transform.affine, &back.affine, &err), err);
    e.inverse = &back;
    assert_ok(clm_evaluate_loop(&e, &got, &err), err);
    memcpy(frame.shape, shape, sizeof frame.shape);
    memcpy(frame.spacing, spacing, sizeof frame.spacing);
    memcpy(frame.origin, moving_origin, sizeof frame.origin);
    for (int64_t i = 0; i < clm_field_count(&x.field); i++) {
        const int64_t at[3] = {i / (6 * 81), i / 81 % 6, i % 81};
        double p[3], y[3], r[3], s = 0;
        for (int d = 0; d < 3; d++) p[d] = x.field.origin[d] + x.field.spacing[d] * (double)at[d];
        clm_transform_point(&x.transform.affine, &x.field, p, y);
        if (!clm_frame_has(&frame, y)) continue;
        clm_affine_apply(&back.affine, y, r);
        for (int d = 0; d < 3; d++) s += (r[d] - p[d]) * (r[d] - p[d]);
        sum += sqrt(s), squares += s, most = fmax(most, sqrt(s)), n += 1;
    }
    assert_near((double)got.n, n, 0);
    assert_near(got.mean, sum / n, 1e-9);
    assert_near(got.rms, sqrt(squares / n), 1e-9);
    assert_near(got.max, most, 1e-9);
    assert_true(got.p50 <= got.p95 && got.p95 <= got.p99 && got.p99 <= got.max * 1.001);
}

static void landmarks(const char *text, clm_landmarks *out, clm_code want) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    assert_ok(clm_path_join(path, x.folder, "marks.csv", &err), err);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
    if (want == CLM_OK)
        assert_ok(clm_landmarks_read(&x.w, path, out, &err), err);
    else
        assert_fails(want, clm_landmarks_read(&x.w, path, out, &err), err);
}

static void landmarks_by_name_or_place(void **state) {
    (void)state;
    clm_landmarks a, b;
    landmarks("1,2,3,4,5,6\n7 8 9 10 11 12\r\n\n", &a, CLM_OK);
    landmarks("name,mx,my,mz,fixed_x,fixed_y,Fixed_Z (um)\n\"a\",6,5,4,3,2,1\nb,12,11,10,9,8,7\n", &b,
              CLM_OK);
    assert_int_equal(a.n, 2);
    assert_int_equal(b.n, 2);
    assert_memory_equal(a.fixed, b.fixed, sizeof(double[2][3]));
    assert_memory_equal(a.moving, b.moving, sizeof(double[2][3]));
    assert_near(a.moving[1][2], 12, 0);
    landmarks("1,2,3,4,5\n", &a, CLM_E_FORMAT);
    landmarks("fz,fy,fx,mz,my\n1,2,3,4,5\n", &a, CLM_E_FORMAT);
    landmarks("# nothing\n", &a, CLM_E_NODATA);
}

static void landmark_errors(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_evaluate e = inputs(1);
    double fixed[3][3] = {{3, 4, 60}, {10, 2, 100}, {-50, 0, 0}}, moving[3][3];
    bool has[CLM_JUDGED_COUNT];
    clm_truth_error got[CLM_JUDGED_COUNT];
    for (int i = 0; i < 3; i++) clm_transform_point(&x.transform.affine, &x.field, fixed[i], moving[i]);
    moving[1][2] += 0.5;
    clm_landmarks marks = {.n = 3, .fixed = fixed, .moving = moving};
    assert_ok(clm_evaluate_landmarks(&e, &x.w, &marks, has, got, &err), err);
    assert_near(got[CLM_JUDGED_AFTER].um.median, 0, 1e-9);
    assert_near(got[CLM_JUDGED_AFTER].um.max, 0.5, 1e-9);
    assert_near(got[CLM_JUDGED_AFTER].um.mean, 0.5 / 3, 1e-9);
    assert_near(got[CLM_JUDGED_AFTER].voxels.max, 0.5 / spacing[2], 1e-9);
    double d = 0;
    for (int k = 0; k < 3; k++) d += (fixed[0][k] - moving[0][k]) * (fixed[0][k] - moving[0][k]);
    assert_true(has[CLM_JUDGED_AFFINE] && got[CLM_JUDGED_BEFORE].um.max >= sqrt(d));
}

/* the values of the moving image as labels, carried over voxel by voxel */
static void labels_near_plain_loops(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_evaluate e = inputs(2);
    static clm_label_figures got;
    clm_label_sum *row;
    static int64_t warped[N];
    e.fixed_labels = x.fixed;
    e.moving_labels = x.moving;
    e.surface_reach_um = 4.0;
    assert_ok(clm_evaluate_labels(&e, &x.w, &got, &err), err);
    for (int64_t i = 0; i < N; i++) {
        double p[3], y[3];
        int64_t at[3];
        bool in = true;
        point_of(i, p);
        clm_transform_point(&x.transform.affine, &x.field, p, y);
        for (int d = 0; d < 3; d++) {
            double t = (y[d] - moving_origin[d]) / spacing[d];
            in = in && t >= 0 && t <= (double)(shape[d] - 1);
            at[d] = (int64_t)floor(t + 0.5);
        }
        warped[i] = in ? (int64_t)x.m[(at[0] * NY + at[1]) * NX + at[2]] : 0;
    }
    assert_ok(clm_overlap_list(&got.of[CLM_JUDGED_AFTER], x.w.keep, &row, &err), err);
    int64_t off = 0;
    for (int64_t k = 0; k < got.of[CLM_JUDGED_AFTER].n; k++) {
        int64_t f = 0, m = 0, both = 0;
        for (int64_t i = 0; i < N; i++) {
            bool a = (int64_t)x.f[i] == row[k].label, b = warped[i] == row[k].label;
            f += a, m += b, both += a && b;
        }
        assert_int_equal(row[k].fixed, f);
        off += row[k].moving != m || row[k].both != both;
    }
    assert_true(off <= got.of[CLM_JUDGED_AFTER].n /
                           100); /* halfway between two voxels float and double may differ */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_near_plain_loops),    cmocka_unit_test(map_has_the_mean),
        cmocka_unit_test(field_near_the_whole),       cmocka_unit_test(loop_near_the_definition),
        cmocka_unit_test(landmarks_by_name_or_place), cmocka_unit_test(landmark_errors),
        cmocka_unit_test(labels_near_plain_loops)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
