#include "collimate/align/blob.h"
#include "collimate/align/spots.h"
#include "collimate/base/simd.h"
#include "collimate/core/buckets.h"
#include "collimate/image/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_VOX 0.95 /* the smallest Gaussian spans at least this many working voxels */
#define SPREAD_SAMPLES 65536
#define ROUNDING 4e-6 /* of the largest intensity: smaller responses are float32 noise */
#define CHUNK 512
#define RUN 512 /* voxels of a row at a time */

/** Sizes and the working grid, from the parameters and the spacing alone, so that all blocks agree. */
typedef struct ladder {
    int n;                            /* sizes                                                    */
    double ratio;                     /* between one and the next                                 */
    double sigma_um[CLM_BLOB_SCALES]; /* standard deviation of each size: radius / sqrt(3)        */
    int64_t step[3];                  /* voxels of v a working voxel                              */
    double spacing[3];                /* micrometres a working voxel                              */
} ladder;

typedef struct peak {
    double pos[3]; /* world um */
    double radius_um;
    float score;
    bool in_core;
} peak;

typedef struct chunk {
    struct chunk *next;
    int64_t n;
    peak p[CHUNK];
} chunk;

typedef struct search {
    const clm_work *w;
    const clm_vol *v;
    const clm_blob_params *p;
    const ladder *l;
    clm_box core;     /* voxels of v */
    clm_vol level[3]; /* responses of sizes j-1, j, j+1 by j mod 3 */
    double spread[CLM_BLOB_SCALES];
    float floor; /* below this a response is rounding noise */
    double best; /* clearest response seen while there is no peak, in spreads */
    chunk *found;
    int64_t n;
} search;

static ladder ladder_of(const clm_blob_params *p, const double spacing[3]) {
    ladder l = {.n = 1, .ratio = sqrt(2.0)};
    double span = p->radius_max_um / p->radius_min_um;
    if (span > 1.001) {
        l.n = 1 + (int)ceil(2.0 * log2(span) - 1e-9);
        if (l.n > CLM_BLOB_SCALES) l.n = CLM_BLOB_SCALES;
        if (l.n < 2) l.n = 2;
        l.ratio = pow(span, 1.0 / (l.n - 1));
    }
    for (int j = 0; j < l.n; j++) l.sigma_um[j] = p->radius_min_um / sqrt(3.0) * pow(l.ratio, j);
    for (int d = 0; d < 3; d++) {
        l.step[d] = 1;
        while (l.sigma_um[0] / sqrt(l.ratio) >= FIRST_VOX * spacing[d] * 2.0 * (double)l.step[d])
            l.step[d] *= 2;
        l.spacing[d] = spacing[d] * (double)l.step[d];
    }
    return l;
}

/** Sigma of Gaussian i in [0, n]: size j is Gaussian j minus Gaussian j + 1. */
static double gauss_um(const ladder *l, int i) { return l->sigma_um[0] * pow(l->ratio, i - 0.5); }

/** What takes Gaussian i - 1 to Gaussian i. */
static double grow_um(const ladder *l, int i) {
    double a = gauss_um(l, i - 1), b = gauss_um(l, i);
    return sqrt(b * b - a * a);
}

static double separation_of(const clm_blob_params *p) {
    return p->separation_um > 0 ? p->separation_um : p->radius_min_um;
}

void clm_blob_halo(const clm_blob_params *p, const double spacing[3], int64_t halo[3], int64_t step[3]) {
    ladder l = ladder_of(p, spacing);
    for (int d = 0; d < 3; d++) {
        int64_t work = 0; /* working voxels: one for the maximum test, two for sub-voxel moves */
        for (int i = 1; i <= l.n; i++) work += clm_gauss_radius(grow_um(&l, i) / l.spacing[d]);
        work += 3 + (int64_t)ceil(separation_of(p) / l.spacing[d]);
        int64_t first = clm_gauss_radius(gauss_um(&l, 0) / spacing[d]);
        halo[d] = clm_div_up(first + work * l.step[d], l.step[d]) * l.step[d];
        if (step) step[d] = l.step[d];
    }
}

