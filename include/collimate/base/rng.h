/* Counter-based random numbers: a pure function of (seed, stream, counter). No state, so the
 * same numbers come out for any order, rank or thread. */
#ifndef CLM_BASE_RNG_H
#define CLM_BASE_RNG_H

#include <stdint.h>

/** 64 random bits. Source: two rounds of the SplitMix64 finaliser (Steele, Lea, Flood 2014) over
 *  the three keys; enough for sampling, not for secrets. */
uint64_t clm_rng_bits(uint64_t seed, uint64_t stream, uint64_t counter);
/** Uniform in [0, 1). */
double clm_rng_uniform(uint64_t seed, uint64_t stream, uint64_t counter);
/** Uniform integer in [0, n), n > 0; bias below 2^-32 for n < 2^32. */
int64_t clm_rng_below(uint64_t seed, uint64_t stream, uint64_t counter, int64_t n);
/** Standard normal; uses counters 2*counter and 2*counter+1 of the stream. */
double clm_rng_normal(uint64_t seed, uint64_t stream, uint64_t counter);
/** A new seed from a seed and a key. */
static inline uint64_t clm_rng_mix(uint64_t seed, uint64_t key) {
    return clm_rng_bits(seed, key, 0x636f6c6cu);
}

#endif
