#include "collimate/store/array.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"
#include "collimate/store/ome.h"

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

/* ---- opening ---- */

bool clm_array_of_file(const char *path, const char *name, clm_array_of_text of_text, clm_array **out,
                       clm_err *err) {
    char file[CLM_PATH_MAX];
    clm_buf text = {0};
    bool ok = clm_path_join(file, path, name, err) && clm_file_read(file, (size_t)64 << 20, &text, err) &&
              of_text(path, &text, out, err);
    clm_buf_free(&text);
    return ok;
}

static bool open_folder(const char *path, clm_array **out, clm_err *err) {
    switch (clm_node_kind_of(path)) {
    case CLM_NODE_ZARR3_ARRAY: return clm_zarr3_open(path, out, err);
    case CLM_NODE_ZARR2_ARRAY: return clm_zarr2_open(path, out, err);
    case CLM_NODE_N5_ARRAY: return clm_n5_open(path, out, err);
    default: return clm_node_not_array(path, err);
    }
}

/* A file on the way, "scan.h5/group/data": what follows it is a path inside. */
static bool open_inside(const char *path, clm_array **out, clm_err *err) {
    char file[CLM_PATH_MAX];
    if (!clm_path_format(file, err, "%s", path)) return false;
    for (char *slash = strrchr(file, '/'); slash && slash != file; slash = strrchr(file, '/')) {
        *slash = 0;
        clm_path_kind kind = clm_path_kind_of(file);
        if (kind == CLM_PATH_FILE) return clm_file_array_open(file, path + (slash - file) + 1, out, err);
        if (kind != CLM_PATH_NONE) break;
    }
    return clm_fail(err, CLM_E_NOTFOUND, "no such file or folder");
}

bool clm_array_open(const char *path, clm_array **out, clm_err *err) {
    bool ok = false;
    *out = NULL;
    switch (clm_path_kind_of(path)) {
    case CLM_PATH_FOLDER: ok = open_folder(path, out, err); break;
    case CLM_PATH_FILE: ok = clm_file_array_open(path, "", out, err); break;
    case CLM_PATH_NONE: ok = open_inside(path, out, err); break;
    default: ok = clm_fail(err, CLM_E_UNSUPPORTED, "neither a file nor a folder"); break;
    }
    return ok ? true : clm_err_in(err, "%s", path);
}

bool clm_array_open_write(const char *path, clm_array **out, clm_err *err) {
    if (!clm_array_open(path, out, err)) return false;
    if (!(*out)->ops->put && !(*out)->ops->put_from && !(*out)->ops->encode) {
        clm_array_close(*out);
        *out = NULL;
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: this kind of array is only read", path);
    }
    (*out)->writable = true;
    return true;
}

static bool check_spec(const clm_array_spec *s, clm_err *err) {
    if (s->ndim < 1 || s->ndim > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d dimensions; 1 to %d can be written", s->ndim, CLM_DIMS_MAX);
    int64_t n;
    for (int d = 0; d < s->ndim; d++) {
        if (s->shape[d] < 1 || s->chunk[d] < 1)
            return clm_fail(err, CLM_E_ARG, "shape %s with chunks %s", clm_index_say(s->ndim, s->shape).s,
                            clm_index_say(s->ndim, s->chunk).s);
        if (s->shard[0] && (s->shard[d] < s->chunk[d] || s->shard[d] % s->chunk[d]))
            return clm_fail(err, CLM_E_ARG, "shard %s is no multiple of chunk %s",
                            clm_index_say(s->ndim, s->shard).s, clm_index_say(s->ndim, s->chunk).s);
    }
    int64_t most = (INT32_MAX - 64) / (int64_t)clm_dtype_size(s->dtype); /* what N5 and blosc can hold */
    if (!clm_product(s->ndim, s->chunk, most, &n, err)) {
        err->code = CLM_E_ARG;
        return clm_err_in(err, "chunks of 2 GiB or more: chunk shape");
    }
    if (s->shard[0] && s->format != CLM_FORMAT_ZARR3)
        return clm_fail(err, CLM_E_ARG, "only Zarr v3 has shards");
    return true;
}

static bool same_array(const char *path, const clm_array_spec *s, const clm_array *a, clm_err *err) {
    static const char *const format[] = {"zarr3", "zarr2", "n5"};
    const clm_array_info *i = &a->info;
    bool same = i->ndim == s->ndim && i->dtype == s->dtype && strcmp(i->format, format[s->format]) == 0;
    for (int d = 0; same && d < s->ndim; d++) {
        same = i->shape[d] == s->shape[d] && i->inner[d] == s->chunk[d] &&
               i->chunk[d] == (s->shard[0] ? s->shard[d] : s->chunk[d]);
    }
    return same ||
           clm_fail(err, CLM_E_ARG, "%s: there is another array (%s %s of %s); remove it or write elsewhere",
                    path, i->format, clm_dtype_name(i->dtype), clm_index_say(i->ndim, i->shape).s);
}

bool clm_array_create(const char *path, const clm_array_spec *spec, clm_array **out, clm_err *err) {
    static const char *const name[] = {"zarr.json", ".zarray", "attributes.json"};
    *out = NULL;
    if (!check_spec(spec, err)) return clm_err_in(err, "%s", path);
    char file[CLM_PATH_MAX];
    if (!clm_path_join(file, path, name[spec->format], err)) return false;
    if (clm_node_kind_of(path) == CLM_NODE_NONE || clm_node_kind_of(path) == CLM_NODE_N5_GROUP) {
        clm_buf text = {0};
        bool ok = spec->format == CLM_FORMAT_ZARR3   ? clm_zarr3_metadata(spec, &text, err)
                  : spec->format == CLM_FORMAT_ZARR2 ? clm_zarr2_metadata(spec, &text, err)
                                                     : clm_n5_metadata(spec, &text, err);
        ok = ok && clm_store_make_parents(path, spec->format, err) &&
             clm_file_publish(file, text.data, text.n, true, err);
        if (ok && spec->format == CLM_FORMAT_ZARR2 && spec->attributes)
            ok = clm_node_put_attrs(path, spec->attributes, err);
        clm_buf_free(&text);
        if (!ok) return clm_err_in(err, "%s", path);
    }
    if (!clm_array_open_write(path, out, err)) return false;
    if (same_array(path, spec, *out, err)) {
        (*out)->keep_empty = spec->keep_empty;
        return true;
    }
    clm_array_close(*out);
    *out = NULL;
    return false;
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

bool clm_array_has_chunk(const clm_array *a, const int64_t index[]) {
    return in_grid(a, index) && a->ops->has(a, index);
}
