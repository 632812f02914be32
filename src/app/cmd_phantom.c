#include "collimate/app/commands.h"
#include "collimate/app/demo.h"
#include "collimate/app/slices.h"
#include "collimate/base/text.h"

#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate phantom [OPTIONS] DIR\n"
    "       collimate phantom --check [--json] DIR RUN\n\n"
    "Make a microscopy-like pair of volumes whose true warp is known: DIR/fixed.ome.zarr, DIR/moving.n5 and\n"
    "DIR/truth.json. With --check, compare what the run in folder RUN recovered with that truth, and draw\n"
    "slices before and after into RUN/pictures.\n\n"
    "  --size Z,Y,X            voxels of the fixed volume (128,192,224); the moving volume grows with it\n"
    "  --moving-size Z,Y,X     voxels of the moving volume\n"
    "  --spacing Z,Y,X         micrometres a voxel of the fixed volume (1,0.8,0.8)\n"
    "  --moving-spacing Z,Y,X  of the moving volume (1.2,0.9,0.9)\n"
    "  --seed N                another scene and another warp; the same seed gives the same voxels (1)\n"
    "  --warp UM               bound of the smooth deformation; typical is a third of it (16)\n"
    "  --warp-pitch UM         width of its bumps, at least about 3 times --warp (64)\n"
    "  --shift UM              shift of the centre (14)\n"
    "  --rotation DEG          rotation about a random axis (4)\n"
    "  --noise X               scales all noise; 0 none (1)\n"
    "  --cell UM               typical radius of a cell (3.4)\n"
    "  --density X             how crowded with cells (1)\n"
    "  --gamma X               contrast of the moving camera; 1 is that of the fixed one (0.85)\n"
    "  --chunk N               voxels a side of a chunk (64)\n"
    "  --threads N             threads (all cores); the voxels do not depend on it\n"
    "  --check                 compare a run with the truth, see above\n"
    "  --json                  figures of --check as JSON\n"
    "  -q, --quiet             errors only\n"
    "  -h, --help              this text\n\n"
    "Examples:\n"
    "  collimate phantom demo\n"
    "  collimate phantom --seed 7 --size 256,512,512 --noise 2 harder\n"
    "  mpirun -n 2 collimate align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --out demo/out\n"
    "  collimate phantom --check demo demo/out\n";

enum {
    SIZE = 256,
    MOVING_SIZE,
    SPACING,
    MOVING_SPACING,
    SEED,
    WARP,
    WARP_PITCH,
    SHIFT,
    ROTATION,
    NOISE,
    CELL,
    DENSITY,
    GAMMA,
    CHUNK,
    THREADS,
    CHECK,
    JSON
};

static const struct option longs[] = {
    {"size", required_argument, NULL, SIZE},
    {"moving-size", required_argument, NULL, MOVING_SIZE},
    {"spacing", required_argument, NULL, SPACING},
    {"moving-spacing", required_argument, NULL, MOVING_SPACING},
    {"seed", required_argument, NULL, SEED},
    {"warp", required_argument, NULL, WARP},
    {"warp-pitch", required_argument, NULL, WARP_PITCH},
    {"shift", required_argument, NULL, SHIFT},
    {"rotation", required_argument, NULL, ROTATION},
    {"noise", required_argument, NULL, NOISE},
    {"cell", required_argument, NULL, CELL},
    {"density", required_argument, NULL, DENSITY},
    {"gamma", required_argument, NULL, GAMMA},
    {"chunk", required_argument, NULL, CHUNK},
    {"threads", required_argument, NULL, THREADS},
    {"check", no_argument, NULL, CHECK},
    {"json", no_argument, NULL, JSON},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

typedef struct request {
    clm_phantom_params params;
    clm_demo_options demo;
    bool help, check, json, quiet, moving_size;
    const char *path[2];
} request;

static bool parse_real(const char *name, const char *text, double *out, clm_err *err) {
    return clm_text_real(text, out) || clm_fail(err, CLM_E_ARG, "--%s %s: must be a number", name, text);
}

static bool parse_int(const char *name, const char *text, int64_t least, int64_t *out, clm_err *err) {
    return (clm_text_int(text, out) && *out >= least && *out <= (int64_t)1 << 53) ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be a whole number from %lld", name, text,
                    (long long)least);
}

