#include "collimate/job/config.h"
#include "collimate/base/crc.h"
#include "collimate/base/text.h"

#include <stdio.h>
#include <string.h>

enum kind { TEXT, INT, REAL, BOOL, LIST, LIST16 };
static const char *const kind_name[] = {"text",          "whole number",    "number",
                                        "true or false", "list of numbers", "list of numbers"};

typedef struct key {
    enum kind kind;
    size_t at; /* offset in clm_config */
    const char *key, *standard;
    double least, most;
    const char *choices, *meaning;
} key;

#define K(kind, type, field, name, standard, least, most, choices, meaning) \
    {kind, offsetof(clm_config, field), name, standard, least, most, choices, meaning},
static const key keys[] = {CLM_CONFIG_KEYS(K)};
#undef K
#define KEY_COUNT ((int)(sizeof keys / sizeof keys[0]))

int clm_config_key_count(void) { return KEY_COUNT; }

clm_config_key clm_config_key_at(int i) {
    const key *k = &keys[i];
    return (clm_config_key){.key = k->key,
                            .kind = kind_name[k->kind],
                            .standard = k->standard,
                            .choices = k->choices,
                            .meaning = k->meaning,
                            .least = k->least,
                            .most = k->most};
}

static void *field_of(const clm_config *c, const key *k) { return (char *)(uintptr_t)c + k->at; }

static const key *find_key(const char *name) {
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].key, name) == 0) return &keys[i];
    return NULL;
}

static bool unknown_key(const char *name, const char *source, clm_err *err) {
    const char *names[KEY_COUNT];
    for (int i = 0; i < KEY_COUNT; i++) names[i] = keys[i].key;
    const char *near = clm_text_nearest(name, names, KEY_COUNT);
    return clm_fail(err, CLM_E_ARG, "%s: unknown key \"%s\"%s%s%s (all keys: config/keys.md)", source, name,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *p = choices; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
        if (strncmp(p, value, n) == 0 && (p[n] == 0 || p[n] == '|') && n) return true;
    return false;
}

static bool put_text(clm_config *c, const key *k, const char *text, const char *source, clm_err *err) {
    if (k->choices[0] && !is_choice(k->choices, text))
        return clm_fail(err, CLM_E_ARG, "%s: %s = \"%s\": must be one of %s", source, k->key, text,
                        k->choices);
    char *copy = clm_heap_text(text, err);
    if (!copy) return false;
    char **slot = field_of(c, k);
    clm_heap_free(*slot);
    *slot = copy;
    return true;
}

static bool in_range(const key *k, double x, const char *source, clm_err *err) {
    if (x >= k->least && x <= k->most) return true;
    return clm_fail(err, CLM_E_ARG, "%s: %s = %g: must lie in %g .. %g", source, k->key, x, k->least,
                    k->most);
}

static bool put_list(clm_config *c, const key *k, const clm_json *v, const char *source, clm_err *err) {
    double x[16];
    int64_t n = clm_json_size(v), most = k->kind == LIST ? CLM_LIST_MAX : 16;
    if (n > most || clm_json_kind_of(v) != CLM_JSON_LIST || (n && !clm_json_numbers(v, n, x)))
        return clm_fail(err, CLM_E_ARG, "%s: %s: must be a list of at most %lld numbers", source, k->key,
                        (long long)most);
    for (int64_t i = 0; i < n; i++)
        if (!in_range(k, x[i], source, err)) return false;
    int64_t *count = field_of(c, k);
    double *to = k->kind == LIST ? ((clm_list *)field_of(c, k))->v : ((clm_list16 *)field_of(c, k))->v;
    *count = n;
    for (int64_t i = 0; i < most; i++) to[i] = i < n ? x[i] : 0.0;
    return true;
}

static bool put_value(clm_config *c, const key *k, const clm_json *v, const char *source, clm_err *err) {
    double x;
    int64_t n;
    switch (k->kind) {
    case TEXT:
        if (clm_json_text(v)) return put_text(c, k, clm_json_text(v), source, err);
        break;
    case BOOL:
        if (clm_json_is(v, field_of(c, k))) return true;
        break;
    case INT:
        if (!clm_json_int(v, &n)) break;
        if (!in_range(k, (double)n, source, err)) return false;
        *(int64_t *)field_of(c, k) = n;
        return true;
    case REAL:
        if (!clm_json_number(v, &x)) break;
        if (!in_range(k, x, source, err)) return false;
        *(double *)field_of(c, k) = x;
        return true;
    default: return put_list(c, k, v, source, err);
    }
    return clm_fail(err, CLM_E_ARG, "%s: %s: must be a %s", source, k->key, kind_name[k->kind]);
}

/* walks nested objects, building the dotted name */
static bool put_object(clm_config *c, const clm_json *object, const char *prefix, const char *source,
                       clm_err *err) {
    for (const clm_json *v = clm_json_first(object); v; v = clm_json_next(v)) {
        char name[128];
        if (snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "." : "", clm_json_key(v)) >=
            (int)sizeof name)
            return unknown_key(clm_json_key(v), source, err);
        if (strcmp(name, "preset") == 0 || strcmp(name, "collimate") == 0) continue;
        const key *k = find_key(name);
        if (k) {
            if (!put_value(c, k, v, source, err)) return false;
        } else if (clm_json_kind_of(v) == CLM_JSON_OBJECT) {
            if (!put_object(c, v, name, source, err)) return false;
        } else {
            return unknown_key(name, source, err);
        }
    }
    return true;
}

