/* Correlation, mutual information and mean squares, block by block. */
#include "collimate/image/warp.h"
#include "evaluate_parts.h"

#include <math.h>
#include <string.h>

bool clm_evaluate_image_values(const clm_evaluate *e, const clm_work *w, int64_t block, clm_values *out,
                               clm_err *err) {
    const clm_grid *fixed = &e->blocks[CLM_EVALUATE_RANGE];
    int which = block >= fixed->n;
    const clm_view *view = !which ? &e->fixed_view : e->moving ? &e->moving_view : &e->aligned_view;
    clm_box box = which ? clm_grid_core(&e->moving_blocks, block - fixed->n) : clm_grid_core(fixed, block);
    clm_vol v;
    if (!clm_view_read(w, view, box, &v, err)) return false;
    out->v[which] = v.data;
    out->n[which] = clm_vol_count(&v);
    return true;
}

static bool is_judged(const clm_evaluate *e, int which) {
    if (which == CLM_JUDGED_AFTER && e->aligned) return true;
    return e->moving && e->judged[which];
}

/* the moving image on the block's grid; *empty: it has nothing there */
static bool read_moving(const clm_evaluate *e, const clm_work *w, clm_judged which, const clm_vol *fixed,
                        clm_box padded, clm_vol *out, bool *empty, clm_err *err) {
    *empty = false;
    if (which == CLM_JUDGED_AFTER && e->aligned) return clm_view_read(w, &e->aligned_view, padded, out, err);
    clm_affine a;
    clm_field room;
    const clm_field *f;
    clm_vol moving, grid = clm_view_grid(&e->moving_view);
    if (!clm_evaluate_over(e, w, which, fixed, &a, &room, &f, err)) return false;
    clm_box need = clm_warp_box(&a, f, fixed, clm_box_of(fixed->shape), &grid, CLM_INTERP_LINEAR, 0);
    *empty = clm_box_is_empty(need);
    if (*empty) return true;
    return clm_view_read(w, &e->moving_view, need, &moving, err) &&
           clm_vol_new(w->keep, fixed->shape, fixed->spacing, fixed->origin, out, err) &&
           clm_warp(w, &moving, &a, f, CLM_INTERP_LINEAR, NAN, out, NULL, err);
}

/* One block under way. */
typedef struct block {
    const clm_evaluate *e;
    int64_t index;
    clm_vol fixed; /* with the windows' halo */
    clm_box padded, core /* within padded */;
} block;

static bool put_map(const block *b, clm_judged which, const clm_vol *values, clm_err *err) {
    int64_t at[3];
    clm_grid_at(&b->e->blocks[CLM_EVALUATE_IMAGES], b->index, at);
    return clm_evaluate_put_map(b->e, which == CLM_JUDGED_BEFORE ? CLM_MAP_NCC_BEFORE : CLM_MAP_NCC_AFTER, at,
                                values->data, err);
}

static bool compare(const block *b, const clm_work *w, clm_judged which, clm_similarity *s, clm_err *err) {
    const clm_evaluate *e = b->e;
    bool empty, mapped = e->spec.maps && which != CLM_JUDGED_AFFINE;
    clm_vol moving, f = clm_vol_crop(&b->fixed, b->core), values;
    if (!read_moving(e, w, which, &b->fixed, b->padded, &moving, &empty, err) ||
        (mapped && !clm_vol_new(w->keep, f.shape, f.spacing, f.origin, &values, err)))
        return false;
    for (int64_t i = 0; mapped && i < clm_vol_count(&values); i++) values.data[i] = NAN;
    if (empty) return !mapped || put_map(b, which, &values, err);
    clm_vol m = clm_vol_crop(&moving, b->core);
    return clm_ncc_add(&s->ncc, &f, &m, err) && clm_mi_add(&s->mi, &f, &m, err) &&
           clm_lncc_add(w, &b->fixed, &moving, b->core, e->spec.radius_vox, &s->lncc, mapped ? &values : NULL,
                        err) &&
           (!mapped || put_map(b, which, &values, err));
}

