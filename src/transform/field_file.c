#include "collimate/transform/field_file.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"
#include "collimate/store/hdf5_read.h"
#include "collimate/store/node.h"

#include <math.h>
#include <string.h>

/* ---- what attributes tell ---- */

typedef struct told {
    bool janelia, spacing, affine;
    double step[3], start[3], matrix[12], multiplier; /* of Janelia: x y z */
} told;

/* numbers of an attribute: JSON's, or HDF5's where attrs is NULL */
static bool numbers(const clm_json *attrs, const char *path, const char *name, int n, double *out,
                    bool *found, clm_err *err) {
    if (!attrs) return clm_hdf5_numbers(path, name, n, out, found, err);
    const clm_json *v = clm_json_get(attrs, name);
    *found = v && (n == 1 ? clm_json_number(v, out) : clm_json_numbers(v, n, out));
    if (v && !*found) return clm_fail(err, CLM_E_FORMAT, "%s: %s: want %d numbers", path, name, n);
    return true;
}

static bool read_janelia(const clm_json *attrs, const char *path, told *t, clm_err *err) {
    bool offset, multiplier;
    t->multiplier = 1;
    t->step[0] = t->step[1] = t->step[2] = 1;
    if (!numbers(attrs, path, "spacing", 3, t->step, &t->spacing, err) ||
        !numbers(attrs, path, "offset", 3, t->start, &offset, err) ||
        !numbers(attrs, path, "affine", 12, t->matrix, &t->affine, err) ||
        !numbers(attrs, path, "quantization_multiplier", 1, &t->multiplier, &multiplier, err))
        return false;
    const char *name = clm_path_name(path);
    t->janelia = t->spacing || t->affine || multiplier || strcmp(name, "dfield") == 0 ||
                 strcmp(name, "invdfield") == 0;
    return true;
}

/* x y z, or what bigstream writes: as many as the array has axes, the components' first */
static bool xyz_of(const clm_json *v, double zyx[3]) {
    double x[4];
    if (clm_json_kind_of(v) == CLM_JSON_OBJECT) v = clm_json_get(v, "dimensions");
    int64_t n = clm_json_size(v);
    if ((n != 3 && n != 4) || !clm_json_numbers(v, n, x)) return false;
    for (int d = 0; d < 3; d++) zyx[d] = x[n - 1 - d];
    return true;
}

static bool of_pixels(const clm_json *attrs, double spacing[3]) {
    double f[3] = {1, 1, 1};
    const clm_json *p = clm_json_get(attrs, "pixelResolution"),
                   *q = clm_json_get(attrs, "downsamplingFactors");
    if (!p || !xyz_of(p, spacing) || (q && !xyz_of(q, f))) return false;
    for (int d = 0; d < 3; d++) spacing[d] *= f[d];
    return true;
}

/* multiscales of OME-Zarr 0.4, axes z y x and the components': the scale of the dataset called name */
static bool of_multiscales(const clm_json *attrs, const char *name, double spacing[3]) {
    const clm_json *m = clm_json_at(clm_json_get(attrs, "multiscales"), 0);
    for (const clm_json *d = clm_json_first(clm_json_get(m, "datasets")); d; d = clm_json_next(d)) {
        const char *path = clm_json_text(clm_json_get(d, "path"));
        if (!path || strcmp(path, name) != 0) continue;
        const clm_json *list = clm_json_get(d, "coordinateTransformations");
        for (const clm_json *t = clm_json_first(list); t; t = clm_json_next(t)) {
            double x[4];
            const clm_json *scale = clm_json_get(t, "scale");
            if (!clm_json_numbers(scale, 4, x)) continue;
            memcpy(spacing, x, 3 * sizeof *x);
            return true;
        }
    }
    return false;
}

