#include "collimate/align/blob.h"
#include "collimate/align/match.h"
#include "collimate/align/ransac.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/speckle.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double straight[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

/** Random points with random rows: half of the moving ones are noisy copies of fixed ones nearby. */
static void random_set(clm_arena *a, int64_t n, uint64_t seed, clm_points *p, clm_patches *f) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_points_new(a, n, p, &err), err);
    *f = (clm_patches){.n = n, .dim = 64};
    assert_non_null(f->code = clm_arena_take(a, n, 64, &err));
    assert_non_null(f->norm = clm_take(a, float, n, &err));
    for (int64_t i = 0; i < n; i++) {
        int64_t square = 0;
        for (uint64_t d = 0; d < 3; d++) p->pos[i][d] = 200 * clm_rng_uniform(seed, d, (uint64_t)i / 2);
        for (int64_t k = 0; k < 64; k++) {
            double common = clm_rng_normal(77, (uint64_t)i / 2, (uint64_t)k);
            double own = clm_rng_normal(seed, 50 + (uint64_t)i, (uint64_t)k);
            f->code[i * 64 + k] = (int8_t)fmax(-127, fmin(127, 25 * (common + 0.7 * own)));
            square += f->code[i * 64 + k] * f->code[i * 64 + k];
        }
        f->norm[i] = i % 17 == 5 ? 0 : (float)(1 / sqrt((double)square));
    }
}

typedef struct set {
    clm_points p;
    clm_patches f;
} set;

static double slow_correlation(const set *a, int64_t i, const set *b, int64_t j) {
    int32_t dot = 0;
    for (int k = 0; k < a->f.dim; k++) dot += a->f.code[i * a->f.dim + k] * b->f.code[j * b->f.dim + k];
    return (double)((float)dot * a->f.norm[i] * b->f.norm[j]);
}

static double apart(const double a[3], const double b[3]) {
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) +
                (a[2] - b[2]) * (a[2] - b[2]));
}

static bool allowed(const set *a, int64_t i, const set *b, int64_t j, const clm_affine *prior,
                    double within) {
    double at[3];
    clm_affine_apply(prior, a->p.pos[i], at);
    return within == 0 || apart(at, b->p.pos[j]) <= within;
}

static int64_t slow_best(const set *a, int64_t i, const set *b, const clm_affine *prior, double within) {
    int64_t best = -1;
    double most = 0;
    for (int64_t j = 0; j < b->p.n; j++)
        if (allowed(a, i, b, j, prior, within) && slow_correlation(a, i, b, j) > most)
            most = slow_correlation(a, i, b, j), best = j;
    return best;
}

static int64_t slow_match(const set *a, const set *b, const clm_affine *prior, const clm_match_params *p,
                          int32_t *of) {
    int64_t n = 0;
    for (int64_t i = 0; i < a->p.n; i++) {
        int64_t j = slow_best(a, i, b, prior, p->max_distance_um), back = -1;
        of[i] = -1;
        if (j < 0 || slow_correlation(a, i, b, j) < p->min_correlation) continue;
        double most = 0, rival = -1;
        for (int64_t k = 0; k < a->p.n; k++)
            if (allowed(a, k, b, j, prior, p->max_distance_um) && slow_correlation(a, k, b, j) > most)
                most = slow_correlation(a, k, b, j), back = k;
        for (int64_t k = 0; k < b->p.n; k++)
            if (allowed(a, i, b, k, prior, p->max_distance_um) &&
                apart(b->p.pos[k], b->p.pos[j]) > p->distinct_um && slow_correlation(a, i, b, k) > 0)
                rival = fmax(rival, slow_correlation(a, i, b, k));
        double d1 = sqrt(1 - slow_correlation(a, i, b, j)), d2 = sqrt(1 - rival);
        if (back == i && d1 < p->ratio * d2) of[i] = (int32_t)j, n++;
    }
    return n;
}

