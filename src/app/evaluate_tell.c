/* The figures as JSON, and that JSON as a table for people. */
#include "collimate/app/evaluate.h"
#include "collimate/base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const judged_name[CLM_JUDGED_COUNT] = {"before", "affine", "after"};

static void put(clm_json *v, const char *key, double x) {
    if (isfinite(x))
        clm_json_add_number(v, key, x);
    else
        clm_json_add_null(v, key);
}

static void put_images(clm_json *root, const clm_evaluation *e) {
    clm_json *v = clm_json_add_object(root, "images");
    put(v, "voxels", (double)e->images.voxels);
    put(v, "local_ncc_radius_vox", (double)e->radius_vox);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        const clm_similarity *s = &e->images.of[k];
        if (!e->images.has[k]) continue;
        clm_json *o = clm_json_add_object(v, judged_name[k]);
        put(o, "ncc", clm_ncc_value(&s->ncc));
        put(o, "local_ncc", s->lncc.n ? clm_lncc_value(&s->lncc) : NAN);
        put(o, "local_ncc_windows", (double)s->lncc.n);
        put(o, "mutual_information", clm_mi_value(&s->mi));
        put(o, "normalised_mutual_information", clm_mi_normalised(&s->mi));
        put(o, "mean_square", clm_ncc_mean_square(&s->ncc));
        put(o, "overlap", s->ncc.n / (double)e->images.voxels);
    }
}

static void put_field(clm_json *root, const clm_field_figures *f) {
    static const char *const name[5] = {"p0.1", "p1", "p50", "p99", "p99.9"};
    static const double part[4] = {0.5, 0.95, 0.99, 0.999};
    clm_json *v = clm_json_add_object(root, "field"), *j = clm_json_add_object(v, "jacobian");
    put(j, "min", f->jacobian.min);
    for (int i = 0; i < 5; i++) put(j, name[i], f->jacobian.percentile[i]);
    put(j, "max", f->jacobian.max);
    put(j, "mean", f->jacobian.mean);
    put(j, "cells", (double)f->jacobian.cells);
    put(j, "folds", (double)f->jacobian.folds);
    put(j, "folded", (double)f->jacobian.folded);
    if (!f->has_field) return;
    clm_json *u = clm_json_add_object(v, "displacement_um");
    static const char *const quantile[4] = {"p50", "p95", "p99", "p99.9"};
    put(u, "mean", f->displacement_mean_um);
    for (int i = 0; i < 4; i++) put(u, quantile[i], clm_quantile_at(&f->displacement, part[i]));
    put(u, "max", f->displacement_max_um);
    put(v, "seam", clm_seam_value(&f->seam));
    if (!f->has_coverage) return;
    clm_json *c = clm_json_add_object(v, "coverage");
    put(c, "mean", f->coverage_mean);
    put(c, "least", f->coverage_least);
    put(c, "nodes", (double)f->coverage_nodes);
    put(c, "holes", (double)f->coverage_holes);
}

static void put_loop(clm_json *root, const clm_loop_figures *f) {
    clm_json *v = clm_json_add_object(root, "inverse_consistency_um");
    put(v, "points", (double)f->n);
    put(v, "mean", f->mean);
    put(v, "rms", f->rms);
    put(v, "p50", f->p50);
    put(v, "p95", f->p95);
    put(v, "p99", f->p99);
    put(v, "max", f->max);
}

static void put_spread(clm_json *parent, const char *key, const clm_spread *s) {
    clm_json *v = clm_json_add_object(parent, key);
    put(v, "mean", s->mean);
    put(v, "p50", s->median);
    put(v, "p95", s->p95);
    put(v, "p99", s->p99);
    put(v, "max", s->max);
}

static void put_landmarks(clm_json *root, const clm_evaluation *e) {
    clm_json *v = clm_json_add_object(root, "landmarks");
    put(v, "pairs", (double)e->marks[CLM_JUDGED_BEFORE].n);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        if (!e->marked[k]) continue;
        clm_json *o = clm_json_add_object(v, judged_name[k]);
        put_spread(o, "um", &e->marks[k].um);
        put_spread(o, "voxels", &e->marks[k].voxels);
    }
}

static bool put_labels(clm_json *root, const clm_label_figures *f, const clm_work *w, clm_err *err) {
    clm_json *v = clm_json_add_object(root, "labels");
    if (f->ball.n) put(v, "surface_reach_um", f->ball.reach_um);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        clm_label_sum *row;
        double sum = 0.0, worst = INFINITY, distance = 0.0;
        int64_t surface = 0, beyond = 0;
        if (!f->has[k]) continue;
        if (!clm_overlap_list(&f->of[k], w->keep, &row, err)) return false;
        clm_json *o = clm_json_add_object(v, judged_name[k]);
        put(o, "labels", (double)f->of[k].n);
        clm_json *list = clm_json_add_list(o, "each");
        for (int64_t i = 0; i < f->of[k].n; i++) {
            clm_json *r = clm_json_add_object(list, NULL);
            put(r, "label", (double)row[i].label);
            put(r, "dice", clm_label_dice(&row[i]));
            put(r, "fixed_voxels", (double)row[i].fixed);
            put(r, "moving_voxels", (double)row[i].moving);
            if (f->ball.n) put(r, "surface_mean_um", clm_label_distance(&row[i]));
            sum += clm_label_dice(&row[i]);
            worst = fmin(worst, clm_label_dice(&row[i]));
            surface += row[i].surface, beyond += row[i].beyond;
            distance += (double)row[i].distance * CLM_DISTANCE_UNIT;
        }
        put(o, "mean_dice", f->of[k].n ? sum / (double)f->of[k].n : NAN);
        put(o, "least_dice", worst);
        if (!f->ball.n) continue;
        put(o, "surface_mean_um", surface ? distance / (double)surface : NAN);
        put(o, "surface_p95_um", clm_overlap_percentile(&f->of[k], &f->ball, 0.95));
        put(o, "surface_beyond_reach", surface ? (double)beyond / (double)surface : NAN);
    }
    return true;
}

