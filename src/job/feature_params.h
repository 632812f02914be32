/* What the feature stages ask of blobs, patches and matches, from configuration and voxel size. */
#ifndef CLM_JOB_FEATURE_PARAMS_H
#define CLM_JOB_FEATURE_PARAMS_H

#include "collimate/align/blob.h"
#include "collimate/align/patch.h"
#include "collimate/align/refine.h"
#include "collimate/job/align_run.h"

clm_blob_params clm_feature_blobs(const clm_run *run, const clm_view *view, bool local);
clm_patch_params clm_feature_patches(const clm_run *run, const clm_view *view);
/** What the affines of the global and the local stage are refined by. */
clm_refine_metric clm_feature_metric(const clm_run *run);
/** Voxels around a block that its blobs and patches look at. */
void clm_feature_halo(const clm_run *run, const clm_view *view, bool local, int64_t halo[3]);

#endif
