/* What is missing, or wrong, in one place must not be felt in another. */
#include "collimate/image/metric.h"
#include "collimate/image/warp.h"
#include "collimate/store/spill.h"
#include "job_pair.h"

#include <stdlib.h>

/* how far the result is from that of the run "forward" where the moving voxel lies `away` from the box, in
 * voxels; most, 8 or more voxels within both images, or NaN when nothing was compared */
static double off_without(const clm_run *run, clm_box box, int64_t away) {
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    clm_run *other = open_run("forward", &c);
    clm_field u[2];
    const clm_run *runs[2] = {run, other};
    clm_vol grid = clm_view_grid(&run->measure_fixed);
    const clm_phantom_side *side = &phantom.params.side[CLM_PHANTOM_MOVING];
    double most = NAN;
    clm_arena_reset(work.keep, 0);
    for (int k = 0; k < 2; k++) {
        const clm_pass *p = &runs[k]->pass[runs[k]->n_passes - 1];
        assert_ok(
            clm_run_stage_begin(k ? other : (clm_run *)(uintptr_t)run, runs[k]->plan.n_stages - 1, &err),
            err);
        assert_ok(
            clm_field_new(work.keep, p->lattice.shape, p->lattice.spacing, p->lattice.origin, &u[k], &err),
            err);
        const int64_t lo[4] = {0}, hi[4] = {3, u[k].shape[0], u[k].shape[1], u[k].shape[2]};
        assert_ok(clm_array_read(p->field, lo, hi, u[k].u[0], &err), err);
    }
    for (int64_t i = 0; i < grid.shape[0] * grid.shape[1] * grid.shape[2]; i += 3) {
        const int64_t v[3] = {i / grid.shape[1] / grid.shape[2], i / grid.shape[2] % grid.shape[1],
                              i % grid.shape[2]};
        double x[3], y[2][3], square = 0.0;
        bool near = true, inside = true;
        for (int d = 0; d < 3; d++) {
            x[d] = grid.origin[d] + (double)v[d] * grid.spacing[d];
            inside = inside && v[d] >= 8 && v[d] < grid.shape[d] - 8;
        }
        for (int k = 0; k < 2; k++) clm_transform_point(&runs[k]->affine, &u[k], x, y[k]);
        for (int d = 0; d < 3; d++) {
            double at = (y[1][d] - side->origin[d]) / side->spacing[d];
            near = near && at > (double)(box.lo[d] - away) && at < (double)(box.hi[d] + away);
            inside = inside && at > 8.0 && at < (double)side->shape[d] - 9.0;
            square += (y[0][d] - y[1][d]) * (y[0][d] - y[1][d]) / side->spacing[d] / side->spacing[d];
        }
        if (inside && !near) most = fmax(most, sqrt(square));
    }
    close_run(other, c);
    return most;
}

/* What is missing must not drag what is there. */
static void missing_tissue_drags_nothing(void **state) {
    (void)state;
    char mask[CLM_PATH_MAX], set[CLM_PATH_MAX + 16];
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_path_join(mask, folder, "pair.n5/hole_mask", &err), err);
    (void)snprintf(set, sizeof set, "moving_mask=%s", mask);
    const struct {
        const char *out, *image, *set;
        clm_box box;
        int64_t reach_vox; /* beyond which it must not be felt: further where the program is not told */
    } cases[] = {{"holed", "pair.n5/holed", "mask.moving_background=[0]", hole, 8},
                 {"masked", "pair.n5/holed", set, hole, 8},
                 {"half", "pair.n5/half", "mask.moving_background=[0]", half, 8},
                 {"found", "pair.n5/half", "mask.moving_foreground=true", half, 12},
                 {"untold_hole", "pair.n5/holed", NULL, hole, 12},
                 {"untold_half", "pair.n5/half", NULL, half, 12}};
    for (int k = 0; k < 6; k++) {
        clm_config *c;
        moving_name = cases[k].image;
        clm_run *run = open_run_with(cases[k].out, cases[k].set, &c);
        moving_name = "pair.n5/moving";
        int last = run->plan.n_stages - 1;
        for (int s = 0; s <= last; s++) { /* blocks may fail: nothing there is data */
            clm_outcome o;
            assert_ok(clm_run_stage_begin(run, s, &err), err);
            for (int64_t i = 0; i < run->stage[s].n; i++) {
                clm_err failed = CLM_ERR_NONE;
                if (run_task(run, s, i, &o, &failed)) continue;
                assert_int_equal(failed.code, CLM_E_NODATA);
                assert_ok(clm_job_failed(run, &o.task, &failed, &err), err);
            }
        }
        double off = off_without(run, cases[k].box, cases[k].reach_vox);
        print_message("%s: at most %.3f voxels off, %lld or more from it\n", cases[k].out, off,
                      (long long)cases[k].reach_vox);
        assert_true(off < 0.2);
        close_run(run, c);
    }
}

