#include "voxel_files.h"

#include <math.h>

/* NIfTI: where its headers put the voxels. */

static void put16(unsigned char *p, int x) { p[0] = (unsigned char)x, p[1] = (unsigned char)(x >> 8); }
static void putf(unsigned char *p, float x) { memcpy(p, &x, sizeof x); }

static void nifti_header(unsigned char h[352], const float sform[12], int unit) {
    memset(h, 0, 352);
    put16(h, 348);
    put16(h + 40, 3);
    put16(h + 42, NX), put16(h + 44, NY), put16(h + 46, NZ), put16(h + 48, 1);
    put16(h + 70, 512);
    put16(h + 72, 16);
    for (int i = 0; i < 4; i++) putf(h + 76 + 4 * i, 1);
    putf(h + 108, 352);
    h[123] = (unsigned char)unit;
    put16(h + 254, 1);
    for (int i = 0; i < 12; i++) putf(h + 280 + 4 * i, sform[i]);
    memcpy(h + 344, "n+1", 4);
}

static void nifti_axes(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    unsigned char h[352];
    double where[3];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    /* ITK's axes exactly: left, posterior, superior */
    nifti_header(h, (const float[]){-2, 0, 0, -10, 0, -3, 0, -20, 0, 0, 4, 30}, 3);
    write_file(path, "a.nii", h, sizeof h);
    assert_near(value_at(path, 2, 1, 3, where), 213, 0);
    assert_near(where[0], 30 + 2 * 4, 1e-6);
    assert_near(where[1], 20 + 1 * 3, 1e-6);
    assert_near(where[2], 10 + 3 * 2, 1e-6);
    /* x runs to the right: the image turns it round, each voxel keeps its place in the world */
    nifti_header(h, (const float[]){2, 0, 0, -10, 0, -3, 0, -20, 0, 0, 4, 30}, 2);
    write_file(path, "b.nii", h, sizeof h);
    assert_near(value_at(path, 2, 1, 0, where), 214, 0);
    assert_near(where[2], -(-10 + 4 * 2) * 1e3, 1e-6);
    /* the file's slow axis runs along x: axes change places */
    nifti_header(h, (const float[]){0, 0, -4, 0, -1, 0, 0, 0, 0, 1, 0, 0}, 3);
    write_file(path, "c.nii", h, sizeof h);
    assert_near(value_at(path, 1, 3, 2, where), 213, 0); /* image z = file y, y = file x, x = file z */
    assert_near(where[2], 8, 1e-6);
    nifti_header(h, (const float[]){1, 0.2f, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, 3);
    write_file(path, "d.nii", h, sizeof h);
    assert_fails(CLM_E_UNSUPPORTED, clm_image_open(path, NULL, &im, &err), err);
    assert_non_null(strstr(err.text, "oblique"));
    nifti_header(h, (const float[]){1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, 3);
    put16(h + 46, NZ + 1);
    write_file(path, "e.nii", h, sizeof h);
    assert_fails(CLM_E_FORMAT, clm_image_open(path, NULL, &im, &err), err);
    assert_non_null(strstr(err.text, "cut short"));
}

/* v turned by the unit quaternion q: q v q* */
static void turned(const double q[4], const double v[3], double out[3]) {
    const double *u = q + 1;
    double t[3], s[3]; /* t = 2 u x v; out = v + a t + u x t */
    for (int i = 0; i < 3; i++)
        t[i] = 2 * (u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3]);
    for (int i = 0; i < 3; i++) s[i] = u[(i + 1) % 3] * t[(i + 2) % 3] - u[(i + 2) % 3] * t[(i + 1) % 3];
    for (int i = 0; i < 3; i++) out[i] = v[i] + q[0] * t[i] + s[i];
}

/* A quaternion says what the matrix of its rotation says, whichever way the third axis runs; also half turns about a
 * diagonal, whose real part float32 leaves as the root of a rounding. */
static void nifti_quaternions(void **state) {
    (void)state;
    const double r = 0.70710678118654752;
    const double turn[][4] = {{1, 0, 0, 0},         {r, r, 0, 0},          {r, 0, -r, 0}, {r, 0, 0, r},
                              {0.5, 0.5, 0.5, 0.5}, {0.5, -0.5, 0.5, 0.5}, {0, 1, 0, 0},  {0, 0, 0, 1},
                              {0, r, r, 0},         {0, r, 0, -r}};
    for (size_t k = 0; k < 2 * (sizeof turn / sizeof turn[0]); k++) {
        const double *q = turn[k / 2], sign = k % 2 ? -1 : 1, pix[3] = {2, 3, 4};
        char path[2][CLM_PATH_MAX];
        unsigned char h[352];
        float sform[12];
        clm_err err = CLM_ERR_NONE;
        for (int axis = 0; axis < 3; axis++) {
            double step[3] = {0, 0, 0}, to[3];
            step[axis] = pix[axis] * (axis == 2 ? sign : 1);
            turned(q, step, to);
            for (int w = 0; w < 3; w++) sform[4 * w + axis] = (float)lround(to[w]);
        }
        sform[3] = 5, sform[7] = -6, sform[11] = 7;
        nifti_header(h, sform, 3);
        write_file(path[0], "s.nii", h, sizeof h);
        memset(h + 280, 0, 48);
        put16(h + 254, 0), put16(h + 252, 1);
        putf(h + 76, (float)sign);
        for (int i = 0; i < 3; i++) {
            putf(h + 80 + 4 * i, (float)pix[i]);
            putf(h + 256 + 4 * i, (float)q[1 + i]);
            putf(h + 268 + 4 * i, sform[4 * i + 3]);
        }
        write_file(path[1], "q.nii", h, sizeof h);
        clm_image *im[2];
        uint16_t got[2][NZ * NY * NX];
        for (int i = 0; i < 2; i++) {
            assert_ok(clm_image_open(path[i], NULL, &im[i], &err), err);
            clm_box all = clm_box_of(clm_image_info_of(im[i])->level[0].shape);
            assert_ok(clm_image_read_raw(im[i], 0, all, got[i], &err), err);
        }
        const clm_image_level *l[2] = {clm_image_info_of(im[0])->level, clm_image_info_of(im[1])->level};
        for (int d = 0; d < 3; d++) {
            assert_int_equal(l[0]->shape[d], l[1]->shape[d]);
            assert_near(l[0]->spacing_um[d], l[1]->spacing_um[d], 1e-6);
            assert_near(l[0]->origin_um[d], l[1]->origin_um[d], 1e-5);
        }
        assert_memory_equal(got[0], got[1], sizeof got[0]);
        for (int i = 0; i < 2; i++) clm_image_close(im[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nifti_axes), cmocka_unit_test(nifti_quaternions)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
