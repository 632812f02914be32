/* Volumes in one file, written in pieces. */
#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/store/image.h"
#include "collimate/store/volume.h"

#include <string.h>
#include <unistd.h>

static const char *const names[] = {"a.nii", "b.nii.gz", "c.nrrd"};

static clm_volume_spec spec_of(const char *name, clm_dtype type, int64_t z, int64_t y, int64_t x) {
    clm_volume_spec s = {
        .dtype = type,
        .frame = {.shape = {z, y, x}, .spacing_um = {3, 2.5, 0.5}, .origin_um = {-7, 1000, 0.25}}};
    assert_true(clm_volume_kind_of(name, &s.kind));
    return s;
}

static void at(char path[CLM_PATH_MAX], const char *name) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, name, &err), err);
}

/* Every kind and type, pieces in any order and twice: voxels, grid and type come back. */
static void what_is_put_comes_back(void **state) {
    (void)state;
    static const clm_dtype types[] = {CLM_U8, CLM_U16, CLM_I16, CLM_U32, CLM_I64, CLM_F32, CLM_F64};
    static const int64_t pieces[][2] = {{3, 5}, {0, 2}, {2, 3}, {0, 2}};
    for (int k = 0; k < 21; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_volume_spec s = spec_of(names[k % 3], types[k / 3], 5, 4, 6);
        size_t size = clm_dtype_size(s.dtype), plane = 24 * size;
        unsigned char voxels[5 * 24 * 8], got[5 * 24 * 8];
        char path[CLM_PATH_MAX];
        clm_image *im = NULL;
        at(path, names[k % 3]);
        for (size_t i = 0; i < 5 * plane; i++) voxels[i] = (unsigned char)(i % size ? 0 : i / size);
        assert_ok(clm_volume_create(path, &s, &err), err);
        for (int i = 0; i < 4; i++)
            assert_ok(clm_volume_put(path, &s, pieces[i][0], pieces[i][1],
                                     voxels + (size_t)pieces[i][0] * plane, &err),
                      err);
        assert_ok(clm_volume_finish(path, &s, &err), err);
        /* second copies come too late, not wrongly */
        assert_ok(clm_volume_finish(path, &s, &err) && clm_volume_put(path, &s, 0, 2, voxels, &err), err);
        assert_ok(clm_image_open(path, NULL, &im, &err), err);
        const clm_image_info *info = clm_image_info_of(im);
        assert_int_equal(info->dtype, s.dtype);
        for (int d = 0; d < 3; d++) {
            assert_int_equal(info->level[0].shape[d], s.frame.shape[d]);
            assert_near(info->level[0].spacing_um[d], s.frame.spacing_um[d], 1e-5);
            assert_near(info->level[0].origin_um[d], s.frame.origin_um[d], 1e-4);
        }
        assert_ok(clm_image_read_raw(im, 0, clm_box_of(s.frame.shape), got, &err), err);
        assert_memory_equal(got, voxels, 5 * plane);
        clm_image_close(im);
    }
    clm_err err = CLM_ERR_NONE;
    clm_names left;
    assert_ok(clm_folder_list(folder, &left, &err), err);
    assert_int_equal(left.n, 3); /* no parts beside them */
    clm_names_free(&left);
}

/* Before it is finished nothing stands under the name; what cannot be is refused. */
static void half_a_volume_is_none(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_volume_spec s = spec_of("half.nii", CLM_U8, 4, 2, 2);
    const unsigned char plane[16] = {0};
    char path[CLM_PATH_MAX];
    at(path, "half.nii");
    assert_ok(clm_volume_create(path, &s, &err), err);
    assert_ok(clm_volume_put(path, &s, 0, 1, plane, &err), err);
    assert_int_equal(clm_path_kind_of(path), CLM_PATH_NONE);
    assert_fails(CLM_E_ARG, clm_volume_put(path, &s, 3, 5, plane, &err), err);
    assert_fails(CLM_E_ARG, clm_volume_put(path, &s, 2, 2, plane, &err), err);
    assert_fails(CLM_E_ARG, clm_volume_put(path, &s, -1, 1, plane, &err), err);
    s.dtype = CLM_C64;
    assert_fails(CLM_E_ARG, clm_volume_create(path, &s, &err), err);
    assert_false(clm_volume_kind_of("a.tif", &s.kind));
}

/* NIfTI-1 counts to 32767: a longer axis makes it NIfTI-2. */
static void long_axes_are_nifti_2(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_volume_spec s = spec_of("long.nii", CLM_U8, 1, 1, 32768);
    static unsigned char voxels[32768];
    char path[CLM_PATH_MAX];
    clm_buf head = {0};
    clm_image *im = NULL;
    at(path, "long.nii");
    assert_ok(clm_volume_create(path, &s, &err), err);
    assert_ok(clm_volume_put(path, &s, 0, 1, voxels, &err), err);
    assert_ok(clm_volume_finish(path, &s, &err), err);
    assert_ok(clm_file_head(path, 8, &head, &err), err);
    assert_memory_equal(head.data, "\x1c\x02\0\0n+2", 7); /* 540 */
    assert_ok(clm_image_open(path, NULL, &im, &err), err);
    assert_int_equal(clm_image_info_of(im)->level[0].shape[2], 32768);
    clm_image_close(im);
    clm_buf_free(&head);
}

/* A link where the part would be written is not followed; one under the name is replaced, its target kept. */
static void links_are_not_followed(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_volume_spec s = spec_of("linked.nii", CLM_U8, 1, 2, 2);
    const unsigned char voxels[4] = {1, 2, 3, 4};
    char path[CLM_PATH_MAX], part[CLM_PATH_MAX], precious[CLM_PATH_MAX];
    clm_buf b = {0};
    at(path, "linked.nii");
    at(part, ".linked.nii.part");
    at(precious, "precious");
    assert_ok(clm_file_publish(precious, "kept", 4, false, &err), err);
    assert_int_equal(symlink(precious, part), 0);
    assert_fails(CLM_E_WRITE, clm_volume_create(path, &s, &err), err);
    assert_fails(CLM_E_WRITE, clm_volume_put(path, &s, 0, 1, voxels, &err), err);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(symlink(precious, path), 0);
    assert_ok(clm_volume_create(path, &s, &err), err);
    assert_ok(clm_volume_put(path, &s, 0, 1, voxels, &err), err);
    assert_ok(clm_volume_finish(path, &s, &err), err);
    assert_ok(clm_file_publish(part, "x", 1, false, &err), err);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(symlink(precious, part), 0);
    assert_ok(clm_file_publish(part, "new", 3, false, &err), err); /* the link is replaced */
    assert_ok(clm_file_read(precious, 100, &b, &err), err);
    assert_int_equal(b.n, 4);
    assert_memory_equal(b.data, "kept", 4);
    clm_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_comes_back),
        cmocka_unit_test(half_a_volume_is_none),
        cmocka_unit_test(long_axes_are_nifti_2),
        cmocka_unit_test(links_are_not_followed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
