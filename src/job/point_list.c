#include "collimate/job/point_list.h"

#include <stdio.h>
#include <string.h>

#define MARK "OutputPoint"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* the next word of a line; NULL: none is left */
static const char *word(const char **at, const char *end, size_t *n) {
    while (*at < end && is_blank(**at)) ++*at;
    const char *from = *at;
    while (*at < end && !is_blank(**at)) ++*at;
    *n = (size_t)(*at - from);
    return *n ? from : NULL;
}

/* the next three words as numbers */
static bool three(const char *line, const char *end, double v[3]) {
    size_t n;
    for (int d = 0; d < 3; d++) {
        const char *w = word(&line, end, &n);
        if (!w || !clm_csv_number((clm_cell){w, n}, &v[d])) return false;
    }
    return true;
}

/* the only word of a line */
static bool is_alone(const char *line, size_t n, const char *want) {
    const char *at = line, *end = line + n, *w = word(&at, end, &n);
    return w && n == strlen(want) && memcmp(w, want, n) == 0 && !word(&at, end, &n);
}

static bool count_of(const char *line, size_t n, int64_t *out) {
    double v;
    if (!clm_csv_number((clm_cell){line, n}, &v) || !(v >= 0 && v < 9e15) || v != (double)(int64_t)v)
        return false;
    *out = (int64_t)v;
    return true;
}

bool clm_point_list_kind(const char *path, clm_list_kind *out, clm_err *err) {
    clm_lines in;
    const char *line;
    size_t n;
    int64_t count;
    *out = CLM_LIST_NONE;
    if (strcmp(path, "-") == 0) return true;
    if (!clm_lines_open(path, &in, err)) return false;
    bool ok = clm_lines_next(&in, &line, &n, err);
    if (ok && line) {
        if (is_alone(line, n, "point")) *out = CLM_LIST_POINT;
        /* without a word indices are meant */
        if (is_alone(line, n, "index") || count_of(line, n, &count)) *out = CLM_LIST_INDEX;
        if (n > 6 && memcmp(line, "Point\t", 6) == 0 && memmem(line, n, MARK, strlen(MARK)))
            *out = CLM_LIST_OUTPUT;
    }
    clm_lines_close(&in);
    return ok;
}

bool clm_point_list_count(const char *path, int64_t heads, int64_t *out, clm_err *err) {
    clm_lines in;
    const char *line = "";
    size_t n;
    if (!clm_lines_open(path, &in, err)) return false;
    bool ok = true;
    for (*out = 0; ok && line;) {
        ok = clm_lines_next(&in, &line, &n, err);
        if (ok && line && in.line > heads) *out += n > 0;
    }
    clm_lines_close(&in);
    return ok;
}

bool clm_point_list_begin(clm_lines *in, clm_list_kind kind, int64_t *n, clm_err *err) {
    const char *line;
    size_t length;
    int64_t told = 0;
    if (kind == CLM_LIST_OUTPUT) return !n || clm_point_list_count(in->name, 0, n, err);
    if (!clm_lines_next(in, &line, &length, err)) return false;
    bool counted = line && count_of(line, length, &told); /* "point" or "index" may be left out */
    if (!counted) {
        if (!clm_lines_next(in, &line, &length, err)) return false;
        if (!line || !count_of(line, length, &told))
            return clm_fail(err, CLM_E_FORMAT, "%s:2: must be how many points there are", in->name);
    }
    if (!n) return true;
    if (!clm_point_list_count(in->name, in->line, n, err)) return false;
    return told == *n || clm_fail(err, CLM_E_FORMAT, "%s: tells %lld points and has %lld lines of them",
                                  in->name, (long long)told, (long long)*n);
}

bool clm_point_list_row(const clm_lines *in, const char *line, size_t n, clm_list_kind kind, double um,
                        const clm_image_frame *grid, double x[3], clm_err *err) {
    const char *end = line + n, *from = line;
    double v[3];
    if (kind == CLM_LIST_OUTPUT) {
        from = memmem(line, n, MARK, strlen(MARK));
        from = from ? memchr(from, '[', (size_t)(end - from)) : NULL;
        from = from ? from + 1 : end;
    }
    if (!three(from, end, v))
        return clm_fail(err, CLM_E_FORMAT, "%s:%lld: \"%.*s\": must be three numbers x y z", in->name,
                        (long long)in->line, (int)(n < 60 ? n : 60), line);
    for (int d = 0; d < 3; d++)
        x[d] = kind == CLM_LIST_INDEX ? grid->origin_um[d] + grid->spacing_um[d] * v[2 - d] : v[2 - d] * um;
    return true;
}

size_t clm_point_list_put(char out[128], const double x[3]) {
    return (size_t)snprintf(out, 128, "%.12g %.12g %.12g\n", x[2] / CLM_UM_PER_MM, x[1] / CLM_UM_PER_MM,
                            x[0] / CLM_UM_PER_MM);
}
