#include "collimate/codec/codec_json.h"
#include "collimate/store/format.h"

#include <stdio.h>
#include <string.h>

typedef struct memory {
    unsigned char *data;
    bool own;
} memory;

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err) {
    (void)s;
    (void)w;
    (void)err;
    const memory *m = a->self;
    int64_t offset = 0;
    (void)clm_strides(a->info.ndim, a->info.shape, out->stride);
    (void)clm_chunk_clip(&a->info, a->info.inner, index, out->extent);
    for (int d = 0; d < a->info.ndim; d++) offset += index[d] * a->info.inner[d] * out->stride[d];
    out->data = m->data + offset * (int64_t)a->size;
    return true;
}

static bool put(clm_array *a, const int64_t index[], const void *data, clm_scratch *s, clm_err *err) {
    (void)s;
    (void)err;
    memory *m = a->self;
    int64_t clip[CLM_DIMS_MAX], from[CLM_DIMS_MAX], to[CLM_DIMS_MAX], offset = 0;
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    (void)clm_strides(a->info.ndim, clip, from);
    (void)clm_strides(a->info.ndim, a->info.shape, to);
    for (int d = 0; d < a->info.ndim; d++) offset += index[d] * a->info.chunk[d] * to[d];
    clm_copy_block(a->info.ndim, clip, data, from, m->data + offset * (int64_t)a->size, to, a->size, a->unit,
                   false);
    return true;
}

static void close_self(void *self) {
    memory *m = self;
    if (m->own) clm_heap_free(m->data);
    clm_heap_free(m);
}

static const clm_array_ops ops = {.load = load, .put = put, .close = close_self};

bool clm_array_open_memory(const clm_array_spec *spec, void *data, clm_array **out, clm_err *err) {
    clm_array_info info = {.ndim = spec->ndim, .dtype = spec->dtype, .format = "memory", .codec = "none"};
    int64_t n, stride[CLM_DIMS_MAX];
    if (spec->ndim < 0 || spec->ndim > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d dimensions", spec->ndim);
    memcpy(info.shape, spec->shape, sizeof info.shape);
    memcpy(info.chunk, spec->chunk, sizeof info.chunk);
    memcpy(info.inner, spec->chunk, sizeof info.inner);
    if (!clm_fill_of_double(spec->fill, spec->dtype, info.fill, err)) return false;
    if (!clm_product(spec->ndim, spec->shape, INT64_MAX / 16, &n, err)) return false;
    size_t size = clm_dtype_size(spec->dtype);
    memory *m = clm_heap_new(1, sizeof *m, err);
    if (!m) return false;
    m->own = data == NULL;
    m->data = data ? data : clm_heap_new(n ? (size_t)n : 1, size, err);
    if (m->data && m->own) {
        (void)clm_strides(spec->ndim, spec->shape, stride);
        clm_fill_block(spec->ndim, spec->shape, m->data, stride, info.fill, size);
    }
    if (m->data && clm_array_new("memory", &info, &ops, m, out, err)) {
        (*out)->writable = true;
        return true;
    }
    close_self(m);
    return false;
}
