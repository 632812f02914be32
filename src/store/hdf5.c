#include "collimate/store/format.h"
#include "collimate/base/file.h"
#include "collimate/store/hdf5_levels.h"
#include "collimate/store/hdf5_parts.h"

#include <hdf5.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* HDF5 datasets, read only, behind one lock of the process: the packaged library is not thread-safe. Chunks are fetched
 * as they are stored and decoded here, outside the lock: the library does not see when a chunk decodes to less than
 * its place, and reads on behind it. */

static pthread_mutex_t h5_lock = PTHREAD_MUTEX_INITIALIZER;
static bool h5_ready;

typedef struct h5 {
    hid_t file, data, type;          /* type: the memory type to read as */
    bool chunked, swap, whole_edges; /* whole_edges: chunks that overhang pass through no filter */
    clm_hdf5_filters filters;
} h5;

void clm_hdf5_lock(void) {
    (void)pthread_mutex_lock(&h5_lock);
    if (h5_ready) return;
    h5_ready = true;
    (void)H5dont_atexit();
    (void)H5open();
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors are ours to tell */
    (void)H5PLset_loading_state(0);              /* no file decides which library is loaded */
}

void clm_hdf5_unlock(void) { (void)pthread_mutex_unlock(&h5_lock); }

static void close_ids(h5 *f) {
    if (f->type > 0) (void)H5Tclose(f->type); /* the library's own stay open */
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
    const char *later =
        strstr(text, "version number")
            ? "; a later HDF5 wrote it: write it anew in the format of 1.10 (h5py: libver=\"v110\")"
            : "";
    return clm_fail(err, code, "HDF5: %s%s%s%s", what, text[0] ? ": " : "", text, later);
}

/* The library's own reading: what is not chunked, and filters that are left to it. */
static bool load_box(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w,
                     clm_chunk *out, clm_err *err) {
    const h5 *f = a->self;
    hsize_t start[CLM_DIMS_MAX] = {0}, count[CLM_DIMS_MAX] = {0};
    (void)clm_chunk_clip(&a->info, a->info.inner, index, out->extent);
    size_t bytes = (size_t)clm_strides(a->info.ndim, out->extent, out->stride) * a->size;
    for (int d = 0; d < a->info.ndim; d++) {
        start[d] = (hsize_t)(index[d] * a->info.inner[d]);
        count[d] = (hsize_t)out->extent[d];
    }
    void *into = w->into;
    if (!into || w->into_bytes != bytes) {
        if (!clm_buf_reserve(&s->file, bytes, err)) return false;
        into = s->file.data;
    }
    out->data = into;
    out->swap = a->unit != a->size && f->swap; /* complex */
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

/* How chunk `index` is stored; *bytes 0: absent. Under the lock. */
static bool find(const clm_array *a, const int64_t index[], hsize_t at[], hsize_t *bytes) {
    const h5 *f = a->self;
    haddr_t where = HADDR_UNDEF;
    unsigned skipped;
    for (int d = 0; d < a->info.ndim; d++) at[d] = (hsize_t)(index[d] * a->info.chunk[d]);
    if (H5Dget_chunk_info_by_coord(f->data, at, &skipped, &where, bytes) < 0) return false;
    if (where == HADDR_UNDEF) *bytes = 0;
    return true;
}

/* The chunk as stored into s->file; *n 0: absent. skipped: filters it did not pass, a bit each. */
static bool fetch(const clm_array *a, const int64_t index[], size_t most, clm_scratch *s, size_t *n,
                  uint32_t *skipped, clm_err *err) {
    const h5 *f = a->self;
    hsize_t at[CLM_DIMS_MAX], stored = 0;
    clm_hdf5_lock();
    bool ok = find(a, index, at, &stored) || h5_fail(err, CLM_E_FORMAT, "chunk cannot be found");
    if (ok && stored > most)
        ok = clm_fail(err, CLM_E_FORMAT, "HDF5: chunk of %llu bytes, %zu at most", (unsigned long long)stored,
                      most);
    if (ok && stored)
        ok = clm_buf_reserve(&s->file, (size_t)stored, err) &&
             (H5Dread_chunk(f->data, H5P_DEFAULT, at, skipped, s->file.data) >= 0 ||
              h5_fail(err, CLM_E_FORMAT, "chunk cannot be read"));
    clm_hdf5_unlock();
    *n = (size_t)stored;
    return ok;
}

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err) {
    const h5 *f = a->self;
    clm_chain chain;
    int64_t clip[CLM_DIMS_MAX];
    uint32_t skipped = 0;
    size_t n = 0;
    if (!f->chunked) return load_box(a, index, s, w, out, err);
    bool inside = clm_chunk_clip(&a->info, a->info.chunk, index, clip);
    memcpy(out->extent, a->info.chunk, sizeof out->extent);
    size_t bytes = (size_t)clm_strides(a->info.ndim, out->extent, out->stride) * a->size;
    if (!fetch(a, index, bytes * 2 + 65536, s, &n, &skipped, err)) return false;
    if (!n) return true;
    if (f->whole_edges && !inside) skipped = UINT32_MAX;
    const clm_hdf5_filters passed = clm_hdf5_passed(&f->filters, skipped);
    if (clm_hdf5_is_left_to_library(&passed))
        return clm_hdf5_library_can(&passed, s->file.data, n, bytes, err) &&
               load_box(a, index, s, w, out, err);
    out->swap = f->swap;
    return clm_hdf5_chain(&passed, &chain, err) &&
           clm_chain_decode(&chain, s->file.data, n, bytes, s,
                            inside && w->into_bytes == bytes ? w->into : NULL, &out->data, err);
}

