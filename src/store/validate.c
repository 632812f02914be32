#include "collimate/store/validate.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/image.h"
#include "collimate/store/node.h"
#include "collimate/store/scale.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MOST 32

typedef struct walk {
    const clm_validate_options *options;
    int64_t arrays, groups, chunks;
    char what[64]; /* the outermost OME-Zarr thing */
    char note[160];
} walk;

/* ---- arrays ---- */

static bool decoded(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err) {
    (void)ctx;
    (void)a;
    (void)p;
    (void)err;
    return true;
}

static bool check_chunks(walk *w, const clm_array *a, clm_err *err) {
    const int64_t zero[CLM_DIMS_MAX] = {0};
    int64_t grid[CLM_DIMS_MAX];
    w->chunks += clm_array_chunk_grid(a, grid);
    return clm_array_each(a, zero, clm_array_info_of(a)->shape, decoded, NULL, NULL, w->options->threads,
                          err);
}

static bool check_array(walk *w, const char *path, clm_err *err) {
    clm_array *a = NULL;
    if (!clm_array_open(path, &a, err)) return false;
    w->arrays++;
    bool ok = !w->options->chunks || check_chunks(w, a, err);
    clm_array_close(a);
    return ok;
}

/* A file, or a path inside one: an array, or a pyramid of them. */
static bool check_volume(walk *w, const char *path, clm_err *err) {
    clm_err other = CLM_ERR_NONE;
    clm_scales s = {0};
    if (check_array(w, path, err)) return true;
    if (err->code != CLM_E_ARG || !clm_scales_of_pyramid_file(path, -1, -1, &s, &other) || s.n == 0)
        return false;
    for (int i = 0; i < s.n; i++) {
        char child[CLM_PATH_MAX];
        if (!clm_path_join(child, path, s.level[i].path, err) || !check_array(w, child, err)) return false;
    }
    return true;
}

/* ---- images: do the arrays fit what the group says? ---- */

static bool check_names(const char *child, const clm_json *axes, int ndim, clm_err *err) {
    char file[CLM_PATH_MAX];
    clm_json *v = NULL;
    if (!clm_path_join(file, child, "zarr.json", err) || !clm_json_read(file, &v, err)) return false;
    const clm_json *names = clm_json_get(v, "dimension_names");
    bool ok = true;
    for (int d = 0; ok && names && d < ndim; d++) {
        const char *name = clm_json_text(clm_json_at(names, d));
        const char *axis = clm_json_text(clm_json_get(clm_json_at(axes, d), "name"));
        ok = (name && axis && strcmp(name, axis) == 0) ||
             clm_fail(err, CLM_E_FORMAT, "%s: dimension_names: %s, the axis is %s", child,
                      name ? name : "none", axis ? axis : "unnamed");
    }
    if (ok && !names) ok = clm_fail(err, CLM_E_FORMAT, "%s: dimension_names is missing", child);
    clm_json_free(v);
    return ok;
}

/* One dataset; *there: its array exists. before: shape of the level before it, finer. */
static bool check_level(const char *path, const char *name, const clm_json *m, bool v05,
                        clm_array_info *before, bool *there, clm_err *err) {
    char child[CLM_PATH_MAX];
    clm_array *a = NULL;
    if (!clm_path_join(child, path, name, err)) return false;
    *there = clm_node_is_array(clm_node_kind_of(child));
    if (!*there) return true;
    if (!clm_array_open(child, &a, err)) return false;
    clm_array_info i = *clm_array_info_of(a);
    clm_array_close(a);
    const clm_json *axes = clm_json_get(m, "axes");
    int64_t n = axes ? clm_json_size(axes) : i.ndim;
    if (n != i.ndim)
        return clm_fail(err, CLM_E_FORMAT, "%s: %d dimensions, the image has %lld axes", child, i.ndim,
                        (long long)n);
    if (before->ndim && (before->ndim != i.ndim || before->dtype != i.dtype))
        return clm_fail(err, CLM_E_FORMAT, "%s: %d-D %s, the level before is %d-D %s", child, i.ndim,
                        clm_dtype_name(i.dtype), before->ndim, clm_dtype_name(before->dtype));
    for (int d = 0; before->ndim && d < i.ndim; d++)
        if (i.shape[d] > before->shape[d])
            return clm_fail(err, CLM_E_FORMAT, "%s: larger than the level before it", child);
    *before = i;
    return !v05 || !axes || check_names(child, axes, i.ndim, err);
}

