/* The transform on which the most matches agree, and which matches those are. Where they cannot carry the
 * model asked for (too few, in a plane, stretched beyond belief) a simpler one is tried. */
#ifndef CLM_ALIGN_RANSAC_H
#define CLM_ALIGN_RANSAC_H

#include "collimate/align/pose.h"
#include "collimate/base/work.h"

typedef struct clm_ransac_params {
    clm_model model;     /* the most general one to try                                            */
    clm_model model_min; /* the simplest one to fall back to                                       */
    double max_error_um; /* a match agrees when |A p - q| is below this                            */
    double confidence;   /* stop when a better consensus has been missed with less than 1 - this   */
    int64_t max_trials;  /* samples drawn a model at most                                          */
    int64_t min_inliers; /* fewer are no consensus                                                 */
    double gate_um;      /* matches were sought within this of a prior: by chance some agree; 0: anywhere */
    double min_share;    /* nor is a smaller share of the matches; 0 to 1                          */
    double min_stretch;  /* bounds on the singular values of the linear part                       */
    double max_stretch;
} clm_ransac_params;
#define CLM_RANSAC_DEFAULTS                         \
    ((clm_ransac_params){.model = CLM_MODEL_AFFINE, \
                         .max_error_um = 10,        \
                         .confidence = 0.999,       \
                         .max_trials = 100000,      \
                         .min_inliers = 12,         \
                         .min_stretch = 0.7,        \
                         .max_stretch = 1.4})

typedef struct clm_ransac_fit {
    clm_affine affine;   /* takes p to q; robust least squares over the inliers  */
    clm_model model;     /* what it is                                           */
    int64_t inliers;     /* matches that agree with it                           */
    double rms_um;       /* of their residuals                                   */
    double spread_um[3]; /* extent of the inliers' p, principal axes             */
    int64_t trials;      /* samples drawn, all models                            */
    uint8_t *agrees;     /* [n] 1 or 0, in w->keep                               */
} clm_ransac_fit;

/** Matches that must agree: min_inliers, min_share of n, and with a gate more than wrong matches, spread evenly
 *  over it, would bring together for the luckiest model: 2 c + 4 sqrt(c) + 12, c = n (max_error / gate)^3,
 *  but never more than 12 or .8 n for that reason. */
int64_t clm_ransac_least(const clm_ransac_params *p, int64_t n);

/** Fit a transform to matches of which most may be wrong.
 *
 *  p, q     [n] matched points, world um: q should be A(p)
 *  The same input and w->seed give the same bytes; other seeds give the same consensus unless matches are
 *  too few or too wrong for the confidence asked.
 *  Errors   CLM_E_NODATA  no model passed: the text tells each model's inliers and what it lacked
 *           CLM_E_ARG     parameters out of range
 *           CLM_E_BUDGET
 *           out is untouched
 *  Memory   keep: n bytes; temp: 80 bytes a match
 *  Source   M. Fischler, R. Bolles, Random sample consensus, CACM 24(6), 1981; cost: P. Torr, A. Zisserman,
 *           MLESAC, CVIU 78, 2000 (truncated squares); O. Chum, J. Matas, J. Kittler, Locally optimized
 *           RANSAC, DAGM 2003. Peer: bigstream stops after 1000 samples and returns the best sample's own
 *           model; here every record is refitted, and the answer is a robust fit to all that agree.
 */
CLM_MUST bool clm_ransac_affine(const clm_work *w, int64_t n, const double (*p)[3], const double (*q)[3],
                                const clm_ransac_params *params, clm_ransac_fit *out, clm_err *err);

#endif
