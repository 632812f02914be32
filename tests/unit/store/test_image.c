#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/store/image.h"
#include "collimate/store/node.h"
#include "collimate/store/ome.h"

#include <stdlib.h>
#include <string.h>

static void inside(char out[CLM_PATH_MAX], const char *below) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(out, folder, below, &err), err);
}

static void write_text(const char *below, const char *text) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    inside(path, below);
    assert_ok(clm_file_publish(path, text, strlen(text), false, &err), err);
}

/* An N5 dataset [x 8, y 6, z 4] of uint8, no blocks. */
static void write_n5(const char *below, const char *more) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    assert_ok(clm_buf_printf(&b, &err,
                             "{%s%s\"dimensions\":[8,6,4],\"blockSize\":[8,6,4],\"dataType\":\"uint8\","
                             "\"compression\":{\"type\":\"raw\"}}",
                             more, more[0] ? "," : ""),
              err);
    write_text(below, (const char *)b.data);
    clm_buf_free(&b);
}

static void check_level(const char *below, int level, const double spacing[3], const double origin[3],
                        const char *dialect) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    inside(path, below);
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    const clm_image_info *i = clm_image_info_of(im);
    for (int d = 0; d < 3; d++) {
        assert_near(i->level[level].spacing_um[d], spacing[d], 1e-9);
        assert_near(i->level[level].origin_um[d], origin[d], 1e-9);
    }
    assert_non_null(strstr(i->dialect, dialect));
    clm_image_close(im);
}

#define D3(a, b, c) ((const double[]){a, b, c})

/* Each dialect's spelling of the same sort of thing; numbers by hand from the dialects' descriptions. */
static void n5_dialects(void **state) {
    (void)state;
    write_n5("a.n5/low/attributes.json",
             "\"pixelResolution\":[0.92,0.92,0.84],\"downsamplingFactors\":[2,2,2]");
    check_level("a.n5/low", 0, D3(1.68, 1.84, 1.84), D3(0.42, 0.46, 0.46), "n5-viewer");
    write_n5("a.n5/nm/attributes.json", "\"pixelResolution\":{\"unit\":\"nm\",\"dimensions\":[230,240,420]}");
    check_level("a.n5/nm", 0, D3(0.42, 0.24, 0.23), D3(0, 0, 0), "n5-viewer");
    /* of a level twice as coarse: 2 (res (2 i + 1/2)) + shift, in nanometres, x first */
    write_n5(
        "f.n5/s1/attributes.json",
        "\"pixelResolution\":{\"unit\":\"nm\",\"dimensions\":[100,200,300]},\"downsamplingFactors\":[2,2,2],"
        "\"affineTransform\":[2,0,0,1000,0,2,0,2000,0,0,1,3000]");
    check_level("f.n5/s1", 0, (const double[]){0.6, 0.8, 0.4}, (const double[]){3.15, 2.2, 1.1}, "n5-viewer");
    /* the same as n5-viewer's manual and n5-universe write it, in rows, and on the group */
    write_n5(
        "f.n5/s3/attributes.json",
        "\"pixelResolution\":{\"unit\":\"nm\",\"dimensions\":[100,200,300]},\"downsamplingFactors\":[2,2,2],"
        "\"affineTransform\":[[2,0,0,1000],[0,2,0,2000],[0,0,1,3000]]");
    check_level("f.n5/s3", 0, D3(0.6, 0.8, 0.4), D3(3.15, 2.2, 1.1), "n5-viewer");
    write_text("h.n5/c0/attributes.json",
               "{\"scales\":[[1,1,1]],\"pixelResolution\":{\"unit\":\"um\",\"dimensions\":[1,1,1]},"
               "\"affineTransform\":[[1,0,0,0],[0,1.25,0,0],[0,0,0.5,3]]}");
    write_n5("h.n5/c0/s0/attributes.json", "");
    check_level("h.n5/c0", 0, D3(0.5, 1.25, 1), D3(3, 0, 0), "n5-viewer");
    write_n5("b.n5/g/s0/attributes.json", "\"pixelResolution\":[1,2,3]");
    write_n5("b.n5/g/s1/attributes.json", "\"pixelResolution\":[1,2,3],\"downsamplingFactors\":[4,2,1]");
    check_level("b.n5/g", 0, D3(3, 2, 1), D3(0, 0, 0), "n5-viewer");
    check_level("b.n5/g", 1, D3(3, 4, 4), D3(0, 1, 1.5), "n5-viewer");
    check_level("b.n5/g/s1", 0, D3(3, 4, 4), D3(0, 1, 1.5), "n5-viewer");
    write_text("c.n5/g/attributes.json",
               "{\"scales\":[[1,1,1],[2,2,1]],\"pixelResolution\":{\"unit\":\"um\",\"dimensions\":[1,1,3]}}");
    write_n5("c.n5/g/s0/attributes.json", "");
    write_n5("c.n5/g/s1/attributes.json", "");
    check_level("c.n5/g", 1, D3(3, 2, 2), D3(0, 0.5, 0.5), "n5-viewer");
    write_text("d.n5/g/attributes.json",
               "{\"axes\":[\"x\",\"y\",\"z\"],\"resolution\":[100,200,300],\"units\":[\"nm\",\"nm\",\"nm\"],"
               "\"downsamplingFactors\":[[1,1,1],[2,2,2]]}");
    write_n5("d.n5/g/s0/attributes.json", "");
    write_n5("d.n5/g/s1/attributes.json", "");
    check_level("d.n5/g", 1, D3(0.6, 0.4, 0.2), D3(0.15, 0.1, 0.05), "Neuroglancer");
    check_level("d.n5/g/s1", 0, D3(0.6, 0.4, 0.2), D3(0.15, 0.1, 0.05), "Neuroglancer");
    write_n5("e.n5/s0/attributes.json",
             "\"transform\":{\"axes\":[\"z\",\"y\",\"x\"],\"scale\":[8,4,4],\"translate\":[10,20,30],"
             "\"units\":[\"nm\",\"nm\",\"nm\"]},\"pixelResolution\":[9,9,9]");
    check_level("e.n5/s0", 0, D3(0.008, 0.004, 0.004), D3(0.01, 0.02, 0.03), "COSEM");
    write_text(
        "f.n5/g/attributes.json",
        "{\"multiScale\":true,\"resolution\":[1,2,3],\"offset\":[10,20,30],\"painteraData\":{\"type\":\"raw\"}}");
    write_n5("f.n5/g/s0/attributes.json", "");
    check_level("f.n5/g/s0", 0, D3(3, 2, 1), D3(30, 20, 10), "Paintera");
}

