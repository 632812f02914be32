/* The dense linear algebra we need; products over BLAS (single-threaded; the only room of cblas). */
#ifndef CLM_CORE_LINALG_H
#define CLM_CORE_LINALG_H

#include "collimate/base/err.h"

#include <stdint.h>

/** Process-wide, once at start: one BLAS thread a caller, so that ranks and tasks do not fight. */
void clm_linalg_setup(void);

/** Solve A x = b for a symmetric positive definite A [n][n] (lower triangle read; overwritten), b [n]
 *  overwritten by x. The same bytes on every machine.
 *  Errors CLM_E_NUMERIC not positive definite, or not finite; a and b are then undefined. */
CLM_MUST bool clm_solve_spd(int n, double *a, double *b, clm_err *err);
/** Its two steps. A = L L', L over the lower triangle of a; then L L' x = b for any b. */
CLM_MUST bool clm_factor_spd(int n, double *a, clm_err *err);
void clm_solve_factored(int n, const double *l, double *b);

#define CLM_SOLVE_MAX 8
/** Solve A x = b for any regular A [n][n], n <= CLM_SOLVE_MAX; b [n] is overwritten by x. The same bytes on every
 *  machine. False, b undefined: singular (with rows and columns brought to the same size, a pivot below 1e-13). */
bool clm_solve_small(int n, const double *a, double *b);

/** C [m][n] = A [m][k] * B [n][k]^T, float32, row-major: all pairs of dot products. The last bits depend on the
 *  processor (BLAS picks its kernel at run time): decide nothing by them that must be the same everywhere. */
void clm_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c);

#endif
