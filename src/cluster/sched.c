/* Order of one clm_sched_next: end stages, begin stages, tasks to be tried again, ready tasks of the
 * latest stage first (so that a chunk is stitched before more blocks are computed), of a stage of blocks those
 * dealt to the worker (neighbours, see deal.h), copies of what a stage waits for too long, at last tasks of stages
 * aside. Workers are served in turn; those that would compute at once before those that would only hold a task in
 * store, which is never one of a stage aside. */
#include "collimate/cluster/sched.h"
#include "collimate/cluster/deal.h"
#include "collimate/cluster/flight.h"

#include <math.h>
#include <string.h>

enum { NONE = -1, SCAN_A_CALL = 1024, LOOKS_A_CALL = 64, MOST_WORKERS = 1 << 22 };

/* The policy: what a failure means, by its code. A crash or a lost rank is no failure of the task:
 * such tasks are assigned again without an outcome. */
static const int retries_of[CLM_CODE_COUNT] = {
    [CLM_E_IO] = 3,     /* the file system said no; it may not next time         */
    [CLM_E_NOMEM] = 2,  /* the system had no memory; it may have next time       */
    [CLM_E_WRITE] = -1, /* disk full, quota, read-only: every other task fails, too */
};

int clm_sched_retries(clm_code code) { return code > CLM_OK && code < CLM_CODE_COUNT ? retries_of[code] : 0; }

typedef struct stage_state {
    clm_bits taken; /* waiting to be tried again, ready, in flight, or ended */
    clm_bits ended;
    int64_t n_ended, n_failed, n_taken;
    int64_t n_timed; /* tasks that said how long they took */
    double seconds;  /* their sum */
    bool over;
    clm_collector *collector; /* of a FOLLOWS stage; of others, while they are under way: */
    clm_deal deal;
} stage_state;

typedef struct worker_state {
    int32_t slots, held;
    int32_t before, after; /* in its queue */
    int8_t queue;          /* HUNGRY, STORE or NONE */
    bool here, joined;
} worker_state;

typedef struct again {
    clm_task task;
    double not_before_s;
} again;

typedef struct queue {
    int32_t first, last;
} queue;

enum { HUNGRY, STORE, QUEUES };

struct clm_sched {
    const clm_plan *plan;
    clm_sched_params p;
    double now_s;
    stage_state *stage;
    int n_begun,
        n_over; /* stages below have begun, are over; later ones may be over, too, before one aside */
    worker_state *worker;
    int32_t n_workers, n_here, slots_here;
    queue q[QUEUES];
    clm_flight flight;
    int32_t room; /* sum of what all workers that ever joined can hold */
    again *again;
    int64_t n_again, cap_again;
    clm_err error;
    bool stopped, finished;
};

/* ---- opening ---- */

bool clm_sched_open(const clm_plan *plan, const clm_sched_params *params, clm_sched **out, clm_err *err) {
    *out = NULL;
    clm_sched *s = clm_heap_new(1, sizeof *s, err);
    if (!s) return false;
    *s = (clm_sched){.plan = plan, .p = *params, .q = {{NONE, NONE}, {NONE, NONE}}};
    s->stage = clm_heap_new((size_t)plan->n_stages, sizeof *s->stage, err);
    bool ok = s->stage != NULL;
    for (int k = 0; ok && k < plan->n_stages; k++) {
        stage_state *t = &s->stage[k];
        if (plan->stage[k].n < 0) {
            ok = clm_fail(err, CLM_E_ARG, "stage %s has a negative number of tasks", plan->stage[k].name);
            break;
        }
        if (plan->stage[k].aside && plan->stage[k].start == CLM_STAGE_FOLLOWS) {
            ok = clm_fail(err, CLM_E_ARG, "stage %s follows another and stands aside", plan->stage[k].name);
            break;
        }
        ok = clm_bits_open(&t->taken, plan->stage[k].n, err) &&
             clm_bits_open(&t->ended, plan->stage[k].n, err);
        if (ok && plan->stage[k].start == CLM_STAGE_FOLLOWS)
            ok = clm_collector_open(plan, k, &t[k ? -1 : 0].ended, &t->taken, &t->collector, err);
    }
    if (ok)
        *out = s;
    else
        clm_sched_close(s);
    return ok;
}

