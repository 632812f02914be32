/* One thread that does one slow thing at a time (syncfs, fdatasync) so that the loop never waits for
 * a disk. Started at first use. */
#ifndef CLM_CLUSTER_SIDE_H
#define CLM_CLUSTER_SIDE_H

#include "collimate/base/err.h"

typedef bool (*clm_side_fn)(void *arg, clm_err *err);
typedef struct clm_side clm_side;

/** wake(ctx) is called from the side thread when a thing is done. */
CLM_MUST bool clm_side_open(void (*wake)(void *ctx), void *ctx, clm_side **out, clm_err *err);
/** Begin; nothing may be under way (see clm_side_busy). Errors CLM_E_NOMEM no thread. */
CLM_MUST bool clm_side_begin(clm_side *s, clm_side_fn fn, void *arg, clm_err *err);
bool clm_side_busy(const clm_side *s); /* begun and its end not yet seen by clm_side_ended */
/** Has what was begun ended? Told once, with its result, error and seconds. */
bool clm_side_ended(clm_side *s, bool *ok, double *seconds, clm_err *err);
/** Waits for what is under way. NULL is fine. */
void clm_side_close(clm_side *s);

#endif
