/* clm_deform_ratios [SIDE]: what the deformation costs a voxel, part by part, beside a copy loop in the same run. One
 * thread's CPU, the least of five; a block of SIDE^3 voxels (160), defaults but for what the row says.
 *   copy      64 MiB from here to there: what the memory gives
 *   sample    rows of the moving volume and its slopes along the map
 *   figures   a pass that gives similarity and energy alone, as the last one of a call does
 *   pass      a pass with its equations
 *   solve     one linear solve on the lattice, told a voxel
 *   whole     a call of 4 iterations that all move, over its iterations
 * A pass reads and writes each voxel's intensities, slopes and positions in caches; what must come from memory is the
 * fixed and the moving voxel. */
#include "../../src/align/deform_parts.h"

#include "collimate/base/clock.h"
#include "collimate/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPIED ((size_t)64 << 20)
#define TIMES 5

typedef struct bench {
    clm_work w;
    clm_deform_params p;
    clm_vol fixed, moving;
    clm_affine A;
    clm_field start, f;
    normal eq;
    float *du[3];
    level l;
} bench;

/* waves in three directions, and noise of each image's own; fixed is shifted by up to a voxel and a half */
static bool fill(bench *b, clm_vol *v, int64_t side, double margin, bool bent, clm_err *err) {
    const int64_t n = side + (int64_t)(2.0 * margin), shape[3] = {n, n, n};
    const double spacing[3] = {1, 1, 1}, origin[3] = {-margin, -margin, -margin};
    if (!clm_vol_new(b->w.keep, shape, spacing, origin, v, err)) return false;
    for (int64_t i = 0; i < n * n * n; i++) {
        double z = (double)(i / (n * n)) - margin, y = (double)(i / n % n) - margin;
        double x = (double)(i % n) - margin;
        if (bent) z += 1.2 * sin(0.07 * x), y += 1.5 * cos(0.06 * z), x += 1.3 * sin(0.05 * y);
        double s = cos(0.61 * z + 0.3 * y) + cos(0.45 * y - 0.37 * x) + cos(0.71 * x + 0.28 * z);
        v->data[i] = (float)(100.0 + 20.0 * s + 4.0 * clm_rng_normal(1, bent, (uint64_t)i));
    }
    return true;
}

static bool make(bench *b, int64_t side, clm_err *err) {
    const int64_t k = (side + 2) / 4 + 1, nodes[3] = {k, k, k};
    const double pitch[3] = {4, 4, 4}, origin[3] = {0, 0, 0};
    b->A = (clm_affine){{{1.01, 0.02, -0.01, 0.3}, {-0.02, 0.99, 0.02, 0.2}, {0.01, -0.01, 1.0, 0.1}}};
    b->p = CLM_DEFORM_DEFAULTS;
    b->p.min_gain = 0.0, b->p.iterations = 4;
    if (!fill(b, &b->fixed, side, 0.0, true, err) || !fill(b, &b->moving, side, 8.0, false, err) ||
        !clm_field_new(b->w.keep, nodes, pitch, origin, &b->start, err) ||
        !clm_field_new(b->w.keep, nodes, pitch, origin, &b->f, err))
        return false;
    int64_t n = clm_field_count(&b->f);
    float *planes = clm_take_zero(b->w.keep, float, 12 * n, err);
    for (int i = 0; planes && i < 12; i++)
        *(i < 3 ? &b->eq.g[i] : i < 9 ? &b->eq.h[i - 3] : &b->du[i - 9]) = planes + i * n;
    return planes != NULL;
}

/* what clm_deform prepares, with the intensities' units known */
static bool begin(bench *b, clm_err *err) {
    b->l = (level){.p = &b->p, .fixed = &b->fixed, .moving = &b->moving, .A = &b->A};
    b->l.fixed_mean = b->l.moving_mean = 100.0, b->l.fixed_scale = b->l.moving_scale = 0.04;
    b->l.fixed_whole = b->l.moving_whole = true;
    int64_t n = clm_vol_count(&b->fixed);
    b->l.I = clm_take(b->w.temp, float, n, err);
    for (int64_t i = 0; b->l.I && i < n; i++) b->l.I[i] = 0.04f * (b->fixed.data[i] - 100.0f);
    if (!b->l.I) return false;
    return b->p.metric == CLM_DEFORM_MI ? mi_prepare(&b->w, &b->l, err)
                                        : !metric_is_local(b->p.metric) || lncc_prepare(&b->w, &b->l, err);
}

