#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"
#include "collimate/store/ome.h"

#include <string.h>

/* From a path to an array of whatever format is there: this file knows the formats, they know array.c. */

static bool open_folder(const char *path, clm_array **out, clm_err *err) {
    switch (clm_node_kind_of(path)) {
    case CLM_NODE_ZARR3_ARRAY: return clm_zarr3_open(path, out, err);
    case CLM_NODE_ZARR2_ARRAY: return clm_zarr2_open(path, out, err);
    case CLM_NODE_N5_ARRAY: return clm_n5_open(path, out, err);
    default: return clm_node_not_array(path, err);
    }
}

/* A file on the way, "scan.h5/group/data": what follows it is a path inside. */
static bool open_inside(const char *path, clm_array **out, clm_err *err) {
    char file[CLM_PATH_MAX];
    if (!clm_path_format(file, err, "%s", path)) return false;
    for (char *slash = strrchr(file, '/'); slash && slash != file; slash = strrchr(file, '/')) {
        *slash = 0;
        clm_path_kind kind = clm_path_kind_of(file);
        if (kind == CLM_PATH_FILE) return clm_file_array_open(file, path + (slash - file) + 1, out, err);
        if (kind != CLM_PATH_NONE) break;
    }
    return clm_fail(err, CLM_E_NOTFOUND, "no such file or folder");
}

bool clm_array_open(const char *path, clm_array **out, clm_err *err) {
    bool ok = false;
    *out = NULL;
    switch (clm_path_kind_of(path)) {
    case CLM_PATH_FOLDER: ok = open_folder(path, out, err); break;
    case CLM_PATH_FILE: ok = clm_file_array_open(path, "", out, err); break;
    case CLM_PATH_NONE: ok = open_inside(path, out, err); break;
    default: ok = clm_fail(err, CLM_E_UNSUPPORTED, "neither a file nor a folder"); break;
    }
    return ok ? true : clm_err_in(err, "%s", path);
}

bool clm_array_open_write(const char *path, clm_array **out, clm_err *err) {
    if (!clm_array_open(path, out, err)) return false;
    if (!(*out)->ops->put && !(*out)->ops->put_from && !(*out)->ops->encode) {
        clm_array_close(*out);
        *out = NULL;
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: this kind of array is only read", path);
    }
    (*out)->writable = true;
    return true;
}

static bool check_spec(const clm_array_spec *s, clm_err *err) {
    if (s->ndim < 1 || s->ndim > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d dimensions; 1 to %d can be written", s->ndim, CLM_DIMS_MAX);
    int64_t n;
    for (int d = 0; d < s->ndim; d++) {
        if (s->shape[d] < 1 || s->chunk[d] < 1)
            return clm_fail(err, CLM_E_ARG, "shape %s with chunks %s", clm_index_say(s->ndim, s->shape).s,
                            clm_index_say(s->ndim, s->chunk).s);
        if (s->shard[0] && (s->shard[d] < s->chunk[d] || s->shard[d] % s->chunk[d]))
            return clm_fail(err, CLM_E_ARG, "shard %s is no multiple of chunk %s",
                            clm_index_say(s->ndim, s->shard).s, clm_index_say(s->ndim, s->chunk).s);
    }
    int64_t most = (INT32_MAX - 64) / (int64_t)clm_dtype_size(s->dtype); /* what N5 and blosc can hold */
    if (!clm_product(s->ndim, s->chunk, most, &n, err)) {
        err->code = CLM_E_ARG;
        return clm_err_in(err, "chunks of 2 GiB or more: chunk shape");
    }
    if (s->shard[0] && s->format != CLM_FORMAT_ZARR3)
        return clm_fail(err, CLM_E_ARG, "only Zarr v3 has shards");
    return true;
}

static bool same_array(const char *path, const clm_array_spec *s, const clm_array *a, clm_err *err) {
    static const char *const format[] = {"zarr3", "zarr2", "n5"};
    const clm_array_info *i = &a->info;
    bool same = i->ndim == s->ndim && i->dtype == s->dtype && strcmp(i->format, format[s->format]) == 0;
    for (int d = 0; same && d < s->ndim; d++) {
        same = i->shape[d] == s->shape[d] && i->inner[d] == s->chunk[d] &&
               i->chunk[d] == (s->shard[0] ? s->shard[d] : s->chunk[d]);
    }
    return same ||
           clm_fail(err, CLM_E_ARG, "%s: there is another array (%s %s of %s); remove it or write elsewhere",
                    path, i->format, clm_dtype_name(i->dtype), clm_index_say(i->ndim, i->shape).s);
}

bool clm_array_create(const char *path, const clm_array_spec *spec, clm_array **out, clm_err *err) {
    static const char *const name[] = {"zarr.json", ".zarray", "attributes.json"};
    *out = NULL;
    if (!check_spec(spec, err)) return clm_err_in(err, "%s", path);
    char file[CLM_PATH_MAX];
    if (!clm_path_join(file, path, name[spec->format], err)) return false;
    if (clm_node_kind_of(path) == CLM_NODE_NONE || clm_node_kind_of(path) == CLM_NODE_N5_GROUP) {
        clm_buf text = {0};
        bool ok = spec->format == CLM_FORMAT_ZARR3   ? clm_zarr3_metadata(spec, &text, err)
                  : spec->format == CLM_FORMAT_ZARR2 ? clm_zarr2_metadata(spec, &text, err)
                                                     : clm_n5_metadata(spec, &text, err);
        ok = ok && clm_store_make_parents(path, spec->format, err) &&
             clm_file_publish(file, text.data, text.n, true, err);
        if (ok && spec->format == CLM_FORMAT_ZARR2 && spec->attributes)
            ok = clm_node_put_attrs(path, spec->attributes, err);
        clm_buf_free(&text);
        if (!ok) return clm_err_in(err, "%s", path);
    }
    if (!clm_array_open_write(path, out, err)) return false;
    if (same_array(path, spec, *out, err)) {
        (*out)->keep_empty = spec->keep_empty;
        return true;
    }
    clm_array_close(*out);
    *out = NULL;
    return false;
}
