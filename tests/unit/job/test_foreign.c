/* Transforms of other programs: what their files say is done to points. scripts/interop asks the programs. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/transform/foreign.h"
#include "collimate/transform/itk.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { Z = 4, Y = 5, X = 6, NODES = Z * Y * X };

static clm_work work;
static char folder[CLM_PATH_MAX];
static const double spacing[3] = {4, 3, 2};
static float u[3][NODES]; /* z y x */

static int begin(void **state) {
    (void)state;
    work = clm_test_work(16);
    clm_test_folder(folder);
    for (uint64_t i = 0; i < 3 * NODES; i++) u[i / NODES][i % NODES] = (float)clm_rng_normal(1, 0, i);
    return 0;
}
static int end(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static const char *at(const char *name) {
    static char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    return path;
}

static void put(const char *name, const void *bytes, size_t n) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_file_publish(at(name), bytes, n, false, &err), err);
}

/* PREFIX and the file called name, opened */
static bool open_said(const char *prefix, const char *name, clm_map *map, clm_err *err) {
    char text[2 * CLM_PATH_MAX];
    const char *path = text;
    (void)snprintf(text, sizeof text, "%s%s/%s", prefix, folder, name);
    return clm_map_open(&path, 1, 0, map, err);
}

static void goes_to(const char *prefix, const char *name, const double x[3], const double want[3],
                    double tolerance) {
    clm_err err = CLM_ERR_NONE;
    clm_map map;
    double y[1][3];
    uint8_t flags;
    memcpy(y[0], x, sizeof y[0]);
    assert_ok(open_said(prefix, name, &map, &err), err);
    assert_ok(clm_map_points(&map, &work, 1, y, &flags, &err), err);
    for (int d = 0; d < 3; d++) assert_near(y[0][d], want[d], tolerance);
    clm_map_close(&map);
}

static void refused(clm_code code, const char *prefix, const char *name, const char *says) {
    clm_err err = CLM_ERR_NONE;
    clm_map map;
    assert_fails(code, open_said(prefix, name, &map, &err), err);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

/* a quarter turn about z, x to y, about the point x 1 y 2 z 3 mm, then 0.5 mm along z */
#define QUARTER "0 0 1.5707963267948966 0 0 0.5"

static void itk_text(void **state) {
    (void)state;
    static const char euler[] =
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: Euler3DTransform_double_3_3\nParameters: " QUARTER "\nFixedParameters: 1 2 3 0\n";
    put("euler.tfm", euler, strlen(euler));
    goes_to("", "euler.tfm", (const double[]){0, 2000, 2000}, (const double[]){500, 3000, 1000}, 1e-9);
    goes_to("inverse:", "euler.tfm", (const double[]){500, 3000, 1000}, (const double[]){0, 2000, 2000},
            1e-9);
    /* of a composite the last goes first: doubled, then moved */
    static const char both[] = "#Insight Transform File V1.0\n#Transform 0\n"
                               "Transform: CompositeTransform_double_3_3\n#Transform 1\n"
                               "Transform: TranslationTransform_double_3_3\nParameters: 1 0 0\r\n"
                               "FixedParameters: \n#Transform 2\nTransform: ScaleTransform_double_3_3\n"
                               "Parameters: 2 2 2\nFixedParameters: 0 0 0\n";
    put("both.txt", both, strlen(both));
    goes_to("", "both.txt", (const double[]){1, 2, 3}, (const double[]){2, 4, 1006}, 1e-9);
    static const struct {
        const char *text, *says;
        clm_code code;
    } bad[] = {{"Transform: BSplineTransform_double_3_3\nParameters: 1\nFixedParameters: 0 0 0\n",
                "BSplineTransform is no affine", CLM_E_UNSUPPORTED},
               {"Transform: Euler2DTransform_double_2_2\nParameters: 0 0 0\n", "three dimensions",
                CLM_E_UNSUPPORTED},
               {"Transform: AffineTransform_double_3_3\nParameters: 1 0 0\nFixedParameters: 0 0 0\n",
                "12 parameters", CLM_E_FORMAT},
               {"Transform: AffineTransform_double_3_3\nParameters: 1 zero\n", "\"zero\" is not a number",
                CLM_E_FORMAT},
               {"Transform: TranslationTransform_double_3_3\nParameters: 1 0 0\n"
                "Transform: TranslationTransform_double_3_3\nParameters: 1 0 0\n",
                "no CompositeTransform", CLM_E_UNSUPPORTED},
               {"", "no transform in it", CLM_E_FORMAT}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "#Insight Transform File V1.0\n%s", bad[i].text);
        put("bad.tfm", text, strlen(text));
        refused(bad[i].code, "", "bad.tfm", bad[i].says);
    }
}

