#include "collimate/base/fault.h"
#include "collimate/store/format.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Elements one after the other: read in slabs of planes, straight into place where they fit. */

#define SLAB_BYTES ((int64_t)4 << 20)

typedef struct flat {
    int fd; /* -1: in memory */
    int64_t offset;
    clm_buf data;
    bool swap;
} flat;

static bool read_range(const flat *f, void *to, size_t n, int64_t from, clm_err *err) {
    for (size_t got = 0; got < n;) {
        ssize_t r = clm_fault("read") ? -1
                                      : pread(f->fd, (unsigned char *)to + got, clm_fault_short(n - got),
                                              (off_t)(from + (int64_t)got));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return clm_fail_os(err, CLM_E_IO, "read");
        if (r == 0) return clm_fail(err, CLM_E_FORMAT, "file cut short");
        got += (size_t)r;
    }
    return true;
}

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err) {
    const flat *f = a->self;
    int64_t first, n = clm_chunk_in_run(a, index, out, &first);
    size_t bytes = (size_t)n * a->size;
    out->swap = f->swap && a->unit > 1;
    if (f->fd < 0) {
        out->data = f->data.data + f->offset + first * (int64_t)a->size;
        return true;
    }
    void *into = w->into;
    if (!into || w->into_bytes != bytes) {
        if (!clm_buf_reserve(&s->file, bytes, err)) return false;
        into = s->file.data;
    }
    out->data = into;
    return read_range(f, into, bytes, f->offset + first * (int64_t)a->size, err);
}

static void close_self(void *self) {
    flat *f = self;
    if (f->fd >= 0) close(f->fd);
    clm_buf_free(&f->data);
    clm_heap_free(f);
}

static const clm_array_ops ops = {.load = load, .close = close_self};

/* One element thick along the slow axes, as thick as the slab allows along the next, whole behind it. */
void clm_flat_chunks(clm_array_info *i) {
    int64_t bytes = (int64_t)clm_dtype_size(i->dtype);
    int d = i->ndim - 1;
    for (; d >= 0 && i->shape[d] && bytes <= SLAB_BYTES / i->shape[d]; d--)
        bytes *= i->chunk[d] = i->shape[d];
    if (d >= 0) i->chunk[d] = SLAB_BYTES / bytes > 0 ? SLAB_BYTES / bytes : 1;
    for (d--; d >= 0; d--) i->chunk[d] = 1;
    for (int k = 0; k < i->ndim; k++)
        if (i->chunk[k] < 1) i->chunk[k] = 1;
    memcpy(i->inner, i->chunk, sizeof i->inner);
}

bool clm_flat_open(const char *file, const clm_array_info *info, bool swap, int64_t offset, clm_buf *data,
                   clm_array **out, clm_err *err) {
    clm_array_info i = *info;
    int64_t n, have = data->data ? (int64_t)data->n : 0;
    struct stat st;
    for (int d = 0; d < i.ndim; d++)
        if (i.shape[d] < 1)
            return clm_fail(err, CLM_E_FORMAT, "shape %s: no voxels", clm_index_say(i.ndim, i.shape).s);
    if (!clm_product(i.ndim, i.shape, INT64_MAX / 32, &n, err)) return false;
    flat *f = clm_heap_new(1, sizeof *f, err);
    if (!f) return false;
    *f = (flat){.fd = data->data ? -1 : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                .offset = offset,
                .swap = swap};
    bool ok = data->data || (f->fd >= 0 && fstat(f->fd, &st) == 0) || clm_fail_os(err, CLM_E_IO, "open");
    if (ok && !data->data && !S_ISREG(st.st_mode)) ok = clm_fail(err, CLM_E_FORMAT, "not a regular file");
    if (ok && !data->data) have = (int64_t)st.st_size;
    n *= (int64_t)clm_dtype_size(i.dtype);
    have = offset > have ? 0 : offset > 0 ? have - offset : have;
    if (ok && have < n)
        ok = clm_fail(err, CLM_E_FORMAT, "%lld bytes of voxels, the header promises %lld: cut short",
                      (long long)have, (long long)n);
    if (offset < 0) f->offset = have - n;
    clm_flat_chunks(&i);
    ok = ok && clm_array_new(file, &i, &ops, f, out, err);
    if (ok) {
        f->data = *data;
        *data = (clm_buf){0};
        return true;
    }
    close_self(f);
    return false;
}

bool clm_gunzip(clm_buf *b, clm_err *err) {
    clm_codec gzip = {.kind = CLM_CODEC_GZIP};
    clm_buf out = {0};
    if (b->n < 18) return clm_fail(err, CLM_E_FORMAT, "gzip: %zu bytes", b->n);
    /* the last member's size modulo 2^32; there may be several members. Deflate packs 1 : 1032 at best */
    const unsigned char *p = b->data + b->n - 4;
    size_t cap = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24, made = 0;
    bool ok = false;
    size_t step = b->n >> 26 ? (size_t)1 << 32 : 0;
    for (; !ok && cap <= b->n * 1040 + 65536; cap += step ? step : cap + 65536) {
        if (!clm_buf_reserve(&out, cap + 1, err)) break;
        ok = clm_codec_decode(&gzip, b->data, b->n, out.data, cap, &made, err);
        if (!ok && !strstr(err->text, "more than")) break;
    }
    if (!ok) {
        clm_buf_free(&out);
        return err->code ? false : clm_fail(err, CLM_E_FORMAT, "gzip: damaged");
    }
    out.n = made;
    clm_buf_free(b);
    *b = out;
    return true;
}

void clm_place_axes(clm_place *out, const double direction[3][3], const double origin[3],
                    const int axis_of[3], const int64_t shape[]) {
    double start[3] = {origin[0], origin[1], origin[2]};
    int lowest = axis_of[2];
    out->placed = axis_of[1] == lowest + 1 && axis_of[0] == lowest + 2;
    for (int k = 0; k < 3; k++) {
        out->first_um[k] = origin[2 - k];
        for (int w = 0; w < 3; w++) out->step_um[k][w] = direction[2 - k][2 - w];
    }
    bool taken[3] = {false, false, false};
    out->slope = out->slope == 0 ? 1 : out->slope;
    for (int k = 0; k < 3; k++) {
        int w = 0; /* the world axis it runs along */
        double length = 0;
        for (int i = 0; i < 3; i++) {
            length += direction[k][i] * direction[k][i];
            if (fabs(direction[k][i]) > fabs(direction[k][w])) w = i;
        }
        length = sqrt(length);
        bool oblique = !(length > 0) || !isfinite(length) || taken[w];
        for (int i = 0; i < 3; i++) oblique = oblique || (i != w && fabs(direction[k][i]) > 1e-4 * length);
        if (oblique) {
            (void)snprintf(
                out->problem, sizeof out->problem,
                "voxel axes are oblique to the world's; resample along the axes or give the spacing");
            return;
        }
        taken[w] = true;
        out->axis[2 - w] = axis_of[k];
        out->flip[2 - w] = direction[k][w] < 0;
        out->spacing_um[2 - w] = fabs(direction[k][w]);
        if (direction[k][w] < 0) start[w] += direction[k][w] * (double)(shape[axis_of[k]] - 1);
    }
    for (int d = 0; d < 3; d++) {
        out->origin_um[d] = start[2 - d];
        if (!isfinite(start[2 - d]))
            (void)snprintf(out->problem, sizeof out->problem, "the origin is not a number");
    }
}
