#include "tform_parts.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"

#include <math.h>
#include <string.h>

/* Transformations without others in them, but for fields: vectors, matrices, axes picked. */

typedef clm_tform_axes axes;

const clm_json *clm_tform_get(const clm_json *v, const char *key, const char *draft) {
    const clm_json *found = clm_json_get(v, key);
    return found ? found : clm_json_get(v, draft);
}

/* ---- numbers, inline or in an array ---- */

static bool read_array(const clm_tform_parser *p, const char *path, int ndim, int64_t shape[2],
                       double **number, clm_err *err) {
    char below[CLM_PATH_MAX], full[CLM_PATH_MAX];
    clm_array *a = NULL;
    const int64_t zero[2] = {0, 0};
    if (!p->g->store) return clm_fail(err, CLM_E_UNSUPPORTED, "path: there is no store to look in");
    if (!clm_node_below(below, p->g->group, path, err) || !clm_path_join(full, p->g->store, below, err) ||
        !clm_array_open(full, &a, err))
        return clm_err_in(err, "path \"%.200s\"", path);
    const clm_array_info *i = clm_array_info_of(a);
    bool ok = i->ndim == ndim && (clm_dtype_is_real(i->dtype) || i->dtype == CLM_F16);
    for (int d = 0; ok && d < ndim; d++) ok = i->shape[d] >= 1 && i->shape[d] <= CLM_DIMS_MAX + 1;
    if (!ok) {
        clm_fail(err, CLM_E_FORMAT, "path \"%.200s\": %s of shape %s cannot be %s", path,
                 clm_dtype_name(i->dtype), clm_index_say(i->ndim, i->shape).s,
                 ndim == 1 ? "a vector of at most 8" : "a matrix of at most 8 axes");
        clm_array_close(a);
        return false;
    }
    double raw[(CLM_DIMS_MAX + 1) * (CLM_DIMS_MAX + 1)];
    shape[1] = 1;
    memcpy(shape, i->shape, (size_t)ndim * sizeof *shape);
    int64_t n = shape[0] * shape[1];
    ok =
        clm_array_read(a, zero, shape, raw, err) && (*number = clm_take(p->g->arena, double, n, err)) != NULL;
    if (ok) clm_dtype_to_f64(i->dtype, raw, *number, n);
    clm_array_close(a);
    return ok;
}

static bool all_finite(const double *x, int64_t n, const char *key, clm_err *err) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return clm_fail(err, CLM_E_FORMAT, "%s: number %lld is not finite", key, (long long)i);
    return true;
}

bool clm_tform_parse_vector(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                            clm_tform *t, clm_err *err) {
    (void)out;
    const clm_json *list = clm_json_get(v, t->type);
    const char *path = clm_json_text(clm_json_get(v, "path"));
    int64_t n = clm_json_size(list), shape[2];
    if (path) {
        if (!read_array(p, path, 1, shape, &t->number, err)) return false;
        n = shape[0];
    } else if (clm_json_kind_of(list) != CLM_JSON_LIST) {
        return clm_fail(err, CLM_E_FORMAT, "%s: %s", t->type,
                        list ? "must be a list of numbers" : "is missing");
    }
    if (n < 1 || n > CLM_DIMS_MAX || (in->n >= 0 && n != in->n))
        return clm_fail(err, CLM_E_FORMAT, "%s: %lld numbers for %d axes", t->type, (long long)n, in->n);
    if (!path) {
        t->number = clm_take(p->g->arena, double, n, err);
        if (!t->number) return false;
        if (!clm_json_numbers(list, n, t->number))
            return clm_fail(err, CLM_E_FORMAT, "%s: not all are numbers", t->type);
    }
    t->kind = strcmp(t->type, "scale") == 0 ? CLM_TFORM_SCALE : CLM_TFORM_SHIFT;
    t->in = t->out = (int)n;
    return all_finite(t->number, n, t->type, err);
}

