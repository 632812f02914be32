/* A whole run of a plan over the ranks of a comm. Every rank calls clm_cluster_run; rank 0 is master,
 * collector and worker in one loop, so that no core is lost. What a task does is a callback. */
#ifndef CLM_CLUSTER_RUN_H
#define CLM_CLUSTER_RUN_H

#include "collimate/cluster/comm.h"
#include "collimate/cluster/exec.h"
#include "collimate/plan/task.h"

#include <stdatomic.h>

/** What a rank can do. Callbacks but `run` are called on the thread that called clm_cluster_run:
 *  they hold up all talk of this rank, so anything long belongs into a task of its own stage. */
typedef struct clm_worker_ops {
    void *ctx;
    clm_task_fn run;
    /** Before any task of the stage runs on this rank: open what earlier stages produced. On rank 0
     *  it returns before any other rank is called: create outputs there. Stages come in order, in
     *  every launch, complete ones, too (remaining 0): creating must keep what is there.
     *  Tasks of the stage before may still run (FOLLOWS, or a late duplicate): take nothing away from
     *  them. false ends the run with err. NULL is fine. */
    bool (*stage_begin)(void *ctx, int stage, int64_t remaining, clm_err *err);
    /** Rank 0, when all tasks of the stage have ended; in every launch, in order but for stages aside. NULL is fine. */
    bool (*stage_end)(void *ctx, int stage, clm_err *err);
} clm_worker_ops;

typedef struct clm_progress {
    int stage;
    const char *name;
    int64_t total, ended, failed; /* ended counts failed ones, too         */
    double rate_per_s;            /* of this launch; 0 unknown             */
    double eta_s;                 /* of this stage; negative: unknown      */
    bool over;
} clm_progress;

typedef struct clm_run_summary clm_run_summary;
typedef struct clm_cluster_options {
    const char *folder;        /* run folder, the same on every rank; holds the journal. Must be on a
                                  file system all ranks share                                         */
    int slots;                 /* tasks at a time on this rank (its arenas, its threads); rank 0 may have
                                  0 when there are other ranks                                        */
    double lease_s;            /* a task later than this goes to another rank, too; 0: never          */
    double epoch_s;            /* least time between two journal epochs                               */
    double grace_s;            /* how long running tasks may go on when the run is asked to stop      */
    double silence_s;          /* a rank not heard of for so long is lost                             */
    double retry_pause_s;      /* before a task that failed is tried again                            */
    clm_exec *exec;            /* what runs the tasks, with `slots`; given over, closed also on failure.
                                  NULL: threads and clm_worker_ops.run                                */
    struct clm_journal *claim; /* rank 0: of `folder`, borrowed; NULL: taken for the run alone           */
    const atomic_int *stop;    /* set by a signal handler, on any rank; NULL: none            */
    /* Rank 0 only, may be NULL; ctx first. */
    void *ctx;
    void (*on_progress)(void *ctx, const clm_progress *p); /* about once a second, at begin and end    */
    /** A task has ended for good; replayed: in an earlier launch (all of those come first). Once a task and launch,
     *  before any task that rests on it begins. false ends the run with err: the task will be done again. */
    bool (*on_outcome)(void *ctx, const clm_outcome *o, bool replayed, clm_err *err);
    /** Every task of the FOLLOWS stage after `stage` that needs this one is done and will stay done
     *  after any crash: a file only they read may go. Comes again in later launches. */
    void (*on_spent)(void *ctx, int stage, int64_t index);
    /** Last, once, when no task runs any more but abandoned ones: what rank 0 alone has to do, however long it takes,
     *  while the others wait. On another thread than the other callbacks, none of which comes any more.
     *  ok, *err: what became of the run. false: clm_cluster_run returns that, with *err. */
    bool (*on_end)(void *ctx, bool ok, const clm_run_summary *summary, clm_err *err);
} clm_cluster_options;
#define CLM_CLUSTER_DEFAULTS \
    ((clm_cluster_options){  \
        .slots = 1, .lease_s = 3600, .epoch_s = 1, .grace_s = 10, .silence_s = 60, .retry_pause_s = 0.5})

/** Figures of a launch. Ranks but 0 know failed and abandoned only. */
struct clm_run_summary {
    int64_t tasks, ended, failed; /* of the plan; with what earlier launches did */
    int64_t replayed;             /* ended in earlier launches                   */
    int64_t retried, duplicates;
    int64_t abandoned; /* tasks still running on THIS rank when it gave up waiting: their threads live
                          on and use ctx; end the process by _exit                                    */
    int ranks, slots, lost;
    int64_t epochs;
    double seconds, busy_seconds, sync_seconds; /* busy: sum over tasks; sync: beside the work */
    bool clean;                                 /* no rank was lost: clm_comm_close(comm, clean) */
};

/** Run what is not done yet. Collective; the same plan and folder on every rank; every rank gets the
 *  same result. true: every task has ended (summary->failed of them without success).
 *  Errors CLM_E_CANCELLED asked to stop; CLM_E_PEER a rank could not start, or the master or data that
 *         was not yet durable was lost; CLM_E_ARG another run or another plan in the folder; CLM_E_WRITE;
 *         what a fatal stage's task or a stage callback said. After any of them the same call resumes. */
CLM_MUST bool clm_cluster_run(clm_comm *comm, const clm_plan *plan, const clm_cluster_options *options,
                              const clm_worker_ops *ops, clm_run_summary *summary, clm_err *err);

#endif
