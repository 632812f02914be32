/* JSON values: parse, look inside with errors that name file and field, build, print.
 * The only room of cJSON. Nesting is limited by cJSON (1000); duplicate keys: the first wins. */
#ifndef CLM_BASE_JSON_H
#define CLM_BASE_JSON_H

#include "collimate/base/heap.h"

typedef struct clm_json clm_json; /* a value; children are borrowed from their root */
typedef enum clm_json_kind {
    CLM_JSON_NULL,
    CLM_JSON_BOOL,
    CLM_JSON_NUMBER,
    CLM_JSON_TEXT,
    CLM_JSON_LIST,
    CLM_JSON_OBJECT
} clm_json_kind;

/** Parse n bytes; `name` (a file name) begins the error text, which tells line and column. */
CLM_MUST bool clm_json_parse(const void *text, size_t n, const char *name, clm_json **out, clm_err *err);
/** clm_file_read (at most 64 MiB) + clm_json_parse. */
CLM_MUST bool clm_json_read(const char *path, clm_json **out, clm_err *err);
void clm_json_free(clm_json *root); /* NULL is fine */

clm_json_kind clm_json_kind_of(const clm_json *v);
const clm_json *clm_json_get(const clm_json *object, const char *key);  /* NULL if absent or no object */
int64_t clm_json_size(const clm_json *list_or_object);                  /* 0 for other kinds           */
const clm_json *clm_json_at(const clm_json *list_or_object, int64_t i); /* NULL beyond the end; O(i)   */
const clm_json *clm_json_first(const clm_json *list_or_object);         /* iterate: first, then next    */
const clm_json *clm_json_next(const clm_json *v);
const char *clm_json_key(const clm_json *v); /* its name in the object, or "" */
/** Values; false (out untouched) when v is NULL or of another kind. */
bool clm_json_is(const clm_json *v, bool *out);
bool clm_json_number(const clm_json *v, double *out);
bool clm_json_int(const clm_json *v,
                  int64_t *out); /* whole and |x| < 2^53: beyond, texts differ that read as one */
const char *clm_json_text(const clm_json *v); /* NULL when not a text */
/** All of a list of exactly n numbers. */
bool clm_json_numbers(const clm_json *v, int64_t n, double *out);
bool clm_json_ints(const clm_json *v, int64_t n, int64_t *out);

/* Building; each adder returns the new child (borrowed), NULL when memory is out or parent is NULL,
 * so that a chain of calls needs one check at the end: clm_json_print fails if any adder did. */
CLM_MUST clm_json *clm_json_new_object(clm_err *err);
CLM_MUST clm_json *clm_json_copy(const clm_json *v, clm_err *err);
clm_json *clm_json_add_object(clm_json *parent, const char *key); /* key NULL: parent is a list */
clm_json *clm_json_add_list(clm_json *parent, const char *key);
clm_json *clm_json_add_number(clm_json *parent, const char *key, double x);
clm_json *clm_json_add_bool(clm_json *parent, const char *key, bool x);
clm_json *clm_json_add_text(clm_json *parent, const char *key, const char *x);
clm_json *clm_json_add_null(clm_json *parent, const char *key);
clm_json *clm_json_add_numbers(clm_json *parent, const char *key, const double *x, int64_t n);
clm_json *clm_json_add_ints(clm_json *parent, const char *key, const int64_t *x, int64_t n);
/** Replace or add parent.key by value, which parent then owns. */
bool clm_json_put(clm_json *parent, const char *key, clm_json *value);
/** Text with a newline at the end, appended to b. Same value, same bytes; every number reads back as
 *  exactly itself. pretty: two blanks a level, lists of plain values on one line. */
CLM_MUST bool clm_json_print(const clm_json *v, bool pretty, clm_buf *b, clm_err *err);

#endif
