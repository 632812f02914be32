/* The XML of BigDataViewer: any bytes give a refusal with a reason, or a path below the XML's folder. */
#include "collimate/store/bdv.h"
#include "support/fuzz.h"

#include <math.h>
#include <string.h>

static const char *const seed[] = {
    "<SpimData><BasePath type=\"relative\">.</BasePath><SequenceDescription><ImageLoader format=\"bdv.n5\">"
    "<n5 type=\"relative\">d.n5</n5></ImageLoader><ViewSetups><ViewSetup><id>0</id><voxelSize><unit>um</unit>"
    "<size>0.4 0.4 2</size></voxelSize></ViewSetup></ViewSetups></SequenceDescription><ViewRegistrations>"
    "<ViewRegistration timepoint=\"0\" setup=\"0\"><ViewTransform type=\"affine\"><affine>1 0 0 5 0 1 0 6 0 0 1 7"
    "</affine></ViewTransform><ViewTransform><affine>1 0 0 0 0 1 0 0 0 0 5 0</affine></ViewTransform>"
    "</ViewRegistration></ViewRegistrations></SpimData>",
    "<ImageLoader format='bdv.multimg.zarr'><zarr>z</zarr><zgroup setup='1' tp='0' path='a/b' indicies='[1, 0]'/>"
    "<zgroup setup='0'><path>c</path></zgroup></ImageLoader><ViewSetup><id>1</id></ViewSetup>",
    "<BasePath>b</BasePath><ImageLoader format='bdv.hdf5'><hdf5>x.h5</hdf5></ImageLoader><ViewSetup><id>0</id>"
    "<voxelSize><unit>nm</unit><size>1 1 1</size></voxelSize></ViewSetup>"};

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    if (k >= (int)(sizeof seed / sizeof seed[0])) return 0;
    size_t n = strlen(seed[k]);
    FUZZ_ASSERT(n <= cap);
    memcpy(buf, seed[k], n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int64_t setup = -1; setup < 2; setup++) {
        clm_err err = CLM_ERR_NONE;
        clm_bdv_view v;
        double voxel[3];
        char unit[24];
        if (clm_bdv_voxel_of((const char *)data, size, setup, voxel, unit))
            FUZZ_ASSERT(voxel[0] > 0 && voxel[1] > 0 && voxel[2] > 0 && strlen(unit) < sizeof unit);
        if (!clm_bdv_view_of((const char *)data, size, setup, -1, &v, &err)) {
            FUZZ_ASSERT(err.code != CLM_OK && err.text[0]);
            continue;
        }
        FUZZ_ASSERT(v.setup >= 0 && v.time >= 0 && v.path[0] && v.path[0] != '/');
        FUZZ_ASSERT(strcmp(v.path, "..") != 0 && strncmp(v.path, "../", 3) != 0 && !strstr(v.path, "/../"));
        for (int d = 0; d < 3 && !v.problem[0]; d++)
            FUZZ_ASSERT(v.spacing_um[d] > 0 && isfinite(v.spacing_um[d]) && isfinite(v.origin_um[d]));
    }
    return 0;
}
