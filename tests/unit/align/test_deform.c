#include "support/near.h"
#include "support/temp.h"

#include "collimate/align/deform.h"
#include "collimate/base/rng.h"
#include "collimate/image/jacobian.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WAVES 12

/* texture with a value at every point: waves of 7 to 20 um in keyed directions */
static double texture(const double x[3]) {
    double v = 0.0;
    for (uint64_t k = 0; k < WAVES; k++) {
        double along = clm_rng_uniform(3, k, 0) * 6.28;
        double length = 0.0, d[3];
        for (int c = 0; c < 3; c++) d[c] = clm_rng_normal(3, k, 10 + (uint64_t)c), length += d[c] * d[c];
        double per_um = 6.2832 / (7.0 + 13.0 * clm_rng_uniform(3, k, 1)) / sqrt(length);
        v += cos(along + per_um * (d[0] * x[0] + d[1] * x[1] + d[2] * x[2]));
    }
    return 100.0 + 10.0 * v;
}

static double bend = 1.0; /* of the truth, see there */

/* the truth: up to 2 um either way over some 60 um */
static void truth(const double x[3], double u[3]) {
    u[0] = bend * 1.4 * sin(0.11 * x[1] + 0.4) * cos(0.08 * x[2]);
    u[1] = bend * 1.6 * sin(0.10 * x[2] + 0.05 * x[0]);
    u[2] = bend * 1.5 * cos(0.09 * x[0] - 0.08 * x[1] + 1.0);
}

static const clm_affine TILT = {
    {{1.01, 0.02, -0.01, 1.5}, {-0.02, 0.98, 0.03, -1.0}, {0.01, -0.02, 1.02, 0.7}}};

typedef struct pair {
    clm_vol fixed, moving;
    clm_field field;
} pair;

static clm_vol grid(clm_work *w, int64_t nz, int64_t ny, int64_t nx, const double origin[3]) {
    const int64_t shape[3] = {nz, ny, nx};
    const double spacing[3] = {1.1, 1.0, 0.9};
    clm_vol v;
    clm_err err;
    assert_ok(clm_vol_new(w->keep, shape, spacing, origin, &v, &err), err);
    return v;
}

static void place(const clm_vol *v, int64_t z, int64_t y, int64_t x, double at[3]) {
    at[0] = v->origin[0] + (double)z * v->spacing[0];
    at[1] = v->origin[1] + (double)y * v->spacing[1];
    at[2] = v->origin[2] + (double)x * v->spacing[2];
}

/* fixed(x) = texture(T(x)) exactly, no resampling; independent noise in both */
static void fill(clm_vol *v, bool warped, double noise, uint64_t stream) {
    int64_t i = 0;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++)
            for (int64_t x = 0; x < v->shape[2]; x++, i++) {
                double at[3], u[3];
                place(v, z, y, x, at);
                if (warped) {
                    truth(at, u);
                    for (int c = 0; c < 3; c++) at[c] += u[c];
                    clm_affine_apply(&TILT, at, at);
                }
                v->data[i] = (float)(texture(at) + noise * clm_rng_normal(9, stream, (uint64_t)i));
            }
}

static clm_field field_over(clm_work *w, const clm_vol *v, double pitch_vox) {
    int64_t shape[3];
    double spacing[3];
    clm_field f;
    clm_err err;
    for (int d = 0; d < 3; d++) {
        spacing[d] = pitch_vox * v->spacing[d];
        shape[d] = (int64_t)ceil((double)(v->shape[d] - 1) / pitch_vox) + 1;
    }
    assert_ok(clm_field_new(w->keep, shape, spacing, v->origin, &f, &err), err);
    return f;
}

static pair make_pair(clm_work *w, int64_t n, double noise) {
    const double fixed_origin[3] = {2, -1, 3}, moving_origin[3] = {-4, -8, -4};
    pair p = {.fixed = grid(w, n, n + 2, n + 5, fixed_origin),
              .moving = grid(w, n + 16, n + 18, n + 24, moving_origin)};
    fill(&p.fixed, true, noise, 1);
    fill(&p.moving, false, noise, 2);
    p.field = field_over(w, &p.fixed, 4.0);
    return p;
}

