/* Where levels lie in the world, as the metadata dialects say it. For image*.c and ome.c. */
#ifndef CLM_STORE_SCALE_H
#define CLM_STORE_SCALE_H

#include "collimate/store/image.h"

typedef struct clm_scale {
    char path[128];
    bool known;                   /* spacing and origin were found */
    double spacing[3], origin[3]; /* micrometres, z y x            */
} clm_scale;

typedef struct clm_scales {
    int n;
    clm_scale level[CLM_LEVELS_MAX];
    char dialect[40], unit[24];
    char no_length[24];          /* a unit like "pixel", spacings are in it; else ""       */
    int ndim;                    /* of the arrays, when axes are named; else 0: the last three are z y x */
    int axis[3];                 /* array axes of z y x              */
    int channel_axis, time_axis; /* -1: none                        */
} clm_scales;

/** Micrometres of one unit: "um", "micrometer", "nm", ... false: not a length. */
bool clm_unit_um(const char *unit, double *um);
/** OME-Zarr multiscales of a group's attributes; out->n 0: there are none. */
CLM_MUST bool clm_scales_of_ome(const clm_json *attrs, clm_scales *out, clm_err *err);
/** The N5 dialects. group NULL: attributes of the parent unknown. Fills out->level[k] for a dataset. */
CLM_MUST bool clm_scale_of_n5(const clm_json *group, const clm_json *dataset, const char *name,
                              clm_scales *out, int k, clm_err *err);

/** Levels of a pyramid inside a file, "scan.h5/t00000/s00" or "scan.ims": only their paths. out->n 0: it is
 *  no pyramid (but perhaps an array). */
CLM_MUST bool clm_scales_of_pyramid_file(const char *path, int64_t time, int64_t channel, clm_scales *out,
                                         clm_err *err);
CLM_MUST bool clm_hdf5_pyramid(const char *file, const char *inside, int64_t time, int64_t channel,
                               clm_scales *out, clm_err *err);

#endif
