#include "collimate/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool clm_path_format(char out[CLM_PATH_MAX], clm_err *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, CLM_PATH_MAX, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= CLM_PATH_MAX)
        return clm_fail(err, CLM_E_ARG, "path longer than %d bytes: %.60s...", CLM_PATH_MAX - 1, out);
    return true;
}

bool clm_path_join(char out[CLM_PATH_MAX], const char *a, const char *b, clm_err *err) {
    size_t n = strlen(a);
    while (n > 1 && a[n - 1] == '/') n--;
    while (*b == '/') b++;
    if (!*b) return clm_path_format(out, err, "%.*s", (int)n, a);
    if (n == 0) return clm_path_format(out, err, "%s", b);
    if (n == 1 && a[0] == '/') return clm_path_format(out, err, "/%s", b);
    return clm_path_format(out, err, "%.*s/%s", (int)n, a, b);
}

const char *clm_path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool clm_text_ends(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

bool clm_text_begins(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* strtoll and strtod skip leading white space; a number with it is junk */
static bool starts_blank(const char *text) { return *text == ' ' || (*text >= '\t' && *text <= '\r'); }

bool clm_text_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10); /* allow: the wrapper */
    if (end == text || *end || errno || starts_blank(text)) return false;
    *out = v;
    return true;
}

bool clm_text_real(const char *text, double *out) {
    char *end;
    double v = strtod(text, &end); /* allow: the wrapper */
    if (end == text || *end || !isfinite(v) || starts_blank(text)) return false;
    *out = v;
    return true;
}

bool clm_text_reals(const char *text, int n, bool one, double out[]) {
    char part[64];
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(text, ",");
        if (len >= sizeof part || (text[len] == ',') != (i + 1 < n && !(one && i == 0 && !text[len])))
            return false;
        memcpy(part, text, len);
        part[len] = 0;
        if (!clm_text_real(part, &out[i])) return false;
        if (!text[len] && i + 1 < n) {
            while (++i < n) out[i] = out[0];
            return true;
        }
        text += len + 1;
    }
    return true;
}

static int edit_distance(const char *a, const char *b) {
    int row[128];
    int m = (int)strlen(b);
    if (m > 126) return 127;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diag = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int up = row[j];
            int best = diag + (a[i - 1] != b[j - 1]);
            if (up + 1 < best) best = up + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diag = up;
            row[j] = best;
        }
    }
    return row[m];
}

const char *clm_text_nearest(const char *name, const char *const *names, int n) {
    const char *best = NULL;
    int least = 1 + (int)strlen(name) / 2;
    for (int i = 0; i < n; i++) {
        int d = edit_distance(name, names[i]);
        /* "blocks" for "local.block_vox": the last part of a dotted name counts, too */
        const char *dot = strrchr(names[i], '.');
        if (dot) {
            int e = edit_distance(name, dot + 1) + 1;
            if (e < d) d = e;
        }
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

bool clm_buf_printf(clm_buf *b, clm_err *err, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 || clm_fail(err, CLM_E_ARG, "text that cannot be formatted: %s", fmt);
    if (ok && b->n + (size_t)n + 1 > b->cap)
        ok = clm_buf_reserve(b, (b->n + (size_t)n + 1) * 3 / 2 + 64, err);
    if (ok) {
        vsnprintf((char *)b->data + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return ok;
}

clm_text32 clm_text_bytes(double bytes) {
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int k = 0;
    while (bytes >= 1024.0 && k < 5) {
        bytes /= 1024.0;
        k++;
    }
    clm_text32 t;
    (void)snprintf(t.s, sizeof t.s, k == 0 || bytes >= 100.0 ? "%.0f %s" : "%.1f %s", bytes, unit[k]);
    return t;
}

clm_text32 clm_text_seconds(double seconds) {
    clm_text32 t;
    if (seconds < 10.0)
        (void)snprintf(t.s, sizeof t.s, "%.1f s", seconds);
    else if (seconds < 100.0)
        (void)snprintf(t.s, sizeof t.s, "%.0f s", seconds);
    else if (seconds < 6000.0)
        (void)snprintf(t.s, sizeof t.s, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        (void)snprintf(t.s, sizeof t.s, "%.0f h %02d min", floor(seconds / 3600.0),
                       (int)(fmod(seconds, 3600.0) / 60.0));
    return t;
}