static void same_as_comparing_all_by_hand(void **state) {
    (void)state;
    static const double within[] = {0, 30, 80};
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    set a, b;
    random_set(w.keep, 151, 1, &a.p, &a.f);
    random_set(w.keep, 134, 2, &b.p, &b.f);
    for (int64_t i = 0; i < 134; i++) /* near each other, so that gates let some through */
        for (int d = 0; d < 3; d++) b.p.pos[i][d] = a.p.pos[i][d] + 10 * (double)((i + d) % 3);
    clm_affine prior = {{{1, 0, 0, 10}, {0, 1, 0, 5}, {0, 0, 1.05, 0}}};
    int32_t of[151];
    for (int k = 0; k < 3; k++) {
        clm_match_params p = {within[k], 0.3, 0.95, 40};
        clm_matches m;
        int64_t want = slow_match(&a, &b, &prior, &p, of);
        assert_ok(clm_match(&w, &a.p, &a.f, &b.p, &b.f, &prior, &p, &m, &err), err);
        assert_true(want > 20);
        assert_int_equal(m.n, want);
        for (int64_t i = 0; i < m.n; i++) {
            assert_int_equal(m.moving[i], of[m.fixed[i]]);
            assert_near(m.correlation[i], slow_correlation(&a, m.fixed[i], &b, m.moving[i]), 0);
        }
    }
    clm_test_work_drop(&w);
}

static void nothing_to_match(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    set a, b;
    clm_affine prior = CLM_AFFINE_IDENTITY;
    clm_match_params p = CLM_MATCH_DEFAULTS;
    clm_matches m;
    random_set(w.keep, 10, 1, &a.p, &a.f);
    random_set(w.keep, 0, 2, &b.p, &b.f);
    for (int k = 0; k < 2; k++, p.max_distance_um = 20) {
        assert_ok(clm_match(&w, &a.p, &a.f, &b.p, &b.f, &prior, &p, &m, &err), err);
        assert_int_equal(m.n, 0);
        assert_ok(clm_match(&w, &b.p, &b.f, &a.p, &a.f, &prior, &p, &m, &err), err);
        assert_int_equal(m.n, 0);
    }
    b.f.dim = 32;
    assert_fails(CLM_E_ARG, clm_match(&w, &a.p, &a.f, &b.p, &b.f, &prior, &p, &m, &err), err);
    clm_test_work_drop(&w);
}

static void dots_are_exact(void **state) {
    (void)state;
    int8_t a[992], b[992];
    for (int32_t dim = 0; dim <= 992; dim += 32) {
        int32_t want = 0;
        for (int32_t i = 0; i < dim; i++) {
            a[i] = (int8_t)(i % 5 == 0 ? -127 : (int)clm_rng_below(3, 1, (uint64_t)i, 255) - 127);
            b[i] = (int8_t)(i % 7 == 0 ? 127 : (int)clm_rng_below(3, 2, (uint64_t)i, 255) - 127);
            want += a[i] * b[i];
        }
        assert_int_equal(clm_patch_dot(a, b, dim), want);
    }
}

/** Two scans of one made tissue, the second turned, stretched and on another grid. */
typedef struct scans {
    clm_vol fixed, moving;
    clm_affine truth;
} scans;

static scans scan(clm_arena *a, double noise) {
    const double extent[3] = {130, 190, 190}, origin[3] = {5, -3, 2};
    const int64_t shape[3] = {64, 96, 96}, other[3] = {88, 80, 116};
    const double spacing[3] = {2, 2, 2}, coarse[3] = {1.5, 2.4, 1.6}, origin2[3] = {0, -20, 10};
    clm_affine identity = CLM_AFFINE_IDENTITY;
    scans s = {.truth = {{{1.02, 0.03, -0.02, 3}, {-0.04, 0.97, 0.05, -22}, {0.02, -0.05, 1.01, 14}}}};
    clm_speckle t = clm_test_speckle(a, 700, extent, 3, 5, 21);
    s.fixed = clm_test_draw(a, &t, &identity, shape, spacing, origin, noise, 22);
    s.moving = clm_test_draw(a, &t, &s.truth, other, coarse, origin2, noise, 23);
    return s;
}

