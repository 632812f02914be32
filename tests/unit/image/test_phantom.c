#include "collimate/image/phantom.h"

#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/rng.h"
#include "collimate/image/scene_parts.h"

#include <math.h>
#include <string.h>

static clm_phantom_params small_params(void) {
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    const int64_t fixed[3] = {21, 30, 38}, moving[3] = {19, 33, 35};
    memcpy(q.side[0].shape, fixed, sizeof fixed);
    memcpy(q.side[1].shape, moving, sizeof moving);
    q.side[0].origin[1] = -7.5;
    q.side[1].origin[2] = 3.25;
    return q;
}

static clm_phantom made(const clm_phantom_params *q) {
    clm_phantom p;
    clm_err err;
    assert_ok(clm_phantom_make(q, &p, &err), err);
    return p;
}

static void random_point(uint64_t i, double extent, double x[3]) {
    for (int d = 0; d < 3; d++) x[d] = extent * (2.0 * clm_rng_uniform(7, i, (uint64_t)d) - 1.0);
}

/* any cutting into boxes gives the voxels of the whole */
static void same_values_for_any_chunking(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    clm_phantom p = made(&q);
    clm_work w = clm_test_work(64);
    clm_err err;
    static const int64_t chunks[][3] = {{8, 8, 8}, {5, 30, 7}, {21, 33, 1}};
    for (int view = 0; view < 2; view++) {
        clm_vol whole, part;
        const int64_t *n = q.side[view].shape;
        assert_ok(clm_phantom_render(&w, &p, (clm_phantom_view)view, clm_box_of(n), &whole, &err), err);
        for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++)
            for (int64_t z = 0; z < n[0]; z += chunks[c][0])
                for (int64_t y = 0; y < n[1]; y += chunks[c][1])
                    for (int64_t x = 0; x < n[2]; x += chunks[c][2]) {
                        clm_box box = {{z, y, x}, {z + chunks[c][0], y + chunks[c][1], x + chunks[c][2]}};
                        box = clm_box_meet(box, clm_box_of(n));
                        clm_mark mark = clm_arena_mark(w.keep);
                        assert_ok(clm_phantom_render(&w, &p, (clm_phantom_view)view, box, &part, &err), err);
                        for (int64_t k = box.lo[0]; k < box.hi[0]; k++)
                            for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
                                assert_memory_equal(clm_vol_row(&part, k - box.lo[0], j - box.lo[1]),
                                                    clm_vol_row(&whole, k, j) + box.lo[2],
                                                    (size_t)(box.hi[2] - box.lo[2]) * sizeof(float));
                        assert_near(part.origin[1], whole.origin[1] + (double)y * whole.spacing[1], 1e-12);
                        clm_arena_rewind(w.keep, mark);
                    }
    }
    assert_int_equal(clm_arena_mark(w.temp).used, 0);
    clm_test_work_drop(&w);
}

static void inverse_undoes_truth(void **state) {
    (void)state;
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        q.seed = seed;
        clm_phantom p = made(&q);
        for (uint64_t i = 0; i < 60; i++) {
            double x[3], y[3], back[3];
            random_point(i, 400.0, x);
            clm_phantom_truth(&p, x, y);
            clm_phantom_inverse(&p, y, back);
            for (int d = 0; d < 3; d++) assert_near(back[d], x[d], 2e-6);
        }
    }
}

static void jacobian_is_positive_and_is_the_slope_of_truth(void **state) {
    (void)state;
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    clm_phantom p = made(&q);
    double least = INFINITY, most = 0.0;
    for (uint64_t i = 0; i < 400; i++) {
        double x[3], step = 1e-4, j[3][3];
        random_point(i, 300.0, x);
        double det = clm_phantom_jacobian(&p, x);
        least = fmin(least, det), most = fmax(most, det);
        if (i % 40) continue;
        for (int c = 0; c < 3; c++) {
            double a[3], b[3];
            memcpy(a, x, sizeof a), memcpy(b, x, sizeof b);
            a[c] -= step, b[c] += step;
            clm_phantom_truth(&p, a, a);
            clm_phantom_truth(&p, b, b);
            for (int r = 0; r < 3; r++) j[r][c] = (b[r] - a[r]) / (2.0 * step);
        }
        double want = j[0][0] * (j[1][1] * j[2][2] - j[1][2] * j[2][1]) -
                      j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0]) +
                      j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0]);
        assert_near(det, want, 1e-6);
    }
    assert_true(least > 0.2);
    assert_true(most / least > 1.2); /* and it is no affine */
}

