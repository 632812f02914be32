/* The words that rules on metadata documents are written in. For rules*.c and validate.c only. Every one
 * fails with CLM_E_FORMAT and names the key. */
#ifndef CLM_STORE_RULES_H
#define CLM_STORE_RULES_H

#include "collimate/base/json.h"

#define CLM_AXES_MAX 32

/** Which text of OME-Zarr holds. */
typedef struct clm_ome_version {
    int minor; /* 0.minor                                                      */
    bool
        object_ends; /* 0.6: input and output of transforms are objects (since dev4); before, what drafts wrote */
    bool any_axes; /* later than 0.6: axes of any number and type                  */
    char text[24];
} clm_ome_version;

bool clm_rule_equal(const clm_json *a, const clm_json *b); /* as values; order of keys does not matter */
/** v.key: a list of at least `least` items, no two alike when unique. *out NULL if absent and not needed. */
CLM_MUST bool clm_rule_list(const clm_json *v, const char *key, bool needed, int64_t least, bool unique,
                            const clm_json **out, clm_err *err);
CLM_MUST bool clm_rule_object(const clm_json *v, const char *key, bool needed, const clm_json **out,
                              clm_err *err);
CLM_MUST bool clm_rule_text(const clm_json *v, const char *key, bool needed, clm_err *err);
/** Letters and digits, and those in `more`; "a/b": two such parts when parts is 2. */
CLM_MUST bool clm_rule_name(const clm_json *v, const char *key, int parts, const char *more, clm_err *err);
CLM_MUST bool clm_rule_whole(const clm_json *v, const char *key, bool needed, int64_t least, int64_t most,
                             clm_err *err);
CLM_MUST bool clm_rule_number(const clm_json *v, const char *key, bool needed, clm_err *err);
CLM_MUST bool clm_rule_bool(const clm_json *v, const char *key, clm_err *err);
/** A list of numbers; n < 0: of any length, else just so many. positive: each above 0. */
CLM_MUST bool clm_rule_numbers(const clm_json *v, const char *key, int64_t n, bool positive, clm_err *err);

/* rules_transform.c */

/** Coordinate systems by name, with how many axes each has. */
typedef struct clm_systems {
    int n;
    struct {
        const char *name;
        int axes;
    } of[CLM_AXES_MAX];
} clm_systems;

/** Axes of an image (0.4, 0.5) or a coordinate system (0.6): objects with unique names. */
CLM_MUST bool clm_rule_axes(const clm_json *v, const clm_ome_version *version, int *n, clm_err *err);
CLM_MUST bool clm_rule_systems(const clm_json *v, bool needed, const clm_ome_version *version,
                               clm_systems *out, clm_err *err);
int clm_systems_axes(const clm_systems *s, const char *name); /* -1: not there */
/** One transform of 0.6; in, out: axes before and after, -1 unknown. */
CLM_MUST bool clm_rule_transform(const clm_json *v, const clm_ome_version *version, int in, int *out,
                                 clm_err *err);
/** A list of transforms between coordinate systems, of a scene or of an image (local: their own). */
CLM_MUST bool clm_rule_transforms(const clm_json *list, const clm_systems *s, const clm_ome_version *version,
                                  bool scene, clm_err *err);

/* rules_screen.c */
CLM_MUST bool clm_rule_plate(const clm_json *plate, const clm_ome_version *version, clm_err *err);
CLM_MUST bool clm_rule_well(const clm_json *well, const clm_ome_version *version, clm_err *err);
CLM_MUST bool clm_rule_label(const clm_json *label, clm_err *err);
CLM_MUST bool clm_rule_omero(const clm_json *omero, const clm_ome_version *version, clm_err *err);

#endif
