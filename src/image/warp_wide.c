/* Sixteen voxels at a time, for processors with AVX-512. Neighbouring voxels of a row often come from the same four
 * rows of the moving volume: 32 voxels of each are loaded and sorted out by permutation; otherwise the sixteen pairs
 * are gathered one by one. The arithmetic is that of the plain kernels in warp.c, operation by operation, so the
 * bytes are the same. */
#include "warp_parts.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define INLINE WIDE __attribute__((always_inline)) static inline

enum { VECTOR = 16, WINDOW = 32, BACK = 4 };

bool clm_warp_is_wide(const int64_t moving[3]) {
    return moving[2] > 1 && (double)moving[0] * (double)moving[1] * (double)moving[2] >= 8.0 &&
           __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

INLINE __mmask16 first_lanes(int n) { return (__mmask16)(n >= VECTOR ? 0xffff : (1 << n) - 1); }

/* lanes lo <= p <= hi on all axes */
INLINE __mmask16 between(const __m512 p[3], const float lo[3], const float hi[3], __mmask16 in) {
    for (int c = 0; c < 3; c++) {
        in = _mm512_mask_cmp_ps_mask(in, p[c], _mm512_set1_ps(lo[c]), _CMP_GE_OQ);
        in = _mm512_mask_cmp_ps_mask(in, p[c], _mm512_set1_ps(hi[c]), _CMP_LE_OQ);
    }
    return in;
}

/* p -> lower voxel (clamped so that the next one exists) and weight of the next one */
INLINE void split(__m512 p, const clm_lane_taps *t, int c, __m512i *at, __m512 *part) {
    __m512 q = _mm512_min_ps(_mm512_max_ps(p, _mm512_set1_ps(t->lo[c])), _mm512_set1_ps(t->hi[c]));
    __m512i i = _mm512_cvttps_epi32(_mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
    i = _mm512_min_epi32(i, _mm512_set1_epi32(t->last[c] - 1));
    i = _mm512_max_epi32(i, _mm512_set1_epi32(t->first[c]));
    __m512 f = _mm512_max_ps(_mm512_sub_ps(q, _mm512_cvtepi32_ps(i)), _mm512_setzero_ps());
    *at = i;
    *part = _mm512_min_ps(f, _mm512_set1_ps(1.0f));
}

/* the same where no clamp can matter */
INLINE void split_inner(__m512 p, __m512i *at, __m512 *part) {
    __m512 floor = _mm512_roundscale_ps(p, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    *at = _mm512_cvttps_epi32(floor);
    *part = _mm512_sub_ps(p, floor);
}

/* The window that holds both voxels of every lane to do: where it begins, which of its voxels the row has, and where
 * in it each lane's are. False when there is none: a branch that mostly goes the same way. */
INLINE bool find_window(__m512i row, __m512i x, const clm_lane_taps *t, __mmask16 todo, int64_t *from,
                        __mmask32 *there, __m512i *d) {
    int32_t r = _mm512_cvtsi512_si32(_mm512_maskz_compress_epi32(todo, row));
    int32_t begin = _mm512_cvtsi512_si32(_mm512_maskz_compress_epi32(todo, x)) - BACK;
    begin = begin > t->first[2] ? begin : t->first[2];
    *d = _mm512_sub_epi32(x, _mm512_set1_epi32(begin));
    __mmask16 m = _mm512_mask_cmpeq_epi32_mask(todo, row, _mm512_set1_epi32(r));
    int32_t n = t->last[2] - begin + 1;
    *there = n >= WINDOW ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
    *from = (int64_t)r + begin;
    return _mm512_mask_cmplt_epu32_mask(m, *d, _mm512_set1_epi32(WINDOW - 1)) == todo;
}

/* two 16-bit voxels a lane -> their values */
INLINE void unpack_pairs(bool is_signed, __m512i pair, __m512 v[2]) {
    if (is_signed) {
        v[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(pair, 16), 16));
        v[1] = _mm512_cvtepi32_ps(_mm512_srai_epi32(pair, 16));
    } else {
        v[0] = _mm512_cvtepi32_ps(_mm512_and_si512(pair, _mm512_set1_epi32(0xffff)));
        v[1] = _mm512_cvtepi32_ps(_mm512_srli_epi32(pair, 16));
    }
}

/* voxels d and d + 1 of a window of 32, of which those in `there` exist */
INLINE void from_window(clm_dtype type, const void *row, __mmask32 there, __m512i d, __m512 v[2]) {
    if (type == CLM_F32) {
        __m512 lo = _mm512_maskz_loadu_ps((__mmask16)there, row);
        __m512 hi = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), (const float *)row + VECTOR);
        v[0] = _mm512_permutex2var_ps(lo, d, hi);
        v[1] = _mm512_permutex2var_ps(lo, _mm512_add_epi32(d, _mm512_set1_epi32(1)), hi);
        return;
    }
    /* d + 1 beside d: (d << 16 | d) + (1 << 16) */
    __m512i two = _mm512_add_epi32(_mm512_or_si512(d, _mm512_slli_epi32(d, 16)), _mm512_set1_epi32(0x10000));
    __m512i words;
    if (type == CLM_U8)
        words = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, row));
    else if (type == CLM_I8)
        words = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(there, row));
    else
        words = _mm512_maskz_loadu_epi16(there, row);
    unpack_pairs(type == CLM_I8 || type == CLM_I16, _mm512_permutexvar_epi16(two, words), v);
}

