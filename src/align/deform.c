#include "collimate/align/deform.h"
#include "deform_parts.h"

#include "collimate/image/jacobian.h"
#include "collimate/image/quantile.h"

#include <math.h>
#include <string.h>

#define SOLVER_ITERATIONS 15
#define FORWARD 1.4 /* times the solve's step: lumping is too stiff for what changes from node to node */
#define STRAIN_SHARE 0.01 /* of the stiffness, against strain; the rest is against curvature */
#define ANCHOR 0.05  /* of the curvature's weight: holds a node that no voxel speaks for to where it began */
#define UNHEARD 1e-2 /* of the curvature's weight: data weaker than this does not speak for a node */
#define LEAST_SHARE 1e-3 /* of the fixed voxels; below it there is nothing to align by */

static bool check(const clm_vol *fixed, const clm_vol *moving, const clm_field *f, const clm_deform_params *p,
                  clm_err *err) {
    if (p->radius_vox < 1 || p->radius_vox > 64 || p->iterations < 0 || !(p->stiffness > 0.0) ||
        !(p->max_step_vox > 0.0) || !(p->max_displacement_um >= 0.0) || !(p->min_jacobian >= 0.0) ||
        !(p->min_jacobian < 1.0) || !(p->min_contrast > 0.0) || !(p->min_gain >= 0.0))
        return clm_fail(
            err, CLM_E_ARG,
            "deform: radius %d, %d iterations, stiffness %g, step %g, limit %g um, min Jacobian %g, "
            "contrast %g, gain %g: out of range",
            (int)p->radius_vox, (int)p->iterations, p->stiffness, p->max_step_vox, p->max_displacement_um,
            p->min_jacobian, p->min_contrast, p->min_gain);
    for (int d = 0; d < 3; d++)
        if (fixed->shape[d] < 1 || f->shape[d] < 1 || !(f->spacing[d] > 0.0))
            return clm_fail(err, CLM_E_ARG, "deform: axis %d has %lld voxels and %lld nodes of %g um", d,
                            (long long)fixed->shape[d], (long long)f->shape[d], f->spacing[d]);
    double reach = (double)moving->shape[0] * (double)moving->stride[0];
    if (reach >= 2147483648.0) /* offsets are 32 bits wide */
        return clm_fail(err, CLM_E_ARG, "deform: moving volume spans %.0f voxels; at most 2^31 a call",
                        reach);
    for (int64_t i = 0; i < 3 * clm_field_count(f); i++) {
        int64_t n = clm_field_count(f);
        if (!isfinite(f->u[i / n][i % n]))
            return clm_fail(err, CLM_E_ARG, "deform: the field to start from is not finite");
    }
    return true;
}

typedef struct spread {
    double mean, std;
    int64_t finite;
} spread;

/* two sweeps, so that a large offset costs no digits */
static spread measure(const clm_vol *v) {
    spread s = {0};
    double sum = 0.0, squares = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t z = 0; z < v->shape[0]; z++)
            for (int64_t y = 0; y < v->shape[1]; y++) {
                const float *row = clm_vol_row(v, z, y);
                double part = 0.0;
                int64_t seen = 0;
                for (int64_t x = 0; x < v->shape[2]; x++) {
                    if (!isfinite(row[x])) continue;
                    double d = (double)row[x] - s.mean;
                    part += pass ? d * d : d;
                    seen++;
                }
                if (pass)
                    squares += part;
                else
                    sum += part, s.finite += seen;
                if (!pass && z + 1 == v->shape[0] && y + 1 == v->shape[1])
                    s.mean = s.finite ? sum / (double)s.finite : 0.0;
            }
    s.std = s.finite ? sqrt(squares / (double)s.finite) : 0.0;
    return s;
}

