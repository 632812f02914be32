#include "collimate/base/file.h"
#include "support/fault.h"
#include "support/near.h"
#include "support/folder.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* a path below the test's folder, in one of a few static buffers */
static const char *at(const char *name) {
    static char path[4][CLM_PATH_MAX];
    static int next;
    clm_err err = CLM_ERR_NONE;
    char *p = path[next++ % 4];
    assert_ok(clm_path_join(p, folder, name, &err), err);
    return p;
}

static void publish(const char *name, const char *text) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_file_publish(at(name), text, strlen(text), false, &err), err);
}

static void assert_holds(const char *name, const char *text) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    assert_ok(clm_file_read(at(name), 1 << 20, &b, &err), err);
    assert_int_equal(b.n, strlen(text));
    assert_string_equal((const char *)b.data, text); /* the spare zero byte */
    clm_buf_free(&b);
}

static int64_t count_in(const char *name) {
    clm_err err = CLM_ERR_NONE;
    clm_names names;
    assert_ok(clm_folder_list(at(name), &names, &err), err);
    int64_t n = names.n;
    clm_names_free(&names);
    return n;
}

static void what_is_published_is_read(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    publish("a", "first");
    assert_holds("a", "first");
    publish("a", "second, longer");
    assert_holds("a", "second, longer");
    publish("a", "");
    assert_holds("a", "");
    publish("x/y/z/deep", "parents are made");
    assert_holds("x/y/z/deep", "parents are made");
    assert_ok(clm_file_publish(at("x/durable"), "d", 1, true, &err), err);
    assert_holds("x/durable", "d");
    assert_ok(clm_file_sync_tree(folder, &err), err);
    assert_int_equal(count_in("."), 2); /* nothing else is left behind */
    assert_int_equal(clm_path_kind_of(at("a")), CLM_PATH_FILE);
    assert_int_equal(clm_path_kind_of(at("x")), CLM_PATH_FOLDER);
    assert_int_equal(clm_path_kind_of(at("none/at/all")), CLM_PATH_NONE);
    assert_int_equal(clm_path_kind_of("/dev/null"), CLM_PATH_OTHER);
}

/* One thread publishes two texts in turn, others read: each sees the one or the other, whole. */
static atomic_bool writing;
static char big[2][60000];

static void *read_all_the_time(void *unused) {
    (void)unused;
    clm_buf b = {0};
    intptr_t torn = 0;
    while (atomic_load(&writing)) {
        clm_err err = CLM_ERR_NONE;
        if (!clm_file_read(at("shared"), 1 << 20, &b, &err))
            torn++;
        else if (b.n != sizeof big[0])
            torn++;
        else if (memcmp(b.data, big[0], b.n) != 0 && memcmp(b.data, big[1], b.n) != 0)
            torn++;
    }
    clm_buf_free(&b);
    return (void *)torn;
}

static void a_reader_sees_the_old_file_or_the_new_one(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    memset(big[0], 'a', sizeof big[0]);
    memset(big[1], 'b', sizeof big[1]);
    assert_ok(clm_file_publish(at("shared"), big[0], sizeof big[0], false, &err), err);
    atomic_store(&writing, true);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all_the_time, NULL), 0);
    char path[CLM_PATH_MAX];
    assert_ok(clm_path_join(path, folder, "shared", &err), err);
    bool ok = true;
    for (int i = 0; i < 300; i++) ok = ok && clm_file_publish(path, big[i % 2], sizeof big[0], false, &err);
    atomic_store(&writing, false);
    void *torn = NULL;
    assert_int_equal(pthread_join(reader, &torn), 0);
    assert_ok(ok, err);
    assert_null(torn);
}

static void a_killed_run_s_leftover_is_no_obstacle(void **state) {
    (void)state;
    /* the names this process will choose next are all taken */
    for (int i = 0; i < 700; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, ".k.tmp.%ld.%d", (long)getpid(), i);
        FILE *f = fopen(at(name), "w");
        assert_non_null(f);
        (void)fclose(f);
    }
    publish("k", "there");
    assert_holds("k", "there");
}

