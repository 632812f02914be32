#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/codec/codec_family.h"
#include "collimate/codec/codec_json.h"
#include "collimate/store/format.h"

#include <stdio.h>
#include <string.h>

/* N5, https://github.com/saalfeldlab/n5, "File-system specification". Dimensions are written x first and
 * blocks x fastest: the same bytes as a C array of the reversed shape. Only this file knows. */

typedef struct n5 {
    clm_chain chain;
} n5;

/* ---- metadata ---- */

static bool reversed(const clm_json *v, const char *key, int ndim, int64_t out[], clm_err *err) {
    int64_t x[CLM_DIMS_MAX];
    if (!clm_json_ints(clm_json_get(v, key), ndim, x))
        return clm_fail(err, CLM_E_FORMAT, "%s: want a list of %d whole numbers", key, ndim);
    for (int d = 0; d < ndim; d++) out[d] = x[ndim - 1 - d];
    return true;
}

/* The container's root says its version; groups on the way need no file. */
static bool check_version(const char *path, clm_err *err) {
    char at[CLM_PATH_MAX];
    if (!clm_path_format(at, err, "%s", path)) return false;
    for (int up = 0; up < 16; up++) {
        char file[CLM_PATH_MAX];
        clm_json *v = NULL;
        clm_err ignored = CLM_ERR_NONE;
        if (!clm_path_join(file, at, "attributes.json", err)) return false;
        bool read = clm_path_kind_of(file) == CLM_PATH_FILE && clm_json_read(file, &v, &ignored);
        const char *text = read ? clm_json_text(clm_json_get(v, "n5")) : NULL;
        int major = 0;
        for (const char *p = text; p && *p >= '0' && *p <= '9' && major < 1000; p++)
            major = major * 10 + (*p - '0');
        bool too_new = major > 4;
        bool done = text != NULL;
        clm_json_free(v);
        if (too_new)
            return clm_fail(err, CLM_E_UNSUPPORTED, "%s: N5 version %d; up to 4 is known", file, major);
        char *slash = strrchr(at, '/');
        if (done || !slash || slash == at) return true;
        *slash = 0;
    }
    return true;
}

static bool parse(const clm_json *v, clm_array_info *info, n5 *self, clm_err *err) {
    const clm_json *dims = clm_json_get(v, "dimensions"), *how = clm_json_get(v, "compression");
    int64_t ndim = clm_json_size(dims);
    (void)snprintf(info->format, sizeof info->format, "n5");
    if (ndim < 1 || ndim > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "dimensions: %lld of them, 1 to %d make sense", (long long)ndim,
                        CLM_DIMS_MAX);
    info->ndim = (int)ndim;
    if (!reversed(v, "dimensions", info->ndim, info->shape, err)) return false;
    if (!reversed(v, "blockSize", info->ndim, info->chunk, err)) return false;
    memcpy(info->inner, info->chunk, sizeof info->inner);
    const char *type = clm_json_text(clm_json_get(v, "dataType"));
    if (!type || !clm_dtype_named(type, &info->dtype) || !clm_dtype_is_real(info->dtype))
        return clm_fail(err, CLM_E_UNSUPPORTED, "dataType %s", type ? type : "is missing");
    bool label = false;
    if (clm_json_is(clm_json_get(v, "isLabelMultiset"), &label) && label)
        return clm_fail(err, CLM_E_UNSUPPORTED, "a label multiset holds no plain voxels");
    const char *codec = clm_json_text(clm_json_get(how, "type"));
    if (!how) codec = clm_json_text(clm_json_get(v, "compressionType")); /* before version 2 */
    if (!codec && clm_json_get(v, "codecs"))
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "codecs: N5's chains and shards are not read, only compression");
    if (!codec) return clm_fail(err, CLM_E_FORMAT, "compression is missing");
    bool none = true;
    clm_stored element = {info->dtype, true};
    if (!clm_codec_of_n5(how, codec, element, &self->chain.codec[0], &none, err)) return false;
    self->chain.n = none ? 0 : 1;
    clm_chain_describe(&self->chain, info->codec, sizeof info->codec);
    return true;
}

