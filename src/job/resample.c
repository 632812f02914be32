#include "collimate/job/resample.h"

#include <math.h>
#include <string.h>

#define VOXELS_MAX 33554432.0 /* of the image at once */
#define NODES_MAX 8388608.0   /* of a field at once   */

void clm_voxel_of(clm_dtype t, double x, void *voxel) {
    float f = (float)x;
    double lo, hi;
    if (!clm_dtype_is_integer(t) || clm_dtype_size(t) < 4) {
        if (t == CLM_F64)
            memcpy(voxel, &x, sizeof x);
        else
            clm_dtype_from_f32(t == CLM_BOOL ? CLM_U8 : t, &f, voxel, 1);
        return;
    }
    /* float would lose bits of a label */
    clm_dtype_range(t, &lo, &hi);
    double r = isnan(x) ? 0.0 : nearbyint(fmin(fmax(x, lo), hi));
    bool is_signed = lo < 0.0, wide = clm_dtype_size(t) == 8;
    int64_t s = is_signed ? (int64_t)r : 0;
    uint64_t u = is_signed ? (uint64_t)s : (uint64_t)r;
    uint32_t small = (uint32_t)u;
    memcpy(voxel, wide ? (const void *)&u : (const void *)&small, wide ? 8 : 4);
}

/* One call's constants. */
typedef struct call {
    const clm_work *w;
    const clm_resampled *what;
    const clm_map *map;
    clm_vol image; /* grid of the level */
    size_t size;   /* of a voxel of the result */
    unsigned char outside[16];
    int64_t inside, unsolved;
} call;

static void fill(const call *c, int64_t n, unsigned char *out) {
    for (int64_t i = 0; i < n; i++) memcpy(out + (size_t)i * c->size, c->outside, c->size);
}

static void place_box(const call *c, clm_box box, clm_vol *v) {
    *v = c->image;
    for (int d = 0; d < 3; d++) {
        v->shape[d] = box.hi[d] - box.lo[d];
        v->origin[d] += (double)box.lo[d] * v->spacing[d];
    }
}

/* voxels as they are stored: labels, or small integers interpolated at once */
static bool warp_stored(call *c, clm_box need, const clm_vol *grid, const clm_affine *a, const clm_field *u,
                        void *out, clm_err *err) {
    const clm_resampled *s = c->what;
    clm_vol source;
    int64_t inside = 0;
    place_box(c, need, &source);
    void *voxels = clm_arena_take(c->w->keep, clm_box_count(need), c->size, err);
    if (!voxels || !clm_image_read_part_raw(s->image, s->level, s->channel, s->time, need, voxels, err) ||
        !(s->interp == CLM_INTERP_NEAREST
              ? clm_warp_items(c->w, &source, voxels, c->size, a, u, c->outside, grid, out, &inside, err)
              : clm_warp_stored(c->w, &source, voxels, s->dtype, a, u, (float)s->outside, grid, out, &inside,
                                err)))
        return false;
    c->inside += inside;
    return true;
}

/* the packed voxels of a result of floats */
static void place_result(const clm_vol *grid, void *out, clm_vol *v) {
    *v = *grid;
    v->data = out;
    v->stride[0] = v->shape[1] * v->shape[2];
    v->stride[1] = v->shape[2];
}

static bool is_stored(const call *c, clm_box need) {
    const clm_image_info *info = clm_image_info_of(c->what->image);
    const int64_t shape[3] = {need.hi[0] - need.lo[0], need.hi[1] - need.lo[1], need.hi[2] - need.lo[2]};
    if (info->scaled) return false;
    return c->what->interp == CLM_INTERP_NEAREST ||
           (c->what->interp == CLM_INTERP_LINEAR && info->dtype == c->what->dtype &&
            clm_warp_takes(c->what->dtype, shape));
}

static bool warp_floats(call *c, clm_box need, const clm_vol *grid, const clm_affine *a, const clm_field *u,
                        void *out, clm_err *err) {
    const clm_resampled *s = c->what;
    clm_vol source, result;
    int64_t inside = 0, shape[3];
    for (int d = 0; d < 3; d++) shape[d] = need.hi[d] - need.lo[d];
    bool floats = s->dtype == CLM_F32;
    place_result(grid, out, &result);
    if (!clm_vol_new(c->w->keep, shape, c->image.spacing, c->image.origin, &source, err) ||
        !clm_image_read_part(s->image, s->level, s->channel, s->time, need, &source, err) ||
        (!floats && !clm_vol_new(c->w->keep, grid->shape, grid->spacing, grid->origin, &result, err)) ||
        !clm_warp(c->w, &source, a, u, s->interp, (float)s->outside, &result, &inside, err))
        return false;
    if (!floats)
        clm_dtype_from_f32(s->dtype == CLM_BOOL ? CLM_U8 : s->dtype, result.data, out,
                           clm_vol_count(&result));
    c->inside += inside;
    return true;
}

