/* store_ratios FOLDER: what reading and writing chunks costs beside the codec alone, and what a second thread adds,
 * in one run. uint16 voxels as a microscope gives them: smooth structure, counting noise. "chunk": a chunk's voxels to
 * the bytes of its file and back, in memory. "volume": the same, cut from a volume and laid into one. "file": the voxels
 * to the file and back. CPU seconds of the thread for these, the sum over the chunks of each one's least of five;
 * wall seconds for threads, the least of nine.
 * store_ratios read ARRAY z,y,x SIZES THREADS: least CPU and wall seconds of some readings of a box (SIZES as z,y,x), and
 * the process's peak memory beyond what it is read into, MB.
 * store_ratios write ARRAY THREADS: writes the array's voxels again, in its format and chunks, into each new folder that
 * its input names, a line each; CPU and wall seconds of that, the same with syncfs, and the peak memory, a line each. */
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/base/json.h"
#include "collimate/base/rng.h"
#include "collimate/store/array.h"
#include "collimate/codec/codec.h"
#include "collimate/store/format.h"
#include "support/status.h"

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

/* What is measured: an array, the same voxels as a volume and chunk after chunk, and each chunk's least seconds of
 * encoding and decoding by each of the ways. */
enum { ALONE, MEMORY, VOLUME, FILES, WAYS, CHUNKS = 64, AGAIN = 5, AGAIN_THREADS = 9 };
typedef struct bench {
    const char *name, *codec;
    clm_format format;
    clm_array *a;
    const uint16_t *volume;
    uint16_t *chunks, *back, *to; /* back: a chunk; to: a volume */
    int64_t side, voxels, n;
    double s[WAYS][CHUNKS][2];
} bench;

static void took(bench *b, int way, int64_t k, int step, double since) {
    b->s[way][k][step] = least(b->s[way][k][step], clm_clock_thread_s() - since);
}

static void chunk_at(const bench *b, int64_t k, int64_t at[3]) {
    int64_t grid = SIDE / b->side;
    at[0] = k / (grid * grid), at[1] = k / grid % grid, at[2] = k % grid;
}

static size_t corner(const bench *b, const int64_t at[3]) {
    return (size_t)(((at[0] * SIDE + at[1]) * SIDE + at[2]) * b->side);
}

/* the codec alone, of the bytes as the format stores them */
static bool codec_alone(bench *b, clm_err *err) {
    clm_codec c;
    clm_buf coded = {0};
    size_t bytes = (size_t)b->voxels * 2, made;
    bool ok = clm_codec_named(b->codec, -1, CLM_U16, &c, err);
    for (int64_t k = 0; ok && k < b->n; k++) {
        uint16_t *chunk = b->chunks + k * b->voxels;
        if (b->format == CLM_FORMAT_N5) clm_swap_bytes(chunk, 2, b->voxels);
        double t = clm_clock_thread_s();
        ok = clm_codec_encode(&c, chunk, bytes, &coded, err);
        took(b, ALONE, k, 0, t);
        t = clm_clock_thread_s();
        ok = ok && clm_codec_decode(&c, coded.data, coded.n, b->back, bytes, &made, err);
        took(b, ALONE, k, 1, t);
        if (b->format == CLM_FORMAT_N5) clm_swap_bytes(chunk, 2, b->voxels);
    }
    clm_buf_free(&coded);
    return ok;
}

/* A chunk's voxels to the bytes of its file and back. In a volume: they are cut from one and laid into another. */
static bool in_memory(bench *b, int way, clm_err *err) {
    const int64_t extent[3] = {b->side, b->side, b->side}, packed[3] = {b->side * b->side, b->side, 1},
                  of_volume[3] = {SIDE * SIDE, SIDE, 1};
    const clm_array_ops *ops = b->a->ops;
    clm_scratch s = {0};
    clm_buf file = {0};
    clm_want want = {.hi = {b->side, b->side, b->side}};
    const unsigned char *bytes;
    bool volume = way == VOLUME, ok = clm_buf_reserve(&s.given, (size_t)b->voxels * 2, err);
    if (!volume) want.into = b->back, want.into_bytes = (size_t)b->voxels * 2;
    for (int64_t k = 0; ok && k < b->n; k++) {
        const void *chunk = b->chunks + k * b->voxels;
        clm_chunk c = {0};
        int64_t at[3];
        chunk_at(b, k, at);
        double t = clm_clock_thread_s();
        if (volume) {
            clm_copy_block(3, extent, b->volume + corner(b, at), of_volume, s.given.data, packed, 2, 2,
                           false);
            chunk = s.given.data;
        }
        ok = ops->encode(b->a, at, chunk, &s, &bytes, &file.n, err);
        took(b, way, k, 0, t);
        ok = ok && clm_buf_reserve(&file, file.n, err);
        if (ok) memcpy(file.data, bytes, file.n);
        t = clm_clock_thread_s();
        ok = ok && ops->decode(b->a, at, file.data, file.n, &s, &want, &c, err);
        if (ok && volume)
            clm_copy_block(3, extent, c.data, c.stride, b->to + corner(b, at), of_volume, 2, 2, c.swap);
        else if (ok && c.swap)
            clm_swap_bytes(b->back, 2, b->voxels);
        took(b, way, k, 1, t);
        if (ok && !volume && memcmp(b->back, chunk, (size_t)b->voxels * 2) != 0)
            ok = clm_fail(err, CLM_E_FORMAT, "decoded other voxels than were encoded");
    }
    clm_buf_free(&file);
    clm_scratch_free(&s);
    return ok && (!volume || memcmp(b->to, b->volume, (size_t)SIDE * SIDE * SIDE * 2) == 0 ||
                  clm_fail(err, CLM_E_FORMAT, "decoded other voxels than were encoded"));
}

