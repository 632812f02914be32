/* The master's brain: who does what next. A state machine without clock, files, messages or threads:
 * it is told what happened and asked what to do. The same events give the same actions.
 * State: two bits a task, and what is in flight. */
#ifndef CLM_CLUSTER_SCHED_H
#define CLM_CLUSTER_SCHED_H

#include "collimate/cluster/collector.h"

typedef struct clm_sched clm_sched;

typedef struct clm_sched_params {
    double lease_s;       /* an assigned task later than this goes to another worker, too; 0 = never      */
    int32_t prefetch;     /* tasks a worker holds beyond those it computes, to hide the way there and back */
    int32_t most_copies;  /* a task late on this many workers has failed (CLM_E_PEER)                     */
    double retry_pause_s; /* wait before a task is tried again; doubled each time                         */
    double backup_times;  /* when nothing else is left, a task out for longer than so many times the mean of
                           * its stage is given to one more worker; 0 = never */
} clm_sched_params;
#define CLM_SCHED_DEFAULTS \
    ((clm_sched_params){   \
        .lease_s = 3600, .prefetch = 1, .most_copies = 3, .retry_pause_s = 0.5, .backup_times = 4})

/** What became of an outcome that was told. */
typedef enum clm_verdict {
    CLM_VERDICT_FINAL,     /* the task has ended, well or not: keep the record                 */
    CLM_VERDICT_RETRY,     /* failed, will be tried again: keep nothing                        */
    CLM_VERDICT_DUPLICATE, /* had ended before, or is no task of the plan: keep nothing        */
    CLM_VERDICT_DROPPED,   /* not done because somebody asked to stop: keep nothing            */
    CLM_VERDICT_STOPS      /* failed, and that ends the run (see clm_sched_error): keep nothing */
} clm_verdict;

typedef enum clm_action_kind {
    CLM_ACT_STAGE_BEGIN, /* stage: before any of its tasks is assigned; count = tasks left to do  */
    CLM_ACT_STAGE_END,   /* stage: all its tasks have ended; in order but for stages aside        */
    CLM_ACT_ASSIGN,      /* worker, task, deadline_s                                              */
    CLM_ACT_LATE,        /* task: late on most_copies workers; tell an outcome of it (worker -1)  */
    CLM_ACT_FINISHED     /* every task has ended; the last action                                 */
} clm_action_kind;

typedef struct clm_action {
    clm_action_kind kind;
    int stage;
    int worker;
    int64_t count;
    clm_task task;
    double deadline_s;
} clm_action;

/** What is known of one stage. */
typedef struct clm_stage_count {
    int64_t total, ended, failed; /* ended counts failed ones, too */
    bool begun, over;
} clm_stage_count;

/** plan is borrowed. Errors CLM_E_ARG a stage is inconsistent; CLM_E_NOMEM. */
CLM_MUST bool clm_sched_open(const clm_plan *plan, const clm_sched_params *params, clm_sched **out,
                             clm_err *err);
void clm_sched_close(clm_sched *s); /* NULL is fine */

/** Before the first clm_sched_next: an outcome of an earlier launch. Twice the same is fine.
 *  Errors CLM_E_FORMAT no such task in the plan. */
CLM_MUST bool clm_sched_replay(clm_sched *s, const clm_outcome *o, clm_err *err);

/** Worker (any number >= 0, small) can hold slots + prefetch tasks. One that was lost may come back. */
CLM_MUST bool clm_sched_join(clm_sched *s, int worker, int slots, clm_err *err);
/** Its tasks go to others. What it still reports later is welcome. */
void clm_sched_lost(clm_sched *s, int worker);
/** The time is now_s, of any clock that does not go back. Leases and retries need it. */
void clm_sched_tick(clm_sched *s, double now_s);
clm_verdict clm_sched_outcome(clm_sched *s, int worker, const clm_outcome *o);
/** Assign nothing more. Outcomes are still taken. */
void clm_sched_stop(clm_sched *s);

/** The next thing to do; false when there is nothing to do until something happens. */
bool clm_sched_next(clm_sched *s, clm_action *out);

/** Why the run must end (code CLM_OK: it need not). Borrowed. */
const clm_err *clm_sched_error(const clm_sched *s);
clm_stage_count clm_sched_count(const clm_sched *s, int stage);
int64_t clm_sched_in_flight(const clm_sched *s);
bool clm_sched_ended(const clm_sched *s, int stage, int64_t index);

/** Of a FOLLOWS stage; borrowed; NULL for others. */
const clm_collector *clm_sched_collector(const clm_sched *s, int stage);

/** The retry policy: how often a task that failed with this code is tried again; -1: it ends the run. */
int clm_sched_retries(clm_code code);

#endif
