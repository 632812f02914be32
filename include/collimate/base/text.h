/* Bounded strings and number parsing that rejects junk. */
#ifndef CLM_BASE_TEXT_H
#define CLM_BASE_TEXT_H

#include "collimate/base/heap.h"

#define CLM_PATH_MAX 4096

/** "a/b" (one slash between); CLM_E_ARG when it does not fit. `out` may not overlap. */
CLM_MUST bool clm_path_join(char out[CLM_PATH_MAX], const char *a, const char *b, clm_err *err);
/** Format into a path buffer; CLM_E_ARG when it does not fit. */
CLM_MUST bool clm_path_format(char out[CLM_PATH_MAX], clm_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *clm_path_name(const char *path); /* borrowed: after the last slash */
bool clm_text_ends(const char *text, const char *suffix);
bool clm_text_begins(const char *text, const char *prefix);

/** The whole text must be one number in range. */
bool clm_text_int(const char *text, int64_t *out);
bool clm_text_real(const char *text, double *out); /* finite */

/** The whole text must be n finite numbers with commas between; where `one`, a single one stands for all. */
bool clm_text_reals(const char *text, int n, bool one, double out[]);

/** Of n names the one nearest to `name` by edit distance, or NULL when none is near. */
const char *clm_text_nearest(const char *name, const char *const *names, int n);

/** Append formatted text to a growing buffer, always NUL-terminated (the NUL is not in b->n). */
CLM_MUST bool clm_buf_printf(clm_buf *b, clm_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** "1.5 GiB", "12 s", "2 min 05 s" in a by-value buffer. */
typedef struct clm_text32 {
    char s[32];
} clm_text32;
clm_text32 clm_text_bytes(double bytes);
clm_text32 clm_text_seconds(double seconds);

#endif