static void warp_is_as_large_as_told(void **state) {
    (void)state;
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    clm_phantom p = made(&q);
    double sum = 0.0, bound = q.warp_um[0] + q.warp_um[1];
    for (uint64_t i = 0; i < 300; i++) {
        double x[3], y[3], u2 = 0.0;
        random_point(i, 500.0, x);
        clm_phantom_truth(&p, x, y);
        clm_affine_apply(&p.inverse, y, y);
        for (int d = 0; d < 3; d++) u2 += (y[d] - x[d]) * (y[d] - x[d]);
        assert_true(sqrt(u2) <= bound);
        sum += u2;
    }
    double rms = sqrt(sum / 300.0);
    assert_true(rms > 0.25 * bound && rms < 0.5 * bound);
    double centre[3], moved[3], shift2 = 0.0;
    for (int d = 0; d < 3; d++) centre[d] = 0.5 * (double)(q.side[0].shape[d] - 1) * q.side[0].spacing[d];
    clm_affine_apply(&p.affine, centre, moved);
    for (int d = 0; d < 3; d++) shift2 += (moved[d] - centre[d]) * (moved[d] - centre[d]);
    assert_near(sqrt(shift2), q.shift_um, 1e-9);
    double sigma[3];
    clm_affine_stretch(&p.affine, sigma);
    assert_true(sigma[0] < 1.0 + q.stretch + 3.0 * q.shear && sigma[2] > 1.0 - q.stretch - 3.0 * q.shear);
}

/* Without noise and camera differences the moving voxel shows what the scene has at the x with T(x) = y. */
static void moving_volume_shows_the_scene_through_the_truth(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    q.noise = 0.0;
    q.side[1].gamma = 1.0, q.side[1].shading = 0.0, q.side[1].offset = 0.0, q.side[1].gain = 10000.0;
    clm_phantom p = made(&q);
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_vol v;
    assert_ok(clm_phantom_render(&w, &p, CLM_PHANTOM_MOVING, clm_box_of(q.side[1].shape), &v, &err), err);
    for (int64_t i = 0; i < 200; i++) {
        int64_t k[3];
        double y[3], x[3];
        for (int d = 0; d < 3; d++) {
            k[d] = clm_rng_below(3, (uint64_t)i, (uint64_t)d, v.shape[d]);
            y[d] = v.origin[d] + (double)k[d] * v.spacing[d];
        }
        clm_phantom_inverse(&p, y, x);
        const double *const pos[3] = {&x[0], &x[1], &x[2]};
        float bright;
        assert_ok(clm_scene_at(&w, &p.scene, (const int64_t[3]){1, 1, 1}, pos, &bright, &err), err);
        double want = fmin(rint(10000.0 * (double)bright), 65535.0);
        assert_near(clm_vol_row(&v, k[0], k[1])[k[2]], want, 1.0);
    }
    clm_test_work_drop(&w);
}

/* The scene is continuous, differs from place to place and with the seed, and has bright and empty parts. */
static void scene_is_rich_and_continuous(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    clm_phantom p = made(&q), other;
    q.seed = 2;
    other = made(&q);
    clm_work w = clm_test_work(64);
    clm_err err;
    enum { N = 4000 };
    static double line[3][N];
    static float a[N], b[N];
    for (int i = 0; i < N; i++) line[0][i] = 5.0, line[1][i] = 40.0, line[2][i] = 0.1 * i;
    const double *const pos[3] = {line[0], line[1], line[2]};
    assert_ok(clm_scene_at(&w, &p.scene, (const int64_t[3]){1, 1, N}, pos, a, &err), err);
    assert_ok(clm_scene_at(&w, &other.scene, (const int64_t[3]){1, 1, N}, pos, b, &err), err);
    int dim = 0, bright = 0, differ = 0;
    for (int i = 0; i < N; i++) {
        assert_true(a[i] >= 0.0f && a[i] < 8.0f);
        if (i) assert_near(a[i], a[i - 1], 0.45); /* 0.1 um on */
        dim += a[i] < 0.12f;
        bright += a[i] > 0.3f;
        differ += fabsf(a[i] - b[i]) > 0.1f;
    }
    assert_true(dim > N / 5 && bright > N / 40 && differ > N / 40);
    clm_test_work_drop(&w);
}

