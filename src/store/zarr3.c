#include "collimate/base/file.h"
#include "collimate/codec/codec_json.h"
#include "collimate/store/zarr.h"

#include <stdio.h>
#include <string.h>

/* Zarr v3.1, https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, and its codec pages. */

/* An extension point: "name" alone, or {"name", "configuration"}. */
static const char *name_of(const clm_json *v, const clm_json **configuration) {
    *configuration = clm_json_get(v, "configuration");
    return clm_json_text(v) ? clm_json_text(v) : clm_json_text(clm_json_get(v, "name"));
}

static const char *say(const char *name) { return name ? name : "without a name"; }

/* "Extension fields": unknown keys are fatal unless they say that they need not be understood. */
static bool check_keys(const clm_json *v, clm_err *err) {
    static const char *const known[] = {
        "zarr_format",        "node_type",  "shape",  "data_type",  "chunk_grid",
        "chunk_key_encoding", "fill_value", "codecs", "attributes", "storage_transformers",
        "dimension_names"};
    for (const clm_json *k = clm_json_first(v); k; k = clm_json_next(k)) {
        bool fine = false, must = true;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            fine = fine || strcmp(clm_json_key(k), known[i]) == 0;
        /* zarr-python writes null where a group, or the node, has none */
        if (strcmp(clm_json_key(k), "consolidated_metadata") == 0)
            fine = clm_json_kind_of(k) == CLM_JSON_NULL;
        if (fine || (clm_json_is(clm_json_get(k, "must_understand"), &must) && !must)) continue;
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "field \"%s\" is not known here and does not say must_understand false",
                        clm_json_key(k));
    }
    const clm_json *t = clm_json_get(v, "storage_transformers");
    if (clm_json_size(t) > 0) return clm_fail(err, CLM_E_UNSUPPORTED, "storage_transformers");
    return true;
}

/* ---- codecs ---- */

static bool parse_codecs(const clm_json *list, clm_pipe *p, int depth, clm_err *err);

static bool parse_transpose(const clm_json *conf, clm_pipe *p, clm_err *err) {
    int64_t order[CLM_DIMS_MAX];
    const clm_json *o = clm_json_get(conf, "order");
    const char *letter = clm_json_text(o);
    int before[CLM_DIMS_MAX];
    bool seen[CLM_DIMS_MAX] = {false};
    memcpy(before, p->perm, sizeof before);
    for (int d = 0; d < p->ndim; d++) order[d] = letter && letter[0] == 'F' ? p->ndim - 1 - d : d;
    if (letter ? strcmp(letter, "C") != 0 && strcmp(letter, "F") != 0 : !clm_json_ints(o, p->ndim, order))
        return clm_fail(err, CLM_E_FORMAT, "transpose: order is no permutation");
    for (int d = 0; d < p->ndim; d++) {
        if (order[d] < 0 || order[d] >= p->ndim || seen[order[d]])
            return clm_fail(err, CLM_E_FORMAT, "transpose: order is no permutation");
        seen[order[d]] = true;
        p->perm[d] = before[order[d]];
    }
    return true;
}

/* numcodecs' filters are codecs of arrays here: their elements get their byte order from "bytes" behind them. */
static bool is_filter(const char *name) {
    static const char *const filter[] = {"delta",    "fixedscaleoffset", "quantize",
                                         "bitround", "astype",           "packbits"};
    for (size_t i = 0; i < sizeof filter / sizeof filter[0]; i++)
        if (strncmp(name, "numcodecs.", 10) == 0 && strcmp(name + 10, filter[i]) == 0) return true;
    return false;
}

/* What the filters so far make of an element. */
static clm_stored filtered(const clm_pipe *p) {
    clm_stored s = {p->dtype, p->big};
    for (int i = 0; i < p->chain.n; i++) {
        const clm_codec *c = &p->chain.codec[i];
        if (c->kind == CLM_CODEC_PACKBITS) s.type = CLM_U8;
        if (c->kind == CLM_CODEC_DELTA || c->kind == CLM_CODEC_SCALE_OFFSET || c->kind == CLM_CODEC_ASTYPE)
            s.type = c->to.type;
    }
    return s;
}

