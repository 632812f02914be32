/* All coordinate systems of an OME-Zarr store and the transformations between them, as one graph: a scene, images
 * with their pyramids, and what they refer to. Finds the way between any two systems and takes points along it.
 * Source  OME-Zarr 0.6, "coordinateSystems", "coordinateTransformations", "scene"; drafts from 0.6.dev1 on. */
#ifndef CLM_TRANSFORM_GRAPH_H
#define CLM_TRANSFORM_GRAPH_H

#include "collimate/base/text.h"
#include "collimate/transform/tform.h"

typedef struct clm_graph clm_graph;

typedef struct clm_graph_axis {
    const char *name, *type, *unit; /* borrowed; "" where there is none */
} clm_graph_axis;

/** A way between two systems. */
typedef struct clm_route {
    int from, to, n;
    const clm_tform **hop; /* n of them */
    const bool *back;
} clm_route;

/** store: the root of a Zarr hierarchy, or the metadata file in it (zarr.json, .zattrs). Reads metadata of the root and
 *  of whatever it refers to, nothing else.
 *  cache     of fields' chunks, borrowed; NULL: none
 *  Errors    CLM_E_NOTFOUND; CLM_E_FORMAT names the metadata's field */
CLM_MUST bool clm_graph_open(const char *store, clm_cache *cache, clm_graph **out, clm_err *err);
void clm_graph_close(clm_graph *s); /* NULL is fine */

/** The system called so: NAME where that is not ambiguous, PATH#NAME, or the PATH of an image (its intrinsic system) or
 *  of an array (its indices).
 *  Errors    CLM_E_ARG none or several: lists those there are */
CLM_MUST bool clm_graph_find(clm_graph *s, const char *name, int *system, clm_err *err);
/** Its axes, borrowed; -1: not known. */
int clm_graph_axes(const clm_graph *s, int system, const clm_graph_axis **axes);

/** The systems of the root's first transformation in "scene". CLM_E_FORMAT there is none. */
CLM_MUST bool clm_graph_first(const clm_graph *s, int *from, int *to, clm_err *err);
/** The folder of the image or array that a system belongs to. */
CLM_MUST bool clm_graph_node(const clm_graph *s, int system, char path[CLM_PATH_MAX], clm_err *err);

/** The way of fewest transformations; of equally short ones that with the fewest fields to be solved backwards, then
 *  that with the fewest turned round, then the one met first in the metadata. It lives as long as the scene.
 *  Errors    CLM_E_ARG there is none, and what stands in the way; CLM_E_FORMAT a transformation on all ways is wrong */
CLM_MUST bool clm_graph_route(clm_graph *s, int from, int to, clm_route *out, clm_err *err);
/** x [CLM_DIMS_MAX] of `from` becomes that of `to`. Errors: those of clm_tform_apply. */
CLM_MUST bool clm_route_apply(const clm_route *r, double *x, clm_err *err);
/** Numbers of a point at the start and at the end; -1: not known. */
int clm_route_in(const clm_graph *s, const clm_route *r);
int clm_route_out(const clm_graph *s, const clm_route *r, int n_in);

#endif
