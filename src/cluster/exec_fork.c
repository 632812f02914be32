/* Tasks in children of a fork server. One thread does all: it polls the children's sockets. */
#include "collimate/base/clock.h"
#include "server.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_TRIES = 2 };

typedef struct node {
    struct node *next;
    int tries;
    clm_outcome outcome;
} node;

typedef struct list {
    node *first, **end;
} list;

typedef struct slot {
    int fd;  /* of its child; -1: none */
    node *n; /* what it does; NULL: nothing */
    double begun_s;
    bool late; /* killed for it: nothing more for this child */
} slot;

typedef struct children {
    clm_exec head;
    clm_children c;
    int rank, setup, bell;
    list todo, done;
    node *spare;
    int64_t pending;
    slot *slot;
    struct pollfd *poll; /* [slots + 1] */
    bool broken;         /* the server is gone */
} children;

static void append(list *l, node *n) {
    n->next = NULL;
    *l->end = n;
    l->end = &n->next;
}

static void put_first(list *l, node *n) {
    n->next = l->first;
    if (!l->first) l->end = &n->next;
    l->first = n;
}

static node *shift(list *l) {
    node *n = l->first;
    if (!n) return NULL;
    l->first = n->next;
    if (!l->first) l->end = &l->first;
    n->next = NULL;
    return n;
}

static void finish(children *e, node *n) {
    n->outcome.rank = e->rank;
    append(&e->done, n);
}

/* Everything here is given back; it is not this task's fault. The next submit tells. */
static void break_down(children *e) {
    e->broken = true;
    for (int i = 0; i < e->head.slots; i++) {
        slot *s = &e->slot[i];
        if (s->fd >= 0) (void)close(s->fd);
        s->fd = -1;
        if (s->n) append(&e->todo, s->n);
        s->n = NULL;
    }
    for (node *n; (n = shift(&e->todo)) != NULL;) {
        clm_fail(&n->outcome.err, CLM_E_CANCELLED, "the fork server of this rank is gone");
        finish(e, n);
    }
}

/* ---- a child's death ---- */

static void tell_why(const children *e, const slot *s, int status, clm_err *err) {
    if (s->late)
        clm_fail(err, CLM_E_NUMERIC, "no end within %.0f s, %d times", e->c.limits.task_s, MOST_TRIES);
    else if (status < 0)
        clm_fail(err, CLM_E_NOMEM,
                 "no process for it, %d times: %s (see ulimit -u, and pids.max of the control group)",
                 MOST_TRIES, strerrordesc_np(-status));
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        clm_fail(err, CLM_E_NOMEM, "killed by signal 9, %d times: out of memory?", MOST_TRIES);
    else if (WIFSIGNALED(status))
        clm_fail(err, CLM_E_NUMERIC, "killed by signal %d (%s), %d times", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)), MOST_TRIES);
    else
        clm_fail(err, CLM_E_NUMERIC, "its process ended with code %d, %d times", WEXITSTATUS(status),
                 MOST_TRIES);
}

static void bury(children *e, slot *s) {
    int status = 0;
    clm_err err;
    node *n = s->n;
    (void)close(s->fd);
    s->fd = -1;
    bool ok = clm_server_reap(e->c.server, (int)(s - e->slot), &status, &err);
    if (n && ok) {
        s->n = NULL;
        if (n->tries < MOST_TRIES) {
            put_first(&e->todo, n);
        } else {
            tell_why(e, s, status, &n->outcome.err);
            n->outcome.seconds = clm_clock_s() - s->begun_s;
            finish(e, n);
        }
    }
    s->late = false;
    if (!ok) break_down(e);
}

/* ---- work in and out ---- */

static void listen_to(children *e, slot *s) {
    clm_outcome o;
    ssize_t got = recv(s->fd, &o, sizeof o, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        double limit_s = e->c.limits.task_s;
        if (!s->n || s->late || !(limit_s > 0) || clm_clock_s() - s->begun_s < limit_s) return;
        s->late = true;
        clm_server_kill(e->c.server, (int)(s - e->slot));
    } else if (got == (ssize_t)sizeof o && s->n) {
        o.task = s->n->outcome.task;
        s->n->outcome = o;
        finish(e, s->n);
        s->n = NULL;
    } else {
        bury(e, s);
    }
}

