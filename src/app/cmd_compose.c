/* collimate compose and collimate invert: options, and what a run of them is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/job/compose.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LATTICE_HELP                                                                                      \
    "  --spacing Z,Y,X    micrometres between nodes (or one number for all axes)\n"                       \
    "  --origin Z,Y,X     the first node;  --shape Z,Y,X  nodes; what is not given follows\n"             \
    "  --like PATH[:LEVEL]  the lattice covers the grid of this image, which the result records as its\n" \
    "                     own grid\n"                                                                     \
    "  --chunk N          nodes along a chunk's edge (default 32)\n"                                      \
    "Running\n"                                                                                           \
    "  --threads N        compute threads a rank;  --local N  N ranks as threads of this process\n"       \
    "  --task-mib N       most memory of a task (1024);  --cache-mib N  decoded chunks a rank (256)\n"    \
    "  -q, --quiet  -v, --verbose  -h, --help\n\n"

static const char help_compose[] =
    "Usage: collimate compose T1 [T2 ...] OUT [OPTIONS]\n"
    "       mpirun -n N collimate compose T1 [T2 ...] OUT [OPTIONS]\n\n"
    "Write a chain of transforms as one: a point goes through T1 first. The chain is evaluated once at every node of\n"
    "OUT's lattice, so OUT is exact at nodes; what interpolation between them makes of it is measured at the centre of\n"
    "every cell and printed. Affines alone are multiplied: exact. Same bytes for any N; killed or stopped, the same\n"
    "command goes on where it was.\n\n"
    "  T    as for apply: a run folder, an OME-Zarr scene, affine.json, numbers as text; inverse:T turns it round\n"
    "  OUT  NAME.ome.zarr: an OME-Zarr 0.6 scene [displacements, affine]; or for other programs, see docs/\n"
    "       foreign_transforms.md: NAME.nii, .nii.gz, .nrrd: displacements as ITK has them; of affines alone also\n"
    "       NAME.json, NAME.txt, and ITK's NAME.tfm, NAME.mat\n"
    "  --format NAME      bigstream, positions or janelia: OUT is an array, NAME.n5/FIELD or NAME.zarr; itk: NAME.txt\n"
    "                     is ITK's\n\n"
    "Lattice (default: T1's own nodes; where T1 is no field, its fixed grid at the finest field's spacing)\n" LATTICE_HELP
    "Examples:\n"
    "  collimate compose round1_to_round2 round2_to_round3 round1_to_round3.ome.zarr\n"
    "  collimate compose out1 inverse:out2 between.ome.zarr --like moving1.ome.zarr\n"
    "  collimate compose out fine.ome.zarr --spacing 2 && collimate compose a.txt b.json both.json\n"
    "  collimate compose out warp.nii.gz && collimate compose out warp.n5/s0 --format bigstream --origin 0,0,0\n\n"
    "Exit codes: 0 done; 1 done, but inverse:T was not solved at some nodes (coverage is 0 there); 2 usage; 3 input;\n"
    "4 output; 5 interrupted, the same command resumes.\n";

static const char help_invert[] =
    "Usage: collimate invert T OUT [OPTIONS]\n"
    "       mpirun -n N collimate invert T OUT [OPTIONS]\n\n"
    "Write the inverse of T (or of a chain T1 T2 ...), moving world -> fixed world, on a lattice over the moving grid.\n"
    "At every node y the x with T(x) = y is solved for; |T(x) - y| of the node as stored is left beside the field as\n"
    "coordinateTransformations/residual (micrometres). A node above the tolerance has coverage 0 and is counted. Same\n"
    "bytes for any N; killed or stopped, the same command goes on where it was.\n\n"
    "  T    as for apply: a run folder, an OME-Zarr scene, affine.json, numbers as text; inverse:T turns it round\n"
    "  OUT  NAME.ome.zarr: an OME-Zarr 0.6 scene [displacements, affine]; or for other programs, see docs/\n"
    "       foreign_transforms.md: NAME.nii, .nii.gz, .nrrd: displacements as ITK has them; of affines alone also\n"
    "       NAME.json, NAME.txt, and ITK's NAME.tfm, NAME.mat\n"
    "  --format NAME      bigstream, positions or janelia: OUT is an array, NAME.n5/FIELD or NAME.zarr; itk: NAME.txt\n"
    "                     is ITK's\n\n"
    "  --tolerance-um X   most |T(x) - y| (default 0.001)\n"
    "Lattice (default: the moving grid that T records, at the spacing of T's nodes)\n" LATTICE_HELP
    "Examples:\n"
    "  mpirun -n 8 collimate invert out inverse.ome.zarr\n"
    "  collimate invert out/affine.json inverse.txt\n\n"
    "Exit codes: 0 done; 1 done, but some nodes are above the tolerance; 2 usage; 3 input; 4 output; 5 interrupted, the\n"
    "same command resumes.\n";

/* ---- the command line ---- */

