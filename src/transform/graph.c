#include "collimate/transform/graph.h"
#include "collimate/base/heap.h"
#include "collimate/store/node.h"
#include "collimate/transform/transform.h"
#include "graph_parts.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES ((size_t)256 << 20)

/* ---- opening ---- */

static bool find_root(const char *store, char root[CLM_PATH_MAX], clm_err *err) {
    if (!clm_path_join(root, store, "", err)) return false;
    const char *name = clm_path_name(store);
    size_t n = strlen(store), tail = strlen(name);
    if (strcmp(name, "zarr.json") != 0 && strcmp(name, ".zattrs") != 0) return true;
    return n == tail ? clm_path_format(root, err, ".")
                     : clm_path_format(root, err, "%.*s", (int)(n - tail > 1 ? n - tail - 1 : 1), store);
}

bool clm_graph_open(const char *store, clm_cache *cache, clm_graph **out, clm_err *err) {
    clm_graph *s = clm_heap_new(1, sizeof *s, err);
    *out = NULL;
    if (!s) return false;
    memset(s, 0, sizeof *s);
    s->first = -1;
    s->same = (clm_tform){.kind = CLM_TFORM_SAME, .type = "identity", .in = -1, .out = -1};
    bool ok = find_root(store, s->store, err) && clm_arena_open(ARENA_BYTES, &s->arena, err);
    s->ground = (clm_tform_ground){.store = s->store, .arena = s->arena, .cache = cache};
    ok = ok && (s->system = clm_take(s->arena, clm_system, CLM_SYSTEMS_MAX, err)) != NULL &&
         (s->edge = clm_take(s->arena, clm_edge, CLM_EDGES_MAX, err)) != NULL && clm_graph_load(s, "", err);
    if (!ok) {
        clm_graph_close(s);
        return false;
    }
    *out = s;
    return true;
}

void clm_graph_close(clm_graph *s) {
    if (!s) return;
    clm_tform_close_fields(&s->ground);
    for (clm_loaded *l = s->loaded; l; l = l->next) clm_json_free(l->attrs);
    clm_arena_close(s->arena);
    clm_heap_free(s);
}

/* ---- names ---- */

typedef struct label {
    char s[CLM_PATH_MAX];
} label;

static label label_of(const clm_system *y) {
    label l;
    (void)snprintf(l.s, sizeof l.s, "%.1500s%s%.1500s", y->path, y->path[0] && y->name[0] ? "#" : "",
                   y->name);
    return l;
}

/* Those called `name`, declared or, with any, only referred to: how many, and the first. */
static int count_named(const clm_graph *s, const char *name, bool any, int *first) {
    int n = 0;
    for (int i = s->n_systems; i-- > 0;) {
        const clm_system *y = &s->system[i];
        if (!name[0] || strcmp(y->name, name) != 0 || !(any || y->declared)) continue;
        *first = i;
        n++;
    }
    return n;
}

static int exact(const clm_graph *s, const char *path, const char *name) {
    for (int i = 0; i < s->n_systems; i++)
        if (strcmp(s->system[i].path, path) == 0 && strcmp(s->system[i].name, name) == 0) return i;
    return -1;
}

static bool not_found(const clm_graph *s, const char *name, bool several, clm_err *err) {
    char list[400] = "";
    size_t at = 0;
    for (int i = 0; i < s->n_systems; i++) {
        const clm_system *y = &s->system[i];
        if (several ? strcmp(y->name, name) != 0 : !y->declared && !y->name[0]) continue;
        label l = label_of(y);
        int n = snprintf(list + at, sizeof list - at, "%s%.80s", at ? ", " : "", l.s);
        if (n < 0 || (size_t)n >= sizeof list - at - 8) {
            (void)snprintf(list + at, sizeof list - at, ", ...");
            break;
        }
        at += (size_t)n;
    }
    if (several)
        return clm_fail(err, CLM_E_ARG, "coordinate system \"%.80s\" could be %s: say which", name, list);
    return clm_fail(err, CLM_E_ARG, "no coordinate system \"%.80s\"; there is %s", name,
                    at ? list : "none at all");
}

