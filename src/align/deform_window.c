#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <string.h>

CLM_CLONES static void add_shifted(float *restrict out, const float *restrict in, int64_t n, bool first) {
    if (first)
        for (int64_t x = 0; x < n; x++) out[x] = in[x];
    else
        for (int64_t x = 0; x < n; x++) out[x] += in[x];
}

/* in[x] += in[x + by], reading ahead of the writing */
CLM_CLONES static void fold(float *in, int64_t by, int64_t n) {
    for (int64_t x = 0; x < n; x++) in[x] = in[x] + in[x + by];
}

/* binary doubling: additions only, log2 of the window many, nothing left behind by what passed */
void window_row(float *restrict in, int r, int64_t n, float *restrict out) {
    int64_t length = 2 * (int64_t)r + 1, done = 0, left = n + 2 * (int64_t)r;
    bool first = true;
    for (int64_t bit = 1; bit <= length; bit *= 2) {
        if (length & bit) {
            add_shifted(out, in + done, n, first);
            first = false;
            done += bit;
        }
        left -= bit; /* sums of 2 bit elements exist for this many */
        if (2 * bit <= length) fold(in, bit, left);
    }
}

CLM_CLONES void window_slide(double *restrict sum, float *restrict keep, const float *restrict add,
                             int64_t n) {
    if (add)
        for (int64_t x = 0; x < n; x++) {
            sum[x] += (double)add[x] - (double)keep[x];
            keep[x] = add[x];
        }
    else
        for (int64_t x = 0; x < n; x++) {
            sum[x] -= (double)keep[x];
            keep[x] = 0.0f;
        }
}

/* the same from sums of the axis below */
CLM_CLONES static void slide_on(double *restrict sum, float *restrict keep, const double *restrict add,
                                int64_t n) {
    for (int64_t x = 0; x < n; x++) {
        float v = (float)add[x];
        sum[x] += (double)v - (double)keep[x];
        keep[x] = v;
    }
}

int64_t window_bytes(int r, int count, const int64_t n[3]) {
    int64_t ring = 2 * (int64_t)r + 1, plane = n[1] * n[2];
    return count * (ring * (n[2] + plane) * 4 + (n[2] + plane) * 8) + 12 * (n[2] + 2 * r) +
           (ring + 4) * (n[1] + 1) + 1024;
}

bool window_make(clm_arena *a, int r, int count, const int64_t n[3], window *out, clm_err *err) {
    int64_t ring = 2 * (int64_t)r + 1, plane = n[1] * n[2];
    window w = {.r = r, .count = count, .n = {n[0], n[1], n[2]}};
    w.padded = clm_take(a, float, n[2] + 2 * r, err);
    w.row = clm_take(a, float, n[2], err);
    w.ring_y = clm_take(a, float, ring *count *n[2], err);
    w.sum_y = clm_take(a, double, count *n[2], err);
    w.kept_y = clm_take(a, uint8_t, ring, err);
    w.kept_z = clm_take_zero(a, uint8_t, ring * n[1], err);
    w.live_z = clm_take_zero(a, int32_t, n[1], err);
    w.ring_z = clm_take_zero(a, float, ring *count *plane, err);
    w.sum_z = clm_take_zero(a, double, count *plane, err);
    if (!w.padded || !w.row || !w.ring_y || !w.sum_y || !w.kept_y || !w.kept_z || !w.live_z || !w.ring_z ||
        !w.sum_z)
        return false;
    *out = w;
    return true;
}

void window_begin_plane(window *w) {
    int64_t ring = 2 * (int64_t)w->r + 1;
    memset(w->ring_y, 0, (size_t)(ring * w->count * w->n[2]) * sizeof(float));
    memset(w->sum_y, 0, (size_t)(w->count * w->n[2]) * sizeof(double));
    memset(w->kept_y, 0, (size_t)ring);
    w->live_y = 0;
}

/* one quantity's row, summed along x, enters the sum along y */
static void slide_y(window *w, int q, int64_t slot, const float *in) {
    int64_t n = w->n[2];
    size_t side = (size_t)w->r * sizeof(float);
    if (in) {
        memset(w->padded, 0, side);
        memcpy(w->padded + w->r, in, (size_t)n * sizeof(float));
        memset(w->padded + w->r + n, 0, side);
        window_row(w->padded, w->r, n, w->row);
    }
    window_slide(w->sum_y + q * n, w->ring_y + (slot * w->count + q) * n, in ? w->row : NULL, n);
}

/* the sum along y at row `at` enters the sum along z */
static void slide_z(window *w, int q, int64_t slot, int64_t at, bool add) {
    int64_t n = w->n[2], row = (q * w->n[1] + at) * n;
    double *sum = w->sum_z + row;
    float *keep = w->ring_z + slot * w->count * w->n[1] * n + row;
    if (add)
        slide_on(sum, keep, w->sum_y + q * n, n);
    else
        window_slide(sum, keep, NULL, n);
}

void window_feed(window *w, int64_t t, int64_t y, const float *const *in) {
    int64_t ring = 2 * (int64_t)w->r + 1, slot_y = y % ring, slot_z = t % ring, at = y - w->r;
    bool within = t < w->n[0], add = within && in;
    if (add || w->kept_y[slot_y]) {
        for (int q = 0; q < w->count; q++) slide_y(w, q, slot_y, add ? in[q] : NULL);
        w->live_y += (int32_t)add - (int32_t)w->kept_y[slot_y];
        w->kept_y[slot_y] = add;
    }
    if (at < 0 || at >= w->n[1]) return;
    uint8_t *kept = w->kept_z + slot_z * w->n[1] + at;
    add = within && w->live_y > 0;
    if (!add && !*kept) return;
    for (int q = 0; q < w->count; q++) slide_z(w, q, slot_z, at, add);
    w->live_z[at] += (int32_t)add - (int32_t)*kept;
    *kept = add;
    for (int q = 0; w->live_z[at] == 0 && q < w->count; q++) /* rounding must not outlive what was summed */
        memset(w->sum_z + (q * w->n[1] + at) * w->n[2], 0, (size_t)w->n[2] * sizeof(double));
}
