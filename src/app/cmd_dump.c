#include "collimate/app/commands.h"
#include "collimate/base/text.h"
#include "collimate/store/array.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: collimate dump PATH [DATASET]\n\n"
    "Write the whole array to standard output as raw bytes: C order (last axis fastest), little-endian,\n"
    "in the array's own type. Memory stays bounded whatever the size.\n\n"
    "  PATH     an array, or the container that holds DATASET\n"
    "  DATASET  path inside the container, e.g. volumes/raw/s0\n\n"
    "Examples:\n"
    "  collimate dump volume.n5/lowres | sha256sum\n"
    "  collimate dump scan.zarr 0 > scan.raw\n";

int clm_cmd_dump(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        (void)fputs(help, stderr);
        return CLM_EXIT_USAGE;
    }
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    (void)signal(SIGPIPE, SIG_IGN); /* `dump | head` ends with a line, not by a signal */
    bool ok = clm_path_join(path, argv[1], argc == 3 ? argv[2] : "", &err) &&
              clm_array_open(path, &a, &err) && clm_array_dump(a, STDOUT_FILENO, 0, &err);
    clm_array_close(a);
    return ok ? CLM_EXIT_DONE : clm_command_fails("dump", &err);
}
