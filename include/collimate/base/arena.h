/* Budgeted bump memory for one task. Algorithms take and rewind; they never free.
 * One thread at a time. Reaching the budget is CLM_E_BUDGET, not an out-of-memory kill. */
#ifndef CLM_BASE_ARENA_H
#define CLM_BASE_ARENA_H

#include "collimate/base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct clm_arena clm_arena;
typedef struct clm_mark {
    size_t used;
} clm_mark;

/** Reserve `budget_bytes` of address space; pages are touched only when taken. */
CLM_MUST bool clm_arena_open(size_t budget_bytes, clm_arena **out, clm_err *err);
/** Two that share one budget: what one holds the other lacks. One thread uses both. On failure both are NULL. */
CLM_MUST bool clm_arena_open_pair(size_t budget_bytes, clm_arena **one, clm_arena **other, clm_err *err);
void clm_arena_close(clm_arena *a); /* NULL is fine */

/** n items of `size` bytes, 64-byte aligned, contents undefined (0xff in debug builds). */
CLM_MUST void *clm_arena_take(clm_arena *a, int64_t n, size_t size, clm_err *err);
CLM_MUST void *clm_arena_take_zero(clm_arena *a, int64_t n, size_t size, clm_err *err);
clm_mark clm_arena_mark(const clm_arena *a);
/** Everything taken since the mark is given back. */
void clm_arena_rewind(clm_arena *a, clm_mark m);
/** Most bytes in use since open or the last clm_arena_reset; of a pair, in both together. */
size_t clm_arena_peak(const clm_arena *a);
/** Rewind to empty, forget the peak, and return large pages above `keep_bytes` to the system; when tasks of
 *  late used less than half of what is held, all that they did not: tasks that take turns have their memory, those of the past
 *  hold none. What a task used counts a quarter less with each reset. */
void clm_arena_reset(clm_arena *a, size_t keep_bytes);

/** Typed take: `float *p = clm_take(a, float, n, err); if (!p) return false;` */
#define clm_take(a, T, n, err) ((T *)clm_arena_take((a), (n), sizeof(T), (err)))
#define clm_take_zero(a, T, n, err) ((T *)clm_arena_take_zero((a), (n), sizeof(T), (err)))

#endif
