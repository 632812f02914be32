/* Parts of the way of an affine map: R with R o R o ... o R = A. */
#ifndef CLM_CORE_AFFINE_ROOT_H
#define CLM_CORE_AFFINE_ROOT_H

#include "collimate/core/affine.h"

/** The principal n-th root, n >= 1: the one that turns and stretches least. R applied n times is A to about 1e-14 of
 *  its entries. Deterministic.
 *  Errors  CLM_E_NUMERIC A is singular, mirrors, or turns by 180 degrees (eigenvalues that are negative or zero):
 *          there is no real root, or none that is nearer than another
 *  Source  N. J. Higham, Functions of Matrices, 2008: logarithm by inverse scaling and squaring (11.5), square roots
 *          by Denman and Beavers' iteration (6.3), exponential by scaling and squaring (10.3) */
CLM_MUST bool clm_affine_root(const clm_affine *a, int n, clm_affine *out, clm_err *err);

#endif
