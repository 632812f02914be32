#include "collimate/core/dtype.h"
#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t size;
    bool integer, real;
    double lo, hi;
} type_table[CLM_DTYPE_COUNT] = {
    [CLM_U8] = {"uint8", 1, true, true, 0, 255},
    [CLM_U16] = {"uint16", 2, true, true, 0, 65535},
    [CLM_U32] = {"uint32", 4, true, true, 0, 4294967295.0},
    [CLM_U64] = {"uint64", 8, true, true, 0, 18446744073709549568.0},
    [CLM_I8] = {"int8", 1, true, true, -128, 127},
    [CLM_I16] = {"int16", 2, true, true, -32768, 32767},
    [CLM_I32] = {"int32", 4, true, true, -2147483648.0, 2147483647.0},
    [CLM_I64] = {"int64", 8, true, true, -9223372036854775808.0, 9223372036854774784.0},
    [CLM_F32] = {"float32", 4, false, true, 0, 0},
    [CLM_F64] = {"float64", 8, false, true, 0, 0},
    [CLM_BOOL] = {"bool", 1, false, false, 0, 1},
    [CLM_F16] = {"float16", 2, false, false, 0, 0},
    [CLM_C64] = {"complex64", 8, false, false, 0, 0},
    [CLM_C128] = {"complex128", 16, false, false, 0, 0},
};

size_t clm_dtype_size(clm_dtype t) { return type_table[t].size; }
const char *clm_dtype_name(clm_dtype t) { return type_table[t].name; }
bool clm_dtype_is_integer(clm_dtype t) { return type_table[t].integer; }
bool clm_dtype_is_real(clm_dtype t) { return type_table[t].real; }

bool clm_dtype_named(const char *name, clm_dtype *out) {
    for (int t = 0; t < CLM_DTYPE_COUNT; t++) {
        if (strcmp(type_table[t].name, name) != 0) continue;
        *out = (clm_dtype)t;
        return true;
    }
    return false;
}

void clm_dtype_range(clm_dtype t, double *lo, double *hi) {
    *lo = type_table[t].lo;
    *hi = type_table[t].hi;
}

/* packed: chunks lie in their files at any byte */
#define CONVERT(T, TO)                                          \
    do {                                                        \
        const struct { T x; } __attribute__((packed)) *s = src; \
        for (int64_t i = 0; i < n; i++) dst[i] = (TO)(s[i].x);  \
    } while (0)
#define TO_F32(T) CONVERT(T, float)
#define TO_F64(T) CONVERT(T, double)

void clm_dtype_to_f32(clm_dtype t, const void *src, float *dst, int64_t n) {
    switch (t) {
    case CLM_U8: TO_F32(uint8_t); break;
    case CLM_U16: TO_F32(uint16_t); break;
    case CLM_U32: TO_F32(uint32_t); break;
    case CLM_U64: TO_F32(uint64_t); break;
    case CLM_I8: TO_F32(int8_t); break;
    case CLM_I16: TO_F32(int16_t); break;
    case CLM_I32: TO_F32(int32_t); break;
    case CLM_I64: TO_F32(int64_t); break;
    case CLM_F64: TO_F32(double); break;
    case CLM_F32: memcpy(dst, src, (size_t)n * sizeof(float)); break;
    default: memset(dst, 0, (size_t)n * sizeof(float)); break;
    }
}

static double half_to_f64(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double x = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
               : exponent     ? ldexp(1024 + fraction, exponent - 25)
                              : ldexp(fraction, -24);
    return h & 0x8000 ? -x : x;
}

void clm_dtype_to_f64(clm_dtype t, const void *src, double *dst, int64_t n) {
    switch (t) {
    case CLM_U8:
    case CLM_BOOL: TO_F64(uint8_t); break;
    case CLM_U16: TO_F64(uint16_t); break;
    case CLM_U32: TO_F64(uint32_t); break;
    case CLM_U64: TO_F64(uint64_t); break;
    case CLM_I8: TO_F64(int8_t); break;
    case CLM_I16: TO_F64(int16_t); break;
    case CLM_I32: TO_F64(int32_t); break;
    case CLM_I64: TO_F64(int64_t); break;
    case CLM_F32: TO_F64(float); break;
    case CLM_F64: memcpy(dst, src, (size_t)n * sizeof(double)); break;
    case CLM_F16:
        for (int64_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, (const char *)src + 2 * i, 2);
            dst[i] = half_to_f64(half);
        }
        break;
    default: memset(dst, 0, (size_t)n * sizeof(double)); break;
    }
}

