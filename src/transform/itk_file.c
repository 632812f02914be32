#include "collimate/base/text.h"
#include "collimate/transform/itk.h"

#include <stdio.h>
#include <string.h>

/* ITK's text and Matlab (version 4) transform files. */

#define TEXT_MAGIC "#Insight Transform File"
#define TRANSFORMS_MAX 64
#define UM_PER_MM 1e3

/* A file's transforms, as they stand. */
typedef struct found {
    int n;
    bool composite; /* the first was one, of all that follow */
    clm_affine affine[TRANSFORMS_MAX];
} found;

static bool add_found(found *f, const clm_itk *t, clm_err *err) {
    if (f->n == TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "more than %d transforms", TRANSFORMS_MAX);
    if (!clm_itk_affine(t, &f->affine[f->n], err)) return false;
    f->n++;
    return true;
}

static bool add_all(const char *path, const found *f, clm_map *map, clm_err *err) {
    if (f->n == 0) return clm_fail(err, CLM_E_FORMAT, "%s: no transform in it", path);
    if (f->n > 1 && !f->composite)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "%s: %d transforms and no CompositeTransform first: how they go together is not told",
                        path, f->n);
    for (int i = f->n - 1; i >= 0; i--)
        if (!clm_map_add_affine(map, &f->affine[i], err)) return false;
    return true;
}

/* ---- text ---- */

/* "KEY: VALUE" of a line into value; false: another line */
static bool value_of(const char *line, size_t n, const char *key, const char **value, size_t *length) {
    size_t m = strlen(key);
    if (n <= m || memcmp(line, key, m) != 0 || line[m] != ':') return false;
    *value = line + m + 1;
    *length = n - m - 1;
    return true;
}

static bool read_numbers(const char *text, size_t n, const clm_itk *t, int *count, double *out,
                         clm_err *err) {
    char word[64];
    *count = 0;
    for (size_t at = 0; at < n;) {
        if (strchr(" \t\r", text[at])) {
            at++;
            continue;
        }
        size_t length = 0;
        while (at + length < n && !strchr(" \t\r", text[at + length])) length++;
        (void)snprintf(word, sizeof word, "%.*s", (int)length, text + at);
        if (*count == CLM_ITK_PARAMETERS_MAX)
            return clm_fail(err, CLM_E_UNSUPPORTED, "%s: more than %d parameters: no affine transform",
                            t->type, CLM_ITK_PARAMETERS_MAX);
        if (length >= sizeof word || !clm_text_real(word, &out[*count]))
            return clm_fail(err, CLM_E_FORMAT, "%s: parameter \"%s\" is not a number", t->type, word);
        ++*count;
        at += length;
    }
    return true;
}

static bool read_line(const char *line, size_t n, clm_itk *t, bool *open, found *f, clm_err *err) {
    const char *value;
    size_t length;
    char name[128];
    if (value_of(line, n, "Transform", &value, &length)) {
        while (length && strchr(" \t", *value)) value++, length--;
        while (length && strchr(" \t\r", value[length - 1])) length--;
        (void)snprintf(name, sizeof name, "%.*s", (int)length, value);
        if (*open && !add_found(f, t, err)) return false;
        *t = (clm_itk){.n = 0};
        *open = !clm_text_begins(name, "CompositeTransform_");
        if (!*open && (f->n > 0 || f->composite))
            return clm_fail(err, CLM_E_UNSUPPORTED, "a composite inside another");
        if (!*open) f->composite = true;
        return clm_itk_set_type(t, name, err);
    }
    if (value_of(line, n, "Parameters", &value, &length))
        return read_numbers(value, length, t, &t->n, t->parameters, err);
    if (value_of(line, n, "FixedParameters", &value, &length))
        return read_numbers(value, length, t, &t->n_fixed, t->fixed, err);
    return true;
}

bool clm_itk_open_text(const char *path, const clm_buf *b, clm_map *map, bool *known, clm_err *err) {
    const char *text = (const char *)b->data, *end = text + b->n;
    found f = {.n = 0};
    clm_itk t = {.n = 0};
    bool open = false, ok = true;
    *known = b->n > strlen(TEXT_MAGIC) && memcmp(text, TEXT_MAGIC, strlen(TEXT_MAGIC)) == 0;
    if (!*known) return true;
    while (ok && text < end) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));
        if (!eol) eol = end;
        ok = read_line(text, (size_t)(eol - text), &t, &open, &f, err);
        text = eol < end ? eol + 1 : end;
    }
    if (ok && open) ok = add_found(&f, &t, err);
    if (!ok) return clm_err_in(err, "%s", path);
    return add_all(path, &f, map, err);
}

/* ---- Matlab, version 4: five 32-bit numbers, a name, a matrix by columns; again ---- */

typedef struct variable {
    char name[128];
    int n;
    double value[CLM_ITK_PARAMETERS_MAX];
} variable;

static uint64_t bits(const unsigned char *p, size_t size, bool big) {
    uint64_t x = 0;
    for (size_t i = 0; i < size; i++) x = x << 8 | p[big ? i : size - 1 - i];
    return x;
}

