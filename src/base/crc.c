#include "collimate/base/crc.h"

#include <string.h>

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t crc, const unsigned char *p, size_t n) {
    uint64_t c = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        c = __builtin_ia32_crc32di(c, x);
    }
    uint32_t r = (uint32_t)c;
    for (; n; p++, n--) r = __builtin_ia32_crc32qi(r, *p);
    return r;
}
#endif

uint32_t clm_crc32c_portable(uint32_t crc, const void *bytes, size_t n) {
    static const uint32_t nibble[16] = {0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
                                        0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
                                        0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
                                        0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};
    const unsigned char *p = bytes;
    crc = ~crc;
    for (; n; p++, n--) {
        crc ^= *p;
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return ~crc;
}

uint32_t clm_crc32c(uint32_t crc, const void *bytes, size_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc_hw(~crc, bytes, n);
#endif
    return clm_crc32c_portable(crc, bytes, n);
}

uint64_t clm_hash64(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (; n; p++, n--) hash = (hash ^ *p) * 0x100000001b3u;
    return hash;
}
