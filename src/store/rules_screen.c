#include "collimate/store/rules.h"

#include <string.h>

/* What OME-Zarr says beside images: plates and wells of a screen, labels, how to show channels. */

static bool each_name(const clm_json *list, const char *what, clm_err *err) {
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k))
        if (!clm_rule_name(k, "name", 1, "", err)) return clm_err_in(err, "%s", what);
    return true;
}

static bool one_acquisition(const clm_json *a, clm_err *err) {
    return clm_rule_whole(a, "id", true, 0, INT64_MAX, err) &&
           clm_rule_whole(a, "maximumfieldcount", false, 1, INT64_MAX, err) &&
           clm_rule_text(a, "name", false, err) && clm_rule_text(a, "description", false, err) &&
           clm_rule_whole(a, "starttime", false, 0, INT64_MAX, err) &&
           clm_rule_whole(a, "endtime", false, 0, INT64_MAX, err);
}

/* 0.4 on: a well names its place; it must be that of its path. */
static bool one_well(const clm_json *w, const clm_json *rows, const clm_json *columns,
                     const clm_ome_version *version, clm_err *err) {
    int64_t row = 0, column = 0;
    if (!clm_rule_name(w, "path", 2, "", err)) return false;
    if (version->minor < 4) return true;
    if (!clm_rule_whole(w, "rowIndex", true, 0, clm_json_size(rows) - 1, err) ||
        !clm_rule_whole(w, "columnIndex", true, 0, clm_json_size(columns) - 1, err))
        return false;
    const char *path = clm_json_text(clm_json_get(w, "path"));
    (void)clm_json_int(clm_json_get(w, "rowIndex"), &row);
    (void)clm_json_int(clm_json_get(w, "columnIndex"), &column);
    const char *r = clm_json_text(clm_json_get(clm_json_at(rows, row), "name"));
    const char *c = clm_json_text(clm_json_get(clm_json_at(columns, column), "name"));
    size_t n = strlen(r);
    bool by_row = strncmp(path, r, n) == 0 && path[n] == '/' && strcmp(path + n + 1, c) == 0;
    n = strlen(c); /* examples of the specification itself have the column first */
    bool by_column = strncmp(path, c, n) == 0 && path[n] == '/' && strcmp(path + n + 1, r) == 0;
    return by_row || by_column ||
           clm_fail(err, CLM_E_FORMAT, "path \"%s\" is not row %s, column %s", path, r, c);
}

bool clm_rule_plate(const clm_json *plate, const clm_ome_version *version, clm_err *err) {
    const clm_json *rows, *columns, *wells, *acquisitions;
    if (!clm_rule_list(plate, "columns", true, 1, true, &columns, err) ||
        !clm_rule_list(plate, "rows", true, 1, true, &rows, err) ||
        !clm_rule_list(plate, "wells", true, 1, true, &wells, err) ||
        !clm_rule_list(plate, "acquisitions", false, 0, false, &acquisitions, err) ||
        !each_name(columns, "columns", err) || !each_name(rows, "rows", err) ||
        !clm_rule_whole(plate, "field_count", false, 1, INT64_MAX, err) ||
        !clm_rule_text(plate, "name", false, err))
        return false;
    for (const clm_json *a = clm_json_first(acquisitions); a; a = clm_json_next(a))
        if (!one_acquisition(a, err)) return clm_err_in(err, "acquisitions");
    for (const clm_json *w = clm_json_first(wells); w; w = clm_json_next(w))
        if (!one_well(w, rows, columns, version, err)) return clm_err_in(err, "wells");
    return true;
}

bool clm_rule_well(const clm_json *well, const clm_ome_version *version, clm_err *err) {
    const clm_json *images;
    if (!clm_rule_list(well, "images", true, 1, true, &images, err)) return false;
    for (const clm_json *k = clm_json_first(images); k; k = clm_json_next(k))
        if (!clm_rule_whole(k, "acquisition", false, INT64_MIN, INT64_MAX, err) ||
            !clm_rule_name(k, "path", 1, version->minor >= 6 ? "_.-" : "", err))
            return clm_err_in(err, "images");
    return true;
}

static bool one_color(const clm_json *k, clm_err *err) {
    const clm_json *rgba;
    if (!clm_rule_number(k, "label-value", true, err) ||
        !clm_rule_list(k, "rgba", false, 4, false, &rgba, err))
        return false;
    if (clm_json_size(rgba) > 4) return clm_fail(err, CLM_E_FORMAT, "rgba: more than four numbers");
    for (const clm_json *c = clm_json_first(rgba); c; c = clm_json_next(c)) {
        int64_t x;
        if (!clm_json_int(c, &x) || x < 0 || x > 255)
            return clm_fail(err, CLM_E_FORMAT, "rgba: want whole numbers, 0 to 255");
    }
    return true;
}

bool clm_rule_label(const clm_json *label, clm_err *err) {
    const clm_json *colors, *properties, *source;
    if (!clm_rule_list(label, "colors", false, 1, true, &colors, err) ||
        !clm_rule_list(label, "properties", false, 1, true, &properties, err) ||
        !clm_rule_object(label, "source", false, &source, err) ||
        (source && !clm_rule_text(source, "image", false, err)))
        return false;
    for (const clm_json *k = clm_json_first(colors); k; k = clm_json_next(k))
        if (!one_color(k, err)) return clm_err_in(err, "colors");
    for (const clm_json *k = clm_json_first(properties); k; k = clm_json_next(k))
        if (!clm_rule_whole(k, "label-value", true, INT64_MIN, INT64_MAX, err))
            return clm_err_in(err, "properties");
    return true;
}

bool clm_rule_omero(const clm_json *omero, const clm_ome_version *version, clm_err *err) {
    static const char *const ends[] = {"start", "min", "end", "max"};
    const clm_json *channels, *window;
    bool needed = version->minor < 6; /* window and color */
    if (!clm_rule_list(omero, "channels", true, 0, false, &channels, err)) return false;
    for (const clm_json *c = clm_json_first(channels); c; c = clm_json_next(c)) {
        bool ok = clm_rule_object(c, "window", needed && version->minor >= 4, &window, err) &&
                  clm_rule_text(c, "color", needed && version->minor >= 4, err) &&
                  clm_rule_text(c, "label", false, err) && clm_rule_text(c, "family", false, err) &&
                  clm_rule_bool(c, "active", err);
        for (int i = 0; ok && window && i < 4; i++) ok = clm_rule_number(window, ends[i], true, err);
        if (!ok) return clm_err_in(err, "channels");
    }
    return true;
}
