#include "collimate/image/quantile.h"

#include <math.h>
#include <string.h>

#define DROP 13 /* low bits of the float that do not count: 10 of its mantissa stay */

/* the bits of a float, turned so that they ascend with its value */
static uint32_t order_of(float v) {
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    return b & 0x80000000u ? ~b : b | 0x80000000u;
}

static float value_of(uint32_t order) {
    uint32_t b = order & 0x80000000u ? order & 0x7fffffffu : ~order;
    float v;
    memcpy(&v, &b, sizeof v);
    return v;
}

bool clm_quantile_new(clm_arena *a, clm_quantile *out, clm_err *err) {
    int64_t *bin = clm_arena_take_zero(a, CLM_QUANTILE_BINS, sizeof *bin, err);
    if (!bin) return false;
    *out = (clm_quantile){.bin = bin};
    return true;
}

void clm_quantile_add(clm_quantile *q, const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        /* -0 counts as 0 */
        q->bin[order_of(v[i] + 0.0f) >> DROP]++;
        q->n++;
    }
}

void clm_quantile_merge(clm_quantile *into, const clm_quantile *part) {
    into->n += part->n;
    for (int64_t i = 0; i < CLM_QUANTILE_BINS; i++) into->bin[i] += part->bin[i];
}

double clm_quantile_at(const clm_quantile *q, double part) {
    int64_t want = (int64_t)ceil(part * (double)q->n), seen = 0;
    if (!q->n) return NAN;
    if (want < 1) want = 1;
    for (int64_t i = 0; i < CLM_QUANTILE_BINS; i++) {
        seen += q->bin[i];
        if (seen >= want) {
            double lo = (double)value_of((uint32_t)i << DROP);
            double hi = (double)value_of(((uint32_t)i << DROP) | ((1u << DROP) - 1u));
            if (lo >= 0 && rint(lo) == lo && hi < lo + 1.0) return lo; /* the only whole number in the bin */
            return 0.5 * (lo + hi);
        }
    }
    return NAN;
}

void clm_quantile_find(const clm_quantile *q, double part, clm_quantile_pick *out) {
    int64_t want = (int64_t)ceil(part * (double)q->n), seen = 0;
    if (want < 1) want = 1;
    out->bin = out->rank = 0;
    for (int64_t i = 0; i < CLM_QUANTILE_BINS && q->n; i++) {
        if (seen + q->bin[i] >= want) {
            out->bin = i, out->rank = want - seen;
            return;
        }
        seen += q->bin[i];
    }
}

void clm_quantile_look(const clm_quantile_pick *picks, int n_picks, const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        uint32_t order = order_of(v[i] + 0.0f);
        for (int k = 0; k < n_picks; k++)
            if (picks[k].bin == (int64_t)(order >> DROP)) picks[k].low[order & (CLM_QUANTILE_LOW - 1)]++;
    }
}

double clm_quantile_picked(const clm_quantile_pick *p) {
    int64_t seen = 0;
    for (int64_t i = 0; i < CLM_QUANTILE_LOW && p->rank; i++) {
        seen += p->low[i];
        if (seen >= p->rank) return (double)value_of((uint32_t)(p->bin << DROP) | (uint32_t)i);
    }
    return NAN;
}

double clm_quantile_below(const clm_quantile *q, double x) {
    int64_t end = (int64_t)(order_of((float)x + 0.0f) >> DROP), n = 0;
    for (int64_t i = 0; i < end; i++) n += q->bin[i];
    return (double)n;
}
