#include "collimate/cluster/deal.h"
#include "collimate/plan/order.h"

enum {
    MOST = 64,
    PARTS = 64
}; /* a slot's run: so many tasks, or this part of its share where that is more */

bool clm_deal_reserve(clm_deal *d, int32_t n_workers, clm_err *err) {
    if (n_workers <= d->n_workers) return true;
    void *p = d->run;
    if (!clm_heap_grow(&p, (size_t)n_workers, sizeof *d->run, err)) return false;
    d->run = p;
    for (; d->n_workers < n_workers; d->n_workers++) d->run[d->n_workers] = (struct clm_deal_run){0};
    return true;
}

void clm_deal_close(clm_deal *d) {
    clm_heap_free(d->run);
    *d = (clm_deal){0};
}

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

void clm_deal_begin(clm_deal *d, const clm_stage *stage, int32_t slots) {
    bool grid = clm_order_fits(stage->shape, stage->n);
    d->shape[0] = grid ? stage->shape[0] : 1;
    d->shape[1] = grid ? stage->shape[1] : 1;
    d->shape[2] = grid ? stage->shape[2] : stage->n;
    d->n = stage->n;
    d->most = d->n / (slots > 0 ? slots : 1) / PARTS;
    if (d->most < MOST) d->most = MOST;
    d->front = d->least = 0;
    for (int32_t i = 0; i < d->n_workers; i++) d->run[i] = (struct clm_deal_run){0};
}

void clm_deal_share(clm_deal *d, int32_t worker, int32_t slots, int32_t slots_left) {
    int64_t all = d->n - d->front, share = (all + slots_left - 1) / slots_left;
    int64_t n = slots * lesser(share, d->most);
    struct clm_deal_run *r = &d->run[worker];
    *r = (struct clm_deal_run){d->front, d->front + lesser(n, all)};
    d->front = r->hi;
    if (d->least < n) d->least = n;
}

/* Looks in turn for a run of at least `least`, which halves when nobody has one: so those who look at all workers are
 * few, however many there are. */
static bool take_half(clm_deal *d, int32_t worker) {
    for (; d->least > 0; d->least /= 2)
        for (int32_t i = 0; i < d->n_workers; i++) {
            d->last = (d->last + 1) % d->n_workers;
            struct clm_deal_run *r = &d->run[d->last];
            int64_t left = r->hi - r->lo, cut = d->last % 2 ? r->hi - left / 2 : r->lo + left / 2;
            if (left < d->least) continue;
            d->run[worker] =
                d->last % 2 ? (struct clm_deal_run){r->lo, cut} : (struct clm_deal_run){cut, r->hi};
            *(d->last % 2 ? &r->lo : &r->hi) = cut;
            return true;
        }
    return false;
}

int64_t clm_deal_take(clm_deal *d, int32_t worker, int32_t slots, int32_t slots_left, const clm_bits *taken) {
    struct clm_deal_run *r = &d->run[worker];
    for (;;) {
        while (r->lo < r->hi) {
            int64_t index = clm_order_index(d->shape, worker % 2 ? --r->hi : r->lo++);
            if (!clm_bits_has(taken, index)) return index;
        }
        if (d->front < d->n)
            clm_deal_share(d, worker, slots, slots_left);
        else if (!take_half(d, worker))
            return -1;
    }
}