static bool check(const clm_blob_params *p, const clm_vol *v, clm_err *err) {
    if (!(p->radius_min_um > 0) || !(p->radius_max_um >= p->radius_min_um) || !isfinite(p->radius_max_um))
        return clm_fail(err, CLM_E_ARG, "blob radii %g to %g um", p->radius_min_um, p->radius_max_um);
    if (!(p->min_signal >= 0) || p->max_spots < 0 || !(p->separation_um >= 0) || !(p->bucket_um >= 0))
        return clm_fail(err, CLM_E_ARG, "blob parameters below zero");
    for (int d = 0; d < 3; d++)
        if (v->shape[d] < 1 || !(v->spacing[d] > 0))
            return clm_fail(err, CLM_E_ARG, "blobs in %lld voxels of %g um along axis %d",
                            (long long)v->shape[d], v->spacing[d], d);
    return true;
}

/** The k-th smallest of n floats above 0, whose bits are in order: digit by digit, each from how often it occurs among
 *  those that agree so far. Nothing for a processor to guess wrong. */
static float select_kth(const float *x, int64_t n, int64_t k) {
    uint32_t found = 0, known = 0;
    for (int shift = 22; shift >= 0; shift -= 11) {
        int64_t count[1 << 11] = {0}, digit = 0;
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            if (((bits ^ found) & known) == 0) count[bits >> shift & 2047]++;
        }
        while (k >= count[digit]) k -= count[digit++];
        found |= (uint32_t)digit << shift;
        known |= (uint32_t)2047 << shift;
    }
    float out;
    memcpy(&out, &found, sizeof out);
    return out;
}

/** 1.4826 times the median of |response| where there is any: the standard deviation, were it normal. Blank
 *  surroundings answer exactly 0 or rounding noise and do not count. */
static bool measure(const search *s, const clm_vol *level, double *spread, clm_err *err) {
    clm_mark m = clm_arena_mark(s->w->temp);
    int64_t n = clm_vol_count(level), every = n / SPREAD_SAMPLES + 1, k = 0;
    float *x = clm_take(s->w->temp, float, n / every + 1, err);
    if (!x) return false;
    for (int64_t i = 0; i < n; i += every) {
        float r = fabsf(level->data[i]);
        if (r > s->floor) x[k++] = r;
    }
    *spread = k ? 1.4826 * (double)select_kth(x, k, k / 2) : 0;
    clm_arena_rewind(s->w->temp, m);
    return true;
}

/** The largest magnitude, NaN being none: bits of floats without a sign are in order, and integers are compared side by
 *  side. */
CLM_CLONES static float largest(const float *v, int64_t n) {
    const int32_t infinite = 0x7f800000;
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        bits &= INT32_MAX;
        bits = bits > infinite ? 0 : bits;
        most = bits > most ? bits : most;
    }
    float out;
    memcpy(&out, &most, sizeof out);
    return out;
}

/** Levels j of the response, one after the other, into s->level[j % 3]; `visit` sees level j once j + 1 is
 *  there. The Gaussian that is no longer needed becomes the response, so four volumes do. */
