#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/store/node.h"
#include "collimate/transform/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Stores are written as text, in a folder of the test's own; what points should become is worked out here by hand or
 * by a few lines of arithmetic that know nothing of the code. */

static void put_group(const char *path, const char *attributes) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v;
    assert_ok(clm_json_parse(attributes, strlen(attributes), "test", &v, &err), err);
    assert_ok(clm_folder_make(path, &err), err);
    assert_ok(clm_node_make_group(path, CLM_FORMAT_ZARR3, v, &err), err);
    clm_json_free(v);
}

static void put_array(const char *path, clm_dtype type, int ndim, const int64_t *shape, const void *data) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a;
    clm_array_spec spec = {.format = CLM_FORMAT_ZARR3, .ndim = ndim, .dtype = type, .codec = "none"};
    const int64_t first[CLM_DIMS_MAX] = {0};
    memcpy(spec.shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(spec.chunk, shape, (size_t)ndim * sizeof *shape);
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, first, data, &err), err);
    clm_array_close(a);
}

#define AXES1 "{\"name\":\"x\",\"type\":\"space\"}"
#define AXES2 "{\"name\":\"y\",\"type\":\"space\"}," AXES1
#define AXES3 "{\"name\":\"z\",\"type\":\"space\"}," AXES2
static const char *const axes_of[4] = {"", AXES1, AXES2, AXES3};

/* a scene of two systems "in" and "out" and one transformation between them */
static const char *one_scene(int n_in, int n_out, const char *transformation) {
    static char store[CLM_PATH_MAX], text[8192];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(store, folder, "one.zarr", &err), err);
    (void)snprintf(
        text, sizeof text,
        "{\"ome\":{\"version\":\"0.6\",\"scene\":{\"coordinateSystems\":[{\"name\":\"in\",\"axes\":[%s]},"
        "{\"name\":\"out\",\"axes\":[%s]}],\"coordinateTransformations\":[{\"input\":{\"name\":\"in\"},"
        "\"output\":{\"name\":\"out\"},%s}]}}}",
        axes_of[n_in], axes_of[n_out], transformation);
    put_group(store, text);
    return store;
}

static void is_point(const double *got, const double *want, int n, double tolerance) {
    for (int d = 0; d < n; d++) assert_near(got[d], want[d], tolerance);
}

static bool go(const char *store, const char *from, const char *to, double *x, int *n_out, clm_err *err) {
    clm_graph *s = NULL;
    clm_route way;
    int a, b;
    bool ok = clm_graph_open(store, NULL, &s, err) && clm_graph_find(s, from, &a, err) &&
              clm_graph_find(s, to, &b, err) && clm_graph_route(s, a, b, &way, err) &&
              clm_route_apply(&way, x, err);
    if (ok && n_out) *n_out = clm_route_out(s, &way, clm_route_in(s, &way));
    clm_graph_close(s);
    return ok;
}

typedef struct kind {
    const char *v;
    int n_in, n_out;
    double x[3], y[3];
    const char *closed; /* why there is no way back; NULL: there is */
} kind;

