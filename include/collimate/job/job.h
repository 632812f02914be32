/* One unit of work, disk to disk. */
#ifndef CLM_JOB_JOB_H
#define CLM_JOB_JOB_H

#include "collimate/base/work.h"
#include "collimate/job/align_run.h"

/** Run a task: fills out->figure and out->peak_bytes, also on failure. A task whose failure is data leaves a
 *  marker where its result would stand, so that later stages tell "failed" from "lost". */
CLM_MUST bool clm_job_run(const clm_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                          clm_err *err);

/** A task's process has died and will not be tried again: leave its marker, as clm_job_run does for a failure
 *  that is data. When that fails, *why says so instead. */
void clm_job_lost(const clm_run *run, const clm_task *task, clm_err *why);

/** How the figures of a stage's tasks are told in one number. */
typedef enum clm_figure_how {
    CLM_FIGURE_SUM,
    CLM_FIGURE_MEAN,
    CLM_FIGURE_LEAST,
    CLM_FIGURE_MOST
} clm_figure_how;
typedef struct clm_figure {
    const char *name; /* "inliers"; NULL: unused */
    clm_figure_how how;
} clm_figure;
clm_figure clm_job_figure(clm_job_kind kind, int i);
/** The last figure of every outcome: the most memory (bytes) its process has held so far. */
#define CLM_FIGURE_RSS (CLM_FIGURE_COUNT - 1)

#endif
