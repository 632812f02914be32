#include "collimate/store/bdv.h"
#include "collimate/store/node.h"
#include "collimate/store/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* SpimData XML as bigdataviewer-core's XmlIoSpimData and BigStitcher's loaders write it. What is looked for are
 * elements by their names; no element of interest lies within another of its name. */

typedef struct span {
    const char *p, *end;
} span;

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool is_tag(const char *p, const char *end, const char *tag, size_t n) { /* p behind "<" or "</" */
    return (size_t)(end - p) > n && memcmp(p, tag, n) == 0 && (blank(p[n]) || p[n] == '>' || p[n] == '/');
}

/* The next <tag attributes>body</tag>; *in moves behind it. */
static bool next(span *in, const char *tag, span *attributes, span *body) {
    size_t n = strlen(tag);
    for (const char *p = in->p; (p = memchr(p, '<', (size_t)(in->end - p))) != NULL; p++) {
        if (!is_tag(p + 1, in->end, tag, n)) continue;
        const char *close = memchr(p, '>', (size_t)(in->end - p));
        if (!close) return false;
        *attributes = (span){p + 1 + n, close};
        *body = (span){close + 1, close + 1};
        in->p = close + 1;
        if (close[-1] == '/') return true;
        for (const char *q = in->p; (q = memchr(q, '<', (size_t)(in->end - q))) != NULL; q++) {
            if (in->end - q < 2 || q[1] != '/' || !is_tag(q + 2, in->end, tag, n)) continue;
            body->end = in->p = q;
            return true;
        }
        return false;
    }
    return false;
}

static bool put_text(const char *p, const char *end, char *out, size_t cap) {
    while (p < end && blank(*p)) p++;
    while (p < end && blank(end[-1])) end--;
    if ((size_t)(end - p) >= cap) return false;
    memcpy(out, p, (size_t)(end - p));
    out[end - p] = 0;
    return p < end;
}

static bool text_in(span in, const char *tag, char *out, size_t cap) {
    span attributes, body;
    out[0] = 0;
    return next(&in, tag, &attributes, &body) && put_text(body.p, body.end, out, cap);
}

/* name="value" or name='value' */
static bool attribute(span a, const char *name, char *out, size_t cap) {
    size_t n = strlen(name);
    out[0] = 0;
    for (const char *p = a.p; (size_t)(a.end - p) > n + 2; p++) {
        if (!blank(p[0]) || memcmp(p + 1, name, n) != 0 || p[n + 1] != '=') continue;
        const char *quote = p + n + 2;
        if (quote >= a.end || (*quote != '"' && *quote != '\'')) continue;
        const char *end = memchr(quote + 1, *quote, (size_t)(a.end - quote - 1));
        return end && put_text(quote + 1, end, out, cap);
    }
    return false;
}

static bool number_of(span a, const char *name, int64_t *out) {
    char text[24];
    return attribute(a, name, text, sizeof text) && clm_text_int(text, out) && *out >= 0;
}

/* Exactly n numbers with blanks between. */
static bool numbers(span in, int n, double out[]) {
    for (int i = 0; i <= n; i++) {
        char word[40];
        while (in.p < in.end && blank(*in.p)) in.p++;
        const char *from = in.p;
        while (in.p < in.end && !blank(*in.p)) in.p++;
        if (i == n) return from == in.p;
        if (!put_text(from, in.p, word, sizeof word) || !clm_text_real(word, &out[i])) return false;
    }
    return false;
}

/* ---- setups ---- */

static bool voxel_of(span setup, double size[3], char unit[24]) {
    span attributes, voxel, body;
    if (!next(&setup, "voxelSize", &attributes, &voxel)) return false;
    if (!text_in(voxel, "unit", unit, 24)) (void)snprintf(unit, 24, "no unit");
    return next(&voxel, "size", &attributes, &body) && numbers(body, 3, size) && size[0] > 0 && size[1] > 0 &&
           size[2] > 0;
}

/* The setup's element; *setup -1: the only one, whose number it becomes. */
static bool find_setup(span doc, int64_t *setup, span *out, int *others) {
    span attributes, body;
    char text[24];
    int64_t id, want = *setup;
    *others = 0;
    bool found = false;
    while (next(&doc, "ViewSetup", &attributes, &body)) {
        if (!text_in(body, "id", text, sizeof text) || !clm_text_int(text, &id) || id < 0) continue;
        if (found || (want >= 0 && id != want)) {
            ++*others;
            continue;
        }
        found = true;
        *setup = id;
        *out = body;
    }
    return found;
}

