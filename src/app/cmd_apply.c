/* collimate apply: options, and what a run of it is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/base/log.h"
#include "collimate/job/apply_run.h"

#include <stdio.h>

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
    clm_args args;
} options;

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    clm_apply_spec *s = &o->spec;
    *s = CLM_APPLY_DEFAULTS;
    const clm_arg table[] = {
        CLM_OPT("like", LEVEL, &s->like, .level = &s->like_level),
        CLM_OPT("spacing", THREE, s->spacing_um, .above = true, .given = &s->has_spacing),
        CLM_OPT("origin", THREE, s->origin_um, .given = &s->has_origin),
        CLM_OPT("shape", SHAPE, s->shape, .given = &s->has_shape),
        CLM_OPT("labels", ON, &s->labels),
        CLM_OPT("interpolation", TEXT, &s->interpolation),
        CLM_OPT("outside", REAL, &s->outside),
        CLM_OPT("channel", WHOLE, &s->channel, .most = 1 << 20),
        CLM_OPT("time", WHOLE, &s->time, .most = 1 << 30),
        CLM_OPT("level", WHOLE, &s->level, .most = CLM_LEVELS_MAX),
        CLM_OPT("input-spacing", THREE, s->input_spacing_um, .above = true, .given = &s->has_input_spacing),
        CLM_OPT("chunk", WHOLE, &s->chunk_vox, .least = 8, .most = 1024),
        CLM_OPT("shard", WHOLE, &s->shard_vox, .least = 8, .most = 16384),
        CLM_OPT("no-pyramid", OFF, &s->pyramid),
        CLM_OPT("threads", WHOLE, &s->threads, .most = 1024),
        CLM_OPT("task-mib", REAL, &s->task_mib, .least = 1, .most = 1048576),
        CLM_OPT("cache-mib", REAL, &s->cache_mib, .least = 1, .most = 1048576),
        CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    if (o->args.help) return true;
    int n = o->args.n_rest;
    if (n < 3)
        return clm_fail(err, CLM_E_ARG, "wants a transform, an input and an output: T IN OUT; see --help");
    if (n - 2 > CLM_APPLY_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; at most %d", n - 2, CLM_APPLY_TRANSFORMS_MAX);
    for (int i = 0; i < n - 2; i++) s->transforms[s->n_transforms++] = o->args.rest[i];
    s->input = o->args.rest[n - 2];
    s->output = o->args.rest[n - 1];
    return true;
}

/* ---- a rank ---- */

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    return clm_launch_put(clm_apply_spec_to_json(&o->spec, &v, err), &v, b, err);
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

static bool fits(void *run, clm_err *err) { return clm_apply_fits(run, err); }
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
                                     .fits = fits,
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
    options o;
    if (!parse(argc, argv, &o, &err)) return clm_launch_refuse("apply", &err);
    return o.args.help ? clm_launch_help(help) : clm_launch(&body, &o, &o.args);
}
