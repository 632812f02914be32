#include "collimate/cluster/master.h"
#include "collimate/base/log.h"
#include "collimate/cluster/epoch.h"
#include "collimate/cluster/sched.h"
#include "collimate/cluster/spent.h"

#include <math.h>
#include <time.h>

enum { NOBODY = -1, POSTS_A_RANK = 4, POSTS_MORE = 1024 };
static const double progress_every_s = 1.0;
static const double drain_margin_s = 5.0; /* beyond the grace, for the way back */

typedef enum phase { RUNNING, STOPPING, FLUSHING, QUITTING, OVER } phase;

typedef struct rank_state {
    int32_t host;
    int32_t slots;
    int32_t told;   /* stages begun there */
    double heard_s; /* when it last spoke */
    bool greeted, lost, drained;
    bool syncing;  /* asked, no answer yet */
    bool dirty;    /* of a host (its lowest rank): wrote something no epoch has synced  */
    bool in_epoch; /* of a host: what it wrote is being synced                          */
} rank_state;

/* what waits to be given: small, so that a broadcast to 10^4 ranks is */
typedef struct post {
    int32_t to;
    clm_msg_kind kind;
} post;

typedef struct stage_clock {
    double begun_s;
    int64_t left_at_begin;
} stage_clock;

struct clm_master {
    const clm_plan *plan;
    clm_cluster_options o;
    const clm_worker_ops *ops;
    int size;
    clm_sched *sched;
    clm_journal *journal;
    clm_epoch *epoch;
    clm_spent spent;
    int64_t epoch_number;
    rank_state *rank;
    stage_clock *clock;
    post *posts;
    int64_t n_posts, first_post, cap_posts;
    clm_action held; /* an assignment that waits until its rank was told of the stage */
    bool has_held;
    bool broken; /* the journal cannot be written */
    phase phase;
    double phase_until_s, progress_s;
    clm_err end; /* why the run ends; CLM_OK: all done */
    clm_run_summary sum;
};

/* ---- opening ---- */

static bool replay(void *ctx, const clm_outcome *o, clm_err *err) {
    clm_master *m = ctx;
    if (!clm_sched_replay(m->sched, o, err)) return false;
    m->sum.replayed++;
    if (m->o.on_outcome && !m->o.on_outcome(m->o.ctx, o, true, err)) return false;
    clm_spent_durable(&m->spent, o);
    return true;
}

static double unix_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool open_state(clm_master *m, clm_err *err) {
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    p.lease_s = m->o.lease_s;
    p.retry_pause_s = m->o.retry_pause_s;
    m->rank = clm_heap_new((size_t)m->size, sizeof *m->rank, err);
    m->clock = m->rank ? clm_heap_new((size_t)m->plan->n_stages, sizeof *m->clock, err) : NULL;
    m->cap_posts = (int64_t)m->size * POSTS_A_RANK + POSTS_MORE;
    m->posts = m->clock ? clm_heap_new((size_t)m->cap_posts, sizeof *m->posts, err) : NULL;
    return m->posts && clm_sched_open(m->plan, &p, &m->sched, err) &&
           clm_spent_open(&m->spent, m->plan, m->sched, m->o.on_spent, m->o.ctx, err);
}

bool clm_master_open(const clm_comm *comm, const clm_plan *plan, const clm_cluster_options *options,
                     const clm_worker_ops *ops, void (*wake)(void *), void *ctx, clm_master **out,
                     clm_err *err) {
    *out = NULL;
    clm_master *m = clm_heap_new(1, sizeof *m, err);
    if (!m) return false;
    *m = (clm_master){.plan = plan, .o = *options, .ops = ops, .size = comm->size};
    m->sum.ranks = comm->size;
    clm_journal_reader reader = {.outcome = replay, .ctx = m};
    clm_journal_info info;
    clm_stamp launch = {
        .kind = CLM_STAMP_LAUNCH, .unix_s = unix_now(), .ranks = comm->size, .slots = options->slots};
    m->journal = options->claim;
    bool ok = open_state(m, err) && (m->journal || clm_journal_claim(options->folder, &m->journal, err)) &&
              clm_journal_begin(m->journal, plan, &reader, &info, err) &&
              clm_epoch_open(m->journal, options->epoch_s, wake, ctx, &m->epoch, err) &&
              clm_epoch_hold_stamp(m->epoch, &launch, err);
    if (!ok) {
        clm_master_close(m);
        return false;
    }
    if (!info.locked)
        clm_log(CLM_LOG_INFO, "%s: no file locks here: make sure that one run at a time uses it",
                options->folder);
    *out = m;
    return true;
}

