#include "collimate/base/text.h"
#include "collimate/store/scale.h"

#include <stdio.h>
#include <string.h>

/* OME-Zarr 0.1 to 0.6: https://ngff.openmicroscopy.org, "multiscales". Positions are voxel centres. */

bool clm_unit_um(const char *unit, double *um) {
    static const struct {
        const char *name, *symbol;
        double um;
    } prefix[] = {{"", "", 1e6},        {"micro", "u", 1},     {"nano", "n", 1e-3},   {"milli", "m", 1e3},
                  {"centi", "c", 1e4},  {"pico", "p", 1e-6},   {"deci", "d", 1e5},    {"kilo", "k", 1e9},
                  {"", "\xc2\xb5", 1},  {"", "\xce\xbc", 1},   {"", "\\u00B5", 1},    {"femto", "f", 1e-9},
                  {"atto", "a", 1e-12}, {"zepto", "z", 1e-15}, {"yocto", "y", 1e-18}, {"deca", "da", 1e7},
                  {"hecto", "h", 1e8},  {"mega", "M", 1e12},   {"giga", "G", 1e15},   {"tera", "T", 1e18},
                  {"peta", "P", 1e21},  {"exa", "E", 1e24},    {"zetta", "Z", 1e27},  {"yotta", "Y", 1e30}},
      other[] = {{"micron", "microns", 1},
                 {"angstrom", "A", 1e-4},
                 {"\xc3\x85", "\xe2\x84\xab", 1e-4},
                 {"inch", "in", 25400},
                 {"foot", "ft", 304800},
                 {"yard", "yd", 914400},
                 {"mile", "mi", 1609344e3},
                 {"parsec", "pc", 3.0856775814913673e22}};
    size_t n = strlen(unit);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        if (strcmp(unit, other[i].name) == 0 || strcmp(unit, other[i].symbol) == 0) {
            *um = other[i].um;
            return true;
        }
    bool whole = clm_text_ends(unit, "meter") || clm_text_ends(unit, "metre");
    if (!whole && !clm_text_ends(unit, "m")) return false;
    n -= whole ? 5 : 1;
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        const char *p = whole ? prefix[i].name : prefix[i].symbol;
        if (strlen(p) != n || strncmp(unit, p, n) != 0) continue;
        *um = prefix[i].um;
        return true;
    }
    return false;
}

typedef struct axes {
    int n;
    double um[CLM_DIMS_MAX]; /* micrometres a unit, space axes only */
} axes;

/* One axis: an object {name, type, unit}, or only its name (0.3). */
static bool one_axis(const clm_json *v, int i, axes *a, clm_scales *out, clm_err *err) {
    const char *name = clm_json_text(v) ? clm_json_text(v) : clm_json_text(clm_json_get(v, "name"));
    const char *type = clm_json_text(clm_json_get(v, "type")), *unit = clm_json_text(clm_json_get(v, "unit"));
    if (!name) return clm_fail(err, CLM_E_FORMAT, "multiscales: axis %d has no name", i);
    if (!type)
        type = strcmp(name, "t") == 0               ? "time"
               : strcmp(name, "c") == 0             ? "channel"
               : strchr("zyx", name[0]) && !name[1] ? "space"
                                                    : "";
    a->um[i] = 1;
    if (strcmp(type, "time") == 0) out->time_axis = i;
    if (strcmp(type, "channel") == 0) out->channel_axis = i;
    if (strcmp(type, "space") != 0) return true;
    static const char letters[] = "zyx";
    const char *at = name[0] && !name[1]
                         ? strchr(letters, name[0] >= 'X' && name[0] <= 'Z' ? name[0] + 32 : name[0])
                         : NULL;
    if (!at || out->axis[at - letters] >= 0)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "multiscales: space axis %s; one each of z, y and x is understood", name);
    out->axis[at - letters] = i;
    if (unit) (void)snprintf(out->unit, sizeof out->unit, "%.23s", unit);
    if (unit && !clm_unit_um(unit, &a->um[i]))
        (void)snprintf(out->no_length, sizeof out->no_length, "%.23s", unit);
    return true;
}

static bool parse_axes(const clm_json *m, axes *a, clm_scales *out, clm_err *err) {
    const clm_json *list = clm_json_get(m, "axes");
    const clm_json *systems = clm_json_get(m, "coordinateSystems");
    if (!list && systems) list = clm_json_get(clm_json_first(systems), "axes");
    out->axis[0] = out->axis[1] = out->axis[2] = out->channel_axis = out->time_axis = -1;
    a->n = (int)clm_json_size(list);
    if (a->n > CLM_DIMS_MAX) return clm_fail(err, CLM_E_UNSUPPORTED, "multiscales: %d axes", a->n);
    int i = 0;
    for (const clm_json *v = clm_json_first(list); v; v = clm_json_next(v))
        if (!one_axis(v, i++, a, out, err)) return false;
    if (!list) { /* 0.1 and 0.2: always t c z y x */
        a->n = 5;
        for (int d = 0; d < CLM_DIMS_MAX; d++) a->um[d] = 1;
        for (int d = 0; d < 3; d++) out->axis[d] = d + 2;
        out->time_axis = 0;
        out->channel_axis = 1;
    }
    out->ndim = a->n;
    if (out->axis[0] < 0 && out->axis[1] >= 0 && out->axis[2] >= 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "a two-dimensional image; alignment needs z y x");
    if (out->axis[1] < 0 || out->axis[2] < 0 || out->axis[0] < 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "multiscales: axes z, y and x are not all there");
    return true;
}

