/* The scheduler against a model that knows everything: whatever happens, in any order. */
#include "collimate/cluster/sched.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

/* ---- plans ---- */

typedef struct geometry {
    int64_t wide[3]; /* pieces a follower is wide */
    int64_t reach;   /* and how far beyond it needs them */
} geometry;

static clm_span needs(const void *ctx, int stage, const int64_t at[3]) {
    const geometry *g = ctx;
    (void)stage;
    clm_span s;
    for (int d = 0; d < 3; d++) {
        s.lo[d] = at[d] * g->wide[d] - g->reach;
        s.hi[d] = (at[d] + 1) * g->wide[d] + g->reach;
    }
    return s;
}

/* by its definition, slowly: the box of all followers that need it */
static clm_span feeds(const void *ctx, int stage, const int64_t at[3]) {
    const geometry *g = ctx;
    clm_span s;
    for (int d = 0; d < 3; d++) {
        s.lo[d] = INT64_MAX;
        s.hi[d] = INT64_MIN;
        for (int64_t f = 0; f < 64; f++) {
            int64_t p[3] = {0};
            p[d] = f;
            clm_span n = needs(g, stage, p);
            if (at[d] < n.lo[d] || at[d] >= n.hi[d]) continue;
            if (f < s.lo[d]) s.lo[d] = f;
            if (f + 1 > s.hi[d]) s.hi[d] = f + 1;
        }
        if (s.lo[d] > s.hi[d]) s.lo[d] = s.hi[d] = 0;
    }
    return s;
}

static void grid(clm_stage *s, clm_stage_start start, int64_t nz, int64_t ny, int64_t nx) {
    *s =
        (clm_stage){.n = nz * ny * nx, .start = start, .shape = {nz, ny, nx}, .needs = needs, .feeds = feeds};
    memcpy(s->name, "stage", 6);
}

static int64_t index_of(const clm_stage *s, int64_t z, int64_t y, int64_t x) {
    return (z * s->shape[1] + y) * s->shape[2] + x;
}

/* ---- the world ---- */

enum { WORKERS = 5, MOST_TASKS = 1024, MOST_STAGES = 5, MOST_HELD = 4096 };

typedef struct held {
    int worker;
    clm_task task;
    bool ghost; /* its worker was lost meanwhile; it may still report */
} held;

typedef struct world {
    const clm_plan *plan;
    clm_sched *s;
    uint64_t seed, n;
    double now_s;
    bool here[WORKERS];
    int slots[WORKERS];
    int begun;
    bool over[MOST_STAGES], finished;
    unsigned char final[MOST_STAGES][MOST_TASKS]; /* FINAL verdicts: must end as 1 */
    held h[MOST_HELD];
    int n_held;
    int lates;
} world;

static int64_t below(world *w, int64_t n) { return clm_rng_below(w->seed, 1, w->n++, n); }

/* of the stages below, those aside too or not */
static bool all_over(const world *w, int stages, bool aside) {
    for (int k = 0; k < stages; k++)
        for (int64_t i = 0; i < w->plan->stage[k].n; i++)
            if (!w->final[k][i] && (aside || !w->plan->stage[k].aside)) return false;
    return true;
}

static bool pieces_over(const world *w, const clm_task *t) {
    const clm_stage *s = &w->plan->stage[t->stage], *p = s - 1;
    int64_t at[3] = {t->index / s->shape[2] / s->shape[1], t->index / s->shape[2] % s->shape[1],
                     t->index % s->shape[2]};
    clm_span n = s->needs(w->plan->ctx, t->stage, at);
    for (int64_t z = 0; z < p->shape[0]; z++)
        for (int64_t y = 0; y < p->shape[1]; y++)
            for (int64_t x = 0; x < p->shape[2]; x++) {
                bool in =
                    z >= n.lo[0] && z < n.hi[0] && y >= n.lo[1] && y < n.hi[1] && x >= n.lo[2] && x < n.hi[2];
                if (in && !w->final[t->stage - 1][index_of(p, z, y, x)]) return false;
            }
    return true;
}

