/* comm_mpi keeps comm's contract, and a whole run over it leaves the files a run in one process
 * leaves. Every rank runs this; what one finds wrong all return.
 *   test_mpi_run                            the checks
 *   test_mpi_run FOLDER KILL_RANK KILL_AT [SIGNAL]
 *                                           the toy job in FOLDER; KILL_RANK (-1: none) ends itself by
 *                                           SIGNAL (a number; SIGKILL; -1 - N: _exit(N)) when it begins
 *                                           its KILL_AT-th task. SIGSTOP: no launcher notices. Prints
 *                                           the digest
 *   test_mpi_run FOLDER RANK last           the toy job; RANK stops itself before it leaves MPI */
#include "collimate/cluster/run.h"
#include "collimate/base/clock.h"
#include "collimate/base/rng.h"
#include "collimate/cluster/wire.h"
#include "support/temp.h"
#include "support/toy.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 5, ROUNDS = 300 };

static int misses;

#define check(yes, err)                                                                     \
    do {                                                                                    \
        if (!(yes)) {                                                                       \
            misses++;                                                                       \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #yes, (err).text); \
        }                                                                                   \
    } while (0)

typedef struct killing {
    int rank; /* -1: none */
    long long at;
    double most_task_s;
    int signal;
} killing;

static const killing calm = {.rank = -1, .most_task_s = 0.002};

static uint64_t run_toy(clm_comm *comm, const char *folder, killing k, clm_run_summary *sum) {
    clm_err err = CLM_ERR_NONE;
    toy t;
    toy_make(&t, folder, SIDE);
    t.most_task_s = k.most_task_s;
    if (comm->rank == k.rank) atomic_store(&t.kill_after, k.at);
    t.kill_signal = k.signal;
    clm_worker_ops ops = toy_ops(&t);
    clm_cluster_options o = CLM_CLUSTER_DEFAULTS;
    o.folder = folder;
    o.slots = 2;
    o.epoch_s = 0.01;
    o.retry_pause_s = 0.001;
    if (k.signal == SIGSTOP) o.silence_s = 0.5;
    o.ctx = &t;
    o.on_spent = toy_on_spent;
    check(clm_cluster_run(comm, &t.plan, &o, &ops, sum, &err), err);
    check(atomic_load(&t.early) == 0, err);
    check(sum->abandoned == 0, err);
    if (comm->rank == 0) check(sum->ended == sum->tasks && t.ended == TOY_STAGES, err);
    return comm->rank == 0 ? toy_digest(&t) : 0;
}

/* what one process with one thread leaves */
static uint64_t undisturbed(void) {
    clm_err err = CLM_ERR_NONE;
    clm_comm_hub *hub;
    clm_comm *alone;
    char folder[CLM_PATH_MAX];
    clm_run_summary sum;
    clm_test_folder(folder);
    if (!clm_comm_local_open(1, NULL, &hub, &alone, &err)) abort();
    uint64_t digest = run_toy(alone, folder, calm, &sum);
    clm_comm_close(alone, true);
    clm_comm_local_close(hub);
    clm_test_folder_drop(folder);
    return digest;
}

