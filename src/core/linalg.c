#include "collimate/core/linalg.h"

#include <math.h>

/* Cholesky, A = L L', row by row in place. Ours rather than LAPACK's because its sums run in one order on
 * every machine, and because a pivot that is all rounding error counts as singular. */
bool clm_factor_spd(int n, double *a, clm_err *err) {
    for (int i = 0; i < n; i++) {
        double *row = a + (int64_t)i * n, diagonal = row[i];
        for (int j = 0; j <= i; j++) {
            const double *other = a + (int64_t)j * n;
            double s = row[j];
            for (int k = 0; k < j; k++) s -= row[k] * other[k];
            if (j < i)
                row[j] = s / other[j];
            else if (s > 1e-14 * diagonal && isfinite(s))
                row[i] = sqrt(s);
            else
                return clm_fail(err, CLM_E_NUMERIC, "normal equations of %d unknowns are singular at %d", n,
                                i + 1);
        }
    }
    return true;
}

void clm_solve_factored(int n, const double *a, double *b) {
    for (int i = 0; i < n; i++) { /* L y = b */
        for (int k = 0; k < i; k++) b[i] -= a[(int64_t)i * n + k] * b[k];
        b[i] /= a[(int64_t)i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) { /* L' x = y */
        for (int k = i + 1; k < n; k++) b[i] -= a[(int64_t)k * n + i] * b[k];
        b[i] /= a[(int64_t)i * n + i];
    }
}

bool clm_solve_spd(int n, double *a, double *b, clm_err *err) {
    if (!clm_factor_spd(n, a, err)) return false;
    clm_solve_factored(n, a, b);
    for (int i = 0; i < n; i++)
        if (!isfinite(b[i]))
            return clm_fail(err, CLM_E_NUMERIC, "normal equations of %d unknowns have no finite solution", n);
    return true;
}

/* a's rows, then its columns, over their largest element, so that units do not decide what is singular */
static bool equilibrate(int n, double a[CLM_SOLVE_MAX][CLM_SOLVE_MAX], double *b, double *column) {
    for (int i = 0; i < n; i++) {
        double most = 0.0;
        for (int j = 0; j < n; j++) most = fmax(most, fabs(a[i][j]));
        if (!(most > 0.0 && isfinite(most))) return false;
        for (int j = 0; j < n; j++) a[i][j] /= most;
        b[i] /= most;
    }
    for (int j = 0; j < n; j++) {
        column[j] = 0.0;
        for (int i = 0; i < n; i++) column[j] = fmax(column[j], fabs(a[i][j]));
        if (!(column[j] > 0.0)) return false;
        for (int i = 0; i < n; i++) a[i][j] /= column[j];
    }
    return true;
}

bool clm_solve_small(int n, const double *matrix, double *b) {
    double a[CLM_SOLVE_MAX][CLM_SOLVE_MAX], column[CLM_SOLVE_MAX];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) a[i][j] = matrix[i * n + j];
    if (!equilibrate(n, a, b, column)) return false;
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[best][k])) best = i;
        if (!(fabs(a[best][k]) > 1e-13)) return false;
        for (int j = 0; j < n; j++) {
            double t = a[k][j];
            a[k][j] = a[best][j], a[best][j] = t;
        }
        double t = b[k];
        b[k] = b[best], b[best] = t;
        for (int i = k + 1; i < n; i++) {
            double f = a[i][k] / a[k][k];
            for (int j = k; j < n; j++) a[i][j] -= f * a[k][j];
            b[i] -= f * b[k];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int j = i + 1; j < n; j++) b[i] -= a[i][j] * b[j];
        b[i] /= a[i][i];
    }
    for (int j = 0; j < n; j++) b[j] /= column[j];
    return true;
}
