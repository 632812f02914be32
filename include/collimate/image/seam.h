/* Do block faces show in a displacement field? The change of its gradient from one lattice cell to the next,
 * where blocks met, against everywhere else. A field stitched without seams has 1. */
#ifndef CLM_IMAGE_SEAM_H
#define CLM_IMAGE_SEAM_H

#include "collimate/core/field.h"

/** Zero-initialise; merge by adding all members in a fixed order. */
typedef struct clm_seam {
    double on, off;      /* sums of jumps (dimensionless): on block faces, elsewhere */
    int64_t n_on, n_off; /* jumps                                                    */
} clm_seam;

/** Block faces across an axis, in nodes of the whole lattice: at + k period for whole k. */
typedef struct clm_seam_faces {
    double period[3]; /* z y x; an axis where it is below 2 is left out: faces everywhere, or none */
    double at[3];     /* 0: node 0 begins a block                                                  */
} clm_seam_faces;

/** Add the jumps |(u[k+1] - 2 u[k] + u[k-1]) / h| along each axis at the nodes of `core`.
 *
 *  f       nodes of a part of the lattice; a node of core without a neighbour on either side along an axis
 *          has no jump along it, so a part needs a halo of one node
 *  first   place of f's node (0,0,0) in the whole lattice
 *  faces   where blocks meet. A jump is on a face when the face lies in either of the two cells of its node, ends
 *          left out: on the node itself where faces pass through nodes
 *  Errors  none */
void clm_seam_add(const clm_field *f, const int64_t first[3], clm_box core, const clm_seam_faces *faces,
                  clm_seam *s);
void clm_seam_merge(clm_seam *into, const clm_seam *part);
/** Mean jump on the faces over the mean jump elsewhere; NaN without either, or when nothing jumps. */
double clm_seam_value(const clm_seam *s);

#endif
