#include "collimate/store/hdf5_parts.h"
#include "collimate/codec/codec_family.h"
#include "collimate/store/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- filters: https://portal.hdfgroup.org/documentation/hdf5-docs/registered_filter_plugins.html ---- */

enum {
    DEFLATE = 1,
    SHUFFLE,
    FLETCHER32,
    SZIP,
    NBIT,
    SCALE_OFFSET,
    LZF = 32000,
    BLOSC,
    LZ4 = 32004,
    ZSTD = 32015
};

clm_hdf5_filters clm_hdf5_passed(const clm_hdf5_filters *f, uint32_t skipped) {
    clm_hdf5_filters out = {.n = 0};
    for (int i = 0; i < f->n; i++)
        if (!(skipped >> i & 1)) out.filter[out.n++] = f->filter[i];
    return out;
}

bool clm_hdf5_chain(const clm_hdf5_filters *f, clm_chain *out, clm_err *err) {
    static const struct {
        int id;
        clm_codec_kind kind;
    } known[] = {{DEFLATE, CLM_CODEC_ZLIB}, {SHUFFLE, CLM_CODEC_SHUFFLE}, {FLETCHER32, CLM_CODEC_CHECKSUM},
                 {LZF, CLM_CODEC_LZF},      {BLOSC, CLM_CODEC_BLOSC},     {LZ4, CLM_CODEC_LZ4_HDF5},
                 {ZSTD, CLM_CODEC_ZSTD}};
    enum { KNOWN = sizeof known / sizeof known[0] };
    out->n = 0;
    for (int i = 0; i < f->n; i++) {
        int id = f->filter[i].id, k = 0;
        clm_codec c = {.checksum = CLM_SUM_FLETCHER32,
                       .level = f->filter[i].n_values ? (int)f->filter[i].value[0] : 0};
        while (k < KNOWN && known[k].id != id) k++;
        if (k == KNOWN)
            return clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: filter %d (%s) is not known here", id,
                            f->filter[i].name);
        c.kind = known[k].kind;
        if (id == SHUFFLE) {
            c.typesize = c.level;
            if (c.typesize < 1 || c.typesize > 16)
                return clm_fail(err, CLM_E_FORMAT, "HDF5: shuffle of elements of %d bytes", c.typesize);
        }
        out->codec[out->n++] = c;
    }
    return true;
}

bool clm_hdf5_is_left_to_library(const clm_hdf5_filters *f) {
    for (int i = 0; i < f->n; i++)
        if (f->filter[i].id == SZIP || f->filter[i].id == SCALE_OFFSET) return true;
    return false;
}

/* libhdf5 1.10, H5Zscaleoffset.c: u32 LE bits a value, then a minimum, 21 bytes in all; the values' bits. values: [2]
 * their number, [4] their size */
static bool scale_offset_fits(const unsigned value[], int n_values, const unsigned char *p, size_t n,
                              size_t bytes) {
    if (n_values < 5 || n < 21 || value[4] > 8 || (uint64_t)value[2] * value[4] != bytes) return false;
    uint64_t bits = clm_le32(p);
    return bits <= 8 * (uint64_t)value[4] && (value[2] * bits + 7) / 8 <= n - 21;
}

bool clm_hdf5_library_can(const clm_hdf5_filters *f, const unsigned char *chunk, size_t n, size_t bytes,
                          clm_err *err) {
    bool fits = true, other = false;
    int compressors = 0;
    for (int i = f->n - 1; i >= 0; i--) {
        int id = f->filter[i].id;
        if (id == FLETCHER32 && !compressors)
            n = n < 4 ? 0 : n - 4;
        else if (id == SZIP)
            fits = fits && n >= 4 && clm_le32(chunk) == bytes;
        else if (id == SCALE_OFFSET)
            fits = fits && scale_offset_fits(f->filter[i].value, f->filter[i].n_values, chunk, n, bytes);
        else if (id != SHUFFLE)
            other = true;
        compressors += id == SZIP || id == SCALE_OFFSET;
    }
    if (other || compressors != 1)
        return clm_fail(err, CLM_E_UNSUPPORTED, "HDF5: szip or scale-offset together with other compression");
    return fits ||
           clm_fail(err, CLM_E_FORMAT, "HDF5: torn chunk, %zu bytes cannot hold the %zu expected", n, bytes);
}

/* ---- Imaris ---- */

void clm_imaris_place(const clm_imaris *m, int64_t shape[3], clm_place *out) {
    const char *unit = m->unit[0] ? m->unit : "um";
    double um = 1;
    bool known = clm_unit_um(unit, &um);
    for (int d = 0; d < 3; d++) {
        double n = 0, lo = 0, hi = 0;
        if (clm_text_real(m->size[2 - d], &n) && n >= 1 && n <= (double)shape[d]) shape[d] = (int64_t)n;
        known = known && clm_text_real(m->lo[2 - d], &lo) && clm_text_real(m->hi[2 - d], &hi);
        out->spacing_um[d] = (hi - lo) / (double)shape[d] * um;
        out->origin_um[d] = lo * um + out->spacing_um[d] / 2;
        known =
            known && out->spacing_um[d] > 0 && isfinite(out->spacing_um[d]) && isfinite(out->origin_um[d]);
        out->axis[d] = d;
    }
    (void)snprintf(out->problem, sizeof out->problem, "%s",
                   known ? "" : "Imaris: no usable extents; give the spacing");
    (void)snprintf(out->dialect, sizeof out->dialect, "Imaris");
    (void)snprintf(out->unit, sizeof out->unit, "%.23s", unit);
}

/* ---- BigDataViewer ---- */

void clm_bdv_place(const double factor[3], const double voxel[3], const char *unit, clm_place *out) {
    double um = 1;
    bool known = clm_unit_um(unit, &um);
    for (int k = 0; k < 3; k++) {
        double spacing = voxel[k] * factor[k] * um, origin = (factor[k] - 1) / 2 * voxel[k] * um;
        known = known && spacing > 0 && isfinite(spacing) && isfinite(origin);
        out->spacing_um[2 - k] = spacing;
        out->origin_um[2 - k] = origin;
    }
    (void)snprintf(out->unit, sizeof out->unit, "%.23s", unit);
    (void)snprintf(
        out->problem, sizeof out->problem, "%s",
        known ? ""
              : "no usable voxelSize in the BigDataViewer XML beside the file, or no usable factors; "
                "give the spacing");
}

bool clm_bdv_cells(const char *path, int64_t *setup, int64_t *level) {
    char text[24];
    while (*path == '/') path++;
    if (path[0] != 't' || strlen(path) < 13 || path[6] != '/' || path[7] != 's' || path[10] != '/')
        return false;
    size_t n = strcspn(path + 11, "/");
    if (strcmp(path + 11 + n, "/cells") != 0 || n >= sizeof text) return false;
    (void)snprintf(text, sizeof text, "%.*s", (int)n, path + 11);
    bool ok = clm_text_int(text, level) && *level >= 0;
    (void)snprintf(text, sizeof text, "%.2s", path + 8);
    return ok && clm_text_int(text, setup) && *setup >= 0;
}
