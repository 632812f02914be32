/* Images in one file for tests: voxel (z,y,x) of the file holds 100 z + 10 y + x. */
#ifndef TESTS_STORE_VOXEL_FILES_H
#define TESTS_STORE_VOXEL_FILES_H

#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/file.h"
#include "collimate/store/image.h"

#include <string.h>

enum { NZ = 3, NY = 4, NX = 5 };

static char folder[CLM_PATH_MAX];
static uint16_t voxels[NZ * NY * NX];

static int set_up(void **state) {
    (void)state;
    clm_test_folder(folder);
    for (int i = 0; i < NZ * NY * NX; i++)
        voxels[i] = (uint16_t)(100 * (i / (NY * NX)) + 10 * (i / NX % NY) + i % NX);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    return 0;
}

static void write_file(char path[CLM_PATH_MAX], const char *name, const void *head, size_t head_n) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_buf_reserve(&b, head_n + sizeof voxels, &err), err);
    memcpy(b.data, head, head_n);
    memcpy(b.data + head_n, voxels, sizeof voxels);
    assert_ok(clm_file_publish(path, b.data, head_n + sizeof voxels, false, &err), err);
    clm_buf_free(&b);
}

/* The value at image voxel (z,y,x), and where it stands in the world. */
static float value_at(const char *path, int64_t z, int64_t y, int64_t x, double where[3]) {
    clm_err err = CLM_ERR_NONE;
    clm_image *im = NULL;
    float out = 0;
    clm_vol v = {.data = &out, .shape = {1, 1, 1}, .stride = {1, 1}};
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    assert_ok(clm_image_read(im, 0, (clm_box){{z, y, x}, {z + 1, y + 1, x + 1}}, &v, &err), err);
    memcpy(where, v.origin, 3 * sizeof where[0]);
    uint16_t raw = 0;
    assert_ok(clm_image_read_raw(im, 0, (clm_box){{z, y, x}, {z + 1, y + 1, x + 1}}, &raw, &err), err);
    assert_near(out, raw, 0);
    clm_image_close(im);
    return out;
}

#endif