bool clm_bdv_voxel_of(const char *xml, size_t n, int64_t setup, double size[3], char unit[24]) {
    span element;
    int others;
    return find_setup((span){xml, xml + n}, &setup, &element, &others) && voxel_of(element, size, unit);
}

/* ---- registrations ---- */

typedef struct model { /* three rows of x y z 1 */
    double all[12], last[12];
    int n; /* how many were concatenated */
} model;

static bool concatenate(span registration, model *m, clm_err *err) {
    span attributes, body, affine;
    *m = (model){.all = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}};
    while (next(&registration, "ViewTransform", &attributes, &body)) {
        double product[12];
        if (!next(&body, "affine", &attributes, &affine) || !numbers(affine, 12, m->last))
            return clm_fail(err, CLM_E_FORMAT, "ViewTransform: affine: want 12 numbers");
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 4; c++) {
                product[4 * r + c] = c == 3 ? m->all[4 * r + 3] : 0;
                for (int k = 0; k < 3; k++) product[4 * r + c] += m->all[4 * r + k] * m->last[4 * k + c];
            }
        memcpy(m->all, product, sizeof product);
        m->n++;
    }
    return true;
}

static bool find_registration(span doc, clm_bdv_view *v, model *m, clm_err *err) {
    span attributes, body;
    int64_t setup, time, want = v->time, other = -1;
    bool found = false;
    while (next(&doc, "ViewRegistration", &attributes, &body)) {
        if (!number_of(attributes, "setup", &setup) || setup != v->setup ||
            !number_of(attributes, "timepoint", &time))
            continue;
        if (want >= 0 && time != want) {
            other = time;
            continue;
        }
        found = true;
        if (want < 0 && v->time >= 0 && time != v->time)
            return clm_fail(err, CLM_E_ARG, "setup %lld has several time points; choose one",
                            (long long)setup);
        v->time = time;
        if (!concatenate(body, m, err)) return false;
    }
    if (!found && other >= 0)
        return clm_fail(err, CLM_E_NOTFOUND, "no time point %lld; name one, e.g. setup%lld/timepoint%lld",
                        (long long)want, (long long)v->setup, (long long)other);
    if (v->time < 0) v->time = 0;
    return true;
}

static bool diagonal(const double m[12]) {
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            if (r == c ? !(m[5 * r] > 0) : !(fabs(m[4 * r + c]) <= 1e-6 * fabs(m[5 * r]))) return false;
    return true;
}

