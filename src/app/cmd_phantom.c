#include "collimate/app/commands.h"
#include "collimate/app/demo.h"
#include "collimate/app/each.h"
#include "collimate/app/launch.h"
#include "collimate/app/slices.h"
#include "collimate/base/text.h"

#include <math.h>
#include <stdio.h>

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

typedef struct request {
    clm_phantom_params params;
    clm_demo_options demo;
    bool check, json, moving_size;
    const char *path[2];
    clm_args args;
} request;

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

/* both layers keep their proportion */
static void scale_warp(clm_phantom_params *q, double warp_um, double pitch_um) {
    const clm_phantom_params usual = CLM_PHANTOM_DEFAULTS;
    for (int i = 0; i < 2; i++) {
        q->warp_um[i] = usual.warp_um[i] * warp_um / usual.warp_um[0];
        q->warp_pitch_um[i] = usual.warp_pitch_um[i] * pitch_um / usual.warp_pitch_um[0];
    }
}

static bool parse(int argc, char **argv, request *r, clm_err *err) {
    clm_phantom_params *q = &r->params;
    clm_phantom_side *fixed = &q->side[CLM_PHANTOM_FIXED], *moving = &q->side[CLM_PHANTOM_MOVING];
    double warp_um = q->warp_um[0], pitch_um = q->warp_pitch_um[0];
    int64_t threads = r->demo.threads, seed = (int64_t)q->seed;
    const clm_arg table[] = {CLM_OPT("size", SHAPE, fixed->shape),
                             CLM_OPT("moving-size", SHAPE, moving->shape, .given = &r->moving_size),
                             CLM_OPT("spacing", THREE, fixed->spacing, .above = true),
                             CLM_OPT("moving-spacing", THREE, moving->spacing, .above = true),
                             CLM_OPT("seed", WHOLE, &seed, .most = 9007199254740992.0),
                             CLM_OPT("warp", REAL, &warp_um),
                             CLM_OPT("warp-pitch", REAL, &pitch_um),
                             CLM_OPT("shift", REAL, &q->shift_um),
                             CLM_OPT("rotation", REAL, &q->rotation_deg),
                             CLM_OPT("noise", REAL, &q->noise),
                             CLM_OPT("cell", REAL, &q->cell_um),
                             CLM_OPT("density", REAL, &q->density),
                             CLM_OPT("gamma", REAL, &moving->gamma),
                             CLM_OPT("chunk", WHOLE, &r->demo.chunk, .least = 1, .most = 1e6),
                             CLM_OPT("threads", WHOLE, &threads, .least = 1, .most = 256),
                             CLM_OPT("check", ON, &r->check),
                             CLM_OPT("json", ON, &r->json),
                             CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK, &r->args, err)) return false;
    if (r->args.help) return true;
    scale_warp(q, warp_um, pitch_um);
    r->demo.threads = (int)threads;
    q->seed = (uint64_t)seed;
    int want = r->check ? 2 : 1;
    if (r->args.n_rest != want)
        return clm_fail(err, CLM_E_ARG, "%s; see --help",
                        r->check ? "--check needs the phantom's folder and the run's"
                                 : "which folder to make?");
    for (int i = 0; i < want; i++) r->path[i] = r->args.rest[i];
    if (!r->moving_size) fit_moving(&r->params);
    return true;
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
    if (ok && !r->args.quiet && !r->json)
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
    if (ok && (r->json || !r->args.quiet)) (void)fwrite(text.data, 1, text.n, stdout);
    clm_json_free(v);
    clm_buf_free(&text);
    return ok && draw_slices(r, err);
}

int clm_cmd_phantom(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    request r = {.params = CLM_PHANTOM_DEFAULTS, .demo = {.chunk = 64, .threads = clm_each_threads(0)}};
    if (!parse(argc, argv, &r, &err)) return clm_command_fails("phantom", &err);
    if (r.args.help) return clm_launch_help(help);
    if (!r.args.quiet) r.demo.tell = tell;
    bool ok = r.check ? check(&r, &err) : clm_demo_write(r.path[0], &r.params, &r.demo, &err);
    return ok ? CLM_EXIT_DONE : clm_command_fails("phantom", &err);
}
