/* A block's displacement field at one pass: read, refine from the field so far, leave a spill. A block that does
 * not fit into the task's memory is done on coarser voxels and nodes: it sees less, but it is there. */
#include "collimate/align/deform.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

#define DISPLACEMENT_VOX 8.0 /* a pass may move a point, where the configuration leaves it open */
#define MARGIN_VOX 4         /* of the moving box beyond start and largest displacement */
#define COARSEST 8           /* times coarser than the pass before a block is given up */
#define LEAST_VOX 16         /* along every axis of a block: fewer are not worth a try */

/* The floor is told of the whole map, so an affine that shrinks leaves less to the field; one that more than halves
 * volumes is a change of units, not of tissue, and is left out. */
#define ROUNDING 1.00001
#define LEAST_AFFINE 0.5

static double floor_of_field(const clm_run *run) {
    double floor = run->config->deform_min_jacobian;
    double det = run->has_affine ? fabs(clm_affine_det(&run->affine)) : 1.0;
    double field = floor * ROUNDING / (det >= LEAST_AFFINE ? fmin(det, 1.0) : 1.0);
    return fmin(field, 0.5 * (1.0 + floor));
}

clm_deform_params clm_job_deform_params(const clm_run *run, int pass) {
    const clm_config *c = run->config;
    clm_deform_params p = CLM_DEFORM_DEFAULTS;
    int64_t k = pass < c->deform_iterations.n ? pass : c->deform_iterations.n - 1;
    if (k >= 0) p.iterations = (int32_t)c->deform_iterations.v[k];
    p.metric = strcmp(c->deform_metric, "ncc") == 0            ? CLM_DEFORM_NCC
               : strcmp(c->deform_metric, "mean_squares") == 0 ? CLM_DEFORM_SSD
               : strcmp(c->deform_metric, "local_ncc2") == 0   ? CLM_DEFORM_LNCC2
               : strcmp(c->deform_metric, "mi") == 0           ? CLM_DEFORM_MI
                                                               : CLM_DEFORM_LNCC;
    p.radius_vox = (int32_t)c->deform_radius_vox;
    if (c->deform_stiffness > 0.0)
        p.stiffness = c->deform_stiffness;
    else
        p.evidence = pass + 1 < run->n_passes;
    p.min_jacobian = floor_of_field(run);
    p.max_displacement_um =
        clm_view_um_or_voxels(&run->pass[pass].fixed, c->deform_max_displacement_um, DISPLACEMENT_VOX);
    return p;
}

/* voxels of the moving view within which a displacement stays */
static int64_t margin_of(const clm_view *moving, const clm_affine *a, double displacement_um) {
    double sigma[3];
    clm_affine_stretch(a, sigma);
    return MARGIN_VOX + (int64_t)(displacement_um * sigma[0] / clm_view_voxel_um(moving));
}

int64_t clm_job_deform_margin(const clm_run *run, int pass) {
    const clm_affine same = CLM_AFFINE_IDENTITY;
    return margin_of(&run->pass[pass].moving, run->has_affine ? &run->affine : &same,
                     clm_job_deform_params(run, pass).max_displacement_um);
}

/* What one try works on. */
typedef struct attempt {
    clm_view fixed, moving;
    clm_box box; /* of the fixed view */
} attempt;

/* the pass's views, and the block's box in them */
static attempt as_planned(const clm_pass *p, int64_t index) {
    return (attempt){p->fixed, p->moving, clm_grid_padded(&p->lattice.blocks, index)};
}

/* The same box of the world in voxels `times` as large; empty when few are left. */
static attempt coarser(const attempt *fine, int times) {
    attempt a;
    const clm_view *from[2] = {&fine->fixed, &fine->moving};
    clm_view *to[2] = {&a.fixed, &a.moving};
    for (int side = 0; side < 2; side++) {
        *to[side] = clm_view_make(from[side]->image, clm_view_voxel_um(from[side]) * (double)times);
        to[side]->mask = from[side]->mask;
        to[side]->foreground = from[side]->foreground;
        to[side]->negative = from[side]->negative;
    }
    for (int d = 0; d < 3;
         d++) { /* those whose centres lie between the first and the last of the fine ones */
        const clm_view *f = &fine->fixed, *c = &a.fixed;
        double lo = f->origin[d] + (double)fine->box.lo[d] * f->spacing[d];
        double hi = f->origin[d] + (double)(fine->box.hi[d] - 1) * f->spacing[d];
        double first = ceil((lo - c->origin[d]) / c->spacing[d] - 1e-6);
        double last = floor((hi - c->origin[d]) / c->spacing[d] + 1e-6);
        a.box.lo[d] = first > 0.0 ? (int64_t)first : 0;
        a.box.hi[d] = last + 1.0 < (double)c->shape[d] ? (int64_t)last + 1 : c->shape[d];
        if (a.box.hi[d] - a.box.lo[d] < LEAST_VOX) a.box.hi[d] = a.box.lo[d];
    }
    return a;
}

