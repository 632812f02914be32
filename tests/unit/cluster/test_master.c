/* Rank 0's head alone: the test plays the ranks, on several hosts, and the clock. */
#include "collimate/cluster/master.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/cluster/journal.h"
#include "support/near.h"
#include "support/temp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANKS = 5, TASKS = 20, MOST_SENT = 512, NOBODY = -1 };
static const int32_t host_of[RANKS] = {0, 0, 2, 2, 4}; /* three hosts */

typedef struct sent {
    int to;
    clm_msg msg;
} sent;

typedef struct play {
    char folder[CLM_PATH_MAX];
    clm_stage stage;
    clm_plan plan;
    clm_comm comm;
    clm_worker_ops ops;
    clm_cluster_options o;
    clm_master *m;
    double now_s;
    sent sent[MOST_SENT];
    int n_sent;
    int replayed, ended;
    bool refuse; /* on_outcome cannot do what it must */
} play;

static bool on_outcome(void *ctx, const clm_outcome *o, bool replayed, clm_err *err) {
    play *p = ctx;
    (void)o;
    if (p->refuse) return clm_fail(err, CLM_E_WRITE, "no room for a mark");
    p->replayed += replayed;
    p->ended += !replayed;
    return true;
}

static void nothing(void *ctx) { (void)ctx; }

static void begin(play *p) {
    clm_err err = CLM_ERR_NONE;
    p->stage = (clm_stage){.name = "deform", .n = TASKS, .shape = {1, 1, TASKS}};
    p->plan = (clm_plan){.stage = &p->stage, .n_stages = 1, .hash = 5};
    p->comm = (clm_comm){.size = RANKS};
    p->o = CLM_CLUSTER_DEFAULTS;
    p->o.folder = p->folder;
    p->o.ctx = p;
    p->o.on_outcome = on_outcome;
    p->o.silence_s = 10;
    p->o.grace_s = 3;
    p->n_sent = p->replayed = p->ended = 0;
    p->now_s = 0;
    assert_ok(clm_master_open(&p->comm, &p->plan, &p->o, &p->ops, nothing, NULL, &p->m, &err), err);
}

/* time passes; what the master says is kept in p->sent */
static void turn(play *p, double seconds) {
    p->now_s += seconds;
    clm_master_tick(p->m, p->now_s);
    for (sent s; clm_master_give(p->m, &s.to, &s.msg, p->now_s);) {
        assert_true(p->n_sent < MOST_SENT);
        p->sent[p->n_sent++] = s;
    }
}

static void say(play *p, int rank, clm_msg msg) { clm_master_take(p->m, rank, &msg, p->now_s); }

static void greet(play *p) {
    for (int r = 0; r < RANKS; r++)
        say(p, r, (clm_msg){.kind = CLM_MSG_HELLO, .slots = 1, .host = host_of[r]});
    turn(p, 0);
}

/* the latest message of a kind to a rank (-1: any), taken out; false: none */
static bool took(play *p, clm_msg_kind kind, int to, sent *out) {
    for (int i = p->n_sent - 1; i >= 0; i--)
        if (p->sent[i].msg.kind == kind && (to < 0 || p->sent[i].to == to)) {
            *out = p->sent[i];
            memmove(&p->sent[i], &p->sent[i + 1], (size_t)(--p->n_sent - i) * sizeof *out);
            return true;
        }
    return false;
}

static int count(const play *p, clm_msg_kind kind) {
    int n = 0;
    for (int i = 0; i < p->n_sent; i++) n += p->sent[i].msg.kind == kind;
    return n;
}

static void do_one(play *p, int rank) {
    sent s = {0};
    assert_true(took(p, CLM_MSG_TASK, rank, &s));
    say(p, rank, (clm_msg){.kind = CLM_MSG_OUTCOME, .outcome = {.task = s.msg.task, .rank = rank}});
}

static void answer_sync(play *p, int rank) {
    sent s = {0};
    assert_true(took(p, CLM_MSG_SYNC, rank, &s));
    say(p, rank, (clm_msg){.kind = CLM_MSG_SYNCED, .count = s.msg.count});
}

static bool count_one(void *ctx, const clm_outcome *o, clm_err *err) {
    (void)o;
    (void)err;
    ++*(int *)ctx;
    return true;
}

static int recorded(const play *p) {
    clm_err err = CLM_ERR_NONE;
    clm_journal_info info;
    int n = 0;
    assert_ok(clm_journal_read(p->folder, &(clm_journal_reader){.outcome = count_one, .ctx = &n}, NULL, NULL,
                               &info, &err),
              err);
    return n;
}

/* until the journal holds n outcomes (another thread writes them) */
static void await_records(play *p, int n) {
    for (int i = 0; recorded(p) < n; i++) {
        assert_true(i < 20000);
        clm_nap_us(500);
        turn(p, 0);
    }
    assert_int_equal(recorded(p), n);
}

/* the launch stamp is an epoch of its own at the start: let it pass */
static void first_epoch(play *p) {
    turn(p, 0);
    for (int i = 0; i < 200; i++) {
        clm_nap_us(200);
        turn(p, 0);
    }
}

