/* The options that commands on a job share: which job file, which images, which overrides. */
#ifndef CLM_APP_OPTIONS_H
#define CLM_APP_OPTIONS_H

#include "collimate/app/args.h"
#include "collimate/job/config.h"

typedef struct clm_options {
    clm_config *config; /* defaults, preset, job file, command line: the later wins */
    clm_args args;
    bool json;
} clm_options;

/** Parse; free with clm_options_free in any case. CLM_E_ARG with one line to show. */
CLM_MUST bool clm_options_parse(int argc, char **argv, clm_options *out, clm_err *err);
void clm_options_free(clm_options *o);
/** The lines of --help that tell these options. */
const char *clm_options_help(void);

#endif
