#include "collimate/codec/codec_json.h"

#include <stdio.h>
#include <string.h>

bool clm_stored_of_numpy(const char *text, clm_stored *out) {
    static const struct {
        const char *code;
        clm_dtype type;
    } table[] = {{"b1", CLM_BOOL}, {"u1", CLM_U8},  {"u2", CLM_U16}, {"u4", CLM_U32},  {"u8", CLM_U64},
                 {"i1", CLM_I8},   {"i2", CLM_I16}, {"i4", CLM_I32}, {"i8", CLM_I64},  {"f2", CLM_F16},
                 {"f4", CLM_F32},  {"f8", CLM_F64}, {"c8", CLM_C64}, {"c16", CLM_C128}};
    if (!text || !text[0]) return false;
    out->big = text[0] == '>';
    if (strchr("<>|=", text[0])) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            if (strcmp(text + 1, table[i].code) != 0) continue;
            out->type = table[i].type;
            return text[0] != '|' || clm_dtype_size(out->type) == 1;
        }
        return false;
    }
    return clm_dtype_named(text, &out->type);
}

static int64_t integer(const clm_json *v, const char *key, int64_t otherwise) {
    int64_t x;
    return clm_json_int(clm_json_get(v, key), &x) ? x : otherwise;
}

static bool element_of(const clm_json *v, const char *key, clm_stored otherwise, clm_stored *out,
                       clm_err *err) {
    const clm_json *e = clm_json_get(v, key);
    *out = otherwise;
    if (!e || clm_json_kind_of(e) == CLM_JSON_NULL || clm_stored_of_numpy(clm_json_text(e), out)) return true;
    const char *text = clm_json_text(e);
    return clm_fail(err, CLM_E_UNSUPPORTED, "%s: element type %s", key, text ? text : "that is no text");
}

/* of what is written; what is read says itself */
static int blosc_block(const clm_json *v) {
    int64_t n = integer(v, "blocksize", 0);
    return n > 0 && n < INT32_MAX ? (int)n : 0;
}

static bool blosc_of(const clm_json *v, clm_stored element, clm_codec *c) {
    const char *cname = clm_json_text(clm_json_get(v, "cname"));
    (void)snprintf(c->cname, sizeof c->cname, "%.11s", cname ? cname : "lz4");
    c->kind = CLM_CODEC_BLOSC;
    c->level = (int)integer(v, "clevel", 5);
    c->shuffle = (int)integer(v, "shuffle", 1);
    c->blocksize = blosc_block(v);
    c->typesize = (int)clm_dtype_size(element.type);
    if (c->shuffle < 0) c->shuffle = c->typesize == 1 ? 2 : 1;
    return true;
}

static bool lzma_of(const clm_json *v, clm_codec *c, clm_err *err) {
    c->kind = CLM_CODEC_LZMA;
    c->lzma_format = (int)integer(v, "format", 1);
    if (c->lzma_format < 1 || c->lzma_format > 3)
        return clm_fail(err, CLM_E_FORMAT, "lzma: format %d", c->lzma_format);
    const clm_json *list = clm_json_get(v, "filters");
    if (c->lzma_format == 3 && (clm_json_size(list) < 1 || clm_json_size(list) > CLM_LZMA_FILTERS))
        return clm_fail(err, CLM_E_FORMAT, "lzma: a raw stream needs 1 to %d filters", CLM_LZMA_FILTERS);
    if (c->lzma_format != 3) return true; /* the stream tells its own */
    for (const clm_json *f = clm_json_first(list); f; f = clm_json_next(f)) {
        double id = -1; /* LZMA1's id, 2^62 + 1, does not fit a double: its neighbour does */
        (void)clm_json_number(clm_json_get(f, "id"), &id);
        int k = c->lzma_filters++;
        c->lzma_filter[k].id = id > 4e18 ? 0x4000000000000001u : id >= 0 && id < 1e9 ? (uint64_t)id : 0;
        c->lzma_filter[k].preset = (uint32_t)integer(f, "preset", 6);
        c->lzma_filter[k].dist = (uint32_t)integer(f, "dist", 1);
        c->lzma_filter[k].dict_size = (uint32_t)integer(f, "dict_size", 0);
    }
    return true;
}