static bool each_level(search *s, bool (*visit)(search *s, int j, clm_err *err), clm_err *err) {
    const ladder *l = s->l;
    clm_work sub = clm_work_flip(s->w);
    double sigma[3];
    clm_vol gauss, spare[3];
    for (int d = 0; d < 3; d++) sigma[d] = gauss_um(l, 0) / s->v->spacing[d];
    if (!clm_gauss_shrink(&sub, s->v, sigma, l->step, &gauss, err)) return false;
    for (int i = 0; i < 3; i++)
        if (!clm_vol_new(s->w->temp, gauss.shape, gauss.spacing, gauss.origin, &spare[i], err)) return false;
    int64_t n = clm_vol_count(&gauss);
    s->floor = (float)ROUNDING * largest(gauss.data, n);
    for (int j = 0; j < l->n; j++) {
        clm_vol next = j < 3 ? spare[j] : s->level[j % 3]; /* takes the place of level j - 3 */
        for (int d = 0; d < 3; d++) sigma[d] = grow_um(l, j + 1) / l->spacing[d];
        if (!clm_gauss(s->w, &gauss, sigma, &next, err)) return false;
        for (int64_t i = 0; i < n; i++) gauss.data[i] -= next.data[i];
        s->level[j % 3] = gauss;
        gauss = next;
        if (s->p->spread[j] > 0)
            s->spread[j] = s->p->spread[j];
        else if (!measure(s, &s->level[j % 3], &s->spread[j], err))
            return false;
        if (visit && j > 0 && !visit(s, j - 1, err)) return false;
    }
    return !visit || visit(s, l->n - 1, err);
}

/** Is the middle of 27 the largest? Equal neighbours: the first in memory wins. `self` skips the middle. */
static bool is_top(const float *c, const int64_t stride[2], float value, bool self, bool earlier) {
    for (int dz = -1; dz <= 1; dz++)
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                int order = 9 * dz + 3 * dy + dx;
                if (self && order == 0) continue;
                float other = c[dz * stride[0] + dy * stride[1] + dx];
                bool before = self ? order < 0 : earlier;
                if (other > value || (before && other == value)) return false;
            }
    return true;
}

/** Where the parabola through three equally spaced values has its top, within half a step. */
static double top_of(double a, double b, double c) {
    double bend = a - 2 * b + c;
    if (!(bend < 0)) return 0;
    return fmax(-0.5, fmin(0.5, 0.5 * (a - c) / bend));
}

/** Newton step of the quadratic through the 27 values: working voxels from the middle, and the top's value.
 *  Falls back to one axis at a time where the quadratic has no maximum nearby. */
static float climb(const float *c, const int64_t stride[2], double move[3]) {
    const int64_t s[3] = {stride[0], stride[1], 1};
    double g[3], h[3][3], v0 = (double)c[0];
    for (int i = 0; i < 3; i++) {
        double a = (double)c[-s[i]], b = (double)c[s[i]];
        g[i] = 0.5 * (b - a);
        h[i][i] = a - 2 * v0 + b;
        move[i] = top_of(a, v0, b);
        for (int j = 0; j < i; j++)
            h[i][j] = h[j][i] = 0.25 * ((double)c[s[i] + s[j]] - (double)c[s[i] - s[j]] -
                                        (double)c[s[j] - s[i]] + (double)c[-s[i] - s[j]]);
    }
    double minor[3][3], det = 0, full[3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int i1 = (i + 1) % 3, i2 = (i + 2) % 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
            minor[i][j] = h[i1][j1] * h[i2][j2] - h[i1][j2] * h[i2][j1];
        }
    for (int j = 0; j < 3; j++) det += h[0][j] * minor[0][j];
    bool fine = h[0][0] < 0 && minor[2][2] > 0 && det < 0; /* negative definite */
    for (int i = 0; i < 3; i++) {
        full[i] = fine ? -(minor[0][i] * g[0] + minor[1][i] * g[1] + minor[2][i] * g[2]) / det : 0;
        fine = fine && fabs(full[i]) <= 0.75;
    }
    if (fine) memcpy(move, full, sizeof full);
    return (float)(v0 + 0.5 * (g[0] * move[0] + g[1] * move[1] + g[2] * move[2]));
}

