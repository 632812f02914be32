#include "collimate/core/linalg.h"

#include <cblas.h>
#include <lapacke.h>

void clm_linalg_setup(void) { openblas_set_num_threads(1); }

bool clm_solve_spd(int n, double *a, double *b, clm_err *err) {
    if (n == 0) return true;
    /* the lower triangle by rows is the upper one by columns, which LAPACK takes without a copy */
    int bad = LAPACKE_dposv(LAPACK_COL_MAJOR, 'U', n, 1, a, n, b, n);
    if (bad < 0) return clm_fail(err, CLM_E_NUMERIC, "normal equations of %d unknowns are not finite", n);
    if (bad > 0)
        return clm_fail(err, CLM_E_NUMERIC, "normal equations of %d unknowns are singular at %d", n, bad);
    return true;
}

void clm_dot_rows(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1.0f, a, (int)k, b, (int)k,
                0.0f, c, (int)n);
}
