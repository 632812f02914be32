#include "collimate/cluster/journal.h"
#include "collimate/base/clock.h"
#include "collimate/base/crc.h"
#include "collimate/base/fault.h"
#include "collimate/base/file.h"
#include "collimate/cluster/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    MOST_STAGES = 64,
    STAGE_BYTES = 24 + 8,
    HEAD_BYTES = 8 + 4 + 4 + 8, /* magic, version, number of stages, plan hash */
    CRC_BYTES = 4,
    LENGTH_BYTES = 4,
    MOST_RECORD = 4096,
    READ_BYTES = 1 << 20,
    SPARE_BYTES = 1 << 18
};
enum { KIND_OUTCOME = 1, KIND_STAMP = 2 };
static const char magic[8] = {'C', 'L', 'M', 'J', 'R', 'N', 'L', '1'};

struct clm_journal {
    int fd;
    bool locked;
    int64_t bytes;
    char path[CLM_PATH_MAX], folder[CLM_PATH_MAX];
};

/* ---- header ---- */

static size_t head_size(int n_stages) { return HEAD_BYTES + (size_t)n_stages * STAGE_BYTES + CRC_BYTES; }

enum { MOST_HEAD = HEAD_BYTES + MOST_STAGES * STAGE_BYTES + CRC_BYTES };

static size_t pack_head(const clm_plan *plan, unsigned char to[MOST_HEAD]) {
    clm_writer w = {.to = to, .cap = MOST_HEAD};
    for (int i = 0; i < 8; i++) clm_put_uint(&w, (unsigned char)magic[i], 1);
    clm_put_uint(&w, VERSION, 4);
    clm_put_i32(&w, plan->n_stages);
    clm_put_uint(&w, plan->hash, 8);
    for (int k = 0; k < plan->n_stages; k++) {
        const char *name = plan->stage[k].name;
        size_t n = strnlen(name, 23);
        for (size_t i = 0; i < 24; i++) clm_put_uint(&w, i < n ? (unsigned char)name[i] : 0, 1);
        clm_put_i64(&w, plan->stage[k].n);
    }
    clm_put_uint(&w, clm_crc32c(0, to, w.n), 4);
    return w.n;
}

/* the header of n bytes at `from`; stages gets names and counts */
static bool unpack_head(const unsigned char *from, size_t n, clm_stage *stages, int *n_stages, uint64_t *hash,
                        clm_err *err) {
    if (n < HEAD_BYTES || memcmp(from, magic, sizeof magic) != 0)
        return clm_fail(err, CLM_E_FORMAT, "this is no journal");
    clm_reader r = {.from = from, .n = n, .at = sizeof magic};
    uint64_t version = clm_get_uint(&r, 4);
    int32_t count = clm_get_i32(&r);
    *hash = clm_get_uint(&r, 8);
    if (version != VERSION)
        return clm_fail(err, CLM_E_UNSUPPORTED, "journal of version %d, this is version %d", (int)version,
                        VERSION);
    if (count < 0 || count > MOST_STAGES || n < head_size(count))
        return clm_fail(err, CLM_E_FORMAT, "the journal's header is damaged");
    for (int k = 0; k < count; k++) {
        memcpy(stages[k].name, from + r.at, 24);
        stages[k].name[23] = 0;
        r.at += 24;
        stages[k].n = clm_get_i64(&r);
    }
    uint32_t crc = clm_crc32c(0, from, r.at);
    if ((uint32_t)clm_get_uint(&r, 4) != crc)
        return clm_fail(err, CLM_E_FORMAT, "the journal's header is damaged");
    *n_stages = count;
    return true;
}

/* ---- records ---- */

static bool pack_record(clm_buf *b, const unsigned char *body, size_t n, clm_err *err) {
    size_t need = b->n + LENGTH_BYTES + n + CRC_BYTES;
    if (need > b->cap && !clm_buf_reserve(b, need * 2, err)) return false;
    clm_writer w = {.to = b->data + b->n, .cap = b->cap - b->n};
    clm_put_uint(&w, n, LENGTH_BYTES);
    memcpy(w.to + w.n, body, n);
    w.n += n;
    clm_put_uint(&w, clm_crc32c(0, w.to, w.n), CRC_BYTES);
    b->n = need;
    return true;
}

