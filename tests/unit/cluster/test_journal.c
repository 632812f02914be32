#include "collimate/cluster/journal.h"
#include "collimate/base/file.h"
#include "support/fault.h"
#include "support/temp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORDS = 7 };

static clm_stage stages[2] = {{.name = "spots", .n = 100}, {.name = "deform.1", .n = 1000}};
static const clm_plan plan = {.stage = stages, .n_stages = 2, .hash = 0xfeedfacecafebeef};

static clm_outcome outcome_of(int64_t i) {
    clm_outcome o = {.task = {.stage = (int32_t)(i & 1), .index = i}, .seconds = (double)i, .rank = 3};
    for (int k = 0; k < CLM_FIGURE_COUNT; k++) o.figure[k] = k < i ? (double)k : (double)NAN;
    if (i == 2) clm_fail(&o.err, CLM_E_NODATA, "%s", "3 spots, need 8");
    return o;
}

/* reading: the outcomes must come in order, from 0 on */
typedef struct seen {
    int64_t n, stamps;
} seen;

static bool see(void *ctx, const clm_outcome *o, clm_err *err) {
    seen *s = ctx;
    clm_outcome want = outcome_of(s->n);
    if (o->task.index != s->n || o->task.stage != want.task.stage || o->err.code != want.err.code ||
        strcmp(o->err.text, want.err.text) != 0 || o->seconds != want.seconds || o->rank != 3)
        return clm_fail(err, CLM_E_FORMAT, "record %lld is not what was written", (long long)s->n);
    s->n++;
    return true;
}

static bool see_stamp(void *ctx, const clm_stamp *stamp, clm_err *err) {
    seen *s = ctx;
    s->stamps++;
    if (stamp->kind == CLM_STAMP_LAUNCH && stamp->ranks == 4 && stamp->slots == 2 && stamp->unix_s == 17.5)
        return true;
    return clm_fail(err, CLM_E_FORMAT, "the stamp is not what was written");
}

static void pack(clm_buf *b, int64_t from, int64_t to) {
    clm_err err = CLM_ERR_NONE;
    for (int64_t i = from; i < to; i++) {
        clm_outcome o = outcome_of(i);
        assert_ok(clm_journal_pack(b, &o, &err), err);
    }
}

/* claimed and begun */
static bool take(const char *folder, const clm_plan *of, const clm_journal_reader *reader, clm_journal **out,
                 clm_journal_info *info, clm_err *err) {
    *info = (clm_journal_info){.plan_hash = of->hash};
    if (!clm_journal_claim(folder, out, err)) return false;
    if (clm_journal_begin(*out, of, reader, info, err)) return true;
    clm_journal_close(*out);
    *out = NULL;
    return false;
}

/* open, count, add [from, to), close; how many were there */
static int64_t add(const char *folder, int64_t from, int64_t to) {
    clm_err err = CLM_ERR_NONE;
    clm_journal *j;
    clm_journal_info info;
    seen s = {0};
    assert_ok(take(folder, &plan, &(clm_journal_reader){see, see_stamp, &s}, &j, &info, &err), err);
    assert_int_equal(info.outcomes, s.n);
    assert_true(info.locked);
    clm_buf b = {0};
    pack(&b, from < 0 ? s.n : from, to);
    if (b.n) assert_ok(clm_journal_append(j, &b, &err), err);
    clm_buf_free(&b);
    clm_journal_close(j);
    return s.n;
}

static void path_of(const char *folder, char path[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, CLM_JOURNAL_NAME, &err), err);
}

static void load(const char *folder, clm_buf *b) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    path_of(folder, path);
    assert_ok(clm_file_read(path, 1 << 20, b, &err), err);
}

