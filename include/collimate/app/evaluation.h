/* The figures of an evaluation (job/evaluate.h) as a table for people. */
#ifndef CLM_APP_EVALUATION_H
#define CLM_APP_EVALUATION_H

#include "collimate/base/json.h"

/** Append the table of evaluation.json to b; sections that are not there are left out. */
CLM_MUST bool clm_evaluation_print(const clm_json *v, clm_buf *b, clm_err *err);

#endif
