#include "collimate/codec/codec.h"
#include "collimate/base/text.h"
#include "collimate/codec/codec_family.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef bool (*decode_fn)(const clm_codec *, const unsigned char *, size_t, unsigned char *, size_t, size_t *,
                          clm_err *);
typedef bool (*encode_fn)(const clm_codec *, const unsigned char *, size_t, clm_buf *, clm_err *);

static const struct {
    const char *name;
    decode_fn decode;
    encode_fn encode; /* NULL: read only */
} table[] = {
    [CLM_CODEC_GZIP] = {"gzip", clm_deflate_decode, clm_deflate_encode},
    [CLM_CODEC_ZLIB] = {"zlib", clm_deflate_decode, clm_deflate_encode},
    [CLM_CODEC_ZSTD] = {"zstd", clm_zstd_decode, clm_zstd_encode},
    [CLM_CODEC_BLOSC] = {"blosc", clm_blosc_decode, clm_blosc_encode},
    [CLM_CODEC_BZ2] = {"bzip2", clm_bz2_decode, NULL},
    [CLM_CODEC_LZMA] = {"lzma", clm_lzma_decode, NULL},
    [CLM_CODEC_LZ4] = {"lz4", clm_lz4_decode, clm_lz4_encode},
    [CLM_CODEC_LZ4_N5] = {"lz4", clm_lz4_n5_decode, NULL},
    [CLM_CODEC_LZ4_HDF5] = {"lz4", clm_lz4_hdf5_decode, NULL},
    [CLM_CODEC_LZF] = {"lzf", clm_lzf_decode, NULL},
    [CLM_CODEC_CHECKSUM] = {"checksum", NULL, clm_filter_encode},
    [CLM_CODEC_SHUFFLE] = {"shuffle", clm_filter_decode, clm_filter_encode},
    [CLM_CODEC_DELTA] = {"delta", clm_filter_decode, NULL},
    [CLM_CODEC_SCALE_OFFSET] = {"fixedscaleoffset", clm_filter_decode, NULL},
    [CLM_CODEC_ASTYPE] = {"astype", clm_filter_decode, NULL},
    [CLM_CODEC_PACKBITS] = {"packbits", clm_filter_decode, NULL},
    [CLM_CODEC_NOTHING] = {"bitround", NULL, NULL},
};

static const char *const sum_name[] = {"crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"};

const char *clm_codec_name(const clm_codec *c) {
    return c->kind == CLM_CODEC_CHECKSUM ? sum_name[c->checksum] : table[c->kind].name;
}

/* ---- the calling thread's buffers ---- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

void clm_scratch_free(clm_scratch *s) {
    clm_buf_free(&s->file);
    clm_buf_free(&s->work[0]);
    clm_buf_free(&s->work[1]);
    clm_buf_free(&s->pad);
    clm_buf_free(&s->row);
    clm_buf_free(&s->blocks);
    clm_buf_free(&s->given);
}

static void drop_scratch(void *p) {
    clm_scratch_free(p);
    clm_heap_free(p);
}

static void make_scratch_key(void) { (void)pthread_key_create(&scratch_key, drop_scratch); }

clm_scratch *clm_scratch_mine(clm_err *err) {
    (void)pthread_once(&scratch_once, make_scratch_key);
    clm_scratch *s = pthread_getspecific(scratch_key);
    if (s) return s;
    s = clm_heap_new(1, sizeof *s, err);
    if (s && pthread_setspecific(scratch_key, s) != 0) {
        clm_heap_free(s);
        clm_fail(err, CLM_E_NOMEM, "no memory for a thread's buffers");
        return NULL;
    }
    return s;
}

/* ---- one codec ---- */

size_t clm_codec_size(const clm_codec *c, size_t n) {
    switch (c->kind) {
    case CLM_CODEC_CHECKSUM: return n + 4;
    case CLM_CODEC_SHUFFLE:
    case CLM_CODEC_NOTHING: return n;
    case CLM_CODEC_PACKBITS: return n / 8 + (n % 8 != 0) + 1;
    case CLM_CODEC_DELTA:
    case CLM_CODEC_SCALE_OFFSET:
    case CLM_CODEC_ASTYPE: return n / clm_dtype_size(c->from.type) * clm_dtype_size(c->to.type);
    default: return SIZE_MAX;
    }
}

