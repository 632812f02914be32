#include "collimate/base/clock.h"
#include "collimate/cluster/exec.h"
#include "support/near.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASKS = 200, MOST = 1000 };

/* What a task does is in its index. */
enum {
    SOUND = 0,
    DIE_ONCE = 1000,
    DIE,
    SEGV,
    ABORT,
    OVERFLOW_STACK,
    LEAVE,
    LEAVE_WELL,
    STOP,
    HANG,
    HANG_ONCE,
    TAKE_MEMORY,
    END_SERVER
};

/* Seen by all processes. */
typedef struct board {
    atomic_int tries[2 * MOST];
    atomic_int opens;
    atomic_int pid; /* of the child that hangs */
} board;
static board *shared;

static bool open_child(const void *ctx, const clm_buf *setup, void **state, clm_err *err) {
    static int local;
    if (ctx != shared || strcmp((const char *)setup->data, "the setup") != 0 || setup->n != 10)
        return clm_fail(err, CLM_E_ARG, "another setup");
    atomic_fetch_add(&shared->opens, 1);
    *state = &local;
    return true;
}

static bool take_memory(clm_err *err) {
    void *p = NULL;
    bool ok = clm_heap_grow(&p, (size_t)256 << 20, 1, err);
    clm_heap_free(p);
    return ok;
}

static void hang(void) {
    atomic_store(&shared->pid, (int)getpid());
    for (;;) clm_nap_us(10000);
}

/* frames of 4 KiB without end */
static int overflow_stack(int depth) {
    volatile char frame[4096];
    frame[0] = (char)depth;
    if (atomic_load(&shared->pid) != -1) frame[1] = (char)overflow_stack(depth + 1);
    return frame[0] + frame[1];
}

static bool run_in_child(void *state, const clm_task *task, clm_outcome *out, clm_err *err) {
    int *local = state, try = atomic_fetch_add(&shared->tries[task->index], 1);
    out->figure[1] = (double)++*local; /* the child lives on between tasks */
    out->figure[2] = (double)task->index;
    out->task.index = -5; /* not believed */
    switch (task->index) {
    case DIE_ONCE:
        if (try == 0) (void)raise(SIGKILL);
        return true;
    case DIE: (void)raise(SIGKILL); return true;
    case SEGV:
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's own would end it otherwise */
        (void)raise(SIGSEGV);
        return true;
    case ABORT: abort();
    case OVERFLOW_STACK: (void)signal(SIGSEGV, SIG_DFL); return overflow_stack(0) != 0;
    case LEAVE: _exit(7);
    case LEAVE_WELL: _exit(0);
    case STOP: (void)raise(SIGSTOP); return true;
    case HANG_ONCE:
        if (try == 0) hang();
        return true;
    case HANG: hang(); return true;
    case TAKE_MEMORY: return take_memory(err);
    case END_SERVER:
        (void)kill(getppid(), SIGKILL);
        hang();
        return true;
    default: break;
    }
    if (task->index % 5 == 1) return clm_fail(err, CLM_E_NODATA, "nothing in %lld", (long long)task->index);
    return task->index % 5 != 2; /* 2: and does not say why */
}

typedef struct fixture {
    clm_server *server;
    clm_exec *exec;
} fixture;

static fixture open_both(int slots, double task_s) {
    fixture f;
    clm_err err = CLM_ERR_NONE;
    char text[] = "the setup";
    const clm_buf setup = {.data = (unsigned char *)text, .n = sizeof text, .cap = sizeof text};
    memset(shared, 0, sizeof *shared);
    const clm_child_ops ops = {.ctx = shared, .open = open_child, .run = run_in_child};
    assert_ok(clm_server_open(&ops, &f.server, &err), err);
    const clm_children c = {
        .server = f.server, .setup = &setup, .limits = {.task_s = task_s, .memory_bytes = 64.0 * 1048576.0}};
    assert_ok(clm_exec_children(&c, slots, 7, &f.exec, &err), err);
    return f;
}

static void close_both(fixture *f) {
    assert_true(clm_exec_close(f->exec, 10));
    clm_server_close(f->server);
}

