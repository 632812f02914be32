/* Which spot of the fixed volume is which spot of the moving one, judged by their patches alone or, with a
 * prior transform, by patches of spots near where they should be. */
#ifndef CLM_ALIGN_MATCH_H
#define CLM_ALIGN_MATCH_H

#include "collimate/align/patch.h"
#include "collimate/core/affine.h"

typedef struct clm_match_params {
    double max_distance_um; /* between prior(fixed) and moving; 0: any                                     */
    double min_correlation; /* of the patches                                                              */
    double ratio;           /* distance of the best over that of the second best, below this; 1: not asked */
    double distinct_um;     /* a second best nearer than this to the best is the same place                */
} clm_match_params;
#define CLM_MATCH_DEFAULTS ((clm_match_params){.min_correlation = 0.6, .ratio = 0.95, .distinct_um = 6})

typedef struct clm_matches {
    int64_t n;
    int32_t *fixed;     /* [n] index into the fixed points, ascending; each at most once */
    int32_t *moving;    /* [n] index into the moving points, each at most once           */
    float *correlation; /* [n] of the two patches                                        */
} clm_matches;

/** Pairs that are each other's best.
 *
 *  fixed, f    points and their patches; likewise moving, m. Same dim. Fewer than 2^31
 *  prior       takes fixed to moving world um; read only when max_distance_um > 0
 *  ratio       compares sqrt(1 - correlation) of the best and of the best that is not the same place
 *  out         may hold 0 pairs: that is no error. Same input, same bytes, on every machine: sums are exact
 *  Errors      CLM_E_ARG dims differ, parameters out of range; CLM_E_BUDGET
 *  Memory      keep: 12 bytes a pair; temp: 48 bytes a point, 2 dim bytes a moving point when ungated
 */
CLM_MUST bool clm_match(const clm_work *w, const clm_points *fixed, const clm_patches *f,
                        const clm_points *moving, const clm_patches *m, const clm_affine *prior,
                        const clm_match_params *p, clm_matches *out, clm_err *err);

#endif