/* PATH or PATH#NAME, with what the path leads to loaded first */
static bool find_by_path(clm_graph *s, const char *text, int *system, clm_err *err) {
    char path[CLM_PATH_MAX], parent[CLM_PATH_MAX];
    const char *hash = strrchr(text, '#');
    clm_err none = CLM_ERR_NONE;
    if (!clm_path_format(path, &none, "%.*s", (int)(hash ? (size_t)(hash - text) : strlen(text)), text))
        return true;
    char below[CLM_PATH_MAX];
    if (!clm_node_below(below, "", path, &none) || !clm_node_below(parent, below, "..", &none)) return true;
    if (!clm_graph_load(s, parent, err) || !clm_graph_load(s, below, err)) return false;
    *system = exact(s, below, hash ? hash + 1 : "");
    return true;
}

bool clm_graph_find(clm_graph *s, const char *name, int *system, clm_err *err) {
    int n = 0;
    *system = exact(s, "", name);
    if (*system >= 0 && name[0]) return true;
    for (int pass = 0; pass < 2; pass++) {
        if (pass && !clm_graph_load_below(s, "", 3, err)) return false;
        n = count_named(s, name, false, system);
        if (n == 0) n = count_named(s, name, true, system);
        if (n == 1) return true;
        if (n > 1) return not_found(s, name, true, err);
        *system = -1;
        if (pass == 0 && (!find_by_path(s, name, system, err))) return false;
        if (*system >= 0) return true;
    }
    return not_found(s, name, false, err);
}

int clm_graph_axes(const clm_graph *s, int system, const clm_graph_axis **axes) {
    *axes = s->system[system].axis;
    return s->system[system].n;
}

bool clm_graph_first(const clm_graph *s, int *from, int *to, clm_err *err) {
    if (s->first < 0)
        return clm_fail(err, CLM_E_FORMAT, "%s: no ome.scene.coordinateTransformations", s->store);
    *from = s->edge[s->first].from;
    *to = s->edge[s->first].to;
    return true;
}

bool clm_graph_node(const clm_graph *s, int system, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_join(path, s->store, s->system[system].path, err);
}

/* ---- ways ---- */

static clm_tform_axes axes_of(const clm_system *y) {
    return (clm_tform_axes){.n = y->n, .name = y->declared && y->n > 0 ? y->axis_name : NULL};
}

static const clm_tform *parsed(clm_graph *s, clm_edge *e) {
    if (e->parsed) return e->t;
    e->parsed = true;
    const clm_err none = CLM_ERR_NONE;
    e->why = none;
    if (!e->v) return e->t = &s->same;
    const clm_tform_axes in = axes_of(&s->system[e->from]), out = axes_of(&s->system[e->to]);
    s->ground.group = e->group;
    if (!clm_tform_parse(e->v, &s->ground, &in, &out, &e->t, &e->why)) e->t = NULL;
    return e->t;
}

/* What is known of a system while ways are sought. */
typedef struct reached {
    int64_t cost; /* -1: not reached */
    int edge;     /* by which        */
    bool back;
} reached;

/* what counts most, next, and last */
#define HOP ((int64_t)1 << 40)
#define SOLVED ((int64_t)1 << 20)

static bool blocked(clm_graph *s, int from, int to, const reached *r, clm_err *err) {
    label a = label_of(&s->system[from]), b = label_of(&s->system[to]);
    for (int i = 0; i < s->n_edges; i++) {
        clm_edge *e = &s->edge[i];
        bool one = r[e->from].cost >= 0, other = r[e->to].cost >= 0;
        const char *why = "";
        if (one == other) continue;
        label x = label_of(&s->system[e->from]), y = label_of(&s->system[e->to]);
        if (!e->t) {
            clm_code code = e->why.code;
            return clm_fail(err, code, "from %.80s to %.80s: %s", x.s, y.s, e->why.text);
        }
        (void)clm_tform_can(e->t, other, &why);
        return clm_fail(err, CLM_E_ARG,
                        "no way from %.80s to %.80s: that from %.80s to %.80s cannot be gone%s: %s", a.s, b.s,
                        x.s, y.s, other ? " back" : "", why);
    }
    return clm_fail(err, CLM_E_ARG, "no transformation leads from %.80s to %.80s", a.s, b.s);
}