static void refusals_name_the_file_and_leave_nothing(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    publish("plain", "p");
    assert_ok(clm_folder_make(at("dir/sub"), &err), err);
    assert_fails(CLM_E_WRITE, clm_file_publish(at("plain/below"), "x", 1, false, &err), err);
    assert_non_null(strstr(err.text, "plain"));
    assert_fails(CLM_E_WRITE, clm_file_publish(at("dir"), "x", 1, false, &err), err);
    assert_int_equal(err.sys, EISDIR);
    assert_fails(CLM_E_WRITE, clm_folder_make(at("plain"), &err), err);
    assert_fails(CLM_E_WRITE, clm_folder_make(at("plain/sub"), &err), err);
    assert_int_equal(count_in("."), 2);
    assert_int_equal(count_in("dir"), 1);
    assert_holds("plain", "p");
}

static void reading_has_its_limits(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    publish("ten", "0123456789");
    assert_ok(clm_file_read(at("ten"), 10, &b, &err), err);
    assert_fails(CLM_E_FORMAT, clm_file_read(at("ten"), 9, &b, &err), err);
    assert_fails(CLM_E_NOTFOUND, clm_file_read(at("none"), 9, &b, &err), err);
    assert_non_null(strstr(err.text, "none"));
    assert_fails(CLM_E_NOTFOUND, clm_file_read(at("ten/none"), 9, &b, &err), err);
    assert_fails(CLM_E_FORMAT, clm_file_read(folder, 9, &b, &err), err);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    assert_fails(CLM_E_FORMAT, clm_file_read(at("pipe"), 9, &b, &err), err); /* and does not wait */
    clm_buf_free(&b);
}

static void folders_with_parents_any_number_of_times(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_folder_make(at("a/b/c"), &err), err);
    assert_ok(clm_folder_make(at("a/b/c"), &err), err);
    assert_ok(clm_folder_make(at("a/b/d/"), &err), err);
    assert_ok(clm_folder_make("/", &err), err);
    assert_int_equal(count_in("a/b"), 2);
    assert_fails(CLM_E_WRITE, clm_folder_make("", &err), err);
}

static void removal_never_follows_links(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    publish("precious/file", "kept");
    publish("doomed/deep/file", "gone");
    assert_int_equal(symlink(at("precious"), at("doomed/deep/link")), 0);
    assert_int_equal(symlink(at("precious/file"), at("doomed/filelink")), 0);
    assert_int_equal(symlink(at("nowhere"), at("doomed/dangling")), 0);
    assert_ok(clm_folder_remove(at("doomed"), &err), err);
    assert_int_equal(clm_path_kind_of(at("doomed")), CLM_PATH_NONE);
    assert_holds("precious/file", "kept");
    assert_int_equal(symlink(at("precious"), at("link")), 0); /* the link itself is what goes */
    assert_ok(clm_folder_remove(at("link"), &err), err);
    assert_holds("precious/file", "kept");
    assert_ok(clm_folder_remove(at("doomed"), &err), err); /* missing is fine */
    assert_ok(clm_file_remove(at("doomed"), &err), err);
    assert_fails(CLM_E_WRITE, clm_file_remove(at("precious"), &err), err);
}

static void a_list_is_sorted_and_whole(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char name[CLM_PATH_MAX];
    for (int i = 0; i < 150; i++) {
        (void)snprintf(name, sizeof name, "l/%d", (i * 37) % 150);
        publish(name, "");
    }
    publish("l/.hidden", "");
    clm_names names;
    assert_ok(clm_folder_list(at("l"), &names, &err), err);
    assert_int_equal(names.n, 151);
    assert_string_equal(names.name[0], ".hidden");
    for (int64_t i = 1; i < names.n; i++) assert_true(strcmp(names.name[i - 1], names.name[i]) < 0);
    clm_names_free(&names);
    clm_names_free(&names);
    assert_fails(CLM_E_NOTFOUND, clm_folder_list(at("none"), &names, &err), err);
}

static void a_sweep_takes_half_written_files_and_nothing_else(void **state) {
    (void)state;
    static const char *const gone[] = {"s/.a.tmp.12.0", "s/deep/er/.c.0.1.tmp.7.12345"};
    static const char *const stay[] = {"s/a",         "s/.tmp.1.2x", "s/.a.tmp.12.",    "s/a.tmp.1.2",
                                       "s/.a.tmp..3", "s/.zattrs",   "s/deep/er/c.0.1", "s/.a.tmp.12.0.bak"};
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) publish(gone[i], "half");
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++) publish(stay[i], "whole");
    publish("other/.x.tmp.1.1", "of another folder");
    assert_int_equal(symlink("../other", at("s/link")), 0);
    assert_ok(clm_path_join(path, folder, "s", &err), err);
    assert_ok(clm_folder_sweep(path, &err), err);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        assert_int_equal(clm_path_kind_of(at(gone[i])), CLM_PATH_NONE);
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++) assert_holds(stay[i], "whole");
    assert_holds("other/.x.tmp.1.1", "of another folder");
    assert_ok(clm_folder_sweep("/nowhere/at/all", &err), err);
}

