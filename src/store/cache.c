#include "collimate/store/format.h"

#include <pthread.h>
#include <stdatomic.h>

/* A hash table of entries, each on one of two lists: the LRU list when nobody holds it, none while it is
 * held or being filled. One lock; decoding happens outside it. What a thread takes while it fills another entry
 * is in that one from then on: it goes first. */

static _Thread_local int filling; /* entries that this thread is at */

typedef struct entry {
    clm_cached chunk; /* first: clm_cache_give gets its address back */
    uint64_t array, index;
    int held;
    bool filling, forgotten;
    struct entry *next;          /* in the bucket */
    struct entry *older, *newer; /* in the LRU list */
} entry;

struct clm_cache {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    entry **bucket;
    size_t buckets, entries;
    entry lru; /* ring head: newer = oldest entry, older = newest */
    size_t budget;
    clm_slabs *room; /* of the chunks' data */
    clm_cache_figures figures;
};

#define ENTRY_COST (sizeof(entry) + 32) /* absent chunks cost something, too */

uint64_t clm_cache_id(void) {
    static atomic_uint_fast64_t next = 1;
    return atomic_fetch_add(&next, 1u);
}

bool clm_cache_open(size_t budget_bytes, clm_cache **out, clm_err *err) {
    clm_cache *c = clm_heap_new(1, sizeof *c, err);
    if (!c) return false;
    c->buckets = 4096;
    c->bucket = clm_heap_new(c->buckets, sizeof *c->bucket, err);
    if (!c->bucket || !clm_slabs_open(&c->room, err)) {
        clm_heap_free(c->bucket);
        clm_heap_free(c);
        return false;
    }
    c->budget = budget_bytes;
    c->lru.newer = c->lru.older = &c->lru;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->filled, NULL);
    *out = c;
    return true;
}

void clm_cache_keep(clm_cache *c, size_t budget_bytes) { c->budget = budget_bytes; }

static size_t slot_of(const clm_cache *c, uint64_t array, uint64_t index) {
    uint64_t h = (array * 0x9e3779b97f4a7c15u) ^ (index * 0xbf58476d1ce4e5b9u);
    return (size_t)((h ^ h >> 29) & (c->buckets - 1));
}

static void unlink_lru(entry *e) {
    e->older->newer = e->newer;
    e->newer->older = e->older;
}

static void push_newest(clm_cache *c, entry *e) {
    e->older = c->lru.older;
    e->newer = &c->lru;
    e->older->newer = e;
    c->lru.older = e;
}

static void push_oldest(clm_cache *c, entry *e) {
    e->newer = c->lru.newer;
    e->older = &c->lru;
    e->newer->older = e;
    c->lru.newer = e;
}

static void free_entry(clm_cache *c, entry *e) {
    c->figures.bytes -= e->chunk.bytes + ENTRY_COST;
    clm_slab_give(c->room, e->chunk.data, e->chunk.bytes);
    clm_heap_free(e);
}

static void unhash(clm_cache *c, entry *e) {
    entry **p = &c->bucket[slot_of(c, e->array, e->index)];
    while (*p != e) p = &(*p)->next;
    *p = e->next;
    c->entries--;
}

static void evict(clm_cache *c) {
    while (c->figures.bytes > c->budget && c->lru.newer != &c->lru) {
        entry *oldest = c->lru.newer;
        unlink_lru(oldest);
        unhash(c, oldest);
        free_entry(c, oldest);
        c->figures.evictions++;
    }
}

void clm_cache_close(clm_cache *c) {
    if (!c) return;
    for (size_t i = 0; i < c->buckets; i++)
        for (entry *e = c->bucket[i], *next; e; e = next) {
            next = e->next;
            free_entry(c, e);
        }
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->filled);
    clm_slabs_close(c->room);
    clm_heap_free(c->bucket);
    clm_heap_free(c);
}

static entry *find(clm_cache *c, uint64_t array, uint64_t index) {
    entry *e = c->bucket[slot_of(c, array, index)];
    while (e && !(e->array == array && e->index == index)) e = e->next;
    return e;
}

