#include "collimate/codec/codec_family.h"

#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <string.h>

bool clm_bz2_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                    size_t *made, clm_err *err) {
    (void)c;
    if (n > UINT_MAX || cap > UINT_MAX) return clm_fail(err, CLM_E_FORMAT, "bzip2: beyond 4 GiB");
    size_t total = 0;
    do { /* streams may be concatenated */
        bz_stream s = {.next_in = (char *)(uintptr_t)src,
                       .avail_in = (unsigned)n,
                       .next_out = (char *)dst + total,
                       .avail_out = (unsigned)(cap - total)};
        int r = BZ2_bzDecompressInit(&s, 0, 0);
        if (r != BZ_OK) return clm_fail(err, CLM_E_NOMEM, "bzip2: code %d", r);
        r = BZ2_bzDecompress(&s);
        bool full = s.avail_out == 0;
        total = cap - s.avail_out;
        src += n - s.avail_in;
        n = s.avail_in;
        (void)BZ2_bzDecompressEnd(&s);
        if (r != BZ_STREAM_END)
            return r == BZ_OK && full
                       ? clm_fail(err, CLM_E_FORMAT, "bzip2: decodes to more than the %zu bytes expected",
                                  cap)
                       : clm_fail(err, CLM_E_FORMAT, "bzip2: truncated or corrupt (code %d)", r);
    } while (n > 0);
    *made = total;
    return true;
}

#define LZMA_MEMORY ((uint64_t)1 << 30) /* beyond every preset's dictionary */

/* The filter chain of a raw stream, which has no header to tell it. */
static bool raw_filters(const clm_codec *c, lzma_filter f[CLM_LZMA_FILTERS + 1],
                        lzma_options_lzma lz[CLM_LZMA_FILTERS], lzma_options_delta de[CLM_LZMA_FILTERS],
                        clm_err *err) {
    for (int i = 0; i < c->lzma_filters; i++) {
        f[i].id = c->lzma_filter[i].id;
        if (f[i].id == LZMA_FILTER_DELTA) {
            de[i] = (lzma_options_delta){.type = LZMA_DELTA_TYPE_BYTE, .dist = c->lzma_filter[i].dist};
            f[i].options = &de[i];
        } else if (f[i].id == LZMA_FILTER_LZMA2 || f[i].id == LZMA_FILTER_LZMA1) {
            if (lzma_lzma_preset(&lz[i], c->lzma_filter[i].preset))
                return clm_fail(err, CLM_E_FORMAT, "lzma: no preset %u", (unsigned)c->lzma_filter[i].preset);
            if (c->lzma_filter[i].dict_size) lz[i].dict_size = c->lzma_filter[i].dict_size;
            f[i].options = &lz[i];
        } else {
            return clm_fail(err, CLM_E_UNSUPPORTED, "lzma: filter id %llu", (unsigned long long)f[i].id);
        }
    }
    f[c->lzma_filters].id = LZMA_VLI_UNKNOWN;
    return true;
}

bool clm_lzma_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                     size_t *made, clm_err *err) {
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_filter f[CLM_LZMA_FILTERS + 1];
    lzma_options_lzma lz[CLM_LZMA_FILTERS];
    lzma_options_delta de[CLM_LZMA_FILTERS];
    memset(lz, 0, sizeof lz);
    lzma_ret r;
    if (c->lzma_format == 3) {
        if (!raw_filters(c, f, lz, de, err)) return false;
        r = lzma_raw_decoder(&s, f);
    } else if (c->lzma_format == 2) {
        r = lzma_alone_decoder(&s, LZMA_MEMORY);
    } else {
        r = lzma_stream_decoder(&s, LZMA_MEMORY, LZMA_CONCATENATED);
    }
    if (r != LZMA_OK) return clm_fail(err, CLM_E_UNSUPPORTED, "lzma: cannot start (code %d)", (int)r);
    s.next_in = src;
    s.avail_in = n;
    s.next_out = dst;
    s.avail_out = cap;
    r = lzma_code(&s, LZMA_FINISH);
    size_t left = s.avail_in, room = s.avail_out;
    lzma_end(&s);
    *made = cap - room;
    if (r == LZMA_STREAM_END)
        return left == 0 || clm_fail(err, CLM_E_FORMAT, "lzma: %zu bytes after the end of the stream", left);
    /* a raw LZMA1 stream has no end mark: a full destination is its end */
    if (r == LZMA_OK && room == 0 && left == 0 && c->lzma_format == 3) return true;
    return clm_fail(err, CLM_E_FORMAT, "lzma: truncated, corrupt or too long (code %d)", (int)r);
}