/* x -> s x + t: after what s and t hold already, apply one transform. found: any was understood. */
static bool add_transform(const clm_json *v, int n, double s[], double t[], bool *found, clm_err *err) {
    const char *type = clm_json_text(clm_json_get(v, "type"));
    double x[CLM_DIMS_MAX];
    if (!type) return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: one has no type");
    if (strcmp(type, "identity") == 0) {
        *found = true;
        return true;
    }
    if (strcmp(type, "sequence") == 0) {
        for (const clm_json *k = clm_json_first(clm_json_get(v, "transformations")); k; k = clm_json_next(k))
            if (!add_transform(k, n, s, t, found, err)) return false;
        return true;
    }
    bool scale = strcmp(type, "scale") == 0;
    if (!scale && strcmp(type, "translation") != 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "coordinateTransformations: type %s", type);
    if (!clm_json_numbers(clm_json_get(v, type), n, x))
        return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: %s: want %d numbers", type, n);
    for (int d = 0; d < n; d++) {
        if (scale && !(x[d] > 0))
            return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: scale %g is not positive", x[d]);
        if (scale)
            s[d] *= x[d], t[d] *= x[d];
        else
            t[d] += x[d];
    }
    *found = true;
    return true;
}

static bool add_list(const clm_json *list, int n, double s[], double t[], bool *found, clm_err *err) {
    for (const clm_json *v = clm_json_first(list); v; v = clm_json_next(v))
        if (!add_transform(v, n, s, t, found, err)) return false;
    return true;
}

static bool one_dataset(const clm_json *m, const clm_json *dataset, const axes *a, bool v06, clm_scales *out,
                        clm_err *err) {
    const char *path = clm_json_text(clm_json_get(dataset, "path"));
    clm_scale *l = &out->level[out->n];
    double s[CLM_DIMS_MAX], t[CLM_DIMS_MAX];
    for (int d = 0; d < CLM_DIMS_MAX; d++) s[d] = 1, t[d] = 0;
    if (!path || !path[0] || strlen(path) >= sizeof l->path || path[0] == '/' || strstr(path, ".."))
        return clm_fail(err, CLM_E_FORMAT, "multiscales: dataset %d: path %s", out->n,
                        path ? path : "is missing");
    (void)snprintf(l->path, sizeof l->path, "%s", path);
    if (!add_list(clm_json_get(dataset, "coordinateTransformations"), a->n, s, t, &l->known, err))
        return clm_err_in(err, "multiscales: dataset %s", path);
    /* up to 0.5 the multiscale's own transforms follow; in 0.6 they lead to other systems */
    if (!v06 && !add_list(clm_json_get(m, "coordinateTransformations"), a->n, s, t, &l->known, err))
        return clm_err_in(err, "multiscales");
    for (int d = 0; d < 3; d++) {
        l->spacing[d] = s[out->axis[d]] * a->um[out->axis[d]];
        l->origin[d] = t[out->axis[d]] * a->um[out->axis[d]];
    }
    out->n++;
    return true;
}

bool clm_scales_of_ome(const clm_json *attrs, clm_scales *out, clm_err *err) {
    const clm_json *ome = clm_json_get(attrs, "ome"), *list = clm_json_get(ome ? ome : attrs, "multiscales");
    const clm_json *m = clm_json_at(list, 0), *datasets = clm_json_get(m, "datasets");
    *out = (clm_scales){0};
    if (!m) return true;
    if (!ome && clm_json_get(clm_json_first(datasets), "transform")) return true; /* COSEM's, not OME's */
    const char *version = clm_json_text(clm_json_get(ome ? ome : m, "version"));
    const clm_json *first = clm_json_at(clm_json_get(m, "axes"), 0);
    if (!version) version = !first ? "0.1" : clm_json_text(first) ? "0.3" : "0.4";
    axes a = {0};
    (void)snprintf(out->dialect, sizeof out->dialect, "OME-Zarr %.20s", version);
    if (!parse_axes(m, &a, out, err)) return false;
    if (clm_json_size(datasets) > CLM_LEVELS_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "multiscales: more than %d levels", CLM_LEVELS_MAX);
    if (clm_json_size(datasets) < 1) return clm_fail(err, CLM_E_FORMAT, "multiscales: no datasets");
    bool v06 = strncmp(version, "0.6", 3) == 0;
    for (const clm_json *d = clm_json_first(datasets); d; d = clm_json_next(d))
        if (!one_dataset(m, d, &a, v06, out, err)) return false;
    return true;
}
