/* How far a recovered transform is from a known one, at points spread over the fixed volume. */
#ifndef CLM_IMAGE_TRUTH_H
#define CLM_IMAGE_TRUTH_H

#include "collimate/base/work.h"

/** Any map of fixed world points to moving world points. x and y may be the same array. */
typedef struct clm_point_map {
    void (*at)(const void *ctx, const double x[3], double y[3]);
    const void *ctx;
} clm_point_map;

/** Where a volume is: its outermost voxel CENTRES bound it. */
typedef struct clm_frame {
    int64_t shape[3];
    double spacing[3], origin[3]; /* micrometres, z y x */
} clm_frame;

/** Is y within, faces included? */
bool clm_frame_has(const clm_frame *f, const double y[3]);

typedef struct clm_truth_points {
    int64_t n;
    double (*x)[3]; /* [n] fixed world micrometres            */
    double (*y)[3]; /* [n] where the truth puts them, moving world */
} clm_truth_points;

/** Points of a regular grid of at most per_axis points along each axis over the fixed volume (cell
 *  centres, so none on its faces), those that the truth maps inside the moving volume, z slowest.
 *  Errors CLM_E_ARG per_axis below 1; CLM_E_NODATA none maps inside; CLM_E_BUDGET
 *  Memory keep and temp 48 per_axis^3 bytes */
CLM_MUST bool clm_truth_sample(const clm_work *w, clm_point_map truth, const clm_frame *fixed,
                               const clm_frame *moving, int64_t per_axis, clm_truth_points *out,
                               clm_err *err);

/** Distances |found(x) - y|. */
typedef struct clm_spread {
    double median, mean, p90, p95, p99, max;
} clm_spread;
typedef struct clm_truth_error {
    clm_spread um;
    clm_spread voxels; /* each axis divided by the fixed spacing first */
    int64_t n;
} clm_truth_error;

/** found[i] = map(points->x[i]), [points->n]. */
void clm_truth_map(const clm_truth_points *points, clm_point_map map, double (*found)[3]);

/** Errors of where a transform puts the points: found [points->n], moving world micrometres. A point that
 *  is not finite counts as infinitely far.
 *  Percentiles are the smallest error that at least that part of the points does not exceed.
 *  Errors CLM_E_BUDGET. Memory temp 16 n bytes. */
CLM_MUST bool clm_truth_compare(const clm_work *w, const clm_truth_points *points, double (*found)[3],
                                const double spacing[3], clm_truth_error *out, clm_err *err);

#endif
