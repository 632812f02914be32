#include "collimate/core/field.h"
#include "collimate/base/heap.h"

#include <math.h>

bool clm_field_new(clm_arena *a, const int64_t shape[3], const double spacing[3], const double origin[3],
                   clm_field *out, clm_err *err) {
    clm_field f;
    for (int d = 0; d < 3; d++) {
        f.shape[d] = shape[d];
        f.spacing[d] = spacing[d];
        f.origin[d] = origin[d];
    }
    if (shape[0] < 1 || shape[1] < 1 || shape[2] < 1)
        return clm_fail(err, CLM_E_ARG, "a field of %lld x %lld x %lld nodes", (long long)shape[0],
                        (long long)shape[1], (long long)shape[2]);
    int64_t plane, n, all;
    if (!clm_mul(shape[1], shape[2], &plane, err) || !clm_mul(shape[0], plane, &n, err) ||
        !clm_mul(3, n, &all, err))
        return false;
    f.u[0] = clm_take_zero(a, float, all, err);
    if (!f.u[0]) return false;
    f.u[1] = f.u[0] + n;
    f.u[2] = f.u[1] + n;
    *out = f;
    return true;
}

/* lower node and fraction along one axis, clamped to the lattice */
static int64_t lower_node(double at, int64_t n, double *fraction) {
    if (!(at > 0.0)) {
        *fraction = 0.0;
        return 0;
    }
    if (at >= (double)(n - 1)) {
        *fraction = n > 1 ? 1.0 : 0.0;
        return n > 1 ? n - 2 : 0;
    }
    int64_t i = (int64_t)at;
    *fraction = at - (double)i;
    return i;
}

void clm_field_at(const clm_field *f, const double x[3], double u[3]) {
    int64_t i[3], step[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    double t[3];
    for (int d = 0; d < 3; d++) {
        i[d] = lower_node((x[d] - f->origin[d]) / f->spacing[d], f->shape[d], &t[d]);
        if (f->shape[d] == 1) step[d] = 0;
    }
    int64_t at = (i[0] * f->shape[1] + i[1]) * f->shape[2] + i[2];
    for (int c = 0; c < 3; c++) {
        const float *p = f->u[c] + at;
        double v[2];
        for (int k = 0; k < 2; k++, p += step[0]) {
            double a = (double)p[0] + t[2] * ((double)p[step[2]] - (double)p[0]);
            const float *q = p + step[1];
            double b = (double)q[0] + t[2] * ((double)q[step[2]] - (double)q[0]);
            v[k] = a + t[1] * (b - a);
        }
        u[c] = v[0] + t[0] * (v[1] - v[0]);
    }
}

void clm_field_slope_at(const clm_field *f, const double x[3], double u[3], double du[3][3]) {
    int64_t i[3], step[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    double t[3], per_um[3];
    for (int d = 0; d < 3; d++) {
        double at = (x[d] - f->origin[d]) / f->spacing[d];
        i[d] = lower_node(at, f->shape[d], &t[d]);
        if (f->shape[d] == 1) step[d] = 0;
        per_um[d] = at < 0.0 || at > (double)(f->shape[d] - 1) ? 0.0 : 1.0 / f->spacing[d];
    }
    int64_t at = (i[0] * f->shape[1] + i[1]) * f->shape[2] + i[2];
    for (int c = 0; c < 3; c++) {
        double v[2][2], x_rise[2][2];
        for (int a = 0; a < 2; a++)
            for (int b = 0; b < 2; b++) {
                const float *p = f->u[c] + at + a * step[0] + b * step[1];
                x_rise[a][b] = (double)p[step[2]] - (double)p[0];
                v[a][b] = (double)p[0] + t[2] * x_rise[a][b];
            }
        double y_rise[2] = {v[0][1] - v[0][0], v[1][1] - v[1][0]};
        double z[2] = {v[0][0] + t[1] * y_rise[0], v[1][0] + t[1] * y_rise[1]};
        double w[2] = {x_rise[0][0] + t[1] * (x_rise[0][1] - x_rise[0][0]),
                       x_rise[1][0] + t[1] * (x_rise[1][1] - x_rise[1][0])};
        u[c] = z[0] + t[0] * (z[1] - z[0]);
        du[c][0] = (z[1] - z[0]) * per_um[0];
        du[c][1] = (y_rise[0] + t[0] * (y_rise[1] - y_rise[0])) * per_um[1];
        du[c][2] = (w[0] + t[0] * (w[1] - w[0])) * per_um[2];
    }
}

void clm_transform_point(const clm_affine *a, const clm_field *f, const double x[3], double y[3]) {
    double u[3] = {0, 0, 0};
    if (f) clm_field_at(f, x, u);
    double p[3] = {x[0] + u[0], x[1] + u[1], x[2] + u[2]};
    clm_affine_apply(a, p, y);
}

void clm_field_resample(const clm_field *f, clm_field *out) {
    int64_t n = 0;
    double x[3], u[3];
    for (int64_t k = 0; k < out->shape[0]; k++) {
        x[0] = out->origin[0] + (double)k * out->spacing[0];
        for (int64_t j = 0; j < out->shape[1]; j++) {
            x[1] = out->origin[1] + (double)j * out->spacing[1];
            for (int64_t i = 0; i < out->shape[2]; i++, n++) {
                x[2] = out->origin[2] + (double)i * out->spacing[2];
                clm_field_at(f, x, u);
                for (int c = 0; c < 3; c++) out->u[c][n] = (float)u[c];
            }
        }
    }
}
