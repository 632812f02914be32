#include "collimate/job/mask.h"
#include "collimate/base/heap.h"

#include <math.h>
#include <string.h>

struct clm_mask {
    clm_image *image; /* NULL: none */
    bool goes_on;
    const clm_list *background;
};

static bool same_shape(const int64_t a[3], const int64_t b[3]) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* a bare array of the image's own shape lies where the image lies */
static bool open_array(const clm_image *image, const char *path, clm_image **out, clm_err *err) {
    const clm_image_level *l = &clm_image_info_of(image)->level[0];
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    clm_err none = CLM_ERR_NONE;
    if (clm_image_open(path, &o, out, &none)) return true;
    if (none.code != CLM_E_ARG) return *err = none, false;
    o.has_spacing = o.has_origin = true;
    memcpy(o.spacing_um, l->spacing_um, sizeof o.spacing_um);
    memcpy(o.origin_um, l->origin_um, sizeof o.origin_um);
    clm_err again = CLM_ERR_NONE;
    if (!clm_image_open(path, &o, out, &again)) return *err = none, false;
    if (same_shape(clm_image_info_of(*out)->level[0].shape, l->shape)) return true;
    clm_image_close(*out);
    *out = NULL;
    return *err = none, false;
}

bool clm_mask_open(const clm_image *image, const clm_mask_params *p, clm_cache *cache, clm_mask **out,
                   clm_err *err) {
    *out = NULL;
    if (!p->path[0] && p->background->n == 0) return true;
    clm_mask *m = clm_heap_new(1, sizeof *m, err);
    if (!m) return false;
    m->background = p->background;
    m->goes_on = p->goes_on;
    if (p->path[0]) {
        if (!open_array(image, p->path, &m->image, err)) {
            clm_heap_free(m);
            return false;
        }
        clm_image_use_cache(m->image, cache);
    }
    *out = m;
    return true;
}

void clm_mask_close(clm_mask *m) {
    if (!m) return;
    clm_image_close(m->image);
    clm_heap_free(m);
}

bool clm_mask_stamp(const clm_mask *m, uint64_t *stamp, clm_err *err) {
    return !m || !m->image || clm_image_stamp(m->image, stamp, err);
}

/* the coarsest level no coarser than the voxels asked for: fewest bytes that still decide each of them */
static int level_for(const clm_image *image, const double spacing[3]) {
    const clm_image_info *info = clm_image_info_of(image);
    int level = 0;
    for (int k = 1; k < info->n_levels; k++) {
        bool fits = true;
        for (int d = 0; d < 3; d++) fits = fits && info->level[k].spacing_um[d] <= 1.001 * spacing[d];
        if (fits) level = k;
    }
    return level;
}

/* nearest mask voxel of every plane, row or column of v along axis d; -1 beyond the mask */
static void nearest(const clm_mask *m, const clm_image_level *l, const clm_vol *v, int d, int64_t *at,
                    clm_box *box) {
    for (int64_t i = 0; i < v->shape[d]; i++) {
        double world = v->origin[d] + (double)i * v->spacing[d];
        int64_t k = (int64_t)floor((world - l->origin_um[d]) / l->spacing_um[d] + 0.5);
        if (m->goes_on) k = k < 0 ? 0 : k < l->shape[d] ? k : l->shape[d] - 1;
        at[i] = k < 0 || k >= l->shape[d] ? -1 : k;
        if (at[i] < 0) continue;
        if (k < box->lo[d]) box->lo[d] = k;
        if (k + 1 > box->hi[d]) box->hi[d] = k + 1;
    }
}

static int64_t narrow(const clm_vol *v, const clm_vol *mask, clm_box box, int64_t *const at[3], uint8_t *in) {
    int64_t count = 0;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) {
            const float *row = at[0][z] < 0 || at[1][y] < 0
                                   ? NULL
                                   : clm_vol_row(mask, at[0][z] - box.lo[0], at[1][y] - box.lo[1]);
            for (int64_t x = 0; x < v->shape[2]; x++, in++) {
                *in = *in && row && at[2][x] >= 0 && row[at[2][x] - box.lo[2]] > 0.0f;
                count += *in;
            }
        }
    return count;
}

bool clm_mask_look(const clm_work *w, const clm_mask *m, const clm_vol *v, uint8_t **in, int64_t *count,
                   clm_err *err) {
    int64_t n = clm_vol_count(v);
    if (!m->image) return *count = n, true;
    if (!*in) {
        *in = clm_take(w->temp, uint8_t, n, err);
        if (!*in) return false;
        memset(*in, 1, (size_t)n);
    }
    clm_mark mark = clm_arena_mark(w->temp);
    int level = level_for(m->image, v->spacing);
    const clm_image_level *l = &clm_image_info_of(m->image)->level[level];
    clm_box box = {{l->shape[0], l->shape[1], l->shape[2]}, {0, 0, 0}};
    int64_t *at[3], shape[3];
    clm_vol mask;
    for (int d = 0; d < 3; d++) {
        at[d] = clm_take(w->temp, int64_t, v->shape[d], err);
        if (!at[d]) return false;
        nearest(m, l, v, d, at[d], &box);
        shape[d] = box.hi[d] - box.lo[d];
    }
    *count = 0;
    bool ok = true;
    if (clm_box_is_empty(box)) {
        memset(*in, 0, (size_t)n);
    } else {
        ok = clm_vol_new(w->temp, shape, l->spacing_um, l->origin_um, &mask, err) &&
             clm_image_read(m->image, level, box, &mask, err);
        if (ok) *count = narrow(v, &mask, box, at, *in);
    }
    clm_arena_rewind(w->temp, mark);
    return ok ? true : clm_err_in(err, "mask");
}

void clm_mask_apply(const clm_mask *m, const uint8_t *in, clm_vol *v) {
    int64_t i = 0;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) {
            float *row = clm_vol_row(v, z, y);
            for (int64_t x = 0; x < v->shape[2]; x++, i++) {
                bool out = in && !in[i];
                for (int64_t k = 0; k < m->background->n; k++) out |= row[x] == (float)m->background->v[k];
                if (out) row[x] = NAN;
            }
        }
}
