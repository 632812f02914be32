/* A transform as we keep it: an OME-Zarr 0.6 scene, fixed -> moving = sequence [displacements, affine]. Written, read
 * back, and with its inverse beside it. Axes z y x, micrometres. */
#ifndef CLM_TRANSFORM_TRANSFORM_H
#define CLM_TRANSFORM_TRANSFORM_H

#include "collimate/core/affine.h"
#include "collimate/core/field.h"
#include "collimate/store/image.h"
#include "collimate/store/vectors.h"

typedef struct clm_transform_spec {
    clm_affine affine; /* fixed -> moving, applied to x + u(x)        */
    int64_t shape[3];  /* nodes of the displacement lattice; 0: affine alone */
    double spacing_um[3], origin_um[3];
    int64_t chunk[3];              /* nodes; all three components share a chunk   */
    clm_image_frame fixed, moving; /* shape 0: not known */
    const char *to;                /* what it leads to is called; NULL: "moving" */
    bool residual;                 /* an array of it, too: how far a node is from what it should be, um */
    const clm_json *attributes;    /* NULL or an object, kept beside "ome"        */
} clm_transform_spec;

#define CLM_RUN_TRANSFORM "transform.ome.zarr" /* the scene that a run of align leaves in its folder */

/* Below a scene. */
#define CLM_SCENE_FIELD "coordinateTransformations/dfield"
#define CLM_SCENE_COVERAGE "coordinateTransformations/coverage"
#define CLM_SCENE_INVERSE "coordinateTransformations/inverse"
#define CLM_SCENE_RESIDUAL "coordinateTransformations/residual"

/** The arrays of a transform with a field, without chunks: CLM_SCENE_FIELD/s0 float32 [3,Z,Y,X], CLM_SCENE_COVERAGE
 *  float32 [Z,Y,X], and where asked for CLM_SCENE_RESIDUAL as that. Nothing reads as a transform yet. */
CLM_MUST bool clm_ome_make_transform(const char *path, const clm_transform_spec *spec, clm_err *err);
/** Everything but chunks: those arrays and an OME-Zarr 0.6 scene fixed -> moving = sequence [displacements, affine].
 *  Same spec, same bytes; again over the same is fine.
 *  Source  OME-Zarr 0.6, "coordinateTransformations"; the displacement axis is first. */
CLM_MUST bool clm_ome_write_transform(const char *path, const clm_transform_spec *spec, clm_err *err);

/** A scene whose first transformation is a sequence, or a bijection, becomes one with a bijection whose way back is the
 *  transformation of another scene, which stands in the folder `below` of the first. In one step; again is fine.
 *  Errors   CLM_E_UNSUPPORTED what is neither; CLM_E_FORMAT; CLM_E_WRITE */
CLM_MUST bool clm_ome_store_inverse(const char *scene, const char *below, clm_err *err);
/** Is the inverse of the bijection v, of the group with these attributes, still that of its forward side? By a digest of the
 *  forward side's metadata and of its fields' files, which clm_ome_store_inverse left; without one nothing is known, and
 *  so true. Errors CLM_E_FORMAT it is not; those of reading */
CLM_MUST bool clm_ome_inverse_holds(const char *group, const clm_json *attrs, const clm_json *v,
                                    clm_err *err);

typedef struct clm_transform {
    clm_affine affine;
    clm_array *field;    /* NULL: no displacement          */
    clm_array *coverage; /* NULL: not recorded             */
    int64_t shape[3];    /* of the lattice                 */
    double spacing_um[3], origin_um[3];
    int component_axis;            /* of the field array, found by axis type */
    clm_image_frame fixed, moving; /* the grids of both sides; shape 0: the scene does not tell */
    bool writable;
} clm_transform;

/** The grid of the image at `path`; out is left alone where there is none.
 *  Errors those of clm_image_open, but for CLM_E_NOTFOUND and CLM_E_UNSUPPORTED */
CLM_MUST bool clm_ome_read_frame(const char *path, clm_image_frame *out, clm_err *err);
/** Open a scene written by clm_ome_write_transform or another 0.6 writer (also a bare affine).
 *  write: chunks of field and coverage may be put.
 *  Errors CLM_E_UNSUPPORTED a chain of other transforms. */
CLM_MUST bool clm_transform_open(const char *path, bool write, clm_transform *out, clm_err *err);
void clm_transform_close(clm_transform *t); /* zeroed is fine */
/** The field, which must be there; the array stays the transform's unless t->field is cleared. */
clm_vectors clm_transform_vectors(const clm_transform *t);
/** Nodes of box into out->u (allocated, shape as box); its spacing and origin are set. */
CLM_MUST bool clm_transform_read(const clm_transform *t, clm_box box, clm_field *out, clm_err *err);
/** One chunk of the field, index z y x: u's planes, clipped to the lattice, packed. */
CLM_MUST bool clm_transform_put(clm_transform *t, const int64_t index[3], const clm_field *chunk,
                                clm_err *err);

#endif
