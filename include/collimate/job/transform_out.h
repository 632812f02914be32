/* A transform on its way to disk: what compose, invert and root make. An affine is one call; a field is written chunk
 * by chunk by independent tasks, and is a transform only once clm_transform_out_finish has been called. */
#ifndef CLM_JOB_TRANSFORM_OUT_H
#define CLM_JOB_TRANSFORM_OUT_H

#include "collimate/base/text.h"
#include "collimate/plan/grid.h"
#include "collimate/store/ome.h"

typedef enum clm_transform_kind {
    CLM_TRANSFORM_SCENE,       /* a folder: OME-Zarr 0.6 scene [displacements, affine], or an affine alone */
    CLM_TRANSFORM_AFFINE_JSON, /* *.json, as align leaves affine.json    */
    CLM_TRANSFORM_AFFINE_TEXT, /* *.txt: numpy.loadtxt reads it, 4 x 4   */
} clm_transform_kind;

typedef struct clm_transform_out {
    clm_transform_kind kind;
    char path[CLM_PATH_MAX];
    clm_transform_spec spec; /* shape 0: no field                         */
    clm_grid chunks;         /* of the lattice's nodes; n 0 without field */
    clm_array *field, *coverage, *residual;
} clm_transform_out;

/** The kind that the name of OUT asks for. CLM_E_ARG: it cannot hold a field, which there is. */
CLM_MUST bool clm_transform_kind_of(const char *path, bool has_field, clm_transform_kind *out, clm_err *err);
/** A kind that is one file, which clm_transform_out_finish publishes whole. */
bool clm_transform_kind_is_file(clm_transform_kind kind);

/** Arrays without chunks, once, before any rank opens them. */
CLM_MUST bool clm_transform_out_create(const clm_transform_out *out, clm_err *err);
/** Open for writing and reading; again is fine. */
CLM_MUST bool clm_transform_out_open(clm_transform_out *out, clm_err *err);
void clm_transform_out_close(clm_transform_out *out);
/** One chunk of the lattice: u's three planes in one allocation, coverage 0 .. 1, residual (NULL: none) in um. */
CLM_MUST bool clm_transform_out_put(const clm_transform_out *out, int64_t chunk, const clm_field *u,
                                    const float *coverage, const float *residual, clm_err *err);
/** What makes it a transform. attributes: NULL or an object kept beside, where the kind has room for it. */
CLM_MUST bool clm_transform_out_finish(const clm_transform_out *out, const clm_json *attributes,
                                       clm_err *err);

/** affine.json and affine.txt, as align and this leave them: keys added to v, 4 x 4 text appended to b. */
void clm_affine_to_json(const clm_affine *a, clm_json *v);
CLM_MUST bool clm_affine_to_text(const clm_affine *a, clm_buf *b, clm_err *err);

#endif
