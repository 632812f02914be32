/* What compose writes for other programs, read again as their files are, leads where the chain leads. */
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "support/composed.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { Z = 7, Y = 6, X = 9, NODES = Z * Y * X, POINTS = 300 };

static clm_work work;
static char folder[CLM_PATH_MAX];
static const double spacing[3] = {4, 3, 2};
static const char affine[] = "1.1 0.05 -0.02 7\n-0.03 0.9 0.04 -11\n0.06 0.01 1.2 5\n0 0 0 1\n";
static const char other[] = "0 1 0 3\n1 0 0 2\n0 0.1 1 -1\n0 0 0 1\n";

static void in_folder(char path[CLM_PATH_MAX], const char *said, const char *name) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_format(path, &err, "%s%s/%s", said, folder, name), err);
}

static void put(const char *name, const char *text) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    in_folder(path, "", name);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
}

static void make_field(void) {
    static float u[NODES * 3];
    char path[CLM_PATH_MAX];
    clm_array *a;
    clm_err err = CLM_ERR_NONE;
    clm_array_spec s = {.format = CLM_FORMAT_ZARR2,
                        .ndim = 4,
                        .shape = {Z, Y, X, 3},
                        .chunk = {Z, Y, X, 3},
                        .dtype = CLM_F32};
    for (uint64_t i = 0; i < 3 * NODES; i++) u[i] = (float)clm_rng_normal(1, 0, i);
    in_folder(path, "", "u.zarr");
    assert_ok(clm_array_create(path, &s, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0, 0}, u, &err), err);
    clm_array_close(a);
}

static int begin(void **state) {
    (void)state;
    work = clm_test_work(16);
    clm_test_folder(folder);
    put("a.txt", affine);
    put("b.txt", other);
    make_field();
    return 0;
}
static int end(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    clm_test_work_drop(&work);
    return 0;
}

static bool compose(const clm_compose_spec *spec, clm_err *err) {
    return clm_test_compose(spec, &work, NULL, err);
}

static void map_all(const char *const *paths, int n, double x[][3]) {
    clm_map map;
    static uint8_t flags[POINTS];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_map_open(paths, n, 0, &map, &err), err);
    assert_ok(clm_map_points(&map, &work, POINTS, x, flags, &err), err);
    clm_map_close(&map);
}

/* the written file against the chain, at points among the nodes and on them */
static void same(const clm_compose_spec *spec, const char *written, const double origin[3]) {
    static double want[POINTS][3], got[POINTS][3];
    static const double n[3] = {Z - 1, Y - 1, X - 1};
    for (uint64_t i = 0; i < POINTS; i++)
        for (uint64_t d = 0; d < 3; d++) {
            double k = clm_rng_uniform(2, d, i) * n[d];
            want[i][d] = got[i][d] = origin[d] + spacing[d] * (i % 3 ? k : floor(k));
        }
    map_all(spec->transforms, spec->n_transforms, want);
    map_all(&written, 1, got);
    for (int i = 0; i < POINTS; i++)
        for (int d = 0; d < 3; d++) assert_near(got[i][d], want[i][d], 2e-5);
}

static const struct {
    const char *name, *format, *said;
    bool affine, origin; /* holds affines only; tells where the first node stands */
} kinds[] = {{"a.tfm", NULL, "", true, true},
             {"a.mat", NULL, "", true, true},
             {"i.txt", "itk", "", true, true},
             {"a2.txt", NULL, "", true, true},
             {"v.nii", NULL, "", false, true},
             {"v.nii.gz", "itk", "", false, true},
             {"v.nrrd", NULL, "", false, true},
             {"b.zarr", "bigstream", "", false, false},
             {"b.n5/up/s2", "bigstream", "", false, false},
             {"p.zarr/s0", "positions", "positions:", false, false},
             {"p.n5", "positions", "positions:", false, false},
             {"j.n5/dfield", "janelia", "", false, true},
             {"scene.ome.zarr", NULL, "", false, true}};

static void every_kind_leads_where_the_chain_leads(void **state) {
    (void)state;
    static const double zero[3] = {0, 0, 0}, moved[3] = {100, -50, 7};
    char a[CLM_PATH_MAX], b[CLM_PATH_MAX], u[CLM_PATH_MAX], out[CLM_PATH_MAX], back[CLM_PATH_MAX], name[64];
    in_folder(a, "", "a.txt");
    in_folder(b, "", "b.txt");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int far = 0; far < 2; far++) {
            clm_err err = CLM_ERR_NONE;
            clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
            (void)snprintf(name, sizeof name, "%d%s", far, kinds[i].name);
            in_folder(out, "", name);
            in_folder(back, kinds[i].said, name);
            in_folder(u, far ? "origin=100,-50,7:spacing=4,3,2:" : "spacing=4,3,2:", "u.zarr");
            s.transforms[0] = kinds[i].affine ? b : u;
            s.transforms[1] = a;
            s.n_transforms = 2;
            s.output = out;
            s.format = kinds[i].format;
            s.chunk_nodes = 4;
            if (far && !kinds[i].origin) { /* told, never moved in silence */
                assert_fails(CLM_E_ARG, compose(&s, &err), err);
                assert_non_null(strstr(err.text, "--origin 0,0,0"));
                continue;
            }
            assert_ok(compose(&s, &err), err);
            same(&s, back, far ? moved : zero);
        }
}

/* an affine as a field, on the lattice said: exact between nodes, too */
static void an_affine_becomes_a_field(void **state) {
    (void)state;
    static const double zero[3] = {0, 0, 0};
    char a[CLM_PATH_MAX], out[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
    in_folder(a, "", "a.txt");
    in_folder(out, "", "affine.nii");
    s.transforms[s.n_transforms++] = a;
    s.output = out;
    assert_fails(CLM_E_ARG, compose(&s, &err), err);
    s.has_spacing = s.has_origin = s.has_shape = true;
    memcpy(s.spacing_um, spacing, sizeof spacing);
    memcpy(s.shape, (const int64_t[]){Z, Y, X}, sizeof s.shape);
    err = CLM_ERR_NONE;
    assert_ok(compose(&s, &err), err);
    same(&s, out, zero);
}

static void refused(const char *name, const char *format, double task_mib, const char *says) {
    char u[CLM_PATH_MAX], out[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_compose_spec s = CLM_COMPOSE_DEFAULTS;
    in_folder(u, "spacing=4,3,2:", "u.zarr");
    in_folder(out, "", name);
    s.transforms[s.n_transforms++] = u;
    s.output = out;
    s.format = format;
    s.task_mib = task_mib;
    assert_fails(CLM_E_ARG, compose(&s, &err), err);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void what_cannot_be_written_is_refused(void **state) {
    (void)state;
    refused("field.tfm", NULL, 64, "displacement field");
    refused("field.mat", "itk", 64, "displacement field");
    refused("field.n5/s0", NULL, 64, "--format bigstream");
    refused("field.ome.zarr", "itk", 64, ".nrrd");
    refused("field.nii", "bigstream", 64, ".n5");
    refused("field.zarr", "big", 64, "janelia");
    refused("field.nii", NULL, 0.01, "--task-mib"); /* two planes do not fit */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_leads_where_the_chain_leads),
                                       cmocka_unit_test(an_affine_becomes_a_field),
                                       cmocka_unit_test(what_cannot_be_written_is_refused)};
    return cmocka_run_group_tests(tests, begin, end);
}