/* Filters that take each element by itself may change places with a transpose, and with cutting into chunks. */
static bool is_elementwise(const clm_chain *c) {
    for (int i = 0; i < c->n; i++)
        if (c->codec[i].kind != CLM_CODEC_ASTYPE && c->codec[i].kind != CLM_CODEC_SCALE_OFFSET &&
            c->codec[i].kind != CLM_CODEC_NOTHING)
            return false;
    return true;
}

static bool parse_bytes(const clm_json *conf, clm_pipe *p, clm_err *err) {
    const char *endian = clm_json_text(clm_json_get(conf, "endian"));
    if (clm_dtype_size(filtered(p).type) > 1 && !endian)
        return clm_fail(err, CLM_E_FORMAT, "bytes: endian is missing");
    if (endian && strcmp(endian, "little") != 0 && strcmp(endian, "big") != 0)
        return clm_fail(err, CLM_E_FORMAT, "bytes: endian %s", endian);
    p->big = endian && endian[0] == 'b';
    for (int i = 0; i < p->chain.n; i++) p->chain.codec[i].from.big = p->chain.codec[i].to.big = p->big;
    return true;
}

static bool parse_index_codecs(const clm_json *list, clm_pipe *p, clm_err *err) {
    clm_pipe index = {.ndim = p->ndim + 1, .dtype = CLM_U64};
    for (int d = 0; d < CLM_DIMS_MAX; d++) index.perm[d] = d, index.chunk[d] = 2;
    if (p->ndim + 1 > CLM_DIMS_MAX) index.ndim = CLM_DIMS_MAX;
    if (!parse_codecs(list, &index, 99, err)) return clm_err_in(err, "index_codecs");
    if (!clm_pipe_is_plain(&index)) return clm_fail(err, CLM_E_UNSUPPORTED, "index_codecs: transpose");
    p->index_chain = index.chain;
    p->index_big = index.big;
    return true;
}

static bool parse_sharding(const clm_json *conf, clm_pipe *p, int depth, clm_err *err) {
    if (depth > 3) return clm_fail(err, CLM_E_UNSUPPORTED, "sharding_indexed: nested too deep");
    const char *where = clm_json_text(clm_json_get(conf, "index_location"));
    if (where && strcmp(where, "start") != 0 && strcmp(where, "end") != 0)
        return clm_fail(err, CLM_E_FORMAT, "sharding_indexed: index_location %s", where);
    p->index_first = where && where[0] == 's';
    clm_pipe *inner = clm_heap_new(1, sizeof *inner, err);
    if (!inner) return false;
    p->inner = inner; /* freed with p whatever follows */
    inner->ndim = p->ndim;
    inner->dtype = p->dtype;
    inner->chain = p->chain;
    p->chain.n = 0;
    memcpy(inner->fill, p->fill, sizeof inner->fill);
    for (int d = 0; d < p->ndim; d++) inner->perm[d] = d;
    if (!clm_json_ints(clm_json_get(conf, "chunk_shape"), p->ndim, inner->chunk))
        return clm_fail(err, CLM_E_FORMAT, "sharding_indexed: chunk_shape: want %d whole numbers", p->ndim);
    for (int d = 0; d < p->ndim; d++)
        if (inner->chunk[d] < 1) return clm_fail(err, CLM_E_FORMAT, "sharding_indexed: chunk_shape");
    if (!parse_codecs(clm_json_get(conf, "codecs"), inner, depth + 1, err))
        return clm_err_in(err, "sharding_indexed");
    return parse_index_codecs(clm_json_get(conf, "index_codecs"), p, err) && clm_pipe_set_shard(p, err);
}

