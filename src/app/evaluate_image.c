/* Correlation, mutual information and mean squares, block by block. */
#include "collimate/app/each.h"
#include "collimate/app/evaluate.h"
#include "collimate/base/text.h"
#include "collimate/image/warp.h"
#include "collimate/plan/grid.h"
#include "collimate/store/array.h"

#include <math.h>
#include <string.h>

#define BLOCK 128         /* voxels */
#define MIN_VARIANCE 1e-3 /* of a window of the local correlation, counts squared */

static const double range_part[2] = {0.001, 0.999};

/* of an arena: a block as stored, when views reduce it, and ten times as it is worked on */
static size_t budget_of(const clm_evaluate *e) {
    const clm_view *views[3] = {&e->fixed_view, &e->moving_view, &e->aligned_view};
    double edge = BLOCK * 1.5 + 2.0 * (double)e->radius_vox + 8.0, most = 1.0;
    for (int k = 0; k < 3; k++)
        if (views[k]->image)
            most = fmax(most, (double)(views[k]->factor[0] * views[k]->factor[1] * views[k]->factor[2]));
    /* the affine may stretch a block on its way to the moving image */
    return (size_t)(4.0 * edge * edge * edge * (10.0 + 4.0 * most)) + ((size_t)64 << 20);
}

/* ---- the ranges of values for mutual information ---- */

typedef struct ranges {
    const clm_evaluate *e;
    const clm_view *view;
    clm_grid blocks;
    clm_quantile *slot; /* [threads] */
} ranges;

static bool count_values(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err) {
    const ranges *r = ctx;
    clm_vol v;
    (void)result;
    if (!clm_view_read(w, r->view, clm_grid_core(&r->blocks, index), &v, err)) return false;
    clm_quantile_add(&r->slot[slot], v.data, clm_vol_count(&v));
    return true;
}

/* [lo, hi] of one image; a constant image gets a range of 1 */
static bool range_of(const clm_evaluate *e, const clm_work *w, const clm_view *view, double *lo, double *hi,
                     clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    ranges r = {.e = e, .view = view, .blocks = clm_grid_even(view->shape, BLOCK, 0, 1)};
    int threads = clm_each_threads(e->threads);
    r.slot = clm_take(w->temp, clm_quantile, threads, err);
    if (!r.slot) return false;
    for (int s = 0; s < threads; s++)
        if (!clm_quantile_new(w->temp, &r.slot[s], err)) return false;
    const clm_each loop = {
        .ctx = &r, .n = r.blocks.n, .threads = threads, .budget_bytes = budget_of(e), .block = count_values};
    if (!clm_each_run(&loop, err)) return false;
    for (int s = 1; s < threads; s++) clm_quantile_merge(&r.slot[0], &r.slot[s]);
    *lo = clm_quantile_at(&r.slot[0], range_part[0]);
    *hi = clm_quantile_at(&r.slot[0], range_part[1]);
    if (!(*hi > *lo)) *hi = *lo + 1.0;
    clm_arena_rewind(w->temp, mark);
    return isfinite(*lo) ? true : clm_fail(err, CLM_E_NODATA, "an image without finite values");
}

/* ---- the blocks ---- */

typedef struct task {
    const clm_evaluate *e;
    clm_grid blocks;
    double lo[2], hi[2];
    clm_array *map;
    clm_similarities *out;
} task;

/* the moving image on the block's grid; *empty: it has nothing there */
static bool read_moving(const task *t, const clm_work *w, clm_judged which, const clm_vol *fixed,
                        clm_box padded, clm_vol *out, bool *empty, clm_err *err) {
    const clm_evaluate *e = t->e;
    *empty = false;
    if (which == CLM_JUDGED_AFTER && e->aligned) return clm_view_read(w, &e->aligned_view, padded, out, err);
    clm_affine a;
    clm_field room;
    const clm_field *f;
    clm_vol moving, grid = clm_view_grid(&e->moving_view), whole = clm_view_grid(&e->fixed_view);
    if (!clm_evaluate_map_over(e, w, which, fixed, &a, &room, &f, err)) return false;
    clm_box need = clm_warp_box(&a, f, &whole, padded, &grid, CLM_INTERP_LINEAR, 0);
    *empty = clm_box_is_empty(need);
    if (*empty) return true;
    return clm_view_read(w, &e->moving_view, need, &moving, err) &&
           clm_vol_new(w->keep, fixed->shape, fixed->spacing, fixed->origin, out, err) &&
           clm_warp(w, &moving, &a, f, CLM_INTERP_LINEAR, NAN, out, NULL, err);
}

static bool put_map(const task *t, const clm_work *w, int64_t index, const clm_vol *values, clm_err *err) {
    int64_t at[3];
    clm_vol packed;
    clm_grid_at(&t->blocks, index, at);
    return clm_vol_copy(w->temp, values, &packed, err) && clm_array_put_chunk(t->map, at, packed.data, err);
}

