#include "collimate/align/lattice.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

/* Blocks of 60 x 80 x 80 um, the last of each axis a little nearer, and a smooth warp under a bent affine. */
enum { NZ = 4, NY = 5, NX = 6, N = NZ * NY * NX, MATCHES = 60 };
static double centres[3][8];
static const clm_lattice_grid grid = {
    .shape = {NZ, NY, NX}, .centre = {centres[0], centres[1], centres[2]}, .size_um = {60, 80, 80}};
static const clm_affine bent = {{{1.03, 0.04, -0.02, -3}, {-0.05, 0.97, 0.03, 40}, {0.02, -0.03, 1.02, -20}}};

static int make_centres(void **state) {
    (void)state;
    for (int d = 0; d < 3; d++)
        for (int64_t k = 0; k < grid.shape[d]; k++)
            centres[d][k] = 100 + grid.size_um[d] * ((double)k + (k == grid.shape[d] - 1 ? 0.4 : 0.5));
    return 0;
}

static void warp(double amplitude, const double x[3], double u[3]) {
    u[0] = amplitude * sin(x[1] / 90 + 1) * cos(x[2] / 110);
    u[1] = amplitude * sin(x[0] / 70 + x[2] / 150);
    u[2] = amplitude * cos(x[0] / 80 - x[1] / 120 + 2);
}

static void centre_of(int64_t b, double c[3]) {
    c[0] = centres[0][b / (NY * NX)], c[1] = centres[1][b / NX % NY], c[2] = centres[2][b % NX];
}

/** Matches of one block: points anywhere in it and its halo; `lie` moves all of them by one wrong affine. */
static void block_of(int64_t b, int64_t n, double amplitude, double noise, double lie,
                     clm_lattice_block *out) {
    double p[MATCHES][3], q[MATCHES][3], c[3];
    centre_of(b, c);
    for (int64_t i = 0; i < n; i++) {
        double u[3];
        uint64_t key = (uint64_t)(b * 1000 + i);
        for (uint64_t d = 0; d < 3; d++)
            p[i][d] = c[d] + 1.3 * grid.size_um[d] * (clm_rng_uniform(1, d, key) - 0.5);
        warp(amplitude, p[i], u);
        for (uint64_t d = 0; d < 3; d++) {
            u[d] += p[i][d] + noise * clm_rng_normal(1, 3 + d, key);
            u[d] += lie * (clm_rng_normal(1, 9 + d, (uint64_t)b) + (p[i][d] - c[d]) / grid.size_um[d]);
        }
        clm_affine_apply(&bent, u, q[i]);
    }
    clm_lattice_block_make(out, n, (const double(*)[3])p, (const double(*)[3])q, NULL);
}

/** Error of the field against the warp at points inside the hull of the centres and around it. */
static void error_of(const clm_lattice *l, double amplitude, double *rms, double *most) {
    double sum = 0, top = 0;
    int n = 0;
    for (uint64_t i = 0; i < 3000; i++, n++) {
        double x[3], u[3], v[3], e = 0;
        for (uint64_t d = 0; d < 3; d++) {
            double lo = centres[d][0] - 0.4 * grid.size_um[d],
                   hi = centres[d][grid.shape[d] - 1] + 0.4 * grid.size_um[d];
            x[d] = lo + (hi - lo) * clm_rng_uniform(2, d, i);
        }
        clm_lattice_at(l, x, u);
        warp(amplitude, x, v);
        for (int d = 0; d < 3; d++) e += (u[d] - v[d]) * (u[d] - v[d]);
        sum += e;
        top = fmax(top, e);
    }
    *rms = sqrt(sum / n), *most = sqrt(top);
}

/* which blocks of the third scenario have nothing, or lie */
static bool is_empty(int64_t b) { return b % 11 == 3; }
static bool is_liar(int64_t b) { return b % 9 == 5 && !is_empty(b); }

