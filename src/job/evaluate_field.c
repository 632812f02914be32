/* The transform by itself: Jacobian, seams, coverage, displacement; and against its inverse. */
#include "evaluate_parts.h"

#include <math.h>
#include <string.h>

/* u on the nodes of `box` of the lattice, packed, in w->keep */
static bool read_box(const clm_evaluate *e, const clm_work *w, clm_box box, clm_affine *a, clm_field *out,
                     clm_err *err) {
    clm_vol grid = e->lattice;
    clm_field near;
    const clm_field *f;
    bool same = true;
    for (int d = 0; d < 3; d++) {
        grid.shape[d] = box.hi[d] - box.lo[d];
        grid.origin[d] += (double)box.lo[d] * grid.spacing[d];
    }
    if (!clm_evaluate_over(e, w, CLM_JUDGED_AFTER, &grid, a, &near, &f, err)) return false;
    if (!f) return clm_fail(err, CLM_E_NODATA, "a transform without displacements");
    for (int d = 0; d < 3; d++) same = same && f->shape[d] == grid.shape[d];
    *out = near;
    if (same) return true;
    /* a stored lattice is given with a node more where its last one is asked for */
    if (!clm_field_new(w->keep, grid.shape, grid.spacing, grid.origin, out, err)) return false;
    for (int c = 0; c < 3; c++)
        for (int64_t z = 0; z < grid.shape[0]; z++)
            for (int64_t y = 0; y < grid.shape[1]; y++)
                memcpy(out->u[c] + (z * grid.shape[1] + y) * grid.shape[2],
                       f->u[c] + (z * f->shape[1] + y) * f->shape[2], (size_t)grid.shape[2] * sizeof(float));
    return true;
}

/* the nodes of `box` of f, packed, in w->keep */
static bool cut(const clm_work *w, const clm_field *f, clm_box box, clm_field *out, clm_err *err) {
    int64_t shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = box.hi[d] - box.lo[d];
        origin[d] = f->origin[d] + (double)box.lo[d] * f->spacing[d];
    }
    if (!clm_field_new(w->keep, shape, f->spacing, origin, out, err)) return false;
    for (int c = 0; c < 3; c++)
        for (int64_t z = 0; z < shape[0]; z++)
            for (int64_t y = 0; y < shape[1]; y++)
                memcpy(out->u[c] + (z * shape[1] + y) * shape[2],
                       f->u[c] + ((box.lo[0] + z) * f->shape[1] + box.lo[1] + y) * f->shape[2] + box.lo[2],
                       (size_t)shape[2] * sizeof(float));
    return true;
}

/* One block under way: the nodes of its own. */
typedef struct block {
    const clm_evaluate *e;
    const clm_work *w;
    clm_box core;
    clm_affine a;
    clm_field f;
    int64_t n;
} block;

static void node_of(const block *b, int64_t i, double x[3]) {
    const int64_t *s = b->f.shape, at[3] = {i / (s[1] * s[2]), i / s[2] % s[1], i % s[2]};
    for (int d = 0; d < 3; d++)
        x[d] = b->e->lattice.origin[d] + (double)(b->core.lo[d] + at[d]) * b->e->lattice.spacing[d];
}

static double length_of(const double v[3]) { return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]); }

/* y: where the nodes go */
static bool add_lengths(const block *b, double (*y)[3], clm_field_sums *s, clm_values *out, clm_err *err) {
    for (int k = 0; k < 2; k++) {
        out->n[k] = b->n;
        out->v[k] = clm_take(b->w->keep, float, b->n, err);
        if (!out->v[k]) return false;
    }
    for (int64_t i = 0; i < b->n; i++) {
        double x[3], u[3], moved[3];
        node_of(b, i, x);
        for (int d = 0; d < 3; d++) {
            u[d] = (double)b->f.u[d][i];
            y[i][d] = x[d] + u[d];
        }
        clm_affine_apply(&b->a, y[i], y[i]);
        for (int d = 0; d < 3; d++) moved[d] = y[i][d] - x[d];
        const double length[2] = {length_of(moved), length_of(u)};
        for (int k = 0; k < 2; k++) {
            out->v[k][i] = (float)length[k];
            s->length[k] += length[k];
            s->length_most[k] = fmax(s->length_most[k], length[k]);
        }
    }
    s->nodes = b->n;
    return true;
}

static bool add_coverage(const block *b, clm_field_sums *s, clm_err *err) {
    float *v = clm_take(b->w->keep, float, b->n, err);
    if (!v || !clm_array_read(b->e->coverage, b->core.lo, b->core.hi, v, err)) return false;
    s->coverage_least = INFINITY;
    for (int64_t i = 0; i < b->n; i++) {
        s->coverage += (double)v[i];
        s->coverage_least = fmin(s->coverage_least, (double)v[i]);
        s->holes += v[i] < 0.5f;
    }
    return true;
}

