/* A 3-D image with its pyramid, seen one way: levels fine to coarse, axes z y x, spacing and origin in
 * micrometres (origin: centre of voxel (0,0,0)), whatever metadata dialect said so. */
#ifndef CLM_STORE_IMAGE_H
#define CLM_STORE_IMAGE_H

#include "collimate/core/box.h"
#include "collimate/core/vol.h"
#include "collimate/store/array.h"

#define CLM_LEVELS_MAX 16

typedef struct clm_image clm_image;

typedef struct clm_image_options {
    const char *option;  /* what messages call the spacing option, e.g. "--fixed-spacing"; NULL: that  */
    const char *dataset; /* NULL, or a path below the uri                                              */
    int64_t channel;     /* -1: there must be one; else which                                          */
    int64_t time;        /* -1: there must be one; else which                                          */
    bool all;            /* -1 of channel or time: any number; clm_image_read_part chooses             */
    bool has_spacing;    /* spacing_um is the finest level's, instead of what metadata say             */
    double spacing_um[3];
    bool has_origin;
    double origin_um[3];
    bool ignore_offsets; /* every level begins at the finest level's origin, as bigstream takes it     */
} clm_image_options;
#define CLM_IMAGE_DEFAULTS ((clm_image_options){.channel = -1, .time = -1})

typedef struct clm_image_level {
    char path[128]; /* below the image's folder; "" when the uri is the array itself */
    int64_t shape[3];
    double spacing_um[3];
    double origin_um[3];
} clm_image_level;

typedef struct clm_image_frame { /* the grid alone, e.g. one side of a transform; shape 0: not known */
    int64_t shape[3];
    double spacing_um[3], origin_um[3];
} clm_image_frame;

typedef struct clm_image_info {
    int n_levels;
    clm_image_level level[CLM_LEVELS_MAX];
    clm_dtype dtype;
    int64_t channels, times;
    bool scaled;      /* values are a linear function of what is stored                    */
    char dialect[40]; /* where spacing came from: "OME-Zarr 0.5", "n5-viewer", "given", ... */
    char unit[24];    /* as found, before conversion                                       */
} clm_image_info;

/** uri: "x.n5/group" or "x.n5/group/s0", "x.ome.zarr", any array with spacing metadata or a given spacing.
 *  options NULL: CLM_IMAGE_DEFAULTS.
 *  Errors CLM_E_NOTFOUND; CLM_E_FORMAT metadata are wrong; CLM_E_UNSUPPORTED not three-dimensional or not
 *         of a real type; CLM_E_ARG no spacing known, or a channel must be chosen: the text says how. */
CLM_MUST bool clm_image_open(const char *uri, const clm_image_options *options, clm_image **out,
                             clm_err *err);
void clm_image_close(clm_image *im);                                 /* NULL is fine */
const clm_image_info *clm_image_info_of(const clm_image *im);        /* borrowed */
const clm_array *clm_image_array_of(const clm_image *im, int level); /* borrowed */
void clm_image_use_cache(clm_image *im, clm_cache *c);               /* before the first read */
/** Add to *stamp what tells the image from another made in its place: size and time of change of each level's metadata
 *  document, or of the file that holds it. Chunks do not count: a torn one may be mended before a run is resumed.
 *  Errors CLM_E_NOTFOUND, CLM_E_IO */
CLM_MUST bool clm_image_stamp(const clm_image *im, uint64_t *stamp, clm_err *err);

/** Voxels of box, which must lie within the level, as float32. dst: shape as box, data and strides set;
 *  its spacing and origin are set to the box's place in the world. Thread-safe.
 *  Errors as clm_array_read. */
CLM_MUST bool clm_image_read(const clm_image *im, int level, clm_box box, clm_vol *dst, clm_err *err);
/** The same in the image's own type, packed z y x, native byte order. */
CLM_MUST bool clm_image_read_raw(const clm_image *im, int level, clm_box box, void *dst, clm_err *err);
/** The same of one channel and time point of an image opened with `all`; -1: what was chosen at opening. */
CLM_MUST bool clm_image_read_part(const clm_image *im, int level, int64_t channel, int64_t time, clm_box box,
                                  clm_vol *dst, clm_err *err);
CLM_MUST bool clm_image_read_part_raw(const clm_image *im, int level, int64_t channel, int64_t time,
                                      clm_box box, void *dst, clm_err *err);

#endif
