#include "collimate/image/metric.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double unit[3] = {1, 1, 1}, zero[3] = {0, 0, 0};

/** Two volumes whose values are related, with holes in both. */
static void pair(clm_arena *a, double offset, clm_vol *f, clm_vol *m) {
    static const int64_t shape[3] = {7, 9, 37};
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(a, shape, unit, zero, f, &err), err);
    assert_ok(clm_vol_new(a, shape, unit, zero, m, &err), err);
    for (int64_t i = 0; i < clm_vol_count(f); i++) {
        double s = clm_rng_normal(1, 1, (uint64_t)i), t = clm_rng_normal(1, 2, (uint64_t)i);
        f->data[i] = (float)(offset + s);
        m->data[i] = (float)(offset * 0.5 + 3.0 * s + t);
        if (clm_rng_below(1, 3, (uint64_t)i, 11) == 0) f->data[i] = NAN;
        if (clm_rng_below(1, 4, (uint64_t)i, 13) == 0) m->data[i] = i % 2 ? NAN : INFINITY;
    }
}

/** Two passes in long double over the voxels finite in both. */
static void slow(const clm_vol *f, const clm_vol *m, double *n, double *ncc, double *ms) {
    long double k = 0, sf = 0, sm = 0, ff = 0, mm = 0, fm = 0, d = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < clm_vol_count(f); i++) {
            if (!isfinite(f->data[i]) || !isfinite(m->data[i])) continue;
            long double a = f->data[i], b = m->data[i];
            if (!pass) {
                k += 1, sf += a, sm += b, d += (a - b) * (a - b);
            } else {
                a -= sf / k, b -= sm / k;
                ff += a * a, mm += b * b, fm += a * b;
            }
        }
    *n = (double)k, *ncc = (double)(fm / sqrtl(ff * mm)), *ms = (double)(d / k);
}

static void near_the_definition(void **state) {
    (void)state;
    static const double offsets[] = {0, 100, -3e4};
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    for (int i = 0; i < 3; i++) {
        clm_vol f, m;
        double n, ncc, ms;
        pair(w.keep, offsets[i], &f, &m);
        slow(&f, &m, &n, &ncc, &ms);
        clm_ncc s = {0};
        assert_ok(clm_ncc_add(&s, &f, &m, &err), err);
        assert_near(s.n, n, 0);
        assert_near(clm_ncc_value(&s), ncc, 1e-12);
        assert_near(clm_ncc_mean_square(&s) / ms, 1, 1e-12);
    }
    clm_test_work_drop(&w);
}

/** Any split into blocks gives the whole's value; the same split the same bytes. */
static void blocks_add_up(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, 1000, &f, &m);
    clm_ncc whole = {0}, sum[2];
    memset(sum, 0, sizeof sum);
    static clm_mi all, parts, part;
    assert_ok(clm_ncc_add(&whole, &f, &m, &err), err);
    assert_ok(clm_mi_make((double[2]){998, 495}, (double[2]){1002, 505}, &all, &err), err);
    parts = all;
    assert_ok(clm_mi_add(&all, &f, &m, &err), err);
    for (int again = 0; again < 2; again++)
        for (int b = 0; b < 8; b++) {
            clm_box box = clm_box_of(f.shape);
            for (int d = 0; d < 3; d++) *(b >> d & 1 ? &box.lo[d] : &box.hi[d]) = d + 3;
            clm_vol cf = clm_vol_crop(&f, box), cm = clm_vol_crop(&m, box);
            clm_ncc one = {0};
            assert_ok(clm_ncc_add(&one, &cf, &cm, &err), err);
            clm_ncc_merge(&sum[again], &one);
            if (again) continue;
            assert_ok(clm_mi_make(all.lo, all.hi, &part, &err), err);
            assert_ok(clm_mi_add(&part, &cf, &cm, &err), err);
            assert_ok(clm_mi_merge(&parts, &part, &err), err);
        }
    assert_near(sum[0].n, whole.n, 0);
    assert_near(clm_ncc_value(&sum[0]), clm_ncc_value(&whole), 1e-13);
    assert_memory_equal(&sum[0], &sum[1], sizeof sum[0]);
    assert_true(all.n == parts.n);
    for (int i = 0; i < CLM_MI_BINS; i++)
        for (int j = 0; j < CLM_MI_BINS; j++) assert_near(all.joint[i][j], parts.joint[i][j], 1e-10);
    clm_test_work_drop(&w);
}

