/* What stands beside voxels in HDF5 files: numbers, texts, and lists of numbers seen as arrays of another shape.
 * Paths are FILE/PATH/INSIDE. For files of this layer and for readers of transforms. */
#ifndef CLM_STORE_HDF5_READ_H
#define CLM_STORE_HDF5_READ_H

#include "collimate/store/array.h"

/** Is the path, or its beginning, an HDF5 file? */
bool clm_hdf5_is(const char *path);
/** Is there a dataset or group of this name inside? */
bool clm_hdf5_has(const char *path);
/** n numbers of an attribute; *found false: there is none.
 *  Errors CLM_E_FORMAT another number of them, or no numbers */
CLM_MUST bool clm_hdf5_numbers(const char *path, const char *attribute, int n, double *out, bool *found,
                               clm_err *err);
/** The text in a dataset of one. */
CLM_MUST bool clm_hdf5_text(const char *path, char *out, size_t size, clm_err *err);
/** A list of numbers as an array [shape], last axis fastest. CLM_E_FORMAT their number differs. */
CLM_MUST bool clm_hdf5_open_shaped(const char *path, int ndim, const int64_t shape[], clm_array **out,
                                   clm_err *err);

#endif
