/* comm over Open MPI, the only file that knows it. Main thread only (MPI_THREAD_FUNNELED). No call
 * here waits for one peer: sends are MPI_Isend from copies of our own, one receive from anybody is always
 * posted and tested (a probe would tell of a message one call after it came), collectives happen at start-up and are the non-blocking ones with a time limit. */
#include "collimate/cluster/comm.h"
#include "collimate/base/clock.h"
#include "collimate/cluster/wire.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAG = 1, SHARE_PIECE = 1 << 24, SHARE_MOST = 1 << 30 };

typedef struct outgoing {
    struct outgoing *next;
    MPI_Request request;
    unsigned char bytes[];
} outgoing;

typedef struct mpi_comm {
    clm_comm head;
    MPI_Comm comm;
    outgoing *sent, **end; /* not yet known to have left, oldest first */
    MPI_Request receive;   /* into in, from anybody */
    unsigned char in[CLM_MESSAGE_MAX];
} mpi_comm;

static bool mpi_failed(int rc, const char *what, clm_err *err) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    (void)MPI_Error_string(rc, text, &n);
    return clm_err_set(err, CLM_E_PEER, rc, __FILE__, __LINE__, "%s: %s", what, text);
}

/* free the copies of what has left; stops at the first that has not, to stay cheap */
static bool reap(mpi_comm *m, clm_err *err) {
    while (m->sent) {
        int done = 0;
        int rc = MPI_Test(&m->sent->request, &done, MPI_STATUS_IGNORE);
        if (rc != MPI_SUCCESS) return mpi_failed(rc, "send", err);
        if (!done) return true;
        outgoing *o = m->sent;
        m->sent = o->next;
        if (!m->sent) m->end = &m->sent;
        clm_heap_free(o);
    }
    return true;
}

static bool mpi_send(clm_comm *c, int peer, const void *bytes, size_t n, clm_err *err) {
    mpi_comm *m = (mpi_comm *)c;
    if (!reap(m, err)) return false;
    outgoing *o = clm_heap_new(1, sizeof *o + n, err);
    if (!o) return false;
    if (n) memcpy(o->bytes, bytes, n);
    int rc = MPI_Isend(o->bytes, (int)n, MPI_BYTE, peer, TAG, m->comm, &o->request);
    if (rc != MPI_SUCCESS) {
        clm_heap_free(o);
        return mpi_failed(rc, "send", err);
    }
    *m->end = o;
    m->end = &o->next;
    return true;
}

static bool post(mpi_comm *m, clm_err *err) {
    int rc = MPI_Irecv(m->in, CLM_MESSAGE_MAX, MPI_BYTE, MPI_ANY_SOURCE, TAG, m->comm, &m->receive);
    return rc == MPI_SUCCESS || mpi_failed(rc, "receive", err);
}

static bool mpi_poll(clm_comm *c, int *peer, void *buf, size_t cap, size_t *n, bool *got, clm_err *err) {
    mpi_comm *m = (mpi_comm *)c;
    *got = false;
    if (!reap(m, err)) return false;
    int done = 0, length = 0;
    MPI_Status status;
    int rc = MPI_Test(&m->receive, &done, &status);
    if (rc == MPI_SUCCESS && done) rc = MPI_Get_count(&status, MPI_BYTE, &length);
    if (rc != MPI_SUCCESS) return mpi_failed(rc, "receive", err);
    if (!done) return true;
    bool fits = (size_t)length <= cap;
    if (fits) {
        memcpy(buf, m->in, (size_t)length);
        *n = (size_t)length;
        *peer = status.MPI_SOURCE;
        *got = true;
    }
    return post(m, err) && (fits || clm_fail(err, CLM_E_FORMAT, "message of %d bytes from rank %d", length,
                                             status.MPI_SOURCE));
}

/* test with naps until all have come, at most CLM_COMM_MEET_S */
static bool await(mpi_comm *m, MPI_Request *request, const char *what, clm_err *err) {
    double until_s = clm_clock_s() + CLM_COMM_MEET_S;
    int done = 0;
    m->head.apart = true;
    for (long nap_us = 1;; nap_us = nap_us < 500 ? nap_us * 2 : 1000) {
        int rc = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (rc != MPI_SUCCESS) return mpi_failed(rc, what, err);
        if (done) break;
        if (clm_clock_s() > until_s) return clm_fail(err, CLM_E_PEER, "%s: not all ranks came", what);
        clm_nap_us(nap_us);
    }
    m->head.apart = false;
    return true;
}

static bool mpi_any(clm_comm *c, bool mine, bool *any, clm_err *err) {
    mpi_comm *m = (mpi_comm *)c;
    /* not on the stack: a meeting that fails leaves the request, and these, under way */
    static int in, out;
    MPI_Request request;
    in = mine;
    int rc = MPI_Iallreduce(&in, &out, 1, MPI_INT, MPI_MAX, m->comm, &request);
    if (rc != MPI_SUCCESS) return mpi_failed(rc, "agreement", err);
    if (!await(m, &request, "agreement", err)) return false;
    *any = out != 0;
    return true;
}

