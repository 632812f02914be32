/* For test_evaluate.c: a pair, a transform between them, and the figures by plain loops. */
#ifndef CLM_TESTS_EVALUATE_PAIR_H
#define CLM_TESTS_EVALUATE_PAIR_H

#include "collimate/job/evaluate.h"
#include "collimate/base/file.h"
#include "collimate/transform/transform.h"
#include "collimate/store/ome.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pair of small volumes, two blocks long, and a field between them; everything is measured again by plain
 * loops in double over the whole volumes. */
enum { NZ = 9, NY = 10, NX = 200, N = NZ * NY * NX, RADIUS = 2 };
static const int64_t shape[3] = {NZ, NY, NX};
static const double spacing[3] = {1.5, 1.0, 1.25}, fixed_origin[3] = {2, -1, 0.5},
                    moving_origin[3] = {1, -2, 0};

typedef struct fixture {
    char folder[CLM_PATH_MAX];
    char fixed[CLM_PATH_MAX], moving[CLM_PATH_MAX], transform[CLM_PATH_MAX], inverse[CLM_PATH_MAX];
    clm_affine affine;
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
                        char group[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
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
    assert_ok(clm_ome_write_pyramid(
                  group,
                  &(clm_pyramid_spec){.format = CLM_FORMAT_ZARR3, .name = name, .levels = &level, .n = 1},
                  &err),
              err);
}

static void write_transform(void) {
    clm_err err = CLM_ERR_NONE;
    clm_transform t;
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
    x.affine = s.affine;
    assert_ok(clm_path_join(x.transform, x.folder, "t.ome.zarr", &err), err);
    assert_ok(clm_ome_write_transform(x.transform, &s, &err), err);
    assert_ok(clm_field_new(x.w.keep, s.shape, s.spacing_um, s.origin_um, &x.field, &err), err);
    for (int64_t i = 0; i < clm_field_count(&x.field); i++)
        for (int c = 0; c < 3; c++)
            x.field.u[c][i] = (float)(0.9 * sin(0.5 * (double)(i % 81) + c) * cos(0.8 * (double)(i / 81)));
    assert_ok(clm_transform_open(x.transform, true, &t, &err), err);
    assert_ok(clm_transform_put(&t, (const int64_t[3]){0, 0, 0}, &x.field, &err), err);
    clm_transform_close(&t);
}

static void write_text(const char *name, const char *text, char path[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, x.folder, name, &err), err);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
}

static void write_affine(const char *name, const clm_affine *a, char path[CLM_PATH_MAX]) {
    char text[1024];
    int n = 0;
    for (int i = 0; i < 12; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%.17g%c", a->m[i / 4][i % 4],
                      i % 4 == 3 ? '\n' : ' ');
    write_text(name, text, path);
}

static int set_up(void **state) {
    (void)state;
    x.w = clm_test_work(256);
    clm_test_folder(x.folder);
    clm_err err = CLM_ERR_NONE;
    clm_affine back;
    write_image("fixed.ome.zarr", 0.0, fixed_origin, x.f, x.fixed);
    write_image("moving.ome.zarr", 0.3, moving_origin, x.m, x.moving);
    write_transform();
    assert_ok(clm_affine_invert(&x.affine, &back, &err), err);
    write_affine("back.txt", &back, x.inverse);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
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

static int by_value(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* the smallest value that at least this part of n does not exceed; v is sorted */
static double quantile(double *v, int64_t n, double part) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    int64_t at = (int64_t)ceil(part * (double)n) - 1;
    return v[at < 0 ? 0 : at];
}

static void range_of(const double *v, double range[2]) {
    static double copy[N];
    memcpy(copy, v, sizeof copy);
    range[0] = quantile(copy, N, 0.001), range[1] = quantile(copy, N, 0.999);
}

/* the lower of the two bins that share v; *part: what the upper one has of it */
static int bin_of(double v, const double range[2], double *part) {
    double u = fmin(63.0, fmax(0.0, 64.0 * ((v - range[0]) / (range[1] - range[0])) - 0.5));
    int lower = u < 62.0 ? (int)u : 62;
    *part = u - lower;
    return lower;
}

static double information(const double *warped) {
    static double joint[64][64];
    double f[64] = {0}, m[64] = {0}, n = 0, sum = 0, range[2][2];
    memset(joint, 0, sizeof joint);
    range_of(x.f, range[0]);
    range_of(x.m, range[1]);
    for (int64_t i = 0; i < N; i++) {
        if (isnan(warped[i])) continue;
        double p, q;
        int a = bin_of(x.f[i], range[0], &p), b = bin_of(warped[i], range[1], &q);
        for (int k = 0; k < 4; k++) joint[a + k / 2][b + k % 2] += (k / 2 ? p : 1 - p) * (k % 2 ? q : 1 - q);
        n++;
    }
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < 64; b++) f[a] += joint[a][b], m[b] += joint[a][b];
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < 64; b++)
            if (joint[a][b] > 0) sum += joint[a][b] / n * log(joint[a][b] * n / (f[a] * m[b]));
    return sum;
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

#endif
