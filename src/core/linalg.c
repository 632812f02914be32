#include "collimate/core/linalg.h"

#include <cblas.h>
#include <math.h>

void clm_linalg_setup(void) { openblas_set_num_threads(1); }

/* Cholesky, A = L L', row by row in place. Ours rather than LAPACK's because its sums run in one order on
 * every machine, and because a pivot that is all rounding error counts as singular. */
bool clm_solve_spd(int n, double *a, double *b, clm_err *err) {
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
    for (int i = 0; i < n; i++) { /* L y = b */
        for (int k = 0; k < i; k++) b[i] -= a[(int64_t)i * n + k] * b[k];
        b[i] /= a[(int64_t)i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) { /* L' x = y */
        for (int k = i + 1; k < n; k++) b[i] -= a[(int64_t)k * n + i] * b[k];
        b[i] /= a[(int64_t)i * n + i];
    }
    for (int i = 0; i < n; i++)
        if (!isfinite(b[i]))
            return clm_fail(err, CLM_E_NUMERIC, "normal equations of %d unknowns have no finite solution", n);
    return true;
}

void clm_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1.0f, a, (int)k, b, (int)k,
                0.0f, c, (int)n);
}