static bool check_image(walk *w, const char *path, const clm_json *attrs, clm_err *err) {
    const clm_json *ome = clm_json_get(attrs, "ome");
    const clm_json *list = clm_json_get(ome ? ome : attrs, "multiscales");
    const char *version = clm_json_text(clm_json_get(ome, "version"));
    for (const clm_json *m = clm_json_first(list); m; m = clm_json_next(m)) {
        clm_array_info before = {0};
        int64_t there = 0, n = 0;
        const char *absent = NULL;
        const clm_json *datasets = clm_json_get(m, "datasets");
        for (const clm_json *d = clm_json_first(datasets); d; d = clm_json_next(d), n++) {
            const char *name = clm_json_text(clm_json_get(d, "path"));
            bool is = false;
            if (!name ||
                !check_level(path, name, m, version && strcmp(version, "0.5") == 0, &before, &is, err))
                return false;
            there += is;
            if (!is) absent = name;
        }
        if (there > 0 && absent)
            return clm_fail(err, CLM_E_FORMAT, "%s: dataset %s is not there", path, absent);
        if (there == 0) /* a document without voxels: told, not refused */
            (void)snprintf(w->note, sizeof w->note, "none of the %lld arrays of the image is there",
                           (long long)n);
    }
    return true;
}

/* The pyramids of N5 have no schema: what is said must make sense. */
static bool check_n5(const char *path, const clm_json *attrs, clm_err *err) {
    clm_scales s = {0};
    if (!clm_json_get(attrs, "dimensions")) return true;
    char parent[CLM_PATH_MAX];
    clm_json *group = NULL;
    if (!clm_path_format(parent, err, "%s", path)) return false;
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) *slash = 0;
    bool ok = clm_json_size(clm_json_get(attrs, "dimensions")) != 3 || !slash ||
              (clm_node_attrs(parent, &group, err) &&
               clm_scale_of_n5(group, attrs, clm_path_name(path), &s, 0, err));
    if (!ok && err->code == CLM_E_ARG) err->code = CLM_E_FORMAT;
    clm_json_free(group);
    return ok || clm_err_in(err, "%s", path);
}

/* ---- hierarchies ---- */

static bool check_attrs(walk *w, const char *path, clm_node_kind kind, clm_err *err) {
    clm_json *attrs = NULL;
    char what[64] = "";
    if (!clm_node_attrs(path, &attrs, err)) return clm_err_in(err, "%s", path);
    bool n5 = kind == CLM_NODE_N5_ARRAY || kind == CLM_NODE_N5_GROUP, array = clm_node_is_array(kind);
    bool ok = true;
    if (n5)
        ok = check_n5(path, attrs, err);
    else if (!array)
        ok = clm_validate_ome(attrs, what, err) ? check_image(w, path, attrs, err)
                                                : clm_err_in(err, "%s", path);
    if (ok && what[0] && !w->what[0]) memcpy(w->what, what, sizeof w->what);
    clm_json_free(attrs);
    return ok;
}

static bool check_node(walk *w, const char *path, int depth, clm_err *err);

static bool check_children(walk *w, const char *path, int depth, clm_err *err) {
    clm_names names = {0};
    if (!clm_folder_list(path, &names, err)) return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < names.n; i++) {
        char child[CLM_PATH_MAX];
        if (names.name[i][0] == '.') continue;
        ok = clm_path_join(child, path, names.name[i], err);
        if (ok && clm_path_kind_of(child) == CLM_PATH_FOLDER) ok = check_node(w, child, depth + 1, err);
    }
    clm_names_free(&names);
    return ok;
}

static bool check_node(walk *w, const char *path, int depth, clm_err *err) {
    clm_node_kind kind = clm_node_kind_of(path);
    if (depth > DEPTH_MOST)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: more than %d levels deep", path, DEPTH_MOST);
    if (kind != CLM_NODE_NONE && !check_attrs(w, path, kind, err)) return false;
    if (clm_node_is_array(kind)) return check_array(w, path, err);
    w->groups += kind != CLM_NODE_NONE;
    return check_children(w, path, depth, err);
}

/* ---- documents alone ---- */

static bool check_group_document(walk *w, const clm_json *v, clm_err *err) {
    const char *type = clm_json_text(clm_json_get(v, "node_type"));
    const clm_json *attrs = clm_json_get(v, "attributes");
    if (!type || strcmp(type, "group") != 0)
        return clm_fail(err, CLM_E_FORMAT, "node_type: neither array nor group");
    if (attrs && clm_json_kind_of(attrs) != CLM_JSON_OBJECT)
        return clm_fail(err, CLM_E_FORMAT, "attributes: not an object");
    w->groups++;
    return !attrs || clm_validate_ome(attrs, w->what, err);
}

