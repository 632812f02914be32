/* The XML of BigDataViewer and BigStitcher: which container, where in the world. */
#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/store/bdv.h"
#include "collimate/store/image.h"
#include "collimate/store/node.h"

#include <string.h>

#define SETUP(id, unit, size)                                                                             \
    "<ViewSetup><id>" id "</id><size>8 6 4</size><voxelSize>\n<unit>" unit "</unit><size>" size "</size>" \
    "</voxelSize></ViewSetup>"
#define LOADER(format, tag, path)                                                                  \
    "<ImageLoader format=\"" format "\" version=\"1.0\"><" tag " type=\"relative\">" path "</" tag \
    "></ImageLoader>"
#define N5 LOADER("bdv.n5", "n5", "d.n5")
#define AFFINE(m) "<ViewTransform type=\"affine\"><Name>n</Name><affine>" m "</affine></ViewTransform>"
#define VIEW(setup, time, transforms) \
    "<ViewRegistration timepoint=\"" time "\" setup=\"" setup "\">" transforms "</ViewRegistration>"
#define DOC(loader, setups, views)                                                                          \
    "<?xml version='1.0'?>\n<SpimData><BasePath type=\"relative\">.</BasePath><SequenceDescription>" loader \
    "<ViewSetups>" setups "</ViewSetups></SequenceDescription><ViewRegistrations>" views                    \
    "</ViewRegistrations>"                                                                                  \
    "</SpimData>"
#define ONE SETUP("0", "um", "0.4 0.5 2")

static bool view_of(const char *xml, int64_t setup, int64_t time, clm_bdv_view *v, clm_err *err) {
    *err = CLM_ERR_NONE;
    return clm_bdv_view_of(xml, strlen(xml), setup, time, v, err);
}

/* By hand: x of the world is 0.4 um a unit, since the calibration divides by the least voxel length. */
static void registrations_are_concatenated(void **state) {
    (void)state;
    clm_err err;
    clm_bdv_view v;
    const char *stitched = DOC(N5, ONE,
                               VIEW("0", "0",
                                    AFFINE("2 0 0 1 0 2 0 0 0 0 2 0") AFFINE("1 0 0 10 0 1 0 -20 0 0 1 30")
                                        AFFINE("1 0 0 0 0 1.25 0 0 0 0 5 0")));
    assert_ok(view_of(stitched, -1, -1, &v, &err), err);
    assert_string_equal(v.problem, "");
    assert_string_equal(v.path, "d.n5/setup0/timepoint0");
    const double spacing[3] = {4, 1, 0.8}, origin[3] = {2 * 30 * 0.4, -2 * 20 * 0.4, (2 * 10 + 1) * 0.4};
    for (int d = 0; d < 3; d++) {
        assert_near(v.spacing_um[d], spacing[d], 1e-12);
        assert_near(v.origin_um[d], origin[d], 1e-12);
    }
    /* BigDataViewer: the calibration is in the unit itself, here nanometres */
    const char *plain = DOC(LOADER("bdv.hdf5", "hdf5", "sub/d.h5"), SETUP("7", "nm", "400 500 2000"),
                            VIEW("7", "12", AFFINE("400 0 0 1000 0 500 0 0 0 0 2000 0")));
    assert_ok(view_of(plain, 7, -1, &v, &err), err);
    assert_string_equal(v.path, "sub/d.h5/t00012/s07");
    assert_near(v.origin_um[2], 1, 1e-12);
    assert_near(v.spacing_um[0], 2, 1e-12);
    assert_ok(view_of(DOC(N5, ONE, ""), -1, -1, &v, &err), err); /* not registered */
    assert_near(v.spacing_um[1], 0.5, 0);
    assert_near(v.origin_um[1], 0, 0);
}