typedef struct options {
    clm_compose_spec spec;
    char like[CLM_PATH_MAX];
    bool help, quiet, verbose;
    int local_ranks;
} options;

enum { SPACING = 256, ORIGIN, SHAPE, LIKE, TOLERANCE, CHUNK, FORMAT, THREADS, LOCAL, TASK_MIB, CACHE_MIB };
static const struct option longs[] = {{"spacing", required_argument, NULL, SPACING},
                                      {"lattice-um", required_argument, NULL, SPACING},
                                      {"origin", required_argument, NULL, ORIGIN},
                                      {"shape", required_argument, NULL, SHAPE},
                                      {"like", required_argument, NULL, LIKE},
                                      {"tolerance-um", required_argument, NULL, TOLERANCE},
                                      {"chunk", required_argument, NULL, CHUNK},
                                      {"threads", required_argument, NULL, THREADS},
                                      {"local", required_argument, NULL, LOCAL},
                                      {"task-mib", required_argument, NULL, TASK_MIB},
                                      {"cache-mib", required_argument, NULL, CACHE_MIB},
                                      {"format", required_argument, NULL, FORMAT},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

static bool whole(const char *text, int64_t least, int64_t most, int64_t *out) {
    return clm_text_int(text, out) && *out >= least && *out <= most;
}

static bool set_shape(clm_compose_spec *s, const char *text) {
    double n[3];
    if (!clm_text_reals(text, 3, false, n)) return false;
    for (int d = 0; d < 3; d++) {
        if (!(n[d] >= 1 && n[d] <= 1e9) || n[d] != floor(n[d])) return false;
        s->shape[d] = (int64_t)n[d];
    }
    return s->has_shape = true;
}

/* PATH or PATH:LEVEL */
static bool set_like(options *o, const char *text) {
    clm_err none = CLM_ERR_NONE;
    const char *colon = strrchr(text, ':');
    if (!clm_path_format(o->like, &none, "%s", text)) return false;
    if (colon && clm_text_int(colon + 1, &o->spec.like_level)) o->like[colon - text] = 0;
    o->spec.like = o->like;
    return true;
}

static bool set_option(options *o, int option, const char *text) {
    clm_compose_spec *s = &o->spec;
    int64_t n;
    switch (option) {
    case SPACING:
        s->has_spacing = clm_text_reals(text, 3, true, s->spacing_um);
        return s->has_spacing && s->spacing_um[0] > 0 && s->spacing_um[1] > 0 && s->spacing_um[2] > 0;
    case ORIGIN: return s->has_origin = clm_text_reals(text, 3, false, s->origin_um);
    case SHAPE: return set_shape(s, text);
    case LIKE: return set_like(o, text);
    case FORMAT: s->format = text; return true;
    case TOLERANCE: return s->invert && clm_text_real(text, &s->tolerance_um) && s->tolerance_um > 0.0;
    case CHUNK: return whole(text, 2, 128, &s->chunk_nodes);
    case THREADS: return whole(text, 0, 1024, &s->threads);
    case TASK_MIB: return clm_text_real(text, &s->task_mib) && s->task_mib >= 1.0 && s->task_mib <= 1048576.0;
    case CACHE_MIB:
        return clm_text_real(text, &s->cache_mib) && s->cache_mib >= 1.0 && s->cache_mib <= 1048576.0;
    case LOCAL:
        if (!whole(text, 1, 1024, &n)) return false;
        o->local_ranks = (int)n;
        return true;
    case 'q': return o->quiet = true;
    case 'v': return o->verbose = true;
    default: return o->help = true;
    }
}

static bool parse(int argc, char **argv, bool invert, options *o, clm_err *err) {
    int c, at = -1;
    o->spec = CLM_COMPOSE_DEFAULTS;
    o->spec.invert = invert;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "hqv", longs, &at)) != -1) {
        if (c == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!set_option(o, c, optarg))
            return clm_fail(err, CLM_E_ARG, "--%s %s is not understood; see --help",
                            at >= 0 ? longs[at].name : "", optarg ? optarg : "");
    }
    if (o->help) return true;
    int n = argc - optind - 1;
    if (n < 1) return clm_fail(err, CLM_E_ARG, "wants a transform and an output: T OUT; see --help");
    if (n > CLM_COMPOSE_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; at most %d", n, CLM_COMPOSE_TRANSFORMS_MAX);
    for (int i = 0; i < n; i++) o->spec.transforms[o->spec.n_transforms++] = argv[optind + i];
    o->spec.output = argv[argc - 1];
    return true;
}

