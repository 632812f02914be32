#include "collimate/base/rng.h"
#include "collimate/image/scene_parts.h"

#include <math.h>
#include <string.h>

/* Lengths in units of cell_um. */
#define BUCKET 4.5       /* edge of a bucket of cells          */
#define REACH 4.0        /* no cell reaches farther            */
#define LARGEST 1.9      /* mean radius of the largest body    */
#define SPECK_BUCKET 3.0 /* edge of a bucket of specks         */
#define SPECK_REACH 0.32
#define APART 0.82 /* of the sum of two radii: closer cells exclude one another */

enum { CANDIDATES = 6, SPECKS = 4 };

/* What must be known of a cell to decide whether it is there. */
typedef struct seed_cell {
    uint64_t key, rank; /* the lower rank of two that touch is dropped */
    double centre[3], radius;
    bool there;
} seed_cell;

typedef struct bucket_grid {
    int64_t lo[3], n[3];
    double edge;
} bucket_grid;

clm_noise clm_scene_coarse_noise(const clm_scene *s) {
    return (clm_noise){clm_rng_mix(s->seed, 11), 20.0 * s->cell_um};
}

double clm_scene_crowd(const double lanes[CLM_NOISE_LANES]) {
    double c = 0.7 + 2.2 * lanes[3];
    return c < 0.0 ? 0.0 : c > 1.2 ? 1.2 : c;
}

static bucket_grid grid_over(const clm_region *r, double edge, double reach, int64_t more) {
    bucket_grid g = {.edge = edge};
    for (int d = 0; d < 3; d++) {
        g.lo[d] = (int64_t)floor((r->lo[d] - reach) / edge) - more;
        g.n[d] = (int64_t)floor((r->hi[d] + reach) / edge) + more + 1 - g.lo[d];
    }
    return g;
}

static uint64_t bucket_key(const clm_scene *s, uint64_t kind, int64_t z, int64_t y, int64_t x) {
    uint64_t key = clm_rng_mix(clm_rng_mix(s->seed, kind), (uint64_t)z);
    return clm_rng_mix(clm_rng_mix(key, (uint64_t)y), (uint64_t)x);
}

/* The candidates of one bucket: scattered, or in a fifth of the buckets gathered to a clump. */
static void seed_bucket(const clm_scene *s, const clm_noise_patch *coarse, const int64_t b[3], double edge,
                        seed_cell out[CANDIDATES]) {
    uint64_t bucket = bucket_key(s, 21, b[0], b[1], b[2]);
    double clump = clm_rng_uniform(bucket, 0, 0) < 0.2 ? 0.45 : 1.0;
    for (int i = 0; i < CANDIDATES; i++) {
        seed_cell c = {.key = clm_rng_mix(bucket, 1 + (uint64_t)i)};
        c.rank = clm_rng_bits(c.key, 0, 0);
        for (int d = 0; d < 3; d++) {
            double corner = (1.0 - clump) * clm_rng_uniform(bucket, 0, 1 + (uint64_t)d);
            c.centre[d] = edge * ((double)b[d] + corner + clump * clm_rng_uniform(c.key, 1, (uint64_t)d));
        }
        double size = exp(0.28 * clm_rng_normal(c.key, 2, 0));
        if (clm_rng_uniform(c.key, 3, 0) < 0.06) size *= 1.6;
        c.radius = s->cell_um * fmin(fmax(size, 0.5), LARGEST);
        double lanes[CLM_NOISE_LANES];
        clm_noise_at(coarse, c.centre, lanes);
        c.there = clm_rng_uniform(c.key, 3, 1) < s->density * clm_scene_crowd(lanes);
        out[i] = c;
    }
}

/* A cell gives way to any candidate of higher rank that it would run into (Matern's hard-core process
 * of type II), so that whether it is there depends on its neighbour buckets only. */
