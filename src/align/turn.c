#include "collimate/align/turn.h"
#include "turn_parts.h"

#include <math.h>
#include <string.h>

#define SHELLS 5
#define DEGREE TURN_DEGREE /* finest angular detail: a shell of 4 samples radius holds no more */
#define HARMONICS TURN_HARMONICS
#define DIRECTIONS 192
#define SIGNATURE (SHELLS + DEGREE * SHELLS * (SHELLS + 1) / 2)
#define SIGNATURE_DIM 96                 /* SIGNATURE rounded up to 32 */
#define SIDE (CLM_PATCH_SAMPLES_MAX + 4) /* a ball in a cube with a rim of zeros */

/** A ball unpacked into a cube, and places in it: first corner and the rest. */
typedef struct cube {
    int32_t samples, n;
    int8_t at[CLM_PATCH_BALL_MAX][3];
    float value[SIDE * SIDE * SIDE];
} cube;

typedef struct place {
    int32_t corner;
    float f[3];
} place;

typedef struct sphere {
    place at[SHELLS][DIRECTIONS];
    float y[DIRECTIONS][HARMONICS]; /* real harmonics times the weight of a direction */
} sphere;

static cube *cube_new(clm_arena *a, int32_t samples, clm_err *err) {
    cube *c = clm_take_zero(a, cube, 1, err);
    if (!c) return NULL;
    c->samples = samples;
    c->n = clm_patch_ball(samples, c->at);
    return c;
}

static int32_t index_of(const int32_t at[3]) { return (at[0] * SIDE + at[1]) * SIDE + at[2]; }

/** A place, in sample distances from the ball's middle; beyond the rim everything is 0. */
static place place_of(const double x[3]) {
    place p;
    int32_t lo[3];
    for (int d = 0; d < 3; d++) {
        double t = fmax(0, fmin(SIDE - 1.001, x[d] + (double)(SIDE / 2)));
        lo[d] = (int32_t)t;
        p.f[d] = (float)(t - lo[d]);
    }
    p.corner = index_of(lo);
    return p;
}

static void unpack(cube *c, const int8_t *code, float norm) {
    for (int32_t i = 0; i < c->n; i++) {
        const int32_t at[3] = {c->at[i][0] + SIDE / 2, c->at[i][1] + SIDE / 2, c->at[i][2] + SIDE / 2};
        c->value[index_of(at)] = (float)code[i] * norm;
    }
}

static float look(const cube *c, const place *p) {
    float row[4];
    for (int k = 0; k < 4; k++) {
        const float *q = c->value + p->corner + (k & 2 ? SIDE * SIDE : 0) + (k & 1 ? SIDE : 0);
        row[k] = q[0] + p->f[2] * (q[1] - q[0]);
    }
    float low = row[0] + p->f[1] * (row[1] - row[0]), high = row[2] + p->f[1] * (row[3] - row[2]);
    return low + p->f[0] * (high - low);
}

void clm_turn_harmonics(double z, double turn, double y[HARMONICS]) {
    double p[DEGREE + 1][DEGREE + 1] = {{0}}, r = sqrt(fmax(0, 1 - z * z));
    p[0][0] = 1;
    for (int m = 1; m <= DEGREE; m++) p[m][m] = (2 * m - 1) * r * p[m - 1][m - 1];
    for (int m = 0; m < DEGREE; m++) p[m + 1][m] = z * (2 * m + 1) * p[m][m];
    for (int m = 0; m <= DEGREE; m++)
        for (int l = m + 2; l <= DEGREE; l++)
            p[l][m] = (z * (2 * l - 1) * p[l - 1][m] - (l + m - 1) * p[l - 2][m]) / (l - m);
    for (int l = 0; l <= DEGREE; l++)
        for (int m = -l; m <= l; m++) {
            int a = m < 0 ? -m : m;
            double scale = (2 * l + 1) / (4 * 3.141592653589793);
            for (int k = l - a + 1; k <= l + a; k++) scale /= k;
            if (m) scale *= 2;
            y[l * l + l + m] = sqrt(scale) * p[l][a] * (m < 0 ? sin(a * turn) : cos(a * turn));
        }
}

