#include "collimate/image/reduce.h"
#include "collimate/base/simd.h"

#include <string.h>

CLM_CLONES static void add_row(const float *restrict in, int64_t n, float *restrict sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += in[i];
}

/** The common factor, in a form that compiles to shuffles. */
CLM_CLONES static void pairs(const float *restrict sum, int64_t n, float scale, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = scale * (sum[2 * i] + sum[2 * i + 1]);
}

static void runs(const float *restrict sum, int64_t n, int64_t f, float scale, float *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        float s = 0;
        for (int64_t k = 0; k < f; k++) s += sum[i * f + k];
        out[i] = scale * s;
    }
}

bool clm_reduce(const clm_work *w, const clm_vol *v, const int64_t factor[3], clm_vol *out, clm_err *err) {
    int64_t shape[3];
    double spacing[3], origin[3];
    for (int d = 0; d < 3; d++) {
        if (factor[d] < 1 || factor[d] > v->shape[d])
            return clm_fail(err, CLM_E_ARG, "cells of %lld voxels along axis %d of %lld",
                            (long long)factor[d], d, (long long)v->shape[d]);
        shape[d] = v->shape[d] / factor[d];
        spacing[d] = v->spacing[d] * (double)factor[d];
        origin[d] = v->origin[d] + 0.5 * (double)(factor[d] - 1) * v->spacing[d];
    }
    clm_vol small;
    if (!clm_vol_new(w->keep, shape, spacing, origin, &small, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    int64_t used = shape[2] * factor[2];
    float *sum = clm_take(w->temp, float, used, err);
    if (!sum) return false;
    const float scale = (float)(1.0 / (double)(factor[0] * factor[1] * factor[2]));
    for (int64_t z = 0; z < shape[0]; z++) {
        for (int64_t y = 0; y < shape[1]; y++) {
            memset(sum, 0, (size_t)used * sizeof *sum);
            for (int64_t k = 0; k < factor[0]; k++)
                for (int64_t j = 0; j < factor[1]; j++)
                    add_row(clm_vol_row(v, z * factor[0] + k, y * factor[1] + j), used, sum);
            float *row = clm_vol_row(&small, z, y);
            if (factor[2] == 2)
                pairs(sum, shape[2], scale, row);
            else
                runs(sum, shape[2], factor[2], scale, row);
        }
    }
    clm_arena_rewind(w->temp, m);
    *out = small;
    return true;
}

bool clm_reduce_factor(const clm_vol *v, int level, int64_t least, int64_t factor[3]) {
    for (int d = 0; d < 3; d++) factor[d] = 1;
    for (int l = 0; l < level; l++) {
        double finest = 0;
        for (int d = 0; d < 3; d++) {
            double now = v->spacing[d] * (double)factor[d];
            if (v->shape[d] / (2 * factor[d]) >= least && (finest == 0 || now < finest)) finest = now;
        }
        if (finest == 0) return false;
        for (int d = 0; d < 3; d++) {
            double now = v->spacing[d] * (double)factor[d];
            if (v->shape[d] / (2 * factor[d]) >= least && now < 1.4142 * finest) factor[d] *= 2;
        }
    }
    return true;
}