/* The block's own nodes, or of these every `times`-th and the last. */
static bool new_field(const clm_work *w, const clm_lattice_plan *l, clm_box nodes, int times, clm_field *u,
                      clm_err *err) {
    int64_t shape[3];
    double origin[3], spacing[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = clm_div_up(nodes.hi[d] - nodes.lo[d] - 1, times) + 1;
        spacing[d] = l->spacing[d] * (double)times;
        origin[d] = l->origin[d] + (double)nodes.lo[d] * l->spacing[d];
    }
    return clm_field_new(w->keep, shape, spacing, origin, u, err);
}

/* What the pass before has found, for voxels of `fixed`: curvature over its own pitch of a field as rough on all scales
 * alike (whose second derivatives are white noise) is inverse to the pitch. */
static bool find_stiffness(const clm_run *run, const clm_work *w, int pass, const clm_view *fixed,
                           double *stiffness, clm_err *err) {
    int stage = pass > 0 ? clm_run_stage_of(run, CLM_JOB_STIFFNESS, pass - 1) : -1;
    clm_mark m = clm_arena_mark(w->temp);
    clm_spill spill;
    bool failed;
    if (stage < 0) return true;
    if (!clm_job_get(run, stage, 0, w->temp, &spill, &failed, err)) return false;
    const clm_section *s = clm_spill_find(&spill, "stiffness");
    if (!s) return clm_fail(err, CLM_E_FORMAT, "%s left no stiffness", run->stage[stage].name);
    *stiffness =
        *(const double *)s->data * clm_view_voxel_um(&run->pass[pass - 1].fixed) / clm_view_voxel_um(fixed);
    clm_arena_rewind(w->temp, m);
    return true;
}

static bool refine(const clm_run *run, const clm_work *w, int pass, const attempt *a, clm_field *u,
                   clm_deform_fit *fit, clm_err *err) {
    clm_deform_params params = clm_job_deform_params(run, pass);
    clm_vol fixed, moving;
    bool empty;
    if (!find_stiffness(run, w, pass, &a->fixed, &params.stiffness, err)) return false;
    if (!clm_view_read(w, &a->fixed, a->box, &fixed, err) || !clm_job_has_data(&fixed, err)) return false;
    if (!clm_job_field_before(run, w, pass, u, err)) return false;
    int64_t margin = margin_of(&a->moving, &run->affine, params.max_displacement_um);
    if (!clm_job_read_moving(w, &a->fixed, a->box, &a->moving, &run->affine, u, margin, &moving, &empty, err))
        return false;
    if (empty) return clm_fail(err, CLM_E_NODATA, "no_overlap: the block maps outside the moving image");
    return clm_deform(w, &fixed, &moving, &run->affine, u, &params, fit, err);
}

/* Into `u`, the block's own nodes; false with CLM_E_BUDGET when `times` is still too fine. */
static bool try_at(const clm_run *run, const clm_work *w, int pass, const attempt *a, clm_box nodes,
                   int times, clm_field *u, clm_deform_fit *fit, clm_err *err) {
    const clm_lattice_plan *l = &run->pass[pass].lattice;
    clm_mark keep = clm_arena_mark(w->keep), temp = clm_arena_mark(w->temp);
    clm_field few;
    bool ok = times == 1
                  ? refine(run, w, pass, a, u, fit, err)
                  : new_field(w, l, nodes, times, &few, err) && refine(run, w, pass, a, &few, fit, err);
    if (ok && times > 1) clm_field_resample(&few, u);
    clm_arena_rewind(w->keep, keep);
    clm_arena_rewind(w->temp, temp);
    return ok;
}

bool clm_job_deform(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    int pass = run->part[task->stage], times = 1;
    const clm_pass *p = &run->pass[pass];
    attempt planned = as_planned(p, task->index), a = planned;
    clm_box nodes = clm_lattice_nodes(&p->lattice, planned.box);
    clm_deform_fit fit = {.covered = NAN}; /* until there is something to tell */
    clm_field u;
    if (!new_field(w, &p->lattice, nodes, 1, &u, err)) return false;
    clm_err why = CLM_ERR_NONE;
    bool ok;
    while (!(ok = try_at(run, w, pass, &a, nodes, times, &u, &fit, &why)) && why.code == CLM_E_BUDGET &&
           times < COARSEST) {
        times *= 2;
        a = coarser(&planned, times);
        if (clm_box_is_empty(a.box)) break;
    }
    if (!isnan(fit.covered)) {
        figure[0] = fit.before;
        figure[1] = fit.after;
        figure[2] = fit.iterations;
        figure[3] = fit.min_jacobian;
        figure[4] = fit.max_displacement_um;
        figure[5] = fit.covered;
    }
    if (times > 1) figure[6] = times;
    if (!ok) return *err = why, false;
    const clm_section s[2] = {
        {.name = "field", .dtype = CLM_F32, .shape = {3, u.shape[0], u.shape[1], u.shape[2]}, .data = u.u[0]},
        {.name = CLM_JOB_EVIDENCE,
         .dtype = CLM_F64,
         .shape = {1, 1, 1, CLM_JOB_EVIDENCE_NUMBERS},
         .data = &fit.evidence}};
    return clm_job_put(run, task, s, fit.evidence.noise > 0.0 && times == 1 ? 2 : 1, err);
}