/* of an image over the same volume: bigstream's rule, but for a level that has just these nodes */
static void of_image(const clm_image *like, const int64_t shape[3], double spacing[3]) {
    const clm_image_info *i = clm_image_info_of(like);
    const clm_image_level *l = &i->level[0];
    for (int k = i->n_levels - 1; k >= 0; k--)
        if (memcmp(i->level[k].shape, shape, sizeof l->shape) == 0) l = &i->level[k];
    for (int d = 0; d < 3; d++) spacing[d] = l->spacing_um[d] * ((double)l->shape[d] / (double)shape[d]);
}

static bool set_lattice(const char *path, const clm_field_hint *hint, bool known, const double spacing[3],
                        clm_vectors *v, clm_err *err) {
    double um = hint->um_per_unit > 0 ? hint->um_per_unit : 1;
    if (!hint->has_spacing && !hint->like && !known)
        return clm_fail(err, CLM_E_ARG,
                        "%s: a displacement field without spacing; say spacing=Z,Y,X:%s (micrometres) or "
                        "like=FIXED_IMAGE:%s",
                        path, path, path);
    for (int d = 0; d < 3; d++) v->spacing_um[d] = known ? spacing[d] * um : 0;
    if (hint->like) of_image(hint->like, v->shape, v->spacing_um);
    if (hint->has_spacing) memcpy(v->spacing_um, hint->spacing_um, sizeof v->spacing_um);
    if (hint->has_origin) memcpy(v->origin_um, hint->origin_um, sizeof v->origin_um);
    v->um_per_unit *= um;
    for (int d = 0; d < 3; d++)
        if (!(v->spacing_um[d] > 0) || !isfinite(v->spacing_um[d]) || !isfinite(v->origin_um[d]))
            return clm_fail(err, CLM_E_FORMAT, "%s: spacing %g,%g,%g um", path, v->spacing_um[0],
                            v->spacing_um[1], v->spacing_um[2]);
    return true;
}

/* ---- one array ---- */

static clm_affine of_rows_xyz(const double m[12], double um) {
    clm_affine a;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) a.m[i][k] = m[4 * (2 - i) + 2 - k];
        a.m[i][3] = m[4 * (2 - i) + 3] * um;
    }
    return a;
}

/* where the spacing of an array that is not Janelia's may stand: beside it, or in the group above */
static bool find_spacing(const clm_json *attrs, const char *path, double spacing[3], bool *found,
                         clm_err *err) {
    char above[CLM_PATH_MAX];
    clm_json *group = NULL;
    *found = attrs && of_pixels(attrs, spacing);
    if (*found || !attrs) return true;
    if (!clm_path_format(above, err, "%.*s", (int)(clm_path_name(path) - path), path)) return false;
    if (clm_node_kind_of(above) == CLM_NODE_NONE) return true;
    if (!clm_node_attrs(above, &group, err)) return false;
    *found = of_multiscales(group, clm_path_name(path), spacing);
    clm_json_free(group);
    return true;
}

static bool fill(const char *path, const clm_json *attrs, const clm_field_hint *hint, clm_field_file *f,
                 clm_err *err) {
    told t = {.janelia = false};
    double spacing[3] = {0, 0, 0};
    bool found = false;
    if (!read_janelia(attrs, path, &t, err)) return false;
    f->before = f->after = CLM_AFFINE_IDENTITY;
    f->field.um_per_unit = t.multiplier;
    f->field.x_first = t.janelia || hint->x_first;
    f->field.positions = hint->positions;
    if (t.janelia) {
        double um = hint->um_per_unit > 0 ? hint->um_per_unit : 1;
        bool back = strcmp(clm_path_name(path), "invdfield") == 0;
        for (int d = 0; d < 3; d++) {
            spacing[d] = t.step[2 - d];
            f->field.origin_um[d] = t.start[2 - d] * um;
        }
        if (t.affine && back) f->before = of_rows_xyz(t.matrix, um);
        if (t.affine && !back) f->after = of_rows_xyz(t.matrix, um);
        found = true;
    } else if (!find_spacing(attrs, path, spacing, &found, err)) {
        return false;
    }
    return set_lattice(path, hint, found, spacing, &f->field, err);
}

