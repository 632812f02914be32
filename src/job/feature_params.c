#include "feature_params.h"

#include <math.h>

#define BLOB_MIN_VOX 1.5 /* radii where the configuration leaves them open */
#define BLOB_MAX_VOX 4.0
#define PATCH_VOX 6.0

double clm_feature_voxel_um(const clm_view *view) {
    return fmin(view->spacing[0], fmin(view->spacing[1], view->spacing[2]));
}

static double or_voxels(double given_um, double voxels, double voxel_um) {
    return given_um > 0.0 ? given_um : voxels * voxel_um;
}

clm_blob_params clm_feature_blobs(const clm_run *run, const clm_view *view, bool local) {
    const clm_config *c = run->config;
    double voxel = clm_feature_voxel_um(view);
    clm_blob_params p = CLM_BLOB_DEFAULTS;
    /* the local stage looks for the same things as the global one, down to the finer level's voxels */
    p.radius_min_um = or_voxels(c->global_radius_min_um, BLOB_MIN_VOX, voxel);
    p.radius_max_um = or_voxels(c->global_radius_max_um, BLOB_MAX_VOX, voxel);
    if (p.radius_max_um < p.radius_min_um) p.radius_max_um = p.radius_min_um;
    p.max_spots = local ? c->local_max_spots : c->global_max_spots;
    return p;
}

clm_patch_params clm_feature_patches(const clm_run *run, const clm_view *view, bool local) {
    clm_patch_params p = CLM_PATCH_DEFAULTS;
    (void)local;
    p.radius_um = or_voxels(run->config->global_patch_radius_um, PATCH_VOX, clm_feature_voxel_um(view));
    return p;
}

void clm_feature_halo(const clm_run *run, const clm_view *view, bool local, int64_t halo[3]) {
    static const double same[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    clm_blob_params blob = clm_feature_blobs(run, view, local);
    clm_patch_params patch = clm_feature_patches(run, view, local);
    int64_t around[3];
    clm_blob_halo(&blob, view->spacing, halo, NULL);
    clm_patch_halo(&patch, same, view->spacing, around);
    for (int d = 0; d < 3; d++)
        if (around[d] > halo[d]) halo[d] = around[d];
}
