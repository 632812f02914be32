#include "collimate/image/lncc.h"
#include "collimate/base/simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Sums over windows are made one axis after another: along z by adding the plane that enters the window and
 * taking away the one that leaves, on a slab of rows that stays in cache; along y the same with rows; along x,
 * where a running sum would not vectorise, by doubling: windows of 1, 2, 4 ... voxels, and w from its binary
 * digits. Double throughout, of values above the volume's least: products of counts of 16 bits are exact, so taking
 * away leaves nothing behind. */

#define SLAB 32 /* rows of windows side by side */
#define SUMS 6  /* of 1, f, m, ff, mm, fm over voxels that are finite in both */
#define FLAT \
    1e-12 /* of the range squared: a thousand times what taking away leaves behind of bright neighbours */
#define LANES 256 /* extremes kept side by side */

typedef struct scratch {
    double *column;        /* [SLAB + 2 radius][SUMS][nx]: sums along z            */
    double *row;           /* [SUMS][nx]: of those along y                         */
    double *power, *spare; /* [nx] each: doubling                                  */
    double *window;        /* [SUMS][nx]: sums of whole windows                    */
    double *correlation;   /* [nx]: NaN where a window does not count              */
} scratch;

CLM_CLONES static void enter(const float *restrict f, const float *restrict m, int64_t n,
                             const double least[2], double *restrict c) {
    double *restrict c1 = c + n, *restrict c2 = c + 2 * n, *restrict c3 = c + 3 * n;
    double *restrict c4 = c + 4 * n, *restrict c5 = c + 5 * n, f1 = least[0], m1 = least[1];
    for (int64_t i = 0; i < n; i++) {
        bool on = f[i] * 0.0f + m[i] * 0.0f == 0.0f;
        double p = on ? (double)f[i] - f1 : 0.0, q = on ? (double)m[i] - m1 : 0.0;
        c[i] += on ? 1.0 : 0.0;
        c1[i] += p, c2[i] += q;
        c3[i] += p * p, c4[i] += q * q, c5[i] += p * q;
    }
}

/** f and m enter, f0 and m0 leave: at once, since the sums do not fit into the first cache. */
CLM_CLONES static void replace(const float *restrict f, const float *restrict m, const float *restrict f0,
                               const float *restrict m0, int64_t n, const double least[2],
                               double *restrict c) {
    double *restrict c1 = c + n, *restrict c2 = c + 2 * n, *restrict c3 = c + 3 * n;
    double *restrict c4 = c + 4 * n, *restrict c5 = c + 5 * n, f1 = least[0], m1 = least[1];
    for (int64_t i = 0; i < n; i++) {
        bool on = f[i] * 0.0f + m[i] * 0.0f == 0.0f, off = f0[i] * 0.0f + m0[i] * 0.0f == 0.0f;
        double p = on ? (double)f[i] - f1 : 0.0, q = on ? (double)m[i] - m1 : 0.0;
        double p0 = off ? (double)f0[i] - f1 : 0.0, q0 = off ? (double)m0[i] - m1 : 0.0;
        c[i] = c[i] + (on ? 1.0 : 0.0) - (off ? 1.0 : 0.0);
        c1[i] = c1[i] + p - p0, c2[i] = c2[i] + q - q0;
        c3[i] = c3[i] + p * p - p0 * p0, c4[i] = c4[i] + q * q - q0 * q0, c5[i] = c5[i] + p * q - p0 * q0;
    }
}

CLM_CLONES static void slide(const double *restrict in, const double *restrict out, int64_t n,
                             double *restrict sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += in[i] - out[i];
}

CLM_CLONES static void add(const double *restrict in, int64_t n, double *restrict sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += in[i];
}

