/* What Zarr v2 and v3 share: a pipe from chunk elements to bytes, and chunk keys. For zarr*.c only. */
#ifndef CLM_STORE_ZARR_H
#define CLM_STORE_ZARR_H

#include "collimate/store/format.h"

/** Elements -> (transposed) -> bytes -> chain; or, with inner, a shard: pieces of inner, each encoded by
 *  inner's pipe, and an index of (offset, bytes) u64 pairs, both 2^64-1 for an absent piece. */
typedef struct clm_pipe clm_pipe;
struct clm_pipe {
    int ndim;
    int64_t chunk[CLM_DIMS_MAX];
    int perm[CLM_DIMS_MAX]; /* encoded axis i is decoded axis perm[i] */
    bool big;
    clm_dtype dtype;
    unsigned char fill[16];
    clm_chain chain;
    clm_pipe *inner; /* NULL: not a shard */
    clm_chain index_chain;
    bool index_big, index_first;
    int64_t pieces[CLM_DIMS_MAX]; /* inner chunks along each axis */
    int64_t n_pieces;
    size_t index_bytes;
};
void clm_pipe_free(clm_pipe *p);
bool clm_pipe_is_plain(const clm_pipe *p); /* no transposition */
/** Decode to a chunk as it lies; shards are assembled in s->pad. w NULL: all of it, in s. */
CLM_MUST bool clm_pipe_decode(const clm_pipe *p, const unsigned char *src, size_t n, clm_scratch *s,
                              const clm_want *w, clm_chunk *out, clm_err *err);
/** Encode a full chunk that is no shard, packed and native; *out points into s or data. */
CLM_MUST bool clm_pipe_encode(const clm_pipe *p, const void *data, clm_scratch *s, const unsigned char **out,
                              size_t *out_n, clm_err *err);
/** Fill pieces, n_pieces, index_bytes of a pipe that has inner. CLM_E_FORMAT when shapes do not divide. */
CLM_MUST bool clm_pipe_set_shard(clm_pipe *p, clm_err *err);
/** Decode an index; entry 2*i offset, 2*i+1 bytes, native. Checks that every piece lies in the file. */
CLM_MUST bool clm_shard_index(const clm_pipe *p, const unsigned char *src, size_t n, uint64_t file_bytes,
                              clm_scratch *s, uint64_t *entry, clm_err *err);

typedef struct clm_zarr {
    clm_pipe *pipe;
    bool v2_keys;   /* "1.2.3" instead of "c/1/2/3"      */
    char separator; /* '/' or '.'                         */
    bool partial;   /* a shard whose pieces can be read alone */
    struct clm_shard_table *indexes;
} clm_zarr;
/** Array over a pipe; takes over z and z->pipe. */
CLM_MUST bool clm_zarr_new(const char *path, const clm_array_info *info, clm_zarr *z, clm_array **out,
                           clm_err *err);
void clm_zarr_free(clm_zarr *z);

/* shard.c: recently used indexes of an array's shards */
struct clm_shard_table *clm_shard_table_new(clm_err *err);
void clm_shard_table_free(struct clm_shard_table *t);
/** Where piece `piece` of the shard file `fd` lies; *bytes UINT64_MAX: absent. number: the shard's. */
CLM_MUST bool clm_shard_find(struct clm_shard_table *t, const clm_pipe *p, int fd, uint64_t number,
                             int64_t piece, clm_scratch *s, uint64_t *offset, uint64_t *bytes, clm_err *err);

/* shard_put.c */
/** Pieces one after the other as they are encoded, the index last; a shard of nothing but fill is removed. */
CLM_MUST bool clm_shard_put(const clm_array *a, const clm_pipe *p, const char *path, const int64_t index[],
                            clm_box_source source, void *ctx, clm_err *err);
/** An edge chunk filled up, in s->pad; data itself where it is whole. CLM_E_NOMEM: NULL. */
const void *clm_zarr_pad(const clm_array *a, const int64_t chunk[], const int64_t clip[], const void *data,
                         clm_scratch *s, clm_err *err);

#endif