/* Every axis in its own unit, and the multiscale's transforms after the dataset's. */
static void ome_axes_have_units(void **state) {
    (void)state;
    write_text("u.zarr/.zgroup", "{\"zarr_format\":2}");
    write_text("u.zarr/.zattrs",
               "{\"multiscales\":[{\"version\":\"0.4\",\"axes\":[{\"name\":\"c\",\"type\":\"channel\"},"
               "{\"name\":\"z\",\"type\":\"space\",\"unit\":\"nanometer\"},"
               "{\"name\":\"y\",\"type\":\"space\",\"unit\":\"micrometer\"},"
               "{\"name\":\"x\",\"type\":\"space\",\"unit\":\"millimeter\"}],"
               "\"datasets\":[{\"path\":\"0\",\"coordinateTransformations\":["
               "{\"type\":\"scale\",\"scale\":[1,300,2,0.004]},"
               "{\"type\":\"translation\",\"translation\":[0,1000,5,0.001]}]}],"
               "\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[1,2,1,1]}]}]}");
    write_text(
        "u.zarr/0/.zarray",
        "{\"zarr_format\":2,\"shape\":[1,4,6,8],\"chunks\":[1,4,6,8],\"dtype\":\"|u1\",\"order\":\"C\","
        "\"compressor\":null,\"filters\":null,\"fill_value\":0}");
    check_level("u.zarr", 0, D3(0.6, 2, 4), D3(2, 5, 1), "0.4");
}

