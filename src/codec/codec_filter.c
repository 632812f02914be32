#include "collimate/base/crc.h"
#include "collimate/codec/codec_family.h"

#include <string.h>

/* HDF5's Fletcher-32: big-endian 16-bit words, sums folded every 360 words. */
static uint32_t fletcher32(const unsigned char *p, size_t n) {
    uint32_t a = 0, b = 0;
    size_t words = n / 2;
    while (words) {
        size_t run = words > 360 ? 360 : words;
        words -= run;
        for (; run; run--, p += 2) {
            a += (uint32_t)p[0] << 8 | p[1];
            b += a;
        }
        a = (a & 0xffffu) + (a >> 16);
        b = (b & 0xffffu) + (b >> 16);
    }
    if (n % 2) {
        a += (uint32_t)*p << 8;
        b += a;
        a = (a & 0xffffu) + (a >> 16);
        b = (b & 0xffffu) + (b >> 16);
    }
    a = (a & 0xffffu) + (a >> 16);
    b = (b & 0xffffu) + (b >> 16);
    return b << 16 | a;
}

static uint32_t turn(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* Bob Jenkins, lookup3.c, hashlittle(): words as little-endian bytes, the last ones padded with zeros. */
static uint32_t lookup3(const unsigned char *p, size_t n, uint32_t start) {
    static const int mix[6] = {4, 6, 8, 16, 19, 4}, last[7] = {14, 11, 25, 16, 4, 14, 24};
    uint32_t x[3];
    x[0] = x[1] = x[2] = 0xdeadbeefu + (uint32_t)n + start;
    for (; n > 12; p += 12, n -= 12) {
        for (int i = 0; i < 3; i++) x[i] += clm_le32(p + 4 * i);
        for (int i = 0; i < 6; i++) { /* a, b, c in turn */
            x[i % 3] = (x[i % 3] - x[(i + 2) % 3]) ^ turn(x[(i + 2) % 3], mix[i]);
            x[(i + 2) % 3] += x[(i + 1) % 3];
        }
    }
    if (n == 0) return x[2];
    unsigned char tail[12] = {0};
    memcpy(tail, p, n);
    for (int i = 0; i < 3; i++) x[i] += clm_le32(tail + 4 * i);
    for (int i = 0; i < 7; i++) { /* c, a, b in turn */
        uint32_t *to = &x[(i + 2) % 3], from = x[(i + 1) % 3];
        *to = (*to ^ from) - turn(from, last[i]);
    }
    return x[2];
}

static uint32_t sum_of(const clm_codec *c, const unsigned char *p, size_t n) {
    switch (c->checksum) {
    case CLM_SUM_CRC32: return clm_deflate_crc32(p, n);
    case CLM_SUM_ADLER32: return clm_deflate_adler32(p, n);
    case CLM_SUM_FLETCHER32: return fletcher32(p, n);
    case CLM_SUM_LOOKUP3: return lookup3(p, n, c->sum_start);
    default: return clm_crc32c(0, p, n);
    }
}

bool clm_checksum_strip(const clm_codec *c, const unsigned char *src, size_t n, const unsigned char **body,
                        size_t *body_n, clm_err *err) {
    if (n < 4) return clm_fail(err, CLM_E_FORMAT, "%s: %zu bytes, no room for the sum", clm_codec_name(c), n);
    *body = c->sum_first ? src + 4 : src;
    *body_n = n - 4;
    uint32_t stored = clm_le32(c->sum_first ? src : src + n - 4), sum = sum_of(c, *body, *body_n);
    if (stored != sum)
        return clm_fail(err, CLM_E_FORMAT, "%s: checksum %08x, stored %08x", clm_codec_name(c), (unsigned)sum,
                        (unsigned)stored);
    return true;
}

/* ---- elements one by one ---- */

typedef struct element { /* whichever its type is */
    bool integer;
    uint64_t i; /* two's complement for signed types */
    double f;
} element;

static element load(clm_stored s, const unsigned char *p) {
    unsigned char b[16] = {0};
    size_t size = clm_dtype_size(s.type);
    memcpy(b, p, size);
    if (s.big) clm_swap_bytes(b, size, 1);
    element e = {.integer = s.type != CLM_F32 && s.type != CLM_F64};
    if (s.type == CLM_F32) {
        float x;
        memcpy(&x, b, sizeof x);
        e.f = (double)x;
    } else if (s.type == CLM_F64) {
        memcpy(&e.f, b, sizeof e.f);
    } else {
        e.i = clm_le64(b); /* the bytes above `size` are zero */
        bool negative = s.type >= CLM_I8 && s.type <= CLM_I64 && (b[size - 1] & 0x80u);
        if (negative && size < 8) e.i |= ~(uint64_t)0 << 8 * size;
        e.f = s.type >= CLM_I8 && s.type <= CLM_I64 ? (double)(int64_t)e.i : (double)e.i;
    }
    return e;
}

static uint64_t whole(double x) { /* truncation; what C leaves undefined becomes 0 */
    if (!(x > -9223372036854775808.0 && x < 18446744073709551616.0)) return 0;
    return x < 0 ? (uint64_t)(int64_t)x : (uint64_t)x;
}

static void save(clm_stored s, element e, unsigned char *p) {
    unsigned char b[16] = {0};
    size_t size = clm_dtype_size(s.type);
    if (s.type == CLM_F32) {
        float x = (float)e.f;
        memcpy(b, &x, sizeof x);
    } else if (s.type == CLM_F64) {
        memcpy(b, &e.f, sizeof e.f);
    } else {
        clm_put_le64(b, e.integer ? e.i : whole(e.f));
    }
    if (s.big) clm_swap_bytes(b, size, 1);
    memcpy(p, b, size);
}

static bool simple(clm_dtype t) { return clm_dtype_is_real(t) || t == CLM_BOOL; }

static bool elements_fit(const clm_codec *c, size_t n, size_t cap, size_t *count, clm_err *err) {
    size_t in = clm_dtype_size(c->to.type), out = clm_dtype_size(c->from.type);
    if (!simple(c->to.type) || !simple(c->from.type))
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: of %s to %s", clm_codec_name(c),
                        clm_dtype_name(c->from.type), clm_dtype_name(c->to.type));
    if (n % in || n / in > cap / out)
        return clm_fail(err, CLM_E_FORMAT, "%s: %zu bytes do not fit", clm_codec_name(c), n);
    *count = n / in;
    return true;
}