static void store(const char *folder, const void *bytes, size_t n) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    path_of(folder, path);
    assert_ok(clm_file_publish(path, bytes, n, false, &err), err);
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    char base[CLM_PATH_MAX], folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_test_folder(base);
    assert_ok(clm_path_join(folder, base, "not/there/yet", &err), err);
    assert_int_equal(add(folder, 0, 3), 0);
    assert_int_equal(add(folder, 3, 5), 3);
    assert_int_equal(add(folder, 5, RECORDS), 5);
    clm_stage have[64];
    int n;
    clm_journal_info info;
    seen s = {0};
    assert_ok(clm_journal_read(folder, &(clm_journal_reader){see, see_stamp, &s}, have, &n, &info, &err),
              err);
    assert_int_equal(s.n, RECORDS);
    assert_int_equal(n, 2);
    assert_string_equal(have[1].name, "deform.1");
    assert_int_equal(have[1].n, 1000);
    assert_true(info.plan_hash == plan.hash);
    assert_int_equal(info.torn_bytes, 0);
    clm_test_folder_drop(base);
}

static void test_stamps(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal *j;
    clm_journal_info info;
    clm_buf b = {0};
    seen s = {0};
    clm_test_folder(folder);
    assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &j, &info, &err), err);
    clm_stamp stamp = {.kind = CLM_STAMP_LAUNCH, .unix_s = 17.5, .ranks = 4, .slots = 2};
    assert_ok(clm_journal_pack_stamp(&b, &stamp, &err), err);
    pack(&b, 0, 2);
    assert_ok(clm_journal_append(j, &b, &err), err);
    clm_journal_unpack(&b, &(clm_journal_reader){see, see_stamp, &s});
    assert_int_equal(s.n, 2);
    assert_int_equal(s.stamps, 1);
    clm_buf_free(&b);
    clm_journal_close(j);
    assert_int_equal(add(folder, 0, 0), 2);
    clm_test_folder_drop(folder);
}

/* A journal cut at any byte: whole records before the cut are kept, the rest goes, writing goes on. */
static void test_torn_at_every_byte(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_buf whole = {0}, again = {0};
    clm_test_folder(folder);
    add(folder, 0, 0);
    load(folder, &whole);
    size_t head = whole.n, end[RECORDS + 1] = {head};
    for (int64_t i = 0; i < RECORDS; i++) {
        add(folder, i, i + 1);
        load(folder, &whole);
        end[i + 1] = whole.n;
    }
    for (size_t cut = 0; cut <= whole.n; cut++) {
        int64_t keep = 0;
        while (keep < RECORDS && end[keep + 1] <= cut) keep++;
        store(folder, whole.data, cut);
        assert_int_equal(add(folder, -1, RECORDS), keep);
        load(folder, &again);
        assert_int_equal(again.n, whole.n);
        assert_memory_equal(again.data, whole.data, whole.n);
    }
    clm_buf_free(&whole);
    clm_buf_free(&again);
    clm_test_folder_drop(folder);
}

/* One flipped bit anywhere in the records: what comes before is kept, nothing false is believed. */
static void test_damage_at_every_byte(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf whole = {0};
    clm_test_folder(folder);
    add(folder, 0, 0);
    load(folder, &whole);
    size_t head = whole.n;
    add(folder, 0, RECORDS);
    load(folder, &whole);
    for (size_t at = 0; at < whole.n; at++) {
        whole.data[at] ^= (unsigned char)(1 << (at % 8));
        store(folder, whole.data, whole.n);
        whole.data[at] ^= (unsigned char)(1 << (at % 8));
        if (at >= head) {
            assert_true(add(folder, -1, RECORDS) < RECORDS);
            assert_int_equal(add(folder, 0, 0), RECORDS);
            continue;
        }
        clm_journal *j; /* a damaged header: refused, and the file left as it was */
        clm_journal_info info;
        assert_false(take(folder, &plan, &(clm_journal_reader){0}, &j, &info, &err));
        assert_null(j);
        clm_buf now = {0};
        load(folder, &now);
        assert_int_equal(now.n, whole.n);
        clm_buf_free(&now);
    }
    clm_buf_free(&whole);
    clm_test_folder_drop(folder);
}

