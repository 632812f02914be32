#include "collimate/store/format.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool write_all(int fd, const unsigned char *p, size_t n, clm_err *err) {
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return clm_fail_os(err, CLM_E_WRITE, "write");
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* The axis to go along a chunk's thickness at a time: all axes before it one element at a time, all
 * behind it whole, and the band within the budget. */
static int band_axis(const clm_array *a, size_t budget, int64_t *thick) {
    const clm_array_info *i = &a->info;
    size_t bytes = a->size;
    int axis = i->ndim > 0 ? i->ndim - 1 : 0;
    for (int d = i->ndim - 1; d >= 0; d--) {
        int64_t t = i->inner[d] < i->shape[d] ? i->inner[d] : i->shape[d];
        if (d < i->ndim - 1 && (size_t)t > budget / bytes) break;
        axis = d;
        *thick = t;
        bytes *= (size_t)i->shape[d];
        if (bytes > budget) break;
    }
    return axis;
}

bool clm_array_dump(const clm_array *a, int fd, size_t budget_bytes, int threads, clm_err *err) {
    const clm_array_info *info = &a->info;
    int64_t lo[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX], thick = 1;
    for (int d = 0; d < info->ndim; d++)
        if (info->shape[d] == 0) return true;
    int axis = band_axis(a, budget_bytes ? budget_bytes : (size_t)256 << 20, &thick);
    clm_buf band = {0};
    bool ok = true;
    while (ok) {
        size_t n = a->size;
        for (int d = 0; d < info->ndim; d++) {
            hi[d] = d > axis ? info->shape[d] : d == axis ? lo[d] + thick : lo[d] + 1;
            if (hi[d] > info->shape[d]) hi[d] = info->shape[d];
            n *= (size_t)(hi[d] - lo[d]);
        }
        ok = clm_buf_reserve(&band, n, err) && clm_array_read_by(a, lo, hi, band.data, threads, err);
        ok = ok && write_all(fd, band.data, n, err);
        int d = info->ndim ? axis : -1; /* on to the next band */
        for (; d >= 0; d--) {
            lo[d] += d == axis ? thick : 1;
            if (lo[d] < info->shape[d]) break;
            lo[d] = 0;
        }
        if (d < 0) break;
    }
    clm_buf_free(&band);
    return ok;
}
