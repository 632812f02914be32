#include "collimate/base/file.h"
#include "collimate/codec/codec_family.h"
#include "collimate/store/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* NIfTI-1 and -2 single files, also gzipped: https://nifti.nimh.nih.gov/nifti-1, nifti1.h and nifti2.h.
 * The file's world is x right, y anterior, z superior, in mm; ours, as ITK's, is x left, y posterior,
 * z superior: x and y change sign. */

typedef struct header {
    const unsigned char *p;
    bool swap, v2;
} header;

static uint64_t bits(const header *h, size_t at, size_t size) {
    unsigned char b[8] = {0};
    for (size_t i = 0; i < size; i++) b[i] = h->p[at + (h->swap ? size - 1 - i : i)];
    return clm_le64(b); /* the file's bytes, little-endian unless swap */
}

static int64_t integer(const header *h, size_t at, size_t size) {
    uint64_t x = bits(h, at, size);
    if (size < 8 && x >> (8 * size - 1)) x |= ~(uint64_t)0 << 8 * size;
    return (int64_t)x;
}

static double real(const header *h, size_t at1, size_t at2) {
    uint64_t b = bits(h, h->v2 ? at2 : at1, h->v2 ? 8 : 4);
    uint32_t u = (uint32_t)b;
    double d;
    float f;
    memcpy(&d, &b, sizeof d);
    memcpy(&f, &u, sizeof f);
    return h->v2 ? d : (double)f;
}

static bool type_of(int64_t code, clm_dtype *out) {
    static const struct {
        int code;
        clm_dtype type;
    } table[] = {{2, CLM_U8},    {4, CLM_I16},    {8, CLM_I32},    {16, CLM_F32},
                 {32, CLM_C64},  {64, CLM_F64},   {256, CLM_I8},   {512, CLM_U16},
                 {768, CLM_U32}, {1024, CLM_I64}, {1280, CLM_U64}, {1792, CLM_C128}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].code != code) continue;
        *out = table[i].type;
        return true;
    }
    return false;
}

