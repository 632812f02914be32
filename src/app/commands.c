#include "collimate/app/commands.h"

#include <stdio.h>

clm_exit clm_exit_of(clm_code code) {
    switch (code) {
    case CLM_OK: return CLM_EXIT_DONE;
    case CLM_E_ARG:
    case CLM_E_BUDGET: return CLM_EXIT_USAGE;
    case CLM_E_WRITE: return CLM_EXIT_OUTPUT;
    case CLM_E_NOMEM:
    case CLM_E_PEER:
    case CLM_E_CANCELLED: return CLM_EXIT_INTERRUPTED;
    default: return CLM_EXIT_INPUT;
    }
}

int clm_command_fails(const char *name, const clm_err *err) {
    (void)fprintf(stderr, "collimate %s: %s\n", name, err->text);
    return (int)clm_exit_of(err->code);
}
