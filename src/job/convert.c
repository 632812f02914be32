#include "collimate/job/convert.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_VOX 128
#define CHUNK_BYTES_MOST 2147483000.0 /* blosc buffers and N5 blocks */
#define SLAB_BYTES ((int64_t)32 << 20)
#define CACHE_MIB 256.0

/* ---- the spec as JSON ---- */

bool clm_convert_share(const clm_convert_spec *s, clm_buf *b, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_text(v, "in", s->in);
    clm_json_add_text(v, "out", s->out);
    clm_json_add_text(v, "format", s->format);
    clm_json_add_text(v, "codec", s->codec);
    const bool flags[] = {s->bigstream, s->labels, s->pyramid, s->has_region, s->has_spacing, s->has_origin};
    clm_json *list = clm_json_add_list(v, "flags");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) clm_json_add_bool(list, NULL, flags[i]);
    const int64_t numbers[] = {s->level, s->channel, s->time, s->codec_level, s->threads};
    clm_json_add_ints(v, "numbers", numbers, 5);
    clm_json_add_ints(v, "lo", s->region.lo, 3);
    clm_json_add_ints(v, "hi", s->region.hi, 3);
    clm_json_add_ints(v, "chunk", s->chunk, 3);
    clm_json_add_ints(v, "shard", s->shard, 3);
    clm_json_add_numbers(v, "spacing_um", s->spacing_um, 3);
    clm_json_add_numbers(v, "origin_um", s->origin_um, 3);
    bool ok = clm_json_print(v, false, b, err);
    clm_json_free(v);
    return ok;
}

static bool text_of(const clm_json *v, const char *key, char *out, size_t cap) {
    const char *text = clm_json_text(clm_json_get(v, key));
    return text && (size_t)snprintf(out, cap, "%s", text) < cap;
}

bool clm_convert_shared(const clm_buf *b, clm_convert_spec *s, clm_err *err) {
    clm_json *v = NULL;
    int64_t n[5];
    *s = (clm_convert_spec){0};
    if (!clm_json_parse(b->data, b->n, "what rank 0 said", &v, err)) return false;
    bool *const flags[] = {&s->bigstream,  &s->labels,      &s->pyramid,
                           &s->has_region, &s->has_spacing, &s->has_origin};
    bool ok = text_of(v, "in", s->in, sizeof s->in) && text_of(v, "out", s->out, sizeof s->out) &&
              text_of(v, "format", s->format, sizeof s->format) &&
              text_of(v, "codec", s->codec, sizeof s->codec);
    for (size_t i = 0; ok && i < sizeof flags / sizeof flags[0]; i++)
        ok = clm_json_is(clm_json_at(clm_json_get(v, "flags"), (int64_t)i), flags[i]);
    ok = ok && clm_json_ints(clm_json_get(v, "numbers"), 5, n) &&
         clm_json_ints(clm_json_get(v, "lo"), 3, s->region.lo) &&
         clm_json_ints(clm_json_get(v, "hi"), 3, s->region.hi) &&
         clm_json_ints(clm_json_get(v, "chunk"), 3, s->chunk) &&
         clm_json_ints(clm_json_get(v, "shard"), 3, s->shard) &&
         clm_json_numbers(clm_json_get(v, "spacing_um"), 3, s->spacing_um) &&
         clm_json_numbers(clm_json_get(v, "origin_um"), 3, s->origin_um);
    clm_json_free(v);
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "what rank 0 said is not understood");
    s->level = n[0];
    s->channel = n[1];
    s->time = n[2];
    s->codec_level = n[3];
    s->threads = n[4];
    return true;
}

/* ---- laying out ---- */

