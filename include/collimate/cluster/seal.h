/* The last word of a run: FOLDER/done, which exists if and only if everything else is complete and durable.
 * Exit codes get lost between a program, mpirun and a batch system; this file does not. */
#ifndef CLM_CLUSTER_SEAL_H
#define CLM_CLUSTER_SEAL_H

#include "collimate/base/err.h"

#define CLM_SEAL_NAME "done"

/** Rank 0, after all tasks have ended and all else is written: removes half-written files that killed launches
 *  left, makes the folder durable, then publishes FOLDER/done with the exit code as text.
 *  Errors CLM_E_WRITE, CLM_E_IO; the same call is right again later. */
CLM_MUST bool clm_seal_put(const char *folder, int exit_code, clm_err *err);

#endif
