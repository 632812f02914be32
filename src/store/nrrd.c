#include "collimate/base/file.h"
#include "collimate/codec/codec_json.h"
#include "collimate/store/format.h"
#include "collimate/store/node.h"
#include "collimate/store/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* NRRD, http://teem.sourceforge.net/nrrd/format.html: attached headers and single detached files, raw, gzip,
 * bzip2 or text. Axes are listed fastest first. World x left, y posterior, z superior, as ITK has it; a space
 * that is not anatomical is taken as it is. */

#define HEADER_MOST ((size_t)1 << 20)

typedef struct nrrd {
    int ndim;
    int64_t size[CLM_DIMS_MAX]; /* fastest first */
    clm_dtype type;
    bool big, typed;
    const char *encoding; /* raw, gzip, bzip2 or ascii; NULL: not told */
    int space_dimension;
    int64_t skip;
    double direction[CLM_DIMS_MAX][3], origin[3], spacing[CLM_DIMS_MAX];
    bool is_space[CLM_DIMS_MAX], has_directions, has_spacings;
    double sign[3], um[3];        /* of the space */
    double axis_um[CLM_DIMS_MAX]; /* that "units" tells of an axis with a spacing; 0: not told */
    char unit[24], space[64], data_file[256];
} nrrd;

/* Every spelling of the format: "signed" and " int" may be said or not, and the widths have names with and without _t. */
static bool type_of(const char *name, clm_dtype *out) {
    static const struct {
        const char *name[4];
        clm_dtype type;
    } table[] = {{{"char", "int8", "int8_t"}, CLM_I8},
                 {{"uchar", "unsigned char", "uint8", "uint8_t"}, CLM_U8},
                 {{"short", "int16", "int16_t"}, CLM_I16},
                 {{"ushort", "unsigned short", "uint16", "uint16_t"}, CLM_U16},
                 {{"int", "int32", "int32_t"}, CLM_I32},
                 {{"uint", "unsigned int", "uint32", "uint32_t"}, CLM_U32},
                 {{"longlong", "long long", "int64", "int64_t"}, CLM_I64},
                 {{"ulonglong", "unsigned long long", "uint64", "uint64_t"}, CLM_U64},
                 {{"float"}, CLM_F32},
                 {{"double"}, CLM_F64}};
    bool with_sign = strncmp(name, "signed ", 7) == 0;
    char plain[32];
    (void)snprintf(plain, sizeof plain, "%s", name + (with_sign ? 7 : 0));
    size_t n = strlen(plain);
    if (clm_text_ends(plain, "short int") || clm_text_ends(plain, "long long int")) plain[n - 4] = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int k = 0; k < 4 && table[i].name[k]; k++)
            if (strcmp(plain, table[i].name[k]) == 0) {
                *out = table[i].type;
                return *out != CLM_I8 || with_sign || strcmp(plain, "char") != 0; /* char alone is no type */
            }
    return false;
}

/* The next blank-separated word of *p into out; false at the end. */
static bool word(const char **p, char out[64]) {
    while (**p == ' ' || **p == '\t' || **p == ',') (*p)++;
    size_t n = strcspn(*p, " \t,");
    if (n == 0 || n >= 64) return false;
    memcpy(out, *p, n);
    out[n] = 0;
    *p += n;
    return true;
}

/* "(x,y,z)", or as many as the space has, or "none" */
static bool vector(const char **p, int ndim, double v[3], bool *none) {
    while (**p == ' ') (*p)++;
    *none = strncmp(*p, "none", 4) == 0;
    if (*none) {
        *p += 4;
        return true;
    }
    const char *end = strchr(*p, ')');
    if (**p != '(' || !end || end - *p > 200) return false;
    char inner[208], item[64];
    memcpy(inner, *p + 1, (size_t)(end - *p - 1));
    inner[end - *p - 1] = 0;
    const char *q = inner;
    *p = end + 1;
    for (int i = 0; i < ndim; i++)
        if (!word(&q, item) || !clm_text_real(item, &v[i])) return false;
    return true;
}

static bool directions(nrrd *n, const char *value) {
    for (int i = 0; i < n->ndim; i++) {
        bool none;
        if (!vector(&value, n->space_dimension, n->direction[i], &none)) return false;
        n->is_space[i] = !none;
    }
    return n->has_directions = true;
}

static bool reals(nrrd *n, const char *value) {
    char item[64];
    for (int i = 0; i < n->ndim; i++) {
        if (!word(&value, item)) return false;
        n->is_space[i] = clm_text_real(item, &n->spacing[i]) && n->spacing[i] != 0;
    }
    return n->has_spacings = true;
}

