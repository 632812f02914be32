#include "collimate/job/point_table.h"
#include "collimate/base/csv.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 1024
#define BATCH_BYTES ((size_t)64 << 20) /* of text */

/* One line of a batch: where its text and the three cells are. */
typedef struct row {
    size_t from, n;
    uint32_t cell[3], length[3];
} row;

typedef struct table {
    const clm_map *map;
    const clm_point_table *spec;
    clm_lines in;
    clm_writer out;
    clm_list_kind kind; /* of `in` */
    char delimiter;
    bool numbered; /* lines by their number in the file, also where it is read from its middle */
    int64_t columns;
    int64_t at[3]; /* which columns are z, y, x */
    clm_buf text, result;
    clm_point_count count;
} table;

/* ---- header ---- */

static bool is_named(clm_cell c, const char *name) {
    c = clm_csv_bare(c);
    return c.n == strlen(name) && memcmp(c.text, name, c.n) == 0;
}

static bool add(clm_buf *b, const void *bytes, size_t n, clm_err *err) {
    if (b->n + n > b->cap && !clm_buf_reserve(b, (b->n + n) * 2, err)) return false;
    if (n) memcpy(b->data + b->n, bytes, n);
    b->n += n;
    return true;
}

static const char *const added[] = {"status", "residual_um"};

/* line: the names of the columns; n: how many points follow, where a list is written */
static bool put_header(table *t, const char *line, size_t length, int64_t n, clm_err *err) {
    char head[48];
    if (t->spec->list) {
        int k = snprintf(head, sizeof head, "point\n%lld\n", (long long)n);
        return add(&t->result, head, (size_t)k, err);
    }
    bool ok = add(&t->result, line, length, err);
    for (int k = 0; ok && k < 1 + t->spec->inverse; k++)
        ok = add(&t->result, &t->delimiter, 1, err) && add(&t->result, added[k], strlen(added[k]), err);
    return ok && add(&t->result, "\n", 1, err);
}

static bool read_list_header(table *t, clm_err *err) {
    char names[400];
    int64_t n = 0;
    if (t->kind == CLM_LIST_INDEX && t->spec->grid.shape[0] == 0)
        return clm_fail(err, CLM_E_ARG, "%s: indices, and no transform tells the grid; --like IMAGE does",
                        t->in.name);
    t->delimiter = ',';
    int k =
        snprintf(names, sizeof names, "%s,%s,%s", t->spec->column[0], t->spec->column[1], t->spec->column[2]);
    return clm_point_list_begin(&t->in, t->kind, t->spec->from > 0 ? NULL : &n, err) &&
           put_header(t, names, (size_t)k, n, err);
}

static bool read_header(table *t, clm_err *err) {
    clm_cell cell[COLUMNS_MAX];
    const char *line;
    size_t n;
    if (!clm_lines_next(&t->in, &line, &n, err)) return false;
    if (!line)
        return clm_fail(err, CLM_E_FORMAT, "%s: empty; its first line must name the columns", t->in.name);
    if (n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) line += 3, n -= 3; /* a byte order mark */
    t->delimiter = clm_csv_delimiter(line, n);
    t->columns = clm_csv_split(line, n, t->delimiter, cell, COLUMNS_MAX);
    if (t->columns < 1 || t->columns > COLUMNS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s:1: %lld columns; 3 to %d are possible", t->in.name,
                        (long long)t->columns, COLUMNS_MAX);
    for (int d = 0; d < 3; d++) {
        t->at[d] = -1;
        for (int64_t c = 0; c < t->columns; c++) {
            if (!is_named(cell[c], t->spec->column[d])) continue;
            if (t->at[d] >= 0)
                return clm_fail(err, CLM_E_FORMAT, "%s:1: two columns \"%s\"", t->in.name,
                                t->spec->column[d]);
            t->at[d] = c;
        }
        if (t->at[d] < 0)
            return clm_fail(err, CLM_E_FORMAT,
                            "%s:1: no column \"%s\" in \"%.*s\"; --columns Z,Y,X tells other names",
                            t->in.name, t->spec->column[d], (int)(n < 200 ? n : 200), line);
        for (int e = 0; e < d; e++)
            if (t->at[e] == t->at[d])
                return clm_fail(err, CLM_E_ARG,
                                "--columns: \"%s\" is named twice; z, y and x are three columns",
                                t->spec->column[d]);
    }
    for (int k = 0; k < 1 + t->spec->inverse; k++)
        for (int64_t c = 0; c < t->columns; c++)
            if (is_named(cell[c], added[k]))
                return clm_fail(err, CLM_E_FORMAT, "%s:1: column \"%s\" is what this command adds: rename it",
                                t->in.name, added[k]);
    int64_t points = 0;
    if (t->spec->list && strcmp(t->spec->in, "-") == 0)
        return clm_fail(err, CLM_E_ARG, "a list begins with how many points there are: IN must be a file");
    return (!t->spec->list || t->spec->from > 0 || clm_point_list_count(t->spec->in, 1, &points, err)) &&
           put_header(t, line, n, points, err);
}

