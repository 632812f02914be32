#include "collimate/app/tally.h"
#include "collimate/app/ordered.h"
#include "collimate/base/file.h"
#include "collimate/cluster/journal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define RANKS_TOLD 64
#define LIST_BYTES ((size_t)64 << 20) /* of blocks.jsonl, in memory at once */

/* One stage's figures put together. */
typedef struct stage_sum {
    int64_t ended, failed;
    double seconds;
    double sum[CLM_FIGURE_COUNT], least[CLM_FIGURE_COUNT], most[CLM_FIGURE_COUNT];
    int64_t n[CLM_FIGURE_COUNT];
} stage_sum;

struct clm_tally {
    const clm_run *run;
    stage_sum stage[CLM_STAGE_MAX];
    double rss[RANKS_TOLD]; /* bytes */
    double task_peak;
};

bool clm_tally_open(const clm_run *run, clm_tally **out, clm_err *err) {
    clm_tally *t = clm_heap_new(1, sizeof *t, err);
    if (!t) return false;
    t->run = run;
    *out = t;
    return true;
}

void clm_tally_close(clm_tally *t) { clm_heap_free(t); }

static bool is_block(clm_job_kind k) {
    return k == CLM_JOB_SPOTS || k == CLM_JOB_LOCAL || k == CLM_JOB_DEFORM || k == CLM_JOB_MEASURE;
}

void clm_tally_add(clm_tally *t, const clm_outcome *o) {
    stage_sum *s = &t->stage[o->task.stage];
    s->ended++;
    s->failed += o->err.code != CLM_OK;
    s->seconds += o->seconds;
    for (int i = 0; i < CLM_FIGURE_COUNT; i++) {
        double x = o->figure[i];
        if (isnan(x)) continue;
        if (!s->n[i]) s->least[i] = s->most[i] = x;
        s->least[i] = fmin(s->least[i], x);
        s->most[i] = fmax(s->most[i], x);
        s->sum[i] += x;
        s->n[i]++;
    }
    if (o->peak_bytes > t->task_peak) t->task_peak = o->peak_bytes;
    double rss = o->figure[CLM_FIGURE_RSS];
    if (o->rank >= 0 && o->rank < RANKS_TOLD && rss > t->rss[o->rank]) t->rss[o->rank] = rss;
}

static bool one_line(const clm_run *run, const clm_outcome *o, clm_buf *b, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    const clm_stage *s = &run->stage[o->task.stage];
    int64_t at[3] = {o->task.index / s->shape[2] / s->shape[1], o->task.index / s->shape[2] % s->shape[1],
                     o->task.index % s->shape[2]};
    clm_json_add_text(v, "stage", s->name);
    clm_json_add_number(v, "block", (double)o->task.index);
    clm_json_add_ints(v, "at_zyx", at, 3);
    clm_json_add_text(v, "status", clm_code_name(o->err.code));
    if (o->err.code != CLM_OK) clm_json_add_text(v, "reason", o->err.text);
    for (int i = 0; i < CLM_FIGURE_RSS; i++) {
        const char *name = clm_job_figure(run->kind[o->task.stage], i).name;
        if (name && !isnan(o->figure[i])) clm_json_add_number(v, name, o->figure[i]);
    }
    clm_json_add_number(v, "seconds", o->seconds);
    clm_json_add_number(v, "peak_bytes", o->peak_bytes);
    clm_json_add_number(v, "rank", o->rank);
    bool ok = clm_json_print(v, false, b, err);
    clm_json_free(v);
    return ok;
}

typedef struct list {
    const clm_run *run;
    clm_ordered *lines;
    clm_buf b;
} list;

static bool add_block(void *ctx, const clm_outcome *o, clm_err *err) {
    list *l = ctx;
    if (o->task.stage < 0 || o->task.stage >= l->run->plan.n_stages || !is_block(l->run->kind[o->task.stage]))
        return true;
    l->b.n = 0;
    uint64_t key = ((uint64_t)o->task.stage << 56) + (uint64_t)o->task.index;
    return one_line(l->run, o, &l->b, err) &&
           clm_ordered_add(l->lines, key, (const char *)l->b.data, l->b.n - 1, err); /* without its end */
}

