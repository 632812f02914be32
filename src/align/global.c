#include "collimate/align/global.h"
#include "collimate/align/turn.h"

#include <math.h>
#include <string.h>

#define NEAR 3.0 /* second round: search within this many errors of the first answer */
#define SIGNATURE_LEAST 0.3
#define TURN_LEAST 0.03 /* patches turned by less need no turning */

void clm_global_sizes(const double fixed_spacing[3], const double moving_spacing[3], clm_blob_params *blob,
                      clm_patch_params *patch, clm_global_params *global) {
    double b = 0;
    for (int d = 0; d < 3; d++) b = fmax(b, fmax(fixed_spacing[d], moving_spacing[d]));
    if (blob->radius_min_um == 0) blob->radius_min_um = 2.2 * b;
    if (blob->radius_max_um == 0) blob->radius_max_um = 2.5 * blob->radius_min_um;
    if (patch->radius_um == 0) patch->radius_um = 20 * b;
    if (global->ransac.max_error_um == 0) global->ransac.max_error_um = 5 * b;
    if (global->match.distinct_um == 0) global->match.distinct_um = blob->radius_min_um;
}

typedef struct both {
    const clm_points *fixed, *moving;
    const clm_patches *f, *m;
} both;

static bool agree(const clm_work *w, const both *b, const clm_matches *m, const clm_ransac_params *p,
                  clm_ransac_fit *out, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    double(*x)[3] = clm_arena_take(w->temp, m->n, sizeof *x, err);
    double(*y)[3] = x ? clm_arena_take(w->temp, m->n, sizeof *y, err) : NULL;
    for (int64_t i = 0; y && i < m->n; i++) {
        memcpy(x[i], b->fixed->pos[m->fixed[i]], sizeof *x);
        memcpy(y[i], b->moving->pos[m->moving[i]], sizeof *y);
    }
    bool ok = y && clm_ransac_affine(w, m->n, (const double(*)[3])x, (const double(*)[3])y, p, out, err);
    clm_arena_rewind(w->temp, mark);
    return ok;
}

/** Matches by signature carry only a coarse answer: no affine is asked of them, and they may err more. */
static bool by_signature(const clm_work *w, const both *b, const clm_global_params *p, clm_global_fit *out,
                         clm_err *err) {
    clm_ransac_params r = p->ransac;
    if (r.model > CLM_MODEL_SIMILARITY) r.model = CLM_MODEL_SIMILARITY;
    if (r.model_min > r.model) r.model_min = r.model;
    r.max_error_um *= 1.5;
    out->turned = true;
    return clm_turn_match(w, b->fixed, b->f, b->moving, b->m, SIGNATURE_LEAST, &out->matches, err) &&
           agree(w, b, &out->matches, &r, &out->fit, err);
}

/** Match again near a first answer, patches turned by what it adds to the prior. */
static bool look_again(const clm_work *w, const both *b, const clm_affine *prior, const clm_global_params *p,
                       clm_global_fit *io, clm_err *err) {
    clm_affine back = CLM_AFFINE_IDENTITY;
    if (prior && !clm_affine_invert(prior, &back, err)) return false;
    /* rows hold v(q + prior o); wanted are v(q + fit o) = v(q + prior (prior^-1 fit) o) */
    clm_affine more = clm_affine_compose(&back, &io->fit.affine);
    double linear[3][3], off = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            linear[i][j] = more.m[i][j];
            off = fmax(off, fabs(linear[i][j] - (i == j)));
        }
    both again = *b;
    clm_patches turned;
    if (off > TURN_LEAST) {
        if (!clm_turn_patches(w, b->m, (const double(*)[3])linear, &turned, err)) return false;
        again.m = &turned;
    }
    clm_match_params near = p->match;
    near.max_distance_um = NEAR * p->ransac.max_error_um;
    clm_ransac_params r = p->ransac;
    r.gate_um = near.max_distance_um;
    clm_global_fit next = {.turned = io->turned};
    clm_affine at = io->fit.affine;
    if (!clm_match(w, b->fixed, again.f, b->moving, again.m, &at, &near, &next.matches, err) ||
        !agree(w, b, &next.matches, &r, &next.fit, err))
        return false;
    *io = next;
    return true;
}

bool clm_global_find(const clm_work *w, const clm_points *fixed, const clm_patches *f,
                     const clm_points *moving, const clm_patches *m, const clm_affine *prior,
                     const clm_global_params *p, clm_global_fit *out, clm_err *err) {
    const both b = {fixed, moving, f, m};
    clm_global_fit found = {0}, turned = {0};
    clm_affine none = CLM_AFFINE_IDENTITY;
    clm_match_params how = p->match;
    clm_ransac_params r = p->ransac;
    clm_err why = CLM_ERR_NONE, other = CLM_ERR_NONE;
    if (!prior) how.max_distance_um = 0;
    r.gate_um = how.max_distance_um;
    bool ok = clm_match(w, fixed, f, moving, m, prior ? prior : &none, &how, &found.matches, &why) &&
              agree(w, &b, &found.matches, &r, &found.fit, &why) &&
              (look_again(w, &b, prior, p, &found, &why) || why.code == CLM_E_NODATA);
    if (ok) why = CLM_ERR_NONE; /* a second round without an answer leaves the first */
    if (p->any_rotation && !prior && (ok || why.code == CLM_E_NODATA)) {
        bool also = by_signature(w, &b, p, &turned, &other) && look_again(w, &b, prior, p, &turned, &other);
        if (!also && other.code != CLM_E_NODATA)
            why = other, ok = false;
        else if (also && (!ok || turned.fit.inliers > found.fit.inliers))
            found = turned, ok = true;
        else if (!ok)
            clm_err_in(&why, "neither upright nor turned");
    }
    if (ok)
        *out = found;
    else
        *err = why;
    return ok;
}
