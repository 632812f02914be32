#include "support/status.h"
#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reading of boxes out of chunks that are large, so that a chunk has several of its codec's blocks. */

static uint16_t value(int64_t z, int64_t y, int64_t x) {
    return (uint16_t)((uint64_t)(z * 977 + y * 31 + x) ^
                      (clm_rng_bits(3, (uint64_t)z, (uint64_t)(y << 20 | x)) & 15u));
}

static bool source(void *ctx, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err) {
    uint16_t *p = dst;
    (void)ctx;
    (void)err;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) *p++ = value(z, y, x);
    return true;
}

static clm_array *make(const char *name, clm_array_spec spec) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    int64_t grid[CLM_DIMS_MAX], at[3];
    spec.ndim = 3;
    spec.dtype = CLM_U16;
    assert_ok(clm_path_join(path, folder, name, &err), err);
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    int64_t n = clm_array_chunk_grid(a, grid);
    for (int64_t k = 0; k < n; k++) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        assert_ok(clm_array_put_chunk_from(a, at, source, NULL, &err), err);
    }
    return a;
}

/* 2 MB a chunk, 8 blocks of 256 KiB; cut off at the far edges */
#define LARGE .shape = {150, 129, 140}, .chunk = {128, 64, 128}

static const struct {
    const char *name;
    clm_array_spec spec;
} table[] = {
    {"blosc.zarr", {LARGE}},
    {"shards.zarr", {LARGE, .shard = {256, 128, 256}}},
    {"v2.zarr", {LARGE, .format = CLM_FORMAT_ZARR2}},
    {"blosc.n5", {LARGE, .format = CLM_FORMAT_N5, .codec = "blosc"}},
    {"none.zarr", {LARGE, .codec = "none"}},
};

static void boxes_of_large_chunks(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    uint16_t *got = clm_heap_new((size_t)150 * 129 * 140 * 2, 2, &err), *want = got + (size_t)150 * 129 * 140;
    for (size_t k = 0; k < sizeof table / sizeof table[0]; k++) {
        clm_array *a = make(table[k].name, table[k].spec);
        const int64_t *shape = clm_array_info_of(a)->shape;
        for (uint64_t b = 0; b < 24; b++) {
            int64_t lo[3], hi[3], n = 1;
            for (uint64_t d = 0; d < 3; d++) {
                int64_t most = b % 3 == d ? 3 : shape[d]; /* thin along each axis in turn */
                lo[d] = clm_rng_below(9, b, 2 * d, shape[d]);
                hi[d] = lo[d] + 1 + clm_rng_below(9, b, 2 * d + 1, most);
                hi[d] = hi[d] < shape[d] ? hi[d] : shape[d];
                n *= hi[d] - lo[d];
            }
            assert_ok(clm_array_read_by(a, lo, hi, got, 1 + (int)(b & 1), &err), err);
            assert_true(source(NULL, lo, hi, want, &err));
            assert_memory_equal(got, want, (size_t)n * 2);
        }
        clm_array_close(a);
    }
    clm_heap_free(got);
}

/* What a box does not need is not looked at: the second half of a chunk's file is spoilt. */
static void only_the_blocks_of_a_box_are_decoded(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_cache *cache = NULL;
    char path[CLM_PATH_MAX];
    clm_buf file = {0};
    clm_array *a = make("half.zarr", (clm_array_spec){.shape = {128, 64, 128}, .chunk = {128, 64, 128}});
    uint16_t *got = clm_heap_new((size_t)128 * 64 * 128, 2, &err);
    assert_ok(clm_path_format(path, &err, "%s/half.zarr/c/0/0/0", folder), err);
    assert_ok(clm_file_read(path, (size_t)1 << 24, &file, &err), err);
    memset(file.data + file.n * 5 / 8, 0xff, file.n - file.n * 5 / 8);
    assert_ok(clm_file_publish(path, file.data, file.n, false, &err), err);
    const int64_t zero[3] = {0}, first[3] = {64, 64, 128}, all[3] = {128, 64, 128}, last[3] = {127, 0, 0};
    assert_ok(clm_array_read(a, zero, first, got, &err), err);
    for (int64_t i = 0; i < 64 * 64 * 128; i++)
        assert_int_equal(got[i], value(i / 8192, i / 128 % 64, i % 128));
    assert_fails(CLM_E_FORMAT, clm_array_read(a, last, all, got, &err), err);
    assert_fails(CLM_E_FORMAT, clm_array_read(a, zero, all, got, &err), err);
    assert_ok(clm_cache_open((size_t)1 << 24, &cache, &err), err);
    clm_array_use_cache(a, cache); /* which holds whole chunks */
    assert_fails(CLM_E_FORMAT, clm_array_read(a, zero, first, got, &err), err);
    clm_array_close(a);
    clm_cache_close(cache);
    clm_buf_free(&file);
    clm_heap_free(got);
}

