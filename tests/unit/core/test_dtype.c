#include "collimate/base/rng.h"
#include "collimate/core/dtype.h"
#include "support/near.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* one element of an integer type, widened: exact for all but the top of uint64, which is compared as such */
static int64_t element(clm_dtype t, const void *data, int64_t i) {
    switch (t) {
    case CLM_U8: return ((const uint8_t *)data)[i];
    case CLM_U16: return ((const uint16_t *)data)[i];
    case CLM_U32: return ((const uint32_t *)data)[i];
    case CLM_U64: return (int64_t)((const uint64_t *)data)[i];
    case CLM_I8: return ((const int8_t *)data)[i];
    case CLM_I16: return ((const int16_t *)data)[i];
    case CLM_I32: return ((const int32_t *)data)[i];
    default: return ((const int64_t *)data)[i];
    }
}

/* what the header promises, said slowly */
static int64_t reference(clm_dtype t, float x) {
    if (isnan(x)) return 0;
    double lo, hi, r = nearbyint((double)x);
    clm_dtype_range(t, &lo, &hi);
    r = fmin(fmax(r, lo), hi);
    return t == CLM_U64 ? (int64_t)(uint64_t)r : (int64_t)r;
}

static void names_and_sizes(void **state) {
    (void)state;
    for (int i = 0; i < CLM_DTYPE_COUNT; i++) {
        clm_dtype t = CLM_DTYPE_COUNT;
        assert_true(clm_dtype_named(clm_dtype_name((clm_dtype)i), &t));
        assert_int_equal(t, i);
        assert_true(clm_dtype_size(t) > 0);
        assert_true(clm_dtype_is_real(t) || !clm_dtype_is_integer(t));
        const char *digits = strpbrk(clm_dtype_name(t), "0123456789");
        if (!digits) continue; /* bool */
        int64_t bits = 0;
        for (; *digits; digits++) bits = bits * 10 + (*digits - '0');
        assert_int_equal(clm_dtype_size(t) * 8, bits);
    }
    clm_dtype t = CLM_U8;
    assert_false(clm_dtype_named("uint24", &t));
    assert_false(clm_dtype_named("", &t));
    assert_int_equal(t, CLM_U8);
}

static void rounds_to_even_clamps_and_knows_no_nan(void **state) {
    (void)state;
    static float src[5000];
    static uint64_t dst[5000];
    int n = 0;
    static const float hard[] = {
        0.0f,          -0.0f,         0.5f,        1.5f,          2.5f,          -0.5f,         -1.5f,
        0.49999997f,   254.5f,        255.5f,      65534.5f,      65535.5f,      -128.5f,       -129.0f,
        32767.5f,      8388607.5f,    16777216.0f, 2147483520.0f, 2147483648.0f, 4294967296.0f, 1e18f,
        9.2233720e18f, 1.8446744e19f, 1e30f,       -1e30f,        1e-30f,        INFINITY,      -INFINITY,
        NAN,           -NAN,          FLT_MAX,     -FLT_MAX};
    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++) src[n++] = hard[i];
    for (uint64_t i = 0; n < 5000; i++, n++) {
        double scale = pow(10.0, 22.0 * clm_rng_uniform(1, 1, i) - 2.0);
        src[n] = (float)(scale * clm_rng_normal(1, 2, i));
        if (i % 3 == 0) src[n] = floorf(fmodf(src[n], 70000.0f)) + 0.5f; /* ties */
    }
    for (int t = 0; t < CLM_DTYPE_COUNT; t++) {
        if (!clm_dtype_is_integer((clm_dtype)t)) continue;
        for (int from = 0; from < 5; from++) { /* vector code has heads and tails */
            clm_dtype_from_f32((clm_dtype)t, src + from, dst, n - from);
            for (int i = from; i < n; i++) {
                int64_t got = element((clm_dtype)t, dst, i - from), want = reference((clm_dtype)t, src[i]);
                if (got != want)
                    fail_msg("%s of %.9g: %lld, want %lld", clm_dtype_name((clm_dtype)t), (double)src[i],
                             (long long)got, (long long)want);
            }
        }
    }
}

