#include "collimate/store/zarr.h"
#include "collimate/base/fault.h"
#include "collimate/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void clm_zarr_free(clm_zarr *z) {
    if (!z) return;
    clm_pipe_free(z->pipe);
    clm_shard_table_free(z->indexes);
    clm_heap_free(z);
}

static void close_self(void *self) { clm_zarr_free(self); }

static bool chunk_path(const clm_array *a, const int64_t index[], char out[CLM_PATH_MAX], clm_err *err) {
    const clm_zarr *z = a->self;
    char text[220] = "";
    size_t at = 0;
    if (!z->v2_keys) at += (size_t)snprintf(text, sizeof text, "c");
    if (z->v2_keys && a->info.ndim == 0) at += (size_t)snprintf(text, sizeof text, "0");
    for (int d = 0; d < a->info.ndim; d++) {
        const char gap[2] = {z->v2_keys && d == 0 ? 0 : z->separator, 0};
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%lld", gap, (long long)index[d]);
    }
    return clm_path_format(out, err, "%s/%s", a->path, text);
}

/* ---- reading ---- */

static bool piece_path(const clm_array *a, const int64_t index[], char path[CLM_PATH_MAX], clm_err *err) {
    const clm_pipe *p = ((const clm_zarr *)a->self)->pipe;
    int64_t at[CLM_DIMS_MAX];
    for (int d = 0; d < a->info.ndim; d++) at[d] = index[d] / p->pieces[d];
    return chunk_path(a, at, path, err);
}

/* One piece of a shard, without reading the rest. */
static bool load_piece(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *want,
                       clm_chunk *out, clm_err *err) {
    const clm_zarr *z = a->self;
    const clm_pipe *p = z->pipe;
    char path[CLM_PATH_MAX];
    int64_t at = 0;
    uint64_t number = 0, offset = 0, bytes = 0;
    if (!piece_path(a, index, path, err)) return false;
    for (int d = 0; d < a->info.ndim; d++) {
        int64_t shards = (a->info.shape[d] + a->info.chunk[d] - 1) / a->info.chunk[d];
        at = at * p->pieces[d] + index[d] % p->pieces[d];
        number = number * (uint64_t)shards + (uint64_t)(index[d] / p->pieces[d]);
    }
    int fd = clm_fault("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return true;
    if (fd < 0) return clm_fail_os(err, CLM_E_IO, "%s", path);
    bool ok = clm_shard_find(z->indexes, p, fd, number, at, s, &offset, &bytes, err);
    if (ok && bytes != UINT64_MAX) {
        ok = clm_buf_reserve(&s->file, (size_t)bytes + 1, err);
        for (size_t got = 0; ok && got < bytes;) {
            ssize_t r = clm_fault("read")
                            ? -1
                            : pread(fd, s->file.data + got, clm_fault_short((size_t)bytes - got),
                                    (off_t)(offset + got));
            if (r < 0 && errno == EINTR) continue;
            if (r <= 0)
                ok = r < 0 ? clm_fail_os(err, CLM_E_IO, "read")
                           : clm_fail(err, CLM_E_FORMAT, "shard cut short");
            got += r > 0 ? (size_t)r : 0;
        }
        ok = ok && clm_pipe_decode(p->inner, s->file.data, (size_t)bytes, s, want, out, err);
    }
    close(fd);
    return ok ? true : clm_err_in(err, "%s: piece %lld", path, (long long)at);
}

static bool decode(const clm_array *a, const int64_t index[], const unsigned char *src, size_t n,
                   clm_scratch *s, const clm_want *want, clm_chunk *out, clm_err *err) {
    const clm_pipe *p = ((const clm_zarr *)a->self)->pipe;
    (void)index;
    if (n == 0) return clm_fail(err, CLM_E_FORMAT, "empty chunk file");
    return clm_pipe_decode(p, src, n, s, want, out, err);
}

/* ---- writing ---- */

const void *clm_zarr_pad(const clm_array *a, const int64_t chunk[], const int64_t clip[], const void *data,
                         clm_scratch *s, clm_err *err) {
    int64_t from[CLM_DIMS_MAX], to[CLM_DIMS_MAX], n = clm_strides(a->info.ndim, clip, from);
    int64_t full = clm_strides(a->info.ndim, chunk, to);
    if (n == full) return data;
    if (!clm_buf_reserve(&s->pad, (size_t)full * a->size, err)) return NULL;
    clm_fill_block(a->info.ndim, chunk, s->pad.data, to, a->info.fill, a->size);
    clm_copy_block(a->info.ndim, clip, data, from, s->pad.data, to, a->size, a->unit, false);
    return s->pad.data;
}

static bool encode(const clm_array *a, const int64_t index[], const void *data, clm_scratch *s,
                   const unsigned char **bytes, size_t *n, clm_err *err) {
    int64_t clip[CLM_DIMS_MAX];
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    data = clm_zarr_pad(a, a->info.chunk, clip, data, s, err);
    return data && clm_pipe_encode(((const clm_zarr *)a->self)->pipe, data, s, bytes, n, err);
}

static bool put_shard(clm_array *a, const int64_t index[], clm_box_source source, void *ctx, clm_err *err) {
    const clm_zarr *z = a->self;
    char path[CLM_PATH_MAX];
    return chunk_path(a, index, path, err) && clm_shard_put(a, z->pipe, path, index, source, ctx, err);
}

static const clm_array_ops ops = {
    .close = close_self, .where = chunk_path, .decode = decode, .encode = encode};
static const clm_array_ops shard_ops = {
    .load = load_piece, .put_from = put_shard, .close = close_self, .where = piece_path, .decode = decode};

bool clm_zarr_new(const char *path, const clm_array_info *info, clm_zarr *z, clm_array **out, clm_err *err) {
    clm_array_info i = *info;
    const clm_pipe *p = z->pipe;
    /* pieces of a shard can be read alone when nothing but the pieces is encoded */
    z->partial = p->inner && p->chain.n == 0 && clm_pipe_is_plain(p);
    if (z->partial) {
        z->indexes = clm_shard_table_new(err);
        if (!z->indexes) return false;
        memcpy(i.inner, p->inner->chunk, sizeof i.inner);
    } else {
        memcpy(i.inner, i.chunk, sizeof i.inner);
    }
    clm_chain_describe(p->inner ? &p->inner->chain : &p->chain, i.codec, sizeof i.codec);
    return clm_array_new(path, &i, z->partial ? &shard_ops : &ops, z, out, err);
}
