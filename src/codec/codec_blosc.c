#include "collimate/codec/codec_family.h"

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

/* A buffer: header of 16 bytes (0 version, 2 flags, 3 bytes of an element, 4 decoded bytes, 8 of a block, 12 encoded
 * bytes), u32 where each block starts, the blocks in any order. A block: its streams, each u32 encoded bytes and those;
 * a stream that did not shrink is stored. */
#define HEADER ((size_t)BLOSC_MIN_HEADER_LENGTH)
#define ONE_STREAM 0x10 /* flag: blocks are not split */

typedef struct frame {
    const unsigned char *src;
    size_t n, nbytes, block, count;
} frame;

static size_t start_of(const frame *f, size_t k) { return clm_le32(f->src + HEADER + 4 * k); }

static size_t bytes_of(const frame *f, size_t k) {
    return (k + 1) * f->block <= f->nbytes ? f->block : f->nbytes - k * f->block;
}

/* For each block blosc has zstd make a context, which asks the processor what it can: in a virtual machine that takes
 * as long as 10 KB take to decode. Small blocks are decoded by the context that is kept, and blosc gets
 * them as stored ones, to turn the shuffle back. */
#define SMALL ((size_t)128 << 10)

static size_t streams_of(const frame *f, size_t k) {
    size_t type = f->src[3];
    bool whole = bytes_of(f, k) == f->block;
    return (f->src[2] & ONE_STREAM) || !whole || type > 16 || f->block / type < 128 ? 1 : type;
}

static bool is_small_zstd(const frame *f) {
    return f->src[0] == BLOSC_VERSION_FORMAT && f->src[1] == BLOSC_ZSTD_VERSION_FORMAT &&
           f->src[2] >> 5 == BLOSC_ZSTD_FORMAT && f->src[3] && f->block <= SMALL && f->block % f->src[3] == 0;
}

static bool decode_small(const frame *f, size_t k, clm_buf *stored, unsigned char *dst, clm_err *err) {
    size_t bytes = bytes_of(f, k), streams = streams_of(f, k), piece = bytes / streams, at = start_of(f, k),
           made;
    if (!clm_buf_reserve(stored, HEADER + 8 + bytes, err)) return false;
    unsigned char *p = stored->data, *to = p + HEADER + 8;
    for (size_t i = 0; i < streams; i++, to += piece) {
        size_t size = at < f->n && f->n - at >= 4 ? clm_le32(f->src + at) : SIZE_MAX;
        at += 4;
        if (size > f->n || at > f->n - size)
            return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (block %zu does not lie in %zu bytes)", k,
                            f->n);
        made = piece;
        if (size == piece)
            memcpy(to, f->src + at, piece);
        else if (!clm_zstd_decode(NULL, f->src + at, size, to, piece, &made, err))
            return clm_err_in(err, "blosc");
        if (made != piece) return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (block %zu is short)", k);
        at += size;
    }
    memcpy(p, f->src, HEADER);
    p[2] |= ONE_STREAM;
    clm_put_le32(p + 4, (uint32_t)bytes);
    clm_put_le32(p + 8, (uint32_t)bytes);
    clm_put_le32(p + 12, (uint32_t)(HEADER + 8 + bytes));
    clm_put_le32(p + HEADER, (uint32_t)HEADER + 4);
    clm_put_le32(p + HEADER + 4, (uint32_t)bytes);
    return clm_blosc_decode(NULL, p, HEADER + 8 + bytes, dst + k * f->block, bytes, &made, err);
}

/* Blocks [first, last] as a buffer of their own. */
static bool decode_some(const frame *f, size_t first, size_t last, clm_buf *own, unsigned char *dst,
                        clm_err *err) {
    if (first == f->count - 1 && f->nbytes % f->block) first--; /* no buffer may be shorter than its block */
    size_t begin = f->n, end = 0, stop = f->n, header = HEADER + 4 * (last + 1 - first), made;
    for (size_t k = first; k <= last; k++) {
        begin = start_of(f, k) < begin ? start_of(f, k) : begin;
        end = start_of(f, k) > end ? start_of(f, k) : end;
    }
    for (size_t k = 0; k < f->count; k++) /* the next one to follow the last of them */
        if (start_of(f, k) > end && start_of(f, k) < stop) stop = start_of(f, k);
    if (begin < HEADER + 4 * f->count || end >= f->n)
        return clm_fail(err, CLM_E_FORMAT, "blosc: corrupt (a block does not lie in %zu bytes)", f->n);
    size_t n = header + stop - begin, bytes = last * f->block + bytes_of(f, last) - first * f->block;
    if (!clm_buf_reserve(own, n, err)) return false;
    unsigned char *p = own->data;
    memcpy(p, f->src, HEADER);
    clm_put_le32(p + 4, (uint32_t)bytes);
    clm_put_le32(p + 12, (uint32_t)n);
    for (size_t k = first; k <= last; k++)
        clm_put_le32(p + HEADER + 4 * (k - first), (uint32_t)(start_of(f, k) - begin + header));
    memcpy(p + header, f->src + begin, stop - begin);
    return clm_blosc_decode(NULL, p, n, dst + first * f->block, bytes, &made, err);
}

bool clm_blosc_decode_part(const unsigned char *src, size_t n, size_t lo, size_t hi, clm_buf *blocks,
                           unsigned char *dst, size_t cap, size_t *made, clm_err *err) {
    frame f = {.src = src, .n = n};
    if (!check(src, n, cap, &f.nbytes, err)) return false;
    f.block = clm_le32(src + 8);
    f.count = f.block ? (f.nbytes + f.block - 1) / f.block : 0;
    bool stored = (src[2] & BLOSC_MEMCPYED) != 0, small = is_small_zstd(&f);
    if (stored || lo >= hi || hi > f.nbytes || f.count < 2 || n < HEADER + 4 * f.count ||
        (!small && hi - lo == f.nbytes))
        return clm_blosc_decode(NULL, src, n, dst, cap, made, err);
    size_t first = lo / f.block, last = (hi - 1) / f.block;
    *made = f.nbytes;
    if (!small) return decode_some(&f, first, last, blocks, dst, err);
    for (size_t k = first; k <= last; k++)
        if (!decode_small(&f, k, blocks, dst, err)) return false;
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
