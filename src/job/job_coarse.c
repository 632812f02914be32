/* One block of the coarse fixed or moving image, for volumes without a stored level near enough: the one
 * time that all of such a volume is read, by as many tasks as there are. */
#include "jobs.h"

bool clm_job_coarse(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    int side = task->index < run->coarse_blocks[0].n ? 0 : 1;
    int64_t index = task->index - (side ? run->coarse_blocks[0].n : 0), at[3];
    const clm_grid *g = &run->coarse_blocks[side];
    clm_vol v;
    (void)figure;
    clm_grid_at(g, index, at);
    return clm_view_read(w, &run->coarse_source[side], clm_grid_core(g, index), &v, err) &&
           clm_array_put_chunk(run->coarse[side], at, v.data, err);
}
