/* Arrays: metadata and one chunk of any bytes, in memory. Input: format, u16 length of the metadata, those, and the
 * first chunk's file (a shard's with its index). What opens is sane; decoding fails, or what it tells is there. */
#include "collimate/base/file.h"
#include "collimate/store/format.h"
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

/* The first chunk's file, as reading would decode it. */
static void decode_first(const clm_array *a, const uint8_t *bytes, size_t n) {
    clm_err err = CLM_ERR_NONE;
    clm_scratch s = {0};
    clm_chunk out = {0};
    const int64_t first[CLM_DIMS_MAX] = {0};
    int64_t clip[CLM_DIMS_MAX], voxels, most = 1 << 20;
    const clm_array_info *i = clm_array_info_of(a);
    FUZZ_ASSERT(i->ndim >= 0 && i->ndim <= CLM_DIMS_MAX);
    for (int d = 0; d < i->ndim; d++)
        FUZZ_ASSERT(i->shape[d] >= 0 && i->chunk[d] >= 1 && i->inner[d] >= 1 &&
                    i->chunk[d] % i->inner[d] == 0);
    if (!clm_product(i->ndim, i->chunk, most, &voxels, &err)) return; /* legal, and slow here */
    (void)clm_chunk_clip(i, i->chunk, first, clip);
    int64_t room = 1;
    for (int d = 0; d < i->ndim; d++) room *= clip[d];
    unsigned char *into = clm_heap_new(room ? (size_t)room : 1, a->size, &err);
    FUZZ_ASSERT(into);
    clm_want want = {.into = into, .into_bytes = (size_t)room * a->size};
    memcpy(want.hi, clip, sizeof clip);
    bool ok = a->ops->decode(a, first, bytes, n, &s, &want, &out, &err);
    if (ok) { /* every element it claims is there */
        static volatile unsigned char sum;
        int64_t last = 0;
        for (int d = 0; d < i->ndim; d++) {
            FUZZ_ASSERT(out.extent[d] >= 1 && out.extent[d] <= i->chunk[d]);
            last += (out.extent[d] - 1) * out.stride[d];
        }
        for (size_t b = 0; out.data && b < a->size; b++)
            sum = (unsigned char)(sum + out.data[b] + out.data[(size_t)last * a->size + b]);
    } else {
        FUZZ_ASSERT(err.code != CLM_OK && err.code != CLM_E_ARG);
    }
    FUZZ_ASSERT(s.work[0].cap <= 64u << 20 && s.work[1].cap <= 64u << 20);
    clm_heap_free(into);
    clm_scratch_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const clm_array_of_text of_text[] = {clm_zarr3_of_text, clm_zarr2_of_text, clm_n5_of_text};
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    if (size < 3) return 0;
    size_t n = (size_t)data[1] | (size_t)data[2] << 8;
    if (n > size - 3) n = size - 3;
    clm_buf text = {0};
    FUZZ_ASSERT(clm_buf_reserve(&text, n + 1, &err));
    memcpy(text.data, data + 3, n);
    text.data[n] = 0;
    text.n = n;
    if (of_text[data[0] % 3]("no-such-folder", &text, &a, &err))
        decode_first(a, data + 3 + n, size - 3 - n);
    else
        FUZZ_ASSERT(err.code != CLM_OK);
    clm_array_close(a);
    clm_buf_free(&text);
    return 0;
}
