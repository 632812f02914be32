/* How well label volumes on one grid agree: Dice of every label, and how far apart their surfaces are. All sums
 * are integers, so blocks may be merged in any order. Label 0 is background. */
#ifndef CLM_IMAGE_OVERLAP_H
#define CLM_IMAGE_OVERLAP_H

#include "collimate/base/work.h"
#include "collimate/core/box.h"

/** Voxel offsets within a reach, nearest first: where a surface voxel looks for its counterpart. */
typedef struct clm_ball {
    int64_t n;
    int32_t (*at)[3]; /* [n], at[0] = 0                                             */
    int32_t *ring;    /* [n] which of the distances below, ascending                */
    int64_t rings;
    double *um;      /* [rings] the distances there are, ascending                 */
    int64_t halo[3]; /* voxels a block needs around its own: one more than the farthest offset */
    double reach_um;
} clm_ball;

/** Errors CLM_E_ARG reach not positive, or more than 2^24 offsets. Memory: keep 24 bytes an offset. */
CLM_MUST bool clm_ball_make(const clm_work *w, const double spacing[3], double reach_um, clm_ball *out,
                            clm_err *err);

/** What is counted of a label: voxels; and its surface voxels by the distance to the other volume's, CLM_COUNT_RING +
 *  (rings + 1) side + ring, side 0 from fixed to moving, ring == rings: no counterpart within the reach. */
enum { CLM_COUNT_FIXED, CLM_COUNT_MOVING, CLM_COUNT_BOTH, CLM_COUNT_RING };

typedef struct clm_label_count {
    int64_t label, what, n;
} clm_label_count;

typedef struct clm_overlap {
    clm_arena *arena;
    clm_label_count *row; /* hash table of `room` places; n 0: free */
    int64_t n, room;
} clm_overlap;

/** Empty; grows in `a`, 48 bytes a count. */
CLM_MUST bool clm_overlap_new(clm_arena *a, clm_overlap *out, clm_err *err);
/** Add to one count, as when merging the rows of another part. */
CLM_MUST bool clm_overlap_count(clm_overlap *s, int64_t label, int64_t what, int64_t n, clm_err *err);

/** Add the voxels of `core`.
 *
 *  fixed, moving  labels on one grid of `shape`, packed; the block's own with ball->halo around it, as far as
 *                 the volume goes
 *  ball           NULL: Dice only
 *  A surface voxel has a neighbour across a face with another label; the volume's own faces are no surface.
 *  Errors  CLM_E_BUDGET. Memory: temp 2 bytes a voxel */
CLM_MUST bool clm_overlap_add(const clm_work *w, clm_overlap *s, const int64_t *fixed, const int64_t *moving,
                              const int64_t shape[3], clm_box core, const clm_ball *ball, clm_err *err);

/** All counts, ordered by label, then by what; [s->n] in `a`. */
CLM_MUST bool clm_overlap_rows(const clm_overlap *s, clm_arena *a, clm_label_count **out, clm_err *err);

typedef struct clm_label_sum {
    int64_t fixed, moving, both; /* voxels                                                            */
    double dice;                 /* 2 |A and B| / (|A| + |B|)                                         */
    int64_t surface, beyond;     /* surface voxels of both; those without counterpart in reach        */
    double mean_um;              /* symmetric: over the surface voxels of both; beyond counts as reach */
    double hausdorff95_um; /* the larger of both directions' 95 % distances; infinity: beyond the reach */
    double hausdorff_um;   /* the largest distance; infinity: beyond the reach                        */
} clm_label_sum;

/** What n rows say, whether of one label or of all. ball NULL: no distances (NaN). NaN also without surface.
 *  Memory: temp 16 bytes a ring. */
CLM_MUST bool clm_overlap_sum(const clm_work *w, const clm_label_count *row, int64_t n, const clm_ball *ball,
                              clm_label_sum *out, clm_err *err);

#endif