static void submit(clm_exec *e, int64_t index) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_exec_submit(e, &(clm_task){.stage = 1, .index = index}, &err), err);
}

static clm_outcome next(clm_exec *e) {
    clm_outcome o;
    while (!clm_exec_collect(e, &o)) clm_exec_wait(e, 10);
    assert_int_equal(o.task.stage, 1);
    assert_int_equal(o.rank, 7);
    return o;
}

static void test_every_task_has_one_outcome(void **state) {
    (void)state;
    for (int slots = 1; slots <= 4; slots += 3) {
        fixture f = open_both(slots, 0);
        int seen[TASKS] = {0};
        double most = 0;
        for (int64_t i = 0; i < TASKS; i++) submit(f.exec, i);
        for (int n = 0; n < TASKS; n++) {
            clm_outcome o = next(f.exec);
            assert_in_range(o.task.index, 0, TASKS - 1);
            seen[o.task.index]++;
            assert_true(o.figure[2] == (double)o.task.index && isnan(o.figure[0]) && o.seconds >= 0);
            most = fmax(most, o.figure[1]);
            const clm_code want[5] = {CLM_OK, CLM_E_NODATA, CLM_E_ARG, CLM_OK, CLM_OK};
            assert_int_equal(o.err.code, want[o.task.index % 5]);
        }
        for (int i = 0; i < TASKS; i++) assert_int_equal(seen[i], 1);
        assert_int_equal(clm_exec_pending(f.exec), 0);
        assert_in_range(atomic_load(&shared->opens), 1, slots);
        assert_true(most >= TASKS / slots); /* a child does many tasks */
        close_both(&f);
    }
}

static void test_a_crash_is_an_outcome_and_costs_nobody_else(void **state) {
    (void)state;
    static const struct {
        int64_t index;
        clm_code code;
        const char *text;
        int tries;
    } rows[] = {{DIE_ONCE, CLM_OK, "", 2},
                {DIE, CLM_E_NOMEM, "signal 9", 2},
                {SEGV, CLM_E_NUMERIC, "signal 11", 2},
                {ABORT, CLM_E_NUMERIC, "signal 6 (Aborted)", 2},
                {OVERFLOW_STACK, CLM_E_NUMERIC, "signal 11", 2},
                {LEAVE, CLM_E_NUMERIC, "code 7", 2},
                {LEAVE_WELL, CLM_E_NUMERIC, "code 0", 2}, /* without an outcome */
                {STOP, CLM_E_NUMERIC, "no end within", 2},
                {HANG_ONCE, CLM_OK, "", 2},
                {HANG, CLM_E_NUMERIC, "no end within", 2}};
    const int n_rows = sizeof rows / sizeof rows[0];
    fixture f = open_both(2, 1.5);
    for (int k = 0; k < n_rows; k++) {
        submit(f.exec, rows[k].index);
        submit(f.exec, 10 * k + 3);
        submit(f.exec, 10 * k + 4);
    }
    for (int n = 0; n < 3 * n_rows; n++) {
        clm_outcome o = next(f.exec);
        if (o.task.index < MOST) assert_int_equal(o.err.code, CLM_OK);
        for (int k = 0; k < n_rows; k++) {
            if (rows[k].index != o.task.index) continue;
            assert_int_equal(o.err.code, rows[k].code);
            if (rows[k].code) assert_non_null(strstr(o.err.text, rows[k].text));
            assert_int_equal(atomic_load(&shared->tries[o.task.index]), rows[k].tries);
        }
    }
    close_both(&f);
}

static void test_memory_has_a_limit(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("SKIPPED: a sanitizer's shadow knows no limit\n");
    skip();
#else
    fixture f = open_both(1, 0);
    submit(f.exec, TAKE_MEMORY);
    submit(f.exec, 3);
    assert_int_equal(next(f.exec).err.code, CLM_E_NOMEM);
    assert_int_equal(next(f.exec).err.code, CLM_OK);
    assert_int_equal(atomic_load(&shared->opens), 1); /* it was told, not killed */
    close_both(&f);
#endif
}

