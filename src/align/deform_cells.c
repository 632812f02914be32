#include "deform_parts.h"

#include "collimate/base/simd.h"

#include <string.h>

/* Sums over windows many voxels wide hardly change from voxel to voxel: windows of radius 4 and more stand on cells
 * of 2 voxels an axis, so that there are an eighth as many, each of whole cells. Their sum times eight is the same
 * objective to a few thousandths, and all that works on windows costs an eighth. */
#define COARSE_FROM_VOX 4

cells cells_shape(int radius_vox, const int64_t vox[3]) {
    cells c = {.size = radius_vox < COARSE_FROM_VOX ? 1 : 2};
    c.reach = radius_vox / c.size;
    for (int d = 0; d < 3; d++) c.vox[d] = vox[d], c.n[d] = (vox[d] + c.size - 1) / c.size;
    return c;
}

bool cells_make(clm_arena *a, int radius_vox, const int64_t vox[3], cells *out, clm_err *err) {
    cells c = cells_shape(radius_vox, vox);
    c.per = clm_take(a, double, c.n[2], err);
    c.own = clm_take(a, double, c.n[2], err);
    if (!c.per || !c.own) return false;
    for (int64_t i = 0; i < c.n[2]; i++) {
        c.per[i] = 1.0 / (double)cells_window(&c, 2, i);
        c.own[i] = (double)cells_own(&c, 2, i);
    }
    *out = c;
    return true;
}

CLM_CLONES static void pool_two(const float *restrict in, int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = in[2 * i] + in[2 * i + 1];
}

CLM_CLONES static void spread_two(const double *restrict in, int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[2 * i] = out[2 * i + 1] = (float)in[i];
}

CLM_CLONES static void copy_down(const double *restrict in, int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)in[i];
}

void cells_pool(const cells *c, const float *in, float *out) {
    int64_t whole = c->vox[2] / c->size;
    if (c->size == 2)
        pool_two(in, whole, out);
    else
        memcpy(out, in, (size_t)whole * sizeof *out);
    if (whole < c->n[2]) out[whole] = in[2 * whole];
}

void cells_spread(const cells *c, const double *in, float *out) {
    int64_t whole = c->vox[2] / c->size;
    if (c->size == 2)
        spread_two(in, whole, out);
    else
        copy_down(in, whole, out);
    if (whole < c->n[2]) out[2 * whole] = (float)in[whole];
}
