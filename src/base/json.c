#include "collimate/base/json.h"
#include "collimate/base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* clm_json is cJSON under another name; these two are the only casts. */
static cJSON *un(const clm_json *v) { return (cJSON *)(uintptr_t)v; }
static clm_json *wrap(const cJSON *v) { return (clm_json *)(uintptr_t)v; }

bool clm_json_parse(const void *text, size_t n, const char *name, clm_json **out, clm_err *err) {
    const char *t = text, *end = NULL;
    cJSON *v = cJSON_ParseWithLengthOpts(t, n, &end, 0);
    if (v) { /* nothing but white space may follow */
        while (end < t + n && (*end == ' ' || *end == '\n' || *end == '\r' || *end == '\t' || !*end)) end++;
        if (end < t + n) {
            cJSON_Delete(v);
            v = NULL;
        }
    }
    if (!v) {
        int line = 1, column = 1;
        for (const char *p = t; end && p < end && p < t + n; p++) {
            column++;
            if (*p == '\n') line++, column = 1;
        }
        return clm_fail(err, CLM_E_FORMAT, "%s:%d:%d: not valid JSON here", name, line, column);
    }
    *out = wrap(v);
    return true;
}

bool clm_json_read(const char *path, clm_json **out, clm_err *err) {
    clm_buf b = {0};
    bool ok = clm_file_read(path, (size_t)64 << 20, &b, err) && clm_json_parse(b.data, b.n, path, out, err);
    clm_buf_free(&b);
    return ok;
}

void clm_json_free(clm_json *root) { cJSON_Delete(un(root)); }

clm_json_kind clm_json_kind_of(const clm_json *v) {
    const cJSON *c = un(v);
    if (cJSON_IsBool(c)) return CLM_JSON_BOOL;
    if (cJSON_IsNumber(c)) return CLM_JSON_NUMBER;
    if (cJSON_IsString(c)) return CLM_JSON_TEXT;
    if (cJSON_IsArray(c)) return CLM_JSON_LIST;
    return cJSON_IsObject(c) ? CLM_JSON_OBJECT : CLM_JSON_NULL;
}

const clm_json *clm_json_get(const clm_json *object, const char *key) {
    return object ? wrap(cJSON_GetObjectItemCaseSensitive(un(object), key)) : NULL;
}

int64_t clm_json_size(const clm_json *v) {
    return v && (cJSON_IsArray(un(v)) || cJSON_IsObject(un(v))) ? cJSON_GetArraySize(un(v)) : 0;
}

const clm_json *clm_json_at(const clm_json *v, int64_t i) {
    return i >= 0 && i < clm_json_size(v) ? wrap(cJSON_GetArrayItem(un(v), (int)i)) : NULL;
}

const clm_json *clm_json_first(const clm_json *v) { return clm_json_size(v) ? wrap(un(v)->child) : NULL; }

const clm_json *clm_json_next(const clm_json *v) { return v ? wrap(un(v)->next) : NULL; }
const char *clm_json_key(const clm_json *v) { return v && un(v)->string ? un(v)->string : ""; }

bool clm_json_is(const clm_json *v, bool *out) {
    if (!v || !cJSON_IsBool(un(v))) return false;
    *out = cJSON_IsTrue(un(v)) != 0;
    return true;
}

bool clm_json_number(const clm_json *v, double *out) {
    if (!v || !cJSON_IsNumber(un(v)) || !isfinite(un(v)->valuedouble)) return false;
    *out = un(v)->valuedouble;
    return true;
}

bool clm_json_int(const clm_json *v, int64_t *out) {
    double x;
    if (!clm_json_number(v, &x) || x != floor(x) || fabs(x) >= 9007199254740992.0) return false;
    *out = (int64_t)x;
    return true;
}

const char *clm_json_text(const clm_json *v) {
    return v && cJSON_IsString(un(v)) ? un(v)->valuestring : NULL;
}

bool clm_json_numbers(const clm_json *v, int64_t n, double *out) {
    if (!v || !cJSON_IsArray(un(v)) || clm_json_size(v) != n) return false;
    for (const clm_json *e = clm_json_first(v); e; e = clm_json_next(e))
        if (!clm_json_number(e, out++)) return false;
    return true;
}

bool clm_json_ints(const clm_json *v, int64_t n, int64_t *out) {
    if (!v || !cJSON_IsArray(un(v)) || clm_json_size(v) != n) return false;
    for (const clm_json *e = clm_json_first(v); e; e = clm_json_next(e))
        if (!clm_json_int(e, out++)) return false;
    return true;
}

clm_json *clm_json_new_object(clm_err *err) {
    cJSON *v = cJSON_CreateObject();
    if (!v) clm_fail(err, CLM_E_NOMEM, "no memory for JSON");
    return wrap(v);
}

clm_json *clm_json_copy(const clm_json *v, clm_err *err) {
    cJSON *c = cJSON_Duplicate(un(v), 1);
    if (!c) clm_fail(err, CLM_E_NOMEM, "no memory for JSON");
    return wrap(c);
}

/* A failed add marks the root by an impossible type, which print reports. */
static clm_json *add(clm_json *parent, const char *key, cJSON *child) {
    if (!parent || !child ||
        !(key ? cJSON_AddItemToObject(un(parent), key, child) : cJSON_AddItemToArray(un(parent), child))) {
        cJSON_Delete(child);
        if (parent) un(parent)->type = cJSON_Invalid;
        return NULL;
    }
    return wrap(child);
}

