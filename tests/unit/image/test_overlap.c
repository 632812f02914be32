#include "collimate/image/overlap.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

enum { NZ = 14, NY = 15, NX = 17, N = NZ * NY * NX };
static const int64_t shape[3] = {NZ, NY, NX};
static const double spacing[3] = {1.5, 1.0, 0.8};

/* balls of a few labels, one of them huge in number, shifted between the two */
static void paint(int64_t *v, double shift) {
    static const double centre[3][3] = {{5, 5, 5}, {8, 10, 11}, {10, 3, 12}};
    static const int64_t label[3] = {7, (int64_t)1 << 60, -3};
    for (int64_t i = 0; i < N; i++) {
        double at[3] = {(double)(i / (NY * NX)), (double)(i / NX % NY), (double)(i % NX) + shift};
        v[i] = 0;
        for (int k = 0; k < 3; k++) {
            double r2 = 0;
            for (int d = 0; d < 3; d++) r2 += (at[d] - centre[k][d]) * (at[d] - centre[k][d]);
            if (r2 < 12.0 + k) v[i] = label[k];
        }
    }
}

static bool on_surface(const int64_t *v, int64_t i) {
    int64_t at[3] = {i / (NY * NX), i / NX % NY, i % NX}, step[3] = {NY * NX, NX, 1};
    for (int d = 0; d < 3; d++) {
        if (at[d] > 0 && v[i - step[d]] != v[i]) return true;
        if (at[d] < shape[d] - 1 && v[i + step[d]] != v[i]) return true;
    }
    return false;
}

/* every pair of voxels */
static void slow(const int64_t *f, const int64_t *m, int64_t label, double reach, double *dice,
                 double *mean) {
    double both = 0, all = 0, sum = 0, n = 0;
    const int64_t *v[2] = {f, m};
    for (int64_t i = 0; i < N; i++) {
        all += (f[i] == label) + (m[i] == label);
        both += f[i] == label && m[i] == label;
    }
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < N; i++) {
            if (v[k][i] != label || !on_surface(v[k], i)) continue;
            double best = reach;
            for (int64_t j = 0; j < N; j++) {
                if (v[!k][j] != label || !on_surface(v[!k], j)) continue;
                double z = spacing[0] * (double)(i / (NY * NX) - j / (NY * NX));
                double y = spacing[1] * (double)(i / NX % NY - j / NX % NY),
                       x = spacing[2] * (double)(i % NX - j % NX);
                best = fmin(best, sqrt(z * z + y * y + x * x));
            }
            sum += best, n += 1;
        }
    *dice = 2.0 * both / all;
    *mean = sum / n;
}

static void check(double shift, double reach) {
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    static int64_t f[N], m[N];
    clm_ball ball;
    clm_overlap s;
    clm_label_sum *row;
    paint(f, 0);
    paint(m, shift);
    assert_ok(clm_ball_make(&w, spacing, reach, &ball, &err), err);
    assert_ok(clm_overlap_new(w.keep, &ball, &s, &err), err);
    assert_ok(clm_overlap_add(&w, &s, f, m, shape, clm_box_of(shape), &ball, &err), err);
    assert_ok(clm_overlap_list(&s, w.keep, &row, &err), err);
    assert_int_equal(s.n, 3);
    for (int64_t i = 0; i < s.n; i++) {
        double dice, mean;
        assert_true(i == 0 || row[i].label > row[i - 1].label);
        slow(f, m, row[i].label, reach, &dice, &mean);
        assert_near(clm_label_dice(&row[i]), dice, 1e-12);
        assert_near(clm_label_distance(&row[i]), mean, 1e-6);
    }
    clm_test_work_drop(&w);
}

static void near_every_pair(void **state) {
    (void)state;
    check(0.0, 3.0);
    check(2.0, 6.0);
    check(4.0, 1.0); /* most are beyond */
}

/* blocks with their halo, in another order, add up to the whole */
static void blocks_are_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(32);
    clm_err err = CLM_ERR_NONE;
    static int64_t f[N], m[N], part[2][N];
    clm_ball ball;
    clm_overlap whole, sum;
    clm_label_sum *a, *b;
    paint(f, 0);
    paint(m, 2.0);
    assert_ok(clm_ball_make(&w, spacing, 2.5, &ball, &err), err);
    assert_ok(clm_overlap_new(w.keep, &ball, &whole, &err), err);
    assert_ok(clm_overlap_new(w.keep, &ball, &sum, &err), err);
    assert_ok(clm_overlap_add(&w, &whole, f, m, shape, clm_box_of(shape), &ball, &err), err);
    for (int64_t x = 12; x >= 0; x -= 6) {
        clm_box core = {{0, 0, x}, {NZ, NY, x + 6 < NX ? x + 6 : NX}};
        clm_box box = clm_box_meet(clm_box_grow(core, ball.halo), clm_box_of(shape));
        int64_t n = 0, cut[3] = {NZ, NY, box.hi[2] - box.lo[2]};
        clm_overlap one;
        for (int64_t i = 0; i < N; i++)
            if (i % NX >= box.lo[2] && i % NX < box.hi[2]) part[0][n] = f[i], part[1][n++] = m[i];
        core.lo[2] -= box.lo[2], core.hi[2] -= box.lo[2];
        assert_ok(clm_overlap_new(w.keep, &ball, &one, &err), err);
        assert_ok(clm_overlap_add(&w, &one, part[0], part[1], cut, core, &ball, &err), err);
        assert_ok(clm_overlap_merge(&sum, &one, &err), err);
    }
    assert_int_equal(sum.n, whole.n);
    assert_ok(clm_overlap_list(&whole, w.keep, &a, &err), err);
    assert_ok(clm_overlap_list(&sum, w.keep, &b, &err), err);
    assert_memory_equal(a, b, (size_t)sum.n * sizeof *a);
    assert_memory_equal(whole.rank, sum.rank, (size_t)sum.ranks * sizeof *sum.rank);
    assert_near(clm_overlap_percentile(&sum, &ball, 0.5), clm_overlap_percentile(&whole, &ball, 0.5), 0);
    clm_test_work_drop(&w);
}

/* more labels than the table begins with */
static void many_labels(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    static int64_t f[N];
    clm_overlap s;
    clm_label_sum *row;
    for (int64_t i = 0; i < N; i++) f[i] = i + 1;
    assert_ok(clm_overlap_new(w.keep, NULL, &s, &err), err);
    assert_ok(clm_overlap_add(&w, &s, f, f, shape, clm_box_of(shape), NULL, &err), err);
    assert_int_equal(s.n, N);
    assert_ok(clm_overlap_list(&s, w.keep, &row, &err), err);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(row[i].label, i + 1);
        assert_near(clm_label_dice(&row[i]), 1, 0);
    }
    clm_ball ball;
    assert_fails(CLM_E_ARG, clm_ball_make(&w, spacing, 1e6, &ball, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(near_every_pair),
                                       cmocka_unit_test(blocks_are_the_whole), cmocka_unit_test(many_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
