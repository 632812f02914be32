/* The affine and the thin-plate spline: Householder's QR of the affine maps P at the points; the spline's
 * coefficients live in what is orthogonal to P, where the kernel is positive definite. */
#include "collimate/core/linalg.h"
#include "landmarks_parts.h"

#include <math.h>
#include <string.h>

#define BATCH 8       /* right sides at a time */
#define LEVERAGE 1e-9 /* of a point that alone holds a direction: nothing is known without it */

double clm_landmark_kernel(bool planar, double square) {
    if (!planar) return -sqrt(square);
    return square > 0.0 ? 0.5 * square * log(square) : 0.0;
}

/* P's columns, then its reflectors I - 2 v v' and R */
typedef struct basis {
    int p;
    int64_t n;
    double *v;      /* [p][n], unit length, 0 before the k-th */
    double r[4][4]; /* upper triangle */
} basis;

static void reflect(const basis *q, int k, double *y) {
    const double *v = q->v + k * q->n;
    double s = 0.0;
    for (int64_t i = k; i < q->n; i++) s += v[i] * y[i];
    for (int64_t i = k; i < q->n; i++) y[i] -= 2.0 * s * v[i];
}
static void to_basis(const basis *q, double *y) { /* Q' y */
    for (int k = 0; k < q->p; k++) reflect(q, k, y);
}
static void from_basis(const basis *q, double *y) { /* Q y */
    for (int k = q->p - 1; k >= 0; k--) reflect(q, k, y);
}

static bool factor(const clm_work *w, const clm_landmark_pairs *x, bool planar, bool weighted, basis *q,
                   clm_err *err) {
    int64_t n = x->n;
    q->p = planar ? 3 : 4;
    q->n = n;
    q->v = clm_take(w->temp, double, q->p *n, err);
    if (!q->v) return false;
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < q->p; k++) {
            int d = k - 1 + planar;
            q->v[k * n + i] = (k ? (x->fixed[i][d] - x->fixed_mean[d]) / x->scale : 1.0) *
                              (weighted && x->weight ? sqrt(x->weight[i]) : 1.0);
        }
    for (int k = 0; k < q->p; k++) {
        double *v = q->v + k * n, length = 0.0;
        for (int j = 0; j < k; j++) {
            reflect(q, j, v);
            q->r[j][k] = v[j];
        }
        memset(v, 0, (size_t)k * sizeof *v);
        for (int64_t i = k; i < n; i++) length += v[i] * v[i];
        q->r[k][k] = -copysign(sqrt(length), v[k]);
        v[k] -= q->r[k][k];
        length = 0.0;
        for (int64_t i = k; i < n; i++) length += v[i] * v[i];
        if (!(length > 0.0))
            return clm_fail(err, CLM_E_NUMERIC, "the fixed points do not determine an affine map");
        for (int64_t i = k; i < n; i++) v[i] /= sqrt(length);
    }
    return true;
}

/* R a = b, as a column of the affine's rows */
static void set_row(const basis *q, const clm_landmark_pairs *x, bool planar, int d, const double *b,
                    clm_affine *out) {
    double a[4] = {0};
    for (int k = q->p - 1; k >= 0; k--) {
        a[k] = b[k];
        for (int j = k + 1; j < q->p; j++) a[k] -= q->r[k][j] * a[j];
        a[k] /= q->r[k][k];
    }
    double *row = out->m[d];
    row[0] = row[1] = row[2] = 0.0;
    row[3] = x->moving_mean[d] + a[0];
    for (int k = 1; k < q->p; k++) {
        int e = k - 1 + planar;
        row[e] = a[k] / x->scale;
        row[3] -= row[e] * x->fixed_mean[e];
    }
}

/* |e_i|^2 of the i-th unit vector in the space left: 0 where only this point holds a direction of P */
static double freedom(const basis *q, int64_t i, double *e) {
    double s = 0.0;
    memset(e, 0, (size_t)q->n * sizeof *e);
    e[i] = 1.0;
    to_basis(q, e);
    for (int64_t k = q->p; k < q->n; k++) s += e[k] * e[k];
    return s;
}

static bool solve_affine(const clm_work *w, const clm_landmark_pairs *x, clm_landmark_fit *f, clm_err *err) {
    basis q;
    double *y;
    if (!factor(w, x, f->planar, true, &q, err) || !(y = clm_take(w->temp, double, x->n, err))) return false;
    for (int d = f->planar; d < 3; d++) {
        for (int64_t i = 0; i < x->n; i++)
            y[i] = (x->moving[i][d] - x->moving_mean[d]) * (x->weight ? sqrt(x->weight[i]) : 1.0);
        to_basis(&q, y);
        set_row(&q, x, f->planar, d, y, &f->affine);
    }
    for (int64_t i = 0; i < x->n; i++) {
        double left = 1.0, p[3], r[3], s = 0.0;
        /* 1 - h, h = |row i of Q's first columns|^2 = |R'^-1 p_i|^2 w_i */
        double g[4], weight = x->weight ? x->weight[i] : 1.0;
        for (int k = 0; k < q.p; k++) {
            int d = k - 1 + f->planar;
            g[k] = k ? (x->fixed[i][d] - x->fixed_mean[d]) / x->scale : 1.0;
            for (int j = 0; j < k; j++) g[k] -= q.r[j][k] * g[j];
            g[k] /= q.r[k][k];
            left -= weight * g[k] * g[k];
        }
        clm_affine_apply(&f->affine, x->fixed[i], p);
        for (int d = 0; d < 3; d++) r[d] = p[d] - x->moving[i][d], s += r[d] * r[d];
        f->left_out_um[i] = left > LEVERAGE ? sqrt(s) / left : NAN;
    }
    return true;
}

