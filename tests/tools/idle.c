/* mpirun -n N clm_idle TASK_S SECONDS: what the thread of each rank that talks costs, in per cent of a core, while the
 * ranks but 0 sleep in tasks of TASK_S, one each a stage, as many stages as make SECONDS (1 to 60); and what is lost from
 * one stage to the next: wall seconds beyond the tasks' own. */
#include "collimate/base/clock.h"
#include "collimate/cluster/run.h"
#include "support/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { STAGES = 60 }; /* the journal holds no more than 64 */

static bool nap(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    (void)slot, (void)task, (void)out, (void)err;
    clm_nap_us((long)(*(const double *)ctx * 1e6));
    return true;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_comm *c;
    if (argc != 3 || !clm_comm_mpi_open(&c, &err) || c->size < 2) return 2;
    double task_s = atof(argv[1]), whole_s = atof(argv[2]); /* allow: arguments of a tool */
    clm_stage stage[STAGES];
    int stages = (int)(whole_s / task_s) < 1 ? 1 : (int)(whole_s / task_s);
    if (stages > STAGES) stages = STAGES;
    for (int k = 0; k < stages; k++) {
        stage[k] = (clm_stage){.n = c->size - 1, .shape = {1, 1, c->size - 1}};
        (void)snprintf(stage[k].name, sizeof stage[k].name, "nap.%d", k + 1);
    }
    clm_plan plan = {.stage = stage, .n_stages = stages, .hash = 1};
    clm_worker_ops ops = {.ctx = &task_s, .run = nap};
    clm_cluster_options o = CLM_CLUSTER_DEFAULTS;
    clm_run_summary sum;
    clm_buf folder = {0};
    if (!clm_buf_reserve(&folder, CLM_PATH_MAX, &err)) return 1;
    if (c->rank == 0) clm_test_folder((char *)folder.data);
    folder.n = CLM_PATH_MAX;
    if (!clm_comm_share(c, &folder, &err)) return 1;
    o.folder = (char *)folder.data;
    o.slots = c->rank > 0;
    double cpu = cpu_s(), begin_s = clm_clock_s();
    if (!clm_cluster_run(c, &plan, &o, &ops, &sum, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    double s = clm_clock_s() - begin_s;
    printf("rank %d: %.2f %% of a core", c->rank, 100 * (cpu_s() - cpu) / s);
    if (c->rank == 0)
        printf("; %d stages of %g s: %.2f ms lost a stage", stages, task_s,
               1e3 * (s - sum.busy_seconds / (c->size - 1)) / stages);
    printf("\n");
    if (c->rank == 0) clm_test_folder_drop((char *)folder.data);
    clm_comm_close(c, sum.clean);
    return 0;
}
