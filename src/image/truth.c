#include "collimate/image/truth.h"
#include "collimate/base/heap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool clm_frame_has(const clm_frame *f, const double y[3]) {
    for (int d = 0; d < 3; d++) {
        double at = (y[d] - f->origin[d]) / f->spacing[d];
        if (!(at >= 0.0 && at <= (double)(f->shape[d] - 1))) return false;
    }
    return true;
}

bool clm_truth_sample(const clm_work *w, clm_point_map truth, const clm_frame *fixed, const clm_frame *moving,
                      int64_t per_axis, clm_truth_points *out, clm_err *err) {
    if (per_axis < 1) return clm_fail(err, CLM_E_ARG, "points per axis must be at least 1");
    int64_t n[3], all = 1;
    for (int d = 0; d < 3; d++) {
        n[d] = fixed->shape[d] < per_axis ? fixed->shape[d] : per_axis;
        if (!clm_mul(all, n[d], &all, err)) return false;
    }
    clm_mark mark = clm_arena_mark(w->temp);
    clm_truth_points p = {0};
    double(*x)[3] = clm_arena_take(w->temp, all, sizeof *x, err);
    double(*y)[3] = x ? clm_arena_take(w->temp, all, sizeof *y, err) : NULL;
    if (!y) return false;
    for (int64_t i = 0; i < all; i++) {
        int64_t k[3] = {i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]};
        for (int d = 0; d < 3; d++) {
            double part = ((double)k[d] + 0.5) / (double)n[d]; /* of the volume, faces and all */
            x[p.n][d] = fixed->origin[d] + fixed->spacing[d] * (part * (double)fixed->shape[d] - 0.5);
        }
        truth.at(truth.ctx, x[p.n], y[p.n]);
        if (clm_frame_has(moving, y[p.n])) p.n++;
    }
    if (p.n == 0)
        return clm_fail(err, CLM_E_NODATA, "no point of the fixed volume maps inside the moving volume");
    size_t bytes = (size_t)p.n * sizeof *x;
    p.x = clm_arena_take(w->keep, p.n, sizeof *x, err);
    p.y = p.x ? clm_arena_take(w->keep, p.n, sizeof *y, err) : NULL;
    if (!p.y) return false;
    memcpy(p.x, x, bytes);
    memcpy(p.y, y, bytes);
    clm_arena_rewind(w->temp, mark);
    *out = p;
    return true;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int64_t n, double part) {
    int64_t at = (int64_t)ceil(part * (double)n) - 1;
    return sorted[at < 0 ? 0 : at];
}

static clm_spread spread_of(double *distance, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += distance[i];
    qsort(distance, (size_t)n, sizeof *distance, by_size);
    return (clm_spread){.median = percentile(distance, n, 0.5),
                        .mean = sum / (double)n,
                        .p90 = percentile(distance, n, 0.90),
                        .p95 = percentile(distance, n, 0.95),
                        .p99 = percentile(distance, n, 0.99),
                        .max = distance[n - 1]};
}

void clm_truth_map(const clm_truth_points *points, clm_point_map map, double (*found)[3]) {
    for (int64_t i = 0; i < points->n; i++) map.at(map.ctx, points->x[i], found[i]);
}

bool clm_truth_compare(const clm_work *w, const clm_truth_points *points, double (*found)[3],
                       const double spacing[3], clm_truth_error *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    double *um = clm_take(w->temp, double, points->n, err);
    double *voxels = um ? clm_take(w->temp, double, points->n, err) : NULL;
    if (!voxels) return false;
    for (int64_t i = 0; i < points->n; i++) {
        double um2 = 0.0, voxels2 = 0.0;
        for (int d = 0; d < 3; d++) {
            double e = found[i][d] - points->y[i][d], v = e / spacing[d];
            um2 += e * e;
            voxels2 += v * v;
        }
        um[i] = isfinite(um2) ? sqrt(um2) : INFINITY;
        voxels[i] = isfinite(voxels2) ? sqrt(voxels2) : INFINITY;
    }
    out->um = spread_of(um, points->n);
    out->voxels = spread_of(voxels, points->n);
    out->n = points->n;
    clm_arena_rewind(w->temp, mark);
    return true;
}
