#include "collimate/job/map.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/image/rowmap.h"
#include "collimate/job/align_run.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define AFFINE_BYTES_MAX ((size_t)1 << 20)

/* ---- building ---- */

static bool room(const clm_map *map, clm_err *err) {
    return map->n < CLM_MAP_STEPS_MAX ||
           clm_fail(err, CLM_E_ARG, "a chain of more than %d steps", CLM_MAP_STEPS_MAX);
}

bool clm_map_add_affine(clm_map *map, const clm_affine *a, clm_err *err) {
    clm_map_step *last = map->n ? &map->step[map->n - 1] : NULL;
    if (last && !last->is_field) {
        last->affine = clm_affine_compose(a, &last->affine);
        return true;
    }
    if (!room(map, err)) return false;
    map->step[map->n++] = (clm_map_step){.affine = *a};
    return true;
}

bool clm_map_add_field(clm_map *map, const clm_transform *field, clm_err *err) {
    if (!room(map, err)) return false;
    map->step[map->n++] = (clm_map_step){.is_field = true, .field = *field};
    return true;
}

/* ---- opening ---- */

static bool affine_of_json(const char *path, clm_affine *out, clm_err *err) {
    clm_json *v = NULL;
    if (!clm_json_read(path, &v, err)) return false;
    const clm_json *rows = clm_json_get(v, "affine");
    bool ok = clm_json_size(rows) == 3 || clm_json_size(rows) == 4;
    for (int i = 0; ok && i < 3; i++) ok = clm_json_numbers(clm_json_at(rows, i), 4, out->m[i]);
    clm_json_free(v);
    return ok || clm_fail(err, CLM_E_FORMAT, "%s: affine: must be 3 rows of 4 numbers, z y x", path);
}

/* The next number of a text, which ends at a blank, comma or comment; false at the end of it or on junk. */
static bool next_number(char **at, double *out, int *line) {
    char *p = *at;
    for (;; p++) {
        if (*p == '#')
            while (*p && *p != '\n') p++;
        if (*p == '\n') ++*line;
        if (!isspace((unsigned char)*p) && *p != ',') break;
    }
    char *end = p, was;
    while (*end && !isspace((unsigned char)*end) && *end != ',' && *end != '#') end++;
    was = *end;
    *end = 0;
    bool ok = end > p && clm_text_real(p, out);
    *end = was;
    *at = ok ? end : p;
    return ok;
}

static bool affine_of_text(const char *path, clm_affine *out, clm_err *err) {
    clm_buf b = {0};
    double v[17];
    int n = 0, line = 1;
    if (!clm_file_read(path, AFFINE_BYTES_MAX, &b, err)) return false;
    char *at = (char *)b.data;
    while (n < 17 && next_number(&at, &v[n], &line)) n++;
    bool ok = true;
    if (n < 17 && *at) ok = clm_fail(err, CLM_E_FORMAT, "%s:%d: \"%.20s\" is not a number", path, line, at);
    if (ok && n != 12 && n != 16)
        ok = clm_fail(err, CLM_E_FORMAT, "%s: %d numbers; an affine has 3 x 4 or 4 x 4 (z y x, micrometres)",
                      path, n);
    if (ok && n == 16 && !(v[12] == 0 && v[13] == 0 && v[14] == 0 && v[15] == 1))
        ok = clm_fail(err, CLM_E_FORMAT, "%s: the last of 4 rows must be 0 0 0 1", path);
    if (ok) memcpy(out->m, v, sizeof out->m);
    clm_buf_free(&b);
    return ok;
}

static bool add_file(clm_map *map, const char *path, clm_err *err) {
    clm_affine a;
    bool json = clm_text_ends(path, ".json");
    return (json ? affine_of_json(path, &a, err) : affine_of_text(path, &a, err)) &&
           clm_map_add_affine(map, &a, err);
}

static bool add_scene(clm_map *map, const char *path, bool first, clm_err *err) {
    clm_transform t;
    if (!clm_transform_open(path, false, &t, err)) return false;
    if (first) map->fixed = t.fixed;
    map->moving = t.moving;
    if (t.field) {
        if (map->cache) clm_array_use_cache(t.field, map->cache);
        if (!clm_map_add_field(map, &t, err)) {
            clm_transform_close(&t);
            return false;
        }
        return clm_map_add_affine(map, &t.affine, err);
    }
    bool ok = clm_map_add_affine(map, &t.affine, err);
    clm_transform_close(&t);
    return ok;
}

static bool add_path(clm_map *map, const char *path, bool first, clm_err *err) {
    char job[CLM_PATH_MAX], scene[CLM_PATH_MAX], meta[CLM_PATH_MAX];
    clm_path_kind kind = clm_path_kind_of(path);
    if (kind == CLM_PATH_NONE) return clm_fail(err, CLM_E_NOTFOUND, "%s: no such transform", path);
    map->moving = (clm_image_frame){.shape = {0}};
    if (kind != CLM_PATH_FOLDER) return add_file(map, path, err);
    if (!clm_path_join(job, path, "job.json", err) || !clm_path_join(scene, path, CLM_RUN_TRANSFORM, err) ||
        !clm_path_join(meta, scene, "zarr.json", err))
        return false;
    if (clm_path_kind_of(job) != CLM_PATH_FILE) return add_scene(map, path, first, err);
    if (clm_path_kind_of(meta) != CLM_PATH_FILE)
        return clm_fail(
            err, CLM_E_NOTFOUND,
            "%s: a run that is not finished: it has no transform yet; collimate status tells more", path);
    return add_scene(map, scene, first, err) || clm_err_in(err, "%s: is the run finished?", path);
}

