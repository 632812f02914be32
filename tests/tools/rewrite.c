/* rewrite IN OUT FORMAT CODEC CHUNK [SHARD]: an array in another format, for other programs to read.
 * FORMAT zarr3, zarr2 or n5; CHUNK and SHARD: one length for all axes. */
#include "collimate/base/text.h"
#include "collimate/store/array.h"

#include <stdio.h>
#include <string.h>

static bool copy(const clm_array *in, clm_array *out, clm_err *err) {
    const clm_array_info *i = clm_array_info_of(out);
    int64_t grid[CLM_DIMS_MAX], at[CLM_DIMS_MAX], lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], n = 1;
    int64_t chunks = clm_array_chunk_grid(out, grid);
    for (int d = 0; d < i->ndim; d++) n *= i->chunk[d];
    void *chunk = clm_heap_new((size_t)n, clm_dtype_size(i->dtype), err);
    bool ok = chunk != NULL;
    for (int64_t k = 0; ok && k < chunks; k++) {
        int64_t rest = k;
        for (int d = i->ndim - 1; d >= 0; d--) {
            at[d] = rest % grid[d];
            rest /= grid[d];
        }
        clm_array_chunk_box(out, at, lo, hi);
        ok = clm_array_read(in, lo, hi, chunk, err) && clm_array_put_chunk(out, at, chunk, err);
    }
    clm_heap_free(chunk);
    return ok;
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_array *in = NULL, *out = NULL;
    int64_t chunk = 0, shard = 0;
    if (argc < 6 || !clm_text_int(argv[5], &chunk) || (argc > 6 && !clm_text_int(argv[6], &shard))) {
        (void)fprintf(stderr, "usage: rewrite IN OUT zarr3|zarr2|n5 CODEC CHUNK [SHARD]\n");
        return 2;
    }
    bool ok = clm_array_open(argv[1], &in, &err);
    if (ok) {
        const clm_array_info *i = clm_array_info_of(in);
        clm_array_spec spec = {.ndim = i->ndim, .dtype = i->dtype, .codec = argv[4]};
        spec.format = strcmp(argv[3], "n5") == 0      ? CLM_FORMAT_N5
                      : strcmp(argv[3], "zarr2") == 0 ? CLM_FORMAT_ZARR2
                                                      : CLM_FORMAT_ZARR3;
        for (int d = 0; d < i->ndim; d++) {
            spec.shape[d] = i->shape[d];
            spec.chunk[d] = chunk;
            spec.shard[d] = shard;
        }
        ok = clm_array_create(argv[2], &spec, &out, &err) && copy(in, out, &err);
    }
    if (!ok) (void)fprintf(stderr, "rewrite: %s\n", err.text);
    clm_array_close(in);
    clm_array_close(out);
    return ok ? 0 : 3;
}
