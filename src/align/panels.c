#include "panels.h"
#include "collimate/base/simd.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define BYTES __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
bool clm_panel_has_bytes(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#else
#define BYTES
bool clm_panel_has_bytes(void) { return false; }
#endif

/* plain C twice, for the compiler to find the processor's instructions for words and for bytes */
#define SIXTEEN(type_a, type_b)                                         \
    for (int i = 0; i < CLM_PANEL; i++) {                               \
        const type_a *r = a + (int64_t)i * dim;                         \
        const type_b *b1 = b + dim, *b2 = b1 + dim, *b3 = b2 + dim;     \
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;                         \
        for (int32_t k = 0; k < dim; k++) {                             \
            s0 += r[k] * b[k];                                          \
            s1 += r[k] * b1[k];                                         \
            s2 += r[k] * b2[k];                                         \
            s3 += r[k] * b3[k];                                         \
        }                                                               \
        out[i][0] = s0, out[i][1] = s1, out[i][2] = s2, out[i][3] = s3; \
    }

CLM_CLONES void clm_panel_words(const int16_t *restrict a, const int16_t *restrict b, int32_t dim,
                                int32_t out[CLM_PANEL][CLM_PANEL]){SIXTEEN(int16_t, int16_t)}

BYTES void clm_panel_bytes(const uint8_t *restrict a, const int8_t *restrict b, int32_t dim,
                           int32_t out[CLM_PANEL][CLM_PANEL]) {
    SIXTEEN(uint8_t, int8_t)
}
