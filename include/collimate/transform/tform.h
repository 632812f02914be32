/* One coordinate transformation of OME-Zarr 0.6, with all that is nested in it: read from metadata, and applied to
 * points in either direction. A point is a list of numbers in the order of its coordinate system's axes, in their
 * units; nothing is converted. Also read: what drafts up to 0.6.dev4 wrote (axes by name, inverseOf, parameters of
 * scale and translation by path, input_axes, flat byDimension items). */
#ifndef CLM_TRANSFORM_TFORM_H
#define CLM_TRANSFORM_TFORM_H

#include "collimate/base/arena.h"
#include "collimate/transform/nfield.h"

#define CLM_TFORM_DEPTH_MAX 32 /* nested deeper is refused */

typedef enum clm_tform_kind {
    CLM_TFORM_SAME,   /* identity                                                      */
    CLM_TFORM_SCALE,  /* x_i * number_i                                                */
    CLM_TFORM_SHIFT,  /* x_i + number_i                                                */
    CLM_TFORM_PICK,   /* output i is input pick[i], 0 where that is -1: mapAxis, projectAxis */
    CLM_TFORM_MATRIX, /* affine, rotation: number [out][in + 1]                        */
    CLM_TFORM_CHAIN,  /* part 0, then part 1, ...                                      */
    CLM_TFORM_FIELD,  /* displacements, coordinates                                    */
    CLM_TFORM_PAIR,   /* bijection: part 0 forward, part 1 back                        */
    CLM_TFORM_SPLIT,  /* byDimension: part k takes some inputs to some outputs, slice[k] */
    CLM_TFORM_TURNED  /* inverseOf part 0                                              */
} clm_tform_kind;

typedef struct clm_tform_slice { /* of byDimension: the axes of one part */
    int n_in, n_out, in[CLM_DIMS_MAX], out[CLM_DIMS_MAX];
} clm_tform_slice;

typedef struct clm_tform clm_tform;
struct clm_tform {
    clm_tform_kind kind;
    const char *type; /* as the metadata say, borrowed from them  */
    int in, out;      /* numbers of a point before and after; -1: any, the same (identity alone) */
    double *number;
    int pick[CLM_DIMS_MAX];
    int n; /* parts */
    clm_tform **part;
    clm_tform_slice *slice;
    clm_nfield *field;
    clm_tform *next_field; /* all with a field, so that they can be closed */
};

/** The axes of one side. n -1: not known; name NULL: no names. */
typedef struct clm_tform_axes {
    int n;
    const char *const *name;
} clm_tform_axes;

/** Where parameters that are arrays are looked for, and where transformations live. */
typedef struct clm_tform_ground {
    const char *store; /* folder; NULL: none, parameters by path are refused       */
    const char *group; /* below it: what paths are relative to; "" the store itself */
    clm_arena *arena;  /* transformations and their numbers                        */
    clm_cache *cache;  /* of fields' chunks; NULL: none                            */
    clm_tform *fields; /* fields opened so far: clm_tform_close_fields             */
} clm_tform_ground;

/** v -> *out, which lives as long as the arena and v.
 *  Errors   CLM_E_FORMAT names the key, as a path from v; CLM_E_UNSUPPORTED a type that is not known; reading */
CLM_MUST bool clm_tform_parse(const clm_json *v, clm_tform_ground *g, const clm_tform_axes *in,
                              const clm_tform_axes *out, clm_tform **t, clm_err *err);
void clm_tform_close_fields(clm_tform_ground *g);
/** The field that transformation v of type displacements or coordinates names; in, out: axes, -1 unknown. */
CLM_MUST bool clm_tform_open_field(const clm_json *v, clm_tform_ground *g, int in, int out, clm_nfield *f,
                                   clm_err *err);

/** Can it be applied in this direction? If not, why tells: "projectAxis drops an axis". why may be NULL. */
bool clm_tform_can(const clm_tform *t, bool back, const char **why);
/** A bijection's part for a direction, and whether that one is turned round. */
const clm_tform *clm_tform_side(const clm_tform *pair, bool back, bool *turned);
/** Does that direction need an iterative solution? */
bool clm_tform_is_solved(const clm_tform *t, bool back);
/** x [CLM_DIMS_MAX], of which the first in (back: out) numbers are the point, in place.
 *  Errors   CLM_E_NUMERIC a field's inverse was not found; CLM_E_UNSUPPORTED clm_tform_can says no; reading */
CLM_MUST bool clm_tform_apply(const clm_tform *t, bool back, double *x, clm_err *err);
/** Is it affine, whatever it is made of? Then number [out][in + 1], rows in front of each other; in, out > 0. */
bool clm_tform_affine(const clm_tform *t, bool back, int n, double *number);

#endif
