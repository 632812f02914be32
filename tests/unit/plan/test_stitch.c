#include "collimate/plan/stitch.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double spacing[3] = {2.0, 1.0, 1.5}, origin[3] = {5.0, -3.0, 0.0};

static clm_lattice_plan plan_of(int64_t z, int64_t y, int64_t x, int64_t block, int64_t halo) {
    const int64_t extent[3] = {z, y, x};
    return clm_lattice_plan_make(extent, spacing, origin, block, halo, 4);
}

static void weights_sum_to_one(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {
        {64, 16}, {64, 0}, {24, 20}}; /* no overlap, and more than half a block */
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        clm_lattice_plan p = plan_of(149, 60, 201, sizes[k][0], sizes[k][1]);
        for (int64_t z = 0; z < p.shape[0]; z += 3)
            for (int64_t y = 0; y < p.shape[1]; y += 2)
                for (int64_t x = 0; x < p.shape[2]; x++) {
                    double sum = 0;
                    for (int64_t b = 0; b < p.blocks.n; b++) {
                        double w = clm_lattice_weight(&p, b, (const int64_t[3]){z, y, x});
                        clm_box nodes = clm_lattice_nodes(&p, clm_grid_padded(&p.blocks, b));
                        if (w > 0)
                            assert_true(clm_box_has(nodes, z, y, x)); /* it holds what it is weighed for */
                        sum += w;
                    }
                    assert_near(sum, 1.0, 1e-12);
                }
    }
}

/* t^2 (3 - 2 t) from the face less half the halo to the face and as much more; without a halo the face is the upper's */
static void weights_rise_across_faces(void **state) {
    (void)state;
    clm_lattice_plan p = plan_of(2, 2, 128, 64, 32), q = plan_of(2, 2, 128, 64, 0);
    static const double rise[] = {0, 0, 0.15625, 0.5, 0.84375, 1, 1}; /* every 8 voxels around the face */
    assert_int_equal(p.blocks.block[2], 64);
    for (int k = 0; k < 7; k++) {
        const int64_t node[3] = {0, 0, (64 + 8 * (k - 3)) / 4};
        assert_near(clm_lattice_weight(&p, 1, node), rise[k], 1e-12);
        assert_near(clm_lattice_weight(&q, 1, node), k < 3 ? 0 : 1, 0);
    }
}

/* a linear field u, a prior v, some blocks missing */
static void stitch_case(const clm_lattice_plan *p, unsigned present, clm_field *out, float *coverage,
                        clm_work *w) {
    clm_err err = CLM_ERR_NONE;
    clm_piece pieces[64];
    clm_field fields[64], prior;
    int64_t n = 0;
    clm_box all = {{0, 0, 0}, {p->shape[0], p->shape[1], p->shape[2]}};
    assert_ok(clm_field_new(w->keep, p->shape, p->spacing, p->origin, &prior, &err), err);
    for (int64_t i = 0; i < clm_field_count(&prior); i++)
        for (int c = 0; c < 3; c++) prior.u[c][i] = 1.0f;
    for (int64_t b = 0; b < p->blocks.n; b++) {
        if (!(present >> b & 1u)) continue;
        clm_box nodes = clm_lattice_nodes(p, clm_grid_padded(&p->blocks, b));
        const int64_t shape[3] = {nodes.hi[0] - nodes.lo[0], nodes.hi[1] - nodes.lo[1],
                                  nodes.hi[2] - nodes.lo[2]};
        assert_ok(clm_field_new(w->keep, shape, p->spacing, p->origin, &fields[n], &err), err);
        int64_t i = 0;
        for (int64_t z = nodes.lo[0]; z < nodes.hi[0]; z++)
            for (int64_t y = nodes.lo[1]; y < nodes.hi[1]; y++)
                for (int64_t x = nodes.lo[2]; x < nodes.hi[2]; x++, i++)
                    for (int c = 0; c < 3; c++) fields[n].u[c][i] = (float)(z + 2 * y + 3 * x + c);
        pieces[n] = (clm_piece){.block = b, .nodes = nodes, .field = &fields[n]};
        n++;
    }
    clm_stitch_chunk(p, all, pieces, n, &prior, out, coverage);
}

