/* Affines of a grid of blocks, solved together: each block's matches pull at its own affine, neighbours hold
 * each other, a block that its neighbours contradict loses its say, and one without matches takes what
 * they agree on. The result is a smooth displacement field, evaluated wherever it is needed. */
#ifndef CLM_ALIGN_LATTICE_H
#define CLM_ALIGN_LATTICE_H

#include "collimate/base/work.h"
#include "collimate/core/affine.h"
#include "collimate/core/field.h"

/** All that the matches p -> q of a block say about an affine: moments about their means. Small, flat. */
typedef struct clm_lattice_block {
    double n;          /* matches; 0: the block abstains     */
    double p[3], q[3]; /* means, world um: fixed, moving      */
    double pp[6];      /* sum of p p' : zz zy zx yy yx xx     */
    double qp[3][3];   /* sum of q_i p_j                      */
    double qq[6];      /* sum of q q'                         */
} clm_lattice_block;

#define CLM_LATTICE_NUMBERS 28 /* doubles of a packed block */

/** p, q [n] matched points, world um; only those with agrees[i] != 0 count (NULL: all). */
void clm_lattice_block_make(clm_lattice_block *out, int64_t n, const double (*p)[3], const double (*q)[3],
                            const uint8_t *agrees);
/** As if n matches, spread evenly over the box `size_um` around centre, with errors of noise_um a component, had
 *  said T: a block's affine from elsewhere (intensities, landmarks) enters the lattice. */
void clm_lattice_block_of_affine(clm_lattice_block *out, const double centre[3], const double size_um[3],
                                 const clm_affine *T, double n, double noise_um);
void clm_lattice_pack(const clm_lattice_block *b, double out[CLM_LATTICE_NUMBERS]);
void clm_lattice_unpack(const double in[CLM_LATTICE_NUMBERS], clm_lattice_block *out);

/** Where the blocks stand: block (k, j, i) at (centre[0][k], centre[1][j], centre[2][i]). */
typedef struct clm_lattice_grid {
    int64_t shape[3];        /* blocks                                          */
    const double *centre[3]; /* [shape[d]] ascending, fixed world um             */
    double size_um[3];       /* of a block without its halo                      */
} clm_lattice_grid;

typedef struct clm_lattice_params {
    double noise_um;     /* error of one match, a component; 0: measured, the median of blocks' own fits */
    double bend_um;      /* rms over the box around a shared face by which neighbours' displacements may
                          differ; 0: measured, from neighbours' own fits, raised until predictions hold */
    double smoothness;   /* multiplies the weight of that agreement; 1 is usual                          */
    double pull_um;      /* rms displacement a block without any support may have; 0: 10 median ones     */
    double doubt;        /* a block is doubted that lies further from what its neighbours predict than
                          this many standard errors of the prediction                                  */
    int64_t min_matches; /* fewer: the block abstains                                                  */
} clm_lattice_params;
#define CLM_LATTICE_DEFAULTS ((clm_lattice_params){.smoothness = 1, .doubt = 3, .min_matches = 4})

typedef enum clm_lattice_status {
    CLM_LATTICE_USED,
    CLM_LATTICE_DOUBTED,  /* its matches count less: weight below 1                 */
    CLM_LATTICE_REJECTED, /* they do not count; the affine is what neighbours predict */
    CLM_LATTICE_EMPTY     /* too few; the affine is what neighbours predict           */
} clm_lattice_status;

/** What became of one block. */
typedef struct clm_lattice_verdict {
    clm_lattice_status status;
    double weight;      /* of its matches, 0 to 1                                                       */
    double residual_um; /* rms of its matches about the final affine, in fixed um; NaN without           */
    double gap_um;      /* rms distance of its own fit from the neighbours' prediction; NaN without      */
    double allowed_um;  /* gap beyond which it is doubted                                                */
} clm_lattice_verdict;

/** The solution. Displacement of block b: u(x) = m[b] (x - centre, 1), in fixed um; T = A(x + u(x)). */
typedef struct clm_lattice {
    int64_t n, shape[3];
    double *centre[3]; /* [shape[d]]                     */
    double size_um[3];
    double (*m)[3][4]; /* [n], x fastest: z y x 1 columns */
} clm_lattice;

typedef struct clm_lattice_report {
    double noise_um, bend_um, pull_um; /* as used                  */
    int64_t used, doubted, rejected, empty;
    int32_t rounds;     /* of doubting                              */
    int32_t iterations; /* of the last linear solve                 */
} clm_lattice_report;

/** Solve for all blocks' affines.
 *
 *  grid, blocks  blocks[n], n the product of grid->shape, x fastest
 *  A             the global affine: what is solved for is the displacement before it
 *  out           made in w->keep; zero displacement when no block has matches
 *  verdict       [n], or NULL
 *  Minimises  sum_b w_b sum_matches |u_b(p) - (A^-1 q - p)|^2 / noise_b^2
 *           + smoothness sum_faces mean over box |u_a - u_b|^2 / bend^2 + sum_b mean over block |u_b|^2 / pull^2,
 *  the box around a face being as large as a block. Neighbours that differ by a common affine pay nothing:
 *  only bending does. w_b: each block is predicted from its up to 26 neighbours without its own matches; of
 *  those further off than allowed, the worst of every neighbourhood loses weight, the others are asked again.
 *  The answer does not depend on the order of anything but the matches within a block (rounding).
 *  Errors   CLM_E_ARG     parameters or grid out of range, not finite matches
 *           CLM_E_NUMERIC A singular; the solve did not converge
 *           CLM_E_BUDGET
 *  Memory   keep: 96 bytes a block; temp: 1.4 KiB a block
 *  Time     in proportion to the blocks, however large the regions without matches are (lattice_levels.c)
 */
CLM_MUST bool clm_lattice_fit(const clm_work *w, const clm_lattice_grid *grid,
                              const clm_lattice_block *blocks, const clm_affine *A,
                              const clm_lattice_params *p, clm_lattice *out, clm_lattice_verdict *verdict,
                              clm_lattice_report *report, clm_err *err);

/** That memory, for a lattice of so many blocks along each axis. */
int64_t clm_lattice_bytes(const int64_t shape[3]);

/** T of block b: fixed -> moving. */
clm_affine clm_lattice_affine(const clm_lattice *l, const clm_affine *A, int64_t b);

/** The affine that touches T = A(x + u(x)) at a fixed world point: what a block's own search may start from. */
clm_affine clm_lattice_tangent(const clm_lattice *l, const clm_affine *A, const double x[3]);

/** u at a fixed world point: neighbours' displacements blended by cubic ramps between their centres. C1; the
 *  weights are >= 0 and sum to 1; a lattice of one affine is that affine; beyond the outermost centres the
 *  outermost block's affine, up to a block's size, then constant. */
void clm_lattice_at(const clm_lattice *l, const double x[3], double u[3]);
/** The same on all nodes of `out`: any part of any lattice of nodes; u must be allocated. */
void clm_lattice_field(const clm_lattice *l, clm_field *out);

#endif
