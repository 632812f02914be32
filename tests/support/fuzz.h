/* Fuzz targets: tests/fuzz/NAME.c defines both functions. With gcc a driver feeds them mutated seeds, the same
 * ones each time, as an ordinary test; with clang and -DCLM_FUZZ=ON libFuzzer explores for as long as it is let. */
#ifndef CLM_TESTS_FUZZ_H
#define CLM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Must neither crash nor break its own assertions, whatever the bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/** The k-th good input, into buf; its length, or 0 when there are no more. */
size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap);

/** In targets: a property that holds for any bytes. */
#define FUZZ_ASSERT(x) ((x) ? (void)0 : __builtin_trap())

/** In targets: what is left of the input. */
typedef struct fuzz_input {
    const uint8_t *p;
    size_t n;
} fuzz_input;

/** The next byte; 0 when none is left. */
static inline unsigned fuzz_take(fuzz_input *in) {
    if (!in->n) return 0;
    in->n--;
    return *in->p++;
}

/** The next bytes, zeros where the input ends; how many there were. */
static inline size_t fuzz_take_bytes(fuzz_input *in, void *out, size_t bytes) {
    size_t n = in->n < bytes ? in->n : bytes;
    memset(out, 0, bytes);
    if (n) memcpy(out, in->p, n);
    in->p += n;
    in->n -= n;
    return n;
}

#endif
