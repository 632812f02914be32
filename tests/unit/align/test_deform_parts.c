/* The inner parts of the deformable engine against slow references. */
#include "support/near.h"
#include "support/temp.h"

#include "../../../src/align/deform_parts.h"

#include "collimate/base/rng.h"

#include <math.h>
#include <string.h>

static clm_vol smooth_noise(clm_work *w, const int64_t shape[3], uint64_t seed) {
    const double spacing[3] = {1.3, 1.0, 0.8}, origin[3] = {0.3, -2.0, 5.0};
    clm_vol v;
    clm_err err;
    assert_ok(clm_vol_new(w->keep, shape, spacing, origin, &v, &err), err);
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++) {
                double s = 0.0;
                for (uint64_t k = 0; k < 6; k++) {
                    double a = 0.2 + 0.5 * clm_rng_uniform(seed, k, 1),
                           b = 0.2 + 0.5 * clm_rng_uniform(seed, k, 2);
                    s += cos(a * (double)x + b * (double)y - 0.6 * clm_rng_uniform(seed, k, 3) * (double)z +
                             (double)k);
                }
                clm_vol_row(&v, z, y)[x] =
                    (float)(s +
                            0.3 * clm_rng_normal(seed, 77, (uint64_t)((z * shape[1] + y) * shape[2] + x)));
            }
    return v;
}

/* every window by its definition, with rows that are left out as zeros */
static void window_sums_are_sums_over_windows(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{7, 9, 23}, {1, 1, 5}, {12, 4, 1}, {3, 20, 70}};
    for (int radius = 1; radius <= 5; radius += 2)
        for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
            clm_work w = clm_test_work(16);
            clm_err err;
            const int64_t *n = shapes[c];
            window win;
            assert_ok(window_make(w.keep, radius, 1, n, &win, &err), err);
            float *v = clm_take_zero(w.keep, float, n[0] * n[1] * n[2], &err);
            assert_non_null(v);
            for (int64_t i = 0; i < n[0] * n[1] * n[2];
                 i++) /* some rows zero; one huge value passes through */
                if (i / n[2] % 5 != 3) v[i] = i == 2 ? 1e7f : (float)clm_rng_uniform(1, 2, (uint64_t)i);
            int64_t seen = 0;
            for (int64_t t = 0; t < n[0] + radius; t++) {
                window_begin_plane(&win);
                for (int64_t y = 0; y < n[1] + radius; y++) {
                    bool real = t < n[0] && y < n[1] && (t * n[1] + y) % 5 != 3;
                    const float *row = v + (t * n[1] + y) * n[2];
                    window_feed(&win, t, y, real ? &row : NULL);
                    if (t < radius || y < radius) continue;
                    for (int64_t x = 0; x < n[2]; x++, seen++) {
                        double want = 0.0, most = 0.0;
                        for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
                            int64_t dz = i / (n[1] * n[2]) - (t - radius),
                                    dy = i / n[2] % n[1] - (y - radius);
                            int64_t dx = i % n[2] - x;
                            if (dz < -radius || dz > radius || dy < -radius || dy > radius || dx < -radius ||
                                dx > radius)
                                continue;
                            want += (double)v[i], most = fmax(most, (double)v[i]);
                        }
                        assert_near(window_sums(&win, 0, y - radius)[x], want, 1e-6 * (want + most) + 1e-9);
                    }
                }
            }
            assert_int_equal(seen, n[0] * n[1] * n[2]);
            clm_test_work_drop(&w);
        }
}

typedef struct scene {
    clm_work w;
    clm_deform_params p;
    clm_vol fixed, moving;
    clm_affine A;
    clm_field f;
    normal eq;
    level l;
} scene;

