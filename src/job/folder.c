/* The run folder: what stands in it before the first task, and what a stage opens. */
#include "collimate/base/file.h"
#include "collimate/transform/transform.h"
#include "jobs.h"
#include "measure.h"

#include <stdio.h>
#include <string.h>

static bool last_pass(const clm_run *run, int k) { return k == run->n_passes - 1; }

/* passes before the last leave their fields among the spills; the last one's is the result */
static bool field_path(const clm_run *run, int k, char out[CLM_PATH_MAX], clm_err *err) {
    if (!last_pass(run, k)) return clm_run_path(run, out, err, "spill/field.%d.zarr", k + 1);
    return clm_run_path(run, out, err, CLM_RUN_TRANSFORM "/coordinateTransformations/dfield/s0");
}

static bool coverage_path(const clm_run *run, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_run_path(run, out, err, CLM_RUN_TRANSFORM "/coordinateTransformations/coverage");
}

static bool create(const char *path, const clm_array_spec *spec, clm_err *err) {
    clm_array *a = NULL;
    if (!clm_array_create(path, spec, &a, err)) return false;
    clm_array_close(a);
    return true;
}

/* the arrays only: the scene that makes the transform whole comes with the last task */
static bool create_field(const clm_run *run, int k, clm_err *err) {
    const clm_pass *p = &run->pass[k];
    char path[CLM_PATH_MAX];
    clm_array_spec field = {
        .ndim = 4, .dtype = CLM_F32, .shape = {3}, .chunk = {3}, .axes = {"d", "z", "y", "x"}};
    clm_array_spec coverage = {.ndim = 3, .dtype = CLM_F32, .axes = {"z", "y", "x"}};
    for (int d = 0; d < 3; d++) {
        field.shape[d + 1] = coverage.shape[d] = p->lattice.shape[d];
        field.chunk[d + 1] = coverage.chunk[d] = p->chunks.block[d];
    }
    if (last_pass(run, k) && (!coverage_path(run, path, err) || !create(path, &coverage, err))) return false;
    return field_path(run, k, path, err) && create(path, &field, err);
}

static bool inputs_of(const clm_run *run, char hash[32], clm_err *err) {
    uint64_t stamp = 0;
    if (!clm_image_stamp(run->fixed, &stamp, err) || !clm_mask_stamp(run->fixed_mask, &stamp, err))
        return false;
    stamp *= 0x9e3779b97f4a7c15u; /* which is which matters */
    if (!clm_image_stamp(run->moving, &stamp, err) || !clm_mask_stamp(run->moving_mask, &stamp, err))
        return false;
    (void)snprintf(hash, 32, "%016llx", (unsigned long long)stamp);
    return true;
}

static bool write_job(const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX], hash[32], inputs[32];
    clm_json *v = NULL;
    clm_buf b = {0};
    bool ok = clm_run_path(run, path, err, "job.json") && inputs_of(run, inputs, err) &&
              clm_config_to_json(run->config, &v, err);
    if (ok) {
        clm_json *about = clm_json_add_object(v, "collimate");
        (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)run->plan.hash);
        clm_json_add_text(about, "version", CLM_VERSION);
        clm_json_add_text(about, "plan", hash);
        clm_json_add_text(about, "inputs", inputs);
        ok = clm_json_print(v, true, &b, err) && clm_file_publish(path, b.data, b.n, true, err);
    }
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool coarse_path(const clm_run *run, int side, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_run_path(run, out, err, "spill/coarse.%s.zarr", side ? "moving" : "fixed");
}

static bool create_coarse(const clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    for (int side = 0; run->makes_coarse && side < 2; side++) {
        clm_array_spec s = {.ndim = 3, .dtype = CLM_F32, .keep_empty = true};
        memcpy(s.shape, run->coarse_blocks[side].extent, sizeof run->coarse_blocks[side].extent);
        memcpy(s.chunk, run->coarse_blocks[side].block, sizeof run->coarse_blocks[side].block);
        if (!coarse_path(run, side, path, err) || !create(path, &s, err)) return false;
    }
    return true;
}

#define JOURNAL "journal" /* as cluster/journal.h names it */

/* the run's journal, of which no header has been written */
static bool blank_journal(const clm_run *run) {
    char path[CLM_PATH_MAX];
    clm_err none;
    clm_buf b = {0};
    bool blank = clm_run_path(run, path, &none, JOURNAL) && clm_file_head(path, 1, &b, &none) && b.n == 0;
    clm_buf_free(&b);
    return blank;
}

/* A launch that was killed while it prepared the folder left a journal without a word, then some of what
 * clm_run_prepare makes, spill first, and nothing else. */
