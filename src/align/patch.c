#include "collimate/align/patch.h"
#include "collimate/base/simd.h"
#include "collimate/image/filter.h"

#include <math.h>
#include <string.h>

#define SMOOTH 0.5 /* standard deviation, in distances of samples: finer detail would alias */

int32_t clm_patch_ball(int32_t samples, int8_t (*at)[3]) {
    int32_t half = samples / 2, n = 0;
    double r2 = (half + 0.5) * (half + 0.5);
    for (int32_t z = -half; z <= half; z++)
        for (int32_t y = -half; y <= half; y++)
            for (int32_t x = -half; x <= half; x++) {
                if ((double)(z * z + y * y + x * x) > r2) continue;
                if (at) at[n][0] = (int8_t)z, at[n][1] = (int8_t)y, at[n][2] = (int8_t)x;
                n++;
            }
    return n;
}

int32_t clm_patch_dim(const clm_patch_params *p) { return (clm_patch_ball(p->samples, NULL) + 31) / 32 * 32; }

static double distance_um(const clm_patch_params *p) { return p->radius_um / (p->samples / 2 + 0.5); }

void clm_patch_halo(const clm_patch_params *p, const double linear[3][3], const double spacing[3],
                    int64_t halo[3]) {
    for (int d = 0; d < 3; d++) {
        double reach = 0;
        for (int j = 0; j < 3; j++) reach += linear[d][j] * linear[d][j];
        halo[d] = (int64_t)ceil(p->radius_um * sqrt(reach) / spacing[d]) + 3 +
                  clm_gauss_radius(SMOOTH * distance_um(p) / spacing[d]);
    }
}

CLM_CLONES int32_t clm_patch_dot(const int8_t *a, const int8_t *b, int32_t dim) {
    int32_t sum = 0;
    for (int32_t i = 0; i < dim; i++) sum += (int32_t)((int16_t)a[i] * (int16_t)b[i]);
    return sum;
}

typedef struct ball {
    int32_t n;
    double (*step)[3]; /* [n] offsets in voxels of the smoothed volume */
    float *value;      /* [n] */
    bool *inside;      /* [n] */
} ball;

/** Trilinear samples of the ball around `at` (voxels of s); returns how many lie in the volume. */
static int32_t sample(const clm_vol *s, const double at[3], const ball *b) {
    int32_t count = 0;
    for (int32_t i = 0; i < b->n; i++) {
        int64_t lo[3], next[3] = {s->stride[0], s->stride[1], 1};
        float f[3];
        bool in = true;
        for (int d = 0; d < 3; d++) {
            double x = at[d] + b->step[i][d], last = (double)(s->shape[d] - 1);
            in = in && x >= -0.5 && x <= last + 0.5;
            x = x < 0 ? 0 : x > last ? last : x;
            lo[d] = (int64_t)x;
            f[d] = (float)(x - (double)lo[d]);
            if (lo[d] >= s->shape[d] - 1) next[d] = 0;
        }
        b->inside[i] = in;
        if (!in) continue;
        const float *c = clm_vol_row(s, lo[0], lo[1]) + lo[2];
        float row[4];
        for (int k = 0; k < 4; k++) {
            const float *q = c + (k & 2 ? next[0] : 0) + (k & 1 ? next[1] : 0);
            row[k] = q[0] + f[2] * (q[next[2]] - q[0]);
        }
        float low = row[0] + f[1] * (row[1] - row[0]), high = row[2] + f[1] * (row[3] - row[2]);
        b->value[i] = low + f[0] * (high - low);
        count++;
    }
    return count;
}

float clm_patch_encode(int32_t n, float *value, const bool *inside, int8_t *code, int32_t dim) {
    double mean = 0;
    float most = 0, size = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++)
        if (!inside || inside[i]) mean += (double)value[i], count++;
    memset(code, 0, (size_t)dim);
    if (count == 0) return 0;
    mean /= count;
    for (int32_t i = 0; i < n; i++) {
        if (inside && !inside[i]) {
            value[i] = 0;
            continue;
        }
        size = fmaxf(size, fabsf(value[i]));
        value[i] = (float)((double)value[i] - mean);
        most = fmaxf(most, fabsf(value[i]));
    }
    if (!(most > 1e-5f * size)) return 0; /* flat to rounding */
    int64_t square = 0;
    for (int32_t i = 0; i < n; i++) {
        code[i] = (int8_t)lrintf(value[i] / most * 127.0f);
        square += code[i] * code[i];
    }
    return (float)(1.0 / sqrt((double)square));
}

