#include "collimate/align/refine.h"
#include "../../../src/align/refine_sums.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

/* Blobs given by a formula: both volumes are evaluated, neither is resampled, so the truth is exact. */
#define BLOBS 60
static const double spacing[3] = {2.0, 1.5, 1.0};

static double blob[BLOBS][5]; /* centre, size, height */

static int make_scene(void **state) {
    (void)state;
    for (uint64_t k = 0; k < BLOBS; k++) {
        for (uint64_t d = 0; d < 3; d++) blob[k][d] = -20 + 140 * clm_rng_uniform(9, d, k);
        blob[k][3] = 4 + 4 * clm_rng_uniform(9, 4, k);
        blob[k][4] = 0.5 + clm_rng_uniform(9, 5, k);
    }
    return 0;
}

static float scene(const double x[3]) {
    double v = 0;
    for (int k = 0; k < BLOBS; k++) {
        double r2 = 0, s2 = blob[k][3] * blob[k][3];
        for (int d = 0; d < 3; d++) r2 += (x[d] - blob[k][d]) * (x[d] - blob[k][d]);
        if (r2 < 30 * s2) v += blob[k][4] * exp(-r2 / (2 * s2));
    }
    return (float)v;
}

/** A volume showing the scene as seen through `to_scene`. */
static clm_vol view(clm_arena *a, const int64_t shape[3], const double origin[3],
                    const clm_affine *to_scene) {
    clm_vol v;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(a, shape, spacing, origin, &v, &err), err);
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++) {
                double p[3] = {origin[0] + spacing[0] * (double)z, origin[1] + spacing[1] * (double)y,
                               origin[2] + spacing[2] * (double)x};
                clm_affine_apply(to_scene, p, p);
                clm_vol_row(&v, z, y)[x] = scene(p);
            }
    return v;
}

static const int64_t fixed_shape[3] = {36, 50, 70}, moving_shape[3] = {40, 46, 76};
static const double fixed_origin[3] = {5, -3, 11}, moving_origin[3] = {0, 2, 9};
static const clm_affine straight = {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
/* fixed -> moving */
static const clm_affine bent = {{{1.03, 0.04, -0.02, -3}, {-0.05, 0.97, 0.03, 4}, {0.02, -0.03, 1.02, -2}}};

static double corner_gap(const clm_affine *a, const clm_affine *b) {
    double most = 0;
    for (int k = 0; k < 8; k++) {
        double x[3], p[3], q[3], sum = 0;
        for (int d = 0; d < 3; d++)
            x[d] = fixed_origin[d] + (k >> d & 1 ? spacing[d] * (double)(fixed_shape[d] - 1) : 0);
        clm_affine_apply(a, x, p);
        clm_affine_apply(b, x, q);
        for (int d = 0; d < 3; d++) sum += (p[d] - q[d]) * (p[d] - q[d]);
        most = fmax(most, sqrt(sum));
    }
    return most;
}

static void pair(clm_arena *a, const clm_affine *truth, clm_vol *f, clm_vol *m) {
    clm_affine back;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_affine_invert(truth, &back, &err), err);
    *f = view(a, fixed_shape, fixed_origin, &straight);
    *m = view(a, moving_shape, moving_origin, &back);
}

static void a_known_affine_comes_back(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, &bent, &f, &m);
    for (int metric = CLM_REFINE_NCC; metric <= CLM_REFINE_SQUARES; metric++)
        for (int32_t finest = 0; finest < 2; finest++) {
            clm_refine_params p = CLM_REFINE_DEFAULTS;
            p.metric = (clm_refine_metric)metric, p.finest = finest, p.levels = 3 - finest;
            clm_refine_fit fit, again;
            clm_affine start = straight;
            start.m[0][3] = -4;
            assert_ok(clm_refine_affine(&w, &f, &m, &start, &p, &fit, &err), err);
            /* what is left is the smoothing of trilinear resampling, felt at the corners */
            assert_true(corner_gap(&fit.affine, &bent) < 0.09);
            assert_true(fit.after > fit.before);
            if (metric == CLM_REFINE_NCC) assert_true(fit.after > 0.998);
            assert_near(fit.moved_um, corner_gap(&fit.affine, &start), 1e-9);
            assert_ok(clm_refine_affine(&w, &f, &m, &start, &p, &again, &err), err);
            assert_memory_equal(&again.affine, &fit.affine, sizeof fit.affine);
        }
    clm_test_work_drop(&w);
}

