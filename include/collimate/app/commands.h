/* The commands of the program. Each takes its own argc, argv (argv[0] is the command's name) and returns the
 * exit code of the process. */
#ifndef CLM_APP_COMMANDS_H
#define CLM_APP_COMMANDS_H

#include "collimate/base/err.h"

/** Exit codes; docs/operating.md tells them to users. */
typedef enum clm_exit {
    CLM_EXIT_DONE = 0,
    CLM_EXIT_BLOCKS_FAILED = 1, /* done, but some blocks failed: blocks.jsonl lists them     */
    CLM_EXIT_USAGE = 2,         /* command line or configuration                             */
    CLM_EXIT_INPUT = 3,         /* input cannot be read or holds too little to align         */
    CLM_EXIT_OUTPUT = 4,        /* output cannot be written; what is done is kept            */
    CLM_EXIT_INTERRUPTED = 5    /* stopped; the same command resumes                         */
} clm_exit;

clm_exit clm_exit_of(clm_code code);
/** Print "collimate COMMAND: TEXT" to stderr; returns clm_exit_of. */
int clm_command_fails(const char *command, const clm_err *err);

int clm_cmd_apply(int argc, char **argv);
int clm_cmd_points(int argc, char **argv);
int clm_cmd_align(int argc, char **argv);
int clm_cmd_compose(int argc, char **argv);
int clm_cmd_convert(int argc, char **argv);
int clm_cmd_dump(int argc, char **argv);
int clm_cmd_evaluate(int argc, char **argv);
int clm_cmd_info(int argc, char **argv);
int clm_cmd_invert(int argc, char **argv);
int clm_cmd_halfway(int argc, char **argv);
int clm_cmd_landmarks(int argc, char **argv);
int clm_cmd_phantom(int argc, char **argv);
int clm_cmd_plan(int argc, char **argv);
int clm_cmd_report(int argc, char **argv);
int clm_cmd_status(int argc, char **argv);
int clm_cmd_transform_points(int argc, char **argv);
int clm_cmd_validate(int argc, char **argv);

#endif
