/* Part of the way of a transform: R with R o R o ... o R = T, sought as R(x) = B(x + v(x)), B the root of T's affine, v
 * on the nodes of a lattice. One sweep over all nodes makes v better; each node needs v only where its own points lead,
 * so a sweep is independent tasks.
 *
 * Newton's iteration for the n-th root, R <- R + (R^-(n-1) o T - R) / n, for maps instead of numbers: of the places
 * where T can stand among the R^-1 the mean is taken. Linearised, an error whose phase advances by p from x to T(x) is
 * multiplied by 1 - (sin(p/2) / (n sin(p/2n)))^2 a sweep: by nearly 0 where T moves by less than its details are long,
 * and never by more than 1. What repeats itself within T's own displacement has no root; nor has a field of straight
 * cells quite one of straight cells. Both is told by the residual, which the mean spreads over nodes and what lies
 * between them: a v that held at the nodes alone would be farther off between.
 *
 * Source  N. J. Higham, Functions of Matrices, 2008, ch. 6 and 7 (Newton's iteration for roots); V. Arsigny et al., A
 *         Log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006 (roots of maps, and when there are) */
#ifndef CLM_TRANSFORM_ROOT_H
#define CLM_TRANSFORM_ROOT_H

#include "collimate/transform/map.h"

#define CLM_ROOT_MAX 8

typedef struct clm_root {
    const clm_map *whole; /* T */
    int n;
    clm_affine affine;   /* B */
    double lo[3], hi[3]; /* of the box where T is told, world                  */
    double fade_um;      /* so far beyond it what T's border says still counts */
    double tolerance_um; /* of |R^n(x) - T(x)| */
} clm_root;

/** T is set: B of it.
 *  Errors  those of clm_affine_root */
CLM_MUST bool clm_root_begin(clm_root *root, clm_err *err);
/** R^power as a map; v's arrays stay the caller's, and the map is not to be closed. */
CLM_MUST bool clm_root_map(const clm_root *root, const clm_vectors *v, int power, clm_map *out, clm_err *err);

/** v at the nodes of `grid` from that of the sweep before (NULL: the first, v = u/n of T(x) = A(x + u)).
 *  out      made in w->keep
 *  farthest largest distance by which a place of T says otherwise than R before this sweep, micrometres; of the first
 *           sweep infinity
 *  squares  sum over the nodes of its square in units of (tolerance / 1000)^2, each rounded: adds up to the same in any
 *           order
 *  Memory   temp: about 400 bytes a node */
CLM_MUST bool clm_root_sweep(const clm_root *root, const clm_vectors *v, const clm_work *w,
                             const clm_vol *grid, clm_field *out, double *farthest, double *left,
                             clm_err *err);

/** What is left at the nodes of `grid`: |R^n(x) - T(x)|; where T is not told at x, |R^(n-k)(x) - T(R^-k(x))| for the
 *  least k that leads to where it is.
 *  residual_um, flags  [nodes] in w->keep; CLM_POINT_EXTRAPOLATED: no such k, the residual is 0;
 *                      CLM_POINT_UNSOLVED: T itself is not solved there */
CLM_MUST bool clm_root_residual(const clm_root *root, const clm_vectors *v, const clm_work *w,
                                const clm_vol *grid, float **residual_um, uint8_t **flags, clm_err *err);

#endif
