/* The one pass over voxels that refine.c repeats: resample, differentiate, sum. */
#ifndef CLM_ALIGN_REFINE_SUMS_H
#define CLM_ALIGN_REFINE_SUMS_H

#include "collimate/core/affine.h"
#include "collimate/core/vol.h"
#include "collimate/image/parzen.h"

/** Is this row among the every-`thin`-th that are compared? They are spread evenly over both axes. */
static inline bool clm_refine_row(int64_t z, int64_t y, int64_t thin) {
    return (y + z * (thin / 2 + 1)) % thin == 0;
}

/** What a Gauss-Newton step needs of fixed f and of resampled moving g = moving(T(x)), over voxels where both
 *  are finite. Parameter (i, j), i in z y x, j in z y x 1, moves T(x) by p_j micrometres along i, where
 *  p = ((x - centre) / reach, 1); its derivative of g is G_ij. Values are (v - shift) * scale. */
typedef struct clm_refine_sums {
    double n, f, g, ff, gg, fg;
    double G[12], Gf[12], Gg[12], GG[12][12]; /* the index is 4 i + j */
} clm_refine_sums;

/** Units of the sums: about the middle of the fixed volume, so that unknowns have like size. */
typedef struct clm_refine_units {
    double centre[3], reach[3];               /* world micrometres */
    float shift_f, scale_f, shift_g, scale_g; /* of values         */
} clm_refine_units;

/** Over the rows that clm_refine_row keeps; thin 1: all. With `mi`, settled for the same A, f is the slope of
 *  n MI by g instead, so that Gf is the slope of n MI by the parameters. */
void clm_refine_sum(const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                    const clm_refine_units *u, int64_t thin, const clm_parzen *mi, clm_refine_sums *out);
/** The joint histogram over the same voxels: *p has begun, with ranges of scaled values, and is settled. */
void clm_refine_count(const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                      const clm_refine_units *u, int64_t thin, clm_parzen *p);

#endif
