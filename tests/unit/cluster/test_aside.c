/* Stages that stand aside: done where nothing else is to do, waited for by none but who gathers. */
#include "collimate/cluster/sched.h"
#include "support/near.h"

/* the task that is assigned next, as stage * 100 + task, to this worker; -1: none */
static int given(clm_sched *s, int worker) {
    clm_action a;
    while (clm_sched_next(s, &a)) {
        if (a.kind != CLM_ACT_ASSIGN) continue;
        assert_int_equal(a.worker, worker);
        return a.task.stage * 100 + (int)a.task.index;
    }
    return -1;
}

static void ends(clm_sched *s, int worker, int task) {
    clm_outcome o = {.task = {.stage = task / 100, .index = task % 100}};
    assert_int_equal(clm_sched_outcome(s, worker, &o), CLM_VERDICT_FINAL);
}

/* workers with a slot each, and room for a task in store */
static clm_sched *opened(const clm_plan *plan, int workers) {
    clm_err err = CLM_ERR_NONE;
    clm_sched *s;
    clm_sched_params p = CLM_SCHED_DEFAULTS;
    assert_ok(clm_sched_open(plan, &p, &s, &err), err);
    for (int i = 0; i < workers; i++) assert_ok(clm_sched_join(s, i, 1, &err), err);
    return s;
}

static void gaps_are_filled(void **state) {
    (void)state;
    clm_stage stage[4] = {{.name = "aside", .n = 3, .shape = {1, 1, 3}, .aside = true},
                          {.name = "one", .n = 1, .shape = {1, 1, 1}},
                          {.name = "two", .n = 2, .shape = {1, 1, 2}},
                          {.name = "last", .n = 1, .shape = {1, 1, 1}, .start = CLM_STAGE_GATHERS}};
    clm_plan plan = {.stage = stage, .n_stages = 4};
    clm_sched *s = opened(&plan, 2);
    assert_int_equal(given(s, 0), 100); /* not that of the stage aside, though it began first */
    int filler = given(s, 1);
    assert_true(filler < 100);
    assert_int_equal(given(s, -1), -1); /* none in store */
    ends(s, 0, 100);
    int one = given(s, 0); /* the next stage does not wait */
    assert_int_equal(one / 100, 2);
    assert_int_equal(given(s, -1), -1);
    ends(s, 1, filler);
    int other = given(s, 1);
    assert_true(other / 100 == 2 && other != one);
    ends(s, 0, one);
    filler = given(s, 0);
    assert_true(filler < 100);
    ends(s, 1, other);
    assert_true(clm_sched_count(s, 1).over);
    other = given(s, 1);
    assert_true(other < 100 && other != filler);
    assert_true(clm_sched_count(s, 2).over && !clm_sched_count(s, 0).over);
    ends(s, 0, filler);
    assert_int_equal(given(s, -1), -1); /* who gathers waits for all */
    ends(s, 1, other);
    assert_int_equal(given(s, 0), 300);
    assert_true(clm_sched_count(s, 0).over);
    clm_sched_close(s);
}

/* stages aside that have a grid in common come to a block together */
static void blocks_are_shared(void **state) {
    (void)state;
    clm_stage stage[3];
    clm_plan plan = {.stage = stage, .n_stages = 3};
    for (int k = 0; k < 3; k++)
        stage[k] = (clm_stage){.name = "aside", .n = 24, .shape = {2, 3, 4}, .aside = true};
    clm_sched *s = opened(&plan, 1);
    for (int i = 0, block = -1; i < 3 * 24; i++) {
        int task = given(s, 0);
        if (i % 3) assert_int_equal(task % 100, block);
        block = task % 100;
        ends(s, 0, task);
    }
    clm_sched_close(s);
}

/* what a stage waits for too long is tried elsewhere before work is done that can wait */
static void a_straggler_comes_first(void **state) {
    (void)state;
    clm_stage stage[2] = {{.name = "aside", .n = 2, .shape = {1, 1, 2}, .aside = true},
                          {.name = "main", .n = 2, .shape = {1, 1, 2}}};
    clm_plan plan = {.stage = stage, .n_stages = 2};
    clm_sched *s = opened(&plan, 2);
    int quick = given(s, 0), slow = given(s, 1);
    clm_outcome o = {.task = {.stage = 1, .index = quick % 100}, .seconds = 1};
    assert_int_equal(clm_sched_outcome(s, 0, &o), CLM_VERDICT_FINAL);
    int filler = given(s, 0);
    assert_true(filler < 100);
    clm_sched_tick(s, 5);
    ends(s, 0, filler);
    assert_int_equal(given(s, 0), slow);
    clm_sched_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_filled),
        cmocka_unit_test(blocks_are_shared),
        cmocka_unit_test(a_straggler_comes_first),
    };
    return cmocka_run_group_tests_name("cluster.aside", tests, NULL, NULL);
}
