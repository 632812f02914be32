#include "collimate/base/clock.h"
#include "collimate/base/rng.h"
#include "collimate/cluster/comm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

typedef struct parcel {
    struct parcel *next;
    double not_before_s;
    int from;
    size_t n;
    unsigned char bytes[];
} parcel;

typedef struct inbox {
    parcel *first, **end;
    bool dropped;
    double busy_until_s; /* deliveries into this box are in order: none before the one ahead */
    uint64_t count;
} inbox;

/* meetings: ranks come, the last one opens the next generation */
typedef struct meeting {
    int here;
    uint64_t generation;
    bool any, result;
    const clm_buf *blob;
} meeting;

struct clm_comm_hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n;
    clm_comm_trouble trouble;
    int64_t passed; /* messages to or from the rank that is to vanish */
    meeting meet;
    inbox box[];
};

typedef struct local {
    clm_comm head;
    clm_comm_hub *hub;
} local;

static clm_comm_hub *hub_of(clm_comm *c) { return ((local *)c)->hub; }

static bool local_send(clm_comm *c, int peer, const void *bytes, size_t n, clm_err *err) {
    clm_comm_hub *h = hub_of(c);
    parcel *p = clm_heap_new(1, sizeof *p + n, err);
    if (!p) return false;
    p->from = c->rank;
    p->n = n;
    if (n) memcpy(p->bytes, bytes, n);
    pthread_mutex_lock(&h->lock);
    inbox *b = &h->box[peer];
    const clm_comm_trouble *t = &h->trouble;
    if (t->vanish_at > 0 && (peer == t->vanish_rank || c->rank == t->vanish_rank) &&
        ++h->passed >= t->vanish_at)
        h->box[t->vanish_rank].dropped = true;
    if (b->dropped || h->box[c->rank].dropped) {
        clm_heap_free(p);
    } else {
        double stall_s = t->most_stall_s;
        if (stall_s > 0) {
            stall_s *= clm_rng_uniform(t->seed, (uint64_t)peer, b->count++);
            double at_s = clm_clock_s() + stall_s;
            b->busy_until_s = p->not_before_s = at_s > b->busy_until_s ? at_s : b->busy_until_s;
        }
        *b->end = p;
        b->end = &p->next;
    }
    pthread_mutex_unlock(&h->lock);
    return true;
}

static bool local_poll(clm_comm *c, int *peer, void *buf, size_t cap, size_t *n, bool *got, clm_err *err) {
    clm_comm_hub *h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    inbox *b = &h->box[c->rank];
    parcel *p = b->first;
    if (p && (b->dropped || p->not_before_s > clm_clock_s())) p = NULL;
    if (p) {
        b->first = p->next;
        if (!b->first) b->end = &b->first;
    }
    pthread_mutex_unlock(&h->lock);
    *got = p != NULL;
    if (!p) return true;
    bool fits = p->n <= cap;
    if (fits) {
        memcpy(buf, p->bytes, p->n);
        *n = p->n;
        *peer = p->from;
    } else {
        *got = clm_fail(err, CLM_E_FORMAT, "message of %zu bytes from rank %d", p->n, p->from);
    }
    clm_heap_free(p);
    return fits;
}

/* the lock is held; true once everybody is here, false after the time allowed */
static bool meet(clm_comm_hub *h, clm_err *err) {
    uint64_t mine = h->meet.generation;
    if (++h->meet.here == h->n) {
        h->meet.here = 0;
        h->meet.generation++;
        h->meet.result = h->meet.any;
        h->meet.any = false;
        pthread_cond_broadcast(&h->changed);
        return true;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)CLM_COMM_MEET_S;
    while (h->meet.generation == mine)
        if (pthread_cond_timedwait(&h->changed, &h->lock, &until) == ETIMEDOUT)
            return clm_fail(err, CLM_E_PEER, "not all ranks came to the start");
    return true;
}

static bool local_any(clm_comm *c, bool mine, bool *any, clm_err *err) {
    clm_comm_hub *h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    h->meet.any |= mine;
    bool ok = meet(h, err);
    *any = h->meet.result; /* stays until the next meeting, which needs this rank, too */
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static bool local_share(clm_comm *c, clm_buf *blob, clm_err *err) {
    clm_comm_hub *h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    if (c->rank == 0) h->meet.blob = blob;
    bool ok = meet(h, err);
    if (ok && c->rank != 0) {
        const clm_buf *from = h->meet.blob;
        ok = clm_buf_reserve(blob, from->n, err);
        if (ok && from->n) memcpy(blob->data, from->data, from->n);
        blob->n = ok ? from->n : 0;
    }
    clm_err second; /* rank 0's blob must stay until all have it; a copy that failed is told first */
    if (!meet(h, ok ? err : &second)) ok = false;
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static bool local_flush(clm_comm *c, double timeout_s, clm_err *err) {
    (void)c;
    (void)timeout_s;
    (void)err;
    return true; /* a parcel lies in the peer's box at once */
}

static void local_close(clm_comm *c, bool clean) {
    (void)clean;
    clm_heap_free(c);
}

bool clm_comm_local_open(int n, const clm_comm_trouble *trouble, clm_comm_hub **hub, clm_comm *out[],
                         clm_err *err) {
    static const clm_comm_ops ops = {local_send,  local_poll,  local_any,
                                     local_share, local_flush, local_close};
    *hub = NULL;
    clm_comm_hub *h = clm_heap_new(1, sizeof *h + (size_t)n * sizeof(inbox), err);
    if (!h) return false;
    h->n = n;
    if (trouble) h->trouble = *trouble;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    for (int r = 0; r < n; r++) {
        h->box[r].end = &h->box[r].first;
        local *l = clm_heap_new(1, sizeof *l, err);
        if (!l) {
            while (r-- > 0) clm_heap_free(out[r]);
            clm_comm_local_close(h);
            return false;
        }
        *l = (local){.head = {.ops = &ops, .rank = r, .size = n, .host_rank = r, .host_size = n}, .hub = h};
        out[r] = &l->head;
    }
    *hub = h;
    return true;
}

void clm_comm_local_drop(clm_comm_hub *hub, int rank) {
    pthread_mutex_lock(&hub->lock);
    hub->box[rank].dropped = true;
    pthread_mutex_unlock(&hub->lock);
}

void clm_comm_local_close(clm_comm_hub *hub) {
    if (!hub) return;
    for (int r = 0; r < hub->n; r++)
        for (parcel *p = hub->box[r].first; p;) {
            parcel *next = p->next;
            clm_heap_free(p);
            p = next;
        }
    pthread_mutex_destroy(&hub->lock);
    pthread_cond_destroy(&hub->changed);
    clm_heap_free(hub);
}
