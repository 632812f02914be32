#include "collimate/store/format.h"
#include "collimate/base/file.h"
#include "collimate/store/hdf5_filter.h"
#include "collimate/store/hdf5_levels.h"
#include "collimate/store/scale.h"

#include <hdf5.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* HDF5 datasets, read only, behind one lock of the process: the packaged library is not thread-safe.
 * Also what BigDataViewer and Imaris keep in them. */

static pthread_mutex_t h5_lock = PTHREAD_MUTEX_INITIALIZER;
static bool h5_ready;

typedef struct h5 {
    hid_t file, data, type; /* type: the memory type to read as */
} h5;

void clm_hdf5_lock(void) {
    (void)pthread_mutex_lock(&h5_lock);
    if (h5_ready) return;
    h5_ready = true;
    (void)H5dont_atexit();
    (void)H5open();
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors are ours to tell */
    (void)H5PLset_loading_state(0);              /* no file decides which library is loaded */
    clm_hdf5_register_filters();
}

void clm_hdf5_unlock(void) { (void)pthread_mutex_unlock(&h5_lock); }

static void close_ids(h5 *f) {
    if (f->data > 0) (void)H5Dclose(f->data);
    if (f->file > 0) (void)H5Fclose(f->file);
}

static void close_self(void *self) {
    clm_hdf5_lock();
    close_ids(self);
    clm_hdf5_unlock();
    clm_heap_free(self);
}

/* The innermost message HDF5 recorded, for people. */
static herr_t keep_first(unsigned n, const H5E_error2_t *e, void *out) {
    if (n == 0) (void)snprintf(out, 120, "%s", e->desc ? e->desc : "");
    return 0;
}

static bool h5_fail(clm_err *err, clm_code code, const char *what) {
    char text[120] = "";
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, text);
    (void)H5Eclear2(H5E_DEFAULT);
    return clm_fail(err, code, "HDF5: %s%s%s", what, text[0] ? ": " : "", text);
}

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, void *into, size_t into_bytes,
                 clm_chunk *out, clm_err *err) {
    const h5 *f = a->self;
    hsize_t start[CLM_DIMS_MAX] = {0}, count[CLM_DIMS_MAX] = {0};
    (void)clm_chunk_clip(&a->info, a->info.inner, index, out->extent);
    size_t bytes = (size_t)clm_strides(a->info.ndim, out->extent, out->stride) * a->size;
    for (int d = 0; d < a->info.ndim; d++) {
        start[d] = (hsize_t)(index[d] * a->info.inner[d]);
        count[d] = (hsize_t)out->extent[d];
    }
    if (!into || into_bytes != bytes) {
        if (!clm_buf_reserve(&s->file, bytes, err)) return false;
        into = s->file.data;
    }
    out->data = into;
    clm_hdf5_lock();
    hid_t from = H5Dget_space(f->data),
          to = a->info.ndim ? H5Screate_simple(a->info.ndim, count, NULL) : H5Screate(H5S_SCALAR);
    bool ok =
        from > 0 && to > 0 &&
        (a->info.ndim == 0 || H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) >= 0) &&
        H5Dread(f->data, f->type, to, from, H5P_DEFAULT, into) >= 0;
    if (!ok) ok = h5_fail(err, CLM_E_FORMAT, "chunk cannot be read");
    if (from > 0) (void)H5Sclose(from);
    if (to > 0) (void)H5Sclose(to);
    clm_hdf5_unlock();
    return ok;
}

static bool has(const clm_array *a, const int64_t index[]) {
    (void)a;
    (void)index;
    return true;
}

static const clm_array_ops ops = {.load = load, .has = has, .close = close_self};

/* ---- types ---- */

