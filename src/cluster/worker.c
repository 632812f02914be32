#include "collimate/cluster/worker.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/cluster/side.h"

struct clm_worker {
    const clm_worker_ops *ops;
    const char *folder;
    clm_exec *exec;
    clm_side *side;
    int32_t slots, host;
    bool greeted;
    bool failed, fault_told; /* no more tasks: a stage could not begin here */
    clm_err fault;
    bool stopping, drained_told;
    double stop_until_s;
    int64_t epoch_wanted, epoch_begun; /* 0: none */
};

bool clm_worker_open(const clm_comm *comm, const clm_cluster_options *options, const clm_worker_ops *ops,
                     clm_worker **out, clm_err *err) {
    *out = NULL;
    clm_worker *w = clm_heap_new(1, sizeof *w, err);
    if (!w) {
        (void)clm_exec_close(options->exec, 0);
        return false;
    }
    *w = (clm_worker){.ops = ops,
                      .folder = options->folder,
                      .exec = options->exec,
                      .slots = options->slots,
                      .host = comm->host};
    bool ok = (w->exec || clm_exec_threads(options->slots, comm->rank, ops->run, ops->ctx, &w->exec, err)) &&
              clm_side_open(clm_worker_wake, w, &w->side, err);
    if (ok)
        *out = w;
    else
        (void)clm_worker_close(w, 10);
    return ok;
}

static void fail_here(clm_worker *w, const clm_err *why) {
    if (w->failed) return;
    w->failed = true;
    w->fault = *why;
}

static bool sync_folder(void *arg, clm_err *err) { return clm_file_sync_tree(arg, err); }

static void begin_sync(clm_worker *w) {
    if (!w->epoch_wanted || clm_side_busy(w->side)) return;
    clm_err err;
    w->epoch_begun = w->epoch_wanted;
    w->epoch_wanted = 0;
    if (!clm_side_begin(w->side, sync_folder, (void *)(uintptr_t)w->folder, &err)) fail_here(w, &err);
}

void clm_worker_take(clm_worker *w, const clm_msg *m) {
    clm_err err;
    switch (m->kind) {
    case CLM_MSG_STAGE:
        if (!w->failed && w->ops->stage_begin && !w->ops->stage_begin(w->ops->ctx, m->stage, m->count, &err))
            fail_here(w, &err);
        break;
    case CLM_MSG_TASK:
        if (!w->failed && !w->stopping && !clm_exec_submit(w->exec, &m->task, &err)) fail_here(w, &err);
        break;
    case CLM_MSG_SYNC:
        w->epoch_wanted = m->count;
        begin_sync(w);
        break;
    case CLM_MSG_STOP:
        if (w->stopping) break;
        w->stopping = true;
        w->stop_until_s = clm_clock_s() + m->seconds;
        (void)clm_exec_drop(w->exec);
        break;
    default: break;
    }
}

bool clm_worker_give(clm_worker *w, clm_msg *out) {
    *out = (clm_msg){0};
    if (!w->greeted) {
        w->greeted = true;
        *out = (clm_msg){.kind = CLM_MSG_HELLO, .slots = w->slots, .host = w->host};
        return true;
    }
    if (clm_exec_collect(w->exec, &out->outcome)) {
        out->kind = CLM_MSG_OUTCOME;
        return true;
    }
    bool ok;
    if (clm_side_ended(w->side, &ok, &out->seconds, &out->err)) {
        out->kind = CLM_MSG_SYNCED;
        out->count = w->epoch_begun;
        begin_sync(w);
        return true;
    }
    if (w->failed && !w->fault_told) {
        w->fault_told = true;
        *out = (clm_msg){.kind = CLM_MSG_FAULT, .err = w->fault};
        return true;
    }
    int64_t pending = w->stopping && !w->drained_told ? clm_exec_pending(w->exec) : 0;
    if (w->stopping && !w->drained_told && (!pending || clm_clock_s() > w->stop_until_s)) {
        w->drained_told = true;
        *out = (clm_msg){.kind = CLM_MSG_DRAINED, .count = pending};
        return true;
    }
    return false;
}

bool clm_worker_idles(const clm_worker *w) { return w->slots > 0 && clm_exec_pending(w->exec) == 0; }

void clm_worker_wait(clm_worker *w, double timeout_s) { clm_exec_wait(w->exec, timeout_s); }

void clm_worker_wake(void *worker) { clm_exec_wake(((clm_worker *)worker)->exec); }

int64_t clm_worker_close(clm_worker *w, double timeout_s) {
    if (!w) return 0;
    clm_side_close(w->side);
    int64_t pending = 0;
    if (w->exec) {
        (void)clm_exec_drop(w->exec);
        pending = clm_exec_pending(w->exec);
        if (clm_exec_close(w->exec, timeout_s)) pending = 0;
    }
    clm_heap_free(w);
    return pending;
}
