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

/* v turned by `angle` about a unit axis (Rodrigues) */
static void turn(const double axis[3], double angle, double v[3]) {
    double along = (1 - cos(angle)) * (axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]), out[3];
    for (int i = 0; i < 3; i++)
        out[i] = cos(angle) * v[i] + along * axis[i] +
                 sin(angle) * (axis[(i + 1) % 3] * v[(i + 2) % 3] - axis[(i + 2) % 3] * v[(i + 1) % 3]);
    memcpy(v, out, sizeof out);
}

/* Every kind that turns, by its definition in ITK's documentation, at a point x y z in mm. */
static void itk_turns_are_those_of_their_axes(void **state) {
    (void)state;
    static const double unit[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    const double axis[3] = {2.0 / 7, -3.0 / 7, 6.0 / 7}, angle = 1.1, at[3] = {0.7, -1.3, 2.9},
                 k[9] = {1.2, 0.8, 1.5, 0.1, -0.2, 0.3, 0.04, 0.05, -0.06};
    const double versor[3] = {sin(angle / 2) * axis[0], sin(angle / 2) * axis[1], sin(angle / 2) * axis[2]};
    const struct {
        const char *type;
        int n, scales; /* parameters; where in them k begins, 0: nowhere */
    } row[] = {{"Euler3DTransform", 6, 0},
               {"VersorRigid3DTransform", 6, 0},
               {"QuaternionRigidTransform", 7, 0},
               {"Similarity3DTransform", 7, 6},
               {"ScaleVersor3DTransform", 9, 6},
               {"ScaleSkewVersor3DTransform", 15, 6},
               {"ComposeScaleSkewVersor3DTransform", 12, 6}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        clm_itk t = {.n = row[i].n};
        clm_affine a;
        clm_err err = CLM_ERR_NONE;
        double want[3] = {at[0], at[1], at[2]}, y[3];
        (void)snprintf(t.type, sizeof t.type, "%s", row[i].type);
        memcpy(t.parameters, versor, sizeof versor);
        for (int p = row[i].scales; row[i].scales && p < row[i].n; p++)
            t.parameters[p] = k[p - row[i].scales];
        switch (i) {
        case 0:
            t.parameters[0] = 0.3, t.parameters[1] = -0.7, t.parameters[2] = 1.9;
            turn(unit[1], -0.7, want), turn(unit[0], 0.3, want), turn(unit[2], 1.9, want);
            break;
        case 2: t.parameters[3] = cos(angle / 2); /* fall through */
        case 1: turn(axis, angle, want); break;
        case 3:
            turn(axis, angle, want);
            for (int d = 0; d < 3; d++) want[d] *= k[0];
            break;
        case 4:
        case 5:
            turn(axis, angle, want);
            for (int d = 0; d < 3; d++) want[d] += (k[d] - 1) * at[d];
            if (i == 4) break;
            want[0] += k[3] * at[1] + k[4] * at[2], want[1] += k[5] * at[0] + k[6] * at[2];
            want[2] += k[7] * at[0] + k[8] * at[1];
            break;
        default:
            want[0] = k[0] * (at[0] + k[3] * at[1] + k[4] * at[2]), want[1] = k[1] * (at[1] + k[5] * at[2]);
            want[2] = k[2] * at[2];
            turn(axis, angle, want);
        }
        assert_ok(clm_itk_affine(&t, &a, &err), err);
        clm_affine_apply(&a, (const double[]){1e3 * at[2], 1e3 * at[1], 1e3 * at[0]}, y);
        for (int d = 0; d < 3; d++) assert_near(y[2 - d], 1e3 * want[d], 1e-9);
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

/* Sizes, spacings and the origin of the fixed image x y z in mm; a grid that is turned is not taken. */
static void elastix_tells_the_fixed_grid(void **state) {
    (void)state;
    static const char text[] =
        "(Transform \"TranslationTransform\")\n(TransformParameters 1 0 0)\n(Size 7 8 9)\n"
        "(Spacing 0.5 0.25 2)\n(Origin 10 -20 30)\n(Index 0 0 0)\n(Direction 1 0 0 0 1 0 0 0 %d)\n";
    for (int upright = 1; upright >= -1; upright -= 2) {
        char whole[400];
        clm_err err = CLM_ERR_NONE;
        clm_map map;
        (void)snprintf(whole, sizeof whole, text, upright);
        put("grid.txt", whole, strlen(whole));
        assert_ok(open_said("", "grid.txt", &map, &err), err);
        const clm_image_frame *f = &map.fixed;
        assert_int_equal(f->shape[0], upright > 0 ? 9 : 0);
        for (int d = 0; upright > 0 && d < 3; d++) {
            assert_int_equal(f->shape[d], 9 - d);
            assert_near(f->spacing_um[d], ((const double[]){2000, 250, 500})[d], 1e-9);
            assert_near(f->origin_um[d], ((const double[]){30e3, -20e3, 10e3})[d], 1e-9);
        }
        clm_map_close(&map);
    }
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
                                       cmocka_unit_test(itk_turns_are_those_of_their_axes),
                                       cmocka_unit_test(elastix_tells_the_fixed_grid),
                                       cmocka_unit_test(elastix_with_an_initial_transform),
                                       cmocka_unit_test(matrices_in_another_order_and_unit),
                                       cmocka_unit_test(bigstream_fields),
                                       cmocka_unit_test(prototype_positions),
                                       cmocka_unit_test(janelia_fields)};
    return cmocka_run_group_tests(tests, begin, end);
}