/* Chains stay short however many small or absent chunks the budget holds; without memory they get longer. */
static void widen(clm_cache *c) {
    clm_err ignored = CLM_ERR_NONE;
    size_t old_n = c->buckets;
    entry **old = c->bucket, **wide = clm_heap_new(old_n * 4, sizeof *wide, &ignored);
    if (!wide) return;
    c->bucket = wide;
    c->buckets = old_n * 4;
    for (size_t i = 0; i < old_n; i++)
        for (entry *e = old[i], *next; e; e = next) {
            entry **head = &wide[slot_of(c, e->array, e->index)];
            next = e->next;
            e->next = *head;
            *head = e;
        }
    clm_heap_free(old);
}

/* With the lock held: a new entry marked as being filled by the caller. */
static entry *claim(clm_cache *c, uint64_t array, uint64_t index, clm_err *err) {
    entry *e = clm_heap_new(1, sizeof *e, err);
    if (!e) return NULL;
    e->array = array;
    e->index = index;
    e->filling = true;
    e->held = 1;
    if (c->entries > c->buckets) widen(c);
    entry **head = &c->bucket[slot_of(c, array, index)];
    e->next = *head;
    *head = e;
    c->entries++;
    c->figures.misses++;
    c->figures.bytes += ENTRY_COST;
    return e;
}

bool clm_cache_take(clm_cache *c, uint64_t array, uint64_t index, clm_cache_fill fill, void *ctx,
                    const clm_cached **out, clm_err *err) {
    (void)pthread_mutex_lock(&c->lock);
    entry *e;
    while ((e = find(c, array, index)) && e->filling) (void)pthread_cond_wait(&c->filled, &c->lock);
    if (e) {
        if (e->held++ == 0) unlink_lru(e);
        c->figures.hits++;
        (void)pthread_mutex_unlock(&c->lock);
        *out = &e->chunk;
        return true;
    }
    e = claim(c, array, index, err);
    (void)pthread_mutex_unlock(&c->lock);
    if (!e) return false;
    clm_cached made = {0};
    filling++;
    bool ok = fill(ctx, c->room, &made, err);
    filling--;
    (void)pthread_mutex_lock(&c->lock);
    e->filling = false;
    if (ok) {
        e->chunk = made;
        c->figures.bytes += made.bytes;
        if (c->figures.bytes > c->figures.peak_bytes) c->figures.peak_bytes = c->figures.bytes;
        evict(c);
    } else { /* whoever waits tries for itself */
        unhash(c, e);
        free_entry(c, e);
    }
    (void)pthread_cond_broadcast(&c->filled);
    (void)pthread_mutex_unlock(&c->lock);
    if (ok) *out = &e->chunk;
    return ok;
}

void clm_cache_give(clm_cache *c, const clm_cached *held) {
    entry *e = (entry *)(uintptr_t)held;
    (void)pthread_mutex_lock(&c->lock);
    if (--e->held == 0) {
        if (e->forgotten) {
            free_entry(c, e);
        } else {
            (filling ? push_oldest : push_newest)(c, e);
            evict(c);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

bool clm_cache_holds(clm_cache *c, uint64_t array, uint64_t index) {
    (void)pthread_mutex_lock(&c->lock);
    bool holds = find(c, array, index) != NULL;
    (void)pthread_mutex_unlock(&c->lock);
    return holds;
}

void clm_cache_forget(clm_cache *c, uint64_t array, uint64_t index) {
    (void)pthread_mutex_lock(&c->lock);
    entry *e;
    while ((e = find(c, array, index)) && e->filling) (void)pthread_cond_wait(&c->filled, &c->lock);
    if (e) {
        unhash(c, e);
        if (e->held == 0) {
            unlink_lru(e);
            free_entry(c, e);
        } else {
            e->forgotten = true;
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

clm_cache_figures clm_cache_figures_of(clm_cache *c) {
    (void)pthread_mutex_lock(&c->lock);
    clm_cache_figures f = c->figures;
    (void)pthread_mutex_unlock(&c->lock);
    return f;
}
