/* Byte codecs of chunks: what turns the bytes of a chunk file into voxels' bytes and back.
 * A chain is a list of codecs in ENCODING order. Every decoder is given the most it may write;
 * sizes that a header declares are checked before anything is allocated for them.
 * Contexts of the codec libraries are kept a thread and reused. Thread-safe. */
#ifndef CLM_CODEC_CODEC_H
#define CLM_CODEC_CODEC_H

#include "collimate/base/heap.h"
#include "collimate/core/dtype.h"

typedef enum clm_codec_kind {
    CLM_CODEC_GZIP,
    CLM_CODEC_ZLIB,
    CLM_CODEC_ZSTD,
    CLM_CODEC_BLOSC,
    CLM_CODEC_BZ2,
    CLM_CODEC_LZMA,     /* .xz, .lzma or raw LZMA2, see lzma_format                               */
    CLM_CODEC_LZ4,      /* numcodecs: u32 LE size, then one raw LZ4 block                         */
    CLM_CODEC_LZ4_N5,   /* what N5 writers call lz4: three layouts, told apart by their first bytes */
    CLM_CODEC_LZ4_HDF5, /* HDF5 filter 32004: u64 BE size, u32 BE block size, u32 BE stored size a block */
    CLM_CODEC_LZF,      /* HDF5 filter 32000                                                      */
    CLM_CODEC_CHECKSUM, /* four bytes before or after, see checksum                               */
    CLM_CODEC_SHUFFLE,  /* bytes of elements transposed                                           */
    CLM_CODEC_DELTA,
    CLM_CODEC_SCALE_OFFSET,
    CLM_CODEC_ASTYPE,
    CLM_CODEC_PACKBITS,
    CLM_CODEC_NOTHING /* lossy on writing, identity on reading (bitround)                       */
} clm_codec_kind;

typedef enum clm_checksum {
    CLM_SUM_CRC32C,
    CLM_SUM_CRC32,
    CLM_SUM_ADLER32,
    CLM_SUM_FLETCHER32,
    CLM_SUM_LOOKUP3
} clm_checksum;

/** An element as stored. */
typedef struct clm_stored {
    clm_dtype type;
    bool big; /* big-endian */
} clm_stored;

#define CLM_LZMA_FILTERS 4

/** One codec with its parameters; only those of its kind count. */
typedef struct clm_codec {
    clm_codec_kind kind;
    int level;             /* compression level; each library's own scale                     */
    char cname[12];        /* blosc: inner compressor                                         */
    int shuffle;           /* blosc: 0 none, 1 byte, 2 bit                                    */
    int typesize;          /* blosc, shuffle: bytes an element                                */
    int blocksize;         /* blosc: 0 automatic                                              */
    bool zstd_checksum;    /* zstd: frame checksum                                            */
    clm_checksum checksum; /* checksum                                                        */
    bool sum_first;        /* checksum: stands before the bytes it covers                     */
    uint32_t sum_start;    /* checksum: lookup3's initial value                               */
    clm_stored from, to;   /* delta, scale_offset, astype: decoded and encoded element        */
    double offset, scale;  /* scale_offset                                                    */
    int lzma_format;       /* lzma: 1 xz, 2 alone, 3 raw                                      */
    int lzma_filters;      /* lzma raw: how many of the next                                  */
    struct {
        uint64_t id; /* 3 delta, 33 LZMA2, 0x4000000000000001 LZMA1                     */
        uint32_t preset, dist, dict_size; /* dict_size 0: the preset's                            */
    } lzma_filter[CLM_LZMA_FILTERS];
} clm_codec;

#define CLM_CHAIN_MAX 8
typedef struct clm_chain {
    int n;
    clm_codec codec[CLM_CHAIN_MAX];
} clm_chain;

/** Two buffers a chain works in, reused between calls. Zero-initialise; free with clm_scratch_free. */
typedef struct clm_scratch {
    clm_buf file;    /* bytes as read                     */
    clm_buf work[2]; /* between two codecs, and the result */
    clm_buf pad;     /* a chunk being padded for writing  */
    clm_buf row;     /* small                             */
    clm_buf blocks;  /* those of a buffer that are wanted  */
    clm_buf given;   /* what a source gave to be written  */
} clm_scratch;
void clm_scratch_free(clm_scratch *s);
/** The calling thread's own, freed with the thread; NULL with CLM_E_NOMEM. */
CLM_MUST clm_scratch *clm_scratch_mine(clm_err *err);

/** Bytes a codec makes of n, or SIZE_MAX when that depends on the bytes. */
size_t clm_codec_size(const clm_codec *c, size_t n);

/** Decode n bytes at src into dst; *made = bytes produced, never more than cap.
 *  Errors CLM_E_FORMAT torn, corrupt, or larger than cap. */
CLM_MUST bool clm_codec_decode(const clm_codec *c, const void *src, size_t n, void *dst, size_t cap,
                               size_t *made, clm_err *err);
/** Encode n bytes at src, replacing out's content. Compressors, shuffle and crc32c only.
 *  Errors CLM_E_UNSUPPORTED a codec that is only read. */
CLM_MUST bool clm_codec_encode(const clm_codec *c, const void *src, size_t n, clm_buf *out, clm_err *err);

/** Undo a whole chain; the result must be exactly `want` bytes. *out points into src, s or `into`.
 *  into   NULL, or room for `want` bytes that the last step may write (then *out == into)
 *  Errors CLM_E_FORMAT torn, corrupt, wrong length; CLM_E_NOMEM */
CLM_MUST bool clm_chain_decode(const clm_chain *c, const void *src, size_t n, size_t want, clm_scratch *s,
                               void *into, const unsigned char **out, clm_err *err);
/** The same, in s, of whose result only bytes [lo, hi) are wanted: of blosc only the blocks that they lie in are decoded,
 *  and the other bytes are undefined. */
CLM_MUST bool clm_chain_decode_part(const clm_chain *c, const void *src, size_t n, size_t want, size_t lo,
                                    size_t hi, clm_scratch *s, const unsigned char **out, clm_err *err);
/** Apply a whole chain; *out, *out_n point into src or s->work. */
CLM_MUST bool clm_chain_encode(const clm_chain *c, const void *src, size_t n, clm_scratch *s,
                               const unsigned char **out, size_t *out_n, clm_err *err);
/** "blosc zstd 1 bitshuffle", "gzip 6", "none": for people; at most cap bytes with the NUL. */
void clm_chain_describe(const clm_chain *c, char *text, size_t cap);
const char *clm_codec_name(const clm_codec *c);

/** What new chunks are compressed with: {"none", "gzip", "zlib", "zstd", "blosc"}; level < 0: default.
 *  blosc: zstd, level 1, bit shuffle for one- and two-byte types, byte shuffle else. */
CLM_MUST bool clm_codec_named(const char *name, int level, clm_dtype type, clm_codec *out, clm_err *err);

#endif
