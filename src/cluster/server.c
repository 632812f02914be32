/* The fork server: a process of one thread, a few pages and no state of MPI. Only it forks. */
#include "server.h"
#include "collimate/base/clock.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_SLOTS = 4096 };

typedef enum word { SPAWN = 1, KILL, REAP } word;
typedef struct request {
    word word;
    int slot;
    double memory_bytes;
} request;

struct clm_server {
    int control;
    pid_t pid;
};

/* ---- a child ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void limit_memory(double bytes) { (void)bytes; } /* their shadow is most of the address space */
#else
static void limit_memory(double bytes) {
    long pages = 0;
    char text[64] = "";
    FILE *f = fopen("/proc/self/statm", "re"); /* allow: not a regular file */
    if (f) {
        if (fgets(text, sizeof text, f)) pages = strtol(text, NULL, 10); /* allow: the kernel's own number */
        (void)fclose(f);
    }
    double most = bytes + (double)pages * (double)sysconf(_SC_PAGESIZE);
    if (!pages || !(bytes > 0) || most > 1e18) return;
    struct rlimit r = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};
    (void)setrlimit(RLIMIT_AS, &r);
}
#endif

static bool read_setup(int fd, clm_buf *b, clm_err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return clm_fail_os(err, CLM_E_IO, "setup of a child");
    if (!clm_buf_reserve(b, (size_t)st.st_size + 1, err)) return false;
    while (b->n < (size_t)st.st_size) {
        ssize_t got = pread(fd, b->data + b->n, (size_t)st.st_size - b->n, (off_t)b->n);
        if (got <= 0) return clm_fail_os(err, CLM_E_IO, "setup of a child");
        b->n += (size_t)got;
    }
    b->data[b->n] = 0;
    return true;
}

static bool open_state(const clm_child_ops *ops, int setup, double memory_bytes, void **state, clm_err *err) {
    clm_buf b = {0};
    bool ok = read_setup(setup, &b, err) && ops->open(ops->ctx, &b, state, err);
    clm_buf_free(&b);
    if (ok) limit_memory(memory_bytes);
    return ok;
}

/* one task after another, until the rank closes its end */
static void child_main(const clm_child_ops *ops, int fd, int setup, double memory_bytes) {
    void *state = NULL;
    bool open = false;
    clm_task task;
    while (recv(fd, &task, sizeof task, 0) == (ssize_t)sizeof task) {
        clm_outcome out = {.task = task};
        clm_err err = CLM_ERR_NONE;
        double begin_s = clm_clock_s();
        for (int i = 0; i < CLM_FIGURE_COUNT; i++) out.figure[i] = NAN;
        open = open || open_state(ops, setup, memory_bytes, &state, &err);
        bool ok = open && ops->run(state, &task, &out, &err);
        if (!ok && err.code == CLM_OK)
            clm_fail(&err, CLM_E_ARG, "task of stage %d failed without saying why", task.stage);
        out.err = ok ? CLM_ERR_NONE : err;
        out.task = task;
        out.seconds = clm_clock_s() - begin_s;
        if (send(fd, &out, sizeof out, MSG_NOSIGNAL) != (ssize_t)sizeof out) break;
    }
}

/* ---- the server ---- */

/* Signals that mean "stop soon" reach whole groups; the rank decides what they mean for its children. */
static void ignore_signals(void) {
    static const int all[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGPIPE};
    sigset_t none;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) (void)signal(all[i], SIG_IGN);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* die with the parent, also when it died before this call */
static void die_with(pid_t parent) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0); /* allow: nobody is left to tell */
}

static pid_t fork_child(const clm_child_ops *ops, int control, const int fd[2], double memory_bytes) {
    pid_t server = getpid(), pid = fork();
    if (pid != 0) return pid;
    die_with(server);
    (void)prctl(PR_SET_NAME, "collimate-task");
    (void)close(control);
    FILE *score = fopen("/proc/self/oom_score_adj", "we"); /* allow: not a regular file */
    if (score) {
        (void)fputs("1000", score); /* allow: to the kernel. The first to go when memory runs out */
        (void)fclose(score);
    }
    child_main(ops, fd[0], fd[1], memory_bytes);
    _exit(0); /* allow: a child; nothing of the parent's exit belongs here */
}

