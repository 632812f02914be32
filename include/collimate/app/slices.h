/* Pictures of an alignment: slices through the middle of the fixed volume along the three axes, with the
 * moving volume over it before (where its own metadata put it) and after. */
#ifndef CLM_APP_SLICES_H
#define CLM_APP_SLICES_H

#include "collimate/base/work.h"
#include "collimate/store/image.h"

/** Write folder/slice_z.png, _y or _x (axis 0, 1, 2): before left, after right, fixed in magenta, moving
 *  in green, in true proportions with a scale bar. Of slices beyond 1024 voxels a side the middle.
 *  aligned   the moving volume on the fixed grid
 *  Errors   CLM_E_ARG aligned is not on the fixed grid; as clm_image_read; CLM_E_WRITE
 *  Memory   keep: fixed, before and after on the slice, and what of the moving volume lies around it */
CLM_MUST bool clm_slice_write(const clm_work *w, const clm_image *fixed, const clm_image *moving,
                              const clm_image *aligned, int axis, const char *folder, clm_err *err);
/** All three. Memory: about 64 MiB of its own */
CLM_MUST bool clm_slices_write(const clm_image *fixed, const clm_image *moving, const clm_image *aligned,
                               const char *folder, clm_err *err);

#endif
