#include "voxel_files.h"

#include "collimate/codec/codec.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tiffio.h>

/* Images in one file: NRRD, TIFF, HDF5, and NIfTI gzipped. */

/* the bytes 0 1 0 2 by bzip2 */
#define BZ2_OF_1_2                                                                     \
    "\102\132\150\071\061\101\131\046\123\131\060\241\265\155\000\000\000\100\000\160" \
    "\000\040\000\060\314\014\172\202\161\167\044\123\205\011\003\012\033\126\320"

static void write_bytes(char path[CLM_PATH_MAX], const char *name, const void *bytes, size_t n) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_file_publish(path, bytes, n, false, &err), err);
}

static void assert_array(const char *path, const char *type, const void *want, size_t bytes) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    unsigned char got[64];
    assert_ok(clm_array_open(path, &a, &err), err);
    const clm_array_info *i = clm_array_info_of(a);
    assert_string_equal(clm_dtype_name(i->dtype), type);
    assert_ok(clm_array_read(a, (const int64_t[CLM_DIMS_MAX]){0}, i->shape, got, &err), err);
    assert_memory_equal(got, want, bytes);
    clm_array_close(a);
}

/* What other writers of NRRD do: text, bzip2, planes, long names of types, headers before foreign ones. */
static void nrrd_encodings(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    static const char text[] =
        "NRRD0004\ntype: float\ndimension: 2\nspace dimension: 2\nsizes: 2 2\n"
        "space directions: (1,0) (0,1)\nspace origin: (0,0)\nencoding: text\n\n1.5 -inf\n1e3 0\n";
    const float reals[4] = {1.5f, -__builtin_inff(), 1000, 0};
    write_bytes(path, "t.nrrd", text, sizeof text - 1);
    assert_array(path, "float32", reals, sizeof reals);
    static const char wrong[] = "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 3\nencoding: ascii\n\n1 256 3\n";
    write_bytes(path, "u.nrrd", wrong, sizeof wrong - 1);
    assert_fails(CLM_E_FORMAT, clm_array_open(path, &a, &err), err);
    assert_non_null(strstr(err.text, "\"256\""));
    static const char packed[] =
        "NRRD0004\ntype: short int\ndimension: 1\nsizes: 2\nendian: big\nencoding: bz2\n\n" BZ2_OF_1_2;
    const int16_t shorts[2] = {1, 2};
    write_bytes(path, "v.nrrd", packed, sizeof packed - 1);
    assert_array(path, "int16", shorts, sizeof shorts);
    static const char tail[] =
        "NRRD0004\ntype: signed long long int\ndimension: 1\nsizes: 1\nendian: little\n"
        "byte skip: -1\nencoding: raw\n\nanything\7\0\0\0\0\0\0\0";
    static const char away[] =
        "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 1\nencoding: raw\ndata file: ../x.raw\n\n";
    write_bytes(path, "x.nhdr", away, sizeof away - 1);
    err = CLM_ERR_NONE;
    assert_fails(CLM_E_UNSUPPORTED, clm_array_open(path, &a, &err), err);
    assert_non_null(strstr(err.text, "beside the header"));
    static const char piped[] =
        "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 1\nencoding: raw\ndata file: y.raw\n\n";
    write_bytes(path, "y.nhdr", piped, sizeof piped - 1);
    char pipe[CLM_PATH_MAX];
    assert_ok(clm_path_join(pipe, folder, "y.raw", &err), err);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    err = CLM_ERR_NONE;
    assert_fails(CLM_E_FORMAT, clm_array_open(path, &a, &err), err); /* and no wait for a writer */
    static const char lacking[] =
        "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 999\nbyte skip: -1\nencoding: raw\n\nabc";
    char says[40];
    write_bytes(path, "z.nrrd", lacking, sizeof lacking - 1);
    assert_fails(CLM_E_FORMAT, clm_array_open(path, &a, &err), err);
    (void)snprintf(says, sizeof says, "%zu bytes of voxels", sizeof lacking - 1); /* all that there is */
    assert_non_null(strstr(err.text, says));
    const int64_t seven = 7;
    write_bytes(path, "w.nrrd", tail, sizeof tail - 1);
    assert_array(path, "int64", &seven, sizeof seven);
}

