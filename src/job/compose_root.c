#include "collimate/base/file.h"
#include "collimate/transform/transform.h"
#include "compose_parts.h"

#include <math.h>
#include <string.h>

#define SWEEPS "sweeps" /* in the record's folder */
#define GROWTH_MAX 16.0 /* of the lattice's nodes */

/* ---- the lattice ---- */

bool clm_compose_root_lattice(const clm_root *root, clm_image_frame *l, clm_err *err) {
    clm_affine way = CLM_AFFINE_IDENTITY;
    double lo[3], hi[3], growth = 1.0;
    for (int d = 0; d < 3; d++) {
        lo[d] = l->origin_um[d];
        hi[d] = lo[d] + (double)(l->shape[d] - 1) * l->spacing_um[d];
    }
    const double begin[3] = {lo[0], lo[1], lo[2]}, end[3] = {hi[0], hi[1], hi[2]};
    for (int k = 1; k < root->n; k++) {
        way = clm_affine_compose(&root->affine, &way);
        for (int c = 0; c < 8; c++) {
            double at[3];
            for (int d = 0; d < 3; d++) at[d] = c >> d & 1 ? end[d] : begin[d];
            clm_affine_apply(&way, at, at);
            for (int d = 0; d < 3; d++) lo[d] = fmin(lo[d], at[d]), hi[d] = fmax(hi[d], at[d]);
        }
    }
    for (int d = 0; d < 3; d++) {
        double before = ceil((begin[d] - lo[d]) / l->spacing_um[d] - 1e-9),
               after = ceil((hi[d] - end[d]) / l->spacing_um[d] - 1e-9);
        growth *= 1.0 + (before + after) / (double)l->shape[d];
        if (!(growth <= GROWTH_MAX))
            return clm_fail(
                err, CLM_E_ARG,
                "T moves so far that its way is more than %.0f times as large as its grid; align the "
                "origins first, or give --origin and --shape of the nodes",
                GROWTH_MAX);
        l->origin_um[d] -= before * l->spacing_um[d];
        l->shape[d] += (int64_t)(before + after);
    }
    return true;
}

/* ---- sweeps ---- */

static bool sweep_path(const clm_compose_run *run, int k, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(path, err, "%s/" SWEEPS "/%d", run->folder, k);
}

/* By what the sweeps before have told, the same in every launch: is it near enough, or no longer nearer by a tenth? */
static bool is_enough(const clm_compose_run *run, int k) {
    if (k == 0) return false;
    if (!run->v[k - 1] || run->farthest[k - 1] <= 0.01 * run->spec.tolerance_um) return true;
    return k > 2 && run->squares[k - 1] > 0.81 * run->squares[k - 2];
}

static bool open_sweep(clm_compose_run *run, int k, bool make, clm_err *err) {
    char path[CLM_PATH_MAX], meta[CLM_PATH_MAX];
    const clm_transform_spec *t = &run->out.spec;
    clm_array_spec s = {.ndim = 4, .shape = {3}, .chunk = {3}, .dtype = CLM_F32};
    for (int d = 0; d < 3; d++) s.shape[d + 1] = t->shape[d], s.chunk[d + 1] = t->chunk[d];
    if (run->v[k]) return true;
    if (!sweep_path(run, k, path, err) || !clm_path_join(meta, path, "zarr.json", err)) return false;
    if (make) {
        if (!clm_array_create(path, &s, &run->v[k], err)) return false;
    } else {
        if (clm_path_kind_of(meta) != CLM_PATH_FILE) return true;
        if (!clm_array_open_write(path, &run->v[k], err)) return false;
    }
    clm_array_use_cache(run->v[k], run->given.cache);
    return true;
}

static clm_vectors vectors_of(const clm_compose_run *run, int k) {
    clm_vectors v = {.array = {run->v[k]}};
    memcpy(v.shape, run->out.spec.shape, sizeof v.shape);
    memcpy(v.spacing_um, run->out.spec.spacing_um, sizeof v.spacing_um);
    memcpy(v.origin_um, run->out.spec.origin_um, sizeof v.origin_um);
    return v;
}

int clm_compose_sweeps(const clm_compose_run *run) {
    int n = 0;
    while (n < run->sweeps && run->farthest[n] > 0.0) n++;
    return n;
}

static int last_of(const clm_compose_run *run) {
    int n = 0;
    while (n < run->sweeps && run->v[n]) n++;
    return n - 1;
}

/* In a launch that goes on, stages that are done are not begun again. */
bool clm_compose_root_begin(clm_compose_run *run, int stage, clm_err *err) {
    for (int k = 0; k < stage && k < run->sweeps; k++)
        if (!open_sweep(run, k, false, err)) return false;
    if (stage < run->sweeps) return open_sweep(run, stage, run->is_first && !is_enough(run, stage), err);
    const clm_vectors v = vectors_of(run, last_of(run));
    return run->map.n > 0 || clm_root_map(&run->root, &v, (int)run->spec.power, &run->map, err);
}

