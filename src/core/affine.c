#include "collimate/core/affine.h"

#include <math.h>

clm_affine clm_affine_compose(const clm_affine *p, const clm_affine *q) {
    clm_affine r;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++)
            r.m[i][j] = p->m[i][0] * q->m[0][j] + p->m[i][1] * q->m[1][j] + p->m[i][2] * q->m[2][j];
        r.m[i][3] += p->m[i][3];
    }
    return r;
}

double clm_affine_det(const clm_affine *a) {
    const double(*m)[4] = a->m;
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
           m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

static double dot3(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* Make two columns orthogonal by a plane rotation; the cosine between them before. */
static double turn_pair(double u[3], double v[3]) {
    double uu = dot3(u, u), vv = dot3(v, v), uv = dot3(u, v);
    if (uv == 0.0 || !isfinite(uv)) return 0.0;
    double zeta = (vv - uu) / (2.0 * uv);
    double t = copysign(1.0, zeta) / (fabs(zeta) + hypot(1.0, zeta));
    double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    for (int k = 0; k < 3; k++) {
        double x = u[k], y = v[k];
        u[k] = c * x - s * y, v[k] = s * x + c * y;
    }
    return fabs(uv) / sqrt(uu * vv);
}

void clm_affine_stretch(const clm_affine *a, double sigma[3]) {
    /* One-sided Jacobi: turn columns pairwise until all are orthogonal; their lengths are the singular
     * values. Unlike the eigenvalues of M'M it tells 1e-12 from 0, which the test for singularity needs. */
    double c[3][3]; /* columns of M */
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) c[j][i] = a->m[i][j];
    for (int sweep = 0; sweep < 30; sweep++) {
        double most = 0.0;
        for (int p = 0; p < 2; p++)
            for (int q = p + 1; q < 3; q++) most = fmax(most, turn_pair(c[p], c[q]));
        if (most < 1e-15) break;
    }
    for (int i = 0; i < 3; i++) sigma[i] = sqrt(dot3(c[i], c[i]));
    for (int i = 0; i < 2; i++)
        for (int j = i + 1; j < 3; j++)
            if (sigma[j] > sigma[i]) {
                double t = sigma[i];
                sigma[i] = sigma[j], sigma[j] = t;
            }
}

bool clm_affine_invert(const clm_affine *a, clm_affine *out, clm_err *err) {
    double sigma[3], det = clm_affine_det(a);
    clm_affine_stretch(a, sigma);
    if (!(sigma[2] > 1e-12 * sigma[0]) || !isfinite(det) || det == 0.0)
        return clm_fail(err, CLM_E_NUMERIC, "affine is singular: singular values %g %g %g", sigma[0],
                        sigma[1], sigma[2]);
    clm_affine r;
    const double(*m)[4] = a->m;
    for (int i = 0; i < 3; i++) {
        int i1 = (i + 1) % 3, i2 = (i + 2) % 3;
        for (int j = 0; j < 3; j++) {
            int j1 = (j + 1) % 3, j2 = (j + 2) % 3;
            r.m[i][j] = (m[j1][i1] * m[j2][i2] - m[j1][i2] * m[j2][i1]) / det;
        }
    }
    for (int i = 0; i < 3; i++)
        r.m[i][3] = -(r.m[i][0] * m[0][3] + r.m[i][1] * m[1][3] + r.m[i][2] * m[2][3]);
    *out = r;
    return true;
}

clm_affine clm_affine_of_grid(const double spacing[3], const double origin[3]) {
    clm_affine a = CLM_AFFINE_IDENTITY;
    for (int d = 0; d < 3; d++) a.m[d][d] = spacing[d], a.m[d][3] = origin[d];
    return a;
}
