#include "collimate/image/lncc.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double unit[3] = {1, 1, 1}, zero[3] = {0, 0, 0};
static const int64_t shape[3] = {17, 43, 21};

/** Counts of 16 bits that are related, a flat corner, and holes. */
static void pair(clm_arena *a, clm_vol *f, clm_vol *m) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(a, shape, unit, zero, f, &err), err);
    assert_ok(clm_vol_new(a, shape, unit, zero, m, &err), err);
    for (int64_t i = 0; i < clm_vol_count(f); i++) {
        int64_t x = i % shape[2], y = i / shape[2] % shape[1], z = i / shape[2] / shape[1];
        double s = clm_rng_uniform(1, 1, (uint64_t)i), t = clm_rng_uniform(1, 2, (uint64_t)i);
        f->data[i] = (float)(int)(60000 * s);
        m->data[i] = (float)(1000 + 20000 * (s + t));
        if (x < 8 && y < 12 && z < 9) f->data[i] = 100;
        if (x == 15 && y == 30 && z == 12) f->data[i] = NAN;
        if (x == 3 && y == 22 && z == 2) m->data[i] = NAN;
    }
}

static double flat_of(const clm_vol *v) {
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < clm_vol_count(v); i++)
        if (isfinite(v->data[i])) lo = fmin(lo, (double)v->data[i]), hi = fmax(hi, (double)v->data[i]);
    return 1e-12 * (hi - lo) * (hi - lo);
}

static double slow(const clm_vol *f, const clm_vol *m, int64_t r, const double flat[2], int64_t z, int64_t y,
                   int64_t x) {
    double n = 0, sf = 0, sm = 0, ff = 0, mm = 0, fm = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = z - r; k <= z + r; k++)
            for (int64_t j = y - r; j <= y + r; j++)
                for (int64_t i = x - r; i <= x + r; i++) {
                    if (!clm_box_has(clm_box_of(f->shape), k, j, i)) return NAN;
                    double a = (double)clm_vol_row(f, k, j)[i], b = (double)clm_vol_row(m, k, j)[i];
                    if (!isfinite(a) || !isfinite(b)) return NAN;
                    if (!pass) {
                        n += 1, sf += a, sm += b;
                        continue;
                    }
                    a -= sf / n, b -= sm / n;
                    ff += a * a, mm += b * b, fm += a * b;
                }
    return ff / n > flat[0] && mm / n > flat[1] ? fm / sqrt(ff * mm) : (double)NAN;
}

static void near_the_definition(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m, map;
    pair(w.keep, &f, &m);
    assert_ok(clm_vol_copy(w.keep, &f, &map, &err), err);
    const double flat[2] = {flat_of(&f), flat_of(&m)};
    static const int64_t radii[] = {0, 1, 2, 3, 4, 8};
    for (size_t k = 0; k < sizeof radii / sizeof *radii; k++) {
        clm_lncc s = {0};
        double sum = 0;
        int64_t n = 0;
        assert_ok(clm_lncc_add(&w, &f, &m, clm_box_of(shape), radii[k], &s, &map, &err), err);
        for (int64_t i = 0; i < clm_vol_count(&f); i++) {
            int64_t x = i % shape[2], y = i / shape[2] % shape[1], z = i / shape[2] / shape[1];
            double want = slow(&f, &m, radii[k], flat, z, y, x);
            assert_int_equal(isnan(map.data[i]), isnan(want));
            if (isnan(want)) continue;
            assert_near((double)map.data[i], want, 1e-6);
            sum += want, n++;
        }
        assert_int_equal(s.n, n);
        if (n) assert_near(clm_lncc_value(&s), sum / (double)n, 1e-9);
    }
    clm_test_work_drop(&w);
}

