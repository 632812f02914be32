/* Parsing of transformations, between tform.c and tform_leaf.c. Every parser takes the axes before and after as far as
 * they are known and sets those of the transformation; the dispatcher compares them. */
#ifndef CLM_TRANSFORM_TFORM_PARTS_H
#define CLM_TRANSFORM_TFORM_PARTS_H

#include "collimate/transform/tform.h"

typedef struct clm_tform_parser {
    clm_tform_ground *g;
    int depth;
} clm_tform_parser;

/** The first of two spellings that is there: the standard's, and an earlier draft's. */
const clm_json *clm_tform_get(const clm_json *v, const char *key, const char *draft);
/** A list of axes, by number or, where they are known, by name. v NULL: none. */
CLM_MUST bool clm_tform_axis_list(const clm_json *v, const char *key, const clm_tform_axes *of, int *n,
                                  int list[CLM_DIMS_MAX], clm_err *err);
bool clm_tform_all_different(int n, const int *list);

CLM_MUST bool clm_tform_parse_vector(clm_tform_parser *p, const clm_json *v, const clm_tform_axes *in,
                                     const clm_tform_axes *out, clm_tform *t, clm_err *err);
CLM_MUST bool clm_tform_parse_matrix(clm_tform_parser *p, const clm_json *v, const clm_tform_axes *in,
                                     const clm_tform_axes *out, clm_tform *t, clm_err *err);
CLM_MUST bool clm_tform_parse_map_axis(clm_tform_parser *p, const clm_json *v, const clm_tform_axes *in,
                                       const clm_tform_axes *out, clm_tform *t, clm_err *err);
CLM_MUST bool clm_tform_parse_project(clm_tform_parser *p, const clm_json *v, const clm_tform_axes *in,
                                      const clm_tform_axes *out, clm_tform *t, clm_err *err);

#endif