static void scenario(double amplitude, bool spoilt, clm_lattice_block *blocks) {
    for (int64_t b = 0; b < N; b++)
        block_of(b, spoilt && is_empty(b) ? 0 : MATCHES, amplitude, 1, spoilt && is_liar(b) ? 40 : 0,
                 &blocks[b]);
}

static void fit(const clm_work *w, const clm_lattice_block *blocks, clm_lattice *l, clm_lattice_verdict *v,
                clm_lattice_report *r) {
    clm_err err = CLM_ERR_NONE;
    clm_lattice_params p = CLM_LATTICE_DEFAULTS;
    assert_ok(clm_lattice_fit(w, &grid, blocks, &bent, &p, l, v, r, &err), err);
}

static clm_lattice_block blocks[N];
static clm_lattice_verdict verdict[N];

/** Liars, told apart from a warp up to a fifth of a block, do no harm; nor do blocks with nothing. */
static void a_smooth_warp_comes_back(void **state) {
    (void)state;
    static const struct {
        double amplitude, rms[2], most[2]; /* um, um without and with spoilt blocks */
    } cases[] = {{0, {0.25, 0.3}, {0.7, 0.9}},
                 {2, {0.3, 0.3}, {0.8, 1.2}},
                 {8, {0.5, 0.6}, {1.5, 3}},
                 {16, {0.9, 1}, {3, 6}}};
    clm_work w = clm_test_work(8);
    for (int k = 0; k < 4; k++)
        for (int spoilt = 0; spoilt < 2; spoilt++) {
            clm_lattice l;
            clm_lattice_report r;
            double rms, most;
            scenario(cases[k].amplitude, spoilt, blocks);
            fit(&w, blocks, &l, verdict, &r);
            error_of(&l, cases[k].amplitude, &rms, &most);
            assert_true(rms < cases[k].rms[spoilt]);
            assert_true(most < cases[k].most[spoilt]);
            assert_near(r.noise_um, 1, cases[k].amplitude > 10 ? 0.5 : 0.15);
            for (int64_t b = 0; b < N; b++) {
                clm_lattice_status want = CLM_LATTICE_USED;
                if (spoilt && is_liar(b)) want = CLM_LATTICE_REJECTED;
                if (spoilt && is_empty(b)) want = CLM_LATTICE_EMPTY;
                assert_int_equal(verdict[b].status, want);
                assert_near(verdict[b].weight, want == CLM_LATTICE_USED, 0);
                if (want == CLM_LATTICE_REJECTED) assert_true(verdict[b].gap_um > verdict[b].allowed_um);
            }
            assert_int_equal(r.used + r.doubted + r.rejected + r.empty, N);
        }
    clm_test_work_drop(&w);
}

/** Every second block has five matches only, too few for an affine of its own worth the name. */
static void little_is_not_nothing(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_lattice l;
    clm_lattice_report r;
    double rms, most;
    scenario(4, false, blocks);
    for (int64_t b = 0; b < N; b += 2) block_of(b, 5, 4, 1, 0, &blocks[b]);
    fit(&w, blocks, &l, verdict, &r);
    error_of(&l, 4, &rms, &most);
    assert_true(rms < 0.6);
    assert_true(most < 3);
    assert_int_equal(r.rejected, 0);
    clm_test_work_drop(&w);
}

