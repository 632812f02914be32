#include "collimate/app/demo.h"
#include "collimate/app/picture.h"
#include "collimate/base/file.h"
#include "collimate/transform/transform.h"

#include <math.h>
#include <string.h>

enum { PER_AXIS = 40 };

static void truth_at(const void *ctx, const double x[3], double y[3]) { clm_phantom_truth(ctx, x, y); }
static void identity_at(const void *ctx, const double x[3], double y[3]) {
    (void)ctx;
    memmove(y, x, 3 * sizeof *y);
}
static void affine_at(const void *ctx, const double x[3], double y[3]) { clm_affine_apply(ctx, x, y); }

static clm_frame frame_of(const clm_phantom_side *s) {
    clm_frame f;
    memcpy(f.shape, s->shape, sizeof f.shape);
    memcpy(f.spacing, s->spacing, sizeof f.spacing);
    memcpy(f.origin, s->origin, sizeof f.origin);
    return f;
}

/* the two planes of lattice nodes around a z, all of y and x */
static bool read_planes(const clm_work *w, const clm_transform *t, double z, clm_field *out, clm_err *err) {
    int64_t k = (int64_t)floor((z - t->origin_um[0]) / t->spacing_um[0]), last = t->shape[0] - 1;
    k = k > last - 1 ? last - 1 : k;
    k = k < 0 ? 0 : k;
    clm_box box = {{k, 0, 0}, {k + 2 <= t->shape[0] ? k + 2 : t->shape[0], t->shape[1], t->shape[2]}};
    int64_t shape[3] = {box.hi[0] - box.lo[0], t->shape[1], t->shape[2]};
    return clm_field_new(w->keep, shape, t->spacing_um, t->origin_um, out, err) &&
           clm_transform_read(t, box, out, err);
}

/* Where the run's transform puts the points; they come in order of z, so a layer of points reads once. */
static bool map_by_field(const clm_work *w, const clm_transform *t, const clm_truth_points *p,
                         double (*found)[3], clm_err *err) {
    clm_mark mark = clm_arena_mark(w->keep);
    clm_field planes;
    for (int64_t i = 0; i < p->n; i++) {
        if (i == 0 || p->x[i][0] != p->x[i - 1][0]) {
            clm_arena_rewind(w->keep, mark);
            if (!read_planes(w, t, p->x[i][0], &planes, err)) return false;
        }
        clm_transform_point(&t->affine, &planes, p->x[i], found[i]);
    }
    clm_arena_rewind(w->keep, mark);
    return true;
}

static bool compare(const clm_work *w, const clm_phantom *phantom, const clm_transform *t,
                    clm_demo_errors *out, clm_err *err) {
    clm_frame fixed = frame_of(&phantom->params.side[CLM_PHANTOM_FIXED]);
    clm_frame moving = frame_of(&phantom->params.side[CLM_PHANTOM_MOVING]);
    clm_truth_points p;
    if (!clm_truth_sample(w, (clm_point_map){truth_at, phantom}, &fixed, &moving, PER_AXIS, &p, err))
        return false;
    double(*found)[3] = clm_arena_take(w->keep, p.n, sizeof *found, err);
    if (!found) return false;
    clm_truth_map(&p, (clm_point_map){identity_at, NULL}, found);
    if (!clm_truth_compare(w, &p, found, fixed.spacing, &out->before, err)) return false;
    clm_truth_map(&p, (clm_point_map){affine_at, &t->affine}, found);
    if (!clm_truth_compare(w, &p, found, fixed.spacing, &out->affine, err)) return false;
    if (t->field && !map_by_field(w, t, &p, found, err)) return false;
    return clm_truth_compare(w, &p, found, fixed.spacing, &out->field, err);
}