/* there and back: y becomes where the way back ends */
static bool add_loop(const block *b, double (*y)[3], clm_field_sums *s, clm_values *out, clm_err *err) {
    double(*x)[3] = clm_arena_take(b->w->keep, b->n, sizeof *x, err);
    uint8_t *flags = x ? clm_take(b->w->keep, uint8_t, b->n, err) : NULL;
    float *missed = flags ? clm_take(b->w->keep, float, b->n, err) : NULL;
    int64_t n = 0;
    if (!missed) return false;
    for (int64_t i = 0; i < b->n; i++) {
        if (!clm_map_frame_has(&b->e->target, y[i])) continue;
        memcpy(y[n], y[i], sizeof *y);
        node_of(b, i, x[n++]);
    }
    if (!clm_map_points(&b->e->inverse, b->w, n, y, flags, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        double by[3];
        for (int d = 0; d < 3; d++) by[d] = y[i][d] - x[i][d];
        double length = length_of(by);
        missed[i] = (float)length;
        s->missed += length, s->missed2 += length * length;
        s->missed_most = fmax(s->missed_most, length);
        s->unsolved += (flags[i] & CLM_POINT_UNSOLVED) != 0;
    }
    s->points = n;
    out->n[CLM_SPREAD_MISSED] = n;
    out->v[CLM_SPREAD_MISSED] = missed;
    return true;
}

/* cells between the block's nodes and the first ones of the next blocks; false in *has: those are a neighbour's */
static bool add_cells(const block *b, const clm_field *around, clm_box from, const int64_t at[3], bool maps,
                      clm_field_sums *s, clm_values *out, clm_err *err) {
    clm_box cells;
    clm_field own;
    int64_t n = 1;
    double det = clm_affine_det(&b->a);
    for (int d = 0; d < 3; d++) {
        cells.lo[d] = b->core.lo[d] - from.lo[d];
        cells.hi[d] = around->shape[d];
        if (cells.hi[d] - cells.lo[d] < 2 && b->e->lattice.shape[d] > 1) return true;
        n *= clm_jacobian_cell_count(cells.hi[d] - cells.lo[d]);
    }
    float *centre = clm_take(b->w->keep, float, n, err);
    if (!centre || !cut(b->w, around, cells, &own, err)) return false;
    clm_jacobian_add(&own, &s->jacobian, centre);
    for (int64_t i = 0; i < n; i++) centre[i] = (float)(det * (double)centre[i]);
    out->n[CLM_SPREAD_JACOBIAN] = n;
    out->v[CLM_SPREAD_JACOBIAN] = centre;
    return !maps || clm_evaluate_put_map(b->e, CLM_MAP_JACOBIAN, at, centre, err);
}

bool clm_evaluate_field_block(const clm_evaluate *e, const clm_work *w, int64_t index, bool maps,
                              clm_field_sums *sums, clm_values *out, clm_err *err) {
    static const int64_t one[3] = {1, 1, 1};
    const clm_grid *g = &e->blocks[CLM_EVALUATE_FIELD];
    block b = {.e = e, .w = w, .core = clm_grid_core(g, index)};
    clm_box from = clm_box_meet(clm_box_grow(b.core, one), clm_box_of(e->lattice.shape)), inner = b.core;
    clm_field around;
    int64_t at[3];
    clm_grid_at(g, index, at);
    for (int d = 0; d < 3; d++) inner.lo[d] -= from.lo[d], inner.hi[d] -= from.lo[d];
    b.n = clm_box_count(b.core);
    double(*y)[3] = clm_arena_take(w->keep, b.n, sizeof *y, err);
    if (!y || !read_box(e, w, from, &b.a, &around, err) || !cut(w, &around, inner, &b.f, err)) return false;
    clm_seam_add(&around, from.lo, inner, &e->faces, &sums->seam);
    return add_lengths(&b, y, sums, out, err) && (!e->coverage || add_coverage(&b, sums, err)) &&
           (!maps || clm_evaluate_put_map(e, CLM_MAP_DISPLACEMENT, at, out->v[CLM_SPREAD_BESIDE], err)) &&
           add_cells(&b, &around, from, at, maps, sums, out, err) &&
           (!e->has_inverse || add_loop(&b, y, sums, out, err));
}

void clm_field_sums_merge(clm_field_sums *into, const clm_field_sums *part) {
    if (!part->nodes) return;
    clm_jacobian_merge(&into->jacobian, &part->jacobian);
    clm_seam_merge(&into->seam, &part->seam);
    into->coverage_least =
        into->nodes ? fmin(into->coverage_least, part->coverage_least) : part->coverage_least;
    into->nodes += part->nodes;
    into->holes += part->holes;
    into->coverage += part->coverage;
    for (int k = 0; k < 2; k++) {
        into->length[k] += part->length[k];
        into->length_most[k] = fmax(into->length_most[k], part->length_most[k]);
    }
    into->points += part->points;
    into->unsolved += part->unsolved;
    into->missed += part->missed;
    into->missed2 += part->missed2;
    into->missed_most = fmax(into->missed_most, part->missed_most);
}
