/* HDF5 files as wholes: Imaris and BigDataViewer pyramids, element sizes, chunks behind filters. The input chooses
 * attributes, shapes and chunk bytes; the file around them is the library's and well formed, since its own structures
 * are the library's to check. One file for many inputs, emptied after each: making and opening it anew took half the
 * time; but it grows, and the library with it, to three times the time after 10^5 inputs. */
#include "collimate/base/file.h"
#include "collimate/store/image.h"
#include "support/fuzz.h"
#include "support/temp.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RENEWED 1000 /* inputs a file */

static char folder[CLM_PATH_MAX];
static hid_t file, parents; /* the file stays open: the reader finds what it opens in memory */

static void drop(void) { clm_test_folder_drop(folder); }

/* an attribute of any kind: letters one by one, one text, numbers */
static void attribute(hid_t at, const char *name, fuzz_input *in) {
    char bytes[96];
    unsigned kind = fuzz_take(in) % 4;
    hsize_t n = fuzz_take(in) % 80;
    (void)fuzz_take_bytes(in, bytes, (size_t)n);
    hid_t type = kind == 2 ? H5Tcopy(H5T_NATIVE_DOUBLE) : H5Tcopy(H5T_C_S1);
    hsize_t count = kind == 2 ? n / 8 : kind == 0 ? n : 1;
    if (kind == 1 || kind == 3) (void)H5Tset_size(type, n ? (size_t)n : 1);
    if (kind == 3) (void)H5Tset_strpad(type, H5T_STR_SPACEPAD);
    hid_t space = H5Screate_simple(1, &count, NULL),
          a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a > 0 && count) (void)H5Awrite(a, type, bytes);
    if (a > 0) (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static hid_t dataset(hid_t at, const char *name, fuzz_input *in, int ndim, int filter) {
    const hid_t types[] = {H5T_STD_U16LE,  H5T_STD_I16BE, H5T_STD_U8LE,
                           H5T_IEEE_F32LE, H5T_STD_I64LE, H5T_C_S1};
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), type = types[fuzz_take(in) % 6];
    hsize_t shape[4], chunk[4];
    for (int d = 0; d < ndim; d++) chunk[d] = 1 + fuzz_take(in) % 6, shape[d] = fuzz_take(in) % 9 + (d < 3);
    if (filter) (void)H5Pset_chunk(list, ndim, chunk);
    if (filter > 1) (void)H5Pset_filter(list, filter, H5Z_FLAG_OPTIONAL, 0, NULL);
    hid_t space = H5Screate_simple(ndim, shape, NULL);
    hid_t d = H5Dcreate2(at, name, type, space, parents, list, H5P_DEFAULT);
    (void)H5Sclose(space);
    (void)H5Pclose(list);
    return d;
}

static void imaris(hid_t f, fuzz_input *in) {
    static const char *const size[] = {"ImageSizeX", "ImageSizeY", "ImageSizeZ"};
    static const char *const box[] = {"ExtMin0", "ExtMin1", "ExtMin2", "ExtMax0",
                                      "ExtMax1", "ExtMax2", "Unit"};
    unsigned which = fuzz_take(in);
    hid_t d = dataset(f, "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data", in, 3, (int)(which & 1));
    if (d > 0) (void)H5Dclose(d);
    hid_t c = H5Gopen2(f, "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0", H5P_DEFAULT);
    for (int i = 0; c > 0 && i < 3; i++)
        if (which >> (1 + i) & 1) attribute(c, size[i], in);
    if (c > 0) (void)H5Gclose(c);
    hid_t image = H5Gcreate2(f, "DataSetInfo/Image", parents, H5P_DEFAULT, H5P_DEFAULT);
    for (int i = 0; image > 0 && i < 7; i++)
        if (which >> 4 != (unsigned)i) attribute(image, box[i], in);
    if (image > 0) (void)H5Gclose(image);
}

/* factors, one or two levels, and whatever is left is the XML */
static void viewer(hid_t f, fuzz_input *in, const char *xml) {
    hsize_t shape[2] = {fuzz_take(in) % 5, 2 + fuzz_take(in) % 3};
    double factors[20];
    clm_err err = CLM_ERR_NONE;
    (void)fuzz_take_bytes(in, factors, (size_t)(shape[0] * shape[1]) * 8);
    hid_t space = H5Screate_simple(2, shape, NULL);
    hid_t r = H5Dcreate2(f, "s00/resolutions", H5T_NATIVE_DOUBLE, space, parents, H5P_DEFAULT, H5P_DEFAULT);
    if (r > 0 && shape[0]) (void)H5Dwrite(r, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, factors);
    if (r > 0) (void)H5Dclose(r);
    (void)H5Sclose(space);
    unsigned levels = fuzz_take(in) % 2;
    for (unsigned k = 0; k <= levels; k++) {
        char path[40];
        (void)snprintf(path, sizeof path, "t00000/s00/%u/cells", k);
        hid_t d = dataset(f, path, in, 3, 1);
        if (d > 0) (void)H5Dclose(d);
    }
    FUZZ_ASSERT(clm_file_publish(xml, in->p, in->n, false, &err));
    in->n = 0;
}

