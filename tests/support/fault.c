#include "support/fault.h"

#include <stdio.h>

#ifdef CLM_FAULTS

int64_t clm_test_every_fault(const char *point, const char *error, clm_code code, clm_test_try attempt,
                             void (*after)(void *ctx, bool ok), void *ctx) {
    for (int64_t k = 1;; k++) {
        char spec[64];
        (void)snprintf(spec, sizeof spec, "%s:%lld:%s", point, (long long)k, error);
        assert_true(clm_fault_arm(spec));
        clm_err err = CLM_ERR_NONE;
        bool ok = attempt(ctx, &err);
        bool met = clm_fault_count() >= k;
        assert_true(clm_fault_arm(NULL));
        if (met && ok) fail_msg("%s: succeeds all the same", spec);
        if (met && err.code != code) fail_msg("%s: %s, want %s", spec, err.text, clm_code_name(code));
        if (!met) assert_ok(ok, err);
        if (after) after(ctx, ok);
        if (!met) return k - 1;
    }
}

#endif
