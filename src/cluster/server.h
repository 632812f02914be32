/* What the rank asks of its fork server. Small fixed records over a socket; descriptors travel with them. */
#ifndef CLM_CLUSTER_SERVER_H
#define CLM_CLUSTER_SERVER_H

#include "collimate/cluster/exec.h"

/** A fresh child for this slot, whose last one is gone. Its end of a SEQPACKET pair: tasks go in, outcomes come
 *  out, whole records; end of file when it has died. setup: a memory file; memory_bytes as in clm_child_limits.
 *  Errors CLM_E_PEER the server is gone; CLM_E_NOMEM no descriptors. */
CLM_MUST bool clm_server_spawn(clm_server *s, int slot, int setup, double memory_bytes, int *out,
                               clm_err *err);
/** SIGKILL to the slot's child, if it lives. */
void clm_server_kill(clm_server *s, int slot);
/** After end of file: how it ended, as waitpid tells; or, negative, the errno of its fork. Errors CLM_E_PEER the server is gone. */
CLM_MUST bool clm_server_reap(clm_server *s, int slot, int *status, clm_err *err);

#endif
