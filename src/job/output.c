#include "collimate/job/output.h"
#include "collimate/image/reduce.h"
#include "collimate/store/ome.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST_LEVEL 96 /* the pyramid ends where no axis is longer */

void clm_output_lay(clm_output *out, const clm_image_frame *base, int64_t chunk_vox, bool pyramid) {
    const int64_t chunk[3] = {chunk_vox, chunk_vox, chunk_vox};
    clm_output_lay_chunks(out, base, chunk, pyramid);
}

void clm_output_lay_chunks(clm_output *out, const clm_image_frame *base, const int64_t chunk[3],
                           bool pyramid) {
    int64_t shape[3], factor[3] = {1, 1, 1};
    double spacing[3];
    out->base = *base;
    memcpy(shape, base->shape, sizeof shape);
    memcpy(spacing, base->spacing_um, sizeof spacing);
    out->n_levels = 0;
    while (out->n_levels < CLM_PYRAMID_MAX) {
        int k = out->n_levels++;
        out->level[k] = clm_grid_chunks(shape, chunk);
        memcpy(out->factor[k], factor, sizeof factor);
        if (!pyramid) break;
        if (shape[0] <= LEAST_LEVEL && shape[1] <= LEAST_LEVEL && shape[2] <= LEAST_LEVEL) break;
        /* halve the axes that are not much coarser than the finest one */
        double least = fmin(spacing[0], fmin(spacing[1], spacing[2]));
        bool halved = false;
        for (int d = 0; d < 3; d++) {
            if (spacing[d] >= 2.0 * least || shape[d] < 2) continue;
            factor[d] *= 2;
            shape[d] /= 2;
            spacing[d] *= 2.0;
            halved = true;
        }
        if (!halved) break;
    }
}

void clm_output_tasks(const clm_output *out, int level, int64_t shape[3]) {
    memcpy(shape, out->level[level].shape, 3 * sizeof *shape);
    shape[0] *= out->times * out->channels;
}

void clm_output_task(const clm_output *out, int level, int64_t task, int64_t *chunk, int64_t *channel,
                     int64_t *time) {
    int64_t part = task / out->level[level].n;
    *chunk = task % out->level[level].n;
    *channel = part % out->channels;
    *time = part / out->channels;
}

/* axes before z y x */
static int leading(const clm_output *out) { return (out->times > 1) + (out->channels > 1); }

static void set_leading(const clm_output *out, int64_t time, int64_t channel, int64_t at[]) {
    int n = 0;
    if (out->times > 1) at[n++] = time;
    if (out->channels > 1) at[n++] = channel;
}

static bool level_path(const clm_output *out, int k, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(path, err, "%s/s%d", out->path, k);
}

static const char *axes_of(const clm_output *out) {
    static const char *const axes[2][2] = {{"zyx", "czyx"}, {"tzyx", "tczyx"}};
    return axes[out->times > 1][out->channels > 1];
}

static void level_specs(const clm_output *out, char names[][16], clm_level_spec levels[]) {
    for (int k = 0; k < out->n_levels; k++) {
        (void)snprintf(names[k], 16, "s%d", k);
        levels[k].path = names[k];
        for (int d = 0; d < 3; d++) {
            double f = (double)out->factor[k][d];
            levels[k].spacing_um[d] = out->base.spacing_um[d] * f;
            levels[k].origin_um[d] = out->base.origin_um[d] + 0.5 * (f - 1.0) * out->base.spacing_um[d];
        }
    }
}

