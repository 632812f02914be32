#include "collimate/image/overlap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_OFFSETS ((int64_t)1 << 24)

typedef struct offset {
    double um;
    int32_t at[3];
} offset;

static int by_distance(const void *a, const void *b) {
    const offset *p = a, *q = b;
    if (p->um != q->um) return p->um < q->um ? -1 : 1;
    return memcmp(p->at, q->at, sizeof p->at); /* any order, but always the same */
}

static int64_t list_offsets(const double spacing[3], double reach_um, const int64_t most[3], offset *out) {
    int64_t n = 0;
    for (int64_t z = -most[0]; z <= most[0]; z++)
        for (int64_t y = -most[1]; y <= most[1]; y++)
            for (int64_t x = -most[2]; x <= most[2]; x++) {
                double a = (double)z * spacing[0], b = (double)y * spacing[1], c = (double)x * spacing[2];
                double um = sqrt(a * a + b * b + c * c);
                if (um > reach_um) continue;
                if (out) out[n] = (offset){um, {(int32_t)z, (int32_t)y, (int32_t)x}};
                n++;
            }
    return n;
}

bool clm_ball_make(const clm_work *w, const double spacing[3], double reach_um, clm_ball *out, clm_err *err) {
    int64_t most[3];
    double room = 1.0;
    for (int d = 0; d < 3; d++) {
        double voxels = floor(reach_um / spacing[d]);
        room *= 2.0 * voxels + 1.0;
        if (!(reach_um > 0.0) || !(room <= (double)MOST_OFFSETS))
            return clm_fail(err, CLM_E_ARG, "a surface reach of %g um is not positive, or too far", reach_um);
        most[d] = (int64_t)voxels;
    }
    clm_ball b = {.reach_um = reach_um, .n = list_offsets(spacing, reach_um, most, NULL)};
    b.at = clm_arena_take(w->keep, b.n, sizeof *b.at, err);
    b.ring = b.at ? clm_take(w->keep, int32_t, b.n, err) : NULL;
    b.um = b.ring ? clm_take(w->keep, double, b.n, err) : NULL;
    if (!b.um) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    offset *list = clm_take(w->temp, offset, b.n, err);
    if (!list) return false;
    (void)list_offsets(spacing, reach_um, most, list);
    qsort(list, (size_t)b.n, sizeof *list, by_distance);
    for (int64_t i = 0; i < b.n; i++) {
        memcpy(b.at[i], list[i].at, sizeof b.at[i]);
        if (!b.rings || b.um[b.rings - 1] < list[i].um) b.um[b.rings++] = list[i].um;
        b.ring[i] = (int32_t)(b.rings - 1);
    }
    clm_arena_rewind(w->temp, mark);
    for (int d = 0; d < 3; d++) b.halo[d] = most[d] + 1;
    *out = b;
    return true;
}

/* ---- the table of counts ---- */

bool clm_overlap_new(clm_arena *a, clm_overlap *out, clm_err *err) {
    clm_overlap s = {.arena = a, .room = 256};
    s.row = clm_arena_take_zero(a, s.room, sizeof *s.row, err);
    if (!s.row) return false;
    *out = s;
    return true;
}

static clm_label_count *place_of(clm_label_count *row, int64_t room, int64_t label, int64_t what) {
    uint64_t h = ((uint64_t)label * 31u + (uint64_t)what) * 0x9e3779b97f4a7c15u;
    int64_t i = (int64_t)(h >> 20) & (room - 1);
    while (row[i].n && (row[i].label != label || row[i].what != what)) i = (i + 1) & (room - 1);
    return &row[i];
}

bool clm_overlap_count(clm_overlap *s, int64_t label, int64_t what, int64_t n, clm_err *err) {
    clm_label_count *r = place_of(s->row, s->room, label, what);
    if (!r->n && n && 2 * (s->n + 1) > s->room) {
        int64_t room = 2 * s->room;
        clm_label_count *wider = clm_arena_take_zero(s->arena, room, sizeof *wider, err);
        if (!wider) return false;
        for (int64_t i = 0; i < s->room; i++)
            if (s->row[i].n) *place_of(wider, room, s->row[i].label, s->row[i].what) = s->row[i];
        s->row = wider;
        s->room = room;
        r = place_of(s->row, s->room, label, what);
    }
    s->n += !r->n && n;
    *r = (clm_label_count){label, what, r->n + n};
    return true;
}

/* ---- one block ---- */

static void mark_surface(const int64_t *label, const int64_t shape[3], unsigned char *on) {
    const int64_t step[3] = {shape[1] * shape[2], shape[2], 1};
    int64_t i = 0, at[3];
    for (at[0] = 0; at[0] < shape[0]; at[0]++)
        for (at[1] = 0; at[1] < shape[1]; at[1]++)
            for (at[2] = 0; at[2] < shape[2]; at[2]++, i++) {
                on[i] = 0;
                for (int d = 0; label[i] && d < 3; d++) {
                    if (at[d] > 0 && label[i - step[d]] != label[i]) on[i] = 1;
                    if (at[d] + 1 < shape[d] && label[i + step[d]] != label[i]) on[i] = 1;
                }
            }
}

typedef struct side {
    const int64_t *label;
    const unsigned char *surface;
} side;