/* Along the middle plane of z: how far the affine alone and the whole transform are from the truth. */
static bool map_errors(const clm_work *w, const clm_phantom *phantom, const clm_transform *t, double z_um,
                       const clm_plane *plane, float *by_affine, float *by_field, clm_err *err) {
    const clm_phantom_side *s = &phantom->params.side[CLM_PHANTOM_FIXED];
    clm_frame moving = frame_of(&phantom->params.side[CLM_PHANTOM_MOVING]);
    clm_field planes;
    if (t->field && !read_planes(w, t, z_um, &planes, err)) return false;
    for (int64_t i = 0; i < plane->rows * plane->columns; i++) {
        double row = (double)(i / plane->columns) + 0.5, column = (double)(i % plane->columns) + 0.5;
        double x[3] = {z_um, s->origin[1] - 0.5 * s->spacing[1] + row * plane->spacing[0],
                       s->origin[2] - 0.5 * s->spacing[2] + column * plane->spacing[1]};
        double y[3], a[3], f[3], ea = 0.0, ef = 0.0;
        clm_phantom_truth(phantom, x, y);
        clm_affine_apply(&t->affine, x, a);
        clm_transform_point(&t->affine, t->field ? &planes : NULL, x, f);
        for (int d = 0; d < 3; d++) {
            ea += (a[d] - y[d]) * (a[d] - y[d]);
            ef += (f[d] - y[d]) * (f[d] - y[d]);
        }
        bool seen = clm_frame_has(&moving, y);
        by_affine[i] = seen ? (float)sqrt(ea) : NAN;
        by_field[i] = seen ? (float)sqrt(ef) : NAN;
    }
    return true;
}

static bool draw_errors(const clm_plane *by_affine, const clm_plane *by_field, const char *path,
                        clm_err *err) {
    enum { PANEL = 480, MARGIN = 14, SIZE = 2, HEAD = 8 * SIZE + MARGIN, LEGEND = 120 };
    const clm_colour ground = {24, 24, 28}, ink = {225, 225, 225};
    const clm_plane *planes[2] = {by_affine, by_field};
    static const char *const titles[2] = {"error after affine, um", "after field, um"};
    double high = (double)by_affine->rows * by_affine->spacing[0],
           wide = (double)by_affine->columns * by_affine->spacing[1], um = fmax(high, wide) / PANEL;
    int64_t width, height;
    clm_window window;
    clm_picture p;
    clm_plane_size(by_affine, um, &width, &height);
    if (!clm_plane_window(by_affine, 0.0, 0.99, &window, err)) return false;
    window.lo = 0.0;
    if (!clm_picture_new(4 * MARGIN + 2 * width + LEGEND, 2 * MARGIN + HEAD + height, ground, &p, err))
        return false;
    for (int i = 0; i < 2; i++) {
        int64_t left = MARGIN + i * (width + MARGIN);
        clm_picture_text(&p, left, MARGIN, SIZE, ink, titles[i]);
        clm_picture_map(&p, left, MARGIN + HEAD, um, CLM_ZOOM_LINEAR, planes[i], window, CLM_PALETTE_HEAT);
        clm_picture_scale_bar(&p, left + width - MARGIN, HEAD + height, width / 3, um, SIZE, CLM_WHITE);
    }
    clm_picture_legend(&p, 3 * MARGIN + 2 * width, MARGIN + HEAD, height, window, CLM_PALETTE_HEAT, SIZE,
                       ink);
    bool ok = clm_picture_write_png(&p, path, err);
    clm_picture_free(&p);
    return ok;
}

static bool draw_map(const clm_work *w, const clm_phantom *phantom, const clm_transform *t, const char *path,
                     clm_err *err) {
    const clm_phantom_side *s = &phantom->params.side[CLM_PHANTOM_FIXED];
    double high = (double)s->shape[1] * s->spacing[1], wide = (double)s->shape[2] * s->spacing[2];
    double step = fmax(high, wide) / 120.0, z = s->origin[0] + (double)(s->shape[0] / 2) * s->spacing[0];
    clm_plane a = {.rows = (int64_t)ceil(high / step), .columns = (int64_t)ceil(wide / step)};
    a.spacing[0] = high / (double)a.rows;
    a.spacing[1] = wide / (double)a.columns;
    float *v = clm_take(w->keep, float, 2 * a.rows * a.columns, err);
    if (!v) return false;
    clm_plane f = a;
    a.data = v;
    f.data = v + a.rows * a.columns;
    return map_errors(w, phantom, t, z, &a, v, v + a.rows * a.columns, err) && draw_errors(&a, &f, path, err);
}

