/* Which pieces will not be read again? A piece is spent when every follower it feeds is durably done.
 * One bit a follower; each piece is told once a launch. */
#ifndef CLM_CLUSTER_SPENT_H
#define CLM_CLUSTER_SPENT_H

#include "collimate/cluster/sched.h"

typedef struct clm_spent {
    const clm_plan *plan;
    const clm_sched *sched;
    clm_bits *durable; /* per stage; used for FOLLOWS stages */
    void (*tell)(void *ctx, int stage, int64_t index);
    void *ctx;
} clm_spent;

/** tell NULL: nothing is kept and nothing told. */
CLM_MUST bool clm_spent_open(clm_spent *s, const clm_plan *plan, const clm_sched *sched,
                             void (*tell)(void *ctx, int stage, int64_t index), void *ctx, clm_err *err);
/** An outcome is in the journal. */
void clm_spent_durable(clm_spent *s, const clm_outcome *o);
void clm_spent_close(clm_spent *s);

#endif
