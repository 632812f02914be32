/* When may an outcome be written down? Only once the data it speaks of is durable. Outcomes are held
 * until the hosts that wrote have synced, then appended to the journal together: one sync an epoch,
 * not one a file. Knows neither messages nor ranks: the master asks the hosts. */
#ifndef CLM_CLUSTER_EPOCH_H
#define CLM_CLUSTER_EPOCH_H

#include "collimate/cluster/journal.h"

typedef struct clm_epoch clm_epoch;

/** wake(ctx) is called from another thread when there may be something for clm_epoch_ended. */
CLM_MUST bool clm_epoch_open(clm_journal *journal, double least_s, void (*wake)(void *), void *ctx,
                             clm_epoch **out, clm_err *err);
void clm_epoch_close(clm_epoch *e); /* waits for a write under way; NULL is fine */

/** Hold a record for the next epoch. */
CLM_MUST bool clm_epoch_hold(clm_epoch *e, const clm_outcome *o, clm_err *err);
CLM_MUST bool clm_epoch_hold_stamp(clm_epoch *e, const clm_stamp *m, clm_err *err);

/** Is it time for the hosts to sync? Records are held, none is under way, and the last epoch is
 *  least_s and 32 times the duration of its sync ago (so that syncing stays below 3 %); or `now`. */
bool clm_epoch_due(const clm_epoch *e, double now_s, bool now);
/** The hosts are asked to sync: what is held now belongs to this epoch. Returns its number, > 0. */
int64_t clm_epoch_begin(clm_epoch *e, double now_s);
/** All hosts have synced: append, in another thread. */
CLM_MUST bool clm_epoch_append(clm_epoch *e, double now_s, clm_err *err);
/** Has the append ended? Told once; then clm_epoch_replay may be called. */
bool clm_epoch_ended(clm_epoch *e, bool *ok, clm_err *err);
bool clm_epoch_empty(const clm_epoch *e); /* nothing held, nothing under way */
/** The outcomes of the epoch that has just ended, once more. */
void clm_epoch_replay(const clm_epoch *e, void (*outcome)(void *ctx, const clm_outcome *o), void *ctx);

#endif
