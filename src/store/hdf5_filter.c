#include "collimate/store/hdf5_filter.h"
#include "collimate/store/codec.h"
#include "collimate/store/codec_family.h"

#include <hdf5.h>
#include <string.h>

/* HDF5 filters that libhdf5 does not bring, by the codecs we have. Registered ids:
 * https://portal.hdfgroup.org/documentation/hdf5-docs/registered_filter_plugins.html. Decoding only. */

/* The decoded chunk's size is not handed to a filter: what the caller set, or the buffer's own header. */
static size_t decode(const clm_codec *c, size_t n, size_t want, size_t *buf_size, void **buf) {
    clm_err err = CLM_ERR_NONE;
    size_t made = 0;
    if (want == 0 || want > ((size_t)1 << 32)) return 0;
    void *out = H5allocate_memory(want, false);
    if (!out) return 0;
    if (!clm_codec_decode(c, *buf, n, out, want, &made, &err)) {
        (void)H5free_memory(out);
        return 0;
    }
    (void)H5free_memory(*buf);
    *buf = out;
    *buf_size = want;
    return made;
}

static size_t blosc_filter(unsigned flags, size_t count, const unsigned values[], size_t n, size_t *size,
                           void **buf) {
    clm_codec c = {.kind = CLM_CODEC_BLOSC};
    uint64_t want = 0;
    (void)count;
    (void)values;
    if (!(flags & H5Z_FLAG_REVERSE) || !clm_blosc_declares(*buf, n, &want)) return 0;
    return decode(&c, n, (size_t)want, size, buf);
}

static size_t zstd_filter(unsigned flags, size_t count, const unsigned values[], size_t n, size_t *size,
                          void **buf) {
    clm_codec c = {.kind = CLM_CODEC_ZSTD};
    uint64_t want = 0;
    (void)count;
    (void)values;
    if (!(flags & H5Z_FLAG_REVERSE) || !clm_zstd_declares(*buf, n, &want)) return 0;
    return decode(&c, n, (size_t)want, size, buf);
}

static uint32_t be32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* LZ4 (32004): u64 BE size, u32 BE block size, then blocks: u32 BE stored size and a raw LZ4 block, or the
 * bytes as they are when the sizes are equal. */
static size_t lz4_filter(unsigned flags, size_t count, const unsigned values[], size_t n, size_t *size,
                         void **buf) {
    (void)count;
    (void)values;
    const unsigned char *p = *buf;
    if (!(flags & H5Z_FLAG_REVERSE) || n < 12 || be32(p)) return 0;
    size_t want = be32(p + 4), block = be32(p + 8), done = 0;
    if (!want || !block || want / 256 > n) return 0;
    unsigned char *out = H5allocate_memory(want, false);
    clm_err err = CLM_ERR_NONE;
    clm_codec c = {.kind = CLM_CODEC_LZ4_N5};
    p += 12;
    n -= 12;
    while (out && done < want) {
        size_t this = want - done < block ? want - done : block, made = 0;
        if (n < 4) break;
        size_t stored = be32(p);
        p += 4;
        n -= 4;
        if (stored > n) break;
        if (stored == this)
            memcpy(out + done, p, this);
        else if (!clm_codec_decode(&c, p, stored, out + done, this, &made, &err) || made != this)
            break;
        p += stored;
        n -= stored;
        done += this;
    }
    if (!out || done < want) {
        (void)H5free_memory(out);
        return 0;
    }
    (void)H5free_memory(*buf);
    *buf = out;
    *size = want;
    return want;
}

/* LibLZF: a literal run (control < 32: that many + 1 bytes), or a copy from before. */
static size_t lzf(const unsigned char *p, size_t n, unsigned char *out, size_t cap) {
    const unsigned char *end = p + n;
    size_t at = 0;
    while (p < end) {
        size_t c = *p++;
        if (c < 32) {
            if ((size_t)(end - p) < c + 1 || cap - at < c + 1) return 0;
            memcpy(out + at, p, c + 1);
            p += c + 1;
            at += c + 1;
            continue;
        }
        size_t length = c >> 5;
        if (length == 7) {
            if (p >= end) return 0;
            length += *p++;
        }
        if (p >= end) return 0;
        size_t back = ((c & 31u) << 8) + *p++ + 1;
        length += 2;
        if (back > at || cap - at < length) return 0;
        for (; length; length--, at++) out[at] = out[at - back];
    }
    return at;
}

/* h5py's LZF (32000): the third value is the chunk's size */
static size_t lzf_filter(unsigned flags, size_t count, const unsigned values[], size_t n, size_t *size,
                         void **buf) {
    size_t want = count >= 3 ? values[2] : 0;
    if (!(flags & H5Z_FLAG_REVERSE) || !want || want / 512 > n) return 0;
    unsigned char *out = H5allocate_memory(want, false);
    size_t made = out ? lzf(*buf, n, out, want) : 0;
    if (!made) {
        (void)H5free_memory(out);
        return 0;
    }
    (void)H5free_memory(*buf);
    *buf = out;
    *size = want;
    return made;
}

void clm_hdf5_register_filters(void) {
    static const H5Z_class2_t filters[] = {
        {H5Z_CLASS_T_VERS, 32000, 0, 1, "lzf", NULL, NULL, lzf_filter},
        {H5Z_CLASS_T_VERS, 32001, 0, 1, "blosc", NULL, NULL, blosc_filter},
        {H5Z_CLASS_T_VERS, 32004, 0, 1, "lz4", NULL, NULL, lz4_filter},
        {H5Z_CLASS_T_VERS, 32015, 0, 1, "zstd", NULL, NULL, zstd_filter},
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (H5Zfilter_avail(filters[i].id) <= 0) (void)H5Zregister(&filters[i]);
}