/* What a check needs: the truth, the run's transform, memory. */
typedef struct opened {
    clm_phantom phantom;
    clm_transform transform;
    clm_work work;
} opened;

static bool open_both(const char *folder, const char *run, opened *o, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *truth = NULL;
    if (!clm_path_join(path, folder, "truth.json", err) || !clm_json_read(path, &truth, err)) return false;
    bool ok = clm_demo_truth_from_json(truth, &o->phantom, err) || clm_err_in(err, "%s", path);
    clm_json_free(truth);
    if (!ok || !clm_path_join(path, run, "transform.ome.zarr", err)) return false;
    if (clm_path_kind_of(path) == CLM_PATH_NONE)
        return clm_fail(err, CLM_E_NOTFOUND, "%s: not there; is %s a run folder, and has its run ended?",
                        path, run);
    if (!clm_transform_open(path, false, &o->transform, err)) return false;
    const clm_transform *t = &o->transform;
    size_t planes = t->field ? (size_t)(t->shape[1] * t->shape[2]) * 32 : 0;
    return clm_arena_open(planes + ((size_t)64 << 20), &o->work.keep, err) &&
           clm_arena_open((size_t)64 << 20, &o->work.temp, err);
}

static void close_both(opened *o) {
    clm_arena_close(o->work.keep);
    clm_arena_close(o->work.temp);
    clm_transform_close(&o->transform);
}

bool clm_demo_check(const char *folder, const char *run, clm_demo_errors *out, clm_err *err) {
    opened o = {0};
    bool ok = open_both(folder, run, &o, err) && compare(&o.work, &o.phantom, &o.transform, out, err);
    close_both(&o);
    return ok;
}

bool clm_demo_draw_errors(const char *folder, const char *run, const char *path, clm_err *err) {
    opened o = {0};
    bool ok = open_both(folder, run, &o, err) && draw_map(&o.work, &o.phantom, &o.transform, path, err);
    close_both(&o);
    return ok;
}

static bool print_row(clm_buf *b, const char *what, const char *unit, const clm_spread *s, clm_err *err) {
    return clm_buf_printf(b, err, "%-14s %-6s %9.3f %9.3f %9.3f %9.3f %9.3f\n", what, unit, s->median,
                          s->mean, s->p95, s->p99, s->max);
}

bool clm_demo_errors_print(const clm_demo_errors *e, clm_buf *b, clm_err *err) {
    return clm_buf_printf(b, err, "error against the known warp, at %lld points\n", (long long)e->field.n) &&
           clm_buf_printf(b, err, "%-14s %-6s %9s %9s %9s %9s %9s\n", "", "", "median", "mean", "95 %",
                          "99 %", "largest") &&
           print_row(b, "before", "um", &e->before.um, err) &&
           print_row(b, "", "voxels", &e->before.voxels, err) &&
           print_row(b, "after affine", "um", &e->affine.um, err) &&
           print_row(b, "", "voxels", &e->affine.voxels, err) &&
           print_row(b, "after field", "um", &e->field.um, err) &&
           print_row(b, "", "voxels", &e->field.voxels, err);
}

static void put_spread(clm_json *parent, const char *key, const clm_spread *s) {
    clm_json *v = clm_json_add_object(parent, key);
    clm_json_add_number(v, "median", s->median);
    clm_json_add_number(v, "mean", s->mean);
    clm_json_add_number(v, "p95", s->p95);
    clm_json_add_number(v, "p99", s->p99);
    clm_json_add_number(v, "max", s->max);
}

static void put_error(clm_json *parent, const char *key, const clm_truth_error *e) {
    clm_json *v = clm_json_add_object(parent, key);
    put_spread(v, "um", &e->um);
    put_spread(v, "voxels", &e->voxels);
}

bool clm_demo_errors_to_json(const clm_demo_errors *e, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_number(v, "points", (double)e->field.n);
    put_error(v, "before", &e->before);
    put_error(v, "affine", &e->affine);
    put_error(v, "field", &e->field);
    *out = v;
    return true;
}
