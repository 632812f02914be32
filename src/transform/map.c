#include "collimate/transform/map.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/image/rowmap.h"

#include <math.h>
#include <string.h>

/* ---- building ---- */

static bool room(const clm_map *map, clm_err *err) {
    return map->n < CLM_MAP_STEPS_MAX ||
           clm_fail(err, CLM_E_ARG, "a chain of more than %d steps", CLM_MAP_STEPS_MAX);
}

bool clm_map_add_affine(clm_map *map, const clm_affine *a, clm_err *err) {
    clm_map_step *last = map->n ? &map->step[map->n - 1] : NULL;
    if (last && last->kind == CLM_STEP_AFFINE) {
        last->affine = clm_affine_compose(a, &last->affine);
        return true;
    }
    if (!room(map, err)) return false;
    map->step[map->n++] = (clm_map_step){.affine = *a};
    return true;
}

bool clm_map_add_field(clm_map *map, const clm_vectors *field, clm_err *err) {
    if (!room(map, err)) return false;
    map->step[map->n++] = (clm_map_step){.kind = CLM_STEP_FIELD, .field = *field};
    if (map->cache) clm_vectors_use_cache(field, map->cache);
    return true;
}

bool clm_map_append(clm_map *map, clm_map *from, clm_err *err) {
    for (int i = 0; i < from->n; i++) {
        clm_map_step *s = &from->step[i];
        if (s->kind == CLM_STEP_AFFINE) {
            if (!clm_map_add_affine(map, &s->affine, err)) return false;
            continue;
        }
        if (!room(map, err)) return false;
        map->step[map->n++] = *s;
        s->field = (clm_vectors){.component_axis = 0};
    }
    return true;
}

bool clm_map_turn(clm_map *map, clm_err *err) {
    for (int i = 0; i < map->n; i++) {
        clm_map_step *s = &map->step[i];
        clm_affine back;
        if (s->kind != CLM_STEP_AFFINE) {
            s->kind = s->kind == CLM_STEP_FIELD ? CLM_STEP_FIELD_BACK : CLM_STEP_FIELD;
            continue;
        }
        if (!clm_affine_invert(&s->affine, &back, err)) return false;
        s->affine = back;
    }
    for (int i = 0, j = map->n - 1; i < j; i++, j--) {
        clm_map_step other = map->step[i];
        map->step[i] = map->step[j];
        map->step[j] = other;
    }
    clm_image_frame fixed = map->fixed;
    map->fixed = map->moving;
    map->moving = fixed;
    return true;
}

void clm_map_close(clm_map *map) {
    for (int i = 0; i < map->n; i++) clm_vectors_close(&map->step[i].field);
    clm_cache_close(map->cache);
    memset(map, 0, sizeof *map);
}

uint64_t clm_map_hash(const clm_map *map, uint64_t hash) {
    for (int i = 0; i < map->n; i++) {
        const clm_map_step *s = &map->step[i];
        hash = clm_hash64(hash, &i, sizeof i);
        hash = clm_hash64(hash, &s->kind, sizeof s->kind);
        if (s->kind == CLM_STEP_AFFINE) {
            hash = clm_hash64(hash, s->affine.m, sizeof s->affine.m);
            continue;
        }
        hash = clm_hash64(hash, s->field.shape, sizeof s->field.shape);
        hash = clm_hash64(hash, s->field.spacing_um, sizeof s->field.spacing_um);
        hash = clm_hash64(hash, s->field.origin_um, sizeof s->field.origin_um);
        if (s->field.turned) hash = clm_hash64(hash, s->field.turn, sizeof s->field.turn);
        if (s->field.um_per_unit != 0.0)
            hash = clm_hash64(hash, &s->field.um_per_unit, sizeof s->field.um_per_unit);
    }
    return hash;
}

bool clm_map_stamp(const clm_map *map, uint64_t *stamp, clm_err *err) {
    for (int i = 0; i < map->n; i++)
        for (int k = 0; k < 3; k++) {
            const clm_array *a = map->step[i].field.array[k];
            *stamp *= 0x9e3779b97f4a7c15u; /* the order of the fields matters */
            if (a && !clm_tree_stamp(clm_array_path_of(a), stamp, err)) return false;
        }
    return true;
}