/* ---- a batch ---- */

/* as if it stood in a table of three columns */
static bool read_list_row(table *t, const char *line, size_t n, row *r, double x[3], clm_err *err) {
    *r = (row){.from = t->text.n, .n = 2, .cell = {0, 1, 2}};
    return clm_point_list_row(&t->in, line, n, t->kind, CLM_UM_PER_MM, &t->spec->grid, x, err) &&
           add(&t->text, ",,", 2, err);
}

static bool read_row(table *t, const char *line, size_t n, row *r, double x[3], clm_err *err) {
    clm_cell cell[COLUMNS_MAX];
    int64_t columns = clm_csv_split(line, n, t->delimiter, cell, COLUMNS_MAX);
    if (columns < 0)
        return clm_fail(err, CLM_E_FORMAT, "%s:%lld: a quote that is not closed on this line", t->in.name,
                        (long long)t->in.line);
    if (columns != t->columns)
        return clm_fail(err, CLM_E_FORMAT, "%s:%lld: %lld columns, the header has %lld", t->in.name,
                        (long long)t->in.line, (long long)columns, (long long)t->columns);
    *r = (row){.from = t->text.n, .n = n};
    for (int d = 0; d < 3; d++) {
        clm_cell c = cell[t->at[d]];
        if (!clm_csv_number(c, &x[d]))
            return clm_fail(err, CLM_E_FORMAT, "%s:%lld: column %s: \"%.*s\" is not a number", t->in.name,
                            (long long)t->in.line, t->spec->column[d], (int)(c.n < 60 ? c.n : 60), c.text);
        r->cell[d] = (uint32_t)(c.text - line);
        r->length[d] = (uint32_t)c.n;
    }
    return add(&t->text, line, n, err);
}

static bool read_batch(table *t, row *rows, double (*x)[3], int64_t *n, clm_err *err) {
    const char *line = "";
    size_t length;
    t->text.n = 0;
    *n = 0;
    while (*n < t->spec->batch && t->text.n < BATCH_BYTES) {
        if (t->spec->to && clm_lines_place(&t->in) >= t->spec->to) break;
        if (!clm_lines_next(&t->in, &line, &length, err)) return false;
        if (!line) break;
        if (length == 0) continue;
        if (!(t->kind ? read_list_row : read_row)(t, line, length, &rows[*n], x[*n], err)) return false;
        ++*n;
    }
    return true;
}

static const char *status_of(uint8_t flags) {
    if (flags & CLM_POINT_UNSOLVED) return "not_converged";
    if (flags & CLM_POINT_OUTSIDE) return "outside";
    return flags & CLM_POINT_EXTRAPOLATED ? "extrapolated" : "inside";
}

/* the row's text with the three cells replaced, in the order they stand */
static bool write_row(table *t, const row *r, const double x[3], uint8_t flags, double residual,
                      clm_err *err) {
    int order[3] = {0, 1, 2};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2 - i; k++)
            if (r->cell[order[k]] > r->cell[order[k + 1]]) {
                int s = order[k];
                order[k] = order[k + 1];
                order[k + 1] = s;
            }
    size_t most = r->n + 5 * 34 + 20;
    if (t->result.n + most > t->result.cap && !clm_buf_reserve(&t->result, (t->result.n + most) * 2, err))
        return false;
    char *p = (char *)t->result.data + t->result.n;
    const char *line = (const char *)t->text.data + r->from;
    size_t from = 0;
    for (int k = 0; k < 3; k++) {
        int d = order[k];
        memcpy(p, line + from, r->cell[d] - from);
        p += r->cell[d] - from;
        p += clm_csv_put_number(p, x[d]);
        from = r->cell[d] + r->length[d];
    }
    memcpy(p, line + from, r->n - from);
    p += r->n - from;
    const char *status = status_of(flags);
    *p++ = t->delimiter;
    memcpy(p, status, strlen(status));
    p += strlen(status);
    if (t->spec->inverse) {
        *p++ = t->delimiter;
        p += clm_csv_put_number(p, residual);
    }
    *p++ = '\n';
    t->result.n = (size_t)(p - (char *)t->result.data);
    return true;
}

