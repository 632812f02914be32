#include "collimate/store/vectors.h"
#include "collimate/store/format.h"

#include <math.h>
#include <string.h>

static int arrays_of(const clm_vectors *v) { return v->component_axis < 0 ? 3 : 1; }

bool clm_vectors_check(const clm_vectors *v, clm_err *err) {
    bool single = v->component_axis >= 0;
    int first = v->component_axis == 0;
    for (int i = 0; i < arrays_of(v); i++) {
        const clm_array_info *a = clm_array_info_of(v->array[i]);
        bool ok = clm_dtype_is_real(a->dtype) && a->ndim == (single ? 4 : 3) &&
                  (!single || a->shape[v->component_axis] == 3);
        for (int d = 0; ok && d < 3; d++) ok = a->shape[d + first] == v->shape[d];
        ok = ok && !(v->turned && v->positions);
        if (!ok)
            return clm_fail(err, CLM_E_FORMAT, "%s: %s %s cannot hold %s of %s nodes z,y,x",
                            clm_array_path_of(v->array[i]), clm_dtype_name(a->dtype),
                            clm_index_say(a->ndim, a->shape).s, single ? "vectors of 3" : "a component",
                            clm_index_say(3, v->shape).s);
    }
    return true;
}

void clm_vectors_chunk(const clm_vectors *v, int64_t chunk[3]) {
    const clm_array_info *a = clm_array_info_of(v->array[0]);
    for (int d = 0; d < 3; d++) {
        int64_t c = a->inner[d + (v->component_axis == 0)];
        chunk[d] = c < 1 ? 1 : c;
    }
}

void clm_vectors_use_cache(const clm_vectors *v, clm_cache *cache) {
    for (int i = 0; i < arrays_of(v); i++) clm_array_use_cache(v->array[i], cache);
}

void clm_vectors_close(clm_vectors *v) {
    for (int i = 0; i < 3; i++) clm_array_close(v->array[i]);
    memset(v, 0, sizeof *v);
}

/* ---- chunks' vectors into three planes ---- */

typedef struct planes {
    const clm_vectors *v;
    clm_box box;
    clm_field *out;
    int component; /* of the array at hand; -1: its component axis tells */
} planes;

/* As stored: nothing to do but to copy. */
static bool is_plain(const clm_vectors *v, const clm_array *a) {
    return a->info.dtype == CLM_F32 && !v->positions && (v->um_per_unit == 0.0 || v->um_per_unit == 1.0);
}

static double value_of(clm_dtype t, const unsigned char *element) {
    double wide;
    float narrow;
    if (t == CLM_F64) {
        memcpy(&wide, element, sizeof wide);
        return wide;
    }
    clm_dtype_to_f32(t, element, &narrow, 1);
    return (double)narrow;
}

/* One component's part of a chunk, in double until it is a displacement: positions are large. src NULL: fill. */
static void put_values(const clm_vectors *v, const clm_array *a, int c, const int64_t lo[3],
                       const int64_t hi[3], const unsigned char *src, const int64_t from[3], bool swap,
                       float *dst, const int64_t to[3]) {
    double scale = v->um_per_unit == 0.0 ? 1.0 : v->um_per_unit;
    int64_t at[3];
    memcpy(at, lo, sizeof at);
    do {
        int64_t i = 0, j = 0;
        unsigned char element[16];
        for (int d = 0; d < 3; d++) {
            i += (at[d] - lo[d]) * from[d];
            j += (at[d] - lo[d]) * to[d];
        }
        memcpy(element, src ? src + i * (int64_t)a->size : a->info.fill, a->size);
        if (src && swap) clm_swap_bytes(element, a->unit, 1);
        double u = value_of(a->info.dtype, element) * scale;
        dst[j] = (float)(v->positions ? u - (v->origin_um[c] + (double)at[c] * v->spacing_um[c]) : u);
    } while (clm_step(3, lo, hi, at));
}

static bool spread(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err) {
    (void)err;
    const planes *k = ctx;
    int axis = k->component < 0 ? k->v->component_axis : -1, s = axis == 0;
    int64_t extent[3], from[3], to[3], offset = 0;
    (void)clm_strides(3, k->out->shape, to);
    for (int d = 0; d < 3; d++) {
        extent[d] = p->hi[d + s] - p->lo[d + s];
        from[d] = p->stride[d + s];
        offset += (p->lo[d + s] - k->box.lo[d]) * to[d];
    }
    int64_t lo = axis < 0 ? k->component : p->lo[axis], hi = axis < 0 ? lo + 1 : p->hi[axis];
    for (int64_t i = lo; i < hi; i++) {
        int c = k->v->x_first ? (int)(2 - i) : (int)i;
        float *dst = k->out->u[c] + offset;
        const unsigned char *src = p->data;
        if (src && axis >= 0) src += (i - lo) * p->stride[axis] * (int64_t)a->size;
        if (!is_plain(k->v, a))
            put_values(k->v, a, c, p->lo + s, p->hi + s, src, from, p->swap, dst, to);
        else if (src)
            clm_copy_block(3, extent, src, from, dst, to, a->size, a->unit, p->swap);
        else
            clm_fill_block(3, extent, dst, to, a->info.fill, a->size);
    }
    return true;
}

static bool all_finite(const clm_vectors *v, clm_box box, const clm_field *out, clm_err *err) {
    int64_t n = clm_field_count(out), row = out->shape[2], plane = out->shape[1] * row;
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++) {
            if (isfinite(out->u[c][i])) continue;
            const int64_t at[3] = {box.lo[0] + i / plane, box.lo[1] + i / row % out->shape[1],
                                   box.lo[2] + i % row};
            return clm_fail(err, CLM_E_FORMAT, "%s: the vector of node %s (z,y,x) is not finite",
                            clm_array_path_of(v->array[0]), clm_index_say(3, at).s);
        }
    return true;
}

static void turn_all(const clm_vectors *v, clm_field *out) {
    int64_t n = clm_field_count(out);
    for (int64_t i = 0; i < n; i++) {
        const double u[3] = {(double)out->u[0][i], (double)out->u[1][i], (double)out->u[2][i]};
        for (int c = 0; c < 3; c++)
            out->u[c][i] = (float)(v->turn[c][0] * u[0] + v->turn[c][1] * u[1] + v->turn[c][2] * u[2]);
    }
}

bool clm_vectors_read(const clm_vectors *v, clm_box box, clm_field *out, clm_err *err) {
    int64_t lo[4] = {0, 0, 0, 0}, hi[4] = {3, 3, 3, 3};
    int first = v->component_axis == 0;
    planes k = {.v = v, .box = box, .out = out, .component = -1};
    for (int d = 0; d < 3; d++) {
        if (out->shape[d] != box.hi[d] - box.lo[d])
            return clm_fail(err, CLM_E_ARG, "field and box differ in shape");
        lo[d + first] = box.lo[d];
        hi[d + first] = box.hi[d];
        out->spacing[d] = v->spacing_um[d];
        out->origin[d] = v->origin_um[d] + v->spacing_um[d] * (double)box.lo[d];
    }
    for (int i = 0; i < arrays_of(v); i++) {
        if (v->component_axis < 0) k.component = i;
        if (!clm_array_each(v->array[i], lo, hi, spread, NULL, &k, 1, err)) return false;
    }
    if (v->turned) turn_all(v, out);
    return all_finite(v, box, out, err);
}
