/* Gaussian smoothing of volumes: separable, zero-phase, edges replicated, cost bounded for any sigma.
 * Not for pyramids' geometry beyond keeping every n-th voxel; not for fields' composition. */
#ifndef CLM_IMAGE_FILTER_H
#define CLM_IMAGE_FILTER_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

/** How far clm_gauss looks sideways, in voxels. Up to sigma 6 exactly (a block with this halo gives the
 *  bytes of the whole); beyond, where the filter is recursive, the weight left outside is below 1e-4. */
int64_t clm_gauss_radius(double sigma_vox);

/** Smooth with a Gaussian.
 *
 *  in        any shape; values finite (one NaN spreads over a whole line when sigma > 6)
 *  sigma_vox [3] standard deviation a direction, voxels, >= 0; below 0.01 nothing is done
 *  out       allocated by the caller, in's shape; may be `in` itself. Its spacing and origin are not read
 *  Weights sum to 1, so constants are kept to rounding. sigma <= 6: symmetric taps, cut at 3.5 sigma (.0022 of the peak);
 *  above: recursive, within 6e-4 of the peak, cost independent of sigma.
 *  Errors   CLM_E_ARG shapes differ, sigma negative or not finite; CLM_E_BUDGET
 *  Memory   temp: one tile of the longest line, at most 1.5 KiB a voxel of it
 *  Source   R. Deriche, Recursively implementing the Gaussian and its derivatives, INRIA RR-1893, 1993,
 *           fourth order fit, as a sum of two second order sections.
 */
CLM_MUST bool clm_gauss(const clm_work *w, const clm_vol *in, const double sigma_vox[3], clm_vol *out,
                        clm_err *err);

/** Smooth, then keep voxels 0, step, 2*step ... of each axis; only kept voxels are computed.
 *
 *  step      [3] >= 1
 *  out       made in w->keep: shape ceil(shape / step), spacing * step, in's origin
 *  Anti-aliased when sigma_vox >= about 0.45 * step.
 *  Errors   CLM_E_ARG, CLM_E_BUDGET
 *  Memory   keep: out; temp: in / step[0] voxels and a plane
 */
CLM_MUST bool clm_gauss_shrink(const clm_work *w, const clm_vol *in, const double sigma_vox[3],
                               const int64_t step[3], clm_vol *out, clm_err *err);

#endif
