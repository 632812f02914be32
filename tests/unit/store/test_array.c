#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void fresh(char path[CLM_PATH_MAX], const char *suffix) {
    static int n;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_format(path, &err, "%s/%d%s", folder, n++, suffix), err);
}

/* The whole array, row-major; element i is a number that tells where it belongs. */
static unsigned char *make_whole(const clm_array_info *info, int64_t *count) {
    clm_err err = CLM_ERR_NONE;
    int64_t n = 1;
    size_t size = clm_dtype_size(info->dtype);
    for (int d = 0; d < info->ndim; d++) n *= info->shape[d];
    unsigned char *p = clm_heap_new((size_t)n, size, &err);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++) {
        float f = (float)i * 0.25f;
        uint64_t x = clm_rng_bits(5, 2, (uint64_t)i) >> 56 | (uint64_t)i << 8;
        if (info->dtype == CLM_F32)
            memcpy(p + (size_t)i * size, &f, sizeof f);
        else
            memcpy(p + (size_t)i * size, &x, size < 8 ? size : 8);
    }
    *count = n;
    return p;
}

/* A slow reference: one element at a time. */
static void cut(const clm_array_info *info, const unsigned char *whole, const int64_t lo[],
                const int64_t hi[], unsigned char *out) {
    size_t size = clm_dtype_size(info->dtype);
    int64_t at[CLM_DIMS_MAX];
    memcpy(at, lo, sizeof at);
    for (;;) {
        int64_t i = 0;
        for (int d = 0; d < info->ndim; d++) i = i * info->shape[d] + at[d];
        memcpy(out, whole + (size_t)i * size, size);
        out += size;
        int d = info->ndim - 1;
        for (; d >= 0 && ++at[d] == hi[d]; d--) at[d] = lo[d];
        if (d < 0) return;
    }
}

static void put_all(clm_array *a, const unsigned char *whole) {
    clm_err err = CLM_ERR_NONE;
    const clm_array_info *info = clm_array_info_of(a);
    int64_t grid[CLM_DIMS_MAX], at[CLM_DIMS_MAX] = {0}, lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], n = 1;
    (void)clm_array_chunk_grid(a, grid);
    for (int d = 0; d < info->ndim; d++) n *= info->chunk[d];
    unsigned char *chunk = clm_heap_new((size_t)n, clm_dtype_size(info->dtype), &err);
    assert_non_null(chunk);
    for (;;) {
        clm_array_chunk_box(a, at, lo, hi);
        cut(info, whole, lo, hi, chunk);
        assert_ok(clm_array_put_chunk(a, at, chunk, &err), err);
        int d = info->ndim - 1;
        for (; d >= 0 && ++at[d] == grid[d]; d--) at[d] = 0;
        if (d < 0) break;
    }
    clm_heap_free(chunk);
}

static void read_boxes(const clm_array *a, const unsigned char *whole, int boxes) {
    clm_err err = CLM_ERR_NONE;
    const clm_array_info *info = clm_array_info_of(a);
    size_t size = clm_dtype_size(info->dtype);
    for (int k = 0; k <= boxes; k++) {
        int64_t lo[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX] = {0}, n = 1;
        for (int d = 0; d < info->ndim; d++) {
            uint64_t key = (uint64_t)(k * 8 + d);
            lo[d] = k == 0 ? 0 : clm_rng_below(11, 1, key, info->shape[d]);
            hi[d] = k == 0 ? info->shape[d] : lo[d] + 1 + clm_rng_below(11, 2, key, info->shape[d] - lo[d]);
            n *= hi[d] - lo[d];
        }
        unsigned char *got = clm_heap_new((size_t)n, size, &err), *want = clm_heap_new((size_t)n, size, &err);
        memset(got, 0xa5, (size_t)n * size);
        assert_ok(clm_array_read_by(a, lo, hi, got, 1 + k % 4, &err), err);
        cut(info, whole, lo, hi, want);
        assert_memory_equal(got, want, (size_t)n * size);
        clm_heap_free(got);
        clm_heap_free(want);
    }
}

typedef struct layout {
    int ndim;
    int64_t shape[5], chunk[5], shard[5];
} layout;

