/* Whole runs in one process: ranks are threads, messages go through comm_local. */
#include "collimate/cluster/run.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/cluster/journal.h"
#include "support/fault.h"
#include "support/temp.h"
#include "support/toy.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RANKS = 4, SIDE = 5 };

typedef struct rank_arg {
    clm_comm *comm;
    toy *t;
    clm_cluster_options o;
    clm_run_summary sum;
    clm_err err;
    bool ok;
} rank_arg;

/* No cmocka assertion here: it would leave by longjmp on a thread that has no such frame. */
static void *rank_main(void *p) {
    rank_arg *a = p;
    clm_worker_ops ops = toy_ops(a->t);
    a->ok = clm_cluster_run(a->comm, &a->t->plan, &a->o, &ops, &a->sum, &a->err);
    return NULL;
}

typedef struct launch {
    int ranks, slots;
    clm_comm_trouble trouble;
    int drop; /* > 0: this rank vanishes after a while */
    double drop_after_s, silence_s, lease_s;
    atomic_int *stop;
    double stop_after_s; /* then it is set */
    bool (*on_end)(void *ctx, bool ok, const clm_run_summary *sum, clm_err *err);
} launch;

static clm_comm_hub *hub; /* of the launch under way */

static void run_ranks(toy *t, const launch *l, rank_arg a[MOST_RANKS]) {
    clm_err err = CLM_ERR_NONE;
    clm_comm *comm[MOST_RANKS];
    pthread_t thread[MOST_RANKS];
    t->ended = 0;
    assert_ok(clm_comm_local_open(l->ranks, &l->trouble, &hub, comm, &err), err);
    for (int r = 0; r < l->ranks; r++) {
        a[r] = (rank_arg){.comm = comm[r], .t = t, .o = CLM_CLUSTER_DEFAULTS, .err = CLM_ERR_NONE};
        a[r].o.folder = t->folder;
        a[r].o.slots = l->slots;
        a[r].o.epoch_s = 0.005;
        a[r].o.retry_pause_s = 0.001;
        a[r].o.silence_s = l->silence_s > 0 ? l->silence_s : 60;
        a[r].o.lease_s = l->lease_s;
        a[r].o.stop = l->stop;
        if (r == 0) {
            a[r].o.ctx = t;
            a[r].o.on_spent = toy_on_spent;
            a[r].o.on_end = l->on_end;
        }
        assert_int_equal(pthread_create(&thread[r], NULL, rank_main, &a[r]), 0);
    }
    if (l->drop > 0) {
        clm_nap_us((long)(l->drop_after_s * 1e6));
        clm_comm_local_drop(hub, l->drop);
    }
    if (l->stop) {
        clm_nap_us((long)(l->stop_after_s * 1e6));
        atomic_store(l->stop, 1);
    }
    for (int r = 0; r < l->ranks; r++) pthread_join(thread[r], NULL);
    for (int r = 0; r < l->ranks; r++) clm_comm_close(comm[r], a[r].sum.clean);
    clm_comm_local_close(hub);
}

static uint64_t undisturbed(int side) {
    char folder[CLM_PATH_MAX];
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, side);
    run_ranks(&t, &(launch){.ranks = 1, .slots = 1}, a);
    assert_ok(a[0].ok, a[0].err);
    uint64_t digest = toy_digest(&t);
    clm_test_folder_drop(folder);
    return digest;
}

static int64_t plan_tasks(const toy *t) {
    int64_t n = 0;
    for (int k = 0; k < TOY_STAGES; k++) n += t->stage[k].n;
    return n;
}

/* every 7th of the deform tasks has no texture */
static int64_t deform_failures(int side) { return ((int64_t)side * side * side + 3) / 7; }

