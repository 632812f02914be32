#include "collimate/core/linalg.h"
#include "collimate/transform/tform.h"

#include <math.h>
#include <string.h>

/* Points are (x, w): w 1 a point, w 0 a direction, to which shifts add nothing. Directions take an affine's columns
 * out of any chain without the loss of a difference. */

/* ---- which direction is open ---- */

static bool no(const char **why, const char *text) {
    if (why) *why = text;
    return false;
}

/* Is every input axis in the output, once? Axes that were made are dropped on the way back. */
static bool keeps_inputs(const clm_tform *t) {
    bool seen[CLM_DIMS_MAX] = {false};
    int n = 0;
    for (int d = 0; d < t->out; d++) {
        if (t->pick[d] < 0) continue;
        if (seen[t->pick[d]]) return false;
        seen[t->pick[d]] = true;
        n++;
    }
    return n == t->in;
}

static bool can_matrix(const clm_tform *t, const char **why) {
    double a[CLM_DIMS_MAX * CLM_DIMS_MAX], b[CLM_DIMS_MAX] = {0};
    if (t->in != t->out) return no(why, "affine: its matrix is not square");
    for (int i = 0; i < t->in; i++)
        memcpy(a + i * t->in, t->number + i * (t->in + 1), (size_t)t->in * sizeof *a);
    return clm_solve_small(t->in, a, b) || no(why, "affine: its matrix has no inverse");
}

static bool can_split_back(const clm_tform *t, const char **why) {
    bool used[CLM_DIMS_MAX] = {false};
    for (int k = 0; k < t->n; k++)
        for (int i = 0; i < t->slice[k].n_in; i++) {
            if (used[t->slice[k].in[i]]) return no(why, "byDimension: an input axis is used twice");
            used[t->slice[k].in[i]] = true;
        }
    for (int d = 0; d < t->in; d++)
        if (!used[d]) return no(why, "byDimension: an input axis is not used");
    return true;
}

bool clm_tform_can(const clm_tform *t, bool back, const char **why) {
    switch (t->kind) {
    case CLM_TFORM_SCALE:
        for (int d = 0; back && d < t->in; d++)
            if (t->number[d] == 0.0) return no(why, "scale: by 0");
        return true;
    case CLM_TFORM_PICK: return !back || keeps_inputs(t) || no(why, "mapAxis or projectAxis: drops an axis");
    case CLM_TFORM_MATRIX: return !back || can_matrix(t, why);
    case CLM_TFORM_FIELD:
        if (!back) return true;
        if (t->field->n != t->field->m) return no(why, "a field of other axes than its points");
        return t->field->order > 0 || no(why, "a field of nearest neighbours");
    case CLM_TFORM_PAIR:
        return clm_tform_can(t->part[back], false, why) || clm_tform_can(t->part[!back], true, why);
    case CLM_TFORM_TURNED: return clm_tform_can(t->part[0], !back, why);
    case CLM_TFORM_SPLIT:
    case CLM_TFORM_CHAIN:
        for (int k = 0; k < t->n; k++)
            if (!clm_tform_can(t->part[k], back, why)) return false;
        return t->kind == CLM_TFORM_CHAIN || !back || can_split_back(t, why);
    default: return true;
    }
}

/* its own, else the other's, turned round */
const clm_tform *clm_tform_side(const clm_tform *t, bool back, bool *turned) {
    *turned = !clm_tform_can(t->part[back], false, NULL);
    return t->part[back != *turned];
}

/* Does any field on the way in this direction fulfil `solved`, or, with NULL, is there a field at all? */
static bool meets_field(const clm_tform *t, bool back, bool solved_only) {
    bool turned;
    switch (t->kind) {
    case CLM_TFORM_FIELD: return back || !solved_only;
    case CLM_TFORM_TURNED: return meets_field(t->part[0], !back, solved_only);
    case CLM_TFORM_PAIR: {
        const clm_tform *part = clm_tform_side(t, back, &turned);
        return meets_field(part, turned, solved_only);
    }
    case CLM_TFORM_SPLIT:
    case CLM_TFORM_CHAIN:
        for (int k = 0; k < t->n; k++)
            if (meets_field(t->part[k], back, solved_only)) return true;
        return false;
    default: return false;
    }
}

bool clm_tform_is_solved(const clm_tform *t, bool back) { return meets_field(t, back, true); }

/* ---- points ---- */

static bool apply(const clm_tform *t, bool back, double w, double *x, clm_err *err);

