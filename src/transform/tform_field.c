#include "collimate/store/node.h"
#include "collimate/core/linalg.h"
#include "tform_parts.h"

#include <string.h>

/* Where a field's nodes stand: OME-Zarr keeps it as a multiscale image whose component axis has a type of its own;
 * drafts had the same on the array itself. */

static const clm_json *ome_of(const clm_json *attrs) {
    const clm_json *ome = clm_json_get(attrs, "ome");
    return ome ? ome : attrs;
}

static const clm_json *axes_of(const clm_json *m) {
    const clm_json *axes = clm_json_get(clm_json_first(clm_json_get(m, "coordinateSystems")), "axes");
    return axes ? axes : clm_json_get(m, "axes");
}

/* The axis whose type is that of the components; else the one that has as many elements as they, last before first. */
static int component_axis(const clm_json *axes, const clm_array_info *a, int m) {
    int d = 0;
    for (const clm_json *k = clm_json_first(axes); k; k = clm_json_next(k), d++) {
        const char *type = clm_json_text(clm_json_get(k, "type"));
        if (type && d < a->ndim && (strcmp(type, "displacement") == 0 || strcmp(type, "coordinate") == 0))
            return d;
    }
    int last = a->ndim - 1;
    if (m < 0 || a->shape[last] == m) return last;
    return a->shape[0] == m ? 0 : -1;
}

/* to = next o to, of n axes; rows of n + 1 */
static void compose(int n, const double *next, double *to) {
    double made[CLM_DIMS_MAX * (CLM_DIMS_MAX + 1)];
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= n; j++) {
            double sum = j == n ? next[i * (n + 1) + n] : 0.0;
            for (int k = 0; k < n; k++) sum += next[i * (n + 1) + k] * to[k * (n + 1) + j];
            made[i * (n + 1) + j] = sum;
        }
    memcpy(to, made, (size_t)(n * (n + 1)) * sizeof *to);
}

/* of n - 1 axes -> of n: axis `at` comes in, as it is; rows of n, of n + 1 after */
static void widen(int n, int at, double *a) {
    double wide[CLM_DIMS_MAX * (CLM_DIMS_MAX + 1)] = {0};
    wide[at * (n + 1) + at] = 1.0;
    for (int i = 0; i < n - 1; i++)
        for (int j = 0; j < n; j++) wide[(i + (i >= at)) * (n + 1) + j + (j >= at)] = a[i * n + j];
    memcpy(a, wide, (size_t)(n * (n + 1)) * sizeof *a);
}

/* One of them, also where it leaves out the component axis, as an example of the specification does. */
static bool parse_placement(const clm_json *v, clm_tform_ground *g, int n, int axis, clm_tform **t,
                            clm_err *err) {
    const clm_tform_axes all = {.n = n}, less = {.n = n - 1};
    clm_err ignored = CLM_ERR_NONE;
    return clm_tform_parse(v, g, &all, &all, t, err) ||
           (axis >= 0 && clm_tform_parse(v, g, &less, &less, t, &ignored));
}

/* A list of transformations from the array's indices to where they stand, into to [n][n + 1]. They may not read
 * arrays themselves: a field could stand on itself. */
static bool place(const clm_json *list, clm_tform_ground *g, int n, int axis, double *to, clm_err *err) {
    double next[CLM_DIMS_MAX * (CLM_DIMS_MAX + 1)];
    clm_tform_ground bare = {.arena = g->arena};
    int i = 0;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k), i++) {
        clm_tform *t;
        if (!parse_placement(k, &bare, n, axis, &t, err))
            return clm_err_in(err, "coordinateTransformations[%d]", i);
        const bool less = t->in == n - 1;
        if (!clm_tform_affine(t, false, less ? n - 1 : n, next))
            return clm_fail(err, CLM_E_UNSUPPORTED,
                            "coordinateTransformations[%d]: a lattice of nodes must be affine", i);
        if (less) widen(n, axis, next);
        compose(n, next, to);
    }
    return true;
}

/* f's lattice from the array's placement: the component axis taken out, the rest inverted. */
static bool set_lattice(clm_nfield *f, int ndim, const double *to, clm_err *err) {
    double a[CLM_DIMS_MAX * CLM_DIMS_MAX];
    int row = 0;
    for (int i = 0; i < ndim; i++) {
        if (i == f->axis) continue;
        int column = 0;
        for (int j = 0; j < ndim; j++) {
            double v = to[i * (ndim + 1) + j];
            if (j != f->axis) a[row * f->n + column++] = v;
        }
        f->origin[row++] = to[i * (ndim + 1) + ndim];
    }
    for (int j = 0; j < f->n; j++) {
        double column[CLM_DIMS_MAX] = {0};
        column[j] = 1.0;
        if (!clm_solve_small(f->n, a, column))
            return clm_fail(err, CLM_E_FORMAT, "the lattice of nodes is flat");
        for (int i = 0; i < f->n; i++) f->to_node[i * f->n + j] = column[i];
    }
    return true;
}