/* A .nii.gz in several members, as block compressors write it: the last one may be empty. */
static void gzip_members(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf part[3] = {{0}}, all = {0};
    static const char head[] =
        "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: gzip\n\n";
    const clm_codec gzip = {.kind = CLM_CODEC_GZIP, .level = 1};
    const size_t half = sizeof voxels / 2 + 1;
    const unsigned char *bytes = (const unsigned char *)voxels;
    assert_ok(clm_codec_encode(&gzip, bytes, half, &part[0], &err) &&
                  clm_codec_encode(&gzip, bytes + half, sizeof voxels - half, &part[1], &err) &&
                  clm_codec_encode(&gzip, bytes, 0, &part[2], &err),
              err);
    assert_ok(clm_buf_reserve(&all, 4096, &err), err);
    all.n = sizeof head - 1;
    memcpy(all.data, head, all.n);
    for (int i = 0; i < 3; i++) {
        assert_true(all.n + part[i].n <= 4096);
        memcpy(all.data + all.n, part[i].data, part[i].n);
        all.n += part[i].n;
    }
    write_bytes(path, "members.nrrd", all.data, all.n);
    clm_array *a = NULL;
    uint16_t got[NZ * NY * NX];
    assert_ok(clm_array_open(path, &a, &err), err);
    assert_ok(clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){NZ, NY, NX}, got, &err), err);
    assert_memory_equal(got, voxels, sizeof voxels);
    clm_array_close(a);
    for (int i = 0; i < 3; i++) clm_buf_free(&part[i]);
    clm_buf_free(&all);
}

static void nrrd_axes(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    double where[3];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    const char *head =
        "NRRD0005\n# made\ntype: uint16\ndimension: 3\nspace dimension: 3\nsizes: 5 4 3\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (7,8,9)\nendian: little\nencoding: raw\n"
        "space units: \"um\" \"um\" \"um\"\n\n";
    write_file(path, "a.nrrd", head, strlen(head));
    assert_near(value_at(path, 2, 1, 3, where), 213, 0);
    assert_near(where[0], 9 + 8, 1e-9);
    assert_near(where[1], 8 + 3, 1e-9);
    assert_near(where[2], 7 + 6, 1e-9);
    head =
        "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 5 4 3\nspacings: 2 3 4\nunits: \"um\" \"um\" \"nm\"\n"
        "encoding: raw\nendian: little\n\n";
    write_file(path, "u.nrrd", head, strlen(head));
    assert_near(value_at(path, 2, 1, 3, where), 213, 0);
    assert_near(where[0], 2 * 4e-3, 1e-9);
    assert_near(where[1], 3, 1e-9);
    assert_near(where[2], 6, 1e-9);
    head = "NRRD0004\ntype: unsigned short\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 4 3\n"
           "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\nendian: little\n\n";
    write_file(path, "b.nrrd", head, strlen(head));
    assert_near(value_at(path, 2, 0, 0, where), 234, 0); /* both turned */
    head = "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\n\n";
    write_file(path, "c.nrrd", head, strlen(head));
    assert_fails(CLM_E_ARG, clm_image_open(path, NULL, &im, &err), err);
    head = "NRRD0004\ntype: block\ndimension: 3\nsizes: 5 4 3\nencoding: raw\n\n";
    write_file(path, "d.nrrd", head, strlen(head));
    assert_fails(CLM_E_FORMAT, clm_image_open(path, NULL, &im, &err), err);
}

