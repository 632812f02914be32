/* The linear system of lattice.c: one 4 x 4 block a lattice block, the same for the three components of u. */
#ifndef CLM_ALIGN_LATTICE_PARTS_H
#define CLM_ALIGN_LATTICE_PARTS_H

#include "collimate/align/lattice.h"

/** Coefficients of one block, [coordinate z y x 1][right-hand side]; of u the first three are used. */
typedef struct clm_quad {
    double v[4][4];
} clm_quad;

/** A block's matches about its centre: p = (x - centre, 1), u = A^-1 q - x. */
typedef struct clm_moments {
    double n, uu; /* matches; sum of |u|^2 */
    clm_quad pp;  /* sum of p p'           */
    clm_quad pu;  /* sum of p u', column 3 zero */
} clm_moments;

typedef struct clm_lattice_system {
    const clm_lattice_grid *grid;
    double stiff, pull;      /* 1 / um^2: of bending, of |u|        */
    double var[3];           /* of a coordinate over a block, um^2  */
    const clm_moments *data; /* [n]                                 */
    const double *weight;    /* [n] of data, w_b / noise_b^2        */
} clm_lattice_system;

static inline int64_t clm_lattice_index(const int64_t shape[3], const int64_t at[3]) {
    return (at[0] * shape[1] + at[1]) * shape[2] + at[2];
}

/** Mean over the box around the face between blocks `gap` um apart along axis d of (p_a)(p_b)'; sign +1, -1: p_a
 *  about the lower, the upper block. Same block: the diagonal term. */
void clm_lattice_face(const double var[3], int d, double gap, int sign_a, int sign_b, clm_quad *out);
/** Sum of squares of a block's matches about coefficients x. */
double clm_lattice_residual(const clm_moments *b, const clm_quad *x);
/** Cholesky of a symmetric positive definite A [n][n] in place, then rows `first` to n of B [n][cols] become those of
 *  A^-1 B. False when not positive definite. In a fixed order of operations on every machine. */
bool clm_lattice_dense(int64_t n, double *a, int64_t cols, double *b, int64_t first);
void clm_lattice_multiply(const clm_quad *a, const clm_quad *x, clm_quad *out); /* out = a x */
/** K [n], the diagonal of the system, and its inverses. False when singular. */
bool clm_lattice_factor(const clm_lattice_system *s, clm_quad *K, clm_quad *inverse);
/** out = A x, of all blocks. */
void clm_lattice_apply(const clm_lattice_system *s, const clm_quad *K, const clm_quad *x, clm_quad *out);

/** One of the lattices that help to solve the finest: each of about every second block of the one before. */
typedef struct clm_lattice_level {
    clm_lattice_grid grid;
    const clm_lattice_system *system; /* own, but of the finest */
    clm_lattice_system own;
    int64_t n;
    clm_quad *K, *inverse, *r, *x, *t; /* [n]: a right-hand side, its answer, scratch */
} clm_lattice_level;
typedef struct clm_lattice_levels {
    int n;
    clm_lattice_level level[64];
} clm_lattice_levels;
/** Given level[0], the others in w->temp, clm_lattice_levels_bytes in all. l stays where it is. CLM_E_NUMERIC, CLM_E_NOMEM */
CLM_MUST bool clm_lattice_levels_open(const clm_work *w, clm_lattice_levels *l, clm_err *err);
int64_t clm_lattice_levels_bytes(const int64_t shape[3]);
/** level[0].x becomes about A^-1 of level[0].r, by a symmetric positive definite map of it: one V-cycle. */
void clm_lattice_levels_solve(const clm_lattice_levels *l);

/** x [n] minimising the energy of the whole lattice, by conjugate gradients. */
CLM_MUST bool clm_lattice_solve(const clm_work *w, const clm_lattice_system *s, clm_quad *x,
                                int32_t *iterations, clm_err *err);
/** What up to 26 neighbours, by their own matches only, predict for block b: coefficients x, and the covariance of
 *  each of their columns. scratch: CLM_LATTICE_SCRATCH doubles. False when singular. */
#define CLM_LATTICE_SCRATCH (108 * 108 + 108 * 8)
bool clm_lattice_predict(const clm_lattice_system *s, int64_t b, double *scratch, clm_quad *x,
                         clm_quad *covariance);

#endif
