#include "collimate/image/warp.h"
#include "collimate/image/rowmap.h"
#include "collimate/base/simd.h"
#include "warp_parts.h"

#include <math.h>
#include <string.h>

static void aim(const clm_rowmap *map, const int64_t stride[2], const clm_lane *lane, clm_lane_taps *t) {
    for (int c = 0; c < 3; c++) {
        int64_t n = map->moving[c];
        /* an axis of one voxel has nothing to interpolate with, and reaches half a voxel either way */
        float reach = n == 1 ? 0.5f + CLM_LANE_SLACK : CLM_LANE_SLACK;
        t->first[c] = (int32_t)-lane->base[c];
        t->last[c] = (int32_t)(n - 1 - lane->base[c]);
        t->lo[c] = (float)t->first[c] - reach;
        t->hi[c] = (float)t->last[c] + reach;
        t->step[c] = (int32_t)(c == 2 ? 1 : stride[c]);
    }
    t->from = lane->base[0] * stride[0] + lane->base[1] * stride[1] + lane->base[2];
}

CLM_CLONES static int mark_inside(const clm_lane *lane, const clm_lane_taps *t, int n, int32_t *restrict in) {
    const float *restrict z = lane->p[0], *restrict y = lane->p[1], *restrict x = lane->p[2];
    int32_t count = 0;
    for (int k = 0; k < n; k++) {
        int32_t ok = (z[k] >= t->lo[0]) & (z[k] <= t->hi[0]) & (y[k] >= t->lo[1]) & (y[k] <= t->hi[1]) &
                     (x[k] >= t->lo[2]) & (x[k] <= t->hi[2]);
        in[k] = ok;
        count += ok;
    }
    return count;
}

/* p -> lower voxel (clamped so that the next one exists) and weight of the next one */
CLM_CLONES static void split(const float *restrict p, float lo, float hi, int32_t first, int32_t last, int n,
                             int32_t *restrict at, float *restrict part) {
    for (int k = 0; k < n; k++) {
        float q = p[k] > lo ? p[k] : lo; /* NaN becomes lo */
        q = q < hi ? q : hi;
        int32_t i = (int32_t)q;
        i -= q < (float)i;
        i = i < last ? i : last - 1;
        i = i > first ? i : first;
        float f = q - (float)i;
        f = f < 0.0f ? 0.0f : f;
        part[k] = f < 1.0f ? f : 1.0f;
        at[k] = i;
    }
}

CLM_CLONES static void gather_linear(const float *restrict v, const int32_t step[3],
                                     const int32_t at[restrict 3][CLM_LANE],
                                     const float part[restrict 3][CLM_LANE], const int32_t *restrict in,
                                     float outside, int n, float *restrict out) {
    int32_t sz = step[0], sy = step[1], sx = step[2];
    for (int k = 0; k < n; k++) {
        int32_t i = at[0][k] + at[1][k] + at[2][k];
        float tx = part[2][k], ty = part[1][k], tz = part[0][k];
        float rx = 1.0f - tx, ry = 1.0f - ty, rz = 1.0f - tz;
        float a = rx * v[i] + tx * v[i + sx], b = rx * v[i + sy] + tx * v[i + sy + sx];
        float c = rx * v[i + sz] + tx * v[i + sz + sx], d = rx * v[i + sz + sy] + tx * v[i + sz + sy + sx];
        float r = rz * (ry * a + ty * b) + tz * (ry * c + ty * d);
        out[k] = in[k] ? r : outside;
    }
}

CLM_CLONES static void scale_offsets(int32_t *restrict at, int32_t step, int n) {
    for (int k = 0; k < n; k++) at[k] *= step;
}

static void lane_linear(const float *from, const clm_lane_taps *t, const clm_lane *lane, const int32_t *in,
                        float outside, int n, float *out) {
    int32_t at[3][CLM_LANE], step[3];
    float part[3][CLM_LANE];
    for (int c = 0; c < 3; c++) {
        split(lane->p[c], t->lo[c], t->hi[c], t->first[c], t->last[c], n, at[c], part[c]);
        scale_offsets(at[c], t->step[c], n);
        step[c] = t->last[c] > t->first[c] ? t->step[c] : 0;
    }
    gather_linear(from, step, (const int32_t(*)[CLM_LANE])at, (const float(*)[CLM_LANE])part, in, outside, n,
                  out);
}

/* Keys' weights of the four voxels around a fraction f in [0, 1] */
CLM_CLONES static void keys_taps(const float *restrict part, int n, float w[restrict 4][CLM_LANE]) {
    for (int k = 0; k < n; k++) {
        float f = part[k], g = 1.0f - f;
        w[0][k] = -0.5f * f * g * g;
        w[1][k] = 1.0f - f * f * (2.5f - 1.5f * f);
        w[2][k] = 1.0f - g * g * (2.5f - 1.5f * g);
        w[3][k] = -0.5f * g * f * f;
    }
}