static const layout layouts[] = {
    {3, {7, 9, 11}, {4, 4, 4}, {0}},
    {3, {8, 8, 8}, {8, 8, 8}, {0}},
    {3, {5, 6, 7}, {16, 16, 16}, {0}},
    {3, {12, 5, 10}, {1, 5, 10}, {0}},
    {1, {1000}, {128}, {0}},
    {2, {33, 17}, {10, 9}, {0}},
    {4, {3, 5, 6, 7}, {3, 4, 4, 4}, {0}},
    {5, {2, 1, 5, 6, 7}, {1, 1, 3, 3, 3}, {0}},
    {3, {13, 17, 21}, {4, 3, 8}, {8, 12, 16}},
    {2, {40, 40}, {8, 8}, {40, 40}},
};

/* every format x codec x type x layout: what is put comes back, box by box, cached or not */
static void round_trips(void **state) {
    (void)state;
    static const clm_format formats[] = {CLM_FORMAT_ZARR3, CLM_FORMAT_ZARR2, CLM_FORMAT_N5};
    static const char *const codecs[] = {"none", "gzip", "zstd", "blosc"};
    static const clm_dtype types[] = {CLM_U8, CLM_U16, CLM_I32, CLM_F32, CLM_U64};
    clm_err err = CLM_ERR_NONE;
    for (int i = 0; i < 3 * 4 * 5 * 10; i += 3) { /* a third of the combinations, every pair among them */
        const layout *l = &layouts[i % 10];
        clm_array_spec spec = {.format = formats[i / 200],
                               .ndim = l->ndim,
                               .dtype = types[i / 10 % 5],
                               .codec = codecs[i / 50 % 4]};
        if (l->shard[0] && spec.format != CLM_FORMAT_ZARR3) continue;
        memcpy(spec.shape, l->shape, sizeof l->shape);
        memcpy(spec.chunk, l->chunk, sizeof l->chunk);
        memcpy(spec.shard, l->shard, sizeof l->shard);
        char path[CLM_PATH_MAX];
        clm_array *a = NULL;
        int64_t n;
        fresh(path, spec.format == CLM_FORMAT_N5 ? ".n5/g/s0" : ".zarr/g/s0");
        assert_ok(clm_array_create(path, &spec, &a, &err), err);
        unsigned char *whole = make_whole(clm_array_info_of(a), &n);
        put_all(a, whole);
        clm_array_close(a);
        assert_ok(clm_array_open(path, &a, &err), err);
        assert_int_equal(clm_array_info_of(a)->dtype, spec.dtype);
        read_boxes(a, whole, 6);
        clm_cache *cache = NULL;
        assert_ok(clm_cache_open(2000, &cache, &err), err); /* a few chunks: much eviction */
        clm_array_use_cache(a, cache);
        read_boxes(a, whole, 6);
        clm_array_close(a);
        clm_cache_close(cache);
        clm_heap_free(whole);
    }
}

static void same_bytes_twice(void **state) {
    (void)state;
    char path[2][CLM_PATH_MAX], file[CLM_PATH_MAX];
    clm_buf bytes[2] = {{0}, {0}};
    clm_err err = CLM_ERR_NONE;
    clm_array_spec spec = {
        .ndim = 3, .shape = {20, 20, 20}, .chunk = {16, 16, 16}, .dtype = CLM_U16, .axes = {"z", "y", "x"}};
    static const char *const names[] = {"zarr.json", "c/0/0/0", "c/1/0/1"};
    for (int i = 0; i < 2; i++) {
        clm_array *a = NULL;
        int64_t n;
        fresh(path[i], ".zarr");
        assert_ok(clm_array_create(path[i], &spec, &a, &err), err);
        unsigned char *whole = make_whole(clm_array_info_of(a), &n);
        put_all(a, whole);
        clm_heap_free(whole);
        clm_array_close(a);
    }
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2; i++) {
            assert_ok(clm_path_join(file, path[i], names[k], &err), err);
            assert_ok(clm_file_read(file, 1 << 20, &bytes[i], &err), err);
        }
        assert_int_equal(bytes[0].n, bytes[1].n);
        assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].n);
    }
    clm_buf_free(&bytes[0]);
    clm_buf_free(&bytes[1]);
}

