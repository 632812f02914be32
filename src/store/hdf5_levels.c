#include "collimate/store/hdf5_levels.h"
#include "collimate/base/file.h"
#include "collimate/store/bdv.h"

#include <hdf5.h>
#include <math.h>
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
            char path[128], other[128];
            (void)snprintf(path, sizeof path, "DataSet/ResolutionLevel %d/TimePoint %lld/Channel %lld/Data",
                           level, (long long)(time < 0 ? 0 : time), (long long)(channel < 0 ? 0 : channel));
            if (!exists(f, path)) break;
            (void)snprintf(other, sizeof other, "DataSet/ResolutionLevel 0/TimePoint %d/Channel 1", 0);
            if (channel < 0 && exists(f, other))
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

void clm_hdf5_place_bdv(int64_t file, const char *h5_file, const char *path, clm_place *p) {
    hid_t f = (hid_t)file;
    char name[32];
    int64_t setup = -1, level = -1;
    double size[3], um = 1, factor[CLM_LEVELS_MAX][3];
    hsize_t shape[2] = {0, 0};
    while (*path == '/') path++;
    (void)snprintf(name, sizeof name, "%.2s", path + 8);
    (void)clm_text_int(name, &setup);
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(path + 11, "/"), path + 11);
    (void)clm_text_int(name, &level);
    (void)snprintf(name, sizeof name, "s%02d/resolutions", (int)(setup & 0xff));
    hid_t d = exists(f, name) ? H5Dopen2(f, name, H5P_DEFAULT) : -1, space = d > 0 ? H5Dget_space(d) : -1;
    bool ok = space > 0 && H5Sget_simple_extent_ndims(space) == 2 &&
              H5Sget_simple_extent_dims(space, shape, NULL) == 2 && shape[1] == 3 &&
              shape[0] <= CLM_LEVELS_MAX && level >= 0 && level < (int64_t)shape[0] &&
              H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, factor) >= 0;
    if (space > 0) (void)H5Sclose(space);
    if (d > 0) (void)H5Dclose(d);
    (void)snprintf(p->dialect, sizeof p->dialect, "BigDataViewer XML");
    for (int i = 0; ok && i < 3; i++) p->spacing_um[2 - i] = factor[level][i];
    ok = ok && xml_voxel(h5_file, setup, size, p->unit) && clm_unit_um(p->unit, &um);
    (void)snprintf(p->problem, sizeof p->problem, "%s",
                   ok ? "" : "no voxelSize in the BigDataViewer XML beside the file; give the spacing");
    for (int i = 0; ok && i < 3; i++) {
        p->spacing_um[2 - i] = size[i] * factor[level][i] * um;
        p->origin_um[2 - i] = (factor[level][i] - 1) / 2 * size[i] * um;
    }
}
