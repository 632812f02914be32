#include "collimate/align/lattice.h"
#include "lattice_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 12     /* matches from which a block's own fit tells about noise and bending */
#define SHRINK 10.0 /* matches that the common noise counts for in a block's own          */
#define ROUNDS 40   /* of doubting; a few suffice                                         */
#define REJECT 0.1  /* a weight below this is none                                        */
#define FLAT 0.1    /* own fits count when matches spread over this much of a block       */
#define CALIBRATIONS 5
#define TYPICAL 0.85 /* median of a squared miss of a prediction, over its expectation */
#define FINE 1e-3    /* of a block's size: below it, noise and bending are nothing         */

/** A block's own fit. */
typedef struct fit {
    clm_quad own, inverse; /* coefficients; (pp)^-1 */
    double rss;
} fit;

/** What a block says, and what is thought of it. */
typedef struct opinion {
    double rss;                       /* of its own fit          */
    double noise2;                    /* variance of a match, a component */
    double gap2, expected2, allowed2; /* of the prediction; see verdict */
    double weight;
    bool has, solid, stale; /* enough matches; well spread, too; prediction must be made again */
} opinion;

typedef struct judge {
    const clm_lattice_grid *grid;
    const clm_lattice_params *p;
    int64_t n;
    opinion *o;
    clm_moments *data; /* [n] blocks' matches about their centres */
    double *weight;    /* [n]                                     */
    clm_lattice_system system;
    double noise2, bend2, pull2;
} judge;

static void block_at(const clm_lattice_grid *g, int64_t b, int64_t at[3]) {
    at[0] = b / (g->shape[1] * g->shape[2]);
    at[1] = b / g->shape[2] % g->shape[1];
    at[2] = b % g->shape[2];
}

/** Moments of (p, q) as moments of (x - centre, 1) and u = inverse(q) - p. */
static void to_moments(const clm_lattice_block *s, const double centre[3], const clm_affine *inverse,
                       clm_moments *out) {
    static const int at[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    double u[3], d[3];
    memset(out, 0, sizeof *out);
    out->n = s->n;
    clm_affine_apply(inverse, s->q, u);
    for (int i = 0; i < 3; i++) u[i] -= s->p[i], d[i] = s->p[i] - centre[i];
    for (int i = 0; i < 3; i++) {
        out->uu += s->n * u[i] * u[i] + s->pp[at[i][i]];
        for (int k = 0; k < 3; k++) {
            out->pp.v[i][k] = s->pp[at[i][k]] + s->n * d[i] * d[k];
            out->pu.v[i][k] = -s->pp[at[i][k]] + s->n * d[i] * u[k];
            out->uu -= 2 * inverse->m[i][k] * s->qp[k][i];
            for (int l = 0; l < 3; l++) {
                out->pu.v[i][k] += inverse->m[k][l] * s->qp[l][i];
                out->uu += inverse->m[i][k] * s->qq[at[k][l]] * inverse->m[i][l];
            }
        }
        out->pp.v[i][3] = out->pp.v[3][i] = s->n * d[i];
        out->pu.v[3][i] = s->n * u[i];
    }
    out->pp.v[3][3] = s->n;
    out->uu = fmax(out->uu, 0);
}

/** Do the matches spread over the block along every direction? By elimination: each pivot is a variance given
 *  the coordinates before it. */
static bool well_spread(const clm_lattice_grid *g, const clm_lattice_block *s) {
    double a[3][3] = {
        {s->pp[0], s->pp[1], s->pp[2]}, {s->pp[1], s->pp[3], s->pp[4]}, {s->pp[2], s->pp[4], s->pp[5]}};
    for (int k = 0; k < 3; k++) {
        double least = FLAT * g->size_um[k];
        if (!(a[k][k] > s->n * least * least)) return false;
        for (int i = k + 1; i < 3; i++)
            for (int j = k + 1; j < 3; j++) a[i][j] -= a[i][k] * a[k][j] / a[k][k];
    }
    return true;
}

/** The block alone; directions its matches do not span stay at no change. */
static bool fit_alone(const judge *j, int64_t b, fit *out) {
    const clm_moments *data = &j->data[b];
    clm_quad a = data->pp;
    double rhs[4][8];
    memset(rhs, 0, sizeof rhs);
    for (int i = 0; i < 4; i++) {
        a.v[i][i] += 1e-6 * data->n * (i < 3 ? j->system.var[i] : 1);
        memcpy(rhs[i], data->pu.v[i], sizeof data->pu.v[i]);
        rhs[i][4 + i] = 1;
    }
    if (!clm_lattice_dense(4, &a.v[0][0], 8, &rhs[0][0], 0)) return false;
    for (int i = 0; i < 4; i++) {
        memcpy(out->own.v[i], rhs[i], sizeof out->own.v[i]);
        memcpy(out->inverse.v[i], rhs[i] + 4, sizeof out->inverse.v[i]);
    }
    out->rss = clm_lattice_residual(data, &out->own);
    return isfinite(out->rss);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/** The lower median; NaN of none. Sorts v. */
static double median(double *v, int64_t n) {
    if (n == 0) return NAN;
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[(n - 1) / 2];
}

static double trace(const clm_quad *a, const clm_quad *b) {
    double sum = 0;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) sum += a->v[i][k] * b->v[k][i];
    return sum;
}

/** Mean over the box around a face of |u_a - u_b|^2 for two own fits, less what noise makes of it. */
static double disagreement(const judge *j, int d, double gap, const fit *a, const fit *b) {
    clm_quad aa, ab, bb;
    clm_lattice_face(j->system.var, d, gap, 1, 1, &aa);
    clm_lattice_face(j->system.var, d, gap, 1, -1, &ab);
    clm_lattice_face(j->system.var, d, gap, -1, -1, &bb);
    double sum = -3 * j->noise2 * (trace(&a->inverse, &aa) + trace(&b->inverse, &bb));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 4; k++)
                sum += a->own.v[i][c] * (aa.v[i][k] * a->own.v[k][c] - 2 * ab.v[i][k] * b->own.v[k][c]) +
                       b->own.v[i][c] * bb.v[i][k] * b->own.v[k][c];
    return sum;
}

