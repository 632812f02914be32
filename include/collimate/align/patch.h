/* What a spot's surroundings look like: a ball of samples around it, at the same physical distances in
 * every volume, brightness and contrast taken out, packed to one byte a sample. */
#ifndef CLM_ALIGN_PATCH_H
#define CLM_ALIGN_PATCH_H

#include "collimate/base/work.h"
#include "collimate/core/points.h"
#include "collimate/core/vol.h"

#define CLM_PATCH_SAMPLES_MAX 17

typedef struct clm_patch_params {
    double radius_um;  /* of the ball                                                             */
    int32_t samples;   /* across the ball, odd, 3 to 17; 9 gives 389 samples, 11 gives 739         */
    double min_inside; /* share of samples that must lie in the volume                            */
} clm_patch_params;
#define CLM_PATCH_DEFAULTS ((clm_patch_params){.radius_um = 30, .samples = 9, .min_inside = 0.6})

/** n patches. Row i, times norm[i], is a vector of length 1 whose samples within the volume have mean 0
 *  (to rounding) and whose samples outside are 0: the correlation of two rows is their dot product. */
typedef struct clm_patches {
    int64_t n;
    int32_t samples; /* across the ball; 0 when rows are not balls                          */
    int32_t dim;     /* bytes a row: samples of the ball, then zeros up to a multiple of 32 */
    int8_t *code;    /* [n][dim]                                                            */
    float *norm;     /* [n] 1 / length of the row; 0: no usable patch                       */
} clm_patches;

/** Bytes a row for these parameters. */
int32_t clm_patch_dim(const clm_patch_params *p);

#define CLM_PATCH_BALL_MAX (CLM_PATCH_SAMPLES_MAX * CLM_PATCH_SAMPLES_MAX * CLM_PATCH_SAMPLES_MAX)
/** Lattice offsets of a row's samples, in sample distances, z y x; returns how many. `at` [n] or NULL. */
int32_t clm_patch_ball(int32_t samples, int8_t (*at)[3]);

/** Pack n values: mean out, the largest deviation to 127. inside [n] or NULL; the others become 0.
 *  value is overwritten. Returns the row's norm, 0 when flat. */
float clm_patch_encode(int32_t n, float *value, const bool *inside, int8_t *code, int32_t dim);

/** How far outside the points the volume is looked at, in voxels. `linear` as below. */
void clm_patch_halo(const clm_patch_params *p, const double linear[3][3], const double spacing[3],
                    int64_t halo[3]);

/** Describe the surroundings of points.
 *
 *  v        intensities; smoothed lightly (half the distance of samples) before sampling
 *  points   world um of v
 *  linear   takes offsets in the fixed volume to offsets in v: identity for the fixed volume, the linear
 *           part of the prior affine for the moving one. Balls are balls in the fixed volume
 *  out      one row a point, in order; norm 0 where less than min_inside of the ball lies in v or where
 *           it is flat
 *  The byte a sample costs about 1e-4 of correlation. Same input, same bytes, on every machine.
 *  Errors   CLM_E_ARG, CLM_E_BUDGET
 *  Memory   keep: n * (dim + 4); temp: a smoothed, thinned copy of v and one plane-thinned one
 */
CLM_MUST bool clm_patch_describe(const clm_work *w, const clm_vol *v, const clm_points *points,
                                 const clm_patch_params *p, const double linear[3][3], clm_patches *out,
                                 clm_err *err);

/** Exact sum of products of two rows; dim at most 131072. */
int32_t clm_patch_dot(const int8_t *a, const int8_t *b, int32_t dim);

#endif
