#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/rng.h"
#include "collimate/store/vectors.h"

#include <math.h>
#include <string.h>

enum { Z = 5, Y = 4, X = 7, NODES = Z * Y * X };

static clm_work work;
static const double spacing[3] = {2, 3, 0.5}, origin[3] = {1e5, -20, 7};
static float u[3][NODES]; /* z y x, micrometres */

static int make(void **state) {
    (void)state;
    work = clm_test_work(1);
    for (uint64_t i = 0; i < 3 * NODES; i++) u[i / NODES][i % NODES] = (float)(5.0 * clm_rng_normal(1, 0, i));
    return 0;
}
static int drop(void **state) {
    (void)state;
    clm_test_work_drop(&work);
    return 0;
}

static double node_at(int d, int64_t node) {
    const int64_t at[3] = {node / (Y * X), node / X % Y, node % X};
    return origin[d] + spacing[d] * (double)at[d];
}

static clm_array *array_of(clm_dtype t, int ndim, const int64_t *shape, void *data) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a;
    clm_array_spec spec = {.ndim = ndim, .dtype = t};
    for (int d = 0; d < ndim; d++) {
        spec.shape[d] = shape[d];
        spec.chunk[d] = 3;
    }
    assert_ok(clm_array_open_memory(&spec, data, &a, &err), err);
    return a;
}

/* any box of it equals that part of u */
static void reads_as_u(clm_vectors *v, double tolerance) {
    clm_err err = CLM_ERR_NONE;
    const int64_t all[3] = {Z, Y, X};
    memcpy(v->shape, all, sizeof all);
    memcpy(v->spacing_um, spacing, sizeof spacing);
    memcpy(v->origin_um, origin, sizeof origin);
    assert_ok(clm_vectors_check(v, &err), err);
    const clm_box boxes[] = {{{0, 0, 0}, {Z, Y, X}}, {{1, 2, 2}, {4, 4, 5}}, {{4, 3, 6}, {5, 4, 7}}};
    for (size_t b = 0; b < sizeof boxes / sizeof boxes[0]; b++) {
        clm_field f;
        int64_t shape[3], n = 0;
        for (int d = 0; d < 3; d++) shape[d] = boxes[b].hi[d] - boxes[b].lo[d];
        assert_ok(clm_field_new(work.keep, shape, spacing, origin, &f, &err), err);
        assert_ok(clm_vectors_read(v, boxes[b], &f, &err), err);
        for (int d = 0; d < 3; d++)
            assert_near(f.origin[d], origin[d] + spacing[d] * (double)boxes[b].lo[d], 1e-9);
        for (int64_t z = boxes[b].lo[0]; z < boxes[b].hi[0]; z++)
            for (int64_t y = boxes[b].lo[1]; y < boxes[b].hi[1]; y++)
                for (int64_t x = boxes[b].lo[2]; x < boxes[b].hi[2]; x++, n++)
                    for (int c = 0; c < 3; c++)
                        assert_near((double)f.u[c][n], (double)u[c][(z * Y + y) * X + x], tolerance);
    }
    clm_vectors_close(v);
}

static void one_array_with_the_components_first_or_last(void **state) {
    (void)state;
    static float last[NODES * 3], swapped[3][NODES];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < NODES; i++) last[3 * i + c] = swapped[2 - c][i] = u[c][i];
    clm_vectors first = {.array = {array_of(CLM_F32, 4, (int64_t[]){3, Z, Y, X}, u)}};
    reads_as_u(&first, 0.0);
    clm_vectors tail = {.array = {array_of(CLM_F32, 4, (int64_t[]){Z, Y, X, 3}, last)}, .component_axis = 3};
    reads_as_u(&tail, 0.0);
    clm_vectors x_first = {.array = {array_of(CLM_F32, 4, (int64_t[]){3, Z, Y, X}, swapped)},
                           .x_first = true};
    reads_as_u(&x_first, 0.0);
}

static void quantised_integers(void **state) {
    (void)state;
    static int16_t q[3][NODES];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < NODES; i++) q[c][i] = (int16_t)lrint((double)u[c][i] / 0.002);
    clm_vectors v = {.array = {array_of(CLM_I16, 4, (int64_t[]){3, Z, Y, X}, q)}, .um_per_unit = 0.002};
    reads_as_u(&v, 0.0011);
}

/* positions of 10 cm in double lose nothing; in float the loss is the format's */
static void positions_of_three_arrays(void **state) {
    (void)state;
    static double wide[3][NODES];
    static float narrow[3][NODES];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < NODES; i++) narrow[c][i] = (float)(wide[c][i] = node_at(c, i) + (double)u[c][i]);
    const int64_t shape[3] = {Z, Y, X};
    clm_vectors exact = {.component_axis = -1, .positions = true};
    clm_vectors coarse = {.component_axis = -1, .positions = true, .x_first = true};
    for (int c = 0; c < 3; c++) {
        exact.array[c] = array_of(CLM_F64, 3, shape, wide[c]);
        coarse.array[2 - c] = array_of(CLM_F32, 3, shape, narrow[c]);
    }
    reads_as_u(&exact, 1e-6);
    reads_as_u(&coarse, 0.005);
}

static void what_is_no_field_is_told(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_vectors v = {.array = {array_of(CLM_F32, 4, (int64_t[]){3, Z, Y, X}, u)},
                     .component_axis = 3,
                     .shape = {Z, Y, X},
                     .spacing_um = {1, 1, 1}};
    assert_fails(CLM_E_FORMAT, clm_vectors_check(&v, &err), err);
    v.component_axis = 0;
    assert_ok(clm_vectors_check(&v, &err), err);
    clm_field f;
    assert_ok(clm_field_new(work.keep, v.shape, spacing, origin, &f, &err), err);
    float was = u[1][Y * X + 2 * X + 3];
    u[1][Y * X + 2 * X + 3] = NAN;
    assert_fails(CLM_E_FORMAT, clm_vectors_read(&v, clm_box_of(v.shape), &f, &err), err);
    assert_non_null(strstr(err.text, "node 1,2,3"));
    u[1][Y * X + 2 * X + 3] = was;
    clm_vectors_close(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_array_with_the_components_first_or_last), cmocka_unit_test(quantised_integers),
        cmocka_unit_test(positions_of_three_arrays), cmocka_unit_test(what_is_no_field_is_told)};
    return cmocka_run_group_tests(tests, make, drop);
}
