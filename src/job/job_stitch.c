/* One chunk of a pass's field from the spills of the blocks that reach it. The collector hands this out as
 * soon as those blocks have ended; the chunk is written once. */
#include "collimate/image/jacobian.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

/* every block that reaches the chunk, in order of its number; failed ones are left out */
static bool gather(const clm_run *run, const clm_work *w, const clm_task *task, clm_piece **out, int64_t *n,
                   int64_t *failed, clm_err *err) {
    const clm_pass *p = &run->pass[run->part[task->stage]];
    int64_t at[3], b[3];
    *out = NULL;
    *n = *failed = 0;
    if (run->stage[task->stage].start != CLM_STAGE_FOLLOWS) return true; /* a pass without blocks */
    clm_grid_at(&p->chunks, task->index, at);
    clm_span span = run->stage[task->stage].needs(run, task->stage, at);
    int64_t most = 1;
    for (int d = 0; d < 3; d++) most *= span.hi[d] - span.lo[d];
    clm_piece *pieces = clm_take(w->keep, clm_piece, most, err);
    clm_field *fields = pieces ? clm_take(w->keep, clm_field, most, err) : NULL;
    if (!fields) return false;
    for (b[0] = span.lo[0]; b[0] < span.hi[0]; b[0]++) {
        for (b[1] = span.lo[1]; b[1] < span.hi[1]; b[1]++) {
            for (b[2] = span.lo[2]; b[2] < span.hi[2]; b[2]++) {
                int64_t block = clm_grid_index(&p->lattice.blocks, b);
                clm_spill spill;
                bool lost;
                if (!clm_job_get(run, task->stage - 1, block, w->keep, &spill, &lost, err)) return false;
                *failed += lost;
                if (lost) continue;
                const clm_section *s = clm_spill_find(&spill, "field");
                clm_box nodes = clm_lattice_nodes(&p->lattice, clm_grid_padded(&p->lattice.blocks, block));
                clm_field *f = &fields[*n];
                int64_t count = 1;
                for (int d = 0; d < 3; d++) {
                    f->shape[d] = nodes.hi[d] - nodes.lo[d];
                    count *= f->shape[d];
                    if (!s || s->shape[d + 1] != f->shape[d])
                        return clm_fail(err, CLM_E_FORMAT, "block %lld of %s left a field of another shape",
                                        (long long)block, run->stage[task->stage - 1].name);
                }
                for (int c = 0; c < 3; c++) f->u[c] = (float *)(uintptr_t)s->data + c * count;
                pieces[(*n)++] = (clm_piece){.block = block, .nodes = nodes, .field = f};
            }
        }
    }
    *out = pieces;
    return true;
}

/* A box of nodes, and what was made of it. */
typedef struct patch {
    clm_box nodes;
    clm_field u;
    float *coverage; /* [nodes] */
} patch;

static bool new_field(const clm_lattice_plan *l, clm_arena *a, clm_box nodes, clm_field *out, clm_err *err) {
    int64_t shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = nodes.hi[d] - nodes.lo[d];
        origin[d] = l->origin[d] + (double)nodes.lo[d] * l->spacing[d];
    }
    return clm_field_new(a, shape, l->spacing, origin, out, err);
}

static bool cut(const clm_lattice_plan *l, clm_arena *a, const patch *from, clm_box nodes, patch *out,
                clm_err *err) {
    const int64_t *n = from->u.shape;
    out->nodes = nodes;
    if (!new_field(l, a, nodes, &out->u, err)) return false;
    out->coverage = clm_take(a, float, clm_field_count(&out->u), err);
    if (!out->coverage) return false;
    size_t row = (size_t)out->u.shape[2] * sizeof(float);
    for (int64_t z = nodes.lo[0], to = 0; z < nodes.hi[0]; z++)
        for (int64_t y = nodes.lo[1]; y < nodes.hi[1]; y++, to += out->u.shape[2]) {
            int64_t at = ((z - from->nodes.lo[0]) * n[1] + y - from->nodes.lo[1]) * n[2] + nodes.lo[2] -
                         from->nodes.lo[2];
            for (int c = 0; c < 3; c++) memcpy(out->u.u[c] + to, from->u.u[c] + at, row);
            memcpy(out->coverage + to, from->coverage + at, row);
        }
    return true;
}

