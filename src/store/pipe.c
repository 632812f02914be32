#include "collimate/codec/codec_family.h"
#include "collimate/store/zarr.h"

#include <string.h>

void clm_pipe_free(clm_pipe *p) {
    while (p) {
        clm_pipe *inner = p->inner;
        clm_heap_free(p);
        p = inner;
    }
}

bool clm_pipe_is_plain(const clm_pipe *p) {
    for (int d = 0; d < p->ndim; d++)
        if (p->perm[d] != d) return false;
    return true;
}

static size_t element_bytes(const clm_pipe *p) { return clm_dtype_size(p->dtype); }

static bool swaps(const clm_pipe *p) {
    size_t size = element_bytes(p);
    return size > 1 && p->big;
}

/* Strides of the decoded axes in the transposed order the bytes have. */
static int64_t strides_of(const clm_pipe *p, int64_t stride[]) {
    int64_t n = 1;
    for (int i = p->ndim - 1; i >= 0; i--) {
        stride[p->perm[i]] = n;
        n *= p->chunk[p->perm[i]];
    }
    return n;
}

/* ---- shards ---- */

bool clm_pipe_set_shard(clm_pipe *p, clm_err *err) {
    for (int d = 0; d < p->ndim; d++) {
        int64_t shard = p->chunk[p->perm[d]], piece = p->inner->chunk[d];
        if (piece < 1 || shard % piece)
            return clm_fail(err, CLM_E_FORMAT, "sharding_indexed: shard shape %s is no multiple of %s",
                            clm_index_say(p->ndim, p->chunk).s, clm_index_say(p->ndim, p->inner->chunk).s);
        p->pieces[d] = shard / piece;
    }
    if (!clm_product(p->ndim, p->pieces, (int64_t)1 << 26, &p->n_pieces, err)) return false;
    p->index_bytes = (size_t)p->n_pieces * 16;
    for (int i = 0; i < p->index_chain.n; i++) {
        p->index_bytes = clm_codec_size(&p->index_chain.codec[i], p->index_bytes);
        if (p->index_bytes == SIZE_MAX)
            return clm_fail(err, CLM_E_FORMAT, "sharding_indexed: index codec %s has no fixed size",
                            clm_codec_name(&p->index_chain.codec[i]));
    }
    return true;
}

bool clm_shard_index(const clm_pipe *p, const unsigned char *src, size_t n, uint64_t file_bytes,
                     clm_scratch *s, uint64_t *entry, clm_err *err) {
    const unsigned char *plain;
    if (!clm_chain_decode(&p->index_chain, src, n, (size_t)p->n_pieces * 16, s, NULL, &plain, err))
        return clm_err_in(err, "shard index");
    for (int64_t i = 0; i < 2 * p->n_pieces; i++) {
        uint64_t x = clm_le64(plain + 8 * i);
        entry[i] = p->index_big ? __builtin_bswap64(x) : x;
    }
    for (int64_t i = 0; i < p->n_pieces; i++) {
        uint64_t offset = entry[2 * i], bytes = entry[2 * i + 1];
        if (offset == UINT64_MAX && bytes == UINT64_MAX) continue;
        if (offset > file_bytes || bytes > file_bytes - offset)
            return clm_fail(err, CLM_E_FORMAT,
                            "shard index: piece %lld at %llu, %llu bytes, in a file of %llu", (long long)i,
                            (unsigned long long)offset, (unsigned long long)bytes,
                            (unsigned long long)file_bytes);
    }
    return true;
}

/* A whole shard into packed memory of the (transposed) shard's shape. */
static bool assemble(const clm_pipe *p, const unsigned char *src, size_t n, unsigned char *dst,
                     clm_err *err) {
    clm_scratch own = {0};
    size_t size = element_bytes(p), unit = p->dtype >= CLM_C64 ? size / 2 : size;
    int64_t shape[CLM_DIMS_MAX], stride[CLM_DIMS_MAX], zero[CLM_DIMS_MAX] = {0}, at[CLM_DIMS_MAX] = {0};
    for (int d = 0; d < p->ndim; d++) shape[d] = p->chunk[p->perm[d]];
    (void)clm_strides(p->ndim, shape, stride);
    if (n < p->index_bytes)
        return clm_fail(err, CLM_E_FORMAT, "shard of %zu bytes, no room for its index", n);
    uint64_t *entry = clm_heap_new((size_t)p->n_pieces * 2 + 1, sizeof *entry, err);
    const unsigned char *index = p->index_first ? src : src + n - p->index_bytes;
    bool ok = entry && clm_shard_index(p, index, p->index_bytes, n, &own, entry, err);
    int64_t i = 0;
    do {
        if (!ok) break;
        int64_t offset = 0;
        for (int d = 0; d < p->ndim; d++) offset += at[d] * p->inner->chunk[d] * stride[d];
        clm_chunk c = {0};
        if (entry[2 * i + 1] != UINT64_MAX)
            ok = clm_pipe_decode(p->inner, src + entry[2 * i], (size_t)entry[2 * i + 1], &own, NULL, &c, err);
        unsigned char *to = dst + offset * (int64_t)size;
        if (ok && c.data)
            clm_copy_block(p->ndim, p->inner->chunk, c.data, c.stride, to, stride, size, unit, c.swap);
        else if (ok)
            clm_fill_block(p->ndim, p->inner->chunk, to, stride, p->fill, size);
        i++;
    } while (clm_step(p->ndim, zero, p->pieces, at));
    clm_heap_free(entry);
    clm_scratch_free(&own);
    return ok;
}

