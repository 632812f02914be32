/* metrics.json: the sums of the blocks that have been measured under every transform, in order of their numbers. */
#include "collimate/base/file.h"
#include "jobs.h"
#include "measure.h"

#include <math.h>

/* a block's sums under all transforms; *failed: under one of them they are missing */
static bool read_block(const clm_run *run, const clm_work *w, int64_t block,
                       clm_measure out[CLM_MEASURED_COUNT], bool *failed, clm_err *err) {
    *failed = false;
    for (int part = 0; part < CLM_MEASURE_PARTS && !*failed; part++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_spill spill;
        if (!clm_job_get(run, clm_run_stage_of(run, CLM_JOB_MEASURE, part), block, w->temp, &spill, failed,
                         err))
            return false;
        const double *v = *failed ? NULL : clm_spill_find(&spill, "sums")->data;
        for (clm_measured k = clm_measured_from[part]; v && k < clm_measured_from[part + 1];
             k++, v += CLM_MEASURE_NUMBERS)
            out[k] = clm_measure_unpack(v);
        clm_arena_rewind(w->temp, m);
    }
    return true;
}

static bool add_up(const clm_run *run, const clm_work *w, clm_measure total[CLM_MEASURED_COUNT],
                   clm_err *err) {
    for (int k = 0; k < CLM_MEASURED_COUNT; k++) total[k] = (clm_measure){.min_jacobian = INFINITY};
    for (int64_t b = 0; b < run->measure_blocks.n; b++) {
        clm_measure one[CLM_MEASURED_COUNT];
        bool failed;
        if (!read_block(run, w, b, one, &failed, err)) return false;
        for (int k = 0; k < CLM_MEASURED_COUNT && !failed; k++) {
            clm_ncc_merge(&total[k].ncc, &one[k].ncc);
            total[k].lncc.sum += one[k].lncc.sum;
            total[k].lncc.n += one[k].lncc.n;
            total[k].min_jacobian = fmin(total[k].min_jacobian, one[k].min_jacobian);
        }
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

bool clm_job_metrics(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                     clm_err *err) {
    clm_measure total[CLM_MEASURED_COUNT];
    (void)task;
    (void)figure;
    return add_up(run, w, total, err) && write_metrics(run, total, err);
}
