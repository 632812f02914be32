#include "collimate/transform/transform.h"
#include "collimate/store/node.h"
#include "collimate/store/ome.h"

#include <stdio.h>

static clm_json *add_system(clm_json *multiscale, bool vector_first) {
    clm_json *s = clm_json_add_object(clm_json_add_list(multiscale, "coordinateSystems"), NULL);
    clm_json_add_text(s, "name", "physical");
    clm_ome_add_axes(s, vector_first);
    return s;
}

/* A 0.6 multiscale group of one level s0, n axes. */
static bool write_group_06(const char *path, const char *name, const double spacing[], const double origin[],
                           int n, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *ome = clm_json_add_object(v, "ome");
    clm_json_add_text(ome, "version", "0.6");
    clm_json *m = clm_json_add_object(clm_json_add_list(ome, "multiscales"), NULL);
    clm_json_add_text(m, "name", name);
    add_system(m, n == 4);
    clm_json *d = clm_json_add_object(clm_json_add_list(m, "datasets"), NULL);
    clm_json_add_text(d, "path", "s0");
    clm_json *t = clm_json_add_object(clm_json_add_list(d, "coordinateTransformations"), NULL);
    clm_json_add_text(t, "type", "sequence");
    clm_json_add_text(clm_json_add_object(t, "input"), "path", "s0");
    clm_json_add_text(clm_json_add_object(t, "output"), "name", "physical");
    clm_json *list = clm_json_add_list(t, "transformations");
    clm_ome_add_scale(list, "scale", spacing, n);
    clm_ome_add_scale(list, "translation", origin, n);
    bool ok = clm_node_make_group(path, CLM_FORMAT_ZARR3, v, err);
    clm_json_free(v);
    return ok;
}

static bool make_array(const char *root, const char *below, clm_array_spec *spec, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    static const char *const axes[] = {"d", "z", "y", "x"};
    for (int d = 0; d < spec->ndim; d++) spec->axes[d] = axes[4 - spec->ndim + d];
    if (!clm_path_join(path, root, below, err) || !clm_array_create(path, spec, &a, err)) return false;
    clm_array_close(a);
    return true;
}

/* One side: an image without chunks, all fill, that carries the side's grid and names its system. */
static bool write_frame(const char *root, const char *side, const clm_image_frame *f, clm_err *err) {
    char path[CLM_PATH_MAX], below[32];
    clm_array_spec spec = {.ndim = 3, .dtype = CLM_U8};
    for (int d = 0; d < 3; d++) {
        spec.shape[d] = f->shape[d];
        spec.chunk[d] = f->shape[d] < 64 ? f->shape[d] : 64;
    }
    (void)snprintf(below, sizeof below, "%s/s0", side);
    return clm_path_join(path, root, side, err) &&
           write_group_06(path, side, f->spacing_um, f->origin_um, 3, err) &&
           make_array(root, below, &spec, err);
}

/* One end of the scene's transform: the side's image, or, where its grid is not known, a bare system. */
static void add_end(clm_json *transform, const char *end, const char *side, bool known) {
    clm_json *v = clm_json_add_object(transform, end);
    if (known) clm_json_add_text(v, "path", side);
    clm_json_add_text(v, "name", known ? "physical" : side);
}

static void add_bare_system(clm_json *scene, clm_json **list, const char *side) {
    if (!*list) *list = clm_json_add_list(scene, "coordinateSystems");
    clm_json *system = clm_json_add_object(*list, NULL);
    clm_json_add_text(system, "name", side);
    clm_ome_add_axes(system, false);
}

static bool write_scene(const char *root, const clm_transform_spec *spec, clm_err *err) {
    clm_json *v = spec->attributes ? clm_json_copy(spec->attributes, err) : clm_json_new_object(err);
    if (!v) return false;
    clm_json *ome = clm_json_add_object(v, "ome"), *systems = NULL;
    bool fixed = spec->fixed.shape[0] > 0, moving = spec->moving.shape[0] > 0;
    const char *to = spec->to ? spec->to : "moving";
    char name[64];
    (void)snprintf(name, sizeof name, "fixed_to_%s", to);
    clm_json_add_text(ome, "version", "0.6");
    clm_json *scene = clm_json_add_object(ome, "scene");
    if (!fixed) add_bare_system(scene, &systems, "fixed");
    if (!moving) add_bare_system(scene, &systems, to);
    clm_json *t = clm_json_add_object(clm_json_add_list(scene, "coordinateTransformations"), NULL);
    clm_json_add_text(t, "type", "sequence");
    clm_json_add_text(t, "name", name);
    add_end(t, "input", "fixed", fixed);
    add_end(t, "output", to, moving);
    clm_json *list = clm_json_add_list(t, "transformations");
    if (spec->shape[0] > 0) {
        clm_json *u = clm_json_add_object(list, NULL);
        clm_json_add_text(u, "type", "displacements");
        clm_json_add_text(u, "path", CLM_SCENE_FIELD);
        clm_json_add_text(u, "interpolation", "linear");
    }
    clm_json *a = clm_json_add_object(list, NULL);
    clm_json_add_text(a, "type", "affine");
    clm_json *rows = clm_json_add_list(a, "affine");
    for (int d = 0; d < 3; d++) clm_json_add_numbers(rows, NULL, spec->affine.m[d], 4);
    /* the specification leaves it open */
    if (spec->shape[0] > 0) clm_json_add_text(v, "x_extrapolation", "border");
    bool ok = clm_node_make_group(root, CLM_FORMAT_ZARR3, v, err);
    clm_json_free(v);
    return ok;
}

bool clm_ome_make_transform(const char *path, const clm_transform_spec *spec, clm_err *err) {
    char at[CLM_PATH_MAX];
    double spacing[4] = {1}, origin[4] = {0};
    clm_array_spec field = {.ndim = 4, .shape = {3}, .chunk = {3}, .dtype = CLM_F32};
    clm_array_spec scalar = {.ndim = 3, .dtype = CLM_F32};
    for (int d = 0; d < 3; d++) {
        spacing[d + 1] = spec->spacing_um[d];
        origin[d + 1] = spec->origin_um[d];
        field.shape[d + 1] = scalar.shape[d] = spec->shape[d];
        field.chunk[d + 1] = scalar.chunk[d] = spec->chunk[d];
    }
    return clm_store_make_parents(path, CLM_FORMAT_ZARR3, err) &&
           clm_path_join(at, path, "coordinateTransformations", err) &&
           clm_node_make_group(at, CLM_FORMAT_ZARR3, NULL, err) &&
           clm_path_join(at, path, CLM_SCENE_FIELD, err) &&
           write_group_06(at, "dfield", spacing, origin, 4, err) &&
           make_array(path, CLM_SCENE_FIELD "/s0", &field, err) &&
           make_array(path, CLM_SCENE_COVERAGE, &scalar, err) &&
           (!spec->residual || make_array(path, CLM_SCENE_RESIDUAL, &scalar, err));
}

bool clm_ome_write_transform(const char *path, const clm_transform_spec *spec, clm_err *err) {
    bool fixed = spec->fixed.shape[0] > 0, moving = spec->moving.shape[0] > 0;
    bool ok = clm_store_make_parents(path, CLM_FORMAT_ZARR3, err) &&
              (spec->shape[0] == 0 || clm_ome_make_transform(path, spec, err)) &&
              (!fixed || write_frame(path, "fixed", &spec->fixed, err)) &&
              (!moving || write_frame(path, spec->to ? spec->to : "moving", &spec->moving, err)) &&
              write_scene(path, spec, err);
    return ok ? true : clm_err_in(err, "transform");
}
