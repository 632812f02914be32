/* store_ratios FOLDER: what reading and writing chunks costs beside the codec alone, and what a second thread adds,
 * in one run. uint16 voxels as a microscope gives them: smooth structure, counting noise. The codec's seconds are of
 * the same chunks in memory; the store's include files, checks and copies. CPU seconds of the thread for the first,
 * wall seconds for threads.
 * store_ratios read ARRAY z,y,x SIDE THREADS: least CPU and wall seconds of five readings of a cube, and the
 * process's peak memory beyond what it is read into, MB.
 * store_ratios write ARRAY FOLDER THREADS: the same of writing the array's voxels again, as Zarr v3 in its chunks. */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/json.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"
#include "collimate/store/codec.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SIDE 256

/* wall seconds of reading all of it */
static double read_threads(const clm_array *a, void *to, int threads, clm_err *err) {
    const int64_t zero[CLM_DIMS_MAX] = {0};
    double t = clm_clock_s();
    if (!clm_array_read_by(a, zero, clm_array_info_of(a)->shape, to, threads, err)) return 1e9;
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

static bool one(const char *folder, const char *codec, int64_t side, const uint16_t *chunks, void *to,
                clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_U16, .codec = codec};
    int64_t voxels = side * side * side, n = (int64_t)SIDE * SIDE * SIDE / voxels;
    double alone[2] = {1e9, 1e9}, store[2] = {1e9, 1e9}, wall[2] = {1e9, 1e9}, t[2] = {1e9, 1e9};
    for (int d = 0; d < 3; d++) spec.shape[d] = SIDE, spec.chunk[d] = side;
    bool ok = clm_path_format(path, err, "%s/%s-%d.zarr", folder, codec, (int)side);
    for (int k = 0; ok && k < 5; k++) { /* the least of five: others use this machine, too */
        clm_array_close(a);
        a = NULL; /* new files each time: replacing also frees the old ones */
        ok = clm_folder_remove(path, err) && clm_array_create(path, &spec, &a, err) &&
             codec_alone(codec, chunks, voxels, n, t, err);
        for (int i = 0; i < 2; i++) alone[i] = least(alone[i], t[i]);
        ok = ok && through_store(a, chunks, voxels, n, t, err);
        for (int i = 0; i < 2; i++) store[i] = least(store[i], t[i]);
        for (int i = 0; ok && i < 2; i++) wall[i] = least(wall[i], read_threads(a, to, i + 1, err));
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

static double cpu_s(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* of this program alone; getrusage's would be that of whoever started it, too */
static double peak_mb(void) {
    char text[4096], digits[32];
    int64_t kb = 0;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *at = strstr(text, "VmHWM:");
    if (!at) return 0;
    at += strcspn(at, "0123456789");
    (void)snprintf(digits, sizeof digits, "%.*s", (int)strspn(at, "0123456789"), at);
    return clm_text_int(digits, &kb) ? (double)kb / 1024 : 0;
}

static bool number(const char *text, int64_t *out, clm_err *err) {
    return (clm_text_int(text, out) && *out > 0) || clm_fail(err, CLM_E_ARG, "%s is no count", text);
}

static bool read_cube(char **argv, clm_err *err) {
    clm_array *a = NULL;
    int64_t lo[3], hi[3], side, threads;
    double cpu = 1e9, wall = 1e9;
    clm_json *v = NULL;
    char text[100];
    (void)snprintf(text, sizeof text, "[%s]", argv[3]);
    if (!number(argv[4], &side, err) || !number(argv[5], &threads, err) ||
        !clm_json_parse(text, strlen(text), argv[3], &v, err))
        return false;
    bool ok = clm_json_ints(v, 3, lo) || clm_fail(err, CLM_E_ARG, "%s: want z,y,x", argv[3]);
    clm_json_free(v);
    for (int d = 0; ok && d < 3; d++) hi[d] = lo[d] + side;
    size_t bytes = (size_t)(side * side * side) * 2;
    unsigned char *to = ok ? clm_heap_new(bytes, 1, err) : NULL;
    ok = to && clm_array_open(argv[2], &a, err);
    if (ok) memset(to, 1, bytes); /* its pages are not what is measured */
    for (int k = 0; ok && k < 5; k++) {
        double c = cpu_s(), w = clm_clock_s();
        ok = clm_array_read_by(a, lo, hi, to, (int)threads, err);
        cpu = least(cpu, cpu_s() - c);
        wall = least(wall, clm_clock_s() - w);
    }
    if (ok) printf("%.4f %.4f %.1f\n", cpu, wall, peak_mb() - (double)bytes / 1048576);
    clm_array_close(a);
    clm_heap_free(to);
    return ok;
}

typedef struct job {
    clm_array *a;
    const uint16_t *voxels; /* chunk after chunk */
    int64_t chunk_voxels;
    int first, step;
    clm_err err;
} job;

static void *write_some(void *arg) {
    job *j = arg;
    int64_t grid[CLM_DIMS_MAX], n = clm_array_chunk_grid(j->a, grid), at[3];
    for (int64_t k = j->first; k < n; k += j->step) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        if (!clm_array_put_chunk(j->a, at, j->voxels + k * j->chunk_voxels, &j->err)) break;
    }
    return NULL;
}

static bool write_all(clm_array *a, const uint16_t *voxels, int64_t chunk_voxels, int threads, clm_err *err) {
    pthread_t id[16];
    job jobs[16];
    for (int k = 0; k < threads && k < 16; k++) {
        jobs[k] = (job){.a = a, .voxels = voxels, .chunk_voxels = chunk_voxels, .first = k, .step = threads};
        if (pthread_create(&id[k], NULL, write_some, &jobs[k]) != 0)
            return clm_fail(err, CLM_E_NOMEM, "no thread");
    }
    for (int k = 0; k < threads && k < 16; k++) {
        (void)pthread_join(id[k], NULL);
        if (jobs[k].err.code) *err = jobs[k].err;
    }
    return err->code == CLM_OK;
}

static bool write_array(char **argv, clm_err *err) {
    clm_array *a = NULL, *b = NULL;
    int64_t threads, grid[CLM_DIMS_MAX], lo[3], hi[3], at[3], chunk = 1;
    double cpu = 1e9, wall = 1e9;
    if (!number(argv[4], &threads, err) || !clm_array_open(argv[2], &a, err)) return false;
    const clm_array_info *i = clm_array_info_of(a);
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_U16};
    for (int d = 0; d < 3; d++) chunk *= spec.chunk[d] = i->chunk[d], spec.shape[d] = i->shape[d];
    int64_t n = clm_array_chunk_grid(a, grid);
    uint16_t *voxels = clm_heap_new((size_t)(n * chunk), 2, err); /* whole chunks: sides divide the shape */
    bool ok = voxels != NULL;
    for (int64_t k = 0; ok && k < n; k++) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        clm_array_chunk_box(a, at, lo, hi);
        ok = clm_array_read(a, lo, hi, voxels + k * chunk, err);
    }
    for (int k = 0; ok && k < 5; k++) {
        ok = clm_folder_remove(argv[3], err) && clm_array_create(argv[3], &spec, &b, err);
        double c = cpu_s(), w = clm_clock_s();
        ok = ok && write_all(b, voxels, chunk, (int)threads, err);
        cpu = least(cpu, cpu_s() - c);
        wall = least(wall, clm_clock_s() - w);
        clm_array_close(b);
        b = NULL;
    }
    if (ok) printf("%.4f %.4f %.1f\n", cpu, wall, peak_mb() - (double)(n * chunk * 2) / 1048576);
    clm_array_close(a);
    clm_heap_free(voxels);
    return ok;
}

