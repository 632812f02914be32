/* collimate evaluate: figures of a run, of a transform, or of volumes that are aligned already. */
#include "collimate/app/commands.h"
#include "collimate/app/evaluation.h"
#include "collimate/app/launch.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/job/evaluate.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate evaluate RUN [OPTIONS]\n"
    "       collimate evaluate --fixed PATH --moving PATH [--transform T] [OPTIONS]\n"
    "       collimate evaluate --fixed PATH --aligned PATH [OPTIONS]\n"
    "       mpirun -n N collimate evaluate ...\n\n"
    "How good is an alignment? NCC, local NCC, mutual information and mean squares before (where the metadata put\n"
    "the moving image), under the affine alone, and after; Jacobian, displacement, seams and coverage of the field;\n"
    "landmarks; labels; the way there and back. Volumes may be of any size; the figures are the same for any N.\n"
    "RUN is a folder that collimate align made. docs/quality.md tells what each figure is.\n\n"
    "What is judged\n"
    "  --fixed PATH             the fixed image\n"
    "  --moving PATH            the moving image\n"
    "  --aligned PATH           the moving image on the fixed grid already, by whatever program\n"
    "  --transform T            fixed to moving: what collimate apply takes; again: a chain, a point goes through\n"
    "                           the first one first\n"
    "  --inverse T              moving to fixed: how far there and back misses; \"solved\": of the transform\n"
    "                           solved backwards\n"
    "  --landmarks FILE         pairs in micrometres: columns fixed z y x, moving z y x, or named fixed_z ...\n"
    "  --fixed-labels PATH      label volumes (whole numbers, 0 is background): Dice and surface distances\n"
    "  --moving-labels PATH\n"
    "How\n"
    "  --spacing UM             compare voxels of this size (RUN: align.spacing_um; else the finest)\n"
    "  --radius N               voxels of the local correlation's window on each side (4)\n"
    "  --surface-reach UM       farthest a surface looks for its counterpart (10 voxels); 0: Dice only\n"
    "  --block Z,Y,X            blocks that the transform was made in, voxels of the fixed image (or one number):\n"
    "                           do their faces show? (RUN: its own)\n"
    "  --fixed-spacing Z,Y,X    micrometres, overriding the metadata;  --moving-spacing Z,Y,X\n"
    "What comes out\n"
    "  --json                   figures as JSON, units in the keys\n"
    "  --maps DIR               evaluation.json, and maps as OME-Zarr: local_ncc_before, local_ncc_after,\n"
    "                           jacobian, displacement (beside the affine, um); collimate report shows those in\n"
    "                           RUN/evaluation\n"
    "Running\n"
    "  --threads N              compute threads a rank;  --local N  N ranks as threads of this process\n"
    "  --cache-mib N            decoded chunks a rank (256)\n"
    "  --work DIR               for the parts of the figures on their way (default: in DIR of --maps, or a hidden\n"
    "                           folder here); all ranks must see it; gone at the end\n"
    "  -q, --quiet  -v, --verbose  -h, --help\n\n"
    "Examples:\n"
    "  collimate evaluate out\n"
    "  mpirun -n 8 collimate evaluate out --maps out/evaluation --landmarks pairs.csv --json >quality.json\n"
    "  collimate evaluate --fixed fix.n5/lowres --aligned theirs.zarr --fixed-spacing 1.68,1.84,1.84\n"
    "  collimate evaluate --fixed fix.n5/s0 --transform affine.txt --transform deform.zarr --block 128\n\n"
    "Exit codes: 0 done; 2 usage; 3 input; 4 output; 5 interrupted, the same command resumes.\n";

enum {
    FIXED = 256,
    MOVING,
    ALIGNED,
    TRANSFORM,
    INVERSE,
    LANDMARKS,
    FIXED_LABELS,
    MOVING_LABELS,
    REACH,
    SPACING,
    RADIUS,
    BLOCK,
    MAPS,
    WORK,
    FIXED_SPACING,
    MOVING_SPACING,
    THREADS,
    LOCAL,
    CACHE,
    JSON
};