/* what a power cut can leave of a file that was grown: zeros */
static void test_blank_tail_and_blank_file(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_buf whole = {0};
    clm_test_folder(folder);
    add(folder, 0, 3);
    load(folder, &whole);
    unsigned char grown[8192] = {0};
    assert_true(whole.n < sizeof grown);
    memcpy(grown, whole.data, whole.n);
    store(folder, grown, sizeof grown);
    assert_int_equal(add(folder, 3, 4), 3);
    memset(grown, 0, sizeof grown);
    store(folder, grown, 60);
    assert_int_equal(add(folder, 0, 2), 0);
    assert_int_equal(add(folder, 2, 3), 2);
    clm_buf_free(&whole);
    clm_test_folder_drop(folder);
}

static void test_another_plan_is_refused(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal *j;
    clm_journal_info info;
    clm_test_folder(folder);
    add(folder, 0, 3);
    clm_plan other = plan;
    other.hash++;
    assert_fails(CLM_E_ARG, take(folder, &other, &(clm_journal_reader){0}, &j, &info, &err), err);
    assert_non_null(strstr(err.text, folder));
    assert_non_null(strstr(err.text, "another plan"));
    clm_stage more[2] = {stages[0], stages[1]};
    more[1].n++;
    other = (clm_plan){.stage = more, .n_stages = 2, .hash = plan.hash};
    assert_fails(CLM_E_ARG, take(folder, &other, &(clm_journal_reader){0}, &j, &info, &err), err);
    store(folder, "#!/bin/sh\necho this is no journal but a long enough file to be one\n", 60);
    assert_fails(CLM_E_FORMAT, take(folder, &plan, &(clm_journal_reader){0}, &j, &info, &err), err);
    clm_test_folder_drop(folder);
}

static void test_two_runs_in_one_folder(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal *first, *second;
    clm_journal_info info;
    clm_test_folder(folder);
    assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &first, &info, &err), err);
    assert_fails(CLM_E_ARG, take(folder, &plan, &(clm_journal_reader){0}, &second, &info, &err), err);
    assert_non_null(strstr(err.text, "another run is at work"));
    assert_non_null(strstr(err.text, folder));
    pid_t child = fork(); /* another process is refused, too */
    if (child == 0) {
        bool open = take(folder, &plan, &(clm_journal_reader){0}, &second, &info, &err);
        _exit(open ? 1 : err.code == CLM_E_ARG ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    seen s = {0}; /* but reading is allowed */
    assert_ok(clm_journal_read(folder, &(clm_journal_reader){see, NULL, &s}, NULL, NULL, &info, &err), err);
    clm_journal_close(first);
    assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &second, &info, &err), err);
    clm_journal_close(second);
    clm_test_folder_drop(folder);
}

/* what is done is written down only where it was done */
static void test_a_folder_that_is_taken_away(void **state) {
    (void)state;
    for (int moved = 0; moved < 2; moved++) {
        char folder[CLM_PATH_MAX], other[CLM_PATH_MAX];
        clm_err err = CLM_ERR_NONE;
        clm_journal *j, *second;
        clm_journal_info info;
        clm_buf b = {0};
        clm_test_folder(folder);
        assert_ok(clm_path_format(other, &err, "%s.moved", folder), err);
        assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &j, &info, &err), err);
        assert_ok(clm_journal_pack_stamp(&b, &(clm_stamp){.kind = CLM_STAMP_EPOCH}, &err), err);
        assert_ok(clm_journal_append(j, &b, &err), err);
        if (moved)
            assert_int_equal(rename(folder, other), 0);
        else
            assert_ok(clm_folder_remove(folder, &err), err);
        assert_fails(CLM_E_WRITE, clm_journal_append(j, &b, &err), err);
        assert_non_null(strstr(err.text, folder));
        /* another run begins in its place */
        assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &second, &info, &err), err);
        assert_fails(CLM_E_WRITE, clm_journal_append(j, &b, &err), err);
        assert_ok(clm_journal_append(second, &b, &err), err);
        clm_journal_close(j);
        clm_journal_close(second);
        clm_buf_free(&b);
        if (moved) clm_test_folder_drop(other);
        clm_test_folder_drop(folder);
    }
}

static bool refuse(void *ctx, const clm_outcome *o, clm_err *err) {
    (void)o;
    int *n = ctx;
    return ++*n < 3 || clm_fail(err, CLM_E_FORMAT, "no such task");
}

