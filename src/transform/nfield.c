#include "collimate/transform/nfield.h"
#include "collimate/store/format.h"

#include <math.h>
#include <string.h>

#define SPLINE_NUMBERS_MAX ((int64_t)1 << 26)
#define CACHE_BYTES ((size_t)64 << 20)
#define CELL_NUMBERS_MAX ((int64_t)1 << 22)

/* ---- the cubic spline's coefficients ---- */

/* Thevenaz et al., eq. 13-16: one causal, one anticausal pass, c's mirrored at both ends. */
static void filter_line(double *c, int64_t n, int64_t stride) {
    const double pole = sqrt(3.0) - 2.0;
    if (n < 2) return;
    double sum = 0.0, power = 1.0;
    for (int64_t k = 0; k < 2 * n - 2; k++, power *= pole) /* the whole period, or until nothing is left */
        if (fabs(power) > 1e-300) sum += power * c[(k < n ? k : 2 * n - 2 - k) * stride];
    c[0] = sum / (1.0 - power);
    for (int64_t k = 1; k < n; k++) c[k * stride] += pole * c[(k - 1) * stride];
    c[(n - 1) * stride] = pole / (pole * pole - 1.0) * (pole * c[(n - 2) * stride] + c[(n - 1) * stride]);
    for (int64_t k = n - 2; k >= 0; k--) c[k * stride] = pole * (c[(k + 1) * stride] - c[k * stride]);
    for (int64_t k = 0; k < n; k++) c[k * stride] *= 6.0;
}

/* Elements of a box of nodes of the array, in its own axis order, to numbers with components last. */
static bool read_box(const clm_nfield *f, const int64_t *lo, const int64_t *hi, void *raw, double *out,
                     clm_err *err) {
    const clm_array_info *a = clm_array_info_of(f->array);
    int64_t from[CLM_DIMS_MAX], to[CLM_DIMS_MAX], zero[CLM_DIMS_MAX] = {0}, extent[CLM_DIMS_MAX];
    int64_t low[CLM_DIMS_MAX] = {0}, high[CLM_DIMS_MAX], at[CLM_DIMS_MAX] = {0};
    for (int i = 0, d = 0; i < a->ndim; i++) {
        low[i] = i == f->axis ? 0 : lo[d];
        high[i] = i == f->axis ? f->m : hi[d];
        d += i != f->axis;
        extent[i] = high[i] - low[i];
    }
    if (!clm_array_read(f->array, low, high, raw, err)) return false;
    (void)clm_strides(a->ndim, extent, from);
    for (int64_t step = f->m, d = a->ndim - 1; d >= 0; d--) {
        if (d == f->axis) continue;
        to[d] = step;
        step *= extent[d];
    }
    if (f->axis >= 0) to[f->axis] = 1;
    size_t size = clm_dtype_size(a->dtype);
    do {
        int64_t i = 0, j = 0;
        for (int d = 0; d < a->ndim; d++) i += at[d] * from[d], j += at[d] * to[d];
        clm_dtype_to_f64(a->dtype, (const char *)raw + (size_t)i * size, &out[j], 1);
        if (!isfinite(out[j])) {
            for (int d = 0; d < a->ndim; d++) at[d] += low[d];
            return clm_fail(err, CLM_E_FORMAT, "%s: element %s is not a finite number",
                            clm_array_path_of(f->array), clm_index_say(a->ndim, at).s);
        }
    } while (clm_step(a->ndim, zero, extent, at));
    return true;
}

static bool make_spline(clm_nfield *f, int64_t nodes, clm_err *err) {
    const int64_t zero[CLM_DIMS_MAX] = {0};
    if (nodes > SPLINE_NUMBERS_MAX / f->m)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: too large for cubic interpolation, which needs it whole",
                        clm_array_path_of(f->array));
    void *raw = clm_heap_new((size_t)(nodes * f->m), clm_dtype_size(clm_array_info_of(f->array)->dtype), err);
    f->spline = raw ? clm_heap_new((size_t)(nodes * f->m), sizeof *f->spline, err) : NULL;
    bool ok = f->spline && read_box(f, zero, f->shape, raw, f->spline, err);
    clm_heap_free(raw);
    for (int64_t d = f->n - 1, stride = f->m; ok && d >= 0; stride *= f->shape[d--])
        for (int64_t i = 0; i < nodes * f->m; i++)
            if (i / stride % f->shape[d] == 0) filter_line(f->spline + i, f->shape[d], stride);
    return ok;
}

