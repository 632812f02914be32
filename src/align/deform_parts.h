/* What the files of the deformable engine share. Not a contract: deform.h is. */
#ifndef CLM_ALIGN_DEFORM_PARTS_H
#define CLM_ALIGN_DEFORM_PARTS_H

#include "collimate/align/deform.h"
#include "collimate/image/parzen.h"
#include "collimate/image/rowmap.h"

/* ---- sums over windows (deform_window.c) ---- */

/** out[x] = sum of in[x .. x+2r], x < n; in has n + 2r floats (r zeros either side) and is destroyed. */
void window_row(float *restrict in, int r, int64_t n, float *restrict out);
/** The sliding step of one axis: sum += add - keep, keep = add. Doubles, so that bright things that passed
 *  leave nothing behind. add NULL: zeros. */
void window_slide(double *restrict sum, float *restrict keep, const float *restrict add, int64_t n);

/** Windowed sums of `count` quantities, streamed: rows in, rows of doubles out r rows and r planes later.
 *  Rows known to be zero are not touched. */
typedef struct window {
    int r, count;
    int64_t n[3];
    float *padded;            /* [n2 + 2r]                                      */
    float *row;               /* [n2] sums along x                              */
    float *ring_y, *ring_z;   /* [2r+1][count][n2], [2r+1][count][n1][n2]       */
    double *sum_y, *sum_z;    /* [count][n2], [count][n1][n2]                   */
    uint8_t *kept_y, *kept_z; /* [2r+1], [2r+1][n1]: this ring row is not zero  */
    int32_t *live_z;          /* [n1] planes of the ring that are not zero      */
    int32_t live_y;           /* rows of the ring that are not zero             */
} window;
CLM_MUST bool window_make(clm_arena *a, int r, int count, const int64_t n[3], window *out, clm_err *err);
int64_t window_bytes(int r, int count, const int64_t n[3]);
/** Begin plane t (0 .. n0-1+r). */
void window_begin_plane(window *w);
/** Feed row y (0 .. n1-1+r) of plane t: in[q], or NULL for zeros, as rows and planes beyond the last are.
 *  The sums for the row y-r of plane t-r are then at window_sums, if that row exists. */
void window_feed(window *w, int64_t t, int64_t y, const float *const *in);
static inline const double *window_sums(const window *w, int q, int64_t y) {
    return w->sum_z + ((int64_t)q * w->n[1] + y) * w->n[2];
}
/** Whether the sums of row y can be other than zero. */
static inline bool window_is_live(const window *w, int64_t y) { return w->live_z[y] > 0; }

/* ---- cells: what windows of the local metric are made of (deform_cells.c) ---- */

/** Cubes of `size` voxels, the last of an axis may be thinner; a window is a cell and `reach` cells either side. */
typedef struct cells {
    int size, reach;
    int64_t n[3];   /* cells                                        */
    int64_t vox[3]; /* voxels                                       */
    double *per;    /* [n2] 1 / voxels of the window along x        */
    double *own;    /* [n2] voxels of the cell along x              */
} cells;
CLM_MUST bool cells_make(clm_arena *a, int radius_vox, const int64_t vox[3], cells *out, clm_err *err);
/** Shape and reach alone. */
cells cells_shape(int radius_vox, const int64_t vox[3]);
/** How many voxels along axis d cell i has, and a window around it. */
static inline int64_t cells_own(const cells *c, int d, int64_t i) {
    int64_t left = c->vox[d] - i * c->size;
    return left < c->size ? left : c->size;
}
static inline int64_t cells_window(const cells *c, int d, int64_t i) {
    int64_t lo = i > c->reach ? (i - c->reach) * c->size : 0, hi = (i + c->reach + 1) * c->size;
    return (hi < c->vox[d] ? hi : c->vox[d]) - lo;
}
/** out[i] = sum of the cell's voxels along x. */
void cells_pool(const cells *c, const float *in, float *out);
/** The cells' values at their voxels along x. */
void cells_spread(const cells *c, const double *in, float *out);

/* ---- the moving volume and its slope along the map (deform_sample.c) ---- */

typedef struct sampler {
    clm_rowmap map;
    const clm_vol *moving;
    float mean, scale; /* sampled values become (v - mean) * scale */
} sampler;

/** Row (z, y): J [n], its derivative by u in 1/um G[3][n] (NULL: not wanted), and where it is not to be
 *  used, 1 in bad [n] with J and G zero there. Returns how many are bad. */
int64_t sampler_row(sampler *s, int64_t z, int64_t y, float *restrict J, float *const G[3],
                    float *restrict bad);

/* ---- one pass over the voxels (deform_pass.c, deform_lncc.c) ---- */