static int by_size(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* errors of the field in voxels at `margin` or more voxels from the faces: share of them below */
static double error_at(const pair *p, int64_t margin, double share, int64_t x_end) {
    static double error[200000];
    int64_t n = 0;
    const clm_vol *v = &p->fixed;
    for (int64_t z = margin; z < v->shape[0] - margin; z++)
        for (int64_t y = margin; y < v->shape[1] - margin; y++)
            for (int64_t x = margin; x < x_end; x++) {
                double at[3], want[3], got[3], e = 0;
                place(v, z, y, x, at);
                truth(at, want);
                clm_field_at(&p->field, at, got);
                for (int c = 0; c < 3; c++)
                    e += (want[c] - got[c]) * (want[c] - got[c]) / v->spacing[c] / v->spacing[c];
                error[n++] = sqrt(e);
            }
    qsort(error, (size_t)n, sizeof *error, by_size);
    return error[(int64_t)(share * (double)(n - 1))];
}

static void known_warp_is_found(void **state) {
    (void)state;
    static const clm_deform_metric metric[] = {CLM_DEFORM_LNCC, CLM_DEFORM_NCC, CLM_DEFORM_SSD,
                                               CLM_DEFORM_MI};
    for (int m = 0; m < 4; m++) {
        clm_work w = clm_test_work(64);
        clm_err err;
        pair p = make_pair(&w, 36, 2.0);
        clm_deform_params params = CLM_DEFORM_DEFAULTS;
        clm_deform_fit fit;
        params.metric = metric[m], params.stiffness = 0.5; /* the truth's waves are short */
        double before = error_at(&p, 4, 0.5, p.fixed.shape[2] - 4);
        assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
        assert_true(before > 1.0);
        assert_true(error_at(&p, 4, 0.5, p.fixed.shape[2] - 4) < 0.1);
        assert_true(error_at(&p, 4, 0.99, p.fixed.shape[2] - 4) < 0.5);
        assert_true(fit.after > 0.98 && fit.before < 0.92 && fit.iterations >= 2);
        assert_true(fit.covered > 0.9 && fit.covered <= 1.0);
        assert_true(fit.min_jacobian > 0.5 && fit.max_displacement_um > 1.5 && fit.max_displacement_um < 6.0);
        const int64_t *n = p.field.shape;
        assert_true((int64_t)clm_arena_peak(w.temp) <= clm_deform_bytes(&params, p.fixed.shape, n) * 11 / 10);
        assert_int_equal(clm_arena_mark(w.temp).used, 0);
        clm_test_work_drop(&w);
    }
}

static double stiffness_for(double how_bent, double noise, clm_deform_metric metric) {
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    params.metric = metric, params.evidence = true;
    bend = how_bent;
    pair p = make_pair(&w, 36, noise);
    bend = 1.0;
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    assert_true((int64_t)clm_arena_peak(w.temp) <=
                clm_deform_bytes(&params, p.fixed.shape, p.field.shape) * 11 / 10);
    clm_test_work_drop(&w);
    return clm_deform_stiffness(&fit.evidence, NAN);
}

/* A truth that is bent less calls for more stiffness, and so does noise. */
static void evidence_tells_the_stiffness(void **state) {
    (void)state;
    static const clm_deform_metric metric[] = {CLM_DEFORM_LNCC, CLM_DEFORM_NCC, CLM_DEFORM_SSD};
    for (int m = 0; m < 3; m++) {
        double bent = stiffness_for(1.0, 2.0, metric[m]), straight = stiffness_for(0.25, 2.0, metric[m]);
        double noisy = stiffness_for(1.0, 15.0, metric[m]);
        print_message("metric %d: stiffness %.3f, a quarter as bent %.3f, more noise %.3f\n", (int)metric[m],
                      bent, straight, noisy);
        assert_true(straight > 3.0 * bent);
        assert_true(noisy > 1.5 * bent);
    }
}

/* what each weight calls for follows a power law: then the answer is known */
static void stiffness_is_where_the_evidence_agrees(void **state) {
    (void)state;
    static const double weight[CLM_DEFORM_WEIGHTS] = {0.125, 1.0, 8.0};
    for (double at = 0.05; at < 40.0; at *= 1.7) {
        clm_deform_evidence part = {.noise = 3.0, .noise_unit = 6.0}, sum = {0};
        for (int k = 0; k < CLM_DEFORM_WEIGHTS; k++) {
            part.freedom[k] = 100.0 * pow(weight[k] / at, 0.4) * at;
            part.curvature[k] = 50.0;
        }
        for (int i = 0; i < 3; i++) clm_deform_evidence_add(&sum, &part);
        assert_near(clm_deform_stiffness(&sum, NAN), at, 1e-9 * at);
    }
    const clm_deform_evidence none = {0};
    assert_true(clm_deform_stiffness(&none, 2.0) == 2.0);
}

static void gain_and_offset_do_not_matter(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    pair p = make_pair(&w, 36, 1.0);
    for (int64_t i = 0; i < clm_vol_count(&p.moving);
         i++) { /* a gain that drifts along x, and a large offset */
        double x = (double)(i % p.moving.shape[2]) / (double)p.moving.shape[2];
        p.moving.data[i] = (float)(30000.0 + (20.0 + 30.0 * x) * ((double)p.moving.data[i] - 100.0));
    }
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    assert_true(error_at(&p, 4, 0.5, p.fixed.shape[2] - 4) < 0.1);
    clm_test_work_drop(&w);
}

/* bright is dark, and what is in between is bent, or comes and goes, as between modalities */
static float other_contrast(int how, float v, int64_t i, int64_t nx) {
    double t = ((double)v - 100.0) / 25.0, along = (double)(i % nx) / (double)nx;
    if (how == 0) return (float)(900.0 - 40.0 * t);                               /* inverted          */
    if (how == 1) return (float)(500.0 - 100.0 * tanh(0.8 * t + 0.3) + 20.0 * t); /* and bent          */
    if (how == 3) return (float)(500.0 + 100.0 * cos(1.6 * t)); /* bright and dark are the same      */
    return (float)(500.0 + 100.0 * tanh(t) * (along < 0.5 ? 1.0 : -1.0)); /* inverted in parts          */
}

static void other_modalities_are_aligned(void **state) {
    (void)state;
    static const struct {
        clm_deform_metric metric;
        int how;
        double most, least; /* median error, voxels; similarity at the end */
    } cases[] = {
        {CLM_DEFORM_LNCC2, 0, 0.15, 0.9}, {CLM_DEFORM_LNCC2, 1, 0.4, 0.9},
        {CLM_DEFORM_LNCC2, 2, 0.4, 0.8}, /* windows across the plane where it turns agree with neither */
        {CLM_DEFORM_MI, 0, 0.12, 0.9},    {CLM_DEFORM_MI, 1, 0.2, 0.9},
        {CLM_DEFORM_MI, 3, 0.15, 0.9}}; /* neither is a function of the other */
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        clm_work w = clm_test_work(64);
        clm_err err;
        clm_deform_fit fit;
        clm_deform_params params = CLM_DEFORM_DEFAULTS;
        pair p = make_pair(&w, 36, 2.0);
        params.metric = cases[k].metric, params.iterations = 12;
        for (int64_t i = 0; i < clm_vol_count(&p.moving); i++)
            p.moving.data[i] = other_contrast(cases[k].how, p.moving.data[i], i, p.moving.shape[2]);
        assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
        double error = error_at(&p, 4, 0.5, p.fixed.shape[2] - 4);
        print_message("metric %d, contrast %d: median error %.3f voxel, similarity %.3f from %.3f\n",
                      (int)cases[k].metric, cases[k].how, error, fit.after, fit.before);
        assert_true(error < cases[k].most);
        assert_true(fit.after > fit.before + 0.08 && fit.after > cases[k].least);
        if (cases[k].metric == CLM_DEFORM_LNCC2) assert_true(fit.after <= 1.0);
        clm_test_work_drop(&w);
    }
}

