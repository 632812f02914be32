/* No block is to be less alike under the local affines than under the global one. A block's score is of the field as it
 * is blended, so what one block gives up changes its neighbours' scores: all are scored once, each by a task, and then
 * one task goes on with the few that score lower and those around them until there are none. */
#include "collimate/image/metric.h"
#include "collimate/image/warp.h"
#include "feature_params.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

enum { GLOBAL, LOCAL };

static void range_of(const clm_vol *v, double *lo, double *hi) {
    *lo = INFINITY, *hi = -INFINITY;
    for (int64_t i = 0; i < clm_vol_count(v); i++) {
        if (!isfinite((double)v->data[i])) continue;
        *lo = fmin(*lo, (double)v->data[i]), *hi = fmax(*hi, (double)v->data[i]);
    }
}

/* by the metric that the affines were found by; NaN where nothing can be compared */
static bool alike(const clm_run *run, const clm_vol *f, const clm_vol *m, double *out, clm_err *err) {
    *out = NAN;
    if (clm_feature_metric(run) != CLM_REFINE_MI) {
        clm_ncc s = {0};
        if (!clm_ncc_add(&s, f, m, err)) return false;
        *out = clm_ncc_value(&s);
        return true;
    }
    double lo[2], hi[2];
    clm_mi s;
    range_of(f, &lo[0], &hi[0]), range_of(m, &lo[1], &hi[1]);
    if (!(hi[0] > lo[0]) || !(hi[1] > lo[1])) return true;
    if (!clm_mi_make(lo, hi, &s, err) || !clm_mi_add(&s, f, m, err)) return false;
    *out = clm_mi_value(&s);
    return true;
}

/* Of the block's core: under the lattice, or under the global affine (l NULL). Both through a field, so that
 * a field of zeros scores the same to the last bit. */
static bool score(const clm_run *run, const clm_work *w, int64_t block, const clm_lattice *l, double *out,
                  clm_err *err) {
    clm_mark m = clm_arena_mark(w->keep);
    clm_box core = clm_grid_core(&run->local_blocks, block);
    clm_vol fixed, moving, warped;
    clm_field u;
    bool empty = false;
    *out = NAN;
    bool ok =
        clm_view_read(w, &run->local_fixed, core, &fixed, err) && clm_job_nodes_over(run, w, &fixed, &u, err);
    if (ok && l) clm_lattice_field(l, &u);
    if (ok && !l) memset(u.u[0], 0, (size_t)clm_field_count(&u) * 3 * sizeof(float));
    ok = ok && clm_job_read_moving(w, &run->local_fixed, core, &run->local_moving, &run->affine, &u, 0,
                                   &moving, &empty, err);
    if (ok && !empty)
        ok = clm_vol_new(w->keep, fixed.shape, fixed.spacing, fixed.origin, &warped, err) &&
             clm_warp(w, &moving, &run->affine, &u, CLM_INTERP_LINEAR, NAN, &warped, NULL, err) &&
             alike(run, &fixed, &warped, out, err);
    clm_arena_rewind(w->keep, m);
    return ok;
}

bool clm_job_check(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                   clm_err *err) {
    double scores[2];
    if (!score(run, w, task->index, NULL, &scores[GLOBAL], err) ||
        !score(run, w, task->index, &run->lattice[0], &scores[LOCAL], err))
        return false;
    figure[0] = scores[GLOBAL], figure[1] = scores[LOCAL];
    figure[2] = scores[LOCAL] < scores[GLOBAL] ? 1.0 : 0.0;
    const clm_section s = {.name = "scores", .dtype = CLM_F64, .shape = {1, 1, 1, 2}, .data = scores};
    return clm_job_put(run, task, &s, 1, err);
}

typedef struct settling {
    const clm_run *run;
    const clm_work *w;
    clm_lattice now;
    double (*score)[2]; /* [n] */
    uint8_t *halvings;  /* [n] of the block's displacement against the global affine; GONE: none is left */
    uint8_t *stale;     /* [n] something around the block has changed */
} settling;

enum { GONE = 3 };

static bool gather(settling *s, clm_err *err) {
    int stage = clm_run_stage_of(s->run, CLM_JOB_CHECK, 0);
    for (int64_t b = 0; b < s->now.n; b++) {
        clm_mark m = clm_arena_mark(s->w->temp);
        clm_spill spill;
        bool failed;
        if (!clm_job_get(s->run, stage, b, s->w->temp, &spill, &failed, err)) return false;
        const clm_section *found = failed ? NULL : clm_spill_find(&spill, "scores");
        s->score[b][GLOBAL] = s->score[b][LOCAL] = NAN;
        if (found && clm_section_count(found) == 2) memcpy(s->score[b], found->data, sizeof s->score[b]);
        clm_arena_rewind(s->w->temp, m);
    }
    return true;
}

