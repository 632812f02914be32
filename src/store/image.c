#include "collimate/store/image.h"
#include "collimate/base/file.h"
#include "collimate/store/bdv.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"
#include "collimate/store/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct clm_image {
    clm_image_info info;
    clm_array *array[CLM_LEVELS_MAX];
    int axis[3];                 /* array axes of z y x            */
    bool flip[3];                /* ... run backwards              */
    int64_t fixed[CLM_DIMS_MAX]; /* index on the axes that are not */
    int channel_axis, time_axis; /* -1: none                       */
    char uri[CLM_PATH_MAX];
};

const clm_image_info *clm_image_info_of(const clm_image *im) { return &im->info; }
const clm_array *clm_image_array_of(const clm_image *im, int level) { return im->array[level]; }

void clm_image_use_cache(clm_image *im, clm_cache *c) {
    for (int i = 0; i < im->info.n_levels; i++) clm_array_use_cache(im->array[i], c);
}

bool clm_image_stamp(const clm_image *im, uint64_t *stamp, clm_err *err) {
    for (int k = 0; k < im->info.n_levels; k++) {
        const char *path = clm_array_path_of(im->array[k]);
        char document[CLM_PATH_MAX];
        const char *name = clm_path_kind_of(path) == CLM_PATH_FOLDER ? clm_node_document_of(path) : "";
        if (!clm_path_format(document, err, "%s%s%s", path, name[0] ? "/" : "", name) ||
            !clm_tree_stamp(document, stamp, err))
            return false;
    }
    return true;
}

void clm_image_close(clm_image *im) {
    if (!im) return;
    for (int i = 0; i < CLM_LEVELS_MAX; i++) clm_array_close(im->array[i]);
    clm_heap_free(im);
}

/* ---- finding the levels ---- */

static bool parent_of(const char *path, char out[CLM_PATH_MAX], clm_err *err) {
    if (!clm_path_format(out, err, "%s", path)) return false;
    char *slash = strrchr(out, '/');
    if (!slash || slash == out) return clm_path_format(out, err, slash ? "/" : ".");
    *slash = 0;
    return true;
}

/* An array named by itself: its own metadata, or what its group says of it. */
static bool scales_of_array(const char *path, clm_scales *s, clm_err *err) {
    char parent[CLM_PATH_MAX];
    clm_json *own = NULL, *group = NULL;
    const char *name = clm_path_name(path);
    clm_scales all = {0};
    bool ok = parent_of(path, parent, err) && clm_node_attrs(path, &own, err) &&
              clm_node_attrs(parent, &group, err) && clm_scales_of_ome(group, &all, err);
    int at = -1;
    for (int i = 0; ok && i < all.n; i++)
        if (strcmp(all.level[i].path, name) == 0) at = i;
    if (at >= 0) {
        *s = all;
        s->level[0] = all.level[at];
    } else if (ok) {
        *s = (clm_scales){0};
        ok = clm_scale_of_n5(group, own, name, s, 0, err);
    }
    s->n = 1;
    s->level[0].path[0] = 0;
    clm_json_free(own);
    clm_json_free(group);
    return ok;
}

static bool add_n5_level(const char *path, const clm_json *group, const char *name, clm_scales *s,
                         clm_err *err) {
    char child[CLM_PATH_MAX];
    clm_json *own = NULL;
    if (s->n == CLM_LEVELS_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "more than %d levels", CLM_LEVELS_MAX);
    if (!clm_path_join(child, path, name, err)) return false;
    (void)snprintf(s->level[s->n].path, sizeof s->level[0].path, "%s", name);
    bool ok = clm_node_attrs(child, &own, err) && clm_scale_of_n5(group, own, name, s, s->n, err);
    clm_json_free(own);
    s->n++;
    return ok ? true : clm_err_in(err, "%s", name);
}