static clm_code open_fails(const char *below, const clm_image_options *o, const char *says) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    inside(path, below);
    if (clm_image_open(path, o, &im, &err)) {
        print_error("%s opened\n", path);
        clm_image_close(im);
        return CLM_OK;
    }
    if (!strstr(err.text, says) || !strstr(err.text, path)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, says));
    assert_non_null(strstr(err.text, path));
    return err.code;
}

/* In a unit that is no length levels still know their ratios: the spacing that is given stands for the finest. */
static void pixels_want_a_spacing(void **state) {
    (void)state;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    write_text("p.zarr/.zgroup", "{\"zarr_format\":2}");
    write_text("p.zarr/.zattrs",
               "{\"multiscales\":[{\"version\":\"0.4\",\"axes\":["
               "{\"name\":\"z\",\"type\":\"space\",\"unit\":\"micrometer\"},"
               "{\"name\":\"y\",\"type\":\"space\",\"unit\":\"pixel\"},"
               "{\"name\":\"x\",\"type\":\"space\",\"unit\":\"micrometer\"}],"
               "\"datasets\":[{\"path\":\"0\",\"coordinateTransformations\":["
               "{\"type\":\"scale\",\"scale\":[1,1,1]}]},"
               "{\"path\":\"1\",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[1,3,2]},"
               "{\"type\":\"translation\",\"translation\":[0,1,0.5]}]}]}]}");
    for (int i = 0; i < 2; i++)
        write_text(
            i ? "p.zarr/1/.zarray" : "p.zarr/0/.zarray",
            "{\"zarr_format\":2,\"shape\":[4,6,8],\"chunks\":[4,6,8],\"dtype\":\"|u1\",\"order\":\"C\","
            "\"compressor\":null,\"filters\":null,\"fill_value\":0}");
    write_text("p.n5/attributes.json",
               "{\"scales\":[[1,1,1],[2,3,1]],\"pixelResolution\":{\"unit\":\"pixel\","
               "\"dimensions\":[1,1,1]}}");
    write_n5("p.n5/s0/attributes.json", "");
    write_n5("p.n5/s1/attributes.json", "");
    for (int i = 0; i < 2; i++) {
        char path[CLM_PATH_MAX];
        clm_err err = CLM_ERR_NONE;
        clm_image *im = NULL;
        const char *below = i ? "p.n5" : "p.zarr";
        o.has_spacing = false;
        o.option = "--moving-spacing";
        assert_int_equal(open_fails(below, &o, "unit pixel is no length; give --moving-spacing"), CLM_E_ARG);
        o.has_spacing = true;
        memcpy(o.spacing_um, D3(0.5, 0.25, 2), sizeof o.spacing_um);
        inside(path, below);
        assert_ok(clm_image_open(path, &o, &im, &err), err);
        const clm_image_level *l = &clm_image_info_of(im)->level[1];
        for (int d = 0; d < 3; d++) {
            assert_near(l->spacing_um[d], D3(0.5, 0.75, 4)[d], 1e-12);
            assert_near(l->origin_um[d], D3(0, 0.25, 1)[d], 1e-12);
        }
        clm_image_close(im);
    }
}