static void views_are_chosen(void **state) {
    (void)state;
    clm_err err;
    clm_bdv_view v;
    const char *two = DOC(N5, ONE SETUP("3", "um", "1 1 1"), VIEW("0", "4", "") VIEW("0", "5", ""));
    assert_fails(CLM_E_ARG, view_of(two, -1, -1, &v, &err), err);
    assert_non_null(strstr(err.text, "2 view setups"));
    assert_fails(CLM_E_ARG, view_of(two, 0, -1, &v, &err), err);
    assert_non_null(strstr(err.text, "several time points"));
    assert_ok(view_of(two, 0, 5, &v, &err), err);
    assert_string_equal(v.path, "d.n5/setup0/timepoint5");
    assert_fails(CLM_E_NOTFOUND, view_of(two, 0, 6, &v, &err), err);
    assert_fails(CLM_E_NOTFOUND, view_of(two, 1, 0, &v, &err), err);
    const char *zarr =
        DOC("<ImageLoader format='bdv.multimg.zarr'><zarr type='relative'>z.zarr</zarr><zgroups>"
            "<zgroup setup=\"0\" tp=\"0\" path=\"a.zarr\" indicies=\"[2 1]\"/>"
            "<zgroup setup=\"3\" timepoint=\"0\"><path>b.zarr</path></zgroup></zgroups></ImageLoader>",
            ONE SETUP("3", "um", "1 1 1"), "");
    assert_ok(view_of(zarr, 0, 0, &v, &err), err);
    assert_string_equal(v.path, "z.zarr/a.zarr");
    assert_int_equal(v.channel_index, 2);
    assert_int_equal(v.time_index, 1);
    assert_ok(view_of(zarr, 3, 0, &v, &err), err);
    assert_string_equal(v.path, "z.zarr/b.zarr");
    assert_int_equal(v.channel_index, -1);
    assert_fails(CLM_E_NOTFOUND, view_of(zarr, 3, 1, &v, &err), err);
}

static void what_cannot_be_is_said(void **state) {
    (void)state;
    static const struct {
        const char *xml, *says;
        clm_code code; /* CLM_OK: the view is found, but not its place */
    } table[] = {
        {DOC(N5, ONE,
             VIEW("0", "0", AFFINE("1 0.01 0 0 0 1 0 0 0 0 1 0") AFFINE("0.4 0 0 0 0 0.5 0 0 0 0 2 0"))),
         "turns, shears or mirrors", CLM_OK},
        {DOC(N5, ONE, VIEW("0", "0", AFFINE("-0.4 0 0 0 0 0.5 0 0 0 0 2 0"))), "turns, shears or mirrors",
         CLM_OK},
        {DOC(N5, ONE, VIEW("0", "0", AFFINE("1 0 0 5 0 1 0 0 0 0 1 0"))), "is not the voxel size", CLM_OK},
        {DOC(N5, SETUP("0", "pixel", "1 1 1"), ""), "is no length", CLM_OK},
        {DOC(N5, "<ViewSetup><id>0</id></ViewSetup>", ""), "no voxelSize", CLM_OK},
        {DOC(N5, SETUP("0", "um", "1 0 1"), ""), "no voxelSize", CLM_OK},
        {DOC(N5, ONE, VIEW("0", "0", AFFINE("1 0 0"))), "12 numbers", CLM_E_FORMAT},
        {DOC("", ONE, ""), "no ImageLoader", CLM_E_FORMAT},
        {DOC(LOADER("spimreconstruction.filelist", "n5", "d.n5"), ONE, ""), "filelist", CLM_E_UNSUPPORTED},
        {DOC(LOADER("bdv.n5", "n5", "/etc"), ONE, ""), "not relative", CLM_E_UNSUPPORTED},
        {DOC(LOADER("bdv.n5", "uri", "s3://bucket/d.n5"), ONE, ""), "not relative", CLM_E_UNSUPPORTED},
        {DOC(LOADER("bdv.n5", "n5", "a/../../d.n5"), ONE, ""), "leads out", CLM_E_FORMAT},
        {DOC(LOADER("bdv.n5", "n5", ""), ONE, ""), "no n5 path", CLM_E_FORMAT},
        {"<html></html>", "no view setup", CLM_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        clm_err err;
        clm_bdv_view v;
        bool ok = view_of(table[i].xml, -1, -1, &v, &err);
        const char *said = ok ? v.problem : err.text;
        if (!strstr(said, table[i].says)) print_error("row %zu: %s\n", i, said);
        assert_int_equal(err.code, table[i].code);
        assert_non_null(strstr(said, table[i].says));
    }
}

static void put_level(const char *below, const int64_t shape[3], const double factor[3]) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    uint8_t voxels[192];
    memset(voxels, 5, sizeof voxels);
    clm_json *attributes = clm_json_new_object(&err);
    clm_json_add_numbers(attributes, "downsamplingFactors", factor, 3);
    clm_array_spec s = {
        .format = CLM_FORMAT_N5, .ndim = 3, .dtype = CLM_U8, .codec = "none", .attributes = attributes};
    for (int d = 0; d < 3; d++) s.shape[d] = s.chunk[d] = shape[d];
    assert_ok(clm_path_join(path, folder, below, &err), err);
    assert_ok(clm_array_create(path, &s, &a, &err), err);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, voxels, &err), err);
    clm_array_close(a);
    clm_json_free(attributes);
}