static bool parse_compressor(const char *name, const clm_json *conf, clm_pipe *p, clm_err *err) {
    if (p->chain.n == CLM_CHAIN_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "more than %d codecs", CLM_CHAIN_MAX);
    clm_stored element = filtered(p);
    clm_codec *c = &p->chain.codec[p->chain.n++];
    if (strncmp(name, "numcodecs.", 10) == 0) return clm_codec_of_numcodecs(conf, name + 10, element, c, err);
    static const char *const core[] = {"gzip", "zstd", "blosc", "crc32c"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, core[i]) != 0) continue;
        if (!clm_codec_of_numcodecs(conf, name, element, c, err)) return false;
        static const char *const how[] = {"noshuffle", "shuffle", "bitshuffle"};
        const char *shuffle = clm_json_text(clm_json_get(conf, "shuffle"));
        int64_t typesize;
        for (int k = 0; shuffle && k < 3; k++)
            if (strcmp(shuffle, how[k]) == 0) c->shuffle = k;
        if (clm_json_int(clm_json_get(conf, "typesize"), &typesize) && typesize > 0 && typesize < 256)
            c->typesize = (int)typesize;
        bool sum = false;
        c->zstd_checksum = clm_json_is(clm_json_get(conf, "checksum"), &sum) && sum;
        return true;
    }
    return clm_fail(err, CLM_E_UNSUPPORTED, "codec \"%s\" is not known here", name);
}

/* array->array*, exactly one array->bytes, bytes->bytes* */
static bool parse_codecs(const clm_json *list, clm_pipe *p, int depth, clm_err *err) {
    bool in_bytes = false;
    if (!list || clm_json_kind_of(list) != CLM_JSON_LIST)
        return clm_fail(err, CLM_E_FORMAT, "codecs: want a list");
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        const clm_json *conf;
        const char *name = name_of(k, &conf);
        if (!name) return clm_fail(err, CLM_E_FORMAT, "codecs: one has no name");
        bool transpose = strcmp(name, "transpose") == 0, bytes = strcmp(name, "bytes") == 0;
        bool shard = strcmp(name, "sharding_indexed") == 0;
        if (!in_bytes && (transpose || shard) && !is_elementwise(&p->chain))
            return clm_fail(err, CLM_E_UNSUPPORTED, "codecs: %s behind %s", name,
                            clm_codec_name(&p->chain.codec[p->chain.n - 1]));
        if (in_bytes == (transpose || bytes || shard || is_filter(name)))
            return clm_fail(err, CLM_E_FORMAT, "codecs: %s stands %s the one that makes bytes", name,
                            in_bytes ? "behind" : "before");
        bool ok = transpose ? parse_transpose(conf, p, err)
                  : bytes   ? parse_bytes(conf, p, err)
                  : shard   ? parse_sharding(conf, p, depth, err)
                            : parse_compressor(name, conf, p, err);
        if (!ok) return false;
        in_bytes = in_bytes || bytes || shard;
    }
    return in_bytes || clm_fail(err, CLM_E_FORMAT, "codecs: none makes bytes");
}

/* ---- the document ---- */

static bool parse_keys(const clm_json *v, clm_zarr *z, clm_err *err) {
    const clm_json *conf;
    const char *name = name_of(clm_json_get(v, "chunk_key_encoding"), &conf);
    const char *separator = clm_json_text(clm_json_get(conf, "separator"));
    if (!name || (strcmp(name, "default") != 0 && strcmp(name, "v2") != 0))
        return clm_fail(err, CLM_E_UNSUPPORTED, "chunk_key_encoding %s", say(name));
    z->v2_keys = name[0] == 'v';
    z->separator = separator ? separator[0] : z->v2_keys ? '.' : '/';
    if ((z->separator != '.' && z->separator != '/') || (separator && separator[1]))
        return clm_fail(err, CLM_E_FORMAT, "chunk_key_encoding: separator is neither . nor /");
    return true;
}

