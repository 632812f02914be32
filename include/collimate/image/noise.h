/* Smooth keyed noise over the whole world: a cubic B-spline whose coefficients are random numbers
 * keyed by (seed, lattice node). It has no extent and no state: any part can be evaluated alone and
 * comes out the same. What phantoms are made of; never an input to an alignment. */
#ifndef CLM_IMAGE_NOISE_H
#define CLM_IMAGE_NOISE_H

#include "collimate/base/arena.h"

/** Four values a point. Lanes 0, 1, 2 of a node are a random unit vector, lane 3 is uniform in
 *  [-1, 1]; so is each lane of the unit vector alone. B-spline weights are positive and sum to one,
 *  hence everywhere |(v0, v1, v2)| <= 1 and |v3| <= 1, with standard deviation 0.19 a lane. */
#define CLM_NOISE_LANES 4

/** |d(v0, v1, v2)/dx|, as an operator norm, is at most this over pitch_um: along one axis the slopes of
 *  the cubic B-spline's weights sum to at most 1.5 in magnitude, and a unit direction meets three axes. */
#define CLM_NOISE_SLOPE 2.5980762113533160 /* 1.5 sqrt 3 */

typedef struct clm_noise {
    uint64_t seed;
    double pitch_um; /* between nodes; features are about twice as wide */
} clm_noise;

/** The coefficients that a box of the world needs, computed once. */
typedef struct clm_noise_patch {
    const double *c; /* [n z][n y][n x][CLM_NOISE_LANES] */
    int64_t lo[3];   /* lattice index of the first node  */
    int64_t n[3];
    double pitch_um;
} clm_noise_patch;

/** Coefficients for points x with lo <= x <= hi (world micrometres) in `a`. CLM_E_BUDGET only. */
CLM_MUST bool clm_noise_patch_new(clm_arena *a, const clm_noise *noise, const double lo[3],
                                  const double hi[3], clm_noise_patch *out, clm_err *err);
/** The noise at x, which must lie in the patch's box. The same bits as clm_noise_point. */
void clm_noise_at(const clm_noise_patch *p, const double x[3], double v[CLM_NOISE_LANES]);
/** Also g[lane][axis] = dv/dx a micrometre. */
void clm_noise_slope_at(const clm_noise_patch *p, const double x[3], double v[CLM_NOISE_LANES],
                        double g[CLM_NOISE_LANES][3]);
/** The noise at any one point, and its slope where g is not NULL; computes 64 nodes, so it is slow. */
void clm_noise_point(const clm_noise *noise, const double x[3], double v[CLM_NOISE_LANES],
                     double g[CLM_NOISE_LANES][3]);

#endif
