/* A plan of tasks run over all ranks, for any command: under mpirun, alone, or as ranks in one process. Signals,
 * progress, one voice for all ranks' errors and the exit code are here; what a run is, is the command's. */
#ifndef CLM_APP_LAUNCH_H
#define CLM_APP_LAUNCH_H

#include "collimate/app/args.h"
#include "collimate/base/json.h"
#include "collimate/base/work.h"
#include "collimate/cluster/run.h"

#define CLM_LEASE_S 3600.0 /* of commands that do not ask for one */

/** What the loop must know of a run that a rank has opened. All borrowed from the run. */
typedef struct clm_launched {
    void *run;
    const clm_plan *plan;
    const char *folder;  /* of the journal */
    const char *drop;    /* removed at the end, that folder or one around it; NULL: none */
    unsigned drop_after; /* 1 << exit code, of those after which it is */
    int64_t threads;     /* 0: this rank's share of the cores */
    double task_mib;     /* most memory of one task */
    double task_bytes;   /* what one and the thread's cache are planned to take at most; 0: not known */
    double lease_s;
    double silence_s; /* 0: as usual; then epoch_s is, too */
    double epoch_s;
    bool dedicated;   /* rank 0 of several computes nothing */
    bool isolate;     /* tasks in child processes, where that is possible */
    double cache_mib; /* most that the cache of an open run takes */
    int share;        /* set before open: so many processes have a run open where there could be one */
} clm_launched;

/** A command's side. Calls with `run` get clm_launched.run. NULL is fine where it says so. */
typedef struct clm_launch_body {
    const char *command; /* for messages */
    /** Rank 0: what every rank opens its run from, as bytes. */
    bool (*share)(void *ctx, clm_buf *b, clm_err *err);
    /** Every rank, and every child of one; the run lives until close, which is called also after a failure that left out->run set. */
    bool (*open)(const clm_buf *shared, clm_launched *out, clm_err *err);
    /** Rank 0, after open, before its folder is taken: does what stands there belong to this run, or to nobody? Looks,
     *  touches nothing. NULL: any folder does. */
    bool (*fits)(void *run, clm_err *err);
    /** Rank 0, before any task: the folder is taken, and no other launch is at work in it. Looks again, then makes what is
     *  missing. */
    bool (*prepare)(void *run, clm_err *err);
    /** Before a task of the stage runs; in a fresh child without the stages before. */
    bool (*stage_begin)(void *run, int stage, clm_err *err);
    bool (*task)(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err);
    /** Rank 0: a task has failed for good, in this launch or an earlier one; before a task that rests on it begins.
     *  NULL. */
    bool (*failed)(void *run, const clm_task *task, const clm_err *why, clm_err *err);
    void (*outcome)(void *run, const clm_outcome *o);   /* rank 0; NULL */
    void (*spent)(void *run, int stage, int64_t index); /* rank 0; NULL */
    /** Rank 0, at the end of the launch, whatever came of it (ok): tables and records; quiet: records only. */
    bool (*tell)(void *run, bool ok, bool quiet, const clm_run_summary *summary, clm_err *err);
    /** Rank 0, when all is done: are parts of the result not as they should be, though no task failed? Then the exit
     *  code is that of failed blocks. NULL: no. */
    bool (*is_partial)(const void *run);
    /** Rank 0, when all is done: what is left of the way there goes. NULL. */
    bool (*tidy)(void *run, clm_err *err);
    void (*close)(void *run);
} clm_launch_body;

/** Run it; the exit code of the process. ctx goes to share; of args: quiet, verbose, local_ranks (0: MPI, or alone).
 *  Ends the process itself where a lost rank or a stuck task leaves no other way. */
int clm_launch(const clm_launch_body *body, void *ctx, const clm_args *args);

/** For share: *v as text, and it is freed; where making it has failed (made false) freed only. */
CLM_MUST bool clm_launch_put(bool made, clm_json **v, clm_buf *b, clm_err *err);

/** Before anything runs, of N ranks the first alone speaks: an error of the command line, or --help. The exit code. */
int clm_launch_refuse(const char *command, const clm_err *err);
int clm_launch_help(const char *text);

/** Is this the rank to complain on the command line? Known before MPI is. */
bool clm_launch_is_first(void);
/** How many ranks mpirun or srun started; 1 alone. Known before MPI is. */
int clm_launch_ranks(void);

#endif