/* ---- opening ---- */

static bool check_array(clm_nfield *f, clm_err *err) {
    const clm_array_info *a = clm_array_info_of(f->array);
    bool real = clm_dtype_is_real(a->dtype) || a->dtype == CLM_F16;
    bool fits = a->ndim == f->n + (f->axis >= 0) && f->axis < a->ndim && f->n >= 1 && f->m >= 1 &&
                f->m <= CLM_DIMS_MAX && (f->axis < 0 ? f->m == 1 : a->shape[f->axis] == f->m);
    for (int i = 0, d = 0; fits && i < a->ndim; i++) {
        if (i == f->axis) continue;
        f->shape[d++] = a->shape[i];
        fits = a->shape[i] >= 1;
    }
    if (!real)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: vectors of %s", clm_array_path_of(f->array),
                        clm_dtype_name(a->dtype));
    if (!f->positions && f->n != f->m) fits = false;
    return fits || clm_fail(err, CLM_E_FORMAT, "%s: shape %s cannot hold vectors of %d over %d axes",
                            clm_array_path_of(f->array), clm_index_say(a->ndim, a->shape).s, f->m, f->n);
}

bool clm_nfield_prepare(clm_nfield *f, clm_err *err) {
    if (!check_array(f, err)) return false;
    int64_t nodes = 1, cell = f->m;
    f->support = f->order == 3 ? 4 : f->order + 1;
    for (int d = 0; d < f->n; d++) {
        if (!clm_mul(nodes, f->shape[d], &nodes, err)) return false;
        cell *= f->support;
    }
    if (cell > CELL_NUMBERS_MAX) return clm_fail(err, CLM_E_UNSUPPORTED, "interpolation in %d axes", f->n);
    size_t size = clm_dtype_size(clm_array_info_of(f->array)->dtype);
    if (!clm_cache_open(CACHE_BYTES, &f->cache, err)) return false;
    clm_array_use_cache(f->array, f->cache);
    f->cell = clm_heap_new((size_t)cell, sizeof *f->cell, err);
    f->raw = f->cell ? clm_heap_new((size_t)cell, size, err) : NULL;
    return f->raw && (f->order != 3 || make_spline(f, nodes, err));
}

void clm_nfield_close(clm_nfield *f) {
    clm_array_close(f->array);
    clm_cache_close(f->cache);
    clm_heap_free(f->cell);
    clm_heap_free(f->raw);
    clm_heap_free(f->spline);
    clm_heap_free(f->guess);
    memset(f, 0, sizeof *f);
}

/* ---- one value ---- */

/* Along one axis: which nodes, how much of each, and how that changes with the position. */
typedef struct weights {
    int64_t first;
    double w[4], slope[4];
} weights;

static weights weights_at(int order, double v, int64_t n) {
    weights k = {.first = 0};
    double last = (double)(n - 1), inside = fmin(fmax(v, 0.0), last);
    bool beyond = inside != v;
    if (order == 0) {
        k.first = (int64_t)fmin(floor(inside + 0.5), last);
        k.w[0] = 1.0;
        return k;
    }
    double base = floor(inside);
    if (base > last - 1.0) base = fmax(last - 1.0, 0.0); /* the last node belongs to the cell before it */
    double t = inside - base;
    k.first = (int64_t)base;
    if (order == 1) {
        k.w[0] = 1.0 - t, k.w[1] = t;
        k.slope[0] = -1.0, k.slope[1] = 1.0;
    } else {
        double s = 1.0 - t;
        k.first--;
        k.w[0] = s * s * s / 6.0, k.w[3] = t * t * t / 6.0;
        k.w[1] = 2.0 / 3.0 - 0.5 * t * t * (2.0 - t);
        k.w[2] = 2.0 / 3.0 - 0.5 * s * s * (2.0 - s);
        k.slope[0] = -0.5 * s * s, k.slope[3] = 0.5 * t * t;
        k.slope[1] = t * (1.5 * t - 2.0), k.slope[2] = -s * (1.5 * s - 2.0);
    }
    if (beyond || n == 1) memset(k.slope, 0, sizeof k.slope);
    return k;
}

