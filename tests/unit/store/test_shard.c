/* Shards written piece by piece. */
#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"
#include "collimate/codec/codec.h"

#include <pthread.h>
#include <string.h>

static clm_array *make(const char *name, const clm_array_spec *spec, char path[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_array_create(path, spec, &a, &err), err);
    return a;
}

/* Some pieces are all fill, some are not; a pure function of the place. */
static uint16_t voxel(int64_t z, int64_t y, int64_t x) {
    if ((z / 8 + y / 8 + x / 8) % 3 == 0) return 5;
    return (uint16_t)(clm_rng_bits(3, 1, (uint64_t)((z * 1000 + y) * 1000 + x)) % 50 + (uint64_t)x);
}

typedef struct asked {
    int64_t boxes, most_voxels, fail_at;
} asked;

static bool give(void *ctx, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err) {
    asked *k = ctx;
    uint16_t *p = dst;
    int64_t n = (hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]);
    if (k->boxes++ == k->fail_at) return clm_fail(err, CLM_E_NODATA, "no more voxels");
    if (n > k->most_voxels) k->most_voxels = n;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) *p++ = voxel(z, y, x);
    return true;
}

static void append(clm_buf *b, const void *p, size_t n) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_buf_reserve(b, b->n + n, &err), err);
    memcpy(b->data + b->n, p, n);
    b->n += n;
}

static void append_u64(clm_buf *b, uint64_t x) {
    for (int i = 0; i < 8; i++) append(b, &(unsigned char){(unsigned char)(x >> 8 * i)}, 1);
}

/* The shard by the specification: 8^3 pieces of the 24 x 16 x 32 at `lo`, of an array of 40 x 16 x 41, fill 5. */
static void by_hand(const int64_t lo[3], const clm_codec *c, clm_buf *file) {
    clm_err err = CLM_ERR_NONE;
    clm_buf index = {0}, coded = {0};
    uint16_t piece[512];
    for (int64_t z = lo[0]; z < lo[0] + 24; z += 8)
        for (int64_t y = lo[1]; y < lo[1] + 16; y += 8)
            for (int64_t x = lo[2]; x < lo[2] + 32; x += 8) {
                bool empty = true;
                for (int i = 0; i < 512; i++) {
                    int64_t at[3] = {z + i / 64, y + i / 8 % 8, x + i % 8};
                    piece[i] = at[0] < 40 && at[1] < 16 && at[2] < 41 ? voxel(at[0], at[1], at[2]) : 5;
                    empty = empty && piece[i] == 5;
                }
                if (!empty) assert_ok(clm_codec_encode(c, piece, sizeof piece, &coded, &err), err);
                append_u64(&index, empty ? UINT64_MAX : file->n);
                append_u64(&index, empty ? UINT64_MAX : coded.n);
                if (!empty) append(file, coded.data, coded.n);
            }
    uint32_t sum = clm_crc32c(0, index.data, index.n);
    append(file, index.data, index.n);
    for (int i = 0; i < 4; i++) append(file, &(unsigned char){(unsigned char)(sum >> 8 * i)}, 1);
    clm_buf_free(&index);
    clm_buf_free(&coded);
}