static bool type_of(hid_t t, clm_dtype *type, hid_t *memory) {
    static const clm_dtype whole[] = {CLM_U8, CLM_U16, CLM_U32, CLM_U64},
                           with_sign[] = {CLM_I8, CLM_I16, CLM_I32, CLM_I64};
    const hid_t native_u[] = {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_UINT32, H5T_NATIVE_UINT64};
    const hid_t native_i[] = {H5T_NATIVE_INT8, H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64};
    size_t size = H5Tget_size(t);
    int i = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
    if (i < 0) return false;
    if (H5Tget_class(t) == H5T_INTEGER) {
        bool negative = H5Tget_sign(t) == H5T_SGN_2;
        *type = negative ? with_sign[i] : whole[i];
        *memory = negative ? native_i[i] : native_u[i];
        return true;
    }
    if (H5Tget_class(t) != H5T_FLOAT || size == 1) return false;
    *type = size == 2 ? CLM_F16 : size == 4 ? CLM_F32 : CLM_F64;
    /* halves are read as they are stored, only the byte order made ours */
    *memory = size == 4 ? H5T_NATIVE_FLOAT : size == 8 ? H5T_NATIVE_DOUBLE : H5Tcopy(t);
    if (size == 2) (void)H5Tset_order(*memory, H5Tget_order(H5T_NATIVE_INT));
    return true;
}

/* "t00000/s00/0/cells": BigDataViewer keeps unsigned 16-bit voxels as signed ones */
static bool is_bdv(const char *path) {
    while (*path == '/') path++;
    return path[0] == 't' && strlen(path) > 12 && path[6] == '/' && path[7] == 's' &&
           clm_text_ends(path, "/cells");
}

/* ---- geometry ---- */

static bool read_numbers(hid_t object, const char *name, double *out, hsize_t n) {
    hid_t at = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    if (at < 0) return false;
    hid_t space = H5Aget_space(at);
    bool ok = space > 0 && (hsize_t)H5Sget_simple_extent_npoints(space) == n &&
              H5Aread(at, H5T_NATIVE_DOUBLE, out) >= 0;
    if (space > 0) (void)H5Sclose(space);
    (void)H5Aclose(at);
    return ok;
}

/* Imaris: attributes are lists of one-letter strings, perhaps NUL-padded. */
static bool read_letters(hid_t object, const char *name, char out[64]) {
    hid_t at = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    if (at < 0) return false;
    hid_t type = H5Aget_type(at);
    hsize_t bytes = H5Aget_storage_size(at);
    bool ok = type > 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) <= 0 && bytes < 64 &&
              H5Aread(at, type, out) >= 0;
    out[ok ? bytes : 0] = 0;
    if (type > 0) (void)H5Tclose(type);
    (void)H5Aclose(at);
    return ok;
}

static bool letters_real(hid_t object, const char *name, double *out) {
    char text[64];
    return read_letters(object, name, text) && clm_text_real(text, out);
}

/* DataSet/ResolutionLevel r/TimePoint t/Channel c/Data is padded to whole chunks: the true size and the
 * place are told by the channel and by DataSetInfo/Image. */
static void imaris(const h5 *f, const char *path, clm_array_info *info, clm_place *p) {
    static const char *const size[] = {"ImageSizeZ", "ImageSizeY", "ImageSizeX"};
    static const char *const lo[] = {"ExtMin2", "ExtMin1", "ExtMin0"}, *const hi[] = {"ExtMax2", "ExtMax1",
                                                                                      "ExtMax0"};
    char channel[256], unit[64] = "um";
    if (strlen(path) >= sizeof channel || info->ndim != 3) return;
    (void)snprintf(channel, sizeof channel, "%.*s", (int)(strlen(path) - 5), path);
    hid_t c = H5Gopen2(f->file, channel, H5P_DEFAULT),
          image = H5Gopen2(f->file, "DataSetInfo/Image", H5P_DEFAULT);
    bool known = image > 0;
    double um = 1;
    if (image > 0 && read_letters(image, "Unit", unit)) known = clm_unit_um(unit, &um);
    for (int d = 0; d < 3; d++) {
        double n = 0, a = 0, b = 0;
        if (c > 0 && letters_real(c, size[d], &n) && n >= 1 && n <= (double)info->shape[d])
            info->shape[d] = (int64_t)n;
        known = known && letters_real(image, lo[d], &a) && letters_real(image, hi[d], &b) && b > a;
        p->spacing_um[d] = (b - a) / (double)info->shape[d] * um;
        p->origin_um[d] = a * um + p->spacing_um[d] / 2; /* extents are of the voxels' outer faces */
        p->axis[d] = d;
    }
    p->problem[0] = 0;
    if (!known) (void)snprintf(p->problem, sizeof p->problem, "Imaris: no usable extents; give the spacing");
    (void)snprintf(p->dialect, sizeof p->dialect, "Imaris");
    (void)snprintf(p->unit, sizeof p->unit, "%.23s", unit);
    if (c > 0) (void)H5Gclose(c);
    if (image > 0) (void)H5Gclose(image);
}

