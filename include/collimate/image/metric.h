/* How alike two volumes on one grid are, in one number: correlation, mean squares, mutual information.
 * All are sums that blocks can make alone and that are then merged in a fixed order. A voxel counts
 * when both volumes are finite there: outside and masked voxels are NaN. Locally: lncc.h. */
#ifndef CLM_IMAGE_METRIC_H
#define CLM_IMAGE_METRIC_H

#include "collimate/core/vol.h"

/** Moments of the joint distribution of values. Zero-initialise. About the means, so that neither a large
 *  offset nor many merges cancel digits. */
typedef struct clm_ncc {
    double n;      /* voxels counted                            */
    double f, m;   /* means                                     */
    double ff, mm; /* sums of squares about the means           */
    double fm;     /* sum of products about the means           */
} clm_ncc;

/** Add every voxel of two volumes of one shape; no halo. Same bytes on every machine.
 *  Errors   CLM_E_ARG shapes differ */
CLM_MUST bool clm_ncc_add(clm_ncc *s, const clm_vol *fixed, const clm_vol *moving, clm_err *err);
/** *into becomes the moments of both parts. Source: Chan, Golub, LeVeque, Am. Stat. 37 (1983), eq. 2.1. */
void clm_ncc_merge(clm_ncc *into, const clm_ncc *part);
/** Pearson correlation; NaN without at least two voxels and two values in each volume. */
double clm_ncc_value(const clm_ncc *s);
/** Mean of (fixed - moving)^2; NaN without voxels. */
double clm_ncc_mean_square(const clm_ncc *s);

#define CLM_MI_BINS 64

/** A joint histogram, linear between the middles of its bins: a rounding of the values shows as a rounding of the figures,
 *  where a bin with hard edges makes a jump of it. */
typedef struct clm_mi {
    double lo[2], hi[2]; /* range of values of fixed and moving; beyond, the outermost bin */
    int64_t n;
    double joint[CLM_MI_BINS][CLM_MI_BINS]; /* fixed, moving */
} clm_mi;

/** Empty, with its ranges: usually the .001 and .999 quantiles of the volumes. CLM_E_ARG when hi <= lo. */
CLM_MUST bool clm_mi_make(const double lo[2], const double hi[2], clm_mi *out, clm_err *err);
/** Add every voxel of two volumes of one shape; no halo. CLM_E_ARG when shapes differ.
 *  A value v stands at u = 64 ((v - lo) / (hi - lo)) - 1/2, clamped to 0 .. 63, in double: bin floor(u) takes
 *  1 - u + floor(u) of it and the next one the rest; a voxel counts in four pairs of bins by the products.
 *  Source   Thevenaz, Unser, IEEE Trans. Image Process. 9 (2000), Parzen windows, here B-splines of degree 1. */
CLM_MUST bool clm_mi_add(clm_mi *s, const clm_vol *fixed, const clm_vol *moving, clm_err *err);
/** CLM_E_ARG when the ranges differ. */
CLM_MUST bool clm_mi_merge(clm_mi *into, const clm_mi *part, clm_err *err);
/** Mutual information, nats: sum p(f,m) log(p(f,m) / p(f) p(m)); NaN without voxels. */
double clm_mi_value(const clm_mi *s);
/** (H(f) + H(m)) / H(f,m): 1 when independent, at most 2, when each bin determines the other; NaN without voxels. */
double clm_mi_normalised(const clm_mi *s);

#endif
