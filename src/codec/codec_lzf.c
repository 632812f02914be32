#include "collimate/codec/codec_family.h"

#include <string.h>

static bool bad(size_t cap, clm_err *err) {
    return clm_fail(err, CLM_E_FORMAT, "lzf: truncated, corrupt, or larger than %zu bytes", cap);
}

/* LibLZF (Lehmann), without a header: a literal run (control < 32: that many + 1 bytes), or a copy of
 * (control >> 5) + 2 bytes from up to 8 KiB before. */
bool clm_lzf_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                    size_t *made, clm_err *err) {
    const unsigned char *p = src, *end = src + n;
    size_t at = 0;
    (void)c;
    while (p < end) {
        size_t control = *p++, length = control < 32 ? control + 1 : control >> 5;
        if (control < 32) {
            if ((size_t)(end - p) < length || cap - at < length) return bad(cap, err);
            memcpy(dst + at, p, length);
            p += length;
            at += length;
            continue;
        }
        if (length == 7 && p < end) length += *p++;
        if (p == end) return bad(cap, err);
        size_t back = ((control & 31u) << 8) + *p++ + 1;
        length += 2;
        if (back > at || cap - at < length) return bad(cap, err);
        for (; length; length--, at++) dst[at] = dst[at - back];
    }
    *made = at;
    return true;
}
