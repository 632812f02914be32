#include "collimate/base/slab.h"
#include "collimate/base/fault.h"
#include "collimate/base/heap.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Slabs of UNITS units; a block is the first run of free units that is long enough, so that lengths that differ a
 * little share slabs. Small blocks, and those of half a slab and more, are the heap's. */

#define UNIT ((size_t)32 << 10)
#define UNITS 1024
#define SLAB (UNIT * UNITS)
#define PAGE ((size_t)2 << 20) /* a large page */
#define LEAST ((size_t)128 << 10)

#if defined(__SANITIZE_ADDRESS__)
#define MOST LEAST /* none: the heap's guards see more */
#else
#define MOST (SLAB / 2)
#endif

typedef struct slab {
    unsigned char *base;
    int used, hint; /* units; no free one is below the hint */
    bool taken[UNITS];
    struct slab *next;
} slab;

struct clm_slabs {
    pthread_mutex_t lock;
    slab *first;
};

static bool is_mine(size_t bytes) { return bytes >= LEAST && bytes < MOST; }

bool clm_slabs_open(clm_slabs **out, clm_err *err) {
    clm_slabs *s = clm_heap_new(1, sizeof *s, err);
    if (!s) return false;
    (void)pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return true;
}

static void drop(slab *b) {
    (void)munmap(b->base, SLAB);
    clm_heap_free(b);
}

void clm_slabs_close(clm_slabs *s) {
    if (!s) return;
    for (slab *b = s->first, *next; b; b = next) {
        next = b->next;
        drop(b);
    }
    (void)pthread_mutex_destroy(&s->lock);
    clm_heap_free(s);
}

/* SLAB bytes that begin with a large page */
static unsigned char *map(clm_err *err) {
    unsigned char *p =
        mmap(NULL, SLAB + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        clm_fail_os(err, CLM_E_NOMEM, "%zu bytes", SLAB);
        return NULL;
    }
    size_t before = (PAGE - (uintptr_t)p % PAGE) % PAGE;
    if (before) (void)munmap(p, before);
    (void)munmap(p + before + SLAB, PAGE - before);
    (void)madvise(p + before, SLAB, MADV_HUGEPAGE); /* refused: small pages serve, too */
    return p + before;
}

static void *take_from(slab *b, int n) {
    while (b->hint < UNITS && b->taken[b->hint]) b->hint++;
    for (int from = b->hint, at = from; at < UNITS; at++) {
        if (b->taken[at]) from = at + 1;
        if (at + 1 - from < n) continue;
        memset(b->taken + from, true, (size_t)n);
        b->used += n;
        return b->base + (size_t)from * UNIT;
    }
    return NULL;
}

void *clm_slab_take(clm_slabs *s, size_t bytes, clm_err *err) {
    void *p = NULL;
    if (!is_mine(bytes)) return clm_heap_grow(&p, bytes, 1, err) ? p : NULL;
    int n = (int)((bytes + UNIT - 1) / UNIT);
    (void)pthread_mutex_lock(&s->lock);
    for (slab *b = s->first; b && !p; b = b->next)
        if (UNITS - b->used >= n) p = take_from(b, n);
    if (!p) {
        slab *b = clm_heap_new(1, sizeof *b, err);
        if (b && !(b->base = map(err))) {
            clm_heap_free(b);
            b = NULL;
        }
        if (b) { /* behind the others: what they have free is taken first */
            slab **end = &s->first;
            while (*end) end = &(*end)->next;
            *end = b;
            p = take_from(b, n);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return p;
}

void clm_slab_give(clm_slabs *s, void *p, size_t bytes) {
    if (!p || !is_mine(bytes)) {
        clm_heap_free(p);
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    slab **at = &s->first;
    while (*at && ((unsigned char *)p < (*at)->base || (unsigned char *)p >= (*at)->base + SLAB))
        at = &(*at)->next;
    slab *b = *at;
    assert(b);
    int from = (int)((size_t)((unsigned char *)p - b->base) / UNIT), n = (int)((bytes + UNIT - 1) / UNIT);
    memset(b->taken + from, false, (size_t)n);
    b->used -= n;
    if (from < b->hint) b->hint = from;
    if (b->used == 0 && (b != s->first || b->next)) { /* the last one stays */
        *at = b->next;
        drop(b);
    }
    (void)pthread_mutex_unlock(&s->lock);
}
