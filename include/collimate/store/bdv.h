/* BigDataViewer's and BigStitcher's XML: in which container a view is, and where it lies in the world. */
#ifndef CLM_STORE_BDV_H
#define CLM_STORE_BDV_H

#include "collimate/base/text.h"

typedef struct clm_bdv_view {
    int64_t setup, time;
    char path[CLM_PATH_MAX]; /* of the view's pyramid, below the XML's folder */
    int64_t channel_index,
        time_index; /* in it; -1: it has no such axis, or the XML does not say                   */
    double spacing_um[3], origin_um[3]; /* z y x, of the finest level's voxels */
    char unit[24];
    char problem[160]; /* why there is no spacing and origin, "" */
} clm_bdv_view;

/** The view of a setup and a time point, -1: the only one. Loaders bdv.hdf5, bdv.n5, bdv.multimg.zarr with paths
 *  below the XML's folder. Registrations are concatenated, the first listed applied last; their world unit is found
 *  by the voxel size, which the transform listed last holds (BigStitcher: divided by its least). Axes must not turn.
 *  Errors CLM_E_ARG several to choose from; CLM_E_NOTFOUND; CLM_E_FORMAT; CLM_E_UNSUPPORTED another loader */
CLM_MUST bool clm_bdv_view_of(const char *xml, size_t n, int64_t setup, int64_t time, clm_bdv_view *out,
                              clm_err *err);
/** The setup's voxelSize, x y z, and its unit, only; false: none. */
bool clm_bdv_voxel_of(const char *xml, size_t n, int64_t setup, double size[3], char unit[24]);

#endif
