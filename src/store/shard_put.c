#include "collimate/base/file.h"
#include "collimate/codec/codec_family.h"
#include "collimate/store/zarr.h"

/* A shard on its way to disk: the bytes of its pieces in C order, without gaps, then the index. */
typedef struct writer {
    const clm_array *a;
    const clm_pipe *p;
    const char *path;
    clm_scratch *s;
    clm_draft draft;      /* opened by the first piece that is not empty */
    unsigned char *entry; /* offset and bytes of each piece, u64 little-endian */
} writer;

static bool put_bytes(writer *w, const unsigned char *bytes, size_t n, clm_err *err) {
    return (w->draft.open || clm_draft_open(w->path, &w->draft, err)) &&
           clm_draft_put(&w->draft, bytes, n, err);
}

/* Piece number i at `at` of the array's grid of pieces. */
static bool put_piece(writer *w, int64_t i, const int64_t at[], clm_box_source source, void *ctx,
                      clm_err *err) {
    const clm_array *a = w->a;
    int64_t clip[CLM_DIMS_MAX], lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], stride[CLM_DIMS_MAX];
    const unsigned char *bytes;
    size_t n;
    clm_put_le64(w->entry + 16 * i, UINT64_MAX);
    clm_put_le64(w->entry + 16 * i + 8, UINT64_MAX);
    (void)clm_chunk_clip(&a->info, a->info.inner, at, clip);
    for (int d = 0; d < a->info.ndim; d++) {
        if (clip[d] < 1) return true; /* beyond the array */
        lo[d] = at[d] * a->info.inner[d];
        hi[d] = lo[d] + clip[d];
    }
    int64_t voxels = clm_strides(a->info.ndim, clip, stride);
    if (!clm_buf_reserve(&w->s->given, (size_t)voxels * a->size, err) ||
        !source(ctx, lo, hi, w->s->given.data, err))
        return false;
    const void *data = w->s->given.data;
    if (!a->keep_empty && clm_all_equal(data, voxels, a->info.fill, a->size)) return true;
    data = clm_zarr_pad(a, a->info.inner, clip, data, w->s, err);
    if (!data || !clm_pipe_encode(w->p->inner, data, w->s, &bytes, &n, err)) return false;
    clm_put_le64(w->entry + 16 * i, w->draft.bytes);
    clm_put_le64(w->entry + 16 * i + 8, n);
    return put_bytes(w, bytes, n, err);
}

static bool put_pieces(writer *w, const int64_t index[], clm_box_source source, void *ctx, clm_err *err) {
    const clm_pipe *p = w->p;
    int64_t first[CLM_DIMS_MAX], end[CLM_DIMS_MAX], at[CLM_DIMS_MAX], i = 0;
    const unsigned char *coded;
    size_t coded_n;
    for (int d = 0; d < p->ndim; d++) {
        at[d] = first[d] = index[d] * p->pieces[d];
        end[d] = first[d] + p->pieces[d];
    }
    do {
        if (!put_piece(w, i++, at, source, ctx, err)) return false;
    } while (clm_step(p->ndim, first, end, at));
    if (!w->draft.open) return clm_file_remove(w->path, err);
    return clm_chain_encode(&p->index_chain, w->entry, (size_t)p->n_pieces * 16, w->s, &coded, &coded_n,
                            err) &&
           put_bytes(w, coded, coded_n, err) && clm_draft_publish(&w->draft, false, err);
}

bool clm_shard_put(const clm_array *a, const clm_pipe *p, const char *path, const int64_t index[],
                   clm_box_source source, void *ctx, clm_err *err) {
    if (p->index_first || p->index_big || p->inner->inner)
        return clm_fail(err, CLM_E_UNSUPPORTED, "this layout of shards is read, never written");
    writer w = {.a = a, .p = p, .path = path, .s = clm_scratch_mine(err)};
    if (!w.s) return false;
    w.entry = clm_heap_new((size_t)p->n_pieces, 16, err);
    bool ok = w.entry && put_pieces(&w, index, source, ctx, err);
    clm_draft_drop(&w.draft);
    clm_heap_free(w.entry);
    return ok;
}
