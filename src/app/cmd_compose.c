/* collimate compose, invert and halfway: options, and what a run of them is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/job/align_run.h"
#include "collimate/job/compose.h"
#include "collimate/transform/transform.h"

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
    "       collimate invert T --store [OPTIONS]\n"
    "       mpirun -n N collimate invert ...\n\n"
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
    "  --store            keep it with T, a run folder or an OME-Zarr scene, whose first transformation becomes a bijection:\n"
    "                     inverse:T, points --direction inverse and evaluate --inverse stored then take it as it is.\n"
    "                     Not where nodes are above the tolerance\n"
    "  --tolerance-um X   most |T(x) - y| (default 0.001)\n"
    "Lattice (default: the moving grid that T records, at the spacing of T's nodes)\n" LATTICE_HELP
    "Examples:\n"
    "  mpirun -n 8 collimate invert out inverse.ome.zarr\n"
    "  collimate invert out/affine.json inverse.txt\n\n"
    "Exit codes: 0 done; 1 done, but some nodes are above the tolerance; 2 usage; 3 input; 4 output; 5 interrupted, the\n"
    "same command resumes.\n";

static const char help_halfway[] =
    "Usage: collimate halfway T OUT [OPTIONS]\n"
    "       mpirun -n N collimate halfway T OUT [OPTIONS]\n\n"
    "Write the part of T (or of a chain T1 T2 ...) that leads to a space half-way between fixed and moving: S with\n"
    "S(S(x)) = T(x). S pulls the moving image into that space, inverse:S the fixed one. With --at K/N it is the K-th\n"
    "power of an R that leads to T(x) in N steps: its inverse pulls the fixed image there, what --at (N-K)/N writes the\n"
    "moving one, and several rounds meet where you like.\n"
    "Affines alone: exact. Else R is sought on a lattice, in sweeps, until another one makes it no better by a tenth.\n"
    "|R(...R(x)) - T(x)| of each node is left beside the field as coordinateTransformations/residual (micrometres), and\n"
    "is measured between the nodes, too. A node above the tolerance has coverage 0 and is counted: T folds there, or\n"
    "moves by more than its own details are long, and has no half. Same bytes for any number of ranks; killed or\n"
    "stopped, the same command goes on where it was. Method: docs/algorithms/transforms.md.\n\n"
    "  T    as for apply: a run folder, an OME-Zarr scene, affine.json, numbers as text; inverse:T turns it round\n"
    "  OUT  as for compose\n"
    "  --at K/N           how far, N at most 8 (default 1/2; a decimal number that is such a fraction)\n"
    "  --tolerance-um X   most |R(...R(x)) - T(x)| at a node (default a tenth of the distance between nodes)\n"
    "  --sweeps N         at most so many (default 24)\n"
    "  --format NAME      as for compose\n"
    "Lattice (default: T's own nodes, and as many more as hold where S takes them)\n" LATTICE_HELP
    "Examples:\n"
    "  mpirun -n 8 collimate halfway out half.ome.zarr\n"
    "  collimate apply half.ome.zarr moving.ome.zarr moving_halfway.ome.zarr\n"
    "  collimate apply inverse:half.ome.zarr fixed.ome.zarr fixed_halfway.ome.zarr --like fixed.ome.zarr\n"
    "  collimate halfway out/affine.json third.txt --at 1/3\n\n"
    "Exit codes: 0 done; 1 done, but some nodes are above the tolerance; 2 usage; 3 input, or an affine that has no\n"
    "half: it mirrors or turns by 180 degrees; 4 output; 5 interrupted, the same command resumes.\n";

/* ---- the command line ---- */

typedef enum verb { COMPOSE, INVERT, HALFWAY } verb;
static const struct {
    const char *name, *help;
} verbs[] = {{"compose", help_compose}, {"invert", help_invert}, {"halfway", help_halfway}};

typedef struct options {
    clm_compose_spec spec;
    bool store;
    char scene[CLM_PATH_MAX], inverse[CLM_PATH_MAX]; /* store: T's, and where its inverse goes */
    clm_args args;
} options;