/* ---- blocks ---- */

static bool block_path(const clm_array *a, const int64_t index[], char out[CLM_PATH_MAX], clm_err *err) {
    char text[200];
    size_t at = 0;
    for (int d = a->info.ndim - 1; d >= 0; d--)
        at += (size_t)snprintf(text + at, sizeof text - at, "/%lld", (long long)index[d]);
    return clm_path_format(out, err, "%s%s", a->path, text);
}

/* Header: u16 mode, u16 ndim, u32 size[ndim] x first; big-endian. A block is at most blockSize, shorter
 * (truncated) or as long (padded) at the edges. */
static bool read_header(const clm_array *a, const unsigned char *p, size_t n, int64_t extent[],
                        size_t *header, clm_err *err) {
    int ndim = a->info.ndim;
    if (n == 0) return clm_fail(err, CLM_E_FORMAT, "empty block file (its writer was stopped?)");
    if (n < 4) return clm_fail(err, CLM_E_FORMAT, "block of %zu bytes, no room for a header", n);
    unsigned mode = (unsigned)p[0] << 8 | p[1], dims = (unsigned)p[2] << 8 | p[3];
    if (mode == 1) return clm_fail(err, CLM_E_UNSUPPORTED, "varlength block (mode 1) holds no plain voxels");
    if (mode == 2) return clm_fail(err, CLM_E_UNSUPPORTED, "object block (mode 2) holds no plain voxels");
    if (mode != 0) return clm_fail(err, CLM_E_FORMAT, "block mode %u", mode);
    if (dims != (unsigned)ndim)
        return clm_fail(err, CLM_E_FORMAT, "block has %u dimensions, the array %d", dims, ndim);
    *header = 4 + 4 * (size_t)ndim;
    if (n < *header) return clm_fail(err, CLM_E_FORMAT, "block of %zu bytes, no room for a header", n);
    for (int d = 0; d < ndim; d++) {
        extent[d] = clm_be32(p + 4 + 4 * (size_t)(ndim - 1 - d));
        if (extent[d] < 1 || extent[d] > a->info.chunk[d])
            return clm_fail(err, CLM_E_FORMAT, "block header says %s, blockSize is %s (z y x)",
                            clm_index_say(ndim, extent).s, clm_index_say(ndim, a->info.chunk).s);
    }
    return true;
}

static bool decode_block(const clm_array *a, const int64_t index[], const unsigned char *src, size_t n,
                         clm_scratch *s, const clm_want *w, clm_chunk *out, clm_err *err) {
    const n5 *self = a->self;
    int64_t clip[CLM_DIMS_MAX];
    size_t header = 0;
    if (!read_header(a, src, n, out->extent, &header, err)) return false;
    size_t bytes = (size_t)clm_strides(a->info.ndim, out->extent, out->stride) * a->size;
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    bool fits =
        memcmp(clip, out->extent, (size_t)a->info.ndim * sizeof clip[0]) == 0 && w->into_bytes == bytes;
    out->swap = a->unit > 1;
    return clm_chain_decode(&self->chain, src + header, n - header, bytes, s, fits ? w->into : NULL,
                            &out->data, err);
}

