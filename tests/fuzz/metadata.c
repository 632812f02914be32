/* Metadata documents of any bytes: OME-Zarr attributes, N5 attributes and dialects, .zarray, zarr.json. A verdict is
 * a verdict, and levels that are read are levels. */
#include "collimate/base/json.h"
#include "collimate/store/scale.h"
#include "collimate/transform/tform.h"
#include "collimate/store/validate.h"
#include "support/fuzz.h"

#include <math.h>
#include <string.h>

static const char *const seeds[] = {
    ("{\"multiscales\":[{\"version\":\"0.4\",\"axes\":[{\"name\":\"c\",\"type\":\"channel\"},{\"name\":\"z\",\"type\":"
     "\"space\",\"unit\":\"micrometer\"},{\"name\":\"y\",\"type\":\"space\"},{\"name\":\"x\",\"type\":\"space\"}],"
     "\"datasets\":[{\"path\":\"0\",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":[1,2,1,1]},"
     "{\"type\":\"translation\",\"translation\":[0,4,0,1]}]}],\"coordinateTransformations\":[{\"type\":\"scale\","
     "\"scale\":[1,1,1,1]}]}],\"omero\":{\"channels\":[{\"color\":\"0000FF\",\"window\":{\"min\":0,\"max\":9,"
     "\"start\":0,\"end\":5}}]}}"),
    ("{\"ome\":{\"version\":\"0.5\",\"multiscales\":[{\"name\":\"n\",\"axes\":[{\"name\":\"y\",\"type\":\"space\"},{\"name\":"
     "\"x\",\"type\":\"space\"}],\"datasets\":[{\"path\":\"0\",\"coordinateTransformations\":[{\"type\":\"scale\",\"scale\":"
     "[1,1]}]}]}],\"image-label\":{\"colors\":[{\"label-value\":1,\"rgba\":[1,2,3,255]}],\"properties\":[{"
     "\"label-value\":1}],\"source\":{\"image\":\"../../\"}}}}"),
    ("{\"ome\":{\"version\":\"0.6\",\"multiscales\":[{\"coordinateSystems\":[{\"name\":\"physical\",\"axes\":[{\"name\":"
     "\"z\",\"type\":\"space\",\"unit\":\"micrometer\"},{\"name\":\"y\",\"type\":\"space\"},{\"name\":\"x\",\"type\":\"space\"}]}],"
     "\"datasets\":[{\"path\":\"s0\",\"coordinateTransformations\":[{\"type\":\"sequence\",\"input\":{\"path\":\"s0\"},"
     "\"output\":{\"name\":\"physical\"},\"transformations\":[{\"type\":\"scale\",\"scale\":[1,2,3]},{\"type\":"
     "\"translation\",\"translation\":[4,5,6]}]}]}]}]}}"),
    ("{\"ome\":{\"version\":\"0.6\",\"scene\":{\"coordinateTransformations\":[{\"type\":\"bijection\",\"name\":\"f\",\"input\":"
     "{\"path\":\"a\",\"name\":\"p\"},\"output\":{\"path\":\"b\",\"name\":\"p\"},\"forward\":{\"type\":\"affine\",\"affine\":"
     "[[1,0,0,1],[0,1,0,1],[0,0,1,0]]},\"inverse\":{\"type\":\"byDimension\",\"transformations\":[{\"transformation\":{"
     "\"type\":\"mapAxis\",\"mapAxis\":[0]},\"inputAxes\":[\"x\"],\"outputAxes\":[\"y\"]}]}}]}}}"),
    ("{\"plate\":{\"version\":\"0.4\",\"columns\":[{\"name\":\"1\"}],\"rows\":[{\"name\":\"A\"}],\"wells\":[{\"path\":\"A/1\","
     "\"rowIndex\":0,\"columnIndex\":0}],\"acquisitions\":[{\"id\":1}],\"field_count\":1}}"),
    ("{\"well\":{\"version\":\"0.4\",\"images\":[{\"path\":\"0\",\"acquisition\":1}]},\"labels\":[\"cells\"]}"),
    ("{\"dimensions\":[4,3,2],\"blockSize\":[2,2,2],\"dataType\":\"uint16\",\"compression\":{\"type\":\"gzip\"},"
     "\"pixelResolution\":{\"unit\":\"nm\",\"dimensions\":[4,5,6]},\"downsamplingFactors\":[1,2,2]}"),
    ("{\"transform\":{\"axes\":[\"z\",\"y\",\"x\"],\"scale\":[4,4,4],\"translate\":[0,2,2],\"units\":[\"nm\",\"nm\",\"nm\"]}}"),
    ("{\"resolution\":[4,4,40],\"offset\":[1,2,3],\"units\":[\"nm\",\"nm\",\"um\"],\"scales\":[[1,1,1],[2,2,2]],"
     "\"affineTransform\":[2,0,0,1,0,2,0,1,0,0,3,1]}"),
    ("{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[8,8],\"data_type\":\"uint16\",\"chunk_grid\":{\"name\":\"regular\","
     "\"configuration\":{\"chunk_shape\":[8,8]}},\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":0,\"codecs\":[{"
     "\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"codecs\":[{\"name\":\"bytes\","
     "\"configuration\":{\"endian\":\"little\"}}],\"index_codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":"
     "\"little\"}},{\"name\":\"crc32c\"}]}}],\"attributes\":{}}"),
    ("{\"zarr_format\":2,\"shape\":[3,4],\"chunks\":[2,2],\"dtype\":\"<f4\",\"compressor\":{\"id\":\"blosc\",\"cname\":\"lz4\","
     "\"clevel\":5,\"shuffle\":1},\"fill_value\":\"NaN\",\"order\":\"F\",\"filters\":[{\"id\":\"delta\",\"dtype\":\"<f4\"}]}"),
};