/* Rows of a matrix; a flat list, as the first drafts had it, is cut into rows of `width`. */
static bool inline_matrix(clm_tform_parser *p, const clm_json *rows, const char *key, int64_t width,
                          int64_t shape[2], double **number, clm_err *err) {
    double x;
    bool flat = clm_json_number(clm_json_first(rows), &x);
    int64_t n = clm_json_size(rows);
    if (clm_json_kind_of(rows) != CLM_JSON_LIST || n < 1)
        return clm_fail(err, CLM_E_FORMAT, "%s: %s", key, rows ? "must be a list of rows" : "is missing");
    shape[1] = !flat ? clm_json_size(clm_json_first(rows)) : width;
    shape[0] = !flat ? n : width > 0 && n % width == 0 ? n / width : 0;
    if (shape[0] < 1 || shape[0] > CLM_DIMS_MAX + 1 || shape[1] < 1 || shape[1] > CLM_DIMS_MAX + 1)
        return clm_fail(err, CLM_E_FORMAT, "%s: must be at most %d rows of at most %d numbers", key,
                        CLM_DIMS_MAX, CLM_DIMS_MAX + 1);
    *number = clm_take(p->g->arena, double, shape[0] * shape[1], err);
    if (!*number) return false;
    if (flat)
        return clm_json_numbers(rows, n, *number) ||
               clm_fail(err, CLM_E_FORMAT, "%s: not all are numbers", key);
    int64_t i = 0;
    for (const clm_json *r = clm_json_first(rows); r; r = clm_json_next(r), i++)
        if (clm_json_kind_of(r) != CLM_JSON_LIST || !clm_json_numbers(r, shape[1], *number + i * shape[1]))
            return clm_fail(err, CLM_E_FORMAT, "%s: row %lld is not %lld numbers", key, (long long)i,
                            (long long)shape[1]);
    return true;
}

/* [.. 0 1] under a matrix: homogeneous coordinates written out whole */
static bool is_unit_row(const double *row, int64_t n) {
    for (int64_t i = 0; i < n - 1; i++)
        if (row[i] != 0.0) return false;
    return row[n - 1] == 1.0;
}

bool clm_tform_parse_matrix(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                            clm_tform *t, clm_err *err) {
    const char *path = clm_json_text(clm_json_get(v, "path"));
    bool affine = strcmp(t->type, "affine") == 0;
    int64_t shape[2], width = in->n >= 0 ? in->n + affine : -1;
    if (path ? !read_array(p, path, 2, shape, &t->number, err)
             : !inline_matrix(p, clm_json_get(v, t->type), t->type, width, shape, &t->number, err))
        return false;
    if (width >= 0 && shape[1] != width)
        return clm_fail(err, CLM_E_FORMAT, "%s: rows of %lld numbers for %d axes; must be %lld", t->type,
                        (long long)shape[1], in->n, (long long)width);
    if (affine && out->n >= 0 && shape[0] == out->n + 1 &&
        is_unit_row(t->number + out->n * shape[1], shape[1]))
        shape[0]--;
    if (!affine && shape[0] != shape[1])
        return clm_fail(err, CLM_E_FORMAT, "rotation: %lld rows of %lld numbers; must be square",
                        (long long)shape[0], (long long)shape[1]);
    if (!all_finite(t->number, shape[0] * shape[1], t->type, err)) return false;
    t->kind = CLM_TFORM_MATRIX;
    t->in = (int)(shape[1] - affine);
    t->out = (int)shape[0];
    if (t->in < 1 || t->in > CLM_DIMS_MAX || t->out > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s: must be of 1 to %d axes", t->type, CLM_DIMS_MAX);
    if (affine) return true;
    double *wide = clm_take_zero(p->g->arena, double, shape[0] * (shape[1] + 1), err); /* no shift */
    for (int64_t i = 0; wide && i < shape[0]; i++)
        memcpy(wide + i * (shape[1] + 1), t->number + i * shape[1], (size_t)shape[1] * sizeof *wide);
    t->number = wide;
    return wide != NULL;
}

/* ---- axes picked, dropped, made ---- */

/* A number of an axis, or its name where names are known. */
static bool axis_of(const clm_json *v, const axes *of, int *out) {
    const char *name = clm_json_text(v);
    int64_t i;
    int most = of->n >= 0 ? of->n : CLM_DIMS_MAX;
    if (clm_json_int(v, &i)) {
        *out = (int)(i >= 0 && i < most ? i : -1);
        return *out >= 0;
    }
    for (int d = 0; name && of->name && d < of->n; d++)
        if (strcmp(of->name[d], name) == 0) {
            *out = d;
            return true;
        }
    return false;
}

bool clm_tform_axis_list(const clm_json *v, const char *key, const axes *of, int *n, int list[CLM_DIMS_MAX],
                         clm_err *err) {
    *n = 0;
    if (!v) return true;
    if (clm_json_kind_of(v) != CLM_JSON_LIST || clm_json_size(v) > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s: must be a list of at most %d axes", key, CLM_DIMS_MAX);
    for (const clm_json *k = clm_json_first(v); k; k = clm_json_next(k)) {
        if (!axis_of(k, of, &list[*n]))
            return clm_fail(err, CLM_E_FORMAT, "%s: item %d is no axis of %d", key, *n, of->n);
        ++*n;
    }
    return true;
}

bool clm_tform_all_different(int n, const int *list) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (list[i] == list[j]) return false;
    return true;
}

bool clm_tform_parse_map_axis(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                              clm_tform *t, clm_err *err) {
    (void)p;
    const clm_json *map = clm_json_get(v, "mapAxis");
    t->kind = CLM_TFORM_PICK;
    if (clm_json_kind_of(map) == CLM_JSON_OBJECT) { /* drafts: output's name -> input's name */
        if (in->n < 0 || out->n < 0 || !out->name || clm_json_size(map) != out->n)
            return clm_fail(err, CLM_E_FORMAT, "mapAxis: names %d axes of %d", (int)clm_json_size(map),
                            out->n);
        t->in = in->n;
        t->out = out->n;
        for (int d = 0; d < out->n; d++)
            if (!axis_of(clm_json_get(map, out->name[d]), in, &t->pick[d]))
                return clm_fail(err, CLM_E_FORMAT, "mapAxis: %s: missing, or no axis of the input",
                                out->name[d]);
        return true;
    }
    if (!map) return clm_fail(err, CLM_E_FORMAT, "mapAxis: is missing");
    if (!clm_tform_axis_list(map, "mapAxis", in, &t->out, t->pick, err)) return false;
    t->in = in->n >= 0 ? in->n : t->out;
    if (t->out < 1) return clm_fail(err, CLM_E_FORMAT, "mapAxis: is empty");
    return t->in != t->out || clm_tform_all_different(t->out, t->pick) ||
           clm_fail(err, CLM_E_FORMAT, "mapAxis: an axis is there twice");
}

/* The last draft's list of steps: {"remove": i} takes a number out of the point, {"insert": i} puts 0 there. */
static bool project_steps(const clm_json *list, clm_tform *t, clm_err *err) {
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        int64_t i;
        bool insert = clm_json_get(k, "insert") != NULL;
        int most = insert ? t->out + 1 : t->out;
        if (!clm_json_int(clm_json_get(k, insert ? "insert" : "remove"), &i) || i < 0 || i >= most ||
            (insert && t->out == CLM_DIMS_MAX))
            return clm_fail(err, CLM_E_FORMAT,
                            "projectAxis: a step that is neither remove nor insert of an axis");
        size_t rest = (size_t)(t->out - i - !insert) * sizeof *t->pick;
        if (insert) {
            memmove(t->pick + i + 1, t->pick + i, rest);
            t->pick[i] = -1;
        } else {
            memmove(t->pick + i, t->pick + i + 1, rest);
        }
        t->out += insert ? 1 : -1;
    }
    return t->out >= 1 || clm_fail(err, CLM_E_FORMAT, "projectAxis: drops all axes");
}

