/* Arrays on disk: metadata and one chunk of any bytes. Input: format, u16 length of the metadata, those, and the
 * first chunk's file. What opens is sane, and reading it fails or fills what it was given. */
#include "collimate/store/array.h"
#include "collimate/base/file.h"
#include "support/fuzz.h"
#include "support/temp.h"

#include <stdlib.h>
#include <string.h>

static char folder[CLM_PATH_MAX];
static const char *const document[] = {"zarr.json", ".zarray", "attributes.json"};

static void drop(void) { clm_test_folder_drop(folder); }

static void path_of(char out[CLM_PATH_MAX], int format, const char *name) {
    clm_err err = CLM_ERR_NONE;
    if (!folder[0]) {
        clm_test_folder(folder);
        (void)atexit(drop);
    }
    FUZZ_ASSERT(clm_path_format(out, &err, "%s/%d%s%s", folder, format, name[0] ? "/" : "", name));
}

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    static const struct {
        clm_format format;
        const char *codec;
        int64_t shard;
    } seeds[] = {{CLM_FORMAT_ZARR3, "zstd", 0},
                 {CLM_FORMAT_ZARR3, "none", 8},
                 {CLM_FORMAT_ZARR2, "blosc", 0},
                 {CLM_FORMAT_N5, "gzip", 0},
                 {CLM_FORMAT_N5, "none", 0}};
    static const char *const chunk[] = {"c/0/0", "0/0", "0/0"};
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    clm_buf text = {0}, bytes = {0};
    char path[CLM_PATH_MAX], file[CLM_PATH_MAX];
    uint16_t data[64];
    if (k >= (int)(sizeof seeds / sizeof seeds[0])) return 0;
    clm_array_spec spec = {.format = seeds[k].format,
                           .ndim = 2,
                           .shape = {8, 8},
                           .chunk = {4, 4},
                           .dtype = CLM_U16,
                           .codec = seeds[k].codec};
    spec.shard[0] = spec.shard[1] = seeds[k].shard;
    for (int i = 0; i < 64; i++) data[i] = (uint16_t)(i * 3);
    path_of(path, (int)seeds[k].format, "");
    FUZZ_ASSERT(clm_folder_remove(path, &err) && clm_array_create(path, &spec, &a, &err));
    FUZZ_ASSERT(clm_array_put_chunk(a, (const int64_t[]){0, 0}, data, &err));
    clm_array_close(a);
    FUZZ_ASSERT(clm_path_join(file, path, document[seeds[k].format], &err) &&
                clm_file_read(file, cap, &text, &err));
    FUZZ_ASSERT(clm_path_join(file, path, chunk[seeds[k].format], &err) &&
                clm_file_read(file, cap, &bytes, &err));
    FUZZ_ASSERT(3 + text.n + bytes.n <= cap);
    buf[0] = (uint8_t)seeds[k].format;
    buf[1] = (uint8_t)text.n;
    buf[2] = (uint8_t)(text.n >> 8);
    memcpy(buf + 3, text.data, text.n);
    memcpy(buf + 3 + text.n, bytes.data, bytes.n);
    size_t n = 3 + text.n + bytes.n;
    clm_buf_free(&text);
    clm_buf_free(&bytes);
    return n;
}

/* A box of at most 4096 elements at the array's beginning. */
static void read_some(const clm_array *a) {
    clm_err err = CLM_ERR_NONE;
    const clm_array_info *i = clm_array_info_of(a);
    int64_t lo[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX], n = 1, inner = 1;
    FUZZ_ASSERT(i->ndim >= 0 && i->ndim <= CLM_DIMS_MAX);
    for (int d = 0; d < i->ndim; d++) {
        FUZZ_ASSERT(i->shape[d] >= 0 && i->chunk[d] >= 1 && i->inner[d] >= 1 &&
                    i->chunk[d] % i->inner[d] == 0);
        hi[d] = i->shape[d] < 4 ? i->shape[d] : 4;
        n *= hi[d];
        inner *= i->inner[d];
    }
    if (inner > (1 << 22)) return; /* legal, and slow here */
    unsigned char *dst = clm_heap_new(n ? (size_t)n : 1, clm_dtype_size(i->dtype), &err);
    if (!dst) return;
    if (!clm_array_read(a, lo, hi, dst, &err)) FUZZ_ASSERT(err.code != CLM_OK && err.code != CLM_E_ARG);
    clm_heap_free(dst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const chunk[] = {"c/0/0", "0.0", "0/0"};
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    char path[CLM_PATH_MAX], file[CLM_PATH_MAX];
    if (size < 3) return 0;
    int format = data[0] % 3;
    size_t n = (size_t)data[1] | (size_t)data[2] << 8;
    if (n > size - 3) n = size - 3;
    path_of(file, format, document[format]);
    FUZZ_ASSERT(clm_file_remove(file, &err)); /* replacing makes some file systems write at once */
    FUZZ_ASSERT(clm_file_publish(file, data + 3, n, false, &err));
    path_of(file, format, chunk[format]);
    FUZZ_ASSERT(clm_file_remove(file, &err));
    FUZZ_ASSERT(clm_file_publish(file, data + 3 + n, size - 3 - n, false, &err));
    path_of(path, format, "");
    if (clm_array_open(path, &a, &err)) read_some(a);
    clm_array_close(a);
    return 0;
}