static int64_t mirrored(int64_t i, int64_t n) {
    if (n == 1) return 0;
    int64_t period = 2 * n - 2;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

/* The nodes around, components last: f->cell [support]^n [m]. */
static bool gather(clm_nfield *f, const weights *k, clm_err *err) {
    int64_t lo[CLM_DIMS_MAX] = {0}, hi[CLM_DIMS_MAX] = {0}, at[CLM_DIMS_MAX], zero[CLM_DIMS_MAX] = {0};
    int64_t extent[CLM_DIMS_MAX], count = 1;
    for (int d = 0; d < f->n; d++) {
        extent[d] = f->support;
        at[d] = 0;
        count *= f->support;
        lo[d] = k[d].first;
        hi[d] = lo[d] + f->support < f->shape[d] ? lo[d] + f->support : f->shape[d];
    }
    if (f->spline) {
        for (int64_t i = 0; i < count; i++, (void)clm_step(f->n, zero, extent, at)) {
            int64_t node = 0;
            for (int d = 0; d < f->n; d++)
                node = node * f->shape[d] + mirrored(k[d].first + at[d], f->shape[d]);
            memcpy(f->cell + i * f->m, f->spline + node * f->m, (size_t)f->m * sizeof *f->cell);
        }
        return true;
    }
    if (!read_box(f, lo, hi, f->raw, f->cell, err)) return false;
    /* an axis of one node: spread what was read; from the end, for it only ever moves up */
    for (int64_t i = count - 1; i >= 0; i--) {
        int64_t from = 0;
        for (int64_t d = 0, rest = count; d < f->n; d++) {
            rest /= f->support;
            int64_t a = i / rest % f->support, read = hi[d] - lo[d];
            from = from * read + (a < read ? a : read - 1);
        }
        if (from != i) memmove(f->cell + i * f->m, f->cell + from * f->m, (size_t)f->m * sizeof *f->cell);
    }
    return true;
}

bool clm_nfield_value(clm_nfield *f, const double *x, double *value, double *slope, clm_err *err) {
    weights k[CLM_DIMS_MAX];
    double by_node[CLM_DIMS_MAX][CLM_DIMS_MAX] = {{0}}; /* d value / d node index */
    int64_t count = 1;
    for (int d = 0; d < f->n; d++) {
        double v = 0.0;
        for (int j = 0; j < f->n; j++) {
            double a = f->to_node[d * f->n + j];
            if (a != 0.0) v += a * (x[j] - f->origin[j]);
        }
        if (!isfinite(v)) return clm_fail(err, CLM_E_NUMERIC, "a point that is not finite");
        k[d] = weights_at(f->order, v, f->shape[d]);
        count *= f->support;
    }
    if (!gather(f, k, err)) return false;
    memset(value, 0, (size_t)f->m * sizeof *value);
    for (int64_t i = 0; i < count; i++) {
        int at[CLM_DIMS_MAX];
        double w = 1.0;
        for (int64_t d = f->n - 1, rest = i; d >= 0; rest /= f->support, d--)
            at[d] = (int)(rest % f->support);
        for (int d = 0; d < f->n; d++) w *= k[d].w[at[d]];
        for (int c = 0; c < f->m; c++) value[c] += w * f->cell[i * f->m + c];
        for (int d = 0; slope && d < f->n; d++) {
            double dw = k[d].slope[at[d]];
            for (int e = 0; e < f->n; e++)
                if (e != d) dw *= k[e].w[at[e]];
            for (int c = 0; c < f->m; c++) by_node[c][d] += dw * f->cell[i * f->m + c];
        }
    }
    for (int c = 0; slope && c < f->m; c++)
        for (int j = 0; j < f->n; j++) {
            double s = 0.0;
            for (int d = 0; d < f->n; d++) s += by_node[c][d] * f->to_node[d * f->n + j];
            slope[c * f->n + j] = s;
        }
    return true;
}

bool clm_nfield_forward(clm_nfield *f, double *x, clm_err *err) {
    double v[CLM_DIMS_MAX];
    if (!clm_nfield_value(f, x, v, NULL, err)) return false;
    for (int c = 0; c < f->m; c++) x[c] = f->positions ? v[c] : x[c] + v[c];
    return true;
}
