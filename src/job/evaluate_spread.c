/* Quantiles that are exact over any number of values: counted by coarse bins, block by block; then the values of the
 * bins that matter one by one. */
#include "evaluate_parts.h"

#include <math.h>
#include <string.h>

const double clm_range_part[2] = {0.001, 0.999};
const double clm_spread_part[CLM_SPREADS][CLM_PARTS] = {{0.5, 0.9, 0.95, 0.99, 0.999},
                                                        {0.5, 0.9, 0.95, 0.99, 0.999},
                                                        {0.001, 0.01, 0.5, 0.99, 0.999},
                                                        {0.5, 0.9, 0.95, 0.99, 0.999}};
static const char *const set_name[CLM_SETS] = {"set0", "set1", "set2", "set3"};

static bool is_field(clm_evaluate_kind kind) { return kind >= CLM_EVALUATE_FIELD; }
static int sets_of(clm_evaluate_kind kind) { return is_field(kind) ? CLM_SPREADS : 2; }
static int parts_of(clm_evaluate_kind kind) { return is_field(kind) ? CLM_PARTS : 2; }

static bool values_of(const clm_evaluate *e, const clm_work *w, clm_evaluate_kind kind, int64_t block,
                      clm_field_sums *sums, clm_values *out, clm_err *err) {
    if (!is_field(kind)) return clm_evaluate_image_values(e, w, block, out, err);
    return clm_evaluate_field_block(e, w, block, kind == CLM_EVALUATE_FIELD, sums, out, err);
}

static bool quantiles_new(clm_arena *a, int n, clm_quantile *q, clm_err *err) {
    for (int k = 0; k < n; k++)
        if (!clm_quantile_new(a, &q[k], err)) return false;
    return true;
}

/* the blocks [first, last) of a stage into q and sums */
static bool count_blocks(const clm_evaluate *e, const clm_work *w, clm_evaluate_kind kind, int64_t first,
                         int64_t last, clm_field_sums *sums, clm_quantile *q, clm_err *err) {
    clm_mark temp = clm_arena_mark(w->temp);
    clm_field_sums *part = clm_take(w->temp, clm_field_sums, 1, err);
    bool ok = part != NULL;
    for (int64_t b = first; ok && b < last; b++) {
        clm_mark keep = clm_arena_mark(w->keep);
        clm_values v = {{NULL}, {0}};
        memset(part, 0, sizeof *part);
        ok = values_of(e, w, kind, b, part, &v, err);
        for (int k = 0; ok && q && k < sets_of(kind); k++) clm_quantile_add(&q[k], v.v[k], v.n[k]);
        if (ok && sums) clm_field_sums_merge(sums, part);
        clm_arena_rewind(w->keep, keep);
    }
    clm_arena_rewind(w->temp, temp);
    return ok;
}

bool clm_evaluate_field(const clm_evaluate *e, const clm_work *w, int64_t first, int64_t last,
                        clm_field_sums *sums, clm_quantile spread[CLM_SPREADS], clm_err *err) {
    return count_blocks(e, w, CLM_EVALUATE_FIELD, first, last, sums, spread, err);
}

bool clm_evaluate_count_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    clm_evaluate_kind kind = e->kind[task->stage];
    int64_t first, last;
    int sets = sets_of(kind), n = sets;
    clm_quantile q[CLM_SETS];
    clm_section s[CLM_SETS + 1];
    clm_field_sums *sums = clm_take_zero(w->keep, clm_field_sums, 1, err);
    clm_evaluate_share(e, kind, task->index, &first, &last);
    if (!sums || !quantiles_new(w->keep, sets, q, err) ||
        !count_blocks(e, w, kind, first, last, sums, q, err))
        return false;
    for (int k = 0; k < sets; k++)
        if (!clm_sparse_of(w->keep, set_name[k], q[k].bin, CLM_QUANTILE_BINS, &s[k], err)) return false;
    if (is_field(kind))
        s[n++] = (clm_section){
            .name = "sums", .dtype = CLM_U8, .shape = {1, 1, 1, (int64_t)sizeof *sums}, .data = sums};
    return clm_evaluate_put(e, task->stage, task->index, s, n, err);
}

/* the stage just before says which bins matter */
bool clm_evaluate_pick_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    clm_evaluate_kind kind = e->kind[task->stage - 1];
    int sets = sets_of(kind);
    clm_quantile q[CLM_SETS];
    clm_spill spill;
    int64_t place[CLM_SETS][CLM_PARTS][2] = {{{0}}};
    if (!quantiles_new(w->keep, sets, q, err)) return false;
    for (int64_t i = 0; i < e->stage[task->stage - 1].n; i++) {
        clm_mark mark = clm_arena_mark(w->temp);
        if (!clm_evaluate_get(e, kind, i, w->temp, &spill, err)) return false;
        for (int k = 0; k < sets; k++)
            if (!clm_sparse_add(&spill, set_name[k], q[k].bin, CLM_QUANTILE_BINS, err)) return false;
        clm_arena_rewind(w->temp, mark);
    }
    for (int k = 0; k < sets; k++) {
        for (int64_t i = 0; i < CLM_QUANTILE_BINS; i++) q[k].n += q[k].bin[i];
        for (int p = 0; p < parts_of(kind); p++) {
            clm_quantile_pick found;
            clm_quantile_find(&q[k], is_field(kind) ? clm_spread_part[k][p] : clm_range_part[p], &found);
            place[k][p][0] = found.bin, place[k][p][1] = found.rank;
        }
    }
    const clm_section s = {
        .name = "place", .dtype = CLM_I64, .shape = {1, CLM_SETS, CLM_PARTS, 2}, .data = place};
    return clm_evaluate_put(e, task->stage, 0, &s, 1, err);
}