/* every rank sends to every other messages of all sizes: each arrives once, whole and in order */
static void check_messages(clm_comm *c) {
    clm_err err = CLM_ERR_NONE;
    static unsigned char out[CLM_MESSAGE_MAX], in[CLM_MESSAGE_MAX];
    int64_t *next = calloc((size_t)c->size, sizeof *next);
    if (!next) abort();
    int64_t got_all = 0, want = (int64_t)(c->size - 1) * ROUNDS;
    for (int64_t round = 0; round < ROUNDS || got_all < want;) {
        for (int peer = 0; round < ROUNDS && peer < c->size; peer++) {
            size_t n = (size_t)clm_rng_below(1, (uint64_t)c->rank, (uint64_t)round, CLM_MESSAGE_MAX - 8) + 8;
            if (peer == c->rank) continue;
            memset(out, (int)(round & 255), n);
            memcpy(out, &round, sizeof round);
            check(clm_comm_send(c, peer, out, n, &err), err);
            memset(out, 0xee, n); /* the copy is comm's own */
        }
        if (round < ROUNDS) round++;
        bool got = true;
        while (got && got_all < want) {
            int from;
            size_t n;
            check(clm_comm_recv(c, round < ROUNDS ? 0 : 10, &from, in, sizeof in, &n, &got, &err), err);
            if (!got) break;
            int64_t mark;
            memcpy(&mark, in, sizeof mark);
            size_t want_n = (size_t)clm_rng_below(1, (uint64_t)from, (uint64_t)mark, CLM_MESSAGE_MAX - 8) + 8;
            check(mark == next[from]++ && n == want_n &&
                      in[n - 1] == (mark > 255 || n > 8 ? mark & 255 : in[n - 1]),
                  err);
            got_all++;
        }
        if (round == ROUNDS && !got && got_all < want) {
            check(got_all == want, err);
            break;
        }
    }
    free(next);
    check(clm_comm_flush(c, 10, &err), err);
    check(!clm_comm_send(c, c->rank, out, 1, &err) && err.code == CLM_E_ARG, err);
    check(!clm_comm_send(c, c->size, out, 1, &err) && err.code == CLM_E_ARG, err);
}

static void check_agreement(clm_comm *c) {
    clm_err err = CLM_ERR_NONE;
    bool any;
    check(clm_comm_any(c, false, &any, &err) && !any, err);
    for (int r = 0; r < c->size; r++) check(clm_comm_any(c, c->rank == r, &any, &err) && any, err);
    check(c->host_size == c->size && c->host == 0 && c->host_rank == c->rank, err);
}

static void check_run(clm_comm *c) {
    clm_err err = CLM_ERR_NONE;
    clm_buf folder = {0};
    clm_run_summary sum;
    uint64_t want = 0;
    if (!clm_buf_reserve(&folder, CLM_PATH_MAX, &err)) abort();
    if (c->rank == 0) {
        want = undisturbed();
        clm_test_folder((char *)folder.data);
        folder.n = strlen((char *)folder.data) + 1;
    }
    check(clm_comm_share(c, &folder, &err), err);
    uint64_t digest = run_toy(c, (char *)folder.data, calm, &sum);
    check(sum.clean, err);
    if (c->rank == 0) {
        check(digest == want, err);
        check(sum.slots == 2 * c->size, err);
        clm_test_folder_drop((char *)folder.data);
    }
    clm_buf_free(&folder);
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_comm *c;
    if (!clm_comm_mpi_open(&c, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (argc == 4 && strcmp(argv[3], "last") == 0) {
        clm_run_summary sum;
        uint64_t digest = run_toy(c, argv[1], calm, &sum);
        if (c->rank == 0) printf("%016" PRIx64 "\n", digest);
        (void)fflush(NULL);
        c->leave_s = 2;
        if (c->rank == atoi(argv[2])) (void)raise(SIGSTOP);
        clm_comm_close(c, sum.clean);
        return misses > 0;
    }
    if (argc >= 4) {
        clm_run_summary sum;
        killing k = {.rank = atoi(argv[2]), .at = atoll(argv[3])};
        if (argc == 5) k.signal = atoi(argv[4]);
        k.most_task_s = k.rank < 0 ? 0 : 0.3; /* survivors work on for a second or two: let them not finish */
        uint64_t digest = run_toy(c, argv[1], k, &sum);
        if (c->rank == 0 && misses == 0)
            printf("%016" PRIx64 " replayed %" PRId64 "\n", digest, sum.replayed);
        if (k.signal == SIGSTOP) { /* MPI would wait for the rank that was stopped */
            if (c->rank == 0) check(sum.lost == 1 && !sum.clean, err);
            (void)fflush(NULL);
            _exit(misses > 0);
        }
    } else {
        check_agreement(c);
        check_messages(c);
        check_run(c);
    }
    bool any = true;
    check(clm_comm_any(c, misses > 0, &any, &err), err);
    clm_comm_close(c, true);
    return any;
}