/* "Z,Y,X" */
static bool parse_three(const char *name, const char *text, double out[3], clm_err *err) {
    char part[64];
    const char *at = text;
    for (int d = 0; d < 3; d++) {
        size_t n = strcspn(at, ",");
        bool ok = n < sizeof part && (at[n] == ',') == (d < 2);
        if (ok) {
            memcpy(part, at, n);
            part[n] = 0;
            ok = clm_text_real(part, &out[d]) && out[d] > 0.0;
        }
        if (!ok)
            return clm_fail(err, CLM_E_ARG, "--%s %s: must be three numbers above 0, as in 64,128,128", name,
                            text);
        at += n + 1;
    }
    return true;
}

static bool parse_shape(const char *name, const char *text, int64_t out[3], clm_err *err) {
    double v[3];
    if (!parse_three(name, text, v, err)) return false;
    for (int d = 0; d < 3; d++) {
        if (v[d] != rint(v[d]) || v[d] > 1e9)
            return clm_fail(err, CLM_E_ARG, "--%s %s: must be whole numbers of voxels", name, text);
        out[d] = (int64_t)v[d];
    }
    return true;
}

static bool take_option(request *r, int option, const char *name, const char *text, clm_err *err) {
    clm_phantom_params *q = &r->params;
    const clm_phantom_params usual = CLM_PHANTOM_DEFAULTS;
    double x;
    int64_t n;
    switch (option) {
    case SIZE: return parse_shape(name, text, q->side[CLM_PHANTOM_FIXED].shape, err);
    case MOVING_SIZE:
        r->moving_size = true;
        return parse_shape(name, text, q->side[CLM_PHANTOM_MOVING].shape, err);
    case SPACING: return parse_three(name, text, q->side[CLM_PHANTOM_FIXED].spacing, err);
    case MOVING_SPACING: return parse_three(name, text, q->side[CLM_PHANTOM_MOVING].spacing, err);
    case WARP: /* both layers keep their proportion */
        if (!parse_real(name, text, &x, err)) return false;
        for (int i = 0; i < 2; i++) q->warp_um[i] = usual.warp_um[i] * x / usual.warp_um[0];
        return true;
    case WARP_PITCH:
        if (!parse_real(name, text, &x, err)) return false;
        for (int i = 0; i < 2; i++) q->warp_pitch_um[i] = usual.warp_pitch_um[i] * x / usual.warp_pitch_um[0];
        return true;
    case SHIFT: return parse_real(name, text, &q->shift_um, err);
    case ROTATION: return parse_real(name, text, &q->rotation_deg, err);
    case NOISE: return parse_real(name, text, &q->noise, err);
    case CELL: return parse_real(name, text, &q->cell_um, err);
    case DENSITY: return parse_real(name, text, &q->density, err);
    case GAMMA: return parse_real(name, text, &q->side[CLM_PHANTOM_MOVING].gamma, err);
    case CHUNK: return parse_int(name, text, 1, &r->demo.chunk, err);
    case SEED:
        if (!parse_int(name, text, 0, &n, err)) return false;
        q->seed = (uint64_t)n;
        return true;
    case THREADS:
        if (!parse_int(name, text, 1, &n, err)) return false;
        r->demo.threads = n < 256 ? (int)n : 256;
        return true;
    case CHECK: r->check = true; return true;
    case JSON: r->json = true; return true;
    case 'q': r->quiet = true; return true;
    default: r->help = true; return true;
    }
}

