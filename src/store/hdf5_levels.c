#include "collimate/store/hdf5_levels.h"
#include "collimate/base/file.h"
#include "collimate/store/bdv.h"
#include "collimate/store/hdf5_parts.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

/* Pyramids inside HDF5 files: BigDataViewer's t%05d/s%02d/LEVEL/cells with s%02d/resolutions (factors, x y z)
 * and an XML beside the file for the voxel size; Imaris's DataSet/ResolutionLevel N/TimePoint T/Channel C. */

static bool exists(hid_t file, const char *path) { /* every step must be there for H5Oexists_by_name */
    char at[256];
    if (strlen(path) >= sizeof at) return false;
    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/') continue;
        (void)snprintf(at, sizeof at, "%.*s", (int)i, path);
        if (H5Lexists(file, at, H5P_DEFAULT) <= 0) return false;
    }
    return H5Lexists(file, path, H5P_DEFAULT) > 0;
}

bool clm_hdf5_levels(int64_t file, const char *inside, int64_t time, int64_t channel, clm_scales *out,
                     clm_err *err) {
    hid_t f = (hid_t)file;
    out->n = 0;
    while (*inside == '/') inside++;
    if (!inside[0] && exists(f, "DataSet/ResolutionLevel 0")) {
        for (int level = 0; level < CLM_LEVELS_MAX; level++) {
            char path[128];
            (void)snprintf(path, sizeof path, "DataSet/ResolutionLevel %d/TimePoint %lld/Channel %lld/Data",
                           level, (long long)(time < 0 ? 0 : time), (long long)(channel < 0 ? 0 : channel));
            if (!exists(f, path)) break;
            if (channel < 0 && exists(f, "DataSet/ResolutionLevel 0/TimePoint 0/Channel 1"))
                return clm_fail(err, CLM_E_ARG, "Imaris: several channels; choose one");
            if (time < 0 && exists(f, "DataSet/ResolutionLevel 0/TimePoint 1"))
                return clm_fail(err, CLM_E_ARG, "Imaris: several time points; choose one");
            (void)snprintf(out->level[out->n++].path, sizeof out->level[0].path, "%s", path);
        }
        return out->n > 0 || clm_fail(err, CLM_E_NOTFOUND, "Imaris: no such time point or channel");
    }
    char setup[32];
    (void)snprintf(setup, sizeof setup, "%.31s", inside[0] ? inside : "t00000/s00");
    if (!inside[0] && exists(f, "s01"))
        return clm_fail(err, CLM_E_ARG, "BigDataViewer: several setups; name one, e.g. /t00000/s01");
    if (setup[0] != 't' || strlen(setup) != 10 || setup[6] != '/' || setup[7] != 's' || !exists(f, setup))
        return true;
    for (int level = 0; level < CLM_LEVELS_MAX; level++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%d/cells", setup, level);
        if (!exists(f, path)) break;
        (void)snprintf(out->level[out->n++].path, sizeof out->level[0].path, "%s",
                       path + (inside[0] ? strlen(setup) + 1 : 0));
    }
    return true;
}

/* voxelSize of a view setup in the XML beside the file */
static bool xml_voxel(const char *h5_file, int64_t setup, double size[3], char unit[24]) {
    char path[CLM_PATH_MAX];
    clm_err ignored = CLM_ERR_NONE;
    clm_buf b = {0};
    size_t stem = strlen(h5_file);
    while (stem && h5_file[stem - 1] != '.' && h5_file[stem - 1] != '/') stem--;
    bool ok = stem && h5_file[stem - 1] == '.' &&
              clm_path_format(path, &ignored, "%.*sxml", (int)stem, h5_file) &&
              clm_file_read(path, (size_t)256 << 20, &b, &ignored) &&
              clm_bdv_voxel_of((const char *)b.data, b.n, setup, size, unit);
    clm_buf_free(&b);
    return ok;
}

/* one row of s%02d/resolutions */
static bool factors_of(const char *h5_file, int64_t setup, int64_t level, double out[3], clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    unsigned char row[3 * 16];
    if (!clm_path_format(path, err, "%s/s%02d/resolutions", h5_file, (int)setup) ||
        !clm_array_open(path, &a, err))
        return false;
    const clm_array_info *i = clm_array_info_of(a);
    bool ok = i->ndim == 2 && i->shape[1] == 3 && level < i->shape[0] &&
              clm_array_read(a, (const int64_t[]){level, 0}, (const int64_t[]){level + 1, 3}, row, err);
    if (ok) clm_dtype_to_f64(i->dtype, row, out, 3);
    clm_array_close(a);
    return ok;
}

void clm_hdf5_place_bdv(const char *h5_file, int64_t setup, int64_t level, clm_place *p) {
    double voxel[3] = {1, 1, 1}, factor[3] = {0, 0, 0};
    char unit[24] = "um";
    clm_err ignored = CLM_ERR_NONE;
    bool told = factors_of(h5_file, setup, level, factor, &ignored);
    told = xml_voxel(h5_file, setup, voxel, unit) && told;
    clm_bdv_place(factor, voxel, unit, p);
    (void)snprintf(p->dialect, sizeof p->dialect, "BigDataViewer XML");
    if (!told)
        (void)snprintf(p->problem, sizeof p->problem,
                       "no voxelSize in the BigDataViewer XML beside the file; give the spacing");
}