static void test_same_files_for_any_ranks_and_slots(void **state) {
    (void)state;
    uint64_t want = undisturbed(SIDE);
    for (int ranks = 1; ranks <= 4; ranks++)
        for (int slots = 1; slots <= 3; slots++)
            for (int stall = 0; stall < 2; stall++) {
                char folder[CLM_PATH_MAX];
                toy t;
                rank_arg a[MOST_RANKS];
                clm_test_folder(folder);
                toy_make(&t, folder, SIDE);
                t.drop_spent = stall == 1;
                t.most_task_s = 0.0005;
                launch l = {
                    .ranks = ranks, .slots = slots, .trouble = {.seed = 3, .most_stall_s = stall * 0.002}};
                run_ranks(&t, &l, a);
                for (int r = 0; r < ranks; r++) {
                    assert_ok(a[r].ok, a[r].err);
                    assert_int_equal(a[r].sum.failed, deform_failures(SIDE));
                    assert_int_equal(a[r].sum.abandoned, 0);
                }
                assert_int_equal(a[0].sum.ended, plan_tasks(&t));
                assert_int_equal(a[0].sum.slots, ranks * slots);
                assert_int_equal(atomic_load(&t.early), 0);
                assert_int_equal(atomic_load(&t.spent), SIDE * SIDE * SIDE);
                assert_int_equal(t.ended, TOY_STAGES);
                assert_true(toy_digest(&t) == want);
                clm_test_folder_drop(folder);
            }
}

static void test_a_finished_run_does_nothing_again(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, SIDE);
    run_ranks(&t, &(launch){.ranks = 2, .slots = 1}, a);
    assert_ok(a[0].ok, a[0].err);
    long long runs = atomic_load(&t.runs);
    run_ranks(&t, &(launch){.ranks = 3, .slots = 1}, a);
    assert_ok(a[0].ok, a[0].err);
    assert_int_equal(atomic_load(&t.runs), runs);
    assert_int_equal(a[0].sum.replayed, plan_tasks(&t));
    assert_int_equal(a[0].sum.failed, deform_failures(SIDE));
    assert_int_equal(t.ended, TOY_STAGES);
    clm_test_folder_drop(folder);
}

/* Cut the journal of a finished run anywhere and resume, with other ranks: the same files. Files of
 * tasks that are no longer recorded are still there; tasks must publish the same bytes again. */
static void test_resume_from_any_part_of_the_journal(void **state) {
    (void)state;
    uint64_t want = undisturbed(4);
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, 4);
    run_ranks(&t, &(launch){.ranks = 2, .slots = 1}, a);
    assert_ok(clm_path_join(path, folder, CLM_JOURNAL_NAME, &err), err);
    clm_buf whole = {0};
    assert_ok(clm_file_read(path, 1 << 24, &whole, &err), err);
    for (size_t cut = 0; cut < whole.n; cut += whole.n / 12 + 1) {
        assert_ok(clm_file_publish(path, whole.data, cut, false, &err), err);
        run_ranks(&t, &(launch){.ranks = 1 + (int)(cut % 3), .slots = 2}, a);
        assert_ok(a[0].ok, a[0].err);
        assert_int_equal(a[0].sum.ended, plan_tasks(&t));
        assert_int_equal(atomic_load(&t.early), 0);
        assert_true(toy_digest(&t) == want);
    }
    clm_buf_free(&whole);
    clm_test_folder_drop(folder);
}

static void test_a_lost_rank_costs_only_time(void **state) {
    (void)state;
    uint64_t want = undisturbed(SIDE);
    for (int ranks = 2; ranks <= 4; ranks += 2) {
        char folder[CLM_PATH_MAX];
        toy t;
        rank_arg a[MOST_RANKS];
        clm_test_folder(folder);
        toy_make(&t, folder, SIDE);
        t.most_task_s = 0.004;
        launch l = {.ranks = ranks, .slots = 1, .drop = ranks - 1, .drop_after_s = 0.03, .silence_s = 0.1};
        run_ranks(&t, &l, a);
        for (int r = 0; r < ranks - 1; r++) assert_ok(a[r].ok, a[r].err);
        assert_fails(CLM_E_PEER, a[ranks - 1].ok, a[ranks - 1].err);
        assert_int_equal(a[0].sum.lost, 1);
        assert_false(a[0].sum.clean);
        assert_int_equal(a[0].sum.ended, plan_tasks(&t));
        assert_int_equal(atomic_load(&t.early), 0);
        assert_true(toy_digest(&t) == want);
        clm_test_folder_drop(folder);
    }
}