static const kind kinds[] = {
    {"\"type\":\"identity\"", 2, 2, {1, 2}, {1, 2}, NULL},
    {"\"type\":\"scale\",\"scale\":[10,-0.5,3]", 3, 3, {1, 2, 3}, {10, -1, 9}, NULL},
    {"\"type\":\"scale\",\"scale\":[10,0]", 2, 2, {1, 2}, {10, 0}, "by 0"},
    {"\"type\":\"translation\",\"translation\":[10,-0.5]", 2, 2, {1, 2}, {11, 1.5}, NULL},
    {"\"type\":\"mapAxis\",\"mapAxis\":[2,0,1]", 3, 3, {1, 2, 3}, {3, 1, 2}, NULL},
    {"\"type\":\"mapAxis\",\"mapAxis\":{\"y\":\"x\",\"x\":\"y\"}", 2, 2, {1, 2}, {2, 1}, NULL},
    {"\"type\":\"projectAxis\",\"droppedInputs\":[0],\"createdOutputs\":[1]", 2, 2, {1, 2}, {2, 0}, "drops"},
    {"\"type\":\"projectAxis\",\"createdOutputs\":[0]", 2, 3, {1, 2}, {0, 1, 2}, NULL},
    {"\"type\":\"affine\",\"affine\":[[1,2,3],[0,4,5]]", 2, 2, {1, 2}, {8, 13}, NULL},
    {"\"type\":\"affine\",\"affine\":[[1,2,3],[0,4,5],[0,0,1]]", 2, 2, {1, 2}, {8, 13}, NULL},
    {"\"type\":\"affine\",\"affine\":[1,2,3,0,4,5]", 2, 2, {1, 2}, {8, 13}, NULL},
    {"\"type\":\"affine\",\"affine\":[[1,2,3],[2,4,5]]", 2, 2, {1, 2}, {8, 15}, "no inverse"},
    {"\"type\":\"affine\",\"affine\":[[1,0,0],[0,1,0],[1,1,7]]", 2, 3, {1, 2}, {1, 2, 10}, "not square"},
    {"\"type\":\"rotation\",\"rotation\":[[0,-1],[1,0]]", 2, 2, {1, 2}, {-2, 1}, NULL},
    {"\"type\":\"sequence\",\"transformations\":[]", 2, 2, {1, 2}, {1, 2}, NULL},
    {"\"type\":\"sequence\",\"transformations\":[{\"type\":\"scale\",\"scale\":[2,3]},{\"type\":\"translation\","
     "\"translation\":[1,1]},{\"type\":\"sequence\",\"transformations\":[{\"type\":\"mapAxis\",\"mapAxis\":[1,0]}]}]",
     2,
     2,
     {1, 2},
     {7, 3},
     NULL},
    {"\"type\":\"bijection\",\"forward\":{\"type\":\"translation\",\"translation\":[1,2]},\"inverse\":{\"type\":"
     "\"translation\",\"translation\":[-1,-2]}",
     2,
     2,
     {1, 2},
     {2, 4},
     NULL},
    {"\"type\":\"inverseOf\",\"transformation\":{\"type\":\"scale\",\"scale\":[2,4]}",
     2,
     2,
     {1, 2},
     {0.5, 0.5},
     NULL},
    {"\"type\":\"byDimension\",\"transformations\":[{\"transformation\":{\"type\":\"rotation\",\"rotation\":[[0,-1],[1,0]]},"
     "\"inputAxes\":[2,0],\"outputAxes\":[0,1]},{\"transformation\":{\"type\":\"scale\",\"scale\":[5]},\"inputAxes\":[1],"
     "\"outputAxes\":[2]}]",
     3,
     3,
     {1, 2, 3},
     {-1, 3, 10},
     NULL},
    {"\"type\":\"byDimension\",\"transformations\":[{\"type\":\"scale\",\"scale\":[5],\"input_axes\":[1],\"output_axes\":[0]},"
     "{\"type\":\"identity\",\"input_axes\":[0],\"output_axes\":[1]}]",
     2,
     2,
     {1, 2},
     {10, 1},
     NULL},
    {"\"type\":\"byDimension\",\"transformations\":[{\"type\":\"identity\",\"input\":[\"y\"],\"output\":[\"x\"]},"
     "{\"type\":\"identity\",\"input\":[\"y\"],\"output\":[\"y\"]}]",
     2,
     2,
     {1, 2},
     {1, 1},
     "twice"},
};

static void each_kind_goes_forth_and_back_as_said(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const kind *k = &kinds[i];
        clm_err err = CLM_ERR_NONE;
        const char *store = one_scene(k->n_in, k->n_out, k->v);
        double x[CLM_DIMS_MAX] = {k->x[0], k->x[1], k->x[2]};
        int n;
        assert_ok(go(store, "in", "out", x, &n, &err), err);
        assert_int_equal(n, k->n_out);
        is_point(x, k->y, k->n_out, 1e-12);
        if (k->closed) {
            assert_fails(CLM_E_ARG, go(store, "out", "in", x, &n, &err), err);
            if (!strstr(err.text, k->closed))
                fail_msg("%s: \"%s\" does not say %s", k->v, err.text, k->closed);
            continue;
        }
        assert_ok(go(store, "out", "in", x, &n, &err), err);
        is_point(x, k->x, k->n_in, 1e-12);
    }
}

/* an inverse that is given is taken, even one that is none */
static void a_bijection_goes_back_by_its_own_inverse(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *store =
        one_scene(1, 1,
                  "\"type\":\"bijection\",\"forward\":{\"type\":\"scale\",\"scale\":[2]},\"inverse\":{"
                  "\"type\":\"translation\",\"translation\":[100]}");
    double x[CLM_DIMS_MAX] = {1};
    assert_ok(go(store, "out", "in", x, NULL, &err), err);
    assert_near(x[0], 101, 0);
}

