/* The transform between two sets of described spots, from nothing: match, agree, look again with what was
 * learnt. The whole global stage but for finding and describing the spots. */
#ifndef CLM_ALIGN_GLOBAL_H
#define CLM_ALIGN_GLOBAL_H

#include "collimate/align/blob.h"
#include "collimate/align/match.h"
#include "collimate/align/ransac.h"

typedef struct clm_global_params {
    clm_match_params match; /* max_distance_um is read with a prior only                              */
    clm_ransac_params ransac;
    bool any_rotation; /* also try spots matched by signatures that no rotation changes          */
} clm_global_params;
#define CLM_GLOBAL_DEFAULTS ((clm_global_params){.match = CLM_MATCH_DEFAULTS, .ransac = CLM_RANSAC_DEFAULTS})

typedef struct clm_global_fit {
    clm_ransac_fit fit;  /* of the final matches; `agrees` is by match   */
    clm_matches matches; /* the final ones                               */
    bool turned;         /* found by signatures                          */
} clm_global_fit;

/** Fill in the sizes left at 0 (blob radii, patch radius, max_error_um, distinct_um) from the voxels of the
 *  level worked on: b, the coarsest spacing of either volume along any axis. Blobs of 2.2 b to 5.5 b, patches
 *  of 20 b, errors of 5 b. Both volumes must be searched with the same sizes. */
void clm_global_sizes(const double fixed_spacing[3], const double moving_spacing[3], clm_blob_params *blob,
                      clm_patch_params *patch, clm_global_params *global);

/** Find fixed -> moving from spots and their patches.
 *
 *  fixed, f     points and patches of the fixed volume; likewise moving, m: both described upright (identity)
 *  prior        a transform known beforehand, or NULL. With it, moving patches must have been described by
 *               its linear part, and pairs farther apart than match.max_distance_um are not looked at
 *  Without prior, patches match while the volumes are turned by less than about 20 degrees and scaled by less
 *  than about 15 %; any_rotation lifts the first bound: both ways are tried, more inliers win.
 *  A second round matches again near the transform found, with the moving patches turned to it.
 *  Errors       CLM_E_NODATA with the figures of clm_ransac_affine, CLM_E_ARG, CLM_E_BUDGET; out untouched
 *  Memory       keep: 13 bytes a pair of each round (at most three rounds), once the moving patches
 */
CLM_MUST bool clm_global_find(const clm_work *w, const clm_points *fixed, const clm_patches *f,
                              const clm_points *moving, const clm_patches *m, const clm_affine *prior,
                              const clm_global_params *p, clm_global_fit *out, clm_err *err);

#endif