/* A peer vanishes with its first message, its second, its third ..., until the run needs no more of them: the others
 * end the run without it, or with a clear error; never do they wait for ever, and what comes out is the same. When it
 * is rank 0 that nobody hears any more it goes on alone, and the others give it up. */
static void test_a_peer_vanishes_at_any_message(void **state) {
    (void)state;
    enum { SMALL = 2 };
    uint64_t want = undisturbed(SMALL);
    for (int who = 0; who <= 2; who += 2) {
        bool met = true;
        for (int k = 1; met; k++) {
            char folder[CLM_PATH_MAX];
            toy t;
            rank_arg a[MOST_RANKS];
            clm_test_folder(folder);
            toy_make(&t, folder, SMALL);
            t.most_task_s = 0.002;
            launch l = {
                .ranks = 3, .slots = 1, .silence_s = 0.03, .trouble = {.vanish_rank = who, .vanish_at = k}};
            run_ranks(&t, &l, a);
            met = !a[0].ok || !a[1].ok || !a[2].ok;
            for (int r = 0; r < 3; r++)
                if (!a[r].ok) assert_int_equal(a[r].err.code, CLM_E_PEER);
            if (!a[0].ok) run_ranks(&t, &(launch){.ranks = 2, .slots = 1}, a);
            assert_ok(a[0].ok, a[0].err);
            assert_int_equal(a[0].sum.ended, plan_tasks(&t));
            assert_int_equal(atomic_load(&t.early), 0);
            assert_true(toy_digest(&t) == want);
            clm_test_folder_drop(folder);
            assert_true(met || k > 10);
        }
    }
}

static bool work_long(void *ctx, bool ok, const clm_run_summary *sum, clm_err *err) {
    (void)err;
    ((toy *)ctx)->ended = -1;
    clm_nap_us(1000000);
    return ok && sum->ended == sum->tasks && sum->clean;
}

static bool cannot_end(void *ctx, bool ok, const clm_run_summary *sum, clm_err *err) {
    (void)ctx;
    (void)sum;
    return ok && clm_fail(err, CLM_E_WRITE, "the disk is full");
}

static bool die_at_the_end(void *ctx, bool ok, const clm_run_summary *sum, clm_err *err) {
    (void)ctx;
    (void)sum;
    (void)err;
    clm_comm_local_drop(hub, 0);
    return ok;
}

/* The others wait for what rank 0 does last, three times as long as they would for one that is silent; for one that
 * is gone not longer than that. */
static void test_the_last_work(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        char folder[CLM_PATH_MAX];
        toy t;
        rank_arg a[MOST_RANKS];
        clm_test_folder(folder);
        toy_make(&t, folder, 2);
        launch l = {.ranks = ranks, .slots = 1, .silence_s = 0.03, .on_end = die_at_the_end};
        run_ranks(&t, &l, a);
        assert_ok(a[0].ok, a[0].err);
        for (int r = 1; r < ranks; r++) {
            assert_fails(CLM_E_PEER, a[r].ok, a[r].err);
            assert_non_null(strstr(a[r].err.text, "nothing was heard of rank 0 at the end"));
            assert_false(a[r].sum.clean);
        }
        l.on_end = cannot_end;
        run_ranks(&t, &l, a);
        assert_fails(CLM_E_WRITE, a[0].ok, a[0].err);
        for (int r = 1; r < ranks; r++) assert_ok(a[r].ok, a[r].err);
        l.on_end = work_long;
        run_ranks(&t, &l, a);
        assert_int_equal(t.ended, -1);
        for (int r = 0; r < ranks; r++) {
            assert_ok(a[r].ok, a[r].err);
            assert_true(a[r].sum.clean);
        }
        clm_test_folder_drop(folder);
    }
}

