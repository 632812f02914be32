#include "collimate/transform/transform_out.h"
#include "collimate/base/file.h"
#include "collimate/transform/itk.h"
#include "collimate/transform/transform.h"
#include "collimate/store/ome.h"

#include <string.h>

/* ---- affines as files ---- */

void clm_affine_to_json(const clm_affine *a, clm_json *v) {
    clm_json_add_text(v, "maps", "fixed world to moving world");
    clm_json_add_text(v, "axes", "z y x");
    clm_json_add_text(v, "unit", "micrometer");
    clm_json *rows = clm_json_add_list(v, "affine");
    for (int i = 0; i < 3; i++) clm_json_add_numbers(rows, NULL, a->m[i], 4);
}

bool clm_affine_to_text(const clm_affine *a, clm_buf *b, clm_err *err) {
    for (int i = 0; i < 3; i++)
        if (!clm_buf_printf(b, err, "%.17g %.17g %.17g %.17g\n", a->m[i][0], a->m[i][1], a->m[i][2],
                            a->m[i][3]))
            return false;
    return clm_buf_printf(b, err, "0 0 0 1\n");
}

static bool write_affine(const clm_transform_out *out, clm_err *err) {
    clm_buf b = {0};
    clm_json *v = NULL;
    const clm_affine *a = &out->spec.affine;
    bool ok = true;
    switch (out->kind) {
    case CLM_TRANSFORM_AFFINE_JSON:
        ok = (v = clm_json_new_object(err)) != NULL;
        if (ok) clm_affine_to_json(a, v);
        ok = ok && clm_json_print(v, true, &b, err);
        break;
    case CLM_TRANSFORM_ITK_TEXT: ok = clm_itk_text_of(a, &b, err); break;
    case CLM_TRANSFORM_ITK_MATLAB: ok = clm_itk_matlab_of(a, &b, err); break;
    default: ok = clm_affine_to_text(a, &b, err);
    }
    ok = ok && clm_file_publish(out->path, b.data, b.n, true, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

/* ---- which kind ---- */

static bool in_n5(const char *path) {
    const char *n5 = strstr(path, ".n5");
    return n5 && (n5[3] == 0 || n5[3] == '/');
}

static bool kind_by_name(const char *path, clm_transform_kind *out, clm_err *err) {
    clm_volume_kind volume;
    *out = clm_text_ends(path, ".json")        ? CLM_TRANSFORM_AFFINE_JSON
           : clm_text_ends(path, ".txt")       ? CLM_TRANSFORM_AFFINE_TEXT
           : clm_text_ends(path, ".tfm")       ? CLM_TRANSFORM_ITK_TEXT
           : clm_text_ends(path, ".mat")       ? CLM_TRANSFORM_ITK_MATLAB
           : clm_volume_kind_of(path, &volume) ? CLM_TRANSFORM_VOLUME
                                               : CLM_TRANSFORM_SCENE;
    return *out != CLM_TRANSFORM_SCENE || !in_n5(path) || clm_text_ends(path, ".zarr") ||
           clm_fail(
               err, CLM_E_ARG,
               "%s: which field in N5? say --format bigstream, positions or janelia, or give a name that "
               "ends in .ome.zarr",
               path);
}

bool clm_transform_kind_of(const char *path, const char *format, clm_transform_kind *out, clm_err *err) {
    static const struct {
        const char *name;
        clm_transform_kind kind;
    } arrays[] = {{"bigstream", CLM_TRANSFORM_BIGSTREAM},
                  {"positions", CLM_TRANSFORM_POSITIONS},
                  {"janelia", CLM_TRANSFORM_JANELIA}};
    if (!format) return kind_by_name(path, out, err);
    if (strcmp(format, "itk") == 0) {
        if (!kind_by_name(path, out, err)) return false;
        if (*out == CLM_TRANSFORM_AFFINE_TEXT) *out = CLM_TRANSFORM_ITK_TEXT;
        return *out == CLM_TRANSFORM_ITK_TEXT || *out == CLM_TRANSFORM_ITK_MATLAB ||
               *out == CLM_TRANSFORM_VOLUME ||
               clm_fail(err, CLM_E_ARG,
                        "%s: for ITK give a name that ends in .tfm, .txt or .mat (affines), .nii, .nii.gz or "
                        ".nrrd (fields)",
                        path);
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(format, arrays[i].name) != 0) continue;
        *out = arrays[i].kind;
        return in_n5(path) || clm_text_ends(path, ".zarr") || strstr(path, ".zarr/") ||
               clm_fail(err, CLM_E_ARG, "%s: --format %s wants a name in .n5 or .zarr: NAME.n5/FIELD", path,
                        format);
    }
    return clm_fail(err, CLM_E_ARG, "--format %.40s: itk, bigstream, positions or janelia", format);
}

static bool is_array(clm_transform_kind k) {
    return k == CLM_TRANSFORM_BIGSTREAM || k == CLM_TRANSFORM_POSITIONS || k == CLM_TRANSFORM_JANELIA;
}

bool clm_transform_kind_is_whole(clm_transform_kind kind) {
    return kind == CLM_TRANSFORM_VOLUME || kind == CLM_TRANSFORM_BIGSTREAM || kind == CLM_TRANSFORM_POSITIONS;
}

bool clm_transform_out_check(const clm_transform_out *out, clm_err *err) {
    const double *o = out->spec.origin_um;
    bool field = out->chunks.n > 0;
    bool holds_field =
        out->kind == CLM_TRANSFORM_SCENE || out->kind == CLM_TRANSFORM_VOLUME || is_array(out->kind);
    if (field && !holds_field)
        return clm_fail(err, CLM_E_ARG,
                        "%s: the transform has a displacement field, which such a file cannot hold; give a "
                        "name that ends in .ome.zarr",
                        out->path);
    if (!field && out->kind == CLM_TRANSFORM_JANELIA)
        return clm_fail(err, CLM_E_ARG, "%s: an affine alone is no dfield; give a name that ends in .txt",
                        out->path);
    if ((out->kind == CLM_TRANSFORM_BIGSTREAM || out->kind == CLM_TRANSFORM_POSITIONS) &&
        (o[0] != 0 || o[1] != 0 || o[2] != 0))
        return clm_fail(err, CLM_E_ARG,
                        "%s: such a field's first node stands at 0,0,0, not at %.6g,%.6g,%.6g um; give "
                        "--origin 0,0,0",
                        out->path, o[0], o[1], o[2]);
    return true;
}

bool clm_transform_out_folder(const clm_transform_out *out, char folder[CLM_PATH_MAX], clm_err *err) {
    const char *name = clm_path_name(out->path);
    if (out->kind != CLM_TRANSFORM_VOLUME) return clm_path_format(folder, err, "%s", out->path);
    return clm_path_format(folder, err, "%.*s.%s.compose", (int)(name - out->path), out->path, name);
}

/* ---- arrays and volumes ---- */

static clm_volume_spec volume_of(const clm_transform_out *out) {
    const clm_transform_spec *t = &out->spec;
    clm_volume_spec v = {.dtype = CLM_F32, .vectors = true};
    (void)clm_volume_kind_of(out->path, &v.kind);
    memcpy(v.frame.shape, t->shape, sizeof t->shape);
    memcpy(v.frame.spacing_um, t->spacing_um, sizeof t->spacing_um);
    memcpy(v.frame.origin_um, t->origin_um, sizeof t->origin_um);
    return v;
}

/* x y z, and of bigstream the components' axis before them, as it writes N5 */
static void tell_lattice(const clm_transform_out *out, clm_json *v) {
    const clm_transform_spec *t = &out->spec;
    const double *s = t->spacing_um, *o = t->origin_um;
    if (out->kind != CLM_TRANSFORM_JANELIA) {
        clm_json_add_numbers(v, "pixelResolution", (const double[]){1, s[2], s[1], s[0]}, 4);
        clm_json_add_numbers(v, "downsamplingFactors", (const double[]){1, 1, 1, 1}, 4);
        return;
    }
    double rows[12];
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) rows[4 * i + k] = t->affine.m[2 - i][2 - k];
        rows[4 * i + 3] = t->affine.m[2 - i][3];
    }
    clm_json_add_numbers(v, "spacing", (const double[]){s[2], s[1], s[0]}, 3);
    clm_json_add_numbers(v, "offset", (const double[]){o[2], o[1], o[0]}, 3);
    clm_json_add_numbers(v, "affine", rows, 12);
}

