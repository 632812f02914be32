#include "collimate/core/vol.h"
#include "collimate/base/heap.h"

#include <string.h>

bool clm_vol_new(clm_arena *a, const int64_t shape[3], const double spacing[3], const double origin[3],
                 clm_vol *out, clm_err *err) {
    int64_t plane, count;
    if (!clm_mul(shape[1], shape[2], &plane, err) || !clm_mul(plane, shape[0], &count, err)) return false;
    clm_vol v = {.stride = {plane, shape[2]}};
    for (int d = 0; d < 3; d++) {
        v.shape[d] = shape[d];
        v.spacing[d] = spacing[d];
        v.origin[d] = origin[d];
    }
    v.data = clm_take(a, float, count, err);
    if (!v.data) return false;
    *out = v;
    return true;
}

clm_vol clm_vol_crop(const clm_vol *v, clm_box box) {
    clm_vol c = *v;
    c.data = clm_vol_row(v, box.lo[0], box.lo[1]) + box.lo[2];
    for (int d = 0; d < 3; d++) {
        c.shape[d] = box.hi[d] - box.lo[d];
        c.origin[d] = v->origin[d] + (double)box.lo[d] * v->spacing[d];
    }
    return c;
}

bool clm_vol_copy(clm_arena *a, const clm_vol *v, clm_vol *out, clm_err *err) {
    clm_vol c;
    if (!clm_vol_new(a, v->shape, v->spacing, v->origin, &c, err)) return false;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++)
            memcpy(clm_vol_row(&c, z, y), clm_vol_row(v, z, y), (size_t)v->shape[2] * sizeof(float));
    *out = c;
    return true;
}