/* the first chunk's bytes as they stand, behind one of our filters */
static void filtered(hid_t f, fuzz_input *in) {
    static const int filters[] = {32001, 32004, 32015, 32000};
    const hsize_t zero[3] = {0};
    int filter = filters[fuzz_take(in) % 4];
    hid_t d = dataset(f, "data", in, 3, filter);
    if (d > 0 && in->n) (void)H5Dwrite_chunk(d, H5P_DEFAULT, 0, zero, in->n, in->p);
    if (d > 0) attribute(d, "element_size_um", &(fuzz_input){(const uint8_t *)"\2\30", 2});
    if (d > 0) (void)H5Dclose(d);
}

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    static const char xml[] = "<SpimData><ViewSetup><id>0</id><voxelSize><unit>um</unit><size>1 2 3</size>"
                              "</voxelSize></ViewSetup></SpimData>";
    static const uint8_t data[] = {1, 1, 1, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    size_t n = 0;
    FUZZ_ASSERT(cap > 512);
    if (k > 4) return 0;
    buf[n++] = (uint8_t)(k % 3);
    if (k % 3 == 0) { /* Imaris: all sizes "4", extents of letters */
        static const uint8_t head[] = {0x0f, 0, 3, 4, 3, 4, 3, 4};
        memcpy(buf + n, head, sizeof head), n += sizeof head;
        for (int i = 0; i < 10; i++) buf[n++] = 0, buf[n++] = 1, buf[n++] = (uint8_t)("444000888u"[i]);
    } else if (k % 3 == 1) {
        static const double one[3] = {1, 1, 1};
        buf[n++] = 1, buf[n++] = 1;
        memcpy(buf + n, one, sizeof one), n += sizeof one;
        for (int i = 0; i < 8; i++) buf[n++] = (uint8_t)(i ? 3 : 0);
        memcpy(buf + n, xml, sizeof xml - 1), n += sizeof xml - 1;
    } else {
        buf[n++] = (uint8_t)k;
        for (int i = 0; i < 7; i++) buf[n++] = (uint8_t)(i ? 3 : 0);
        memcpy(buf + n, data, sizeof data), n += sizeof data;
    }
    return n;
}

static void read_image(const char *path) {
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    float out[64];
    if (!clm_image_open(path, NULL, &im, &err)) {
        FUZZ_ASSERT(err.code != CLM_OK && err.text[0]);
        return;
    }
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    clm_box box = {{0, 0, 0}, {1, 1, 1}};
    for (int d = 0; d < 3; d++) {
        FUZZ_ASSERT(l->shape[d] >= 1 && l->spacing_um[d] > 0);
        box.hi[d] = l->shape[d] < 4 ? l->shape[d] : 4;
    }
    clm_vol v = {.data = out, .shape = {box.hi[0], box.hi[1], box.hi[2]}, .stride = {16, 4}};
    if (!clm_image_read(im, 0, box, &v, &err)) FUZZ_ASSERT(err.code != CLM_OK);
    clm_image_close(im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const made[3][2] = {{"DataSet", "DataSetInfo"}, {"s00", "t00000"}, {"data"}};
    clm_err err = CLM_ERR_NONE;
    fuzz_input in = {data, size};
    static char path[CLM_PATH_MAX], xml[CLM_PATH_MAX], inside[CLM_PATH_MAX];
    static unsigned inputs;
    if (size < 1) return 0;
    if (!parents) {
        clm_test_folder(folder);
        (void)atexit(drop);
        (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        (void)H5set_free_list_limits(-1, -1, -1, -1, -1, -1); /* kept, not given back each time */
        parents = H5Pcreate(H5P_LINK_CREATE);
        (void)H5Pset_create_intermediate_group(parents, 1);
        FUZZ_ASSERT(clm_path_join(path, folder, "a.h5", &err) && clm_path_join(xml, folder, "a.xml", &err) &&
                    clm_path_join(inside, path, "data", &err));
    }
    if (inputs++ % RENEWED == 0) {
        FUZZ_ASSERT(!file || H5Fclose(file) >= 0);
        file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        FUZZ_ASSERT(file > 0);
        (void)H5Fflush(file, H5F_SCOPE_LOCAL);
    }
    unsigned kind = fuzz_take(&in) % 3;
    if (kind == 0)
        imaris(file, &in);
    else if (kind == 1)
        viewer(file, &in, xml);
    else
        filtered(file, &in);
    read_image(kind == 2 ? inside : path);
    for (int i = 0; i < 2 && made[kind][i]; i++)
        if (H5Lexists(file, made[kind][i], H5P_DEFAULT) > 0)
            FUZZ_ASSERT(H5Ldelete(file, made[kind][i], H5P_DEFAULT) >= 0);
    return 0;
}
