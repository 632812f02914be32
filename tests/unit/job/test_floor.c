/* Blocks that keep the Jacobian's floor but disagree: what is stored keeps it, too, over the faces of blocks and chunks. */
#include "collimate/align/deform.h"
#include "collimate/image/jacobian.h"
#include "collimate/store/spill.h"
#include "job_pair.h"

static const char *const sets[] = {"global.method=given",  "global.affine=[1,0,0,0,0,1,0,0,0,0,1,0]",
                                   "local.enabled=false",  "deform.factors=[1]",
                                   "deform.pitch_vox=1",   "deform.halo_vox=6",
                                   "measure.enabled=false"};

static clm_run *open_disagreeing(const char *out, clm_config **c) {
    clm_err err = CLM_ERR_NONE;
    clm_run *run = NULL;
    clm_run *first = open_run(out, c);
    clm_run_close(first);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        assert_ok(clm_config_set(*c, sets[i], &err), err);
    char path[CLM_PATH_MAX];
    assert_ok(clm_path_join(path, folder, out, &err) && clm_folder_remove(path, &err), err);
    assert_ok(clm_run_open(*c, &run, &err) && clm_run_prepare(run, &err), err);
    return run;
}

/* the block's nodes, shifted by `far` nodes along all axes, one way or the other from block to block, and a gentle wave */
static void fill(const clm_run *run, int64_t block, double far, clm_field *u) {
    const clm_lattice_plan *l = &run->pass[0].lattice;
    clm_box nodes = clm_lattice_nodes(l, clm_grid_padded(&l->blocks, block));
    clm_err err = CLM_ERR_NONE;
    int64_t shape[3], at[3];
    double origin[3];
    clm_grid_at(&l->blocks, block, at);
    for (int d = 0; d < 3; d++) {
        shape[d] = nodes.hi[d] - nodes.lo[d];
        origin[d] = l->origin[d] + (double)nodes.lo[d] * l->spacing[d];
    }
    assert_ok(clm_field_new(work.keep, shape, l->spacing, origin, u, &err), err);
    for (int64_t z = 0, i = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++)
                for (int c = 0; c < 3; c++) {
                    double sign = (at[0] + at[1] + at[2] + (c == 1)) % 2 ? 1.0 : -1.0;
                    double wave = sin(0.2 * (double)(nodes.lo[2] + x + z) + (double)c);
                    u->u[c][i] = (float)((sign * far + 0.5 * wave) * l->spacing[c]);
                }
}

static void keeps_the_floor(const char *out, double far) {
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    clm_outcome o;
    char path[CLM_PATH_MAX];
    clm_run *run = open_disagreeing(out, &c);
    const clm_affine same = CLM_AFFINE_IDENTITY;
    const clm_pass *p = &run->pass[0];
    int deform = clm_run_stage_of(run, CLM_JOB_DEFORM, 0), sweeps = 0;
    run_stages(run, 0, deform - 1, false);
    assert_true(p->lattice.blocks.n >= 6 && p->chunks.n >= 12);
    clm_arena_reset(work.keep, 0);
    clm_piece piece[16];
    clm_field u[16], prior, blend, stored;
    const double floor = c->deform_min_jacobian;
    for (int64_t b = 0; b < p->lattice.blocks.n; b++) {
        fill(run, b, far, &u[b]);
        assert_true(clm_jacobian_min(&same, &u[b]) > floor);
        piece[b] =
            (clm_piece){b, clm_lattice_nodes(&p->lattice, clm_grid_padded(&p->lattice.blocks, b)), &u[b]};
        const clm_section s = {.name = "field",
                               .dtype = CLM_F32,
                               .shape = {3, u[b].shape[0], u[b].shape[1], u[b].shape[2]},
                               .data = u[b].u[0]};
        assert_ok(clm_run_spill_path(run, deform, b, path, &err) &&
                      clm_spill_put(path, run->plan.hash, deform, b, &s, 1, &err),
                  err);
    }
    const double *spacing = p->lattice.spacing, *origin = p->lattice.origin;
    const int64_t *shape = p->lattice.shape;
    assert_ok(clm_field_new(work.keep, shape, spacing, origin, &prior, &err) &&
                  clm_field_new(work.keep, shape, spacing, origin, &blend, &err),
              err);
    int64_t n = clm_field_count(&blend);
    float *coverage = clm_take(work.keep, float, n, &err);
    clm_stitch_chunk(&p->lattice, clm_box_of(shape), piece, p->lattice.blocks.n, &prior, &blend, coverage);
    double plain = clm_jacobian_min(&same, &blend);

    /* tasks take the arenas for themselves: what is to be compared is kept elsewhere */
    float *want = clm_heap_new((size_t)(3 * n), sizeof *want, &err);
    int32_t whole;
    assert_ok(clm_floor_mend(&work, &blend, 1.00001 * floor, &whole, &err), err);
    memcpy(want, blend.u[0], (size_t)(3 * n) * sizeof *want);
    assert_ok(clm_run_stage_begin(run, deform + 1, &err), err);
    for (int64_t k = 0; k < p->chunks.n; k++) {
        assert_ok(run_task(run, deform + 1, k, &o, &err), err);
        assert_near(o.figure[5], 0.0, 0.0);
        sweeps = o.figure[4] > sweeps ? (int)o.figure[4] : sweeps;
    }
    clm_arena_reset(work.keep, 0);
    assert_ok(clm_field_new(work.keep, shape, spacing, origin, &stored, &err), err);
    const int64_t lo[4] = {0}, hi[4] = {3, shape[0], shape[1], shape[2]};
    assert_ok(clm_array_read(p->field, lo, hi, stored.u[0], &err), err);
    double least = clm_jacobian_min(&same, &stored);
    print_message(
        "least Jacobian %.3f of the blend, %.4f of what is stored, after %d sweeps of a chunk, %d of the whole\n",
        plain, least, sweeps, (int)whole);
    assert_true(plain < floor);
    assert_true(least >= floor);
    assert_memory_equal(stored.u[0], want, (size_t)(3 * n) * sizeof *want); /* no face of a chunk shows */
    clm_heap_free(want);
    close_run(run, c);
}

static void a_blend_keeps_the_floor(void **state) {
    (void)state;
    keeps_the_floor("dip", 1.08);
    keeps_the_floor("fold", 2.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_blend_keeps_the_floor)};
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
