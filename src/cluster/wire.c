#include "collimate/cluster/wire.h"

#include <math.h>

static void put_err(clm_writer *w, const clm_err *e) {
    clm_put_uint(w, (uint64_t)e->code, 1);
    clm_put_i32(w, e->sys);
    clm_put_text(w, e->where);
    clm_put_text(w, e->text);
}

static void get_err(clm_reader *r, clm_err *e) {
    uint64_t code = clm_get_uint(r, 1);
    if (code >= CLM_CODE_COUNT) r->bad = true;
    e->code = r->bad ? CLM_OK : (clm_code)code;
    e->sys = clm_get_i32(r);
    clm_get_text(r, e->where, sizeof e->where);
    clm_get_text(r, e->text, sizeof e->text);
}

static void put_task(clm_writer *w, const clm_task *t) {
    clm_put_i32(w, t->stage);
    clm_put_i32(w, t->attempt);
    clm_put_i64(w, t->index);
}

static void get_task(clm_reader *r, clm_task *t) {
    t->stage = clm_get_i32(r);
    t->attempt = clm_get_i32(r);
    t->index = clm_get_i64(r);
    if (t->stage < 0 || t->attempt < 0 || t->index < 0) r->bad = true;
}

void clm_wire_put_outcome(clm_writer *w, const clm_outcome *o) {
    put_task(w, &o->task);
    put_err(w, &o->err);
    clm_put_f64(w, o->seconds);
    clm_put_f64(w, o->peak_bytes);
    clm_put_i32(w, o->rank);
    uint32_t there = 0;
    for (int i = 0; i < CLM_FIGURE_COUNT; i++)
        if (!isnan(o->figure[i])) there |= UINT32_C(1) << i;
    clm_put_uint(w, there, 4);
    for (int i = 0; i < CLM_FIGURE_COUNT; i++)
        if (there >> i & 1) clm_put_f64(w, o->figure[i]);
}

void clm_wire_get_outcome(clm_reader *r, clm_outcome *o) {
    *o = (clm_outcome){0};
    get_task(r, &o->task);
    get_err(r, &o->err);
    o->seconds = clm_get_f64(r);
    o->peak_bytes = clm_get_f64(r);
    o->rank = clm_get_i32(r);
    uint64_t there = clm_get_uint(r, 4);
    if (there >> CLM_FIGURE_COUNT) r->bad = true;
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) o->figure[i] = there >> i & 1 ? clm_get_f64(r) : NAN;
}

/* Which fields a kind carries: one table for both directions, so that they cannot differ. */
enum { SLOTS = 1, HOST = 2, STAGE = 4, COUNT = 8, SECONDS = 16, TASK = 32, ERR = 64, OUTCOME = 128 };
static const unsigned char fields_of[CLM_MSG_KIND_COUNT] = {
    [CLM_MSG_HELLO] = SLOTS | HOST,
    [CLM_MSG_STAGE] = STAGE | COUNT,
    [CLM_MSG_TASK] = TASK,
    [CLM_MSG_OUTCOME] = OUTCOME,
    [CLM_MSG_SYNC] = COUNT,
    [CLM_MSG_SYNCED] = COUNT | SECONDS | ERR,
    [CLM_MSG_ALIVE] = 0,
    [CLM_MSG_STOP] = SECONDS,
    [CLM_MSG_DRAINED] = COUNT,
    [CLM_MSG_FAULT] = ERR,
    [CLM_MSG_QUIT] = ERR | COUNT,
};

/* version, kind, length of the rest */
enum { HEAD_BYTES = 1 + 1 + 2 };

size_t clm_wire_pack(const clm_msg *m, unsigned char buf[CLM_MESSAGE_MAX]) {
    clm_writer w = {.to = buf, .n = HEAD_BYTES, .cap = CLM_MESSAGE_MAX};
    unsigned has = fields_of[m->kind];
    if (has & SLOTS) clm_put_i32(&w, m->slots);
    if (has & HOST) clm_put_i32(&w, m->host);
    if (has & STAGE) clm_put_i32(&w, m->stage);
    if (has & COUNT) clm_put_i64(&w, m->count);
    if (has & SECONDS) clm_put_f64(&w, m->seconds);
    if (has & TASK) put_task(&w, &m->task);
    if (has & ERR) put_err(&w, &m->err);
    if (has & OUTCOME) clm_wire_put_outcome(&w, &m->outcome);
    clm_writer head = {.to = buf, .cap = HEAD_BYTES};
    clm_put_uint(&head, CLM_WIRE_VERSION, 1);
    clm_put_uint(&head, (uint64_t)m->kind, 1);
    clm_put_uint(&head, w.n - HEAD_BYTES, 2);
    return w.n;
}

static bool unpack_head(clm_reader *r, clm_msg_kind *kind, clm_err *err) {
    uint64_t version = clm_get_uint(r, 1), k = clm_get_uint(r, 1), length = clm_get_uint(r, 2);
    if (r->bad) return clm_fail(err, CLM_E_FORMAT, "message of %zu bytes is too short", r->n);
    if (version != CLM_WIRE_VERSION)
        return clm_fail(err, CLM_E_FORMAT,
                        "message of version %d, this is version %d: are all ranks the same build?",
                        (int)version, CLM_WIRE_VERSION);
    if (k == 0 || k >= CLM_MSG_KIND_COUNT)
        return clm_fail(err, CLM_E_FORMAT, "message of unknown kind %d", (int)k);
    if (length != r->n - r->at)
        return clm_fail(err, CLM_E_FORMAT, "message says %d bytes, has %zu", (int)length, r->n - r->at);
    *kind = (clm_msg_kind)k;
    return true;
}

bool clm_wire_unpack(const unsigned char *bytes, size_t n, clm_msg *m, clm_err *err) {
    *m = (clm_msg){0};
    if (n > CLM_MESSAGE_MAX) return clm_fail(err, CLM_E_FORMAT, "message of %zu bytes is too long", n);
    clm_reader r = {.from = bytes, .n = n};
    clm_msg_kind kind = CLM_MSG_ALIVE;
    if (!unpack_head(&r, &kind, err)) return false;
    unsigned has = fields_of[kind];
    m->kind = kind;
    if (has & SLOTS) m->slots = clm_get_i32(&r);
    if (has & HOST) m->host = clm_get_i32(&r);
    if (has & STAGE) m->stage = clm_get_i32(&r);
    if (has & COUNT) m->count = clm_get_i64(&r);
    if (has & SECONDS) m->seconds = clm_get_f64(&r);
    if (has & TASK) get_task(&r, &m->task);
    if (has & ERR) get_err(&r, &m->err);
    if (has & OUTCOME) clm_wire_get_outcome(&r, &m->outcome);
    if (m->slots < 0 || m->host < 0 || m->stage < 0 || m->count < 0) r.bad = true;
    if (!r.bad && r.at == r.n) return true;
    *m = (clm_msg){0};
    return clm_fail(err, CLM_E_FORMAT, "message of kind %d is damaged", (int)kind);
}