bool clm_map_frame_has(const clm_image_frame *f, const double x[3]) {
    if (!f->shape[0]) return true;
    for (int d = 0; d < 3; d++) {
        double v = (x[d] - f->origin_um[d]) / f->spacing_um[d];
        double reach = f->shape[d] == 1 ? 0.5 + (double)CLM_LANE_SLACK : (double)CLM_LANE_SLACK;
        if (!(v >= -reach && v <= (double)(f->shape[d] - 1) + reach)) return false;
    }
    return true;
}

/* ---- over a box ---- */

/* [field], [field, affine] or [affine]: what the kernels take as it is */
static bool is_plain(const clm_map *map) {
    const clm_map_step *s = map->step;
    bool back = map->n > 0 && s[0].kind == CLM_STEP_FIELD_BACK;
    return map->n == 0 || (map->n == 1 && !back) ||
           (map->n == 2 && s[0].kind == CLM_STEP_FIELD && s[1].kind == CLM_STEP_AFFINE);
}

/* The lattice nodes around a grid, without regard to the lattice's ends. */
static void nodes_around(const clm_vectors *t, const clm_vol *grid, int64_t first[3], int64_t shape[3]) {
    for (int d = 0; d < 3; d++) {
        double last = grid->origin[d] + (double)(grid->shape[d] - 1) * grid->spacing[d];
        double lo = floor((grid->origin[d] - t->origin_um[d]) / t->spacing_um[d] + 1e-9);
        double hi = ceil((last - t->origin_um[d]) / t->spacing_um[d] - 1e-9), n = (double)t->shape[d];
        /* beyond the lattice u is constant: one node there says all */
        lo = fmin(fmax(lo, -1.0), n - 1.0);
        hi = fmax(fmin(hi, n), lo + 1.0);
        first[d] = (int64_t)lo;
        shape[d] = (int64_t)(hi - lo) + 1;
    }
}

double clm_map_nodes(const clm_map *map, const clm_vol *grid) {
    int64_t first[3], shape[3];
    if (!is_plain(map)) return (double)clm_vol_count(grid);
    if (map->n == 0 || map->step[0].kind == CLM_STEP_AFFINE) return 0.0;
    nodes_around(&map->step[0].field, grid, first, shape);
    return (double)shape[0] * (double)shape[1] * (double)shape[2];
}

/* centre of a voxel */
static void place(const clm_vol *g, int64_t z, int64_t y, int64_t x, double at[3]) {
    at[0] = g->origin[0] + (double)z * g->spacing[0];
    at[1] = g->origin[1] + (double)y * g->spacing[1];
    at[2] = g->origin[2] + (double)x * g->spacing[2];
}