static bool set_format(clm_convert *c, clm_err *err) {
    clm_convert_spec *s = &c->spec;
    clm_volume_kind kind = CLM_VOLUME_NIFTI;
    bool named = clm_volume_kind_of(s->out, &kind);
    const char *f = s->format;
    c->output.bigstream = s->bigstream;
    static const char *const only_read[] = {".h5", ".hdf5", ".ims", ".tif", ".tiff", ".xml", ".nhdr"};
    for (size_t i = 0; !f[0] && i < sizeof only_read / sizeof only_read[0]; i++)
        if (clm_text_ends(s->out, only_read[i]))
            return clm_fail(err, CLM_E_ARG,
                            "%s: no such files are written; name it .ome.zarr, .n5, .nrrd, .nii or .nii.gz, "
                            "or give --format",
                            s->out);
    if (!f[0])
        f = named ? kind == CLM_VOLUME_NRRD ? "nrrd" : "nifti"
            : clm_text_ends(s->out, ".n5") || strstr(s->out, ".n5/") ? "n5"
                                                                     : "ome-zarr-0.5";
    bool nrrd = strcmp(f, "nrrd") == 0;
    if (nrrd || strcmp(f, "nifti") == 0) {
        c->is_volume = true;
        c->volume.kind = nrrd ? CLM_VOLUME_NRRD : named && kind != CLM_VOLUME_NRRD ? kind : CLM_VOLUME_NIFTI;
        if (s->shard[0] || s->codec[0])
            return clm_fail(err, CLM_E_ARG, "%s has no chunks, shards or codecs", f);
        return true;
    }
    if (strcmp(f, "n5") == 0)
        c->output.format = CLM_FORMAT_N5;
    else if (strcmp(f, "ome-zarr-0.4") == 0)
        c->output.format = CLM_FORMAT_ZARR2;
    else if (strcmp(f, "ome-zarr-0.5") != 0)
        return clm_fail(err, CLM_E_ARG,
                        "format %s; ome-zarr-0.5, ome-zarr-0.4, n5, nifti or nrrd can be written", f);
    if (s->shard[0] && c->output.format != CLM_FORMAT_ZARR3)
        return clm_fail(err, CLM_E_ARG, "only ome-zarr-0.5 has shards");
    return true;
}

static bool open_input(clm_convert *c, clm_err *err) {
    const clm_convert_spec *s = &c->spec;
    size_t n = strlen(s->in);
    if (strncmp(s->out, s->in, n) == 0 && s->out[n] == '/')
        return clm_fail(err, CLM_E_ARG, "%s lies inside the input; name another output", s->out);
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.option = "--spacing";
    o.channel = s->channel;
    o.time = s->time;
    o.all = !c->is_volume && c->output.format != CLM_FORMAT_N5;
    o.has_spacing = s->has_spacing;
    o.has_origin = s->has_origin;
    memcpy(o.spacing_um, s->spacing_um, sizeof o.spacing_um);
    memcpy(o.origin_um, s->origin_um, sizeof o.origin_um);
    if (!clm_image_open(s->in, &o, &c->image, err)) return false;
    const clm_image_info *i = clm_image_info_of(c->image);
    if (s->level < 0 || s->level >= i->n_levels)
        return clm_fail(err, CLM_E_ARG, "level %lld; %s has 0 to %d", (long long)s->level, s->in,
                        i->n_levels - 1);
    c->level = (int)s->level;
    const clm_image_level *l = &i->level[c->level];
    c->region = s->has_region ? s->region : clm_box_of(l->shape);
    if (clm_box_is_empty(c->region) || !clm_box_covers(clm_box_of(l->shape), c->region))
        return clm_fail(err, CLM_E_ARG,
                        "region [%lld,%lld,%lld) to [%lld,%lld,%lld) outside the shape %lld,%lld,%lld",
                        (long long)c->region.lo[0], (long long)c->region.lo[1], (long long)c->region.lo[2],
                        (long long)c->region.hi[0], (long long)c->region.hi[1], (long long)c->region.hi[2],
                        (long long)l->shape[0], (long long)l->shape[1], (long long)l->shape[2]);
    c->stored = i->scaled ? CLM_F32 : i->dtype;
    if (c->stored == CLM_BOOL && (c->is_volume || c->output.format == CLM_FORMAT_N5)) c->stored = CLM_U8;
    return true;
}

