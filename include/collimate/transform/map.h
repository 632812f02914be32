/* A transform as commands use it: a chain of affines and stored displacement fields, fixed world -> moving world,
 * evaluated on boxes of voxels or on lists of points. Fields stay on disk; only what is asked for is read. */
#ifndef CLM_TRANSFORM_MAP_H
#define CLM_TRANSFORM_MAP_H

#include "collimate/base/work.h"
#include "collimate/transform/transform.h"

#define CLM_MAP_STEPS_MAX 32

typedef enum clm_step_kind {
    CLM_STEP_AFFINE,     /* x -> A x                              */
    CLM_STEP_FIELD,      /* x -> x + u(x)                         */
    CLM_STEP_FIELD_BACK, /* y -> the x with x + u(x) = y, solved  */
} clm_step_kind;

typedef struct clm_map_step {
    clm_step_kind kind;
    clm_affine affine;
    clm_vectors field;
} clm_map_step;

typedef struct clm_map {
    int n;
    clm_map_step step[CLM_MAP_STEPS_MAX];
    clm_image_frame fixed, moving; /* grids of both ends; shape 0: not known */
    clm_cache *cache;              /* of the fields' chunks; NULL: none      */
    double tolerance_um; /* of fields solved backwards, in their own space; 0: 1e-5 of a node's spacing */
} clm_map;

/** Open paths[0], then paths[1], ...: a point goes through paths[0] first. Each is
 *    a run folder of align, finished (its transform.ome.zarr is taken)
 *    an OME-Zarr scene: its first transformation
 *    STORE::SOURCE::TARGET   the way between two coordinate systems of an OME-Zarr store
 *    *.json   with "affine": 3 rows of 4 numbers, z y x, micrometres (affine.json of a run)
 *    any other file: 3 x 4 or 4 x 4 numbers as numpy.savetxt writes them; # begins a comment
 *    what other programs write: transform/foreign.h
 *    inverse:PATH   any of these, backwards: by the inverse that a scene stores (a bijection), else solved; what else may be said before a path: transform/foreign.h
 *  cache_bytes: budget for decoded chunks of the fields; 0: none.
 *  Errors   CLM_E_NOTFOUND; CLM_E_FORMAT what a file should hold; CLM_E_UNSUPPORTED; CLM_E_ARG too long;
 *           CLM_E_NUMERIC an affine that cannot be inverted */
CLM_MUST bool clm_map_open(const char *const *paths, int n, size_t cache_bytes, clm_map *out, clm_err *err);
/** The way back of that chain as it is stored. *stored false: some field has no inverse of its own; out is then closed. */
CLM_MUST bool clm_map_open_stored_back(const char *const *paths, int n, size_t cache_bytes, clm_map *out,
                                       bool *stored, clm_err *err);
void clm_map_close(clm_map *map); /* zeroed is fine */
/** Append a step. CLM_E_ARG when the chain is full. */
CLM_MUST bool clm_map_add_affine(clm_map *map, const clm_affine *a, clm_err *err);
/** The field's arrays are the map's from then on; on failure they stay the caller's. */
CLM_MUST bool clm_map_add_field(clm_map *map, const clm_vectors *field, clm_err *err);
/** The steps of `from` after those of map; its fields are map's from then on. Frames are left alone. */
CLM_MUST bool clm_map_append(clm_map *map, clm_map *from, clm_err *err);
/** T becomes its inverse: steps and frames turned round. CLM_E_NUMERIC an affine has none. */
CLM_MUST bool clm_map_turn(clm_map *map, clm_err *err);
/** Append the way between two systems of a store (transform/graph.h tells how they are called), or, with both NULL, its
 *  first transformation; sets the frames. back: from target to source. World z y x micrometres are turned into the axes and units of the
 *  systems and back.
 *  Errors   CLM_E_UNSUPPORTED systems of other than three axes, fields that are not linear on an upright lattice */
