/* A displacement field: micrometres to add to a fixed-space point, on a lattice over the fixed
 * volume. The full transform is T(x) = A(x + u(x)), fixed world -> moving world (pull-back). */
#ifndef CLM_CORE_FIELD_H
#define CLM_CORE_FIELD_H

#include "collimate/core/affine.h"
#include "collimate/core/vol.h"

/** Node (k,j,i) stands at origin + spacing * (k,j,i). Owns nothing; planes packed, component first. */
typedef struct clm_field {
    float *u[3];       /* z, y, x components; each [shape[0]*shape[1]*shape[2]], x fastest */
    int64_t shape[3];  /* nodes */
    double spacing[3]; /* micrometres between nodes */
    double origin[3];  /* world micrometres of node (0,0,0) */
} clm_field;

static inline int64_t clm_field_count(const clm_field *f) { return f->shape[0] * f->shape[1] * f->shape[2]; }
/** Zero displacement everywhere; the three planes are one allocation, u[0] first. */
CLM_MUST bool clm_field_new(clm_arena *a, const int64_t shape[3], const double spacing[3],
                            const double origin[3], clm_field *out, clm_err *err);
/** Trilinear u at a world point; beyond the lattice the value at its border (as the stored field says). */
void clm_field_at(const clm_field *f, const double x[3], double u[3]);
/** The same and its slope, du[c][d] = d u_c / d x_d inside the cell of x (0 beyond the lattice). */
void clm_field_slope_at(const clm_field *f, const double x[3], double u[3], double du[3][3]);
/** T(x) = A(x + u(x)); f NULL means u = 0. */
void clm_transform_point(const clm_affine *a, const clm_field *f, const double x[3], double y[3]);
/** Resample f on the nodes of `out` (trilinear, border-extended); out->u must be allocated. */
void clm_field_resample(const clm_field *f, clm_field *out);

#endif
