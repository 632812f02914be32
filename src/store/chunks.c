#include "collimate/store/format.h"
#include "collimate/base/simd.h"

#include <stdio.h>
#include <string.h>

bool clm_chunk_clip(const clm_array_info *info, const int64_t chunk[], const int64_t index[],
                    int64_t extent[]) {
    bool whole = true;
    for (int d = 0; d < info->ndim; d++) {
        int64_t left = info->shape[d] - index[d] * chunk[d];
        extent[d] = left < chunk[d] ? left : chunk[d];
        whole = whole && extent[d] == chunk[d];
    }
    return whole;
}

int64_t clm_strides(int ndim, const int64_t extent[], int64_t stride[]) {
    int64_t n = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        stride[d] = n;
        n *= extent[d];
    }
    return n;
}

int64_t clm_chunk_in_run(const clm_array *a, const int64_t index[], clm_chunk *out, int64_t *first) {
    int64_t stride[CLM_DIMS_MAX];
    (void)clm_strides(a->info.ndim, a->info.shape, stride);
    (void)clm_chunk_clip(&a->info, a->info.inner, index, out->extent);
    *first = 0;
    for (int d = 0; d < a->info.ndim; d++) *first += index[d] * a->info.inner[d] * stride[d];
    return clm_strides(a->info.ndim, out->extent, out->stride);
}

bool clm_product(int ndim, const int64_t extent[], int64_t most, int64_t *out, clm_err *err) {
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) {
        if (extent[d] < 0 || __builtin_mul_overflow(n, extent[d], &n) || n > most)
            return clm_fail(err, CLM_E_FORMAT, "%s elements are too many", clm_index_say(ndim, extent).s);
    }
    *out = n;
    return true;
}

clm_index_text clm_index_say(int ndim, const int64_t index[]) {
    clm_index_text t = {""};
    size_t at = 0;
    for (int d = 0; d < ndim && at < sizeof t.s - 24; d++)
        at += (size_t)snprintf(t.s + at, sizeof t.s - at, "%s%lld", d ? "," : "", (long long)index[d]);
    return t;
}

bool clm_step(int ndim, const int64_t lo[], const int64_t hi[], int64_t at[]) {
    for (int d = ndim - 1; d >= 0; d--) {
        if (++at[d] < hi[d]) return true;
        at[d] = lo[d];
    }
    return false;
}

bool clm_all_equal(const void *data, int64_t n, const void *element, size_t size) {
    const unsigned char *p = data;
    if (n == 0) return true;
    if (memcmp(p, element, size) != 0) return false;
    return n == 1 || memcmp(p, p + size, (size_t)(n - 1) * size) == 0; /* each equals its neighbour */
}

/* ---- rows ---- */

#define STRIDED_ROW(T)                                                                           \
    do {                                                                                         \
        for (int64_t i = 0; i < n; i++)                                                          \
            memcpy(d + i * ds * (int64_t)sizeof(T), s + i * ss * (int64_t)sizeof(T), sizeof(T)); \
    } while (0)

static void copy_row(const unsigned char *restrict s, int64_t ss, unsigned char *restrict d, int64_t ds,
                     int64_t n, size_t size, size_t unit, bool swap) {
    if (ss == 1 && ds == 1) {
        if (swap)
            clm_swap_copy(s, d, n * (int64_t)(size / unit), unit);
        else
            memcpy(d, s, (size_t)n * size);
        return;
    }
    if (swap) {
        for (int64_t i = 0; i < n; i++)
            clm_swap_copy(s + i * ss * (int64_t)size, d + i * ds * (int64_t)size, (int64_t)(size / unit),
                          unit);
        return;
    }
    switch (size) {
    case 1: STRIDED_ROW(uint8_t); break;
    case 2: STRIDED_ROW(uint16_t); break;
    case 4: STRIDED_ROW(uint32_t); break;
    case 8: STRIDED_ROW(uint64_t); break;
    default:
        for (int64_t i = 0; i < n; i++) memcpy(d + i * ds * (int64_t)size, s + i * ss * (int64_t)size, size);
        break;
    }
}

/* ---- blocks ---- */

typedef struct layout { /* axes with more than one element, neighbours that run on merged; slowest first */
    int ndim;
    int64_t extent[CLM_DIMS_MAX], a[CLM_DIMS_MAX], b[CLM_DIMS_MAX];
} layout;