void clm_master_close(clm_master *m) {
    if (!m) return;
    clm_epoch_close(m->epoch);
    if (!m->o.claim) clm_journal_close(m->journal);
    clm_spent_close(&m->spent);
    clm_sched_close(m->sched);
    clm_heap_free(m->rank);
    clm_heap_free(m->clock);
    clm_heap_free(m->posts);
    clm_heap_free(m);
}

/* ---- sending ---- */

static void post_to(clm_master *m, int to, clm_msg_kind kind) {
    if (m->rank[to].lost) return;
    /* ALIVE may be left out; of the others each rank has at most one waiting, so they fit */
    if (m->n_posts >= m->cap_posts - (kind == CLM_MSG_ALIVE ? (int64_t)m->size * (POSTS_A_RANK - 1) : 0))
        return;
    m->posts[(m->first_post + m->n_posts++) % m->cap_posts] = (post){.to = to, .kind = kind};
}

static void post_all(clm_master *m, clm_msg_kind kind) {
    for (int r = 0; r < m->size; r++) post_to(m, r, kind);
}

static void enter(clm_master *m, phase to, double until_s) {
    m->phase = to;
    m->phase_until_s = until_s;
}

/* The run ends, well or not: nothing is assigned any more, what runs may end. The first reason counts. */
static void end_run(clm_master *m, const clm_err *why, double now_s) {
    if (m->phase != RUNNING) {
        if (why && m->end.code == CLM_OK) m->end = *why;
        return;
    }
    if (why) m->end = *why;
    clm_sched_stop(m->sched);
    m->has_held = false;
    enter(m, STOPPING, now_s + m->o.grace_s + drain_margin_s);
    m->progress_s = now_s + progress_every_s;
    post_all(m, CLM_MSG_STOP);
}

void clm_master_fail(clm_master *m, const clm_err *why, double now_s) { end_run(m, why, now_s); }

void clm_master_stop(clm_master *m, double now_s) {
    clm_err err;
    if (m->phase != RUNNING) return;
    clm_fail(&err, CLM_E_CANCELLED, "asked to stop; the same command resumes");
    end_run(m, &err, now_s);
}

/* ---- epochs ---- */

/* a rank of this host that is there, or -1 */
static int someone_on(const clm_master *m, int host) {
    for (int r = host; r < m->size; r++)
        if (m->rank[r].greeted && !m->rank[r].lost && m->rank[r].host == host) return r;
    return -1;
}

/* Ask a host to sync. Nobody left there: what it wrote may be gone, and later stages may rest on it. */
static void ask_host(clm_master *m, int host, double now_s) {
    int r = someone_on(m, host);
    if (r < 0) {
        clm_err err;
        clm_fail(&err, CLM_E_PEER, "the host of rank %d was lost before its results were durable", host);
        end_run(m, &err, now_s);
        return;
    }
    m->rank[r].syncing = true;
    post_to(m, r, CLM_MSG_SYNC);
}

static bool host_gone(const clm_master *m) {
    for (int h = 0; h < m->size; h++)
        if ((m->rank[h].dirty || m->rank[h].in_epoch) && someone_on(m, h) < 0) return true;
    return false;
}

static void durable(void *ctx, const clm_outcome *o) { clm_spent_durable(ctx, o); }

/* the journal cannot go on: what is held is done again after a restart */
static void break_off(clm_master *m, const clm_err *why, double now_s) {
    m->broken = true;
    end_run(m, why, now_s);
}

