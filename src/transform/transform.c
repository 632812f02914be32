#include "collimate/transform/transform.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"
#include "collimate/store/scale.h"

#include <string.h>

/* Reading a scene: OME-Zarr 0.6, and what 0.6.dev writers left: the vector axis is found by its type. */

static bool affine_of(const clm_json *v, clm_affine *out, clm_err *err) {
    const clm_json *rows = clm_json_get(v, "affine");
    for (int d = 0; d < 3; d++)
        if (clm_json_size(rows) != 3 || !clm_json_numbers(clm_json_at(rows, d), 4, out->m[d]))
            return clm_fail(err, CLM_E_FORMAT, "affine: want 3 rows of 4 numbers");
    return true;
}

static bool is_type(const clm_json *v, const char *type) {
    const char *text = clm_json_text(clm_json_get(v, "type"));
    return text && strcmp(text, type) == 0;
}

/* [displacements, affine], either alone, wrapped in a bijection or not */
static bool parse_chain(const clm_json *t, const char **field, clm_affine *affine, clm_err *err) {
    *field = NULL;
    *affine = CLM_AFFINE_IDENTITY;
    if (is_type(t, "bijection")) t = clm_json_get(t, "forward");
    const clm_json *step = t;
    if (is_type(t, "sequence")) step = clm_json_first(clm_json_get(t, "transformations"));
    bool in_list = step != t, affine_seen = false;
    for (; step; step = in_list ? clm_json_next(step) : NULL) {
        if (is_type(step, "identity")) continue;
        if (is_type(step, "displacements") && !*field && !affine_seen) {
            *field = clm_json_text(clm_json_get(step, "path"));
            if (!*field || (*field)[0] == '/' || strstr(*field, ".."))
                return clm_fail(err, CLM_E_FORMAT, "displacements: path");
        } else if (is_type(step, "affine") && !affine_seen) {
            affine_seen = true;
            if (!affine_of(step, affine, err)) return false;
        } else {
            return clm_fail(err, CLM_E_UNSUPPORTED, "a chain other than [displacements, affine]");
        }
    }
    return true;
}

/* The lattice: axes, scale and translation of the field's multiscale group. */
static bool parse_lattice(const clm_json *attrs, clm_transform *t, char dataset[128], clm_err *err) {
    clm_scales s;
    const clm_json *ome = clm_json_get(attrs, "ome");
    const clm_json *m = clm_json_at(clm_json_get(ome, "multiscales"), 0);
    const clm_json *axes = clm_json_get(clm_json_first(clm_json_get(m, "coordinateSystems")), "axes");
    if (!axes) axes = clm_json_get(m, "axes");
    if (!clm_scales_of_ome(attrs, &s, err)) return false;
    if (s.no_length[0])
        return clm_fail(err, CLM_E_FORMAT, "displacements: unit %s is no length", s.no_length);
    if (s.n < 1 || s.ndim != 4) return clm_fail(err, CLM_E_FORMAT, "displacements: no multiscale of 4 axes");
    t->component_axis = -1;
    for (int d = 0; d < 4; d++)
        if (is_type(clm_json_at(axes, d), "displacement")) t->component_axis = d;
    if (t->component_axis != 0 && t->component_axis != 3)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "displacements: the displacement axis is neither first nor last");
    for (int d = 0; d < 3; d++)
        if (s.axis[d] != d + (t->component_axis == 0))
            return clm_fail(err, CLM_E_UNSUPPORTED, "displacements: axes are not in the order z y x");
    memcpy(t->spacing_um, s.level[0].spacing, sizeof t->spacing_um);
    memcpy(t->origin_um, s.level[0].origin, sizeof t->origin_um);
    memcpy(dataset, s.level[0].path, 128);
    return true;
}

static bool open_array(const char *path, bool write, clm_array **out, clm_err *err) {
    return write ? clm_array_open_write(path, out, err) : clm_array_open(path, out, err);
}

static bool open_field(const char *root, const char *below, clm_transform *t, clm_err *err) {
    char group[CLM_PATH_MAX], path[CLM_PATH_MAX], dataset[128];
    clm_json *attrs = NULL;
    bool ok = clm_path_join(group, root, below, err) && clm_node_attrs(group, &attrs, err) &&
              parse_lattice(attrs, t, dataset, err);
    clm_json_free(attrs);
    if (!ok || !clm_path_join(path, group, dataset, err) || !open_array(path, t->writable, &t->field, err))
        return false;
    const clm_array_info *i = clm_array_info_of(t->field);
    if (i->ndim != 4 || i->shape[t->component_axis] != 3 || i->dtype != CLM_F32)
        return clm_fail(err, CLM_E_FORMAT, "%s: want float32 vectors of 3, found %d-D %s", path, i->ndim,
                        clm_dtype_name(i->dtype));
    for (int d = 0; d < 3; d++) t->shape[d] = i->shape[d + (t->component_axis == 0)];
    return true;
}

