/* One unit of work and what became of it. A task is a pure function of (run, task): it reads boxes,
 * computes, publishes one file. Run twice it publishes the same bytes under the same name. */
#ifndef CLM_PLAN_TASK_H
#define CLM_PLAN_TASK_H

#include "collimate/base/err.h"

#include <stdint.h>

typedef struct clm_task {
    int32_t stage;   /* index into the plan's stages                             */
    int32_t attempt; /* 0 the first time                                         */
    int64_t index;   /* 0 .. n-1 within the stage; the task's place in its grid  */
} clm_task;

#define CLM_FIGURE_COUNT 24

/** What a task reports besides the file it published. Small, pointer-free, journaled whole. */
typedef struct clm_outcome {
    clm_task task;
    clm_err err;                     /* code CLM_OK when done; else why not                    */
    double seconds;                  /* wall time of the task                                  */
    double peak_bytes;               /* most arena memory in use                               */
    int32_t rank;                    /* who ran it                                             */
    double figure[CLM_FIGURE_COUNT]; /* stage-specific (spots, inliers, metric, ...), NaN none */
} clm_outcome;

/** When may a task of a stage start? AFTER_ALL: when every task of all earlier stages has ended, but for
 *  stages that stand aside. GATHERS: when of those, too.
 *  FOLLOWS: when those tasks of the stage just before that its pieces need have ended (a chunk
 *  is stitched as soon as all blocks that meet it are there), without waiting for the rest. */
typedef enum clm_stage_start { CLM_STAGE_AFTER_ALL, CLM_STAGE_FOLLOWS, CLM_STAGE_GATHERS } clm_stage_start;

/** Grid boxes, half-open, z y x, of task indices laid out [shape[0]][shape[1]][shape[2]]. */
typedef struct clm_span {
    int64_t lo[3], hi[3];
} clm_span;

typedef struct clm_stage {
    char name[24]; /* "spots", "global", "deform.1", ...                              */
    int64_t n;     /* tasks                                                           */
    clm_stage_start start;
    bool fatal;       /* a task that fails for good ends the run; else it is data        */
    bool aside;       /* done where nothing else is to do; what comes later begins without it; not FOLLOWS */
    int64_t shape[3]; /* the stage's grid; product n                                     */
    /* FOLLOWS only: which tasks of the previous stage a task needs, and the converse; pure arithmetic */
    clm_span (*needs)(const void *ctx, int stage, const int64_t at[3]);
    clm_span (*feeds)(const void *ctx, int stage, const int64_t at[3]); /* of a task of stage-1 */
} clm_stage;

/** The order of work of a run. `ctx` goes to needs/feeds. */
typedef struct clm_plan {
    clm_stage *stage;
    int n_stages;
    const void *ctx;
    uint64_t hash; /* of configuration and inputs: a journal of another plan is refused */
} clm_plan;

#endif
