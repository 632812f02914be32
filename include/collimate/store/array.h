/* An array on disk in N5 or Zarr - or in memory, for tests - seen one way: dimensions in C order
 * (slowest first), elements in the machine's byte order, absent chunks as the fill value.
 * Handles may be read by several threads at once; different chunks may be put by different threads. */
#ifndef CLM_STORE_ARRAY_H
#define CLM_STORE_ARRAY_H

#include "collimate/base/json.h"
#include "collimate/core/dtype.h"

#define CLM_DIMS_MAX 8

typedef struct clm_array clm_array;
typedef struct clm_cache clm_cache;

typedef struct clm_array_info {
    int ndim;                    /* 0 .. 8                                                  */
    int64_t shape[CLM_DIMS_MAX]; /* slowest first; N5's order is reversed here and only here */
    int64_t chunk[CLM_DIMS_MAX]; /* what clm_array_put_chunk writes: one file                */
    int64_t inner[CLM_DIMS_MAX]; /* what reading decodes at least; == chunk unless sharded   */
    clm_dtype dtype;
    unsigned char fill[16]; /* one element: what absent chunks hold                          */
    char format[16];        /* "n5", "zarr2", "zarr3", "memory", ...                         */
    char codec[64];         /* for people: "blosc zstd 1 bitshuffle"                         */
} clm_array_info;

typedef enum clm_format { CLM_FORMAT_ZARR3, CLM_FORMAT_ZARR2, CLM_FORMAT_N5 } clm_format;

/** What to create. Zero-initialise and set what matters. */
typedef struct clm_array_spec {
    clm_format format;
    int ndim;
    int64_t shape[CLM_DIMS_MAX];
    int64_t chunk[CLM_DIMS_MAX];
    int64_t shard[CLM_DIMS_MAX]; /* zarr3: 0 none; else a multiple of chunk: one file a shard   */
    clm_dtype dtype;
    const char *codec;              /* NULL: blosc (N5: gzip); else none, gzip, zlib, zstd, blosc  */
    int level;                      /* 0: the codec's default (blosc 1, zstd 3, gzip 4)            */
    double fill;                    /* N5: must be 0                                               */
    const char *axes[CLM_DIMS_MAX]; /* zarr3: dimension names; all NULL: none                      */
    const clm_json *attributes;     /* NULL or an object: user attributes                          */
    bool keep_empty;                /* write chunks that hold only fill; else they stay absent     */
} clm_array_spec;

/** Open the array at `path`: a folder that is an array ("volume.n5/group/s0", "x.zarr/0"), or a dataset
 *  inside a file ("scan.h5/group/data").
 *  Errors CLM_E_NOTFOUND nothing there; CLM_E_FORMAT not an array (a group: its arrays are listed),
 *         bad metadata; CLM_E_UNSUPPORTED names the codec, type or extension. */
CLM_MUST bool clm_array_open(const char *path, clm_array **out, clm_err *err);
/** The same, and chunks may be put: to resume, or from another rank. */
CLM_MUST bool clm_array_open_write(const char *path, clm_array **out, clm_err *err);
/** Write the metadata (atomically, before any chunk) and open for writing. An array with the same
 *  metadata already there is opened as it is; a different one is CLM_E_ARG.
 *  Errors CLM_E_ARG a bad spec; CLM_E_WRITE */
CLM_MUST bool clm_array_create(const char *path, const clm_array_spec *spec, clm_array **out, clm_err *err);
/** An array in memory. data: shape's elements, C order, borrowed until close; NULL: own, all fill. */
CLM_MUST bool clm_array_open_memory(const clm_array_spec *spec, void *data, clm_array **out, clm_err *err);
void clm_array_close(clm_array *a); /* NULL is fine */

const clm_array_info *clm_array_info_of(const clm_array *a); /* borrowed */
const char *clm_array_path_of(const clm_array *a);           /* borrowed; "memory" for those */

/** Elements of [lo, hi) into dst, packed in C order, native byte order.
 *  Errors CLM_E_ARG box outside the array; CLM_E_FORMAT a torn or corrupt chunk: names its file and
 *         why, never zeros; CLM_E_IO. On failure dst is undefined. */
