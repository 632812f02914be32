#include "evaluate_parts.h"
#include "collimate/base/file.h"
#include "collimate/store/ome.h"

#include <math.h>
#include <string.h>

/* ---- parts on disk ---- */

int clm_evaluate_stage_of(const clm_evaluate *e, clm_evaluate_kind kind) {
    for (int k = 0; k < e->plan.n_stages; k++)
        if (e->kind[k] == kind) return k;
    return -1;
}

static bool part_path(const clm_evaluate *e, int stage, int64_t index, char path[CLM_PATH_MAX],
                      clm_err *err) {
    return clm_path_format(path, err, "%s/part/%s.%lld", e->spec.folder, e->stage[stage].name,
                           (long long)index);
}

bool clm_evaluate_put(const clm_evaluate *e, int stage, int64_t index, const clm_section *s, int n,
                      clm_err *err) {
    char path[CLM_PATH_MAX];
    return part_path(e, stage, index, path, err) &&
           clm_spill_put(path, e->plan.hash, stage, index, s, n, err);
}

bool clm_evaluate_get(const clm_evaluate *e, clm_evaluate_kind kind, int64_t index, clm_arena *a,
                      clm_spill *out, clm_err *err) {
    char path[CLM_PATH_MAX];
    return part_path(e, clm_evaluate_stage_of(e, kind), index, path, err) &&
           clm_spill_read(path, e->plan.hash, a, out, err);
}

static bool name_section(clm_section *s, const char *name) {
    size_t n = strlen(name);
    if (n >= sizeof s->name) return false;
    memset(s->name, 0, sizeof s->name);
    memcpy(s->name, name, n);
    return true;
}

bool clm_sparse_of(clm_arena *a, const char *name, const int64_t *v, int64_t n, clm_section *out,
                   clm_err *err) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += v[i] != 0;
    int64_t(*pair)[2] = clm_arena_take(a, count + 1, sizeof *pair, err);
    if (!pair) return false;
    *out = (clm_section){.dtype = CLM_I64, .shape = {1, 1, count, 2}, .data = pair};
    for (int64_t i = 0, k = 0; i < n; i++)
        if (v[i]) pair[k][0] = i, pair[k++][1] = v[i];
    return name_section(out, name) || clm_fail(err, CLM_E_ARG, "a section's name \"%s\" is too long", name);
}

bool clm_sparse_add(const clm_spill *s, const char *name, int64_t *v, int64_t n, clm_err *err) {
    const clm_section *c = clm_spill_find(s, name);
    bool ok = c && c->dtype == CLM_I64 && c->shape[3] == 2;
    const int64_t *pair = ok ? c->data : NULL;
    for (int64_t i = 0; ok && i < c->shape[2]; i++, pair += 2) {
        ok = pair[0] >= 0 && pair[0] < n;
        if (ok) v[pair[0]] += pair[1];
    }
    return ok || clm_fail(err, CLM_E_FORMAT, "a part of the evaluation lacks %s", name);
}

bool clm_bytes_of(const clm_spill *s, const char *name, void *out, size_t n, clm_err *err) {
    const clm_section *c = clm_spill_find(s, name);
    if (!c || (size_t)clm_section_count(c) * clm_dtype_size(c->dtype) != n)
        return clm_fail(err, CLM_E_FORMAT, "a part of the evaluation lacks %s", name);
    memcpy(out, c->data, n);
    return true;
}

void clm_evaluate_share(const clm_evaluate *e, clm_evaluate_kind kind, int64_t index, int64_t *first,
                        int64_t *last) {
    int64_t n = e->blocks[kind].n;
    if (kind == CLM_EVALUATE_RANGE || kind == CLM_EVALUATE_RANGE_FINE) n += e->moving_blocks.n;
    *first = index * e->per_task[kind];
    *last = *first + e->per_task[kind] < n ? *first + e->per_task[kind] : n;
}

/* ---- the maps ---- */

static bool wanted(const clm_evaluate *e, int map) {
    if (!e->spec.maps) return false;
    if (map == CLM_MAP_NCC_BEFORE) return e->has_images && e->moving;
    if (map == CLM_MAP_NCC_AFTER) return e->has_images && (e->aligned || e->has_map);
    return e->has_field;
}

static bool map_path(const clm_evaluate *e, int map, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(path, err, "%s/%s.ome.zarr", e->spec.maps, clm_evaluate_map_name[map]);
}

/* the array of a map and where it stands */
static void lay_map(const clm_evaluate *e, int map, clm_array_spec *s, clm_level_spec *level) {
    static const char *const axes[3] = {"z", "y", "x"};
    bool image = map == CLM_MAP_NCC_BEFORE || map == CLM_MAP_NCC_AFTER, cells = map == CLM_MAP_JACOBIAN;
    const clm_grid *g = &e->blocks[image ? CLM_EVALUATE_IMAGES : CLM_EVALUATE_FIELD];
    *s = (clm_array_spec){.format = CLM_FORMAT_ZARR3, .ndim = 3, .dtype = CLM_F32, .fill = NAN};
    *level = (clm_level_spec){.path = "s0"};
    for (int d = 0; d < 3; d++) {
        s->shape[d] = cells ? clm_jacobian_cell_count(g->extent[d]) : g->extent[d];
        s->chunk[d] = g->block[d];
        s->axes[d] = axes[d];
        level->spacing_um[d] = image ? e->fixed_view.spacing[d] : e->lattice.spacing[d];
        level->origin_um[d] = image ? e->fixed_view.origin[d] : e->lattice.origin[d];
        if (cells && g->extent[d] > 1) level->origin_um[d] += 0.5 * level->spacing_um[d];
    }
}

bool clm_evaluate_maps_create(const clm_evaluate *e, clm_err *err) {
    char path[CLM_PATH_MAX], array[CLM_PATH_MAX];
    clm_array_spec s;
    clm_level_spec level;
    for (int k = 0; k < CLM_EVALUATE_MAPS; k++) {
        clm_array *a = NULL;
        if (!wanted(e, k)) continue;
        lay_map(e, k, &s, &level);
        if (!map_path(e, k, path, err) || !clm_path_join(array, path, "s0", err) ||
            !clm_array_create(array, &s, &a, err))
            return clm_err_in(err, "--maps");
        clm_array_close(a);
    }
    return true;
}

bool clm_evaluate_maps_open(clm_evaluate *e, clm_err *err) {
    char path[CLM_PATH_MAX], array[CLM_PATH_MAX];
    for (int k = 0; k < CLM_EVALUATE_MAPS; k++)
        if (wanted(e, k) && !e->maps[k] &&
            (!map_path(e, k, path, err) || !clm_path_join(array, path, "s0", err) ||
             !clm_array_open_write(array, &e->maps[k], err)))
            return false;
    return true;
}

bool clm_evaluate_maps_finish(const clm_evaluate *e, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array_spec s;
    clm_level_spec level;
    for (int k = 0; k < CLM_EVALUATE_MAPS; k++) {
        if (!wanted(e, k)) continue;
        lay_map(e, k, &s, &level);
        if (!map_path(e, k, path, err) ||
            !clm_ome_write_pyramid(
                path,
                &(clm_pyramid_spec){
                    .format = CLM_FORMAT_ZARR3, .name = clm_evaluate_map_name[k], .levels = &level, .n = 1},
                err))
            return false;
    }
    return true;
}

bool clm_evaluate_put_map(const clm_evaluate *e, clm_evaluate_map which, const int64_t at[3],
                          const float *values, clm_err *err) {
    return !e->maps[which] || clm_array_put_chunk(e->maps[which], at, values, err);
}