/* A group: OME-Zarr says its levels; in N5 they are the children s0, s1, ... */
static bool scales_of_group(const char *path, clm_scales *s, clm_err *err) {
    clm_json *group = NULL;
    bool ok = clm_node_attrs(path, &group, err) && clm_scales_of_ome(group, s, err);
    for (int i = 0; ok && s->n == i; i++) {
        char name[16], child[CLM_PATH_MAX];
        (void)snprintf(name, sizeof name, "s%d", i);
        ok = clm_path_join(child, path, name, err);
        if (!ok || !clm_node_is_array(clm_node_kind_of(child))) break;
        ok = add_n5_level(path, group, name, s, err);
    }
    if (ok && s->n == 0) ok = clm_node_not_array(path, err);
    clm_json_free(group);
    return ok;
}

/* ---- axes ---- */

static bool choose(clm_image *im, const clm_array_info *a, int axis, int64_t want, bool all, const char *what,
                   int64_t *count, clm_err *err) {
    *count = a->shape[axis];
    if (want < 0 && *count > 1 && !all)
        return clm_fail(err, CLM_E_ARG, "%lld %ss; choose one, 0 to %lld", (long long)*count, what,
                        (long long)*count - 1);
    if (want >= *count)
        return clm_fail(err, CLM_E_ARG, "%s %lld of %lld", what, (long long)want, (long long)*count);
    im->fixed[axis] = want < 0 ? 0 : want;
    return true;
}

static bool set_axes(clm_image *im, const clm_scales *s, const clm_image_options *o, clm_err *err) {
    const clm_array_info *a = clm_array_info_of(im->array[0]);
    if (a->ndim < 3)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%d-dimensional data, shape %s; alignment needs z y x",
                        a->ndim, clm_index_say(a->ndim, a->shape).s);
    if (s->ndim && s->ndim != a->ndim)
        return clm_fail(err, CLM_E_FORMAT, "%d axes are named, the array has %d", s->ndim, a->ndim);
    int channel = s->ndim ? s->channel_axis : a->ndim - 4, time = s->ndim ? s->time_axis : a->ndim - 5;
    im->info.channels = im->info.times = 1;
    im->channel_axis = channel >= 0 ? channel : -1;
    im->time_axis = time >= 0 ? time : -1;
    for (int d = 0; d < 3; d++) im->axis[d] = s->ndim ? s->axis[d] : a->ndim - 3 + d;
    for (int d = 0; d < a->ndim; d++) {
        if (d == im->axis[0] || d == im->axis[1] || d == im->axis[2]) continue;
        if (d != channel && d != time && a->shape[d] != 1)
            return clm_fail(err, CLM_E_UNSUPPORTED,
                            "axis %d of %lld elements is neither space, channel nor time", d,
                            (long long)a->shape[d]);
    }
    if ((channel < 0 && o->channel > 0) || (time < 0 && o->time > 0))
        return clm_fail(err, CLM_E_ARG, "no channel %lld or no time point %lld: it has one",
                        (long long)(o->channel > 0 ? o->channel : 0), (long long)(o->time > 0 ? o->time : 0));
    if (channel >= 0 && !choose(im, a, channel, o->channel, o->all, "channel", &im->info.channels, err))
        return false;
    return time < 0 || choose(im, a, time, o->time, o->all, "time point", &im->info.times, err);
}

/* ---- placing ---- */

/* What the caller gives stands for the finest level; the others keep their ratio to it: of spacings or factors, else of
 * shapes. */
static void override(clm_image_info *info, const clm_image_options *o, bool known) {
    clm_image_level *l = info->level;
    bool factors = true;
    for (int i = 0; i < info->n_levels; i++)
        for (int d = 0; d < 3; d++) factors = factors && l[i].spacing_um[d] > 0;
    for (int i = info->n_levels - 1; i >= 0; i--)
        for (int d = 0; d < 3; d++) {
            double ratio = factors ? l[i].spacing_um[d] / l[0].spacing_um[d]
                                   : (double)l[0].shape[d] / (double)l[i].shape[d];
            double shift = known ? l[i].origin_um[d] - l[0].origin_um[d] : 0;
            double base = known ? l[0].origin_um[d] : 0, spacing = l[i].spacing_um[d];
            if (o->has_spacing) {
                shift = known ? shift / l[0].spacing_um[d] * o->spacing_um[d]
                              : (ratio - 1) / 2 * o->spacing_um[d];
                base = known ? base / l[0].spacing_um[d] * o->spacing_um[d] : 0;
                spacing = ratio * o->spacing_um[d];
            }
            if (o->has_origin) base = o->origin_um[d];
            l[i].spacing_um[d] = spacing;
            l[i].origin_um[d] = base + (o->ignore_offsets ? 0 : shift);
        }
}