bool clm_map_open(const char *const *paths, int n, size_t cache_bytes, clm_map *out, clm_err *err) {
    memset(out, 0, sizeof *out);
    bool ok = cache_bytes == 0 || clm_cache_open(cache_bytes, &out->cache, err);
    for (int i = 0; ok && i < n; i++) ok = add_path(out, paths[i], i == 0, err);
    if (!ok) clm_map_close(out);
    return ok;
}

void clm_map_close(clm_map *map) {
    for (int i = 0; i < map->n; i++)
        if (map->step[i].is_field) clm_transform_close(&map->step[i].field);
    clm_cache_close(map->cache);
    memset(map, 0, sizeof *map);
}

uint64_t clm_map_hash(const clm_map *map, uint64_t hash) {
    for (int i = 0; i < map->n; i++) {
        const clm_map_step *s = &map->step[i];
        hash = clm_hash64(hash, &i, sizeof i);
        if (!s->is_field) {
            hash = clm_hash64(hash, s->affine.m, sizeof s->affine.m);
            continue;
        }
        hash = clm_hash64(hash, s->field.shape, sizeof s->field.shape);
        hash = clm_hash64(hash, s->field.spacing_um, sizeof s->field.spacing_um);
        hash = clm_hash64(hash, s->field.origin_um, sizeof s->field.origin_um);
    }
    return hash;
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
    return map->n == 0 || map->n == 1 || (map->n == 2 && map->step[0].is_field && !map->step[1].is_field);
}

/* The lattice nodes around a grid, without regard to the lattice's ends. */
static void nodes_around(const clm_transform *t, const clm_vol *grid, int64_t first[3], int64_t shape[3]) {
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
    if (map->n == 0 || !map->step[0].is_field) return 0.0;
    nodes_around(&map->step[0].field, grid, first, shape);
    return (double)shape[0] * (double)shape[1] * (double)shape[2];
}

static int64_t clamped(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* u on the nodes first .. first+shape of the lattice continued by its border */
static bool read_nodes(const clm_transform *t, const clm_work *w, const int64_t first[3], clm_field *u,
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
    if (within) return clm_transform_read(t, box, u, err);
    clm_mark m = clm_arena_mark(w->temp);
    bool ok = clm_field_new(w->temp, shape, t->spacing_um, t->origin_um, &part, err) &&
              clm_transform_read(t, box, &part, err);
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
    *has_field = map->n > 0 && map->step[0].is_field;
    *a = map->n > 0 && !map->step[map->n - 1].is_field ? map->step[map->n - 1].affine : CLM_AFFINE_IDENTITY;
    if (!*has_field) return true;
    const clm_transform *t = &map->step[0].field;
    nodes_around(t, grid, first, shape);
    for (int d = 0; d < 3; d++) origin[d] = t->origin_um[d] + (double)first[d] * t->spacing_um[d];
    if (!clm_field_new(w->keep, shape, t->spacing_um, origin, u, err) || !read_nodes(t, w, first, u, err))
        return false;
    /* reading may place it by the clipped box */
    memcpy(u->origin, origin, sizeof origin);
    return true;
}

bool clm_map_over(const clm_map *map, const clm_work *w, const clm_vol *grid, clm_affine *a, clm_field *u,
                  bool *has_field, clm_err *err) {
    if (is_plain(map)) return plain_over(map, w, grid, a, u, has_field, err);
    /* the affines' product carries what is large, so that float u keeps what is small */
    clm_affine back;
    *a = CLM_AFFINE_IDENTITY;
    *has_field = true;
    for (int i = 0; i < map->n; i++)
        if (!map->step[i].is_field) *a = clm_affine_compose(&map->step[i].affine, a);
    if (!clm_affine_invert(a, &back, err) ||
        !clm_field_new(w->keep, grid->shape, grid->spacing, grid->origin, u, err))
        return false;
    clm_mark m = clm_arena_mark(w->temp);
    int64_t n = clm_vol_count(grid), i = 0;
    double(*x)[3] = clm_arena_take(w->temp, n, sizeof *x, err);
    uint8_t *flags = x ? clm_take(w->temp, uint8_t, n, err) : NULL;
    if (!flags) return false;
    for (int64_t z = 0; z < grid->shape[0]; z++)
        for (int64_t y = 0; y < grid->shape[1]; y++)
            for (int64_t k = 0; k < grid->shape[2]; k++, i++) {
                const int64_t at[3] = {z, y, k};
                for (int d = 0; d < 3; d++) x[i][d] = grid->origin[d] + (double)at[d] * grid->spacing[d];
            }
    bool ok = clm_map_points(map, w, n, x, flags, err);
    for (i = 0; ok && i < n; i++) {
        const int64_t at[3] = {i / (grid->shape[1] * grid->shape[2]), i / grid->shape[2] % grid->shape[1],
                               i % grid->shape[2]};
        double p[3];
        clm_affine_apply(&back, x[i], p);
        for (int d = 0; d < 3; d++)
            u->u[d][i] = (float)(p[d] - (grid->origin[d] + (double)at[d] * grid->spacing[d]));
    }
    clm_arena_rewind(w->temp, m);
    return ok;
}
