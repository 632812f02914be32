/* The parts of a compose run that are a root's: its lattice, its sweeps, what is left of it. */
#ifndef CLM_JOB_COMPOSE_PARTS_H
#define CLM_JOB_COMPOSE_PARTS_H

#include "collimate/job/compose.h"

/** The lattice of T's nodes, so many more that it holds where R takes them, too.
 *  Errors  CLM_E_ARG that would be very many */
CLM_MUST bool clm_compose_root_lattice(const clm_root *root, clm_image_frame *l, clm_err *err);
/** clm_compose_begin of a root: the field of the stage's sweep, where one is needed, and those before it. */
CLM_MUST bool clm_compose_root_begin(clm_compose_run *run, int stage, clm_err *err);
/** A task of a sweep. */
CLM_MUST bool clm_compose_root_task(const clm_compose_run *run, const clm_work *w, const clm_task *task,
                                    double *figure, clm_err *err);
/** What is left at the nodes of a chunk, its coverage and its figures. */
CLM_MUST bool clm_compose_root_left(const clm_compose_run *run, const clm_work *w, const clm_vol *nodes,
                                    float **residual, float *coverage, double *figure, clm_err *err);
/** The same at the centres of cells: figures only. */
CLM_MUST bool clm_compose_root_between(const clm_compose_run *run, const clm_work *w, const clm_vol *cells,
                                       double *figure, clm_err *err);
/** Of a chunk's nodes: the greatest residual and where, and, above the tolerance or with `flags` CLM_POINT_UNSOLVED
 *  (NULL: none), not solved: coverage 0. */
void clm_compose_note_residual(const clm_compose_run *run, const clm_vol *nodes, const float *residual,
                               const uint8_t *flags, float *coverage, double *figure);

#endif