static bool through_files(bench *b, clm_err *err) {
    bool ok = true;
    for (int64_t k = 0; ok && k < b->n; k++) {
        const uint16_t *chunk = b->chunks + k * b->voxels;
        int64_t at[3], lo[3], hi[3];
        chunk_at(b, k, at);
        clm_array_chunk_box(b->a, at, lo, hi);
        double t = clm_clock_thread_s();
        ok = clm_array_put_chunk(b->a, at, chunk, err);
        took(b, FILES, k, 0, t);
        t = clm_clock_thread_s();
        ok = ok && clm_array_read(b->a, lo, hi, b->back, err);
        took(b, FILES, k, 1, t);
        if (ok && memcmp(b->back, chunk, (size_t)b->voxels * 2) != 0)
            ok = clm_fail(err, CLM_E_FORMAT, "read other voxels than were written");
    }
    return ok;
}

static void print(const bench *b, const double wall[2]) {
    double sum[WAYS][2] = {{0}}, mb = SIDE * SIDE * SIDE * 2e-6;
    for (int way = 0; way < WAYS; way++)
        for (int64_t k = 0; k < b->n; k++)
            for (int i = 0; i < 2; i++) sum[way][i] += b->s[way][k][i];
    printf("%-11s %3d^3", b->name, (int)b->side);
    for (int i = 0; i < 2; i++)
        printf("   %s %6.1f MB/s alone, chunk %.2f, volume %.2f, file %.2f", i ? "decode" : "encode",
               mb / sum[ALONE][i], sum[ALONE][i] / sum[MEMORY][i], sum[ALONE][i] / sum[VOLUME][i],
               sum[ALONE][i] / sum[FILES][i]);
    printf("   2 threads x%.2f\n", wall[0] / wall[1]);
    (void)fflush(stdout);
}

static bool one(const char *folder, bench *b, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array_spec spec = {.format = b->format, .ndim = 3, .dtype = CLM_U16, .codec = b->codec};
    double wall[2] = {1e9, 1e9};
    b->voxels = b->side * b->side * b->side;
    b->n = (int64_t)SIDE * SIDE * SIDE / b->voxels;
    for (int d = 0; d < 3; d++) spec.shape[d] = SIDE, spec.chunk[d] = b->side;
    for (int64_t k = 0; k < b->n * WAYS * 2; k++) b->s[k / 2 / b->n][k / 2 % b->n][k % 2] = 1e9;
    for (int64_t k = 0; k < b->n; k++) {
        const int64_t extent[3] = {b->side, b->side, b->side}, of_volume[3] = {SIDE * SIDE, SIDE, 1};
        int64_t at[3], packed[3];
        (void)clm_strides(3, extent, packed);
        chunk_at(b, k, at);
        clm_copy_block(3, extent, b->volume + corner(b, at), of_volume, b->chunks + k * b->voxels, packed, 2,
                       2, false);
    }
    bool ok = clm_path_format(path, err, "%s/%s-%d.array", folder, b->name, (int)b->side);
    for (int k = 0; ok && k < AGAIN; k++) {
        clm_array_close(b->a);
        b->a = NULL; /* new files each time: replacing also frees the old ones */
        ok = clm_folder_remove(path, err) && clm_array_create(path, &spec, &b->a, err) &&
             codec_alone(b, err) && in_memory(b, MEMORY, err) && in_memory(b, VOLUME, err) &&
             through_files(b, err);
    }
    for (int k = 0; ok && k < AGAIN_THREADS; k++)
        for (int i = 0; i < 2; i++) wall[i] = least(wall[i], read_threads(b->a, b->to, i + 1, err));
    ok = ok && err->code == CLM_OK;
    if (ok) print(b, wall);
    clm_array_close(b->a);
    b->a = NULL;
    return ok && clm_folder_remove(path, err);
}

