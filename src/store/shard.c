#include "collimate/store/zarr.h"
#include "collimate/base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A small direct-mapped table: neighbouring shards fall into different slots. A slot is of one version of
 * one file (inode, size, mtime), so a shard replaced under us is read anew. */

#define SLOTS 64

typedef struct slot {
    uint64_t number, inode, bytes;
    struct timespec changed;
    uint64_t *entry;
} slot;

struct clm_shard_table {
    pthread_mutex_t lock;
    slot slot[SLOTS];
};

struct clm_shard_table *clm_shard_table_new(clm_err *err) {
    struct clm_shard_table *t = clm_heap_new(1, sizeof *t, err);
    if (t) (void)pthread_mutex_init(&t->lock, NULL);
    return t;
}

void clm_shard_table_free(struct clm_shard_table *t) {
    if (!t) return;
    for (int i = 0; i < SLOTS; i++) clm_heap_free(t->slot[i].entry);
    (void)pthread_mutex_destroy(&t->lock);
    clm_heap_free(t);
}

static bool same_file(const slot *k, uint64_t number, const struct stat *st) {
    return k->entry && k->number == number && k->inode == st->st_ino && k->bytes == (uint64_t)st->st_size &&
           k->changed.tv_sec == st->st_mtim.tv_sec && k->changed.tv_nsec == st->st_mtim.tv_nsec;
}

static uint64_t *read_index(const clm_pipe *p, int fd, uint64_t file_bytes, clm_scratch *s, clm_err *err) {
    if (file_bytes < p->index_bytes) {
        clm_fail(err, CLM_E_FORMAT, "shard of %llu bytes, no room for its index",
                 (unsigned long long)file_bytes);
        return NULL;
    }
    if (!clm_buf_reserve(&s->file, p->index_bytes, err)) return NULL;
    off_t from = p->index_first ? 0 : (off_t)(file_bytes - p->index_bytes);
    for (size_t got = 0; got < p->index_bytes;) {
        ssize_t r = clm_fault("read") ? -1
                                      : pread(fd, s->file.data + got, clm_fault_short(p->index_bytes - got),
                                              from + (off_t)got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) clm_fail_os(err, CLM_E_IO, "read");
        if (r == 0) clm_fail(err, CLM_E_FORMAT, "shard cut short");
        if (r <= 0) return NULL;
        got += (size_t)r;
    }
    uint64_t *entry = clm_heap_new((size_t)p->n_pieces * 2, sizeof *entry, err);
    if (entry && clm_shard_index(p, s->file.data, p->index_bytes, file_bytes, s, entry, err)) return entry;
    clm_heap_free(entry);
    return NULL;
}

bool clm_shard_find(struct clm_shard_table *t, const clm_pipe *p, int fd, uint64_t number, int64_t piece,
                    clm_scratch *s, uint64_t *offset, uint64_t *bytes, clm_err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return clm_fail_os(err, CLM_E_IO, "stat");
    if (!S_ISREG(st.st_mode)) return clm_fail(err, CLM_E_FORMAT, "not a regular file");
    slot *k = &t->slot[number % SLOTS];
    (void)pthread_mutex_lock(&t->lock);
    bool known = same_file(k, number, &st);
    if (known) *offset = k->entry[2 * piece], *bytes = k->entry[2 * piece + 1];
    (void)pthread_mutex_unlock(&t->lock);
    if (known) return true;
    uint64_t *entry = read_index(p, fd, (uint64_t)st.st_size, s, err);
    if (!entry) return false;
    *offset = entry[2 * piece];
    *bytes = entry[2 * piece + 1];
    (void)pthread_mutex_lock(&t->lock);
    clm_heap_free(k->entry);
    *k = (slot){.number = number,
                .inode = st.st_ino,
                .bytes = (uint64_t)st.st_size,
                .changed = st.st_mtim,
                .entry = entry};
    (void)pthread_mutex_unlock(&t->lock);
    return true;
}
