/* Which voxels of an image take part in its alignment. All others become NaN, which every stage understands
 * as "not to be compared". Masks never touch what is written: the aligned volume is resampled whole. */
#ifndef CLM_JOB_MASK_H
#define CLM_JOB_MASK_H

#include "collimate/base/work.h"
#include "collimate/job/config.h"
#include "collimate/store/image.h"

typedef struct clm_mask clm_mask;

typedef struct clm_mask_params {
    const char *path;           /* an array or pyramid, above zero inside, laid over the image by its own
                                   spacing and origin, or by the image's when it has none and the same shape;
                                   beyond it is outside. "": none                                      */
    bool goes_on;               /* beyond the array is what its border says                            */
    const clm_list *background; /* voxels of exactly these values are outside                          */
} clm_mask_params;

/** *out NULL when nothing is asked for. Reads metadata only.
 *  Errors  as clm_image_open */
CLM_MUST bool clm_mask_open(const clm_image *image, const clm_mask_params *p, clm_cache *cache,
                            clm_mask **out, clm_err *err);
void clm_mask_close(clm_mask *m); /* NULL is fine */
/** clm_image_stamp of the mask's array, where it has one; m NULL is fine. */
CLM_MUST bool clm_mask_stamp(const clm_mask *m, uint64_t *stamp, clm_err *err);

/** Before the voxels of v (packed, placed, data not looked at) are read: which of them the mask's array has
 *  inside. *in is NULL (all), then made in w->temp where not all are, 1 inside; or what another mask has left, then
 *  narrowed. *count how many. */
CLM_MUST bool clm_mask_look(const clm_work *w, const clm_mask *m, const clm_vol *v, uint8_t **in,
                            int64_t *count, clm_err *err);
/** After: NaN to what is not in `in` (NULL: all is) or has a background value. */
void clm_mask_apply(const clm_mask *m, const uint8_t *in, clm_vol *v);

#endif