/* ---- a rank ---- */

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    bool ok = clm_compose_spec_to_json(&o->spec, &v, err) && clm_json_print(v, false, b, err);
    clm_json_free(v);
    return ok;
}

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_json *v = NULL;
    clm_compose_run *run = NULL;
    if (!clm_json_parse(shared->data, shared->n, "options of rank 0", &v, err) ||
        !clm_compose_open(v, &run, err))
        return false;
    *out = (clm_launched){.run = run,
                          .plan = &run->plan,
                          .folder = run->folder,
                          .threads = run->spec.threads,
                          .task_mib = run->spec.task_mib,
                          .lease_s = 3600};
    return true;
}

static bool prepare(void *run, clm_err *err) { return clm_compose_prepare(run, err); }
static bool stage_begin(void *run, int stage, clm_err *err) {
    (void)stage;
    return clm_compose_begin(run, err);
}
static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_compose_task(run, w, task, out, err);
}
static void outcome(void *run, const clm_outcome *o) {
    if (o->err.code == CLM_OK) clm_compose_outcome(run, o);
}

static void print_figures(const clm_compose_run *r) {
    double t[CLM_COMPOSED_COUNT];
    const clm_transform_spec *s = &r->out.spec;
    clm_compose_total(r, t);
    (void)fprintf(stderr,
                  "%s: %lld x %lld x %lld nodes, %.4g x %.4g x %.4g um apart, displacements up to %.4g um\n",
                  r->out.path, (long long)s->shape[0], (long long)s->shape[1], (long long)s->shape[2],
                  s->spacing_um[0], s->spacing_um[1], s->spacing_um[2], t[CLM_COMPOSED_U_MAX]);
    (void)fprintf(stderr, "interpolation error at the centres of cells: max %.3g um, rms %.3g um\n",
                  t[CLM_COMPOSED_ERROR_MAX],
                  sqrt(t[CLM_COMPOSED_ERROR_SQ] / fmax(t[CLM_COMPOSED_CELLS], 1.0)));
    if (t[CLM_COMPOSED_EXTRAPOLATED] > 0)
        (void)fprintf(stderr,
                      "%.0f nodes lie beyond a field's lattice, which keeps its border's value there\n",
                      t[CLM_COMPOSED_EXTRAPOLATED]);
    if (r->spec.invert)
        (void)fprintf(stderr, "residual |T(x) - y| of the nodes: max %.3g um, at z,y,x = %.6g,%.6g,%.6g um\n",
                      t[CLM_COMPOSED_RESIDUAL], t[CLM_COMPOSED_AT_Z], t[CLM_COMPOSED_AT_Y],
                      t[CLM_COMPOSED_AT_X]);
    if (t[CLM_COMPOSED_UNSOLVED] > 0)
        (void)fprintf(stderr, "%.0f nodes are not solved: T folds there%s\n", t[CLM_COMPOSED_UNSOLVED],
                      r->out.kind == CLM_TRANSFORM_SCENE ? "; their coverage is 0" : "");
}

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    (void)s;
    if (!ok) return true;
    if (!quiet) print_figures(run);
    return clm_compose_finish(run, err);
}

