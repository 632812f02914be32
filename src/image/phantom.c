#include "collimate/image/phantom.h"
#include "collimate/base/rng.h"

#include <math.h>

/* The inverse is solved exactly at the middle of tiles of this many voxels a side, laid out from voxel
 * (0,0,0) of the volume whatever box is rendered; its voxels start from there. */
enum { TILE = 4 };
static const double RESIDUAL_UM = 1e-6;

static bool check_side(const clm_phantom_side *s, const char *name, clm_err *err) {
    for (int d = 0; d < 3; d++) {
        if (s->shape[d] < 1 || s->shape[d] > INT32_MAX)
            return clm_fail(err, CLM_E_ARG, "%s volume: %lld voxels along axis %d, must be 1 to 2147483647",
                            name, (long long)s->shape[d], d);
        if (!(s->spacing[d] > 0.0) || !isfinite(s->spacing[d]) || !isfinite(s->origin[d]))
            return clm_fail(err, CLM_E_ARG, "%s volume: spacing must be above 0 and the origin finite", name);
    }
    if (!(s->gain > 0.0) || !(s->gamma > 0.0) || !(s->offset >= 0.0) ||
        !(s->shading >= 0.0 && s->shading < 1.0))
        return clm_fail(err, CLM_E_ARG,
                        "%s camera: gain and gamma must be above 0, offset at least 0, shading in [0, 1)",
                        name);
    return true;
}

static bool check(const clm_phantom_params *p, clm_err *err) {
    if (!check_side(&p->side[CLM_PHANTOM_FIXED], "fixed", err) ||
        !check_side(&p->side[CLM_PHANTOM_MOVING], "moving", err))
        return false;
    if (!(p->cell_um > 0.0) || !(p->density >= 0.0 && p->density <= 4.0))
        return clm_fail(err, CLM_E_ARG, "cell_um must be above 0 and density in [0, 4]");
    if (!(fabs(p->rotation_deg) <= 180.0) || !(p->stretch >= 0.0 && p->stretch <= 0.5) ||
        !(p->shear >= 0.0 && p->shear <= 0.2) || !(p->shift_um >= 0.0) || !isfinite(p->shift_um))
        return clm_fail(err, CLM_E_ARG,
                        "rotation_deg must be in [-180, 180], stretch in [0, 0.5], shear in "
                        "[0, 0.2], shift_um at least 0");
    if (!(p->noise >= 0.0) || !(p->counts_per_photon >= 0.0) || !(p->read_counts >= 0.0))
        return clm_fail(err, CLM_E_ARG, "noise, counts_per_photon and read_counts must be at least 0");
    double slope = 0.0;
    for (int i = 0; i < 2; i++) {
        if (!(p->warp_um[i] >= 0.0) || !(p->warp_pitch_um[i] > 0.0))
            return clm_fail(err, CLM_E_ARG, "warp_um must be at least 0 and warp_pitch_um above 0");
        slope += CLM_NOISE_SLOPE * p->warp_um[i] / p->warp_pitch_um[i];
    }
    if (slope >= 0.9)
        return clm_fail(
            err, CLM_E_ARG,
            "this warp might fold: its slope can reach %.3g, must stay below 0.9; lower warp_um or "
            "raise warp_pitch_um",
            slope);
    return true;
}

static void centre_of(const clm_phantom_side *s, double c[3]) {
    for (int d = 0; d < 3; d++) c[d] = s->origin[d] + 0.5 * (double)(s->shape[d] - 1) * s->spacing[d];
}

static void unit_vector(uint64_t seed, uint64_t stream, double v[3]) {
    double z = 2.0 * clm_rng_uniform(seed, stream, 0) - 1.0, r = sqrt(1.0 - z * z);
    double turn = 6.283185307179586 * clm_rng_uniform(seed, stream, 1);
    v[0] = z, v[1] = r * cos(turn), v[2] = r * sin(turn);
}

/* Rotation * (stretch + shear) about the fixed centre, then a shift of given length, turned to the
 * moving centre's side so that most of the scene stays in view. */
