#include "collimate/image/noise.h"
#include "collimate/base/rng.h"

#include <math.h>
#include <string.h>

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

/* floor, which is a library call without SSE 4.1 */
static double floor_of(double q) {
    double t = (double)(int64_t)q;
    return t > q ? t - 1.0 : t;
}

/* weights of the four nodes around fraction t */
static void taps(double t, double w[4]) {
    double r = 1.0 - t, sixth = 1.0 / 6.0;
    w[0] = r * r * r * sixth;
    w[1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t);
    w[2] = 2.0 / 3.0 - r * r * (1.0 - 0.5 * r);
    w[3] = t * t * t * sixth;
}

/* and how they change a node */
static void slopes(double t, double s[4]) {
    double r = 1.0 - t;
    s[0] = -0.5 * r * r;
    s[1] = 1.5 * t * t - 2.0 * t;
    s[2] = 2.0 * r - 1.5 * r * r;
    s[3] = 0.5 * t * t;
}

/* first coefficient of the 4x4x4 around x, and where in its cell x is */
static const double *locate(const clm_noise_patch *p, const double x[3], double t[3]) {
    int64_t at[3];
    for (int d = 0; d < 3; d++) {
        double q = x[d] / p->pitch_um, cell = floor_of(q);
        at[d] = (int64_t)cell - 1 - p->lo[d];
        t[d] = q - cell;
    }
    return p->c + ((at[0] * p->n[1] + at[1]) * p->n[2] + at[2]) * LANES;
}

/* two lanes at once, in one register of any machine; a vector extension of GCC and Clang */
typedef double pair __attribute__((vector_size(16)));

static inline pair pair_at(const double *c) {
    pair v;
    memcpy(&v, c, sizeof v);
    return v;
}

static inline pair weigh(const double *c, const double w[4]) {
    return (w[0] * pair_at(c) + w[1] * pair_at(c + LANES)) +
           (w[2] * pair_at(c + 2 * LANES) + w[3] * pair_at(c + 3 * LANES));
}

void clm_noise_at(const clm_noise_patch *p, const double x[3], double v[LANES]) {
    double t[3], w[3][4];
    const double *c = locate(p, x, t);
    for (int d = 0; d < 3; d++) taps(t[d], w[d]);
    int64_t dz = p->n[1] * p->n[2] * LANES, dy = p->n[2] * LANES;
    pair sum[2] = {{0}};
    for (int i = 0; i < 4; i++, c += dz) {
        pair plane[2] = {{0}};
        for (int j = 0; j < 4; j++) {
            plane[0] += w[1][j] * weigh(c + j * dy, w[2]);
            plane[1] += w[1][j] * weigh(c + j * dy + 2, w[2]);
        }
        sum[0] += w[0][i] * plane[0];
        sum[1] += w[0][i] * plane[1];
    }
    memcpy(v, sum, sizeof sum);
}

void clm_noise_slope_at(const clm_noise_patch *p, const double x[3], double v[LANES], double g[LANES][3]) {
    double t[3], w[3][4], s[3][4];
    const double *c = locate(p, x, t);
    for (int d = 0; d < 3; d++) taps(t[d], w[d]), slopes(t[d], s[d]);
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
