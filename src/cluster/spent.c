#include "collimate/cluster/spent.h"

bool clm_spent_open(clm_spent *s, const clm_plan *plan, const clm_sched *sched,
                    void (*tell)(void *ctx, int stage, int64_t index), void *ctx, clm_err *err) {
    *s = (clm_spent){.plan = plan, .sched = sched, .tell = tell, .ctx = ctx};
    if (!tell) return true;
    s->durable = clm_heap_new((size_t)plan->n_stages, sizeof *s->durable, err);
    bool ok = s->durable != NULL;
    for (int k = 0; ok && k < plan->n_stages; k++)
        if (clm_sched_collector(sched, k)) ok = clm_bits_open(&s->durable[k], plan->stage[k].n, err);
    if (!ok) clm_spent_close(s);
    return ok;
}

void clm_spent_durable(clm_spent *s, const clm_outcome *o) {
    int k = o->task.stage;
    if (!s->durable || !s->durable[k].word || clm_bits_has(&s->durable[k], o->task.index)) return;
    clm_bits_set(&s->durable[k], o->task.index);
    const clm_collector *c = clm_sched_collector(s->sched, k);
    clm_span n = clm_collector_needs(c, o->task.index);
    const int64_t *shape = s->plan->stage[k - 1].shape;
    for (int64_t z = n.lo[0]; z < n.hi[0]; z++)
        for (int64_t y = n.lo[1]; y < n.hi[1]; y++)
            for (int64_t x = n.lo[2]; x < n.hi[2]; x++) {
                int64_t piece = (z * shape[1] + y) * shape[2] + x;
                if (clm_collector_spent(c, piece, &s->durable[k])) s->tell(s->ctx, k - 1, piece);
            }
}

void clm_spent_close(clm_spent *s) {
    for (int k = 0; s->durable && k < s->plan->n_stages; k++) clm_bits_close(&s->durable[k]);
    clm_heap_free(s->durable);
    s->durable = NULL;
}