static clm_affine make_affine(const clm_phantom_params *p) {
    double axis[3], fixed[3], moving[3], shift[3], angle = p->rotation_deg * 0.017453292519943295;
    unit_vector(p->seed, 31, axis);
    unit_vector(p->seed, 32, shift);
    double c = cos(angle), s = sin(angle);
    clm_affine turn = CLM_AFFINE_IDENTITY, shape = CLM_AFFINE_IDENTITY;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double cross = i == j ? c : (j == (i + 1) % 3 ? -s : s) * axis[3 - i - j];
            turn.m[i][j] = cross + (1.0 - c) * axis[i] * axis[j];
            double bound = i == j ? p->stretch : p->shear;
            shape.m[i][j] += bound * (2.0 * clm_rng_uniform(p->seed, 33, (uint64_t)(3 * i + j)) - 1.0);
        }
    clm_affine a = clm_affine_compose(&turn, &shape);
    centre_of(&p->side[CLM_PHANTOM_FIXED], fixed);
    centre_of(&p->side[CLM_PHANTOM_MOVING], moving);
    for (int i = 0; i < 3; i++) {
        bool away = (moving[i] - fixed[i]) * shift[i] < 0.0;
        a.m[i][3] = fixed[i] + p->shift_um * (away ? -shift[i] : shift[i]);
        for (int j = 0; j < 3; j++) a.m[i][3] -= a.m[i][j] * fixed[j];
    }
    return a;
}

bool clm_phantom_make(const clm_phantom_params *params, clm_phantom *out, clm_err *err) {
    if (!check(params, err)) return false;
    clm_phantom p = {.params = *params, .affine = make_affine(params)};
    if (!clm_affine_invert(&p.affine, &p.inverse, err)) return clm_err_in(err, "the phantom's affine");
    for (int i = 0; i < 2; i++)
        p.warp[i] = (clm_noise){clm_rng_mix(params->seed, 41 + (uint64_t)i), params->warp_pitch_um[i]};
    p.scene = (clm_scene){clm_rng_mix(params->seed, 43), params->cell_um, params->density};
    *out = p;
    return true;
}

/* u(x), from the patches of a box or, without, from single points: the same bits */
static void displacement(const clm_phantom *p, const clm_noise_patch *patch, const double x[3], double u[3]) {
    u[0] = u[1] = u[2] = 0.0;
    for (int i = 0; i < 2; i++) {
        double v[CLM_NOISE_LANES];
        if (p->params.warp_um[i] == 0.0) continue;
        if (patch)
            clm_noise_at(&patch[i], x, v);
        else
            clm_noise_point(&p->warp[i], x, v, NULL);
        for (int d = 0; d < 3; d++) u[d] += p->params.warp_um[i] * v[d];
    }
}

/* d(x + u(x))/dx as the linear part of an affine */
static clm_affine slope_at(const clm_phantom *p, const clm_noise_patch *patch, const double x[3]) {
    clm_affine m = CLM_AFFINE_IDENTITY;
    for (int i = 0; i < 2; i++) {
        double v[CLM_NOISE_LANES], g[CLM_NOISE_LANES][3];
        if (patch)
            clm_noise_slope_at(&patch[i], x, v, g);
        else
            clm_noise_point(&p->warp[i], x, v, g);
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 3; c++) m.m[r][c] += p->params.warp_um[i] * g[r][c];
    }
    return m;
}

void clm_phantom_truth(const clm_phantom *p, const double x[3], double y[3]) {
    double u[3];
    displacement(p, NULL, x, u);
    double moved[3] = {x[0] + u[0], x[1] + u[1], x[2] + u[2]};
    clm_affine_apply(&p->affine, moved, y);
}

double clm_phantom_jacobian(const clm_phantom *p, const double x[3]) {
    clm_affine m = slope_at(p, NULL, x);
    return clm_affine_det(&p->affine) * clm_affine_det(&m);
}

/* One solve of x + u(x) = q from a start x: x -= step (x + u(x) - q). With step the identity this is the
 * fixed point, a contraction because u's slope is below 0.9; the inverse slope nearby makes it faster.
 * True when the residual before the last step fell below RESIDUAL_UM within the rounds. A step that strays farther from q
 * than the solution can be, twice over, gives up: so a patch that wide is enough. */
static bool solve(const clm_phantom *p, const clm_noise_patch *patch, const clm_affine *step,
                  const double q[3], int rounds, double x[3]) {
    for (int i = 0; i < rounds; i++) {
        double u[3], r[3], stray = 2.0 * (p->params.warp_um[0] + p->params.warp_um[1]);
        for (int d = 0; d < 3; d++)
            if (!(fabs(x[d] - q[d]) <= stray)) return false;
        displacement(p, patch, x, u);
        for (int d = 0; d < 3; d++) r[d] = x[d] + u[d] - q[d];
        for (int d = 0; d < 3; d++)
            x[d] -= step->m[d][0] * r[0] + step->m[d][1] * r[1] + step->m[d][2] * r[2];
        if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < RESIDUAL_UM * RESIDUAL_UM) return true;
    }
    return false;
}

