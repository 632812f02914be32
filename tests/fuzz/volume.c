/* Volumes in one file: NIfTI, NRRD, TIFF of any bytes. Input: kind, then the file. */
#include "collimate/base/file.h"
#include "collimate/store/image.h"
#include "support/fuzz.h"
#include "support/temp.h"

#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

static char folder[CLM_PATH_MAX];
static const char *const name[] = {"a.nii", "a.nrrd", "a.tif"};

static void drop(void) { clm_test_folder_drop(folder); }

static void path_of(char out[CLM_PATH_MAX], int kind) {
    clm_err err = CLM_ERR_NONE;
    if (!folder[0]) {
        clm_test_folder(folder);
        (void)atexit(drop);
    }
    FUZZ_ASSERT(clm_path_join(out, folder, name[kind], &err));
}

static size_t make_nifti(uint8_t *h) {
    static const float rows[12] = {-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0};
    const float at = 352;
    memset(h, 0, 352 + 48);
    h[0] = 0x5c, h[1] = 1; /* 348 */
    h[40] = 3, h[42] = 4, h[44] = 3, h[46] = 2, h[48] = 1;
    h[71] = 2, h[72] = 16, h[123] = 2, h[254] = 1;
    memcpy(h + 108, &at, sizeof at);
    memcpy(h + 280, rows, sizeof rows);
    memcpy(h + 344, "n+1", 4);
    return 352 + 48;
}

static size_t make_nrrd(uint8_t *b) {
    static const char head[] =
        "NRRD0005\ntype: uint16\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (7,8,9)\nendian: big\n"
        "encoding: raw\nspace units: \"um\" \"um\" \"um\"\n\n";
    memcpy(b, head, sizeof head - 1);
    memset(b + sizeof head - 1, 7, 48);
    return sizeof head - 1 + 48;
}

static size_t make_tiff(uint8_t *b, size_t cap) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf file = {0};
    uint16_t row[4] = {1, 2, 3, 4};
    path_of(path, 2);
    TIFF *t = TIFFOpen(path, "w");
    FUZZ_ASSERT(t);
    for (int z = 0; z < 2; z++) {
        (void)TIFFSetField(t, TIFFTAG_IMAGEWIDTH, 4);
        (void)TIFFSetField(t, TIFFTAG_IMAGELENGTH, 3);
        (void)TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 16);
        (void)TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 1);
        (void)TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        (void)TIFFSetField(t, TIFFTAG_XRESOLUTION, 2.0);
        (void)TIFFSetField(t, TIFFTAG_YRESOLUTION, 2.0);
        if (z == 0)
            (void)TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION,
                               "ImageJ=1\nimages=2\nslices=2\nspacing=1\nunit=um\n");
        for (uint32_t y = 0; y < 3; y++) (void)TIFFWriteScanline(t, row, y, 0);
        (void)TIFFWriteDirectory(t);
    }
    TIFFClose(t);
    FUZZ_ASSERT(clm_file_read(path, cap, &file, &err));
    size_t n = file.n;
    memcpy(b, file.data, n);
    clm_buf_free(&file);
    return n;
}

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    buf[0] = (uint8_t)k;
    if (k == 0) return 1 + make_nifti(buf + 1);
    if (k == 1) return 1 + make_nrrd(buf + 1);
    return k == 2 ? 1 + make_tiff(buf + 1, cap - 1) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    char path[CLM_PATH_MAX];
    if (size < 1) return 0;
    int kind = data[0] % 3;
    path_of(path, kind);
    FUZZ_ASSERT(clm_file_remove(path, &err)); /* replacing makes some file systems write at once */
    FUZZ_ASSERT(clm_file_publish(path, data + 1, size - 1, false, &err));
    if (!clm_image_open(path, NULL, &im, &err)) return 0;
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    clm_box box = {{0, 0, 0}, {1, 1, 1}};
    float out[64];
    for (int d = 0; d < 3; d++) {
        FUZZ_ASSERT(l->shape[d] >= 1 && l->spacing_um[d] > 0);
        box.hi[d] = l->shape[d] < 4 ? l->shape[d] : 4;
    }
    clm_vol v = {.data = out, .shape = {box.hi[0], box.hi[1], box.hi[2]}, .stride = {16, 4}};
    const int64_t *chunk = clm_array_info_of(clm_image_array_of(im, 0))->chunk;
    if (chunk[0] < 1 << 20 && !clm_image_read(im, 0, box, &v, &err)) FUZZ_ASSERT(err.code != CLM_OK);
    clm_image_close(im);
    return 0;
}
