#include "support/simulate.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "collimate/base/text.h"
#include "collimate/cluster/bits.h"
#include "collimate/cluster/journal.h"
#include "collimate/cluster/master.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MESSAGES_A_TURN = 256, MOST_LAUNCHES = 1000, MOST_STAGES = 64 };
static const double alive_every_s = 2.0, idle_turn_s = 0.05;

typedef enum event_kind { TASK_END, ALIVE, SYNC_END, GRACE_END, CUT, MEND, DIE, HOST_DIES } event_kind;

typedef struct event {
    double at_s;
    int32_t rank;
    event_kind kind;
    clm_task task; /* TASK_END; index: epoch of SYNC_END */
    double seconds;
    clm_code code;
} event;

/* a message on its way, without what nobody looks at */
typedef struct letter {
    double at_s; /* when it arrives */
    int32_t rank;
    clm_msg_kind kind;
    clm_task task;
    double seconds;
    int64_t count;
    clm_code code;
} letter;

typedef struct letters {
    letter *p;
    int64_t n, first, cap;
} letters;

typedef struct rank {
    double slow_by, sent_s;
    bool gone, cut, stopping, drained;
    int32_t busy, n_queue, cap_queue;
    struct waiting {
        clm_task task;
        double at_s;
    } * queue;
} rank;

typedef struct world {
    const sim_params *p;
    const clm_plan *plan;
    clm_master *master;
    sim_report *r;
    double now_s, free_s, last_turn_s; /* the master can take the next message; its last turn */
    event *heap;
    int64_t n_events, cap_events;
    letters inbox, held, given; /* held: by cut links; given: by the master in this turn */
    rank *rank;
    clm_bits *seen, *ended; /* a stage: handed out at least once; ended, in this launch */
    int64_t assigned[MOST_STAGES], n_ended;
    int begun, over;
    int64_t draws;
    int64_t epoch, asked, replied; /* hosts, to sync for this epoch */
    atomic_llong wakes;
    long long epoch_wakes; /* before it */
    bool host_gone;
    int64_t busy;
    bool at_work; /* a task was handed out in this launch */
    double *idle; /* the sum that an idle slot is added to */
    double launch_useful_s, busy_s;
    clm_err err; /* of the simulation itself */
} world;

/* ---- events, by time ---- */

static void failed(world *w, const clm_err *err) {
    if (w->err.code == CLM_OK) w->err = *err;
}