static bool is_kept(const bucket_grid *g, const seed_cell *seeds, const int64_t at[3], const seed_cell *c) {
    for (int64_t z = at[0] - 1; z <= at[0] + 1; z++)
        for (int64_t y = at[1] - 1; y <= at[1] + 1; y++)
            for (int64_t x = at[2] - 1; x <= at[2] + 1; x++) {
                const seed_cell *o = seeds + ((z * g->n[1] + y) * g->n[2] + x) * CANDIDATES;
                for (int i = 0; i < CANDIDATES; i++) {
                    if (!o[i].there || o[i].rank <= c->rank) continue;
                    double apart = APART * (o[i].radius + c->radius), d2 = 0.0;
                    for (int d = 0; d < 3; d++)
                        d2 += (o[i].centre[d] - c->centre[d]) * (o[i].centre[d] - c->centre[d]);
                    if (d2 < apart * apart) return false;
                }
            }
    return true;
}

/* a random rotation from a uniform unit quaternion (Shoemake, Graphics Gems III, 1992) */
static void random_rotation(uint64_t key, double r[3][3]) {
    double u = clm_rng_uniform(key, 4, 0), a = 6.283185307179586 * clm_rng_uniform(key, 4, 1),
           b = 6.283185307179586 * clm_rng_uniform(key, 4, 2);
    double x = sqrt(1 - u) * sin(a), y = sqrt(1 - u) * cos(a), z = sqrt(u) * sin(b), w = sqrt(u) * cos(b);
    double m[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
                      {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
                      {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
    memcpy(r, m, sizeof m);
}

static void random_unit(uint64_t key, uint64_t stream, double v[3]) {
    double z = 2.0 * clm_rng_uniform(key, stream, 0) - 1.0, r = sqrt(1.0 - z * z);
    double turn = 6.283185307179586 * clm_rng_uniform(key, stream, 1);
    v[0] = z, v[1] = r * cos(turn), v[2] = r * sin(turn);
}

/* Up to two processes along the long axis, one each way, leaning a little. */
static void add_processes(const clm_scene *s, clm_cell *c, uint64_t key, double rot[3][3]) {
    for (int i = 0; i < 2; i++) {
        if (clm_rng_uniform(key, 9, (uint64_t)i) > 0.6) continue;
        clm_process *p = &c->process[i];
        double lean[3], norm = 0.0;
        random_unit(key, 10 + (uint64_t)i, lean);
        for (int d = 0; d < 3; d++) {
            p->axis[d] = (i ? -1.0 : 1.0) * rot[0][d] + 0.35 * lean[d];
            p->bend[d] = rot[1][d];
            norm += p->axis[d] * p->axis[d];
        }
        for (int d = 0; d < 3; d++) p->axis[d] /= sqrt(norm);
        p->length =
            fmin(c->radius * (1.8 + 1.8 * clm_rng_uniform(key, 12, (uint64_t)i)), 0.85 * REACH * s->cell_um);
        p->radius = c->radius * (0.3 + 0.25 * clm_rng_uniform(key, 13, (uint64_t)i));
        p->bow = 0.3 * c->radius * (clm_rng_uniform(key, 14, (uint64_t)i) - 0.5);
        norm = 0.0;
        for (int d = 0; d < 3; d++) norm += p->bend[d] * p->axis[d];
        for (int d = 0; d < 3; d++) p->bend[d] -= norm * p->axis[d];
    }
}

/* All the looks of a cell that is there. */
static clm_cell grow_cell(const clm_scene *s, const seed_cell *seed) {
    uint64_t key = seed->key;
    clm_cell c = {.radius = seed->radius, .reach = REACH * s->cell_um};
    memcpy(c.centre, seed->centre, sizeof c.centre);
    double rot[3][3], size = seed->radius / s->cell_um;
    random_rotation(key, rot);
    double flat = 0.65 + 0.3 * clm_rng_uniform(key, 5, 0), thin = 0.65 + 0.3 * clm_rng_uniform(key, 5, 1);
    double mean = cbrt(flat * thin),
           radii[3] = {c.radius / mean, c.radius * flat / mean, c.radius * thin / mean};
    for (int i = 0; i < 3; i++)
        for (int d = 0; d < 3; d++) c.unit[i][d] = rot[i][d] / radii[i];
    c.bright = fmin(0.4 * exp(0.55 * clm_rng_normal(key, 6, 0)), 2.0);
    if (size > 1.5) c.bright *= 1.4;
    bool full = clm_rng_uniform(key, 7, 0) < 0.25; /* no nucleus to see: small, bright, compact */
    c.dark = full ? 0.0 : 0.45 + 0.4 * clm_rng_uniform(key, 7, 1);
    c.nucleus_radius = 0.5 + 0.15 * clm_rng_uniform(key, 7, 2);
    for (int d = 0; d < 3; d++) c.nucleus[d] = 0.3 * (clm_rng_uniform(key, 8, (uint64_t)d) - 0.5);
    random_unit(key, 17, c.dent[0]);
    random_unit(key, 18, c.dent[1]);
    add_processes(s, &c, key, rot);
    return c;
}

static bool find_cells(const clm_work *w, const clm_scene *s, const clm_region *region, clm_bodies *out,
                       clm_err *err) {
    double edge = BUCKET * s->cell_um, reach = REACH * s->cell_um;
    bucket_grid g = grid_over(region, edge, reach, 1);
    int64_t buckets = g.n[0] * g.n[1] * g.n[2];
    double lo[3], hi[3];
    for (int d = 0; d < 3; d++) lo[d] = edge * (double)g.lo[d], hi[d] = edge * (double)(g.lo[d] + g.n[d]);
    clm_noise noise = clm_scene_coarse_noise(s);
    clm_noise_patch coarse;
    seed_cell *seeds = clm_take(w->temp, seed_cell, buckets * CANDIDATES, err);
    bool *keep = seeds ? clm_take_zero(w->temp, bool, buckets *CANDIDATES, err) : NULL;
    if (!keep || !clm_noise_patch_new(w->temp, &noise, lo, hi, &coarse, err)) return false;
    for (int64_t b = 0; b < buckets; b++) {
        int64_t at[3] = {b / (g.n[1] * g.n[2]), b / g.n[2] % g.n[1], b % g.n[2]};
        for (int d = 0; d < 3; d++) at[d] += g.lo[d];
        seed_bucket(s, &coarse, at, edge, seeds + b * CANDIDATES);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < buckets * CANDIDATES; i++) {
        int64_t b = i / CANDIDATES, at[3] = {b / (g.n[1] * g.n[2]), b / g.n[2] % g.n[1], b % g.n[2]};
        bool inner = true;
        for (int d = 0; d < 3; d++) inner = inner && at[d] > 0 && at[d] < g.n[d] - 1;
        keep[i] = inner && seeds[i].there && clm_region_near(region, seeds[i].centre, reach) &&
                  is_kept(&g, seeds, at, &seeds[i]);
        n += keep[i];
    }
    out->cell = clm_take(w->keep, clm_cell, n, err);
    if (!out->cell) return false;
    out->n_cells = 0;
    for (int64_t i = 0; i < buckets * CANDIDATES; i++)
        if (keep[i]) out->cell[out->n_cells++] = grow_cell(s, &seeds[i]);
    return true;
}

static bool find_specks(const clm_work *w, const clm_scene *s, const clm_region *region, clm_bodies *out,
                        clm_err *err) {
    double edge = SPECK_BUCKET * s->cell_um, reach = SPECK_REACH * s->cell_um;
    bucket_grid g = grid_over(region, edge, reach, 0);
    out->n_specks = 0;
    out->speck = clm_take(w->keep, clm_speck, g.n[0] * g.n[1] * g.n[2] * SPECKS, err);
    if (!out->speck) return false;
    for (int64_t z = g.lo[0]; z < g.lo[0] + g.n[0]; z++)
        for (int64_t y = g.lo[1]; y < g.lo[1] + g.n[1]; y++)
            for (int64_t x = g.lo[2]; x < g.lo[2] + g.n[2]; x++) {
                uint64_t key = bucket_key(s, 22, z, y, x);
                for (uint64_t i = 0; i < SPECKS; i++) {
                    if (clm_rng_uniform(key, i, 0) > 0.5 * s->density) continue;
                    clm_speck k = {.reach = reach * (0.5 + 0.5 * clm_rng_uniform(key, i, 1)),
                                   .bright = -0.16 * log(1.0 - clm_rng_uniform(key, i, 2))};
                    const double corner[3] = {(double)z, (double)y, (double)x};
                    for (int d = 0; d < 3; d++)
                        k.centre[d] = edge * (corner[d] + clm_rng_uniform(key, i, 3 + (uint64_t)d));
                    if (clm_region_near(region, k.centre, k.reach)) out->speck[out->n_specks++] = k;
                }
            }
    return true;
}

bool clm_bodies_find(const clm_work *w, const clm_scene *s, const clm_region *region, clm_bodies *out,
                     clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    bool ok = find_cells(w, s, region, out, err) && find_specks(w, s, region, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

static double dot3(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* How much of a process is at offset d from the cell's centre. */
static double process_at(const clm_process *p, const double d[3], double edge_um) {
    double t = dot3(d, p->axis);
    if (p->length <= 0.0 || t <= 0.0 || t >= p->length) return 0.0;
    double s = t / p->length, shift = p->bow * 4.0 * s * (1.0 - s), off2 = 0.0;
    for (int i = 0; i < 3; i++) {
        double q = d[i] - t * p->axis[i] - shift * p->bend[i];
        off2 += q * q;
    }
    double radius = p->radius * (1.0 - 0.8 * s);
    return (1.0 - s) * clm_soft_step((radius - sqrt(off2)) / edge_um + 0.5);
}

double clm_cell_at(const clm_cell *c, const double x[3], double edge_um) {
    double d[3] = {x[0] - c->centre[0], x[1] - c->centre[1], x[2] - c->centre[2]};
    double far2 = dot3(d, d) / (c->reach * c->reach);
    if (far2 >= 1.0) return 0.0;
    double p[3] = {dot3(c->unit[0], d), dot3(c->unit[1], d), dot3(c->unit[2], d)};
    double s = sqrt(dot3(p, p)), body = 0.0, glow = (1.0 - far2) * (1.0 - far2);
    if (s < 2.0) {
        double dent = s > 0.0 ? 0.55 * dot3(p, c->dent[0]) * dot3(p, c->dent[1]) / (s * s) : 0.0;
        body = clm_soft_step((1.0 - s * (1.0 + dent)) * c->radius / edge_um + 0.5);
    }
    double rest = fmax(process_at(&c->process[0], d, edge_um), process_at(&c->process[1], d, edge_um));
    if (body > 0.0) {
        double n[3] = {p[0] - c->nucleus[0], p[1] - c->nucleus[1], p[2] - c->nucleus[2]};
        double inside = (c->nucleus_radius - sqrt(dot3(n, n))) * c->radius / edge_um + 0.5;
        rest = fmax(0.7 * rest, body * (1.0 - c->dark * clm_soft_step(inside)));
    } else {
        rest *= 0.7;
    }
    return c->bright * (rest + 0.035 * glow);
}

double clm_speck_at(const clm_speck *s, const double x[3]) {
    double d2 = 0.0;
    for (int d = 0; d < 3; d++) d2 += (x[d] - s->centre[d]) * (x[d] - s->centre[d]);
    double t = 1.0 - d2 / (s->reach * s->reach);
    return t > 0.0 ? s->bright * t * t : 0.0;
}