/* offsets of the four taps of one axis, repeating the border voxel beyond the volume */
static void cubic_taps(const clm_lane_taps *t, const clm_lane *lane, int c, int n, int32_t at[4][CLM_LANE],
                       float w[4][CLM_LANE]) {
    int32_t i[CLM_LANE];
    float part[CLM_LANE];
    split(lane->p[c], t->lo[c], t->hi[c], t->first[c], t->last[c], n, i, part);
    keys_taps(part, n, w);
    for (int tap = 0; tap < 4; tap++)
        for (int k = 0; k < n; k++) {
            int32_t j = i[k] + tap - 1;
            j = j < t->last[c] ? j : t->last[c];
            at[tap][k] = (j > t->first[c] ? j : t->first[c]) * t->step[c];
        }
}

typedef float four __attribute__((vector_size(16))); /* SSE, which every x86-64 has: one form for all */

/* the taps along x of all rows are added up first, four side by side, and weighted among themselves at the end */
static float cubic_voxel(const float *from, const int32_t at[3][4][CLM_LANE], const float w[3][4][CLM_LANE],
                         int k) {
    const int32_t x[4] = {at[2][0][k], at[2][1][k], at[2][2][k], at[2][3][k]};
    bool together = x[3] - x[0] == 3; /* not so where the border voxel is repeated */
    four sum = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            const float *row = from + at[0][a][k] + at[1][b][k];
            float by = w[0][a][k] * w[1][b][k];
            four v;
            if (together)
                memcpy(&v, row + x[0], sizeof v);
            else
                v = (four){row[x[0]], row[x[1]], row[x[2]], row[x[3]]};
            sum += (four){by, by, by, by} * v;
        }
    return w[2][0][k] * sum[0] + w[2][1][k] * sum[1] + w[2][2][k] * sum[2] + w[2][3][k] * sum[3];
}

static void lane_cubic(const float *from, const clm_lane_taps *t, const clm_lane *lane, const int32_t *in,
                       float outside, int n, float *out) {
    int32_t at[3][4][CLM_LANE];
    float w[3][4][CLM_LANE];
    for (int c = 0; c < 3; c++) cubic_taps(t, lane, c, n, at[c], w[c]);
    for (int k = 0; k < n; k++)
        out[k] = in[k]
                     ? cubic_voxel(from, (const int32_t(*)[4][CLM_LANE])at, (const float(*)[4][CLM_LANE])w, k)
                     : outside;
}

/* offset of the nearest voxel, halves up, clamped into the volume */
CLM_CLONES static void nearest_offsets(const clm_lane_taps *t, const clm_lane *lane, int n,
                                       int32_t *restrict at) {
    for (int k = 0; k < n; k++) at[k] = 0;
    for (int c = 0; c < 3; c++) {
        const float *restrict p = lane->p[c];
        float lo = t->lo[c], hi = t->hi[c];
        int32_t first = t->first[c], last = t->last[c], step = t->step[c];
        for (int k = 0; k < n; k++) {
            float q = p[k] > lo ? p[k] : lo;
            q = (q < hi ? q : hi) + 0.5f;
            int32_t i = (int32_t)q;
            i -= q < (float)i;
            i = i < last ? i : last;
            at[k] += (i > first ? i : first) * step;
        }
    }
}

static bool check_size(const clm_vol *v, const int64_t stride[2], clm_err *err) {
    for (int d = 0; d < 3; d++)
        if (v->shape[d] < 1) return clm_fail(err, CLM_E_ARG, "moving volume is empty on axis %d", d);
    /* offsets are 32 bits wide: gathers of 8 at a time */
    double reach = (double)v->shape[0] * (double)stride[0] + (double)v->shape[1] * (double)stride[1];
    if (reach >= 2147483648.0 || stride[0] < 0 || stride[1] < 0)
        return clm_fail(err, CLM_E_ARG,
                        "moving volume spans %.0f voxels; at most 2^31 a call, use smaller boxes", reach);
    return true;
}

static int lane_length(int64_t left) { return (int)(left < CLM_LANE ? left : CLM_LANE); }

/* What one call warps. */
typedef struct source {
    const void *voxels;
    int64_t stride[2], count;
    clm_dtype type;   /* of voxels and of the result             */
    size_t size;      /* of one                                  */
    clm_interp kind;  /* nearest: only the size matters          */
    float blank;      /* outside, for what is interpolated       */
    const void *item; /* outside, as a voxel                     */
    bool wide;
} source;

