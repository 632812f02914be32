/* 10^5 blocks on a simulated cluster that fails in every way it can: the real scheduler, master and journal. */
#include "support/simulate.h"
#include "support/near.h"
#include "support/temp.h"
#include "support/toy.h"

static const sim_times times[] = {
    {"spots",
     {0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.4, 0.5, 0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.8, 0.9, 1, 1.5, 3}},
    {"deform", {1, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 2, 2.1, 2.2, 2.3, 2.4, 2.6, 2.8, 3, 4, 5, 9}},
    {"stitch", {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1, .2, .2, .2, .2, .2, .2, .2, .2, .2, .2, .5}},
};

static sim_params calm(int ranks, int slots) {
    sim_params p = SIM_DEFAULTS;
    p.ranks = ranks;
    p.slots = slots;
    p.ranks_a_host = 4;
    p.times = times;
    p.n_times = (int)(sizeof times / sizeof *times);
    p.bad = 0.01;
    p.epoch_s = 5; /* each is a real write to a real disk */
    return p;
}

static sim_report simulate(const sim_params *p, int side) {
    static toy t;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    sim_report r;
    clm_test_folder(folder);
    toy_make(&t, folder, side);
    assert_ok(sim_run(p, &t.plan, folder, &r, &err), err);
    clm_test_folder_drop(folder);
    int64_t chunks = (side + 1) / 2;
    assert_int_equal(r.tasks,
                     side * 2 + 1 + (int64_t)side * side * side + chunks * chunks * chunks + chunks * chunks);
    /* no slot-second is told twice or not at all */
    double all_s = r.seconds * p->ranks * p->slots;
    assert_near(r.useful_s + r.wasted_s + r.tail_s + r.single_s + r.down_s + r.idle_s, all_s, 1e-6 * all_s);
    return r;
}

/* links cut and mended, ranks and hosts lost, slow ranks, hanging tasks, a moody file system: the same end */
static void test_whatever_happens_the_end_is_the_same(void **state) {
    (void)state;
    sim_params p = calm(100, 2);
    sim_report want = simulate(&p, 45);
    assert_true(want.launches == 1 && want.failed > 500 && want.dispatches < want.tasks + want.tasks / 1000);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        p = calm(150, 1 + (int)seed);
        p.seed = 1; /* the fate of a block is its own */
        p.latency_s = 1e-3 * (double)seed;
        p.stall = 1e-3, p.stall_s = 5;
        p.slow = 0.05, p.slow_by = 4;
        p.hang = 1e-4, p.lease_s = 60, p.silence_s = 10;
        p.cut_a_rank_h = 2, p.cut_s = 20;
        p.die_a_rank_h = 0.2, p.die_a_host_h = 0.2 * (double)seed;
        p.io_error = 0.002;
        sim_report got = simulate(&p, 45);
        assert_true(got.digest == want.digest && got.failed == want.failed);
        assert_true(got.ranks_lost > 0 && got.retried > 0 && got.dispatches > got.tasks);
        print_message("%lld launches, %lld ranks lost, %lld duplicates\n", (long long)got.launches,
                      (long long)got.ranks_lost, (long long)got.duplicates);
    }
}

/* a host dies, and the launch with it; in the next ones every third rank never says a word: given up, the end is the same */
static void test_ranks_lost_at_relaunch(void **state) {
    (void)state;
    sim_params p = calm(40, 2);
    p.silence_s = 10;
    sim_report want = simulate(&p, 30);
    p.die_a_host_h = 3;
    sim_report all = simulate(&p, 30);
    p.absent = 0.3;
    sim_report few = simulate(&p, 30);
    assert_true(all.launches > 1 && few.launches > 1);
    assert_true(all.digest == want.digest && few.digest == want.digest && few.failed == want.failed);
    print_message("%lld launches, %lld ranks lost; every third gone: %lld, %lld\n", (long long)all.launches,
                  (long long)all.ranks_lost, (long long)few.launches, (long long)few.ranks_lost);
    assert_true(few.ranks_lost >= 6 * (few.launches - 1)); /* of 39 about 12 each time */
}

/* nothing is the matter: nobody waits but at the end of stages, where idle slots may try the longest tasks, too */
static void test_a_calm_cluster_is_busy(void **state) {
    (void)state;
    sim_params p = calm(50, 4);
    sim_report r = simulate(&p, 45);
    double all_s = r.seconds * p.ranks * p.slots;
    assert_true(r.idle_s < 0.005 * all_s && r.wasted_s < 5e-4 * all_s && r.tail_s < 0.05 * all_s);
    assert_true(r.useful_s > 0.93 * all_s);
}

/* tasks that hang for 27 minutes each do not hold up the stages: others get them, too */
static void test_nobody_waits_for_what_hangs(void **state) {
    (void)state;
    sim_params p = calm(50, 4);
    double calm_s = simulate(&p, 30).seconds;
    p.hang = 2e-4;
    assert_true(simulate(&p, 30).seconds < calm_s + 0.5 * 0.45 * p.lease_s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_happens_the_end_is_the_same),
        cmocka_unit_test(test_ranks_lost_at_relaunch),
        cmocka_unit_test(test_a_calm_cluster_is_busy),
        cmocka_unit_test(test_nobody_waits_for_what_hangs),
    };
    return cmocka_run_group_tests_name("cluster.simulate", tests, NULL, NULL);
}
