#include "collimate/base/rng.h"

#include <math.h>

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t clm_rng_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
    return mix(mix(mix(seed) ^ stream) ^ counter);
}

double clm_rng_uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
    return (double)(clm_rng_bits(seed, stream, counter) >> 11) * 0x1p-53;
}

int64_t clm_rng_below(uint64_t seed, uint64_t stream, uint64_t counter, int64_t n) {
    __extension__ typedef unsigned __int128 u128;
    return (int64_t)(((u128)clm_rng_bits(seed, stream, counter) * (u128)n) >> 64);
}

double clm_rng_normal(uint64_t seed, uint64_t stream, uint64_t counter) {
    double u = 1.0 - clm_rng_uniform(seed, stream, 2 * counter);
    double v = clm_rng_uniform(seed, stream, 2 * counter + 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
