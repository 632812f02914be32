/* Memory for many blocks of a few hundred kilobytes and more, of lengths that vary, taken and given by any thread. In large
 * pages where the system has them: filling fresh memory of small pages costs as much as decoding into it. */
#ifndef CLM_BASE_SLAB_H
#define CLM_BASE_SLAB_H

#include "collimate/base/err.h"

#include <stddef.h>

typedef struct clm_slabs clm_slabs;

CLM_MUST bool clm_slabs_open(clm_slabs **out, clm_err *err);
/** All must have been given back; NULL is fine. */
void clm_slabs_close(clm_slabs *s);
/** Room for `bytes`, not initialised; NULL with CLM_E_NOMEM. */
CLM_MUST void *clm_slab_take(clm_slabs *s, size_t bytes, clm_err *err);
/** p and bytes as they were taken; NULL is fine. */
void clm_slab_give(clm_slabs *s, void *p, size_t bytes);

#endif
