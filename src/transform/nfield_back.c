#include "collimate/transform/nfield.h"
#include "collimate/core/linalg.h"
#include "collimate/store/format.h"

#include <math.h>
#include <string.h>

/* A field turned round: T(x) = y. */

#define STEPS 200
#define GUESSES_MAX 32768
#define TOLERANCE 1e-9

static double size_of(int n, const double *x) {
    double most = 0.0;
    for (int d = 0; d < n; d++) most = fmax(most, fabs(x[d]));
    return most;
}

/* |T(x) - y|, and the step that Newton takes from x */
static bool look(clm_nfield *f, const double *y, const double *x, double *error, double *step, clm_err *err) {
    double v[CLM_DIMS_MAX], slope[CLM_DIMS_MAX * CLM_DIMS_MAX], r[CLM_DIMS_MAX];
    if (!clm_nfield_value(f, x, v, slope, err)) return false;
    for (int d = 0; d < f->n; d++) {
        r[d] = y[d] - (f->positions ? v[d] : x[d] + v[d]);
        if (!f->positions) slope[d * f->n + d] += 1.0;
    }
    *error = size_of(f->n, r);
    memcpy(step, r, (size_t)f->n * sizeof *r);
    /* where the field folds or, for positions, ends: at least some way, and the damping finds how far */
    if (!clm_solve_small(f->n, slope, step)) memcpy(step, r, (size_t)f->n * sizeof *r);
    return true;
}

/* Positions know nothing beyond their nodes: keep x among them. */
static void keep_within(const clm_nfield *f, double *x) {
    double v[CLM_DIMS_MAX];
    bool moved = false;
    for (int d = 0; d < f->n; d++) {
        v[d] = 0.0;
        for (int j = 0; j < f->n; j++) v[d] += f->to_node[d * f->n + j] * (x[j] - f->origin[j]);
        double in = fmin(fmax(v[d], 0.0), (double)(f->shape[d] - 1));
        moved = moved || in != v[d];
        v[d] = in;
    }
    if (!moved || !clm_solve_small(f->n, f->to_node, v)) return;
    for (int d = 0; d < f->n; d++) x[d] = f->origin[d] + v[d];
}

/* From x downhill; x becomes the best that was met. */
static bool descend(clm_nfield *f, const double *y, double *x, double *best, clm_err *err) {
    double at[CLM_DIMS_MAX], step[CLM_DIMS_MAX], next[CLM_DIMS_MAX], error, damping = 1.0;
    memcpy(at, x, (size_t)f->n * sizeof *x);
    *best = INFINITY;
    for (int k = 0; k<STEPS && * best> 0.0; k++) {
        if (f->positions) keep_within(f, at);
        if (!look(f, y, at, &error, next, err)) return false;
        if (error < *best) {
            *best = error;
            damping = 1.0;
            memcpy(x, at, (size_t)f->n * sizeof *x);
            memcpy(step, next, sizeof step);
        } else {
            damping *= 0.5;
            if (damping < 1e-6) break;
        }
        for (int d = 0; d < f->n; d++) at[d] = x[d] + damping * step[d];
    }
    return true;
}

/* Up to GUESSES_MAX nodes, evenly, each with where the field sends it. */
static bool find_guesses(clm_nfield *f, clm_err *err) {
    int64_t every = 1, count[CLM_DIMS_MAX], lo[CLM_DIMS_MAX] = {0}, at[CLM_DIMS_MAX] = {0};
    for (;; every++) {
        f->guesses = 1;
        for (int d = 0; d < f->n; d++) {
            count[d] = (f->shape[d] + every - 1) / every;
            f->guesses = f->guesses > GUESSES_MAX ? f->guesses : f->guesses * count[d];
        }
        if (f->guesses <= GUESSES_MAX) break;
        if (every > 64) every += every / 8;
    }
    double *guess = clm_heap_new((size_t)f->guesses * 2 * (size_t)f->n, sizeof *guess, err);
    bool ok = guess != NULL;
    for (int64_t i = 0; ok && i < f->guesses; i++, (void)clm_step(f->n, lo, count, at)) {
        double *x = guess + i * 2 * f->n, v[CLM_DIMS_MAX];
        for (int d = 0; d < f->n; d++) v[d] = (double)(at[d] * every);
        ok = clm_solve_small(f->n, f->to_node, v) || clm_fail(err, CLM_E_NUMERIC, "a flat lattice");
        for (int d = 0; d < f->n; d++) x[d] = x[f->n + d] = f->origin[d] + v[d];
        ok = ok && clm_nfield_forward(f, x + f->n, err);
    }
    if (ok)
        f->guess = guess; /* whole: who asks again after an error has none */
    else
        clm_heap_free(guess);
    return ok;
}

static const double *nearest_guess(const clm_nfield *f, const double *y) {
    const double *best = f->guess;
    double least = INFINITY;
    for (int64_t i = 0; i < f->guesses; i++) {
        const double *g = f->guess + i * 2 * f->n;
        double r = 0.0;
        for (int d = 0; d < f->n; d++) r += (g[f->n + d] - y[d]) * (g[f->n + d] - y[d]);
        if (r < least) least = r, best = g;
    }
    return best;
}

bool clm_nfield_back(clm_nfield *f, double *y, clm_err *err) {
    double x[CLM_DIMS_MAX] = {0}, other[CLM_DIMS_MAX], error = INFINITY, second;
    double most = TOLERANCE * fmax(1.0, size_of(f->n, y));
    if (!f->positions) {
        memcpy(x, y, (size_t)f->n * sizeof *x);
        if (!descend(f, y, x, &error, err)) return false;
    }
    if (!(error <= most)) {
        if (!f->guess && !find_guesses(f, err)) return false;
        memcpy(other, nearest_guess(f, y), (size_t)f->n * sizeof *other);
        if (!descend(f, y, other, &second, err)) return false;
        if (second < error) {
            error = second;
            memcpy(x, other, sizeof x);
        }
    }
    if (!(error <= most))
        return clm_fail(err, CLM_E_NUMERIC,
                        "%s: no point was found that it sends there; the nearest is off by %.3g",
                        clm_array_path_of(f->array), error);
    memcpy(y, x, (size_t)f->n * sizeof *y);
    return true;
}
