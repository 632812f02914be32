/* Transforms of other programs, for map_open.c. docs/foreign_transforms.md lists them. */
#ifndef CLM_TRANSFORM_FOREIGN_H
#define CLM_TRANSFORM_FOREIGN_H

#include "collimate/transform/map.h"
#include "collimate/transform/field_file.h"

/** What a user says before a path, PREFIX:PREFIX:PATH:
 *    inverse:            backwards
 *    spacing=Z,Y,X:      of the nodes of a field that does not tell it, or instead of what it tells
 *    origin=Z,Y,X:       of its first node
 *    like=IMAGE:         the field covers this image
 *    unit=mm:            of fields and matrices without a unit; else micrometres
 *    xyz:                text matrices and plain fields in the order x y z
 *    positions:          a plain field that holds where each node goes to */
typedef struct clm_said {
    const char *path; /* what is left, borrowed */
    bool inverse;
    clm_field_hint hint;
    clm_image *like; /* owned */
} clm_said;
CLM_MUST bool clm_said_parse(const char *text, clm_said *out, clm_err *err);
void clm_said_free(clm_said *s);

/** Add what the path holds to the map. *known false: none of these formats, nothing was done.
 *  Errors name the file */
CLM_MUST bool clm_foreign_open(const clm_said *s, clm_map *map, bool *known, clm_err *err);

#endif
