/* CLM_SIMD: compile a hot loop twice, for baseline x86-64 and for AVX2, chosen at load time. Only
 * vector width differs: contraction to FMA stays off, so both give the same bytes. Sanitizers cannot
 * instrument load-time resolvers, so there it means nothing. */
#ifndef CLM_IMAGE_SIMD_H
#define CLM_IMAGE_SIMD_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLM_SIMD __attribute__((target_clones("default", "avx2")))
#else
#define CLM_SIMD
#endif

#endif
