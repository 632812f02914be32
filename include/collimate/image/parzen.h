/* Mutual information as something to climb: a joint histogram that is smooth in the moving values, its value
 * and its slope by every voxel. For measuring alone, with counts that merge, see clm_mi in metric.h. */
#ifndef CLM_IMAGE_PARZEN_H
#define CLM_IMAGE_PARZEN_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

#define CLM_PARZEN_BINS 32 /* of each range                                             */
#define CLM_PARZEN_SPAN 35 /* bins that values of the moving range reach: three more     */

typedef struct clm_parzen {
    float lo[2], per[2]; /* of fixed and moving: where the range begins, bins a unit       */
    double n;            /* voxels counted                                                 */
    double value;        /* after clm_parzen_settle: mutual information, nats              */
    double curvature;    /* mean square of the slope: Fisher's information, the Gauss-Newton curvature of
                            n * value by one moving value                                  */
    double joint[CLM_PARZEN_BINS][CLM_PARZEN_SPAN];
    float slope[CLM_PARZEN_BINS][CLM_PARZEN_BINS][4]; /* coefficients within a bin; the last unused */
} clm_parzen;

/** The range that holds all but a thousandth of the finite values (v - shift) * scale at either end.
 *  Errors CLM_E_NODATA fewer than two values, CLM_E_BUDGET. Memory temp: 4 MiB */
CLM_MUST bool clm_parzen_range(const clm_work *w, const clm_vol *v, double shift, double scale,
                               double range[2], clm_err *err);
/** Empty, for values in these ranges; what lies beyond one counts at its end. */
void clm_parzen_begin(clm_parzen *p, const double fixed[2], const double moving[2]);
/** Count n pairs; those with skip > 0 are left out. Same bytes on every machine. */
void clm_parzen_add(clm_parzen *p, const float *fixed, const float *moving, const float *skip, int64_t n);
/** All are in: value, curvature, slopes. Without a voxel all are 0. */
void clm_parzen_settle(clm_parzen *p);
/** slope[i] = d(n * value) / d moving[i], exactly; 0 where skipped or beyond the range.
 *  Source  D. Mattes et al., IEEE Trans. Med. Imaging 22 (2003), eqs. 9 to 11: a box for the fixed values, a cubic
 *          B-spline for the moving ones. Differs: log p(f,m) / p(m) against the spline's slope is a
 *          quadratic within each bin, tabulated once, so that a voxel costs one polynomial. */
void clm_parzen_slope(const clm_parzen *p, const float *fixed, const float *moving, const float *skip,
                      int64_t n, float *slope);

#endif