/** Gain and offset are nothing to correlation; a block of lies behind a mask is nothing at all; leaving rows
 *  out costs little. */
static void what_must_not_matter(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, &bent, &f, &m);
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit plain, fit;
    p.levels = 2;
    p.tolerance_vox = 1e-3;
    assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &plain, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&m); i++) m.data[i] = 3e4f + 700 * m.data[i];
    assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    assert_true(corner_gap(&fit.affine, &plain.affine) < 0.01);
    for (int64_t z = 0; z < 20; z++)
        for (int64_t y = 0; y < 20; y++)
            for (int64_t x = 0; x < 30; x++) clm_vol_row(&f, z, y)[x] = NAN;
    for (int64_t z = 30; z < 40; z++)
        for (int64_t y = 30; y < 40; y++)
            for (int64_t x = 30; x < 60; x++) clm_vol_row(&m, z, y)[x] = NAN;
    assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    assert_true(corner_gap(&fit.affine, &bent) < 0.1);
    p.max_voxels = 20000;
    assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    assert_true(corner_gap(&fit.affine, &bent) < 0.15);
    clm_test_work_drop(&w);
}

static void a_model_is_kept(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    double a = 0.08, c = cos(a), s = sin(a);
    const clm_affine turned = {{{c, -s, 0, 3}, {s, c, 0, -5}, {0, 0, 1, 1}}};
    clm_affine scaled = turned;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) scaled.m[i][j] *= 1.04;
    const clm_affine shifted = {{{1, 0, 0, 2}, {0, 1, 0, -3}, {0, 0, 1, 4}}};
    const struct {
        clm_model model;
        const clm_affine *truth;
    } cases[] = {
        {CLM_MODEL_TRANSLATION, &shifted}, {CLM_MODEL_RIGID, &turned}, {CLM_MODEL_SIMILARITY, &scaled}};
    for (int k = 0; k < 3; k++) {
        clm_vol f, m;
        clm_refine_params p = CLM_REFINE_DEFAULTS;
        clm_refine_fit fit;
        double stretch[3];
        pair(w.keep, cases[k].truth, &f, &m);
        p.model = cases[k].model, p.levels = 3;
        assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
        assert_true(corner_gap(&fit.affine, cases[k].truth) < 0.05);
        clm_affine_stretch(&fit.affine, stretch);
        assert_near(stretch[0], stretch[2], 1e-12);
        if (k < 2) assert_near(stretch[0], 1, 1e-12);
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

/** The same pair with micrometres called nanometres: rotations and shifts keep their balance. */
static void units_do_not_matter(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    double a = 0.08, c = cos(a), s = sin(a), many = 1e4;
    const clm_affine turned = {{{c, -s, 0, 3}, {s, c, 0, -5}, {0, 0, 1, 1}}};
    clm_vol f, m;
    pair(w.keep, &turned, &f, &m);
    for (int model = CLM_MODEL_RIGID; model <= CLM_MODEL_AFFINE; model++) {
        clm_refine_params p = CLM_REFINE_DEFAULTS;
        clm_refine_fit plain, fit;
        clm_vol large_f = f, large_m = m;
        p.model = (clm_model)model, p.levels = 3;
        assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &plain, &err), err);
        for (int d = 0; d < 3; d++) {
            large_f.spacing[d] *= many, large_f.origin[d] *= many;
            large_m.spacing[d] *= many, large_m.origin[d] *= many;
        }
        assert_ok(clm_refine_affine(&w, &large_f, &large_m, &straight, &p, &fit, &err), err);
        for (int i = 0; i < 3; i++) fit.affine.m[i][3] /= many;
        assert_true(corner_gap(&fit.affine, &plain.affine) < 1e-3);
        assert_int_equal(fit.iterations, plain.iterations);
    }
    clm_test_work_drop(&w);
}

