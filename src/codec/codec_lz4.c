#include "collimate/codec/codec_family.h"

#include <limits.h>
#include <lz4.h>
#include <string.h>

/* One raw LZ4 block to exactly `want` bytes. */
static bool raw_block(const unsigned char *src, size_t n, unsigned char *dst, size_t want, clm_err *err) {
    if (n > INT_MAX || want > INT_MAX) return clm_fail(err, CLM_E_FORMAT, "lz4: block beyond 2 GiB");
    int r = LZ4_decompress_safe((const char *)src, (char *)dst, (int)n, (int)want);
    if (r < 0 || (size_t)r != want) return clm_fail(err, CLM_E_FORMAT, "lz4: truncated or corrupt block");
    return true;
}

bool clm_lz4_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                    size_t *made, clm_err *err) {
    (void)c;
    if (n < 4) return clm_fail(err, CLM_E_FORMAT, "lz4: %zu bytes, too short for a header", n);
    size_t want = clm_le32(src);
    if (want > cap) return clm_fail(err, CLM_E_FORMAT, "lz4: decodes to %zu bytes, %zu expected", want, cap);
    if (!raw_block(src + 4, n - 4, dst, want, err)) return false;
    *made = want;
    return true;
}

bool clm_lz4_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, clm_err *err) {
    if (n > LZ4_MAX_INPUT_SIZE) return clm_fail(err, CLM_E_ARG, "lz4: chunk beyond 2 GiB");
    int bound = LZ4_compressBound((int)n);
    if (!clm_buf_reserve(out, (size_t)bound + 4, err)) return false;
    clm_put_le32(out->data, (uint32_t)n);
    int r = LZ4_compress_fast((const char *)src, (char *)out->data + 4, (int)n, bound,
                              c->level > 1 ? c->level : 1);
    if (r <= 0) return clm_fail(err, CLM_E_NOMEM, "lz4: did not fit its own bound");
    out->n = (size_t)r + 4;
    return true;
}

static uint32_t rotl(uint32_t x, int k) { return x << k | x >> (32 - k); }

/* xxHash32 (Collet), as the LZ4Block stream's check uses it. */
static uint32_t xxh32(const unsigned char *p, size_t n, uint32_t seed) {
    const uint32_t p1 = 2654435761u, p2 = 2246822519u, p3 = 3266489917u, p4 = 668265263u, p5 = 374761393u;
    const unsigned char *end = p + n;
    uint32_t h = seed + p5;
    if (n >= 16) {
        uint32_t v[4] = {seed + p1 + p2, seed + p2, seed, seed - p1};
        for (; end - p >= 16; p += 16)
            for (int i = 0; i < 4; i++) v[i] = rotl(v[i] + clm_le32(p + 4 * i) * p2, 13) * p1;
        h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
    }
    h += (uint32_t)n;
    for (; end - p >= 4; p += 4) h = rotl(h + clm_le32(p) * p3, 17) * p4;
    for (; p < end; p++) h = rotl(h + *p * p5, 11) * p1;
    h = (h ^ h >> 15) * p2;
    h = (h ^ h >> 13) * p3;
    return h ^ h >> 16;
}

/* lz4-java's LZ4BlockOutputStream: {"LZ4Block", token, stored size, size, check, data}..., then an empty
 * block. token = method (0x10 as is, 0x20 LZ4) | log2(block size) - 10; the check keeps 28 bits. */
static bool java_stream(const unsigned char *src, size_t n, unsigned char *dst, size_t cap, size_t *made,
                        clm_err *err) {
    size_t total = 0;
    for (;;) {
        if (n < 21 || memcmp(src, "LZ4Block", 8) != 0)
            return clm_fail(err, CLM_E_FORMAT, "lz4: stream ends without its end mark");
        unsigned method = src[8] & 0xf0u, level = src[8] & 0x0fu;
        size_t stored = clm_le32(src + 9), size = clm_le32(src + 13);
        uint32_t check = clm_le32(src + 17);
        src += 21;
        n -= 21;
        if (method != 0x10u && method != 0x20u) return clm_fail(err, CLM_E_FORMAT, "lz4: method %#x", method);
        if (size == 0) {
            if (stored != 0 || check != 0 || n != 0)
                return clm_fail(err, CLM_E_FORMAT, "lz4: bytes after the end mark");
            *made = total;
            return true;
        }
        if (stored > n) return clm_fail(err, CLM_E_FORMAT, "lz4: truncated block");
        if (size > (size_t)1 << (10 + level) || size > cap - total || (method == 0x10u && stored != size))
            return clm_fail(err, CLM_E_FORMAT, "lz4: block of %zu bytes does not fit", size);
        if (method == 0x10u)
            memcpy(dst + total, src, size);
        else if (!raw_block(src, stored, dst + total, size, err))
            return false;
        if ((xxh32(dst + total, size, 0x9747b28cu) & 0x0fffffffu) != check)
            return clm_fail(err, CLM_E_FORMAT, "lz4: checksum differs");
        total += size;
        src += stored;
        n -= stored;
    }
}

bool clm_lz4_n5_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                       size_t *made, clm_err *err) {
    if (n >= 8 && memcmp(src, "LZ4Block", 8) == 0) return java_stream(src, n, dst, cap, made, err);
    if (n >= 4 && clm_le32(src) == cap) { /* numcodecs; a raw block may look so by chance: second try below */
        clm_err first = CLM_ERR_NONE;
        if (clm_lz4_decode(c, src, n, dst, cap, made, &first)) return true;
    }
    if (!raw_block(src, n, dst, cap, err)) return false;
    *made = cap;
    return true;
}

bool clm_lz4_hdf5_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst,
                         size_t cap, size_t *made, clm_err *err) {
    (void)c;
    if (n < 12) return clm_fail(err, CLM_E_FORMAT, "lz4: %zu bytes, too short for a header", n);
    uint64_t want = (uint64_t)clm_be32(src) << 32 | clm_be32(src + 4);
    size_t most = clm_be32(src + 8), done = 0, at = 12;
    if (want > cap || (want && !most))
        return clm_fail(err, CLM_E_FORMAT, "lz4: decodes to %llu bytes in blocks of %zu, %zu expected",
                        (unsigned long long)want, most, cap);
    while (done < want) {
        size_t size = want - done < most ? (size_t)want - done : most,
               stored = n - at < 4 ? n : clm_be32(src + at);
        at += 4;
        if (at > n || stored > n - at) return clm_fail(err, CLM_E_FORMAT, "lz4: truncated block");
        if (stored == size) /* did not shrink */
            memcpy(dst + done, src + at, size);
        else if (!raw_block(src + at, stored, dst + done, size, err))
            return false;
        at += stored;
        done += size;
    }
    *made = done;
    return true;
}
