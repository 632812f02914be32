#include "collimate/image/seam.h"

#include <math.h>

static double jump(const clm_field *f, int64_t at, int64_t step, double per_um) {
    double sum = 0.0;
    for (int c = 0; c < 3; c++) {
        const float *u = f->u[c] + at;
        double d = ((double)u[step] - 2.0 * (double)u[0] + (double)u[-step]) * per_um;
        sum += d * d;
    }
    return sqrt(sum);
}

static bool is_on_face(double node, double at, double period) {
    double to = fabs(remainder(node - at, period)); /* of the nearest face */
    return to < 1.0 - 1e-6;
}

/* the jumps along axis d of one row of nodes [lo, hi) along x */
static void add_row(const clm_field *f, const int64_t first[3], int64_t k, int64_t j, int64_t lo, int64_t hi,
                    int d, const clm_seam_faces *faces, clm_seam *s) {
    const int64_t steps[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    double on = 0.0, off = 0.0, per_um = 1.0 / f->spacing[d];
    int64_t n_on = 0;
    for (int64_t i = lo; i < hi; i++) {
        const int64_t node[3] = {k, j, i};
        double size = jump(f, k * steps[0] + j * steps[1] + i, steps[d], per_um);
        if (is_on_face((double)(first[d] + node[d]), faces->at[d], faces->period[d]))
            on += size, n_on++;
        else
            off += size;
    }
    s->on += on, s->off += off;
    s->n_on += n_on, s->n_off += hi - lo - n_on;
}

void clm_seam_add(const clm_field *f, const int64_t first[3], clm_box core, const clm_seam_faces *faces,
                  clm_seam *s) {
    for (int d = 0; d < 3; d++) {
        clm_box inner = clm_box_of(f->shape);
        inner.lo[d]++, inner.hi[d]--; /* along d alone a neighbour on either side is needed */
        inner = clm_box_meet(inner, core);
        if (!(faces->period[d] >= 2.0) || clm_box_is_empty(inner)) continue;
        for (int64_t k = inner.lo[0]; k < inner.hi[0]; k++)
            for (int64_t j = inner.lo[1]; j < inner.hi[1]; j++)
                add_row(f, first, k, j, inner.lo[2], inner.hi[2], d, faces, s);
    }
}

void clm_seam_merge(clm_seam *into, const clm_seam *part) {
    into->on += part->on, into->off += part->off;
    into->n_on += part->n_on, into->n_off += part->n_off;
}

double clm_seam_value(const clm_seam *s) {
    if (!s->n_on || !s->n_off || !(s->off > 0.0)) return NAN;
    return s->on / (double)s->n_on / (s->off / (double)s->n_off);
}
