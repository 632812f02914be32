#include "collimate/codec/codec_family.h"

#include <libdeflate.h>
#include <pthread.h>

/* One decompressor and one compressor (of the last level asked) a thread. */
typedef struct deflate_state {
    struct libdeflate_decompressor *d;
    struct libdeflate_compressor *c;
    int level;
} deflate_state;

static pthread_key_t state_key;
static pthread_once_t state_once = PTHREAD_ONCE_INIT;

static void drop_state(void *p) {
    deflate_state *s = p;
    if (s->d) libdeflate_free_decompressor(s->d);
    if (s->c) libdeflate_free_compressor(s->c);
    clm_heap_free(s);
}

static void make_key(void) { (void)pthread_key_create(&state_key, drop_state); }

static deflate_state *mine(clm_err *err) {
    (void)pthread_once(&state_once, make_key);
    deflate_state *s = pthread_getspecific(state_key);
    if (s) return s;
    s = clm_heap_new(1, sizeof *s, err);
    if (!s) return NULL;
    s->d = libdeflate_alloc_decompressor();
    s->level = -1;
    if (!s->d || pthread_setspecific(state_key, s) != 0) {
        drop_state(s);
        clm_fail(err, CLM_E_NOMEM, "no memory for a deflate decoder");
        return NULL;
    }
    return s;
}

static bool explain(enum libdeflate_result r, const char *name, size_t cap, clm_err *err) {
    if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
        return clm_fail(err, CLM_E_FORMAT, "%s: decodes to more than the %zu bytes expected", name, cap);
    return clm_fail(err, CLM_E_FORMAT, "%s: truncated or corrupt stream", name);
}

static bool only_zeros(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

bool clm_deflate_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst,
                        size_t cap, size_t *made, clm_err *err) {
    deflate_state *s = mine(err);
    if (!s) return false;
    if (c->kind == CLM_CODEC_ZLIB) {
        size_t used = 0;
        enum libdeflate_result r = libdeflate_zlib_decompress_ex(s->d, src, n, dst, cap, &used, made);
        if (r != LIBDEFLATE_SUCCESS) return explain(r, "zlib", cap, err);
        return used == n ||
               clm_fail(err, CLM_E_FORMAT, "zlib: %zu bytes after the end of the stream", n - used);
    }
    size_t total = 0;
    do { /* RFC 1952: members may follow one another */
        size_t used = 0, got = 0;
        enum libdeflate_result r =
            libdeflate_gzip_decompress_ex(s->d, src, n, dst + total, cap - total, &used, &got);
        if (r != LIBDEFLATE_SUCCESS) return explain(r, "gzip", cap, err);
        src += used;
        n -= used;
        total += got;
    } while (n >= 2 && src[0] == 0x1f && src[1] == 0x8b);
    if (!only_zeros(src, n)) /* zero padding is legal to all gzip tools */
        return clm_fail(err, CLM_E_FORMAT, "gzip: %zu bytes of something else after the end", n);
    *made = total;
    return true;
}

bool clm_deflate_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, clm_err *err) {
    deflate_state *s = mine(err);
    if (!s) return false;
    int level = c->level < 0 ? 6 : c->level > 12 ? 12 : c->level;
    if (!s->c || s->level != level) {
        if (s->c) libdeflate_free_compressor(s->c);
        s->c = libdeflate_alloc_compressor(level);
        s->level = level;
        if (!s->c) return clm_fail(err, CLM_E_NOMEM, "no memory for a deflate encoder");
    }
    bool zlib = c->kind == CLM_CODEC_ZLIB;
    size_t bound = zlib ? libdeflate_zlib_compress_bound(s->c, n) : libdeflate_gzip_compress_bound(s->c, n);
    if (!clm_buf_reserve(out, bound, err)) return false;
    out->n = zlib ? libdeflate_zlib_compress(s->c, src, n, out->data, bound)
                  : libdeflate_gzip_compress(s->c, src, n, out->data, bound);
    return out->n > 0 || clm_fail(err, CLM_E_NOMEM, "deflate: did not fit its own bound");
}

uint32_t clm_deflate_crc32(const void *p, size_t n) { return libdeflate_crc32(0, p, n); }
uint32_t clm_deflate_adler32(const void *p, size_t n) { return libdeflate_adler32(1, p, n); }
