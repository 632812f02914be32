/* The bodies behind clm_job_run, one file a kind, and the few things they share. */
#ifndef CLM_JOB_JOBS_H
#define CLM_JOB_JOBS_H

#include "collimate/align/blob.h"
#include "collimate/align/deform.h"
#include "collimate/job/job.h"
#include "collimate/store/spill.h"

/** figure: CLM_FIGURE_COUNT, NaN on entry; filled also on failure as far as known. */
typedef bool clm_job_fn(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                        clm_err *err);
clm_job_fn clm_job_coarse, clm_job_foreground, clm_job_spots, clm_job_global, clm_job_local, clm_job_lattice,
    clm_job_check, clm_job_settle, clm_job_deform, clm_job_stitch, clm_job_stiffness, clm_job_measure,
    clm_job_apply, clm_job_pyramid, clm_job_finish, clm_job_metrics;

/** Moving voxels around what a block maps to that its task reads. */
int64_t clm_job_local_margin(const clm_run *run);
int64_t clm_job_deform_margin(const clm_run *run, int pass);
/** Of a pass, as far as the configuration tells: not the stiffness that the pass before found. */
clm_deform_params clm_job_deform_params(const clm_run *run, int pass);
/** The section of a deform task's spill that holds its clm_deform_evidence, as so many doubles. */
#define CLM_JOB_EVIDENCE "evidence"
#define CLM_JOB_EVIDENCE_NUMBERS ((int64_t)(sizeof(clm_deform_evidence) / sizeof(double)))

/** How many blobs of one sign a block of an image's spots stage has at most: its share, with room for uneven tissue. */
int64_t clm_job_spots_quota(const clm_run *run, const clm_grid *blocks);

/** Publish a task's sections where later stages find them. */
CLM_MUST bool clm_job_put(const clm_run *run, const clm_task *task, const clm_section *sections, int n,
                          clm_err *err);
/** Read a task's sections into `a`. *failed: it has the mark of clm_job_failed (true is returned, nothing is
 *  read, whatever else may stand there). CLM_E_IO when it left nothing at all. */
CLM_MUST bool clm_job_get(const clm_run *run, int stage, int64_t index, clm_arena *a, clm_spill *out,
                          bool *failed, clm_err *err);

/** The block affines where later stages find them, and as they were left; they point into the spill's arena. */
CLM_MUST bool clm_job_put_lattice(const clm_run *run, const clm_task *task, const clm_lattice *l,
                                  clm_err *err);
CLM_MUST bool clm_job_lattice_of(const clm_run *run, const clm_spill *spill, clm_lattice *out, clm_err *err);

/** The displacement field before pass `pass` (0: the local affines, or zero) on the nodes of `out`, whose
 *  geometry is set and whose planes are allocated; pass == run->n_passes gives the final field. */
CLM_MUST bool clm_job_field_before(const clm_run *run, const clm_work *w, int pass, clm_field *out,
                                   clm_err *err);

/** Those nodes of the final lattice that lie around the grid of `over`, made in w->keep, values undefined; and with
 *  the field before pass `pass` on them. */
CLM_MUST bool clm_job_nodes_over(const clm_run *run, const clm_work *w, const clm_vol *over, clm_field *out,
                                 clm_err *err);
CLM_MUST bool clm_job_field_over(const clm_run *run, const clm_work *w, int pass, const clm_vol *over,
                                 clm_field *out, clm_err *err);

/** False with CLM_E_NODATA when every voxel is outside the mask. */
CLM_MUST bool clm_job_has_data(const clm_vol *v, clm_err *err);

/** Blobs of a volume that may have holes: none is found in one. `whole` is v with its holes bridged (a copy in
 *  w->keep, or v itself), for patches. CLM_E_NODATA also when nothing of v is outside a hole. */
CLM_MUST bool clm_job_blobs(const clm_work *w, const clm_vol *v, clm_box core, const clm_blob_params *p,
                            clm_vol *whole, clm_points *out, clm_err *err);

/** Read the part of the moving view that the box of the fixed view maps to, plus a margin in working voxels,
 *  into w->keep. *empty: it maps outside (true is returned). */
CLM_MUST bool clm_job_read_moving(const clm_work *w, const clm_view *fixed, clm_box box,
                                  const clm_view *moving, const clm_affine *a, const clm_field *f,
                                  int64_t margin_vox, clm_vol *out, bool *empty, clm_err *err);

#endif