bool clm_ome_read_frame(const char *path, clm_image_frame *out, clm_err *err) {
    clm_err why = CLM_ERR_NONE;
    clm_image *im = NULL;
    if (!clm_image_open(path, NULL, &im, &why)) {
        /* a scene need not hold its images; but not to have looked is not to have seen */
        if (why.code == CLM_E_NOTFOUND || why.code == CLM_E_UNSUPPORTED) return true;
        return *err = why, false;
    }
    const clm_image_level *l = &clm_image_info_of(im)->level[0];
    memcpy(out->shape, l->shape, sizeof out->shape);
    memcpy(out->spacing_um, l->spacing_um, sizeof out->spacing_um);
    memcpy(out->origin_um, l->origin_um, sizeof out->origin_um);
    clm_image_close(im);
    return true;
}

/* The grid of the image that one side's coordinate system belongs to, where the scene holds one. */
static bool read_side(const char *root, const clm_json *side, clm_image_frame *out, clm_err *err) {
    char path[CLM_PATH_MAX];
    const char *below = clm_json_text(clm_json_get(side, "path"));
    if (!below || below[0] == '/' || strstr(below, "..")) return true;
    return clm_path_join(path, root, below, err) && clm_ome_read_frame(path, out, err);
}

bool clm_transform_open(const char *path, bool write, clm_transform *out, clm_err *err) {
    clm_json *attrs = NULL;
    clm_transform t = {.writable = write};
    const char *field = NULL;
    char coverage[CLM_PATH_MAX];
    memset(out, 0, sizeof *out);
    bool ok = clm_node_attrs(path, &attrs, err);
    const clm_json *scene = clm_json_get(clm_json_get(attrs, "ome"), "scene");
    const clm_json *chain = clm_json_at(clm_json_get(scene, "coordinateTransformations"), 0);
    if (ok && !chain) ok = clm_fail(err, CLM_E_FORMAT, "no ome.scene.coordinateTransformations");
    ok = ok && parse_chain(chain, &field, &t.affine, err) && (!field || open_field(path, field, &t, err));
    ok = ok && clm_path_join(coverage, path, "coordinateTransformations/coverage", err);
    if (ok && clm_node_is_array(clm_node_kind_of(coverage)))
        ok = open_array(coverage, write, &t.coverage, err);
    ok = ok && read_side(path, clm_json_get(chain, "input"), &t.fixed, err) &&
         read_side(path, clm_json_get(chain, "output"), &t.moving, err);
    clm_json_free(attrs);
    if (ok) {
        *out = t;
        return true;
    }
    clm_transform_close(&t);
    return strstr(err->text, path) ? false : clm_err_in(err, "%s", path);
}

void clm_transform_close(clm_transform *t) {
    clm_array_close(t->field);
    clm_array_close(t->coverage);
    memset(t, 0, sizeof *t);
}

clm_vectors clm_transform_vectors(const clm_transform *t) {
    clm_vectors v = {.array = {t->field}, .component_axis = t->component_axis};
    memcpy(v.shape, t->shape, sizeof v.shape);
    memcpy(v.spacing_um, t->spacing_um, sizeof v.spacing_um);
    memcpy(v.origin_um, t->origin_um, sizeof v.origin_um);
    return v;
}

bool clm_transform_read(const clm_transform *t, clm_box box, clm_field *out, clm_err *err) {
    if (!t->field) return clm_fail(err, CLM_E_ARG, "the transform has no displacement field");
    const clm_vectors v = clm_transform_vectors(t);
    return clm_vectors_read(&v, box, out, err);
}

bool clm_transform_put(clm_transform *t, const int64_t index[3], const clm_field *chunk, clm_err *err) {
    int64_t at[4] = {0, index[0], index[1], index[2]}, lo[4], hi[4], n = clm_field_count(chunk);
    if (!t->field || t->component_axis != 0)
        return clm_fail(err, CLM_E_ARG, "the transform has no field of ours");
    clm_array_chunk_box(t->field, at, lo, hi);
    for (int d = 0; d < 3; d++)
        if (hi[d + 1] - lo[d + 1] != chunk->shape[d])
            return clm_fail(err, CLM_E_ARG, "field and chunk %s differ in shape", clm_index_say(3, index).s);
    /* planes made by clm_field_new follow one another already */
    if (chunk->u[1] == chunk->u[0] + n && chunk->u[2] == chunk->u[1] + n)
        return clm_array_put_chunk(t->field, at, chunk->u[0], err);
    float *packed = clm_heap_new((size_t)n * 3, sizeof *packed, err);
    if (!packed) return false;
    for (int c = 0; c < 3; c++) memcpy(packed + c * n, chunk->u[c], (size_t)n * sizeof *packed);
    bool ok = clm_array_put_chunk(t->field, at, packed, err);
    clm_heap_free(packed);
    return ok;
}