/** Noise of a match, bending between neighbours and size of displacements, from blocks' own fits. */
static void measure(judge *j, double *list) {
    const clm_lattice_grid *g = j->grid;
    double floor2 = FINE * fmin(g->size_um[0], fmin(g->size_um[1], g->size_um[2]));
    int64_t n = 0, at[3], step[3] = {g->shape[1] * g->shape[2], g->shape[2], 1};
    floor2 *= floor2;
    for (int64_t b = 0; b < j->n; b++)
        if (j->o[b].solid) list[n++] = j->o[b].rss / (3 * (j->data[b].n - 4));
    j->noise2 = j->p->noise_um > 0 ? j->p->noise_um * j->p->noise_um : fmax(n ? median(list, n) : 0, floor2);
    n = 0;
    for (int64_t b = 0; b < j->n; b++) {
        fit mine, next; /* made again: less than all blocks' would take in memory */
        if (!j->o[b].solid || !fit_alone(j, b, &mine)) continue;
        block_at(g, b, at);
        for (int d = 0; d < 3; d++) {
            if (at[d] + 1 >= g->shape[d] || !j->o[b + step[d]].solid || !fit_alone(j, b + step[d], &next))
                continue;
            double gap = g->centre[d][at[d] + 1] - g->centre[d][at[d]];
            list[n++] = disagreement(j, d, gap, &mine, &next);
        }
    }
    j->bend2 = j->p->bend_um > 0 ? j->p->bend_um * j->p->bend_um
                                 : fmax(n ? median(list, n) : 9 * j->noise2, 0.25 * j->noise2);
    n = 0;
    for (int64_t b = 0; b < j->n; b++)
        if (j->o[b].has) list[n++] = j->data[b].uu / j->data[b].n;
    double typical = fmax(n ? median(list, n) : 0, j->bend2);
    j->pull2 = j->p->pull_um > 0 ? j->p->pull_um * j->p->pull_um : 100 * typical;
    j->system.pull = 1 / j->pull2;
    for (int64_t b = 0; b < j->n; b++) {
        opinion *o = &j->o[b];
        if (!o->has) continue;
        double freedom = fmax(0, 3 * (j->data[b].n - 4));
        o->noise2 = (o->rss + 3 * SHRINK * j->noise2) / (freedom + 3 * SHRINK);
    }
}

