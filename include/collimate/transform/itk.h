/* Affines as ITK's programs keep them: parameters of a named transform, x y z, millimetres, left-posterior-superior;
 * they map fixed points to moving points, as ours do. ITK text and Matlab files (ANTs, SimpleITK, 3D Slicer), ITK
 * HDF5 files, elastix parameter files. */
#ifndef CLM_TRANSFORM_ITK_H
#define CLM_TRANSFORM_ITK_H

#include "collimate/transform/map.h"

#define CLM_ITK_PARAMETERS_MAX 32

/** One transform as a file holds it. */
typedef struct clm_itk {
    char type[64]; /* "Euler3DTransform": without "_double_3_3" */
    int n, n_fixed;
    double parameters[CLM_ITK_PARAMETERS_MAX], fixed[CLM_ITK_PARAMETERS_MAX];
} clm_itk;

/** "Euler3DTransform_double_3_3" into out->type.
 *  Errors CLM_E_UNSUPPORTED not of three dimensions */
CLM_MUST bool clm_itk_set_type(clm_itk *out, const char *name, clm_err *err);
/** What it does to points, z y x, micrometres.
 *  Errors CLM_E_UNSUPPORTED no affine: names it; CLM_E_FORMAT the number of its parameters
 *  Source ITK 5, Modules/Core/Transform: the classes of these names */
CLM_MUST bool clm_itk_affine(const clm_itk *t, clm_affine *out, clm_err *err);

/** Add what the file holds to the map. A composite's LAST transform is applied first.
 *  *known false: no such file, nothing was done. Errors name the file. */
CLM_MUST bool clm_itk_open_text(const char *path, const clm_buf *b, clm_map *map, bool *known, clm_err *err);
CLM_MUST bool clm_itk_open_matlab(const char *path, const clm_buf *b, clm_map *map, bool *known,
                                  clm_err *err);
/** elastix and transformix: Translation, Euler, Similarity, Affine, with the initial transforms they name. */
CLM_MUST bool clm_elastix_open(const char *path, const clm_buf *b, clm_map *map, bool *known, clm_err *err);

/** The files' text, or bytes: an AffineTransform_double_3_3 with its centre at 0. */
CLM_MUST bool clm_itk_text_of(const clm_affine *a, clm_buf *out, clm_err *err);
CLM_MUST bool clm_itk_matlab_of(const clm_affine *a, clm_buf *out, clm_err *err);

#endif
