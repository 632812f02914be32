/* How good is a transform, or an already aligned volume? Figures as a plan of tasks over blocks, so volumes may be of
 * any size; parts are merged in the order of blocks, so no figure depends on ranks or threads. What each figure is:
 * docs/quality.md. */
#ifndef CLM_JOB_EVALUATE_H
#define CLM_JOB_EVALUATE_H

#include "collimate/image/jacobian.h"
#include "collimate/image/quantile.h"
#include "collimate/image/seam.h"
#include "collimate/image/truth.h"
#include "collimate/job/align_run.h"
#include "collimate/transform/map.h"

#define CLM_EVALUATE_TRANSFORMS_MAX 16

/** The maps that are compared, in this order. */
typedef enum clm_judged {
    CLM_JUDGED_BEFORE, /* identity: where the metadata put the moving image */
    CLM_JUDGED_AFFINE, /* the transform's affines alone                     */
    CLM_JUDGED_AFTER,  /* all of the transform, or the aligned volume       */
    CLM_JUDGED_COUNT
} clm_judged;
extern const char *const clm_judged_name[CLM_JUDGED_COUNT];

/** What is asked. Borrowed texts; what is NULL or 0 is left out. */
typedef struct clm_evaluate_spec {
    const char *run; /* a folder of align: its images, its transform, its blocks; what else is given wins */
    const char *fixed, *moving, *aligned;
    const char *transforms[CLM_EVALUATE_TRANSFORMS_MAX]; /* a chain, as clm_map_open has it */
    int n_transforms;
    const char *inverse; /* a transform moving -> fixed, or "solved", or "stored" */
    const char *landmarks, *fixed_labels, *moving_labels;
    const char *maps;   /* a folder for maps as OME-Zarr */
    const char *folder; /* of the journal and of parts on their way; the same on all ranks */
    bool has_fixed_spacing, has_moving_spacing, has_block;
    double fixed_spacing_um[3], moving_spacing_um[3];
    int64_t fixed_channel, moving_channel; /* -1: the only one; of `aligned` that of moving */
    int64_t fixed_time, moving_time;
    double block_vox[3];        /* of the fixed grid: where block faces are looked for */
    double spacing_um;          /* of the voxels that are compared; 0: the run's, or the finest */
    double surface_reach_um;    /* below 0: 10 voxels of the fixed labels; 0: Dice only */
    int64_t radius_vox;         /* of the local correlation's window */
    int64_t threads;            /* 0: this rank's share of the cores */
    double cache_mib, task_mib; /* task_mib: most of a task; 0: as the images and the window need */
} clm_evaluate_spec;
#define CLM_EVALUATE_DEFAULTS                      \
    ((clm_evaluate_spec){.fixed_channel = -1,      \
                         .moving_channel = -1,     \
                         .fixed_time = -1,         \
                         .moving_time = -1,        \
                         .surface_reach_um = -1.0, \
                         .radius_vox = 4,          \
                         .cache_mib = 256})

/** As JSON and back; of_json borrows its texts from v. */
CLM_MUST bool clm_evaluate_spec_to_json(const clm_evaluate_spec *spec, clm_json **out, clm_err *err);
CLM_MUST bool clm_evaluate_spec_of_json(const clm_json *v, clm_evaluate_spec *out, clm_err *err);

typedef enum clm_evaluate_kind {
    CLM_EVALUATE_RANGE,      /* values of both images, counted coarsely  */
    CLM_EVALUATE_RANGE_PICK, /* in which bins the quantiles lie          */
    CLM_EVALUATE_RANGE_FINE, /* the values of those bins                 */
    CLM_EVALUATE_RANGE_END,  /* the ranges                               */
    CLM_EVALUATE_IMAGES,     /* correlation and the like                 */
    CLM_EVALUATE_FIELD,      /* the transform by itself                  */
    CLM_EVALUATE_FIELD_PICK, /* quantiles of its figures, as above       */
    CLM_EVALUATE_FIELD_FINE,
    CLM_EVALUATE_LABELS,
    CLM_EVALUATE_FINISH, /* landmarks; everything summed: evaluation.json */
    CLM_EVALUATE_KINDS
} clm_evaluate_kind;

typedef enum clm_evaluate_map {
    CLM_MAP_NCC_BEFORE,
    CLM_MAP_NCC_AFTER,
    CLM_MAP_JACOBIAN,
    CLM_MAP_DISPLACEMENT,
    CLM_EVALUATE_MAPS
} clm_evaluate_map;
/** "local_ncc_before", ...: NAME.ome.zarr below the folder of maps. */
extern const char *const clm_evaluate_map_name[CLM_EVALUATE_MAPS];