bool clm_journal_pack(clm_buf *b, const clm_outcome *o, clm_err *err) {
    unsigned char body[MOST_RECORD];
    clm_writer w = {.to = body, .cap = sizeof body};
    clm_put_uint(&w, KIND_OUTCOME, 1);
    clm_wire_put_outcome(&w, o);
    return pack_record(b, body, w.n, err);
}

bool clm_journal_pack_stamp(clm_buf *b, const clm_stamp *m, clm_err *err) {
    unsigned char body[32];
    clm_writer w = {.to = body, .cap = sizeof body};
    clm_put_uint(&w, KIND_STAMP, 1);
    clm_put_uint(&w, (uint64_t)m->kind, 1);
    clm_put_f64(&w, m->unix_s);
    clm_put_i32(&w, m->ranks);
    clm_put_i32(&w, m->slots);
    return pack_record(b, body, w.n, err);
}

/* One whole record at p of n bytes: its size, 0 when torn or damaged (`told` then stays true). */
static size_t read_record(const unsigned char *p, size_t n, const clm_journal_reader *to,
                          clm_journal_info *info, bool *told, clm_err *err) {
    clm_reader r = {.from = p, .n = n};
    size_t length = (size_t)clm_get_uint(&r, LENGTH_BYTES);
    if (r.bad || length < 1 || length > MOST_RECORD || n - r.at < length + CRC_BYTES) return 0;
    clm_reader crc = {.from = p, .n = n, .at = LENGTH_BYTES + length};
    if ((uint32_t)clm_get_uint(&crc, CRC_BYTES) != clm_crc32c(0, p, LENGTH_BYTES + length)) return 0;
    r.n = LENGTH_BYTES + length;
    uint64_t kind = clm_get_uint(&r, 1);
    if (kind == KIND_OUTCOME) {
        clm_outcome o;
        clm_wire_get_outcome(&r, &o);
        if (r.bad || r.at != r.n) return 0;
        info->outcomes++;
        if (to->outcome) *told = to->outcome(to->ctx, &o, err);
    } else if (kind == KIND_STAMP) {
        clm_stamp m = {.kind = (clm_stamp_kind)clm_get_uint(&r, 1)};
        m.unix_s = clm_get_f64(&r);
        m.ranks = clm_get_i32(&r);
        m.slots = clm_get_i32(&r);
        if (r.bad) return 0;
        info->stamps++;
        if (to->stamp) *told = to->stamp(to->ctx, &m, err);
    } else {
        return 0;
    }
    return LENGTH_BYTES + length + CRC_BYTES;
}

void clm_journal_unpack(const clm_buf *b, const clm_journal_reader *reader) {
    clm_journal_info info = {0};
    clm_err err;
    bool on = true;
    for (size_t at = 0, size; on && at < b->n; at += size) {
        size = read_record(b->data + at, b->n - at, reader, &info, &on, &err);
        if (!size) return;
    }
}

