#include "deform_parts.h"

#include "collimate/base/rng.h"

#include <math.h>
#include <string.h>

#define CHECKER_VOX 2        /* edge of the cells; interpolation ties neighbouring voxels together */
#define SOLVER_ITERATIONS 30 /* softer than the steps of the descent: worse conditioned */
#define LEAST 0.015625       /* what is chosen stays within 1/64 and 64 */

static const double WEIGHTS[CLM_DEFORM_WEIGHTS] = {0.125, 1.0, 8.0};

void checker_row(int32_t edge, int64_t z, int64_t y, int64_t n, float *e) {
    for (int64_t x = 0; x < n; x++)
        if ((z / edge + y / edge + x / edge) & 1) e[x] = -e[x];
}

/* How strongly independent noise of the voxels is averaged by the weights of a node: the sum of their squares over
 * their sum, for hat functions of `pitch` voxels. */
static double share_of_squares(const clm_vol *fixed, const clm_field *f) {
    double share = 1.0;
    for (int d = 0; d < 3; d++) {
        double pitch = f->spacing[d] / fixed->spacing[d];
        if (f->shape[d] > 1) share *= (2.0 * pitch * pitch + 1.0) / (3.0 * pitch * pitch);
    }
    return share;
}

static double traces(const normal *eq, int64_t n) {
    double sum = 0.0;
    for (int q = 0; q < 6; q++)
        for (int64_t i = 0; (q == 0 || q == 3 || q == 5) && i < n; i++) sum += (double)eq->h[q][i];
    return sum;
}

/* noise: what is left of the gradient when neighbouring cells count against each other */
static bool look_for_noise(const clm_work *w, const level *l, const clm_field *u, const normal *at,
                           clm_deform_evidence *out, clm_err *err) {
    int64_t n = clm_field_count(u);
    level checkered = *l;
    pass_sum sum;
    checkered.checker_vox = CHECKER_VOX;
    if (!pass_run(w, &checkered, u, at, &sum, err)) return false;
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++) out->noise += (double)at->g[c][i] * (double)at->g[c][i];
    out->noise_unit = traces(at, n) * share_of_squares(l->fixed, u);
    return true;
}

static stiffness scaled(const stiffness *unit, double by) {
    stiffness s = *unit;
    for (int d = 0; d < 3; d++) s.strain[d] *= by, s.curvature[d] *= by;
    return s;
}

/* random signs and -H times them; the trace of any matrix B is z' B z in the mean */
static void make_probe(const normal *eq, int64_t n, float *const z[3], float *const hz[3]) {
    static const int at[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++)
            z[c][i] = clm_rng_uniform(1, (uint64_t)c, (uint64_t)i) < 0.5 ? -1.0f : 1.0f;
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++) {
            float sum = 0.0f;
            for (int d = 0; d < 3; d++) sum += eq->h[at[c][d]][i] * z[d][i];
            hz[c][i] = -sum;
        }
}

bool evidence_gather(const clm_work *w, const level *l, const clm_field *u, const normal *eq,
                     const stiffness *unit, clm_deform_evidence *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t n = clm_field_count(u);
    normal probe;
    clm_field zero = *u, moved = *u;
    float *z[3], *du[3];
    *out = (clm_deform_evidence){0};
    bool ok = true;
    for (int q = 0; ok && q < 6; q++)
        ok = (q >= 3 || ((probe.g[q] = clm_take(w->temp, float, n, err)) != NULL &&
                         (z[q] = clm_take(w->temp, float, n, err)) != NULL &&
                         (du[q] = clm_take(w->temp, float, n, err)) != NULL &&
                         (moved.u[q] = clm_take(w->temp, float, n, err)) != NULL &&
                         (zero.u[q] = clm_take_zero(w->temp, float, n, err)) != NULL)) &&
             (probe.h[q] = clm_take(w->temp, float, n, err)) != NULL;
    ok = ok && look_for_noise(w, l, u, &probe, out, err);
    if (ok) make_probe(eq, n, z, probe.g);
    for (int q = 0; ok && q < 6; q++) memcpy(probe.h[q], eq->h[q], (size_t)n * sizeof(float));
    for (int k = 0; ok && k < CLM_DEFORM_WEIGHTS; k++) {
        stiffness weight = scaled(unit, WEIGHTS[k]);
        ok = solve_step(w, eq, u, &weight, SOLVER_ITERATIONS, du, err);
        for (int c = 0; ok && c < 3; c++)
            for (int64_t i = 0; i < n; i++) moved.u[c][i] = u->u[c][i] + du[c][i];
        if (ok) out->curvature[k] = 2.0 * stiffness_energy(&moved, unit);
        ok = ok && solve_step(w, &probe, &zero, &weight, SOLVER_ITERATIONS, du, err);
        for (int c = 0; ok && c < 3; c++)
            for (int64_t i = 0; i < n; i++) out->freedom[k] += (double)z[c][i] * (double)du[c][i];
    }
    clm_arena_rewind(w->temp, mark);
    return ok;
}

void clm_deform_evidence_add(clm_deform_evidence *sum, const clm_deform_evidence *part) {
    sum->noise += part->noise, sum->noise_unit += part->noise_unit;
    for (int k = 0; k < CLM_DEFORM_WEIGHTS; k++)
        sum->curvature[k] += part->curvature[k], sum->freedom[k] += part->freedom[k];
}

double clm_deform_stiffness(const clm_deform_evidence *e, double otherwise) {
    double excess[CLM_DEFORM_WEIGHTS]; /* log of what the weight should be over what it is */
    for (int k = 0; k < CLM_DEFORM_WEIGHTS; k++) {
        double should = e->noise / e->noise_unit * e->freedom[k] / e->curvature[k];
        if (!(should > 0.0) || !isfinite(should)) return otherwise;
        excess[k] = log(should / WEIGHTS[k]);
    }
    /* falls with the weight; a straight line in logarithms between two weights, and beyond the outer ones */
    int k = excess[1] < 0.0 ? 0 : 1;
    double lo = log(WEIGHTS[k]), hi = log(WEIGHTS[k + 1]), fall = excess[k] - excess[k + 1];
    if (!(fall > 0.0)) return otherwise;
    double found = exp(lo + (hi - lo) * excess[k] / fall);
    return fmin(fmax(found, LEAST), 1.0 / LEAST);
}
