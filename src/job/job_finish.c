/* The last task: metrics.json from the blocks' sums, and the metadata that make the transform and the aligned
 * volume whole. Until it has run neither opens as a finished result. */
#include "collimate/base/file.h"
#include "collimate/transform/transform.h"
#include "jobs.h"
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool add_up(const clm_run *run, const clm_work *w, clm_measure total[CLM_MEASURED_COUNT],
                   clm_err *err) {
    int stage = clm_run_stage_of(run, CLM_JOB_MEASURE, 0);
    for (int k = 0; k < CLM_MEASURED_COUNT; k++) total[k] = (clm_measure){.min_jacobian = INFINITY};
    for (int64_t b = 0; stage >= 0 && b < run->stage[stage].n; b++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_spill spill;
        bool failed;
        if (!clm_job_get(run, stage, b, w->temp, &spill, &failed, err)) return false;
        const double *v = failed ? NULL : clm_spill_find(&spill, "sums")->data;
        for (int k = 0; v && k < CLM_MEASURED_COUNT; k++) {
            clm_measure one = clm_measure_unpack(v + k * CLM_MEASURE_NUMBERS);
            clm_ncc_merge(&total[k].ncc, &one.ncc);
            total[k].lncc.sum += one.lncc.sum;
            total[k].lncc.n += one.lncc.n;
            total[k].min_jacobian = fmin(total[k].min_jacobian, one.min_jacobian);
        }
        clm_arena_rewind(w->temp, m);
    }
    return true;
}

static bool write_metrics(const clm_run *run, const clm_measure total[CLM_MEASURED_COUNT], clm_err *err) {
    static const char *const names[CLM_MEASURED_COUNT] = {"identity", "global", "local", "final"};
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_number(v, "local_ncc_radius_vox", CLM_MEASURE_RADIUS);
    clm_json *stages = clm_json_add_object(v, "stages");
    for (int k = 0; k < CLM_MEASURED_COUNT; k++) {
        if (k == CLM_MEASURED_LOCAL && !run->config->local_enabled) continue;
        clm_json *s = clm_json_add_object(stages, names[k]);
        clm_json_add_number(s, "ncc", clm_ncc_value(&total[k].ncc));
        clm_json_add_number(s, "local_ncc", clm_lncc_value(&total[k].lncc));
        clm_json_add_number(s, "voxels", total[k].ncc.n);
        if (k >= CLM_MEASURED_LOCAL) clm_json_add_number(s, "min_jacobian", total[k].min_jacobian);
    }
    bool ok = clm_json_print(v, true, &b, err) && clm_run_path(run, path, err, "metrics.json") &&
              clm_file_publish(path, b.data, b.n, false, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

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
    clm_measure total[CLM_MEASURED_COUNT];
    (void)task;
    (void)figure;
    if (!add_up(run, w, total, err)) return false;
    if (run->config->measure_enabled && !write_metrics(run, total, err)) return false;
    return write_transform(run, err) && clm_output_finish(&run->aligned, "aligned", NULL, err);
}