static double cpu_s(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double peak_mb(void) {
    int64_t kb = clm_test_status_kb("VmHWM:");
    return kb > 0 ? (double)kb / 1024 : 0;
}

static bool number(const char *text, int64_t *out, clm_err *err) {
    return (clm_text_int(text, out) && *out > 0) || clm_fail(err, CLM_E_ARG, "%s is no count", text);
}

static bool three(const char *list, int64_t out[3], clm_err *err) {
    clm_json *v = NULL;
    char text[100];
    (void)snprintf(text, sizeof text, "[%s]", list);
    if (!clm_json_parse(text, strlen(text), list, &v, err)) return false;
    bool ok = clm_json_ints(v, 3, out) || clm_fail(err, CLM_E_ARG, "%s: want z,y,x", list);
    clm_json_free(v);
    return ok;
}

static bool read_box(char **argv, clm_err *err) {
    clm_array *a = NULL;
    int64_t lo[3], hi[3], size[3], threads, n;
    double cpu = 1e9, wall = 1e9;
    if (!three(argv[3], lo, err) || !three(argv[4], size, err) || !number(argv[5], &threads, err) ||
        !clm_product(3, size, INT64_MAX / 2, &n, err))
        return false;
    for (int d = 0; d < 3; d++) hi[d] = lo[d] + size[d];
    size_t bytes = (size_t)n * 2;
    unsigned char *to = clm_heap_new(bytes, 1, err);
    bool ok = to && clm_array_open(argv[2], &a, err);
    if (ok) memset(to, 1, bytes); /* its pages are not what is measured */
    for (int k = 0; ok && k < (n > 1 << 24 ? 5 : 25); k++) {
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
    char folder[CLM_PATH_MAX];
    if (!number(argv[3], &threads, err) || !clm_array_open(argv[2], &a, err)) return false;
    const clm_array_info *i = clm_array_info_of(a);
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_U16};
    if (strcmp(i->format, "n5") == 0) spec.format = CLM_FORMAT_N5;
    for (int d = 0; d < 3; d++) chunk *= spec.chunk[d] = i->chunk[d], spec.shape[d] = i->shape[d];
    int64_t n = clm_array_chunk_grid(a, grid);
    uint16_t *voxels = clm_heap_new((size_t)(n * chunk), 2, err); /* whole chunks: sides divide the shape */
    bool ok = voxels != NULL;
    for (int64_t k = 0; ok && k < n; k++) {
        at[0] = k / (grid[1] * grid[2]), at[1] = k / grid[2] % grid[1], at[2] = k % grid[2];
        clm_array_chunk_box(a, at, lo, hi);
        ok = clm_array_read(a, lo, hi, voxels + k * chunk, err);
    }
    while (ok && fgets(folder, sizeof folder, stdin)) {
        folder[strcspn(folder, "\n")] = 0;
        double s[2][2] = {{0}}, c, w;
        ok = clm_array_create(folder, &spec, &b, err);
        c = cpu_s(), w = clm_clock_s();
        ok = ok && write_all(b, voxels, chunk, (int)threads, err);
        s[0][0] = cpu_s() - c, s[0][1] = clm_clock_s() - w;
        ok = ok && clm_file_sync_tree(folder, err);
        s[1][0] = cpu_s() - c, s[1][1] = clm_clock_s() - w;
        clm_array_close(b);
        b = NULL;
        if (ok)
            printf("%.4f %.4f %.4f %.4f %.1f\n", s[0][0], s[0][1], s[1][0], s[1][1],
                   peak_mb() - (double)(n * chunk * 2) / 1048576);
        (void)fflush(stdout);
    }
    clm_array_close(a);
    clm_heap_free(voxels);
    return ok;
}

static bool ratios(const char *folder, clm_err *err) {
    static bench kinds[] = {{.name = "zarr blosc", .codec = "blosc"},
                            {.name = "zarr zstd", .codec = "zstd"},
                            {.name = "zarr gzip", .codec = "gzip"},
                            {.name = "n5 blosc", .codec = "blosc", .format = CLM_FORMAT_N5},
                            {.name = "n5 gzip", .codec = "gzip", .format = CLM_FORMAT_N5}};
    int64_t n = (int64_t)SIDE * SIDE * SIDE;
    uint16_t *voxels = clm_heap_new((size_t)n * 4, 2, err), *chunks = voxels + n, *back = chunks + n,
             *to = back + n;
    for (int64_t i = 0; voxels && i < n; i++) {
        uint64_t r = clm_rng_bits(7, 1, (uint64_t)i);
        voxels[i] = (uint16_t)(200 + (i / 64 % 97) * (i / 16384 % 31) / 4 + (int64_t)(r % 24 + r / 64 % 24));
    }
    bool ok = voxels != NULL;
    for (size_t c = 0; ok && c < sizeof kinds / sizeof kinds[0]; c++)
        for (int64_t side = 64; ok && side <= 128; side *= 2) {
            bench *b = &kinds[c];
            b->volume = voxels, b->chunks = chunks, b->back = back, b->to = to, b->side = side;
            ok = one(folder, b, err);
        }
    clm_heap_free(voxels);
    return ok;
}

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_heap_setup();
    bool ok = argc == 2                                    ? ratios(argv[1], &err)
              : argc == 6 && strcmp(argv[1], "read") == 0  ? read_box(argv, &err)
              : argc == 4 && strcmp(argv[1], "write") == 0 ? write_array(argv, &err)
                                                           : clm_fail(&err, CLM_E_ARG, "see its first lines");
    if (!ok) (void)fprintf(stderr, "store_ratios: %s\n", err.text);
    return ok ? 0 : 1;
}
