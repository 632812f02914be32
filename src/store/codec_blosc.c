#include "collimate/store/codec_family.h"

#include <blosc.h>
#include <pthread.h>

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

bool clm_blosc_declares(const unsigned char *src, size_t n, uint64_t *bytes) {
    if (n < BLOSC_MIN_HEADER_LENGTH) return false;
    *bytes = clm_le32(src + 4);
    return true;
}

bool clm_blosc_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                      size_t *made, clm_err *err) {
    (void)c;
    (void)pthread_once(&init_once, blosc_init);
    if (n < BLOSC_MIN_HEADER_LENGTH)
        return clm_fail(err, CLM_E_FORMAT, "blosc: %zu bytes, too short for a header", n);
    size_t stored = clm_le32(src + 12), nbytes = 0;
    if (stored != n)
        return clm_fail(err, CLM_E_FORMAT, "blosc: header says %zu bytes, there are %zu", stored, n);
    if (blosc_cbuffer_validate(src, n, &nbytes) != 0) return clm_fail(err, CLM_E_FORMAT, "blosc: bad header");
    if (nbytes > cap)
        return clm_fail(err, CLM_E_FORMAT, "blosc: decodes to %zu bytes, %zu expected", nbytes, cap);
    if (nbytes == 0) {
        *made = 0;
        return true;
    }
    int r = blosc_decompress_ctx(src, dst, cap, 1); /* ctx: no global lock, no threads */
    if (r < 0 || (size_t)r != nbytes) return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (code %d)", r);
    *made = nbytes;
    return true;
}

bool clm_blosc_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, clm_err *err) {
    (void)pthread_once(&init_once, blosc_init);
    if (n > BLOSC_MAX_BUFFERSIZE)
        return clm_fail(err, CLM_E_ARG, "blosc: a chunk of %zu bytes; at most %d fit, use smaller chunks", n,
                        BLOSC_MAX_BUFFERSIZE);
    size_t bound = n + BLOSC_MAX_OVERHEAD;
    if (!clm_buf_reserve(out, bound, err)) return false;
    int r = blosc_compress_ctx(c->level, c->shuffle, (size_t)(c->typesize > 0 ? c->typesize : 1), n, src,
                               out->data, bound, c->cname, (size_t)c->blocksize, 1);
    if (r <= 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "blosc: cannot compress with %s (code %d)", c->cname, r);
    out->n = (size_t)r;
    return true;
}
