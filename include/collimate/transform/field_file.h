/* Displacement fields as other programs store them, opened as vectors:
 *   bigstream      an array [z, y, x, 3] in N5 or Zarr, components z y x
 *   its prototype  three arrays c0, c1, c2 (x, y, z): where each node goes to
 *   Janelia        "dfield", "invdfield" in N5 or HDF5, components x y z, perhaps quantised, with an affine of its own
 *   ITK, ANTs      NIfTI or NRRD of vectors, millimetres, on any axes
 * Told apart by what is there. All map fixed points to moving points, but for invdfield. */
#ifndef CLM_TRANSFORM_FIELD_FILE_H
#define CLM_TRANSFORM_FIELD_FILE_H

#include "collimate/core/affine.h"
#include "collimate/store/image.h"
#include "collimate/store/vectors.h"

/** What a file does not tell, or what is to be taken instead of what it tells. */
typedef struct clm_field_hint {
    bool has_spacing, has_origin;
    double spacing_um[3], origin_um[3];
    const clm_image
        *like;          /* NULL, or: the level of the same shape, else the same extent, tells the spacing */
    double um_per_unit; /* of what has no unit of its own; 0: 1 */
    bool x_first, positions;
} clm_field_hint;

/** x -> after(before(x) + u(before(x))) */
typedef struct clm_field_file {
    clm_affine before, after;
    clm_vectors field;
} clm_field_file;

/** *known false: no such field, out is untouched.
 *  Errors CLM_E_FORMAT, CLM_E_UNSUPPORTED name the file; CLM_E_ARG a spacing is not told: says how to give it */
CLM_MUST bool clm_field_file_open(const char *path, const clm_field_hint *hint, clm_field_file *out,
                                  bool *known, clm_err *err);

/** Of NIfTI and NRRD (field_volume.c); path is such a file by its name. */
CLM_MUST bool clm_field_volume_open(const char *path, clm_field_file *out, clm_err *err);
/** Vectors of lattice axes that are not the world's, given as columns of unit length in z y x. */
CLM_MUST bool clm_field_file_turn(clm_field_file *f, const double direction[3][3], clm_err *err);

#endif
