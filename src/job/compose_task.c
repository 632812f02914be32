/* One chunk of a composed or inverted transform: the chain at every node, and what interpolation between the nodes
 * makes of it at the centres of the cells. */
#include "compose_parts.h"

#include <math.h>
#include <string.h>

/* Evaluated places: nodes with the layer beyond the chunk that its cells need, or centres of cells. */
typedef struct places {
    clm_vol grid;
    double (*u)[3];
    uint8_t *flags;
} places;

/* from A(x + u) to x + u: what is kept without an affine beside it */
static void add_affine(const clm_compose_run *run, places *p) {
    const clm_vol *g = &p->grid;
    clm_affine a = clm_map_affine(&run->map);
    for (int64_t z = 0, i = 0; z < g->shape[0]; z++)
        for (int64_t y = 0; y < g->shape[1]; y++)
            for (int64_t x = 0; x < g->shape[2]; x++, i++) {
                const int64_t k[3] = {z, y, x};
                double at[3], far[3];
                for (int d = 0; d < 3; d++) at[d] = g->origin[d] + (double)k[d] * g->spacing[d];
                for (int d = 0; d < 3; d++) far[d] = at[d] + p->u[i][d];
                clm_affine_apply(&a, far, far);
                for (int d = 0; d < 3; d++) p->u[i][d] = far[d] - at[d];
            }
}

static bool evaluate(const clm_compose_run *run, const clm_work *w, clm_box box, const double shift[3],
                     places *out, clm_err *err) {
    const clm_transform_spec *t = &run->out.spec;
    out->grid = (clm_vol){.data = NULL};
    for (int d = 0; d < 3; d++) {
        out->grid.shape[d] = box.hi[d] - box.lo[d];
        out->grid.spacing[d] = t->spacing_um[d];
        out->grid.origin[d] = t->origin_um[d] + ((double)box.lo[d] + shift[d]) * t->spacing_um[d];
    }
    if (!clm_map_at(&run->map, w, &out->grid, &out->u, &out->flags, err)) return false;
    if (clm_transform_kind_is_whole(run->out.kind)) add_affine(run, out);
    return true;
}

static int64_t index_of(const clm_vol *g, int64_t z, int64_t y, int64_t x) {
    return (z * g->shape[1] + y) * g->shape[2] + x;
}

static double length(const double v[3]) { return hypot(hypot(v[0], v[1]), v[2]); }

/* The cells of the chunk: centres against the mean of their corners as they are stored. */
static bool measure_cells(const clm_compose_run *run, const clm_work *w, clm_box core, const places *nodes,
                          double *figure, clm_err *err) {
    const clm_transform_spec *t = &run->out.spec;
    clm_box box = core;
    double half[3];
    places cells;
    for (int d = 0; d < 3; d++) {
        bool flat = t->shape[d] == 1;
        half[d] = flat ? 0.0 : 0.5;
        if (!flat && box.hi[d] == t->shape[d]) box.hi[d]--;
    }
    if (clm_box_is_empty(box)) return true;
    if (!evaluate(run, w, box, half, &cells, err)) return false;
    if (run->sweeps > 0 && !clm_compose_root_between(run, w, &cells.grid, figure, err)) return false;
    const int64_t *n = cells.grid.shape, step[3] = {half[0] > 0, half[1] > 0, half[2] > 0};
    for (int64_t z = 0, i = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++, i++) {
                double e[3] = {-cells.u[i][0], -cells.u[i][1], -cells.u[i][2]}, far[3];
                uint8_t flags = cells.flags[i];
                for (int c = 0; c < 8; c++) {
                    int64_t k = index_of(&nodes->grid, z + (c >> 2) * step[0], y + (c >> 1 & 1) * step[1],
                                         x + (c & 1) * step[2]);
                    flags |= nodes->flags[k];
                    for (int d = 0; d < 3; d++) e[d] += 0.125 * (double)(float)nodes->u[k][d];
                }
                if (flags & CLM_POINT_UNSOLVED) continue;
                for (int d = 0; d < 3; d++)
                    far[d] = t->affine.m[d][0] * e[0] + t->affine.m[d][1] * e[1] + t->affine.m[d][2] * e[2];
                double r = length(far);
                figure[CLM_COMPOSED_CELLS]++;
                figure[CLM_COMPOSED_ERROR_SQ] += r * r;
                figure[CLM_COMPOSED_ERROR_MAX] = fmax(figure[CLM_COMPOSED_ERROR_MAX], r);
            }
    return true;
}

