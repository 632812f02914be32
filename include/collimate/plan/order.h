/* The order in which the tasks of a grid are taken: neighbours one after the other, so that who takes so many in a
 * row works in a compact box. Pure integer arithmetic. */
#ifndef CLM_PLAN_ORDER_H
#define CLM_PLAN_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/** Do a grid of this shape and n tasks agree? */
bool clm_order_fits(const int64_t shape[3], int64_t n);
/** Index ((z * shape[1] + y) * shape[2] + x) of the k-th of a grid's tasks, 0 <= k < their number: first all of the
 *  lower half along the longest axis (the last of equal ones), then the rest, and so on within each. A permutation. */
int64_t clm_order_index(const int64_t shape[3], int64_t k);

#endif