CLM_MUST bool clm_array_read(const clm_array *a, const int64_t lo[], const int64_t hi[], void *dst,
                             clm_err *err);
/** The same by up to `threads` threads, the caller's among them: they decode different chunks, each into its own
 *  part of dst. For a program's one large read; tasks that run beside others keep to one thread.
 *  Memory   a thread: a chunk's file and, where it is not decoded straight into dst, two decoded chunks */
CLM_MUST bool clm_array_read_by(const clm_array *a, const int64_t lo[], const int64_t hi[], void *dst,
                                int threads, clm_err *err);
/** One whole chunk. data: its elements clipped to the array's shape, packed, native. A reader sees the
 *  old chunk or the new one, never a part. Zarr edge chunks are padded with fill, N5's are truncated.
 *  Errors CLM_E_ARG not open for writing, index outside; CLM_E_WRITE */
CLM_MUST bool clm_array_put_chunk(clm_array *a, const int64_t index[], const void *data, clm_err *err);
/** Elements [lo, hi) of the array, packed, native, into dst. May read arrays. */
typedef bool (*clm_box_source)(void *ctx, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err);
/** The same, its elements asked for as they are needed: at once or, of a shard, inner chunk by inner chunk in C
 *  order. Same bytes as clm_array_put_chunk.
 *  Memory   of a shard one inner chunk (two at the edges) and what encoding it takes, whatever the shard */
CLM_MUST bool clm_array_put_chunk_from(clm_array *a, const int64_t index[], clm_box_source source, void *ctx,
                                       clm_err *err);
/** Elements of chunk `index` clipped to the shape: [lo, hi). */
void clm_array_chunk_box(const clm_array *a, const int64_t index[], int64_t lo[], int64_t hi[]);
/** Chunks along each dimension; returns their product. */
int64_t clm_array_chunk_grid(const clm_array *a, int64_t grid[CLM_DIMS_MAX]);

/** A budget of DECODED chunks, least recently used out first, shared by arrays and threads. A chunk is
 *  decoded once even when several threads want it at the same moment. */
CLM_MUST bool clm_cache_open(size_t budget_bytes, clm_cache **out, clm_err *err);
void clm_cache_keep(clm_cache *c, size_t budget_bytes); /* another budget; before the first read */
void clm_cache_close(clm_cache *c);                     /* after the arrays that use it; NULL is fine */
/** Let reads of `a` go through c; call before the first read. */
void clm_array_use_cache(clm_array *a, clm_cache *c);
/** What a program makes of an array and wants again, beside the array's chunks in its cache.
 *  kind     of the array's things which: 1 .. 2^25 - 1
 *  number   which of that kind
 *  make     fills `bytes` when they are not held; it may read arrays. Threads that want it wait for the one that makes
 *  out      borrowed until clm_array_give_made
 *  Errors   those of make; CLM_E_ARG the array has no cache; CLM_E_NOMEM */
typedef bool (*clm_array_make)(void *ctx, void *into, clm_err *err);
typedef struct clm_cached clm_cached;
CLM_MUST bool clm_array_take_made(const clm_array *a, uint64_t kind, uint64_t number, size_t bytes,
                                  clm_array_make make, void *ctx, const void **out, const clm_cached **held,
                                  clm_err *err);
void clm_array_give_made(const clm_array *a, const clm_cached *held);
bool clm_array_has_cache(const clm_array *a);
typedef struct clm_cache_figures {
    int64_t hits, misses, evictions;
    size_t bytes, peak_bytes;
} clm_cache_figures;
clm_cache_figures clm_cache_figures_of(clm_cache *c);

/** The whole array as C-order little-endian bytes to a file descriptor, in bands of chunks, read by `threads`
 *  threads; memory is bounded by budget_bytes (0: 256 MiB) plus what clm_array_read_by takes. */
CLM_MUST bool clm_array_dump(const clm_array *a, int fd, size_t budget_bytes, int threads, clm_err *err);

#endif
