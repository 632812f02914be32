#include "collimate/app/demo.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/text.h"
#include "collimate/cluster/exec.h"
#include "collimate/store/ome.h"

#include <stdio.h>
#include <string.h>

enum { THREADS_MAX = 256 };

/* One volume in the making; a chunk is a task. */
typedef struct making {
    const clm_phantom *phantom;
    clm_phantom_view view;
    clm_array *array;
    int64_t grid[CLM_DIMS_MAX];
    clm_work work[THREADS_MAX]; /* of each slot */
} making;

static bool make_chunk(making *m, const clm_work *w, int64_t number, clm_err *err) {
    int64_t index[3] = {number / (m->grid[1] * m->grid[2]), number / m->grid[2] % m->grid[1],
                        number % m->grid[2]};
    clm_box box;
    clm_vol v;
    clm_array_chunk_box(m->array, index, box.lo, box.hi);
    if (!clm_phantom_render(w, m->phantom, m->view, box, &v, err)) return false;
    uint16_t *counts = clm_take(w->keep, uint16_t, clm_vol_count(&v), err);
    if (!counts) return false;
    clm_dtype_from_f32(CLM_U16, v.data, counts, clm_vol_count(&v));
    return clm_array_put_chunk(m->array, index, counts, err);
}

static bool run_chunk(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    making *m = ctx;
    const clm_work *w = &m->work[slot];
    bool ok = make_chunk(m, w, task->index, err);
    out->peak_bytes = (double)(clm_arena_peak(w->keep) + clm_arena_peak(w->temp));
    clm_arena_rewind(w->keep, (clm_mark){0});
    clm_arena_rewind(w->temp, (clm_mark){0});
    return ok;
}

/* A few chunks ahead of the threads, until all are made or one has failed. */
static bool run_all(clm_exec *e, int64_t chunks, clm_err *err) {
    clm_outcome out;
    int64_t next = 0;
    bool ok = true;
    while ((ok && next < chunks) || clm_exec_pending(e) > 0) {
        while (ok && next < chunks && clm_exec_pending(e) < 2 * e->slots) {
            ok = clm_exec_submit(e, &(clm_task){.index = next}, err);
            next++;
        }
        if (!clm_exec_collect(e, &out)) {
            clm_exec_wait(e, 1.0);
        } else if (ok && out.err.code != CLM_OK) {
            ok = false;
            *err = out.err;
        }
        if (!ok) clm_exec_drop(e);
    }
    return ok;
}

static bool make_all(making *m, int threads, clm_err *err) {
    int64_t chunks = clm_array_chunk_grid(m->array, m->grid), voxels = 1;
    int slots = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    clm_exec *e = NULL;
    if (slots > chunks) slots = (int)chunks;
    for (int d = 0; d < 3; d++) voxels *= clm_array_info_of(m->array)->chunk[d];
    size_t budget = (size_t)voxels * 64 + ((size_t)256 << 20); /* of address space; most is not touched */
    bool ok = true;
    for (int i = 0; ok && i < slots; i++)
        ok = clm_arena_open(budget, &m->work[i].keep, err) && clm_arena_open(budget, &m->work[i].temp, err);
    ok = ok && clm_exec_threads(slots, 0, run_chunk, m, &e, err) && run_all(e, chunks, err);
    (void)clm_exec_close(e, 60.0); /* nothing runs any more */
    for (int i = 0; i < slots; i++) {
        clm_arena_close(m->work[i].keep);
        clm_arena_close(m->work[i].temp);
    }
    return ok;
}

