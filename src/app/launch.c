#include "collimate/app/launch.h"
#include "collimate/app/commands.h"
#include "collimate/base/clock.h"
#include "isolate.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"
#include "collimate/base/room.h"
#include "collimate/base/text.h"
#include "collimate/cluster/journal.h"
#include "collimate/cluster/seal.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    const clm_launch_body *body;
    void *ctx;
    const clm_args *args;
    clm_launched l;
    clm_work *work; /* [slots] */
    int slots;
    clm_server *server; /* NULL: tasks run in threads */
    clm_exec *exec;     /* of its children, until the run takes it */
    clm_journal *claim; /* rank 0: the folder is ours */
    double last_line;   /* when progress was last told */
    clm_run_summary summary;
    int exit_code;
} rank;

static bool run_task(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    rank *r = ctx;
    return r->body->task(r->l.run, &r->work[slot], task, out, err);
}

static bool stage_begin(void *ctx, int stage, int64_t remaining, clm_err *err) {
    rank *r = ctx;
    return remaining == 0 || r->body->stage_begin(r->l.run, stage, err);
}

static bool on_outcome(void *ctx, const clm_outcome *o, bool replayed, clm_err *err) {
    rank *r = ctx;
    if (o->err.code && r->body->failed && !r->body->failed(r->l.run, &o->task, &o->err, err)) return false;
    if (r->body->outcome) r->body->outcome(r->l.run, o);
    if (replayed || !r->args->verbose) return true;
    clm_log(CLM_LOG_BLOCK, "%s %lld: %s%s%s (%.2f s, %s)", r->l.plan->stage[o->task.stage].name,
            (long long)o->task.index, clm_code_name(o->err.code), o->err.code ? ": " : "",
            o->err.code ? o->err.text : "", o->seconds, clm_text_bytes(o->peak_bytes).s);
    return true;
}

/* "deform.2  12/16 blocks, 1 failed, 3.1/s, 2 s left": one line that moves on a terminal, lines when not */
static void on_progress(void *ctx, const clm_progress *p) {
    rank *r = ctx;
    bool terminal = isatty(STDERR_FILENO) != 0;
    double now = clm_clock_s();
    if (r->args->quiet || (!terminal && !p->over && now - r->last_line < 5.0)) return;
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
    if (r->body->spent) r->body->spent(r->l.run, stage, index);
}

/* No more threads than the memory that this rank may take is for; results do not depend on it. */
static void fit_memory(rank *r) {
    const double own = 32 * 1048576.0; /* of a process, beside arenas and chunks */
    double room = clm_room_bytes("") / r->comm->host_size;
    double fit = floor((room - own) / (r->l.task_bytes + own));
    if (!(r->l.task_bytes > 0) || fit >= r->slots) return;
    clm_log(CLM_LOG_INFO, "%s of memory for this rank, threads of %s: %s", clm_text_bytes(room).s,
            clm_text_bytes(r->l.task_bytes).s,
            r->l.threads > 0 ? "threads says more than that is for"
            : fit >= 1       ? "fewer threads"
                             : "one thread, and that may be too much: smaller blocks or memory.cache_mib");
    if (r->l.threads == 0) r->slots = fit >= 1 ? (int)fit : 1;
}

static bool open_slots(rank *r, clm_err *err) {
    size_t budget = (size_t)(r->l.task_mib * 1048576.0);
    r->slots = r->l.threads > 0 ? (int)r->l.threads : clm_comm_slots(r->comm);
    fit_memory(r);
    if (r->l.dedicated && r->comm->rank == 0 && r->comm->size > 1) r->slots = 0;
    r->work = clm_heap_new((size_t)r->slots + 1, sizeof *r->work, err);
    for (int s = 0; r->work && s < r->slots; s++)
        if (!clm_arena_open_pair(budget, &r->work[s].keep, &r->work[s].temp, err)) return false;
    return r->work != NULL;
}

/* The folder is taken before anything in it is touched, so of two launches that begin at the same moment one prepares;
 * but not before the command has found a folder that no run was at work in fit for its own. */
static bool take_folder(rank *r, clm_err *err) {
    char path[CLM_PATH_MAX];
    if (!clm_path_join(path, r->l.folder, CLM_JOURNAL_NAME, err)) return false;
    bool used = clm_path_kind_of(path) != CLM_PATH_NONE;
    return (used || !r->body->fits || r->body->fits(r->l.run, err)) &&
           clm_journal_claim(r->l.folder, &r->claim, err) && r->body->prepare(r->l.run, err) &&
           clm_folder_is_one(r->l.folder, err) && clm_seal_begin(r->l.folder, err);
}

