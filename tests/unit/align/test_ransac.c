#include "collimate/align/ransac.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

#define N 1000

static const clm_affine truth = {
    {{0.96, -0.02, 0.01, 3}, {0.03, 1.04, -0.05, -15}, {-0.01, 0.04, 1.02, -82}}};
static const double extent[3] = {250, 440, 840};

typedef struct made {
    double p[N][3], q[N][3];
    bool good[N];
    int64_t n_good;
} made;

/** Points over a box (or a plane of it), q = truth(p) + noise, a share of them anywhere. */
static void make(made *m, const clm_affine *a, double wrong, double noise, double thick_um) {
    m->n_good = 0;
    for (uint64_t i = 0; i < N; i++) {
        for (uint64_t d = 0; d < 3; d++) m->p[i][d] = (d ? extent[d] : thick_um) * clm_rng_uniform(1, d, i);
        clm_affine_apply(a, m->p[i], m->q[i]);
        m->good[i] = clm_rng_uniform(1, 9, i) >= wrong;
        m->n_good += m->good[i];
        for (uint64_t d = 0; d < 3; d++)
            if (m->good[i])
                m->q[i][d] += noise * clm_rng_normal(1, 4 + d, i);
            else
                m->q[i][d] = extent[d] * clm_rng_uniform(1, 14 + d, i);
    }
}

static bool fit(const clm_work *w, const made *m, const clm_ransac_params *p, clm_ransac_fit *out,
                clm_err *err) {
    return clm_ransac_affine(w, N, (const double(*)[3])m->p, (const double(*)[3])m->q, p, out, err);
}

static double corner_error(const clm_affine *a, const clm_affine *b) {
    double worst = 0;
    for (int k = 0; k < 8; k++) {
        double x[3] = {k & 1 ? extent[0] : 0, k & 2 ? extent[1] : 0, k & 4 ? extent[2] : 0}, y[3], z[3];
        clm_affine_apply(a, x, y);
        clm_affine_apply(b, x, z);
        for (int d = 0; d < 3; d++) worst = fmax(worst, fabs(y[d] - z[d]));
    }
    return worst;
}

static void nine_of_ten_wrong(void **state) {
    (void)state;
    static made m;
    static const double wrong[] = {0, 0.5, 0.9};
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    for (int k = 0; k < 3; k++) {
        make(&m, &truth, wrong[k], 0.5, extent[0]);
        clm_ransac_params p = CLM_RANSAC_DEFAULTS;
        p.max_error_um = 2.5;
        clm_affine first;
        for (w.seed = 1; w.seed < 6; w.seed++) {
            clm_ransac_fit f, again;
            assert_ok(fit(&w, &m, &p, &f, &err), err);
            assert_int_equal(f.model, CLM_MODEL_AFFINE);
            assert_true(corner_error(&f.affine, &truth) < 0.5); /* 100 matches with .5 um of noise */
            assert_near(f.rms_um, 0.5 * sqrt(3.0), 0.1);
            int64_t missed = 0, taken = 0;
            for (int i = 0; i < N; i++) {
                missed += m.good[i] && !f.agrees[i];
                taken += !m.good[i] && f.agrees[i];
            }
            assert_true(missed <= 2 && taken <= 1);
            if (w.seed == 1) first = f.affine;
            assert_true(corner_error(&f.affine, &first) < 1e-2); /* all seeds agree */
            assert_ok(fit(&w, &m, &p, &again, &err), err);
            assert_memory_equal(&f.affine, &again.affine, sizeof f.affine);
            assert_memory_equal(f.agrees, again.agrees, N);
        }
    }
    clm_test_work_drop(&w);
}

