#include "collimate/cluster/wire.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <math.h>
#include <string.h>

static uint64_t count;

static uint64_t bits(void) { return clm_rng_bits(11, 0, count++); }
static int64_t below(int64_t n) { return clm_rng_below(12, 0, count++, n); }

static void some_text(char *out, size_t most) {
    size_t n = (size_t)below((int64_t)most);
    for (size_t i = 0; i < n; i++) out[i] = (char)(1 + below(255));
    out[n] = 0;
}

static clm_err some_err(void) {
    clm_err e = CLM_ERR_NONE;
    e.code = (clm_code)below(CLM_CODE_COUNT);
    e.sys = (int)(int32_t)bits();
    some_text(e.where, sizeof e.where);
    some_text(e.text, sizeof e.text);
    return e;
}

static clm_task some_task(void) {
    return (clm_task){.stage = (int32_t)below(64), .attempt = (int32_t)below(9), .index = below(INT64_MAX)};
}

static clm_outcome some_outcome(void) {
    clm_outcome o = {.task = some_task(), .err = some_err(), .rank = (int32_t)bits()};
    o.seconds = (double)below(1000) / 7;
    o.peak_bytes = (double)below(1 << 30);
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) {
        double odd[] = {NAN, 0, -0.0, INFINITY, 1e-310, (double)(int64_t)bits()};
        o.figure[i] = odd[below(6)];
    }
    return o;
}

static clm_msg some_msg(clm_msg_kind kind) {
    clm_msg m = {.kind = kind};
    switch (kind) {
    case CLM_MSG_HELLO:
        m.slots = (int32_t)below(4096);
        m.host = (int32_t)below(INT32_MAX);
        break;
    case CLM_MSG_STAGE:
        m.stage = (int32_t)below(64);
        m.count = below(INT64_MAX);
        break;
    case CLM_MSG_TASK: m.task = some_task(); break;
    case CLM_MSG_OUTCOME: m.outcome = some_outcome(); break;
    case CLM_MSG_SYNC:
    case CLM_MSG_DRAINED: m.count = below(INT64_MAX); break;
    case CLM_MSG_SYNCED:
        m.count = below(INT64_MAX);
        m.seconds = (double)below(1000);
        m.err = some_err();
        break;
    case CLM_MSG_STOP: m.seconds = (double)below(1000); break;
    case CLM_MSG_FAULT: m.err = some_err(); break;
    case CLM_MSG_QUIT:
        m.err = some_err();
        m.count = below(INT64_MAX);
        break;
    default: break;
    }
    return m;
}

static void same_err(const clm_err *a, const clm_err *b) {
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->sys, b->sys);
    assert_string_equal(a->where, b->where);
    assert_string_equal(a->text, b->text);
}

static void same_task(const clm_task *a, const clm_task *b) {
    assert_int_equal(a->stage, b->stage);
    assert_int_equal(a->attempt, b->attempt);
    assert_true(a->index == b->index);
}

static void same_msg(const clm_msg *a, const clm_msg *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->slots, b->slots);
    assert_int_equal(a->host, b->host);
    assert_int_equal(a->stage, b->stage);
    assert_true(a->count == b->count);
    assert_true(a->seconds == b->seconds);
    same_task(&a->task, &b->task);
    same_err(&a->err, &b->err);
    same_task(&a->outcome.task, &b->outcome.task);
    same_err(&a->outcome.err, &b->outcome.err);
    assert_true(a->outcome.seconds == b->outcome.seconds && a->outcome.peak_bytes == b->outcome.peak_bytes);
    assert_int_equal(a->outcome.rank, b->outcome.rank);
    for (int i = 0; a->kind == CLM_MSG_OUTCOME && i < CLM_FIGURE_COUNT; i++) {
        bool nan = isnan(a->outcome.figure[i]);
        assert_true(nan ? isnan(b->outcome.figure[i]) : a->outcome.figure[i] == b->outcome.figure[i]);
        assert_int_equal(nan || signbit(a->outcome.figure[i]), nan || signbit(b->outcome.figure[i]));
    }
}

static void test_round_trip(void **state) {
    (void)state;
    unsigned char buf[CLM_MESSAGE_MAX];
    clm_err err = CLM_ERR_NONE;
    for (int i = 0; i < 4000; i++) {
        clm_msg m = some_msg((clm_msg_kind)(1 + i % (CLM_MSG_KIND_COUNT - 1))), back;
        size_t n = clm_wire_pack(&m, buf);
        assert_in_range(n, 1, CLM_MESSAGE_MAX);
        assert_ok(clm_wire_unpack(buf, n, &back, &err), err);
        same_msg(&m, &back);
    }
}

static void test_largest_outcome_fits(void **state) {
    (void)state;
    clm_msg m = {.kind = CLM_MSG_OUTCOME}, back;
    clm_err err = CLM_ERR_NONE;
    unsigned char buf[CLM_MESSAGE_MAX];
    memset(m.outcome.err.text, 'x', sizeof m.outcome.err.text - 1);
    memset(m.outcome.err.where, 'y', sizeof m.outcome.err.where - 1);
    size_t n = clm_wire_pack(&m, buf);
    assert_true(n < 1200);
    assert_ok(clm_wire_unpack(buf, n, &back, &err), err);
    same_msg(&m, &back);
}

