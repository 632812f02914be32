/* Point sets: spots found in a volume, or given by the user. World micrometres, z y x. */
#ifndef CLM_CORE_POINTS_H
#define CLM_CORE_POINTS_H

#include "collimate/base/arena.h"

typedef struct clm_points {
    int64_t n;
    double (*pos)[3]; /* [n] world micrometres                     */
    float *radius_um; /* [n] size of the spot                      */
    float *score;     /* [n] response; larger is clearer           */
} clm_points;

CLM_MUST bool clm_points_new(clm_arena *a, int64_t n, clm_points *out, clm_err *err);

#endif