/* K/N, or the decimal number of such a fraction */
static bool set_at(void *to, const char *name, const char *text, clm_err *err) {
    clm_compose_spec *s = to;
    char part[32];
    double at;
    const char *slash = strchr(text, '/');
    if (slash && (size_t)(slash - text) < sizeof part) {
        memcpy(part, text, (size_t)(slash - text));
        part[slash - text] = 0;
        if (clm_text_int(part, &s->power) && clm_text_int(slash + 1, &s->root) && s->power > 0 &&
            s->power < s->root && s->root <= CLM_ROOT_MAX)
            return true;
    }
    for (s->root = 2; clm_text_real(text, &at) && s->root <= CLM_ROOT_MAX; s->root++) {
        s->power = llround(at * (double)s->root);
        if (s->power > 0 && s->power < s->root && fabs(at * (double)s->root - (double)s->power) < 1e-9)
            return true;
    }
    return clm_fail(err, CLM_E_ARG, "--%s %.40s: must be K/N, 0 < K < N, N at most %d, or such a number",
                    name, text, CLM_ROOT_MAX);
}

/* the inverse goes below T's own scene */
static bool set_store(options *o, clm_err *err) {
    char meta[CLM_PATH_MAX];
    if (o->args.n_rest != 1)
        return clm_fail(err, CLM_E_ARG, "--store: one T, a run folder or an OME-Zarr scene, and no output");
    const char *t = o->args.rest[0];
    if (!clm_path_join(o->scene, t, CLM_RUN_TRANSFORM, err)) return false;
    if (clm_path_kind_of(o->scene) == CLM_PATH_NONE && !clm_path_format(o->scene, err, "%s", t)) return false;
    if (!clm_path_join(meta, o->scene, "zarr.json", err) ||
        !clm_path_join(o->inverse, o->scene, CLM_SCENE_INVERSE, err))
        return false;
    if (clm_path_kind_of(meta) != CLM_PATH_FILE)
        return clm_fail(err, CLM_E_ARG, "--store: %s is neither a finished run nor an OME-Zarr scene", t);
    o->spec.transforms[o->spec.n_transforms++] = t;
    o->spec.output = o->inverse;
    return true;
}

static bool parse(int argc, char **argv, verb what, options *o, clm_err *err) {
    *o = (options){.spec = CLM_COMPOSE_DEFAULTS};
    clm_compose_spec *s = &o->spec;
    s->invert = what == INVERT;
    if (what == HALFWAY) s->root = 2;
    clm_arg table[] = {
        CLM_OPT("spacing", THREE, s->spacing_um, .above = true, .one = true, .given = &s->has_spacing),
        CLM_OPT("origin", THREE, s->origin_um, .given = &s->has_origin),
        CLM_OPT("shape", SHAPE, s->shape, .given = &s->has_shape),
        CLM_OPT("like", LEVEL, &s->like, .level = &s->like_level),
        CLM_OPT("format", TEXT, &s->format),
        CLM_OPT("chunk", WHOLE, &s->chunk_nodes, .least = 2, .most = 128),
        CLM_OPT("threads", WHOLE, &s->threads, .most = 1024),
        CLM_OPT("task-mib", REAL, &s->task_mib, .least = 1, .most = 1048576),
        CLM_OPT("cache-mib", REAL, &s->cache_mib, .least = 1, .most = 1048576),
        {.name = "tolerance-um",
         .kind = what == COMPOSE ? CLM_ARG_NONE : CLM_ARG_REAL,
         .to = &s->tolerance_um,
         .above = true},
        CLM_OPT_END,
        CLM_OPT_END,
        CLM_OPT_END};
    clm_arg *more = table + sizeof table / sizeof table[0] - 3; /* of one of them alone */
    if (what == INVERT) more[0] = (clm_arg)CLM_OPT("store", ON, &o->store);
    if (what == HALFWAY) {
        more[0] = (clm_arg)CLM_OPT("at", CALL, s, .set = set_at);
        more[1] = (clm_arg)CLM_OPT("sweeps", WHOLE, &s->sweeps, .least = 1, .most = CLM_SWEEPS_MAX);
    }
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    if (o->args.help) return true;
    if (o->store) return set_store(o, err);
    int n = o->args.n_rest - 1;
    if (n < 1) return clm_fail(err, CLM_E_ARG, "wants a transform and an output: T OUT; see --help");
    if (n > CLM_COMPOSE_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; at most %d", n, CLM_COMPOSE_TRANSFORMS_MAX);
    for (int i = 0; i < n; i++) s->transforms[s->n_transforms++] = o->args.rest[i];
    s->output = o->args.rest[n];
    return true;
}

/* ---- a rank ---- */

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    return clm_launch_put(clm_compose_spec_to_json(&o->spec, &v, err), &v, b, err);
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
                          .drop = run->out.kind == CLM_TRANSFORM_VOLUME ? run->place : NULL,
                          .drop_after = 1u << CLM_EXIT_DONE | 1u << CLM_EXIT_BLOCKS_FAILED,
                          .threads = run->spec.threads,
                          .task_mib = run->spec.task_mib,
                          .lease_s = CLM_LEASE_S};
    return true;
}