/** Directions on a Fibonacci spiral, nearly even, so that equal weights integrate well. */
static sphere *sphere_new(clm_arena *a, int32_t samples, clm_err *err) {
    sphere *s = clm_take(a, sphere, 1, err);
    if (!s) return NULL;
    for (int i = 0; i < DIRECTIONS; i++) {
        double z = 1 - (2 * i + 1.0) / DIRECTIONS, turn = i * 2.399963229728653, r = sqrt(1 - z * z);
        double y[HARMONICS], weight = 4 * 3.141592653589793 / DIRECTIONS;
        clm_turn_harmonics(z, turn, y);
        for (int k = 0; k < HARMONICS; k++) s->y[i][k] = (float)(weight * y[k]);
        for (int shell = 0; shell < SHELLS; shell++) {
            double radius = (samples / 2) * (0.25 + 0.75 * shell / (SHELLS - 1));
            double x[3] = {radius * z, radius * r * sin(turn), radius * r * cos(turn)};
            s->at[shell][i] = place_of(x);
        }
    }
    return s;
}

/** For every degree the products of the shells' coefficients, summed over the orders, do not change when the
 *  ball turns. Signed roots bring them to the scale of the intensities. */
static void signature(const cube *c, const sphere *s, float out[SIGNATURE_DIM]) {
    float a[SHELLS][HARMONICS];
    memset(a, 0, sizeof a);
    for (int shell = 0; shell < SHELLS; shell++)
        for (int i = 0; i < DIRECTIONS; i++) {
            float v = look(c, &s->at[shell][i]);
            for (int k = 0; k < HARMONICS; k++) a[shell][k] += v * s->y[i][k];
        }
    int n = 0;
    for (int p = 0; p < SHELLS; p++) out[n++] = a[p][0];
    for (int l = 1; l <= DEGREE; l++)
        for (int p = 0; p < SHELLS; p++)
            for (int q = 0; q <= p; q++) {
                float g = 0;
                for (int k = l * l; k < (l + 1) * (l + 1); k++) g += a[p][k] * a[q][k];
                out[n++] = copysignf(sqrtf(fabsf(g)), g);
            }
    out[n] = 0;
}

static bool signatures(const clm_work *w, const clm_patches *in, float (**out)[SIGNATURE_DIM], clm_err *err) {
    *out = clm_arena_take(w->temp, in->n, sizeof **out, err);
    cube *c = cube_new(w->temp, in->samples, err);
    sphere *s = c ? sphere_new(w->temp, in->samples, err) : NULL;
    if (!*out || !s) return false;
    for (int64_t i = 0; i < in->n; i++) {
        memset((*out)[i], 0, sizeof **out);
        if (in->norm[i] == 0) continue;
        unpack(c, in->code + i * in->dim, in->norm[i]);
        signature(c, s, (*out)[i]);
    }
    return true;
}

/** Mean and spread of each entry over both sets, so that every entry says as much as the others. */
static void standards(const clm_patches *p[2], float (*const sig[2])[SIGNATURE_DIM], double mean[SIGNATURE],
                      double per[SIGNATURE]) {
    for (int k = 0; k < SIGNATURE; k++) {
        double sum = 0, square = 0, n = 0;
        for (int side = 0; side < 2; side++)
            for (int64_t i = 0; i < p[side]->n; i++) {
                if (p[side]->norm[i] == 0) continue;
                sum += (double)sig[side][i][k];
                square += (double)sig[side][i][k] * (double)sig[side][i][k];
                n++;
            }
        mean[k] = n > 0 ? sum / n : 0;
        double var = n > 0 ? square / n - mean[k] * mean[k] : 0;
        per[k] = var > 0 ? 1 / sqrt(var) : 0;
    }
}

