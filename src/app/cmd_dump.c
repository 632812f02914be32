#include "collimate/app/commands.h"
#include "collimate/app/each.h"
#include "collimate/app/launch.h"
#include "collimate/store/array.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "Usage: collimate dump PATH [DATASET] [--threads N]\n\n"
    "Write the whole array to standard output as raw bytes: C order (last axis fastest), little-endian,\n"
    "in the array's own type. Memory stays bounded whatever the size.\n\n"
    "  PATH     an array, or the container that holds DATASET\n"
    "  DATASET  path inside the container, e.g. volumes/raw/s0\n"
    "  --threads N  that read and decode (default: all cores this process may use)\n\n"
    "Examples:\n"
    "  collimate dump volume.n5/lowres | sha256sum\n"
    "  collimate dump scan.zarr 0 > scan.raw\n";

int clm_cmd_dump(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    int64_t threads = 0;
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    clm_args args;
    const clm_arg table[] = {CLM_OPT("threads", WHOLE, &threads, .least = 1, .most = 256), CLM_OPT_END};
    bool ok = clm_args_parse(argc, argv, table, 0, &args, &err);
    if (ok && args.help) return clm_launch_help(help);
    if (ok && (args.n_rest < 1 || args.n_rest > 2))
        ok = clm_fail(&err, CLM_E_ARG, "wants PATH, and DATASET where PATH holds several; see --help");
    (void)signal(SIGPIPE, SIG_IGN); /* `dump | head` ends with a line, not by a signal */
    ok = ok && clm_path_join(path, args.rest[0], args.n_rest == 2 ? args.rest[1] : "", &err) &&
         clm_array_open(path, &a, &err) &&
         clm_array_dump(a, STDOUT_FILENO, 0, clm_each_threads((int)threads), &err);
    clm_array_close(a);
    return ok ? CLM_EXIT_DONE : clm_command_fails("dump", &err);
}
