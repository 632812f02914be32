#include "collimate/job/view.h"
#include "collimate/image/reduce.h"
#include "collimate/store/array.h"

#include <math.h>
#include <string.h>

#define LEAST_AXIS 8     /* voxels that reduction leaves of an axis */
#define TILE 192         /* stored voxels an axis that are in memory at once while a box is reduced */
#define LEAST_TILE 32768 /* stored voxels of a chunk that is kept reduced */

clm_view clm_view_make(const clm_image *image, double spacing_um) {
    const clm_image_info *info = clm_image_info_of(image);
    clm_view v = {.image = image};
    for (int k = 1; k < info->n_levels;
         k++) { /* coarsest level that is no coarser than asked, or than level 0 */
        bool fits = true;
        for (int d = 0; d < 3; d++) {
            double most = fmax(spacing_um, info->level[0].spacing_um[d]);
            fits = fits && info->level[k].spacing_um[d] <= 1.001 * most;
        }
        if (fits) v.level = k;
    }
    const clm_image_level *l = &info->level[v.level];
    for (int d = 0; d < 3; d++) {
        double ratio = floor(spacing_um / l->spacing_um[d] + 0.5);
        int64_t f = ratio < 1.0 ? 1 : ratio > 1e6 ? 1000000 : (int64_t)ratio;
        if (f > 1 && l->shape[d] / f < LEAST_AXIS)
            f = l->shape[d] >= LEAST_AXIS ? l->shape[d] / LEAST_AXIS : 1;
        v.factor[d] = f;
        v.shape[d] = l->shape[d] / f;
        v.spacing[d] = l->spacing_um[d] * (double)f;
        v.origin[d] = l->origin_um[d] + 0.5 * (double)(f - 1) * l->spacing_um[d];
    }
    return v;
}

clm_view clm_view_level(const clm_image *image, int level) {
    const clm_image_level *l = &clm_image_info_of(image)->level[level];
    clm_view v = {.image = image, .level = level, .factor = {1, 1, 1}};
    for (int d = 0; d < 3; d++) {
        v.shape[d] = l->shape[d];
        v.spacing[d] = l->spacing_um[d];
        v.origin[d] = l->origin_um[d];
    }
    return v;
}

clm_image_frame clm_view_frame(const clm_image *image, int level) {
    const clm_image_level *l = &clm_image_info_of(image)->level[level];
    clm_image_frame f;
    memcpy(f.shape, l->shape, sizeof f.shape);
    memcpy(f.spacing_um, l->spacing_um, sizeof f.spacing_um);
    memcpy(f.origin_um, l->origin_um, sizeof f.origin_um);
    return f;
}

bool clm_view_frame_like(const char *path, int64_t level, clm_image_frame *out, clm_err *err) {
    clm_image *im = NULL;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.all = true;
    if (!clm_image_open(path, &o, &im, err)) return clm_err_in(err, "--like");
    const clm_image_info *info = clm_image_info_of(im);
    bool ok = level >= 0 && level < info->n_levels;
    if (ok)
        *out = clm_view_frame(im, (int)level);
    else
        (void)clm_fail(err, CLM_E_ARG, "--like %s:%lld: it has levels 0 to %d", path, (long long)level,
                       info->n_levels - 1);
    clm_image_close(im);
    return ok;
}

double clm_view_voxel_um(const clm_view *v) {
    return fmin(v->spacing[0], fmin(v->spacing[1], v->spacing[2]));
}

double clm_view_um_or_voxels(const clm_view *v, double given_um, double voxels) {
    return given_um > 0.0 ? given_um : voxels * clm_view_voxel_um(v);
}

clm_vol clm_view_grid(const clm_view *v) {
    clm_vol g = {.data = NULL};
    for (int d = 0; d < 3; d++) {
        g.shape[d] = v->shape[d];
        g.spacing[d] = v->spacing[d];
        g.origin[d] = v->origin[d];
    }
    return g;
}

