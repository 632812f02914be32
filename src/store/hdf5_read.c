#include "collimate/store/hdf5_read.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/hdf5_levels.h"

#include <hdf5.h>
#include <string.h>

/* FILE/PATH/INSIDE cut at the file's end; false: no HDF5 file on the way */
static bool cut(const char *path, char file[CLM_PATH_MAX], const char **inside) {
    clm_err none = CLM_ERR_NONE;
    clm_buf head = {0};
    if (!clm_path_format(file, &none, "%s", path)) return false;
    while (clm_path_kind_of(file) == CLM_PATH_NONE) {
        char *slash = strrchr(file, '/');
        if (!slash || slash == file) return false;
        *slash = 0;
    }
    bool ok = clm_path_kind_of(file) == CLM_PATH_FILE && clm_file_head(file, 8, &head, &none) &&
              head.n == 8 && memcmp(head.data, "\x89HDF\r\n\x1a\n", 8) == 0;
    clm_buf_free(&head);
    *inside = path + strlen(file);
    while (**inside == '/') ++*inside;
    return ok;
}

bool clm_hdf5_is(const char *path) {
    char file[CLM_PATH_MAX];
    const char *inside;
    return cut(path, file, &inside);
}

/* Every part of a path must be a link, or the library complains rather than answers. */
static bool is_there(hid_t f, const char *inside) {
    char part[CLM_PATH_MAX];
    for (size_t n = 0; inside[n]; n++) {
        if (inside[n + 1] && inside[n + 1] != '/') continue;
        memcpy(part, inside, n + 1);
        part[n + 1] = 0;
        if (H5Lexists(f, part, H5P_DEFAULT) <= 0) return false;
    }
    return inside[0] != 0;
}

bool clm_hdf5_has(const char *path) {
    char file[CLM_PATH_MAX];
    const char *inside;
    if (!cut(path, file, &inside)) return false;
    clm_hdf5_lock();
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool there = f > 0 && is_there(f, inside);
    if (f > 0) (void)H5Fclose(f);
    clm_hdf5_unlock();
    return there;
}

bool clm_hdf5_numbers(const char *path, const char *attribute, int n, double *out, bool *found,
                      clm_err *err) {
    char file[CLM_PATH_MAX];
    const char *inside;
    *found = false;
    if (!cut(path, file, &inside)) return clm_fail(err, CLM_E_NOTFOUND, "%s: no HDF5 file", path);
    clm_hdf5_lock();
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t object = f > 0 && is_there(f, inside) ? H5Oopen(f, inside, H5P_DEFAULT) : -1;
    hid_t at = object > 0 && H5Aexists(object, attribute) > 0 ? H5Aopen(object, attribute, H5P_DEFAULT) : -1;
    hid_t space = at > 0 ? H5Aget_space(at) : -1, type = at > 0 ? H5Aget_type(at) : -1;
    bool ok = true;
    if (at > 0) {
        H5T_class_t c = type > 0 ? H5Tget_class(type) : H5T_NO_CLASS;
        ok = space > 0 && H5Sget_simple_extent_npoints(space) == n && (c == H5T_FLOAT || c == H5T_INTEGER) &&
             H5Aread(at, H5T_NATIVE_DOUBLE, out) >= 0;
        *found = ok;
    }
    if (type > 0) (void)H5Tclose(type);
    if (space > 0) (void)H5Sclose(space);
    if (at > 0) (void)H5Aclose(at);
    if (object > 0) (void)H5Oclose(object);
    if (f > 0) (void)H5Fclose(f);
    clm_hdf5_unlock();
    return ok || clm_fail(err, CLM_E_FORMAT, "%s: attribute %s: want %d numbers", path, attribute, n);
}

/* of fixed or of variable length; not in chunks, which the library trusts too much, nor in another file */
static bool read_text(hid_t data, char *out, size_t size) {
    hid_t type = H5Dget_type(data), space = H5Dget_space(data), list = H5Dget_create_plist(data);
    H5D_layout_t layout = list > 0 ? H5Pget_layout(list) : H5D_LAYOUT_ERROR;
    bool ok = (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS) && H5Pget_external_count(list) == 0 &&
              type > 0 && space > 0 && H5Tget_class(type) == H5T_STRING &&
              H5Sget_simple_extent_npoints(space) == 1;
    if (ok && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        ok = H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text) >= 0 && text && strlen(text) < size;
        if (ok) memcpy(out, text, strlen(text) + 1);
        if (text) (void)H5Dvlen_reclaim(type, space, H5P_DEFAULT, &text);
    } else if (ok) {
        size_t n = H5Tget_size(type);
        ok = n < size && H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
        if (ok) out[n] = 0;
    }
    if (list > 0) (void)H5Pclose(list);
    if (space > 0) (void)H5Sclose(space);
    if (type > 0) (void)H5Tclose(type);
    return ok;
}

bool clm_hdf5_text(const char *path, char *out, size_t size, clm_err *err) {
    char file[CLM_PATH_MAX];
    const char *inside;
    if (!cut(path, file, &inside)) return clm_fail(err, CLM_E_NOTFOUND, "%s: no HDF5 file", path);
    clm_hdf5_lock();
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t data = f > 0 && is_there(f, inside) ? H5Dopen2(f, inside, H5P_DEFAULT) : -1;
    bool ok = data > 0 && read_text(data, out, size);
    if (data > 0) (void)H5Dclose(data);
    if (f > 0) (void)H5Fclose(f);
    clm_hdf5_unlock();
    return ok || clm_fail(err, CLM_E_FORMAT, "%s: no text", path);
}

/* ---- a list seen as an array ---- */

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err) {
    const clm_array *list = a->self;
    int64_t first, n = clm_chunk_in_run(a, index, out, &first);
    size_t bytes = (size_t)n * a->size;
    void *into = w->into;
    if (!into || w->into_bytes != bytes) {
        if (!clm_buf_reserve(&s->file, bytes, err)) return false;
        into = s->file.data;
    }
    out->data = into;
    const int64_t lo[1] = {first}, hi[1] = {first + n};
    return clm_array_read(list, lo, hi, into, err);
}

static void close_list(void *self) { clm_array_close(self); }

static const clm_array_ops ops = {.load = load, .close = close_list};

bool clm_hdf5_open_shaped(const char *path, int ndim, const int64_t shape[], clm_array **out, clm_err *err) {
    clm_array *list;
    int64_t n = 0;
    if (!clm_array_open(path, &list, err)) return false;
    clm_array_info info = list->info;
    bool flat = info.ndim == 1;
    for (int d = 0; d < ndim; d++) flat = flat && shape[d] > 0;
    flat = flat && clm_product(ndim, shape, INT64_MAX / 32, &n, err) && n == info.shape[0];
    info.ndim = ndim;
    memcpy(info.shape, shape, (size_t)ndim * sizeof *shape);
    if (!flat) {
        clm_array_close(list);
        return clm_fail(err, CLM_E_FORMAT, "%s: does not hold %s numbers", path,
                        clm_index_say(ndim, shape).s);
    }
    clm_flat_chunks(&info);
    if (clm_array_new(path, &info, &ops, list, out, err)) return true;
    clm_array_close(list);
    return false;
}
