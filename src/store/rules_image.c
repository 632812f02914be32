#include "collimate/store/rules.h"
#include "collimate/store/validate.h"

#include <stdio.h>
#include <string.h>

/* Multiscale images of OME-Zarr 0.1 to 0.6, and what else a group's attributes may be. */

/* ---- which version ---- */

/* "0.4", "0.6.dev3", "0.6rc0": the minor number, and what follows it. */
static bool split(const char *text, int *minor, const char **tail) {
    if (strncmp(text, "0.", 2) != 0) return false;
    *minor = 0;
    const char *p = text + 2;
    for (; *p >= '0' && *p <= '9' && *minor < 100; p++) *minor = *minor * 10 + (*p - '0');
    *tail = p;
    return p > text + 2 && *minor >= 1 && strlen(p) < 12 && (!*p || *minor >= 6);
}

static bool parse_version(const char *text, clm_ome_version *v, clm_err *err) {
    int minor = -1;
    const char *tail = "";
    if (!split(text, &minor, &tail))
        return clm_fail(err, CLM_E_FORMAT, "version: \"%s\" is none of 0.1 to 0.6", text);
    bool early = minor == 6 && strncmp(tail, ".dev", 4) == 0 && tail[4] < '4' && !tail[5];
    *v = (clm_ome_version){.minor = minor > 6 ? 6 : minor, .object_ends = !early, .any_axes = minor > 6};
    (void)snprintf(v->text, sizeof v->text, "%s", text);
    return true;
}

/* Up to 0.4 the version stands in the object itself, and may be left out; axes tell then. */
static bool old_version(const clm_json *m, clm_ome_version *v, clm_err *err) {
    const clm_json *said = clm_json_get(m, "version");
    const clm_json *axes = clm_json_get(m, "axes");
    bool image = clm_json_get(m, "datasets") != NULL;
    const char *text = clm_json_text(said);
    if (said && !text) return clm_fail(err, CLM_E_FORMAT, "version: not a text");
    if (!text)
        text = !image || clm_json_kind_of(clm_json_first(axes)) == CLM_JSON_OBJECT ? "0.4"
               : axes                                                              ? "0.3"
                                                                                   : "0.1";
    if (!parse_version(text, v, err)) return false;
    return v->minor <= 4 || clm_fail(err, CLM_E_FORMAT, "version %s belongs below the key ome", text);
}

/* ---- datasets ---- */

/* 0.4 and 0.5: one scale, then at most one translation */
static bool scale_translation(const clm_json *v, int axes, bool needed, clm_err *err) {
    const clm_json *list;
    int at = 0;
    if (!clm_rule_list(v, "coordinateTransformations", needed, 1, false, &list, err)) return false;
    for (const clm_json *t = clm_json_first(list); t; t = clm_json_next(t), at++) {
        const char *type = clm_json_text(clm_json_get(t, "type"));
        const char *want = at == 0 ? "scale" : "translation";
        if (!type || at > 1 || strcmp(type, want) != 0)
            return clm_fail(err, CLM_E_FORMAT,
                            "coordinateTransformations: %s at place %d; one scale, then at most one "
                            "translation are allowed",
                            type ? type : "no type", at);
        if (clm_json_text(clm_json_get(t, "path"))) continue; /* numbers in an array */
        if (!clm_rule_numbers(t, type, axes, false, err)) return clm_err_in(err, "coordinateTransformations");
    }
    return true;
}

static bool dataset_ends(const clm_json *t, const clm_systems *s, const clm_ome_version *version, int *axes,
                         clm_err *err) {
    const clm_json *input = clm_json_get(t, "input"), *output = clm_json_get(t, "output");
    if (!version->object_ends && clm_json_text(input) && clm_json_text(output)) {
        *axes = clm_systems_axes(s, clm_json_text(output));
    } else {
        if (!clm_rule_object(t, "input", true, &input, err) || !clm_rule_text(input, "path", true, err) ||
            !clm_rule_object(t, "output", true, &output, err) || !clm_rule_text(output, "name", true, err))
            return clm_err_in(err, "input or output");
        *axes = clm_systems_axes(s, clm_json_text(clm_json_get(output, "name")));
    }
    return *axes >= 0 || clm_fail(err, CLM_E_FORMAT, "output: no coordinate system of that name");
}

