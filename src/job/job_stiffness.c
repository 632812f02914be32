/* How stiff the next pass is to be: what the blocks of this one tell, together, so that all blocks of the next are
 * equally stiff. */
#include "jobs.h"

#include <math.h>
#include <string.h>

#define SAMPLE 64 /* blocks asked at most, evenly spread: their spills are read whole */

static int64_t asked_of(int64_t n) { return n < SAMPLE ? n : SAMPLE; }

bool clm_job_spill_stays(const clm_run *run, int stage, int64_t index) {
    if (run->kind[stage] != CLM_JOB_DEFORM || clm_run_stage_of(run, CLM_JOB_STIFFNESS, run->part[stage]) < 0)
        return false;
    int64_t n = run->stage[stage].n, asked = asked_of(n), i = clm_div_up(index * asked, n);
    return i < asked && i * n / asked == index;
}

bool clm_job_stiffness(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                       clm_err *err) {
    int stage = clm_run_stage_of(run, CLM_JOB_DEFORM, run->part[task->stage]);
    const clm_deform_params usual = CLM_DEFORM_DEFAULTS;
    clm_deform_evidence sum = {0};
    int64_t n = run->stage[stage].n, asked = asked_of(n);
    for (int64_t i = 0; i < asked; i++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_spill spill;
        clm_deform_evidence part;
        bool failed;
        if (!clm_job_get(run, stage, i * n / asked, w->temp, &spill, &failed, err)) return false;
        const clm_section *s = failed ? NULL : clm_spill_find(&spill, CLM_JOB_EVIDENCE);
        if (s && clm_section_count(s) == CLM_JOB_EVIDENCE_NUMBERS) {
            memcpy(&part, s->data, sizeof part);
            clm_deform_evidence_add(&sum, &part);
        }
        clm_arena_rewind(w->temp, m);
    }
    double found = clm_deform_stiffness(&sum, usual.stiffness);
    figure[0] = found;
    const clm_section s = {.name = "stiffness", .dtype = CLM_F64, .shape = {1, 1, 1, 1}, .data = &found};
    return clm_job_put(run, task, &s, 1, err);
}