static layout merge(int ndim, const int64_t extent[], const int64_t a[], const int64_t b[]) {
    layout m = {0};
    for (int d = 0; d < ndim; d++) {
        if (extent[d] == 1) continue;
        int k = m.ndim - 1;
        if (k >= 0 && m.a[k] == a[d] * extent[d] && m.b[k] == b[d] * extent[d]) {
            m.extent[k] *= extent[d];
            m.a[k] = a[d];
            m.b[k] = b[d];
        } else {
            m.extent[m.ndim] = extent[d];
            m.a[m.ndim] = a[d];
            m.b[m.ndim++] = b[d];
        }
    }
    if (m.ndim == 0) m.extent[m.ndim] = 1, m.a[m.ndim] = 1, m.b[m.ndim++] = 1;
    return m;
}

static bool is_empty(int ndim, const int64_t extent[]) {
    for (int d = 0; d < ndim; d++)
        if (extent[d] <= 0) return true;
    return false;
}

#define TILE 16

/* Rows along the last axis of dst; where src's fast axis is another one, squares of both axes, so that
 * neither side jumps a cache line a step. */
static void copy_plane(const layout *m, int other, const unsigned char *s, unsigned char *d, size_t size,
                       size_t unit, bool swap) {
    int last = m->ndim - 1;
    int64_t n = m->extent[last], rows = other < 0 ? 1 : m->extent[other];
    int64_t tile = other >= 0 && m->a[last] != 1 ? TILE : n;
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t i0 = 0; i0 < n; i0 += tile) {
            int64_t run = n - i0 < tile ? n - i0 : tile, r1 = r0 + TILE < rows ? r0 + TILE : rows;
            for (int64_t r = r0; r < r1; r++) {
                int64_t from = i0 * m->a[last] + (other < 0 ? 0 : r * m->a[other]);
                int64_t to = i0 * m->b[last] + (other < 0 ? 0 : r * m->b[other]);
                copy_row(s + from * (int64_t)size, m->a[last], d + to * (int64_t)size, m->b[last], run, size,
                         unit, swap);
            }
        }
}

void clm_copy_block(int ndim, const int64_t extent[], const void *src, const int64_t src_stride[], void *dst,
                    const int64_t dst_stride[], size_t size, size_t unit, bool swap) {
    if (is_empty(ndim, extent)) return;
    layout m = merge(ndim, extent, src_stride, dst_stride);
    int last = m.ndim - 1, other = -1; /* the axis that is fast in src, or else the next slower one */
    for (int d = 0; d < last; d++)
        if (other < 0 || m.a[d] <= m.a[other]) other = d;
    int64_t zero[CLM_DIMS_MAX] = {0}, at[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX];
    for (int d = 0; d < m.ndim; d++) hi[d] = d == other || d == last ? 1 : m.extent[d];
    do {
        int64_t from = 0, to = 0;
        for (int d = 0; d < m.ndim; d++) from += at[d] * m.a[d], to += at[d] * m.b[d];
        copy_plane(&m, other, (const unsigned char *)src + from * (int64_t)size,
                   (unsigned char *)dst + to * (int64_t)size, size, unit, swap);
    } while (clm_step(m.ndim, zero, hi, at));
}

void clm_fill_block(int ndim, const int64_t extent[], void *dst, const int64_t dst_stride[],
                    const void *element, size_t size) {
    if (is_empty(ndim, extent)) return;
    layout m = merge(ndim, extent, dst_stride, dst_stride);
    int last = m.ndim - 1;
    bool same = true; /* all bytes of the element alike, as zeros are: memset */
    const unsigned char *e = element;
    for (size_t i = 1; i < size; i++) same = same && e[i] == e[0];
    int64_t zero[CLM_DIMS_MAX] = {0}, at[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX];
    for (int d = 0; d < m.ndim; d++) hi[d] = d == last ? 1 : m.extent[d];
    do {
        int64_t to = 0;
        for (int d = 0; d < m.ndim; d++) to += at[d] * m.b[d];
        unsigned char *p = (unsigned char *)dst + to * (int64_t)size;
        if (same && m.b[last] == 1)
            memset(p, e[0], (size_t)m.extent[last] * size);
        else
            for (int64_t i = 0; i < m.extent[last]; i++)
                memcpy(p + i * m.b[last] * (int64_t)size, element, size);
    } while (clm_step(m.ndim, zero, hi, at));
}
