/* Readers beside writers: chunks torn by programs that write in place, and chunks replaced by this one. */
#include "support/near.h"
#include "support/folder.h"

#include "collimate/base/file.h"
#include "collimate/store/array.h"

#include <fcntl.h>
#include <signal.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 16, VOXELS = SIDE * SIDE * SIDE };

static const struct kind {
    clm_format format;
    int64_t shard;
    const char *codec, *chunk;
} kinds[] = {{CLM_FORMAT_ZARR3, 0, "blosc", "c/0/0/0"},
             {CLM_FORMAT_ZARR3, SIDE, "zstd", "c/0/0/0"},
             {CLM_FORMAT_ZARR2, 0, "none", "0/0/0"},
             {CLM_FORMAT_N5, 0, "gzip", "0/0/0"}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static clm_array *make(int k, char chunk_file[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    char path[CLM_PATH_MAX];
    static int serial;
    clm_array_spec spec = {.format = kinds[k].format, .ndim = 3, .dtype = CLM_U16, .codec = kinds[k].codec};
    for (int d = 0; d < 3; d++) {
        spec.shape[d] = SIDE;
        spec.chunk[d] = kinds[k].shard ? SIDE / 2 : SIDE;
        spec.shard[d] = kinds[k].shard;
    }
    assert_ok(clm_path_format(path, &err, "%s/%d", folder, serial++), err);
    assert_ok(clm_array_create(path, &spec, &a, &err), err);
    assert_ok(clm_path_join(chunk_file, path, kinds[k].chunk, &err), err);
    return a;
}

static void set(uint16_t *voxels, int version) { /* sizes differ, so shards have other indexes */
    for (int i = 0; i < VOXELS; i++) voxels[i] = (uint16_t)(version ? i * i : 7);
}

static bool put(clm_array *a, int version, clm_err *err) {
    uint16_t voxels[VOXELS];
    set(voxels, version);
    return clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, voxels, err);
}

static bool get(const clm_array *a, uint16_t *voxels, clm_err *err) {
    return clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){SIDE, SIDE, SIDE}, voxels, err);
}

typedef struct mender { /* writes the whole file as soon as somebody has looked at the torn one */
    int watch;
    const char *file;
    const clm_buf *whole;
} mender;

static void *mend(void *arg) {
    mender *m = arg;
    char event[512];
    clm_err err = CLM_ERR_NONE;
    bool seen = read(m->watch, event, sizeof event) > 0;
    return seen && clm_file_publish(m->file, m->whole->data, m->whole->n, false, &err) ? m : NULL;
}

/* A file torn and just changed is looked at once more, later; an old one is refused at once. */
static void torn_files_may_be_mended(void **state) {
    (void)state;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    for (int k = 0; k < KINDS; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_buf whole = {0};
        char file[CLM_PATH_MAX];
        clm_array *a = make(k, file);
        uint16_t want[VOXELS], got[VOXELS];
        bool mended = false;
        set(want, 1);
        assert_ok(put(a, 1, &err), err);
        assert_ok(clm_file_read(file, 1 << 20, &whole, &err), err);
        for (int tries = 0; tries < 20 && !mended; tries++) { /* the other thread may be too slow */
            pthread_t thread;
            void *done;
            assert_ok(clm_file_publish(file, whole.data, whole.n / 2, false, &err), err);
            mender m = {.watch = inotify_init(), .file = file, .whole = &whole};
            assert_true(m.watch >= 0 && inotify_add_watch(m.watch, file, IN_CLOSE_NOWRITE) >= 0);
            assert_int_equal(pthread_create(&thread, NULL, mend, &m), 0);
            mended = get(a, got, &err);
            assert_int_equal(pthread_join(thread, &done), 0);
            assert_non_null(done);
            close(m.watch);
        }
        assert_true(mended);
        assert_memory_equal(got, want, sizeof got);
        assert_ok(clm_file_publish(file, whole.data, whole.n / 2, false, &err), err);
        assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
        err = CLM_ERR_NONE;
        assert_fails(CLM_E_FORMAT, get(a, got, &err), err);
        clm_array_close(a);
        clm_buf_free(&whole);
    }
}