static const clm_array_ops ops = {.load = load, .close = close_self};

/* ---- types ---- */

/* h5py's: a compound r, i. Read as stored, also by the library. */
static bool is_complex(hid_t t, clm_dtype *type, bool *swap) {
    hid_t part[2] = {-1, -1};
    size_t size = H5Tget_size(t) / 2;
    bool ok = H5Tget_class(t) == H5T_COMPOUND && H5Tget_nmembers(t) == 2 && (size == 4 || size == 8);
    for (unsigned i = 0; ok && i < 2; i++) {
        char *name = H5Tget_member_name(t, i);
        part[i] = H5Tget_member_type(t, i);
        ok = name && name[0] == "ri"[i] && !name[1] && part[i] > 0 && H5Tget_member_offset(t, i) == i * size;
        (void)H5free_memory(name);
    }
    bool le = ok && H5Tequal(part[0], size == 4 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE) > 0,
         be = ok && H5Tequal(part[0], size == 4 ? H5T_IEEE_F32BE : H5T_IEEE_F64BE) > 0;
    ok = ok && (le || be) && H5Tequal(part[0], part[1]) > 0;
    for (int i = 0; i < 2; i++)
        if (part[i] > 0) (void)H5Tclose(part[i]);
    *type = size == 4 ? CLM_C64 : CLM_C128;
    *swap = !le;
    return ok;
}

/* Only numbers that fill their bytes in IEEE's or two's complement form: what we decode ourselves is not converted.
 * Booleans are h5py's: an enumeration FALSE, TRUE. */
static bool type_of(hid_t t, clm_dtype *type, hid_t *memory, bool *swap) {
    const struct {
        hid_t le, be, native;
        clm_dtype type;
    } plain[] = {{H5T_STD_U8LE, H5T_STD_U8BE, H5T_NATIVE_UINT8, CLM_U8},
                 {H5T_STD_U16LE, H5T_STD_U16BE, H5T_NATIVE_UINT16, CLM_U16},
                 {H5T_STD_U32LE, H5T_STD_U32BE, H5T_NATIVE_UINT32, CLM_U32},
                 {H5T_STD_U64LE, H5T_STD_U64BE, H5T_NATIVE_UINT64, CLM_U64},
                 {H5T_STD_I8LE, H5T_STD_I8BE, H5T_NATIVE_INT8, CLM_I8},
                 {H5T_STD_I16LE, H5T_STD_I16BE, H5T_NATIVE_INT16, CLM_I16},
                 {H5T_STD_I32LE, H5T_STD_I32BE, H5T_NATIVE_INT32, CLM_I32},
                 {H5T_STD_I64LE, H5T_STD_I64BE, H5T_NATIVE_INT64, CLM_I64},
                 {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_NATIVE_FLOAT, CLM_F32},
                 {H5T_IEEE_F64LE, H5T_IEEE_F64BE, H5T_NATIVE_DOUBLE, CLM_F64}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        bool le = H5Tequal(t, plain[i].le) > 0;
        if (!le && H5Tequal(t, plain[i].be) <= 0) continue;
        *type = plain[i].type;
        *memory = plain[i].native;
        *swap = !le && clm_dtype_size(*type) > 1;
        return true;
    }
    if (is_complex(t, type, swap)) {
        *memory = H5Tcopy(t);
        return true;
    }
    char *first = NULL;
    size_t sign, exponent, bits, fraction, fraction_bits;
    bool is_bool = H5Tget_class(t) == H5T_ENUM && H5Tget_size(t) == 1 && H5Tget_nmembers(t) == 2 &&
                   (first = H5Tget_member_name(t, 0)) != NULL && strcmp(first, "FALSE") == 0;
    bool half = H5Tget_class(t) == H5T_FLOAT && H5Tget_size(t) == 2 &&
                H5Tget_fields(t, &sign, &exponent, &bits, &fraction, &fraction_bits) >= 0 && sign == 15 &&
                exponent == 10 && bits == 5 && fraction == 0 && fraction_bits == 10;
    (void)H5free_memory(first);
    *type = is_bool ? CLM_BOOL : CLM_F16;
    if (!is_bool && !half) return false;
    *swap = half && H5Tget_order(t) == H5T_ORDER_BE;
    *memory = H5Tcopy(t); /* read as stored, but for the byte order */
    if (half) (void)H5Tset_order(*memory, H5Tget_order(H5T_NATIVE_INT));
    return true;
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
static void read_letters(hid_t object, const char *name, char out[CLM_IMARIS_TEXT]) {
    hid_t at = object > 0 && H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    if (at < 0) return;
    hid_t type = H5Aget_type(at);
    hsize_t bytes = H5Aget_storage_size(at);
    bool ok = type > 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) <= 0 &&
              bytes < CLM_IMARIS_TEXT && H5Aread(at, type, out) >= 0;
    out[ok ? bytes : 0] = 0;
    if (type > 0) (void)H5Tclose(type);
    (void)H5Aclose(at);
}