/* intensities in units of the fixed block's spread; SSD alone compares them as they are */
static bool prepare(const clm_work *w, level *l, clm_err *err) {
    spread f = measure(l->fixed), m = measure(l->moving);
    double n = (double)clm_vol_count(l->fixed);
    if ((double)f.finite < LEAST_SHARE * n || !(f.std > 0.0))
        return clm_fail(err, CLM_E_NODATA, "fixed block: %.0f of %.0f voxels finite, standard deviation %g",
                        (double)f.finite, n, f.std);
    if (m.finite == 0 || !(m.std > 0.0))
        return clm_fail(err, CLM_E_NODATA, "moving block: %lld of %lld voxels finite, standard deviation %g",
                        (long long)m.finite, (long long)clm_vol_count(l->moving), m.std);
    bool same = l->p->metric == CLM_DEFORM_SSD;
    l->fixed_mean = f.mean, l->fixed_scale = 1.0 / f.std;
    l->moving_mean = same ? f.mean : m.mean, l->moving_scale = 1.0 / (same ? f.std : m.std);
    l->fixed_whole = f.finite == clm_vol_count(l->fixed);
    l->moving_whole = m.finite == clm_vol_count(l->moving);
    l->I = clm_take(w->temp, float, clm_vol_count(l->fixed), err);
    if (!l->I) return false;
    float *to = l->I, mean = (float)f.mean, scale = (float)l->fixed_scale;
    for (int64_t z = 0; z < l->fixed->shape[0]; z++)
        for (int64_t y = 0; y < l->fixed->shape[1]; y++) {
            const float *row = clm_vol_row(l->fixed, z, y);
            for (int64_t x = 0; x < l->fixed->shape[2]; x++)
                *to++ = isfinite(row[x]) ? (row[x] - mean) * scale : 0.0f;
        }
    if (l->p->metric == CLM_DEFORM_MI) return mi_prepare(w, l, err);
    return !metric_is_local(l->p->metric) || lncc_prepare(w, l, err);
}

/* a node's increment, lengthened, then how far it is from its start, into their balls */
static void bound_step(const clm_field *start, const clm_field *u, float *const du[3], double step_um,
                       double limit_um) {
    for (int64_t i = 0; i < clm_field_count(u); i++) {
        double d[3] = {(double)du[0][i], (double)du[1][i], (double)du[2][i]};
        double length = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        double by = FORWARD * length > step_um ? step_um / length : FORWARD;
        for (int c = 0; c < 3; c++) d[c] *= by;
        if (limit_um > 0.0) {
            double t[3], far = 0.0;
            double moved[3];
            for (int c = 0; c < 3; c++) {
                moved[c] = (double)u->u[c][i] - (double)start->u[c][i];
                t[c] = moved[c] + d[c], far += t[c] * t[c];
            }
            far = sqrt(far);
            for (int c = 0; far > limit_um && c < 3; c++) d[c] = t[c] * (limit_um / far) - moved[c];
        }
        for (int c = 0; c < 3; c++) du[c][i] = (float)d[c];
    }
}

static double largest(const clm_field *u) {
    double most = 0.0;
    for (int64_t i = 0; i < clm_field_count(u); i++) {
        double a = (double)u->u[0][i], b = (double)u->u[1][i], c = (double)u->u[2][i];
        most = fmax(most, a * a + b * b + c * c);
    }
    return sqrt(most);
}

/* what the descent carries from one iteration to the next */
typedef struct state {
    clm_field u, trial;
    normal eq, next; /* at u, at trial */
    float *du[3];
    stiffness unit, weight; /* of a stiffness of 1, and of the one asked for */
    const clm_field *start;
    float *anchor; /* weight of the squared distance from the start, by node */
    pass_sum sum;
    double bend;
} state;

static bool take_planes(clm_arena *a, int64_t n, int planes, float **out, clm_err *err) {
    float *p = clm_take(a, float, n *planes, err);
    for (int i = 0; p && i < planes; i++) out[i] = p + i * n;
    return p != NULL;
}

static void copy_field(clm_field *to, const clm_field *from) {
    for (int c = 0; c < 3; c++) memcpy(to->u[c], from->u[c], (size_t)clm_field_count(from) * sizeof(float));
}

