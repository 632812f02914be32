/* clm_apply_ratios FOLDER [TYPE]: what resampling costs beside a plain loop over a dense field of positions, and the apply
 * command's tasks beside the codec alone, in one run: million voxels a second of one thread's CPU, the best of three.
 *   loop      the plain streaming loop: positions read from memory, the neighbours weighted, rounded into the
 *             image's own type
 *   resample  clm_resample with every chunk decoded already: map, gather, weights, rounding
 *   apply     the tasks of `collimate apply`, chunks read, decoded, resampled, encoded, written
 *   codec     decoding every input chunk once and encoding every output chunk, in memory
 *   two slots the tasks by two threads, by wall clock: idle cores only. One that does nothing but the loop and another that
 *             does nothing but the codec would take as long as the larger of both
 *  sum: apply's CPU over that of the loop and the codec together, which one thread cannot do less than */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/heap.h"
#include "collimate/base/rng.h"
#include "collimate/base/simd.h"
#include "collimate/job/apply_run.h"
#include "collimate/codec/codec.h"
#include "collimate/transform/transform.h"
#include "collimate/store/ome.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 256, CHUNK = 64, PER = SIDE / CHUNK, CHUNKS = PER * PER * PER };
#define VOXELS ((int64_t)SIDE * SIDE * SIDE)
#define BLOCK ((int64_t)CHUNK * CHUNK * CHUNK)

typedef struct bench {
    const char *folder, *only;
    void *image;                                      /* [SIDE]^3, packed */
    float *at[3];                                     /* [BLOCK]: positions in voxels */
    char moving[CLM_PATH_MAX], path[2][CLM_PATH_MAX]; /* an affine; an affine and a field */
    clm_work w, second;
} bench;

static double least(double a, double b) { return a < b ? a : b; }

/* ---- the plain loop ---- */

#define PLAIN(NAME, T, ROUND)                                                                          \
    CLM_CLONES static void NAME(const T *restrict v, const float *restrict z, const float *restrict y, \
                                const float *restrict x, int64_t n, T *restrict out) {                 \
        for (int64_t i = 0; i < n; i++) {                                                              \
            float a = z[i], b = y[i], c = x[i], r = 0.0f;                                              \
            if (a >= 0 && b >= 0 && c >= 0 && a < SIDE - 1 && b < SIDE - 1 && c < SIDE - 1) {          \
                int32_t k = (int32_t)a, j = (int32_t)b, h = (int32_t)c;                                \
                const T *p = v + ((int64_t)k * SIDE + j) * SIDE + h;                                   \
                float s = a - (float)k, t = b - (float)j, u = c - (float)h;                            \
                float e = (float)p[0] + u * ((float)p[1] - (float)p[0]);                               \
                float f = (float)p[SIDE] + u * ((float)p[SIDE + 1] - (float)p[SIDE]);                  \
                const T *q = p + SIDE * SIDE;                                                          \
                float g = (float)q[0] + u * ((float)q[1] - (float)q[0]);                               \
                float w = (float)q[SIDE] + u * ((float)q[SIDE + 1] - (float)q[SIDE]);                  \
                e += t * (f - e), g += t * (w - g);                                                    \
                r = e + s * (g - e);                                                                   \
            }                                                                                          \
            out[i] = (T)(r + (ROUND));                                                                 \
        }                                                                                              \
    }
PLAIN(plain_u8, uint8_t, 0.5f)
PLAIN(plain_u16, uint16_t, 0.5f)
PLAIN(plain_f32, float, 0.0f)

/* 64 neighbours under Keys' weights */
static void keys(float f, float w[4]) {
    float g = 1.0f - f;
    w[0] = -0.5f * f * g * g, w[1] = 1.0f - f * f * (2.5f - 1.5f * f);
    w[2] = 1.0f - g * g * (2.5f - 1.5f * g), w[3] = -0.5f * g * f * f;
}

