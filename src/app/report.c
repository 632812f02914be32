#include "collimate/app/report.h"
#include "collimate/app/evaluation.h"
#include "collimate/base/csv.h"
#include "collimate/base/file.h"
#include "report_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAILED_TOLD 500              /* blocks in the table; blocks.jsonl has all of them */
#define FIELD_MOST ((size_t)1 << 20) /* bytes of its histograms */

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Collimate: report</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1240px;padding:0 1em;color:#222}\n"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ccc}\n"
    "table{border-collapse:collapse}td,th{padding:.15em .9em;text-align:right;border-bottom:1px solid #eee}\n"
    "td:first-child,th:first-child{text-align:left}td.text{text-align:left}img{max-width:100%;margin:.3em 0}\n"
    "svg{background:#fafafa;margin-right:1em}figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top}\n"
    "figcaption{font-size:.9em;color:#555}code{background:#f3f3f3;padding:0 .2em}\n"
    "</style></head><body>\n";

/* text that is no markup */
static bool put_text(clm_buf *b, const char *text, clm_err *err) {
    bool ok = true;
    for (; ok && *text; text++) {
        const char *as = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        ok = as ? clm_buf_printf(b, err, "%s", as) : clm_buf_printf(b, err, "%c", *text);
    }
    return ok;
}

static bool put_row(clm_buf *b, const char *name, const char *value, clm_err *err) {
    return clm_buf_printf(b, err, "<tr><td>%s</td><td class=\"text\">", name) && put_text(b, value, err) &&
           clm_buf_printf(b, err, "</td></tr>\n");
}

static bool put_image(clm_buf *b, const char *name, const clm_image *im, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    return clm_buf_printf(
        b, err,
        "<tr><td>%s</td><td class=\"text\">%lld x %lld x %lld voxels of %.4g x %.4g x %.4g um (z y x), %s</td></tr>\n",
        name, (long long)l->shape[0], (long long)l->shape[1], (long long)l->shape[2], l->spacing_um[0],
        l->spacing_um[1], l->spacing_um[2], clm_dtype_name(clm_image_info_of(im)->dtype));
}

static bool put_job(clm_buf *b, const clm_run *run, clm_err *err) {
    const clm_config *c = run->config;
    return clm_buf_printf(b, err, "<h1>Alignment report</h1>\n<table>\n") &&
           put_row(b, "fixed", c->fixed, err) && put_image(b, "", run->fixed, err) &&
           put_row(b, "moving", c->moving, err) && put_image(b, "", run->moving, err) &&
           put_row(b, "preset", c->preset[0] ? c->preset : "none", err) &&
           clm_buf_printf(b, err,
                          "</table>\n<p>Every setting: <a href=\"../job.json\">job.json</a>; every block: "
                          "<a href=\"../blocks.jsonl\">blocks.jsonl</a>.</p>\n");
}

static double number(const clm_json *v, const char *key) {
    double x = NAN;
    (void)clm_json_number(clm_json_get(v, key), &x);
    return x;
}

static bool put_number(clm_buf *b, double x, clm_err *err) {
    return isfinite(x) ? clm_buf_printf(b, err, "<td>%.4g</td>", x) : clm_buf_printf(b, err, "<td></td>");
}

static bool put_metrics(clm_buf *b, const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    if (!clm_run_path(run, path, err, "metrics.json")) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    bool ok =
        clm_json_read(path, &v, err) &&
        clm_buf_printf(b, err,
                       "<h2>Before and after</h2>\n<table><tr><th>under</th><th>NCC</th><th>local NCC</th>"
                       "<th>min Jacobian</th><th>voxels</th></tr>\n");
    for (const clm_json *s = clm_json_first(clm_json_get(v, "stages")); ok && s; s = clm_json_next(s))
        ok = clm_buf_printf(b, err, "<tr><td>") && put_text(b, clm_json_key(s), err) &&
             clm_buf_printf(b, err, "</td>") && put_number(b, number(s, "ncc"), err) &&
             put_number(b, number(s, "local_ncc"), err) && put_number(b, number(s, "min_jacobian"), err) &&
             clm_buf_printf(b, err, "<td>%.0f</td></tr>\n", number(s, "voxels"));
    clm_json_free(v);
    return ok && clm_buf_printf(b, err, "</table>\n");
}