/* a moving volume that was not asked for covers the same part of the fixed one as the usual one does */
static void fit_moving(clm_phantom_params *q) {
    const clm_phantom_params usual = CLM_PHANTOM_DEFAULTS;
    for (int d = 0; d < 3; d++) {
        double extent[2];
        for (int i = 0; i < 2; i++) extent[i] = (double)usual.side[i].shape[d] * usual.side[i].spacing[d];
        const clm_phantom_side *fixed = &q->side[CLM_PHANTOM_FIXED];
        double want = (double)fixed->shape[d] * fixed->spacing[d] * extent[1] / extent[0];
        q->side[CLM_PHANTOM_MOVING].shape[d] =
            (int64_t)fmax(1.0, rint(want / q->side[CLM_PHANTOM_MOVING].spacing[d]));
    }
}

static bool parse(int argc, char **argv, request *r, clm_err *err) {
    int option, at = 0;
    optind = 0; /* getopt begins anew */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "hq", longs, &at)) != -1) {
        if (option == '?')
            return clm_fail(err, CLM_E_ARG, "%s: unknown option, or its value is missing; see --help",
                            argv[optind - 1]);
        if (!take_option(r, option, longs[at].name, optarg, err)) return false;
    }
    if (r->help) return true;
    int want = r->check ? 2 : 1;
    if (argc - optind != want)
        return clm_fail(err, CLM_E_ARG, "%s; see --help",
                        r->check ? "--check needs the phantom's folder and the run's"
                                 : "which folder to make?");
    for (int i = 0; i < want; i++) r->path[i] = argv[optind + i];
    if (!r->moving_size) fit_moving(&r->params);
    return true;
}

static int core_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void tell(void *ctx, const char *line) {
    (void)ctx;
    (void)fprintf(stderr, "%s\n", line);
}

static bool draw_slices(const request *r, clm_err *err) {
    static const char *const names[2] = {"fixed.ome.zarr", "moving.n5"};
    clm_image *im[3] = {NULL, NULL, NULL};
    char path[CLM_PATH_MAX];
    bool ok = true;
    for (int i = 0; ok && i < 2; i++)
        ok = clm_path_join(path, r->path[0], names[i], err) && clm_image_open(path, NULL, &im[i], err);
    ok = ok && clm_path_join(path, r->path[1], "aligned.ome.zarr", err) &&
         clm_image_open(path, NULL, &im[2], err) && clm_path_join(path, r->path[1], "pictures", err) &&
         clm_slices_write(im[0], im[1], im[2], path, err);
    char errors[CLM_PATH_MAX];
    ok = ok && clm_path_join(errors, path, "errors.png", err) &&
         clm_demo_draw_errors(r->path[0], r->path[1], errors, err);
    for (int i = 0; i < 3; i++) clm_image_close(im[i]);
    if (ok && !r->quiet && !r->json)
        (void)printf("\npictures: %s/slice_z.png, slice_y.png, slice_x.png, errors.png\n", path);
    return ok;
}

static bool check(const request *r, clm_err *err) {
    clm_demo_errors e;
    clm_json *v = NULL;
    clm_buf text = {0};
    bool ok = clm_demo_check(r->path[0], r->path[1], &e, err);
    if (ok && r->json)
        ok = clm_demo_errors_to_json(&e, &v, err) && clm_json_print(v, true, &text, err);
    else if (ok)
        ok = clm_demo_errors_print(&e, &text, err);
    if (ok && (r->json || !r->quiet)) (void)fwrite(text.data, 1, text.n, stdout);
    clm_json_free(v);
    clm_buf_free(&text);
    return ok && draw_slices(r, err);
}

int clm_cmd_phantom(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    request r = {.params = CLM_PHANTOM_DEFAULTS, .demo = {.chunk = 64, .threads = core_count()}};
    if (!parse(argc, argv, &r, &err)) return clm_command_fails("phantom", &err);
    if (r.help) {
        (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    if (!r.quiet) r.demo.tell = tell;
    bool ok = r.check ? check(&r, &err) : clm_demo_write(r.path[0], &r.params, &r.demo, &err);
    return ok ? CLM_EXIT_DONE : clm_command_fails("phantom", &err);
}