static void what_is_missing_is_named(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    write_n5("bare.n5/s0/attributes.json", "");
    write_n5("huge.n5/s0/attributes.json",
             "\"pixelResolution\":[1e300,1,1],\"downsamplingFactors\":[1e300,1,1]");
    assert_int_equal(open_fails("huge.n5/s0", NULL, "spacing inf"), CLM_E_FORMAT);
    write_n5("f.n5/s2/attributes.json",
             "\"pixelResolution\":[1,1,1],\"affineTransform\":[1,0.1,0,0,0,1,0,0,0,0,1,0]");
    assert_int_equal(open_fails("f.n5/s2", NULL, "turns"), CLM_E_ARG);
    assert_int_equal(open_fails("bare.n5/s0", NULL, "--fixed-spacing z,y,x"), CLM_E_ARG);
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.option = "--moving-spacing";
    assert_int_equal(open_fails("bare.n5/s0", &o, "--moving-spacing z,y,x"), CLM_E_ARG);
    o.has_spacing = true;
    memcpy(o.spacing_um, D3(3, 2, 1), sizeof o.spacing_um);
    inside(path, "bare.n5/s0");
    assert_ok(clm_image_open(path, &o, &im, &err), err);
    assert_near(clm_image_info_of(im)->level[0].spacing_um[0], 3, 0);
    clm_image_close(im);
    write_n5("pixels.n5/s0/attributes.json",
             "\"pixelResolution\":{\"unit\":\"pixel\",\"dimensions\":[1,1,1]}");
    assert_int_equal(open_fails("pixels.n5/s0", NULL, "unit pixel"), CLM_E_ARG);
    inside(path, "pixels.n5/s0");
    assert_ok(clm_image_open(path, &o, &im, &err), err);
    clm_image_close(im);
    write_n5("neg.n5/s0/attributes.json", "\"pixelResolution\":[1,0,1]");
    assert_int_equal(open_fails("neg.n5/s0", NULL, "pixelResolution"), CLM_E_FORMAT);
    write_text(
        "flat.n5/s0/attributes.json",
        "{\"dimensions\":[8,6],\"blockSize\":[8,6],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"},\"pixelResolution\":[1,1,1]}");
    assert_int_equal(open_fails("flat.n5/s0", NULL, "2-dimensional"), CLM_E_UNSUPPORTED);
    write_text(
        "none.n5/s0/attributes.json",
        "{\"dimensions\":[8,6,0],\"blockSize\":[8,6,1],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"},\"pixelResolution\":[1,1,1]}");
    assert_int_equal(open_fails("none.n5/s0", NULL, "no voxels"), CLM_E_FORMAT);
    assert_int_equal(open_fails("nowhere.n5/s0", NULL, "no such"), CLM_E_NOTFOUND);
    assert_int_equal(open_fails("bare.n5", NULL, "no spacing"), CLM_E_ARG);
}

static void channels_are_chosen(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    clm_image *im = NULL;
    clm_array_spec spec = {.ndim = 4, .shape = {2, 3, 4, 5}, .chunk = {1, 2, 3, 4}, .dtype = CLM_U16};
    uint16_t data[24];
    inside(path, "c.zarr/0");
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    for (int i = 0; i < 24; i++) data[i] = (uint16_t)(100 + i);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){1, 0, 0, 0}, data, &err), err);
    clm_array_close(a);
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.has_spacing = true;
    memcpy(o.spacing_um, D3(1, 1, 1), sizeof o.spacing_um);
    assert_int_equal(open_fails("c.zarr/0", &o, "2 channels"), CLM_E_ARG);
    o.channel = 2;
    assert_int_equal(open_fails("c.zarr/0", &o, "channel 2 of 2"), CLM_E_ARG);
    o.channel = 1;
    assert_ok(clm_image_open(path, &o, &im, &err), err);
    float row[2];
    clm_vol v = {.data = row, .shape = {1, 1, 2}, .stride = {2, 2}};
    assert_ok(clm_image_read(im, 0, (clm_box){{1, 2, 3}, {2, 3, 5}}, &v, &err), err);
    assert_near(row[0], 100 + 12 + 2 * 4 + 3, 0);
    assert_near(row[1], 0, 0); /* the next chunk is absent */
    assert_near(v.origin[2], 3, 0);
    clm_image_close(im);
    /* one that is asked for where there is but one */
    const clm_array_spec single = {.ndim = 3, .shape = {3, 4, 5}, .chunk = {3, 4, 5}, .dtype = CLM_U16};
    inside(path, "one.zarr/0");
    assert_ok(clm_array_create(path, &single, &a, &err), err);
    clm_array_close(a);
    assert_int_equal(open_fails("one.zarr/0", &o, "no channel 1"), CLM_E_ARG);
    o.channel = 0, o.time = 2;
    assert_int_equal(open_fails("one.zarr/0", &o, "time point 2"), CLM_E_ARG);
}