static void set_place(const h5 *f, const char *file, const char *path, clm_array_info *info, clm_place *p) {
    double size[3];
    int n = info->ndim;
    for (int d = 0; d < 3; d++) p->axis[d] = n - 3 + d;
    p->channel_axis = n > 3 ? n - 4 : -1;
    p->time_axis = n > 4 ? n - 5 : -1;
    p->slope = 1;
    (void)snprintf(p->problem, sizeof p->problem,
                   "no element_size_um on the HDF5 dataset; give the spacing, z,y,x in micrometres");
    if (n >= 3 && read_numbers(f->data, "element_size_um", size, 3) && size[0] > 0 && size[1] > 0 &&
        size[2] > 0) {
        memcpy(p->spacing_um, size, sizeof size);
        (void)snprintf(p->dialect, sizeof p->dialect, "element_size_um");
        (void)snprintf(p->unit, sizeof p->unit, "um");
        p->problem[0] = 0;
    }
    if (is_bdv(path) && n == 3) clm_hdf5_place_bdv(f->file, file, path, p);
    if (strstr(path, "ResolutionLevel ") && clm_text_ends(path, "/Data")) imaris(f, path, info, p);
}

/* ---- opening ---- */

static void chunks_of(hid_t data, clm_array_info *i) {
    hsize_t chunk[CLM_DIMS_MAX] = {0};
    hid_t list = H5Dget_create_plist(data);
    bool chunked = list > 0 && i->ndim > 0 && H5Pget_layout(list) == H5D_CHUNKED &&
                   H5Pget_chunk(list, i->ndim, chunk) >= 0;
    int64_t bytes = (int64_t)clm_dtype_size(i->dtype);
    for (int d = i->ndim - 1; d >= 0; d--) { /* contiguous: slabs of some megabytes */
        int64_t room = ((int64_t)4 << 20) / bytes;
        i->chunk[d] = chunked ? (int64_t)chunk[d] : i->shape[d] < room ? i->shape[d] : room > 1 ? room : 1;
        if (i->chunk[d] < 1) i->chunk[d] = 1;
        bytes *= i->chunk[d];
    }
    memcpy(i->inner, i->chunk, sizeof i->inner);
    if (list > 0) (void)H5Pclose(list);
}

/* A dataset may have its voxels in other files: not in any that does not stand beside this one. */
static bool stays(const h5 *f, clm_err *err) {
    char own[CLM_PATH_MAX] = "", name[CLM_PATH_MAX] = "";
    hid_t list = H5Dget_create_plist(f->data);
    int external = list > 0 ? H5Pget_external_count(list) : 0;
    bool ok = H5Fget_name(f->file, own, sizeof own) > 0 && H5Fget_name(f->data, name, sizeof name) > 0 &&
              clm_path_name(own) - own == clm_path_name(name) - name && /* a link may lead elsewhere */
              strncmp(own, name, (size_t)(clm_path_name(own) - own)) == 0;
    for (int i = 0; ok && i < external; i++) {
        off_t from;
        hsize_t bytes;
        ok = H5Pget_external(list, (unsigned)i, sizeof name, name, &from, &bytes) >= 0 && !strchr(name, '/');
    }
    size_t mappings = 0;
    if (ok && list > 0 && H5Pget_layout(list) == H5D_VIRTUAL) ok = H5Pget_virtual_count(list, &mappings) >= 0;
    for (size_t i = 0; ok && i < mappings; i++) {
        ssize_t n = H5Pget_virtual_filename(list, i, name, sizeof name);
        ok = n > 0 && n < (ssize_t)sizeof name && !strchr(name, '/');
    }
    if (list > 0) (void)H5Pclose(list);
    return ok || clm_fail(err, CLM_E_UNSUPPORTED,
                          "HDF5: its voxels are in a file that does not stand beside this one (%s)", name);
}

