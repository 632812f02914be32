#include "collimate/align/landmarks.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

#define N 25

static clm_work work;
static double fixed[N][3], moving[N][3], weight[N];

/* C11 does not add const below the first level by itself */
#define CONST(p) ((const double(*)[3])(p))

static void near_n(const double *got, const double *want, int n, double tol) {
    for (int i = 0; i < n; i++) assert_near(got[i], want[i], tol);
}

static double draw(int key, int64_t i) { return clm_rng_normal(5, (uint64_t)key, (uint64_t)i); }

static void scatter(void) {
    clm_arena_rewind(work.keep, (clm_mark){0});
    for (int i = 0; i < N; i++) {
        for (int d = 0; d < 3; d++) fixed[i][d] = 1000.0 * (d + 1) + 200.0 * draw(1, 3 * i + d);
        weight[i] = 0.5 + fabs(draw(2, i));
    }
}

/* rotation by 1 radian about (1,2,3), times scale, and a shift */
static clm_affine truth(int model) {
    clm_affine a = CLM_AFFINE_IDENTITY;
    double k[3] = {1 / sqrt(14), 2 / sqrt(14), 3 / sqrt(14)}, s = model == CLM_MODEL_SIMILARITY ? 1.3 : 1.0;
    const double cross[3][3] = {{0, -k[2], k[1]}, {k[2], 0, -k[0]}, {-k[1], k[0], 0}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            if (model != CLM_MODEL_TRANSLATION)
                a.m[i][j] = s * ((i == j) * cos(1) + sin(1) * cross[i][j] + (1 - cos(1)) * k[i] * k[j]);
    if (model >= CLM_MODEL_AFFINE) a.m[0][1] += 0.4, a.m[2][2] *= -1.7;
    a.m[0][3] = 17, a.m[1][3] = -230, a.m[2][3] = 4000;
    return a;
}

static void aim(const clm_affine *a, double noise_um) {
    for (int i = 0; i < N; i++) {
        clm_affine_apply(a, fixed[i], moving[i]);
        for (int d = 0; d < 3; d++) moving[i][d] += noise_um * draw(3, 3 * i + d);
    }
}

static clm_landmark_fit find(clm_landmark_fit_params p, int64_t n, const double *weights) {
    clm_landmark_fit f;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_landmark_fit_find(&work, &p, n, CONST(fixed), CONST(moving), weights, &f, &err), err);
    return f;
}

static void known_transforms_are_recovered(void **state) {
    (void)state;
    for (int model = 0; model <= CLM_LANDMARKS_TPS; model++)
        for (int smooth = 0; smooth < 2; smooth++) {
            scatter();
            clm_affine a = truth(model);
            aim(&a, 0);
            clm_landmark_fit f =
                find((clm_landmark_fit_params){.model = model, .smoothing = smooth}, N, weight);
            for (int i = 0; i < 3; i++) {
                near_n(f.affine.m[i], a.m[i], 3, 1e-9);
                assert_near(f.affine.m[i][3], a.m[i][3], 1e-8);
            }
            for (int i = 0; i < N; i++) {
                assert_near(f.residual_um[i], 0, 1e-9);
                assert_near(f.left_out_um[i], 0, 1e-8);
            }
            const double far[3] = {-5000, 100, 9000};
            double got[3], want[3];
            clm_landmark_fit_apply(&f, far, got);
            clm_affine_apply(&a, far, want);
            near_n(got, want, 3, 1e-8);
        }
}

