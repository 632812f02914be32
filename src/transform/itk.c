#include "collimate/transform/itk.h"
#include "collimate/base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define UM_PER_MM 1e3

bool clm_itk_set_type(clm_itk *out, const char *name, clm_err *err) {
    const char *suffix = strchr(name, '_');
    size_t n = suffix ? (size_t)(suffix - name) : strlen(name);
    if (n == 0 || n >= sizeof out->type)
        return clm_fail(err, CLM_E_FORMAT, "\"%.80s\" is no name of an ITK transform", name);
    if (suffix && !clm_text_ends(name, "_3_3"))
        return clm_fail(err, CLM_E_UNSUPPORTED, "%.80s: only transforms of three dimensions (_3_3)", name);
    memcpy(out->type, name, n);
    out->type[n] = 0;
    return true;
}

/* ---- matrices, x y z ---- */

static void product(const double a[3][3], const double b[3][3], double out[3][3]) {
    double r[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) r[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
    memcpy(out, r, sizeof r);
}

static void of_angles(const double angle[3], bool zyx, double out[3][3]) {
    double c[3], s[3];
    for (int d = 0; d < 3; d++) c[d] = cos(angle[d]), s[d] = sin(angle[d]);
    const double rx[3][3] = {{1, 0, 0}, {0, c[0], -s[0]}, {0, s[0], c[0]}};
    const double ry[3][3] = {{c[1], 0, s[1]}, {0, 1, 0}, {-s[1], 0, c[1]}};
    const double rz[3][3] = {{c[2], -s[2], 0}, {s[2], c[2], 0}, {0, 0, 1}};
    product(zyx ? ry : rx, zyx ? rx : ry, out);
    product(rz, (const double(*)[3])out, out);
}

/* w, from the other three, is not negative: a versor is of unit length */
static void of_quaternion(double x, double y, double z, double w, double out[3][3]) {
    const double r[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)},
                            {2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)},
                            {2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)}};
    memcpy(out, r, sizeof r);
}

static void of_versor(const double v[3], double out[3][3]) {
    double left = 1 - v[0] * v[0] - v[1] * v[1] - v[2] * v[2];
    of_quaternion(v[0], v[1], v[2], left > 0 ? sqrt(left) : 0, out);
}

/* ---- the transforms ---- */

typedef enum kind {
    IDENTITY,
    TRANSLATION,
    SCALE,
    MATRIX,
    EULER,
    VERSOR,
    VERSOR_RIGID,
    QUATERNION,
    SIMILARITY,
    SCALE_VERSOR,
    SCALE_SKEW,
    COMPOSE_SCALE_SKEW,
    KINDS
} kind;

static const struct {
    const char *name;
    kind kind;
    int parameters;
    int translation; /* which parameter its translation begins at; -1: it has none */
} table[] = {{"IdentityTransform", IDENTITY, 0, -1},
             {"TranslationTransform", TRANSLATION, 3, 0},
             {"ScaleTransform", SCALE, 3, -1},
             {"AffineTransform", MATRIX, 12, 9},
             {"MatrixOffsetTransformBase", MATRIX, 12, 9},
             {"Rigid3DTransform", MATRIX, 12, 9},
             {"Euler3DTransform", EULER, 6, 3},
             {"VersorTransform", VERSOR, 3, -1},
             {"VersorRigid3DTransform", VERSOR_RIGID, 6, 3},
             {"QuaternionRigidTransform", QUATERNION, 7, 4},
             {"Similarity3DTransform", SIMILARITY, 7, 3},
             {"ScaleVersor3DTransform", SCALE_VERSOR, 9, 3},
             {"ScaleSkewVersor3DTransform", SCALE_SKEW, 15, 3},
             {"ComposeScaleSkewVersor3DTransform", COMPOSE_SCALE_SKEW, 12, 3}};

static void matrix_of(const clm_itk *t, kind k, double m[3][3]) {
    const double *p = t->parameters;
    double s[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    memcpy(m, s, sizeof s);
    switch (k) {
    case SCALE:
        for (int d = 0; d < 3; d++) m[d][d] = p[d];
        break;
    case MATRIX: memcpy(m, p, 9 * sizeof *p); break;
    case EULER: of_angles(p, t->n_fixed > 3 && t->fixed[3] != 0, m); break;
    case QUATERNION: of_quaternion(p[0], p[1], p[2], p[3], m); break;
    case VERSOR:
    case VERSOR_RIGID:
    case SIMILARITY:
    case SCALE_VERSOR:
    case SCALE_SKEW:
    case COMPOSE_SCALE_SKEW: of_versor(p, m); break;
    default: break;
    }
    if (k == SIMILARITY)
        for (int i = 0; i < 9; i++) m[i / 3][i % 3] *= p[6];
    if (k == SCALE_VERSOR || k == SCALE_SKEW) /* added, not multiplied: so ITK has it */
        for (int d = 0; d < 3; d++) m[d][d] += p[6 + d] - 1;
    if (k == SCALE_SKEW) {
        m[0][1] += p[9], m[0][2] += p[10], m[1][0] += p[11];
        m[1][2] += p[12], m[2][0] += p[13], m[2][1] += p[14];
    }
    if (k == COMPOSE_SCALE_SKEW) {
        const double skew[3][3] = {{1, p[9], p[10]}, {0, 1, p[11]}, {0, 0, 1}};
        for (int d = 0; d < 3; d++) s[d][d] = p[6 + d];
        product((const double(*)[3])m, (const double(*)[3])s, m);
        product((const double(*)[3])m, skew, m);
    }
}

bool clm_itk_affine(const clm_itk *t, clm_affine *out, clm_err *err) {
    size_t i = 0, n = sizeof table / sizeof table[0];
    while (i < n && strcmp(t->type, table[i].name) != 0) i++;
    if (i == n)
        return clm_fail(
            err, CLM_E_UNSUPPORTED,
            "%s is no affine transform; write it as a displacement field with the program it is from",
            t->type);
    bool centred = table[i].kind != IDENTITY && table[i].kind != TRANSLATION;
    if (t->n != table[i].parameters || (centred && t->n_fixed != 0 && t->n_fixed < 3))
        return clm_fail(err, CLM_E_FORMAT, "%s has %d parameters and 3 fixed ones, not %d and %d", t->type,
                        table[i].parameters, t->n, t->n_fixed);
    double m[3][3], shift[3];
    matrix_of(t, table[i].kind, m);
    for (int d = 0; d < 3; d++) {
        double c = centred && t->n_fixed ? t->fixed[d] : 0;
        shift[d] = (table[i].translation < 0 ? 0 : t->parameters[table[i].translation + d]) + c;
        for (int k = 0; k < 3 && centred && t->n_fixed; k++) shift[d] -= m[d][k] * t->fixed[k];
    }
    for (int d = 0; d < 3; d++) {
        for (int k = 0; k < 3; k++) out->m[d][k] = m[2 - d][2 - k];
        out->m[d][3] = shift[2 - d] * UM_PER_MM;
        for (int k = 0; k < 4; k++)
            if (!isfinite(out->m[d][k]))
                return clm_fail(err, CLM_E_FORMAT, "%s: a parameter that is not finite", t->type);
    }
    return true;
}