/** Whatever the start, the result is no worse, and limits are kept. */
static void never_worse_than_the_start(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, &bent, &f, &m);
    for (uint64_t k = 0; k < 8; k++) {
        clm_affine start = straight;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 4; j++)
                start.m[i][j] += (j < 3 ? 0.1 : 12) * clm_rng_normal(3, k, (uint64_t)(4 * i + j));
        clm_refine_params p = CLM_REFINE_DEFAULTS;
        clm_refine_fit fit;
        p.finest = 1, p.levels = 2, p.iterations = 8;
        p.max_move_um = k % 2 ? 5 : 0;
        if (!clm_refine_affine(&w, &f, &m, &start, &p, &fit, &err)) {
            assert_int_equal(err.code, CLM_E_NODATA);
            continue;
        }
        assert_true(fit.after >= fit.before);
        assert_true(isfinite(clm_affine_det(&fit.affine)));
        if (p.max_move_um > 0) assert_true(corner_gap(&start, &fit.affine) <= 5 + 1e-9);
    }
    clm_test_work_drop(&w);
}

static void too_little_is_refused(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, &bent, &f, &m);
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit fit;
    clm_affine away = straight;
    away.m[2][3] = 71; /* three of seventy columns remain */
    assert_fails(CLM_E_NODATA, clm_refine_affine(&w, &f, &m, &away, &p, &fit, &err), err);
    assert_non_null(strstr(err.text, "of the smaller one"));
    away.m[2][3] = NAN;
    assert_fails(CLM_E_NODATA, clm_refine_affine(&w, &f, &m, &away, &p, &fit, &err), err);
    p.levels = 0;
    assert_fails(CLM_E_ARG, clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    p = CLM_REFINE_DEFAULTS;
    for (int64_t i = 0; i < clm_vol_count(&m); i++) m.data[i] = 7;
    assert_fails(CLM_E_NODATA, clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    clm_test_work_drop(&w);
}

static void planes_are_volumes_too(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    static const int64_t shape[3] = {1, 60, 80};
    const clm_affine truth = {{{1, 0, 0, 0}, {0, 1.02, 0.05, -3}, {0, -0.04, 0.98, 2}}};
    clm_affine back;
    assert_ok(clm_affine_invert(&truth, &back, &err), err);
    const double origin[3] = {40, 0, 0};
    clm_vol f = view(w.keep, shape, origin, &straight), m = view(w.keep, shape, origin, &back);
    clm_refine_params p = CLM_REFINE_DEFAULTS;
    clm_refine_fit fit;
    assert_ok(clm_refine_affine(&w, &f, &m, &straight, &p, &fit, &err), err);
    assert_true(fit.after > 0.998);
    for (int k = 0; k < 4; k++) {
        double x[3] = {40, k & 1 ? 88 : 0, k & 2 ? 79 : 0}, got[3], want[3];
        clm_affine_apply(&fit.affine, x, got);
        clm_affine_apply(&truth, x, want);
        for (int d = 0; d < 3; d++) assert_near(got[d], want[d], 0.1);
    }
    clm_test_work_drop(&w);
}

/** The sums against derivatives by differences of the resampled image's own sums, which have kinks at
 *  the faces of cells. */
static void sums_are_the_derivatives(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_vol f, m;
    pair(w.keep, &bent, &f, &m);
    f = clm_vol_crop(&f, (clm_box){{6, 6, 6}, {30, 40, 60}}); /* all of it inside moving: n must not change */
    clm_refine_units u = {
        .centre = {40, 34, 46}, .reach = {35, 37, 35}, .scale_f = 2, .scale_g = 3, .shift_g = 0.1f};
    clm_refine_sums at, to, from;
    clm_refine_sum(&f, &m, &bent, &u, 1, NULL, &at);
    assert_near(at.n, (double)clm_vol_count(&f), 0);
    for (int i = 0; i < 12; i++) {
        const double h = 1e-3;
        clm_affine up = bent, down = bent;
        for (int sign = -1; sign < 2; sign += 2) {
            clm_affine *a = sign > 0 ? &up : &down;
            int r = i / 4, j = i % 4;
            a->m[r][3] += sign * h * (j == 3 ? 1 : -u.centre[j] / u.reach[j]);
            if (j < 3) a->m[r][j] += sign * h / u.reach[j];
        }
        clm_refine_sum(&f, &m, &up, &u, 1, NULL, &to);
        clm_refine_sum(&f, &m, &down, &u, 1, NULL, &from);
        double scale = sqrt(at.GG[i][i] * at.ff);
        assert_near((to.fg - from.fg) / (2 * h) / scale, at.Gf[i] / scale, 3e-3);
        assert_near((to.gg - from.gg) / (4 * h) / scale, at.Gg[i] / scale, 3e-3);
        assert_near((to.g - from.g) / (2 * h) / scale, at.G[i] / scale, 3e-3);
        for (int k = 0; k < 12; k++) {
            assert_near(at.GG[i][k], at.GG[k][i], 0);
            assert_true(fabs(at.GG[i][k]) <= sqrt(at.GG[i][i] * at.GG[k][k]) * (1 + 1e-6));
        }
    }
    clm_test_work_drop(&w);
}

/** n MI against differences of itself, along every parameter. */
static void information_has_its_slope(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_vol f, m;
    clm_err err;
    static clm_parzen mi;
    double range[2][2], most = 0, worst = 0;
    pair(w.keep, &bent, &f, &m);
    f = clm_vol_crop(&f, (clm_box){{6, 6, 6}, {30, 40, 60}});
    for (int64_t i = 0; i < clm_vol_count(&m); i++) m.data[i] = cosf(3 * m.data[i]);
    clm_refine_units u = {.centre = {40, 34, 46}, .reach = {35, 37, 35}, .scale_f = 2, .scale_g = 3};
    assert_ok(clm_parzen_range(&w, &f, 0, 2, range[0], &err), err);
    assert_ok(clm_parzen_range(&w, &m, 0, 3, range[1], &err), err);
    clm_affine at = bent;
    at.m[0][3] += 0.7, at.m[1][3] -= 0.9, at.m[2][3] += 0.6;
    clm_refine_sums sums;
    clm_parzen_begin(&mi, range[0], range[1]);
    clm_refine_count(&f, &m, &at, &u, 1, &mi);
    clm_refine_sum(&f, &m, &at, &u, 1, &mi, &sums);
    for (int i = 0; i < 12; i++) most = fmax(most, fabs(sums.Gf[i]));
    for (int i = 0; i < 12; i++) {
        const double h = 1e-3;
        double side[2];
        for (int k = 0; k < 2; k++) {
            clm_affine a = at;
            int r = i / 4, j = i % 4;
            a.m[r][3] += (k ? h : -h) * (j == 3 ? 1 : -u.centre[j] / u.reach[j]);
            if (j < 3) a.m[r][j] += (k ? h : -h) / u.reach[j];
            clm_parzen_begin(&mi, range[0], range[1]);
            clm_refine_count(&f, &m, &a, &u, 1, &mi);
            assert_near(mi.n, (double)clm_vol_count(&f), 0);
            side[k] = mi.n * mi.value;
        }
        worst = fmax(worst, fabs((side[1] - side[0]) / (2 * h) - sums.Gf[i]));
    }
    assert_true(most > 100 && worst < 3e-3 * most);
    clm_test_work_drop(&w);
}

/** Another modality: dark for bright, and values that several values of the other stand for. */
static void other_modalities_are_refined(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    for (int how = 0; how < 2; how++) {
        clm_vol f, m;
        clm_refine_params p = CLM_REFINE_DEFAULTS;
        clm_refine_fit fit;
        clm_affine start = straight;
        start.m[0][3] = -4;
        pair(w.keep, &bent, &f, &m);
        for (int64_t i = 0; i < clm_vol_count(&m); i++)
            m.data[i] = how ? cosf(3 * m.data[i]) : 1000 / (0.5f + m.data[i]);
        p.metric = CLM_REFINE_MI;
        assert_ok(clm_refine_affine(&w, &f, &m, &start, &p, &fit, &err), err);
        double gap = corner_gap(&fit.affine, &bent);
        print_message("contrast %d: %.3f um at the farthest corner, similarity %.3f from %.3f\n", how, gap,
                      fit.after, fit.before);
        assert_true(gap < 0.3 && fit.after > 0.85);
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_affine_comes_back),
        cmocka_unit_test(what_must_not_matter),
        cmocka_unit_test(a_model_is_kept),
        cmocka_unit_test(units_do_not_matter),
        cmocka_unit_test(never_worse_than_the_start),
        cmocka_unit_test(too_little_is_refused),
        cmocka_unit_test(planes_are_volumes_too),
        cmocka_unit_test(sums_are_the_derivatives),
        cmocka_unit_test(information_has_its_slope),
        cmocka_unit_test(other_modalities_are_refined),
    };
    return cmocka_run_group_tests(tests, make_scene, NULL);
}
