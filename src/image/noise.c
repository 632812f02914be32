#include "collimate/image/noise.h"
#include "collimate/base/rng.h"

#include <math.h>

enum { LANES = CLM_NOISE_LANES };

static void node_value(const clm_noise *noise, const int64_t k[3], double v[LANES]) {
    uint64_t key = clm_rng_mix(clm_rng_mix(noise->seed, (uint64_t)k[0]), (uint64_t)k[1]);
    double z = 2.0 * clm_rng_uniform(key, (uint64_t)k[2], 0) - 1.0;
    double turn = 6.283185307179586 * clm_rng_uniform(key, (uint64_t)k[2], 1);
    double r = sqrt(1.0 - z * z);
    v[0] = z;
    v[1] = r * cos(turn);
    v[2] = r * sin(turn);
    v[3] = 2.0 * clm_rng_uniform(key, (uint64_t)k[2], 2) - 1.0;
}

static void fill_nodes(const clm_noise *noise, const int64_t lo[3], const int64_t n[3], double *c) {
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++, c += LANES)
                node_value(noise, (const int64_t[3]){lo[0] + i, lo[1] + j, lo[2] + k}, c);
}

bool clm_noise_patch_new(clm_arena *a, const clm_noise *noise, const double lo[3], const double hi[3],
                         clm_noise_patch *out, clm_err *err) {
    clm_noise_patch p = {.pitch_um = noise->pitch_um};
    for (int d = 0; d < 3; d++) {
        p.lo[d] = (int64_t)floor(lo[d] / noise->pitch_um) - 1;
        p.n[d] = (int64_t)floor(hi[d] / noise->pitch_um) + 3 - p.lo[d];
    }
    double *c = clm_take(a, double, p.n[0] * p.n[1] * p.n[2] * LANES, err);
    if (!c) return false;
    fill_nodes(noise, p.lo, p.n, c);
    p.c = c;
    *out = p;
    return true;
}

/* weights of the four nodes around fraction t, and their slopes a node */
static void taps(double t, double w[4], double s[4]) {
    double r = 1.0 - t;
    w[0] = r * r * r / 6.0;
    w[1] = (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
    w[2] = (4.0 - 6.0 * r * r + 3.0 * r * r * r) / 6.0;
    w[3] = t * t * t / 6.0;
    s[0] = -0.5 * r * r;
    s[1] = 1.5 * t * t - 2.0 * t;
    s[2] = 2.0 * r - 1.5 * r * r;
    s[3] = 0.5 * t * t;
}

/* first coefficient of the 4x4x4 around x, and the taps of the three axes */
static const double *locate(const clm_noise_patch *p, const double x[3], double w[3][4], double s[3][4]) {
    int64_t at[3];
    for (int d = 0; d < 3; d++) {
        double q = x[d] / p->pitch_um, cell = floor(q);
        at[d] = (int64_t)cell - 1 - p->lo[d];
        taps(q - cell, w[d], s[d]);
    }
    return p->c + ((at[0] * p->n[1] + at[1]) * p->n[2] + at[2]) * LANES;
}

void clm_noise_at(const clm_noise_patch *p, const double x[3], double v[LANES]) {
    double w[3][4], s[3][4];
    const double *c = locate(p, x, w, s);
    int64_t dz = p->n[1] * p->n[2] * LANES, dy = p->n[2] * LANES;
    double sum[LANES] = {0};
    for (int i = 0; i < 4; i++) {
        double plane[LANES] = {0};
        for (int j = 0; j < 4; j++) {
            const double *r = c + i * dz + j * dy;
            for (int l = 0; l < LANES; l++)
                plane[l] += w[1][j] * ((w[2][0] * r[l] + w[2][1] * r[LANES + l]) +
                                       (w[2][2] * r[2 * LANES + l] + w[2][3] * r[3 * LANES + l]));
        }
        for (int l = 0; l < LANES; l++) sum[l] += w[0][i] * plane[l];
    }
    for (int l = 0; l < LANES; l++) v[l] = sum[l];
}

void clm_noise_slope_at(const clm_noise_patch *p, const double x[3], double v[LANES], double g[LANES][3]) {
    double w[3][4], s[3][4];
    const double *c = locate(p, x, w, s);
    int64_t dz = p->n[1] * p->n[2] * LANES, dy = p->n[2] * LANES;
    clm_noise_at(p, x, v);
    for (int l = 0; l < LANES; l++) {
        double sum[3] = {0};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 4; k++) {
                    double value = c[i * dz + j * dy + k * LANES + l];
                    sum[0] += s[0][i] * w[1][j] * w[2][k] * value;
                    sum[1] += w[0][i] * s[1][j] * w[2][k] * value;
                    sum[2] += w[0][i] * w[1][j] * s[2][k] * value;
                }
        for (int d = 0; d < 3; d++) g[l][d] = sum[d] / p->pitch_um;
    }
}

void clm_noise_point(const clm_noise *noise, const double x[3], double v[LANES], double g[LANES][3]) {
    double c[64 * LANES];
    clm_noise_patch p = {.c = c, .n = {4, 4, 4}, .pitch_um = noise->pitch_um};
    for (int d = 0; d < 3; d++) p.lo[d] = (int64_t)floor(x[d] / noise->pitch_um) - 1;
    fill_nodes(noise, p.lo, p.n, c);
    if (g)
        clm_noise_slope_at(&p, x, v, g);
    else
        clm_noise_at(&p, x, v);
}