/* a field solved backwards that has no solution leads nowhere */
static void drop_unsolved(call *c, const clm_vol *grid, const clm_affine *a, const clm_field *u,
                          const uint8_t *flags, unsigned char *out) {
    const clm_image_frame image = {
        .shape = {c->image.shape[0], c->image.shape[1], c->image.shape[2]},
        .spacing_um = {c->image.spacing[0], c->image.spacing[1], c->image.spacing[2]},
        .origin_um = {c->image.origin[0], c->image.origin[1], c->image.origin[2]}};
    for (int64_t i = 0, n = flags ? clm_vol_count(grid) : 0; i < n; i++) {
        const int64_t at[3] = {i / (grid->shape[1] * grid->shape[2]), i / grid->shape[2] % grid->shape[1],
                               i % grid->shape[2]};
        double x[3];
        if (!(flags[i] & CLM_POINT_UNSOLVED)) continue;
        for (int d = 0; d < 3; d++)
            x[d] = grid->origin[d] + (double)at[d] * grid->spacing[d] + (double)u->u[d][i];
        clm_affine_apply(a, x, x);
        c->inside -= clm_map_frame_has(&image, x);
        c->unsolved++;
        fill(c, 1, out + (size_t)i * c->size);
    }
}

static bool resample(call *c, const clm_vol *grid, unsigned char *out, clm_err *err);

/* the slowest axis that can be halved: both halves stay contiguous in the result */
static bool halve(call *c, const clm_vol *grid, unsigned char *out, clm_err *err) {
    int d = grid->shape[0] > 1 ? 0 : grid->shape[1] > 1 ? 1 : 2;
    clm_vol first = *grid, second = *grid;
    first.shape[d] = grid->shape[d] / 2;
    second.shape[d] -= first.shape[d];
    second.origin[d] += (double)first.shape[d] * grid->spacing[d];
    return resample(c, &first, out, err) &&
           resample(c, &second, out + (size_t)clm_vol_count(&first) * c->size, err);
}

static bool resample(call *c, const clm_vol *grid, unsigned char *out, clm_err *err) {
    clm_affine a;
    clm_field u;
    const uint8_t *flags;
    bool has_field, one = clm_vol_count(grid) == 1;
    if (!one && clm_map_nodes(c->map, grid) > NODES_MAX) return halve(c, grid, out, err);
    clm_mark m = clm_arena_mark(c->w->keep), temp = clm_arena_mark(c->w->temp);
    bool ok = clm_map_over(c->map, c->w, grid, &a, &u, &has_field, &flags, err);
    if (ok) {
        const clm_field *f = has_field ? &u : NULL;
        clm_box need = clm_warp_box(&a, f, grid, clm_box_of(grid->shape), &c->image, CLM_INTERP_CUBIC, 0);
        if (clm_box_is_empty(need)) {
            fill(c, clm_vol_count(grid), out);
        } else if (!one && (double)clm_box_count(need) > VOXELS_MAX) {
            clm_arena_rewind(c->w->keep, m);
            clm_arena_rewind(c->w->temp, temp);
            return halve(c, grid, out, err);
        } else {
            ok = is_stored(c, need) ? warp_stored(c, need, grid, &a, f, out, err)
                                    : warp_floats(c, need, grid, &a, f, out, err);
        }
        if (ok) drop_unsolved(c, grid, &a, &u, flags, out);
    }
    clm_arena_rewind(c->w->keep, m);
    clm_arena_rewind(c->w->temp, temp);
    return !ok && !one && err->code == CLM_E_BUDGET ? halve(c, grid, out, err) : ok;
}

bool clm_resample(const clm_work *w, const clm_resampled *what, const clm_map *map, const clm_vol *grid,
                  void *voxels, double *inside, int64_t *unsolved, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(what->image)->level[what->level];
    call c = {.w = w, .what = what, .map = map, .size = clm_dtype_size(what->dtype)};
    for (int d = 0; d < 3; d++) {
        c.image.shape[d] = l->shape[d];
        c.image.spacing[d] = l->spacing_um[d];
        c.image.origin[d] = l->origin_um[d];
    }
    clm_voxel_of(what->dtype, what->outside, c.outside);
    if (!resample(&c, grid, voxels, err)) return false;
    *inside = (double)c.inside / (double)clm_vol_count(grid);
    *unsolved = c.unsolved;
    return true;
}