static bool measure_block(const clm_evaluate *e, const clm_work *w, int64_t index, clm_similarity *s,
                          clm_err *err) {
    const int64_t r = clm_lncc_halo(e->spec.radius_vox), halo[3] = {r, r, r};
    clm_box core = clm_grid_core(&e->blocks[CLM_EVALUATE_IMAGES], index);
    block b = {.e = e, .index = index};
    b.padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(e->fixed_view.shape));
    for (int d = 0; d < 3; d++) {
        b.core.lo[d] = core.lo[d] - b.padded.lo[d];
        b.core.hi[d] = core.hi[d] - b.padded.lo[d];
    }
    if (!clm_view_read(w, &e->fixed_view, b.padded, &b.fixed, err)) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_mark m = clm_arena_mark(w->keep);
        if (is_judged(e, k) && !compare(&b, w, (clm_judged)k, &s[k], err)) return false;
        clm_arena_rewind(w->keep, m);
    }
    return true;
}

static bool make(const clm_evaluate *e, clm_similarity s[CLM_JUDGED_COUNT], clm_err *err) {
    const double lo[2] = {e->range[0][0], e->range[1][0]}, hi[2] = {e->range[0][1], e->range[1][1]};
    memset(s, 0, CLM_JUDGED_COUNT * sizeof *s);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++)
        if (!clm_mi_make(lo, hi, &s[k].mi, err)) return false;
    return true;
}

static bool merge(clm_similarity into[CLM_JUDGED_COUNT], const clm_similarity part[CLM_JUDGED_COUNT],
                  clm_err *err) {
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_ncc_merge(&into[k].ncc, &part[k].ncc);
        into[k].lncc.sum += part[k].lncc.sum;
        into[k].lncc.n += part[k].lncc.n;
        if (!clm_mi_merge(&into[k].mi, &part[k].mi, err)) return false;
    }
    return true;
}

bool clm_evaluate_images_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    int64_t first, last;
    clm_similarity *sum = clm_take(w->keep, clm_similarity, 2 * CLM_JUDGED_COUNT, err);
    clm_evaluate_share(e, CLM_EVALUATE_IMAGES, task->index, &first, &last);
    if (!sum || !make(e, sum, err)) return false;
    for (int64_t b = first; b < last; b++) {
        clm_mark mark = clm_arena_mark(w->keep);
        if (!make(e, sum + CLM_JUDGED_COUNT, err) || !measure_block(e, w, b, sum + CLM_JUDGED_COUNT, err) ||
            !merge(sum, sum + CLM_JUDGED_COUNT, err))
            return false;
        clm_arena_rewind(w->keep, mark);
    }
    const clm_section s = {.name = "sums",
                           .dtype = CLM_U8,
                           .shape = {1, 1, 1, (int64_t)(CLM_JUDGED_COUNT * sizeof *sum)},
                           .data = sum};
    return clm_evaluate_put(e, task->stage, task->index, &s, 1, err);
}

bool clm_evaluate_similarities(const clm_evaluate *e, const clm_work *w, clm_similarity out[CLM_JUDGED_COUNT],
                               clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_similarity *part = clm_take(w->temp, clm_similarity, CLM_JUDGED_COUNT, err);
    clm_spill s;
    if (!part || !make(e, out, err)) return false;
    for (int64_t i = 0; i < e->stage[clm_evaluate_stage_of(e, CLM_EVALUATE_IMAGES)].n; i++) {
        clm_mark here = clm_arena_mark(w->temp);
        if (!clm_evaluate_get(e, CLM_EVALUATE_IMAGES, i, w->temp, &s, err) ||
            !clm_bytes_of(&s, "sums", part, CLM_JUDGED_COUNT * sizeof *part, err) || !merge(out, part, err))
            return false;
        clm_arena_rewind(w->temp, here);
    }
    clm_arena_rewind(w->temp, mark);
    return true;
}
