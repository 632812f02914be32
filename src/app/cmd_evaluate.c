/* collimate evaluate: figures of a run, of a transform, or of volumes that are aligned already. */
#include "collimate/app/commands.h"
#include "collimate/app/evaluation.h"
#include "collimate/app/launch.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/job/evaluate.h"

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
    "                           solved backwards; \"stored\": what collimate invert --store left with it\n"
    "  --landmarks FILE         pairs in micrometres: columns fixed z y x, moving z y x, or named fixed_z ...\n"
    "  --fixed-channel N        of images with several;  --moving-channel N (also of --aligned)\n"
    "  --fixed-time N           likewise;  --moving-time N\n"
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
    "  --task-mib N             most memory of a task (2048, or as the images need where that is more)\n"
    "  --work DIR               for the parts of the figures on their way (default: in DIR of --maps, or a hidden\n"
    "                           folder here); all ranks must see it; gone at the end\n"
    "  -q, --quiet  -v, --verbose  -h, --help\n\n"
    "Examples:\n"
    "  collimate evaluate out\n"
    "  mpirun -n 8 collimate evaluate out --maps out/evaluation --landmarks pairs.csv --json >quality.json\n"
    "  collimate evaluate --fixed fix.n5/lowres --aligned theirs.zarr --fixed-spacing 1.68,1.84,1.84\n"
    "  collimate evaluate --fixed fix.n5/s0 --transform affine.txt --transform deform.zarr --block 128\n\n"
    "Exit codes: 0 done; 2 usage; 3 input; 4 output; 5 interrupted, the same command resumes.\n";

typedef struct options {
    clm_evaluate_spec spec;
    char folder[CLM_PATH_MAX];
    bool json;
    clm_args args;
} options;

/* ---- the command line ---- */

static bool add_transform(void *to, const char *name, const char *text, clm_err *err) {
    clm_evaluate_spec *s = to;
    (void)name;
    if (s->n_transforms == CLM_EVALUATE_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "more than %d transforms", CLM_EVALUATE_TRANSFORMS_MAX);
    s->transforms[s->n_transforms++] = text;
    return true;
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
    *o = (options){.spec = CLM_EVALUATE_DEFAULTS};
    clm_evaluate_spec *s = &o->spec;
    const clm_arg table[] = {
        CLM_OPT("fixed", TEXT, &s->fixed),
        CLM_OPT("moving", TEXT, &s->moving),
        CLM_OPT("aligned", TEXT, &s->aligned),
        CLM_OPT("transform", CALL, s, .set = add_transform),
        CLM_OPT("inverse", TEXT, &s->inverse),
        CLM_OPT("landmarks", TEXT, &s->landmarks),
        CLM_OPT("fixed-labels", TEXT, &s->fixed_labels),
        CLM_OPT("moving-labels", TEXT, &s->moving_labels),
        CLM_OPT("surface-reach", REAL, &s->surface_reach_um, .most = 1e12),
        CLM_OPT("spacing", REAL, &s->spacing_um, .most = 1e12),
        CLM_OPT("radius", WHOLE, &s->radius_vox, .least = 1, .most = 4096),
        CLM_OPT("block", THREE, s->block_vox, .above = true, .one = true, .given = &s->has_block),
        CLM_OPT("maps", TEXT, &s->maps),
        CLM_OPT("work", TEXT, &s->folder),
        CLM_OPT("fixed-spacing", THREE, s->fixed_spacing_um, .above = true, .given = &s->has_fixed_spacing),
        CLM_OPT("moving-spacing", THREE, s->moving_spacing_um, .above = true,
                .given = &s->has_moving_spacing),
        CLM_OPT("fixed-channel", WHOLE, &s->fixed_channel, .most = 1 << 20),
        CLM_OPT("moving-channel", WHOLE, &s->moving_channel, .most = 1 << 20),
        CLM_OPT("fixed-time", WHOLE, &s->fixed_time, .most = 1 << 20),
        CLM_OPT("moving-time", WHOLE, &s->moving_time, .most = 1 << 20),
        CLM_OPT("threads", WHOLE, &s->threads, .least = 1, .most = 4096),
        CLM_OPT("cache-mib", REAL, &s->cache_mib, .most = 1048576),
        CLM_OPT("task-mib", REAL, &s->task_mib, .least = 1, .most = 1048576),
        CLM_OPT("json", ON, &o->json),
        CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    if (o->args.n_rest) s->run = o->args.rest[0];
    if (o->args.n_rest > 1)
        return clm_fail(err, CLM_E_ARG, "\"%s\" is one argument too many", o->args.rest[1]);
    return set_folder(o, err);
}

/* ---- a rank ---- */

/* What rank 0 knows besides. */
static bool as_json;

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    const options *o = ctx;
    clm_json *v = NULL;
    return clm_launch_put(clm_evaluate_spec_to_json(&o->spec, &v, err), &v, b, err);
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
                          .drop = e->spec.folder, /* but where the same command may end otherwise */
                          .drop_after = ~(1u << CLM_EXIT_INTERRUPTED | 1u << CLM_EXIT_OUTPUT),
                          .threads = e->spec.threads,
                          .task_mib = e->task_mib,
                          .lease_s = CLM_LEASE_S};
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
    if (!parse(argc, argv, &o, &err)) return clm_launch_refuse("evaluate", &err);
    if (o.args.help) return clm_launch_help(help);
    as_json = o.json;
    return clm_launch(&body, &o, &o.args);
}
