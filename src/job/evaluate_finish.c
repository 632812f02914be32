/* The last task: what all tasks say together, as JSON. Every number with a unit has it in its key. */
#include "collimate/base/file.h"
#include "evaluate_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put(clm_json *v, const char *key, double x) {
    if (isfinite(x))
        clm_json_add_number(v, key, x);
    else
        clm_json_add_null(v, key);
}

static bool put_images(const clm_evaluate *e, const clm_work *w, clm_json *root, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->keep);
    clm_similarity *s = clm_take(w->keep, clm_similarity, CLM_JUDGED_COUNT, err);
    const int64_t *shape = e->fixed_view.shape;
    double voxels = (double)(shape[0] * shape[1] * shape[2]);
    if (!s || !clm_evaluate_similarities(e, w, s, err)) return false;
    clm_json *v = clm_json_add_object(root, "images");
    put(v, "voxels", voxels);
    clm_json_add_numbers(v, "spacing_um", e->fixed_view.spacing, 3);
    put(v, "local_ncc_radius_vox", (double)e->spec.radius_vox);
    clm_json_add_numbers(v, "fixed_range_intensity", e->range[0], 2);
    clm_json_add_numbers(v, "moving_range_intensity", e->range[1], 2);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++, s++) {
        if (!(k == CLM_JUDGED_AFTER && e->aligned) && !(e->moving && e->judged[k])) continue;
        clm_json *o = clm_json_add_object(v, clm_judged_name[k]);
        put(o, "ncc", clm_ncc_value(&s->ncc));
        put(o, "local_ncc", s->lncc.n ? clm_lncc_value(&s->lncc) : NAN);
        put(o, "local_ncc_windows", (double)s->lncc.n);
        put(o, "mutual_information_nats", clm_mi_value(&s->mi));
        put(o, "normalised_mutual_information", clm_mi_normalised(&s->mi));
        put(o, "mean_square_intensity2", clm_ncc_mean_square(&s->ncc));
        put(o, "overlap", s->ncc.n / voxels);
    }
    clm_arena_rewind(w->keep, mark);
    return true;
}

/* the quantiles that spread.c knows the parts of */
static void put_quantiles(clm_json *v, int set, const double value[CLM_PARTS], const char *unit) {
    for (int p = 0; p < CLM_PARTS; p++) {
        char key[32];
        (void)snprintf(key, sizeof key, "p%g%s", 100.0 * clm_spread_part[set][p], unit);
        put(v, key, value[p]);
    }
}

static void put_lengths(clm_json *root, const char *key, int set, const clm_field_sums *s,
                        const double value[CLM_PARTS]) {
    clm_json *v = clm_json_add_object(root, key);
    put(v, "mean_um", s->length[set] / (double)s->nodes);
    put_quantiles(v, set, value, "_um");
    put(v, "max_um", s->length_most[set]);
}

static bool put_jacobian(const clm_evaluate *e, clm_json *field, const clm_jacobian_sums *sums,
                         const double value[CLM_PARTS], clm_err *err) {
    clm_jacobian_stats j;
    if (!clm_jacobian_conclude(&e->affine, sums, &j, err)) return false;
    clm_json *v = clm_json_add_object(field, "jacobian");
    put(v, "min", j.min);
    put(v, "centre_min", j.least);
    put_quantiles(v, CLM_SPREAD_JACOBIAN, value ? value : j.percentile, "");
    put(v, "centre_max", j.most);
    put(v, "max", j.max);
    put(v, "mean", j.mean);
    put(v, "cells", (double)j.cells);
    put(v, "folds", (double)j.folds);
    put(v, "folded", (double)j.folded);
    return true;
}

static void put_seam(const clm_evaluate *e, clm_json *v, const clm_seam *s) {
    if (!s->n_on) return;
    put(v, "seam", clm_seam_value(s));
    put(v, "seam_on_faces", s->on / (double)s->n_on);
    put(v, "seam_elsewhere", s->off / (double)s->n_off);
    double um[3];
    for (int d = 0; d < 3; d++) um[d] = e->faces.period[d] * e->lattice.spacing[d];
    clm_json_add_numbers(v, "block_um", um, 3);
}