/* The pyramid of a view, though the N5 has no resolution: levels by their factors, not by their shapes. */
static void an_image_is_opened_by_its_xml(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char xml[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_image *im = NULL;
    put_level("d.n5/setup0/timepoint0/s0", (const int64_t[]){4, 5, 7}, (const double[]){1, 1, 1});
    put_level("d.n5/setup0/timepoint0/s1", (const int64_t[]){4, 2, 3}, (const double[]){2, 2, 1});
    assert_ok(clm_path_join(xml, folder, "d.xml", &err), err);
    const char *text = DOC(N5, ONE, VIEW("0", "0", AFFINE("0.4 0 0 7 0 0.5 0 8 0 0 2 9")));
    assert_ok(clm_file_publish(xml, text, strlen(text), false, &err), err);
    assert_ok(clm_image_open(xml, NULL, &im, &err), err);
    const clm_image_info *i = clm_image_info_of(im);
    assert_string_equal(i->dialect, "BigDataViewer XML");
    assert_int_equal(i->n_levels, 2);
    const double spacing[3] = {2, 1, 0.8}, origin[3] = {9, 8.25, 7.2};
    for (int d = 0; d < 3; d++) {
        assert_near(i->level[1].spacing_um[d], spacing[d], 1e-12);
        assert_near(i->level[1].origin_um[d], origin[d], 1e-12);
    }
    float got = 0;
    clm_vol v = {.data = &got, .shape = {1, 1, 1}, .stride = {1, 1}};
    assert_ok(clm_image_read(im, 0, (clm_box){{3, 4, 6}, {4, 5, 7}}, &v, &err), err);
    assert_near(got, 5, 0);
    clm_image_close(im);
    assert_ok(clm_path_join(path, xml, "setup0/timepoint0", &err), err);
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    clm_image_close(im);
    assert_ok(clm_path_join(path, xml, "s0", &err), err);
    assert_fails(CLM_E_NOTFOUND, clm_image_open(path, NULL, &im, &err), err);
    /* turned: refused, unless the caller says where the voxels are */
    text = DOC(N5, ONE, VIEW("0", "0", AFFINE("0 0.5 0 0 0.4 0 0 0 0 0 2 0")));
    assert_ok(clm_file_publish(xml, text, strlen(text), false, &err), err);
    err = CLM_ERR_NONE;
    assert_fails(CLM_E_ARG, clm_image_open(xml, NULL, &im, &err), err);
    assert_non_null(strstr(err.text, "--fixed-spacing"));
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.has_spacing = true;
    for (int d = 0; d < 3; d++) o.spacing_um[d] = 1;
    assert_ok(clm_image_open(xml, &o, &im, &err), err);
    assert_near(clm_image_info_of(im)->level[1].spacing_um[2], 2, 0);
    clm_image_close(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registrations_are_concatenated),
        cmocka_unit_test(views_are_chosen),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(an_image_is_opened_by_its_xml),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
