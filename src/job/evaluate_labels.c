/* Label volumes: Dice and surface distance, the moving labels carried over by nearest. */
#include "collimate/image/warp.h"
#include "evaluate_parts.h"

#include <string.h>

static const char *const row_name[CLM_JUDGED_COUNT] = {"before", "affine", "after"};

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

static bool warp_labels(const clm_evaluate *e, const clm_work *w, clm_judged which, clm_box box, int64_t *out,
                        clm_err *err) {
    const clm_image *im = e->labels[1];
    const int64_t none = 0;
    clm_affine a;
    clm_field room;
    const clm_field *f;
    int64_t *items;
    clm_vol grid = grid_of(e->labels[0], box), whole;
    if (!clm_evaluate_over(e, w, which, &grid, &a, &room, &f, err)) return false;
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

static bool judge_block(const clm_evaluate *e, const clm_work *w, int64_t index, const clm_ball *ball,
                        clm_overlap s[CLM_JUDGED_COUNT], clm_err *err) {
    static const int64_t no_halo[3] = {0, 0, 0};
    const clm_grid *g = &e->blocks[CLM_EVALUATE_LABELS];
    clm_box core = clm_grid_core(g, index), inner;
    clm_box padded = clm_box_meet(clm_box_grow(core, ball ? ball->halo : no_halo), clm_box_of(g->extent));
    int64_t *fixed, *moving = clm_take(w->keep, int64_t, clm_box_count(padded), err), shape[3];
    for (int d = 0; d < 3; d++) {
        inner.lo[d] = core.lo[d] - padded.lo[d];
        inner.hi[d] = core.hi[d] - padded.lo[d];
        shape[d] = padded.hi[d] - padded.lo[d];
    }
    if (!moving || !read_labels(w, e->labels[0], padded, &fixed, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_mark m = clm_arena_mark(w->keep);
        if (!e->judged[k]) continue;
        if (!warp_labels(e, w, (clm_judged)k, padded, moving, err) ||
            !clm_overlap_add(w, &s[k], fixed, moving, shape, inner, ball, err))
            return false;
        clm_arena_rewind(w->keep, m);
    }
    return true;
}

static bool check_labels(const clm_image *im, const char *what, clm_err *err) {
    clm_dtype type = clm_image_info_of(im)->dtype;
    if (clm_dtype_is_real(type)) return true;
    return clm_fail(err, CLM_E_UNSUPPORTED, "--%s-labels: of type %s", what, clm_dtype_name(type));
}

static bool make_ball(const clm_evaluate *e, const clm_work *w, clm_ball *out, clm_err *err) {
    *out = (clm_ball){.n = 0};
    return !(e->spec.surface_reach_um > 0.0) ||
           clm_ball_make(w, clm_image_info_of(e->labels[0])->level[0].spacing_um, e->spec.surface_reach_um,
                         out, err);
}

/* the tables grow in an arena of their own, while blocks come and go in w */
static bool judge_blocks(const clm_evaluate *e, const clm_work *w, int64_t index, clm_arena *room,
                         clm_overlap s[CLM_JUDGED_COUNT], clm_err *err) {
    int64_t first, last;
    clm_ball ball;
    if (!make_ball(e, w, &ball, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++)
        if (!clm_overlap_new(room, &s[k], err)) return false;
    clm_evaluate_share(e, CLM_EVALUATE_LABELS, index, &first, &last);
    for (int64_t b = first; b < last; b++) {
        clm_mark mark = clm_arena_mark(w->keep);
        if (!judge_block(e, w, b, ball.n ? &ball : NULL, s, err)) return false;
        clm_arena_rewind(w->keep, mark);
    }
    return true;
}

bool clm_evaluate_labels_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    clm_overlap s[CLM_JUDGED_COUNT];
    clm_section section[CLM_JUDGED_COUNT];
    clm_arena *room = NULL;
    bool ok = check_labels(e->labels[0], "fixed", err) && check_labels(e->labels[1], "moving", err) &&
              clm_arena_open((size_t)4 << 30, &room, err) && judge_blocks(e, w, task->index, room, s, err);
    for (int k = 0; ok && k < CLM_JUDGED_COUNT; k++) {
        clm_label_count *row;
        ok = clm_overlap_rows(&s[k], w->keep, &row, err);
        section[k] = (clm_section){.dtype = CLM_I64, .shape = {1, 1, s[k].n, 3}, .data = ok ? row : NULL};
        memcpy(section[k].name, row_name[k], strlen(row_name[k]) + 1);
    }
    ok = ok && clm_evaluate_put(e, task->stage, task->index, section, CLM_JUDGED_COUNT, err);
    clm_arena_close(room);
    return ok;
}

static bool add_rows(const clm_spill *spill, int which, clm_overlap *s, clm_err *err) {
    const clm_section *c = clm_spill_find(spill, row_name[which]);
    if (!c || c->dtype != CLM_I64 || c->shape[3] != 3)
        return clm_fail(err, CLM_E_FORMAT, "a part of the evaluation lacks %s", row_name[which]);
    const clm_label_count *row = c->data;
    for (int64_t i = 0; i < c->shape[2]; i++)
        if (!clm_overlap_count(s, row[i].label, row[i].what, row[i].n, err)) return false;
    return true;
}

bool clm_evaluate_label_total(const clm_evaluate *e, const clm_work *w, clm_label_figures *out,
                              clm_err *err) {
    memset(out, 0, sizeof *out);
    if (!make_ball(e, w, &out->ball, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_overlap s;
        out->has[k] = e->judged[k];
        if (!out->has[k]) continue;
        if (!clm_overlap_new(w->keep, &s, err)) return false;
        for (int64_t i = 0; i < e->stage[clm_evaluate_stage_of(e, CLM_EVALUATE_LABELS)].n; i++) {
            clm_mark mark = clm_arena_mark(w->temp);
            clm_spill spill;
            if (!clm_evaluate_get(e, CLM_EVALUATE_LABELS, i, w->temp, &spill, err) ||
                !add_rows(&spill, k, &s, err))
                return false;
            clm_arena_rewind(w->temp, mark);
        }
        out->n[k] = s.n;
        if (!clm_overlap_rows(&s, w->keep, &out->row[k], err)) return false;
    }
    return true;
}
