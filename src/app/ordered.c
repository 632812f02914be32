#include "collimate/app/ordered.h"
#include "collimate/base/csv.h"
#include "collimate/base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 20 }; /* digits before a line in a part */

typedef struct entry {
    uint64_t key;
    size_t at, n; /* in the text */
} entry;

/* A part while parts are merged. */
typedef struct part {
    clm_lines lines;
    bool open;
    uint64_t key;
    const char *line; /* NULL: at its end */
    size_t n;
} part;

struct clm_ordered {
    char path[CLM_PATH_MAX], parts[CLM_PATH_MAX];
    size_t budget, cap;
    clm_buf text;
    entry *entry;
    size_t n;
    int n_parts;
};

bool clm_ordered_open(const char *path, const char *parts, size_t budget_bytes, clm_ordered **out,
                      clm_err *err) {
    clm_ordered *o = clm_heap_new(1, sizeof *o, err);
    if (!o) return false;
    o->budget = budget_bytes;
    *out = o;
    if (clm_path_format(o->path, err, "%s", path) && clm_path_format(o->parts, err, "%s", parts)) return true;
    clm_ordered_close(o);
    *out = NULL;
    return false;
}

static bool part_path(const clm_ordered *o, int k, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(out, err, "%s/ordered.%d", o->parts, k);
}

static void drop_parts(clm_ordered *o) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    while (o->n_parts > 0)
        if (!part_path(o, --o->n_parts, path, &err) || !clm_file_remove(path, &err)) continue;
}

void clm_ordered_close(clm_ordered *o) {
    if (!o) return;
    drop_parts(o);
    clm_buf_free(&o->text);
    clm_heap_free(o->entry);
    clm_heap_free(o);
}

static int by_key(const void *a, const void *b) {
    const entry *p = a, *q = b;
    if (p->key != q->key) return p->key < q->key ? -1 : 1;
    return p->at < q->at ? -1 : p->at > q->at;
}

/* what is held, in order; with its keys or without */
static bool put_held(clm_ordered *o, clm_writer *w, bool keys, clm_err *err) {
    if (o->n) qsort(o->entry, o->n, sizeof *o->entry, by_key);
    clm_buf b = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < o->n; i++) {
        const entry *e = &o->entry[i];
        if (i && e->key == e[-1].key) continue;
        ok = (!keys || clm_buf_printf(&b, err, "%0*" PRIu64, KEY, e->key)) &&
             clm_buf_printf(&b, err, "%.*s\n", (int)e->n, (const char *)o->text.data + e->at);
        if (!ok || (b.n < ((size_t)1 << 16) && i + 1 < o->n)) continue;
        ok = clm_writer_put(w, b.data, b.n, err);
        b.n = 0;
    }
    ok = ok && (!b.n || clm_writer_put(w, b.data, b.n, err));
    clm_buf_free(&b);
    o->n = o->text.n = 0;
    return ok;
}

static bool put_part(clm_ordered *o, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_writer w;
    if (!clm_folder_make(o->parts, err) || !part_path(o, o->n_parts, path, err)) return false;
    bool ok = clm_writer_open(path, &w, err) && put_held(o, &w, true, err) && clm_writer_publish(&w, err);
    clm_writer_close(&w);
    o->n_parts += ok;
    return ok;
}

bool clm_ordered_add(clm_ordered *o, uint64_t key, const char *line, size_t n, clm_err *err) {
    if (o->text.n + o->n * sizeof(entry) + n > o->budget && o->n && !put_part(o, err)) return false;
    if (o->n == o->cap) {
        void *p = o->entry;
        if (!clm_heap_grow(&p, o->cap * 2 + 256, sizeof(entry), err)) return false;
        o->entry = p;
        o->cap = o->cap * 2 + 256;
    }
    if (o->text.n + n > o->text.cap && !clm_buf_reserve(&o->text, (o->text.n + n) * 2, err)) return false;
    o->entry[o->n++] = (entry){.key = key, .at = o->text.n, .n = n};
    memcpy(o->text.data + o->text.n, line, n);
    o->text.n += n;
    return true;
}

/* ---- merging ---- */

static bool next_of(part *p, clm_err *err) {
    const char *text;
    size_t n;
    char digits[KEY + 1] = "";
    if (!clm_lines_next(&p->lines, &text, &n, err)) return false;
    p->line = NULL;
    if (!text) return true;
    if (n < KEY) return clm_fail(err, CLM_E_FORMAT, "%s: a line without a key", p->lines.name);
    memcpy(digits, text, KEY);
    p->key = strtoull(digits, NULL, 10); /* allow: written by put_held */
    p->line = text + KEY;
    p->n = n - KEY;
    return true;
}

/* earlier parts first where keys are equal; those at their end last */
static bool before(const part *p, int a, int b) {
    if (!p[a].line || !p[b].line) return p[a].line != NULL || (!p[b].line && a < b);
    return p[a].key != p[b].key ? p[a].key < p[b].key : a < b;
}

/* heap[0] is the first; its value may have grown */
static void sift(const part *p, int *heap, int n, int at) {
    for (int k; (k = 2 * at + 1) < n; at = k) {
        if (k + 1 < n && before(p, heap[k + 1], heap[k])) k++;
        if (!before(p, heap[k], heap[at])) return;
        int t = heap[k];
        heap[k] = heap[at], heap[at] = t;
    }
}

static bool merge(part *p, int *heap, int n, clm_writer *w, clm_err *err) {
    clm_buf b = {0};
    uint64_t last = 0;
    bool ok = true, some = false;
    for (int i = 0; i < n; i++) heap[i] = i;
    for (int i = n / 2; i-- > 0;) sift(p, heap, n, i);
    while (ok && p[heap[0]].line) {
        part *first = &p[heap[0]];
        if (!some || first->key != last) ok = clm_buf_printf(&b, err, "%.*s\n", (int)first->n, first->line);
        some = true;
        last = first->key;
        if (ok && b.n > ((size_t)1 << 16)) {
            ok = clm_writer_put(w, b.data, b.n, err);
            b.n = 0;
        }
        ok = ok && next_of(first, err);
        sift(p, heap, n, 0);
    }
    ok = ok && (!b.n || clm_writer_put(w, b.data, b.n, err));
    clm_buf_free(&b);
    return ok;
}

static bool merge_parts(clm_ordered *o, clm_writer *w, clm_err *err) {
    char path[CLM_PATH_MAX];
    if (o->n && !put_part(o, err)) return false;
    part *p = clm_heap_new((size_t)o->n_parts, sizeof *p, err);
    int *heap = p ? clm_heap_new((size_t)o->n_parts, sizeof *heap, err) : NULL;
    bool ok = heap != NULL;
    for (int k = 0; ok && k < o->n_parts; k++) {
        ok = part_path(o, k, path, err) && clm_lines_open(path, &p[k].lines, err);
        p[k].open = ok;
        ok = ok && next_of(&p[k], err);
    }
    ok = ok && merge(p, heap, o->n_parts, w, err);
    for (int k = 0; p && k < o->n_parts; k++)
        if (p[k].open) clm_lines_close(&p[k].lines);
    clm_heap_free(heap);
    clm_heap_free(p);
    return ok;
}

bool clm_ordered_publish(clm_ordered *o, clm_err *err) {
    clm_writer w;
    bool ok = clm_writer_open(o->path, &w, err) &&
              (o->n_parts ? merge_parts(o, &w, err) : put_held(o, &w, false, err)) &&
              clm_writer_publish(&w, err);
    clm_writer_close(&w);
    if (ok) drop_parts(o);
    return ok;
}
