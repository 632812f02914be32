/* What the plain and the wide kernels of warp.c share. */
#ifndef CLM_IMAGE_WARP_PARTS_H
#define CLM_IMAGE_WARP_PARTS_H

#include "collimate/core/dtype.h"
#include "collimate/image/rowmap.h"

/* One lane, ready to gather: offsets from the base voxel, and bounds so that every read is legal. */
typedef struct clm_lane_taps {
    int64_t from;              /* element of the base voxel                 */
    int32_t step[3];           /* elements to the next voxel, z y x         */
    float lo[3], hi[3];        /* inside: lo <= p <= hi                     */
    int32_t first[3], last[3]; /* the volume's first and last voxel         */
} clm_lane_taps;

/** Are there kernels for 16 voxels at a time on this processor, for a volume of this shape? They give the bytes of the
 *  plain ones. */
bool clm_warp_is_wide(const int64_t moving[3]);
/** n voxels of a lane by trilinear interpolation, rounded to nearest even where the type is an integer; how many are
 *  inside.
 *  type     float32, or an integer of 8 or 16 bits; of out, too
 *  base     the volume's voxel 0; end: elements in it, below 2^31
 *  outside  as a voxel would hold it */
int clm_warp_wide_linear(clm_dtype type, const void *base, int64_t end, const clm_lane_taps *t,
                         const clm_lane *lane, float outside, int n, void *out);
/** n voxels of a lane by the nearest voxel, items of `size` 1, 2, 4 or 8 bytes; how many are inside. */
int clm_warp_wide_nearest(size_t size, const void *base, int64_t end, const clm_lane_taps *t,
                          const clm_lane *lane, const void *outside, int n, void *out);

#endif