static void test_the_reader_may_refuse(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal *j;
    clm_journal_info info;
    int n = 0;
    clm_test_folder(folder);
    add(folder, 0, RECORDS);
    assert_fails(CLM_E_FORMAT, take(folder, &plan, &(clm_journal_reader){refuse, NULL, &n}, &j, &info, &err),
                 err);
    assert_int_equal(n, 3);
    assert_int_equal(add(folder, 0, 0), RECORDS); /* nothing was cut */
    clm_test_folder_drop(folder);
}

/* longer than what is read at a time, so that records lie across the pieces */
static void test_a_long_journal(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal *j;
    clm_journal_info info;
    clm_buf b = {0};
    clm_test_folder(folder);
    assert_ok(take(folder, &plan, &(clm_journal_reader){0}, &j, &info, &err), err);
    pack(&b, 0, 20000);
    assert_ok(clm_journal_append(j, &b, &err), err);
    assert_true(b.n > 3 << 20);
    clm_journal_close(j);
    clm_buf_free(&b);
    assert_int_equal(add(folder, 0, 0), 20000);
    clm_test_folder_drop(folder);
}

static void test_no_journal(void **state) {
    (void)state;
    char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_journal_info info;
    clm_test_folder(folder);
    assert_fails(CLM_E_NOTFOUND, clm_journal_read(folder, &(clm_journal_reader){0}, NULL, NULL, &info, &err),
                 err);
    clm_test_folder_drop(folder);
}

#ifdef CLM_FAULTS
typedef struct attempt {
    char folder[CLM_PATH_MAX];
    int64_t kept;
} attempt;

static bool open_and_add(void *ctx, clm_err *err) {
    attempt *a = ctx;
    clm_journal *j;
    clm_journal_info info;
    seen s = {0};
    if (!take(a->folder, &plan, &(clm_journal_reader){see, see_stamp, &s}, &j, &info, err)) return false;
    if (s.n < a->kept) fail_msg("%lld records were lost", (long long)(a->kept - s.n));
    clm_buf b = {0};
    clm_outcome o = outcome_of(s.n);
    bool ok = clm_journal_pack(&b, &o, err) && clm_journal_append(j, &b, err);
    if (ok) a->kept = s.n + 1;
    clm_buf_free(&b);
    clm_journal_close(j);
    return ok;
}

/* whatever the system refuses: a clear error, and what was recorded stays */
static void test_faults(void **state) {
    (void)state;
    attempt a = {.kept = 0};
    clm_test_folder(a.folder);
    assert_true(clm_test_every_fault("write", "ENOSPC", CLM_E_WRITE, open_and_add, NULL, &a) >= 2);
    assert_true(clm_test_every_fault("fsync", "EIO", CLM_E_WRITE, open_and_add, NULL, &a) >= 1);
    assert_true(clm_test_every_fault("create", "EROFS", CLM_E_WRITE, open_and_add, NULL, &a) >= 1);
    assert_true(clm_test_every_fault("read", "EIO", CLM_E_IO, open_and_add, NULL, &a) >= 1);
    assert_true(clm_test_every_fault("heap", "ENOMEM", CLM_E_NOMEM, open_and_add, NULL, &a) >= 2);
    assert_int_equal(a.kept, 5);
    clm_test_folder_drop(a.folder);
}
#endif

int main(void) {
    if (access("/dev/shm", W_OK) == 0) assert_int_equal(setenv("TMPDIR", "/dev/shm", 1), 0); /* many fsyncs */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_damage_at_every_byte),
        cmocka_unit_test(test_blank_tail_and_blank_file),
        cmocka_unit_test(test_another_plan_is_refused),
        cmocka_unit_test(test_two_runs_in_one_folder),
        cmocka_unit_test(test_a_folder_that_is_taken_away),
        cmocka_unit_test(test_the_reader_may_refuse),
        cmocka_unit_test(test_a_long_journal),
        cmocka_unit_test(test_no_journal),
#ifdef CLM_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests_name("cluster.journal", tests, NULL, NULL);
}
