#include "collimate/store/ome.h"
#include "collimate/base/file.h"
#include "collimate/store/node.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- groups on the way ---- */

static bool is_root(const char *path, size_t n) {
    return (n > 5 && memcmp(path + n - 5, ".zarr", 5) == 0) || (n > 3 && memcmp(path + n - 3, ".n5", 3) == 0);
}

static bool make_group_at(const char *path, clm_format format, bool root, clm_err *err) {
    if (clm_node_kind_of(path) != CLM_NODE_NONE) return true;
    if (format == CLM_FORMAT_N5 && !root) return true; /* N5 groups need no file */
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    /* 2.0.0: readers refuse a greater major than their own, and nothing newer is used */
    if (format == CLM_FORMAT_N5) clm_json_add_text(v, "n5", "2.0.0");
    bool ok = clm_node_make_group(path, format, v, err);
    clm_json_free(v);
    return ok;
}

bool clm_store_make_parents(const char *path, clm_format format, clm_err *err) {
    char at[CLM_PATH_MAX];
    if (!clm_path_format(at, err, "%s", path)) return false;
    bool inside = false;
    for (size_t i = 1; at[i]; i++) {
        if (at[i] != '/' || at[i - 1] == '/') continue;
        bool root = !inside && is_root(at, i);
        inside = inside || root;
        at[i] = 0;
        if (inside && !make_group_at(at, format, root, err)) return false;
        at[i] = '/';
    }
    return true;
}

/* ---- pyramids ---- */

static void add_space_axes(clm_json *list) {
    static const char *const name[] = {"z", "y", "x"};
    for (int d = 0; d < 3; d++) {
        clm_json *axis = clm_json_add_object(list, NULL);
        clm_json_add_text(axis, "name", name[d]);
        clm_json_add_text(axis, "type", "space");
        clm_json_add_text(axis, "unit", "micrometer");
    }
}

void clm_ome_add_axes(clm_json *parent, bool vector_first) {
    clm_json *list = clm_json_add_list(parent, "axes");
    if (vector_first) {
        clm_json *d = clm_json_add_object(list, NULL);
        clm_json_add_text(d, "name", "d");
        clm_json_add_text(d, "type", "displacement");
        clm_json_add_bool(d, "discrete", true);
    }
    add_space_axes(list);
}

void clm_ome_add_scale(clm_json *list, const char *type, const double x[], int n) {
    clm_json *t = clm_json_add_object(list, NULL);
    clm_json_add_text(t, "type", type);
    clm_json_add_numbers(t, type, x, n);
}

static void xyz_of(const double zyx[3], double out[3]) {
    for (int d = 0; d < 3; d++) out[d] = zyx[2 - d];
}

static void factors_of(const clm_level_spec *base, const clm_level_spec *level, double f[3]) {
    for (int d = 0; d < 3; d++) {
        f[d] = level->spacing_um[2 - d] / base->spacing_um[2 - d];
        if (fabs(f[d] - nearbyint(f[d])) < 1e-6 * f[d]) f[d] = nearbyint(f[d]);
    }
}

static void add_n5_group(clm_json *v, const clm_level_spec *levels, int n) {
    double x[3];
    clm_json *axes = clm_json_add_list(v, "axes"), *units = clm_json_add_list(v, "units");
    for (int d = 0; d < 3; d++) {
        clm_json_add_text(axes, NULL, d == 0 ? "x" : d == 1 ? "y" : "z");
        clm_json_add_text(units, NULL, "um"); /* Neuroglancer takes SI symbols only */
    }
    xyz_of(levels[0].spacing_um, x);
    clm_json_add_numbers(v, "resolution", x, 3);
    clm_json *table = clm_json_add_list(v, "downsamplingFactors");
    for (int i = 0; i < n; i++) {
        factors_of(&levels[0], &levels[i], x);
        clm_json_add_numbers(table, NULL, x, 3);
    }
}

/* "t", "c" or both, before z y x */
static int add_axes_before(clm_json *list, const char *axes) {
    int n = 0;
    for (; axes[n] == 't' || axes[n] == 'c'; n++) {
        clm_json *axis = clm_json_add_object(list, NULL);
        clm_json_add_text(axis, "name", axes[n] == 't' ? "t" : "c");
        clm_json_add_text(axis, "type", axes[n] == 't' ? "time" : "channel");
    }
    return n;
}

