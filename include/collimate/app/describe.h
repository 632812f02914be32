/* What stands at a path, for people and programs: the core of `collimate info`. */
#ifndef CLM_APP_DESCRIBE_H
#define CLM_APP_DESCRIBE_H

#include "collimate/base/json.h"

/** An object: path, kind ("image", "array", "transform", "group"), and of
 *    image     format, dtype, codec, dialect, unit, channels, times, levels [{path, shape, chunk, spacing_um, origin_um}]
 *    array     format, dtype, shape, chunk, inner (if sharded), codec, note (why it is no image)
 *    transform affine, lattice {shape, spacing_um, origin_um}
 *    group     children [names of arrays and groups in it]
 *  The caller frees. Errors CLM_E_NOTFOUND; CLM_E_FORMAT, CLM_E_UNSUPPORTED: nothing that is understood. */
CLM_MUST bool clm_describe(const char *path, clm_json **out, clm_err *err);
/** The same as aligned lines of text, appended to b. */
CLM_MUST bool clm_describe_text(const clm_json *v, clm_buf *b, clm_err *err);

#endif