CLM_CLONES static void plain_cubic(const uint16_t *restrict v, const float *restrict z,
                                   const float *restrict y, const float *restrict x, int64_t n,
                                   uint16_t *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        float a = z[i], b = y[i], c = x[i], r = 0.0f;
        if (a >= 1 && b >= 1 && c >= 1 && a < SIDE - 2 && b < SIDE - 2 && c < SIDE - 2) {
            int32_t k = (int32_t)a, j = (int32_t)b, h = (int32_t)c;
            float wz[4], wy[4], wx[4];
            keys(a - (float)k, wz), keys(b - (float)j, wy), keys(c - (float)h, wx);
            const uint16_t *p = v + ((int64_t)(k - 1) * SIDE + j - 1) * SIDE + h - 1;
            for (int e = 0; e < 4; e++)
                for (int f = 0; f < 4; f++) {
                    const uint16_t *q = p + (e * SIDE + f) * SIDE;
                    r += wz[e] * wy[f] *
                         (wx[0] * (float)q[0] + wx[1] * (float)q[1] + wx[2] * (float)q[2] +
                          wx[3] * (float)q[3]);
                }
        }
        r = r < 0.0f ? 0.0f : r > 65535.0f ? 65535.0f : r;
        out[i] = (uint16_t)(r + 0.5f);
    }
}

CLM_CLONES static void plain_nearest(const uint32_t *restrict v, const float *restrict z,
                                     const float *restrict y, const float *restrict x, int64_t n,
                                     uint32_t *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        float a = z[i] + 0.5f, b = y[i] + 0.5f, c = x[i] + 0.5f;
        bool in = a >= 0 && b >= 0 && c >= 0 && a < SIDE && b < SIDE && c < SIDE;
        out[i] = in ? v[((int64_t)(int32_t)a * SIDE + (int32_t)b) * SIDE + (int32_t)c] : 0;
    }
}

/* over the whole image, block by block; positions are made beforehand and not counted */
static double plain(const bench *b, const clm_resampled *what, const clm_map *map, void *out, clm_err *err) {
    double seconds = 0.0;
    for (int64_t k = 0; k < CHUNKS; k++) {
        clm_vol grid = {.shape = {CHUNK, CHUNK, CHUNK}, .spacing = {1, 1, 1}};
        const int64_t at[3] = {k / (PER * PER), k / PER % PER, k % PER};
        clm_affine a;
        clm_field u;
        bool has;
        const uint8_t *flags;
        clm_mark mark = clm_arena_mark(b->w.keep);
        for (int d = 0; d < 3; d++) grid.origin[d] = (double)(at[d] * CHUNK);
        if (!clm_map_over(map, &b->w, &grid, &a, &u, &has, &flags, err)) return INFINITY;
        for (int64_t i = 0; i < BLOCK; i++) {
            double x[3] = {grid.origin[0] + (double)(i / (CHUNK * CHUNK)),
                           grid.origin[1] + (double)(i / CHUNK % CHUNK),
                           grid.origin[2] + (double)(i % CHUNK)};
            clm_transform_point(&a, has ? &u : NULL, x, x);
            for (int d = 0; d < 3; d++) b->at[d][i] = (float)x[d];
        }
        clm_arena_rewind(b->w.keep, mark);
        double t = clm_clock_thread_s();
        if (what->interp == CLM_INTERP_NEAREST)
            plain_nearest(b->image, b->at[0], b->at[1], b->at[2], BLOCK, out);
        else if (what->interp == CLM_INTERP_CUBIC)
            plain_cubic(b->image, b->at[0], b->at[1], b->at[2], BLOCK, out);
        else if (what->dtype == CLM_U8)
            plain_u8(b->image, b->at[0], b->at[1], b->at[2], BLOCK, out);
        else if (what->dtype == CLM_U16)
            plain_u16(b->image, b->at[0], b->at[1], b->at[2], BLOCK, out);
        else
            plain_f32(b->image, b->at[0], b->at[1], b->at[2], BLOCK, out);
        seconds += clm_clock_thread_s() - t;
    }
    return seconds;
}

/* ---- resampling, and the whole of apply ---- */

static double resample(const bench *b, const clm_resampled *what, const clm_map *map, clm_err *err) {
    double seconds = 0.0;
    for (int64_t k = 0; k < CHUNKS; k++) {
        clm_vol grid = {.shape = {CHUNK, CHUNK, CHUNK}, .spacing = {1, 1, 1}};
        const int64_t at[3] = {k / (PER * PER), k / PER % PER, k % PER};
        clm_mark mark = clm_arena_mark(b->w.keep);
        void *voxels = clm_arena_take(b->w.keep, BLOCK, clm_dtype_size(what->dtype), err);
        int64_t unsolved;
        double inside, t = clm_clock_thread_s();
        for (int d = 0; d < 3; d++) grid.origin[d] = (double)(at[d] * CHUNK);
        if (!voxels || !clm_resample(&b->w, what, map, &grid, voxels, &inside, &unsolved, err))
            return INFINITY;
        seconds += clm_clock_thread_s() - t;
        clm_arena_rewind(b->w.keep, mark);
    }
    return seconds;
}

