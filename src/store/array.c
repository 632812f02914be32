#include "collimate/store/array.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"

#include <stdio.h>
#include <string.h>

static size_t swap_unit(clm_dtype t) {
    size_t size = clm_dtype_size(t);
    return t == CLM_C64 || t == CLM_C128 ? size / 2 : size;
}

bool clm_array_new(const char *path, const clm_array_info *info, const clm_array_ops *ops, void *self,
                   clm_array **out, clm_err *err) {
    int64_t n;
    size_t size = clm_dtype_size(info->dtype);
    for (int d = 0; d < info->ndim; d++) {
        if (info->shape[d] < 0)
            return clm_fail(err, CLM_E_FORMAT, "shape %s", clm_index_say(info->ndim, info->shape).s);
        if (info->chunk[d] < 1 || info->inner[d] < 1)
            return clm_fail(err, CLM_E_FORMAT, "chunk shape %s", clm_index_say(info->ndim, info->chunk).s);
    }
    if (!clm_product(info->ndim, info->shape, INT64_MAX / 16, &n, err)) return clm_err_in(err, "shape");
    if (!clm_product(info->ndim, info->inner, CLM_CHUNK_BYTES_MAX / (int64_t)size, &n, err))
        return clm_err_in(err, "chunk shape");
    clm_array *a = clm_heap_new(1, sizeof *a, err);
    if (!a) return false;
    a->path = clm_heap_text(path, err);
    if (!a->path) {
        clm_heap_free(a);
        return false;
    }
    a->info = *info;
    a->ops = ops;
    a->self = self;
    a->size = size;
    a->unit = swap_unit(info->dtype);
    *out = a;
    return true;
}

void clm_array_close(clm_array *a) {
    if (!a) return;
    if (a->ops->close) a->ops->close(a->self);
    clm_heap_free(a->place);
    clm_heap_free(a->path);
    clm_heap_free(a);
}

const clm_array_info *clm_array_info_of(const clm_array *a) { return &a->info; }
const char *clm_array_path_of(const clm_array *a) { return a->path; }

void clm_array_use_cache(clm_array *a, clm_cache *c) {
    a->cache = c;
    if (!a->cache_id) a->cache_id = clm_cache_id();
}

bool clm_array_has_cache(const clm_array *a) { return a->cache != NULL; }

typedef struct making {
    clm_array_make make;
    void *ctx;
    size_t bytes;
} making;

static bool fill_made(void *ctx, clm_slabs *room, clm_cached *out, clm_err *err) {
    const making *m = ctx;
    void *own = clm_slab_take(room, m->bytes, err);
    if (!own) return false;
    if (!m->make(m->ctx, own, err)) {
        clm_slab_give(room, own, m->bytes);
        return false;
    }
    out->data = own, out->bytes = m->bytes;
    return true;
}

bool clm_array_take_made(const clm_array *a, uint64_t kind, uint64_t number, size_t bytes,
                         clm_array_make make, void *ctx, const void **out, const clm_cached **held,
                         clm_err *err) {
    making m = {make, ctx, bytes};
    if (!a->cache || kind == 0 || kind >> 25)
        return clm_fail(err, CLM_E_ARG, "%s: nothing of kind %llu can be kept", a->path,
                        (unsigned long long)kind);
    /* arrays count from 1 and are fewer than 2^39 */
    if (!clm_cache_take(a->cache, a->cache_id | kind << 39, number, fill_made, &m, held, err)) return false;
    *out = (*held)->data;
    return true;
}

void clm_array_give_made(const clm_array *a, const clm_cached *held) { clm_cache_give(a->cache, held); }

bool clm_array_of_file(const char *path, const char *name, clm_array_of_text of_text, clm_array **out,
                       clm_err *err) {
    char file[CLM_PATH_MAX];
    clm_buf text = {0};
    bool ok = clm_path_join(file, path, name, err) && clm_file_read(file, (size_t)64 << 20, &text, err) &&
              of_text(path, &text, out, err);
    clm_buf_free(&text);
    return ok;
}

/* ---- geometry ---- */

int64_t clm_array_chunk_grid(const clm_array *a, int64_t grid[CLM_DIMS_MAX]) {
    int64_t n = 1;
    for (int d = 0; d < a->info.ndim; d++) {
        grid[d] = (a->info.shape[d] + a->info.chunk[d] - 1) / a->info.chunk[d];
        n *= grid[d];
    }
    return n;
}

void clm_array_chunk_box(const clm_array *a, const int64_t index[], int64_t lo[], int64_t hi[]) {
    int64_t extent[CLM_DIMS_MAX];
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, extent);
    for (int d = 0; d < a->info.ndim; d++) {
        lo[d] = index[d] * a->info.chunk[d];
        hi[d] = lo[d] + extent[d];
    }
}

/* ---- writing ---- */