static void test_close_ends_what_hangs(void **state) {
    (void)state;
    fixture f = open_both(2, 0);
    submit(f.exec, HANG);
    submit(f.exec, 3);
    submit(f.exec, HANG);
    submit(f.exec, 4);
    assert_int_equal(next(f.exec).task.index, 3);
    assert_int_equal(clm_exec_drop(f.exec), 1);
    assert_int_equal(clm_exec_pending(f.exec), 2);
    assert_true(clm_exec_close(f.exec, 0.01));
    clm_server_close(f.server);
}

static void test_wake_ends_a_wait(void **state) {
    (void)state;
    fixture f = open_both(1, 0);
    clm_exec_wake(f.exec); /* before the wait: remembered */
    clm_exec_wait(f.exec, 600);
    close_both(&f);
}

static void test_a_lost_server_gives_everything_back(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    fixture f = open_both(1, 0);
    submit(f.exec, END_SERVER);
    submit(f.exec, 3);
    for (int i = 0; i < 2; i++) assert_int_equal(next(f.exec).err.code, CLM_E_CANCELLED);
    assert_fails(CLM_E_PEER, clm_exec_submit(f.exec, &(clm_task){.index = 4}, &err), err);
    close_both(&f);
}

/* the only child of this process */
static pid_t server_pid(void) {
    char path[64];
    int pid = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%d", &pid) != 1) pid = 0;
    if (f) (void)fclose(f);
    return pid;
}

static void test_no_more_processes(void **state) {
    (void)state;
    pid_t rank = fork();
    if (rank == 0) { /* root knows no such limit */
        if (geteuid() == 0 && setuid(65534) != 0) _exit(1);
        fixture f = open_both(1, 0);
        pid_t server = server_pid();
        struct rlimit was, none;
        if (server <= 0 || prlimit(server, RLIMIT_NPROC, NULL, &was) != 0) _exit(2);
        none = (struct rlimit){0, was.rlim_max};
        if (prlimit(server, RLIMIT_NPROC, &none, NULL) != 0) _exit(2);
        submit(f.exec, 3);
        clm_outcome o = next(f.exec);
        if (o.err.code != CLM_E_NOMEM || !strstr(o.err.text, "ulimit -u")) _exit(3);
        if (prlimit(server, RLIMIT_NPROC, &was, NULL) != 0) _exit(4);
        submit(f.exec, 4); /* and then it goes on */
        _exit(next(f.exec).err.code == CLM_OK ? 0 : 5);
    }
    int status;
    assert_int_equal(waitpid(rank, &status, 0), rank);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool lives(pid_t pid) {
    char path[64], text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    const char *end = n ? strrchr(text, ')') : NULL;
    return end && end[2] != 'Z'; /* a zombie waits for a slow init */
}

static void test_children_end_with_their_rank(void **state) {
    (void)state;
    memset(shared, 0, sizeof *shared);
    pid_t rank = fork();
    if (rank == 0) {
        fixture f = open_both(1, 0);
        submit(f.exec, HANG);
        for (;;) clm_exec_wait(f.exec, 10);
    }
    int status;
    while (!atomic_load(&shared->pid)) clm_nap_us(1000);
    assert_true(lives(atomic_load(&shared->pid)));
    assert_int_equal(kill(rank, SIGKILL), 0);
    assert_int_equal(waitpid(rank, &status, 0), rank);
    while (lives(atomic_load(&shared->pid))) clm_nap_us(1000); /* ctest's limit ends this */
}

int main(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_has_one_outcome),
        cmocka_unit_test(test_a_crash_is_an_outcome_and_costs_nobody_else),
        cmocka_unit_test(test_memory_has_a_limit),
        cmocka_unit_test(test_close_ends_what_hangs),
        cmocka_unit_test(test_wake_ends_a_wait),
        cmocka_unit_test(test_a_lost_server_gives_everything_back),
        cmocka_unit_test(test_no_more_processes),
        cmocka_unit_test(test_children_end_with_their_rank),
    };
    return cmocka_run_group_tests_name("cluster.exec_fork", tests, NULL, NULL);
}