/* Bellman and Ford: in the metadata's order, so that equal ways are told apart the same on every machine. */
static void seek(clm_graph *s, int from, reached *r) {
    for (int i = 0; i < s->n_systems; i++) r[i] = (reached){.cost = -1};
    r[from].cost = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < s->n_edges; i++)
            for (int back = 0; back < 2; back++) {
                clm_edge *e = &s->edge[i];
                int a = back ? e->to : e->from, b = back ? e->from : e->to;
                if (r[a].cost < 0 || a == b) continue;
                const clm_tform *t = parsed(s, e);
                if (!t || !clm_tform_can(t, back, NULL)) continue;
                int64_t cost =
                    r[a].cost + (e->v ? HOP : 0) + (clm_tform_is_solved(t, back) ? SOLVED : 0) + back;
                if (r[b].cost >= 0 && r[b].cost <= cost) continue;
                r[b] = (reached){.cost = cost, .edge = i, .back = back};
                changed = true;
            }
    }
}

/* a stored inverse, if that is what an edge taken backwards is */
static bool inverse_holds(const clm_graph *s, const clm_edge *e, clm_err *err) {
    char group[CLM_PATH_MAX];
    for (const clm_loaded *l = s->loaded; l && e->v; l = l->next)
        if (strcmp(l->path, e->group) == 0)
            return clm_path_join(group, s->store, e->group, err) &&
                   clm_ome_inverse_holds(group, l->attrs, e->v, err);
    return true;
}

bool clm_graph_route(clm_graph *s, int from, int to, clm_route *out, clm_err *err) {
    reached *r = clm_take(s->arena, reached, s->n_systems, err);
    if (!r) return false;
    seek(s, from, r);
    if (r[to].cost < 0) return blocked(s, from, to, r, err);
    int n = 0;
    for (int at = to; at != from; n++) at = r[at].back ? s->edge[r[at].edge].to : s->edge[r[at].edge].from;
    const clm_tform **hop = clm_take(s->arena, const clm_tform *, n + 1, err);
    bool *back = hop ? clm_take(s->arena, bool, n + 1, err) : NULL;
    if (!back) return false;
    *out = (clm_route){.from = from, .to = to, .n = n, .hop = hop, .back = back};
    for (int at = to; n-- > 0;) {
        const clm_edge *e = &s->edge[r[at].edge];
        hop[n] = e->t;
        back[n] = r[at].back;
        if (back[n] && !inverse_holds(s, e, err)) return false;
        at = r[at].back ? e->to : e->from;
    }
    return true;
}

bool clm_route_apply(const clm_route *r, double *x, clm_err *err) {
    for (int i = 0; i < r->n; i++)
        if (!clm_tform_apply(r->hop[i], r->back[i], x, err)) return false;
    return true;
}

int clm_route_in(const clm_graph *s, const clm_route *r) {
    if (s->system[r->from].n >= 0) return s->system[r->from].n;
    for (int i = 0; i < r->n; i++) {
        int n = r->back[i] ? r->hop[i]->out : r->hop[i]->in;
        if (n >= 0) return n;
    }
    return s->system[r->to].n; /* identities alone */
}

int clm_route_out(const clm_graph *s, const clm_route *r, int n_in) {
    if (s->system[r->to].n >= 0) return s->system[r->to].n;
    for (int i = r->n; i-- > 0;) {
        int n = r->back[i] ? r->hop[i]->in : r->hop[i]->out;
        if (n >= 0) return n;
    }
    return n_in;
}
