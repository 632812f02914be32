/* Bright blobs: places that are brighter than their surroundings at some size. They are the points that
 * two rounds of the same tissue have in common. Works on a volume or on a block of it with a halo. */
#ifndef CLM_ALIGN_BLOB_H
#define CLM_ALIGN_BLOB_H

#include "collimate/base/work.h"
#include "collimate/core/points.h"
#include "collimate/core/vol.h"

#define CLM_BLOB_SCALES 16 /* most sizes looked at; radii may span a factor of 2^7.5 */

typedef struct clm_blob_params {
    double radius_min_um; /* smallest and largest radius of a blob (a ball as bright as the blob) */
    double radius_max_um;
    int64_t max_spots;              /* keep this many, spread over the core; 0 keeps all                    */
    double min_signal;              /* a peak counts above this many robust spreads of the response         */
    double separation_um;           /* of two peaks nearer than this the clearer stays; 0: radius_min_um    */
    double bucket_um;               /* side of the cubes the spots are spread over; 0: four spots a cube    */
    double spread[CLM_BLOB_SCALES]; /* robust spread of the response a size; 0: measured on v     */
} clm_blob_params;
#define CLM_BLOB_DEFAULTS \
    ((clm_blob_params){.radius_min_um = 8, .radius_max_um = 12, .max_spots = 2000, .min_signal = 3})

/** How much of the volume around a core decides what is found in it: voxels, a multiple of `step`. Blocks
 *  that begin at multiples of step[] in the whole and have this halo find the spots of the whole, to the
 *  bit (as long as sizes are at most 6 working voxels, with params->spread given and max_spots 0).
 *  step may be NULL. */
void clm_blob_halo(const clm_blob_params *p, const double spacing[3], int64_t halo[3], int64_t step[3]);

/** Find bright blobs: maxima over space and size of differences of Gaussians.
 *
 *  v        finite intensities, any offset and gain: scaling or shifting them finds the same spots
 *  core     part of v; only peaks whose voxel lies in it are returned
 *  out      pos: world micrometres, sub-voxel; radius_um; score: response (intensity units). Best of every
 *           bucket first, clearest first among those; then the second best of every bucket, and so on
 *  Errors   CLM_E_NODATA no peak is clear enough (the text says how clear the best was); CLM_E_ARG;
 *           CLM_E_BUDGET. out is then untouched
 *  Memory   keep: 32 bytes a spot; temp: 16 bytes a voxel of the working grid (v thinned so that the
 *           smallest Gaussian spans at least one voxel), one plane-thinned copy of v, 64 bytes a peak
 *  Source   T. Lindeberg, Feature detection with automatic scale selection, IJCV 30(2), 1998, sections 2-4;
 *           D. Lowe, Distinctive image features, IJCV 60(2), 2004, section 3 (difference of Gaussians).
 */
CLM_MUST bool clm_blob_find(const clm_work *w, const clm_vol *v, clm_box core, const clm_blob_params *p,
                            clm_points *out, clm_err *err);

/** The spread clm_blob_find would measure on v, for params->spread: one measurement for all blocks. */
CLM_MUST bool clm_blob_spread(const clm_work *w, const clm_vol *v, const clm_blob_params *p,
                              double spread[CLM_BLOB_SCALES], clm_err *err);

#endif