static bool finish(play *p, clm_err *err) {
    clm_run_summary sum;
    for (int i = 0; !clm_master_over(p->m); i++) {
        assert_true(i < 100000);
        sent s = {0};
        turn(p, 0.001);
        while (took(p, CLM_MSG_STOP, -1, &s)) say(p, s.to, (clm_msg){.kind = CLM_MSG_DRAINED});
        while (took(p, CLM_MSG_SYNC, -1, &s))
            say(p, s.to, (clm_msg){.kind = CLM_MSG_SYNCED, .count = s.msg.count});
        clm_nap_us(100);
    }
    return clm_master_result(p->m, &sum, err);
}

static void end(play *p) {
    clm_master_close(p->m);
    p->m = NULL;
}

static int set_up(void **state) {
    play *p = calloc(1, sizeof *p);
    if (!p) return -1;
    clm_test_folder(p->folder);
    *state = p;
    return 0;
}

static int tear_down(void **state) {
    play *p = *state;
    clm_master_close(p->m);
    clm_test_folder_drop(p->folder);
    free(p);
    return 0;
}

static void test_stage_before_task_on_every_rank(void **state) {
    play *p = *state;
    begin(p);
    greet(p);
    bool stage[RANKS] = {true}; /* rank 0 is called directly, before all others */
    int tasks[RANKS] = {0};
    for (int i = 0; i < p->n_sent; i++) {
        const sent *s = &p->sent[i];
        if (s->msg.kind == CLM_MSG_STAGE) {
            assert_false(stage[s->to]);
            assert_true(s->msg.stage == 0 && s->msg.count == TASKS);
            stage[s->to] = true;
        }
        if (s->msg.kind != CLM_MSG_TASK) continue;
        assert_true(stage[s->to]);
        tasks[s->to]++;
    }
    for (int r = 0; r < RANKS; r++) assert_int_equal(tasks[r], 2); /* one to compute, one in store */
    clm_err err = CLM_ERR_NONE;
    clm_err stop = CLM_ERR_NONE;
    clm_fail(&stop, CLM_E_CANCELLED, "enough");
    clm_master_fail(p->m, &stop, p->now_s);
    assert_fails(CLM_E_CANCELLED, finish(p, &err), err);
    end(p);
}

static void silence_but(play *p, int quiet, double seconds) {
    for (double t = 0; t < seconds; t += 1) {
        for (int r = 1; r < RANKS; r++)
            if (r != quiet) say(p, r, (clm_msg){.kind = CLM_MSG_ALIVE});
        turn(p, 1);
    }
}

/* Nothing is written before every host that wrote has synced, and only those are asked. */
static void test_records_wait_for_the_hosts(void **state) {
    play *p = *state;
    begin(p);
    greet(p);
    first_epoch(p);
    do_one(p, 1);
    do_one(p, 3);
    turn(p, 5);
    assert_int_equal(count(p, CLM_MSG_SYNC),
                     2); /* hosts 0 and 2, one rank each; host 4 has written nothing */
    answer_sync(p, 0);
    do_one(p, 4); /* belongs to the next epoch */
    for (int i = 0; i < 50; i++) {
        clm_nap_us(200);
        turn(p, 0.01);
    }
    assert_int_equal(recorded(p), 0);
    answer_sync(p, 2);
    await_records(p, 2);
    silence_but(p, NOBODY, 20); /* the sync took 0.5 s: the next waits 32 times that */
    answer_sync(p, 4);
    await_records(p, 3);
    end(p); /* as if killed here */
    begin(p);
    assert_int_equal(p->replayed, 3);
    assert_int_equal(p->ended, 0);
    end(p);
}

/* the rank that was asked falls silent, but another of its host can sync */
static void test_another_rank_of_the_host_syncs(void **state) {
    play *p = *state;
    begin(p);
    greet(p);
    first_epoch(p);
    do_one(p, 3);
    turn(p, 5);
    sent s = {0};
    assert_true(took(p, CLM_MSG_SYNC, 2, &s));
    silence_but(p, 2, 12);
    answer_sync(p, 3);
    await_records(p, 1);
    /* its tasks went to others; late outcomes of it are welcome, once */
    assert_true(took(p, CLM_MSG_TASK, 2, &s));
    say(p, 2, (clm_msg){.kind = CLM_MSG_OUTCOME, .outcome = {.task = s.msg.task}});
    say(p, 2, (clm_msg){.kind = CLM_MSG_OUTCOME, .outcome = {.task = s.msg.task}});
    assert_int_equal(p->ended, 2);
    end(p);
}

/* A host is gone with what it wrote: the run ends before anything rests on it, and knows nothing of it after. */
static void test_a_lost_host_ends_the_run(void **state) {
    play *p = *state;
    clm_err err = CLM_ERR_NONE;
    begin(p);
    greet(p);
    first_epoch(p);
    do_one(p, 1);
    do_one(p, 4);
    turn(p, 5);
    silence_but(p, 4, 12);
    assert_fails(CLM_E_PEER, finish(p, &err), err);
    assert_non_null(strstr(err.text, "rank 4"));
    clm_run_summary sum;
    assert_false(clm_master_result(p->m, &sum, &err));
    assert_int_equal(sum.lost, 1);
    assert_false(sum.clean);
    end(p);
    begin(p);
    assert_int_equal(p->replayed, 0);
    end(p);
}