bool clm_codec_decode(const clm_codec *c, const void *src, size_t n, void *dst, size_t cap, size_t *made,
                      clm_err *err) {
    if (table[c->kind].decode) return table[c->kind].decode(c, src, n, dst, cap, made, err);
    const unsigned char *body = src;
    size_t body_n = n;
    if (c->kind == CLM_CODEC_CHECKSUM && !clm_checksum_strip(c, src, n, &body, &body_n, err)) return false;
    if (body_n > cap) return clm_fail(err, CLM_E_FORMAT, "%zu bytes, %zu expected", body_n, cap);
    if (body_n) memcpy(dst, body, body_n);
    *made = body_n;
    return true;
}

bool clm_codec_encode(const clm_codec *c, const void *src, size_t n, clm_buf *out, clm_err *err) {
    if (!table[c->kind].encode)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s is read, never written", clm_codec_name(c));
    out->n = 0;
    return table[c->kind].encode(c, src, n, out, err);
}

/* Refuse what cannot decode to `want` bytes before memory for it is taken. */
static bool plausible(const clm_codec *c, const unsigned char *src, size_t n, size_t want, bool exact,
                      clm_err *err) {
    uint64_t says = 0;
    bool told = false;
    if (c->kind == CLM_CODEC_ZSTD) told = clm_zstd_declares(src, n, &says);
    if (c->kind == CLM_CODEC_BLOSC) told = clm_blosc_declares(src, n, &says);
    if (c->kind == CLM_CODEC_LZ4 && n >= 4) told = true, says = clm_le32(src);
    if (told && (says > want || (exact && says != want && c->kind != CLM_CODEC_ZSTD)))
        return clm_fail(err, CLM_E_FORMAT, "%s: decodes to %llu bytes, %zu expected", clm_codec_name(c),
                        (unsigned long long)says, want);
    /* the best that deflate and LZ4 can do is about 1 : 1032 and 1 : 255, LZF 1 : 88 */
    bool deflate = c->kind == CLM_CODEC_GZIP || c->kind == CLM_CODEC_ZLIB;
    bool lz = c->kind == CLM_CODEC_LZ4 || c->kind == CLM_CODEC_LZ4_N5 || c->kind == CLM_CODEC_LZ4_HDF5 ||
              c->kind == CLM_CODEC_LZF;
    if (exact && ((deflate && want / 1040 > n) || (lz && want / 256 > n)))
        return clm_fail(err, CLM_E_FORMAT, "%s: %zu bytes cannot hold the %zu expected", clm_codec_name(c), n,
                        want);
    return true;
}

/* ---- chains ---- */

static bool undo(const clm_chain *c, const void *src, size_t n, size_t want, size_t lo, size_t hi,
                 clm_scratch *s, void *into, const unsigned char **out, clm_err *err) {
    size_t size[CLM_CHAIN_MAX + 1]; /* before codec i; exact until the first compressor, a bound after it */
    bool exact[CLM_CHAIN_MAX + 1];
    size[0] = want;
    exact[0] = true;
    for (int i = 0; i < c->n; i++) {
        size_t fixed = clm_codec_size(&c->codec[i], size[i]);
        exact[i + 1] = exact[i] && fixed != SIZE_MAX;
        size[i + 1] = fixed != SIZE_MAX ? fixed : size[i] + size[i] / 4 + 65536;
    }
    const unsigned char *p = src;
    int side = 0;
    for (int i = c->n - 1; i >= 0; i--) {
        const clm_codec *codec = &c->codec[i];
        if (codec->kind == CLM_CODEC_NOTHING) continue;
        if (codec->kind == CLM_CODEC_CHECKSUM) { /* nothing moves */
            if (!clm_checksum_strip(codec, p, n, &p, &n, err)) return false;
            continue;
        }
        if (!plausible(codec, p, n, size[i], exact[i], err)) return false;
        unsigned char *to = into;
        if (i > 0 || !into) {
            side = 1 - side; /* never the one p is in */
            if (!clm_buf_reserve(&s->work[side], size[i] + 64, err)) return false;
            to = s->work[side].data;
        }
        size_t made = 0;
        bool part = i == 0 && codec->kind == CLM_CODEC_BLOSC;
        if (!(part ? clm_blosc_decode_part(p, n, lo, hi, &s->blocks, to, want, &made, err)
                   : clm_codec_decode(codec, p, n, to, size[i], &made, err)))
            return false;
        p = to;
        n = made;
    }
    if (n != want) return clm_fail(err, CLM_E_FORMAT, "%zu bytes, %zu expected", n, want);
    *out = p;
    return true;
}

