#include "collimate/transform/transform.h"
#include "support/folder.h"
#include "support/near.h"

static void transforms_come_back(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_work w = clm_test_work(4);
    clm_transform_spec spec = {.affine = {{{1, 0.1, 0, 3}, {0, 0.9, 0.2, -4}, {0.01, 0, 1.1, 5.5}}},
                               .shape = {5, 6, 7},
                               .spacing_um = {4, 5, 6},
                               .origin_um = {-1, 0.25, 2},
                               .chunk = {4, 4, 4},
                               .fixed = {{20, 30, 40}, {1, 1, 1}, {0, 0, 0}},
                               .moving = {{21, 31, 41}, {2, 1, 1}, {0, 1, 0}}};
    clm_transform t;
    assert_ok(clm_path_join(path, folder, "t.ome.zarr", &err), err);
    assert_ok(clm_ome_write_transform(path, &spec, &err), err);
    assert_ok(clm_ome_write_transform(path, &spec, &err), err); /* a restart */
    assert_ok(clm_transform_open(path, true, &t, &err), err);
    assert_memory_equal(&t.affine, &spec.affine, sizeof spec.affine);
    assert_memory_equal(t.shape, spec.shape, sizeof spec.shape);
    assert_memory_equal(t.spacing_um, spec.spacing_um, sizeof spec.spacing_um);
    assert_memory_equal(t.origin_um, spec.origin_um, sizeof spec.origin_um);
    assert_non_null(t.coverage);
    clm_field whole, chunk, got;
    assert_ok(clm_field_new(w.keep, spec.shape, spec.spacing_um, spec.origin_um, &whole, &err), err);
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < clm_field_count(&whole); i++) whole.u[c][i] = (float)(1000 * c + i);
    for (int64_t k = 0; k < 8; k++) {
        int64_t at[3] = {k / 4, k / 2 % 2, k % 2}, shape[3];
        for (int d = 0; d < 3; d++) shape[d] = at[d] ? spec.shape[d] - 4 : 4;
        assert_ok(clm_field_new(w.keep, shape, spec.spacing_um, spec.origin_um, &chunk, &err), err);
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < clm_field_count(&chunk); i++) {
                int64_t z = i / (shape[1] * shape[2]), y = i / shape[2] % shape[1], x = i % shape[2];
                chunk.u[c][i] = whole.u[c][((z + 4 * at[0]) * 6 + y + 4 * at[1]) * 7 + x + 4 * at[2]];
            }
        assert_ok(clm_transform_put(&t, at, &chunk, &err), err);
    }
    clm_transform_close(&t);
    assert_ok(clm_transform_open(path, false, &t, &err), err);
    clm_box box = {{1, 2, 3}, {5, 6, 6}};
    assert_ok(clm_field_new(w.keep, (const int64_t[]){4, 4, 3}, spec.spacing_um, spec.origin_um, &got, &err),
              err);
    assert_ok(clm_transform_read(&t, box, &got, &err), err);
    assert_near(got.origin[0], -1 + 4, 1e-12);
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < 48; i++)
            assert_near(got.u[c][i], whole.u[c][((i / 12 + 1) * 6 + i / 3 % 4 + 2) * 7 + i % 3 + 3], 0);
    clm_transform_close(&t);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(transforms_come_back)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
