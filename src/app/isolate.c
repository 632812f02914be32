#include "isolate.h"

#include <string.h>

enum { STAGES = 256 };

/* A child's half: a run of its own, opened when its first task comes. */
typedef struct child {
    const clm_launch_body *body;
    clm_launched l;
    clm_work work;
    bool begun[STAGES];
} child;

static bool open_child(const void *ctx, const clm_buf *setup, void **state, clm_err *err) {
    int32_t share;
    memcpy(&share, setup->data, sizeof share);
    const clm_buf blob = {
        .data = setup->data + sizeof share, .n = setup->n - sizeof share, .cap = setup->n - sizeof share};
    child *c = clm_heap_new(1, sizeof *c, err);
    if (!c) return false;
    c->body = ctx;
    c->l.share = share;
    if (!c->body->open(&blob, &c->l, err))
        return false; /* nothing is given back: the next task tries again */
    *state = c;
    return clm_arena_open_pair((size_t)(c->l.task_mib * 1048576.0), &c->work.keep, &c->work.temp, err);
}

static bool run_in_child(void *state, const clm_task *task, clm_outcome *out, clm_err *err) {
    child *c = state;
    if (task->stage >= STAGES || !c->begun[task->stage]) {
        if (!c->body->stage_begin(c->l.run, task->stage, err)) return false;
        if (task->stage < STAGES) c->begun[task->stage] = true;
    }
    return c->body->task(c->l.run, &c->work, task, out, err);
}

bool clm_isolate_begin(const clm_launch_body *body, clm_server **out, clm_err *err) {
    *out = NULL;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)body;
    (void)err;
    (void)open_child;
    (void)run_in_child;
    return true;
#else
    const clm_child_ops ops = {.ctx = body, .open = open_child, .run = run_in_child};
    return clm_server_open(&ops, out, err);
#endif
}

bool clm_isolate_open(clm_server *server, const clm_launched *l, int slots, int rank, const clm_buf *shared,
                      clm_exec **out, clm_err *err) {
    int32_t share = slots;
    clm_buf setup = {0};
    if (!clm_buf_reserve(&setup, sizeof share + shared->n, err)) return false;
    memcpy(setup.data, &share, sizeof share);
    if (shared->n) memcpy(setup.data + sizeof share, shared->data, shared->n);
    setup.n = sizeof share + shared->n;
    const clm_children c = {
        .server = server,
        .setup = &setup,
        /* two tries within a lease; beside arenas and cache, what codecs and libraries take */
        .limits = {.task_s = 0.45 * l->lease_s,
                   .memory_bytes = (l->task_mib + l->cache_mib + 512.0) * 1048576.0}};
    bool ok = clm_exec_children(&c, slots, rank, out, err);
    clm_buf_free(&setup);
    return ok;
}
