/* A transform on its way to disk: what compose, invert and root make. An affine is one call; a field is written chunk
 * by chunk by independent tasks, and is a transform only once clm_transform_out_finish has been called. */
#ifndef CLM_TRANSFORM_TRANSFORM_OUT_H
#define CLM_TRANSFORM_TRANSFORM_OUT_H

#include "collimate/base/arena.h"
#include "collimate/base/text.h"
#include "collimate/plan/grid.h"
#include "collimate/transform/transform.h"
#include "collimate/store/volume.h"

typedef enum clm_transform_kind {
    CLM_TRANSFORM_SCENE,       /* a folder: OME-Zarr 0.6 scene [displacements, affine], or an affine alone */
    CLM_TRANSFORM_AFFINE_JSON, /* *.json, as align leaves affine.json    */
    CLM_TRANSFORM_AFFINE_TEXT, /* *.txt: numpy.loadtxt reads it, 4 x 4   */
    CLM_TRANSFORM_ITK_TEXT,    /* *.tfm, and *.txt where "itk" is asked for */
    CLM_TRANSFORM_ITK_MATLAB,  /* *.mat: Matlab 4 as ITK and ANTs have it */
    CLM_TRANSFORM_VOLUME, /* *.nii *.nii.gz *.nrrd: displacements x y z, mm, left posterior superior: ITK's */
    CLM_TRANSFORM_BIGSTREAM, /* "bigstream": an array [z,y,x,3] of displacements z y x, um; N5 or Zarr 2 */
    CLM_TRANSFORM_POSITIONS, /* "positions": the same of where each node goes to */
    CLM_TRANSFORM_JANELIA,   /* "janelia": displacements x y z, and the affine after them in the attributes */
} clm_transform_kind;

typedef struct clm_transform_out {
    clm_transform_kind kind;
    char path[CLM_PATH_MAX];
    clm_transform_spec spec;                /* shape 0: no field                         */
    clm_grid chunks;                        /* of the lattice's nodes; n 0 without field */
    clm_array *field, *coverage, *residual; /* the last two of a scene only */
} clm_transform_out;

/** The kind that the name of OUT asks for, or format (NULL: none): "itk", "bigstream", "positions", "janelia".
 *  Errors   CLM_E_ARG no such format, or not under that name */
CLM_MUST bool clm_transform_kind_of(const char *path, const char *format, clm_transform_kind *out,
                                    clm_err *err);
/** It has no room for an affine beside the field: u is the whole of T(x) - x, spec.affine identity. */
bool clm_transform_kind_is_whole(clm_transform_kind kind);
/** Kind and spec are set: can the one hold the other?
 *  Errors   CLM_E_ARG a file of affines and a field; a lattice that the kind cannot tell: says what to give */
CLM_MUST bool clm_transform_out_check(const clm_transform_out *out, clm_err *err);
/** Where the record of making it stands: OUT, or beside a file of it ".NAME.compose", to be removed at the end. */
CLM_MUST bool clm_transform_out_folder(const clm_transform_out *out, char folder[CLM_PATH_MAX], clm_err *err);

/** Arrays without chunks, once, before any rank opens them. */
CLM_MUST bool clm_transform_out_create(const clm_transform_out *out, clm_err *err);
/** Open for writing and reading; again is fine. */
CLM_MUST bool clm_transform_out_open(clm_transform_out *out, clm_err *err);
void clm_transform_out_close(clm_transform_out *out);
/** One chunk of the lattice: u's three planes in one allocation, coverage 0 .. 1, residual (NULL: none) in um; the last
 *  two are kept by a scene only. Of CLM_TRANSFORM_VOLUME a chunk is whole planes.
 *  Memory   temp: three floats a node, of any kind but a scene */
CLM_MUST bool clm_transform_out_put(const clm_transform_out *out, int64_t chunk, clm_arena *temp,
                                    const clm_field *u, const float *coverage, const float *residual,
                                    clm_err *err);
/** What makes it a transform. attributes: NULL or an object kept beside, where the kind has room for it. */
CLM_MUST bool clm_transform_out_finish(const clm_transform_out *out, const clm_json *attributes,
                                       clm_err *err);

/** affine.json and affine.txt, as align and this leave them: keys added to v, 4 x 4 text appended to b. */
void clm_affine_to_json(const clm_affine *a, clm_json *v);
CLM_MUST bool clm_affine_to_text(const clm_affine *a, clm_buf *b, clm_err *err);

#endif
