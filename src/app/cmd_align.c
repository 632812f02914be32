/* collimate align: every rank runs this. Rank 0 also reads the job, prepares the folder and tells the user. */
#include "collimate/app/commands.h"
#include "collimate/app/options.h"
#include "collimate/app/tally.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"
#include "collimate/cluster/run.h"
#include "collimate/cluster/seal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    "\nLeaves in DIR: affine.json, transform.ome.zarr, aligned.ome.zarr, metrics.json, blocks.jsonl, job.json.\n"
    "Exit codes: 0 done; 1 done, but blocks failed; 2 usage or configuration; 3 input; 4 output; 5 interrupted.\n";

static atomic_int stop_asked;

static void on_signal(int number) {
    (void)number;
    atomic_store(&stop_asked, 1);
}

static void catch_signals(void) {
    struct sigaction a = {.sa_handler = on_signal};
    static const int all[] = {SIGTERM, SIGINT, SIGUSR1};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) (void)sigaction(all[i], &a, NULL);
}

/* One rank of the run. */
typedef struct rank {
    clm_comm *comm;
    const clm_options *options;
    clm_config *config; /* rank 0's, as all ranks got it */
    clm_run *run;
    clm_work *work; /* [slots] */
    int slots;
    clm_tally *tally; /* rank 0 */
    double last_line; /* when progress was last told */
    clm_run_summary summary;
    int exit_code;
} rank;

static bool run_task(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    rank *r = ctx;
    return clm_job_run(r->run, &r->work[slot], task, out, err);
}

static bool stage_begin(void *ctx, int stage, int64_t remaining, clm_err *err) {
    return remaining == 0 || clm_run_stage_begin(((rank *)ctx)->run, stage, err);
}

static void on_outcome(void *ctx, const clm_outcome *o, bool replayed) {
    rank *r = ctx;
    clm_tally_add(r->tally, o);
    if (replayed || !r->options->verbose) return;
    clm_log(CLM_LOG_BLOCK, "%s %lld: %s%s%s (%.2f s, %s)", r->run->stage[o->task.stage].name,
            (long long)o->task.index, clm_code_name(o->err.code), o->err.code ? ": " : "",
            o->err.code ? o->err.text : "", o->seconds, clm_text_bytes(o->peak_bytes).s);
}