static void assigned(world *w, const clm_action *a) {
    const clm_task *t = &a->task;
    assert_in_range(a->worker, 0, WORKERS - 1);
    assert_true(w->here[a->worker]);
    assert_true(t->stage < w->begun && t->index < w->plan->stage[t->stage].n);
    assert_int_equal(w->final[t->stage][t->index], 0);
    const clm_stage *s = &w->plan->stage[t->stage];
    if (s->start == CLM_STAGE_FOLLOWS)
        assert_true(pieces_over(w, t));
    else
        assert_true(all_over(w, t->stage, s->start == CLM_STAGE_GATHERS));
    int load = 0;
    for (int i = 0; i < w->n_held; i++) {
        if (w->h[i].worker != a->worker || w->h[i].ghost) continue;
        load++;
        assert_false(w->h[i].task.stage == t->stage && w->h[i].task.index == t->index);
    }
    assert_true(load < w->slots[a->worker] + 1);
    assert_true(w->n_held < MOST_HELD);
    w->h[w->n_held++] = (held){.worker = a->worker, .task = *t};
}

static void told(world *w, int worker, const clm_outcome *o, clm_verdict v) {
    unsigned char *final = &w->final[o->task.stage][o->task.index];
    switch (v) {
    case CLM_VERDICT_FINAL:
        assert_int_equal(*final, 0);
        *final = 1;
        if (o->err.code != CLM_OK) assert_true(o->task.attempt >= clm_sched_retries(o->err.code));
        break;
    case CLM_VERDICT_RETRY:
        assert_int_equal(*final, 0);
        assert_int_equal(o->err.code, CLM_E_IO);
        assert_true(o->task.attempt < 3);
        break;
    case CLM_VERDICT_DUPLICATE: assert_int_equal(*final, 1); break;
    default: fail_msg("verdict %d for worker %d", (int)v, worker);
    }
}

static void act(world *w) {
    clm_action a;
    while (clm_sched_next(w->s, &a)) {
        assert_false(w->finished);
        switch (a.kind) {
        case CLM_ACT_STAGE_BEGIN:
            assert_int_equal(a.stage, w->begun);
            w->begun++;
            for (int k = 0; k < a.stage && w->plan->stage[a.stage].start != CLM_STAGE_FOLLOWS; k++)
                assert_true(w->over[k] ||
                            (w->plan->stage[k].aside && w->plan->stage[a.stage].start != CLM_STAGE_GATHERS));
            break;
        case CLM_ACT_STAGE_END:
            assert_false(w->over[a.stage]);
            w->over[a.stage] = true;
            for (int k = 0; k < a.stage; k++) assert_true(w->over[k] || w->plan->stage[k].aside);
            for (int64_t i = 0; i < w->plan->stage[a.stage].n; i++) assert_int_equal(w->final[a.stage][i], 1);
            break;
        case CLM_ACT_ASSIGN: assigned(w, &a); break;
        case CLM_ACT_LATE: {
            clm_outcome o = {.task = a.task, .err = {.code = CLM_E_PEER}};
            w->lates++;
            assert_int_equal(clm_sched_outcome(w->s, -1, &o), CLM_VERDICT_FINAL);
            told(w, -1, &o, CLM_VERDICT_FINAL);
            break;
        }
        case CLM_ACT_FINISHED:
            w->finished = true;
            assert_true(all_over(w, w->plan->n_stages, true));
            break;
        }
    }
}

static void join(world *w, int worker) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_sched_join(w->s, worker, w->slots[worker], &err), err);
    w->here[worker] = true;
}

/* one held task reports; sometimes badly, sometimes twice */
static void report(world *w) {
    int i = (int)below(w, w->n_held);
    held h = w->h[i];
    w->h[i] = w->h[--w->n_held];
    for (int k = 0; h.ghost && k < w->n_held;
         k++) /* came back and was given it again: who can tell which this is */
        if (w->h[k].worker == h.worker && w->h[k].task.stage == h.task.stage &&
            w->h[k].task.index == h.task.index)
            w->h[k].ghost = true;
    clm_outcome o = {.task = h.task};
    int64_t dice = below(w, 12);
    if (dice == 0) o.err.code = CLM_E_IO;
    if (dice == 1) o.err.code = CLM_E_NODATA;
    told(w, h.worker, &o, clm_sched_outcome(w->s, h.worker, &o));
    if (dice == 2) told(w, h.worker, &o, clm_sched_outcome(w->s, h.worker, &o));
}

static void lose(world *w) {
    int worker = (int)below(w, WORKERS);
    if (!w->here[worker]) {
        join(w, worker);
        return;
    }
    clm_sched_lost(w->s, worker);
    w->here[worker] = false;
    bool ghosts = below(w, 2);
    for (int i = 0; i < w->n_held; i++) {
        if (w->h[i].worker != worker) continue;
        w->h[i].ghost = true;
        if (!ghosts) w->h[i--] = w->h[--w->n_held];
    }
}

