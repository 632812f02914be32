/* store_ratios FOLDER: what reading and writing chunks costs beside the codec alone, and what a second thread
 * adds, in one run. uint16 voxels as a microscope gives them: smooth structure, counting noise. The codec's
 * seconds are of the same chunks in memory; the store's include files, checks and copies. CPU seconds a thread
 * for the first, wall seconds for threads. Peak memory is the process's. */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/json.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"
#include "collimate/store/codec.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define SIDE 256

typedef struct job {
    const clm_array *a;
    int first, step;
    clm_err err;
} job;

/* every step-th chunk, into memory of its own */
static void *read_some(void *arg) {
    job *j = arg;
    const clm_array_info *i = clm_array_info_of(j->a);
    int64_t grid[CLM_DIMS_MAX], lo[3], hi[3], n = clm_array_chunk_grid(j->a, grid), at[3];
    void *to = clm_heap_new((size_t)(i->chunk[0] * i->chunk[1] * i->chunk[2]), 2, &j->err);
    for (int64_t k = j->first; to && k < n; k += j->step) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        clm_array_chunk_box(j->a, at, lo, hi);
        if (!clm_array_read(j->a, lo, hi, to, &j->err)) break;
    }
    clm_heap_free(to);
    return NULL;
}

static double read_threads(const clm_array *a, int threads, clm_err *err) {
    pthread_t id[2];
    job jobs[2];
    double t = clm_clock_s();
    for (int k = 0; k < threads; k++) {
        jobs[k] = (job){.a = a, .first = k, .step = threads};
        if (pthread_create(&id[k], NULL, read_some, &jobs[k]) != 0) return -1; /* allow: what is measured */
    }
    for (int k = 0; k < threads; k++) {
        (void)pthread_join(id[k], NULL);
        if (jobs[k].err.code) *err = jobs[k].err;
    }
    return clm_clock_s() - t;
}

static double least(double a, double b) { return a < b ? a : b; }

/* encode and decode seconds of all chunks, the codec alone */
static bool codec_alone(const char *name, const uint16_t *chunks, int64_t voxels, int64_t n, double out[2],
                        clm_err *err) {
    clm_codec c;
    clm_buf coded = {0}, plain = {0};
    size_t bytes = (size_t)voxels * 2, made;
    out[0] = out[1] = 0;
    bool ok = clm_codec_named(name, -1, CLM_U16, &c, err) && clm_buf_reserve(&plain, bytes, err);
    for (int64_t k = 0; ok && k < n; k++) {
        double t = clm_clock_thread_s();
        ok = clm_codec_encode(&c, chunks + k * voxels, bytes, &coded, err);
        out[0] += clm_clock_thread_s() - t;
        t = clm_clock_thread_s();
        ok = ok && clm_codec_decode(&c, coded.data, coded.n, plain.data, bytes, &made, err);
        out[1] += clm_clock_thread_s() - t;
    }
    clm_buf_free(&coded);
    clm_buf_free(&plain);
    return ok;
}

static bool through_store(clm_array *a, const uint16_t *chunks, int64_t voxels, int64_t n, double out[2],
                          clm_err *err) {
    int64_t grid[CLM_DIMS_MAX], lo[3], hi[3], at[3];
    (void)clm_array_chunk_grid(a, grid);
    void *back = clm_heap_new((size_t)voxels, 2, err);
    bool ok = back != NULL;
    out[0] = out[1] = 0;
    for (int64_t k = 0; ok && k < n; k++) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        clm_array_chunk_box(a, at, lo, hi);
        double t = clm_clock_thread_s();
        ok = clm_array_put_chunk(a, at, chunks + k * voxels, err);
        out[0] += clm_clock_thread_s() - t;
        t = clm_clock_thread_s();
        ok = ok && clm_array_read(a, lo, hi, back, err);
        out[1] += clm_clock_thread_s() - t;
        if (ok && memcmp(back, chunks + k * voxels, (size_t)voxels * 2) != 0)
            ok = clm_fail(err, CLM_E_FORMAT, "read other voxels than were written");
    }
    clm_heap_free(back);
    return ok;
}