/** The same matches on a lattice read backwards: the same answer. */
static void order_does_not_matter(void **state) {
    (void)state;
    static clm_lattice_block flipped[N];
    static double back[3][8];
    clm_work w = clm_test_work(8);
    clm_err err = CLM_ERR_NONE;
    clm_lattice l, m;
    clm_lattice_report r, s;
    const clm_affine mirror = {{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, -1, 0}}};
    clm_affine A = clm_affine_compose(&bent, &mirror);
    clm_lattice_grid g = grid;
    clm_lattice_params p = CLM_LATTICE_DEFAULTS;
    scenario(8, true, blocks);
    for (int64_t b = 0; b < N; b++) { /* x -> -x in fixed space */
        flipped[N - 1 - b] = blocks[b];
        for (int i = 0; i < 3; i++) {
            flipped[N - 1 - b].p[i] = -blocks[b].p[i];
            for (int k = 0; k < 3; k++) flipped[N - 1 - b].qp[i][k] = -blocks[b].qp[i][k];
        }
    }
    for (int d = 0; d < 3; d++) {
        g.centre[d] = back[d];
        for (int64_t k = 0; k < g.shape[d]; k++) back[d][k] = -centres[d][g.shape[d] - 1 - k];
    }
    fit(&w, blocks, &l, verdict, &r);
    assert_ok(clm_lattice_fit(&w, &g, flipped, &A, &p, &m, NULL, &s, &err), err);
    assert_int_equal(r.rejected, s.rejected);
    for (int64_t b = 0; b < N; b++) {
        double c[3], y[3], z[3];
        clm_affine at = clm_lattice_affine(&l, &bent, b), other = clm_lattice_affine(&m, &A, N - 1 - b);
        centre_of(b, c);
        clm_affine_apply(&at, c, y);
        for (int d = 0; d < 3; d++) c[d] = -c[d];
        clm_affine_apply(&other, c, z);
        for (int d = 0; d < 3; d++) assert_near(y[d], z[d], 1e-6);
    }
    clm_test_work_drop(&w);
}

/** The energy written down again, by sums over matches and over the eight points that have a box's moments. */
static double energy(const clm_lattice *l, const clm_lattice_params *p, const double (*x)[3],
                     const double (*v)[3], const int64_t *block, int64_t n) {
    double e = 0;
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            double centre[3], u = l->m[block[i]][c][3] - v[i][c];
            centre_of(block[i], centre);
            for (int d = 0; d < 3; d++) u += l->m[block[i]][c][d] * (x[i][d] - centre[d]);
            e += u * u / (p->noise_um * p->noise_um);
        }
    for (int64_t a = 0; a < N; a++)
        for (int d = -1; d < 3; d++) { /* -1: the pull */
            const int64_t step[3] = {NY * NX, NX, 1}, at[3] = {a / (NY * NX), a / NX % NY, a % NX};
            if (d >= 0 && at[d] + 1 >= grid.shape[d]) continue;
            int64_t b = d < 0 ? a : a + step[d];
            double ca[3], cb[3],
                weight = d < 0 ? 1 / (p->pull_um * p->pull_um) : p->smoothness / (p->bend_um * p->bend_um);
            centre_of(a, ca), centre_of(b, cb);
            for (int k = 0; k < 8; k++)
                for (int c = 0; c < 3; c++) {
                    double u = l->m[a][c][3] - (d < 0 ? 0 : l->m[b][c][3]);
                    for (int i = 0; i < 3; i++) {
                        double y = 0.5 * (ca[i] + cb[i]) + (k >> i & 1 ? 1 : -1) * grid.size_um[i] / sqrt(12);
                        u += l->m[a][c][i] * (y - ca[i]) - (d < 0 ? 0 : l->m[b][c][i] * (y - cb[i]));
                    }
                    e += weight * u * u / 8;
                }
        }
    return e;
}

