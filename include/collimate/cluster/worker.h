/* What a rank does when told: runs tasks, syncs its host's writes, stops. Knows messages, not how
 * they travel: rank 0 talks to its own worker by the same calls. */
#ifndef CLM_CLUSTER_WORKER_H
#define CLM_CLUSTER_WORKER_H

#include "collimate/cluster/run.h"
#include "collimate/cluster/wire.h"

typedef struct clm_worker clm_worker;

/** ops and folder are borrowed; options->exec is taken over, also on failure. */
CLM_MUST bool clm_worker_open(const clm_comm *comm, const clm_cluster_options *options,
                              const clm_worker_ops *ops, clm_worker **out, clm_err *err);
/** A message from the master: STAGE, TASK, SYNC or STOP; others are ignored. */
void clm_worker_take(clm_worker *w, const clm_msg *m);
/** The next message for the master, or false. */
bool clm_worker_give(clm_worker *w, clm_msg *out);
/** Has it slots and nothing to do for them? */
bool clm_worker_idles(const clm_worker *w);
/** Sleep until there may be something to give, at most timeout_s. */
void clm_worker_wait(clm_worker *w, double timeout_s);
/** Wake its thread from clm_worker_wait; any thread (void * to serve as a callback). */
void clm_worker_wake(void *worker);
/** Ends; returns the number of tasks that would not end within timeout_s (see clm_exec_close). */
int64_t clm_worker_close(clm_worker *w, double timeout_s);

#endif