#ifdef CLM_FAULTS
/* Whatever call fails, the old file stays whole, the error says so, and nothing is left lying about. */
static void each_failing_call_leaves_the_old_file(void **state) {
    (void)state;
    static const char *const faults[] = {"create:1:ENOSPC", "write:1:ENOSPC", "write:1:EDQUOT", "fsync:1:EIO",
                                         "rename:1:EROFS"};
    publish("old", "old");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        assert_true(clm_fault_arm(faults[i]));
        bool ok = clm_file_publish(at("old"), "new", 3, true, &err);
        assert_true(clm_fault_arm(NULL));
        assert_fails(CLM_E_WRITE, ok, err);
        assert_true(err.sys != 0);
        assert_holds("old", "old");
        assert_int_equal(count_in("."), 1);
    }
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    assert_true(clm_fault_arm("read:1:EIO"));
    bool ok = clm_file_read(at("old"), 100, &b, &err);
    assert_true(clm_fault_arm("write:1:EINTR")); /* is tried again, not reported */
    assert_fails(CLM_E_IO, ok, err);
    publish("old", "new");
    assert_int_equal(clm_fault_count(), 2);
    assert_true(clm_fault_arm(NULL));
    assert_holds("old", "new");
    clm_buf_free(&b);
}

/* Also where nobody asked for durability: a power cut must not take what was durable before. */
static void what_replaces_a_file_is_on_disk_first(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    assert_true(clm_fault_arm("fsync:1:EIO"));
    publish("one", "old");
    assert_int_equal(clm_fault_count(), 0);
    bool ok = clm_file_publish(at("one"), "new", 3, false, &err);
    assert_true(clm_fault_arm(NULL));
    assert_fails(CLM_E_WRITE, ok, err);
    assert_holds("one", "old");
}

static bool list_it(void *name, clm_err *err) {
    clm_names names;
    if (!clm_folder_list(name, &names, err)) return false;
    clm_names_free(&names);
    return true;
}

static void a_list_survives_any_lack_of_memory(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof path, "l/%d", i);
        publish(path, "");
    }
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(path, folder, "l", &err), err);
    int64_t met = clm_test_every_fault("heap", "ENOMEM", CLM_E_NOMEM, list_it, NULL, path);
    assert_true(met >= 21); /* each name, and the list; the sanitizer sees any leak */
}

static void a_fault_that_makes_no_sense_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "write", "write:1", "write:0:EIO", "write:x:EIO", "write:1:WHAT", "write:1:0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(clm_fault_arm(bad[i]));
    assert_true(clm_fault_arm("write:2+:28"));
    assert_false(clm_fault("write"));
    assert_true(clm_fault("write"));
    assert_int_equal(errno, 28);
    assert_true(clm_fault("write"));
    assert_false(clm_fault("read"));
    assert_true(clm_fault_arm(NULL));
}
#endif

#define ISOLATED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(what_is_published_is_read),
        ISOLATED(a_reader_sees_the_old_file_or_the_new_one),
        ISOLATED(a_killed_run_s_leftover_is_no_obstacle),
        ISOLATED(refusals_name_the_file_and_leave_nothing),
        ISOLATED(reading_has_its_limits),
        ISOLATED(folders_with_parents_any_number_of_times),
        ISOLATED(removal_never_follows_links),
        ISOLATED(a_list_is_sorted_and_whole),
        ISOLATED(a_sweep_takes_half_written_files_and_nothing_else),
#ifdef CLM_FAULTS
        ISOLATED(each_failing_call_leaves_the_old_file),
        ISOLATED(what_replaces_a_file_is_on_disk_first),
        ISOLATED(a_list_survives_any_lack_of_memory),
        ISOLATED(a_fault_that_makes_no_sense_is_refused),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