static void place(span setup, const model *m, clm_bdv_view *v) {
    double size[3], um = 1;
    const char *problem = "";
    if (!voxel_of(setup, size, v->unit))
        problem = "no voxelSize";
    else if (!clm_unit_um(v->unit, &um))
        problem = "the unit of voxelSize is no length";
    double world = um; /* micrometres of the world's unit */
    static const double identity[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    bool registered = m->n > 0 && memcmp(m->all, identity, sizeof identity) != 0;
    if (!problem[0] && registered) {
        world = size[0] / m->last[0] * um;
        for (int k = 1; k < 3; k++)
            if (!(fabs(size[k] / m->last[5 * k] * um - world) <= 1e-4 * world))
                problem =
                    "the transform listed last is not the voxel size, so that the world's unit is not known";
        if (!diagonal(m->last) || !diagonal(m->all))
            problem = "its registration turns, shears or mirrors the axes";
    }
    (void)snprintf(v->problem, sizeof v->problem, "%s", problem);
    for (int k = 0; !problem[0] && k < 3; k++) {
        v->spacing_um[2 - k] = registered ? m->all[5 * k] * world : size[k] * um;
        v->origin_um[2 - k] = registered ? m->all[4 * k + 3] * world : 0;
        if (!isfinite(v->spacing_um[2 - k]) || !isfinite(v->origin_um[2 - k]))
            (void)snprintf(v->problem, sizeof v->problem, "its registration is not finite");
    }
}

/* ---- loaders ---- */

/* indicies="c t", perhaps in brackets and with a comma, perhaps none */
static void indices(span attributes, clm_bdv_view *v) {
    char text[40];
    double at[2];
    (void)attribute(attributes, "indicies", text, sizeof text);
    for (char *c = text; *c; c++)
        if (strchr("[],", *c)) *c = ' ';
    span in = {text, text + strlen(text)};
    bool two = numbers(in, 2, at), one = two || numbers(in, 1, at);
    if (one && at[0] >= 0 && at[0] < 1e6) v->channel_index = (int64_t)at[0];
    if (two && at[1] >= 0 && at[1] < 1e6) v->time_index = (int64_t)at[1];
}

/* The OME-Zarr of the view, below its container. */
static bool find_zgroup(span loader, clm_bdv_view *v, char *path, size_t cap) {
    span attributes, body;
    int64_t setup, time;
    while (next(&loader, "zgroup", &attributes, &body)) {
        if (!number_of(attributes, "setup", &setup) || setup != v->setup) continue;
        if (!number_of(attributes, "tp", &time) && !number_of(attributes, "timepoint", &time)) time = 0;
        if (time != v->time) continue;
        indices(attributes, v);
        return attribute(attributes, "path", path, cap) || text_in(body, "path", path, cap);
    }
    return false;
}

static bool locate(span doc, clm_bdv_view *v, clm_err *err) {
    static const char *const format[] = {"bdv.hdf5", "bdv.n5", "bdv.multimg.zarr"};
    static const char *const element[] = {"hdf5", "n5", "zarr"};
    span attributes, loader, body, in = doc;
    char name[64], file[1024] = "", base[1024] = "", type[24] = "", below[1024];
    if (!next(&in, "ImageLoader", &attributes, &loader) ||
        !attribute(attributes, "format", name, sizeof name))
        return clm_fail(err, CLM_E_FORMAT, "no ImageLoader with a format");
    int k = 0;
    while (k < 3 && strcmp(name, format[k]) != 0) k++;
    if (k == 3)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "ImageLoader %s; bdv.hdf5, bdv.n5 and bdv.multimg.zarr are read", name);
    in = loader;
    if (!next(&in, element[k], &attributes, &body)) {
        in = loader;
        if (!next(&in, "uri", &attributes, &body)) body = (span){0};
    }
    if (!body.p || !put_text(body.p, body.end, file, sizeof file))
        return clm_fail(err, CLM_E_FORMAT, "ImageLoader: no %s path", element[k]);
    (void)attribute(attributes, "type", type, sizeof type);
    (void)text_in(doc, "BasePath", base, sizeof base);
    if (strcmp(type, "absolute") == 0 || file[0] == '/' || base[0] == '/' || strchr(file, ':') ||
        strchr(base, ':'))
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "ImageLoader: \"%.200s\" is not relative to the XML; name the container itself",
                        file);
    if (k == 0)
        (void)snprintf(below, sizeof below, "t%05lld/s%02lld", (long long)v->time, (long long)v->setup);
    else if (k == 1)
        (void)snprintf(below, sizeof below, "setup%lld/timepoint%lld", (long long)v->setup,
                       (long long)v->time);
    else if (!find_zgroup(loader, v, below, sizeof below))
        return clm_fail(err, CLM_E_NOTFOUND, "no zgroup of setup %lld, time point %lld", (long long)v->setup,
                        (long long)v->time);
    char whole[CLM_PATH_MAX];
    return clm_path_format(whole, err, "%s/%s/%s", base[0] ? base : ".", file, below) &&
           clm_node_below(v->path, "", whole, err) &&
           (v->path[0] ||
            clm_fail(err, CLM_E_FORMAT, "ImageLoader: \"%.200s\" is the XML's own folder", file));
}

bool clm_bdv_view_of(const char *xml, size_t n, int64_t setup, int64_t time, clm_bdv_view *out,
                     clm_err *err) {
    span doc = {xml, xml + n}, element = {0};
    int others;
    model m = {.n = 0};
    clm_bdv_view v = {.setup = setup, .time = time, .channel_index = -1, .time_index = -1};
    bool found = find_setup(doc, &v.setup, &element, &others);
    if (found && setup < 0 && others)
        return clm_fail(err, CLM_E_ARG, "%d view setups; name one, e.g. dataset.xml/setup%lld", others + 1,
                        (long long)v.setup);
    if (!found) {
        if (setup < 0) return clm_fail(err, CLM_E_FORMAT, "no view setup: no XML of BigDataViewer");
        return clm_fail(err, CLM_E_NOTFOUND, "no view setup %lld", (long long)setup);
    }
    if (!find_registration(doc, &v, &m, err) || !locate(doc, &v, err)) return false;
    place(element, &m, &v);
    *out = v;
    return true;
}
