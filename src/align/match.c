#include "collimate/align/match.h"
#include "collimate/base/simd.h"
#include "collimate/core/buckets.h"
#include "panels.h"

#include <math.h>
#include <string.h>

#define TOP 4   /* bests remembered a fixed spot, to find one that is another place */
#define BAND 64 /* fixed rows widened at a time */

typedef struct best {
    float c[TOP]; /* descending */
    int32_t of[TOP];
} best;

typedef struct contest {
    const clm_points *moving;
    const clm_patches *f, *m;
    const clm_match_params *p;
    best *row;  /* [f->n] best moving spots of each fixed one            */
    float *col; /* [m->n] correlation of the best fixed spot of each     */
    int32_t *col_of;
} contest;

CLM_CLONES static void widen(const int8_t *code, int64_t n, int16_t *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = code[i];
}

static void raise(const int8_t *code, int64_t n, uint8_t *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)(code[i] + CLM_PANEL_OFFSET);
}

/** Enter a pair. Ties go to the lower index, whatever the order of calls within a row or a column. */
static void enter(contest *c, int64_t i, int64_t j, float r) {
    best *b = &c->row[i];
    if (r > b->c[TOP - 1]) {
        int k = TOP - 1;
        for (; k > 0 && r > b->c[k - 1]; k--) b->c[k] = b->c[k - 1], b->of[k] = b->of[k - 1];
        b->c[k] = r, b->of[k] = (int32_t)j;
    }
    if (r > c->col[j]) c->col[j] = r, c->col_of[j] = (int32_t)i;
}

/** Every pair, by panels of rows, of bytes or widened; rows beyond the end are zeros and never entered. */
static bool correlate_all(const clm_work *w, contest *c, clm_err *err) {
    const bool bytes = clm_panel_has_bytes();
    const int32_t dim = c->f->dim;
    const int64_t size = bytes ? 1 : sizeof(int16_t), row = dim * size;
    int64_t nf = c->f->n, nm = c->m->n, padded = clm_div_up(nm, CLM_PANEL) * CLM_PANEL;
    int8_t *b = clm_arena_take_zero(w->temp, padded, (size_t)row, err);
    uint8_t *a = b ? clm_arena_take(w->temp, BAND, (size_t)row, err) : NULL;
    int32_t *over =
        a ? clm_take_zero(w->temp, int32_t, padded, err) : NULL; /* in a dot product, by the offset */
    if (!over) return false;
    if (bytes)
        memcpy(b, c->m->code, (size_t)(nm * dim));
    else
        widen(c->m->code, nm * dim, (int16_t *)b);
    for (int64_t j = 0; bytes && j < nm; j++)
        for (int32_t k = 0; k < dim; k++) over[j] += CLM_PANEL_OFFSET * b[j * dim + k];
    for (int64_t i0 = 0; i0 < nf; i0 += BAND) {
        int64_t rows = nf - i0 < BAND ? nf - i0 : BAND;
        memset(a, 0, (size_t)(BAND * row));
        if (bytes)
            raise(c->f->code + i0 * dim, rows * dim, a);
        else
            widen(c->f->code + i0 * dim, rows * dim, (int16_t *)a);
        for (int64_t j0 = 0; j0 < nm; j0 += CLM_PANEL)
            for (int64_t i = 0; i < rows; i += CLM_PANEL) {
                int32_t dot[CLM_PANEL][CLM_PANEL];
                if (bytes)
                    clm_panel_bytes(a + i * row, b + j0 * row, dim, dot);
                else
                    clm_panel_words((const int16_t *)(a + i * row), (const int16_t *)(b + j0 * row), dim,
                                    dot);
                for (int64_t q = 0; q < CLM_PANEL && i + q < rows; q++)
                    for (int64_t k = 0; k < CLM_PANEL && j0 + k < nm; k++) {
                        float r =
                            (float)(dot[q][k] - over[j0 + k]) * c->f->norm[i0 + i + q] * c->m->norm[j0 + k];
                        enter(c, i0 + i + q, j0 + k, r);
                    }
            }
    }
    return true;
}

/** Only pairs whose spots lie near each other under the prior. */
static bool correlate_near(const clm_work *w, contest *c, const clm_points *fixed, const clm_affine *prior,
                           clm_err *err) {
    clm_buckets cells;
    int32_t *near = clm_take(w->temp, int32_t, c->m->n, err);
    if (!near || !clm_buckets_new(w->temp, c->m->n, (const double(*)[3])c->moving->pos,
                                  0.5 * c->p->max_distance_um, &cells, err))
        return false;
    for (int64_t i = 0; i < c->f->n; i++) {
        if (c->f->norm[i] == 0) continue;
        double at[3];
        clm_affine_apply(prior, fixed->pos[i], at);
        int64_t n = clm_buckets_near(&cells, at, c->p->max_distance_um, c->m->n, near);
        for (int64_t k = 0; k < n; k++) {
            int64_t j = near[k];
            int32_t dot = clm_patch_dot(c->f->code + i * c->f->dim, c->m->code + j * c->m->dim, c->f->dim);
            enter(c, i, j, (float)dot * c->f->norm[i] * c->m->norm[j]);
        }
    }
    return true;
}