static void resume_and_absent_chunks(void **state) {
    (void)state;
    char path[CLM_PATH_MAX], file[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL, *b = NULL;
    clm_array_spec spec = {
        .ndim = 3, .shape = {4, 4, 8}, .chunk = {4, 4, 4}, .dtype = CLM_I16, .fill = -7, .codec = "zstd"};
    int16_t data[64], got[128];
    fresh(path, ".zarr");
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_array_create(path, &spec, &b, &err), err); /* another rank, or a restart */
    for (int i = 0; i < 64; i++) data[i] = (int16_t)i;
    assert_ok(clm_array_put_chunk(b, (const int64_t[]){0, 0, 1}, data, &err), err);
    assert_ok(clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){4, 4, 8}, got, &err), err);
    assert_int_equal(got[0], -7);
    assert_int_equal(got[4], 0);
    assert_int_equal(got[127], 63);
    assert_ok(clm_path_join(file, path, "c/0/0/1", &err), err);
    assert_int_equal(clm_path_kind_of(file), CLM_PATH_FILE);
    for (int i = 0; i < 64; i++) data[i] = -7; /* all fill: the chunk goes away again */
    assert_ok(clm_array_put_chunk(b, (const int64_t[]){0, 0, 1}, data, &err), err);
    assert_int_equal(clm_path_kind_of(file), CLM_PATH_NONE);
    clm_array_close(b);
    spec.shape[0] = 5;
    assert_fails(CLM_E_ARG, clm_array_create(path, &spec, &b, &err), err);
    assert_non_null(strstr(err.text, path));
    clm_array_close(a);
    assert_ok(clm_array_open(path, &a, &err), err);
    assert_fails(CLM_E_ARG, clm_array_put_chunk(a, (const int64_t[]){0, 0, 1}, data, &err), err);
    assert_fails(CLM_E_ARG,
                 clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){4, 4, 9}, got, &err), err);
    clm_array_close(a);
}

/* A chunk cut at any length is refused, naming file and reason; never zeros. */
static void torn_chunks_are_refused(void **state) {
    (void)state;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    static const clm_format formats[] = {CLM_FORMAT_ZARR3, CLM_FORMAT_ZARR2, CLM_FORMAT_N5};
    static const char *const chunk[] = {"c/0/0/0", "0/0/0", "0/0/0"}, *const codecs[] = {"none", "gzip",
                                                                                         "zstd", "blosc"};
    clm_err err = CLM_ERR_NONE;
    uint16_t data[512], got[512];
    for (int i = 0; i < 512; i++) data[i] = (uint16_t)(i * i);
    for (int k = 0; k < 24; k++) {
        char path[CLM_PATH_MAX], file[CLM_PATH_MAX];
        clm_array *a = NULL;
        clm_buf whole = {0};
        clm_array_spec spec = {.format = formats[k % 3],
                               .ndim = 3,
                               .shape = {8, 8, 8},
                               .chunk = {8, 8, 8},
                               .dtype = CLM_U16,
                               .codec = codecs[k / 3 % 4]};
        for (int d = 0; k >= 12 && k % 3 == 0 && d < 3; d++) spec.shard[d] = 8, spec.chunk[d] = 4;
        fresh(path, ".x");
        assert_ok(clm_array_create(path, &spec, &a, &err), err);
        assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, data, &err), err);
        assert_ok(clm_path_join(file, path, chunk[k % 3], &err), err);
        assert_ok(clm_file_read(file, 1 << 20, &whole, &err), err);
        for (size_t n = 0; n < whole.n; n += 1 + n / 4) {
            assert_ok(clm_file_publish(file, whole.data, n, false, &err), err);
            assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0); /* fresh ones are read twice */
            bool ok = clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){8, 8, 8}, got, &err);
            if (ok) print_error("%s cut to %zu of %zu\n", file, n, whole.n);
            assert_fails(CLM_E_FORMAT, ok, err);
            assert_non_null(strstr(err.text, file));
        }
        clm_array_close(a);
        clm_buf_free(&whole);
    }
}