static bool decode_shard(const clm_pipe *p, const unsigned char *src, size_t n, clm_scratch *s,
                         clm_chunk *out, clm_err *err) {
    int64_t shape_n = 1;
    clm_scratch outer = {0};
    for (int d = 0; d < p->ndim; d++) shape_n *= p->chunk[d];
    if (p->chain.n) { /* codecs after the shard: undo them as far as its length, which only they know */
        const clm_codec *c = &p->chain.codec[p->chain.n - 1];
        size_t cap = (size_t)shape_n * element_bytes(p) * 2 + p->index_bytes + 65536;
        size_t made = n;
        bool ok = true;
        for (int i = p->chain.n - 1; ok && i >= 0; i--, c--) {
            clm_buf *b = &outer.work[i & 1];
            ok = clm_buf_reserve(b, cap, err) && clm_codec_decode(c, src, n, b->data, cap, &made, err);
            src = b->data;
            n = made;
        }
        if (!ok) {
            clm_scratch_free(&outer);
            return false;
        }
    }
    bool ok = clm_buf_reserve(&s->pad, (size_t)shape_n * element_bytes(p), err) &&
              assemble(p, src, n, s->pad.data, err);
    clm_scratch_free(&outer);
    out->data = s->pad.data;
    out->swap = false;
    return ok;
}

bool clm_pipe_decode(const clm_pipe *p, const unsigned char *src, size_t n, clm_scratch *s, const clm_want *w,
                     clm_chunk *out, clm_err *err) {
    memcpy(out->extent, p->chunk, sizeof out->extent);
    size_t size = element_bytes(p), all = (size_t)strides_of(p, out->stride) * size;
    if (p->inner) return decode_shard(p, src, n, s, out, err);
    out->swap = swaps(p);
    if (!w) return clm_chain_decode(&p->chain, src, n, all, s, NULL, &out->data, err);
    if (w->into && w->into_bytes == all && clm_pipe_is_plain(p)) /* neither padded nor transposed */
        return clm_chain_decode(&p->chain, src, n, all, s, w->into, &out->data, err);
    int64_t first = 0, last = 0;
    for (int d = 0; d < p->ndim; d++) {
        first += w->lo[d] * out->stride[d];
        last += (w->hi[d] - 1) * out->stride[d];
    }
    return clm_chain_decode_part(&p->chain, src, n, all, (size_t)first * size, (size_t)(last + 1) * size, s,
                                 &out->data, err);
}

/* ---- encoding ---- */

bool clm_pipe_encode(const clm_pipe *p, const void *data, clm_scratch *s, const unsigned char **out,
                     size_t *out_n, clm_err *err) {
    size_t size = element_bytes(p), unit = p->dtype >= CLM_C64 ? size / 2 : size;
    if (p->inner) return clm_fail(err, CLM_E_UNSUPPORTED, "this layout of shards is read, never written");
    const void *bytes = data;
    int64_t stride[CLM_DIMS_MAX], packed[CLM_DIMS_MAX];
    int64_t n = strides_of(p, stride);
    if (swaps(p) || !clm_pipe_is_plain(p)) {
        /* work[1] is free until the second codec of the chain runs */
        if (!clm_buf_reserve(&s->work[1], (size_t)n * size, err)) return false;
        (void)clm_strides(p->ndim, p->chunk, packed);
        clm_copy_block(p->ndim, p->chunk, data, packed, s->work[1].data, stride, size, unit, swaps(p));
        bytes = s->work[1].data;
    }
    return clm_chain_encode(&p->chain, bytes, (size_t)n * size, s, out, out_n, err);
}