/* An array of 4 axes of which the last or the first is of 3: its vectors. */
static bool open_single(const char *path, bool hdf5, const clm_field_hint *hint, clm_field_file *out,
                        clm_err *err) {
    clm_field_file f = {.field = {.component_axis = 3}};
    clm_json *attrs = NULL;
    if (!clm_array_open(path, &f.field.array[0], err)) return false;
    const clm_array_info *i = clm_array_info_of(f.field.array[0]);
    bool last = i->ndim == 4 && i->shape[3] == 3, first = i->ndim == 4 && i->shape[0] == 3;
    bool ok = last || first ||
              clm_fail(err, CLM_E_FORMAT,
                       "%s: an array %s is no field of displacements; want [z,y,x,3] or [3,z,y,x]", path,
                       clm_index_say(i->ndim, i->shape).s);
    f.field.component_axis = last ? 3 : 0;
    for (int d = 0; ok && d < 3; d++) f.field.shape[d] = i->shape[d + !last];
    ok = ok && (hdf5 || clm_node_attrs(path, &attrs, err)) && fill(path, attrs, hint, &f, err) &&
         clm_vectors_check(&f.field, err);
    clm_json_free(attrs);
    if (ok)
        *out = f;
    else
        clm_vectors_close(&f.field);
    return ok;
}

/* ---- three arrays ---- */

/* root/c0 or root/c0/scale, where it is an array; false: not */
static bool component_at(const char *root, int c, const char *scale, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(out, err, "%s/c%d%s%s", root, c, scale[0] ? "/" : "", scale) &&
           clm_node_is_array(clm_node_kind_of(out));
}

/* Below c0 stands the array itself, or one array a scale: which? */
static bool choose_scale(const char *root, char scale[256], clm_err *err) {
    char c0[CLM_PATH_MAX], at[CLM_PATH_MAX], all[200] = "";
    clm_names names = {0};
    int n = 0;
    clm_err none = CLM_ERR_NONE;
    scale[0] = 0;
    if (component_at(root, 0, "", at, &none)) return true;
    bool ok = clm_path_join(c0, root, "c0", err) && clm_folder_list(c0, &names, err);
    for (int64_t i = 0; ok && i < names.n; i++) {
        size_t used = strlen(all);
        if (strlen(names.name[i]) > 100 || !component_at(root, 0, names.name[i], at, &none)) continue;
        memcpy(scale, names.name[i], strlen(names.name[i]) + 1);
        if (used + strlen(scale) + 3 < sizeof all) {
            memcpy(all + used, " ", 1);
            memcpy(all + used + 1, scale, strlen(scale) + 1);
        }
        n++;
    }
    clm_names_free(&names);
    if (ok && n != 1)
        ok = clm_fail(err, n ? CLM_E_ARG : CLM_E_FORMAT, "%s: %s%s; say %s/SCALE", root,
                      n ? "position fields of several scales:" : "no array in c0", all, root);
    return ok;
}

static bool open_three(const char *root, const char *scale, const clm_field_hint *hint, clm_field_file *out,
                       clm_err *err) {
    clm_field_file f = {.before = CLM_AFFINE_IDENTITY, .after = CLM_AFFINE_IDENTITY};
    char path[CLM_PATH_MAX];
    clm_json *attrs = NULL;
    double spacing[3];
    bool ok = true;
    f.field = (clm_vectors){.component_axis = -1, .x_first = true, .positions = true, .um_per_unit = 1};
    for (int c = 0; ok && c < 3; c++) {
        if (!component_at(root, c, scale, path, err))
            ok = clm_fail(err, CLM_E_NOTFOUND, "%s: no array; position fields are c0, c1 and c2", path);
        ok = ok && clm_array_open(path, &f.field.array[c], err);
    }
    if (ok) {
        const clm_array_info *i = clm_array_info_of(f.field.array[0]);
        for (int d = 0; d < 3 && i->ndim == 3; d++) f.field.shape[d] = i->shape[d];
        (void)component_at(root, 0, scale, path, err);
    }
    ok = ok && clm_node_attrs(path, &attrs, err) && clm_vectors_check(&f.field, err) &&
         set_lattice(path, hint, of_pixels(attrs, spacing), spacing, &f.field, err);
    clm_json_free(attrs);
    if (ok)
        *out = f;
    else
        clm_vectors_close(&f.field);
    return ok;
}

