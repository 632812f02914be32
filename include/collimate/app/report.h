/* A page about a finished run: OUT/report/index.html with its pictures beside it; opens without network. */
#ifndef CLM_APP_REPORT_H
#define CLM_APP_REPORT_H

#include "collimate/job/align_run.h"

/** Write folder/report/index.html: job, metrics before and after, stages, failed blocks with their reasons, histograms
 *  of the blocks' residuals, of displacements and Jacobians, block maps by status, and the pictures that lie beside it;
 *  and what `collimate evaluate RUN --maps RUN/evaluation` left there, figures and maps. What is not there (no aligned
 *  volume, no metrics, no evaluation) is left out.
 *  draw    the pictures, too; false: the run has drawn them
 *  Errors  CLM_E_NOTFOUND the run has not ended; CLM_E_WRITE; as the readers */
CLM_MUST bool clm_report_write(const clm_run *run, bool draw, clm_err *err);

/** In the run folder: where an evaluation is looked for. */
#define CLM_RUN_EVALUATION "evaluation"

/** One of CLM_RUN_PICTURES into folder/report/, if the run has what it shows: slice_z.png, slice_y.png, slice_x.png
 *  (app/slices.h), of the middle plane of z jacobian.png and local_ncc.png; of the whole field, which is read once,
 *  field.html, the page's histograms of displacements and Jacobians.
 *  Memory  keep, temp: clm_run_task_bytes of the stage */
CLM_MUST bool clm_report_draw(const clm_run *run, const clm_work *w, int64_t picture, clm_err *err);
/** The maps of an evaluation, where there are any: local_ncc_before.png, local_ncc.png, jacobian.png and
 *  displacement.png. */
CLM_MUST bool clm_report_draw_evaluation(const clm_run *run, const clm_work *w, clm_err *err);

#endif