static void flat_matches_get_a_simpler_model(void **state) {
    (void)state;
    static made m;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    /* a rotation by 0.1 about z, scaled by 1.05 */
    clm_affine turn = {{{1.05, 0, 0, 5}, {0, 1.0447544, -0.1048251, -3}, {0, 0.1048251, 1.0447544, 8}}};
    make(&m, &turn, 0.5, 0.5, 0.5);
    clm_ransac_params p = CLM_RANSAC_DEFAULTS;
    p.max_error_um = 2.5;
    clm_ransac_fit f;
    assert_ok(fit(&w, &m, &p, &f, &err), err);
    assert_int_equal(f.model, CLM_MODEL_SIMILARITY);
    assert_true(corner_error(&f.affine, &turn) < 1);
    p.model_min = CLM_MODEL_AFFINE;
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    assert_non_null(strstr(err.text, "too flat"));
    make(&m, &truth, 0.5, 0, 0); /* exactly a plane */
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    clm_test_work_drop(&w);
}

static void unbelievable_stretch_is_refused(void **state) {
    (void)state;
    static made m;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    clm_affine wide = {{{1, 0, 0, 0}, {0, 1.8, 0, 0}, {0, 0, 1, 0}}};
    clm_affine mirror = {{{1, 0, 0, 0}, {0, -1, 0, 440}, {0, 0, 1, 0}}};
    clm_ransac_params p = CLM_RANSAC_DEFAULTS;
    p.max_error_um = 2.5;
    clm_ransac_fit f;
    make(&m, &wide, 0.2, 0.3, extent[0]);
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    assert_non_null(strstr(err.text, "stretch of 1.8"));
    p.max_stretch = 2;
    assert_ok(fit(&w, &m, &p, &f, &err), err);
    assert_near(f.affine.m[1][1], 1.8, 1e-3);
    make(&m, &mirror, 0.2, 0.3, extent[0]);
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    clm_test_work_drop(&w);
}

static void chance_is_no_consensus(void **state) {
    (void)state;
    static made m;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    clm_ransac_params p = CLM_RANSAC_DEFAULTS;
    p.max_error_um = 5, p.max_trials = 20000;
    clm_ransac_fit f = {.trials = -1};
    make(&m, &truth, 1.1, 0, extent[0]);
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    assert_int_equal(f.trials, -1); /* out untouched */
    assert_non_null(strstr(err.text, "1000 matches"));
    assert_non_null(strstr(err.text, "translation"));
    make(&m, &truth, 0, 0.3, extent[0]);
    p.min_inliers = N + 1;
    assert_fails(CLM_E_NODATA, fit(&w, &m, &p, &f, &err), err);
    for (int64_t n = 0; n < 5; n++) {
        p.min_inliers = n < 4 ? 1 : 4;
        bool ok = clm_ransac_affine(&w, n, (const double(*)[3])m.p, (const double(*)[3])m.q, &p, &f, &err);
        assert_int_equal(ok, n > 0);
        if (n == 4) assert_int_equal(f.inliers, 4);
    }
    m.p[7][1] = NAN;
    assert_fails(CLM_E_ARG, fit(&w, &m, &p, &f, &err), err);
    clm_test_work_drop(&w);
}

static void chance_within_a_gate_is_no_consensus(void **state) {
    (void)state;
    static made m;
    clm_work w = clm_test_work(4);
    clm_ransac_params p = CLM_RANSAC_DEFAULTS;
    p.max_trials = 5000;
    static const double errors[] = {3, 5, 10};
    static const int64_t counts[] = {60, 300, N};
    for (uint64_t i = 0; i < N; i++) { /* wrong by anything in a ball of 25 um */
        double r2 = 1e9, off[3];
        for (uint64_t k = 0; r2 > 625; k++) {
            r2 = 0;
            for (uint64_t d = 0; d < 3; d++) {
                off[d] = 50 * clm_rng_uniform(4, i, 3 * k + d) - 25;
                r2 += off[d] * off[d];
            }
        }
        for (uint64_t d = 0; d < 3; d++) {
            m.p[i][d] = 200 * clm_rng_uniform(5, d, i);
            m.q[i][d] = m.p[i][d] + off[d];
        }
    }
    for (int e = 0; e < 3; e++)
        for (int c = 0; c < 3; c++) {
            clm_err err = CLM_ERR_NONE;
            clm_ransac_fit f;
            p.max_error_um = errors[e], p.gate_um = 25;
            assert_fails(CLM_E_NODATA,
                         clm_ransac_affine(&w, counts[c], (const double(*)[3])m.p, (const double(*)[3])m.q,
                                           &p, &f, &err),
                         err);
        }
    p.gate_um = 0; /* without knowing the gate, the last of them passes */
    clm_err err = CLM_ERR_NONE;
    clm_ransac_fit f;
    assert_ok(fit(&w, &m, &p, &f, &err), err);
    clm_test_work_drop(&w);
}

