/* The transform by itself: Jacobian, seams, coverage, displacement; and against its inverse. */
#include "collimate/app/each.h"
#include "collimate/app/evaluate.h"
#include "collimate/plan/grid.h"

#include <math.h>
#include <string.h>

#define BLOCK 64 /* nodes */

static clm_grid blocks_of(const clm_transform *t) {
    const int64_t block[3] = {BLOCK, BLOCK, BLOCK};
    return clm_grid_chunks(t->shape, block);
}

/* the nodes of `box` */
static bool read_box(const clm_transform *t, const clm_work *w, clm_box box, clm_field *out, clm_err *err) {
    int64_t shape[3];
    for (int d = 0; d < 3; d++) shape[d] = box.hi[d] - box.lo[d];
    return clm_field_new(w->keep, shape, t->spacing_um, t->origin_um, out, err) &&
           clm_transform_read(t, box, out, err);
}

typedef struct part {
    clm_jacobian_sums jacobian;
    clm_seam seam;
    double length_sum, length_max; /* of displacements */
    int64_t nodes, holes;
    double coverage_sum, coverage_least;
} part;

typedef struct task {
    const clm_evaluate *e;
    clm_grid blocks;
    clm_quantile *length; /* [threads] */
    part sum;
} task;

static void add_lengths(const clm_field *f, clm_box core, clm_quantile *q, part *p) {
    for (int64_t k = core.lo[0]; k < core.hi[0]; k++)
        for (int64_t j = core.lo[1]; j < core.hi[1]; j++)
            for (int64_t i = core.lo[2]; i < core.hi[2]; i++) {
                int64_t at = (k * f->shape[1] + j) * f->shape[2] + i;
                double z = (double)f->u[0][at], y = (double)f->u[1][at], x = (double)f->u[2][at];
                double length = sqrt(z * z + y * y + x * x);
                float rounded = (float)length;
                p->length_sum += length;
                p->length_max = fmax(p->length_max, length);
                clm_quantile_add(q, &rounded, 1);
            }
}

static bool add_coverage(const clm_transform *t, const clm_work *w, clm_box core, part *p, clm_err *err) {
    int64_t n = clm_box_count(core);
    float *v = clm_take(w->keep, float, n, err);
    if (!v || !clm_array_read(t->coverage, core.lo, core.hi, v, err)) return false;
    p->coverage_least = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        p->coverage_sum += (double)v[i];
        p->coverage_least = fmin(p->coverage_least, (double)v[i]);
        p->holes += v[i] < 0.5f;
    }
    return true;
}

/* where the core lies in a box read around it */
static clm_box inside(clm_box core, clm_box read) {
    for (int d = 0; d < 3; d++) core.lo[d] -= read.lo[d], core.hi[d] -= read.lo[d];
    return core;
}

static bool measure_block(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err) {
    const task *t = ctx;
    const clm_transform *x = t->e->transform;
    const int64_t one[3] = {1, 1, 1};
    part *p = result;
    clm_box core = clm_grid_core(&t->blocks, index), whole = clm_box_of(x->shape);
    clm_box around = clm_box_meet(clm_box_grow(core, one), whole), cells = core;
    clm_field f, own;
    for (int d = 0; d < 3; d++) cells.hi[d] = around.hi[d]; /* and the first nodes of the next blocks */
    if (!read_box(x, w, around, &f, err)) return false;
    clm_seam_add(&f, around.lo, inside(core, around), t->e->face_nodes, &p->seam);
    add_lengths(&f, inside(core, around), &t->length[slot], p);
    p->nodes = clm_box_count(core);
    bool has_cells = true; /* a last block of one node ends where its neighbour's cells do */
    for (int d = 0; d < 3; d++) has_cells = has_cells && (cells.hi[d] - cells.lo[d] > 1 || x->shape[d] == 1);
    if (has_cells) {
        if (!read_box(x, w, cells, &own, err)) return false;
        clm_jacobian_add(&own, &p->jacobian);
    }
    return !x->coverage || add_coverage(x, w, core, p, err);
}