static bool parse(const clm_json *v, const char *digits, clm_array_info *info, clm_zarr *z, clm_err *err) {
    clm_pipe *p = z->pipe;
    int64_t version = 0, ndim = clm_json_size(clm_json_get(v, "shape"));
    const clm_json *conf;
    (void)snprintf(info->format, sizeof info->format, "zarr3");
    if (!clm_json_int(clm_json_get(v, "zarr_format"), &version) || version != 3)
        return clm_fail(err, CLM_E_FORMAT, "zarr_format is not 3");
    const char *node = clm_json_text(clm_json_get(v, "node_type"));
    if (!node || strcmp(node, "array") != 0) return clm_fail(err, CLM_E_FORMAT, "node_type %s", say(node));
    if (!check_keys(v, err)) return false;
    if (ndim > CLM_DIMS_MAX) return clm_fail(err, CLM_E_UNSUPPORTED, "%lld dimensions", (long long)ndim);
    info->ndim = p->ndim = (int)ndim;
    if (!clm_json_ints(clm_json_get(v, "shape"), ndim, info->shape))
        return clm_fail(err, CLM_E_FORMAT, "shape: want a list of whole numbers");
    const char *type = name_of(clm_json_get(v, "data_type"), &conf);
    if (!type || !clm_dtype_named(type, &info->dtype))
        return clm_fail(err, CLM_E_UNSUPPORTED, "data_type %s", say(type));
    p->dtype = info->dtype;
    const char *grid = name_of(clm_json_get(v, "chunk_grid"), &conf);
    if (!grid || strcmp(grid, "regular") != 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "chunk_grid %s", say(grid));
    if (!clm_json_ints(clm_json_get(conf, "chunk_shape"), ndim, info->chunk))
        return clm_fail(err, CLM_E_FORMAT, "chunk_grid: chunk_shape: want %lld whole numbers",
                        (long long)ndim);
    for (int d = 0; d < p->ndim; d++) {
        if (info->chunk[d] < 1) return clm_fail(err, CLM_E_FORMAT, "chunk_grid: chunk_shape");
        p->perm[d] = d;
        p->chunk[d] = info->chunk[d];
    }
    if (!parse_keys(v, z, err)) return false;
    const clm_json *names = clm_json_get(v, "dimension_names");
    if (names && clm_json_kind_of(names) != CLM_JSON_NULL && clm_json_size(names) != ndim)
        return clm_fail(err, CLM_E_FORMAT, "dimension_names: want %lld", (long long)ndim);
    if (!clm_json_get(v, "fill_value")) return clm_fail(err, CLM_E_FORMAT, "fill_value is missing");
    if (!clm_fill_parse(clm_json_get(v, "fill_value"), digits, info->dtype, true, info->fill, err))
        return false;
    memcpy(p->fill, info->fill, sizeof p->fill);
    return parse_codecs(clm_json_get(v, "codecs"), p, 0, err);
}

bool clm_zarr3_of_text(const char *path, const clm_buf *text, clm_array **out, clm_err *err) {
    char digits[32];
    clm_json *v = NULL;
    clm_array_info info = {0};
    clm_zarr *z = clm_heap_new(1, sizeof *z, err);
    if (z) z->pipe = clm_heap_new(1, sizeof *z->pipe, err);
    bool ok = z && z->pipe && clm_json_parse(text->data, text->n, "zarr.json", &v, err);
    if (ok) {
        clm_json_digits(text->data, text->n, "fill_value", digits, sizeof digits);
        ok = parse(v, digits, &info, z, err) ? true : clm_err_in(err, "zarr.json");
    }
    ok = ok && clm_zarr_new(path, &info, z, out, err);
    clm_json_free(v);
    if (!ok) clm_zarr_free(z);
    return ok;
}

bool clm_zarr3_open(const char *path, clm_array **out, clm_err *err) {
    return clm_array_of_file(path, "zarr.json", clm_zarr3_of_text, out, err);
}

/* ---- writing ---- */