/** How far off is block b from what its neighbours say without it, and how far may it be? */
static void ask(judge *j, int64_t b, double *scratch) {
    const clm_moments *data = &j->data[b];
    opinion *o = &j->o[b];
    clm_quad x, covariance;
    o->stale = false;
    o->gap2 = 0, o->expected2 = o->allowed2 = INFINITY;
    if (!clm_lattice_predict(&j->system, b, scratch, &x, &covariance)) return;
    double n = data->n, variance = trace(&covariance, &data->pp) / n + o->noise2 * fmin(1, 4 / n);
    o->gap2 = fmax(0, (clm_lattice_residual(data, &x) - o->rss) / n);
    o->expected2 = 3 * variance;
    /* nearer than the error of one match is near enough, however sure the neighbours are */
    o->allowed2 = 3 * fmax(variance, o->noise2) * j->p->doubt * j->p->doubt;
}

static double weight_of(const opinion *o) {
    double z2 = o->gap2 / o->allowed2;
    if (!(z2 > 1)) return 1;
    return 1 / (z2 * z2) < REJECT ? 0 : 1 / (z2 * z2);
}

/** Calls fn(b, other) for the up to 26 neighbours of b; stops early when it returns false. */
static bool all_neighbours(const judge *j, int64_t b, bool (*fn)(const judge *, int64_t, int64_t)) {
    const int64_t *shape = j->grid->shape;
    int64_t at[3], k[3];
    block_at(j->grid, b, at);
    for (k[0] = at[0] - 1; k[0] <= at[0] + 1; k[0]++)
        for (k[1] = at[1] - 1; k[1] <= at[1] + 1; k[1]++)
            for (k[2] = at[2] - 1; k[2] <= at[2] + 1; k[2]++) {
                int64_t other = clm_lattice_index(shape, k);
                if (!clm_box_has(clm_box_of(shape), k[0], k[1], k[2]) || other == b) continue;
                if (j->o[other].has && !fn(j, b, other)) return false;
            }
    return true;
}

static bool unsettled(const opinion *o) { return o->has && fabs(weight_of(o) - o->weight) > 1e-3; }

/** Is b at least as far off as this neighbour, of those whose weight is about to change? */
static bool is_worse(const judge *j, int64_t b, int64_t other) {
    if (!unsettled(&j->o[other])) return true;
    double mine = j->o[b].gap2 / j->o[b].allowed2, its = j->o[other].gap2 / j->o[other].allowed2;
    return mine > its || (mine == its && b < other);
}

static bool make_stale(const judge *j, int64_t b, int64_t other) {
    (void)b;
    j->o[other].stale = true;
    return true;
}

/** Weights, the worst of every neighbourhood first: what it told its neighbours may be why they look bad. */
static int32_t doubt(judge *j, double *scratch, uint8_t *turn) {
    int32_t round = 0;
    for (bool changed = true; changed && round < ROUNDS; round++) {
        for (int64_t b = 0; b < j->n; b++)
            if (j->o[b].has && j->o[b].stale) ask(j, b, scratch);
        changed = false;
        for (int64_t b = 0; b < j->n; b++) turn[b] = unsettled(&j->o[b]) && all_neighbours(j, b, is_worse);
        for (int64_t b = 0; b < j->n; b++) {
            if (!turn[b]) continue;
            opinion *o = &j->o[b];
            o->weight = weight_of(o);
            j->weight[b] = o->weight / o->noise2;
            (void)all_neighbours(j, b, make_stale);
            changed = true;
        }
    }
    return round;
}

/** Judge, then see what predictions of the believed were worth: blocks that share matches in their halos agree
 *  better than they should, bending is underrated, and predictions miss by more than they claim. */