static bool read_some(int fd, clm_buf *b, int64_t at, clm_err *err) {
    for (;;) {
        ssize_t got =
            clm_fault("read") ? -1 : pread(fd, b->data + b->n, clm_fault_short(READ_BYTES - b->n), at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return clm_fail_os(err, CLM_E_IO, "read");
        b->n += (size_t)got;
        return true;
    }
}

/* All records from `at` on, in pieces: a journal of 10^8 records need not fit into memory. */
static bool read_records(int fd, int64_t at, const clm_journal_reader *to, clm_journal_info *info,
                         clm_err *err) {
    clm_buf b = {0};
    if (!clm_buf_reserve(&b, READ_BYTES, err)) return false;
    info->bytes = at;
    bool ok = true, torn = false;
    while (ok && !torn) {
        size_t before = b.n, used = 0;
        ok = read_some(fd, &b, info->bytes + (int64_t)b.n, err);
        bool end = b.n == before;
        while (ok) {
            size_t size = read_record(b.data + used, b.n - used, to, info, &ok, err);
            if (!size) break;
            used += size;
        }
        info->bytes += (int64_t)used;
        memmove(b.data, b.data + used, b.n - used);
        b.n -= used;
        torn = used == 0 && (end || b.n >= MOST_RECORD + LENGTH_BYTES + CRC_BYTES);
    }
    clm_buf_free(&b);
    struct stat st;
    if (ok && fstat(fd, &st) != 0) return clm_fail_os(err, CLM_E_IO, "stat");
    if (ok) info->torn_bytes = st.st_size > info->bytes ? (int64_t)st.st_size - info->bytes : 0;
    return ok;
}

/* ---- opening ---- */

/* An open file description lock: goes with this opening (a second one in the same process is
 * refused, too), works across hosts on NFS, and ends with the process however that dies. The ranks of a
 * launcher that was killed end some 0.1 s after it, so a launch right behind them waits for that. */
static bool lock_file(int fd, const char *folder, bool *locked, clm_err *err) {
    static const double patience_s = 3.0;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    double began_s = clm_clock_s();
    while (!(*locked = fcntl(fd, F_OFD_SETLK, &lock) == 0) &&
           (errno == EAGAIN || errno == EACCES || errno == EINTR) && clm_clock_s() - began_s < patience_s)
        clm_nap_us(10000);
    if (!*locked && (errno == EAGAIN || errno == EACCES))
        return clm_fail(err, CLM_E_ARG, "another run is at work in %s: wait for it, or use another folder",
                        folder);
    return true; /* no locks on this file system: the caller tells the user */
}

static bool write_all(int fd, const unsigned char *p, size_t n, int64_t at, clm_err *err) {
    while (n) {
        ssize_t put = clm_fault("write") ? -1 : pwrite(fd, p, clm_fault_short(n), at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return clm_fail_os(err, CLM_E_WRITE, "write");
        p += put;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* Room for what is to come, so that a full disk still lets the journal say what was done before.
 * A file system that cannot is no worse off. */
static void keep_room(clm_journal *j) {
    int rc = fallocate(j->fd, FALLOC_FL_KEEP_SIZE, j->bytes, SPARE_BYTES);
    (void)rc;
}

static bool begin_new(clm_journal *j, const unsigned char *head, size_t n, clm_err *err) {
    if (ftruncate(j->fd, 0) != 0) return clm_fail_os(err, CLM_E_WRITE, "truncate");
    if (!write_all(j->fd, head, n, 0, err)) return false;
    if (clm_fault("fsync") || fsync(j->fd) != 0) return clm_fail_os(err, CLM_E_WRITE, "fsync");
    j->bytes = (int64_t)n;
    keep_room(j);
    return true;
}

static bool same_plan(const clm_plan *plan, const clm_stage *stages, int n_stages, uint64_t hash,
                      const char *folder, clm_err *err) {
    bool same = hash == plan->hash && n_stages == plan->n_stages;
    for (int k = 0; same && k < n_stages; k++)
        same = stages[k].n == plan->stage[k].n && strncmp(stages[k].name, plan->stage[k].name, 23) == 0;
    if (same) return true;
    return clm_fail(
        err, CLM_E_ARG,
        "%s holds the results of another plan (%016llx, now %016llx): the job or its inputs have changed "
        "since. Use another run folder, or remove this one to begin anew",
        folder, (unsigned long long)hash, (unsigned long long)plan->hash);
}

static bool resume(clm_journal *j, const clm_plan *plan, const clm_journal_reader *reader,
                   clm_journal_info *info, clm_err *err) {
    unsigned char want[MOST_HEAD], have[MOST_HEAD];
    size_t n = pack_head(plan, want);
    ssize_t got = clm_fault("read") ? -1 : pread(j->fd, have, sizeof have, 0);
    if (got < 0) return clm_fail_os(err, CLM_E_IO, "read");
    /* the header is made durable before any record is written: whatever is shorter, or blank as a
     * power cut leaves it, never held one */
    bool blank = true;
    for (ssize_t i = 0; i < got; i++) blank = blank && have[i] == 0;
    if (blank || ((size_t)got < n && memcmp(have, want, (size_t)got) == 0)) {
        info->torn_bytes = got;
        info->bytes = (int64_t)n;
        return begin_new(j, want, n, err);
    }
    clm_stage stages[MOST_STAGES];
    int n_stages;
    if (!unpack_head(have, (size_t)got, stages, &n_stages, &info->plan_hash, err)) return false;
    if (!same_plan(plan, stages, n_stages, info->plan_hash, j->folder, err)) return false;
    if (!read_records(j->fd, (int64_t)n, reader, info, err)) return false;
    j->bytes = info->bytes;
    if (info->torn_bytes && ftruncate(j->fd, j->bytes) != 0) return clm_fail_os(err, CLM_E_WRITE, "truncate");
    keep_room(j);
    return true;
}

/* Is the journal still what its name says? Not when somebody has removed or moved the folder: what tasks publish by
 * name then lands elsewhere. */
static bool in_place(const clm_journal *j) {
    struct stat open_one, named;
    return fstat(j->fd, &open_one) == 0 && stat(j->path, &named) == 0 && open_one.st_ino == named.st_ino &&
           open_one.st_dev == named.st_dev;
}

static bool claim(clm_journal *j, const char *folder, clm_err *err) {
    if (!clm_path_format(j->folder, err, "%s", folder) ||
        !clm_path_join(j->path, folder, CLM_JOURNAL_NAME, err))
        return false;
    int tries = 0;
    do { /* again when it was removed while we waited for the lock */
        if (j->fd >= 0) close(j->fd);
        if (!clm_folder_make(folder, err)) return false;
        j->fd = clm_fault("create") ? -1 : open(j->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (j->fd < 0) return clm_fail_os(err, CLM_E_WRITE, "%s", j->path);
        if (!lock_file(j->fd, folder, &j->locked, err)) return false;
    } while (!in_place(j) && ++tries < 3);
    return true;
}

bool clm_journal_claim(const char *folder, clm_journal **out, clm_err *err) {
    clm_journal *j = *out = clm_heap_new(1, sizeof *j, err);
    if (!j) return false;
    j->fd = -1;
    if (claim(j, folder, err)) return true;
    clm_journal_close(j);
    *out = NULL;
    return false;
}

bool clm_journal_begin(clm_journal *j, const clm_plan *plan, const clm_journal_reader *reader,
                       clm_journal_info *info, clm_err *err) {
    *info = (clm_journal_info){.plan_hash = plan->hash, .locked = j->locked};
    if (plan->n_stages > MOST_STAGES)
        return clm_fail(err, CLM_E_ARG, "%d stages, at most %d fit", plan->n_stages, MOST_STAGES);
    return resume(j, plan, reader, info, err) || clm_err_in(err, "%s", j->path);
}

bool clm_journal_append(clm_journal *j, const clm_buf *records, clm_err *err) {
    if (!in_place(j))
        return clm_fail(err, CLM_E_WRITE,
                        "%s: was removed, moved or replaced while the run was at work in it", j->folder);
    bool ok = write_all(j->fd, records->data, records->n, j->bytes, err) &&
              ((!clm_fault("fsync") && fdatasync(j->fd) == 0) || clm_fail_os(err, CLM_E_WRITE, "fdatasync"));
    if (ok) {
        j->bytes += (int64_t)records->n;
        keep_room(j);
        return true;
    }
    /* a part of a record would be cut off on resume anyway */
    if (ftruncate(j->fd, j->bytes) != 0) return clm_err_in(err, "%s (and not cut back)", j->path);
    return clm_err_in(err, "%s", j->path);
}

void clm_journal_close(clm_journal *j) {
    if (!j) return;
    if (j->fd >= 0) close(j->fd);
    clm_heap_free(j);
}

bool clm_journal_read(const char *folder, const clm_journal_reader *reader, clm_stage stages[64],
                      int *n_stages, clm_journal_info *info, clm_err *err) {
    *info = (clm_journal_info){0};
    char path[CLM_PATH_MAX];
    if (!clm_path_join(path, folder, CLM_JOURNAL_NAME, err)) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return clm_fail_os(err, errno == ENOENT || errno == ENOTDIR ? CLM_E_NOTFOUND : CLM_E_IO, "%s", path);
    unsigned char head[MOST_HEAD];
    clm_stage local[MOST_STAGES];
    int count = 0;
    ssize_t got = pread(fd, head, sizeof head, 0);
    bool ok = got >= 0 || clm_fail_os(err, CLM_E_IO, "read");
    ok = ok && unpack_head(head, (size_t)got, stages ? stages : local, &count, &info->plan_hash, err) &&
         read_records(fd, (int64_t)head_size(count), reader, info, err);
    close(fd);
    if (n_stages) *n_stages = count;
    return ok ? true : clm_err_in(err, "%s", path);
}
