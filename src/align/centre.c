#include "collimate/align/centre.h"
#include "collimate/base/rng.h"
#include "collimate/image/reduce.h"

#include <math.h>
#include <string.h>

#define SMALL 50000      /* voxels of the volumes that are looked at often */
#define LEAST 24         /* voxels an axis of theirs keeps                 */
#define RANDOM 200       /* placements that the result is held against     */
#define TURNS 2000       /* rotations tried: 12 degrees apart              */
#define STARTS 13        /* of all kinds                                   */
#define FINALISTS 2      /* refined on all voxels                          */
#define MIRROR_START 0.5 /* of the score as it is, that a mirrored start must have to be climbed from */
#define MIRROR_GAIN 1.1  /* times as telling as it is: what is symmetric is as good either way */
#define OVERLAP 0.25     /* share of the smaller image that a start must compare */

/** What is looked at many times. */
typedef struct search {
    const clm_work *w;
    clm_vol fixed, moving;
    double fixed_middle[3], moving_middle[3], fixed_mass[3], moving_mass[3];
    clm_refine_params refine;
    int flat; /* the axis along which fixed is one plane, or -1 */
} search;

typedef struct start {
    clm_affine affine;
    double tells;
} start;

static bool shrink(const clm_work *w, const clm_vol *v, clm_vol *out, clm_err *err) {
    int64_t factor[3];
    int level = 0;
    for (bool more = true; more; level++) {
        more = clm_reduce_factor(v, level, LEAST, factor);
        if (clm_vol_count(v) / (factor[0] * factor[1] * factor[2]) <= SMALL) break;
    }
    return clm_reduce(w, v, factor, out, err);
}

static void middle_of(const clm_vol *v, double out[3]) {
    for (int d = 0; d < 3; d++) out[d] = v->origin[d] + 0.5 * (double)(v->shape[d] - 1) * v->spacing[d];
}

/** Of what is brighter than the mean; where nothing is, the middle. */
static void mass_of(const clm_vol *v, double out[3]) {
    double mean = 0, mass = 0, sum[3] = {0};
    for (int pass = 0; pass < 2; pass++) {
        double count = 0, total = 0;
        for (int64_t i = 0, n = clm_vol_count(v); i < n; i++) {
            const int64_t at[3] = {i / v->shape[2] / v->shape[1], i / v->shape[2] % v->shape[1],
                                   i % v->shape[2]};
            double value = (double)clm_vol_row(v, at[0], at[1])[at[2]];
            if (!isfinite(value)) continue;
            count += 1, total += value;
            double over = pass && value > mean ? value - mean : 0;
            mass += over;
            for (int d = 0; d < 3; d++) sum[d] += over * (v->origin[d] + (double)at[d] * v->spacing[d]);
        }
        mean = count > 0 ? total / count : 0;
    }
    middle_of(v, out);
    for (int d = 0; mass > 0 && d < 3; d++) out[d] = sum[d] / mass;
}

/** x -> R (x - from) + to, R the k-th random rotation; in the plane where there is but one. */
static clm_affine turned(const search *s, uint64_t k, const double from[3], const double to[3]) {
    double q[4], length = 0;
    for (uint64_t i = 0; i < 4; i++) q[i] = clm_rng_normal(s->w->seed, 0x7475726eu, 4 * k + i);
    if (s->flat >= 0)
        for (int i = 1; i < 4; i++) q[i] = i == s->flat + 1 ? q[i] : 0;
    for (int i = 0; i < 4; i++) length += q[i] * q[i];
    length = sqrt(length);
    double a = q[0] / length, b = q[1] / length, c = q[2] / length, d = q[3] / length;
    clm_affine t = {{{a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c), 0},
                     {2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b), 0},
                     {2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d, 0}}};
    for (int i = 0; i < 3; i++)
        t.m[i][3] = to[i] - t.m[i][0] * from[0] - t.m[i][1] * from[1] - t.m[i][2] * from[2];
    return t;
}

static clm_affine shifted(const double from[3], const double to[3]) {
    clm_affine t = CLM_AFFINE_IDENTITY;
    for (int d = 0; d < 3; d++) t.m[d][3] = to[d] - from[d];
    return t;
}