static bool place(clm_image *im, const clm_scales *s, const clm_image_options *o, clm_err *err) {
    clm_image_info *info = &im->info;
    bool known = true;
    for (int i = 0; i < s->n; i++) {
        clm_image_level *l = &info->level[i];
        known = known && s->level[i].known;
        (void)snprintf(l->path, sizeof l->path, "%s", s->level[i].path);
        memcpy(l->spacing_um, s->level[i].spacing, sizeof l->spacing_um);
        memcpy(l->origin_um, s->level[i].origin, sizeof l->origin_um);
        for (int d = 0; s->level[i].known && d < 3; d++)
            if (!(l->spacing_um[d] > 0 && isfinite(l->spacing_um[d]) && isfinite(l->origin_um[d])))
                return clm_fail(err, CLM_E_FORMAT, "%s: spacing %g, origin %g micrometres", s->dialect,
                                l->spacing_um[d], l->origin_um[d]);
    }
    if (s->no_length[0] && !o->has_spacing)
        return clm_fail(err, CLM_E_ARG, "unit %s is no length; give %s z,y,x in micrometres", s->no_length,
                        o->option ? o->option : "--fixed-spacing");
    if (!known && !o->has_spacing)
        return clm_fail(
            err, CLM_E_ARG,
            "no spacing in its metadata (pixelResolution, resolution, transform or coordinateTransformations); "
            "give %s z,y,x in micrometres",
            o->option ? o->option : "--fixed-spacing");
    for (int d = 0; o->has_spacing && d < 3; d++)
        if (!(o->spacing_um[d] > 0 && o->spacing_um[d] < 1e9))
            return clm_fail(err, CLM_E_ARG, "spacing %g micrometres", o->spacing_um[d]);
    override(info, o, known);
    for (int i = 0; o->has_spacing && i < s->n; i++)
        for (int d = 0; d < 3; d++)
            if (!isfinite(info->level[i].spacing_um[d]) || !isfinite(info->level[i].origin_um[d]))
                return clm_fail(err, CLM_E_FORMAT, "%s: the levels' factors are no numbers",
                                info->level[i].path);
    (void)snprintf(info->dialect, sizeof info->dialect, "%s", o->has_spacing ? "given" : s->dialect);
    (void)snprintf(info->unit, sizeof info->unit, "%s", o->has_spacing ? "um" : s->unit);
    return true;
}

/* Levels fine to coarse, whatever order the metadata list them in. */
static void sort_levels(clm_image *im) {
    for (int i = 1; i < im->info.n_levels; i++)
        for (int k = i; k > 0; k--) {
            const double *a = im->info.level[k - 1].spacing_um, *b = im->info.level[k].spacing_um;
            if (a[0] * a[1] * a[2] <= b[0] * b[1] * b[2]) break;
            clm_image_level l = im->info.level[k];
            clm_array *t = im->array[k];
            im->info.level[k] = im->info.level[k - 1];
            im->array[k] = im->array[k - 1];
            im->info.level[k - 1] = l;
            im->array[k - 1] = t;
        }
}

