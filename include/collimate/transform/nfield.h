/* Vectors on a lattice of any number of axes, read point by point in double: what a displacement or coordinate field
 * of OME-Zarr is to one point. For lists of millions of points in three axes there is store/vectors.h. */
#ifndef CLM_TRANSFORM_NFIELD_H
#define CLM_TRANSFORM_NFIELD_H

#include "collimate/store/array.h"

typedef struct clm_nfield {
    clm_array *array;
    int n, m;       /* axes of a point; components of a vector                                 */
    int axis;       /* of the array: where components are; -1: none, m is 1                    */
    bool positions; /* vectors are where a point goes to, not how far                          */
    int order;      /* of interpolation: 0 nearest, 1 linear, 3 cubic B-spline through nodes   */
    /* point -> node: index = to_node . (x - origin), rows of n */
    double origin[CLM_DIMS_MAX], to_node[CLM_DIMS_MAX * CLM_DIMS_MAX];
    /* for clm_nfield_* alone */
    int64_t shape[CLM_DIMS_MAX]; /* nodes                                                   */
    int support;                 /* nodes an axis that one value is made of                 */
    clm_cache *cache;            /* of decoded chunks: points come near one another         */
    double *cell;                /* support^n nodes of m, components last                   */
    double *spline;              /* order 3: coefficients of all nodes, components last     */
    void *raw;                   /* one cell as stored                                      */
    double *guess;               /* for solving: n + n numbers a sample: point, where it goes */
    int64_t guesses;
} clm_nfield;

/** Prepare f, of which the first part is filled in; its array is f's from then on, whatever is returned.
 *  Errors   CLM_E_FORMAT the array does not fit; CLM_E_UNSUPPORTED a cubic field above 2^26 numbers, a type that
 *           is not real */
CLM_MUST bool clm_nfield_prepare(clm_nfield *f, clm_err *err);
void clm_nfield_close(clm_nfield *f); /* zeroed is fine */

/** x [n] -> value [m]: the vector at x, interpolated between nodes. Beyond them it keeps the border's value; nearest
 *  takes the upper one of two equally near nodes; the spline's nodes are mirrored at both ends.
 *  slope     NULL, or [m][n]: d value / d x; 0 across the border
 *  Source    P. Thevenaz, T. Blu, M. Unser, Image interpolation and resampling, 2000, sections 8.1 to 8.3
 *  Errors    CLM_E_FORMAT a vector that is not finite: names the node; reading */
CLM_MUST bool clm_nfield_value(clm_nfield *f, const double *x, double *value, double *slope, clm_err *err);
/** x [n] -> where the field sends it [m], in place: positions' value, or x + displacement. */
CLM_MUST bool clm_nfield_forward(clm_nfield *f, double *x, clm_err *err);
/** y -> an x that the field sends to y, in place, by damped Newton steps from y and, for positions or where that does
 *  not lead there, from the nearest of up to 32768 nodes. Needs n == m and an order above 0.
 *  Errors    CLM_E_NUMERIC none was found: |T(x) - y| stays above 1e-9 of the numbers' size */
CLM_MUST bool clm_nfield_back(clm_nfield *f, double *y, clm_err *err);

#endif