/* how the global affine came about, where it was not as usual */
static bool put_global(clm_buf *b, const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    if (!clm_run_path(run, path, err, "affine.json")) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    if (!clm_json_read(path, &v, err)) return false;
    const char *method = clm_json_text(clm_json_get(v, "method")),
               *note = clm_json_text(clm_json_get(v, "note")),
               *warning = clm_json_text(clm_json_get(v, "warning"));
    bool ok = true;
    if (method && strcmp(method, "blobs") != 0)
        ok = clm_buf_printf(b, err, "<p>Global affine: method ") && put_text(b, method, err) &&
             (!isfinite(number(v, "stands_out")) ||
              clm_buf_printf(b, err, ", similarity %.3g, %.3g standard deviations above random placements",
                             number(v, "ncc_refined"), number(v, "stands_out"))) &&
             (!note || (clm_buf_printf(b, err, "; by blobs: ") && put_text(b, note, err))) &&
             clm_buf_printf(b, err, ".</p>\n");
    if (ok && warning)
        ok = clm_buf_printf(b, err, "<p><strong>") && put_text(b, warning, err) &&
             clm_buf_printf(b, err, "</strong></p>\n");
    clm_json_free(v);
    return ok;
}

/* ---- the blocks ---- */

typedef struct stage_sum {
    char name[24];
    int64_t blocks, failed;
    double seconds, peak_bytes;
} stage_sum;

typedef struct blocks {
    stage_sum stage[CLM_STAGE_MAX];
    int n_stages;
    clm_buf failed; /* rows of the table */
    int64_t n_failed;
    clm_buf map[CLM_STAGE_MAX]; /* squares of the block maps */
    int64_t layers[CLM_STAGE_MAX], rows[CLM_STAGE_MAX], columns[CLM_STAGE_MAX];
    float *residual; /* rms_um of blocks that have one */
    int64_t n_residuals, room;
} blocks;

static int stage_of(blocks *k, const char *name) {
    for (int s = 0; s < k->n_stages; s++)
        if (strcmp(k->stage[s].name, name) == 0) return s;
    if (k->n_stages == CLM_STAGE_MAX) return CLM_STAGE_MAX - 1;
    (void)snprintf(k->stage[k->n_stages].name, sizeof k->stage[0].name, "%s", name);
    return k->n_stages++;
}

static bool add_residual(blocks *k, double x, clm_err *err) {
    if (!isfinite(x)) return true;
    if (k->n_residuals == k->room) {
        void *p = k->residual;
        k->room = 2 * k->room + 256;
        if (!clm_heap_grow(&p, (size_t)k->room, sizeof *k->residual, err)) return false;
        k->residual = p;
    }
    k->residual[k->n_residuals++] = (float)x;
    return true;
}

static bool add_square(blocks *k, int s, const int64_t at[3], const char *status, const char *reason,
                       clm_err *err) {
    enum { SIDE = 12, MOST_BYTES = 4 << 20 };
    if (k->map[s].n > MOST_BYTES) return true; /* a map of so many blocks shows nothing */
    bool ok = strcmp(status, "ok") == 0, abstains = strcmp(status, "no_data") == 0;
    if (at[0] + 1 > k->layers[s]) k->layers[s] = at[0] + 1;
    if (at[1] + 1 > k->rows[s]) k->rows[s] = at[1] + 1;
    if (at[2] + 1 > k->columns[s]) k->columns[s] = at[2] + 1;
    /* the place is told in blocks; the picture is laid out when all are known */
    return clm_buf_printf(
               &k->map[s], err,
               "<use href=\"#b\" x=\"%lld\" y=\"%lld\" class=\"l%lld\" fill=\"%s\"><title>%lld,%lld,%lld %s %s",
               (long long)(at[2] * SIDE), (long long)(at[1] * SIDE), (long long)at[0],
               ok         ? "#4a9d5b"
               : abstains ? "#d9b648"
                          : "#c0392b",
               (long long)at[0], (long long)at[1], (long long)at[2], status, ok ? "" : ": ") &&
           put_text(&k->map[s], reason, err) && clm_buf_printf(&k->map[s], err, "</title></use>\n");
}

/* names of stages and statuses are words of ours; they go into the page as they are */
static bool is_word(const char *text) {
    return text && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._")] == 0;
}