static bool read_order(const clm_json *v, int *order, clm_err *err) {
    const clm_json *given = clm_json_get(v, "interpolation");
    const char *name = clm_json_text(given);
    *order = 1;
    if (!given || (name && strcmp(name, "linear") == 0)) return true;
    if (name && strcmp(name, "nearest") == 0) {
        *order = 0;
        return true;
    }
    *order = 3;
    if (name && (strcmp(name, "cubic") == 0 || strcmp(name, "bspline-cubic") == 0)) return true;
    return clm_fail(err, CLM_E_UNSUPPORTED, "interpolation: must be nearest, linear or cubic");
}

/* The array and its metadata, v's or its first dataset's. */
static bool open_nodes(clm_tform_ground *g, const char *node, const clm_json *attrs, clm_nfield *f, int in,
                       int out, clm_err *err) {
    const clm_json *ome = ome_of(attrs), *m = clm_json_first(clm_json_get(ome, "multiscales")), *data = NULL;
    char full[CLM_PATH_MAX], below[CLM_PATH_MAX];
    double to[CLM_DIMS_MAX * (CLM_DIMS_MAX + 1)] = {0};
    if (m) {
        data = clm_json_first(clm_json_get(m, "datasets"));
        const char *path = clm_json_text(clm_json_get(data, "path"));
        if (!path) return clm_fail(err, CLM_E_FORMAT, "multiscales[0].datasets[0].path: is missing");
        if (!clm_node_below(below, node, path, err)) return false;
        node = below;
    }
    if (!clm_path_join(full, g->store, node, err) || !clm_array_open(full, &f->array, err)) return false;
    if (g->cache) clm_array_use_cache(f->array, g->cache);
    const clm_array_info *a = clm_array_info_of(f->array);
    const bool bare = f->positions && a->ndim == 1; /* along one axis positions need no component axis */
    if ((a->ndim < 2 && !bare) || a->ndim > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "an array of %d axes holds no vectors", a->ndim);
    f->axis = bare ? -1 : component_axis(axes_of(m ? m : ome), a, out >= 0 ? out : in);
    if (f->axis < 0 && !bare)
        return clm_fail(err, CLM_E_FORMAT, "no axis of type displacement or coordinate");
    const int64_t numbers = bare ? 1 : a->shape[f->axis];
    f->n = a->ndim - !bare;
    f->m = (int)(numbers <= CLM_DIMS_MAX ? numbers : 0);
    if (f->m < 1 || (!f->positions && f->m != f->n))
        return clm_fail(err, CLM_E_FORMAT, "vectors of %lld numbers at points of %d", (long long)numbers,
                        f->n);
    for (int d = 0; d < a->ndim; d++) to[d * (a->ndim + 1) + d] = 1.0;
    const clm_json *after = clm_json_get(m, "coordinateTransformations");
    if (clm_json_get(clm_json_first(after), "output")) after = NULL; /* 0.6: to another system */
    return place(clm_json_get(m ? data : ome, "coordinateTransformations"), g, a->ndim, f->axis, to, err) &&
           place(after, g, a->ndim, f->axis, to, err) && set_lattice(f, a->ndim, to, err);
}

bool clm_tform_open_field(const clm_json *v, clm_tform_ground *g, int in, int out, clm_nfield *f,
                          clm_err *err) {
    char node[CLM_PATH_MAX], full[CLM_PATH_MAX];
    const char *path = clm_json_text(clm_json_get(v, "path")), *type = clm_json_text(clm_json_get(v, "type"));
    clm_json *attrs = NULL;
    if (!path) return clm_fail(err, CLM_E_FORMAT, "path: is missing");
    if (!g->store) return clm_fail(err, CLM_E_UNSUPPORTED, "path: there is no store to look in");
    f->positions = strcmp(type, "coordinates") == 0;
    if (!read_order(v, &f->order, err)) return false;
    bool ok = clm_node_below(node, g->group, path, err) && clm_path_join(full, g->store, node, err) &&
              clm_node_attrs(full, &attrs, err) && open_nodes(g, node, attrs, f, in, out, err) &&
              clm_nfield_prepare(f, err);
    clm_json_free(attrs);
    return ok || clm_err_in(err, "path \"%.200s\"", path);
}
