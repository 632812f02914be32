#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <string.h>

/* bounds of one lane, from its base voxel */
typedef struct reach {
    float lo[3], hi[3];
    int32_t first[3], last[3], step[3];
} reach;

/* one axis: position -> lower voxel (so that the next exists), weight of the next */
CLM_CLONES static void split(const float *restrict p, float lo, float hi, int32_t first, int32_t last, int n,
                             int32_t *restrict at, float *restrict part) {
    for (int k = 0; k < n; k++) {
        float q = p[k] > lo ? p[k] : lo;
        q = q < hi ? q : hi;
        int32_t i = (int32_t)q;
        i -= q < (float)i;
        i = i < last ? i : last - 1;
        i = i > first ? i : first;
        float f = q - (float)i;
        f = f < 0.0f ? 0.0f : f;
        part[k] = f < 1.0f ? f : 1.0f;
        at[k] = i;
    }
}

CLM_CLONES static void mark_bad(const clm_lane *lane, const reach *t, int n, float *restrict bad) {
    const float *restrict z = lane->p[0], *restrict y = lane->p[1], *restrict x = lane->p[2];
    for (int k = 0; k < n; k++) {
        int32_t ok = (z[k] >= t->lo[0]) & (z[k] <= t->hi[0]) & (y[k] >= t->lo[1]) & (y[k] <= t->hi[1]) &
                     (x[k] >= t->lo[2]) & (x[k] <= t->hi[2]);
        bad[k] = ok ? 0.0f : 1.0f;
    }
}

CLM_CLONES static void place(const int32_t at[restrict 3][CLM_LANE], const int32_t step[3], int n,
                             int32_t *restrict cell) {
    int32_t sz = step[0], sy = step[1], sx = step[2];
    for (int k = 0; k < n; k++) cell[k] = at[0][k] * sz + at[1][k] * sy + at[2][k] * sx;
}

/* The four pairs of neighbours along x of each cell, side by side: eight bytes at once, because gathers of single
 * voxels are what the whole pass would wait for. */
static void pick(const float *restrict v, const int32_t step[3], const int32_t *restrict cell, int n,
                 float pairs[restrict 4][2 * CLM_LANE]) {
    int32_t sz = step[0], sy = step[1];
    if (step[2] == 1)
        for (int k = 0; k < n; k++) {
            const float *c = v + cell[k];
            if (k % 16 == 0) __builtin_prefetch(c + sz + 3 * sy);
            memcpy(&pairs[0][2 * k], c, 2 * sizeof *c);
            memcpy(&pairs[1][2 * k], c + sy, 2 * sizeof *c);
            memcpy(&pairs[2][2 * k], c + sz, 2 * sizeof *c);
            memcpy(&pairs[3][2 * k], c + sz + sy, 2 * sizeof *c);
        }
    else /* one voxel along x: its own neighbour */
        for (int k = 0; k < n; k++)
            for (int q = 0; q < 4; q++)
                pairs[q][2 * k] = pairs[q][2 * k + 1] = v[cell[k] + (q >> 1) * sz + (q & 1) * sy];
}

/* value and slope of the trilinear cell: D in units a voxel, z y x */
CLM_CLONES static void weigh(const float pairs[restrict 4][2 * CLM_LANE],
                             const float part[restrict 3][CLM_LANE], int n, float *restrict J,
                             float D[restrict 3][CLM_LANE]) {
    for (int k = 0; k < n; k++) {
        float tx = part[2][k], ty = part[1][k], tz = part[0][k];
        float ry = 1.0f - ty, rz = 1.0f - tz, rx = 1.0f - tx;
        float v0 = pairs[0][2 * k], v1 = pairs[0][2 * k + 1], v2 = pairs[1][2 * k], v3 = pairs[1][2 * k + 1];
        float v4 = pairs[2][2 * k], v5 = pairs[2][2 * k + 1], v6 = pairs[3][2 * k], v7 = pairs[3][2 * k + 1];
        float a = rx * v0 + tx * v1, b = rx * v2 + tx * v3, c = rx * v4 + tx * v5, d = rx * v6 + tx * v7;
        float e = ry * a + ty * b, f = ry * c + ty * d;
        J[k] = rz * e + tz * f;
        D[0][k] = f - e;
        D[1][k] = rz * (b - a) + tz * (d - c);
        D[2][k] = rz * (ry * (v1 - v0) + ty * (v3 - v2)) + tz * (ry * (v5 - v4) + ty * (v7 - v6));
    }
}

