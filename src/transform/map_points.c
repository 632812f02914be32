/* Lists of points through a map: sorted by the chunk of the field they need, so that each part of a field is read
 * once a batch, whatever the order of the points. */
#include "collimate/transform/map.h"

#include <math.h>
#include <string.h>

#define NEWTON_STEPS 40
#define LEAST_DAMPING 1e-3

/* ---- u at many points of one field ---- */

typedef struct lookup {
    const clm_vectors *t;
    int64_t chunk[3], chunks[3];
} lookup;

#define PART 32          /* nodes along an edge that are copied at once of a larger chunk */
#define DECODED_MOST 4e6 /* nodes of a chunk that stays decoded in the cache               */

/* Foreign fields may lie in one chunk: of that only the parts are copied where there are points. */
static lookup lookup_of(const clm_vectors *t) {
    lookup k = {.t = t};
    clm_vectors_chunk(t, k.chunk);
    bool parts = (double)k.chunk[0] * (double)k.chunk[1] * (double)k.chunk[2] <= DECODED_MOST;
    for (int d = 0; d < 3 && parts; d++) k.chunk[d] = k.chunk[d] < PART ? k.chunk[d] : PART;
    for (int d = 0; d < 3; d++) k.chunks[d] = clm_div_up(t->shape[d], k.chunk[d]);
    return k;
}

/* the chunk that holds the lower node of x's cell */
static int64_t chunk_at(const lookup *k, const double x[3], bool *beyond) {
    int64_t at[3];
    *beyond = false;
    for (int d = 0; d < 3; d++) {
        double v = (x[d] - k->t->origin_um[d]) / k->t->spacing_um[d];
        int64_t last = k->t->shape[d] > 1 ? k->t->shape[d] - 2 : 0;
        if (!(v >= -1e-9 && v <= (double)(k->t->shape[d] - 1) + 1e-9)) *beyond = true;
        at[d] = !(v > 0.0) ? 0 : v >= (double)last ? last : (int64_t)v;
        at[d] /= k->chunk[d];
    }
    return (at[0] * k->chunks[1] + at[1]) * k->chunks[2] + at[2];
}

/* Stable order of n keys, least byte first; only bytes that differ between keys cost a pass. */
static bool sort_by_key(clm_arena *a, int64_t n, uint64_t *key, int32_t *order, clm_err *err) {
    uint64_t all_or = 0, all_and = ~(uint64_t)0;
    uint64_t *key2 = clm_take(a, uint64_t, n, err);
    int32_t *order2 = key2 ? clm_take(a, int32_t, n, err) : NULL;
    if (!order2) return false;
    for (int64_t i = 0; i < n; i++) {
        order[i] = (int32_t)i;
        all_or |= key[i];
        all_and &= key[i];
    }
    for (int shift = 0; shift < 64; shift += 8) {
        if (((all_or ^ all_and) >> shift & 0xff) == 0) continue;
        int64_t first[257] = {0};
        for (int64_t i = 0; i < n; i++) first[(key[i] >> shift & 0xff) + 1]++;
        for (int b = 0; b < 256; b++) first[b + 1] += first[b];
        for (int64_t i = 0; i < n; i++) {
            int64_t to = first[key[i] >> shift & 0xff]++;
            key2[to] = key[i];
            order2[to] = order[i];
        }
        memcpy(key, key2, (size_t)n * sizeof *key);
        memcpy(order, order2, (size_t)n * sizeof *order);
    }
    return true;
}

/* what becomes of one point when the nodes around it are at hand */
typedef void visit_fn(void *ctx, int32_t point, const clm_field *f);

static bool read_chunk(const lookup *k, uint64_t key, clm_arena *a, clm_field *out, clm_err *err) {
    const int64_t at[3] = {(int64_t)key / (k->chunks[1] * k->chunks[2]),
                           (int64_t)key / k->chunks[2] % k->chunks[1], (int64_t)key % k->chunks[2]};
    clm_box box;
    int64_t shape[3];
    for (int d = 0; d < 3; d++) {
        box.lo[d] = at[d] * k->chunk[d];
        box.hi[d] = box.lo[d] + k->chunk[d] + 1; /* the cell's upper node may be the next chunk's first */
        if (box.hi[d] > k->t->shape[d]) box.hi[d] = k->t->shape[d];
        shape[d] = box.hi[d] - box.lo[d];
    }
    return clm_field_new(a, shape, k->t->spacing_um, k->t->origin_um, out, err) &&
           clm_vectors_read(k->t, box, out, err);
}