static bool check_document(walk *w, const char *name, const clm_buf *text, clm_err *err) {
    clm_json *v = NULL;
    clm_array *a = NULL;
    int64_t format = 0;
    if (!clm_json_parse(text->data, text->n, name, &v, err)) return false;
    (void)clm_json_int(clm_json_get(v, "zarr_format"), &format);
    const char *type = clm_json_text(clm_json_get(v, "node_type"));
    bool ok = true, v3 = format == 3 || strcmp(name, "zarr.json") == 0,
         array = type && strcmp(type, "array") == 0;
    clm_array_of_text of_text = NULL;
    if (clm_json_kind_of(v) != CLM_JSON_OBJECT) {
        ok = clm_fail(err, CLM_E_FORMAT, "not an object");
    } else if (v3 && !array) {
        ok = format == 3 || clm_fail(err, CLM_E_FORMAT, "zarr_format is not 3");
        ok = ok && check_group_document(w, v, err);
    } else if (v3) {
        of_text = clm_zarr3_of_text;
    } else if (strcmp(name, ".zarray") == 0 || (format == 2 && clm_json_get(v, "shape"))) {
        of_text = clm_zarr2_of_text;
    } else if (strcmp(name, ".zgroup") == 0 || format) {
        ok = format == 2 || clm_fail(err, CLM_E_FORMAT, "zarr_format is not 2");
        w->groups++;
    } else if (clm_json_get(v, "dimensions") || clm_json_get(v, "blockSize")) {
        of_text = clm_n5_of_text;
    } else {
        ok = clm_validate_ome(v, w->what, err);
        if (ok && !w->what[0] && strcmp(name, "attributes.json") != 0 && strcmp(name, ".zattrs") != 0)
            ok = clm_fail(err, CLM_E_FORMAT, "no metadata of Zarr, N5 or OME-Zarr");
    }
    if (of_text) ok = of_text("", text, &a, err);
    if (of_text && ok) w->arrays++;
    clm_array_close(a);
    clm_json_free(v);
    return ok;
}

static bool check_file(walk *w, const char *path, clm_err *err) {
    clm_buf text = {0};
    clm_err head = CLM_ERR_NONE;
    const char *name = clm_path_name(path);
    bool named = clm_text_ends(name, ".json") || strcmp(name, ".zarray") == 0 ||
                 strcmp(name, ".zattrs") == 0 || strcmp(name, ".zgroup") == 0 ||
                 strcmp(name, ".zmetadata") == 0;
    size_t at = 0;
    if (!named && clm_file_head(path, 64, &text, &head))
        while (at < text.n && strchr(" \t\r\n", text.data[at])) at++;
    if (!named && !(at < text.n && text.data[at] == '{')) {
        clm_buf_free(&text);
        return check_volume(w, path, err);
    }
    text.n = 0;
    bool ok = clm_file_read(path, (size_t)64 << 20, &text, err) && check_document(w, name, &text, err);
    clm_buf_free(&text);
    return ok ? true : clm_err_in(err, "%s", path);
}

bool clm_validate(const char *path, const clm_validate_options *options, clm_buf *found, clm_err *err) {
    walk w = {.options = options};
    bool ok;
    if (path[0] == '{') {
        clm_buf text = {.data = (unsigned char *)(uintptr_t)path, .n = strlen(path)};
        ok = check_document(&w, "document", &text, err);
    } else {
        switch (clm_path_kind_of(path)) {
        case CLM_PATH_FOLDER: ok = check_node(&w, path, 0, err); break;
        case CLM_PATH_FILE: ok = check_file(&w, path, err); break;
        default: ok = check_volume(&w, path, err); break; /* inside a file, or nothing */
        }
        if (ok && w.arrays + w.groups == 0 && !w.what[0] && clm_path_kind_of(path) == CLM_PATH_FOLDER)
            ok = clm_fail(err, CLM_E_FORMAT, "%s: no metadata of Zarr or N5 in it", path);
    }
    if (!ok) return false;
    if (w.what[0] && !clm_buf_printf(found, err, "%s, ", w.what)) return false;
    if (w.note[0] && !clm_buf_printf(found, err, "%s, ", w.note)) return false;
    if (w.chunks && !clm_buf_printf(found, err, "%lld chunks, ", (long long)w.chunks)) return false;
    return clm_buf_printf(found, err, "%lld array%s, %lld group%s", (long long)w.arrays,
                          w.arrays == 1 ? "" : "s", (long long)w.groups, w.groups == 1 ? "" : "s");
}