static void whole_numbers_survive_the_round_trip(void **state) {
    (void)state;
    static uint16_t all[65536], back[65536];
    static float f[65536];
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    static const clm_dtype small[] = {CLM_U8, CLM_I8, CLM_U16, CLM_I16};
    for (int k = 0; k < 4; k++) {
        int64_t n = 65536 * 2 / (int64_t)clm_dtype_size(small[k]);
        if (n > 65536) n = 65536;
        memset(back, 0xee, sizeof back);
        clm_dtype_to_f32(small[k], all, f, n);
        for (int64_t i = 0; i < n; i++) assert_true((double)f[i] == (double)element(small[k], all, i));
        clm_dtype_from_f32(small[k], f, back, n);
        assert_memory_equal(all, back, (size_t)n * clm_dtype_size(small[k]));
    }
}

static void floats_pass_unchanged(void **state) {
    (void)state;
    float src[64], back[64];
    double wide[64];
    for (uint64_t i = 0; i < 64; i++) src[i] = (float)(1e6 * clm_rng_normal(2, 2, i));
    src[3] = INFINITY;
    clm_dtype_from_f32(CLM_F64, src, wide, 64);
    clm_dtype_to_f32(CLM_F64, wide, back, 64);
    assert_memory_equal(src, back, sizeof src);
    memset(back, 0, sizeof back);
    clm_dtype_from_f32(CLM_F32, src, back, 64);
    assert_memory_equal(src, back, sizeof src);
    clm_dtype_to_f32(CLM_F32, back, src, 0); /* nothing is fine */
}

static void swapping_reverses_each_element(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 4, 8, 16};
    for (int k = 0; k < 5; k++)
        for (int64_t n = 0; n < 40; n++) {
            unsigned char b[16 * 40 + 1], was[16 * 40 + 1];
            for (size_t i = 0; i < sizeof b; i++) b[i] = was[i] = (unsigned char)(i * 7);
            clm_swap_bytes(b + 1, sizes[k], n); /* unaligned */
            for (int64_t i = 0; i < n; i++)
                for (size_t j = 0; j < sizes[k]; j++) {
                    size_t base = 1 + (size_t)i * sizes[k];
                    assert_int_equal(b[base + j], was[base + sizes[k] - 1 - j]);
                }
            for (size_t i = 1 + (size_t)n * sizes[k]; i < sizeof b; i++) assert_int_equal(b[i], was[i]);
        }
}

/* a chunk's first element may stand at any byte of its file */
static void any_address(void **state) {
    (void)state;
    unsigned char bytes[9 * 16];
    for (int t = 0; t < CLM_DTYPE_COUNT; t++) {
        clm_dtype type = (clm_dtype)t;
        double want[8], got[8];
        float single[8];
        size_t size = clm_dtype_size(type);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(i / size + (i % size + 1 == size ? 60 : 0));
        clm_dtype_to_f64(type, bytes, want, 8);
        memmove(bytes + 1, bytes, 8 * size);
        clm_dtype_to_f64(type, bytes + 1, got, 8);
        assert_memory_equal(got, want, sizeof got);
        clm_dtype_to_f32(type, bytes + 1, single, 8);
        for (int i = 0; clm_dtype_is_real(type) && i < 8; i++) assert_true(single[i] == (float)want[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_sizes),
                                       cmocka_unit_test(rounds_to_even_clamps_and_knows_no_nan),
                                       cmocka_unit_test(whole_numbers_survive_the_round_trip),
                                       cmocka_unit_test(floats_pass_unchanged),
                                       cmocka_unit_test(swapping_reverses_each_element),
                                       cmocka_unit_test(any_address)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
