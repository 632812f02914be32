/* collimate evaluate: figures of a run, of a transform, or of volumes that are aligned already. */
#include "collimate/app/commands.h"
#include "collimate/app/evaluate.h"
#include "collimate/base/file.h"
#include "collimate/job/align_run.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate evaluate RUN [OPTIONS]\n"
    "       collimate evaluate --fixed PATH --moving PATH [--transform T] [OPTIONS]\n"
    "       collimate evaluate --fixed PATH --aligned PATH [OPTIONS]\n\n"
    "How good is an alignment? NCC, local NCC, mutual information and mean squares before (where the metadata put\n"
    "the moving image), under the affine alone, and after; the Jacobian, seams and coverage of the field; landmarks;\n"
    "labels; the way there and back. Volumes may be of any size. RUN is a folder that collimate align made.\n\n"
    "  --fixed PATH             the fixed image\n"
    "  --moving PATH            the moving image\n"
    "  --aligned PATH           the moving image on the fixed grid already, by whatever program\n"
    "  --transform T            fixed to moving, an OME-Zarr transform\n"
    "  --inverse T              moving to fixed: how far there and back misses\n"
    "  --landmarks FILE         pairs in micrometres: columns fixed z y x, moving z y x, or named fixed_z ...\n"
    "  --fixed-labels PATH      label volumes (whole numbers, 0 is background): Dice and surface distance\n"
    "  --moving-labels PATH\n"
    "  --surface-reach UM       farthest a surface looks for its counterpart (10 voxels); 0: Dice only\n"
    "  --spacing UM             correlation at this voxel spacing (RUN: align.spacing_um; else the finest)\n"
    "  --radius N               voxels of the local correlation's window on each side (4)\n"
    "  --block-vox N            block size of the field's last pass, for the seams (RUN: from its job.json)\n"
    "  --pitch-vox N            voxels between nodes of the field\n"
    "  --map PATH               write the local correlation after as an OME-Zarr\n"
    "  --fixed-spacing Z,Y,X    micrometres, overriding the metadata\n"
    "  --moving-spacing Z,Y,X\n"
    "  --threads N              threads (all cores); the figures do not depend on it\n"
    "  --json                   figures as JSON\n"
    "  -h, --help               this text\n\n"
    "Examples:\n"
    "  collimate evaluate out\n"
    "  collimate evaluate out --landmarks pairs.csv --json\n"
    "  collimate evaluate --fixed fix.n5/lowres --aligned theirs.zarr --fixed-spacing 1.68,1.84,1.84\n";

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
    PITCH,
    MAP,
    FIXED_SPACING,
    MOVING_SPACING,
    THREADS,
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
                                      {"block-vox", required_argument, NULL, BLOCK},
                                      {"pitch-vox", required_argument, NULL, PITCH},
                                      {"map", required_argument, NULL, MAP},
                                      {"fixed-spacing", required_argument, NULL, FIXED_SPACING},
                                      {"moving-spacing", required_argument, NULL, MOVING_SPACING},
                                      {"threads", required_argument, NULL, THREADS},
                                      {"json", no_argument, NULL, JSON},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

typedef struct request {
    const char *path[MOVING_LABELS - FIXED + 1]; /* by option */
    const char *run, *map, *reach;
    clm_list spacing[2]; /* fixed, moving; n 0: as the metadata say */
    double spacing_um;
    int64_t radius, block, pitch, threads;
    bool json, help;
} request;

/* What is open. */
typedef struct opened {
    clm_config *config;
    clm_run *run;
    clm_cache *cache;
    clm_image *fixed, *moving, *aligned, *labels[2];
    clm_transform transform, inverse;
    clm_work work;
} opened;

static bool parse_real(const char *name, const char *text, double *out, clm_err *err) {
    return (clm_text_real(text, out) && *out >= 0.0) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a number from 0", name, text);
}

static bool parse_int(const char *name, const char *text, int64_t *out, clm_err *err) {
    return (clm_text_int(text, out) && *out >= 1 && *out <= 4096) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a whole number 1 .. 4096", name, text);
}

static bool parse_spacing(const char *name, const char *text, clm_list *out, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    bool ok = clm_buf_printf(&b, err, "[%s]", text) && clm_json_parse(b.data, b.n, name, &v, err) &&
              clm_json_numbers(v, 3, out->v) && out->v[0] > 0 && out->v[1] > 0 && out->v[2] > 0;
    clm_json_free(v);
    clm_buf_free(&b);
    out->n = 3;
    return ok || clm_fail(err, CLM_E_ARG, "--%s %s: must be Z,Y,X in micrometres", name, text);
}