static bool fits(void *run, clm_err *err) { return clm_compose_fits(run, err); }
static bool prepare(void *run, clm_err *err) { return clm_compose_prepare(run, err); }
static bool stage_begin(void *run, int stage, clm_err *err) { return clm_compose_begin(run, stage, err); }
static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_compose_task(run, w, task, out, err);
}
static void outcome(void *run, const clm_outcome *o) {
    if (o->err.code == CLM_OK) clm_compose_outcome(run, o);
}

static void print_root(const clm_compose_run *r, const double *t) {
    (void)fprintf(
        stderr,
        "residual |R(...R(x)) - T(x)| after %d sweeps, of the nodes: max %.3g um, at z,y,x = %.6g,%.6g,%.6g um; at the "
        "centres of cells: max %.3g um, rms %.3g um\n",
        clm_compose_sweeps(r), t[CLM_COMPOSED_RESIDUAL], t[CLM_COMPOSED_AT_Z], t[CLM_COMPOSED_AT_Y],
        t[CLM_COMPOSED_AT_X], t[CLM_COMPOSED_BETWEEN_MAX],
        sqrt(t[CLM_COMPOSED_BETWEEN_SQ] / fmax(t[CLM_COMPOSED_BETWEEN], 1.0)));
}

static void print_figures(const clm_compose_run *r) {
    double t[CLM_COMPOSED_COUNT];
    const clm_transform_spec *s = &r->out.spec;
    clm_compose_total(r, t);
    (void)fprintf(stderr,
                  "%s: %lld x %lld x %lld nodes, %.4g x %.4g x %.4g um apart, displacements up to %.4g um\n",
                  r->out.path, (long long)s->shape[0], (long long)s->shape[1], (long long)s->shape[2],
                  s->spacing_um[0], s->spacing_um[1], s->spacing_um[2], t[CLM_COMPOSED_U_MAX]);
    if (r->spec.root == 1 || r->spec.power > 1)
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
    if (r->sweeps > 0) print_root(r, t);
    if (t[CLM_COMPOSED_UNSOLVED] > 0)
        (void)fprintf(stderr, "%.0f nodes are not solved: T folds there%s%s\n", t[CLM_COMPOSED_UNSOLVED],
                      r->sweeps > 0 ? ", or moves by more than its details are long" : "",
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
    if (!clm_compose_tidy(run, err)) return false;
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
        if (o->store)
            ok = clm_fail(err, CLM_E_ARG, "--store: %s is affine: its inverse is exact as it is",
                          o->spec.transforms[0]);
        if (ok && first && clm_path_kind_of(run->out.path) != CLM_PATH_NONE)
            ok = clm_fail(err, CLM_E_WRITE, "%s: is there already; give another output, or remove it",
                          run->out.path);
        ok = ok && (!first || clm_compose_finish(run, err));
    }
    clm_compose_close(run);
    return ok;
}

static int run_command(int argc, char **argv, verb what) {
    const char *name = verbs[what].name;
    const clm_launch_body body = {.command = name,
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
    clm_err err = CLM_ERR_NONE;
    options o;
    bool first = clm_launch_is_first(), done = false;
    if (!parse(argc, argv, what, &o, &err)) return clm_launch_refuse(name, &err);
    if (o.args.help) return clm_launch_help(verbs[what].help);
    if (!write_affine(&o, first, &done, &err)) return clm_launch_refuse(name, &err);
    if (done) return CLM_EXIT_DONE;
    int code = clm_launch(&body, &o, &o.args);
    if (o.store && first && code == CLM_EXIT_DONE && !clm_ome_store_inverse(o.scene, CLM_SCENE_INVERSE, &err))
        return clm_command_fails(name, &err);
    if (o.store && first && code == CLM_EXIT_BLOCKS_FAILED)
        (void)fputs("the inverse is not made a part of T, which is still solved where it is wanted\n",
                    stderr);
    return code;
}

int clm_cmd_compose(int argc, char **argv) { return run_command(argc, argv, COMPOSE); }
int clm_cmd_invert(int argc, char **argv) { return run_command(argc, argv, INVERT); }
int clm_cmd_halfway(int argc, char **argv) { return run_command(argc, argv, HALFWAY); }