static void memory_arrays(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    int64_t n;
    clm_array_spec spec = {.ndim = 3, .shape = {7, 9, 11}, .chunk = {4, 4, 4}, .dtype = CLM_F32};
    assert_ok(clm_array_open_memory(&spec, NULL, &a, &err), err);
    unsigned char *whole = make_whole(clm_array_info_of(a), &n);
    put_all(a, whole);
    read_boxes(a, whole, 20);
    clm_heap_free(whole);
    clm_array_close(a);
}

typedef struct reader {
    const clm_array *a;
    const uint16_t *whole;
    int which;
    bool ok;
} reader;

static void *read_many(void *arg) {
    reader *r = arg;
    clm_err err = CLM_ERR_NONE;
    uint16_t got[20 * 20 * 20];
    r->ok = true;
    for (int k = 0; k < 40; k++) {
        int64_t lo[3], hi[3];
        for (int d = 0; d < 3; d++) {
            lo[d] = clm_rng_below(13, (uint64_t)r->which, (uint64_t)(k * 3 + d), 29);
            hi[d] = lo[d] + 20;
        }
        if (!clm_array_read(r->a, lo, hi, got, &err)) r->ok = false;
        for (int64_t z = 0, i = 0; z < 20; z++)
            for (int64_t y = 0; y < 20; y++)
                for (int64_t x = 0; x < 20; x++, i++)
                    if (got[i] != r->whole[((lo[0] + z) * 48 + lo[1] + y) * 48 + lo[2] + x]) r->ok = false;
    }
    return NULL;
}

