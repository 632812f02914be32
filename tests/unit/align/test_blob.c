#include "collimate/align/blob.h"
#include "collimate/align/spots.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/speckle.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const clm_affine identity = {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
static const double zero[3] = {0, 0, 0};

static clm_vol one_blob(clm_arena *a, const double spacing[3], const double at[3], double sigma) {
    double pos[1][3] = {{at[0], at[1], at[2]}}, bright = 1;
    clm_speckle s = {.n = 1, .pos = pos, .sigma_um = &sigma, .bright = &bright};
    int64_t shape[3];
    for (int d = 0; d < 3; d++) shape[d] = (int64_t)(2 * at[d] / spacing[d]);
    return clm_test_draw(a, &s, &identity, shape, spacing, zero, 0, 1);
}

static void places_are_sub_voxel(void **state) {
    (void)state;
    static const struct {
        double spacing[3], sigma;
    } cases[] = {{{1, 1, 1}, 1.6}, {{2, 1, 1}, 2.4}, {{1.68, 1.84, 1.84}, 7}, {{3, 1, 0.7}, 4}};
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (uint64_t i = 0; i < 8; i++) {
            double at[3], sigma = cases[c].sigma;
            for (uint64_t d = 0; d < 3; d++)
                at[d] = 6 * sigma + cases[c].spacing[d] * clm_rng_uniform(2, d, i);
            clm_vol v = one_blob(w.keep, cases[c].spacing, at, sigma);
            clm_blob_params p = CLM_BLOB_DEFAULTS;
            p.radius_min_um = sqrt(2.0) * sigma / 1.4, p.radius_max_um = sqrt(2.0) * sigma * 1.4;
            clm_points got;
            assert_ok(clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
            assert_int_equal(got.n, 1);
            for (int d = 0; d < 3; d++) assert_near((got.pos[0][d] - at[d]) / cases[c].spacing[d], 0, 0.1);
            assert_near((double)got.radius_um[0] / (sqrt(2.0) * sigma), 1, 0.12);
            clm_arena_reset(w.keep, 0);
        }
    clm_test_work_drop(&w);
}

static clm_vol tissue(clm_arena *a, double noise) {
    const int64_t shape[3] = {48, 64, 80};
    const double spacing[3] = {2, 1.5, 1.5}, origin[3] = {-7, 20, 3}, extent[3] = {96, 96, 120};
    clm_affine move = identity;
    for (int d = 0; d < 3; d++) move.m[d][3] = origin[d];
    clm_speckle s = clm_test_speckle(a, 150, extent, 2.5, 4, 11);
    return clm_test_draw(a, &s, &move, shape, spacing, origin, noise, 12);
}

static void gain_and_offset_do_not_matter(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_blob_params p = CLM_BLOB_DEFAULTS;
    p.radius_min_um = 4, p.radius_max_um = 6;
    clm_vol v = tissue(w.keep, 0.05), u;
    assert_ok(clm_vol_copy(w.keep, &v, &u, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&u); i++) u.data[i] = 3000 * u.data[i] + 2000;
    clm_points a, b;
    assert_ok(clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &a, &err), err);
    assert_ok(clm_blob_find(&w, &u, clm_box_of(u.shape), &p, &b, &err), err);
    assert_true(a.n > 60);
    assert_int_equal(a.n, b.n);
    for (int64_t i = 0; i < a.n; i++)
        for (int d = 0; d < 3; d++) assert_near(a.pos[i][d], b.pos[i][d], 0.01);
    clm_test_work_drop(&w);
}

static void blocks_together_find_the_spots_of_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(128);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = tissue(w.keep, 0.05);
    for (int big = 0; big < 2; big++) { /* working grid of every voxel, and of every other */
        clm_blob_params p = CLM_BLOB_DEFAULTS;
        p.radius_min_um = big ? 6.5 : 4, p.radius_max_um = big ? 8 : 6, p.max_spots = 0;
        assert_ok(clm_blob_spread(&w, &v, &p, p.spread, &err), err);
        clm_points whole, part;
        assert_ok(clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &whole, &err), err);
        int64_t halo[3], step[3], total = 0, block[3] = {16, 32, 40};
        clm_blob_halo(&p, v.spacing, halo, step);
        assert_int_equal(step[2], big ? 2 : 1);
        for (int k = 0; k < 12; k++) {
            clm_box core, in_view;
            int64_t at[3] = {k / 4, k / 2 % 2, k % 2};
            for (int d = 0; d < 3; d++) core.lo[d] = at[d] * block[d], core.hi[d] = core.lo[d] + block[d];
            clm_box padded = clm_box_meet(clm_box_grow(core, halo), clm_box_of(v.shape));
            clm_vol view = clm_vol_crop(&v, padded);
            for (int d = 0; d < 3; d++)
                in_view.lo[d] = core.lo[d] - padded.lo[d], in_view.hi[d] = core.hi[d] - padded.lo[d];
            assert_ok(clm_blob_find(&w, &view, in_view, &p, &part, &err), err);
            total += part.n;
            for (int64_t i = 0; i < part.n; i++) {
                int64_t same = 0;
                for (int64_t j = 0; j < whole.n; j++)
                    same += fabs(whole.pos[j][0] - part.pos[i][0]) < 1e-9 &&
                            fabs(whole.pos[j][1] - part.pos[i][1]) < 1e-9 &&
                            fabs(whole.pos[j][2] - part.pos[i][2]) < 1e-9 &&
                            whole.score[j] == part.score[i] && whole.radius_um[j] == part.radius_um[i];
                assert_int_equal(same, 1);
            }
        }
        assert_int_equal(total, whole.n);
        assert_true(whole.n > 30);
    }
    clm_test_work_drop(&w);
}