static clm_json *add_named(clm_json *parent, const char *key, const char *name) {
    clm_json *v = clm_json_add_object(parent, key);
    clm_json_add_text(v, "name", name);
    return clm_json_add_object(v, "configuration");
}

static void add_codecs(clm_json *parent, const char *key, const clm_codec *c, clm_dtype type) {
    static const char *const how[] = {"noshuffle", "shuffle", "bitshuffle"};
    clm_json *list = clm_json_add_list(parent, key);
    if (clm_dtype_size(type) > 1)
        clm_json_add_text(add_named(list, NULL, "bytes"), "endian", "little");
    else
        clm_json_add_text(clm_json_add_object(list, NULL), "name", "bytes");
    if (!c) return;
    clm_json *conf = add_named(list, NULL, clm_codec_name(c));
    if (c->kind == CLM_CODEC_BLOSC) {
        clm_json_add_text(conf, "cname", c->cname);
        clm_json_add_number(conf, "clevel", c->level);
        clm_json_add_text(conf, "shuffle", how[c->shuffle]);
        clm_json_add_number(conf, "typesize", c->typesize);
        clm_json_add_number(conf, "blocksize", c->blocksize);
    } else {
        clm_json_add_number(conf, "level", c->level);
        if (c->kind == CLM_CODEC_ZSTD) clm_json_add_bool(conf, "checksum", false);
    }
}

bool clm_zarr3_metadata(const clm_array_spec *spec, clm_buf *out, clm_err *err) {
    clm_codec c = {0};
    unsigned char fill[16];
    const char *codec = spec->codec ? spec->codec : "blosc";
    bool none = strcmp(codec, "none") == 0, sharded = spec->shard[0] > 0;
    if (strcmp(codec, "zlib") == 0)
        return clm_fail(err, CLM_E_ARG, "Zarr v3 has no zlib; gzip, zstd or blosc");
    if (!none && !clm_codec_named(codec, spec->level ? spec->level : -1, spec->dtype, &c, err)) return false;
    if (!clm_fill_of_double(spec->fill, spec->dtype, fill, err)) return false;
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_number(v, "zarr_format", 3);
    clm_json_add_text(v, "node_type", "array");
    clm_json_add_ints(v, "shape", spec->shape, spec->ndim);
    clm_json_add_text(v, "data_type", clm_dtype_name(spec->dtype));
    clm_json_add_ints(add_named(v, "chunk_grid", "regular"), "chunk_shape",
                      sharded ? spec->shard : spec->chunk, spec->ndim);
    clm_json_add_text(add_named(v, "chunk_key_encoding", "default"), "separator", "/");
    clm_fill_add(v, "fill_value", fill, spec->dtype);
    if (sharded) {
        clm_json *conf = add_named(clm_json_add_list(v, "codecs"), NULL, "sharding_indexed");
        clm_json_add_ints(conf, "chunk_shape", spec->chunk, spec->ndim);
        add_codecs(conf, "codecs", none ? NULL : &c, spec->dtype);
        clm_json *index = clm_json_add_list(conf, "index_codecs");
        clm_json_add_text(add_named(index, NULL, "bytes"), "endian", "little");
        clm_json_add_text(clm_json_add_object(index, NULL), "name", "crc32c");
        clm_json_add_text(conf, "index_location", "end");
    } else {
        add_codecs(v, "codecs", none ? NULL : &c, spec->dtype);
    }
    clm_json *attributes = spec->attributes ? clm_json_copy(spec->attributes, err) : clm_json_new_object(err);
    bool ok = attributes && clm_json_put(v, "attributes", attributes);
    if (spec->axes[0]) {
        clm_json *names = clm_json_add_list(v, "dimension_names");
        for (int d = 0; d < spec->ndim; d++) clm_json_add_text(names, NULL, spec->axes[d]);
    }
    ok = ok && clm_json_print(v, true, out, err);
    clm_json_free(v);
    return ok;
}
