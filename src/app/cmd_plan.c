#include "collimate/app/commands.h"
#include "collimate/app/options.h"
#include "collimate/job/align_run.h"

#include <math.h>
#include <stdio.h>

static const char help[] =
    "Usage: collimate plan [JOB.json] --fixed PATH --moving PATH [OPTIONS]\n\n"
    "What `collimate align` with the same arguments would do: stages, blocks, memory, bytes. Runs nothing, writes\n"
    "nothing, and reads metadata only, so it answers at once for volumes of any size.\n\n";

/* CPU nanoseconds a voxel of the alignment level: 410 to 570 of 256^3 to 768^3 voxels, docs/performance.md */
#define NS_PER_VOXEL 500.0

static double voxels_of(const clm_image *image) {
    const int64_t *s = clm_image_info_of(image)->level[0].shape;
    return (double)s[0] * (double)s[1] * (double)s[2];
}

static void print_image(const char *what, const clm_image *image) {
    const clm_image_level *l = &clm_image_info_of(image)->level[0];
    (void)printf("  %-7s %lld x %lld x %lld voxels of %.4g x %.4g x %.4g um (z y x), %s\n", what,
                 (long long)l->shape[0], (long long)l->shape[1], (long long)l->shape[2], l->spacing_um[0],
                 l->spacing_um[1], l->spacing_um[2], clm_dtype_name(clm_image_info_of(image)->dtype));
}

static void print_text(const clm_run *run) {
    const clm_view *v = &run->measure_fixed;
    double most = 0.0, bytes_out = 0.0;
    int largest = 0;
    print_image("fixed", run->fixed);
    print_image("moving", run->moving);
    (void)printf("  aligned at %.4g x %.4g x %.4g um; the global stage at %.4g x %.4g x %.4g um\n\n",
                 v->spacing[0], v->spacing[1], v->spacing[2], run->coarse_fixed.spacing[0],
                 run->coarse_fixed.spacing[1], run->coarse_fixed.spacing[2]);
    (void)printf("  %-10s %10s  %-18s %12s\n", "stage", "tasks", "grid z y x", "memory/task");
    for (int k = 0; k < run->plan.n_stages; k++) {
        const clm_stage *s = &run->stage[k];
        char grid[64];
        double bytes = clm_run_task_bytes(run, k);
        (void)snprintf(grid, sizeof grid, "%lld x %lld x %lld", (long long)s->shape[0],
                       (long long)s->shape[1], (long long)s->shape[2]);
        (void)printf("  %-10s %10lld  %-18s %12s\n", s->name, (long long)s->n, grid, clm_text_bytes(bytes).s);
        if (bytes > most) most = bytes, largest = k;
    }
    const double cache = clm_run_cache_bytes(run);
    double in = voxels_of(run->fixed) * (double)clm_dtype_size(clm_image_info_of(run->fixed)->dtype) +
                voxels_of(run->moving) * (double)clm_dtype_size(clm_image_info_of(run->moving)->dtype);
    if (run->aligned.n_levels)
        bytes_out +=
            voxels_of(run->fixed) * 8.0 / 7.0 * (double)clm_dtype_size(clm_image_info_of(run->moving)->dtype);
    for (int k = 0; k < run->n_passes; k++)
        bytes_out += 16.0 * (double)(run->pass[k].lattice.shape[0] * run->pass[k].lattice.shape[1] *
                                     run->pass[k].lattice.shape[2]);
    double cpu = 1e-9 * NS_PER_VOXEL * (double)v->shape[0] * (double)v->shape[1] * (double)v->shape[2];
    (void)printf("\n  images %s raw; output at most %s raw\n", clm_text_bytes(in).s,
                 clm_text_bytes(bytes_out).s);
    (void)printf("  memory a rank: threads x %s, %s of it cached chunks\n", clm_text_bytes(most + cache).s,
                 clm_text_bytes(cache).s);
    (void)printf("  time: about %s of CPU; divide by the cores\n", clm_text_seconds(cpu).s);
    if (most <= run->config->memory_task_mib * 1048576.0) return;
    /* one task over all blocks of local, or tasks of a block each */
    bool all = run->kind[largest] == CLM_JOB_LATTICE || run->kind[largest] == CLM_JOB_SETTLE;
    (void)printf(
        "  WARNING: a task of %s needs more than memory.task_mib = %.0f; use %s blocks%s or raise it\n",
        run->stage[largest].name, run->config->memory_task_mib, all ? "larger" : "smaller",
        all ? " of local (local.block_vox)" : "");
}

static bool print_json(const clm_run *run, clm_err *err) {
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *list = clm_json_add_list(v, "stages");
    for (int k = 0; k < run->plan.n_stages; k++) {
        clm_json *e = clm_json_add_object(list, NULL);
        clm_json_add_text(e, "name", run->stage[k].name);
        clm_json_add_number(e, "tasks", (double)run->stage[k].n);
        clm_json_add_ints(e, "grid_zyx", run->stage[k].shape, 3);
        clm_json_add_number(e, "task_bytes", clm_run_task_bytes(run, k));
    }
    /* of a rank: so much a thread, where no task may take more than its budget; and what of it is cached chunks */
    clm_json_add_number(v, "thread_bytes", clm_run_thread_bytes(run));
    clm_json_add_number(v, "cache_bytes", clm_run_cache_bytes(run));
    bool ok = clm_json_print(v, true, &b, err);
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

int clm_cmd_plan(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_options o;
    clm_run *run = NULL;
    bool ok = clm_options_parse(argc, argv, &o, &err);
    if (ok && o.args.help) {
        (void)printf("%s%s", help, clm_options_help());
    } else {
        /* a plan needs no folder; the name only stands in for one */
        if (ok && !o.config->out[0]) ok = clm_config_put_text(o.config, "out", "out", &err);
        ok = ok && clm_run_open(o.config, &run, &err);
        if (ok && o.json) ok = print_json(run, &err);
        if (ok && !o.json) print_text(run);
    }
    clm_run_close(run);
    clm_options_free(&o);
    return ok ? CLM_EXIT_DONE : clm_command_fails("plan", &err);
}
