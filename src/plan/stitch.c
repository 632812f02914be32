#include "collimate/plan/stitch.h"

/* Where less than this share of the weights is present, corrections fade out. */
#define FULL_SHARE 0.5

clm_lattice_plan clm_lattice_plan_make(const int64_t extent[3], const double spacing[3],
                                       const double origin[3], int64_t block, int64_t halo, int64_t pitch) {
    clm_lattice_plan p = {.blocks = clm_grid_even(extent, block, halo, pitch), .pitch = pitch};
    for (int d = 0; d < 3; d++) {
        p.shape[d] = clm_div_up(extent[d] - 1, pitch) + 1;
        if (p.shape[d] < 2) p.shape[d] = 2;
        p.spacing[d] = spacing[d] * (double)pitch;
        p.origin[d] = origin[d];
    }
    return p;
}

clm_box clm_lattice_nodes(const clm_lattice_plan *p, clm_box voxels) {
    clm_box n;
    for (int d = 0; d < 3; d++) {
        n.lo[d] = clm_div_floor(voxels.lo[d], p->pitch);
        n.hi[d] = clm_div_up(voxels.hi[d] - 1, p->pitch) + 1;
        if (n.hi[d] < n.lo[d] + 2) n.hi[d] = n.lo[d] + 2;
        if (n.hi[d] > p->shape[d]) n.hi[d] = p->shape[d];
        if (n.lo[d] > n.hi[d] - 2) n.lo[d] = n.hi[d] - 2;
    }
    return n;
}

void clm_lattice_reach(const clm_lattice_plan *p, int64_t reach[3]) {
    for (int d = 0; d < 3; d++) reach[d] = p->blocks.halo[d] / 2;
}

/* 0 below -r, 1 above r, odd-symmetric about 0: s(t) + s(-t) = 1 */
static double ramp(double t, double r) {
    if (t <= -r) return 0.0;
    if (t >= r) return 1.0;
    double s = 0.5 + 0.5 * t / r;
    return s * s * (3.0 - 2.0 * s);
}

/* of block `at` of axis d, at a node */
static double axis_weight(const clm_lattice_plan *p, int d, int64_t at, int64_t node) {
    double v = (double)(node * p->pitch), r = (double)(p->blocks.halo[d] / 2), w = 1.0;
    double lo = (double)(at * p->blocks.block[d]), hi = lo + (double)p->blocks.block[d];
    if (r == 0.0) r = 0.5, lo -= 0.5, hi -= 0.5; /* the face is the upper block's alone */
    if (at > 0) w *= ramp(v - lo, r);
    if (at < p->blocks.shape[d] - 1) w *= 1.0 - ramp(v - hi, r);
    return w;
}

double clm_lattice_weight(const clm_lattice_plan *p, int64_t index, const int64_t node[3]) {
    int64_t at[3];
    clm_grid_at(&p->blocks, index, at);
    return axis_weight(p, 0, at[0], node[0]) * axis_weight(p, 1, at[1], node[1]) *
           axis_weight(p, 2, at[2], node[2]);
}

/* weighted sums of one piece over the part of the chunk that it holds */
static void add_piece(const clm_lattice_plan *p, clm_box chunk, const clm_piece *piece, clm_field *sum,
                      float *weights) {
    clm_box part = clm_box_meet(chunk, piece->nodes);
    const clm_field *f = piece->field;
    int64_t at[3];
    clm_grid_at(&p->blocks, piece->block, at);
    for (int64_t z = part.lo[0]; z < part.hi[0]; z++) {
        for (int64_t y = part.lo[1]; y < part.hi[1]; y++) {
            double row = axis_weight(p, 0, at[0], z) * axis_weight(p, 1, at[1], y);
            for (int64_t x = part.lo[2]; x < part.hi[2] && row > 0.0; x++) {
                double w = row * axis_weight(p, 2, at[2], x);
                if (w <= 0.0) continue;
                int64_t from =
                    ((z - piece->nodes.lo[0]) * f->shape[1] + (y - piece->nodes.lo[1])) * f->shape[2] +
                    (x - piece->nodes.lo[2]);
                int64_t to = ((z - chunk.lo[0]) * sum->shape[1] + (y - chunk.lo[1])) * sum->shape[2] +
                             (x - chunk.lo[2]);
                for (int c = 0; c < 3; c++) sum->u[c][to] += (float)w * f->u[c][from];
                weights[to] += (float)w;
            }
        }
    }
}

void clm_stitch_chunk(const clm_lattice_plan *p, clm_box chunk, const clm_piece *pieces, int64_t n_pieces,
                      const clm_field *prior, clm_field *out, float *coverage) {
    int64_t n = clm_field_count(out);
    for (int64_t i = 0; i < n; i++) {
        coverage[i] = 0.0f;
        for (int c = 0; c < 3; c++) out->u[c][i] = 0.0f;
    }
    for (int64_t k = 0; k < n_pieces; k++) add_piece(p, chunk, &pieces[k], out, coverage);
    for (int64_t i = 0; i < n; i++) {
        double w = (double)coverage[i];
        /* u = prior + s (mean - prior): s = 1 where enough is present, falling smoothly to 0 with w */
        double s = w >= FULL_SHARE ? 1.0 : w / FULL_SHARE;
        s = s * s * (3.0 - 2.0 * s);
        for (int c = 0; c < 3; c++) {
            double mean = w > 0.0 ? (double)out->u[c][i] / w : 0.0;
            double start = prior && s < 1.0 ? (double)prior->u[c][i] : mean;
            out->u[c][i] = (float)(start + s * (mean - start));
        }
        if (coverage[i] > 1.0f) coverage[i] = 1.0f;
    }
}
