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
    double *step[3];    /* [n] offsets in voxels of the smoothed volume                               */
    double reach[3][2]; /* the least and the largest */
    float *value;       /* [n]                                                                        */
    bool *inside;       /* [n]                                                                        */
    /* on the way to the values: */
    int32_t *cell, *ends; /* [n] where the lower corner stands; bit d: there is none beyond it along axis d */
    int32_t *out;         /* [n] not 0: outside                                                         */
    float *part[3];       /* [n] of a voxel beyond the lower corner                                     */
    float *corner[4];     /* [2 n] [z low, y low], [z low, y high], [z high, ...], each the pair along x */
} ball;

CLM_CLONES static void locate(const clm_vol *s, const double at[3], const ball *b) {
    int32_t *restrict cell = b->cell, *restrict ends = b->ends, *restrict out = b->out;
    for (int32_t i = 0; i < b->n; i++) cell[i] = ends[i] = out[i] = 0;
    for (int d = 0; d < 3; d++) {
        const double *restrict step = b->step[d];
        float *restrict part = b->part[d];
        const double from = at[d], last = (double)(s->shape[d] - 1);
        const int32_t stride = d == 2 ? 1 : (int32_t)s->stride[d], most = (int32_t)s->shape[d] - 1;
        if (from + b->reach[d][0] >= 0 && from + b->reach[d][1] < last) { /* as mostly: all within */
            for (int32_t i = 0; i < b->n; i++) {
                double x = from + step[i];
                int32_t lo = (int32_t)x;
                part[i] = (float)(x - (double)lo);
                cell[i] += lo * stride;
            }
            continue;
        }
        for (int32_t i = 0; i < b->n; i++) {
            double x = from + step[i];
            out[i] |= !(x >= -0.5 && x <= last + 0.5);
            x = x < 0 ? 0 : x;
            x = x > last ? last : x;
            int32_t lo = (int32_t)x;
            part[i] = (float)(x - (double)lo);
            cell[i] += lo * stride;
            ends[i] |= (lo >= most) << d;
        }
    }
}

/** By copies of eight bytes where a pair is one. */
static void fetch(const clm_vol *s, const ball *b) {
    const int64_t z = s->stride[0], y = s->stride[1];
    for (int32_t i = 0; i < b->n; i++) {
        const float *v = s->data + b->cell[i];
        const int32_t end = b->ends[i];
        const int64_t up = end & 1 ? 0 : z, on = end & 2 ? 0 : y, place[4] = {0, on, up, up + on};
        for (int k = 0; k < 4; k++) {
            float *c = b->corner[k] + 2 * i;
            if (end & 4)
                c[0] = c[1] = v[place[k]];
            else
                memcpy(c, v + place[k], 2 * sizeof *c);
        }
    }
}

CLM_CLONES static void interpolate(const ball *b) {
    const float *restrict c0 = b->corner[0], *restrict c1 = b->corner[1], *restrict c2 = b->corner[2],
                          *restrict c3 = b->corner[3];
    const float *restrict z = b->part[0], *restrict y = b->part[1], *restrict x = b->part[2];
    float *restrict value = b->value;
    for (int32_t i = 0; i < b->n; i++) {
        float r0 = c0[2 * i] + x[i] * (c0[2 * i + 1] - c0[2 * i]);
        float r1 = c1[2 * i] + x[i] * (c1[2 * i + 1] - c1[2 * i]);
        float r2 = c2[2 * i] + x[i] * (c2[2 * i + 1] - c2[2 * i]);
        float r3 = c3[2 * i] + x[i] * (c3[2 * i + 1] - c3[2 * i]);
        float low = r0 + y[i] * (r1 - r0), high = r2 + y[i] * (r3 - r2);
        value[i] = low + z[i] * (high - low);
    }
}

/** Trilinear samples of the ball around `at` (voxels of s); returns how many lie in the volume. */
static int32_t sample(const clm_vol *s, const double at[3], const ball *b) {
    int32_t count = 0;
    locate(s, at, b);
    fetch(s, b);
    interpolate(b);
    for (int32_t i = 0; i < b->n; i++) count += b->inside[i] = !b->out[i];
    return count;
}

static float larger(float a, float b) { return a > b ? a : b; }

CLM_CLONES static void round_all(int32_t n, const float *restrict value, float most, int8_t *restrict code) {
    for (int32_t i = 0; i < n; i++) code[i] = (int8_t)(int32_t)rintf(value[i] / most * 127.0f);
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
        size = larger(fabsf(value[i]), size);
        value[i] = (float)((double)value[i] - mean);
        most = larger(fabsf(value[i]), most);
    }
    if (!(most > 1e-5f * size)) return 0; /* flat to rounding */
    round_all(n, value, most, code);
    int64_t square = 0;
    for (int32_t i = 0; i < n; i++) square += code[i] * code[i];
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
            out->norm[i] = clm_patch_encode(b->n, b->value, count < b->n ? b->inside : NULL, code, out->dim);
        }
    }
    return true;
}

/** The ball's offsets in voxels of the smoothed volume. */
static bool ball_new(clm_arena *a, const clm_patch_params *p, const double linear[3][3],
                     const double spacing[3], ball *b, clm_err *err) {
    int8_t(*at)[3] = clm_arena_take(a, CLM_PATCH_BALL_MAX, sizeof *at, err);
    if (!at) return false;
    *b = (ball){.n = clm_patch_ball(p->samples, at)};
    for (int d = 0; d < 3; d++) {
        if (!(b->step[d] = clm_take(a, double, b->n, err)) || !(b->part[d] = clm_take(a, float, b->n, err)))
            return false;
        for (int32_t i = 0; i < b->n; i++) {
            b->step[d][i] = distance_um(p) *
                            (linear[d][0] * at[i][0] + linear[d][1] * at[i][1] + linear[d][2] * at[i][2]) /
                            spacing[d];
            b->reach[d][0] = fmin(b->reach[d][0], b->step[d][i]);
            b->reach[d][1] = fmax(b->reach[d][1], b->step[d][i]);
        }
    }
    for (int k = 0; k < 4; k++)
        if (!(b->corner[k] = clm_take(a, float, 2 * (int64_t)b->n, err))) return false;
    return (b->value = clm_take_zero(a, float, b->n, err)) &&
           (b->inside = clm_take_zero(a, bool, b->n, err)) && (b->cell = clm_take(a, int32_t, b->n, err)) &&
           (b->ends = clm_take(a, int32_t, b->n, err)) && (b->out = clm_take(a, int32_t, b->n, err));
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