void clm_sched_close(clm_sched *s) {
    if (!s) return;
    for (int k = 0; s->stage && k < s->plan->n_stages; k++) {
        clm_collector_close(s->stage[k].collector);
        clm_deal_close(&s->stage[k].deal);
        clm_bits_close(&s->stage[k].taken);
        clm_bits_close(&s->stage[k].ended);
    }
    clm_flight_close(&s->flight);
    clm_heap_free(s->stage);
    clm_heap_free(s->worker);
    clm_heap_free(s->again);
    clm_heap_free(s);
}

static bool in_plan(const clm_sched *s, const clm_task *t) {
    return t->stage >= 0 && t->stage < s->plan->n_stages && t->index >= 0 &&
           t->index < s->plan->stage[t->stage].n;
}

static void take(stage_state *t, int64_t index) {
    if (clm_bits_has(&t->taken, index)) return;
    clm_bits_set(&t->taken, index);
    t->n_taken++;
}

static void end_task(clm_sched *s, const clm_outcome *o) {
    stage_state *t = &s->stage[o->task.stage];
    take(t, o->task.index);
    clm_bits_set(&t->ended, o->task.index);
    t->n_ended++;
    t->n_failed += o->err.code != CLM_OK;
    if (o->seconds > 0) {
        t->n_timed++;
        t->seconds += o->seconds;
    }
}

bool clm_sched_replay(clm_sched *s, const clm_outcome *o, clm_err *err) {
    if (!in_plan(s, &o->task))
        return clm_fail(err, CLM_E_FORMAT, "outcome of stage %d task %lld: no such task in the plan",
                        o->task.stage, (long long)o->task.index);
    if (!clm_bits_has(&s->stage[o->task.stage].ended, o->task.index)) end_task(s, o);
    return true;
}

/* ---- workers ---- */

static void unqueue(clm_sched *s, int32_t i) {
    worker_state *w = &s->worker[i];
    if (w->queue == NONE) return;
    queue *q = &s->q[w->queue];
    *(w->before == NONE ? &q->first : &s->worker[w->before].after) = w->after;
    *(w->after == NONE ? &q->last : &s->worker[w->after].before) = w->before;
    w->queue = NONE;
}

/* to the end of the queue that fits what it holds */
static void requeue(clm_sched *s, int32_t i) {
    worker_state *w = &s->worker[i];
    unqueue(s, i);
    if (!w->here || !w->slots || w->held >= w->slots + s->p.prefetch) return;
    w->queue = w->held < w->slots ? HUNGRY : STORE;
    queue *q = &s->q[w->queue];
    w->before = q->last;
    w->after = NONE;
    *(q->last == NONE ? &q->first : &s->worker[q->last].after) = i;
    q->last = i;
}

bool clm_sched_join(clm_sched *s, int worker, int slots, clm_err *err) {
    if (worker < 0 || worker >= MOST_WORKERS || slots < 0 || slots > 65536)
        return clm_fail(err, CLM_E_ARG, "worker %d with %d slots", worker, slots);
    if (worker >= s->n_workers) {
        void *p = s->worker;
        int32_t n = worker + 1 > 2 * s->n_workers ? worker + 1 : 2 * s->n_workers;
        for (int k = s->n_over; k < s->n_begun; k++)
            if (!clm_deal_reserve(&s->stage[k].deal, n, err)) return false;
        if (!clm_heap_grow(&p, (size_t)n, sizeof(worker_state), err)) return false;
        s->worker = p;
        for (int32_t i = s->n_workers; i < n; i++) s->worker[i] = (worker_state){.queue = NONE};
        s->n_workers = n;
    }
    worker_state *w = &s->worker[worker];
    if (w->here) return true;
    if (!w->joined) {
        int32_t more = slots + s->p.prefetch;
        if (!clm_flight_reserve(&s->flight, s->room + more, err)) return false;
        s->room += more;
        *w = (worker_state){.slots = slots, .queue = NONE, .joined = true};
    }
    w->here = true;
    s->n_here++;
    s->slots_here += w->slots;
    requeue(s, worker);
    return true;
}

/* ---- failures and retries ---- */

static void fail_run(clm_sched *s, const clm_err *why, const clm_task *task) {
    if (s->error.code != CLM_OK) return;
    s->error = *why;
    clm_err_in(&s->error, "%s %lld", s->plan->stage[task->stage].name, (long long)task->index);
    s->stopped = true;
}