/* voxels i and i + 1 of `from`, one pair at a time; `end`: elements that may be read from there on */
INLINE void from_afar(clm_dtype type, const void *from, __mmask16 m, __m512i i, int32_t end, __m512 v[2]) {
    if (type == CLM_F32) {
        const __m512d zero = _mm512_setzero_pd();
        __m512d lo =
            _mm512_mask_i32gather_pd(zero, (__mmask8)m, _mm512_castsi512_si256(i), from, sizeof(float));
        __m512d hi = _mm512_mask_i32gather_pd(zero, (__mmask8)(m >> 8), _mm512_extracti64x4_epi64(i, 1), from,
                                              sizeof(float));
        const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        v[0] = _mm512_permutex2var_ps(_mm512_castpd_ps(lo), even, _mm512_castpd_ps(hi));
        v[1] = _mm512_permutex2var_ps(_mm512_castpd_ps(lo), odd, _mm512_castpd_ps(hi));
    } else if (type == CLM_U16 || type == CLM_I16) {
        unpack_pairs(type == CLM_I16,
                     _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, i, from, sizeof(uint16_t)), v);
    } else { /* four bytes, of which two are wanted: never beyond the end */
        __m512i at = _mm512_min_epi32(i, _mm512_set1_epi32(end - 4));
        __m512i four = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, at, from, 1);
        four = _mm512_srlv_epi32(four, _mm512_slli_epi32(_mm512_sub_epi32(i, at), 3));
        __m512i next = _mm512_srli_epi32(four, 8);
        if (type == CLM_I8) {
            four = _mm512_srai_epi32(_mm512_slli_epi32(four, 24), 24);
            next = _mm512_srai_epi32(_mm512_slli_epi32(next, 24), 24);
        } else {
            four = _mm512_and_si512(four, _mm512_set1_epi32(0xff));
            next = _mm512_and_si512(next, _mm512_set1_epi32(0xff));
        }
        v[0] = _mm512_cvtepi32_ps(four);
        v[1] = _mm512_cvtepi32_ps(next);
    }
}

/* rounded to nearest even; all values are those of the type */
INLINE void put(clm_dtype type, __m512 r, __mmask16 m, void *out, int k) {
    if (type == CLM_F32)
        _mm512_mask_storeu_ps((float *)out + k, m, r);
    else if (type == CLM_U16 || type == CLM_I16)
        _mm256_mask_storeu_epi16((uint16_t *)out + k, m, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(r)));
    else
        _mm_mask_storeu_epi8((uint8_t *)out + k, m, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(r)));
}

typedef struct cell {
    __m512i row, x; /* offset of the lower corner's row; its voxel in the row */
    __m512 part[3]; /* weight of the upper corners, z y x                     */
} cell;

INLINE __m512 linear16(clm_dtype type, const unsigned char *from, int32_t end, const clm_lane_taps *t,
                       const cell *c, __mmask16 todo) {
    const __m512 one = _mm512_set1_ps(1.0f), tx = c->part[2], ty = c->part[1], tz = c->part[0];
    const __m512 rx = _mm512_sub_ps(one, tx), ry = _mm512_sub_ps(one, ty), rz = _mm512_sub_ps(one, tz);
    const int32_t up = t->last[1] > t->first[1] ? t->step[1] : 0,
                  above = t->last[0] > t->first[0] ? t->step[0] : 0;
    const int32_t edge_at[4] = {0, up, above, above + up};
    const int64_t size = (int64_t)clm_dtype_size(type);
    int64_t begin;
    __mmask32 there;
    __m512i d;
    __m512 edge[4], v[2]; /* along x, at the four edges of the cells */
    if (find_window(c->row, c->x, t, todo, &begin, &there, &d))
        for (int e = 0; e < 4; e++) {
            from_window(type, from + (begin + edge_at[e]) * size, there, d, v);
            edge[e] = _mm512_add_ps(_mm512_mul_ps(rx, v[0]), _mm512_mul_ps(tx, v[1]));
        }
    else
        for (int e = 0; e < 4; e++) {
            __m512i i = _mm512_add_epi32(_mm512_add_epi32(c->row, c->x), _mm512_set1_epi32(edge_at[e]));
            from_afar(type, from, todo, i, end, v);
            edge[e] = _mm512_add_ps(_mm512_mul_ps(rx, v[0]), _mm512_mul_ps(tx, v[1]));
        }
    __m512 low = _mm512_add_ps(_mm512_mul_ps(ry, edge[0]), _mm512_mul_ps(ty, edge[1]));
    __m512 high = _mm512_add_ps(_mm512_mul_ps(ry, edge[2]), _mm512_mul_ps(ty, edge[3]));
    return _mm512_add_ps(_mm512_mul_ps(rz, low), _mm512_mul_ps(tz, high));
}

