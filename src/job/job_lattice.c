/* The affines of all blocks, solved together from what their matches say. */
#include "collimate/align/lattice.h"
#include "feature_params.h"
#include "jobs.h"

#include <string.h>

static bool grid_of(const clm_run *run, const clm_work *w, double *centre[3], clm_lattice_grid *out,
                    clm_err *err) {
    const clm_grid *g = &run->local_blocks;
    const clm_view *v = &run->local_fixed;
    for (int d = 0; d < 3; d++) {
        centre[d] = clm_take(w->keep, double, g->shape[d], err);
        if (!centre[d]) return false;
        for (int64_t k = 0; k < g->shape[d]; k++) {
            int64_t lo = k * g->block[d],
                    hi = lo + g->block[d] < g->extent[d] ? lo + g->block[d] : g->extent[d];
            centre[d][k] = v->origin[d] + 0.5 * (double)(lo + hi - 1) * v->spacing[d];
        }
        out->shape[d] = g->shape[d];
        out->centre[d] = centre[d];
        out->size_um[d] = (double)g->block[d] * v->spacing[d];
    }
    return true;
}

/* every block's matches; one that failed has none */
static bool gather(const clm_run *run, const clm_work *w, clm_lattice_block **out, clm_err *err) {
    int stage = clm_run_stage_of(run, CLM_JOB_LOCAL, 0);
    clm_lattice_block *blocks = clm_take_zero(w->keep, clm_lattice_block, run->local_blocks.n, err);
    if (!blocks) return false;
    for (int64_t b = 0; b < run->local_blocks.n; b++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_spill spill;
        bool failed;
        if (!clm_job_get(run, stage, b, w->temp, &spill, &failed, err)) return false;
        const clm_section *s = failed ? NULL : clm_spill_find(&spill, "matches");
        if (s && s->shape[3] == CLM_LATTICE_NUMBERS) clm_lattice_unpack(s->data, &blocks[b]);
        clm_arena_rewind(w->temp, m);
    }
    *out = blocks;
    return true;
}

static double mean_residual(const clm_lattice_verdict *v, int64_t n) {
    double sum = 0.0, count = 0.0;
    for (int64_t b = 0; b < n; b++)
        if (v[b].status == CLM_LATTICE_USED) sum += v[b].residual_um, count += 1.0;
    return count > 0.0 ? sum / count : 0.0;
}

bool clm_job_lattice(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                     clm_err *err) {
    clm_lattice_grid grid;
    clm_lattice_block *blocks;
    clm_lattice_params p = CLM_LATTICE_DEFAULTS;
    clm_lattice_report report;
    clm_lattice l;
    double *centre[3];
    p.smoothness = run->config->local_smoothness;
    if (!grid_of(run, w, centre, &grid, err) || !gather(run, w, &blocks, err)) return false;
    int64_t n = run->local_blocks.n;
    clm_lattice_verdict *verdict = clm_take(w->keep, clm_lattice_verdict, n, err);
    if (!verdict || !clm_lattice_fit(w, &grid, blocks, &run->affine, &p, &l, verdict, &report, err))
        return false;
    figure[0] = (double)(report.used + report.doubted);
    figure[1] = (double)report.rejected;
    figure[2] = (double)report.empty;
    figure[3] = mean_residual(verdict, n);
    return clm_job_put_lattice(run, task, &l, err);
}

bool clm_job_put_lattice(const clm_run *run, const clm_task *task, const clm_lattice *l, clm_err *err) {
    clm_section s[5];
    static const char *const names[3] = {"centre_z", "centre_y", "centre_x"};
    for (int d = 0; d < 3; d++) {
        s[d] = (clm_section){.dtype = CLM_F64, .shape = {1, 1, 1, l->shape[d]}, .data = l->centre[d]};
        memcpy(s[d].name, names[d], strlen(names[d]) + 1);
    }
    s[3] = (clm_section){.name = "size_um", .dtype = CLM_F64, .shape = {1, 1, 1, 3}, .data = l->size_um};
    s[4] = (clm_section){.name = "affine", .dtype = CLM_F64, .shape = {1, l->n, 3, 4}, .data = l->m};
    return clm_job_put(run, task, s, 5, err);
}

bool clm_job_lattice_of(const clm_run *run, const clm_spill *spill, clm_lattice *out, clm_err *err) {
    static const char *const names[3] = {"centre_z", "centre_y", "centre_x"};
    const clm_section *size = clm_spill_find(spill, "size_um"), *m = clm_spill_find(spill, "affine");
    clm_lattice l = {.n = run->local_blocks.n};
    bool ok = size && m && clm_section_count(size) == 3 && clm_section_count(m) == 12 * l.n;
    for (int d = 0; ok && d < 3; d++) {
        const clm_section *c = clm_spill_find(spill, names[d]);
        l.shape[d] = run->local_blocks.shape[d];
        ok = c && clm_section_count(c) == l.shape[d];
        if (!ok) break;
        l.centre[d] = (double *)(uintptr_t)c->data;
        l.size_um[d] = ((const double *)size->data)[d];
    }
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "the spill of the lattice stage is of another shape");
    l.m = (double(*)[3][4])(uintptr_t)m->data;
    *out = l;
    return true;
}
