#include "collimate/image/foreground.h"
#include "collimate/image/filter.h"
#include "collimate/image/holes.h"
#include "collimate/image/quantile.h"

#include <math.h>
#include <string.h>

#define SIGMA_VOX 1.5
#define BINS 256
#define FLOOR 0.01 /* of the range: the darkest voxel's distance from the logarithm's pole */
#define APART (2 / 3.14159265358979) /* of the variance that two halves of one Gaussian explain */
#define BRIGHTEST 0.999 /* quantile at which the range ends                                     */

enum { UNDER = 0, OVER = 1, OUTSIDE = 2 }; /* of the threshold; under it and reached from the border */

/** Of the voxels that are no hole; false with CLM_E_NODATA when they are all the same. */
static bool range_of(const clm_work *w, const clm_vol *v, const uint8_t *hole, double range[2],
                     int64_t *count, clm_err *err) {
    clm_mark m = clm_arena_mark(w->temp);
    clm_quantile q;
    if (!clm_quantile_new(w->temp, &q, err)) return false;
    range[0] = INFINITY, *count = 0;
    for (int64_t i = 0, n = clm_vol_count(v); i < n; i++) {
        if (hole[i]) continue;
        range[0] = fmin(range[0], (double)v->data[i]), ++*count;
        clm_quantile_add(&q, v->data + i, 1);
    }
    range[1] = clm_quantile_at(&q, BRIGHTEST);
    clm_arena_rewind(w->temp, m);
    if (range[1] > range[0]) return true;
    return clm_fail(err, CLM_E_NODATA, "no foreground: %s",
                    *count ? "the image is constant" : "no voxel has a value");
}

/** The bin that ends the darker class of a histogram; -1 when the classes are no further apart than halves of one. */
static int otsu(const int64_t bin[BINS], double *apart) {
    double n = 0, sum = 0, squares = 0, below = 0, below_sum = 0, most = -1;
    int best = -1;
    for (int k = 0; k < BINS; k++) {
        double b = (double)bin[k];
        n += b, sum += k * b, squares += k * k * b;
    }
    for (int k = 0; k < BINS - 1; k++) {
        below += (double)bin[k], below_sum += (double)k * (double)bin[k];
        if (below == 0 || below == n) continue;
        double gap = below_sum / below - (sum - below_sum) / (n - below);
        double between = below * (n - below) * gap * gap;
        if (between > most) most = between, best = k;
    }
    *apart = most / (n * squares - sum * sum);
    return *apart > APART ? best : -1;
}

/** -infinity: all of it. */
static void threshold_of(const clm_vol *v, const uint8_t *hole, const double range[2], clm_foreground *out) {
    int64_t bin[BINS] = {0};
    double floor_at = FLOOR * (range[1] - range[0]), lo = log(floor_at);
    double step = (log(range[1] - range[0] + floor_at) - lo) / BINS;
    for (int64_t i = 0, n = clm_vol_count(v); i < n; i++) {
        if (hole[i]) continue;
        double k = (log((double)v->data[i] - range[0] + floor_at) - lo) / step;
        bin[k < 0 ? 0 : k >= BINS ? BINS - 1 : (int)k]++;
    }
    int last = otsu(bin, &out->apart);
    out->threshold = last < 0 ? -INFINITY : range[0] - floor_at + exp(lo + step * (last + 1));
}

/** What lies under the threshold and is reached from the border; the rest of it is enclosed. */
static bool flood(const clm_work *w, const clm_vol *v, uint8_t *class, clm_err *err) {
    clm_mark m = clm_arena_mark(w->temp);
    int64_t n = clm_vol_count(v), waiting = 0;
    const int64_t step[3] = {v->shape[1] * v->shape[2], v->shape[2], 1};
    int64_t *stack = clm_take(w->temp, int64_t, n, err);
    if (!stack) return false;
    for (int64_t i = 0; i < n; i++) {
        bool border = false;
        for (int d = 0; d < 3; d++) {
            int64_t at = i / step[d] % v->shape[d];
            border = border || (v->shape[d] > 1 && (at == 0 || at == v->shape[d] - 1));
        }
        if (border && class[i] == UNDER) class[i] = OUTSIDE, stack[waiting++] = i;
    }
    while (waiting) {
        int64_t i = stack[--waiting];
        for (int k = 0; k < 6; k++) {
            int d = k / 2;
            int64_t at = i / step[d] % v->shape[d] + (k % 2 ? 1 : -1), j = i + (k % 2 ? step[d] : -step[d]);
            if (at < 0 || at >= v->shape[d] || class[j] != UNDER) continue;
            class[j] = OUTSIDE, stack[waiting++] = j;
        }
    }
    clm_arena_rewind(w->temp, m);
    return true;
}

/** Lines along one axis: 1 wherever a 1 lies no more than `reach` away. */
static void grow(const clm_vol *v, int axis, int64_t reach, uint8_t *in) {
    const int64_t step[3] = {v->shape[1] * v->shape[2], v->shape[2], 1};
    int64_t length = v->shape[axis], n = clm_vol_count(v), s = step[axis];
    enum { GROWN = 2 };
    for (int64_t i = 0; i < n; i++) {
        if (i / s % length) continue;
        for (int back = 0; back < 2; back++) {
            int64_t since = reach;
            for (int64_t k = 0; k < length; k++) {
                uint8_t *p = in + i + (back ? length - 1 - k : k) * s;
                if (*p == 1)
                    since = 0;
                else if (since++ < reach)
                    *p = GROWN;
            }
        }
        for (int64_t k = 0; k < length; k++) in[i + k * s] = in[i + k * s] != 0;
    }
}

bool clm_foreground_find(const clm_work *w, const clm_vol *v, int64_t grow_vox, uint8_t *in,
                         clm_foreground *out, clm_err *err) {
    const double sigma[3] = {SIGMA_VOX, SIGMA_VOX, SIGMA_VOX};
    clm_mark m = clm_arena_mark(w->temp);
    int64_t n = clm_vol_count(v), count, inside = 0;
    clm_vol smooth;
    double range[2];
    if (grow_vox < 0) return clm_fail(err, CLM_E_ARG, "grow_vox %lld", (long long)grow_vox);
    uint8_t *hole = clm_take(w->temp, uint8_t, n, err);
    bool ok = hole && clm_vol_copy(w->temp, v, &smooth, err);
    if (ok) clm_holes_fill(&smooth, hole);
    ok = ok && clm_gauss(w, &smooth, sigma, &smooth, err) && range_of(w, &smooth, hole, range, &count, err);
    if (ok) {
        threshold_of(&smooth, hole, range, out);
        for (int64_t i = 0; i < n; i++)
            in[i] =
                isinf(out->threshold) || (!hole[i] && (double)smooth.data[i] > out->threshold) ? OVER : UNDER;
        ok = flood(w, v, in, err);
    }
    if (ok) {
        for (int64_t i = 0; i < n; i++) in[i] = in[i] != OUTSIDE;
        for (int d = 0; d < 3; d++) grow(v, d, grow_vox, in);
        for (int64_t i = 0; i < n; i++) inside += in[i] && !hole[i];
        out->share = (double)inside / (double)count;
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}
