/* Points sorted into cubic buckets, so that those near a place are found without looking at all. */
#ifndef CLM_CORE_BUCKETS_H
#define CLM_CORE_BUCKETS_H

#include "collimate/base/arena.h"

typedef struct clm_buckets {
    const double (*pos)[3]; /* [n] borrowed                                            */
    double lo[3], size_um;  /* corner of cell (0,0,0); side of a cell                  */
    int64_t shape[3];       /* cells, z y x                                            */
    int32_t *first;         /* [cells + 1] where a cell's points begin in item         */
    int32_t *item;          /* [n] point indices by cell, ascending within a cell      */
} clm_buckets;

/** Sort n < 2^31 points into cells of at least size_um (more where points are few for their extent).
 *  pos must outlive the result. Memory: a, at most 4 n + 16 n + 1 KiB bytes.
 *  Errors CLM_E_ARG size not positive or a position not finite; CLM_E_BUDGET. */
CLM_MUST bool clm_buckets_new(clm_arena *a, int64_t n, const double (*pos)[3], double size_um,
                              clm_buckets *out, clm_err *err);

/** Indices of the points at most radius_um from x, in cell order (the same for the same points); the first
 *  `cap` go to out. Returns how many there are. */
int64_t clm_buckets_near(const clm_buckets *c, const double x[3], double radius_um, int64_t cap,
                         int32_t *out);

#endif
