#include "collimate/image/filter.h"
#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

#define WIDE 64        /* lines filtered side by side, the vector direction */
#define TAPS_SIGMA 6.0 /* up to here explicit taps are cheaper than recursion, and exactly local */
#define TAPS_MAX 21    /* ceil(3.5 * TAPS_SIGMA) */
#define SIGMA_MIN 0.01 /* below, the second tap is 0 in double */

/** One pole pair: y[n] = b0 x[n] + b1 x[n-1] - a1 y[n-1] - a2 y[n-2], and its mirror without the centre. */
typedef struct section {
    double b0, b1, m1, m2, a1, a2;
} section;

typedef struct kernel {
    int64_t r; /* taps: radius, 0 = copy; recursive: -1 */
    float tap[TAPS_MAX + 1];
    section s[2];
} kernel;

/** Deriche's fourth order fit of exp(-t*t/2): two damped waves in t = n / sigma. */
static const double wave[2][4] = {
    /* cosine, sine, decay, frequency */
    {1.6800, 3.7350, 1.7830, 0.6318},
    {-0.6803, -0.2598, 1.7230, 1.9970},
};

static kernel taps_of(double sigma) {
    kernel k = {.r = (int64_t)ceil(3.5 * sigma)};
    if (sigma < SIGMA_MIN) {
        k.r = 0;
        k.tap[0] = 1.0f;
        return k;
    }
    double t[TAPS_MAX + 1], sum = 0;
    for (int64_t i = k.r; i >= 0; i--) {
        t[i] = exp(-0.5 * (double)(i * i) / (sigma * sigma));
        sum += i ? 2.0 * t[i] : t[i];
    }
    for (int64_t i = 0; i <= k.r; i++) k.tap[i] = (float)(t[i] / sum);
    return k;
}

static kernel sections_of(double sigma) {
    kernel k = {.r = -1};
    double gain = 0;
    for (int i = 0; i < 2; i++) {
        double e = exp(-wave[i][2] / sigma), turn = wave[i][3] / sigma;
        section *s = &k.s[i];
        s->b0 = wave[i][0];
        s->b1 = e * (wave[i][1] * sin(turn) - wave[i][0] * cos(turn));
        s->a1 = -2.0 * e * cos(turn);
        s->a2 = e * e;
        s->m1 = s->b1 - s->b0 * s->a1;
        s->m2 = -s->b0 * s->a2;
        gain += (s->b0 + s->b1 + s->m1 + s->m2) / (1.0 + s->a1 + s->a2);
    }
    for (int i = 0; i < 2; i++) k.s[i].b0 /= gain, k.s[i].b1 /= gain, k.s[i].m1 /= gain, k.s[i].m2 /= gain;
    return k;
}

static kernel kernel_of(double sigma) { return sigma <= TAPS_SIGMA ? taps_of(sigma) : sections_of(sigma); }

int64_t clm_gauss_radius(double sigma_vox) {
    if (sigma_vox < SIGMA_MIN) return 0;
    return (int64_t)ceil((sigma_vox <= TAPS_SIGMA ? 3.5 : 4.5) * sigma_vox);
}

/** dst[0..n) = t[0] c + sum over k of t[k] (row k before c + row k after c), rows `stride` apart. The groups
 *  of four keep dst in registers for four taps; the order of sums is the same for every n and every CPU. */
CLM_CLONES static void sum_taps(const float *c, int64_t stride, const float *t, int64_t r, int64_t n,
                                float *restrict dst) {
    for (int64_t i = 0; i < n; i++) dst[i] = t[0] * c[i];
    int64_t k = 1;
    for (; k + 3 <= r; k += 4) {
        const float *a = c - k * stride, *b = c + k * stride;
        const float *a1 = a - stride, *a2 = a1 - stride, *a3 = a2 - stride;
        const float *b1 = b + stride, *b2 = b1 + stride, *b3 = b2 + stride;
        float t0 = t[k], t1 = t[k + 1], t2 = t[k + 2], t3 = t[k + 3];
        for (int64_t i = 0; i < n; i++)
            dst[i] = dst[i] + t0 * (a[i] + b[i]) + t1 * (a1[i] + b1[i]) + t2 * (a2[i] + b2[i]) +
                     t3 * (a3[i] + b3[i]);
    }
    for (; k <= r; k++) {
        const float *a = c - k * stride, *b = c + k * stride;
        float t0 = t[k];
        for (int64_t i = 0; i < n; i++) dst[i] = dst[i] + t0 * (a[i] + b[i]);
    }
}

