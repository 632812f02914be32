#include "collimate/store/volume.h"
#include "collimate/base/fault.h"
#include "collimate/base/file.h"
#include "collimate/codec/codec_family.h"
#include "collimate/store/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Headers after nifti1.h, nifti2.h (https://nifti.nimh.nih.gov) and the NRRD definition
 * (http://teem.sourceforge.net/nrrd/format.html); nifti.c and nrrd.c read them. */

#define HEADER_MOST 1024
#define MEMBER_BYTES ((size_t)16 << 20)

bool clm_volume_kind_of(const char *path, clm_volume_kind *out) {
    static const char *const ends[] = {".nii", ".nii.gz", ".nrrd"};
    for (int i = 0; i < 3; i++) {
        if (!clm_text_ends(path, ends[i])) continue;
        *out = (clm_volume_kind)i;
        return true;
    }
    return false;
}

/* ---- headers ---- */

typedef struct header {
    unsigned char bytes[HEADER_MOST];
    size_t n;
} header;

static void put_bits(header *h, size_t at, uint64_t x, size_t size) {
    for (size_t i = 0; i < size; i++) h->bytes[at + i] = (unsigned char)(x >> 8 * i);
}

/* a number as float32 (NIfTI-1) or float64 */
static void put_real(header *h, bool v2, size_t at1, size_t at2, double x) {
    uint64_t b;
    uint32_t u;
    float f = (float)x;
    memcpy(&b, &x, sizeof b);
    memcpy(&u, &f, sizeof u);
    put_bits(h, v2 ? at2 : at1, v2 ? b : u, v2 ? 8 : 4);
}

static int nifti_type(clm_dtype t) {
    static const int code[CLM_DTYPE_COUNT] = {
        [CLM_U8] = 2,  [CLM_U16] = 512,  [CLM_U32] = 768, [CLM_U64] = 1280, [CLM_I8] = 256, [CLM_I16] = 4,
        [CLM_I32] = 8, [CLM_I64] = 1024, [CLM_F32] = 16,  [CLM_F64] = 64,   [CLM_BOOL] = 2};
    return code[t];
}

static void nifti_header(const clm_volume_spec *s, header *h) {
    const clm_image_frame *f = &s->frame;
    bool v2 = f->shape[0] > INT16_MAX || f->shape[1] > INT16_MAX || f->shape[2] > INT16_MAX;
    size_t size = clm_dtype_size(s->dtype), wide = v2 ? 8 : 2;
    h->n = v2 ? 544 : 352;
    put_bits(h, 0, v2 ? 540 : 348, 4);
    memcpy(h->bytes + (v2 ? 4 : 344), v2 ? "n+2\0\r\n\032\n" : "n+1", v2 ? 8 : 4);
    const uint64_t dim[8] = {s->vectors ? 5 : 3,
                             (uint64_t)f->shape[2],
                             (uint64_t)f->shape[1],
                             (uint64_t)f->shape[0],
                             1,
                             s->vectors ? 3 : 1,
                             1,
                             1};
    for (size_t k = 0; k < 8; k++) put_bits(h, (v2 ? 16 : 40) + k * wide, dim[k], wide);
    if (s->vectors) put_bits(h, v2 ? 504 : 68, 1007, v2 ? 4 : 2);
    put_bits(h, v2 ? 12 : 70, (uint64_t)nifti_type(s->dtype), 2);
    put_bits(h, v2 ? 14 : 72, 8 * size, 2);
    put_real(h, v2, 76, 104, 1);
    for (size_t k = 1; k < 8; k++)
        put_real(h, v2, 76 + 4 * k, 104 + 8 * k, k < 4 ? f->spacing_um[3 - k] * 1e-3 : 1);
    if (v2)
        put_bits(h, 168, h->n, 8);
    else
        put_real(h, v2, 108, 0, (double)h->n);
    put_real(h, v2, 112, 176, 1);               /* scl_slope */
    put_bits(h, v2 ? 500 : 123, 2, v2 ? 4 : 1); /* xyzt_units: mm */
    put_bits(h, v2 ? 344 : 252, 1, v2 ? 4 : 2);
    put_bits(h, v2 ? 348 : 254, 1, v2 ? 4 : 2);
    put_real(h, v2, 264, 368,
             1); /* quaternion d: half a turn about z, x and y run right to left, front to back */
    for (size_t w = 0; w < 3; w++) {
        double sign = w < 2 ? -1e-3 : 1e-3, origin = f->origin_um[2 - w] * sign;
        put_real(h, v2, 268 + 4 * w, 376 + 8 * w, origin);
        put_real(h, v2, 280 + 16 * w + 4 * w, 400 + 32 * w + 8 * w, f->spacing_um[2 - w] * sign);
        put_real(h, v2, 280 + 16 * w + 12, 400 + 32 * w + 24, origin);
    }
}

static void nrrd_header(const clm_volume_spec *s, header *h) {
    const clm_image_frame *f = &s->frame;
    clm_dtype t = s->dtype == CLM_BOOL ? CLM_U8 : s->dtype;
    const char *type = t == CLM_F32 ? "float" : t == CLM_F64 ? "double" : clm_dtype_name(t);
    h->n = (size_t)snprintf((char *)h->bytes, sizeof h->bytes,
                            "NRRD0004\ntype: %s\ndimension: %d\nspace: left-posterior-superior\n"
                            "sizes: %s%lld %lld %lld\n"
                            "space directions: %s(%.17g,0,0) (0,%.17g,0) (0,0,%.17g)\n"
                            "kinds: %sdomain domain domain\nendian: little\nencoding: raw\n"
                            "space units: \"mm\" \"mm\" \"mm\"\nspace origin: (%.17g,%.17g,%.17g)\n\n",
                            type, s->vectors ? 4 : 3, s->vectors ? "3 " : "", (long long)f->shape[2],
                            (long long)f->shape[1], (long long)f->shape[0], s->vectors ? "none " : "",
                            f->spacing_um[2] * 1e-3, f->spacing_um[1] * 1e-3, f->spacing_um[0] * 1e-3,
                            s->vectors ? "vector " : "", f->origin_um[2] * 1e-3, f->origin_um[1] * 1e-3,
                            f->origin_um[0] * 1e-3);
}

static void make_header(const clm_volume_spec *s, header *h) {
    memset(h, 0, sizeof *h);
    if (s->kind == CLM_VOLUME_NRRD)
        nrrd_header(s, h);
    else
        nifti_header(s, h);
}

/* ---- the file ---- */

static bool part_path(const char *path, char out[CLM_PATH_MAX], clm_err *err) {
    const char *name = clm_path_name(path);
    return clm_path_format(out, err, "%.*s.%s.part", (int)(name - path), path, name);
}

/* Who comes after that, a second copy of a task or a launch that goes on, comes too late, not wrongly. */
static bool is_finished(const char *path, const char *part) {
    return clm_path_kind_of(part) == CLM_PATH_NONE && clm_path_kind_of(path) == CLM_PATH_FILE;
}

/* NIfTI has a volume for each component, NRRD one of vectors */
static int volumes(const clm_volume_spec *s) { return s->vectors && s->kind != CLM_VOLUME_NRRD ? 3 : 1; }

static int64_t plane_bytes(const clm_volume_spec *s) {
    int64_t together = s->vectors && s->kind == CLM_VOLUME_NRRD ? 3 : 1;
    return s->frame.shape[1] * s->frame.shape[2] * together * (int64_t)clm_dtype_size(s->dtype);
}

static bool write_at(int fd, const unsigned char *p, size_t n, int64_t at, clm_err *err) {
    while (n) {
        ssize_t put = clm_fault("write") ? -1 : pwrite(fd, p, clm_fault_short(n), (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return clm_fail_os(err, CLM_E_WRITE, "write");
        p += put;
        n -= (size_t)put;
        at += put;
    }
    return true;
}

static bool shut(int fd, bool sync, bool ok, clm_err *err) {
    if (ok && sync && (clm_fault("fsync") || fsync(fd) != 0)) ok = clm_fail_os(err, CLM_E_WRITE, "fsync");
    if (close(fd) != 0 && ok) ok = clm_fail_os(err, CLM_E_WRITE, "close");
    return ok;
}

bool clm_volume_create(const char *path, const clm_volume_spec *spec, clm_err *err) {
    char part[CLM_PATH_MAX], folder[CLM_PATH_MAX];
    header h;
    int64_t n;
    if (!nifti_type(spec->dtype))
        return clm_fail(err, CLM_E_ARG, "%s: no voxels of type %s can be written", path,
                        clm_dtype_name(spec->dtype));
    if (!clm_mul(spec->frame.shape[0] * volumes(spec), plane_bytes(spec), &n, err) ||
        !part_path(path, part, err))
        return false;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(clm_path_name(path) - path), path);
    if (folder[0] && !clm_folder_make(folder, err)) return false;
    make_header(spec, &h);
    int fd = clm_fault("create") ? -1 : open(part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return clm_fail_os(err, CLM_E_WRITE, "%s", part);
    bool ok = write_at(fd, h.bytes, h.n, 0, err);
    if (ok && ftruncate(fd, (off_t)((int64_t)h.n + n)) != 0) ok = clm_fail_os(err, CLM_E_WRITE, "make room");
    return shut(fd, false, ok, err) || clm_err_in(err, "%s", part);
}

bool clm_volume_put(const char *path, const clm_volume_spec *spec, int64_t z0, int64_t z1, const void *voxels,
                    clm_err *err) {
    char part[CLM_PATH_MAX];
    header h;
    int64_t plane = plane_bytes(spec);
    size_t piece = (size_t)((z1 - z0) * plane);
    if (z0 < 0 || z1 > spec->frame.shape[0] || z0 >= z1)
        return clm_fail(err, CLM_E_ARG, "planes %lld to %lld", (long long)z0, (long long)z1);
    if (!part_path(path, part, err)) return false;
    if (is_finished(path, part)) return true;
    make_header(spec, &h);
    int fd = clm_fault("open") ? -1 : open(part, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 || clm_fail_os(err, CLM_E_WRITE, "open");
    bool opened = ok;
    for (int c = 0; ok && c < volumes(spec); c++)
        ok = write_at(fd, (const unsigned char *)voxels + (size_t)c * piece, piece,
                      (int64_t)h.n + (c * spec->frame.shape[0] + z0) * plane, err);
    if (opened) ok = shut(fd, false, ok, err);
    return ok || clm_err_in(err, "%s", part);
}

/* The plain file into gzip members, which every gzip reader takes as one stream. */
static bool compress(int from, clm_draft *to, clm_err *err) {
    clm_codec c;
    clm_buf in = {0}, out = {0};
    bool ok = clm_codec_named("gzip", -1, CLM_U8, &c, err) && clm_buf_reserve(&in, MEMBER_BYTES, err);
    for (ssize_t got = 1; ok && got > 0;) {
        for (in.n = 0; in.n < MEMBER_BYTES; in.n += (size_t)got) {
            got = clm_fault("read") ? -1 : read(from, in.data + in.n, MEMBER_BYTES - in.n);
            if (got < 0 && errno == EINTR)
                got = 0;
            else if (got <= 0)
                break;
        }
        if (got < 0) ok = clm_fail_os(err, CLM_E_IO, "read");
        if (!ok || in.n == 0) break;
        ok = clm_codec_encode(&c, in.data, in.n, &out, err) && clm_draft_put(to, out.data, out.n, err);
    }
    clm_buf_free(&in);
    clm_buf_free(&out);
    return ok;
}

static bool compress_file(const char *part, const char *path, clm_err *err) {
    clm_draft d = {0};
    int from = clm_fault("open") ? -1 : open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0) return clm_fail_os(err, CLM_E_IO, "%s", part);
    bool ok = clm_draft_open(path, &d, err) && compress(from, &d, err) && clm_draft_publish(&d, true, err);
    clm_draft_drop(&d);
    close(from);
    return ok;
}

bool clm_volume_finish(const char *path, const clm_volume_spec *spec, clm_err *err) {
    char part[CLM_PATH_MAX];
    if (!part_path(path, part, err)) return false;
    if (is_finished(path, part)) return true;
    if (spec->kind == CLM_VOLUME_NIFTI_GZ)
        return compress_file(part, path, err) && clm_file_remove(part, err);
    int fd = clm_fault("open") ? -1 : open(part, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return clm_fail_os(err, CLM_E_WRITE, "%s", part);
    if (!shut(fd, true, true, err)) return clm_err_in(err, "%s", part);
    return (!clm_fault("rename") && rename(part, path) == 0) ||
           clm_fail_os(err, CLM_E_WRITE, "rename to %s", path);
}
