#include "collimate/app/demo.h"

#include <math.h>
#include <string.h>

#define FORMAT "collimate phantom 1"

enum { SAMPLES = 5 }; /* points along each axis */

/* Numbers of the parameters by name, for both directions. */
typedef struct number {
    const char *key;
    size_t offset;
} number;
#define AT(field) #field, offsetof(clm_phantom_params, field)
static const number numbers[] = {
    {AT(cell_um)},  {AT(density)},           {AT(rotation_deg)}, {AT(stretch)}, {AT(shear)},
    {AT(shift_um)}, {AT(counts_per_photon)}, {AT(read_counts)},  {AT(noise)},
};
#undef AT
#define AT(field) #field, offsetof(clm_phantom_side, field)
static const number camera[] = {{AT(offset)}, {AT(gain)}, {AT(gamma)}, {AT(shading)}};
#undef AT
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static double get(const void *base, const number *n) {
    double v;
    memcpy(&v, (const char *)base + n->offset, sizeof v);
    return v;
}

static void put_side(clm_json *parent, const char *key, const clm_phantom_side *s) {
    clm_json *v = clm_json_add_object(parent, key);
    clm_json_add_ints(v, "shape", s->shape, 3);
    clm_json_add_numbers(v, "spacing_um", s->spacing, 3);
    clm_json_add_numbers(v, "origin_um", s->origin, 3);
    for (int i = 0; i < COUNT(camera); i++) clm_json_add_number(v, camera[i].key, get(s, &camera[i]));
}

static void put_samples(clm_json *root, const clm_phantom *p) {
    const clm_phantom_side *s = &p->params.side[CLM_PHANTOM_FIXED];
    clm_json *points = clm_json_add_object(root, "samples");
    clm_json *fixed = clm_json_add_list(points, "fixed_um"), *moving = clm_json_add_list(points, "moving_um");
    for (int i = 0; i < SAMPLES * SAMPLES * SAMPLES; i++) {
        const int k[3] = {i / (SAMPLES * SAMPLES), i / SAMPLES % SAMPLES, i % SAMPLES};
        double x[3], y[3];
        for (int d = 0; d < 3; d++)
            x[d] = s->origin[d] + s->spacing[d] * (double)(s->shape[d] - 1) * k[d] / (SAMPLES - 1);
        clm_phantom_truth(p, x, y);
        clm_json_add_numbers(fixed, NULL, x, 3);
        clm_json_add_numbers(moving, NULL, y, 3);
    }
}

bool clm_demo_truth_to_json(const clm_phantom *p, clm_json **out, clm_err *err) {
    const clm_phantom_params *q = &p->params;
    clm_json *root = clm_json_new_object(err);
    if (!root) return false;
    clm_json_add_text(root, "format", FORMAT);
    clm_json_add_text(root, "about",
                      "T(x) = A(x + u(x)) maps fixed world to moving world; micrometres, axes z y x. A is "
                      "affine. u follows from parameters; samples are x and T(x).");
    clm_json *affine = clm_json_add_list(root, "affine");
    for (int i = 0; i < 3; i++) clm_json_add_numbers(affine, NULL, p->affine.m[i], 4);
    clm_json *v = clm_json_add_object(root, "parameters");
    clm_json_add_number(v, "seed", (double)q->seed);
    for (int i = 0; i < COUNT(numbers); i++) clm_json_add_number(v, numbers[i].key, get(q, &numbers[i]));
    clm_json_add_numbers(v, "warp_um", q->warp_um, 2);
    clm_json_add_numbers(v, "warp_pitch_um", q->warp_pitch_um, 2);
    put_side(v, "fixed", &q->side[CLM_PHANTOM_FIXED]);
    put_side(v, "moving", &q->side[CLM_PHANTOM_MOVING]);
    put_samples(root, p);
    *out = root;
    return true;
}

static bool take_numbers(const clm_json *v, const number *list, int n, void *base, clm_err *err) {
    for (int i = 0; i < n; i++) {
        double x;
        if (!clm_json_number(clm_json_get(v, list[i].key), &x))
            return clm_fail(err, CLM_E_FORMAT, "%s: must be a number", list[i].key);
        memcpy((char *)base + list[i].offset, &x, sizeof x);
    }
    return true;
}

static bool take_side(const clm_json *v, const char *key, clm_phantom_side *s, clm_err *err) {
    v = clm_json_get(v, key);
    if (!clm_json_ints(clm_json_get(v, "shape"), 3, s->shape) ||
        !clm_json_numbers(clm_json_get(v, "spacing_um"), 3, s->spacing) ||
        !clm_json_numbers(clm_json_get(v, "origin_um"), 3, s->origin))
        return clm_fail(err, CLM_E_FORMAT, "%s: needs shape, spacing_um and origin_um, 3 numbers each", key);
    return take_numbers(v, camera, COUNT(camera), s, err) || clm_err_in(err, "%s", key);
}

/* the affine that the file tells must be the one that its parameters make: same program, same truth */
static bool same_affine(const clm_json *v, const clm_phantom *p, clm_err *err) {
    for (int i = 0; i < 3; i++) {
        double row[4];
        if (!clm_json_numbers(clm_json_at(v, i), 4, row))
            return clm_fail(err, CLM_E_FORMAT, "affine: must be 3 rows of 4 numbers");
        for (int j = 0; j < 4; j++)
            if (fabs(row[j] - p->affine.m[i][j]) > 1e-9 * (1.0 + fabs(row[j])))
                return clm_fail(
                    err, CLM_E_FORMAT,
                    "affine: is not what the parameters make; the file was changed, or written by "
                    "another version");
    }
    return true;
}

bool clm_demo_truth_from_json(const clm_json *root, clm_phantom *out, clm_err *err) {
    clm_phantom_params q = CLM_PHANTOM_DEFAULTS;
    const char *format = clm_json_text(clm_json_get(root, "format"));
    if (!format || strcmp(format, FORMAT) != 0)
        return clm_fail(err, CLM_E_FORMAT, "format: must be \"%s\"", FORMAT);
    const clm_json *v = clm_json_get(root, "parameters");
    int64_t seed;
    if (!clm_json_int(clm_json_get(v, "seed"), &seed) || seed < 0)
        return clm_fail(err, CLM_E_FORMAT, "parameters: seed: must be a whole number from 0");
    q.seed = (uint64_t)seed;
    if (!clm_json_numbers(clm_json_get(v, "warp_um"), 2, q.warp_um) ||
        !clm_json_numbers(clm_json_get(v, "warp_pitch_um"), 2, q.warp_pitch_um))
        return clm_fail(err, CLM_E_FORMAT, "parameters: warp_um and warp_pitch_um must be 2 numbers each");
    clm_phantom p;
    if (!take_numbers(v, numbers, COUNT(numbers), &q, err) ||
        !take_side(v, "fixed", &q.side[CLM_PHANTOM_FIXED], err) ||
        !take_side(v, "moving", &q.side[CLM_PHANTOM_MOVING], err) || !clm_phantom_make(&q, &p, err))
        return clm_err_in(err, "parameters");
    if (!same_affine(clm_json_get(root, "affine"), &p, err)) return false;
    *out = p;
    return true;
}