/* Another process replaces the chunk again and again: each reading is wholly of one version. */
static void replaced_chunks_are_whole(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        clm_err err = CLM_ERR_NONE;
        char file[CLM_PATH_MAX];
        clm_array *a = make(k, file);
        uint16_t versions[2][VOXELS], got[VOXELS];
        int seen[2] = {0, 0};
        for (int v = 0; v < 2; v++) set(versions[v], v);
        assert_ok(put(a, 0, &err), err);
        pid_t writer = fork();
        assert_true(writer >= 0);
        for (int n = 1; !writer; n++)
            if (!put(a, n & 1, &err)) _exit(1);
        const int64_t n = kinds[k].shard ? SIDE / 2 : SIDE; /* a chunk: what is replaced at once */
        for (int reads = 0; reads < 100000 && (reads < 300 || !seen[0] || !seen[1]); reads++) {
            assert_ok(clm_array_read(a, (const int64_t[]){0, 0, 0}, (const int64_t[]){n, n, n}, got, &err),
                      err);
            int v = got[1] == versions[1][1];
            for (int64_t i = 0; i < n * n * n; i++)
                assert_int_equal(got[i], versions[v][(i / n / n * SIDE + i / n % n) * SIDE + i % n]);
            seen[v]++;
        }
        int status = -1;
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_true(WIFSIGNALED(status)); /* it was still writing */
        assert_true(seen[0] > 0 && seen[1] > 0);
        clm_array_close(a);
    }
}

static void must_say(clm_array *a, clm_code code, const char *file, const char *says) {
    clm_err err = CLM_ERR_NONE;
    uint16_t got[VOXELS];
    bool ok = get(a, got, &err);
    if (ok || !strstr(err.text, says)) print_error("want \"%s\": %s\n", says, err.text);
    assert_fails(code, ok, err);
    assert_non_null(strstr(err.text, says));
    assert_non_null(strstr(err.text, file));
}

/* A chunk that was never written is the fill value. One of no bytes, a cut one, a folder or a pipe in its place, a
 * link that leads nowhere: each is told by its name and for what it is. */
static void absent_empty_and_torn_are_told_apart(void **state) {
    (void)state;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    for (int k = 0; k < KINDS; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_buf whole = {0};
        char file[CLM_PATH_MAX];
        clm_array *a = make(k, file);
        uint16_t want[VOXELS], got[VOXELS];
        memset(want, 0, sizeof want);
        assert_ok(get(a, got, &err), err); /* absent */
        assert_memory_equal(got, want, sizeof got);
        assert_ok(put(a, 1, &err), err);
        assert_ok(clm_file_read(file, 1 << 20, &whole, &err), err);
        assert_ok(clm_file_publish(file, "", 0, false, &err), err);
        assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
        must_say(a, CLM_E_FORMAT, file, kinds[k].shard ? "0 bytes" : "empty");
        assert_ok(clm_file_publish(file, whole.data, whole.n - 1, false, &err), err);
        assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
        must_say(a, CLM_E_FORMAT, file, "");
        assert_ok(clm_file_remove(file, &err), err);
        assert_int_equal(mkfifo(file, 0600), 0); /* nobody will ever write: no wait */
        must_say(a, CLM_E_FORMAT, file, "not a regular file");
        assert_int_equal(unlink(file), 0);
        assert_int_equal(mkdir(file, 0700), 0);
        must_say(a, CLM_E_FORMAT, file, "not a regular file");
        assert_int_equal(rmdir(file), 0);
        assert_ok(get(a, got, &err), err); /* absent again */
        assert_memory_equal(got, want, sizeof got);
        clm_array_close(a);
        clm_buf_free(&whole);
    }
}

/* A link in the place of a chunk is replaced by a file, or removed where the chunk is all fill; where it leads to
 * nothing changes. */
static void links_are_not_written_through(void **state) {
    (void)state;
    static const char text[] = "somebody else's";
    for (int k = 0; k < KINDS; k++) {
        clm_err err = CLM_ERR_NONE;
        clm_buf left = {0};
        char file[CLM_PATH_MAX], other[CLM_PATH_MAX];
        uint16_t voxels[VOXELS] = {0}, got[VOXELS];
        clm_array *a = make(k, file);
        struct stat st;
        assert_ok(clm_path_format(other, &err, "%s/other-%d", folder, k), err);
        assert_ok(clm_file_publish(other, text, sizeof text, false, &err), err);
        for (int empty = 0; empty < 2; empty++) {
            assert_ok(put(a, 1, &err), err); /* its folders */
            assert_int_equal(unlink(file), 0);
            assert_int_equal(symlink(other, file), 0);
            if (!empty) set(voxels, 1);
            if (empty) memset(voxels, 0, sizeof voxels);
            assert_ok(clm_array_put_chunk(a, (const int64_t[]){0, 0, 0}, voxels, &err), err);
            assert_int_equal(lstat(file, &st), empty ? -1 : 0);
            assert_true(empty || S_ISREG(st.st_mode));
            assert_ok(get(a, got, &err), err);
            assert_memory_equal(got, voxels, sizeof got);
            assert_ok(clm_file_read(other, 1000, &left, &err), err);
            assert_int_equal(left.n, sizeof text);
            assert_memory_equal(left.data, text, sizeof text);
        }
        clm_array_close(a);
        clm_buf_free(&left);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_files_may_be_mended),
        cmocka_unit_test(replaced_chunks_are_whole),
        cmocka_unit_test(absent_empty_and_torn_are_told_apart),
        cmocka_unit_test(links_are_not_written_through),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
