/* An image pyramid on its way to disk: OME-Zarr 0.5 (or 0.4, or N5), levels s0, s1, ..., written chunk by chunk by independent
 * tasks; it is an image only once clm_output_finish has been called. */
#ifndef CLM_JOB_OUTPUT_H
#define CLM_JOB_OUTPUT_H

#include "collimate/base/text.h"
#include "collimate/base/work.h"
#include "collimate/plan/grid.h"
#include "collimate/store/image.h"

#define CLM_PYRAMID_MAX 16

typedef struct clm_output {
    char path[CLM_PATH_MAX]; /* of the group */
    clm_dtype dtype;
    bool labels;             /* a coarser voxel is the most frequent of its finer ones, not their mean */
    int64_t times, channels; /* an axis of one has no axis in the file                                 */
    clm_format format;       /* zeroed: OME-Zarr 0.5                                               */
    bool bigstream;          /* N5: pixelResolution as bigstream reads it                          */
    char codec[12];          /* "": the format's usual                                             */
    int codec_level;         /* 0: the codec's usual                                               */
    int64_t inner[3];        /* 0: none; else a chunk of the grid is a shard of such chunks        */
    clm_image_frame base;    /* the grid of s0 */
    int n_levels;            /* 0: nothing is written */
    clm_grid level[CLM_PYRAMID_MAX];
    int64_t factor[CLM_PYRAMID_MAX][3]; /* against level 0 */
    clm_array *array[CLM_PYRAMID_MAX];  /* once open       */
} clm_output;

/** Lay out the levels: each halves the axes that are not much coarser than the finest one, until none is longer
 *  than 96 voxels; pyramid false: s0 alone. path, dtype, labels, times and channels are the caller's to set. */
void clm_output_lay(clm_output *out, const clm_image_frame *base, int64_t chunk_vox, bool pyramid);
/** The same with chunks (or shards) that are no cubes. */
void clm_output_lay_chunks(clm_output *out, const clm_image_frame *base, const int64_t chunk[3],
                           bool pyramid);
/** Tasks of a level: chunks x channels x time points, laid out in three dimensions. */
void clm_output_tasks(const clm_output *out, int level, int64_t shape[3]);
/** What a task of a level writes: which chunk of the grid, of which channel and time point. */
void clm_output_task(const clm_output *out, int level, int64_t task, int64_t *chunk, int64_t *channel,
                     int64_t *time);

/** The arrays' metadata, once, before any rank opens them. */
CLM_MUST bool clm_output_create(const clm_output *out, clm_err *err);
/** Open for writing and reading; again is fine. */
CLM_MUST bool clm_output_open(clm_output *out, clm_err *err);
void clm_output_close(clm_output *out);
/** The chunk of a task, clipped, packed, in the output's type. */
CLM_MUST bool clm_output_put(const clm_output *out, int level, int64_t task, const void *voxels,
                             clm_err *err);
/** Voxels of a box of a level, packed, in the output's type. */
typedef bool (*clm_output_source)(void *ctx, clm_box box, void *voxels, clm_err *err);
/** The same, asked for as they are needed: at once or, of a shard, inner chunk by inner chunk. */
CLM_MUST bool clm_output_put_from(const clm_output *out, int level, int64_t task, clm_output_source source,
                                  void *ctx, clm_err *err);
/** Most voxels that a source is asked for at once. */
double clm_output_piece_voxels(const clm_output *out);
/** A task of level >= 1: made from the level before, one of its chunks after the other.
 *  Memory   keep: a finer chunk in the output's type and, for images, as float32, and what it becomes */
CLM_MUST bool clm_output_coarsen(const clm_output *out, const clm_work *w, int level, int64_t task,
                                 clm_err *err);
/** The metadata that make it an image. */
CLM_MUST bool clm_output_finish(const clm_output *out, const char *name, const clm_json *attributes,
                                clm_err *err);

#endif
