#include "collimate/plan/grid.h"

static void count(clm_grid *g) {
    g->n = 1;
    for (int d = 0; d < 3; d++) {
        g->shape[d] = g->extent[d] > 0 ? clm_div_up(g->extent[d], g->block[d]) : 0;
        g->n *= g->shape[d];
    }
}

clm_grid clm_grid_even(const int64_t extent[3], int64_t block, int64_t halo, int64_t multiple) {
    clm_grid g = {.n = 0};
    for (int d = 0; d < 3; d++) {
        int64_t parts = (2 * extent[d] + block) / (2 * block);
        if (parts < 1) parts = 1;
        int64_t even = clm_div_up(extent[d], parts);
        g.extent[d] = extent[d];
        g.block[d] = clm_div_up(even > 0 ? even : 1, multiple) * multiple;
        g.halo[d] = clm_div_up(halo, multiple) * multiple;
    }
    count(&g);
    return g;
}

clm_grid clm_grid_chunks(const int64_t extent[3], const int64_t block[3]) {
    clm_grid g = {.n = 0};
    for (int d = 0; d < 3; d++) g.extent[d] = extent[d], g.block[d] = block[d];
    count(&g);
    return g;
}

void clm_grid_at(const clm_grid *g, int64_t index, int64_t at[3]) {
    at[2] = index % g->shape[2];
    at[1] = index / g->shape[2] % g->shape[1];
    at[0] = index / g->shape[2] / g->shape[1];
}

int64_t clm_grid_index(const clm_grid *g, const int64_t at[3]) {
    return (at[0] * g->shape[1] + at[1]) * g->shape[2] + at[2];
}

clm_box clm_grid_core(const clm_grid *g, int64_t index) {
    int64_t at[3];
    clm_box b;
    clm_grid_at(g, index, at);
    for (int d = 0; d < 3; d++) {
        b.lo[d] = at[d] * g->block[d];
        b.hi[d] = b.lo[d] + g->block[d];
    }
    return clm_box_meet(b, clm_box_of(g->extent));
}

clm_box clm_grid_padded(const clm_grid *g, int64_t index) {
    return clm_box_meet(clm_box_grow(clm_grid_core(g, index), g->halo), clm_box_of(g->extent));
}

clm_span clm_grid_touching(const clm_grid *g, clm_box box, const int64_t reach[3]) {
    clm_span s;
    for (int d = 0; d < 3; d++) {
        /* block k reaches [k*b - r, (k+1)*b + r): meets [lo, hi) when k*b < hi + r and (k+1)*b > lo - r */
        int64_t lo = clm_div_floor(box.lo[d] - reach[d], g->block[d]);
        int64_t hi = clm_div_floor(box.hi[d] + reach[d] - 1, g->block[d]) + 1;
        s.lo[d] = lo < 0 ? 0 : lo;
        s.hi[d] = hi > g->shape[d] ? g->shape[d] : hi;
        if (s.lo[d] > s.hi[d]) s.lo[d] = s.hi[d];
    }
    return s;
}