/** The score of the small volumes under `a`, after climbing or (iterations 0) as it is. *ok false: no score. */
static bool look(const search *s, const clm_affine *a, int32_t iterations, clm_refine_fit *out, bool *ok,
                 clm_err *err) {
    clm_refine_params p = s->refine;
    clm_err none = CLM_ERR_NONE;
    p.iterations = iterations;
    if (iterations == 0) p.levels = 1;
    *ok = clm_refine_affine(s->w, &s->fixed, &s->moving, a, &p, out, &none);
    if (*ok || none.code == CLM_E_NODATA) return true;
    *err = none;
    return false;
}

static double tells(const clm_refine_fit *f) {
    double left = 1 - f->after * f->after;
    return f->after > 0 ? -f->overlap * log(left > 1e-12 ? left : 1e-12) : 0;
}

/** Into the list of the best, most telling first. */
static void enter(start list[STARTS], int *n, int room, const clm_affine *a, double tells) {
    int at = *n;
    while (at > 0 && list[at - 1].tells < tells) at--;
    if (at >= room) return;
    int last = *n < room ? *n : room - 1;
    memmove(list + at + 1, list + at, (size_t)(last - at) * sizeof *list);
    list[at] = (start){*a, tells};
    if (*n < room) ++*n;
}

static bool lay_starts(const search *s, const clm_centre_params *p, start list[STARTS], int *n,
                       clm_err *err) {
    const clm_affine identity = CLM_AFFINE_IDENTITY;
    *n = 0;
    for (uint64_t k = 0; p->any_rotation && k < TURNS; k++) {
        clm_affine a = turned(s, RANDOM + k, s->fixed_mass, s->moving_mass);
        clm_refine_fit f;
        bool ok;
        if (!look(s, &a, 0, &f, &ok, err)) return false;
        if (ok && f.shared >= OVERLAP) enter(list, n, STARTS - 4, &a, tells(&f));
    }
    if (p->start) list[(*n)++].affine = *p->start;
    if (p->identity) list[(*n)++].affine = identity;
    if (!p->centres) return true;
    list[(*n)++].affine = shifted(s->fixed_middle, s->moving_middle);
    list[(*n)++].affine = shifted(s->fixed_mass, s->moving_mass);
    return true;
}

/** Fisher's z of a score. */
static double fisher(double score) { return atanh(fmin(fmax(score, -0.999999), 0.999999)); }

/** What placements at random reach, as Fisher's z; deviation 0: untold. */
typedef struct chance {
    double mean, deviation;
} chance;

static bool find_chance(const search *s, chance *out, clm_err *err) {
    double sum = 0, squares = 0, n = 0;
    for (uint64_t k = 0; k < RANDOM; k++) {
        clm_affine t = turned(s, k, s->fixed_mass, s->moving_mass);
        clm_refine_fit f;
        bool ok;
        if (!look(s, &t, 0, &f, &ok, err)) return false;
        if (!ok) continue;
        double z = fisher(f.after);
        n += 1, sum += z, squares += z * z;
    }
    double var = n > 1 && n >= 0.1 * RANDOM ? (squares - sum * sum / n) / (n - 1) : 0;
    *out = (chance){n > 0 ? sum / n : 0, var > 0 ? sqrt(var) : 0};
    return true;
}

/** Deviations of chance by which `a` is better than at random; 0: untold. */
static bool stand_out(const search *s, const chance *c, const clm_affine *a, double *out, clm_err *err) {
    clm_refine_fit f;
    bool ok;
    if (!look(s, a, 0, &f, &ok, err)) return false;
    *out = ok && c->deviation > 0 ? (fisher(f.after) - c->mean) / c->deviation : 0;
    return true;
}

/** The best of the starts after climbing on the small volumes; how many are of any use. */
static bool choose(const search *s, const start *list, int n, start best[FINALISTS], int *found,
                   clm_err *err) {
    start kept[STARTS];
    *found = 0;
    for (int k = 0; k < n; k++) {
        clm_refine_fit f;
        bool ok;
        if (!look(s, &list[k].affine, s->refine.iterations, &f, &ok, err)) return false;
        if (ok) enter(kept, found, FINALISTS, &f.affine, tells(&f));
    }
    memcpy(best, kept, sizeof *best * (size_t)*found);
    return true;
}

