/* A run, opened: configuration, images, geometry of every stage, and the files between the stages.
 * All ranks open the same run; tasks only read it. */
#ifndef CLM_JOB_ALIGN_RUN_H
#define CLM_JOB_ALIGN_RUN_H

#include "collimate/align/lattice.h"
#include "collimate/base/text.h"
#include "collimate/job/config.h"
#include "collimate/job/output.h"
#include "collimate/job/view.h"
#include "collimate/plan/stitch.h"
#include "collimate/store/array.h"

#define CLM_PASS_MAX CLM_LIST_MAX
#define CLM_STAGE_MAX 64
#define CLM_RUN_PICTURES \
    6 /* of the report: slices across z, y and x, Jacobian, local correlation, histograms */
#define CLM_RUN_PICTURE_VOX 1024 /* a side of what one shows, at most                                  */

/* in the run folder */
#define CLM_RUN_ALIGNED "aligned.ome.zarr"
#define CLM_RUN_FAILED "spill/failed"
#define CLM_RUN_FIXED_FOREGROUND "fixed_foreground.ome.zarr"
#define CLM_RUN_MOVING_FOREGROUND "moving_foreground.ome.zarr"

typedef enum clm_job_kind {
    CLM_JOB_COARSE,     /* a block of the coarse images, where no stored level is coarse enough   */
    CLM_JOB_FOREGROUND, /* the foreground of one of the images, where it is asked for           */
    CLM_JOB_SPOTS,      /* blobs, their patches and the coarse volume, per block of both images   */
    CLM_JOB_GLOBAL,     /* one task: matches, RANSAC, intensity refinement -> affine.json         */
    CLM_JOB_LOCAL,      /* matches per block under the global affine                              */
    CLM_JOB_LATTICE,    /* one task: the block affines solved together                            */
    CLM_JOB_CHECK,      /* a block's scores under the global affine and under the local ones      */
    CLM_JOB_SETTLE,     /* one task: blocks that scored lower give up theirs                      */
    CLM_JOB_DEFORM,     /* a block's displacement field at one pass                               */
    CLM_JOB_STITCH,     /* one chunk of a pass's field, by the collector's word                   */
    CLM_JOB_STIFFNESS,  /* one task: how stiff the next pass is to be                             */
    CLM_JOB_MEASURE,    /* metrics of transforms on one block, as they come about (measure.h)     */
    CLM_JOB_APPLY,      /* one chunk of the aligned volume                                        */
    CLM_JOB_PYRAMID,    /* one chunk of a coarser level of it                                     */
    CLM_JOB_FINISH,     /* one task: the metadata of transform and aligned volume                 */
    CLM_JOB_PICTURE,    /* one picture of the report (run->draw)                                  */
    CLM_JOB_METRICS,    /* one task: metrics summed                                               */
    CLM_JOB_KINDS
} clm_job_kind;

/** One coarse-to-fine pass of the deformable stage. */
typedef struct clm_pass {
    clm_view fixed, moving;
    clm_lattice_plan lattice;
    clm_grid chunks;     /* of the field's nodes */
    clm_array *field;    /* [3][Z][Y][X] float32 micrometres; open from the pass's stitch on */
    clm_array *coverage; /* [Z][Y][X] float32, last pass only, else NULL */
} clm_pass;