static double real_of(const unsigned char *p, bool narrow, bool big) {
    uint64_t b = bits(p, narrow ? 4 : 8, big);
    uint32_t u = (uint32_t)b;
    double d;
    float f;
    memcpy(&d, &b, sizeof d);
    memcpy(&f, &u, sizeof f);
    return narrow ? (double)f : d;
}

/* The head of a variable at `at`: false when there is none such. */
static bool head_of(const clm_buf *b, size_t at, bool *big, bool *narrow, size_t *n, size_t *name) {
    if (b->n - at < 20) return false;
    const unsigned char *p = b->data + at;
    /* type: 1000 when big-endian, 10 when float32 */
    *big = bits(p, 4, true) == 1000 || bits(p, 4, true) == 1010;
    uint64_t type = bits(p, 4, *big) % 1000, rows = bits(p + 4, 4, *big), columns = bits(p + 8, 4, *big),
             imaginary = bits(p + 12, 4, *big);
    *narrow = type == 10;
    *name = (size_t)bits(p + 16, 4, *big);
    *n = (size_t)(rows * columns);
    return (type == 0 || type == 10) && bits(p, 4, *big) < 1011 && imaginary == 0 && rows < 1u << 30 &&
           columns < 1u << 20 && *name >= 1 && *name < sizeof((variable *)0)->name;
}

static bool read_variable(const clm_buf *b, size_t *at, variable *out, clm_err *err) {
    bool big, narrow;
    size_t n, name;
    if (!head_of(b, *at, &big, &narrow, &n, &name) || b->n - *at - 20 < name ||
        (b->n - *at - 20 - name) / (narrow ? 4 : 8) < n)
        return clm_fail(err, CLM_E_FORMAT, "Matlab: damaged or cut short at byte %zu", *at);
    const unsigned char *p = b->data + *at + 20;
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)name, (const char *)p);
    if (n > CLM_ITK_PARAMETERS_MAX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: more than %d parameters: no affine transform", out->name,
                        CLM_ITK_PARAMETERS_MAX);
    p += name;
    for (size_t i = 0; i < n; i++) out->value[i] = real_of(p + i * (narrow ? 4 : 8), narrow, big);
    out->n = (int)n;
    *at += 20 + name + n * (narrow ? 4 : 8);
    return true;
}

bool clm_itk_open_matlab(const char *path, const clm_buf *b, clm_map *map, bool *known, clm_err *err) {
    bool big, narrow, ok = true;
    size_t n, name, at = 0;
    found f = {.n = 0};
    *known = head_of(b, 0, &big, &narrow, &n, &name);
    if (!*known) return true;
    while (ok && at < b->n) {
        variable v, fixed;
        clm_itk t = {.n = 0};
        ok = read_variable(b, &at, &v, err) && read_variable(b, &at, &fixed, err);
        if (ok && strcmp(fixed.name, "fixed") != 0)
            ok = clm_fail(err, CLM_E_FORMAT, "\"%s\" where \"fixed\" should follow %s", fixed.name, v.name);
        if (!ok) break;
        t.n = v.n;
        t.n_fixed = fixed.n;
        memcpy(t.parameters, v.value, sizeof t.parameters);
        memcpy(t.fixed, fixed.value, sizeof t.fixed);
        ok = clm_itk_set_type(&t, v.name, err) && add_found(&f, &t, err);
    }
    if (!ok) return clm_err_in(err, "%s", path);
    return add_all(path, &f, map, err);
}

/* ---- writing ---- */

static void parameters_of(const clm_affine *a, double p[12]) {
    for (int d = 0; d < 3; d++) {
        for (int k = 0; k < 3; k++) p[3 * d + k] = a->m[2 - d][2 - k];
        p[9 + d] = a->m[2 - d][3] / UM_PER_MM;
    }
}

bool clm_itk_text_of(const clm_affine *a, clm_buf *out, clm_err *err) {
    double p[12];
    parameters_of(a, p);
    bool ok = clm_buf_printf(
        out, err, TEXT_MAGIC " V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters:");
    for (int i = 0; ok && i < 12; i++) ok = clm_buf_printf(out, err, " %.17g", p[i]);
    return ok && clm_buf_printf(out, err, "\nFixedParameters: 0 0 0\n");
}

static bool add_variable(const char *name, const double *x, int n, clm_buf *out, clm_err *err) {
    const uint32_t head[5] = {0, (uint32_t)n, 1, 0, (uint32_t)strlen(name) + 1};
    size_t most = sizeof head + head[4] + (size_t)n * 8;
    if (!clm_buf_reserve(out, out->n + most, err)) return false;
    unsigned char *p = out->data + out->n;
    for (int i = 0; i < 20; i++) *p++ = (unsigned char)(head[i / 4] >> 8 * (i % 4));
    memcpy(p, name, head[4]);
    p += head[4];
    for (int i = 0; i < n; i++) {
        uint64_t b;
        memcpy(&b, &x[i], sizeof b);
        for (int k = 0; k < 8; k++) *p++ = (unsigned char)(b >> 8 * k);
    }
    out->n += most;
    return true;
}

bool clm_itk_matlab_of(const clm_affine *a, clm_buf *out, clm_err *err) {
    static const double centre[3] = {0, 0, 0};
    double p[12];
    parameters_of(a, p);
    return add_variable("AffineTransform_double_3_3", p, 12, out, err) &&
           add_variable("fixed", centre, 3, out, err);
}
