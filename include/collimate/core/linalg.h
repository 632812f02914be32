/* The dense linear algebra we need: small systems, the same bytes on every machine. */
#ifndef CLM_CORE_LINALG_H
#define CLM_CORE_LINALG_H

#include "collimate/base/err.h"

#include <stdint.h>

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

#endif
