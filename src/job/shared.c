#include "collimate/align/spots.h"
#include "collimate/base/file.h"
#include "collimate/image/holes.h"
#include "collimate/image/warp.h"
#include "jobs.h"

#include <math.h>
#include <string.h>

bool clm_job_put(const clm_run *run, const clm_task *task, const clm_section *sections, int n, clm_err *err) {
    char path[CLM_PATH_MAX];
    return clm_run_spill_path(run, task->stage, task->index, path, err) &&
           clm_spill_put(path, run->plan.hash, task->stage, task->index, sections, n, err);
}

bool clm_job_get(const clm_run *run, int stage, int64_t index, clm_arena *a, clm_spill *out, bool *failed,
                 clm_err *err) {
    char path[CLM_PATH_MAX];
    if (!clm_run_failed_path(run, stage, index, path, err)) return false;
    *failed = clm_path_kind_of(path) != CLM_PATH_NONE;
    if (*failed) return true;
    if (!clm_run_spill_path(run, stage, index, path, err)) return false;
    if (!clm_spill_read(path, run->plan.hash, a, out, err)) {
        if (err->code == CLM_E_NOTFOUND) err->code = CLM_E_IO;
        return false;
    }
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
        clm_lattice_field(&run->lattice[1], out);
        return true;
    }
    memset(out->u[0], 0, (size_t)clm_field_count(out) * 3 * sizeof(float));
    return true;
}

bool clm_job_nodes_over(const clm_run *run, const clm_work *w, const clm_vol *over, clm_field *out,
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
    return clm_field_new(w->keep, shape, l->spacing, origin, out, err);
}

bool clm_job_field_over(const clm_run *run, const clm_work *w, int pass, const clm_vol *over, clm_field *out,
                        clm_err *err) {
    return clm_job_nodes_over(run, w, over, out, err) && clm_job_field_before(run, w, pass, out, err);
}

bool clm_job_has_data(const clm_vol *v, clm_err *err) {
    bool some;
    if (!clm_holes_any(v, &some) || some) return true;
    return clm_fail(err, CLM_E_NODATA, "no_data: nothing of the block is inside the mask");
}

/* the spots that do not stand in a hole */
static bool leave_holes(const clm_work *w, const clm_vol *v, const uint8_t *hole, clm_points *p,
                        clm_err *err) {
    clm_mark m = clm_arena_mark(w->temp);
    int64_t *index = clm_take(w->temp, int64_t, p->n, err), n = 0;
    for (int64_t i = 0; index && i < p->n; i++) {
        int64_t at = 0;
        for (int d = 0; d < 3; d++) {
            int64_t k = (int64_t)floor((p->pos[i][d] - v->origin[d]) / v->spacing[d] + 0.5);
            k = k < 0 ? 0 : k >= v->shape[d] ? v->shape[d] - 1 : k;
            at = at * v->shape[d] + k;
        }
        if (!hole[at]) index[n++] = i;
    }
    clm_points all = *p;
    bool ok = index && clm_spots_take(w->keep, &all, index, n, p, err);
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_job_blobs(const clm_work *w, const clm_vol *v, clm_box core, const clm_blob_params *p,
                   clm_vol *whole, clm_points *out, clm_err *err) {
    *whole = *v;
    if (!clm_holes_any(v, NULL)) return clm_blob_find(w, v, core, p, out, err);
    if (!clm_job_has_data(v, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    uint8_t *hole = clm_take(w->temp, uint8_t, clm_vol_count(v), err);
    bool ok = hole && clm_vol_copy(w->keep, v, whole, err);
    if (ok) {
        clm_holes_fill(whole, hole);
        ok = clm_blob_find(w, whole, core, p, out, err) && leave_holes(w, v, hole, out, err);
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}

bool clm_job_read_moving(const clm_work *w, const clm_view *fixed, clm_box box, const clm_view *moving,
                         const clm_affine *a, const clm_field *f, int64_t margin_vox, clm_vol *out,
                         bool *empty, clm_err *err) {
    clm_vol fixed_grid = clm_view_grid(fixed), moving_grid = clm_view_grid(moving);
    clm_box need = clm_warp_box(a, f, &fixed_grid, box, &moving_grid, CLM_INTERP_CUBIC, margin_vox);
    *empty = clm_box_is_empty(need);
    return *empty || clm_view_read(w, moving, need, out, err);
}