/** Blocks with their halo say what the whole says, window by window. */
static void blocks_with_halo_add_up(void **state) {
    (void)state;
    const int64_t radius = 2, h = clm_lncc_halo(radius);
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m, map, part;
    pair(w.keep, &f, &m);
    assert_ok(clm_vol_copy(w.keep, &f, &map, &err), err);
    clm_lncc whole = {0}, sum = {0};
    assert_ok(clm_lncc_add(&w, &f, &m, clm_box_of(shape), radius, &whole, &map, &err), err);
    for (int b = 0; b < 8; b++) {
        clm_box core = clm_box_of(shape);
        for (int d = 0; d < 3; d++) *(b >> d & 1 ? &core.lo[d] : &core.hi[d]) = 6 + d;
        clm_box padded = clm_box_meet(clm_box_grow(core, (int64_t[3]){h, h, h}), clm_box_of(shape));
        clm_vol cf = clm_vol_crop(&f, padded), cm = clm_vol_crop(&m, padded), want = clm_vol_crop(&map, core);
        clm_box own = core;
        for (int d = 0; d < 3; d++) own.lo[d] -= padded.lo[d], own.hi[d] -= padded.lo[d];
        assert_ok(clm_vol_copy(w.keep, &want, &part, &err), err);
        assert_ok(clm_lncc_add(&w, &cf, &cm, own, radius, &sum, &part, &err), err);
        for (int64_t z = 0; z < part.shape[0]; z++)
            for (int64_t y = 0; y < part.shape[1]; y++)
                for (int64_t x = 0; x < part.shape[2]; x++) {
                    float a = clm_vol_row(&part, z, y)[x], c = clm_vol_row(&want, z, y)[x];
                    assert_int_equal(isnan(a), isnan(c));
                    if (!isnan(a)) assert_near((double)a, (double)c, 1e-7);
                }
    }
    assert_int_equal(sum.n, whole.n);
    assert_near(clm_lncc_value(&sum), clm_lncc_value(&whole), 1e-9);
    clm_test_work_drop(&w);
}

/** Counts, shares of one, anything: no unit loses windows, nor lets flat ones in. */
static void units_do_not_matter(void **state) {
    (void)state;
    static const double scale[3][2] = {{1 / 65535.0, 1e6}, {1e6, 1 / 65535.0}, {1, 1}},
                        offset[3] = {0, 0, -3e5};
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    clm_lncc counts = {0};
    pair(w.keep, &f, &m);
    assert_ok(clm_lncc_add(&w, &f, &m, clm_box_of(shape), 2, &counts, NULL, &err), err);
    assert_true(counts.n > 1000 && counts.n < clm_vol_count(&f) - 1000);
    for (int k = 0; k < 3; k++) {
        clm_lncc s = {0};
        pair(w.temp, &f, &m);
        for (int64_t i = 0; i < clm_vol_count(&f); i++) {
            f.data[i] = (float)(scale[k][0] * (double)f.data[i] + offset[k]);
            m.data[i] = (float)(scale[k][1] * (double)m.data[i] + offset[k]);
        }
        assert_ok(clm_lncc_add(&w, &f, &m, clm_box_of(shape), 2, &s, NULL, &err), err);
        assert_int_equal(s.n, counts.n);
        assert_near(clm_lncc_value(&s), clm_lncc_value(&counts), 1e-6);
    }
    clm_test_work_drop(&w);
}

static void bounds_are_kept(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol f, m;
    pair(w.keep, &f, &m);
    clm_lncc s = {0};
    clm_box all = clm_box_of(shape), out = all;
    assert_ok(clm_lncc_add(&w, &f, &f, all, 2, &s, NULL, &err), err);
    assert_near(clm_lncc_value(&s), 1, 1e-12); /* itself */
    s = (clm_lncc){0};
    assert_ok(clm_lncc_add(&w, &f, &m, all, 9, &s, NULL, &err), err);
    assert_int_equal(s.n, 0); /* no window fits */
    clm_arena *tight;         /* the memory that is promised suffices; 512 for rounding up */
    assert_ok(clm_arena_open((size_t)clm_lncc_bytes(shape[2], 4) + 512, &tight, &err), err);
    const clm_work small = {.keep = w.keep, .temp = tight};
    assert_ok(clm_lncc_add(&small, &f, &m, all, 4, &s, NULL, &err), err);
    assert_true(clm_lncc_bytes(shape[2], 4) <= (int64_t)clm_arena_peak(tight));
    clm_arena_close(tight);
    out.hi[1]++;
    assert_fails(CLM_E_ARG, clm_lncc_add(&w, &f, &m, out, 2, &s, NULL, &err), err);
    assert_fails(CLM_E_ARG, clm_lncc_add(&w, &f, &m, all, -1, &s, NULL, &err), err);
    m.shape[0]--;
    assert_fails(CLM_E_ARG, clm_lncc_add(&w, &f, &m, clm_box_of(m.shape), 2, &s, NULL, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_definition),
        cmocka_unit_test(blocks_with_halo_add_up),
        cmocka_unit_test(units_do_not_matter),
        cmocka_unit_test(bounds_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