static int32_t judge_all(judge *j, double *list, double *scratch, uint8_t *turn) {
    int32_t rounds = 0;
    for (int again = 0; again < CALIBRATIONS; again++) {
        int64_t n = 0;
        j->system.stiff = j->p->smoothness / j->bend2;
        for (int64_t b = 0; b < j->n; b++) {
            opinion *o = &j->o[b];
            if (!o->has) continue;
            o->weight = 1, o->stale = true;
            j->weight[b] = 1 / o->noise2;
        }
        rounds += doubt(j, scratch, turn);
        for (int64_t b = 0; b < j->n; b++)
            if (j->o[b].solid && j->o[b].weight == 1 && isfinite(j->o[b].expected2))
                list[n++] = j->o[b].gap2 / j->o[b].expected2;
        double ratio = n ? median(list, n) / TYPICAL : 0;
        if (j->p->bend_um > 0 || !(ratio > 1.4)) break;
        j->bend2 *= fmin(16, ratio);
    }
    return rounds;
}

static bool check(const clm_lattice_grid *g, const clm_lattice_block *blocks, int64_t n,
                  const clm_lattice_params *p, clm_err *err) {
    if (!(p->noise_um >= 0) || !(p->bend_um >= 0) || !(p->smoothness > 0) || !(p->pull_um >= 0) ||
        !(p->doubt > 0) || p->min_matches < 1)
        return clm_fail(
            err, CLM_E_ARG, "lattice with noise %g, bend %g, smoothness %g, pull %g, doubt %g, %lld matches",
            p->noise_um, p->bend_um, p->smoothness, p->pull_um, p->doubt, (long long)p->min_matches);
    for (int d = 0; d < 3; d++) {
        if (g->shape[d] < 1 || !(g->size_um[d] > 0))
            return clm_fail(err, CLM_E_ARG, "lattice of %lld blocks of %g um along axis %d",
                            (long long)g->shape[d], g->size_um[d], d);
        for (int64_t k = 1; k < g->shape[d]; k++)
            if (!(g->centre[d][k] > g->centre[d][k - 1]))
                return clm_fail(err, CLM_E_ARG, "centres %lld and %lld along axis %d are not ascending",
                                (long long)k - 1, (long long)k, d);
    }
    for (int64_t b = 0; b < n; b++) {
        double v[CLM_LATTICE_NUMBERS], sum = 0;
        clm_lattice_pack(&blocks[b], v);
        for (int k = 0; k < CLM_LATTICE_NUMBERS; k++) sum += v[k];
        if (!isfinite(sum) || blocks[b].n < 0)
            return clm_fail(err, CLM_E_ARG, "matches of block %lld are not finite", (long long)b);
    }
    return true;
}

static bool begin(const clm_work *w, const clm_lattice_block *blocks, const clm_affine *inverse, judge *j,
                  clm_err *err) {
    j->o = clm_take_zero(w->temp, opinion, j->n, err);
    j->data = j->o ? clm_take(w->temp, clm_moments, j->n, err) : NULL;
    j->weight = j->data ? clm_take_zero(w->temp, double, j->n, err) : NULL;
    if (!j->weight) return false;
    j->system = (clm_lattice_system){.grid = j->grid, .data = j->data, .weight = j->weight};
    for (int d = 0; d < 3; d++) j->system.var[d] = j->grid->size_um[d] * j->grid->size_um[d] / 12;
    for (int64_t b = 0; b < j->n; b++) {
        int64_t at[3];
        opinion *o = &j->o[b];
        block_at(j->grid, b, at);
        const double centre[3] = {j->grid->centre[0][at[0]], j->grid->centre[1][at[1]],
                                  j->grid->centre[2][at[2]]};
        fit own;
        to_moments(&blocks[b], centre, inverse, &j->data[b]);
        o->has = blocks[b].n >= (double)j->p->min_matches && fit_alone(j, b, &own);
        if (!o->has) continue;
        o->rss = own.rss;
        o->solid = blocks[b].n >= MANY && well_spread(j->grid, &blocks[b]);
    }
    return true;
}

