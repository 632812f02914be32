#include "collimate/store/scale.h"
#include "collimate/base/text.h"

#include <stdio.h>
#include <string.h>

/* N5 has no standard for spacing; these are the dialects in use, most explicit first. All but COSEM's list
 * axes x y z. Positions are voxel centres; a level made by averaging f voxels begins (f-1)/2 voxels in. */

static bool xyz(const clm_json *v, double out[3]) {
    double x[3];
    if (!clm_json_numbers(v, 3, x)) return false;
    for (int d = 0; d < 3; d++) out[d] = x[2 - d];
    return true;
}

static const clm_json *either(const clm_json *group, const clm_json *dataset, const char *key) {
    const clm_json *v = clm_json_get(dataset, key);
    return v ? v : clm_json_get(group, key);
}

/* A unit in words for one axis or, as a list, for each; absent: micrometre. */
static void unit_of(const clm_json *v, bool reversed, double um[3], clm_scales *out) {
    for (int d = 0; d < 3; d++) {
        const char *text =
            clm_json_text(v) ? clm_json_text(v) : clm_json_text(clm_json_at(v, reversed ? 2 - d : d));
        um[d] = 1;
        if (!text) continue;
        (void)snprintf(out->unit, sizeof out->unit, "%.23s", text);
        if (!clm_unit_um(text, &um[d])) (void)snprintf(out->no_length, sizeof out->no_length, "%.23s", text);
    }
}

static bool positive(const double x[3], const char *what, clm_err *err) {
    for (int d = 0; d < 3; d++)
        if (!(x[d] > 0)) return clm_fail(err, CLM_E_FORMAT, "%s: %g is not positive", what, x[d]);
    return true;
}

static bool place(clm_scale *l, const double res[3], const double factor[3], const double um[3],
                  const double *offset) {
    for (int d = 0; d < 3; d++) {
        l->spacing[d] = res[d] * factor[d] * um[d];
        l->origin[d] = ((factor[d] - 1) / 2 * res[d] + (offset ? offset[d] : 0)) * um[d];
    }
    l->known = true;
    return true;
}

static void name_dialect(clm_scales *out, const char *name) {
    (void)snprintf(out->dialect, sizeof out->dialect, "%s", name);
}

/* COSEM: {"transform": {"axes": [z,y,x], "scale", "translate", "units"}}: C order, explicit offset */
static bool cosem(const clm_json *t, clm_scales *out, int k, clm_err *err) {
    double scale[3], translate[3] = {0, 0, 0}, um[3];
    const clm_json *axes = clm_json_get(t, "axes"), *shift = clm_json_get(t, "translate");
    if (!clm_json_numbers(clm_json_get(t, "scale"), 3, scale))
        return clm_fail(err, CLM_E_FORMAT, "transform: scale: want 3 numbers");
    if (shift && !clm_json_numbers(shift, 3, translate))
        return clm_fail(err, CLM_E_FORMAT, "transform: translate: want 3 numbers");
    if (!positive(scale, "transform: scale", err)) return false;
    unit_of(clm_json_get(t, "units"), false, um, out);
    const char *first = clm_json_text(clm_json_at(axes, 0));
    bool backwards = first && strcmp(first, "x") == 0;
    clm_scale *l = &out->level[k];
    for (int d = 0; d < 3; d++) {
        int from = backwards ? 2 - d : d;
        l->spacing[d] = scale[from] * um[from];
        l->origin[d] = translate[from] * um[from];
    }
    l->known = true;
    name_dialect(out, "COSEM transform");
    return true;
}

/* s1, s2, ... without factors: halved each time (as n5-universe takes them) */
static double inferred(const char *name) {
    int64_t level;
    return name[0] == 's' && clm_text_int(name + 1, &level) && level > 0 && level < 32
               ? (double)((int64_t)1 << level)
               : 1;
}

static bool factors(const clm_json *group, const clm_json *dataset, const char *name, int k, double f[3],
                    clm_err *err) {
    const clm_json *own = clm_json_get(dataset, "downsamplingFactors");
    const clm_json *table = clm_json_get(group, "downsamplingFactors");
    if (!table) table = clm_json_get(group, "scales");
    f[0] = f[1] = f[2] = inferred(name);
    if (own && clm_json_kind_of(clm_json_first(own)) == CLM_JSON_NUMBER) {
        if (!xyz(own, f)) return clm_fail(err, CLM_E_FORMAT, "downsamplingFactors: want 3 numbers");
    } else if (table && clm_json_kind_of(clm_json_first(table)) == CLM_JSON_LIST) {
        int64_t level = k;
        if (name[0] == 's') (void)clm_text_int(name + 1, &level);
        if (!xyz(clm_json_at(table, level), f))
            return clm_fail(err, CLM_E_FORMAT, "downsamplingFactors or scales: want 3 numbers for level %lld",
                            (long long)level);
    }
    return positive(f, "downsamplingFactors", err);
}

