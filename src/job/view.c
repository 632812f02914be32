#include "collimate/job/view.h"
#include "collimate/image/reduce.h"

#include <math.h>

#define LEAST_AXIS 8 /* voxels that reduction leaves of an axis */

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

clm_vol clm_view_grid(const clm_view *v) {
    clm_vol g = {.data = NULL};
    for (int d = 0; d < 3; d++) {
        g.shape[d] = v->shape[d];
        g.spacing[d] = v->spacing[d];
        g.origin[d] = v->origin[d];
    }
    return g;
}

bool clm_view_read(const clm_work *w, const clm_view *v, clm_box box, clm_vol *out, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(v->image)->level[v->level];
    bool whole = v->factor[0] == 1 && v->factor[1] == 1 && v->factor[2] == 1;
    clm_box fine;
    int64_t shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        fine.lo[d] = box.lo[d] * v->factor[d];
        fine.hi[d] = box.hi[d] * v->factor[d];
        shape[d] = fine.hi[d] - fine.lo[d];
        origin[d] = l->origin_um[d] + (double)fine.lo[d] * l->spacing_um[d];
    }
    clm_mark m = clm_arena_mark(w->temp);
    clm_vol source;
    bool ok = clm_vol_new(whole ? w->keep : w->temp, shape, l->spacing_um, origin, &source, err) &&
              clm_image_read(v->image, v->level, fine, &source, err);
    if (ok && whole) *out = source;
    if (ok && !whole) ok = clm_reduce(w, &source, v->factor, out, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}
