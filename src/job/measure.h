/* Sums that say how alike the images are under a transform; blocks make them, `finish` adds them up. */
#ifndef CLM_JOB_MEASURE_H
#define CLM_JOB_MEASURE_H

#include "collimate/image/lncc.h"
#include "collimate/image/metric.h"

#define CLM_MEASURE_RADIUS 4 /* voxels, of the local correlation's window */
#define CLM_MEASURE_NUMBERS 9

/** The transforms measured, in the order they come about. */
typedef enum clm_measured {
    CLM_MEASURED_IDENTITY,
    CLM_MEASURED_GLOBAL,
    CLM_MEASURED_LOCAL, /* from here on transforms have a field */
    CLM_MEASURED_FINAL,
    CLM_MEASURED_COUNT
} clm_measured;

/** Part p of the measurement, a stage of its own, is about the transforms from clm_measured_from[p] up to that of p + 1. */
#define CLM_MEASURE_PARTS 3
static const clm_measured clm_measured_from[CLM_MEASURE_PARTS + 1] = {
    CLM_MEASURED_IDENTITY, CLM_MEASURED_GLOBAL, CLM_MEASURED_FINAL, CLM_MEASURED_COUNT};

typedef struct clm_measure {
    clm_ncc ncc;
    clm_lncc lncc;
    double min_jacobian; /* infinity: none measured */
} clm_measure;

static inline void clm_measure_pack(const clm_measure *m, double v[CLM_MEASURE_NUMBERS]) {
    const double all[CLM_MEASURE_NUMBERS] = {m->ncc.n,    m->ncc.f,          m->ncc.m,
                                             m->ncc.ff,   m->ncc.mm,         m->ncc.fm,
                                             m->lncc.sum, (double)m->lncc.n, m->min_jacobian};
    for (int i = 0; i < CLM_MEASURE_NUMBERS; i++) v[i] = all[i];
}

static inline clm_measure clm_measure_unpack(const double v[CLM_MEASURE_NUMBERS]) {
    return (clm_measure){
        .ncc = {v[0], v[1], v[2], v[3], v[4], v[5]}, .lncc = {v[6], (int64_t)v[7]}, .min_jacobian = v[8]};
}

#endif