/* noise of its own in both, some of the moving volume out of reach, some voxels NaN */
static void open_scene(scene *s, clm_deform_metric metric, int radius, bool holes) {
    const int64_t a[3] = {11, 13, 29}, b[3] = {11, 14, 30};
    clm_err err;
    *s = (scene){.w = clm_test_work(32), .p = CLM_DEFORM_DEFAULTS};
    s->p.metric = metric, s->p.radius_vox = radius;
    s->fixed = smooth_noise(&s->w, a, 1), s->moving = smooth_noise(&s->w, b, 1);
    if (holes) s->moving.data[2000] = s->fixed.data[1500] = NAN;
    s->A = (clm_affine){
        {{1.01, 0.03, 0.02, holes ? 2.0 : 0.1}, {0.01, 0.98, -0.03, 0.2}, {-0.02, 0.01, 1.0, 0.15}}};
    const int64_t nodes[3] = {4, 4, 8};
    const double pitch[3] = {4.5, 4.1, 3.3};
    assert_ok(clm_field_new(s->w.keep, nodes, pitch, s->fixed.origin, &s->f, &err), err);
    int64_t n = clm_field_count(&s->f);
    for (int64_t i = 0; i < 3 * n; i++) s->f.u[0][i] = (float)(0.3 * clm_rng_normal(5, 5, (uint64_t)i));
    float *planes = clm_take_zero(s->w.keep, float, 9 * n, &err);
    assert_non_null(planes);
    for (int i = 0; i < 9; i++) *(i < 3 ? &s->eq.g[i] : &s->eq.h[i - 3]) = planes + i * n;
    s->l = (level){.p = &s->p, .fixed = &s->fixed, .moving = &s->moving, .A = &s->A};
    s->l.fixed_scale = 0.6, s->l.moving_scale = 0.55, s->l.moving_mean = 0.1;
    s->l.fixed_whole = s->l.moving_whole = !holes;
    s->l.I = clm_take(s->w.temp, float, clm_vol_count(&s->fixed), &err);
    assert_non_null(s->l.I);
    for (int64_t i = 0; i < clm_vol_count(&s->fixed); i++)
        s->l.I[i] = isnan(s->fixed.data[i]) ? 0.0f : 0.6f * s->fixed.data[i];
    if (metric == CLM_DEFORM_MI) assert_ok(mi_prepare(&s->w, &s->l, &err), err);
    if (metric_is_local(metric)) assert_ok(lncc_prepare(&s->w, &s->l, &err), err);
}

static double energy(scene *s) {
    pass_sum sum;
    clm_err err;
    assert_ok(pass_run(&s->w, &s->l, &s->f, NULL, &sum, &err), err);
    return sum.energy;
}

/* the gathered gradient is the slope of the energy, along every component of many nodes */
static void gradients_are_slopes_of_the_energy(void **state) {
    (void)state;
    static const struct {
        clm_deform_metric metric;
        int radius;
    } cases[] = {{CLM_DEFORM_LNCC, 2}, {CLM_DEFORM_LNCC, 4}, {CLM_DEFORM_LNCC2, 2}, {CLM_DEFORM_LNCC2, 5},
                 {CLM_DEFORM_NCC, 4},  {CLM_DEFORM_SSD, 4},  {CLM_DEFORM_MI, 4}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int holes = 0; holes < 2; holes++) {
            scene s;
            clm_err err;
            pass_sum sum;
            open_scene(&s, cases[k].metric, cases[k].radius, holes);
            assert_ok(pass_run(&s.w, &s.l, &s.f, &s.eq, &sum, &err), err);
            assert_near(sum.energy, energy(&s), 1e-9 * fabs(sum.energy));
            assert_true(sum.compared > 500 && sum.similarity < sum.compared);
            double worst = 0.0, typical = 0.0;
            int64_t n = clm_field_count(&s.f);
            for (int64_t i = 0; i < 3 * n; i++)
                typical += fabs((double)s.eq.g[i / n][i % n]) / (double)(3 * n);
            for (int64_t i = 5; i < n; i += 7)
                for (int c = 0; c < 3; c++) {
                    float was = s.f.u[c][i];
                    double h = 2e-3;
                    s.f.u[c][i] = was + (float)h;
                    double up = energy(&s);
                    s.f.u[c][i] = was - (float)h;
                    double down = energy(&s);
                    s.f.u[c][i] = was;
                    worst = fmax(worst, fabs((up - down) / (2 * h) - (double)s.eq.g[c][i]));
                }
            /* the interpolant has kinks; where the border passes through voxels, they come and go */
            assert_true(typical > 0.1);
            if (!holes) assert_true(worst < 0.15 * typical);
            clm_test_work_drop(&s.w);
        }
}

/* local correlation by its definition: windows of whole cells, the last cell of an axis thinner, each cell's window
 * counted by the cell's voxels */