bool clm_chain_decode(const clm_chain *c, const void *src, size_t n, size_t want, clm_scratch *s, void *into,
                      const unsigned char **out, clm_err *err) {
    return undo(c, src, n, want, 0, want, s, into, out, err);
}

bool clm_chain_decode_part(const clm_chain *c, const void *src, size_t n, size_t want, size_t lo, size_t hi,
                           clm_scratch *s, const unsigned char **out, clm_err *err) {
    return undo(c, src, n, want, lo, hi, s, NULL, out, err);
}

bool clm_chain_encode(const clm_chain *c, const void *src, size_t n, clm_scratch *s,
                      const unsigned char **out, size_t *out_n, clm_err *err) {
    const unsigned char *p = src;
    for (int i = 0; i < c->n; i++) {
        if (!clm_codec_encode(&c->codec[i], p, n, &s->work[i & 1], err)) return false;
        p = s->work[i & 1].data;
        n = s->work[i & 1].n;
    }
    *out = p;
    *out_n = n;
    return true;
}

void clm_chain_describe(const clm_chain *c, char *text, size_t cap) {
    static const char *const how[] = {"noshuffle", "shuffle", "bitshuffle"};
    (void)snprintf(text, cap, "%s", c->n ? "" : "none");
    for (int i = 0; i < c->n; i++) {
        const clm_codec *k = &c->codec[i];
        size_t at = strlen(text);
        const char *gap = i ? ", " : "";
        if (k->kind == CLM_CODEC_BLOSC && k->cname[0])
            (void)snprintf(text + at, cap - at, "%sblosc %s %d %s", gap, k->cname, k->level,
                           k->shuffle >= 0 && k->shuffle < 3 ? how[k->shuffle] : "auto");
        else if (k->kind <= CLM_CODEC_ZSTD)
            (void)snprintf(text + at, cap - at, "%s%s %d", gap, clm_codec_name(k), k->level);
        else
            (void)snprintf(text + at, cap - at, "%s%s", gap, clm_codec_name(k));
    }
}

/* Blosc's own choice at level 1, 32 KiB, makes zstd begin anew eight times as often: up to twice the time, and larger. */
#define BLOSC_BLOCK (256 * 1024)

bool clm_codec_named(const char *name, int level, clm_dtype type, clm_codec *out, clm_err *err) {
    static const char *const names[] = {"none", "gzip", "zlib", "zstd", "blosc"};
    clm_codec c = {.typesize = (int)clm_dtype_size(type)};
    if (strcmp(name, "gzip") == 0 || strcmp(name, "zlib") == 0) {
        c.kind = name[0] == 'g' ? CLM_CODEC_GZIP : CLM_CODEC_ZLIB;
        c.level = level < 0 ? 4 : level; /* as small as 6 to 2 %, 1.6 times as fast (docs/performance.md) */
    } else if (strcmp(name, "zstd") == 0) {
        c.kind = CLM_CODEC_ZSTD;
        c.level = level < 0 ? 3 : level;
    } else if (strcmp(name, "blosc") == 0) {
        c.kind = CLM_CODEC_BLOSC;
        c.level = level < 0 ? 1 : level;
        c.shuffle = clm_dtype_size(type) <= 2 ? 2 : 1;
        c.blocksize = BLOSC_BLOCK;
        (void)snprintf(c.cname, sizeof c.cname, "zstd");
    } else {
        const char *near = clm_text_nearest(name, names, 5);
        return clm_fail(err, CLM_E_ARG, "codec %s: not one of none, gzip, zlib, zstd, blosc%s%s", name,
                        near ? "; did you mean " : "", near ? near : "");
    }
    if (c.level > (c.kind == CLM_CODEC_ZSTD ? 22 : 9))
        return clm_fail(err, CLM_E_ARG, "codec %s: level %d is too high", name, level);
    *out = c;
    return true;
}
