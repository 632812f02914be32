/* Shared by landmarks.c and landmarks_solve.c. */
#ifndef CLM_ALIGN_LANDMARKS_PARTS_H
#define CLM_ALIGN_LANDMARKS_PARTS_H

#include "collimate/align/landmarks.h"

typedef struct clm_landmark_pairs {
    int64_t n;
    const double (*fixed)[3], (*moving)[3];
    const double *weight; /* NULL: 1 */
    double fixed_mean[3], moving_mean[3], scale;
} clm_landmark_pairs;

/** phi of r^2. */
double clm_landmark_kernel(bool planar, double square);
/** Affine and, unless lambda < 0, spline: sets affine, c (allocated [n]) and left_out_um. */
CLM_MUST bool clm_landmark_solve(const clm_work *w, const clm_landmark_pairs *x, double lambda,
                                 clm_landmark_fit *f, clm_err *err);

#endif