static const struct option longs[] = {{"fixed", required_argument, NULL, FIXED},
                                      {"moving", required_argument, NULL, MOVING},
                                      {"aligned", required_argument, NULL, ALIGNED},
                                      {"transform", required_argument, NULL, TRANSFORM},
                                      {"inverse", required_argument, NULL, INVERSE},
                                      {"landmarks", required_argument, NULL, LANDMARKS},
                                      {"fixed-labels", required_argument, NULL, FIXED_LABELS},
                                      {"moving-labels", required_argument, NULL, MOVING_LABELS},
                                      {"surface-reach", required_argument, NULL, REACH},
                                      {"spacing", required_argument, NULL, SPACING},
                                      {"radius", required_argument, NULL, RADIUS},
                                      {"block", required_argument, NULL, BLOCK},
                                      {"maps", required_argument, NULL, MAPS},
                                      {"work", required_argument, NULL, WORK},
                                      {"fixed-spacing", required_argument, NULL, FIXED_SPACING},
                                      {"moving-spacing", required_argument, NULL, MOVING_SPACING},
                                      {"threads", required_argument, NULL, THREADS},
                                      {"local", required_argument, NULL, LOCAL},
                                      {"cache-mib", required_argument, NULL, CACHE},
                                      {"json", no_argument, NULL, JSON},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

typedef struct options {
    clm_evaluate_spec spec;
    char folder[CLM_PATH_MAX];
    int64_t local;
    bool json, help, quiet, verbose;
} options;

/* ---- the command line ---- */

static bool set_real(const char *name, const char *text, double *out, clm_err *err) {
    return (clm_text_real(text, out) && *out >= 0.0) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a number from 0", name, text);
}

static bool set_int(const char *name, const char *text, int64_t *out, clm_err *err) {
    return (clm_text_int(text, out) && *out >= 1 && *out <= 4096) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a whole number 1 .. 4096", name, text);
}

/* "Z,Y,X", or where it may be "N" */
static bool set_three(const char *name, const char *text, bool or_one, double out[3], clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    bool ok = clm_buf_printf(&b, err, "[%s]", text) && clm_json_parse(b.data, b.n, name, &v, err);
    if (ok && or_one && clm_json_numbers(v, 1, out))
        out[1] = out[2] = out[0];
    else
        ok = ok && clm_json_numbers(v, 3, out);
    ok = ok && out[0] > 0 && out[1] > 0 && out[2] > 0;
    clm_json_free(v);
    clm_buf_free(&b);
    return ok || clm_fail(err, CLM_E_ARG, "--%s %s: must be Z,Y,X above 0", name, text);
}

static bool set_path(clm_evaluate_spec *s, int option, const char *text, clm_err *err) {
    switch (option) {
    case FIXED: s->fixed = text; return true;
    case MOVING: s->moving = text; return true;
    case ALIGNED: s->aligned = text; return true;
    case INVERSE: s->inverse = text; return true;
    case LANDMARKS: s->landmarks = text; return true;
    case FIXED_LABELS: s->fixed_labels = text; return true;
    case MOVING_LABELS: s->moving_labels = text; return true;
    case MAPS: s->maps = text; return true;
    case WORK: s->folder = text; return true;
    default: break;
    }
    if (s->n_transforms == CLM_EVALUATE_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "more than %d transforms", CLM_EVALUATE_TRANSFORMS_MAX);
    s->transforms[s->n_transforms++] = text;
    return true;
}

static bool set_one(options *o, int option, const char *name, const char *text, clm_err *err) {
    clm_evaluate_spec *s = &o->spec;
    switch (option) {
    case REACH: return set_real(name, text, &s->surface_reach_um, err);
    case SPACING: return set_real(name, text, &s->spacing_um, err);
    case CACHE: return set_real(name, text, &s->cache_mib, err);
    case RADIUS: return set_int(name, text, &s->radius_vox, err);
    case THREADS: return set_int(name, text, &s->threads, err);
    case LOCAL: return set_int(name, text, &o->local, err);
    case BLOCK: s->has_block = true; return set_three(name, text, true, s->block_vox, err);
    case FIXED_SPACING:
        s->has_fixed_spacing = true;
        return set_three(name, text, false, s->fixed_spacing_um, err);
    case MOVING_SPACING:
        s->has_moving_spacing = true;
        return set_three(name, text, false, s->moving_spacing_um, err);
    case JSON: return o->json = true;
    case 'q': return o->quiet = true;
    case 'v': return o->verbose = true;
    case 'h': return o->help = true;
    default: return set_path(s, option, text, err);
    }
}

/* the same on all ranks, and for the same command again */
static bool set_folder(options *o, clm_err *err) {
    clm_evaluate_spec *s = &o->spec;
    clm_json *v = NULL;
    clm_buf b = {0};
    bool ok = true;
    if (s->maps)
        ok = clm_path_join(o->folder, s->maps, ".collimate", err);
    else if (s->folder)
        ok = clm_path_join(o->folder, s->folder, ".collimate-evaluate", err);
    else
        ok = clm_evaluate_spec_to_json(s, &v, err) && clm_json_print(v, false, &b, err) &&
             clm_path_format(o->folder, err, ".collimate-evaluate-%016llx",
                             (unsigned long long)clm_hash64(CLM_HASH_BEGIN, b.data, b.n));
    s->folder = o->folder;
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    int c, at = 0;
    *o = (options){.spec = CLM_EVALUATE_DEFAULTS};
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "hqv", longs, &at)) != -1) {
        if (c == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!set_one(o, c, longs[at].name, optarg, err)) return false;
    }
    if (optind < argc) o->spec.run = argv[optind++];
    if (optind < argc) return clm_fail(err, CLM_E_ARG, "\"%s\" is one argument too many", argv[optind]);
    return set_folder(o, err);
}

