#include "deform_parts.h"

#include "collimate/image/jacobian.h"

#include <math.h>
#include <string.h>

/* The floor under det(I + grad u) holds for every point of every trilinear cell, because the bound of
 * clm_jacobian_cells does. Increments are held back where they would break it: nodes of a bad cell take
 * half of what they took; after ROUNDS of that, nothing. A cell whose nodes take nothing is as it was. */
#define ROUNDS 6

int64_t floor_mark(const clm_field *u, double floor, uint8_t *hit) {
    float lo[CLM_JACOBIAN_LANE];
    int64_t n[3], up[3], bad = 0;
    for (int d = 0; d < 3; d++) {
        n[d] = clm_jacobian_cell_count(u->shape[d]);
        up[d] = u->shape[d] > 1;
    }
    memset(hit, 0, (size_t)clm_field_count(u));
    for (int64_t k = 0; k < n[0]; k++)
        for (int64_t j = 0; j < n[1]; j++) {
            for (int64_t from = 0, count; from < n[2]; from += count) {
                count = n[2] - from < CLM_JACOBIAN_LANE ? n[2] - from : CLM_JACOBIAN_LANE;
                if (clm_jacobian_clear(u, k, j, from, count, floor)) continue;
                clm_jacobian_cells(u, k, j, from, count, lo, NULL);
                for (int64_t i = 0; i < count; i++) {
                    if ((double)lo[i] >= floor) continue;
                    bad++;
                    for (int q = 0; q < 8; q++)
                        hit[((k + (q >> 2) * up[0]) * u->shape[1] + j + (q >> 1 & 1) * up[1]) * u->shape[2] +
                            from + i + (q & 1) * up[2]] = 1;
                }
            }
        }
    return bad;
}

bool floor_add(const clm_work *w, clm_field *u, float *const du[3], double floor, int64_t *held,
               clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    int64_t n = clm_field_count(u);
    uint8_t *hit = clm_take(w->temp, uint8_t, n, err), *rounds = clm_take_zero(w->temp, uint8_t, n, err);
    float *old = clm_take(w->temp, float, 3 * n, err);
    if (!hit || !rounds || !old) {
        clm_arena_rewind(w->temp, mark);
        return false;
    }
    for (int c = 0; c < 3; c++) {
        memcpy(old + c * n, u->u[c], (size_t)n * sizeof(float));
        for (int64_t i = 0; i < n; i++) u->u[c][i] += du[c][i];
    }
    while (floor_mark(u, floor, hit) > 0) {
        bool moved = false;
        for (int64_t i = 0; i < n; i++) {
            if (!hit[i] || rounds[i] > ROUNDS) continue;
            float share = rounds[i] == ROUNDS ? 0.0f : 1.0f / (float)(2 << rounds[i]);
            rounds[i]++;
            moved = true;
            for (int c = 0; c < 3; c++) u->u[c][i] = old[c * n + i] + share * du[c][i];
        }
        if (!moved) break; /* only if u broke the floor to begin with */
    }
    for (int64_t i = 0; i < n; i++) *held += rounds[i] > 0;
    clm_arena_rewind(w->temp, mark);
    return true;
}

/* one Jacobi sweep of averaging over the marked nodes and their neighbours */
static void smooth_marked(clm_field *u, const uint8_t *hit, float *copy) {
    int64_t n = clm_field_count(u), step[3] = {u->shape[1] * u->shape[2], u->shape[2], 1};
    for (int c = 0; c < 3; c++) {
        memcpy(copy, u->u[c], (size_t)n * sizeof(float));
        for (int64_t i = 0; i < n; i++) {
            if (!hit[i]) continue;
            int64_t at[3] = {i / step[0], i / step[1] % u->shape[1], i % u->shape[2]};
            double sum = 0.0, count = 0.0;
            for (int d = 0; d < 3; d++) {
                if (at[d] > 0) sum += (double)copy[i - step[d]], count++;
                if (at[d] + 1 < u->shape[d]) sum += (double)copy[i + step[d]], count++;
            }
            if (count > 0.0) u->u[c][i] = (float)(0.5 * ((double)copy[i] + sum / count));
        }
    }
}

/* every node towards the mean displacement: at a share of zero nothing is bent */
static void flatten(clm_field *u, double keep) {
    int64_t n = clm_field_count(u);
    for (int c = 0; c < 3; c++) {
        double mean = 0.0;
        for (int64_t i = 0; i < n; i++) mean += (double)u->u[c][i];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) u->u[c][i] = (float)(mean + keep * ((double)u->u[c][i] - mean));
    }
}

bool floor_repair(const clm_work *w, clm_field *u, double floor, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->temp);
    float *copy = clm_take(w->temp, float, clm_field_count(u), err);
    uint8_t *hit = clm_take(w->temp, uint8_t, clm_field_count(u), err);
    /* local averaging mends a few bad cells; a start that is bad as a whole is flattened */
    for (int sweep = 0; copy && hit && floor_mark(u, floor, hit) > 0; sweep++)
        if (sweep < 200)
            smooth_marked(u, hit, copy);
        else
            flatten(u, sweep < 230 ? 0.8 : 0.0);
    clm_arena_rewind(w->temp, mark);
    return copy && hit;
}
