#include "collimate/image/scene.h"
#include "collimate/base/rng.h"
#include "collimate/image/scene_parts.h"

#include <math.h>

enum { TILE = 8, TILE_POINTS = TILE * TILE * TILE };

/* Everything that may matter in the region of one call. */
typedef struct parts {
    clm_noise_patch coarse, fine;
    clm_bodies bodies;
    clm_tubes vessels, fibres;
    double edge_um; /* softness of surfaces */
    double wall_um; /* of vessels           */
} parts;

/* Points of one tile, gathered; and what the items gave them so far. */
typedef struct tile {
    clm_region region;
    int n;
    int64_t at[TILE_POINTS]; /* index in the caller's arrays */
    double x[TILE_POINTS][3];
    double sum[TILE_POINTS], vessel[TILE_POINTS], fibre[TILE_POINTS];
} tile;

static bool find_parts(const clm_work *w, const clm_scene *s, const clm_region *r, parts *out, clm_err *err) {
    double cell = s->cell_um;
    clm_noise coarse = clm_scene_coarse_noise(s), fine = {clm_rng_mix(s->seed, 12), 0.7 * cell};
    out->edge_um = 0.32 * cell;
    out->wall_um = 0.3 * cell;
    clm_network vessels = {clm_rng_mix(s->seed, 13), 20.0 * cell, 0.2, {0.55 * cell, 1.9 * cell}, 0};
    clm_network fibres = {clm_rng_mix(s->seed, 14), 6.0 * cell, 0.4, {0.12 * cell, 0.3 * cell}, 0};
    vessels.margin = out->wall_um + out->edge_um;
    fibres.margin = out->edge_um;
    return clm_noise_patch_new(w->keep, &coarse, r->lo, r->hi, &out->coarse, err) &&
           clm_noise_patch_new(w->keep, &fine, r->lo, r->hi, &out->fine, err) &&
           clm_bodies_find(w, s, r, &out->bodies, err) &&
           clm_tubes_find(w, &vessels, r, &out->vessels, err) &&
           clm_tubes_find(w, &fibres, r, &out->fibres, err);
}

static void widen(clm_region *r, const double x[3]) {
    for (int d = 0; d < 3; d++) {
        if (x[d] < r->lo[d]) r->lo[d] = x[d];
        if (x[d] > r->hi[d]) r->hi[d] = x[d];
    }
}

static const clm_region NOWHERE = {{INFINITY, INFINITY, INFINITY}, {-INFINITY, -INFINITY, -INFINITY}};

static void gather(tile *t, const int64_t shape[3], const double *const pos[3], const int64_t lo[3]) {
    t->n = 0;
    t->region = NOWHERE;
    for (int64_t z = lo[0]; z < lo[0] + TILE && z < shape[0]; z++)
        for (int64_t y = lo[1]; y < lo[1] + TILE && y < shape[1]; y++)
            for (int64_t x = lo[2]; x < lo[2] + TILE && x < shape[2]; x++) {
                int64_t at = (z * shape[1] + y) * shape[2] + x;
                int i = t->n++;
                t->at[i] = at;
                for (int d = 0; d < 3; d++) t->x[i][d] = pos[d][at];
                widen(&t->region, t->x[i]);
                t->sum[i] = 0.0;
                t->vessel[i] = t->fibre[i] = INFINITY;
            }
}

/* the nearest of the tubes that matter here */
static void nearest_tube(const clm_tubes *tubes, const tile *t, double *distance) {
    for (int64_t k = 0; k < tubes->n; k++) {
        const clm_tube *tube = &tubes->tube[k];
        if (!clm_region_near(&t->region, tube->centre, tube->reach)) continue;
        for (int i = 0; i < t->n; i++) distance[i] = fmin(distance[i], clm_tube_distance(tube, t->x[i]));
    }
}

static void add_items(const parts *p, tile *t) {
    for (int64_t k = 0; k < p->bodies.n_cells; k++) {
        const clm_cell *c = &p->bodies.cell[k];
        if (!clm_region_near(&t->region, c->centre, c->reach)) continue;
        for (int i = 0; i < t->n; i++) t->sum[i] += clm_cell_at(c, t->x[i], p->edge_um);
    }
    for (int64_t k = 0; k < p->bodies.n_specks; k++) {
        const clm_speck *s = &p->bodies.speck[k];
        if (!clm_region_near(&t->region, s->centre, s->reach)) continue;
        for (int i = 0; i < t->n; i++) t->sum[i] += clm_speck_at(s, t->x[i]);
    }
    nearest_tube(&p->vessels, t, t->vessel);
    nearest_tube(&p->fibres, t, t->fibre);
}

/* Haze, bodies and fibres add; the lumen of a vessel takes nearly all away, its wall shines. */
static double brightness(const parts *p, const tile *t, int i) {
    double coarse[CLM_NOISE_LANES], fine[CLM_NOISE_LANES];
    clm_noise_at(&p->coarse, t->x[i], coarse);
    clm_noise_at(&p->fine, t->x[i], fine);
    double crowd = clm_scene_crowd(coarse);
    double haze = 0.03 + 0.04 * crowd + 0.03 * coarse[1] + (0.02 + 0.08 * crowd) * fine[3];
    double fibre = (0.26 + 0.4 * coarse[2]) * clm_soft_step(0.5 - t->fibre[i] / p->edge_um);
    double sum = fmax(haze, 0.0) + t->sum[i] * (1.0 + 0.8 * fine[0]) + fmax(fibre, 0.0);
    double off = t->vessel[i] / p->wall_um;
    if (off < 1.0) {
        double wall = off > -1.0 ? (1.0 - off * off) * (1.0 - off * off) : 0.0;
        sum *= 1.0 - 0.9 * clm_soft_step(0.5 - t->vessel[i] / p->edge_um);
        sum += (0.2 + 0.25 * coarse[0]) * wall * (1.0 + 0.8 * fine[2]);
    }
    return fmax(sum, 0.0);
}

bool clm_scene_at(const clm_work *w, const clm_scene *scene, const int64_t shape[3],
                  const double *const pos[3], float *out, clm_err *err) {
    clm_work sub = clm_work_flip(w);
    clm_mark mark = clm_arena_mark(w->temp);
    clm_region region = NOWHERE;
    int64_t n = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < n; i++) widen(&region, (const double[3]){pos[0][i], pos[1][i], pos[2][i]});
    parts p;
    tile *t = clm_take(w->temp, tile, 1, err);
    if (!t || !find_parts(&sub, scene, &region, &p, err)) return false;
    for (int64_t z = 0; z < shape[0]; z += TILE)
        for (int64_t y = 0; y < shape[1]; y += TILE)
            for (int64_t x = 0; x < shape[2]; x += TILE) {
                gather(t, shape, pos, (const int64_t[3]){z, y, x});
                add_items(&p, t);
                for (int i = 0; i < t->n; i++) out[t->at[i]] = (float)brightness(&p, t, i);
            }
    clm_arena_rewind(w->temp, mark);
    return true;
}
