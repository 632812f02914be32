#include "collimate/image/metric.h"
#include "collimate/base/simd.h"

#include <math.h>
#include <string.h>

#define LANES 8 /* running sums side by side: voxel i of a row belongs to sum i mod LANES on every machine */

typedef struct lanes {
    double n[LANES], f[LANES], m[LANES], ff[LANES], mm[LANES], fm[LANES];
} lanes;

/** Sums about the shifts (a, b); voxels that are not finite in both count for nothing. */
CLM_CLONES static void add_row(const float *restrict f, const float *restrict m, int64_t n, double a,
                               double b, lanes *restrict into) {
    lanes s = *into;
    for (int64_t i = 0; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            bool on = f[i + l] * 0.0f + m[i + l] * 0.0f == 0.0f; /* finite, both */
            double p = on ? (double)f[i + l] - a : 0.0, q = on ? (double)m[i + l] - b : 0.0;
            s.n[l] += on ? 1.0 : 0.0;
            s.f[l] += p, s.m[l] += q;
            s.ff[l] += p * p, s.mm[l] += q * q, s.fm[l] += p * q;
        }
    }
    *into = s;
}

static double fold(const double v[LANES]) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/** A value near the middle of what is there, so that sums about it keep their digits. */
static void shift_of(const clm_vol *fixed, const clm_vol *moving, double *a, double *b) {
    double s = 0, t = 0, n = 0;
    for (int64_t z = 0; z < fixed->shape[0]; z++)
        for (int64_t y = z % 5; y < fixed->shape[1]; y += 5) {
            const float *f = clm_vol_row(fixed, z, y), *m = clm_vol_row(moving, z, y);
            for (int64_t x = (z + y) % 7; x < fixed->shape[2]; x += 7)
                if (isfinite(f[x]) && isfinite(m[x])) s += (double)f[x], t += (double)m[x], n += 1;
        }
    *a = n > 0 ? s / n : 0.0;
    *b = n > 0 ? t / n : 0.0;
}

static bool same_shape(const clm_vol *f, const clm_vol *m, clm_err *err) {
    for (int d = 0; d < 3; d++)
        if (f->shape[d] != m->shape[d])
            return clm_fail(err, CLM_E_ARG, "volumes of %lld and %lld voxels along axis %d",
                            (long long)f->shape[d], (long long)m->shape[d], d);
    return true;
}

bool clm_ncc_add(clm_ncc *s, const clm_vol *fixed, const clm_vol *moving, clm_err *err) {
    if (!same_shape(fixed, moving, err)) return false;
    double a, b;
    shift_of(fixed, moving, &a, &b);
    lanes sums;
    memset(&sums, 0, sizeof sums);
    const int64_t nx = fixed->shape[2], whole = nx - nx % LANES;
    for (int64_t z = 0; z < fixed->shape[0]; z++)
        for (int64_t y = 0; y < fixed->shape[1]; y++) {
            const float *f = clm_vol_row(fixed, z, y), *m = clm_vol_row(moving, z, y);
            add_row(f, m, whole, a, b, &sums);
            if (whole == nx) continue;
            float tf[LANES], tm[LANES];
            for (int l = 0; l < LANES; l++) {
                tf[l] = whole + l < nx ? f[whole + l] : NAN;
                tm[l] = whole + l < nx ? m[whole + l] : NAN;
            }
            add_row(tf, tm, LANES, a, b, &sums);
        }
    double n = fold(sums.n);
    if (n == 0) return true;
    double f = fold(sums.f) / n, m = fold(sums.m) / n;
    clm_ncc part = {.n = n, .f = a + f, .m = b + m};
    part.ff = fmax(0.0, fold(sums.ff) - n * f * f);
    part.mm = fmax(0.0, fold(sums.mm) - n * m * m);
    part.fm = fold(sums.fm) - n * f * m;
    clm_ncc_merge(s, &part);
    return true;
}

void clm_ncc_merge(clm_ncc *into, const clm_ncc *part) {
    if (part->n == 0) return;
    double n = into->n + part->n, df = part->f - into->f, dm = part->m - into->m;
    double cross = into->n * part->n / n, share = part->n / n;
    into->ff += part->ff + cross * df * df;
    into->mm += part->mm + cross * dm * dm;
    into->fm += part->fm + cross * df * dm;
    into->f += share * df;
    into->m += share * dm;
    into->n = n;
}

double clm_ncc_value(const clm_ncc *s) {
    if (s->n < 2 || !(s->ff > 0) || !(s->mm > 0)) return NAN;
    double r = s->fm / (sqrt(s->ff) * sqrt(s->mm));
    return fmax(-1.0, fmin(1.0, r));
}