static bool open_levels(clm_image *im, const clm_scales *s, const char *path, clm_err *err) {
    for (int i = 0; i < s->n; i++) {
        char child[CLM_PATH_MAX];
        bool ok = s->level[i].path[0] ? clm_path_join(child, path, s->level[i].path, err)
                                      : clm_path_format(child, err, "%s", path);
        if (!ok || !clm_array_open(child, &im->array[i], err)) return false;
        const clm_array_info *a = clm_array_info_of(im->array[i]), *first = clm_array_info_of(im->array[0]);
        if (a->ndim != first->ndim || a->dtype != first->dtype)
            return clm_fail(err, CLM_E_FORMAT, "%s: %d-D %s, the first level is %d-D %s", child, a->ndim,
                            clm_dtype_name(a->dtype), first->ndim, clm_dtype_name(first->dtype));
    }
    im->info.n_levels = s->n;
    im->info.dtype = clm_array_info_of(im->array[0])->dtype;
    if (clm_dtype_is_real(im->info.dtype) || im->info.dtype == CLM_BOOL) return true;
    return clm_fail(err, CLM_E_UNSUPPORTED, "voxels of type %s: info, validate and dump only",
                    clm_dtype_name(im->info.dtype));
}

static bool set_shapes(clm_image *im, clm_err *err) {
    for (int i = 0; i < im->info.n_levels; i++)
        for (int d = 0; d < 3; d++) {
            const clm_array_info *a = clm_array_info_of(im->array[i]);
            im->info.level[i].shape[d] = a->shape[im->axis[d]];
            if (im->info.level[i].shape[d] < 1)
                return clm_fail(err, CLM_E_FORMAT, "shape %s: no voxels", clm_index_say(a->ndim, a->shape).s);
        }
    return true;
}

/* What a file format that knows geometry says of its arrays: one, or the levels of a pyramid. */
static bool scales_of_file(clm_image *im, clm_scales *s, bool given, clm_err *err) {
    for (int i = 0; i < s->n; i++) {
        const clm_place *p = im->array[i]->place;
        if (!p) continue;
        memcpy(s->level[i].spacing, p->spacing_um, sizeof p->spacing_um); /* a problem: at best factors */
        if (p->problem[0] && given) continue;
        bool oblique = strstr(p->problem, "oblique") != NULL;
        if (p->problem[0]) return clm_fail(err, oblique ? CLM_E_UNSUPPORTED : CLM_E_ARG, "%s", p->problem);
        if (given && s->n == 1) return true;
        s->ndim = im->array[i]->info.ndim;
        s->channel_axis = p->channel_axis;
        s->time_axis = p->time_axis;
        s->level[i].known = true;
        for (int d = 0; d < 3; d++) {
            s->axis[d] = p->axis[d];
            im->flip[d] = p->flip[d];
            s->level[i].spacing[d] = p->spacing_um[d];
            s->level[i].origin[d] = p->origin_um[d];
        }
        memcpy(s->dialect, p->dialect, sizeof s->dialect);
        memcpy(s->unit, p->unit, sizeof s->unit);
    }
    return true;
}

/* A folder of N5 or Zarr: its metadata say the levels. */
static bool scales_of_folder(const char *path, const clm_image_options *o, clm_scales *s, clm_err *err) {
    bool array = clm_node_is_array(clm_node_kind_of(path));
    if (array ? scales_of_array(path, s, err) : scales_of_group(path, s, err)) return true;
    /* metadata that make no sense do not matter when the caller says better, if this is one array */
    if (array && o->has_spacing && err->code == CLM_E_ARG) {
        *s = (clm_scales){.n = 1};
        return true;
    }
    return err->code == CLM_E_ARG ? clm_err_in(err, "no usable spacing; give %s z,y,x in micrometres",
                                               o->option ? o->option : "--fixed-spacing")
                                  : false;
}

static bool open_at(clm_image *im, const char *path, const clm_image_options *o, clm_err *err) {
    clm_scales s = {.n = 1};
    bool folder = clm_path_kind_of(path) == CLM_PATH_FOLDER;
    if (folder && !scales_of_folder(path, o, &s, err)) return false;
    bool pyramid = !folder && clm_path_kind_of(path) != CLM_PATH_OTHER;
    if (pyramid && !clm_scales_of_pyramid_file(path, o->time, o->channel, &s, err)) return false;
    clm_image_options chosen = *o; /* a pyramid's datasets are of one channel and time already */
    if (pyramid && s.n > 0) chosen.channel = chosen.time = -1;
    if (s.n == 0) s.n = 1;
    if (!open_levels(im, &s, path, err)) return false;
    if (!folder && !scales_of_file(im, &s, o->has_spacing, err)) return false;
    if (!set_axes(im, &s, &chosen, err) || !set_shapes(im, err) || !place(im, &s, o, err)) return false;
    sort_levels(im);
    const clm_place *p = im->array[0]->place;
    im->info.scaled = p && (p->slope != 1 || p->inter != 0);
    return true;
}

