/* collimate apply: options, and what a run of it is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"
#include "collimate/job/apply_run.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: collimate apply T IN OUT [OPTIONS]\n"
    "       mpirun -n N collimate apply T IN OUT [OPTIONS]\n\n"
    "Resample IN through the transform T (fixed world -> moving world) onto the fixed grid; OUT is an OME-Zarr 0.5\n"
    "pyramid. All channels and time points of IN at once. Same bytes for any N; killed or stopped, the same\n"
    "command goes on where it was.\n\n"
    "  T    a run folder of align, an OME-Zarr scene (transform.ome.zarr), an affine.json, or 3 x 4 or 4 x 4\n"
    "       numbers as text; several, T1 T2 ..., are a chain: a point goes through T1 first\n"
    "  IN   any readable image or label volume, of any resolution\n\n"
    "Output grid (default: the fixed grid that T records)\n"
    "  --like PATH[:LEVEL]      the grid of another image\n"
    "  --spacing Z,Y,X          micrometres; --origin Z,Y,X (centre of the first voxel); --shape Z,Y,X voxels:\n"
    "                           what is not given follows from the fixed grid\n"
    "Voxels\n"
    "  --labels                 IN holds ids: nearest voxel in their own type, coarser levels by majority\n"
    "  --interpolation NAME     linear (default), cubic, nearest\n"
    "  --outside VALUE          where T(x) leaves IN (default 0)\n"
    "  --channel N, --time N    only this one\n"
    "  --level N                of IN (default: the coarsest that loses nothing on this grid; labels: 0)\n"
    "  --input-spacing Z,Y,X    instead of IN's metadata\n"
    "  --chunk N                voxels along a chunk's edge (default 64);  --no-pyramid  level s0 alone\n"
    "  --shard N                chunks in files of N voxels' edge, a multiple of the chunk's\n"
    "Running\n"
    "  --threads N              compute threads a rank;  --local N  N ranks as threads of this process\n"
    "  --task-mib N             most memory of a task (2048);  --cache-mib N  decoded chunks a rank (256)\n"
    "  -q, --quiet  -v, --verbose  -h, --help\n\n"
    "Examples:\n"
    "  mpirun -n 8 collimate apply out moving_red.n5/s0 red.ome.zarr\n"
    "  collimate apply out cells.ome.zarr cells_on_fixed.ome.zarr --labels\n"
    "  collimate apply out/affine.json moving.n5 coarse.ome.zarr --like fixed.ome.zarr:2 --interpolation cubic\n\n"
    "Exit codes: 0 done; 1 done, but where inverse:T folds voxels hold --outside; 2 usage; 3 input; 4 output;\n"
    "5 interrupted, the same command resumes.\n";

typedef struct options {
    clm_apply_spec spec;
    char like[CLM_PATH_MAX];
    bool help, quiet, verbose;
    int local_ranks;
} options;

/* ---- the command line ---- */

enum {
    LIKE = 256,
    SPACING,
    ORIGIN,
    SHAPE,
    LABELS,
    INTERPOLATION,
    OUTSIDE,
    CHANNEL,
    TIME,
    LEVEL,
    INPUT_SPACING
};
enum { CHUNK = 300, SHARD, NO_PYRAMID, THREADS, LOCAL, TASK_MIB, CACHE_MIB };

static const struct option longs[] = {{"like", required_argument, NULL, LIKE},
                                      {"spacing", required_argument, NULL, SPACING},
                                      {"origin", required_argument, NULL, ORIGIN},
                                      {"shape", required_argument, NULL, SHAPE},
                                      {"labels", no_argument, NULL, LABELS},
                                      {"interpolation", required_argument, NULL, INTERPOLATION},
                                      {"outside", required_argument, NULL, OUTSIDE},
                                      {"channel", required_argument, NULL, CHANNEL},
                                      {"time", required_argument, NULL, TIME},
                                      {"level", required_argument, NULL, LEVEL},
                                      {"input-spacing", required_argument, NULL, INPUT_SPACING},
                                      {"chunk", required_argument, NULL, CHUNK},
                                      {"shard", required_argument, NULL, SHARD},
                                      {"no-pyramid", no_argument, NULL, NO_PYRAMID},
                                      {"threads", required_argument, NULL, THREADS},
                                      {"local", required_argument, NULL, LOCAL},
                                      {"task-mib", required_argument, NULL, TASK_MIB},
                                      {"cache-mib", required_argument, NULL, CACHE_MIB},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

/* "1,2.5,3" */
static bool triple(const char *what, const char *text, double least, double out[3], bool *has, clm_err *err) {
    char part[64];
    for (int d = 0; d < 3; d++) {
        size_t n = strcspn(text, ",");
        bool ok = n > 0 && n < sizeof part && (text[n] == ',') == (d < 2);
        if (ok) {
            memcpy(part, text, n);
            part[n] = 0;
            ok = clm_text_real(part, &out[d]) && out[d] >= least;
        }
        if (!ok)
            return clm_fail(err, CLM_E_ARG, "--%s: must be three numbers Z,Y,X%s", what,
                            least > 0 ? " above 0" : "");
        text += n + (d < 2);
    }
    *has = true;
    return true;
}

static bool whole(const char *what, const char *text, int64_t least, int64_t most, int64_t *out,
                  clm_err *err) {
    return (clm_text_int(text, out) && *out >= least && *out <= most) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a whole number %lld .. %lld", what, text,
                    (long long)least, (long long)most);
}