CLM_CLONES static void weigh_value(const float pairs[restrict 4][2 * CLM_LANE],
                                   const float part[restrict 3][CLM_LANE], int n, float *restrict J) {
    for (int k = 0; k < n; k++) {
        float tx = part[2][k], ty = part[1][k], tz = part[0][k];
        float ry = 1.0f - ty, rz = 1.0f - tz, rx = 1.0f - tx;
        float a = rx * pairs[0][2 * k] + tx * pairs[0][2 * k + 1];
        float b = rx * pairs[1][2 * k] + tx * pairs[1][2 * k + 1];
        float c = rx * pairs[2][2 * k] + tx * pairs[2][2 * k + 1];
        float d = rx * pairs[3][2 * k] + tx * pairs[3][2 * k + 1];
        J[k] = rz * (ry * a + ty * b) + tz * (ry * c + ty * d);
    }
}

/* NaN is bad, too; what is bad counts as zero. How many there are */
CLM_CLONES static int32_t settle(float mean, float scale, int n, float *restrict J, float *restrict bad) {
    int32_t count = 0;
    for (int k = 0; k < n; k++) {
        float v = (J[k] - mean) * scale, b = v == v ? bad[k] : 1.0f;
        bad[k] = b;
        J[k] = b > 0.0f ? 0.0f : v;
        count += b > 0.0f;
    }
    return count;
}

/* slope a voxel -> slope a micrometre of u, by the chain rule through the affine map */
CLM_CLONES static void chain(const float D[restrict 3][CLM_LANE], const float l[3], const float *restrict bad,
                             int n, float *restrict G) {
    float a = l[0], b = l[1], c = l[2];
    for (int k = 0; k < n; k++) {
        float g = a * D[0][k] + b * D[1][k] + c * D[2][k];
        G[k] = bad[k] > 0.0f ? 0.0f : g;
    }
}

static void aim(const sampler *s, const clm_lane *lane, reach *t) {
    for (int c = 0; c < 3; c++) {
        int64_t n = s->map.moving[c];
        float slack = n == 1 ? 0.5f + CLM_LANE_SLACK : CLM_LANE_SLACK;
        t->first[c] = (int32_t)-lane->base[c];
        t->last[c] = (int32_t)(n - 1 - lane->base[c]);
        t->lo[c] = (float)t->first[c] - slack;
        t->hi[c] = (float)t->last[c] + slack;
        t->step[c] = n == 1 ? 0 : c == 2 ? 1 : (int32_t)s->moving->stride[c];
    }
}

int64_t sampler_row(sampler *s, int64_t z, int64_t y, float *restrict J, float *const G[3],
                    float *restrict bad) {
    int64_t nx = s->map.shape[2], count = 0;
    float l[3][3];
    for (int d = 0; d < 3; d++) /* columns of the affine part: how u's axis d moves the voxel position */
        for (int c = 0; c < 3; c++) l[d][c] = (float)s->map.l[c][d] * s->scale;
    clm_rowmap_row(&s->map, z, y);
    for (int64_t x = 0; x < nx; x += CLM_LANE) {
        int n = (int)(nx - x < CLM_LANE ? nx - x : CLM_LANE);
        clm_lane lane;
        reach t;
        int32_t at[3][CLM_LANE], cell[CLM_LANE];
        float part[3][CLM_LANE], D[3][CLM_LANE], pairs[4][2 * CLM_LANE];
        clm_rowmap_lane(&s->map, x, n, &lane);
        aim(s, &lane, &t);
        mark_bad(&lane, &t, n, bad + x);
        for (int c = 0; c < 3; c++)
            split(lane.p[c], t.lo[c], t.hi[c], t.first[c], t.last[c], n, at[c], part[c]);
        const float *from = s->moving->data + lane.base[0] * s->moving->stride[0] +
                            lane.base[1] * s->moving->stride[1] + lane.base[2];
        const float(*cpart)[CLM_LANE] = (const float(*)[CLM_LANE])part;
        place((const int32_t(*)[CLM_LANE])at, t.step, n, cell);
        pick(from, t.step, cell, n, pairs);
        if (G)
            weigh((const float(*)[2 * CLM_LANE]) pairs, cpart, n, J + x, D);
        else
            weigh_value((const float(*)[2 * CLM_LANE]) pairs, cpart, n, J + x);
        count += settle(s->mean, s->scale, n, J + x, bad + x);
        for (int d = 0; G && d < 3; d++) chain((const float(*)[CLM_LANE])D, l[d], bad + x, n, G[d] + x);
    }
    return count;
}
