/* HDF5 filters that libhdf5 does not bring: blosc, LZ4, zstd, LZF. For hdf5.c only. */
#ifndef CLM_STORE_HDF5_FILTER_H
#define CLM_STORE_HDF5_FILTER_H

void clm_hdf5_register_filters(void); /* under hdf5.c's lock */

#endif