size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    if (k >= (int)(sizeof seeds / sizeof seeds[0])) return 0;
    size_t n = strlen(seeds[k]);
    FUZZ_ASSERT(n <= cap);
    memcpy(buf, seeds[k], n);
    return n;
}

static void levels(const clm_scales *s) {
    FUZZ_ASSERT(s->n >= 0 && s->n <= CLM_LEVELS_MAX);
    for (int k = 0; k < s->n; k++)
        for (int d = 0; s->level[k].known && d < 3; d++) FUZZ_ASSERT(s->level[k].spacing[d] > 0);
}

/* Transformations that parse can be asked for both ways, and applied where they say so. */
static void transformations(const clm_json *list) {
    clm_err err = CLM_ERR_NONE;
    clm_tform_ground g = {0};
    FUZZ_ASSERT(clm_arena_open((size_t)1 << 22, &g.arena, &err));
    const clm_tform_axes any = {.n = -1}, three = {.n = 3};
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k))
        for (int i = 0; i < 4; i++) {
            clm_tform *t;
            double x[CLM_DIMS_MAX] = {1, 2, 3, 4};
            err.code = CLM_OK;
            if (!clm_tform_parse(k, &g, i & 1 ? &three : &any, &any, &t, &err)) {
                FUZZ_ASSERT(err.code != CLM_OK && err.text[0]);
                continue;
            }
            const char *why = NULL;
            bool back = i > 1, can = clm_tform_can(t, back, &why);
            FUZZ_ASSERT(can || why);
            FUZZ_ASSERT(clm_tform_apply(t, back, x, &err) == can);
        }
    clm_tform_close_fields(&g);
    clm_arena_close(g.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v = NULL;
    clm_buf text = {0}, found = {0};
    const clm_validate_options options = {0};
    FUZZ_ASSERT(clm_buf_reserve(&text, size + 1, &err));
    if (size) memcpy(text.data, data, size);
    text.data[size] = 0;
    if (text.data[0] == '{' && !clm_validate((const char *)text.data, &options, &found, &err))
        FUZZ_ASSERT(err.code != CLM_OK && err.text[0]);
    if (clm_json_parse(text.data, size, "fuzz", &v, &err)) {
        clm_scales s = {0};
        err = CLM_ERR_NONE;
        if (clm_scales_of_ome(v, &s, &err)) levels(&s);
        s = (clm_scales){.n = 2};
        if (clm_scale_of_n5(v, v, "s1", &s, 1, &err) && clm_scale_of_n5(NULL, v, "s0", &s, 0, &err))
            levels(&s);
        const clm_json *scene = clm_json_get(clm_json_get(v, "ome"), "scene");
        transformations(clm_json_get(scene, "coordinateTransformations"));
    }
    clm_json_free(v);
    clm_buf_free(&text);
    clm_buf_free(&found);
    return 0;
}
