/* A run of the apply command, opened: what is resampled through what, onto which grid, and the plan of tasks: one
 * a chunk of the output. All ranks open the same run from the same JSON. */
#ifndef CLM_JOB_APPLY_RUN_H
#define CLM_JOB_APPLY_RUN_H

#include "collimate/base/json.h"
#include "collimate/job/output.h"
#include "collimate/job/resample.h"
#include "collimate/plan/task.h"

#define CLM_APPLY_TRANSFORMS_MAX 16

/** What the user asked for. Borrowed texts. An absent list has n 0. */
typedef struct clm_apply_spec {
    const char *transforms[CLM_APPLY_TRANSFORMS_MAX]; /* a point goes through the first one first */
    int n_transforms;
    const char *input, *output;
    const char *like; /* NULL, or an image whose grid the output takes */
    int64_t like_level;
    const char *interpolation; /* "linear", "cubic", "nearest"                                        */
    bool labels;               /* nearest, coarser levels by mode                                     */
    bool pyramid;
    int64_t level;         /* of the input; -1: the coarsest that loses nothing (labels: 0)           */
    int64_t channel, time; /* -1: all                                                                 */
    double outside;        /* value where T(x) leaves the input                                       */
    bool has_spacing, has_origin, has_shape, has_input_spacing;
    double spacing_um[3], origin_um[3]; /* of the output; what is not given is as in the fixed grid   */
    int64_t shape[3];
    double input_spacing_um[3]; /* instead of the input's metadata                                    */
    int64_t chunk_vox;
    int64_t shard_vox; /* 0: none; else a multiple of chunk_vox: one file a shard */
    int64_t threads;   /* 0: this rank's share of the cores */
    double task_mib, cache_mib;
} clm_apply_spec;
#define CLM_APPLY_DEFAULTS                       \
    ((clm_apply_spec){.interpolation = "linear", \
                      .pyramid = true,           \
                      .level = -1,               \
                      .channel = -1,             \
                      .time = -1,                \
                      .chunk_vox = 64,           \
                      .task_mib = 2048,          \
                      .cache_mib = 256})

/** As JSON and back; of_json borrows its texts from v. */
CLM_MUST bool clm_apply_spec_to_json(const clm_apply_spec *spec, clm_json **out, clm_err *err);
CLM_MUST bool clm_apply_spec_of_json(const clm_json *v, clm_apply_spec *out, clm_err *err);

typedef struct clm_apply_run {
    clm_json *json; /* owned; the spec's texts live in it */
    clm_apply_spec spec;
    char folder[CLM_PATH_MAX]; /* OUT/.collimate */
    clm_cache *cache;
    clm_image *image;
    clm_map map;
    clm_resampled what; /* but channel and time, which are the task's */
    clm_output output;
    clm_plan plan;
    clm_stage stage[CLM_PYRAMID_MAX + 1];
    double unsolved; /* figure[1] of ended tasks: rank 0's */
} clm_apply_run;

/** v is taken over, also on failure. Reads metadata only. share: so many processes do the same and have one cache's
 *  memory between them.
 *  Errors   CLM_E_ARG no output grid known, a channel that is not there; those of clm_map_open, clm_image_open */
CLM_MUST bool clm_apply_open(clm_json *v, int share, clm_apply_run **out, clm_err *err);
void clm_apply_close(clm_apply_run *run); /* NULL is fine */
/** Is the output not there, empty, or of this same plan on these same files? CLM_E_ARG no. */
CLM_MUST bool clm_apply_fits(const clm_apply_run *run, clm_err *err);
/** Rank 0: make the output's arrays, or accept those of this same plan on these same files (clm_record).
 *  CLM_E_ARG another's, or files that have changed since; CLM_E_WRITE. */
CLM_MUST bool clm_apply_prepare(clm_apply_run *run, clm_err *err);
CLM_MUST bool clm_apply_stage_begin(clm_apply_run *run, int stage, clm_err *err);
/** figure[0] of the first stage: the share of voxels inside the input; figure[1]: voxels whose position a field
 *  solved backwards does not have: they hold the outside value. */
CLM_MUST bool clm_apply_task(const clm_apply_run *run, const clm_work *w, const clm_task *task,
                             clm_outcome *out, clm_err *err);

#endif
