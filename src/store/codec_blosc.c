#include "collimate/store/codec_family.h"

#include <blosc.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

bool clm_blosc_declares(const unsigned char *src, size_t n, uint64_t *bytes) {
    if (n < BLOSC_MIN_HEADER_LENGTH) return false;
    *bytes = clm_le32(src + 4);
    return true;
}

static bool check(const unsigned char *src, size_t n, size_t cap, size_t *nbytes, clm_err *err) {
    if (n < BLOSC_MIN_HEADER_LENGTH)
        return clm_fail(err, CLM_E_FORMAT, "blosc: %zu bytes, too short for a header", n);
    size_t stored = clm_le32(src + 12);
    if (stored != n)
        return clm_fail(err, CLM_E_FORMAT, "blosc: header says %zu bytes, there are %zu", stored, n);
    if (blosc_cbuffer_validate(src, n, nbytes) != 0) return clm_fail(err, CLM_E_FORMAT, "blosc: bad header");
    return *nbytes <= cap ||
           clm_fail(err, CLM_E_FORMAT, "blosc: decodes to %zu bytes, %zu expected", *nbytes, cap);
}

bool clm_blosc_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                      size_t *made, clm_err *err) {
    (void)c;
    (void)pthread_once(&init_once, blosc_init);
    size_t nbytes = 0;
    if (!check(src, n, cap, &nbytes, err)) return false;
    if (nbytes == 0) {
        *made = 0;
        return true;
    }
    int r = blosc_decompress_ctx(src, dst, cap, 1); /* ctx: no global lock, no threads */
    if (r < 0 || (size_t)r != nbytes) return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (code %d)", r);
    *made = nbytes;
    return true;
}

/* Layout: header of 16 bytes (2 flags, 4 decoded bytes, 8 of a block, 12 encoded bytes), u32 where each block starts, the
 * blocks in any order. */
bool clm_blosc_decode_part(const unsigned char *src, size_t n, size_t lo, size_t hi, clm_buf *blocks,
                           unsigned char *dst, size_t cap, size_t *made, clm_err *err) {
    size_t nbytes = 0, block, count, first, last;
    if (!check(src, n, cap, &nbytes, err)) return false;
    block = clm_le32(src + 8);
    bool plain = (src[2] & BLOSC_MEMCPYED) != 0;
    if (!block || plain || lo >= hi || hi > nbytes || (count = (nbytes - 1) / block + 1) < 2 ||
        n < BLOSC_MIN_HEADER_LENGTH + 4 * count)
        return clm_blosc_decode(NULL, src, n, dst, cap, made, err);
    first = lo / block;
    last = (hi - 1) / block;
    if (first == count - 1 && nbytes % block) first--; /* no buffer may be shorter than its block */
    size_t begin = n, end = 0, stop = n, header = BLOSC_MIN_HEADER_LENGTH + 4 * (last + 1 - first);
    const unsigned char *starts = src + BLOSC_MIN_HEADER_LENGTH;
    for (size_t k = first; k <= last; k++) {
        size_t at = clm_le32(starts + 4 * k);
        begin = at < begin ? at : begin;
        end = at > end ? at : end;
    }
    for (size_t k = 0; k < count; k++) { /* the next one to follow the last of them */
        size_t at = clm_le32(starts + 4 * k);
        if (at > end && at < stop) stop = at;
    }
    if (begin < BLOSC_MIN_HEADER_LENGTH + 4 * count || end >= n)
        return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (a block outside of %zu bytes)", n);
    if (!clm_buf_reserve(blocks, header + stop - begin, err)) return false;
    unsigned char *p = blocks->data;
    size_t bytes = (last + 1 == count ? nbytes : (last + 1) * block) - first * block;
    memcpy(p, src, BLOSC_MIN_HEADER_LENGTH);
    clm_put_le32(p + 4, (uint32_t)bytes);
    clm_put_le32(p + 12, (uint32_t)(header + stop - begin));
    for (size_t k = first; k <= last; k++)
        clm_put_le32(p + BLOSC_MIN_HEADER_LENGTH + 4 * (k - first),
                     (uint32_t)(clm_le32(starts + 4 * k) - begin + header));
    memcpy(p + header, src + begin, stop - begin);
    *made = nbytes;
    return clm_blosc_decode(NULL, p, header + stop - begin, dst + first * block, bytes, &bytes, err);
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
