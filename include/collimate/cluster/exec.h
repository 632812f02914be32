/* Runs tasks beside the thread that talks. An interface: threads now, children of a fork server
 * where a crash must stay an outcome; the loops do not see the difference.
 * One thread submits, collects and waits; any thread may wake it. */
#ifndef CLM_CLUSTER_EXEC_H
#define CLM_CLUSTER_EXEC_H

#include "collimate/base/heap.h"
#include "collimate/plan/task.h"

/** Do one task. `slot` (0 .. slots-1) is the caller's alone while it runs: arenas, open arrays.
 *  `out` comes with task, rank and NaN figures; fill figure[] and peak_bytes (also on failure).
 *  Returns false with err set when the task failed: that is data, not the end of the run.
 *  CLM_E_CANCELLED: given up because the run is asked to stop; will be done again on resume.
 *  The task must be idempotent: it may run twice, also at the same time on two ranks. */
typedef bool (*clm_task_fn)(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err);

typedef struct clm_exec clm_exec;
typedef struct clm_exec_ops {
    bool (*submit)(clm_exec *e, const clm_task *task, clm_err *err);
    bool (*collect)(clm_exec *e, clm_outcome *out);
    void (*wait)(clm_exec *e, double timeout_s);
    void (*wake)(clm_exec *e);
    int64_t (*drop)(clm_exec *e);
    int64_t (*pending)(clm_exec *e);
    bool (*close)(clm_exec *e, double timeout_s);
} clm_exec_ops;

struct clm_exec {
    const clm_exec_ops *ops;
    int slots;
};

/** Take a task; it begins when a slot is free. Never blocks. Errors CLM_E_NOMEM. */
CLM_MUST static inline bool clm_exec_submit(clm_exec *e, const clm_task *task, clm_err *err) {
    return e->ops->submit(e, task, err);
}
/** An outcome, or false when none is ready. Never blocks. */
static inline bool clm_exec_collect(clm_exec *e, clm_outcome *out) { return e->ops->collect(e, out); }
/** Sleep until an outcome is ready or somebody calls wake, at most timeout_s. */
static inline void clm_exec_wait(clm_exec *e, double timeout_s) { e->ops->wait(e, timeout_s); }
static inline void clm_exec_wake(clm_exec *e) { e->ops->wake(e); }
/** Forget the tasks that have not begun; returns how many. */
static inline int64_t clm_exec_drop(clm_exec *e) { return e->ops->drop(e); }
/** Submitted, not collected. */
static inline int64_t clm_exec_pending(clm_exec *e) { return e->ops->pending(e); }
/** Ends it once nothing runs. false: a task still runs after timeout_s; then its thread and the
 *  memory it may touch are left alone, and the process should end soon. NULL is fine (true). */
static inline bool clm_exec_close(clm_exec *e, double timeout_s) { return !e || e->ops->close(e, timeout_s); }

/* ---- children ----
 * A server process, forked before MPI begins, forks a child for each slot when the slot first has work. A
 * child does task after task until it crashes, hangs or needs too much memory; then that task is tried once
 * more in a fresh child, and if that dies, too, its end is an outcome like another:
 *   CLM_E_NOMEM "killed by signal 9", CLM_E_NUMERIC "killed by signal 11", ..., CLM_E_NUMERIC "no end within N s". */

/** What a child does. Told to the server before it is forked: from then on it lives in another process. */
typedef struct clm_child_ops {
    const void *ctx; /* as it was when the server was forked */
    /** In a fresh child, before its first task: setup is what clm_exec_children got. */
    bool (*open)(const void *ctx, const clm_buf *setup, void **state, clm_err *err);
    /** As clm_task_fn. */
    bool (*run)(void *state, const clm_task *task, clm_outcome *out, clm_err *err);
} clm_child_ops;

typedef struct clm_server clm_server;
/** Fork the server. Before MPI_Init, and while the process has one thread. */
CLM_MUST bool clm_server_open(const clm_child_ops *ops, clm_server **out, clm_err *err);
void clm_server_close(clm_server *s); /* ends it and all its children; NULL is fine */

typedef struct clm_child_limits {
    double task_s; /* a try longer than this is killed; 0: any                                         */
    double
        memory_bytes; /* address space a child may take beyond what it has once open; 0: any. Reaching it is
                            a failed allocation in the child. Not in sanitizer builds.                       */
} clm_child_limits;

typedef struct clm_children {
    clm_server *server; /* outlives the executor */
    const clm_buf *setup;
    clm_child_limits limits;
} clm_children;

/** `slots` children. clm_exec_close kills what still runs after its timeout: it always ends (true). */
CLM_MUST bool clm_exec_children(const clm_children *c, int slots, int rank, clm_exec **out, clm_err *err);

/** `slots` threads. Signals stay with the caller's thread. */
CLM_MUST bool clm_exec_threads(int slots, int rank, clm_task_fn run, void *ctx, clm_exec **out, clm_err *err);

#endif