static int count_beyond(const clm_points *p, double x) {
    int n = 0;
    for (int64_t i = 0; i < p->n; i++) n += p->pos[i][2] > x;
    return n;
}

static void dim_places_get_spots_too(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_blob_params p = CLM_BLOB_DEFAULTS;
    p.radius_min_um = 4, p.radius_max_um = 6, p.max_spots = 40, p.min_signal = 0.01;
    clm_vol v = tissue(w.keep, 0);
    for (int64_t z = 0; z < v.shape[0]; z++)
        for (int64_t y = 0; y < v.shape[1]; y++)
            for (int64_t x = 0; x < 40; x++) clm_vol_row(&v, z, y)[x] *= 20;
    clm_points got;
    assert_ok(clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    assert_int_equal(got.n, 40);
    assert_in_range(count_beyond(&got, v.origin[2] + 41 * v.spacing[2]), 9, 26);
    p.bucket_um = 1e4; /* one bucket: the clearest win nearly all */
    assert_ok(clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    assert_in_range(count_beyond(&got, v.origin[2] + 41 * v.spacing[2]), 0, 4);
    clm_test_work_drop(&w);
}

static void choosing_does_not_depend_on_order(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_points p, q, a, b;
    assert_ok(clm_points_new(w.keep, 500, &p, &err), err);
    assert_ok(clm_points_new(w.keep, 500, &q, &err), err);
    for (int64_t i = 0; i < 500; i++) {
        for (uint64_t d = 0; d < 3; d++)
            p.pos[i][d] = q.pos[499 - i][d] = 100 * clm_rng_uniform(1, d, (uint64_t)i) - 50;
        p.score[i] = q.score[499 - i] = (float)clm_rng_below(1, 3, (uint64_t)i, 20); /* many ties */
        p.radius_um[i] = q.radius_um[499 - i] = (float)i;
    }
    static const int64_t counts[] = {0, 1, 60, 499, 500, 900};
    for (size_t c = 0; c < 6; c++) {
        int64_t *i, *j, n, m, want = counts[c] == 0 || counts[c] > 500 ? 500 : counts[c];
        assert_ok(clm_spots_choose(&w, &p, counts[c], 0, &i, &n, &err), err);
        assert_ok(clm_spots_choose(&w, &q, counts[c], 0, &j, &m, &err), err);
        assert_int_equal(n, want);
        assert_int_equal(m, want);
        assert_ok(clm_spots_take(w.keep, &p, i, n, &a, &err), err);
        assert_ok(clm_spots_take(w.keep, &q, j, n, &b, &err), err);
        assert_memory_equal(a.radius_um, b.radius_um, (size_t)n * sizeof(float));
        assert_memory_equal(a.pos, b.pos, (size_t)n * sizeof *a.pos);
    }
    clm_test_work_drop(&w);
}

static void nothing_is_said_to_be_nothing(void **state) {
    (void)state;
    clm_work w = clm_test_work(64);
    clm_err err = CLM_ERR_NONE;
    clm_blob_params p = CLM_BLOB_DEFAULTS;
    p.radius_min_um = 4, p.radius_max_um = 6;
    clm_vol v = tissue(w.keep, 0.05);
    clm_points got;
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = (float)clm_rng_normal(9, 9, (uint64_t)i);
    p.min_signal = 6; /* noise alone */
    assert_fails(CLM_E_NODATA, clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    assert_non_null(strstr(err.text, "spreads"));
    p.min_signal = 3;
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = 812.7f;
    assert_fails(CLM_E_NODATA, clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    memset(v.data, 0, (size_t)clm_vol_count(&v) * sizeof *v.data);
    assert_fails(CLM_E_NODATA, clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    clm_vol thin = clm_vol_crop(&v, (clm_box){{3, 3, 3}, {4, 60, 60}});
    assert_fails(CLM_E_NODATA, clm_blob_find(&w, &thin, clm_box_of(thin.shape), &p, &got, &err), err);
    clm_box beyond = {{0, 0, 0}, {48, 64, 81}};
    assert_fails(CLM_E_ARG, clm_blob_find(&w, &v, beyond, &p, &got, &err), err);
    p.radius_max_um = 3;
    assert_fails(CLM_E_ARG, clm_blob_find(&w, &v, clm_box_of(v.shape), &p, &got, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_sub_voxel),
        cmocka_unit_test(gain_and_offset_do_not_matter),
        cmocka_unit_test(blocks_together_find_the_spots_of_the_whole),
        cmocka_unit_test(dim_places_get_spots_too),
        cmocka_unit_test(choosing_does_not_depend_on_order),
        cmocka_unit_test(nothing_is_said_to_be_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
