#include "collimate/store/rules.h"

#include <ctype.h>
#include <string.h>

static bool equal_objects(const clm_json *a, const clm_json *b) {
    if (clm_json_size(a) != clm_json_size(b)) return false;
    for (const clm_json *k = clm_json_first(a); k; k = clm_json_next(k)) {
        const clm_json *other = clm_json_get(b, clm_json_key(k));
        if (!other || !clm_rule_equal(k, other)) return false;
    }
    return true;
}

static bool equal_lists(const clm_json *a, const clm_json *b) {
    const clm_json *k = clm_json_first(a), *l = clm_json_first(b);
    for (; k && l; k = clm_json_next(k), l = clm_json_next(l))
        if (!clm_rule_equal(k, l)) return false;
    return !k && !l;
}

bool clm_rule_equal(const clm_json *a, const clm_json *b) {
    double x = 0, y = 0;
    bool p = false, q = false;
    clm_json_kind kind = clm_json_kind_of(a);
    if (kind != clm_json_kind_of(b)) return false;
    switch (kind) {
    case CLM_JSON_OBJECT: return equal_objects(a, b);
    case CLM_JSON_LIST: return equal_lists(a, b);
    case CLM_JSON_NUMBER: return clm_json_number(a, &x) && clm_json_number(b, &y) && x == y;
    case CLM_JSON_TEXT: return strcmp(clm_json_text(a), clm_json_text(b)) == 0;
    case CLM_JSON_BOOL: return clm_json_is(a, &p) && clm_json_is(b, &q) && p == q;
    default: return true;
    }
}

/* Quadratic, so only of lists that people write; a longer one is taken as it is. */
static bool all_differ(const clm_json *list) {
    if (clm_json_size(list) > 2000) return true;
    for (const clm_json *a = clm_json_first(list); a; a = clm_json_next(a))
        for (const clm_json *b = clm_json_next(a); b; b = clm_json_next(b))
            if (clm_rule_equal(a, b)) return false;
    return true;
}

static bool missing(const char *key, bool needed, clm_err *err) {
    return !needed || clm_fail(err, CLM_E_FORMAT, "%s is missing", key);
}

bool clm_rule_list(const clm_json *v, const char *key, bool needed, int64_t least, bool unique,
                   const clm_json **out, clm_err *err) {
    const clm_json *list = clm_json_get(v, key);
    *out = list;
    if (!list) return missing(key, needed, err);
    if (clm_json_kind_of(list) != CLM_JSON_LIST) return clm_fail(err, CLM_E_FORMAT, "%s: not a list", key);
    if (clm_json_size(list) < least)
        return clm_fail(err, CLM_E_FORMAT, "%s: %lld items, at least %lld are wanted", key,
                        (long long)clm_json_size(list), (long long)least);
    return !unique || all_differ(list) || clm_fail(err, CLM_E_FORMAT, "%s: two items are alike", key);
}

bool clm_rule_object(const clm_json *v, const char *key, bool needed, const clm_json **out, clm_err *err) {
    *out = clm_json_get(v, key);
    if (!*out) return missing(key, needed, err);
    return clm_json_kind_of(*out) == CLM_JSON_OBJECT || clm_fail(err, CLM_E_FORMAT, "%s: not an object", key);
}

bool clm_rule_text(const clm_json *v, const char *key, bool needed, clm_err *err) {
    const clm_json *text = clm_json_get(v, key);
    if (!text) return missing(key, needed, err);
    return clm_json_text(text) != NULL || clm_fail(err, CLM_E_FORMAT, "%s: not a text", key);
}

bool clm_rule_name(const clm_json *v, const char *key, int parts, const char *more, clm_err *err) {
    const char *text = clm_json_text(clm_json_get(v, key));
    if (!clm_rule_text(v, key, true, err)) return false;
    int length = 0;
    bool dots = more[0] != 0;
    for (const char *p = text; *p; p++) {
        if (*p == '/' && length > 0 && --parts > 0) {
            length = 0;
            continue;
        }
        if (!isalnum((unsigned char)*p) && !strchr(more, *p))
            return clm_fail(err, CLM_E_FORMAT, "%s: \"%s\" holds more than letters and digits", key, text);
        dots = dots && *p == '.';
        length++;
    }
    if (parts != 1 || length == 0 || (dots && more[0]) || strncmp(text, "__", 2) == 0)
        return clm_fail(err, CLM_E_FORMAT, "%s: \"%s\" is no such name", key, text);
    return true;
}

bool clm_rule_whole(const clm_json *v, const char *key, bool needed, int64_t least, int64_t most,
                    clm_err *err) {
    const clm_json *number = clm_json_get(v, key);
    int64_t x = 0;
    if (!number) return missing(key, needed, err);
    if (!clm_json_int(number, &x)) return clm_fail(err, CLM_E_FORMAT, "%s: not a whole number", key);
    return (x >= least && x <= most) ||
           clm_fail(err, CLM_E_FORMAT, "%s: %lld is out of range", key, (long long)x);
}

bool clm_rule_number(const clm_json *v, const char *key, bool needed, clm_err *err) {
    double x;
    const clm_json *number = clm_json_get(v, key);
    if (!number) return missing(key, needed, err);
    return clm_json_number(number, &x) || clm_fail(err, CLM_E_FORMAT, "%s: not a number", key);
}

bool clm_rule_bool(const clm_json *v, const char *key, clm_err *err) {
    bool x;
    const clm_json *k = clm_json_get(v, key);
    return !k || clm_json_is(k, &x) || clm_fail(err, CLM_E_FORMAT, "%s: neither true nor false", key);
}

bool clm_rule_numbers(const clm_json *v, const char *key, int64_t n, bool positive, clm_err *err) {
    const clm_json *list;
    if (!clm_rule_list(v, key, true, 0, false, &list, err)) return false;
    if (n >= 0 && clm_json_size(list) != n)
        return clm_fail(err, CLM_E_FORMAT, "%s: %lld numbers for %lld axes", key,
                        (long long)clm_json_size(list), (long long)n);
    for (const clm_json *k = clm_json_first(list); k; k = clm_json_next(k)) {
        double x;
        if (!clm_json_number(k, &x)) return clm_fail(err, CLM_E_FORMAT, "%s: not all are numbers", key);
        if (positive && !(x > 0)) return clm_fail(err, CLM_E_FORMAT, "%s: %g is not positive", key, x);
    }
    return true;
}