static void live(world *w) {
    for (int step = 0; !w->finished; step++) {
        assert_true(step < 200000);
        act(w);
        if (w->finished) break;
        int64_t dice = below(w, 100);
        w->now_s += (double)below(w, 100) / 100;
        if (dice < 3)
            lose(w);
        else if (dice < 5)
            w->now_s += 8; /* most leases run out */
        else if (w->n_held)
            report(w);
        clm_sched_tick(w->s, w->now_s);
        bool any = false;
        for (int i = 0; i < WORKERS; i++) any = any || w->here[i];
        if (!any) join(w, (int)below(w, WORKERS));
    }
    for (int k = 0; k < w->plan->n_stages; k++) {
        clm_stage_count c = clm_sched_count(w->s, k);
        assert_true(c.total == w->plan->stage[k].n && c.ended == c.total && c.over);
        for (int64_t i = 0; i < c.total; i++) assert_true(w->final[k][i] == 1 && clm_sched_ended(w->s, k, i));
    }
    while (w->n_held) report(w); /* stragglers after the end */
    assert_int_equal(clm_sched_in_flight(w->s), 0);
}

static void open_world(world *w, const clm_plan *plan, uint64_t seed, double lease_s) {
    clm_err err = CLM_ERR_NONE;
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    p.lease_s = lease_s;
    memset(w, 0, sizeof *w);
    w->plan = plan;
    w->seed = seed;
    for (int i = 0; i < WORKERS; i++) w->slots[i] = 1 + (int)below(w, 3);
    assert_ok(clm_sched_open(plan, &p, &w->s, &err), err);
}

static void some_plan(clm_plan *plan, clm_stage stage[MOST_STAGES], geometry *g, uint64_t seed) {
    int64_t dice[4 + 5 * MOST_STAGES];
    for (int i = 0; i < 4 + 5 * MOST_STAGES; i++) dice[i] = clm_rng_below(seed, 2, (uint64_t)i, 60);
    for (int d = 0; d < 3; d++) g->wide[d] = 1 + dice[d] % 3;
    g->reach = dice[3] % 3;
    *plan = (clm_plan){.stage = stage, .n_stages = 1 + (int)(seed % MOST_STAGES), .ctx = g};
    for (int k = 0; k < plan->n_stages; k++) {
        const int64_t *r = dice + 4 + 5 * k;
        bool follows = k > 0 && r[0] % 2;
        int64_t nx = r[1] < 3 ? 0 : 1 + r[1] % 6; /* a stage may be empty */
        clm_stage_start start = follows    ? CLM_STAGE_FOLLOWS
                                : r[4] % 4 ? CLM_STAGE_AFTER_ALL
                                           : CLM_STAGE_GATHERS;
        grid(&stage[k], start, 1 + r[2] % 5, 1 + r[3] % 6, nx);
        stage[k].aside = !follows && r[4] % 3 == 0;
    }
}

static void test_everything_ends_once_whatever_happens(void **state) {
    (void)state;
    static world w;
    int lates = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        clm_plan plan;
        clm_stage stage[MOST_STAGES];
        geometry g;
        some_plan(&plan, stage, &g, seed);
        open_world(&w, &plan, seed, seed % 3 ? 5 : 0);
        for (int i = 0; i < WORKERS; i++)
            if (below(&w, 2)) join(&w, i);
        live(&w);
        lates += w.lates;
        clm_sched_close(w.s);
    }
    assert_true(lates > 0);
}

/* Resume from any set of tasks that a run can have recorded. */
static void test_replay(void **state) {
    (void)state;
    static world w;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        clm_plan plan;
        clm_stage stage[MOST_STAGES];
        geometry g;
        clm_err err = CLM_ERR_NONE;
        some_plan(&plan, stage, &g, seed);
        open_world(&w, &plan, seed, 5);
        int full = (int)below(&w, plan.n_stages + 1); /* stages done whole, the next in part */
        for (int k = 0; k < plan.n_stages && k <= full; k++)
            for (int64_t i = 0; i < stage[k].n; i++) {
                clm_outcome o = {.task = {.stage = k, .index = i}};
                if (k == full && below(&w, 3)) continue;
                if (below(&w, 5) == 0) o.err.code = CLM_E_NODATA;
                for (int twice = 0; twice < 2; twice++) assert_ok(clm_sched_replay(w.s, &o, &err), err);
                w.final[k][i] = 1;
            }
        clm_outcome stray = {.task = {.stage = plan.n_stages}};
        assert_fails(CLM_E_FORMAT, clm_sched_replay(w.s, &stray, &err), err);
        stray = (clm_outcome){.task = {.index = stage[0].n}};
        assert_fails(CLM_E_FORMAT, clm_sched_replay(w.s, &stray, &err), err);
        live(&w);
        clm_sched_close(w.s);
    }
}

