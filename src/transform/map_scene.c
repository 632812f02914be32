/* Any way through the graph of an OME-Zarr store, between systems of three axes, as the steps of a map. */
#include "collimate/transform/map.h"
#include "collimate/store/scale.h"
#include "collimate/transform/graph.h"
#include "collimate/transform/transform.h"

#include <string.h>

/* ---- the world's z y x micrometres and a system's axes and units ---- */

/* Which of z y x each axis is, by name; a system whose names are others counts as z y x. */
static void order_of(int n, const clm_graph_axis *axes, int order[3]) {
    static const char letters[] = "zyx";
    bool seen[3] = {false};
    for (int i = 0; i < 3; i++) {
        const char *name = n == 3 ? axes[i].name : "";
        const char *at = name[0] && !name[1] ? strchr(letters, name[0] | 32) : NULL;
        order[i] = at ? (int)(at - letters) : -1;
        if (at) seen[order[i]] = true;
    }
    for (int i = 0; i < 3; i++)
        if (!(seen[0] && seen[1] && seen[2])) order[i] = i;
}

static bool world_to_system(const clm_graph *s, int system, const char *name, clm_affine *out, clm_err *err) {
    const clm_graph_axis *axes;
    int n = clm_graph_axes(s, system, &axes), order[3];
    if (n >= 0 && n != 3)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "%s has %d axes, where 3 are wanted; transform-points takes any", name, n);
    order_of(n, axes, order);
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 3; i++) {
        double um = 1.0;
        if (n == 3 && axes[i].unit[0] && !clm_unit_um(axes[i].unit, &um))
            return clm_fail(err, CLM_E_FORMAT, "%s: axis %s: unit %s is no length", name, axes[i].name,
                            axes[i].unit);
        out->m[i][order[i]] = 1.0 / um;
    }
    return true;
}

/* ---- transformations ---- */

static bool add_any(clm_map *map, const clm_tform *t, bool back, clm_err *err);

static bool add_field(clm_map *map, const clm_nfield *f, bool back, clm_err *err) {
    clm_vectors v = {.component_axis = f->axis, .positions = f->positions};
    const char *path = clm_array_path_of(f->array);
    if (f->order != 1)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: only linear interpolation; transform-points takes any",
                        path);
    if (f->n != 3 || f->m != 3 || (f->axis != 0 && f->axis != 3))
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "%s: its vectors must be three numbers, on the first or last axis", path);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            if (i == j ? !(f->to_node[4 * i] > 0.0) : f->to_node[3 * i + j] != 0.0)
                return clm_fail(err, CLM_E_UNSUPPORTED, "%s: its lattice is turned or sheared", path);
        v.shape[i] = f->shape[i];
        v.spacing_um[i] = 1.0 / f->to_node[4 * i];
        v.origin_um[i] = f->origin[i];
    }
    if (!clm_array_open(path, &v.array[0], err)) return false; /* the scene's own closes with it */
    if (clm_vectors_check(&v, err) && clm_map_add_field(map, &v, err)) {
        if (back) map->step[map->n - 1].kind = CLM_STEP_FIELD_BACK;
        return true;
    }
    clm_vectors_close(&v);
    return false;
}

static bool add_any(clm_map *map, const clm_tform *t, bool back, clm_err *err) {
    clm_affine a;
    const clm_tform *part;
    bool turned;
    if (clm_tform_affine(t, back, 3, a.m[0])) return clm_map_add_affine(map, &a, err);
    switch (t->kind) {
    case CLM_TFORM_CHAIN:
        for (int k = 0; k < t->n; k++)
            if (!add_any(map, t->part[back ? t->n - 1 - k : k], back, err)) return false;
        return true;
    case CLM_TFORM_PAIR: part = clm_tform_side(t, back, &turned); return add_any(map, part, turned, err);
    case CLM_TFORM_TURNED: return add_any(map, t->part[0], !back, err);
    case CLM_TFORM_FIELD: return add_field(map, t->field, back, err);
    default: return clm_fail(err, CLM_E_UNSUPPORTED, "%s: neither affine nor a field of three axes", t->type);
    }
}

/* The grid of the image that a system belongs to. A system of no image, or of one without a grid, has none; a grid
 * that could not be read is an error. */
static bool place(const clm_graph *s, int system, clm_image_frame *out, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_err why = CLM_ERR_NONE;
    if (!clm_graph_node(s, system, path, err)) return false;
    if (clm_ome_read_frame(path, out, &why) || why.code == CLM_E_FORMAT || why.code == CLM_E_ARG) return true;
    *err = why;
    return false;
}

/* The usual axes and units take no step. */
static bool add_affine(clm_map *map, const clm_affine *a, clm_err *err) {
    bool same = true;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) same = same && a->m[i][j] == (i == j ? 1.0 : 0.0);
    return same || clm_map_add_affine(map, a, err);
}

static bool add_way(clm_map *map, clm_graph *s, const char *source, const char *target, bool back_way,
                    clm_err *err) {
    clm_route way;
    clm_affine to_from, to_to, back;
    int from, to;
    bool given = source != NULL;
    if (given ? !clm_graph_find(s, source, &from, err) || !clm_graph_find(s, target, &to, err)
              : !clm_graph_first(s, &from, &to, err))
        return false;
    if (back_way) {
        const char *name = source;
        int system = from;
        from = to, to = system;
        source = target, target = name;
    }
    if (!clm_graph_route(s, from, to, &way, err) ||
        !world_to_system(s, from, given ? source : "the scene's input", &to_from, err) ||
        !world_to_system(s, to, given ? target : "the scene's output", &to_to, err) ||
        !clm_affine_invert(&to_to, &back, err) || !add_affine(map, &to_from, err))
        return false;
    for (int i = 0; i < way.n; i++)
        if (!add_any(map, way.hop[i], way.back[i], err)) return false;
    return place(s, from, &map->fixed, err) && place(s, to, &map->moving, err) && add_affine(map, &back, err);
}

bool clm_map_add_scene(clm_map *map, const char *store, const char *source, const char *target, bool back,
                       clm_err *err) {
    clm_graph *s = NULL;
    bool ok = clm_graph_open(store, NULL, &s, err) && add_way(map, s, source, target, back, err);
    clm_graph_close(s);
    return ok;
}