static clm_image_frame frame_of(const clm_convert *c) {
    const clm_image_level *l = &clm_image_info_of(c->image)->level[c->level];
    clm_image_frame f;
    for (int d = 0; d < 3; d++) {
        f.shape[d] = c->region.hi[d] - c->region.lo[d];
        f.spacing_um[d] = l->spacing_um[d];
        f.origin_um[d] = l->origin_um[d] + (double)c->region.lo[d] * l->spacing_um[d];
    }
    return f;
}

/* The block of a task: a chunk, or a shard of whole chunks; never much larger than the image. */
static bool set_blocks(clm_convert *c, const clm_image_frame *f, int64_t block[3], clm_err *err) {
    const clm_convert_spec *s = &c->spec;
    double bytes = (double)clm_dtype_size(c->stored);
    for (int d = 0; d < 3; d++) {
        int64_t chunk = s->chunk[d] ? s->chunk[d] : f->shape[d] < CHUNK_VOX ? f->shape[d] : CHUNK_VOX;
        block[d] = s->shard[0] ? s->shard[d] : chunk;
        if (s->shard[0] && !s->chunk[d])
            chunk = s->shard[d] % CHUNK_VOX == 0 ? CHUNK_VOX : s->shard[d] % 64 == 0 ? 64 : s->shard[d];
        bytes *= (double)chunk;
        if (!s->shard[0]) continue;
        if (block[d] % chunk)
            return clm_fail(err, CLM_E_ARG, "shards of %lld voxels are no multiple of chunks of %lld",
                            (long long)block[d], (long long)chunk);
        c->output.inner[d] = chunk;
    }
    return bytes < CHUNK_BYTES_MOST ||
           clm_fail(err, CLM_E_ARG, "--chunk: %.4g bytes a chunk; no format holds 2 GiB", bytes);
}

/* Do the input's chunks lie inside what is asked for at once, so that none is decoded twice? */
static bool aligned(const clm_convert *c, const int64_t block[3]) {
    if (c->output.inner[0]) block = c->output.inner;
    const clm_array_info *a = clm_array_info_of(clm_image_array_of(c->image, c->level));
    for (int d = 0; d < 3; d++) {
        int64_t inner = a->ndim >= 3 ? a->inner[a->ndim - 3 + d] : 1;
        if (block[d] % inner || c->region.lo[d] % inner) return false;
    }
    return true;
}

static void add_stage(clm_convert *c, const char *name, const int64_t shape[3]) {
    clm_stage *s = &c->stage[c->plan.n_stages++];
    *s = (clm_stage){.start = CLM_STAGE_AFTER_ALL, .fatal = true};
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    memcpy(s->shape, shape, sizeof s->shape);
    s->n = shape[0] * shape[1] * shape[2];
}

static void lay_volume(clm_convert *c, const clm_image_frame *f, int64_t block[3]) {
    int64_t plane = f->shape[1] * f->shape[2] * (int64_t)clm_dtype_size(c->stored),
            planes = SLAB_BYTES / plane;
    c->volume.dtype = c->stored;
    c->volume.frame = *f;
    block[0] = planes < 1 ? 1 : planes < f->shape[0] ? planes : f->shape[0];
    block[1] = f->shape[1];
    block[2] = f->shape[2];
    c->slabs = clm_grid_chunks(f->shape, block);
    add_stage(c, "copy", c->slabs.shape);
}

static bool lay_pyramid(clm_convert *c, const clm_image_frame *f, int64_t block[3], clm_err *err) {
    const clm_image_info *i = clm_image_info_of(c->image);
    clm_output *o = &c->output;
    if (!clm_path_format(o->path, err, "%s", c->spec.out) || !set_blocks(c, f, block, err)) return false;
    o->dtype = c->stored;
    o->labels = c->spec.labels;
    o->channels = c->spec.channel < 0 ? i->channels : 1;
    o->times = c->spec.time < 0 ? i->times : 1;
    (void)snprintf(o->codec, sizeof o->codec, "%s", c->spec.codec);
    o->codec_level = (int)c->spec.codec_level;
    clm_output_lay_chunks(o, f, block, c->spec.pyramid);
    for (int k = 0; k < o->n_levels; k++) {
        char name[24];
        int64_t shape[3];
        (void)snprintf(name, sizeof name, k ? "pyramid.%d" : "copy", k);
        clm_output_tasks(o, k, shape);
        add_stage(c, name, shape);
    }
    return true;
}

