/* collimate convert: the command line, and what a conversion is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/job/convert.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate convert [OPTIONS] IN OUT\n"
    "       mpirun -n N collimate convert [OPTIONS] IN OUT\n\n"
    "Write any image that is read (N5, Zarr, OME-Zarr, HDF5, BigDataViewer XML, Imaris, TIFF, NIfTI,\n"
    "NRRD) as OME-Zarr, N5, NIfTI or NRRD. Same bytes for any number of ranks. Killed or stopped, the same\n"
    "command goes on.\n\n"
    "  --format NAME        ome-zarr-0.5 (default), ome-zarr-0.4, n5, nifti, nrrd; else the name of OUT tells:\n"
    "                       .n5, .nii, .nii.gz, .nrrd\n"
    "  --bigstream          N5: pixelResolution as a plain list, which bigstream reads (Neuroglancer does not)\n"
    "  --level K            of the input's pyramid, 0 the finest\n"
    "  --region Z:Z,Y:Y,X:X voxels of that level, first and one past the last\n"
    "  --channel C          only this one (N5, NIfTI and NRRD hold one)\n"
    "  --time T             only this one\n"
    "  --chunk Z,Y,X        voxels of a chunk, or one number for all axes (default 128)\n"
    "  --shard Z,Y,X        OME-Zarr 0.5: voxels of a shard, a multiple of the chunk\n"
    "  --codec NAME[:LEVEL] none, gzip, zlib, zstd, blosc; default blosc zstd 1, in N5 gzip\n"
    "  --no-pyramid         the finest level only\n"
    "  --labels             coarser levels by the most frequent value, not the mean\n"
    "  --spacing Z,Y,X      micrometres a voxel, instead of the metadata's\n"
    "  --origin Z,Y,X       micrometres, centre of the first voxel\n"
    "  --threads N          compute threads a rank (default: the rank's share of the cores)\n"
    "  --local N            N ranks as threads of this process, without mpirun\n"
    "  -q, --quiet   -v, --verbose   -h, --help\n\n"
    "Examples:\n"
    "  collimate convert scan.ims scan.ome.zarr\n"
    "  mpirun -n 8 collimate convert --shard 512 --chunk 64 raw.n5/setup0/timepoint0 raw.ome.zarr\n"
    "  collimate convert dataset.xml/setup2 tile2.ome.zarr\n"
    "  collimate convert --region 0:64,100:612,100:612 --channel 1 scan.ome.zarr part.nii.gz\n\n"
    "Exit codes: 0 done; 2 usage; 3 input; 4 output; 5 interrupted, the same command resumes.\n";

/* ---- the run ---- */

static bool share(void *ctx, clm_buf *b, clm_err *err) { return clm_convert_share(ctx, b, err); }

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_convert_spec *spec = clm_heap_new(1, sizeof *spec, err);
    clm_convert *c = spec ? clm_heap_new(1, sizeof *c, err) : NULL;
    out->run = c;
    bool ok = c && clm_convert_shared(shared, spec, err) && clm_convert_open(spec, out->share, c, err);
    clm_heap_free(spec);
    if (!ok) return false;
    out->plan = &c->plan;
    out->folder = out->drop = c->folder;
    out->drop_after = 1u << CLM_EXIT_DONE;
    out->threads = c->spec.threads;
    out->task_mib = c->task_mib;
    out->lease_s = CLM_LEASE_S;
    out->isolate = true;
    out->cache_mib = c->cache_mib;
    return true;
}

static bool fits(void *run, clm_err *err) { return clm_convert_fits(run, err); }
static bool prepare(void *run, clm_err *err) { return clm_convert_prepare(run, err); }

static bool stage_begin(void *run, int stage, clm_err *err) {
    (void)stage;
    return clm_convert_begin(run, err);
}

static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    bool ok = clm_convert_task(run, w, task, err);
    out->peak_bytes = (double)clm_arena_peak(w->keep);
    return ok;
}

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    (void)err;
    if (ok && !quiet)
        (void)fprintf(stderr, "%s: %lld tasks, %s on %d rank%s\n", ((clm_convert *)run)->spec.out,
                      (long long)s->tasks, clm_text_seconds(s->seconds).s, s->ranks,
                      s->ranks == 1 ? "" : "s");
    return true;
}

/* what killed launches and tasks left half-written among the chunks */
static bool sweep(void *run, clm_err *err) {
    const clm_convert *c = run;
    return c->is_volume || (clm_folder_sweep(c->spec.out, err) && clm_file_sync_tree(c->spec.out, err));
}