static bool create_array(const clm_transform_out *out, clm_err *err) {
    clm_array_spec s = {.format = in_n5(out->path) ? CLM_FORMAT_N5 : CLM_FORMAT_ZARR2,
                        .ndim = 4,
                        .shape = {0, 0, 0, 3},
                        .chunk = {0, 0, 0, 3},
                        .dtype = CLM_F32};
    memcpy(s.shape, out->spec.shape, sizeof out->spec.shape);
    memcpy(s.chunk, out->spec.chunk, sizeof out->spec.chunk);
    clm_array *a = NULL;
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    tell_lattice(out, v);
    s.attributes = v;
    bool ok = clm_array_create(out->path, &s, &a, err);
    clm_array_close(a);
    clm_json_free(v);
    return ok;
}

/* where node i of the chunk stands, along axis d */
static double node_um(const clm_field *u, int64_t i, int d) {
    const int64_t at[3] = {i / (u->shape[1] * u->shape[2]), i / u->shape[2] % u->shape[1], i % u->shape[2]};
    return u->origin[d] + (double)at[d] * u->spacing[d];
}

/* the chunk's vectors as the kind has them */
static float *arrange(const clm_transform_out *out, clm_arena *temp, const clm_field *u, clm_err *err) {
    int64_t n = clm_field_count(u);
    bool volume = out->kind == CLM_TRANSFORM_VOLUME, x_first = volume || out->kind == CLM_TRANSFORM_JANELIA;
    bool planes = volume && volume_of(out).kind != CLM_VOLUME_NRRD;
    float *v = clm_take(temp, float, 3 * n, err);
    for (int d = 0; v && d < 3; d++) {
        int64_t c = x_first ? 2 - d : d, first = planes ? c * n : c, step = planes ? 1 : 3;
        for (int64_t i = 0; i < n; i++) {
            double value = (double)u->u[d][i];
            if (volume) value *= 1e-3;
            if (out->kind == CLM_TRANSFORM_POSITIONS) value += node_um(u, i, d);
            v[first + i * step] = (float)value;
        }
    }
    return v;
}

