/* Smaller copies of a volume by averaging whole cells of voxels: what a coarse level of an alignment reads. */
#ifndef CLM_IMAGE_REDUCE_H
#define CLM_IMAGE_REDUCE_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

/** Mean over cells of factor[0] x factor[1] x factor[2] voxels.
 *
 *  v        any shape of at least one cell; a NaN (a voxel outside a mask) makes its whole cell NaN
 *  factor   [3] voxels of a cell, z y x, >= 1
 *  out      made in w->keep: shape floor(shape / factor), spacing * factor, origin at the centre of the
 *           first cell. Voxels of an incomplete last cell are left out, so every voxel of `out` stands where
 *           its origin and spacing say. A block that begins at a multiple of the factor gives the bytes of
 *           the whole.
 *  Errors   CLM_E_ARG a factor below 1 or larger than the volume; CLM_E_BUDGET
 *  Memory   keep: out; temp: one row
 */
CLM_MUST bool clm_reduce(const clm_work *w, const clm_vol *v, const int64_t factor[3], clm_vol *out,
                         clm_err *err);

/** The most frequent item of each cell, for labels; of equally frequent ones the smallest as an unsigned number.
 *
 *  items    [shape] packed, `size` 1, 2, 4 or 8 bytes each
 *  out      in w->keep, packed: shape floor(shape / factor)
 *  Errors   as clm_reduce; CLM_E_ARG another size
 *  Memory   temp: one cell */
CLM_MUST bool clm_reduce_items(const clm_work *w, const void *items, size_t size, const int64_t shape[3],
                               const int64_t factor[3], void **out, clm_err *err);

/** Factors of level 0, 1, 2 ... that halve the finer axes first, so that voxels become near cubes: axis d is
 *  halved at a level when it is finer than sqrt(2) x the finest axis after halving, and would keep at least
 *  `least` voxels. factor is that of `level`; level 0 is 1 1 1. Returns false when no axis could be halved
 *  any more on the way to `level` (factor is then the coarsest there is). */
bool clm_reduce_factor(const clm_vol *v, int level, int64_t least, int64_t factor[3]);

#endif
