/* `collimate convert` as a plan of tasks: copy each chunk of the finest level, coarsen, make it an image. */
#ifndef CLM_JOB_CONVERT_H
#define CLM_JOB_CONVERT_H

#include "collimate/base/work.h"
#include "collimate/job/output.h"
#include "collimate/store/image.h"
#include "collimate/store/volume.h"

typedef struct clm_convert_spec {
    char in[CLM_PATH_MAX], out[CLM_PATH_MAX];
    char format[16]; /* "ome-zarr-0.5", "ome-zarr-0.4", "n5", "nifti", "nrrd"; "": by the name of out */
    bool bigstream;  /* N5: pixelResolution spelt as bigstream reads it                */
    bool labels;     /* coarser levels by the most frequent value                      */
    bool pyramid;
    int64_t level;         /* of the input's pyramid                                         */
    int64_t channel, time; /* -1: all there are                                              */
    bool has_region;
    clm_box region;               /* voxels of that level                                           */
    int64_t chunk[3];             /* 0: 128 cubed, less where that is more than the image           */
    int64_t shard[3];             /* 0: none                                                        */
    char codec[12];               /* "": the format's usual                                         */
    int64_t codec_level;          /* 0: the codec's usual                                           */
    bool has_spacing, has_origin; /* override the metadata                                    */
    double spacing_um[3], origin_um[3];
    int64_t threads; /* 0: the rank's share of the cores */
} clm_convert_spec;
#define CLM_CONVERT_DEFAULTS ((clm_convert_spec){.channel = -1, .time = -1, .pyramid = true})

/** For other ranks: as JSON, appended to b, and back. */
CLM_MUST bool clm_convert_share(const clm_convert_spec *spec, clm_buf *b, clm_err *err);
CLM_MUST bool clm_convert_shared(const clm_buf *b, clm_convert_spec *out, clm_err *err);

typedef struct clm_convert {
    clm_convert_spec spec;
    clm_image *image;
    clm_cache *cache; /* NULL: chunks are read once anyway */
    int level;
    clm_box region;
    clm_dtype stored; /* of the input */
    bool is_volume;   /* one file: NIfTI, NRRD */
    clm_volume_spec volume;
    clm_grid slabs;            /* its tasks */
    clm_output output;         /* otherwise */
    char folder[CLM_PATH_MAX]; /* of the journal, beside the output; gone when all is done */
    double task_mib, cache_mib;
    clm_stage stage[CLM_PYRAMID_MAX + 1];
    clm_plan plan;
} clm_convert;

/** Where the journal of a conversion to `out` stands: beside it; gone when all is done. */
CLM_MUST bool clm_convert_folder(const char *out, char folder[CLM_PATH_MAX], clm_err *err);
/** Open the input, lay out the output; writes nothing. *out zeroed; clm_convert_close also after a failure.
 *  share: as clm_apply_open.
 *  Errors as clm_image_open; CLM_E_ARG what cannot be done */
CLM_MUST bool clm_convert_open(const clm_convert_spec *spec, int share, clm_convert *out, clm_err *err);
void clm_convert_close(clm_convert *c);
/** Is the output not there, or of a run that was begun? CLM_E_ARG no. */
CLM_MUST bool clm_convert_fits(const clm_convert *c, clm_err *err);
/** Once, before any task. CLM_E_ARG: something stands at `out` that an unfinished run did not leave there. */
CLM_MUST bool clm_convert_prepare(const clm_convert *c, clm_err *err);
/** Before tasks of any stage, on each rank. */
CLM_MUST bool clm_convert_begin(clm_convert *c, clm_err *err);
CLM_MUST bool clm_convert_task(const clm_convert *c, const clm_work *w, const clm_task *task, clm_err *err);

#endif