/* "deform.2  12/16 blocks, 1 failed, 3.1/s, 2 s left": one line that moves on a terminal, lines when not */
static void on_progress(void *ctx, const clm_progress *p) {
    rank *r = ctx;
    bool terminal = isatty(STDERR_FILENO) != 0;
    double now = clm_clock_s();
    if (r->options->quiet || (!terminal && !p->over && now - r->last_line < 5.0)) return;
    if (!terminal && p->over && p->total == 1 && now - r->last_line < 5.0) return;
    r->last_line = now;
    char eta[48] = "";
    if (!p->over && p->eta_s >= 0.0)
        (void)snprintf(eta, sizeof eta, ", %s left", clm_text_seconds(p->eta_s).s);
    (void)fprintf(stderr, "%s%-10s %lld/%lld blocks, %lld failed, %.3g/s%s%s", terminal ? "\r\033[K" : "",
                  p->name, (long long)p->ended, (long long)p->total, (long long)p->failed, p->rate_per_s, eta,
                  terminal ? "" : "\n");
    if (terminal && p->over) (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
}

static void on_spent(void *ctx, int stage, int64_t index) {
    rank *r = ctx;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    bool gone = clm_run_spill_path(r->run, stage, index, path, &err) && clm_file_remove(path, &err);
    if (!gone) clm_log(CLM_LOG_STEP, "%s", err.text); /* it costs space, nothing else */
}

/* all ranks work on what rank 0 read, whatever their own files and arguments say */
static bool share_config(rank *r, clm_err *err) {
    clm_buf b = {0};
    clm_json *v = NULL;
    bool ok = true;
    if (r->comm->rank == 0) {
        ok = clm_config_to_json(r->options->config, &v, err) && clm_json_print(v, false, &b, err);
        clm_json_free(v);
        v = NULL;
    }
    ok = ok && clm_comm_share(r->comm, &b, err) && clm_config_new(&r->config, err) &&
         clm_json_parse(b.data, b.n, "job of rank 0", &v, err) && clm_config_put(r->config, v, "job", err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool open_slots(rank *r, clm_err *err) {
    size_t budget = (size_t)(r->config->memory_task_mib * 1048576.0 / 2.0);
    r->slots = r->config->threads > 0 ? (int)r->config->threads : clm_comm_slots(r->comm);
    r->work = clm_heap_new((size_t)r->slots, sizeof *r->work, err);
    for (int s = 0; r->work && s < r->slots; s++)
        if (!clm_arena_open(budget, &r->work[s].keep, err) || !clm_arena_open(budget, &r->work[s].temp, err))
            return false;
    return r->work != NULL;
}

static bool open_rank(rank *r, clm_err *err) {
    return clm_run_open(r->config, &r->run, err) && open_slots(r, err) &&
           (r->comm->rank != 0 || (clm_run_prepare(r->run, err) && clm_tally_open(r->run, &r->tally, err)));
}

static void close_rank(rank *r) {
    for (int s = 0; r->work && s < r->slots; s++) {
        clm_arena_close(r->work[s].keep);
        clm_arena_close(r->work[s].temp);
    }
    clm_heap_free(r->work);
    clm_tally_close(r->tally);
    clm_run_close(r->run);
    clm_config_free(r->config);
}

/* one rank's failure to open is everybody's: agree before anybody begins */
static bool agree(rank *r, bool mine, clm_err *err) {
    bool any = false;
    clm_err told = CLM_ERR_NONE;
    if (!clm_comm_any(r->comm, !mine, &any, &told)) return mine ? (*err = told, false) : false;
    if (mine && any) return clm_fail(err, CLM_E_PEER, "another rank could not open the job");
    return mine;
}

static bool tell(rank *r, bool ok, clm_err *err) {
    clm_buf b = {0};
    bool told = clm_tally_write(r->tally, err);
    if (ok && told && !r->options->quiet) {
        told = clm_tally_print(r->tally, &b, err);
        if (told)
            (void)fprintf(stderr, "%s\n%lld tasks, %lld failed, %s on %d rank%s; results in %s\n",
                          (char *)b.data, (long long)r->summary.tasks, (long long)r->summary.failed,
                          clm_text_seconds(r->summary.seconds).s, r->summary.ranks,
                          r->summary.ranks == 1 ? "" : "s", r->run->folder);
    }
    clm_buf_free(&b);
    return told;
}

static bool drop_spills(const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    return clm_run_path(run, path, err, "spill") && clm_folder_remove(path, err);
}

static void run_rank(rank *r) {
    clm_err err = CLM_ERR_NONE;
    bool first = r->comm->rank == 0, ok = share_config(r, &err) && open_rank(r, &err);
    bool mine_failed = !ok;
    ok = agree(r, ok, &err);
    if (ok) {
        clm_worker_ops ops = {.ctx = r, .run = run_task, .stage_begin = stage_begin};
        clm_cluster_options o = CLM_CLUSTER_DEFAULTS;
        o.folder = r->run->folder;
        o.slots = r->slots;
        o.lease_s = r->config->lease_s;
        o.stop = &stop_asked;
        o.ctx = r;
        o.on_progress = on_progress;
        o.on_outcome = on_outcome;
        o.on_spent = on_spent;
        ok = clm_cluster_run(r->comm, &r->run->plan, &o, &ops, &r->summary, &err);
        if (first) {
            clm_err other = CLM_ERR_NONE;
            if (!tell(r, ok, &other) && ok) ok = false, err = other;
            if (ok) /* nothing is left to be done with the spills */
                ok = drop_spills(r->run, &err) &&
                     clm_seal_put(r->run->folder, r->summary.failed ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE,
                                  &err);
        }
    }
    if (!ok && (first || mine_failed) &&
        !(first && !mine_failed && err.code == CLM_E_PEER && r->comm->size > 1 && !r->run))
        (void)clm_command_fails("align", &err);
    if (!ok && first && err.code == CLM_E_CANCELLED)
        (void)fprintf(stderr, "collimate align: what is done is kept; the same command goes on\n");
    r->exit_code =
        ok ? (r->summary.failed ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE) : (int)clm_exit_of(err.code);
    if (r->summary.abandoned)
        _exit(r->exit_code); /* allow: a task still runs and uses what close_rank would free */
    close_rank(r);
}

static void *rank_thread(void *arg) {
    run_rank(arg);
    return NULL;
}

/* --local N: ranks as threads of this process */
static int run_local(const clm_options *options) {
    clm_err err = CLM_ERR_NONE;
    int n = options->local_ranks;
    clm_comm_hub *hub = NULL;
    clm_comm *comms[1024];
    pthread_t threads[1024];
    rank *ranks = clm_heap_new((size_t)n, sizeof *ranks, &err);
    if (!ranks || !clm_comm_local_open(n, NULL, &hub, comms, &err)) return clm_command_fails("align", &err);
    for (int r = 0; r < n; r++) ranks[r] = (rank){.comm = comms[r], .options = options};
    for (int r = 1; r < n; r++)
        if (pthread_create(&threads[r], NULL, rank_thread, &ranks[r]) != 0) /* allow: ranks in one process */
            abort();                                                        /* allow: no thread, no rank */
    run_rank(&ranks[0]);
    for (int r = 1; r < n; r++) (void)pthread_join(threads[r], NULL);
    int code = ranks[0].exit_code;
    for (int r = 0; r < n; r++) clm_comm_close(comms[r], ranks[0].summary.clean);
    clm_comm_local_close(hub);
    clm_heap_free(ranks);
    return code;
}

static int run_mpi(const clm_options *options) {
    clm_err err = CLM_ERR_NONE;
    rank r = {.options = options};
    if (!clm_comm_mpi_open(&r.comm, &err)) return clm_command_fails("align", &err);
    clm_log_setup(options->verbose ? CLM_LOG_BLOCK : CLM_LOG_INFO, r.comm->size > 1 ? r.comm->rank : -1);
    run_rank(&r);
    bool clean = r.summary.clean || !r.summary.tasks;
    clm_comm_close(r.comm, clean);
    if (!clean) _exit(r.exit_code); /* allow: MPI would wait for the rank that was lost */
    return r.exit_code;
}

/* the rank mpirun or srun gave us, before MPI tells: so that N ranks complain once */
static bool is_first_rank(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *v = getenv(names[i]);
        if (v) return strcmp(v, "0") == 0;
    }
    return true;
}

int clm_cmd_align(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_options options;
    int code;
    if (!clm_options_parse(argc, argv, &options, &err)) {
        code = is_first_rank() ? clm_command_fails("align", &err) : (int)clm_exit_of(err.code);
    } else if (options.help) {
        if (is_first_rank()) (void)printf("%s%s%s", help, clm_options_help(), examples);
        code = CLM_EXIT_DONE;
    } else {
        catch_signals();
        clm_log_setup(options.verbose ? CLM_LOG_BLOCK : CLM_LOG_INFO, -1);
        code = options.local_ranks ? run_local(&options) : run_mpi(&options);
    }
    clm_options_free(&options);
    return code;
}
