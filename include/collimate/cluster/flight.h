/* Tasks in flight: which worker holds which task until when. A task may be held by several workers
 * (a late one is given to another). Fixed cost a task, found by task, in order of deadline. */
#ifndef CLM_CLUSTER_FLIGHT_H
#define CLM_CLUSTER_FLIGHT_H

#include "collimate/plan/task.h"

typedef struct clm_copy {
    clm_task task;
    double deadline_s;
    int32_t worker;        /* -1: this slot is free                      */
    int32_t chain;         /* next of the same hash, or next free; -1    */
    int32_t before, after; /* neighbours by deadline; -1          */
    bool late;             /* past its deadline; out of the list         */
} clm_copy;

typedef struct clm_flight {
    clm_copy *copy;
    int32_t cap, n;
    int32_t free;
    int32_t *bucket;
    uint32_t mask;
    int32_t first, last; /* by deadline */
} clm_flight;

/** Zero-initialise; room for cap copies, grown only. */
CLM_MUST bool clm_flight_reserve(clm_flight *f, int32_t cap, clm_err *err);
void clm_flight_close(clm_flight *f);
/** There must be room; deadlines must not decrease. */
void clm_flight_add(clm_flight *f, const clm_task *task, int worker, double deadline_s);
/** The copy of a task held by a worker; worker -1: by anybody; NULL when there is none. */
clm_copy *clm_flight_find(const clm_flight *f, const clm_task *task, int worker);
int clm_flight_copies(const clm_flight *f, const clm_task *task, int *n_late);
void clm_flight_remove(clm_flight *f, clm_copy *c);
/** The earliest copy with a deadline at or before now_s, now marked late; NULL when there is none. */
clm_copy *clm_flight_expire(clm_flight *f, double now_s);

#endif
