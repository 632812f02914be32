/* Where the voxels of one grid land in another, row by row: the inner engine of everything that
 * resamples (warp, deform). Positions come in lanes of at most CLM_LANE voxels, as float offsets from
 * an integer base, so they keep 1e-5 voxel however large the volume is. */
#ifndef CLM_IMAGE_ROWMAP_H
#define CLM_IMAGE_ROWMAP_H

#include "collimate/core/field.h"

#define CLM_LANE 64
/** A position this far (in voxels) beyond the first or last voxel centre still counts as on it, so that
 *  rounding in origins and spacings never costs an identity map its border. */
#define CLM_LANE_SLACK 2e-5f

/** The map T(x) = A(x + u(x)) from voxels of `out` to voxels of `moving`. Owns nothing. */
typedef struct clm_rowmap {
    const clm_field *f;                    /* NULL: affine alone                                  */
    int64_t shape[3];                      /* of the output grid                                  */
    int64_t moving[3];                     /* shape of the moving grid                            */
    double m[3][4];                        /* output voxel -> moving voxel, affine part           */
    double l[3][3];                        /* micrometres of u -> moving voxels                   */
    double lattice_at[3], lattice_step[3]; /* lattice coordinate of output voxel 0, and a voxel   */
    int32_t *node;                         /* [shape[2]] lower lattice node of each x             */
    float *part;                           /* [shape[2]] weight of the node above it              */
    float *blend[3];                       /* [f->shape[2]] scratch: u along one lattice row      */
    float *ends[2][3];                     /* [shape[2]] two lattice rows, expanded along x       */
    float *v[3];                           /* [shape[2]] displacement in moving voxels, this row  */
    int64_t held_z, held_j;                /* what `ends` holds; -1 nothing                       */
    int64_t z, y;                          /* the row last asked for                              */
} clm_rowmap;

/** Positions of n voxels of a row: base + p. The base is a voxel of the moving grid. */
typedef struct clm_lane {
    int64_t base[3];
    float p[3][CLM_LANE];
} clm_lane;

/** Prepare; scratch of about 10 rows is taken from `a` and lives as long as the map.
 *  `out` and `moving` give grids only (data may be NULL). f must outlive the map.
 *  Errors CLM_E_ARG when a shape is not positive or a spacing is not positive and finite. */
CLM_MUST bool clm_rowmap_make(clm_arena *a, const clm_vol *out, const clm_vol *moving, const clm_affine *A,
                              const clm_field *f, clm_rowmap *map, clm_err *err);
/** Go to row (z, y) of the output; fastest when y runs inside z. */
void clm_rowmap_row(clm_rowmap *map, int64_t z, int64_t y);
/** Positions of voxels x .. x+n-1 of the row, n <= CLM_LANE. */
void clm_rowmap_lane(const clm_rowmap *map, int64_t x, int n, clm_lane *lane);

#endif
