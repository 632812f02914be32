#include "collimate/core/affine_root.h"
#include "collimate/core/linalg.h"

#include <math.h>

/* Linear parts are affines without a shift. */

/* x + f y */
static clm_affine sum(const clm_affine *x, double f, const clm_affine *y) {
    clm_affine r = {{{0}}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) r.m[i][j] = x->m[i][j] + f * y->m[i][j];
    return r;
}

static clm_affine scaled(const clm_affine *x, double f) {
    static const clm_affine zero = {{{0}}};
    return sum(&zero, f, x);
}

static double size(const clm_affine *x) {
    double most = 0.0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) most = fmax(most, fabs(x->m[i][j]));
    return most;
}

/* Denman and Beavers: y -> M^1/2, z -> M^-1/2 */
static bool square_root(const clm_affine *m, clm_affine *out) {
    clm_affine y = *m, z = CLM_AFFINE_IDENTITY, yi, zi;
    clm_err none = CLM_ERR_NONE;
    for (int k = 0; k < 50; k++) {
        if (!clm_affine_invert(&y, &yi, &none) || !clm_affine_invert(&z, &zi, &none)) return false;
        clm_affine next = sum(&y, 1.0, &zi), change;
        next = scaled(&next, 0.5);
        change = sum(&next, -1.0, &y);
        z = sum(&z, 1.0, &yi);
        z = scaled(&z, 0.5);
        y = next;
        if (size(&change) <= 1e-15 * size(&y)) break;
    }
    clm_affine off = clm_affine_compose(&y, &y);
    off = sum(&off, -1.0, m);
    bool is_root = size(&off) <= 1e-10 * size(m); /* m may be *out */
    *out = y;
    return is_root;
}

/* log M = 2 artanh(Z), Z = (X - I)(X + I)^-1, of an X = M^(1/2^k) near I */
static bool logarithm(const clm_affine *m, clm_affine *out) {
    const clm_affine one = CLM_AFFINE_IDENTITY;
    clm_affine x = *m, low, high = one, back;
    clm_err none = CLM_ERR_NONE;
    double factor = 2.0;
    for (int k = 0; k < 60; k++) {
        low = sum(&x, -1.0, &one);
        if (size(&low) < 0.1) break;
        if (!square_root(&x, &x)) return false;
        factor *= 2.0;
    }
    high = sum(&x, 1.0, &one);
    if (!clm_affine_invert(&high, &back, &none)) return false;
    clm_affine z = clm_affine_compose(&low, &back), square = clm_affine_compose(&z, &z), term = z, total = z;
    for (int k = 3; k < 25; k += 2) {
        term = clm_affine_compose(&term, &square);
        total = sum(&total, 1.0 / k, &term);
    }
    *out = scaled(&total, factor);
    return isfinite(size(out));
}

static clm_affine exponential(const clm_affine *l) {
    int squarings = 0;
    double f = 1.0;
    while (f * size(l) > 0.1) f *= 0.5, squarings++;
    clm_affine x = scaled(l, f), total = CLM_AFFINE_IDENTITY, term = total;
    for (int k = 1; k < 14; k++) {
        term = clm_affine_compose(&term, &x);
        term = scaled(&term, 1.0 / k);
        total = sum(&total, 1.0, &term);
    }
    for (int k = 0; k < squarings; k++) total = clm_affine_compose(&total, &total);
    return total;
}

bool clm_affine_root(const clm_affine *a, int n, clm_affine *out, clm_err *err) {
    clm_affine linear = scaled(a, 1.0), log, back, r, power = CLM_AFFINE_IDENTITY, whole = power;
    if (!clm_affine_invert(&linear, &back, err)) return false;
    if (clm_affine_det(&linear) < 0.0)
        return clm_fail(err, CLM_E_NUMERIC,
                        "the affine mirrors (determinant %.3g): nothing lies half-way to a mirror image",
                        clm_affine_det(&linear));
    if (!logarithm(&linear, &log))
        return clm_fail(
            err, CLM_E_NUMERIC,
            "the affine turns by 180 degrees or nearly: which way round is half of it is not determined");
    log = scaled(&log, 1.0 / n);
    r = exponential(&log);
    /* a step of Newton's: what rounding has left */
    if (!clm_affine_invert(&r, &back, err)) return false;
    for (int k = 1; k < n; k++) power = clm_affine_compose(&power, &back);
    power = clm_affine_compose(&power, &linear);
    r = scaled(&r, n - 1.0);
    r = sum(&r, 1.0, &power);
    r = scaled(&r, 1.0 / n);
    /* the shift s of it: (1 + R + ... + R^(n-1)) s is that of A */
    power = whole;
    for (int k = 1; k < n; k++) {
        power = clm_affine_compose(&power, &r);
        whole = sum(&whole, 1.0, &power);
    }
    double rows[9], s[3];
    for (int i = 0; i < 9; i++) rows[i] = whole.m[i / 3][i % 3];
    for (int i = 0; i < 3; i++) s[i] = a->m[i][3];
    if (!clm_solve_small(3, rows, s))
        return clm_fail(err, CLM_E_NUMERIC, "the affine's shift cannot be shared out");
    for (int i = 0; i < 3; i++) r.m[i][3] = s[i];
    *out = r;
    return true;
}
