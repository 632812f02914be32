#include "collimate/cluster/flight.h"
#include "collimate/base/heap.h"

enum { NONE = -1 };

static uint32_t hash_of(const clm_task *t) {
    uint64_t h = ((uint64_t)t->index * 31 + (uint64_t)t->stage + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

static bool same(const clm_task *a, const clm_task *b) {
    return a->index == b->index && a->stage == b->stage;
}

static void chain_in(clm_flight *f, int32_t i) {
    int32_t *b = &f->bucket[hash_of(&f->copy[i].task) & f->mask];
    f->copy[i].chain = *b;
    *b = i;
}

bool clm_flight_reserve(clm_flight *f, int32_t cap, clm_err *err) {
    if (cap <= f->cap) return true;
    if (cap < f->cap * 2) cap = f->cap * 2; /* joins come one by one: keep the growing linear */
    uint32_t buckets = 16;
    while (buckets < (uint32_t)cap) buckets *= 2;
    int32_t *bucket = clm_heap_new(buckets, sizeof *bucket, err);
    if (!bucket) return false;
    void *copy = f->copy;
    if (!clm_heap_grow(&copy, (size_t)cap, sizeof(clm_copy), err)) {
        clm_heap_free(bucket);
        return false;
    }
    if (!f->copy) f->free = f->first = f->last = NONE;
    f->copy = copy;
    for (int32_t i = f->cap; i < cap; i++) {
        f->copy[i] = (clm_copy){.worker = NONE, .chain = f->free};
        f->free = i;
    }
    f->cap = cap;
    clm_heap_free(f->bucket);
    f->bucket = bucket;
    f->mask = buckets - 1;
    for (uint32_t b = 0; b < buckets; b++) bucket[b] = NONE;
    for (int32_t i = 0; i < cap; i++)
        if (f->copy[i].worker != NONE) chain_in(f, i);
    return true;
}

void clm_flight_close(clm_flight *f) {
    clm_heap_free(f->copy);
    clm_heap_free(f->bucket);
    *f = (clm_flight){0};
}

void clm_flight_add(clm_flight *f, const clm_task *task, int worker, double deadline_s) {
    int32_t i = f->free;
    clm_copy *c = &f->copy[i];
    f->free = c->chain;
    *c = (clm_copy){
        .task = *task, .worker = worker, .deadline_s = deadline_s, .before = f->last, .after = NONE};
    if (f->last != NONE)
        f->copy[f->last].after = i;
    else
        f->first = i;
    f->last = i;
    f->n++;
    chain_in(f, i);
}

clm_copy *clm_flight_find(const clm_flight *f, const clm_task *task, int worker) {
    if (!f->cap) return NULL;
    for (int32_t i = f->bucket[hash_of(task) & f->mask]; i != NONE; i = f->copy[i].chain)
        if (same(&f->copy[i].task, task) && (worker == NONE || f->copy[i].worker == worker))
            return &f->copy[i];
    return NULL;
}

int clm_flight_copies(const clm_flight *f, const clm_task *task, int *n_late) {
    int n = 0, late = 0;
    for (int32_t i = f->cap ? f->bucket[hash_of(task) & f->mask] : NONE; i != NONE; i = f->copy[i].chain) {
        if (!same(&f->copy[i].task, task)) continue;
        n++;
        late += f->copy[i].late;
    }
    if (n_late) *n_late = late;
    return n;
}

static void unlist(clm_flight *f, clm_copy *c) {
    if (c->late) return;
    if (c->before != NONE)
        f->copy[c->before].after = c->after;
    else
        f->first = c->after;
    if (c->after != NONE)
        f->copy[c->after].before = c->before;
    else
        f->last = c->before;
}

void clm_flight_remove(clm_flight *f, clm_copy *c) {
    unlist(f, c);
    int32_t i = (int32_t)(c - f->copy);
    int32_t *link = &f->bucket[hash_of(&c->task) & f->mask];
    while (*link != i) link = &f->copy[*link].chain;
    *link = c->chain;
    *c = (clm_copy){.worker = NONE, .chain = f->free};
    f->free = i;
    f->n--;
}

clm_copy *clm_flight_expire(clm_flight *f, double now_s) {
    if (!f->cap || f->first == NONE) return NULL;
    clm_copy *c = &f->copy[f->first];
    if (c->deadline_s > now_s) return NULL;
    unlist(f, c);
    c->late = true;
    return c;
}