/* "dataset.xml" or "dataset.xml/setup1/timepoint0": the XML of BigDataViewer and what is asked of it. */
static bool is_xml(const char *uri, char xml[CLM_PATH_MAX], const char **inside) {
    for (const char *p = strstr(uri, ".xml"); p; p = strstr(p + 1, ".xml")) {
        if (p[4] && p[4] != '/') continue;
        (void)snprintf(xml, CLM_PATH_MAX, "%.*s", (int)(p + 4 - uri), uri);
        *inside = p[4] ? p + 5 : p + 4;
        if (clm_path_kind_of(xml) == CLM_PATH_FILE) return true;
    }
    return false;
}

static bool which_view(const char *inside, int64_t *setup, int64_t *time, clm_err *err) {
    char name[2][32] = {"", ""};
    const char *slash = strchr(inside, '/');
    (void)snprintf(name[0], sizeof name[0], "%.*s", (int)strcspn(inside, "/"), inside);
    if (slash) (void)snprintf(name[1], sizeof name[1], "%s", slash + 1);
    bool ok =
        !name[0][0] || (clm_text_begins(name[0], "setup") && clm_text_int(name[0] + 5, setup) && *setup >= 0);
    if (ok && name[1][0])
        ok = clm_text_begins(name[1], "timepoint") && clm_text_int(name[1] + 9, time) && *time >= 0;
    return ok || clm_fail(err, CLM_E_NOTFOUND, "\"%s\": want setupN or setupN/timepointM", inside);
}

/* The container that the XML names, placed as the XML says. */
static bool open_xml(clm_image *im, const char *xml, const char *inside, const clm_image_options *o,
                     clm_err *err) {
    clm_buf text = {0};
    clm_bdv_view v;
    char path[CLM_PATH_MAX];
    int64_t setup = -1, time = o->time;
    bool ok = which_view(inside, &setup, &time, err) && clm_file_read(xml, (size_t)256 << 20, &text, err) &&
              clm_bdv_view_of((const char *)text.data, text.n, setup, time, &v, err);
    clm_buf_free(&text);
    if (!ok || !clm_path_format(path, err, "%.*s%s", (int)(clm_path_name(xml) - xml), xml, v.path))
        return false;
    clm_image_options c = *o;
    if (v.channel_index >= 0) c.channel = v.channel_index;
    c.time = v.time_index;
    if (!o->has_spacing) {
        if (v.problem[0])
            return clm_fail(err, CLM_E_ARG, "setup %lld, time point %lld: %s; give %s z,y,x in micrometres",
                            (long long)v.setup, (long long)v.time, v.problem,
                            o->option ? o->option : "--fixed-spacing");
        c.has_spacing = true;
        memcpy(c.spacing_um, v.spacing_um, sizeof c.spacing_um);
        if (!o->has_origin) memcpy(c.origin_um, v.origin_um, sizeof c.origin_um);
        c.has_origin = true;
    }
    if (!open_at(im, path, &c, err)) return strstr(err->text, path) ? false : clm_err_in(err, "%s", path);
    if (o->has_spacing) return true;
    (void)snprintf(im->info.dialect, sizeof im->info.dialect, "BigDataViewer XML");
    (void)snprintf(im->info.unit, sizeof im->info.unit, "%s", v.unit);
    return true;
}

