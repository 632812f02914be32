#include "collimate/app/commands.h"
#include "collimate/base/json.h"
#include "collimate/transform/graph.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate transform-points STORE SOURCE TARGET POINTS\n\n"
    "Points of one coordinate system of an OME-Zarr 0.6 store in another: the way through its transformations is\n"
    "found, forwards or backwards. Prints {\"coordinates\": [[...], ...]}, or {\"message\": ...} and an exit code above 0.\n\n"
    "  STORE    a Zarr hierarchy with a scene, or an image; or its zarr.json\n"
    "  SOURCE   NAME of a coordinate system; PATH#NAME where several have that name; or the PATH of an image (its\n"
    "  TARGET   physical system) or of an array in it (its indices)\n"
    "  POINTS   a JSON list of points, each as many numbers as SOURCE has axes, in their order and units; - reads it\n"
    "           from standard input\n\n"
    "Fields keep their border's value beyond their nodes. What is solved backwards is exact to 1e-9 of the numbers.\n\n"
    "Examples:\n"
    "  collimate transform-points out/transform.ome.zarr fixed moving '[[10, 20.5, 3]]'\n"
    "  collimate transform-points scene.zarr 'moving#physical' fixed/s0 '[[1, 2, 3], [4, 5, 6]]'\n";

#define TEXT_BYTES_MAX ((size_t)1 << 30)
#define READ_BYTES ((size_t)1 << 16)

static bool read_points(const char *text, clm_json **out, clm_err *err) {
    clm_buf b = {0};
    if (strcmp(text, "-") != 0) return clm_json_parse(text, strlen(text), "POINTS", out, err);
    bool ok = true;
    size_t n = 1;
    while (ok && n > 0) {
        if (b.n + READ_BYTES > b.cap) ok = clm_buf_reserve(&b, 2 * b.n + READ_BYTES, err);
        if (!ok) break;
        n = fread(b.data + b.n, 1, READ_BYTES, stdin);
        b.n += n;
        if (b.n > TEXT_BYTES_MAX) ok = clm_fail(err, CLM_E_ARG, "POINTS: more than 1 GiB");
    }
    if (ok && ferror(stdin)) ok = clm_fail_os(err, CLM_E_IO, "POINTS: standard input");
    ok = ok && clm_json_parse(b.data, b.n, "POINTS", out, err);
    clm_buf_free(&b);
    return ok;
}

static bool transform(const clm_graph *s, const clm_route *r, const clm_json *points, clm_json *list,
                      clm_err *err) {
    int n_in = clm_route_in(s, r), i = 0;
    if (clm_json_kind_of(points) != CLM_JSON_LIST)
        return clm_fail(err, CLM_E_ARG, "POINTS: must be a list of points, [[...], ...]");
    for (const clm_json *k = clm_json_first(points); k; k = clm_json_next(k), i++) {
        double x[CLM_DIMS_MAX] = {0};
        int64_t n = clm_json_size(k);
        if (clm_json_kind_of(k) != CLM_JSON_LIST || n < 1 || n > CLM_DIMS_MAX || (n_in >= 0 && n != n_in) ||
            !clm_json_numbers(k, n, x))
            return clm_fail(err, CLM_E_ARG, "POINTS: point %d must be a list of %d numbers", i,
                            n_in >= 0 ? n_in : CLM_DIMS_MAX);
        if (!clm_route_apply(r, x, err)) return clm_err_in(err, "point %d", i);
        clm_json_add_numbers(list, NULL, x, clm_route_out(s, r, (int)n));
    }
    return true;
}

static bool run(char **argv, clm_buf *b, clm_err *err) {
    clm_graph *s = NULL;
    clm_json *points = NULL, *out = clm_json_new_object(err);
    int from, to;
    clm_route way;
    bool ok = out && read_points(argv[3], &points, err) && clm_graph_open(argv[0], NULL, &s, err) &&
              clm_graph_find(s, argv[1], &from, err) && clm_graph_find(s, argv[2], &to, err) &&
              clm_graph_route(s, from, to, &way, err) &&
              transform(s, &way, points, clm_json_add_list(out, "coordinates"), err) &&
              clm_json_print(out, false, b, err);
    clm_json_free(points);
    clm_json_free(out);
    clm_graph_close(s);
    return ok;
}

/* the same for whoever reads standard output alone */
static void tell(const char *text, clm_buf *b) {
    clm_err none = CLM_ERR_NONE;
    clm_json *v = clm_json_new_object(&none);
    clm_json_add_text(v, "message", text);
    b->n = 0;
    if (v && clm_json_print(v, false, b, &none)) (void)fwrite(b->data, 1, b->n, stdout);
    clm_json_free(v);
}

int clm_cmd_transform_points(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    if (argc != 5) {
        (void)fputs(help, stderr);
        return CLM_EXIT_USAGE;
    }
    int code = CLM_EXIT_DONE;
    if (run(argv + 1, &b, &err)) {
        (void)fwrite(b.data, 1, b.n, stdout);
    } else {
        tell(err.text, &b);
        code = clm_command_fails("transform-points", &err);
    }
    clm_buf_free(&b);
    return code;
}