static double pair_up(const clm_work *w, const scans *s, const clm_affine *prior, double within,
                      clm_matches *m, clm_ransac_fit *fit) {
    clm_err err = CLM_ERR_NONE;
    clm_blob_params bp = CLM_BLOB_DEFAULTS;
    bp.radius_min_um = 4, bp.radius_max_um = 6, bp.min_signal = 1.5;
    clm_patch_params pp = CLM_PATCH_DEFAULTS;
    clm_match_params mp = CLM_MATCH_DEFAULTS;
    mp.max_distance_um = within;
    clm_ransac_params rp = CLM_RANSAC_DEFAULTS;
    rp.max_error_um = 2;
    double linear[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) linear[i][j] = prior->m[i][j];
    clm_points a, b;
    clm_patches f, g;
    assert_ok(clm_blob_find(w, &s->fixed, clm_box_of(s->fixed.shape), &bp, &a, &err), err);
    assert_ok(clm_blob_find(w, &s->moving, clm_box_of(s->moving.shape), &bp, &b, &err), err);
    assert_ok(clm_patch_describe(w, &s->fixed, &a, &pp, straight, &f, &err), err);
    assert_ok(clm_patch_describe(w, &s->moving, &b, &pp, (const double(*)[3])linear, &g, &err), err);
    assert_ok(clm_match(w, &a, &f, &b, &g, prior, &mp, m, &err), err);
    double(*p)[3] = clm_arena_take(w->keep, m->n, sizeof *p, &err);
    double(*q)[3] = clm_arena_take(w->keep, m->n, sizeof *q, &err);
    for (int64_t i = 0; i < m->n; i++) {
        memcpy(p[i], a.pos[m->fixed[i]], sizeof *p);
        memcpy(q[i], b.pos[m->moving[i]], sizeof *q);
    }
    assert_ok(clm_ransac_affine(w, m->n, (const double(*)[3])p, (const double(*)[3])q, &rp, fit, &err), err);
    double worst = 0;
    for (int k = 0; k < 8; k++) {
        double x[3], y[3], z[3];
        for (int d = 0; d < 3; d++)
            x[d] = s->fixed.origin[d] + (k >> d & 1 ? 2.0 * (double)(s->fixed.shape[d] - 1) : 0);
        clm_affine_apply(&fit->affine, x, y);
        clm_affine_apply(&s->truth, x, z);
        for (int d = 0; d < 3; d++) worst = fmax(worst, fabs(y[d] - z[d]));
    }
    return worst;
}

static void a_known_affine_is_found(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    scans s = scan(w.keep, 0.1);
    clm_affine identity = CLM_AFFINE_IDENTITY, off = s.truth;
    for (int d = 0; d < 3; d++) off.m[d][3] += 6;
    clm_matches m;
    clm_ransac_fit fit;
    assert_true(pair_up(&w, &s, &identity, 0, &m, &fit) < 0.3); /* um at the corners; voxels are 2 um */
    assert_true(fit.inliers > 100);
    assert_true(pair_up(&w, &s, &off, 25, &m, &fit) < 0.3); /* prior a little off, search near it */
    assert_true(fit.inliers > 100);
    clm_test_work_drop(&w);
}

