/* What is done where a field would break the floor under its Jacobian, on fields whose bound is known by hand. */
#include "collimate/align/deform.h"
#include "support/near.h"
#include "support/temp.h"

#include "../../../src/align/deform_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FLOOR 0.3
#define H 1.6 /* um from node to node along x */

static const double spacing[3] = {2.0, 1.2, H}, origin[3] = {0, 0, 0};
static clm_work work;

static clm_field flat(int64_t nz, int64_t ny, int64_t nx) {
    clm_field u;
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_field_new(work.keep, (int64_t[3]){nz, ny, nx}, spacing, origin, &u, &err), err);
    for (int c = 0; c < 3; c++) memset(u.u[c], 0, (size_t)clm_field_count(&u) * sizeof(float));
    return u;
}

static int64_t index_of(const clm_field *u, int64_t z, int64_t y, int64_t x) {
    return (z * u->shape[1] + y) * u->shape[2] + x;
}

/* One node is moved along x: the four cells it is moved into shrink to 1 - move / H there, and nothing is smaller. */
static void what_breaks_the_floor_is_halved(void **state) {
    (void)state;
    static const double want[][2] = {{0.65, 0.65}, {1.2, 0.6}, {2.0, 0.5}, {3.0, 0.375}, {90.0, 0}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        clm_field u = flat(5, 5, 6), du = flat(5, 5, 6);
        const int64_t at = index_of(&u, 2, 2, 3);
        clm_err err = CLM_ERR_NONE;
        int64_t held = 0;
        du.u[2][at] = (float)(want[k][0] * H);
        assert_ok(floor_add(&work, &u, du.u, FLOOR, &held, &err), err);
        assert_near(u.u[2][at], want[k][1] * H, 1e-6);
        assert_int_equal(held, want[k][0] == want[k][1] ? 0 : 18); /* nodes of four cells */
        for (int64_t i = 0; i < clm_field_count(&u); i++)
            for (int c = 0; c < 3; c++)
                if (i != at || c != 2) assert_near(u.u[c][i], 0, 0);
        clm_test_work_drop(&work);
        work = clm_test_work(16);
    }
}

/* a few bad cells are mended by one sweep over their nodes */
static void a_bad_start_is_averaged(void **state) {
    (void)state;
    clm_field u = flat(4, 4, 5);
    clm_err err = CLM_ERR_NONE;
    u.u[2][index_of(&u, 1, 1, 1)] = (float)(0.8 * H); /* the cells on its right shrink to .2 */
    assert_ok(floor_repair(&work, &u, FLOOR, &err), err);
    for (int64_t z = 0, i = 0; z < 4; z++)
        for (int64_t y = 0; y < 4; y++)
            for (int64_t x = 0; x < 5; x++, i++) {
                int64_t off = llabs(z - 1) + llabs(y - 1) + llabs(x - 1);
                int64_t around = 6 - (z == 0 || z == 3) - (y == 0 || y == 3) - (x == 0 || x == 4);
                bool marked = z < 3 && y < 3 && (x == 1 || x == 2);
                double v = !marked || off > 1 ? 0.0 : off == 0 ? 0.4 : 0.4 / (double)around;
                assert_near(u.u[2][i], v * H, 1e-6);
            }
}

/* turned inside out all over: as much flatter as needed, about its mean */
static void a_start_that_is_bad_as_a_whole_is_flattened(void **state) {
    (void)state;
    clm_field u = flat(3, 3, 64);
    clm_err err = CLM_ERR_NONE;
    uint8_t hit[3 * 3 * 64];
    double mean = 0, least = INFINITY, most = -INFINITY;
    int64_t n = clm_field_count(&u);
    for (int64_t i = 0; i < n; i++) u.u[2][i] = (float)(H * (5.0 - 2.0 * ((double)(i % 64) - 31.5)));
    assert_int_equal(floor_mark(&u, FLOOR, hit), 2 * 2 * 63);
    assert_ok(floor_repair(&work, &u, FLOOR, &err), err);
    assert_int_equal(floor_mark(&u, FLOOR, hit), 0);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)u.u[2][i];
        mean += v / (double)n, least = fmin(least, v), most = fmax(most, v);
    }
    assert_near(mean, 5 * H, 1e-3);
    assert_true(most - least > 0.5 * (1 - FLOOR) * 63 * 0.8 * H && most - least < 64 * H);
}

static double tent(const clm_field *u, int64_t z, int64_t y, int64_t x) {
    const int64_t at[3] = {z, y, x};
    double sum = 0;
    for (int k = 0; k < 27; k++) {
        int64_t p[3];
        double share = 1;
        for (int d = 0, rest = k; d < 3; d++, rest /= 3) {
            int64_t to = at[d] + rest % 3 - 1;
            share *= rest % 3 == 1 ? 0.5 : 0.25;
            p[d] = to < 0 ? 0 : to >= u->shape[d] ? u->shape[d] - 1 : to;
        }
        sum += share * (double)u->u[2][index_of(u, p[0], p[1], p[2])];
    }
    return sum;
}

/* marked nodes become the mean under a tent of three nodes, their neighbours half of it; at the border, too */
static void a_dip_is_smoothed_away(void **state) {
    (void)state;
    clm_field u = flat(6, 6, 7), was = flat(6, 6, 7);
    clm_err err = CLM_ERR_NONE;
    uint8_t hit[6 * 6 * 7];
    int32_t sweeps = 0;
    for (int64_t i = 0; i < clm_field_count(&u); i++) u.u[2][i] = (float)(0.03 * (double)(i % 7));
    u.u[2][index_of(&u, 4, 4, 5)] += (float)(0.75 * H);
    memcpy(was.u[2], u.u[2], sizeof(float) * 6 * 6 * 7);
    assert_true(floor_mark(&u, FLOOR, hit) > 0);
    assert_ok(clm_floor_mend(&work, &u, FLOOR, &sweeps, &err), err);
    assert_int_equal(sweeps, 1);
    for (int64_t z = 0, i = 0; z < 6; z++)
        for (int64_t y = 0; y < 6; y++)
            for (int64_t x = 0; x < 7; x++, i++) {
                double m = 0; /* by steps to the nearest marked node */
                for (int64_t j = 0; j < 6 * 6 * 7; j++) {
                    int64_t steps = llabs(z - j / 42) + llabs(y - j / 7 % 6) + llabs(x - j % 7);
                    if (hit[j]) m = fmax(m, 1.0 - 0.5 * (double)steps);
                }
                double v = (double)was.u[2][i];
                assert_near(u.u[2][i], v + m * (tent(&was, z, y, x) - v), 1e-6);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_breaks_the_floor_is_halved),
        cmocka_unit_test(a_bad_start_is_averaged),
        cmocka_unit_test(a_start_that_is_bad_as_a_whole_is_flattened),
        cmocka_unit_test(a_dip_is_smoothed_away),
    };
    work = clm_test_work(16);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clm_test_work_drop(&work);
    return failed;
}