static void epoch_tick(clm_master *m, double now_s) {
    clm_err err;
    bool ok;
    if (clm_epoch_ended(m->epoch, &ok, &err)) {
        m->sum.epochs++;
        if (ok)
            clm_epoch_replay(m->epoch, durable, &m->spent);
        else
            break_off(m, &err, now_s);
    }
    bool force = m->phase == STOPPING || m->phase == FLUSHING; /* the end may come sooner than we want */
    if (m->broken || m->phase > FLUSHING || !clm_epoch_due(m->epoch, now_s, force) || host_gone(m)) return;
    clm_stamp stamp = {.kind = CLM_STAMP_EPOCH, .unix_s = unix_now(), .ranks = m->size};
    if (!clm_epoch_hold_stamp(m->epoch, &stamp, &err)) {
        break_off(m, &err, now_s);
        return;
    }
    m->epoch_number = clm_epoch_begin(m->epoch, now_s);
    bool asked = false;
    for (int h = 0; h < m->size; h++) {
        if (!m->rank[h].dirty) continue;
        m->rank[h].dirty = false;
        m->rank[h].in_epoch = asked = true;
        ask_host(m, h, now_s);
    }
    if (!asked && !clm_epoch_append(m->epoch, now_s, &err)) break_off(m, &err, now_s);
}

static void synced(clm_master *m, int from, const clm_msg *msg, double now_s) {
    rank_state *r = &m->rank[from];
    if (!r->syncing || msg->count != m->epoch_number) return;
    r->syncing = false;
    m->sum.sync_seconds += msg->seconds;
    if (msg->err.code != CLM_OK) {
        break_off(m, &msg->err, now_s); /* its epoch stays open: nothing of it is written */
        return;
    }
    m->rank[r->host].in_epoch = false;
    for (int h = 0; h < m->size; h++)
        if (m->rank[h].in_epoch) return;
    clm_err err;
    if (!clm_epoch_append(m->epoch, now_s, &err)) break_off(m, &err, now_s);
}

/* ---- ranks ---- */

static void lose(clm_master *m, int r, double now_s) {
    clm_err err;
    rank_state *w = &m->rank[r];
    w->lost = true;
    m->sum.lost++;
    clm_log(CLM_LOG_ERROR, "rank %d was not heard of for %.0f s: its tasks go to others", r, m->o.silence_s);
    clm_sched_lost(m->sched, r);
    if (m->held.worker == r) m->has_held = false; /* taken back with the others */
    bool was_syncing = w->syncing;
    w->syncing = false;
    if (was_syncing) ask_host(m, w->host, now_s);
    if (host_gone(m)) {
        clm_fail(&err, CLM_E_PEER, "the host of rank %d was lost before its results were durable", w->host);
        end_run(m, &err, now_s);
    }
    for (int i = 0; i < m->size; i++)
        if (!m->rank[i].lost && (m->rank[i].slots || !m->rank[i].greeted)) return;
    clm_fail(&err, CLM_E_PEER, "no rank is left to compute");
    end_run(m, &err, now_s);
}

static void heard(clm_master *m, int from, double now_s) {
    clm_err err;
    rank_state *w = &m->rank[from];
    w->heard_s = now_s;
    if (!w->lost || m->phase != RUNNING) return;
    w->lost = false; /* it was only slow */
    if (w->greeted && !clm_sched_join(m->sched, from, w->slots, &err)) end_run(m, &err, now_s);
}

static void outcome(clm_master *m, int from, const clm_outcome *o, double now_s) {
    clm_err err;
    clm_verdict v = clm_sched_outcome(m->sched, from, o);
    if (clm_sched_error(m->sched)->code != CLM_OK) end_run(m, clm_sched_error(m->sched), now_s);
    m->sum.retried += v == CLM_VERDICT_RETRY;
    m->sum.duplicates += v == CLM_VERDICT_DUPLICATE;
    m->sum.busy_seconds += o->seconds;
    if (v != CLM_VERDICT_FINAL) return;
    if (from >= 0) m->rank[m->rank[from].host].dirty = true;
    if (m->o.on_outcome && !m->o.on_outcome(m->o.ctx, o, false, &err)) {
        end_run(m, &err, now_s);
        return;
    }
    if (!clm_epoch_hold(m->epoch, o, &err)) break_off(m, &err, now_s);
}

