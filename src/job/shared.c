#include "jobs.h"
#include "collimate/image/warp.h"

#include <math.h>
#include <string.h>

bool clm_job_put(const clm_run *run, const clm_task *task, const clm_section *sections, int n, clm_err *err) {
    char path[CLM_PATH_MAX];
    return clm_run_spill_path(run, task->stage, task->index, path, err) &&
           clm_spill_put(path, run->plan.hash, task->stage, task->index, sections, n, err);
}

bool clm_job_mark_failed(const clm_run *run, const clm_task *task, const clm_err *why, clm_err *err) {
    const int32_t code = (int32_t)why->code;
    const clm_section s[2] = {{.name = "failed",
                               .dtype = CLM_U8,
                               .shape = {1, 1, 1, (int64_t)strlen(why->text) + 1},
                               .data = why->text},
                              {.name = "code", .dtype = CLM_I32, .shape = {1, 1, 1, 1}, .data = &code}};
    return clm_job_put(run, task, s, 2, err);
}

bool clm_job_failed_before(const clm_spill *spill, clm_err *err) {
    const clm_section *why = clm_spill_find(spill, "failed"), *code = clm_spill_find(spill, "code");
    clm_code c = code ? (clm_code) * (const int32_t *)code->data : CLM_E_IO;
    return clm_fail(err, c, "%s", why ? (const char *)why->data : "");
}

bool clm_job_get(const clm_run *run, int stage, int64_t index, clm_arena *a, clm_spill *out, bool *failed,
                 clm_err *err) {
    char path[CLM_PATH_MAX];
    if (!clm_run_spill_path(run, stage, index, path, err)) return false;
    if (!clm_spill_read(path, run->plan.hash, a, out, err)) {
        if (err->code == CLM_E_NOTFOUND) err->code = CLM_E_IO;
        return false;
    }
    *failed = clm_spill_find(out, "failed") != NULL;
    return true;
}

/* the part of a stored field that the nodes of `out` lie in, read and resampled */
static bool read_field(const clm_pass *p, const clm_work *w, clm_field *out, clm_err *err) {
    int64_t lo[4] = {0}, hi[4] = {3}, shape[3];
    double origin[3];
    for (int d = 0; d < 3; d++) {
        double first = (out->origin[d] - p->lattice.origin[d]) / p->lattice.spacing[d];
        double last = first + (double)(out->shape[d] - 1) * out->spacing[d] / p->lattice.spacing[d];
        int64_t n = p->lattice.shape[d], a = (int64_t)floor(first + 1e-9), b = (int64_t)ceil(last - 1e-9) + 1;
        if (a > n - 2) a = n - 2;
        if (a < 0) a = 0;
        if (b < a + 2) b = a + 2;
        if (b > n) b = n;
        lo[d + 1] = a;
        hi[d + 1] = b;
        shape[d] = b - a;
        origin[d] = p->lattice.origin[d] + (double)a * p->lattice.spacing[d];
    }
    clm_mark m = clm_arena_mark(w->temp);
    clm_field part;
    bool ok = clm_field_new(w->temp, shape, p->lattice.spacing, origin, &part, err) &&
              clm_array_read(p->field, lo, hi, part.u[0], err);
    if (ok) clm_field_resample(&part, out);
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_job_field_before(const clm_run *run, const clm_work *w, int pass, clm_field *out, clm_err *err) {
    if (pass > 0) return read_field(&run->pass[pass - 1], w, out, err);
    if (run->config->local_enabled) {
        clm_lattice_field(&run->lattice, out);
        return true;
    }
    memset(out->u[0], 0, (size_t)clm_field_count(out) * 3 * sizeof(float));
    return true;
}

bool clm_job_field_over(const clm_run *run, const clm_work *w, int pass, const clm_vol *over, clm_field *out,
                        clm_err *err) {
    const clm_lattice_plan *l = &run->pass[run->n_passes - 1].lattice;
    double origin[3];
    int64_t shape[3];
    for (int d = 0; d < 3; d++) {
        double last = over->origin[d] + (double)(over->shape[d] - 1) * over->spacing[d];
        double lo = floor((over->origin[d] - l->origin[d]) / l->spacing[d] + 1e-9);
        double hi = ceil((last - l->origin[d]) / l->spacing[d] - 1e-9);
        shape[d] = (int64_t)(hi - lo) + 1;
        if (shape[d] < 2) shape[d] = 2;
        origin[d] = l->origin[d] + lo * l->spacing[d];
    }
    return clm_field_new(w->keep, shape, l->spacing, origin, out, err) &&
           clm_job_field_before(run, w, pass, out, err);
}

bool clm_job_read_moving(const clm_run *run, const clm_work *w, const clm_view *fixed, clm_box box,
                         const clm_view *moving, const clm_affine *a, const clm_field *f, int64_t margin_vox,
                         clm_vol *out, bool *empty, clm_err *err) {
    (void)run;
    clm_vol fixed_grid = clm_view_grid(fixed), moving_grid = clm_view_grid(moving);
    clm_box need = clm_warp_box(a, f, &fixed_grid, box, &moving_grid, CLM_INTERP_CUBIC, margin_vox);
    *empty = clm_box_is_empty(need);
    return *empty || clm_view_read(w, moving, need, out, err);
}
