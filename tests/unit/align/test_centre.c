#include "collimate/align/centre.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

/* a body without blobs: an ellipsoid with an off-centre hollow and a ridge, soft edges */
static double body(const double x[3]) {
    double a = x[0] / 22, b = x[1] / 34, c = x[2] / 28, u = (x[0] - 4) / 8, v = (x[1] - 11) / 12,
           w = (x[2] + 6) / 9;
    double outer = 1 / (1 + exp(12 * (sqrt(a * a + b * b + c * c) - 1)));
    double inner = 1 / (1 + exp(8 * (sqrt(u * u + v * v + w * w) - 1)));
    return outer * (1 - 0.7 * inner + 0.2 * sin(0.12 * x[1]) + 0.01 * x[2]);
}

/* the world is turned by `to_body` into the body's frame */
static clm_vol view(clm_work *w, const int64_t shape[3], const double origin[3], const clm_affine *to_body,
                    int how) {
    const double spacing[3] = {1.9, 1.5, 1.5};
    clm_vol v;
    clm_err err;
    assert_ok(clm_vol_new(w->keep, shape, spacing, origin, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) {
        double x[3] = {origin[0] + 1.9 * (double)(i / shape[2] / shape[1]),
                       origin[1] + 1.5 * (double)(i / shape[2] % shape[1]),
                       origin[2] + 1.5 * (double)(i % shape[2])};
        clm_affine_apply(to_body, x, x);
        double value = body(x);
        if (how == 1) value = cos(2.2 * value); /* another modality */
        v.data[i] = (float)(value + 0.02 * clm_rng_normal(7, (uint64_t)how, (uint64_t)i));
        if (how == 2) v.data[i] = (float)clm_rng_normal(7, 2, (uint64_t)i);
    }
    return v;
}

static const int64_t fixed_shape[3] = {38, 61, 51}, moving_shape[3] = {46, 58, 56};

static clm_affine pose(double degrees, const double shift[3]) {
    double a = degrees * 3.14159265358979 / 180, c = cos(a), s = sin(a);
    /* about an axis between y and x */
    double k[3] = {0, 0.6, 0.8};
    clm_affine t;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double cross = i == j ? 0 : (j == (i + 2) % 3 ? 1 : -1) * k[3 - i - j];
            t.m[i][j] = (i == j ? c : 0) + (1 - c) * k[i] * k[j] + s * cross;
        }
    for (int i = 0; i < 3; i++) t.m[i][3] = shift[i];
    return t;
}

/* farthest that two maps are apart at the body's ends */
static double apart(const clm_affine *a, const clm_affine *b) {
    double most = 0;
    for (int k = 0; k < 8; k++) {
        const double x[3] = {k & 1 ? 20 : -20, k & 2 ? 30 : -30, k & 4 ? 25 : -25};
        double p[3], q[3], sum = 0;
        clm_affine_apply(a, x, p), clm_affine_apply(b, x, q);
        for (int d = 0; d < 3; d++) sum += (p[d] - q[d]) * (p[d] - q[d]);
        most = fmax(most, sqrt(sum));
    }
    return most;
}

static void a_body_without_blobs_is_found(void **state) {
    (void)state;
    static const struct {
        double degrees;
        bool any_rotation;
        int how; /* of the moving volume */
        clm_refine_metric metric;
    } cases[] = {
        {8, false, 0, CLM_REFINE_NCC}, {-10, false, 1, CLM_REFINE_MI}, {150, true, 0, CLM_REFINE_NCC}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        clm_work w = clm_test_work(64);
        clm_err err;
        clm_centre_params p = {.refine = CLM_REFINE_DEFAULTS,
                               .identity = true,
                               .centres = true,
                               .any_rotation = cases[k].any_rotation};
        clm_centre_fit fit, again;
        const clm_affine straight = CLM_AFFINE_IDENTITY;
        clm_affine truth = pose(cases[k].degrees, (const double[3]){300, -200, 150}), back;
        assert_ok(clm_affine_invert(&truth, &back, &err), err);
        p.refine.metric = cases[k].metric;
        p.refine.model = CLM_MODEL_RIGID; /* a smooth body says little about stretch */
        clm_vol f = view(&w, fixed_shape, (const double[3]){-35, -45, -38}, &straight, 0);
        clm_vol m = view(&w, moving_shape, (const double[3]){257, -242, 107}, &back, cases[k].how);
        assert_ok(clm_centre_find(&w, &f, &m, &p, &fit, &err), err);
        print_message("turned by %g: %.3f um off, similarity %.3f, stands out by %.1f\n", cases[k].degrees,
                      apart(&fit.refined.affine, &truth), fit.refined.after, fit.stands_out);
        assert_true(apart(&fit.refined.affine, &truth) < 0.4); /* a quarter of a voxel */
        assert_true(fit.stands_out > 8);
        if (k == 0) {
            assert_ok(clm_centre_find(&w, &f, &m, &p, &again, &err), err);
            assert_memory_equal(&fit.refined.affine, &again.refined.affine, sizeof fit.refined.affine);
        }
        assert_int_equal(clm_arena_mark(w.temp).used, 0);
        clm_test_work_drop(&w);
    }
}

