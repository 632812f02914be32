/* A volume cut into blocks of nearly equal size, each with a halo. Pure integer arithmetic. */
#ifndef CLM_PLAN_GRID_H
#define CLM_PLAN_GRID_H

#include "collimate/core/box.h"
#include "collimate/plan/task.h"

typedef struct clm_grid {
    int64_t extent[3]; /* voxels (or nodes) of the volume                     */
    int64_t block[3];  /* core size; the last block of an axis may be smaller */
    int64_t halo[3];   /* grown by this on every side, clipped to the volume  */
    int64_t shape[3];  /* blocks                                              */
    int64_t n;         /* blocks in all                                       */
} clm_grid;

/** Blocks of about `block` voxels: their number is extent / block rounded, their size made even and
 *  then rounded up to a multiple of `multiple` (1: none), so that no thin last block is left. */
clm_grid clm_grid_even(const int64_t extent[3], int64_t block, int64_t halo, int64_t multiple);
/** Blocks of exactly `block` voxels, no halo: the chunks of an array. */
clm_grid clm_grid_chunks(const int64_t extent[3], const int64_t block[3]);

void clm_grid_at(const clm_grid *g, int64_t index, int64_t at[3]);
int64_t clm_grid_index(const clm_grid *g, const int64_t at[3]);
clm_box clm_grid_core(const clm_grid *g, int64_t index);
clm_box clm_grid_padded(const clm_grid *g, int64_t index);
/** The blocks whose core, grown by `reach` on every side, meets the box (clipped to the grid). */
clm_span clm_grid_touching(const clm_grid *g, clm_box box, const int64_t reach[3]);

#endif
