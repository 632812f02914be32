#include "collimate/app/commands.h"
#include "collimate/base/text.h"
#include "collimate/store/describe.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate info PATH [DATASET] [--json]\n\n"
    "What is this array or pyramid: format, shape, chunks, type, codec, spacing, origin, unit, levels. Axes are\n"
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