static bool keep_peak(search *s, int j, int64_t z, int64_t y, int64_t x, clm_err *err) {
    const clm_vol *mid = &s->level[j % 3];
    const float *c = clm_vol_row(mid, z, y) + x;
    if (!s->found || s->found->n == CHUNK) {
        chunk *more = clm_take(s->w->temp, chunk, 1, err);
        if (!more) return false;
        more->next = s->found, more->n = 0, s->found = more;
    }
    peak *p = &s->found->p[s->found->n++];
    double move[3], at[3] = {(double)z, (double)y, (double)x};
    p->score = climb(c, mid->stride, move);
    for (int d = 0; d < 3; d++) p->pos[d] = mid->origin[d] + (at[d] + move[d]) * mid->spacing[d];
    double size = j;
    if (j > 0 && j + 1 < s->l->n) {
        int64_t i = c - mid->data;
        size +=
            top_of((double)s->level[(j + 2) % 3].data[i], (double)*c, (double)s->level[(j + 1) % 3].data[i]);
    }
    p->radius_um = s->p->radius_min_um * pow(s->l->ratio, size);
    p->in_core = clm_box_has(s->core, z * s->l->step[0], y * s->l->step[1], x * s->l->step[2]);
    s->n++;
    return true;
}

/** The largest response, for the error text when there is no spot. */
static double clearest(const clm_vol *level, const int64_t lo[3], const int64_t hi[3]) {
    float most = 0;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) most = fmaxf(most, clm_vol_row(level, z, y)[x]);
    return (double)most;
}

/** Which of n values are above `least` and no neighbour along x is larger? */
CLM_CLONES static void find_along_x(const float *row, int64_t n, float least, uint8_t *restrict found) {
    for (int64_t i = 0; i < n; i++)
        found[i] = (uint8_t)((row[i] > least) & !(row[i] <= row[i - 1]) & !(row[i] < row[i + 1]));
}

/** Peaks of size j among its neighbours in space and size, over the core and what can outdo its peaks. */
static bool find_peaks(search *s, int j, clm_err *err) {
    const clm_vol *mid = &s->level[j % 3];
    const clm_vol *below = j > 0 ? &s->level[(j + 2) % 3] : NULL;
    const clm_vol *above = j + 1 < s->l->n ? &s->level[(j + 1) % 3] : NULL;
    int64_t lo[3], hi[3];
    for (int d = 0; d < 3; d++) {
        int64_t reach = 2 + (int64_t)ceil(separation_of(s->p) / s->l->spacing[d]);
        lo[d] = s->core.lo[d] / s->l->step[d] - reach;
        hi[d] = clm_div_up(s->core.hi[d], s->l->step[d]) + reach;
        if (lo[d] < 1) lo[d] = 1;
        if (hi[d] > mid->shape[d] - 1) hi[d] = mid->shape[d] - 1;
    }
    float least = (float)(s->p->min_signal * s->spread[j]);
    if (least < s->floor) least = s->floor;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++) {
            const float *row = clm_vol_row(mid, z, y);
            uint8_t found[RUN];
            for (int64_t x = lo[2], n; x < hi[2]; x += n) {
                n = hi[2] - x < RUN ? hi[2] - x : RUN;
                find_along_x(row + x, n, least, found);
                for (const uint8_t *f = found; (f = memchr(f, 1, (size_t)(found + n - f))) != NULL; f++) {
                    const float *at = row + x + (f - found);
                    int64_t i = at - mid->data;
                    if (!is_top(at, mid->stride, *at, true, false)) continue;
                    if (below && !is_top(below->data + i, mid->stride, *at, false, true)) continue;
                    if (above && !is_top(above->data + i, mid->stride, *at, false, false)) continue;
                    if (!keep_peak(s, j, z, y, at - row, err)) return false;
                }
            }
        }
    if (s->n == 0) s->best = fmax(s->best, clearest(mid, lo, hi) / fmax(s->spread[j], (double)s->floor));
    return true;
}

static int by_score(const void *pa, const void *pb) {
    const peak *a = pa, *b = pb;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    for (int d = 0; d < 3; d++)
        if (a->pos[d] != b->pos[d]) return a->pos[d] < b->pos[d] ? -1 : 1;
    return a->radius_um < b->radius_um ? -1 : a->radius_um > b->radius_um;
}