bool clm_config_put(clm_config *c, const clm_json *object, const char *name, clm_err *err) {
    if (clm_json_kind_of(object) != CLM_JSON_OBJECT)
        return clm_fail(err, CLM_E_ARG, "%s: must be a JSON object {...}", name);
    const clm_json *preset = clm_json_get(object, "preset");
    if (preset) {
        if (!clm_json_text(preset)) return clm_fail(err, CLM_E_ARG, "%s: preset: must be a text", name);
        if (clm_json_text(preset)[0] && !clm_config_put_preset(c, clm_json_text(preset), err))
            return clm_err_in(err, "%s", name);
    }
    return put_object(c, object, "", name, err);
}

bool clm_config_put_preset(clm_config *c, const char *preset, clm_err *err) {
    const char *text = clm_preset_text(preset);
    if (!text) {
        char all[256] = "";
        int n, at = 0;
        const char *const *names = clm_preset_names(&n);
        for (int i = 0; i < n; i++)
            at += snprintf(all + at, sizeof all - (size_t)at, "%s%s", i ? ", " : "", names[i]);
        return clm_fail(err, CLM_E_ARG, "unknown preset \"%s\"; there are: %s", preset, all);
    }
    clm_json *v;
    if (!clm_json_parse(text, strlen(text), preset, &v, err)) return false;
    bool ok = put_object(c, v, "", preset, err);
    clm_json_free(v);
    char *copy = ok ? clm_heap_text(preset, err) : NULL;
    if (!copy) return false;
    clm_heap_free(c->preset);
    c->preset = copy;
    return true;
}

bool clm_config_put_text(clm_config *c, const char *name, const char *value, clm_err *err) {
    const key *k = find_key(name);
    if (!k || k->kind != TEXT) return unknown_key(name, "command line", err);
    return put_text(c, k, value, "command line", err);
}

bool clm_config_set(clm_config *c, const char *assignment, clm_err *err) {
    const char *eq = strchr(assignment, '=');
    char name[128];
    if (!eq || eq == assignment || (size_t)(eq - assignment) >= sizeof name)
        return clm_fail(err, CLM_E_ARG, "--set %s: must be KEY=VALUE", assignment);
    memcpy(name, assignment, (size_t)(eq - assignment));
    name[eq - assignment] = 0;
    const key *k = find_key(name);
    if (!k) return unknown_key(name, "--set", err);
    if (k->kind == TEXT && eq[1] != '"') return put_text(c, k, eq + 1, "--set", err);
    clm_json *v;
    if (!clm_json_parse(eq + 1, strlen(eq + 1), assignment, &v, err)) {
        err->code = CLM_E_ARG;
        return clm_err_in(err, "--set");
    }
    bool ok = put_value(c, k, v, "--set", err);
    clm_json_free(v);
    return ok;
}

