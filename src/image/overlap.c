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
    b.um = b.at ? clm_take(w->keep, double, b.n, err) : NULL;
    if (!b.um) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    offset *list = clm_take(w->temp, offset, b.n, err);
    if (!list) return false;
    (void)list_offsets(spacing, reach_um, most, list);
    qsort(list, (size_t)b.n, sizeof *list, by_distance);
    for (int64_t i = 0; i < b.n; i++) {
        memcpy(b.at[i], list[i].at, sizeof b.at[i]);
        b.um[i] = list[i].um;
    }
    clm_arena_rewind(w->temp, mark);
    for (int d = 0; d < 3; d++) b.halo[d] = most[d] + 1;
    *out = b;
    return true;
}

/* ---- the table of labels ---- */

bool clm_overlap_new(clm_arena *a, const clm_ball *ball, clm_overlap *out, clm_err *err) {
    clm_overlap s = {.arena = a, .room = 64, .ranks = ball ? ball->n + 1 : 0};
    s.row = clm_arena_take_zero(a, s.room, sizeof *s.row, err);
    if (s.row && s.ranks) s.rank = clm_arena_take_zero(a, s.ranks, sizeof *s.rank, err);
    if (!s.row || (s.ranks && !s.rank)) return false;
    *out = s;
    return true;
}

static clm_label_sum *place_of(clm_label_sum *row, int64_t room, int64_t label) {
    uint64_t h = (uint64_t)label * 0x9e3779b97f4a7c15u;
    int64_t i = (int64_t)(h >> 20) & (room - 1);
    while (row[i].label && row[i].label != label) i = (i + 1) & (room - 1);
    return &row[i];
}

/* the row of a label, made when it is new; NULL when memory is out */
static clm_label_sum *row_of(clm_overlap *s, int64_t label, clm_err *err) {
    clm_label_sum *r = place_of(s->row, s->room, label);
    if (r->label) return r;
    if (2 * (s->n + 1) > s->room) {
        int64_t room = 2 * s->room;
        clm_label_sum *wider = clm_arena_take_zero(s->arena, room, sizeof *wider, err);
        if (!wider) return NULL;
        for (int64_t i = 0; i < s->room; i++)
            if (s->row[i].label) *place_of(wider, room, s->row[i].label) = s->row[i];
        s->row = wider;
        s->room = room;
        r = place_of(s->row, s->room, label);
    }
    r->label = label;
    s->n++;
    return r;
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

/* the nearest surface voxel of the same label in `other`: its offset's number, ball->n when there is none */
static int64_t nearest(const side *other, const int64_t shape[3], const int64_t at[3], int64_t label,
                       const clm_ball *ball) {
    for (int64_t i = 0; i < ball->n; i++) {
        int64_t z = at[0] + ball->at[i][0], y = at[1] + ball->at[i][1], x = at[2] + ball->at[i][2];
        if (z < 0 || y < 0 || x < 0 || z >= shape[0] || y >= shape[1] || x >= shape[2]) continue;
        int64_t o = (z * shape[1] + y) * shape[2] + x;
        if (other->surface[o] && other->label[o] == label) return i;
    }
    return ball->n;
}

static void add_distance(clm_overlap *s, clm_label_sum *r, const clm_ball *ball, int64_t found) {
    double um = found < ball->n ? ball->um[found] : ball->reach_um;
    s->rank[found]++;
    r->surface++;
    r->beyond += found == ball->n;
    r->distance += (int64_t)floor(um / CLM_DISTANCE_UNIT + 0.5);
}

static bool add_voxel(clm_overlap *s, const side v[2], const int64_t shape[3], const int64_t at[3],
                      const clm_ball *ball, clm_err *err) {
    int64_t i = (at[0] * shape[1] + at[1]) * shape[2] + at[2];
    for (int k = 0; k < 2; k++) {
        int64_t label = v[k].label[i];
        if (!label) continue;
        clm_label_sum *r = row_of(s, label, err);
        if (!r) return false;
        if (k)
            r->moving++;
        else
            r->fixed++, r->both += v[1].label[i] == label;
        if (ball && v[k].surface[i]) add_distance(s, r, ball, nearest(&v[!k], shape, at, label, ball));
    }
    return true;
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

bool clm_overlap_merge(clm_overlap *into, const clm_overlap *part, clm_err *err) {
    for (int64_t i = 0; i < part->room; i++) {
        const clm_label_sum *p = &part->row[i];
        clm_label_sum *r = p->label ? row_of(into, p->label, err) : NULL;
        if (p->label && !r) return false;
        if (!r) continue;
        r->fixed += p->fixed, r->moving += p->moving, r->both += p->both;
        r->surface += p->surface, r->beyond += p->beyond, r->distance += p->distance;
    }
    for (int64_t i = 0; i < into->ranks; i++) into->rank[i] += part->rank[i];
    return true;
}

static int by_label(const void *a, const void *b) {
    int64_t p = ((const clm_label_sum *)a)->label, q = ((const clm_label_sum *)b)->label;
    return (p > q) - (p < q);
}

bool clm_overlap_list(const clm_overlap *s, clm_arena *a, clm_label_sum **out, clm_err *err) {
    clm_label_sum *list = clm_take(a, clm_label_sum, s->n + 1, err);
    int64_t n = 0;
    if (!list) return false;
    for (int64_t i = 0; i < s->room; i++)
        if (s->row[i].label) list[n++] = s->row[i];
    qsort(list, (size_t)n, sizeof *list, by_label);
    *out = list;
    return true;
}

double clm_label_distance(const clm_label_sum *r) {
    return r->surface ? (double)r->distance * CLM_DISTANCE_UNIT / (double)r->surface : (double)NAN;
}

double clm_overlap_percentile(const clm_overlap *s, const clm_ball *ball, double part) {
    int64_t all = 0, seen = 0;
    for (int64_t i = 0; i < s->ranks; i++) all += s->rank[i];
    int64_t want = (int64_t)ceil(part * (double)all);
    if (!all) return NAN;
    for (int64_t i = 0; i < ball->n; i++) {
        seen += s->rank[i];
        if (seen >= want && seen) return ball->um[i];
    }
    return INFINITY;
}