bool clm_tform_parse_project(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                             clm_tform *t, clm_err *err) {
    (void)p, (void)out;
    const clm_json *drop = clm_tform_get(v, "droppedInputs", "dropped_inputs");
    const clm_json *make = clm_tform_get(v, "createdOutputs", "created_outputs");
    int dropped[CLM_DIMS_MAX], made[CLM_DIMS_MAX], n_dropped, n_made, kept = 0;
    t->kind = CLM_TFORM_PICK;
    t->in = in->n;
    if (in->n < 0) return clm_fail(err, CLM_E_UNSUPPORTED, "projectAxis: of how many axes is not known");
    if (clm_json_get(v, "projectAxis")) {
        for (int d = 0; d < in->n; d++) t->pick[d] = d;
        t->out = in->n;
        return project_steps(clm_json_get(v, "projectAxis"), t, err);
    }
    if (!drop && !make)
        return clm_fail(err, CLM_E_FORMAT, "projectAxis: neither droppedInputs nor createdOutputs");
    if (!clm_tform_axis_list(drop, "droppedInputs", in, &n_dropped, dropped, err)) return false;
    int64_t total = in->n - n_dropped + clm_json_size(make);
    if (total < 1 || total > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "projectAxis: leads to %lld axes", (long long)total);
    const axes after = {.n = (int)total};
    if (!clm_tform_axis_list(make, "createdOutputs", &after, &n_made, made, err)) return false;
    if (!clm_tform_all_different(n_dropped, dropped) || !clm_tform_all_different(n_made, made))
        return clm_fail(err, CLM_E_FORMAT, "projectAxis: an axis is there twice");
    t->out = (int)total;
    for (int d = 0; d < t->out; d++) {
        bool create = false, skip = true;
        for (int i = 0; i < n_made; i++) create = create || made[i] == d;
        t->pick[d] = -1;
        while (!create && skip) { /* the next input that is not dropped */
            skip = false;
            for (int i = 0; i < n_dropped; i++) skip = skip || dropped[i] == kept;
            if (!skip) t->pick[d] = kept;
            kept++;
        }
    }
    return true;
}
