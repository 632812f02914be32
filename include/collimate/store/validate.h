/* Is this what its format says it must be: the core of `collimate validate`. */
#ifndef CLM_STORE_VALIDATE_H
#define CLM_STORE_VALIDATE_H

#include "collimate/base/json.h"

typedef struct clm_validate_options {
    bool chunks; /* decode every chunk of every array, too */
    int threads; /* that do it; 0: one                     */
} clm_validate_options;

/** Check what stands at `path`: a hierarchy of N5 or Zarr (all of it, below, too), a file in a format that
 *  is read, a metadata document alone (.zarray, zarr.json, attributes.json, .zattrs or OME-Zarr attributes
 *  under any name), or, when path begins with '{', such a document itself.
 *  found    appended to: what was checked, "image of OME-Zarr 0.5, 3 arrays"
 *  Errors   CLM_E_FORMAT not valid; CLM_E_UNSUPPORTED valid perhaps, but not read by this program: the text
 *           says where and why; CLM_E_NOTFOUND, CLM_E_IO it could not be looked at */
CLM_MUST bool clm_validate(const char *path, const clm_validate_options *options, clm_buf *found,
                           clm_err *err);

/** User attributes of a group, as OME-Zarr 0.1 to 0.6 want them: image, labels, label, plate, well, series,
 *  bioformats2raw, scene. what: receives the words for it, "image of OME-Zarr 0.4"; "" when they are no
 *  OME-Zarr at all.
 *  Errors CLM_E_FORMAT
 *  Source OME-Zarr 0.1 to 0.6, text and JSON schemas; where they differ the schema decides. */
CLM_MUST bool clm_validate_ome(const clm_json *attributes, char what[64], clm_err *err);

#endif
