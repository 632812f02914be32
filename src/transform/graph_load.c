#include "collimate/base/file.h"
#include "collimate/store/node.h"
#include "graph_parts.h"

#include <string.h>

#define CHILDREN_MAX 1024

static const char *keep_text(clm_graph *s, const char *text, clm_err *err) {
    size_t n = strlen(text) + 1;
    char *copy = clm_take(s->arena, char, (int64_t)n, err);
    if (copy) memcpy(copy, text, n);
    return copy;
}

static int find_system(const clm_graph *s, const char *path, const char *name) {
    for (int i = 0; i < s->n_systems; i++)
        if (strcmp(s->system[i].path, path) == 0 && strcmp(s->system[i].name, name) == 0) return i;
    return -1;
}

int clm_graph_system(clm_graph *s, const char *path, const char *name, clm_err *err) {
    int i = find_system(s, path, name);
    if (i >= 0) return i;
    if (s->n_systems == CLM_SYSTEMS_MAX) {
        clm_fail(err, CLM_E_UNSUPPORTED, "more than %d coordinate systems", CLM_SYSTEMS_MAX);
        return -1;
    }
    clm_system *new = &s->system[s->n_systems];
    *new = (clm_system){.n = -1, .path = keep_text(s, path, err), .name = keep_text(s, name, err)};
    return new->path &&new->name ? s->n_systems++ : -1;
}

static bool add_edge(clm_graph *s, const clm_json *v, const char *group, int from, int to, clm_err *err) {
    if (from < 0 || to < 0) return false;
    if (s->n_edges == CLM_EDGES_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "more than %d transformations", CLM_EDGES_MAX);
    s->edge[s->n_edges++] = (clm_edge){.v = v, .group = group, .from = from, .to = to};
    return true;
}

/* ---- systems ---- */

static const char *text_of(const clm_json *v, const char *key) {
    const char *text = clm_json_text(clm_json_get(v, key));
    return text ? text : "";
}

/* axes: objects, or, before 0.4, names */
static bool declare(clm_graph *s, const char *path, const char *name, const clm_json *axes, clm_err *err) {
    int i = clm_graph_system(s, path, name, err), n = 0;
    if (i < 0) return false;
    clm_system *y = &s->system[i];
    if (clm_json_size(axes) > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "coordinate system \"%.60s\": %d axes", name,
                        (int)clm_json_size(axes));
    for (const clm_json *k = clm_json_first(axes); k; k = clm_json_next(k), n++) {
        const char *plain = clm_json_text(k);
        y->axis[n] = (clm_graph_axis){.name = plain ? plain : text_of(k, "name"),
                                      .type = text_of(k, "type"),
                                      .unit = text_of(k, "unit")};
        y->axis_name[n] = y->axis[n].name;
    }
    y->declared = true;
    y->n = n > 0 ? n : -1;
    return true;
}

static bool declare_all(clm_graph *s, const char *path, const clm_json *list, clm_err *err) {
    int i = 0;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k), i++) {
        const char *name = clm_json_text(clm_json_get(k, "name"));
        if (!name) return clm_fail(err, CLM_E_FORMAT, "coordinateSystems[%d].name: is missing", i);
        if (!declare(s, path, name, clm_json_get(k, "axes"), err)) return false;
    }
    return true;
}

/* What "input" or "output" means, said by the node at `path`; otherwise: where nothing is said, -1 none. An object's
 * path leads to another node; a text, as drafts had it, is a name here or else a path. */
static int resolve(clm_graph *s, const char *path, const clm_json *ref, const char *key, int otherwise,
                   clm_err *err) {
    char below[CLM_PATH_MAX];
    const char *text = clm_json_text(ref), *to = clm_json_text(clm_json_get(ref, "path")),
               *name = clm_json_text(clm_json_get(ref, "name"));
    if (text) {
        if (find_system(s, path, text) >= 0) return find_system(s, path, text);
        if (!clm_node_below(below, path, text, err)) return -1;
        if (find_system(s, below, "") >= 0) return find_system(s, below, "");
        return clm_graph_system(s, path, text, err);
    }
    if (!to && !name) {
        if (otherwise < 0) clm_fail(err, CLM_E_FORMAT, "%s: names no coordinate system", key);
        return otherwise;
    }
    if (!clm_node_below(below, path, to ? to : "", err)) return -1;
    if (to && !clm_graph_load(s, below, err)) return -1;
    return clm_graph_system(s, below, name ? name : "", err);
}

