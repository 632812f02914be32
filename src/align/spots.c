#include "collimate/align/spots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct spot {
    double pos[3];
    float score, radius_um;
    uint64_t bucket;
    int64_t rank, index;
} spot;

static int by_rank(const void *pa, const void *pb) {
    const spot *a = pa, *b = pb;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    for (int d = 0; d < 3; d++) /* ties by place, so that the order of input does not matter */
        if (a->pos[d] != b->pos[d]) return a->pos[d] < b->pos[d] ? -1 : 1;
    if (a->radius_um != b->radius_um) return a->radius_um < b->radius_um ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_bucket(const void *pa, const void *pb) {
    const spot *a = pa, *b = pb;
    if (a->bucket != b->bucket) return a->bucket < b->bucket ? -1 : 1;
    return by_rank(pa, pb);
}

/** The side that gives about four of max_spots to a cube of the box around all spots. */
static double side_for(const clm_points *all, int64_t max_spots) {
    double volume = 1;
    for (int d = 0; d < 3; d++) {
        double lo = INFINITY, hi = -INFINITY;
        for (int64_t i = 0; i < all->n; i++) {
            lo = fmin(lo, all->pos[i][d]);
            hi = fmax(hi, all->pos[i][d]);
        }
        volume *= fmax(hi - lo, 1e-9);
    }
    return cbrt(volume * 4 / (double)max_spots);
}

static void rank_all(spot *s, int64_t n, double side) {
    for (int64_t i = 0; i < n; i++) {
        s[i].bucket = 0;
        for (int d = 0; d < 3; d++) {
            double at = fmax(0, fmin(2097151, floor(s[i].pos[d] / side) + 1048576));
            s[i].bucket = s[i].bucket << 21 | (uint64_t)at;
        }
    }
    qsort(s, (size_t)n, sizeof *s, by_bucket);
    for (int64_t i = 1; i < n; i++) s[i].rank = s[i].bucket == s[i - 1].bucket ? s[i - 1].rank + 1 : 0;
}

bool clm_spots_choose(const clm_work *w, const clm_points *all, int64_t max_spots, double bucket_um,
                      int64_t **index, int64_t *n, clm_err *err) {
    if (max_spots < 0 || !(bucket_um >= 0))
        return clm_fail(err, CLM_E_ARG, "%lld spots in buckets of %g um", (long long)max_spots, bucket_um);
    for (int64_t i = 0; i < all->n; i++)
        for (int d = 0; d < 3; d++)
            if (!isfinite(all->pos[i][d]))
                return clm_fail(err, CLM_E_ARG, "spot %lld is not finite", (long long)i);
    int64_t keep = max_spots && max_spots < all->n ? max_spots : all->n;
    int64_t *chosen = clm_take(w->keep, int64_t, keep, err);
    if (!chosen) return false;
    clm_mark m = clm_arena_mark(w->temp);
    spot *s = clm_take(w->temp, spot, all->n, err);
    if (s) {
        for (int64_t i = 0; i < all->n; i++) {
            s[i] = (spot){.score = all->score[i], .radius_um = all->radius_um[i], .index = i};
            memcpy(s[i].pos, all->pos[i], sizeof s[i].pos);
        }
        if (keep < all->n) rank_all(s, all->n, bucket_um > 0 ? bucket_um : side_for(all, max_spots));
        qsort(s, (size_t)all->n, sizeof *s, by_rank);
        for (int64_t i = 0; i < keep; i++) chosen[i] = s[i].index;
        *index = chosen, *n = keep;
    }
    clm_arena_rewind(w->temp, m);
    return s != NULL;
}

bool clm_spots_take(clm_arena *a, const clm_points *all, const int64_t *index, int64_t n, clm_points *out,
                    clm_err *err) {
    clm_points p;
    if (!clm_points_new(a, n, &p, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        memcpy(p.pos[i], all->pos[index[i]], sizeof p.pos[i]);
        p.radius_um[i] = all->radius_um[index[i]];
        p.score[i] = all->score[index[i]];
    }
    *out = p;
    return true;
}
