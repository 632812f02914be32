#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/scale.h"

#include <string.h>

/* Which format a file is of, by its first bytes. */

static bool begins(const clm_buf *b, const char *magic, size_t n) {
    return b->n >= n && memcmp(b->data, magic, n) == 0;
}

bool clm_file_array_open(const char *file, const char *inside, clm_array **out, clm_err *err) {
    clm_buf head = {0};
    bool ok = clm_file_head(file, 16, &head, err);
    if (!ok) return false;
    bool tiff = begins(&head, "II*\0", 4) || begins(&head, "MM\0*", 4) || begins(&head, "II+\0", 4) ||
                begins(&head, "MM\0+", 4);
    bool nifti = clm_text_ends(file, ".nii") || clm_text_ends(file, ".nii.gz");
    bool hdf5 = begins(&head, "\x89HDF\r\n\x1a\n", 8), nrrd = begins(&head, "NRRD", 4);
    clm_buf_free(&head);
    if (hdf5) return clm_hdf5_open(file, inside, out, err);
    if (inside[0]) return clm_fail(err, CLM_E_NOTFOUND, "%s holds no \"%s\"", clm_path_name(file), inside);
    if (nifti) return clm_nifti_open(file, out, err);
    if (nrrd) return clm_nrrd_open(file, out, err);
    if (tiff) return clm_tiff_open(file, out, err);
    return clm_fail(err, CLM_E_UNSUPPORTED, "not a file of a known kind (HDF5, TIFF, NIfTI, NRRD)");
}

bool clm_scales_of_pyramid_file(const char *path, int64_t time, int64_t channel, clm_scales *out,
                                clm_err *err) {
    char file[CLM_PATH_MAX];
    clm_buf head = {0};
    out->n = 0;
    if (!clm_path_format(file, err, "%s", path)) return false;
    while (clm_path_kind_of(file) == CLM_PATH_NONE) {
        char *slash = strrchr(file, '/');
        if (!slash || slash == file) return true;
        *slash = 0;
    }
    if (clm_path_kind_of(file) != CLM_PATH_FILE) return true;
    bool ok = clm_file_head(file, 8, &head, err), hdf5 = ok && begins(&head, "\x89HDF\r\n\x1a\n", 8);
    clm_buf_free(&head);
    const char *inside = path + strlen(file);
    return ok && hdf5
               ? clm_hdf5_pyramid(file, inside[0] == '/' ? inside + 1 : inside, time, channel, out, err)
               : ok;
}