bool clm_config_new(clm_config **out, clm_err *err) {
    clm_config *c = clm_heap_new(1, sizeof *c, err);
    if (!c) return false;
    bool ok = (c->preset = clm_heap_text("", err)) != NULL;
    for (int i = 0; ok && i < KEY_COUNT; i++) {
        clm_json *v;
        ok = clm_json_parse(keys[i].standard, strlen(keys[i].standard), keys[i].key, &v, err);
        if (!ok) break;
        if (keys[i].kind == TEXT) { /* an empty default is fine even where the choices do not hold it */
            char **slot = field_of(c, &keys[i]);
            ok = (*slot = clm_heap_text(clm_json_text(v), err)) != NULL;
        } else {
            ok = put_value(c, &keys[i], v, "default", err);
        }
        clm_json_free(v);
    }
    if (!ok) {
        clm_config_free(c);
        return false;
    }
    *out = c;
    return true;
}

void clm_config_free(clm_config *c) {
    if (!c) return;
    for (int i = 0; i < KEY_COUNT; i++)
        if (keys[i].kind == TEXT) clm_heap_free(*(char **)field_of(c, &keys[i]));
    clm_heap_free(c->preset);
    clm_heap_free(c);
}

static void add_value(const clm_config *c, const key *k, clm_json *parent, const char *name) {
    const void *f = field_of(c, k);
    switch (k->kind) {
    case TEXT: clm_json_add_text(parent, name, *(char *const *)f); break;
    case INT: clm_json_add_number(parent, name, (double)*(const int64_t *)f); break;
    case REAL: clm_json_add_number(parent, name, *(const double *)f); break;
    case BOOL: clm_json_add_bool(parent, name, *(const bool *)f); break;
    case LIST: clm_json_add_numbers(parent, name, ((const clm_list *)f)->v, ((const clm_list *)f)->n); break;
    case LIST16:
        clm_json_add_numbers(parent, name, ((const clm_list16 *)f)->v, ((const clm_list16 *)f)->n);
        break;
    }
}

bool clm_config_to_json(const clm_config *c, clm_json **out, clm_err *err) {
    clm_json *root = clm_json_new_object(err);
    if (!root) return false;
    clm_json *group = NULL;
    clm_json_add_text(root, "preset", c->preset);
    for (int i = 0; i < KEY_COUNT; i++) {
        const char *dot = strchr(keys[i].key, '.');
        if (!dot) {
            add_value(c, &keys[i], root, keys[i].key);
            continue;
        }
        char name[64]; /* keys of a group stand together in the table */
        (void)snprintf(name, sizeof name, "%.*s", (int)(dot - keys[i].key), keys[i].key);
        if (!clm_json_get(root, name)) group = clm_json_add_object(root, name);
        add_value(c, &keys[i], group, dot + 1);
    }
    *out = root;
    return true;
}

static bool decides_no_byte(const char *name) {
    static const char *const names[] = {"out",       "threads",         "lease_s",
                                        "silence_s", "epoch_s",         "dedicated",
                                        "isolate",   "memory.task_mib", "memory.cache_mib"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

bool clm_config_hash(const clm_config *c, uint64_t *out, clm_err *err) {
    clm_json *v;
    clm_buf b = {0};
    uint64_t hash = CLM_HASH_BEGIN;
    bool ok = true;
    for (int i = 0; ok && i < KEY_COUNT; i++) {
        const char *k = keys[i].key;
        if (decides_no_byte(k)) continue;
        ok = (v = clm_json_new_object(err)) != NULL;
        if (!ok) break;
        add_value(c, &keys[i], v, k);
        b.n = 0;
        ok = clm_json_print(v, false, &b, err);
        clm_json_free(v);
        if (ok) hash = clm_hash64(hash, b.data, b.n);
    }
    clm_buf_free(&b);
    *out = hash;
    return ok;
}