clm_json *clm_json_add_object(clm_json *p, const char *key) { return add(p, key, cJSON_CreateObject()); }
clm_json *clm_json_add_list(clm_json *p, const char *key) { return add(p, key, cJSON_CreateArray()); }
clm_json *clm_json_add_number(clm_json *p, const char *key, double x) {
    return add(p, key, isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull());
}
clm_json *clm_json_add_bool(clm_json *p, const char *key, bool x) { return add(p, key, cJSON_CreateBool(x)); }
clm_json *clm_json_add_text(clm_json *p, const char *key, const char *x) {
    return add(p, key, cJSON_CreateString(x));
}
clm_json *clm_json_add_null(clm_json *p, const char *key) { return add(p, key, cJSON_CreateNull()); }

clm_json *clm_json_add_numbers(clm_json *p, const char *key, const double *x, int64_t n) {
    clm_json *list = clm_json_add_list(p, key);
    for (int64_t i = 0; i < n; i++)
        if (!clm_json_add_number(list, NULL, x[i])) return NULL;
    return list;
}

clm_json *clm_json_add_ints(clm_json *p, const char *key, const int64_t *x, int64_t n) {
    clm_json *list = clm_json_add_list(p, key);
    for (int64_t i = 0; i < n; i++)
        if (!clm_json_add_number(list, NULL, (double)x[i])) return NULL;
    return list;
}

bool clm_json_put(clm_json *parent, const char *key, clm_json *value) {
    if (clm_json_get(parent, key))
        return cJSON_ReplaceItemInObjectCaseSensitive(un(parent), key, un(value)) != 0;
    return add(parent, key, un(value)) != NULL;
}

/* Our own printing, since cJSON's takes a number for equal to its text when they differ in the last bit. */
typedef struct printer {
    clm_buf *b;
    clm_err *err;
    bool pretty;
} printer;

static bool print_value(const printer *p, const cJSON *v, int depth);

static bool print_text(const printer *p, const char *text) {
    if (!clm_buf_printf(p->b, p->err, "\"")) return false;
    for (const char *s = text; *s;) {
        size_t plain = 0;
        while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') plain++;
        if (plain && !clm_buf_printf(p->b, p->err, "%.*s", (int)plain, s)) return false;
        s += plain;
        if (!*s) break;
        bool ok = *s == '\n'   ? clm_buf_printf(p->b, p->err, "\\n")
                  : *s == '\t' ? clm_buf_printf(p->b, p->err, "\\t")
                  : *s < 0x20  ? clm_buf_printf(p->b, p->err, "\\u%04x", (unsigned)(unsigned char)*s)
                               : clm_buf_printf(p->b, p->err, "\\%c", *s);
        if (!ok) return false;
        s++;
    }
    return clm_buf_printf(p->b, p->err, "\"");
}

/* the shortest of 15 to 17 digits that reads back as the same double */
static bool print_number(const printer *p, double x) {
    if (!isfinite(x)) return clm_buf_printf(p->b, p->err, "null");
    char text[40];
    double back = 0.0;
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, x);
        if (clm_text_real(text, &back) && back == x) break;
    }
    return clm_buf_printf(p->b, p->err, "%s", text);
}

static bool print_break(const printer *p, int depth) {
    return !p->pretty || clm_buf_printf(p->b, p->err, "\n%*s", 2 * depth, "");
}

static bool print_children(const printer *p, const cJSON *v, int depth) {
    bool object = cJSON_IsObject(v), wide = object;
    for (const cJSON *c = v->child; c; c = c->next)
        if (cJSON_IsObject(c) || cJSON_IsArray(c)) wide = true;
    if (!clm_buf_printf(p->b, p->err, object ? "{" : "[")) return false;
    for (const cJSON *c = v->child; c; c = c->next) {
        if (wide && !print_break(p, depth + 1)) return false;
        if (object && !(print_text(p, c->string ? c->string : "") &&
                        clm_buf_printf(p->b, p->err, p->pretty ? ": " : ":")))
            return false;
        if (!print_value(p, c, depth + 1)) return false;
        if (c->next && !clm_buf_printf(p->b, p->err, p->pretty && !wide ? ", " : ",")) return false;
    }
    if (wide && v->child && !print_break(p, depth)) return false;
    return clm_buf_printf(p->b, p->err, object ? "}" : "]");
}

static bool print_value(const printer *p, const cJSON *v, int depth) {
    switch (v->type & 0xff) {
    case cJSON_NULL: return clm_buf_printf(p->b, p->err, "null");
    case cJSON_False: return clm_buf_printf(p->b, p->err, "false");
    case cJSON_True: return clm_buf_printf(p->b, p->err, "true");
    case cJSON_Number: return print_number(p, v->valuedouble);
    case cJSON_String: return print_text(p, v->valuestring);
    case cJSON_Array:
    case cJSON_Object: return print_children(p, v, depth);
    default: return clm_fail(p->err, CLM_E_NOMEM, "JSON could not be built: no memory");
    }
}

bool clm_json_print(const clm_json *v, bool pretty, clm_buf *b, clm_err *err) {
    if (!v) return clm_fail(err, CLM_E_NOMEM, "JSON could not be built: no memory");
    size_t before = b->n;
    printer p = {.b = b, .err = err, .pretty = pretty};
    if (print_value(&p, un(v), 0) && clm_buf_printf(b, err, "\n")) return true;
    b->n = before;
    return false;
}