static bool half_made(const clm_run *run, const clm_names *names) {
    static const char *const ours[] = {"spill", CLM_RUN_TRANSFORM, CLM_RUN_ALIGNED, CLM_RUN_FIXED_FOREGROUND,
                                       CLM_RUN_MOVING_FOREGROUND};
    bool begun = names->n == 0;
    for (int64_t i = 0; i < names->n; i++) {
        bool known = strncmp(names->name[i], ".job.json.tmp.", 14) == 0;
        for (int k = 0; k < 5; k++) known |= strcmp(names->name[i], ours[k]) == 0;
        bool journal = strcmp(names->name[i], JOURNAL) == 0 && blank_journal(run);
        if (!known && !journal) return false;
        begun |= journal || strcmp(names->name[i], ours[0]) == 0;
    }
    return begun;
}

/* an existing folder must hold this plan, or nothing of ours */
static bool accept_folder(const clm_run *run, bool *fresh, clm_err *err) {
    char path[CLM_PATH_MAX], want[32], inputs[32];
    clm_json *v = NULL;
    *fresh = true;
    if (clm_path_kind_of(run->folder) == CLM_PATH_NONE) return true;
    if (clm_path_kind_of(run->folder) != CLM_PATH_FOLDER)
        return clm_fail(err, CLM_E_WRITE, "%s: stands in the way of the run folder; give another --out",
                        run->folder);
    if (!clm_run_path(run, path, err, "job.json")) return false;
    if (clm_path_kind_of(path) == CLM_PATH_NONE) {
        clm_names names;
        if (!clm_folder_list(run->folder, &names, err)) return false;
        const bool mine = half_made(run, &names);
        char first[80] = "";
        if (!mine) (void)snprintf(first, sizeof first, "%.79s", names.name[0]);
        clm_names_free(&names);
        if (mine) return true;
        return clm_fail(
            err, CLM_E_ARG,
            "%s: is not empty (%s, ...) and holds no job.json: not a run folder; give another --out",
            run->folder, first);
    }
    if (!inputs_of(run, inputs, err) || !clm_json_read(path, &v, err)) return false;
    const clm_json *about = clm_json_get(v, "collimate");
    const char *have = clm_json_text(clm_json_get(about, "plan")),
               *of = clm_json_text(clm_json_get(about, "inputs"));
    (void)snprintf(want, sizeof want, "%016llx", (unsigned long long)run->plan.hash);
    bool same = have && strcmp(have, want) == 0, same_inputs = of && strcmp(of, inputs) == 0;
    clm_json_free(v);
    if (!same)
        return clm_fail(err, CLM_E_ARG,
                        "%s: holds the run of another job (other images or settings, see its job.json); "
                        "give another --out, or remove it to begin anew",
                        run->folder);
    if (!same_inputs)
        return clm_fail(
            err, CLM_E_ARG,
            "%s: the images' or masks' files were made anew since the run was begun; give another --out, or "
            "remove it to begin anew",
            run->folder);
    *fresh = false;
    return true;
}

bool clm_run_fits(const clm_run *run, clm_err *err) {
    bool fresh;
    return accept_folder(run, &fresh, err);
}

bool clm_run_prepare(clm_run *run, clm_err *err) {
    bool fresh;
    char path[CLM_PATH_MAX];
    if (!accept_folder(run, &fresh, err)) return false;
    /* marks of failures that no journal knows; of those it does they are made again */
    if (!fresh) return clm_run_path(run, path, err, CLM_RUN_FAILED) && clm_folder_remove(path, err);
    if (!clm_folder_make(run->folder, err) || !clm_run_path(run, path, err, "spill") ||
        !clm_folder_make(path, err))
        return false;
    for (int k = 0; k < run->n_passes; k++)
        if (!create_field(run, k, err)) return false;
    /* job.json last: a folder with it is complete, after a power cut, too */
    return create_coarse(run, err) && clm_output_create(&run->aligned, err) &&
           clm_output_create(&run->foreground[0], err) && clm_output_create(&run->foreground[1], err) &&
           clm_file_sync_tree(run->folder, err) && write_job(run, err);
}

/* ---- what a stage needs of earlier ones ---- */

static bool load_affine(clm_run *run, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    if (run->has_affine) return true;
    if (!clm_run_path(run, path, err, "affine.json") || !clm_json_read(path, &v, err)) return false;
    bool ok = true;
    for (int i = 0; ok && i < 3; i++)
        ok = clm_json_numbers(clm_json_at(clm_json_get(v, "affine"), i), 4, run->affine.m[i]);
    double inverted = 0.0;
    bool negative = ok && clm_json_number(clm_json_get(v, "inverted"), &inverted) && inverted > 0.0;
    clm_json_free(v);
    run->has_affine = ok;
    run->local_moving.negative = negative; /* what is measured and written stays as it is */
    for (int k = 0; k < run->n_passes; k++) run->pass[k].moving.negative = negative;
    return ok || clm_fail(err, CLM_E_FORMAT, "%s: affine: must be 3 rows of 4 numbers", path);
}

