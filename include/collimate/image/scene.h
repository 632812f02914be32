/* A continuous microscopy-like scene over the whole world: cell bodies with dark nuclei and
 * processes, clusters, vessels with walls and dark lumen, thin fibres, specks, haze, and regions with
 * almost nothing. A pure function of (seed, position), soft at the scale of cell_um / 5, so that voxels
 * need no further blur. Every item belongs to a bucket of a lattice and has finite reach: the scene of a
 * box costs only the items near it, and is the same for any way of cutting the world. */
#ifndef CLM_IMAGE_SCENE_H
#define CLM_IMAGE_SCENE_H

#include "collimate/base/work.h"

typedef struct clm_scene {
    uint64_t seed;
    double cell_um; /* typical radius of a cell; everything scales with it */
    double density; /* 1: about one cell a cube of 5 cell_um               */
} clm_scene;

/** Brightness (0 nothing, about 1 a bright cell) at points laid out as a grid.
 *  shape    points along z, y, x; neighbours in the grid should be neighbours in the world (speed only)
 *  pos      [3][product of shape] world micrometres, z y x
 *  out      [product of shape], >= 0
 *  Memory   temp: the items within 5 cell_um of the points' bounding box, about 0.5 MiB for
 *           (100 um)^3 at cell_um 4 */
CLM_MUST bool clm_scene_at(const clm_work *w, const clm_scene *scene, const int64_t shape[3],
                           const double *const pos[3], float *out, clm_err *err);

#endif
