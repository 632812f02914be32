/* Which voxels of an image show something: the part of a scan that an alignment should look at, found without being
 * told anything. For images with a dark surrounding; what is brighter is not further told apart. */
#ifndef CLM_IMAGE_FOREGROUND_H
#define CLM_IMAGE_FOREGROUND_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

typedef struct clm_foreground {
    double
        threshold; /* intensity of the smoothed image above which a voxel belongs to it; -infinity: all do */
    double apart;  /* share of the variance of the logarithm that the two sides of it explain   */
    double share;  /* of the voxels that have a value, filled and grown                        */
} clm_foreground;

/** Smooth by 1.5 voxels, take what is above Otsu's threshold of the logarithm of the intensity (above the darkest
 *  voxel, which counts as 1 % of the range), fill what it encloses, grow it by `grow_vox` voxels along every axis.
 *  Where the two sides explain no more of the variance than two halves of one Gaussian do, 2/pi, there is no dark
 *  surrounding and all of the image is foreground.
 *
 *  v         any shape; NaN has no value and counts as dark
 *  grow_vox  >= 0
 *  in        [voxels, packed z y x] 1 inside
 *  Same bytes on every machine.
 *  Errors    CLM_E_NODATA no value, or constant; CLM_E_ARG; CLM_E_BUDGET
 *  Memory    temp: 13 bytes a voxel and 4 MiB
 *  Source    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979)
 */
CLM_MUST bool clm_foreground_find(const clm_work *w, const clm_vol *v, int64_t grow_vox, uint8_t *in,
                                  clm_foreground *out, clm_err *err);

#endif