/* ---- a rank ---- */

/* What rank 0 knows besides. */
static bool as_json;

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    bool ok = clm_evaluate_spec_to_json(&o->spec, &v, err) && clm_json_print(v, false, b, err);
    clm_json_free(v);
    return ok;
}

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_json *v = NULL;
    clm_evaluate *e = NULL;
    if (!clm_json_parse(shared->data, shared->n, "options of rank 0", &v, err) ||
        !clm_evaluate_open(v, &e, err))
        return false;
    *out = (clm_launched){.run = e,
                          .plan = &e->plan,
                          .folder = e->spec.folder,
                          .threads = e->spec.threads,
                          .task_mib = e->task_mib,
                          .lease_s = 3600};
    return true;
}

static bool prepare(void *run, clm_err *err) { return clm_evaluate_prepare(run, err); }
static bool stage_begin(void *run, int stage, clm_err *err) {
    return clm_evaluate_stage_begin(run, stage, err);
}
static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_evaluate_task(run, w, task, out, err);
}

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    clm_buf b = {0};
    (void)quiet, (void)s;
    if (!ok) return true;
    ok = clm_evaluate_result(run, path, err) && clm_json_read(path, &v, err) &&
         (as_json ? clm_json_print(v, true, &b, err) : clm_evaluation_print(v, &b, err));
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static void close_run(void *run) { clm_evaluate_close(run); }

static const clm_launch_body body = {.command = "evaluate",
                                     .share = share,
                                     .open = open_run,
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .tell = tell,
                                     .close = close_run};

int clm_cmd_evaluate(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options o;
    if (!parse(argc, argv, &o, &err))
        return clm_launch_is_first() ? clm_command_fails("evaluate", &err) : (int)clm_exit_of(err.code);
    if (o.help) {
        if (clm_launch_is_first()) (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    as_json = o.json;
    const clm_launch_options launch = {
        .ctx = &o, .local_ranks = (int)o.local, .quiet = o.quiet, .verbose = o.verbose};
    int code = clm_launch(&body, &launch);
    /* nothing to go on with, but where the same command may end otherwise */
    if (!clm_launch_is_first() || code == CLM_EXIT_INTERRUPTED || code == CLM_EXIT_OUTPUT) return code;
    return clm_folder_remove(o.folder, &err) ? code : clm_command_fails("evaluate", &err);
}
