#include "collimate/store/rules.h"

#include <string.h>

/* Axes, coordinate systems and transforms of OME-Zarr. */

/* ---- axes ---- */

static bool orientation(const clm_json *axis, bool space, clm_err *err) {
    static const char *const known[] = {
        "left-to-right",        "right-to-left",        "anterior-to-posterior", "posterior-to-anterior",
        "inferior-to-superior", "superior-to-inferior", "dorsal-to-ventral",     "ventral-to-dorsal",
        "dorsal-to-palmar",     "palmar-to-dorsal",     "dorsal-to-plantar",     "plantar-to-dorsal",
        "rostral-to-caudal",    "caudal-to-rostral",    "cranial-to-caudal",     "caudal-to-cranial",
        "proximal-to-distal",   "distal-to-proximal"};
    const clm_json *turn;
    if (!clm_rule_object(axis, "orientation", true, &turn, err)) return false;
    const char *type = clm_json_text(clm_json_get(turn, "type"));
    const char *value = clm_json_text(clm_json_get(turn, "value"));
    bool found = false;
    for (size_t i = 0; value && i < sizeof known / sizeof known[0]; i++)
        found = found || strcmp(value, known[i]) == 0;
    return (space && type && strcmp(type, "anatomical") == 0 && found) ||
           clm_fail(err, CLM_E_FORMAT, "axes: orientation of an axis that is not in space, or unknown");
}

typedef struct axis_count {
    int n, space, time, channel, array, other;
    int last; /* 0 time, 1 channel or other, 2 space: they come in this order */
    bool ordered;
} axis_count;

static void count_axis(const char *type, axis_count *k) {
    int order = 1;
    k->n++;
    if (type && strcmp(type, "space") == 0)
        k->space++, order = 2;
    else if (type && strcmp(type, "time") == 0)
        k->time++, order = 0;
    else if (type && strcmp(type, "channel") == 0)
        k->channel++;
    else if (type && strcmp(type, "array") == 0)
        k->array++;
    else
        k->other++;
    if (order < k->last) k->ordered = false;
    k->last = order;
}

static bool check_counts(const axis_count *k, const clm_ome_version *version, clm_err *err) {
    if (version->any_axes) return k->n >= 1 || clm_fail(err, CLM_E_FORMAT, "axes: none");
    if (k->n > 5 || k->n < (version->minor >= 6 ? 1 : 2))
        return clm_fail(err, CLM_E_FORMAT, "axes: %d of them, 2 to 5 are allowed", k->n);
    if (version->minor >= 6 && k->array > 0)
        return k->array == k->n || clm_fail(err, CLM_E_FORMAT, "axes: array axes beside others");
    if (k->space < 2 || k->space > 3)
        return clm_fail(err, CLM_E_FORMAT, "axes: %d in space, 2 or 3 are allowed", k->space);
    if (version->minor >= 6) return true;
    if (k->time > 1 || k->channel + k->other + k->array > 1)
        return clm_fail(err, CLM_E_FORMAT, "axes: more than one of time, or of channels");
    return k->ordered || clm_fail(err, CLM_E_FORMAT, "axes: not in the order time, channel or other, space");
}

bool clm_rule_axes(const clm_json *v, const clm_ome_version *version, int *n, clm_err *err) {
    const clm_json *list;
    axis_count k = {.ordered = true};
    if (!clm_rule_list(v, "axes", true, 0, true, &list, err)) return false;
    if (clm_json_size(list) > CLM_AXES_MAX)
        return clm_fail(err, CLM_E_FORMAT, "axes: more than %d", CLM_AXES_MAX);
    for (const clm_json *a = clm_json_first(list); a; a = clm_json_next(a)) {
        const char *type = clm_json_text(clm_json_get(a, "type"));
        const char *name = clm_json_text(clm_json_get(a, "name"));
        if (clm_json_kind_of(a) != CLM_JSON_OBJECT) return clm_fail(err, CLM_E_FORMAT, "axes: not objects");
        if (!clm_rule_text(a, "name", true, err) || !clm_rule_text(a, "type", false, err) ||
            !clm_rule_text(a, "unit", false, err) || !clm_rule_text(a, "longName", false, err) ||
            !clm_rule_bool(a, "discrete", err))
            return clm_err_in(err, "axes");
        if (version->any_axes && clm_json_get(a, "orientation") &&
            !orientation(a, type && strcmp(type, "space") == 0, err))
            return false;
        if (!name[0]) return clm_fail(err, CLM_E_FORMAT, "axes: one has an empty name");
        for (const clm_json *b = clm_json_first(list); b != a; b = clm_json_next(b)) {
            if (strcmp(clm_json_text(clm_json_get(b, "name")), name) == 0)
                return clm_fail(err, CLM_E_FORMAT, "axes: two are named %s", name);
            if (version->any_axes && clm_json_get(a, "orientation") && clm_json_get(b, "orientation") &&
                clm_rule_equal(clm_json_get(a, "orientation"), clm_json_get(b, "orientation")))
                return clm_fail(err, CLM_E_FORMAT, "axes: two have the same orientation");
        }
        count_axis(type, &k);
    }
    *n = k.n;
    return check_counts(&k, version, err);
}

