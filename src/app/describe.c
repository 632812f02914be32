#include "collimate/app/describe.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/image.h"
#include "collimate/store/node.h"
#include "collimate/transform/transform.h"

#include <string.h>

static void add_chunks(clm_json *v, const clm_array_info *i) {
    if (memcmp(i->chunk, i->inner, (size_t)i->ndim * sizeof i->chunk[0]) != 0)
        clm_json_add_ints(v, "shard", i->chunk, i->ndim);
    clm_json_add_ints(v, "chunk", i->inner, i->ndim);
}

static void add_array(clm_json *v, const clm_array_info *i, bool shape) {
    clm_json_add_text(v, "format", i->format);
    clm_json_add_text(v, "dtype", clm_dtype_name(i->dtype));
    clm_json_add_text(v, "codec", i->codec);
    if (!shape) return;
    clm_json_add_ints(v, "shape", i->shape, i->ndim);
    add_chunks(v, i);
}

static void add_image(clm_json *v, const clm_image *im) {
    const clm_image_info *i = clm_image_info_of(im);
    clm_json_add_text(v, "kind", "image");
    add_array(v, clm_array_info_of(clm_image_array_of(im, 0)), false);
    clm_json_add_text(v, "dialect", i->dialect);
    clm_json_add_text(v, "unit", i->unit);
    clm_json_add_number(v, "channels", (double)i->channels);
    clm_json_add_number(v, "times", (double)i->times);
    clm_json *levels = clm_json_add_list(v, "levels");
    for (int k = 0; k < i->n_levels; k++) {
        const clm_array_info *a = clm_array_info_of(clm_image_array_of(im, k));
        clm_json *l = clm_json_add_object(levels, NULL);
        clm_json_add_text(l, "path", i->level[k].path);
        clm_json_add_ints(l, "shape", i->level[k].shape, 3);
        add_chunks(l, a);
        clm_json_add_numbers(l, "spacing_um", i->level[k].spacing_um, 3);
        clm_json_add_numbers(l, "origin_um", i->level[k].origin_um, 3);
    }
}

static void add_transform(clm_json *v, const clm_transform *t) {
    clm_json_add_text(v, "kind", "transform");
    clm_json *rows = clm_json_add_list(v, "affine");
    for (int d = 0; d < 3; d++) clm_json_add_numbers(rows, NULL, t->affine.m[d], 4);
    if (!t->field) return;
    clm_json *l = clm_json_add_object(v, "lattice");
    clm_json_add_ints(l, "shape", t->shape, 3);
    clm_json_add_numbers(l, "spacing_um", t->spacing_um, 3);
    clm_json_add_numbers(l, "origin_um", t->origin_um, 3);
}

static bool add_group(clm_json *v, const char *path, clm_err *err) {
    clm_names names = {0};
    char child[CLM_PATH_MAX];
    if (!clm_folder_list(path, &names, err)) return false;
    clm_json_add_text(v, "kind", "group");
    clm_json *list = clm_json_add_list(v, "children");
    int64_t found = 0;
    for (int64_t i = 0; i < names.n; i++) {
        clm_err ignored = CLM_ERR_NONE;
        if (names.name[i][0] == '.' || !clm_path_join(child, path, names.name[i], &ignored)) continue;
        if (clm_path_kind_of(child) != CLM_PATH_FOLDER) continue;
        clm_json_add_text(list, NULL, names.name[i]);
        found++;
    }
    clm_names_free(&names);
    return found > 0 || clm_node_not_array(path, err);
}

/* but was not opened as one */
static bool meant_as_image(const char *path, bool *is, clm_err *err) {
    clm_json *attrs = NULL;
    if (!clm_node_attrs(path, &attrs, err)) return false;
    *is = clm_json_get(attrs, "multiscales") || clm_json_get(clm_json_get(attrs, "ome"), "multiscales");
    clm_json_free(attrs);
    return true;
}

