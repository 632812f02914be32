#include "collimate/job/compose.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/job/record.h"
#include "collimate/job/view.h"
#include "collimate/transform/transform.h"
#include "compose_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of a task, most, for a node: evaluated there and at its cell's centre, then stored. An inverse takes between 170 and
 * 200, a sweep of a root more. */
#define NODE_BYTES 256.0
#define ROOT_NODE_BYTES 640.0

/* ---- the lattice ---- */

/* Steps in the space that the chain begins in which are a node's step in its finest field. */
static bool spacing_of(const clm_map *map, double spacing[3]) {
    clm_affine to = CLM_AFFINE_IDENTITY; /* from that space to the step's own, as if fields moved nothing */
    bool any = false;
    for (int d = 0; d < 3; d++) spacing[d] = INFINITY;
    for (int s = 0; s < map->n; s++) {
        const clm_map_step *step = &map->step[s];
        if (step->kind == CLM_STEP_AFFINE) {
            to = clm_affine_compose(&step->affine, &to);
            continue;
        }
        any = true;
        for (int d = 0; d < 3; d++) {
            double nodes = 0.0; /* that a micrometre along axis d is worth */
            for (int e = 0; e < 3; e++) nodes = hypot(nodes, to.m[e][d] / step->field.spacing_um[e]);
            spacing[d] = fmin(spacing[d], 1.0 / nodes);
        }
    }
    return any;
}

/* Nodes from the first voxel's centre until the last one's is covered. */
static void cover(const clm_image_frame *f, const double spacing[3], clm_image_frame *out) {
    for (int d = 0; d < 3; d++) {
        double length = (double)(f->shape[d] - 1) * f->spacing_um[d];
        out->spacing_um[d] = spacing[d];
        out->origin_um[d] = f->origin_um[d];
        out->shape[d] = 1 + (int64_t)ceil(length / spacing[d] - 1e-9);
    }
}

/* spacing, origin and shape as the command line has them; the rest as in `l` (shape 0: there is nothing to follow) */
static bool override(const clm_compose_spec *s, clm_image_frame *l, clm_err *err) {
    bool known = l->shape[0] > 0;
    if (!known && !(s->has_spacing && s->has_origin && s->has_shape))
        return clm_fail(err, CLM_E_ARG,
                        "the first transform does not tell the grid it begins on: give --like IMAGE, or "
                        "--spacing, --origin and --shape");
    for (int d = 0; d < 3; d++) {
        double end = l->origin_um[d] + (double)(l->shape[d] - 1) * l->spacing_um[d];
        if (s->has_spacing) l->spacing_um[d] = s->spacing_um[d];
        if (s->has_origin) l->origin_um[d] = s->origin_um[d];
        double n = s->has_shape ? (double)s->shape[d]
                   : s->has_spacing || s->has_origin
                       ? fmax(ceil((end - l->origin_um[d]) / l->spacing_um[d] + 1.0 - 1e-9), 1.0)
                       : (double)l->shape[d];
        if (!(l->spacing_um[d] > 0.0 && l->spacing_um[d] < 1e9))
            return clm_fail(err, CLM_E_ARG, "--spacing: %g micrometres", l->spacing_um[d]);
        if (!(n >= 1.0 && n < 1e9)) return clm_fail(err, CLM_E_ARG, "--shape: %g nodes along axis %d", n, d);
        l->shape[d] = (int64_t)n;
    }
    return true;
}

/* Whole planes of a file, as many as a task has memory for with the layer beyond them. */
static bool lay_planes(const clm_compose_spec *s, const int64_t shape[3], int64_t chunk[3], clm_err *err) {
    double plane_mib =
        (s->root > 1 ? ROOT_NODE_BYTES : NODE_BYTES) * (double)shape[1] * (double)shape[2] / 1048576.0;
    int64_t most = (int64_t)(s->task_mib / plane_mib) - 1;
    if (most < 1)
        return clm_fail(err, CLM_E_ARG,
                        "%s: a file is written in planes, and two of %lld x %lld nodes take %.0f MiB; give "
                        "--task-mib, a coarser --spacing, or a name that ends in .ome.zarr",
                        s->output, (long long)shape[1], (long long)shape[2], ceil(2 * plane_mib));
    chunk[0] = most < chunk[0] ? most : chunk[0];
    chunk[1] = shape[1];
    chunk[2] = shape[2];
    return true;
}

