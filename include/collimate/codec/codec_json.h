/* Codecs, element types and fill values as metadata documents spell them. */
#ifndef CLM_CODEC_CODEC_JSON_H
#define CLM_CODEC_CODEC_JSON_H

#include "collimate/base/json.h"
#include "collimate/codec/codec.h"

/** numpy spelling: "<u2", "|b1", ">f8", "<c16"; also "uint16" (native). */
bool clm_stored_of_numpy(const char *text, clm_stored *out);

/** An object {"id": ..., parameters}, as Zarr v2 and numcodecs have it; element: what the codec's input
 *  consists of where it does not say. `id` NULL: take it from the object.
 *  Errors CLM_E_UNSUPPORTED names an unknown codec; CLM_E_FORMAT a bad parameter. */
CLM_MUST bool clm_codec_of_numcodecs(const clm_json *v, const char *id, clm_stored element, clm_codec *out,
                                     clm_err *err);
/** N5's {"type": ..., parameters}; *none: raw. */
CLM_MUST bool clm_codec_of_n5(const clm_json *v, const char *type, clm_stored element, clm_codec *out,
                              bool *none, clm_err *err);

/** A fill value into one native element. digits: the number's text where the document's integer may not
 *  fit a double ("" if not known). v3: hexadecimal floats and lists for complex are allowed, null is not. */
CLM_MUST bool clm_fill_parse(const clm_json *v, const char *digits, clm_dtype type, bool v3,
                             unsigned char element[16], clm_err *err);
/** One element from a number, as a spec gives it. */
CLM_MUST bool clm_fill_of_double(double x, clm_dtype type, unsigned char element[16], clm_err *err);
/** Add it to an object the way every reader takes it. */
void clm_fill_add(clm_json *parent, const char *key, const unsigned char element[16], clm_dtype type);

/** The text of the number at a key of the outermost object, "" if it is none; at most cap bytes. */
void clm_json_digits(const void *text, size_t n, const char *key, char *out, size_t cap);

#endif