static bool take_option(request *q, int option, const char *name, const char *text, clm_err *err) {
    switch (option) {
    case REACH: q->reach = text; return true;
    case SPACING: return parse_real(name, text, &q->spacing_um, err);
    case RADIUS: return parse_int(name, text, &q->radius, err);
    case BLOCK: return parse_int(name, text, &q->block, err);
    case PITCH: return parse_int(name, text, &q->pitch, err);
    case THREADS: return parse_int(name, text, &q->threads, err);
    case MAP: q->map = text; return true;
    case FIXED_SPACING: return parse_spacing(name, text, &q->spacing[0], err);
    case MOVING_SPACING: return parse_spacing(name, text, &q->spacing[1], err);
    case JSON: q->json = true; return true;
    case 'h': q->help = true; return true;
    default: q->path[option - FIXED] = text; return true;
    }
}

static bool parse(int argc, char **argv, request *q, clm_err *err) {
    int o, at;
    *q = (request){.radius = 4};
    optind = 0;
    opterr = 0;
    while ((o = getopt_long(argc, argv, "h", longs, &at)) != -1) {
        if (o == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!take_option(q, o, o == 'h' ? "help" : longs[at].name, optarg, err)) return false;
    }
    if (optind < argc) q->run = argv[optind++];
    if (optind < argc) return clm_fail(err, CLM_E_ARG, "\"%s\" is one argument too many", argv[optind]);
    if (q->help || q->run || q->path[FIXED - FIXED] || q->path[TRANSFORM - FIXED]) return true;
    return clm_fail(err, CLM_E_ARG, "nothing to evaluate: a run folder, or --fixed and --moving; see --help");
}

/* a run folder tells what is not said on the command line */
static bool open_run(const request *q, opened *o, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    bool ok = clm_path_join(path, q->run, "job.json", err) && clm_json_read(path, &v, err) &&
              clm_config_new(&o->config, err) && clm_config_put(o->config, v, path, err) &&
              clm_config_put_text(o->config, "out", q->run, err) && clm_run_open(o->config, &o->run, err);
    clm_json_free(v);
    return ok || clm_err_in(err, "%s", q->run);
}

static bool open_image(const request *q, const opened *o, int option, const clm_list *spacing,
                       clm_image **out, clm_err *err) {
    clm_image_options io = CLM_IMAGE_DEFAULTS;
    const char *path = q->path[option - FIXED];
    if (!path) return true;
    io.option = option == FIXED ? "--fixed-spacing" : "--moving-spacing";
    io.has_spacing = spacing->n == 3;
    memcpy(io.spacing_um, spacing->v, sizeof io.spacing_um);
    if (!clm_image_open(path, &io, out, err)) return false;
    clm_image_use_cache(*out, o->cache);
    return true;
}

static bool open_transform(const opened *o, const char *path, clm_transform *out, clm_err *err) {
    if (!path) return true;
    if (!clm_transform_open(path, false, out, err)) return false;
    if (out->field) clm_array_use_cache(out->field, o->cache);
    return true;
}

static bool open_all(const request *q, opened *o, clm_err *err) {
    char transform[CLM_PATH_MAX];
    const char *t = q->path[TRANSFORM - FIXED];
    if (q->run && (!open_run(q, o, err) || !clm_path_join(transform, q->run, CLM_RUN_TRANSFORM, err)))
        return false;
    if (q->run && !t) t = transform;
    return clm_cache_open((size_t)256 << 20, &o->cache, err) &&
           open_image(q, o, FIXED, &q->spacing[0], &o->fixed, err) &&
           open_image(q, o, MOVING, &q->spacing[1], &o->moving, err) &&
           open_image(q, o, ALIGNED, &q->spacing[0], &o->aligned, err) &&
           open_image(q, o, FIXED_LABELS, &q->spacing[0], &o->labels[0], err) &&
           open_image(q, o, MOVING_LABELS, &q->spacing[1], &o->labels[1], err) &&
           open_transform(o, t, &o->transform, err) &&
           open_transform(o, q->path[INVERSE - FIXED], &o->inverse, err) &&
           clm_arena_open((size_t)2 << 30, &o->work.keep, err) &&
           clm_arena_open((size_t)2 << 30, &o->work.temp, err);
}

static void close_all(opened *o) {
    clm_image_close(o->fixed);
    clm_image_close(o->moving);
    clm_image_close(o->aligned);
    clm_image_close(o->labels[0]);
    clm_image_close(o->labels[1]);
    clm_transform_close(&o->transform);
    clm_transform_close(&o->inverse);
    clm_cache_close(o->cache);
    clm_run_close(o->run);
    clm_config_free(o->config);
    clm_arena_close(o->work.keep);
    clm_arena_close(o->work.temp);
}