/* the layout is a contract with journals on disk: written out by hand once */
static void test_layout_of_an_outcome(void **state) {
    (void)state;
    static const unsigned char want[] = {
        3,    0,    0,    0,    1, 0, 0,    0,    0x08, 7, 6, 5,
        4,    3,    2,    1,                                       /* stage, attempt, index        */
        8,    2,    0,    0,    0, 2, 0,    'a',  'b',  1, 0, 'c', /* code, sys, where, text       */
        0,    0,    0,    0,    0, 0, 0xf8, 0x3f, 0,    0, 0, 0,
        0,    0,    0,    0x40,                    /* seconds 1.5, peak 2          */
        0xff, 0xff, 0xff, 0xff, 2, 0, 0,    0,     /* rank -1, figure 1 only       */
        0,    0,    0,    0,    0, 0, 0xe0, 0xbf}; /* -0.5                         */
    clm_outcome o = {.task = {.stage = 3, .attempt = 1, .index = 0x0102030405060708}};
    o.err = (clm_err){.code = (clm_code)8, .sys = 2, .where = "ab", .text = "c"};
    o.seconds = 1.5;
    o.peak_bytes = 2;
    o.rank = -1;
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) o.figure[i] = NAN;
    o.figure[1] = -0.5;
    unsigned char buf[256];
    clm_writer w = {.to = buf, .cap = sizeof buf};
    clm_wire_put_outcome(&w, &o);
    assert_int_equal(w.n, sizeof want);
    assert_memory_equal(buf, want, sizeof want);
}

static void test_every_cut_is_refused(void **state) {
    (void)state;
    unsigned char buf[CLM_MESSAGE_MAX];
    clm_err err = CLM_ERR_NONE;
    for (int kind = 1; kind < CLM_MSG_KIND_COUNT; kind++) {
        clm_msg m = some_msg((clm_msg_kind)kind), back;
        size_t n = clm_wire_pack(&m, buf);
        for (size_t cut = 0; cut < n; cut++)
            assert_fails(CLM_E_FORMAT, clm_wire_unpack(buf, cut, &back, &err), err);
        buf[n] = 0;
        assert_fails(CLM_E_FORMAT, clm_wire_unpack(buf, n + 1, &back, &err), err);
        assert_int_equal(back.kind, 0);
    }
    clm_msg back;
    assert_fails(CLM_E_FORMAT, clm_wire_unpack(buf, CLM_MESSAGE_MAX + 1, &back, &err), err);
}

/* Damage: refused, or a message whose values are in range (a changed number cannot be told). */
static void test_damage_is_refused_or_harmless(void **state) {
    (void)state;
    unsigned char buf[CLM_MESSAGE_MAX];
    clm_err err = CLM_ERR_NONE;
    int refused = 0;
    for (int i = 0; i < 60000; i++) {
        clm_msg m = some_msg((clm_msg_kind)(1 + i % (CLM_MSG_KIND_COUNT - 1))), back;
        size_t n = clm_wire_pack(&m, buf);
        for (int64_t flips = 1 + below(3); flips > 0; flips--)
            buf[below((int64_t)n)] ^= (unsigned char)(1 << below(8));
        if (!clm_wire_unpack(buf, n, &back, &err)) {
            assert_int_equal(err.code, CLM_E_FORMAT);
            refused++;
            continue;
        }
        assert_in_range(back.kind, 1, CLM_MSG_KIND_COUNT - 1);
        assert_true(back.slots >= 0 && back.host >= 0 && back.stage >= 0 && back.count >= 0);
        assert_true(back.task.index >= 0 && back.outcome.task.stage >= 0);
        assert_true((unsigned)back.err.code < CLM_CODE_COUNT &&
                    (unsigned)back.outcome.err.code < CLM_CODE_COUNT);
        assert_true(memchr(back.err.text, 0, sizeof back.err.text) != NULL);
        assert_true(memchr(back.outcome.err.text, 0, sizeof back.outcome.err.text) != NULL);
    }
    assert_true(refused > 1000);
    for (int i = 0; i < 60000; i++) { /* noise behind a plausible head */
        clm_msg back;
        size_t n = (size_t)below(400);
        for (size_t k = 0; k < n; k++) buf[k] = (unsigned char)bits();
        clm_writer w = {.to = buf, .cap = 4};
        clm_put_uint(&w, CLM_WIRE_VERSION, 1);
        clm_put_uint(&w, (uint64_t)below(CLM_MSG_KIND_COUNT), 1);
        clm_put_uint(&w, n >= 4 ? n - 4 : 0, 2);
        if (!clm_wire_unpack(buf, n, &back, &err)) assert_int_equal(err.code, CLM_E_FORMAT);
    }
}

static void test_another_version_is_named(void **state) {
    (void)state;
    unsigned char buf[CLM_MESSAGE_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_msg m = {.kind = CLM_MSG_ALIVE}, back;
    size_t n = clm_wire_pack(&m, buf);
    buf[0] = CLM_WIRE_VERSION + 1;
    assert_fails(CLM_E_FORMAT, clm_wire_unpack(buf, n, &back, &err), err);
    assert_non_null(strstr(err.text, "version 2"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_largest_outcome_fits),
        cmocka_unit_test(test_layout_of_an_outcome),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_damage_is_refused_or_harmless),
        cmocka_unit_test(test_another_version_is_named),
    };
    return cmocka_run_group_tests_name("cluster.wire", tests, NULL, NULL);
}
