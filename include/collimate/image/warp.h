/* A volume through a transform: out(x) = moving(T(x)), T(x) = A(x + u(x)). One resampling, however many
 * transforms were composed before. Also: which part of the moving volume that will need. */
#ifndef CLM_IMAGE_WARP_H
#define CLM_IMAGE_WARP_H

#include "collimate/base/work.h"
#include "collimate/core/dtype.h"
#include "collimate/core/field.h"

typedef enum clm_interp {
    CLM_INTERP_NEAREST, /* labels                                                  */
    CLM_INTERP_LINEAR,
    CLM_INTERP_CUBIC /* Keys' cubic convolution, a = -1/2: four taps an axis, may overshoot */
} clm_interp;

/** Voxels needed on either side of a position besides the one at its floor: 1 linear, 2 cubic. */
static inline int64_t clm_interp_support(clm_interp kind) { return kind == CLM_INTERP_CUBIC ? 2 : 1; }

/** Resample `moving` on the grid of `out`.
 *
 *  moving   float32; all of it, or at least clm_warp_box of it
 *  A, f     fixed world -> moving world; f NULL means u = 0; f is border-extended beyond its lattice
 *  outside  value where T(x) leaves the box of moving's first to last voxel centres (an axis of one
 *           voxel reaches half a voxel either way) or is not finite
 *  out      in: grid (any part of the fixed grid) and memory; out: voxels. Must not alias moving
 *  inside   voxels that were inside, or NULL
 *  A NaN in moving reaches every output voxel whose support holds it.
 *  Same bytes on every machine.
 *  Errors   CLM_E_ARG  empty grids, or a moving volume of 2^31 voxels or more
 *  Memory   temp: about 12 rows of out
 *  Source   cubic: Keys, IEEE Trans. ASSP 29 (1981), eq. 15 */
CLM_MUST bool clm_warp(const clm_work *w, const clm_vol *moving, const clm_affine *A, const clm_field *f,
                       clm_interp kind, float outside, clm_vol *out, int64_t *inside, clm_err *err);

/** Nearest voxel for any kind of item: labels of any integer type keep every bit.
 *  moving      grid only (data is not read); items [moving->shape] packed, `size` 1, 2, 4 or 8 bytes each
 *  outside     one item, written where T(x) leaves the volume
 *  grid, out   output grid (data is not read) and its packed items
 *  Otherwise as clm_warp with CLM_INTERP_NEAREST: halves round up. */
CLM_MUST bool clm_warp_items(const clm_work *w, const clm_vol *moving, const void *items, size_t size,
                             const clm_affine *A, const clm_field *f, const void *outside,
                             const clm_vol *grid, void *out, int64_t *inside, clm_err *err);

/** Can clm_warp_stored take voxels of this type and a volume of this shape? Not on every processor: there they are
 *  turned into floats first. */
bool clm_warp_takes(clm_dtype type, const int64_t moving[3]);
/** Linear interpolation of voxels as they are stored, rounded to nearest even: the bytes of clm_dtype_to_f32, clm_warp
 *  and clm_dtype_from_f32, in one pass and without floats in between.
 *  moving      grid only (data is not read); voxels [moving->shape] packed, of `type`
 *  outside     rounded and clamped to the type
 *  grid, out   output grid (data is not read) and its packed voxels, of `type`
 *  Errors      CLM_E_ARG as clm_warp, or what clm_warp_takes denies */
CLM_MUST bool clm_warp_stored(const clm_work *w, const clm_vol *moving, const void *voxels, clm_dtype type,
                              const clm_affine *A, const clm_field *f, float outside, const clm_vol *grid,
                              void *out, int64_t *inside, clm_err *err);

/** The voxels of the moving grid that warping `box` of the fixed grid can touch, clipped to the moving
 *  grid; empty when the two do not overlap. Exact: T is trilinear between lattice planes, so its extremes
 *  lie on their crossings, and all of them in the box are visited.
 *  fixed, moving   grids only; margin_vox >= 0 is added on every side before clipping
 *  A not finite transform gives the whole moving grid. */
clm_box clm_warp_box(const clm_affine *A, const clm_field *f, const clm_vol *fixed, clm_box box,
                     const clm_vol *moving, clm_interp kind, int64_t margin_vox);

#endif
