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

static uint64_t item_at(const unsigned char *items, size_t size, int64_t i) {
    uint64_t v8;
    uint32_t v4;
    uint16_t v2;
    const unsigned char *p = items + (size_t)i * size;
    switch (size) {
    case 8: memcpy(&v8, p, 8); return v8;
    case 4: memcpy(&v4, p, 4); return v4;
    case 2: memcpy(&v2, p, 2); return v2;
    default: return *p;
    }
}

/* the most frequent of n; cells are small, mostly of one value */
static int64_t mode_of(const uint64_t *v, int64_t n) {
    int64_t best = 0, most = 0;
    for (int64_t i = 0; i < n && most * 2 <= n; i++) {
        int64_t count = 0;
        for (int64_t k = 0; k < n; k++) count += v[k] == v[i];
        if (count > most || (count == most && v[i] < v[best])) best = i, most = count;
    }
    return best;
}

bool clm_reduce_items(const clm_work *w, const void *items, size_t size, const int64_t shape[3],
                      const int64_t factor[3], void **out, clm_err *err) {
    int64_t n[3], cell = factor[0] * factor[1] * factor[2];
    if (size != 1 && size != 2 && size != 4 && size != 8)
        return clm_fail(err, CLM_E_ARG, "items of %zu bytes", size);
    for (int d = 0; d < 3; d++) {
        if (factor[d] < 1 || factor[d] > shape[d])
            return clm_fail(err, CLM_E_ARG, "cells of %lld voxels along axis %d of %lld",
                            (long long)factor[d], d, (long long)shape[d]);
        n[d] = shape[d] / factor[d];
    }
    unsigned char *to = clm_arena_take(w->keep, n[0] * n[1] * n[2], size, err);
    clm_mark m = clm_arena_mark(w->temp);
    uint64_t *v = to ? clm_take(w->temp, uint64_t, cell, err) : NULL;
    int64_t *from = v ? clm_take(w->temp, int64_t, cell, err) : NULL;
    if (!from) return false;
    *out = to;
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++, to += size) {
                int64_t k = 0;
                for (int64_t a = z * factor[0]; a < (z + 1) * factor[0]; a++)
                    for (int64_t b = y * factor[1]; b < (y + 1) * factor[1]; b++)
                        for (int64_t c = x * factor[2]; c < (x + 1) * factor[2]; c++, k++) {
                            from[k] = (a * shape[1] + b) * shape[2] + c;
                            v[k] = item_at(items, size, from[k]);
                        }
                memcpy(to, (const unsigned char *)items + (size_t)from[mode_of(v, cell)] * size, size);
            }
    clm_arena_rewind(w->temp, m);
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