static bool sizes(nrrd *n, const char *value) {
    char item[64];
    for (int i = 0; i < n->ndim; i++)
        if (!word(&value, item) || !clm_text_int(item, &n->size[i])) return false;
    return true;
}

/* Quoted units, one for each space axis: "mm" "mm" "mm" */
static bool units(nrrd *n, const char *value) {
    for (int i = 0; i < n->space_dimension; i++) {
        const char *a = strchr(value, '"'), *b = a ? strchr(a + 1, '"') : NULL;
        if (!b) return false;
        (void)snprintf(n->unit, sizeof n->unit, "%.*s", (int)(b - a - 1), a + 1);
        if (!clm_unit_um(n->unit, &n->um[i])) return false;
        value = b + 1;
    }
    return true;
}

/* The same of each axis, for spacings; "" where an axis is not of space */
static bool axis_units(nrrd *n, const char *value) {
    for (int i = 0; i < n->ndim; i++) {
        char unit[sizeof n->unit];
        const char *a = strchr(value, '"'), *b = a ? strchr(a + 1, '"') : NULL;
        if (!b) return false;
        (void)snprintf(unit, sizeof unit, "%.*s", (int)(b - a - 1), a + 1);
        value = b + 1;
        if (!clm_unit_um(unit, &n->axis_um[i])) n->axis_um[i] = 0; /* of time, of nothing */
        if (n->axis_um[i] > 0) memcpy(n->unit, unit, sizeof unit);
    }
    return true;
}

static bool space(nrrd *n, const char *value) {
    (void)snprintf(n->space, sizeof n->space, "%.63s", value);
    /* where an axis runs right or anterior it is turned */
    bool ras = strncmp(value, "right-anterior", 14) == 0 || strncmp(value, "RAS", 3) == 0;
    bool las = strncmp(value, "left-anterior", 13) == 0 || strncmp(value, "LAS", 3) == 0;
    if (ras) n->sign[0] = -1;
    if (ras || las) n->sign[1] = -1;
    return true;
}

static const char *encoding_of(const char *name) {
    static const char *const known[][2] = {{"raw", "raw"},     {"gzip", "gzip"}, {"gz", "gzip"},
                                           {"bzip2", "bzip2"}, {"bz2", "bzip2"}, {"ascii", "ascii"},
                                           {"text", "ascii"},  {"txt", "ascii"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i][0]) == 0) return known[i][1];
    return NULL;
}

static bool field(nrrd *n, const char *key, const char *value, clm_err *err) {
    char below[CLM_PATH_MAX];
    bool ok = true, none;
    int64_t x = 0;
    if (strcmp(key, "dimension") == 0) {
        ok = clm_text_int(value, &x) && x >= 1 && x <= CLM_DIMS_MAX;
        n->ndim = (int)x;
    } else if (strcmp(key, "type") == 0) {
        ok = n->typed = type_of(value, &n->type);
    } else if (strcmp(key, "sizes") == 0) {
        ok = n->ndim && sizes(n, value);
    } else if (strcmp(key, "endian") == 0) {
        n->big = strcmp(value, "big") == 0;
    } else if (strcmp(key, "encoding") == 0) {
        n->encoding = encoding_of(value);
        if (!n->encoding)
            return clm_fail(err, CLM_E_UNSUPPORTED, "NRRD: encoding %s; raw, gzip, bzip2 or ascii", value);
    } else if (strcmp(key, "space directions") == 0) {
        ok = n->ndim && directions(n, value);
    } else if (strcmp(key, "space origin") == 0) {
        ok = vector(&value, n->space_dimension, n->origin, &none) && !none;
    } else if (strcmp(key, "spacings") == 0) {
        ok = n->ndim && reals(n, value);
    } else if (strcmp(key, "space units") == 0) {
        ok = units(n, value);
    } else if (strcmp(key, "units") == 0) {
        ok = n->ndim && axis_units(n, value);
    } else if (strcmp(key, "space") == 0) {
        ok = space(n, value);
    } else if (strcmp(key, "space dimension") == 0) {
        ok = clm_text_int(value, &x) && (x == 2 || x == 3);
        n->space_dimension = (int)x;
    } else if (strcmp(key, "byte skip") == 0) {
        ok = clm_text_int(value, &n->skip) && n->skip >= -1; /* -1: the voxels are the file's end */
    } else if (strcmp(key, "line skip") == 0) {
        ok = clm_text_int(value, &x) && x == 0;
    } else if (strcmp(key, "data file") == 0 || strcmp(key, "datafile") == 0) {
        ok = strncmp(value, "LIST", 4) != 0 && !strchr(value, '%') && strlen(value) < sizeof n->data_file;
        if (ok && (value[0] == '/' || !clm_node_below(below, "", value, err)))
            return clm_fail(err, CLM_E_UNSUPPORTED, "NRRD: data file %s does not stand beside the header",
                            value);
        (void)snprintf(n->data_file, sizeof n->data_file, "%.255s", value);
    }
    return ok || clm_fail(err, CLM_E_FORMAT, "NRRD: %s: %s is not understood", key, value);
}