static void apply_matrix(const clm_tform *t, bool back, double w, double *x) {
    double a[CLM_DIMS_MAX * CLM_DIMS_MAX], y[CLM_DIMS_MAX];
    int n = t->in, m = t->out;
    if (back) {
        for (int i = 0; i < n; i++) {
            memcpy(a + i * n, t->number + i * (n + 1), (size_t)n * sizeof *a);
            x[i] -= w * t->number[i * (n + 1) + n];
        }
        (void)clm_solve_small(n, a, x); /* clm_tform_can has tried it */
        return;
    }
    for (int i = 0; i < m; i++) {
        const double *row = t->number + i * (n + 1);
        y[i] = w * row[n];
        for (int j = 0; j < n; j++) y[i] += row[j] * x[j];
    }
    memcpy(x, y, (size_t)m * sizeof *x);
}

static bool apply_split(const clm_tform *t, bool back, double w, double *x, clm_err *err) {
    double y[CLM_DIMS_MAX] = {0}, part[CLM_DIMS_MAX];
    for (int k = 0; k < t->n; k++) {
        const clm_tform_slice *s = &t->slice[k];
        const int *from = back ? s->out : s->in, *to = back ? s->in : s->out;
        int n_from = back ? s->n_out : s->n_in, n_to = back ? s->n_in : s->n_out;
        for (int i = 0; i < n_from; i++) part[i] = x[from[i]];
        if (!apply(t->part[k], back, w, part, err)) return false;
        for (int i = 0; i < n_to; i++) y[to[i]] = part[i];
    }
    memcpy(x, y, sizeof y);
    return true;
}

static void apply_pick(const clm_tform *t, bool back, double *x) {
    double y[CLM_DIMS_MAX] = {0};
    for (int d = 0; d < t->out; d++) {
        if (t->pick[d] < 0) continue; /* made: 0 */
        if (back)
            y[t->pick[d]] = x[d];
        else
            y[d] = x[t->pick[d]];
    }
    memcpy(x, y, (size_t)(back ? t->in : t->out) * sizeof *x);
}

static bool apply(const clm_tform *t, bool back, double w, double *x, clm_err *err) {
    bool turned;
    switch (t->kind) {
    case CLM_TFORM_SCALE:
        for (int d = 0; d < t->in; d++) x[d] = back ? x[d] / t->number[d] : x[d] * t->number[d];
        return true;
    case CLM_TFORM_SHIFT:
        for (int d = 0; d < t->in; d++) x[d] += w * (back ? -t->number[d] : t->number[d]);
        return true;
    case CLM_TFORM_PICK: apply_pick(t, back, x); return true;
    case CLM_TFORM_MATRIX: apply_matrix(t, back, w, x); return true;
    case CLM_TFORM_CHAIN:
        for (int k = 0; k < t->n; k++)
            if (!apply(t->part[back ? t->n - 1 - k : k], back, w, x, err)) return false;
        return true;
    case CLM_TFORM_FIELD:
        return back ? clm_nfield_back(t->field, x, err) : clm_nfield_forward(t->field, x, err);
    case CLM_TFORM_PAIR: {
        const clm_tform *part = clm_tform_side(t, back, &turned);
        return apply(part, turned, w, x, err);
    }
    case CLM_TFORM_SPLIT: return apply_split(t, back, w, x, err);
    case CLM_TFORM_TURNED: return apply(t->part[0], !back, w, x, err);
    default: return true;
    }
}

bool clm_tform_apply(const clm_tform *t, bool back, double *x, clm_err *err) {
    const char *why;
    if (!clm_tform_can(t, back, &why)) return clm_fail(err, CLM_E_UNSUPPORTED, "%s", why);
    return apply(t, back, 1.0, x, err);
}

bool clm_tform_affine(const clm_tform *t, bool back, int n, double *number) {
    clm_err none = CLM_ERR_NONE;
    int in = back ? t->out : t->in, out = back ? t->in : t->out;
    if (in < 0) in = out = n;
    if (in != n || meets_field(t, back, false) || !clm_tform_can(t, back, NULL)) return false;
    for (int j = 0; j <= n; j++) {
        double x[CLM_DIMS_MAX] = {0};
        if (j < n) x[j] = 1.0;
        if (!apply(t, back, j == n, x, &none)) return false;
        for (int i = 0; i < out; i++) number[i * (n + 1) + j] = x[i];
    }
    return true;
}
