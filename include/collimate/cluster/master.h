/* Rank 0's head: turns messages into events for the scheduler and its actions into messages, holds
 * outcomes until they are durable, watches for silent ranks, ends the run. Knows messages, not how
 * they travel. Time is told: seconds of a clock that stands still while the process does. */
#ifndef CLM_CLUSTER_MASTER_H
#define CLM_CLUSTER_MASTER_H

#include "collimate/cluster/run.h"
#include "collimate/cluster/wire.h"

typedef struct clm_master clm_master;

/** Opens (resumes) the journal in options->folder. wake(ctx): from another thread, see clm_epoch_open.
 *  Errors: those of clm_journal_claim, clm_journal_begin and clm_sched_open. */
CLM_MUST bool clm_master_open(const clm_comm *comm, const clm_plan *plan, const clm_cluster_options *options,
                              const clm_worker_ops *ops, void (*wake)(void *), void *ctx, clm_master **out,
                              clm_err *err);
/** A message of a rank (0: its own worker). */
void clm_master_take(clm_master *m, int from, const clm_msg *msg, double now_s);
/** Time has passed; also looks whether a write has ended. */
void clm_master_tick(clm_master *m, double now_s);
/** Somebody asked to stop: running tasks may end, then the run ends with CLM_E_CANCELLED. */
void clm_master_stop(clm_master *m, double now_s);
/** Something that cannot be gone on from, e.g. the transport failed. */
void clm_master_fail(clm_master *m, const clm_err *why, double now_s);
/** The next message to send, or false. */
bool clm_master_give(clm_master *m, int *to, clm_msg *out, double now_s);
/** Everything is written and QUIT was given for every rank that is there. */
bool clm_master_over(const clm_master *m);
/** The result; summary gets the figures. */
bool clm_master_result(const clm_master *m, clm_run_summary *summary, clm_err *err);
/** Has this rank fallen silent for good? Then nothing is sent to it. */
bool clm_master_has_lost(const clm_master *m, int rank);
void clm_master_close(clm_master *m); /* NULL is fine */

#endif
