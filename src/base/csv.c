#include "collimate/base/csv.h"
#include "collimate/base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1 << 20)

/* ---- lines in ---- */

bool clm_lines_open(const char *path, clm_lines *out, clm_err *err) {
    memset(out, 0, sizeof *out);
    bool standard = strcmp(path, "-") == 0;
    if (!clm_path_format(out->name, err, "%s", standard ? "standard input" : path)) return false;
    out->fd = standard ? STDIN_FILENO : clm_fault("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (out->fd < 0) return clm_fail_os(err, errno == ENOENT ? CLM_E_NOTFOUND : CLM_E_IO, "%s", path);
    return true;
}

void clm_lines_close(clm_lines *l) {
    if (l->fd > STDIN_FILENO) (void)close(l->fd);
    l->fd = -1;
    clm_buf_free(&l->b);
}

/* keep what is not given yet, and read on behind it */
static bool refill(clm_lines *l, clm_err *err) {
    size_t left = l->b.n - l->at;
    if (left) memmove(l->b.data, l->b.data + l->at, left);
    l->base += (int64_t)l->at;
    l->at = 0;
    l->b.n = left;
    if (!clm_buf_reserve(&l->b, left + READ_BYTES, err)) return false;
    ssize_t got;
    do got = clm_fault("read") ? -1 : read(l->fd, l->b.data + left, clm_fault_short(READ_BYTES));
    while (got < 0 && errno == EINTR);
    if (got < 0) return clm_fail_os(err, CLM_E_IO, "%s", l->name);
    l->b.n += (size_t)got;
    l->over = got == 0;
    return true;
}

bool clm_lines_next(clm_lines *l, const char **text, size_t *n, clm_err *err) {
    const char *end = NULL;
    *text = NULL;
    *n = 0;
    for (size_t seen = 0;;) {
        size_t have = l->b.n - l->at;
        if (have > seen) end = memchr(l->b.data + l->at + seen, '\n', have - seen);
        if (end || l->over || have > CLM_LINE_MAX) break;
        seen = have;
        if (!refill(l, err)) return false;
    }
    const char *from = (const char *)l->b.data + l->at;
    size_t length = end ? (size_t)(end - from) : l->b.n - l->at;
    if (length > CLM_LINE_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s:%lld: a line of more than %zu bytes", l->name,
                        (long long)l->line + 1, CLM_LINE_MAX);
    if (!end && length == 0) return true;
    l->line++;
    l->at += length + (end != NULL);
    if (length && from[length - 1] == '\r') length--;
    if (length && memchr(from, 0, length))
        return clm_fail(err, CLM_E_FORMAT, "%s:%lld: a zero byte: not text", l->name, (long long)l->line);
    *text = from;
    *n = length;
    return true;
}

bool clm_lines_seek(clm_lines *l, int64_t place, clm_err *err) {
    const char *text;
    size_t n;
    /* from the byte before: the line that it ends, or a part of, is passed over */
    int64_t from = place > 0 ? place - 1 : 0;
    if (lseek(l->fd, (off_t)from, SEEK_SET) != (off_t)from) return clm_fail_os(err, CLM_E_IO, "%s", l->name);
    l->b.n = l->at = 0;
    l->base = from;
    l->over = false;
    bool ok = place <= 0 || clm_lines_next(l, &text, &n, err);
    l->line = 0;
    return ok;
}

/* ---- bytes out ---- */

bool clm_writer_open(const char *path, clm_writer *out, clm_err *err) {
    memset(out, 0, sizeof *out);
    out->fd = -1;
    if (!clm_path_format(out->path, err, "%s", path)) return false;
    if (strcmp(path, "-") == 0) {
        out->fd = STDOUT_FILENO;
        return true;
    }
    const char *name = clm_path_name(path);
    if (!clm_path_format(out->temp, err, "%.*s.%s.tmp.%ld.0", (int)(name - path), path, name, (long)getpid()))
        return false;
    out->fd = clm_fault("create")
                  ? -1
                  : open(out->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    return out->fd >= 0 || clm_fail_os(err, CLM_E_WRITE, "%s", path);
}

bool clm_writer_put(clm_writer *w, const void *bytes, size_t n, clm_err *err) {
    const char *p = bytes;
    while (n > 0) {
        ssize_t put = clm_fault("write") ? -1 : write(w->fd, p, clm_fault_short(n));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return clm_fail_os(err, CLM_E_WRITE, "%s", w->path);
        p += put;
        n -= (size_t)put;
    }
    return true;
}

bool clm_writer_publish(clm_writer *w, clm_err *err) {
    if (!w->temp[0]) return true;
    bool ok = close(w->fd) == 0;
    w->fd = -1;
    if (!ok || clm_fault("rename") || rename(w->temp, w->path) != 0)
        return clm_fail_os(err, CLM_E_WRITE, "%s", w->path);
    w->temp[0] = 0;
    return true;
}

void clm_writer_close(clm_writer *w) {
    if (!w->temp[0]) return;
    if (w->fd >= 0) (void)close(w->fd);
    (void)unlink(w->temp);
    w->fd = -1;
    w->temp[0] = 0;
}

/* ---- cells ---- */

int64_t clm_csv_split(const char *line, size_t n, char delimiter, clm_cell *out, int64_t cap) {
    const char *p = line, *end = line + n;
    for (int64_t count = 0;; p++) {
        const char *from = p;
        for (bool quoted = false; p < end; p++) {
            if (*p == '"') quoted = !quoted; /* "" closes and opens again */
            if (!quoted && *p == delimiter) break;
            if (quoted && p + 1 == end) return -1;
        }
        if (count < cap) out[count] = (clm_cell){from, (size_t)(p - from)};
        count++;
        if (p == end) return count;
    }
}

clm_cell clm_csv_bare(clm_cell c) {
    while (c.n && (*c.text == ' ' || *c.text == '\t')) c.text++, c.n--;
    while (c.n && (c.text[c.n - 1] == ' ' || c.text[c.n - 1] == '\t')) c.n--;
    if (c.n >= 2 && c.text[0] == '"' && c.text[c.n - 1] == '"') c.text++, c.n -= 2;
    return c;
}

char clm_csv_delimiter(const char *line, size_t n) {
    if (memchr(line, '\t', n)) return '\t';
    return memchr(line, ',', n) || !memchr(line, ';', n) ? ',' : ';';
}

/* digits with at most one point: m / 10^k is exact when m < 2^53 and k <= 22, so one division rounds right
 * (Clinger 1990) */
static bool plain_decimal(const char *p, size_t n, double *out) {
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                   1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    uint64_t m = 0;
    int after = 0, digits = 0;
    bool negative = n && *p == '-', point = false;
    for (size_t i = negative; i < n; i++) {
        unsigned digit = (unsigned)(p[i] - '0');
        if (digit > 9) {
            if (p[i] != '.' || point) return false;
            point = true;
            continue;
        }
        if (++digits > 18) return false;
        m = m * 10 + digit;
        after += point;
    }
    if (digits == 0 || m > (uint64_t)1 << 53) return false;
    double v = (double)m / power[after];
    *out = negative ? -v : v;
    return true;
}

bool clm_csv_number(clm_cell c, double *out) {
    char text[64];
    clm_cell b = clm_csv_bare(c);
    if (plain_decimal(b.text, b.n, out)) return true;
    if (b.n == 0 || b.n >= sizeof text) return false;
    memcpy(text, b.text, b.n);
    text[b.n] = 0;
    return clm_text_real(text, out);
}

size_t clm_csv_put_number(char out[32], double x) {
    if (!(fabs(x) < 1e9)) return (size_t)snprintf(out, 32, "%.17g", x);
    int64_t v = llround(x * 1e6);
    uint64_t m = (uint64_t)(v < 0 ? -v : v), whole = m / 1000000, part = m % 1000000;
    char reversed[24];
    size_t n = 0, k = 0;
    if (v < 0) out[n++] = '-';
    do reversed[k++] = (char)('0' + whole % 10);
    while (whole /= 10);
    while (k) out[n++] = reversed[--k];
    if (part == 0) return n;
    out[n++] = '.';
    for (uint64_t unit = 100000; part; unit /= 10) {
        out[n++] = (char)('0' + part / unit);
        part %= unit;
    }
    return n;
}