bool clm_image_open(const char *uri, const clm_image_options *options, clm_image **out, clm_err *err) {
    clm_image_options o = options ? *options : CLM_IMAGE_DEFAULTS;
    *out = NULL;
    clm_image *im = clm_heap_new(1, sizeof *im, err);
    if (!im) return false;
    bool ok = o.dataset && o.dataset[0] ? clm_path_join(im->uri, uri, o.dataset, err)
                                        : clm_path_format(im->uri, err, "%s", uri);
    size_t n = strlen(im->uri);
    while (n > 1 && im->uri[n - 1] == '/') im->uri[--n] = 0;
    char xml[CLM_PATH_MAX];
    const char *view;
    if (ok &&
        (is_xml(im->uri, xml, &view) ? open_xml(im, xml, view, &o, err) : open_at(im, im->uri, &o, err))) {
        *out = im;
        return true;
    }
    if (ok && !strstr(err->text, im->uri)) (void)clm_err_in(err, "%s", im->uri);
    clm_image_close(im);
    return false;
}

/* ---- reading ---- */

/* A piece on the image's own axes. */
typedef struct part {
    const unsigned char *data; /* element at lo */
    int64_t lo[3], hi[3], stride[3];
} part;

static part part_of(const clm_image *im, const clm_array *a, const clm_piece *p) {
    part k = {.data = p->data};
    for (int d = 0; d < 3; d++) {
        int axis = im->axis[d];
        int64_t n = a->info.shape[axis], extent = p->hi[axis] - p->lo[axis];
        k.lo[d] = im->flip[d] ? n - p->hi[axis] : p->lo[axis];
        k.hi[d] = k.lo[d] + extent;
        k.stride[d] = im->flip[d] ? -p->stride[axis] : p->stride[axis];
        if (im->flip[d] && p->data) k.data += (extent - 1) * p->stride[axis] * (int64_t)a->size;
    }
    return k;
}

typedef struct target {
    const clm_image *im;
    clm_box box;
    clm_vol *vol;
    clm_scratch *scratch;
} target;

/* One decoded chunk's part into float32 rows; other byte orders and strides go through a row buffer. */
static bool convert(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err) {
    const target *t = ctx;
    part k = part_of(t->im, a, p);
    clm_dtype type = a->info.dtype == CLM_BOOL ? CLM_U8 : a->info.dtype;
    int64_t n = k.hi[2] - k.lo[2], step = k.stride[2];
    bool direct = k.data && step == 1 && !p->swap;
    bool scaled = a->place && (a->place->slope != 1 || a->place->inter != 0);
    float blank = 0;
    if (!k.data) clm_dtype_to_f32(type, a->info.fill, &blank, 1);
    if (!direct && k.data && !clm_buf_reserve(&t->scratch->row, (size_t)n * a->size, err)) return false;
    for (int64_t z = k.lo[0]; z < k.hi[0]; z++)
        for (int64_t y = k.lo[1]; y < k.hi[1]; y++) {
            float *row = clm_vol_row(t->vol, z - t->box.lo[0], y - t->box.lo[1]) + (k.lo[2] - t->box.lo[2]);
            if (!k.data) {
                for (int64_t i = 0; i < n; i++) row[i] = blank;
                continue;
            }
            int64_t offset = (z - k.lo[0]) * k.stride[0] + (y - k.lo[1]) * k.stride[1];
            const unsigned char *src = k.data + offset * (int64_t)a->size;
            if (!direct) {
                clm_copy_block(1, &n, src, &step, t->scratch->row.data, (const int64_t[]){1}, a->size,
                               a->unit, p->swap);
                src = t->scratch->row.data;
            }
            clm_dtype_to_f32(type, src, row, n);
            for (int64_t i = 0; scaled && i < n; i++)
                row[i] = (float)(a->place->slope * (double)row[i] + a->place->inter);
        }
    return true;
}

/* A channel and a time point; -1: what was chosen at opening. */
typedef struct pick {
    int64_t channel, time;
} pick;
static const pick as_opened = {-1, -1};