static clm_affine affine_of(const clm_compose_run *run) {
    if (run->spec.root == 1) return clm_map_affine(&run->map);
    clm_affine a = CLM_AFFINE_IDENTITY;
    for (int64_t k = 0; k < run->spec.power; k++) a = clm_affine_compose(&run->root.affine, &a);
    return a;
}

static bool lay_lattice(clm_compose_run *run, clm_err *err) {
    clm_compose_spec *s = &run->spec;
    bool root = s->root > 1;
    const clm_map *map = root ? &run->given : &run->map;
    clm_transform_spec *t = &run->out.spec;
    clm_image_frame l = {.shape = {0}};
    double spacing[3];
    t->fixed = map->fixed;
    if (!root) t->moving = map->moving; /* half-way there is no image */
    if (root) t->to = "halfway";
    if (s->like && !clm_view_frame_like(s->like, s->like_level, &t->fixed, err)) return false;
    bool whole = clm_transform_kind_is_whole(run->out.kind);
    t->affine = whole ? CLM_AFFINE_IDENTITY : affine_of(run);
    bool any = spacing_of(map, spacing);
    if (!any && !whole) return true;
    if (!any) memcpy(spacing, t->fixed.spacing_um, sizeof spacing); /* an affine as a field */
    if (!s->like && map->step[0].kind == CLM_STEP_FIELD) {          /* its own nodes: nothing is lost */
        const clm_vectors *f = &map->step[0].field;
        memcpy(l.shape, f->shape, sizeof l.shape);
        memcpy(l.spacing_um, f->spacing_um, sizeof l.spacing_um);
        memcpy(l.origin_um, f->origin_um, sizeof l.origin_um);
    } else if (t->fixed.shape[0] > 0) {
        cover(&t->fixed, s->has_spacing ? s->spacing_um : spacing, &l);
    }
    const clm_image_frame told = l;
    if (!override(s, &l, err)) return false;
    for (int d = 0; d < 3; d++) {
        const clm_image_frame *f = told.shape[0] > 0 ? &told : &l;
        run->root.lo[d] = f->origin_um[d];
        run->root.fade_um = fmax(run->root.fade_um, l.spacing_um[d]);
        run->root.hi[d] = f->origin_um[d] + (double)(f->shape[d] - 1) * f->spacing_um[d];
    }
    if (root && !s->like && !s->has_origin && !s->has_shape && !clm_compose_root_lattice(&run->root, &l, err))
        return false;
    int64_t chunk[3] = {s->chunk_nodes, s->chunk_nodes, s->chunk_nodes};
    if (run->out.kind == CLM_TRANSFORM_VOLUME && !lay_planes(s, l.shape, chunk, err)) return false;
    double step = fmin(l.spacing_um[0], fmin(l.spacing_um[1], l.spacing_um[2]));
    if (root && !(s->tolerance_um > 0.0)) s->tolerance_um = 0.1 * step;
    run->root.tolerance_um = s->tolerance_um;
    memcpy(t->shape, l.shape, sizeof t->shape);
    memcpy(t->spacing_um, l.spacing_um, sizeof t->spacing_um);
    memcpy(t->origin_um, l.origin_um, sizeof t->origin_um);
    for (int d = 0; d < 3; d++) t->chunk[d] = chunk[d] < l.shape[d] ? chunk[d] : l.shape[d];
    run->out.chunks = clm_grid_chunks(t->shape, t->chunk);
    return true;
}

/* ---- opening ---- */

static bool open_map(clm_compose_run *run, clm_err *err) {
    clm_compose_spec *s = &run->spec;
    size_t cache = (size_t)(s->cache_mib * 1048576.0);
    if (!clm_map_open(s->transforms, s->n_transforms, cache, &run->given, err)) return false;
    if (s->root > 1) {
        run->root = (clm_root){.whole = &run->given, .n = (int)s->root};
        return clm_root_begin(&run->root, err);
    }
    run->map = run->given;
    if (!s->invert) return true;
    if (!(s->tolerance_um > 0.0)) s->tolerance_um = 1e-3;
    if (!clm_map_turn(&run->map, err)) return false;
    /* what is left in a field's space grows through the affines on the way to where it is measured */
    double sigma[3], growth = 1.0;
    for (int i = 0; i < run->given.n; i++) {
        if (run->given.step[i].kind != CLM_STEP_AFFINE) continue;
        clm_affine_stretch(&run->given.step[i].affine, sigma);
        growth *= fmax(sigma[0], 1.0);
    }
    run->map.tolerance_um = 0.1 * s->tolerance_um / growth;
    return true;
}

