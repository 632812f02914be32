/* Pyramids inside HDF5 files. For hdf5*.c only; hdf5.c holds the lock; `file` is its hid_t. */
#ifndef CLM_STORE_HDF5_LEVELS_H
#define CLM_STORE_HDF5_LEVELS_H

#include "collimate/store/format.h"
#include "collimate/store/scale.h"

/** The library's one lock, and the library made ready. */
void clm_hdf5_lock(void);
void clm_hdf5_unlock(void);

/** Datasets of a BigDataViewer or Imaris pyramid at `inside` ("" for the file's only one); out->n 0: none.
 *  Only level[].path is filled, below `inside`. Errors CLM_E_ARG several to choose from. */
CLM_MUST bool clm_hdf5_levels(int64_t file, const char *inside, int64_t time, int64_t channel,
                              clm_scales *out, clm_err *err);
/** Spacing and origin of a level of BigDataViewer's, from the file's factors and the XML beside it. Without the lock. */
void clm_hdf5_place_bdv(const char *h5_file, int64_t setup, int64_t level, clm_place *p);

#endif
