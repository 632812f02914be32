/* What the tasks of an evaluation share: their blocks, and their parts of the figures on the way to the last task. */
#ifndef CLM_JOB_EVALUATE_PARTS_H
#define CLM_JOB_EVALUATE_PARTS_H

#include "collimate/image/lncc.h"
#include "collimate/image/metric.h"
#include "collimate/image/overlap.h"
#include "collimate/job/evaluate.h"
#include "collimate/store/spill.h"

#define CLM_SETS 4                     /* quantities at most whose quantiles a stage finds */
#define CLM_PARTS 5                    /* quantiles of each                                 */
extern const double clm_range_part[2]; /* of the values of an image */
extern const double clm_spread_part[CLM_SPREADS][CLM_PARTS]; /* of the field's figures    */

/** Values of one block, by quantity, in w->keep. */
typedef struct clm_values {
    float *v[CLM_SETS];
    int64_t n[CLM_SETS];
} clm_values;

/* parts on disk */
int clm_evaluate_stage_of(const clm_evaluate *e, clm_evaluate_kind kind); /* -1: none */
CLM_MUST bool clm_evaluate_put(const clm_evaluate *e, int stage, int64_t index, const clm_section *s, int n,
                               clm_err *err);
CLM_MUST bool clm_evaluate_get(const clm_evaluate *e, clm_evaluate_kind kind, int64_t index, clm_arena *a,
                               clm_spill *out, clm_err *err);
/** v as pairs (place, count) of what is not 0, in `a`. */
CLM_MUST bool clm_sparse_of(clm_arena *a, const char *name, const int64_t *v, int64_t n, clm_section *out,
                            clm_err *err);
/** v += what the section `name` holds. CLM_E_FORMAT when it is not there. */
CLM_MUST bool clm_sparse_add(const clm_spill *s, const char *name, int64_t *v, int64_t n, clm_err *err);
/** The section `name` as n bytes. */
CLM_MUST bool clm_bytes_of(const clm_spill *s, const char *name, void *out, size_t n, clm_err *err);

/** The blocks of a task: [first, last). */
void clm_evaluate_share(const clm_evaluate *e, clm_evaluate_kind kind, int64_t index, int64_t *first,
                        int64_t *last);

/** A judged map over a grid of the fixed space; room in w->keep, *field NULL: no displacement. */
CLM_MUST bool clm_evaluate_over(const clm_evaluate *e, const clm_work *w, clm_judged which,
                                const clm_vol *grid, clm_affine *a, clm_field *room, const clm_field **field,
                                clm_err *err);
/** Put a block of a map; values packed, clipped to the array. */
CLM_MUST bool clm_evaluate_put_map(const clm_evaluate *e, clm_evaluate_map which, const int64_t at[3],
                                   const float *values, clm_err *err);

/** Rank 0; every rank before tasks that put; the last task. Maps that are not wanted are left out. */
CLM_MUST bool clm_evaluate_maps_create(const clm_evaluate *e, clm_err *err);
CLM_MUST bool clm_evaluate_maps_open(clm_evaluate *e, clm_err *err);
CLM_MUST bool clm_evaluate_maps_finish(const clm_evaluate *e, clm_err *err);

/* one block's values */
CLM_MUST bool clm_evaluate_image_values(const clm_evaluate *e, const clm_work *w, int64_t block,
                                        clm_values *out, clm_err *err);
/** maps: put its part of the maps, too. */
CLM_MUST bool clm_evaluate_field_block(const clm_evaluate *e, const clm_work *w, int64_t block, bool maps,
                                       clm_field_sums *sums, clm_values *out, clm_err *err);
void clm_field_sums_merge(clm_field_sums *into, const clm_field_sums *part);

/* tasks, and what all tasks of a kind say together */
typedef bool clm_evaluate_fn(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err);
clm_evaluate_fn clm_evaluate_count_task, clm_evaluate_pick_task, clm_evaluate_fine_task,
    clm_evaluate_range_task, clm_evaluate_images_task, clm_evaluate_labels_task, clm_evaluate_finish_task;
/** Quantiles found: value[set][part]. kind: RANGE or FIELD. */
CLM_MUST bool clm_evaluate_quantiles(const clm_evaluate *e, const clm_work *w, clm_evaluate_kind kind,
                                     double value[CLM_SETS][CLM_PARTS], clm_err *err);
CLM_MUST bool clm_evaluate_picks(clm_evaluate *e, clm_evaluate_kind kind, clm_err *err);

typedef struct clm_similarity {
    clm_ncc ncc;
    clm_lncc lncc;
    clm_mi mi;
} clm_similarity;
CLM_MUST bool clm_evaluate_similarities(const clm_evaluate *e, const clm_work *w,
                                        clm_similarity out[CLM_JUDGED_COUNT], clm_err *err);
CLM_MUST bool clm_evaluate_field_total(const clm_evaluate *e, const clm_work *w, clm_field_sums *out,
                                       clm_err *err);

typedef struct clm_label_figures {
    bool has[CLM_JUDGED_COUNT];
    clm_ball ball; /* n 0: no distances */
    clm_label_count *row[CLM_JUDGED_COUNT];
    int64_t n[CLM_JUDGED_COUNT];
} clm_label_figures;
CLM_MUST bool clm_evaluate_label_total(const clm_evaluate *e, const clm_work *w, clm_label_figures *out,
                                       clm_err *err);
CLM_MUST bool clm_evaluate_marks(const clm_evaluate *e, const clm_work *w, const clm_landmarks *marks,
                                 bool has[CLM_JUDGED_COUNT], clm_truth_error out[CLM_JUDGED_COUNT],
                                 clm_err *err);

#endif
