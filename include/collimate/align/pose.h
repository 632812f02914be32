/* The affine, similarity, rigid motion or translation that best takes points p to points q: weighted least
 * squares in closed form. Not robust: see ransac.h. */
#ifndef CLM_ALIGN_POSE_H
#define CLM_ALIGN_POSE_H

#include "collimate/core/affine.h"

#include <stdint.h>

typedef enum clm_model {
    CLM_MODEL_TRANSLATION,
    CLM_MODEL_RIGID,
    CLM_MODEL_SIMILARITY,
    CLM_MODEL_AFFINE,
    CLM_MODEL_COUNT
} clm_model;

const char *clm_model_name(clm_model m);
/** Pairs that determine it: 1, 3, 3, 4. */
int clm_model_pairs(clm_model m);

/** Least squares fit of q = A(p).
 *
 *  p, q    [n] points, any unit
 *  weight  [n] >= 0, or NULL for 1
 *  spread  [3] root mean square extent of the weighted p along their principal axes, largest first; may
 *          be NULL. An affine is determined across axes whose spread is well above the error of q
 *  Errors  CLM_E_NUMERIC the points do not determine the model (n too small, in a plane, on a line)
 *  Source  similarity and rigid: B. K. P. Horn, Closed-form solution of absolute orientation using unit
 *          quaternions, J. Opt. Soc. Am. A 4(4), 1987, section 4; scale as in S. Umeyama, IEEE PAMI 13(4), 1991.
 */
CLM_MUST bool clm_pose_fit(clm_model m, int64_t n, const double (*p)[3], const double (*q)[3],
                           const double *weight, clm_affine *out, double spread[3], clm_err *err);

#endif
