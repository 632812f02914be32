/* Decoders: whatever the bytes, no more is written than there is room for, and no more is claimed. */
#include "collimate/codec/codec.h"
#include "support/fuzz.h"

#include <bzlib.h>
#include <lzma.h>
#include <string.h>

enum { PLAIN = 600 };

/* the first two bytes of an input choose the codec and the room */
static const clm_codec codecs[] = {
    {.kind = CLM_CODEC_GZIP, .level = 6},
    {.kind = CLM_CODEC_ZLIB, .level = 6},
    {.kind = CLM_CODEC_ZSTD, .level = 3, .zstd_checksum = true},
    {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 1, .typesize = 2, .cname = "lz4"},
    {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 2, .typesize = 4, .cname = "zstd"},
    {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 1, .typesize = 2, .cname = "blosclz"},
    {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 0, .typesize = 1, .cname = "snappy"},
    {.kind = CLM_CODEC_LZ4},
    {.kind = CLM_CODEC_CHECKSUM, .checksum = CLM_SUM_CRC32C},
    {.kind = CLM_CODEC_CHECKSUM, .checksum = CLM_SUM_LOOKUP3},
    {.kind = CLM_CODEC_SHUFFLE, .typesize = 4},
    {.kind = CLM_CODEC_BZ2},
    {.kind = CLM_CODEC_LZMA, .lzma_format = 1},
    {.kind = CLM_CODEC_LZMA, .lzma_format = 2},
    {.kind = CLM_CODEC_LZ4_N5},
    {.kind = CLM_CODEC_PACKBITS},
    {.kind = CLM_CODEC_DELTA, .from = {CLM_U16, false}, .to = {CLM_I32, true}},
    {.kind = CLM_CODEC_SCALE_OFFSET,
     .from = {CLM_F64, false},
     .to = {CLM_U16, false},
     .scale = 0,
     .offset = 1},
    {.kind = CLM_CODEC_ASTYPE, .from = {CLM_I8, false}, .to = {CLM_F64, true}},
};
enum { CODECS = sizeof codecs / sizeof codecs[0] };

static size_t foreign(int k, const uint8_t *plain, uint8_t *out, size_t cap) {
    unsigned n = (unsigned)cap;
    size_t at = 0;
    if (codecs[k].kind == CLM_CODEC_BZ2)
        return BZ2_bzBuffToBuffCompress((char *)out, &n, (char *)(uintptr_t)plain, PLAIN, 1, 0, 0) == BZ_OK
                   ? n
                   : 0;
    if (codecs[k].kind == CLM_CODEC_LZMA && codecs[k].lzma_format == 1)
        return lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, plain, PLAIN, out, &at, cap) == LZMA_OK ? at
                                                                                                          : 0;
    memcpy(out, plain, PLAIN);
    return PLAIN;
}

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    uint8_t plain[PLAIN];
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0};
    if (k >= CODECS) return 0;
    for (int i = 0; i < PLAIN; i++) plain[i] = (uint8_t)(i / 9 + i % 2);
    buf[0] = (uint8_t)k;
    buf[1] = PLAIN / 8;
    size_t n = 0;
    if (k < 11 && clm_codec_encode(&codecs[k], plain, PLAIN, &out, &err)) {
        FUZZ_ASSERT(out.n + 2 <= cap);
        memcpy(buf + 2, out.data, n = out.n);
    } else {
        n = foreign(k, plain, buf + 2, cap - 2);
    }
    clm_buf_free(&out);
    return n + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clm_err err = CLM_ERR_NONE;
    if (size < 2) return 0;
    clm_chain c = {.n = 1, .codec = {codecs[data[0] % CODECS]}};
    size_t cap = (size_t)data[1] * 8, made = 0, n = size - 2;
    uint8_t *src = clm_heap_new(n + 1, 1, &err), *dst = clm_heap_new(cap ? cap : 1, 1, &err);
    FUZZ_ASSERT(src && dst);
    memcpy(src + 1, data + 2, n); /* ends where the heap block ends */
    if (clm_codec_decode(&c.codec[0], src + 1, n, dst, cap, &made, &err))
        FUZZ_ASSERT(made <= cap);
    else
        FUZZ_ASSERT(err.code == CLM_E_FORMAT || err.code == CLM_E_UNSUPPORTED);
    static clm_scratch s; /* kept, as a thread keeps its own */
    const unsigned char *plain;
    if (clm_chain_decode(&c, src + 1, n, cap, &s, dst, &plain, &err)) FUZZ_ASSERT(plain || cap == 0);
    if (cap && clm_chain_decode_part(&c, src + 1, n, cap, cap / 4, cap / 4 + 1, &s, &plain, &err))
        FUZZ_ASSERT(plain);
    FUZZ_ASSERT(s.work[0].cap < (1u << 20) && s.work[1].cap < (1u << 20));
    clm_heap_free(src);
    clm_heap_free(dst);
    return 0;
}
