/* One task's result on its way to another task: named arrays in one file, published whole.
 * Little-endian; a checksum over every byte; compressed when that helps. */
#ifndef CLM_STORE_SPILL_H
#define CLM_STORE_SPILL_H

#include "collimate/base/arena.h"
#include "collimate/core/dtype.h"

#define CLM_SPILL_SECTIONS 16

typedef struct clm_section {
    char name[16]; /* with the NUL */
    clm_dtype dtype;
    int64_t shape[4]; /* unused axes: 1 */
    const void *data;
} clm_section;

typedef struct clm_spill {
    int32_t stage;
    int64_t index;
    int n;
    clm_section section[CLM_SPILL_SECTIONS]; /* data in the arena */
} clm_spill;

/** Atomic; the same sections give the same bytes.  Errors CLM_E_ARG more than 16 GiB; CLM_E_WRITE, CLM_E_NOMEM */
CLM_MUST bool clm_spill_put(const char *path, uint64_t plan_hash, int32_t stage, int64_t index,
                            const clm_section *section, int n, clm_err *err);
/** Errors CLM_E_NOTFOUND; CLM_E_FORMAT torn, another version, another plan's; CLM_E_BUDGET the arena's budget */
CLM_MUST bool clm_spill_read(const char *path, uint64_t plan_hash, clm_arena *a, clm_spill *out,
                             clm_err *err);
/** By name; NULL if there is none. */
const clm_section *clm_spill_find(const clm_spill *s, const char *name);
static inline int64_t clm_section_count(const clm_section *s) {
    return s->shape[0] * s->shape[1] * s->shape[2] * s->shape[3];
}

#endif