static bool add_block(blocks *k, const clm_json *v, clm_err *err) {
    const char *name = clm_json_text(clm_json_get(v, "stage")),
               *status = clm_json_text(clm_json_get(v, "status"));
    const char *reason = clm_json_text(clm_json_get(v, "reason"));
    int64_t at[3] = {0, 0, 0};
    if (!is_word(name) || !is_word(status))
        return clm_fail(err, CLM_E_FORMAT, "a block without stage or status");
    (void)clm_json_ints(clm_json_get(v, "at_zyx"), 3, at);
    int s = stage_of(k, name);
    stage_sum *t = &k->stage[s];
    t->blocks++;
    t->seconds += fmax(0.0, number(v, "seconds"));
    t->peak_bytes = fmax(t->peak_bytes, number(v, "peak_bytes"));
    bool failed = strcmp(status, "ok") != 0;
    t->failed += failed;
    if (!add_residual(k, number(v, "rms_um"), err) ||
        !add_square(k, s, at, status, reason ? reason : "", err))
        return false;
    if (!failed || k->n_failed++ >= FAILED_TOLD) return true;
    return clm_buf_printf(&k->failed, err,
                          "<tr><td>%s</td><td>%lld, %lld, %lld</td><td class=\"text\">%s</td>"
                          "<td class=\"text\">",
                          name, (long long)at[0], (long long)at[1], (long long)at[2], status) &&
           put_text(&k->failed, reason ? reason : "", err) && clm_buf_printf(&k->failed, err, "</td></tr>\n");
}

static bool read_blocks(const clm_run *run, blocks *k, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_lines lines;
    const char *text = "";
    size_t n;
    if (!clm_run_path(run, path, err, "blocks.jsonl")) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    if (!clm_lines_open(path, &lines, err)) return false;
    bool ok = true;
    while (ok && (ok = clm_lines_next(&lines, &text, &n, err)) && text) {
        clm_json *v = NULL;
        ok = clm_json_parse(text, n, path, &v, err) && add_block(k, v, err);
        clm_json_free(v);
    }
    clm_lines_close(&lines);
    return ok;
}

static bool put_stages(clm_buf *b, const blocks *k, clm_err *err) {
    bool ok = clm_buf_printf(b, err,
                             "<h2>Stages</h2>\n<table><tr><th>stage</th><th>blocks</th><th>failed</th>"
                             "<th>busy</th><th>most memory</th></tr>\n");
    for (int s = 0; ok && s < k->n_stages; s++) {
        const stage_sum *t = &k->stage[s];
        ok = clm_buf_printf(b, err, "<tr><td>%s</td><td>%lld</td><td>%lld</td><td>%s</td><td>%s</td></tr>\n",
                            t->name, (long long)t->blocks, (long long)t->failed,
                            clm_text_seconds(t->seconds).s, clm_text_bytes(t->peak_bytes).s);
    }
    ok = ok && clm_buf_printf(b, err, "</table>\n");
    if (!ok || !k->n_failed) return ok;
    return clm_buf_printf(b, err,
                          "<h2>Blocks that failed: %lld</h2>\n<table><tr><th>stage</th><th>z, y, x</th>"
                          "<th>status</th><th>reason</th></tr>\n%s</table>\n",
                          (long long)k->n_failed, (const char *)k->failed.data) &&
           (k->n_failed <= FAILED_TOLD ||
            clm_buf_printf(b, err, "<p>... the rest is in blocks.jsonl.</p>\n"));
}

/* the layers of z one under the other, moved there by a class each */
static bool put_maps(clm_buf *b, const blocks *k, clm_err *err) {
    enum { SIDE = 12, GAP = 6 };
    bool ok =
        clm_buf_printf(b, err,
                       "<h2>Blocks by status</h2>\n<p>Green: done; yellow: too little signal; red: failed. "
                       "Layers of z from top to bottom.</p>\n<svg width=\"0\" height=\"0\"><rect id=\"b\" "
                       "width=\"11\" height=\"11\"/></svg>\n");
    for (int s = 0; ok && s < k->n_stages; s++) {
        int64_t high = k->rows[s] * SIDE + GAP;
        if (!k->map[s].n) continue;
        ok = clm_buf_printf(b, err, "<figure><svg id=\"m%d\" width=\"%lld\" height=\"%lld\"><style>", s,
                            (long long)(k->columns[s] * SIDE), (long long)(k->layers[s] * high));
        for (int64_t z = 0; ok && z < k->layers[s]; z++)
            ok = clm_buf_printf(b, err, "#m%d .l%lld{transform:translateY(%lldpx)}", s, (long long)z,
                                (long long)(z * high));
        ok = ok && clm_buf_printf(b, err, "</style>%s</svg><figcaption>%s</figcaption></figure>\n",
                                  (const char *)k->map[s].data, k->stage[s].name);
    }
    return ok;
}

/* ---- histograms ---- */

static bool put_residuals(clm_buf *b, const blocks *k, clm_err *err) {
    double bar[CLM_REPORT_BARS] = {0}, most = 1e-9;
    for (int64_t i = 0; i < k->n_residuals; i++) most = fmax(most, 1.01 * (double)k->residual[i]);
    for (int64_t i = 0; i < k->n_residuals; i++)
        bar[(int)(fmax(0.0, (double)k->residual[i]) / most * CLM_REPORT_BARS)]++;
    return clm_report_put_bars(b, bar, 0.0, most, "residual of the blocks' matches (rms, um)", err);
}

