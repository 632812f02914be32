#include "collimate/base/rng.h"
#include "collimate/image/scene_parts.h"

#include <math.h>
#include <string.h>

enum { PIECES = 10 };

static uint64_t node_key(const clm_network *net, const int64_t k[3]) {
    return clm_rng_mix(clm_rng_mix(clm_rng_mix(net->seed, (uint64_t)k[0]), (uint64_t)k[1]), (uint64_t)k[2]);
}

static void node_place(const clm_network *net, const int64_t k[3], double x[3], double *radius) {
    uint64_t key = node_key(net, k);
    for (int d = 0; d < 3; d++)
        x[d] = net->pitch_um * ((double)k[d] + 0.15 + 0.7 * clm_rng_uniform(key, 0, (uint64_t)d));
    double u = clm_rng_uniform(key, 0, 3);
    *radius = net->radius[0] + (net->radius[1] - net->radius[0]) * u * u;
}

/* the curve through both nodes, pulled sideways at its middle */
static void curve_at(const double a[3], const double b[3], const double pull[3], double t, double x[3]) {
    for (int d = 0; d < 3; d++)
        x[d] = (1.0 - t) * (1.0 - t) * a[d] + 2.0 * t * (1.0 - t) * pull[d] + t * t * b[d];
}

static void add_edge(const clm_network *net, const int64_t k[3], int axis, const clm_region *region,
                     clm_tubes *list) {
    uint64_t key = clm_rng_mix(node_key(net, k), 1 + (uint64_t)axis);
    if (clm_rng_uniform(key, 0, 0) >= net->chance) return;
    double a[3], b[3], pull[3], ra, rb;
    int64_t next[3] = {k[0], k[1], k[2]};
    next[axis]++;
    node_place(net, k, a, &ra);
    node_place(net, next, b, &rb);
    for (int d = 0; d < 3; d++)
        pull[d] =
            0.5 * (a[d] + b[d]) + 0.6 * net->pitch_um * (clm_rng_uniform(key, 0, 1 + (uint64_t)d) - 0.5);
    for (int i = 0; i < PIECES; i++) {
        double t0 = (double)i / PIECES, t1 = (double)(i + 1) / PIECES, to[3], length2 = 0.0;
        clm_tube t = {.radius = {ra + t0 * (rb - ra), ra + t1 * (rb - ra)}};
        curve_at(a, b, pull, t0, t.from);
        curve_at(a, b, pull, t1, to);
        for (int d = 0; d < 3; d++) {
            t.along[d] = to[d] - t.from[d];
            t.centre[d] = t.from[d] + 0.5 * t.along[d];
            length2 += t.along[d] * t.along[d];
        }
        t.inverse_length2 = 1.0 / fmax(length2, 1e-12);
        t.reach = 0.5 * sqrt(length2) + fmax(t.radius[0], t.radius[1]) + net->margin;
        if (clm_region_near(region, t.centre, t.reach)) list->tube[list->n++] = t;
    }
}

bool clm_tubes_find(const clm_work *w, const clm_network *net, const clm_region *region, clm_tubes *out,
                    clm_err *err) {
    int64_t lo[3], hi[3], count = 3 * PIECES;
    for (int d = 0; d < 3; d++) {
        /* a curve stays in the hull of its nodes and pull: within 2 pitches above its lower node's cell,
         * and 0.3 below it */
        double reach = net->radius[1] + net->margin;
        lo[d] = (int64_t)floor((region->lo[d] - reach) / net->pitch_um) - 2;
        hi[d] = (int64_t)floor((region->hi[d] + reach) / net->pitch_um + 0.3);
        count *= hi[d] - lo[d] + 1;
    }
    clm_mark mark = clm_arena_mark(w->temp);
    clm_tubes list = {.tube = clm_take(w->temp, clm_tube, count, err)};
    if (!list.tube) return false;
    for (int64_t i = lo[0]; i <= hi[0]; i++)
        for (int64_t j = lo[1]; j <= hi[1]; j++)
            for (int64_t k = lo[2]; k <= hi[2]; k++)
                for (int axis = 0; axis < 3; axis++)
                    add_edge(net, (const int64_t[3]){i, j, k}, axis, region, &list);
    out->n = list.n;
    out->tube = clm_take(w->keep, clm_tube, list.n, err);
    if (out->tube && list.n) memcpy(out->tube, list.tube, (size_t)list.n * sizeof *list.tube);
    clm_arena_rewind(w->temp, mark);
    return out->tube != NULL;
}

double clm_tube_distance(const clm_tube *t, const double x[3]) {
    double r[3], dot = 0.0, d2 = 0.0;
    for (int d = 0; d < 3; d++) {
        r[d] = x[d] - t->from[d];
        dot += r[d] * t->along[d];
    }
    double s = dot * t->inverse_length2;
    s = s < 0.0 ? 0.0 : s > 1.0 ? 1.0 : s;
    for (int d = 0; d < 3; d++) d2 += (r[d] - s * t->along[d]) * (r[d] - s * t->along[d]);
    return sqrt(d2) - (t->radius[0] + s * (t->radius[1] - t->radius[0]));
}
