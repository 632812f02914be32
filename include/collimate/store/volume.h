/* One 3-D volume, or field of vectors, in one file, written in pieces by independent tasks, on one rank or many: NIfTI
 * and NRRD.
 * Until clm_volume_finish the voxels stand in ".NAME.part" beside it. */
#ifndef CLM_STORE_VOLUME_H
#define CLM_STORE_VOLUME_H

#include "collimate/store/image.h"

typedef enum clm_volume_kind { CLM_VOLUME_NIFTI, CLM_VOLUME_NIFTI_GZ, CLM_VOLUME_NRRD } clm_volume_kind;

typedef struct clm_volume_spec {
    clm_volume_kind kind;
    clm_dtype dtype; /* integers and reals; bool is written as uint8 */
    clm_image_frame frame;
    bool
        vectors; /* three components x y z, left posterior superior: NIfTI of intent 1007, NRRD's axis "vector" */
} clm_volume_spec;

/** By the file's name, ".nii", ".nii.gz", ".nrrd"; false: none of them. */
bool clm_volume_kind_of(const char *path, clm_volume_kind *out);
/** Header and room for the voxels, once, before any piece. The same again keeps what is there.
 *  NIfTI-1 where its sizes suffice, else -2; sform and qform in millimetres; NRRD left-posterior-superior, in
 *  millimetres. World as on reading: x left, y posterior, z superior.
 *  Errors CLM_E_ARG a type that is not written; CLM_E_WRITE */
CLM_MUST bool clm_volume_create(const char *path, const clm_volume_spec *spec, clm_err *err);
/** Planes [z0, z1), packed, native. Any rank, any order, again is fine. Vectors as the file has them: in NRRD the three
 *  components of a voxel stand together, in NIfTI all of x go before y before z. */
CLM_MUST bool clm_volume_put(const char *path, const clm_volume_spec *spec, int64_t z0, int64_t z1,
                             const void *voxels, clm_err *err);
/** All planes are there: durable, and under its name. .nii.gz is compressed here, 16 MiB a gzip member. */
CLM_MUST bool clm_volume_finish(const char *path, const clm_volume_spec *spec, clm_err *err);

#endif
