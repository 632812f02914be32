#include "collimate/image/overlap.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <stdlib.h>

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
            bool lump =
                shift != 0 && k == 1 && at[0] < 3 && at[1] > 12 && at[2] > 12; /* of one volume only */
            if (r2 < 12.0 + k || lump) v[i] = label[k];
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

static int by_value(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* every pair of voxels */
static void slow(const int64_t *f, const int64_t *m, int64_t label, double reach, clm_label_sum *out) {
    const int64_t *v[2] = {f, m};
    static double distance[2][N];
    double sum = 0, h95 = 0, most = 0;
    *out = (clm_label_sum){0};
    for (int64_t i = 0; i < N; i++) {
        out->fixed += f[i] == label, out->moving += m[i] == label;
        out->both += f[i] == label && m[i] == label;
    }
    for (int k = 0; k < 2; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < N; i++) {
            if (v[k][i] != label || !on_surface(v[k], i)) continue;
            double best = INFINITY;
            for (int64_t j = 0; j < N; j++) {
                if (v[!k][j] != label || !on_surface(v[!k], j)) continue;
                double z = spacing[0] * (double)(i / (NY * NX) - j / (NY * NX));
                double y = spacing[1] * (double)(i / NX % NY - j / NX % NY),
                       x = spacing[2] * (double)(i % NX - j % NX);
                best = fmin(best, sqrt(z * z + y * y + x * x));
            }
            if (best > reach) best = INFINITY;
            distance[k][n++] = best;
            sum += fmin(best, reach), out->surface++, out->beyond += best > reach;
        }
        qsort(distance[k], (size_t)n, sizeof(double), by_value);
        h95 = fmax(h95, distance[k][(int64_t)ceil(0.95 * (double)n) - 1]);
        most = fmax(most, distance[k][n - 1]);
    }
    out->dice = 2.0 * (double)out->both / (double)(out->fixed + out->moving);
    out->mean_um = sum / (double)out->surface;
    out->hausdorff95_um = h95;
    out->hausdorff_um = most;
}

static void assert_same_distance(double a, double b) {
    if (isinf(b))
        assert_true(isinf(a));
    else
        assert_near(a, b, 1e-9);
}

/* the rows of one label after another */
static int64_t next_label(const clm_label_count *row, int64_t n, int64_t at) {
    int64_t end = at;
    while (end < n && row[end].label == row[at].label) end++;
    return end;
}

static void check(double shift, double reach) {
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    static int64_t f[N], m[N];
    clm_ball ball;
    clm_overlap s;
    clm_label_count *row;
    int64_t labels = 0;
    paint(f, 0);
    paint(m, shift);
    assert_ok(clm_ball_make(&w, spacing, reach, &ball, &err), err);
    assert_ok(clm_overlap_new(w.keep, &s, &err), err);
    assert_ok(clm_overlap_add(&w, &s, f, m, shape, clm_box_of(shape), &ball, &err), err);
    assert_ok(clm_overlap_rows(&s, w.keep, &row, &err), err);
    for (int64_t i = 0, end; i < s.n; i = end, labels++) {
        clm_label_sum got, want;
        end = next_label(row, s.n, i);
        assert_true(i == 0 || row[i].label > row[i - 1].label);
        assert_ok(clm_overlap_sum(&w, row + i, end - i, &ball, &got, &err), err);
        slow(f, m, row[i].label, reach, &want);
        assert_int_equal(got.fixed, want.fixed);
        assert_int_equal(got.moving, want.moving);
        assert_int_equal(got.surface, want.surface);
        assert_int_equal(got.beyond, want.beyond);
        assert_near(got.dice, want.dice, 1e-12);
        assert_near(got.mean_um, want.mean_um, 1e-9);
        assert_same_distance(got.hausdorff95_um, want.hausdorff95_um);
        assert_same_distance(got.hausdorff_um, want.hausdorff_um);
    }
    assert_int_equal(labels, 3);
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
    clm_label_count *a, *b;
    paint(f, 0);
    paint(m, 2.0);
    assert_ok(clm_ball_make(&w, spacing, 2.5, &ball, &err), err);
    assert_ok(clm_overlap_new(w.keep, &whole, &err), err);
    assert_ok(clm_overlap_new(w.keep, &sum, &err), err);
    assert_ok(clm_overlap_add(&w, &whole, f, m, shape, clm_box_of(shape), &ball, &err), err);
    for (int64_t x = 12; x >= 0; x -= 6) {
        clm_box core = {{0, 0, x}, {NZ, NY, x + 6 < NX ? x + 6 : NX}};
        clm_box box = clm_box_meet(clm_box_grow(core, ball.halo), clm_box_of(shape));
        int64_t n = 0, cut[3] = {NZ, NY, box.hi[2] - box.lo[2]};
        clm_overlap one;
        for (int64_t i = 0; i < N; i++)
            if (i % NX >= box.lo[2] && i % NX < box.hi[2]) part[0][n] = f[i], part[1][n++] = m[i];
        core.lo[2] -= box.lo[2], core.hi[2] -= box.lo[2];
        assert_ok(clm_overlap_new(w.keep, &one, &err), err);
        assert_ok(clm_overlap_add(&w, &one, part[0], part[1], cut, core, &ball, &err), err);
        assert_ok(clm_overlap_rows(&one, w.keep, &a, &err), err);
        for (int64_t i = 0; i < one.n; i++)
            assert_ok(clm_overlap_count(&sum, a[i].label, a[i].what, a[i].n, &err), err);
    }
    assert_int_equal(sum.n, whole.n);
    assert_ok(clm_overlap_rows(&whole, w.keep, &a, &err), err);
    assert_ok(clm_overlap_rows(&sum, w.keep, &b, &err), err);
    assert_memory_equal(a, b, (size_t)sum.n * sizeof *a);
    clm_test_work_drop(&w);
}

/* more labels than the table begins with */
static void many_labels(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    static int64_t f[N];
    clm_overlap s;
    clm_label_count *row;
    clm_label_sum one;
    for (int64_t i = 0; i < N; i++) f[i] = i + 1;
    assert_ok(clm_overlap_new(w.keep, &s, &err), err);
    assert_ok(clm_overlap_add(&w, &s, f, f, shape, clm_box_of(shape), NULL, &err), err);
    assert_int_equal(s.n, 3 * N);
    assert_ok(clm_overlap_rows(&s, w.keep, &row, &err), err);
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(row[3 * i].label, i + 1);
        assert_ok(clm_overlap_sum(&w, row + 3 * i, 3, NULL, &one, &err), err);
        assert_near(one.dice, 1, 0);
        assert_true(isnan(one.mean_um));
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
