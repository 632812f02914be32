/* Affine maps of world points: y = m[:, 0..2] x + m[:, 3], z y x, micrometres. */
#ifndef CLM_CORE_AFFINE_H
#define CLM_CORE_AFFINE_H

#include "collimate/base/err.h"

typedef struct clm_affine {
    double m[3][4];
} clm_affine;

#define CLM_AFFINE_IDENTITY ((clm_affine){{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}})

static inline void clm_affine_apply(const clm_affine *a, const double x[3], double y[3]) {
    double r[3];
    for (int i = 0; i < 3; i++) r[i] = a->m[i][0] * x[0] + a->m[i][1] * x[1] + a->m[i][2] * x[2] + a->m[i][3];
    y[0] = r[0], y[1] = r[1], y[2] = r[2];
}
/** x -> outer(inner(x)). */
clm_affine clm_affine_compose(const clm_affine *outer, const clm_affine *inner);
/** CLM_E_NUMERIC when singular (condition number beyond 1e12). */
CLM_MUST bool clm_affine_invert(const clm_affine *a, clm_affine *out, clm_err *err);
double clm_affine_det(const clm_affine *a); /* of the linear part */
/** Singular values of the linear part, largest first. */
void clm_affine_stretch(const clm_affine *a, double sigma[3]);
/** Voxel index of a grid -> world: x = origin + spacing * i. */
clm_affine clm_affine_of_grid(const double spacing[3], const double origin[3]);

#endif