static void put_loop(clm_json *root, const clm_field_sums *s, const double value[CLM_PARTS]) {
    clm_json *v = clm_json_add_object(root, "inverse_consistency");
    put(v, "points", (double)s->points);
    put(v, "not_converged", (double)s->unsolved);
    put(v, "mean_um", s->missed / (double)s->points);
    put(v, "rms_um", sqrt(s->missed2 / (double)s->points));
    if (value) put_quantiles(v, CLM_SPREAD_MISSED, value, "_um");
    put(v, "max_um", s->points ? s->missed_most : (double)NAN);
}

static bool put_field(const clm_evaluate *e, const clm_work *w, clm_json *root, clm_err *err) {
    clm_mark mark = clm_arena_mark(w->keep);
    clm_field_sums *s = clm_take(w->keep, clm_field_sums, 1, err);
    double value[CLM_SETS][CLM_PARTS];
    if (!s || !clm_evaluate_field_total(e, w, s, err) ||
        !clm_evaluate_quantiles(e, w, CLM_EVALUATE_FIELD, value, err))
        return false;
    clm_json *v = clm_json_add_object(root, "field");
    clm_json_add_ints(v, "lattice_nodes", e->lattice.shape, 3);
    clm_json_add_numbers(v, "lattice_um", e->lattice.spacing, 3);
    clm_json_add_bool(v, "lattice_is_stored", e->stored);
    if (!put_jacobian(e, v, &s->jacobian, value[CLM_SPREAD_JACOBIAN], err)) return false;
    put_lengths(v, "displacement", CLM_SPREAD_MOVED, s, value[CLM_SPREAD_MOVED]);
    put_lengths(v, "displacement_beside_affine", CLM_SPREAD_BESIDE, s, value[CLM_SPREAD_BESIDE]);
    put_seam(e, v, &s->seam);
    if (e->coverage) {
        clm_json *c = clm_json_add_object(v, "coverage");
        put(c, "mean", s->coverage / (double)s->nodes);
        put(c, "min", s->coverage_least);
        put(c, "nodes", (double)s->nodes);
        put(c, "holes", (double)s->holes);
    }
    if (e->has_inverse) put_loop(root, s, value[CLM_SPREAD_MISSED]);
    clm_arena_rewind(w->keep, mark);
    return true;
}

/* affines alone: one Jacobian; there and back from the corners of the fixed volume */
static bool put_affine(const clm_evaluate *e, const clm_work *w, clm_json *root, clm_err *err) {
    double x[8][3], y[8][3];
    uint8_t flags[8];
    clm_field_sums *s = clm_take_zero(w->keep, clm_field_sums, 1, err);
    if (!s || !put_jacobian(e, clm_json_add_object(root, "field"), NULL, NULL, err)) return false;
    if (!e->has_inverse) return true;
    clm_image_frame f = e->fixed ? clm_view_frame(e->fixed, 0) : e->map.fixed;
    if (!f.shape[0])
        return clm_fail(err, CLM_E_ARG,
                        "inverse consistency of an affine needs the fixed image: give --fixed");
    for (int i = 0; i < 8; i++) {
        for (int d = 0; d < 3; d++)
            x[i][d] = f.origin_um[d] + (i >> d & 1 ? (double)(f.shape[d] - 1) * f.spacing_um[d] : 0.0);
        clm_affine_apply(&e->affine, x[i], y[i]);
    }
    if (!clm_map_points(&e->inverse, w, 8, y, flags, err)) return false;
    for (int i = 0; i < 8; i++) {
        double e2 = 0.0;
        for (int d = 0; d < 3; d++) e2 += (y[i][d] - x[i][d]) * (y[i][d] - x[i][d]);
        s->missed += sqrt(e2), s->missed2 += e2, s->points++;
        s->missed_most = fmax(s->missed_most, sqrt(e2));
        s->unsolved += (flags[i] & CLM_POINT_UNSOLVED) != 0;
    }
    put_loop(root, s, NULL);
    return true;
}

static void put_spread(clm_json *v, const clm_spread *s, const char *unit) {
    const double value[] = {s->mean, s->median, s->p90, s->p95, s->p99, s->max};
    static const char *const name[] = {"mean", "p50", "p90", "p95", "p99", "max"};
    for (int i = 0; i < 6; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s_%s", name[i], unit);
        put(v, key, value[i]);
    }
}