static bool share_bytes(mpi_comm *m, void *bytes, size_t n, clm_err *err) {
    for (size_t at = 0; at < n; at += SHARE_PIECE) {
        int piece = (int)(n - at < SHARE_PIECE ? n - at : SHARE_PIECE);
        MPI_Request request;
        int rc = MPI_Ibcast((char *)bytes + at, piece, MPI_BYTE, 0, m->comm, &request);
        if (rc != MPI_SUCCESS) return mpi_failed(rc, "sharing", err);
        if (!await(m, &request, "sharing", err)) return false;
    }
    return true;
}

static bool mpi_share(clm_comm *c, clm_buf *blob, clm_err *err) {
    mpi_comm *m = (mpi_comm *)c;
    static unsigned char length[8];
    clm_writer w = {.to = length, .cap = sizeof length};
    clm_put_uint(&w, blob->n, 8);
    if (!share_bytes(m, length, sizeof length, err)) return false;
    clm_reader r = {.from = length, .n = sizeof length};
    uint64_t n = clm_get_uint(&r, 8);
    clm_err mine = CLM_ERR_NONE;
    bool ok = n <= SHARE_MOST || clm_fail(&mine, CLM_E_ARG, "sharing %llu bytes", (unsigned long long)n);
    ok = ok && clm_buf_reserve(blob, (size_t)n, &mine);
    bool any = true; /* all or none enter the broadcast */
    if (!mpi_any(c, !ok, &any, err)) return false;
    if (!ok) *err = mine;
    if (any) return ok ? clm_fail(err, CLM_E_PEER, "another rank could not take what is shared") : false;
    blob->n = (size_t)n;
    return share_bytes(m, blob->data, blob->n, err);
}

static bool mpi_flush(clm_comm *c, double timeout_s, clm_err *err) {
    mpi_comm *m = (mpi_comm *)c;
    double until_s = clm_clock_s() + timeout_s;
    for (long nap_us = 1;; nap_us = nap_us < 500 ? nap_us * 2 : 1000) {
        if (!reap(m, err)) return false;
        if (!m->sent) return true;
        if (clm_clock_s() > until_s) return clm_fail(err, CLM_E_PEER, "a rank does not take its messages");
        clm_nap_us(nap_us);
    }
}

static void mpi_close(clm_comm *c, bool clean) {
    mpi_comm *m = (mpi_comm *)c;
    if (!clean || c->apart) return; /* MPI_Finalize would wait for the lost; copies may still be read from */
    (void)alarm(c->leave_s);
    clm_err err;
    bool left = mpi_flush(c, CLM_COMM_MEET_S, &err);
    (void)left; /* who does not listen now will be waited for by MPI_Finalize */
    (void)MPI_Cancel(&m->receive);
    (void)MPI_Wait(&m->receive, MPI_STATUS_IGNORE);
    (void)MPI_Comm_free(&m->comm);
    (void)MPI_Finalize();
    (void)alarm(0);
    clm_heap_free(m);
}

/* who is on this host; blocking, at start-up, before anything can have been lost */
static bool find_host(clm_comm *c, MPI_Comm comm, clm_err *err) {
    MPI_Comm host;
    int rc = MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &host);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_rank(host, &c->host_rank);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_size(host, &c->host_size);
    if (rc == MPI_SUCCESS) rc = MPI_Allreduce(&c->rank, &c->host, 1, MPI_INT, MPI_MIN, host);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_free(&host);
    return rc == MPI_SUCCESS || mpi_failed(rc, "ranks of this host", err);
}

/* All ranks on one host: Open MPI need not look for UCX's networks, which takes a quarter of a second. What the user
 * chose stays. */
static void stay_on_host(void) {
    const char *all = getenv("OMPI_COMM_WORLD_SIZE"), *here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (all && here && strcmp(all, here) == 0) (void)setenv("OMPI_MCA_pml", "ob1", 0);
}

bool clm_comm_mpi_open(clm_comm **out, clm_err *err) {
    static const clm_comm_ops ops = {mpi_send, mpi_poll, mpi_any, mpi_share, mpi_flush, mpi_close};
    *out = NULL;
    int provided = 0;
    stay_on_host();
    int rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (rc != MPI_SUCCESS) return mpi_failed(rc, "MPI_Init_thread", err);
    if (provided < MPI_THREAD_FUNNELED)
        return clm_fail(err, CLM_E_UNSUPPORTED, "this MPI cannot be used beside threads");
    mpi_comm *m = clm_heap_new(1, sizeof *m, err);
    if (!m) return false;
    m->head.ops = &ops;
    m->head.leave_s = CLM_COMM_LEAVE_S;
    m->end = &m->sent;
    rc = MPI_Comm_dup(MPI_COMM_WORLD, &m->comm);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_rank(m->comm, &m->head.rank);
    if (rc == MPI_SUCCESS) rc = MPI_Comm_size(m->comm, &m->head.size);
    bool ok = rc == MPI_SUCCESS || mpi_failed(rc, "MPI_Comm_dup", err);
    ok = ok && find_host(&m->head, m->comm, err) && post(m, err);
    if (ok)
        *out = &m->head;
    else
        clm_heap_free(m);
    return ok;
}
