#include "collimate/transform/tform.h"
#include "tform_parts.h"

#include <string.h>

/* Parsing: transformations that hold others, and the dispatcher. */

typedef clm_tform_axes axes;

static bool parse_any(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out, clm_tform **t,
                      clm_err *err);

/* ---- those that hold others ---- */

static bool take_parts(const clm_tform_parser *p, clm_tform *t, int64_t n, clm_err *err) {
    if (n > 1 << 20) return clm_fail(err, CLM_E_UNSUPPORTED, "transformations: %lld of them", (long long)n);
    t->part = clm_take_zero(p->g->arena, clm_tform *, n < 1 ? 1 : n, err);
    return t->part != NULL;
}

static bool parse_sequence(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                           clm_tform *t, clm_err *err) {
    const clm_json *list = clm_json_get(v, "transformations");
    if (clm_json_kind_of(list) != CLM_JSON_LIST)
        return clm_fail(err, CLM_E_FORMAT, "transformations: %s", list ? "must be a list" : "is missing");
    if (!take_parts(p, t, clm_json_size(list), err)) return false;
    axes now = *in;
    t->kind = CLM_TFORM_CHAIN;
    t->in = in->n;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        const axes next = clm_json_next(k) ? (axes){.n = -1} : *out;
        if (!parse_any(p, k, &now, &next, &t->part[t->n], err))
            return clm_err_in(err, "transformations[%d]", t->n);
        const clm_tform *made = t->part[t->n++];
        if (t->in < 0) t->in = made->in;          /* identities before it take any number */
        bool same = made->kind == CLM_TFORM_SAME; /* they keep the names, too */
        now = (axes){.n = made->out >= 0 ? made->out : now.n, .name = same ? now.name : NULL};
    }
    t->out = now.n;
    return true;
}

static bool parse_bijection(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                            clm_tform *t, clm_err *err) {
    if (!take_parts(p, t, 2, err)) return false;
    t->kind = CLM_TFORM_PAIR;
    t->n = 2;
    if (!parse_any(p, clm_json_get(v, "forward"), in, out, &t->part[0], err))
        return clm_err_in(err, "forward");
    t->in = in->n >= 0 ? in->n : t->part[0]->in;
    t->out = out->n >= 0 ? out->n : t->part[0]->out;
    const axes back_in = {.n = t->out, .name = out->name}, back_out = {.n = t->in, .name = in->name};
    if (!parse_any(p, clm_json_get(v, "inverse"), &back_in, &back_out, &t->part[1], err))
        return clm_err_in(err, "inverse");
    return true;
}

static bool parse_inverse_of(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                             clm_tform *t, clm_err *err) {
    if (!take_parts(p, t, 1, err)) return false;
    t->kind = CLM_TFORM_TURNED;
    t->n = 1;
    if (!parse_any(p, clm_tform_get(v, "transformation", "transform"), out, in, &t->part[0], err))
        return false;
    t->in = t->part[0]->out;
    t->out = t->part[0]->in;
    return true;
}

/* One item of byDimension. Its axes are numbers; drafts gave names, under input and output, and left the
 * transformation's own keys in the item. */
static bool parse_item(clm_tform_parser *p, const clm_json *item, const axes *in, const axes *out,
                       clm_tform_slice *slice, clm_tform **t, clm_err *err) {
    const clm_json *inner = clm_json_get(item, "transformation");
    const clm_json *from = clm_tform_get(item, "inputAxes", "input_axes"),
                   *to = clm_tform_get(item, "outputAxes", "output_axes");
    if (!from) from = clm_json_get(item, "input");
    if (!to) to = clm_json_get(item, "output");
    if (!from || !to) return clm_fail(err, CLM_E_FORMAT, "%s: is missing", from ? "outputAxes" : "inputAxes");
    if (!clm_tform_axis_list(from, "inputAxes", in, &slice->n_in, slice->in, err) ||
        !clm_tform_axis_list(to, "outputAxes", out, &slice->n_out, slice->out, err))
        return false;
    if (slice->n_in < 1 || slice->n_out < 1 || !clm_tform_all_different(slice->n_in, slice->in))
        return clm_fail(err, CLM_E_FORMAT, "inputAxes, outputAxes: empty, or an axis is there twice");
    const axes part_in = {.n = slice->n_in}, part_out = {.n = slice->n_out};
    return parse_any(p, inner ? inner : item, &part_in, &part_out, t, err);
}