static bool in_grid(const clm_array *a, const int64_t index[]) {
    for (int d = 0; d < a->info.ndim; d++)
        if (index[d] < 0 || index[d] * a->info.chunk[d] >= a->info.shape[d]) return false;
    return true;
}

/* The inner chunks below a written one are stale. */
static void forget(clm_array *a, const int64_t index[]) {
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], at[CLM_DIMS_MAX], grid[CLM_DIMS_MAX];
    for (int d = 0; d < a->info.ndim; d++) {
        int64_t per = a->info.chunk[d] / a->info.inner[d];
        grid[d] = (a->info.shape[d] + a->info.inner[d] - 1) / a->info.inner[d];
        at[d] = lo[d] = index[d] * per;
        hi[d] = lo[d] + per < grid[d] ? lo[d] + per : grid[d];
    }
    do {
        uint64_t number = 0;
        for (int d = 0; d < a->info.ndim; d++) number = number * (uint64_t)grid[d] + (uint64_t)at[d];
        clm_cache_forget(a->cache, a->cache_id, number);
    } while (clm_step(a->info.ndim, lo, hi, at));
}

static bool ready_to_put(const clm_array *a, const int64_t index[], clm_err *err) {
    if (!a->writable) return clm_fail(err, CLM_E_ARG, "%s: not open for writing", a->path);
    return in_grid(a, index) ||
           clm_fail(err, CLM_E_ARG, "%s: no chunk %s", a->path, clm_index_say(a->info.ndim, index).s);
}

static bool was_put(clm_array *a, const int64_t index[], bool ok, clm_err *err) {
    if (!ok)
        return strstr(err->text, a->path)
                   ? false
                   : clm_err_in(err, "%s: chunk %s", a->path, clm_index_say(a->info.ndim, index).s);
    if (a->cache) forget(a, index);
    return true;
}

static bool put_whole(clm_array *a, const int64_t index[], const void *data, clm_scratch *s, clm_err *err) {
    if (a->ops->put) return a->ops->put(a, index, data, s, err);
    char path[CLM_PATH_MAX];
    int64_t clip[CLM_DIMS_MAX], stride[CLM_DIMS_MAX];
    const unsigned char *bytes;
    size_t n;
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    int64_t voxels = clm_strides(a->info.ndim, clip, stride);
    if (!a->ops->where(a, index, path, err)) return false;
    if (!a->keep_empty && clm_all_equal(data, voxels, a->info.fill, a->size))
        return clm_file_remove(path, err);
    return a->ops->encode(a, index, data, s, &bytes, &n, err) && clm_file_publish(path, bytes, n, false, err);
}

/* A chunk in memory as a source of its pieces. */
typedef struct whole {
    const clm_array *a;
    const unsigned char *data;
    int64_t lo[CLM_DIMS_MAX], stride[CLM_DIMS_MAX];
} whole;

static bool cut_piece(void *ctx, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err) {
    const whole *w = ctx;
    int64_t extent[CLM_DIMS_MAX], to[CLM_DIMS_MAX], offset = 0;
    (void)err;
    for (int d = 0; d < w->a->info.ndim; d++) {
        extent[d] = hi[d] - lo[d];
        offset += (lo[d] - w->lo[d]) * w->stride[d];
    }
    (void)clm_strides(w->a->info.ndim, extent, to);
    clm_copy_block(w->a->info.ndim, extent, w->data + offset * (int64_t)w->a->size, w->stride, dst, to,
                   w->a->size, w->a->unit, false);
    return true;
}

bool clm_array_put_chunk(clm_array *a, const int64_t index[], const void *data, clm_err *err) {
    if (!ready_to_put(a, index, err)) return false;
    if (a->ops->put_from) {
        whole w = {.a = a, .data = data};
        int64_t extent[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
        clm_array_chunk_box(a, index, w.lo, hi);
        (void)clm_chunk_clip(&a->info, a->info.chunk, index, extent);
        (void)clm_strides(a->info.ndim, extent, w.stride);
        return was_put(a, index, a->ops->put_from(a, index, cut_piece, &w, err), err);
    }
    clm_scratch *s = clm_scratch_mine(err);
    return s && was_put(a, index, put_whole(a, index, data, s, err), err);
}

bool clm_array_put_chunk_from(clm_array *a, const int64_t index[], clm_box_source source, void *ctx,
                              clm_err *err) {
    if (!ready_to_put(a, index, err)) return false;
    if (a->ops->put_from) return was_put(a, index, a->ops->put_from(a, index, source, ctx, err), err);
    clm_scratch *s = clm_scratch_mine(err);
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], bytes = (int64_t)a->size;
    clm_array_chunk_box(a, index, lo, hi);
    for (int d = 0; d < a->info.ndim; d++) bytes *= hi[d] - lo[d];
    return s && clm_buf_reserve(&s->given, (size_t)bytes, err) && source(ctx, lo, hi, s->given.data, err) &&
           was_put(a, index, put_whole(a, index, s->given.data, s, err), err);
}