static bool range_of(const clm_image *im, int level, pick k, clm_box box, int64_t lo[], int64_t hi[],
                     clm_err *err) {
    if (level < 0 || level >= im->info.n_levels)
        return clm_fail(err, CLM_E_ARG, "%s: no level %d", im->uri, level);
    const clm_array_info *a = clm_array_info_of(im->array[level]);
    if ((k.channel > 0 && k.channel >= im->info.channels) || (k.time > 0 && k.time >= im->info.times))
        return clm_fail(err, CLM_E_ARG, "%s: no channel %lld or no time point %lld", im->uri,
                        (long long)k.channel, (long long)k.time);
    for (int d = 0; d < a->ndim; d++) {
        lo[d] = d == im->channel_axis && k.channel >= 0 ? k.channel
                : d == im->time_axis && k.time >= 0     ? k.time
                                                        : im->fixed[d];
        hi[d] = lo[d] + 1;
    }
    for (int d = 0; d < 3; d++) {
        int64_t n = a->shape[im->axis[d]];
        lo[im->axis[d]] = im->flip[d] ? n - box.hi[d] : box.lo[d];
        hi[im->axis[d]] = im->flip[d] ? n - box.lo[d] : box.hi[d];
    }
    return true;
}

static bool read_f32(const clm_image *im, int level, pick k, clm_box box, clm_vol *dst, clm_err *err) {
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
    target t = {.im = im, .box = box, .vol = dst, .scratch = clm_scratch_mine(err)};
    if (!t.scratch || !range_of(im, level, k, box, lo, hi, err)) return false;
    const clm_image_level *l = &im->info.level[level];
    for (int d = 0; d < 3; d++) {
        if (dst->shape[d] != box.hi[d] - box.lo[d])
            return clm_fail(err, CLM_E_ARG, "volume and box differ in shape");
        dst->spacing[d] = l->spacing_um[d];
        dst->origin[d] = l->origin_um[d] + l->spacing_um[d] * (double)box.lo[d];
    }
    return clm_array_each(im->array[level], lo, hi, convert, NULL, &t, 1, err);
}

/* Axes in another order than z y x: piece by piece into place. */
static bool reorder(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err) {
    const target *t = ctx;
    (void)err;
    part k = part_of(t->im, a, p);
    int64_t extent[3], to[3], shape[3], offset = 0;
    for (int d = 0; d < 3; d++) shape[d] = t->box.hi[d] - t->box.lo[d];
    (void)clm_strides(3, shape, to);
    for (int d = 0; d < 3; d++) {
        extent[d] = k.hi[d] - k.lo[d];
        offset += (k.lo[d] - t->box.lo[d]) * to[d];
    }
    unsigned char *dst = (unsigned char *)t->vol->data + offset * (int64_t)a->size;
    if (k.data)
        clm_copy_block(3, extent, k.data, k.stride, dst, to, a->size, a->unit, p->swap);
    else
        clm_fill_block(3, extent, dst, to, a->info.fill, a->size);
    return true;
}

static bool read_raw(const clm_image *im, int level, pick k, clm_box box, void *dst, clm_err *err) {
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
    if (!range_of(im, level, k, box, lo, hi, err)) return false;
    bool flipped = im->flip[0] || im->flip[1] || im->flip[2];
    if (!flipped && im->axis[0] < im->axis[1] && im->axis[1] < im->axis[2])
        return clm_array_read(im->array[level], lo, hi, dst, err);
    clm_vol v = {.data = dst};
    target t = {.im = im, .box = box, .vol = &v};
    return clm_array_each(im->array[level], lo, hi, reorder, NULL, &t, 1, err);
}

bool clm_image_read(const clm_image *im, int level, clm_box box, clm_vol *dst, clm_err *err) {
    return read_f32(im, level, as_opened, box, dst, err);
}

bool clm_image_read_raw(const clm_image *im, int level, clm_box box, void *dst, clm_err *err) {
    return read_raw(im, level, as_opened, box, dst, err);
}

bool clm_image_read_part(const clm_image *im, int level, int64_t channel, int64_t time, clm_box box,
                         clm_vol *dst, clm_err *err) {
    return read_f32(im, level, (pick){channel, time}, box, dst, err);
}

bool clm_image_read_part_raw(const clm_image *im, int level, int64_t channel, int64_t time, clm_box box,
                             void *dst, clm_err *err) {
    return read_raw(im, level, (pick){channel, time}, box, dst, err);
}
