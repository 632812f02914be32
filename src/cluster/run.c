#include "collimate/cluster/run.h"
#include "collimate/base/clock.h"
#include "collimate/cluster/master.h"
#include "collimate/cluster/side.h"
#include "collimate/cluster/worker.h"

#include <math.h>
#include <string.h>

enum { MESSAGES_A_TURN = 256 };
static const double alive_every_s = 2.0;    /* or four times within silence_s */
static const double master_patience = 10.0; /* times silence_s before a rank gives its master up */
static const double most_gap_s = 1.0;
static const double alone_wait_s = 0.05; /* one rank: only the stop flag and retries are polled */

/* Seconds this process has been running: a pause (stopped, swapped, a laptop asleep) counts as at
 * most most_gap_s, so that nobody is declared lost because we were not listening. */
typedef struct run_clock {
    double last_s, now_s;
} run_clock;

static double tell_time(run_clock *c) {
    double t = clm_clock_s(), gap = t - c->last_s;
    c->last_s = t;
    c->now_s += gap < most_gap_s ? gap : most_gap_s;
    return c->now_s;
}

typedef struct rank_run {
    clm_comm *comm;
    const clm_cluster_options *options;
    clm_worker *worker;
    clm_master *master; /* rank 0 */
    bool *lost;         /* rank 0, at the end: [ranks] */
    run_clock clock;
    double sent_s, heard_s; /* other ranks: to and from the master */
    double busy_s;          /* when something last happened */
    bool stop_told;
} rank_run;

static bool send_message(rank_run *r, int to, const clm_msg *m, clm_err *err) {
    unsigned char buf[CLM_MESSAGE_MAX];
    size_t n = clm_wire_pack(m, buf);
    r->sent_s = r->clock.now_s;
    return clm_comm_send(r->comm, to, buf, n, err);
}

static bool next_message(rank_run *r, int *from, clm_msg *m, bool *got, clm_err *err) {
    unsigned char buf[CLM_MESSAGE_MAX];
    size_t n = 0;
    if (!clm_comm_recv(r->comm, 0, from, buf, sizeof buf, &n, got, err)) return false;
    if (!*got) return true;
    r->heard_s = r->clock.now_s;
    return clm_wire_unpack(buf, n, m, err) || clm_err_in(err, "from rank %d", *from);
}

static bool asked_to_stop(const rank_run *r) { return r->options->stop && atomic_load(r->options->stop); }

/* Sleep a quarter of the time that nothing has happened, 50 us (what the kernel sleeps at least) to 3 ms, so that
 * a rank with long tasks costs 1 % of a core to keep in touch; a 32nd while its own cores wait, too, mostly for the
 * stage to end. A finished task wakes at once. */
static void rest(rank_run *r, bool busy) {
    if (busy) {
        r->busy_s = r->clock.now_s;
        return;
    }
    double part = clm_worker_idles(r->worker) ? 32 : 4;
    double nap_s = fmin(fmax((r->clock.now_s - r->busy_s) / part, 50e-6), 3e-3);
    clm_worker_wait(r->worker, r->comm->size == 1 ? alone_wait_s : nap_s);
}

/* ---- rank 0 ---- */

static bool master_turn(rank_run *r, double now_s) {
    clm_master *m = r->master;
    clm_err err;
    clm_msg msg;
    bool busy = false, got = true;
    int peer;
    for (int i = 0; i < MESSAGES_A_TURN && got && r->comm->size > 1; i++) {
        if (!next_message(r, &peer, &msg, &got, &err))
            clm_master_fail(m, &err, now_s);
        else if (got)
            clm_master_take(m, peer, &msg, now_s);
        busy |= got;
    }
    for (; clm_worker_give(r->worker, &msg); busy = true) clm_master_take(m, 0, &msg, now_s);
    if (asked_to_stop(r)) clm_master_stop(m, now_s);
    clm_master_tick(m, now_s);
    for (; clm_master_give(m, &peer, &msg, now_s); busy = true) {
        if (peer == 0)
            clm_worker_take(r->worker, &msg);
        else if (!send_message(r, peer, &msg, &err))
            clm_master_fail(m, &err, now_s);
    }
    return busy;
}

static bool run_master(rank_run *r, clm_run_summary *summary, clm_err *err) {
    double begin_s = clm_clock_s();
    while (!clm_master_over(r->master)) {
        bool busy = master_turn(r, tell_time(&r->clock));
        rest(r, busy);
    }
    bool ok = clm_master_result(r->master, summary, err);
    for (int i = 0; i < r->comm->size; i++) r->lost[i] = clm_master_has_lost(r->master, i);
    clm_err unsent; /* a rank that does not hear QUIT ends by itself, later */
    if (!clm_comm_flush(r->comm, r->options->silence_s, &unsent)) summary->clean = false;
    summary->seconds = clm_clock_s() - begin_s;
    return ok;
}