/* In memory at once, or asked for piece by piece: both write what the specification says. */
static void bytes_are_those_of_the_specification(void **state) {
    (void)state;
    const clm_array_spec spec = {.ndim = 3,
                                 .shape = {40, 16, 41}, /* a piece of one voxel's width at the end */
                                 .chunk = {8, 8, 8},
                                 .shard = {24, 16, 32},
                                 .dtype = CLM_U16,
                                 .fill = 5};
    clm_err err = CLM_ERR_NONE;
    clm_codec c;
    char path[2][CLM_PATH_MAX];
    clm_array *a[2] = {make("whole.zarr", &spec, path[0]), make("pieces.zarr", &spec, path[1])};
    assert_ok(clm_codec_named("blosc", -1, CLM_U16, &c, &err), err);
    for (int64_t i = 0; i < 4; i++) { /* 2 x 1 x 2 shards */
        const int64_t index[3] = {i / 2, 0, i % 2}, corner[3] = {24 * index[0], 0, 32 * index[2]};
        int64_t lo[3], hi[3];
        uint16_t voxels[24 * 16 * 32];
        asked all = {.fail_at = -1}, k = {.fail_at = -1};
        clm_buf want = {0};
        clm_array_chunk_box(a[0], index, lo, hi);
        assert_ok(give(&all, lo, hi, voxels, &err), err);
        assert_ok(clm_array_put_chunk(a[0], index, voxels, &err), err);
        assert_ok(clm_array_put_chunk_from(a[1], index, give, &k, &err), err);
        assert_int_equal(k.most_voxels, 512); /* one piece at a time, and none beyond the array */
        assert_int_equal(k.boxes, (hi[0] - lo[0]) / 8 * 2 * ((hi[2] - lo[2] + 7) / 8));
        by_hand(corner, &c, &want);
        for (int w = 0; w < 2; w++) {
            char file[CLM_PATH_MAX];
            clm_buf got = {0};
            assert_ok(clm_path_format(file, &err, "%s/c/%d/0/%d", path[w], (int)index[0], (int)index[2]),
                      err);
            assert_ok(clm_file_read(file, 1 << 24, &got, &err), err);
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.data, want.data, want.n);
            clm_buf_free(&got);
        }
        clm_buf_free(&want);
    }
    clm_array_close(a[0]);
    clm_array_close(a[1]);
}

/* A source that gives up leaves the shard that was there, and nothing beside it. */
static void a_failing_source_changes_nothing(void **state) {
    (void)state;
    const clm_array_spec spec = {
        .ndim = 3, .shape = {16, 16, 16}, .chunk = {8, 8, 8}, .shard = {16, 16, 16}, .dtype = CLM_U16};
    const int64_t index[3] = {0, 0, 0}, hi[3] = {16, 16, 16};
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX], inside[CLM_PATH_MAX];
    clm_array *a = make("failing.zarr", &spec, path);
    uint16_t before[4096], after[4096];
    clm_names names;
    asked k = {.fail_at = -1};
    assert_ok(clm_array_put_chunk_from(a, index, give, &k, &err), err);
    assert_ok(clm_array_read(a, index, hi, before, &err), err);
    for (int64_t at = 0; at < 8; at++) {
        k = (asked){.fail_at = at};
        err = CLM_ERR_NONE;
        assert_fails(CLM_E_NODATA, clm_array_put_chunk_from(a, index, give, &k, &err), err);
    }
    assert_ok(clm_array_read(a, index, hi, after, &err), err);
    assert_memory_equal(after, before, sizeof before);
    assert_ok(clm_path_join(inside, path, "c/0/0", &err), err);
    assert_ok(clm_folder_list(inside, &names, &err), err);
    assert_int_equal(names.n, 1);
    clm_names_free(&names);
    clm_array_close(a);
}

/* 512 pieces of 32^3: what a fresh thread's buffers have grown to. */
static void *put_large(void *arg) {
    clm_err err = CLM_ERR_NONE;
    asked k = {.fail_at = -1};
    static size_t held;
    if (!clm_array_put_chunk_from(arg, (const int64_t[]){0, 0, 0}, give, &k, &err)) return NULL;
    const clm_scratch *s = clm_scratch_mine(&err);
    held = s->file.cap + s->work[0].cap + s->work[1].cap + s->pad.cap + s->row.cap + s->given.cap;
    return k.boxes == 512 ? &held : NULL;
}

static void memory_does_not_grow_with_the_shard(void **state) {
    (void)state;
    const clm_array_spec spec = {.ndim = 3,
                                 .shape = {250, 256, 256},
                                 .chunk = {32, 32, 32},
                                 .shard = {256, 256, 256},
                                 .dtype = CLM_U16};
    char path[CLM_PATH_MAX];
    clm_array *a = make("large.zarr", &spec, path);
    pthread_t thread;
    void *held;
    assert_int_equal(pthread_create(&thread, NULL, put_large, a), 0);
    assert_int_equal(pthread_join(thread, &held), 0);
    assert_non_null(held);
    /* voxels, padded voxels and encoded bytes of one piece, and the index */
    assert_true(*(size_t *)held <= (size_t)(3.1 * 32 * 32 * 32 * 2 + 2 * 512 * 16));
    clm_array_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_the_specification),
        cmocka_unit_test(a_failing_source_changes_nothing),
        cmocka_unit_test(memory_does_not_grow_with_the_shard),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