CLM_CLONES static void add_two(const double *restrict a, const double *restrict b, int64_t n,
                               double *restrict sum) {
    for (int64_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

/** sum[i] = a[i] + ... + a[i + width - 1] for i in [0, n - width]; a is kept. */
static void windows_along(const double *a, int64_t n, int64_t width, const scratch *t, double *sum) {
    int64_t count = n - width + 1, at = 0, length = n;
    const double *power = a;
    double *next = t->power, *other = t->spare;
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (int64_t size = 1;; size *= 2) {
        if (width & size) {
            add(power + at, count, sum);
            at += size;
        }
        if (at == width) return;
        length -= size;
        add_two(power, power + size, length, next);
        power = next;
        double *swap = next;
        next = other, other = swap;
    }
}

CLM_CLONES static void correlate(const double *restrict s, int64_t stride, int64_t n, double volume,
                                 const double flat[2], double *restrict r) {
    const double *f = s + stride, *m = s + 2 * stride, *ff = s + 3 * stride, *mm = s + 4 * stride;
    const double *fm = s + 5 * stride, v = 1.0 / volume;
    for (int64_t i = 0; i < n; i++) {
        double a = f[i] * v, b = m[i] * v;
        double va = ff[i] * v - a * a, vb = mm[i] * v - b * b, c = fm[i] * v - a * b;
        bool on = (s[i] == volume) & (va > flat[0]) & (vb > flat[1]);
        double q = c / sqrt(on ? va * vb : 1.0);
        q = q > 1.0 ? 1.0 : q < -1.0 ? -1.0 : q;
        r[i] = on ? q : (double)NAN;
    }
}

int64_t clm_lncc_bytes(int64_t nx, int64_t radius) {
    return (int64_t)sizeof(double) * ((SLAB + 2 * radius) * SUMS + 2 * SUMS + 3) * nx;
}

static bool begin(const clm_work *w, int64_t nx, int64_t radius, scratch *t, clm_err *err) {
    t->column = clm_take(w->temp, double, (SLAB + 2 * radius) * SUMS * nx, err);
    if (t->column) t->row = clm_take(w->temp, double, (2 * SUMS + 3) * nx, err);
    if (!t->column || !t->row) return false;
    t->window = t->row + SUMS * nx;
    t->power = t->window + SUMS * nx;
    t->spare = t->power + nx;
    t->correlation = t->spare + nx;
    return true;
}

/** What is asked: windows centred on `at`, of which the corner of `map` is `corner`. */
typedef struct request {
    const clm_vol *fixed, *moving;
    clm_box at;
    int64_t corner[3], radius;
    double least[2], flat[2]; /* of fixed and moving: what is taken off values, variances that are none */
    clm_vol *map;
} request;

/** One row of windows from sums along z and y. */
static void finish_row(const request *q, const scratch *t, int64_t z, int64_t y, clm_lncc *s) {
    const int64_t nx = q->fixed->shape[2], lo = q->at.lo[2], n = q->at.hi[2] - lo, width = 2 * q->radius + 1;
    double *r = t->correlation, sum = 0;
    for (int k = 0; k < SUMS; k++)
        windows_along(t->row + k * nx + lo - q->radius, n + 2 * q->radius, width, t, t->window + k * nx);
    correlate(t->window, nx, n, (double)(width * width * width), q->flat, r);
    for (int64_t i = 0; i < n; i++)
        if (r[i] == r[i]) sum += r[i], s->n++;
    s->sum += sum;
    if (!q->map) return;
    float *map = clm_vol_row(q->map, z - q->corner[0], y - q->corner[1]) + lo - q->corner[2];
    for (int64_t i = 0; i < n; i++) map[i] = (float)r[i];
}

/** Windows centred on rows [y0, y1) of all planes. */
static void slab(const request *q, const scratch *t, int64_t y0, int64_t y1, clm_lncc *s) {
    const clm_vol *f = q->fixed, *m = q->moving;
    const int64_t r = q->radius, nx = f->shape[2], rows = y1 - y0 + 2 * r, per = SUMS * nx;
    const int64_t first = q->at.lo[0] - r;
    memset(t->column, 0, (size_t)(rows * per) * sizeof *t->column);
    for (int64_t z = first; z < q->at.hi[0] + r; z++) {
        int64_t leaves = z - 2 * r - 1;
        for (int64_t j = 0; j < rows; j++) {
            int64_t y = y0 - r + j;
            double *column = t->column + j * per;
            if (leaves < first)
                enter(clm_vol_row(f, z, y), clm_vol_row(m, z, y), nx, q->least, column);
            else
                replace(clm_vol_row(f, z, y), clm_vol_row(m, z, y), clm_vol_row(f, leaves, y),
                        clm_vol_row(m, leaves, y), nx, q->least, column);
        }
        if (z - r < q->at.lo[0]) continue;
        memset(t->row, 0, (size_t)per * sizeof *t->row);
        for (int64_t j = 0; j < 2 * r; j++) add(t->column + j * per, per, t->row);
        for (int64_t y = y0; y < y1; y++) {
            const double *in = t->column + (y - y0 + 2 * r) * per;
            if (y == y0)
                add(in, per, t->row);
            else
                slide(in, t->column + (y - y0 - 1) * per, per, t->row);
            finish_row(q, t, z - r, y, s);
        }
    }
}

/* lo, hi: [LANES] of what was seen before; finite values only: comparisons with NaN are false */
CLM_CLONES static void widen(const float *restrict v, int64_t n, float *restrict lo, float *restrict hi) {
    for (int64_t i = 0; i < n; i++) {
        lo[i] = (v[i] < lo[i]) & (v[i] >= -FLT_MAX) ? v[i] : lo[i];
        hi[i] = (v[i] > hi[i]) & (v[i] <= FLT_MAX) ? v[i] : hi[i];
    }
}

static void range_of(const clm_vol *v, double *least, double *flat) {
    float lo[LANES], hi[LANES];
    for (int k = 0; k < LANES; k++) lo[k] = FLT_MAX, hi[k] = -FLT_MAX;
    for (int64_t z = 0; z < v->shape[0]; z++)
        for (int64_t y = 0; y < v->shape[1]; y++)
            for (int64_t x = 0, n = v->shape[2]; x < n; x += LANES)
                widen(clm_vol_row(v, z, y) + x, n - x < LANES ? n - x : LANES, lo, hi);
    for (int k = 1; k < LANES; k++) lo[0] = fminf(lo[0], lo[k]), hi[0] = fmaxf(hi[0], hi[k]);
    double range = (double)hi[0] - (double)lo[0];
    *least = (double)lo[0], *flat = FLAT * range * range;
}

static bool check(const clm_vol *f, const clm_vol *m, clm_box core, int64_t radius, const clm_vol *map,
                  clm_err *err) {
    for (int d = 0; d < 3; d++) {
        int64_t size = core.hi[d] - core.lo[d];
        if (f->shape[d] != m->shape[d] || (map && map->shape[d] != size))
            return clm_fail(err, CLM_E_ARG,
                            "volumes of %lld and %lld voxels along axis %d, map of %lld for %lld",
                            (long long)f->shape[d], (long long)m->shape[d], d,
                            (long long)(map ? map->shape[d] : 0), (long long)size);
    }
    if (radius < 0 || clm_box_is_empty(core) || !clm_box_covers(clm_box_of(f->shape), core))
        return clm_fail(err, CLM_E_ARG, "windows of radius %lld around no voxels, or some outside the volume",
                        (long long)radius);
    return true;
}

bool clm_lncc_add(const clm_work *w, const clm_vol *fixed, const clm_vol *moving, clm_box core,
                  int64_t radius, clm_lncc *s, clm_vol *map, clm_err *err) {
    if (!check(fixed, moving, core, radius, map, err)) return false;
    for (int64_t z = 0; map && z < map->shape[0]; z++)
        for (int64_t y = 0; y < map->shape[1]; y++)
            for (int64_t x = 0; x < map->shape[2]; x++) clm_vol_row(map, z, y)[x] = NAN;
    clm_box whole = clm_box_grow(clm_box_of(fixed->shape), (int64_t[3]){-radius, -radius, -radius});
    request q = {.fixed = fixed, .moving = moving, .at = clm_box_meet(core, whole), .radius = radius};
    q.map = map;
    range_of(fixed, &q.least[0], &q.flat[0]);
    range_of(moving, &q.least[1], &q.flat[1]);
    for (int d = 0; d < 3; d++) q.corner[d] = core.lo[d];
    if (clm_box_is_empty(q.at)) return true;
    clm_mark mark = clm_arena_mark(w->temp);
    scratch t = {0};
    bool ok = begin(w, fixed->shape[2], radius, &t, err);
    for (int64_t y = q.at.lo[1]; ok && y < q.at.hi[1]; y += SLAB)
        slab(&q, &t, y, y + SLAB < q.at.hi[1] ? y + SLAB : q.at.hi[1], s);
    clm_arena_rewind(w->temp, mark);
    return ok;
}