static bool merge_block(void *ctx, int64_t index, const void *result, clm_err *err) {
    task *t = ctx;
    const part *p = result;
    part *s = &t->sum;
    (void)err;
    clm_jacobian_merge(&s->jacobian, &p->jacobian);
    clm_seam_merge(&s->seam, &p->seam);
    s->length_sum += p->length_sum;
    s->length_max = fmax(s->length_max, p->length_max);
    s->nodes += p->nodes;
    s->holes += p->holes;
    s->coverage_sum += p->coverage_sum;
    s->coverage_least = index ? fmin(s->coverage_least, p->coverage_least) : p->coverage_least;
    return true;
}

static bool open_quantiles(const clm_work *w, int n, clm_quantile **out, clm_err *err) {
    *out = clm_take(w->keep, clm_quantile, n, err);
    for (int s = 0; *out && s < n; s++)
        if (!clm_quantile_new(w->keep, &(*out)[s], err)) return false;
    return *out != NULL;
}

bool clm_evaluate_field(const clm_evaluate *e, const clm_work *w, clm_field_figures *out, clm_err *err) {
    const clm_transform *x = e->transform;
    memset(out, 0, sizeof *out);
    if (!x->field) return clm_jacobian_conclude(&x->affine, NULL, &out->jacobian, err);
    clm_mark mark = clm_arena_mark(w->temp);
    task *t = clm_take_zero(w->temp, task, 1, err);
    int threads = clm_each_threads(e->threads);
    if (!t || !open_quantiles(w, threads, &t->length, err)) return false;
    t->e = e;
    t->blocks = blocks_of(x);
    const clm_each loop = {.ctx = t,
                           .n = t->blocks.n,
                           .threads = threads,
                           .result_bytes = sizeof(part),
                           .block = measure_block,
                           .merge = merge_block};
    if (!clm_each_run(&loop, err)) return false;
    for (int s = 1; s < threads; s++) clm_quantile_merge(&t->length[0], &t->length[s]);
    const part *p = &t->sum;
    out->has_field = true;
    out->has_coverage = x->coverage != NULL;
    out->sums = p->jacobian;
    out->seam = p->seam;
    out->coverage_mean = p->coverage_sum / (double)p->nodes;
    out->coverage_least = p->coverage_least;
    out->coverage_nodes = p->nodes;
    out->coverage_holes = p->holes;
    out->displacement_mean_um = p->length_sum / (double)p->nodes;
    out->displacement_max_um = p->length_max;
    out->displacement = t->length[0];
    bool ok = clm_jacobian_conclude(&x->affine, &p->jacobian, &out->jacobian, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

/* ---- there and back ---- */

typedef struct loop_part {
    int64_t n;
    double sum, squares, max;
} loop_part;

typedef struct loop_task {
    const clm_evaluate *e;
    clm_grid blocks;
    int64_t shape[3]; /* points */
    double origin[3], spacing[3];
    clm_quantile *length; /* [threads] */
    loop_part sum;
} loop_task;

/* the nodes of the inverse around n points */
static bool read_around(const clm_transform *s, const clm_work *w, double (*y)[3], int64_t n, clm_field *out,
                        clm_err *err) {
    clm_box b;
    for (int d = 0; d < 3; d++) {
        double lo = INFINITY, hi = -INFINITY, last = (double)s->shape[d] - 1.0;
        for (int64_t i = 0; i < n; i++) {
            double at = (y[i][d] - s->origin_um[d]) / s->spacing_um[d];
            lo = fmin(lo, at), hi = fmax(hi, at);
        }
        b.lo[d] = (int64_t)fmin(fmax(floor(lo), 0.0), fmax(last - 1.0, 0.0));
        b.hi[d] = (int64_t)fmin(fmax(ceil(hi), (double)b.lo[d] + 1.0), last) + 1;
    }
    return read_box(s, w, b, out, err);
}

static bool loop_block(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err) {
    const loop_task *t = ctx;
    const clm_transform *a = t->e->transform, *b = t->e->inverse;
    clm_box core = clm_grid_core(&t->blocks, index);
    clm_field f, g;
    loop_part *p = result;
    int64_t n = 0;
    double(*x)[3] = clm_arena_take(w->keep, clm_box_count(core), sizeof *x, err);
    double(*y)[3] = x ? clm_arena_take(w->keep, clm_box_count(core), sizeof *y, err) : NULL;
    if (!y || (a->field && !read_box(a, w, core, &f, err))) return false;
    clm_frame frame = {{0}, {0}, {0}};
    if (t->e->moving) {
        const clm_image_level *l = &clm_image_info_of(t->e->moving)->level[0];
        memcpy(frame.shape, l->shape, sizeof frame.shape);
        memcpy(frame.spacing, l->spacing_um, sizeof frame.spacing);
        memcpy(frame.origin, l->origin_um, sizeof frame.origin);
    }
    for (int64_t k = core.lo[0]; k < core.hi[0]; k++)
        for (int64_t j = core.lo[1]; j < core.hi[1]; j++)
            for (int64_t i = core.lo[2]; i < core.hi[2]; i++) {
                const int64_t at[3] = {k, j, i};
                for (int d = 0; d < 3; d++) x[n][d] = t->origin[d] + (double)at[d] * t->spacing[d];
                clm_transform_point(&a->affine, a->field ? &f : NULL, x[n], y[n]);
                n += !t->e->moving || clm_frame_has(&frame, y[n]);
            }
    if (n && b->field && !read_around(b, w, y, n, &g, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        double back[3];
        clm_transform_point(&b->affine, b->field ? &g : NULL, y[i], back);
        double e2 = 0.0;
        for (int d = 0; d < 3; d++) e2 += (back[d] - x[i][d]) * (back[d] - x[i][d]);
        double length = sqrt(e2);
        float rounded = (float)length;
        clm_quantile_add(&t->length[slot], &rounded, 1);
        p->sum += length, p->squares += e2, p->max = fmax(p->max, length);
    }
    p->n = n;
    return true;
}

static bool loop_merge(void *ctx, int64_t index, const void *result, clm_err *err) {
    loop_task *t = ctx;
    const loop_part *p = result;
    (void)index, (void)err;
    t->sum.n += p->n;
    t->sum.sum += p->sum;
    t->sum.squares += p->squares;
    t->sum.max = fmax(t->sum.max, p->max);
    return true;
}

/* the points: nodes of the lattice, or the corners of the fixed volume */
static bool lay_points(loop_task *t, clm_err *err) {
    const clm_transform *a = t->e->transform;
    if (!a->field && !t->e->fixed)
        return clm_fail(err, CLM_E_ARG, "inverse consistency of a bare affine needs the fixed image");
    for (int d = 0; d < 3; d++) {
        if (a->field) {
            t->shape[d] = a->shape[d];
            t->origin[d] = a->origin_um[d];
            t->spacing[d] = a->spacing_um[d];
        } else {
            const clm_image_level *l = &clm_image_info_of(t->e->fixed)->level[0];
            t->shape[d] = 2;
            t->origin[d] = l->origin_um[d];
            t->spacing[d] = l->spacing_um[d] * (double)(l->shape[d] - 1);
        }
    }
    t->blocks = clm_grid_chunks(t->shape, (const int64_t[3]){BLOCK, BLOCK, BLOCK});
    return true;
}

bool clm_evaluate_loop(const clm_evaluate *e, clm_loop_figures *out, clm_err *err) {
    loop_task t = {.e = e};
    clm_work w = {0};
    int threads = clm_each_threads(e->threads);
    memset(out, 0, sizeof *out);
    bool ok = lay_points(&t, err) && clm_arena_open(((size_t)threads * 5 + 16) << 20, &w.keep, err) &&
              open_quantiles(&w, threads, &t.length, err);
    const clm_each loop = {.ctx = &t,
                           .n = t.blocks.n,
                           .threads = threads,
                           .result_bytes = sizeof(loop_part),
                           .block = loop_block,
                           .merge = loop_merge};
    ok = ok && clm_each_run(&loop, err);
    if (ok && !t.sum.n) ok = clm_fail(err, CLM_E_NODATA, "no point maps into the moving volume");
    for (int s = 1; ok && s < threads; s++) clm_quantile_merge(&t.length[0], &t.length[s]);
    if (ok)
        *out = (clm_loop_figures){.n = t.sum.n,
                                  .mean = t.sum.sum / (double)t.sum.n,
                                  .rms = sqrt(t.sum.squares / (double)t.sum.n),
                                  .max = t.sum.max,
                                  .p50 = clm_quantile_at(&t.length[0], 0.50),
                                  .p95 = clm_quantile_at(&t.length[0], 0.95),
                                  .p99 = clm_quantile_at(&t.length[0], 0.99)};
    clm_arena_close(w.keep);
    return ok;
}