/* without the memory to remember it the run ends */
static void try_again(clm_sched *s, const clm_task *task, double not_before_s) {
    if (s->n_again == s->cap_again) {
        clm_err err;
        void *p = s->again;
        int64_t cap = s->cap_again * 2 + 16;
        if (!clm_heap_grow(&p, (size_t)cap, sizeof(again), &err)) {
            fail_run(s, &err, task);
            return;
        }
        s->again = p;
        s->cap_again = cap;
    }
    s->again[s->n_again++] = (again){.task = *task, .not_before_s = not_before_s};
}

/* will it end without being assigned again? A late copy does not count: it may hang for ever. */
static bool in_hand(const clm_sched *s, const clm_task *task) {
    int late, n = clm_flight_copies(&s->flight, task, &late);
    if (n > late) return true;
    for (int64_t i = 0; i < s->n_again; i++)
        if (s->again[i].task.index == task->index && s->again[i].task.stage == task->stage) return true;
    return false;
}

void clm_sched_lost(clm_sched *s, int worker) {
    if (worker < 0 || worker >= s->n_workers || !s->worker[worker].here) return;
    worker_state *w = &s->worker[worker];
    w->here = false;
    unqueue(s, worker);
    s->n_here--;
    s->slots_here -= w->slots;
    for (int32_t i = 0; i < s->flight.cap; i++) {
        clm_copy *c = &s->flight.copy[i];
        if (c->worker != worker) continue;
        clm_task task = c->task;
        clm_flight_remove(&s->flight, c);
        bool ended = clm_bits_has(&s->stage[task.stage].ended, task.index);
        if (!ended && !in_hand(s, &task)) try_again(s, &task, s->now_s);
    }
    w->held = 0;
}

void clm_sched_tick(clm_sched *s, double now_s) {
    if (now_s > s->now_s) s->now_s = now_s;
    for (clm_copy *c; (c = clm_flight_expire(&s->flight, s->now_s)) != NULL;) {
        bool ended = clm_bits_has(&s->stage[c->task.stage].ended, c->task.index);
        if (!ended && !in_hand(s, &c->task)) try_again(s, &c->task, s->now_s);
    }
}

static void give_back(clm_sched *s, int worker, const clm_task *task) {
    clm_copy *c = worker >= 0 ? clm_flight_find(&s->flight, task, worker) : NULL;
    if (!c) return;
    clm_flight_remove(&s->flight, c);
    s->worker[worker].held--;
    requeue(s, worker);
}

clm_verdict clm_sched_outcome(clm_sched *s, int worker, const clm_outcome *o) {
    if (!in_plan(s, &o->task)) return CLM_VERDICT_DUPLICATE;
    stage_state *t = &s->stage[o->task.stage];
    give_back(s, worker, &o->task);
    if (clm_bits_has(&t->ended, o->task.index)) return CLM_VERDICT_DUPLICATE;
    if (o->err.code != CLM_OK) {
        int retries = clm_sched_retries(o->err.code);
        bool dropped = o->err.code == CLM_E_CANCELLED;
        if (dropped || o->task.attempt < retries) {
            double pause_s = dropped ? 0 : ldexp(s->p.retry_pause_s, o->task.attempt);
            clm_task task = o->task;
            task.attempt += !dropped;
            if (!in_hand(s, &task)) try_again(s, &task, s->now_s + pause_s);
            return dropped ? CLM_VERDICT_DROPPED : CLM_VERDICT_RETRY;
        }
        if (retries < 0 || s->plan->stage[o->task.stage].fatal) {
            fail_run(s, &o->err, &o->task);
            return CLM_VERDICT_STOPS;
        }
    }
    end_task(s, o);
    if (o->task.stage + 1 < s->plan->n_stages && t[1].collector)
        clm_collector_piece(t[1].collector, o->task.index);
    return CLM_VERDICT_FINAL;
}

void clm_sched_stop(clm_sched *s) { s->stopped = true; }

/* ---- what to do ---- */

static bool stage_ended(const clm_sched *s, int k) { return s->stage[k].n_ended == s->plan->stage[k].n; }

/* to all that are here, not to who asks first: so each gets the same part of stages alike */
static bool deal_all(clm_sched *s, int k) {
    clm_deal *d = &s->stage[k].deal;
    clm_err err;
    int32_t left = s->slots_here;
    if (!clm_deal_reserve(d, s->n_workers, &err)) {
        fail_run(s, &err, &(clm_task){.stage = k});
        return false;
    }
    clm_deal_begin(d, &s->plan->stage[k], left);
    for (int32_t i = 0; i < s->n_workers && left > 0; i++) {
        const worker_state *w = &s->worker[i];
        if (!w->here || !w->slots) continue;
        clm_deal_share(d, i, w->slots, left);
        left -= w->slots;
    }
    return true;
}

