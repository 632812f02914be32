/* An image at the spacing a stage works at: a stored pyramid level, reduced by whole factors on reading.
 * Only the asked box is ever in memory. */
#ifndef CLM_JOB_VIEW_H
#define CLM_JOB_VIEW_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"
#include "collimate/job/mask.h"
#include "collimate/store/image.h"

typedef struct clm_view {
    const clm_image *image;      /* not owned */
    const clm_mask *mask;        /* not owned; NULL: every voxel counts */
    clm_mask *const *foreground; /* another, of both the narrower counts; *foreground NULL: not known yet */
    bool negative;               /* intensities times -1: what is dark is looked at as bright */
    int level;                   /* of the stored pyramid */
    int64_t factor[3];           /* block mean of so many voxels of that level */
    int64_t shape[3];            /* working voxels */
    double spacing[3];           /* micrometres */
    double origin[3];            /* world micrometres of working voxel (0,0,0) */
} clm_view;

/** The view whose voxels are nearest to `spacing_um` on every axis, never finer than stored, from the
 *  coarsest stored level that is fine enough. An axis is not reduced to fewer than 8 voxels. */
clm_view clm_view_make(const clm_image *image, double spacing_um);

/** A stored level as it is. */
clm_view clm_view_level(const clm_image *image, int level);

/** Read working voxels [box) (clipped by the caller to the view) into w->keep. NaN: outside the mask, or a
 *  working voxel of which some part is. Where the mask has nothing inside no voxel is read. Reduction goes
 *  tile by tile: temp needs some 60 MB (or one working voxel's worth), whatever the box and the factor. Without a mask
 *  the image's cache, if it has one, keeps chunks as reduced; those decoded for it go first. */
CLM_MUST bool clm_view_read(const clm_work *w, const clm_view *v, clm_box box, clm_vol *out, clm_err *err);

/** Working voxels along an axis that clm_view_read has in memory unreduced at once. */
int64_t clm_view_tile(const clm_view *v, int axis);

/** The grid of a stored level, as transforms and outputs record it. */
clm_image_frame clm_view_frame(const clm_image *image, int level);
/** The same of an image on disk: what --like PATH[:LEVEL] means. CLM_E_ARG no such level. */
CLM_MUST bool clm_view_frame_like(const char *path, int64_t level, clm_image_frame *out, clm_err *err);

/** The least spacing of its axes: what "a voxel" means where one length is asked for. */
double clm_view_voxel_um(const clm_view *v);
/** given_um where that is above 0, else so many voxels of the view. */
double clm_view_um_or_voxels(const clm_view *v, double given_um, double voxels);

/** The geometry of a view as a volume without voxels (data NULL), for functions that ask for a grid. */
clm_vol clm_view_grid(const clm_view *v);

#endif
