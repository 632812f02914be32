/* A compose run from its spec to its last word, in this process, chunks from the last to the first. */
#ifndef CLM_TESTS_COMPOSED_H
#define CLM_TESTS_COMPOSED_H

#include "collimate/job/compose.h"

/** total: NULL, or the figures of the run (of affines alone: zeros). */
static inline bool clm_test_compose(const clm_compose_spec *spec, const clm_work *w,
                                    double total[CLM_COMPOSED_COUNT], clm_err *err) {
    clm_json *v = NULL;
    clm_compose_run *run = NULL;
    double figures[CLM_COMPOSED_COUNT];
    if (!clm_compose_spec_to_json(spec, &v, err) || !clm_compose_open(v, &run, err)) return false;
    bool ok = run->out.chunks.n == 0 || clm_compose_prepare(run, err);
    for (int k = 0; ok && k < run->plan.n_stages; k++) {
        ok = clm_compose_begin(run, k, err);
        for (int64_t i = run->stage[k].n - 1; ok && i >= 0; i--) {
            clm_outcome o = {.task = {.stage = k, .index = i}};
            ok = clm_compose_task(run, w, &o.task, &o, err);
            if (ok) clm_compose_outcome(run, &o);
        }
    }
    ok = ok && clm_compose_finish(run, err) && clm_compose_tidy(run, err);
    if (ok) clm_compose_total(run, total ? total : figures);
    clm_compose_close(run);
    return ok;
}

#endif
