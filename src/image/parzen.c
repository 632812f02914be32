#include "collimate/image/parzen.h"
#include "collimate/base/simd.h"
#include "collimate/image/quantile.h"

#include <math.h>
#include <string.h>

#define TAIL 1e-3
#define RUN 256

bool clm_parzen_range(const clm_work *w, const clm_vol *v, double shift, double scale, double range[2],
                      clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_quantile q;
    if (!clm_quantile_new(w->temp, &q, err)) return false;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++) clm_quantile_add(&q, clm_vol_row(v, z, y), v->shape[2]);
    double tail = TAIL, at[2];
    for (;;) { /* nearly all voxels of one value: the few others are what there is to see */
        for (int k = 0; k < 2; k++) at[k] = (clm_quantile_at(&q, k ? 1.0 - tail : tail) - shift) * scale;
        if (at[1] > at[0] || tail == 0.0) break;
        tail = 0.0;
    }
    clm_arena_rewind(w->temp, mark);
    if (!(at[1] > at[0]))
        return clm_fail(err, CLM_E_NODATA, "%lld finite values, from %g to %g", (long long)q.n, at[0], at[1]);
    range[0] = at[0], range[1] = at[1];
    return true;
}

void clm_parzen_begin(clm_parzen *p, const double fixed[2], const double moving[2]) {
    memset(p, 0, sizeof *p);
    const double *range[2] = {fixed, moving};
    for (int k = 0; k < 2; k++) {
        p->lo[k] = (float)range[k][0];
        p->per[k] = (float)(CLM_PARZEN_BINS / (range[k][1] - range[k][0]));
    }
}

/* bin of every value, and where in it; beyond the range: the end */
CLM_CLONES static void place(const float *restrict v, int64_t n, float lo, float per, int32_t *restrict bin,
                             float *restrict part) {
    for (int64_t i = 0; i < n; i++) {
        float t = (v[i] - lo) * per;
        t = t > 0.0f ? t : 0.0f;
        t = t < (float)CLM_PARZEN_BINS ? t : (float)CLM_PARZEN_BINS;
        int32_t k = (int32_t)t;
        k = k < CLM_PARZEN_BINS ? k : CLM_PARZEN_BINS - 1;
        bin[i] = k;
        part[i] = t - (float)k;
    }
}

/* weights of the four nodes around a place in a bin */
CLM_CLONES static void weigh(const float *restrict part, int64_t n, float (*restrict w)[RUN]) {
    for (int64_t i = 0; i < n; i++) {
        float t = part[i], r = 1.0f - t, t2 = t * t, r2 = r * r;
        w[0][i] = r2 * r * (1.0f / 6.0f);
        w[1][i] = 2.0f / 3.0f - t2 * (1.0f - 0.5f * t);
        w[2][i] = 2.0f / 3.0f - r2 * (1.0f - 0.5f * r);
        w[3][i] = t2 * t * (1.0f / 6.0f);
    }
}

void clm_parzen_add(clm_parzen *p, const float *fixed, const float *moving, const float *skip, int64_t n) {
    int32_t f[RUN], m[RUN];
    float part[RUN], w[4][RUN];
    for (int64_t x = 0; x < n; x += RUN) {
        int64_t count = n - x < RUN ? n - x : RUN;
        place(fixed + x, count, p->lo[0], p->per[0], f, part);
        place(moving + x, count, p->lo[1], p->per[1], m, part);
        weigh(part, count, w);
        for (int64_t i = 0; i < count; i++) {
            if (skip[x + i] > 0.0f) continue;
            double *to = &p->joint[f[i]][m[i]];
            to[0] += (double)w[0][i], to[1] += (double)w[1][i];
            to[2] += (double)w[2][i], to[3] += (double)w[3][i];
            p->n += 1.0;
        }
    }
}

/* The slope within bin k of moving values, of fixed bin f: the sum over its four nodes of log p(f,m) / p(m)
 * times the slope of the node's weight, as a quadratic a + b t + c t^2, t in [0, 1]. */
static void tabulate(clm_parzen *p, const double column[CLM_PARZEN_SPAN]) {
    for (int f = 0; f < CLM_PARZEN_BINS; f++) {
        double l[CLM_PARZEN_SPAN];
        for (int j = 0; j < CLM_PARZEN_SPAN; j++)
            l[j] = p->joint[f][j] > 0.0 ? log(p->joint[f][j] / column[j]) : 0.0;
        for (int k = 0; k < CLM_PARZEN_BINS; k++) {
            /* an empty node between others has no logarithm, but no voxel of this bin f comes near it either */
            double a = l[k], b = l[k + 1], c = l[k + 2], d = l[k + 3], per = (double)p->per[1];
            p->slope[f][k][0] = (float)(per * 0.5 * (c - a));
            p->slope[f][k][1] = (float)(per * (a - 2.0 * b + c));
            p->slope[f][k][2] = (float)(per * 0.5 * ((d - a) + 3.0 * (b - c)));
        }
    }
}

/* mean square of the slope: of each bin at its middle, which holds as many voxels as the nodes' weights say */
static double mean_square(const clm_parzen *p) {
    double sum = 0.0, count = 0.0;
    for (int f = 0; f < CLM_PARZEN_BINS; f++)
        for (int k = 0; k < CLM_PARZEN_BINS; k++) {
            const float *s = p->slope[f][k];
            double middle = (double)s[0] + 0.5 * (double)s[1] + 0.25 * (double)s[2];
            double voxels = p->joint[f][k + 1] + p->joint[f][k + 2];
            sum += voxels * middle * middle, count += voxels;
        }
    return count > 0.0 ? sum / count : 0.0;
}

void clm_parzen_settle(clm_parzen *p) {
    double row[CLM_PARZEN_BINS] = {0}, column[CLM_PARZEN_SPAN] = {0};
    p->value = p->curvature = 0.0;
    for (int f = 0; f < CLM_PARZEN_BINS; f++)
        for (int j = 0; j < CLM_PARZEN_SPAN; j++) row[f] += p->joint[f][j], column[j] += p->joint[f][j];
    for (int f = 0; f < CLM_PARZEN_BINS; f++)
        for (int j = 0; j < CLM_PARZEN_SPAN; j++)
            if (p->joint[f][j] > 0.0)
                p->value += p->joint[f][j] / p->n * log(p->joint[f][j] * p->n / (row[f] * column[j]));
    tabulate(p, column);
    p->curvature = mean_square(p);
}

void clm_parzen_slope(const clm_parzen *p, const float *fixed, const float *moving, const float *skip,
                      int64_t n, float *slope) {
    int32_t f[RUN], m[RUN];
    float part[RUN];
    for (int64_t x = 0; x < n; x += RUN) {
        int64_t count = n - x < RUN ? n - x : RUN;
        place(fixed + x, count, p->lo[0], p->per[0], f, part);
        place(moving + x, count, p->lo[1], p->per[1], m, part);
        for (int64_t i = 0; i < count; i++) {
            const float *s = p->slope[f[i]][m[i]];
            float t = part[i];
            bool out = (skip[x + i] > 0.0f) | ((t == 0.0f) & (m[i] == 0)) | (t >= 1.0f);
            slope[x + i] = out ? 0.0f : s[0] + t * (s[1] + t * s[2]);
        }
    }
}
