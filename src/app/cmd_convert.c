/* collimate convert: the command line, and what a conversion is to the loop over ranks. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/file.h"
#include "collimate/job/convert.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate convert [OPTIONS] IN OUT\n"
    "       mpirun -n N collimate convert [OPTIONS] IN OUT\n\n"
    "Write any image that is read (N5, Zarr, OME-Zarr, HDF5, BigDataViewer, Imaris, TIFF, NIfTI, NRRD) as OME-Zarr,\n"
    "N5, NIfTI or NRRD. Same bytes for any number of ranks. Killed or stopped, the same command goes on.\n\n"
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
    out->folder = c->folder;
    out->threads = c->spec.threads;
    out->task_mib = c->task_mib;
    out->lease_s = CLM_LEASE_S;
    out->isolate = true;
    out->cache_mib = c->cache_mib;
    return true;
}

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
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .tell = tell,
                                     .tidy = sweep,
                                     .close = close_run};

/* ---- the command line ---- */

/* "3,4,5" or, when one is enough, "3" */
static bool three(const char *text, bool one, double out[3]) {
    char part[64];
    int n = 0;
    for (const char *p = text; n < 3; n++) {
        size_t len = strcspn(p, ",");
        if (len == 0 || len >= sizeof part) return false;
        memcpy(part, p, len);
        part[len] = 0;
        if (!clm_text_real(part, &out[n])) return false;
        p += len;
        if (!*p) break;
        p++;
        if (!*p) return false;
    }
    if (one && n == 0 && !strchr(text, ','))
        out[1] = out[2] = out[0];
    else if (n != 2)
        return false;
    return true;
}

static bool whole(const char *text, bool one, int64_t out[3]) {
    double x[3];
    if (!three(text, one, x)) return false;
    for (int d = 0; d < 3; d++) {
        if (!(x[d] >= 1 && x[d] <= 1e9) || x[d] != (double)(int64_t)x[d]) return false;
        out[d] = (int64_t)x[d];
    }
    return true;
}

/* "0:64,100:612,100:612" */
static bool region(const char *text, clm_box *out) {
    char copy[200], *p = copy;
    if (strlen(text) >= sizeof copy) return false;
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (int d = 0; d < 3; d++) {
        char *comma = strchr(p, ','), *colon;
        if ((d < 2) != (comma != NULL)) return false;
        if (comma) *comma = 0;
        colon = strchr(p, ':');
        if (!colon) return false;
        *colon = 0;
        if (!clm_text_int(p, &out->lo[d]) || !clm_text_int(colon + 1, &out->hi[d])) return false;
        p = comma + 1;
    }
    return true;
}

static bool codec(const char *text, clm_convert_spec *s) {
    static const char *const known[] = {"none", "gzip", "zlib", "zstd", "blosc"};
    size_t n = strcspn(text, ":");
    if (n >= sizeof s->codec) return false;
    (void)snprintf(s->codec, sizeof s->codec, "%.*s", (int)n, text);
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        found = found || strcmp(s->codec, known[i]) == 0;
    return found && (!text[n] || (clm_text_int(text + n + 1, &s->codec_level) && s->codec_level > 0 &&
                                  s->codec_level < 23));
}

enum {
    FORMAT = 256,
    BIGSTREAM,
    LEVEL,
    REGION,
    CHANNEL,
    TIME,
    CHUNK,
    SHARD,
    CODEC,
    NO_PYRAMID,
    LABELS,
    SPACING,
    ORIGIN,
    THREADS,
    LOCAL
};

typedef struct line {
    clm_convert_spec spec;
    clm_launch_options launch;
    int64_t local;
    bool help;
} line;