/* visit the n points `which` (NULL: 0 .. n-1), chunk by chunk */
static bool for_each_chunk(const clm_vectors *t, clm_arena *temp, int64_t n, const int32_t *which,
                           const double (*x)[3], uint8_t *flags, visit_fn *visit, void *ctx, clm_err *err) {
    lookup k = lookup_of(t);
    clm_mark m = clm_arena_mark(temp);
    uint64_t *key = clm_take(temp, uint64_t, n, err);
    int32_t *order = key ? clm_take(temp, int32_t, n, err) : NULL;
    if (!order) return false;
    for (int64_t i = 0; i < n; i++) {
        int32_t p = which ? which[i] : (int32_t)i;
        bool beyond;
        key[i] = (uint64_t)chunk_at(&k, x[p], &beyond);
        if (flags && beyond) flags[p] |= CLM_POINT_EXTRAPOLATED;
    }
    if (!sort_by_key(temp, n, key, order, err)) return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < n;) {
        clm_mark here = clm_arena_mark(temp);
        clm_field f;
        uint64_t now = key[i];
        ok = read_chunk(&k, now, temp, &f, err);
        for (; ok && i < n && key[i] == now; i++) visit(ctx, which ? which[order[i]] : order[i], &f);
        clm_arena_rewind(temp, here);
    }
    clm_arena_rewind(temp, m);
    return ok;
}

/* ---- forward ---- */

static void displace(void *ctx, int32_t point, const clm_field *f) {
    double(*x)[3] = ctx, u[3];
    clm_field_at(f, x[point], u);
    for (int d = 0; d < 3; d++) x[point][d] += u[d];
}

static bool check_count(int64_t n, clm_err *err) {
    return n < INT32_MAX || clm_fail(err, CLM_E_ARG, "%lld points at once", (long long)n);
}

/* ---- back through one field: x + u(x) = y ---- */

/* One point on its way. */
typedef struct solve {
    double y[3], at[3];      /* target; where the field is asked next */
    double best[3], step[3]; /* nearest so far, and the step taken from there */
    double error, damping;   /* |r| at best */
    bool done;
} solve;

typedef struct solves {
    solve *s;
    double (*at)[3];
    double tolerance;
} solves;

/* J d = -r by Cramer's rule; false where the field folds or nearly so */
static bool newton_step(const double du[3][3], const double r[3], double d[3]) {
    double j[3][3];
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) j[a][b] = du[a][b] + (a == b);
    double c0 = j[1][1] * j[2][2] - j[1][2] * j[2][1], c1 = j[1][2] * j[2][0] - j[1][0] * j[2][2],
           c2 = j[1][0] * j[2][1] - j[1][1] * j[2][0];
    double det = j[0][0] * c0 + j[0][1] * c1 + j[0][2] * c2;
    if (!(det > 1e-2)) return false;
    const double inv[3][3] = {
        {c0, j[0][2] * j[2][1] - j[0][1] * j[2][2], j[0][1] * j[1][2] - j[0][2] * j[1][1]},
        {c1, j[0][0] * j[2][2] - j[0][2] * j[2][0], j[0][2] * j[1][0] - j[0][0] * j[1][2]},
        {c2, j[0][1] * j[2][0] - j[0][0] * j[2][1], j[0][0] * j[1][1] - j[0][1] * j[1][0]}};
    for (int a = 0; a < 3; a++) d[a] = -(inv[a][0] * r[0] + inv[a][1] * r[1] + inv[a][2] * r[2]) / det;
    return true;
}

