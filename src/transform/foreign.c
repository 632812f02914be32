#include "collimate/transform/foreign.h"
#include "collimate/base/file.h"
#include "collimate/transform/itk.h"
#include "collimate/store/hdf5_read.h"
#include "collimate/store/scale.h"

#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX ((size_t)64 << 20)

/* ---- what is said before a path ---- */

/* "KEY=VALUE:": VALUE copied, *text behind the colon; false: it does not begin so */
static bool take(const char **text, const char *key, char *value, size_t size) {
    size_t n = strlen(key);
    if (strncmp(*text, key, n) != 0) return false;
    const char *colon = strchr(*text + n, ':');
    if (!colon || (size_t)(colon - *text - (ptrdiff_t)n) >= size) return false;
    (void)snprintf(value, size, "%.*s", (int)(colon - *text - (ptrdiff_t)n), *text + n);
    *text = colon + 1;
    return true;
}

static bool three(const char *key, char *value, bool positive, double out[3], clm_err *err) {
    char *at = value;
    for (int d = 0; d < 3; d++) {
        char *comma = strchr(at, ',');
        if ((d < 2) != (comma != NULL)) break;
        if (comma) *comma = 0;
        if (!clm_text_real(at, &out[d]) || (positive && !(out[d] > 0))) break;
        if (d == 2) return true;
        at = comma + 1;
    }
    return clm_fail(err, CLM_E_ARG, "%s must be Z,Y,X in micrometres", key);
}

bool clm_said_parse(const char *text, clm_said *out, clm_err *err) {
    static const char *const flags[] = {"inverse:", "xyz:", "positions:"};
    char value[CLM_PATH_MAX];
    bool ok = true, more = true;
    *out = (clm_said){.inverse = false};
    clm_field_hint *h = &out->hint;
    bool *const set[] = {&out->inverse, &h->x_first, &h->positions};
    while (ok && more) {
        more = false;
        for (int i = 0; i < 3; i++) {
            if (!clm_text_begins(text, flags[i])) continue;
            *set[i] = i == 0 ? !*set[i] : true;
            text += strlen(flags[i]);
            more = true;
        }
        if (take(&text, "spacing=", value, sizeof value)) {
            more = h->has_spacing = true;
            ok = three("spacing=", value, true, h->spacing_um, err);
        } else if (take(&text, "origin=", value, sizeof value)) {
            more = h->has_origin = true;
            ok = three("origin=", value, false, h->origin_um, err);
        } else if (take(&text, "unit=", value, sizeof value)) {
            more = true;
            ok = clm_unit_um(value, &h->um_per_unit) ||
                 clm_fail(err, CLM_E_ARG, "unit=%.40s: no length; say um, mm, nm, ...", value);
        } else if (!out->like && take(&text, "like=", value, sizeof value)) {
            more = true;
            ok = clm_image_open(value, NULL, &out->like, err);
            h->like = out->like;
        }
    }
    out->path = text;
    if (!ok) clm_said_free(out);
    return ok;
}

void clm_said_free(clm_said *s) {
    clm_image_close(s->like);
    s->like = NULL;
}

/* ---- fields ---- */

static bool is_identity(const clm_affine *a) { return memcmp(a, &CLM_AFFINE_IDENTITY, sizeof *a) == 0; }

static bool add_field(clm_field_file *f, clm_map *map, clm_err *err) {
    bool ok = (is_identity(&f->before) || clm_map_add_affine(map, &f->before, err)) &&
              clm_map_add_field(map, &f->field, err);
    if (!ok) {
        clm_vectors_close(&f->field);
        return false;
    }
    return is_identity(&f->after) || clm_map_add_affine(map, &f->after, err);
}

/* ---- ITK's composites in HDF5 ---- */

#define GROUP "TransformGroup"
#define ITK_STEPS_MAX 64

static bool read_list(const char *group, const char *name, const char *old, int64_t most, int *n, double *out,
                      clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_array *a;
    *n = 0;
    if (!clm_path_join(path, group, name, err)) return false;
    if (!clm_hdf5_has(path) && !clm_path_join(path, group, old, err)) return false;
    if (!clm_hdf5_has(path)) return true;
    if (!clm_array_open(path, &a, err)) return false;
    const clm_array_info *i = clm_array_info_of(a);
    bool real = i->dtype == CLM_F64 || i->dtype == CLM_F32;
    const int64_t lo[1] = {0}, hi[1] = {i->shape[0]};
    bool ok = i->ndim == 1 && real && i->shape[0] <= most;
    if (!ok)
        ok = clm_fail(err, CLM_E_UNSUPPORTED, "%s: %lld parameters: neither affine nor a displacement field",
                      path, (long long)i->shape[0]);
    else if (i->shape[0] > 0)
        ok = clm_array_read(a, lo, hi, out, err);
    if (ok) *n = (int)i->shape[0];
    if (ok && i->dtype == CLM_F32) /* from the end: the wider lie over the narrower */
        for (int64_t k = i->shape[0] - 1; k >= 0; k--) {
            float x;
            memcpy(&x, (const char *)out + (size_t)k * sizeof x, sizeof x);
            out[k] = (double)x;
        }
    clm_array_close(a);
    return ok;
}

