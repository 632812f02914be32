/* How good is a transform, or an already aligned volume? Every figure is a sum over blocks, so volumes may be of
 * any size; blocks are merged in fixed order, so the figures do not depend on the number of threads. */
#ifndef CLM_APP_EVALUATE_H
#define CLM_APP_EVALUATE_H

#include "collimate/image/jacobian.h"
#include "collimate/image/lncc.h"
#include "collimate/image/metric.h"
#include "collimate/image/overlap.h"
#include "collimate/image/quantile.h"
#include "collimate/image/seam.h"
#include "collimate/image/truth.h"
#include "collimate/job/view.h"
#include "collimate/store/ome.h"

/** The maps that are compared, in this order. */
typedef enum clm_judged {
    CLM_JUDGED_BEFORE, /* identity: where the metadata put the moving image */
    CLM_JUDGED_AFFINE, /* the transform's affine alone                      */
    CLM_JUDGED_AFTER,  /* all of the transform, or the aligned volume       */
    CLM_JUDGED_COUNT
} clm_judged;

/** What is judged; what is NULL or not set is left out. Owns nothing. */
typedef struct clm_evaluate {
    const clm_image *fixed, *moving, *aligned;
    clm_view fixed_view, moving_view, aligned_view; /* what correlation is measured on */
    const clm_transform *transform, *inverse;
    const clm_image *fixed_labels, *moving_labels;
    double surface_reach_um; /* 0: Dice only */
    int64_t radius_vox;      /* of the local correlation's window */
    int64_t face_nodes[3];   /* lattice nodes between block faces; 0: unknown */
    const char *map;         /* NULL, or an OME-Zarr to make: the local correlation after */
    int threads;
} clm_evaluate;

typedef struct clm_similarity {
    clm_ncc ncc;
    clm_lncc lncc;
    clm_mi mi;
} clm_similarity;

typedef struct clm_similarities {
    bool has[CLM_JUDGED_COUNT];
    clm_similarity of[CLM_JUDGED_COUNT];
    int64_t voxels; /* of the fixed view */
} clm_similarities;

/** Correlation, local correlation, mutual information, mean squares over the fixed view, the moving view warped
 *  linearly. Mutual information has 64 bins from the .001 to the .999 quantile of each image.
 *  Memory a thread: about 60 bytes a voxel of a block of 128 and its windows.
 *  Errors CLM_E_ARG the aligned volume is not on the fixed grid; as clm_image_read; CLM_E_WRITE of the map. */
CLM_MUST bool clm_evaluate_images(const clm_evaluate *e, clm_similarities *out, clm_err *err);

typedef struct clm_field_figures {
    bool has_field, has_coverage;
    clm_jacobian_stats jacobian;
    clm_jacobian_sums sums; /* behind it: its histogram */
    clm_seam seam;
    double coverage_mean, coverage_least;
    int64_t coverage_nodes, coverage_holes; /* holes: less than half of the blending weight was there */
    double displacement_mean_um, displacement_max_um;
    clm_quantile displacement; /* um, of the nodes */
} clm_field_figures;

/** Of e->transform alone. The quantiles are in w->keep. */
CLM_MUST bool clm_evaluate_field(const clm_evaluate *e, const clm_work *w, clm_field_figures *out,
                                 clm_err *err);

typedef struct
    clm_loop_figures { /* |inverse(transform(x)) - x|, um, at the nodes of the transform's lattice */
    int64_t n;
    double mean, rms, max, p50, p95, p99; /* percentiles to 1 part in 1000 */
} clm_loop_figures;

/** A bare affine is judged at the corners of the fixed volume. Points that leave the moving volume, when there is
 *  one, do not count. */
CLM_MUST bool clm_evaluate_loop(const clm_evaluate *e, clm_loop_figures *out, clm_err *err);

typedef struct clm_landmarks {
    int64_t n;
    double (*fixed)[3], (*moving)[3]; /* micrometres, z y x */
} clm_landmarks;

/** Pairs from a table of comma- or blank-separated values: six columns fixed z y x, moving z y x, or named in a
 *  first line (fixed_z ... moving_x, also fz, fy, fx, mz, my, mx) among others in any order. In w->keep.
 *  Errors CLM_E_FORMAT names the line; CLM_E_NODATA no pair. */
CLM_MUST bool clm_landmarks_read(const clm_work *w, const char *path, clm_landmarks *out, clm_err *err);
/** Where the maps put the fixed points against the moving ones. */
CLM_MUST bool clm_evaluate_landmarks(const clm_evaluate *e, const clm_work *w, const clm_landmarks *marks,
                                     bool has[CLM_JUDGED_COUNT], clm_truth_error out[CLM_JUDGED_COUNT],
                                     clm_err *err);

typedef struct clm_label_figures {
    bool has[CLM_JUDGED_COUNT];
    clm_ball ball; /* n 0: no distances */
    clm_overlap of[CLM_JUDGED_COUNT];
} clm_label_figures;

/** The moving labels warped to the fixed labels' grid by nearest, voxel by voxel. Results in w->keep. */
CLM_MUST bool clm_evaluate_labels(const clm_evaluate *e, const clm_work *w, clm_label_figures *out,
                                  clm_err *err);

/** The affine and the field (NULL: none) of a judged map over a grid of the fixed space, field in w->keep. */
CLM_MUST bool clm_evaluate_map_over(const clm_evaluate *e, const clm_work *w, clm_judged which,
                                    const clm_vol *grid, clm_affine *affine, clm_field *room,
                                    const clm_field **field, clm_err *err);
/** Is there such a map? */
bool clm_evaluate_has(const clm_evaluate *e, clm_judged which);
/** T(x) by reading the few nodes around x. */
CLM_MUST bool clm_evaluate_point(const clm_transform *t, const clm_work *w, const double x[3], double y[3],
                                 clm_err *err);

/** All that was measured; sections that were not are left out. */
typedef struct clm_evaluation {
    bool has_images, has_field, has_loop, has_landmarks, has_labels;
    clm_similarities images;
    int64_t radius_vox;
    clm_field_figures field;
    clm_loop_figures loop;
    bool marked[CLM_JUDGED_COUNT];
    clm_truth_error marks[CLM_JUDGED_COUNT];
    clm_label_figures labels;
} clm_evaluation;

CLM_MUST bool clm_evaluation_to_json(const clm_evaluation *v, const clm_work *w, clm_json **out,
                                     clm_err *err);
/** A table for people from that JSON. */
CLM_MUST bool clm_evaluation_print(const clm_json *v, clm_buf *out, clm_err *err);

#endif
