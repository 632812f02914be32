/* collimate align: the job file and its options, and what a run of it is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/app/options.h"
#include "collimate/app/report.h"
#include "collimate/app/tally.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"

#include <errno.h>
#include <stdio.h>

static const char help[] =
    "Usage: collimate align [JOB.json] --fixed PATH --moving PATH --out DIR [OPTIONS]\n"
    "       mpirun -n N collimate align ...\n\n"
    "Align the moving image to the fixed one: global affine, local affines, deformable field; write the transform\n"
    "and the aligned volume. The results have the same bytes for any N and any number of threads. Killed or\n"
    "stopped, the same command goes on where it was.\n\n";

static const char examples[] =
    "\nExamples:\n"
    "  collimate align --fixed fix.n5/lowres --moving mov.n5/lowres --out out --preset expansion\n"
    "  mpirun -n 8 collimate align job.json --set deform.stiffness=1\n"
    "\nLeaves in DIR: affine.json, transform.ome.zarr, aligned.ome.zarr, metrics.json, blocks.jsonl, job.json, report/\n"
    "Exit codes: 0 done; 1 done, but blocks failed; 2 usage or configuration; 3 input; 4 output; 5 interrupted.\n";

/* One rank's side. */
typedef struct align {
    clm_config *config; /* rank 0's, as all ranks got it */
    clm_run *run;
    clm_tally *tally; /* rank 0 */
} align;

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const clm_options *options = ctx;
    clm_json *v = NULL;
    return clm_launch_put(clm_config_to_json(options->config, &v, err), &v, b, err);
}

/* the results are whole, whatever keeps a picture from being drawn; but for a full disk */
static bool forgive(const clm_run *run, const clm_err *why, clm_err *err) {
    if (why->code == CLM_E_WRITE) return *err = *why, false;
    clm_log(CLM_LOG_ERROR, "report is not whole (collimate report %s makes it again): %s", run->folder,
            why->text);
    return true;
}

static bool draw(const clm_run *run, const clm_work *w, int64_t picture, clm_err *err) {
    clm_err why = CLM_ERR_NONE;
    return clm_report_draw(run, w, picture, &why) || forgive(run, &why, err);
}

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_json *v = NULL;
    align *a = clm_heap_new(1, sizeof *a, err);
    if (!a) return false;
    out->run = a;
    bool ok = clm_config_new(&a->config, err) &&
              clm_json_parse(shared->data, shared->n, "job of rank 0", &v, err) &&
              clm_config_put(a->config, v, "job", err);
    ok = ok && clm_run_open(a->config, &a->run, err);
    clm_json_free(v);
    if (!ok) return false;
    a->run->draw = draw;
    out->isolate = a->config->isolate;
    out->cache_mib = clm_run_cache_bytes(a->run) / 1048576.0;
    out->plan = &a->run->plan;
    out->folder = a->run->folder;
    out->threads = a->config->threads;
    out->task_mib = a->config->memory_task_mib;
    out->task_bytes = clm_run_thread_bytes(a->run);
    out->lease_s = a->config->lease_s;
    out->silence_s = a->config->silence_s;
    out->epoch_s = a->config->epoch_s;
    out->dedicated = a->config->dedicated;
    return true;
}

static bool fits(void *run, clm_err *err) { return clm_run_fits(((align *)run)->run, err); }

static bool prepare(void *run, clm_err *err) {
    align *a = run;
    return clm_run_prepare(a->run, err) && clm_tally_open(a->run, &a->tally, err);
}

static bool stage_begin(void *run, int stage, clm_err *err) {
    return clm_run_stage_begin(((align *)run)->run, stage, err);
}

static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_job_run(((align *)run)->run, w, task, out, err);
}

static bool on_failed(void *run, const clm_task *task, const clm_err *why, clm_err *err) {
    return clm_job_failed(((align *)run)->run, task, why, err);
}

static void on_outcome(void *run, const clm_outcome *o) { clm_tally_add(((align *)run)->tally, o); }

static void on_spent(void *run, int stage, int64_t index) {
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    if (clm_job_spill_stays(((align *)run)->run, stage, index)) return;
    bool gone =
        clm_run_spill_path(((align *)run)->run, stage, index, path, &err) && clm_file_remove(path, &err);
    if (!gone) clm_log(CLM_LOG_STEP, "%s", err.text); /* it costs space, nothing else */
}

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    align *a = run;
    clm_buf b = {0};
    clm_err why = CLM_ERR_NONE;
    /* a run that could not even begin has nothing to list */
    bool told = (!ok && s->ended == 0) || clm_tally_write(a->run, err);
    if (ok && told && a->run->config->report_enabled && !clm_report_write(a->run, false, &why))
        told = forgive(a->run, &why, err);
    if (ok && told && !quiet) {
        told = clm_tally_print(a->tally, &b, err);
        if (told)
            (void)fprintf(stderr, "%s\n%lld tasks, %lld failed, %s on %d rank%s; results in %s\n",
                          (char *)b.data, (long long)s->tasks, (long long)s->failed,
                          clm_text_seconds(s->seconds).s, s->ranks, s->ranks == 1 ? "" : "s", a->run->folder);
    }
    clm_buf_free(&b);
    return told;
}

/* nothing is left to be done with the spills. One that somebody has open, on NFS, stays, as does what is mounted there:
 * they cost space, nothing else */
static bool drop_spills(void *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    if (!clm_run_path(((align *)run)->run, path, err, "spill")) return false;
    if (clm_folder_remove(path, err)) return true;
    if (err->sys != EBUSY && err->sys != ENOTEMPTY) return false;
    clm_log(CLM_LOG_INFO, "%s", err->text);
    return true;
}

static void close_run(void *run) {
    align *a = run;
    clm_tally_close(a->tally);
    clm_run_close(a->run);
    clm_config_free(a->config);
    clm_heap_free(a);
}

static const clm_launch_body body = {.command = "align",
                                     .share = share,
                                     .open = open_run,
                                     .fits = fits,
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .failed = on_failed,
                                     .outcome = on_outcome,
                                     .spent = on_spent,
                                     .tell = tell,
                                     .tidy = drop_spills,
                                     .close = close_run};

int clm_cmd_align(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_options o;
    int code = CLM_EXIT_DONE;
    if (!clm_options_parse(argc, argv, &o, &err)) {
        code = clm_launch_refuse("align", &err);
    } else if (o.args.help) {
        if (clm_launch_is_first()) (void)printf("%s%s%s", help, clm_options_help(), examples);
    } else {
        code = clm_launch(&body, &o, &o.args);
    }
    clm_options_free(&o);
    return code;
}