static void improve(void *ctx, int32_t point, const clm_field *f) {
    solves *all = ctx;
    solve *s = &all->s[point];
    double u[3], du[3][3], r[3], error = 0.0;
    clm_field_slope_at(f, s->at, u, du);
    for (int d = 0; d < 3; d++) {
        r[d] = s->at[d] + u[d] - s->y[d];
        error += r[d] * r[d];
    }
    error = sqrt(error);
    if (error < s->error) {
        s->error = error;
        s->damping = 1.0;
        memcpy(s->best, s->at, sizeof s->best);
        if (!newton_step((const double(*)[3])du, r, s->step))
            for (int d = 0; d < 3; d++) s->step[d] = -r[d];
        if (error <= all->tolerance) s->done = true;
    } else {
        s->damping *= 0.5;
        if (!(s->damping >= LEAST_DAMPING)) s->done = true;
    }
    for (int d = 0; d < 3; d++) s->at[d] = s->best[d] + s->damping * s->step[d];
    memcpy(all->at[point], s->at, sizeof s->at);
}

static bool back_through(const clm_vectors *t, clm_arena *temp, int64_t n, double tolerance, double (*x)[3],
                         uint8_t *flags, clm_err *err) {
    clm_mark m = clm_arena_mark(temp);
    solve *s = clm_take(temp, solve, n, err);
    int32_t *active = s ? clm_take(temp, int32_t, n, err) : NULL;
    if (!active) return false;
    for (int64_t i = 0; i < n; i++) {
        s[i] = (solve){.error = INFINITY, .damping = 1.0};
        memcpy(s[i].y, x[i], sizeof s[i].y);
        memcpy(s[i].at, x[i], sizeof s[i].at);
        memcpy(s[i].best, x[i], sizeof s[i].best);
        active[i] = (int32_t)i;
    }
    solves all = {.s = s, .at = x, .tolerance = tolerance};
    int64_t left = n;
    bool ok = true;
    for (int k = 0; ok && left > 0 && k < NEWTON_STEPS; k++) {
        ok = for_each_chunk(t, temp, left, active, (const double(*)[3])x, NULL, improve, &all, err);
        int64_t still = 0;
        for (int64_t i = 0; i < left; i++)
            if (!s[active[i]].done) active[still++] = active[i];
        left = still;
    }
    lookup k = lookup_of(t);
    for (int64_t i = 0; i < n; i++) {
        bool beyond;
        memcpy(x[i], s[i].best, sizeof s[i].best);
        (void)chunk_at(&k, x[i], &beyond);
        if (flags && beyond) flags[i] |= CLM_POINT_EXTRAPOLATED;
        if (flags && !(s[i].error <= tolerance)) flags[i] |= CLM_POINT_UNSOLVED;
    }
    clm_arena_rewind(temp, m);
    return ok;
}

/* ---- the chain ---- */

/* A field turned round is solved this much finer than its nodes stand. */
static double own_tolerance(const clm_map *map, const clm_vectors *t) {
    if (map->tolerance_um > 0.0) return map->tolerance_um;
    return 1e-5 * fmin(t->spacing_um[0], fmin(t->spacing_um[1], t->spacing_um[2]));
}

static bool step_forward(const clm_map *map, int at, clm_arena *temp, int64_t n, double (*x)[3],
                         uint8_t *flags, clm_err *err) {
    const clm_map_step *s = &map->step[at];
    switch (s->kind) {
    case CLM_STEP_FIELD:
        return for_each_chunk(&s->field, temp, n, NULL, (const double(*)[3])x, flags, displace, x, err);
    case CLM_STEP_FIELD_BACK:
        return back_through(&s->field, temp, n, own_tolerance(map, &s->field), x, flags, err);
    default:
        for (int64_t i = 0; i < n; i++) clm_affine_apply(&s->affine, x[i], x[i]);
        return true;
    }
}

static bool forward(const clm_map *map, clm_arena *temp, int64_t n, double (*x)[3], uint8_t *flags,
                    clm_err *err) {
    for (int s = 0; s < map->n; s++)
        if (!step_forward(map, s, temp, n, x, flags, err)) return false;
    return true;
}