static void numbers_may_lie_in_an_array(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *store = one_scene(2, 2, "\"type\":\"affine\",\"path\":\"numbers/matrix\"");
    char path[CLM_PATH_MAX];
    const double m[2][3] = {{1, 2, 3}, {0, 4, 5}};
    assert_ok(clm_path_join(path, store, "numbers/matrix", &err), err);
    put_array(path, CLM_F64, 2, (int64_t[]){2, 3}, m);
    double x[CLM_DIMS_MAX] = {1, 2};
    assert_ok(go(store, "in", "out", x, NULL, &err), err);
    is_point(x, ((double[]){8, 13}), 2, 1e-12);
    store = one_scene(2, 2, "\"type\":\"affine\",\"path\":\"../../etc\"");
    assert_fails(CLM_E_FORMAT, go(store, "in", "out", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "out of the store"));
}

/* ---- fields ---- */

/* Both are examples of the specification. */
static void fields_may_leave_the_component_axis_out(void **state) {
    (void)state;
    static const char *const line =
        "\"type\":\"coordinates\",\"path\":\"line\",\"interpolation\":\"nearest\"";
    static const char *const plane = "\"type\":\"displacements\",\"path\":\"plane\"";
    const double positions[3] = {-9, 9, 0};
    const double in[5] = {-7, 0.4, 0.5, 1.4, 9}, out[5] = {-9, -9, 9, 9, 0};
    double u[2 * 2 * 3];
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    int n = 0;
    const char *store = one_scene(1, 1, line);
    assert_ok(clm_path_format(path, &err, "%s/line", store), err);
    put_array(path, CLM_F64, 1, (int64_t[]){3}, positions);
    for (int i = 0; i < 5; i++) {
        double x[CLM_DIMS_MAX] = {in[i]};
        assert_ok(go(store, "in", "out", x, &n, &err), err);
        assert_near(x[0], out[i], 0.0);
    }
    store = one_scene(2, 2,
                      plane); /* u = (y, 10 x) at nodes 2 and 5 apart; the scale has no number for u itself */
    for (int i = 0; i < 6; i++) u[i] = 2.0 * (i / 3), u[6 + i] = 50.0 * (i % 3);
    assert_ok(clm_path_format(path, &err, "%s/plane", store), err);
    put_group(
        path,
        "{\"ome\":{\"version\":\"0.6\",\"multiscales\":[{\"coordinateSystems\":[{\"name\":\"p\",\"axes\":["
        "{\"name\":\"d\",\"type\":\"displacement\"}," AXES2 "]}],\"datasets\":[{\"path\":\"s0\","
        "\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[2,5],\"output\":{\"name\":\"p\"}}"
        "]}]}]}}");
    assert_ok(clm_path_format(path, &err, "%s/plane/s0", store), err);
    put_array(path, CLM_F64, 3, (int64_t[]){2, 2, 3}, u);
    double x[CLM_DIMS_MAX] = {1.5, 7.0};
    assert_ok(go(store, "in", "out", x, &n, &err), err);
    assert_near(x[0], 3.0, 1e-12);
    assert_near(x[1], 77.0, 1e-12);
}

enum { ROWS = 5, COLUMNS = 7 };
static const double step[2] = {2, 0.5}, first[2] = {-3, 10};

static double wave(int c, double y, double x) { return c ? 0.3 * sin(0.4 * y + x) : 0.2 * cos(0.3 * y - x); }