/* ---- the other ranks ---- */

static bool worker_turn(rank_run *r, bool *busy, clm_msg *msg, clm_err *err) {
    bool got = true;
    int peer;
    for (int i = 0; i < MESSAGES_A_TURN && got; i++) {
        if (!next_message(r, &peer, msg, &got, err)) return false;
        if (!got) break;
        *busy = true;
        if (msg->kind == CLM_MSG_QUIT) return true;
        clm_worker_take(r->worker, msg);
    }
    for (; clm_worker_give(r->worker, msg); *busy = true)
        if (!send_message(r, 0, msg, err)) return false;
    *msg = (clm_msg){.kind = CLM_MSG_ALIVE};
    if (asked_to_stop(r) && !r->stop_told) {
        r->stop_told = true;
        msg->kind = CLM_MSG_FAULT;
        clm_fail(&msg->err, CLM_E_CANCELLED, "asked to stop; the same command resumes");
    }
    if (msg->kind == CLM_MSG_FAULT ||
        r->clock.now_s - r->sent_s > fmin(alive_every_s, r->options->silence_s / 4))
        return send_message(r, 0, msg, err);
    return true;
}

static bool run_worker(rank_run *r, clm_run_summary *summary, clm_err *err) {
    double patience_s = master_patience * r->options->silence_s, begin_s = clm_clock_s();
    for (;;) {
        bool busy = false;
        clm_msg msg;
        double now_s = tell_time(&r->clock);
        if (!worker_turn(r, &busy, &msg, err)) break;
        if (msg.kind == CLM_MSG_QUIT) {
            summary->failed = msg.count;
            summary->clean = true;
            summary->seconds = clm_clock_s() - begin_s;
            if (msg.err.code == CLM_OK) return true;
            *err = msg.err;
            return false;
        }
        if (now_s - r->heard_s > patience_s) {
            clm_fail(err, CLM_E_PEER, "nothing was heard of rank 0 for %.0f s", patience_s);
            break;
        }
        rest(r, busy);
    }
    /* the master may still hear: then the run ends now, not when this rank has been silent for long */
    clm_err unsent;
    clm_msg fault = {.kind = CLM_MSG_FAULT, .err = *err}, drained = {.kind = CLM_MSG_DRAINED};
    if (send_message(r, 0, &fault, &unsent) && send_message(r, 0, &drained, &unsent))
        (void)!clm_comm_flush(r->comm, 1, &unsent);
    summary->clean = false;
    return false;
}

/* ---- the end ---- */

/* rank 0's last work, which nothing else of the run waits for, beside the thread that talks */
typedef struct last_work {
    const clm_cluster_options *options;
    const clm_run_summary *summary;
    bool ok;
    clm_err why;
    atomic_int over;
} last_work;

static bool work_last(void *arg, clm_err *err) {
    last_work *l = arg;
    *err = l->why;
    return l->options->on_end(l->options->ctx, l->ok, l->summary, err);
}

static void say_over(void *arg) { atomic_store(&((last_work *)arg)->over, 1); }

/* to all that have not been lost; what cannot be sent is not missed for long */
static void tell_others(rank_run *r, const clm_msg *m) {
    clm_err unsent;
    for (int to = 1; to < r->comm->size; to++)
        if (!r->lost[to]) (void)!send_message(r, to, m, &unsent);
}

/* Rank 0: while it works on, the others hear of it, so that they wait for it as long as that takes and no longer. */
static bool end_master(rank_run *r, const clm_run_summary *summary, bool ok, clm_err *err) {
    last_work last = {.options = r->options, .summary = summary, .ok = ok, .why = CLM_ERR_NONE};
    clm_side *side = NULL;
    clm_err other;
    double seconds;
    bool alone = r->comm->size == 1;
    if (!ok) last.why = *err;
    if (!r->options->on_end) {
    } else if (alone || !clm_side_open(say_over, &last, &side, &other) ||
               !clm_side_begin(side, work_last, &last, &other)) {
        ok = work_last(&last, err);
    } else {
        for (r->sent_s = -INFINITY; !atomic_load(&last.over); clm_nap_us(1000)) {
            clm_msg msg;
            bool got = true;
            int peer;
            while (next_message(r, &peer, &msg, &got, &other) && got) {}
            if (tell_time(&r->clock) - r->sent_s > fmin(alive_every_s, r->options->silence_s / 4))
                tell_others(r, &(clm_msg){.kind = CLM_MSG_ALIVE});
        }
        (void)clm_side_ended(side, &ok, &seconds, err);
    }
    clm_side_close(side);
    tell_others(r, &(clm_msg){.kind = CLM_MSG_QUIT});
    if (!alone) (void)!clm_comm_flush(r->comm, r->options->silence_s, &other);
    return ok;
}