/* fixed: size, origin, spacing, x y z, and the direction by rows; parameters: vectors x y z, x fastest, mm */
static bool add_itk_field(const char *group, const clm_itk *t, clm_map *map, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_field_file f = {.before = CLM_AFFINE_IDENTITY, .after = CLM_AFFINE_IDENTITY};
    int64_t shape[4] = {0, 0, 0, 3};
    double direction[3][3];
    if (t->n_fixed != 18)
        return clm_fail(err, CLM_E_FORMAT, "%s: a displacement field of %d fixed parameters, not 18", group,
                        t->n_fixed);
    f.field = (clm_vectors){.component_axis = 3, .x_first = true, .um_per_unit = 1e3};
    for (int d = 0; d < 3; d++) {
        double size = t->fixed[2 - d];
        if (!(size >= 1 && size < 1e9) || !(t->fixed[8 - d] > 0))
            return clm_fail(err, CLM_E_FORMAT, "%s: size or spacing of the field", group);
        f.field.shape[d] = shape[d] = (int64_t)size;
        f.field.origin_um[d] = t->fixed[5 - d] * 1e3;
        f.field.spacing_um[d] = t->fixed[8 - d] * 1e3;
        for (int k = 0; k < 3; k++) direction[d][k] = t->fixed[9 + 3 * (2 - d) + 2 - k];
    }
    if (!clm_path_join(path, group, "TransformParameters", err)) return false;
    if (!clm_hdf5_has(path) && !clm_path_join(path, group, "TranformParameters", err)) return false;
    if (!clm_hdf5_open_shaped(path, 4, shape, &f.field.array[0], err)) return false;
    if (clm_vectors_check(&f.field, err) && clm_field_file_turn(&f, (const double(*)[3])direction, err))
        return add_field(&f, map, err);
    clm_vectors_close(&f.field);
    return false;
}

static bool add_itk_step(const char *path, int index, bool composite, clm_map *map, clm_err *err) {
    char group[CLM_PATH_MAX], at[CLM_PATH_MAX], name[128];
    clm_itk t = {.n = 0};
    clm_affine a;
    if (!clm_path_format(group, err, "%s/" GROUP "/%d", path, index) ||
        !clm_path_join(at, group, "TransformType", err) || !clm_hdf5_text(at, name, sizeof name, err) ||
        !clm_itk_set_type(&t, name, err))
        return false;
    if (composite && strcmp(t.type, "CompositeTransform") == 0)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: a composite inside another", group);
    /* the old names lack a letter */
    if (!read_list(group, "TransformFixedParameters", "TranformFixedParameters", CLM_ITK_PARAMETERS_MAX,
                   &t.n_fixed, t.fixed, err))
        return false;
    if (strcmp(t.type, "DisplacementFieldTransform") == 0) return add_itk_field(group, &t, map, err);
    return read_list(group, "TransformParameters", "TranformParameters", CLM_ITK_PARAMETERS_MAX, &t.n,
                     t.parameters, err) &&
           (clm_itk_affine(&t, &a, err) || clm_err_in(err, "%s", group)) && clm_map_add_affine(map, &a, err);
}

static bool open_itk_hdf5(const char *path, clm_map *map, bool *known, clm_err *err) {
    char at[CLM_PATH_MAX], name[128];
    int n = 0;
    clm_err none = CLM_ERR_NONE;
    *known = clm_path_join(at, path, GROUP, &none) && clm_hdf5_has(at);
    if (!*known) return true;
    while (n <= ITK_STEPS_MAX && clm_path_format(at, &none, "%s/" GROUP "/%d", path, n) && clm_hdf5_has(at))
        n++;
    if (n == 0 || n > ITK_STEPS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s: %d transforms in " GROUP, path, n);
    if (!clm_path_format(at, err, "%s/" GROUP "/0/TransformType", path) ||
        !clm_hdf5_text(at, name, sizeof name, err))
        return false;
    bool composite = clm_text_begins(name, "CompositeTransform_");
    if (!composite && n > 1)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: %d transforms and no CompositeTransform first", path, n);
    for (int i = n - 1; i >= composite; i--) /* a composite's last is applied first */
        if (!add_itk_step(path, i, composite, map, err)) return false;
    return true;
}

/* ---- which is it ---- */

static bool open_text(const char *path, clm_map *map, bool *known, clm_err *err) {
    clm_buf b = {0};
    bool ok = clm_file_head(path, TEXT_BYTES_MAX, &b, err) && clm_itk_open_text(path, &b, map, known, err);
    if (ok && !*known) ok = clm_itk_open_matlab(path, &b, map, known, err);
    if (ok && !*known) ok = clm_elastix_open(path, &b, map, known, err);
    clm_buf_free(&b);
    return ok;
}

bool clm_foreign_open(const clm_said *s, clm_map *map, bool *known, clm_err *err) {
    clm_field_file f;
    *known = false;
    bool hdf5 = clm_hdf5_is(s->path);
    if (hdf5 && !open_itk_hdf5(s->path, map, known, err)) return false;
    if (*known) return true;
    if (!clm_field_file_open(s->path, &s->hint, &f, known, err)) return false;
    if (*known) return add_field(&f, map, err);
    if (clm_path_kind_of(s->path) != CLM_PATH_FILE || hdf5) return true;
    return open_text(s->path, map, known, err);
}