static void energy_is_that_of_its_windows(void **state) {
    (void)state;
    static const int radius[] = {1, 3, 4, 5};
    for (int q = 0; q < 4; q++) {
        scene s;
        clm_err err;
        pass_sum sum;
        double energy = 0.0, similarity = 0.0;
        open_scene(&s, CLM_DEFORM_LNCC, radius[q], false);
        s.A = CLM_AFFINE_IDENTITY; /* nothing is out of reach */
        memset(s.f.u[0], 0, (size_t)(3 * clm_field_count(&s.f)) * sizeof(float));
        assert_ok(pass_run(&s.w, &s.l, &s.f, NULL, &sum, &err), err);
        const int64_t *n = s.fixed.shape, size = radius[q] < 4 ? 1 : 2, reach = radius[q] / size * size;
        float *J = clm_take(s.w.temp, float, clm_vol_count(&s.fixed), &err), bad[29];
        sampler a = {.moving = &s.moving, .mean = 0.1f, .scale = 0.55f};
        assert_ok(clm_rowmap_make(s.w.temp, &s.fixed, &s.moving, &s.A, &s.f, &a.map, &err), err);
        for (int64_t i = 0; i < n[0] * n[1]; i++)
            assert_int_equal(sampler_row(&a, i / n[1], i % n[1], J + i * n[2], NULL, bad), 0);
        for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
            const int64_t at[3] = {i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]};
            double v[5] = {0}, count = 0.0, rho, d;
            int64_t lo[3], hi[3];
            for (int c = 0; c < 3; c++) { /* of the window of the voxel's cell */
                int64_t first = at[c] / size * size;
                lo[c] = first > reach ? first - reach : 0;
                hi[c] = first + size + reach < n[c] ? first + size + reach : n[c];
            }
            for (int64_t z = lo[0]; z < hi[0]; z++)
                for (int64_t y = lo[1]; y < hi[1]; y++)
                    for (int64_t x = lo[2]; x < hi[2]; x++, count++) {
                        int64_t k = (z * n[1] + y) * n[2] + x;
                        double f = (double)s.l.I[k], m = (double)J[k];
                        v[0] += f, v[1] += m, v[2] += f * f, v[3] += m * m, v[4] += f * m;
                    }
            rho = (v[4] - v[0] * v[1] / count) /
                  sqrt((v[2] - v[0] * v[0] / count) * (v[3] - v[1] * v[1] / count));
            d = sqrt(1.05 - fmax(rho, 0.0) * fmax(rho, 0.0));
            similarity += rho, energy += d;
        }
        assert_near(sum.compared, (double)(n[0] * n[1] * n[2]), 0.0);
        assert_near(sum.energy, energy, 2e-6 * energy);
        assert_near(sum.similarity, similarity, 2e-6 * energy);
        clm_test_work_drop(&s.w);
    }
}

/* the lumped matrix is never less than the full Gauss-Newton one: u'Hu for fields of one direction */
static void matrix_is_definite_and_of_the_right_size(void **state) {
    (void)state;
    scene s;
    clm_err err;
    pass_sum sum;
    open_scene(&s, CLM_DEFORM_SSD, 2, false);
    assert_ok(pass_run(&s.w, &s.l, &s.f, &s.eq, &sum, &err), err);
    int64_t n = clm_field_count(&s.f);
    double total[6] = {0}, want = 0.0;
    for (int64_t i = 0; i < n; i++) {
        for (int q = 0; q < 6; q++) total[q] += (double)s.eq.h[q][i];
        assert_true(s.eq.h[0][i] >= 0 && s.eq.h[3][i] >= 0 && s.eq.h[5][i] >= 0);
        assert_true((double)s.eq.h[0][i] * (double)s.eq.h[3][i] >=
                    (double)s.eq.h[1][i] * (double)s.eq.h[1][i] * (1 - 1e-4) - 1e-6);
    }
    /* all nodes one way: the curvature of E along it is the sum of squared slopes of J, by differences */
    sampler a = {.moving = &s.moving, .mean = 0.1f, .scale = 0.55f};
    assert_ok(clm_rowmap_make(s.w.temp, &s.fixed, &s.moving, &s.A, &s.f, &a.map, &err), err);
    float J[29], g0[29], g1[29], g2[29], bad[29], *const G[3] = {g0, g1, g2};
    for (int64_t z = 0; z < 11; z++)
        for (int64_t y = 0; y < 13; y++) {
            sampler_row(&a, z, y, J, G, bad);
            for (int x = 0; x < 29; x++) want += (double)g2[x] * (double)g2[x];
        }
    assert_near(total[5], want, 1e-4 * want);
    clm_test_work_drop(&s.w);
}