/** Peaks of the core that no clearer peak stands close to. Whether that one is itself outdone does not
 *  matter, so the answer depends on nothing farther than the separation. */
static bool thin_out(search *s, peak **out, int64_t *n_out, clm_err *err) {
    clm_arena *t = s->w->temp;
    peak *p = clm_take(t, peak, s->n, err);
    double(*pos)[3] = clm_arena_take(t, s->n, sizeof *pos, err);
    int32_t *near = clm_take(t, int32_t, s->n, err);
    if (!p || !pos || !near) return false;
    int64_t n = 0, kept = 0;
    for (const chunk *c = s->found; c; c = c->next)
        for (int64_t i = 0; i < c->n; i++) p[n++] = c->p[i];
    qsort(p, (size_t)n, sizeof *p, by_score);
    for (int64_t i = 0; i < n; i++) memcpy(pos[i], p[i].pos, sizeof *pos);
    clm_buckets cells;
    if (!clm_buckets_new(t, n, (const double(*)[3])pos, separation_of(s->p), &cells, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        bool outdone = false;
        int64_t k = p[i].in_core ? clm_buckets_near(&cells, pos[i], separation_of(s->p), n, near) : 0;
        for (int64_t q = 0; q < k; q++) outdone |= near[q] < i; /* sorted: earlier is clearer */
        if (p[i].in_core && !outdone) p[kept++] = p[i];
    }
    *out = p, *n_out = kept;
    return true;
}

static bool put_out(search *s, clm_points *out, clm_err *err) {
    peak *p = NULL;
    int64_t n = 0;
    if (s->n && !thin_out(s, &p, &n, err)) return false;
    if (n == 0)
        return clm_fail(err, CLM_E_NODATA,
                        "no blob of %g to %g um: the clearest stands %.2f spreads out, %g are asked (%lld "
                        "peaks outside the core or outdone)",
                        s->p->radius_min_um, s->p->radius_max_um, s->best, s->p->min_signal, (long long)s->n);
    clm_points all;
    if (!clm_points_new(s->w->temp, n, &all, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        memcpy(all.pos[i], p[i].pos, sizeof p[i].pos);
        all.radius_um[i] = (float)p[i].radius_um;
        all.score[i] = p[i].score;
    }
    double side = s->p->bucket_um, volume = 1;
    for (int d = 0; d < 3; d++) volume *= (double)(s->core.hi[d] - s->core.lo[d]) * s->v->spacing[d];
    if (side == 0 && s->p->max_spots) side = cbrt(volume * 4 / (double)s->p->max_spots);
    clm_work sub = clm_work_flip(s->w);
    int64_t *index;
    return clm_spots_choose(&sub, &all, s->p->max_spots, side, &index, &n, err) &&
           clm_spots_take(s->w->keep, &all, index, n, out, err);
}

bool clm_blob_find(const clm_work *w, const clm_vol *v, clm_box core, const clm_blob_params *p,
                   clm_points *out, clm_err *err) {
    if (!check(p, v, err)) return false;
    if (clm_box_is_empty(core) || !clm_box_covers(clm_box_of(v->shape), core))
        return clm_fail(err, CLM_E_ARG, "the core is empty or not within the volume");
    ladder l = ladder_of(p, v->spacing);
    search s = {.w = w, .v = v, .p = p, .l = &l, .core = core};
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = each_level(&s, find_peaks, err) && put_out(&s, out, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_blob_spread(const clm_work *w, const clm_vol *v, const clm_blob_params *p,
                     double spread[CLM_BLOB_SCALES], clm_err *err) {
    if (!check(p, v, err)) return false;
    clm_blob_params fresh = *p;
    memset(fresh.spread, 0, sizeof fresh.spread);
    ladder l = ladder_of(p, v->spacing);
    search s = {.w = w, .v = v, .p = &fresh, .l = &l};
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = each_level(&s, NULL, err);
    clm_arena_rewind(w->temp, m);
    if (ok) memcpy(spread, s.spread, sizeof s.spread);
    return ok;
}