typedef struct clm_run {
    const clm_config *config; /* not owned */
    char folder[CLM_PATH_MAX];
    clm_cache *cache;
    clm_image *fixed, *moving;
    clm_mask *fixed_mask, *moving_mask; /* as told; NULL: none */
    clm_output foreground[2];           /* of fixed and moving, as found; no levels when not asked for */
    int64_t foreground_factor[2][3];    /* reduction of the coarse views that it is looked for at      */
    clm_mask *foreground_mask[2];       /* open from the stage after it */

    clm_view coarse_fixed, coarse_moving; /* what the global stage works on */
    bool makes_coarse;                    /* they are made first, by a stage of their own */
    clm_grid coarse_blocks[2];
    clm_view coarse_source[2]; /* what they are made of */
    clm_array *coarse[2];      /* float32, among the spills */
    clm_image *coarse_image[2];
    clm_grid spots_fixed, spots_moving;
    clm_view local_fixed, local_moving;
    clm_grid local_blocks;
    int n_passes;
    clm_pass pass[CLM_PASS_MAX];
    clm_view measure_fixed, measure_moving;
    clm_grid measure_blocks;
    clm_output aligned; /* no levels when not wanted */

    clm_plan plan;
    clm_stage stage[CLM_STAGE_MAX];
    clm_job_kind kind[CLM_STAGE_MAX];
    int part[CLM_STAGE_MAX]; /* pass or pyramid level of a stage */

    /* into the run's report: set by who opens the run to work on it */
    bool (*draw)(const struct clm_run *run, const clm_work *w, int64_t picture, clm_err *err);

    /* known once their stages have ended (clm_run_stage_begin) */
    clm_affine affine;
    bool has_affine;
    clm_lattice lattice[2]; /* local affines as solved, and as settled; n 0 without local stage */
    clm_arena *store;       /* holds them */
} clm_run;

/** Open the images and lay the plan. Reads metadata only.
 *  Errors   CLM_E_ARG configuration; CLM_E_NOTFOUND, CLM_E_FORMAT, CLM_E_UNSUPPORTED the images */
CLM_MUST bool clm_run_open(const clm_config *config, clm_run **out, clm_err *err);
void clm_run_close(clm_run *run); /* NULL is fine */

/** Is the run folder not there, empty, or of this same plan? CLM_E_ARG no. */
CLM_MUST bool clm_run_fits(const clm_run *run, clm_err *err);
/** Rank 0, once, before any task: make the run folder with the resolved job.json and empty outputs, or accept
 *  the folder of this same plan. CLM_E_ARG for the folder of another plan; CLM_E_WRITE. */
CLM_MUST bool clm_run_prepare(clm_run *run, clm_err *err);

/** Every rank, before it runs the first task of a stage: open what earlier stages made. */
CLM_MUST bool clm_run_stage_begin(clm_run *run, int stage, clm_err *err);

/** Of a run whose foreground stage has ended, or that has none: open what it found. Again is fine. */
CLM_MUST bool clm_run_open_foreground(clm_run *run, clm_err *err);

/** "FOLDER/NAME" of a file of the run. */
CLM_MUST bool clm_run_path(const clm_run *run, char out[CLM_PATH_MAX], clm_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Where a task of a stage leaves its result for later stages. */
CLM_MUST bool clm_run_spill_path(const clm_run *run, int stage, int64_t index, char out[CLM_PATH_MAX],
                                 clm_err *err);
/** What marks a task as failed (clm_job_failed). */
CLM_MUST bool clm_run_failed_path(const clm_run *run, int stage, int64_t index, char out[CLM_PATH_MAX],
                                  clm_err *err);
/** The stage of a kind and part; -1 when the plan has none. */
int clm_run_stage_of(const clm_run *run, clm_job_kind kind, int part);

/** Arena memory (bytes) that the largest task of a stage needs: within 10 % once the affine is known; before,
 *  as if the images lay on each other with parallel axes. Spots count as many as may be. */
double clm_run_task_bytes(const clm_run *run, int stage);
/** What a thread takes: of its largest task, or memory.task_mib where that is less, and of the chunks it keeps. */
double clm_run_thread_bytes(const clm_run *run);
/** Decoded chunks that a thread keeps: memory.cache_mib, or twice as many as a block of the last pass, halo and moving
 *  margin included, meets in both images: neighbours then decode only what they have more, in whatever order a block
 *  reads. */
double clm_run_cache_bytes(const clm_run *run);

#endif
