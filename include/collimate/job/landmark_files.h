/* A fit of landmarks from files to a transform on disk. */
#ifndef CLM_JOB_LANDMARK_FILES_H
#define CLM_JOB_LANDMARK_FILES_H

#include "collimate/align/landmarks.h"
#include "collimate/job/evaluate.h"

/** Where the spline is written: nodes over the grid of `like`, or over the fixed points and 5 % more on each side. */
typedef struct clm_landmark_lattice {
    const char *like; /* NULL, or an image, whose grid the transform then records */
    int64_t like_level;
    double spacing_um[3]; /* 0: the longest side / 64 */
} clm_landmark_lattice;

typedef struct clm_landmark_written {
    int64_t shape[3]; /* nodes; 0: an affine alone */
    double spacing_um[3];
    double cells_max_um, cells_rms_um; /* interpolated against the spline itself at the centres of cells */
    double points_max_um;              /* the same at the landmarks; of those that lie on the lattice */
    int64_t points_outside; /* landmarks beyond the lattice, which keeps its border's value there */
} clm_landmark_written;

/** Points of elastix ("point", their number, then x y z of each): two files, same order.
 *  In w->keep. Errors CLM_E_FORMAT names file and line; CLM_E_UNSUPPORTED indices. */
CLM_MUST bool clm_landmarks_read_elastix(const clm_work *w, const char *fixed, const char *moving,
                                         clm_landmarks *out, clm_err *err);

/** May it be written there? Known before the fit, which can take minutes. CLM_E_ARG, CLM_E_WRITE as below. */
CLM_MUST bool clm_landmarks_check_out(const char *path, bool spline, clm_err *err);
/** Write the fit as a transform; a name that is taken is refused. On failure it is not there.
 *  Errors CLM_E_ARG a file that cannot hold a field; CLM_E_NUMERIC a spline whose affine part cannot be inverted;
 *         CLM_E_WRITE; those of --like */
CLM_MUST bool clm_landmarks_write(const clm_work *w, const clm_landmark_fit *f, const clm_landmarks *marks,
                                  const clm_landmark_lattice *l, const char *path, clm_landmark_written *out,
                                  clm_err *err);

#endif
