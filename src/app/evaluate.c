#include "collimate/app/evaluate.h"

#include <math.h>
#include <string.h>

bool clm_evaluate_has(const clm_evaluate *e, clm_judged which) {
    switch (which) {
    case CLM_JUDGED_BEFORE: return e->moving != NULL;
    case CLM_JUDGED_AFFINE: return e->moving && e->transform && e->transform->field;
    default: return e->aligned || e->transform;
    }
}

/* nodes of the lattice from the one at or below lo to the one at or above hi (world), clipped, at least two
 * along each axis that has them: what trilinear interpolation in between needs */
static clm_box nodes_between(const clm_transform *t, const double lo[3], const double hi[3]) {
    clm_box b;
    for (int d = 0; d < 3; d++) {
        int64_t n = t->shape[d];
        double first = floor((lo[d] - t->origin_um[d]) / t->spacing_um[d] + 1e-9);
        double last = ceil((hi[d] - t->origin_um[d]) / t->spacing_um[d] - 1e-9) + 1.0;
        first = fmin(fmax(first, 0.0), (double)(n > 2 ? n - 2 : 0));
        last = fmin(fmax(last, first + 2.0), (double)n);
        b.lo[d] = (int64_t)first;
        b.hi[d] = (int64_t)last;
    }
    return b;
}

static bool read_nodes(const clm_transform *t, const clm_work *w, clm_box box, clm_field *out, clm_err *err) {
    int64_t shape[3];
    for (int d = 0; d < 3; d++) shape[d] = box.hi[d] - box.lo[d];
    return clm_field_new(w->keep, shape, t->spacing_um, t->origin_um, out, err) &&
           clm_transform_read(t, box, out, err);
}

bool clm_evaluate_map_over(const clm_evaluate *e, const clm_work *w, clm_judged which, const clm_vol *grid,
                           clm_affine *affine, clm_field *room, const clm_field **field, clm_err *err) {
    *affine = which == CLM_JUDGED_BEFORE ? CLM_AFFINE_IDENTITY : e->transform->affine;
    *field = NULL;
    if (which != CLM_JUDGED_AFTER || !e->transform->field) return true;
    double last[3];
    for (int d = 0; d < 3; d++) last[d] = grid->origin[d] + (double)(grid->shape[d] - 1) * grid->spacing[d];
    if (!read_nodes(e->transform, w, nodes_between(e->transform, grid->origin, last), room, err))
        return false;
    *field = room;
    return true;
}

bool clm_evaluate_point(const clm_transform *t, const clm_work *w, const double x[3], double y[3],
                        clm_err *err) {
    clm_mark mark = clm_arena_mark(w->keep);
    clm_field nodes;
    if (t->field && !read_nodes(t, w, nodes_between(t, x, x), &nodes, err)) return false;
    clm_transform_point(&t->affine, t->field ? &nodes : NULL, x, y);
    clm_arena_rewind(w->keep, mark);
    return true;
}
