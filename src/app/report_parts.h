/* Parts of a report that its page and its tasks share. */
#ifndef CLM_APP_REPORT_PARTS_H
#define CLM_APP_REPORT_PARTS_H

#include "collimate/job/align_run.h"

#define CLM_REPORT_BARS 40 /* of a histogram */

/** A histogram from lo to hi as a figure; nothing where all bars are 0. */
CLM_MUST bool clm_report_put_bars(clm_buf *b, const double bar[CLM_REPORT_BARS], double lo, double hi,
                                  const char *title, clm_err *err);

/** What the page takes in, where it is: the histograms that clm_report_draw_field left. */
CLM_MUST bool clm_report_field_path(const clm_run *run, char out[CLM_PATH_MAX], clm_err *err);
/** Lengths and Jacobians of the whole field, as evaluate has them, if the run has one. */
CLM_MUST bool clm_report_draw_field(const clm_run *run, const clm_work *w, clm_err *err);

#endif