static void the_energy_is_least(void **state) {
    (void)state;
    enum { EACH = 7 };
    static double x[N * EACH][3], q[N * EACH][3], v[N * EACH][3];
    static int64_t block[N * EACH];
    clm_work w = clm_test_work(8);
    clm_err err = CLM_ERR_NONE;
    for (int64_t i = 0; i < N * EACH; i++) {
        double c[3], y[3];
        block[i] = i / EACH;
        centre_of(block[i], c);
        for (uint64_t d = 0; d < 3; d++) {
            x[i][d] = c[d] + 80 * (clm_rng_uniform(4, d, (uint64_t)i) - 0.5);
            v[i][d] = 10 * clm_rng_normal(4, 3 + d, (uint64_t)i);
            y[d] = x[i][d] + v[i][d];
        }
        clm_affine_apply(&bent, y, q[i]);
    }
    for (int64_t b = 0; b < N; b++)
        clm_lattice_block_make(&blocks[b], EACH, (const double(*)[3])(x + b * EACH),
                               (const double(*)[3])(q + b * EACH), NULL);
    /* each block's noise is a mixture of the common and its own: so many matches that own it is not asked for */
    clm_lattice_params p = {
        .noise_um = 1e4, .bend_um = 3e4, .smoothness = 2, .pull_um = 1e5, .doubt = 1e9, .min_matches = 1};
    clm_lattice l;
    clm_lattice_report r;
    assert_ok(clm_lattice_fit(&w, &grid, blocks, &bent, &p, &l, NULL, &r, &err), err);
    assert_int_equal(r.used, N);
    /* the noise of a block as the fit sees it: 30 parts common, the rest of its own few, which is nothing */
    double freedom = 3.0 * (EACH - 4);
    p.noise_um *= sqrt(30 / (30 + freedom));
    double least = energy(&l, &p, (const double(*)[3])x, (const double(*)[3])v, block, N * EACH);
    for (uint64_t k = 0; k < 60; k++) {
        int64_t b = clm_rng_below(5, 0, k, N), i = clm_rng_below(5, 1, k, 3), c = clm_rng_below(5, 2, k, 4);
        double h = c == 3 ? 1 : 0.03, was = l.m[b][i][c], up, down;
        l.m[b][i][c] = was + h;
        up = energy(&l, &p, (const double(*)[3])x, (const double(*)[3])v, block, N * EACH) - least;
        l.m[b][i][c] = was - h;
        down = energy(&l, &p, (const double(*)[3])x, (const double(*)[3])v, block, N * EACH) - least;
        l.m[b][i][c] = was;
        assert_true(up > 0 && down > 0);
        assert_true(fabs(up - down) < 1e-3 * (up + down)); /* a minimum, not merely near one */
    }
    clm_test_work_drop(&w);
}

/** Weights sum to one and the blend is exact for one affine; smooth across centres; a part equals the whole. */
static void the_field_is_smooth(void **state) {
    (void)state;
    clm_work w = clm_test_work(16);
    clm_err err = CLM_ERR_NONE;
    clm_lattice l;
    clm_lattice_report r;
    clm_field whole, part;
    scenario(12, true, blocks);
    fit(&w, blocks, &l, verdict, &r);
    for (uint64_t i = 0; i < 300; i++) { /* derivatives on both sides of a block's centre plane */
        double x[3], at[3][3];
        int d = (int)(i % 3);
        for (uint64_t k = 0; k < 3; k++) x[k] = 110 + 200 * clm_rng_uniform(6, k, i);
        double plane = centres[d][1 + i % 2], h = 1e-3;
        for (int side = -1; side < 2; side++) {
            x[d] = plane + side * h;
            clm_lattice_at(&l, x, at[side + 1]);
        }
        for (int k = 0; k < 3; k++) assert_near((at[2][k] - at[1][k]) / h, (at[1][k] - at[0][k]) / h, 1e-4);
    }
    const double spacing[3] = {7, 9, 8}, origin[3] = {100, 100, 100};
    assert_ok(clm_field_new(w.keep, (int64_t[3]){35, 45, 61}, spacing, origin, &whole, &err), err);
    assert_ok(clm_field_new(w.keep, (int64_t[3]){6, 5, 40}, spacing,
                            (double[3]){100 + 7 * 20, 100 + 9 * 30, 100 + 8 * 11}, &part, &err),
              err);
    clm_lattice_field(&l, &whole);
    clm_lattice_field(&l, &part);
    for (int64_t k = 0; k < 6; k++)
        for (int64_t j = 0; j < 5; j++)
            for (int64_t i = 0; i < 40; i++) {
                double x[3] = {240 + 7.0 * (double)k, 370 + 9.0 * (double)j, 188 + 8.0 * (double)i}, u[3];
                clm_lattice_at(&l, x, u);
                for (int d = 0; d < 3; d++) {
                    float a = part.u[d][(k * 5 + j) * 40 + i];
                    assert_near((double)a, (double)whole.u[d][((k + 20) * 45 + j + 30) * 61 + i + 11], 0);
                    assert_near((double)a, u[d], 1e-5);
                }
            }
    for (int64_t b = 0; b < N; b++) { /* all blocks say the same affine displacement */
        double c[3];
        centre_of(b, c);
        for (int i = 0; i < 3; i++) {
            l.m[b][i][3] = 5 * i;
            for (int k = 0; k < 3; k++) {
                l.m[b][i][k] = 0.01 * (i - k) + 0.02;
                l.m[b][i][3] += l.m[b][i][k] * c[k];
            }
        }
    }
    for (uint64_t i = 0; i < 200; i++) {
        double x[3], u[3];
        for (uint64_t k = 0; k < 3; k++) x[k] = 100 + 230 * clm_rng_uniform(7, k, i);
        clm_lattice_at(&l, x, u);
        for (int k = 0; k < 3; k++) {
            double want = 5 * k;
            for (int d = 0; d < 3; d++) want += (0.01 * (k - d) + 0.02) * x[d];
            assert_near(u[k], want, 1e-10);
        }
    }
    clm_test_work_drop(&w);
}

