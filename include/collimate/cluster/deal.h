/* Who takes which of a stage's tasks: each worker a run of neighbours, one after the other, so that what it has read
 * and decoded for one serves the next. First shares of equal size in the order of workers, so that each gets the same
 * region of stages alike; of many tasks no more than a box a slot, and the next one from the front, so that pieces do
 * not wait long for their neighbours; who finds none left takes what another would come to last, half of its run. Workers
 * of even number go up their runs, of odd number down: a pair meets where both have been. Bookkeeping only. */
#ifndef CLM_CLUSTER_DEAL_H
#define CLM_CLUSTER_DEAL_H

#include "collimate/cluster/bits.h"
#include "collimate/plan/task.h"

typedef struct clm_deal {
    struct clm_deal_run {
        int64_t lo, hi; /* left of it, in the order of clm_order_index */
    } * run;            /* of each worker                              */
    int32_t n_workers;
    int64_t shape[3], n; /* of the stage                                    */
    int64_t most;        /* tasks of a run, a slot                          */
    int64_t front;       /* all below are, or were, in a run                */
    int64_t least;       /* no run has as many as twice this, but new ones  */
    int32_t last;        /* who was looked at last for something to take    */
} clm_deal;

/** Zero-initialise; room for the runs of workers 0 .. n_workers - 1, grown only. */
CLM_MUST bool clm_deal_reserve(clm_deal *d, int32_t n_workers, clm_err *err);
void clm_deal_close(clm_deal *d);
/** From now on tasks are those of this stage, none in a run; so many slots are there. */
void clm_deal_begin(clm_deal *d, const clm_stage *stage, int32_t slots);
/** A worker without a run gets its next one: `slots` of the `slots_left` that share what is beyond the front. */
void clm_deal_share(clm_deal *d, int32_t worker, int32_t slots, int32_t slots_left);
/** The worker's next task whose bit is not set in `taken` (the caller sets it); -1: none is left in any run. */
int64_t clm_deal_take(clm_deal *d, int32_t worker, int32_t slots, int32_t slots_left, const clm_bits *taken);

#endif