/* Lines "key: value" up to an empty one; *end is where the voxels begin. */
static bool parse(nrrd *n, const char *text, size_t bytes, size_t *end, clm_err *err) {
    size_t at = 0;
    for (int line = 0; at < bytes; line++) {
        const char *eol = memchr(text + at, '\n', bytes - at);
        if (!eol) break;
        size_t len = (size_t)(eol - text) - at;
        char buf[1024];
        const char *from = text + at;
        at += len + 1;
        if (len && from[len - 1] == '\r') len--;
        if (len == 0) {
            *end = at;
            return true;
        }
        if (line == 0 || from[0] == '#' || len >= sizeof buf) continue;
        memcpy(buf, from, len);
        buf[len] = 0;
        char *colon = strstr(buf, ": ");
        if (!colon) continue; /* "key:=value" pairs are the user's own */
        *colon = 0;
        if (!field(n, buf, colon + 2 + strspn(colon + 2, " "), err)) return false;
    }
    *end = at;
    return n->data_file[0] || clm_fail(err, CLM_E_FORMAT, "NRRD: the header does not end");
}

static bool set_place(clm_array *a, const nrrd *n, clm_err *err) {
    clm_place *p = clm_heap_new(1, sizeof *p, err);
    if (!p) return false;
    a->place = p;
    p->channel_axis = p->time_axis = -1;
    (void)snprintf(p->dialect, sizeof p->dialect, "NRRD %s",
                   n->has_directions ? "space directions" : "spacings");
    (void)snprintf(p->unit, sizeof p->unit, "%s", n->unit);
    double step[3][3] = {{0}}, origin[3];
    int axis[3], k = 0;
    for (int i = 0; i < n->ndim; i++) {
        bool spatial = n->has_directions || n->has_spacings ? n->is_space[i] : true;
        if (!spatial) p->channel_axis = n->ndim - 1 - i;
        if (!spatial || k == 3) {
            k += spatial;
            continue;
        }
        for (int w = 0; w < 3; w++)
            step[k][w] = n->has_directions ? n->direction[i][w] * n->sign[w] * n->um[w]
                         : w == k          ? n->spacing[i] * (n->axis_um[i] > 0 ? n->axis_um[i] : n->um[w])
                                           : 0;
        axis[k++] = n->ndim - 1 - i;
    }
    for (int w = 0; w < 3; w++) origin[w] = n->origin[w] * n->sign[w] * n->um[w];
    if (!n->has_directions && !n->has_spacings)
        (void)snprintf(p->problem, sizeof p->problem,
                       "NRRD: neither space directions nor spacings; give the spacing");
    else if (k != 3)
        (void)snprintf(p->problem, sizeof p->problem, "NRRD: %d space axes; alignment needs three", k);
    else
        clm_place_axes(p, (const double(*)[3])step, origin, axis, a->info.shape);
    p->slope = 1;
    /* ITK writes left-posterior-superior and takes components along it; elsewhere they may be along other axes */
    p->vector_um = n->sign[0] > 0 && n->sign[1] > 0 ? n->um[0] : 0;
    return true;
}