/** Correlation of the best candidate that is not the same place as the best; -1 when there is none. When
 *  all remembered ones are that place, the last bounds what was forgotten. */
static double rival(const contest *c, const best *b) {
    const double *p = c->moving->pos[b->of[0]];
    for (int k = 1; k < TOP; k++) {
        if (b->of[k] < 0) return -1;
        const double *q = c->moving->pos[b->of[k]];
        double z = q[0] - p[0], y = q[1] - p[1], x = q[2] - p[2];
        if (z * z + y * y + x * x > c->p->distinct_um * c->p->distinct_um) return (double)b->c[k];
    }
    return (double)b->c[TOP - 1];
}

static bool is_good(const contest *c, int64_t i) {
    const best *b = &c->row[i];
    if (b->of[0] < 0 || (double)b->c[0] < c->p->min_correlation) return false;
    if (c->col_of[b->of[0]] != i) return false;
    if (c->p->ratio >= 1) return true;
    double d1 = fmax(0, 1 - (double)b->c[0]), d2 = fmax(0, 1 - rival(c, b));
    return d1 < c->p->ratio * c->p->ratio * d2;
}

static bool collect(const clm_work *w, const contest *c, clm_matches *out, clm_err *err) {
    clm_matches r = {0};
    for (int64_t i = 0; i < c->f->n; i++) r.n += is_good(c, i);
    r.fixed = clm_take(w->keep, int32_t, r.n, err);
    if (!r.fixed) return false;
    r.moving = clm_take(w->keep, int32_t, r.n, err);
    if (!r.moving) return false;
    r.correlation = clm_take(w->keep, float, r.n, err);
    if (!r.correlation) return false;
    for (int64_t i = 0, k = 0; i < c->f->n; i++) {
        if (!is_good(c, i)) continue;
        r.fixed[k] = (int32_t)i, r.moving[k] = c->row[i].of[0], r.correlation[k++] = c->row[i].c[0];
    }
    *out = r;
    return true;
}

static bool check(const clm_points *fixed, const clm_patches *f, const clm_points *moving,
                  const clm_patches *m, const clm_match_params *p, clm_err *err) {
    if (fixed->n != f->n || moving->n != m->n || f->dim != m->dim || f->samples != m->samples)
        return clm_fail(err, CLM_E_ARG, "%lld and %lld points, %lld and %lld patches of %d and %d bytes",
                        (long long)fixed->n, (long long)moving->n, (long long)f->n, (long long)m->n, f->dim,
                        m->dim);
    if (!(p->max_distance_um >= 0) || !isfinite(p->max_distance_um) || !(p->min_correlation >= -1) ||
        !(p->min_correlation <= 1) || !(p->ratio > 0) || !(p->distinct_um >= 0))
        return clm_fail(err, CLM_E_ARG, "matching within %g um, correlation %g, ratio %g, distinct %g um",
                        p->max_distance_um, p->min_correlation, p->ratio, p->distinct_um);
    return true;
}

bool clm_match(const clm_work *w, const clm_points *fixed, const clm_patches *f, const clm_points *moving,
               const clm_patches *m, const clm_affine *prior, const clm_match_params *p, clm_matches *out,
               clm_err *err) {
    if (!check(fixed, f, moving, m, p, err)) return false;
    clm_mark mark = clm_arena_mark(w->temp);
    contest c = {.moving = moving, .f = f, .m = m, .p = p};
    c.row = clm_take(w->temp, best, f->n, err);
    bool ok = c.row != NULL;
    ok = ok && (c.col = clm_take_zero(w->temp, float, m->n, err)) != NULL;
    ok = ok && (c.col_of = clm_take(w->temp, int32_t, m->n, err)) != NULL;
    if (ok) {
        /* a correlation of 0 or less is never a match: entries begin there */
        for (int64_t i = 0; i < f->n; i++)
            for (int k = 0; k < TOP; k++) c.row[i].c[k] = 0, c.row[i].of[k] = -1;
        for (int64_t j = 0; j < m->n; j++) c.col_of[j] = -1;
        ok = p->max_distance_um > 0 ? correlate_near(w, &c, fixed, prior, err) : correlate_all(w, &c, err);
        ok = ok && collect(w, &c, out, err);
    }
    clm_arena_rewind(w->temp, mark);
    return ok;
}