/* a slot: tasks, one after the other, each taken by one of them */
typedef struct slot {
    clm_apply_run *run;
    clm_work w;
    atomic_int_least64_t *next;
    clm_err err;
} slot;

static void *work_off(void *arg) {
    slot *s = arg;
    bool ok = true;
    for (int64_t k; ok && (k = atomic_fetch_add(s->next, 1)) < CHUNKS;) {
        clm_outcome o;
        ok = clm_apply_task(s->run, &s->w, &(clm_task){.index = k}, &o, &s->err);
    }
    return NULL;
}

/* by two slots; wall clock */
static double overlapped(const bench *b, clm_apply_run *run, clm_err *err) {
    atomic_int_least64_t next = 0;
    slot s[2] = {{.run = run, .w = b->w, .next = &next}, {.run = run, .w = b->second, .next = &next}};
    pthread_t id;
    double t = clm_clock_s();
    if (pthread_create(&id, NULL, work_off, &s[1]) != 0) return INFINITY;
    (void)work_off(&s[0]);
    (void)pthread_join(id, NULL);
    t = clm_clock_s() - t;
    *err = s[0].err.code ? s[0].err : s[1].err;
    return t;
}

/* CPU of one slot or, with two, wall clock */
static double apply(const bench *b, const char *interpolation, const char *transform, bool two,
                    clm_err *err) {
    char out[CLM_PATH_MAX];
    clm_apply_spec s = CLM_APPLY_DEFAULTS;
    clm_apply_run *run = NULL;
    clm_json *v = NULL;
    double seconds = INFINITY;
    if (!clm_path_join(out, b->folder, "out.ome.zarr", err) || !clm_folder_remove(out, err)) return INFINITY;
    s.labels = strcmp(interpolation, "labels") == 0;
    if (!s.labels) s.interpolation = interpolation;
    s.transforms[s.n_transforms++] = transform;
    s.input = b->moving, s.output = out, s.pyramid = false, s.chunk_vox = CHUNK;
    s.like = b->moving;
    bool ok = clm_apply_spec_to_json(&s, &v, err) && clm_apply_open(v, 1, &run, err) &&
              clm_apply_prepare(run, err) && clm_apply_stage_begin(run, 0, err);
    if (ok && two) seconds = overlapped(b, run, err);
    double t = clm_clock_thread_s();
    for (int64_t k = 0; ok && !two && k < CHUNKS; k++) {
        clm_outcome o;
        ok = clm_apply_task(run, &b->w, &(clm_task){.index = k}, &o, err);
    }
    if (ok && !two) seconds = clm_clock_thread_s() - t;
    clm_apply_close(run);
    return seconds;
}

/* the codec alone: the input's chunks decoded, the output's encoded */
static double codec(const bench *b, const clm_array *in, clm_err *err) {
    clm_codec c;
    clm_buf coded = {0};
    clm_array *out = NULL;
    char path[CLM_PATH_MAX];
    const clm_dtype type = clm_array_info_of(in)->dtype;
    size_t bytes = (size_t)BLOCK * clm_dtype_size(type), made;
    void *voxels = clm_heap_new(bytes, 1, err);
    double seconds = 0.0;
    bool ok = voxels && clm_codec_named("blosc", -1, type, &c, err) &&
              clm_path_join(path, b->folder, "out.ome.zarr/s0", err) && clm_array_open(path, &out, err);
    for (int64_t k = 0; ok && k < CHUNKS; k++) {
        int64_t lo[3] = {k / (PER * PER) * CHUNK, k / PER % PER * CHUNK, k % PER * CHUNK}, hi[3];
        for (int d = 0; d < 3; d++) hi[d] = lo[d] + CHUNK;
        ok = clm_array_read(out, lo, hi, voxels, err);
        double t = clm_clock_thread_s();
        ok = ok && clm_codec_encode(&c, voxels, bytes, &coded, err);
        seconds += clm_clock_thread_s() - t;
        ok =
            ok && clm_array_read(in, lo, hi, voxels, err) && clm_codec_encode(&c, voxels, bytes, &coded, err);
        t = clm_clock_thread_s();
        ok = ok && clm_codec_decode(&c, coded.data, coded.n, voxels, bytes, &made, err);
        seconds += clm_clock_thread_s() - t;
    }
    clm_buf_free(&coded);
    clm_array_close(out);
    clm_heap_free(voxels);
    return ok ? seconds : (double)INFINITY;
}

/* ---- inputs ---- */

