#include "collimate/base/clock.h"
#include "collimate/base/heap.h"
#include "collimate/cluster/exec.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A task's node goes from `todo` to a thread to `done` to the caller: nothing is allocated after
 * submit, so a finished task always finds room for its outcome. */
typedef struct node {
    struct node *next;
    clm_outcome outcome;
} node;

typedef struct list {
    node *first, **end;
} list;

typedef struct threads {
    clm_exec head;
    pthread_mutex_t lock;
    pthread_cond_t work, news;
    list todo, done;
    node *spare;
    int64_t pending; /* submitted, not collected */
    int running, alive, rank, next_slot;
    bool woken, closing;
    clm_task_fn run;
    void *ctx;
    pthread_t *id;
    int started;
} threads;

static void append(list *l, node *n) {
    n->next = NULL;
    *l->end = n;
    l->end = &n->next;
}

static node *shift(list *l) {
    node *n = l->first;
    if (!n) return NULL;
    l->first = n->next;
    if (!l->first) l->end = &l->first;
    return n;
}

static void run_one(threads *t, int slot, node *n) {
    clm_outcome *o = &n->outcome;
    clm_task task = o->task;
    clm_err err = CLM_ERR_NONE;
    double begin_s = clm_clock_s();
    bool ok = t->run(t->ctx, slot, &task, o, &err);
    if (!ok && err.code == CLM_OK)
        clm_fail(&err, CLM_E_ARG, "task of stage %d failed without saying why", task.stage);
    o->err = ok ? CLM_ERR_NONE : err;
    o->task = task;
    o->rank = t->rank;
    o->seconds = clm_clock_s() - begin_s;
}

static void *thread_main(void *arg) {
    threads *t = arg;
    pthread_mutex_lock(&t->lock);
    int slot = t->next_slot++;
    for (;;) {
        node *n = shift(&t->todo);
        if (!n) {
            if (t->closing) break;
            pthread_cond_wait(&t->work, &t->lock);
            continue;
        }
        t->running++;
        pthread_mutex_unlock(&t->lock);
        run_one(t, slot, n);
        pthread_mutex_lock(&t->lock);
        t->running--;
        append(&t->done, n);
        pthread_cond_broadcast(&t->news);
    }
    t->alive--;
    pthread_cond_broadcast(&t->news);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static bool threads_submit(clm_exec *e, const clm_task *task, clm_err *err) {
    threads *t = (threads *)e;
    pthread_mutex_lock(&t->lock);
    node *n = t->spare;
    if (n)
        t->spare = n->next;
    else
        n = clm_heap_new(1, sizeof *n, err);
    if (n) {
        n->outcome = (clm_outcome){.task = *task, .rank = t->rank};
        for (int i = 0; i < CLM_FIGURE_COUNT; i++) n->outcome.figure[i] = NAN;
        append(&t->todo, n);
        t->pending++;
        pthread_cond_signal(&t->work);
    }
    pthread_mutex_unlock(&t->lock);
    return n != NULL;
}

static void set_aside(threads *t, node *n) {
    n->next = t->spare;
    t->spare = n;
    t->pending--;
}

static bool threads_collect(clm_exec *e, clm_outcome *out) {
    threads *t = (threads *)e;
    pthread_mutex_lock(&t->lock);
    node *n = shift(&t->done);
    if (n) {
        *out = n->outcome;
        set_aside(t, n);
    }
    pthread_mutex_unlock(&t->lock);
    return n != NULL;
}

static struct timespec from_now(double timeout_s) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double whole = floor(timeout_s);
    now.tv_sec += (time_t)whole;
    now.tv_nsec += (long)((timeout_s - whole) * 1e9);
    if (now.tv_nsec >= 1000000000L) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000L;
    }
    return now;
}

static void threads_wait(clm_exec *e, double timeout_s) {
    threads *t = (threads *)e;
    struct timespec until = from_now(timeout_s);
    pthread_mutex_lock(&t->lock);
    while (!t->done.first && !t->woken)
        if (pthread_cond_timedwait(&t->news, &t->lock, &until) == ETIMEDOUT) break;
    t->woken = false;
    pthread_mutex_unlock(&t->lock);
}

static void threads_wake(clm_exec *e) {
    threads *t = (threads *)e;
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_broadcast(&t->news);
    pthread_mutex_unlock(&t->lock);
}

static int64_t threads_drop(clm_exec *e) {
    threads *t = (threads *)e;
    int64_t count = 0;
    pthread_mutex_lock(&t->lock);
    for (node *n; (n = shift(&t->todo)) != NULL; count++) set_aside(t, n);
    pthread_mutex_unlock(&t->lock);
    return count;
}

static int64_t threads_pending(clm_exec *e) {
    threads *t = (threads *)e;
    pthread_mutex_lock(&t->lock);
    int64_t pending = t->pending;
    pthread_mutex_unlock(&t->lock);
    return pending;
}

static void free_nodes(node *n) {
    while (n) {
        node *next = n->next;
        clm_heap_free(n);
        n = next;
    }
}

static bool threads_close(clm_exec *e, double timeout_s) {
    threads *t = (threads *)e;
    struct timespec until = from_now(timeout_s);
    (void)threads_drop(e);
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    pthread_cond_broadcast(&t->work);
    while (t->alive)
        if (pthread_cond_timedwait(&t->news, &t->lock, &until) == ETIMEDOUT) break;
    bool ended = t->alive == 0;
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->started; i++) {
        if (ended)
            pthread_join(t->id[i], NULL);
        else
            pthread_detach(t->id[i]);
    }
    if (!ended) return false; /* a running task still writes into its node: leave all to it */
    free_nodes(t->done.first);
    free_nodes(t->spare);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->work);
    pthread_cond_destroy(&t->news);
    clm_heap_free(t->id);
    clm_heap_free(t);
    return true;
}

static bool start_one(threads *t, clm_err *err) {
    pthread_mutex_lock(&t->lock);
    int rc = pthread_create(&t->id[t->started], NULL, thread_main, t);
    t->alive += rc == 0;
    t->started += rc == 0;
    pthread_mutex_unlock(&t->lock);
    if (rc == 0) return true;
    errno = rc;
    return clm_fail_os(err, CLM_E_NOMEM, "compute thread %d of %d", t->started + 1, t->head.slots);
}

bool clm_exec_threads(int slots, int rank, clm_task_fn run, void *ctx, clm_exec **out, clm_err *err) {
    static const clm_exec_ops ops = {threads_submit, threads_collect, threads_wait, threads_wake,
                                     threads_drop,   threads_pending, threads_close};
    *out = NULL;
    threads *t = clm_heap_new(1, sizeof *t, err);
    if (!t) return false;
    *t = (threads){.head = {.ops = &ops, .slots = slots}, .rank = rank, .run = run, .ctx = ctx};
    t->id = clm_heap_new((size_t)slots, sizeof *t->id, err);
    if (!t->id) {
        clm_heap_free(t);
        return false;
    }
    t->todo.end = &t->todo.first;
    t->done.end = &t->done.first;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = true;
    for (int i = 0; ok && i < slots; i++) ok = start_one(t, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        *out = &t->head;
    else
        (void)threads_close(&t->head, 60);
    return ok;
}
