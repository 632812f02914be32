#include "collimate/plan/grid.h"
#include "support/near.h"

static const int64_t extents[][3] = {{149, 241, 456}, {1, 1, 1}, {64, 64, 64}, {65, 63, 1000}, {7, 300, 129}};
static const int64_t blocks[] = {8, 64, 128, 1000};

static void cores_tile_the_volume(void **state) {
    (void)state;
    for (size_t e = 0; e < sizeof extents / sizeof extents[0]; e++) {
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
            clm_grid g = clm_grid_even(extents[e], blocks[b], 12, 4);
            int64_t sum = 0;
            for (int64_t i = 0; i < g.n; i++) {
                clm_box core = clm_grid_core(&g, i), padded = clm_grid_padded(&g, i);
                int64_t at[3];
                clm_grid_at(&g, i, at);
                assert_int_equal(clm_grid_index(&g, at), i);
                assert_true(clm_box_count(core) > 0);
                assert_true(clm_box_covers(padded, core));
                assert_true(clm_box_covers(clm_box_of(extents[e]), padded));
                for (int d = 0; d < 3; d++) assert_int_equal(core.lo[d] % 4, 0);
                sum += clm_box_count(core);
            }
            assert_int_equal(sum, clm_box_count(clm_box_of(extents[e])));
        }
    }
}

static void no_thin_last_block(void **state) {
    (void)state;
    for (int64_t n = 64; n < 700; n++) {
        clm_grid g = clm_grid_even((const int64_t[3]){n, 64, 64}, 64, 0, 1);
        clm_box last = clm_grid_core(&g, g.n - 1);
        assert_true(last.hi[0] - last.lo[0] >= 32);
        assert_true(g.block[0] <= 96);
    }
}

/* against the definition: every block, grown, meets or does not */
static void touching_is_exact(void **state) {
    (void)state;
    const int64_t reach[3] = {6, 0, 13};
    clm_grid g = clm_grid_even((const int64_t[3]){100, 90, 130}, 32, 16, 1);
    for (int64_t t = 0; t < 400; t++) {
        clm_box box;
        for (int d = 0; d < 3; d++) {
            box.lo[d] = (t * 37 + d * 11) % g.extent[d];
            box.hi[d] = box.lo[d] + 1 + (t * 13 + d) % 40;
        }
        clm_span s = clm_grid_touching(&g, box, reach);
        for (int64_t i = 0; i < g.n; i++) {
            int64_t at[3];
            clm_grid_at(&g, i, at);
            clm_box grown = clm_grid_core(&g, i);
            for (int d = 0; d < 3;
                 d++) /* the last core is clipped; its reach beyond the volume does not matter */
                grown.hi[d] = grown.lo[d] + g.block[d];
            bool meets = !clm_box_is_empty(clm_box_meet(clm_box_grow(grown, reach), box));
            bool listed = true;
            for (int d = 0; d < 3; d++) listed = listed && at[d] >= s.lo[d] && at[d] < s.hi[d];
            assert_int_equal(meets, listed);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cores_tile_the_volume),
                                       cmocka_unit_test(no_thin_last_block),
                                       cmocka_unit_test(touching_is_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
