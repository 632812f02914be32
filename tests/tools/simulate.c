/* clm_simulate TIMES IMAGE FOLDER [KEY=VALUE...]: the run that `collimate align` would plan for IMAGE as fixed and
 * moving, of which only metadata are read, on a simulated cluster: the real scheduler, master and journal with
 * simulated ranks, hosts and time. One JSON object of figures to stdout.
 *   TIMES   measured seconds a task: tests/tools/block_seconds.txt
 *   FOLDER  gets the journal: about 110 bytes a task
 *   KEY     of the simulation (ranks, slots, scale, ...: sim_params), or of the job (config/keys.md)
 * scripts/bench-scale runs it for the figures of docs/scaling.md. */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/json.h"
#include "collimate/job/align_run.h"
#include "support/simulate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { MOST_KINDS = 32 };

/* lines "stage n mean q0 q5 ... q100"; # begins a comment */
static bool read_times(const char *path, sim_times *out, int *n, clm_err *err) {
    clm_buf b = {0};
    *n = 0;
    bool ok = clm_file_read(path, 1 << 16, &b, err) && clm_buf_printf(&b, err, "\n");
    char *save = NULL;
    for (char *line = ok ? strtok_r((char *)b.data, "\n", &save) : NULL; ok && line;
         line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#') continue;
        ok = *n < MOST_KINDS || clm_fail(err, CLM_E_FORMAT, "%s: too many stages", path);
        char *word = NULL, *at = strtok_r(line, " ", &word);
        sim_times *t = &out[*n];
        if (!ok || !at) continue;
        *t = (sim_times){0};
        (void)snprintf(t->stage, sizeof t->stage, "%s", at);
        for (int k = -2; ok && k < SIM_QUANTILES; k++) {
            double x = 0;
            at = strtok_r(NULL, " ", &word);
            ok = (at && clm_text_real(at, &x)) ||
                 clm_fail(err, CLM_E_FORMAT, "%s: stage %s has too few numbers", path, t->stage);
            if (k >= 0) t->quantile_s[k] = x;
        }
        (*n)++;
    }
    clm_buf_free(&b);
    return ok;
}

typedef struct key {
    const char *name;
    size_t at;
    enum { INT, REAL } kind;
} key;
#define OF(kind, name) \
    { #name, offsetof(sim_params, name), kind }
static const key keys[] = {
    OF(INT, ranks),         OF(INT, slots),      OF(INT, ranks_a_host),  OF(REAL, scale),
    OF(REAL, latency_s),    OF(REAL, message_s), OF(REAL, nap_s),        OF(REAL, read_s),
    OF(REAL, sync_s),       OF(REAL, stall),     OF(REAL, stall_s),      OF(REAL, slow),
    OF(REAL, slow_by),      OF(REAL, hang),      OF(REAL, io_error),     OF(REAL, bad),
    OF(REAL, cut_a_rank_h), OF(REAL, cut_s),     OF(REAL, die_a_rank_h), OF(REAL, die_a_host_h),
    OF(REAL, relaunch_s),   OF(REAL, lease_s),   OF(REAL, silence_s),    OF(REAL, epoch_s),
    OF(REAL, absent),
};

/* false: no key of the simulation */
static bool set(sim_params *p, const char *assignment, clm_err *err, bool *ok) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n = strlen(keys[i].name);
        double x;
        if (strncmp(assignment, keys[i].name, n) != 0 || assignment[n] != '=') continue;
        *ok =
            clm_text_real(assignment + n + 1, &x) || clm_fail(err, CLM_E_ARG, "%s: not a number", assignment);
        char *field = (char *)p + keys[i].at;
        if (*ok && keys[i].kind == INT) memcpy(field, &(int){(int)x}, sizeof(int));
        if (*ok && keys[i].kind == REAL) memcpy(field, &x, sizeof x);
        return true;
    }
    return false;
}

static bool configure(int n, char **words, const char *image, const char *folder, clm_config *c,
                      sim_params *p, clm_err *err) {
    bool ok = clm_config_put_text(c, "fixed", image, err) && clm_config_put_text(c, "moving", image, err) &&
              clm_config_put_text(c, "out", folder, err);
    for (int i = 0; ok && i < n; i++)
        if (!set(p, words[i], err, &ok)) ok = clm_config_set(c, words[i], err);
    return ok;
}

static bool tell(const sim_params *p, const sim_report *r, double plan_s, double seconds, clm_err *err) {
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    double all_s = r->seconds * p->ranks * p->slots;
    const struct {
        const char *name;
        double value;
    } rows[] = {
        {"ranks", p->ranks},
        {"slots", p->slots},
        {"tasks", (double)r->tasks},
        {"failed", (double)r->failed},
        {"launches", (double)r->launches},
        {"ranks_lost", (double)r->ranks_lost},
        {"dispatches", (double)r->dispatches},
        {"duplicates", (double)r->duplicates},
        {"retried", (double)r->retried},
        {"epochs", (double)r->epochs},
        {"simulated_s", r->seconds},
        {"utilisation", r->useful_s / all_s},
        {"wasted", r->wasted_s / all_s},
        {"tail", r->tail_s / all_s},
        {"single", r->single_s / all_s},
        {"down", r->down_s / all_s},
        {"idle", r->idle_s / all_s},
        {"tail_s", r->tail_s / (p->ranks * p->slots)},
        {"master_cpu_s", r->master_s},
        {"dispatches_a_cpu_s", (double)r->dispatches / r->master_s},
        {"master_busy", r->master_s / r->seconds},
        {"rss_bytes", (double)use.ru_maxrss * 1024},
        {"journal_bytes", (double)r->journal_bytes},
        {"replayed", (double)r->replayed},
        {"replay_s", r->replay_s},
        {"replay_cpu_s", r->replay_cpu_s},
        {"plan_s", plan_s},
        {"real_s", seconds},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        clm_json_add_number(v, rows[i].name, rows[i].value);
    bool ok = clm_json_print(v, true, &b, err);
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    sim_times times[MOST_KINDS];
    sim_params p = SIM_DEFAULTS;
    sim_report r;
    clm_config *config = NULL;
    clm_run *run = NULL;
    if (argc < 4) {
        (void)fputs("Usage: clm_simulate TIMES IMAGE FOLDER [KEY=VALUE...]\n", stderr);
        return 2;
    }
    p.times = times;
    double begin_s = clm_clock_s(), plan_s = 0;
    bool ok = read_times(argv[1], times, &p.n_times, &err) && clm_config_new(&config, &err) &&
              configure(argc - 4, argv + 4, argv[2], argv[3], config, &p, &err) &&
              clm_run_open(config, &run, &err);
    plan_s = clm_clock_s() - begin_s;
    ok = ok && sim_run(&p, &run->plan, argv[3], &r, &err) &&
         tell(&p, &r, plan_s, clm_clock_s() - begin_s, &err);
    if (!ok) (void)fprintf(stderr, "clm_simulate: %s\n", err.text);
    clm_run_close(run);
    clm_config_free(config);
    return ok ? 0 : 1;
}
