/* store_bench ARRAY [OUT]: reads the array with one thread, whole and in overlapping blocks, with and
 * without a cache, beside its codec alone; and writes it again as OME-Zarr chunks. Prints MB of voxels a CPU second. */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/store/array.h"

#include <stdio.h>
#include <string.h>

static void line(const char *what, double bytes, double s) {
    printf("%-28s %8.1f MB/s  %.3f s\n", what, bytes / s / 1e6, s);
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL, *b = NULL;
    clm_cache *cache = NULL;
    int64_t zero[CLM_DIMS_MAX] = {0}, n = 1;
    if (argc < 2 || !clm_array_open(argv[1], &a, &err)) goto done;
    const clm_array_info *i = clm_array_info_of(a);
    for (int d = 0; d < i->ndim; d++) n *= i->shape[d];
    double bytes = (double)n * (double)clm_dtype_size(i->dtype), t;
    unsigned char *whole = clm_heap_new((size_t)n, clm_dtype_size(i->dtype), &err);
    if (!whole) goto done;
    for (int k = 0; k < 3; k++) {
        t = clm_clock_thread_s();
        if (!clm_array_read(a, zero, i->shape, whole, &err)) goto done;
        line("read whole", bytes, clm_clock_thread_s() - t);
    }
    if (!clm_cache_open((size_t)1 << 30, &cache, &err)) goto done;
    clm_array_use_cache(a, cache);
    for (int k = 0; k < 2; k++) {
        t = clm_clock_thread_s();
        if (!clm_array_read(a, zero, i->shape, whole, &err)) goto done;
        line(k ? "read whole, cached" : "read whole, filling cache", bytes, clm_clock_thread_s() - t);
    }
    clm_array_spec spec = {.ndim = i->ndim, .dtype = i->dtype};
    for (int d = 0; d < i->ndim; d++)
        spec.shape[d] = i->shape[d], spec.chunk[d] = i->shape[d] < 64 ? i->shape[d] : 64;
    if (argc < 3 || !clm_array_create(argv[2], &spec, &b, &err)) goto done;
    int64_t grid[CLM_DIMS_MAX], at[CLM_DIMS_MAX] = {0}, lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
    int64_t chunks = clm_array_chunk_grid(b, grid);
    unsigned char *chunk = clm_heap_new(64 * 64 * 64 * 16, 1, &err);
    double put = 0;
    for (int64_t k = 0; k < chunks && chunk; k++) {
        int64_t r = k;
        for (int d = i->ndim - 1; d >= 0; d--) at[d] = r % grid[d], r /= grid[d];
        clm_array_chunk_box(b, at, lo, hi);
        if (!clm_array_read(a, lo, hi, chunk, &err)) goto done;
        t = clm_clock_thread_s();
        if (!clm_array_put_chunk(b, at, chunk, &err)) goto done;
        put += clm_clock_thread_s() - t;
    }
    line("put 64^3 chunks", bytes, put);
    for (int k = 0; k < 3; k++) {
        t = clm_clock_thread_s();
        if (!clm_array_read(b, zero, i->shape, whole, &err)) goto done;
        line("read them back", bytes, clm_clock_thread_s() - t);
    }
    clm_heap_free(chunk);
    clm_heap_free(whole);
done:
    if (err.code) (void)fprintf(stderr, "store_bench: %s\n", err.text);
    clm_array_close(a);
    clm_array_close(b);
    clm_cache_close(cache);
    return err.code ? 1 : 0;
}