static bool make_state(const clm_work *w, const level *l, const clm_field *f, state *s, clm_err *err) {
    int64_t n = clm_field_count(f);
    double voxels = 1.0;
    s->u = s->trial = *f;
    if (!take_planes(w->temp, n, 3, s->u.u, err) || !take_planes(w->temp, n, 3, s->trial.u, err) ||
        !take_planes(w->temp, n, 3, s->eq.g, err) || !take_planes(w->temp, n, 6, s->eq.h, err) ||
        !take_planes(w->temp, n, 3, s->next.g, err) || !take_planes(w->temp, n, 6, s->next.h, err) ||
        !take_planes(w->temp, n, 3, s->du, err) || !take_planes(w->temp, n, 1, &s->anchor, err))
        return false;
    copy_field(&s->u, f);
    s->start = f;
    /* stiffness is an energy a volume: a node stands for so many voxels */
    for (int d = 0; d < 3; d++)
        voxels *= f->shape[d] > 1 ? f->spacing[d] / l->fixed->spacing[d] : (double)l->fixed->shape[d];
    /* curvature over the length of one pitch: what the lattice can just resolve costs as strain would, what is
     * smooth on its scale costs little */
    double pitch2 = pow(f->spacing[0] * f->spacing[1] * f->spacing[2], 2.0 / 3.0);
    for (int d = 0; d < 3; d++) {
        double h2 = f->spacing[d] * f->spacing[d];
        s->unit.strain[d] = STRAIN_SHARE * voxels / h2;
        s->unit.curvature[d] = voxels * pitch2 / (h2 * h2);
        s->weight.strain[d] = l->p->stiffness * s->unit.strain[d];
        s->weight.curvature[d] = l->p->stiffness * s->unit.curvature[d];
    }
    return true;
}

/* Where nothing is compared curvature alone would continue the field in a straight line, the farther the more
 * wrong: such nodes are held to the field they start from. */
static void lay_anchors(state *s) {
    double k = s->weight.curvature[0] + s->weight.curvature[1] + s->weight.curvature[2];
    for (int64_t i = 0; i < clm_field_count(&s->u); i++) {
        double data = (double)s->eq.h[0][i] + (double)s->eq.h[3][i] + (double)s->eq.h[5][i];
        double unheard = 1.0 / (1.0 + data / (UNHEARD * k));
        s->anchor[i] = (float)(ANCHOR * k * unheard * unheard);
    }
}

/* their energy at u, and (eq not NULL) their share of its equations */
static double pull_anchors(const state *s, const clm_field *u, const normal *eq) {
    static const int diagonal[3] = {0, 3, 5};
    double energy = 0.0;
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < clm_field_count(u); i++) {
            float off = u->u[c][i] - s->start->u[c][i];
            energy += 0.5 * (double)s->anchor[i] * (double)off * (double)off;
            if (!eq) continue;
            eq->g[c][i] += s->anchor[i] * off;
            eq->h[diagonal[c]][i] += s->anchor[i];
        }
    return energy;
}

static double similarity_of(pass_sum s) { return s.compared > 0.0 ? s.similarity / s.compared : 0.0; }

/* energies over the same number of voxels, so that losing some to the border is no gain */
static bool is_better(const state *s, pass_sum trial, double bend) {
    double n = s->sum.compared;
    if (trial.compared < 0.5 * n) return false;
    return trial.energy * (n / trial.compared) + bend < s->sum.energy + s->bend;
}

/* try the step, shorter if the energy rises; false in *moved when no length helps */
static bool advance(const clm_work *w, const level *l, state *s, bool last, clm_deform_fit *fit, bool *moved,
                    clm_err *err) {
    *moved = false;
    for (int attempt = 0; attempt < 3 && !*moved; attempt++) {
        pass_sum sum;
        copy_field(&s->trial, &s->u);
        if (!floor_add(w, &s->trial, s->du, l->p->min_jacobian, &fit->limited, err) ||
            !pass_run(w, l, &s->trial, last ? NULL : &s->next, &sum, err))
            return false;
        double bend =
            stiffness_energy(&s->trial, &s->weight) + pull_anchors(s, &s->trial, last ? NULL : &s->next);
        if (is_better(s, sum, bend)) {
            clm_field u = s->u;
            normal eq = s->eq;
            s->u = s->trial, s->trial = u;
            s->eq = s->next, s->next = eq;
            s->sum = sum, s->bend = bend;
            *moved = true;
        } else {
            fit->rejected++;
            for (int c = 0; c < 3; c++)
                for (int64_t i = 0; i < clm_field_count(&s->u); i++) s->du[c][i] *= 0.4f;
        }
    }
    return true;
}