/* what decides the bytes: not threads nor budgets */
static bool plan_hash(clm_compose_run *run, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    clm_compose_spec s = run->spec;
    const clm_transform_spec *t = &run->out.spec;
    s.threads = 0;
    s.task_mib = s.cache_mib = 0.0;
    bool ok = clm_compose_spec_to_json(&s, &v, err) && clm_json_print(v, false, &b, err);
    uint64_t h = ok ? clm_hash64(CLM_HASH_BEGIN, b.data, b.n) : 0;
    h = clm_hash64(clm_map_hash(s.root > 1 ? &run->given : &run->map, h), t->shape, sizeof t->shape);
    if (run->out.kind == CLM_TRANSFORM_VOLUME)
        h = clm_hash64(h, t->chunk, sizeof t->chunk); /* by the budget */
    h = clm_hash64(clm_hash64(h, t->spacing_um, sizeof t->spacing_um), t->origin_um, sizeof t->origin_um);
    run->plan.hash = clm_hash64(h, CLM_VERSION, strlen(CLM_VERSION));
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static void lay_stages(clm_compose_run *run) {
    const clm_grid *g = &run->out.chunks;
    const char *name = run->spec.root > 1 ? "halfway" : run->spec.invert ? "invert" : "compose";
    run->sweeps = run->spec.root > 1 ? (int)run->spec.sweeps : 0;
    for (int k = 0; k <= run->sweeps; k++) {
        clm_stage *s = &run->stage[k];
        *s = (clm_stage){.fatal = true, .n = g->n};
        memcpy(s->shape, g->shape, sizeof s->shape);
        if (k < run->sweeps)
            (void)snprintf(s->name, sizeof s->name, "sweep.%d", k);
        else
            (void)snprintf(s->name, sizeof s->name, "%s", name);
    }
    run->plan = (clm_plan){.stage = run->stage, .n_stages = run->sweeps + 1, .ctx = run};
}

static bool open_all(clm_compose_run *run, clm_err *err) {
    clm_compose_spec *s = &run->spec;
    if (!clm_compose_spec_of_json(run->json, s, err) ||
        !clm_path_format(run->out.path, err, "%s", s->output) ||
        !clm_transform_kind_of(s->output, s->format, &run->out.kind, err) ||
        !clm_transform_out_folder(&run->out, run->place, err) ||
        !clm_path_join(run->folder, run->place, CLM_RECORD_FOLDER, err) || !open_map(run, err) ||
        !lay_lattice(run, err) || !clm_transform_out_check(&run->out, err))
        return false;
    run->out.spec.residual = s->invert || s->root > 1;
    if (run->out.chunks.n == 0) return true;
    run->figures = clm_heap_new((size_t)run->out.chunks.n, sizeof *run->figures, err);
    if (!run->figures) return false;
    lay_stages(run);
    return plan_hash(run, err);
}

bool clm_compose_open(clm_json *v, clm_compose_run **out, clm_err *err) {
    clm_compose_run *run = clm_heap_new(1, sizeof *run, err);
    if (!run) {
        clm_json_free(v);
        return false;
    }
    run->json = v;
    if (!open_all(run, err)) {
        clm_compose_close(run);
        return false;
    }
    *out = run;
    return true;
}

void clm_compose_close(clm_compose_run *run) {
    if (!run) return;
    clm_transform_out_close(&run->out);
    for (int k = 0; k < run->sweeps; k++) clm_array_close(run->v[k]);
    clm_map_close(&run->given);
    clm_heap_free(run->figures);
    clm_json_free(run->json);
    clm_heap_free(run);
}

static clm_record record_of(const clm_compose_run *run) {
    return (clm_record){.out = run->place, .name = "compose.json", .plan = run->plan.hash};
}

static bool check(const clm_compose_run *run, const clm_record *r, bool *fresh, clm_err *err) {
    if (!clm_record_check(r, fresh, err)) return false;
    if (*fresh && run->out.kind == CLM_TRANSFORM_VOLUME && clm_path_kind_of(run->out.path) != CLM_PATH_NONE)
        return clm_fail(err, CLM_E_WRITE, "%s: is there already; give another output, or remove it",
                        run->out.path);
    return true;
}

bool clm_compose_fits(const clm_compose_run *run, clm_err *err) {
    clm_record r = record_of(run);
    bool fresh;
    return (!clm_record_is_there(&r) || clm_map_stamp(&run->given, &r.inputs, err)) &&
           check(run, &r, &fresh, err);
}

bool clm_compose_prepare(clm_compose_run *run, clm_err *err) {
    clm_record r = record_of(run);
    bool fresh;
    run->is_first = true;
    if (!clm_map_stamp(&run->given, &r.inputs, err) || !check(run, &r, &fresh, err)) return false;
    return !fresh || (clm_folder_make(run->folder, err) && clm_transform_out_create(&run->out, err) &&
                      clm_record_write(&r, run->json, err));
}

bool clm_compose_begin(clm_compose_run *run, int stage, clm_err *err) {
    return clm_transform_out_open(&run->out, err) &&
           (run->sweeps == 0 || clm_compose_root_begin(run, stage, err));
}

/* ---- the end ---- */

void clm_compose_outcome(clm_compose_run *run, const clm_outcome *o) {
    int k = o->task.stage;
    if (k < run->sweeps) {
        run->farthest[k] = fmax(run->farthest[k], o->figure[0]);
        run->squares[k] += o->figure[1];
    } else {
        memcpy(run->figures[o->task.index], o->figure, sizeof *run->figures);
    }
}

void clm_compose_total(const clm_compose_run *run, double total[CLM_COMPOSED_COUNT]) {
    memset(total, 0, CLM_COMPOSED_COUNT * sizeof *total);
    for (int64_t i = 0; i < run->out.chunks.n; i++) {
        const double *f = run->figures[i];
        static const clm_composed sums[] = {
            CLM_COMPOSED_NODES,    CLM_COMPOSED_UNSOLVED, CLM_COMPOSED_EXTRAPOLATED, CLM_COMPOSED_CELLS,
            CLM_COMPOSED_ERROR_SQ, CLM_COMPOSED_BETWEEN,  CLM_COMPOSED_BETWEEN_SQ};
        for (size_t k = 0; k < sizeof sums / sizeof sums[0]; k++) total[sums[k]] += f[sums[k]];
        total[CLM_COMPOSED_ERROR_MAX] = fmax(total[CLM_COMPOSED_ERROR_MAX], f[CLM_COMPOSED_ERROR_MAX]);
        total[CLM_COMPOSED_BETWEEN_MAX] = fmax(total[CLM_COMPOSED_BETWEEN_MAX], f[CLM_COMPOSED_BETWEEN_MAX]);
        total[CLM_COMPOSED_U_MAX] = fmax(total[CLM_COMPOSED_U_MAX], f[CLM_COMPOSED_U_MAX]);
        if (f[CLM_COMPOSED_RESIDUAL] > total[CLM_COMPOSED_RESIDUAL])
            memcpy(total + CLM_COMPOSED_RESIDUAL, f + CLM_COMPOSED_RESIDUAL, 4 * sizeof *f);
    }
}

bool clm_compose_finish(const clm_compose_run *run, clm_err *err) {
    double t[CLM_COMPOSED_COUNT];
    const clm_compose_spec *s = &run->spec;
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *about = clm_json_add_object(v, "collimate");
    bool root = s->root > 1;
    clm_json *list = clm_json_add_list(about, root ? "part_of" : s->invert ? "inverse_of" : "composed_of");
    for (int i = 0; i < s->n_transforms; i++) clm_json_add_text(list, NULL, s->transforms[i]);
    if (root) clm_json_add_ints(about, "part", (const int64_t[]){s->power, s->root}, 2);
    if (run->out.chunks.n > 0) {
        clm_compose_total(run, t);
        clm_json_add_number(about, "interpolation_max_um", t[CLM_COMPOSED_ERROR_MAX]);
        clm_json_add_number(about, "interpolation_rms_um",
                            sqrt(t[CLM_COMPOSED_ERROR_SQ] / fmax(t[CLM_COMPOSED_CELLS], 1.0)));
        clm_json_add_number(about, "unsolved_nodes", t[CLM_COMPOSED_UNSOLVED]);
        if (root) clm_json_add_number(about, "residual_between_nodes_max_um", t[CLM_COMPOSED_BETWEEN_MAX]);
        if (root || s->invert) clm_json_add_number(about, "residual_max_um", t[CLM_COMPOSED_RESIDUAL]);
        if (root || s->invert) clm_json_add_number(about, "tolerance_um", s->tolerance_um);
    }
    bool ok = clm_transform_out_finish(&run->out, v, err);
    clm_json_free(v);
    return ok;
}