static bool mebibytes(const char *what, const char *text, double *out, clm_err *err) {
    return (clm_text_real(text, out) && *out >= 1.0 && *out <= 1048576.0) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be 1 .. 1048576", what, text);
}

/* PATH or PATH:LEVEL */
static bool set_like(options *o, const char *text, clm_err *err) {
    const char *colon = strrchr(text, ':');
    int64_t level = 0;
    bool has_level = colon && clm_text_int(colon + 1, &level);
    if (!clm_path_format(o->like, err, "%s", text)) return false;
    if (has_level) o->like[colon - text] = 0;
    o->spec.like = o->like;
    o->spec.like_level = level;
    return true;
}

static bool set_grid(options *o, int option, const char *text, clm_err *err) {
    clm_apply_spec *s = &o->spec;
    double shape[3];
    switch (option) {
    case LIKE: return set_like(o, text, err);
    case SPACING: return triple("spacing", text, 1e-9, s->spacing_um, &s->has_spacing, err);
    case ORIGIN: return triple("origin", text, -INFINITY, s->origin_um, &s->has_origin, err);
    case INPUT_SPACING:
        return triple("input-spacing", text, 1e-9, s->input_spacing_um, &s->has_input_spacing, err);
    default: break;
    }
    if (!triple("shape", text, 1, shape, &s->has_shape, err)) return false;
    for (int d = 0; d < 3; d++) {
        if (shape[d] != floor(shape[d]) || shape[d] > 1e12)
            return clm_fail(err, CLM_E_ARG, "--shape %s: must be whole numbers", text);
        s->shape[d] = (int64_t)shape[d];
    }
    return true;
}

static bool set_one(options *o, int option, const char *text, clm_err *err) {
    clm_apply_spec *s = &o->spec;
    int64_t n = 0;
    switch (option) {
    case LABELS: return s->labels = true;
    case INTERPOLATION: s->interpolation = text; return true;
    case OUTSIDE:
        return clm_text_real(text, &s->outside) ||
               clm_fail(err, CLM_E_ARG, "--outside %s: must be a number", text);
    case CHANNEL: return whole("channel", text, 0, 1 << 20, &s->channel, err);
    case TIME: return whole("time", text, 0, 1 << 30, &s->time, err);
    case LEVEL: return whole("level", text, 0, CLM_LEVELS_MAX, &s->level, err);
    case CHUNK: return whole("chunk", text, 8, 1024, &s->chunk_vox, err);
    case SHARD: return whole("shard", text, 8, 16384, &s->shard_vox, err);
    case NO_PYRAMID: s->pyramid = false; return true;
    case THREADS: return whole("threads", text, 0, 1024, &s->threads, err);
    case TASK_MIB: return mebibytes("task-mib", text, &s->task_mib, err);
    case CACHE_MIB: return mebibytes("cache-mib", text, &s->cache_mib, err);
    case LOCAL:
        if (!whole("local", text, 1, 1024, &n, err)) return false;
        o->local_ranks = (int)n;
        return true;
    case 'q': return o->quiet = true;
    case 'v': return o->verbose = true;
    case 'h': return o->help = true;
    default: return set_grid(o, option, text, err);
    }
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    int c;
    o->spec = CLM_APPLY_DEFAULTS;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "hqv", longs, NULL)) != -1) {
        if (c == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!set_one(o, c, optarg, err)) return false;
    }
    if (o->help) return true;
    int n = argc - optind;
    if (n < 3)
        return clm_fail(err, CLM_E_ARG, "wants a transform, an input and an output: T IN OUT; see --help");
    if (n - 2 > CLM_APPLY_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; at most %d", n - 2, CLM_APPLY_TRANSFORMS_MAX);
    for (int i = 0; i < n - 2; i++) o->spec.transforms[o->spec.n_transforms++] = argv[optind + i];
    o->spec.input = argv[argc - 2];
    o->spec.output = argv[argc - 1];
    return true;
}