static double least_spacing(const clm_image *im) {
    const double *s = clm_image_info_of(im)->level[0].spacing_um;
    return fmin(s[0], fmin(s[1], s[2]));
}

static bool lay_out(const request *q, const opened *o, bool has_transform, clm_evaluate *e, clm_err *err) {
    const clm_image *fixed = o->fixed ? o->fixed : o->run ? o->run->fixed : NULL;
    const clm_image *moving = o->moving ? o->moving : o->run ? o->run->moving : NULL;
    *e = (clm_evaluate){.fixed = fixed, .moving = moving, .aligned = o->aligned, .radius_vox = q->radius};
    e->threads = (int)q->threads;
    e->map = q->map;
    e->fixed_labels = o->labels[0];
    e->moving_labels = o->labels[1];
    if (has_transform) e->transform = &o->transform;
    if (q->path[INVERSE - FIXED]) e->inverse = &o->inverse;
    if (fixed) {
        double um = fmax(least_spacing(fixed), q->spacing_um);
        if (o->run && q->spacing_um <= 0.0) um = fmax(um, o->run->config->align_spacing_um);
        e->fixed_view = clm_view_make(fixed, um);
        if (moving) e->moving_view = clm_view_make(moving, um);
        if (o->aligned) e->aligned_view = clm_view_make(o->aligned, um);
    }
    if (o->run && !q->block && has_transform) {
        const clm_lattice_plan *l = &o->run->pass[o->run->n_passes - 1].lattice;
        for (int d = 0; d < 3; d++)
            e->face_nodes[d] = l->blocks.shape[d] > 1 ? l->blocks.block[d] / l->pitch : 0;
    } else if (q->block || q->pitch) {
        if (!q->pitch || !q->block || q->block % q->pitch != 0)
            return clm_fail(err, CLM_E_ARG, "--block-vox must be a whole multiple of --pitch-vox");
        for (int d = 0; d < 3; d++) e->face_nodes[d] = q->block / q->pitch;
    }
    if (!o->labels[0] != !o->labels[1])
        return clm_fail(err, CLM_E_ARG, "--fixed-labels and --moving-labels go together");
    if (o->labels[0]) {
        e->surface_reach_um = 10.0 * least_spacing(o->labels[0]);
        if (q->reach && !parse_real("surface-reach", q->reach, &e->surface_reach_um, err)) return false;
    }
    return true;
}

static bool measure(const request *q, const opened *o, const clm_evaluate *e, clm_evaluation *v,
                    clm_err *err) {
    const clm_work *w = &o->work;
    clm_landmarks marks;
    v->radius_vox = e->radius_vox;
    v->has_images = e->fixed && (e->moving || e->aligned);
    v->has_field = e->transform != NULL;
    v->has_loop = e->transform && e->inverse;
    v->has_landmarks = q->path[LANDMARKS - FIXED] != NULL;
    v->has_labels = e->fixed_labels != NULL;
    if (e->inverse && !e->transform) return clm_fail(err, CLM_E_ARG, "--inverse needs --transform");
    if (v->has_images && !clm_evaluate_images(e, &v->images, err)) return false;
    if (v->has_field && !clm_evaluate_field(e, w, &v->field, err)) return false;
    if (v->has_loop && !clm_evaluate_loop(e, &v->loop, err)) return false;
    if (v->has_labels && !clm_evaluate_labels(e, w, &v->labels, err)) return false;
    return !v->has_landmarks || (clm_landmarks_read(w, q->path[LANDMARKS - FIXED], &marks, err) &&
                                 clm_evaluate_landmarks(e, w, &marks, v->marked, v->marks, err));
}

static bool tell(const request *q, const opened *o, const clm_evaluation *v, clm_err *err) {
    clm_json *json = NULL;
    clm_buf b = {0};
    bool ok = clm_evaluation_to_json(v, &o->work, &json, err) &&
              (q->json ? clm_json_print(json, true, &b, err) : clm_evaluation_print(json, &b, err));
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(json);
    clm_buf_free(&b);
    return ok;
}

int clm_cmd_evaluate(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    request q;
    opened o = {0};
    clm_evaluate e;
    bool ok = parse(argc, argv, &q, &err);
    if (ok && q.help) {
        (void)printf("%s", help);
        return CLM_EXIT_DONE;
    }
    clm_evaluation *v = ok ? clm_heap_new(1, sizeof *v, &err) : NULL;
    ok = v && open_all(&q, &o, &err) && lay_out(&q, &o, q.run || q.path[TRANSFORM - FIXED], &e, &err) &&
         measure(&q, &o, &e, v, &err) && tell(&q, &o, v, &err);
    close_all(&o);
    clm_heap_free(v);
    return ok ? CLM_EXIT_DONE : clm_command_fails("evaluate", &err);
}