static void itk_files_return_what_was_written(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf text = {0}, matlab = {0};
    clm_affine a;
    const double x[3] = {123, -45, 6789};
    double want[3];
    for (uint64_t i = 0; i < 12; i++) a.m[i / 4][i % 4] = clm_rng_normal(2, 0, i) * (i % 4 == 3 ? 500 : 1);
    assert_ok(clm_itk_text_of(&a, &text, &err), err);
    assert_ok(clm_itk_matlab_of(&a, &matlab, &err), err);
    clm_affine_apply(&a, x, want);
    put("a.txt", text.data, text.n);
    goes_to("", "a.txt", x, want, 1e-9);
    put("a.mat", matlab.data, matlab.n);
    goes_to("", "a.mat", x, want, 1e-9);
    for (size_t n = 30; n < matlab.n; n += 9) { /* cut anywhere: told, never taken */
        put("cut.mat", matlab.data, n);
        refused(CLM_E_FORMAT, "", "cut.mat", "damaged or cut short");
    }
    clm_buf_free(&text);
    clm_buf_free(&matlab);
}

static void elastix_with_an_initial_transform(void **state) {
    (void)state;
    static const char first[] = "(Transform \"TranslationTransform\")\n(NumberOfParameters 3)\n"
                                "(TransformParameters 1 0 0)\n"
                                "(InitialTransformParametersFileName \"NoInitialTransform\")\n",
                      second[] =
                          "// comment\n(Transform \"EulerTransform\")\n(TransformParameters " QUARTER ")\n"
                          "(InitialTransformParametersFileName \"/elsewhere/first.txt\")\n"
                          "(HowToCombineTransforms \"Compose\")\n(FixedImageDimension 3)\n"
                          "(CenterOfRotationPoint 1 2 3)\n(ComputeZYX \"false\")\n",
                      spline[] = "(Transform \"BSplineTransform\")\n(TransformParameters 1 0 0)\n",
                      loop[] = "(Transform \"TranslationTransform\")\n(TransformParameters 1 0 0)\n"
                               "(InitialTransformParametersFileName \"loop.txt\")\n";
    put("first.txt", first, strlen(first));
    put("second.txt", second, strlen(second));
    put("spline.txt", spline, strlen(spline));
    put("loop.txt", loop, strlen(loop));
    goes_to("", "second.txt", (const double[]){0, 2000, 1000}, (const double[]){500, 3000, 1000}, 1e-9);
    refused(CLM_E_UNSUPPORTED, "", "spline.txt", "elastix BSplineTransform is no affine");
    refused(CLM_E_FORMAT, "", "loop.txt", "initial transforms");
    /* a file that is there, but not beside: nothing leads out of the folder */
    char far[CLM_PATH_MAX], text[2 * CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(far, folder, "far", &err) && clm_folder_make(far, &err), err);
    put("far/only.txt", first, strlen(first));
    (void)snprintf(text, sizeof text,
                   "(Transform \"TranslationTransform\")\n(TransformParameters 1 0 0)\n"
                   "(InitialTransformParametersFileName \"%s/only.txt\")\n",
                   far);
    put("led.txt", text, strlen(text));
    refused(CLM_E_NOTFOUND, "", "led.txt", "the initial transform");
}

static void matrices_in_another_order_and_unit(void **state) {
    (void)state;
    static const char text[] = "1 2 0 7\n0 1 0 8\n0 0 1 9\n";
    put("m.txt", text, strlen(text));
    goes_to("", "m.txt", (const double[]){1, 1, 1}, (const double[]){10, 9, 10}, 0);
    goes_to("xyz:", "m.txt", (const double[]){1, 1, 1}, (const double[]){10, 9, 10}, 0);
    goes_to("xyz:", "m.txt", (const double[]){5, 1, 0}, (const double[]){14, 9, 9}, 0);
    goes_to("xyz:unit=mm:", "m.txt", (const double[]){5, 1, 0}, (const double[]){9005, 8001, 7002}, 0);
    refused(CLM_E_ARG, "unit=bananas:", "m.txt", "no length");
    refused(CLM_E_ARG, "spacing=1,2:", "m.txt", "Z,Y,X");
}

/* ---- fields ---- */

static void make(const char *name, const clm_array_spec *spec, const void *data, const char *attributes) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v = NULL;
    clm_array *a;
    clm_array_spec s = *spec;
    assert_ok(clm_json_parse(attributes, strlen(attributes), "attributes", &v, &err), err);
    s.attributes = v;
    memcpy(s.chunk, s.shape, sizeof s.chunk);
    assert_ok(clm_array_create(at(name), &s, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0, 0}, data, &err), err);
    clm_array_close(a);
    clm_json_free(v);
}

static const int64_t node_at[3] = {2, 3, 1};
static int64_t node(void) { return (node_at[0] * Y + node_at[1]) * X + node_at[2]; }
/* the node's place, and where the field alone takes it */
static void node_goes(const double origin[3], double x[3], double y[3]) {
    for (int d = 0; d < 3; d++) {
        x[d] = origin[d] + spacing[d] * (double)node_at[d];
        y[d] = x[d] + (double)u[d][node()];
    }
}

