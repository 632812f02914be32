#include "collimate/job/transform_out.h"
#include "collimate/base/file.h"

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
    clm_json *v = clm_json_new_object(err);
    bool ok = v != NULL;
    if (ok && out->kind == CLM_TRANSFORM_AFFINE_JSON) {
        clm_affine_to_json(&out->spec.affine, v);
        ok = clm_json_print(v, true, &b, err);
    } else if (ok) {
        ok = clm_affine_to_text(&out->spec.affine, &b, err);
    }
    ok = ok && clm_file_publish(out->path, b.data, b.n, true, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

/* ---- any kind ---- */

bool clm_transform_kind_of(const char *path, bool has_field, clm_transform_kind *out, clm_err *err) {
    *out = clm_text_ends(path, ".json")  ? CLM_TRANSFORM_AFFINE_JSON
           : clm_text_ends(path, ".txt") ? CLM_TRANSFORM_AFFINE_TEXT
                                         : CLM_TRANSFORM_SCENE;
    return !has_field || *out == CLM_TRANSFORM_SCENE ||
           clm_fail(err, CLM_E_ARG,
                    "%s: the transform has a displacement field, which such a file cannot hold; give a name "
                    "that ends in .ome.zarr",
                    path);
}

bool clm_transform_kind_is_file(clm_transform_kind kind) { return kind != CLM_TRANSFORM_SCENE; }

bool clm_transform_out_create(const clm_transform_out *out, clm_err *err) {
    return out->chunks.n == 0 || clm_ome_make_transform(out->path, &out->spec, err);
}

static bool open_array(const clm_transform_out *out, const char *below, clm_array **a, clm_err *err) {
    char path[CLM_PATH_MAX];
    return *a || (clm_path_join(path, out->path, below, err) && clm_array_open_write(path, a, err));
}

bool clm_transform_out_open(clm_transform_out *out, clm_err *err) {
    return out->chunks.n == 0 ||
           (open_array(out, CLM_SCENE_FIELD "/s0", &out->field, err) &&
            open_array(out, CLM_SCENE_COVERAGE, &out->coverage, err) &&
            (!out->spec.residual || open_array(out, CLM_SCENE_RESIDUAL, &out->residual, err)));
}

void clm_transform_out_close(clm_transform_out *out) {
    clm_array_close(out->field);
    clm_array_close(out->coverage);
    clm_array_close(out->residual);
    out->field = out->coverage = out->residual = NULL;
}

bool clm_transform_out_put(const clm_transform_out *out, int64_t chunk, const clm_field *u,
                           const float *coverage, const float *residual, clm_err *err) {
    int64_t index[4] = {0};
    clm_grid_at(&out->chunks, chunk, index + 1);
    return clm_array_put_chunk(out->field, index, u->u[0], err) &&
           clm_array_put_chunk(out->coverage, index + 1, coverage, err) &&
           (!residual || clm_array_put_chunk(out->residual, index + 1, residual, err));
}

bool clm_transform_out_finish(const clm_transform_out *out, const clm_json *attributes, clm_err *err) {
    if (clm_transform_kind_is_file(out->kind)) return write_affine(out, err);
    clm_transform_spec spec = out->spec;
    spec.attributes = attributes;
    return clm_ome_write_transform(out->path, &spec, err);
}
