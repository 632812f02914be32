/* One chunk of a pass's field from the spills of the blocks that reach it. The collector hands this out as
 * soon as those blocks have ended; the chunk is written once. */
#include "jobs.h"

#include <math.h>

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

bool clm_job_stitch(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    int pass = run->part[task->stage];
    const clm_pass *p = &run->pass[pass];
    clm_box chunk = clm_grid_core(&p->chunks, task->index);
    int64_t shape[3], at[3], n, failed;
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = chunk.hi[d] - chunk.lo[d];
        origin[d] = p->lattice.origin[d] + (double)chunk.lo[d] * p->lattice.spacing[d];
    }
    clm_piece *pieces;
    clm_field prior, out;
    if (!gather(run, w, task, &pieces, &n, &failed, err)) return false;
    if (!clm_field_new(w->keep, shape, p->lattice.spacing, origin, &prior, err) ||
        !clm_field_new(w->keep, shape, p->lattice.spacing, origin, &out, err) ||
        !clm_job_field_before(run, w, pass, &prior, err))
        return false;
    int64_t nodes = clm_field_count(&out);
    float *coverage = clm_take(w->keep, float, nodes, err);
    if (!coverage) return false;
    clm_stitch_chunk(&p->lattice, chunk, pieces, n, &prior, &out, coverage);
    double covered = 0.0, most = 0.0;
    for (int64_t i = 0; i < nodes; i++) {
        double u = hypot(hypot((double)out.u[0][i], (double)out.u[1][i]), (double)out.u[2][i]);
        covered += (double)coverage[i];
        if (u > most) most = u;
    }
    figure[0] = (double)n;
    figure[1] = (double)failed;
    figure[2] = covered / (double)nodes;
    figure[3] = most;
    clm_grid_at(&p->chunks, task->index, at);
    const int64_t index[4] = {0, at[0], at[1], at[2]};
    return clm_array_put_chunk(p->field, index, out.u[0], err) &&
           (!p->coverage || clm_array_put_chunk(p->coverage, at, coverage, err));
}