static void bigstream_fields(void **state) {
    (void)state;
    static float last[NODES * 3], xyz[NODES * 3];
    static const double zero[3] = {0, 0, 0}, moved[3] = {100, -50, 7};
    double x[3], y[3];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < NODES; i++) last[3 * i + c] = xyz[3 * i + 2 - c] = u[c][i];
    clm_array_spec s = {.format = CLM_FORMAT_ZARR2, .ndim = 4, .shape = {Z, Y, X, 3}, .dtype = CLM_F32};
    make("told.zarr", &s, last, "{\"pixelResolution\": [1,1,1.5,2], \"downsamplingFactors\": [1,2,2,2]}");
    make("bare.zarr", &s, last, "{}");
    make("xyz.zarr", &s, xyz, "{}");
    s.format = CLM_FORMAT_N5;
    make("told.n5/s2", &s, last, "{\"pixelResolution\": [2,3,4]}");
    node_goes(zero, x, y);
    goes_to("", "told.zarr", x, y, 1e-6);
    goes_to("", "told.n5/s2", x, y, 1e-6);
    goes_to("spacing=4,3,2:", "bare.zarr", x, y, 1e-6);
    goes_to("xyz:spacing=4,3,2:", "xyz.zarr", x, y, 1e-6);
    node_goes(moved, x, y);
    goes_to("origin=100,-50,7:spacing=4,3,2:", "bare.zarr", x, y, 1e-6);
    refused(CLM_E_ARG, "", "bare.zarr", "spacing=Z,Y,X:");
    const clm_array_spec image = {
        .format = CLM_FORMAT_ZARR2, .ndim = 3, .shape = {Z, Y, X}, .dtype = CLM_F32};
    make("image.zarr", &image, u[0], "{}");
    refused(CLM_E_FORMAT, "", "image.zarr", "no field of displacements");
}

static void prototype_positions(void **state) {
    (void)state;
    static float to[3][NODES];
    static const double zero[3] = {0, 0, 0};
    double x[3], y[3];
    const clm_array_spec s = {.format = CLM_FORMAT_N5, .ndim = 3, .shape = {Z, Y, X}, .dtype = CLM_F32};
    for (int i = 0; i < NODES; i++) {
        const int64_t k[3] = {i / (Y * X), i / X % Y, i % X};
        for (int d = 0; d < 3; d++) to[d][i] = (float)(spacing[d] * (double)k[d]) + u[d][i];
    }
    make("p.n5/c0/s2", &s, to[2], "{}");
    make("p.n5/c1/s2", &s, to[1], "{}");
    refused(CLM_E_NOTFOUND, "spacing=4,3,2:", "p.n5", "c2");
    make("p.n5/c2/s2", &s, to[0], "{}");
    node_goes(zero, x, y);
    goes_to("spacing=4,3,2:", "p.n5", x, y, 1e-5);
    goes_to("spacing=4,3,2:", "p.n5/s2", x, y, 1e-5);
    make("p.n5/c0/s3", &s, to[2], "{}");
    refused(CLM_E_ARG, "spacing=4,3,2:", "p.n5", "several scales: s2 s3");
}

static void janelia_fields(void **state) {
    (void)state;
    static int16_t q[NODES * 3];
    static const double origin[3] = {30, 20, 10};
    double x[3], y[3], z[3];
    for (int c = 0; c < 3; c++) /* x first */
        for (int i = 0; i < NODES; i++) q[3 * i + 2 - c] = (int16_t)lrint((double)u[c][i] / 1e-3);
    const clm_array_spec s = {.format = CLM_FORMAT_N5, .ndim = 4, .shape = {Z, Y, X, 3}, .dtype = CLM_I16};
    static const char told[] =
        "{\"spacing\": [2,3,4], \"offset\": [10,20,30], \"quantization_multiplier\": 0.001,"
        " \"affine\": [1,0.5,0,1, 0,1,0,2, 0,0,1,3]}";
    make("j.n5/dfield", &s, q, told);
    make("j.n5/invdfield", &s, q, told);
    node_goes(origin, x, y);
    const double want[3] = {y[0] + 3, y[1] + 2, y[2] + 0.5 * y[1] + 1};
    goes_to("", "j.n5", x, want, 1e-3);
    goes_to("", "j.n5/dfield", x, want, 1e-3);
    /* of the inverse the affine goes first */
    z[0] = x[0] - 3, z[1] = x[1] - 2, z[2] = x[2] - 1 - 0.5 * z[1];
    goes_to("", "j.n5/invdfield", z, y, 1e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(itk_text),
                                       cmocka_unit_test(itk_files_return_what_was_written),
                                       cmocka_unit_test(elastix_with_an_initial_transform),
                                       cmocka_unit_test(matrices_in_another_order_and_unit),
                                       cmocka_unit_test(bigstream_fields),
                                       cmocka_unit_test(prototype_positions),
                                       cmocka_unit_test(janelia_fields)};
    return cmocka_run_group_tests(tests, begin, end);
}