/* ---- coordinate systems ---- */

int clm_systems_axes(const clm_systems *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->of[i].name, name) == 0) return s->of[i].axes;
    return -1;
}

bool clm_rule_systems(const clm_json *v, bool needed, const clm_ome_version *version, clm_systems *out,
                      clm_err *err) {
    const clm_json *list;
    *out = (clm_systems){0};
    if (!clm_rule_list(v, "coordinateSystems", needed, needed ? 1 : 0, true, &list, err)) return false;
    for (const clm_json *s = clm_json_first(list); s; s = clm_json_next(s)) {
        const char *name = clm_json_text(clm_json_get(s, "name"));
        if (out->n == CLM_AXES_MAX)
            return clm_fail(err, CLM_E_UNSUPPORTED, "coordinateSystems: more than %d", CLM_AXES_MAX);
        int axes = 0;
        if (!clm_rule_text(s, "name", true, err) || !clm_rule_axes(s, version, &axes, err))
            return clm_err_in(err, "coordinateSystems");
        if (!name[0] || clm_systems_axes(out, name) >= 0)
            return clm_fail(err, CLM_E_FORMAT, "coordinateSystems: name \"%s\" is empty or there twice",
                            name);
        out->of[out->n].name = name;
        out->of[out->n++].axes = axes;
    }
    return true;
}

/* ---- transforms ---- */

/* A list of axis numbers, unique, below n if that is known. */
static bool axis_list(const clm_json *v, const char *key, bool needed, int n, int *size, clm_err *err) {
    const clm_json *list;
    *size = 0;
    if (!clm_rule_list(v, key, needed, 1, true, &list, err)) return false;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        int64_t x;
        if (!clm_json_int(k, &x) || x < 0 || x >= (n < 0 ? CLM_AXES_MAX : n))
            return clm_fail(err, CLM_E_FORMAT, "%s: not all are numbers of axes", key);
        (*size)++;
    }
    return true;
}

static bool matrix(const clm_json *v, const char *key, int in, int more, int *out, clm_err *err) {
    const clm_json *rows;
    if (!clm_json_get(v, key) == !clm_json_get(v, "path"))
        return clm_fail(err, CLM_E_FORMAT, "want %s or path, one of them", key);
    *out = -1;
    if (!clm_json_get(v, key)) return clm_rule_text(v, "path", true, err);
    if (!clm_rule_list(v, key, true, 1, false, &rows, err)) return false;
    int64_t width = clm_json_size(clm_json_first(rows));
    for (const clm_json *r = clm_json_first(rows); r; r = clm_json_next(r)) {
        for (const clm_json *k = clm_json_first(r); k; k = clm_json_next(k)) {
            double x;
            if (!clm_json_number(k, &x)) return clm_fail(err, CLM_E_FORMAT, "%s: not all are numbers", key);
        }
        if (clm_json_kind_of(r) != CLM_JSON_LIST || clm_json_size(r) != width)
            return clm_fail(err, CLM_E_FORMAT, "%s: rows of different lengths", key);
    }
    if (in >= 0 && width != in + more)
        return clm_fail(err, CLM_E_FORMAT, "%s: rows of %lld for %d axes", key, (long long)width, in);
    *out = (int)clm_json_size(rows);
    return more == 1 || width == *out || clm_fail(err, CLM_E_FORMAT, "%s is not square", key);
}

