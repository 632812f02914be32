#include "collimate/app/commands.h"
#include "collimate/app/each.h"
#include "collimate/base/text.h"
#include "collimate/store/array.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
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
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    const char *names[2] = {NULL, ""};
    int64_t threads = 0;
    int n = 0;
    bool good = true;
    for (int i = 1; good && i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0)
            good = ++i < argc && clm_text_int(argv[i], &threads) && threads >= 1 && threads <= 256;
        else if ((good = argv[i][0] != '-' && n < 2))
            names[n++] = argv[i];
    }
    if (!good || n < 1) {
        (void)fputs(help, stderr);
        return CLM_EXIT_USAGE;
    }
    char path[CLM_PATH_MAX];
    clm_array *a = NULL;
    (void)signal(SIGPIPE, SIG_IGN); /* `dump | head` ends with a line, not by a signal */
    bool ok = clm_path_join(path, names[0], names[1], &err) && clm_array_open(path, &a, &err) &&
              clm_array_dump(a, STDOUT_FILENO, 0, clm_each_threads((int)threads), &err);
    clm_array_close(a);
    return ok ? CLM_EXIT_DONE : clm_command_fails("dump", &err);
}