/** Forward and backward recursion over n rows of WIDE lines: tile = G * tile. State begins as if the edge
 *  value went on for ever. x and y hold the last two rows, newest first. */
CLM_CLONES static void recur(const kernel *k, int64_t n, float *restrict tile, double *restrict sum) {
    double x1[WIDE], x2[WIDE], y[2][2][WIDE];
    section s0 = k->s[0], s1 = k->s[1];
    double g0 = (s0.b0 + s0.b1) / (1.0 + s0.a1 + s0.a2), g1 = (s1.b0 + s1.b1) / (1.0 + s1.a1 + s1.a2);
    for (int i = 0; i < WIDE; i++) {
        x1[i] = (double)tile[i];
        y[0][0][i] = y[0][1][i] = g0 * x1[i];
        y[1][0][i] = y[1][1][i] = g1 * x1[i];
    }
    for (int64_t j = 0; j < n; j++) {
        for (int i = 0; i < WIDE; i++) {
            double x = (double)tile[j * WIDE + i];
            double p = s0.b0 * x + s0.b1 * x1[i] - s0.a1 * y[0][0][i] - s0.a2 * y[0][1][i];
            double q = s1.b0 * x + s1.b1 * x1[i] - s1.a1 * y[1][0][i] - s1.a2 * y[1][1][i];
            y[0][1][i] = y[0][0][i], y[0][0][i] = p;
            y[1][1][i] = y[1][0][i], y[1][0][i] = q;
            x1[i] = x;
            sum[j * WIDE + i] = p + q;
        }
    }
    g0 = (s0.m1 + s0.m2) / (1.0 + s0.a1 + s0.a2), g1 = (s1.m1 + s1.m2) / (1.0 + s1.a1 + s1.a2);
    for (int i = 0; i < WIDE; i++) {
        x1[i] = x2[i] = (double)tile[(n - 1) * WIDE + i];
        y[0][0][i] = y[0][1][i] = g0 * x1[i];
        y[1][0][i] = y[1][1][i] = g1 * x1[i];
    }
    for (int64_t j = n - 1; j >= 0; j--) {
        for (int i = 0; i < WIDE; i++) {
            double p = s0.m1 * x1[i] + s0.m2 * x2[i] - s0.a1 * y[0][0][i] - s0.a2 * y[0][1][i];
            double q = s1.m1 * x1[i] + s1.m2 * x2[i] - s1.a1 * y[1][0][i] - s1.a2 * y[1][1][i];
            y[0][1][i] = y[0][0][i], y[0][0][i] = p;
            y[1][1][i] = y[1][0][i], y[1][0][i] = q;
            x2[i] = x1[i], x1[i] = (double)tile[j * WIDE + i];
            tile[j * WIDE + i] = (float)(sum[j * WIDE + i] + p + q);
        }
    }
}

/** Scratch for lines of up to n voxels. */
typedef struct tiles {
    float *line; /* [(n + 2 TAPS_MAX)][WIDE] */
    double *sum; /* [n][WIDE], recursive only */
} tiles;