/* The axes of an item: numbers; drafts gave names, too. */
static bool item_axes(const clm_json *item, const clm_ome_version *version, const char *key, const char *old,
                      const char *oldest, int n, int *size, clm_err *err) {
    if (clm_json_get(item, old)) key = old; /* the spelling before 0.6 was final */
    if (!version->object_ends && !clm_json_get(item, key)) key = oldest;
    const clm_json *first = clm_json_first(clm_json_get(item, key));
    if (version->object_ends || !clm_json_text(first)) return axis_list(item, key, true, n, size, err);
    const clm_json *list;
    if (!clm_rule_list(item, key, true, 1, true, &list, err)) return false;
    for (const clm_json *k = first; k; k = clm_json_next(k))
        if (!clm_json_text(k)) return clm_fail(err, CLM_E_FORMAT, "%s: not all are names of axes", key);
    *size = (int)clm_json_size(list);
    return true;
}

static bool by_dimension(const clm_json *v, const clm_ome_version *version, int in, clm_err *err) {
    const clm_json *list, *inner;
    if (!clm_rule_list(v, "transformations", true, 0, false, &list, err)) return false;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        bool flat = !version->object_ends && !clm_json_get(k, "transformation");
        int from, to, made = -1;
        if ((!flat && !clm_rule_object(k, "transformation", true, &inner, err)) ||
            !item_axes(k, version, "inputAxes", "input_axes", "input", in, &from, err) ||
            !item_axes(k, version, "outputAxes", "output_axes", "output", -1, &to, err) ||
            !clm_rule_transform(flat ? k : inner, version, from, &made, err))
            return false;
        if (made >= 0 && made != to)
            return clm_fail(err, CLM_E_FORMAT, "%d axes come out where outputAxes lists %d", made, to);
    }
    return true;
}

static bool project(const clm_json *v, int in, int *out, clm_err *err) {
    int dropped, created;
    const clm_json *list = clm_json_get(v, "createdOutputs");
    if (!list && !clm_json_get(v, "droppedInputs"))
        return clm_fail(err, CLM_E_FORMAT, "neither droppedInputs nor createdOutputs");
    if (!axis_list(v, "droppedInputs", false, in, &dropped, err)) return false;
    int most = in < 0 ? -1 : in - dropped + (int)clm_json_size(list);
    if (!axis_list(v, "createdOutputs", false, most, &created, err)) return false;
    *out = most;
    return most != 0 || clm_fail(err, CLM_E_FORMAT, "all axes are dropped");
}

static bool field(const clm_json *v, clm_err *err) {
    static const char *const known[] = {"nearest", "linear", "cubic", "bspline-cubic"};
    if (!clm_rule_text(v, "path", true, err) || !clm_rule_text(v, "interpolation", false, err)) return false;
    const char *how = clm_json_text(clm_json_get(v, "interpolation"));
    for (size_t i = 0; how && i < sizeof known / sizeof known[0]; i++)
        if (strcmp(how, known[i]) == 0) how = NULL;
    return !how || clm_fail(err, CLM_E_FORMAT, "interpolation: %s", how);
}

static bool chain(const clm_json *v, const clm_ome_version *version, int in, int *out, clm_err *err) {
    const clm_json *list;
    if (!clm_rule_list(v, "transformations", true, 0, false, &list, err)) return false;
    *out = in;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k))
        if (!clm_rule_transform(k, version, *out, out, err)) return false;
    return true;
}

static bool both_ways(const clm_json *v, const clm_ome_version *version, int in, int *out, clm_err *err) {
    const clm_json *forward, *inverse;
    int back = -1;
    if (!clm_rule_object(v, "forward", true, &forward, err) ||
        !clm_rule_object(v, "inverse", true, &inverse, err) ||
        !clm_rule_transform(forward, version, in, out, err) ||
        !clm_rule_transform(inverse, version, *out, &back, err))
        return false;
    return in < 0 || back < 0 || in == back ||
           clm_fail(err, CLM_E_FORMAT, "inverse leads to %d axes, not back to %d", back, in);
}