static bool open_array(const char *path, clm_format format, const clm_phantom_side *s, int64_t chunk,
                       const clm_level_spec *level, clm_array **out, clm_err *err) {
    clm_array_spec spec = {.format = format, .ndim = 3, .dtype = CLM_U16, .keep_empty = true};
    static const char *const axes[3] = {"z", "y", "x"};
    clm_json *attributes = NULL;
    for (int d = 0; d < 3; d++) {
        spec.shape[d] = s->shape[d];
        spec.chunk[d] = chunk < s->shape[d] ? chunk : s->shape[d];
        if (format == CLM_FORMAT_ZARR3) spec.axes[d] = axes[d];
    }
    if (format == CLM_FORMAT_N5) {
        attributes = clm_n5_level_attributes(level, level, false, err);
        if (!attributes) return false;
        spec.attributes = attributes;
        spec.level = 1; /* noise does not shrink further */
    }
    bool ok = clm_array_create(path, &spec, out, err);
    clm_json_free(attributes);
    return ok;
}

/* A volume's files. */
typedef struct volume {
    const char *name;
    clm_format format;
    clm_level_spec level;
    char group[CLM_PATH_MAX];
    making making;
} volume;

static bool open_volume(const char *folder, const clm_phantom *p, int64_t chunk, volume *v, clm_err *err) {
    const clm_phantom_side *s = &p->params.side[v->making.view];
    char path[CLM_PATH_MAX];
    v->making.phantom = p;
    v->level.path = "s0";
    memcpy(v->level.spacing_um, s->spacing, sizeof v->level.spacing_um);
    memcpy(v->level.origin_um, s->origin, sizeof v->level.origin_um);
    return (clm_path_join(v->group, folder, v->name, err) &&
            clm_path_join(path, v->group, v->level.path, err) &&
            open_array(path, v->format, s, chunk, &v->level, &v->making.array, err)) ||
           clm_err_in(err, "%s", v->name);
}

static bool make_volume(volume *v, const clm_demo_options *o, clm_err *err) {
    const clm_phantom_side *s = &v->making.phantom->params.side[v->making.view];
    char line[200];
    double began = clm_clock_s();
    if (!make_all(&v->making, o->threads, err) ||
        !clm_ome_write_pyramid(
            v->group, &(clm_pyramid_spec){.format = v->format, .name = v->name, .levels = &v->level, .n = 1},
            err))
        return clm_err_in(err, "%s", v->name);
    (void)snprintf(line, sizeof line, "%-15s %lld x %lld x %lld voxels of %g x %g x %g um, %.1f s", v->name,
                   (long long)s->shape[0], (long long)s->shape[1], (long long)s->shape[2], s->spacing[0],
                   s->spacing[1], s->spacing[2], clm_clock_s() - began);
    if (o->tell) o->tell(o->ctx, line);
    return true;
}

static bool write_truth(const char *path, const clm_phantom *p, clm_err *err) {
    clm_json *truth = NULL;
    clm_buf text = {0};
    bool ok = clm_demo_truth_to_json(p, &truth, err) && clm_json_print(truth, true, &text, err) &&
              clm_file_publish(path, text.data, text.n, false, err);
    clm_json_free(truth);
    clm_buf_free(&text);
    return ok;
}

bool clm_demo_write(const char *folder, const clm_phantom_params *params, const clm_demo_options *o,
                    clm_err *err) {
    clm_phantom p;
    char path[CLM_PATH_MAX];
    volume v[2] = {
        {.name = "fixed.ome.zarr", .format = CLM_FORMAT_ZARR3, .making = {.view = CLM_PHANTOM_FIXED}},
        {.name = "moving.n5", .format = CLM_FORMAT_N5, .making = {.view = CLM_PHANTOM_MOVING}},
    };
    if (o->chunk < 8 || o->chunk > 512)
        return clm_fail(err, CLM_E_ARG, "chunks must be 8 to 512 voxels a side");
    if (!clm_phantom_make(params, &p, err) || !clm_path_join(path, folder, "truth.json", err)) return false;
    /* the truth goes before the first voxel changes and comes back when all are there */
    bool ok = open_volume(folder, &p, o->chunk, &v[0], err) &&
              open_volume(folder, &p, o->chunk, &v[1], err) && clm_file_remove(path, err) &&
              make_volume(&v[0], o, err) && make_volume(&v[1], o, err) && write_truth(path, &p, err);
    for (int i = 0; i < 2; i++) clm_array_close(v[i].making.array);
    return ok;
}