static bool describe_all(const clm_vol *s, const clm_points *points, const clm_patch_params *p, const ball *b,
                         clm_patches *out) {
    for (int64_t i = 0; i < points->n; i++) {
        double at[3];
        for (int d = 0; d < 3; d++) at[d] = (points->pos[i][d] - s->origin[d]) / s->spacing[d];
        int32_t count = sample(s, at, b);
        int8_t *code = out->code + i * out->dim;
        if (count < 8 || count < p->min_inside * b->n) {
            memset(code, 0, (size_t)out->dim);
            out->norm[i] = 0;
        } else {
            out->norm[i] = clm_patch_encode(b->n, b->value, b->inside, code, out->dim);
        }
    }
    return true;
}

/** The ball's offsets in voxels of the smoothed volume. */
static bool ball_new(clm_arena *a, const clm_patch_params *p, const double linear[3][3],
                     const double spacing[3], ball *b, clm_err *err) {
    int8_t(*at)[3] = clm_arena_take(a, CLM_PATCH_BALL_MAX, sizeof *at, err);
    if (!at) return false;
    b->n = clm_patch_ball(p->samples, at);
    b->step = clm_arena_take(a, b->n, sizeof *b->step, err);
    if (!b->step) return false;
    b->value = clm_take_zero(a, float, b->n, err);
    if (!b->value) return false;
    b->inside = clm_take_zero(a, bool, b->n, err);
    if (!b->inside) return false;
    for (int32_t i = 0; i < b->n; i++)
        for (int d = 0; d < 3; d++)
            b->step[i][d] = distance_um(p) *
                            (linear[d][0] * at[i][0] + linear[d][1] * at[i][1] + linear[d][2] * at[i][2]) /
                            spacing[d];
    return true;
}

static bool check(const clm_vol *v, const clm_patch_params *p, clm_err *err) {
    if (p->samples < 3 || p->samples > CLM_PATCH_SAMPLES_MAX || p->samples % 2 == 0)
        return clm_fail(err, CLM_E_ARG, "%d samples across a patch; odd, 3 to %d", (int)p->samples,
                        CLM_PATCH_SAMPLES_MAX);
    if (!(p->radius_um > 0) || !isfinite(p->radius_um) || !(p->min_inside >= 0) || !(p->min_inside <= 1))
        return clm_fail(err, CLM_E_ARG, "patches of %g um of which %g must be inside", p->radius_um,
                        p->min_inside);
    for (int d = 0; d < 3; d++)
        if (v->shape[d] < 1 || !(v->spacing[d] > 0))
            return clm_fail(err, CLM_E_ARG, "patches from a volume without voxels along axis %d", d);
    return true;
}

bool clm_patch_describe(const clm_work *w, const clm_vol *v, const clm_points *points,
                        const clm_patch_params *p, const double linear[3][3], clm_patches *out,
                        clm_err *err) {
    if (!check(v, p, err)) return false;
    clm_patches made = {.n = points->n, .samples = p->samples, .dim = clm_patch_dim(p)};
    made.code = clm_arena_take(w->keep, points->n, (size_t)made.dim, err);
    if (!made.code) return false;
    made.norm = clm_take(w->keep, float, points->n, err);
    if (!made.norm) return false;
    double sigma[3];
    int64_t step[3];
    for (int d = 0; d < 3; d++) {
        sigma[d] = SMOOTH * distance_um(p) / v->spacing[d];
        step[d] = 1;
        while (sigma[d] >= 1.2 * (double)step[d]) step[d] *= 2; /* at least 0.6 voxel after thinning */
    }
    clm_mark m = clm_arena_mark(w->temp);
    clm_work sub = clm_work_flip(w);
    clm_vol s;
    ball b;
    bool ok = clm_gauss_shrink(&sub, v, sigma, step, &s, err) &&
              ball_new(w->temp, p, linear, s.spacing, &b, err) && describe_all(&s, points, p, &b, &made);
    clm_arena_rewind(w->temp, m);
    if (ok) *out = made;
    return ok;
}
