#include "collimate/cluster/comm.h"
#include "collimate/base/clock.h"
#include "collimate/cluster/wire.h"

#include <sched.h>
#include <unistd.h>

bool clm_comm_send(clm_comm *c, int peer, const void *bytes, size_t n, clm_err *err) {
    if (peer < 0 || peer >= c->size || peer == c->rank || n > CLM_MESSAGE_MAX)
        return clm_fail(err, CLM_E_ARG, "message of %zu bytes from rank %d to rank %d of %d", n, c->rank,
                        peer, c->size);
    return c->ops->send(c, peer, bytes, n, err);
}

bool clm_comm_recv(clm_comm *c, double timeout_s, int *peer, void *buf, size_t cap, size_t *n, bool *got,
                   clm_err *err) {
    *got = false;
    double until_s = timeout_s > 0 ? clm_clock_s() + timeout_s : 0;
    for (long nap_us = 1;; nap_us = nap_us < 500 ? nap_us * 2 : 1000) {
        if (c->size > 1 && !c->ops->poll(c, peer, buf, cap, n, got, err)) return false;
        if (*got || timeout_s <= 0 || clm_clock_s() >= until_s) return true;
        clm_nap_us(nap_us);
    }
}

bool clm_comm_any(clm_comm *c, bool mine, bool *any, clm_err *err) {
    *any = mine;
    return c->size == 1 || c->ops->any(c, mine, any, err);
}

bool clm_comm_share(clm_comm *c, clm_buf *blob, clm_err *err) {
    return c->size == 1 || c->ops->share(c, blob, err);
}

bool clm_comm_flush(clm_comm *c, double timeout_s, clm_err *err) {
    return c->size == 1 || c->ops->flush(c, timeout_s, err);
}

void clm_comm_close(clm_comm *c, bool clean) {
    if (c) c->ops->close(c, clean);
}

int clm_comm_cores(void) {
    cpu_set_t mask[64]; /* 65 536 of them: with room for fewer than the system has, it does not answer */
    return sched_getaffinity(0, sizeof mask, mask) == 0 ? CPU_COUNT_S(sizeof mask, mask) : 1;
}

int clm_comm_slots(const clm_comm *c) {
    int mine = clm_comm_cores();
    if (mine >= sysconf(_SC_NPROCESSORS_ONLN))
        mine /= c->host_size; /* not bound: the ranks of the host share all */
    return mine > 1 ? mine : 1;
}
