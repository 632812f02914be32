/* What cmocka lacks: doubles, fallible calls. Include this instead of cmocka.h. */
#ifndef CLM_TESTS_NEAR_H
#define CLM_TESTS_NEAR_H

#include "collimate/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

void clm_test_near(double got, double want, double tol, const char *what, const char *file, int line);
void clm_test_near_n(const float *got, const float *want, int64_t n, double tol, const char *file, int line);
void clm_test_ok(bool ok, const clm_err *err, const char *what, const char *file, int line);
void clm_test_fails(bool ok, clm_code want, const clm_err *err, const char *what, const char *file, int line);

/** |got - want| <= tol */
#define assert_near(got, want, tol) clm_test_near((got), (want), (tol), #got, __FILE__, __LINE__)
#define assert_near_n(got, want, n, tol) clm_test_near_n((got), (want), (n), (tol), __FILE__, __LINE__)
/** The call must succeed; `err` is the clm_err variable it was given. Prints its text if not. */
#define assert_ok(call, err) clm_test_ok((call), &(err), #call, __FILE__, __LINE__)
/** The call must fail with this code. */
#define assert_fails(code, call, err) clm_test_fails((call), (code), &(err), #call, __FILE__, __LINE__)

#endif
