/* Deformable alignment of one pair of blocks at one resolution: refines the displacement field under a
 * given affine by second-order descent on a local similarity, regularised, free of folds.
 * Coarse-to-fine schedules and overlapping blocks are the job's. */
#ifndef CLM_ALIGN_DEFORM_H
#define CLM_ALIGN_DEFORM_H

#include "collimate/base/work.h"
#include "collimate/core/field.h"

typedef enum clm_deform_metric {
    CLM_DEFORM_LNCC, /* correlation in a window around every voxel: blind to slow changes of gain and offset */
    CLM_DEFORM_NCC, /* correlation over the whole block: one gain and offset                                */
    CLM_DEFORM_SSD, /* mean squares: intensities mean the same in both                                      */
    CLM_DEFORM_LNCC2, /* as LNCC, of either sign: another modality, bright here may be dark there           */
    CLM_DEFORM_MI     /* mutual information over the whole block: any relation of the intensities, of one kind
                     all over the block                                                                     */
} clm_deform_metric;

typedef struct clm_deform_params {
    clm_deform_metric metric;
    int32_t radius_vox;  /* LNCC: the window is (2 r + 1)^3 voxels of this level                       */
    int32_t iterations;  /* at most so many linear solves; each costs one pass over the voxels         */
    double stiffness;    /* weight of the squared strain of u against 1 - similarity; no unit, the same
                                   at every spacing and pitch                                                 */
    double max_step_vox; /* no node moves farther in one iteration, in voxels of the fixed grid        */
    double
        max_displacement_um; /* no node is moved farther than this from its start; 0: no limit            */
    double min_jacobian;     /* det(I + grad u) stays at or above this everywhere; 0 <= x < 1              */
    double min_contrast;     /* LNCC: windows whose standard deviation is below this share of the whole
                                   block's carry no weight                                                    */
    double min_gain;         /* stop when an iteration improves the mean similarity by less                */
    bool evidence;           /* gather what tells the stiffness of the next finer level, see the fit       */
} clm_deform_params;
#define CLM_DEFORM_DEFAULTS                          \
    ((clm_deform_params){.metric = CLM_DEFORM_LNCC,  \
                         .radius_vox = 4,            \
                         .iterations = 6,            \
                         .stiffness = 2.0,           \
                         .max_step_vox = 2.0,        \
                         .max_displacement_um = 0.0, \
                         .min_jacobian = 0.32,       \
                         .min_contrast = 1e-3,       \
                         .min_gain = 5e-4})

/** Smooth a field around cells whose det(I + grad u) may fall below `floor` (clm_jacobian_cells), in a few sweeps, the
 *  wider the less the first ones helped. What becomes of a node depends on nodes within CLM_FLOOR_REACH alone, so of a
 *  part of a field all that lies farther inside comes out as of the whole.
 *  sweeps  done; CLM_FLOOR_SWEEPS: something may be left
 *  Errors  CLM_E_BUDGET. Memory: temp, 13 bytes a node */
CLM_MUST bool clm_floor_mend(const clm_work *w, clm_field *u, double floor, int32_t *sweeps, clm_err *err);
#define CLM_FLOOR_SWEEPS 6
#define CLM_FLOOR_REACH 23 /* nodes */

#define CLM_DEFORM_WEIGHTS 3
/** Sums that tell how stiff a field should be. They add over blocks. */
typedef struct clm_deform_evidence {
    double noise, noise_unit;             /* square of the gradient's noise, and what it is at unit noise */
    double curvature[CLM_DEFORM_WEIGHTS]; /* squared curvature of the field at each of a few stiffnesses  */
    double freedom[CLM_DEFORM_WEIGHTS];   /* unknowns that the data determine there                       */
} clm_deform_evidence;

typedef struct clm_deform_fit {
    double before,
        after; /* mean similarity over the voxels compared: correlation (LNCC, NCC; its size for LNCC2), or
                                   1 - half the mean square over the fixed variance (SSD), or the correlation
                                   of Gaussian values of the same mutual information (MI)                     */
    double covered;      /* share of the fixed voxels that could be compared, at the end               */
    double min_jacobian; /* of the full map A(x + u), physical units                                   */
    double
        max_displacement_um; /* largest |u|                                                                */
    int32_t iterations;      /* solves done                                                                */
    int32_t rejected;        /* steps that had to be shortened because the metric fell                     */
    int64_t limited;         /* node increments shortened by the Jacobian floor, all iterations            */
    clm_deform_evidence evidence; /* zeros unless asked for                                                */
} clm_deform_fit;

/** Refine `field` so that moving(A(x + u(x))) looks like fixed(x).
 *
 *  fixed    float32, any grid; its voxels are what is compared. NaN: not to be compared
 *  moving   float32, at least clm_warp_box of fixed under A and field plus clm_deform_halo; voxels that map
 *           outside it, or onto NaN, are not compared, nor are windows that hold one
 *  A        fixed -> moving world
 *  field    in: the start (zero or from the level below), a lattice that covers fixed with a pitch of about
 *           four voxels; out: refined. Nodes far from anything comparable are filled by stiffness alone
 *  out      figures; also set when it fails with CLM_E_NODATA
 *  Same input, same bytes.
 *  Errors   CLM_E_NODATA  fewer than 0.1 % of the voxels can be compared: no overlap, NaN, or constant
 *           CLM_E_ARG     a parameter out of range, a field not finite
 *           field is untouched when false is returned
 *  Memory   temp: clm_deform_bytes
 *  Source   own; see docs/algorithms/deform.md */
CLM_MUST bool clm_deform(const clm_work *w, const clm_vol *fixed, const clm_vol *moving, const clm_affine *A,
                         clm_field *field, const clm_deform_params *p, clm_deform_fit *out, clm_err *err);

void clm_deform_evidence_add(clm_deform_evidence *sum, const clm_deform_evidence *part);
/** The stiffness that the evidence calls for on its own level, 1/64 to 64: the weight at which the curvature left in the
 *  field is what a prior of that weight expects of the unknowns that the data determine (empirical Bayes).
 *  `otherwise` when it tells nothing.
 *  Source   D. MacKay, Bayesian Interpolation, Neural Computation 4, 1992, section 4; docs/algorithms/deform.md */
double clm_deform_stiffness(const clm_deform_evidence *sum, double otherwise);

/** Voxels of fixed around a block whose values can change the field inside it noticeably: the window, and
 *  the reach of the regularised solve. */
int64_t clm_deform_halo(const clm_deform_params *p);
/** Temp bytes of one call. */
int64_t clm_deform_bytes(const clm_deform_params *p, const int64_t fixed_shape[3],
                         const int64_t lattice_shape[3]);

#endif
