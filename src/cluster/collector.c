#include "collimate/cluster/collector.h"
#include "collimate/plan/order.h"

struct clm_collector {
    const clm_plan *plan;
    int stage;
    const clm_bits *pieces;
    clm_bits *taken;
    int64_t *ready; /* ring of tasks found ready */
    int64_t cap, head, waiting;
    int64_t scan; /* tasks below were looked at; those ready later come through `ready` */
};

static void place_of(const int64_t shape[3], int64_t index, int64_t at[3]) {
    at[2] = index % shape[2];
    at[1] = index / shape[2] % shape[1];
    at[0] = index / shape[2] / shape[1];
}

static clm_span clip(clm_span s, const int64_t shape[3]) {
    for (int d = 0; d < 3; d++) {
        if (s.lo[d] < 0) s.lo[d] = 0;
        if (s.hi[d] > shape[d]) s.hi[d] = shape[d];
        if (s.hi[d] < s.lo[d]) s.hi[d] = s.lo[d];
    }
    return s;
}

/* are all bits of a span of a grid set? */
static bool span_all(const clm_bits *bits, const int64_t shape[3], clm_span s) {
    if (s.hi[2] == s.lo[2]) return true;
    for (int64_t z = s.lo[0]; z < s.hi[0]; z++)
        for (int64_t y = s.lo[1]; y < s.hi[1]; y++) {
            int64_t row = (z * shape[1] + y) * shape[2];
            if (!clm_bits_all(bits, row + s.lo[2], row + s.hi[2])) return false;
        }
    return true;
}

bool clm_collector_open(const clm_plan *plan, int stage, const clm_bits *pieces, clm_bits *taken,
                        clm_collector **out, clm_err *err) {
    *out = NULL;
    const clm_stage *s = &plan->stage[stage];
    if (stage < 1 || !s->needs || !s->feeds)
        return clm_fail(err, CLM_E_ARG, "stage %s follows another but does not say what it needs", s->name);
    if (!clm_order_fits(s->shape, s->n) || !clm_order_fits(s[-1].shape, s[-1].n))
        return clm_fail(err, CLM_E_ARG, "stage %s: the grid and the number of tasks disagree", s->name);
    clm_collector *c = clm_heap_new(1, sizeof *c, err);
    if (!c) return false;
    *c = (clm_collector){.plan = plan, .stage = stage, .pieces = pieces, .taken = taken};
    *out = c;
    return true;
}

void clm_collector_close(clm_collector *c) {
    if (!c) return;
    clm_heap_free(c->ready);
    clm_heap_free(c);
}

clm_span clm_collector_needs(const clm_collector *c, int64_t index) {
    const clm_stage *s = &c->plan->stage[c->stage];
    int64_t at[3];
    place_of(s->shape, index, at);
    return clip(s->needs(c->plan->ctx, c->stage, at), s[-1].shape);
}

static clm_span feeds(const clm_collector *c, int64_t piece) {
    const clm_stage *s = &c->plan->stage[c->stage];
    int64_t at[3];
    place_of(s[-1].shape, piece, at);
    return clip(s->feeds(c->plan->ctx, c->stage, at), s->shape);
}

static bool is_ready(const clm_collector *c, int64_t index) {
    return span_all(c->pieces, c->plan->stage[c->stage - 1].shape, clm_collector_needs(c, index));
}

static bool ring_grow(clm_collector *c) {
    clm_err err;
    int64_t cap = c->cap * 2 + 64;
    int64_t *p = clm_heap_new((size_t)cap, sizeof *p, &err);
    if (!p) return false;
    for (int64_t i = 0; i < c->waiting; i++) p[i] = c->ready[(c->head + i) % c->cap];
    clm_heap_free(c->ready);
    c->ready = p;
    c->cap = cap;
    c->head = 0;
    return true;
}

static void found(clm_collector *c, int64_t index) {
    if (c->waiting == c->cap && !ring_grow(c)) {
        if (index < c->scan) c->scan = index; /* no memory to remember it: the scan will find it again */
        return;
    }
    clm_bits_set(c->taken, index);
    c->ready[(c->head + c->waiting++) % c->cap] = index;
}

void clm_collector_piece(clm_collector *c, int64_t index) {
    const clm_stage *s = &c->plan->stage[c->stage];
    clm_span f = feeds(c, index);
    for (int64_t z = f.lo[0]; z < f.hi[0]; z++)
        for (int64_t y = f.lo[1]; y < f.hi[1]; y++)
            for (int64_t x = f.lo[2]; x < f.hi[2]; x++) {
                int64_t i = (z * s->shape[1] + y) * s->shape[2] + x;
                if (!clm_bits_has(c->taken, i) && is_ready(c, i)) found(c, i);
            }
}

bool clm_collector_take(clm_collector *c, int64_t scan, int64_t *index) {
    if (c->waiting) {
        *index = c->ready[c->head];
        c->head = (c->head + 1) % c->cap;
        c->waiting--;
        return true;
    }
    while (scan-- > 0) {
        int64_t i = clm_bits_next_clear(c->taken, c->scan);
        c->scan = i;
        if (i == c->taken->n) return false;
        c->scan++;
        if (!is_ready(c, i)) continue;
        clm_bits_set(c->taken, i);
        *index = i;
        return true;
    }
    return false;
}

int64_t clm_collector_waiting(const clm_collector *c) { return c->waiting; }

bool clm_collector_spent(const clm_collector *c, int64_t index, const clm_bits *followers) {
    return span_all(followers, c->plan->stage[c->stage].shape, feeds(c, index));
}