/* The others: until rank 0 has done its last work. */
static bool end_worker(rank_run *r, clm_run_summary *summary, bool ok, clm_err *err) {
    clm_err why;
    for (r->heard_s = tell_time(&r->clock);; clm_nap_us(1000)) {
        clm_msg msg;
        bool got = true;
        int peer;
        if (!next_message(r, &peer, &msg, &got, &why)) break;
        if (got && msg.kind == CLM_MSG_QUIT) return ok;
        if (tell_time(&r->clock) - r->heard_s > master_patience * r->options->silence_s) {
            clm_fail(&why, CLM_E_PEER, "nothing was heard of rank 0 at the end for %.0f s",
                     master_patience * r->options->silence_s);
            break;
        }
    }
    summary->clean = false;
    if (ok) *err = why; /* else the run has ended with an error of its own */
    return false;
}

/* ---- the whole ---- */

static bool check(const clm_comm *comm, const clm_cluster_options *o, const clm_worker_ops *ops,
                  clm_err *err) {
    if (!o->folder || !o->folder[0]) return clm_fail(err, CLM_E_ARG, "no run folder");
    if (o->slots < 0 || o->slots > 4096 || (o->slots == 0 && (comm->rank != 0 || comm->size == 1)))
        return clm_fail(err, CLM_E_ARG, "rank %d with %d compute slots", comm->rank, o->slots);
    if (!(o->silence_s > 0) || !(o->grace_s >= 0) || !(o->epoch_s >= 0) || !(o->lease_s >= 0))
        return clm_fail(err, CLM_E_ARG,
                        "silence_s must be positive, grace_s, epoch_s and lease_s not negative");
    if (!ops->run) return clm_fail(err, CLM_E_ARG, "nothing to run tasks with");
    return true;
}

/* Rank 0's view to all: the plan it has, and why it cannot start if so. Then all or none go on. */
static bool agree(clm_comm *comm, uint64_t hash, bool mine, clm_err *err) {
    unsigned char bytes[CLM_MESSAGE_MAX];
    clm_msg view = {.kind = CLM_MSG_QUIT, .count = (int64_t)(hash >> 1)};
    if (!mine) view.err = *err;
    clm_err second;
    size_t n = clm_wire_pack(&view, bytes);
    clm_buf blob = {.data = bytes, .n = n, .cap = sizeof bytes}; /* large enough: never grown, never freed */
    bool met = clm_comm_share(comm, &blob, &second) && clm_wire_unpack(bytes, blob.n, &view, &second);
    bool ok = mine;
    if (ok && !met) {
        *err = second;
        ok = false;
    } else if (ok && view.err.code != CLM_OK) {
        *err = view.err;
        ok = false;
    } else if (ok && view.count != (int64_t)(hash >> 1)) {
        ok = clm_fail(err, CLM_E_ARG,
                      "rank %d has made another plan than rank 0: do all ranks see the same files?",
                      comm->rank);
    }
    bool any = true;
    if (!clm_comm_any(comm, !ok, &any, &second) && ok) {
        *err = second;
        return false;
    }
    return ok && (!any || clm_fail(err, CLM_E_PEER, "another rank could not start"));
}

bool clm_cluster_run(clm_comm *comm, const clm_plan *plan, const clm_cluster_options *options,
                     const clm_worker_ops *ops, clm_run_summary *summary, clm_err *err) {
    *summary = (clm_run_summary){.ranks = comm->size, .slots = options->slots, .clean = true};
    rank_run r = {.comm = comm, .options = options, .clock = {.last_s = clm_clock_s()}};
    bool ok = check(comm, options, ops, err);
    if (!ok) (void)clm_exec_close(options->exec, 0);
    ok = ok && clm_worker_open(comm, options, ops, &r.worker, err);
    if (ok && comm->rank == 0)
        ok = (r.lost = clm_heap_new((size_t)comm->size, sizeof *r.lost, err)) != NULL &&
             clm_master_open(comm, plan, options, ops, clm_worker_wake, r.worker, &r.master, err);
    ok = agree(comm, plan->hash, ok, err);
    r.clock.last_s = clm_clock_s();
    bool begun = ok;
    if (ok) ok = comm->rank == 0 ? run_master(&r, summary, err) : run_worker(&r, summary, err);
    clm_master_close(r.master); /* first: what it writes beside wakes the worker */
    summary->abandoned = clm_worker_close(r.worker, 1.0);
    if (begun && comm->rank == 0) ok = end_master(&r, summary, ok, err);
    if (begun && comm->rank != 0 && summary->clean) ok = end_worker(&r, summary, ok, err);
    clm_heap_free(r.lost);
    return ok;
}