/* Clamped first, so that adding and taking off 1.5 x 2^23 rounds to nearest even: no call, no branch, and
 * the loop becomes vector code. */
#define FROM_F32_SMALL(T)                                                          \
    do {                                                                           \
        T *restrict d = dst;                                                       \
        const float low = (float)type_table[t].lo, high = (float)type_table[t].hi; \
        for (int64_t i = 0; i < n; i++) {                                          \
            float x = src[i] == src[i] ? src[i] : 0.0f;                            \
            x = x > low ? x : low;                                                 \
            x = x < high ? x : high;                                               \
            d[i] = (T)(int32_t)((x + 0x1.8p23f) - 0x1.8p23f);                      \
        }                                                                          \
    } while (0)

#define FROM_F32_WIDE(T)                                                     \
    do {                                                                     \
        T *d = dst;                                                          \
        const double low = type_table[t].lo, high = type_table[t].hi;        \
        for (int64_t i = 0; i < n; i++) {                                    \
            double x = rint((double)src[i]);                                 \
            x = x > low ? x : low; /* also takes NaN to low, mended below */ \
            x = x < high ? x : high;                                         \
            d[i] = src[i] == src[i] ? (T)x : (T)0;                           \
        }                                                                    \
    } while (0)

CLM_CLONES void clm_dtype_from_f32(clm_dtype t, const float *src, void *dst, int64_t n) {
    switch (t) {
    case CLM_U8: FROM_F32_SMALL(uint8_t); break;
    case CLM_U16: FROM_F32_SMALL(uint16_t); break;
    case CLM_I8: FROM_F32_SMALL(int8_t); break;
    case CLM_I16: FROM_F32_SMALL(int16_t); break;
    case CLM_U32: FROM_F32_WIDE(uint32_t); break;
    case CLM_I32: FROM_F32_WIDE(int32_t); break;
    case CLM_U64: FROM_F32_WIDE(uint64_t); break;
    case CLM_I64: FROM_F32_WIDE(int64_t); break;
    case CLM_F32: memcpy(dst, src, (size_t)n * sizeof(float)); break;
    case CLM_F64: {
        double *d = dst;
        for (int64_t i = 0; i < n; i++) d[i] = (double)src[i];
        break;
    }
    default: memset(dst, 0, (size_t)n * clm_dtype_size(t)); break;
    }
}

#define SWAP_ALL(T, SWAP, s, d)                              \
    do {                                                     \
        for (int64_t i = 0; i < n; i++) {                    \
            T x;                                             \
            memcpy(&x, s + i * (int64_t)sizeof x, sizeof x); \
            x = SWAP(x);                                     \
            memcpy(d + i * (int64_t)sizeof x, &x, sizeof x); \
        }                                                    \
    } while (0)

CLM_CLONES static void swap_simple(unsigned char *p, size_t size, int64_t n) {
    switch (size) {
    case 2: SWAP_ALL(uint16_t, __builtin_bswap16, p, p); break;
    case 4: SWAP_ALL(uint32_t, __builtin_bswap32, p, p); break;
    default: SWAP_ALL(uint64_t, __builtin_bswap64, p, p); break;
    }
}

CLM_CLONES void clm_swap_copy(const unsigned char *restrict s, unsigned char *restrict d, int64_t n,
                              size_t unit) {
    switch (unit) {
    case 2: SWAP_ALL(uint16_t, __builtin_bswap16, s, d); break;
    case 4: SWAP_ALL(uint32_t, __builtin_bswap32, s, d); break;
    case 8: SWAP_ALL(uint64_t, __builtin_bswap64, s, d); break;
    default: memcpy(d, s, (size_t)n * unit); break; /* one byte */
    }
}

void clm_swap_bytes(void *data, size_t size, int64_t n) {
    unsigned char *p = data;
    if (size == 2 || size == 4 || size == 8) {
        swap_simple(p, size, n);
        return;
    }
    for (int64_t i = 0; i < n; i++, p += size)
        for (size_t a = 0, b = size - 1; a < b && size > 1; a++, b--) {
            unsigned char c = p[a];
            p[a] = p[b];
            p[b] = c;
        }
}
