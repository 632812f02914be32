/* Which tasks of a FOLLOWS stage have all their pieces? Pure bookkeeping on two bitmaps: no clock,
 * no files, no messages. One collector a FOLLOWS stage; the scheduler owns the bitmaps. */
#ifndef CLM_CLUSTER_COLLECTOR_H
#define CLM_CLUSTER_COLLECTOR_H

#include "collimate/cluster/bits.h"
#include "collimate/plan/task.h"

typedef struct clm_collector clm_collector;

/** stage    index of a FOLLOWS stage of plan, > 0
 *  pieces   [plan->stage[stage-1].n] set: that task has ended (well or not); borrowed, kept by the caller
 *  taken    [plan->stage[stage].n] set here once a task was found ready, or by the caller (replay); borrowed
 *  Errors   CLM_E_ARG no needs/feeds, or shape and n disagree; CLM_E_NOMEM */
CLM_MUST bool clm_collector_open(const clm_plan *plan, int stage, const clm_bits *pieces, clm_bits *taken,
                                 clm_collector **out, clm_err *err);
void clm_collector_close(clm_collector *c); /* NULL is fine */

/** Piece `index` of the stage before has just ended (its bit is set already). */
void clm_collector_piece(clm_collector *c, int64_t index);

/** Next task that is ready, marked taken; false when none is. Tasks made ready by clm_collector_piece
 *  come at once; tasks that were ready already when the run was resumed, or that need nothing, are
 *  found by a scan of at most `scan` tasks a call (so that 10^8 tasks do not stop the master). */
bool clm_collector_take(clm_collector *c, int64_t scan, int64_t *index);

/** Tasks known to be ready and not taken yet. */
int64_t clm_collector_waiting(const clm_collector *c);

/** Has every task that piece `index` feeds its bit set in `followers` ([plan->stage[stage].n])? */
bool clm_collector_spent(const clm_collector *c, int64_t index, const clm_bits *followers);
/** Pieces that follower `index` needs, as a span of the stage before, clipped to its grid. */
clm_span clm_collector_needs(const clm_collector *c, int64_t index);

#endif