/* a host that had written nothing since the last epoch may go */
static void test_a_lost_host_without_unsynced_data_costs_nothing(void **state) {
    play *p = *state;
    clm_err err = CLM_ERR_NONE;
    begin(p);
    greet(p);
    first_epoch(p);
    silence_but(p, 4, 12);
    for (int n = 0; n < TASKS; n++) {
        turn(p, 0.01);
        sent s = {0};
        int r = 0;
        while (r < 4 && !took(p, CLM_MSG_TASK, r, &s)) r++;
        assert_true(r < 4);
        say(p, r, (clm_msg){.kind = CLM_MSG_OUTCOME, .outcome = {.task = s.msg.task}});
    }
    assert_ok(finish(p, &err), err);
    assert_int_equal(recorded(p), TASKS);
    end(p);
}

static void test_a_sync_that_fails_ends_the_run(void **state) {
    play *p = *state;
    clm_err err = CLM_ERR_NONE;
    sent s = {0};
    begin(p);
    greet(p);
    first_epoch(p);
    do_one(p, 1);
    turn(p, 5);
    assert_true(took(p, CLM_MSG_SYNC, 0, &s));
    clm_msg answer = {.kind = CLM_MSG_SYNCED, .count = s.msg.count};
    clm_fail(&answer.err, CLM_E_WRITE, "quota");
    say(p, 0, answer);
    assert_fails(CLM_E_WRITE, finish(p, &err), err);
    assert_int_equal(recorded(p), 0);
    end(p);
}

/* Of several tries of a task the first outcome counts, whatever the later ones say. One that could not be acted
 * upon is as if it had not come: it is in no journal. */
static void test_the_first_outcome_counts(void **state) {
    play *p = *state;
    clm_err err = CLM_ERR_NONE;
    sent s = {0};
    begin(p);
    greet(p);
    first_epoch(p);
    assert_true(took(p, CLM_MSG_TASK, 1, &s));
    clm_msg good = {.kind = CLM_MSG_OUTCOME, .outcome = {.task = s.msg.task}}, bad = good;
    clm_fail(&bad.outcome.err, CLM_E_NUMERIC, "killed by signal 11");
    say(p, 1, good);
    say(p, 2, bad);
    assert_int_equal(p->ended, 1);
    assert_true(took(p, CLM_MSG_TASK, 3, &s));
    good.outcome.task = bad.outcome.task = s.msg.task;
    p->refuse = true;
    say(p, 3, bad);
    p->refuse = false;
    assert_fails(CLM_E_WRITE, finish(p, &err), err);
    assert_int_equal(recorded(p), 1);
    end(p);
    p->refuse = true;
    assert_fails(CLM_E_WRITE, clm_master_open(&p->comm, &p->plan, &p->o, &p->ops, nothing, NULL, &p->m, &err),
                 err);
    p->refuse = false;
    begin(p);
    assert_int_equal(p->replayed, 1);
    end(p);
}

/* a rank that never answers STOP does not keep the others */
static void test_stop_has_a_time_limit(void **state) {
    play *p = *state;
    clm_err err = CLM_ERR_NONE;
    clm_run_summary sum;
    sent s = {0};
    begin(p);
    greet(p);
    first_epoch(p);
    clm_master_stop(p->m, p->now_s);
    turn(p, 0);
    for (int r = 0; r < RANKS; r++) assert_true(took(p, CLM_MSG_STOP, r, &s) && s.msg.seconds == 3);
    for (int r = 0; r < RANKS - 1; r++) say(p, r, (clm_msg){.kind = CLM_MSG_DRAINED});
    turn(p, 1);
    assert_false(clm_master_over(p->m));
    turn(p, 8); /* grace and the way back are over; rank 4 is not yet lost */
    turn(p, 0.1);
    assert_true(clm_master_over(p->m));
    for (int r = 0; r < RANKS; r++)
        assert_true(took(p, CLM_MSG_QUIT, r, &s) && s.msg.err.code == CLM_E_CANCELLED);
    assert_fails(CLM_E_CANCELLED, clm_master_result(p->m, &sum, &err), err);
    end(p);
}

int main(void) {
    if (access("/dev/shm", W_OK) == 0) assert_int_equal(setenv("TMPDIR", "/dev/shm", 1), 0); /* many fsyncs */
#define PLAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PLAY(test_stage_before_task_on_every_rank),
        PLAY(test_records_wait_for_the_hosts),
        PLAY(test_another_rank_of_the_host_syncs),
        PLAY(test_a_lost_host_ends_the_run),
        PLAY(test_a_lost_host_without_unsynced_data_costs_nothing),
        PLAY(test_a_sync_that_fails_ends_the_run),
        PLAY(test_the_first_outcome_counts),
        PLAY(test_stop_has_a_time_limit),
    };
    return cmocka_run_group_tests_name("cluster.master", tests, NULL, NULL);
}
