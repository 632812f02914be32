/* The last word of a run: FOLDER/done, which exists if and only if everything else is complete and durable.
 * Exit codes get lost between a program, mpirun and a batch system; this file does not. */
#ifndef CLM_CLUSTER_SEAL_H
#define CLM_CLUSTER_SEAL_H

#include "collimate/base/err.h"

#define CLM_SEAL_NAME "done"
#define CLM_SEAL_STOPPED "stopped"

/** Rank 0, after all tasks have ended and all else is written: removes half-written files that killed launches
 *  left, makes the folder durable, then publishes FOLDER/done with the exit code as text.
 *  Errors CLM_E_WRITE, CLM_E_IO; the same call is right again later. */
CLM_MUST bool clm_seal_put(const char *folder, int exit_code, clm_err *err);
/** Rank 0, when a launch that lost ranks has come to an end without the run being done: FOLDER/stopped with the exit
 *  code. A launcher that cannot reach a host does not end by itself; who waits for it can stop waiting.
 *  Removed when a launch begins, and by clm_seal_put. */
CLM_MUST bool clm_seal_stop(const char *folder, int exit_code, clm_err *err);
CLM_MUST bool clm_seal_begin(const char *folder, clm_err *err);

#endif