static void solve_plain(const clm_phantom *p, const clm_noise_patch *patch, const double q[3], double x[3]) {
    x[0] = q[0], x[1] = q[1], x[2] = q[2];
    (void)solve(p, patch, &CLM_AFFINE_IDENTITY, q, 400, x); /* 0.9^400 of the start is below 1e-17 */
}

void clm_phantom_inverse(const clm_phantom *p, const double y[3], double x[3]) {
    double q[3];
    clm_affine_apply(&p->inverse, y, q);
    solve_plain(p, NULL, q, x);
}

typedef struct moving_tile {
    clm_affine step; /* inverse slope at the middle */
    double q[3], x[3];
} moving_tile;

static void world_of(const clm_phantom_side *s, const double voxel[3], double y[3]) {
    for (int d = 0; d < 3; d++) y[d] = s->origin[d] + voxel[d] * s->spacing[d];
}

static moving_tile tile_of(const clm_phantom *p, const clm_noise_patch *patch, const int64_t index[3]) {
    moving_tile t;
    double middle[3], y[3];
    clm_err ignore;
    for (int d = 0; d < 3; d++) middle[d] = (double)(index[d] * TILE) + 0.5 * (TILE - 1);
    world_of(&p->params.side[CLM_PHANTOM_MOVING], middle, y);
    clm_affine_apply(&p->inverse, y, t.q);
    solve_plain(p, patch, t.q, t.x);
    clm_affine slope = slope_at(p, patch, t.x);
    if (!clm_affine_invert(&slope, &t.step, &ignore)) t.step = CLM_AFFINE_IDENTITY;
    return t;
}

/* x with T(x) = y for the voxels of one tile that lie in the box */
static void invert_tile(const clm_phantom *p, const clm_noise_patch *patch, const int64_t index[3],
                        clm_box box, double *const pos[3]) {
    moving_tile t = tile_of(p, patch, index);
    clm_box part;
    for (int d = 0; d < 3; d++) part.lo[d] = index[d] * TILE, part.hi[d] = part.lo[d] + TILE;
    part = clm_box_meet(part, box);
    for (int64_t k = part.lo[0]; k < part.hi[0]; k++)
        for (int64_t j = part.lo[1]; j < part.hi[1]; j++)
            for (int64_t i = part.lo[2]; i < part.hi[2]; i++) {
                double voxel[3] = {(double)k, (double)j, (double)i}, y[3], q[3], x[3];
                world_of(&p->params.side[CLM_PHANTOM_MOVING], voxel, y);
                clm_affine_apply(&p->inverse, y, q);
                for (int d = 0; d < 3; d++) {
                    x[d] = t.x[d];
                    for (int c = 0; c < 3; c++) x[d] += t.step.m[d][c] * (q[c] - t.q[c]);
                }
                if (!solve(p, patch, &t.step, q, 12, x)) solve_plain(p, patch, q, x);
                int64_t at =
                    ((k - box.lo[0]) * (box.hi[1] - box.lo[1]) + j - box.lo[1]) * (box.hi[2] - box.lo[2]) +
                    i - box.lo[2];
                for (int d = 0; d < 3; d++) pos[d][at] = x[d];
            }
}

