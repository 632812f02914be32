/* Points as elastix keeps them, x y z in millimetres: the list that transformix -def reads ("point" or "index", how many
 * there are, a point a line) and the outputpoints.txt that it writes, of which the OutputPoint counts. Source: the
 * elastix manual, "transformix". */
#ifndef CLM_JOB_POINT_LIST_H
#define CLM_JOB_POINT_LIST_H

#include "collimate/base/csv.h"
#include "collimate/store/image.h"

typedef enum clm_list_kind {
    CLM_LIST_NONE, /* a table               */
    CLM_LIST_POINT,
    CLM_LIST_INDEX, /* voxels of a grid      */
    CLM_LIST_OUTPUT /* outputpoints.txt      */
} clm_list_kind;

/** What the file holds, by its first line; "-" is a table. Errors CLM_E_NOTFOUND, CLM_E_IO, CLM_E_FORMAT */
CLM_MUST bool clm_point_list_kind(const char *path, clm_list_kind *out, clm_err *err);
/** Lines with something on them, behind the first `heads`. */
CLM_MUST bool clm_point_list_count(const char *path, int64_t heads, int64_t *out, clm_err *err);
/** Pass over what stands before the first point and see that as many points follow as are told; *n: how many. n NULL:
 *  they are not counted. in: just opened. Errors CLM_E_FORMAT */
CLM_MUST bool clm_point_list_begin(clm_lines *in, clm_list_kind kind, int64_t *n, clm_err *err);
#define CLM_UM_PER_MM 1e3
/** A line as a point, z y x in micrometres. um: what the points' unit is in micrometres; grid: of indices.
 *  Errors CLM_E_FORMAT */
CLM_MUST bool clm_point_list_row(const clm_lines *in, const char *line, size_t n, clm_list_kind kind,
                                 double um, const clm_image_frame *grid, double x[3], clm_err *err);
/** "X Y Z\n", millimetres, of z y x in micrometres; returns its length. */
size_t clm_point_list_put(char out[128], const double x[3]);

#endif