/* numcodecs Delta: running sum in the decoded type, wrapping */
static void undo_delta(const clm_codec *c, const unsigned char *src, size_t count, unsigned char *dst) {
    size_t in = clm_dtype_size(c->to.type), out = clm_dtype_size(c->from.type);
    clm_stored native = {c->from.type, false};
    bool real = c->from.type == CLM_F32 || c->from.type == CLM_F64;
    element sum = {.integer = !real};
    unsigned char held[16];
    for (size_t i = 0; i < count; i++) {
        element e = load(c->to, src + i * in);
        if (real)
            sum.f += e.f;
        else
            sum.i += e.integer ? e.i : whole(e.f);
        save(native, sum, held); /* round to the decoded type at every step, as the writer's reader does */
        sum = load(native, held);
        save(c->from, sum, dst + i * out);
    }
}

static void undo_elementwise(const clm_codec *c, const unsigned char *src, size_t count, unsigned char *dst) {
    size_t in = clm_dtype_size(c->to.type), out = clm_dtype_size(c->from.type);
    bool single = c->to.type == CLM_F32; /* numpy keeps float32 when dividing it by a number */
    for (size_t i = 0; i < count; i++) {
        element e = load(c->to, src + i * in);
        if (c->kind == CLM_CODEC_SCALE_OFFSET) {
            e.integer = false;
            e.f = single ? (double)((float)e.f / (float)c->scale + (float)c->offset)
                         : e.f / c->scale + c->offset;
        }
        save(c->from, e, dst + i * out);
    }
}

static bool undo_packbits(const unsigned char *src, size_t n, unsigned char *dst, size_t cap, size_t *made,
                          clm_err *err) {
    if (n < 1 || src[0] > 7 || (n == 1 && src[0])) return clm_fail(err, CLM_E_FORMAT, "packbits: bad header");
    size_t bits = (n - 1) * 8 - src[0];
    if (bits > cap) return clm_fail(err, CLM_E_FORMAT, "packbits: %zu values, %zu expected", bits, cap);
    for (size_t i = 0; i < bits; i++) dst[i] = ((unsigned)src[1 + i / 8] >> (7 - i % 8)) & 1u;
    *made = bits;
    return true;
}

static void transpose_bytes(const unsigned char *src, size_t rows, size_t columns, unsigned char *dst) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < columns; k++) dst[k * rows + r] = src[r * columns + k];
}

bool clm_filter_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                       size_t *made, clm_err *err) {
    size_t count = 0;
    switch (c->kind) {
    case CLM_CODEC_PACKBITS: return undo_packbits(src, n, dst, cap, made, err);
    case CLM_CODEC_SHUFFLE: {
        size_t es = c->typesize > 1 ? (size_t)c->typesize : 1;
        if (n % es || n > cap)
            return clm_fail(err, CLM_E_FORMAT, "shuffle: %zu bytes are no elements of %zu", n, es);
        transpose_bytes(src, es, n / es, dst);
        *made = n;
        return true;
    }
    case CLM_CODEC_DELTA:
        if (!elements_fit(c, n, cap, &count, err)) return false;
        undo_delta(c, src, count, dst);
        break;
    default:
        if (!elements_fit(c, n, cap, &count, err)) return false;
        undo_elementwise(c, src, count, dst);
        break;
    }
    *made = count * clm_dtype_size(c->from.type);
    return true;
}

bool clm_filter_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, clm_err *err) {
    if (!clm_buf_reserve(out, n + 4, err)) return false;
    if (c->kind == CLM_CODEC_SHUFFLE) {
        size_t es = c->typesize > 1 ? (size_t)c->typesize : 1;
        if (n % es) return clm_fail(err, CLM_E_ARG, "shuffle: %zu bytes are no elements of %zu", n, es);
        transpose_bytes(src, n / es, es, out->data);
        out->n = n;
        return true;
    }
    if (c->kind == CLM_CODEC_CHECKSUM) {
        if (n) memcpy(out->data + (c->sum_first ? 4 : 0), src, n);
        clm_put_le32(out->data + (c->sum_first ? 0 : n), sum_of(c, src, n));
        out->n = n + 4;
        return true;
    }
    return clm_fail(err, CLM_E_UNSUPPORTED, "%s is read, never written", clm_codec_name(c));
}
