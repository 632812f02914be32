/* The items a scene is made of (scene.c puts them together): soft bodies and tubes, listed in an
 * order that depends on the world only, so that sums over them have the same bits everywhere. */
#ifndef CLM_IMAGE_SCENE_PARTS_H
#define CLM_IMAGE_SCENE_PARTS_H

#include "collimate/image/noise.h"
#include "collimate/image/scene.h"

/** A box of the world, micrometres. */
typedef struct clm_region {
    double lo[3], hi[3];
} clm_region;

static inline bool clm_region_near(const clm_region *r, const double x[3], double reach) {
    for (int d = 0; d < 3; d++)
        if (x[d] < r->lo[d] - reach || x[d] > r->hi[d] + reach) return false;
    return true;
}

/** 0 below t = 0, 1 above t = 1, smooth between. */
static inline double clm_soft_step(double t) {
    t = t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
    return t * t * (3.0 - 2.0 * t);
}

/* ---- cells and specks (cells.c) ---- */

/** A dendrite: a tapered, bent rod from the centre of its cell. */
typedef struct clm_process {
    double axis[3], bend[3]; /* unit vectors, across each other */
    double length, radius;   /* micrometres; length 0: none     */
    double bow;              /* sideways shift at its tip       */
} clm_process;

typedef struct clm_cell {
    double centre[3], reach; /* nothing beyond reach                                    */
    double unit[3][3];       /* offset from the centre -> coordinates where |p| = 1 is the surface */
    double radius;           /* mean, micrometres                                       */
    double bright;           /*                                                         */
    double nucleus[3], nucleus_radius, dark; /* in unit coordinates; dark 0 none, 1 black */
    double dent[2][3];                       /* the surface departs from an ellipsoid along these       */
    clm_process process[2];
} clm_cell;

typedef struct clm_speck {
    double centre[3], reach, bright;
} clm_speck;

typedef struct clm_bodies {
    clm_cell *cell;
    clm_speck *speck;
    int64_t n_cells, n_specks;
} clm_bodies;

/** How crowded the scene is at x, in [0, 1.2], from the lanes of its coarse noise. */
double clm_scene_crowd(const double lanes[CLM_NOISE_LANES]);
clm_noise clm_scene_coarse_noise(const clm_scene *s);
/** Every cell and speck that reaches into the region, in w->keep. */
CLM_MUST bool clm_bodies_find(const clm_work *w, const clm_scene *s, const clm_region *region,
                              clm_bodies *out, clm_err *err);
double clm_cell_at(const clm_cell *c, const double x[3], double edge_um);
double clm_speck_at(const clm_speck *s, const double x[3]);

/* ---- vessels and fibres (tubes.c) ---- */

/** One straight piece of a curved tube; its radius changes linearly. */
typedef struct clm_tube {
    double from[3], along[3]; /* to = from + along           */
    double inverse_length2;
    double radius[2];
    double centre[3], reach; /* matters only within reach   */
} clm_tube;

/** A random network of curved tubes between the jittered nodes of a lattice. */
typedef struct clm_network {
    uint64_t seed;
    double pitch_um;
    double chance;    /* that neighbouring nodes are joined       */
    double radius[2]; /* smallest, largest                        */
    double margin;    /* reach beyond the radius                  */
} clm_network;

typedef struct clm_tubes {
    clm_tube *tube;
    int64_t n;
} clm_tubes;

/** Every piece that matters in the region, in w->keep. */
CLM_MUST bool clm_tubes_find(const clm_work *w, const clm_network *net, const clm_region *region,
                             clm_tubes *out, clm_err *err);
/** Distance from the tube's surface, negative inside. */
double clm_tube_distance(const clm_tube *t, const double x[3]);

#endif