static bool ratios(const char *folder, clm_err *err) {
    static const char *const codecs[] = {"blosc", "zstd", "gzip"};
    int64_t n = (int64_t)SIDE * SIDE * SIDE;
    uint16_t *voxels = clm_heap_new((size_t)n, 2, err), *to = clm_heap_new((size_t)n, 2, err);
    bool ok = voxels && to;
    for (int64_t i = 0; ok && i < n; i++) {
        uint64_t r = clm_rng_bits(7, 1, (uint64_t)i);
        voxels[i] = (uint16_t)(200 + (i / 64 % 97) * (i / 16384 % 31) / 4 + (int64_t)(r % 24 + r / 64 % 24));
    }
    for (int c = 0; ok && c < 3; c++)
        for (int64_t side = 64; ok && side <= 128; side *= 2)
            ok = one(folder, codecs[c], side, voxels, to, err);
    clm_heap_free(voxels);
    clm_heap_free(to);
    return ok;
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    bool ok = argc == 2                                    ? ratios(argv[1], &err)
              : argc == 6 && strcmp(argv[1], "read") == 0  ? read_cube(argv, &err)
              : argc == 5 && strcmp(argv[1], "write") == 0 ? write_array(argv, &err)
                                                           : clm_fail(&err, CLM_E_ARG, "see its first lines");
    if (!ok) (void)fprintf(stderr, "store_ratios: %s\n", err.text);
    return ok ? 0 : 1;
}
