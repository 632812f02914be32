/* Errors as values. Every fallible function returns bool and takes `clm_err *err` last:
 * true leaves err alone, false has set it. Nothing here allocates, logs or exits. */
#ifndef CLM_BASE_ERR_H
#define CLM_BASE_ERR_H

#include <stdbool.h>

#define CLM_MUST __attribute__((warn_unused_result))

/** Kinds of failure, by what the caller can do about them. */
typedef enum clm_code {
    CLM_OK = 0,
    CLM_E_ARG,         /* contract broken or a bad configuration value; never retried     */
    CLM_E_NOMEM,       /* the system refused memory; may pass next time                    */
    CLM_E_IO,          /* the system refused a read; may pass next time                    */
    CLM_E_WRITE,       /* the system refused a write: disk full, quota, read-only          */
    CLM_E_FORMAT,      /* bytes are not what the format promises                           */
    CLM_E_UNSUPPORTED, /* valid, but not implemented here                                  */
    CLM_E_NOTFOUND,    /* no such file, array, key                                         */
    CLM_E_NODATA,      /* too little signal to answer                                      */
    CLM_E_NUMERIC,     /* singular, diverged, folded, not finite                           */
    CLM_E_PEER,        /* another rank failed or vanished                                  */
    CLM_E_CANCELLED,   /* asked to stop                                                    */
    CLM_E_BUDGET,      /* a memory budget was reached, as it always will be; a smaller block may pass */
    CLM_CODE_COUNT
} clm_code;

/** One failure. Fixed size and free of pointers, so it can travel in a message. */
typedef struct clm_err {
    clm_code code;
    int sys;        /* errno or library code, 0 if none                                */
    char where[40]; /* "codec.c:212", where the first failure was recorded             */
    char text[600]; /* "block 3,0,7: volume.n5/s0/3/0/7: gzip: truncated"; '+' if cut  */
} clm_err;

#define CLM_ERR_NONE ((clm_err){.code = CLM_OK})

/** Record a failure; is false so that `return clm_fail(err, ...)` reads well. */
#define clm_fail(err, code, ...) clm_false(clm_err_set((err), (code), 0, __FILE__, __LINE__, __VA_ARGS__))
/** The same with errno's text appended; errno is read first. */
#define clm_fail_os(err, code, ...) clm_false(clm_err_set_os((err), (code), __FILE__, __LINE__, __VA_ARGS__))

/* Lets the compiler see that a failure is false, so that it follows success and failure apart: without it,
 * outputs set on success look maybe-uninitialised to it. */
__attribute__((always_inline)) static inline bool clm_false(bool recorded) {
    (void)recorded;
    return false;
}

bool clm_err_set(clm_err *err, clm_code code, int sys, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
bool clm_err_set_os(clm_err *err, clm_code code, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/** Did the system refuse, a read or memory? Then nothing was learnt of what was looked at. */
bool clm_err_is_refusal(const clm_err *err);
/** Put context in front of the text ("CONTEXT: text"); keeps the code; is false. */
bool clm_err_in(clm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define clm_err_in(...) clm_false((clm_err_in)(__VA_ARGS__))

/** Short stable name of a code for records: "ok", "no_data", "io", ... */
const char *clm_code_name(clm_code code);

#endif
