/* The metadata that make the transform and the aligned volume whole. Until it has run neither opens as a finished
 * result. */
#include "collimate/transform/transform.h"
#include "jobs.h"

#include <string.h>

static bool write_transform(const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    const clm_pass *p = &run->pass[run->n_passes - 1];
    clm_transform_spec s = {.affine = run->affine,
                            .fixed = clm_view_frame(run->fixed, 0),
                            .moving = clm_view_frame(run->moving, 0)};
    memcpy(s.shape, p->lattice.shape, sizeof s.shape);
    memcpy(s.spacing_um, p->lattice.spacing, sizeof s.spacing_um);
    memcpy(s.origin_um, p->lattice.origin, sizeof s.origin_um);
    memcpy(s.chunk, p->chunks.block, sizeof s.chunk);
    return clm_run_path(run, path, err, CLM_RUN_TRANSFORM) && clm_ome_write_transform(path, &s, err);
}

bool clm_job_finish(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                    clm_err *err) {
    (void)w;
    (void)task;
    (void)figure;
    return write_transform(run, err) && clm_output_finish(&run->aligned, "aligned", NULL, err);
}