/* all ranks work on what rank 0 read, whatever their own files and arguments say */
static bool open_rank(rank *r, clm_err *err) {
    clm_buf b = {0};
    r->l.share = 1;
    clm_err other;
    bool ok = r->comm->rank != 0 || r->body->share(r->ctx, &b, err);
    if (!ok) b.n = 0; /* the others come for it all the same */
    ok = clm_comm_share(r->comm, &b, ok ? err : &other) && ok && r->body->open(&b, &r->l, err) &&
         open_slots(r, err) && (r->comm->rank != 0 || take_folder(r, err));
    if (ok && r->server && r->l.isolate)
        ok = clm_isolate_open(r->server, &r->l, r->slots, r->comm->rank, &b, &r->exec, err);
    clm_buf_free(&b);
    return ok;
}

/* A folder that was for this run alone goes while it is taken, so no launch that came meanwhile is in it. NFS keeps a
 * file that is open, the journal, under another name until it is closed. */
static void drop_folder(rank *r) {
    clm_err err = CLM_ERR_NONE;
    bool drop = r->claim && r->l.drop && r->l.drop_after >> r->exit_code & 1u;
    bool gone = !drop || clm_folder_remove(r->l.drop, &err);
    clm_journal_close(r->claim);
    r->claim = NULL;
    if (gone) return;
    if (err.sys != EBUSY && err.sys != ENOTEMPTY)
        r->exit_code = clm_command_fails(r->body->command, &err);
    else if (rmdir(r->l.folder) == 0 && strcmp(r->l.folder, r->l.drop) != 0)
        (void)rmdir(r->l.drop);
}

static void close_rank(rank *r) {
    for (int s = 0; r->work && s < r->slots; s++) {
        clm_arena_close(r->work[s].keep);
        clm_arena_close(r->work[s].temp);
    }
    clm_heap_free(r->work);
    (void)clm_exec_close(r->exec, 0);
    drop_folder(r);
    if (r->l.run) r->body->close(r->l.run);
}

/* One rank's failure to open is everybody's: agree before anybody begins. Of rank 0's all take the code, for the
 * launcher passes on that of any rank. */
static bool agree(rank *r, bool mine, clm_err *err) {
    bool any = false;
    clm_err told = CLM_ERR_NONE;
    unsigned char code[16] = {mine ? CLM_OK : (unsigned char)err->code};
    clm_buf b = {.data = code, .n = 1, .cap = sizeof code}; /* large enough: never grown, never freed */
    if (!clm_comm_share(r->comm, &b, &told) || !clm_comm_any(r->comm, !mine, &any, &told))
        return mine ? (*err = told, false) : false;
    if (mine && any)
        return clm_fail(err, code[0] == CLM_OK ? CLM_E_PEER : (clm_code)code[0],
                        "another rank could not open the job");
    return mine;
}

static int done_code(const rank *r) {
    bool partial = r->comm->rank == 0 && r->body->is_partial && r->body->is_partial(r->l.run);
    return r->summary.failed || partial ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE;
}

static bool on_end(void *ctx, bool ok, const clm_run_summary *s, clm_err *err) {
    rank *r = ctx;
    clm_err other = CLM_ERR_NONE;
    if (!ok && !s->clean && !clm_seal_stop(r->l.folder, (int)clm_exit_of(err->code), &other))
        clm_log(CLM_LOG_ERROR, "%s", other.text);
    if (!r->body->tell(r->l.run, ok, r->args->quiet, s, &other) && ok) ok = false, *err = other;
    if (ok && r->body->tidy) ok = r->body->tidy(r->l.run, err);
    return ok && clm_seal_put(r->l.folder, done_code(r), err);
}

