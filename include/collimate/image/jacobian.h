/* How a transform stretches space: the determinant of the whole map T(x) = A(x + u(x)), fixed micrometres
 * to moving micrometres. 1 keeps volume, 0 crushes it, negative folds it. */
#ifndef CLM_IMAGE_JACOBIAN_H
#define CLM_IMAGE_JACOBIAN_H

#include "collimate/base/work.h"
#include "collimate/core/field.h"

/** Least and greatest det(I + grad u) inside lattice cells i .. i+n-1 of row (k, j), as bounds that hold
 *  everywhere in the trilinear cell: there the determinant is a polynomial of degree two in each
 *  coordinate, and lies between its smallest and largest Bernstein coefficients. An axis of one node
 *  has no slope.
 *  lo, hi  [n]; hi may be NULL
 *  Source  Farin, Curves and Surfaces for CAGD (convex hull property); the 27 coefficients are own */
void clm_jacobian_cells(const clm_field *f, int64_t k, int64_t j, int64_t i, int64_t n, float *lo, float *hi);

/** Whether those bounds are all at least `floor`, as far as the slopes' lengths alone tell, which is cheaper. True
 *  is sure (the smallest singular value of I + G is at least 1 - |G|), false is not. Values that are not finite: false.
 *  n  at most CLM_JACOBIAN_LANE */
#define CLM_JACOBIAN_LANE 32
bool clm_jacobian_clear(const clm_field *f, int64_t k, int64_t j, int64_t i, int64_t n, double floor);

/** Cells along each axis of a lattice: nodes - 1, at least 1. */
static inline int64_t clm_jacobian_cell_count(int64_t nodes) { return nodes > 1 ? nodes - 1 : 1; }

typedef struct clm_jacobian_stats {
    double min, max;      /* bounds over all cells: the map does nowhere worse              */
    double least, most;   /* at cell centres                                                */
    double mean;          /* over cell centres: the volume of the lattice after / before    */
    double percentile[5]; /* 0.1, 1, 50, 99, 99.9 % of the cell centres (histogram, 1/512)  */
    int64_t cells;
    int64_t folds;  /* cells whose lower bound is <= 0                                */
    int64_t folded; /* cells whose determinant is <= 0 at the centre or a corner      */
} clm_jacobian_stats;

#define CLM_JACOBIAN_BINS 2048

/** What parts of a field add up to; zero-initialise. Merge in a fixed order. */
typedef struct clm_jacobian_sums {
    double lo, hi;      /* bounds of det(I + grad u); valid when cells > 0 */
    double least, most; /* of it at cell centres, likewise               */
    double sum;         /* over cell centres                               */
    int64_t cells, folds, folded;
    int64_t broken; /* cells whose determinant is not finite */
    int64_t bin[CLM_JACOBIAN_BINS];
} clm_jacobian_sums;

/** Add all cells between the nodes of f: neighbouring parts of a lattice share their border nodes.
 *  centre  NULL, or [cells] room for det(I + grad u) at the cells' centres, x fastest */
void clm_jacobian_add(const clm_field *f, clm_jacobian_sums *s, float *centre);
void clm_jacobian_merge(clm_jacobian_sums *into, const clm_jacobian_sums *part);
/** The statistics of det A det(I + grad u); s NULL: of A alone.
 *  Errors CLM_E_NUMERIC when a determinant is not finite, CLM_E_NODATA no cells (out zeroed). */
CLM_MUST bool clm_jacobian_conclude(const clm_affine *A, const clm_jacobian_sums *s, clm_jacobian_stats *out,
                                    clm_err *err);

/** det A times det(I + grad u) over the lattice; f NULL: of A alone.
 *  Errors CLM_E_NUMERIC when a determinant is not finite (out zeroed). Memory: temp, a row of cells. */
CLM_MUST bool clm_jacobian_measure(const clm_work *w, const clm_affine *A, const clm_field *f,
                                   clm_jacobian_stats *out, clm_err *err);

/** Lower bound of the determinant over the lattice (NaN if the field is not finite); f NULL: det A. */
double clm_jacobian_min(const clm_affine *A, const clm_field *f);

/** det of the map's derivative at a world point (one-sided on lattice planes: the upper cell's). */
double clm_jacobian_at(const clm_affine *A, const clm_field *f, const double x[3]);

#endif
