/* A lattice of displacement vectors on disk, in whatever form it is stored: either axis or component order, one
 * array or three, displacements or positions, floats or quantised integers. Read as micrometres to add to a point,
 * z y x. Not a transform: what opens files as transforms fills this in. */
#ifndef CLM_STORE_VECTORS_H
#define CLM_STORE_VECTORS_H

#include "collimate/core/box.h"
#include "collimate/core/field.h"
#include "collimate/store/array.h"

typedef struct clm_vectors {
    clm_array *array[3]; /* one with a component axis, or three of 3 axes, z y x of space    */
    int component_axis;  /* of array[0]: 0 or 3; -1: three arrays, one a component           */
    bool x_first;        /* component (or array) 0 is x                                      */
    bool positions;      /* values are where a node goes to, not how far                     */
    double um_per_unit;  /* stored value -> micrometres; 0: 1                                */
    bool turned;         /* the lattice's axes are not the world's ...                       */
    double turn[3][3];   /* ... vector on the lattice's axes = turn * stored; displacements only */
    int64_t shape[3];    /* nodes                                                            */
    double spacing_um[3], origin_um[3];
} clm_vectors;

/** Do the arrays fit what is said of them: axes, shape, a real type.
 *  Errors   CLM_E_FORMAT names the array and what it should be */
CLM_MUST bool clm_vectors_check(const clm_vectors *v, clm_err *err);
/** Nodes of box into out->u (allocated, shape as box); its spacing and origin are set.
 *  Errors   CLM_E_ARG shapes differ; CLM_E_FORMAT a vector that is not finite: names the node; reading */
CLM_MUST bool clm_vectors_read(const clm_vectors *v, clm_box box, clm_field *out, clm_err *err);
/** Nodes that are decoded together. */
void clm_vectors_chunk(const clm_vectors *v, int64_t chunk[3]);
void clm_vectors_use_cache(const clm_vectors *v, clm_cache *cache);
void clm_vectors_close(clm_vectors *v); /* closes the arrays; zeroed is fine */

#endif
