/* Quantiles of any number of values in bounded memory: counts by the leading bits of the float, so that every
 * quantile is known to 1 part in 1024. Counts are integers: merged in any order they give the same. */
#ifndef CLM_IMAGE_QUANTILE_H
#define CLM_IMAGE_QUANTILE_H

#include "collimate/base/arena.h"

#define CLM_QUANTILE_BINS ((int64_t)1 << 19)

typedef struct clm_quantile {
    int64_t n;
    int64_t *bin; /* [CLM_QUANTILE_BINS], values ascending */
} clm_quantile;

/** Empty, in `a`: 4 MiB. */
CLM_MUST bool clm_quantile_new(clm_arena *a, clm_quantile *out, clm_err *err);
/** Count n values; NaN and infinities are left out. */
void clm_quantile_add(clm_quantile *q, const float *v, int64_t n);
void clm_quantile_merge(clm_quantile *into, const clm_quantile *part);
/** The value that at least this part (0 .. 1) of the counted values does not exceed, to a relative 2^-10;
 *  of whole numbers from 0 to 1024 exactly. NaN without values. */
double clm_quantile_at(const clm_quantile *q, double part);

/** How many of the counted values lie below x, whole bins. */
double clm_quantile_below(const clm_quantile *q, double x);

/** A second look at the same values finds the quantile itself: they are counted once more, those of its bin one by
 *  one. Counts are integers, merged by adding low[]. */
#define CLM_QUANTILE_LOW ((int64_t)1 << 13)

typedef struct clm_quantile_pick {
    int64_t bin, rank; /* the rank-th value of the bin, from 1; rank 0: there is no value */
    int64_t *low;      /* [CLM_QUANTILE_LOW], counts of the values of the bin, ascending  */
} clm_quantile_pick;

/** Where the quantile lies; low is left alone. */
void clm_quantile_find(const clm_quantile *q, double part, clm_quantile_pick *out);
/** Count n values for each of so many picks. */
void clm_quantile_look(const clm_quantile_pick *picks, int n_picks, const float *v, int64_t n);
/** The smallest value that at least the asked part of the values does not exceed; NaN without values. */
double clm_quantile_picked(const clm_quantile_pick *p);

#endif
