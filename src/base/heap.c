#include "collimate/base/heap.h"
#include "collimate/base/fault.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What the library's own rule ends at after the first large blocks were freed. */
void clm_heap_setup(void) {
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

void *clm_heap_new(size_t n, size_t size, clm_err *err) {
    void *p = clm_fault("heap") ? NULL : calloc(n ? n : 1, size ? size : 1); /* allow: the wrapper */
    if (!p) clm_fail(err, CLM_E_NOMEM, "no memory for %zu items of %zu bytes", n, size);
    return p;
}

bool clm_heap_grow(void **p, size_t n, size_t size, clm_err *err) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return clm_fail(err, CLM_E_BUDGET, "%zu items of %zu bytes overflow", n, size);
    void *q = clm_fault("heap") ? NULL : realloc(*p, bytes ? bytes : 1); /* allow: the wrapper */
    if (!q) return clm_fail(err, CLM_E_NOMEM, "no memory for %zu bytes", bytes);
    *p = q;
    return true;
}

void clm_heap_free(void *p) { free(p); /* allow: the wrapper */ }

char *clm_heap_text(const char *text, clm_err *err) {
    size_t n = strlen(text) + 1;
    char *p = clm_heap_new(n, 1, err);
    if (p) memcpy(p, text, n);
    return p;
}

bool clm_buf_reserve(clm_buf *b, size_t cap, clm_err *err) {
    if (cap <= b->cap) return true;
    void *p = b->data;
    if (!clm_heap_grow(&p, cap, 1, err)) return false;
    b->data = p;
    b->cap = cap;
    return true;
}

void clm_buf_free(clm_buf *b) {
    clm_heap_free(b->data);
    *b = (clm_buf){0};
}

bool clm_mul(int64_t a, int64_t b, int64_t *out, clm_err *err) {
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, out))
        return clm_fail(err, CLM_E_BUDGET, "%lld x %lld is out of range", (long long)a, (long long)b);
    return true;
}
