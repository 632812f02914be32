#include "collimate/base/file.h"
#include "collimate/transform/itk.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Parameter files of elastix: lines (Name value value ...), texts in quotes, // begins a comment.
 * Source: the elastix manual, "The transform parameter file". */

#define BYTES_MAX ((size_t)16 << 20)
#define DEPTH_MAX 16

/* The values of (NAME ...): from just behind the name to before its bracket; NULL: it is not there */
static const char *values_of(const clm_buf *b, const char *name, size_t *n) {
    const char *text = (const char *)b->data, *end = text + b->n;
    size_t m = strlen(name);
    for (const char *line = text; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line)), *p = line;
        if (!eol) eol = end;
        while (p < eol && isspace((unsigned char)*p)) p++;
        if (p < eol && *p == '(' && (size_t)(eol - p) > m + 1 && memcmp(p + 1, name, m) == 0 &&
            isspace((unsigned char)p[m + 1])) {
            const char *close = memchr(p, ')', (size_t)(eol - p));
            if (!close) return NULL;
            *n = (size_t)(close - (p + m + 1));
            return p + m + 1;
        }
        line = eol < end ? eol + 1 : end;
    }
    return NULL;
}

/* the first text, without quotes; otherwise `absent` */
static void text_of(const clm_buf *b, const char *name, const char *absent, char *out, size_t size) {
    size_t n = 0;
    const char *p = values_of(b, name, &n), *first = p ? memchr(p, '"', n) : NULL;
    const char *last = first ? memchr(first + 1, '"', n - (size_t)(first + 1 - p)) : NULL;
    (void)snprintf(out, size, "%.*s", last ? (int)(last - first - 1) : (int)strlen(absent),
                   last ? first + 1 : absent);
}

static bool numbers_of(const clm_buf *b, const char *name, int *count, double out[CLM_ITK_PARAMETERS_MAX],
                       clm_err *err) {
    size_t n = 0, at = 0;
    const char *p = values_of(b, name, &n);
    char word[64];
    *count = 0;
    for (; p && at < n; at++) {
        size_t length = 0;
        while (at + length < n && !isspace((unsigned char)p[at + length])) length++;
        if (length == 0) continue;
        (void)snprintf(word, sizeof word, "%.*s", (int)length, p + at);
        if (*count == CLM_ITK_PARAMETERS_MAX)
            return clm_fail(err, CLM_E_UNSUPPORTED, "%s: more than %d", name, CLM_ITK_PARAMETERS_MAX);
        if (length >= sizeof word || !clm_text_real(word, &out[*count]))
            return clm_fail(err, CLM_E_FORMAT, "%s: \"%s\" is not a number", name, word);
        ++*count;
        at += length;
    }
    return true;
}

/* Their names of ITK's transforms. Euler angles are turned as ITK's unless ComputeZYX says otherwise. */
static bool itk_of(const clm_buf *b, clm_itk *t, clm_err *err) {
    static const char *const names[][2] = {{"TranslationTransform", "TranslationTransform"},
                                           {"EulerTransform", "Euler3DTransform"},
                                           {"SimilarityTransform", "Similarity3DTransform"},
                                           {"AffineTransform", "AffineTransform"}};
    char kind[64], zyx[16];
    double dimensions[CLM_ITK_PARAMETERS_MAX] = {3};
    int n = 0;
    text_of(b, "Transform", "", kind, sizeof kind);
    size_t i = 0;
    while (i < 4 && strcmp(kind, names[i][0]) != 0) i++;
    if (i == 4)
        return clm_fail(err, CLM_E_UNSUPPORTED,
                        "elastix %s is no affine transform; transformix -def all writes it as a field", kind);
    if (!numbers_of(b, "FixedImageDimension", &n, dimensions, err)) return false;
    if (n > 0 && dimensions[0] != 3)
        return clm_fail(err, CLM_E_UNSUPPORTED, "FixedImageDimension %g; only 3", dimensions[0]);
    (void)snprintf(t->type, sizeof t->type, "%s", names[i][1]);
    if (!numbers_of(b, "TransformParameters", &t->n, t->parameters, err) ||
        !numbers_of(b, "CenterOfRotationPoint", &t->n_fixed, t->fixed, err))
        return false;
    text_of(b, "ComputeZYX", "false", zyx, sizeof zyx);
    if (i == 1 && t->n_fixed == 3) t->fixed[t->n_fixed++] = strcmp(zyx, "true") == 0;
    return true;
}