/* Where x must be looked for: q of the box's tiles lies within q of their corners, x within `stray` of q. */
static bool invert_box(const clm_work *w, const clm_phantom *p, clm_box box, double *const pos[3],
                       clm_err *err) {
    double lo[3] = {INFINITY, INFINITY, INFINITY}, hi[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (int corner = 0; corner < 8; corner++) {
        double voxel[3], y[3], q[3];
        for (int d = 0; d < 3; d++)
            voxel[d] = (double)(corner >> d & 1 ? box.hi[d] + TILE : box.lo[d] - TILE);
        world_of(&p->params.side[CLM_PHANTOM_MOVING], voxel, y);
        clm_affine_apply(&p->inverse, y, q);
        for (int d = 0; d < 3; d++) lo[d] = fmin(lo[d], q[d]), hi[d] = fmax(hi[d], q[d]);
    }
    double stray = 2.0 * (p->params.warp_um[0] + p->params.warp_um[1]) + 1e-6;
    for (int d = 0; d < 3; d++) lo[d] -= stray, hi[d] += stray;
    clm_noise_patch patch[2];
    for (int i = 0; i < 2; i++)
        if (!clm_noise_patch_new(w->temp, &p->warp[i], lo, hi, &patch[i], err)) return false;
    int64_t t[3];
    for (t[0] = box.lo[0] / TILE; t[0] * TILE < box.hi[0]; t[0]++)
        for (t[1] = box.lo[1] / TILE; t[1] * TILE < box.hi[1]; t[1]++)
            for (t[2] = box.lo[2] / TILE; t[2] * TILE < box.hi[2]; t[2]++) invert_tile(p, patch, t, box, pos);
    return true;
}

static void grid_positions(const clm_phantom_side *s, clm_box box, double *const pos[3]) {
    int64_t n = 0;
    for (int64_t k = box.lo[0]; k < box.hi[0]; k++)
        for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
            for (int64_t i = box.lo[2]; i < box.hi[2]; i++, n++) {
                double x[3];
                world_of(s, (const double[3]){(double)k, (double)j, (double)i}, x);
                for (int d = 0; d < 3; d++) pos[d][n] = x[d];
            }
}

/* brightness to counts, with illumination by the volume's own position and noise keyed by voxel */
static bool expose(const clm_work *w, const clm_phantom *p, clm_phantom_view view, clm_box box, clm_vol *v,
                   clm_err *err) {
    const clm_phantom_params *q = &p->params;
    const clm_phantom_side *s = &q->side[view];
    uint64_t seed = clm_rng_mix(q->seed, 51 + (uint64_t)view);
    clm_noise light = {clm_rng_mix(seed, 1), 25.0 * q->cell_um};
    clm_noise_patch patch;
    double lo[3], hi[3];
    for (int d = 0; d < 3; d++) {
        lo[d] = s->origin[d] + (double)box.lo[d] * s->spacing[d];
        hi[d] = s->origin[d] + (double)box.hi[d] * s->spacing[d];
    }
    if (!clm_noise_patch_new(w->temp, &light, lo, hi, &patch, err)) return false;
    float *out = v->data;
    for (int64_t k = box.lo[0]; k < box.hi[0]; k++)
        for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
            for (int64_t i = box.lo[2]; i < box.hi[2]; i++, out++) {
                double y[3], lanes[CLM_NOISE_LANES];
                world_of(s, (const double[3]){(double)k, (double)j, (double)i}, y);
                clm_noise_at(&patch, y, lanes);
                double bright = s->gamma == 1.0 ? (double)*out : pow((double)*out, s->gamma);
                double counts = s->gain * bright * (1.0 + s->shading * lanes[3]);
                double sigma =
                    q->noise * sqrt(q->counts_per_photon * counts + q->read_counts * q->read_counts);
                uint64_t voxel = (uint64_t)((k * s->shape[1] + j) * s->shape[2] + i);
                if (sigma > 0.0) counts += sigma * clm_rng_normal(seed, 2, voxel);
                *out = (float)fmin(fmax(rint(s->offset + counts), 0.0), 65535.0);
            }
    return true;
}

bool clm_phantom_render(const clm_work *w, const clm_phantom *p, clm_phantom_view view, clm_box box,
                        clm_vol *out, clm_err *err) {
    const clm_phantom_side *s = &p->params.side[view];
    if (clm_box_is_empty(box) || !clm_box_covers(clm_box_of(s->shape), box))
        return clm_fail(err, CLM_E_ARG, "the box to render is empty or not within the volume");
    int64_t shape[3], n = clm_box_count(box);
    double origin[3];
    for (int d = 0; d < 3; d++) {
        shape[d] = box.hi[d] - box.lo[d];
        origin[d] = s->origin[d] + (double)box.lo[d] * s->spacing[d];
    }
    clm_vol v;
    if (!clm_vol_new(w->keep, shape, s->spacing, origin, &v, err)) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    double *pos[3];
    for (int d = 0; d < 3; d++)
        if (!(pos[d] = clm_take(w->temp, double, n, err))) return false;
    if (view == CLM_PHANTOM_FIXED)
        grid_positions(s, box, pos);
    else if (!invert_box(w, p, box, pos, err))
        return false;
    const double *const at[3] = {pos[0], pos[1], pos[2]};
    if (!clm_scene_at(w, &p->scene, shape, at, v.data, err) || !expose(w, p, view, box, &v, err))
        return false;
    clm_arena_rewind(w->temp, mark);
    *out = v;
    return true;
}