/* as solved and as settled, as far as that is before the stage */
static bool load_lattice(clm_run *run, int stage, clm_err *err) {
    static const clm_job_kind kinds[2] = {CLM_JOB_LATTICE, CLM_JOB_SETTLE};
    /* of each: 12 numbers a block, the centres, and what a file says of itself */
    const int64_t *n = run->local_blocks.shape;
    int64_t bytes = (12 * run->local_blocks.n + n[0] + n[1] + n[2]) * (int64_t)sizeof(double) + 65536;
    if (!run->store && !clm_arena_open((size_t)(2 * bytes), &run->store, err)) return false;
    for (int k = 0; k < 2; k++) {
        int from = clm_run_stage_of(run, kinds[k], 0);
        clm_spill spill;
        bool failed;
        if (from < 0 || from >= stage || run->lattice[k].n) continue;
        clm_mark m = clm_arena_mark(run->store);
        if (!clm_job_get(run, from, 0, run->store, &spill, &failed, err) ||
            !clm_job_lattice_of(run, &spill, &run->lattice[k], err)) {
            clm_arena_rewind(run->store, m);
            return false;
        }
    }
    return true;
}

static bool open_field(clm_run *run, int k, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_pass *p = &run->pass[k];
    /* each by itself: a stage that could not be begun is tried again */
    if (last_pass(run, k) && !p->coverage &&
        (!coverage_path(run, path, err) || !clm_array_open_write(path, &p->coverage, err)))
        return false;
    return p->field || (field_path(run, k, path, err) && clm_array_open_write(path, &p->field, err));
}

/* for the tasks that make the coarse images, and then for those that look at them */
static bool open_coarse(clm_run *run, bool finished, clm_err *err) {
    clm_view *views[2] = {&run->coarse_fixed, &run->coarse_moving};
    char path[CLM_PATH_MAX];
    for (int side = 0; side < 2; side++) {
        clm_view *v = views[side];
        if (!coarse_path(run, side, path, err)) return false;
        if (!finished && !run->coarse[side]) {
            run->coarse_source[side] = *v; /* which a late task still reads when *v is another */
            if (!clm_array_open_write(path, &run->coarse[side], err)) return false;
        }
        if (!finished || run->coarse_image[side]) continue;
        clm_image_options o = CLM_IMAGE_DEFAULTS;
        o.has_spacing = o.has_origin = true;
        memcpy(o.spacing_um, v->spacing, sizeof o.spacing_um);
        memcpy(o.origin_um, v->origin, sizeof o.origin_um);
        if (!clm_image_open(path, &o, &run->coarse_image[side], err)) return false;
        clm_mask *const *foreground = v->foreground; /* other masks have been applied */
        *v = clm_view_level(run->coarse_image[side], 0);
        v->foreground = foreground;
    }
    return true;
}

bool clm_run_open_foreground(clm_run *run, clm_err *err) {
    const clm_image *images[2] = {run->fixed, run->moving};
    static const clm_list none = {0};
    for (int side = 0; side < 2; side++) {
        const clm_mask_params p = {.path = run->foreground[side].path, .goes_on = true, .background = &none};
        if (!run->foreground[side].n_levels || run->foreground_mask[side]) continue;
        if (!clm_mask_open(images[side], &p, run->cache, &run->foreground_mask[side], err)) return false;
    }
    return true;
}

bool clm_run_stage_begin(clm_run *run, int stage, clm_err *err) {
    clm_job_kind kind = run->kind[stage];
    if (run->makes_coarse && kind <= CLM_JOB_SPOTS && !open_coarse(run, kind > CLM_JOB_COARSE, err))
        return false;
    if (kind == CLM_JOB_FOREGROUND)
        return clm_output_open(&run->foreground[0], err) && clm_output_open(&run->foreground[1], err);
    if (kind > CLM_JOB_FOREGROUND && !clm_run_open_foreground(run, err)) return false;
    if (stage > clm_run_stage_of(run, CLM_JOB_GLOBAL, 0) && !load_affine(run, err)) return false;
    if (kind > CLM_JOB_LATTICE && !load_lattice(run, stage, err)) return false;
    bool early = kind == CLM_JOB_MEASURE && run->part[stage] < CLM_MEASURE_PARTS - 1; /* before any pass */
    int passes = early                                                 ? 0
                 : kind == CLM_JOB_DEFORM                              ? run->part[stage]
                 : kind == CLM_JOB_STITCH || kind == CLM_JOB_STIFFNESS ? run->part[stage] + 1
                                                                       : run->n_passes;
    for (int k = 0; kind > CLM_JOB_SETTLE && k < passes; k++)
        if (!open_field(run, k, err)) return false;
    if (kind != CLM_JOB_APPLY && kind != CLM_JOB_PYRAMID) return true;
    return clm_output_open(&run->aligned, err);
}
