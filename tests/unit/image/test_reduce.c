#include "collimate/image/reduce.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static clm_vol noise(clm_arena *a, const int64_t shape[3]) {
    clm_vol v;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_vol_new(a, shape, (double[3]){2, 0.5, 1.5}, (double[3]){10, -3, 7}, &v, &err), err);
    for (int64_t i = 0; i < clm_vol_count(&v); i++)
        v.data[i] = (float)clm_rng_below(5, 2, (uint64_t)i, 60000);
    return v;
}

static void cells_are_means_at_their_centres(void **state) {
    (void)state;
    static const int64_t cases[][2][3] = {
        {{9, 10, 11}, {1, 1, 1}}, {{9, 10, 11}, {2, 2, 2}}, {{1, 40, 39}, {1, 4, 3}},
        {{8, 8, 8}, {8, 8, 8}},   {{7, 13, 64}, {3, 5, 7}}, {{12, 5, 6}, {2, 1, 1}},
    };
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t *f = cases[c][1];
        clm_vol v = noise(w.keep, cases[c][0]), out;
        assert_ok(clm_reduce(&w, &v, f, &out, &err), err);
        for (int d = 0; d < 3; d++) {
            assert_int_equal(out.shape[d], v.shape[d] / f[d]);
            assert_near(out.spacing[d], v.spacing[d] * (double)f[d], 0);
            double first = v.origin[d], last = v.origin[d] + v.spacing[d] * (double)(f[d] - 1);
            assert_near(out.origin[d], 0.5 * (first + last), 1e-12);
        }
        for (int64_t z = 0; z < out.shape[0]; z++)
            for (int64_t y = 0; y < out.shape[1]; y++)
                for (int64_t x = 0; x < out.shape[2]; x++) {
                    double sum = 0;
                    for (int64_t k = 0; k < f[0]; k++)
                        for (int64_t j = 0; j < f[1]; j++)
                            for (int64_t i = 0; i < f[2]; i++)
                                sum += (double)clm_vol_row(&v, z * f[0] + k, y * f[1] + j)[x * f[2] + i];
                    assert_near((double)clm_vol_row(&out, z, y)[x], sum / (double)(f[0] * f[1] * f[2]), 0.02);
                }
        clm_arena_reset(w.keep, 0);
    }
    clm_test_work_drop(&w);
}

/** Blocks that begin at multiples of the factor give the whole's bytes, ragged end or not. */
static void blocks_equal_the_whole(void **state) {
    (void)state;
    static const int64_t f[3] = {2, 3, 4};
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = noise(w.keep, (int64_t[3]){23, 32, 45}), whole, part;
    assert_ok(clm_reduce(&w, &v, f, &whole, &err), err);
    for (int half = 0; half < 2; half++) {
        clm_box cut = clm_box_of(v.shape);
        for (int d = 0; d < 3; d++) *(half ? &cut.lo[d] : &cut.hi[d]) = 3 * f[d];
        clm_vol block = clm_vol_crop(&v, cut);
        assert_ok(clm_reduce(&w, &block, f, &part, &err), err);
        for (int d = 0; d < 3; d++) {
            int64_t at = half ? 3 : 0;
            assert_int_equal(part.shape[d], half ? whole.shape[d] - 3 : 3);
            assert_near(part.origin[d], whole.origin[d] + (double)at * whole.spacing[d], 1e-12);
        }
        for (int64_t z = 0; z < part.shape[0]; z++)
            for (int64_t y = 0; y < part.shape[1]; y++) {
                int64_t at = half ? 3 : 0;
                assert_memory_equal(clm_vol_row(&part, z, y), clm_vol_row(&whole, z + at, y + at) + at,
                                    (size_t)part.shape[2] * sizeof(float));
            }
    }
    clm_test_work_drop(&w);
}

static void nothing_is_made_up(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    clm_err err = CLM_ERR_NONE;
    clm_vol v = noise(w.keep, (int64_t[3]){4, 4, 4}), out;
    assert_fails(CLM_E_ARG, clm_reduce(&w, &v, (int64_t[3]){0, 1, 1}, &out, &err), err);
    assert_fails(CLM_E_ARG, clm_reduce(&w, &v, (int64_t[3]){1, 5, 1}, &out, &err), err);
    clm_vol_row(&v, 1, 1)[1] = NAN;
    assert_ok(clm_reduce(&w, &v, (int64_t[3]){2, 2, 2}, &out, &err), err);
    assert_true(isnan(out.data[0]));
    for (int i = 1; i < 8; i++) assert_true(isfinite(out.data[i]));
    clm_test_work_drop(&w);
}

static void levels_make_cubes(void **state) {
    (void)state;
    clm_vol v = {.shape = {100, 1000, 1000}, .spacing = {4, 1, 1}};
    static const int64_t want[][3] = {{1, 1, 1}, {1, 2, 2}, {1, 4, 4}, {2, 8, 8}, {4, 16, 16}};
    int64_t f[3];
    for (int l = 0; l < 5; l++) {
        assert_true(clm_reduce_factor(&v, l, 16, f));
        for (int d = 0; d < 3; d++) assert_int_equal(f[d], want[l][d]);
    }
    assert_false(clm_reduce_factor(&v, 40, 16, f));
    for (int d = 0; d < 3; d++) assert_true(v.shape[d] / f[d] >= 16);
}

/* counted one by one for every item size, ties to the smaller */
static void items_are_the_most_frequent_of_their_cells(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    void *out;
    static const int64_t shape[3] = {5, 6, 9}, factor[3] = {2, 3, 2};
    static const size_t sizes[] = {1, 2, 4, 8};
    for (int s = 0; s < 4; s++) {
        unsigned char items[5 * 6 * 9 * 8];
        for (uint64_t i = 0; i < 270; i++) { /* ids that differ in their highest byte only */
            memset(items + i * sizes[s], 0, sizes[s]);
            items[(i + 1) * sizes[s] - 1] = (unsigned char)(200 + clm_rng_below(7, 0, i, 4));
        }
        assert_ok(clm_reduce_items(&w, items, sizes[s], shape, factor, &out, &err), err);
        for (int64_t n = 0; n < 2 * 2 * 4; n++) {
            int count[4] = {0}, best = 0;
            for (int64_t k = 0; k < 12; k++) {
                int64_t z = n / 8 * 2 + k / 6, y = n / 4 % 2 * 3 + k / 2 % 3, x = n % 4 * 2 + k % 2;
                count[items[(size_t)((z * 6 + y) * 9 + x + 1) * sizes[s] - 1] - 200]++;
            }
            for (int v = 1; v < 4; v++)
                if (count[v] > count[best]) best = v;
            assert_int_equal(((unsigned char *)out)[(size_t)(n + 1) * sizes[s] - 1], 200 + best);
        }
    }
    assert_fails(CLM_E_ARG, clm_reduce_items(&w, "", 3, shape, factor, &out, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_means_at_their_centres),
        cmocka_unit_test(blocks_equal_the_whole),
        cmocka_unit_test(nothing_is_made_up),
        cmocka_unit_test(levels_make_cubes),
        cmocka_unit_test(items_are_the_most_frequent_of_their_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