/** An affine found another way counts as if n matches with that noise, spread over the block, had said it. */
static void an_affine_can_speak_for_a_block(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_lattice l;
    clm_lattice_report r;
    const clm_affine local = {{{0.01, 0.02, 0, 4}, {0, -0.02, 0.01, -6}, {0.015, 0, 0.01, 3}}};
    for (int64_t b = 0; b < N; b++) {
        double c[3];
        clm_affine x = local; /* x -> x + u(x) */
        for (int d = 0; d < 3; d++) x.m[d][d] += 1;
        x = clm_affine_compose(&bent, &x);
        centre_of(b, c);
        if (b % 7 == 2) x.m[1][3] += 30;
        clm_lattice_block_of_affine(&blocks[b], c, grid.size_um, &x, 40, 0.5);
    }
    fit(&w, blocks, &l, verdict, &r);
    assert_near(r.noise_um, 0.5, 0.05);
    assert_int_equal(r.used + r.rejected, N);
    for (int64_t b = 0; b < N; b++) {
        double c[3], y[3], want[3], u[3];
        clm_affine got = clm_lattice_affine(&l, &bent, b);
        centre_of(b, c);
        assert_int_equal(verdict[b].status, b % 7 == 2 ? CLM_LATTICE_REJECTED : CLM_LATTICE_USED);
        clm_affine_apply(&local, c, u);
        for (int d = 0; d < 3; d++) u[d] += c[d];
        clm_affine_apply(&bent, u, want);
        clm_affine_apply(&got, c, y);
        for (int d = 0; d < 3; d++) assert_near(y[d], want[d], 0.01);
        /* the tangent at a centre is the block's own affine */
        clm_affine tangent = clm_lattice_tangent(&l, &bent, c);
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 4; k++) assert_near(tangent.m[i][k], got.m[i][k], 1e-6);
    }
    clm_test_work_drop(&w);
}

