#include "collimate/base/arena.h"
#include "collimate/base/fault.h"
#include "collimate/base/heap.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define REDZONE 64
#define AHEAD ((size_t)16 << 20)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define REDZONE 0
#define AHEAD 0
#endif

#define ALIGN 64u
#define PAGE ((size_t)2 << 20) /* a large page */

struct clm_arena {
    unsigned char *base;
    size_t budget, used, peak, dark;
    size_t high, touched; /* most in use here since the last reset; its pages below this may be in memory */
    size_t recent;        /* what tasks of late took: most of the last, a quarter less of each one before */
    clm_arena *other;     /* of a pair, else NULL */
};

/* What is not taken is poisoned up to `dark`, which runs AHEAD of what was ever used: the shadow of a whole budget
 * would be hundreds of MiB to write, each time. */
static void darken(clm_arena *a) {
    size_t to = a->budget - a->used > AHEAD ? a->used + AHEAD : a->budget;
    if (to <= a->dark) return;
    POISON(a->base + a->dark, to - a->dark);
    a->dark = to;
}

bool clm_arena_open(size_t budget_bytes, clm_arena **out, clm_err *err) {
    clm_arena *a = clm_heap_new(1, sizeof *a, err);
    if (!a) return false;
    a->budget = (budget_bytes + 4095u) & ~(size_t)4095u;
    a->base =
        mmap(NULL, a->budget, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->base == MAP_FAILED) {
        clm_heap_free(a);
        return clm_fail_os(err, CLM_E_NOMEM, "arena of %zu bytes", budget_bytes);
    }
    (void)madvise(a->base, a->budget,
                  MADV_HUGEPAGE); /* fewer faults; where it is refused all works as before */
    darken(a);
    *out = a;
    return true;
}

bool clm_arena_open_pair(size_t budget_bytes, clm_arena **one, clm_arena **other, clm_err *err) {
    *one = *other = NULL;
    if (!clm_arena_open(budget_bytes, one, err)) return false;
    if (!clm_arena_open(budget_bytes, other, err)) {
        clm_arena_close(*one);
        *one = NULL;
        return false;
    }
    (*one)->other = *other;
    (*other)->other = *one;
    return true;
}

void clm_arena_close(clm_arena *a) {
    if (!a) return;
    UNPOISON(a->base, a->dark);
    munmap(a->base, a->budget);
    clm_heap_free(a);
}

void *clm_arena_take(clm_arena *a, int64_t n, size_t size, clm_err *err) {
    int64_t bytes;
    if (!clm_mul(n, (int64_t)size, &bytes, err)) return NULL;
    size_t in_use = a->used + (a->other ? a->other->used : 0);
    size_t round = ((size_t)bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (clm_fault("arena")) { /* as the system does it that has promised more than it has */
        clm_fail_os(err, CLM_E_NOMEM, "no memory for %lld bytes", (long long)bytes);
        return NULL;
    }
    if (round + REDZONE > a->budget - in_use) {
        clm_fail(err, CLM_E_BUDGET,
                 "block memory budget reached: %lld bytes asked, %zu of %zu in use; use smaller "
                 "blocks or raise memory.task_mib (--task-mib)",
                 (long long)bytes, in_use, a->budget);
        return NULL;
    }
    unsigned char *p = a->base + a->used;
    a->used += round + REDZONE;
    in_use += round + REDZONE;
    if (a->used > a->high) a->high = a->used;
    if (in_use > a->peak) a->peak = in_use;
    if (a->other && in_use > a->other->peak) a->other->peak = in_use;
    darken(a);
    UNPOISON(p, (size_t)bytes);
#ifdef CLM_DEBUG
    memset(p, 0xff, (size_t)bytes);
#endif
    return p;
}

void *clm_arena_take_zero(clm_arena *a, int64_t n, size_t size, clm_err *err) {
    void *p = clm_arena_take(a, n, size, err);
    if (p) memset(p, 0, (size_t)n * size);
    return p;
}

clm_mark clm_arena_mark(const clm_arena *a) { return (clm_mark){a->used}; }

void clm_arena_rewind(clm_arena *a, clm_mark m) {
    assert(m.used <= a->used); /* a mark of this arena, and not one rewound past before */
    POISON(a->base + m.used, a->used - m.used);
    a->used = m.used;
}

size_t clm_arena_peak(const clm_arena *a) { return a->peak; }

void clm_arena_reset(clm_arena *a, size_t keep_bytes) {
    clm_arena_rewind(a, (clm_mark){0});
    if (a->high > a->touched) a->touched = a->high;
    a->recent -= a->recent / 4;
    if (a->high > a->recent) a->recent = a->high;
    size_t keep = 2 * a->recent < a->touched ? a->recent : a->touched; /* pages fetched anew cost time */
    if (keep > keep_bytes) keep = keep_bytes;
    keep += (PAGE - ((uintptr_t)a->base + keep) % PAGE) % PAGE; /* one cut in two comes back in small pages */
    if (keep < a->touched) {
        (void)madvise(a->base + keep, a->budget - keep, MADV_DONTNEED);
        a->touched = keep;
    }
    a->peak = a->high = 0;
}