/* By the formula: c = n (error / gate)^3 agree by chance; 2 c + 4 sqrt(c) + 12 of them, but no more than 80 %. */
static void how_many_must_agree(void **state) {
    (void)state;
    clm_ransac_params p = {.max_error_um = 5, .gate_um = 25};
    assert_int_equal(clm_ransac_least(&p, 1000), 40); /* c = 8 */
    assert_int_equal(clm_ransac_least(&p, 20), 14);   /* c = 0.16 */
    p.gate_um = 5;
    assert_int_equal(clm_ransac_least(&p, 1000), 800); /* all of them may be chance */
    assert_int_equal(clm_ransac_least(&p, 10), 12);
    p.gate_um = 0, p.min_inliers = 7, p.min_share = 0.1;
    assert_int_equal(clm_ransac_least(&p, 30), 7);
    assert_int_equal(clm_ransac_least(&p, 1000), 100);
}

static void every_model_fits_its_own_kind(void **state) {
    (void)state;
    static made m;
    clm_err err = CLM_ERR_NONE;
    const double c = cos(2.5), s = sin(2.5); /* far from identity */
    const clm_affine kind[CLM_MODEL_COUNT] = {
        {{{1, 0, 0, 5}, {0, 1, 0, -3}, {0, 0, 1, 8}}},
        {{{c, 0, -s, 5}, {0, 1, 0, -3}, {s, 0, c, 8}}},
        {{{1.2 * c, -1.2 * s, 0, 5}, {1.2 * s, 1.2 * c, 0, -3}, {0, 0, 1.2, 8}}},
        truth,
    };
    for (int k = 0; k < CLM_MODEL_COUNT; k++) {
        make(&m, &kind[k], 0, 0, extent[0]);
        for (int model = k; model < CLM_MODEL_COUNT; model++) {
            clm_affine got;
            double spread[3];
            int pairs = clm_model_pairs((clm_model)model);
            for (int n = pairs; n <= N; n += N - pairs) {
                assert_ok(clm_pose_fit((clm_model)model, n, (const double(*)[3])m.p, (const double(*)[3])m.q,
                                       NULL, &got, spread, &err),
                          err);
                assert_true(corner_error(&got, &kind[k]) < 1e-6);
            }
            assert_near(spread[0], extent[2] / sqrt(12.0), 12);
            assert_near(spread[2], extent[0] / sqrt(12.0), 5);
            assert_fails(CLM_E_NUMERIC,
                         clm_pose_fit((clm_model)model, pairs - 1, (const double(*)[3])m.p,
                                      (const double(*)[3])m.q, NULL, &got, NULL, &err),
                         err);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nine_of_ten_wrong),
        cmocka_unit_test(flat_matches_get_a_simpler_model),
        cmocka_unit_test(unbelievable_stretch_is_refused),
        cmocka_unit_test(chance_is_no_consensus),
        cmocka_unit_test(chance_within_a_gate_is_no_consensus),
        cmocka_unit_test(how_many_must_agree),
        cmocka_unit_test(every_model_fits_its_own_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
