/* Pictures of a report. Only middle planes are read or computed, and of these at most 1024 voxels a side. */
#include "collimate/app/picture.h"
#include "collimate/app/report.h"
#include "collimate/app/slices.h"
#include "collimate/base/file.h"
#include "collimate/image/jacobian.h"
#include "collimate/image/lncc.h"
#include "collimate/job/evaluate.h"
#include "collimate/transform/transform.h"
#include "report_parts.h"

#include <math.h>
#include <string.h>

enum { RADIUS = 4, MOST = CLM_RUN_PICTURE_VOX, PANEL = 560, MARGIN = 14, LEGEND = 120 };

static bool draw_map(const clm_plane *plane, clm_window window, clm_palette palette, const char *path,
                     clm_err *err) {
    const clm_colour ground = {24, 24, 28}, ink = {225, 225, 225};
    double high = (double)plane->rows * plane->spacing[0], wide = (double)plane->columns * plane->spacing[1];
    double um = fmax(high, wide) / PANEL;
    int64_t width, height;
    clm_picture p;
    clm_plane_size(plane, um, &width, &height);
    if (!clm_picture_new(3 * MARGIN + width + LEGEND, 2 * MARGIN + height, ground, &p, err)) return false;
    clm_picture_map(&p, MARGIN, MARGIN, um, CLM_ZOOM_LINEAR, plane, window, palette);
    clm_picture_scale_bar(&p, width, MARGIN + height - MARGIN, width / 3, um, 2, CLM_WHITE);
    clm_picture_legend(&p, 2 * MARGIN + width, MARGIN, height, window, palette, 2, ink);
    bool ok = clm_picture_write_png(&p, path, err);
    clm_picture_free(&p);
    return ok;
}

static bool read_slab(const clm_work *w, const clm_image *im, clm_box box, clm_vol *out, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    int64_t shape[3];
    for (int d = 0; d < 3; d++) shape[d] = box.hi[d] - box.lo[d];
    return clm_vol_new(w->keep, shape, l->spacing_um, l->origin_um, out, err) &&
           clm_image_read(im, 0, box, out, err);
}

/* local correlation on the middle plane, from the slab its windows need */
static bool draw_local_ncc(const clm_work *w, const clm_image *fixed, const clm_image *aligned,
                           const char *path, clm_err *err) {
    const int64_t *shape = clm_image_info_of(fixed)->level[0].shape;
    clm_box slab = clm_box_of(shape), core;
    clm_vol f, m, map;
    clm_lncc sum = {0};
    for (int d = 0; d < 3; d++) {
        int64_t n = d == 0 ? 2 * RADIUS + 1 : MOST;
        if (shape[d] > n) slab.lo[d] = (shape[d] - n) / 2, slab.hi[d] = slab.lo[d] + n;
        core.lo[d] = 0, core.hi[d] = slab.hi[d] - slab.lo[d];
    }
    core.lo[0] = core.hi[0] / 2, core.hi[0] = core.lo[0] + 1;
    const int64_t plane[3] = {1, core.hi[1], core.hi[2]};
    if (!read_slab(w, fixed, slab, &f, err) || !read_slab(w, aligned, slab, &m, err) ||
        !clm_vol_new(w->keep, plane, f.spacing, f.origin, &map, err) ||
        !clm_lncc_add(w, &f, &m, core, RADIUS, &sum, &map, err))
        return false;
    const clm_plane p = {map.data, plane[1], plane[2], {f.spacing[1], f.spacing[2]}};
    return draw_map(&p, (clm_window){0.0, 1.0}, CLM_PALETTE_HEAT, path, err);
}

/* the range of colours for a determinant, which is 1 where nothing happens */
static clm_window around_one(const float *v, int64_t n) {
    double most = 1.0 / 64.0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) most = fmax(most, fmin(1.0, fabs((double)v[i] - 1.0)));
    return (clm_window){1.0 - most, 1.0 + most};
}

static clm_window from_zero(const float *v, int64_t n) {
    double most = 1e-9;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) most = fmax(most, (double)v[i]);
    return (clm_window){0.0, most};
}

/* the determinant at the centres of the lattice cells around the middle plane */
static bool draw_jacobian(const clm_work *w, const clm_transform *t, const char *path, clm_err *err) {
    clm_box box = clm_box_of(t->shape);
    clm_field f;
    int64_t shape[3];
    for (int d = 0; d < 3; d++) {
        int64_t n = d == 0 ? 2 : MOST;
        if (t->shape[d] > n) box.lo[d] = (t->shape[d] - n) / 2, box.hi[d] = box.lo[d] + n;
        shape[d] = box.hi[d] - box.lo[d];
    }
    int64_t rows = clm_jacobian_cell_count(shape[1]), columns = clm_jacobian_cell_count(shape[2]);
    float *v = clm_take(w->keep, float, rows *columns, err);
    if (!v || !clm_field_new(w->keep, shape, t->spacing_um, t->origin_um, &f, err) ||
        !clm_transform_read(t, box, &f, err))
        return false;
    for (int64_t j = 0; j < rows; j++)
        for (int64_t i = 0; i < columns; i++) {
            const double at[3] = {0.5, (double)j + 0.5, (double)i + 0.5};
            double x[3];
            for (int d = 0; d < 3; d++) x[d] = f.origin[d] + at[d] * f.spacing[d];
            v[j * columns + i] = (float)clm_jacobian_at(&t->affine, &f, x);
        }
    const clm_plane p = {v, rows, columns, {t->spacing_um[1], t->spacing_um[2]}};
    return draw_map(&p, around_one(v, rows * columns), CLM_PALETTE_DIVERGING, path, err);
}