/* what a region lists is what a larger region lists there: nothing is lost at the borders */
static void bodies_do_not_depend_on_the_region(void **state) {
    (void)state;
    clm_scene s = {9, 4.0, 1.0};
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_region large = {{-40, -30, -50}, {60, 70, 40}}, small = {{-3, 4, -20}, {12, 31, 5}};
    clm_bodies a, b;
    assert_ok(clm_bodies_find(&w, &s, &large, &a, &err), err);
    assert_ok(clm_bodies_find(&w, &s, &small, &b, &err), err);
    assert_true(a.n_cells > 100 && b.n_cells > 0);
    int64_t at = 0;
    for (int64_t i = 0; i < a.n_cells; i++) {
        if (!clm_region_near(&small, a.cell[i].centre, a.cell[i].reach)) continue;
        assert_true(at < b.n_cells);
        assert_memory_equal(a.cell[i].centre, b.cell[at].centre, sizeof a.cell[i].centre);
        at++;
    }
    assert_int_equal(at, b.n_cells);
    at = 0;
    for (int64_t i = 0; i < a.n_specks; i++)
        if (clm_region_near(&small, a.speck[i].centre, a.speck[i].reach))
            assert_memory_equal(&a.speck[i], &b.speck[at++], sizeof *a.speck);
    assert_int_equal(at, b.n_specks);
    clm_test_work_drop(&w);
}

static void noise_is_keyed_and_scaled(void **state) {
    (void)state;
    clm_phantom_params q = small_params();
    q.density = 0.0;
    q.side[0].shading = 0.0;
    clm_phantom p = made(&q);
    q.noise = 0.0;
    clm_phantom clean = made(&q);
    clm_work w = clm_test_work(64);
    clm_err err;
    clm_vol v, c;
    clm_box box = clm_box_of(q.side[0].shape);
    assert_ok(clm_phantom_render(&w, &p, CLM_PHANTOM_FIXED, box, &v, &err), err);
    assert_ok(clm_phantom_render(&w, &clean, CLM_PHANTOM_FIXED, box, &c, &err), err);
    double sum = 0.0, sum2 = 0.0;
    int64_t n = clm_vol_count(&v);
    for (int64_t i = 0; i < n; i++) {
        double sigma = sqrt(q.counts_per_photon * ((double)c.data[i] - q.side[0].offset) + 16.0);
        double z = ((double)v.data[i] - (double)c.data[i]) / sigma;
        sum += z, sum2 += z * z;
    }
    assert_near(sum / (double)n, 0.0, 5.0 / sqrt((double)n));
    assert_near(sum2 / (double)n, 1.0, 0.05);
    clm_test_work_drop(&w);
}

static void bad_parameters_are_refused(void **state) {
    (void)state;
    clm_phantom p;
    clm_err err;
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    q.warp_um[0] = 30.0;
    assert_fails(CLM_E_ARG, clm_phantom_make(&q, &p, &err), err);
    q = CLM_PHANTOM_DEFAULTS;
    q.side[1].spacing[2] = 0.0;
    assert_fails(CLM_E_ARG, clm_phantom_make(&q, &p, &err), err);
    q = CLM_PHANTOM_DEFAULTS;
    q.noise = NAN;
    assert_fails(CLM_E_ARG, clm_phantom_make(&q, &p, &err), err);
    q = small_params();
    p = made(&q);
    clm_work w = clm_test_work(1);
    clm_vol v;
    clm_box outside = {{0, 0, 0}, {22, 1, 1}};
    assert_fails(CLM_E_ARG, clm_phantom_render(&w, &p, CLM_PHANTOM_FIXED, outside, &v, &err), err);
    q = CLM_PHANTOM_DEFAULTS;
    p = made(&q);
    clm_box too_large = {{0, 0, 0}, {64, 64, 64}};
    assert_fails(CLM_E_BUDGET, clm_phantom_render(&w, &p, CLM_PHANTOM_FIXED, too_large, &v, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_values_for_any_chunking),
        cmocka_unit_test(inverse_undoes_truth),
        cmocka_unit_test(jacobian_is_positive_and_is_the_slope_of_truth),
        cmocka_unit_test(warp_is_as_large_as_told),
        cmocka_unit_test(moving_volume_shows_the_scene_through_the_truth),
        cmocka_unit_test(scene_is_rich_and_continuous),
        cmocka_unit_test(bodies_do_not_depend_on_the_region),
        cmocka_unit_test(noise_is_keyed_and_scaled),
        cmocka_unit_test(bad_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
