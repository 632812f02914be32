/* One function compiled for several instruction sets, chosen at load time. Contraction is off, so every
 * clone of a loop over independent elements or of integers gives the same bytes. */
#ifndef CLM_BASE_SIMD_H
#define CLM_BASE_SIMD_H

/* Sanitizer runtimes are not up yet when the loader asks for a clone: they get the plain body. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLM_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLM_CLONES
#endif

#endif