bool clm_evaluation_to_json(const clm_evaluation *e, const clm_work *w, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    if (e->has_images) put_images(v, e);
    if (e->has_field) put_field(v, &e->field);
    if (e->has_loop) put_loop(v, &e->loop);
    if (e->has_landmarks) put_landmarks(v, e);
    if (e->has_labels && !put_labels(v, &e->labels, w, err)) {
        clm_json_free(v);
        return false;
    }
    *out = v;
    return true;
}

/* ---- for people ---- */

static double number(const clm_json *v, const char *key) {
    double x = NAN;
    (void)clm_json_number(clm_json_get(v, key), &x);
    return x;
}

/* rows before, affine, after; columns of numbers */
static bool print_rows(clm_buf *b, const clm_json *section, const char *title, const char *const column[],
                       const char *const key[], int n, const char *below, clm_err *err) {
    bool ok = clm_buf_printf(b, err, "%-10s", title);
    for (int i = 0; ok && i < n; i++) ok = clm_buf_printf(b, err, " %12s", column[i]);
    ok = ok && clm_buf_printf(b, err, "\n");
    for (int k = 0; ok && k < CLM_JUDGED_COUNT; k++) {
        const clm_json *row = clm_json_get(section, judged_name[k]);
        if (!row) continue;
        ok = clm_buf_printf(b, err, "  %-8s", judged_name[k]);
        if (below) row = clm_json_get(row, below);
        for (int i = 0; ok && i < n; i++) ok = clm_buf_printf(b, err, " %12.6g", number(row, key[i]));
        ok = ok && clm_buf_printf(b, err, "\n");
    }
    return ok && clm_buf_printf(b, err, "\n");
}

static bool print_field(clm_buf *b, const clm_json *f, clm_err *err) {
    const clm_json *j = clm_json_get(f, "jacobian"), *u = clm_json_get(f, "displacement_um");
    const clm_json *c = clm_json_get(f, "coverage");
    bool ok = clm_buf_printf(b, err, "%-10s %12s %12s %12s %12s %12s %12s\n  %-8s", "Jacobian", "min", "1 %",
                             "50 %", "99 %", "max", "folds", "") &&
              clm_buf_printf(b, err, " %12.6g %12.6g %12.6g %12.6g %12.6g %12.0f\n\n", number(j, "min"),
                             number(j, "p1"), number(j, "p50"), number(j, "p99"), number(j, "max"),
                             number(j, "folds"));
    if (ok && u)
        ok =
            clm_buf_printf(b, err, "displacement beside the affine: mean %.4g, 95 %% %.4g, largest %.4g um\n",
                           number(u, "mean"), number(u, "p95"), number(u, "max"));
    if (ok && isfinite(number(f, "seam")))
        ok = clm_buf_printf(b, err, "gradient jump on block faces over elsewhere: %.4f\n", number(f, "seam"));
    if (ok && c)
        ok = clm_buf_printf(b, err, "coverage: mean %.4f, least %.4f, %.0f of %.0f nodes below one half\n",
                            number(c, "mean"), number(c, "least"), number(c, "holes"), number(c, "nodes"));
    return ok && clm_buf_printf(b, err, "\n");
}

bool clm_evaluation_print(const clm_json *v, clm_buf *b, clm_err *err) {
    static const char *const image_column[] = {"NCC", "local NCC", "MI", "NMI", "mean square", "overlap"};
    static const char *const image_key[] = {
        "ncc", "local_ncc", "mutual_information", "normalised_mutual_information", "mean_square", "overlap"};
    static const char *const spread[] = {"mean", "p50", "p95", "p99", "max"};
    static const char *const spread_column[] = {"mean", "median", "95 %", "99 %", "largest"};
    static const char *const label_column[] = {"labels", "mean Dice", "least Dice", "surface um", "95 % um"};
    static const char *const label_key[] = {"labels", "mean_dice", "least_dice", "surface_mean_um",
                                            "surface_p95_um"};
    const clm_json *images = clm_json_get(v, "images"), *field = clm_json_get(v, "field");
    const clm_json *loop = clm_json_get(v, "inverse_consistency_um");
    const clm_json *marks = clm_json_get(v, "landmarks"), *labels = clm_json_get(v, "labels");
    bool ok = true;
    if (images) ok = print_rows(b, images, "images", image_column, image_key, 6, NULL, err);
    if (ok && field) ok = print_field(b, field, err);
    if (ok && loop)
        ok = clm_buf_printf(
            b, err, "inverse: there and back misses by %.4g um (mean), %.4g (95 %%), %.4g (largest)\n\n",
            number(loop, "mean"), number(loop, "p95"), number(loop, "max"));
    if (ok && marks)
        ok = print_rows(b, marks, "marks, um", spread_column, spread, 5, "um", err) &&
             print_rows(b, marks, "... voxels", spread_column, spread, 5, "voxels", err);
    if (ok && labels)
        ok = print_rows(b, labels, "labels", label_column, label_key,
                        clm_json_get(labels, "surface_reach_um") ? 5 : 3, NULL, err);
    return ok;
}
