/* A page about a finished run: OUT/report/index.html with its pictures beside it; opens without network. */
#ifndef CLM_APP_REPORT_H
#define CLM_APP_REPORT_H

#include "collimate/job/align_run.h"

/** Write folder/report/: job, metrics before and after, stages, failed blocks with their reasons, histograms of
 *  the blocks' residuals, of displacements and Jacobians, slices before and after, block maps by status; and what
 *  `collimate evaluate RUN --maps RUN/evaluation` left there, figures and maps. What is not there (no aligned volume,
 *  no metrics, no evaluation) is left out. The whole field is read once.
 *  Errors  CLM_E_NOTFOUND the run has not ended; CLM_E_WRITE; as the readers */
CLM_MUST bool clm_report_write(const clm_run *run, clm_err *err);

/** In the run folder: where an evaluation is looked for. */
#define CLM_RUN_EVALUATION "evaluation"

/** Pictures into folder: report of slices (app/slices.h), and of the middle plane of z jacobian.png and local_ncc.png,
 *  and with an evaluation's maps local_ncc_before.png and displacement.png.
 *  out->... true for those written. */
typedef struct clm_report_pictures {
    bool slices, jacobian, local_ncc, local_ncc_before, displacement;
} clm_report_pictures;
CLM_MUST bool clm_report_draw(const clm_run *run, const char *folder, clm_report_pictures *out, clm_err *err);

#endif