CLM_MUST bool clm_map_add_scene(clm_map *map, const char *store, const char *source, const char *target,
                                bool back, clm_err *err);
/** Everything that decides what T does, but the fields' voxels. */
uint64_t clm_map_hash(const clm_map *map, uint64_t hash);
/** What tells the files of its fields from others made in their place: clm_tree_stamp of each. */
CLM_MUST bool clm_map_stamp(const clm_map *map, uint64_t *stamp, clm_err *err);

/** T over the voxels of `grid` as A(x + u(x)).
 *
 *  A [field, affine] pair, or a part of it, is given as stored: u holds the lattice's own nodes around the grid.
 *  A longer chain is evaluated at each voxel: u then has one node a voxel, exact at voxel centres.
 *  u         made in w->keep; *has_field false: no displacement at all, u is left alone
 *  flags     [voxels of grid] in w->keep as clm_map_at says; NULL where no voxel can be unsolved */
CLM_MUST bool clm_map_over(const clm_map *map, const clm_work *w, const clm_vol *grid, clm_affine *a,
                           clm_field *u, bool *has_field, const uint8_t **flags, clm_err *err);
/** The product of the affines of the chain, as if its fields moved nothing: A of the two below. */
clm_affine clm_map_affine(const clm_map *map);
/** T at every voxel of `grid`, whatever the chain: T(x) = A(x + u), A = clm_map_affine.
 *  u      [voxels] micrometres z y x, in w->keep; where a field could not be solved the nearest that was found
 *  flags  [voxels] in w->keep: CLM_POINT_EXTRAPOLATED, CLM_POINT_UNSOLVED
 *  Errors CLM_E_NUMERIC an affine that cannot be inverted; those of reading
 *  Memory temp: as clm_map_points */
CLM_MUST bool clm_map_at(const clm_map *map, const clm_work *w, const clm_vol *grid, double (**u)[3],
                         uint8_t **flags, clm_err *err);
/** How many nodes u will have, so that callers can ask for less. */
double clm_map_nodes(const clm_map *map, const clm_vol *grid);

/* Flags of a point. */
#define CLM_POINT_EXTRAPOLATED 1 /* beyond the nodes of a field, which keeps its border's value there   */
#define CLM_POINT_OUTSIDE 2      /* where it arrives there is no voxel (when the grid there is known)   */
#define CLM_POINT_UNSOLVED 4     /* a field turned round: the residual is above the tolerance           */

/** x -> T(x), in place.
 *  x [n] world micrometres z y x; flags [n], set; the order of points does not matter to any result.
 *  Memory   temp: about 100 bytes a point and the nodes of one field chunk */
CLM_MUST bool clm_map_points(const clm_map *map, const clm_work *w, int64_t n, double (*x)[3], uint8_t *flags,
                             clm_err *err);

/** y -> the x with T(x) = y, in place: x0 = the affine parts inverted, then damped Newton steps on each field.
 *  tolerance_um   of |T(x) - y|, measured in moving space through the whole chain
 *  residual_um    [n] that distance as reached
 *  Errors   CLM_E_NUMERIC an affine that cannot be inverted */
CLM_MUST bool clm_map_points_back(const clm_map *map, const clm_work *w, int64_t n, double tolerance_um,
                                  double (*x)[3], double *residual_um, uint8_t *flags, clm_err *err);

/** The same by a stored way back: y -> back(y), whatever is left; no flag tells that as unsolved. */
CLM_MUST bool clm_map_points_stored(const clm_map *map, const clm_map *back, const clm_work *w, int64_t n,
                                    double (*x)[3], double *residual_um, uint8_t *flags, clm_err *err);

/** Is x on the grid: at most half a voxel (2e-5 where the axis has more than one) beyond its voxel centres, as
 *  image/warp.h decides. An unknown frame holds everything. */
bool clm_map_frame_has(const clm_image_frame *f, const double x[3]);

#endif