static void agreeing_blocks_stitch_to_themselves(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_work w = clm_test_work(64);
    clm_lattice_plan p = plan_of(100, 70, 90, 48, 16);
    clm_field out;
    float *coverage = clm_take(w.keep, float, p.shape[0] * p.shape[1] * p.shape[2], &err);
    assert_ok(clm_field_new(w.keep, p.shape, p.spacing, p.origin, &out, &err), err);
    for (unsigned drop = 0; drop <= (unsigned)p.blocks.n;
         drop++) { /* none, then each block in turn, missing */
        unsigned present = (1u << p.blocks.n) - 1u;
        if (drop) present &= ~(1u << (drop - 1));
        stitch_case(&p, present, &out, coverage, &w);
        int64_t i = 0;
        for (int64_t z = 0; z < p.shape[0]; z++)
            for (int64_t y = 0; y < p.shape[1]; y++)
                for (int64_t x = 0; x < p.shape[2]; x++, i++) {
                    double missing =
                        drop ? clm_lattice_weight(&p, drop - 1, (const int64_t[3]){z, y, x}) : 0.0;
                    assert_near(coverage[i], 1.0 - missing, 1e-5);
                    double t = missing < 0.5 ? 1.0 : (1.0 - missing) / 0.5, s = t * t * (3.0 - 2.0 * t);
                    assert_near(out.u[1][i], 1.0 + s * (double)(z + 2 * y + 3 * x), 1e-3);
                    if (missing == 1.0)
                        assert_near(out.u[1][i], 1.0, 0.0); /* a hole falls back to the prior */
                }
    }
    clm_test_work_drop(&w);
}

/* Cut into chunks in any way, the field is the same, to the bit. */
static void chunks_equal_the_whole(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_work w = clm_test_work(64);
    clm_lattice_plan p = plan_of(80, 50, 90, 48, 16);
    clm_field whole, part, prior, fields[8];
    clm_piece pieces[8];
    int64_t n = clm_field_count(&(clm_field){.shape = {p.shape[0], p.shape[1], p.shape[2]}});
    float *coverage = clm_take(w.keep, float, n, &err), *some = clm_take(w.keep, float, n, &err);
    assert_ok(clm_field_new(w.keep, p.shape, p.spacing, p.origin, &whole, &err), err);
    assert_true(p.blocks.n <= 8);
    for (int64_t b = 0; b < p.blocks.n; b++) {
        clm_box nodes = clm_lattice_nodes(&p, clm_grid_padded(&p.blocks, b));
        const int64_t shape[3] = {nodes.hi[0] - nodes.lo[0], nodes.hi[1] - nodes.lo[1],
                                  nodes.hi[2] - nodes.lo[2]};
        assert_ok(clm_field_new(w.keep, shape, p.spacing, p.origin, &fields[b], &err), err);
        for (int64_t i = 0; i < clm_field_count(&fields[b]); i++)
            for (int c = 0; c < 3; c++)
                fields[b].u[c][i] = (float)clm_rng_uniform(7, (uint64_t)(b * 3 + c), (uint64_t)i);
        pieces[b] = (clm_piece){.block = b, .nodes = nodes, .field = &fields[b]};
    }
    assert_ok(clm_field_new(w.keep, p.shape, p.spacing, p.origin, &prior, &err), err);
    clm_box all = {{0, 0, 0}, {p.shape[0], p.shape[1], p.shape[2]}};
    clm_stitch_chunk(&p, all, pieces, p.blocks.n, &prior, &whole, coverage);
    clm_grid chunks = clm_grid_chunks(p.shape, (const int64_t[3]){7, 8, 5});
    for (int64_t k = 0; k < chunks.n; k++) {
        clm_box c = clm_grid_core(&chunks, k);
        const int64_t shape[3] = {c.hi[0] - c.lo[0], c.hi[1] - c.lo[1], c.hi[2] - c.lo[2]};
        clm_mark m = clm_arena_mark(w.temp);
        assert_ok(clm_field_new(w.temp, shape, p.spacing, p.origin, &part, &err), err);
        assert_ok(clm_field_new(w.temp, shape, p.spacing, p.origin, &prior, &err), err);
        clm_stitch_chunk(&p, c, pieces, p.blocks.n, &prior, &part, some);
        int64_t i = 0;
        for (int64_t z = c.lo[0]; z < c.hi[0]; z++)
            for (int64_t y = c.lo[1]; y < c.hi[1]; y++)
                for (int64_t x = c.lo[2]; x < c.hi[2]; x++, i++) {
                    int64_t at = (z * p.shape[1] + y) * p.shape[2] + x;
                    for (int d = 0; d < 3; d++)
                        assert_memory_equal(&part.u[d][i], &whole.u[d][at], sizeof(float));
                    assert_memory_equal(&some[i], &coverage[at], sizeof(float));
                }
        clm_arena_rewind(w.temp, m);
    }
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_sum_to_one), cmocka_unit_test(weights_rise_across_faces),
        cmocka_unit_test(agreeing_blocks_stitch_to_themselves), cmocka_unit_test(chunks_equal_the_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