bool clm_map_points(const clm_map *map, const clm_work *w, int64_t n, double (*x)[3], uint8_t *flags,
                    clm_err *err) {
    if (n == 0) return true;
    if (!check_count(n, err)) return false;
    memset(flags, 0, (size_t)n);
    if (!forward(map, w->temp, n, x, flags, err)) return false;
    for (int64_t i = 0; i < n; i++)
        if (!clm_map_frame_has(&map->moving, x[i])) flags[i] |= CLM_POINT_OUTSIDE;
    return true;
}

/* How much an error before the steps after s can grow on the way to moving space, by the affines alone. */
static double growth_after(const clm_map *map, int s) {
    double g = 1.0, sigma[3];
    for (int i = s + 1; i < map->n; i++)
        if (map->step[i].kind == CLM_STEP_AFFINE) {
            clm_affine_stretch(&map->step[i].affine, sigma);
            g *= sigma[0];
        }
    return g;
}

bool clm_map_points_back(const clm_map *map, const clm_work *w, int64_t n, double tolerance_um,
                         double (*x)[3], double *residual_um, uint8_t *flags, clm_err *err) {
    if (n == 0) return true;
    if (!check_count(n, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    double(*y)[3] = clm_arena_take(w->temp, n, sizeof *y, err),
    (*again)[3] = y ? clm_arena_take(w->temp, n, sizeof *again, err) : NULL;
    if (!again) return false;
    memcpy(y, x, (size_t)n * sizeof *y);
    memset(flags, 0, (size_t)n);
    bool ok = true;
    for (int s = map->n - 1; ok && s >= 0; s--) {
        const clm_map_step *step = &map->step[s];
        clm_affine inverse;
        if (step->kind == CLM_STEP_FIELD) {
            double tolerance = 0.1 * tolerance_um / fmax(growth_after(map, s), 1e-12);
            ok = back_through(&step->field, w->temp, n, tolerance, x, flags, err);
        } else if (step->kind == CLM_STEP_FIELD_BACK) {
            ok = for_each_chunk(&step->field, w->temp, n, NULL, (const double(*)[3])x, flags, displace, x,
                                err);
        } else {
            ok = clm_affine_invert(&step->affine, &inverse, err);
            for (int64_t i = 0; ok && i < n; i++) clm_affine_apply(&inverse, x[i], x[i]);
        }
    }
    if (ok) memcpy(again, x, (size_t)n * sizeof *again);
    ok = ok && forward(map, w->temp, n, again, NULL, err);
    for (int64_t i = 0; ok && i < n; i++) {
        double r = 0.0;
        for (int d = 0; d < 3; d++) r += (again[i][d] - y[i][d]) * (again[i][d] - y[i][d]);
        residual_um[i] = sqrt(r);
        flags[i] &= (uint8_t)~CLM_POINT_UNSOLVED; /* a step's own; what counts is the whole chain */
        if (!(residual_um[i] <= tolerance_um)) flags[i] |= CLM_POINT_UNSOLVED;
        if (!clm_map_frame_has(&map->fixed, x[i])) flags[i] |= CLM_POINT_OUTSIDE;
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_map_points_stored(const clm_map *map, const clm_map *back, const clm_work *w, int64_t n,
                           double (*x)[3], double *residual_um, uint8_t *flags, clm_err *err) {
    if (n == 0) return true;
    clm_mark m = clm_arena_mark(w->temp);
    double(*y)[3] = clm_arena_take(w->temp, n, sizeof *y, err),
    (*again)[3] = y ? clm_arena_take(w->temp, n, sizeof *again, err) : NULL;
    if (!again) return false;
    memcpy(y, x, (size_t)n * sizeof *y);
    bool ok = clm_map_points(back, w, n, x, flags, err);
    if (ok) memcpy(again, x, (size_t)n * sizeof *again);
    ok = ok && forward(map, w->temp, n, again, NULL, err);
    for (int64_t i = 0; ok && i < n; i++)
        residual_um[i] = hypot(hypot(again[i][0] - y[i][0], again[i][1] - y[i][1]), again[i][2] - y[i][2]);
    clm_arena_rewind(w->temp, m);
    return ok;
}