static bool descend(const clm_work *w, const level *l, const clm_field *start, state *s, clm_deform_fit *fit,
                    clm_err *err) {
    const double *h = l->fixed->spacing;
    double step_um = l->p->max_step_vox * fmax(h[0], fmax(h[1], h[2]));
    for (int it = 0; it < l->p->iterations; it++) {
        double before = similarity_of(s->sum);
        bool moved;
        if (!solve_step(w, &s->eq, &s->u, &s->weight, SOLVER_ITERATIONS, s->du, err)) return false;
        bound_step(start, &s->u, s->du, step_um, l->p->max_displacement_um);
        bool last = it + 1 == l->p->iterations && !l->p->evidence;
        if (!advance(w, l, s, last, fit, &moved, err)) return false;
        if (!moved) break;
        fit->iterations++;
        if (similarity_of(s->sum) - before < l->p->min_gain) break;
    }
    return true;
}

static bool run(const clm_work *w, level *l, clm_field *field, clm_deform_fit *fit, clm_err *err) {
    state s;
    double n = (double)clm_vol_count(l->fixed);
    if (!prepare(w, l, err) || !make_state(w, l, field, &s, err) ||
        !floor_repair(w, &s.u, l->p->min_jacobian, err) || !pass_run(w, l, &s.u, &s.eq, &s.sum, err))
        return false;
    lay_anchors(&s);
    s.bend = stiffness_energy(&s.u, &s.weight) + pull_anchors(&s, &s.u, &s.eq);
    fit->before = fit->after = similarity_of(s.sum);
    fit->covered = s.sum.compared / n;
    if (fit->covered < LEAST_SHARE)
        return clm_fail(err, CLM_E_NODATA,
                        "%.0f of %.0f voxels can be compared (no overlap, NaN or no contrast)",
                        s.sum.compared, n);
    if (!descend(w, l, field, &s, fit, err)) return false;
    if (l->p->evidence && !evidence_gather(w, l, &s.u, &s.eq, &s.unit, &fit->evidence, err)) return false;
    fit->after = similarity_of(s.sum);
    fit->covered = s.sum.compared / n;
    fit->min_jacobian = clm_jacobian_min(l->A, &s.u);
    fit->max_displacement_um = largest(&s.u);
    copy_field(field, &s.u);
    return true;
}

bool clm_deform(const clm_work *w, const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                clm_field *field, const clm_deform_params *p, clm_deform_fit *out, clm_err *err) {
    *out = (clm_deform_fit){0};
    if (!check(fixed, moving, field, p, err)) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    level l = {.p = p, .fixed = fixed, .moving = moving, .A = A};
    bool ok = run(w, &l, field, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

/* what curvature carries sideways fades over the fourth root of its weight */
int64_t clm_deform_halo(const clm_deform_params *p) {
    return 2 * (int64_t)p->radius_vox + (int64_t)ceil(8.0 * pow(2.0 * p->stiffness, 0.25));
}

int64_t clm_deform_bytes(const clm_deform_params *p, const int64_t n[3], const int64_t nodes[3]) {
    int64_t voxels = n[0] * n[1] * n[2], lattice = nodes[0] * nodes[1] * nodes[2];
    int64_t rows = 4 * 40 * (n[2] + nodes[2] + 128), held = 28 * 4 * lattice;
    int64_t solve = 18 * 4 * lattice, floor = 18 * lattice + 4 * nodes[2];
    int64_t pass = splat_bytes(n, nodes) + rows, keep = 4 * voxels;
    if (metric_is_local(p->metric)) {
        const cells c = cells_shape(p->radius_vox, n);
        int64_t planes = (2 * (int64_t)c.reach + 1) * c.size;
        keep += 8 * c.n[0] * c.n[1] * c.n[2] + 16 * c.n[2] + 128;
        pass += 3 * window_bytes(c.reach, 3, c.n) + 16 * planes * n[1] * n[2];
    }
    if (p->metric == CLM_DEFORM_MI) keep += (int64_t)sizeof(clm_parzen) + 8 * CLM_QUANTILE_BINS;
    int64_t most = pass > solve ? pass : solve;
    if (p->evidence) held += 21 * 4 * lattice;
    return keep + held + (most > floor ? most : floor) + (1 << 16);
}
