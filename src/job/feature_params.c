#include "feature_params.h"

#include <string.h>

#define BLOB_MIN_VOX 1.5 /* radii where the configuration leaves them open */
#define BLOB_MAX_VOX 4.0
#define PATCH_VOX 6.0

clm_blob_params clm_feature_blobs(const clm_run *run, const clm_view *view, bool local) {
    const clm_config *c = run->config;
    clm_blob_params p = CLM_BLOB_DEFAULTS;
    /* the local stage looks for the same things as the global one, down to the finer level's voxels */
    p.radius_min_um = clm_view_um_or_voxels(view, c->global_radius_min_um, BLOB_MIN_VOX);
    p.radius_max_um = clm_view_um_or_voxels(view, c->global_radius_max_um, BLOB_MAX_VOX);
    if (p.radius_max_um < p.radius_min_um) p.radius_max_um = p.radius_min_um;
    p.max_spots = local ? c->local_max_spots : c->global_max_spots;
    return p;
}

clm_patch_params clm_feature_patches(const clm_run *run, const clm_view *view) {
    clm_patch_params p = CLM_PATCH_DEFAULTS;
    p.radius_um = clm_view_um_or_voxels(view, run->config->global_patch_radius_um, PATCH_VOX);
    return p;
}

clm_refine_metric clm_feature_metric(const clm_run *run) {
    return strcmp(run->config->global_metric, "mi") == 0 ? CLM_REFINE_MI : CLM_REFINE_NCC;
}

void clm_feature_halo(const clm_run *run, const clm_view *view, bool local, int64_t halo[3]) {
    static const double same[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    clm_blob_params blob = clm_feature_blobs(run, view, local);
    clm_patch_params patch = clm_feature_patches(run, view);
    int64_t around[3];
    clm_blob_halo(&blob, view->spacing, halo, NULL);
    clm_patch_halo(&patch, same, view->spacing, around);
    for (int d = 0; d < 3; d++)
        if (around[d] > halo[d]) halo[d] = around[d];
}