/* correlation of one block's core under a lattice, or under the global affine (NULL), from the whole volumes */
static double block_score(const clm_run *run, int64_t block, const clm_lattice *l) {
    clm_err err = CLM_ERR_NONE;
    clm_mark m = clm_arena_mark(work.keep);
    const clm_lattice_plan *plan = &run->pass[run->n_passes - 1].lattice;
    clm_vol fixed, moving, core, warped;
    clm_field u;
    clm_ncc s = {0};
    assert_ok(clm_view_read(&work, &run->local_fixed, clm_box_of(run->local_fixed.shape), &fixed, &err), err);
    assert_ok(clm_view_read(&work, &run->local_moving, clm_box_of(run->local_moving.shape), &moving, &err),
              err);
    assert_ok(clm_field_new(work.keep, plan->shape, plan->spacing, plan->origin, &u, &err), err);
    memset(u.u[0], 0, (size_t)clm_field_count(&u) * 3 * sizeof(float));
    if (l) clm_lattice_field(l, &u);
    core = clm_vol_crop(&fixed, clm_grid_core(&run->local_blocks, block));
    assert_ok(clm_vol_new(work.keep, core.shape, core.spacing, core.origin, &warped, &err), err);
    assert_ok(clm_warp(&work, &moving, &run->affine, &u, CLM_INTERP_LINEAR, NAN, &warped, NULL, &err) &&
                  clm_ncc_add(&s, &core, &warped, &err),
              err);
    clm_arena_rewind(work.keep, m);
    return clm_ncc_value(&s);
}

/* A block that is told a wrong affine, and a neighbour that gives up half of it, score lower than under the global
 * affine; after the stage none does, and what is far from them is as it was. */
static void no_block_is_below_the_global_affine(void **state) {
    (void)state;
    clm_config *c;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_spill spill;
    clm_outcome o;
    more_set = "local.factor=1";
    clm_run *run = open_run_with("settled", "local.block_vox=16", &c);
    more_set = NULL;
    int lattice = clm_run_stage_of(run, CLM_JOB_LATTICE, 0),
        settle = clm_run_stage_of(run, CLM_JOB_SETTLE, 0);
    const int64_t liar[3] = {0, 1, 1}, reach = 2; /* its own block, and those whose cores it reaches into */
    int64_t b = clm_grid_index(&run->local_blocks, liar), n = run->local_blocks.n;
    run_stages(run, 0, lattice, false);
    assert_true(n >= 32);
    assert_ok(clm_run_spill_path(run, lattice, 0, path, &err), err);
    assert_ok(clm_spill_read(path, run->plan.hash, work.keep, &spill, &err), err);
    double(*m)[3][4] = (double(*)[3][4])(uintptr_t)clm_spill_find(&spill, "affine")->data;
    m[b][0][3] += 6.0, m[b][2][3] -= 6.0; /* micrometres */
    assert_ok(clm_spill_put(path, run->plan.hash, lattice, 0, spill.section, spill.n, &err), err);
    run_stages(run, lattice + 1, settle, false);
    assert_ok(clm_run_stage_begin(run, settle, &err) && run_task(run, settle, 0, &o, &err), err);
    assert_ok(clm_run_stage_begin(run, settle + 1, &err), err);
    print_message("%g of %lld blocks below, %g changed in %g rounds\n", o.figure[0], (long long)n,
                  o.figure[1], o.figure[2]);
    clm_arena_reset(work.keep, 0);
    double planted = block_score(run, b, &run->lattice[0]), worst = INFINITY;
    assert_true(planted < block_score(run, b, NULL) - 0.05);
    for (int64_t k = 0; k < n; k++) {
        int64_t at[3];
        bool near = true;
        double gain = block_score(run, k, &run->lattice[1]) - block_score(run, k, NULL);
        worst = fmin(worst, gain);
        clm_grid_at(&run->local_blocks, k, at);
        for (int d = 0; d < 3; d++) near = near && llabs(at[d] - liar[d]) <= reach;
        if (!near) assert_memory_equal(run->lattice[0].m[k], run->lattice[1].m[k], sizeof *run->lattice[1].m);
    }
    print_message("least gain of a block over the global affine %.4f\n", worst);
    assert_true(worst > -1e-6);
    close_run(run, c);
}

static int make_forward(void **state) {
    clm_config *c;
    if (make_pair(state) != 0) return -1;
    clm_run *run = open_run("forward", &c);
    run_stages(run, 0, run->plan.n_stages - 1, false);
    close_run(run, c);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(missing_tissue_drags_nothing),
                                       cmocka_unit_test(no_block_is_below_the_global_affine)};
    return cmocka_run_group_tests(tests, make_forward, drop_pair);
}