static void tiff_stack(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    double where[3];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    assert_ok(clm_path_join(path, folder, "a.tif", &err), err);
    TIFF *t = TIFFOpen(path, "w");
    assert_non_null(t);
    for (int z = 0; z < NZ; z++) {
        (void)TIFFSetField(t, TIFFTAG_IMAGEWIDTH, NX);
        (void)TIFFSetField(t, TIFFTAG_IMAGELENGTH, NY);
        (void)TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 16);
        (void)TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 1);
        (void)TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 2);
        (void)TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
        (void)TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        (void)TIFFSetField(t, TIFFTAG_XRESOLUTION, 4.0);
        (void)TIFFSetField(t, TIFFTAG_YRESOLUTION, 2.0);
        if (z == 0)
            (void)TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION,
                               "ImageJ=1.53\nimages=3\nslices=3\nunit=um\nspacing=1.5\n");
        for (int y = 0; y < NY; y++) (void)TIFFWriteScanline(t, &voxels[(z * NY + y) * NX], (uint32_t)y, 0);
        (void)TIFFWriteDirectory(t);
    }
    TIFFClose(t);
    assert_near(value_at(path, 2, 1, 3, where), 213, 0);
    assert_near(where[0], 3, 1e-6);
    assert_near(where[1], 0.5, 1e-6);
    assert_near(where[2], 0.75, 1e-6);
    clm_buf b = {0}; /* cut anywhere it is refused, or what is left is read; never a crash */
    assert_ok(clm_file_read(path, 1 << 20, &b, &err), err);
    for (size_t n = 4; n < b.n; n += 7) {
        assert_ok(clm_file_publish(path, b.data, n, false, &err), err);
        uint16_t got[NZ * NY * NX];
        if (!clm_image_open(path, NULL, &im, &err)) continue;
        const int64_t *shape = clm_image_info_of(im)->level[0].shape;
        bool ok = shape[0] <= NZ && clm_image_read_raw(im, 0, clm_box_of(shape), got, &err);
        if (ok) assert_memory_equal(got, voxels, (size_t)(shape[0] * NY * NX) * 2);
        clm_image_close(im);
    }
    static const char said[] = "ImageJ=1.53\nimages=3\nslices=3\nunit=um\nspacing=1.5\n",
                      huge[] = "ImageJ=1\nslices=4611686018427387904\nchannels=4\n\n\n\n";
    _Static_assert(sizeof said == sizeof huge, "one in place of the other");
    unsigned char *at = memmem(b.data, b.n, said, sizeof said - 1);
    assert_non_null(at);
    memcpy(at, huge, sizeof huge);
    assert_ok(clm_file_publish(path, b.data, b.n, false, &err), err);
    assert_fails(CLM_E_FORMAT, clm_image_open(path, NULL, &im, &err), err); /* their product is no number */
    clm_buf_free(&b);
}

/* What channel 1 of the image holds at (z,y,x). */
static void second_channel_is(const char *path, int64_t z, int64_t y, int64_t x, uint16_t want) {
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    uint16_t got = 0;
    assert_fails(CLM_E_ARG, clm_image_open(path, &o, &im, &err), err); /* one must be chosen */
    o.channel = 1;
    assert_ok(clm_image_open(path, &o, &im, &err), err);
    assert_int_equal(clm_image_info_of(im)->channels, 2);
    assert_ok(clm_image_read_raw(im, 0, (clm_box){{z, y, x}, {z + 1, y + 1, x + 1}}, &got, &err), err);
    assert_int_equal(got, want);
    clm_image_close(im);
}

/* Two channels, 1000 apart: as pages of a TIFF, tiled, channels first; and in NRRD, before the space axes. */
static void channels_of_files(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, "channels.tif", &err), err);
    TIFF *t = TIFFOpen(path, "w");
    for (int page = 0; page < 2 * NZ; page++) {
        uint16_t tile[16 * 16] = {0};
        (void)TIFFSetField(t, TIFFTAG_IMAGEWIDTH, NX);
        (void)TIFFSetField(t, TIFFTAG_IMAGELENGTH, NY);
        (void)TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 16);
        (void)TIFFSetField(t, TIFFTAG_TILEWIDTH, 16);
        (void)TIFFSetField(t, TIFFTAG_TILELENGTH, 16);
        (void)TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        (void)TIFFSetField(t, TIFFTAG_XRESOLUTION, 1.0);
        (void)TIFFSetField(t, TIFFTAG_YRESOLUTION, 1.0);
        if (page == 0)
            (void)TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION,
                               "ImageJ=1.53\nimages=6\nslices=3\nchannels=2\nunit=um\nspacing=1\n");
        for (int i = 0; i < NY * NX; i++)
            tile[i / NX * 16 + i % NX] = (uint16_t)(voxels[page / 2 * NY * NX + i] + page % 2 * 1000);
        (void)TIFFWriteTile(t, tile, 0, 0, 0, 0);
        (void)TIFFWriteDirectory(t);
    }
    TIFFClose(t);
    second_channel_is(path, 2, 1, 3, 1213);
    second_channel_is(path, 1, 0, 2, 1102);
    unsigned char file[400 + 2 * sizeof voxels];
    int n = snprintf((char *)file, 400,
                     "NRRD0004\ntype: uint16\ndimension: 4\nspace dimension: 3\nsizes: 2 %d %d %d\n"
                     "space directions: none (1,0,0) (0,2,0) (0,0,3)\nendian: little\nencoding: raw\n\n",
                     NX, NY, NZ);
    for (size_t i = 0; i < 2 * NZ * NY * NX; i++) {
        uint16_t v = (uint16_t)(voxels[i / 2] + i % 2 * 1000);
        memcpy(file + n + 2 * i, &v, sizeof v);
    }
    write_bytes(path, "channels.nrrd", file, (size_t)n + 2 * sizeof voxels);
    second_channel_is(path, 2, 1, 3, 1213);
    second_channel_is(path, 1, 0, 2, 1102);
}