/* ---- memory ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static int64_t status_kb(const char *key) {
    int64_t kb = clm_test_status_kb(key);
    assert_true(kb >= 0);
    return kb;
}

static bool forget_peak(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, "5", 1) == 1;
    if (fd >= 0) close(fd);
    return ok;
}

typedef struct use {
    clm_array *a;
    void *box;
    int64_t lo[3], hi[3];
    int threads;
    bool write;
} use;

static void *run(void *arg) {
    use *u = arg;
    clm_err err = CLM_ERR_NONE;
    if (u->write)
        assert_ok(clm_array_put_chunk_from(u->a, (const int64_t[]){0, 0, 0}, source, NULL, &err), err);
    else
        assert_ok(clm_array_read_by(u->a, u->lo, u->hi, u->box, u->threads, &err), err);
    return NULL;
}

/* bytes beyond what was there, in threads that have no buffers yet */
static int64_t peak_of(use u) {
    pthread_t thread;
    (void)malloc_trim(0);
    if (!forget_peak()) {
        print_message("SKIPPED: this system does not reset a process's peak\n");
        skip();
    }
    int64_t before = status_kb("VmRSS:");
    assert_int_equal(pthread_create(&thread, NULL, run, &u), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return (status_kb("VmHWM:") - before) * 1024;
}

static void a_thread_takes_at_most_three_chunks(void **state) {
    (void)state;
    if (SANITIZED) {
        print_message("SKIPPED: a sanitizer has memory of its own\n");
        skip();
    }
    static const struct {
        const char *name;
        clm_array_spec spec;
    } kinds[] = {{"m.blosc.zarr", {.codec = "blosc"}},
                 {"m.zstd.zarr", {.codec = "zstd"}},
                 {"m.gzip.zarr", {.codec = "gzip", .level = 1}},
                 {"m.n5", {.codec = "gzip", .level = 1, .format = CLM_FORMAT_N5}},
                 {"m.none.n5", {.codec = "none", .format = CLM_FORMAT_N5}}};
    const int64_t chunk = (int64_t)128 * 128 * 128 * 2, box = 2 * chunk * 4;
    clm_err err = CLM_ERR_NONE;
    void *to = clm_heap_new((size_t)box, 1, &err);
    assert_non_null(to);
    memset(to, 1, (size_t)box);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        clm_array_spec spec = kinds[k].spec;
        for (int d = 0; d < 3; d++) spec.shape[d] = 256 - 5 * d, spec.chunk[d] = 128;
        clm_array *a = make(kinds[k].name, spec);
        for (int threads = 1; threads <= 2; threads++) {
            use u = {.a = a, .box = to, .hi = {256, 251, 246}, .threads = threads};
            assert_in_range(peak_of(u), 0, 3 * chunk * threads);
            u = (use){.a = a, .box = to, .lo = {64, 64, 64}, .hi = {192, 192, 192}, .threads = threads};
            assert_in_range(peak_of(u), 0, 3 * chunk * threads);
        }
        assert_in_range(peak_of((use){.a = a, .write = true}), 0, 3 * chunk);
        clm_array_close(a);
    }
    clm_heap_free(to);
}

int main(void) {
    (void)mallopt(M_ARENA_MAX, 1); /* the only one that malloc_trim empties to its end */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_of_large_chunks),
        cmocka_unit_test(only_the_blocks_of_a_box_are_decoded),
        cmocka_unit_test(a_thread_takes_at_most_three_chunks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