/* K + lambda / weight, whole */
static bool fill(const clm_landmark_pairs *x, bool planar, double lambda, double *b, clm_err *err) {
    for (int64_t i = 0; i < x->n; i++) {
        for (int64_t j = 0; j < i; j++) {
            double s = 0.0;
            for (int d = planar; d < 3; d++) {
                double t = (x->fixed[i][d] - x->fixed[j][d]) / x->scale;
                s += t * t;
            }
            if (s == 0.0 && lambda == 0.0)
                return clm_fail(
                    err, CLM_E_NUMERIC,
                    "pairs %lld and %lld have the same fixed point, %g,%g,%g um: a spline through all "
                    "points is not possible; take one out, or give --smoothing above 0",
                    (long long)(j + 1), (long long)(i + 1), x->fixed[i][0], x->fixed[i][1], x->fixed[i][2]);
            b[i * x->n + j] = b[j * x->n + i] = clm_landmark_kernel(planar, s);
        }
        b[i * x->n + i] = lambda / (x->weight ? x->weight[i] : 1.0);
    }
    return true;
}

/* H B H for the k-th reflector H */
static void reflect_both(const basis *q, int k, double *b, double *u) {
    const double *v = q->v + k * q->n;
    double s = 0.0;
    for (int64_t i = 0; i < q->n; i++) {
        u[i] = 0.0;
        for (int64_t j = k; j < q->n; j++) u[i] += b[i * q->n + j] * v[j];
        s += u[i] * v[i];
    }
    for (int64_t i = 0; i < q->n; i++) u[i] = 2.0 * (u[i] - s * v[i]);
    for (int64_t i = 0; i < q->n; i++)
        for (int64_t j = 0; j < q->n; j++) b[i * q->n + j] -= v[i] * u[j] + u[i] * v[j];
}

/* c_i / M_ii, M = Q2 inverse(B22) Q2', M_ii = |inverse(L) Q2' e_i|^2 */
static bool leave_out(const clm_work *w, const basis *q, const double *l, clm_landmark_fit *f, clm_err *err) {
    int64_t n = q->n, m = n - q->p;
    double *e = clm_take(w->temp, double, n, err);
    double(*y)[BATCH] = e ? clm_arena_take(w->temp, m ? m : 1, sizeof *y, err) : NULL;
    if (!y) return false;
    for (int64_t i = 0; i < n; i += BATCH) {
        double left[BATCH] = {0}, square[BATCH] = {0};
        memset(y, 0, (size_t)m * sizeof *y);
        for (int64_t k = 0; k < BATCH && i + k < n; k++) {
            left[k] = freedom(q, i + k, e);
            for (int64_t r = 0; r < m; r++) y[r][k] = e[q->p + r];
        }
        for (int64_t r = 0; r < m; r++) {
            for (int64_t j = 0; j < r; j++)
                for (int k = 0; k < BATCH; k++) y[r][k] -= l[r * m + j] * y[j][k];
            for (int k = 0; k < BATCH; k++) y[r][k] /= l[r * m + r], square[k] += y[r][k] * y[r][k];
        }
        for (int64_t k = 0; k < BATCH && i + k < n; k++) {
            const double *c = f->c[i + k];
            f->left_out_um[i + k] =
                left[k] > LEVERAGE ? sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]) / square[k] : NAN;
        }
    }
    return true;
}

static bool solve_spline(const clm_work *w, const clm_landmark_pairs *x, double lambda, clm_landmark_fit *f,
                         clm_err *err) {
    basis q;
    int64_t n = x->n;
    if (!factor(w, x, f->planar, false, &q, err)) return false;
    int64_t m = n - q.p;
    double *b = clm_take(w->temp, double, n *n, err),
           *side = b ? clm_take(w->temp, double, q.p *n, err) : NULL;
    double *y = side ? clm_take(w->temp, double, n, err) : NULL;
    if (!y || !fill(x, f->planar, lambda, b, err)) return false;
    for (int k = 0; k < q.p; k++) reflect_both(&q, k, b, y);
    memcpy(side, b, (size_t)(q.p * n) * sizeof *b);
    for (int64_t i = 0; i < m; i++) memmove(b + i * m, b + (i + q.p) * n + q.p, (size_t)m * sizeof *b);
    if (!clm_factor_spd((int)m, b, err))
        return clm_err_in(err, "fixed points too close for a spline; give --smoothing above 0");
    for (int d = f->planar; d < 3; d++) {
        double top[4];
        for (int64_t i = 0; i < n; i++) y[i] = x->moving[i][d] - x->moving_mean[d];
        to_basis(&q, y);
        clm_solve_factored((int)m, b, y + q.p);
        for (int k = 0; k < q.p; k++) {
            top[k] = y[k];
            for (int64_t i = q.p; i < n; i++) top[k] -= side[k * n + i] * y[i];
            y[k] = 0.0;
        }
        set_row(&q, x, f->planar, d, top, &f->affine);
        from_basis(&q, y);
        for (int64_t i = 0; i < n; i++) f->c[i][d] = y[i];
    }
    return leave_out(w, &q, b, f, err);
}

bool clm_landmark_solve(const clm_work *w, const clm_landmark_pairs *x, double lambda, clm_landmark_fit *f,
                        clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    f->affine = CLM_AFFINE_IDENTITY;
    if (f->planar) f->affine.m[0][3] = x->moving_mean[0] - x->fixed_mean[0];
    bool ok = lambda < 0.0 ? solve_affine(w, x, f, err) : solve_spline(w, x, lambda, f, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}