void clm_master_take(clm_master *m, int from, const clm_msg *msg, double now_s) {
    clm_err err;
    rank_state *w = &m->rank[from];
    heard(m, from, now_s);
    switch (msg->kind) {
    case CLM_MSG_HELLO:
        w->greeted = true;
        w->slots = msg->slots;
        w->host = msg->host < m->size ? msg->host : 0;
        m->sum.slots += msg->slots;
        if (!clm_sched_join(m->sched, from, msg->slots, &err)) end_run(m, &err, now_s);
        break;
    case CLM_MSG_OUTCOME: outcome(m, from, &msg->outcome, now_s); break;
    case CLM_MSG_SYNCED: synced(m, from, msg, now_s); break;
    case CLM_MSG_ALIVE: post_to(m, from, CLM_MSG_ALIVE); break;
    case CLM_MSG_DRAINED: w->drained = true; break;
    case CLM_MSG_FAULT:
        err = msg->err;
        clm_err_in(&err, "rank %d", from);
        end_run(m, &err, now_s);
        break;
    default:
        clm_fail(&err, CLM_E_PEER, "rank %d sent a message of kind %d to the master", from, (int)msg->kind);
        end_run(m, &err, now_s);
    }
}

/* ---- time ---- */

static void show(const clm_master *m, int k, double now_s) {
    if (!m->o.on_progress) return;
    clm_stage_count c = clm_sched_count(m->sched, k);
    clm_progress p = {.stage = k,
                      .name = m->plan->stage[k].name,
                      .total = c.total,
                      .ended = c.ended,
                      .failed = c.failed,
                      .eta_s = -1,
                      .over = c.over};
    int64_t left = c.total - c.ended, here = m->clock[k].left_at_begin - left;
    double s = now_s - m->clock[k].begun_s;
    if (here > 0 && s > 0) p.rate_per_s = (double)here / s;
    if (p.rate_per_s > 0) p.eta_s = (double)left / p.rate_per_s;
    m->o.on_progress(m->o.ctx, &p);
}

static bool all_drained(const clm_master *m) {
    for (int r = 0; r < m->size; r++)
        if (!m->rank[r].lost && !m->rank[r].drained) return false;
    return true;
}

/* is there nothing left to write, or nothing that can be? */
static bool flushed(const clm_master *m) { return m->broken || clm_epoch_empty(m->epoch) || host_gone(m); }

void clm_master_tick(clm_master *m, double now_s) {
    clm_sched_tick(m->sched, now_s);
    if (clm_sched_error(m->sched)->code != CLM_OK) end_run(m, clm_sched_error(m->sched), now_s);
    for (int r = 1; r < m->size && m->phase < QUITTING; r++)
        if (!m->rank[r].lost && now_s - m->rank[r].heard_s > m->o.silence_s) lose(m, r, now_s);
    if (m->phase == STOPPING &&
        now_s >= m->progress_s) { /* said again: sending may have failed for want of memory */
        m->progress_s = now_s + progress_every_s;
        for (int r = 0; r < m->size; r++)
            if (!m->rank[r].drained) post_to(m, r, CLM_MSG_STOP);
    }
    if (m->phase == STOPPING && (all_drained(m) || now_s > m->phase_until_s))
        enter(m, FLUSHING, now_s + m->o.silence_s);
    epoch_tick(m, now_s);
    if (m->phase == FLUSHING && (flushed(m) || now_s > m->phase_until_s)) {
        enter(m, QUITTING, now_s);
        post_all(m, CLM_MSG_QUIT);
    }
    if (m->phase != RUNNING || now_s < m->progress_s) return;
    m->progress_s = now_s + progress_every_s;
    for (int k = 0; k < m->plan->n_stages; k++) {
        clm_stage_count c = clm_sched_count(m->sched, k);
        if (c.begun && !c.over) show(m, k, now_s);
    }
}

/* ---- what to do next ---- */