/* Columns of the 3 x 4 matrix voxel -> world, as the file has it. */
static void matrix_of(const header *h, double m[3][4], char *how, size_t how_n) {
    double pix[4];
    for (int i = 0; i < 4; i++) pix[i] = real(h, 76 + 4 * (size_t)i, 104 + 8 * (size_t)i);
    int64_t qform = integer(h, h->v2 ? 344 : 252, h->v2 ? 4 : 2),
            sform = integer(h, h->v2 ? 348 : 254, h->v2 ? 4 : 2);
    memset(m, 0, 12 * sizeof m[0][0]);
    (void)snprintf(how, how_n, "NIfTI %s", sform > 0 ? "sform" : qform > 0 ? "qform" : "pixdim");
    for (size_t i = 0; sform > 0 && i < 12; i++) m[i / 4][i % 4] = real(h, 280 + 4 * i, 400 + 8 * i);
    if (sform > 0) return;
    double q[3], r[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    for (size_t i = 0; i < 3; i++) q[i] = real(h, 256 + 4 * i, 352 + 8 * i);
    /* of half turns float32 leaves the root of a rounding for the real part: none then, as nifti1_io.c has it */
    double square = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
    bool half_turn = 1 - square < 1e-7;
    double length = half_turn ? sqrt(square) : 1, a = half_turn ? 0 : sqrt(1 - square);
    double b = q[0] / length, c = q[1] / length, d = q[2] / length;
    if (qform > 0) {
        const double rot[3][3] = {{a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
                                  {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
                                  {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c}};
        memcpy(r, rot, sizeof r);
    }
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            m[i][k] = r[i][k] * pix[k + 1] * (k == 2 && qform > 0 && pix[0] < 0 ? -1 : 1);
        m[i][3] = qform > 0 ? real(h, 268 + 4 * (size_t)i, 376 + 8 * (size_t)i) : 0;
    }
}

static bool set_place(clm_array *a, const header *h, clm_err *err) {
    double m[3][4], step[3][3], origin[3];
    clm_place *p = clm_heap_new(1, sizeof *p, err);
    if (!p) return false;
    a->place = p;
    matrix_of(h, m, p->dialect, sizeof p->dialect);
    int64_t unit = integer(h, h->v2 ? 500 : 123, h->v2 ? 4 : 1) & 7;
    double um = unit == 1 ? 1e6 : unit == 3 ? 1 : 1e3;
    (void)snprintf(p->unit, sizeof p->unit, "%s",
                   unit == 1   ? "m"
                   : unit == 2 ? "mm"
                   : unit == 3 ? "um"
                               : "mm (not said)");
    /* ITK's vectors (1007) are as its world, displacements of the standard (1006) as NIfTI's, both in mm */
    int64_t intent = integer(h, h->v2 ? 504 : 68, h->v2 ? 4 : 2);
    const char *name = (const char *)h->p + (h->v2 ? 508 : 328);
    bool other = strncmp(name, "NREG_TRANS", 10) == 0; /* of NiftyReg: positions, or a spline */
    p->vector_um = !other && (intent == 1006 || intent == 1007) ? 1e3 : 0;
    p->vector_ras = intent == 1006;
    int axis[3], ndim = a->info.ndim;
    for (int k = 0; k < 3; k++) {
        axis[k] = ndim - 1 - k;
        for (int w = 0; w < 3; w++) step[k][w] = m[w][k] * um * (w < 2 ? -1 : 1);
        origin[k] = m[k][3] * um * (k < 2 ? -1 : 1);
    }
    p->channel_axis =
        ndim > 3 ? ndim - 4 : -1; /* the fourth may be time or a vector: both are chosen alike */
    p->time_axis = ndim > 4 ? ndim - 5 : -1;
    p->slope = real(h, 112, 176);
    p->inter = real(h, 116, 184);
    if (!(p->slope != 0) || !isfinite(p->slope) || !isfinite(p->inter)) p->slope = 1, p->inter = 0;
    clm_place_axes(p, (const double(*)[3])step, origin, axis, a->info.shape);
    return true;
}

static bool open_bytes(const char *file, const unsigned char *p, size_t n, clm_buf *data, clm_array **out,
                       clm_err *err) {
    clm_array_info info = {.format = "nifti", .codec = "none"};
    header h = {.p = p};
    if (n < 348) return clm_fail(err, CLM_E_FORMAT, "NIfTI: %zu bytes, no room for a header", n);
    bool little1 = clm_le32(p) == 348, big1 = clm_le32(p) == 0x5c010000u, little2 = clm_le32(p) == 540,
         big2 = clm_le32(p) == 0x1c020000u;
    if (!little1 && !big1 && !little2 && !big2)
        return clm_fail(err, CLM_E_FORMAT, "NIfTI: header size is neither 348 nor 540");
    h.v2 = little2 || big2;
    h.swap = big1 || big2;
    if (h.v2 && n < 540) return clm_fail(err, CLM_E_FORMAT, "NIfTI: %zu bytes, no room for a header", n);
    const char *magic = (const char *)p + (h.v2 ? 4 : 344);
    if (magic[0] != 'n' || magic[1] != '+')
        return clm_fail(err, CLM_E_UNSUPPORTED, "NIfTI: voxels in another file (.img)");
    int64_t ndim = integer(&h, h.v2 ? 16 : 40, h.v2 ? 8 : 2), code = integer(&h, h.v2 ? 12 : 70, 2);
    if (ndim < 1 || ndim > 7) return clm_fail(err, CLM_E_FORMAT, "NIfTI: %lld dimensions", (long long)ndim);
    if (!type_of(code, &info.dtype))
        return clm_fail(err, CLM_E_UNSUPPORTED, "NIfTI: datatype %lld", (long long)code);
    info.ndim = ndim < 3 ? 3 : (int)ndim;
    for (int k = 0; k < info.ndim; k++)
        info.shape[info.ndim - 1 - k] =
            k < ndim ? integer(&h, (h.v2 ? 24 : 42) + (size_t)k * (h.v2 ? 8 : 2), h.v2 ? 8 : 2) : 1;
    while (info.ndim > 3 && info.shape[0] == 1) { /* trailing ones of the file lead here */
        memmove(info.shape, info.shape + 1, (size_t)(info.ndim - 1) * sizeof info.shape[0]);
        info.ndim--;
    }
    if (info.ndim == 5 && info.shape[1] == 1) { /* the fifth is a vector's, and there is no time */
        memmove(info.shape + 1, info.shape + 2, 3 * sizeof info.shape[0]);
        info.ndim--;
    }
    double at = h.v2 ? (double)integer(&h, 168, 8) : real(&h, 108, 108);
    if (!(at >= (h.v2 ? 544 : 348) && at < 1e15))
        return clm_fail(err, CLM_E_FORMAT, "NIfTI: voxels at %g", at);
    unsigned char keep[540]; /* the buffer goes to the array */
    memcpy(keep, p, h.v2 ? 540 : 348);
    h.p = keep;
    if (!clm_flat_open(file, &info, h.swap, (int64_t)at, data, out, err)) return false;
    if (set_place(*out, &h, err)) return true;
    clm_array_close(*out);
    return false;
}

bool clm_nifti_open(const char *file, clm_array **out, clm_err *err) {
    clm_buf data = {0}, none = {0};
    bool packed = clm_text_ends(file, ".gz"), ok;
    if (packed) {
        ok = clm_file_read(file, (size_t)1 << 36, &data, err) && clm_gunzip(&data, err) &&
             open_bytes(file, data.data, data.n, &data, out, err);
    } else {
        ok = clm_file_head(file, 540, &data, err) && open_bytes(file, data.data, data.n, &none, out, err);
    }
    clm_buf_free(&data);
    return ok;
}
