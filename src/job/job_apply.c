/* One chunk of the aligned volume, and one chunk of a coarser level of its pyramid. */
#include "collimate/job/resample.h"
#include "jobs.h"

#include <string.h>

static clm_interp interp_of(const clm_config *c) {
    if (strcmp(c->apply_interpolation, "nearest") == 0) return CLM_INTERP_NEAREST;
    return strcmp(c->apply_interpolation, "cubic") == 0 ? CLM_INTERP_CUBIC : CLM_INTERP_LINEAR;
}

/* what the run has found, as the map that apply will open later; the arrays stay the run's */
static bool map_of(const clm_run *run, clm_map *map, clm_err *err) {
    const clm_pass *p = &run->pass[run->n_passes - 1];
    clm_vectors t = {.array = {p->field}};
    memcpy(t.shape, p->lattice.shape, sizeof t.shape);
    memcpy(t.spacing_um, p->lattice.spacing, sizeof t.spacing_um);
    memcpy(t.origin_um, p->lattice.origin, sizeof t.origin_um);
    memset(map, 0, sizeof *map);
    return clm_map_add_field(map, &t, err) && clm_map_add_affine(map, &run->affine, err);
}

bool clm_job_apply(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                   clm_err *err) {
    const clm_image_frame *base = &run->aligned.base;
    clm_box box = clm_grid_core(&run->aligned.level[0], task->index);
    clm_map map;
    clm_vol grid = {.data = NULL};
    int64_t unsolved; /* none: nothing is solved backwards */
    for (int d = 0; d < 3; d++) {
        grid.shape[d] = box.hi[d] - box.lo[d];
        grid.spacing[d] = base->spacing_um[d];
        grid.origin[d] = base->origin_um[d] + (double)box.lo[d] * base->spacing_um[d];
    }
    const clm_resampled what = {.image = run->moving,
                                .channel = -1,
                                .time = -1,
                                .interp = interp_of(run->config),
                                .outside = run->config->apply_outside,
                                .dtype = run->aligned.dtype};
    void *voxels = clm_arena_take(w->keep, clm_vol_count(&grid), clm_dtype_size(what.dtype), err);
    return voxels && map_of(run, &map, err) &&
           clm_resample(w, &what, &map, &grid, voxels, &figure[0], &unsolved, err) &&
           clm_output_put(&run->aligned, 0, task->index, voxels, err);
}

bool clm_job_pyramid(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                     clm_err *err) {
    (void)figure;
    return clm_output_coarsen(&run->aligned, w, run->part[task->stage], task->index, err);
}