/** Lines across rows: n rows of `wide` voxels, `stride` apart, filtered down the rows; every step-th kept. */
static void filter_down(const kernel *k, const tiles *t, const float *in, int64_t stride, int64_t n,
                        int64_t wide, int64_t step, float *out, int64_t out_stride) {
    if (k->r < 0) {
        for (int64_t j = 0; j < n; j++) {
            float *row = t->line + j * WIDE;
            memcpy(row, in + j * stride, (size_t)wide * sizeof *row);
            for (int64_t i = wide; i < WIDE; i++) row[i] = row[wide - 1];
        }
        recur(k, n, t->line, t->sum);
        for (int64_t j = 0, o = 0; j < n; j += step, o++)
            memcpy(out + o * out_stride, t->line + j * WIDE, (size_t)wide * sizeof *out);
        return;
    }
    for (int64_t j = -k->r; j < n + k->r; j++) {
        int64_t at = j < 0 ? 0 : j >= n ? n - 1 : j;
        memcpy(t->line + (j + k->r) * WIDE, in + at * stride, (size_t)wide * sizeof *in);
    }
    for (int64_t j = 0, o = 0; j < n; j += step, o++)
        sum_taps(t->line + (j + k->r) * WIDE, WIDE, k->tap, k->r, wide, out + o * out_stride);
}

/** Lines along rows: `rows` <= WIDE rows of n voxels, recursive, by way of a transposed tile. */
static void recur_along(const kernel *k, const tiles *t, const float *in, int64_t stride, int64_t n,
                        int64_t rows, int64_t step, float *out, int64_t out_stride) {
    for (int64_t j = 0; j < WIDE; j++) {
        const float *row = in + (j < rows ? j : rows - 1) * stride;
        for (int64_t i = 0; i < n; i++) t->line[i * WIDE + j] = row[i];
    }
    recur(k, n, t->line, t->sum);
    for (int64_t j = 0; j < rows; j++)
        for (int64_t i = 0, o = 0; i < n; i += step, o++) out[j * out_stride + o] = t->line[i * WIDE + j];
}

/** One row of n voxels with explicit taps. */
static void taps_along(const kernel *k, const tiles *t, const float *in, int64_t n, int64_t step,
                       float *out) {
    float *pad = t->line, *full = t->line + n + 2 * k->r;
    memcpy(pad + k->r, in, (size_t)n * sizeof *in);
    for (int64_t i = 0; i < k->r; i++) pad[i] = in[0], pad[n + k->r + i] = in[n - 1];
    if (step == 1) {
        sum_taps(pad + k->r, 1, k->tap, k->r, n, out);
        return;
    }
    sum_taps(pad + k->r, 1, k->tap, k->r, n, full);
    for (int64_t i = 0, o = 0; i < n; i += step, o++) out[o] = full[i];
}

static void filter_z(const kernel *k, const tiles *t, const clm_vol *in, int64_t step, const clm_vol *out) {
    if (k->r == 0 && step == 1 && in->data == out->data) return;
    for (int64_t y = 0; y < in->shape[1]; y++)
        for (int64_t x = 0; x < in->shape[2]; x += WIDE) {
            int64_t wide = in->shape[2] - x < WIDE ? in->shape[2] - x : WIDE;
            filter_down(k, t, clm_vol_row(in, 0, y) + x, in->stride[0], in->shape[0], wide, step,
                        clm_vol_row(out, 0, y) + x, out->stride[0]);
        }
}

static void filter_y(const kernel *k, const tiles *t, const clm_vol *in, int64_t z, int64_t step,
                     const clm_vol *out) {
    if (k->r == 0 && step == 1 && in->data == out->data) return;
    for (int64_t x = 0; x < in->shape[2]; x += WIDE) {
        int64_t wide = in->shape[2] - x < WIDE ? in->shape[2] - x : WIDE;
        filter_down(k, t, clm_vol_row(in, z, 0) + x, in->stride[1], in->shape[1], wide, step,
                    clm_vol_row(out, z, 0) + x, out->stride[1]);
    }
}