/* the first stage that has ended, with all before it that do not stand aside; NONE */
static int next_over(const clm_sched *s) {
    for (int k = s->n_over; k < s->n_begun; k++) {
        if (s->stage[k].over) continue;
        if (stage_ended(s, k)) return k;
        if (!s->plan->stage[k].aside) break;
    }
    return NONE;
}

static bool may_begin(const clm_sched *s, int k) {
    clm_stage_start start = s->plan->stage[k].start;
    for (int i = s->n_over; i < k && start != CLM_STAGE_FOLLOWS; i++)
        if (!s->stage[i].over && (start == CLM_STAGE_GATHERS || !s->plan->stage[i].aside)) return false;
    return true;
}

static bool next_stage(clm_sched *s, clm_action *out) {
    int n = s->plan->n_stages, over = next_over(s);
    if (over != NONE) {
        s->stage[over].over = true;
        clm_deal_close(&s->stage[over].deal);
        while (s->n_over < s->n_begun && s->stage[s->n_over].over) s->n_over++;
        *out = (clm_action){.kind = CLM_ACT_STAGE_END, .stage = over};
        return true;
    }
    if (s->n_over == n && !s->finished) {
        s->finished = true;
        *out = (clm_action){.kind = CLM_ACT_FINISHED};
        return true;
    }
    if (s->n_begun == n || s->stopped) return false;
    int k = s->n_begun;
    if (!may_begin(s, k) || (!s->stage[k].collector && !deal_all(s, k))) return false;
    s->n_begun++;
    *out = (clm_action){
        .kind = CLM_ACT_STAGE_BEGIN, .stage = k, .count = s->plan->stage[k].n - s->stage[k].n_ended};
    return true;
}

static void assign(clm_sched *s, int32_t worker, const clm_task *task, clm_action *out) {
    double deadline_s = s->p.lease_s > 0 ? s->now_s + s->p.lease_s : INFINITY;
    clm_flight_add(&s->flight, task, worker, deadline_s);
    s->worker[worker].held++;
    requeue(s, worker);
    *out = (clm_action){.kind = CLM_ACT_ASSIGN,
                        .stage = task->stage,
                        .worker = worker,
                        .task = *task,
                        .deadline_s = deadline_s};
}

/* a worker that may compute this task at once and does not hold it already */
static int32_t other_worker(const clm_sched *s, const clm_task *task) {
    for (int k = 0; k < QUEUES; k++)
        for (int32_t i = s->q[k].first; i != NONE; i = s->worker[i].after)
            if (!clm_flight_find(&s->flight, task, i)) return i;
    return NONE;
}

/* late on as many workers as it will be tried on? A single worker is left to finish in its own time. */
static bool hopeless(const clm_sched *s, const clm_task *task) {
    int late;
    clm_flight_copies(&s->flight, task, &late);
    return late > 1 && (late >= s->p.most_copies || late >= s->n_here);
}

static bool next_again(clm_sched *s, clm_action *out) {
    for (int64_t i = 0; i < s->n_again;) {
        again a = s->again[i];
        bool over = clm_bits_has(&s->stage[a.task.stage].ended, a.task.index);
        bool late = !over && hopeless(s, &a.task);
        int32_t worker = over || late || a.not_before_s > s->now_s ? NONE : other_worker(s, &a.task);
        if (!over && !late && worker == NONE) {
            i++;
            continue;
        }
        memmove(&s->again[i], &s->again[i + 1], (size_t)(--s->n_again - i) * sizeof a);
        if (over) continue;
        if (late)
            *out = (clm_action){.kind = CLM_ACT_LATE, .stage = a.task.stage, .task = a.task};
        else
            assign(s, worker, &a.task, out);
        return true;
    }
    return false;
}

static int64_t left_of(const clm_sched *s, int k) { return s->plan->stage[k].n - s->stage[k].n_taken; }

/* more tasks at hand than computing slots? else storing tasks would let others idle at the end */
static bool plenty(const clm_sched *s) {
    int64_t n = 0;
    for (int k = s->n_over; k < s->n_begun; k++)
        if (!s->plan->stage[k].aside)
            n += s->stage[k].collector ? clm_collector_waiting(s->stage[k].collector) : left_of(s, k);
    return n > s->slots_here;
}

