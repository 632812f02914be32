/* The files around a phantom (image/phantom.h): the pair, the truth beside it, and what a run made of it. */
#ifndef CLM_APP_DEMO_H
#define CLM_APP_DEMO_H

#include "collimate/base/json.h"
#include "collimate/image/phantom.h"
#include "collimate/image/truth.h"

typedef struct clm_demo_options {
    int64_t chunk;                             /* voxels a side of a chunk                       */
    int threads;                               /* at least 1; the bytes do not depend on it      */
    void (*tell)(void *ctx, const char *line); /* NULL: in silence    */
    void *ctx;
} clm_demo_options;

/** Write folder/fixed.ome.zarr (OME-Zarr 0.5, array s0), folder/moving.n5 (array s0), both uint16, and
 *  last folder/truth.json: parameters, affine, and sample points with where T puts them, for other
 *  programs. Same parameters, same voxels. Memory: about 64 bytes a voxel of a chunk and 32 MiB a thread.
 *  Errors CLM_E_ARG bad parameters, or another volume is there already; CLM_E_WRITE */
CLM_MUST bool clm_demo_write(const char *folder, const clm_phantom_params *params, const clm_demo_options *o,
                             clm_err *err);

/** truth.json's text from parameters, and back. CLM_E_FORMAT names what is wrong. */
CLM_MUST bool clm_demo_truth_to_json(const clm_phantom *p, clm_json **out, clm_err *err);
CLM_MUST bool clm_demo_truth_from_json(const clm_json *v, clm_phantom *out, clm_err *err);

/** What a run recovered: errors where T maps into the moving volume. */
typedef struct clm_demo_errors {
    clm_truth_error before; /* identity                       */
    clm_truth_error affine; /* the run's global affine alone  */
    clm_truth_error field;  /* all of the run's transform     */
} clm_demo_errors;

/** Compare run/transform.ome.zarr with folder/truth.json. Memory: two planes of the run's lattice.
 *  Errors CLM_E_NOTFOUND, CLM_E_FORMAT, CLM_E_IO of either. */
CLM_MUST bool clm_demo_check(const char *folder, const char *run, clm_demo_errors *out, clm_err *err);
/** A picture of the errors in the middle plane of z: after the affine left, after the field right. */
CLM_MUST bool clm_demo_draw_errors(const char *folder, const char *run, const char *path, clm_err *err);
/** The table, for people. */
CLM_MUST bool clm_demo_errors_print(const clm_demo_errors *e, clm_buf *out, clm_err *err);
/** The same figures: {"points", "before": {"um": {"median", ...}, "voxels": {...}}, "affine", "field"}. */
CLM_MUST bool clm_demo_errors_to_json(const clm_demo_errors *e, clm_json **out, clm_err *err);

#endif
