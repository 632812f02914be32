/* One unit of work, disk to disk. */
#ifndef CLM_JOB_JOB_H
#define CLM_JOB_JOB_H

#include "collimate/base/work.h"
#include "collimate/job/align_run.h"

/** Run a task: fills out->figure and out->peak_bytes, also on failure. */
CLM_MUST bool clm_job_run(const clm_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                          clm_err *err);

/** A task has ended for good, and failed: mark it, so that later stages tell "failed" from "lost". Only who decides
 *  which of several tries counts (rank 0) may call this, in each launch for every failure of the journal: the task
 *  itself, or a late second try of it, can neither make nor undo the mark. */
CLM_MUST bool clm_job_failed(const clm_run *run, const clm_task *task, const clm_err *why, clm_err *err);

/** Does a later stage still read what this task left once every FOLLOWS task that needs it is done (on_spent)?
 *  True for the blocks that tell how stiff the next pass is to be; they go with the run's last word. */
bool clm_job_spill_stays(const clm_run *run, int stage, int64_t index);

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
