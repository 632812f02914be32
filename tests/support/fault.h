/* All-k loops over planted failures: whatever call fails, the code under test must say so and leave
 * nothing behind. Only where base/fault.h has points (builds with CLM_FAULTS). */
#ifndef CLM_TESTS_FAULT_H
#define CLM_TESTS_FAULT_H

#include "collimate/base/fault.h"
#include "support/near.h"

#ifdef CLM_FAULTS
/** What is tried: true or false with err, as every fallible function. */
typedef bool (*clm_test_try)(void *ctx, clm_err *err);

/** Try with the first, second, ... passage of `point` failing ("arena", "write", ...), until a try gets by
 *  without meeting the fault; that one must succeed. A try that met it must fail with `code`. `after`, which
 *  may be NULL, is called after each try to check what is left. Returns how many tries met the fault, so that
 *  a test can assert that there was something to meet. */
int64_t clm_test_every_fault(const char *point, const char *error, clm_code code, clm_test_try attempt,
                             void (*after)(void *ctx, bool ok), void *ctx);
#endif

#endif