/* DataSet/ResolutionLevel r/TimePoint t/Channel c/Data: channel and DataSetInfo/Image tell its size and place. */
static void imaris(const h5 *f, const char *path, clm_array_info *info, clm_place *p) {
    clm_imaris m = {.unit = ""};
    char channel[256];
    if (strlen(path) >= sizeof channel || info->ndim != 3) return;
    (void)snprintf(channel, sizeof channel, "%.*s", (int)(strlen(path) - 5), path);
    hid_t c = H5Gopen2(f->file, channel, H5P_DEFAULT),
          image = H5Gopen2(f->file, "DataSetInfo/Image", H5P_DEFAULT);
    for (int d = 0; d < 3; d++) {
        char size[] = "ImageSizeX", lo[] = "ExtMin0", hi[] = "ExtMax0";
        size[9] = (char)('X' + d);
        lo[6] = hi[6] = (char)('0' + d);
        read_letters(c, size, m.size[d]);
        read_letters(image, lo, m.lo[d]);
        read_letters(image, hi, m.hi[d]);
    }
    read_letters(image, "Unit", m.unit);
    clm_imaris_place(&m, info->shape, p);
    if (c > 0) (void)H5Gclose(c);
    if (image > 0) (void)H5Gclose(image);
}

static void set_place(const h5 *f, const char *path, clm_array_info *info, clm_place *p) {
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
    if (strstr(path, "ResolutionLevel ") && clm_text_ends(path, "/Data")) imaris(f, path, info, p);
}

/* ---- opening ---- */

/* Its chunks, fill value and filters. */
static bool layout_of(h5 *f, clm_array_info *i, clm_err *err) {
    hsize_t chunk[CLM_DIMS_MAX] = {0};
    clm_chain chain;
    unsigned how = 0, ignored;
    hid_t list = H5Dget_create_plist(f->data);
    f->chunked = list > 0 && i->ndim > 0 && H5Pget_layout(list) == H5D_CHUNKED &&
                 H5Pget_chunk(list, i->ndim, chunk) >= 0;
    f->whole_edges =
        f->chunked && H5Pget_chunk_opts(list, &how) >= 0 && (how & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
    if (!f->chunked) clm_flat_chunks(i);
    for (int d = 0; f->chunked && d < i->ndim; d++) i->inner[d] = i->chunk[d] = (int64_t)chunk[d];
    if (f->chunked) (void)H5Pget_fill_value(list, f->type, i->fill);
    if (f->swap && i->dtype >= CLM_C64) clm_swap_bytes(i->fill, clm_dtype_size(i->dtype) / 2, 2);
    int n = f->chunked ? H5Pget_nfilters(list) : 0;
    f->filters.n = n < CLM_HDF5_FILTERS ? n : CLM_HDF5_FILTERS;
    for (int k = 0; k < f->filters.n; k++) {
        clm_hdf5_filter *filter = &f->filters.filter[k];
        size_t values = CLM_HDF5_VALUES;
        filter->id = H5Pget_filter2(list, (unsigned)k, &ignored, &values, filter->value, sizeof filter->name,
                                    filter->name, &ignored);
        filter->n_values = (int)(values < CLM_HDF5_VALUES ? values : CLM_HDF5_VALUES);
    }
    if (list > 0) (void)H5Pclose(list);
    if (n > CLM_HDF5_FILTERS) return clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: %d filters", n);
    if (!f->chunked || clm_hdf5_is_left_to_library(&f->filters)) return true;
    if (!clm_hdf5_chain(&f->filters, &chain, err)) return false;
    clm_chain_describe(&chain, i->codec, sizeof i->codec);
    return true;
}

/* A dataset may have its voxels in other files: not in any that does not stand beside this one. Virtual ones would be
 * put together by the library, from datasets whose chunks nobody checks. */
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
    bool is_virtual = list > 0 && H5Pget_layout(list) == H5D_VIRTUAL;
    if (list > 0) (void)H5Pclose(list);
    if (ok && is_virtual)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "HDF5: a virtual dataset; name one that holds its voxels itself");
    return ok || clm_fail(err, CLM_E_UNSUPPORTED,
                          "HDF5: its voxels are in a file that does not stand beside this one (%s)", name);
}