static void hdf5_datasets(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], below[CLM_PATH_MAX];
    double where[3];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    const hsize_t shape[3] = {NZ, NY, NX}, chunk[3] = {2, 2, 2}, three = 3;
    const double size[3] = {3, 2, 1};
    assert_ok(clm_path_join(path, folder, "a.h5", &err), err);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), s = H5Screate_simple(3, shape, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), g = H5Gcreate2(f, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Pset_chunk(list, 3, chunk);
    (void)H5Pset_deflate(list, 4);
    hid_t d = H5Dcreate2(g, "data", H5T_STD_U16BE, s, H5P_DEFAULT, list, H5P_DEFAULT);
    (void)H5Dwrite(d, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, voxels);
    hid_t as = H5Screate_simple(1, &three, NULL),
          at = H5Acreate2(d, "element_size_um", H5T_NATIVE_DOUBLE, as, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Awrite(at, H5T_NATIVE_DOUBLE, size);
    (void)H5Aclose(at), (void)H5Sclose(as), (void)H5Dclose(d), (void)H5Gclose(g), (void)H5Pclose(list),
        (void)H5Sclose(s), (void)H5Fclose(f);
    assert_ok(clm_path_join(below, path, "g/data", &err), err);
    assert_near(value_at(below, 2, 1, 3, where), 213, 0);
    assert_near(where[0], 6, 0);
    assert_fails(CLM_E_ARG, clm_array_open(path, &a, &err), err);
    assert_ok(clm_path_join(below, path, "g/none", &err), err);
    assert_fails(CLM_E_NOTFOUND, clm_array_open(below, &a, &err), err);
    assert_ok(clm_path_join(below, path, "g", &err), err);
    assert_fails(CLM_E_UNSUPPORTED, clm_array_open(below, &a, &err), err);
    assert_non_null(strstr(err.text, "cannot be opened as a dataset"));
}

/* A filter that is not built in is refused by its number, before any voxel is asked for. */
static void unknown_filters_are_named(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], below[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    const hsize_t shape[3] = {NZ, NY, NX};
    assert_ok(clm_path_join(path, folder, "filter.h5", &err), err);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), s = H5Screate_simple(3, shape, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_chunk(list, 3, shape);
    (void)H5Pset_filter(list, 32008, H5Z_FLAG_OPTIONAL, 0, NULL);
    hid_t d = H5Dcreate2(f, "data", H5T_STD_U16LE, s, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(d > 0);
    (void)H5Dclose(d), (void)H5Pclose(list), (void)H5Sclose(s), (void)H5Fclose(f);
    assert_ok(clm_path_join(below, path, "data", &err), err);
    assert_fails(CLM_E_UNSUPPORTED, clm_array_open(below, &a, &err), err);
    assert_non_null(strstr(err.text, "filter 32008"));
}

static void add_dataset(hid_t f, const char *path, hid_t type, int ndim, const hsize_t shape[], hid_t memory,
                        const void *data) {
    hid_t list = H5Pcreate(H5P_LINK_CREATE), s = H5Screate_simple(ndim, shape, NULL);
    (void)H5Pset_create_intermediate_group(list, 1);
    hid_t d = H5Dcreate2(f, path, type, s, list, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(d > 0);
    (void)H5Dwrite(d, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    (void)H5Dclose(d), (void)H5Sclose(s), (void)H5Pclose(list);
}

/* Where the voxels of dataset "data" of NAME lie: in `file`, by an external link, as raw bytes, virtually. */
static void point_to(const char *name, const char *file, int how) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    const hsize_t shape[3] = {NZ, NY, NX};
    assert_ok(clm_path_join(path, folder, name, &err), err);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), s = H5Screate_simple(3, shape, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), d = -1;
    if (how == 0) assert_true(H5Lcreate_external(file, "data", f, "data", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    if (how == 1) assert_true(H5Pset_external(list, file, 0, sizeof voxels) >= 0);
    if (how == 2) assert_true(H5Pset_virtual(list, s, file, "data", s) >= 0);
    if (how > 0) d = H5Dcreate2(f, "data", H5T_STD_U16LE, s, H5P_DEFAULT, list, H5P_DEFAULT);
    if (d > 0) (void)H5Dclose(d);
    (void)H5Pclose(list), (void)H5Sclose(s), (void)H5Fclose(f);
}

/* A file from somebody else does not make us read any file of ours: only those beside it. */
static void hdf5_leads_to_no_file_elsewhere(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], aside[CLM_PATH_MAX], other[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    const hsize_t shape[3] = {NZ, NY, NX};
    assert_ok(clm_path_join(aside, folder, "aside", &err) && clm_folder_make(aside, &err), err);
    for (int here = 0; here < 2; here++) { /* the voxels, beside and aside */
        assert_ok(clm_path_join(path, here ? folder : aside, "voxels.h5", &err), err);
        hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        add_dataset(f, "data", H5T_STD_U16LE, 3, shape, H5T_NATIVE_UINT16, voxels);
        (void)H5Fclose(f);
        assert_ok(clm_path_join(path, here ? folder : aside, "voxels.raw", &err), err);
        assert_ok(clm_file_publish(path, voxels, sizeof voxels, false, &err), err);
    }
    for (int how = 0; how < 3; how++) {
        const char *name = how == 1 ? "voxels.raw" : "voxels.h5";
        assert_ok(clm_path_join(path, folder, "led.h5/data", &err), err);
        assert_ok(clm_path_join(other, aside, name, &err), err);
        for (int k = 0; k < 2; k++) {
            char up[64];
            (void)snprintf(up, sizeof up, "aside/%s", name);
            point_to("led.h5", k ? up : other, how);
            assert_fails(CLM_E_UNSUPPORTED, clm_array_open(path, &a, &err), err);
        }
        point_to("led.h5", name, how);
        if (how == 2) { /* the library's own assembly of other datasets */
            assert_fails(CLM_E_UNSUPPORTED, clm_array_open(path, &a, &err), err);
            assert_non_null(strstr(err.text, "virtual"));
            continue;
        }
        assert_ok(clm_array_open(path, &a, &err), err);
        uint16_t raw[NZ * NY * NX];
        assert_ok(clm_array_read(a, (const int64_t[3]){0, 0, 0}, (const int64_t[3]){NZ, NY, NX}, raw, &err),
                  err);
        assert_memory_equal(raw, voxels, sizeof voxels);
        clm_array_close(a);
        a = NULL;
    }
    unsigned plugins = 1; /* nor to a library to be loaded */
    assert_true(H5PLget_loading_state(&plugins) >= 0);
    assert_int_equal(plugins, 0);
}

/* BigDataViewer: levels, factors in the file, voxel size in the XML, voxels above 32767 kept as negative. */
static void bdv_pyramid(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], xml[CLM_PATH_MAX], setup[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    uint16_t bright[NZ * NY * NX];
    const double factor[2][3] = {{1, 1, 1}, {2, 2, 1}}; /* x y z */
    const hsize_t fine[3] = {NZ, NY, NX}, coarse[3] = {NZ, 2, 2}, table[2] = {2, 3};
    for (int i = 0; i < NZ * NY * NX; i++) bright[i] = (uint16_t)(voxels[i] + 40000);
    assert_ok(clm_path_join(path, folder, "b.h5", &err), err);
    assert_ok(clm_path_join(xml, folder, "b.xml", &err), err);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    add_dataset(f, "t00000/s00/0/cells", H5T_STD_I16LE, 3, fine, H5T_NATIVE_INT16, bright);
    add_dataset(f, "t00000/s00/1/cells", H5T_STD_I16LE, 3, coarse, H5T_NATIVE_INT16, bright);
    add_dataset(f, "s00/resolutions", H5T_NATIVE_DOUBLE, 2, table, H5T_NATIVE_DOUBLE, factor);
    (void)H5Fclose(f);
    assert_fails(CLM_E_ARG, clm_image_open(path, NULL, &im, &err), err); /* no XML yet */
    const char *text =
        "<SpimData><ViewSetup><id>0</id><voxelSize><unit>nm</unit><size>200 300 1000</size></voxelSize></ViewSetup></SpimData>";
    assert_ok(clm_file_publish(xml, text, strlen(text), false, &err), err);
    assert_ok(clm_path_join(setup, path, "t00000/s00", &err), err);
    for (int k = 0; k < 2; k++) {
        assert_ok(clm_image_open(k ? setup : path, NULL, &im, &err), err);
        const clm_image_info *i = clm_image_info_of(im);
        assert_int_equal(i->n_levels, 2);
        assert_int_equal(i->dtype, CLM_U16);
        assert_near(i->level[1].spacing_um[0], 1, 1e-12);
        assert_near(i->level[1].spacing_um[1], 0.6, 1e-12);
        assert_near(i->level[1].origin_um[2], 0.1, 1e-12);
        clm_image_close(im);
        double where[3];
        assert_near(value_at(k ? setup : path, 2, 1, 3, where), 40213, 0);
    }
}

static void put_letters(hid_t g, const char *name, const char *text) {
    const hsize_t n = strlen(text);
    hid_t type = H5Tcopy(H5T_C_S1), s = H5Screate_simple(1, &n, NULL);
    hid_t a = H5Acreate2(g, name, type, s, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Awrite(a, type, text);
    (void)H5Aclose(a), (void)H5Sclose(s), (void)H5Tclose(type);
}

/* Imaris: data padded beyond the true size, attributes as lists of letters. */
static void imaris_file(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    double where[3];
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    const hsize_t shape[3] = {NZ, NY, NX};
    assert_ok(clm_path_join(path, folder, "a.ims", &err), err);
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), list = H5Pcreate(H5P_LINK_CREATE);
    (void)H5Pset_create_intermediate_group(list, 1);
    add_dataset(f, "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data", H5T_STD_U16LE, 3, shape,
                H5T_NATIVE_UINT16, voxels);
    hid_t c = H5Gopen2(f, "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0", H5P_DEFAULT);
    hid_t g = H5Gcreate2(f, "DataSetInfo/Image", list, H5P_DEFAULT, H5P_DEFAULT);
    put_letters(c, "ImageSizeX", "4"), put_letters(c, "ImageSizeY", "4"), put_letters(c, "ImageSizeZ", "3");
    static const char *const name[] = {"ExtMin0", "ExtMin1", "ExtMin2", "ExtMax0",
                                       "ExtMax1", "ExtMax2", "Unit"};
    static const char *const text[] = {"10", "0", "-3", "18", "2", "3", "um"};
    for (int i = 0; i < 7; i++) put_letters(g, name[i], text[i]);
    (void)H5Gclose(c), (void)H5Gclose(g), (void)H5Pclose(list), (void)H5Fclose(f);
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    assert_int_equal(clm_image_info_of(im)->level[0].shape[2], 4);
    clm_image_close(im);
    assert_near(value_at(path, 2, 1, 3, where), 213, 0);
    assert_near(where[0], -3 + 2.5 * 2, 1e-9);
    assert_near(where[1], 1.5 * 0.5, 1e-9);
    assert_near(where[2], 10 + 3.5 * 2, 1e-9);
}

static void other_files_are_refused(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], below[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    write_file(path, "a.txt", "hello", 5);
    assert_fails(CLM_E_UNSUPPORTED, clm_array_open(path, &a, &err), err);
    assert_non_null(strstr(err.text, path));
    assert_ok(clm_path_join(below, path, "x/y", &err), err);
    assert_fails(CLM_E_NOTFOUND, clm_array_open(below, &a, &err), err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nrrd_axes),
        cmocka_unit_test(nrrd_encodings),
        cmocka_unit_test(gzip_members),
        cmocka_unit_test(tiff_stack),
        cmocka_unit_test(channels_of_files),
        cmocka_unit_test(hdf5_datasets),
        cmocka_unit_test(unknown_filters_are_named),
        cmocka_unit_test(hdf5_leads_to_no_file_elsewhere),
        cmocka_unit_test(bdv_pyramid),
        cmocka_unit_test(imaris_file),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