static void bounds_are_kept(void **state) {
    (void)state;
    clm_work w = clm_test_work(8);
    clm_err err = CLM_ERR_NONE;
    clm_lattice l;
    clm_lattice_report r;
    clm_lattice_params p = CLM_LATTICE_DEFAULTS;
    double packed[CLM_LATTICE_NUMBERS], u[3];
    clm_lattice_block copy;
    scenario(8, false, blocks);
    clm_lattice_pack(&blocks[7], packed);
    clm_lattice_unpack(packed, &copy);
    assert_memory_equal(&copy, &blocks[7], sizeof copy);
    /* one block alone: its own affine */
    clm_lattice_grid one = grid;
    for (int d = 0; d < 3; d++) one.shape[d] = 1;
    assert_ok(clm_lattice_fit(&w, &one, blocks, &bent, &p, &l, NULL, &r, &err), err);
    assert_int_equal(r.used, 1);
    clm_lattice_at(&l, (double[3]){130, 140, 140}, u);
    double want[3];
    warp(8, (double[3]){130, 140, 140}, want);
    for (int d = 0; d < 3; d++) assert_near(u[d], want[d], 2);
    /* nobody has anything: the global affine stays */
    memset(blocks, 0, sizeof blocks);
    fit(&w, blocks, &l, verdict, &r);
    assert_int_equal(r.empty, N);
    clm_lattice_at(&l, (double[3]){200, 200, 200}, u);
    for (int d = 0; d < 3; d++) assert_near(u[d], 0, 0);
    blocks[3].n = 5, blocks[3].q[1] = NAN;
    assert_fails(CLM_E_ARG, clm_lattice_fit(&w, &grid, blocks, &bent, &p, &l, NULL, &r, &err), err);
    memset(blocks, 0, sizeof blocks);
    p.smoothness = 0;
    assert_fails(CLM_E_ARG, clm_lattice_fit(&w, &grid, blocks, &bent, &p, &l, NULL, &r, &err), err);
    p.smoothness = 1;
    clm_affine flat = bent;
    memset(flat.m[1], 0, sizeof flat.m[1]);
    assert_fails(CLM_E_NUMERIC, clm_lattice_fit(&w, &grid, blocks, &flat, &p, &l, NULL, &r, &err), err);
    one.centre[0] = (double[]){5, 5}, one.shape[0] = 2;
    assert_fails(CLM_E_ARG, clm_lattice_fit(&w, &one, blocks, &bent, &p, &l, NULL, &r, &err), err);
    clm_test_work_drop(&w);
}

/** Blocks without matches right through a cube, as wide as half of it, and of cubes of twice the edge twice as wide: plain
 *  conjugate gradients take four times as many steps there, some 200 and 800. */
static void a_wide_hole_takes_few_steps(void **state) {
    (void)state;
    enum { MOST = 20 };
    static double at[MOST];
    static clm_lattice_block cube[MOST * MOST * MOST];
    for (int k = 0; k < MOST; k++) at[k] = 80 * k;
    for (int edge = 10; edge <= MOST; edge *= 2) {
        const clm_lattice_grid g = {
            .shape = {edge, edge, edge}, .centre = {at, at, at}, .size_um = {80, 80, 80}};
        const clm_lattice_params p = CLM_LATTICE_DEFAULTS;
        const int64_t n = (int64_t)edge * edge * edge;
        clm_work w = clm_test_work(64);
        clm_err err = CLM_ERR_NONE;
        clm_lattice l;
        clm_lattice_report r;
        int64_t empty = 0;
        for (int64_t b = 0; b < n; b++) {
            int64_t z = b / (edge * edge), y = b / edge % edge;
            const double c[3] = {at[z], at[y], at[b % edge]};
            double u[3];
            clm_affine T = CLM_AFFINE_IDENTITY;
            cube[b] = (clm_lattice_block){0};
            if (4 * z >= edge && 4 * z < 3 * edge && 4 * y >= edge && 4 * y < 3 * edge && ++empty) continue;
            warp(3, c, u);
            for (int d = 0; d < 3; d++) T.m[d][3] = u[d];
            T = clm_affine_compose(&bent, &T);
            clm_lattice_block_of_affine(&cube[b], c, g.size_um, &T, 40, 1);
        }
        assert_ok(clm_lattice_fit(&w, &g, cube, &bent, &p, &l, NULL, &r, &err), err);
        assert_int_equal(r.empty, empty);
        assert_true(r.iterations <= 60);
        assert_true(clm_arena_peak(w.temp) <= (size_t)clm_lattice_bytes(g.shape) + 64 * 1024);
        clm_test_work_drop(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_smooth_warp_comes_back), cmocka_unit_test(little_is_not_nothing),
        cmocka_unit_test(order_does_not_matter),    cmocka_unit_test(the_energy_is_least),
        cmocka_unit_test(the_field_is_smooth),      cmocka_unit_test(an_affine_can_speak_for_a_block),
        cmocka_unit_test(bounds_are_kept),          cmocka_unit_test(a_wide_hole_takes_few_steps),
    };
    return cmocka_run_group_tests(tests, make_centres, NULL);
}
