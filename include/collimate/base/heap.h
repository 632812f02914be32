/* The few malloc calls of long-lived handles, checked and counted. Algorithms use arenas. */
#ifndef CLM_BASE_HEAP_H
#define CLM_BASE_HEAP_H

#include "collimate/base/err.h"

#include <stddef.h>
#include <stdint.h>

/** Process-wide, once at start: the C library keeps up to 64 MiB that was freed for the next call, so that buffers of
 *  chunks' size, the codecs' own among them, are not fetched from the system page by page for every chunk. */
void clm_heap_setup(void);

/** Zeroed memory for n items of `size` bytes; NULL with CLM_E_NOMEM when refused. */
CLM_MUST void *clm_heap_new(size_t n, size_t size, clm_err *err);
/** Grow to n items, contents kept, new part not initialised; on failure the old block stays. */
CLM_MUST bool clm_heap_grow(void **p, size_t n, size_t size, clm_err *err);
void clm_heap_free(void *p);                                  /* NULL is fine */
CLM_MUST char *clm_heap_text(const char *text, clm_err *err); /* a copy */

/** A growable byte buffer, reused between reads. Zero-initialise; free with clm_buf_free. */
typedef struct clm_buf {
    unsigned char *data;
    size_t n;   /* bytes in use   */
    size_t cap; /* bytes allocated */
} clm_buf;
CLM_MUST bool clm_buf_reserve(clm_buf *b, size_t cap, clm_err *err); /* contents kept */
void clm_buf_free(clm_buf *b);

/** a * b, or CLM_E_BUDGET when it does not fit into int64_t or either is negative. */
CLM_MUST bool clm_mul(int64_t a, int64_t b, int64_t *out, clm_err *err);

#endif