/* ---- single rules ---- */

static clm_sched *small(clm_plan *plan, clm_stage *stage, int64_t n, bool fatal, int workers) {
    clm_err err = CLM_ERR_NONE;
    clm_sched *s;
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    p.lease_s = 10;
    grid(stage, CLM_STAGE_AFTER_ALL, 1, 1, n);
    stage->fatal = fatal;
    *plan = (clm_plan){.stage = stage, .n_stages = 1};
    assert_ok(clm_sched_open(plan, &p, &s, &err), err);
    for (int i = 0; i < workers; i++) assert_ok(clm_sched_join(s, i, 1, &err), err);
    clm_action a;
    assert_true(clm_sched_next(s, &a) && a.kind == CLM_ACT_STAGE_BEGIN && a.count == n);
    return s;
}

static clm_action assignment(clm_sched *s) {
    clm_action a = {.worker = -1};
    assert_true(clm_sched_next(s, &a));
    assert_int_equal(a.kind, CLM_ACT_ASSIGN);
    return a;
}

static void test_retry_policy(void **state) {
    (void)state;
    static const struct {
        clm_code code;
        bool fatal;
        int tries; /* until the last verdict */
        clm_verdict last;
    } rows[] = {
        {CLM_E_IO, false, 4, CLM_VERDICT_FINAL},     {CLM_E_IO, true, 4, CLM_VERDICT_STOPS},
        {CLM_E_WRITE, false, 1, CLM_VERDICT_STOPS},  {CLM_E_WRITE, true, 1, CLM_VERDICT_STOPS},
        {CLM_E_NODATA, false, 1, CLM_VERDICT_FINAL}, {CLM_E_NODATA, true, 1, CLM_VERDICT_STOPS},
        {CLM_E_ARG, false, 1, CLM_VERDICT_FINAL},    {CLM_E_NOMEM, false, 3, CLM_VERDICT_FINAL},
        {CLM_E_NOMEM, true, 3, CLM_VERDICT_STOPS},   {CLM_E_BUDGET, false, 1, CLM_VERDICT_FINAL},
        {CLM_E_FORMAT, false, 1, CLM_VERDICT_FINAL}, {CLM_E_NUMERIC, false, 1, CLM_VERDICT_FINAL},
        {CLM_E_PEER, false, 1, CLM_VERDICT_FINAL},   {CLM_E_CANCELLED, false, 1, CLM_VERDICT_DROPPED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        clm_plan plan;
        clm_stage stage;
        clm_sched *s = small(&plan, &stage, 1, rows[i].fatal, 1);
        clm_verdict v = CLM_VERDICT_RETRY;
        double now_s = 0;
        int tries = 0;
        while (v == CLM_VERDICT_RETRY) {
            clm_action a = assignment(s), none;
            assert_int_equal(a.task.attempt, tries);
            clm_outcome o = {.task = a.task, .err = {.code = rows[i].code, .text = "because"}};
            v = clm_sched_outcome(s, 0, &o);
            tries++;
            if (v != CLM_VERDICT_RETRY) break;
            assert_false(clm_sched_next(s, &none)); /* not at once: the cause needs time to go */
            clm_sched_tick(s, now_s += 0.5 * (1 << (tries - 1)));
        }
        if (v != rows[i].last || tries != rows[i].tries)
            fail_msg("row %zu: verdict %d after %d", i, (int)v, tries);
        if (v == CLM_VERDICT_STOPS) {
            clm_action none;
            assert_int_equal(clm_sched_error(s)->code, rows[i].code);
            assert_string_equal(clm_sched_error(s)->text, "stage 0: because");
            assert_false(clm_sched_next(s, &none));
        }
        clm_sched_close(s);
    }
}

static void test_late_tasks_go_to_others(void **state) {
    (void)state;
    clm_plan plan;
    clm_stage stage;
    clm_action a, b, c;
    clm_sched *s = small(&plan, &stage, 1, false, 3);
    a = assignment(s);
    assert_near(a.deadline_s, 10, 0);
    clm_sched_tick(s, 9.9);
    assert_false(clm_sched_next(s, &b));
    clm_sched_tick(s, 10);
    b = assignment(s);
    assert_true(b.worker != a.worker && b.task.index == a.task.index && b.task.attempt == 0);
    clm_outcome o = {.task = a.task};
    clm_sched_tick(s, 20);
    c = assignment(s);
    assert_true(c.worker != a.worker && c.worker != b.worker);
    assert_int_equal(clm_sched_outcome(s, a.worker, &o), CLM_VERDICT_FINAL); /* the first comes at last */
    assert_int_equal(clm_sched_outcome(s, b.worker, &o), CLM_VERDICT_DUPLICATE);
    clm_sched_tick(s, 1000);
    assert_true(clm_sched_next(s, &c) && c.kind == CLM_ACT_STAGE_END);
    assert_true(clm_sched_next(s, &c) && c.kind == CLM_ACT_FINISHED);
    assert_false(clm_sched_next(s, &c));
    assert_int_equal(clm_sched_in_flight(s), 1);
    clm_sched_close(s);
}

static void test_a_task_late_everywhere_fails(void **state) {
    (void)state;
    for (int workers = 1; workers <= 5; workers++) {
        clm_plan plan;
        clm_stage stage;
        clm_action a;
        clm_sched *s = small(&plan, &stage, 1, false, workers);
        int given = 0, late = 0;
        for (double now_s = 0; now_s < 200; now_s += 10) {
            clm_sched_tick(s, now_s);
            while (clm_sched_next(s, &a)) {
                given += a.kind == CLM_ACT_ASSIGN;
                late += a.kind == CLM_ACT_LATE;
                if (a.kind != CLM_ACT_LATE) continue;
                clm_outcome o = {.task = a.task, .err = {.code = CLM_E_PEER}};
                assert_int_equal(clm_sched_outcome(s, -1, &o), CLM_VERDICT_FINAL);
            }
        }
        assert_int_equal(given, workers < 3 ? workers : 3);
        assert_int_equal(late, workers > 1); /* one alone is left to finish in its own time */
        clm_sched_close(s);
    }
}

/* the last tasks are not stored behind a long one while another worker idles */
static void test_no_storing_at_the_end(void **state) {
    (void)state;
    clm_plan plan;
    clm_stage stage;
    clm_action a;
    clm_sched *s = small(&plan, &stage, 5, false, 2);
    int load[2] = {0};
    for (int i = 0; i < 3; i++) load[assignment(s).worker]++;
    assert_true(load[0] >= 1 && load[1] >= 1); /* two computed, one stored while three waited */
    assert_false(clm_sched_next(s, &a));
    clm_sched_close(s);
}

/* one hangs far below its lease: at the end of the stage, and not before, an idle worker gets it, too; once */
static void test_what_a_stage_waits_for_is_backed_up(void **state) {
    (void)state;
    clm_plan plan;
    clm_stage stage;
    clm_action a;
    clm_sched *s = small(&plan, &stage, 3, false, 3); /* lease 10 s */
    clm_action first = assignment(s), second = assignment(s), third = assignment(s);
    clm_outcome o = {.task = second.task, .seconds = 0.5};
    clm_sched_tick(s, 0.5);
    assert_int_equal(clm_sched_outcome(s, second.worker, &o), CLM_VERDICT_FINAL);
    o.task = third.task;
    assert_int_equal(clm_sched_outcome(s, third.worker, &o), CLM_VERDICT_FINAL);
    clm_sched_tick(s, 1.9);
    assert_false(clm_sched_next(s, &a));
    clm_sched_tick(s, 2.1);
    a = assignment(s);
    assert_true(a.worker != first.worker && a.task.index == first.task.index);
    clm_action none;
    clm_sched_tick(s, 9);
    assert_false(clm_sched_next(s, &none));
    o.task = first.task;
    assert_int_equal(clm_sched_outcome(s, a.worker, &o), CLM_VERDICT_FINAL);
    assert_int_equal(clm_sched_outcome(s, first.worker, &o), CLM_VERDICT_DUPLICATE);
    clm_sched_close(s);
}

static void test_order_and_stop(void **state) {
    (void)state;
    clm_plan plan;
    clm_stage stage;
    clm_action a;
    clm_sched *s = small(&plan, &stage, 100, false, 1);
    for (int64_t i = 0; i < 50; i++) {
        a = assignment(s);
        assert_int_equal(a.task.index, i);
        clm_outcome o = {.task = a.task};
        assert_int_equal(clm_sched_outcome(s, 0, &o), CLM_VERDICT_FINAL);
    }
    a = assignment(s);
    clm_sched_stop(s);
    clm_action none;
    assert_false(clm_sched_next(s, &none));
    clm_outcome o = {.task = a.task};
    assert_int_equal(clm_sched_outcome(s, 0, &o), CLM_VERDICT_FINAL);
    assert_false(clm_sched_next(s, &none));
    assert_int_equal(clm_sched_count(s, 0).ended, 51);
    clm_sched_close(s);
}

static void test_followers_come_first(void **state) {
    (void)state;
    geometry g = {.wide = {1, 1, 2}};
    clm_stage stage[2];
    clm_plan plan = {.stage = stage, .n_stages = 2, .ctx = &g};
    clm_err err = CLM_ERR_NONE;
    clm_sched *s;
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    p.prefetch = 0;
    grid(&stage[0], CLM_STAGE_AFTER_ALL, 1, 1, 8);
    grid(&stage[1], CLM_STAGE_FOLLOWS, 1, 1, 4);
    assert_ok(clm_sched_open(&plan, &p, &s, &err), err);
    assert_ok(clm_sched_join(s, 0, 1, &err), err);
    clm_action a;
    int order[12], n = 0;
    while (clm_sched_next(s, &a)) {
        if (a.kind != CLM_ACT_ASSIGN) continue;
        order[n++] = a.task.stage * 100 + (int)a.task.index;
        clm_outcome o = {.task = a.task};
        assert_int_equal(clm_sched_outcome(s, 0, &o), CLM_VERDICT_FINAL);
    }
    static const int want[12] = {0, 1, 100, 2, 3, 101, 4, 5, 102, 6, 7, 103};
    assert_int_equal(n, 12);
    assert_memory_equal(order, want, sizeof want);
    clm_sched_close(s);
}

static void test_plans_that_make_no_sense(void **state) {
    (void)state;
    geometry g = {.wide = {1, 1, 1}};
    clm_stage stage[2];
    clm_plan plan = {.stage = stage, .n_stages = 2, .ctx = &g};
    clm_err err = CLM_ERR_NONE;
    clm_sched *s;
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    grid(&stage[0], CLM_STAGE_FOLLOWS, 1, 1, 8);
    grid(&stage[1], CLM_STAGE_AFTER_ALL, 1, 1, 8);
    assert_fails(CLM_E_ARG, clm_sched_open(&plan, &p, &s, &err), err);
    assert_null(s);
    grid(&stage[0], CLM_STAGE_AFTER_ALL, 1, 1, 8);
    grid(&stage[1], CLM_STAGE_FOLLOWS, 1, 1, 8);
    stage[1].needs = NULL;
    assert_fails(CLM_E_ARG, clm_sched_open(&plan, &p, &s, &err), err);
    grid(&stage[1], CLM_STAGE_FOLLOWS, 1, 2, 4);
    stage[1].n = 7;
    assert_fails(CLM_E_ARG, clm_sched_open(&plan, &p, &s, &err), err);
    stage[1].n = -1;
    assert_fails(CLM_E_ARG, clm_sched_open(&plan, &p, &s, &err), err);
    grid(&stage[1], CLM_STAGE_FOLLOWS, 1, 1, 8);
    stage[1].aside = true;
    assert_fails(CLM_E_ARG, clm_sched_open(&plan, &p, &s, &err), err);
    plan.n_stages = 0; /* nothing to do is fine */
    assert_ok(clm_sched_open(&plan, &p, &s, &err), err);
    clm_action a;
    assert_true(clm_sched_next(s, &a) && a.kind == CLM_ACT_FINISHED);
    clm_sched_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_ends_once_whatever_happens),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_retry_policy),
        cmocka_unit_test(test_late_tasks_go_to_others),
        cmocka_unit_test(test_a_task_late_everywhere_fails),
        cmocka_unit_test(test_no_storing_at_the_end),
        cmocka_unit_test(test_what_a_stage_waits_for_is_backed_up),
        cmocka_unit_test(test_order_and_stop),
        cmocka_unit_test(test_followers_come_first),
        cmocka_unit_test(test_plans_that_make_no_sense),
    };
    return cmocka_run_group_tests_name("cluster.sched", tests, NULL, NULL);
}