static bool pack(clm_arena *a, const clm_patches *p, float (*sig)[SIGNATURE_DIM],
                 const double mean[SIGNATURE], const double per[SIGNATURE], clm_patches *out, clm_err *err) {
    clm_patches made = {.n = p->n, .dim = SIGNATURE_DIM};
    made.code = clm_arena_take(a, p->n, SIGNATURE_DIM, err);
    if (!made.code) return false;
    made.norm = clm_take(a, float, p->n, err);
    if (!made.norm) return false;
    for (int64_t i = 0; i < p->n; i++) {
        int8_t *row = made.code + i * SIGNATURE_DIM;
        for (int k = 0; k < SIGNATURE; k++) sig[i][k] = (float)(((double)sig[i][k] - mean[k]) * per[k]);
        made.norm[i] = clm_patch_encode(SIGNATURE, sig[i], NULL, row, SIGNATURE_DIM);
        if (p->norm[i] == 0) made.norm[i] = 0;
    }
    *out = made;
    return true;
}

static bool is_ball(const clm_patches *p, clm_err *err) {
    if (p->samples < 3 || p->samples > CLM_PATCH_SAMPLES_MAX || p->samples % 2 == 0 ||
        p->dim < clm_patch_ball(p->samples, NULL))
        return clm_fail(err, CLM_E_ARG, "patches of %d samples across and %d bytes cannot be turned",
                        (int)p->samples, (int)p->dim);
    return true;
}

bool clm_turn_match(const clm_work *w, const clm_points *fixed, const clm_patches *f,
                    const clm_points *moving, const clm_patches *m, double min_correlation, clm_matches *out,
                    clm_err *err) {
    if (!is_ball(f, err) || !is_ball(m, err)) return false;
    if (f->samples != m->samples)
        return clm_fail(err, CLM_E_ARG, "patches of %d and %d samples", (int)f->samples, (int)m->samples);
    clm_mark mark = clm_arena_mark(w->temp);
    const clm_patches *p[2] = {f, m};
    float(*sig[2])[SIGNATURE_DIM];
    double mean[SIGNATURE], per[SIGNATURE];
    clm_patches s[2];
    clm_match_params how = {.min_correlation = min_correlation, .ratio = 1};
    clm_affine none = CLM_AFFINE_IDENTITY;
    bool ok = signatures(w, f, &sig[0], err) && signatures(w, m, &sig[1], err);
    if (ok) standards(p, sig, mean, per);
    for (int side = 0; ok && side < 2; side++)
        ok = pack(w->temp, p[side], sig[side], mean, per, &s[side], err);
    ok = ok && clm_match(w, fixed, &s[0], moving, &s[1], &none, &how, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

bool clm_turn_patches(const clm_work *w, const clm_patches *in, const double linear[3][3], clm_patches *out,
                      clm_err *err) {
    if (!is_ball(in, err)) return false;
    clm_patches made = {.n = in->n, .samples = in->samples, .dim = in->dim};
    made.code = clm_arena_take(w->keep, in->n, (size_t)in->dim, err);
    if (!made.code) return false;
    made.norm = clm_take(w->keep, float, in->n, err);
    if (!made.norm) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    cube *c = cube_new(w->temp, in->samples, err);
    place *at = c ? clm_take(w->temp, place, c->n, err) : NULL;
    float *value = at ? clm_take(w->temp, float, c->n, err) : NULL;
    bool *inside = value ? clm_take(w->temp, bool, c->n, err) : NULL;
    if (inside) {
        double most = (in->samples / 2 + 0.5) * (in->samples / 2 + 0.5);
        for (int32_t i = 0; i < c->n; i++) {
            double x[3], r2 = 0;
            for (int d = 0; d < 3; d++) {
                x[d] = linear[d][0] * c->at[i][0] + linear[d][1] * c->at[i][1] + linear[d][2] * c->at[i][2];
                r2 += x[d] * x[d];
            }
            at[i] = place_of(x);
            inside[i] = r2 <= most;
        }
        for (int64_t i = 0; i < in->n; i++) {
            unpack(c, in->code + i * in->dim, in->norm[i]);
            for (int32_t k = 0; k < c->n; k++) value[k] = look(c, &at[k]);
            made.norm[i] = clm_patch_encode(c->n, value, inside, made.code + i * in->dim, in->dim);
        }
        *out = made;
    }
    clm_arena_rewind(w->temp, mark);
    return inside != NULL;
}
