/* A loop over many independent blocks on the threads of this process, in memory that does not grow with
 * their number. Results are merged in order of index, whatever the threads did. */
#ifndef CLM_APP_EACH_H
#define CLM_APP_EACH_H

#include "collimate/base/work.h"

typedef struct clm_each {
    void *ctx;
    int64_t n;           /* blocks                                             */
    int threads;         /* 0: the cores of this process                       */
    size_t budget_bytes; /* of each of a thread's two arenas; 0: 512 MiB */
    size_t result_bytes; /* of one block's result, zeroed before the block     */
    /** slot: 0 .. clm_each_threads-1, this thread's alone. */
    bool (*block)(void *ctx, const clm_work *w, int slot, int64_t index, void *result, clm_err *err);
    /** Called in order of index, by one thread; NULL: results are not wanted. */
    bool (*merge)(void *ctx, int64_t index, const void *result, clm_err *err);
} clm_each;

/** The number of slots that a loop asked for so many threads has. */
int clm_each_threads(int asked);
/** The first failure (by index) ends the loop. */
CLM_MUST bool clm_each_run(const clm_each *e, clm_err *err);

#endif
