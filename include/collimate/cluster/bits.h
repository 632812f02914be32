/* One bit a task: what a stage of 10^8 tasks costs the master is 12.5 MB. */
#ifndef CLM_CLUSTER_BITS_H
#define CLM_CLUSTER_BITS_H

#include "collimate/base/heap.h"

typedef struct clm_bits {
    uint64_t *word;
    int64_t n;
} clm_bits;

CLM_MUST static inline bool clm_bits_open(clm_bits *b, int64_t n, clm_err *err) {
    b->word = clm_heap_new((size_t)(n / 64 + 1), sizeof(uint64_t), err);
    b->n = b->word ? n : 0;
    return b->word != NULL;
}

static inline void clm_bits_close(clm_bits *b) {
    clm_heap_free(b->word);
    *b = (clm_bits){0};
}

static inline bool clm_bits_has(const clm_bits *b, int64_t i) { return b->word[i >> 6] >> (i & 63) & 1; }
static inline void clm_bits_set(clm_bits *b, int64_t i) { b->word[i >> 6] |= UINT64_C(1) << (i & 63); }

/** Are all of [lo, hi) set? */
static inline bool clm_bits_all(const clm_bits *b, int64_t lo, int64_t hi) {
    while (lo < hi && (lo & 63))
        if (!clm_bits_has(b, lo++)) return false;
    for (; lo + 64 <= hi; lo += 64)
        if (~b->word[lo >> 6]) return false;
    while (lo < hi)
        if (!clm_bits_has(b, lo++)) return false;
    return true;
}

/** The first clear bit at or after lo; n when there is none. */
static inline int64_t clm_bits_next_clear(const clm_bits *b, int64_t lo) {
    while (lo < b->n) {
        uint64_t clear = ~b->word[lo >> 6] >> (lo & 63);
        if (clear) {
            lo += __builtin_ctzll(clear);
            return lo < b->n ? lo : b->n;
        }
        lo = (lo | 63) + 1;
    }
    return b->n;
}

#endif