static bool filter_of(const clm_json *v, const char *id, clm_stored element, clm_codec *c, clm_err *err) {
    if (strcmp(id, "astype") == 0) {
        c->kind = CLM_CODEC_ASTYPE;
        return element_of(v, "decode_dtype", element, &c->from, err) &&
               element_of(v, "encode_dtype", element, &c->to, err);
    }
    if (strcmp(id, "delta") == 0)
        c->kind = CLM_CODEC_DELTA;
    else if (strcmp(id, "fixedscaleoffset") == 0)
        c->kind = CLM_CODEC_SCALE_OFFSET;
    else
        c->kind = CLM_CODEC_ASTYPE; /* quantize: lossy on writing, a cast on reading */
    if (!element_of(v, "dtype", element, &c->from, err) || !element_of(v, "astype", c->from, &c->to, err))
        return false;
    c->scale = 1;
    (void)clm_json_number(clm_json_get(v, "scale"), &c->scale);
    (void)clm_json_number(clm_json_get(v, "offset"), &c->offset);
    return true;
}

static bool checksum_of(const clm_json *v, const char *id, clm_codec *c) {
    static const char *const name[] = {"crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"};
    static const bool first[] = {false, true, true, false, false};
    const clm_json *prefix = clm_json_get(v, "prefix");
    for (int i = 0; i < 5; i++) {
        if (strcmp(id, name[i]) != 0) continue;
        const char *where = clm_json_text(clm_json_get(v, "location"));
        c->kind = CLM_CODEC_CHECKSUM;
        c->checksum = (clm_checksum)i;
        c->sum_start = (uint32_t)integer(v, "initval", 0);
        if (prefix && clm_json_kind_of(prefix) != CLM_JSON_NULL) return false; /* bytes that are not here */
        c->sum_first = where ? strcmp(where, "start") == 0 : first[i];
        return true;
    }
    return false;
}

bool clm_codec_of_numcodecs(const clm_json *v, const char *id, clm_stored element, clm_codec *out,
                            clm_err *err) {
    if (!id) id = clm_json_text(clm_json_get(v, "id"));
    if (!id) return clm_fail(err, CLM_E_FORMAT, "a codec without an id");
    clm_codec c = {.level = (int)integer(v, "level", 1), .typesize = (int)integer(v, "elementsize", 4)};
    bool ok = true;
    if (strcmp(id, "blosc") == 0)
        ok = blosc_of(v, element, &c);
    else if (strcmp(id, "zstd") == 0)
        c.kind = CLM_CODEC_ZSTD;
    else if (strcmp(id, "zlib") == 0)
        c.kind = CLM_CODEC_ZLIB;
    else if (strcmp(id, "gzip") == 0)
        c.kind = CLM_CODEC_GZIP;
    else if (strcmp(id, "bz2") == 0)
        c.kind = CLM_CODEC_BZ2;
    else if (strcmp(id, "lz4") == 0)
        c.kind = CLM_CODEC_LZ4;
    else if (strcmp(id, "lzma") == 0)
        ok = lzma_of(v, &c, err);
    else if (strcmp(id, "shuffle") == 0)
        c.kind = CLM_CODEC_SHUFFLE;
    else if (strcmp(id, "packbits") == 0)
        c.kind = CLM_CODEC_PACKBITS;
    else if (strcmp(id, "bitround") == 0)
        c.kind = CLM_CODEC_NOTHING;
    else if (strcmp(id, "delta") == 0 || strcmp(id, "fixedscaleoffset") == 0 || strcmp(id, "quantize") == 0 ||
             strcmp(id, "astype") == 0)
        ok = filter_of(v, id, element, &c, err);
    else if (!checksum_of(v, id, &c))
        return clm_fail(err, CLM_E_UNSUPPORTED, "codec \"%s\" is not known here", id);
    if (ok) *out = c;
    return ok ? true : clm_err_in(err, "codec %s", id);
}

bool clm_codec_of_n5(const clm_json *v, const char *type, clm_stored element, clm_codec *out, bool *none,
                     clm_err *err) {
    bool zlib = false;
    clm_codec c = {.level = (int)integer(v, "level", 6)};
    *none = false;
    if (!type) return clm_fail(err, CLM_E_FORMAT, "compression without a type");
    if (strcmp(type, "raw") == 0)
        *none = true;
    else if (strcmp(type, "gzip") == 0)
        c.kind = clm_json_is(clm_json_get(v, "useZlib"), &zlib) && zlib ? CLM_CODEC_ZLIB : CLM_CODEC_GZIP;
    else if (strcmp(type, "zlib") == 0)
        c.kind = CLM_CODEC_ZLIB;
    else if (strcmp(type, "bzip2") == 0)
        c.kind = CLM_CODEC_BZ2;
    else if (strcmp(type, "xz") == 0)
        c.kind = CLM_CODEC_LZMA, c.lzma_format = 1;
    else if (strcmp(type, "lzma") ==
             0) /* what zarr-python 2 calls xz with another check, and the other kinds */
        return lzma_of(v, &c, err) && (*out = c, true);
    else if (strcmp(type, "lz4") == 0)
        c.kind = CLM_CODEC_LZ4_N5;
    else if (strcmp(type, "zstd") == 0)
        c.kind = CLM_CODEC_ZSTD;
    else if (strcmp(type, "blosc") == 0)
        (void)blosc_of(v, element, &c);
    else
        return clm_fail(err, CLM_E_UNSUPPORTED, "compression \"%s\" is not known here", type);
    *out = c;
    return true;
}