static bool run_plan(rank *r, clm_err *err) {
    clm_worker_ops ops = {.ctx = r, .run = run_task, .stage_begin = stage_begin};
    clm_cluster_options o = CLM_CLUSTER_DEFAULTS;
    o.folder = r->l.folder;
    o.slots = r->slots;
    o.lease_s = r->l.lease_s;
    if (r->l.silence_s > 0) o.silence_s = r->l.silence_s, o.epoch_s = r->l.epoch_s;
    o.stop = &stop_asked;
    o.ctx = r;
    o.on_progress = on_progress;
    o.on_outcome = on_outcome;
    o.on_spent = on_spent;
    o.exec = r->exec;
    o.claim = r->claim;
    r->exec = NULL;
    o.on_end = on_end;
    return clm_cluster_run(r->comm, r->l.plan, &o, &ops, &r->summary, err);
}

static void run_rank(rank *r) {
    clm_err err = CLM_ERR_NONE;
    bool first = r->comm->rank == 0, ok = open_rank(r, &err), mine_failed = !ok;
    ok = agree(r, ok, &err);
    if (ok) ok = run_plan(r, &err);
    if (!ok && (first || mine_failed) &&
        !(first && !mine_failed && err.code == CLM_E_PEER && r->comm->size > 1 && !r->l.run))
        (void)clm_command_fails(r->body->command, &err);
    if (!ok && first && err.code == CLM_E_CANCELLED)
        (void)fprintf(stderr, "collimate %s: what is done is kept; the same command goes on\n",
                      r->body->command);
    r->exit_code = ok ? done_code(r) : (int)clm_exit_of(err.code);
    if (r->summary.abandoned)
        _exit(r->exit_code); /* allow: a task still runs and uses what close_rank would free */
    close_rank(r);
}

static void *rank_thread(void *arg) {
    run_rank(arg);
    return NULL;
}

static int run_local(const clm_launch_body *body, void *ctx, const clm_args *args) {
    clm_err err = CLM_ERR_NONE;
    int n = (int)args->local_ranks;
    clm_comm_hub *hub = NULL;
    clm_comm *comms[1024];
    pthread_t threads[1024];
    rank *ranks = clm_heap_new((size_t)n, sizeof *ranks, &err);
    if (!ranks || !clm_comm_local_open(n, NULL, &hub, comms, &err)) {
        clm_heap_free(ranks);
        return clm_command_fails(body->command, &err);
    }
    for (int r = 0; r < n; r++) ranks[r] = (rank){.comm = comms[r], .body = body, .ctx = ctx, .args = args};
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

static int run_mpi(const clm_launch_body *body, void *ctx, const clm_args *args) {
    clm_err err = CLM_ERR_NONE;
    rank r = {.body = body, .ctx = ctx, .args = args, .summary.clean = true};
    if (!clm_isolate_begin(body, &r.server, &err)) return clm_command_fails(body->command, &err);
    if (!clm_comm_mpi_open(&r.comm, &err)) return clm_command_fails(body->command, &err);
    clm_log_setup(args->verbose ? CLM_LOG_BLOCK : CLM_LOG_INFO, r.comm->size > 1 ? r.comm->rank : -1);
    run_rank(&r);
    bool clean = r.summary.clean && !r.comm->apart;
    clm_server_close(r.server);
    clm_comm_close(r.comm, clean);
    if (!clean) _exit(r.exit_code); /* allow: MPI would wait for the rank that was lost */
    return r.exit_code;
}

/* the rank mpirun or srun gave us, before MPI tells: so that N ranks complain once */
bool clm_launch_is_first(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *v = getenv(names[i]);
        if (v) return strcmp(v, "0") == 0;
    }
    return true;
}

int clm_launch_ranks(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};
    int64_t n = 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *v = getenv(names[i]);
        if (v && clm_text_int(v, &n) && n > 0 && n < INT32_MAX) return (int)n;
    }
    return 1;
}

int clm_launch(const clm_launch_body *body, void *ctx, const clm_args *args) {
    catch_signals();
    clm_log_setup(args->verbose ? CLM_LOG_BLOCK : CLM_LOG_INFO, -1);
    return args->local_ranks ? run_local(body, ctx, args) : run_mpi(body, ctx, args);
}

bool clm_launch_put(bool made, clm_json **v, clm_buf *b, clm_err *err) {
    bool ok = made && clm_json_print(*v, false, b, err);
    clm_json_free(*v);
    return ok;
}

int clm_launch_refuse(const char *command, const clm_err *err) {
    return clm_launch_is_first() ? clm_command_fails(command, err) : (int)clm_exit_of(err->code);
}

int clm_launch_help(const char *text) {
    if (clm_launch_is_first()) (void)fputs(text, stdout);
    return CLM_EXIT_DONE;
}
