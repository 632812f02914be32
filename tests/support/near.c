#include "support/near.h"

#include <math.h>
#include <stdlib.h>

/* CLM_TEST_FILTER='the_inverse*' runs only the tests of that name. */
__attribute__((constructor)) static void filter_tests(void) {
    const char *pattern = getenv("CLM_TEST_FILTER");
    if (pattern) cmocka_set_test_filter(pattern);
}

void clm_test_near(double got, double want, double tol, const char *what, const char *file, int line) {
    if (fabs(got - want) <= tol) return;
    print_error("%s: got %.9g, want %.9g, off by %.3g > %.3g\n", what, got, want, fabs(got - want), tol);
    _fail(file, line);
}

void clm_test_near_n(const float *got, const float *want, int64_t n, double tol, const char *file, int line) {
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (d <= tol) continue;
        print_error("at %lld: got %.9g, want %.9g, off by %.3g > %.3g\n", (long long)i, (double)got[i],
                    (double)want[i], d, tol);
        _fail(file, line);
    }
}

void clm_test_ok(bool ok, const clm_err *err, const char *what, const char *file, int line) {
    if (ok) return;
    print_error("%s\n  failed: %s [%s] (%s)\n", what, err->text, clm_code_name(err->code), err->where);
    _fail(file, line);
}

void clm_test_fails(bool ok, clm_code want, const clm_err *err, const char *what, const char *file,
                    int line) {
    if (!ok && err->code == want) return;
    if (ok)
        print_error("%s\n  succeeded, should fail with %s\n", what, clm_code_name(want));
    else
        print_error("%s\n  failed with %s (%s), should be %s\n", what, clm_code_name(err->code), err->text,
                    clm_code_name(want));
    _fail(file, line);
}