static void begin(children *e, slot *s) {
    clm_err err;
    if (s->fd < 0 && !clm_server_spawn(e->c.server, (int)(s - e->slot), e->setup, e->c.limits.memory_bytes,
                                       &s->fd, &err)) {
        if (err.code == CLM_E_PEER) break_down(e);
        return; /* no descriptors now: later */
    }
    node *n = shift(&e->todo);
    s->n = n;
    s->begun_s = clm_clock_s();
    n->tries++;
    /* a child that has just died: its end of file comes next, and the task is tried again */
    (void)!send(s->fd, &n->outcome.task, sizeof n->outcome.task, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void turn(children *e) {
    for (int i = 0; i < e->head.slots && !e->broken; i++)
        if (e->slot[i].fd >= 0) listen_to(e, &e->slot[i]);
    for (int i = 0; i < e->head.slots && !e->broken && e->todo.first; i++)
        if (!e->slot[i].n && !e->slot[i].late) begin(e, &e->slot[i]);
}

static bool children_submit(clm_exec *x, const clm_task *task, clm_err *err) {
    children *e = (children *)x;
    if (e->broken) return clm_fail(err, CLM_E_PEER, "the fork server of rank %d is gone", e->rank);
    node *n = e->spare;
    if (n)
        e->spare = n->next;
    else if (!(n = clm_heap_new(1, sizeof *n, err)))
        return false;
    *n = (node){.outcome = {.task = *task, .rank = e->rank}};
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) n->outcome.figure[i] = NAN;
    append(&e->todo, n);
    e->pending++;
    turn(e);
    return true;
}

static void set_aside(children *e, node *n) {
    n->next = e->spare;
    e->spare = n;
    e->pending--;
}

static bool children_collect(clm_exec *x, clm_outcome *out) {
    children *e = (children *)x;
    if (!e->done.first) turn(e);
    node *n = shift(&e->done);
    if (!n) return false;
    *out = n->outcome;
    set_aside(e, n);
    return true;
}

/* no later than the first deadline of a task */
static double until_deadline(const children *e, double timeout_s) {
    double now_s = clm_clock_s();
    for (int i = 0; e->c.limits.task_s > 0 && i < e->head.slots; i++)
        if (e->slot[i].n && !e->slot[i].late)
            timeout_s = fmin(timeout_s, fmax(0, e->slot[i].begun_s + e->c.limits.task_s - now_s));
    return timeout_s;
}

/* only sleeps: who collects then looks at the children */
static void children_wait(clm_exec *x, double timeout_s) {
    children *e = (children *)x;
    uint64_t rings;
    if (e->done.first) return;
    double rest_s = until_deadline(e, timeout_s);
    struct timespec t = {(time_t)rest_s, (long)((rest_s - floor(rest_s)) * 1e9)};
    e->poll[0] = (struct pollfd){.fd = e->bell, .events = POLLIN};
    for (int i = 0; i < e->head.slots; i++)
        e->poll[i + 1] = (struct pollfd){.fd = e->slot[i].fd, .events = POLLIN}; /* -1 is ignored */
    if (ppoll(e->poll, (nfds_t)e->head.slots + 1, &t, NULL) > 0 && e->poll[0].revents)
        (void)!read(e->bell, &rings, sizeof rings);
}

static void children_wake(clm_exec *x) {
    const uint64_t one = 1;
    (void)!write(((children *)x)->bell, &one, sizeof one);
}

static int64_t children_drop(clm_exec *x) {
    children *e = (children *)x;
    int64_t count = 0;
    for (node *n; (n = shift(&e->todo)) != NULL; count++) set_aside(e, n);
    return count;
}

static int64_t children_pending(clm_exec *x) { return ((children *)x)->pending; }

static bool works(const children *e) {
    for (int i = 0; i < e->head.slots; i++)
        if (e->slot[i].n) return true;
    return false;
}

static void free_nodes(node *n) {
    while (n) {
        node *next = n->next;
        clm_heap_free(n);
        n = next;
    }
}

static bool children_close(clm_exec *x, double timeout_s) {
    children *e = (children *)x;
    double until_s = clm_clock_s() + timeout_s;
    (void)children_drop(x);
    while (e->slot && works(e) && clm_clock_s() < until_s) {
        children_wait(x, until_s - clm_clock_s());
        turn(e);
        free_nodes(e->done.first);
        e->done = (list){.end = &e->done.first};
        (void)children_drop(x); /* what died is not tried again */
    }
    for (int i = 0; e->slot && i < e->head.slots; i++) {
        int status;
        clm_err err;
        slot *s = &e->slot[i];
        if (s->fd < 0) continue;
        clm_server_kill(e->c.server, i);
        (void)close(s->fd);
        (void)!clm_server_reap(e->c.server, i, &status, &err);
        free_nodes(s->n);
    }
    free_nodes(e->done.first);
    free_nodes(e->spare);
    if (e->setup >= 0) (void)close(e->setup);
    if (e->bell >= 0) (void)close(e->bell);
    clm_heap_free(e->slot);
    clm_heap_free(e->poll);
    clm_heap_free(e);
    return true;
}

static bool put_setup(int fd, const clm_buf *b, clm_err *err) {
    for (size_t at = 0; at < b->n;) {
        ssize_t put = write(fd, b->data + at, b->n - at);
        if (put < 0) return clm_fail_os(err, CLM_E_NOMEM, "setup of the children");
        at += (size_t)put;
    }
    return true;
}

bool clm_exec_children(const clm_children *c, int slots, int rank, clm_exec **out, clm_err *err) {
    static const clm_exec_ops ops = {children_submit, children_collect, children_wait, children_wake,
                                     children_drop,   children_pending, children_close};
    *out = NULL;
    children *e = clm_heap_new(1, sizeof *e, err);
    if (!e) return false;
    *e = (children){.head = {.ops = &ops, .slots = slots}, .c = *c, .rank = rank};
    e->todo.end = &e->todo.first;
    e->done.end = &e->done.first;
    e->setup = memfd_create("collimate-setup", MFD_CLOEXEC);
    e->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok = (e->setup >= 0 && e->bell >= 0) || clm_fail_os(err, CLM_E_NOMEM, "descriptors of the executor");
    e->slot = ok ? clm_heap_new((size_t)slots, sizeof *e->slot, err) : NULL;
    e->poll = e->slot ? clm_heap_new((size_t)slots + 1, sizeof *e->poll, err) : NULL;
    for (int i = 0; e->slot && i < slots; i++) e->slot[i].fd = -1;
    if (e->poll && put_setup(e->setup, c->setup, err))
        *out = &e->head;
    else
        (void)children_close(&e->head, 0);
    return *out != NULL;
}