/* ---- transformations ---- */

static bool connect(clm_graph *s, const char *path, const clm_json *list, clm_err *err) {
    int i = 0;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k), i++) {
        int from = resolve(s, path, clm_json_get(k, "input"), "input", -1, err);
        int to = from < 0 ? -1 : resolve(s, path, clm_json_get(k, "output"), "output", -1, err);
        if (!add_edge(s, k, path, from, to, err)) return clm_err_in(err, "coordinateTransformations[%d]", i);
    }
    return true;
}

/* A dataset's list as one transformation: up to 0.5 it is applied one after the other, then the multiscale's own. */
static const clm_json *one_of(clm_graph *s, const clm_json *list, const clm_json *after, clm_err *err) {
    if (clm_json_size(list) == 1 && !after) return clm_json_first(list);
    clm_loaded *kept = clm_take_zero(s->arena, clm_loaded, 1, err);
    clm_json *whole = kept ? clm_json_new_object(err) : NULL;
    if (!whole) return NULL;
    *kept = (clm_loaded){.path = "/", .attrs = whole, .next = s->loaded}; /* the path of no node */
    s->loaded = kept;
    clm_json_add_text(whole, "type", "sequence");
    clm_json *parts = clm_json_add_list(whole, "transformations");
    const clm_json *lists[2] = {list, after};
    for (int i = 0; i < 2; i++)
        for (const clm_json *k = clm_json_first(lists[i]); k && parts; k = clm_json_next(k)) {
            clm_json *copy = clm_json_copy(k, err);
            if (!copy || !clm_json_put(parts, NULL, copy)) return NULL;
        }
    return parts ? whole : NULL;
}

static bool load_dataset(clm_graph *s, const char *path, const clm_json *dataset, const clm_json *after,
                         int intrinsic, int *to, clm_err *err) {
    char below[CLM_PATH_MAX];
    const char *at = clm_json_text(clm_json_get(dataset, "path"));
    const clm_json *list = clm_json_get(dataset, "coordinateTransformations");
    if (!at) return clm_fail(err, CLM_E_FORMAT, "path: is missing");
    if (!clm_node_below(below, path, at, err)) return false;
    int from = clm_graph_system(s, below, "", err);
    if (from < 0) return false;
    *to = resolve(s, path, clm_json_get(clm_json_first(list), "output"), "output", intrinsic, err);
    if (*to < 0) return false;
    if (!list && !after) return true; /* before 0.4: nothing is said */
    const clm_json *whole = one_of(s, list, after, err);
    return whole && add_edge(s, whole, path, from, *to, err);
}

static bool load_multiscale(clm_graph *s, const char *path, const clm_json *m, clm_err *err) {
    const clm_json *systems = clm_json_get(m, "coordinateSystems"),
                   *after = clm_json_get(m, "coordinateTransformations");
    const clm_json *named = clm_json_get(clm_json_first(after), "output") ? after : NULL;
    const char *own = systems ? clm_json_text(clm_json_get(clm_json_first(systems), "name")) : "";
    if (systems ? !declare_all(s, path, systems, err) : !declare(s, path, "", clm_json_get(m, "axes"), err))
        return false;
    int itself = clm_graph_system(s, path, "", err),
        intrinsic = clm_graph_system(s, path, own ? own : "", err), to = -1;
    if (itself < 0 || intrinsic < 0) return false;
    int i = 0;
    for (const clm_json *d = clm_json_first(clm_json_get(m, "datasets")); d; d = clm_json_next(d), i++) {
        if (!load_dataset(s, path, d, named ? NULL : after, intrinsic, &to, err))
            return clm_err_in(err, "datasets[%d]", i);
        if (i == 0) intrinsic = to;
    }
    if (itself != intrinsic && !add_edge(s, NULL, path, itself, intrinsic, err)) return false;
    return !named || connect(s, path, named, err);
}