static void filter_x(const kernel *k, const tiles *t, const clm_vol *in, int64_t z, int64_t step,
                     const clm_vol *out) {
    if (k->r == 0 && step == 1 && in->data == out->data) return;
    if (k->r >= 0) {
        for (int64_t y = 0; y < in->shape[1]; y++)
            taps_along(k, t, clm_vol_row(in, z, y), in->shape[2], step, clm_vol_row(out, z, y));
        return;
    }
    for (int64_t y = 0; y < in->shape[1]; y += WIDE) {
        int64_t rows = in->shape[1] - y < WIDE ? in->shape[1] - y : WIDE;
        recur_along(k, t, clm_vol_row(in, z, y), in->stride[1], in->shape[2], rows, step,
                    clm_vol_row(out, z, y), out->stride[1]);
    }
}

static bool begin(const clm_work *w, const clm_vol *in, const double sigma_vox[3], kernel k[3], tiles *t,
                  clm_err *err) {
    int64_t longest = 1;
    bool recursive = false;
    for (int d = 0; d < 3; d++) {
        if (!(sigma_vox[d] >= 0) || !isfinite(sigma_vox[d]))
            return clm_fail(err, CLM_E_ARG, "sigma %g voxels along axis %d is not a size", sigma_vox[d], d);
        if (in->shape[d] < 1) return clm_fail(err, CLM_E_ARG, "a volume with no voxels cannot be smoothed");
        k[d] = kernel_of(sigma_vox[d]);
        if (in->shape[d] > longest) longest = in->shape[d];
        recursive |= k[d].r < 0;
    }
    t->line = clm_take(w->temp, float, (longest + 2 * TAPS_MAX) * WIDE, err);
    t->sum = NULL;
    if (t->line && recursive) t->sum = clm_take(w->temp, double, longest *WIDE, err);
    return t->line && (t->sum || !recursive);
}

bool clm_gauss(const clm_work *w, const clm_vol *in, const double sigma_vox[3], clm_vol *out, clm_err *err) {
    for (int d = 0; d < 3; d++)
        if (in->shape[d] != out->shape[d])
            return clm_fail(err, CLM_E_ARG, "smoothing %lld voxels into %lld along axis %d",
                            (long long)in->shape[d], (long long)out->shape[d], d);
    clm_mark m = clm_arena_mark(w->temp);
    kernel k[3];
    tiles t;
    bool ok = begin(w, in, sigma_vox, k, &t, err);
    if (ok) {
        filter_z(&k[0], &t, in, 1, out);
        for (int64_t z = 0; z < in->shape[0]; z++) { /* a plane stays in cache for both */
            filter_y(&k[1], &t, out, z, 1, out);
            filter_x(&k[2], &t, out, z, 1, out);
        }
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_gauss_shrink(const clm_work *w, const clm_vol *in, const double sigma_vox[3], const int64_t step[3],
                      clm_vol *out, clm_err *err) {
    clm_vol small, a, b;
    int64_t shape[3];
    double spacing[3];
    for (int d = 0; d < 3; d++) {
        if (step[d] < 1) return clm_fail(err, CLM_E_ARG, "step %lld along axis %d", (long long)step[d], d);
        shape[d] = clm_div_up(in->shape[d], step[d]);
        spacing[d] = in->spacing[d] * (double)step[d];
    }
    if (!clm_vol_new(w->keep, shape, spacing, in->origin, &small, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    kernel k[3];
    tiles t;
    bool ok = begin(w, in, sigma_vox, k, &t, err) &&
              clm_vol_new(w->temp, (int64_t[3]){shape[0], in->shape[1], in->shape[2]}, spacing, in->origin,
                          &a, err) &&
              clm_vol_new(w->temp, (int64_t[3]){1, shape[1], in->shape[2]}, spacing, in->origin, &b, err);
    if (ok) {
        b.stride[0] = 0; /* one plane stands for all: each is read before the next is written */
        filter_z(&k[0], &t, in, step[0], &a);
        for (int64_t z = 0; z < shape[0]; z++) {
            filter_y(&k[1], &t, &a, z, step[1], &b);
            filter_x(&k[2], &t, &b, z, step[2], &small);
        }
        *out = small;
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}
