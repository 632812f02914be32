/* Pictures of an alignment: slices through the middle of the fixed volume along the three axes, with the
 * moving volume over it before (where its own metadata put it) and after. */
#ifndef CLM_APP_SLICES_H
#define CLM_APP_SLICES_H

#include "collimate/store/image.h"

/** Write folder/slice_z.png, slice_y.png and slice_x.png: before left, after right, fixed in magenta, moving
 *  in green, in true proportions with a scale bar. Of slices beyond 1024 voxels a side the middle.
 *  aligned   the moving volume on the fixed grid
 *  Errors   CLM_E_ARG aligned is not on the fixed grid; as clm_image_read; CLM_E_WRITE
 *  Memory   about 64 MiB */
CLM_MUST bool clm_slices_write(const clm_image *fixed, const clm_image *moving, const clm_image *aligned,
                               const char *folder, clm_err *err);

#endif