static void test_stop_and_resume(void **state) {
    (void)state;
    uint64_t want = undisturbed(SIDE);
    char folder[CLM_PATH_MAX];
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, SIDE);
    t.most_task_s = 0.002;
    int64_t replayed = 0;
    for (int launches = 0; launches < 200; launches++) {
        int ranks = 1 + launches % 3;
        atomic_int stop = 0;
        run_ranks(&t, &(launch){.ranks = ranks, .slots = 1, .stop = &stop, .stop_after_s = 0.001 * launches},
                  a);
        assert_true(a[0].sum.replayed >= replayed); /* nothing that was done is lost */
        replayed = a[0].sum.ended;
        for (int r = 0; r < ranks; r++) {
            assert_int_equal(a[r].ok, a[0].ok);
            assert_true(a[r].ok || a[r].err.code == CLM_E_PEER || a[r].err.code == CLM_E_CANCELLED);
        }
        if (a[0].ok) break;
    }
    assert_ok(a[0].ok, a[0].err);
    assert_int_equal(atomic_load(&t.early), 0);
    assert_true(toy_digest(&t) == want);
    clm_test_folder_drop(folder);
}

static void test_fatal_stage_ends_the_run(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 3; ranks++) {
        char folder[CLM_PATH_MAX];
        toy t;
        rank_arg a[MOST_RANKS];
        clm_test_folder(folder);
        toy_make(&t, folder, SIDE);
        t.fatal = true;
        run_ranks(&t, &(launch){.ranks = ranks, .slots = 1}, a);
        for (int r = 0; r < ranks; r++) {
            assert_fails(CLM_E_NUMERIC, a[r].ok, a[r].err);
            assert_non_null(strstr(a[r].err.text, "solve 0: singular"));
        }
        t.fatal = false; /* the cause is cured: the same folder goes on */
        run_ranks(&t, &(launch){.ranks = ranks, .slots = 1}, a);
        assert_ok(a[0].ok, a[0].err);
        assert_int_equal(a[0].sum.replayed, t.stage[TOY_SPOTS].n);
        clm_test_folder_drop(folder);
    }
}

static void test_full_disk_stops_at_once(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, SIDE);
    t.deform_error = CLM_E_WRITE;
    run_ranks(&t, &(launch){.ranks = 2, .slots = 1}, a);
    assert_fails(CLM_E_WRITE, a[0].ok, a[0].err);
    assert_fails(CLM_E_WRITE, a[1].ok, a[1].err);
    int64_t kept = a[0].sum.ended;
    assert_true(kept >= t.stage[TOY_SPOTS].n + 1);
    t.deform_error = CLM_E_NODATA;
    run_ranks(&t, &(launch){.ranks = 2, .slots = 1}, a);
    assert_ok(a[0].ok, a[0].err);
    assert_int_equal(a[0].sum.replayed, kept);
    clm_test_folder_drop(folder);
}

static void test_no_rank_hangs_when_one_cannot_start(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    toy t;
    rank_arg a[MOST_RANKS];
    clm_test_folder(folder);
    toy_make(&t, folder, SIDE);
    clm_journal *other; /* another run is at work here */
    assert_ok(clm_journal_claim(folder, &other, &err), err);
    run_ranks(&t, &(launch){.ranks = 3, .slots = 1}, a);
    for (int r = 0; r < 3; r++) {
        assert_fails(CLM_E_ARG, a[r].ok, a[r].err);
        assert_non_null(strstr(a[r].err.text, folder));
    }
    clm_journal_close(other);
    run_ranks(&t, &(launch){.ranks = 3, .slots = 0}, a); /* ranks 1 and 2 cannot compute */
    for (int r = 0; r < 3; r++) assert_false(a[r].ok);
    assert_int_equal(atomic_load(&t.runs), 0);
    clm_test_folder_drop(folder);
}

