/* Writing what surrounds arrays: groups on the way, and pyramids' metadata. Axes z y x, micrometres. */
#ifndef CLM_STORE_OME_H
#define CLM_STORE_OME_H

#include "collimate/store/array.h"

typedef struct clm_level_spec {
    const char *path; /* below the group: "s0", "s1", ... */
    double spacing_um[3];
    double origin_um[3]; /* centre of voxel (0,0,0) */
} clm_level_spec;

/** Groups from the container's root (the outermost folder named *.zarr or *.n5, else none) down to the
 *  parent of `path`, where they have no metadata yet. clm_array_create does this itself. */
CLM_MUST bool clm_store_make_parents(const char *path, clm_format format, clm_err *err);

typedef struct clm_pyramid_spec {
    clm_format format;
    const char *name;
    const char *axes;   /* NULL: "zyx"; "czyx", "tzyx" or "tczyx"; N5 has those of space only */
    const char *method; /* NULL, or how levels were made: "mean", "mode" */
    const clm_level_spec *levels;
    int n;
    const clm_json *attributes; /* NULL, or an object whose keys are kept beside */
} clm_pyramid_spec;
/** Multiscale metadata of the group at `path`; its arrays are created by the caller. Write it last: it
 *  says that the pyramid is complete. ZARR3: OME-Zarr 0.5; ZARR2: 0.4; N5: n5-viewer, Neuroglancer and (for
 *  an origin other than 0) COSEM keys, levels[0] being the unit of downsamplingFactors. */
CLM_MUST bool clm_ome_write_pyramid(const char *path, const clm_pyramid_spec *spec, clm_err *err);
/** User attributes that an N5 dataset of a pyramid needs; for clm_array_spec.attributes. The caller frees.
 *  bigstream: pixelResolution as a plain list, which bigstream reads and Neuroglancer does not. */
CLM_MUST clm_json *clm_n5_level_attributes(const clm_level_spec *base, const clm_level_spec *level,
                                           bool bigstream, clm_err *err);

/** What multiscales and scenes are made of: the axes z y x, micrometres, perhaps with the displacement axis first; a
 *  "scale" or "translation" of n numbers. */
void clm_ome_add_axes(clm_json *parent, bool vector_first);
void clm_ome_add_scale(clm_json *list, const char *type, const double x[], int n);

#endif