bool clm_compose_root_task(const clm_compose_run *run, const clm_work *w, const clm_task *task,
                           double *figure, clm_err *err) {
    int k = task->stage;
    const clm_transform_spec *t = &run->out.spec;
    clm_box core = clm_grid_core(&run->out.chunks, task->index);
    clm_vol grid = {.data = NULL};
    clm_field v;
    int64_t index[4] = {0};
    figure[0] = figure[1] = 0.0;
    if (!run->v[k]) return true; /* the sweep before was enough */
    for (int d = 0; d < 3; d++) {
        grid.shape[d] = core.hi[d] - core.lo[d];
        grid.spacing[d] = t->spacing_um[d];
        grid.origin[d] = t->origin_um[d] + (double)core.lo[d] * t->spacing_um[d];
    }
    const clm_vectors before = k > 0 ? vectors_of(run, k - 1) : (clm_vectors){.component_axis = 0};
    clm_grid_at(&run->out.chunks, task->index, index + 1);
    return clm_root_sweep(&run->root, k > 0 ? &before : NULL, w, &grid, &v, &figure[0], &figure[1], err) &&
           clm_array_put_chunk(run->v[k], index, v.u[0], err);
}

bool clm_compose_tidy(clm_compose_run *run, clm_err *err) {
    char path[CLM_PATH_MAX], group[CLM_PATH_MAX];
    if (run->sweeps == 0) return true;
    return clm_path_join(path, run->folder, SWEEPS, err) && clm_folder_remove(path, err) &&
           clm_path_join(group, run->folder, "zarr.json", err) && clm_file_remove(group, err);
}

/* ---- what is left ---- */

void clm_compose_note_residual(const clm_compose_run *run, const clm_vol *nodes, const float *residual,
                               const uint8_t *flags, float *coverage, double *figure) {
    const int64_t *n = nodes->shape;
    figure[CLM_COMPOSED_UNSOLVED] = 0.0;
    for (int64_t i = 0; i < clm_vol_count(nodes); i++) {
        double r = (double)residual[i];
        if (!(r <= run->spec.tolerance_um) || (flags && flags[i] & CLM_POINT_UNSOLVED)) {
            coverage[i] = 0.0f;
            figure[CLM_COMPOSED_UNSOLVED]++;
        }
        if (!(r > figure[CLM_COMPOSED_RESIDUAL])) continue;
        const int64_t at[3] = {i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]};
        figure[CLM_COMPOSED_RESIDUAL] = r;
        for (int d = 0; d < 3; d++)
            figure[CLM_COMPOSED_AT_Z + d] = nodes->origin[d] + (double)at[d] * nodes->spacing[d];
    }
}

bool clm_compose_root_left(const clm_compose_run *run, const clm_work *w, const clm_vol *nodes,
                           float **residual, float *coverage, double *figure, clm_err *err) {
    const clm_vectors v = vectors_of(run, last_of(run));
    uint8_t *flags;
    if (!clm_root_residual(&run->root, &v, w, nodes, residual, &flags, err)) return false;
    figure[CLM_COMPOSED_EXTRAPOLATED] = 0.0;
    for (int64_t i = 0; i < clm_vol_count(nodes); i++) {
        bool beyond = (flags[i] & CLM_POINT_EXTRAPOLATED) != 0;
        coverage[i] = beyond ? 0.0f : 1.0f;
        figure[CLM_COMPOSED_EXTRAPOLATED] += beyond;
    }
    clm_compose_note_residual(run, nodes, *residual, flags, coverage, figure);
    return true;
}

bool clm_compose_root_between(const clm_compose_run *run, const clm_work *w, const clm_vol *cells,
                              double *figure, clm_err *err) {
    const clm_vectors v = vectors_of(run, last_of(run));
    clm_mark m = clm_arena_mark(w->keep);
    uint8_t *flags;
    float *r;
    bool ok = clm_root_residual(&run->root, &v, w, cells, &r, &flags, err);
    for (int64_t i = 0; ok && i < clm_vol_count(cells); i++) {
        double e = (double)r[i];
        if (flags[i]) continue;
        figure[CLM_COMPOSED_BETWEEN]++;
        figure[CLM_COMPOSED_BETWEEN_SQ] += e * e;
        figure[CLM_COMPOSED_BETWEEN_MAX] = fmax(figure[CLM_COMPOSED_BETWEEN_MAX], e);
    }
    clm_arena_rewind(w->keep, m);
    return ok;
}