double clm_ncc_mean_square(const clm_ncc *s) {
    double d = s->f - s->m;
    return s->n > 0 ? fmax(0.0, s->ff + s->mm - 2.0 * s->fm) / s->n + d * d : (double)NAN;
}

bool clm_mi_make(const double lo[2], const double hi[2], clm_mi *out, clm_err *err) {
    for (int k = 0; k < 2; k++)
        if (!(hi[k] > lo[k]) || !isfinite(hi[k] - lo[k]))
            return clm_fail(err, CLM_E_ARG, "values from %g to %g of the %s volume are no range", lo[k],
                            hi[k], k ? "moving" : "fixed");
    memset(out, 0, sizeof *out);
    for (int k = 0; k < 2; k++) out->lo[k] = lo[k], out->hi[k] = hi[k];
    return true;
}

#define RUN 256

/** The lower of the two bins of each of a run of voxels, -1 where the value is not finite, and the upper one's share. */
CLM_CLONES static void bin_run(const float *restrict v, int64_t n, double lo, double hi,
                               int32_t *restrict bin, double *restrict part) {
    for (int64_t i = 0; i < n; i++) {
        double t = (double)CLM_MI_BINS * (((double)v[i] - lo) / (hi - lo)) - 0.5;
        double u = t > 0.0 ? t : 0.0;
        u = u < (double)(CLM_MI_BINS - 1) ? u : (double)(CLM_MI_BINS - 1);
        int32_t k = (int32_t)u;
        k = k < CLM_MI_BINS - 2 ? k : CLM_MI_BINS - 2;
        part[i] = u - (double)k;
        bin[i] = v[i] * 0.0f == 0.0f ? k : -1;
    }
}

bool clm_mi_add(clm_mi *s, const clm_vol *fixed, const clm_vol *moving, clm_err *err) {
    if (!same_shape(fixed, moving, err)) return false;
    int32_t f[RUN], m[RUN];
    double p[RUN], q[RUN];
    for (int64_t z = 0; z < fixed->shape[0]; z++)
        for (int64_t y = 0; y < fixed->shape[1]; y++)
            for (int64_t x = 0; x < fixed->shape[2]; x += RUN) {
                int64_t n = fixed->shape[2] - x < RUN ? fixed->shape[2] - x : RUN;
                bin_run(clm_vol_row(fixed, z, y) + x, n, s->lo[0], s->hi[0], f, p);
                bin_run(clm_vol_row(moving, z, y) + x, n, s->lo[1], s->hi[1], m, q);
                for (int64_t i = 0; i < n; i++) {
                    if ((f[i] | m[i]) < 0) continue;
                    double *lower = &s->joint[f[i]][m[i]], *upper = &s->joint[f[i] + 1][m[i]];
                    lower[0] += (1.0 - p[i]) * (1.0 - q[i]), lower[1] += (1.0 - p[i]) * q[i];
                    upper[0] += p[i] * (1.0 - q[i]), upper[1] += p[i] * q[i];
                    s->n++;
                }
            }
    return true;
}

bool clm_mi_merge(clm_mi *into, const clm_mi *part, clm_err *err) {
    for (int k = 0; k < 2; k++)
        if (into->lo[k] != part->lo[k] || into->hi[k] != part->hi[k])
            return clm_fail(err, CLM_E_ARG, "joint histograms of ranges %g..%g and %g..%g cannot be added",
                            into->lo[k], into->hi[k], part->lo[k], part->hi[k]);
    into->n += part->n;
    for (int i = 0; i < CLM_MI_BINS; i++)
        for (int j = 0; j < CLM_MI_BINS; j++) into->joint[i][j] += part->joint[i][j];
    return true;
}

/** Entropies in nats of both margins and of the joint distribution. */
static void entropies(const clm_mi *s, double *hf, double *hm, double *hfm) {
    double n = (double)s->n;
    *hf = *hm = *hfm = 0;
    for (int i = 0; i < CLM_MI_BINS; i++) {
        double row = 0, column = 0;
        for (int j = 0; j < CLM_MI_BINS; j++) {
            row += s->joint[i][j], column += s->joint[j][i];
            if (s->joint[i][j] > 0) *hfm -= s->joint[i][j] / n * log(s->joint[i][j] / n);
        }
        if (row > 0) *hf -= row / n * log(row / n);
        if (column > 0) *hm -= column / n * log(column / n);
    }
}

double clm_mi_value(const clm_mi *s) {
    double hf, hm, hfm;
    if (!s->n) return NAN;
    entropies(s, &hf, &hm, &hfm);
    return fmax(0.0, hf + hm - hfm);
}

double clm_mi_normalised(const clm_mi *s) {
    double hf, hm, hfm;
    if (!s->n) return NAN;
    entropies(s, &hf, &hm, &hfm);
    return hfm > 0 ? (hf + hm) / hfm : 2.0;
}