static bool write_image(bench *b, clm_dtype type, clm_err *err) {
    char array[CLM_PATH_MAX];
    clm_array *a = NULL;
    clm_array_spec s = {.ndim = 3, .dtype = type};
    const clm_level_spec level = {.path = "s0", .spacing_um = {1, 1, 1}};
    size_t size = clm_dtype_size(type);
    unsigned char *chunk = clm_heap_new((size_t)BLOCK, size, err);
    for (int d = 0; d < 3; d++) s.shape[d] = SIDE, s.chunk[d] = CHUNK;
    bool ok = chunk && clm_folder_remove(b->moving, err) && clm_path_join(array, b->moving, "s0", err) &&
              clm_array_create(array, &s, &a, err);
    for (int64_t i = 0; ok && i < VOXELS; i++) {
        uint64_t r = clm_rng_bits(7, 1, (uint64_t)i);
        uint32_t v = (uint32_t)(20 + (i / 64 % 97) * (i / 16384 % 31) / 20 + (int64_t)(r % 24 + r / 64 % 24));
        if (type == CLM_U8) ((uint8_t *)b->image)[i] = (uint8_t)v;
        if (type == CLM_U16) ((uint16_t *)b->image)[i] = (uint16_t)(10 * v);
        if (type == CLM_F32) ((float *)b->image)[i] = (float)v;
        /* labels: cells of 16 voxels */
        if (type == CLM_U32)
            ((uint32_t *)b->image)[i] = (uint32_t)((i / 16 % 16) + 16 * (i / 4096 % 16) + (i >> 20 << 8));
    }
    for (int64_t k = 0; ok && k < CHUNKS; k++) {
        const int64_t at[3] = {k / (PER * PER), k / PER % PER, k % PER};
        for (int64_t z = 0; z < CHUNK; z++)
            for (int64_t y = 0; y < CHUNK; y++)
                memcpy(chunk + (size_t)((z * CHUNK + y) * CHUNK) * size,
                       (unsigned char *)b->image +
                           (size_t)(((at[0] * CHUNK + z) * SIDE + at[1] * CHUNK + y) * SIDE + at[2] * CHUNK) *
                               size,
                       CHUNK * size);
        ok = clm_array_put_chunk(a, at, chunk, err);
    }
    clm_array_close(a);
    clm_heap_free(chunk);
    return ok &&
           clm_ome_write_pyramid(
               b->moving,
               &(clm_pyramid_spec){.format = CLM_FORMAT_ZARR3, .name = "bench", .levels = &level, .n = 1},
               err);
}

/* a slight turn; the same and a field of 8 voxels' pitch that moves by 3 voxels */
static bool write_transforms(bench *b, clm_err *err) {
    enum { NODES = SIDE / 8 + 1 };
    static const char text[] = "1.01 0.02 0 -3\n-0.02 0.99 0.01 4\n0.005 -0.01 1.0 1\n";
    clm_transform t = {0};
    clm_transform_spec s = {.affine = {{{1.01, .02, 0, -3}, {-.02, .99, .01, 4}, {.005, -.01, 1, 1}}}};
    clm_field f;
    const double zero[3] = {0, 0, 0}, eight[3] = {8, 8, 8};
    for (int d = 0; d < 3; d++) {
        s.shape[d] = s.chunk[d] = NODES;
        s.spacing_um[d] = 8;
        s.fixed.shape[d] = s.moving.shape[d] = SIDE;
        s.fixed.spacing_um[d] = s.moving.spacing_um[d] = 1;
    }
    bool ok = clm_path_join(b->path[0], b->folder, "affine.txt", err) &&
              clm_path_join(b->path[1], b->folder, "field.ome.zarr", err) &&
              clm_folder_remove(b->path[1], err) &&
              clm_file_publish(b->path[0], text, strlen(text), false, err) &&
              clm_ome_write_transform(b->path[1], &s, err) &&
              clm_field_new(b->w.keep, s.shape, eight, zero, &f, err) &&
              clm_transform_open(b->path[1], true, &t, err);
    for (int64_t i = 0; ok && i < clm_field_count(&f); i++)
        for (int c = 0; c < 3; c++)
            f.u[c][i] =
                (float)(3.0 * sin(0.3 * (double)(i % NODES) + c) * cos(0.2 * (double)(i / NODES % NODES)));
    ok = ok && clm_transform_put(&t, (const int64_t[3]){0, 0, 0}, &f, err);
    clm_transform_close(&t);
    return ok;
}