/* what is no alignment does not stand out; what cannot be one is an error */
static void nothing_is_told_from_something(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_centre_params p = {.refine = CLM_REFINE_DEFAULTS, .centres = true};
    clm_centre_fit fit;
    const clm_affine straight = CLM_AFFINE_IDENTITY;
    clm_vol f = view(&w, fixed_shape, (const double[3]){-35, -45, -38}, &straight, 0);
    clm_vol m = view(&w, moving_shape, (const double[3]){-43, -42, -43}, &straight, 2);
    assert_ok(clm_centre_find(&w, &f, &m, &p, &fit, &err), err);
    print_message("noise stands out by %.1f, similarity %.3f\n", fit.stands_out, fit.refined.after);
    assert_true(fit.stands_out < CLM_CENTRE_STANDS_OUT && fit.refined.after < 0.2);
    /* chance finds more from farther afield; what holds is the climb from the middles */
    clm_affine middles = CLM_AFFINE_IDENTITY;
    clm_refine_fit home;
    for (int d = 0; d < 3; d++)
        middles.m[d][3] =
            m.origin[d] - f.origin[d] +
            0.5 * ((double)(m.shape[d] - 1) * m.spacing[d] - (double)(f.shape[d] - 1) * f.spacing[d]);
    assert_ok(clm_refine_affine(&w, &f, &m, &middles, &p.refine, &home, &err), err);
    assert_true(apart(&fit.refined.affine, &home.affine) < 1e-9);
    for (int64_t i = 0; i < clm_vol_count(&m); i++) m.data[i] = 5;
    assert_fails(CLM_E_NODATA, clm_centre_find(&w, &f, &m, &p, &fit, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&m); i++) m.data[i] = NAN;
    assert_fails(CLM_E_NODATA, clm_centre_find(&w, &f, &m, &p, &fit, &err), err);
    clm_test_work_drop(&w);
}

/* Nearly the same on both sides of a plane: a body and most of its mirror image. Its mirror image aligns to it as it is,
 * but better mirrored; it itself does not; nor does one that is the same on both sides. */
static void a_mirror_image_is_told(void **state) {
    (void)state;
    static const struct {
        double share; /* of the mirror image in fixed; the rest of 1 + share is the body */
        bool mirrored;
        int axis;
    } cases[] = {{0.6, true, 2}, {0.6, false, -1}, {1, true, -1}};
    const clm_refine_params p = CLM_REFINE_DEFAULTS;
    const clm_affine straight = CLM_AFFINE_IDENTITY;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        clm_work w = clm_test_work(64);
        clm_err err;
        clm_mirror found;
        clm_vol body = view(&w, fixed_shape, (const double[3]){-35, -45, -37.5}, &straight, 0), f, m;
        assert_ok(clm_vol_copy(w.keep, &body, &f, &err) && clm_vol_copy(w.keep, &body, &m, &err), err);
        for (int64_t z = 0; z < f.shape[0]; z++)
            for (int64_t y = 0; y < f.shape[1]; y++)
                for (int64_t x = 0, n = f.shape[2]; x < n; x++) {
                    float there = clm_vol_row(&body, z, y)[x], back = clm_vol_row(&body, z, y)[n - 1 - x];
                    float share = (float)cases[k].share, one = there + share * back,
                          other = back + share * there;
                    clm_vol_row(&f, z, y)[x] = one;
                    clm_vol_row(&m, z, y)[x] = cases[k].mirrored ? other : one;
                }
        assert_ok(clm_centre_mirror(&w, &f, &m, &p, &straight, &found, &err), err);
        print_message("share %g: axis %d, %.4f as it is, %.4f mirrored\n", cases[k].share, found.axis,
                      found.score, found.mirrored);
        assert_int_equal(found.axis, cases[k].axis);
        if (found.axis >= 0) assert_true(found.mirrored > found.score);
        assert_int_equal(clm_arena_mark(w.temp).used, 0);
        clm_test_work_drop(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_body_without_blobs_is_found),
                                       cmocka_unit_test(nothing_is_told_from_something),
                                       cmocka_unit_test(a_mirror_image_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