/* ---- fill values ---- */

static bool put_integer(bool negative, uint64_t magnitude, clm_dtype type, unsigned char element[16]) {
    size_t bits = clm_dtype_size(type) * 8;
    bool with_sign = type >= CLM_I8 && type <= CLM_I64;
    uint64_t top = with_sign    ? ((uint64_t)1 << (bits - 1)) - (negative ? 0 : 1)
                   : bits == 64 ? UINT64_MAX
                                : ((uint64_t)1 << bits) - 1;
    if (magnitude > top || (negative && !with_sign && magnitude)) return false;
    uint64_t x = negative ? ~magnitude + 1 : magnitude;
    memcpy(element, &x, sizeof x); /* the low bytes come first */
    return true;
}

static uint16_t half_of(double x) { /* round to nearest even */
    float f = (float)x;
    uint32_t u, sign;
    memcpy(&u, &f, sizeof u);
    sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (u < 0x33000001u) return (uint16_t)sign;
    uint32_t e = u >> 23, m = (u & 0x7fffffu) | 0x800000u;
    uint32_t shift = e < 113 ? 126 - e : 13;
    uint32_t h = m >> shift, rest = m & ((1u << shift) - 1), tie = 1u << (shift - 1);
    h += rest > tie || (rest == tie && (h & 1u));
    return (uint16_t)(sign | (e < 113 ? h : h + ((e - 113) << 10)));
}

static void put_real(double x, clm_dtype type, unsigned char *p) {
    if (type == CLM_F16) {
        uint16_t h = half_of(x);
        memcpy(p, &h, sizeof h);
    } else if (type == CLM_F32 || type == CLM_C64) {
        float f = (float)x;
        memcpy(p, &f, sizeof f);
    } else {
        memcpy(p, &x, sizeof x);
    }
}

/* "0x7fc00000": the bits of a float as a big-endian integer */
static bool put_bits(const char *text, size_t size, unsigned char *p) {
    uint64_t x = 0;
    if (strlen(text) != 2 + 2 * size) return false;
    for (const char *s = text + 2; *s; s++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, *s >= 'A' && *s <= 'F' ? *s + 32 : *s);
        if (!at) return false;
        x = x << 4 | (uint64_t)(at - digits);
    }
    memcpy(p, &x, size);
    return true;
}

static bool put_float(const clm_json *v, clm_dtype type, size_t size, bool v3, unsigned char *p) {
    const char *text = clm_json_text(v);
    double x;
    if (clm_json_number(v, &x)) {
        put_real(x, type, p);
        return true;
    }
    if (!text) return false;
    if (v3 && strncmp(text, "0x", 2) == 0) return put_bits(text, size, p);
    bool nan = strcmp(text, "NaN") == 0,
         inf = strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0;
    if (nan) put_real((double)__builtin_nanf(""), type, p);
    if (inf) put_real(text[0] == '-' ? -__builtin_inf() : __builtin_inf(), type, p);
    return nan || inf;
}

static bool put_whole(const clm_json *v, const char *digits, clm_dtype type, unsigned char element[16]) {
    double x;
    if (!clm_json_number(v, &x) || x != __builtin_trunc(x)) return false;
    bool negative = x < 0;
    if (digits[0] && !strpbrk(digits, ".eE")) {
        uint64_t magnitude = 0;
        for (const char *p = digits + (digits[0] == '-'); *p; p++)
            if (__builtin_mul_overflow(magnitude, 10u, &magnitude) ||
                __builtin_add_overflow(magnitude, (uint64_t)(*p - '0'), &magnitude))
                return false;
        return put_integer(negative, magnitude, type, element);
    }
    return (x < 9e18 && x > -9e18) && put_integer(negative, (uint64_t)(negative ? -x : x), type, element);
}

