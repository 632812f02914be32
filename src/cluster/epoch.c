#include "collimate/cluster/epoch.h"
#include "collimate/cluster/side.h"

#include <math.h>

struct clm_epoch {
    clm_journal *journal;
    clm_side *side;
    clm_buf held, batch; /* batch: of the epoch under way, or of the last */
    int64_t number;
    double least_s, begun_s, next_s;
    bool busy;
};

bool clm_epoch_open(clm_journal *journal, double least_s, void (*wake)(void *), void *ctx, clm_epoch **out,
                    clm_err *err) {
    clm_epoch *e = *out = clm_heap_new(1, sizeof *e, err);
    if (!e) return false;
    e->journal = journal;
    e->least_s = least_s;
    if (clm_side_open(wake, ctx, &e->side, err)) return true;
    clm_epoch_close(e);
    *out = NULL;
    return false;
}

void clm_epoch_close(clm_epoch *e) {
    if (!e) return;
    clm_side_close(e->side);
    clm_buf_free(&e->held);
    clm_buf_free(&e->batch);
    clm_heap_free(e);
}

bool clm_epoch_hold(clm_epoch *e, const clm_outcome *o, clm_err *err) {
    return clm_journal_pack(&e->held, o, err);
}

bool clm_epoch_hold_stamp(clm_epoch *e, const clm_stamp *m, clm_err *err) {
    return clm_journal_pack_stamp(&e->held, m, err);
}

bool clm_epoch_due(const clm_epoch *e, double now_s, bool now) {
    return e->held.n && !e->busy && (now || now_s >= e->next_s);
}

int64_t clm_epoch_begin(clm_epoch *e, double now_s) {
    clm_buf spare = e->batch;
    e->batch = e->held;
    e->held = spare;
    e->held.n = 0;
    e->busy = true;
    e->begun_s = now_s;
    return ++e->number;
}

static bool append(void *arg, clm_err *err) {
    clm_epoch *e = arg;
    return clm_journal_append(e->journal, &e->batch, err);
}

bool clm_epoch_append(clm_epoch *e, double now_s, clm_err *err) {
    double took_s = now_s - e->begun_s;
    e->next_s = now_s + fmax(e->least_s, fmin(32 * took_s, 60));
    return clm_side_begin(e->side, append, e, err);
}

bool clm_epoch_ended(clm_epoch *e, bool *ok, clm_err *err) {
    double seconds;
    if (!clm_side_ended(e->side, ok, &seconds, err)) return false;
    e->busy = false;
    return true;
}

bool clm_epoch_empty(const clm_epoch *e) { return !e->busy && !e->held.n; }

typedef struct relay {
    void (*outcome)(void *ctx, const clm_outcome *o);
    void *ctx;
} relay;

static bool relay_outcome(void *ctx, const clm_outcome *o, clm_err *err) {
    (void)err;
    relay *r = ctx;
    r->outcome(r->ctx, o);
    return true;
}

void clm_epoch_replay(const clm_epoch *e, void (*outcome)(void *ctx, const clm_outcome *o), void *ctx) {
    relay r = {outcome, ctx};
    clm_journal_reader reader = {.outcome = relay_outcome, .ctx = &r};
    clm_journal_unpack(&e->batch, &reader);
}