/* the ring of the nearest surface voxel of the same label in `other`; ball->rings when there is none */
static int64_t nearest(const side *other, const int64_t shape[3], const int64_t at[3], int64_t label,
                       const clm_ball *ball) {
    for (int64_t i = 0; i < ball->n; i++) {
        int64_t z = at[0] + ball->at[i][0], y = at[1] + ball->at[i][1], x = at[2] + ball->at[i][2];
        if (z < 0 || y < 0 || x < 0 || z >= shape[0] || y >= shape[1] || x >= shape[2]) continue;
        int64_t o = (z * shape[1] + y) * shape[2] + x;
        if (other->surface[o] && other->label[o] == label) return ball->ring[i];
    }
    return ball->rings;
}

static bool add_voxel(clm_overlap *s, const side v[2], const int64_t shape[3], const int64_t at[3],
                      const clm_ball *ball, clm_err *err) {
    int64_t i = (at[0] * shape[1] + at[1]) * shape[2] + at[2];
    bool ok = true;
    for (int k = 0; ok && k < 2; k++) {
        int64_t label = v[k].label[i];
        if (!label) continue;
        ok = clm_overlap_count(s, label, k ? CLM_COUNT_MOVING : CLM_COUNT_FIXED, 1, err);
        if (ok && !k && v[1].label[i] == label) ok = clm_overlap_count(s, label, CLM_COUNT_BOTH, 1, err);
        if (ok && ball && v[k].surface[i])
            ok = clm_overlap_count(
                s, label, CLM_COUNT_RING + (ball->rings + 1) * k + nearest(&v[!k], shape, at, label, ball), 1,
                err);
    }
    return ok;
}

bool clm_overlap_add(const clm_work *w, clm_overlap *s, const int64_t *fixed, const int64_t *moving,
                     const int64_t shape[3], clm_box core, const clm_ball *ball, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t n = shape[0] * shape[1] * shape[2], at[3];
    unsigned char *on = ball ? clm_arena_take(w->temp, 2 * n, 1, err) : NULL;
    if (ball && !on) return false;
    if (ball) {
        mark_surface(fixed, shape, on);
        mark_surface(moving, shape, on + n);
    }
    const side v[2] = {{fixed, on}, {moving, on ? on + n : NULL}};
    bool ok = true;
    for (at[0] = core.lo[0]; ok && at[0] < core.hi[0]; at[0]++)
        for (at[1] = core.lo[1]; ok && at[1] < core.hi[1]; at[1]++)
            for (at[2] = core.lo[2]; ok && at[2] < core.hi[2]; at[2]++)
                ok = add_voxel(s, v, shape, at, ball, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

static int by_label(const void *a, const void *b) {
    const clm_label_count *p = a, *q = b;
    if (p->label != q->label) return p->label < q->label ? -1 : 1;
    return (p->what > q->what) - (p->what < q->what);
}

bool clm_overlap_rows(const clm_overlap *s, clm_arena *a, clm_label_count **out, clm_err *err) {
    clm_label_count *list = clm_take(a, clm_label_count, s->n + 1, err);
    int64_t n = 0;
    if (!list) return false;
    for (int64_t i = 0; i < s->room; i++)
        if (s->row[i].n) list[n++] = s->row[i];
    qsort(list, (size_t)n, sizeof *list, by_label);
    *out = list;
    return true;
}

/* the distance that this part of the voxels does not exceed; ring `rings` is beyond the reach */
static double within(const int64_t *ring, const clm_ball *ball, double part) {
    int64_t all = 0, seen = 0;
    for (int64_t i = 0; i <= ball->rings; i++) all += ring[i];
    int64_t want = (int64_t)ceil(part * (double)all);
    for (int64_t i = 0; i < ball->rings; i++) {
        seen += ring[i];
        if (seen >= want) return ball->um[i];
    }
    return INFINITY;
}

static void sum_distances(const int64_t *ring, const clm_ball *ball, clm_label_sum *out) {
    const int64_t per = ball->rings + 1;
    double sum = 0.0;
    for (int64_t i = 0; i < 2 * per; i++) {
        int64_t r = i % per;
        out->surface += ring[i];
        if (r == ball->rings) out->beyond += ring[i];
        sum += (double)ring[i] * (r == ball->rings ? ball->reach_um : ball->um[r]);
    }
    if (!out->surface) return;
    out->mean_um = sum / (double)out->surface;
    out->hausdorff95_um = fmax(within(ring, ball, 0.95), within(ring + per, ball, 0.95));
    out->hausdorff_um = fmax(within(ring, ball, 1.0), within(ring + per, ball, 1.0));
}

bool clm_overlap_sum(const clm_work *w, const clm_label_count *row, int64_t n, const clm_ball *ball,
                     clm_label_sum *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t *ring = ball ? clm_take_zero(w->temp, int64_t, 2 * (ball->rings + 1), err) : NULL;
    if (ball && !ring) return false;
    *out = (clm_label_sum){.mean_um = NAN, .hausdorff95_um = NAN, .hausdorff_um = NAN};
    for (int64_t i = 0; i < n; i++) {
        if (row[i].what == CLM_COUNT_FIXED)
            out->fixed += row[i].n;
        else if (row[i].what == CLM_COUNT_MOVING)
            out->moving += row[i].n;
        else if (row[i].what == CLM_COUNT_BOTH)
            out->both += row[i].n;
        else if (ball)
            ring[row[i].what - CLM_COUNT_RING] += row[i].n;
    }
    out->dice = 2.0 * (double)out->both / (double)(out->fixed + out->moving);
    if (ball) sum_distances(ring, ball, out);
    clm_arena_rewind(w->temp, mark);
    return true;
}
