#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/json.h"
#include "collimate/cluster/journal.h"

#include <stdio.h>
#include <time.h>

#define REASONS_TOLD 10

static const char help[] =
    "Usage: collimate status DIR [--json]\n\n"
    "How far the run in DIR is, how fast, and what failed. Reads the journal only; works while the run goes on.\n\n"
    "Examples:\n"
    "  collimate status out\n"
    "  watch collimate status out\n"
    "Exit codes: 0 done; 1 done, but blocks failed; 3 no run there; 5 not done (going on, or to be resumed).\n";

typedef struct seen {
    int64_t ended[64], failed[64];
    double seconds[64];
    clm_outcome reason[REASONS_TOLD];
    int64_t failures;
    double launch_s, last_s; /* unix */
    int64_t launches, since_launch;
} seen;

static bool take_outcome(void *ctx, const clm_outcome *o, clm_err *err) {
    seen *s = ctx;
    (void)err;
    if (o->task.stage < 0 || o->task.stage >= 64) return true;
    s->ended[o->task.stage]++;
    s->seconds[o->task.stage] += o->seconds;
    s->since_launch++;
    if (!o->err.code) return true;
    s->failed[o->task.stage]++;
    if (s->failures < REASONS_TOLD) s->reason[s->failures] = *o;
    s->failures++;
    return true;
}

static bool take_stamp(void *ctx, const clm_stamp *m, clm_err *err) {
    seen *s = ctx;
    (void)err;
    if (m->kind == CLM_STAMP_LAUNCH) s->launch_s = m->unix_s, s->launches++, s->since_launch = 0;
    s->last_s = m->unix_s;
    return true;
}

static bool print_json(const seen *s, const clm_stage *stages, int n, bool done, clm_err *err) {
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_bool(v, "done", done);
    clm_json_add_number(v, "launches", (double)s->launches);
    clm_json_add_number(v, "failed", (double)s->failures);
    clm_json *list = clm_json_add_list(v, "stages");
    for (int k = 0; k < n; k++) {
        clm_json *e = clm_json_add_object(list, NULL);
        clm_json_add_text(e, "name", stages[k].name);
        clm_json_add_number(e, "tasks", (double)stages[k].n);
        clm_json_add_number(e, "ended", (double)s->ended[k]);
        clm_json_add_number(e, "failed", (double)s->failed[k]);
        clm_json_add_number(e, "busy_seconds", s->seconds[k]);
    }
    bool ok = clm_json_print(v, true, &b, err);
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static void print_text(const seen *s, const clm_stage *stages, int n, bool done) {
    (void)printf("  %-10s %9s %9s %9s %9s\n", "stage", "ended", "of", "failed", "busy");
    for (int k = 0; k < n; k++)
        (void)printf("  %-10s %9lld %9lld %9lld %9s\n", stages[k].name, (long long)s->ended[k],
                     (long long)stages[k].n, (long long)s->failed[k], clm_text_seconds(s->seconds[k]).s);
    for (int64_t i = 0; i < s->failures && i < REASONS_TOLD; i++)
        (void)printf("  failed: %s %lld: %s\n", stages[s->reason[i].task.stage].name,
                     (long long)s->reason[i].task.index, s->reason[i].err.text);
    if (s->failures > REASONS_TOLD)
        (void)printf("  ... and %lld more\n", (long long)(s->failures - REASONS_TOLD));
    double span = s->last_s - s->launch_s,
           quiet = (double)time(NULL) - s->last_s; /* allow: for people only */
    if (done)
        (void)printf("done\n");
    else
        (void)printf("launch %lld, %.3g tasks/s, last word %s ago\n", (long long)s->launches,
                     span > 0.0 ? (double)s->since_launch / span : 0.0,
                     clm_text_seconds(quiet > 0 ? quiet : 0).s);
}

int clm_cmd_status(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    bool json = false;
    clm_args args;
    const clm_arg table[] = {CLM_OPT("json", ON, &json), CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, 0, &args, &err)) return clm_command_fails("status", &err);
    if (args.help) return clm_launch_help(help);
    if (args.n_rest != 1) {
        (void)clm_fail(&err, CLM_E_ARG, "wants one run folder, and nothing else; see --help");
        return clm_command_fails("status", &err);
    }
    const char *folder = args.rest[0];
    static seen s;
    static clm_stage stages[64];
    int n = 0;
    clm_journal_info info;
    const clm_journal_reader reader = {.outcome = take_outcome, .stamp = take_stamp, .ctx = &s};
    if (!clm_journal_read(folder, &reader, stages, &n, &info, &err)) {
        (void)clm_err_in(&err, "no run to tell of");
        return clm_command_fails("status", &err);
    }
    bool done = true;
    for (int k = 0; k < n; k++) done = done && s.ended[k] >= stages[k].n;
    if (!json) print_text(&s, stages, n, done);
    if (json && !print_json(&s, stages, n, done, &err)) return clm_command_fails("status", &err);
    return !done ? CLM_EXIT_INTERRUPTED : s.failures ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE;
}
