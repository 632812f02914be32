/* Which spots to keep when there are too many: the clearest of every part of the volume. */
#ifndef CLM_ALIGN_SPOTS_H
#define CLM_ALIGN_SPOTS_H

#include "collimate/base/work.h"
#include "collimate/core/points.h"

/** Choose at most max_spots of `all`, which may be the spots of many blocks together.
 *
 *  max_spots  0: all of them
 *  bucket_um  side of the cubes of the world that rank their own spots; 0: about four chosen spots a cube
 *  index      [n] in w->keep: the best of every cube, clearest first, then the second bests, and so on. Depends
 *             on places and scores only, not on the order of `all`
 *  Errors     CLM_E_ARG, CLM_E_BUDGET
 *  Memory     keep: 8 bytes a chosen spot; temp: 64 bytes a spot
 */
CLM_MUST bool clm_spots_choose(const clm_work *w, const clm_points *all, int64_t max_spots, double bucket_um,
                               int64_t **index, int64_t *n, clm_err *err);

/** The chosen points, in that order, in `a`. */
CLM_MUST bool clm_spots_take(clm_arena *a, const clm_points *all, const int64_t *index, int64_t n,
                             clm_points *out, clm_err *err);

#endif