static bool inspect(h5 *f, const char *path, clm_array_info *i, clm_place *p, clm_err *err) {
    hsize_t shape[H5S_MAX_RANK];
    int64_t setup, level;
    hid_t beside = H5Pcreate(H5P_DATASET_ACCESS); /* not in the folder we happen to be in */
    (void)H5Pset_efile_prefix(beside, "${ORIGIN}");
    bool there =
        H5Oexists_by_name(f->file, path, H5P_DEFAULT) > 0 || H5Lexists(f->file, path, H5P_DEFAULT) > 0;
    f->data = there ? H5Dopen2(f->file, path, beside) : -1;
    if (f->data < 0) /* said before another call forgets why */
        (void)(there ? h5_fail(err, CLM_E_UNSUPPORTED, "cannot be opened as a dataset")
                     : clm_fail(err, CLM_E_NOTFOUND, "HDF5: no dataset of this name"));
    (void)H5Pclose(beside);
    if (f->data < 0 || !stays(f, err)) return false;
    hid_t space = H5Dget_space(f->data), type = H5Dget_type(f->data);
    int ndim = space > 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool ok = ndim >= 0 && ndim <= CLM_DIMS_MAX && H5Sget_simple_extent_dims(space, shape, NULL) >= 0;
    if (!ok)
        ok = clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: %d dimensions", ndim);
    else if (!type_of(type, &i->dtype, &f->type, &f->swap))
        ok = clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: element type is no plain number");
    if (ok && i->dtype == CLM_I16 && clm_bdv_cells(path, &setup, &level))
        i->dtype = CLM_U16; /* BigDataViewer keeps unsigned voxels as signed ones: same bits */
    i->ndim = ok ? ndim : 0;
    for (int d = 0; d < i->ndim; d++) i->shape[d] = (int64_t)shape[d];
    ok = ok && layout_of(f, i, err);
    if (ok) set_place(f, path, i, p);
    if (space > 0) (void)H5Sclose(space);
    if (type > 0) (void)H5Tclose(type);
    return ok;
}

bool clm_hdf5_open(const char *file, const char *inside, clm_array **out, clm_err *err) {
    clm_array_info info = {.format = "hdf5", .codec = "hdf5"};
    char path[CLM_PATH_MAX];
    int64_t setup, level;
    clm_place place = {0};
    if (!inside[0])
        return clm_fail(err, CLM_E_ARG, "which dataset? say %s/PATH/OF/DATASET", clm_path_name(file));
    if (!clm_path_join(path, file, inside, err)) return false;
    h5 *f = clm_heap_new(1, sizeof *f, err);
    if (!f) return false;
    clm_hdf5_lock();
    f->file = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool ok = f->file > 0 || h5_fail(err, CLM_E_FORMAT, "file cannot be opened");
    ok = ok && inspect(f, inside, &info, &place, err);
    if (!ok) close_ids(f);
    clm_hdf5_unlock();
    if (!ok) {
        clm_heap_free(f);
        return false;
    }
    clm_place *own = clm_heap_new(1, sizeof *own, err);
    if (info.ndim == 3 && clm_bdv_cells(inside, &setup, &level))
        clm_hdf5_place_bdv(file, setup, level, &place);
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