/* with up to two descriptors; false at the end of the rank */
static bool receive(int control, request *r, int fd[2]) {
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } u;
    struct iovec v = {r, sizeof *r};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
    fd[0] = fd[1] = -1;
    ssize_t n;
    do n = recvmsg(control, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof *r || r->slot < 0 || r->slot >= MOST_SLOTS) return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
        memcpy(fd, CMSG_DATA(c), 2 * sizeof(int));
    return true;
}

static void serve(const clm_child_ops *ops, int control) {
    static pid_t child[MOST_SLOTS];
    request r;
    int fd[2];
    while (receive(control, &r, fd)) {
        int status = 0;
        switch (r.word) {
        case SPAWN:
            child[r.slot] = fork_child(ops, control, fd, r.memory_bytes);
            if (child[r.slot] < 0) child[r.slot] = -errno;
            break;
        case KILL:
            if (child[r.slot] > 0) (void)kill(child[r.slot], SIGKILL);
            break;
        case REAP:
            if (child[r.slot] > 0) (void)waitpid(child[r.slot], &status, 0);
            if (child[r.slot] < 0) status = child[r.slot];
            child[r.slot] = 0;
            if (send(control, &status, sizeof status, MSG_NOSIGNAL) < 0) return;
            break;
        default: return;
        }
        for (int i = 0; i < 2; i++)
            if (fd[i] >= 0) (void)close(fd[i]);
    }
    for (int i = 0; i < MOST_SLOTS; i++)
        if (child[i] > 0) (void)kill(child[i], SIGKILL);
}

bool clm_server_open(const clm_child_ops *ops, clm_server **out, clm_err *err) {
    int pair[2];
    *out = NULL;
    clm_server *s = clm_heap_new(1, sizeof *s, err);
    if (!s) return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        clm_heap_free(s);
        return clm_fail_os(err, CLM_E_NOMEM, "socket of the fork server");
    }
    pid_t rank = getpid();
    s->pid = fork();
    if (s->pid == 0) {
        die_with(rank);
        (void)prctl(PR_SET_NAME, "collimate-fork");
        (void)close(pair[0]);
        ignore_signals();
        serve(ops, pair[1]);
        _exit(0); /* allow: the server; nothing of the rank's exit belongs here */
    }
    (void)close(pair[1]);
    s->control = pair[0];
    if (s->pid > 0) {
        *out = s;
        return true;
    }
    (void)clm_fail_os(err, CLM_E_NOMEM, "fork server");
    (void)close(s->control);
    clm_heap_free(s);
    return false;
}

void clm_server_close(clm_server *s) {
    if (!s) return;
    int status;
    (void)close(s->control);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR) continue;
    clm_heap_free(s);
}

/* ---- the rank's side ---- */

static bool gone(clm_err *err) { return clm_fail(err, CLM_E_PEER, "the fork server of this rank is gone"); }

bool clm_server_spawn(clm_server *s, int slot, int setup, double memory_bytes, int *out, clm_err *err) {
    request r = {.word = SPAWN, .slot = slot, .memory_bytes = memory_bytes};
    int pair[2];
    *out = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return clm_fail_os(err, CLM_E_NOMEM, "socket of a child");
    const int fd[2] = {pair[1], setup};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof fd)];
    } u = {0};
    struct iovec v = {&r, sizeof r};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
    u.head =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(&u.head), fd, sizeof fd);
    bool ok = sendmsg(s->control, &m, MSG_NOSIGNAL) == (ssize_t)sizeof r;
    (void)close(pair[1]);
    if (ok) {
        *out = pair[0];
        return true;
    }
    (void)close(pair[0]);
    return gone(err);
}

void clm_server_kill(clm_server *s, int slot) {
    request r = {.word = KILL, .slot = slot};
    (void)!send(s->control, &r, sizeof r, MSG_NOSIGNAL);
}

bool clm_server_reap(clm_server *s, int slot, int *status, clm_err *err) {
    request r = {.word = REAP, .slot = slot};
    if (send(s->control, &r, sizeof r, MSG_NOSIGNAL) != (ssize_t)sizeof r) return gone(err);
    ssize_t n;
    do n = recv(s->control, status, sizeof *status, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *status || gone(err);
}
