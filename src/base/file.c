#include "collimate/base/file.h"
#include "collimate/base/crc.h"
#include "collimate/base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Is what was not there (errno ENOENT) there after all? A host of a network file system may say "not there" for a
 * minute of what another has made since: it remembers names looked up in vain until the folder is opened, from the first
 * that it knows of down. */
static bool came_to_be(const char *path) {
    char at[CLM_PATH_MAX];
    struct stat st;
    const char *last = strrchr(path, '/');
    size_t n = strlen(path), known = 0, parent = last ? (size_t)(last - path) : 0;
    if (errno != ENOENT || n >= sizeof at) return false;
    for (;;) {
        memcpy(at, path, n + 1);
        char *slash;
        int fd = -1;
        while (fd < 0 && (slash = strrchr(at, '/')) != NULL && slash != at) {
            *slash = 0;
            fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (fd >= 0) close(fd);
        if (fd >= 0 && stat(path, &st) == 0) return true;
        if (fd < 0 || strlen(at) <= known || strlen(at) == parent) break;
        known = strlen(at);
    }
    errno = ENOENT;
    return false;
}

clm_path_kind clm_path_kind_of(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 && (!came_to_be(path) || stat(path, &st) != 0)) return CLM_PATH_NONE;
    if (S_ISREG(st.st_mode)) return CLM_PATH_FILE;
    return S_ISDIR(st.st_mode) ? CLM_PATH_FOLDER : CLM_PATH_OTHER;
}

