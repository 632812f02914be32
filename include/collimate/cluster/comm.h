/* Bytes between numbered peers. Two bodies: Open MPI (comm_mpi.c) and threads in one process
 * (comm_local.c: tests, and `--local N`). Sending never blocks; after start-up nothing does but a
 * bounded wait. One thread per rank may use its clm_comm.
 * Messages between two ranks arrive once and in order; a vanished peer is silence, not an error. */
#ifndef CLM_CLUSTER_COMM_H
#define CLM_CLUSTER_COMM_H

#include "collimate/base/heap.h"

typedef struct clm_comm clm_comm;

/** What a body provides. */
typedef struct clm_comm_ops {
    bool (*send)(clm_comm *c, int peer, const void *bytes, size_t n, clm_err *err);
    bool (*poll)(clm_comm *c, int *peer, void *buf, size_t cap, size_t *n, bool *got, clm_err *err);
    bool (*any)(clm_comm *c, bool mine, bool *any, clm_err *err);
    bool (*share)(clm_comm *c, clm_buf *blob, clm_err *err);
    bool (*flush)(clm_comm *c, double timeout_s, clm_err *err);
    void (*close)(clm_comm *c, bool clean);
} clm_comm_ops;

/** The head of every body. Read freely. */
struct clm_comm {
    const clm_comm_ops *ops;
    int rank, size;
    int host;                 /* lowest rank on this host       */
    int host_rank, host_size; /* this rank among those of its host */
    bool apart; /* some rank did not come to a collective call: it is not to be waited for at the end */
    unsigned
        leave_s; /* to close takes no longer: a process that waits for one that is gone is ended by SIGALRM */
};

/** Take a copy of n bytes (at most 16 KiB) to be delivered to peer (not to oneself). Never blocks.
 *  Errors CLM_E_ARG size or peer out of range; CLM_E_NOMEM; CLM_E_PEER the transport refused. */
CLM_MUST bool clm_comm_send(clm_comm *c, int peer, const void *bytes, size_t n, clm_err *err);
/** The next message from anybody, waiting at most timeout_s (0: look once) with naps of 1 us to 1 ms.
 *  got false: nothing came.  Errors CLM_E_PEER; CLM_E_FORMAT a message larger than cap. */
CLM_MUST bool clm_comm_recv(clm_comm *c, double timeout_s, int *peer, void *buf, size_t cap, size_t *n,
                            bool *got, clm_err *err);
/** Collective, for start-up: did any rank say true? Errors CLM_E_PEER some rank did not come within
 *  CLM_COMM_MEET_S. */
CLM_MUST bool clm_comm_any(clm_comm *c, bool mine, bool *any, clm_err *err);
/** Collective, for start-up: rank 0's blob to all (replaces what the others hold). At most 1 GiB. */
CLM_MUST bool clm_comm_share(clm_comm *c, clm_buf *blob, clm_err *err);
/** Wait until what was sent has left. Errors CLM_E_PEER not within timeout_s. */
CLM_MUST bool clm_comm_flush(clm_comm *c, double timeout_s, clm_err *err);
/** clean: every rank closes. Not clean (a peer was lost) or apart: nothing that could wait for it is done;
 *  over MPI the process must then leave by _exit. NULL is fine. */
void clm_comm_close(clm_comm *c, bool clean);

#define CLM_COMM_MEET_S 120.0
#define CLM_COMM_LEAVE_S 120 /* all leave at once: clm_cluster_run waits for rank 0's last work */

/** Processors that this process may run on. At least 1. */
int clm_comm_cores(void);
/** Compute threads this rank may use: its CPU mask, divided among the ranks of the host when they
 *  are not bound to different CPUs. At least 1. */
int clm_comm_slots(const clm_comm *c);

/** MPI_Init_thread(FUNNELED) and a communicator of its own; works without mpirun as one rank.
 *  Once a process; clm_comm_close finalizes. */
CLM_MUST bool clm_comm_mpi_open(clm_comm **out, clm_err *err);

/** How comm_local misbehaves on demand. */
typedef struct clm_comm_trouble {
    uint64_t seed;
    double most_stall_s; /* each message is held back for a random time up to this (order is kept) */
    int64_t vanish_at;   /* > 0: at so many messages to or from it ... */
    int vanish_rank;     /* ... this rank is dropped, as clm_comm_local_drop does; that one is lost, too */
} clm_comm_trouble;

typedef struct clm_comm_hub clm_comm_hub;
/** n ranks in this process; out[r] is for the thread that plays rank r. Close all, then the hub. */
CLM_MUST bool clm_comm_local_open(int n, const clm_comm_trouble *trouble, clm_comm_hub **hub, clm_comm *out[],
                                  clm_err *err);
/** From now on nothing goes to or comes from this rank. Any thread. */
void clm_comm_local_drop(clm_comm_hub *hub, int rank);
void clm_comm_local_close(clm_comm_hub *hub);

#endif