static int64_t clamped(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* u on the nodes first .. first+shape of the lattice continued by its border */
static bool read_nodes(const clm_vectors *t, const clm_work *w, const int64_t first[3], clm_field *u,
                       clm_err *err) {
    clm_box box;
    int64_t shape[3];
    bool within = true;
    clm_field part;
    for (int d = 0; d < 3; d++) {
        box.lo[d] = clamped(first[d], t->shape[d]);
        box.hi[d] = clamped(first[d] + u->shape[d] - 1, t->shape[d]) + 1;
        shape[d] = box.hi[d] - box.lo[d];
        within = within && shape[d] == u->shape[d];
    }
    if (within) return clm_vectors_read(t, box, u, err);
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = clm_field_new(w->temp, shape, t->spacing_um, t->origin_um, &part, err) &&
              clm_vectors_read(t, box, &part, err);
    for (int64_t z = 0, n = 0; ok && z < u->shape[0]; z++)
        for (int64_t y = 0; y < u->shape[1]; y++) {
            int64_t pz = clamped(first[0] + z - box.lo[0], shape[0]),
                    py = clamped(first[1] + y - box.lo[1], shape[1]), row = (pz * shape[1] + py) * shape[2];
            for (int64_t x = 0; x < u->shape[2]; x++, n++) {
                int64_t from = row + clamped(first[2] + x - box.lo[2], shape[2]);
                for (int c = 0; c < 3; c++) u->u[c][n] = part.u[c][from];
            }
        }
    clm_arena_rewind(w->temp, m);
    return ok;
}

static bool plain_over(const clm_map *map, const clm_work *w, const clm_vol *grid, clm_affine *a,
                       clm_field *u, bool *has_field, clm_err *err) {
    int64_t first[3], shape[3];
    double origin[3];
    *has_field = map->n > 0 && map->step[0].kind == CLM_STEP_FIELD;
    *a = CLM_AFFINE_IDENTITY;
    if (map->n > 0 && map->step[map->n - 1].kind == CLM_STEP_AFFINE) *a = map->step[map->n - 1].affine;
    if (!*has_field) return true;
    const clm_vectors *t = &map->step[0].field;
    nodes_around(t, grid, first, shape);
    for (int d = 0; d < 3; d++) origin[d] = t->origin_um[d] + (double)first[d] * t->spacing_um[d];
    if (!clm_field_new(w->keep, shape, t->spacing_um, origin, u, err) || !read_nodes(t, w, first, u, err))
        return false;
    /* reading may place it by the clipped box */
    memcpy(u->origin, origin, sizeof origin);
    return true;
}

clm_affine clm_map_affine(const clm_map *map) {
    clm_affine a = CLM_AFFINE_IDENTITY;
    for (int i = 0; i < map->n; i++)
        if (map->step[i].kind == CLM_STEP_AFFINE) a = clm_affine_compose(&map->step[i].affine, &a);
    return a;
}

bool clm_map_at(const clm_map *map, const clm_work *w, const clm_vol *grid, double (**u)[3], uint8_t **flags,
                clm_err *err) {
    /* the last affine is never applied: it would only be taken back */
    clm_map lead = *map;
    if (lead.n > 0 && lead.step[lead.n - 1].kind == CLM_STEP_AFFINE) lead.n--;
    lead.moving.shape[0] = 0;
    clm_affine a = clm_map_affine(&lead), back;
    if (!clm_affine_invert(&a, &back, err)) return false;
    int64_t n = clm_vol_count(grid), i = 0;
    double(*x)[3] = clm_arena_take(w->keep, n, sizeof *x, err);
    uint8_t *f = x ? clm_take(w->keep, uint8_t, n, err) : NULL;
    if (!f) return false;
    for (int64_t z = 0; z < grid->shape[0]; z++)
        for (int64_t y = 0; y < grid->shape[1]; y++)
            for (int64_t k = 0; k < grid->shape[2]; k++, i++) place(grid, z, y, k, x[i]);
    if (!clm_map_points(&lead, w, n, x, f, err)) return false;
    i = 0;
    for (int64_t z = 0; z < grid->shape[0]; z++)
        for (int64_t y = 0; y < grid->shape[1]; y++)
            for (int64_t k = 0; k < grid->shape[2]; k++, i++) {
                double at[3], p[3];
                place(grid, z, y, k, at);
                clm_affine_apply(&back, x[i], p);
                for (int d = 0; d < 3; d++) x[i][d] = p[d] - at[d];
            }
    *u = x;
    *flags = f;
    return true;
}

bool clm_map_over(const clm_map *map, const clm_work *w, const clm_vol *grid, clm_affine *a, clm_field *u,
                  bool *has_field, const uint8_t **flags, clm_err *err) {
    *flags = NULL;
    if (is_plain(map)) return plain_over(map, w, grid, a, u, has_field, err);
    /* the affines' product carries what is large, so that float u keeps what is small */
    clm_work flip = clm_work_flip(w);
    uint8_t *found, *kept = clm_take(w->keep, uint8_t, clm_vol_count(grid), err);
    double(*wide)[3];
    *a = clm_map_affine(map);
    *has_field = true;
    if (!kept || !clm_field_new(w->keep, grid->shape, grid->spacing, grid->origin, u, err)) return false;
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = clm_map_at(map, &flip, grid, &wide, &found, err);
    int64_t n = clm_vol_count(grid);
    for (int64_t i = 0; ok && i < n; i++)
        for (int d = 0; d < 3; d++) u->u[d][i] = (float)wide[i][d];
    if (ok) memcpy(kept, found, (size_t)n);
    clm_arena_rewind(w->temp, m);
    *flags = kept;
    return ok;
}
