/* Fuzz targets: tests/fuzz/NAME.c defines both functions. With gcc a driver feeds them mutated seeds, the same
 * ones each time, as an ordinary test; with clang and -DCLM_FUZZ=ON libFuzzer explores for as long as it is let. */
#ifndef CLM_TESTS_FUZZ_H
#define CLM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/** Must neither crash nor break its own assertions, whatever the bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/** The k-th good input, into buf; its length, or 0 when there are no more. */
size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap);

/** In targets: a property that holds for any bytes. */
#define FUZZ_ASSERT(x) ((x) ? (void)0 : __builtin_trap())

#endif
