/* The codec libraries, one family a file; only codec.c calls these. Each decoder writes at most
 * cap bytes, reads at most n, and tells in *made how many it wrote. */
#ifndef CLM_CODEC_CODEC_FAMILY_H
#define CLM_CODEC_CODEC_FAMILY_H

#include "collimate/codec/codec.h"

#define CLM_DECODER(name)                                                                     \
    CLM_MUST bool clm_##name##_decode(const clm_codec *c, const unsigned char *src, size_t n, \
                                      unsigned char *dst, size_t cap, size_t *made, clm_err *err)
#define CLM_ENCODER(name)                                                                                   \
    CLM_MUST bool clm_##name##_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, \
                                      clm_err *err)

/* codec_deflate.c: gzip members may be concatenated */
CLM_DECODER(deflate);
CLM_ENCODER(deflate);
uint32_t clm_deflate_crc32(const void *p, size_t n);
uint32_t clm_deflate_adler32(const void *p, size_t n);
/* codec_zstd.c: content size may be absent from the frame */
CLM_DECODER(zstd);
CLM_ENCODER(zstd);
bool clm_zstd_declares(const unsigned char *src, size_t n, uint64_t *bytes); /* false: does not tell */
/* codec_blosc.c: c-blosc 1 buffers; parameters are read from the buffer */
CLM_DECODER(blosc);
CLM_ENCODER(blosc);
/** At least the blocks in which decoded bytes [lo, hi) lie, to where they belong in dst. *made: what the whole decodes to.
 *  Memory   blocks: those blocks encoded, or one decoded */
CLM_MUST bool clm_blosc_decode_part(const unsigned char *src, size_t n, size_t lo, size_t hi, clm_buf *blocks,
                                    unsigned char *dst, size_t cap, size_t *made, clm_err *err);
bool clm_blosc_declares(const unsigned char *src, size_t n, uint64_t *bytes);
/* codec_lz4.c */
CLM_DECODER(lz4);
CLM_DECODER(lz4_n5);
CLM_DECODER(lz4_hdf5);
CLM_ENCODER(lz4);
/* codec_lzf.c */
CLM_DECODER(lzf);
/* codec_xz.c: bzip2 and LZMA */
CLM_DECODER(bz2);
CLM_DECODER(lzma);
/* codec_filter.c: the rest, no library */
CLM_DECODER(filter);
CLM_ENCODER(filter);
/** Check and strip: *body, *body_n lie inside src. */
CLM_MUST bool clm_checksum_strip(const clm_codec *c, const unsigned char *src, size_t n,
                                 const unsigned char **body, size_t *body_n, clm_err *err);

static inline uint32_t clm_le32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint32_t clm_be32(const unsigned char *p) { return __builtin_bswap32(clm_le32(p)); }
static inline uint64_t clm_le64(const unsigned char *p) {
    return (uint64_t)clm_le32(p) | (uint64_t)clm_le32(p + 4) << 32;
}
static inline void clm_put_le32(unsigned char *p, uint32_t x) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(x >> 8 * i);
}
static inline void clm_put_le64(unsigned char *p, uint64_t x) {
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(x >> 8 * i);
}

#endif