static bool put_marks(const clm_evaluate *e, const clm_work *w, clm_json *root, clm_err *err) {
    clm_landmarks marks;
    clm_truth_error error[CLM_JUDGED_COUNT];
    bool has[CLM_JUDGED_COUNT];
    clm_mark mark = clm_arena_mark(w->keep);
    if (!clm_landmarks_read(w, e->spec.landmarks, &marks, err) ||
        !clm_evaluate_marks(e, w, &marks, has, error, err))
        return false;
    clm_json *v = clm_json_add_object(root, "landmarks");
    put(v, "pairs", (double)marks.n);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        if (!has[k]) continue;
        clm_json *o = clm_json_add_object(v, clm_judged_name[k]);
        put_spread(o, &error[k].um, "um");
        if (e->fixed) put_spread(o, &error[k].voxels, "vox");
    }
    clm_arena_rewind(w->keep, mark);
    return true;
}

/* labels that a double cannot hold are told as text */
static void put_label(const clm_evaluate *e, clm_json *v, int64_t label) {
    char text[32];
    if (label < (int64_t)1 << 53 && label > -((int64_t)1 << 53)) {
        put(v, "label", (double)label);
        return;
    }
    if (clm_image_info_of(e->labels[0])->dtype == CLM_U64)
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)label);
    else
        (void)snprintf(text, sizeof text, "%lld", (long long)label);
    clm_json_add_text(v, "label", text);
}

static void put_surface(clm_json *v, const clm_label_sum *s) {
    put(v, "surface_mean_um", s->mean_um);
    put(v, "hausdorff95_um", s->hausdorff95_um);
    put(v, "hausdorff_um", s->hausdorff_um);
    put(v, "surface_beyond_reach", s->surface ? (double)s->beyond / (double)s->surface : (double)NAN);
}

static bool put_judged_labels(const clm_evaluate *e, const clm_work *w, const clm_label_figures *f, int k,
                              clm_json *o, clm_err *err) {
    const clm_ball *ball = f->ball.n ? &f->ball : NULL;
    clm_json *list = clm_json_add_list(o, "each");
    double sum = 0.0, least = INFINITY, n = 0.0;
    clm_label_sum s;
    for (int64_t i = 0, end; i < f->n[k]; i = end) {
        const clm_label_count *row = f->row[k];
        for (end = i; end < f->n[k] && row[end].label == row[i].label;) end++;
        if (!clm_overlap_sum(w, row + i, end - i, ball, &s, err)) return false;
        clm_json *r = clm_json_add_object(list, NULL);
        put_label(e, r, row[i].label);
        put(r, "dice", s.dice);
        put(r, "fixed_vox", (double)s.fixed);
        put(r, "moving_vox", (double)s.moving);
        if (ball) put_surface(r, &s);
        sum += s.dice, n += 1.0;
        least = fmin(least, s.dice);
    }
    if (!clm_overlap_sum(w, f->row[k], f->n[k], ball, &s, err)) return false;
    put(o, "labels", n);
    put(o, "dice_mean", sum / n);
    put(o, "dice_min", least);
    if (ball) put_surface(o, &s);
    return true;
}

static bool put_labels(const clm_evaluate *e, const clm_work *w, clm_json *root, clm_err *err) {
    clm_label_figures *f = clm_take(w->keep, clm_label_figures, 1, err);
    if (!f || !clm_evaluate_label_total(e, w, f, err)) return false;
    clm_json *v = clm_json_add_object(root, "labels");
    if (f->ball.n) put(v, "surface_reach_um", f->ball.reach_um);
    for (int k = 0; k < CLM_JUDGED_COUNT; k++)
        if (f->has[k] && !put_judged_labels(e, w, f, k, clm_json_add_object(v, clm_judged_name[k]), err))
            return false;
    return true;
}

static bool to_json(const clm_evaluate *e, const clm_work *w, clm_json *v, clm_err *err) {
    if (e->has_images && !put_images(e, w, v, err)) return false;
    if (e->has_map && !(e->has_field ? put_field(e, w, v, err) : put_affine(e, w, v, err))) return false;
    if (e->spec.landmarks && !put_marks(e, w, v, err)) return false;
    return !e->labels[0] || put_labels(e, w, v, err);
}

bool clm_evaluate_result(const clm_evaluate *e, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_join(path, e->spec.maps ? e->spec.maps : e->spec.folder, "evaluation.json", err);
}

bool clm_evaluate_finish_task(const clm_evaluate *e, const clm_work *w, const clm_task *task, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    (void)task;
    if (!v) return false;
    bool ok = to_json(e, w, v, err) && clm_evaluate_maps_finish(e, err) && clm_json_print(v, true, &b, err) &&
              clm_evaluate_result(e, path, err) && clm_file_publish(path, b.data, b.n, false, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}