/* of the blocks here, of the field as a task left them */
static bool put_histograms(clm_buf *b, const clm_run *run, const blocks *k, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_buf field = {0};
    if (!clm_buf_printf(b, err, "<h2>Histograms</h2>\n") || !put_residuals(b, k, err) ||
        !clm_report_field_path(run, path, err))
        return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    bool ok = clm_file_read(path, FIELD_MOST, &field, err) &&
              clm_buf_printf(b, err, "%.*s", (int)field.n, (const char *)field.data);
    clm_buf_free(&field);
    return ok;
}

static bool has_picture(const clm_run *run, const char *name) {
    char path[CLM_PATH_MAX];
    clm_err none = CLM_ERR_NONE;
    return clm_run_path(run, path, &none, "report/%s.png", name) && clm_path_kind_of(path) == CLM_PATH_FILE;
}

static bool put_picture(clm_buf *b, const clm_run *run, const char *name, const char *text, clm_err *err) {
    return !has_picture(run, name) ||
           clm_buf_printf(b, err,
                          "<figure><img src=\"%s.png\" alt=\"%s\"><figcaption>%s</figcaption></figure>\n",
                          name, text, text);
}

static bool put_pictures(clm_buf *b, const clm_run *run, clm_err *err) {
    bool ok = true;
    if (has_picture(run, "slice_x"))
        ok = clm_buf_printf(
            b, err,
            "<h2>Slices before and after</h2>\n<img src=\"slice_z.png\" alt=\"across z\">\n"
            "<img src=\"slice_y.png\" alt=\"across y\">\n<img src=\"slice_x.png\" alt=\"across x\">\n");
    if (ok && (has_picture(run, "local_ncc") || has_picture(run, "jacobian")))
        ok = clm_buf_printf(b, err, "<h2>Middle plane of z</h2>\n");
    return ok && put_picture(b, run, "local_ncc_before", "local NCC before (grey: no contrast)", err) &&
           put_picture(b, run, "local_ncc", "local NCC after (grey: no contrast)", err) &&
           put_picture(b, run, "jacobian", "Jacobian: volume after over before", err) &&
           put_picture(b, run, "displacement", "displacement beside the affine, um", err);
}

/* the table that evaluate printed */
static bool put_evaluation(clm_buf *b, const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    clm_buf table = {0};
    if (!clm_run_path(run, path, err, "%s/evaluation.json", CLM_RUN_EVALUATION)) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    bool ok = clm_json_read(path, &v, err) && clm_evaluation_print(v, &table, err) &&
              clm_buf_printf(b, err,
                             "<h2>Evaluation</h2>\n<p>As collimate evaluate measured it; every figure: "
                             "<a href=\"../evaluation/evaluation.json\">evaluation.json</a>.</p>\n<pre>") &&
              put_text(b, (const char *)table.data, err) && clm_buf_printf(b, err, "</pre>\n");
    clm_json_free(v);
    clm_buf_free(&table);
    return ok;
}

static bool draw_all(const clm_run *run, bool all, clm_err *err) {
    clm_work w = {0};
    bool ok = clm_arena_open_pair((size_t)512 << 20, &w.keep, &w.temp, err);
    for (int k = 0; ok && all && k < CLM_RUN_PICTURES; k++) {
        ok = clm_report_draw(run, &w, k, err);
        clm_arena_reset(w.keep, 0);
    }
    ok = ok && clm_report_draw_evaluation(run, &w, err);
    clm_arena_close(w.keep);
    clm_arena_close(w.temp);
    return ok;
}

bool clm_report_write(const clm_run *run, bool draw, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    blocks *k = clm_heap_new(1, sizeof *k, err);
    bool ok =
        k && draw_all(run, draw, err) && read_blocks(run, k, err) && clm_buf_printf(&b, err, "%s", head) &&
        put_job(&b, run, err) && put_metrics(&b, run, err) && put_global(&b, run, err) &&
        put_evaluation(&b, run, err) && put_pictures(&b, run, err) && put_histograms(&b, run, k, err) &&
        put_stages(&b, k, err) && put_maps(&b, k, err) && clm_buf_printf(&b, err, "</body></html>\n") &&
        clm_run_path(run, path, err, "report/index.html") && clm_file_publish(path, b.data, b.n, false, err);
    for (int s = 0; k && s < CLM_STAGE_MAX; s++) clm_buf_free(&k->map[s]);
    if (k) {
        clm_buf_free(&k->failed);
        clm_heap_free(k->residual);
    }
    clm_heap_free(k);
    clm_buf_free(&b);
    return ok ? true : clm_err_in(err, "report");
}