static void a_spline_leads_through_all_points(void **state) {
    (void)state;
    scatter();
    clm_affine a = truth(CLM_MODEL_AFFINE);
    aim(&a, 30);
    clm_landmark_fit f = find((clm_landmark_fit_params){.model = CLM_LANDMARKS_TPS}, N, NULL);
    double sum[3] = {0};
    for (int i = 0; i < N; i++) {
        assert_near(f.residual_um[i], 0, 1e-8);
        assert_true(f.left_out_um[i] > 1);
        for (int d = 0; d < 3; d++) sum[d] += f.c[i][d];
    }
    for (int d = 0; d < 3; d++) assert_near(sum[d], 0, 1e-9); /* so that it is affine far away */
    /* much smoothing: the affine */
    clm_landmark_fit stiff =
        find((clm_landmark_fit_params){.model = CLM_LANDMARKS_TPS, .smoothing = 1e9}, N, weight);
    clm_landmark_fit flat = find((clm_landmark_fit_params){.model = CLM_MODEL_AFFINE}, N, weight);
    for (int i = 0; i < 3; i++) {
        near_n(stiff.affine.m[i], flat.affine.m[i], 3, 1e-6);
        assert_near(stiff.affine.m[i][3], flat.affine.m[i][3], 1e-3);
    }
    for (int i = 0; i < N; i++) {
        assert_near(stiff.residual_um[i], flat.residual_um[i], 1e-5);
        assert_near(stiff.left_out_um[i], flat.left_out_um[i], 1e-4);
    }
}

/* Our affine against the normal equations. */
static void an_affine_is_the_least_squares_one(void **state) {
    (void)state;
    scatter();
    clm_affine a = truth(CLM_MODEL_AFFINE), other;
    clm_err err = CLM_ERR_NONE;
    aim(&a, 30);
    clm_landmark_fit f = find((clm_landmark_fit_params){.model = CLM_MODEL_AFFINE}, N, weight);
    assert_ok(clm_pose_fit(CLM_MODEL_AFFINE, N, CONST(fixed), CONST(moving), weight, &other, NULL, &err),
              err);
    for (int i = 0; i < 3; i++) near_n(f.affine.m[i], other.m[i], 4, 1e-7);
}

static void swap(int i, int j) {
    for (int d = 0; d < 3; d++) {
        double t = fixed[i][d];
        fixed[i][d] = fixed[j][d], fixed[j][d] = t;
        t = moving[i][d];
        moving[i][d] = moving[j][d], moving[j][d] = t;
    }
    double t = weight[i];
    weight[i] = weight[j], weight[j] = t;
}

static void left_out_is_what_fitting_again_gives(void **state) {
    (void)state;
    for (int planar = 0; planar < 2; planar++)
        for (int model = 0; model <= CLM_LANDMARKS_TPS; model++)
            for (int smooth = 0; smooth < 2; smooth++) {
                scatter();
                clm_affine a = truth(model);
                aim(&a, 30);
                for (int i = 0; planar && i < N; i++) fixed[i][0] = 7, moving[i][0] = -3;
                clm_landmark_fit_params p = {.model = model, .planar = planar, .smoothing = smooth * 0.1};
                clm_landmark_fit f = find(p, N, smooth ? weight : NULL);
                for (int i = 0; i < N; i++) {
                    double y[3], r = 0;
                    swap(i, N - 1);
                    /* the scale that smoothing is told in must stay */
                    clm_landmark_fit g, whole = f;
                    clm_err err = CLM_ERR_NONE;
                    assert_ok(clm_landmark_fit_find(&work, &p, N - 1, CONST(fixed), CONST(moving),
                                                    smooth ? weight : NULL, &g, &err),
                              err);
                    if (model == CLM_LANDMARKS_TPS && smooth) {
                        clm_landmark_fit_params q = p;
                        q.smoothing *= planar ? pow(whole.scale / g.scale, 2) : whole.scale / g.scale;
                        g = find(q, N - 1, weight);
                    }
                    clm_landmark_fit_apply(&g, fixed[N - 1], y);
                    for (int d = 0; d < 3; d++) r += pow(y[d] - moving[N - 1][d], 2);
                    swap(i, N - 1);
                    assert_near(f.left_out_um[i], sqrt(r), 1e-6);
                }
            }
}

/* a direction that one point alone holds is not known without it; five points hold all without any of them */
static void left_out_is_told_where_there_is_an_answer(void **state) {
    (void)state;
    for (int smooth = 0; smooth < 2; smooth++) {
        const clm_landmark_fit_params p = {.model = CLM_LANDMARKS_TPS, .smoothing = smooth * 0.1};
        scatter();
        for (int i = 0; i < N; i++)
            if (i != 11) fixed[i][0] = 0.3 * fixed[i][1] - 2 * fixed[i][2];
        clm_affine a = truth(CLM_MODEL_AFFINE);
        aim(&a, 30);
        clm_landmark_fit f = find(p, N, weight);
        for (int i = 0; i < N; i++) assert_int_equal(isnan(f.left_out_um[i]), i == 11);
        scatter();
        aim(&a, 30);
        f = find(p, 5, weight);
        for (int i = 0; i < 5; i++) assert_true(f.left_out_um[i] > 1);
    }
}