static bool compare(const task *t, const clm_work *w, clm_judged which, int64_t index, const clm_vol *fixed,
                    clm_box padded, clm_box core, clm_similarity *s, clm_err *err) {
    bool empty, mapped = t->map && which == CLM_JUDGED_AFTER;
    clm_vol moving, f = clm_vol_crop(fixed, core), values;
    if (!clm_mi_make(t->lo, t->hi, &s->mi, err) ||
        !read_moving(t, w, which, fixed, padded, &moving, &empty, err) ||
        (mapped && !clm_vol_new(w->keep, f.shape, f.spacing, f.origin, &values, err)))
        return false;
    if (empty) {
        for (int64_t i = 0; mapped && i < clm_vol_count(&values); i++) values.data[i] = NAN;
        return !mapped || put_map(t, w, index, &values, err);
    }
    clm_vol m = clm_vol_crop(&moving, core);
    return clm_ncc_add(&s->ncc, &f, &m, err) && clm_mi_add(&s->mi, &f, &m, err) &&
           clm_lncc_add(w, fixed, &moving, core, t->e->radius_vox, MIN_VARIANCE, &s->lncc,
                        mapped ? &values : NULL, err) &&
           (!mapped || put_map(t, w, index, &values, err));
}

static bool measure_block(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err) {
    const task *t = ctx;
    const int64_t r = clm_lncc_halo(t->e->radius_vox), halo[3] = {r, r, r};
    clm_similarity *s = result;
    clm_box core = clm_grid_core(&t->blocks, index), inner;
    clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(t->e->fixed_view.shape));
    clm_vol fixed;
    (void)slot;
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
    }
    if (!clm_view_read(w, &t->e->fixed_view, padded, &fixed, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_mark m = clm_arena_mark(w->keep);
        if (t->out->has[k] && !compare(t, w, (clm_judged)k, index, &fixed, padded, inner, &s[k], err))
            return false;
        clm_arena_rewind(w->keep, m);
    }
    return true;
}

static bool merge_block(void *ctx, int64_t index, const void *result, clm_err *err) {
    const task *t = ctx;
    const clm_similarity *s = result;
    (void)index;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_similarity *into = &t->out->of[k];
        if (!t->out->has[k]) continue;
        clm_ncc_merge(&into->ncc, &s[k].ncc);
        into->lncc.sum += s[k].lncc.sum;
        into->lncc.n += s[k].lncc.n;
        if (!clm_mi_merge(&into->mi, &s[k].mi, err)) return false;
    }
    return true;
}

static bool check_aligned(const clm_evaluate *e, clm_err *err) {
    for (int d = 0; e->aligned && d < 3; d++) {
        const clm_view *f = &e->fixed_view, *a = &e->aligned_view;
        double shift = fabs(f->origin[d] - a->origin[d]), step = fabs(f->spacing[d] / a->spacing[d] - 1.0);
        if (f->shape[d] != a->shape[d] || shift > 1e-3 * f->spacing[d] || step > 1e-6)
            return clm_fail(
                err, CLM_E_ARG,
                "the aligned volume is not on the fixed volume's grid: along axis %d %lld voxels of "
                "%g um from %g, not %lld of %g from %g",
                d, (long long)a->shape[d], a->spacing[d], a->origin[d], (long long)f->shape[d], f->spacing[d],
                f->origin[d]);
    }
    return true;
}

static bool create_map(task *t, char path[CLM_PATH_MAX], clm_err *err) {
    clm_array_spec s = {.format = CLM_FORMAT_ZARR3, .ndim = 3, .dtype = CLM_F32, .fill = NAN};
    static const char *const axes[3] = {"z", "y", "x"};
    for (int d = 0; d < 3; d++) {
        s.shape[d] = t->blocks.extent[d];
        s.chunk[d] = t->blocks.block[d];
        s.axes[d] = axes[d];
    }
    return clm_path_join(path, t->e->map, "s0", err) && clm_array_create(path, &s, &t->map, err);
}

static bool finish_map(const task *t, clm_err *err) {
    const clm_view *v = &t->e->fixed_view;
    clm_level_spec level = {.path = "s0"};
    memcpy(level.spacing_um, v->spacing, sizeof level.spacing_um);
    memcpy(level.origin_um, v->origin, sizeof level.origin_um);
    return clm_ome_write_pyramid(t->e->map, CLM_FORMAT_ZARR3, "local_ncc", &level, 1, NULL, err);
}

bool clm_evaluate_images(const clm_evaluate *e, clm_similarities *out, clm_err *err) {
    task t = {.e = e, .blocks = clm_grid_even(e->fixed_view.shape, BLOCK, 0, 1), .out = out};
    char path[CLM_PATH_MAX];
    clm_work w = {0};
    const clm_view *moving = e->moving ? &e->moving_view : &e->aligned_view;
    memset(out, 0, sizeof *out);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) out->has[k] = clm_evaluate_has(e, (clm_judged)k);
    out->voxels = e->fixed_view.shape[0] * e->fixed_view.shape[1] * e->fixed_view.shape[2];
    bool ok = check_aligned(e, err) &&
              clm_arena_open(((size_t)clm_each_threads(e->threads) * 5 + 16) << 20, &w.temp, err) &&
              range_of(e, &w, &e->fixed_view, &t.lo[0], &t.hi[0], err) &&
              range_of(e, &w, moving, &t.lo[1], &t.hi[1], err);
    for (int k = 0; ok && k < CLM_JUDGED_COUNT; k++) ok = clm_mi_make(t.lo, t.hi, &out->of[k].mi, err);
    ok = ok && (!e->map || create_map(&t, path, err));
    const clm_each loop = {.ctx = &t,
                           .n = t.blocks.n,
                           .threads = e->threads,
                           .budget_bytes = budget_of(e),
                           .result_bytes = CLM_JUDGED_COUNT * sizeof(clm_similarity),
                           .block = measure_block,
                           .merge = merge_block};
    ok = ok && clm_each_run(&loop, err) && (!e->map || finish_map(&t, err));
    clm_array_close(t.map);
    clm_arena_close(w.temp);
    return ok;
}