static bool parse_by_dimension(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                               clm_tform *t, clm_err *err) {
    const clm_json *list = clm_json_get(v, "transformations");
    int64_t n = clm_json_size(list);
    bool made[CLM_DIMS_MAX] = {false};
    if (clm_json_kind_of(list) != CLM_JSON_LIST || n < 1 || n > CLM_DIMS_MAX)
        return clm_fail(err, CLM_E_FORMAT, "transformations: must be a list of 1 to %d", CLM_DIMS_MAX);
    if (!take_parts(p, t, n, err)) return false;
    t->slice = clm_take_zero(p->g->arena, clm_tform_slice, n, err);
    if (!t->slice) return false;
    t->kind = CLM_TFORM_SPLIT;
    t->in = in->n;
    t->out = out->n;
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k), t->n++) {
        clm_tform_slice *s = &t->slice[t->n];
        if (!parse_item(p, k, in, out, s, &t->part[t->n], err))
            return clm_err_in(err, "transformations[%d]", t->n);
        for (int i = 0; in->n < 0 && i < s->n_in; i++)
            if (s->in[i] >= t->in) t->in = s->in[i] + 1;
        for (int i = 0; i < s->n_out; i++) {
            if (made[s->out[i]])
                return clm_fail(err, CLM_E_FORMAT, "transformations[%d]: outputAxes: axis %d is made twice",
                                t->n, s->out[i]);
            made[s->out[i]] = true;
            if (out->n < 0 && s->out[i] >= t->out) t->out = s->out[i] + 1;
        }
    }
    for (int d = 0; d < t->out; d++)
        if (!made[d]) return clm_fail(err, CLM_E_FORMAT, "transformations: none makes output axis %d", d);
    return true;
}

static bool parse_same(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out, clm_tform *t,
                       clm_err *err) {
    (void)p, (void)v, (void)out, (void)err;
    t->kind = CLM_TFORM_SAME;
    t->in = t->out = in->n;
    return true;
}

static bool parse_field(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out, clm_tform *t,
                        clm_err *err) {
    t->field = clm_take_zero(p->g->arena, clm_nfield, 1, err);
    if (!t->field) return false;
    t->next_field = p->g->fields; /* closed also when opening fails half-way */
    p->g->fields = t;
    t->kind = CLM_TFORM_FIELD;
    if (!clm_tform_open_field(v, p->g, in->n, out->n, t->field, err)) return false;
    t->in = t->field->n;
    t->out = t->field->m;
    return true;
}

void clm_tform_close_fields(clm_tform_ground *g) {
    for (; g->fields; g->fields = g->fields->next_field) clm_nfield_close(g->fields->field);
}

/* ---- any ---- */

typedef bool parse_fn(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out, clm_tform *t,
                      clm_err *err);

static parse_fn *parser_of(const char *type) {
    static const struct {
        const char *type;
        parse_fn *parse;
    } table[] = {{"identity", parse_same},
                 {"scale", clm_tform_parse_vector},
                 {"translation", clm_tform_parse_vector},
                 {"affine", clm_tform_parse_matrix},
                 {"rotation", clm_tform_parse_matrix},
                 {"mapAxis", clm_tform_parse_map_axis},
                 {"projectAxis", clm_tform_parse_project},
                 {"sequence", parse_sequence},
                 {"bijection", parse_bijection},
                 {"byDimension", parse_by_dimension},
                 {"inverseOf", parse_inverse_of},
                 {"displacements", parse_field},
                 {"coordinates", parse_field}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].type, type) == 0) return table[i].parse;
    return NULL;
}

static bool parse_any(clm_tform_parser *p, const clm_json *v, const axes *in, const axes *out,
                      clm_tform **made, clm_err *err) {
    const char *type = clm_json_text(clm_json_get(v, "type"));
    if (clm_json_kind_of(v) != CLM_JSON_OBJECT || !type)
        return clm_fail(err, CLM_E_FORMAT, v ? "type: is missing" : "is missing");
    parse_fn *fn = parser_of(type);
    if (!fn) return clm_fail(err, CLM_E_UNSUPPORTED, "type: \"%.60s\" is not known here", type);
    if (p->depth >= CLM_TFORM_DEPTH_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "nested deeper than %d", CLM_TFORM_DEPTH_MAX);
    clm_tform *t = clm_take_zero(p->g->arena, clm_tform, 1, err);
    if (!t) return false;
    t->type = type;
    p->depth++;
    bool ok = fn(p, v, in, out, t, err);
    p->depth--;
    if (!ok) return clm_err_in(err, "%s", type);
    if ((in->n >= 0 && t->in >= 0 && t->in != in->n) || (out->n >= 0 && t->out >= 0 && t->out != out->n))
        return clm_fail(err, CLM_E_FORMAT, "%s: takes %d axes to %d, where %d lead to %d", type, t->in,
                        t->out, in->n, out->n);
    *made = t;
    return true;
}

bool clm_tform_parse(const clm_json *v, clm_tform_ground *g, const clm_tform_axes *in,
                     const clm_tform_axes *out, clm_tform **t, clm_err *err) {
    clm_tform_parser p = {.g = g};
    return parse_any(&p, v, in, out, t, err);
}
