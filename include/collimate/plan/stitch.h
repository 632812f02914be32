/* Blending the blocks' fields into one: sum w u / sum w over the blocks that are there. */
#ifndef CLM_PLAN_STITCH_H
#define CLM_PLAN_STITCH_H

#include "collimate/core/field.h"
#include "collimate/plan/grid.h"

/** How the lattice of a field lies on a grid of blocks: node k stands on voxel k * pitch. */
typedef struct clm_lattice_plan {
    clm_grid blocks;   /* over voxels of the working level; block and halo are multiples of pitch */
    int64_t pitch;     /* voxels between nodes                                                   */
    int64_t shape[3];  /* nodes of the whole field: they reach the last voxel of every axis      */
    double spacing[3]; /* micrometres between nodes                                              */
    double origin[3];  /* world micrometres of node (0,0,0)                                      */
} clm_lattice_plan;

clm_lattice_plan clm_lattice_plan_make(const int64_t extent[3], const double spacing[3],
                                       const double origin[3], int64_t block, int64_t halo, int64_t pitch);
/** The nodes that cover a box of voxels, as a half-open box of nodes. */
clm_box clm_lattice_nodes(const clm_lattice_plan *p, clm_box voxels);
/** How far (voxels) a block's result is used beyond its core: the inner half of its halo. */
void clm_lattice_reach(const clm_lattice_plan *p, int64_t reach[3]);
/** The blending weight of block `index` at a node: a product over the axes of C1 ramps that rise from 0 to 1
 *  across the faces shared with neighbours, over +-reach; 1 towards the faces of the volume. Over all blocks
 *  the weights of a node sum to 1 when every block is wider than its halo. */
double clm_lattice_weight(const clm_lattice_plan *p, int64_t index, const int64_t node[3]);

/** One block's field on the nodes of its padded box. */
typedef struct clm_piece {
    int64_t block; /* index in p->blocks                             */
    clm_box nodes; /* which nodes of the whole lattice `field` holds */
    const clm_field *field;
} clm_piece;

/** The nodes `chunk` of the stitched field.
 *
 *  pieces     the blocks present that reach the chunk, ascending by block; absent ones simply have no weight
 *  prior      the field before this pass on exactly the chunk's nodes: what holes fall back to. Where the
 *             present weights sum to less than one half, the correction u - prior fades to zero with them,
 *             so that a missing block leaves no cliff. NULL: none is missing
 *  out        on the chunk's nodes, allocated by the caller
 *  coverage   [nodes of chunk] sum of the present weights, 0..1
 *  Deterministic: sums run in the order of pieces. */
void clm_stitch_chunk(const clm_lattice_plan *p, clm_box chunk, const clm_piece *pieces, int64_t n_pieces,
                      const clm_field *prior, clm_field *out, float *coverage);

#endif
