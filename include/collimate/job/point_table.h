/* A table of points through a map, in batches of bounded memory. */
#ifndef CLM_JOB_POINT_TABLE_H
#define CLM_JOB_POINT_TABLE_H

#include "collimate/transform/map.h"
#include "collimate/job/point_list.h"

typedef struct clm_point_table {
    const char *in, *out;  /* paths; "-": standard input, output */
    const char *column[3]; /* names of the columns of z, y, x     */
    bool list;             /* write a list as elastix reads it, no table: points alone */
    clm_image_frame grid;  /* of the indices of a list; shape 0: not known */
    bool inverse;
    double tolerance_um; /* inverse only: of |T(x) - y| */
    const clm_map *back; /* inverse only: NULL, or the way back that is stored, taken as it is */
    int64_t batch;       /* points at a time            */
    int64_t from,
        to; /* only rows that begin in these bytes of `in`, a file; to 0: all. The header is written with
                            the rows from the file's beginning */
} clm_point_table;
#define CLM_POINT_TABLE_DEFAULTS \
    ((clm_point_table){.column = {"z", "y", "x"}, .tolerance_um = 1e-3, .batch = 1 << 18})

typedef struct clm_point_count {
    int64_t points, extrapolated, outside, unsolved;
    double worst_um; /* inverse: largest residual */
} clm_point_count;

/** Read `in`, a table or a list of elastix, replace the three columns, add `status` (and `residual_um` when inverse),
 *  write `out`; everything else is carried through as it is, in the same order. A list has no columns: as a table it
 *  becomes z, y, x, status.
 *  Errors   CLM_E_ARG indices without a grid; a list of what is no file;
 *           CLM_E_FORMAT tells FILE:LINE and the column; CLM_E_NOTFOUND; CLM_E_WRITE; those of the map.
 *           On failure `out` is not there.
 *  Memory   per batch about 150 bytes a point, the batch's text twice, one field chunk */
CLM_MUST bool clm_point_table_run(const clm_map *map, const clm_point_table *t, const clm_work *w,
                                  clm_point_count *count, clm_err *err);

#endif
