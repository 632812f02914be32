/* A small job for tests of whole runs: its tasks read the files of earlier stages and publish one
 * file each, like real ones, and notice when they are called too early. Same files for any number of
 * ranks and threads, or something is broken. */
#ifndef CLM_TESTS_TOY_H
#define CLM_TESTS_TOY_H

#include "collimate/cluster/run.h"
#include "collimate/base/text.h"

#include <stdatomic.h>

enum { TOY_SPOTS, TOY_SOLVE, TOY_DEFORM, TOY_STITCH, TOY_APPLY, TOY_STAGES };

/** Shared by the ranks of one process. */
typedef struct toy {
    clm_plan plan;
    clm_stage stage[TOY_STAGES];
    char folder[CLM_PATH_MAX];    /* run folder; files go to FOLDER/STAGE/INDEX */
    double most_task_s;           /* tasks take a random time up to this          */
    bool fatal;                   /* the solve fails for good                     */
    clm_code deform_error;        /* what every 7th deform fails with             */
    atomic_llong runs;            /* tasks run                                    */
    atomic_llong kill_after;      /* > 0: a signal to oneself at this many,       */
    int kill_signal;              /* SIGKILL unless set; -1 - N: _exit(N) instead     */
    atomic_llong early;           /* tasks called before what they need was there */
    atomic_llong spent;           /* pieces told to be spent                      */
    atomic_int begun[TOY_STAGES]; /* by how many ranks                          */
    int ended;                    /* stages, in order                             */
    bool drop_spent;              /* remove spent pieces                          */
} toy;

/** folder gets the run; side^3 deform blocks. */
void toy_make(toy *t, const char *folder, int side);
/** ops.ctx is the toy. */
clm_worker_ops toy_ops(toy *t);
/** Of what the last stage published: names and bytes. */
uint64_t toy_digest(const toy *t);
void toy_on_spent(void *toy, int stage, int64_t index);

#endif