static bool draw_of_field(const clm_run *run, const clm_work *w, const char *folder, clm_err *err) {
    char path[CLM_PATH_MAX], png[CLM_PATH_MAX];
    clm_transform t = {0};
    bool ok =
        clm_run_path(run, path, err, CLM_RUN_TRANSFORM) && clm_transform_open(path, false, &t, err) &&
        (!t.field || (clm_path_join(png, folder, "jacobian.png", err) && draw_jacobian(w, &t, png, err)));
    clm_transform_close(&t);
    return ok;
}

static bool draw_of_aligned(const clm_run *run, const clm_work *w, int64_t picture, const char *folder,
                            clm_err *err) {
    char path[CLM_PATH_MAX], png[CLM_PATH_MAX];
    clm_image *aligned = NULL;
    if (!clm_run_path(run, path, err, CLM_RUN_ALIGNED)) return false;
    if (clm_path_kind_of(path) != CLM_PATH_FOLDER) return true;
    bool ok = clm_image_open(path, NULL, &aligned, err);
    if (ok && picture < 3)
        ok = clm_slice_write(w, run->fixed, run->moving, aligned, (int)picture, folder, err);
    if (ok && picture >= 3)
        ok = clm_path_join(png, folder, "local_ncc.png", err) &&
             draw_local_ncc(w, run->fixed, aligned, png, err);
    clm_image_close(aligned);
    return ok;
}

bool clm_report_draw(const clm_run *run, const clm_work *w, int64_t picture, clm_err *err) {
    char folder[CLM_PATH_MAX];
    if (!clm_run_path(run, folder, err, "report") || !clm_folder_make(folder, err)) return false;
    if (picture == 5) return clm_report_draw_field(run, w, err);
    return picture == 3 ? draw_of_field(run, w, folder, err) : draw_of_aligned(run, w, picture, folder, err);
}

/* the middle plane of a map of the evaluation, where there is one */
static bool draw_evaluated(const clm_work *w, const clm_run *run, clm_evaluate_map which, const char *png,
                           clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_image *im = NULL;
    clm_vol v;
    if (!clm_run_path(run, path, err, "%s/%s.ome.zarr", CLM_RUN_EVALUATION, clm_evaluate_map_name[which]))
        return false;
    if (clm_path_kind_of(path) != CLM_PATH_FOLDER) return true;
    if (!clm_image_open(path, NULL, &im, err)) return false;
    const int64_t *shape = clm_image_info_of(im)->level[0].shape;
    clm_box box = clm_box_of(shape);
    for (int d = 0; d < 3; d++) {
        int64_t n = d == 0 ? 1 : MOST;
        if (shape[d] > n) box.lo[d] = (shape[d] - n) / 2, box.hi[d] = box.lo[d] + n;
    }
    clm_mark mark = clm_arena_mark(w->keep);
    bool ok = read_slab(w, im, box, &v, err);
    if (ok) {
        const clm_plane p = {v.data, v.shape[1], v.shape[2], {v.spacing[1], v.spacing[2]}};
        bool jacobian = which == CLM_MAP_JACOBIAN;
        clm_window window = jacobian                        ? around_one(v.data, clm_vol_count(&v))
                            : which == CLM_MAP_DISPLACEMENT ? from_zero(v.data, clm_vol_count(&v))
                                                            : (clm_window){0.0, 1.0};
        ok = draw_map(&p, window, jacobian ? CLM_PALETTE_DIVERGING : CLM_PALETTE_HEAT, png, err);
    }
    clm_arena_rewind(w->keep, mark);
    clm_image_close(im);
    return ok;
}

bool clm_report_draw_evaluation(const clm_run *run, const clm_work *w, clm_err *err) {
    static const char *const name[CLM_EVALUATE_MAPS] = {"local_ncc_before", "local_ncc", "jacobian",
                                                        "displacement"};
    char png[CLM_PATH_MAX];
    for (int k = 0; k < CLM_EVALUATE_MAPS; k++)
        if (!clm_run_path(run, png, err, "report/%s.png", name[k]) ||
            !draw_evaluated(w, run, (clm_evaluate_map)k, png, err))
            return false;
    return true;
}
