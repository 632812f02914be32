/* Behind array.h: what a format must provide. For files of this layer only. */
#ifndef CLM_STORE_FORMAT_H
#define CLM_STORE_FORMAT_H

#include "collimate/base/slab.h"
#include "collimate/base/text.h"
#include "collimate/store/array.h"
#include "collimate/codec/codec.h"

/** Some writers truncate a chunk and write it in place. A chunk file that makes no sense and was changed so
 *  lately is read once more, after a pause that lets such a writer finish. */
#define CLM_FRESH_S 2.0
#define CLM_FRESH_PAUSE_US 100000

/** A decoded chunk, wherever it lies and however its elements are ordered. */
typedef struct clm_chunk {
    const unsigned char *data;    /* NULL: absent, all fill                                       */
    int64_t extent[CLM_DIMS_MAX]; /* elements there, from the chunk's first corner; may overhang  */
    int64_t stride[CLM_DIMS_MAX]; /* in elements                                                  */
    bool swap;                    /* elements are in the other byte order                         */
} clm_chunk;

/** What is wanted of a chunk. */
typedef struct clm_want {
    void *into;        /* NULL, or room for the chunk clipped to the shape: may be used */
    size_t into_bytes; /*   when the decoded bytes are just those, in any byte order    */
    int64_t lo[CLM_DIMS_MAX],
        hi[CLM_DIMS_MAX]; /* elements, from its first corner; others may stay undefined    */
} clm_want;

typedef struct clm_array_ops {
    /** Decode piece `index` of the inner grid, into w->into or s or where the array has it; lives until s is used
     *  again. NULL: the file `where` tells, by `decode`. */
    bool (*load)(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err);
    /** NULL: the file `where` tells, by `encode`. */
    bool (*put)(clm_array *a, const int64_t index[], const void *data, clm_scratch *s, clm_err *err);
    /** The chunk in pieces; NULL: it has none. */
    bool (*put_from)(clm_array *a, const int64_t index[], clm_box_source source, void *ctx, clm_err *err);
    void (*close)(void *self);
    /** The file in which piece `index` of the inner grid lies. NULL: not a file a chunk. */
    bool (*where)(const clm_array *a, const int64_t index[], char path[CLM_PATH_MAX], clm_err *err);
    /** What `load` does, of n bytes that are the file of chunk `index` (not piece); src may lie in s->file. */
    bool (*decode)(const clm_array *a, const int64_t index[], const unsigned char *src, size_t n,
                   clm_scratch *s, const clm_want *w, clm_chunk *out, clm_err *err);
    /** The bytes of the file of chunk `index`, somewhere in s; data as clm_array_put_chunk. NULL: not written, or by
     *  put or put_from. */
    bool (*encode)(const clm_array *a, const int64_t index[], const void *data, clm_scratch *s,
                   const unsigned char **bytes, size_t *n, clm_err *err);
} clm_array_ops;

/** Where a file format that knows geometry puts its voxels: world axes z y x in micrometres. */
typedef struct clm_place {
    int axis[3];                 /* array axes that run along world z, y, x                       */
    bool flip[3];                /* ... against it: element 0 is the last                         */
    int channel_axis, time_axis; /* -1: none                                           */
    double spacing_um[3];
    double origin_um[3]; /* of the element that comes first after flipping             */
    double slope, inter; /* value = slope * stored + inter                             */
    char dialect[40], unit[24];
    char problem[160];                 /* why there is no usable geometry, ""                          */
    bool placed;                       /* the last three array axes are z y x of a lattice, any axes:  */
    double step_um[3][3], first_um[3]; /* one element's step along each, and element 0; world z y x  */
    double vector_um;                  /* vectors there: micrometres of their unit; 0: they are none   */
    bool vector_ras;                   /* their x runs right and their y anterior                      */
} clm_place;

struct clm_array {
    clm_array_info info;
    const clm_array_ops *ops;
    void *self; /* the format's own */
    char *path;
    size_t size; /* bytes of an element                          */
    size_t unit; /* bytes that swap together: size, half of a complex */
    bool writable;
    bool keep_empty;
    clm_cache *cache;
    uint64_t cache_id;
    clm_place *place; /* NULL: the format does not know; owned */
};

/** A handle with path copied and sizes set from info; the format fills ops and self. Checks the shape. */
CLM_MUST bool clm_array_new(const char *path, const clm_array_info *info, const clm_array_ops *ops,
                            void *self, clm_array **out, clm_err *err);

/* Openers, by what the folder holds. */
CLM_MUST bool clm_n5_open(const char *path, clm_array **out, clm_err *err);
CLM_MUST bool clm_zarr2_open(const char *path, clm_array **out, clm_err *err);
CLM_MUST bool clm_zarr3_open(const char *path, clm_array **out, clm_err *err);
/** The same from the text of a metadata document; path: the folder it speaks of. */
typedef bool (*clm_array_of_text)(const char *path, const clm_buf *text, clm_array **out, clm_err *err);
CLM_MUST bool clm_n5_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err);
CLM_MUST bool clm_zarr2_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err);
CLM_MUST bool clm_zarr3_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err);
/** of_text on the file `name` in the folder `path`. */
CLM_MUST bool clm_array_of_file(const char *path, const char *name, clm_array_of_text of_text,
                                clm_array **out, clm_err *err);