/* The journal is of this spec and this grid alone. */
static bool set_hash(clm_convert *c, clm_err *err) {
    clm_buf b = {0};
    clm_convert_spec s = c->spec;
    s.threads = 0;
    bool ok = clm_convert_share(&s, &b, err);
    for (int k = 0; ok && k < c->plan.n_stages; k++)
        ok = clm_buf_printf(&b, err, "%s %lld %s ", c->stage[k].name, (long long)c->stage[k].n,
                            clm_dtype_name(c->stored));
    const clm_image_level *l = &clm_image_info_of(c->image)->level[c->level];
    if (ok) c->plan.hash = clm_hash64(CLM_HASH_BEGIN, b.data, b.n);
    c->plan.hash = clm_hash64(c->plan.hash, l->spacing_um, sizeof l->spacing_um);
    c->plan.hash = clm_hash64(c->plan.hash, l->origin_um, sizeof l->origin_um);
    clm_buf_free(&b);
    return ok;
}

bool clm_convert_folder(const char *out, char folder[CLM_PATH_MAX], clm_err *err) {
    size_t n = strlen(out), name;
    while (n > 1 && out[n - 1] == '/') n--;
    for (name = n; name > 0 && out[name - 1] != '/'; name--) {}
    return clm_path_format(folder, err, "%.*s.%.*s.convert", (int)name, out, (int)(n - name), out + name);
}

bool clm_convert_open(const clm_convert_spec *spec, int share, clm_convert *c, clm_err *err) {
    int64_t block[3], one[3] = {1, 1, 1};
    *c = (clm_convert){.spec = *spec};
    char *const path[] = {c->spec.in, c->spec.out};
    for (int i = 0; i < 2; i++)
        for (size_t n = strlen(path[i]); n > 1 && path[i][n - 1] == '/'; n--) path[i][n - 1] = 0;
    if (!set_format(c, err) || !open_input(c, err)) return false;
    const clm_image_frame f = frame_of(c);
    if (c->is_volume)
        lay_volume(c, &f, block);
    else if (!lay_pyramid(c, &f, block, err))
        return false;
    add_stage(c, "finish", one);
    c->plan.stage = c->stage;
    if (!aligned(c, block)) {
        c->cache_mib = CACHE_MIB / share;
        if (!clm_cache_open((size_t)(c->cache_mib * 1048576.0), &c->cache, err)) return false;
        clm_image_use_cache(c->image, c->cache);
    }
    /* coarsening holds a finer chunk stored and as float32, and what it becomes */
    double voxels = c->is_volume ? (double)block[0] * (double)block[1] * (double)block[2]
                                 : clm_output_piece_voxels(&c->output);
    c->task_mib =
        64 + 2 * voxels * (c->is_volume ? 1 : 2) * (double)(clm_dtype_size(c->stored) + 4) / 1048576.0;
    return clm_convert_folder(c->spec.out, c->folder, err) && set_hash(c, err);
}

void clm_convert_close(clm_convert *c) {
    clm_output_close(&c->output);
    clm_image_close(c->image);
    clm_cache_close(c->cache);
    *c = (clm_convert){0};
}

/* ---- doing it ---- */

#define INPUT "input" /* in the journal's folder */

/* Of what input the output is begun; a launch killed before it was told has written no voxel. */
static bool same_input(const clm_convert *c, clm_err *err) {
    char path[CLM_PATH_MAX], want[24];
    clm_buf have = {0};
    uint64_t stamp = 0;
    if (!clm_path_join(path, c->folder, INPUT, err) || !clm_image_stamp(c->image, &stamp, err)) return false;
    int n = snprintf(want, sizeof want, "%016llx\n", (unsigned long long)stamp);
    if (clm_path_kind_of(path) == CLM_PATH_NONE) return clm_file_publish(path, want, (size_t)n, true, err);
    if (!clm_file_read(path, sizeof want, &have, err)) return false;
    bool same = have.n == (size_t)n && memcmp(have.data, want, have.n) == 0;
    clm_buf_free(&have);
    return same || clm_fail(err, CLM_E_ARG,
                            "%s: was begun of other files than %s holds now; remove it and %s to begin anew",
                            c->spec.out, c->spec.in, c->folder);
}

