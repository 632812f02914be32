#include "collimate/app/each.h"
#include "collimate/base/heap.h"
#include "collimate/cluster/comm.h"
#include "collimate/cluster/exec.h"

#include <string.h>

#define BATCH 256 /* blocks between two merges: their results are all that is kept */

typedef struct loop {
    const clm_each *e;
    clm_work *work; /* [threads] */
    char *results;  /* [BATCH][result_bytes] */
    int64_t first;  /* index of the batch's first block */
} loop;

int clm_each_threads(int asked) { return asked > 0 ? asked : clm_comm_cores(); }

static bool run_block(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    const loop *l = ctx;
    const clm_work *w = &l->work[slot];
    (void)out;
    bool ok = l->e->block(l->e->ctx, w, slot, task->index,
                          l->results + (size_t)(task->index - l->first) * l->e->result_bytes, err);
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    return ok;
}

/* one batch: all of it ends before anything is merged */
static bool run_batch(loop *l, clm_exec *x, int64_t n, clm_err *err) {
    int64_t ended = 0, submitted = 0, worst = -1;
    memset(l->results, 0, (size_t)n * l->e->result_bytes);
    for (; submitted < n; submitted++) {
        const clm_task t = {.index = l->first + submitted};
        if (!clm_exec_submit(x, &t, err)) break;
    }
    bool ok = submitted == n;
    while (ended < submitted) {
        clm_outcome o;
        if (!clm_exec_collect(x, &o)) {
            clm_exec_wait(x, 1.0);
            continue;
        }
        ended++;
        if (o.err.code == CLM_OK || (worst >= 0 && o.task.index > worst)) continue;
        worst = o.task.index;
        if (submitted == n) *err = o.err;
        ok = false;
    }
    for (int64_t i = 0; ok && l->e->merge && i < n; i++)
        ok = l->e->merge(l->e->ctx, l->first + i, l->results + (size_t)i * l->e->result_bytes, err);
    return ok;
}

bool clm_each_run(const clm_each *e, clm_err *err) {
    int threads = clm_each_threads(e->threads);
    size_t budget = e->budget_bytes ? e->budget_bytes : (size_t)512 << 20;
    loop l = {.e = e};
    clm_exec *x = NULL;
    l.work = clm_heap_new((size_t)threads, sizeof *l.work, err);
    bool ok = l.work && (l.results = clm_heap_new(BATCH, e->result_bytes + 1, err)) != NULL;
    for (int s = 0; ok && s < threads; s++)
        ok = clm_arena_open(budget, &l.work[s].keep, err) && clm_arena_open(budget, &l.work[s].temp, err);
    ok = ok && clm_exec_threads(threads, 0, run_block, &l, &x, err);
    for (; ok && l.first < e->n; l.first += BATCH)
        ok = run_batch(&l, x, e->n - l.first < BATCH ? e->n - l.first : BATCH, err);
    (void)clm_exec_close(x, 3600.0); /* nothing runs any more */
    for (int s = 0; l.work && s < threads; s++) {
        clm_arena_close(l.work[s].keep);
        clm_arena_close(l.work[s].temp);
    }
    clm_heap_free(l.work);
    clm_heap_free(l.results);
    return ok;
}