/** Files rather than folders; `inside` is the path of a dataset in them, "" if none. */
CLM_MUST bool clm_file_array_open(const char *file, const char *inside, clm_array **out, clm_err *err);
CLM_MUST bool clm_nifti_open(const char *file, clm_array **out, clm_err *err);
CLM_MUST bool clm_hdf5_open(const char *file, const char *inside, clm_array **out, clm_err *err);
CLM_MUST bool clm_tiff_open(const char *file, clm_array **out, clm_err *err);
CLM_MUST bool clm_nrrd_open(const char *file, clm_array **out, clm_err *err);
/** flat.c: elements that stand one after the other in a file from `offset` on (-1: the last of the file), or in data
 *  (taken over; data->data NULL: in the file). info: shape and dtype; chunks are chosen here. */
CLM_MUST bool clm_flat_open(const char *file, const clm_array_info *info, bool swap, int64_t offset,
                            clm_buf *data, clm_array **out, clm_err *err);
/** Chunks of such elements: pieces that follow one another in the file. */
void clm_flat_chunks(clm_array_info *i);
/** Undo gzip of a whole file in memory; b is replaced. */
CLM_MUST bool clm_gunzip(clm_buf *b, clm_err *err);
/** Geometry from axis vectors: direction[k] is one element's step along the file's k-th fastest space axis,
 *  which is array axis axis_of[k]; x y z, micrometres. Fails softly: out->problem, unless only vectors want it. */
void clm_place_axes(clm_place *out, const double direction[3][3], const double origin[3],
                    const int axis_of[3], const int64_t shape[]);

/** Metadata text of a new array. */
CLM_MUST bool clm_n5_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err);
CLM_MUST bool clm_zarr2_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err);
CLM_MUST bool clm_zarr3_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err);

/* chunks.c: index arithmetic and strided copies */

/** Elements of a chunk of the array clipped to its shape; true when none is cut off. */
bool clm_chunk_clip(const clm_array_info *info, const int64_t chunk[], const int64_t index[],
                    int64_t extent[]);
/** Chunk `index` of an array whose elements lie packed in C order, each chunk in one run: extent and strides into out;
 *  first: its first element. Returns how many it has. */
int64_t clm_chunk_in_run(const clm_array *a, const int64_t index[], clm_chunk *out, int64_t *first);
/** C-order strides of a packed block; returns its element count. The product must be known to fit. */
int64_t clm_strides(int ndim, const int64_t extent[], int64_t stride[]);
/** Product, CLM_E_FORMAT when beyond `most`. */
CLM_MUST bool clm_product(int ndim, const int64_t extent[], int64_t most, int64_t *out, clm_err *err);
/** Copy a block between strided layouts; strides in elements; swap: reverse bytes of every `unit`. */
void clm_copy_block(int ndim, const int64_t extent[], const void *src, const int64_t src_stride[], void *dst,
                    const int64_t dst_stride[], size_t size, size_t unit, bool swap);
/** Set a block to one element. */
void clm_fill_block(int ndim, const int64_t extent[], void *dst, const int64_t dst_stride[],
                    const void *element, size_t size);
/** Are all n elements bytewise equal to this one? */
bool clm_all_equal(const void *data, int64_t n, const void *element, size_t size);
/** Next index of an odometer over [lo, hi), last dimension fastest; false after the last. */
bool clm_step(int ndim, const int64_t lo[], const int64_t hi[], int64_t at[]);
/** "3,0,7" */
typedef struct clm_index_text {
    char s[200];
} clm_index_text;
clm_index_text clm_index_say(int ndim, const int64_t index[]);

/* read.c */

/** A part of a request: where its elements are. data NULL: all fill. */
typedef struct clm_piece {
    const unsigned char *data; /* element at lo */
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
    int64_t stride[CLM_DIMS_MAX]; /* in elements */
    bool swap;
} clm_piece;
typedef bool (*clm_piece_fn)(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err);
/** Room for the elements [lo, hi) as they should end up, if that is packed; else NULL. */
typedef void *(*clm_place_fn)(void *ctx, const int64_t lo[], const int64_t hi[]);
/** Call fn for each decoded chunk that meets [lo, hi). place may be NULL. One thread: in C order; more: fn is
 *  called by several at once. *err is that of the first chunk in C order that fails, whoever met it. */
CLM_MUST bool clm_array_each(const clm_array *a, const int64_t lo[], const int64_t hi[], clm_piece_fn fn,
                             clm_place_fn place, void *ctx, int threads, clm_err *err);

/* cache.c */

struct clm_cached {
    unsigned char *data; /* packed, native, clipped to the shape; NULL: absent */
    size_t bytes;
};
/* data from `room`, of `bytes` */
typedef bool (*clm_cache_fill)(void *ctx, clm_slabs *room, clm_cached *out, clm_err *err);
uint64_t clm_cache_id(void);
/** The chunk, held until clm_cache_give. */
CLM_MUST bool clm_cache_take(clm_cache *c, uint64_t array, uint64_t chunk, clm_cache_fill fill, void *ctx,
                             const clm_cached **out, clm_err *err);
void clm_cache_give(clm_cache *c, const clm_cached *held);
void clm_cache_forget(clm_cache *c, uint64_t array, uint64_t chunk);
bool clm_cache_holds(clm_cache *c, uint64_t array, uint64_t chunk); /* or is about to */

/** Most bytes one chunk may decode to. */
#define CLM_CHUNK_BYTES_MAX ((int64_t)1 << 32)

#endif