static bool set_option(line *l, int o, const char *value) {
    clm_convert_spec *s = &l->spec;
    switch (o) {
    case FORMAT: return (size_t)snprintf(s->format, sizeof s->format, "%s", value) < sizeof s->format;
    case BIGSTREAM: return s->bigstream = true;
    case LEVEL: return clm_text_int(value, &s->level);
    case REGION: return s->has_region = region(value, &s->region);
    case CHANNEL: return clm_text_int(value, &s->channel) && s->channel >= 0;
    case TIME: return clm_text_int(value, &s->time) && s->time >= 0;
    case CHUNK: return whole(value, true, s->chunk);
    case SHARD: return whole(value, true, s->shard);
    case CODEC: return codec(value, s);
    case NO_PYRAMID: s->pyramid = false; return true;
    case LABELS: return s->labels = true;
    case SPACING: return s->has_spacing = three(value, true, s->spacing_um);
    case ORIGIN: return s->has_origin = three(value, false, s->origin_um);
    case THREADS: return clm_text_int(value, &s->threads) && s->threads > 0 && s->threads <= 1024;
    case LOCAL: return clm_text_int(value, &l->local) && l->local > 0 && l->local <= 1024;
    case 'q': return l->launch.quiet = true;
    case 'v': return l->launch.verbose = true;
    case 'h': return l->help = true;
    default: return false;
    }
}

static bool parse(int argc, char **argv, line *l, clm_err *err) {
    static const struct option longs[] = {{"format", required_argument, NULL, FORMAT},
                                          {"bigstream", no_argument, NULL, BIGSTREAM},
                                          {"level", required_argument, NULL, LEVEL},
                                          {"region", required_argument, NULL, REGION},
                                          {"channel", required_argument, NULL, CHANNEL},
                                          {"time", required_argument, NULL, TIME},
                                          {"chunk", required_argument, NULL, CHUNK},
                                          {"shard", required_argument, NULL, SHARD},
                                          {"codec", required_argument, NULL, CODEC},
                                          {"no-pyramid", no_argument, NULL, NO_PYRAMID},
                                          {"labels", no_argument, NULL, LABELS},
                                          {"spacing", required_argument, NULL, SPACING},
                                          {"origin", required_argument, NULL, ORIGIN},
                                          {"threads", required_argument, NULL, THREADS},
                                          {"local", required_argument, NULL, LOCAL},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int o, at = -1;
    optind = 0;
    opterr = 0;
    while ((o = getopt_long(argc, argv, "qvh", longs, &at)) != -1) {
        if (o == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!set_option(l, o, optarg))
            return clm_fail(err, CLM_E_ARG, "--%s %s is not understood; see --help",
                            at >= 0 ? longs[at].name : "", optarg ? optarg : "");
    }
    if (l->help) return true;
    if (argc - optind != 2) return clm_fail(err, CLM_E_ARG, "want IN and OUT; see --help");
    return clm_path_format(l->spec.in, err, "%s", argv[optind]) &&
           clm_path_format(l->spec.out, err, "%s", argv[optind + 1]);
}

int clm_cmd_convert(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    line *l = clm_heap_new(1, sizeof *l, &err);
    if (!l) return clm_command_fails("convert", &err);
    l->spec = CLM_CONVERT_DEFAULTS;
    l->launch.ctx = &l->spec;
    int code;
    char folder[CLM_PATH_MAX];
    if (!parse(argc, argv, l, &err)) {
        code = clm_launch_is_first() ? clm_command_fails("convert", &err) : (int)clm_exit_of(err.code);
    } else if (l->help) {
        if (clm_launch_is_first()) (void)fputs(help, stdout);
        code = CLM_EXIT_DONE;
    } else {
        l->launch.local_ranks = (int)l->local;
        code = clm_launch(&body, &l->launch);
        /* the journal has told all it had to tell */
        if (code == CLM_EXIT_DONE && clm_launch_is_first() &&
            !(clm_convert_folder(l->spec.out, folder, &err) && clm_folder_remove(folder, &err)))
            code = clm_command_fails("convert", &err);
    }
    clm_heap_free(l);
    return code;
}