static int float_lane(const source *s, const clm_lane_taps *t, const clm_lane *lane, int n, float *out) {
    int32_t in[CLM_LANE];
    int count = mark_inside(lane, t, n, in);
    const float *from = (const float *)s->voxels + t->from;
    if (count == 0)
        for (int k = 0; k < n; k++) out[k] = s->blank;
    else if (s->kind == CLM_INTERP_LINEAR)
        lane_linear(from, t, lane, in, s->blank, n, out);
    else
        lane_cubic(from, t, lane, in, s->blank, n, out);
    return count;
}

/* a size that is known when this is compiled is a move, not a call */
#define COPY(SIZE)              \
    for (int k = 0; k < n; k++) \
    memcpy(out + (size_t)k * (SIZE), in[k] ? from + (int64_t)at[k] * (int64_t)(SIZE) : outside, (SIZE))

/* the nearest items of one size; `outside` where not in */
static int item_lane(const source *s, const clm_lane_taps *t, const clm_lane *lane, int n,
                     unsigned char *out) {
    const unsigned char *from = (const unsigned char *)s->voxels + t->from * (int64_t)s->size,
                        *outside = s->item;
    int32_t in[CLM_LANE], at[CLM_LANE];
    int count = mark_inside(lane, t, n, in);
    nearest_offsets(t, lane, n, at);
    switch (s->size) {
    case 1: COPY(1); break;
    case 2: COPY(2); break;
    case 4: COPY(4); break;
    case 8: COPY(8); break;
    default: COPY(s->size); break;
    }
    return count;
}

static int lane_of(const source *s, const clm_lane_taps *t, const clm_lane *lane, int n, void *out) {
    if (s->kind == CLM_INTERP_NEAREST)
        return s->wide && s->size <= 8
                   ? clm_warp_wide_nearest(s->size, s->voxels, s->count, t, lane, s->item, n, out)
                   : item_lane(s, t, lane, n, out);
    return s->wide && s->kind == CLM_INTERP_LINEAR
               ? clm_warp_wide_linear(s->type, s->voxels, s->count, t, lane, s->blank, n, out)
               : float_lane(s, t, lane, n, out);
}

static bool warp(const clm_work *w, const source *s, const clm_vol *moving, const clm_affine *A,
                 const clm_field *f, const clm_vol *grid, const int64_t out_stride[2], void *out,
                 int64_t *inside, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    clm_rowmap map;
    if (!check_size(moving, s->stride, err)) return false;
    bool ok = clm_rowmap_make(w->temp, grid, moving, A, f, &map, err);
    int64_t total = 0;
    for (int64_t z = 0; ok && z < grid->shape[0]; z++)
        for (int64_t y = 0; y < grid->shape[1]; y++) {
            unsigned char *row =
                (unsigned char *)out + (z * out_stride[0] + y * out_stride[1]) * (int64_t)s->size;
            clm_rowmap_row(&map, z, y);
            for (int64_t x = 0; x < grid->shape[2]; x += CLM_LANE) {
                int n = lane_length(grid->shape[2] - x);
                clm_lane lane;
                clm_lane_taps t;
                clm_rowmap_lane(&map, x, n, &lane);
                aim(&map, s->stride, &lane, &t);
                total += lane_of(s, &t, &lane, n, row + (size_t)x * s->size);
            }
        }
    clm_arena_rewind(w->temp, mark);
    if (ok && inside) *inside = total;
    return ok;
}

bool clm_warp(const clm_work *w, const clm_vol *moving, const clm_affine *A, const clm_field *f,
              clm_interp kind, float outside, clm_vol *out, int64_t *inside, clm_err *err) {
    const source s = {.voxels = moving->data,
                      .stride = {moving->stride[0], moving->stride[1]},
                      .count = clm_vol_count(moving),
                      .type = CLM_F32,
                      .size = sizeof(float),
                      .kind = kind,
                      .blank = outside,
                      .item = &outside,
                      .wide = clm_warp_is_wide(moving->shape)};
    return warp(w, &s, moving, A, f, out, out->stride, out->data, inside, err);
}

bool clm_warp_items(const clm_work *w, const clm_vol *moving, const void *items, size_t size,
                    const clm_affine *A, const clm_field *f, const void *outside, const clm_vol *grid,
                    void *out, int64_t *inside, clm_err *err) {
    const int64_t stride[2] = {grid->shape[1] * grid->shape[2], grid->shape[2]};
    const source s = {.voxels = items,
                      .stride = {moving->shape[1] * moving->shape[2], moving->shape[2]},
                      .count = clm_vol_count(moving),
                      .size = size,
                      .kind = CLM_INTERP_NEAREST,
                      .item = outside,
                      .wide = clm_warp_is_wide(moving->shape)};
    if (size < 1 || size > 16) return clm_fail(err, CLM_E_ARG, "items of %zu bytes", size);
    return warp(w, &s, moving, A, f, grid, stride, out, inside, err);
}