static bool knows_filters(const h5 *f, clm_err *err) {
    hid_t list = H5Dget_create_plist(f->data);
    int n = list > 0 ? H5Pget_nfilters(list) : 0;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        char name[64] = "";
        unsigned flags, config;
        size_t values = 0;
        H5Z_filter_t id =
            H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
        ok = H5Zfilter_avail(id) > 0 ||
             clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: filter %d (%s) is not known here", (int)id, name);
    }
    if (list > 0) (void)H5Pclose(list);
    return ok;
}

static bool inspect(h5 *f, const char *file, const char *path, clm_array_info *i, clm_place *p,
                    clm_err *err) {
    hsize_t shape[H5S_MAX_RANK];
    hid_t beside = H5Pcreate(H5P_DATASET_ACCESS); /* not in the folder we happen to be in */
    (void)H5Pset_efile_prefix(beside, "${ORIGIN}");
    (void)H5Pset_virtual_prefix(beside, "${ORIGIN}");
    bool there =
        H5Oexists_by_name(f->file, path, H5P_DEFAULT) > 0 || H5Lexists(f->file, path, H5P_DEFAULT) > 0;
    f->data = there ? H5Dopen2(f->file, path, beside) : -1;
    if (f->data < 0) /* said before another call forgets why */
        (void)(there ? h5_fail(err, CLM_E_UNSUPPORTED, "cannot be opened as a dataset")
                     : clm_fail(err, CLM_E_NOTFOUND, "HDF5: no dataset of this name"));
    (void)H5Pclose(beside);
    if (f->data < 0 || !stays(f, err) || !knows_filters(f, err)) return false;
    hid_t space = H5Dget_space(f->data), type = H5Dget_type(f->data);
    int ndim = space > 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool ok = ndim >= 0 && ndim <= CLM_DIMS_MAX && H5Sget_simple_extent_dims(space, shape, NULL) >= 0;
    if (!ok)
        ok = clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: %d dimensions", ndim);
    else if (!type_of(type, &i->dtype, &f->type))
        ok = clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: element type is no plain number");
    if (ok && is_bdv(path) && i->dtype == CLM_I16) i->dtype = CLM_U16; /* same bits */
    i->ndim = ok ? ndim : 0;
    for (int d = 0; d < i->ndim; d++) i->shape[d] = (int64_t)shape[d];
    if (ok) {
        chunks_of(f->data, i);
        set_place(f, file, path, i, p);
    }
    if (space > 0) (void)H5Sclose(space);
    if (type > 0) (void)H5Tclose(type);
    return ok;
}

bool clm_hdf5_open(const char *file, const char *inside, clm_array **out, clm_err *err) {
    clm_array_info info = {.format = "hdf5", .codec = "hdf5"};
    char path[CLM_PATH_MAX];
    clm_place place = {0};
    if (!inside[0])
        return clm_fail(err, CLM_E_ARG, "which dataset? say %s/PATH/OF/DATASET", clm_path_name(file));
    if (!clm_path_join(path, file, inside, err)) return false;
    h5 *f = clm_heap_new(1, sizeof *f, err);
    if (!f) return false;
    clm_hdf5_lock();
    f->file = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool ok = f->file > 0 || h5_fail(err, CLM_E_FORMAT, "file cannot be opened");
    ok = ok && inspect(f, file, inside, &info, &place, err);
    if (!ok) close_ids(f);
    clm_hdf5_unlock();
    if (!ok) {
        clm_heap_free(f);
        return false;
    }
    clm_place *own = clm_heap_new(1, sizeof *own, err);
    if (own && clm_array_new(path, &info, &ops, f, out, err)) {
        *own = place;
        (*out)->place = own;
        return true;
    }
    clm_heap_free(own);
    close_self(f);
    return false;
}

bool clm_hdf5_pyramid(const char *file, const char *inside, int64_t time, int64_t channel, clm_scales *out,
                      clm_err *err) {
    clm_hdf5_lock();
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool ok = f > 0 ? clm_hdf5_levels(f, inside, time, channel, out, err)
                    : h5_fail(err, CLM_E_FORMAT, "file cannot be opened");
    if (f > 0) (void)H5Fclose(f);
    clm_hdf5_unlock();
    return ok;
}
