/* A global transform from the intensities alone, where no landmarks are needed or found: the images laid over
 * each other in a few ways, each refined, the best told together with how far it stands out. */
#ifndef CLM_ALIGN_CENTRE_H
#define CLM_ALIGN_CENTRE_H

#include "collimate/align/refine.h"

/** Below this a result may be chance: images of different things stayed under it or under a score of 0.5, see
 *  docs/algorithms/intensity-affine.md. */
#define CLM_CENTRE_STANDS_OUT 12.0

typedef struct clm_centre_params {
    clm_refine_params refine;
    const clm_affine *start; /* a place to begin, too; may be NULL */
    bool identity;           /* begin where the metadata put the images              */
    bool centres;            /* begin with the middles, and the centres of mass, laid over each other */
    bool any_rotation;       /* and turned by any angle about the centres of mass    */
} clm_centre_params;

typedef struct clm_centre_fit {
    clm_refine_fit refined; /* `before` is the score of the start it came from */
    double
        stands_out; /* by how many standard deviations the score lies above those of random placements about
                          the centres (Fisher's z of both); measured: the same thing 16 to 57, different
                          things with alike outlines up to 13, noise up to 9   */
} clm_centre_fit;

/** Find fixed -> moving.
 *
 *  fixed, moving  any grids, as for clm_refine_affine; seed: w->seed
 *  Of all starts' results the one is taken that tells most: voxels compared times -log(1 - score^2), so that a small
 *  overlap is no way to a good score. Where that one does not stand out by CLM_CENTRE_STANDS_OUT, the middles are a
 *  start and no rotation is asked for, what the climb from the middles reaches is taken instead. A start reaches about a tenth of the volume and 15 degrees.
 *  Errors   CLM_E_NODATA no start is of any use: no overlap, or constant; CLM_E_ARG, CLM_E_BUDGET; out untouched
 *  Memory   temp: as clm_refine_affine, and the volumes reduced to 50 000 voxels
 */
CLM_MUST bool clm_centre_find(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                              const clm_centre_params *p, clm_centre_fit *out, clm_err *err);

typedef struct clm_mirror {
    int axis;               /* of the moving image, 0 z, 1 y, 2 x; -1: the images agree best as they are */
    double score, mirrored; /* similarity as they are, and mirrored along that axis                     */
} clm_mirror;

/** Whether one image is the other's mirror image: is more told when moving is mirrored along one of its axes than as it is?
 *
 *  a        fixed -> moving, world, near enough to climb from: what was found for the pair as it is
 *  What is nearly symmetric, a head, aligns to its mirror image well enough to be believed: then the mirrored
 *  start, through the centre of mass, climbs higher. Turned answers besides are not looked for.
 *  Errors   CLM_E_ARG, CLM_E_BUDGET; out untouched
 *  Memory   temp: as clm_refine_affine, and the volumes reduced to 50 000 voxels
 */
CLM_MUST bool clm_centre_mirror(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                                const clm_refine_params *p, const clm_affine *a, clm_mirror *out,
                                clm_err *err);

#endif
