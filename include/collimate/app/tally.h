/* What a run has to tell while it goes and when it has ended: figures a stage, memory a rank, blocks.jsonl. */
#ifndef CLM_APP_TALLY_H
#define CLM_APP_TALLY_H

#include "collimate/job/job.h"

typedef struct clm_tally clm_tally;

/** run may be NULL: then stages are told by name and count alone. */
CLM_MUST bool clm_tally_open(const clm_run *run, clm_tally **out, clm_err *err);
void clm_tally_close(clm_tally *t); /* NULL is fine */
void clm_tally_add(clm_tally *t, const clm_outcome *o);
/** blocks.jsonl in the run folder, from its journal: a line a block task, in order of stage and number. Memory:
 *  some 100 MiB, however many there are. */
CLM_MUST bool clm_tally_write(const clm_run *run, clm_err *err);
/** The table of figures for people, and the metrics from metrics.json, appended to b. */
CLM_MUST bool clm_tally_print(const clm_tally *t, clm_buf *b, clm_err *err);

#endif
