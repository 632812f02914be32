#include "collimate/app/commands.h"
#include "collimate/base/heap.h"
#include "collimate/base/log.h"
#include "collimate/base/text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} command;

static const command commands[] = {
    {"phantom", clm_cmd_phantom,
     "make a microscopy-like pair with a known warp, or check a result against it"},
    {"info", clm_cmd_info, "what is this array: format, shape, spacing, origin, unit, pyramid, codec"},
    {"apply", clm_cmd_apply, "a transform on another channel, a label volume, another resolution"},
    {"points", clm_cmd_points, "a table of points through a transform, forward or inverse"},
    {"transform-points", clm_cmd_transform_points,
     "points from one coordinate system of an OME-Zarr 0.6 store to another, as JSON"},
    {"compose", clm_cmd_compose, "a chain of transforms as one transform"},
    {"invert", clm_cmd_invert, "the inverse of a transform, with its residual"},
    {"halfway", clm_cmd_halfway, "half of a transform, or another part of its way"},
    {"landmarks", clm_cmd_landmarks, "a transform from pairs of points, and how far each lies off"},
    {"plan", clm_cmd_plan, "blocks, memory and bytes of a job; runs nothing"},
    {"align", clm_cmd_align, "align the moving image to the fixed one (under mpirun, or alone)"},
    {"status", clm_cmd_status, "how far a run is and what failed; works while it runs"},
    {"evaluate", clm_cmd_evaluate,
     "how good a transform or an aligned volume is: correlation, landmarks, labels, Jacobian, seams"},
    {"report", clm_cmd_report, "a page about a finished run: figures, pictures, failed blocks"},
    {"dump", clm_cmd_dump, "a whole array as raw C-order little-endian bytes on stdout"},
    {"convert", clm_cmd_convert,
     "any image that is read into OME-Zarr, N5, NIfTI or NRRD (under mpirun, or alone)"},
    {"validate", clm_cmd_validate, "is this well formed; says where not"},
};
#define COMMAND_COUNT ((int)(sizeof commands / sizeof commands[0]))

static void print_help(FILE *to) {
    (void)fprintf(to, "Usage: collimate COMMAND [OPTIONS]\n\n"
                      "Align (register) chunked volumes of any size: N5 and OME-Zarr in, OME-Zarr out.\n\n"
                      "Commands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(to, "  %-16s %s\n", commands[i].name, commands[i].summary);
    (void)fprintf(
        to,
        "\nOptions:\n"
        "  --help     this text; after a command, that command's own\n"
        "  --version  the version\n\n"
        "Examples:\n"
        "  collimate phantom demo\n"
        "  mpirun -n 2 collimate align --fixed demo/fixed.ome.zarr --moving demo/moving.n5 --out demo/out\n"
        "  collimate info volume.n5/lowres\n\n"
        "Exit codes: 0 done; 1 done, but blocks failed; 2 usage or configuration; 3 input unreadable or\n"
        "unusable; 4 output cannot be written; 5 interrupted, the same command resumes.\n");
}

static int run(int argc, char **argv) {
    clm_log_setup(CLM_LOG_INFO, -1);
    clm_heap_setup();
    if (argc < 2) {
        print_help(stderr);
        return CLM_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLM_EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("collimate %s\n", CLM_VERSION);
        return CLM_EXIT_DONE;
    }
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], names[i]) == 0) return commands[i].run(argc - 1, argv + 1);
    }
    const char *near = clm_text_nearest(argv[1], names, COMMAND_COUNT);
    (void)fprintf(stderr, "collimate: unknown command \"%s\"%s%s%s; see collimate --help\n", argv[1],
                  near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return CLM_EXIT_USAGE;
}

int main(int argc, char **argv) {
    (void)signal(SIGXFSZ, SIG_IGN); /* a file past ulimit -f is a failed write, as on a full disk */
    int code = run(argc, argv);
    /* what was printed may be what is wanted: evaluate --json >FILE */
    if ((fflush(stdout) == 0 && !ferror(stdout)) || code > CLM_EXIT_BLOCKS_FAILED) return code;
    (void)fprintf(stderr, "collimate %s: standard output cannot be written\n", argv[1]);
    return CLM_EXIT_OUTPUT;
}