static void add_datasets(clm_json *list, const clm_pyramid_spec *spec, int before) {
    for (int i = 0; i < spec->n; i++) {
        double scale[5] = {1, 1}, shift[5] = {0};
        for (int d = 0; d < 3; d++) {
            scale[before + d] = spec->levels[i].spacing_um[d];
            shift[before + d] = spec->levels[i].origin_um[d];
        }
        clm_json *d = clm_json_add_object(list, NULL);
        clm_json_add_text(d, "path", spec->levels[i].path);
        clm_json *transforms = clm_json_add_list(d, "coordinateTransformations");
        clm_ome_add_scale(transforms, "scale", scale, before + 3);
        clm_ome_add_scale(transforms, "translation", shift, before + 3);
    }
}

static void add_multiscales(clm_json *parent, const clm_pyramid_spec *spec) {
    clm_json *m = clm_json_add_object(clm_json_add_list(parent, "multiscales"), NULL);
    if (spec->format == CLM_FORMAT_ZARR2) clm_json_add_text(m, "version", "0.4");
    clm_json_add_text(m, "name", spec->name);
    if (spec->n > 1 && spec->method) clm_json_add_text(m, "type", spec->method);
    clm_json *axes = clm_json_add_list(m, "axes");
    int before = add_axes_before(axes, spec->axes ? spec->axes : "zyx");
    add_space_axes(axes);
    add_datasets(clm_json_add_list(m, "datasets"), spec, before);
}

bool clm_ome_write_pyramid(const char *path, const clm_pyramid_spec *spec, clm_err *err) {
    bool n5 = spec->format == CLM_FORMAT_N5;
    if (spec->n < 1) return clm_fail(err, CLM_E_ARG, "%s: a pyramid without levels", path);
    if (n5 && spec->axes && strcmp(spec->axes, "zyx") != 0)
        return clm_fail(err, CLM_E_ARG, "%s: an N5 pyramid has axes z y x only", path);
    clm_json *v = spec->attributes ? clm_json_copy(spec->attributes, err) : clm_json_new_object(err);
    if (!v) return false;
    if (n5) {
        size_t len = strlen(path);
        while (len > 1 && path[len - 1] == '/') len--;
        if (is_root(path, len)) clm_json_add_text(v, "n5", "2.0.0");
        add_n5_group(v, spec->levels, spec->n);
    } else if (spec->format == CLM_FORMAT_ZARR2) {
        add_multiscales(v, spec);
    } else {
        clm_json *ome = clm_json_add_object(v, "ome");
        clm_json_add_text(ome, "version", "0.5");
        add_multiscales(ome, spec);
    }
    bool ok =
        clm_store_make_parents(path, spec->format, err) && clm_node_make_group(path, spec->format, v, err);
    clm_json_free(v);
    return ok;
}

clm_json *clm_n5_level_attributes(const clm_level_spec *base, const clm_level_spec *level, bool bigstream,
                                  clm_err *err) {
    double x[3], f[3];
    bool implied = true;
    clm_json *v = clm_json_new_object(err);
    if (!v) return NULL;
    xyz_of(base->spacing_um, x);
    factors_of(base, level, f);
    if (bigstream) {
        clm_json_add_numbers(v, "pixelResolution", x, 3);
    } else {
        clm_json *p = clm_json_add_object(v, "pixelResolution");
        clm_json_add_text(p, "unit", "um");
        clm_json_add_numbers(p, "dimensions", x, 3);
    }
    clm_json_add_numbers(v, "downsamplingFactors", f, 3);
    for (int d = 0; d < 3; d++)
        implied = implied && fabs(level->origin_um[2 - d] - (f[d] - 1) / 2 * x[d]) <= 1e-9 * x[d];
    if (!implied) { /* the offset that the factors imply is not ours: say it outright */
        clm_json *t = clm_json_add_object(v, "transform");
        clm_json *axes = clm_json_add_list(t, "axes");
        for (int d = 0; d < 3; d++) clm_json_add_text(axes, NULL, d == 0 ? "z" : d == 1 ? "y" : "x");
        clm_json_add_numbers(t, "scale", level->spacing_um, 3);
        clm_json_add_numbers(t, "translate", level->origin_um, 3);
        clm_json *units = clm_json_add_list(t, "units");
        for (int d = 0; d < 3; d++) clm_json_add_text(units, NULL, "um");
    }
    return v;
}
