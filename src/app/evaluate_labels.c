/* Label volumes: Dice and surface distance, the moving labels carried over by nearest. */
#include "collimate/app/each.h"
#include "collimate/app/evaluate.h"
#include "collimate/image/warp.h"
#include "collimate/plan/grid.h"

#include <string.h>

#define BLOCK 96 /* voxels */

typedef struct task {
    const clm_evaluate *e;
    clm_grid blocks;
    clm_label_figures *out;
    clm_overlap (*slot)[CLM_JUDGED_COUNT]; /* [threads] */
    clm_arena **room;                      /* [threads] */
} task;

static clm_vol grid_of(const clm_image *im, clm_box box) {
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    clm_vol v = {.data = NULL};
    for (int d = 0; d < 3; d++) {
        v.shape[d] = box.hi[d] - box.lo[d];
        v.spacing[d] = l->spacing_um[d];
        v.origin[d] = l->origin_um[d] + (double)box.lo[d] * l->spacing_um[d];
    }
    return v;
}

/* integers of any type as int64: equal labels stay equal, also across types */
static void widen(clm_dtype type, const void *from, int64_t *to, int64_t n) {
#define EACH(T) \
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((const T *)from)[i]
    switch (type) {
    case CLM_U8: EACH(uint8_t); break;
    case CLM_I8: EACH(int8_t); break;
    case CLM_U16: EACH(uint16_t); break;
    case CLM_I16: EACH(int16_t); break;
    case CLM_U32: EACH(uint32_t); break;
    case CLM_I32: EACH(int32_t); break;
    case CLM_F32: EACH(float); break;
    case CLM_F64: EACH(double); break;
    default: memcpy(to, from, (size_t)n * sizeof *to); break;
    }
#undef EACH
}

static bool read_labels(const clm_work *w, const clm_image *im, clm_box box, int64_t **out, clm_err *err) {
    clm_dtype type = clm_image_info_of(im)->dtype;
    int64_t n = clm_box_count(box);
    *out = clm_take(w->keep, int64_t, n, err);
    if (!*out) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    void *raw = clm_arena_take(w->temp, n, clm_dtype_size(type), err);
    bool ok = raw && clm_image_read_raw(im, 0, box, raw, err);
    if (ok) widen(type, raw, *out, n);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

static bool warp_labels(const task *t, const clm_work *w, clm_judged which, clm_box box, int64_t *out,
                        clm_err *err) {
    const clm_image *im = t->e->moving_labels;
    const int64_t none = 0;
    clm_affine a;
    clm_field room;
    const clm_field *f;
    int64_t *items;
    clm_vol grid = grid_of(t->e->fixed_labels, box), whole;
    if (!clm_evaluate_map_over(t->e, w, which, &grid, &a, &room, &f, err)) return false;
    whole = grid_of(im, clm_box_of(clm_image_info_of(im)->level[0].shape));
    clm_box need = clm_warp_box(&a, f, &grid, clm_box_of(grid.shape), &whole, CLM_INTERP_NEAREST, 1);
    if (clm_box_is_empty(need)) {
        memset(out, 0, (size_t)clm_box_count(box) * sizeof *out);
        return true;
    }
    /* the outer half voxels of an axis of one voxel belong to it: the whole grid decides, not the part */
    clm_vol part = grid_of(im, need);
    return read_labels(w, im, need, &items, err) &&
           clm_warp_items(w, &part, items, sizeof *items, &a, f, &none, &grid, out, NULL, err);
}

static bool judge_block(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err) {
    const task *t = ctx;
    const clm_ball *ball = t->out->ball.n ? &t->out->ball : NULL;
    static const int64_t no_halo[3] = {0, 0, 0};
    clm_box core = clm_grid_core(&t->blocks, index), inner;
    clm_box padded =
        clm_box_meet(clm_box_grow(core, ball ? ball->halo : no_halo), clm_box_of(t->blocks.extent));
    int64_t *fixed, *moving = clm_take(w->keep, int64_t, clm_box_count(padded), err), shape[3];
    (void)result;
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
        shape[d] = padded.hi[d] - padded.lo[d];
    }
    if (!moving || !read_labels(w, t->e->fixed_labels, padded, &fixed, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_mark m = clm_arena_mark(w->keep);
        if (!t->out->has[k]) continue;
        if (!warp_labels(t, w, (clm_judged)k, padded, moving, err) ||
            !clm_overlap_add(w, &t->slot[slot][k], fixed, moving, shape, inner, ball, err))
            return false;
        clm_arena_rewind(w->keep, m);
    }
    return true;
}

static bool check_labels(const clm_image *im, const char *what, clm_err *err) {
    clm_dtype type = clm_image_info_of(im)->dtype;
    if (clm_dtype_is_real(type)) return true;
    return clm_fail(err, CLM_E_UNSUPPORTED, "%s labels of type %s", what, clm_dtype_name(type));
}

static bool open_slots(const clm_evaluate *e, const clm_work *w, int threads, task *t, clm_err *err) {
    t->slot = clm_arena_take_zero(w->keep, threads, sizeof *t->slot, err);
    t->room = clm_take_zero(w->keep, clm_arena *, threads, err);
    if (!t->slot || !t->room) return false;
    if (e->surface_reach_um > 0.0) {
        const clm_image_level *l = &clm_image_info_of(e->fixed_labels)->level[0];
        if (!clm_ball_make(w, l->spacing_um, e->surface_reach_um, &t->out->ball, err)) return false;
    }
    for (int s = 0; s < threads; s++) {
        if (!clm_arena_open((size_t)1 << 30, &t->room[s], err)) return false;
        for (int k = 0; k < CLM_JUDGED_COUNT; k++)
            if (!clm_overlap_new(t->room[s], t->out->ball.n ? &t->out->ball : NULL, &t->slot[s][k], err))
                return false;
    }
    return true;
}

static bool gather(const clm_work *w, int threads, const task *t, clm_err *err) {
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_overlap *into = &t->out->of[k];
        if (!clm_overlap_new(w->keep, t->out->ball.n ? &t->out->ball : NULL, into, err)) return false;
        for (int s = 0; s < threads; s++)
            if (!clm_overlap_merge(into, &t->slot[s][k], err)) return false;
    }
    return true;
}

bool clm_evaluate_labels(const clm_evaluate *e, const clm_work *w, clm_label_figures *out, clm_err *err) {
    memset(out, 0, sizeof *out);
    if (!check_labels(e->fixed_labels, "fixed", err) || !check_labels(e->moving_labels, "moving", err))
        return false;
    task t = {.e = e, .out = out};
    int threads = clm_each_threads(e->threads);
    t.blocks = clm_grid_even(clm_image_info_of(e->fixed_labels)->level[0].shape, BLOCK, 0, 1);
    out->has[CLM_JUDGED_BEFORE] = true;
    out->has[CLM_JUDGED_AFFINE] = e->transform && e->transform->field;
    out->has[CLM_JUDGED_AFTER] = e->transform != NULL;
    const clm_each loop = {.ctx = &t, .n = t.blocks.n, .threads = threads, .block = judge_block};
    bool ok = open_slots(e, w, threads, &t, err) && clm_each_run(&loop, err) && gather(w, threads, &t, err);
    for (int s = 0; t.room && s < threads; s++) clm_arena_close(t.room[s]);
    return ok;
}
