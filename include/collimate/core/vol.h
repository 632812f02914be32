/* A float32 volume placed in the world: the only kind of image that algorithms see. */
#ifndef CLM_CORE_VOL_H
#define CLM_CORE_VOL_H

#include "collimate/base/arena.h"
#include "collimate/core/box.h"

/** A window onto voxels. Owns nothing. Rows are contiguous (stride 1 along x). */
typedef struct clm_vol {
    float *data;       /* first voxel                                        */
    int64_t shape[3];  /* voxels, z y x                                      */
    int64_t stride[2]; /* ELEMENTS between z planes and between y rows       */
    double spacing[3]; /* micrometres a voxel, z y x                         */
    double origin[3];  /* world micrometres of the CENTRE of voxel (0,0,0)   */
} clm_vol;

/** A packed volume in `a`, contents undefined. */
CLM_MUST bool clm_vol_new(clm_arena *a, const int64_t shape[3], const double spacing[3],
                          const double origin[3], clm_vol *out, clm_err *err);
/** A view of the part inside `box` (in voxels of v, within its shape): same data, moved origin. */
clm_vol clm_vol_crop(const clm_vol *v, clm_box box);
/** A packed copy in `a`. */
CLM_MUST bool clm_vol_copy(clm_arena *a, const clm_vol *v, clm_vol *out, clm_err *err);
static inline float *clm_vol_row(const clm_vol *v, int64_t z, int64_t y) {
    return v->data + z * v->stride[0] + y * v->stride[1];
}
static inline int64_t clm_vol_count(const clm_vol *v) { return v->shape[0] * v->shape[1] * v->shape[2]; }

#endif