static bool make(const clm_work *w, const clm_lattice_grid *g, int64_t n, clm_lattice *out, clm_err *err) {
    clm_lattice l = {.n = n};
    for (int d = 0; d < 3; d++) {
        l.shape[d] = g->shape[d];
        l.size_um[d] = g->size_um[d];
        l.centre[d] = clm_take(w->keep, double, g->shape[d], err);
        if (!l.centre[d]) return false;
        memcpy(l.centre[d], g->centre[d], (size_t)g->shape[d] * sizeof(double));
    }
    l.m = clm_arena_take_zero(w->keep, n, sizeof *l.m, err);
    if (!l.m) return false;
    *out = l;
    return true;
}

/** What was decided, block by block. */
static void tell(const judge *j, const clm_quad *x, clm_lattice *out, clm_lattice_verdict *verdict,
                 clm_lattice_report *report) {
    for (int64_t b = 0; b < j->n; b++) {
        const opinion *o = &j->o[b];
        clm_lattice_verdict v = {
            .status = CLM_LATTICE_EMPTY, .residual_um = NAN, .gap_um = NAN, .allowed_um = NAN};
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 4; k++) out->m[b][i][k] = x[b].v[k][i];
        if (o->has) {
            v.weight = o->weight;
            v.status = v.weight == 0  ? CLM_LATTICE_REJECTED
                       : v.weight < 1 ? CLM_LATTICE_DOUBTED
                                      : CLM_LATTICE_USED;
            v.residual_um = sqrt(clm_lattice_residual(&j->data[b], &x[b]) / j->data[b].n);
            v.gap_um = sqrt(o->gap2), v.allowed_um = sqrt(o->allowed2);
        }
        report->used += v.status == CLM_LATTICE_USED, report->doubted += v.status == CLM_LATTICE_DOUBTED;
        report->rejected += v.status == CLM_LATTICE_REJECTED, report->empty += v.status == CLM_LATTICE_EMPTY;
        if (verdict) verdict[b] = v;
    }
}

int64_t clm_lattice_bytes(const int64_t shape[3]) {
    const int64_t n = shape[0] * shape[1] * shape[2];
    size_t temp = 3 * sizeof(double) + 1 + sizeof(opinion) + sizeof(clm_moments) + sizeof(double);
    return n * (int64_t)(sizeof(((clm_lattice *)NULL)->m[0]) + temp + 7 * sizeof(clm_quad)) +
           clm_lattice_levels_bytes(shape) + CLM_LATTICE_SCRATCH * (int64_t)sizeof(double);
}

bool clm_lattice_fit(const clm_work *w, const clm_lattice_grid *grid, const clm_lattice_block *blocks,
                     const clm_affine *A, const clm_lattice_params *p, clm_lattice *out,
                     clm_lattice_verdict *verdict, clm_lattice_report *report, clm_err *err) {
    judge j = {.grid = grid, .p = p, .n = grid->shape[0] * grid->shape[1] * grid->shape[2]};
    clm_lattice_report r = {0};
    clm_affine inverse;
    clm_lattice l;
    if (!check(grid, blocks, j.n, p, err) || !clm_affine_invert(A, &inverse, err) ||
        !make(w, grid, j.n, &l, err))
        return false;
    clm_mark mark = clm_arena_mark(w->temp);
    double *list = clm_take(w->temp, double, 3 * j.n + CLM_LATTICE_SCRATCH, err);
    uint8_t *turn = list ? clm_take(w->temp, uint8_t, j.n, err) : NULL;
    clm_quad *x = turn ? clm_take(w->temp, clm_quad, j.n, err) : NULL;
    bool ok = x && begin(w, blocks, &inverse, &j, err);
    if (ok) {
        measure(&j, list);
        r.rounds = judge_all(&j, list, list + 3 * j.n, turn);
        ok = clm_lattice_solve(w, &j.system, x, &r.iterations, err);
    }
    if (ok) {
        tell(&j, x, &l, verdict, &r);
        r.noise_um = sqrt(j.noise2), r.bend_um = sqrt(j.bend2), r.pull_um = sqrt(j.pull2);
        *out = l;
        *report = r;
    }
    clm_arena_rewind(w->temp, mark);
    return ok;
}
