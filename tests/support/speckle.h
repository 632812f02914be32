/* Made tissue: Gaussian blobs at known places of the world, drawn exactly on any grid. */
#ifndef CLM_TESTS_SPECKLE_H
#define CLM_TESTS_SPECKLE_H

#include "collimate/core/affine.h"
#include "collimate/core/vol.h"

/** n blobs with keyed random places in the box [0, extent_um], sizes and brightness. */
typedef struct clm_speckle {
    int64_t n;
    double (*pos)[3];
    double *sigma_um, *bright;
} clm_speckle;

clm_speckle clm_test_speckle(clm_arena *a, int64_t n, const double extent_um[3], double sigma_min_um,
                             double sigma_max_um, uint64_t seed);
/** A volume of these blobs at from_tissue(pos), as balls of the volume's own world, over normal noise of the
 *  given standard deviation. */
clm_vol clm_test_draw(clm_arena *a, const clm_speckle *s, const clm_affine *from_tissue,
                      const int64_t shape[3], const double spacing[3], const double origin[3], double noise,
                      uint64_t seed);

#endif
