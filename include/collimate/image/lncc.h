/* Local correlation: Pearson in a cube around every voxel, and its mean. Sums that blocks can make alone. */
#ifndef CLM_IMAGE_LNCC_H
#define CLM_IMAGE_LNCC_H

#include "collimate/base/work.h"
#include "collimate/core/vol.h"

/** Zero-initialise; merge by adding both members in a fixed order. */
typedef struct clm_lncc {
    double sum; /* of the correlations                                                        */
    int64_t n;  /* windows: wholly inside, with variance in both volumes; the mean is sum / n */
} clm_lncc;

/** Voxels needed on every side of a block's own. */
static inline int64_t clm_lncc_halo(int64_t radius) { return radius; }

/** Correlations in windows of (2 radius + 1)^3 voxels centred on the voxels of `core`.
 *
 *  fixed, moving  one shape; a NaN in either (outside, masked) voids every window that holds it, as does the
 *                 border of the volumes
 *  core           voxels of these volumes whose windows count: a block's own, its halo left out
 *  s              added to
 *  map            NULL, or allocated with the shape of core: the correlation of each window, NaN where it
 *                 does not count. Its spacing and origin are not read
 *  A window counts when both variances (population) exceed 1e-12 of the square of their volume's range, from
 *  the least to the largest finite value, halo and all: flat background gives no opinion, in whatever unit.
 *  Cost does not depend on the radius but for a logarithm. Same bytes on every machine. Cut into blocks, each
 *  correlation agrees with that of the whole to 1e-9 for counts of 16 bits.
 *  Errors   CLM_E_ARG shapes differ, core not inside, radius < 0; CLM_E_BUDGET
 *  Memory   temp: 6 doubles a voxel of a slab of (32 + 2 radius) rows, and some rows
 */
CLM_MUST bool clm_lncc_add(const clm_work *w, const clm_vol *fixed, const clm_vol *moving, clm_box core,
                           int64_t radius, clm_lncc *s, clm_vol *map, clm_err *err);
/** That memory, for rows of nx voxels. */
int64_t clm_lncc_bytes(int64_t nx, int64_t radius);

static inline double clm_lncc_value(const clm_lncc *s) { return s->sum / (double)s->n; }

#endif