static void refused(clm_code code, clm_landmark_fit_params p, int64_t n) {
    clm_landmark_fit f;
    clm_err err = CLM_ERR_NONE;
    assert_fails(code, clm_landmark_fit_find(&work, &p, n, CONST(fixed), CONST(moving), NULL, &f, &err), err);
}

static void what_is_not_determined_is_refused(void **state) {
    (void)state;
    static const int least[] = {1, 3, 3, 4, 4};
    scatter();
    clm_affine a = truth(CLM_MODEL_RIGID);
    aim(&a, 1);
    for (int model = 0; model <= CLM_LANDMARKS_TPS; model++) {
        const clm_landmark_fit_params p = {.model = model};
        refused(CLM_E_NODATA, p, least[model] - 1);
        clm_landmark_fit f = find(p, least[model], NULL);
        assert_true(isnan(f.left_out_um[0])); /* no answer without it */
    }
    refused(CLM_E_ARG, (clm_landmark_fit_params){.model = CLM_MODEL_AFFINE, .planar = true}, N);
    memcpy(fixed[3], fixed[9], sizeof fixed[3]);
    refused(CLM_E_NUMERIC, (clm_landmark_fit_params){.model = CLM_LANDMARKS_TPS}, N);
    (void)find((clm_landmark_fit_params){.model = CLM_LANDMARKS_TPS, .smoothing = 0.1}, N, NULL);
    for (int i = 0; i < N; i++) fixed[i][0] = 0.3 * fixed[i][1] - 2 * fixed[i][2];
    aim(&a, 0);
    refused(CLM_E_NUMERIC, (clm_landmark_fit_params){.model = CLM_MODEL_AFFINE}, N);
    refused(CLM_E_NUMERIC, (clm_landmark_fit_params){.model = CLM_LANDMARKS_TPS, .smoothing = 1}, N);
    assert_near(find((clm_landmark_fit_params){.model = CLM_MODEL_RIGID}, N, NULL).residual_um[2], 0, 1e-9);
    for (int i = 0; i < N; i++) fixed[i][2] = 3 * fixed[i][1], fixed[i][0] = fixed[i][1];
    aim(&a, 0);
    for (int model = CLM_MODEL_RIGID; model <= CLM_LANDMARKS_TPS; model++)
        refused(CLM_E_NUMERIC, (clm_landmark_fit_params){.model = model}, N);
}

/* Three points in a plane, published with their answer (STalign's documentation of its affine from points). */
static void a_published_affine(void **state) {
    (void)state;
    static const double p[3][2] = {{150, 190}, {100, 60}, {75, 100}},
                        q[3][2] = {{160, 200}, {100, 50}, {75, 100}};
    for (int i = 0; i < 3; i++)
        for (int d = 0; d < 3; d++) fixed[i][d] = d ? p[i][d - 1] : 0, moving[i][d] = d ? q[i][d - 1] : 0;
    clm_landmark_fit f = find((clm_landmark_fit_params){.model = CLM_MODEL_AFFINE, .planar = true}, 3, NULL);
    const double want[3][4] = {
        {1, 0, 0, 0}, {0, 1.076190, 0.047619, -10.476190}, {0, -0.095238, 1.190476, -11.904762}};
    for (int i = 0; i < 3; i++) near_n(f.affine.m[i], want[i], 4, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_transforms_are_recovered),
        cmocka_unit_test(a_spline_leads_through_all_points),
        cmocka_unit_test(an_affine_is_the_least_squares_one),
        cmocka_unit_test(left_out_is_what_fitting_again_gives),
        cmocka_unit_test(left_out_is_told_where_there_is_an_answer),
        cmocka_unit_test(what_is_not_determined_is_refused),
        cmocka_unit_test(a_published_affine),
    };
    work = clm_test_work(64);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clm_test_work_drop(&work);
    return failed;
}
