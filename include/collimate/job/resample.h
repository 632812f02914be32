/* An image through a map onto any grid: what align's last stage and the apply command both do to a chunk. */
#ifndef CLM_JOB_RESAMPLE_H
#define CLM_JOB_RESAMPLE_H

#include "collimate/image/warp.h"
#include "collimate/transform/map.h"
#include "collimate/store/image.h"

typedef struct clm_resampled {
    const clm_image *image;
    int level;             /* of its pyramid                                     */
    int64_t channel, time; /* -1: what the image was opened with                 */
    clm_interp interp;     /* nearest: voxels of any type keep every bit         */
    double outside;        /* where T(x) leaves the image; rounded and clamped   */
    clm_dtype dtype;       /* of the result; with nearest the image's own        */
} clm_resampled;

/** voxels [grid->shape], packed, of what->dtype; *inside: the share of them inside the image;
 *  *unsolved: how many have no position, because a field solved backwards has no solution there: they hold `outside`.
 *
 *  grid     its data are not looked at
 *  Memory   a part of the image or of a field that would not fit is never asked for whole: the grid is halved
 *           until 2^25 voxels or 2^23 nodes do. Halving changes no byte that matters less than 1e-5 voxel.
 *  Errors   as clm_image_read and clm_warp */
CLM_MUST bool clm_resample(const clm_work *w, const clm_resampled *what, const clm_map *map,
                           const clm_vol *grid, void *voxels, double *inside, int64_t *unsolved,
                           clm_err *err);

/** x, rounded and clamped, as one voxel of type t. */
void clm_voxel_of(clm_dtype t, double x, void *voxel);

#endif
