#include "collimate/align/blob.h"
#include "collimate/align/global.h"
#include "collimate/align/turn.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/speckle.h"
#include "support/temp.h"

#include "../../../src/align/turn_parts.h"

#include <math.h>
#include <string.h>

static const double straight[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

/** A rotation from a keyed random quaternion. */
static void random_rotation(uint64_t key, double r[3][3]) {
    double q[4], n = 0;
    for (uint64_t i = 0; i < 4; i++) q[i] = clm_rng_normal(key, 1, i), n += q[i] * q[i];
    for (int i = 0; i < 4; i++) q[i] /= sqrt(n);
    double w = q[0], x = q[1], y = q[2], z = q[3];
    const double m[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
                            {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
                            {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
    memcpy(r, m, sizeof m);
}

/** A tissue scanned twice, the second time turned by `key` about its middle (0: not at all), slightly
 *  stretched, on another grid, with noise; spots and upright patches of both. */
typedef struct scans {
    clm_vol moving;
    clm_points a, b;
    clm_patches f, g;
    clm_affine truth;
} scans;

static scans scan(const clm_work *w, uint64_t key) {
    const double extent[3] = {150, 150, 180}, zero[3] = {0, 0, 0}, spacing[3] = {2.5, 2, 2.2},
                 coarse[3] = {2.4, 2.6, 2.5};
    const int64_t shape[3] = {60, 75, 82}, other[3] = {108, 100, 104};
    clm_affine identity = CLM_AFFINE_IDENTITY;
    clm_err err = CLM_ERR_NONE;
    scans s;
    double r[3][3];
    if (key)
        random_rotation(key, r);
    else
        memcpy(r, straight, sizeof r);
    const double stretch[3] = {1.03, 0.98, 1.0};
    for (int i = 0; i < 3; i++) {
        s.truth.m[i][3] = 130;
        for (int j = 0; j < 3; j++) {
            s.truth.m[i][j] = r[i][j] * stretch[j];
            s.truth.m[i][3] -= s.truth.m[i][j] * extent[j] / 2;
        }
    }
    clm_speckle t = clm_test_speckle(w->keep, 900, extent, 3.5, 5.5, 41);
    clm_vol v = clm_test_draw(w->keep, &t, &identity, shape, spacing, zero, 0.1, 42);
    s.moving = clm_test_draw(w->keep, &t, &s.truth, other, coarse, zero, 0.1, 43);
    clm_blob_params bp = CLM_BLOB_DEFAULTS;
    bp.radius_min_um = 5, bp.radius_max_um = 8, bp.min_signal = 1, bp.max_spots = 500;
    clm_patch_params pp = CLM_PATCH_DEFAULTS;
    assert_ok(clm_blob_find(w, &v, clm_box_of(v.shape), &bp, &s.a, &err), err);
    assert_ok(clm_blob_find(w, &s.moving, clm_box_of(other), &bp, &s.b, &err), err);
    assert_ok(clm_patch_describe(w, &v, &s.a, &pp, straight, &s.f, &err), err);
    assert_ok(clm_patch_describe(w, &s.moving, &s.b, &pp, straight, &s.g, &err), err);
    return s;
}

static double worst_of(const scans *s, const clm_affine *a) {
    double worst = 0;
    for (int k = 0; k < 8; k++) {
        double x[3] = {k & 1 ? 150 : 0, k & 2 ? 150 : 0, k & 4 ? 180 : 0}, y[3], z[3];
        clm_affine_apply(a, x, y);
        clm_affine_apply(&s->truth, x, z);
        for (int d = 0; d < 3; d++) worst = fmax(worst, fabs(y[d] - z[d]));
    }
    return worst;
}

/* by the midpoint rule over z and, exactly, over the azimuth */
static void harmonics_are_orthonormal(void **state) {
    (void)state;
    enum { RINGS = 1000, STEPS = 16 };
    static double sum[TURN_HARMONICS][TURN_HARMONICS];
    const double weight = 4 * 3.141592653589793 / (RINGS * STEPS);
    for (int i = 0; i < RINGS; i++)
        for (int k = 0; k < STEPS; k++) {
            double y[TURN_HARMONICS];
            for (int p = 0; p < TURN_HARMONICS; p++) y[p] = NAN;
            clm_turn_harmonics(2 * (i + 0.5) / RINGS - 1, k * 2 * 3.141592653589793 / STEPS, y);
            for (int p = 0; p < TURN_HARMONICS; p++)
                for (int q = 0; q <= p; q++) sum[p][q] += weight * y[p] * y[q];
        }
    for (int p = 0; p < TURN_HARMONICS; p++)
        for (int q = 0; q <= p; q++) assert_near(sum[p][q], p == q, 1e-4);
}

static void turning_patches_is_describing_turned(void **state) {
    (void)state;
    clm_work w = clm_test_work(128);
    clm_err err = CLM_ERR_NONE;
    scans s = scan(&w, 5);
    double linear[3][3];
    clm_patch_params pp = CLM_PATCH_DEFAULTS;
    clm_patches want, got;
    for (uint64_t key = 0; key < 4; key++) {
        if (key)
            random_rotation(key, linear);
        else
            memcpy(linear, straight, sizeof linear);
        assert_ok(clm_patch_describe(&w, &s.moving, &s.b, &pp, (const double(*)[3])linear, &want, &err), err);
        assert_ok(clm_turn_patches(&w, &s.g, (const double(*)[3])linear, &got, &err), err);
        double sum = 0;
        int64_t n = 0;
        for (int64_t i = 0; i < got.n; i++) {
            if (want.norm[i] == 0 || s.g.norm[i] == 0) continue;
            float dot = (float)clm_patch_dot(got.code + i * got.dim, want.code + i * want.dim, got.dim);
            sum += (double)(dot * got.norm[i] * want.norm[i]);
            n++;
        }
        assert_true(n > 200);
        assert_true(sum / (double)n > (key ? 0.9 : 0.9999));
    }
    clm_test_work_drop(&w);
}

static void any_rotation_is_found(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    clm_global_params p = CLM_GLOBAL_DEFAULTS;
    p.ransac.max_error_um = 3, p.ransac.max_trials = 5000;
    for (uint64_t key = 5; key < 7; key++) {
        clm_err err = CLM_ERR_NONE;
        clm_global_fit fit, again;
        scans s = scan(&w, key);
        p.any_rotation = false;
        assert_fails(CLM_E_NODATA, clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, NULL, &p, &fit, &err), err);
        p.any_rotation = true;
        err = CLM_ERR_NONE;
        assert_ok(clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, NULL, &p, &fit, &err), err);
        assert_int_equal(err.code, CLM_OK);
        assert_true(fit.turned);
        assert_int_equal(fit.fit.model, CLM_MODEL_AFFINE);
        assert_true(worst_of(&s, &fit.fit.affine) < 0.6);
        assert_ok(clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, NULL, &p, &again, &err), err);
        assert_memory_equal(&fit.fit.affine, &again.fit.affine, sizeof fit.fit.affine);
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

static void upright_needs_no_signatures(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    clm_err err = CLM_ERR_NONE;
    clm_global_params p = CLM_GLOBAL_DEFAULTS;
    p.ransac.max_error_um = 3;
    scans s = scan(&w, 0);
    clm_global_fit fit, near;
    assert_ok(clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, NULL, &p, &fit, &err), err);
    assert_false(fit.turned);
    assert_true(worst_of(&s, &fit.fit.affine) < 0.4);
    assert_true(fit.fit.inliers > 90);
    clm_affine prior = {{{1, 0, 0, 60}, {0, 1, 0, 58}, {0, 0, 1, 42}}}; /* 5 to 8 um off in the middle */
    p.match.max_distance_um = 20;
    assert_ok(clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, &prior, &p, &near, &err), err);
    assert_true(worst_of(&s, &near.fit.affine) < 0.4);
    clm_test_work_drop(&w);
}

static void sizes_follow_the_voxels(void **state) {
    (void)state;
    clm_blob_params b = CLM_BLOB_DEFAULTS;
    clm_patch_params p = CLM_PATCH_DEFAULTS;
    clm_global_params g = CLM_GLOBAL_DEFAULTS;
    b.radius_min_um = b.radius_max_um = p.radius_um = g.match.distinct_um = 0;
    const double fine[3] = {1, 1, 1}, coarse[3] = {4, 10, 10};
    clm_global_sizes(fine, coarse, &b, &p, &g);
    assert_near(b.radius_min_um, 22, 1e-9);
    assert_near(b.radius_max_um, 55, 1e-9);
    assert_near(p.radius_um, 200, 1e-9);
    assert_near(g.match.distinct_um, 22, 1e-9);
    assert_near(g.ransac.max_error_um, 10, 0); /* was given: stays */
}

static void strangers_do_not_match(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    clm_err err = CLM_ERR_NONE;
    clm_global_params p = CLM_GLOBAL_DEFAULTS;
    p.ransac.max_error_um = 3, p.ransac.max_trials = 5000, p.any_rotation = true;
    scans s = scan(&w, 0);
    for (int64_t i = 0; i < s.b.n; i++) /* the spots of the second scan in a random order */
        for (int d = 0; d < 3; d++) {
            int64_t j = clm_rng_below(3, 3, (uint64_t)i, s.b.n);
            double t = s.b.pos[i][d];
            s.b.pos[i][d] = s.b.pos[j][d], s.b.pos[j][d] = t;
        }
    clm_global_fit fit = {.turned = true};
    assert_fails(CLM_E_NODATA, clm_global_find(&w, &s.a, &s.f, &s.b, &s.g, NULL, &p, &fit, &err), err);
    assert_non_null(strstr(err.text, "neither upright nor turned"));
    assert_true(fit.turned && fit.fit.agrees == NULL); /* untouched */
    s.g.samples = 11;
    assert_fails(CLM_E_ARG, clm_turn_match(&w, &s.a, &s.f, &s.b, &s.g, 0.3, &fit.matches, &err), err);
    assert_fails(CLM_E_ARG, clm_turn_patches(&w, &s.g, straight, &s.f, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmonics_are_orthonormal), cmocka_unit_test(turning_patches_is_describing_turned),
        cmocka_unit_test(any_rotation_is_found),     cmocka_unit_test(upright_needs_no_signatures),
        cmocka_unit_test(sizes_follow_the_voxels),   cmocka_unit_test(strangers_do_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