static inline bool metric_is_local(clm_deform_metric m) {
    return m == CLM_DEFORM_LNCC || m == CLM_DEFORM_LNCC2;
}

/** Normal equations gathered on the lattice. */
typedef struct normal {
    float *g[3]; /* derivative of the energy by u, [nodes] each             */
    float *h[6]; /* lumped Gauss-Newton matrix: zz zy zx yy yx xx           */
} normal;

/** Sums over the compared voxels. */
typedef struct pass_sum {
    double energy;     /* what descends                       */
    double similarity; /* what is reported                    */
    double compared;   /* how many                            */
} pass_sum;

/** All that stays the same through one call. */
typedef struct level {
    const clm_deform_params *p;
    const clm_vol *fixed, *moving;
    const clm_affine *A;
    float *I;           /* fixed, normalised, packed; zero where NaN              */
    cells cells;        /* LNCC                                                   */
    float *mean, *inv;  /* LNCC: of each window of I: mean, 1 / std (0: unusable) */
    clm_parzen *mi;     /* MI: the histogram of the pass                          */
    double range[2][2]; /* MI: of fixed and moving, normalised                    */
    bool fixed_whole;   /* no NaN in fixed                                        */
    bool moving_whole;  /* no NaN in moving                                       */
    int32_t
        checker_vox; /* above 0: every other cell of this edge counts against the others in the gradient */
    double fixed_mean, fixed_scale, moving_mean, moving_scale;
} level;

/** Lattice accumulators of one pass, swept in z order. */
typedef struct splat splat;
CLM_MUST bool splat_make(clm_arena *a, const clm_vol *fixed, const clm_field *f, const normal *out, splat **s,
                         clm_err *err);
int64_t splat_bytes(const int64_t fixed_shape[3], const int64_t lattice_shape[3]);
/** Of a row of voxels: gradient e G and matrix h G G'. */
typedef struct splat_in {
    const float *e, *h, *G[3];
} splat_in;
/** Add row (z, y), or rows y and y + 1. In order of y within z, z ascending. */
void splat_row(splat *s, int64_t z, int64_t y, splat_in in);
void splat_two(splat *s, int64_t z, int64_t y, const splat_in in[2]);
void splat_end(splat *s);

/** Similarity of the warped pair; with `eq` also its normal equations (cleared first). */
CLM_MUST bool pass_run(const clm_work *w, const level *l, const clm_field *f, const normal *eq, pass_sum *out,
                       clm_err *err);
CLM_MUST bool pass_lncc(const clm_work *w, const level *l, sampler *s, const clm_field *f, const normal *eq,
                        pass_sum *out, clm_err *err);
/** LNCC: fill l->cells, l->mean and l->inv. */
CLM_MUST bool lncc_prepare(const clm_work *w, level *l, clm_err *err);
/** MI: fill l->mi and l->range. */
CLM_MUST bool mi_prepare(const clm_work *w, level *l, clm_err *err);

/* ---- the linear solve on the lattice (deform_solve.c) ---- */

/** Weights of squared differences of neighbouring nodes, by axis: first differences (strain), and second
 *  differences (curvature), of each component alike. */
typedef struct stiffness {
    double strain[3], curvature[3];
} stiffness;
double stiffness_energy(const clm_field *f, const stiffness *w);
/** du = -(H + W)^-1 (g + W u), W the stiffness; conjugate gradients from zero, at most so many iterations. */
CLM_MUST bool solve_step(const clm_work *w, const normal *eq, const clm_field *u, const stiffness *weight,
                         int iterations, float *const du[3], clm_err *err);

/* ---- how stiff the next level should be (deform_evidence.c) ---- */

/** Change the sign of a row's derivatives in every other cell of the checkerboard. */
void checker_row(int32_t edge, int64_t z, int64_t y, int64_t n, float *e);
/** At the end of a descent: eq is at u; unit the weights of a stiffness of 1. */
CLM_MUST bool evidence_gather(const clm_work *w, const level *l, const clm_field *u, const normal *eq,
                              const stiffness *unit, clm_deform_evidence *out, clm_err *err);

/* ---- the floor under the Jacobian (deform_floor.c) ---- */

/** hit[node] = 1 at the nodes of cells below the floor, else 0; returns how many such cells there are. */
int64_t floor_mark(const clm_field *u, double floor, uint8_t *hit);
/** u += share * du with share in [0, 1] a node, lowered where det(I + grad u) would fall under `floor`.
 *  u must satisfy it at the start. Returns how many nodes were held back. */
CLM_MUST bool floor_add(const clm_work *w, clm_field *u, float *const du[3], double floor, int64_t *held,
                        clm_err *err);
/** Smooth u where it violates the floor until it does not. */
CLM_MUST bool floor_repair(const clm_work *w, clm_field *u, double floor, clm_err *err);

#endif
