#include "collimate/transform/field_file.h"
#include "collimate/store/format.h"

#include <math.h>
#include <string.h>

/* Vectors in NIfTI (ITK and ANTs: five axes, intent 1007) and NRRD (an axis that is not of space). */

/* All axes but the components' are space; NIfTI's fourth, time, is one and was left out on opening. */
static bool find_axes(clm_field_file *f, clm_err *err) {
    const clm_array *a = f->field.array[0];
    const clm_place *p = a->place;
    int c = p->channel_axis;
    if (a->info.ndim != 4 || (c != 0 && c != 3) || a->info.shape[c] != 3)
        return clm_fail(err, CLM_E_FORMAT,
                        "shape %s: no field of displacements; want three space axes and one of 3 components",
                        clm_index_say(a->info.ndim, a->info.shape).s);
    if (!p->placed)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s",
                        p->problem[0] ? p->problem : "space axes that do not follow one another");
    f->field.component_axis = c;
    for (int d = 0; d < 3; d++) f->field.shape[d] = a->info.shape[d + (c == 0)];
    return true;
}

static bool set_lattice(clm_field_file *f, clm_err *err) {
    const clm_place *p = f->field.array[0]->place;
    double direction[3][3];
    for (int k = 0; k < 3; k++) {
        double length = sqrt(p->step_um[k][0] * p->step_um[k][0] + p->step_um[k][1] * p->step_um[k][1] +
                             p->step_um[k][2] * p->step_um[k][2]);
        if (!(length > 0) || !isfinite(length) || !isfinite(p->first_um[k]))
            return clm_fail(err, CLM_E_FORMAT, "spacing or origin is not a number");
        f->field.spacing_um[k] = length;
        f->field.origin_um[k] = p->first_um[k];
        for (int d = 0; d < 3; d++) direction[d][k] = p->step_um[k][d] / length;
    }
    return clm_field_file_turn(f, (const double(*)[3])direction, err);
}

/* Components along right and anterior as components along left and posterior. */
static void face_left(clm_vectors *v) {
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3 && !v->turned; k++) v->turn[i][k] = i == k;
        v->turn[i][1] = -v->turn[i][1];
        v->turn[i][2] = -v->turn[i][2];
    }
    v->turned = true;
}

bool clm_field_volume_open(const char *path, clm_field_file *out, clm_err *err) {
    clm_field_file f = {.before = CLM_AFFINE_IDENTITY, .after = CLM_AFFINE_IDENTITY};
    if (!clm_array_open(path, &f.field.array[0], err)) return false;
    f.field.x_first = true;
    const clm_place *p = f.field.array[0]->place;
    f.field.um_per_unit = p->vector_um * p->slope;
    bool ok = find_axes(&f, err) && clm_vectors_check(&f.field, err) && set_lattice(&f, err);
    if (ok && p->vector_um == 0)
        ok =
            clm_fail(err, CLM_E_UNSUPPORTED,
                     "no displacements: want NIfTI of intent 1007 or 1006 that is not NiftyReg's, or NRRD of "
                     "space left-posterior-superior");
    if (ok && p->inter != 0) ok = clm_fail(err, CLM_E_UNSUPPORTED, "components with an intercept");
    if (ok && p->vector_ras) face_left(&f.field);
    if (ok)
        *out = f;
    else
        clm_vectors_close(&f.field);
    return ok || clm_err_in(err, "%s", path);
}
