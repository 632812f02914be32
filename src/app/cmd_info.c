#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/app/describe.h"

#include <stdio.h>

static const char help[] =
    "Usage: collimate info PATH [DATASET] [--json]\n\n"
    "What is this array or pyramid: format, shape, chunks, shards, type, codec, spacing, origin, unit, levels. Axes are\n"
    "z y x (slowest first) whatever the format stores; spacing and origin are micrometres.\n\n"
    "Examples:\n"
    "  collimate info volume.n5/lowres\n"
    "  collimate info scan.ome.zarr --json\n";

static bool show(const char *path, bool json, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    bool ok = clm_describe(path, &v, err) &&
              (json ? clm_json_print(v, true, &b, err) : clm_describe_text(v, &b, err));
    if (ok) (void)fwrite(b.data, 1, b.n, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

int clm_cmd_info(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    bool json = false;
    char path[CLM_PATH_MAX];
    clm_args args;
    const clm_arg table[] = {CLM_OPT("json", ON, &json), CLM_OPT_END};
    bool ok = clm_args_parse(argc, argv, table, 0, &args, &err);
    if (ok && args.help) return clm_launch_help(help);
    if (ok && (args.n_rest < 1 || args.n_rest > 2))
        ok = clm_fail(&err, CLM_E_ARG, "wants PATH, and DATASET where PATH holds several; see --help");
    ok = ok && clm_path_join(path, args.rest[0], args.n_rest == 2 ? args.rest[1] : "", &err) &&
         show(path, json, &err);
    return ok ? CLM_EXIT_DONE : clm_command_fails("info", &err);
}
