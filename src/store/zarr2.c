#include "collimate/base/file.h"
#include "collimate/codec/codec_json.h"
#include "collimate/store/zarr.h"

#include <stdio.h>
#include <string.h>

/* Zarr v2, https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html, section "Arrays". */

/* The element each filter is given, for those that do not say. */
static bool parse_chain(const clm_json *v, clm_stored element, clm_chain *chain, clm_err *err) {
    const clm_json *filters = clm_json_get(v, "filters"), *compressor = clm_json_get(v, "compressor");
    if (clm_json_size(filters) >= CLM_CHAIN_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "more than %d filters", CLM_CHAIN_MAX - 1);
    for (const clm_json *f = clm_json_first(filters); f; f = clm_json_next(f)) {
        clm_codec *c = &chain->codec[chain->n++];
        if (!clm_codec_of_numcodecs(f, NULL, element, c, err)) return clm_err_in(err, "filters");
        if (c->kind == CLM_CODEC_DELTA || c->kind == CLM_CODEC_SCALE_OFFSET || c->kind == CLM_CODEC_ASTYPE)
            element = c->to;
    }
    if (!compressor || clm_json_kind_of(compressor) == CLM_JSON_NULL) return true;
    return clm_codec_of_numcodecs(compressor, NULL, element, &chain->codec[chain->n++], err)
               ? true
               : clm_err_in(err, "compressor");
}

/* Old nested stores forgot to say "/": a folder named 0 tells. */
static char separator_of(const clm_json *v, const char *path) {
    const char *text = clm_json_text(clm_json_get(v, "dimension_separator"));
    char folder[CLM_PATH_MAX];
    clm_err ignored = CLM_ERR_NONE;
    if (text) return text[0];
    if (!clm_path_join(folder, path, "0", &ignored)) return '.';
    return clm_path_kind_of(folder) == CLM_PATH_FOLDER ? '/' : '.';
}

static bool parse(const clm_json *v, const char *digits, const char *path, clm_array_info *info, clm_zarr *z,
                  clm_err *err) {
    clm_pipe *p = z->pipe;
    int64_t version = 0, ndim = clm_json_size(clm_json_get(v, "shape"));
    (void)snprintf(info->format, sizeof info->format, "zarr2");
    if (!clm_json_int(clm_json_get(v, "zarr_format"), &version) || version != 2)
        return clm_fail(err, CLM_E_FORMAT, "zarr_format is not 2");
    if (ndim > CLM_DIMS_MAX) return clm_fail(err, CLM_E_UNSUPPORTED, "%lld dimensions", (long long)ndim);
    info->ndim = p->ndim = (int)ndim;
    if (!clm_json_ints(clm_json_get(v, "shape"), ndim, info->shape) ||
        !clm_json_ints(clm_json_get(v, "chunks"), ndim, info->chunk))
        return clm_fail(err, CLM_E_FORMAT, "shape and chunks: want lists of whole numbers of one length");
    memcpy(p->chunk, info->chunk, sizeof p->chunk);
    const clm_json *dtype = clm_json_get(v, "dtype");
    const char *type = clm_json_text(dtype), *order = clm_json_text(clm_json_get(v, "order"));
    clm_stored element;
    if (!clm_stored_of_numpy(type, &element))
        return clm_fail(err, CLM_E_UNSUPPORTED, "dtype %s", type ? type : "is a structure");
    info->dtype = p->dtype = element.type;
    p->big = element.big;
    if (!order || (strcmp(order, "C") != 0 && strcmp(order, "F") != 0))
        return clm_fail(err, CLM_E_FORMAT, "order is neither C nor F");
    for (int d = 0; d < p->ndim; d++) p->perm[d] = order[0] == 'F' ? p->ndim - 1 - d : d;
    if (!clm_fill_parse(clm_json_get(v, "fill_value"), digits, info->dtype, false, info->fill, err))
        return false;
    memcpy(p->fill, info->fill, sizeof p->fill);
    z->v2_keys = true;
    z->separator = separator_of(v, path);
    if (z->separator != '.' && z->separator != '/')
        return clm_fail(err, CLM_E_FORMAT, "dimension_separator is neither . nor /");
    return parse_chain(v, element, &p->chain, err);
}

bool clm_zarr2_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err) {
    char digits[32];
    clm_json *v = NULL;
    clm_array_info info = {0};
    clm_zarr *z = clm_heap_new(1, sizeof *z, err);
    if (z) z->pipe = clm_heap_new(1, sizeof *z->pipe, err);
    bool ok = z && z->pipe && clm_json_parse(text->data, text->n, ".zarray", &v, err);
    if (ok) {
        clm_json_digits(text->data, text->n, "fill_value", digits, sizeof digits);
        ok = parse(v, digits, path, &info, z, err) ? true : clm_err_in(err, ".zarray");
    }
    ok = ok && clm_zarr_new(path, &info, z, out, err);
    clm_json_free(v);
    if (!ok) clm_zarr_free(z);
    return ok;
}

bool clm_zarr2_open(const char *path, clm_array **out, clm_err *err) {
    return clm_array_of_file(path, ".zarray", clm_zarr2_of_text, out, err);
}

static const char *numpy_name(clm_dtype t) {
    static const char *const name[CLM_DTYPE_COUNT] = {
        [CLM_U8] = "|u1",   [CLM_U16] = "<u2", [CLM_U32] = "<u4", [CLM_U64] = "<u8",  [CLM_I8] = "|i1",
        [CLM_I16] = "<i2",  [CLM_I32] = "<i4", [CLM_I64] = "<i8", [CLM_F32] = "<f4",  [CLM_F64] = "<f8",
        [CLM_BOOL] = "|b1", [CLM_F16] = "<f2", [CLM_C64] = "<c8", [CLM_C128] = "<c16"};
    return name[t];
}

bool clm_zarr2_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err) {
    clm_codec c = {0};
    unsigned char fill[16];
    const char *codec = spec->codec ? spec->codec : "blosc";
    bool none = strcmp(codec, "none") == 0;
    if (!none && !clm_codec_named(codec, spec->level ? spec->level : -1, spec->dtype, &c, err)) return false;
    if (!clm_fill_of_double(spec->fill, spec->dtype, fill, err)) return false;
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_number(v, "zarr_format", 2);
    clm_json_add_ints(v, "shape", spec->shape, spec->ndim);
    clm_json_add_ints(v, "chunks", spec->chunk, spec->ndim);
    clm_json_add_text(v, "dtype", numpy_name(spec->dtype));
    clm_json *how = none ? clm_json_add_null(v, "compressor") : clm_json_add_object(v, "compressor");
    if (!none) clm_json_add_text(how, "id", clm_codec_name(&c));
    if (!none && c.kind == CLM_CODEC_BLOSC) {
        clm_json_add_text(how, "cname", c.cname);
        clm_json_add_number(how, "clevel", c.level);
        clm_json_add_number(how, "shuffle", c.shuffle);
        clm_json_add_number(how, "blocksize", c.blocksize);
    } else if (!none) {
        clm_json_add_number(how, "level", c.level);
    }
    clm_fill_add(v, "fill_value", fill, spec->dtype);
    clm_json_add_text(v, "order", "C");
    clm_json_add_null(v, "filters");
    clm_json_add_text(v, "dimension_separator", "/");
    bool ok = clm_json_print(v, true, out, err);
    clm_json_free(v);
    return ok;
}