/* |T(x) - y| of the nodes as stored, through the transform that was inverted. */
static bool measure_residual(const clm_compose_run *run, const clm_work *w, clm_box core, const clm_field *u,
                             float *residual, clm_err *err) {
    clm_map forth = run->given;
    forth.moving.shape[0] = 0;
    int64_t n = clm_field_count(u), i = 0;
    double(*x)[3] = clm_arena_take(w->temp, n, sizeof *x, err);
    uint8_t *flags = x ? clm_take(w->temp, uint8_t, n, err) : NULL;
    if (!flags) return false;
    const clm_transform_spec *t = &run->out.spec;
    for (int pass = 0; pass < 2; pass++) { /* y to x, and, once T has led back, how far from y */
        i = 0;
        for (int64_t z = core.lo[0]; z < core.hi[0]; z++)
            for (int64_t y = core.lo[1]; y < core.hi[1]; y++)
                for (int64_t k = core.lo[2]; k < core.hi[2]; k++, i++) {
                    const double at[3] = {t->origin_um[0] + (double)z * t->spacing_um[0],
                                          t->origin_um[1] + (double)y * t->spacing_um[1],
                                          t->origin_um[2] + (double)k * t->spacing_um[2]};
                    double p[3];
                    for (int d = 0; d < 3; d++) p[d] = pass ? x[i][d] - at[d] : at[d] + (double)u->u[d][i];
                    if (pass)
                        residual[i] = (float)length(p);
                    else
                        clm_affine_apply(&t->affine, p, x[i]);
                }
        if (pass == 0 && !clm_map_points(&forth, w, n, x, flags, err)) return false;
    }
    return true;
}

/* the chunk's own nodes, as they are stored */
static bool store_nodes(const clm_compose_run *run, const clm_work *w, clm_box core, const places *nodes,
                        clm_field *u, float **coverage, double *figure, clm_err *err) {
    /* of an inverse the residual decides, not the solver's own, finer measure */
    const uint8_t bad =
        run->spec.invert ? CLM_POINT_EXTRAPOLATED : CLM_POINT_EXTRAPOLATED | CLM_POINT_UNSOLVED;
    int64_t shape[3], n = 0;
    for (int d = 0; d < 3; d++) shape[d] = core.hi[d] - core.lo[d];
    if (!clm_field_new(w->keep, shape, nodes->grid.spacing, nodes->grid.origin, u, err)) return false;
    *coverage = clm_take(w->keep, float, clm_field_count(u), err);
    if (!*coverage) return false;
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, n++) {
                int64_t k = index_of(&nodes->grid, z, y, x);
                uint8_t flags = nodes->flags[k];
                for (int d = 0; d < 3; d++) u->u[d][n] = (float)nodes->u[k][d];
                figure[CLM_COMPOSED_UNSOLVED] += (flags & CLM_POINT_UNSOLVED) != 0;
                figure[CLM_COMPOSED_EXTRAPOLATED] += (flags & CLM_POINT_EXTRAPOLATED) != 0;
                figure[CLM_COMPOSED_U_MAX] = fmax(figure[CLM_COMPOSED_U_MAX], length(nodes->u[k]));
                (*coverage)[n] = flags & bad ? 0.0f : 1.0f;
            }
    figure[CLM_COMPOSED_NODES] = (double)n;
    return true;
}

/* what is left at the chunk's nodes, where that is asked for */
static bool measure_left(const clm_compose_run *run, const clm_work *w, clm_box core, const clm_field *u,
                         float **residual, float *coverage, double *figure, clm_err *err) {
    clm_vol nodes = {.data = NULL};
    const clm_transform_spec *t = &run->out.spec;
    for (int d = 0; d < 3; d++) {
        nodes.shape[d] = core.hi[d] - core.lo[d];
        nodes.spacing[d] = t->spacing_um[d];
        nodes.origin[d] = t->origin_um[d] + (double)core.lo[d] * t->spacing_um[d];
    }
    if (run->sweeps > 0) return clm_compose_root_left(run, w, &nodes, residual, coverage, figure, err);
    if (!run->spec.invert) return true;
    *residual = clm_take(w->keep, float, clm_field_count(u), err);
    if (!*residual || !measure_residual(run, w, core, u, *residual, err)) return false;
    clm_compose_note_residual(run, &nodes, *residual, NULL, coverage, figure);
    return true;
}

bool clm_compose_task(const clm_compose_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                      clm_err *err) {
    static const double none[3] = {0, 0, 0};
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    double *figure = out->figure;
    for (int i = 0; i < CLM_COMPOSED_COUNT; i++) figure[i] = 0.0;
    clm_box core = clm_grid_core(&run->out.chunks, task->index), box = core;
    places nodes;
    clm_field u;
    float *coverage, *residual = NULL;
    for (int d = 0; d < 3; d++) box.hi[d] += box.hi[d] < run->out.spec.shape[d];
    bool ok = task->stage < run->sweeps
                  ? clm_compose_root_task(run, w, task, figure, err)
                  : evaluate(run, w, box, none, &nodes, err) &&
                        measure_cells(run, w, core, &nodes, figure, err) &&
                        store_nodes(run, w, core, &nodes, &u, &coverage, figure, err) &&
                        measure_left(run, w, core, &u, &residual, coverage, figure, err) &&
                        clm_transform_out_put(&run->out, task->index, w->temp, &u, coverage, residual, err);
    out->peak_bytes = (double)(clm_arena_peak(w->keep) + clm_arena_peak(w->temp));
    return ok;
}