static bool row(bench *b, const char *interpolation, clm_image *im, int which, clm_err *err) {
    clm_dtype type = clm_image_info_of(im)->dtype;
    const char *path = b->path[which];
    clm_resampled what = {.image = im, .channel = -1, .time = -1, .dtype = type};
    clm_map map;
    double best[5] = {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
    what.interp = strcmp(interpolation, "labels") == 0  ? CLM_INTERP_NEAREST
                  : strcmp(interpolation, "cubic") == 0 ? CLM_INTERP_CUBIC
                                                        : CLM_INTERP_LINEAR;
    if (!clm_map_open(&path, 1, (size_t)64 << 20, &map, err)) return false;
    void *out = clm_heap_new((size_t)BLOCK, clm_dtype_size(type), err);
    bool ok = out && isfinite(resample(b, &what, &map, err)); /* every chunk is decoded now */
    for (int k = 0; ok && k < 3; k++) {                       /* others use this machine, too */
        best[0] = least(best[0], plain(b, &what, &map, out, err));
        best[1] = least(best[1], resample(b, &what, &map, err));
        best[2] = least(best[2], apply(b, interpolation, path, false, err));
        best[4] = least(best[4], apply(b, interpolation, path, true, err));
        best[3] = least(best[3], codec(b, clm_image_array_of(im, 0), err));
        ok = err->code == CLM_OK;
    }
    clm_heap_free(out);
    clm_map_close(&map);
    if (!ok) return false;
    double m = (double)VOXELS * 1e-6;
    printf(
        "%-8s %-7s %-6s  loop %6.1f  resample %6.1f, %.2f of the loop   apply %6.1f  codec %6.1f   apply's CPU "
        "%.2f of the larger, %.2f of the sum; two slots' wall %.2f of the larger\n",
        clm_dtype_name(type), interpolation, which ? "field" : "affine", m / best[0], m / best[1],
        best[0] / best[1], m / best[2], m / best[3], best[2] / fmax(best[3], best[0]),
        best[2] / (best[3] + best[0]), best[4] / fmax(best[3], best[0]));
    (void)fflush(stdout);
    return true;
}

static bool run(bench *b, clm_err *err) {
    static const struct {
        clm_dtype type;
        const char *interpolation;
    } rows[] = {{CLM_U8, "linear"},
                {CLM_U16, "linear"},
                {CLM_F32, "linear"},
                {CLM_U16, "cubic"},
                {CLM_U32, "labels"}};
    clm_cache *cache = NULL;
    b->image = clm_heap_new((size_t)VOXELS, 4, err);
    for (int d = 0; d < 3; d++) b->at[d] = clm_heap_new((size_t)BLOCK, sizeof(float), err);
    bool ok = b->image && b->at[0] && b->at[1] && b->at[2] &&
              clm_path_join(b->moving, b->folder, "moving.ome.zarr", err) &&
              clm_arena_open((size_t)1 << 30, &b->w.keep, err) &&
              clm_arena_open((size_t)1 << 30, &b->w.temp, err) &&
              clm_arena_open((size_t)1 << 30, &b->second.keep, err) &&
              clm_arena_open((size_t)1 << 30, &b->second.temp, err) && write_transforms(b, err);
    for (size_t i = 0; ok && i < sizeof rows / sizeof rows[0]; i++) {
        clm_image *im = NULL;
        if (b->only && strcmp(b->only, clm_dtype_name(rows[i].type)) != 0) continue;
        ok = write_image(b, rows[i].type, err) && clm_image_open(b->moving, NULL, &im, err) &&
             clm_cache_open((size_t)1 << 30, &cache, err);
        if (ok) clm_image_use_cache(im, cache);
        for (int k = 0; ok && k < 2; k++) ok = row(b, rows[i].interpolation, im, k, err);
        clm_image_close(im);
        clm_cache_close(cache);
        cache = NULL;
    }
    clm_arena_close(b->w.keep);
    clm_arena_close(b->w.temp);
    clm_arena_close(b->second.keep);
    clm_arena_close(b->second.temp);
    clm_heap_free(b->image);
    for (int d = 0; d < 3; d++) clm_heap_free(b->at[d]);
    return ok;
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    static bench b;
    clm_heap_setup(); /* as the program does */
    b.folder = argc == 2 || argc == 3 ? argv[1] : NULL;
    b.only = argc == 3 ? argv[2] : NULL;
    if (b.folder && run(&b, &err)) return 0;
    (void)fprintf(stderr, "clm_apply_ratios: %s\n",
                  b.folder ? err.text : "wants a folder, and perhaps a type of voxels");
    return 1;
}