static void count_point(clm_point_count *c, uint8_t flags, double residual) {
    c->points++;
    if (flags & CLM_POINT_UNSOLVED)
        c->unsolved++;
    else if (flags & CLM_POINT_OUTSIDE)
        c->outside++;
    else if (flags & CLM_POINT_EXTRAPOLATED)
        c->extrapolated++;
    if (!(residual <= c->worst_um)) c->worst_um = residual;
}

static bool run_batch(table *t, const clm_work *w, const row *rows, double (*x)[3], double *residual,
                      uint8_t *flags, int64_t n, clm_err *err) {
    const clm_map *back = t->spec->back;
    bool ok = t->spec->inverse && back ? clm_map_points_stored(t->map, back, w, n, x, residual, flags, err)
              : t->spec->inverse
                  ? clm_map_points_back(t->map, w, n, t->spec->tolerance_um, x, residual, flags, err)
                  : clm_map_points(t->map, w, n, x, flags, err);
    for (int64_t i = 0; ok && i < n; i++) {
        double r = t->spec->inverse ? residual[i] : 0.0;
        char point[128];
        count_point(&t->count, flags[i], r);
        ok = t->spec->list ? add(&t->result, point, clm_point_list_put(point, x[i]), err)
                           : write_row(t, &rows[i], x[i], flags[i], r, err);
    }
    return ok && clm_writer_put(&t->out, t->result.data, t->result.n, err);
}

/* so that messages tell the line of the whole file */
static bool count_lines(table *t, clm_err *err) {
    clm_lines before;
    const char *text;
    size_t n;
    if (!clm_lines_open(t->spec->in, &before, err)) return false;
    bool ok = true;
    while (ok && clm_lines_place(&before) < clm_lines_place(&t->in))
        ok = clm_lines_next(&before, &text, &n, err) && text;
    t->in.line = before.line;
    clm_lines_close(&before);
    return ok;
}

static bool run(table *t, const clm_work *w, clm_err *err) {
    int64_t batch = t->spec->batch, n = 1;
    row *rows = clm_take(w->keep, row, batch, err);
    double(*x)[3] = rows ? clm_arena_take(w->keep, batch, sizeof *x, err) : NULL;
    double *residual = x ? clm_take(w->keep, double, batch, err) : NULL;
    uint8_t *flags = residual ? clm_take(w->keep, uint8_t, batch, err) : NULL;
    if (!flags || !clm_point_list_kind(t->spec->in, &t->kind, err) ||
        !(t->kind ? read_list_header : read_header)(t, err))
        return false;
    if (t->spec->from > 0) {
        int64_t first = clm_lines_place(&t->in); /* row */
        t->result.n = 0;
        if (!clm_lines_seek(&t->in, t->spec->from > first ? t->spec->from : first, err) ||
            (t->numbered && !count_lines(t, err)))
            return false;
    }
    while (n > 0) {
        if (!read_batch(t, rows, x, &n, err) || !run_batch(t, w, rows, x, residual, flags, n, err))
            return false;
        t->result.n = 0;
    }
    return clm_writer_publish(&t->out, err);
}

static bool run_once(const clm_map *map, const clm_point_table *spec, const clm_work *w, bool numbered,
                     clm_point_count *count, clm_err *err) {
    table *t = clm_heap_new(1, sizeof *t, err);
    if (!t) return false;
    t->map = map;
    t->spec = spec;
    t->numbered = numbered;
    bool in = clm_lines_open(spec->in, &t->in, err), out = in && clm_writer_open(spec->out, &t->out, err);
    bool ok = out && run(t, w, err);
    if (ok) *count = t->count;
    if (out) clm_writer_close(&t->out);
    if (in) clm_lines_close(&t->in);
    clm_buf_free(&t->text);
    clm_buf_free(&t->result);
    clm_heap_free(t);
    return ok;
}

bool clm_point_table_run(const clm_map *map, const clm_point_table *spec, const clm_work *w,
                         clm_point_count *count, clm_err *err) {
    clm_mark keep = clm_arena_mark(w->keep), temp = clm_arena_mark(w->temp);
    bool ok = run_once(map, spec, w, false, count, err);
    clm_arena_rewind(w->keep, keep);
    clm_arena_rewind(w->temp, temp);
    if (ok || err->code != CLM_E_FORMAT || spec->from <= 0) return ok;
    /* the same once more, to say in which line */
    *err = CLM_ERR_NONE;
    return run_once(map, spec, w, true, count, err);
}