/* Threads on one handle and one small cache see the right voxels, and each chunk is decoded about once. */
static void threads_share_a_cache(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    clm_cache *cache = NULL;
    clm_array_spec spec = {.ndim = 3, .shape = {48, 48, 48}, .chunk = {12, 12, 12}, .dtype = CLM_U16};
    int64_t n;
    fresh(path, ".zarr");
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    unsigned char *whole = make_whole(clm_array_info_of(a), &n);
    put_all(a, whole);
    for (int big = 0; big < 2; big++) {
        pthread_t thread[4];
        reader r[4];
        assert_ok(clm_cache_open(big ? (size_t)1 << 22 : 20000, &cache, &err), err);
        clm_array_use_cache(a, cache);
        for (int i = 0; i < 4; i++) {
            r[i] = (reader){.a = a, .whole = (const uint16_t *)(void *)whole, .which = i};
            assert_int_equal(pthread_create(&thread[i], NULL, read_many, &r[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
            assert_true(r[i].ok);
        }
        clm_cache_figures f = clm_cache_figures_of(cache);
        if (big) assert_int_equal(f.misses, 64); /* 4 x 4 x 4 chunks, all of which fit */
        if (big) assert_true(f.bytes > 48 * 48 * 48 * sizeof(uint16_t) && f.peak_bytes >= f.bytes);
        assert_true(f.bytes <= (big ? (size_t)1 << 22 : 20000));
        clm_cache_close(cache);
    }
    clm_heap_free(whole);
    clm_array_close(a);
}

/* Two chunks are damaged: whichever thread meets which, the first in order is told. */
static void threads_tell_the_first_failure(void **state) {
    (void)state;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    const int64_t zero[3] = {0}, end[3] = {16, 16, 16};
    char path[CLM_PATH_MAX], file[2][CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    clm_array_spec spec = {.ndim = 3, .shape = {16, 16, 16}, .chunk = {4, 4, 4}, .dtype = CLM_U16};
    uint16_t got[4096];
    int64_t n;
    fresh(path, ".zarr");
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    unsigned char *whole = make_whole(clm_array_info_of(a), &n);
    put_all(a, whole);
    for (int k = 0; k < 2; k++) {
        assert_ok(clm_path_join(file[k], path, k ? "c/3/0/1" : "c/1/2/3", &err), err);
        assert_ok(clm_file_publish(file[k], "torn", 4, false, &err), err);
        assert_int_equal(utimensat(AT_FDCWD, file[k], old, 0), 0);
    }
    for (int k = 0; k < 50; k++) {
        err = CLM_ERR_NONE;
        assert_fails(CLM_E_FORMAT, clm_array_read_by(a, zero, end, got, 1 + k % 5, &err), err);
        assert_non_null(strstr(err.text, file[0]));
    }
    clm_heap_free(whole);
    clm_array_close(a);
}

static void put_is_seen_through_the_cache(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    clm_cache *cache = NULL;
    char path[CLM_PATH_MAX];
    clm_array_spec spec = {.ndim = 1, .shape = {16}, .chunk = {4}, .shard = {8}, .dtype = CLM_U8};
    uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[16];
    fresh(path, ".zarr");
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_cache_open(1 << 20, &cache, &err), err);
    clm_array_use_cache(a, cache);
    assert_ok(clm_array_read(a, (const int64_t[]){0}, (const int64_t[]){16}, got, &err), err);
    assert_int_equal(got[9], 0);
    assert_ok(clm_array_put_chunk(a, (const int64_t[]){1}, data, &err), err);
    assert_ok(clm_array_read(a, (const int64_t[]){0}, (const int64_t[]){16}, got, &err), err);
    assert_int_equal(got[9], 2);
    assert_int_equal(got[15], 8);
    clm_array_close(a);
    clm_cache_close(cache);
}

typedef struct bad {
    const char *name, *text, *says;
    clm_code code;
} bad;

static void bad_metadata_is_refused(void **state) {
    (void)state;
#define V3(extra, codecs)                                                                               \
    "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[4],\"data_type\":\"uint16\",\"chunk_grid\":" \
    "{\"name\":\"regular\",\"configuration\":{\"chunk_shape\":[4]}},\"chunk_key_encoding\":{\"name\":"  \
    "\"default\"},\"fill_value\":0," extra "\"codecs\":" codecs "}"
#define BYTES "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
    static const bad table[] = {
        {"attributes.json",
         "{\"dimensions\":[4,4],\"blockSize\":[4],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"}}",
         "blockSize", CLM_E_FORMAT},
        {"attributes.json",
         "{\"dimensions\":[4],\"blockSize\":[0],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"}}",
         "chunk shape", CLM_E_FORMAT},
        {"attributes.json",
         "{\"dimensions\":[4],\"blockSize\":[4],\"dataType\":\"string\",\"compression\":{\"type\":\"raw\"}}",
         "string", CLM_E_UNSUPPORTED},
        {"attributes.json",
         "{\"dimensions\":[4],\"blockSize\":[4],\"dataType\":\"uint8\",\"compression\":{\"type\":\"jpeg\"}}",
         "jpeg", CLM_E_UNSUPPORTED},
        {"attributes.json", "{\"dimensions\":[4],\"blockSize\":[4],\"dataType\":\"uint8\"}", "compression",
         CLM_E_FORMAT},
        {"attributes.json", "{\"dimensions\":[4],\"blockSize\":[4],\"dataType\":\"uint8\",\"codecs\":[]}",
         "codecs", CLM_E_UNSUPPORTED},
        {"attributes.json",
         "{\"n5\":\"5.0.0\",\"dimensions\":[4],\"blockSize\":[4],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"}}",
         "version 5", CLM_E_UNSUPPORTED},
        {"attributes.json", "{\"dimensions\":", "not valid JSON", CLM_E_FORMAT},
        {"attributes.json",
         "{\"dimensions\":[4000000000,4000000000,4000000000],\"blockSize\":[4,4,4],\"dataType\":\"uint8\",\"compression\":{\"type\":\"raw\"}}",
         "too many", CLM_E_FORMAT},
        {".zarray",
         "{\"zarr_format\":2,\"shape\":[4],\"chunks\":[4],\"dtype\":\"<U5\",\"compressor\":null,\"fill_value\":0,\"order\":\"C\",\"filters\":null}",
         "<U5", CLM_E_UNSUPPORTED},
        {".zarray",
         "{\"zarr_format\":2,\"shape\":[4],\"chunks\":[4],\"dtype\":\"<u2\",\"compressor\":{\"id\":\"pcodec\"},\"fill_value\":0,\"order\":\"C\",\"filters\":null}",
         "pcodec", CLM_E_UNSUPPORTED},
        {".zarray",
         "{\"zarr_format\":2,\"shape\":[4],\"chunks\":[4],\"dtype\":\"<u2\",\"compressor\":null,\"fill_value\":70000,\"order\":\"C\",\"filters\":null}",
         "fill_value", CLM_E_FORMAT},
        {"zarr.json", V3("", "[{\"name\":\"bytes\"}]"), "endian", CLM_E_FORMAT},
        {"zarr.json", V3("", "[]"), "none makes bytes", CLM_E_FORMAT},
        {"zarr.json", V3("", "[" BYTES "," BYTES "]"), "behind", CLM_E_FORMAT},
        {"zarr.json", V3("", "[{\"name\":\"gzip\"}," BYTES "]"), "before", CLM_E_FORMAT},
        {"zarr.json", V3("", "[" BYTES ",{\"name\":\"mystery\"}]"), "mystery", CLM_E_UNSUPPORTED},
        {"zarr.json",
         V3("",
            "[{\"name\":\"numcodecs.delta\"},{\"name\":\"transpose\",\"configuration\":{\"order\":[0]}}," BYTES
            "]"),
         "transpose behind delta", CLM_E_UNSUPPORTED},
        {"zarr.json", V3("", "[{\"name\":\"numcodecs.zfpy\"}," BYTES "]"), "zfpy", CLM_E_FORMAT},
        {"zarr.json", V3("\"new\":{},", "[" BYTES "]"), "new", CLM_E_UNSUPPORTED},
        {"zarr.json", V3("\"storage_transformers\":[{\"name\":\"x\"}],", "[" BYTES "]"),
         "storage_transformers", CLM_E_UNSUPPORTED},
        {"zarr.json", V3("\"dimension_names\":[\"a\",\"b\"],", "[" BYTES "]"), "dimension_names",
         CLM_E_FORMAT},
    };
    clm_err err = CLM_ERR_NONE;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char path[CLM_PATH_MAX], file[CLM_PATH_MAX];
        clm_array *a = NULL;
        fresh(path, "");
        assert_ok(clm_path_join(file, path, table[i].name, &err), err);
        assert_ok(clm_file_publish(file, table[i].text, strlen(table[i].text), false, &err), err);
        bool ok = clm_array_open(path, &a, &err);
        if (ok || err.code != table[i].code || !strstr(err.text, table[i].says))
            print_error("row %zu: %s\n", i, table[i].text);
        assert_fails(table[i].code, ok, err);
        assert_non_null(strstr(err.text, table[i].says));
        assert_non_null(strstr(err.text, path));
    }
    clm_array *a = NULL;
    char path[CLM_PATH_MAX];
    fresh(path, "");
    assert_fails(CLM_E_NOTFOUND, clm_array_open(path, &a, &err), err);
    assert_ok(clm_folder_make(path, &err), err);
    assert_fails(CLM_E_FORMAT, clm_array_open(path, &a, &err), err);
}