/* Numbers between blanks, as native elements. */
static bool numbers(const clm_buf *text, clm_dtype type, int64_t count, unsigned char *out, clm_err *err) {
    const double most =
        clm_dtype_is_integer(type) ? 9007199254740992.0 : HUGE_VAL; /* what a double holds exactly */
    size_t size = clm_dtype_size(type), at = 0;
    for (int64_t i = 0; i < count; i++) {
        char item[64];
        unsigned char element[16];
        size_t len = 0;
        double x;
        while (at < text->n && memchr(" \t\r\n,", text->data[at], 5)) at++;
        while (at < text->n && len < sizeof item - 1 && !memchr(" \t\r\n,", text->data[at], 5))
            item[len++] = (char)text->data[at++];
        item[len] = 0;
        bool known = clm_text_real(item, &x) && fabs(x) <= most;
        if (!known && !clm_dtype_is_integer(type)) { /* the format's own words */
            known = strcmp(item, "nan") == 0 || strcmp(item, "inf") == 0 || strcmp(item, "-inf") == 0;
            x = item[0] == 'n' ? (double)NAN : item[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        }
        if (!known || !clm_fill_of_double(x, type, element, err))
            return clm_fail(err, CLM_E_FORMAT, "NRRD: value %lld of %lld, \"%s\", is no %s", (long long)i,
                            (long long)count, item, clm_dtype_name(type));
        memcpy(out + (size_t)i * size, element, size);
    }
    return true;
}

/* The file's voxels from `offset` on, undone, replacing *data. */
static bool unpack(const nrrd *n, const char *file, int64_t offset, const clm_array_info *info, clm_buf *data,
                   clm_err *err) {
    clm_codec bzip2 = {.kind = CLM_CODEC_BZ2};
    clm_buf out = {0};
    size_t size = clm_dtype_size(info->dtype);
    int64_t count;
    if (!clm_product(info->ndim, info->shape, INT64_MAX / 32, &count, err) ||
        !clm_file_read(file, (size_t)1 << 36, data, err))
        return false;
    if (data->n < (size_t)offset) return clm_fail(err, CLM_E_FORMAT, "NRRD: cut short");
    memmove(data->data, data->data + offset, data->n - (size_t)offset);
    data->n -= (size_t)offset;
    if (n->encoding[0] == 'g') return clm_gunzip(data, err);
    /* two letters a value; bzip2 packs runs of 51 : 1 into blocks of 900 kB, of 40 bytes at the least */
    bool text = n->encoding[0] == 'a';
    size_t want = (size_t)count * size;
    if (text ? (size_t)count > data->n / 2 + 1 : want / 1200000 > data->n)
        return clm_fail(err, CLM_E_FORMAT, "NRRD: %zu bytes cannot hold %lld values", data->n,
                        (long long)count);
    bool ok = clm_buf_reserve(&out, want + 1, err) &&
              (text ? numbers(data, info->dtype, count, out.data, err)
                    : clm_codec_decode(&bzip2, data->data, data->n, out.data, want, &out.n, err));
    if (text) out.n = want;
    clm_buf_free(ok ? data : &out);
    if (ok) *data = out;
    return ok;
}

static bool open_parsed(const char *file, nrrd *n, size_t header, clm_array **out, clm_err *err) {
    char other[CLM_PATH_MAX];
    clm_array_info info = {.ndim = n->ndim, .dtype = n->type, .format = "nrrd"};
    clm_buf data = {0};
    int64_t offset = (int64_t)header + n->skip;
    if (!n->ndim || !n->typed || !n->encoding)
        return clm_fail(err, CLM_E_FORMAT, "NRRD: type, dimension or encoding is missing");
    (void)snprintf(info.codec, sizeof info.codec, "%s", n->encoding[0] == 'r' ? "none" : n->encoding);
    for (int i = 0; i < n->ndim; i++) info.shape[n->ndim - 1 - i] = n->size[i];
    if (n->data_file[0]) {
        size_t folder = (size_t)(clm_path_name(file) - file);
        if (!clm_path_format(other, err, "%.*s%s", (int)folder, file, n->data_file)) return false;
        file = other;
        offset = n->skip;
    }
    bool ok = true, raw = n->encoding[0] == 'r';
    if (n->skip < 0) offset = -1;
    if (n->skip < 0 && !raw) ok = clm_fail(err, CLM_E_FORMAT, "NRRD: byte skip -1 is of raw voxels only");
    if (ok && !raw) {
        ok = unpack(n, file, offset, &info, &data, err);
        offset = 0;
    }
    ok = ok && clm_flat_open(file, &info, n->encoding[0] != 'a' && n->big, offset, &data, out, err);
    clm_buf_free(&data);
    if (!ok || set_place(*out, n, err)) return ok;
    clm_array_close(*out);
    return false;
}

bool clm_nrrd_open(const char *file, clm_array **out, clm_err *err) {
    clm_buf head = {0};
    size_t end = 0;
    nrrd n = {.space_dimension = 3, .sign = {1, 1, 1}, .um = {1e3, 1e3, 1e3}, .unit = "mm (not said)"};
    bool ok = clm_file_head(file, HEADER_MOST, &head, err) &&
              parse(&n, (const char *)head.data, head.n, &end, err) && open_parsed(file, &n, end, out, err);
    clm_buf_free(&head);
    return ok;
}