static bool sample(bench *b, clm_err *err) {
    clm_mark mark = clm_arena_mark(b->w.temp);
    const int64_t *n = b->fixed.shape;
    sampler s = {.moving = &b->moving, .mean = 100.0f, .scale = 0.04f};
    float *rows = clm_take(b->w.temp, float, 5 * n[2], err), *G[3];
    if (!rows || !clm_rowmap_make(b->w.temp, &b->fixed, &b->moving, &b->A, &b->f, &s.map, err)) return false;
    for (int c = 0; c < 3; c++) G[c] = rows + (2 + c) * n[2];
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) (void)sampler_row(&s, z, y, rows, G, rows + n[2]);
    clm_arena_rewind(b->w.temp, mark);
    return true;
}

static bool figures(bench *b, clm_err *err) {
    pass_sum sum;
    return pass_run(&b->w, &b->l, &b->f, NULL, &sum, err);
}

static bool pass(bench *b, clm_err *err) {
    pass_sum sum;
    return pass_run(&b->w, &b->l, &b->f, &b->eq, &sum, err);
}

static bool solve(bench *b, clm_err *err) {
    const stiffness w = {{0.02, 0.02, 0.02}, {2, 2, 2}};
    return solve_step(&b->w, &b->eq, &b->f, &w, 15, b->du, err);
}

static bool whole(bench *b, clm_err *err) {
    clm_deform_fit fit;
    for (int c = 0; c < 3; c++)
        memcpy(b->f.u[c], b->start.u[c], (size_t)clm_field_count(&b->f) * sizeof(float));
    if (!clm_deform(&b->w, &b->fixed, &b->moving, &b->A, &b->f, &b->p, &fit, err)) return false;
    if (fit.iterations == b->p.iterations) return true;
    return clm_fail(err, CLM_E_NUMERIC, "the descent ended after %d iterations", (int)fit.iterations);
}

static bool copy(bench *b, clm_err *err) {
    static float *from, *to;
    if (!from) {
        from = clm_take_zero(b->w.keep, float, COPIED / sizeof(float), err);
        to = clm_take_zero(b->w.keep, float, COPIED / sizeof(float), err);
        if (!from || !to) return false;
    }
    memcpy(to, from, COPIED);
    return to[COPIED / 8] == 0.0f;
}

static double least_s(bench *b, bool (*run)(bench *, clm_err *), clm_err *err) {
    double best = INFINITY;
    for (int i = 0; i < TIMES; i++) {
        double t = clm_clock_thread_s();
        if (!run(b, err)) return NAN;
        best = fmin(best, clm_clock_thread_s() - t);
    }
    return best;
}

static bool report(bench *b, const char *name, clm_err *err) {
    double n = (double)clm_vol_count(&b->fixed), ns[5];
    bool (*const part[5])(bench *, clm_err *) = {sample, figures, pass, solve, whole};
    clm_mark mark = clm_arena_mark(b->w.temp);
    if (!begin(b, err)) return false;
    for (int i = 0; i < 5; i++)
        if (isnan(ns[i] = least_s(b, part[i], err) * 1e9 / n)) return false;
    clm_arena_rewind(b->w.temp, mark);
    (void)printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f |\n", name, ns[0], ns[1], ns[2], ns[3],
                 ns[4] / b->p.iterations);
    return true;
}

int main(int argc, char **argv) {
    bench b = {0};
    clm_err err = CLM_ERR_NONE;
    clm_arena *keep, *temp;
    int64_t side = argc > 1 ? strtoll(argv[1], NULL, 10) : 160;
    if (side < 16 || side > 512 || !clm_arena_open((size_t)1 << 33, &keep, &err) ||
        !clm_arena_open((size_t)1 << 33, &temp, &err)) {
        (void)fprintf(stderr, "clm_deform_ratios: a side of 16 to 512 voxels, and memory\n");
        return 2;
    }
    b.w = (clm_work){.keep = keep, .temp = temp};
    bool ok = make(&b, side, &err);
    double s = ok ? least_s(&b, copy, &err) : NAN;
    (void)printf("copy: %.1f GB/s read and %.1f written\n\n", (double)COPIED / s / 1e9,
                 (double)COPIED / s / 1e9);
    (void)printf(
        "| metric, ns a voxel | sample | figures | pass | solve | whole, an iteration |\n|---|---|---|---|---|---|\n");
    const char *name[] = {"local NCC, radius 4", "local NCC, radius 8", "NCC", "mean squares",
                          "mutual information"};
    const clm_deform_metric metric[] = {CLM_DEFORM_LNCC, CLM_DEFORM_LNCC, CLM_DEFORM_NCC, CLM_DEFORM_SSD,
                                        CLM_DEFORM_MI};
    for (int i = 0; ok && i < 5; i++) {
        b.p.metric = metric[i], b.p.radius_vox = i == 1 ? 8 : 4;
        ok = report(&b, name[i], &err);
    }
    if (!ok) (void)fprintf(stderr, "clm_deform_ratios: %s\n", err.text);
    clm_arena_close(keep), clm_arena_close(temp);
    return ok ? 0 : 1;
}