/* the solver's answer satisfies its equations; W is the second derivative of the stiffness energy */
static void solve_satisfies_its_equations(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{5, 6, 9}, {1, 4, 5}, {2, 3, 3}, {1, 1, 2}, {3, 1, 6}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        clm_work w = clm_test_work(16);
        clm_err err;
        const double spacing[3] = {1, 1, 1}, origin[3] = {0, 0, 0};
        const stiffness weight = {{0.3, 0.2, 0.4}, {1.1, 0.7, 0.9}};
        clm_field u, du;
        assert_ok(clm_field_new(w.keep, shapes[c], spacing, origin, &u, &err), err);
        assert_ok(clm_field_new(w.keep, shapes[c], spacing, origin, &du, &err), err);
        int64_t n = clm_field_count(&u);
        normal eq;
        float *planes = clm_take_zero(w.keep, float, 9 * n, &err);
        assert_non_null(planes);
        for (int i = 0; i < 9; i++) *(i < 3 ? &eq.g[i] : &eq.h[i - 3]) = planes + i * n;
        for (int64_t i = 0; i < 3 * n; i++) {
            u.u[0][i] = (float)clm_rng_normal(1, 1, (uint64_t)i);
            eq.g[0][i] = (float)clm_rng_normal(1, 2, (uint64_t)i);
        }
        for (int64_t k = 0; k < 3 * n; k++) { /* three v v' a node, none for some: no data there */
            double v[3];
            int64_t i = k / 3;
            for (int d = 0; d < 3; d++) v[d] = i % 4 ? 2 * clm_rng_normal(1, 3, (uint64_t)(3 * k + d)) : 0.0;
            eq.h[0][i] += (float)(v[0] * v[0]), eq.h[1][i] += (float)(v[0] * v[1]);
            eq.h[2][i] += (float)(v[0] * v[2]), eq.h[3][i] += (float)(v[1] * v[1]);
            eq.h[4][i] += (float)(v[1] * v[2]), eq.h[5][i] += (float)(v[2] * v[2]);
        }
        assert_ok(solve_step(&w, &eq, &u, &weight, 400, du.u, &err), err);
        /* E(d) = g'd + d'Hd / 2 + stiffness(u + d) is least at du: its slope vanishes */
        for (int64_t i = 0; i < 3 * n; i++) {
            double slope[2];
            for (int side = 0; side < 2; side++) {
                clm_field t = u;
                float *sum = clm_take(w.temp, float, 3 * n, &err);
                assert_non_null(sum);
                double e = 0.0, h = side ? 0.5 : -0.5;
                for (int q = 0; q < 3; q++) t.u[q] = sum + q * n;
                for (int64_t k = 0; k < 3 * n; k++)
                    sum[k] = u.u[0][k] + du.u[0][k] + (float)(k == i ? h : 0.0);
                for (int64_t k = 0; k < n; k++) {
                    double d[3];
                    for (int q = 0; q < 3; q++) {
                        d[q] = (double)du.u[q][k] + (q * n + k == i ? h : 0.0);
                        e += (double)eq.g[q][k] * d[q];
                    }
                    e += 0.5 * ((double)eq.h[0][k] * d[0] * d[0] + (double)eq.h[3][k] * d[1] * d[1] +
                                (double)eq.h[5][k] * d[2] * d[2]) +
                         (double)eq.h[1][k] * d[0] * d[1] + (double)eq.h[2][k] * d[0] * d[2] +
                         (double)eq.h[4][k] * d[1] * d[2];
                }
                slope[side] = e + stiffness_energy(&t, &weight);
                clm_arena_rewind(w.temp, (clm_mark){0});
            }
            assert_near(slope[1] - slope[0], 0.0, 0.06); /* forces are of the order of 5 */
        }
        clm_test_work_drop(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_sums_are_sums_over_windows),
        cmocka_unit_test(gradients_are_slopes_of_the_energy),
        cmocka_unit_test(energy_is_that_of_its_windows),
        cmocka_unit_test(matrix_is_definite_and_of_the_right_size),
        cmocka_unit_test(solve_satisfies_its_equations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