/* u on the lattice; last: components after space. positions: where nodes go to instead */
static const char *field_scene(bool last, bool positions, const char *interpolation) {
    char text[512], path[CLM_PATH_MAX], name[16];
    (void)snprintf(name, sizeof name, "field%d%d", last, positions);
    float u[ROWS * COLUMNS * 2];
    clm_err err = CLM_ERR_NONE;
    (void)snprintf(text, sizeof text, "\"type\":\"%s\",\"path\":\"%s\",\"interpolation\":\"%s\"",
                   positions ? "coordinates" : "displacements", name, interpolation);
    const char *store = one_scene(2, 2, text);
    const char *vector =
        positions ? "{\"name\":\"d\",\"type\":\"coordinate\"}" : "{\"name\":\"d\",\"type\":\"displacement\"}";
    assert_ok(clm_path_join(path, store, name, &err), err);
    char meta[1024];
    (void)snprintf(
        meta, sizeof meta,
        "{\"ome\":{\"version\":\"0.6\",\"multiscales\":[{\"coordinateSystems\":[{\"name\":\"p\",\"axes\":[%s%s%s%s%s]}],"
        "\"datasets\":[{\"path\":\"s0\",\"coordinateTransformations\":[{\"type\":\"sequence\",\"input\":{\"path\":\"s0\"},"
        "\"output\":{\"name\":\"p\"},\"transformations\":[{\"type\":\"scale\",\"scale\":%s},{\"type\":\"translation\","
        "\"translation\":%s}]}]}]}]}}",
        last ? "" : vector, last ? "" : ",", AXES2, last ? "," : "", last ? vector : "",
        last ? "[2,0.5,1]" : "[1,2,0.5]", last ? "[-3,10,0]" : "[0,-3,10]");
    put_group(path, meta);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            for (int c = 0; c < 2; c++) {
                double y = first[0] + step[0] * i, x = first[1] + step[1] * j;
                double v = wave(c, y, x) + (positions ? (c ? x : y) : 0.0);
                u[last ? (i * COLUMNS + j) * 2 + c : (c * ROWS + i) * COLUMNS + j] = (float)v;
            }
    assert_ok(clm_path_format(path, &err, "%s/%s/s0", store, name), err);
    put_array(path, CLM_F32, 3, last ? (int64_t[]){ROWS, COLUMNS, 2} : (int64_t[]){2, ROWS, COLUMNS}, u);
    return store;
}

/* the four nodes around, each by its share; the border's value beyond them */
static void bilinear(double y, double x, double out[2]) {
    double v = fmin(fmax((y - first[0]) / step[0], 0), ROWS - 1),
           w = fmin(fmax((x - first[1]) / step[1], 0), COLUMNS - 1);
    int i = (int)fmin(floor(v), ROWS - 2), j = (int)fmin(floor(w), COLUMNS - 2);
    for (int c = 0; c < 2; c++) {
        out[c] = c ? x : y;
        for (int k = 0; k < 4; k++) {
            int r = i + k / 2, q = j + k % 2;
            double share = (k / 2 ? v - i : 1 - v + i) * (k % 2 ? w - j : 1 - w + j);
            out[c] += share * wave(c, first[0] + step[0] * r, first[1] + step[1] * q);
        }
    }
}

static void fields_in_any_axis_order_and_back(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        clm_err err = CLM_ERR_NONE;
        bool positions = k >= 2;
        const char *store = field_scene(k % 2, positions, "linear");
        for (uint64_t i = 0; i < 50; i++) {
            /* positions say nothing beyond their nodes */
            double margin = positions ? 0.0 : 3.0, p[2], want[2];
            p[0] = first[0] - margin + (8 + 2 * margin) * clm_rng_uniform(1, 0, i);
            p[1] = first[1] - margin + (3 + 2 * margin) * clm_rng_uniform(1, 1, i);
            double x[CLM_DIMS_MAX] = {p[0], p[1]};
            bilinear(p[0], p[1], want);
            assert_ok(go(store, "in", "out", x, NULL, &err), err);
            is_point(x, want, 2, 2e-6);
            assert_ok(go(store, "out", "in", x, NULL, &err), err);
            is_point(x, p, 2, 1e-6);
        }
    }
}

static void nearest_and_cubic_fields_hold_at_nodes(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    for (int k = 0; k < 2; k++) {
        const char *store = field_scene(false, false, k ? "cubic" : "nearest");
        for (int i = 0; i < ROWS * COLUMNS; i++) {
            double y = first[0] + step[0] * (i / COLUMNS), x = first[1] + step[1] * (i % COLUMNS);
            double p[CLM_DIMS_MAX] = {y + (k ? 0 : 0.9), x - (k ? 0 : 0.2)};
            double want[2] = {p[0] + wave(0, y, x), p[1] + wave(1, y, x)};
            assert_ok(go(store, "in", "out", p, NULL, &err), err);
            is_point(p, want, 2, 1e-5);
        }
    }
    /* between nodes a smooth field is nearer to the truth by the spline than by lines */
    double far[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        const char *store = field_scene(false, false, k ? "bspline-cubic" : "linear");
        for (int i = 0; i < 20; i++) {
            double y = 0.3 + 0.1 * i, x = 11 + 0.05 * i, p[CLM_DIMS_MAX] = {y, x};
            assert_ok(go(store, "in", "out", p, NULL, &err), err);
            far[k] += fabs(p[0] - y - wave(0, y, x)) + fabs(p[1] - x - wave(1, y, x));
        }
    }
    assert_true(far[1] < 0.5 * far[0]);
    double x[CLM_DIMS_MAX] = {0, 11};
    assert_fails(CLM_E_ARG, go(field_scene(false, false, "nearest"), "out", "in", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "nearest"));
}