INLINE int linear(clm_dtype type, const unsigned char *from, int32_t end, const clm_lane_taps *t,
                  const clm_lane *lane, float outside, int n, void *out) {
    float inner_lo[3], inner_hi[3];
    int total = 0;
    for (int c = 0; c < 3; c++) { /* well inside: the next voxel exists, and no clamp changes anything */
        inner_lo[c] = (float)t->first[c];
        inner_hi[c] = (float)(t->last[c] - 1);
    }
    for (int k = 0; k < n; k += VECTOR) {
        __mmask16 tail = first_lanes(n - k);
        __m512 p[3], r = _mm512_set1_ps(outside);
        for (int c = 0; c < 3; c++) p[c] = _mm512_maskz_loadu_ps(tail, lane->p[c] + k);
        __mmask16 in = between(p, t->lo, t->hi, tail);
        if (in) {
            __m512i at[3];
            cell e;
            if (between(p, inner_lo, inner_hi, 0xffff) == 0xffff)
                for (int c = 0; c < 3; c++) split_inner(p[c], &at[c], &e.part[c]);
            else
                for (int c = 0; c < 3; c++) split(p[c], t, c, &at[c], &e.part[c]);
            e.row = _mm512_add_epi32(_mm512_mullo_epi32(at[0], _mm512_set1_epi32(t->step[0])),
                                     _mm512_mullo_epi32(at[1], _mm512_set1_epi32(t->step[1])));
            e.x = at[2];
            r = _mm512_mask_mov_ps(r, in, linear16(type, from, end, t, &e, in));
        }
        total += __builtin_popcount(in);
        put(type, r, tail, out, k);
    }
    return total;
}

#define LINEAR(NAME, TYPE)                                                               \
    WIDE static int NAME(const unsigned char *from, int32_t end, const clm_lane_taps *t, \
                         const clm_lane *lane, float outside, int n, void *out) {        \
        return linear(TYPE, from, end, t, lane, outside, n, out);                        \
    }
LINEAR(linear_f32, CLM_F32)
LINEAR(linear_u8, CLM_U8)
LINEAR(linear_i8, CLM_I8)
LINEAR(linear_u16, CLM_U16)
LINEAR(linear_i16, CLM_I16)

int clm_warp_wide_linear(clm_dtype type, const void *base, int64_t end, const clm_lane_taps *t,
                         const clm_lane *lane, float outside, int n, void *out) {
    const unsigned char *from = (const unsigned char *)base + t->from * (int64_t)clm_dtype_size(type);
    const int32_t left = (int32_t)(end - t->from);
    switch (type) {
    case CLM_U8: return linear_u8(from, left, t, lane, outside, n, out);
    case CLM_I8: return linear_i8(from, left, t, lane, outside, n, out);
    case CLM_U16: return linear_u16(from, left, t, lane, outside, n, out);
    case CLM_I16: return linear_i16(from, left, t, lane, outside, n, out);
    default: return linear_f32(from, left, t, lane, outside, n, out);
    }
}

/* offset of the nearest voxel, halves up, clamped into the volume */
INLINE __m512i nearest16(const __m512 p[3], const clm_lane_taps *t) {
    __m512i at = _mm512_setzero_si512();
    for (int c = 0; c < 3; c++) {
        __m512 q = _mm512_min_ps(_mm512_max_ps(p[c], _mm512_set1_ps(t->lo[c])), _mm512_set1_ps(t->hi[c]));
        q = _mm512_add_ps(q, _mm512_set1_ps(0.5f));
        __m512i i = _mm512_cvttps_epi32(_mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
        i = _mm512_max_epi32(_mm512_min_epi32(i, _mm512_set1_epi32(t->last[c])),
                             _mm512_set1_epi32(t->first[c]));
        at = _mm512_add_epi32(at, _mm512_mullo_epi32(i, _mm512_set1_epi32(t->step[c])));
    }
    return at;
}

/* items of one or two bytes: four bytes are read, never beyond the end */
INLINE __m512i small_items(size_t size, const void *from, int32_t end, __m512i i, __mmask16 m) {
    const int wide = size == 1 ? 4 : 2, bits = size == 1 ? 3 : 4;
    __m512i at = _mm512_min_epi32(i, _mm512_set1_epi32(end - wide));
    __m512i four = size == 1 ? _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, at, from, 1)
                             : _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), m, at, from, 2);
    return _mm512_srlv_epi32(four, _mm512_slli_epi32(_mm512_sub_epi32(i, at), (unsigned)bits));
}

