/* A made pair of volumes whose true warp is known: one continuous scene (scene.h), seen by two
 * microscopes, once as it is and once through T. For the quickstart, tests and benchmarks.
 * T maps fixed world to moving world, T(x) = A(x + u(x)); the moving volume shows at y what the scene
 * has at the x with T(x) = y. u is unlimited in extent and never folds. */
#ifndef CLM_IMAGE_PHANTOM_H
#define CLM_IMAGE_PHANTOM_H

#include "collimate/base/work.h"
#include "collimate/core/affine.h"
#include "collimate/core/vol.h"
#include "collimate/image/noise.h"
#include "collimate/image/scene.h"

/** One of the two volumes and its camera: counts = offset + gain * scene^gamma * shade, plus noise of
 *  variance noise^2 * (counts_per_photon * (counts - offset) + read^2), rounded into uint16. */
typedef struct clm_phantom_side {
    int64_t shape[3];  /* voxels, z y x                                      */
    double spacing[3]; /* micrometres                                        */
    double origin[3];  /* world micrometres of the centre of voxel (0,0,0)   */
    double offset;     /* counts in the dark                                 */
    double gain;       /* counts of scene brightness 1, a bright cell        */
    double gamma;      /* contrast: below 1 lifts the dim                    */
    double shading;    /* uneven illumination: shade is 1 +- at most this    */
} clm_phantom_side;

typedef enum clm_phantom_view { CLM_PHANTOM_FIXED, CLM_PHANTOM_MOVING } clm_phantom_view;

typedef struct clm_phantom_params {
    uint64_t seed;
    clm_phantom_side side[2];
    double cell_um;           /* typical radius of a cell                                         */
    double density;           /* 1: cells as dense as tissue; scales how many there are           */
    double rotation_deg;      /* of A, about a random axis through the centre of the fixed volume  */
    double stretch;           /* A's scale along each axis is 1 +- at most this                    */
    double shear;             /* and its shears are at most this                                   */
    double shift_um;          /* length of A's shift of that centre, towards the moving centre     */
    double warp_um[2];        /* u is two layers of smooth noise; each moves at most this far ...  */
    double warp_pitch_um[2];  /* ... with this pitch; typical displacement is a third of warp_um   */
    double counts_per_photon; /* shot noise                                                        */
    double read_counts;       /* read noise, standard deviation                                    */
    double noise;             /* scales all noise; 0 none                                          */
} clm_phantom_params;

/* clang-format off */
#define CLM_PHANTOM_DEFAULTS ((clm_phantom_params){                                                   \
    .seed = 1,                                                                                        \
    .side = {{.shape = {128, 192, 224}, .spacing = {1.0, 0.8, 0.8}, .offset = 100, .gain = 900,       \
              .gamma = 1.0, .shading = 0.15},                                                         \
             {.shape = {120, 200, 200}, .spacing = {1.2, 0.9, 0.9}, .offset = 180, .gain = 600,       \
              .gamma = 0.85, .shading = 0.25}},                                                       \
    .cell_um = 3.4, .density = 1.0,                                                                   \
    .rotation_deg = 4.0, .stretch = 0.03, .shear = 0.015, .shift_um = 14.0,                           \
    .warp_um = {16.0, 1.4}, .warp_pitch_um = {64.0, 24.0},                                            \
    .counts_per_photon = 1.5, .read_counts = 4.0, .noise = 1.0})
/* clang-format on */

/** A phantom: its parameters and what follows from them. Plain data, may be shared by threads. */
typedef struct clm_phantom {
    clm_phantom_params params;
    clm_affine affine;  /* A: fixed world + u -> moving world */
    clm_affine inverse; /* of A                               */
    clm_noise warp[2];
    clm_scene scene;
} clm_phantom;

/** Check the parameters and derive the rest, the same for the same parameters.
 *  Errors CLM_E_ARG a parameter out of range, or a warp that might fold: 1.5 sqrt 3 times the sum of
 *  warp_um / warp_pitch_um must be below 0.9, which keeps det(I + du/dx) above 0.001. */
CLM_MUST bool clm_phantom_make(const clm_phantom_params *params, clm_phantom *out, clm_err *err);

/** y = T(x), exactly as the moving volume was made. x and y may be the same array. */
void clm_phantom_truth(const clm_phantom *p, const double x[3], double y[3]);
/** x with |T(x) - y| < 1e-8 um, up to A's stretch. */
void clm_phantom_inverse(const clm_phantom *p, const double y[3], double x[3]);
/** det(dT/dx) at x. */
double clm_phantom_jacobian(const clm_phantom *p, const double x[3]);

/** The counts of one box of a volume, whole numbers in 0 .. 65535, packed in w->keep and placed.
 *  The same values for a voxel whatever box it is part of.
 *  box      within the view's shape, not empty
 *  Errors   CLM_E_ARG the box is not; CLM_E_BUDGET
 *  Memory   keep 4 bytes a voxel; temp about 40 bytes a voxel and the cells near the box */
CLM_MUST bool clm_phantom_render(const clm_work *w, const clm_phantom *p, clm_phantom_view view, clm_box box,
                                 clm_vol *out, clm_err *err);

#endif