bool clm_fill_parse(const clm_json *v, const char *digits, clm_dtype type, bool v3, unsigned char element[16],
                    clm_err *err) {
    memset(element, 0, 16);
    bool ok = false, truth = false;
    size_t size = clm_dtype_size(type);
    if (!v || clm_json_kind_of(v) == CLM_JSON_NULL) {
        ok = !v3; /* v2: undefined, read as zero */
    } else if (type == CLM_BOOL) {
        double x = 0;
        ok = clm_json_is(v, &truth) || (!v3 && clm_json_number(v, &x));
        element[0] = truth || x != 0;
    } else if (type == CLM_C64 || type == CLM_C128) {
        double x;
        const clm_json *im = clm_json_at(v, 1);
        if (clm_json_size(v) == 2)
            ok = put_float(clm_json_at(v, 0), type, size / 2, v3, element) &&
                 put_float(im, type, size / 2, v3, element + size / 2);
        else if ((ok = !v3 && clm_json_number(v, &x)))
            put_real(x, type, element);
    } else if (clm_dtype_is_integer(type)) {
        ok = put_whole(v, digits, type, element) || (!v3 && clm_json_is(v, &truth));
        if (truth) element[0] = 1;
    } else {
        ok = put_float(v, type, size, v3, element);
    }
    return ok || clm_fail(err, CLM_E_FORMAT, "fill_value is no %s", clm_dtype_name(type));
}

bool clm_fill_of_double(double x, clm_dtype type, unsigned char element[16], clm_err *err) {
    memset(element, 0, 16);
    if (type == CLM_BOOL) {
        element[0] = x != 0;
    } else if (clm_dtype_is_integer(type)) {
        if (x != __builtin_trunc(x) || !(x > -9.3e18 && x < 1.8e19) ||
            !put_integer(x < 0, (uint64_t)(x < 0 ? -x : x), type, element))
            return clm_fail(err, CLM_E_ARG, "fill value %g is no %s", x, clm_dtype_name(type));
    } else {
        put_real(x, type, element);
    }
    return true;
}

static void add_real(clm_json *parent, const char *key, double x) {
    if (__builtin_isfinite(x))
        clm_json_add_number(parent, key, x);
    else
        clm_json_add_text(parent, key, __builtin_isnan(x) ? "NaN" : x < 0 ? "-Infinity" : "Infinity");
}

void clm_fill_add(clm_json *parent, const char *key, const unsigned char element[16], clm_dtype type) {
    float f[1];
    double x = 0;
    if (type == CLM_BOOL) {
        clm_json_add_bool(parent, key, element[0] != 0);
    } else if (clm_dtype_is_integer(type)) {
        uint64_t u = 0;
        memcpy(&u, element, clm_dtype_size(type));
        size_t bits = clm_dtype_size(type) * 8;
        if (type >= CLM_I8 && bits < 64 && u >> (bits - 1)) u |= ~(uint64_t)0 << bits;
        x = type >= CLM_I8 ? (double)(int64_t)u : (double)u;
        clm_json_add_number(parent, key, x);
    } else if (type == CLM_F32) {
        memcpy(f, element, sizeof f);
        add_real(parent, key, (double)f[0]);
    } else if (type == CLM_F64) {
        memcpy(&x, element, sizeof x);
        add_real(parent, key, x);
    } else if (type == CLM_F16) {
        clm_json_add_number(parent, key, 0);
    } else {
        clm_json_add_numbers(parent, key, (const double[]){0, 0}, 2);
    }
}

/* ---- a number's own text ---- */

static const char *skip_text(const char *p, const char *end) { /* p behind the opening quote */
    for (; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p + 1 : end;
}

void clm_json_digits(const void *text, size_t n, const char *key, char *out, size_t cap) {
    const char *p = text, *end = p + n;
    size_t key_n = strlen(key);
    int depth = 0;
    out[0] = 0;
    while (p < end) {
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') depth--;
        if (*p++ != '"') continue;
        const char *name = p;
        p = skip_text(p, end);
        if (depth != 1 || (size_t)(p - name) != key_n + 1 || memcmp(name, key, key_n) != 0) continue;
        while (p < end && strchr(" \t\r\n", *p)) p++;
        if (p >= end || *p != ':') continue;
        for (p++; p < end && strchr(" \t\r\n", *p);) p++;
        size_t at = 0;
        for (; p < end && *p && strchr("+-0123456789.eE", *p) && at + 1 < cap; p++) out[at++] = *p;
        out[at] = 0;
        return;
    }
}