static bool take_dealt(clm_sched *s, int k, int32_t worker, clm_task *task) {
    stage_state *t = &s->stage[k];
    int64_t index = clm_deal_take(&t->deal, worker, s->worker[worker].slots, s->slots_here, &t->taken);
    if (index < 0) return false;
    take(t, index);
    *task = (clm_task){.stage = k, .index = index};
    return true;
}

static bool take_ready(clm_sched *s, int32_t worker, int64_t scan, clm_task *task) {
    for (int k = s->n_begun - 1; k >= s->n_over; k--) {
        stage_state *t = &s->stage[k];
        int64_t index;
        if (s->plan->stage[k].aside || !left_of(s, k)) continue;
        if (!t->collector && take_dealt(s, k, worker, task)) return true;
        if (!t->collector || !clm_collector_take(t->collector, scan, &index)) continue;
        t->n_taken++;
        *task = (clm_task){.stage = k, .index = index};
        return true;
    }
    return false;
}

static bool next_fresh(clm_sched *s, clm_action *out) {
    int32_t worker = s->q[HUNGRY].first;
    if (worker == NONE && s->q[STORE].first != NONE && plenty(s)) worker = s->q[STORE].first;
    if (worker == NONE) return false;
    clm_task task;
    if (!take_ready(s, worker, SCAN_A_CALL, &task) && !take_ready(s, worker, INT64_MAX, &task)) return false;
    assign(s, worker, &task, out);
    return true;
}

/* Nothing is left to hand out, somebody idles, and the stage waits for its last: is one of them out for far too
 * long? The oldest come first in the list of those in flight, so that few are looked at. */
static bool next_backup(clm_sched *s, clm_action *out) {
    if (s->p.backup_times <= 0 || s->p.lease_s <= 0 || s->q[HUNGRY].first == NONE || s->n_over == s->n_begun)
        return false;
    const clm_flight *f = &s->flight;
    int looks = LOOKS_A_CALL;
    for (int32_t i = f->cap ? f->first : NONE; i != NONE && looks-- > 0; i = f->copy[i].after) {
        clm_task task = f->copy[i].task;
        const stage_state *t = &s->stage[task.stage];
        double age_s = s->now_s - (f->copy[i].deadline_s - s->p.lease_s);
        if (!t->n_timed || clm_bits_has(&t->ended, task.index)) continue;
        if (age_s <= s->p.backup_times * t->seconds / (double)t->n_timed) continue;
        if (clm_flight_copies(f, &task, NULL) > 1 || clm_flight_find(f, &task, s->q[HUNGRY].first)) continue;
        assign(s, s->q[HUNGRY].first, &task, out);
        return true;
    }
    return false;
}

/* Of the stage that has most left: those that share a grid come to a block one after the other, while what it reads is
 * still decoded. */
static bool next_aside(clm_sched *s, clm_action *out) {
    int32_t worker = s->q[HUNGRY].first;
    int most = NONE;
    clm_task task;
    for (int k = s->n_over; k < s->n_begun; k++)
        if (s->plan->stage[k].aside && left_of(s, k) > (most == NONE ? 0 : left_of(s, most))) most = k;
    if (worker == NONE || most == NONE || !take_dealt(s, most, worker, &task)) return false;
    assign(s, worker, &task, out);
    return true;
}

bool clm_sched_next(clm_sched *s, clm_action *out) {
    if (s->finished) return false;
    if (s->error.code == CLM_OK && next_stage(s, out)) return true;
    if (s->stopped) return false;
    return next_again(s, out) || next_fresh(s, out) || next_backup(s, out) || next_aside(s, out);
}

const clm_err *clm_sched_error(const clm_sched *s) { return &s->error; }

clm_stage_count clm_sched_count(const clm_sched *s, int stage) {
    const stage_state *t = &s->stage[stage];
    return (clm_stage_count){.total = s->plan->stage[stage].n,
                             .ended = t->n_ended,
                             .failed = t->n_failed,
                             .begun = stage < s->n_begun,
                             .over = t->over};
}

int64_t clm_sched_in_flight(const clm_sched *s) { return s->flight.n; }

bool clm_sched_ended(const clm_sched *s, int stage, int64_t index) {
    return clm_bits_has(&s->stage[stage].ended, index);
}

const clm_collector *clm_sched_collector(const clm_sched *s, int stage) { return s->stage[stage].collector; }