/* ---- graphs ---- */

static const char *two_images(void) {
    static char store[CLM_PATH_MAX];
    char path[CLM_PATH_MAX], text[1024];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(store, folder, "two.zarr", &err), err);
    put_group(
        store,
        "{\"ome\":{\"version\":\"0.6\",\"scene\":{\"coordinateTransformations\":[{\"type\":\"translation\","
        "\"translation\":[100,200],\"input\":{\"path\":\"a\",\"name\":\"physical\"},\"output\":{\"path\":\"b\","
        "\"name\":\"world\"}}]}}}");
    for (int k = 0; k < 2; k++) {
        assert_ok(clm_path_join(path, store, k ? "b" : "a", &err), err);
        (void)snprintf(
            text, sizeof text,
            "{\"ome\":{\"version\":\"0.6\",\"multiscales\":[{\"coordinateSystems\":[{\"name\":\"physical\",\"axes\":["
            "%s]}%s%s%s],\"datasets\":[{\"path\":\"s0\",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":"
            "[%d,2],\"input\":{\"path\":\"s0\"},\"output\":{\"name\":\"physical\"}}]}]%s}]}}",
            AXES2, k ? ",{\"name\":\"world\",\"axes\":[" : "", k ? AXES2 : "", k ? "]}" : "", k ? 4 : 3,
            k ? ",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[0.5,0.5],\"input\":{\"name\":"
                "\"physical\"},\"output\":{\"name\":\"world\"}}]"
              : "");
        put_group(path, text);
    }
    return store;
}

static void a_way_leads_through_images_and_pyramids(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    const char *store = two_images();
    static const char *const names[][2] = {
        {"a/s0", "b/s0"}, {"a", "b#world"}, {"a#physical", "b"}, {"b/s0", "a/s0"}};
    static const double from[][2] = {{2, 2}, {1, 2}, {1, 2}, {1, 2}};
    static const double want[][2] = {{53, 204}, {101, 202}, {202, 404}, {-98 / 3.0, -99}};
    for (int i = 0; i < 4; i++) {
        double x[CLM_DIMS_MAX] = {from[i][0], from[i][1]};
        assert_ok(go(store, names[i][0], names[i][1], x, NULL, &err), err);
        is_point(x, want[i], 2, 1e-12);
    }
    double x[CLM_DIMS_MAX] = {0};
    assert_fails(CLM_E_ARG, go(store, "physical", "b", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "a#physical"));
    assert_fails(CLM_E_ARG, go(store, "a", "nowhere", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "b#world"));
}

static void the_shorter_way_is_taken_and_a_wrong_one_left(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char store[CLM_PATH_MAX];
    assert_ok(clm_path_join(store, folder, "ring.zarr", &err), err);
    put_group(store, "{\"ome\":{\"version\":\"0.6\",\"scene\":{\"coordinateTransformations\":["
                     "{\"type\":\"scale\",\"scale\":[2],\"input\":\"a\",\"output\":\"b\"},"
                     "{\"type\":\"scale\",\"scale\":[3],\"input\":\"b\",\"output\":\"c\"},"
                     "{\"type\":\"unheard-of\",\"input\":\"a\",\"output\":\"c\"},"
                     "{\"type\":\"scale\",\"scale\":[7],\"input\":\"c\",\"output\":\"d\"},"
                     "{\"type\":\"scale\",\"scale\":[5],\"input\":\"d\",\"output\":\"a\"},"
                     "{\"type\":\"unheard-of\",\"input\":\"d\",\"output\":\"e\"},"
                     "{\"type\":\"identity\",\"input\":\"f\",\"output\":\"g\"}]}}}");
    double x[CLM_DIMS_MAX] = {1};
    assert_ok(go(store, "a", "c", x, NULL, &err), err);
    assert_near(x[0], 6, 1e-12);
    assert_ok(go(store, "c", "a", x, NULL, &err), err); /* on through d, as short as back through b */
    assert_near(x[0], 210, 1e-12);
    assert_fails(CLM_E_UNSUPPORTED, go(store, "a", "e", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "unheard-of"));
    assert_fails(CLM_E_ARG, go(store, "f", "a", x, NULL, &err), err);
}