static bool create_level(const clm_output *out, int k, const clm_level_spec levels[], clm_err *err) {
    static const char *const names[] = {"t", "c", "z", "y", "x"};
    char path[CLM_PATH_MAX];
    int first = leading(out);
    clm_array *a = NULL;
    clm_json *attributes = NULL;
    clm_array_spec s = {
        .format = out->format, .ndim = 3 + first, .dtype = out->dtype, .level = out->codec_level};
    if (out->codec[0]) s.codec = out->codec;
    set_leading(out, out->times, out->channels, s.shape);
    for (int d = 0; d < first; d++) {
        s.chunk[d] = 1;
        if (out->inner[0]) s.shard[d] = 1;
        s.axes[d] = axes_of(out)[d] == 't' ? names[0] : names[1];
    }
    for (int d = 0; d < 3; d++) {
        s.shape[first + d] = out->level[k].extent[d];
        s.chunk[first + d] = out->inner[0] ? out->inner[d] : out->level[k].block[d];
        if (out->inner[0]) s.shard[first + d] = out->level[k].block[d];
        s.axes[first + d] = names[2 + d];
    }
    if (out->format == CLM_FORMAT_N5) {
        attributes = clm_n5_level_attributes(&levels[0], &levels[k], out->bigstream, err);
        if (!attributes) return false;
        s.attributes = attributes;
    }
    bool ok = level_path(out, k, path, err) && clm_array_create(path, &s, &a, err);
    clm_array_close(a);
    clm_json_free(attributes);
    return ok;
}

bool clm_output_create(const clm_output *out, clm_err *err) {
    char names[CLM_PYRAMID_MAX][16];
    clm_level_spec levels[CLM_PYRAMID_MAX];
    level_specs(out, names, levels);
    for (int k = 0; k < out->n_levels; k++)
        if (!create_level(out, k, levels, err)) return false;
    return true;
}

bool clm_output_open(clm_output *out, clm_err *err) {
    for (int k = 0; k < out->n_levels; k++) {
        char path[CLM_PATH_MAX];
        if (out->array[k]) continue;
        if (!level_path(out, k, path, err) || !clm_array_open_write(path, &out->array[k], err)) return false;
    }
    return true;
}

void clm_output_close(clm_output *out) {
    for (int k = 0; k < out->n_levels; k++) {
        clm_array_close(out->array[k]);
        out->array[k] = NULL;
    }
}

bool clm_output_put(const clm_output *out, int level, int64_t task, const void *voxels, clm_err *err) {
    int64_t chunk, channel, time, index[CLM_DIMS_MAX];
    clm_output_task(out, level, task, &chunk, &channel, &time);
    set_leading(out, time, channel, index);
    clm_grid_at(&out->level[level], chunk, index + leading(out));
    return clm_array_put_chunk(out->array[level], index, voxels, err);
}

typedef struct piece_source {
    clm_output_source source;
    void *ctx;
    int first; /* axes before z y x */
} piece_source;

static bool ask(void *ctx, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err) {
    const piece_source *p = ctx;
    clm_box box;
    memcpy(box.lo, lo + p->first, sizeof box.lo);
    memcpy(box.hi, hi + p->first, sizeof box.hi);
    return p->source(p->ctx, box, dst, err);
}

bool clm_output_put_from(const clm_output *out, int level, int64_t task, clm_output_source source, void *ctx,
                         clm_err *err) {
    int64_t chunk, channel, time, index[CLM_DIMS_MAX];
    piece_source p = {source, ctx, leading(out)};
    clm_output_task(out, level, task, &chunk, &channel, &time);
    set_leading(out, time, channel, index);
    clm_grid_at(&out->level[level], chunk, index + p.first);
    return clm_array_put_chunk_from(out->array[level], index, ask, &p, err);
}

double clm_output_piece_voxels(const clm_output *out) {
    const int64_t *n = out->inner[0] ? out->inner : out->level[0].block;
    return (double)n[0] * (double)n[1] * (double)n[2];
}

/* mean or mode of cells of the finer voxels, in the output's type */
static bool reduce(const clm_output *out, const clm_work *w, const int64_t shape[3], const int64_t factor[3],
                   const void *fine, void **coarse, clm_err *err) {
    static const double unit[3] = {1, 1, 1}, zero[3] = {0, 0, 0};
    size_t size = clm_dtype_size(out->dtype);
    if (out->labels) return clm_reduce_items(w, fine, size, shape, factor, coarse, err);
    clm_vol v, small;
    if (!clm_vol_new(w->keep, shape, unit, zero, &v, err)) return false;
    clm_dtype_to_f32(out->dtype, fine, v.data, clm_vol_count(&v));
    if (!clm_reduce(w, &v, factor, &small, err)) return false;
    *coarse = clm_arena_take(w->keep, clm_vol_count(&small), size, err);
    if (!*coarse) return false;
    clm_dtype_from_f32(out->dtype, small.data, *coarse, clm_vol_count(&small));
    return true;
}