static void information_has_its_known_values(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    static const int64_t shape[3] = {16, 64, 64};
    assert_ok(clm_vol_new(w.keep, shape, unit, zero, &f, &err), err);
    assert_ok(clm_vol_new(w.keep, shape, unit, zero, &m, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&f); i++) {
        f.data[i] = (float)(i % 64) + 0.5f;
        m.data[i] = (float)(63 - i % 64) + 0.5f;
    }
    static clm_mi s;
    double lo[2] = {0, 0}, hi[2] = {64, 64};
    assert_ok(clm_mi_make(lo, hi, &s, &err), err);
    assert_ok(clm_mi_add(&s, &f, &m, &err), err);
    assert_near(clm_mi_value(&s), log(64), 1e-12); /* each value tells the other */
    assert_near(clm_mi_normalised(&s), 2, 1e-12);
    for (int64_t i = 0; i < clm_vol_count(&f); i++) m.data[i] = (float)(i / 64 % 64) + 0.5f;
    assert_ok(clm_mi_make(lo, hi, &s, &err), err);
    assert_ok(clm_mi_add(&s, &f, &m, &err), err);
    assert_near(clm_mi_value(&s), 0, 1e-12); /* every pair equally often */
    assert_near(clm_mi_normalised(&s), 1, 1e-12);
    m.data[0] = 1e9f, m.data[1] = -1e9f, m.data[2] = NAN;
    assert_ok(clm_mi_make(lo, hi, &s, &err), err);
    assert_ok(clm_mi_add(&s, &f, &m, &err), err);
    assert_int_equal(s.n, clm_vol_count(&f) - 1);
    assert_near(s.joint[0][63], 1024 / 64 * 1 + 1, 0); /* beyond the range: the outermost bin */
    f.shape[0] = 1, f.shape[1] = 7, f.shape[2] = 300, f.stride[1] = 320; /* rows cut out of longer ones */
    assert_ok(clm_mi_make(lo, hi, &s, &err), err);
    assert_ok(clm_mi_add(&s, &f, &f, &err), err);
    assert_int_equal(s.n, 7 * 300);
    clm_test_work_drop(&w);
}

/* values on what were a bin's hard edges; half of each moved by a rounding gives the same figure but for a rounding */
static void information_has_no_jumps(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol v[2];
    static clm_mi s[2];
    static const int64_t shape[3] = {16, 64, 64};
    for (int k = 0; k < 2; k++) assert_ok(clm_vol_new(w.keep, shape, unit, zero, &v[k], &err), err);
    for (int moved = 0; moved < 2; moved++) {
        for (int64_t i = 0; i < clm_vol_count(&v[0]); i++)
            for (int k = 0; k < 2; k++) {
                float at = (float)((i * (7 + 4 * k) + i * i / 1000) % 64);
                v[k].data[i] = moved && i % 2 ? nextafterf(at, -1.0f) : at;
            }
        assert_ok(clm_mi_make((double[2]){0, 0}, (double[2]){64, 64}, &s[moved], &err), err);
        assert_ok(clm_mi_add(&s[moved], &v[0], &v[1], &err), err);
    }
    assert_true(clm_mi_value(&s[0]) > 0.1);
    assert_near(clm_mi_value(&s[0]), clm_mi_value(&s[1]), 1e-6);
    clm_test_work_drop(&w);
}

static void nothing_to_say_is_said(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m, c;
    pair(w.keep, 5, &f, &m);
    clm_ncc s = {0};
    assert_true(isnan(clm_ncc_value(&s)));
    assert_true(isnan(clm_ncc_mean_square(&s)));
    assert_ok(clm_vol_copy(w.keep, &f, &c, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&c); i++) c.data[i] = 4.25f;
    assert_ok(clm_ncc_add(&s, &c, &m, &err), err);
    assert_true(isnan(clm_ncc_value(&s))); /* a constant correlates with nothing */
    s = (clm_ncc){0};
    for (int64_t i = 0; i < clm_vol_count(&c); i++) c.data[i] = NAN;
    assert_ok(clm_ncc_add(&s, &c, &m, &err), err);
    assert_near(s.n, 0, 0);
    c.shape[2]--;
    assert_fails(CLM_E_ARG, clm_ncc_add(&s, &c, &m, &err), err);
    static clm_mi h, g;
    assert_fails(CLM_E_ARG, clm_mi_make((double[2]){0, 1}, (double[2]){1, 1}, &h, &err), err);
    assert_ok(clm_mi_make((double[2]){0, 0}, (double[2]){1, 1}, &h, &err), err);
    assert_ok(clm_mi_make((double[2]){0, 0}, (double[2]){1, 2}, &g, &err), err);
    assert_true(isnan(clm_mi_value(&h)));
    assert_fails(CLM_E_ARG, clm_mi_add(&h, &c, &m, &err), err);
    assert_fails(CLM_E_ARG, clm_mi_merge(&h, &g, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_definition),
        cmocka_unit_test(blocks_add_up),
        cmocka_unit_test(information_has_its_known_values),
        cmocka_unit_test(information_has_no_jumps),
        cmocka_unit_test(nothing_to_say_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