/* ---- a rank ---- */

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    bool ok = clm_apply_spec_to_json(&o->spec, &v, err) && clm_json_print(v, false, b, err);
    clm_json_free(v);
    return ok;
}

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_json *v = NULL;
    clm_apply_run *run = NULL;
    if (!clm_json_parse(shared->data, shared->n, "options of rank 0", &v, err) ||
        !clm_apply_open(v, out->share, &run, err))
        return false;
    out->run = run;
    out->plan = &run->plan;
    out->folder = run->folder;
    out->threads = run->spec.threads;
    out->task_mib = run->spec.task_mib;
    out->lease_s = CLM_LEASE_S;
    out->isolate = true;
    out->cache_mib = run->spec.cache_mib / out->share;
    return true;
}

static bool prepare(void *run, clm_err *err) { return clm_apply_prepare(run, err); }
static bool stage_begin(void *run, int stage, clm_err *err) { return clm_apply_stage_begin(run, stage, err); }
static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_apply_task(run, w, task, out, err);
}

static void outcome(void *run, const clm_outcome *o) {
    clm_apply_run *r = run;
    if (o->err.code == CLM_OK && o->task.stage == 0) r->unsolved += o->figure[1];
}
static bool is_partial(const void *run) { return ((const clm_apply_run *)run)->unsolved > 0.0; }

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    const clm_apply_run *r = run;
    const clm_image_frame *g = &r->output.base;
    (void)err;
    if (ok && !quiet)
        (void)fprintf(stderr,
                      "%s: %lld x %lld x %lld voxels, %lld channel%s, %lld time point%s, %d level%s; %s on "
                      "%d rank%s\n",
                      r->output.path, (long long)g->shape[0], (long long)g->shape[1], (long long)g->shape[2],
                      (long long)r->output.channels, r->output.channels == 1 ? "" : "s",
                      (long long)r->output.times, r->output.times == 1 ? "" : "s", r->output.n_levels,
                      r->output.n_levels == 1 ? "" : "s", clm_text_seconds(s->seconds).s, s->ranks,
                      s->ranks == 1 ? "" : "s");
    if (ok && r->unsolved > 0.0)
        (void)fprintf(stderr,
                      "%s: %.0f voxels have no position, because T folds there: they hold --outside\n",
                      r->output.path, r->unsolved);
    return true;
}

/* what killed launches left half-written among the chunks */
static bool sweep(void *run, clm_err *err) {
    const char *path = ((clm_apply_run *)run)->output.path;
    return clm_folder_sweep(path, err) && clm_file_sync_tree(path, err);
}

/* how often this rank read a chunk of the input, against how many there are */
static void close_run(void *run) {
    const clm_apply_run *r = run;
    const clm_cache_figures f = clm_cache_figures_of(r->cache);
    int64_t grid[CLM_DIMS_MAX], n = clm_array_chunk_grid(clm_image_array_of(r->image, r->what.level), grid);
    if (f.misses)
        clm_log(
            CLM_LOG_BLOCK,
            "input level %d has %lld chunks; here %lld were decoded, %lld came from the cache, %lld were dropped "
            "for lack of room (--cache-mib)",
            r->what.level, (long long)n, (long long)f.misses, (long long)f.hits, (long long)f.evictions);
    clm_apply_close(run);
}

static const clm_launch_body body = {.command = "apply",
                                     .share = share,
                                     .open = open_run,
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .outcome = outcome,
                                     .tell = tell,
                                     .is_partial = is_partial,
                                     .tidy = sweep,
                                     .close = close_run};

int clm_cmd_apply(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options o = {.local_ranks = 0};
    if (!parse(argc, argv, &o, &err))
        return clm_launch_is_first() ? clm_command_fails("apply", &err) : (int)clm_exit_of(err.code);
    if (o.help) {
        if (clm_launch_is_first()) (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    const clm_launch_options launch = {
        .ctx = &o, .local_ranks = o.local_ranks, .quiet = o.quiet, .verbose = o.verbose};
    return clm_launch(&body, &launch);
}