#ifdef CLM_FAULTS
/* The k-th write of a run is refused, wherever that is (a task's file, the journal): the run stops with
 * exit 4 and the same folder goes on to the same files. */
static void test_every_write_refused(void **state) {
    (void)state;
    uint64_t want = undisturbed(3);
    bool met = true;
    for (int k = 1; met; k++) {
        char folder[CLM_PATH_MAX], spec[64];
        toy t;
        rank_arg a[MOST_RANKS];
        clm_test_folder(folder);
        toy_make(&t, folder, 3);
        (void)snprintf(spec, sizeof spec, "write:%d:ENOSPC", k);
        assert_true(clm_fault_arm(spec));
        run_ranks(&t, &(launch){.ranks = 1 + k % 2, .slots = 1}, a);
        met = clm_fault_count() >= k;
        assert_true(clm_fault_arm(NULL));
        assert_int_equal(a[0].ok, !met);
        if (met) {
            assert_int_equal(a[0].err.code, CLM_E_WRITE);
            run_ranks(&t, &(launch){.ranks = 2 - k % 2, .slots = 1}, a);
        }
        assert_ok(a[0].ok, a[0].err);
        assert_int_equal(a[0].sum.ended, plan_tasks(&t));
        assert_true(toy_digest(&t) == want);
        clm_test_folder_drop(folder);
        assert_true(met || k > 40);
    }
}

/* No memory at the k-th call: the run ends, well or not, and leaves nothing behind (see LeakSanitizer). */
static void test_every_allocation_refused(void **state) {
    (void)state;
    bool met = true;
    for (int k = 1; met; k++) {
        char folder[CLM_PATH_MAX], spec[64];
        toy t;
        rank_arg a[MOST_RANKS];
        clm_test_folder(folder);
        toy_make(&t, folder, 2);
        (void)snprintf(spec, sizeof spec, "heap:%d:ENOMEM", k + 8); /* beyond opening the local comm */
        assert_true(clm_fault_arm(spec));
        run_ranks(&t, &(launch){.ranks = 2, .slots = 1, .silence_s = 0.1}, a);
        met = clm_fault_count() >= k + 8;
        assert_true(clm_fault_arm(NULL));
        if (!met) assert_ok(a[0].ok, a[0].err);
        clm_test_folder_drop(folder);
        assert_true(met || k > 40);
    }
}
#endif

int main(void) {
    /* Runs sync their file system often: on a busy disk that takes a second, and it is not tested here. */
    if (access("/dev/shm", W_OK) == 0) assert_int_equal(setenv("TMPDIR", "/dev/shm", 1), 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_files_for_any_ranks_and_slots),
        cmocka_unit_test(test_a_finished_run_does_nothing_again),
        cmocka_unit_test(test_resume_from_any_part_of_the_journal),
        cmocka_unit_test(test_a_lost_rank_costs_only_time),
        cmocka_unit_test(test_a_peer_vanishes_at_any_message),
        cmocka_unit_test(test_the_last_work),
        cmocka_unit_test(test_stop_and_resume),
        cmocka_unit_test(test_fatal_stage_ends_the_run),
        cmocka_unit_test(test_full_disk_stops_at_once),
        cmocka_unit_test(test_no_rank_hangs_when_one_cannot_start),
#ifdef CLM_FAULTS
        cmocka_unit_test(test_every_write_refused),
        cmocka_unit_test(test_every_allocation_refused),
#endif
    };
    return cmocka_run_group_tests_name("cluster.run", tests, NULL, NULL);
}