/* 0.6: a scale, an identity, or a sequence of a scale and a translation, to a named system */
static bool to_system(const clm_json *d, const clm_systems *s, const clm_ome_version *version, clm_err *err) {
    const clm_json *list;
    int axes = -1, out = -1;
    if (!clm_rule_list(d, "coordinateTransformations", true, 1, true, &list, err)) return false;
    const clm_json *t = clm_json_first(list), *inner = clm_json_get(t, "transformations");
    const char *type = clm_json_text(clm_json_get(t, "type"));
    if (clm_json_size(list) != 1)
        return clm_fail(err, CLM_E_FORMAT, "coordinateTransformations: exactly one is allowed");
    bool sequence = type && strcmp(type, "sequence") == 0;
    if (!type || (strcmp(type, "scale") != 0 && strcmp(type, "identity") != 0 && !sequence))
        return clm_fail(err, CLM_E_FORMAT,
                        "coordinateTransformations: %s; scale, identity or a sequence of "
                        "scale and translation are allowed",
                        type ? type : "no type");
    for (int i = 0; sequence && i < 2; i++) {
        const char *is = clm_json_text(clm_json_get(clm_json_at(inner, i), "type"));
        if (clm_json_size(inner) != 2 || !is || strcmp(is, i ? "translation" : "scale") != 0)
            return clm_fail(err, CLM_E_FORMAT,
                            "coordinateTransformations: a sequence that is not scale, translation");
    }
    if (!dataset_ends(t, s, version, &axes, err) || !clm_rule_transform(t, version, axes, &out, err))
        return clm_err_in(err, "coordinateTransformations");
    return true;
}

static bool path_is_inside(const char *path) {
    return path[0] && path[0] != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
           !strstr(path, "/../");
}

/* No array twice, and "ordered from largest (highest resolution) to smallest": before is the dataset in front. */
static bool in_order(const clm_json *datasets, const clm_json *before, const clm_json *d, clm_err *err) {
    const char *path = clm_json_text(clm_json_get(d, "path"));
    for (const clm_json *e = clm_json_first(datasets); e && e != d; e = clm_json_next(e))
        if (strcmp(clm_json_text(clm_json_get(e, "path")), path) == 0)
            return clm_fail(err, CLM_E_FORMAT, "the same path twice");
    const clm_json *a =
        clm_json_get(clm_json_first(clm_json_get(before, "coordinateTransformations")), "scale");
    const clm_json *b = clm_json_get(clm_json_first(clm_json_get(d, "coordinateTransformations")), "scale");
    bool finer = false, coarser = false;
    for (a = clm_json_first(a), b = clm_json_first(b); a && b; a = clm_json_next(a), b = clm_json_next(b)) {
        double x = 0, y = 0;
        if (!clm_json_number(a, &x) || !clm_json_number(b, &y)) return true;
        finer = finer || y < x;
        coarser = coarser || y > x;
    }
    return !finer || coarser || clm_fail(err, CLM_E_FORMAT, "finer than the dataset before it");
}

static bool one_image(const clm_json *m, const clm_ome_version *version, clm_err *err) {
    const clm_json *datasets, *axes, *more;
    clm_systems s = {0};
    int n = 5;
    if (!clm_rule_list(m, "datasets", true, 1, false, &datasets, err) ||
        !clm_rule_text(m, "name", false, err))
        return false;
    if (version->minor >= 6 && !clm_rule_systems(m, true, version, &s, err)) return false;
    if ((version->minor == 4 || version->minor == 5) && !clm_rule_axes(m, version, &n, err)) return false;
    if (version->minor == 3) {
        if (!clm_rule_list(m, "axes", true, 2, true, &axes, err)) return false;
        for (const clm_json *a = clm_json_first(axes); a; a = clm_json_next(a)) {
            const char *name = clm_json_text(a);
            if (!name || !name[0] || name[1] || !strchr("tczyx", name[0]))
                return clm_fail(err, CLM_E_FORMAT, "axes: want names of t c z y x");
        }
    }
    const clm_json *before = NULL;
    for (const clm_json *d = clm_json_first(datasets); d; before = d, d = clm_json_next(d)) {
        if (!clm_rule_text(d, "path", true, err)) return clm_err_in(err, "datasets");
        const char *path = clm_json_text(clm_json_get(d, "path"));
        bool ok = path_is_inside(path) || clm_fail(err, CLM_E_FORMAT, "path leads out of the image");
        if (ok && version->minor >= 6) ok = to_system(d, &s, version, err);
        if (ok && (version->minor == 4 || version->minor == 5))
            ok = scale_translation(d, n, true, err) && in_order(datasets, before, d, err);
        if (!ok) return clm_err_in(err, "datasets: %s", path);
    }
    if (version->minor == 4 || version->minor == 5) return scale_translation(m, n, false, err);
    if (version->minor < 6) return true;
    return clm_rule_list(m, "coordinateTransformations", false, 1, false, &more, err) &&
           clm_rule_transforms(more, &s, version, false, err);
}