bool clm_evaluate_picks(clm_evaluate *e, clm_evaluate_kind kind, clm_err *err) {
    int64_t place[CLM_SETS][CLM_PARTS][2];
    clm_arena *a = NULL;
    clm_spill s;
    bool ok = clm_arena_open((size_t)1 << 20, &a, err) && clm_evaluate_get(e, kind, 0, a, &s, err) &&
              clm_bytes_of(&s, "place", place, sizeof place, err);
    for (int k = 0; ok && k < CLM_SETS; k++)
        for (int p = 0; p < CLM_PARTS; p++)
            e->pick[k][p] = (clm_quantile_pick){.bin = place[k][p][0], .rank = place[k][p][1]};
    clm_arena_close(a);
    return ok;
}

/* the picks of a stage with room to count in: low [sets][CLM_PARTS][CLM_QUANTILE_LOW] */
static int64_t *copy_picks(const clm_evaluate *e, clm_arena *a, int sets, clm_quantile_pick out[][CLM_PARTS],
                           clm_err *err) {
    int64_t *low = clm_take_zero(a, int64_t, sets * CLM_PARTS * CLM_QUANTILE_LOW, err);
    for (int k = 0; low && k < sets; k++)
        for (int p = 0; p < CLM_PARTS; p++) {
            out[k][p] = e->pick[k][p];
            out[k][p].low = low + (k * CLM_PARTS + p) * CLM_QUANTILE_LOW;
        }
    return low;
}

bool clm_evaluate_fine_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    clm_evaluate_kind kind = e->kind[task->stage];
    int sets = sets_of(kind);
    clm_quantile_pick pick[CLM_SETS][CLM_PARTS];
    int64_t first, last, *low = copy_picks(e, w->keep, sets, pick, err);
    clm_field_sums *unused = low ? clm_take(w->keep, clm_field_sums, 1, err) : NULL;
    clm_section s;
    if (!unused) return false;
    clm_evaluate_share(e, kind, task->index, &first, &last);
    for (int64_t b = first; b < last; b++) {
        clm_mark keep = clm_arena_mark(w->keep);
        clm_values v = {{NULL}, {0}};
        memset(unused, 0, sizeof *unused);
        if (!values_of(e, w, kind, b, unused, &v, err)) return false;
        for (int k = 0; k < sets; k++) clm_quantile_look(pick[k], parts_of(kind), v.v[k], v.n[k]);
        clm_arena_rewind(w->keep, keep);
    }
    return clm_sparse_of(w->keep, "low", low, sets * CLM_PARTS * CLM_QUANTILE_LOW, &s, err) &&
           clm_evaluate_put(e, task->stage, task->index, &s, 1, err);
}

bool clm_evaluate_quantiles(const clm_evaluate *e, const clm_work *w, clm_evaluate_kind kind,
                            double value[CLM_SETS][CLM_PARTS], clm_err *err) {
    int sets = sets_of(kind), stage = clm_evaluate_stage_of(e, kind) + 2;
    clm_mark keep = clm_arena_mark(w->keep), temp = clm_arena_mark(w->temp);
    int64_t place[CLM_SETS][CLM_PARTS][2];
    clm_quantile_pick pick[CLM_SETS][CLM_PARTS];
    clm_spill s;
    int64_t *low = copy_picks(e, w->keep, sets, pick, err);
    if (!low || !clm_evaluate_get(e, e->kind[stage - 1], 0, w->temp, &s, err) ||
        !clm_bytes_of(&s, "place", place, sizeof place, err))
        return false;
    for (int64_t i = 0; i < e->stage[stage].n; i++) {
        clm_mark mark = clm_arena_mark(w->temp);
        if (!clm_evaluate_get(e, e->kind[stage], i, w->temp, &s, err) ||
            !clm_sparse_add(&s, "low", low, sets * CLM_PARTS * CLM_QUANTILE_LOW, err))
            return false;
        clm_arena_rewind(w->temp, mark);
    }
    for (int k = 0; k < sets; k++)
        for (int p = 0; p < CLM_PARTS; p++) {
            pick[k][p].bin = place[k][p][0], pick[k][p].rank = place[k][p][1];
            value[k][p] = clm_quantile_picked(&pick[k][p]);
        }
    clm_arena_rewind(w->temp, temp);
    clm_arena_rewind(w->keep, keep);
    return true;
}

bool clm_evaluate_range_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    double found[CLM_SETS][CLM_PARTS] = {{0}};
    if (!clm_evaluate_quantiles(e, w, CLM_EVALUATE_RANGE, found, err)) return false;
    const clm_section s = {
        .name = "found", .dtype = CLM_F64, .shape = {1, 1, CLM_SETS, CLM_PARTS}, .data = found};
    return clm_evaluate_put(e, task->stage, 0, &s, 1, err);
}

bool clm_evaluate_field_total(const clm_evaluate *e, const clm_work *w, clm_field_sums *out, clm_err *err) {
    int stage = clm_evaluate_stage_of(e, CLM_EVALUATE_FIELD);
    clm_mark mark = clm_arena_mark(w->temp);
    clm_field_sums *part = clm_take(w->temp, clm_field_sums, 1, err);
    clm_spill s;
    memset(out, 0, sizeof *out);
    if (!part) return false;
    for (int64_t i = 0; i < e->stage[stage].n; i++) {
        clm_mark here = clm_arena_mark(w->temp);
        if (!clm_evaluate_get(e, CLM_EVALUATE_FIELD, i, w->temp, &s, err) ||
            !clm_bytes_of(&s, "sums", part, sizeof *part, err))
            return false;
        clm_field_sums_merge(out, part);
        clm_arena_rewind(w->temp, here);
    }
    clm_arena_rewind(w->temp, mark);
    return true;
}
