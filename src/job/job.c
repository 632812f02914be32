#include "collimate/job/job.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"
#include "jobs.h"

#include <string.h>
#include <sys/resource.h>

typedef struct job {
    clm_job_fn *run;
    bool marks_failure; /* a later stage asks whether its task failed */
    clm_figure figure[CLM_FIGURE_RSS];
} job;

#define SUM CLM_FIGURE_SUM
#define MEAN CLM_FIGURE_MEAN
#define LEAST CLM_FIGURE_LEAST
#define MOST CLM_FIGURE_MOST
static bool draw(const clm_run *run, const clm_work *w, const clm_task *task, double *figure, clm_err *err) {
    (void)figure;
    return run->draw(run, w, task->index, err);
}

/* clang-format off */
static const job jobs[CLM_JOB_KINDS] = {
    [CLM_JOB_COARSE] = {clm_job_coarse, false, {{NULL, SUM}}},
    [CLM_JOB_FOREGROUND] = {clm_job_foreground, false, {{"share", MEAN}, {"apart", MEAN}}},
    [CLM_JOB_SPOTS] = {clm_job_spots, false, {{"spots", SUM}}},
    [CLM_JOB_GLOBAL] = {clm_job_global, false, {
        {"fixed_spots", SUM}, {"moving_spots", SUM}, {"matches", SUM}, {"inliers", SUM}, {"rms_um", MEAN},
        {"ncc_ransac", MEAN}, {"ncc_refined", MEAN}, {"overlap", MEAN}, {"inverted", MEAN},
        {"stands_out", MEAN}}},
    [CLM_JOB_LOCAL] = {clm_job_local, true, {
        {"fixed_spots", SUM}, {"moving_spots", SUM}, {"matches", SUM}, {"inliers", SUM}, {"rms_um", MEAN},
        {"ncc_start", MEAN}, {"ncc_voxels", MEAN}}},
    [CLM_JOB_LATTICE] = {clm_job_lattice, false, {
        {"blocks_used", SUM}, {"blocks_rejected", SUM}, {"blocks_empty", SUM}, {"rms_um", MEAN}}},
    [CLM_JOB_CHECK] = {clm_job_check, true, {
        {"score_global", MEAN}, {"score_local", MEAN}, {"blocks_below", SUM}}},
    [CLM_JOB_SETTLE] = {clm_job_settle, false, {{"blocks_below", SUM}, {"blocks_changed", SUM}, {"rounds", SUM}, {"score_local", MEAN}}},
    [CLM_JOB_DEFORM] = {clm_job_deform, true, {
        {"metric_before", MEAN}, {"metric_after", MEAN}, {"iterations", MEAN}, {"min_jacobian", LEAST},
        {"max_displacement_um", MOST}, {"covered", MEAN}, {"times_coarser", MOST}}},
    [CLM_JOB_STITCH] = {clm_job_stitch, false, {
        {"pieces", SUM}, {"failed_pieces", SUM}, {"covered", MEAN}, {"max_displacement_um", MOST},
        {"sweeps", MOST}, {"cells_below", SUM}}},
    [CLM_JOB_STIFFNESS] = {clm_job_stiffness, false, {{"stiffness", MEAN}}},
    [CLM_JOB_MEASURE] = {clm_job_measure, true, {
        {"ncc_identity", MEAN}, {"ncc_global", MEAN}, {"ncc_local", MEAN}, {"ncc_final", MEAN},
        {"min_jacobian", LEAST}}},
    [CLM_JOB_APPLY] = {clm_job_apply, false, {{"inside", MEAN}}},
    [CLM_JOB_PYRAMID] = {clm_job_pyramid, false, {{NULL, SUM}}},
    [CLM_JOB_FINISH] = {clm_job_finish, false, {{NULL, SUM}}},
    [CLM_JOB_PICTURE] = {draw, false, {{NULL, SUM}}},
    [CLM_JOB_METRICS] = {clm_job_metrics, false, {{NULL, SUM}}},
};
/* clang-format on */

clm_figure clm_job_figure(clm_job_kind kind, int i) {
    return i >= 0 && i < CLM_FIGURE_RSS ? jobs[kind].figure[i] : (clm_figure){0};
}

bool clm_job_failed(const clm_run *run, const clm_task *task, const clm_err *why, clm_err *err) {
    char path[CLM_PATH_MAX];
    return !jobs[run->kind[task->stage]].marks_failure ||
           (clm_run_failed_path(run, task->stage, task->index, path, err) &&
            clm_file_publish(path, why->text, strlen(why->text), false, err));
}

bool clm_job_run(const clm_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                 clm_err *err) {
    const job *j = &jobs[run->kind[task->stage]];
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    clm_work mine = *w;
    uint64_t stage = 0; /* its place among those that results rest on */
    for (int k = 0; k < task->stage; k++) stage += !run->stage[k].aside;
    mine.seed = clm_rng_mix(clm_rng_mix((uint64_t)run->config->seed, stage), (uint64_t)task->index);
    bool ok = j->run(run, &mine, task, out->figure, err);
    out->peak_bytes = (double)clm_arena_peak(w->keep);
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) == 0) out->figure[CLM_FIGURE_RSS] = (double)use.ru_maxrss * 1024.0;
    return ok;
}