static void a_known_rotation_is_undone(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    clm_err err = CLM_ERR_NONE;
    const double extent[3] = {100, 100, 100}, unit[3] = {2, 2, 2}, fine[3] = {1.3, 2, 1.7},
                 zero[3] = {0, 0, 0};
    clm_affine identity = CLM_AFFINE_IDENTITY;
    clm_affine turn = {{{0, 0.8, -0.6, 50}, {1, 0, 0, 0}, {0, -0.6, -0.8, 120}}}; /* a proper rotation */
    clm_speckle t = clm_test_speckle(w.keep, 250, extent, 3, 5, 31);
    clm_vol v = clm_test_draw(w.keep, &t, &identity, (int64_t[3]){50, 50, 50}, unit, zero, 0, 1);
    clm_vol u = clm_test_draw(w.keep, &t, &turn, (int64_t[3]){100, 50, 80}, fine, zero, 0, 1);
    for (int64_t i = 0; i < clm_vol_count(&u); i++) u.data[i] = 300 * u.data[i] + 1000;
    clm_points a, b;
    const double linear[3][3] = {{0, 0.8, -0.6}, {1, 0, 0}, {0, -0.6, -0.8}};
    clm_patches f, g, plain;
    clm_patch_params p = CLM_PATCH_DEFAULTS;
    assert_ok(clm_points_new(w.keep, 60, &a, &err), err);
    assert_ok(clm_points_new(w.keep, 60, &b, &err), err);
    for (int64_t i = 0; i < a.n; i++) {
        for (uint64_t d = 0; d < 3; d++) a.pos[i][d] = 35 + 30 * clm_rng_uniform(6, d, (uint64_t)i);
        clm_affine_apply(&turn, a.pos[i], b.pos[i]);
    }
    a.pos[59][0] = -40; /* outside */
    assert_ok(clm_patch_describe(&w, &v, &a, &p, straight, &f, &err), err);
    assert_ok(clm_patch_describe(&w, &u, &b, &p, linear, &g, &err), err);
    assert_ok(clm_patch_describe(&w, &u, &b, &p, straight, &plain, &err), err);
    assert_int_equal(f.dim, clm_patch_dim(&p));
    assert_true(f.norm[59] == 0);
    double with = 0, without = 0;
    for (int64_t i = 0; i < 59; i++) {
        int8_t *row = f.code + i * f.dim, *other = g.code + i * g.dim;
        int64_t sum = 0;
        for (int k = 0; k < f.dim; k++) sum += row[k];
        assert_near((double)sum / f.dim, 0, 0.1);
        double r = (double)((float)clm_patch_dot(row, other, f.dim) * f.norm[i] * g.norm[i]);
        assert_true(r > 0.95);
        with += r / 59;
        without +=
            (double)((float)clm_patch_dot(row, plain.code + i * f.dim, f.dim) * f.norm[i] * plain.norm[i]) /
            59;
    }
    assert_true(with > 0.98 && without < 0.4);
    clm_test_work_drop(&w);
}

static void patches_of_a_block_are_those_of_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(256);
    clm_err err = CLM_ERR_NONE;
    scans s = scan(w.keep, 0.1);
    clm_patch_params p = CLM_PATCH_DEFAULTS;
    int64_t halo[3];
    clm_patch_halo(&p, straight, s.fixed.spacing, halo);
    clm_box core = {{24, 32, 32}, {40, 64, 64}};
    clm_vol block = clm_vol_crop(&s.fixed, clm_box_meet(clm_box_grow(core, halo), clm_box_of(s.fixed.shape)));
    clm_points a;
    assert_ok(clm_points_new(w.keep, 40, &a, &err), err);
    for (int64_t i = 0; i < a.n; i++)
        for (int d = 0; d < 3; d++)
            a.pos[i][d] = s.fixed.origin[d] +
                          2 * ((double)core.lo[d] + (double)(core.hi[d] - core.lo[d]) *
                                                        clm_rng_uniform(8, (uint64_t)d, (uint64_t)i));
    clm_patches f, g;
    assert_ok(clm_patch_describe(&w, &s.fixed, &a, &p, straight, &f, &err), err);
    assert_ok(clm_patch_describe(&w, &block, &a, &p, straight, &g, &err), err);
    for (int64_t i = 0; i < a.n; i++)
        assert_true((float)clm_patch_dot(f.code + i * f.dim, g.code + i * g.dim, f.dim) * f.norm[i] *
                        g.norm[i] >
                    0.995f);
    p.samples = 8;
    assert_fails(CLM_E_ARG, clm_patch_describe(&w, &block, &a, &p, straight, &g, &err), err);
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_comparing_all_by_hand),
        cmocka_unit_test(nothing_to_match),
        cmocka_unit_test(dots_are_exact),
        cmocka_unit_test(a_known_affine_is_found),
        cmocka_unit_test(a_known_rotation_is_undone),
        cmocka_unit_test(patches_of_a_block_are_those_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
