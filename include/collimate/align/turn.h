/* Patches and rotations: matching spots when the volumes may be turned against each other by any angle,
 * and turning stored patches. Works on patches alone, no volume is read again. */
#ifndef CLM_ALIGN_TURN_H
#define CLM_ALIGN_TURN_H

#include "collimate/align/match.h"

/** Pairs of spots whose signatures, the part of a patch that no rotation changes, are each other's best.
 *
 *  fixed, f          points and patches (clm_patch_describe); likewise moving, m. Same samples
 *  min_correlation   of the standardised signatures; 0.3 is usual
 *  out               a third to two thirds of the pairs are right in tissue whose true pairs match at all:
 *                    enough for clm_ransac_affine with a rigid or similarity model
 *  Errors   CLM_E_ARG, CLM_E_BUDGET
 *  Memory   keep: 12 bytes a pair; temp: 500 bytes a point
 *  Source   M. Kazhdan, T. Funkhouser, S. Rusinkiewicz, Rotation invariant spherical harmonic representation
 *           of 3D shape descriptors, SGP 2003, section 4; extended by the products of different shells.
 */
CLM_MUST bool clm_turn_match(const clm_work *w, const clm_points *fixed, const clm_patches *f,
                             const clm_points *moving, const clm_patches *m, double min_correlation,
                             clm_matches *out, clm_err *err);

/** The patches that clm_patch_describe would have made with `linear` instead of the identity, interpolated
 *  from the ones that it made (correlation with those about 0.93).
 *  Errors CLM_E_ARG, CLM_E_BUDGET. Memory keep: as clm_patch_describe; temp: 64 KiB. */
CLM_MUST bool clm_turn_patches(const clm_work *w, const clm_patches *in, const double linear[3][3],
                               clm_patches *out, clm_err *err);

#endif
