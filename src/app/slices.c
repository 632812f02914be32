#include "collimate/app/slices.h"
#include "collimate/app/picture.h"
#include "collimate/base/text.h"
#include "collimate/image/warp.h"
#include "collimate/job/align_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANEL = 560, MARGIN = 14, SIZE = 2, HEAD = 7 * SIZE + MARGIN };

static const char axis_name[3] = {'z', 'y', 'x'};

/* the middle plane across an axis, clipped to its middle where it is very large */
static clm_box middle_plane(const int64_t shape[3], int axis) {
    clm_box b = clm_box_of(shape);
    for (int d = 0; d < 3; d++) {
        int64_t n = d == axis ? 1 : CLM_RUN_PICTURE_VOX;
        if (shape[d] <= n) continue;
        b.lo[d] = (shape[d] - n) / 2;
        b.hi[d] = b.lo[d] + n;
    }
    return b;
}

static bool read_box(const clm_work *w, const clm_image *im, clm_box box, clm_vol *out, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    int64_t shape[3];
    for (int d = 0; d < 3; d++) shape[d] = box.hi[d] - box.lo[d];
    return clm_vol_new(w->keep, shape, l->spacing_um, l->origin_um, out, err) &&
           clm_image_read(im, 0, box, out, err);
}

static clm_vol grid_of(const clm_image *im) {
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    clm_vol v = {.stride = {l->shape[1] * l->shape[2], l->shape[2]}};
    memcpy(v.shape, l->shape, sizeof v.shape);
    memcpy(v.spacing, l->spacing_um, sizeof v.spacing);
    memcpy(v.origin, l->origin_um, sizeof v.origin);
    return v;
}

/* the moving volume on the plane as its metadata place it; NaN where it has nothing */
static bool read_before(const clm_work *w, const clm_image *moving, const clm_vol *plane, clm_vol *out,
                        clm_err *err) {
    clm_affine identity = CLM_AFFINE_IDENTITY;
    clm_vol grid = grid_of(moving), part;
    if (!clm_vol_new(w->keep, plane->shape, plane->spacing, plane->origin, out, err)) return false;
    clm_box box = clm_warp_box(&identity, NULL, plane, clm_box_of(plane->shape), &grid, CLM_INTERP_LINEAR, 0);
    if (clm_box_is_empty(box)) {
        for (int64_t i = 0; i < clm_vol_count(out); i++) out->data[i] = NAN;
        return true;
    }
    return read_box(w, moving, box, &part, err) &&
           clm_warp(w, &part, &identity, NULL, CLM_INTERP_LINEAR, NAN, out, NULL, err);
}

static clm_plane plane_of(const clm_vol *v, int axis) {
    int row = axis == 0 ? 1 : 0, column = axis == 2 ? 1 : 2;
    return (clm_plane){v->data, v->shape[row], v->shape[column], {v->spacing[row], v->spacing[column]}};
}

typedef struct slice {
    int axis;
    double at_um;
    clm_plane fixed, before, after;
    clm_window fixed_window, moving_window;
} slice;

static bool draw(const slice *s, const char *path, clm_err *err) {
    double high = (double)s->fixed.rows * s->fixed.spacing[0],
           wide = (double)s->fixed.columns * s->fixed.spacing[1];
    double um = fmax(high, wide) / PANEL;
    int64_t width, height, top = MARGIN + HEAD;
    clm_plane_size(&s->fixed, um, &width, &height);
    const clm_colour ground = {24, 24, 28}, ink = {225, 225, 225};
    clm_picture p;
    if (!clm_picture_new(3 * MARGIN + 2 * width, top + height + HEAD + MARGIN, ground, &p, err)) return false;
    for (int i = 0; i < 2; i++) {
        int64_t left = MARGIN + i * (width + MARGIN);
        char title[64];
        (void)snprintf(title, sizeof title, "%s, %c = %.4g um", i ? "after" : "before", axis_name[s->axis],
                       s->at_um);
        clm_picture_text(&p, left, MARGIN, SIZE, ink, title);
        clm_picture_overlay(&p, left, top, um, CLM_ZOOM_LINEAR, &s->fixed, s->fixed_window,
                            i ? &s->after : &s->before, s->moving_window);
        clm_picture_scale_bar(&p, left + width - MARGIN, top + height - MARGIN, width / 3, um, SIZE,
                              CLM_WHITE);
    }
    int64_t y = top + height + MARGIN;
    clm_picture_text(&p, MARGIN, y, SIZE, (clm_colour){255, 0, 255}, "fixed");
    clm_picture_text(&p, MARGIN + 6 * SIZE * 6, y, SIZE, (clm_colour){0, 255, 0}, "moving");
    clm_picture_text(&p, MARGIN + 6 * SIZE * 13, y, SIZE, CLM_WHITE, "both");
    bool ok = clm_picture_write_png(&p, path, err);
    clm_picture_free(&p);
    return ok;
}

bool clm_slice_write(const clm_work *w, const clm_image *fixed_image, const clm_image *moving,
                     const clm_image *aligned, int axis, const char *folder, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(fixed_image)->level[0];
    if (memcmp(l->shape, clm_image_info_of(aligned)->level[0].shape, sizeof l->shape) != 0)
        return clm_fail(err, CLM_E_ARG, "the aligned volume is not on the fixed volume's grid");
    clm_box box = middle_plane(l->shape, axis);
    clm_vol fixed, before, after;
    char path[CLM_PATH_MAX];
    slice s = {.axis = axis};
    if (!read_box(w, fixed_image, box, &fixed, err) || !read_before(w, moving, &fixed, &before, err) ||
        !read_box(w, aligned, box, &after, err))
        return false;
    s.at_um = fixed.origin[axis];
    s.fixed = plane_of(&fixed, axis);
    s.before = plane_of(&before, axis);
    s.after = plane_of(&after, axis);
    return clm_plane_window(&s.fixed, 0.05, 0.995, &s.fixed_window, err) &&
           clm_plane_window(&s.before, 0.05, 0.995, &s.moving_window, err) &&
           clm_path_format(path, err, "%s/slice_%c.png", folder, axis_name[axis]) && draw(&s, path, err);
}

bool clm_slices_write(const clm_image *fixed, const clm_image *moving, const clm_image *aligned,
                      const char *folder, clm_err *err) {
    clm_work w = {0};
    bool ok = clm_arena_open_pair((size_t)256 << 20, &w.keep, &w.temp, err);
    for (int axis = 0; ok && axis < 3; axis++) {
        ok = clm_slice_write(&w, fixed, moving, aligned, axis, folder, err);
        clm_arena_rewind(w.keep, (clm_mark){0});
    }
    clm_arena_close(w.keep);
    clm_arena_close(w.temp);
    return ok;
}
