/* What is found in HDF5 files, understood: filters, attributes of Imaris, tables of BigDataViewer. No library and no
 * file: any values give a result or a refusal. For hdf5*.c only. */
#ifndef CLM_STORE_HDF5_PARTS_H
#define CLM_STORE_HDF5_PARTS_H

#include "collimate/store/format.h"

#define CLM_HDF5_FILTERS 8
#define CLM_HDF5_VALUES 16

typedef struct clm_hdf5_filter {
    int id, n_values;
    unsigned value[CLM_HDF5_VALUES];
    char name[32];
} clm_hdf5_filter;

typedef struct clm_hdf5_filters { /* in the order of writing */
    int n;
    clm_hdf5_filter filter[CLM_HDF5_FILTERS];
} clm_hdf5_filters;

/** Those that a chunk has passed: without the filters whose bit is set in `skipped`. */
clm_hdf5_filters clm_hdf5_passed(const clm_hdf5_filters *f, uint32_t skipped);
/** The chain that undoes them: deflate, shuffle, Fletcher-32, and of
 *  the registered ones LZF, blosc, LZ4, zstd.
 *  Errors CLM_E_UNSUPPORTED another filter, by its number and name; CLM_E_FORMAT values that make no sense */
CLM_MUST bool clm_hdf5_chain(const clm_hdf5_filters *f, clm_chain *out, clm_err *err);
/** szip and scale-offset are undone by libhdf5, which trusts what the chunk and the values tell. */
bool clm_hdf5_is_left_to_library(const clm_hdf5_filters *f);
/** Whether it may be given this chunk: it would make exactly `bytes` of it and not read past its end. Fletcher-32
 *  is told by `f`.
 *  Errors CLM_E_UNSUPPORTED together with filters other than shuffle and Fletcher-32; CLM_E_FORMAT torn */
CLM_MUST bool clm_hdf5_library_can(const clm_hdf5_filters *f, const unsigned char *chunk, size_t n,
                                   size_t bytes, clm_err *err);

#define CLM_IMARIS_TEXT 64
/** Imaris keeps numbers as letters. "" where an attribute is missing. x y z as in the file. */
typedef struct clm_imaris {
    char size[3][CLM_IMARIS_TEXT];                       /* ImageSizeX Y Z of the channel         */
    char lo[3][CLM_IMARIS_TEXT], hi[3][CLM_IMARIS_TEXT]; /* ExtMin0 1 2, ExtMax0 1 2 of the image */
    char unit[CLM_IMARIS_TEXT];
} clm_imaris;
/** Data is padded to whole chunks: shape (z y x) becomes the true one, out gets spacing, origin and unit, or the
 *  problem. Extents are of the voxels' outer faces. */
void clm_imaris_place(const clm_imaris *m, int64_t shape[3], clm_place *out);

/** A level of BigDataViewer: its factor times the setup's voxel, both x y z; or the problem. */
void clm_bdv_place(const double factor[3], const double voxel[3], const char *unit, clm_place *out);

/** "t00000/s00/0/cells": setup and level; false: another path. */
bool clm_bdv_cells(const char *path, int64_t *setup, int64_t *level);

#endif