/* a launch killed before it was told of which has not made the output */
static bool is_begun(const clm_convert *c) {
    char path[CLM_PATH_MAX];
    clm_err none;
    return clm_path_join(path, c->folder, INPUT, &none) && clm_path_kind_of(path) == CLM_PATH_FILE;
}

bool clm_convert_fits(const clm_convert *c, clm_err *err) {
    return clm_path_kind_of(c->spec.out) == CLM_PATH_NONE || is_begun(c) ||
           clm_fail(err, CLM_E_ARG, "%s is there already; remove it or name another output", c->spec.out);
}

bool clm_convert_prepare(const clm_convert *c, clm_err *err) {
    bool there = clm_path_kind_of(c->spec.out) != CLM_PATH_NONE; /* a volume: whole, only not yet told */
    return clm_convert_fits(c, err) && clm_folder_make(c->folder, err) && same_input(c, err) &&
           (!c->is_volume ? clm_output_create(&c->output, err)
                          : there || clm_volume_create(c->spec.out, &c->volume, err));
}

bool clm_convert_begin(clm_convert *c, clm_err *err) {
    return c->is_volume || clm_output_open(&c->output, err);
}

typedef struct copying {
    const clm_convert *c;
    int64_t channel, time;
} copying;

static bool read_box(void *ctx, clm_box box, void *out, clm_err *err) {
    const copying *k = ctx;
    const clm_convert *c = k->c;
    for (int d = 0; d < 3; d++) {
        box.lo[d] += c->region.lo[d];
        box.hi[d] += c->region.lo[d];
    }
    if (!clm_image_info_of(c->image)->scaled)
        return clm_image_read_part_raw(c->image, c->level, k->channel, k->time, box, out, err);
    clm_vol v = {.data = out};
    for (int d = 0; d < 3; d++) v.shape[d] = box.hi[d] - box.lo[d];
    v.stride[1] = v.shape[2];
    v.stride[0] = v.shape[1] * v.shape[2];
    return clm_image_read_part(c->image, c->level, k->channel, k->time, box, &v, err);
}

static bool copy(const clm_convert *c, const clm_work *w, int64_t task, clm_err *err) {
    copying k = {c, -1, -1};
    if (c->is_volume) {
        clm_box box = clm_grid_core(&c->slabs, task);
        void *voxels = clm_arena_take(w->keep, clm_box_count(box), clm_dtype_size(c->stored), err);
        return voxels && read_box(&k, box, voxels, err) &&
               clm_volume_put(c->spec.out, &c->volume, box.lo[0], box.hi[0], voxels, err);
    }
    int64_t chunk, channel, time;
    clm_output_task(&c->output, 0, task, &chunk, &channel, &time);
    if (c->spec.channel < 0 && c->output.channels > 1) k.channel = channel;
    if (c->spec.time < 0 && c->output.times > 1) k.time = time;
    return clm_output_put_from(&c->output, 0, task, read_box, &k, err);
}

static bool finish(const clm_convert *c, clm_err *err) {
    if (c->is_volume) return clm_volume_finish(c->spec.out, &c->volume, err);
    return clm_output_finish(&c->output, clm_path_name(c->spec.out), NULL, err);
}

bool clm_convert_task(const clm_convert *c, const clm_work *w, const clm_task *task, clm_err *err) {
    clm_mark keep = clm_arena_mark(w->keep), temp = clm_arena_mark(w->temp);
    bool ok = task->stage == c->plan.n_stages - 1 ? finish(c, err)
              : task->stage == 0                  ? copy(c, w, task->index, err)
                                 : clm_output_coarsen(&c->output, w, task->stage, task->index, err);
    clm_arena_rewind(w->keep, keep);
    clm_arena_rewind(w->temp, temp);
    return ok;
}
