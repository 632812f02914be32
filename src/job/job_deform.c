/* A block's displacement field at one pass: read, refine from the field so far, leave a spill. */
#include "collimate/align/deform.h"
#include "jobs.h"

#include <string.h>

#define DISPLACEMENT_VOX 8.0 /* a pass may move a point, where the configuration leaves it open */
#define MARGIN_VOX 4         /* of the moving box beyond start and largest displacement */

static clm_deform_params params_of(const clm_run *run, int pass) {
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
    p.stiffness = c->deform_stiffness;
    p.min_jacobian = c->deform_min_jacobian;
    p.max_displacement_um =
        clm_view_um_or_voxels(&run->pass[pass].fixed, c->deform_max_displacement_um, DISPLACEMENT_VOX);
    return p;
}

/* voxels of the moving view within which a displacement of the pass stays */
static int64_t margin_of(const clm_view *moving, const clm_affine *a, double displacement_um) {
    double sigma[3];
    clm_affine_stretch(a, sigma);
    return MARGIN_VOX + (int64_t)(displacement_um * sigma[0] / clm_view_voxel_um(moving));
}

/* The block's own nodes: u starts as the field before the pass. */
static bool start_field(const clm_run *run, const clm_work *w, int pass, clm_box nodes, clm_field *u,
                        clm_err *err) {
    const clm_lattice_plan *l = &run->pass[pass].lattice;
    int64_t shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = nodes.hi[d] - nodes.lo[d];
        origin[d] = l->origin[d] + (double)nodes.lo[d] * l->spacing[d];
    }
    return clm_field_new(w->keep, shape, l->spacing, origin, u, err) &&
           clm_job_field_before(run, w, pass, u, err);
}

bool clm_job_deform(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    int pass = run->part[task->stage];
    const clm_pass *p = &run->pass[pass];
    clm_box box = clm_grid_padded(&p->lattice.blocks, task->index),
            nodes = clm_lattice_nodes(&p->lattice, box);
    clm_deform_params params = params_of(run, pass);
    clm_field u;
    clm_vol fixed, moving;
    bool empty;
    if (!clm_view_read(w, &p->fixed, box, &fixed, err) || !clm_job_has_data(&fixed, err)) return false;
    if (!start_field(run, w, pass, nodes, &u, err)) return false;
    int64_t margin = margin_of(&p->moving, &run->affine, params.max_displacement_um);
    if (!clm_job_read_moving(w, &p->fixed, box, &p->moving, &run->affine, &u, margin, &moving, &empty, err))
        return false;
    if (empty) return clm_fail(err, CLM_E_NODATA, "no_overlap: the block maps outside the moving image");
    clm_deform_fit fit = {0};
    bool ok = clm_deform(w, &fixed, &moving, &run->affine, &u, &params, &fit, err);
    figure[0] = fit.before;
    figure[1] = fit.after;
    figure[2] = fit.iterations;
    figure[3] = fit.min_jacobian;
    figure[4] = fit.max_displacement_um;
    figure[5] = fit.covered;
    const clm_section s = {
        .name = "field", .dtype = CLM_F32, .shape = {3, u.shape[0], u.shape[1], u.shape[2]}, .data = u.u[0]};
    return ok && clm_job_put(run, task, &s, 1, err);
}