/* ---- which is it ---- */

static bool open_hdf5(const char *path, const clm_field_hint *hint, clm_field_file *out, bool *known,
                      clm_err *err) {
    char at[CLM_PATH_MAX];
    bool whole = clm_path_kind_of(path) == CLM_PATH_FILE;
    if (!clm_path_format(at, err, "%s%s", path, whole ? "/dfield" : "")) return false;
    *known = clm_hdf5_has(at);
    return !*known || open_single(at, true, hint, out, err);
}

bool clm_field_file_turn(clm_field_file *f, const double direction[3][3], clm_err *err) {
    clm_affine to = CLM_AFFINE_IDENTITY, from = CLM_AFFINE_IDENTITY;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            double s = 0;
            for (int d = 0; d < 3; d++) s += direction[d][i] * direction[d][k];
            if (!(fabs(s - (i == k)) < 1e-4))
                return clm_fail(err, CLM_E_UNSUPPORTED, "the field's axes are not at right angles");
            from.m[i][k] = to.m[k][i] = direction[i][k];
        }
    if (memcmp(&to, &CLM_AFFINE_IDENTITY, sizeof to) == 0) return true;
    /* exactly each other's inverses, where the file's digits are few */
    if (!clm_affine_invert(&from, &to, err)) return false;
    f->field.turned = true;
    for (int i = 0; i < 3; i++) memcpy(f->field.turn[i], to.m[i], sizeof f->field.turn[i]);
    double origin[3];
    clm_affine_apply(&to, f->field.origin_um, origin);
    memcpy(f->field.origin_um, origin, sizeof origin);
    f->before = clm_affine_compose(&to, &f->before);
    f->after = clm_affine_compose(&f->after, &from);
    return true;
}

bool clm_field_file_open(const char *path, const clm_field_hint *hint, clm_field_file *out, bool *known,
                         clm_err *err) {
    char at[CLM_PATH_MAX], scale[256];
    clm_err none = CLM_ERR_NONE;
    clm_path_kind kind = clm_path_kind_of(path);
    *known = true;
    if (kind == CLM_PATH_FILE && (clm_text_ends(path, ".nii") || clm_text_ends(path, ".nii.gz") ||
                                  clm_text_ends(path, ".nrrd") || clm_text_ends(path, ".nhdr")))
        return clm_field_volume_open(path, out, err);
    if (clm_hdf5_is(path)) return open_hdf5(path, hint, out, known, err);
    if (kind == CLM_PATH_FOLDER) {
        if (clm_node_is_array(clm_node_kind_of(path))) return open_single(path, false, hint, out, err);
        if (clm_path_join(at, path, "c0", &none) && clm_path_kind_of(at) == CLM_PATH_FOLDER)
            return choose_scale(path, scale, err) && open_three(path, scale, hint, out, err);
        if (clm_path_join(at, path, "dfield", &none) && clm_node_is_array(clm_node_kind_of(at)))
            return open_single(at, false, hint, out, err);
    }
    if (kind == CLM_PATH_NONE && strlen(clm_path_name(path)) < sizeof scale) { /* FIELD.n5/SCALE */
        char root[CLM_PATH_MAX];
        memcpy(scale, clm_path_name(path), strlen(clm_path_name(path)) + 1);
        if (clm_path_format(root, &none, "%.*s", (int)(clm_path_name(path) - path), path) && scale[0] &&
            root[0] && component_at(root, 0, scale, at, &none))
            return open_three(root, scale, hint, out, err);
    }
    *known = false;
    return true;
}
