/* A global transform refined on the voxels themselves: from a start that is a few cells off to a fraction
 * of a voxel. Not a search: a start beyond the capture range (about two coarsest voxels) stays lost. */
#ifndef CLM_ALIGN_REFINE_H
#define CLM_ALIGN_REFINE_H

#include "collimate/align/pose.h"
#include "collimate/base/work.h"
#include "collimate/core/affine.h"
#include "collimate/core/vol.h"

typedef enum clm_refine_metric {
    CLM_REFINE_NCC,     /* correlation: same modality, any gain and offset     */
    CLM_REFINE_SQUARES, /* mean squares: same modality, calibrated intensities */
    CLM_REFINE_MI       /* mutual information: any modalities                  */
} clm_refine_metric;

typedef struct clm_refine_params {
    clm_model model; /* of the change: rigid moves what the start gives as a whole              */
    clm_refine_metric metric;
    int32_t finest;       /* last level: 0 full resolution, 1 half, ...; see clm_reduce_factor      */
    int32_t levels;       /* at most this many, the coarsest halved levels - 1 times more           */
    int32_t iterations;   /* steps a level at most, rejected ones included                          */
    double tolerance_vox; /* a level ends when no corner moves further, in its finest voxel spacing */
    double max_step_vox;  /* no corner moves further in one step, in the level's finest spacing     */
    double max_move_um;   /* nor further from the start in all; 0: no limit                         */
    double max_stretch;   /* nor is anything stretched or squeezed by more than this against the start */
    int64_t max_voxels;   /* of fixed compared a step; when a level has more, rows are left out evenly */
    double min_overlap;   /* share of the smaller of the two images that must be compared           */
} clm_refine_params;

#define CLM_REFINE_DEFAULTS                         \
    ((clm_refine_params){.model = CLM_MODEL_AFFINE, \
                         .metric = CLM_REFINE_NCC,  \
                         .finest = 0,               \
                         .levels = 5,               \
                         .iterations = 30,          \
                         .tolerance_vox = 0.02,     \
                         .max_step_vox = 4,         \
                         .max_move_um = 0,          \
                         .max_stretch = 1.5,        \
                         .max_voxels = 4000000,     \
                         .min_overlap = 0.1})

typedef struct clm_refine_fit {
    clm_affine affine;    /* fixed -> moving, world                                                     */
    double before, after; /* at the finest level: correlation, minus the mean square, or the
                                   correlation of Gaussian values of the same mutual information           */
    double overlap;       /* share of fixed voxels compared, after                                      */
    double shared;        /* the same of the smaller image, by volume                                   */
    double moved_um;      /* farthest that a corner of the fixed volume was moved                       */
    int32_t iterations;   /* steps tried, all levels                                                    */
    int32_t finest_iterations;
} clm_refine_fit;

/** Fit by Gauss-Newton steps, coarse to fine.
 *
 *  fixed, moving  any grids; NaN voxels are outside a mask and count for nothing
 *  start          fixed -> moving, world
 *  Steps that do not raise the metric are halved, then dropped; the finest level begins with the better of
 *  the start and what coarser levels found: `after` >= `before`, always. Same bytes on every machine.
 *  Errors   CLM_E_NODATA   under the start the two share less than min_overlap of the smaller one, or one of
 *                          them is constant there
 *           CLM_E_ARG      parameters out of range, empty volumes, moving of 2^31 voxels or more
 *           CLM_E_BUDGET
 *           out is untouched
 *  Memory   temp: the reduced volumes, at most 1/7 of both together
 *  Source   Evangelidis, Psarakis, IEEE Trans. PAMI 30 (2008): correlation maximised by closed-form
 *           Gauss-Newton steps. Differs: derivatives are those of the trilinear interpolant, so that a step
 *           which fails to improve is a matter of length, never of direction. Mutual information: parzen.h,
 *           with Fisher's information for its curvature.
 */
CLM_MUST bool clm_refine_affine(const clm_work *w, const clm_vol *fixed, const clm_vol *moving,
                                const clm_affine *start, const clm_refine_params *p, clm_refine_fit *out,
                                clm_err *err);

#endif