/* ---- all that attributes may be ---- */

typedef struct part {
    const char *key, *what;
} part;

static const part parts[] = {{"multiscales", "image"}, {"plate", "plate"},
                             {"well", "well"},         {"image-label", "label"},
                             {"labels", "labels"},     {"series", "series"},
                             {"scene", "scene"},       {"bioformats2raw.layout", "bioformats2raw"},
                             {"omero", "omero"}};
#define PARTS ((int)(sizeof parts / sizeof parts[0]))

static bool check_part(const clm_json *o, const char *key, const clm_ome_version *version, clm_err *err) {
    const clm_json *v = clm_json_get(o, key), *list;
    clm_systems s;
    if (strcmp(key, "multiscales") == 0) {
        if (!clm_rule_list(o, key, true, 1, true, &list, err)) return false;
        for (const clm_json *m = clm_json_first(list); m; m = clm_json_next(m))
            if (!one_image(m, version, err)) return false;
        return true;
    }
    if (strcmp(key, "labels") == 0 || strcmp(key, "series") == 0) {
        if (!clm_rule_list(o, key, true, 1, false, &list, err)) return false;
        for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k))
            if (!clm_json_text(k)) return clm_fail(err, CLM_E_FORMAT, "not all are texts");
        return true;
    }
    if (strcmp(key, "bioformats2raw.layout") == 0) return clm_rule_whole(o, key, true, 3, 3, err);
    if (clm_json_kind_of(v) != CLM_JSON_OBJECT) return clm_fail(err, CLM_E_FORMAT, "not an object");
    if (strcmp(key, "plate") == 0) return clm_rule_plate(v, version, err);
    if (strcmp(key, "well") == 0) return clm_rule_well(v, version, err);
    if (strcmp(key, "image-label") == 0) return clm_rule_label(v, err);
    if (strcmp(key, "omero") == 0) return clm_rule_omero(v, version, err);
    return clm_rule_systems(v, false, version, &s, err) &&
           clm_rule_list(v, "coordinateTransformations", true, 1, false, &list, err) &&
           clm_rule_transforms(list, &s, version, true, err);
}

bool clm_validate_ome(const clm_json *attributes, char what[64], clm_err *err) {
    const clm_json *ome = clm_json_get(attributes, "ome"), *o = ome ? ome : attributes;
    clm_ome_version version = {.minor = 4, .text = "0.4"};
    what[0] = 0;
    if (ome && clm_json_kind_of(ome) != CLM_JSON_OBJECT)
        return clm_fail(err, CLM_E_FORMAT, "ome: not an object");
    if (ome) {
        if (!clm_rule_text(ome, "version", true, err)) return clm_err_in(err, "ome");
        if (!parse_version(clm_json_text(clm_json_get(ome, "version")), &version, err))
            return clm_err_in(err, "ome");
        if (version.minor < 5)
            return clm_fail(err, CLM_E_FORMAT, "ome: version %s has no such key", version.text);
    }
    bool shown = false;
    for (int i = 0; i < PARTS; i++) {
        const clm_json *v = clm_json_get(o, parts[i].key);
        if (!v) continue;
        /* COSEM's multiscales of N5 have their own shape */
        if (!ome && i == 0 &&
            clm_json_get(clm_json_first(clm_json_get(clm_json_first(v), "datasets")), "transform"))
            continue;
        const clm_json *told = clm_json_kind_of(v) == CLM_JSON_LIST ? clm_json_first(v) : v;
        if (!ome && clm_json_kind_of(told) == CLM_JSON_OBJECT && strcmp(parts[i].key, "omero") != 0 &&
            !old_version(told, &version, err))
            return clm_err_in(err, "%s", parts[i].key);
        if (!check_part(o, parts[i].key, &version, err)) return clm_err_in(err, "%s", parts[i].key);
        if (!shown) (void)snprintf(what, 64, "%s of OME-Zarr %s", parts[i].what, version.text);
        shown = true;
    }
    return !ome || shown ||
           clm_fail(err, CLM_E_FORMAT,
                    "ome: none of multiscales, plate, well, image-label, "
                    "labels, series, scene");
}
