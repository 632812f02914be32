/* A table of points as a plan of tasks: parts of the file by bytes, then all of them one after the other. The same
 * bytes as clm_point_table_run makes of the whole. */
#ifndef CLM_JOB_POINTS_RUN_H
#define CLM_JOB_POINTS_RUN_H

#include "collimate/base/json.h"
#include "collimate/base/text.h"
#include "collimate/job/point_table.h"
#include "collimate/plan/task.h"

#define CLM_POINTS_TRANSFORMS_MAX 16

/** What the user asked for; borrowed texts. */
typedef struct clm_points_spec {
    const char *transforms[CLM_POINTS_TRANSFORMS_MAX];
    int n_transforms;
    clm_point_table table; /* files, not pipes; table.back and .grid are found, not given */
    const char *like;      /* NULL, or the image whose voxels indices count; else the grid that T tells */
    int64_t like_level;
    bool solve;         /* to the tolerance, also where an inverse is stored */
    int64_t part_bytes; /* of a task's input */
    int64_t threads;    /* 0: this rank's share of the cores */
    int64_t cache_mib;
} clm_points_spec;
#define CLM_POINTS_DEFAULTS \
    ((clm_points_spec){.table = CLM_POINT_TABLE_DEFAULTS, .part_bytes = (int64_t)32 << 20, .cache_mib = 256})

typedef struct clm_points_run {
    clm_json *json; /* owned; the spec's texts live in it */
    clm_points_spec spec;
    char folder[CLM_PATH_MAX]; /* beside OUT: journal, parts */
    clm_map map, back;         /* back: n 0, or the stored one */
    int64_t bytes;             /* of the input */
    clm_plan plan;
    clm_stage stage[2];
    clm_point_count count; /* rank 0: of the parts that ended */
} clm_points_run;

CLM_MUST bool clm_points_spec_to_json(const clm_points_spec *spec, clm_json **out, clm_err *err);
/** The maps of a spec: T, and where its inverse is wanted, stored and not to be solved, that one, to which
 *  spec->table.back then points; table.grid, and table.list where `in` is a list and `out` not named as a table. */
CLM_MUST bool clm_points_open_maps(clm_points_spec *spec, clm_map *map, clm_map *back, clm_err *err);
/** ".NAME.points" beside OUT. */
CLM_MUST bool clm_points_folder(const char *out, char folder[CLM_PATH_MAX], clm_err *err);
/** v is taken over, also on failure. Errors CLM_E_ARG a pipe; CLM_E_NOTFOUND; those of clm_map_open. */
CLM_MUST bool clm_points_open(clm_json *v, clm_points_run **out, clm_err *err);
void clm_points_close(clm_points_run *run); /* NULL is fine */
CLM_MUST bool clm_points_prepare(clm_points_run *run, clm_err *err);
/** figure[]: points, extrapolated, outside, unsolved, worst_um. */
CLM_MUST bool clm_points_task(const clm_points_run *run, const clm_work *w, const clm_task *task,
                              clm_outcome *out, clm_err *err);
void clm_points_add(clm_points_run *run, const clm_outcome *o); /* to count */

#endif
