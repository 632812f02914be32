#include "deform_parts.h"

#include <string.h>

/* Half widths, in nodes, of the smoothing that is tried in turn: little takes away a dip of rounding and ramps, the wide
 * one what blocks that disagree by several nodes make of a face, the last ones what the rim of that leaves. */
static const int64_t half_width[CLM_FLOOR_SWEEPS] = {1, 8, 4, 2, 1, 1};
_Static_assert(CLM_FLOOR_REACH == 1 + 8 + 4 + 2 + 1 + 1 + CLM_FLOOR_SWEEPS,
               "a node is marked for a neighbour's sake");

/* 1 at the marked nodes, and less by 1 / (h + 1) with every step from them */
static void feather(const clm_field *u, const uint8_t *hit, int64_t h, float *m) {
    const int64_t n = clm_field_count(u), step[3] = {u->shape[1] * u->shape[2], u->shape[2], 1};
    const float less = 1.0f / (float)(h + 1);
    for (int64_t i = 0; i < n; i++) m[i] = hit[i];
    for (int d = 0; d < 3; d++) {
        for (int64_t i = 0; i < n; i++)
            if (i / step[d] % u->shape[d] > 0 && m[i - step[d]] - less > m[i]) m[i] = m[i - step[d]] - less;
        for (int64_t i = n - 1; i >= 0; i--)
            if (i / step[d] % u->shape[d] + 1 < u->shape[d] && m[i + step[d]] - less > m[i])
                m[i] = m[i + step[d]] - less;
    }
}

/* out = in under a triangle of h nodes either side of axis d, in continued by its border; in doubles, in order of k */
static void triangle(const float *in, const int64_t shape[3], int d, int64_t h, const float *wanted,
                     float *out) {
    const int64_t n = shape[0] * shape[1] * shape[2], step[3] = {shape[1] * shape[2], shape[2], 1};
    for (int64_t i = 0; i < n; i++) {
        if (wanted && wanted[i] <= 0.0f) continue;
        int64_t at = i / step[d] % shape[d];
        double sum = 0.0;
        for (int64_t k = -h; k <= h; k++) {
            int64_t to = at + k < 0 ? 0 : at + k >= shape[d] ? shape[d] - 1 : at + k;
            sum += (double)(h + 1 - (k < 0 ? -k : k)) * (double)in[i + (to - at) * step[d]];
        }
        out[i] = (float)(sum / (double)((h + 1) * (h + 1)));
    }
}

static void smooth(clm_field *u, const uint8_t *hit, int64_t h, float *m, float *a, float *b) {
    feather(u, hit, h, m);
    for (int c = 0; c < 3; c++) {
        triangle(u->u[c], u->shape, 0, h, NULL, a);
        triangle(a, u->shape, 1, h, NULL, b);
        triangle(b, u->shape, 2, h, m, a);
        for (int64_t i = 0; i < clm_field_count(u); i++)
            if (m[i] > 0.0f) u->u[c][i] += m[i] * (a[i] - u->u[c][i]);
    }
}

bool clm_floor_mend(const clm_work *w, clm_field *u, double floor, int32_t *sweeps, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t n = clm_field_count(u);
    uint8_t *hit = clm_take(w->temp, uint8_t, n, err);
    float *m = NULL;
    bool ok = hit != NULL;
    for (*sweeps = 0; ok && *sweeps < CLM_FLOOR_SWEEPS && floor_mark(u, floor, hit) > 0; ++*sweeps) {
        if (!m) ok = (m = clm_take(w->temp, float, 3 * n, err)) != NULL;
        if (ok) smooth(u, hit, half_width[*sweeps], m, m + n, m + 2 * n);
    }
    clm_arena_rewind(w->temp, mark);
    return ok;
}