static void an_array_that_leads_out_is_told(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char store[CLM_PATH_MAX];
    double x[3] = {0};
    assert_ok(clm_path_join(store, folder, "out.zarr", &err), err);
    clm_array *a;
    clm_json *v;
    const char *text = "{\"ome\":{\"coordinateSystems\":[{\"name\":\"a\",\"axes\":[" AXES1 "]}],"
                       "\"coordinateTransformations\":[{\"type\":\"identity\",\"input\":{\"path\":\"../b\"},"
                       "\"output\":{\"name\":\"a\"}}]}}";
    assert_ok(clm_json_parse(text, strlen(text), "test", &v, &err), err);
    const clm_array_spec spec = {
        .format = CLM_FORMAT_ZARR3, .ndim = 1, .dtype = CLM_U8, .shape = {2}, .chunk = {2}, .attributes = v};
    assert_ok(clm_array_create(store, &spec, &a, &err), err);
    clm_array_close(a);
    clm_json_free(v);
    assert_fails(CLM_E_FORMAT, go(store, "a", "a", x, NULL, &err), err);
    assert_non_null(strstr(err.text, "coordinateTransformations[0]: path \"../b\" leads out of the store"));
}

static void nonsense_is_told_by_place(void **state) {
    (void)state;
    static const char *const table[][2] = {
        {"\"type\":\"scale\",\"scale\":[1,2,3]", "3 numbers for 2 axes"},
        {"\"type\":\"scale\",\"scale\":[1,\"2\"]", "not all are numbers"},
        {"\"type\":\"rotation\",\"rotation\":[[1,0],[0]]", "row 1"},
        {"\"type\":\"affine\",\"affine\":[[1,0],[0,1]]", "must be 3"},
        {"\"type\":\"mapAxis\",\"mapAxis\":[0,2]", "item 1"},
        {"\"type\":\"mapAxis\",\"mapAxis\":[0,0]", "twice"},
        {"\"type\":\"sequence\",\"transformations\":[{\"type\":\"scale\",\"scale\":[1]}]",
         "transformations[0]"},
        {"\"type\":\"byDimension\",\"transformations\":[{\"transformation\":{\"type\":\"identity\"},\"inputAxes\":[0],"
         "\"outputAxes\":[0]}]",
         "output axis 1"},
        {"\"type\":\"displacements\",\"path\":\"nowhere\"", "nowhere"},
        {"\"type\":\"displacements\",\"path\":\"f\",\"interpolation\":\"magic\"", "interpolation"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        double x[CLM_DIMS_MAX] = {1, 2};
        if (go(one_scene(2, 2, table[i][0]), "in", "out", x, NULL, &err)) fail_msg("%s passes", table[i][0]);
        if (!strstr(err.text, table[i][1])) fail_msg("\"%s\" does not say \"%s\"", err.text, table[i][1]);
    }
    char deep[4096] = "";
    for (int i = 0; i < 40; i++) strcat(deep, "\"type\":\"sequence\",\"transformations\":[{");
    strcat(deep, "\"type\":\"identity\"");
    for (int i = 0; i < 40; i++) strcat(deep, "}]");
    clm_err err = CLM_ERR_NONE;
    double x[CLM_DIMS_MAX] = {1, 2};
    assert_fails(CLM_E_UNSUPPORTED, go(one_scene(2, 2, deep), "in", "out", x, NULL, &err), err);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_kind_goes_forth_and_back_as_said),
                                       cmocka_unit_test(a_bijection_goes_back_by_its_own_inverse),
                                       cmocka_unit_test(numbers_may_lie_in_an_array),
                                       cmocka_unit_test(fields_may_leave_the_component_axis_out),
                                       cmocka_unit_test(fields_in_any_axis_order_and_back),
                                       cmocka_unit_test(nearest_and_cubic_fields_hold_at_nodes),
                                       cmocka_unit_test(a_way_leads_through_images_and_pyramids),
                                       cmocka_unit_test(the_shorter_way_is_taken_and_a_wrong_one_left),
                                       cmocka_unit_test(an_array_that_leads_out_is_told),
                                       cmocka_unit_test(nonsense_is_told_by_place)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