bool clm_warp_takes(clm_dtype type, const int64_t moving[3]) {
    return (type == CLM_U8 || type == CLM_I8 || type == CLM_U16 || type == CLM_I16) &&
           clm_warp_is_wide(moving);
}

bool clm_warp_stored(const clm_work *w, const clm_vol *moving, const void *voxels, clm_dtype type,
                     const clm_affine *A, const clm_field *f, float outside, const clm_vol *grid, void *out,
                     int64_t *inside, clm_err *err) {
    const int64_t stride[2] = {grid->shape[1] * grid->shape[2], grid->shape[2]};
    source s = {.voxels = voxels,
                .stride = {moving->shape[1] * moving->shape[2], moving->shape[2]},
                .count = clm_vol_count(moving),
                .type = type,
                .size = clm_dtype_size(type),
                .kind = CLM_INTERP_LINEAR,
                .wide = true};
    if (!clm_warp_takes(type, moving->shape))
        return clm_fail(err, CLM_E_ARG, "voxels of %s cannot be warped as stored", clm_dtype_name(type));
    uint16_t voxel;
    clm_dtype_from_f32(type, &outside, &voxel, 1);
    clm_dtype_to_f32(type, &voxel, &s.blank, 1);
    return warp(w, &s, moving, A, f, grid, stride, out, inside, err);
}

/* The coordinates along one axis at which T can turn: the box's ends and the lattice planes between. */
typedef struct crossing {
    double at, first, step, last;
} crossing;

static crossing crossings_begin(const clm_field *f, double lo, double hi, int d) {
    crossing c = {.at = lo, .first = hi, .step = INFINITY, .last = hi};
    if (!f) return c;
    double k = floor((lo - f->origin[d]) / f->spacing[d]) + 1.0;
    c.first = f->origin[d] + (k > 0.0 ? k : 0.0) * f->spacing[d];
    c.step = f->spacing[d];
    return c;
}

/* move on; false when the end of the box was the present one */
static bool crossings_next(crossing *c) {
    if (!(c->at < c->last)) return false;
    if (c->first < c->last) {
        c->at = c->first;
        c->first += c->step;
    } else
        c->at = c->last;
    return true;
}

clm_box clm_warp_box(const clm_affine *A, const clm_field *f, const clm_vol *fixed, clm_box box,
                     const clm_vol *moving, clm_interp kind, int64_t margin_vox) {
    double lo[3], hi[3], least[3] = {INFINITY, INFINITY, INFINITY},
                         most[3] = {-INFINITY, -INFINITY, -INFINITY};
    bool finite = true;
    if (clm_box_is_empty(box)) return (clm_box){{0, 0, 0}, {0, 0, 0}};
    for (int d = 0; d < 3; d++) {
        lo[d] = fixed->origin[d] + (double)box.lo[d] * fixed->spacing[d];
        hi[d] = fixed->origin[d] + (double)(box.hi[d] - 1) * fixed->spacing[d];
    }
    crossing z = crossings_begin(f, lo[0], hi[0], 0);
    do {
        crossing y = crossings_begin(f, lo[1], hi[1], 1);
        do {
            crossing x = crossings_begin(f, lo[2], hi[2], 2);
            do {
                const double p[3] = {z.at, y.at, x.at};
                double q[3];
                clm_transform_point(A, f, p, q);
                for (int d = 0; d < 3; d++) {
                    double v = (q[d] - moving->origin[d]) / moving->spacing[d];
                    finite = finite && isfinite(v);
                    least[d] = fmin(least[d], v), most[d] = fmax(most[d], v);
                }
            } while (crossings_next(&x));
        } while (crossings_next(&y));
    } while (crossings_next(&z));
    clm_box out = clm_box_of(moving->shape);
    if (!finite) return out;
    int64_t below = clm_interp_support(kind) - 1 + margin_vox, above = clm_interp_support(kind) + margin_vox;
    for (int d = 0; d < 3; d++) {
        /* positions are floats later: a little more than the exact reach */
        double first = floor(least[d] - 1e-3) - (double)below,
               end = floor(most[d] + 1e-3) + (double)above + 1.0;
        double n = (double)moving->shape[d];
        out.lo[d] = (int64_t)fmin(fmax(first, 0.0), n);
        out.hi[d] = (int64_t)fmin(fmax(end, 0.0), n);
    }
    return clm_box_is_empty(out) ? (clm_box){{0, 0, 0}, {0, 0, 0}} : out;
}