static bool known_transform(const clm_json *v, const char *type, const clm_ome_version *version, int in,
                            int *out, clm_err *err) {
    *out = in;
    if (strcmp(type, "identity") == 0) return true;
    if (strcmp(type, "scale") == 0) return clm_rule_numbers(v, "scale", in, true, err);
    if (strcmp(type, "translation") == 0) return clm_rule_numbers(v, "translation", in, false, err);
    if (strcmp(type, "mapAxis") == 0) return axis_list(v, "mapAxis", true, in, out, err);
    if (strcmp(type, "affine") == 0) return matrix(v, "affine", in, 1, out, err);
    if (strcmp(type, "rotation") == 0) return matrix(v, "rotation", in, 0, out, err);
    if (strcmp(type, "sequence") == 0) return chain(v, version, in, out, err);
    if (strcmp(type, "bijection") == 0) return both_ways(v, version, in, out, err);
    if (strcmp(type, "projectAxis") == 0) return project(v, in, out, err);
    if (strcmp(type, "inverseOf") == 0 && !version->object_ends) { /* of drafts; 0.6 has it no more */
        const clm_json *turned;
        int back = -1;
        *out = -1;
        return clm_rule_object(v, "transformation", true, &turned, err) &&
               clm_rule_transform(turned, version, -1, &back, err) &&
               (in < 0 || back < 0 || in == back ||
                clm_fail(err, CLM_E_FORMAT, "it takes %d axes, not %d", back, in));
    }
    *out = -1;
    if (strcmp(type, "byDimension") == 0) return by_dimension(v, version, in, err);
    if (strcmp(type, "displacements") == 0 || strcmp(type, "coordinates") == 0) return field(v, err);
    return clm_fail(err, CLM_E_FORMAT, "no such transform");
}

bool clm_rule_transform(const clm_json *v, const clm_ome_version *version, int in, int *out, clm_err *err) {
    const char *type = clm_json_text(clm_json_get(v, "type"));
    if (clm_json_kind_of(v) != CLM_JSON_OBJECT || !type)
        return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: one has no type");
    if (!clm_rule_text(v, "name", false, err)) return false;
    return known_transform(v, type, version, in, out, err) || clm_err_in(err, "%s", type);
}

/* input or output: an object {name, path}, a text up to 0.6.dev3. *axes: of the system, -1 unknown. */
static bool end_of(const clm_json *t, const char *key, const clm_systems *s, const clm_ome_version *version,
                   bool scene, int *axes, clm_err *err) {
    const clm_json *end = clm_json_get(t, key);
    const char *name = clm_json_text(end) ? clm_json_text(end) : clm_json_text(clm_json_get(end, "name"));
    *axes = -1;
    if (!end) return clm_fail(err, CLM_E_FORMAT, "%s is missing", key);
    if (clm_json_text(end) && !version->object_ends) {
        *axes = clm_systems_axes(s, name);
        return true;
    }
    if (clm_json_kind_of(end) != CLM_JSON_OBJECT)
        return clm_fail(err, CLM_E_FORMAT, "%s: not an object", key);
    if (!clm_rule_text(end, "name", true, err) || !clm_rule_text(end, "path", false, err))
        return clm_err_in(err, "%s", key);
    const char *path = clm_json_text(clm_json_get(end, "path"));
    if (path && path[0]) {
        bool away = path[0] == '/' || strncmp(path, "../", 3) == 0;
        bool input = strcmp(key, "input") == 0;
        return scene || (!away && !input) ||
               clm_fail(err, CLM_E_FORMAT, "%s: path \"%s\" leads out of the image", key, path);
    }
    *axes = clm_systems_axes(s, name);
    return *axes >= 0 || clm_fail(err, CLM_E_FORMAT, "%s: no coordinate system is named \"%s\"", key, name);
}

bool clm_rule_transforms(const clm_json *list, const clm_systems *s, const clm_ome_version *version,
                         bool scene, clm_err *err) {
    for (const clm_json *t = clm_json_first(list); t; t = clm_json_next(t)) {
        int in, want, out = -1;
        if (!end_of(t, "input", s, version, scene, &in, err) ||
            !end_of(t, "output", s, version, scene, &want, err) ||
            !clm_rule_transform(t, version, in, &out, err))
            return clm_err_in(err, "coordinateTransformations");
        if (out >= 0 && want >= 0 && out != want)
            return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: %d axes lead to a system of %d",
                            out, want);
    }
    return true;
}
