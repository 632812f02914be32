#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/rng.h"
#include "collimate/image/warp.h"

#include <math.h>
#include <string.h>

static clm_vol noise(clm_work *w, int64_t nz, int64_t ny, int64_t nx, uint64_t seed) {
    const int64_t shape[3] = {nz, ny, nx};
    const double spacing[3] = {1.68, 1.84, 0.92}, origin[3] = {0.42, 0.46, -7.3};
    clm_vol v;
    clm_err err;
    assert_ok(clm_vol_new(w->keep, shape, spacing, origin, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++) v.data[i] = (float)clm_rng_uniform(seed, 1, (uint64_t)i);
    return v;
}

static clm_field bumpy(clm_work *w, int64_t nz, int64_t ny, int64_t nx, double um) {
    const int64_t shape[3] = {nz, ny, nx};
    const double spacing[3] = {5.1, 7.7, 6.3}, origin[3] = {1.0, -3.0, -2.0};
    clm_field f;
    clm_err err;
    assert_ok(clm_field_new(w->keep, shape, spacing, origin, &f, &err), err);
    for (int64_t i = 0; i < 3 * clm_field_count(&f); i++)
        f.u[0][i] = (float)(um * (2.0 * clm_rng_uniform(5, 2, (uint64_t)i) - 1.0));
    return f;
}

static const clm_affine SKEW = {
    {{0.98, 0.05, -0.03, 1.1}, {-0.04, 1.03, 0.06, -0.7}, {0.02, -0.05, 0.97, 0.9}}};

static double keys(double x) { /* the kernel itself, eq. 15, not its four taps */
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static int64_t clamp(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* one voxel, slowly, in double; false: outside */
static bool slow_at(const clm_vol *v, const clm_affine *A, const clm_field *f, const double x[3],
                    clm_interp kind, double *out) {
    double y[3], p[3], sum = 0;
    clm_transform_point(A, f, x, y);
    for (int d = 0; d < 3; d++) {
        p[d] = (y[d] - v->origin[d]) / v->spacing[d];
        if (!(p[d] >= 0 && p[d] <= (double)(v->shape[d] - 1))) return false;
    }
    if (kind == CLM_INTERP_NEAREST) {
        *out = clm_vol_row(v, (int64_t)floor(p[0] + 0.5),
                           (int64_t)floor(p[1] + 0.5))[(int64_t)floor(p[2] + 0.5)];
        return true;
    }
    int64_t b[3] = {(int64_t)floor(p[0]) - 1, (int64_t)floor(p[1]) - 1, (int64_t)floor(p[2]) - 1};
    for (int64_t z = b[0]; z < b[0] + 4; z++)
        for (int64_t y1 = b[1]; y1 < b[1] + 4; y1++)
            for (int64_t x1 = b[2]; x1 < b[2] + 4; x1++) {
                double d[3] = {p[0] - (double)z, p[1] - (double)y1, p[2] - (double)x1}, weight = 1;
                for (int c = 0; c < 3; c++)
                    weight *= kind == CLM_INTERP_CUBIC ? keys(d[c]) : fmax(0, 1 - fabs(d[c]));
                sum += weight * (double)clm_vol_row(v, clamp(z, v->shape[0]),
                                                    clamp(y1, v->shape[1]))[clamp(x1, v->shape[2])];
            }
    *out = sum;
    return true;
}

/* within rounding of halfway between two voxels: either is nearest */
static bool is_tie(const clm_vol *v, const clm_affine *A, const clm_field *f, const double x[3]) {
    double y[3];
    clm_transform_point(A, f, x, y);
    for (int d = 0; d < 3; d++) {
        double p = (y[d] - v->origin[d]) / v->spacing[d];
        if (fabs(p - floor(p) - 0.5) < 1e-4) return true;
    }
    return false;
}

static void check_against_slow(const clm_vol *moving, const clm_vol *out, const clm_affine *A,
                               const clm_field *f, clm_interp kind, int64_t inside) {
    int64_t seen = 0;
    for (int64_t z = 0; z < out->shape[0]; z++)
        for (int64_t y = 0; y < out->shape[1]; y++)
            for (int64_t x = 0; x < out->shape[2]; x++) {
                const double at[3] = {out->origin[0] + (double)z * out->spacing[0],
                                      out->origin[1] + (double)y * out->spacing[1],
                                      out->origin[2] + (double)x * out->spacing[2]};
                double want = -9;
                seen += slow_at(moving, A, f, at, kind, &want);
                if (kind != CLM_INTERP_NEAREST || !is_tie(moving, A, f, at))
                    assert_near((double)clm_vol_row(out, z, y)[x], want, 3e-5);
            }
    assert_int_equal(inside, seen);
}

static void warp_equals_slow_reference(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_vol moving = noise(&w, 13, 21, 75, 3), out = noise(&w, 17, 19, 131, 4);
    clm_field f = bumpy(&w, 5, 4, 17, 1.2);
    for (int kind = 0; kind < 3; kind++)
        for (int with = 0; with < 2; with++) {
            int64_t inside = -1;
            assert_ok(
                clm_warp(&w, &moving, &SKEW, with ? &f : NULL, (clm_interp)kind, -9.0f, &out, &inside, &err),
                err);
            assert_in_range(inside, 1000, clm_vol_count(&out) - 1000);
            check_against_slow(&moving, &out, &SKEW, with ? &f : NULL, (clm_interp)kind, inside);
        }
    assert_int_equal(clm_arena_mark(w.temp).used, 0);
    clm_test_work_drop(&w);
}

static void identity_is_exact_to_the_border(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    const clm_affine id = CLM_AFFINE_IDENTITY;
    for (int64_t n = 1; n <= 131; n += 65) {
        clm_vol v = noise(&w, n > 1 ? 5 : 1, 7, n, 8), out = noise(&w, v.shape[0], 7, n, 9);
        for (int kind = 0; kind < 3; kind++) {
            int64_t inside = 0;
            memset(out.data, 0, (size_t)clm_vol_count(&out) * sizeof(float));
            assert_ok(clm_warp(&w, &v, &id, NULL, (clm_interp)kind, 7.0f, &out, &inside, &err), err);
            assert_int_equal(inside, clm_vol_count(&v));
            /* positions are off by the rounding of 0.42 + 1.68 k; the values by that times the contrast */
            assert_near_n(out.data, v.data, clm_vol_count(&v), 4e-5);
        }
    }
    clm_test_work_drop(&w);
}

static void part_of_the_grid_equals_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_vol moving = noise(&w, 13, 21, 75, 3), whole = noise(&w, 17, 19, 131, 4);
    clm_field f = bumpy(&w, 5, 4, 17, 1.2);
    assert_ok(clm_warp(&w, &moving, &SKEW, &f, CLM_INTERP_CUBIC, -9.0f, &whole, NULL, &err), err);
    for (uint64_t trial = 0; trial < 30; trial++) {
        clm_box box;
        for (int d = 0; d < 3; d++) {
            box.lo[d] = clm_rng_below(1, trial, (uint64_t)d, whole.shape[d]);
            box.hi[d] = box.lo[d] + 1 + clm_rng_below(1, trial, (uint64_t)d + 5, whole.shape[d] - box.lo[d]);
        }
        clm_box need = clm_warp_box(&SKEW, &f, &whole, box, &moving, CLM_INTERP_CUBIC, 0);
        clm_vol want = clm_vol_crop(&whole, box), got;
        assert_ok(clm_vol_copy(w.keep, &want, &got, &err), err);
        memset(got.data, 0, (size_t)clm_vol_count(&got) * sizeof(float));
        if (clm_box_is_empty(need)) {
            for (int64_t i = 0; i < clm_vol_count(&got); i++) got.data[i] = -9.0f;
        } else {
            /* only the part that warp_box promised to be enough, everything else poisoned */
            clm_vol part = clm_vol_crop(&moving, need);
            assert_ok(clm_vol_copy(w.keep, &part, &part, &err), err);
            assert_ok(clm_warp(&w, &part, &SKEW, &f, CLM_INTERP_CUBIC, -9.0f, &got, NULL, &err), err);
        }
        for (int64_t z = 0; z < got.shape[0]; z++)
            for (int64_t y = 0; y < got.shape[1]; y++)
                assert_near_n(clm_vol_row(&got, z, y), clm_vol_row(&want, z, y), got.shape[2], 5e-5);
    }
    clm_test_work_drop(&w);
}

static void box_is_tight(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_vol moving = noise(&w, 40, 60, 90, 3), fixed = noise(&w, 17, 19, 131, 4);
    clm_field f = bumpy(&w, 5, 4, 17, 6.0);
    const clm_affine shift = {{{1, 0, 0, 15}, {0, 1, 0, 20}, {0, 0, 1, -20}}};
    clm_box box = {{3, 4, 60}, {9, 15, 100}},
            got = clm_warp_box(&shift, &f, &fixed, box, &moving, CLM_INTERP_LINEAR, 0);
    double least[3] = {1e9, 1e9, 1e9}, most[3] = {-1e9, -1e9, -1e9};
    for (int64_t z = box.lo[0]; z < box.hi[0]; z++)
        for (int64_t y = box.lo[1]; y < box.hi[1]; y++)
            for (int64_t x = box.lo[2]; x < box.hi[2]; x++) {
                const double at[3] = {fixed.origin[0] + (double)z * fixed.spacing[0],
                                      fixed.origin[1] + (double)y * fixed.spacing[1],
                                      fixed.origin[2] + (double)x * fixed.spacing[2]};
                double q[3];
                clm_transform_point(&shift, &f, at, q);
                for (int d = 0; d < 3; d++) {
                    double v = (q[d] - moving.origin[d]) / moving.spacing[d];
                    least[d] = fmin(least[d], v), most[d] = fmax(most[d], v);
                }
            }
    for (int d = 0; d < 3; d++) {
        assert_true((double)got.lo[d] <= least[d] && (double)got.hi[d] - 1 >= most[d]);
        /* voxels miss the lattice planes by up to half a voxel of a field this steep */
        assert_true(least[d] - (double)got.lo[d] < 3 && (double)got.hi[d] - 1 - most[d] < 3);
    }
    const clm_affine away = {{{1, 0, 0, 1e6}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
    assert_true(clm_box_is_empty(clm_warp_box(&away, &f, &fixed, box, &moving, CLM_INTERP_LINEAR, 4)));
    clm_test_work_drop(&w);
}

static void not_finite_is_outside(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_vol moving = noise(&w, 13, 21, 75, 3), out = noise(&w, 9, 9, 70, 4);
    clm_field f = bumpy(&w, 5, 4, 17, 0.1);
    const clm_affine id = CLM_AFFINE_IDENTITY;
    for (int64_t i = 0; i < clm_field_count(&f); i++) f.u[1][i] = i % 3 ? NAN : 1e30f;
    for (int kind = 0; kind < 3; kind++) {
        int64_t inside = -1;
        assert_ok(clm_warp(&w, &moving, &id, &f, (clm_interp)kind, 5.0f, &out, &inside, &err), err);
        assert_int_equal(inside, 0);
        for (int64_t i = 0; i < clm_vol_count(&out); i++) assert_near((double)out.data[i], 5.0, 0);
    }
    moving.spacing[1] = 0;
    assert_fails(CLM_E_ARG, clm_warp(&w, &moving, &id, NULL, CLM_INTERP_LINEAR, 0, &out, NULL, &err), err);
    clm_test_work_drop(&w);
}

static void labels_keep_every_bit(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err;
    clm_vol moving = noise(&w, 13, 21, 75, 3), out = noise(&w, 17, 19, 131, 4);
    clm_field f = bumpy(&w, 5, 4, 17, 1.2);
    int64_t n = clm_vol_count(&moving), m = clm_vol_count(&out), inside = 0, again = 0;
    uint64_t *label = clm_take(w.keep, uint64_t, n, &err), *got = clm_take(w.keep, uint64_t, m, &err);
    assert_true(label && got);
    for (int64_t i = 0; i < n; i++) {
        label[i] = 0xfedcba9800000000u + (uint64_t)i;
        moving.data[i] = (float)i; /* exact below 2^24 */
    }
    const uint64_t none = 0xffffffffffffffffu;
    assert_ok(clm_warp(&w, &moving, &SKEW, &f, CLM_INTERP_NEAREST, -1.0f, &out, &inside, &err), err);
    assert_ok(clm_warp_items(&w, &moving, label, 8, &SKEW, &f, &none, &out, got, &again, &err), err);
    assert_int_equal(inside, again);
    for (int64_t i = 0; i < m; i++) {
        uint64_t want = out.data[i] < 0 ? none : 0xfedcba9800000000u + (uint64_t)out.data[i];
        assert_true(got[i] == want);
    }
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warp_equals_slow_reference),
        cmocka_unit_test(identity_is_exact_to_the_border),
        cmocka_unit_test(part_of_the_grid_equals_the_whole),
        cmocka_unit_test(box_is_tight),
        cmocka_unit_test(not_finite_is_outside),
        cmocka_unit_test(labels_keep_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
