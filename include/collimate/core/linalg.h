/* The dense linear algebra we need, over BLAS and LAPACK (single-threaded; the only room of cblas). */
#ifndef CLM_CORE_LINALG_H
#define CLM_CORE_LINALG_H

#include "collimate/base/err.h"

#include <stdint.h>

/** Process-wide, once at start: one BLAS thread a caller, so that ranks and tasks do not fight. */
void clm_linalg_setup(void);

/** Solve A x = b for a symmetric positive definite A [n][n] (lower triangle read; overwritten), b [n]
 *  overwritten by x. CLM_E_NUMERIC when not positive definite. */
CLM_MUST bool clm_solve_spd(int n, double *a, double *b, clm_err *err);

/** C [m][n] = A [m][k] * B [n][k]^T, float32, row-major: all pairs of dot products. */
void clm_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c);

#endif