static bool describe(clm_json *v, const char *path, clm_err *err) {
    clm_image *im = NULL;
    clm_array *a = NULL;
    clm_transform t;
    clm_err why = CLM_ERR_NONE, other = CLM_ERR_NONE;
    clm_json_add_text(v, "path", path);
    if (clm_transform_open(path, false, &t, &other)) {
        add_transform(v, &t);
        clm_transform_close(&t);
        return true;
    }
    if (clm_err_is_refusal(&other)) return *err = other, false;
    clm_image_options any = CLM_IMAGE_DEFAULTS; /* channels are to be told, not to be chosen */
    any.channel = any.time = 0;
    if (clm_image_open(path, &any, &im, &why)) {
        add_image(v, im);
        clm_image_close(im);
        return true;
    }
    if (clm_err_is_refusal(&why)) return *err = why, false;
    if (clm_array_open(path, &a, &other)) {
        clm_json_add_text(v, "kind", "array");
        add_array(v, clm_array_info_of(a), true);
        clm_json_add_text(v, "note", why.text);
        clm_array_close(a);
        return true;
    }
    if (clm_err_is_refusal(&other)) return *err = other, false;
    if (clm_path_kind_of(path) == CLM_PATH_NONE || clm_text_ends(path, ".xml")) {
        *err = clm_text_ends(path, ".xml") || strstr(path, ".xml/") ? why : other;
        return false;
    }
    clm_node_kind kind = clm_path_kind_of(path) == CLM_PATH_FOLDER ? clm_node_kind_of(path) : CLM_NODE_NONE;
    bool group = kind == CLM_NODE_ZARR3_GROUP || kind == CLM_NODE_ZARR2_GROUP || kind == CLM_NODE_N5_GROUP;
    bool meant = false;
    if (group && !meant_as_image(path, &meant, err)) return false;
    if (meant) clm_json_add_text(v, "note", why.text);
    if (group) return add_group(v, path, err);
    *err = other;
    return false;
}

bool clm_describe(const char *path, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    *out = NULL;
    if (!v) return false;
    if (!describe(v, path, err)) {
        clm_json_free(v);
        return false;
    }
    *out = v;
    return true;
}

/* "1 x 2 x 3" of a list of numbers, "a, b" of texts, the value itself otherwise */
static bool put_value(const clm_json *v, const char *gap, clm_buf *b, clm_err *err) {
    double x;
    if (clm_json_text(v)) return clm_buf_printf(b, err, "%s", clm_json_text(v)[0] ? clm_json_text(v) : "-");
    if (clm_json_number(v, &x)) return clm_buf_printf(b, err, "%.7g", x);
    int64_t i = 0;
    for (const clm_json *e = clm_json_first(v); e; e = clm_json_next(e), i++) {
        if (i && !clm_buf_printf(b, err, "%s", clm_json_text(e) ? ", " : gap)) return false;
        if (!put_value(e, "  ", b, err)) return false;
    }
    return true;
}

static bool is_numbers(const char *key) {
    return strcmp(key, "shape") == 0 || strcmp(key, "chunk") == 0 || strcmp(key, "shard") == 0;
}

static bool put_lines(const clm_json *object, int indent, clm_buf *b, clm_err *err) {
    for (const clm_json *k = clm_json_first(object); k; k = clm_json_next(k)) {
        const char *key = clm_json_key(k);
        bool rows =
            clm_json_kind_of(k) == CLM_JSON_LIST && clm_json_kind_of(clm_json_first(k)) == CLM_JSON_OBJECT;
        if (clm_json_kind_of(k) == CLM_JSON_OBJECT || rows) {
            int64_t i = 0;
            const clm_json *e = rows ? clm_json_first(k) : k;
            for (; e; e = rows ? clm_json_next(e) : NULL, i++) {
                if (!clm_buf_printf(b, err, "%*s%s", indent, "", key)) return false;
                if (!(rows ? clm_buf_printf(b, err, " %lld\n", (long long)i) : clm_buf_printf(b, err, "\n")))
                    return false;
                if (!put_lines(e, indent + 2, b, err)) return false;
            }
            continue;
        }
        if (!clm_buf_printf(b, err, "%*s%-*s ", indent, "", 12 - indent, key)) return false;
        if (!put_value(k, is_numbers(key) ? " x " : ", ", b, err) || !clm_buf_printf(b, err, "\n"))
            return false;
    }
    return true;
}

bool clm_describe_text(const clm_json *v, clm_buf *b, clm_err *err) { return put_lines(v, 0, b, err); }