/* affineTransform: three rows of x y z and a shift, as rows (n5-viewer, n5-universe) or one list; applied last, in the
 * unit of pixelResolution */
static bool move(const clm_json *rows, const double um[3], clm_scale *l, clm_err *err) {
    double m[12];
    if (!rows || clm_json_kind_of(rows) == CLM_JSON_NULL) return true;
    bool nested = clm_json_size(rows) == 3;
    for (int r = 0; nested && r < 3; r++) nested = clm_json_numbers(clm_json_at(rows, r), 4, m + 4 * r);
    if (!nested && !clm_json_numbers(rows, 12, m))
        return clm_fail(err, CLM_E_FORMAT, "affineTransform: want 3 rows of 4 numbers");
    for (int r = 0; r < 3; r++) {
        double along = m[4 * r + r];
        for (int k = 0; k < 3; k++)
            if (!(along > 0) || (k != r && !(m[4 * r + k] <= 1e-9 * along && m[4 * r + k] >= -1e-9 * along)))
                return clm_fail(err, CLM_E_ARG, "affineTransform turns, shears or mirrors the axes");
        l->spacing[2 - r] *= along;
        l->origin[2 - r] = l->origin[2 - r] * along + m[4 * r + 3] * um[2 - r];
    }
    return true;
}

/* pixelResolution: {"unit", "dimensions"} or a list, in micrometres */
static bool viewer(const clm_json *p, const clm_json *affine, const double f[3], clm_scales *out, int k,
                   clm_err *err) {
    double res[3], um[3];
    bool object = clm_json_kind_of(p) == CLM_JSON_OBJECT;
    if (!xyz(object ? clm_json_get(p, "dimensions") : p, res))
        return clm_fail(err, CLM_E_FORMAT, "pixelResolution: want 3 numbers");
    if (!positive(res, "pixelResolution", err)) return false;
    unit_of(object ? clm_json_get(p, "unit") : NULL, true, um, out);
    name_dialect(out, "n5-viewer pixelResolution");
    return place(&out->level[k], res, f, um, NULL) && move(affine, um, &out->level[k], err);
}

bool clm_scale_of_n5(const clm_json *group, const clm_json *dataset, const char *name, clm_scales *out, int k,
                     clm_err *err) {
    double f[3], res[3], offset[3] = {0, 0, 0}, um[3];
    const clm_json *t = clm_json_get(dataset, "transform");
    out->level[k].known = false;
    if (clm_json_kind_of(t) == CLM_JSON_OBJECT && clm_json_get(t, "scale")) return cosem(t, out, k, err);
    if (!factors(group, dataset, name, k, f, err)) return false;
    const clm_json *r = either(group, dataset, "resolution"), *o = either(group, dataset, "offset");
    const clm_json *p = either(group, dataset, "pixelResolution");
    const clm_json *units = either(group, dataset, "units");
    if (!units) units = either(group, dataset, "unit");
    if (!r) r = either(group, dataset, "res");
    if (!o) o = either(group, dataset, "off");
    bool explicit_offset = r && o && xyz(o, offset);
    if (p && !explicit_offset) return viewer(p, either(group, dataset, "affineTransform"), f, out, k, err);
    if (!r) { /* factors only, for whoever gives the spacing */
        memcpy(out->level[k].spacing, f, sizeof f);
        return true;
    }
    if (!xyz(r, res)) return clm_fail(err, CLM_E_FORMAT, "resolution: want 3 numbers");
    if (!positive(res, "resolution", err)) return false;
    unit_of(units, true, um, out);
    name_dialect(out, explicit_offset                     ? "Paintera resolution and offset"
                      : clm_json_get(group, "multiScale") ? "BDV resolution"
                      : either(group, dataset, "axes")    ? "Neuroglancer resolution"
                                                          : "resolution");
    return place(&out->level[k], res, f, um, explicit_offset ? offset : NULL);
}