/* numcodecs' filters as zarr-python 3 writes them, codecs of arrays before "bytes", whose byte order they get. */
static void filters_before_bytes(void **state) {
    (void)state;
#define NAMED(name, conf) "{\"name\":\"numcodecs." name "\",\"configuration\":{" conf "}}"
#define BIG "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}"
    static const struct {
        const char *codecs;
        const char *bytes;
        size_t n;
        uint16_t want[4];
    } table[] = {
        {"[" NAMED("delta", "\"dtype\":\"<u2\"") "," BIG "]", "\0\5\xff\xff\1\0\0\0", 8, {5, 4, 260, 260}},
        {"[" NAMED("astype", "\"encode_dtype\":\"|u1\",\"decode_dtype\":\"<u2\"") ",{\"name\":\"bytes\"}]",
         "\1\2\3\377",
         4,
         {1, 2, 3, 255}},
        {"[" NAMED("fixedscaleoffset",
                   "\"offset\":10,\"scale\":2,\"dtype\":\"<u2\",\"astype\":\"<i4\"") "," BIG "]",
         "\0\0\0\2\377\377\377\374\0\0\0\0\0\0\1\0",
         16,
         {11, 8, 10, 138}},
        {"[" NAMED("bitround", "\"keepbits\":3") "," NAMED("quantize", "\"digits\":3") "," BYTES "]",
         "\1\0\2\0\3\0\0\1",
         8,
         {1, 2, 3, 256}},
        /* cut into chunks after it: two of two elements, then where they are */
        {"[" NAMED(
             "astype",
             "\"encode_dtype\":\"|u1\",\"decode_dtype\":\"<u2\"") ",{\"name\":\"transpose\",\"configuration\":{\"order\":[0]}},{\"name\":\"sharding_indexed\","
                                                                  "\"configuration\":{\"chunk_shape\":[2],\"codecs\":[{\"name\":\"bytes\"}],\"index_codecs\":[" BYTES
                                                                  "]}}]",
         "\1\2\3\377\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0",
         36,
         {1, 2, 3, 255}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char path[CLM_PATH_MAX], file[CLM_PATH_MAX], text[900];
        clm_err err = CLM_ERR_NONE;
        clm_array *a = NULL;
        uint16_t got[4];
        fresh(path, "");
        (void)snprintf(text, sizeof text, "%.*s%s}", (int)(strlen(V3("", "")) - 1), V3("", ""),
                       table[i].codecs);
        assert_ok(clm_path_join(file, path, "zarr.json", &err), err);
        assert_ok(clm_file_publish(file, text, strlen(text), false, &err), err);
        assert_ok(clm_path_join(file, path, "c/0", &err), err);
        assert_ok(clm_file_publish(file, table[i].bytes, table[i].n, false, &err), err);
        assert_ok(clm_array_open(path, &a, &err), err);
        assert_ok(clm_array_read(a, (const int64_t[]){0}, (const int64_t[]){4}, got, &err), err);
        assert_memory_equal(got, table[i].want, sizeof got);
        clm_array_close(a);
    }
}

static bool count_up(void *ctx, void *into, clm_err *err) {
    int *made = ctx;
    if (*made < 0) return clm_fail(err, CLM_E_IO, "not now");
    memset(into, ++*made, 5);
    return true;
}

/* what is made of an array is made once a kind and number, and not beside another's chunks */
static void what_is_made_is_kept(void **state) {
    (void)state;
    const clm_array_spec spec = {.ndim = 1, .dtype = CLM_U8, .shape = {8}, .chunk = {8}};
    clm_err err = CLM_ERR_NONE;
    clm_array *a;
    clm_cache *cache;
    const clm_cached *held;
    const void *got;
    int made = 0;
    static const uint64_t asked[][3] = {{1, 0, 1}, {1, 7, 2}, {2, 7, 3}, {1, 7, 2}, {1, 0, 1}};
    assert_ok(clm_cache_open(1 << 16, &cache, &err), err);
    assert_ok(clm_array_open_memory(&spec, NULL, &a, &err), err);
    assert_false(clm_array_has_cache(a));
    assert_fails(CLM_E_ARG, clm_array_take_made(a, 1, 0, 5, count_up, &made, &got, &held, &err), err);
    clm_array_use_cache(a, cache);
    assert_true(clm_array_has_cache(a));
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        assert_ok(clm_array_take_made(a, asked[i][0], asked[i][1], 5, count_up, &made, &got, &held, &err),
                  err);
        for (int k = 0; k < 5; k++) assert_int_equal(((const uint8_t *)got)[k], asked[i][2]);
        clm_array_give_made(a, held);
    }
    made = -1; /* a failure is not kept */
    assert_fails(CLM_E_IO, clm_array_take_made(a, 3, 0, 5, count_up, &made, &got, &held, &err), err);
    made = 40;
    assert_ok(clm_array_take_made(a, 3, 0, 5, count_up, &made, &got, &held, &err), err);
    assert_int_equal(((const uint8_t *)got)[0], 41);
    clm_array_give_made(a, held);
    assert_fails(CLM_E_ARG, clm_array_take_made(a, 1 << 25, 0, 5, count_up, &made, &got, &held, &err), err);
    clm_array_close(a);
    clm_cache_close(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(same_bytes_twice),
        cmocka_unit_test(resume_and_absent_chunks),
        cmocka_unit_test(torn_chunks_are_refused),
        cmocka_unit_test(memory_arrays),
        cmocka_unit_test(threads_share_a_cache),
        cmocka_unit_test(threads_tell_the_first_failure),
        cmocka_unit_test(put_is_seen_through_the_cache),
        cmocka_unit_test(what_is_made_is_kept),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(filters_before_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