/* A draft's array with its own systems: its indices lead to the first of them. */
static bool load_array(clm_graph *s, const char *path, const clm_json *ome, clm_err *err) {
    const clm_json *list = clm_json_get(ome, "coordinateTransformations");
    int itself = clm_graph_system(s, path, "", err), i = 0;
    const char *first =
        clm_json_text(clm_json_get(clm_json_first(clm_json_get(ome, "coordinateSystems")), "name"));
    int own = first ? clm_graph_system(s, path, first, err) : itself;
    if (itself < 0 || own < 0) return false;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k), i++) {
        int from = resolve(s, path, clm_json_get(k, "input"), "input", itself, err);
        int to = from < 0 ? -1 : resolve(s, path, clm_json_get(k, "output"), "output", own, err);
        if ((from < 0 || from != to) && !add_edge(s, k, path, from, to, err))
            return clm_err_in(err, "coordinateTransformations[%d]", i);
    }
    return true;
}

static bool load_ome(clm_graph *s, const char *path, const clm_json *attrs, bool is_array, clm_err *err) {
    const clm_json *ome = clm_json_get(attrs, "ome");
    if (clm_json_kind_of(ome) != CLM_JSON_OBJECT) ome = attrs;
    const clm_json *scene = clm_json_get(ome, "scene"), *many = clm_json_get(ome, "multiscales");
    /* names first: a text refers to them */
    if (!declare_all(s, path, clm_json_get(scene, "coordinateSystems"), err) ||
        !declare_all(s, path, clm_json_get(ome, "coordinateSystems"), err))
        return false;
    int i = 0;
    for (const clm_json *m = clm_json_first(many); m; m = clm_json_next(m), i++)
        if (!load_multiscale(s, path, m, err)) return clm_err_in(err, "multiscales[%d]", i);
    const clm_json *between = clm_json_get(scene, "coordinateTransformations");
    int before = s->n_edges;
    if (!connect(s, path, between, err)) return clm_err_in(err, "scene");
    /* what it refers to was loaded on the way, and has edges of its own */
    for (int k = before; !path[0] && s->first < 0 && k < s->n_edges; k++)
        if (s->edge[k].v == clm_json_first(between)) s->first = k;
    if (is_array) return load_array(s, path, ome, err);
    return connect(s, path, clm_json_get(ome, "coordinateTransformations"), err);
}

bool clm_graph_load(clm_graph *s, const char *path, clm_err *err) {
    char full[CLM_PATH_MAX];
    for (const clm_loaded *l = s->loaded; l; l = l->next)
        if (strcmp(l->path, path) == 0) return true;
    clm_loaded *l = clm_take_zero(s->arena, clm_loaded, 1, err);
    if (!l || !(l->path = keep_text(s, path, err))) return false;
    l->next = s->loaded; /* before what it refers to, which may refer back */
    s->loaded = l;
    if (!clm_path_join(full, s->store, path, err)) return false;
    clm_node_kind kind = clm_path_kind_of(full) == CLM_PATH_FOLDER ? clm_node_kind_of(full) : CLM_NODE_NONE;
    if (kind == CLM_NODE_NONE) /* a scene may come without its images */
        return path[0] || clm_fail(err, CLM_E_NOTFOUND, "%s: no Zarr group", s->store);
    if (!clm_node_attrs(full, &l->attrs, err)) return false;
    return load_ome(s, l->path, l->attrs, clm_node_is_array(kind), err) || clm_err_in(err, "%s", full);
}

bool clm_graph_load_below(clm_graph *s, const char *path, int depth, clm_err *err) {
    char full[CLM_PATH_MAX], child[CLM_PATH_MAX];
    clm_names names = {0};
    clm_err none = CLM_ERR_NONE;
    if (!clm_path_join(full, s->store, path, err)) return false;
    if (!clm_folder_list(full, &names, &none)) return true;
    bool ok = true;
    for (int64_t i = 0; ok && i < (int64_t)names.n && i < CHILDREN_MAX; i++) {
        if (names.name[i][0] == '.' || !clm_node_below(child, path, names.name[i], &none) ||
            !clm_path_join(full, s->store, child, &none) || clm_path_kind_of(full) != CLM_PATH_FOLDER)
            continue;
        clm_node_kind kind = clm_node_kind_of(full);
        if (kind == CLM_NODE_NONE) continue;
        ok = clm_graph_load(s, child, err);
        if (ok && depth > 1 && !clm_node_is_array(kind)) ok = clm_graph_load_below(s, child, depth - 1, err);
    }
    clm_names_free(&names);
    return ok;
}