static void same_input_same_bytes(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit[2];
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    pair p = make_pair(&w, 20, 2.0), q = p;
    q.field = field_over(&w, &p.fixed, 4.0);
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit[0], &err), err);
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &q.field, &params, &fit[1], &err), err);
    assert_memory_equal(p.field.u[0], q.field.u[0], 3 * (size_t)clm_field_count(&p.field) * sizeof(float));
    assert_memory_equal(&fit[0], &fit[1], sizeof fit[0]);
    clm_test_work_drop(&w);
}

/* half of the moving volume missing, as NaN or not there at all: the other half is aligned all the same */
static void missing_half_leaves_the_other_alone(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        clm_work w = clm_test_work(64);
        clm_err err;
        clm_deform_fit fit;
        clm_deform_params params = CLM_DEFORM_DEFAULTS;
        pair p = make_pair(&w, 32, 1.0);
        params.stiffness = 0.5;
        int64_t half = p.fixed.shape[2] / 2;
        clm_vol *cut = how == 2 ? &p.fixed : &p.moving;
        int64_t from = half + (cut->shape[2] - p.fixed.shape[2]) / 2;
        if (how == 1) {
            clm_box left = clm_box_of(cut->shape);
            left.hi[2] = from;
            *cut = clm_vol_crop(cut, left);
        } else
            for (int64_t i = 0; i < clm_vol_count(cut); i++)
                if (i % cut->shape[2] >= from) cut->data[i] = NAN;
        assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
        assert_true(fit.covered > 0.35 && fit.covered < 0.75);
        assert_true(error_at(&p, 4, 0.5, half - 6) < 0.1);
        assert_true(error_at(&p, 4, 0.99, half - 6) < 0.5);
        assert_true(fit.max_displacement_um < 8.0); /* the empty half is filled calmly */
        const int64_t *n = p.field.shape;           /* and its far end stays where it began */
        for (int64_t i = n[2] - 1; i < clm_field_count(&p.field); i += n[2])
            for (int c = 0; c < 3; c++) assert_true(fabs((double)p.field.u[c][i]) < 0.5);
        clm_test_work_drop(&w);
    }
}