/* stored voxels behind working voxels [box), in `a` */
static bool read_stored(const clm_work *w, const clm_view *v, clm_box box, clm_arena *a, clm_vol *out,
                        clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(v->image)->level[v->level];
    clm_box fine;
    int64_t shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        fine.lo[d] = box.lo[d] * v->factor[d];
        fine.hi[d] = box.hi[d] * v->factor[d];
        shape[d] = fine.hi[d] - fine.lo[d];
        origin[d] = l->origin_um[d] + (double)fine.lo[d] * l->spacing_um[d];
    }
    if (!clm_vol_new(a, shape, l->spacing_um, origin, out, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    uint8_t *in = NULL;
    int64_t inside = 1;
    const clm_mask *masks[2] = {v->mask, v->foreground ? *v->foreground : NULL};
    bool ok = true;
    for (int k = 0; ok && inside && k < 2; k++)
        ok = !masks[k] || clm_mask_look(w, masks[k], out, &in, &inside, err);
    ok = ok && (!inside || clm_image_read(v->image, v->level, fine, out, err));
    for (int k = 0; ok && k < 2; k++)
        if (masks[k]) clm_mask_apply(masks[k], in, out);
    for (int64_t i = 0; ok && v->negative && i < clm_vol_count(out); i++) out->data[i] = -out->data[i];
    clm_arena_rewind(w->temp, m);
    return ok;
}

static const clm_array *array_of(const clm_view *v) { return clm_image_array_of(v->image, v->level); }

/* Stored chunks whose voxels make whole working voxels are reduced one by one and kept so by the cache: a box beside this
 * one, or another pass, finds an eighth or a 64th. Not where a mask cuts them, nor tiny ones. */
static bool keeps_tiles(const clm_view *v) {
    const clm_array *a = array_of(v);
    const clm_array_info *info = clm_array_info_of(a);
    int64_t n = 1;
    for (int d = 0; d < 3; d++) {
        int64_t chunk = info->inner[info->ndim - 3 + d];
        if (chunk > TILE || chunk % v->factor[d] != 0) return false;
        n *= chunk;
    }
    return clm_array_has_cache(a) && !v->mask && !v->foreground && n >= LEAST_TILE;
}

int64_t clm_view_tile(const clm_view *v, int axis) {
    const clm_array_info *info = clm_array_info_of(array_of(v));
    if (keeps_tiles(v)) return info->inner[info->ndim - 3 + axis] / v->factor[axis];
    return v->factor[axis] < TILE ? TILE / v->factor[axis] : 1;
}

/* `from` holds the tile, of which the box takes part */
static void copy_tile(const clm_vol *from, clm_box tile, clm_box box, const clm_vol *out) {
    clm_box part = clm_box_meet(tile, box);
    for (int64_t z = part.lo[0]; z < part.hi[0]; z++)
        for (int64_t y = part.lo[1]; y < part.hi[1]; y++)
            memcpy(clm_vol_row(out, z - box.lo[0], y - box.lo[1]) + (part.lo[2] - box.lo[2]),
                   clm_vol_row(from, z - tile.lo[0], y - tile.lo[1]) + (part.lo[2] - tile.lo[2]),
                   (size_t)(part.hi[2] - part.lo[2]) * sizeof(float));
}

/* into w->keep, of which the rest is as before */
static bool reduce_tile(const clm_work *w, const clm_view *v, clm_box tile, clm_vol *out, clm_err *err) {
    clm_mark m = clm_arena_mark(w->temp);
    clm_vol fine;
    bool ok = read_stored(w, v, tile, w->temp, &fine, err) && clm_reduce(w, &fine, v->factor, out, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}

/* of the cache: one tile */
typedef struct filling {
    const clm_work *w;
    const clm_view *v;
    clm_box tile;
} filling;

static bool fill_tile(void *ctx, void *into, clm_err *err) {
    const filling *f = ctx;
    clm_vol v;
    if (!reduce_tile(f->w, f->v, f->tile, &v, err)) return false;
    memcpy(into, v.data, (size_t)clm_vol_count(&v) * sizeof(float));
    return true;
}

/* Which of the cached tiles: so reduced, of that sign. A factor divides a chunk's edge, which is at most TILE. */
static uint64_t tiles_of(const clm_view *v) {
    uint64_t kind = v->negative;
    for (int d = 0; d < 3; d++) kind = kind << 8 | (uint64_t)v->factor[d];
    return kind;
}
_Static_assert(TILE < 256, "a factor is a byte of the kind");

static bool take_tile(const clm_work *w, const clm_view *v, clm_box tile, clm_box box, const clm_vol *out,
                      clm_err *err) {
    filling f = {w, v, tile};
    const clm_cached *held;
    const void *data;
    clm_vol whole = {
        .stride = {(tile.hi[1] - tile.lo[1]) * (tile.hi[2] - tile.lo[2]), tile.hi[2] - tile.lo[2]}};
    uint64_t number = 0;
    for (int d = 0; d < 3; d++) {
        int64_t edge = clm_view_tile(v, d);
        number = number * (uint64_t)clm_div_up(v->shape[d], edge) + (uint64_t)(tile.lo[d] / edge);
        whole.shape[d] = tile.hi[d] - tile.lo[d];
    }
    if (!clm_array_take_made(array_of(v), tiles_of(v), number, (size_t)clm_box_count(tile) * sizeof(float),
                             fill_tile, &f, &data, &held, err))
        return false;
    whole.data = (float *)(uintptr_t)data;
    copy_tile(&whole, tile, box, out);
    clm_array_give_made(array_of(v), held);
    return true;
}

static bool read_tile(const clm_work *w, const clm_view *v, clm_box tile, clm_box box, const clm_vol *out,
                      clm_err *err) {
    clm_mark keep = clm_arena_mark(w->keep);
    clm_vol coarse;
    bool kept = keeps_tiles(v),
         ok = kept ? take_tile(w, v, tile, box, out, err) : reduce_tile(w, v, tile, &coarse, err);
    if (ok && !kept) copy_tile(&coarse, tile, box, out);
    clm_arena_rewind(w->keep, keep);
    return ok;
}

bool clm_view_read(const clm_work *w, const clm_view *v, clm_box box, clm_vol *out, clm_err *err) {
    if (v->factor[0] == 1 && v->factor[1] == 1 && v->factor[2] == 1)
        return read_stored(w, v, box, w->keep, out, err);
    const bool kept = keeps_tiles(v); /* then tiles begin where chunks do */
    int64_t shape[3], edge[3], first[3], end[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = box.hi[d] - box.lo[d];
        origin[d] = v->origin[d] + (double)box.lo[d] * v->spacing[d];
        edge[d] = clm_view_tile(v, d);
        first[d] = kept ? box.lo[d] - box.lo[d] % edge[d] : box.lo[d];
        end[d] = kept ? v->shape[d] : box.hi[d];
    }
    if (!clm_vol_new(w->keep, shape, v->spacing, origin, out, err)) return false;
    clm_box tile;
    for (tile.lo[0] = first[0]; tile.lo[0] < box.hi[0]; tile.lo[0] = tile.hi[0]) {
        tile.hi[0] = tile.lo[0] + edge[0] < end[0] ? tile.lo[0] + edge[0] : end[0];
        for (tile.lo[1] = first[1]; tile.lo[1] < box.hi[1]; tile.lo[1] = tile.hi[1]) {
            tile.hi[1] = tile.lo[1] + edge[1] < end[1] ? tile.lo[1] + edge[1] : end[1];
            for (tile.lo[2] = first[2]; tile.lo[2] < box.hi[2]; tile.lo[2] = tile.hi[2]) {
                tile.hi[2] = tile.lo[2] + edge[2] < end[2] ? tile.lo[2] + edge[2] : end[2];
                if (!read_tile(w, v, tile, box, out, err)) return false;
            }
        }
    }
    return true;
}
