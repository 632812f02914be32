/* How well label volumes on one grid agree: Dice of every label, and how far apart their surfaces are. All sums
 * are integers, so blocks may be merged in any order. Label 0 is background. */
#ifndef CLM_IMAGE_OVERLAP_H
#define CLM_IMAGE_OVERLAP_H

#include "collimate/base/work.h"
#include "collimate/core/box.h"

/** Voxel offsets within a reach, nearest first: where a surface voxel looks for its counterpart. */
typedef struct clm_ball {
    int64_t n;
    int32_t (*at)[3]; /* [n], at[0] = 0                             */
    double *um;       /* [n] distance, ascending                    */
    int64_t halo[3];  /* voxels a block needs around its own: one more than the farthest offset */
    double reach_um;
} clm_ball;

/** Errors CLM_E_ARG reach not positive, or more than 2^24 offsets. Memory: keep 20 bytes an offset. */
CLM_MUST bool clm_ball_make(const clm_work *w, const double spacing[3], double reach_um, clm_ball *out,
                            clm_err *err);

typedef struct clm_label_sum {
    int64_t label;
    int64_t fixed, moving, both; /* voxels                                                        */
    int64_t surface;             /* surface voxels of both volumes                                */
    int64_t beyond;              /* ... whose counterpart is farther than the reach, or not there */
    int64_t distance;            /* sum of distances in 2^-24 um; those beyond count as the reach */
} clm_label_sum;

#define CLM_DISTANCE_UNIT (1.0 / 16777216.0) /* um */

typedef struct clm_overlap {
    clm_arena *arena;
    clm_label_sum *row; /* hash table of `room` places; label 0: free */
    int64_t n, room;
    int64_t
        *rank; /* [ball n + 1] surface voxels by the offset their counterpart was found at; last: beyond */
    int64_t ranks;
} clm_overlap;

/** Empty; grows in `a`. ball NULL: Dice only. */
CLM_MUST bool clm_overlap_new(clm_arena *a, const clm_ball *ball, clm_overlap *out, clm_err *err);

/** Add the voxels of `core`.
 *
 *  fixed, moving  labels on one grid of `shape`, packed; the block's own with ball->halo around it, as far as
 *                 the volume goes
 *  ball           as given to clm_overlap_new
 *  A surface voxel has a neighbour across a face with another label; the volume's own faces are no surface.
 *  Errors  CLM_E_NOMEM. Memory: temp 2 bytes a voxel; the arena 64 bytes a label */
CLM_MUST bool clm_overlap_add(const clm_work *w, clm_overlap *s, const int64_t *fixed, const int64_t *moving,
                              const int64_t shape[3], clm_box core, const clm_ball *ball, clm_err *err);
CLM_MUST bool clm_overlap_merge(clm_overlap *into, const clm_overlap *part, clm_err *err);

/** All labels, ascending; [s->n] in `a`. */
CLM_MUST bool clm_overlap_list(const clm_overlap *s, clm_arena *a, clm_label_sum **out, clm_err *err);

/** 2 |A and B| / (|A| + |B|). */
static inline double clm_label_dice(const clm_label_sum *r) {
    return 2.0 * (double)r->both / (double)(r->fixed + r->moving);
}
/** Mean symmetric surface distance, um (beyond the reach: the reach); NaN without surface. */
double clm_label_distance(const clm_label_sum *r);
/** The distance that this part of all surface voxels does not exceed; infinity when beyond the reach. */
double clm_overlap_percentile(const clm_overlap *s, const clm_ball *ball, double part);

#endif
