/* A launch's tasks in child processes: what a child of the fork server is to a clm_launch_body. */
#ifndef CLM_APP_ISOLATE_H
#define CLM_APP_ISOLATE_H

#include "collimate/app/launch.h"

/** Before MPI: the fork server. NULL in sanitizer builds, whose tasks run in threads. */
CLM_MUST bool clm_isolate_begin(const clm_launch_body *body, clm_server **out, clm_err *err);

/** An executor of `slots` children, each of which opens the run by itself from what rank 0 shared. */
CLM_MUST bool clm_isolate_open(clm_server *server, const clm_launched *l, int slots, int rank,
                               const clm_buf *shared, clm_exec **out, clm_err *err);

#endif