static void close_run(void *run) {
    clm_convert_close(run);
    clm_heap_free(run);
}

static const clm_launch_body body = {.command = "convert",
                                     .share = share,
                                     .open = open_run,
                                     .fits = fits,
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .tell = tell,
                                     .tidy = sweep,
                                     .close = close_run};

/* ---- the command line ---- */

typedef struct options {
    clm_convert_spec spec;
    clm_args args;
} options;

/* "0:64,100:612,100:612" */
static bool region(void *to, const char *name, const char *text, clm_err *err) {
    clm_box *out = to;
    char copy[200], *p = copy, *next, *colon;
    bool ok = strlen(text) < sizeof copy;
    if (ok) (void)snprintf(copy, sizeof copy, "%s", text);
    for (int d = 0; ok && d < 3; d++, p = next) {
        next = strchr(p, ',');
        colon = strchr(p, ':');
        ok = (d < 2) == (next != NULL) && colon;
        if (!ok) break;
        if (next) *next++ = 0;
        *colon = 0;
        ok = clm_text_int(p, &out->lo[d]) && clm_text_int(colon + 1, &out->hi[d]);
    }
    return ok || clm_fail(err, CLM_E_ARG, "--%s %s is not understood: must be Z:Z,Y:Y,X:X", name, text);
}

static bool codec(void *to, const char *name, const char *text, clm_err *err) {
    static const char *const known[] = {"none", "gzip", "zlib", "zstd", "blosc"};
    clm_convert_spec *s = to;
    size_t n = strcspn(text, ":");
    bool found = false;
    if (n < sizeof s->codec) (void)snprintf(s->codec, sizeof s->codec, "%.*s", (int)n, text);
    for (size_t i = 0; n < sizeof s->codec && i < sizeof known / sizeof known[0]; i++)
        found = found || strcmp(s->codec, known[i]) == 0;
    return (found && (!text[n] || (clm_text_int(text + n + 1, &s->codec_level) && s->codec_level > 0 &&
                                   s->codec_level < 23))) ||
           clm_fail(err, CLM_E_ARG,
                    "--%s %s: must be none, gzip, zlib, zstd or blosc, and :LEVEL 1 .. 22 if any", name,
                    text);
}

static bool format(void *to, const char *name, const char *text, clm_err *err) {
    clm_convert_spec *s = to;
    return (size_t)snprintf(s->format, sizeof s->format, "%s", text) < sizeof s->format ||
           clm_fail(err, CLM_E_ARG, "--%s %.80s: no such format; see --help", name, text);
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    clm_convert_spec *s = &o->spec;
    *s = CLM_CONVERT_DEFAULTS;
    const clm_arg table[] = {CLM_OPT("format", CALL, s, .set = format),
                             CLM_OPT("bigstream", ON, &s->bigstream),
                             CLM_OPT("level", WHOLE, &s->level),
                             CLM_OPT("region", CALL, &s->region, .set = region, .given = &s->has_region),
                             CLM_OPT("channel", WHOLE, &s->channel, .most = 1 << 20),
                             CLM_OPT("time", WHOLE, &s->time, .most = 1 << 30),
                             CLM_OPT("chunk", SHAPE, s->chunk, .one = true),
                             CLM_OPT("shard", SHAPE, s->shard, .one = true),
                             CLM_OPT("codec", CALL, s, .set = codec),
                             CLM_OPT("no-pyramid", OFF, &s->pyramid),
                             CLM_OPT("labels", ON, &s->labels),
                             CLM_OPT("spacing", THREE, s->spacing_um, .one = true, .given = &s->has_spacing),
                             CLM_OPT("origin", THREE, s->origin_um, .given = &s->has_origin),
                             CLM_OPT("threads", WHOLE, &s->threads, .least = 1, .most = 1024),
                             CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    if (o->args.help) return true;
    if (o->args.n_rest != 2) return clm_fail(err, CLM_E_ARG, "want IN and OUT; see --help");
    return clm_path_format(s->in, err, "%s", o->args.rest[0]) &&
           clm_path_format(s->out, err, "%s", o->args.rest[1]);
}

int clm_cmd_convert(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options *o = clm_heap_new(1, sizeof *o, &err);
    if (!o) return clm_command_fails("convert", &err);
    int code = !parse(argc, argv, o, &err) ? clm_launch_refuse("convert", &err)
               : o->args.help              ? clm_launch_help(help)
                                           : clm_launch(&body, &o->spec, &o->args);
    clm_heap_free(o);
    return code;
}