/* cells of the chunk, and between it and its neighbours, below the floor */
static bool count_low(const clm_lattice_plan *l, const clm_work *w, const patch *wide, clm_box chunk,
                      double floor, double *low, clm_err *err) {
    static const int64_t one[3] = {1, 1, 1};
    float lo[CLM_JACOBIAN_LANE];
    patch near;
    clm_mark m = clm_arena_mark(w->temp);
    if (!cut(l, w->temp, wide, clm_box_meet(clm_box_grow(chunk, one), wide->nodes), &near, err)) return false;
    const clm_field *u = &near.u;
    int64_t n[3];
    for (int d = 0; d < 3; d++) n[d] = clm_jacobian_cell_count(u->shape[d]);
    *low = 0.0;
    for (int64_t k = 0; k < n[0]; k++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t i = 0, some; i < n[2]; i += some) {
                some = n[2] - i < CLM_JACOBIAN_LANE ? n[2] - i : CLM_JACOBIAN_LANE;
                clm_jacobian_cells(u, k, j, i, some, lo, NULL);
                for (int64_t x = 0; x < some; x++) *low += (double)lo[x] < floor ? 1.0 : 0.0;
            }
    clm_arena_rewind(w->temp, m);
    return true;
}

/* Blends of fields that keep the floor need not keep it. What is done about it at a node depends on nodes within
 * CLM_FLOOR_REACH alone, so a face comes out the same from both sides. */
static bool keep_floor(const clm_run *run, const clm_work *w, int pass, patch *wide, clm_box chunk,
                       double figure[2], clm_err *err) {
    double floor = clm_job_deform_params(run, pass).min_jacobian;
    int32_t sweeps;
    if (!clm_floor_mend(w, &wide->u, floor, &sweeps, err)) return false;
    figure[0] = sweeps;
    figure[1] = 0.0;
    return sweeps < CLM_FLOOR_SWEEPS ||
           count_low(&run->pass[pass].lattice, w, wide, chunk, floor, &figure[1], err);
}

bool clm_job_stitch(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    static const int64_t around[3] = {CLM_FLOOR_REACH, CLM_FLOOR_REACH, CLM_FLOOR_REACH};
    int pass = run->part[task->stage];
    const clm_pass *p = &run->pass[pass];
    clm_box chunk = clm_grid_core(&p->chunks, task->index);
    int64_t at[3], n, failed;
    clm_piece *pieces;
    clm_field prior, *start = NULL;
    patch wide = {.nodes = clm_box_meet(clm_box_grow(chunk, around), clm_box_of(p->lattice.shape))}, out;
    if (!gather(run, w, task, &pieces, &n, &failed, err)) return false;
    if (n + failed < 2) wide.nodes = chunk; /* one block's own field, or none */
    if (!new_field(&p->lattice, w->keep, wide.nodes, &wide.u, err)) return false;
    if (failed || n == 0) {
        start = &prior;
        if (!new_field(&p->lattice, w->keep, wide.nodes, &prior, err) ||
            !clm_job_field_before(run, w, pass, &prior, err))
            return false;
    }
    wide.coverage = clm_take(w->keep, float, clm_field_count(&wide.u), err);
    if (!wide.coverage) return false;
    clm_stitch_chunk(&p->lattice, wide.nodes, pieces, n, start, &wide.u, wide.coverage);
    if (n + failed > 1 && !keep_floor(run, w, pass, &wide, chunk, &figure[4], err)) return false;
    if (!cut(&p->lattice, w->keep, &wide, chunk, &out, err)) return false;
    double covered = 0.0, most = 0.0;
    int64_t nodes = clm_field_count(&out.u);
    for (int64_t i = 0; i < nodes; i++) {
        double u = hypot(hypot((double)out.u.u[0][i], (double)out.u.u[1][i]), (double)out.u.u[2][i]);
        covered += (double)out.coverage[i];
        if (u > most) most = u;
    }
    figure[0] = (double)n;
    figure[1] = (double)failed;
    figure[2] = covered / (double)nodes;
    figure[3] = most;
    clm_grid_at(&p->chunks, task->index, at);
    const int64_t index[4] = {0, at[0], at[1], at[2]};
    return clm_array_put_chunk(p->field, index, out.u.u[0], err) &&
           (!p->coverage || clm_array_put_chunk(p->coverage, at, out.coverage, err));
}