/* ---- any kind ---- */

bool clm_transform_out_create(const clm_transform_out *out, clm_err *err) {
    if (out->chunks.n == 0) return true;
    if (is_array(out->kind)) return create_array(out, err);
    if (out->kind == CLM_TRANSFORM_SCENE) return clm_ome_make_transform(out->path, &out->spec, err);
    clm_volume_spec v = volume_of(out);
    return clm_volume_create(out->path, &v, err);
}

static bool open_array(const clm_transform_out *out, const char *below, clm_array **a, clm_err *err) {
    char path[CLM_PATH_MAX];
    return *a || (clm_path_join(path, out->path, below, err) && clm_array_open_write(path, a, err));
}

bool clm_transform_out_open(clm_transform_out *out, clm_err *err) {
    if (out->chunks.n == 0 || out->kind == CLM_TRANSFORM_VOLUME) return true;
    if (is_array(out->kind)) return out->field || clm_array_open_write(out->path, &out->field, err);
    return open_array(out, CLM_SCENE_FIELD "/s0", &out->field, err) &&
           open_array(out, CLM_SCENE_COVERAGE, &out->coverage, err) &&
           (!out->spec.residual || open_array(out, CLM_SCENE_RESIDUAL, &out->residual, err));
}

void clm_transform_out_close(clm_transform_out *out) {
    clm_array_close(out->field);
    clm_array_close(out->coverage);
    clm_array_close(out->residual);
    out->field = out->coverage = out->residual = NULL;
}

bool clm_transform_out_put(const clm_transform_out *out, int64_t chunk, clm_arena *temp, const clm_field *u,
                           const float *coverage, const float *residual, clm_err *err) {
    int64_t index[5] = {0};
    clm_grid_at(&out->chunks, chunk, index + 1);
    if (out->kind == CLM_TRANSFORM_SCENE)
        return clm_array_put_chunk(out->field, index, u->u[0], err) &&
               clm_array_put_chunk(out->coverage, index + 1, coverage, err) &&
               (!residual || clm_array_put_chunk(out->residual, index + 1, residual, err));
    const float *v = arrange(out, temp, u, err);
    if (!v) return false;
    if (is_array(out->kind)) return clm_array_put_chunk(out->field, index + 1, v, err);
    clm_volume_spec s = volume_of(out);
    clm_box planes = clm_grid_core(&out->chunks, chunk);
    return clm_volume_put(out->path, &s, planes.lo[0], planes.hi[0], v, err);
}

bool clm_transform_out_finish(const clm_transform_out *out, const clm_json *attributes, clm_err *err) {
    if (is_array(out->kind)) return true;
    if (out->kind == CLM_TRANSFORM_VOLUME) {
        clm_volume_spec v = volume_of(out);
        return clm_volume_finish(out->path, &v, err);
    }
    if (out->kind != CLM_TRANSFORM_SCENE) return write_affine(out, err);
    clm_transform_spec spec = out->spec;
    spec.attributes = attributes;
    return clm_ome_write_transform(out->path, &spec, err);
}
