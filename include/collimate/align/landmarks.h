/* A transform from pairs of landmarks that a person placed: every pair counts, none is taken for wrong (for that see
 * ransac.h). World micrometres, z y x, fixed -> moving. */
#ifndef CLM_ALIGN_LANDMARKS_H
#define CLM_ALIGN_LANDMARKS_H

#include "collimate/align/pose.h"
#include "collimate/base/work.h"

/** What is fitted: a clm_model, or one more. */
#define CLM_LANDMARKS_TPS CLM_MODEL_COUNT

typedef struct clm_landmark_fit_params {
    int model; /* clm_model or CLM_LANDMARKS_TPS */
    double
        smoothing; /* tps: lambda >= 0; 0 leads through all points. Lengths are over the rms distance of the fixed
                         points from their mean, so it does not depend on units */
    bool planar; /* both sides lie in a plane of constant z: y and x are fitted, z is carried along */
} clm_landmark_fit_params;

/** y = affine(x) + sum_j c[j] phi(|x - at[j]| / scale), phi(r) = -r; planar: r^2 log r. */
typedef struct clm_landmark_fit {
    clm_affine affine;
    int64_t n; /* of the spline; 0: affine alone */
    const double (*at)[3];
    double (*c)[3];
    double scale;
    bool planar;
    double spread[3];    /* rms extents of the fixed points along their principal axes, largest first */
    int64_t n_left_out;  /* pairs that left_out_um is known of or looked for: all, or evenly spaced ones */
    double *residual_um; /* [pairs] |T(fixed) - moving| */
    double *
        left_out_um; /* [pairs] the same by the fit without this pair; NAN: that has no answer, or not looked for */
} clm_landmark_fit;

const char *clm_landmark_model_name(int model);

/** Least squares (tps: with the bending energy times smoothing).
 *  fixed, moving  [n]; fixed is borrowed as long as the fit
 *  weight         [n] > 0, or NULL
 *  left_out_um    tps and affine: in closed form, exact; others: by fitting again
 *  Errors  CLM_E_NODATA too few pairs; CLM_E_NUMERIC on a line, in a plane (with figures), two fixed points the same;
 *          CLM_E_BUDGET more pairs than memory holds; CLM_E_ARG planar, and z is not constant
 *  Memory  keep: 5 doubles a pair; temp: tps n^2 doubles
 *  Source  rigid and others: pose.h. Spline: G. Wahba, Spline Models for Observational Data, SIAM 1990, 2.4 (solved in
 *          the space orthogonal to the affine maps), leaving-out 4.2 */
CLM_MUST bool clm_landmark_fit_find(const clm_work *w, const clm_landmark_fit_params *p, int64_t n,
                                    const double (*fixed)[3], const double (*moving)[3], const double *weight,
                                    clm_landmark_fit *out, clm_err *err);
/** T(x). */
void clm_landmark_fit_apply(const clm_landmark_fit *f, const double x[3], double y[3]);

#endif