bool clm_file_is_fresh(const char *path, double seconds) {
    struct stat st;
    struct timespec now;
    if (stat(path, &st) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
    double age = (double)(now.tv_sec - st.st_mtim.tv_sec) + 1e-9 * (double)(now.tv_nsec - st.st_mtim.tv_nsec);
    return age < seconds;
}

static bool read_all(int fd, size_t max_bytes, bool head, clm_buf *b, clm_err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return clm_fail_os(err, CLM_E_IO, "stat");
    if (!S_ISREG(st.st_mode)) return clm_fail(err, CLM_E_FORMAT, "not a regular file");
    if ((uint64_t)st.st_size > max_bytes && !head)
        return clm_fail(err, CLM_E_FORMAT, "%lld bytes, at most %zu make sense here", (long long)st.st_size,
                        max_bytes);
    size_t want = (uint64_t)st.st_size > max_bytes ? max_bytes : (size_t)st.st_size;
    if (!clm_buf_reserve(b, want + 1, err)) return false;
    b->n = 0;
    while (b->n < want) {
        ssize_t got = clm_fault("read") ? -1 : read(fd, b->data + b->n, clm_fault_short(want - b->n));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return clm_fail_os(err, CLM_E_IO, "read");
        if (got == 0) break; /* shortened while we read: what is there is what we return */
        b->n += (size_t)got;
    }
    b->data[b->n] = 0;
    return true;
}

static bool read_path(const char *path, size_t max_bytes, bool head, clm_buf *b, clm_err *err) {
    /* not blocking: a pipe left in place of a chunk is an error, not a wait */
    int fd = clm_fault("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && came_to_be(path)) fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return clm_fail_os(err, errno == ENOENT || errno == ENOTDIR ? CLM_E_NOTFOUND : CLM_E_IO, "%s", path);
    bool ok = read_all(fd, max_bytes, head, b, err);
    close(fd);
    return ok ? true : clm_err_in(err, "%s", path);
}

bool clm_file_read(const char *path, size_t max_bytes, clm_buf *b, clm_err *err) {
    return read_path(path, max_bytes, false, b, err);
}

bool clm_file_head(const char *path, size_t n, clm_buf *b, clm_err *err) {
    return read_path(path, n, true, b, err);
}

void clm_file_prefetch(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    close(fd);
}

/* One folder. File systems may refuse to make what is already there by EROFS or EACCES, too. */
static bool make_one(const char *path) {
    if (!clm_fault("mkdir") && mkdir(path, 0777) == 0) return true;
    int why = errno;
    bool there = clm_path_kind_of(path) == CLM_PATH_FOLDER;
    errno = why;
    return there;
}

bool clm_folder_make(const char *path, clm_err *err) {
    char p[CLM_PATH_MAX];
    if (!clm_path_format(p, err, "%s", path)) return false;
    if (make_one(p)) return true;
    if (errno != ENOENT) return clm_fail_os(err, CLM_E_WRITE, "make folder %s", path);
    for (char *s = p + 1; *p && *s; s++) {
        if (*s != '/') continue;
        *s = 0;
        if (!make_one(p)) return clm_fail_os(err, CLM_E_WRITE, "make folder %s", p);
        *s = '/';
    }
    return make_one(p) || clm_fail_os(err, CLM_E_WRITE, "make folder %s", path);
}

static bool write_all(int fd, const unsigned char *p, size_t n, clm_err *err) {
    while (n) {
        ssize_t put = clm_fault("write") ? -1 : write(fd, p, clm_fault_short(n));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return clm_fail_os(err, CLM_E_WRITE, "write");
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static bool sync_folder(const char *path, clm_err *err) {
    char folder[CLM_PATH_MAX];
    if (!clm_path_format(folder, err, "%s", path)) return false;
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder)
        *slash = 0;
    else
        memcpy(folder, slash ? "/" : ".", 2);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return clm_fail_os(err, CLM_E_WRITE, "open folder %s", folder);
    /* EINVAL: a file system that cannot, and whose renames need it least */
    bool ok = (!clm_fault("fsync") && fsync(fd) == 0) || errno == EINVAL ||
              clm_fail_os(err, CLM_E_WRITE, "fsync %s", folder);
    close(fd);
    return ok;
}

/* Make ".NAME.tmp.PID.N" beside the file: never mistaken for a chunk, unique in the process. The same
 * name may be left by a killed run, or in use by the same process id on another node: then N moves on. */
static int open_temp(char tmp[CLM_PATH_MAX], const char *path, clm_err *err) {
    static atomic_uint serial;
    const char *name = clm_path_name(path);
    int folder = (int)(name - path), fd = -1;
    bool made_folder = false;
    for (int tries = 0; tries < 1000; tries++) {
        if (!clm_path_format(tmp, err, "%.*s.%s.tmp.%ld.%u", folder, path, name, (long)getpid(),
                             atomic_fetch_add(&serial, 1u)))
            return -1;
        fd = clm_fault("create") ? -1 : open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0) return fd;
        if (errno == EEXIST) continue;
        if (errno != ENOENT || made_folder || !folder) break;
        char parent[CLM_PATH_MAX];
        made_folder = true;
        if (!clm_path_format(parent, err, "%.*s", folder, path) || !clm_folder_make(parent, err)) return -1;
    }
    clm_fail_os(err, CLM_E_WRITE, "%s", path);
    return -1;
}

bool clm_draft_open(const char *path, clm_draft *d, clm_err *err) {
    *d = (clm_draft){0};
    if (!clm_path_format(d->path, err, "%s", path)) return false;
    d->fd = open_temp(d->tmp, path, err);
    d->open = d->fd >= 0;
    return d->open;
}

bool clm_draft_put(clm_draft *d, const void *bytes, size_t n, clm_err *err) {
    if (!write_all(d->fd, bytes, n, err)) return clm_err_in(err, "%s", d->path);
    d->bytes += n;
    return true;
}

void clm_draft_drop(clm_draft *d) {
    if (!d->open) return;
    d->open = false;
    close(d->fd);
    (void)unlink(d->tmp);
}

bool clm_draft_publish(clm_draft *d, bool durable, clm_err *err) {
    bool ok = true;
    /* what it replaces may be durable, and a journal may say so: a late copy of a task must not undo that */
    bool sync = durable || clm_path_kind_of(d->path) == CLM_PATH_FILE;
    if (sync && (clm_fault("fsync") || fsync(d->fd) != 0)) ok = clm_fail_os(err, CLM_E_WRITE, "fsync");
    /* quota and network file systems may tell of a failed write only here */
    if (close(d->fd) != 0 && ok) ok = clm_fail_os(err, CLM_E_WRITE, "close");
    d->open = false;
    if (ok && (clm_fault("rename") || rename(d->tmp, d->path) != 0))
        ok = clm_fail_os(err, CLM_E_WRITE, "rename");
    if (!ok) {
        (void)unlink(d->tmp);
        return clm_err_in(err, "%s", d->path);
    }
    return durable ? sync_folder(d->path, err) : true;
}

bool clm_file_publish(const char *path, const void *bytes, size_t n, bool durable, clm_err *err) {
    clm_draft d;
    if (!clm_draft_open(path, &d, err)) return false;
    if (clm_draft_put(&d, bytes, n, err)) return clm_draft_publish(&d, durable, err);
    clm_draft_drop(&d);
    return false;
}

bool clm_file_sync_tree(const char *path, clm_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return clm_fail_os(err, CLM_E_WRITE, "%s", path);
    bool ok = (!clm_fault("fsync") && syncfs(fd) == 0) || clm_fail_os(err, CLM_E_WRITE, "syncfs %s", path);
    close(fd);
    return ok;
}

bool clm_folder_is_one(const char *path, clm_err *err) {
    clm_names names;
    struct stat top, st;
    if (stat(path, &top) != 0) return clm_fail_os(err, CLM_E_IO, "%s", path);
    if (!clm_folder_list(path, &names, err)) return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < names.n; i++) {
        char below[CLM_PATH_MAX];
        ok = clm_path_join(below, path, names.name[i], err);
        if (ok && stat(below, &st) == 0 && S_ISDIR(st.st_mode) && st.st_dev != top.st_dev)
            ok = clm_fail(err, CLM_E_ARG, "%s: is on another file system than %s: put both on one", below,
                          path);
    }
    clm_names_free(&names);
    return ok;
}

bool clm_file_remove(const char *path, clm_err *err) {
    if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR) return true;
    return clm_fail_os(err, CLM_E_WRITE, "remove %s", path);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

bool clm_folder_remove(const char *path, clm_err *err) {
    struct stat st;
    if (lstat(path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return true;
        return clm_fail_os(err, CLM_E_WRITE, "remove folder %s", path);
    }
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return true;
    return clm_fail_os(err, CLM_E_WRITE, "remove folder %s", path);
}

/* ".NAME.tmp.PID.N" */
static bool is_temp(const char *name) {
    const char *at = name[0] == '.' ? strstr(name, ".tmp.") : NULL;
    if (!at) return false;
    const char *pid = at + 5;
    size_t n = strspn(pid, "0123456789");
    if (!n || pid[n] != '.') return false;
    size_t m = strspn(pid + n + 1, "0123456789");
    return m && !pid[n + 1 + m];
}

bool clm_folder_sweep(const char *path, clm_err *err) {
    DIR *d = opendir(path);
    if (!d) return errno == ENOENT || errno == ENOTDIR || clm_fail_os(err, CLM_E_IO, "%s", path);
    bool ok = true;
    for (struct dirent *e; ok && (errno = 0, e = readdir(d));) {
        char below[CLM_PATH_MAX];
        struct stat st;
        bool folder = e->d_type == DT_DIR, temp = is_temp(e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!folder && !temp && e->d_type != DT_UNKNOWN) continue;
        ok = clm_path_join(below, path, e->d_name, err);
        if (ok && e->d_type == DT_UNKNOWN) folder = lstat(below, &st) == 0 && S_ISDIR(st.st_mode);
        if (ok && folder)
            ok = clm_folder_sweep(below, err);
        else if (ok && temp)
            ok = clm_file_remove(below, err);
    }
    if (ok && errno) ok = clm_fail_os(err, CLM_E_IO, "list %s", path);
    closedir(d);
    return ok;
}

/* ---- what files are there, without reading them ---- */

static void stamp_file(const char *name, const struct stat *st, uint64_t *stamp) {
    const int64_t facts[3] = {st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec};
    uint64_t h = clm_hash64(clm_hash64(CLM_HASH_BEGIN, name, strlen(name)), facts, sizeof facts);
    *stamp += h * 0x9e3779b97f4a7c15u; /* a sum, so that the order of listing does not matter */
}

/* path[0 .. root) is the tree's own name */
static bool stamp_tree(const char *path, size_t root, uint64_t *stamp, clm_err *err) {
    DIR *d = opendir(path);
    if (!d) return clm_fail_os(err, errno == ENOENT ? CLM_E_NOTFOUND : CLM_E_IO, "%s", path);
    bool ok = true;
    for (struct dirent *e; ok && (errno = 0, e = readdir(d));) {
        char below[CLM_PATH_MAX];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        ok = clm_path_join(below, path, e->d_name, err);
        if (ok && stat(below, &st) != 0) ok = clm_fail_os(err, CLM_E_IO, "%s", below);
        if (!ok) break;
        if (S_ISDIR(st.st_mode))
            ok = stamp_tree(below, root, stamp, err);
        else
            stamp_file(below + root, &st, stamp);
    }
    if (ok && errno) ok = clm_fail_os(err, CLM_E_IO, "list %s", path);
    closedir(d);
    return ok;
}

bool clm_tree_stamp(const char *path, uint64_t *stamp, clm_err *err) {
    char at[CLM_PATH_MAX];
    struct stat st;
    if (!clm_path_format(at, err, "%s", path)) return false;
    while (stat(at, &st) != 0) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at || (errno != ENOENT && errno != ENOTDIR))
            return clm_fail_os(err, errno == ENOENT || errno == ENOTDIR ? CLM_E_NOTFOUND : CLM_E_IO, "%s",
                               path);
        *slash = 0;
    }
    if (S_ISDIR(st.st_mode))
        return strcmp(at, path) == 0 ? stamp_tree(at, strlen(at), stamp, err)
                                     : clm_fail(err, CLM_E_NOTFOUND, "%s: no such file", path);
    stamp_file("", &st, stamp);
    return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool clm_folder_list(const char *path, clm_names *out, clm_err *err) {
    clm_names names = {0};
    size_t cap = 0;
    DIR *d = opendir(path);
    if (!d) return clm_fail_os(err, errno == ENOENT ? CLM_E_NOTFOUND : CLM_E_IO, "%s", path);
    bool ok = true;
    for (struct dirent *e; ok && (errno = 0, e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if ((size_t)names.n == cap) {
            cap = cap * 2 + 16;
            void *p = names.name;
            ok = clm_heap_grow(&p, cap, sizeof(char *), err);
            names.name = p;
            if (!ok) break;
        }
        names.name[names.n] = clm_heap_text(e->d_name, err);
        ok = names.name[names.n] != NULL;
        if (ok) names.n++;
    }
    /* a listing that breaks off must not look complete */
    if (ok && errno) ok = clm_fail_os(err, CLM_E_IO, "list %s", path);
    closedir(d);
    if (!ok) {
        clm_names_free(&names);
        return false;
    }
    if (names.n) qsort(names.name, (size_t)names.n, sizeof(char *), by_bytes);
    *out = names;
    return true;
}

void clm_names_free(clm_names *names) {
    for (int64_t i = 0; i < names->n; i++) clm_heap_free(names->name[i]);
    clm_heap_free(names->name);
    *names = (clm_names){0};
}