static bool encode_block(const clm_array *a, const int64_t index[], const void *data, clm_scratch *s,
                         const unsigned char **out, size_t *out_n, clm_err *err) {
    const n5 *self = a->self;
    int64_t clip[CLM_DIMS_MAX], stride[CLM_DIMS_MAX];
    (void)clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    int64_t n = clm_strides(a->info.ndim, clip, stride);
    size_t bytes = (size_t)n * a->size, header = 4 + 4 * (size_t)a->info.ndim;
    bool swap = a->unit > 1;
    const unsigned char *p = data;
    if (swap || !self->chain.n) { /* behind room for the header */
        if (!clm_buf_reserve(&s->pad, header + bytes, err)) return false;
        clm_copy_block(1, &n, data, (const int64_t[]){1}, s->pad.data + header, (const int64_t[]){1}, a->size,
                       a->unit, swap);
        p = s->pad.data + header;
    }
    if (self->chain.n) {
        if (!clm_chain_encode(&self->chain, p, bytes, s, &p, &bytes, err) ||
            !clm_buf_reserve(&s->pad, header + bytes, err))
            return false;
        memcpy(s->pad.data + header, p, bytes);
    }
    unsigned char *h = s->pad.data;
    memset(h, 0, 4);
    h[3] = (unsigned char)a->info.ndim;
    for (int d = 0; d < a->info.ndim; d++)
        for (int b = 0; b < 4; b++)
            h[4 + 4 * (a->info.ndim - 1 - d) + b] = (unsigned char)((uint64_t)clip[d] >> (24 - 8 * b));
    *out = h;
    *out_n = header + bytes;
    return true;
}

static const clm_array_ops ops = {
    .close = clm_heap_free, .where = block_path, .decode = decode_block, .encode = encode_block};

bool clm_n5_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err) {
    clm_json *v = NULL;
    clm_array_info info = {0};
    if (!clm_json_parse(text->data, text->n, "attributes.json", &v, err)) return false;
    n5 *self = clm_heap_new(1, sizeof *self, err);
    bool ok = self && parse(v, &info, self, err);
    clm_json_free(v);
    if (!ok) {
        clm_heap_free(self);
        return clm_err_in(err, "attributes.json");
    }
    if (check_version(path, err) && clm_array_new(path, &info, &ops, self, out, err)) return true;
    clm_heap_free(self);
    return false;
}

bool clm_n5_open(const char *path, clm_array **out, clm_err *err) {
    return clm_array_of_file(path, "attributes.json", clm_n5_of_text, out, err);
}

bool clm_n5_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err) {
    clm_codec c = {0};
    const char *codec = spec->codec ? spec->codec : "gzip";
    bool none = strcmp(codec, "none") == 0;
    if (!clm_dtype_is_real(spec->dtype))
        return clm_fail(err, CLM_E_ARG, "N5 has no %s", clm_dtype_name(spec->dtype));
    if (spec->fill != 0) return clm_fail(err, CLM_E_ARG, "N5 has no fill value but 0");
    if (!none && !clm_codec_named(codec, spec->level ? spec->level : -1, spec->dtype, &c, err)) return false;
    clm_json *v = spec->attributes ? clm_json_copy(spec->attributes, err) : clm_json_new_object(err);
    if (!v) return false;
    int64_t dims[CLM_DIMS_MAX], block[CLM_DIMS_MAX];
    for (int d = 0; d < spec->ndim; d++) {
        dims[d] = spec->shape[spec->ndim - 1 - d];
        block[d] = spec->chunk[spec->ndim - 1 - d];
    }
    clm_json_add_ints(v, "dimensions", dims, spec->ndim);
    clm_json_add_ints(v, "blockSize", block, spec->ndim);
    clm_json_add_text(v, "dataType", clm_dtype_name(spec->dtype));
    clm_json *how = clm_json_add_object(v, "compression");
    bool zlib = !none && c.kind == CLM_CODEC_ZLIB;
    clm_json_add_text(how, "type", none ? "raw" : zlib ? "gzip" : clm_codec_name(&c));
    if (!none && c.kind == CLM_CODEC_BLOSC) {
        clm_json_add_text(how, "cname", c.cname);
        clm_json_add_number(how, "clevel", c.level);
        clm_json_add_number(how, "shuffle", c.shuffle);
        clm_json_add_number(how, "blocksize", c.blocksize);
    } else if (!none) {
        clm_json_add_number(how, "level", c.level);
        if (c.kind != CLM_CODEC_ZSTD) clm_json_add_bool(how, "useZlib", zlib);
    }
    bool ok = clm_json_print(v, true, out, err);
    clm_json_free(v);
    return ok;
}