/** The most telling of the starts after climbing on all voxels. CLM_E_NODATA: none is of any use. */
static bool finish(const search *s, const clm_vol *fixed, const clm_vol *moving, const clm_refine_params *p,
                   const start *list, int n, clm_refine_fit *out, clm_err *err) {
    clm_err why = CLM_ERR_NONE;
    double most = -1;
    for (int k = 0; k < n; k++) {
        clm_refine_fit f;
        clm_err none = CLM_ERR_NONE;
        if (!clm_refine_affine(s->w, fixed, moving, &list[k].affine, p, &f, &none)) {
            if (none.code != CLM_E_NODATA) return *err = none, false;
            why = none;
            continue;
        }
        if (tells(&f) <= most) continue;
        most = tells(&f), *out = f;
    }
    if (most >= 0) return true;
    if (n) return *err = why, false;
    return clm_fail(
        err, CLM_E_NODATA,
        "laid over each other the images share less than %.3g %% of the smaller one, or are constant",
        100 * p->min_overlap);
}

/** Where the images say little, one start or another finds much by chance: then the climb from the middles holds. */
static bool weigh(const search *s, const clm_vol *fixed, const clm_vol *moving, const clm_centre_params *p,
                  clm_centre_fit *io, clm_err *err) {
    chance c;
    clm_centre_fit home;
    clm_err none = CLM_ERR_NONE;
    const start middles = {.affine = shifted(s->fixed_middle, s->moving_middle)};
    if (!find_chance(s, &c, err) || !stand_out(s, &c, &io->refined.affine, &io->stands_out, err))
        return false;
    if (!p->centres || p->any_rotation || io->stands_out >= CLM_CENTRE_STANDS_OUT) return true;
    if (!finish(s, fixed, moving, &p->refine, &middles, 1, &home.refined, &none))
        return none.code == CLM_E_NODATA || (*err = none, false);
    *io = home;
    return stand_out(s, &c, &io->refined.affine, &io->stands_out, err);
}

static bool prepare(const clm_work *inner, const clm_vol *fixed, const clm_vol *moving, search *s,
                    clm_err *err) {
    s->refine.finest = 0, s->flat = -1;
    if (!shrink(inner, fixed, &s->fixed, err) || !shrink(inner, moving, &s->moving, err)) return false;
    for (int d = 0; d < 3; d++)
        if (fixed->shape[d] == 1) s->flat = d;
    middle_of(fixed, s->fixed_middle), middle_of(moving, s->moving_middle);
    mass_of(&s->fixed, s->fixed_mass), mass_of(&s->moving, s->moving_mass);
    return true;
}

bool clm_centre_find(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                     const clm_centre_params *p, clm_centre_fit *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_work inner = clm_work_flip(w);
    search s = {.w = w, .refine = p->refine};
    start list[STARTS], best[FINALISTS];
    clm_centre_fit fit = {.stands_out = 0};
    int n, found;
    bool ok = prepare(&inner, fixed, moving, &s, err) && lay_starts(&s, p, list, &n, err) &&
              choose(&s, list, n, best, &found, err) &&
              finish(&s, fixed, moving, &p->refine, best, found, &fit.refined, err) &&
              weigh(&s, fixed, moving, p, &fit, err);
    clm_arena_rewind(w->temp, mark);
    if (ok) *out = fit;
    return ok;
}

/** `a`, then mirrored along axis d through the moving image's centre of mass. */
static clm_affine mirrored(const search *s, const clm_affine *a, int d) {
    clm_affine t = *a;
    for (int k = 0; k < 4; k++) t.m[d][k] = -t.m[d][k];
    t.m[d][3] += 2 * s->moving_mass[d];
    return t;
}

bool clm_centre_mirror(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                       const clm_refine_params *p, const clm_affine *a, clm_mirror *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_work inner = clm_work_flip(w);
    search s = {.w = w, .refine = *p};
    clm_refine_fit as_is, f;
    bool fits, ok = prepare(&inner, fixed, moving, &s, err) && look(&s, a, p->iterations, &as_is, &fits, err);
    clm_mirror found = {.axis = -1, .score = ok && fits ? as_is.after : 0};
    double most = ok && fits ? tells(&as_is) : 0;
    for (int d = 0; ok && most > 0 && d < 3; d++) {
        clm_affine other = mirrored(&s, a, d);
        bool any;
        ok = look(&s, &other, 0, &f, &any, err);
        if (!ok || !any || f.after < MIRROR_START * as_is.after) continue;
        ok = look(&s, &other, p->iterations, &f, &any, err);
        if (!ok || !any || tells(&f) <= MIRROR_GAIN * most) continue;
        most = tells(&f) / MIRROR_GAIN, found.axis = d, found.mirrored = f.after;
    }
    clm_arena_rewind(w->temp, mark);
    if (ok) *out = found;
    return ok;
}
