/* Everything an algorithm may use besides its arguments. */
#ifndef CLM_BASE_WORK_H
#define CLM_BASE_WORK_H

#include "collimate/base/arena.h"

typedef struct clm_work {
    clm_arena *keep; /* results the caller asked for                                     */
    clm_arena *temp; /* mark on entry, rewind before return                              */
    uint64_t seed;   /* already mixed from (run seed, task); see rng.h                   */
} clm_work;

/** For a call whose RESULT is only my temporary: its results land in my temp, its scratch above
 *  my results in keep, rewound before it returns. */
static inline clm_work clm_work_flip(const clm_work *w) {
    return (clm_work){.keep = w->temp, .temp = w->keep, .seed = w->seed};
}

#endif
