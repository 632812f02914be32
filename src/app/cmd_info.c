#include "collimate/app/commands.h"
#include "collimate/base/json.h"
#include "collimate/base/text.h"
#include "collimate/store/image.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate info PATH [DATASET] [--json]\n\n"
    "What is this array or pyramid: format, shape, chunks, type, codec, spacing, origin, unit, levels. Axes are\n"
    "z y x (slowest first) whatever the format stores; spacing and origin are micrometres.\n\n"
    "Examples:\n"
    "  collimate info volume.n5/lowres\n"
    "  collimate info scan.ome.zarr --json\n";

static void print_list(const char *name, const int64_t *v, int n) {
    (void)printf("  %-9s", name);
    for (int d = 0; d < n; d++) (void)printf("%s%lld", d ? " x " : "", (long long)v[d]);
    (void)printf("\n");
}

static void print_array(const clm_array *a) {
    const clm_array_info *i = clm_array_info_of(a);
    double bytes = (double)clm_dtype_size(i->dtype);
    for (int d = 0; d < i->ndim; d++) bytes *= (double)i->shape[d];
    (void)printf("  %-9s%s\n", "format", i->format);
    print_list("shape", i->shape, i->ndim);
    print_list("chunk", i->chunk, i->ndim);
    if (memcmp(i->chunk, i->inner, sizeof i->chunk) != 0) print_list("inner", i->inner, i->ndim);
    (void)printf("  %-9s%s\n  %-9s%s\n  %-9s%s raw\n", "type", clm_dtype_name(i->dtype), "codec", i->codec, "size",
                 clm_text_bytes(bytes).s);
}

static void print_image(const clm_image *image) {
    const clm_image_info *i = clm_image_info_of(image);
    (void)printf("  %-9s%s, unit \"%s\"\n", "spacing", i->dialect, i->unit);
    if (i->channels > 1 || i->times > 1)
        (void)printf("  %-9s%lld channels, %lld times\n", "axes", (long long)i->channels, (long long)i->times);
    for (int k = 0; k < i->n_levels; k++) {
        const clm_image_level *l = &i->level[k];
        (void)printf("  level %-3d%lld x %lld x %lld voxels of %.6g x %.6g x %.6g um, origin %.6g %.6g %.6g um%s%s\n", k,
                     (long long)l->shape[0], (long long)l->shape[1], (long long)l->shape[2], l->spacing_um[0],
                     l->spacing_um[1], l->spacing_um[2], l->origin_um[0], l->origin_um[1], l->origin_um[2],
                     l->path[0] ? "  " : "", l->path);
    }
}

static bool print_json(const clm_array *a, const clm_image *image, clm_err *err) {
    const clm_array_info *i = clm_array_info_of(a);
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json_add_text(v, "format", i->format);
    clm_json_add_text(v, "type", clm_dtype_name(i->dtype));
    clm_json_add_text(v, "codec", i->codec);
    clm_json_add_ints(v, "shape", i->shape, i->ndim);
    clm_json_add_ints(v, "chunk", i->chunk, i->ndim);
    if (image) {
        const clm_image_info *m = clm_image_info_of(image);
        clm_json_add_text(v, "dialect", m->dialect);
        clm_json_add_text(v, "unit", m->unit);
        clm_json *levels = clm_json_add_list(v, "levels");
        for (int k = 0; k < m->n_levels; k++) {
            clm_json *e = clm_json_add_object(levels, NULL);
            clm_json_add_text(e, "path", m->level[k].path);
            clm_json_add_ints(e, "shape_zyx", m->level[k].shape, 3);
            clm_json_add_numbers(e, "spacing_um_zyx", m->level[k].spacing_um, 3);
            clm_json_add_numbers(e, "origin_um_zyx", m->level[k].origin_um, 3);
        }
    }
    bool ok = clm_json_print(v, true, &b, err);
    if (ok) (void)fputs((const char *)b.data, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

/* a pyramid, or an array that is an image, or any array */
static bool show(const char *path, bool json, clm_err *err) {
    clm_image *image = NULL;
    clm_array *alone = NULL;
    clm_err why = CLM_ERR_NONE;
    clm_image_options o = CLM_IMAGE_DEFAULTS;
    o.channel = o.time = 0; /* nothing is read: any will do */
    bool is_image = clm_image_open(path, &o, &image, &why);
    bool ok = is_image || clm_array_open(path, &alone, err);
    if (!ok && why.code != CLM_E_NOTFOUND && err->code == CLM_E_FORMAT) *err = why;
    const clm_array *a = !ok ? NULL : is_image ? clm_image_array_of(image, 0) : alone;
    if (ok && json) ok = print_json(a, image, err);
    if (ok && !json) {
        (void)printf("%s\n", path);
        print_array(a);
        if (is_image)
            print_image(image);
        else
            (void)printf("  %-9s%s\n", "image", why.text);
    }
    clm_image_close(image);
    clm_array_close(alone);
    return ok;
}

int clm_cmd_info(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    bool json = false;
    const char *names[2] = {NULL, NULL};
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(help, stdout);
            return CLM_EXIT_DONE;
        } else if (argv[i][0] == '-' || n == 2) {
            (void)fputs(help, stderr);
            return CLM_EXIT_USAGE;
        } else {
            names[n++] = argv[i];
        }
    }
    if (!n) {
        (void)fputs(help, stderr);
        return CLM_EXIT_USAGE;
    }
    char path[CLM_PATH_MAX];
    bool ok = clm_path_join(path, names[0], n == 2 ? names[1] : "", &err) && show(path, json, &err);
    return ok ? CLM_EXIT_DONE : clm_command_fails("info", &err);
}