static void nothing_to_align_by(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    for (int metric = 0; metric < 5; metric++)
        for (int what = 0; what < 4; what++) {
            pair p = make_pair(&w, 12, 1.0);
            clm_vol *v = what < 2 ? &p.fixed : &p.moving;
            params.metric = (clm_deform_metric)metric;
            clm_affine A = TILT;
            if (what == 3)
                A.m[1][3] += 1000.0;
            else
                for (int64_t i = 0; i < clm_vol_count(v); i++) v->data[i] = what == 1 ? 5.0f : NAN;
            p.field.u[0][3] = 0.25f;
            assert_fails(CLM_E_NODATA, clm_deform(&w, &p.fixed, &p.moving, &A, &p.field, &params, &fit, &err),
                         err);
            assert_near((double)p.field.u[0][3], 0.25, 0.0);
            assert_near(fit.covered, 0.0, 0.0);
            assert_int_equal(clm_arena_mark(w.temp).used, 0);
            clm_arena_rewind(w.keep, (clm_mark){0});
        }
    pair p = make_pair(&w, 12, 1.0);
    params.stiffness = 0;
    assert_fails(CLM_E_ARG, clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    params = CLM_DEFORM_DEFAULTS;
    p.field.u[1][0] = NAN;
    assert_fails(CLM_E_ARG, clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    clm_test_work_drop(&w);
}

/* two unrelated textures, hardly any stiffness, a start that is folded: the floor holds at every point */
static void floor_holds_on_a_hard_case(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    pair p = make_pair(&w, 24, 0.0);
    for (int64_t i = 0; i < clm_vol_count(&p.moving); i++)
        p.moving.data[i] = (float)clm_rng_normal(4, 4, (uint64_t)i / 3);
    for (int64_t i = 0; i < 3 * clm_field_count(&p.field); i++)
        p.field.u[0][i] = (float)(2.5 * clm_rng_normal(4, 5, (uint64_t)i));
    assert_true(clm_jacobian_min(&TILT, &p.field) < 0.0);
    params.stiffness = 1e-3, params.min_jacobian = 0.4, params.radius_vox = 2, params.min_gain = 0;
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    assert_true(fit.limited > 0 && fit.after > fit.before);
    double det = clm_affine_det(&TILT);
    assert_true(clm_jacobian_min(&TILT, &p.field) >= 0.4 * det - 1e-6);
    assert_near(fit.min_jacobian, clm_jacobian_min(&TILT, &p.field), 1e-12);
    for (uint64_t i = 0; i < 20000; i++) {
        double x[3];
        for (int d = 0; d < 3; d++)
            x[d] = p.field.origin[d] +
                   clm_rng_uniform(8, i, (uint64_t)d) * p.field.spacing[d] * (double)(p.field.shape[d] - 1);
        assert_true(clm_jacobian_at(&TILT, &p.field, x) >= 0.4 * det - 1e-5);
    }
    clm_test_work_drop(&w);
}

static void displacement_limit_holds(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    pair p = make_pair(&w, 20, 1.0);
    params.max_displacement_um = 0.75;
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    assert_true(fit.max_displacement_um > 0.5 && fit.max_displacement_um <= 0.75 + 1e-5);
    /* it is a limit of what is added: a later pass goes on from where this one stopped */
    assert_ok(clm_deform(&w, &p.fixed, &p.moving, &TILT, &p.field, &params, &fit, &err), err);
    assert_true(fit.max_displacement_um > 0.76 && fit.max_displacement_um <= 1.5 + 1e-5);
    clm_test_work_drop(&w);
}

/* a block with its halo gives what the whole gives, inside */
static void block_with_halo_equals_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    params.radius_vox = 2;
    pair whole = make_pair(&w, 44, 2.0), block = whole;
    int64_t halo = clm_deform_halo(&params);
    clm_box box = {{0, 0, 0}, {44, 46, 20 + halo}};
    block.fixed = clm_vol_crop(&whole.fixed, box);
    block.field = field_over(&w, &block.fixed, 4.0);
    assert_ok(clm_deform(&w, &whole.fixed, &whole.moving, &TILT, &whole.field, &params, &fit, &err), err);
    assert_ok(clm_deform(&w, &block.fixed, &block.moving, &TILT, &block.field, &params, &fit, &err), err);
    for (int64_t k = 0; k < block.field.shape[0]; k++)
        for (int64_t j = 0; j < block.field.shape[1]; j++)
            for (int64_t i = 0; i <= 5; i++) /* nodes at voxels 0, 4, .. 20 */
                for (int c = 0; c < 3; c++) {
                    int64_t a = (k * block.field.shape[1] + j) * block.field.shape[2] + i;
                    int64_t b = (k * whole.field.shape[1] + j) * whole.field.shape[2] + i;
                    assert_near((double)block.field.u[c][a], (double)whole.field.u[c][b], 0.1);
                }
    clm_test_work_drop(&w);
}

/* one plane is an image: nothing moves across it */
static void images_are_volumes_of_one_plane(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_deform_fit fit;
    clm_deform_params params = CLM_DEFORM_DEFAULTS;
    const clm_affine id = CLM_AFFINE_IDENTITY;
    const double origin[3] = {0, 0, 0};
    clm_vol fixed = grid(&w, 1, 64, 70, origin), moving = grid(&w, 1, 64, 70, origin);
    fill(&moving, false, 0.5, 1);
    for (int64_t y = 0, i = 0; y < 64; y++)
        for (int64_t x = 0; x < 70; x++, i++) {
            double at[3];
            place(&fixed, 0, y, x, at);
            at[1] += 1.2 * sin(0.1 * at[2]), at[2] += 1.0;
            fixed.data[i] = (float)texture(at);
        }
    clm_field f = field_over(&w, &fixed, 4.0);
    assert_int_equal(f.shape[0], 1);
    assert_ok(clm_deform(&w, &fixed, &moving, &id, &f, &params, &fit, &err), err);
    const double at[3] = {0, 32, 30};
    double u[3];
    clm_field_at(&f, at, u);
    assert_near(u[0], 0.0, 1e-6);
    assert_near(u[1], 1.2 * sin(3.0), 0.15);
    assert_near(u[2], 1.0, 0.15);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_warp_is_found),
        cmocka_unit_test(evidence_tells_the_stiffness),
        cmocka_unit_test(stiffness_is_where_the_evidence_agrees),
        cmocka_unit_test(gain_and_offset_do_not_matter),
        cmocka_unit_test(other_modalities_are_aligned),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(missing_half_leaves_the_other_alone),
        cmocka_unit_test(nothing_to_align_by),
        cmocka_unit_test(floor_holds_on_a_hard_case),
        cmocka_unit_test(displacement_limit_holds),
        cmocka_unit_test(block_with_halo_equals_the_whole),
        cmocka_unit_test(images_are_volumes_of_one_plane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