static void begin_stage(clm_master *m, const clm_action *a, double now_s) {
    clm_err err;
    m->clock[a->stage] = (stage_clock){.begun_s = now_s, .left_at_begin = a->count};
    if (m->ops->stage_begin && !m->ops->stage_begin(m->ops->ctx, a->stage, a->count, &err))
        end_run(m, &err, now_s);
    m->rank[0].told = a->stage + 1;
    show(m, a->stage, now_s);
}

static void end_stage(clm_master *m, const clm_action *a, double now_s) {
    clm_err err;
    if (m->ops->stage_end && !m->ops->stage_end(m->ops->ctx, a->stage, &err)) end_run(m, &err, now_s);
    show(m, a->stage, now_s);
}

static void give_up_late(clm_master *m, const clm_action *a, double now_s) {
    clm_outcome o = {.task = a->task, .rank = -1};
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) o.figure[i] = NAN;
    clm_fail(&o.err, CLM_E_PEER, "not done within %.0f s on any of several ranks", m->o.lease_s);
    outcome(m, NOBODY, &o, now_s);
}

/* acts until there is an assignment */
static bool next_assignment(clm_master *m, double now_s) {
    clm_action a;
    while (!m->has_held && m->phase == RUNNING && clm_sched_next(m->sched, &a)) {
        switch (a.kind) {
        case CLM_ACT_STAGE_BEGIN: begin_stage(m, &a, now_s); break;
        case CLM_ACT_STAGE_END: end_stage(m, &a, now_s); break;
        case CLM_ACT_LATE: give_up_late(m, &a, now_s); break;
        case CLM_ACT_FINISHED: end_run(m, NULL, now_s); break;
        case CLM_ACT_ASSIGN:
            m->held = a;
            m->has_held = true;
            break;
        }
    }
    return m->has_held;
}

static bool give_post(clm_master *m, int *to, clm_msg *out) {
    while (m->n_posts) {
        post p = m->posts[m->first_post];
        m->first_post = (m->first_post + 1) % m->cap_posts;
        m->n_posts--;
        if (m->rank[p.to].lost) continue;
        *to = p.to;
        *out = (clm_msg){.kind = p.kind};
        if (p.kind == CLM_MSG_STOP) out->seconds = m->o.grace_s;
        if (p.kind == CLM_MSG_SYNC) out->count = m->epoch_number;
        if (p.kind == CLM_MSG_QUIT) {
            out->err = m->end;
            for (int k = 0; k < m->plan->n_stages; k++) out->count += clm_sched_count(m->sched, k).failed;
        }
        return true;
    }
    if (m->phase == QUITTING) m->phase = OVER;
    return false;
}

bool clm_master_give(clm_master *m, int *to, clm_msg *out, double now_s) {
    if (give_post(m, to, out)) return true;
    if (!next_assignment(m, now_s)) return give_post(m, to, out);
    rank_state *w = &m->rank[m->held.worker];
    *to = m->held.worker;
    if (w->told <= m->held.task.stage) {
        int k = w->told++;
        *out = (clm_msg){.kind = CLM_MSG_STAGE, .stage = k, .count = m->clock[k].left_at_begin};
        return true;
    }
    m->has_held = false;
    *out = (clm_msg){.kind = CLM_MSG_TASK, .task = m->held.task};
    return true;
}

bool clm_master_over(const clm_master *m) { return m->phase == OVER; }

bool clm_master_has_lost(const clm_master *m, int rank) { return m->rank[rank].lost; }

bool clm_master_result(const clm_master *m, clm_run_summary *summary, clm_err *err) {
    *summary = m->sum;
    summary->clean = true;
    for (int r = 0; r < m->size; r++) summary->clean = summary->clean && !m->rank[r].lost;
    for (int k = 0; k < m->plan->n_stages; k++) {
        clm_stage_count c = clm_sched_count(m->sched, k);
        summary->tasks += c.total;
        summary->ended += c.ended;
        summary->failed += c.failed;
    }
    if (m->end.code == CLM_OK) return true;
    *err = m->end;
    return false;
}
