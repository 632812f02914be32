#include "collimate/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_where(clm_err *err, const char *file, int line) {
    const char *slash = strrchr(file, '/');
    (void)snprintf(err->where, sizeof err->where, "%s:%d", slash ? slash + 1 : file, line);
}

static void mark_cut(clm_err *err, int wanted) {
    if (wanted >= (int)sizeof err->text) err->text[sizeof err->text - 2] = '+';
}

bool clm_err_set(clm_err *err, clm_code code, int sys, const char *file, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = sys;
    put_where(err, file, line);
    mark_cut(err, vsnprintf(err->text, sizeof err->text, fmt, ap));
    va_end(ap);
    return false;
}

bool clm_err_set_os(clm_err *err, clm_code code, const char *file, int line, const char *fmt, ...) {
    int sys = errno;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = sys;
    put_where(err, file, line);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && n < (int)sizeof err->text) {
        char reason[128];
        /* GNU strerror_r may return a static text instead of filling the buffer */
        const char *text = strerror_r(sys, reason, sizeof reason);
        n += snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", text);
    }
    mark_cut(err, n);
    return false;
}

bool(clm_err_in)(clm_err *err, const char *fmt, ...) {
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && n < (int)sizeof err->text)
        n += snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    mark_cut(err, n);
    return false;
}

const char *clm_code_name(clm_code code) {
    static const char *const names[CLM_CODE_COUNT] = {
        "ok",      "argument", "no_memory", "read", "write",     "format",     "unsupported",
        "missing", "no_data",  "numeric",   "peer", "cancelled", "over_budget"};
    return code >= 0 && code < CLM_CODE_COUNT ? names[code] : "unknown";
}

bool clm_err_is_refusal(const clm_err *err) { return err->code == CLM_E_IO || err->code == CLM_E_NOMEM; }