/** A run of it, opened. Tasks only read it. */
typedef struct clm_evaluate {
    clm_json *json; /* owned; the spec's texts live in it */
    clm_evaluate_spec spec;
    clm_config *config; /* of spec.run */
    clm_run *run;
    clm_cache *cache;
    clm_image *opened[5];
    const clm_image *fixed, *moving, *aligned, *labels[2];
    clm_view fixed_view, moving_view, aligned_view;
    bool has_images, has_map, has_field, has_inverse, judged[CLM_JUDGED_COUNT];
    clm_map map, inverse;
    clm_affine affine;      /* the product of the map's affines                              */
    clm_vol lattice;        /* where the field is looked at; no data                         */
    bool stored;            /* the lattice's nodes are those on disk                         */
    clm_seam_faces faces;   /* of blocks, in nodes                                           */
    clm_image_frame target; /* of the moving volume; shape 0: not known                      */
    clm_array *coverage;    /* NULL: not recorded                                            */
    clm_array *maps[CLM_EVALUATE_MAPS];
    clm_grid blocks[CLM_EVALUATE_KINDS]; /* what the tasks of a kind cut up, n 0: nothing    */
    clm_grid moving_blocks;              /* of RANGE, behind blocks                          */
    int64_t per_task[CLM_EVALUATE_KINDS];
    clm_plan plan;
    clm_stage stage[CLM_EVALUATE_KINDS];
    clm_evaluate_kind kind[CLM_EVALUATE_KINDS];
    double range[2][2];           /* of values, fixed and moving; known from IMAGES on */
    clm_quantile_pick pick[4][5]; /* of the present FINE stage; low is not set         */
    double task_mib;
} clm_evaluate;

/** v is taken over, also on failure. Reads metadata only.
 *  Errors  CLM_E_ARG what does not go together; those of clm_map_open, clm_image_open, clm_run_open */
CLM_MUST bool clm_evaluate_open(clm_json *v, clm_evaluate **out, clm_err *err);
void clm_evaluate_close(clm_evaluate *e); /* NULL is fine */
/** Rank 0: the folder and the maps' arrays. */
CLM_MUST bool clm_evaluate_prepare(clm_evaluate *e, clm_err *err);
CLM_MUST bool clm_evaluate_stage_begin(clm_evaluate *e, int stage, clm_err *err);
CLM_MUST bool clm_evaluate_task(const clm_evaluate *e, const clm_work *w, const clm_task *task,
                                clm_outcome *out, clm_err *err);
/** Where the figures stand when all tasks have ended. */
CLM_MUST bool clm_evaluate_result(const clm_evaluate *e, char path[CLM_PATH_MAX], clm_err *err);

/** What blocks of the lattice add up to. Zero-initialise; merge in order of blocks. */
typedef struct clm_field_sums {
    clm_jacobian_sums jacobian;
    clm_seam seam;
    int64_t nodes, holes;             /* holes: less than half of the blending weight was there */
    double coverage, coverage_least;  /* sum, least */
    double length[2], length_most[2]; /* um: |T(x) - x|, |u(x)|, sum and greatest */
    int64_t points, unsolved;         /* of the way there and back */
    double missed, missed2, missed_most;
} clm_field_sums;

/** The figures by node or cell whose quantiles are told. */
enum { CLM_SPREAD_MOVED, CLM_SPREAD_BESIDE, CLM_SPREAD_JACOBIAN, CLM_SPREAD_MISSED, CLM_SPREADS };

/** Add the blocks [first, last) of the field's lattice; also to spread[CLM_SPREADS] unless NULL. For callers without a
 *  plan: a page about a run. w: keep is rewound. */
CLM_MUST bool clm_evaluate_field(const clm_evaluate *e, const clm_work *w, int64_t first, int64_t last,
                                 clm_field_sums *sums, clm_quantile spread[CLM_SPREADS], clm_err *err);

typedef struct clm_landmarks {
    int64_t n;
    double (*fixed)[3], (*moving)[3]; /* micrometres, z y x */
    double *weight;                   /* NULL: there is no such column */
} clm_landmarks;

/** Pairs from a table of comma- or blank-separated values: six columns fixed z y x, moving z y x, or named in a
 *  first line (fixed_z ... moving_x, also fz, fy, fx, mz, my, mx; weight) among others in any order; or BigWarp's table
 *  without a first line: name, true or false, moving x y z, fixed x y z, rows with false left out. In w->keep.
 *  Errors CLM_E_FORMAT names the line; CLM_E_NODATA no pair. */
CLM_MUST bool clm_landmarks_read(const clm_work *w, const char *path, clm_landmarks *out, clm_err *err);

#endif
