#include "collimate/cluster/exec.h"
#include "collimate/base/clock.h"
#include "collimate/cluster/side.h"
#include "support/near.h"

#include <math.h>
#include <stdatomic.h>

enum { MOST_SLOTS = 4, TASKS = 400 };

typedef struct shop {
    atomic_int busy[MOST_SLOTS]; /* a slot belongs to one task at a time */
    atomic_int shared;           /* times it did not                     */
    atomic_int runs;
    atomic_int gate; /* tasks of index >= 1000 wait until it opens */
} shop;

static bool work(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    shop *s = ctx;
    if (atomic_fetch_add(&s->busy[slot], 1) != 0) atomic_fetch_add(&s->shared, 1);
    atomic_fetch_add(&s->runs, 1);
    while (task->index >= 1000 && !atomic_load(&s->gate)) clm_nap_us(100);
    out->figure[2] = (double)task->index;
    out->task.index = -5; /* what a task writes there is not believed */
    out->err.code = CLM_E_ARG;
    atomic_fetch_sub(&s->busy[slot], 1);
    if (task->index % 5 == 1) return clm_fail(err, CLM_E_NODATA, "nothing in %lld", (long long)task->index);
    if (task->index % 5 == 2) return false; /* and does not say why */
    return true;
}

static void test_every_task_has_one_outcome(void **state) {
    (void)state;
    for (int slots = 1; slots <= MOST_SLOTS; slots++) {
        shop s = {0};
        clm_exec *e;
        clm_err err = CLM_ERR_NONE;
        assert_ok(clm_exec_threads(slots, 7, work, &s, &e, &err), err);
        int seen[TASKS] = {0}, n = 0;
        for (int64_t i = 0; i < TASKS; i++)
            assert_ok(clm_exec_submit(e, &(clm_task){.stage = 1, .index = i}, &err), err);
        while (n < TASKS) {
            clm_outcome o;
            if (!clm_exec_collect(e, &o)) {
                clm_exec_wait(e, 10);
                continue;
            }
            n++;
            assert_in_range(o.task.index, 0, TASKS - 1);
            seen[o.task.index]++;
            assert_int_equal(o.task.stage, 1);
            assert_int_equal(o.rank, 7);
            assert_true(o.figure[2] == (double)o.task.index && isnan(o.figure[0]) && o.seconds >= 0);
            clm_code want[5] = {CLM_OK, CLM_E_NODATA, CLM_E_ARG, CLM_OK, CLM_OK};
            assert_int_equal(o.err.code, want[o.task.index % 5]);
        }
        for (int i = 0; i < TASKS; i++) assert_int_equal(seen[i], 1);
        assert_int_equal(clm_exec_pending(e), 0);
        assert_int_equal(atomic_load(&s.shared), 0);
        assert_true(clm_exec_close(e, 10));
    }
}

static void test_drop_forgets_what_has_not_begun(void **state) {
    (void)state;
    shop s = {0};
    clm_exec *e;
    clm_err err = CLM_ERR_NONE;
    clm_outcome o;
    assert_ok(clm_exec_threads(1, 0, work, &s, &e, &err), err);
    for (int64_t i = 0; i < 5; i++) assert_ok(clm_exec_submit(e, &(clm_task){.index = 1000 + i}, &err), err);
    while (!atomic_load(&s.runs)) clm_nap_us(100);
    assert_int_equal(clm_exec_drop(e), 4);
    assert_int_equal(clm_exec_pending(e), 1);
    assert_false(clm_exec_collect(e, &o));
    atomic_store(&s.gate, 1);
    while (!clm_exec_collect(e, &o)) clm_exec_wait(e, 10);
    assert_int_equal(o.task.index, 1000);
    assert_int_equal(clm_exec_pending(e), 0);
    assert_int_equal(atomic_load(&s.runs), 1);
    assert_true(clm_exec_close(e, 10));
}

/* static: what a task that does not end goes on using must outlive the test */
static shop stuck;
static clm_exec *left; /* still reachable for LeakSanitizer */

static void test_close_does_not_wait_for_ever(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_exec_threads(2, 0, work, &stuck, &left, &err), err);
    assert_ok(clm_exec_submit(left, &(clm_task){.index = 1000}, &err), err);
    while (!atomic_load(&stuck.runs)) clm_nap_us(100);
    assert_false(clm_exec_close(left, 0.01));
    atomic_store(&stuck.gate, 1); /* the thread ends by itself */
}

static void test_wake_ends_a_wait(void **state) {
    (void)state;
    shop s = {0};
    clm_exec *e;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_exec_threads(1, 0, work, &s, &e, &err), err);
    clm_exec_wake(e); /* before the wait: remembered */
    clm_exec_wait(e, 600);
    clm_exec_wait(e, 0.001); /* once only */
    assert_true(clm_exec_close(e, 10));
}

static void woken(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

static bool add_one(void *arg, clm_err *err) {
    int *n = arg;
    return ++*n < 3 || clm_fail(err, CLM_E_WRITE, "full");
}

static void test_side(void **state) {
    (void)state;
    atomic_int wakes = 0;
    clm_side *side;
    clm_err err = CLM_ERR_NONE;
    int n = 0;
    bool ok;
    double seconds;
    assert_ok(clm_side_open(woken, &wakes, &side, &err), err);
    assert_false(clm_side_ended(side, &ok, &seconds, &err));
    for (int i = 1; i <= 3; i++) {
        assert_ok(clm_side_begin(side, add_one, &n, &err), err);
        assert_true(clm_side_busy(side));
        while (!clm_side_ended(side, &ok, &seconds, &err)) clm_nap_us(50);
        assert_false(clm_side_busy(side));
        assert_int_equal(n, i);
        assert_int_equal(ok, i < 3);
    }
    assert_int_equal(err.code, CLM_E_WRITE);
    assert_ok(clm_side_begin(side, add_one, &n, &err), err); /* close waits for it */
    clm_side_close(side);
    assert_int_equal(n, 4);
    assert_int_equal(atomic_load(&wakes), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_has_one_outcome),
        cmocka_unit_test(test_drop_forgets_what_has_not_begun),
        cmocka_unit_test(test_close_does_not_wait_for_ever),
        cmocka_unit_test(test_wake_ends_a_wait),
        cmocka_unit_test(test_side),
    };
    return cmocka_run_group_tests_name("cluster.exec", tests, NULL, NULL);
}