typedef struct coarsening {
    const clm_output *out;
    const clm_work *w;
    int level;
    int64_t factor[3]; /* from the level before */
    int64_t channel, time;
} coarsening;

/* the coarse voxels [part) of the box, into their place */
static bool coarsen_part(const coarsening *c, clm_box part, clm_box box, unsigned char *voxels,
                         clm_err *err) {
    const clm_output *out = c->out;
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX], shape[3], n = 1;
    int first = leading(out);
    clm_mark keep = clm_arena_mark(c->w->keep);
    void *coarse = NULL;
    set_leading(out, c->time, c->channel, lo);
    set_leading(out, c->time + 1, c->channel + 1, hi);
    for (int d = 0; d < 3; d++) {
        lo[first + d] = (box.lo[d] + part.lo[d]) * c->factor[d];
        hi[first + d] = (box.lo[d] + part.hi[d]) * c->factor[d];
        shape[d] = hi[first + d] - lo[first + d];
        n *= shape[d];
    }
    size_t size = clm_dtype_size(out->dtype), row = (size_t)(part.hi[2] - part.lo[2]) * size;
    void *fine = clm_arena_take(c->w->keep, n, size, err);
    bool ok = fine && clm_array_read(out->array[c->level - 1], lo, hi, fine, err) &&
              reduce(out, c->w, shape, c->factor, fine, &coarse, err);
    const unsigned char *from = coarse;
    for (int64_t z = part.lo[0]; ok && z < part.hi[0]; z++)
        for (int64_t y = part.lo[1]; y < part.hi[1]; y++, from += row) {
            int64_t at = (z * (box.hi[1] - box.lo[1]) + y) * (box.hi[2] - box.lo[2]) + part.lo[2];
            memcpy(voxels + (size_t)at * size, from, row);
        }
    clm_arena_rewind(c->w->keep, keep);
    return ok;
}

/* One finer chunk after the other, so that one is in memory and each is decoded once. */
static bool coarsen_box(void *ctx, clm_box box, void *voxels, clm_err *err) {
    const coarsening *c = ctx;
    int64_t extent[3], edge[3];
    for (int d = 0; d < 3; d++) {
        int64_t fine = c->out->inner[0] ? c->out->inner[d] : c->out->level[c->level - 1].block[d];
        extent[d] = box.hi[d] - box.lo[d];
        edge[d] = fine > c->factor[d] ? fine / c->factor[d] : 1;
    }
    clm_grid parts = clm_grid_chunks(extent, edge);
    for (int64_t i = 0; i < parts.n; i++)
        if (!coarsen_part(c, clm_grid_core(&parts, i), box, voxels, err)) return false;
    return true;
}

bool clm_output_coarsen(const clm_output *out, const clm_work *w, int level, int64_t task, clm_err *err) {
    int64_t chunk;
    coarsening c = {.out = out, .w = w, .level = level};
    clm_output_task(out, level, task, &chunk, &c.channel, &c.time);
    for (int d = 0; d < 3; d++) c.factor[d] = out->factor[level][d] / out->factor[level - 1][d];
    return clm_output_put_from(out, level, task, coarsen_box, &c, err);
}

bool clm_output_finish(const clm_output *out, const char *name, const clm_json *attributes, clm_err *err) {
    char names[CLM_PYRAMID_MAX][16];
    clm_level_spec levels[CLM_PYRAMID_MAX];
    if (!out->n_levels) return true;
    level_specs(out, names, levels);
    const clm_pyramid_spec spec = {.format = out->format,
                                   .name = name,
                                   .axes = axes_of(out),
                                   .method = out->labels ? "mode" : "mean",
                                   .levels = levels,
                                   .n = out->n_levels,
                                   .attributes = attributes};
    return clm_ome_write_pyramid(out->path, &spec, err);
}