INLINE void items8(const void *from, __m512i at, __mmask16 in, __mmask16 tail, __m512i outside,
                   unsigned char *out) {
    __m512i lo = _mm512_mask_i32gather_epi64(outside, (__mmask8)in, _mm512_castsi512_si256(at), from, 8);
    __m512i hi =
        _mm512_mask_i32gather_epi64(outside, (__mmask8)(in >> 8), _mm512_extracti64x4_epi64(at, 1), from, 8);
    _mm512_mask_storeu_epi64(out, (__mmask8)tail, lo);
    _mm512_mask_storeu_epi64(out + 64, (__mmask8)(tail >> 8), hi);
}

INLINE int nearest(size_t size, const unsigned char *from, int32_t end, const clm_lane_taps *t,
                   const clm_lane *lane, const void *outside, int n, unsigned char *out) {
    uint64_t blank = 0;
    int total = 0;
    memcpy(&blank, outside, size);
    const __m512i blanks = size == 8 ? _mm512_set1_epi64((int64_t)blank) : _mm512_set1_epi32((int32_t)blank);
    for (int k = 0; k < n; k += VECTOR, out += VECTOR * size) {
        __mmask16 tail = first_lanes(n - k);
        __m512 p[3];
        for (int c = 0; c < 3; c++) p[c] = _mm512_maskz_loadu_ps(tail, lane->p[c] + k);
        __mmask16 in = between(p, t->lo, t->hi, tail);
        __m512i at = nearest16(p, t);
        total += __builtin_popcount(in);
        if (size == 8) {
            items8(from, at, in, tail, blanks, out);
            continue;
        }
        __m512i v = size == 4 ? _mm512_mask_i32gather_epi32(blanks, in, at, from, 4)
                              : _mm512_mask_mov_epi32(blanks, in, small_items(size, from, end, at, in));
        if (size == 4)
            _mm512_mask_storeu_epi32(out, tail, v);
        else if (size == 2)
            _mm256_mask_storeu_epi16(out, tail, _mm512_cvtepi32_epi16(v));
        else
            _mm_mask_storeu_epi8(out, tail, _mm512_cvtepi32_epi8(v));
    }
    return total;
}

#define NEAREST(SIZE)                                                                              \
    WIDE static int nearest_##SIZE(const unsigned char *from, int32_t end, const clm_lane_taps *t, \
                                   const clm_lane *lane, const void *outside, int n, void *out) {  \
        return nearest(SIZE, from, end, t, lane, outside, n, out);                                 \
    }
NEAREST(1)
NEAREST(2)
NEAREST(4)
NEAREST(8)

int clm_warp_wide_nearest(size_t size, const void *base, int64_t end, const clm_lane_taps *t,
                          const clm_lane *lane, const void *outside, int n, void *out) {
    const unsigned char *from = (const unsigned char *)base + t->from * (int64_t)size;
    const int32_t left = (int32_t)(end - t->from);
    switch (size) {
    case 1: return nearest_1(from, left, t, lane, outside, n, out);
    case 2: return nearest_2(from, left, t, lane, outside, n, out);
    case 4: return nearest_4(from, left, t, lane, outside, n, out);
    default: return nearest_8(from, left, t, lane, outside, n, out);
    }
}

#else

bool clm_warp_is_wide(const int64_t moving[3]) {
    (void)moving;
    return false;
}

int clm_warp_wide_linear(clm_dtype type, const void *base, int64_t end, const clm_lane_taps *t,
                         const clm_lane *lane, float outside, int n, void *out) {
    (void)type, (void)base, (void)end, (void)t, (void)lane, (void)outside, (void)n, (void)out;
    return 0;
}

int clm_warp_wide_nearest(size_t size, const void *base, int64_t end, const clm_lane_taps *t,
                          const clm_lane *lane, const void *outside, int n, void *out) {
    (void)size, (void)base, (void)end, (void)t, (void)lane, (void)outside, (void)n, (void)out;
    return 0;
}

#endif
