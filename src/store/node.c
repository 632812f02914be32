#include "collimate/store/node.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <string.h>

static bool has_file(const char *path, const char *name) {
    char file[CLM_PATH_MAX];
    clm_err ignored = CLM_ERR_NONE;
    return clm_path_join(file, path, name, &ignored) && clm_path_kind_of(file) == CLM_PATH_FILE;
}

static bool read_in(const char *path, const char *name, clm_json **out, clm_err *err) {
    char file[CLM_PATH_MAX];
    return clm_path_join(file, path, name, err) && clm_json_read(file, out, err);
}

/* What cannot be read is told by who opens it then; but a failure that passes must not make an array of a group. */
static bool read_again(const char *path, const char *name, clm_json **out) {
    clm_err ignored = CLM_ERR_NONE;
    return read_in(path, name, out, &ignored) || read_in(path, name, out, &ignored);
}

clm_node_kind clm_node_kind_of(const char *path) {
    clm_json *v = NULL;
    if (has_file(path, "zarr.json")) {
        const char *type =
            read_again(path, "zarr.json", &v) ? clm_json_text(clm_json_get(v, "node_type")) : NULL;
        bool group = type && strcmp(type, "group") == 0;
        clm_json_free(v);
        return group ? CLM_NODE_ZARR3_GROUP : CLM_NODE_ZARR3_ARRAY;
    }
    if (has_file(path, ".zarray")) return CLM_NODE_ZARR2_ARRAY;
    if (has_file(path, ".zgroup")) return CLM_NODE_ZARR2_GROUP;
    if (has_file(path, "attributes.json")) {
        bool group = read_again(path, "attributes.json", &v) && !clm_json_get(v, "dimensions");
        clm_json_free(v);
        return group ? CLM_NODE_N5_GROUP : CLM_NODE_N5_ARRAY;
    }
    return has_file(path, ".zattrs") ? CLM_NODE_ZARR2_GROUP : CLM_NODE_NONE;
}

const char *clm_node_document_of(const char *path) {
    clm_node_kind kind = clm_node_kind_of(path);
    return kind == CLM_NODE_ZARR3_ARRAY   ? "zarr.json"
           : kind == CLM_NODE_ZARR2_ARRAY ? ".zarray"
                                          : "attributes.json";
}

bool clm_node_attrs(const char *path, clm_json **out, clm_err *err) {
    clm_node_kind kind = clm_node_kind_of(path);
    *out = NULL;
    bool v3 = kind == CLM_NODE_ZARR3_ARRAY || kind == CLM_NODE_ZARR3_GROUP;
    bool v2 = kind == CLM_NODE_ZARR2_ARRAY || kind == CLM_NODE_ZARR2_GROUP;
    if (kind == CLM_NODE_NONE || (v2 && !has_file(path, ".zattrs")))
        return (*out = clm_json_new_object(err)) != NULL;
    clm_json *whole = NULL;
    if (!read_in(path, v3 ? "zarr.json" : v2 ? ".zattrs" : "attributes.json", &whole, err)) return false;
    const clm_json *part = v3 ? clm_json_get(whole, "attributes") : whole;
    bool object = part && clm_json_kind_of(part) == CLM_JSON_OBJECT;
    *out = object ? clm_json_copy(part, err) : clm_json_new_object(err);
    clm_json_free(whole);
    return *out != NULL;
}

/* One name more at the end of out, or, for "..", one less. */
static bool step_down(char out[CLM_PATH_MAX], const char *name, size_t n) {
    size_t at = strlen(out);
    if (n == 0 || (n == 1 && name[0] == '.')) return true;
    if (n == 2 && name[0] == '.' && name[1] == '.') {
        char *slash = strrchr(out, '/');
        if (at == 0) return false;
        *(slash ? slash : out) = 0;
        return true;
    }
    if (at + n + 2 > CLM_PATH_MAX) return false;
    if (at) out[at++] = '/';
    memcpy(out + at, name, n);
    out[at + n] = 0;
    return true;
}

bool clm_node_below(char out[CLM_PATH_MAX], const char *group, const char *path, clm_err *err) {
    const char *part[2] = {path[0] == '/' ? "" : group, path};
    out[0] = 0;
    for (int i = 0; i < 2; i++)
        for (const char *p = part[i]; *p;) {
            size_t n = strcspn(p, "/");
            if (!step_down(out, p, n))
                return clm_fail(err, CLM_E_FORMAT, "path \"%.200s\" leads out of the store", path);
            p += n + (p[n] == '/');
        }
    return true;
}

static bool publish_json(const char *path, const char *name, const clm_json *v, clm_err *err) {
    char file[CLM_PATH_MAX];
    clm_buf b = {0};
    bool ok = clm_path_join(file, path, name, err) && clm_json_print(v, true, &b, err) &&
              clm_file_publish(file, b.data, b.n, true, err);
    clm_buf_free(&b);
    return ok;
}

bool clm_node_put_attrs(const char *path, const clm_json *attrs, clm_err *err) {
    return publish_json(path, ".zattrs", attrs, err);
}

bool clm_node_make_group(const char *path, clm_format format, const clm_json *attrs, clm_err *err) {
    clm_json *v = format == CLM_FORMAT_N5 && attrs ? clm_json_copy(attrs, err) : clm_json_new_object(err);
    if (!v) return false;
    bool ok = true;
    const char *name = "attributes.json";
    if (format == CLM_FORMAT_ZARR3) {
        name = "zarr.json";
        clm_json_add_number(v, "zarr_format", 3);
        clm_json_add_text(v, "node_type", "group");
        clm_json *copy = attrs ? clm_json_copy(attrs, err) : clm_json_new_object(err);
        ok = copy && clm_json_put(v, "attributes", copy);
    } else if (format == CLM_FORMAT_ZARR2) {
        name = ".zgroup";
        clm_json_add_number(v, "zarr_format", 2);
        if (attrs) ok = clm_node_put_attrs(path, attrs, err);
    }
    ok = ok && publish_json(path, name, v, err);
    clm_json_free(v);
    return ok;
}

bool clm_node_not_array(const char *path, clm_err *err) {
    clm_node_kind kind = clm_node_kind_of(path);
    clm_names names = {0};
    clm_err ignored = CLM_ERR_NONE;
    char found[300] = "";
    int shown = 0;
    bool group = kind == CLM_NODE_ZARR3_GROUP || kind == CLM_NODE_ZARR2_GROUP || kind == CLM_NODE_N5_GROUP;
    if (clm_folder_list(path, &names, &ignored)) {
        for (int64_t i = 0; i < names.n && shown < 6; i++) {
            char child[CLM_PATH_MAX];
            if (!clm_path_join(child, path, names.name[i], &ignored)) continue;
            if (!clm_node_is_array(clm_node_kind_of(child))) continue;
            size_t at = strlen(found);
            (void)snprintf(found + at, sizeof found - at, "%s%s", shown++ ? ", " : "", names.name[i]);
        }
        clm_names_free(&names);
    }
    if (shown) return clm_fail(err, CLM_E_FORMAT, "a group, not an array; arrays in it: %s", found);
    return clm_fail(err, CLM_E_FORMAT, "not an array%s",
                    group ? " but a group without arrays directly in it"
                          : ": no zarr.json, .zarray or attributes.json in it");
}
