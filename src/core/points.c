#include "collimate/core/points.h"

bool clm_points_new(clm_arena *a, int64_t n, clm_points *out, clm_err *err) {
    clm_points p = {.n = n};
    p.pos = clm_arena_take(a, n, sizeof *p.pos, err);
    if (!p.pos) return false;
    p.radius_um = clm_take_zero(a, float, n, err);
    if (!p.radius_um) return false;
    p.score = clm_take_zero(a, float, n, err);
    if (!p.score) return false;
    *out = p;
    return true;
}