/* Where it stood when elastix wrote is no matter: by its last name beside this file, and nowhere else. */
static bool read_initial(const char *beside, const char *name, clm_buf *b, char path[CLM_PATH_MAX],
                         clm_err *err) {
    return clm_path_format(path, err, "%.*s%s", (int)(clm_path_name(beside) - beside), beside,
                           clm_path_name(name)) &&
           (clm_file_read(path, BYTES_MAX, b, err) || clm_err_in(err, "the initial transform"));
}

/* The grid of the fixed image, where its axes are the world's; otherwise it stays unknown. */
static bool read_grid(const clm_buf *b, clm_image_frame *out, clm_err *err) {
    static const char *const names[] = {"Size", "Spacing", "Origin", "Direction", "Index"};
    static const double upright[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double v[5][CLM_ITK_PARAMETERS_MAX] = {{0}};
    int n[5];
    for (int i = 0; i < 5; i++)
        if (!numbers_of(b, names[i], &n[i], v[i], err)) return false;
    bool ok = n[0] == 3 && n[1] == 3 && n[2] == 3 && n[3] == 9 && memcmp(v[3], upright, sizeof upright) == 0;
    for (int d = 0; ok && d < 3; d++) ok = v[0][d] >= 1 && v[0][d] < 1e9 && v[1][d] > 0 && v[4][d] == 0;
    for (int d = 0; ok && d < 3; d++) {
        out->shape[d] = (int64_t)v[0][2 - d];
        out->spacing_um[d] = v[1][2 - d] * 1e3;
        out->origin_um[d] = v[2][2 - d] * 1e3;
    }
    return true;
}

static bool open_from(const char *path, const clm_buf *b, int depth, clm_map *map, clm_err *err) {
    char initial[CLM_PATH_MAX], how[32], file[CLM_PATH_MAX];
    clm_itk t = {.n = 0};
    clm_affine a;
    if (depth == DEPTH_MAX)
        return clm_fail(err, CLM_E_FORMAT, "%s: %d initial transforms, one the initial of the other", path,
                        depth);
    text_of(b, "InitialTransformParametersFileName", "", initial, sizeof initial);
    if (!initial[0])
        text_of(b, "InitialTransformParameterFileName", "NoInitialTransform", initial, sizeof initial);
    text_of(b, "HowToCombineTransforms", "Compose", how, sizeof how);
    if (strcmp(initial, "NoInitialTransform") != 0) {
        clm_buf first = {0};
        if (strcmp(how, "Compose") != 0)
            return clm_fail(err, CLM_E_UNSUPPORTED, "%s: HowToCombineTransforms %s; only Compose", path, how);
        bool ok =
            read_initial(path, initial, &first, file, err) && open_from(file, &first, depth + 1, map, err);
        clm_buf_free(&first);
        if (!ok) return false;
    }
    if (depth == 0 && !read_grid(b, &map->fixed, err)) return clm_err_in(err, "%s", path);
    return (itk_of(b, &t, err) && clm_itk_affine(&t, &a, err)) ? clm_map_add_affine(map, &a, err)
                                                               : clm_err_in(err, "%s", path);
}

bool clm_elastix_open(const char *path, const clm_buf *b, clm_map *map, bool *known, clm_err *err) {
    size_t n;
    *known = values_of(b, "Transform", &n) && values_of(b, "TransformParameters", &n);
    return !*known || open_from(path, b, 0, map, err);
}