/* Our own pyramids in each format say what was written, and hold the same voxels. */
static void pyramids_come_back(void **state) {
    (void)state;
    static const clm_format formats[] = {CLM_FORMAT_ZARR3, CLM_FORMAT_ZARR2, CLM_FORMAT_N5};
    static const char *const names[] = {"p.ome.zarr", "q.ome.zarr", "r.n5/g"}, *const dialect[] = {
                                                                                   "0.5", "0.4", "COSEM"};
    const clm_level_spec levels[2] = {{"s0", {3, 1, 1}, {5, 0, -2}}, {"s1", {6, 2, 2}, {6.5, 0.5, -1.5}}};
    clm_err err = CLM_ERR_NONE;
    for (int f = 0; f < 3; f++) {
        char path[CLM_PATH_MAX], child[CLM_PATH_MAX];
        inside(path, names[f]);
        for (int l = 0; l < 2; l++) {
            clm_array_spec spec = {.format = formats[f],
                                   .ndim = 3,
                                   .shape = {4 >> l, 6 >> l, 8 >> l},
                                   .chunk = {4, 6, 8},
                                   .dtype = CLM_I16,
                                   .axes = {"z", "y", "x"}};
            clm_array *a = NULL;
            int16_t data[192];
            clm_json *attrs = NULL;
            for (int i = 0; i < 192; i++) data[i] = (int16_t)(i - 50);
            if (f == 2)
                spec.attributes = attrs = clm_n5_level_attributes(&levels[0], &levels[l], false, &err);
            assert_ok(clm_path_join(child, path, levels[l].path, &err), err);
            assert_ok(clm_array_create(child, &spec, &a, &err), err);
            assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, data, &err), err);
            clm_array_close(a);
            clm_json_free(attrs);
        }
        assert_ok(
            clm_ome_write_pyramid(
                path, &(clm_pyramid_spec){.format = formats[f], .name = "p", .levels = levels, .n = 2}, &err),
            err);
        check_level(names[f], 0, levels[0].spacing_um, levels[0].origin_um, dialect[f]);
        check_level(names[f], 1, levels[1].spacing_um, levels[1].origin_um, dialect[f]);
        clm_image *im = NULL;
        float got[96];
        int16_t raw[24];
        clm_vol v = {.data = got, .shape = {2, 3, 4}, .stride = {48, 8}}; /* wider than the box */
        assert_ok(clm_image_open(path, NULL, &im, &err), err);
        assert_ok(clm_image_read(im, 0, (clm_box){{1, 2, 3}, {3, 5, 7}}, &v, &err), err);
        assert_ok(clm_image_read_raw(im, 0, (clm_box){{1, 2, 3}, {3, 5, 7}}, raw, &err), err);
        for (int z = 0; z < 2; z++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 4; x++) {
                    int want = ((z + 1) * 6 + y + 2) * 8 + x + 3 - 50;
                    assert_near(got[z * 48 + y * 8 + x], want, 0);
                    assert_int_equal(raw[(z * 3 + y) * 4 + x], want);
                }
        assert_fails(CLM_E_ARG, clm_image_read(im, 0, (clm_box){{3, 2, 3}, {5, 5, 7}}, &v, &err), err);
        clm_image_close(im);
    }
}

/* The real pair beside the project: 1.68 x 1.84 x 1.84 um by resolution times factors, and half a voxel in. */
static void real_data(void **state) {
    (void)state;
    const char *data = getenv("CLM_DATA");
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    assert_ok(clm_path_format(path, &err, "%s/expansion/fix.n5/lowres",
                              data ? data : CLM_SOURCE_DIR "/../shared/data"),
              err);
    if (clm_path_kind_of(path) != CLM_PATH_FOLDER) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    const double spacing[3] = {1.68, 1.84, 1.84}, origin[3] = {0.42, 0.46, 0.46};
    const int64_t shape[3] = {149, 241, 456};
    for (int d = 0; d < 3; d++) {
        assert_near(l->spacing_um[d], spacing[d], 1e-12);
        assert_near(l->origin_um[d], origin[d], 1e-12);
        assert_int_equal(l->shape[d], shape[d]);
    }
    clm_image_close(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(n5_dialects),
        cmocka_unit_test(ome_axes_have_units),
        cmocka_unit_test(pixels_want_a_spacing),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(channels_are_chosen),
        cmocka_unit_test(pyramids_come_back),
        cmocka_unit_test(real_data),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
