/* A text file whose lines come in any order and stand in one, in bounded memory: what does not fit goes to files in
 * a folder first, each in order, and these are merged. */
#ifndef CLM_APP_ORDERED_H
#define CLM_APP_ORDERED_H

#include "collimate/base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct clm_ordered clm_ordered;

/** parts: a folder, made when it is needed, for files "ordered.N"; they go with publish or close.
 *  Memory: budget_bytes, and 1 MiB for every budget_bytes of lines. */
CLM_MUST bool clm_ordered_open(const char *path, const char *parts, size_t budget_bytes, clm_ordered **out,
                               clm_err *err);
/** A line of n bytes, without its end, that stands where `key` says. Of lines of one key the first stays. */
CLM_MUST bool clm_ordered_add(clm_ordered *o, uint64_t key, const char *line, size_t n, clm_err *err);
/** Write it, whole or not at all. Errors CLM_E_WRITE, CLM_E_IO, CLM_E_NOMEM. */
CLM_MUST bool clm_ordered_publish(clm_ordered *o, clm_err *err);
void clm_ordered_close(clm_ordered *o); /* NULL is fine */

#endif