bool clm_tally_write(const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX], parts[CLM_PATH_MAX];
    list l = {.run = run};
    const clm_journal_reader reader = {.outcome = add_block, .ctx = &l};
    clm_journal_info info;
    bool ok = clm_run_path(run, path, err, "blocks.jsonl") && clm_run_path(run, parts, err, "spill") &&
              clm_ordered_open(path, parts, LIST_BYTES, &l.lines, err) &&
              clm_journal_read(run->folder, &reader, NULL, NULL, &info, err) &&
              clm_ordered_publish(l.lines, err);
    clm_ordered_close(l.lines);
    clm_buf_free(&l.b);
    return ok;
}

static double told(const stage_sum *s, int i, clm_figure_how how) {
    switch (how) {
    case CLM_FIGURE_SUM: return s->sum[i];
    case CLM_FIGURE_MEAN: return s->sum[i] / (double)s->n[i];
    case CLM_FIGURE_LEAST: return s->least[i];
    default: return s->most[i];
    }
}

static bool print_stage(const clm_tally *t, int k, clm_buf *b, clm_err *err) {
    const stage_sum *s = &t->stage[k];
    const clm_stage *stage = &t->run->stage[k];
    if (!clm_buf_printf(b, err, "  %-10s %7" PRId64 " %7" PRId64 " %9s ", stage->name, s->ended, s->failed,
                        clm_text_seconds(s->seconds).s))
        return false;
    for (int i = 0; i < CLM_FIGURE_RSS; i++) {
        clm_figure f = clm_job_figure(t->run->kind[k], i);
        if (f.name && s->n[i] && !clm_buf_printf(b, err, " %s %.4g", f.name, told(s, i, f.how))) return false;
    }
    return clm_buf_printf(b, err, "\n");
}

static bool print_metrics(const clm_tally *t, clm_buf *b, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    if (!clm_run_path(t->run, path, err, "metrics.json")) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FILE) return true;
    if (!clm_json_read(path, &v, err)) return false;
    bool ok =
        clm_buf_printf(b, err, "\n  %-10s %8s %10s %13s\n", "after", "NCC", "local NCC", "min Jacobian");
    for (const clm_json *s = clm_json_first(clm_json_get(v, "stages")); ok && s; s = clm_json_next(s)) {
        double ncc = NAN, local = NAN, jacobian = 1.0;
        (void)clm_json_number(clm_json_get(s, "ncc"), &ncc);
        (void)clm_json_number(clm_json_get(s, "local_ncc"), &local);
        bool has = clm_json_number(clm_json_get(s, "min_jacobian"), &jacobian);
        ok = clm_buf_printf(b, err, "  %-10s %8.4f %10.4f", clm_json_key(s), ncc, local) &&
             (has ? clm_buf_printf(b, err, " %13.3f\n", jacobian) : clm_buf_printf(b, err, "\n"));
    }
    clm_json_free(v);
    return ok;
}

bool clm_tally_print(const clm_tally *t, clm_buf *b, clm_err *err) {
    bool ok =
        clm_buf_printf(b, err, "\n  %-10s %7s %7s %9s  %s\n", "stage", "tasks", "failed", "busy", "figures");
    for (int k = 0; ok && k < t->run->plan.n_stages; k++)
        if (t->stage[k].ended) ok = print_stage(t, k, b, err);
    ok = ok && print_metrics(t, b, err);
    ok = ok && clm_buf_printf(b, err, "\n  peak memory: task %s", clm_text_bytes(t->task_peak).s);
    for (int r = 0; ok && r < RANKS_TOLD; r++)
        if (t->rss[r] > 0.0) ok = clm_buf_printf(b, err, ", rank %d %s", r, clm_text_bytes(t->rss[r]).s);
    return ok && clm_buf_printf(b, err, "\n");
}
