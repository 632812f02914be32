/* Volumes with holes (NaN: outside a mask) made fit for what needs a value everywhere. */
#ifndef CLM_IMAGE_HOLES_H
#define CLM_IMAGE_HOLES_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

/** Whether any voxel is NaN; *finite (NULL: not wanted) whether any is not. Stops as soon as it knows. */
bool clm_holes_any(const clm_vol *v, bool *finite);

/** Every NaN takes a value between those at the two ends of its gap along x; where a row has none, between the
 *  rows along y, then planes along z. Nothing stands out that was not there. All NaN: zeros.
 *  hole     [voxels, packed z y x] 1 where v was NaN */
void clm_holes_fill(clm_vol *v, uint8_t *hole);

#endif
