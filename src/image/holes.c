#include "collimate/image/holes.h"

#include <math.h>

bool clm_holes_any(const clm_vol *v, bool *finite) {
    bool hole = false, value = false;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) {
            const float *row = clm_vol_row(v, z, y);
            for (int64_t x = 0; x < v->shape[2] && !(hole && (value || !finite)); x++) {
                hole = hole || isnan(row[x]);
                value = value || !isnan(row[x]);
            }
        }
    if (finite) *finite = value;
    return hole;
}

/* the gaps of one line of n values, `stride` apart */
static void bridge(float *p, int64_t stride, int64_t n) {
    int64_t last = -1; /* the last value seen */
    for (int64_t i = 0; i <= n; i++) {
        if (i < n && isnan(p[i * stride])) continue;
        if (last < 0 && i == n) return; /* no value at all */
        for (int64_t k = last + 1; k < i; k++) {
            float left = last < 0 ? p[i * stride] : p[last * stride];
            float right = i == n ? left : p[i * stride];
            p[k * stride] = left + (right - left) * (float)(k - last) / (float)(i - last);
        }
        last = i;
    }
}

void clm_holes_fill(clm_vol *v, uint8_t *hole) {
    int64_t at = 0;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) {
            float *row = clm_vol_row(v, z, y);
            for (int64_t x = 0; x < v->shape[2]; x++) hole[at++] = (uint8_t)(isnan(row[x]) != 0);
        }
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) bridge(clm_vol_row(v, z, y), 1, v->shape[2]);
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t x = 0; x < v->shape[2]; x++) bridge(clm_vol_row(v, z, 0) + x, v->stride[1], v->shape[1]);
    for (int64_t y = 0; y < v->shape[1]; y++)
        for (int64_t x = 0; x < v->shape[2]; x++) {
            float *line = clm_vol_row(v, 0, y) + x;
            bridge(line, v->stride[0], v->shape[0]);
            for (int64_t z = 0; z < v->shape[0]; z++)
                if (isnan(line[z * v->stride[0]])) line[z * v->stride[0]] = 0.0f;
        }
}