static bool one(const char *folder, const char *codec, int64_t side, const uint16_t *chunks, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_U16, .codec = codec};
    int64_t voxels = side * side * side, n = (int64_t)SIDE * SIDE * SIDE / voxels;
    double alone[2] = {1e9, 1e9}, store[2] = {1e9, 1e9}, wall[2] = {1e9, 1e9}, t[2];
    for (int d = 0; d < 3; d++) spec.shape[d] = SIDE, spec.chunk[d] = side;
    if (!clm_path_format(path, err, "%s/%s-%d.zarr", folder, codec, (int)side) ||
        !clm_array_create(path, &spec, &a, err))
        return false;
    bool ok = true;
    for (int k = 0; ok && k < 5; k++) { /* the least of five: others use this machine, too */
        ok = codec_alone(codec, chunks, voxels, n, t, err);
        for (int i = 0; i < 2; i++) alone[i] = least(alone[i], t[i]);
        ok = ok && through_store(a, chunks, voxels, n, t, err);
        for (int i = 0; i < 2; i++) store[i] = least(store[i], t[i]);
        for (int i = 0; ok && i < 2; i++) wall[i] = least(wall[i], read_threads(a, i + 1, err));
        ok = ok && err->code == CLM_OK;
    }
    double mb = (double)n * (double)voxels * 2e-6;
    if (ok)
        printf(
            "%-6s %3d^3  write %7.1f MB/s, %.2f of the codec   read %7.1f MB/s, %.2f of the codec   2 threads x%.2f\n",
            codec, (int)side, mb / store[0], alone[0] / store[0], mb / store[1], alone[1] / store[1],
            wall[0] / wall[1]);
    clm_array_close(a);
    return ok;
}

/* store_ratios ARRAY z,y,x SIDE: the least CPU and wall seconds of five readings of a cube, one thread */
static bool read_cube(char **argv, clm_err *err) {
    clm_array *a = NULL;
    int64_t lo[3], hi[3], side = 0;
    double cpu = 1e9, wall = 1e9;
    clm_json *v = NULL;
    char text[100];
    (void)snprintf(text, sizeof text, "[%s]", argv[2]);
    bool ok = clm_text_int(argv[3], &side) && side > 0 &&
              clm_json_parse(text, strlen(text), argv[2], &v, err) && clm_json_ints(v, 3, lo);
    clm_json_free(v);
    if (!ok) return err->code ? false : clm_fail(err, CLM_E_ARG, "store_ratios ARRAY z,y,x SIDE");
    for (int d = 0; d < 3; d++) hi[d] = lo[d] + side;
    unsigned char *to = clm_heap_new((size_t)(side * side * side), 8, err);
    ok = to && clm_array_open(argv[1], &a, err);
    for (int k = 0; ok && k < 5; k++) {
        double c = clm_clock_thread_s(), w = clm_clock_s();
        ok = clm_array_read(a, lo, hi, to, err);
        cpu = least(cpu, clm_clock_thread_s() - c);
        wall = least(wall, clm_clock_s() - w);
    }
    if (ok) printf("%.4f %.4f\n", cpu, wall);
    clm_array_close(a);
    clm_heap_free(to);
    return ok;
}

int main(int argc, char **argv) {
    static const char *const codecs[] = {"blosc", "zstd", "gzip"};
    clm_err err = CLM_ERR_NONE;
    struct rusage use;
    if (argc == 4) {
        if (read_cube(argv, &err)) return 0;
        (void)fprintf(stderr, "store_ratios: %s\n", err.text);
        return 1;
    }
    uint16_t *voxels = clm_heap_new((size_t)SIDE * SIDE * SIDE, 2, &err);
    if (argc < 2) (void)clm_fail(&err, CLM_E_ARG, "store_ratios FOLDER");
    for (int64_t i = 0; voxels && i < (int64_t)SIDE * SIDE * SIDE; i++) {
        uint64_t r = clm_rng_bits(7, 1, (uint64_t)i);
        voxels[i] = (uint16_t)(200 + (i / 64 % 97) * (i / 16384 % 31) / 4 + (int64_t)(r % 24 + r / 64 % 24));
    }
    for (int c = 0; !err.code && c < 3; c++)
        for (int64_t side = 64; !err.code && side <= 128; side *= 2)
            (void)one(argv[1], codecs[c], side, voxels, &err);
    clm_heap_free(voxels);
    if (err.code) (void)fprintf(stderr, "store_ratios: %s\n", err.text);
    if (getrusage(RUSAGE_SELF, &use) == 0)
        printf("peak memory %.0f MB, of it %d the voxels\n", (double)use.ru_maxrss / 1024,
               SIDE * SIDE * SIDE * 2 / 1000000);
    return err.code ? 1 : 0;
}