static void add_event(world *w, event e) {
    clm_err err;
    void *p = w->heap;
    if (w->n_events == w->cap_events) {
        int64_t cap = w->cap_events * 2 + 1024;
        if (!clm_heap_grow(&p, (size_t)cap, sizeof e, &err)) {
            failed(w, &err);
            return;
        }
        w->heap = p;
        w->cap_events = cap;
    }
    int64_t i = w->n_events++;
    for (; i && w->heap[(i - 1) / 2].at_s > e.at_s; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static event next_event(world *w) {
    event first = w->heap[0], last = w->heap[--w->n_events];
    int64_t i = 0;
    for (int64_t k; (k = 2 * i + 1) < w->n_events; i = k) {
        if (k + 1 < w->n_events && w->heap[k + 1].at_s < w->heap[k].at_s) k++;
        if (last.at_s <= w->heap[k].at_s) break;
        w->heap[i] = w->heap[k];
    }
    w->heap[i] = last;
    return first;
}

static void post(world *w, letters *l, letter x) {
    clm_err err;
    if (l->n == l->cap) {
        int64_t cap = l->cap * 2 + 1024;
        letter *p = clm_heap_new((size_t)cap, sizeof *p, &err);
        if (!p) {
            failed(w, &err);
            return;
        }
        for (int64_t i = 0; i < l->n; i++) p[i] = l->p[(l->first + i) % l->cap];
        clm_heap_free(l->p);
        *l = (letters){.p = p, .n = l->n, .cap = cap};
    }
    l->p[(l->first + l->n++) % l->cap] = x;
}

static letter take(letters *l) {
    letter x = l->p[l->first];
    l->first = (l->first + 1) % l->cap;
    l->n--;
    return x;
}

/* from a rank to the master */
static void send(world *w, letter x) {
    rank *k = &w->rank[x.rank];
    if (k->gone) return;
    k->sent_s = w->now_s;
    x.at_s = w->now_s + w->p->latency_s;
    post(w, k->cut ? &w->held : &w->inbox, x);
}

/* ---- chance ---- */

static double dice(world *w) { return clm_rng_uniform(w->p->seed, 1, (uint64_t)w->draws++); }

static double exponential(world *w, double mean) { return -mean * log1p(-dice(w)); }

static double log_normal(world *w, double median) {
    return median * exp(clm_rng_normal(w->p->seed, 2, (uint64_t)w->draws++));
}

/* of the task alone, whoever does it */
static double fate(const world *w, uint64_t what, const clm_task *t) {
    return clm_rng_uniform(clm_rng_mix(w->p->seed, what * 64 + (uint64_t)t->attempt), (uint64_t)t->stage,
                           (uint64_t)t->index);
}

static const sim_times *times_of(const world *w, int stage) {
    const char *name = w->plan->stage[stage].name;
    size_t n = strcspn(name, ".");
    for (int k = 0; k < w->p->n_times; k++)
        if (strlen(w->p->times[k].stage) == n && strncmp(w->p->times[k].stage, name, n) == 0)
            return &w->p->times[k];
    return NULL;
}

static double block_seconds(const world *w, const clm_task *t) {
    const sim_times *x = times_of(w, t->stage);
    if (!x) return 0;
    clm_task first = {.stage = t->stage, .index = t->index};
    double at = fate(w, 1, &first) * (SIM_QUANTILES - 1);
    int i = (int)at;
    return w->p->scale * (x->quantile_s[i] + (at - i) * (x->quantile_s[i + 1] - x->quantile_s[i]));
}

static clm_code task_code(const world *w, const clm_task *t) {
    clm_task first = {.stage = t->stage, .index = t->index};
    if (fate(w, 2, t) < w->p->io_error) return CLM_E_IO;
    return !w->plan->stage[t->stage].fatal && fate(w, 3, &first) < w->p->bad ? CLM_E_NODATA : CLM_OK;
}

/* ---- ranks ---- */

static void begin_tasks(world *w, int32_t r) {
    rank *k = &w->rank[r];
    while (k->busy < w->p->slots && k->n_queue && isfinite(k->queue[0].at_s) && !k->stopping) {
        struct waiting q = k->queue[0];
        memmove(k->queue, k->queue + 1, (size_t)--k->n_queue * sizeof q);
        double s = block_seconds(w, &q.task) * k->slow_by + log_normal(w, w->p->read_s);
        if (dice(w) < w->p->stall) s += exponential(w, w->p->stall_s);
        if (dice(w) < w->p->hang) s += 0.45 * w->p->lease_s; /* then its process is killed, and tried again */
        double begin_s = fmax(w->now_s, q.at_s);
        add_event(w, (event){.at_s = begin_s + s,
                             .rank = r,
                             .kind = TASK_END,
                             .task = q.task,
                             .seconds = s,
                             .code = task_code(w, &q.task)});
        k->busy++;
        w->busy++;
    }
}

static void queue_task(world *w, int32_t r, const clm_task *t) {
    clm_err err;
    rank *k = &w->rank[r];
    if (k->n_queue == k->cap_queue) {
        void *p = k->queue;
        int32_t cap = k->cap_queue * 2 + 2;
        if (!clm_heap_grow(&p, (size_t)cap, sizeof *k->queue, &err)) {
            failed(w, &err);
            return;
        }
        k->queue = p;
        k->cap_queue = cap;
    }
    /* a cut link gives it over when it is mended */
    double at_s = k->cut ? INFINITY : w->now_s + w->p->latency_s;
    k->queue[k->n_queue++] = (struct waiting){.task = *t, .at_s = at_s};
    begin_tasks(w, r);
}

static void drained(world *w, int32_t r) {
    if (w->rank[r].drained) return;
    w->rank[r].drained = true;
    send(w, (letter){.rank = r, .kind = CLM_MSG_DRAINED});
}

static void die(world *w, int32_t r) {
    rank *k = &w->rank[r];
    if (k->gone) return;
    k->gone = true;
    w->busy -= k->busy;
    k->busy = k->n_queue = 0;
}

static void mend(world *w, int32_t r) {
    rank *k = &w->rank[r];
    if (k->gone) return;
    k->cut = false;
    for (int64_t n = w->held.n; n > 0; n--) {
        letter x = take(&w->held);
        if (x.rank == r)
            send(w, x);
        else
            post(w, &w->held, x);
    }
    for (int32_t i = 0; i < k->n_queue; i++) k->queue[i].at_s = fmin(k->queue[i].at_s, w->now_s);
    begin_tasks(w, r);
}

static void happen(world *w, const event *e) {
    rank *k = &w->rank[e->rank];
    const sim_params *p = w->p;
    switch (e->kind) {
    case TASK_END:
        if (k->gone) break;
        k->busy--;
        w->busy--;
        send(w, (letter){.rank = e->rank,
                         .kind = CLM_MSG_OUTCOME,
                         .task = e->task,
                         .seconds = e->seconds,
                         .code = e->code});
        begin_tasks(w, e->rank);
        if (k->stopping && !k->busy) drained(w, e->rank);
        break;
    case ALIVE:
        if (k->gone) break;
        if (w->now_s - k->sent_s >= alive_every_s && !k->cut)
            send(w, (letter){.rank = e->rank, .kind = CLM_MSG_ALIVE});
        add_event(w,
                  (event){.at_s = fmax(w->now_s, k->sent_s) + alive_every_s, .rank = e->rank, .kind = ALIVE});
        break;
    case SYNC_END:
        send(w, (letter){
                    .rank = e->rank, .kind = CLM_MSG_SYNCED, .count = e->task.index, .seconds = e->seconds});
        break;
    case GRACE_END: drained(w, e->rank); break;
    case CUT:
        k->cut = true;
        add_event(w, (event){.at_s = w->now_s + log_normal(w, p->cut_s), .rank = e->rank, .kind = MEND});
        add_event(
            w,
            (event){.at_s = w->now_s + exponential(w, 3600 / p->cut_a_rank_h), .rank = e->rank, .kind = CUT});
        break;
    case MEND: mend(w, e->rank); break;
    case DIE: die(w, e->rank); break;
    case HOST_DIES:
        w->host_gone = true;
        for (int32_t r = e->rank; r < p->ranks && r < e->rank + p->ranks_a_host; r++) die(w, r);
        break;
    }
}

/* ---- the master's turn ---- */

static void wake(void *ctx) { atomic_fetch_add(&((world *)ctx)->wakes, 1); }

/* through the wire, as messages go */
static void through(world *w, clm_msg *m) {
    unsigned char bytes[CLM_MESSAGE_MAX];
    clm_err err;
    clm_msg in;
    size_t n = clm_wire_pack(m, bytes);
    if (!clm_wire_unpack(bytes, n, &in, &err)) failed(w, &err);
    *m = in;
}

static void take_letter(world *w, const letter *x) {
    clm_msg m = {.kind = x->kind, .count = x->count, .seconds = x->seconds};
    if (x->kind == CLM_MSG_HELLO) {
        m.slots = w->p->slots;
        m.host = x->rank / w->p->ranks_a_host * w->p->ranks_a_host;
    }
    if (x->kind == CLM_MSG_OUTCOME) {
        m.outcome = (clm_outcome){.task = x->task, .seconds = x->seconds, .peak_bytes = 4e8, .rank = x->rank};
        /* as many figures as a block of deform reports */
        for (int i = 0; i < CLM_FIGURE_COUNT; i++) m.outcome.figure[i] = i < 6 ? x->seconds * i : NAN;
        if (x->code != CLM_OK) clm_fail(&m.outcome.err, x->code, "as the dice fell");
    }
    w->replied += x->kind == CLM_MSG_SYNCED && x->count == w->epoch;
    through(w, &m);
    clm_master_take(w->master, x->rank, &m, w->now_s);
}

static void deliver(world *w, const letter *x) {
    rank *k = &w->rank[x->rank];
    switch (x->kind) {
    case CLM_MSG_TASK:
        w->r->dispatches++;
        w->at_work = true;
        if (!clm_bits_has(&w->seen[x->task.stage], x->task.index)) {
            clm_bits_set(&w->seen[x->task.stage], x->task.index);
            w->assigned[x->task.stage]++;
        }
        if (!k->gone) queue_task(w, x->rank, &x->task);
        break;
    case CLM_MSG_SYNC:
        if (x->count != w->epoch) {
            w->asked = w->replied = 0;
            w->epoch_wakes = atomic_load(&w->wakes);
        }
        w->epoch = x->count;
        w->asked++;
        double s = log_normal(w, w->p->sync_s);
        add_event(w, (event){.at_s = w->now_s + s,
                             .rank = x->rank,
                             .kind = SYNC_END,
                             .task = {.index = x->count},
                             .seconds = s});
        break;
    case CLM_MSG_STOP:
        if (k->gone || k->stopping) break;
        k->stopping = true;
        k->n_queue = 0;
        if (!k->busy) drained(w, x->rank);
        add_event(w, (event){.at_s = w->now_s + x->seconds, .rank = x->rank, .kind = GRACE_END});
        break;
    default: break;
    }
}

/* where the time of a slot without a task goes */
static double *idle_sum(world *w) {
    if (!w->at_work) return &w->r->down_s;
    for (int k = w->over; k < w->begun; k++) {
        const clm_stage *s = &w->plan->stage[k];
        if (s->n == 1) return &w->r->single_s;
        if (s->start != CLM_STAGE_FOLLOWS && w->assigned[k] < s->n) return &w->r->idle_s;
    }
    return &w->r->tail_s;
}

static void turn(world *w) {
    int64_t n = 0;
    int to;
    clm_msg m;
    bool waits = w->asked > w->replied;
    double begin_s = clm_clock_thread_s();
    for (; n < MESSAGES_A_TURN && w->inbox.n && w->inbox.p[w->inbox.first].at_s <= w->now_s; n++) {
        letter x = take(&w->inbox);
        take_letter(w, &x);
    }
    clm_master_tick(w->master, w->now_s);
    for (; clm_master_give(w->master, &to, &m, w->now_s); n++) {
        through(w, &m);
        post(w, &w->given,
             (letter){.rank = to, .kind = m.kind, .task = m.task, .seconds = m.seconds, .count = m.count});
    }
    w->r->master_s += clm_clock_thread_s() - begin_s;
    /* the epoch is being written, really: the story waits, or it would depend on this machine's disk */
    if (waits && w->asked == w->replied && !w->host_gone)
        while (atomic_load(&w->wakes) == w->epoch_wakes) clm_nap_us(200);
    while (w->given.n) {
        letter x = take(&w->given);
        deliver(w, &x);
    }
    w->last_turn_s = w->now_s;
    w->free_s = w->now_s + (double)n * w->p->message_s;
    w->idle = idle_sum(w);
}

static double turn_time(const world *w) {
    double idle_s = fmax(w->last_turn_s + idle_turn_s, w->free_s);
    if (!w->inbox.n) return idle_s;
    return fmin(idle_s, fmax(w->free_s, w->inbox.p[w->inbox.first].at_s + w->p->nap_s));
}

/* ---- launches ---- */

static bool on_outcome(void *ctx, const clm_outcome *o, bool replayed, clm_err *err) {
    world *w = ctx;
    int k = o->task.stage;
    if (clm_bits_has(&w->ended[k], o->task.index)) {
        clm_fail(err, CLM_E_ARG, "%s %lld ended twice", w->plan->stage[k].name, (long long)o->task.index);
        failed(w, err);
        return false;
    }
    clm_bits_set(&w->ended[k], o->task.index);
    w->n_ended++;
    w->launch_useful_s += o->seconds;
    w->r->digest += clm_rng_bits((uint64_t)o->err.code, (uint64_t)k, (uint64_t)o->task.index);
    if (replayed && !clm_bits_has(&w->seen[k], o->task.index)) {
        clm_bits_set(&w->seen[k], o->task.index);
        w->assigned[k]++;
    }
    return true;
}

static void on_spent(void *ctx, int stage, int64_t index) {
    (void)stage;
    (void)index;
    ((world *)ctx)->r->spent++;
}

static bool stage_begin(void *ctx, int stage, int64_t remaining, clm_err *err) {
    (void)remaining;
    (void)err;
    ((world *)ctx)->begun = stage + 1;
    return true;
}

static bool stage_end(void *ctx, int stage, clm_err *err) {
    (void)err;
    ((world *)ctx)->over = stage + 1;
    return true;
}

static void begin_ranks(world *w) {
    const sim_params *p = w->p;
    w->n_events = w->inbox.n = w->held.n = w->busy = 0;
    for (int32_t r = 0; r < p->ranks; r++) {
        rank *k = &w->rank[r];
        double slow_by = clm_rng_uniform(p->seed, 3, (uint64_t)r) < p->slow ? p->slow_by : 1;
        *k = (rank){.slow_by = slow_by, .queue = k->queue, .cap_queue = k->cap_queue};
        if (r && w->r->launches && dice(w) < p->absent) {
            die(w, r);
            continue;
        }
        send(w, (letter){.rank = r, .kind = CLM_MSG_HELLO});
        add_event(w, (event){.at_s = w->now_s + alive_every_s * dice(w), .rank = r, .kind = ALIVE});
        if (r && p->cut_a_rank_h > 0)
            add_event(
                w,
                (event){.at_s = w->now_s + exponential(w, 3600 / p->cut_a_rank_h), .rank = r, .kind = CUT});
        if (r && p->die_a_rank_h > 0)
            add_event(
                w,
                (event){.at_s = w->now_s + exponential(w, 3600 / p->die_a_rank_h), .rank = r, .kind = DIE});
        if (r && r % p->ranks_a_host == 0 && p->die_a_host_h > 0)
            add_event(w, (event){.at_s = w->now_s + exponential(w, 3600 / p->die_a_host_h),
                                 .rank = r,
                                 .kind = HOST_DIES});
    }
}

static void pass_time(world *w, double to_s) {
    double s = to_s - w->now_s;
    w->busy_s += s * (double)w->busy;
    *w->idle += s * (double)((int64_t)w->p->ranks * w->p->slots - w->busy);
    w->now_s = to_s;
}

static void live(world *w) {
    while (!clm_master_over(w->master) && w->err.code == CLM_OK) {
        double turn_s = turn_time(w);
        if (w->n_events && w->heap[0].at_s < turn_s) {
            event e = next_event(w);
            pass_time(w, e.at_s);
            happen(w, &e);
        } else {
            pass_time(w, turn_s);
            turn(w);
        }
    }
}

/* true: the run is done; false with err: it is not, or (w->err) the simulation failed */
static bool launch(world *w, const char *folder, clm_err *err) {
    const sim_params *p = w->p;
    clm_cluster_options o = CLM_CLUSTER_DEFAULTS;
    o.folder = folder;
    o.slots = p->slots;
    o.lease_s = p->lease_s;
    o.silence_s = p->silence_s;
    o.epoch_s = p->epoch_s;
    o.ctx = w;
    o.on_outcome = on_outcome;
    o.on_spent = on_spent;
    clm_worker_ops ops = {.ctx = w, .stage_begin = stage_begin, .stage_end = stage_end};
    clm_comm comm = {.size = p->ranks};
    for (int k = 0; k < w->plan->n_stages; k++)
        memset(w->ended[k].word, 0, (size_t)(w->ended[k].n / 64 + 1) * sizeof(uint64_t));
    w->n_ended = w->begun = w->over = 0;
    w->r->digest = 0;
    w->launch_useful_s = 0;
    w->at_work = w->host_gone = false;
    w->idle = &w->r->down_s;
    w->epoch = w->asked = w->replied = 0;
    double begin_s = clm_clock_s(), begin_cpu_s = clm_clock_thread_s();
    if (!clm_master_open(&comm, w->plan, &o, &ops, wake, w, &w->master, &w->err)) return false;
    w->r->replay_s = clm_clock_s() - begin_s;
    w->r->replay_cpu_s = clm_clock_thread_s() - begin_cpu_s;
    begin_ranks(w);
    w->last_turn_s = w->free_s = w->now_s;
    live(w);
    clm_run_summary sum;
    bool ok = w->err.code == CLM_OK && clm_master_result(w->master, &sum, err);
    w->r->launches++;
    if (w->err.code == CLM_OK) {
        w->r->replayed = sum.replayed;
        w->r->duplicates += sum.duplicates;
        w->r->retried += sum.retried;
        w->r->epochs += sum.epochs;
        w->r->ranks_lost += sum.lost;
        w->r->failed = sum.failed;
        w->r->tasks = sum.tasks;
    }
    clm_master_close(w->master);
    return ok;
}

static bool open_world(world *w, clm_err *err) {
    w->rank = clm_heap_new((size_t)w->p->ranks, sizeof *w->rank, err);
    w->seen = clm_heap_new((size_t)w->plan->n_stages, sizeof *w->seen, err);
    w->ended = clm_heap_new((size_t)w->plan->n_stages, sizeof *w->ended, err);
    bool ok = w->rank && w->seen && w->ended;
    for (int k = 0; ok && k < w->plan->n_stages; k++)
        ok = clm_bits_open(&w->seen[k], w->plan->stage[k].n, err) &&
             clm_bits_open(&w->ended[k], w->plan->stage[k].n, err);
    return ok;
}

static void close_world(world *w) {
    for (int32_t r = 0; w->rank && r < w->p->ranks; r++) clm_heap_free(w->rank[r].queue);
    for (int k = 0; k < w->plan->n_stages; k++) {
        if (w->seen) clm_bits_close(&w->seen[k]);
        if (w->ended) clm_bits_close(&w->ended[k]);
    }
    clm_heap_free(w->rank);
    clm_heap_free(w->seen);
    clm_heap_free(w->ended);
    clm_heap_free(w->heap);
    clm_heap_free(w->inbox.p);
    clm_heap_free(w->held.p);
    clm_heap_free(w->given.p);
}

bool sim_run(const sim_params *p, const clm_plan *plan, const char *folder, sim_report *out, clm_err *err) {
    *out = (sim_report){0};
    world w = {.p = p, .plan = plan, .r = out};
    bool ok = plan->n_stages <= MOST_STAGES || clm_fail(err, CLM_E_ARG, "too many stages");
    ok = ok && open_world(&w, err);
    while (ok) {
        if (launch(&w, folder, err)) break;
        if (w.err.code != CLM_OK) *err = w.err;
        ok = w.err.code == CLM_OK && err->code == CLM_E_PEER && out->launches < MOST_LAUNCHES;
        w.idle = &out->down_s;
        w.busy = 0;
        pass_time(&w, w.now_s + p->relaunch_s);
    }
    if (ok && w.n_ended != out->tasks)
        ok = clm_fail(err, CLM_E_ARG, "%lld tasks ended, not %lld", (long long)w.n_ended,
                      (long long)out->tasks);
    out->seconds = w.now_s;
    out->useful_s = w.launch_useful_s;
    out->wasted_s = w.busy_s - w.launch_useful_s;
    struct stat st;
    char path[CLM_PATH_MAX];
    if (ok && clm_path_join(path, folder, CLM_JOURNAL_NAME, err) && stat(path, &st) == 0)
        out->journal_bytes = st.st_size;
    close_world(&w);
    return ok;
}