/* the block and up to 26 around it: those whose affines meet in its core */
static clm_span around(const clm_grid *g, int64_t block) {
    int64_t at[3];
    clm_span s;
    clm_grid_at(g, block, at);
    for (int d = 0; d < 3; d++) {
        s.lo[d] = at[d] > 0 ? at[d] - 1 : 0;
        s.hi[d] = at[d] + 2 < g->shape[d] ? at[d] + 2 : g->shape[d];
    }
    return s;
}

static void halve(settling *s, int64_t block) {
    const clm_grid *g = &s->run->local_blocks;
    if (s->halvings[block] == GONE) return;
    double keep = ++s->halvings[block] == GONE ? 0.0 : 0.5;
    for (int i = 0; i < 12; i++) s->now.m[block][i / 4][i % 4] *= keep;
    clm_span near = around(g, block);
    int64_t at[3];
    for (at[0] = near.lo[0]; at[0] < near.hi[0]; at[0]++)
        for (at[1] = near.lo[1]; at[1] < near.hi[1]; at[1]++)
            for (at[2] = near.lo[2]; at[2] < near.hi[2]; at[2]++) s->stale[clm_grid_index(g, at)] = 1;
}

/* Its own displacement first; where none is left of it, its neighbours' reach too far into it: those that share a face,
 * then those that share an edge, then a corner. */
static void give_way(settling *s, int64_t block) {
    const clm_grid *g = &s->run->local_blocks;
    clm_span near = around(g, block);
    int64_t own[3], at[3];
    bool some = false;
    clm_grid_at(g, block, own);
    for (int apart = 0; apart <= 3 && !some; apart++)
        for (at[0] = near.lo[0]; at[0] < near.hi[0]; at[0]++)
            for (at[1] = near.lo[1]; at[1] < near.hi[1]; at[1]++)
                for (at[2] = near.lo[2]; at[2] < near.hi[2]; at[2]++) {
                    int64_t b = clm_grid_index(g, at);
                    int axes = (at[0] != own[0]) + (at[1] != own[1]) + (at[2] != own[2]);
                    if (axes != apart || s->halvings[b] == GONE) continue;
                    halve(s, b);
                    some = true;
                }
}

/* One round: all that score lower give way, then what that touched is scored again. Ends, because every round
 * halves something that can be halved three times, and where nothing is left the scores are equal. */
static bool settle_round(settling *s, int64_t *below, clm_err *err) {
    *below = 0;
    memset(s->stale, 0, (size_t)s->now.n);
    for (int64_t b = 0; b < s->now.n; b++) {
        if (!(s->score[b][LOCAL] < s->score[b][GLOBAL])) continue;
        give_way(s, b);
        ++*below;
    }
    for (int64_t b = 0; b < s->now.n; b++)
        if (s->stale[b] && !isnan(s->score[b][GLOBAL]) &&
            !score(s->run, s->w, b, &s->now, &s->score[b][LOCAL], err))
            return false;
    return true;
}

bool clm_job_settle(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    settling s = {.run = run, .w = w, .now = run->lattice[0]};
    int64_t n = s.now.n, below, changed = 0;
    s.now.m = clm_arena_take(w->keep, n, sizeof *s.now.m, err);
    s.score = s.now.m ? clm_arena_take(w->keep, n, sizeof *s.score, err) : NULL;
    s.halvings = s.score ? clm_take_zero(w->keep, uint8_t, n, err) : NULL;
    s.stale = s.halvings ? clm_take(w->keep, uint8_t, n, err) : NULL;
    if (!s.stale || !gather(&s, err)) return false;
    memcpy(s.now.m, run->lattice[0].m, (size_t)n * sizeof *s.now.m);
    figure[0] = NAN, figure[2] = 0.0;
    do {
        if (!settle_round(&s, &below, err)) return false;
        if (isnan(figure[0])) figure[0] = (double)below;
        figure[2] += 1.0;
    } while (below > 0);
    double sum = 0.0, scored = 0.0;
    for (int64_t b = 0; b < n; b++) {
        changed += s.halvings[b] > 0;
        if (!isnan(s.score[b][LOCAL])) sum += s.score[b][LOCAL], scored += 1.0;
    }
    figure[1] = (double)changed;
    figure[3] = sum / scored;
    return clm_job_put_lattice(run, task, &s.now, err);
}