static bool is_partial(const void *run) {
    double t[CLM_COMPOSED_COUNT];
    clm_compose_total(run, t);
    return t[CLM_COMPOSED_UNSOLVED] > 0;
}

/* what killed launches left half-written among the chunks */
static bool sweep(void *run, clm_err *err) {
    const clm_transform_out *out = &((clm_compose_run *)run)->out;
    const char *path = out->path;
    if (out->kind == CLM_TRANSFORM_VOLUME) return true;
    return clm_folder_sweep(path, err) && clm_file_sync_tree(path, err);
}

static void close_run(void *run) { clm_compose_close(run); }

/* Affines alone: no plan, nothing to resume, and only the first rank writes. */
static bool write_affine(const options *o, bool first, bool *done, clm_err *err) {
    clm_json *v = NULL;
    clm_compose_run *run = NULL;
    *done = false;
    if (!clm_compose_spec_to_json(&o->spec, &v, err) || !clm_compose_open(v, &run, err)) return false;
    bool ok = true;
    if (run->out.chunks.n == 0) {
        *done = true;
        if (first && clm_path_kind_of(run->out.path) != CLM_PATH_NONE)
            ok = clm_fail(err, CLM_E_WRITE, "%s: is there already; give another output, or remove it",
                          run->out.path);
        ok = ok && (!first || clm_compose_finish(run, err));
    }
    clm_compose_close(run);
    return ok;
}

static bool drop_record(const options *o, clm_err *err) {
    clm_transform_out out = {.kind = CLM_TRANSFORM_SCENE};
    char folder[CLM_PATH_MAX];
    return clm_transform_kind_of(o->spec.output, o->spec.format, &out.kind, err) &&
           (out.kind != CLM_TRANSFORM_VOLUME ||
            (clm_path_format(out.path, err, "%s", o->spec.output) &&
             clm_transform_out_folder(&out, folder, err) && clm_folder_remove(folder, err)));
}

static int run_command(int argc, char **argv, bool invert) {
    const char *name = invert ? "invert" : "compose";
    const clm_launch_body body = {.command = name,
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
    clm_err err = CLM_ERR_NONE;
    options o = {.local_ranks = 0};
    bool first = clm_launch_is_first(), done = false;
    if (!parse(argc, argv, invert, &o, &err))
        return first ? clm_command_fails(name, &err) : (int)clm_exit_of(err.code);
    if (o.help) {
        if (first) (void)fputs(invert ? help_invert : help_compose, stdout);
        return CLM_EXIT_DONE;
    }
    if (!write_affine(&o, first, &done, &err))
        return first ? clm_command_fails(name, &err) : (int)clm_exit_of(err.code);
    if (done) return CLM_EXIT_DONE;
    const clm_launch_options launch = {
        .ctx = &o, .local_ranks = o.local_ranks, .quiet = o.quiet, .verbose = o.verbose};
    int code = clm_launch(&body, &launch);
    /* beside a file; what it had to tell is told */
    if ((code == CLM_EXIT_DONE || code == CLM_EXIT_BLOCKS_FAILED) && first && !drop_record(&o, &err))
        return clm_command_fails(name, &err);
    return code;
}

int clm_cmd_compose(int argc, char **argv) { return run_command(argc, argv, false); }
int clm_cmd_invert(int argc, char **argv) { return run_command(argc, argv, true); }
